//! A server loses all its connections at any moment: nothing that the router has accepted is lost with them, and nothing comes twice.
#![allow(clippy::unwrap_used)]

use balcony_client::{RequestKind, RequestOutcome};
use balcony_machine::Seed;
use balcony_sim::{Accounts, Chunks, Peer, World};
use balcony_stanza::{Kind, MessageType, PresenceType, Stanza};
use proptest::prelude::*;

const ROMEO: &str = "romeo@example.com/garden";
const JULIET: &str = "juliet@example.com";

/// The numbers of the messages that a client has got, in order.
fn numbers(world: &mut World, peer: Peer) -> Vec<usize> {
    let is_chat = |stanza: &Stanza| stanza.head.kind == Kind::Message(MessageType::Chat);
    let stanzas = world.take_stanzas(peer).into_iter().filter(is_chat);
    stanzas.map(|stanza| stanza.head.id.unwrap().parse().unwrap()).collect()
}

/// How many of a client's requests have been answered with a result.
fn results(world: &mut World, peer: Peer) -> usize {
    let outcomes = world.take_outcomes(peer);
    outcomes.iter().filter(|outcome| matches!(outcome, RequestOutcome::Result(_))).count()
}

/// Juliet and Romeo see each other.
fn befriend(world: &mut World) {
    let juliet = world.client("juliet@example.com/window", "pencil");
    let romeo = world.client(ROMEO, "crayon");
    for (from, kind, to) in
        [(romeo, PresenceType::Subscribe, JULIET), (juliet, PresenceType::Subscribed, "romeo@example.com")]
    {
        world.send(from, &Stanza::presence(kind).with_to(to.parse().unwrap()));
        world.run();
    }
    world.close(romeo);
    world.close(juliet);
    world.run();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    // RFC 6120 §10.1, RFC 6121 §8.5.2.2: after each message Romeo asks his server for something. What was answered was accepted, and so was
    // everything before it.
    #[test]
    fn nothing_that_was_accepted_is_lost(
        seed: u64,
        rounds in prop::collection::vec((1..12_usize, 0..60_usize, any::<bool>(), any::<bool>(), 1..40_000_usize), 1..5),
    ) {
        let accounts = Accounts::new().with(JULIET, "pencil").with("romeo@example.com", "crayon");
        let mut world = World::new(accounts, Chunks::Random(Box::new(Seed::from_u64(seed).random())), seed, |_| {}).in_parts((seed % 4) as u16);
        befriend(&mut world);
        let (mut sent, mut accepted, mut got) = (0, Vec::new(), Vec::new());
        for (count, steps, is_there, is_stalled, size) in rounds {
            world.slow_store = false;
            let juliet = is_there.then(|| world.online("juliet@example.com/balcony", "pencil", 0));
            let romeo = world.online(ROMEO, "crayon", 0);
            if let Some(juliet) = juliet {
                got.append(&mut numbers(&mut world, juliet));
                world.stall(juliet, is_stalled);
            }
            world.slow_store = true;
            let first = sent;
            for _ in 0..count {
                let body = "x".repeat(size);
                let message = format!("<message to='{JULIET}' type='chat' id='{sent}'><body>{body}</body></message>");
                world.write(romeo, message.as_bytes());
                world.request(romeo, RequestKind::Get, None, "<query xmlns='jabber:iq:roster'/>");
                sent += 1;
            }
            world.run_some(steps);
            world.lose_connections();
            world.run();
            let answered = results(&mut world, romeo);
            accepted.extend(first..first + answered);
            if let Some(juliet) = juliet {
                world.stall(juliet, false);
                world.run();
                got.append(&mut numbers(&mut world, juliet));
            }
            prop_assert_eq!(world.server.router().queued(), 0);
            prop_assert_eq!(world.server.router().counts().sessions, 0);
        }
        world.slow_store = false;
        let juliet = world.online("juliet@example.com/balcony", "pencil", 0);
        got.append(&mut numbers(&mut world, juliet));
        prop_assert!(got.is_sorted_by(|a, b| a < b), "in order, and none twice: {:?}", got);
        let lost: Vec<_> = accepted.iter().filter(|number| !got.contains(number)).collect();
        prop_assert!(lost.is_empty(), "{:?} were accepted, and are not in {:?}", lost, got);
    }
}
