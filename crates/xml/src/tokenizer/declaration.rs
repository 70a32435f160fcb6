//! The XML declaration, `<?xml version='1.0' encoding='UTF-8'?>` (XML 1.0 productions 23 to 26, 32 and 80).

use crate::ReadError::{self, NotWellFormed, Restricted};

use super::MISPLACED;

/// A declaration of which something has come, from behind its `<?xml`.
#[derive(Clone, Copy)]
pub(super) struct Declaration {
    /// The part that comes, or has come last.
    part: Part,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Version,
    Encoding,
    Standalone,
    /// There is nothing behind `standalone`.
    Nothing,
}

#[derive(Clone, Copy)]
enum Stage {
    /// Behind `<?xml` or a value; whether white space has come since.
    Between { spaced: bool },
    /// So many bytes of the part's name have come.
    Name(usize),
    /// `standalone` without encoding, so many bytes of it.
    Lone(usize),
    /// Before `=`.
    Equals,
    /// Before the quote.
    Quote,
    /// In the value: so many bytes, and whether they are those that they must be.
    Value { quote: u8, len: usize, is_right: bool },
    /// Behind `?`.
    End,
}

const STANDALONE: &[u8] = b"standalone";

impl Part {
    const fn name(self) -> &'static [u8] {
        match self {
            Part::Version => b"version",
            Part::Encoding => b"encoding",
            Part::Standalone => STANDALONE,
            Part::Nothing => b"",
        }
    }

    /// The one value that XMPP has, whichever case the letters of an encoding are in.
    const fn value(self) -> &'static [u8] {
        match self {
            Part::Version => b"1.0",
            Part::Encoding => b"utf-8",
            Part::Standalone => b"yes",
            Part::Nothing => b"",
        }
    }

    const fn missing(self) -> ReadError {
        NotWellFormed(match self {
            Part::Version => "'<?xml' must be followed by version attribute",
            Part::Encoding => "'version' attribute must be followed by '?>' or 'encoding' attribute",
            Part::Standalone => "'encoding' attribute must be followed by '?>' or 'standalone' attribute",
            Part::Nothing => "'standalone' attribute must be followed by '?>'",
        })
    }

    const fn wrong_value(self) -> ReadError {
        match self {
            Part::Version => Restricted("another XML version than 1.0"),
            Part::Encoding => ReadError::Encoding,
            Part::Standalone | Part::Nothing => Restricted("this XML feature"),
        }
    }
}

impl Declaration {
    pub(super) const fn new() -> Self {
        Declaration { part: Part::Version, stage: Stage::Between { spaced: false } }
    }

    /// Takes the next byte; whether it was the last.
    pub(super) fn take(&mut self, byte: u8) -> Result<bool, ReadError> {
        let is_space = matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
        self.stage = match self.stage {
            Stage::Between { .. } if is_space => Stage::Between { spaced: true },
            // What comes next is optional, but for the first.
            Stage::Between { .. } if byte == b'?' && self.part != Part::Version => Stage::End,
            Stage::Between { .. } if self.part == Part::Nothing => return Err(self.part.missing()),
            Stage::Between { spaced: false } => {
                return Err(NotWellFormed("space required before attribute names"));
            }
            Stage::Between { .. } if self.part == Part::Encoding && byte == b's' => Stage::Lone(1),
            Stage::Between { .. } => self.name(0, byte)?,
            Stage::Name(matched) => self.name(matched, byte)?,
            Stage::Lone(matched) => match STANDALONE.get(matched) {
                Some(expected) if *expected == byte => Stage::Lone(matched + 1),
                None if is_space || byte == b'=' => {
                    return Err(Restricted("standalone in an XML declaration without encoding"));
                }
                _ => return Err(self.part.missing()),
            },
            Stage::Equals if is_space => Stage::Equals,
            Stage::Equals if byte == b'=' => Stage::Quote,
            Stage::Quote if is_space => Stage::Quote,
            Stage::Quote if matches!(byte, b'\'' | b'"') => {
                Stage::Value { quote: byte, len: 0, is_right: true }
            }
            Stage::Value { quote, len, is_right } if byte == quote => {
                if !is_right || len != self.part.value().len() {
                    return Err(self.part.wrong_value());
                }
                self.part = match self.part {
                    Part::Version => Part::Encoding,
                    Part::Encoding => Part::Standalone,
                    Part::Standalone | Part::Nothing => Part::Nothing,
                };
                Stage::Between { spaced: false }
            }
            // None of these is in any version, encoding or answer.
            Stage::Value { .. } if matches!(byte, 0..=0x1f | b'<' | b'&') => return Err(MISPLACED),
            Stage::Value { quote, len, is_right } => {
                let byte = if self.part == Part::Encoding { byte.to_ascii_lowercase() } else { byte };
                let is_right = is_right && self.part.value().get(len) == Some(&byte);
                Stage::Value { quote, len: len.saturating_add(1), is_right }
            }
            Stage::End if byte == b'>' => return Ok(true),
            Stage::Equals | Stage::Quote | Stage::End => return Err(MISPLACED),
        };
        Ok(false)
    }

    /// One more byte of the name of the part.
    fn name(&self, matched: usize, byte: u8) -> Result<Stage, ReadError> {
        match self.part.name().get(matched) {
            Some(expected) if *expected == byte => Ok(Stage::Name(matched + 1)),
            None if byte == b'=' => Ok(Stage::Quote),
            None if matches!(byte, b' ' | b'\t' | b'\r' | b'\n') => Ok(Stage::Equals),
            _ => Err(self.part.missing()),
        }
    }
}
