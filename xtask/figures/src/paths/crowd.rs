//! What somebody costs while others have something open: so many requests to the store, connections that take nothing, domains that are
//! not reached. Whatever it is, it is to cost as much as beside one of them.

use core::time::Duration;
use std::hint::black_box;

use balcony_connection::srv::{Record, Signed};
use balcony_jid::{BareJid, Jid};
use balcony_machine::{Instant, Seed};
use balcony_router::{Answer, Config, Effect, Memory, Router, SessionId};
use balcony_server::federation::{Federation, FederationConfig, FederationEvent};
use balcony_stanza::{MessageType, Stanza};

use crate::counted;
use crate::world::World;

/// So many others.
pub(crate) const MANY: usize = 1_000;
const NOW: Instant = Instant::ZERO;

fn jid(text: &str) -> Jid {
    text.parse().expect("an address")
}

fn chat(from: &str, to: &str) -> Stanza {
    Stanza::message(MessageType::Chat).with_from(jid(from)).with_to(jid(to)).with_id("ktx72v49")
}

/// A router with a session of each of ten accounts, and of one more; another account is not there.
fn of_ten() -> Router {
    let domain = BareJid::parse("example.com").expect("an address");
    let mut config = Config::new(vec![domain]);
    // All that one sends may be parked.
    config.limits.window_bytes = 1 << 24;
    let mut router = Router::new(config, &Seed::from_u64(1));
    let (mut store, mut effects) = (Memory::default(), Vec::new());
    store.create(BareJid::parse("tybalt@example.com").expect("an address"));
    for number in 0..=10 {
        let account = BareJid::parse(&format!("user{number}@example.com")).expect("an address");
        store.create(account.clone());
        router.bind(NOW, SessionId(number), &account, Some("desk"), &mut effects).expect("a resource");
        while let Some(effect) = effects.pop() {
            if let Effect::Ask { ticket, ask } = effect {
                router.answer(NOW, ticket, store.answer(0, ask), &mut effects);
            }
        }
    }
    router
}

/// Messages to an address that does not exist, while so many others wait for the store.
pub(crate) fn nobody(count: usize, others: usize) -> usize {
    let (mut router, mut effects) = (of_ten(), Vec::new());
    for other in 0..others {
        let session = other as u64 % 10;
        let from = format!("user{session}@example.com/desk");
        let stanza = chat(&from, &format!("away{other}@example.com"));
        router.route(NOW, SessionId(session), stanza, &mut effects);
        while router.take_in(NOW, &mut effects) {}
    }
    assert_eq!(router.counts().asks, others);
    let stanzas = vec![chat("user10@example.com/desk", "nobody@example.com"); count];
    let allocations = counted(|| {
        for stanza in stanzas {
            effects.clear();
            router.route(NOW, SessionId(10), stanza, &mut effects);
            while router.take_in(NOW, &mut effects) {}
            let asked = effects.iter().find_map(|effect| match effect {
                Effect::Ask { ticket, .. } => Some(*ticket),
                _ => None,
            });
            router.answer(NOW, asked.expect("whether there is one"), Answer::Loaded(None), &mut effects);
            black_box(router.deadline());
        }
    });
    assert_eq!(router.counts().asks, others);
    allocations
}

/// Two who see each other and are there.
fn two(world: &mut World) -> (usize, usize) {
    world.befriend("romeo@example.com", "juliet@example.com");
    let romeo = world.online("romeo@example.com", "orchard");
    let juliet = world.online("juliet@example.com", "desk");
    (romeo, juliet)
}

/// Messages from one to the other.
fn messages(world: &mut World, (romeo, juliet): (usize, usize), count: usize) -> usize {
    let message = crate::message("juliet@example.com");
    world.send(romeo, message.as_bytes());
    let before = world.written[juliet];
    let allocations = counted(|| {
        for _ in 0..count {
            world.send(romeo, message.as_bytes());
            world.deadline();
        }
    });
    assert!(world.written[juliet] - before > count * message.len(), "they do not arrive");
    allocations
}

/// Messages between two, while so many connections have been written to and take nothing.
pub(crate) fn stalled(count: usize, others: usize) -> usize {
    let mut world = World::new();
    for number in 0..others {
        let stalled = world.online(&format!("user{number}@example.com"), "desk");
        world.stall(stalled);
        world.send(stalled, b"<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>");
    }
    let two = two(&mut world);
    messages(&mut world, two, count)
}

/// Stanzas to another server that is not reached, while so many pairs of domains wait for theirs.
pub(crate) fn domains(count: usize, others: usize) -> usize {
    let domain = BareJid::parse("example.com").expect("an address");
    let mut config = FederationConfig::new(vec![domain]);
    config.limits.attempts = 2 * MANY;
    let mut federation = Federation::new(config, &Seed::from_u64(1));
    for other in 0..others {
        // An account may have so many looked for.
        let from = format!("user{}@example.com/desk", other / 50);
        federation.send(NOW, chat(&from, &format!("friar@host{other}.example")), true);
        while federation.next().is_some() {}
    }
    let stanzas = vec![chat("romeo@example.com/desk", "friar@monastery.example"); count + 1];
    let mut allocations = 0;
    for (number, stanza) in stanzas.into_iter().enumerate() {
        let asked = counted(|| {
            federation.send(NOW, stanza, true);
            while federation.next().is_some() {}
            black_box(federation.deadline());
        });
        allocations += if number > 0 { asked } else { 0 };
    }
    assert!(federation.waiting_bytes() > count * 100, "they wait");
    allocations
}

/// Messages between two, while so many connections have sent more than may wait for the store, so that their input waits.
pub(crate) fn waiting(count: usize, others: usize) -> usize {
    let mut world = World::new();
    let slow: Vec<usize> =
        (0..others).map(|number| world.online(&format!("slow{number}@example.com"), "desk")).collect();
    let two = two(&mut world);
    world.hang();
    let change =
        "<iq type='set' id='c'><query xmlns='jabber:iq:roster'><item jid='nurse@example.com'/></query></iq>";
    for connection in slow {
        // All behind the first wait for it, and there is no room for so many of a session.
        world.send(connection, change.repeat(300).as_bytes());
    }
    messages(&mut world, two, count)
}

/// A federation in which so many domains are looked for, each by a pair of its own.
fn asked(others: usize) -> Federation {
    let domain = BareJid::parse("example.com").expect("an address");
    let mut config = FederationConfig::new(vec![domain]);
    config.limits.attempts = 2 * MANY + 10_000;
    let mut federation = Federation::new(config, &Seed::from_u64(1));
    for other in 0..others {
        // An account may have so many looked for. Not all at the same time, so that they are not due together.
        let now = NOW + Duration::from_millis(other as u64);
        let from = format!("user{}@example.com/desk", other / 50);
        federation.send(now, chat(&from, &format!("friar@host{other}.example")), true);
        while federation.next().is_some() {}
    }
    federation
}

/// Stanzas to a new domain each, whose address is then not found, while so many others are looked for.
pub(crate) fn pairs(count: usize, others: usize) -> usize {
    let mut federation = asked(others);
    let now = NOW + Duration::from_millis(MANY as u64);
    let domains: Vec<BareJid> = (0..count)
        .map(|number| BareJid::parse(&format!("new{number}.example")).expect("an address"))
        .collect();
    let stanzas: Vec<Stanza> = domains
        .iter()
        .enumerate()
        .map(|(number, domain)| chat(&format!("romeo{number}@example.com/desk"), domain.as_str()))
        .collect();
    counted(|| {
        for (stanza, domain) in stanzas.into_iter().zip(&domains) {
            federation.send(now, stanza, true);
            while federation.next().is_some() {}
            federation.resolved(now, domain, Ok(vec![no_service()]));
            let mut returned = 0;
            while let Some(event) = federation.next() {
                returned += usize::from(matches!(event, FederationEvent::Return { .. }));
            }
            assert!(returned > 0, "it does not come back");
            black_box(federation.deadline());
        }
    })
}

/// What the DNS has of a domain that has no server for others.
fn no_service() -> Record {
    Record { priority: 0, weight: 0, port: 0, target: String::new(), direct_tls: false, signed: Signed::No }
}

/// What is looked for of new domains expires, one each time, while so many others are looked for.
pub(crate) fn expiry(count: usize, others: usize) -> usize {
    let mut federation = asked(0);
    let end = Duration::from_secs(1);
    for number in 0..count {
        let from = format!("romeo{number}@example.com/desk");
        let now = NOW + end * u32::try_from(number).expect("few");
        federation.send(now, chat(&from, &format!("friar@new{number}.example")), true);
        while federation.next().is_some() {}
    }
    let last = NOW + end * u32::try_from(count).expect("few");
    for other in 0..others {
        let from = format!("user{}@example.com/desk", other / 50);
        federation.send(last, chat(&from, &format!("friar@host{other}.example")), true);
        while federation.next().is_some() {}
    }
    counted(|| {
        for _ in 0..count {
            let due = federation.deadline().expect("something that is looked for");
            federation.tick(due);
            while federation.next().is_some() {}
        }
    })
}

/// One of so many open asks is due each time.
pub(crate) fn ticks(count: usize, others: usize) -> usize {
    let (mut router, mut effects) = (of_ten(), Vec::new());
    let mut now = NOW;
    let ask = |router: &mut Router, now: Instant, number: usize, effects: &mut Vec<Effect>| {
        effects.clear();
        let session = number as u64 % 10;
        let from = format!("user{session}@example.com/desk");
        router.route(now, SessionId(session), chat(&from, &format!("away{number}@example.com")), effects);
        while router.take_in(now, effects) {}
    };
    for number in 0..count + others {
        ask(&mut router, now, number, &mut effects);
        now = now + Duration::from_millis(1);
    }
    assert_eq!(router.counts().asks, count + others);
    let allocations = counted(|| {
        for _ in 0..count {
            effects.clear();
            let due = router.deadline().expect("an open ask");
            router.tick(due.at, &mut effects);
        }
    });
    assert!(router.counts().asks >= others.saturating_sub(1), "more than one was due");
    allocations
}

/// What is done for messages of a stranger before the next answer, to whom that may be: an address that does not exist, an account that is
/// not there, or one that is.
pub(crate) fn parked(count: usize, to: &str) -> usize {
    let (mut router, mut effects) = (of_ten(), Vec::new());
    let stanzas = vec![chat("user10@example.com/desk", to); count];
    let allocations = counted(|| {
        for stanza in stanzas {
            effects.clear();
            black_box(router.route(NOW, SessionId(10), stanza, &mut effects));
            black_box(router.deadline());
        }
    });
    assert!(router.has_parked(), "they are not parked");
    allocations
}
