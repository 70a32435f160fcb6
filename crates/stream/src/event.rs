use alloc::boxed::Box;
use alloc::string::String;

use balcony_jid::{BareJid, FullJid};
use balcony_machine::{Secret, Ticket};
use balcony_sasl::{Hash, Mechanism, SaltedPassword, ScramKeys};
use balcony_stanza::{Stanza, StanzaError};

/// What a stream tells its owner.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// The next byte of input is the first of TLS. Run the handshake, then call
    /// [`Stream::secured`](crate::Stream::secured). Output up to here goes out in the clear.
    StartTls,
    /// Something slow is needed; the stream waits until [`Stream::answer`](crate::Stream::answer).
    Ask(Ticket, Ask),
    /// The initiating entity is who it says it is. The stream restarts.
    Authenticated {
        /// The account.
        account: BareJid,
        /// How it was proven.
        mechanism: Mechanism,
    },
    /// An attempt to authenticate failed (receiving entity only; for the log).
    AuthenticationFailed {
        /// The SASL error and why, in words for the log. The peer is told less.
        reason: &'static str,
    },
    /// A resource is bound: negotiation is complete and stanzas flow.
    Bound(FullJid),
    /// The peer sent a stanza. On a receiving stream its `from` is what was authenticated.
    Stanza(Box<Stanza>),
}

/// A question that may take long to answer.
#[derive(Debug)]
#[non_exhaustive]
pub enum Ask {
    /// What is stored for this account and hash? Answer with [`Answer::Credentials`].
    Credentials {
        /// The account that somebody wants to log in to.
        account: BareJid,
        /// Which keys.
        hash: Hash,
    },
    /// Is this the account's password? Slow on purpose. Answer with [`Answer::Verified`].
    Verify {
        /// The account that somebody wants to log in to.
        account: BareJid,
        /// What they sent.
        password: Secret<String>,
    },
    /// Bind a resource. Answer with [`Answer::Bound`].
    Bind {
        /// Whose resource.
        account: BareJid,
        /// What the client asked for; `None` leaves the choice to the server.
        resource: Option<String>,
    },
    /// Create an account (XEP-0077). Answer with [`Answer::Registered`] after it is durable.
    Register {
        /// The account wanted.
        account: BareJid,
        /// Its password.
        password: Secret<String>,
    },
    /// Compute PBKDF2 over our own password: [`balcony_sasl::salt_password`]. Answer with [`Answer::Salted`].
    SaltPassword {
        /// The hash of the mechanism.
        hash: Hash,
        /// Our password.
        password: Secret<String>,
        /// The salt that the server sent.
        salt: Box<[u8]>,
        /// The iteration count that the server sent, within our bounds.
        iterations: u32,
    },
}

/// The answer to an [`Ask`].
#[derive(Debug)]
#[non_exhaustive]
pub enum Answer {
    /// The keys; `None` if there is no such account.
    Credentials(Option<ScramKeys>),
    /// Whether the password is right.
    Verified(bool),
    /// The full JID, or why not.
    Bound(Result<FullJid, StanzaError>),
    /// Whether the account was created, or why not.
    Registered(Result<(), StanzaError>),
    /// The salted password.
    Salted(SaltedPassword),
    /// The question can't be answered now.
    Unavailable,
}
