//! Text and CDATA sections (XML 1.0 sections 2.4, 2.7 and 2.11).

use super::{Event, MISPLACED, NO_CHARACTER, Reference, Sink, State, Step, Tokenizer};
use crate::ReadError::{self, NotWellFormed};
use crate::chars::{NONCHARACTER, text_run, utf8_len};
use crate::tree::Span;

impl Tokenizer {
    /// The text up to `end`, if there is any.
    pub(super) fn text(&mut self, end: usize) -> Option<Event> {
        let start = core::mem::replace(&mut self.mark, end);
        (start < end).then(|| Event::Text(Span::source(start, end)))
    }

    /// Tells of the text, if there is any.
    pub(super) fn tell<S: Sink>(
        &mut self,
        text: Option<Event>,
        source: &[u8],
        sink: &mut S,
    ) -> Result<Step<S::Part>, ReadError> {
        match text {
            Some(text) => self.emit(text, source, sink),
            None => Ok(Step::Next),
        }
    }

    /// Where no element is open, nothing but elements may stand: white space the reader has passed over.
    pub(super) fn outside<S: Sink>(
        &mut self,
        source: &[u8],
        sink: &mut S,
    ) -> Result<Step<S::Part>, ReadError> {
        let Some(&byte) = source.get(self.at) else { return Ok(Step::More) };
        match byte {
            b'<' => {
                self.markup = self.at;
                Ok(self.begin(State::Markup))
            }
            b'&' => {
                self.reference = Reference::Begins;
                Ok(self.begin(State::TextReference))
            }
            // Text, if it is one.
            _ => match self.char_at(source)? {
                Some(c) => {
                    self.at += c.len_utf8();
                    let text = self.text(self.at);
                    self.tell(text, source, sink)
                }
                None => Ok(Step::More),
            },
        }
    }

    pub(super) fn content<S: Sink>(
        &mut self,
        source: &[u8],
        sink: &mut S,
    ) -> Result<Step<S::Part>, ReadError> {
        if !self.line_goes_on(source) {
            return Ok(Step::More);
        }
        loop {
            self.at += text_run(source.get(self.at..).unwrap_or_default());
            let Some(&byte) = source.get(self.at) else { return Ok(Step::More) };
            match byte {
                b'<' => {
                    self.markup = self.at;
                    let text = self.text(self.at);
                    self.go(State::Markup);
                    return match text {
                        Some(text) => self.emit(text, source, sink),
                        None => self.markup_begins(source, sink),
                    };
                }
                b'&' => {
                    let text = self.text(self.at);
                    self.reference = Reference::Begins;
                    self.go(State::TextReference);
                    return self.tell(text, source, sink);
                }
                b'>' if source.get(self.mark..self.at).is_some_and(|text| text.ends_with(b"]]")) => {
                    return self.refuse(NotWellFormed("unescaped ']]>' forbidden in text"));
                }
                b'>' => self.at += 1,
                b'\r' => return self.line_ends(source, sink),
                _ => match self.not_quite_ordinary(source, byte)? {
                    true => {}
                    false => return Ok(Step::More),
                },
            }
        }
    }

    pub(super) fn cdata<S: Sink>(&mut self, source: &[u8], sink: &mut S) -> Result<Step<S::Part>, ReadError> {
        if !self.line_goes_on(source) {
            return Ok(Step::More);
        }
        loop {
            self.at += text_run(source.get(self.at..).unwrap_or_default());
            let Some(&byte) = source.get(self.at) else { return Ok(Step::More) };
            match byte {
                b'>' if source.get(self.mark..self.at).is_some_and(|text| text.ends_with(b"]]")) => {
                    let text = self.text(self.at - 2);
                    self.go(State::Content);
                    return self.tell(text, source, sink);
                }
                b'<' | b'&' | b'>' => self.at += 1,
                b'\r' => return self.line_ends(source, sink),
                _ => match self.not_quite_ordinary(source, byte)? {
                    true => {}
                    false => return Ok(Step::More),
                },
            }
        }
    }

    /// A carriage return: first what stands before it, then what it means.
    pub(super) fn line_ends<S: Sink>(
        &mut self,
        source: &[u8],
        sink: &mut S,
    ) -> Result<Step<S::Part>, ReadError> {
        if let Some(text) = self.text(self.at) {
            return self.emit(text, source, sink);
        }
        self.at += 1;
        self.mark = self.at;
        self.after_cr = true;
        self.emit(Event::Char('\n'), source, sink)
    }

    /// Passes over the line feed that belongs to a carriage return. Whether that is done.
    pub(super) fn line_goes_on(&mut self, source: &[u8]) -> bool {
        if self.after_cr {
            match source.get(self.at) {
                None => return false,
                Some(b'\n') => {
                    self.at += 1;
                    self.mark = self.at;
                }
                Some(_) => {}
            }
            self.after_cr = false;
        }
        true
    }

    /// Passes over a byte that may or may not be part of a character that XML has; `false` if more of it has to come.
    pub(super) fn not_quite_ordinary(&mut self, source: &[u8], byte: u8) -> Result<bool, ReadError> {
        if byte != NONCHARACTER {
            return self.refuse(NO_CHARACTER);
        }
        match source.get(self.at + 1..self.at + 3) {
            None => Ok(false),
            Some([0xbf, 0xbe | 0xbf]) => {
                self.at += 2;
                self.refuse(MISPLACED)
            }
            // Whether this is the rest of a character is seen elsewhere.
            Some(_) => {
                self.at += 1;
                Ok(true)
            }
        }
    }

    /// The character outside of ASCII at `at`; `None` if more of it has to come.
    pub(super) fn char_at(&mut self, source: &[u8]) -> Result<Option<char>, ReadError> {
        let rest = source.get(self.at..).unwrap_or_default();
        let len = rest.first().map_or(1, |first| utf8_len(*first));
        match core::str::from_utf8(&rest[..rest.len().min(len)]) {
            Ok(text) => Ok(text.chars().next()),
            Err(error) if error.error_len().is_none() => Ok(None),
            Err(_) => self.refuse(ReadError::Encoding),
        }
    }
}
