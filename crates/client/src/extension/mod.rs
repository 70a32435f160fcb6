//! Extensions of a client: plain values that their owner puts together.

mod commands;
mod discovery;
mod private_storage;
mod push;
mod receipts;
mod roster;

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::any::Any;
use core::fmt;

use balcony_jid::{FullJid, Jid};
use balcony_machine::Instant;
use balcony_stanza::Stanza;
use balcony_stream::client::ServerFeatures;

pub use commands::{CommandAnswer, CommandAsker, CommandCall, CommandOutcome, CommandStep, Commands};
pub use discovery::Discovery;
pub use private_storage::{PrivateStorage, StorageCall};
pub use push::Push;
pub use receipts::{Delivered, Receipts};
pub use roster::Roster;

use crate::agent::State;
use crate::{Iq, OutboxError, RequestError, RequestId, Response};

/// What a client does beyond the core: a value that an [`Agent`](crate::Agent) shows what happens.
///
/// It answers requests, reads along, makes requests of its own and [tells](Context::note) the owner what comes of them. Nothing of
/// it is there unless the owner puts it there, and extensions that stand before it see everything first.
///
/// ```
/// use balcony_client::{Context, Extension, Iq, RequestError, RequestId, Response};
/// use balcony_stanza::Stanza;
/// use balcony_xep::last;
///
/// /// Answers how long nothing has happened here (XEP-0012).
/// struct Idle(u64);
///
/// impl Extension for Idle {
///     fn features(&self) -> Vec<std::borrow::Cow<'static, str>> {
///         vec![last::NS.into()]
///     }
///
///     fn take(&mut self, context: &mut Context<'_>, stanza: &Stanza) -> bool {
///         let Some(request) = balcony_client::IncomingRequest::read(stanza) else { return false };
///         if !last::Query::read(request.element()).is_some() {
///             return false;
///         }
///         let last = last::Last { seconds: self.0, status: None };
///         // There is room for an answer, or nothing would be shown.
///         stanza.result().is_none_or(|answer| context.send(answer.with_child(last.to_element())).is_ok())
///     }
/// }
/// ```
pub trait Extension: Any {
    /// The features that it adds to those of the client (XEP-0030). They are asked for once, when the agent is made.
    fn features(&self) -> Vec<Cow<'static, str>> {
        Vec::new()
    }

    /// The client is online, on a new session. What is sent here goes out before initial presence.
    fn online(&mut self, context: &mut Context<'_>) {
        let _ = context;
    }

    /// The session is gone, and with it all requests: each of them has been [answered](Extension::answered) before.
    fn offline(&mut self) {}

    /// A stanza has come. `true`: it is dealt with, and nobody else sees it. A request that is taken must be answered, now or later.
    fn take(&mut self, context: &mut Context<'_>, stanza: &Stanza) -> bool {
        let _ = (context, stanza);
        false
    }

    /// Whether somebody may see that this client is there (RFC 6121 section 4.2), if this extension knows: [`Roster`] does. Who may not should
    /// not learn it from an answer; see [`Context::sender_sees`].
    fn sees(&self, somebody: &Jid) -> Option<bool> {
        let _ = somebody;
        None
    }

    /// The groups of the own account's roster in which somebody is (RFC 6121 section 2.1.2.6), if this extension knows: [`Roster`] does. It is asked
    /// when somebody requests something.
    fn groups(&self, somebody: &Jid) -> Option<Vec<String>> {
        let _ = somebody;
        None
    }

    /// The outcome of a [request](Context::request) that this extension has made.
    fn answered(
        &mut self,
        context: &mut Context<'_>,
        request: RequestId,
        outcome: Result<Response, RequestError>,
    ) {
        let _ = (context, request, outcome);
    }
}

/// An extension that its owner can call, and whose answer takes a while.
pub trait Callable: Extension {
    /// What it is told to do.
    type Command;
    /// What comes of it.
    type Outcome: Send + 'static;

    /// Begins. Each call is [completed](Context::complete) once, with a value of this type, now or later; at the latest when the
    /// session is gone. The client is online.
    fn call(&mut self, context: &mut Context<'_>, call: CallId, command: Self::Command);
}

/// Names one request or call of the owner's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u64);

/// What an extension can do while it is shown something.
pub struct Context<'a> {
    pub(crate) state: &'a mut State,
    pub(crate) jid: &'a FullJid,
    pub(crate) now: Instant,
    /// The extension's place among all.
    pub(crate) index: usize,
}

impl Context<'_> {
    /// The time.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.now
    }

    /// The address that the server has bound.
    #[must_use]
    pub fn jid(&self) -> &FullJid {
        self.jid
    }

    /// What the server has announced.
    #[must_use]
    pub fn server_features(&self) -> ServerFeatures {
        self.state.server
    }

    /// The features of all extensions, sorted, each once.
    #[must_use]
    pub fn features(&self) -> &[Cow<'static, str>] {
        &self.state.features
    }

    /// Sends a stanza.
    ///
    /// # Errors
    ///
    /// [`OutboxError::Full`]: too much waits to be sent, 2,048 stanzas or 2 MiB. It cannot be while a stanza is [shown](Extension::take) and
    /// this is the first one that is sent.
    pub fn send(&mut self, stanza: Stanza) -> Result<(), OutboxError> {
        if self.state.send(stanza) { Ok(()) } else { Err(OutboxError::Full) }
    }

    /// Whether whoever has sent the stanza that is shown may see that this client is there: the own account, its server, whoever was sent
    /// presence, and whom an extension [knows](Extension::sees) of. `None`: nobody here knows, since there is no [`Roster`].
    #[must_use]
    pub fn sender_sees(&self) -> Option<bool> {
        self.state.sender_sees
    }

    /// The groups of the own account's roster in which whoever has sent the request that is shown is, as far as an extension
    /// [knows](Extension::groups). None for other stanzas.
    #[must_use]
    pub fn sender_groups(&self) -> &[String] {
        &self.state.sender_groups
    }

    /// Sends a request. Its outcome comes to [`answered`](Extension::answered), in any case.
    ///
    /// # Errors
    ///
    /// [`RequestError::Offline`]: the session has just ended. [`RequestError::Full`]: as for [`send`](Context::send), or 1,024 requests wait
    /// for their answers. Nothing comes to `answered` then.
    pub fn request(&mut self, iq: Iq) -> Result<RequestId, RequestError> {
        self.state.request(self.now, crate::agent::Asker::Extension(self.index), iq)
    }

    /// Tells the owner something. It is dropped if the owner has taken nothing for so long that twice as much waits as
    /// [may](crate::Agent::is_full).
    pub fn note(&mut self, note: impl Any + Send) {
        self.state.note(Note(Box::new(note)));
    }

    /// A call has come to this.
    pub fn complete<X: Callable>(&mut self, call: CallId, outcome: X::Outcome) {
        self.state.complete(call, crate::agent::Completion::Call(Box::new(outcome)));
    }
}

impl fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("jid", &self.jid).field("now", &self.now).finish_non_exhaustive()
    }
}

/// What an extension tells: a value of a type that it has for that.
pub struct Note(Box<dyn Any + Send>);

impl Note {
    /// The value, if it is of this type.
    #[must_use]
    pub fn get<T: Any>(&self) -> Option<&T> {
        self.0.downcast_ref()
    }
}

impl fmt::Debug for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Note").finish_non_exhaustive()
    }
}

/// The extensions of one client, in the order in which they see what happens: none, up to four values side by side, or any number in
/// boxes.
pub trait Extensions {
    /// The one in that place; `None` behind the last.
    fn at(&mut self, index: usize) -> Option<&mut dyn Extension>;
}

impl Extensions for () {
    fn at(&mut self, _: usize) -> Option<&mut dyn Extension> {
        None
    }
}

macro_rules! side_by_side {
    ($($name:ident $index:tt),+) => {
        impl<$($name: Extension),+> Extensions for ($($name,)+) {
            fn at(&mut self, index: usize) -> Option<&mut dyn Extension> {
                match index {
                    $($index => Some(&mut self.$index),)+
                    _ => None,
                }
            }
        }
    };
}
side_by_side!(A 0);
side_by_side!(A 0, B 1);
side_by_side!(A 0, B 1, C 2);
side_by_side!(A 0, B 1, C 2, D 3);

impl Extensions for Vec<Box<dyn Extension + Send>> {
    fn at(&mut self, index: usize) -> Option<&mut dyn Extension> {
        match self.get_mut(index) {
            Some(extension) => Some(&mut **extension),
            None => None,
        }
    }
}
