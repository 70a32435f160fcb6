//! The seam to `rxml`, which knows the XML grammar. Nothing outside this file does.
//!
//! What is made up for here: `rxml` 0.14 refuses or drops a carriage return in an attribute value, so line ends are
//! normalised before it sees them (XML section 2.11); and its errors are sorted by the stream error that they deserve.
//! It does not check attributes for duplicates nor resolve prefixes; `scope.rs` and `builder.rs` do.

use alloc::string::String;

use rxml::error::EndOrError;
use rxml::{Error, NcName, NcNameStr, Options, Parse, RawEvent, RawParser, WithOptions};

use crate::ReadError;

/// What XMPP does without (RFC 6120 section 11.1).
pub(crate) const INSTRUCTION: &str = "a processing instruction";

/// Bytes in one name or attribute value. Text of any length arrives in pieces of at most this.
const MAX_TOKEN: usize = 16_384;

/// How far to look for the next carriage return at a time: far enough to be fast, not so far that every event looks
/// through the whole input again.
const WINDOW: usize = 256;

pub(crate) enum Event {
    /// `<?xml ...?>`
    Declaration,
    /// A start tag begins; its attributes follow.
    Open { prefix: Option<NcName>, name: NcName },
    /// An attribute or namespace declaration.
    Attribute { prefix: Option<NcName>, name: NcName, value: String },
    /// The start tag is complete.
    Opened,
    /// The rest of a run of text may follow.
    Text(String),
    /// The element is complete. Its end tag had the name of its start tag.
    Close,
}

pub(crate) struct Tokenizer {
    parser: RawParser,
    /// A line feed that comes now belongs to a carriage return that has already been passed on as one.
    after_cr: bool,
}

impl Tokenizer {
    pub(crate) fn new() -> Self {
        let options = Options { max_token_length: MAX_TOKEN, ..Options::default() };
        Tokenizer { parser: RawParser::with_options(options), after_cr: false }
    }

    /// Takes input until an event is complete, and not a byte more. `None`: all input taken.
    pub(crate) fn next(&mut self, input: &mut &[u8]) -> Result<Option<Event>, ReadError> {
        loop {
            if self.after_cr
                && let [b'\n', rest @ ..] = *input
            {
                *input = rest;
                self.after_cr = false;
            }
            let window = &input[..input.len().min(WINDOW)];
            let cr = memchr::memchr(b'\r', window);
            let mut feed: &[u8] = match cr {
                Some(0) => b"\n",
                Some(at) => &window[..at],
                None => window,
            };
            let fed = feed.len();
            let result = self.parser.parse(&mut feed, false);
            let taken = fed - feed.len();
            if taken > 0 {
                *input = &input[taken..];
                self.after_cr = cr == Some(0);
            }
            match result {
                Ok(Some(event)) => return Ok(Some(translate(event))),
                Err(EndOrError::NeedMoreData) if taken > 0 => {}
                Err(EndOrError::NeedMoreData) | Ok(None) => return Ok(None),
                Err(EndOrError::Error(error)) => return Err(sort(error)),
            }
        }
    }

    /// Gives memory back.
    pub(crate) fn release(&mut self) {
        self.parser.release_temporaries();
    }
}

pub(crate) fn is_ncname(text: &str) -> bool {
    <&NcNameStr>::try_from(text).is_ok()
}

fn translate(event: RawEvent) -> Event {
    match event {
        RawEvent::XmlDeclaration(..) => Event::Declaration,
        RawEvent::ElementHeadOpen(_, (prefix, name)) => Event::Open { prefix, name },
        RawEvent::Attribute(_, (prefix, name), value) => Event::Attribute { prefix, name, value },
        RawEvent::ElementHeadClose(_) => Event::Opened,
        RawEvent::Text(_, text) => Event::Text(text),
        RawEvent::ElementFoot(_) => Event::Close,
    }
}

fn sort(error: Error) -> ReadError {
    use ReadError::{BadNamespace, NotWellFormed, Restricted};
    match error {
        Error::InvalidUtf8Byte(_) => ReadError::Encoding,
        // The texts are rxml's own; the table of tricky inputs notices if they change.
        Error::RestrictedXml("only utf-8 encoding is allowed") => ReadError::Encoding,
        Error::RestrictedXml("long name or reference") => ReadError::TooLong,
        Error::RestrictedXml("comments") => Restricted("a comment"),
        Error::RestrictedXml("processing instructions") => Restricted(INSTRUCTION),
        Error::RestrictedXml("only XML version 1.0 is allowed") => Restricted("another XML version than 1.0"),
        Error::RestrictedXml(_) => Restricted("this XML feature"),
        Error::InvalidSyntax("'version' attribute must be followed by '?>' or 'encoding' attribute") => {
            Restricted("standalone in an XML declaration without encoding")
        }
        Error::UndeclaredEntity => Restricted("an entity other than the five predefined ones"),
        Error::MultiColonName(_) | Error::EmptyNamePart(_) | Error::InvalidLocalName(_) => {
            BadNamespace("a colon out of place in a name")
        }
        Error::ReservedNamespacePrefix | Error::ReservedNamespaceName => {
            BadNamespace("a reserved prefix or namespace is declared")
        }
        Error::EmptyNamespaceUri => BadNamespace("a prefix is declared for no namespace"),
        Error::UndeclaredNamespacePrefix(_) => BadNamespace("a prefix is not declared"),
        Error::DuplicateAttribute => NotWellFormed("an attribute stands twice in one start tag"),
        Error::ElementMismatch => NotWellFormed("an end tag does not match its start tag"),
        Error::InvalidChar(..) => NotWellFormed("a character that XML does not have"),
        Error::InvalidSyntax(what) => NotWellFormed(what),
        Error::UnexpectedChar(..) | Error::UnexpectedByte(..) => NotWellFormed("a character is out of place"),
        Error::UnexpectedToken(..) | Error::InvalidEof(_) => NotWellFormed("something is out of place"),
    }
}
