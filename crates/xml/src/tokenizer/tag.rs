//! Start tags, empty tags and end tags (XML 1.0 sections 3.1 and 3.3.3; Namespaces in XML section 4).

use alloc::string::String;

use super::{
    COLON, Event, MAX_TOKEN, MISMATCH, MISPLACED, QName, RESERVED, Reference, Sink, State, Step, Tokenizer,
};
use crate::ReadError::{self, NotWellFormed};
use crate::chars::{NAME, NAME_START, SPACE, is, name_char, value_run};
use crate::tree::{Span, push_valid};

impl Tokenizer {
    pub(super) fn markup_begins<S: Sink>(
        &mut self,
        source: &[u8],
        sink: &mut S,
    ) -> Result<Step<S::Part>, ReadError> {
        let Some(&byte) = source.get(self.at) else { return Ok(Step::More) };
        match byte {
            b'/' => {
                self.matched = 0;
                self.go(State::EndTag);
                self.end_tag(source, sink)
            }
            b'!' => Ok(self.begin(State::Bang)),
            b'?' => {
                self.matched = 2;
                Ok(self.begin(State::Instruction))
            }
            _ => {
                self.is_fresh = false;
                self.name_begins(State::Name);
                self.element_name(source, sink)
            }
        }
    }

    /// A name begins at `at`.
    pub(super) fn name_begins(&mut self, state: State) {
        self.mark = self.at;
        self.colon = None;
        self.state = state;
    }

    /// The name from `mark` to `at`, once there is a byte behind it.
    #[inline]
    pub(super) fn name(&mut self, source: &[u8]) -> Result<Option<QName>, ReadError> {
        // As nearly all are: whole, without a prefix and in ASCII.
        if self.at == self.mark
            && let Some(rest) = source.get(self.at..)
            && let Some(len) = rest.iter().position(|byte| !is(*byte, NAME))
            && (1..MAX_TOKEN).contains(&len)
            && is(rest[0], NAME_START)
            && rest[len] < 0x80
            && rest[len] != b':'
        {
            crate::work::looked_at(len);
            self.at += len;
            return Ok(Some(QName::new(self.mark, None, self.at)));
        }
        self.any_name(source)
    }

    pub(super) fn any_name(&mut self, source: &[u8]) -> Result<Option<QName>, ReadError> {
        // Far enough to see that it is too long.
        let end = source.len().min(self.mark + MAX_TOKEN + 1);
        let source = &source[..end];
        let mut at = self.at;
        let from = at;
        while let Some(&byte) = source.get(at) {
            if is(byte, NAME) {
                if at == self.mark && !is(byte, NAME_START) {
                    self.at = at;
                    return self.refuse(MISPLACED);
                }
                if self.colon == Some(at.wrapping_sub(1)) && !is(byte, NAME_START) {
                    self.at = at;
                    return self.refuse(COLON);
                }
                at += 1;
                while source.get(at).is_some_and(|byte| is(*byte, NAME)) {
                    at += 1;
                }
            } else if byte == b':' {
                if at == self.mark || self.colon.is_some() {
                    self.at = at;
                    return self.refuse(COLON);
                }
                self.colon = Some(at);
                at += 1;
            } else if byte >= 0x80 {
                self.at = at;
                let Some(c) = self.char_at(source)? else { break };
                at += c.len_utf8();
                let after_colon = self.colon.is_some_and(|colon| colon + 1 == self.at);
                match name_char(c) {
                    Some(true) => {}
                    Some(false) if self.at != self.mark && !after_colon => {}
                    Some(false) if after_colon => {
                        self.at = at;
                        return Err(COLON);
                    }
                    _ => {
                        self.at = at;
                        return Err(MISPLACED);
                    }
                }
            } else {
                crate::work::looked_at(at - from);
                self.at = at;
                return self.name_ends().map(Some);
            }
        }
        crate::work::looked_at(at - from);
        self.at = at;
        if end > self.mark + MAX_TOKEN {
            self.at = end;
            return Err(ReadError::TooLong);
        }
        Ok(None)
    }

    /// The name is what is between `mark` and `at`.
    pub(super) fn name_ends(&mut self) -> Result<QName, ReadError> {
        if self.at == self.mark {
            return self.refuse(MISPLACED);
        }
        if self.colon.is_some_and(|colon| colon + 1 == self.at) {
            return self.refuse(COLON);
        }
        Ok(QName::new(self.mark, self.colon, self.at))
    }

    pub(super) fn element_name<S: Sink>(
        &mut self,
        source: &[u8],
        sink: &mut S,
    ) -> Result<Step<S::Part>, ReadError> {
        let Some(name) = self.name(source)? else { return Ok(Step::More) };
        self.open.try_reserve(1)?;
        self.open.push((name.start, name.end));
        self.state = State::Tag;
        self.emit(Event::Open(name), source, sink)
    }

    pub(super) fn tag<S: Sink>(&mut self, source: &[u8], sink: &mut S) -> Result<Step<S::Part>, ReadError> {
        while let Some(&byte) = source.get(self.at) {
            match byte {
                b' ' | b'\n' | b'\t' | b'\r' => {
                    self.at += 1;
                    self.state = State::TagSpace;
                }
                b'>' => {
                    self.go(State::Content);
                    return self.emit(Event::Opened, source, sink);
                }
                b'/' => {
                    self.go(State::Slash);
                    return self.slash(source, sink);
                }
                _ if is(byte, NAME_START) || byte == b':' || byte >= 0x80 => {
                    if self.state == State::Tag {
                        return self.refuse(NotWellFormed("space required before attribute names"));
                    }
                    if let Some(event) = self.plain_attribute(source) {
                        match self.emit(event, source, sink)? {
                            Step::Next => continue,
                            step => return Ok(step),
                        }
                    }
                    self.name_begins(State::Attribute);
                    return self.attribute_name(source);
                }
                _ => return self.misplaced(byte),
            }
        }
        Ok(Step::More)
    }

    /// The attribute that begins at `at`, if it is whole and as nearly all are: in ASCII but for its value, without a prefix or
    /// white space, and its value written as it is meant. What isn't has been looked at twice.
    #[inline]
    pub(super) fn plain_attribute(&mut self, source: &[u8]) -> Option<Event> {
        let rest = source.get(self.at..)?;
        let name = rest.iter().position(|byte| !is(*byte, NAME))?;
        let (begins, value) = rest.split_at_checked(name)?;
        let &[b'=', quote @ (b'\'' | b'"'), ref value @ ..] = value else { return None };
        let len = value_run(&value[..value.len().min(MAX_TOKEN)]);
        if value.get(len) != Some(&quote)
            || name > MAX_TOKEN
            || !begins.first().is_some_and(|byte| is(*byte, NAME_START))
        {
            return None;
        }
        let start = self.at + name + 2;
        let event =
            Event::Attribute(QName::new(self.at, None, self.at + name), Span::source(start, start + len));
        self.at = start + len + 1;
        self.state = State::Tag;
        Some(event)
    }

    pub(super) fn slash<S: Sink>(&mut self, source: &[u8], sink: &mut S) -> Result<Step<S::Part>, ReadError> {
        match source.get(self.at) {
            None => Ok(Step::More),
            Some(b'>') => {
                self.go(State::Empty);
                self.emit(Event::Opened, source, sink)
            }
            Some(_) => self.refuse(MISPLACED),
        }
    }

    /// The innermost element is complete.
    pub(super) fn close<S: Sink>(&mut self, source: &[u8], sink: &mut S) -> Result<Step<S::Part>, ReadError> {
        self.open.pop();
        self.mark = self.at;
        self.state = State::Content;
        self.emit(Event::Close, source, sink)
    }

    pub(super) fn attribute_name<P>(&mut self, source: &[u8]) -> Result<Step<P>, ReadError> {
        let Some(name) = self.name(source)? else { return Ok(Step::More) };
        // Whatever it is declared for (Namespaces in XML section 3).
        if source.get(self.mark..self.at) == Some(b"xmlns:xmlns") {
            return self.refuse(RESERVED);
        }
        self.attribute = name;
        self.state = State::Equals;
        Ok(Step::Next)
    }

    pub(super) fn equals<P>(&mut self, source: &[u8]) -> Result<Step<P>, ReadError> {
        match self.skip_space(source) {
            None => Ok(Step::More),
            Some(b'=') => Ok(self.begin(State::Quote)),
            Some(byte) => self.misplaced(byte),
        }
    }

    pub(super) fn quote<P>(&mut self, source: &[u8]) -> Result<Step<P>, ReadError> {
        match self.skip_space(source) {
            None => Ok(Step::More),
            Some(quote @ (b'\'' | b'"')) => {
                self.value_begins(quote);
                Ok(Step::Next)
            }
            Some(byte) => self.misplaced(byte),
        }
    }

    /// The next byte that is no white space.
    pub(super) fn skip_space(&mut self, source: &[u8]) -> Option<u8> {
        loop {
            let byte = *source.get(self.at)?;
            if !is(byte, SPACE) {
                return Some(byte);
            }
            self.at += 1;
        }
    }

    pub(super) fn value_begins(&mut self, quote: u8) {
        self.go(State::Value);
        self.quote = quote;
        self.decoded = None;
    }

    pub(super) fn value<S: Sink>(&mut self, source: &[u8], sink: &mut S) -> Result<Step<S::Part>, ReadError> {
        if !self.line_goes_on(source) {
            return Ok(Step::More);
        }
        // Far enough to see that it is too long.
        let pool = sink.pool();
        let known = self.decoded.map_or(0, |start| pool.len() - start);
        let Some(room) = MAX_TOKEN.checked_sub(known) else { return Err(ReadError::TooLong) };
        let end = source.len().min(self.mark + room + 1);
        let source = &source[..end];
        let quote = self.quote;
        loop {
            self.at += value_run(source.get(self.at..).unwrap_or_default());
            let more = match source.get(self.at) {
                None => true,
                Some(&byte) if byte == quote => {
                    let value = match self.decoded {
                        None => Span::source(self.mark, self.at),
                        Some(start) => {
                            push_valid(pool, source, Span::source(self.mark, self.at))?;
                            Span::pooled(start, pool.len())
                        }
                    };
                    self.go(State::Tag);
                    return self.emit(Event::Attribute(self.attribute, value), source, sink);
                }
                Some(b'\'' | b'"') => {
                    self.at += 1;
                    false
                }
                Some(b'<') => return self.refuse(MISPLACED),
                Some(b'&') => {
                    self.decode(source, pool)?;
                    self.reference = Reference::Begins;
                    return Ok(self.begin(State::ValueReference));
                }
                // What else is white space is a space (XML section 3.3.3).
                Some(byte @ (b'\t' | b'\n' | b'\r')) => {
                    self.decode(source, pool)?;
                    pool.try_reserve(1)?;
                    pool.push(' ');
                    self.after_cr = *byte == b'\r';
                    return Ok(self.begin(State::Value));
                }
                Some(&byte) => !self.not_quite_ordinary(source, byte)?,
            };
            if more {
                if end > self.mark + room {
                    self.at = end;
                    return Err(ReadError::TooLong);
                }
                return Ok(Step::More);
            }
        }
    }

    /// The value has to be put together: what has come of it is put into the pool.
    pub(super) fn decode(&mut self, source: &[u8], pool: &mut String) -> Result<(), ReadError> {
        self.decoded.get_or_insert(pool.len());
        push_valid(pool, source, Span::source(self.mark, self.at))
    }

    pub(super) fn end_tag<S: Sink>(
        &mut self,
        source: &[u8],
        sink: &mut S,
    ) -> Result<Step<S::Part>, ReadError> {
        let name = match self.open.last() {
            Some(&(start, end)) => source.get(start as usize..end as usize),
            None => self.header.as_deref(),
        };
        // The `/` was wrong already.
        let Some(name) = name else { return Err(MISMATCH) };
        let rest = source.get(self.at..).unwrap_or_default();
        let to_come = &name[self.matched..];
        let common = if rest.starts_with(to_come) {
            to_come.len()
        } else {
            rest.iter().zip(to_come).take_while(|(ours, theirs)| ours == theirs).count()
        };
        crate::work::looked_at(common);
        let is_whole = common == to_come.len();
        self.matched += common;
        self.at += common;
        match rest.get(common) {
            None => Ok(Step::More),
            Some(b'>') if is_whole => {
                self.at += 1;
                self.close(source, sink)
            }
            Some(&byte) if is_whole && !is(byte, NAME) && byte != b':' && byte < 0x80 => {
                self.state = State::EndTagSpace;
                Ok(Step::Next)
            }
            Some(_) => self.refuse(MISMATCH),
        }
    }

    pub(super) fn end_tag_space<S: Sink>(
        &mut self,
        source: &[u8],
        sink: &mut S,
    ) -> Result<Step<S::Part>, ReadError> {
        match self.skip_space(source) {
            None => Ok(Step::More),
            Some(b'>') => {
                self.at += 1;
                self.close(source, sink)
            }
            Some(byte) => self.misplaced(byte),
        }
    }
}
