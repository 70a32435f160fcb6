//! Stanzas as a stream brings them.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]

use balcony_machine::XmlLimits;
use balcony_stanza::{ErrorCondition, Invalid, IqType, Kind, MessageType, PresenceType, Stanza};
use balcony_xml::{Reader, Token};

pub const HEADER: &str =
    "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";

/// What a stream with this header makes of one element.
pub fn read_under(header: &str, xml: &str) -> Option<Result<Stanza, Box<Invalid>>> {
    let mut reader = Reader::new(XmlLimits::STANZA);
    assert_eq!(reader.read(&mut header.as_bytes()), Ok(Some(Token::Header)), "{header}");
    let mut input = xml.as_bytes();
    assert_eq!(reader.read(&mut input), Ok(Some(Token::Element)), "{xml}");
    assert!(input.is_empty(), "{xml}");
    Stanza::from_reader(&reader)
}

pub fn read(xml: &str) -> Option<Result<Stanza, Box<Invalid>>> {
    read_under(HEADER, xml)
}

/// A stanza in order.
pub fn valid(xml: &str) -> Stanza {
    read(xml).unwrap().unwrap_or_else(|invalid| panic!("{xml}: {invalid:?}"))
}

/// The condition and the reply for a stanza that is not in order.
pub fn refused(xml: &str) -> (ErrorCondition, Option<String>) {
    let invalid = read(xml).unwrap().unwrap_err();
    (invalid.error.condition, invalid.reply.as_ref().map(wire))
}

pub fn wire(stanza: &Stanza) -> String {
    let mut out = Vec::new();
    stanza.write(&mut out);
    String::from_utf8(out).unwrap()
}

/// Every kind of stanza, with the name and the `type` that it has on the wire.
pub const KINDS: [(Kind, &str, Option<&str>); 17] = [
    (Kind::Message(MessageType::Normal), "message", None),
    (Kind::Message(MessageType::Chat), "message", Some("chat")),
    (Kind::Message(MessageType::Groupchat), "message", Some("groupchat")),
    (Kind::Message(MessageType::Headline), "message", Some("headline")),
    (Kind::Message(MessageType::Error), "message", Some("error")),
    (Kind::Presence(PresenceType::Available), "presence", None),
    (Kind::Presence(PresenceType::Error), "presence", Some("error")),
    (Kind::Presence(PresenceType::Probe), "presence", Some("probe")),
    (Kind::Presence(PresenceType::Subscribe), "presence", Some("subscribe")),
    (Kind::Presence(PresenceType::Subscribed), "presence", Some("subscribed")),
    (Kind::Presence(PresenceType::Unavailable), "presence", Some("unavailable")),
    (Kind::Presence(PresenceType::Unsubscribe), "presence", Some("unsubscribe")),
    (Kind::Presence(PresenceType::Unsubscribed), "presence", Some("unsubscribed")),
    (Kind::Iq(IqType::Get), "iq", Some("get")),
    (Kind::Iq(IqType::Set), "iq", Some("set")),
    (Kind::Iq(IqType::Result), "iq", Some("result")),
    (Kind::Iq(IqType::Error), "iq", Some("error")),
];
