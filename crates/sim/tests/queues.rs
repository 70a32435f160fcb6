//! The queues of sessions: a reader that is slow loses nothing, and what a session that ends has not got goes elsewhere, once.
#![allow(clippy::unwrap_used)]

use balcony_client::RequestKind;
use balcony_server::Ended;
use balcony_sim::{Accounts, Chunks, Peer, World};
use balcony_stanza::{Kind, MessageType, PresenceType, Stanza};

const JULIET: &str = "juliet@example.com";
const CONTACTS: [&str; 2] = ["romeo@example.com", "nurse@example.com"];

fn world() -> World {
    let accounts = Accounts::new().with(JULIET, "pencil");
    let accounts = CONTACTS.iter().fold(accounts, |all, contact| all.with(contact, "pencil"));
    World::new(accounts, Chunks::Whole, 1, |_| {})
}

fn juliet(world: &mut World) -> Peer {
    world.client("juliet@example.com/balcony", "pencil")
}

fn is_cut_off(world: &World, peer: Peer) -> bool {
    matches!(world.ended(peer), Some(ended @ Ended::Failed(_)) if format!("{ended:?}").contains("resource-constraint"))
}

/// Messages, or errors about them, that a client has got since it was last asked.
fn messages(world: &mut World, peer: Peer, errors: bool) -> usize {
    let is_one = |kind| matches!(kind, Kind::Message(kind) if (kind == MessageType::Error) == errors);
    world.take_stanzas(peer).iter().filter(|stanza| is_one(stanza.head.kind)).count()
}

// RFC 6121 §4.2.2: two contacts with four resources each, whose status is 250 kB long, two megabytes in all.
#[test]
fn large_presences_keep_nobody_from_logging_in() {
    let mut world = world();
    let phone = world.client("juliet@example.com/phone", "pencil");
    for contact in CONTACTS {
        let friend = world.client(&format!("{contact}/0"), "pencil");
        let subscription = |kind, to: &str| Stanza::presence(kind).with_to(to.parse().unwrap());
        world.send(phone, &subscription(PresenceType::Subscribe, contact));
        world.run();
        world.send(friend, &subscription(PresenceType::Subscribed, JULIET));
        world.run();
    }
    world.close(phone);
    world.run();
    let status = format!("<presence><status>{}</status></presence>", "x".repeat(250_000));
    for contact in CONTACTS {
        for resource in 1..=4 {
            let peer = world.client(&format!("{contact}/{resource}"), "pencil");
            world.write(peer, status.as_bytes());
            world.run();
        }
    }
    let juliet = juliet(&mut world);
    world.available(juliet, 0);
    world.run();
    let seen = world.take_stanzas(juliet);
    let seen = seen.iter().filter(|stanza| stanza.payload.as_bytes().len() > 250_000).count();
    assert_eq!((seen, world.ended(juliet).is_none()), (8, true));
}

// RFC 6121 §2.1.3: sixty requests in a pipeline for a roster of 300 items, 5 MB of answers, to a client that reads.
#[test]
fn answers_to_all_that_a_client_has_asked() {
    let mut world = world();
    let juliet = juliet(&mut world);
    for item in 0..300 {
        let name = "n".repeat(200);
        let item = format!("<item jid='{item}@example.org' name='{name}'/>");
        let set = format!("<query xmlns='jabber:iq:roster'>{item}</query>");
        world.request(juliet, RequestKind::Set, None, &set);
        world.run();
    }
    world.take_outcomes(juliet);
    for _ in 0..60 {
        world.request(juliet, RequestKind::Get, None, "<query xmlns='jabber:iq:roster'/>");
    }
    world.run();
    assert_eq!(world.take_outcomes(juliet).len(), 60);
    assert!(world.ended(juliet).is_none());
    // Who asks and does not read is not listened to for long: what waits for it is bounded.
    world.stall(juliet, true);
    for _ in 0..60 {
        world.request(juliet, RequestKind::Get, None, "<query xmlns='jabber:iq:roster'/>");
        world.run();
        let limits = &world.server.config().limits;
        let most = limits.window_bytes + limits.credit + 200_000;
        assert!(world.server.router().queued() < most, "{}", world.server.router().queued());
    }
    world.stall(juliet, false);
    world.run();
    assert_eq!(world.take_outcomes(juliet).len(), 60);
}

/// Romeo sends so many messages of 100 kB to juliet, who does not read meanwhile.
fn burst(world: &mut World, romeo: Peer, juliet: Peer, count: usize, to: &str) {
    burst_from(world, romeo, juliet, 0..count, to);
}

fn burst_from(world: &mut World, romeo: Peer, juliet: Peer, numbers: core::ops::Range<usize>, to: &str) {
    world.stall(juliet, true);
    for number in numbers {
        let body = format!("{number} {}", "x".repeat(100_000));
        let message = format!("<message to='{to}' type='chat' id='{number}'><body>{body}</body></message>");
        world.write(romeo, message.as_bytes());
    }
    world.run();
}

/// The numbers of messages of a burst that a client has got, in order.
fn numbers(world: &mut World, peer: Peer) -> Vec<usize> {
    let is_chat = |stanza: &Stanza| stanza.head.kind == Kind::Message(MessageType::Chat);
    let stanzas = world.take_stanzas(peer).into_iter().filter(is_chat);
    stanzas.map(|stanza| stanza.head.id.unwrap().parse().unwrap()).collect()
}

// RFC 6120 §10.1, §4.9.3.17: a burst of 8 MB for somebody who reads, but not as fast as it comes, arrives whole, in order, once.
#[test]
fn a_burst_arrives_whole() {
    let mut world = world();
    let juliet = juliet(&mut world);
    world.available(juliet, 0);
    let romeo = world.online("romeo@example.com/garden", "pencil", 0);
    burst(&mut world, romeo, juliet, 80, "juliet@example.com/balcony");
    // It waits in the router; with the connection lies no more than its credit and one stanza.
    assert!(world.server.router().queued() > 7_900_000);
    world.stall(juliet, false);
    world.run();
    assert_eq!(numbers(&mut world, juliet), (0..80).collect::<Vec<_>>());
    assert_eq!(messages(&mut world, romeo, true), 0);
    assert!(world.accounts.waiting(JULIET).is_empty());
    assert_eq!(world.server.router().queued(), 0);
}

// RFC 6121 §8.5.3.2: past the bound the session is closed, and its queue is stored, or comes back when there is no room.
#[test]
fn what_is_too_much_goes_elsewhere() {
    let mut world = world();
    let juliet = juliet(&mut world);
    world.available(juliet, 0);
    let romeo = world.online("romeo@example.com/garden", "pencil", 0);
    burst(&mut world, romeo, juliet, 200, JULIET);
    assert!(is_cut_off(&world, juliet));
    world.wait(core::time::Duration::from_secs(10));
    world.stall(juliet, false);
    world.run();
    assert!(world.is_closed(juliet));
    let got = numbers(&mut world, juliet);
    let kept: Vec<usize> = world
        .accounts
        .waiting(JULIET)
        .into_iter()
        .map(|message| message.head.id.unwrap().parse().unwrap())
        .collect();
    let refused: Vec<usize> = world
        .take_stanzas(romeo)
        .into_iter()
        .filter(|stanza| stanza.head.kind == Kind::Message(MessageType::Error))
        .map(|stanza| stanza.head.id.unwrap().parse().unwrap())
        .collect();
    let all = [got.clone(), kept.clone(), refused].concat();
    let once: std::collections::BTreeSet<usize> = all.iter().copied().collect();
    // A stranger gets no errors, so what there was no room for has vanished; nothing is there twice.
    assert_eq!(once.len(), all.len());
    assert!(!kept.is_empty() && kept.is_sorted(), "{kept:?}");
    assert_eq!(world.server.router().queued(), 0);
}

/// Juliet and Romeo see each other.
fn befriend(world: &mut World) {
    let juliet = world.client("juliet@example.com/window", "pencil");
    let romeo = world.client("romeo@example.com/window", "pencil");
    for (from, kind, to) in [
        (romeo, PresenceType::Subscribe, JULIET),
        (juliet, PresenceType::Subscribed, CONTACTS[0]),
        (juliet, PresenceType::Subscribe, CONTACTS[0]),
        (romeo, PresenceType::Subscribed, JULIET),
    ] {
        world.send(from, &Stanza::presence(kind).with_to(to.parse().unwrap()));
        world.run();
    }
    world.close(juliet);
    world.close(romeo);
    world.run();
}

// RFC 6121 §8.5.3.2: the same of a contact, who hears of all that has not arrived: each message was got, is stored, or came back, once.
#[test]
fn nothing_of_a_contact_vanishes() {
    let addresses = [JULIET, "juliet@example.com/balcony"];
    for (to, reads) in addresses.into_iter().flat_map(|to| [(to, false), (to, true)]) {
        let mut world = world();
        befriend(&mut world);
        let juliet = juliet(&mut world);
        world.available(juliet, 0);
        let romeo = world.online("romeo@example.com/garden", "pencil", 0);
        if reads {
            burst(&mut world, romeo, juliet, 30, to);
            world.stall(juliet, false);
            world.run();
        }
        let before = if reads { 30 } else { 0 };
        burst_from(&mut world, romeo, juliet, before..200, to);
        assert!(is_cut_off(&world, juliet));
        world.wait(core::time::Duration::from_secs(10));
        world.stall(juliet, false);
        world.run();
        assert!(world.is_closed(juliet));
        let ids = |stanzas: Vec<Stanza>, kind: MessageType| -> Vec<usize> {
            let is_it = |stanza: &Stanza| stanza.head.kind == Kind::Message(kind);
            let messages = stanzas.into_iter().filter(is_it);
            messages.map(|stanza| stanza.head.id.unwrap().parse().unwrap()).collect()
        };
        let got = ids(world.take_stanzas(juliet), MessageType::Chat);
        let kept = ids(world.accounts.waiting(JULIET), MessageType::Chat);
        let refused = ids(world.take_stanzas(romeo), MessageType::Error);
        assert!(
            got.len() >= before && !kept.is_empty() && !refused.is_empty(),
            "{got:?} {kept:?} {refused:?}"
        );
        assert!(got.is_sorted() && kept.is_sorted());
        let mut all = [got, kept, refused].concat();
        all.sort_unstable();
        assert_eq!(all, (0..200).collect::<Vec<_>>(), "{to}");
        assert_eq!(world.server.router().queued(), 0);
    }
}

// A client that takes nothing for five minutes while more waits is closed; its messages wait for the next.
#[test]
fn who_takes_nothing_is_closed() {
    let mut world = world();
    let juliet = juliet(&mut world);
    world.available(juliet, 0);
    let romeo = world.online("romeo@example.com/garden", "pencil", 0);
    burst(&mut world, romeo, juliet, 10, JULIET);
    world.wait(core::time::Duration::from_secs(290));
    assert!(!is_cut_off(&world, juliet));
    world.wait(core::time::Duration::from_secs(30));
    assert!(is_cut_off(&world, juliet) && world.is_closed(juliet));
    let again = world.online("juliet@example.com/again", "pencil", 0);
    assert_eq!(numbers(&mut world, again), (0..10).collect::<Vec<_>>());
}

// RFC 6120 §7.7.2.2: a client that is replaced by its own new connection loses nothing that was accepted for it.
#[test]
fn a_client_that_comes_again_gets_all() {
    let mut world = world();
    let juliet = juliet(&mut world);
    world.available(juliet, 0);
    let romeo = world.online("romeo@example.com/garden", "pencil", 0);
    burst(&mut world, romeo, juliet, 10, "juliet@example.com/balcony");
    let again = world.online("juliet@example.com/balcony", "pencil", 0);
    world.wait(core::time::Duration::from_secs(10));
    assert!(world.is_closed(juliet));
    assert_eq!(numbers(&mut world, again), (0..10).collect::<Vec<_>>());
}

// What another session of the account has got is not stored again.
#[test]
fn what_another_has_got_is_not_stored() {
    let mut world = world();
    let juliet = juliet(&mut world);
    world.available(juliet, 0);
    let desk = world.online("juliet@example.com/desk", "pencil", 0);
    let romeo = world.online("romeo@example.com/garden", "pencil", 0);
    burst(&mut world, romeo, juliet, 10, JULIET);
    assert_eq!(numbers(&mut world, desk).len(), 10);
    world.cut(juliet);
    world.run();
    assert!(world.accounts.waiting(JULIET).is_empty());
    assert_eq!(numbers(&mut world, desk), [0_usize; 0]);
    assert_eq!(world.server.router().queued(), 0);
}

// RFC 6120 §8.2.3: who asks a client that goes before it has got the question is told so.
#[test]
fn requests_that_nobody_gets_are_answered() {
    let mut world = world();
    let juliet = juliet(&mut world);
    world.available(juliet, 0);
    let desk = world.online("juliet@example.com/desk", "pencil", 0);
    world.stall(juliet, true);
    burst(&mut world, desk, juliet, 3, "juliet@example.com/balcony");
    world.request(
        desk,
        RequestKind::Get,
        Some("juliet@example.com/balcony"),
        "<ping xmlns='urn:xmpp:ping'/>",
    );
    world.run();
    assert!(world.take_outcomes(desk).is_empty());
    world.cut(juliet);
    world.run();
    assert_eq!(world.take_outcomes(desk).len(), 1);
}

// Who is not listened to because it does not read one answer is not kept for ever.
#[test]
fn who_does_not_read_one_large_answer_is_closed() {
    let mut world = world();
    let juliet = juliet(&mut world);
    for item in 0..300 {
        let name = "n".repeat(200);
        let set =
            format!("<query xmlns='jabber:iq:roster'><item jid='{item}@example.org' name='{name}'/></query>");
        world.request(juliet, RequestKind::Set, None, &set);
        world.run();
    }
    world.stall(juliet, true);
    world.request(juliet, RequestKind::Get, None, "<query xmlns='jabber:iq:roster'/>");
    world.run();
    world.wait(core::time::Duration::from_secs(290));
    assert!(world.ended(juliet).is_none());
    world.wait(core::time::Duration::from_secs(1_000));
    assert!(world.is_closed(juliet));
    assert_eq!(world.server.router().queued(), 0);
}

// XEP-0054 1.3 §3.3: who asks for sixty large cards at once gets them, however long the store takes: it is the own window that bounds
// what a client has asked for.
#[test]
fn large_answers_that_come_late() {
    let mut world = world();
    let juliet = juliet(&mut world);
    let card =
        format!("<vCard xmlns='vcard-temp'><PHOTO><BINVAL>{}</BINVAL></PHOTO></vCard>", "A".repeat(250_000));
    world.request(juliet, RequestKind::Set, None, &card);
    world.run();
    assert_eq!(world.take_outcomes(juliet).len(), 1);
    let romeo = world.online("romeo@example.com/garden", "pencil", 0);
    world.slow_store = true;
    for _ in 0..80 {
        world.request(romeo, RequestKind::Get, Some(JULIET), "<vCard xmlns='vcard-temp'/>");
    }
    world.run();
    assert!(world.ended(romeo).is_none(), "{:?}", world.ended(romeo));
    let outcomes = world.take_outcomes(romeo);
    assert!(
        outcomes.iter().all(|outcome| matches!(outcome, balcony_client::RequestOutcome::Result(_))),
        "{outcomes:?}"
    );
    assert_eq!(outcomes.len(), 80);
}
