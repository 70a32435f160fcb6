//! A request as an extension gets it, and what the extension can say to it: the answer, or what has to be done first and how it
//! goes on then.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use balcony_jid::Jid;
use balcony_machine::Secret;
use balcony_stanza::{ErrorCondition, IqType, Payload, Stanza, StanzaError};
use balcony_xml::{Element, ElementRef};

use super::Call;
use crate::{Answer, Append, Content, DocumentEdit, LogEdit};

/// An iq get or set for an extension (RFC 6120 section 8.2.3).
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The stanza. Its `from` is there.
    pub stanza: &'a Stanza,
    /// Get or set.
    pub kind: IqType,
    /// What is asked: the child of the iq.
    pub element: ElementRef<'a>,
}

impl Request<'_> {
    /// Who asks.
    #[must_use]
    pub const fn from(&self) -> Option<&Jid> {
        self.stanza.head.from.as_ref()
    }

    /// Whether a client asks its own account, with or without its address.
    #[must_use]
    pub fn is_own(&self) -> bool {
        let head = &self.stanza.head;
        head.from.as_ref().is_some_and(|from| head.to.as_ref().is_none_or(|to| to.same_bare(from)))
    }
}

/// Whether what comes for a client goes to it now: see [`Registry::hold`](super::Registry::hold).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// It goes, past what is held.
    Pass,
    /// It is held. If the client's session is over before it goes, it goes elsewhere, as all that a session has not got.
    Hold,
    /// It is held in the place of what is held under this name, which is dropped; so is this if the session is over: to others it would
    /// say nothing. It stands behind all that came before it.
    Latest(Box<str>),
    /// All that is held goes, in order, and then it.
    Flush,
}

/// What an extension says to a request. It leaves when all that the request has caused is on its way.
///
/// It is made by `into()` of an element or a [`Payload`], of an [`ErrorCondition`] or a [`StanzaError`], or of a `Result` of these.
#[derive(Debug)]
#[must_use]
pub enum Reply {
    /// The iq result has this content, which may be empty.
    Result(Payload),
    /// It fails.
    Error(StanzaError),
    /// Something has to be done first: what [`Context::save`](super::Context::save), `read` and others return.
    Later(Later),
}

impl Reply {
    /// A result without content.
    pub const DONE: Reply = Reply::Result(Payload::EMPTY);
}

impl From<Element> for Reply {
    fn from(element: Element) -> Self {
        Reply::Result(element.into())
    }
}

impl From<Payload> for Reply {
    fn from(payload: Payload) -> Self {
        Reply::Result(payload)
    }
}

impl From<StanzaError> for Reply {
    fn from(error: StanzaError) -> Self {
        Reply::Error(error)
    }
}

impl From<ErrorCondition> for Reply {
    fn from(condition: ErrorCondition) -> Self {
        Reply::Error(condition.into())
    }
}

impl<T: Into<Reply>> From<Result<T, StanzaError>> for Reply {
    fn from(result: Result<T, StanzaError>) -> Self {
        result.map_or_else(Reply::Error, Into::into)
    }
}

/// What becomes of a message that nobody of its recipient's account takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Absent {
    /// It is not kept: its sender hears so, if the sender may.
    Return,
    /// It is of no use later, and nobody misses it.
    Drop,
    /// It goes into a log.
    Keep(Append),
}

/// One change of what an extension keeps of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// Of a document.
    Document(DocumentEdit),
    /// Of a log.
    Log(LogEdit),
}

impl Edit {
    /// A document holds this now.
    #[must_use]
    pub fn put(collection: &'static str, key: &str, version: u8, bytes: impl Into<Arc<[u8]>>) -> Edit {
        let content = Some(Content { version, bytes: bytes.into() });
        Edit::Document(DocumentEdit { collection: Cow::Borrowed(collection), key: Arc::from(key), content })
    }

    /// A document is no more.
    #[must_use]
    pub fn remove(collection: &'static str, key: &str) -> Edit {
        Edit::Document(DocumentEdit {
            collection: Cow::Borrowed(collection),
            key: Arc::from(key),
            content: None,
        })
    }
}

/// What waits for a change that is not durable yet, beside the account's later requests to itself and its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// Nothing.
    Requests,
    /// All that the account sends, to anybody.
    Everything,
}

/// What an extension waits for, and how it goes on.
pub struct Later {
    pub(crate) todo: Todo,
    pub(crate) hold: Hold,
    pub(crate) then: Then,
}

/// What has to be done.
pub(crate) enum Todo {
    Save(Vec<Edit>),
    Read { collection: &'static str, key: Arc<str> },
    SetPassword(Secret<String>),
    Remove,
    External(Arc<[u8]>),
}

/// What an extension does with the answer.
type Run = Box<dyn FnOnce(&mut Call<'_>, Answer) -> Reply + Send>;

/// How an extension goes on.
pub(crate) struct Then {
    /// Which extension it is.
    pub(crate) index: u8,
    pub(crate) run: Run,
}

impl fmt::Debug for Later {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Later").field("hold", &self.hold).field("then", &self.then).finish_non_exhaustive()
    }
}

impl fmt::Debug for Then {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Then").field("index", &self.index).finish_non_exhaustive()
    }
}
