//! How long strangers wait for an answer: it tells them nothing of the accounts that they write to (RFC 6120 section 13.10.2).
#![allow(clippy::unwrap_used)]

use core::time::Duration;

use balcony_client::RequestKind;
use balcony_sim::{Accounts, Chunks, Peer, World};
use balcony_stanza::{MessageType, Stanza};

/// More than may be unhandled of a session, of a domain, or wait in an account.
const MESSAGES: usize = 600;
const MILLISECOND: Duration = Duration::from_millis(1);

/// Romeo, to whom all of them are strangers; and Juliet, who is there.
fn world(seed: u64, parts: u16) -> (World, Peer) {
    let accounts = ["romeo", "juliet", "tybalt"].into_iter();
    let accounts =
        accounts.fold(Accounts::new(), |all, name| all.with(&format!("{name}@example.com"), "pencil"));
    let mut world = World::new(accounts, Chunks::random(seed), seed, |_| {}).in_parts(parts);
    world.online("juliet@example.com/balcony", "pencil", 0);
    let romeo = world.online("romeo@example.com/orchard", "pencil", 0);
    world.run();
    world.take_stanzas(romeo);
    (world, romeo)
}

/// After how many milliseconds Romeo's ping is answered that he sends behind his messages, while the store does nothing for so many.
fn waits(to: &str, late: u32, seed: u64, parts: u16) -> u32 {
    let (mut world, romeo) = world(seed, parts);
    (world.slow_store, world.store_hangs) = (true, true);
    let message = |number: usize| {
        Stanza::message(MessageType::Chat).with_to(to.parse().unwrap()).with_id(number.to_string())
    };
    for number in 0..MESSAGES {
        world.send(romeo, &message(number));
    }
    world.request(romeo, RequestKind::Get, None, "<ping xmlns='urn:xmpp:ping'/>");
    for waited in 0..1_000 {
        world.store_hangs = waited < late;
        world.run();
        if !world.take_outcomes(romeo).is_empty() {
            // Nor has he heard anything else.
            assert!(world.take_stanzas(romeo).is_empty());
            return waited;
        }
        world.wait(MILLISECOND);
    }
    panic!("{to}: no answer within a second");
}

// RFC 6120 §13.10.2 [Q12]: six hundred messages and then a ping, to an account that does not exist, one that is offline and one that is
// online, while the store is late by anything between nothing and thirty milliseconds: the times are the same, one by one.
#[test]
fn the_time_of_an_answer_tells_strangers_nothing() {
    for parts in [0, 2] {
        for seed in 0..8 {
            let late = u32::try_from(seed * 37 % 31).unwrap();
            let times = ["nobody", "tybalt", "juliet"]
                .map(|name| waits(&format!("{name}@example.com"), late, seed, parts));
            assert_eq!(
                times, [times[0]; 3],
                "missing, offline, online; the store is late by {late} ms, seed {seed}"
            );
            assert_eq!(times[0], 0, "nobody waits for the store");
        }
    }
}
