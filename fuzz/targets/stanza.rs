//! Any bytes as the content of a stream: what is a stanza is the same stanza after writing and reading, and every answer
//! to it can be read.
#![no_main]

use balcony_machine::XmlLimits;
use balcony_stanza::{ErrorCondition, Kind, Stanza, StanzaError, StreamError};
use balcony_xml::{Reader, Token};
use libfuzzer_sys::fuzz_target;

const HEADER: &[u8] = b"<stream:stream xmlns='jabber:client' xmlns:p='urn:p' \
                        xmlns:stream='http://etherx.jabber.org/streams'>";
/// Another stream, to which a stanza may be delivered.
const ELSEWHERE: &[u8] = b"<s:stream xmlns='jabber:client' xmlns:s='http://etherx.jabber.org/streams'>";
const WIDE: XmlLimits = XmlLimits { bytes: 1 << 24, depth: 4096, attributes: 4096, nodes: 1 << 20 };

fuzz_target!(|data: &[u8]| {
    let mut reader = opened(HEADER);
    let mut input = data;
    while let Ok(Some(Token::Element)) = reader.read(&mut input) {
        match Stanza::from_reader(&reader) {
            None => drop(StreamError::from_element(reader.element())),
            Some(Ok(stanza)) => check(&stanza),
            Some(Err(invalid)) => {
                // An iq without id is answered without one, which makes no iq either.
                let readable =
                    |reply: &&Stanza| !matches!(reply.head.kind, Kind::Iq(_)) || reply.head.id.is_some();
                if let Some(reply) = invalid.reply.as_ref().filter(readable) {
                    assert_eq!(same(reply).as_ref(), Some(reply));
                    let payload = reply.payload.parse().expect("a payload stands on its own");
                    assert_eq!(StanzaError::from_payload(payload.root()), Some(invalid.error.clone()));
                }
            }
        }
    }
});

fn check(stanza: &Stanza) {
    let again = same(stanza).expect("what we write is a stanza");
    assert_eq!(again.head, stanza.head);
    let content = stanza.payload.parse().expect("a payload stands on its own");
    assert_eq!(again.payload.parse().expect("still"), content);
    assert_eq!(same(&again).as_ref(), Some(&again), "what we write, we write again");

    let request = stanza.result().is_some();
    let error = StanzaError::new(ErrorCondition::ServiceUnavailable, "<&'\">");
    for reply in [stanza.result(), stanza.error(&error)].into_iter().flatten() {
        assert_eq!((&reply.head.to, &reply.head.id), (&stanza.head.from, &stanza.head.id));
        assert!(reply.result().is_none() || !request, "answers are no requests");
        assert_eq!(same(&reply).as_ref(), Some(&reply));
    }
    // Whatever error somebody sends, it is an error when it is passed on.
    if let Some(error) = StanzaError::from_payload(content.root()) {
        let element = error.to_element();
        let mut out = Vec::new();
        element.root().write(&mut out, "jabber:client");
        let carrier = Stanza::message(balcony_stanza::MessageType::Error).with_child(element);
        let payload = same(&carrier).expect("a stanza").payload.parse().expect("a payload stands on its own");
        assert_eq!(StanzaError::from_payload(payload.root()), Some(error));
    }
}

/// The stanza as it arrives on another stream.
fn same(stanza: &Stanza) -> Option<Stanza> {
    let mut out = ELSEWHERE.to_vec();
    stanza.write(&mut out);
    only_element(&out, |reader| Stanza::from_reader(reader)?.ok())
}

fn only_element<T>(mut bytes: &[u8], take: impl FnOnce(&Reader) -> T) -> T {
    let mut reader = Reader::new(WIDE);
    assert_eq!(reader.read(&mut bytes), Ok(Some(Token::Header)));
    assert_eq!(reader.read(&mut bytes), Ok(Some(Token::Element)), "{}", String::from_utf8_lossy(bytes));
    let taken = take(&reader);
    assert!(bytes.is_empty(), "one element");
    taken
}

fn opened(mut header: &[u8]) -> Reader {
    let mut reader = Reader::new(XmlLimits::STANZA);
    assert_eq!(reader.read(&mut header), Ok(Some(Token::Header)));
    reader
}
