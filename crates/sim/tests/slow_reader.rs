//! Somebody who reads 2 MB a second, while others send as fast as they can: nothing is lost, nobody is closed, and it takes no longer than
//! the reader needs.
#![allow(clippy::unwrap_used)]

use core::time::Duration;

use balcony_client::{RequestKind, RequestOutcome};
use balcony_sim::{Accounts, Chunks, Peer, World};
use balcony_stanza::{Kind, MessageType, PresenceType, Stanza};

const RATE: u64 = 2_000_000;
const JULIET: &str = "juliet@example.com";
const ROMEO: &str = "romeo@example.com";
const CONTACTS: usize = 8;

/// Who reads at that rate, in a world of this many parts of connections.
fn world(parts: u16) -> (World, Peer) {
    let accounts = Accounts::new().with(JULIET, "pencil").with(ROMEO, "crayon");
    let friends = (0..CONTACTS).map(|number| format!("friend{number}@example.com"));
    let accounts = friends.fold(accounts, |all, friend| all.with(&friend, "f"));
    let mut world = World::new(accounts, Chunks::Whole, 1, |_| {}).in_parts(parts);
    let juliet = world.client("juliet@example.com/balcony", "pencil");
    world.pace(juliet, RATE);
    (world, juliet)
}

/// Everything arrives. While it does, no more than the credit of a session and one stanza are in its connection, beside what the socket has;
/// and it takes as long as the reader takes, with a tenth of a second for what is decided meanwhile.
fn arrives(world: &mut World, juliet: Peer, run: impl FnOnce(&mut World)) {
    let (start, before) = (world.now, world.received(juliet).len());
    run(world);
    let bytes = world.received(juliet).len() - before;
    let took = world.now.saturating_since(start);
    let needed = Duration::from_micros(bytes as u64 * 1_000_000 / RATE);
    let slack = Duration::from_millis(100);
    assert!(took + slack >= needed && took <= needed + slack, "{bytes} bytes in {took:?}");
    let most = world.server.config().limits.credit + 300_000;
    let written = world.writes(juliet).iter().filter(|(at, _)| *at >= start).map(|(_, bytes)| *bytes);
    assert!(written.max() <= Some(most), "more than its credit was in a connection");
    assert!(world.ended(juliet).is_none(), "{:?}", world.ended(juliet));
    assert_eq!((world.failed(juliet), world.server.router().queued()), (None, 0));
}

// RFC 6120 §10.1, §4.9.3.17
#[test]
fn a_burst_of_8_mb() {
    let addresses = [JULIET, "juliet@example.com/balcony"];
    for (parts, is_contact) in [(0, false), (0, true), (2, false), (2, true)] {
        for to in addresses {
            let (mut world, juliet) = world(parts);
            world.available(juliet, 0);
            let romeo = world.online("romeo@example.com/garden", "crayon", 0);
            if is_contact {
                world
                    .send(romeo, &Stanza::presence(PresenceType::Subscribe).with_to(JULIET.parse().unwrap()));
                world.run();
                world.send(
                    juliet,
                    &Stanza::presence(PresenceType::Subscribed).with_to(ROMEO.parse().unwrap()),
                );
                world.run();
                world.take_stanzas(romeo);
            }
            world.take_stanzas(juliet);
            arrives(&mut world, juliet, |world| {
                for id in 0..80 {
                    let body = "x".repeat(100_000);
                    let message =
                        format!("<message to='{to}' type='chat' id='{id}'><body>{body}</body></message>");
                    world.write(romeo, message.as_bytes());
                }
                world.run();
            });
            let ids: Vec<usize> = world
                .take_stanzas(juliet)
                .into_iter()
                .filter(|stanza| stanza.head.kind == Kind::Message(MessageType::Chat))
                .map(|stanza| stanza.head.id.unwrap().parse().unwrap())
                .collect();
            assert_eq!(ids, (0..80).collect::<Vec<_>>(), "{parts} {to}");
            assert!(world.accounts.waiting(JULIET).is_empty());
            let errors = world.take_stanzas(romeo);
            assert!(errors.iter().all(|stanza| !stanza.head.kind.is_error()), "{errors:?}");
        }
    }
}

// RFC 6121 §4.2.2: whose contacts have eight resources with a status of 250 kB each logs in, and sees all of them once.
#[test]
fn a_login_among_large_presences() {
    let (mut world, phone) = world(0);
    let status = format!("<presence><status>{}</status></presence>", "x".repeat(250_000));
    for number in 0..CONTACTS {
        let name = format!("friend{number}@example.com");
        let friend = world.client(&format!("{name}/0"), "f");
        let subscription = |kind, to: &str| Stanza::presence(kind).with_to(to.parse().unwrap());
        world.send(phone, &subscription(PresenceType::Subscribe, &name));
        world.run();
        world.send(friend, &subscription(PresenceType::Subscribed, JULIET));
        world.write(friend, status.as_bytes());
        world.run();
    }
    world.close(phone);
    world.run();
    let juliet = world.client("juliet@example.com/again", "pencil");
    world.pace(juliet, RATE);
    arrives(&mut world, juliet, |world| world.available(juliet, 0));
    let mut seen: Vec<String> = world
        .take_stanzas(juliet)
        .into_iter()
        .filter(|stanza| stanza.payload.as_bytes().len() > 250_000)
        .map(|stanza| stanza.head.from.unwrap().to_string())
        .collect();
    seen.sort();
    let friends: Vec<String> = (0..CONTACTS).map(|number| format!("friend{number}@example.com/0")).collect();
    assert_eq!(seen, friends);
}

// RFC 6120 §8.2.3: sixty answers of 100 kB each to what was asked in one go.
#[test]
fn sixty_large_answers() {
    let (mut world, juliet) = world(0);
    let notes = format!("<n xmlns='urn:example:n'>{}</n>", "x".repeat(100_000));
    let query = |content: &str| format!("<query xmlns='jabber:iq:private'>{content}</query>");
    world.request(juliet, RequestKind::Set, None, &query(&notes));
    world.run();
    assert_eq!(world.take_outcomes(juliet).len(), 1);
    arrives(&mut world, juliet, |world| {
        for _ in 0..60 {
            world.request(juliet, RequestKind::Get, None, &query("<n xmlns='urn:example:n'/>"));
        }
        world.run();
    });
    let outcomes = world.take_outcomes(juliet);
    let is_whole = |outcome: &RequestOutcome| matches!(outcome, RequestOutcome::Result(stanza) if stanza.payload.as_bytes().len() > 100_000);
    assert_eq!(outcomes.iter().filter(|outcome| is_whole(outcome)).count(), 60);
}
