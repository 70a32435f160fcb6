//! habits.md invariant 2: parse, write, parse is identity, for whatever stanzas there may be.

#![allow(clippy::unwrap_used)]

mod common;

use balcony_machine::XmlLimits;
use balcony_sim::strategies::stanza_and_content;
use balcony_stanza::{ErrorCondition, Stanza, StanzaError};
use balcony_xml::{Element, Name, Reader, Token, forbidden_char};
use common::{read, wire};
use proptest::prelude::*;

const STANZA_ERRORS: &str = "urn:ietf:params:xml:ns:xmpp-stanzas";

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

proptest! {
    // The fields of a stanza and of an error are everybody's to set: whatever text is in them, what is written is a stanza of this kind
    // between these addresses, with this text as far as XML can carry it (see `forbidden_char`).
    #[test]
    fn no_text_in_a_field_breaks_what_is_written(
        (stanza, _) in stanza_and_content(),
        [id, lang, text, address] in prop::array::uniform4(any::<String>()),
        condition in prop::sample::select(vec![ErrorCondition::Gone, ErrorCondition::Redirect, ErrorCondition::Conflict]),
        namespace in prop::sample::select(vec!["urn:example", STANZA_ERRORS]),
    ) {
        let mut stanza = stanza;
        (stanza.head.id, stanza.head.lang) = (Some(id.as_str().into()), Some(lang.as_str().into()));
        let written = read(&wire(&stanza)).unwrap().unwrap();
        prop_assert_eq!((&written.head.kind, &written.head.to, &written.head.from), (&stanza.head.kind, &stanza.head.to, &stanza.head.from));
        prop_assert_eq!(&written.payload, &stanza.payload);
        if forbidden_char(&id).is_none() {
            prop_assert_eq!(written.head.id.as_deref(), Some(id.as_str()));
        }
        let mut error = StanzaError::from(condition);
        error.text = Some(text.clone().into());
        error.address = Some(address.clone().into());
        error.application = Some(Box::new(Element::new(Name::from_static("forbidden"), namespace)));
        stanza.payload = error.to_element().into();
        let payload = read(&wire(&stanza)).unwrap().unwrap().payload.parse().unwrap();
        let child = payload.root().children().next().unwrap();
        prop_assert!(child.is("error", "jabber:client"));
        // RFC 6120 §8.3.2: one condition, which is empty but where it says that somebody has moved.
        let conditions = || child.children().filter(|child| child.namespace() == STANZA_ERRORS && child.name() != "text");
        prop_assert_eq!(conditions().count(), 1);
        prop_assert!(condition != ErrorCondition::Conflict || conditions().all(|condition| condition.text().is_empty()));
        prop_assert_eq!(child.children().filter(|child| child.namespace() == "urn:example").count(), usize::from(namespace == "urn:example"));
        let read = StanzaError::from_payload(payload.root()).unwrap();
        prop_assert_eq!((read.kind, read.condition), (error.kind, error.condition));
        if forbidden_char(&text).is_none() && !text.is_empty() {
            prop_assert_eq!(read.text.as_deref(), Some(text.as_str()));
        }
    }
}
