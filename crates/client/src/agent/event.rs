//! What an agent tells its owner.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::any::Any;
use core::fmt;
use core::time::Duration;

use balcony_jid::FullJid;
use balcony_stanza::Stanza;
use balcony_stream::client::Token;

use super::Disconnected;
use crate::extension::Note;
use crate::queue::{ENTRY, cost, error_cost};
use crate::{IncomingRequest, Message, ReceivedPresence, RequestError, Response, Undelivered};

/// What an [`Agent`](crate::Agent) tells its owner. `R` is a request that waits for an answer: what is needed to answer it.
///
/// What nobody looks at does no harm, but for requests: each has to be answered.
#[derive(Debug)]
#[non_exhaustive]
pub enum AgentEvent<R = (IncomingId, Box<IncomingRequest>)> {
    /// A session has begun: requests of before are gone, and presence has been sent.
    ///
    /// What had come in the session before and was not told yet is told before this. If that is not possible any more, as the server had
    /// ended that session meanwhile, its messages come after it, and its presence and requests do not come at all: they are of nobody's
    /// concern in this one.
    Online(FullJid),
    /// The session of before goes on as if nothing had happened (XEP-0198): what waits for an answer goes on waiting for it.
    Resumed,
    /// The connection is gone, or none came about. Whether the session goes on is seen when there is another one.
    Offline {
        /// Why.
        why: Arc<Disconnected>,
        /// When it tries again; `None`: it does not, and this is the end.
        next: Option<Duration>,
    },
    /// Somebody has written. Of messages that could not be delivered [`Undelivered`](AgentEvent::Undelivered) tells.
    Message(Box<Message>),
    /// Somebody is there or has gone, or wants to see our presence.
    Presence(Box<ReceivedPresence>),
    /// The server has taken over the message with this id, which is the one that [`Agent::send`](crate::Agent::send) has returned (XEP-0198):
    /// it is the server's now, and is not sent again. That the recipient has it a receipt tells (XEP-0184). Only if that is
    /// [wanted](crate::AgentConfig::tells_acknowledged), and where the server counts.
    Acknowledged(Arc<str>),
    /// Something that was sent could not be delivered.
    Undelivered(Box<Undelivered>),
    /// Somebody asks for something that no extension has answered. It must be answered (RFC 6120 section 8.2.3).
    Request(R),
    /// What an extension tells.
    Note(Note),
    /// The server has given a token for the next login, in place of the one before (XEP-0484). The client uses it by itself. A program that
    /// wants to log in by it when it is started again keeps [its text](Token::to_text) where it would keep a password.
    Token(Box<Token>),
    /// Anything else: changes that the server announces, of the roster for example, if no extension takes them; answers to requests
    /// that were sent as plain stanzas.
    Stanza(Box<Stanza>),
}

impl<R> AgentEvent<R> {
    /// The same, with something else for a request.
    pub fn map_request<S>(self, map: impl FnOnce(R) -> S) -> AgentEvent<S> {
        match self {
            AgentEvent::Online(jid) => AgentEvent::Online(jid),
            AgentEvent::Resumed => AgentEvent::Resumed,
            AgentEvent::Offline { why, next } => AgentEvent::Offline { why, next },
            AgentEvent::Message(message) => AgentEvent::Message(message),
            AgentEvent::Presence(presence) => AgentEvent::Presence(presence),
            AgentEvent::Acknowledged(id) => AgentEvent::Acknowledged(id),
            AgentEvent::Undelivered(undelivered) => AgentEvent::Undelivered(undelivered),
            AgentEvent::Request(request) => AgentEvent::Request(map(request)),
            AgentEvent::Note(note) => AgentEvent::Note(note),
            AgentEvent::Token(token) => AgentEvent::Token(token),
            AgentEvent::Stanza(stanza) => AgentEvent::Stanza(stanza),
        }
    }
}

impl AgentEvent {
    /// What it costs while it waits, in bytes of memory.
    pub(super) fn cost(&self) -> usize {
        match self {
            AgentEvent::Message(message) => message.memory(),
            AgentEvent::Presence(presence) => {
                cost(presence.stanza()) + presence.stanza().payload.as_bytes().len()
            }
            AgentEvent::Undelivered(undelivered) => {
                cost(&undelivered.stanza) + error_cost(&undelivered.error)
            }
            AgentEvent::Request((_, request)) => request.memory(),
            AgentEvent::Stanza(stanza) => cost(stanza),
            AgentEvent::Acknowledged(id) => ENTRY + id.len(),
            AgentEvent::Online(_)
            | AgentEvent::Resumed
            | AgentEvent::Offline { .. }
            | AgentEvent::Note(_)
            | AgentEvent::Token(_) => ENTRY,
        }
    }
}

/// Names a request of somebody else's that waits for its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IncomingId(pub(super) u64);

/// What has become of a request or call of the owner's.
#[derive(Debug)]
pub enum Completion {
    /// The outcome of a [request](crate::Agent::request).
    Response(Result<Response, RequestError>),
    /// What a [call](crate::Agent::call) has come to: the extension's [`Outcome`](crate::Callable::Outcome).
    Call(Box<dyn Any + Send>),
    /// The session is gone, and with it the call.
    Lost,
}

/// Why a stanza was not accepted.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum OutboxError {
    /// The outbox is full; see [`Agent::has_room`](crate::Agent::has_room).
    Full,
    /// The client has ended.
    Ended,
    /// It is from an address of another domain than that of the component.
    OtherDomain,
}

/// The same words as `Display`: a `main` that returns it shows what is wrong.
impl fmt::Debug for OutboxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for OutboxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            OutboxError::Full => "too much waits to be sent",
            OutboxError::Ended => "the client has ended",
            OutboxError::OtherDomain => "the stanza is from an address of another domain",
        })
    }
}

impl core::error::Error for OutboxError {}
