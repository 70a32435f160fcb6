//! From the bytes of a stream to its header, its elements and its end (RFC 6120 sections 4 and 11), wherever the bytes are cut.
//!
//! It keeps to the limits, and says what is wrong as soon as that is certain. The grammar is known to `tokenizer.rs`, namespaces
//! and the tree of an element to `builder.rs`; what an element means is decided by others.

use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

use balcony_machine::XmlLimits;

use crate::builder::Builder;
use crate::tokenizer::{Event, INSTRUCTION, Tokenizer};
use crate::tree::{Tree, index};
use crate::{ElementRef, ReadError};

/// However generous the limits, positions in an element fit into 32 bits.
const MAX_BYTES: usize = 1 << 30;

/// Cuts a stream into its parts: the header, whole top-level elements, the closing tag (RFC 6120 section 4).
///
/// Give it bytes as they come. Where they are cut makes no difference, to errors neither. A restarted stream is a new
/// stream: give it a new reader (RFC 6120 section 4.3.3).
///
/// White space before the header and between elements is skipped; before an XML declaration there can be none. An element is
/// held until it is complete, its exact bytes beside its parsed form, so the memory taken is at most a small multiple of
/// [`XmlLimits::bytes`]; between elements it is a few kilobytes.
///
/// An element that passes another limit than that of bytes somewhere in its content is no danger to the stream: its content is
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
pub struct Reader {
    limits: XmlLimits,
    tokenizer: Tokenizer,
    builder: Builder,
    phase: Phase,
    header: Tree,
    /// From the first `<` of the token that is being read, or has just been.
    raw: Vec<u8>,
    /// Where in `raw` the start tag ends.
    content: usize,
    /// Where in `raw` its child elements stand.
    children: Vec<Range<u32>>,
    /// The content written anew, if it borrows.
    rewritten: Vec<u8>,
    /// Whether somebody wants that.
    makes_payload: bool,
    whitespace: u64,
    /// Whether white space has come before the document that begins with the next byte, which may then have no declaration.
    space_before: bool,
    /// White space before the document is that of another stream.
    is_restart: bool,
    /// The element is one that passes a limit: its start tag is kept, and all else is read and dropped.
    refusal: Option<ReadError>,
    /// Levels of elements that are open in it, itself among them.
    skipped: usize,
    /// Elements come in messages of their own (RFC 7395).
    framed: bool,
    /// Elements in the message that is being read.
    in_message: u32,
    /// `<?xml` stands where it is not allowed; what follows says which error that is.
    in_instruction: bool,
    error: Option<ReadError>,
}

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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    BeforeHeader,
    /// The header was an empty tag, so its end follows at once.
    EmptyStream,
    /// Between top-level elements or inside of one.
    Open,
    /// `builder` and `raw` hold an element for the caller.
    Complete,
    Ended,
}

impl Reader {
    /// A reader at the start of a stream.
    #[must_use]
    pub fn new(limits: XmlLimits) -> Reader {
        Reader {
            limits,
            tokenizer: Tokenizer::new(),
            builder: Builder::new(),
            phase: Phase::BeforeHeader,
            header: Tree::default(),
            raw: Vec::new(),
            content: 0,
            children: Vec::new(),
            rewritten: Vec::new(),
            makes_payload: true,
            whitespace: 0,
            space_before: false,
            is_restart: false,
            refusal: None,
            skipped: 0,
            framed: false,
            in_message: 0,
            in_instruction: false,
            error: None,
        }
    }

    /// A reader of a stream that is the restart of another on the same connection (RFC 6120 section 4.3.3). White space at its
    /// beginning belongs to the one before, as some peers end every element with a new line.
    #[must_use]
    pub fn restarted(limits: XmlLimits) -> Reader {
        Reader { is_restart: true, ..Reader::new(limits) }
    }

    /// A reader of messages that hold one element each, as on a WebSocket (RFC 7395 section 3.3.3). Each message is
    /// followed by a byte of zero, which can stand in no XML. There is no header and no end: every element is a
    /// [`Token::Element`]. One that declares no default namespace is in `content`.
    #[must_use]
    pub fn framed(limits: XmlLimits, content: &str) -> Reader {
        let mut reader = Reader::new(limits);
        reader.framed = true;
        reader.phase = Phase::Open;
        reader.builder = Builder::within(content);
        reader
    }

    /// Changes the limits, for what is read from now on.
    pub fn set_limits(&mut self, limits: XmlLimits) {
        self.limits = limits;
    }

    /// Only the elements themselves are wanted.
    pub(crate) fn no_payload(&mut self) {
        self.makes_payload = false;
    }

    /// Takes input until one token is complete, and not a byte after its closing `>`: what follows belongs to the next
    /// token, or to TLS. `None`: all input was taken, and more is needed. Input after [`Token::End`] is taken and
    /// ignored (RFC 6120 section 4.4).
    ///
    /// # Errors
    ///
    /// [`ReadError`] if the peer broke a rule or passed a limit, as soon as that is certain; from then on always the same.
    pub fn read(&mut self, input: &mut &[u8]) -> Result<Option<Token>, ReadError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        self.step(input).inspect_err(|error| {
            self.error = Some(*error);
            self.forget();
            self.release();
        })
    }

    fn step(&mut self, input: &mut &[u8]) -> Result<Option<Token>, ReadError> {
        match self.phase {
            Phase::Complete => {
                self.forget();
                self.phase = Phase::Open;
            }
            Phase::EmptyStream => {
                self.phase = Phase::Ended;
                return Ok(Some(Token::End));
            }
            Phase::Ended => {
                *input = &[];
                return Ok(None);
            }
            Phase::BeforeHeader | Phase::Open => {}
        }
        if self.in_instruction {
            return self.instruction(input);
        }
        loop {
            if self.raw.is_empty() {
                if !self.skip_whitespace(input)? {
                    self.release();
                    return Ok(None);
                }
                if let [0, rest @ ..] = *input {
                    *input = rest;
                    self.end_message()?;
                    continue;
                }
            }
            let room = self.limits.bytes.min(MAX_BYTES).saturating_sub(self.raw.len());
            let before = *input;
            let mut slice = &before[..before.len().min(room)];
            let offered = slice.len();
            let event = self.tokenizer.next(&mut slice);
            let (taken, rest) = before.split_at(offered - slice.len());
            self.raw.extend_from_slice(taken);
            *input = rest;
            match event {
                Ok(Some(event)) => {
                    if let Some(token) = self.take(&event)? {
                        return Ok(Some(token));
                    }
                }
                Ok(None) if input.is_empty() => return Ok(None),
                Ok(None) => return Err(ReadError::TooLong),
                Err(ReadError::Restricted(INSTRUCTION)) if self.raw.ends_with(b"<?xml") => {
                    self.in_instruction = true;
                    return self.instruction(input);
                }
                Err(error) => return Err(self.explain(error)),
            }
        }
    }

    /// Reads the byte behind a `<?xml` that can't stand where it does. It says whether this is an XML declaration: the header of a
    /// stream that the peer took to be restarted begins like this (RFC 6120 section 4.3.3).
    fn instruction(&mut self, input: &mut &[u8]) -> Result<Option<Token>, ReadError> {
        match input.split_off_first() {
            None => Ok(None),
            Some(b' ' | b'\t' | b'\r' | b'\n' | b'?') => {
                Err(ReadError::Restricted("an XML declaration that is not at the beginning of a stream"))
            }
            Some(_) => Err(ReadError::Restricted(INSTRUCTION)),
        }
    }

    /// Whether something else is left.
    fn skip_whitespace(&mut self, input: &mut &[u8]) -> Result<bool, ReadError> {
        let rest = input.iter().position(|byte| !matches!(byte, b' ' | b'\t' | b'\r' | b'\n'));
        let (space, rest) = input.split_at(rest.unwrap_or(input.len()));
        self.whitespace += space.len() as u64;
        self.space_before |= !space.is_empty() && !self.is_restart;
        *input = rest;
        match rest.first() {
            None => Ok(false),
            // A reference is text too, but it may be one that XMPP forbids.
            Some(b'<' | b'&') => Ok(true),
            // The end of a message.
            Some(0) if self.framed => Ok(true),
            // UTF-16 begins like this.
            Some(0x00 | 0xfe | 0xff) if self.phase == Phase::BeforeHeader => Err(ReadError::Encoding),
            // It may not even be text.
            Some(0x80..) if self.phase == Phase::Open => Ok(true),
            Some(_) => Err(self.stray_text()),
        }
    }

    /// A message is over: it must have held one element. The next is a document of its own.
    fn end_message(&mut self) -> Result<(), ReadError> {
        if core::mem::take(&mut self.in_message) != 1 {
            return Err(ReadError::NotWellFormed("a message holds exactly one element"));
        }
        self.tokenizer = Tokenizer::new();
        self.space_before = false;
        Ok(())
    }

    fn stray_text(&self) -> ReadError {
        match self.phase {
            Phase::BeforeHeader => ReadError::NotWellFormed("text before the stream header"),
            _ => ReadError::StrayText,
        }
    }

    fn take(&mut self, event: &Event) -> Result<Option<Token>, ReadError> {
        if self.refusal.is_some() {
            return self.skip(event);
        }
        match self.build(event) {
            Err(error) if self.is_survivable(error) => {
                // An element that is one too many has not been opened.
                self.skipped = self.builder.depth() + usize::from(matches!(event, Event::Open { .. }));
                self.refusal = Some(error);
                self.children.clear();
                self.builder.drop_content();
                Ok(None)
            }
            result => result,
        }
    }

    /// Whether the reader can go on behind the element: only what is in it is too much.
    fn is_survivable(&self, error: ReadError) -> bool {
        let is_limit =
            matches!(error, ReadError::TooDeep | ReadError::TooManyAttributes | ReadError::TooManyNodes);
        // Who sent it and to whom has to be known.
        let has_start_tag = self.content > 0;
        is_limit && has_start_tag
    }

    /// Takes the rest of an element that is refused.
    fn skip(&mut self, event: &Event) -> Result<Option<Token>, ReadError> {
        match event {
            // The tokenizer keeps the names of all open elements.
            Event::Open { .. } if self.skipped >= self.limits.nodes => return Err(ReadError::TooDeep),
            Event::Open { .. } => self.skipped += 1,
            Event::Close => self.skipped -= 1,
            _ => {}
        }
        match self.skipped {
            0 => {
                self.builder.close();
                Ok(Some(self.complete()))
            }
            _ => Ok(None),
        }
    }

    fn build(&mut self, event: &Event) -> Result<Option<Token>, ReadError> {
        let top = self.builder.depth() == 0;
        match event {
            Event::Declaration if self.space_before => {
                return Err(ReadError::NotWellFormed("white space before the XML declaration"));
            }
            Event::Declaration => self.raw.clear(),
            // An empty CDATA section leaves no other trace.
            Event::Open { .. } | Event::Close if top && self.raw.starts_with(b"<!") => {
                return Err(self.stray_text());
            }
            Event::Open { prefix, name } => {
                let prefix = prefix.as_ref().map_or("", |prefix| prefix.as_str());
                self.builder.open(prefix, name, &self.limits)?;
                if self.builder.depth() == 2 {
                    let start = index(memchr::memrchr(b'<', &self.raw).unwrap_or_default());
                    self.children.push(start..start);
                }
            }
            Event::Attribute { prefix, name, value } => {
                let prefix = prefix.as_ref().map_or("", |prefix| prefix.as_str());
                self.builder.attribute(prefix, name, value, &self.limits)?;
            }
            Event::Opened => {
                self.builder.opened()?;
                if self.phase == Phase::BeforeHeader {
                    self.header = self.builder.finish_header();
                    self.phase = if self.raw.ends_with(b"/>") { Phase::EmptyStream } else { Phase::Open };
                    self.raw.clear();
                    return Ok(Some(Token::Header));
                }
                if self.builder.depth() == 1 {
                    self.content = self.raw.len();
                }
            }
            Event::Text(_) if top => return Err(self.stray_text()),
            Event::Text(text) => self.builder.text(text, &self.limits)?,
            Event::Close if top => {
                self.phase = Phase::Ended;
                self.forget();
                return Ok(Some(Token::End));
            }
            Event::Close => {
                self.builder.close();
                match self.builder.depth() {
                    0 => return Ok(Some(self.complete())),
                    1 => {
                        if let Some(child) = self.children.last_mut() {
                            child.end = index(self.raw.len());
                        }
                    }
                    _ => {}
                }
            }
        }
        Ok(None)
    }

    fn complete(&mut self) -> Token {
        self.in_message = self.in_message.saturating_add(1);
        self.phase = Phase::Complete;
        if self.builder.borrows() && self.makes_payload {
            let mut written = core::mem::take(&mut self.rewritten);
            let room = self.limits.bytes;
            let is_whole = self.element().write_content_within(room, &mut written, self.content_namespace());
            self.rewritten = written;
            if !is_whole {
                self.rewritten = Vec::new();
                self.builder.drop_content();
                self.refusal = Some(ReadError::TooLong);
            }
        }
        self.refusal.map_or(Token::Element, Token::Refused)
    }

    /// The tokenizer doesn't tell everything apart.
    fn explain(&self, error: ReadError) -> ReadError {
        let before_header = self.phase == Phase::BeforeHeader;
        match *self.raw {
            _ if before_header && self.raw.contains(&0) => ReadError::Encoding,
            [.., b'<', b'!', byte] if byte.is_ascii_alphabetic() => {
                ReadError::Restricted("a document type declaration")
            }
            [b'<', b'?', b'x', b'm', b'l', byte, ..]
                if before_header && !matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b'?') =>
            {
                ReadError::Restricted(INSTRUCTION)
            }
            [.., 0] if self.framed => ReadError::NotWellFormed("the message ends inside of its element"),
            _ => error,
        }
    }

    /// Drops the element.
    fn forget(&mut self) {
        self.raw.clear();
        self.content = 0;
        self.children.clear();
        self.rewritten.clear();
        self.refusal = None;
        self.skipped = 0;
        self.builder.clear();
    }

    /// Nothing is being read: keep little.
    fn release(&mut self) {
        self.tokenizer.release();
        self.builder.shrink();
        self.raw.shrink_to(1024);
        self.children.shrink_to(16);
        self.rewritten = Vec::new();
    }

    /// The stream header, after [`Token::Header`] and for the reader's whole life: name, namespace and attributes.
    #[must_use]
    pub fn header(&self) -> ElementRef<'_> {
        ElementRef { tree: &self.header, node: 0 }
    }

    /// The default namespace that the header declared, empty if none. In a stream in order it is the content namespace
    /// (RFC 6120 section 4.8.2).
    #[must_use]
    pub fn content_namespace(&self) -> &str {
        self.builder.content_namespace()
    }

    /// The header declares no content namespace, which it need not (RFC 6120 section 4.8.2): each first-level element declares its
    /// own. From now on this one is [the content namespace](Reader::content_namespace), of which elements depend on no declaration.
    pub fn set_content_namespace(&mut self, content: &str) {
        self.builder.set_content_namespace(content);
    }

    /// The limit that the last element passes, if it is a [`Token::Refused`], until the next [`read`](Reader::read).
    #[must_use]
    pub fn refusal(&self) -> Option<ReadError> {
        self.refusal.filter(|_| self.phase == Phase::Complete)
    }

    /// The last [`Token::Element`], or the start tag of the last [`Token::Refused`], until the next [`read`](Reader::read).
    #[must_use]
    pub fn element(&self) -> ElementRef<'_> {
        ElementRef { tree: self.builder.tree(), node: 0 }
    }

    /// Its exact bytes, from `<` to `>`.
    #[must_use]
    pub fn raw(&self) -> &[u8] {
        if self.phase == Phase::Complete { &self.raw } else { &[] }
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
        let raw = self.raw();
        if self.refusal.is_some() {
            return &[];
        }
        if self.builder.borrows() {
            return &self.rewritten;
        }
        // No `<` can stand inside of an end tag, and an empty tag ends behind any other.
        let end = memchr::memrchr(b'<', raw).unwrap_or_default();
        raw.get(self.content..end).unwrap_or_default()
    }

    /// Its child elements, each with its place in the exact bytes.
    pub(crate) fn children(&self) -> impl Iterator<Item = (ElementRef<'_>, Range<usize>)> {
        let places = self.children.iter().map(|child| child.start as usize..child.end as usize);
        self.element().children().zip(places)
    }

    /// Where in the exact bytes its content begins.
    pub(crate) fn content_start(&self) -> usize {
        self.content
    }

    /// Bytes of white space skipped so far outside of top-level elements. Some peers send it to keep a connection alive
    /// (RFC 6120 section 4.6.1).
    #[must_use]
    pub fn whitespace(&self) -> u64 {
        self.whitespace
    }

    /// Hands out the complete element.
    pub(crate) fn take_tree(mut self) -> Tree {
        core::mem::take(self.builder.tree_mut())
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Neither stanzas nor credentials belong into logs.
        f.debug_struct("Reader")
            .field("phase", &self.phase)
            .field("bytes", &self.raw.len())
            .field("error", &self.error)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
