//! The scenarios, with their checks.

use super::servers::{self, Purpose};

/// What clients go through at every server.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) clients: &'static [&'static str],
    /// Who or what is looked at.
    pub(crate) title: &'static str,
    /// The checks: what the programs call them, and what they show. Without the first there are no others.
    pub(crate) checks: &'static [(&'static str, &'static str)],
    /// Where others are known to differ, whatever is at the other end: the server or client, and the check. `notes.md` says how.
    pub(crate) known: &'static [(&'static str, &'static str)],
}

/// How often a pair with Balcony may try a scenario: machines that are busy with other things are late, and xmpp.js ends now and then by an
/// error of its own (`Cannot read properties of null`).
pub(crate) const TRIES: usize = 3;

const LIBRARIES: [&str; 7] = ["balcony", "slixmpp", "tokio-xmpp", "xmpp.js", "smack", "mellium", "qxmpp"];

pub(crate) static SCENARIOS: [Scenario; 5] = [
    Scenario {
        name: "resources",
        clients: &LIBRARIES,
        title: "An account with three resources",
        checks: &[
            ("bind", "login, and three resources are bound"),
            ("tls", "STARTTLS, certificate verified"),
            ("scram", "SCRAM is chosen"),
            ("mechanisms", "login by each mechanism that both have"),
            ("chat", "chat to the bare JID: priority 10 only"),
            ("headline", "headline to the bare JID: all but -1"),
            ("full", "chat to a full JID: that one only"),
            ("negative", "the same with priority -1"),
            ("ping", "ping (XEP-0199)"),
            ("disco", "service discovery (XEP-0030)"),
            ("version", "software version (XEP-0092)"),
            ("unknown", "what is unknown is refused"),
            ("direct", "direct TLS (XEP-0368)"),
            ("refuse", "a wrong password is refused"),
            ("prepared", "passwords that SASLprep changes"),
            ("register", "registration (XEP-0077)"),
            ("close", "streams are closed from both sides"),
        ],
        known: &[],
    },
    Scenario {
        name: "people",
        clients: &LIBRARIES,
        title: "Two people and what they see of each other",
        checks: &[
            ("login", "login with a new account"),
            ("directed", "directed presence, taken back at the end"),
            ("roster", "roster item added, pushed to those who asked"),
            ("versions", "roster versions"),
            ("removal", "roster item removed, and again"),
            ("ask", "subscription request"),
            ("approval", "approval: pushes, presence"),
            ("preapproval", "approval before the request"),
            ("presence", "presence is broadcast"),
            ("probe", "presence of the others at login"),
            ("lost", "unavailable when the connection is lost"),
            ("offline", "offline messages (XEP-0160, XEP-0203)"),
            ("block", "blocking (XEP-0191)"),
            ("blocked", "what the blocked one gets"),
            ("unblock", "unblocking"),
            ("carbons", "carbons (XEP-0280)"),
            ("private", "none of private messages"),
            ("disable", "none when they are disabled"),
            ("cancel", "a subscription is cancelled"),
            ("forget", "a contact is removed"),
            ("end", "streams are closed from both sides"),
        ],
        known: &[
            ("prosody", "preapproval"),
            ("prosody", "forget"),
            ("ejabberd", "roster"),
            ("ejabberd", "removal"),
            ("ejabberd", "block"),
            ("ejabberd", "unblock"),
        ],
    },
    Scenario {
        name: "resume",
        clients: &["balcony", "slixmpp", "tokio-xmpp", "xmpp.js", "aioxmpp", "libstrophe"],
        title: "A network that is cut 50 times",
        checks: &[
            ("login", "login with stream management (XEP-0198)"),
            ("resumed", "the session goes on, whatever is cut"),
            ("down", "messages to the one who is cut off: each once, in order"),
            ("up", "messages from there: each once, in order"),
            ("close", "streams are closed from both sides"),
        ],
        known: &[("slixmpp", "up"), ("aioxmpp", "up"), ("libstrophe", "up")],
    },
    Scenario {
        name: "inactive",
        clients: &["balcony", "slixmpp"],
        title: "A phone in a pocket",
        checks: &[
            ("offer", "client state indication is offered (XEP-0352)"),
            ("waits", "presence and typing wait while nobody looks"),
            ("urgent", "a message brings all of it, in order"),
            ("looks", "it comes when somebody looks"),
            ("close", "streams are closed from both sides"),
        ],
        known: &[],
    },
    Scenario {
        name: "programs",
        clients: &["go-sendxmpp", "libpurple", "profanity"],
        title: "Programs for people, and `balcony` at the other end",
        checks: &[
            ("start", "login over STARTTLS"),
            ("direct", "direct TLS (XEP-0368)"),
            ("wrong", "a wrong password is refused"),
            ("untrusted", "a stranger's certificate is refused"),
            ("send", "a message is sent, and comes once"),
            ("receive", "the answer is shown"),
            ("add", "a contact is added and asked"),
            ("approved", "the approval is shown"),
            ("approve", "a request is shown and approved"),
            ("seen", "a contact comes and goes"),
            ("shown", "its own presence reaches the contact"),
            ("priority", "the higher priority gets the message"),
            ("copies", "carbons (XEP-0280)"),
            ("block", "blocking (XEP-0191)"),
            ("unblock", "unblocking"),
            ("offline", "messages that waited are shown"),
            ("forget", "a contact is removed"),
            ("register", "registration (XEP-0077)"),
            ("quit", "it says goodbye and ends well"),
        ],
        known: &[],
    },
];

impl Scenario {
    /// What its servers are like.
    pub(crate) fn purpose(&self) -> &'static Purpose {
        if self.name == "resume" { &servers::CUT } else { &servers::USUAL }
    }

    /// romeo's and juliet's accounts. Where they have contacts, each client has its own, and new ones at each [try](TRIES).
    pub(crate) fn accounts(&self, client: &str, at: usize) -> [String; 2] {
        let again = if at == 0 { String::new() } else { format!("-{at}") };
        ["romeo", "juliet"].map(|user| match self.name {
            "resources" => user.to_owned(),
            "resume" | "inactive" => format!("{user}-{client}-{}{again}", self.name),
            _ => format!("{user}-{client}{again}"),
        })
    }
}
