//! What a server's stream to a client tells and asks.

use alloc::boxed::Box;
use alloc::string::String;

use balcony_jid::{BareJid, FullJid};
use balcony_machine::{Secret, Ticket};
use balcony_sasl::{Hash, Mechanism, ScramKeys};
use balcony_stanza::{Stanza, StanzaError};
use balcony_xml::Element;

/// What a client's stream tells the server.
#[derive(Debug)]
pub enum ServerEvent {
    /// The next byte of input is the first of TLS. Run the handshake, then call
    /// [`Stream::secured`](crate::Stream::secured). Output up to here goes out in the clear.
    StartTls,
    /// Something slow is needed; the stream waits until [`Stream::answer`](crate::Stream::answer).
    Ask(Ticket, ServerAsk),
    /// The client is who it says it is. The stream restarts, unless SASL2 goes on with it.
    Authenticated {
        /// The account.
        account: BareJid,
        /// How it was proven.
        mechanism: Mechanism,
    },
    /// An attempt to authenticate failed; for the log.
    AuthenticationFailed {
        /// The SASL error and why, in words for the log. The peer is told less.
        reason: &'static str,
    },
    /// A resource is bound: negotiation is complete and stanzas flow.
    Bound(FullJid),
    /// The client sent a stanza. Its `from` is what was authenticated.
    Stanza(Box<Stanza>),
}

/// What a client's stream asks of the server, as it may take long.
#[derive(Debug)]
pub enum ServerAsk {
    /// What is stored for this account and hash? Answer with [`ServerAnswer::Credentials`].
    Credentials {
        /// The account that somebody wants to log in to.
        account: BareJid,
        /// Which keys.
        hash: Hash,
    },
    /// Is this the account's password? Slow on purpose. Answer with [`ServerAnswer::Verified`].
    Verify {
        /// The account that somebody wants to log in to.
        account: BareJid,
        /// What they sent.
        password: Secret<String>,
    },
    /// Bind a resource. Answer with [`ServerAnswer::Bound`].
    Bind {
        /// Whose resource.
        account: BareJid,
        /// What the client asked for; `None` leaves the choice to the server.
        resource: Option<String>,
        /// What else it wants done on the way: its `<bind/>` of Bind 2, if that has something in it (XEP-0386 section 3.2).
        inline: Option<Element>,
    },
    /// Create an account (XEP-0077). Answer with [`ServerAnswer::Registered`] after it is durable.
    Register {
        /// The account wanted.
        account: BareJid,
        /// Its password.
        password: Secret<String>,
    },
}

/// The answer to a [`ServerAsk`].
#[derive(Debug)]
pub enum ServerAnswer {
    /// The keys; `None` if there is no such account.
    Credentials(Option<ScramKeys>),
    /// Whether the password is right.
    Verified(bool),
    /// The full JID, or why not.
    Bound(Result<FullJid, StanzaError>),
    /// Whether the account was created, or why not.
    Registered(Result<(), StanzaError>),
    /// The question can't be answered now.
    Unavailable,
}
