//! From the bytes of a stream to its header, its elements and its end (RFC 6120 sections 4 and 11), wherever the bytes are cut.
//!
//! How that is read is in `body.rs`. Here is what of a reader lasts from one element to the next, and the memory that many of them share.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use balcony_machine::XmlLimits;

use crate::scope::Kept;
use crate::tokenizer::Between;
use crate::tree::Tree;
use crate::{ElementRef, ReadError};
pub(crate) use body::Body;

mod assembly;
mod body;

/// Cuts a stream into its parts: the header, whole top-level elements, the closing tag (RFC 6120 section 4).
///
/// Give it bytes as they come. Where they are cut makes no difference, to errors neither. A restarted stream is a new
/// stream: give it a new reader (RFC 6120 section 4.3.3).
///
/// An element that lies whole in the input is read there and copied once; one that comes in pieces is put together first. The
/// time taken grows with the bytes, however they are cut and whatever is in them.
///
/// White space before the header and between elements is skipped; before an XML declaration there can be none. An element is
/// held until it is complete, its exact bytes beside its parsed form, so the memory taken is a small multiple of
/// [`XmlLimits::bytes`]: with [`XmlLimits::STANZA`] twice that, and eleven times for short attributes; between elements it is a few kilobytes.
///
/// Whoever has many readers gives them a [`Workspace`] in common: one that is [between elements](Reader::rest) has then some hundred bytes.
///
/// Memory is asked for in a way that can be refused, where what gives it can refuse ([`ReadError::NoMemory`]).
///
/// An element that passes another limit than that of bytes, or that of memory, somewhere in its content is no danger to the stream: its content is
/// read and dropped, and it comes as [`Token::Refused`].
///
/// ```
/// use balcony_machine::XmlLimits;
/// use balcony_xml::{ReadError, Reader, Token};
///
/// let mut reader = Reader::new(XmlLimits::STANZA);
/// let mut input = &b"<s:stream xmlns:s='http://etherx.jabber.org/streams' xmlns='jabber:client'>\
///     <message to='juliet@capulet.example'><body>Art thou</body></message>  <!-- psst -->"[..];
///
/// assert_eq!(reader.read(&mut input), Ok(Some(Token::Header)));
/// assert!(reader.header().is("stream", "http://etherx.jabber.org/streams"));
///
/// assert_eq!(reader.read(&mut input), Ok(Some(Token::Element)));
/// assert_eq!(reader.element().attr("to"), Some("juliet@capulet.example"));
/// assert_eq!(reader.payload(), b"<body>Art thou</body>");
///
/// assert_eq!(reader.read(&mut input), Err(ReadError::Restricted("a comment")));
/// ```
pub struct Reader(State);

enum State {
    Awake(Box<Body>),
    Resting(Resting),
}

/// What lasts from one element of a stream to the next.
struct Resting {
    limits: XmlLimits,
    /// What the header declares.
    kept: Kept,
    /// What the owner says that the content namespace is.
    content: Option<Box<str>>,
    /// The name of the header.
    header: Option<Box<[u8]>>,
    place: Between,
    whitespace: u64,
    in_message: u32,
    is_restart: bool,
    framed: bool,
}

/// Memory in which readers read, one after the other. It is for whoever has many of them and reads from one at a time: who
/// [lends](Reader::wake) it to a reader that is about to read, and has the reader [give it back](Reader::rest) when it has read all that has come.
///
/// It has some kilobytes, and keeps what up to 16 readers have needed at once.
///
/// ```
/// use balcony_machine::XmlLimits;
/// use balcony_xml::{Reader, Token, Workspace};
///
/// let mut workspace = Workspace::new();
/// let mut readers = [(); 2].map(|()| Reader::new(XmlLimits::STANZA));
/// for input in ["<s xmlns='u'>", "<a/>", "<b", "/>"] {
///     for reader in &mut readers {
///         reader.wake(&mut workspace);
///         let mut input = input.as_bytes();
///         while let Some(token) = reader.read(&mut input)? {
///             assert!(token == Token::Header || reader.element().namespace() == "u");
///         }
///         reader.rest(&mut workspace);
///     }
/// }
/// # Ok::<(), balcony_xml::ReadError>(())
/// ```
#[derive(Default)]
#[expect(clippy::vec_box, reason = "a reader takes the box")]
pub struct Workspace(Vec<Box<Body>>);

impl Workspace {
    /// Without any memory yet.
    #[must_use]
    pub const fn new() -> Workspace {
        Workspace(Vec::new())
    }
}

impl fmt::Debug for Workspace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Workspace").field(&self.0.len()).finish()
    }
}

/// So many readers may be in the middle of an element while others read.
const PLACES: usize = 16;

/// A part of a stream, complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token {
    /// The stream header: [`Reader::header`].
    Header,
    /// A top-level element, a stanza or not: [`Reader::element`].
    Element,
    /// A top-level element whose content passes a limit: [`Reader::element`] has its start tag only, and
    /// [`Reader::payload`] is empty. What follows it can be read.
    Refused(ReadError),
    /// The closing stream tag. Nothing follows.
    End,
}

/// Where there is no element.
static BLANK: Tree = Tree::new();

impl Reader {
    /// A reader at the start of a stream.
    #[must_use]
    pub fn new(limits: XmlLimits) -> Reader {
        Reader::of(Body::new(limits))
    }

    /// A reader of a stream that is the restart of another on the same connection (RFC 6120 section 4.3.3). White space at its
    /// beginning belongs to the one before, as some peers end every element with a new line.
    #[must_use]
    pub fn restarted(limits: XmlLimits) -> Reader {
        Reader::of(Body::restarted(limits))
    }

    /// A reader of messages that hold one element each, as on a WebSocket (RFC 7395 section 3.3.3). Each message is
    /// followed by a byte of zero, which can stand in no XML. There is no header and no end: every element is a
    /// [`Token::Element`]. One that declares no default namespace is in `content`.
    #[must_use]
    pub fn framed(limits: XmlLimits, content: &str) -> Reader {
        Reader::of(Body::framed(limits, content))
    }

    fn of(body: Body) -> Reader {
        Reader(State::Awake(Box::new(body)))
    }

    fn body(&self) -> Option<&Body> {
        match &self.0 {
            State::Awake(body) => Some(body),
            State::Resting(_) => None,
        }
    }

    /// It is about to read, in memory of this workspace, if that has any and the reader none. (One that has none makes some when it reads.)
    pub fn wake(&mut self, workspace: &mut Workspace) {
        if let State::Resting(_) = self.0
            && let Some(body) = workspace.0.pop()
        {
            self.wake_in(body);
        }
    }

    fn wake_in(&mut self, body: Box<Body>) {
        let before = core::mem::replace(&mut self.0, State::Awake(body));
        if let (State::Awake(body), State::Resting(resting)) = (&mut self.0, before) {
            body.wake(resting);
        }
    }

    /// It reads nothing for now: gives its memory to this workspace if it is between two elements of a stream, or else keeps it. From then on there
    /// is no [element](Reader::element) and no [header](Reader::header).
    pub fn rest(&mut self, workspace: &mut Workspace) {
        if let State::Awake(body) = &mut self.0
            && let Some(resting) = body.rest()
            && let State::Awake(body) = core::mem::replace(&mut self.0, State::Resting(resting))
            && workspace.0.len() < PLACES
        {
            workspace.0.push(body);
        }
    }

    /// Changes the limits, for what is read from now on.
    pub fn set_limits(&mut self, limits: XmlLimits) {
        match &mut self.0 {
            State::Awake(body) => body.set_limits(limits),
            State::Resting(resting) => resting.limits = limits,
        }
    }

    /// The limits of what is read from now on.
    #[must_use]
    pub fn limits(&self) -> XmlLimits {
        match &self.0 {
            State::Awake(body) => body.limits(),
            State::Resting(resting) => resting.limits,
        }
    }

    /// Takes input until one token is complete, and not a byte after its closing `>`: what follows belongs to the next
    /// token, or to TLS. `None`: all input was taken, and more is needed. Input after [`Token::End`] is taken and
    /// ignored (RFC 6120 section 4.4).
    ///
    /// # Errors
    ///
    /// [`ReadError`] if the peer broke a rule or passed a limit, as soon as that is certain; from then on always the same.
    pub fn read(&mut self, input: &mut &[u8]) -> Result<Option<Token>, ReadError> {
        loop {
            match &mut self.0 {
                State::Awake(body) => return body.read(input),
                State::Resting(_) if input.is_empty() => return Ok(None),
                State::Resting(resting) => {
                    let body = Box::new(Body::new(resting.limits));
                    self.wake_in(body);
                }
            }
        }
    }

    /// The stream header, after [`Token::Header`] and until the next [`read`](Reader::read): name, namespace and attributes.
    #[must_use]
    pub fn header(&self) -> ElementRef<'_> {
        self.body().map_or(ElementRef { tree: &BLANK, node: 0 }, Body::header)
    }

    /// The default namespace that the header declared, empty if none. In a stream in order it is the content namespace
    /// (RFC 6120 section 4.8.2).
    #[must_use]
    pub fn content_namespace(&self) -> &str {
        match &self.0 {
            State::Awake(body) => body.content_namespace(),
            State::Resting(resting) => {
                resting.content.as_deref().unwrap_or_else(|| resting.kept.default_namespace())
            }
        }
    }

    /// The header declares no content namespace, which it need not (RFC 6120 section 4.8.2): each first-level element declares its
    /// own. From now on this one is [the content namespace](Reader::content_namespace), of which elements depend on no declaration.
    pub fn set_content_namespace(&mut self, content: &str) {
        match &mut self.0 {
            State::Awake(body) => body.set_content_namespace(content),
            State::Resting(resting) => resting.content = Some(content.into()),
        }
    }

    /// The limit that the last element passes, if it is a [`Token::Refused`], until the next [`read`](Reader::read).
    #[must_use]
    pub fn refusal(&self) -> Option<ReadError> {
        self.body().and_then(Body::refusal)
    }

    /// The last [`Token::Element`], or the start tag of the last [`Token::Refused`], until the next [`read`](Reader::read).
    #[must_use]
    pub fn element(&self) -> ElementRef<'_> {
        self.body().map_or(ElementRef { tree: &BLANK, node: 0 }, Body::element)
    }

    /// Its exact bytes, from `<` to `>`.
    #[must_use]
    pub fn raw(&self) -> &[u8] {
        self.body().map_or(&[], Body::raw)
    }

    /// Its content as XML that stands on its own in any element whose default namespace is the
    /// [content namespace](Reader::content_namespace).
    ///
    /// Those are the exact bytes, unless the content depends on a prefix or a default namespace that was declared outside
    /// of it, on the element's own start tag or the header; then it is written anew, without the declarations and
    /// prefixes that no name needs. (A prefix inside of a value is not a name; XMPP's own namespaces have none.) An element
    /// whose content would then be longer than [`XmlLimits::bytes`] is [refused](Token::Refused) as too long.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        self.body().map_or(&[], Body::payload)
    }

    /// Bytes of white space skipped so far outside of top-level elements. Some peers send it to keep a connection alive
    /// (RFC 6120 section 4.6.1).
    #[must_use]
    pub fn whitespace(&self) -> u64 {
        match &self.0 {
            State::Awake(body) => body.whitespace(),
            State::Resting(resting) => resting.whitespace,
        }
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Neither stanzas nor credentials belong into logs.
        match &self.0 {
            State::Awake(body) => body.fmt(f),
            State::Resting(_) => f.debug_struct("Reader").finish_non_exhaustive(),
        }
    }
}

#[cfg(test)]
mod tests;
