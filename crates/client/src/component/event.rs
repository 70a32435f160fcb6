//! What a component tells its owner.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use core::fmt;
use core::time::Duration;

use balcony_connection::Error;
use balcony_stanza::{Stanza, StreamCondition};
use balcony_stream::Error as Ended;

use crate::queue::{ENTRY, cost, error_cost};
use crate::{IncomingRequest, Message, ReceivedPresence, Undelivered};

/// What a [`Component`](super::Component) tells its owner. `R` is a request that waits for an answer: what is needed to answer it.
#[derive(Debug)]
#[non_exhaustive]
pub enum ComponentEvent<R = Box<IncomingRequest>> {
    /// It is attached to its server: what is addressed to its domain comes here.
    Online,
    /// The connection is gone, or none came about.
    Offline {
        /// Why.
        why: Arc<Detached>,
        /// When it tries again; `None`: it does not, and this is the end.
        next: Option<Duration>,
    },
    /// Somebody has written to an address of the domain.
    Message(Box<Message>),
    /// Presence for an address of the domain, or a request to see that of one.
    Presence(Box<ReceivedPresence>),
    /// Something that was sent could not be delivered.
    Undelivered(Box<Undelivered>),
    /// Somebody asks an address of the domain for something. It must be answered (RFC 6120 section 8.2.3).
    Request(R),
    /// Anything else, such as answers to requests that were sent as plain stanzas.
    Stanza(Box<Stanza>),
}

impl ComponentEvent {
    /// Sorts what has come.
    pub(super) fn of(stanza: Stanza) -> ComponentEvent {
        if let Some(undelivered) = Undelivered::read(&stanza) {
            return ComponentEvent::Undelivered(Box::new(undelivered));
        }
        if let Some(request) = IncomingRequest::read(&stanza) {
            return ComponentEvent::Request(request);
        }
        if let Some(message) = Message::read(stanza.clone()) {
            return ComponentEvent::Message(Box::new(message));
        }
        match ReceivedPresence::read(stanza.clone()) {
            Some(presence) => ComponentEvent::Presence(Box::new(presence)),
            None => ComponentEvent::Stanza(Box::new(stanza)),
        }
    }

    /// What it costs while it waits, in bytes of memory.
    pub(super) fn cost(&self) -> usize {
        match self {
            ComponentEvent::Message(message) => message.memory(),
            ComponentEvent::Presence(presence) => {
                cost(presence.stanza()) + presence.stanza().payload.as_bytes().len()
            }
            ComponentEvent::Undelivered(undelivered) => {
                cost(&undelivered.stanza) + error_cost(&undelivered.error)
            }
            ComponentEvent::Request(request) => request.memory(),
            ComponentEvent::Stanza(stanza) => cost(stanza),
            ComponentEvent::Online | ComponentEvent::Offline { .. } => ENTRY,
        }
    }
}

impl<R> ComponentEvent<R> {
    /// The same, with something else for a request.
    pub fn map_request<S>(self, map: impl FnOnce(R) -> S) -> ComponentEvent<S> {
        match self {
            ComponentEvent::Online => ComponentEvent::Online,
            ComponentEvent::Offline { why, next } => ComponentEvent::Offline { why, next },
            ComponentEvent::Message(message) => ComponentEvent::Message(message),
            ComponentEvent::Presence(presence) => ComponentEvent::Presence(presence),
            ComponentEvent::Undelivered(undelivered) => ComponentEvent::Undelivered(undelivered),
            ComponentEvent::Request(request) => ComponentEvent::Request(map(request)),
            ComponentEvent::Stanza(stanza) => ComponentEvent::Stanza(stanza),
        }
    }
}

/// Why a component is not attached to its server.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Detached {
    /// No connection came about, for this reason.
    Unreachable(String),
    /// The connection broke, for this reason.
    Broken(String),
    /// The stream ended with an error.
    Ended(Error),
    /// The server has closed the stream in good order.
    ByServer,
    /// The owner has.
    ByOwner,
}

impl Detached {
    /// Whether it is not to connect again by itself: the secret or the domain is wrong, so that somebody has to change something, or
    /// another component has taken the place of this one, which would go on and on.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        match self {
            Detached::ByOwner => true,
            Detached::Ended(Error::Stream(Ended::Remote(error))) => matches!(
                error.condition,
                StreamCondition::NotAuthorized
                    | StreamCondition::HostUnknown
                    | StreamCondition::HostGone
                    | StreamCondition::Conflict
            ),
            Detached::Unreachable(_) | Detached::Broken(_) | Detached::Ended(_) | Detached::ByServer => false,
        }
    }
}

impl fmt::Display for Detached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Detached::Unreachable(reason) => write!(f, "the server cannot be reached: {reason}"),
            Detached::Broken(reason) => write!(f, "the connection broke: {reason}"),
            Detached::Ended(Error::Stream(Ended::Remote(error)))
                if error.condition == StreamCondition::NotAuthorized =>
            {
                f.write_str("the server does not take the secret of the component")
            }
            Detached::Ended(error) => error.fmt(f),
            Detached::ByServer => f.write_str("the server has closed the stream"),
            Detached::ByOwner => f.write_str("the component has been closed"),
        }
    }
}

/// The same words as `Display`: a `main` that returns it shows what is wrong.
impl fmt::Debug for Detached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl core::error::Error for Detached {}
