//! What a client's stream tells and asks.

use alloc::boxed::Box;
use alloc::string::String;

use balcony_jid::{BareJid, FullJid};
use balcony_machine::{Secret, Ticket};
use balcony_sasl::{Hash, Mechanism, SaltedPassword};
use balcony_stanza::Stanza;

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
    /// A resource is bound: negotiation is complete and stanzas flow.
    Bound(FullJid),
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
