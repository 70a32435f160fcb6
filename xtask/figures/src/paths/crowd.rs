//! What somebody costs while others have something open: so many requests to the store, connections that take nothing, domains that are
//! not reached. Whatever it is, it is to cost as much as beside one of them.

use std::hint::black_box;

use balcony_jid::{BareJid, Jid};
use balcony_machine::{Instant, Seed};
use balcony_router::{Answer, Config, Effect, Memory, Router, SessionId};
use balcony_server::federation::{Federation, FederationConfig};
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

/// Messages to an address that does not exist, while so many others wait for the store.
pub(crate) fn nobody(count: usize, others: usize) -> usize {
    let domain = BareJid::parse("example.com").expect("an address");
    let mut router = Router::new(Config::new(vec![domain]), &Seed::from_u64(1));
    let (mut store, mut effects) = (Memory::default(), Vec::new());
    // Ten write to strangers, and one more is measured.
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

/// Messages between two, while so many connections have been written to and take nothing.
pub(crate) fn stalled(count: usize, others: usize) -> usize {
    let mut world = World::new();
    for number in 0..others {
        let stalled = world.online(&format!("user{number}@example.com"), "desk");
        world.stall(stalled);
        world.send(stalled, b"<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>");
    }
    world.befriend("romeo@example.com", "juliet@example.com");
    let romeo = world.online("romeo@example.com", "orchard");
    let juliet = world.online("juliet@example.com", "desk");
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
