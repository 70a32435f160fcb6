//! What holds for every input.

mod common;

use balcony_machine::XmlLimits;
use balcony_xml::{
    Element, ElementRef, Name, NodeRef, Reader, Token, Workspace, Writer, escape_attr, escape_text, outline,
    remove_elements,
};
use common::{HEADER, canonical, document, reading, reading_with, soup, stream};
use proptest::prelude::*;

const SMALL: XmlLimits = XmlLimits { bytes: 120, depth: 3, attributes: 2, nodes: 6 };

/// Cuts `input` where `cuts` say.
fn cut<'i>(input: &'i [u8], cuts: &[usize]) -> Vec<&'i [u8]> {
    let mut cuts: Vec<usize> =
        cuts.iter().map(|cut| cut % (input.len() + 1)).chain([0, input.len()]).collect();
    cuts.sort_unstable();
    cuts.windows(2).map(|pair| &input[pair[0]..pair[1]]).collect()
}

/// The first element of a stream.
fn first(stream: &[u8]) -> Option<Reader> {
    let mut reader = Reader::new(XmlLimits::STANZA);
    let mut input = stream;
    while let Ok(Some(token)) = reader.read(&mut input) {
        if token == Token::Element {
            return Some(reader);
        }
    }
    None
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    // RFC 6120 §4.1: a stream is a stream, however the transport cuts it.
    #[test]
    fn any_split_reads_the_same(input in stream(), cuts in prop::collection::vec(any::<usize>(), 0..6)) {
        for limits in [XmlLimits::STANZA, SMALL] {
            let whole = reading([&input[..]], limits);
            prop_assert_eq!(&reading(input.chunks(1), limits), &whole);
            prop_assert_eq!(&reading(cut(&input, &cuts), limits), &whole);
            let rested = |chunks: Vec<&[u8]>| {
                // Its memory goes to another reader, which has read something, and is in the middle of something else.
                let (mut workspace, mut other) = (Workspace::new(), Reader::new(XmlLimits::STANZA));
                assert_eq!(other.read(&mut HEADER.as_bytes()), Ok(Some(Token::Header)));
                reading_with(chunks, limits, |reader| {
                    reader.rest(&mut workspace);
                    other.wake(&mut workspace);
                    let mut input = &b"<x:a xmlns:x='x' xmlns='y'>&lt;</x:a> "[..];
                    assert_eq!(other.read(&mut input), Ok(Some(Token::Element)));
                    assert_eq!((other.element().namespace(), other.payload()), ("x", &b"&lt;"[..]));
                    assert_eq!(other.read(&mut input), Ok(None));
                    other.rest(&mut workspace);
                    reader.wake(&mut workspace);
                })
            };
            prop_assert_eq!(&rested(input.chunks(1).collect()), &whole);
            prop_assert_eq!(&rested(cut(&input, &cuts)), &whole);
        }
    }

    // A limit refuses an element, and changes nothing for those around it.
    #[test]
    fn what_is_refused_does_not_disturb_the_rest(input in stream()) {
        let wide = reading([&input[..]], XmlLimits::STANZA);
        let small = reading([&input[..]], SMALL);
        for (small, wide) in small.tokens.iter().zip(&wide.tokens) {
            match small.0 {
                Token::Refused(_) => {
                    prop_assert_eq!(wide.0, Token::Element);
                    prop_assert_eq!(&small.2, &wide.2);
                }
                _ => prop_assert_eq!(small, wide),
            }
        }
        // Either both have read everything, or the small one has met a limit that ends the stream, or the wide one a fault in
        // what the small one has dropped.
        if small.error.is_none() && wide.error.is_none() {
            prop_assert_eq!(small.tokens.len(), wide.tokens.len());
        }
    }

    // rfc6120.md [X3]: whatever comes, an answer.
    #[test]
    fn any_bytes_read_the_same_and_never_panic(
        input in prop_oneof![soup(), prop::collection::vec(any::<u8>(), 0..64)],
        headed in any::<bool>(),
        cuts in prop::collection::vec(any::<usize>(), 0..4),
    ) {
        let input = if headed { [HEADER.as_bytes(), &input].concat() } else { input };
        for limits in [XmlLimits::STANZA, SMALL] {
            let whole = reading([&input[..]], limits);
            prop_assert_eq!(&reading(input.chunks(1), limits), &whole);
            prop_assert_eq!(&reading(cut(&input, &cuts), limits), &whole);
        }
    }

    // RFC 6120 §11.4: the tokens and the white space between them are the whole input.
    #[test]
    fn raw_is_what_came(documents in prop::collection::vec(document(), 1..4)) {
        let input = format!("{HEADER}{}", documents.concat());
        let reading = reading([input.as_bytes()], XmlLimits::STANZA);
        for ((token, _, raw, _), document) in reading.tokens.iter().skip(1).zip(&documents) {
            prop_assert_eq!(*token, Token::Element);
            prop_assert_eq!(raw, document.as_bytes());
        }
    }

    #[test]
    fn parse_write_parse_is_identity(document in document(), default_ns in "(|u|jabber:client)") {
        let Some(reader) = first(format!("{HEADER}{document}").as_bytes()) else { return Ok(()) };
        let element = reader.element();
        let mut written = Vec::new();
        element.write(&mut written, &default_ns);
        let mut placed = Vec::new();
        escape_attr(&default_ns, &mut placed);
        let placed = [b"<x xmlns='", &placed[..], b"'>", &written, b"</x>"].concat();
        let parsed = Element::parse(&placed, XmlLimits::STANZA).unwrap();
        prop_assert_eq!(parsed.root().children().next().unwrap(), element);
        // A second time it is the same bytes.
        let mut again = Vec::new();
        parsed.root().write_content(&mut again, &default_ns);
        prop_assert_eq!(again, written);
        prop_assert_eq!(canonical(element.to_owned().root()), canonical(element));
    }

    // RFC 6120 §8.1, §4.8.3: a server delivers the payload in a stanza of its own, on a stream of its own.
    #[test]
    fn the_payload_stands_on_its_own(document in document()) {
        let Some(reader) = first(format!("{HEADER}{document}").as_bytes()) else { return Ok(()) };
        let payload = reader.payload();
        let stanza = [b"<t:stream xmlns:t='http://etherx.jabber.org/streams' xmlns='jabber:client'><x>", payload, b"</x>"];
        let delivered = first(&stanza.concat()).unwrap();
        let nodes = |reader: &Reader| -> Vec<Vec<String>> {
            reader.element().nodes().map(|node| match node {
                NodeRef::Element(child) => canonical(child),
                NodeRef::Text(text) => vec![text.to_owned()],
            }).collect()
        };
        prop_assert_eq!(nodes(&delivered), nodes(&reader));
        let framed = Element::parse_payload(payload, "jabber:client", XmlLimits::STANZA).unwrap();
        prop_assert!(framed.root().is("payload", "jabber:client"));
        prop_assert!(framed.root().children().eq(reader.element().children()));
    }

    // An outline has the elements that a parser finds, at each level, and where it does not know a namespace it says so.
    #[test]
    fn an_outline_is_what_is_parsed(document in document()) {
        let Some(reader) = first(format!("{HEADER}{document}").as_bytes()) else { return Ok(()) };
        let payload = core::str::from_utf8(reader.payload()).unwrap();
        let parsed = Element::parse_payload(payload.as_bytes(), "jabber:client", XmlLimits::STANZA).unwrap();
        let mut open = vec![(outline(payload, "jabber:client"), parsed.root(), true)];
        while let Some((outline, parsed, is_top)) = open.pop() {
            let (children, parsed): (Vec<_>, Vec<_>) = (outline.collect(), parsed.children().collect());
            prop_assert_eq!(children.len(), parsed.len());
            for (child, parsed) in children.iter().zip(parsed) {
                prop_assert_eq!(child.name(), parsed.name());
                let may_be_unknown = payload.contains('&') || !is_top && !parsed.prefix().is_empty();
                match child.namespace() {
                    Some(namespace) => prop_assert_eq!(namespace, parsed.namespace()),
                    None => prop_assert!(may_be_unknown || parsed.prefix() == "xml", "{}", payload),
                }
                open.push((child.children(), parsed, false));
            }
        }
    }

    // Whatever it is asked about, it ends: each element takes its first byte at least.
    #[test]
    fn an_outline_of_anything_ends(text in "[<>/ab'\"=:! \\[\\]&é]{0,40}|(<a>|</a>|<a b='|'>|<!\\[CDATA\\[|\\]\\]>|<){0,12}") {
        let mut open = vec![outline(&text, "u")];
        let mut depth = 0;
        while let Some(outline) = open.pop() {
            let children: Vec<_> = outline.collect();
            prop_assert!(children.len() <= text.len());
            depth += 1;
            if depth < 64 {
                open.extend(children.iter().map(|child| child.children()));
            }
        }
    }

    // What is left is what was there, but for what was taken out.
    #[test]
    fn elements_are_removed_and_nothing_else(document in document(), mask: u8) {
        let Some(reader) = first(format!("{HEADER}{document}").as_bytes()) else { return Ok(()) };
        let payload = reader.payload();
        let without = |mask: u8| {
            let (mut at, mut left) = (0, Vec::new());
            let unwanted = |_: ElementRef<'_>| {
                at += 1;
                mask.rotate_left(at) & 1 == 1
            };
            remove_elements(payload, "jabber:client", XmlLimits::STANZA, unwanted, &mut left).unwrap();
            left
        };
        prop_assert_eq!(&without(0), payload);
        let parsed = Element::parse_payload(payload, "jabber:client", XmlLimits::STANZA).unwrap();
        let mut expected = Vec::from([String::new()]);
        let mut at = 0;
        for node in parsed.root().nodes() {
            match node {
                NodeRef::Element(child) => {
                    at += 1;
                    if mask.rotate_left(at) & 1 == 0 {
                        expected.extend(canonical(child));
                        expected.push(String::new());
                    }
                }
                NodeRef::Text(text) => expected.last_mut().unwrap().push_str(text),
            }
        }
        let left = Element::parse_payload(&without(mask), "jabber:client", XmlLimits::STANZA).unwrap();
        let mut found = Vec::from([String::new()]);
        for node in left.root().nodes() {
            match node {
                NodeRef::Element(child) => found.extend(canonical(child).into_iter().chain([String::new()])),
                NodeRef::Text(text) => found.last_mut().unwrap().push_str(text),
            }
        }
        prop_assert_eq!(found, expected);
    }

    // rfc6120.md [X2]: what is written is XML, whatever was given.
    #[test]
    fn escaped_text_is_well_formed(text in any::<String>(), ns in any::<String>()) {
        let mut out = b"<a b='".to_vec();
        escape_attr(&text, &mut out);
        out.extend_from_slice(b"'>");
        escape_text(&text, &mut out);
        out.extend_from_slice(b"</a>");
        let carried: String = text
            .chars()
            .map(|c| match c {
                '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'.. => c,
                _ => '\u{fffd}',
            })
            .collect();
        let parsed = Element::parse(&out, XmlLimits::STANZA).unwrap();
        prop_assert_eq!(parsed.root().attr("b"), Some(&carried[..]));
        prop_assert_eq!(parsed.root().text(), &carried[..]);

        const A: Name = Name::from_static("a");
        let built = Element::new(A, &ns).attr(A, &text).attr_ns(A, &ns, &text).text(&text).lang(&text);
        let mut out = Vec::new();
        built.root().write(&mut out, "");
        let parsed = Element::parse(&out, XmlLimits::STANZA).unwrap();
        prop_assert_eq!(parsed.root().language(), Some(&carried[..]));
    }

    // rfc6120.md [X2]
    #[test]
    fn a_writer_cannot_be_led_astray(calls in prop::collection::vec((0..6_u8, "[ab]", "(.{0,3}|http://www.w3.org/2000/xmlns/)"), 0..16)) {
        let mut out = b"<x>".to_vec();
        let mut writer = Writer::new(&mut out);
        for (call, name, text) in calls {
            let name = Name::new(&name).unwrap();
            match call {
                0 => writer.open(name),
                1 => writer.attr(name, &text),
                2 => writer.xmlns(&text),
                3 => writer.lang(&text),
                4 => writer.text(&text),
                _ => writer.close(),
            };
        }
        drop(writer);
        out.extend_from_slice(b"</x>");
        prop_assert!(Element::parse(&out, XmlLimits::STANZA).is_ok(), "{}", String::from_utf8_lossy(&out));
    }

    #[test]
    fn names_are_what_the_reader_takes_for_one(name in prop_oneof!["[a-z_:.0-9-]{0,4}", "\\PC{0,3}", "xmlns"]) {
        let read = Element::parse(format!("<{name}/>").as_bytes(), XmlLimits::STANZA);
        let read = read.is_ok_and(|element| element.root().name() == name);
        prop_assert_eq!(Name::new(&name).is_ok(), read && name != "xmlns");
    }
}
