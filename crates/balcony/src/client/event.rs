//! What a client tells.

use core::fmt;
use core::ops::Deref;
use std::sync::Arc;

use balcony_client::{AgentEvent, IncomingId, IncomingRequest};
use balcony_stanza::{ErrorCondition, Payload, StanzaError};

use super::shared::Shared;

/// What a [`Client`](crate::Client) tells. What nobody looks at does no harm: a [`Request`] that is dropped is refused.
pub type Event = AgentEvent<Request>;

/// A request that somebody makes. If it is dropped it is refused, with `service-unavailable`: nobody waits in vain (RFC 6120 section
/// 8.2.3). What it asks for is in the [`IncomingRequest`] that it stands for.
#[must_use = "dropped it is refused"]
pub struct Request {
    id: IncomingId,
    request: Box<IncomingRequest>,
    shared: Arc<Shared>,
}

impl Request {
    pub(super) fn new(id: IncomingId, request: Box<IncomingRequest>, shared: &Arc<Shared>) -> Request {
        Request { id, request, shared: Arc::clone(shared) }
    }

    /// Answers it. An answer without anything in it says that the request was carried out: [`Payload::EMPTY`]. If the session is
    /// over, nobody waits for it any more.
    pub fn reply(self, content: impl Into<Payload>) {
        self.shared.reply(self.id, content.into());
    }

    /// Refuses it.
    pub fn refuse(self, error: impl Into<StanzaError>) {
        self.shared.refuse(self.id, &error.into());
    }
}

impl Deref for Request {
    type Target = IncomingRequest;

    fn deref(&self) -> &IncomingRequest {
        &self.request
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        // Of one that has been answered nothing comes.
        self.shared.refuse(self.id, &ErrorCondition::ServiceUnavailable.into());
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.request.fmt(f)
    }
}
