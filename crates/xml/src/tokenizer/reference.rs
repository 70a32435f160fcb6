//! References: to characters by their number, and to the five predefined entities (XML 1.0 section 4.1). All others need a
//! document type, which XMPP does without (RFC 6120 section 11.1).

use super::{Event, MISPLACED, NO_CHARACTER, Sink, State, Step, Tokenizer};
use crate::ReadError::{self, NotWellFormed, Restricted};
use crate::chars::{NAME, NAME_START, is, is_char};

/// Bytes of a name after which it is certainly none of the five.
const LONGEST: usize = 8;

#[derive(Clone, Copy)]
pub(super) enum Reference {
    /// Behind `&`.
    Begins,
    /// In the name of an entity, which begins at `mark`.
    Name,
    /// Behind `&#`.
    Number,
    /// In the digits of a number, or behind `&#x`; the number so far, if there are digits.
    Digits { radix: u32, number: Option<u32> },
}

impl Tokenizer {
    pub(super) fn reference<S: Sink>(
        &mut self,
        source: &[u8],
        sink: &mut S,
    ) -> Result<Step<S::Part>, ReadError> {
        while let Some(&byte) = source.get(self.at) {
            self.reference = match (self.reference, byte) {
                (Reference::Begins, b'#') => Reference::Number,
                (Reference::Begins, _) if is(byte, NAME_START) || byte >= 0x80 => Reference::Name,
                (Reference::Name, b';') => {
                    let c = match source.get(self.mark..self.at) {
                        Some(b"lt") => '<',
                        Some(b"gt") => '>',
                        Some(b"amp") => '&',
                        Some(b"apos") => '\'',
                        Some(b"quot") => '"',
                        _ => return self.unknown_entity(),
                    };
                    return self.referred(c, source, sink);
                }
                (Reference::Name, _) if is(byte, NAME) || byte == b':' || byte >= 0x80 => {
                    if self.at - self.mark >= LONGEST {
                        return self.unknown_entity();
                    }
                    Reference::Name
                }
                (Reference::Number, b'x') => Reference::Digits { radix: 16, number: None },
                (Reference::Number, b'0'..=b'9') => {
                    Reference::Digits { radix: 10, number: digit(0, 10, byte) }
                }
                (Reference::Digits { number: Some(number), .. }, b';') => {
                    return match char::from_u32(number).filter(|c| is_char(*c)) {
                        Some(c) => self.referred(c, source, sink),
                        None => self.refuse(NO_CHARACTER),
                    };
                }
                (Reference::Digits { radix, number }, _) if char::from(byte).is_digit(radix) => {
                    Reference::Digits { radix, number: digit(number.unwrap_or(0), radix, byte) }
                }
                (_, b';') => return self.refuse(NotWellFormed("empty reference")),
                _ => return self.refuse(MISPLACED),
            };
            self.at += 1;
        }
        Ok(Step::More)
    }

    fn unknown_entity<T>(&mut self) -> Result<T, ReadError> {
        self.refuse(Restricted("an entity other than the five predefined ones"))
    }

    /// The reference ends with the byte at `at`, and means this.
    fn referred<S: Sink>(
        &mut self,
        c: char,
        source: &[u8],
        sink: &mut S,
    ) -> Result<Step<S::Part>, ReadError> {
        if self.state == State::ValueReference {
            let pool = sink.pool();
            pool.try_reserve(c.len_utf8())?;
            pool.push(c);
            Ok(self.begin(State::Value))
        } else {
            self.go(State::Content);
            self.emit(Event::Char(c), source, sink)
        }
    }
}

/// One more digit. Past what is a character, it stays so.
fn digit(number: u32, radix: u32, digit: u8) -> Option<u32> {
    let digit = char::from(digit).to_digit(radix)?;
    Some(number.saturating_mul(radix).saturating_add(digit))
}
