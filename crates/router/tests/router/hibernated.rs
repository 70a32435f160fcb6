//! Sessions without a connection (XEP-0198) among others: which of them give way, and who answers for them.

use core::time::Duration;

use balcony_roster::Subscription;
use balcony_router::{Answer, Effect, SessionId};
use balcony_stanza::{IqType, Kind, MessageType, Stanza};

use crate::world::{World, bare, config, content, jid, request, wires};

const JULIET: &str = "juliet@example.com";
const WAIT: Duration = Duration::from_secs(600);

fn chat(number: usize, size: usize) -> Stanza {
    let mut stanza = content(&format!("<body>{number}</body><x xmlns='{}'/>", "x".repeat(size)));
    stanza.head.kind = Kind::Message(MessageType::Chat);
    stanza.to(jid(JULIET))
}

fn closed(effects: &[Effect]) -> Vec<SessionId> {
    let closed = |effect: &Effect| match effect {
        Effect::Close { session, .. } => Some(*session),
        _ => None,
    };
    effects.iter().filter_map(closed).collect()
}

fn detach(world: &mut World, session: SessionId) {
    let mut effects = Vec::new();
    assert!(world.router.detach(world.now, session, &mut effects));
    world.serve(&mut effects);
    world.now = world.now + Duration::from_secs(1);
}

// Limits::resources: a phone that begins session after session is not locked out by those that it has left behind: of these the one that
// waits longest ends.
#[test]
fn sessions_that_wait_keep_nobody_out() {
    let mut small = config();
    small.limits.resources = 3;
    let mut world = World::with(small);
    let romeo = world.available("romeo@example.net/street", 0);
    let desk = world.available("juliet@example.com/desk", -1);
    let first = world.available("juliet@example.com/first", 1);
    let second = world.available("juliet@example.com/second", 0);
    for session in [first, second] {
        assert!(world.router.manage(session, WAIT));
    }
    detach(&mut world, first);
    detach(&mut world, second);
    world.send(romeo, chat(0, 1));
    let effects = world.bind(SessionId(1_000), JULIET, "third");
    assert_eq!(closed(&effects), [first], "the one that has waited longest");
    // What waited for it goes its way once more.
    let mut effects = Vec::new();
    assert!(world.router.resume(world.now, second, &bare(JULIET), 0, &mut effects));
    assert!(wires(&effects, second).iter().any(|wire| wire.contains("<body>0</body>")), "{effects:?}");
    assert_eq!(world.router.sessions(&bare(JULIET)).collect::<Vec<_>>(), [desk, second, SessionId(1_000)]);
    // Those with connections stay.
    let refused = world.router.bind(world.now, SessionId(1_001), &bare(JULIET), Some("fourth"), &mut effects);
    assert!(refused.is_err());
}

// Limits::total_queue_bytes: when it is full those without a connection go first, the oldest of them before the others, and no more than
// it takes.
#[test]
fn the_oldest_goes_first_when_all_is_full() {
    let mut small = config();
    small.limits.total_queue_bytes = 20_000;
    let mut world = World::with(small);
    let romeo = world.available("romeo@example.net/street", 0);
    let names = ["a", "b", "c", "d"].map(|name| format!("{name}@example.com"));
    let phones = names.clone().map(|name| world.available(&format!("{name}/phone"), 0));
    for phone in phones {
        assert!(world.router.manage(phone, WAIT));
    }
    for phone in [phones[2], phones[0], phones[1]] {
        detach(&mut world, phone);
    }
    let mut effects = Vec::new();
    // For the one that is oldest nothing waits, so nothing would be won by its end.
    for number in 0..40 {
        let to = [0, 1][number % 2];
        effects.append(&mut world.send(romeo, chat(number, 500).to(jid(&names[to]))));
        if closed(&effects).len() == 1 {
            break;
        }
    }
    assert_eq!(closed(&effects), [phones[0]]);
    assert!(world.router.queued() <= 20_000 && world.router.jid(phones[1]).is_some());
    assert!(world.router.jid(phones[3]).is_some() && world.router.jid(phones[2]).is_some());
}

// RFC 6120 §8.2.3: a request has one answer. The phone has answered, and its connection was lost before it could say that it had got the
// request; then its session ends.
#[test]
fn what_was_answered_is_not_refused() {
    let mut world = World::new();
    let desk = world.available("juliet@example.com/desk", 0);
    let phone = world.available("juliet@example.com/phone", 0);
    assert!(world.router.manage(phone, WAIT));
    let ping = |id: &str| {
        request(IqType::Get, "<ping xmlns='urn:xmpp:ping'/>").id(id).to(jid("juliet@example.com/phone"))
    };
    world.send(desk, ping("one"));
    world.send(desk, ping("two"));
    let answer = Stanza::iq(IqType::Result).id("one").to(jid("juliet@example.com/desk"));
    assert_eq!(wires(&world.send(phone, answer), desk).len(), 1);
    detach(&mut world, phone);
    world.now = world.now + WAIT;
    let mut effects = Vec::new();
    world.router.tick(world.now, &mut effects);
    let refused: Vec<_> = wires(&effects, desk).into_iter().filter(|wire| wire.contains("<iq ")).collect();
    assert!(refused.len() == 1 && refused[0].contains("id='two'"), "{refused:?}");
}

/// The numbers of the messages that are written for Juliet's sessions without a connection.
fn written(world: &World) -> Vec<usize> {
    let juliet = bare(JULIET);
    let documents = world.store.documents(&juliet, "undelivered");
    documents.filter_map(|(_, content)| number(&String::from_utf8_lossy(&content.bytes))).collect()
}

fn number(wire: &str) -> Option<usize> {
    wire.split_once("<body>")?.1.split_once("</body>")?.0.parse().ok()
}

fn numbers(effects: &[Effect], session: SessionId) -> Vec<usize> {
    wires(effects, session).iter().filter_map(|wire| number(wire)).collect()
}

/// Juliet's phone, which can be resumed, and Romeo, who sees her.
fn friends() -> (World, SessionId, SessionId) {
    let mut world = World::new();
    for (one, other) in [("romeo@example.net", JULIET), (JULIET, "romeo@example.net")] {
        world.befriend(one, other, Subscription::Both);
    }
    let romeo = world.available("romeo@example.net/street", 0);
    let phone = world.available("juliet@example.com/phone", 0);
    assert!(world.router.manage(phone, WAIT));
    (world, romeo, phone)
}

/// The server dies, and another one begins with what its store has.
fn crash(world: World) -> World {
    let mut next = World::new();
    (next.store, next.now) = (world.store, world.now);
    next
}

// docs/guarantees.md: what waits for a session without a connection is written before its sender is told that it is handled, and deleted
// when the session has acknowledged it.
#[test]
fn what_waits_for_a_phone_is_written() {
    let (mut world, romeo, phone) = friends();
    world.send(romeo, chat(0, 1));
    assert!(written(&world).is_empty(), "it has a connection");
    detach(&mut world, phone);
    assert_eq!(written(&world), [0], "nobody knows whether it has got that");
    world.at_once = false;
    let mut effects = world.send(romeo, chat(1, 1));
    assert_eq!((world.waited.len(), written(&world)), (1, vec![0]));
    world.at_once = true;
    world.serve(&mut effects);
    assert_eq!((world.handled.as_slice(), written(&world)), (&[romeo][..], vec![0, 1]));
    // What nobody keeps for people who are away is not written, nor does it wait.
    world.at_once = false;
    let typing = content("<composing xmlns='http://jabber.org/protocol/chatstates'/>");
    assert!(world.send(romeo, typing.to(jid(JULIET))).is_empty());
    assert_eq!(world.waited.len(), 1);
    world.at_once = true;
    let mut effects = Vec::new();
    assert!(world.router.resume(world.now, phone, &bare(JULIET), 1, &mut effects));
    assert_eq!(numbers(&effects, phone), [1]);
    world.serve(&mut effects);
    assert_eq!(written(&world), [1]);
    world.router.acknowledged(world.now, phone, 2, &mut effects);
    world.serve(&mut effects);
    assert_eq!((written(&world), world.kept(JULIET).len(), world.router.queued()), (vec![], 0, 0));
}

// The same: after a crash it waits for whoever comes next, once, in order, with the time at which it came, behind what was stored before.
#[test]
fn what_waited_for_a_phone_outlives_a_crash() {
    let (mut world, romeo, phone) = friends();
    world.send(romeo, chat(0, 1));
    detach(&mut world, phone);
    world.send(romeo, chat(1, 1));
    world.send(romeo, chat(2, 1));
    let mut world = crash(world);
    world.now = world.now + WAIT;
    let desk = world.connect("juliet@example.com/desk");
    let effects = world.send(desk, crate::world::available(0));
    assert_eq!(numbers(&effects, desk), [0, 1, 2]);
    let got = wires(&effects, desk);
    assert!(
        got.iter()
            .filter(|wire| number(wire).is_some())
            .all(|wire| wire.contains("stamp='2002-09-10T23:08:2"))
    );
    assert_eq!((written(&world), world.kept(JULIET).len()), (vec![], 0));
    let mut world = crash(world);
    let desk = world.connect("juliet@example.com/desk");
    assert!(numbers(&world.send(desk, crate::world::available(0)), desk).is_empty());
}

// [SM20]: a session that ends has its messages go elsewhere; they are deleted when that is durable, not sooner.
#[test]
fn what_goes_elsewhere_is_never_written_nowhere() {
    let (mut world, romeo, phone) = friends();
    detach(&mut world, phone);
    world.send(romeo, chat(0, 1));
    world.send(romeo, chat(1, 1));
    world.now = world.now + WAIT;
    let mut effects = Vec::new();
    world.router.tick(world.now, &mut effects);
    let mut next = 0;
    while next < effects.len() {
        if let Effect::Ask { ticket, ask } = effects[next].clone() {
            let answer = world.ask(ask);
            let all = written(&world).len() + world.kept(JULIET).len();
            assert!(all >= 2, "{all}");
            world.router.answer(world.now, ticket, answer, &mut effects);
        }
        next += 1;
    }
    assert_eq!((written(&world), world.kept(JULIET).len()), (vec![], 2));
}

// A store in trouble keeps nobody from getting messages; what it could not delete it deletes later.
#[test]
fn a_store_in_trouble_is_asked_again() {
    let (mut world, romeo, phone) = friends();
    detach(&mut world, phone);
    world.send(romeo, chat(0, 1));
    world.at_once = false;
    let mut effects = Vec::new();
    assert!(world.router.resume(world.now, phone, &bare(JULIET), 0, &mut effects));
    world.router.acknowledged(world.now, phone, 1, &mut effects);
    let asked = crate::world::tickets(&effects);
    assert_eq!(asked.len(), 1);
    world.answer(asked[0], Answer::Refused);
    assert_eq!(written(&world), [0]);
    world.at_once = true;
    world.now = world.router.deadline().unwrap().at;
    world.tick();
    assert!(written(&world).is_empty());
}
