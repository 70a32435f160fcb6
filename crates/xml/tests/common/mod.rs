//! Documents for the property tests, and a form in which different parsers' trees compare.
#![allow(dead_code, unreachable_pub, reason = "each test takes what it needs")]

use balcony_machine::XmlLimits;
use balcony_xml::{ElementRef, NodeRef, ReadError, Reader, Token};
use proptest::prelude::*;
use proptest::sample::select;

/// What the streams of the tests begin with: a content namespace and two prefixes.
pub const HEADER: &str =
    "<s:stream xmlns:s='http://etherx.jabber.org/streams' xmlns:p='urn:p' xmlns='jabber:client'>";

const PREFIXES: &[&str] = &["", "", "", "", "p", "q", "s", "xml"];
const NAMES: &[&str] = &["a", "b", "body", "_.-1", "\u{e9}l\u{e9}ment", "xmlns2"];
const URIS: &[&str] = &["jabber:client", "u", "urn:x?a&amp;b", "urn:p", "", "http://www.w3.org/2000/xmlns/"];
const VALUES: &[&str] =
    &["", "x", " ", "&amp;", "&#x41;", "&lt;", "&#9;", "\n", "\t", "'", "\u{1f600}", ">", "/>"];
const TEXTS: &[&str] = &[
    "x",
    " ",
    "&amp;",
    "&#65;",
    "<![CDATA[<b>&]]>",
    "<![CDATA[]]>",
    "\r\n",
    "\n",
    "\r",
    "]",
    "&gt;",
    "\u{e9}",
    "long words ",
    "&#13;",
];

/// One element as text. Most are in order; some have an undeclared prefix or a duplicate.
pub fn document() -> impl Strategy<Value = String> {
    let leaf = element(Just(String::new()).boxed());
    leaf.prop_recursive(5, 40, 4, |inner| {
        let content = prop_oneof![3 => inner, 2 => select(TEXTS).prop_map(String::from)];
        element(prop::collection::vec(content, 0..5).prop_map(|parts| parts.concat()).boxed())
    })
}

fn element(content: BoxedStrategy<String>) -> impl Strategy<Value = String> {
    let prefixed = (select(PREFIXES), select(NAMES)).prop_map(|(prefix, name)| match prefix {
        "" => name.to_owned(),
        _ => format!("{prefix}:{name}"),
    });
    let declared = prop_oneof![3 => Just("xmlns"), 2 => Just("xmlns:q"), 1 => Just("xmlns:p")];
    let uri = prop_oneof![8 => select(&URIS[..4]), 1 => select(&URIS[4..5]), 1 => select(URIS)];
    let value = prop::collection::vec(select(VALUES), 0..3).prop_map(|parts| parts.concat());
    let declarations = prop::collection::vec((declared, uri), 0..2);
    let attributes = prop::collection::vec((prefixed.clone(), value), 0..3);
    let space = select(&[" ", "\n", "  "][..]);
    (prefixed, declarations, attributes, content, space, any::<bool>()).prop_map(
        |(name, declarations, attributes, content, space, empty_tag)| {
            let mut text = format!("<{name}");
            for (prefix, uri) in declarations {
                text += &format!("{space}{prefix}='{uri}'");
            }
            for (name, value) in attributes {
                text += &format!(" {name}{space}=\"{value}\"");
            }
            if content.is_empty() && empty_tag {
                return text + "/>";
            }
            format!("{text}>{content}</{name}>")
        },
    )
}

/// Pieces of XML in no good order, with bytes that were never XML.
pub fn soup() -> impl Strategy<Value = Vec<u8>> {
    const PIECES: &[&[u8]] = &[
        b"<a",
        b">",
        b"/>",
        b"</a>",
        b"</",
        b"<",
        b" b='",
        b"'",
        b"\"",
        b"=",
        b" xmlns='u'",
        b" xmlns:p='u'",
        b"p:",
        b"text",
        b" ",
        b"\r",
        b"\n",
        b"&",
        b"&amp;",
        b"&#",
        b"x41;",
        b";",
        b"<![CDATA[",
        b"]]>",
        b"]",
        b"<!--",
        b"-->",
        b"<?xml version='1.0'?>",
        b"<!DOCTYPE",
        b"\xc3",
        b"\xa9",
        b"\xff",
        b"\0",
        b"<a>",
        b"<b/>",
        b"</s:stream>",
    ];
    prop::collection::vec(select(PIECES), 0..24).prop_map(|pieces| pieces.concat())
}

/// Several documents with white space between.
pub fn stream() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        6 => document().prop_map(String::into_bytes),
        2 => Just(b" \r\n".to_vec()),
        1 => soup(),
        1 => Just(b"</s:stream>".to_vec()),
    ];
    prop::collection::vec(part, 1..5).prop_map(|parts| [HEADER.as_bytes(), &parts.concat()].concat())
}

/// All that a reader says about input that comes in `chunks`.
#[derive(Debug, PartialEq, Eq)]
pub struct Reading {
    pub tokens: Vec<Seen>,
    pub whitespace: u64,
    pub error: Option<ReadError>,
}

/// A token, the element in it, its exact bytes and its payload.
pub type Seen = (Token, Vec<String>, Vec<u8>, Vec<u8>);

pub fn reading<'i>(chunks: impl IntoIterator<Item = &'i [u8]>, limits: XmlLimits) -> Reading {
    reading_with(chunks, limits, |_| {})
}

/// The same; between two chunks this is done with the reader.
pub fn reading_with<'i>(
    chunks: impl IntoIterator<Item = &'i [u8]>,
    limits: XmlLimits,
    mut between: impl FnMut(&mut Reader),
) -> Reading {
    let mut reader = Reader::new(limits);
    let mut reading = Reading { tokens: Vec::new(), whitespace: 0, error: None };
    for mut chunk in chunks {
        loop {
            match reader.read(&mut chunk) {
                Ok(Some(token)) => {
                    let seen = match token {
                        Token::Element | Token::Refused(_) => reader.element(),
                        Token::Header | Token::End => reader.header(),
                    };
                    let payload = reader.payload().to_vec();
                    assert!(payload.len() <= limits.bytes);
                    reading.tokens.push((token, canonical(seen), reader.raw().to_vec(), payload));
                }
                Ok(None) => break,
                Err(error) => {
                    reading.error = Some(error);
                    return reading;
                }
            }
        }
        assert!(chunk.is_empty());
        between(&mut reader);
    }
    reading.whitespace = reader.whitespace();
    reading
}

/// An element as events: `{namespace}name`, attributes in order of their names, text and `/`.
pub fn canonical(element: ElementRef<'_>) -> Vec<String> {
    let mut attrs: Vec<String> =
        element.attrs().map(|attr| format!("{{{}}}{}={}", attr.namespace, attr.name, attr.value)).collect();
    attrs.sort();
    let mut events = vec![format!("{{{}}}{} {attrs:?}", element.namespace(), element.name())];
    for node in element.nodes() {
        match node {
            NodeRef::Element(child) => events.extend(canonical(child)),
            NodeRef::Text(text) => events.push(format!("text {text}")),
        }
    }
    events.push("/".to_owned());
    events
}
