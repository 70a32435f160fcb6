//! Two people on one server, whole: contacts, presence, what is lost and what is not.

#![allow(clippy::unwrap_used)]

use balcony_client::{RequestKind, RequestOutcome};
use balcony_machine::Seed;
use balcony_sim::{Accounts, Chunks, Peer, World};
use balcony_stanza::{Kind, MessageType, PresenceType, Stanza};
use proptest::prelude::*;

fn world(seed: u64) -> World {
    let accounts = Accounts::new().with("juliet@example.com", "pencil").with("romeo@example.com", "crayon");
    World::new(accounts, Chunks::Random(Box::new(Seed::from_u64(seed).random())), seed, |_| {})
        .in_parts((seed % 4) as u16)
}

fn subscription(kind: PresenceType, to: &str) -> Stanza {
    Stanza::presence(kind).with_to(to.parse().unwrap())
}

fn chat(to: &str, text: &str) -> Stanza {
    let xml = format!("<message type='chat' to='{to}'><body>{text}</body></message>");
    Stanza::parse(xml.as_bytes()).unwrap()
}

/// What a client has received since it was last asked, but for answers: `presence from romeo@example.com/phone`.
fn seen(world: &mut World, peer: Peer) -> Vec<String> {
    let line = |stanza: &Stanza| {
        let from = stanza.head.from.as_ref().map(|from| format!(" from {from}")).unwrap_or_default();
        let kind = stanza.head.kind.type_name().map(|kind| format!(" {kind}")).unwrap_or_default();
        format!("{}{kind}{from}", stanza.head.kind.name())
    };
    world.take_stanzas(peer).iter().map(line).collect()
}

fn bodies(world: &mut World, peer: Peer) -> Vec<String> {
    let body = |stanza: &Stanza| {
        let content = stanza.payload.parse().unwrap();
        content.root().child("body", "jabber:client").map(|body| body.text().into_owned())
    };
    world.take_stanzas(peer).iter().filter_map(body).collect()
}

fn ask(world: &mut World, peer: Peer, kind: RequestKind, xml: &str) -> RequestOutcome {
    world.request(peer, kind, None, xml);
    world.run();
    world.take_outcomes(peer).remove(0)
}

fn roster(world: &mut World, peer: Peer) -> String {
    let RequestOutcome::Result(result) =
        ask(world, peer, RequestKind::Get, "<query xmlns='jabber:iq:roster'/>")
    else {
        panic!()
    };
    String::from_utf8(result.payload.as_bytes().to_vec()).unwrap()
}

/// Each subscribes to the other.
fn befriend(world: &mut World, romeo: Peer, juliet: Peer) {
    for (from, kind, to) in [
        (romeo, PresenceType::Subscribe, "juliet@example.com"),
        (juliet, PresenceType::Subscribed, "romeo@example.com"),
        (juliet, PresenceType::Subscribe, "romeo@example.com"),
        (romeo, PresenceType::Subscribed, "juliet@example.com"),
    ] {
        world.send(from, &subscription(kind, to));
        world.run();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    // RFC 6121 §3.1, §4.2, §4.5.2 [PR18]: they find each other, and whoever loses the network is seen to be gone.
    #[test]
    fn two_people(seed: u64) {
        let mut world = world(seed);
        let romeo = world.online("romeo@example.com/phone", "crayon", 0);
        let juliet = world.online("juliet@example.com/balcony", "pencil", 0);
        roster(&mut world, romeo);
        seen(&mut world, romeo);
        seen(&mut world, juliet);
        befriend(&mut world, romeo, juliet);
        prop_assert_eq!(
            seen(&mut world, juliet),
            [
                "presence subscribe from romeo@example.com",
                "presence from romeo@example.com/phone",
            ]
        );
        prop_assert_eq!(
            seen(&mut world, romeo),
            [
                // The pushes are those of the request, of its approval, and of the approval of hers.
                "iq set",
                "presence subscribed from juliet@example.com",
                "iq set",
                "presence from juliet@example.com/balcony",
                "presence subscribe from juliet@example.com",
                "iq set",
            ]
        );
        let item = "<item jid='juliet@example.com' subscription='both'/>";
        prop_assert!(roster(&mut world, romeo).contains(item));

        // The phone loses its network.
        world.cut(romeo);
        world.run();
        prop_assert_eq!(seen(&mut world, juliet), ["presence unavailable from romeo@example.com/phone"]);
        for text in ["1", "2", "3"] {
            world.send(juliet, &chat("romeo@example.com", text));
        }
        world.run();
        // It comes back, sees her, and has missed nothing.
        let romeo = world.online("romeo@example.com/phone", "crayon", 0);
        prop_assert_eq!(seen(&mut world, juliet), ["presence from romeo@example.com/phone"]);
        let stanzas = world.take_stanzas(romeo);
        let shows_her = |stanza: &Stanza| {
            stanza.head.kind == Kind::Presence(PresenceType::Available)
                && stanza.head.from.as_ref().is_some_and(|from| from.as_str() == "juliet@example.com/balcony")
        };
        prop_assert!(stanzas.iter().any(shows_her));
        let stored: Vec<_> = stanzas
            .iter()
            .filter(|stanza| stanza.head.kind == Kind::Message(MessageType::Chat))
            .map(|stanza| String::from_utf8(stanza.payload.as_bytes().to_vec()).unwrap())
            .collect();
        prop_assert_eq!(stored.len(), 3);
        for (text, stored) in ["1", "2", "3"].iter().zip(&stored) {
            let delay = "<delay xmlns='urn:xmpp:delay' from='example.com' stamp='2002-09-10T23:";
            let expected = format!("<body>{text}</body>{delay}");
            prop_assert!(stored.starts_with(&expected), "{}", stored);
        }
        prop_assert!(world.accounts.waiting("romeo@example.com").is_empty());
        prop_assert!(roster(&mut world, romeo).contains(item));
        // Nothing comes twice.
        world.available(romeo, -1);
        world.available(romeo, 1);
        prop_assert!(bodies(&mut world, romeo).is_empty());
    }

    // XEP-0160: a client that does not take its stored messages does not lose them.
    #[test]
    fn a_client_that_takes_nothing(seed: u64) {
        let mut world = world(seed);
        let juliet = world.online("juliet@example.com/balcony", "pencil", 0);
        for number in 0..20 {
            world.send(juliet, &chat("romeo@example.com", &number.to_string()));
        }
        world.run();
        let romeo = world.client("romeo@example.com/phone", "crayon");
        world.stall(romeo, true);
        world.available(romeo, 0);
        prop_assert_eq!(world.accounts.waiting("romeo@example.com").len(), 20);
        world.cut(romeo);
        let romeo = world.online("romeo@example.com/desk", "crayon", 0);
        let expected: Vec<_> = (0..20).map(|number| number.to_string()).collect();
        prop_assert_eq!(bodies(&mut world, romeo), expected);
        prop_assert!(world.accounts.waiting("romeo@example.com").is_empty());
    }

    // XEP-0160, RFC 6120 §4.9.3.17: more than the output of a connection takes at once arrives, whole and in order.
    #[test]
    fn a_large_backlog(seed: u64) {
        let accounts = Accounts::new().with("juliet@example.com", "pencil").with("romeo@example.com", "crayon");
        let mut world = World::new(accounts, Chunks::Whole, seed, |config| config.limits.output = 20_000);
        let juliet = world.online("juliet@example.com/balcony", "pencil", 0);
        let text = |number: usize| format!("{number} {}", "x".repeat(1_000));
        for number in 0..60 {
            world.send(juliet, &chat("romeo@example.com", &text(number)));
            world.run();
        }
        let romeo = world.online("romeo@example.com/phone", "crayon", 0);
        prop_assert_eq!(bodies(&mut world, romeo), (0..60).map(text).collect::<Vec<_>>());
    }

    // XEP-0280: a conversation is seen on every device that wants to.
    #[test]
    fn a_conversation_on_two_devices(seed: u64) {
        let mut world = world(seed);
        let romeo = world.online("romeo@example.com/phone", "crayon", 0);
        let desk = world.online("juliet@example.com/desk", "pencil", 5);
        let phone = world.online("juliet@example.com/phone", "pencil", 0);
        ask(&mut world, phone, RequestKind::Set, "<enable xmlns='urn:xmpp:carbons:2'/>");
        for peer in [romeo, desk, phone] {
            seen(&mut world, peer);
        }
        world.send(romeo, &chat("juliet@example.com", "What man art thou"));
        world.run();
        world.send(desk, &chat("romeo@example.com/phone", "By a name"));
        world.run();
        prop_assert_eq!(bodies(&mut world, desk), ["What man art thou"]);
        prop_assert_eq!(bodies(&mut world, romeo), ["By a name"]);
        let copies: Vec<_> = world
            .take_stanzas(phone)
            .iter()
            .map(|stanza| {
                let content = stanza.payload.parse().unwrap();
                let way = content.root().children().next().unwrap();
                let forwarded = way.child("forwarded", "urn:xmpp:forward:0").unwrap();
                let message = forwarded.child("message", "jabber:client").unwrap();
                format!("{} {}", way.name(), message.child("body", "jabber:client").unwrap().text())
            })
            .collect();
        prop_assert_eq!(copies, ["received What man art thou", "sent By a name"]);
    }

    // XEP-0191: nothing passes between them, until it does again.
    #[test]
    fn blocking(seed: u64) {
        let mut world = world(seed);
        let romeo = world.online("romeo@example.com/phone", "crayon", 0);
        let juliet = world.online("juliet@example.com/balcony", "pencil", 0);
        befriend(&mut world, romeo, juliet);
        seen(&mut world, romeo);
        seen(&mut world, juliet);
        let change = |name: &str| format!("<{name} xmlns='urn:xmpp:blocking'><item jid='romeo@example.com'/></{name}>");
        ask(&mut world, juliet, RequestKind::Set, &change("block"));
        prop_assert_eq!(seen(&mut world, romeo), ["presence unavailable from juliet@example.com/balcony"]);
        world.send(romeo, &chat("juliet@example.com", "hello?"));
        world.available(romeo, 1);
        world.available(juliet, 1);
        prop_assert_eq!(seen(&mut world, romeo), ["message error from juliet@example.com", "presence from romeo@example.com/phone"]);
        prop_assert_eq!(seen(&mut world, juliet), ["presence from juliet@example.com/balcony"]);
        ask(&mut world, juliet, RequestKind::Set, &change("unblock"));
        prop_assert_eq!(seen(&mut world, romeo), ["presence from juliet@example.com/balcony"]);
        world.send(romeo, &chat("juliet@example.com", "hello!"));
        world.run();
        prop_assert_eq!(bodies(&mut world, juliet), ["hello!"]);
    }
}

// XEP-0077 §3.2: an account that is removed while it is online; and messages for who does not exist.
#[test]
fn accounts_that_are_gone() {
    let mut world = world(1);
    let romeo = world.online("romeo@example.com/phone", "crayon", 0);
    let juliet = world.online("juliet@example.com/balcony", "pencil", 0);
    befriend(&mut world, romeo, juliet);
    seen(&mut world, juliet);
    world.send(juliet, &chat("romeo@example.com", "before"));
    world.run();
    world.remove("romeo@example.com");
    world.run();
    assert!(world.is_closed(romeo));
    assert!(world.failed(romeo).unwrap().to_string().contains("not-authorized"));
    let told = seen(&mut world, juliet);
    assert!(told.starts_with(&["presence unavailable from romeo@example.com/phone".into()]), "{told:?}");
    assert_eq!(told.len(), 1);
    // She has a contact there, but he has none with her any more: what is sent to nobody says nothing to strangers.
    for to in ["romeo@example.com", "nobody@example.com"] {
        world.send(juliet, &chat(to, "after"));
        world.run();
        assert!(seen(&mut world, juliet).is_empty());
    }
    assert!(roster(&mut world, juliet).contains("<item jid='romeo@example.com' subscription='none'/>"));
}
