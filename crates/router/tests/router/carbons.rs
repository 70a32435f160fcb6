//! Carbons (XEP-0280).

use balcony_router::{Effect, SessionId};
use balcony_stanza::{IqType, Kind, MessageType, Stanza};

use balcony_xml::{Element, Name};

use crate::world::{World, available, bare, content, jid, request, wires};

const ENABLE: &str = "<enable xmlns='urn:xmpp:carbons:2'/>";
const DISABLE: &str = "<disable xmlns='urn:xmpp:carbons:2'/>";

/// Juliet has `balcony` (5), `attic` (0) and `cellar` (-1) available, and `hall` is connected; all but the first have copies.
struct Scene {
    world: World,
    romeo: SessionId,
    balcony: SessionId,
    others: [SessionId; 3],
}

fn scene() -> Scene {
    let mut world = World::new();
    let romeo = world.available("romeo@example.net/street", 0);
    let balcony = world.available("juliet@example.com/balcony", 5);
    let others = [
        world.available("juliet@example.com/attic", 0),
        world.available("juliet@example.com/cellar", -1),
        world.connect("juliet@example.com/hall"),
    ];
    for session in others {
        // XEP-0280 1.0.1 §5: enabling twice is enabling.
        for _ in 0..2 {
            let told = world.says(session, request(IqType::Set, ENABLE));
            assert_eq!(told, [format!("{}: iq result", world.name(session))]);
        }
    }
    Scene { world, romeo, balcony, others }
}

fn message(kind: MessageType, xml: &str) -> Stanza {
    let mut stanza = content(xml);
    stanza.head.kind = Kind::Message(kind);
    stanza.with_id("m")
}

fn copies(effects: &[Effect], to: SessionId) -> usize {
    wires(effects, to).iter().filter(|wire| wire.contains("urn:xmpp:carbons:2")).count()
}

// XEP-0280 1.0.1 §7, §8 [CR3] [CR5], XEP-0297 1.0 §3: the original as it was, the copies around it.
#[test]
fn received() {
    let Scene { mut world, romeo, balcony, others } = scene();
    let chat = message(MessageType::Chat, "<body>But soft</body>");
    for to in ["juliet@example.com", "juliet@example.com/balcony"] {
        let effects = world.send(romeo, chat.clone().with_to(jid(to)));
        let original = |namespace: &str| {
            format!(
                "<message{namespace} from='romeo@example.net/street' to='{to}' type='chat' id='m'><body>But soft</body></message>"
            )
        };
        assert_eq!(wires(&effects, balcony), [original("")]);
        for (other, name) in others.iter().zip(["attic", "cellar", "hall"]) {
            assert_eq!(
                wires(&effects, *other),
                [format!(
                    "<message from='juliet@example.com' to='juliet@example.com/{name}' type='chat'>\
                     <received xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'>{}\
                     </forwarded></received></message>",
                    original(" xmlns='jabber:client'")
                )]
            );
        }
        assert!(wires(&effects, romeo).is_empty());
    }
    // Who gets the original gets no copy.
    let effects = world.send(romeo, chat.with_to(jid("juliet@example.com/attic")));
    assert_eq!(
        (copies(&effects, others[0]), copies(&effects, balcony), copies(&effects, others[1])),
        (0, 0, 1)
    );
}

// XEP-0280 1.0.1 §8 [CR4] [CR5]: what one resource sends, the others see.
#[test]
fn sent() {
    let Scene { mut world, balcony, others, .. } = scene();
    for to in ["romeo@example.net/street", "romeo@example.net", "friar@example.org", "nobody@example.com"] {
        let effects =
            world.send(balcony, message(MessageType::Chat, "<body>O Romeo</body>").with_to(jid(to)));
        for (other, name) in others.iter().zip(["attic", "cellar", "hall"]) {
            assert_eq!(
                wires(&effects, *other),
                [format!(
                    "<message from='juliet@example.com' to='juliet@example.com/{name}' type='chat'>\
                     <sent xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'>\
                     <message xmlns='jabber:client' from='juliet@example.com/balcony' to='{to}' type='chat' id='m'>\
                     <body>O Romeo</body></message></forwarded></sent></message>"
                )]
            );
        }
        assert_eq!(copies(&effects, balcony), 0);
        // Not to who sends it.
        let effects = world.send(others[0], message(MessageType::Chat, "<body>x</body>").with_to(jid(to)));
        assert_eq!([others[0], balcony].map(|to| copies(&effects, to)), [0, 0]);
        assert_eq!(copies(&effects, others[1]), 1);
    }
}

// XEP-0280 1.0.1 §7: within the account a message is copied once, and not to its sender.
#[test]
fn within_the_account() {
    let Scene { mut world, balcony, others, .. } = scene();
    let effects = world.send(
        others[0],
        message(MessageType::Chat, "<body>x</body>").with_to(jid("juliet@example.com/balcony")),
    );
    assert_eq!(wires(&effects, balcony).len(), 1);
    assert_eq!(others.map(|to| copies(&effects, to)), [0, 1, 1]);
}

// XEP-0280 1.0.1 §6.1, §9 [CR6] [CR7] [AR1] [AR2] [AR3]: which messages.
#[test]
fn eligible() {
    use MessageType::{Chat, Error, Groupchat, Headline, Normal};
    const INVITED: &str = "<x xmlns='http://jabber.org/protocol/muc#user'><invite/></x>";
    const IN_ROOM: &str = "<x xmlns='http://jabber.org/protocol/muc#user'/>";
    for (kind, xml, received, sent) in [
        (Chat, "<body>x</body>", 1, 1),
        (Chat, "", 1, 1),
        (Normal, "<body>x</body>", 1, 1),
        (Normal, "<x xmlns='urn:x'/>", 0, 0),
        (Normal, "<received xmlns='urn:xmpp:receipts' id='1'/>", 1, 1),
        (Normal, "<composing xmlns='http://jabber.org/protocol/chatstates'/>", 1, 1),
        (Normal, "<displayed xmlns='urn:xmpp:chat-markers:0' id='1'/>", 1, 1),
        (Normal, "<x xmlns='jabber:x:conference' jid='room@example.com'/>", 1, 1),
        (Normal, INVITED, 1, 1),
        (Chat, IN_ROOM, 0, 1),
        (Groupchat, "<body>x</body>", 0, 0),
        (Headline, "<body>x</body>", 0, 0),
        (Error, "<body>x</body><error/>", 1, 1),
        (Error, "<error/>", 0, 0),
        (Chat, "<body>x</body><private xmlns='urn:xmpp:carbons:2'/>", 0, 0),
        (Chat, "<body>x</body><no-copy xmlns='urn:xmpp:hints'/>", 0, 0),
    ] {
        let Scene { mut world, romeo, balcony, others } = scene();
        let effects = world.send(romeo, message(kind, xml).with_to(jid("juliet@example.com/balcony")));
        assert_eq!(wires(&effects, balcony).len(), 1);
        let got = wires(&effects, others[0]).len();
        let effects = world.send(balcony, message(kind, xml).with_to(jid("romeo@example.net/street")));
        // The element stays where it is.
        assert!(wires(&effects, romeo)[0].contains(&xml.replace("<body>x</body>", "")), "{xml}");
        assert_eq!((got, wires(&effects, others[0]).len()), (received, sent), "{kind:?} {xml}");
    }
    // XEP-0334 1.0.0 §4.3 [HI3]: the hint is for full JIDs only.
    let Scene { mut world, romeo, others, .. } = scene();
    let hint = message(Chat, "<no-copy xmlns='urn:xmpp:hints'/>").with_to(jid("juliet@example.com"));
    assert_eq!(copies(&world.send(romeo, hint), others[0]), 1);
}

// XEP-0280 1.0.1 §5, §6 [CR1]; nobody else can switch it.
#[test]
fn switching() {
    let Scene { mut world, romeo, balcony, others } = scene();
    let send = |world: &mut World| {
        let effects = world.send(
            romeo,
            message(MessageType::Chat, "<body>x</body>").with_to(jid("juliet@example.com/balcony")),
        );
        others.map(|to| copies(&effects, to))
    };
    assert_eq!(send(&mut world), [1, 1, 1]);
    for _ in 0..2 {
        assert_eq!(world.says(others[0], request(IqType::Set, DISABLE)), ["attic: iq result"]);
        assert_eq!(send(&mut world), [0, 1, 1]);
    }
    world.unbind(others[1]);
    assert_eq!(send(&mut world), [0, 0, 1]);
    assert_eq!(
        world.says(romeo, request(IqType::Set, ENABLE).with_to(jid("juliet@example.com"))),
        ["street: iq error service-unavailable/cancel from juliet@example.com"]
    );
    assert_eq!(
        world.says(balcony, request(IqType::Get, ENABLE)),
        ["balcony: iq error service-unavailable/cancel"]
    );
    // It ends with the session.
    world.unbind(others[2]);
    world.connect("juliet@example.com/hall");
    let effects =
        world.send(romeo, message(MessageType::Chat, "").with_to(jid("juliet@example.com/balcony")));
    assert_eq!(effects.len(), 1);
}

// RFC 6121 §8.5.2.2.1, XEP-0280 [CR11]: what is stored has reached nobody, and is copied to nobody; nor is it when it comes from the store.
#[test]
fn stored_messages_are_not_copied() {
    let Scene { mut world, romeo, balcony, others } = scene();
    world.send(balcony, available(-1));
    world.send(others[0], available(-1));
    let effects =
        world.send(romeo, message(MessageType::Chat, "<body>x</body>").with_to(jid("juliet@example.com")));
    assert!(world.tell(&effects)[0].starts_with("store for"));
    assert_eq!(others.map(|to| copies(&effects, to)), [0, 0, 0]);
    let effects = world.send(balcony, available(0));
    assert!(wires(&effects, balcony).iter().any(|wire| wire.contains("<body>x</body><delay ")));
    assert_eq!(others.map(|to| copies(&effects, to)), [0, 0, 0]);
}

// XEP-0386 1.1.0 §3.2.1 [BI15]: a resource that wants copies from the moment on in which it is bound, even while the account is loaded.
#[test]
fn from_the_first_moment() {
    let mut world = World::new();
    world.store.create(bare("juliet@example.com"));
    world.at_once = false;
    let mut loading = Vec::new();
    let account = bare("juliet@example.com");
    world.router.bind(world.now, SessionId(1), &account, Some("phone"), &mut loading).unwrap();
    let wanted = Element::new(Name::from_static("bind"), "urn:xmpp:bind:0")
        .child(Element::new(Name::from_static("inactive"), "urn:xmpp:csi:0"))
        .child(Element::new(Name::from_static("enable"), "urn:xmpp:carbons:2"));
    for session in [1, 99] {
        world.router.bind_inline(SessionId(session), wanted.root(), &mut loading);
    }
    world.at_once = true;
    world.serve(&mut loading);
    let balcony = world.available("juliet@example.com/balcony", 0);
    let stanza = message(MessageType::Chat, "<body>hi</body>").with_to(jid("romeo@example.net"));
    let told = world.says(balcony, stanza);
    assert!(told.contains(&"1: message chat from juliet@example.com".to_owned()), "{told:?}");
}
