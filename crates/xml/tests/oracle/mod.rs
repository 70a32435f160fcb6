//! `rxml` as the oracle of the reader: what both say of a stream, and where they may differ.
//!
//! They must take the same parts of a stream (header, top-level elements, closing tag) with the same content, up to where one
//! of them refuses it; and what the one refuses the other may not take. Where `rxml` is known to be wrong, or to leave to others
//! what Balcony's reader does itself, [`HOLES`] says so, with the row of `docs/spec/rfc6120.md` that decides it. The property
//! tests and the fuzzer share this.
#![allow(dead_code, unreachable_pub, reason = "each user takes what it needs")]

use balcony_machine::XmlLimits;
use balcony_xml::{ElementRef, NodeRef, ReadError, Reader, Token};
use rxml::error::EndOrError;
use rxml::{Error, Event, Options, Parse, WithOptions};

/// Nothing passes these: `rxml` has no limits but that of a name or value.
pub const WIDE: XmlLimits = XmlLimits { bytes: 1 << 24, depth: 1 << 20, attributes: 1 << 20, nodes: 1 << 20 };

/// What a parser says of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading<E> {
    /// The header's start tag, each whole top-level element, and the closing tag, as events.
    pub parts: Vec<Vec<String>>,
    /// Why it was refused behind them, if it was.
    pub error: Option<E>,
    /// The closing tag has come.
    pub ended: bool,
}

impl<E> Reading<E> {
    const fn new() -> Self {
        Reading { parts: Vec::new(), error: None, ended: false }
    }
}

/// A difference that is known, and whose fault it is.
pub struct Hole {
    /// What differs.
    pub name: &'static str,
    /// What decides it.
    pub row: &'static str,
    /// Whether it explains that the two differ on this stream.
    pub explains: fn(&[u8], &Reading<ReadError>, &Reading<Error>) -> bool,
}

/// All known differences.
pub const HOLES: &[Hole] = &[
    Hole {
        name: "rxml takes a default namespace that is declared twice in one start tag",
        row: "rfc6120.md [X3]",
        explains: |_, ours, _| {
            ours.error == Some(ReadError::NotWellFormed("a namespace is declared twice in one start tag"))
        },
    },
    Hole {
        name: "rxml lets the namespace of xmlns be declared",
        row: "rfc6120.md [X4]",
        explains: |stream, ours, _| {
            ours.error == Some(ReadError::BadNamespace("a reserved prefix or namespace is declared"))
                && (contains(stream, b"/xmlns/") || contains(stream, b"&#"))
        },
    },
    Hole {
        name: "rxml leaves text and CDATA sections between top-level elements to others",
        row: "rfc6120.md [W1]",
        explains: |_, ours, _| ours.error == Some(ReadError::StrayText),
    },
    Hole {
        name: "rxml takes references in an XML declaration",
        row: "rfc6120.md [X3]",
        explains: |stream, ours, _| ours.parts.is_empty() && contains(declaration(stream), b"&"),
    },
    Hole {
        name: "rxml takes standalone='yes' in any case",
        row: "rfc6120.md [X7]",
        explains: |_, ours, _| {
            ours.parts.is_empty() && ours.error == Some(ReadError::Restricted("this XML feature"))
        },
    },
    Hole {
        name: "rxml refuses character references of more than eight digits",
        row: "rfc6120.md [X3]",
        explains: |stream, _, theirs| {
            theirs.error == Some(Error::UndeclaredEntity) && contains(stream, b"&#")
        },
    },
    Hole {
        name: "rxml refuses the characters from U+FDF0 to U+FFFD in names",
        row: "rfc6120.md [X3]",
        explains: |_, _, theirs| {
            matches!(theirs.error, Some(Error::UnexpectedChar(_, '\u{fdf0}'..='\u{fffd}', _)))
        },
    },
    Hole {
        name: "rxml does not wait for what shows whether `<?xml` is a declaration or an instruction",
        row: "rfc6120.md [X1]",
        explains: |stream, ours, theirs| {
            ours.error.is_none()
                && theirs.error == Some(Error::RestrictedXml("processing instructions"))
                && stream.ends_with(b"<?xml")
        },
    },
    Hole {
        name: "rxml refuses what follows the closing tag, which is to be ignored",
        row: "rfc6120.md [W5]",
        explains: |_, ours, theirs| ours.ended && theirs.ended,
    },
];

/// What `rxml` is not asked, since it is known what it would say. It refuses or drops carriage returns in attribute values, so
/// line ends are normalised (XML section 2.11, [X3]); and white space before a header without declaration ([W1]).
fn made_palatable(stream: &[u8]) -> Vec<u8> {
    let start = stream.iter().position(|byte| !b" \t\r\n".contains(byte)).unwrap_or(stream.len());
    let is_declared = stream[start..].starts_with(b"<?xml") && stream.len() > start + 5;
    let stream = if is_declared { stream } else { &stream[start..] };
    let mut normal = Vec::with_capacity(stream.len());
    for (at, byte) in stream.iter().enumerate() {
        match byte {
            b'\r' if stream.get(at + 1) == Some(&b'\n') => {}
            b'\r' => normal.push(b'\n'),
            _ => normal.push(*byte),
        }
    }
    normal
}

/// Compares what both say of a stream.
///
/// # Panics
///
/// If they differ, and no hole explains it.
pub fn compare(stream: &[u8]) -> Option<&'static str> {
    let (ours, theirs) = (ours([stream]), theirs(&made_palatable(stream)));
    for (at, (one, other)) in ours.parts.iter().zip(&theirs.parts).enumerate() {
        assert_eq!(one, other, "part {at} of {}", String::from_utf8_lossy(stream));
    }
    let differ = match ours.parts.len().cmp(&theirs.parts.len()) {
        // A part that one of them takes, and the other does not.
        core::cmp::Ordering::Less | core::cmp::Ordering::Greater => true,
        // `rxml` often waits for the end of what is wrong already, but never takes it; we wait for nothing.
        core::cmp::Ordering::Equal => ours.error.is_none() && theirs.error.is_some(),
    };
    if !differ {
        return None;
    }
    let hole = HOLES.iter().find(|hole| (hole.explains)(stream, &ours, &theirs));
    match hole {
        Some(hole) => Some(hole.name),
        None => panic!(
            "they differ on {}\nours {:?} behind {} parts\nrxml {:?} behind {} parts",
            stream.escape_ascii(),
            ours.error,
            ours.parts.len(),
            theirs.error,
            theirs.parts.len()
        ),
    }
}

/// What Balcony's reader says of a stream in pieces.
pub fn ours<'i>(pieces: impl IntoIterator<Item = &'i [u8]>) -> Reading<ReadError> {
    let mut reader = Reader::new(WIDE);
    let mut reading = Reading::new();
    for mut piece in pieces {
        loop {
            match reader.read(&mut piece) {
                Ok(Some(Token::Header)) => reading.parts.push(vec![start_tag(reader.header())]),
                Ok(Some(Token::Element)) => reading.parts.push(events(reader.element())),
                Ok(Some(Token::Refused(limit))) => panic!("nothing passes these limits: {limit}"),
                Ok(Some(Token::End)) => {
                    reading.parts.push(vec!["/".to_owned()]);
                    reading.ended = true;
                }
                Ok(None) => break,
                Err(error) => {
                    reading.error = Some(error);
                    return reading;
                }
            }
        }
    }
    reading
}

fn start_tag(element: ElementRef<'_>) -> String {
    let attrs = element.attrs().map(|attr| format!("{{{}}}{}={}", attr.namespace, attr.name, attr.value));
    tag(element.namespace(), element.name(), attrs.collect())
}

fn tag(namespace: &str, name: &str, mut attrs: Vec<String>) -> String {
    attrs.sort();
    format!("{{{namespace}}}{name} {attrs:?}")
}

/// Without recursion: an element may be deep.
fn events(root: ElementRef<'_>) -> Vec<String> {
    enum Next<'e> {
        Element(ElementRef<'e>),
        Text(&'e str),
        End,
    }
    let mut events = Vec::new();
    let mut open = vec![Next::Element(root)];
    while let Some(next) = open.pop() {
        match next {
            Next::End => events.push("/".to_owned()),
            Next::Text(text) => events.push(format!("text {text}")),
            Next::Element(element) => {
                events.push(start_tag(element));
                open.push(Next::End);
                let content: Vec<Next<'_>> = element
                    .nodes()
                    .map(|node| match node {
                        NodeRef::Element(child) => Next::Element(child),
                        NodeRef::Text(text) => Next::Text(text),
                    })
                    .collect();
                open.extend(content.into_iter().rev());
            }
        }
    }
    events
}

/// What `rxml` says of a stream.
fn theirs(mut stream: &[u8]) -> Reading<Error> {
    let mut parser = rxml::Parser::with_options(Options { max_token_length: 16_384, ..Options::default() });
    let mut reading = Reading::new();
    let mut part: Vec<String> = Vec::new();
    let mut depth = 0_usize;
    loop {
        match parser.parse(&mut stream, false) {
            Ok(Some(Event::XmlDeclaration(..))) => {}
            Ok(Some(Event::StartElement(_, (namespace, name), attrs))) => {
                let attrs = attrs.iter().map(|((ns, name), value)| format!("{{{ns}}}{name}={value}"));
                part.push(tag(namespace.as_str(), name.as_str(), attrs.collect()));
                if depth == 0 {
                    reading.parts.push(core::mem::take(&mut part));
                }
                depth += 1;
            }
            Ok(Some(Event::EndElement(_))) => {
                depth -= 1;
                part.push("/".to_owned());
                if depth < 2 {
                    reading.parts.push(core::mem::take(&mut part));
                }
                reading.ended = depth == 0;
            }
            Ok(Some(Event::Text(_, text))) => match part.last_mut() {
                // Between top-level elements: white space, or a hole.
                _ if depth < 2 => {}
                Some(last) if last.starts_with("text ") => last.push_str(&text),
                _ => part.push(format!("text {text}")),
            },
            Ok(None) | Err(EndOrError::NeedMoreData) => return reading,
            Err(EndOrError::Error(error)) => {
                reading.error = Some(error);
                return reading;
            }
        }
    }
}

fn declaration(stream: &[u8]) -> &[u8] {
    let start = stream.trim_ascii_start();
    let end = start.iter().position(|byte| *byte == b'>').map_or(start.len(), |at| at + 1);
    if start.starts_with(b"<?xml") { &start[..end] } else { b"" }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
