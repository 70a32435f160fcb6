//! What strangers send, and what passes on its way: order, bounds, and that nothing is lost.

use core::ops::Range;

use balcony_stanza::{IqType, MessageType, PresenceType, Stanza};

use balcony_roster::Subscription;

use crate::world::{World, available, bare, brief, config, jid, request};
use balcony_router::Effect;

const JULIET: &str = "juliet@example.com";

fn chat(to: &str, id: usize) -> Stanza {
    Stanza::message(MessageType::Chat).with_to(jid(to)).with_id(id.to_string())
}

/// The ids of the messages that are delivered.
fn ids(effects: &[Effect]) -> Vec<usize> {
    let id = |effect: &Effect| match effect {
        Effect::Deliver { stanza, .. } => stanza.head.id.as_deref()?.parse().ok(),
        _ => None,
    };
    effects.iter().filter_map(id).collect()
}

// The architecture's rule 4, RFC 6120 §10.1 [Q10]: so much of a sender is parked; more goes on in order, and nothing is lost.
#[test]
fn what_is_parked_is_bounded() {
    let mut world = World::new();
    let romeo = world.available("romeo@example.net/street", 0);
    world.available("juliet@example.com/balcony", 0);
    world.parks = true;
    let mut effects = Vec::new();
    let body = "x".repeat(1_000);
    for id in 0..400 {
        let stanza = Stanza::parse(format!("<message><body>{body}</body></message>").as_bytes()).unwrap();
        effects.extend(world.send(romeo, stanza.with_to(jid(JULIET)).with_id(id.to_string())));
    }
    let most = 4 * config().limits.window_bytes / 1_000;
    let gone = ids(&effects).len();
    assert!(gone > 400 - most && gone < 250, "{gone} of 400 have gone on");
    world.parks = false;
    world.take_in(&mut effects);
    world.serve(&mut effects);
    assert_eq!(ids(&effects), (0..400).collect::<Vec<_>>());
}

// Each sender has its turn: who sends little does not wait for who sends much.
#[test]
fn senders_take_turns() {
    let mut world = World::new();
    let romeo = world.available("romeo@example.net/street", 0);
    let nurse = world.available("nurse@example.com/lane", 0);
    world.available("juliet@example.com/balcony", 0);
    world.parks = true;
    for id in 0..40 {
        world.send(romeo, chat(JULIET, id));
    }
    world.send(nurse, chat(JULIET, 1_000));
    let mut turns = Vec::new();
    loop {
        let mut effects = Vec::new();
        let has_more = world.router.take_in(world.now, &mut effects);
        turns.push(ids(&effects));
        if !has_more {
            break;
        }
    }
    // Sixteen at a time, of one sender as long as it has some: they are for one recipient, mostly, who gets them with one write.
    let romeos = |ids: Range<usize>| ids.collect::<Vec<_>>();
    let second = [vec![1_000], romeos(16..31)].concat();
    assert_eq!(turns, [romeos(0..16), second, romeos(31..40)]);
}

// RFC 6120 §10.1 [Q10]: what a request causes comes before its answer, and behind what its sender has sent before to the same.
#[test]
fn what_a_request_causes_does_not_overtake() {
    let mut world = World::new();
    let romeo = world.available("romeo@example.net/street", 0);
    let juliet = world.available("juliet@example.com/balcony", 0);
    world.send(romeo, available(0).with_to(jid(JULIET)));
    world.parks = true;
    assert!(world.send(romeo, chat(JULIET, 1)).is_empty());
    let block = format!("<block xmlns='urn:xmpp:blocking'><item jid='{JULIET}'/></block>");
    let told: Vec<_> = world
        .send(romeo, request(IqType::Set, &block))
        .into_iter()
        .filter_map(|effect| match effect {
            Effect::Deliver { session, stanza } => Some(format!("{}: {}", session == juliet, brief(&stanza))),
            _ => None,
        })
        .collect();
    assert_eq!(
        told,
        [
            "true: message chat from romeo@example.net/street",
            "true: presence unavailable from romeo@example.net/street",
            "false: iq result",
        ]
    );
    assert!(!world.router.has_parked());
}

// RFC 6121 §4.6.3: nor does what the server says at the end of a session; and that loses nothing.
#[test]
fn the_end_of_a_session_does_not_overtake() {
    let mut world = World::new();
    let romeo = world.available("romeo@example.net/street", 0);
    world.available("juliet@example.com/balcony", 0);
    world.send(romeo, Stanza::presence(PresenceType::Available).with_to(jid(JULIET)));
    world.parks = true;
    world.send(romeo, chat(JULIET, 1));
    assert!(world.unbind(romeo).is_empty());
    let mut effects = Vec::new();
    assert!(!world.router.take_in(world.now, &mut effects));
    assert_eq!(
        world.tell(&effects),
        [
            "balcony: message chat from romeo@example.net/street",
            "balcony: presence unavailable from romeo@example.net/street",
        ]
    );
}

// The architecture's rule 8: who is not asked for it takes it in by the clock.
#[test]
fn the_clock_takes_in_what_nobody_asks_for() {
    let mut world = World::new();
    let romeo = world.available("romeo@example.net/street", 0);
    world.available("juliet@example.com/balcony", 0);
    world.parks = true;
    for id in 0..100 {
        world.send(romeo, chat(JULIET, id));
    }
    let mut delivered = 0;
    while world.router.has_parked() {
        let due = world.router.deadline().unwrap().at;
        assert!(due > world.now);
        world.now = due;
        delivered += world.tick().len();
    }
    assert_eq!(delivered, 100);
}

// RFC 6121 §8.1: whom a session has written to last says nothing of somebody else whose account lies in the same place by now.
#[test]
fn a_place_in_memory_tells_nothing() {
    let mut world = World::new();
    world.befriend("romeo@example.net", JULIET, Subscription::To);
    world.store.create(bare("paris@example.com"));
    let romeo = world.available("romeo@example.net/street", 0);
    let helper = world.available("mercutio@example.net/street", 0);
    let juliet = world.connect("juliet@example.com/balcony");
    // It is for nobody who is away, so that nothing comes of it.
    world.send(romeo, Stanza::message(MessageType::Headline).with_to(jid(JULIET)));
    world.unbind(juliet);
    // The account of Paris is loaded, and the store does not answer yet.
    world.at_once = false;
    let before = world.waited.len();
    world.send(helper, chat("paris@example.com", 2));
    assert_eq!(world.waited.len(), before);
    world.brings(romeo, chat("paris@example.com", 3));
    assert_eq!(world.waited.len(), before, "a stranger waits for the account");
}
