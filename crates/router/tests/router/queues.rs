//! The queues of sessions, where much happens in one call: what one has not got goes elsewhere, in order, once, and to nobody else.

use balcony_machine::Instant;
use balcony_router::{Effect, SessionId};
use balcony_stanza::{IqType, Kind, MessageType, Stanza};

use crate::world::{World, available, bare, config, content, jid, request, roster_set, wires};

const JULIET: &str = "juliet@example.com";
const BALCONY: &str = "juliet@example.com/balcony";

/// With a connection lies one message of these, and eight may wait.
fn world() -> (World, SessionId) {
    let mut config = config();
    (config.limits.credit, config.limits.queue_bytes) = (1, 9 * 1_000);
    let mut world = World::with(config);
    world.store.create(bare(JULIET));
    let romeo = world.connect("romeo@example.net/street");
    (world, romeo)
}

/// It costs about 1,000 bytes.
fn chat(number: usize) -> Stanza {
    let mut stanza = content(&format!("<body>{number}</body><x xmlns='{}'/>", "x".repeat(640)));
    stanza.head.kind = Kind::Message(MessageType::Chat);
    stanza.with_to(jid(JULIET))
}

fn numbers(effects: &[Effect], to: SessionId) -> Vec<usize> {
    let body = |wire: &String| Some(wire.split_once("<body>")?.1.split_once("</body>")?.0.to_owned());
    wires(effects, to).iter().filter_map(body).map(|body| body.parse().unwrap()).collect()
}

fn kept(world: &World) -> Vec<usize> {
    let body = |stanza: &Stanza| String::from_utf8_lossy(stanza.payload.as_bytes()).into_owned();
    let number =
        |body: String| body.split_once("<body>").unwrap().1.split_once('<').unwrap().0.parse().unwrap();
    world.kept(JULIET).iter().map(body).map(number).collect()
}

/// The store answers; no network takes anything.
fn stored(world: &mut World, mut effects: Vec<Effect>) -> Vec<Effect> {
    let mut next = 0;
    while next < effects.len() {
        if let Effect::Ask { ticket, ask } = effects[next].clone() {
            let answer = world.ask(ask);
            world.router.answer(world.now, ticket, answer, &mut effects);
        }
        next += 1;
    }
    effects
}

/// Shows itself to itself, and what is asked because of that.
fn shown(world: &mut World, session: SessionId, priority: i8) -> Vec<Effect> {
    let mut effects = world.send(session, available(priority));
    let mut before = 0;
    while before < effects.len() {
        before = effects.len();
        world.router.drained(world.now, session, u64::MAX, &mut effects);
    }
    effects
}

/// The same; and the connection of this session breaks.
fn broken(world: &mut World, session: SessionId) -> Vec<Effect> {
    let mut effects = Vec::new();
    world.router.unbind(world.now, session, &mut effects);
    world.router.gone(world.now, session, &mut effects);
    stored(world, effects)
}

fn is_closed(effects: &[Effect], session: SessionId) -> bool {
    effects.iter().any(|effect| matches!(effect, Effect::Close { session: closed, .. } if *closed == session))
}

// XEP-0160 §2: stored messages for which there is no room beside what else waits for a session are there for the next.
#[test]
fn a_replay_that_is_too_much_comes_again() {
    let (mut world, romeo) = world();
    for number in 0..7 {
        world.send(romeo, chat(number));
    }
    let balcony = world.connect(BALCONY);
    world.at_once = false;
    let asked = shown(&mut world, balcony, 0);
    for number in 10..19 {
        let mut headline = chat(number).with_to(jid(BALCONY));
        headline.head.kind = Kind::Message(MessageType::Headline);
        world.received("news@example.org", headline);
    }
    let effects = stored(&mut world, asked);
    assert!(is_closed(&effects, balcony));
    assert!(numbers(&effects, balcony).len() <= 1, "no more than its credit");
    broken(&mut world, balcony);
    assert_eq!(world.router.counts().loaded, 1, "romeo's");
    world.at_once = true;
    let attic = world.connect("juliet@example.com/attic");
    let effects = world.send(attic, available(0));
    assert_eq!(numbers(&effects, attic), (0..7).collect::<Vec<_>>());
    assert_eq!((kept(&world), world.router.queued()), (vec![], 0));
}

// RFC 6121 §8.5.3.2: what has waited for the store comes all at once, and is more than may wait for a session.
#[test]
fn what_comes_at_once_and_is_too_much_goes_elsewhere() {
    let (mut world, romeo) = world();
    world.send(romeo, chat(0));
    let balcony = world.connect(BALCONY);
    world.at_once = false;
    let asked = shown(&mut world, balcony, 0);
    for number in 1..20 {
        assert_eq!(numbers(&world.send(romeo, chat(number)), balcony), [0; 0]);
    }
    let effects = stored(&mut world, asked);
    assert!(is_closed(&effects, balcony));
    assert_eq!(numbers(&effects, balcony), [0], "no more than its credit");
    broken(&mut world, balcony);
    assert_eq!(kept(&world), (0..20).collect::<Vec<_>>());
    assert_eq!((world.router.queued(), world.router.counts().loaded), (0, 1));
}

// XEP-0280 §7 [CR8]: a copy is for one resource. When that is gone nobody gets it, nor is it stored.
#[test]
fn copies_that_are_lost_are_no_messages() {
    let (mut world, romeo) = world();
    let balcony = world.available(BALCONY, 5);
    let attic = world.available("juliet@example.com/attic", 0);
    world.send(attic, request(IqType::Set, "<enable xmlns='urn:xmpp:carbons:2'/>"));
    world.at_once = false;
    for number in 0..3 {
        let effects = world.send(romeo, chat(number));
        assert_eq!(numbers(&effects, balcony), [number]);
        world.router.drained(world.now, balcony, u64::MAX, &mut Vec::new());
    }
    let effects = broken(&mut world, attic);
    assert_eq!(wires(&effects, balcony).iter().filter(|wire| wire.starts_with("<message")).count(), 0);
    broken(&mut world, balcony);
    assert_eq!((kept(&world), world.router.queued()), (vec![], 0));
}

// XEP-0077 §3.2: whoever takes the name of an account that was removed gets nothing that was meant for it.
#[test]
fn a_new_account_of_the_same_name_gets_nothing_of_the_old() {
    for is_loaded in [true, false] {
        let (mut world, romeo) = world();
        let balcony = world.available(BALCONY, 0);
        world.at_once = false;
        for number in 0..3 {
            world.send(romeo, chat(number));
        }
        world.at_once = true;
        assert!(is_closed(&world.removed(JULIET), balcony));
        world.store.create(bare(JULIET));
        let new = is_loaded.then(|| world.available("juliet@example.com/new", 0));
        let mut effects = Vec::new();
        world.router.gone(world.now, balcony, &mut effects);
        world.serve(&mut effects);
        assert_eq!(new.map_or(vec![], |new| numbers(&effects, new)), [0; 0]);
        assert_eq!((kept(&world), world.router.queued()), (vec![], 0));
        world.now = Instant::from_millis(1_000_000);
        world.tick();
        let later = world.available("juliet@example.com/later", 9);
        assert_eq!(numbers(&world.send(romeo, chat(9)), later), [9]);
    }
}

// RFC 6120 §10.1: what was stored goes first, whatever comes back from the session that has not got it.
#[test]
fn what_comes_back_does_not_overtake_what_is_stored() {
    let (mut world, romeo) = world();
    for number in 0..3 {
        world.send(romeo, chat(number));
    }
    let balcony = world.connect(BALCONY);
    let attic = world.connect("juliet@example.com/attic");
    world.at_once = false;
    let effects = shown(&mut world, balcony, 5);
    assert_eq!(numbers(&stored(&mut world, effects), balcony), [0]);
    shown(&mut world, attic, 0);
    for number in 3..5 {
        let effects = world.send(romeo, chat(number));
        stored(&mut world, effects);
    }
    assert_eq!(kept(&world), [0, 1, 2], "the others wait for the session");
    let mut effects = Vec::new();
    world.router.unbind(world.now, balcony, &mut effects);
    world.router.gone(world.now, balcony, &mut effects);
    world.at_once = true;
    world.serve(&mut effects);
    assert_eq!(numbers(&effects, attic), [0, 1, 2, 3, 4]);
    assert_eq!((kept(&world), world.router.queued()), (vec![], 0));
}

// RFC 6120 §10.1: the same while the account is loaded again.
#[test]
fn what_comes_back_does_not_overtake_what_waits_for_the_account() {
    let (mut world, romeo) = world();
    let balcony = world.available(BALCONY, 0);
    world.at_once = false;
    for number in 0..3 {
        world.send(romeo, chat(number));
    }
    // The store does not say whether it has made a change.
    world.send(balcony, roster_set("<item jid='nurse@example.com'/>"));
    let mut effects = Vec::new();
    world.router.unbind(world.now, balcony, &mut effects);
    world.send(romeo, chat(3));
    world.now = Instant::from_millis(31_000);
    world.router.tick(world.now, &mut effects);
    world.send(romeo, chat(4));
    world.router.gone(world.now, balcony, &mut effects);
    stored(&mut world, effects);
    assert_eq!(kept(&world), [0, 1, 2, 3, 4]);
    assert_eq!(world.router.queued(), 0);
}

// RFC 6120 §8.2.3: what a session has asked for is answered after its end, too, as long as something may still be written to it; that is in no
// queue, and what was in the queue is got when the network has both.
#[test]
fn an_answer_behind_the_end_of_a_session() {
    let mut world = World::new();
    let romeo = world.available("romeo@example.net/street", 0);
    let balcony = world.available(BALCONY, 0);
    world.at_once = false;
    let sent = world.send(balcony, roster_set("<item jid='nurse@example.org'/>"));
    let tickets = crate::world::tickets(&sent);
    let mut effects = world.send(romeo, chat(0).with_to(jid(BALCONY)));
    let before = wires(&sent, balcony).len() + wires(&effects, balcony).len();
    assert_eq!((tickets.len(), numbers(&effects, balcony)), (1, vec![0]));
    world.router.unbind(world.now, balcony, &mut effects);
    assert!(world.router.queued() > 0);
    let answered = wires(&world.answer(tickets[0], balcony_router::Answer::Saved), balcony);
    // Presence and answers that it got when all went to the network at once are counted, too.
    let first = u64::try_from(before + answered.len()).unwrap();
    world.router.drained(world.now, balcony, first + 100, &mut effects);
    assert_eq!(world.router.queued(), 0);
}

// Limits::queue_bytes: a client that comes anew with the same resource, before all is known of the session that was closed because too much
// waited for it, gets what that has not got. It is not closed for that itself, but for more than may wait beside it.
#[test]
fn what_a_full_session_leaves_does_not_close_the_next() {
    let (mut world, romeo) = world();
    let old = world.available(BALCONY, 0);
    world.at_once = false;
    let mut last = 0;
    while !is_closed(&world.send(romeo, chat(last)), old) {
        last += 1;
    }
    let new = SessionId(1_000);
    let effects = world.bind(new, JULIET, "balcony");
    assert!(!is_closed(&effects, new));
    let mut effects = stored(&mut world, effects);
    effects.extend(shown(&mut world, new, 0));
    effects.extend(broken(&mut world, old));
    assert!(!is_closed(&effects, new), "{:?}", world.tell(&effects));
    // There is as much room for what comes now as there was before.
    for number in last + 1..=last + 7 {
        let sent = world.send(romeo, chat(number));
        assert!(!is_closed(&sent, new), "{number}");
        effects.extend(sent);
    }
    let mut before = 0;
    while before < effects.len() {
        before = effects.len();
        world.router.drained(world.now, new, u64::MAX, &mut effects);
    }
    assert_eq!(numbers(&effects, new), (0..=last + 7).collect::<Vec<_>>());
    assert_eq!(world.router.queued(), 0);
    // And no more than before, when that is written.
    let closed = (100..120).find(|number| is_closed(&world.send(romeo, chat(*number)), new));
    assert_eq!(closed, Some(100 + last));
}
