//! What a client tells.

use core::fmt;
use core::ops::Deref;
use core::time::Duration;
use std::sync::Arc;

use balcony_client::{
    Disconnected, IncomingId, IncomingRequest, Message, Note, ReceivedPresence, Undelivered,
};
use balcony_jid::FullJid;
use balcony_stanza::{ErrorCondition, Payload, Stanza, StanzaError};
use balcony_stream::client::Token;

use super::shared::Shared;

/// What a [`Client`](crate::Client) tells.
///
/// What nobody looks at does no harm: a [`Request`] that is dropped is refused.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// A session has begun: requests of before are gone, and presence has been sent.
    Online(FullJid),
    /// The session of before goes on as if nothing had happened (XEP-0198): what waits for an answer goes on waiting for it.
    Resumed,
    /// The connection is gone, or none came about. Whether the session goes on is seen when there is another one.
    Offline {
        /// Why.
        why: Arc<Disconnected>,
        /// When it tries again; `None`: it does not, and the next thing that it says is why, as an error.
        next: Option<Duration>,
    },
    /// Somebody has written. Of messages that could not be delivered [`Undelivered`](Event::Undelivered) tells.
    Message(Box<Message>),
    /// Somebody is there or has gone, or wants to see our presence.
    Presence(Box<ReceivedPresence>),
    /// Something that was sent could not be delivered.
    Undelivered(Box<Undelivered>),
    /// Somebody asks for something that no extension has answered.
    Request(Request),
    /// What an extension tells.
    Note(Note),
    /// The server has given a token for the next login, in place of the one before (XEP-0484). The client uses it by itself. A program that
    /// wants to log in by it when it is started again keeps [its text](Token::to_text) where it would keep a password, and gives it to
    /// [`ClientBuilder::token`](crate::ClientBuilder::token).
    Token(Box<Token>),
    /// Anything else: changes that the server announces, of the roster for example, if no extension takes them; answers to requests
    /// that were sent as plain stanzas.
    Stanza(Box<Stanza>),
}

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
