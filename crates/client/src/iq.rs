//! Requests and their answers (RFC 6120 section 8.2.3).

use alloc::boxed::Box;
use core::fmt;
use core::time::Duration;

use balcony_jid::Jid;
use balcony_stanza::{ErrorCondition, IqType, Kind, Payload, Stanza, StanzaError};
use balcony_xml::{Element, ElementRef};

use crate::RequestKind;
use crate::queue::cost;

/// A request to be made: what it asks for, of whom, and how long the answer may take.
///
/// ```
/// use balcony_client::Iq;
/// use balcony_xep::ping::Ping;
///
/// let iq = Iq::get(Ping.to_element()).to("example.com".parse()?);
/// # Ok::<(), balcony_jid::JidError>(())
/// ```
#[must_use = "it is not sent yet"]
#[derive(Clone, Debug)]
pub struct Iq {
    pub(crate) kind: RequestKind,
    pub(crate) to: Option<Jid>,
    pub(crate) payload: Payload,
    pub(crate) timeout: Option<Duration>,
}

impl Iq {
    fn new(kind: RequestKind, payload: Payload) -> Iq {
        Iq { kind, to: None, payload, timeout: None }
    }

    /// Asks for something. The content is one element.
    pub fn get(content: impl Into<Payload>) -> Iq {
        Iq::new(RequestKind::Get, content.into())
    }

    /// Changes something. The content is one element.
    pub fn set(content: impl Into<Payload>) -> Iq {
        Iq::new(RequestKind::Set, content.into())
    }

    /// Whom to ask; the own account unless it is said.
    pub fn to(mut self, to: Jid) -> Self {
        self.to = Some(to);
        self
    }

    /// How long the answer may take, instead of what is usual for the client.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }
}

/// The result of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    stanza: Stanza,
    content: Element,
}

impl Response {
    /// Its only element; `None` if it says no more than that the request was carried out.
    #[must_use]
    pub fn element(&self) -> Option<ElementRef<'_>> {
        self.content.root().children().next()
    }

    /// The first element that `T` can be made of, such as a type of the package `xmpp-parsers`.
    #[cfg(feature = "minidom")]
    #[must_use]
    pub fn get<T: TryFrom<minidom::Element>>(&self) -> Option<T> {
        get(self.content.root())
    }

    /// The stanza.
    #[must_use]
    pub fn stanza(&self) -> &Stanza {
        &self.stanza
    }

    /// Bytes of memory that it takes.
    pub(crate) fn memory(&self) -> usize {
        cost(&self.stanza) + self.content.memory()
    }
}

/// Why a request has no result.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RequestError {
    /// It was refused, for this reason.
    Refused(StanzaError),
    /// No answer has come in time. Whether it was carried out is not known.
    TimedOut,
    /// There is no connection, or it went before the answer came. Whether it was carried out is not known then.
    Offline,
    /// Too much waits to be sent, or 1,024 requests wait for their answers: it was not sent.
    Full,
    /// The answer is not what the extension says.
    Unreadable,
}

/// The same words as `Display`: a `main` that returns it shows what is wrong.
impl fmt::Debug for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RequestError::Refused(error) => write!(f, "the request was refused: {error}"),
            RequestError::TimedOut => f.write_str("the request was not answered in time"),
            RequestError::Offline => f.write_str("the client is offline, so nobody can answer the request"),
            RequestError::Full => f.write_str("too much waits to be sent, or for an answer"),
            RequestError::Unreadable => f.write_str("the answer to the request makes no sense"),
        }
    }
}

impl core::error::Error for RequestError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            RequestError::Refused(error) => Some(error),
            _ => None,
        }
    }
}

/// What an answer to a request of ours comes to.
pub(crate) fn outcome(stanza: Stanza) -> Result<Response, RequestError> {
    if stanza.head.kind == Kind::Iq(IqType::Error) {
        return Err(RequestError::Refused(error_of(&stanza)));
    }
    match stanza.payload.parse() {
        Ok(content) => Ok(Response { stanza, content }),
        Err(_) => Err(RequestError::Unreadable),
    }
}

/// What a stanza of the type `error` says went wrong.
pub(crate) fn error_of(stanza: &Stanza) -> StanzaError {
    let content = stanza.payload.parse().ok();
    let error = content.and_then(|content| StanzaError::from_payload(content.root()));
    error.unwrap_or_else(|| ErrorCondition::UndefinedCondition.into())
}

/// A request that somebody else makes. It must be answered (RFC 6120 section 8.2.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IncomingRequest {
    stanza: Stanza,
    kind: RequestKind,
    content: Element,
}

impl IncomingRequest {
    /// Reads it; `None` if the stanza is none.
    #[must_use]
    pub fn read(stanza: &Stanza) -> Option<Box<IncomingRequest>> {
        let kind = match stanza.head.kind {
            Kind::Iq(IqType::Get) => RequestKind::Get,
            Kind::Iq(IqType::Set) => RequestKind::Set,
            _ => return None,
        };
        let content = stanza.payload.parse().ok()?;
        content.root().children().next()?;
        Some(Box::new(IncomingRequest { stanza: stanza.clone(), kind, content }))
    }

    /// Who asks; `None`: the own account or its server.
    #[must_use]
    pub fn from(&self) -> Option<&Jid> {
        self.stanza.head.from.as_ref()
    }

    /// Whether it asks or changes.
    #[must_use]
    pub fn kind(&self) -> RequestKind {
        self.kind
    }

    /// What it asks for. There is exactly one element in a request.
    #[must_use]
    pub fn element(&self) -> ElementRef<'_> {
        self.content.root().children().next().unwrap_or(self.content.root())
    }

    /// `T`, if it can be made of the element, such as a type of the package `xmpp-parsers`.
    #[cfg(feature = "minidom")]
    #[must_use]
    pub fn get<T: TryFrom<minidom::Element>>(&self) -> Option<T> {
        get(self.content.root())
    }

    /// The stanza.
    #[must_use]
    pub fn stanza(&self) -> &Stanza {
        &self.stanza
    }

    /// Bytes of memory that it takes.
    pub(crate) fn memory(&self) -> usize {
        cost(&self.stanza) + self.content.memory()
    }
}

#[cfg(feature = "minidom")]
pub(crate) fn get<T: TryFrom<minidom::Element>>(content: ElementRef<'_>) -> Option<T> {
    content.children().find_map(|child| T::try_from(minidom::Element::try_from(child).ok()?).ok())
}
