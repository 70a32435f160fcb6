//! What a client's stream tells and asks.

use alloc::boxed::Box;
use alloc::string::String;

use balcony_jid::{BareJid, FullJid};
use balcony_machine::{Secret, Ticket};
use balcony_sasl::{Hash, Mechanism, SaltedPassword};
use balcony_stanza::{ErrorCondition, Stanza};

/// What a client's stream tells its owner.
#[derive(Debug)]
pub enum ClientEvent {
    /// The next byte of input is the first of TLS. Run the handshake, then call
    /// [`Stream::secured`](crate::Stream::secured). Output up to here goes out in the clear.
    StartTls,
    /// Something slow is needed; the stream waits until [`Stream::answer`](crate::Stream::answer).
    Ask(Ticket, ClientAsk),
    /// The server has accepted us, and proven that it knows the password where the mechanism can show that.
    Authenticated {
        /// The account.
        account: BareJid,
        /// How it was proven. A client that has seen more than PLAIN can keep to that
        /// ([`ClientStreamConfig::mechanisms`](super::ClientStreamConfig::mechanisms)).
        mechanism: Mechanism,
    },
    /// The server has given a token for the next login (XEP-0484), in place of the one that was used, if one was. With the feature
    /// `fast`.
    Token(Box<super::Token>),
    /// The server does not take the token any more. The password is used now.
    TokenRefused(balcony_sasl::SaslCondition),
    /// A resource is bound: negotiation is complete and stanzas flow.
    Bound(FullJid),
    /// Stream management is enabled (XEP-0198). What has been [sent](crate::Stream::send) since [`Bound`](ClientEvent::Bound) comes
    /// back as [`Acked`](ClientEvent::Acked).
    Enabled {
        /// Whether the session can go on on another stream; see [`resumption`](crate::Stream::resumption).
        resumable: bool,
    },
    /// There will be no stream management on this stream.
    NotEnabled(ErrorCondition),
    /// The session of an earlier stream goes on here (XEP-0198 section 5), and stanzas flow. Send again, in their order, all stanzas
    /// but those that are acknowledged, before any other. What the session had goes on: there is no roster to fetch, and no presence
    /// to send.
    Resumed {
        /// So many of the stanzas that the stream before was given to send have got through, from the oldest that was not
        /// acknowledged on.
        acknowledged: u32,
    },
    /// The session of the earlier stream is over. A resource is bound next, for a new one.
    NotResumed {
        /// Why.
        condition: ErrorCondition,
        /// So many of the stanzas that the stream before was given to send are known to have got through.
        acknowledged: u32,
    },
    /// The server has handled so many more of the stanzas that this stream was given to [send](crate::Stream::send): at least one, the
    /// oldest first.
    Acked(u32),
    /// The server sent a stanza.
    Stanza(Box<Stanza>),
}

/// What a client's stream asks, as it may take long.
#[derive(Debug)]
pub enum ClientAsk {
    /// Compute PBKDF2 over our own password: [`balcony_sasl::salt_password`]. Answer with [`ClientAnswer::Salted`].
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

/// The answer to a [`ClientAsk`].
#[derive(Debug)]
pub enum ClientAnswer {
    /// The salted password.
    Salted(SaltedPassword),
    /// It can't be computed now.
    Unavailable,
}
