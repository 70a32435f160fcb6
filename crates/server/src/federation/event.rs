//! What streams between servers want of their owner.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use balcony_connection::srv::Target;
use balcony_jid::BareJid;
use balcony_stanza::{ErrorCondition, PresenceType, Stanza};

use super::reach::Reach;
use crate::journal::Level;
use crate::slots::Number;

/// Names one stream to or from another server. A name is not used again for a long time after its stream has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub(crate) u64);

impl Number for StreamId {
    fn from_u64(number: u64) -> Self {
        StreamId(number)
    }

    fn to_u64(self) -> u64 {
        self.0
    }
}

/// What the owner of a [`Federation`](super::Federation) has to do. The order counts.
#[derive(Debug)]
pub enum FederationEvent {
    /// Look up the SRV records of this domain's service for servers, then say [`resolved`](super::Federation::resolved). Whether with what
    /// DNSSEC says about them ([`dane`](super::FederationConfig::dane)).
    Resolve(BareJid, bool),
    /// Connect to one of these, the first that answers in their order (RFC 8305), at an address that
    /// [may be connected to](Reach::admits), then say [`connected`](super::Federation::connected) or
    /// [`unreachable`](super::Federation::unreachable). [`Close`](FederationEvent::Close) gives it up.
    Connect(StreamId, Vec<Target>, Reach),
    /// There is output: [take](super::Federation::take_output) and write it, then say [`written`](super::Federation::written).
    Write(StreamId),
    /// Everything received has been used; read on.
    Read(StreamId),
    /// Close the socket, or give up connecting. The stream is forgotten.
    Close(StreamId),
    /// Another server has sent this, and has proven that it may. Hand it to [`Router::receive`](balcony_router::Router::receive).
    Deliver(Box<Stanza>),
    /// This could not be sent, for this reason. Hand it to [`Router::undeliverable`](balcony_router::Router::undeliverable).
    Return {
        /// What was to be sent.
        stanza: Box<Stanza>,
        /// What its sender is told.
        condition: ErrorCondition,
        /// Whether its sender is told at all, as it was [sent](super::Federation::send).
        is_told: bool,
    },
    /// Another server has got this presence for good, which manages a subscription. Tell
    /// [`Router::heard`](balcony_router::Router::heard).
    Heard {
        /// Whose word it is.
        from: BareJid,
        /// To whom.
        to: BareJid,
        /// What.
        kind: PresenceType,
    },
    /// This domain has been talked to, or has talked to us. Tell [`Router::domain_lives`](balcony_router::Router::domain_lives).
    Reached(BareJid),
    /// A line for the log. It holds nothing secret, nor what people write to each other, and is one line.
    Log(Level, String),
}

/// Why none of the places where a domain is could be connected to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreachable {
    /// None of them has an address: the domain is not there.
    pub is_unknown: bool,
    /// Why, in words for the log.
    pub reason: String,
}
