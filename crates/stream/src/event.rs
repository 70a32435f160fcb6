use alloc::boxed::Box;
use alloc::string::String;

use balcony_jid::{BareJid, FullJid};
use balcony_machine::{Secret, Ticket};
use balcony_sasl::{Hash, Mechanism, SaltedPassword, ScramKeys};
use balcony_stanza::{Stanza, StanzaError};

use crate::federation::{Proof, Verdict, Verification};

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
        /// How it was proven. A client that has seen more than PLAIN can keep to that
        /// ([`Initiating::mechanisms`](crate::Initiating::mechanisms)).
        mechanism: Mechanism,
    },
    /// An attempt to authenticate failed (receiving entity only; for the log).
    AuthenticationFailed {
        /// The SASL error and why, in words for the log. The peer is told less.
        reason: &'static str,
    },
    /// Stanzas may go from one domain to the other on this stream between servers. The first such event opens it.
    Authorized {
        /// The domain that they come from: the initiating entity's.
        from: BareJid,
        /// The domain that they go to: the receiving entity's.
        to: BareJid,
        /// How it was proven.
        proof: Proof,
    },
    /// The other server does not authorise this pair of domains. The stream goes on for others (initiating end only).
    Refused {
        /// The domain of ours that stanzas would have come from.
        from: BareJid,
        /// The domain that they would have gone to.
        to: BareJid,
        /// Why; [`Verdict::bounce`] says what the senders of waiting stanzas are told.
        verdict: Verdict,
    },
    /// The authoritative server has answered, or has not in time, what [`Stream::verify`](crate::Stream::verify) asked.
    KeyVerified(Verification, Verdict),
    /// A component is attached to its server: stanzas flow, from and to its domain.
    Attached(BareJid),
    /// The peer sent a stanza that breaks the rules of stanzas, and this is what its sender is to be told. It can't go
    /// back on this stream, which carries stanzas one way only (RFC 6120 section 4.5): route it.
    Reply(Box<Stanza>),
    /// A resource is bound: negotiation is complete and stanzas flow.
    Bound(FullJid),
    /// The peer sent a stanza. On a receiving stream its `from` is what was authenticated, or in the domain that was.
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
        /// Whether it wants copies of what its other resources send and get, from the first moment on (XEP-0280, inside of XEP-0386).
        carbons: bool,
    },
    /// Create an account (XEP-0077). Answer with [`Answer::Registered`] after it is durable.
    Register {
        /// The account wanted.
        account: BareJid,
        /// Its password.
        password: Secret<String>,
    },
    /// Is this the key of the domain that it is said to come from? Open a stream to that domain, or take one, and let it
    /// [verify](crate::Stream::verify) the key; answer with [`Answer::Verdict`]. The stream goes on meanwhile.
    VerifyDialback(Verification),
    /// Attach this component, which knows its secret? Answer with [`Answer::Attached`].
    Attach {
        /// The domain of the component.
        component: BareJid,
    },
    /// Compute PBKDF2 over our own password: [`balcony_sasl::salt_password`]. Answer with [`Answer::Salted`].
    SaltPassword {
        /// The hash of the mechanism.
        hash: Hash,
        /// Our password, prepared.
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
    /// What the authoritative server says about a key, or why it could not be asked.
    Verdict(Verdict),
    /// Whether the component is attached; `false` if another stream is it already.
    Attached(bool),
    /// The salted password.
    Salted(SaltedPassword),
    /// The question can't be answered now.
    Unavailable,
}
