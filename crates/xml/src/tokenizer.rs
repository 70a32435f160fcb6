//! Bytes to events: the grammar of XML (XML 1.0 sections 2 to 4) as far as XMPP has it (RFC 6120 section 11).
//!
//! It reads the bytes of one element, or of a document's beginning, which lie in one piece however they have come; so an event
//! says where in them a name, a value or a piece of text stands, and nothing is copied that is written as it is meant. It goes on
//! from any byte: what it knows of those before is its state. What nearly everybody writes is taken in one go, where it is whole;
//! all else goes through the states, byte by byte, and both come to the same.
//!
//! Each event, and each error, comes with the byte that makes it certain, whatever follows and wherever the input was cut. Bytes
//! above ASCII are taken as they come; whether they are UTF-8 is for the reader to find out, which does so for all of them at
//! once, and before it believes an error that stands behind them. Prefixes are looked up, and attributes compared, by
//! `builder.rs`.

use alloc::boxed::Box;
use alloc::string::String;

use smallvec::SmallVec;

use crate::ReadError::{self, BadNamespace, NotWellFormed, Restricted};
use crate::chars::{NAME_START, is};
use crate::tree::{Span, place};
use declaration::Declaration;
use reference::Reference;

mod content;
mod declaration;
mod reference;
mod special;
mod tag;

/// Bytes in one name or attribute value. Text of any length arrives.
pub(crate) const MAX_TOKEN: usize = 16_384;

/// Levels for which there is room without asking for memory.
pub(crate) const LEVELS: usize = 8;

const INSTRUCTION: ReadError = Restricted("a processing instruction");
const MISMATCH: ReadError = NotWellFormed("an end tag does not match its start tag");
const NO_CHARACTER: ReadError = NotWellFormed("a character that XML does not have");
const MISPLACED: ReadError = NotWellFormed("a character is out of place");
/// What no declaration may be of.
pub(crate) const RESERVED: ReadError = BadNamespace("a reserved prefix or namespace is declared");
const COLON: ReadError = BadNamespace("a colon out of place in a name");

/// Where a name with or without prefix stands.
#[derive(Clone, Copy, Default)]
pub(crate) struct QName {
    start: u32,
    /// Where its colon is, if it is not 0, where no name begins.
    colon: u32,
    end: u32,
}

impl QName {
    fn new(start: usize, colon: Option<usize>, end: usize) -> Self {
        QName { start: place(start), colon: colon.map_or(0, place), end: place(end) }
    }

    #[inline]
    pub(crate) fn prefix(self) -> Span {
        match self.colon {
            0 => Span::EMPTY,
            colon => Span::between(self.start, colon),
        }
    }

    #[inline]
    pub(crate) fn local(self) -> Span {
        match self.colon {
            0 => Span::between(self.start, self.end),
            colon => Span::between(colon + 1, self.end),
        }
    }
}

pub(crate) enum Event {
    /// `<?xml ...?>`, at the beginning of a document.
    Declaration,
    /// A start tag begins; its attributes follow.
    Open(QName),
    /// An attribute or namespace declaration.
    Attribute(QName, Span),
    /// The start tag is complete.
    Opened,
    /// A piece of text that is not empty. More of the same may follow.
    Text(Span),
    /// A character of text: what a reference or a line end means.
    Char(char),
    /// A CDATA section begins. Its content follows as text.
    Cdata,
    /// The element is complete. Its end tag had the name of its start tag.
    Close,
}

/// Where an event was.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    /// Behind its last byte.
    pub(crate) end: usize,
    /// The last `<`.
    pub(crate) markup: usize,
}

/// Who is told of events.
pub(crate) trait Sink {
    /// What makes the tokenizer stop.
    type Part;

    /// Takes the next event of what is read from `source`; a part, if it is the last one of that.
    fn take(&mut self, event: Event, source: &[u8], place: Place) -> Result<Option<Self::Part>, ReadError>;

    /// Where values are put together that aren't written as they are meant.
    fn pool(&mut self) -> &mut String;
}

/// What a step has come to.
enum Step<P> {
    /// A part is complete.
    Part(P),
    /// All input was taken.
    More,
    /// On with the next state.
    Next,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Outside of markup: in an element, or where none is open.
    Content,
    /// Inside of a CDATA section.
    Cdata,
    /// Behind `<`.
    Markup,
    /// Behind `<!`.
    Bang,
    /// Behind `<!-`.
    Dash,
    /// In `<![CDATA[`, of which so much as `matched` says has been read.
    CdataOpen,
    /// In `<?xml`, the same.
    Instruction,
    /// Between `<?xml` and `?>`.
    Declaration,
    /// In the name of a start tag.
    Name,
    /// In a start tag, behind its name or an attribute.
    Tag,
    /// The same behind white space: there may be an attribute.
    TagSpace,
    /// In the name of an attribute.
    Attribute,
    /// Between an attribute's name and `=`.
    Equals,
    /// Between `=` and the quote.
    Quote,
    /// In an attribute value, up to `quote`.
    Value,
    /// Behind `&` in text.
    TextReference,
    /// Behind `&` in an attribute value.
    ValueReference,
    /// Behind the `/` of an empty tag.
    Slash,
    /// Behind an empty tag, whose end is still to be told.
    Empty,
    /// In the name of an end tag, the same.
    EndTag,
    /// Behind the name of an end tag.
    EndTagSpace,
}

pub(crate) struct Tokenizer {
    state: State,
    /// What comes next. All positions are counted from where the element begins.
    at: usize,
    /// Where the name, or what has not been told of the text or value, begins.
    mark: usize,
    /// The last `<`.
    markup: usize,
    /// Where the name that is being read has its colon.
    colon: Option<usize>,
    /// The attribute whose value is being read.
    attribute: QName,
    /// Where in the pool that value is put together, if it isn't written as it is meant.
    decoded: Option<usize>,
    /// The quote around that value.
    quote: u8,
    /// How far a reference has been read.
    reference: Reference,
    /// How far an XML declaration has been read.
    declaration: Declaration,
    /// How many bytes have come of those that must come.
    matched: usize,
    /// A line feed that comes now belongs to the carriage return before it (XML section 2.11).
    after_cr: bool,
    /// The names of the open elements.
    open: SmallVec<[(u32, u32); LEVELS]>,
    /// The name of the stream header's element, which is open all the time.
    header: Option<Box<[u8]>>,
    /// Nothing of the document has come yet: there may be a declaration.
    is_fresh: bool,
    /// Nothing but white space, which can stand before no declaration.
    is_after_space: bool,
}

/// Where in a document a tokenizer is that has nothing to read.
#[derive(Clone, Copy)]
pub(crate) struct Between {
    is_fresh: bool,
    is_after_space: bool,
}

impl Tokenizer {
    /// At the beginning of a document.
    pub(crate) fn new() -> Self {
        Tokenizer {
            state: State::Content,
            at: 0,
            mark: 0,
            markup: 0,
            colon: None,
            attribute: QName::default(),
            decoded: None,
            quote: b'\'',
            reference: Reference::Begins,
            declaration: Declaration::new(),
            matched: 0,
            after_cr: false,
            open: SmallVec::new(),
            header: None,
            is_fresh: true,
            is_after_space: false,
        }
    }

    /// In the middle of a document: there can be no declaration.
    pub(crate) fn within() -> Self {
        Tokenizer { is_fresh: false, ..Tokenizer::new() }
    }

    /// How many bytes have been taken.
    pub(crate) fn position(&self) -> usize {
        self.at
    }

    /// Where the last `<` was.
    pub(crate) fn markup(&self) -> usize {
        self.markup
    }

    /// Whether the start tag that is complete was an empty one.
    pub(crate) fn is_empty_tag(&self) -> bool {
        matches!(self.state, State::Empty)
    }

    /// What comes now lies elsewhere: it is counted from its own beginning.
    pub(crate) fn restart(&mut self) {
        self.at = 0;
        self.mark = 0;
    }

    /// What comes now is a document of its own.
    pub(crate) fn begin_document(&mut self) {
        self.is_fresh = true;
        self.is_after_space = false;
    }

    /// White space has been passed over before what comes.
    pub(crate) fn passed_space(&mut self) {
        self.is_after_space = true;
    }

    /// The start tag that has just been opened is the stream header.
    pub(crate) fn enter_header(&mut self, source: &[u8]) {
        if let Some((start, end)) = self.open.pop() {
            self.header = source.get(start as usize..end as usize).map(Box::from);
        }
    }

    /// Hands out the name of the header, and where it is in the document.
    pub(crate) fn rest(&mut self) -> (Option<Box<[u8]>>, Between) {
        let Tokenizer { is_fresh, is_after_space, .. } = *self;
        (self.header.take(), Between { is_fresh, is_after_space })
    }

    /// Goes on where another one has come to.
    pub(crate) fn wake(&mut self, header: Option<Box<[u8]>>, place: Between) {
        self.header = header;
        Between { is_fresh: self.is_fresh, is_after_space: self.is_after_space } = place;
    }

    /// Takes input and tells of all that is in it until a part is complete, and not a byte more. `None`: all input taken.
    /// `source` is what has come since [`restart`](Tokenizer::restart), the input of the calls before included.
    pub(crate) fn run<S: Sink>(&mut self, source: &[u8], sink: &mut S) -> Result<Option<S::Part>, ReadError> {
        loop {
            let step = match self.state {
                State::Content if self.open.is_empty() => self.outside(source, sink)?,
                State::Content => self.content(source, sink)?,
                State::Tag | State::TagSpace => self.tag(source, sink)?,
                State::Empty => self.close(source, sink)?,
                State::Markup => self.markup_begins(source, sink)?,
                State::Name => self.element_name(source, sink)?,
                State::Attribute => self.attribute_name(source)?,
                State::Value => self.value(source, sink)?,
                State::EndTag => self.end_tag(source, sink)?,
                State::Slash => self.slash(source, sink)?,
                State::EndTagSpace => self.end_tag_space(source, sink)?,
                State::Equals => self.equals(source)?,
                State::Quote => self.quote(source)?,
                State::TextReference | State::ValueReference => self.reference(source, sink)?,
                State::Cdata => self.cdata(source, sink)?,
                State::Bang | State::Dash | State::CdataOpen => self.bang(source, sink)?,
                State::Instruction => self.instruction(source)?,
                State::Declaration => self.declaration(source, sink)?,
            };
            match step {
                Step::Part(part) => return Ok(Some(part)),
                Step::More => return Ok(None),
                Step::Next => {}
            }
        }
    }

    /// Tells of what ends at `at`. The event is known where this is called, so that little of it is left there.
    #[inline(always)]
    fn emit<S: Sink>(
        &mut self,
        event: Event,
        source: &[u8],
        sink: &mut S,
    ) -> Result<Step<S::Part>, ReadError> {
        let place = Place { end: self.at, markup: self.markup };
        Ok(sink.take(event, source, place)?.map_or(Step::Next, Step::Part))
    }

    /// Passes over the byte at `at`, which is what is wrong.
    fn refuse<T>(&mut self, error: ReadError) -> Result<T, ReadError> {
        self.at += 1;
        Err(error)
    }

    /// Passes over a byte that can't stand where it does.
    fn misplaced<T>(&mut self, byte: u8) -> Result<T, ReadError> {
        let is_token = is(byte, NAME_START) || byte >= 0x80 || b"'\"=>/".contains(&byte);
        self.refuse(if is_token { NotWellFormed("something is out of place") } else { MISPLACED })
    }

    /// On to what begins with the byte behind `at`.
    fn begin<P>(&mut self, state: State) -> Step<P> {
        self.go(state);
        Step::Next
    }

    fn go(&mut self, state: State) {
        self.at += 1;
        self.mark = self.at;
        self.state = state;
    }

    /// Gives memory back.
    pub(crate) fn release(&mut self) {
        self.open.shrink_to_fit();
    }

    #[cfg(test)]
    pub(crate) fn footprint(&self) -> usize {
        (self.open.capacity() - LEVELS) * size_of::<(u32, u32)>()
            + self.header.as_ref().map_or(0, |name| name.len())
    }
}
