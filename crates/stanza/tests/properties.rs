//! habits.md invariant 2: parse, write, parse is identity, for whatever stanzas there may be.

#![allow(clippy::unwrap_used)]

mod common;

use balcony_machine::XmlLimits;
use balcony_stanza::{Kind, Payload, Stanza};
use balcony_xml::{Element, Name, Reader, Token};
use common::{KINDS, read, wire};
use proptest::prelude::*;
use proptest::sample::select;

const JIDS: &[&str] = &[
    "example.com",
    "juliet@example.com",
    "juliet@example.com/balcony",
    "example.com/it's \"quoted\" <&>",
    "\u{5e9}\u{5dc}\u{5d5}\u{5dd}@\u{fc}ber.example/\u{1f600} \u{4f60}\u{597d}",
    "[::1]/a/b@c",
    "o\\27brien@example.com/x",
];
const NAMESPACES: &[&str] = &["jabber:client", "jabber:client", "urn:a", "urn:b?c&d='e'", ""];
const NAMES: &[Name] = &[
    Name::from_static("body"),
    Name::from_static("a"),
    Name::from_static("error"),
    Name::from_static("_b-1.c"),
    Name::from_static("query"),
];

/// Text with everything that has to be escaped, and anything else that XML can carry.
fn text() -> impl Strategy<Value = String> {
    let special = select(vec![
        '<', '>', '&', '\'', '"', ']', '\t', '\n', '\r', ' ', '\u{7f}', '\u{85}', '\u{2028}', '\u{feff}',
    ]);
    let any = any::<char>().prop_filter("a character of XML 1.0", |char| {
        !matches!(char, '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}')
    });
    prop::collection::vec(prop_oneof![2 => special, 3 => any], 0..12)
        .prop_map(|chars| chars.into_iter().collect())
}

fn element() -> impl Strategy<Value = Element> {
    let empty = || {
        let attributes = prop::collection::vec((select(NAMES), select(NAMESPACES), text()), 0..3);
        (select(NAMES), select(NAMESPACES), attributes, prop::option::of(text())).prop_map(
            |(name, namespace, attributes, lang)| {
                let mut element = Element::new(name, namespace);
                for (name, namespace, value) in attributes {
                    element.push_attr_ns(name, namespace, &value);
                }
                if let Some(lang) = lang {
                    element.push_lang(&lang);
                }
                element
            },
        )
    };
    empty().boxed().prop_recursive(4, 24, 4, move |inner| {
        let node = prop_oneof![inner.prop_map(Ok), text().prop_map(Err)];
        (empty(), prop::collection::vec(node, 0..4)).prop_map(|(mut element, nodes)| {
            for node in nodes {
                match node {
                    Ok(child) => element.push_child(child.root()),
                    Err(text) => element.push_text(&text),
                }
            }
            element
        })
    })
}

fn stanza() -> impl Strategy<Value = (Stanza, Vec<Element>)> {
    let jid = || prop::option::of(select(JIDS));
    let kind = select(&KINDS[..]).prop_map(|(kind, ..)| kind);
    let elements = prop::collection::vec(element(), 1..4);
    (kind, jid(), jid(), prop::option::of(text()), prop::option::of(text()), elements, any::<bool>())
        .prop_map(|(kind, to, from, id, lang, mut elements, empty)| {
            match kind {
                Kind::Iq(balcony_stanza::IqType::Get | balcony_stanza::IqType::Set) => elements.truncate(1),
                _ if empty => elements.clear(),
                _ => {}
            }
            let mut stanza = Stanza::new(kind).payload(elements.iter().collect::<Payload>());
            stanza.head.to = to.map(|to| to.parse().unwrap());
            stanza.head.from = from.map(|from| from.parse().unwrap());
            stanza.head.id = id.map(Into::into);
            stanza.head.lang = lang.map(Into::into);
            if let (Kind::Iq(_), None) = (kind, &stanza.head.id) {
                stanza.head.id = Some("1".into());
            }
            (stanza, elements)
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn stanzas_are_read_as_they_were_written((stanza, elements) in stanza()) {
        let written = wire(&stanza);
        let read = read(&written).unwrap().unwrap();
        prop_assert_eq!(&read, &stanza, "{}", written);
        prop_assert_eq!(Stanza::parse(written.as_bytes()), Some(stanza));
        prop_assert_eq!(Stanza::parse(format!("{written}<iq/>").as_bytes()), None);
        prop_assert_eq!(Stanza::parse(&written.as_bytes()[1..]), None);
        prop_assert_eq!(Stanza::parse(&written.as_bytes()[..written.len() - 1]), None);
        prop_assert_eq!(wire(&read), written);
        let payload = read.payload.parse().unwrap();
        let children: Vec<Element> = payload.root().children().map(|child| child.to_owned()).collect();
        prop_assert_eq!(children, elements);
    }

    // RFC 7395 §3.3.3 [V3] [V4]
    #[test]
    fn documents_of_their_own_say_the_same((stanza, _) in stanza()) {
        let mut document = Vec::new();
        stanza.write_document("jabber:client", &mut document);
        let mut reader = Reader::framed(XmlLimits::STANZA, "jabber:client");
        prop_assert_eq!(reader.read(&mut &document[..]), Ok(Some(Token::Element)));
        prop_assert_eq!(Stanza::from_reader(&reader), Some(Ok(stanza.clone())));
        // A parser that knows nothing of streams sees the same element.
        let element = Element::parse(&document, XmlLimits::STANZA).unwrap();
        prop_assert!(element.root().is(stanza.head.kind.name(), "jabber:client"));
    }

    // RFC 6120 §8.3.1 [ST15]: whatever the stanza, the error about it is in order, and it answers that stanza.
    #[test]
    fn errors_about_anything_are_in_order((stanza, _) in stanza()) {
        let error = balcony_stanza::ErrorCondition::ServiceUnavailable.into();
        if let Some(reply) = stanza.error(&error) {
            let reply = read(&wire(&reply)).unwrap().unwrap();
            prop_assert_eq!(reply.head.id, stanza.head.id.clone());
            prop_assert_eq!((reply.head.to, reply.head.from), (stanza.head.from, stanza.head.to));
            let payload = reply.payload.parse().unwrap();
            prop_assert_eq!(balcony_stanza::StanzaError::from_payload(payload.root()), Some(error));
        }
    }
}
