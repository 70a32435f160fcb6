//! Large stanzas: what a server takes from one client, the others can take from it, and it never becomes much more.
#![allow(clippy::unwrap_used)]

use balcony_client::RequestKind;
use balcony_server::{Ended, ServerConfig};
use balcony_sim::{Accounts, Chunks, Peer, World};
use balcony_stanza::{Kind, MessageType};

const LIMIT: usize = 262_144;

fn world(change: impl FnOnce(&mut ServerConfig)) -> World {
    let accounts = Accounts::new().with("juliet@example.com", "pencil").with("romeo@example.com", "crayon");
    World::new(accounts, Chunks::Whole, 1, change)
}

fn romeo(world: &mut World) -> Peer {
    world.online("romeo@example.com/garden", "crayon", 0)
}

fn juliet(world: &mut World) -> Peer {
    world.online("juliet@example.com/balcony", "pencil", 1)
}

/// A device of juliet's that gets copies.
fn phone(world: &mut World) -> Peer {
    let phone = world.online("juliet@example.com/phone", "pencil", 0);
    world.request(phone, RequestKind::Set, None, "<enable xmlns='urn:xmpp:carbons:2'/>");
    world.run();
    phone
}

/// A chat message to juliet with this content, filled up to the bound.
fn filled(content: &str) -> String {
    let (head, tail) =
        ("<message to='juliet@example.com' type='chat'><body>", format!("</body>{content}</message>"));
    format!("{head}{}{tail}", "a".repeat(LIMIT - head.len() - tail.len()))
}

fn has_ended(world: &World, peer: Peer, condition: &str) -> bool {
    matches!(world.ended(peer), Some(ended @ Ended::Failed(_)) if format!("{ended:?}").contains(condition))
}

fn messages(world: &mut World, peer: Peer) -> usize {
    let is_message = |kind| matches!(kind, Kind::Message(kind) if kind != MessageType::Error);
    world.take_stanzas(peer).iter().filter(|stanza| is_message(stanza.head.kind)).count()
}

/// Has romeo send a message that juliet gets on each of the three ways: as it is, as a copy on her phone, and, when both have
/// gone, from the store. Those that got it.
fn reaches_juliet(world: &mut World, romeo: Peer, message: &str) -> [Peer; 3] {
    let (juliet, phone) = (juliet(world), phone(world));
    world.write(romeo, message.as_bytes());
    world.run();
    for peer in [juliet, phone] {
        assert_eq!(messages(world, peer), 1);
        world.close(peer);
    }
    world.run();
    world.write(romeo, message.as_bytes());
    world.run();
    let attic = world.online("juliet@example.com/attic", "pencil", 1);
    assert_eq!(messages(world, attic), 1);
    [juliet, phone, attic]
}

// RFC 6120 §13.12, §8.1.2.1, XEP-0280 §7, XEP-0160 §2: the server writes on it, wraps it, and delays it.
#[test]
fn what_one_may_send_others_can_take() {
    let depth = format!("{}{}", "<x xmlns='u'>".repeat(255), "</x>".repeat(255));
    let nodes = "<x xmlns='u'/>".repeat(4_096 - 3);
    let attributes: String = (0..64).map(|n| format!(" a{n}='&#x9;'")).collect();
    for content in [String::new(), depth, nodes, format!("<x{attributes}/>")] {
        let mut world = world(|_| {});
        let message = filled(&content);
        assert_eq!(message.len(), LIMIT);
        let romeo = romeo(&mut world);
        let [.., attic] = reaches_juliet(&mut world, romeo, &message);
        for peer in [attic, romeo] {
            assert_eq!(world.failed(peer), None);
        }
    }
}

// rfc6120.md [X11]: a prefix is short, what it stands for may be long.
#[test]
fn a_borrowed_namespace_does_not_grow() {
    let mut world = world(|_| {});
    let (juliet, romeo) = (juliet(&mut world), romeo(&mut world));
    let before = world.received(juliet).len();
    let (long, uses) = ("\"".repeat(16_000), "<x:a/>".repeat(4_000));
    world.write(
        romeo,
        format!("<message to='juliet@example.com' xmlns:x='{long}'>{uses}</message>").as_bytes(),
    );
    world.run();
    let refused = world.take_stanzas(romeo);
    assert!(
        refused.iter().any(|stanza| stanza.head.kind == Kind::Message(MessageType::Error)),
        "{refused:?}"
    );
    assert_eq!((world.failed(romeo), world.failed(juliet)), (None, None));
    assert!(world.received(juliet).len() < before + 1_000, "nothing comes of it");
}

// rfc6120.md [X11], XEP-0280 §7, XEP-0203 §5: and what is declared inside is not written anew, whatever becomes of it.
#[test]
fn a_namespace_inside_does_not_grow() {
    let mut world = world(|_| {});
    let romeo = romeo(&mut world);
    let (long, uses) = ("\"".repeat(16_000), "<x:a/>".repeat(4_000));
    let forged = "<delay xmlns='urn:xmpp:delay' from='example.com' stamp='1999-01-01T00:00:00Z'/>";
    let message = format!(
        "<message to='juliet@example.com' type='chat'><body>x</body>{forged}<w xmlns='u' xmlns:x='{long}'>{uses}</w></message>"
    );
    for peer in reaches_juliet(&mut world, romeo, &message) {
        assert!(world.received(peer).len() < message.len() + 10_000, "{}", world.received(peer).len());
    }
}

// RFC 6120 §4.9.3.17: who reads gets it, however long it is; who does not read is dropped.
#[test]
fn one_stanza_always_has_room() {
    let mut world = world(|config| {
        (config.limits.output, config.limits.credit) = (10_000, 10_000);
        config.limits.queue_bytes = 10_000;
    });
    let (juliet, romeo) = (juliet(&mut world), romeo(&mut world));
    for _ in 0..3 {
        world.write(romeo, filled("").as_bytes());
        world.run();
        assert_eq!(messages(&mut world, juliet), 1);
    }
    world.stall(juliet, true);
    for _ in 0..3 {
        world.write(romeo, filled("").as_bytes());
        world.run();
    }
    assert!(has_ended(&world, juliet, "resource-constraint"));
    assert_eq!(world.failed(romeo), None);
}
