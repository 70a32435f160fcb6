//! A reader takes no more memory than a small multiple of its limit, whatever comes, and little when nothing does; and a copy of
//! an element shares what the element shares.

use alloc::string::String;
use alloc::vec::Vec;
use alloc::{format, vec};

use balcony_machine::XmlLimits;
use proptest::prelude::*;

use super::{Body, Reader, Token, Workspace};
use crate::Element;
use crate::tokenizer::Tokenizer;

mod linear;

impl Reader {
    /// Bytes that it holds.
    fn footprint(&self) -> usize {
        size_of::<Reader>() + self.body().map_or(0, Body::footprint)
    }
}

const LIMITS: XmlLimits = XmlLimits { bytes: 20_000, depth: 64, attributes: 64, nodes: 4096 };

/// What costs most for what it takes on the wire.
fn expensive() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::from("<a>")),
        Just(String::from("<a/>")),
        Just(String::from("<a")),
        Just(String::from(" xmlns:p='u'")),
        (0..5000_usize).prop_map(|n| format!("<a xmlns:q='{}'>", "\"".repeat(n))),
        Just("<q:a/>".repeat(1000)),
        (0..100_u8).prop_map(|n| format!(" a{n}=''")),
        Just(String::from(">")),
        Just(String::from("x<a/>")),
        Just(String::from("</a>")),
        (0..5000_usize).prop_map(|n| " ".repeat(n)),
        (0..5000_usize).prop_map(|n| "x".repeat(n)),
        Just("<a xmlns=''/>".repeat(100)),
        Just("<a b='' c='' d='' e='' f='' g='' h='' i='' j='' k=''/>".repeat(50)),
        Just("<a>".repeat(60)),
        Just("<a><b/>x</a>".repeat(400)),
        Just("<a/>".repeat(1000)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    // rfc6120.md [X11]: memory stays below a small multiple of the bound, whatever comes.
    #[test]
    fn memory_is_bounded(pieces in prop::collection::vec(expensive(), 1..40), chunk in 1..3000_usize) {
        let mut reader = Reader::new(LIMITS);
        let input = format!("<s xmlns='u'>{}", pieces.concat());
        'input: for mut chunk in input.as_bytes().chunks(chunk) {
            loop {
                let result = reader.read(&mut chunk);
                prop_assert!(reader.footprint() < 30 * LIMITS.bytes, "{}", reader.footprint());
                match result {
                    Ok(Some(_)) => {}
                    Ok(None) => break,
                    Err(_) => break 'input,
                }
            }
        }
    }
}

/// The most memory that a reader has taken for an element with this content, over and over, that never ends.
fn most_of_a_half(limits: XmlLimits, content: &str, chunk: usize) -> usize {
    let mut reader = Reader::new(limits);
    let mut header = &b"<s xmlns='u'>"[..];
    assert_eq!(reader.read(&mut header), Ok(Some(Token::Header)));
    let idle = reader.footprint();
    let input: Vec<u8> =
        b"<a>".iter().copied().chain(content.bytes().cycle()).take(limits.bytes - 1).collect();
    let pieces = input.chunks(chunk);
    let takes = pieces.map(|mut piece| reader.read(&mut piece).map_or(0, |_| reader.footprint() - idle));
    takes.max().unwrap()
}

// docs/limits.md: an element that is not finished takes eleven times as much memory as it may have bytes, and twice as much if it has no attributes.
#[test]
fn half_an_element_takes_what_the_docs_say() {
    let with = |attributes: usize| {
        let names = (b'a'..=b'z').map(char::from).take(attributes);
        format!("<a{}/>", names.map(|name| format!(" {name}=''")).collect::<String>())
    };
    let text = || String::from("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
    let pieces = [
        with(0),
        text(),
        "<a>x</a>".into(),
        "&lt;".into(),
        "<a>&lt;&gt;</a>".into(),
        with(0) + &text() + &text(),
    ];
    let with_attributes =
        [with(1), with(8), with(8) + &text(), with(26), "<a xmlns:b='c' xmlns:d='e'/>".into()];
    let all = pieces.iter().map(|piece| (piece, 2)).chain(with_attributes.iter().map(|piece| (piece, 11)));
    for (piece, factor) in all {
        for (limits, factor) in [(XmlLimits::UNAUTHENTICATED, 11), (XmlLimits::STANZA, factor)] {
            for chunk in [700, 65_536] {
                let most = most_of_a_half(limits, piece, chunk);
                assert!(
                    most <= factor * limits.bytes + 4_096,
                    "{most} for {} bytes of {piece}",
                    limits.bytes
                );
            }
        }
    }
}

#[test]
fn an_idle_reader_is_small() {
    let mut reader = Reader::new(XmlLimits::STANZA);
    let header =
        b"<s:stream xmlns:s='http://etherx.jabber.org/streams' xmlns='jabber:client' from='a' id='b'>";
    assert_eq!(reader.read(&mut &header[..]), Ok(Some(Token::Header)));
    let element = format!("<a b='{}'>{}</a>", "x".repeat(10_000), "<a b='' c=''>x</a>".repeat(2000));
    let mut input: Vec<u8> = element.into_bytes();
    input.push(b' ');
    let mut input = &input[..];
    assert_eq!(reader.read(&mut input), Ok(Some(Token::Element)));
    assert!(reader.footprint() > 50_000);
    assert_eq!(reader.read(&mut input), Ok(None));
    assert!(reader.footprint() < 8_000, "{}", reader.footprint());
    assert!(size_of::<Tokenizer>() < 1_000);
    // Where others read as well it needs no memory to read in.
    reader.rest(&mut Workspace::new());
    assert!(reader.body().is_none() && size_of::<Reader>() <= 136, "{}", size_of::<Reader>());
}

#[test]
fn a_copy_shares_what_was_shared() {
    let xml =
        format!("<w xmlns:x='{0}1' xmlns:y='{0}2'>{1}</w>", "u".repeat(1_000), "<x:a/><y:a/>".repeat(500));
    let element = Element::parse(xml.as_bytes(), XmlLimits::STANZA).unwrap();
    let copy = element.root().to_owned();
    assert_eq!(copy, element);
    assert!(copy.root().tree.footprint() < 100_000, "{}", copy.root().tree.footprint());
}
