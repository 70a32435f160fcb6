//! What clients of the suite are told, and what they say: lines of text, the same for every driver (`scenarios.txt`).
//!
//! It needs no `std`: the program for bare metal has it, too.

use alloc::borrow::ToOwned as _;
use alloc::format;
use alloc::string::{String, ToString as _};

use balcony_client::{
    Agent, AgentConfig, AgentEvent, CallId, Completion, Extensions, Iq, MessageBuilder, Presence,
    RequestError, Response,
};
use balcony_jid::Jid;
use balcony_machine::Instant;
use balcony_stanza::{MessageType, Stanza};
use balcony_xml::{Element, Name};

/// What a client is told.
#[derive(Debug, PartialEq, Eq)]
pub enum Command<'a> {
    /// To log in, and to say that it is there. Behind the password stand the place, and a file with the certificate to trust; `-` for none.
    Connect { address: &'a str, priority: i8, password: &'a str, place: &'a str, trust: &'a str },
    /// To send a message of this type.
    Say { kind: MessageType, to: &'a str, text: &'a str },
    /// To make a request.
    Ask { of: &'a str, what: &'a str },
    /// To try now.
    Wake,
    /// To say goodbye.
    Close,
    /// To say how much memory is in use, and how often some was asked for.
    Figures,
}

/// Reads a line; `None` if it is none of these.
pub fn read(line: &str) -> Option<Command<'_>> {
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    Some(match word {
        "connect" => {
            let mut words = rest.split(' ');
            let (address, priority) = (words.next()?, words.next()?.parse().ok()?);
            let (password, place) = (words.next()?, words.next().unwrap_or("-"));
            Command::Connect { address, priority, password, place, trust: words.next().unwrap_or("-") }
        }
        "say" | "write" => {
            let (to, text) = rest.split_once(' ')?;
            let kind = if word == "say" { MessageType::Chat } else { MessageType::Normal };
            Command::Say { kind, to, text }
        }
        "ask" => {
            let (of, what) = rest.split_once(' ')?;
            Command::Ask { of, what }
        }
        "wake" => Command::Wake,
        "close" => Command::Close,
        "figures" => Command::Figures,
        _ => return None,
    })
}

/// How a client of the suite behaves: it connects again, soon.
pub fn agent(priority: i8) -> AgentConfig {
    let mut agent = AgentConfig::default();
    agent.presence = Some(Presence::available().priority(priority));
    agent
}

/// The message of a command; `None` if that is to nobody.
pub fn message(kind: MessageType, to: &str, text: &str) -> Option<Stanza> {
    Some(MessageBuilder::new(kind).to(to.parse().ok()?).body(text).to_stanza())
}

/// The request of a command; `None` if it is to nobody.
pub fn request(of: &str, what: &str) -> Option<Iq> {
    let element = match what {
        "ping" => Element::new(Name::from_static("ping"), "urn:xmpp:ping"),
        _ => Element::new(Name::from_static("riddle"), "urn:example:riddle"),
    };
    Some(Iq::get(element).to(of.parse().ok()?))
}

/// What has come of a request of this party.
pub fn outcome(of: &str, outcome: &Result<Response, RequestError>) -> String {
    match outcome {
        Ok(_) => format!("answer of {of}"),
        Err(RequestError::Refused(error)) => format!("refusal of {of}: {}", error.condition.name()),
        Err(error) => format!("no answer of {of}: {error}"),
    }
}

/// What a client remembers from line to line.
#[derive(Debug, Default)]
pub struct Teller {
    own: String,
    is_away: bool,
    asked: Option<(CallId, String)>,
}

impl Teller {
    /// What there is to say of an event. Requests are not answered here.
    pub fn tell<R>(&mut self, event: &AgentEvent<R>) -> Option<String> {
        let name = |from: Option<&Jid>| from.map(Jid::to_string).unwrap_or_default();
        Some(match event {
            AgentEvent::Online(jid) => {
                (self.own, self.is_away) = (jid.to_string(), false);
                format!("online {jid}")
            }
            AgentEvent::Resumed => {
                self.is_away = false;
                "resumed".to_owned()
            }
            // Of attempts that fail meanwhile nothing is said, and what is the end is said as such.
            AgentEvent::Offline { next: Some(_), .. } if !core::mem::replace(&mut self.is_away, true) => {
                "offline".to_owned()
            }
            AgentEvent::Message(message) => {
                // One allocation, as this is counted among what a message costs.
                let (from, body) = (message.from().map(Jid::as_str), message.body().unwrap_or_default());
                let mut line = String::with_capacity(body.len() + 256);
                line.extend(["message ", from.unwrap_or_default(), ": ", body]);
                line
            }
            AgentEvent::Presence(presence) => {
                let from = name(presence.from());
                match presence.is_available() {
                    // The server shows it its own, too (RFC 6121 section 4.2.2).
                    _ if from == self.own => return None,
                    true => format!("presence {from} {}", presence.priority()),
                    false => format!("gone {from}"),
                }
            }
            AgentEvent::Undelivered(what) => {
                format!(
                    "undelivered {}: {}",
                    name(what.stanza.head.from.as_ref()),
                    what.error.condition.name()
                )
            }
            _ => return None,
        })
    }

    /// What an agent can be told by itself. `false`: it has not been understood, or is the driver's business.
    pub fn command<X: Extensions>(
        &mut self,
        agent: &mut Agent<X>,
        now: Instant,
        command: &Command<'_>,
    ) -> bool {
        match command {
            Command::Say { kind, to, text } => {
                message(*kind, to, text).is_some_and(|message| agent.send(message).is_ok())
            }
            Command::Ask { of, what } => {
                let call = request(of, what).and_then(|iq| agent.request(now, iq).ok());
                self.asked = call.map(|call| (call, (*of).to_owned()));
                self.asked.is_some()
            }
            _ => false,
        }
    }

    /// What there is to say of a request that is over.
    pub fn completed(&mut self, call: CallId, completion: &Completion) -> Option<String> {
        let (_, of) = self.asked.take_if(|(asked, _)| *asked == call)?;
        match completion {
            Completion::Response(response) => Some(outcome(&of, response)),
            _ => None,
        }
    }
}
