//! Asks: each is answered once or expires, and there are only so many.

use core::time::Duration;

use balcony_machine::{Instant, Reason, Ticket};
use balcony_router::{Answer, Busy, SessionId};
use balcony_stanza::{Kind, MessageType, Stanza};

use crate::world::{World, config, jid, of_kind, tickets};

fn chat(to: &str) -> Stanza {
    of_kind(Kind::Message(MessageType::Chat), to)
}

fn world(asks: usize) -> (World, SessionId) {
    let mut config = config();
    config.limits.asks = asks;
    config.limits.answer = Duration::from_secs(30);
    let mut world = World::with(config);
    let romeo = world.connect("romeo@example.net/street");
    (world, romeo)
}

const REFUSED: &str = "street: message error service-unavailable/cancel from juliet@example.com";

// RFC 6121 §8.5.2.2.1 [D1b]
#[test]
fn stored_is_silent_and_refused_is_an_error() {
    let (mut world, romeo) = world(10);
    let first = tickets(&world.send(romeo, chat("juliet@example.com")))[0];
    let second = tickets(&world.send(romeo, chat("juliet@example.com")))[0];
    assert_ne!(first, second);
    assert!(world.answer(first, Answer::Stored).is_empty());
    assert_eq!(world.answer(second, Answer::Refused), [REFUSED]);
    // Answered once, each of them.
    assert!(world.answer(first, Answer::Refused).is_empty());
    assert!(world.answer(second, Answer::Refused).is_empty());
    assert!(world.answer(Ticket(999), Answer::Refused).is_empty());
    assert_eq!(world.router.counts().asks, 0);
    assert_eq!(world.router.deadline(), None);
}

// The architecture's rule 2: every ask is answered once or expires.
#[test]
fn expiry_tells_the_sender() {
    let (mut world, romeo) = world(10);
    let first = tickets(&world.send(romeo, chat("juliet@example.com")))[0];
    world.now = Instant::from_millis(10_000);
    world.send(romeo, chat("juliet@example.com/nowhere"));
    let deadline = world.router.deadline().unwrap();
    assert_eq!((deadline.at, deadline.reason), (Instant::from_millis(30_000), Reason::Answer));

    world.now = Instant::from_millis(29_999);
    assert!(world.tick().is_empty());
    world.now = Instant::from_millis(30_000);
    assert_eq!(world.tick(), ["street: message error resource-constraint/wait from juliet@example.com"]);
    assert!(world.answer(first, Answer::Refused).is_empty());
    assert_eq!(world.router.deadline().unwrap().at, Instant::from_millis(40_000));
    world.now = Instant::from_millis(99_000);
    assert_eq!(
        world.tick(),
        ["street: message error resource-constraint/wait from juliet@example.com/nowhere"]
    );
    assert_eq!(world.router.deadline(), None);
}

// A clock that runs backwards counts as one that stands still.
#[test]
fn time_never_runs_backwards() {
    let (mut world, romeo) = world(10);
    world.now = Instant::from_millis(50_000);
    let first = tickets(&world.send(romeo, chat("juliet@example.com")))[0];
    world.now = Instant::ZERO;
    world.send(romeo, chat("nurse@example.com"));
    world.answer(first, Answer::Stored);
    assert_eq!(world.router.deadline().unwrap().at, Instant::from_millis(80_000));
}

// The architecture's rule 4: past the bound the sender waits, and nobody else is hurt.
#[test]
fn too_many_asks_keep_the_sender_waiting() {
    let (mut world, romeo) = world(2);
    let orchard = world.connect("romeo@example.net/orchard");
    let nurse = world.connect("nurse@example.com/kitchen");
    let ticket = tickets(&world.send(romeo, chat("juliet@example.com")))[0];
    assert!(!world.router.is_busy(romeo));
    world.send(orchard, chat("juliet@example.com"));
    assert!(world.router.is_busy(romeo) && world.router.is_busy(orchard));

    let stanza = chat("juliet@example.com").from(jid("romeo@example.net/street"));
    let mut effects = Vec::new();
    let refused = world.router.route(world.now, romeo, stanza.clone(), &mut effects);
    assert_eq!(refused, Err(Busy(stanza)));
    assert!(effects.is_empty());
    // What needs no ask still goes, and others ask as they like.
    assert_eq!(world.says(romeo, chat("nurse@example.com/kitchen")).len(), 1);
    assert_eq!(tickets(&world.send(nurse, chat("juliet@example.com"))).len(), 1);

    world.answer(ticket, Answer::Stored);
    assert!(!world.router.is_busy(romeo));
    assert_eq!(tickets(&world.send(romeo, chat("juliet@example.com"))).len(), 1);
}

// Whoever reconnects does not get a fresh allowance.
#[test]
fn the_bound_outlives_the_session() {
    let (mut world, romeo) = world(1);
    let ticket = tickets(&world.send(romeo, chat("juliet@example.com")))[0];
    world.unbind(romeo);
    let again = world.connect("romeo@example.net/street");
    assert!(world.router.is_busy(again));
    // The error goes to the address, and so to who has it now.
    assert_eq!(world.answer(ticket, Answer::Refused), [REFUSED]);
    assert!(!world.router.is_busy(again));
}

// RFC 6120 §8.3.1: an error whose recipient has gone goes nowhere.
#[test]
fn errors_to_the_absent_are_dropped() {
    let (mut world, romeo) = world(1);
    let ticket = tickets(&world.send(romeo, chat("juliet@example.com")))[0];
    world.unbind(romeo);
    assert!(world.answer(ticket, Answer::Refused).is_empty());
}
