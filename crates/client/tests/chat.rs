//! Where the messages of a chat go, and who sees the user meanwhile, after whatever has come before.

#![allow(clippy::unwrap_used)]

use balcony_client::{Chat, Contacts, Presence};
use balcony_machine::Seed;
use balcony_stanza::{Content, Kind, MessageType, PresenceType, Stanza, Thread};
use proptest::prelude::*;
use proptest::sample::select;

const PEER: &str = "romeo@example.net";
const OWN: &str = "juliet@example.com";

fn chat() -> Chat {
    Chat::new(PEER.parse().unwrap(), Thread::random(&mut Seed::from_u64(1).random()))
}

fn contacts(subscription: &str) -> Contacts {
    let mut contacts = Contacts::new(OWN.parse().unwrap());
    let xml = format!(
        "<iq type='result' id='1'><query xmlns='jabber:iq:roster'>\
         <item jid='{PEER}' subscription='{subscription}'/></query></iq>"
    );
    contacts.load(&Stanza::parse(xml.as_bytes()).unwrap());
    contacts
}

// RFC 6121 §5.1 [M1] message-thread
#[test]
fn a_chat_begins_with_the_account() {
    let chat = chat();
    let mut content = Content::body("Art thou not Romeo?");
    content.thread = Thread::new("another");
    let first = chat.message(content);
    assert_eq!(first.head.kind, Kind::Message(MessageType::Chat));
    assert_eq!(first.head.to, Some(PEER.parse().unwrap()));
    let read = Content::read(&first);
    assert_eq!(read.bodies.best(""), Some("Art thou not Romeo?"));
    assert_eq!(read.thread.as_ref(), Some(chat.thread()));
}

// RFC 6121 §5.1 [M3]
#[test]
fn strangers_see_the_user_while_the_chat_lasts() {
    for (subscription, is_allowed, is_told) in [
        ("none", true, true),
        ("to", true, true),
        ("from", true, false),
        ("both", true, false),
        ("none", false, false),
    ] {
        let mut chat = chat();
        chat.shows_presence = is_allowed;
        let presence = Presence::available().status("on the balcony");
        let contacts = contacts(subscription);
        let told = chat.begin(&contacts, &presence);
        let here = presence.to_stanza().with_to(PEER.parse().unwrap());
        assert_eq!(told, is_told.then_some(here), "{subscription}");
        assert_eq!(chat.begin(&contacts, &presence), None);
        // Who has been told is told the end of it too.
        chat.shows_presence = false;
        let gone = Stanza::presence(PresenceType::Unavailable).with_to(PEER.parse().unwrap());
        assert_eq!(chat.end(), is_told.then_some(gone), "{subscription}");
    }
    assert_eq!(chat().end(), None);
}

proptest! {
    // RFC 6121 §5.1 [M2]
    #[test]
    fn messages_go_to_who_has_replied(history in prop::collection::vec((
        select(vec![PEER, "romeo@example.net/a", "romeo@example.net/b", "nurse@example.com/a", OWN]),
        select(vec![
            Kind::Message(MessageType::Chat),
            Kind::Message(MessageType::Chat),
            Kind::Message(MessageType::Normal),
            Kind::Message(MessageType::Headline),
            Kind::Message(MessageType::Error),
            Kind::Presence(PresenceType::Available),
            Kind::Presence(PresenceType::Unavailable),
            Kind::Iq(balcony_stanza::IqType::Get),
        ]),
    ), 0..12)) {
        let (mut chat, mut model) = (chat(), PEER);
        for (from, kind) in history {
            chat.take(&Stanza::new(kind).with_from(from.parse().unwrap()));
            let is_reply = matches!(kind, Kind::Message(MessageType::Chat | MessageType::Normal));
            let is_stay = matches!(kind, Kind::Iq(_))
                || kind == Kind::Message(MessageType::Headline)
                || is_reply;
            let is_peers = from.split('/').next() == Some(PEER);
            if is_peers && !matches!(kind, Kind::Iq(_)) {
                model = match model {
                    PEER if is_reply => from,
                    locked if locked == from && is_stay => locked,
                    _ => PEER,
                };
            }
            let to = chat.to();
            prop_assert_eq!(to.as_str(), model);
            prop_assert_eq!(chat.message(Content::default()).head.to, Some(to));
        }
    }
}
