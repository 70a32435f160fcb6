//! A reader that reads. It keeps to the limits, and says what is wrong as soon as that is certain. The grammar is known to `tokenizer.rs`, namespaces
//! and the tree of an element to `builder.rs`; what an element means is decided by others.

use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;
use core::{fmt, hint, mem};

use balcony_machine::XmlLimits;

use super::assembly::{Assembly, Part};
use super::{Resting, Token};
use crate::tokenizer::Tokenizer;
use crate::tree::Tree;
use crate::{ElementRef, ReadError};

/// However generous the limits, positions in an element fit into 32 bits.
const MAX_BYTES: usize = 1 << 30;

/// What a [`Reader`](super::Reader) does while it has something to read, and the memory that it needs for that.
pub(crate) struct Body {
    tokenizer: Tokenizer,
    assembly: Assembly,
    phase: Phase,
    /// What has come of a token that is not complete, from its first `<`. The bytes of one that is are its tree's.
    partial: Vec<u8>,
    /// So many of them are known to be UTF-8.
    valid: usize,
    /// Where in the element's bytes its end tag begins.
    content_end: usize,
    /// The content written anew, if it borrows.
    rewritten: Vec<u8>,
    /// Whether somebody wants that.
    makes_payload: bool,
    whitespace: u64,
    /// White space before the document is that of another stream.
    is_restart: bool,
    /// Elements come in messages of their own (RFC 7395).
    framed: bool,
    /// Elements in the message that is being read.
    in_message: u32,
    error: Option<ReadError>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    BeforeHeader,
    /// `builder` holds the header for the caller.
    Header,
    /// The same. It was an empty tag, so its end follows at once.
    EmptyStream,
    /// Between top-level elements or inside of one.
    Open,
    /// `builder` holds an element for the caller.
    Complete,
    Ended,
}

const ONE_ELEMENT: ReadError = ReadError::NotWellFormed("a message holds exactly one element");

/// How many bytes of input are first put behind an element that has begun before; then twice as many each time.
const WINDOW: usize = 512;

/// Whoever keeps the content of an element will need as much memory again, and can't say that there is none: for a content of so many
/// bytes that is found out before.
const LARGE: usize = 2_048;
/// What the memory of something shared has beside it.
const COUNTS: usize = 2 * size_of::<usize>();

/// Whether there is so much memory in one piece. A compiler that sees that nobody uses it may not leave out the question.
fn has_memory(bytes: usize) -> bool {
    let mut piece = Vec::<u8>::new();
    let has_memory = piece.try_reserve_exact(bytes).is_ok();
    hint::black_box(&piece);
    has_memory
}

impl Body {
    /// See [`Reader::new`](super::Reader::new).
    pub(crate) fn new(limits: XmlLimits) -> Body {
        Body {
            tokenizer: Tokenizer::new(),
            assembly: Assembly::new(limits),
            phase: Phase::BeforeHeader,
            partial: Vec::new(),
            valid: 0,
            content_end: 0,
            rewritten: Vec::new(),
            makes_payload: true,
            whitespace: 0,
            is_restart: false,
            framed: false,
            in_message: 0,
            error: None,
        }
    }

    /// See [`Reader::restarted`](super::Reader::restarted).
    pub(crate) fn restarted(limits: XmlLimits) -> Body {
        Body { is_restart: true, ..Body::new(limits) }
    }

    /// See [`Reader::framed`](super::Reader::framed).
    pub(crate) fn framed(limits: XmlLimits, content: &str) -> Body {
        let mut reader = Body::new(limits);
        reader.framed = true;
        reader.phase = Phase::Open;
        reader.assembly.open_within(content);
        reader
    }

    /// See [`Reader::set_limits`](super::Reader::set_limits).
    pub(crate) fn set_limits(&mut self, limits: XmlLimits) {
        self.assembly.limits = limits;
    }

    /// See [`Reader::limits`](super::Reader::limits).
    pub(crate) fn limits(&self) -> XmlLimits {
        self.assembly.limits
    }

    /// A reader of elements around which there is nothing, no declaration neither. Only the elements themselves are wanted,
    /// and where their children stand.
    pub(crate) fn fragment(limits: XmlLimits) -> Body {
        let mut reader = Body::new(limits);
        reader.phase = Phase::Open;
        reader.assembly.open_within("");
        reader.assembly.keeps_children = true;
        reader.tokenizer = Tokenizer::within();
        reader.makes_payload = false;
        reader
    }

    /// See [`Reader::read`](super::Reader::read).
    pub(crate) fn read(&mut self, input: &mut &[u8]) -> Result<Option<Token>, ReadError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        self.step(input).inspect_err(|error| {
            self.error = Some(*error);
            self.forget();
            self.release();
        })
    }

    /// Reads a fragment of just one element, which has these bytes.
    pub(crate) fn read_whole(&mut self, bytes: Vec<u8>) -> Result<Option<Token>, ReadError> {
        let len = bytes.len();
        if len > self.assembly.limits.bytes.min(MAX_BYTES) {
            return self.read(&mut &bytes[..]);
        }
        self.partial = bytes;
        let token = self.read(&mut &[][..])?;
        Ok(token.filter(|_| self.tokenizer.position() == len))
    }

    fn step(&mut self, input: &mut &[u8]) -> Result<Option<Token>, ReadError> {
        match self.phase {
            Phase::Complete | Phase::Header => {
                self.forget();
                self.phase = Phase::Open;
            }
            Phase::EmptyStream => {
                self.forget();
                self.phase = Phase::Ended;
                return Ok(Some(Token::End));
            }
            Phase::Ended => {
                *input = &[];
                return Ok(None);
            }
            Phase::BeforeHeader | Phase::Open => {}
        }
        loop {
            let read = if self.partial.is_empty() {
                if !self.skip_whitespace(input)? {
                    self.release();
                    return Ok(None);
                }
                if let [0, rest @ ..] = *input {
                    *input = rest;
                    self.end_message()?;
                    continue;
                }
                if self.framed && self.in_message > 0 && matches!(input.first(), Some(b'<' | b'&')) {
                    return Err(ONE_ELEMENT);
                }
                self.tokenizer.restart();
                self.read_in_place(input)?
            } else {
                self.read_on(input)?
            };
            match read {
                Some(Part::Declaration) => self.forget(),
                Some(Part::Header) => {
                    self.tokenizer.enter_header(self.assembly.builder.tree().source.as_bytes());
                    self.assembly.finish_header();
                    self.phase =
                        if self.tokenizer.is_empty_tag() { Phase::EmptyStream } else { Phase::Header };
                    return Ok(Some(Token::Header));
                }
                Some(Part::Element) => return Ok(Some(self.complete())),
                Some(Part::End) => {
                    self.phase = Phase::Ended;
                    self.forget();
                    return Ok(Some(Token::End));
                }
                None if input.is_empty() => return Ok(None),
                None if self.room() == 0 => return Err(ReadError::TooLong),
                None => {}
            }
        }
    }

    /// How many more bytes the token may have.
    fn room(&self) -> usize {
        self.assembly.limits.bytes.min(MAX_BYTES).saturating_sub(self.partial.len())
    }

    /// Reads a token that begins with the input; what there is of it is kept if that isn't all.
    fn read_in_place(&mut self, input: &mut &[u8]) -> Result<Option<Part>, ReadError> {
        let source = &input[..input.len().min(self.room())];
        let part = self.tokens(source)?;
        let (taken, rest) =
            input.split_at(if part.is_some() { self.tokenizer.position() } else { source.len() });
        *input = rest;
        if part.is_some() {
            let taken = core::str::from_utf8(taken).map_err(|_| ReadError::Encoding)?;
            crate::work::looked_at(taken.len());
            let kept = &mut self.assembly.builder.tree_mut().source;
            kept.try_reserve(taken.len())?;
            kept.push_str(taken);
        } else {
            crate::work::looked_at(taken.len());
            self.partial.try_reserve(taken.len())?;
            self.partial.extend_from_slice(taken);
        }
        Ok(part)
    }

    /// Reads on in a token that has begun before.
    fn read_on(&mut self, input: &mut &[u8]) -> Result<Option<Part>, ReadError> {
        // Little more than belongs to it, most times: the rest is cut off again.
        let window = WINDOW.max(self.partial.len()).min(self.room()).min(input.len());
        let before = self.partial.len();
        let mut source = mem::take(&mut self.partial);
        crate::work::looked_at(window);
        source.try_reserve(window)?;
        source.extend_from_slice(&input[..window]);
        let part = self.tokens(&source);
        let end = self.tokenizer.position();
        match part {
            Ok(Some(_)) => {
                *input = &input[end.saturating_sub(before)..];
                source.truncate(end);
                let source = String::from_utf8(source).map_err(|_| ReadError::Encoding)?;
                // Its room is what the next such token is put together in.
                self.partial =
                    mem::replace(&mut self.assembly.builder.tree_mut().source, source).into_bytes();
                self.partial.clear();
            }
            Ok(None) => {
                *input = &input[window..];
                self.partial = source;
            }
            Err(_) => {}
        }
        part
    }

    /// Takes all events up to the end of a part. `source` is what has come of it.
    fn tokens(&mut self, source: &[u8]) -> Result<Option<Part>, ReadError> {
        let part = self.tokenizer.run(source, &mut self.assembly);
        let part = part.map_err(|error| self.explain(error, source));
        match part {
            // Who keeps it will look.
            Ok(Some(_)) => self.valid = 0,
            Ok(None) => self.check_utf8(source)?,
            // What stands before an error comes first.
            Err(_) => self.check_utf8(source.get(..self.tokenizer.position()).unwrap_or(source))?,
        }
        part
    }

    /// Whether the bytes are UTF-8, as far as that is certain (RFC 6120 section 11.6).
    fn check_utf8(&mut self, source: &[u8]) -> Result<(), ReadError> {
        let new = source.get(self.valid..).unwrap_or_default();
        crate::work::looked_at(new.len());
        match core::str::from_utf8(new) {
            Ok(_) => self.valid = source.len(),
            // A character of which more is to come.
            Err(error) if error.error_len().is_none() => self.valid += error.valid_up_to(),
            Err(_) => return Err(ReadError::Encoding),
        }
        Ok(())
    }

    /// Whether something else is left.
    fn skip_whitespace(&mut self, input: &mut &[u8]) -> Result<bool, ReadError> {
        let rest = input.iter().position(|byte| !matches!(byte, b' ' | b'\t' | b'\r' | b'\n'));
        let (space, rest) = input.split_at(rest.unwrap_or(input.len()));
        self.whitespace += space.len() as u64;
        if !space.is_empty() && !self.is_restart {
            self.tokenizer.passed_space();
        }
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
            Some(_) => Err(self.assembly.stray_text()),
        }
    }

    /// A message is over: it must have held one element. The next is a document of its own.
    fn end_message(&mut self) -> Result<(), ReadError> {
        if mem::take(&mut self.in_message) != 1 {
            return Err(ONE_ELEMENT);
        }
        self.tokenizer.begin_document();
        Ok(())
    }

    fn complete(&mut self) -> Token {
        self.in_message = self.in_message.saturating_add(1);
        self.phase = Phase::Complete;
        self.content_end = self.tokenizer.markup();
        if self.assembly.builder.borrows() && self.makes_payload {
            let mut written = mem::take(&mut self.rewritten);
            let room = self.assembly.limits.bytes;
            let is_whole = self.element().write_content_within(room, &mut written, self.content_namespace());
            self.rewritten = written;
            if !is_whole {
                self.rewritten = Vec::new();
                // Nothing has been declared since the element was complete.
                self.assembly.builder.drop_content(&[]);
                self.assembly.refusal = Some(ReadError::TooLong);
            }
        }
        // Of what is small nobody doubts it.
        let content = self.payload().len();
        if self.makes_payload && content >= LARGE && !has_memory(content + COUNTS) {
            self.assembly.builder.drop_content(&[]);
            self.assembly.builder.shrink();
            self.assembly.refusal = Some(ReadError::NoMemory);
        }
        self.assembly.refusal.map_or(Token::Element, Token::Refused)
    }

    /// The tokenizer does not know what a byte of zero means.
    fn explain(&self, error: ReadError, source: &[u8]) -> ReadError {
        let last = self.tokenizer.position().checked_sub(1).and_then(|at| source.get(at));
        match (last, self.phase) {
            // UTF-16 is full of them.
            (Some(0), Phase::BeforeHeader) => ReadError::Encoding,
            (Some(0), _) if self.framed => ReadError::NotWellFormed("the message ends inside of its element"),
            _ => error,
        }
    }

    /// Drops the element.
    fn forget(&mut self) {
        self.partial.clear();
        self.valid = 0;
        self.content_end = 0;
        self.rewritten.clear();
        self.assembly.forget();
    }

    /// Nothing is being read: keep little.
    fn release(&mut self) {
        self.tokenizer.release();
        self.assembly.release();
        self.partial.shrink_to(1024);
        self.rewritten = Vec::new();
    }

    /// What of it lasts, if it is between two elements: from then on it has nothing but memory. Something that it holds for the caller is gone.
    pub(super) fn rest(&mut self) -> Option<Resting> {
        let is_between = match self.phase {
            Phase::Complete | Phase::Header => true,
            Phase::Open => self.partial.is_empty(),
            Phase::BeforeHeader | Phase::EmptyStream | Phase::Ended => false,
        };
        if !is_between || self.error.is_some() {
            return None;
        }
        self.forget();
        self.release();
        let (header, place) = self.tokenizer.rest();
        Some(Resting {
            limits: self.assembly.limits,
            kept: self.assembly.builder.rest(),
            content: self.assembly.builder.content.take(),
            header,
            place,
            whitespace: self.whitespace,
            in_message: self.in_message,
            is_restart: self.is_restart,
            framed: self.framed,
        })
    }

    /// Goes on with what another one has left.
    pub(super) fn wake(&mut self, resting: Resting) {
        self.phase = Phase::Open;
        self.assembly.wake(resting.limits);
        self.assembly.builder.wake(resting.kept, resting.content);
        self.tokenizer.wake(resting.header, resting.place);
        self.whitespace = resting.whitespace;
        self.in_message = resting.in_message;
        self.is_restart = resting.is_restart;
        self.framed = resting.framed;
    }

    /// See [`Reader::header`](super::Reader::header).
    pub(crate) fn header(&self) -> ElementRef<'_> {
        ElementRef {
            tree: if self.has_header() { self.assembly.builder.tree() } else { &super::BLANK },
            node: 0,
        }
    }

    fn has_header(&self) -> bool {
        matches!(self.phase, Phase::Header | Phase::EmptyStream)
    }

    /// See [`Reader::content_namespace`](super::Reader::content_namespace).
    pub(crate) fn content_namespace(&self) -> &str {
        self.assembly.builder.content_namespace()
    }

    /// See [`Reader::set_content_namespace`](super::Reader::set_content_namespace).
    pub(crate) fn set_content_namespace(&mut self, content: &str) {
        self.assembly.builder.set_content_namespace(content);
    }

    /// See [`Reader::refusal`](super::Reader::refusal).
    pub(crate) fn refusal(&self) -> Option<ReadError> {
        self.assembly.refusal.filter(|_| self.phase == Phase::Complete)
    }

    /// See [`Reader::element`](super::Reader::element).
    pub(crate) fn element(&self) -> ElementRef<'_> {
        ElementRef {
            tree: if self.has_header() { &super::BLANK } else { self.assembly.builder.tree() },
            node: 0,
        }
    }

    /// See [`Reader::raw`](super::Reader::raw).
    pub(crate) fn raw(&self) -> &[u8] {
        match self.phase {
            Phase::Complete => self.assembly.builder.tree().source.as_bytes(),
            _ => &[],
        }
    }

    /// See [`Reader::payload`](super::Reader::payload).
    pub(crate) fn payload(&self) -> &[u8] {
        let raw = self.raw();
        if self.assembly.refusal.is_some() {
            return &[];
        }
        if self.assembly.builder.borrows() {
            return &self.rewritten;
        }
        // That of an empty tag begins before the content.
        raw.get(self.assembly.content..self.content_end).unwrap_or_default()
    }

    /// Its child elements, each with its place in the exact bytes.
    pub(crate) fn children(&self) -> impl Iterator<Item = (ElementRef<'_>, Range<usize>)> {
        let places = self.assembly.children.iter().map(|child| child.start as usize..child.end as usize);
        self.element().children().zip(places)
    }

    /// Where in the exact bytes its content begins.
    pub(crate) fn content_start(&self) -> usize {
        self.assembly.content
    }

    /// See [`Reader::whitespace`](super::Reader::whitespace).
    pub(crate) fn whitespace(&self) -> u64 {
        self.whitespace
    }

    /// Hands out the complete element.
    pub(crate) fn take_tree(mut self) -> Tree {
        mem::take(self.assembly.builder.tree_mut())
    }
}

#[cfg(test)]
impl Body {
    /// Bytes that it holds.
    pub(super) fn footprint(&self) -> usize {
        size_of::<Body>()
            + self.partial.capacity()
            + self.rewritten.capacity()
            + self.assembly.footprint()
            + self.tokenizer.footprint()
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("phase", &self.phase)
            .field("bytes", &(self.raw().len() + self.partial.len()))
            .field("error", &self.error)
            .finish_non_exhaustive()
    }
}
