//! habits.md invariant 2: parse, write, parse is identity, for whatever stanzas there may be.

#![allow(clippy::unwrap_used)]

mod common;

use balcony_machine::XmlLimits;
use balcony_sim::strategies::stanza_and_content;
use balcony_stanza::Stanza;
use balcony_xml::{Element, Reader, Token};
use common::{read, wire};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn stanzas_are_read_as_they_were_written((stanza, elements) in stanza_and_content()) {
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
    fn documents_of_their_own_say_the_same((stanza, _) in stanza_and_content()) {
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
    fn errors_about_anything_are_in_order((stanza, _) in stanza_and_content()) {
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
