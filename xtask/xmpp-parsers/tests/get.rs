//! What stanzas hold as the types of `xmpp-parsers`, and those types put into stanzas.
#![allow(clippy::unwrap_used, reason = "tests")]

use balcony_client::{Message, ReceivedPresence};
use balcony_stanza::Stanza;
use balcony_xml::Element;
use xmpp_parsers::chatstates::ChatState;
use xmpp_parsers::delay::Delay;
use xmpp_parsers::minidom;
use xmpp_parsers::muc::MucUser;
use xmpp_parsers::version::VersionResult;

fn stanza(xml: &str) -> Stanza {
    Stanza::parse(xml.as_bytes()).unwrap()
}

#[test]
fn a_payload_is_read() {
    let payload = stanza(
        "<iq type='result' id='1'><query xmlns='jabber:iq:version'><name>Gajim</name><version>2</version></query></iq>",
    )
    .payload;
    assert_eq!(payload.get::<VersionResult>().unwrap().name, "Gajim");
    assert!(payload.get::<ChatState>().is_none());
}

#[test]
fn so_are_messages_and_presence() {
    let message = Message::read(stanza(
        "<message type='chat'><body>hi</body><composing xmlns='http://jabber.org/protocol/chatstates'/>\
         <delay xmlns='urn:xmpp:delay' stamp='2026-11-29T06:00:00Z'/></message>",
    ))
    .unwrap();
    assert!(matches!(message.get(), Some(ChatState::Composing)));
    assert!(message.get::<Delay>().is_some());
    let presence = ReceivedPresence::read(stanza(
        "<presence><x xmlns='http://jabber.org/protocol/muc#user'><item affiliation='member' role='participant'/></x></presence>",
    ))
    .unwrap();
    assert_eq!(presence.get::<MucUser>().unwrap().items.len(), 1);
}

#[test]
fn and_written() {
    let state = Element::try_from(&minidom::Element::from(ChatState::Paused)).unwrap();
    let message = Message::chat("juliet@example.com".parse().unwrap()).child(state).to_stanza();
    assert!(message.to_xml().contains("<paused xmlns='http://jabber.org/protocol/chatstates'/>"));
    assert!(matches!(message.payload.get(), Some(ChatState::Paused)));
}
