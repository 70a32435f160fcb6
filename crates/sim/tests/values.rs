//! What strategies and `Arbitrary` make is what they say: valid, and the same after it has gone through a stream in pieces.
#![allow(clippy::unwrap_used, reason = "tests")]

use arbitrary::{Arbitrary, Unstructured};
use balcony_jid::Jid;
use balcony_machine::XmlLimits;
use balcony_sim::arbitrary::{AnyElement, AnyJid, AnyName, AnyStream};
use balcony_sim::strategies;
use balcony_stanza::Stanza;
use balcony_xml::{Element, Name, Reader, Token};
use proptest::prelude::*;

/// The stanzas that come in these pieces.
fn read(pieces: &[Vec<u8>]) -> Vec<Stanza> {
    let mut reader = Reader::new(XmlLimits::STANZA);
    let mut open =
        &b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"[..];
    assert!(matches!(reader.read(&mut open), Ok(Some(Token::Header))));
    let mut stanzas = Vec::new();
    for piece in pieces {
        assert!(!piece.is_empty());
        let mut input = piece.as_slice();
        while let Some(token) = reader.read(&mut input).unwrap() {
            if let Token::Element = token {
                stanzas.push(Stanza::from_reader(&reader).unwrap().unwrap());
            }
        }
    }
    stanzas
}

proptest! {
    #[test]
    fn streams_hold_what_they_say((stanzas, pieces) in strategies::stream()) {
        prop_assert_eq!(read(&pieces), stanzas);
    }

    #[test]
    fn addresses_are_addresses(jid in strategies::jid(), full in strategies::full_jid(), account in strategies::account()) {
        prop_assert_eq!(Jid::parse(jid.as_str()), Ok(jid));
        prop_assert!(Jid::parse(full.as_str()).unwrap().is_full());
        prop_assert!(Jid::parse(account.as_str()).unwrap().localpart().is_some());
    }

    #[test]
    fn a_failing_case_can_be_read(element in strategies::element(), name in strategies::name(), stanza in strategies::stanza()) {
        prop_assert_eq!(Element::parse(element.to_xml().as_bytes(), XmlLimits::STANZA), Ok(element));
        prop_assert_eq!(Name::new(name.as_str()), Ok(name));
        prop_assert_eq!(Stanza::parse(stanza.to_xml().as_bytes()), Some(stanza.clone()));
        prop_assert!(stanza.payload.is_empty() || stanza.to_xml().contains(&stanza.payload.to_xml()));
    }

    #[test]
    fn any_bytes_are_values(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        let mut bytes = Unstructured::new(&bytes);
        if let Ok(AnyJid(jid)) = bytes.arbitrary() {
            prop_assert_eq!(Jid::parse(jid.as_str()), Ok(jid));
        }
        if let Ok(AnyName(name)) = bytes.arbitrary() {
            prop_assert_eq!(Name::new(name.as_str()), Ok(name));
        }
        if let Ok(AnyElement(element)) = bytes.arbitrary() {
            prop_assert_eq!(Element::parse(element.to_xml().as_bytes(), XmlLimits::STANZA), Ok(element));
        }
        if let Ok(stream) = AnyStream::arbitrary(&mut bytes) {
            prop_assert_eq!(read(&stream.pieces), stream.stanzas);
        }
    }
}

// Of arbitrary bytes most are of some use, or a fuzzer would throw away what it finds.
#[test]
fn most_bytes_are_of_use() {
    let mut random = balcony_machine::Seed::from_u64(3).random();
    let usable = |_: &usize| {
        let mut bytes = [0; 256];
        random.fill(&mut bytes);
        AnyStream::arbitrary(&mut Unstructured::new(&bytes)).is_ok_and(|stream| !stream.stanzas.is_empty())
    };
    assert!((0..200).filter(usable).count() > 60);
}
