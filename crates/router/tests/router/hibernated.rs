//! Sessions without a connection (XEP-0198) among others: which of them give way, and who answers for them.

use core::time::Duration;

use balcony_roster::Subscription;
use balcony_router::{Answer, Ask, Change, Effect, Restoring, SessionId};
use balcony_stanza::{IqType, Kind, MessageType, Stanza};
use balcony_xep::csi::ClientState;

use crate::world::{START, World, bare, config, content, jid, request, roster_set, wire, wires};

const JULIET: &str = "juliet@example.com";
const WAIT: Duration = Duration::from_secs(600);

fn chat(number: usize, size: usize) -> Stanza {
    let mut stanza = content(&format!("<body>{number}</body><x xmlns='{}'/>", "x".repeat(size)));
    stanza.head.kind = Kind::Message(MessageType::Chat);
    stanza.with_to(jid(JULIET))
}

fn closed(effects: &[Effect]) -> Vec<SessionId> {
    let closed = |effect: &Effect| match effect {
        Effect::Close { session, .. } => Some(*session),
        _ => None,
    };
    effects.iter().filter_map(closed).collect()
}

pub(crate) fn detach(world: &mut World, session: SessionId) {
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
        assert!(world.router.manage(session, WAIT, &mut Vec::new()));
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
        assert!(world.router.manage(phone, WAIT, &mut Vec::new()));
    }
    for phone in [phones[2], phones[0], phones[1]] {
        detach(&mut world, phone);
    }
    let mut effects = Vec::new();
    // For the one that is oldest nothing waits, so nothing would be won by its end.
    for number in 0..40 {
        let to = [0, 1][number % 2];
        effects.append(&mut world.send(romeo, chat(number, 500).with_to(jid(&names[to]))));
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
    assert!(world.router.manage(phone, WAIT, &mut Vec::new()));
    let ping = |id: &str| {
        request(IqType::Get, "<ping xmlns='urn:xmpp:ping'/>")
            .with_id(id)
            .with_to(jid("juliet@example.com/phone"))
    };
    world.send(desk, ping("one"));
    world.send(desk, ping("two"));
    let answer = Stanza::iq(IqType::Result).with_id("one").with_to(jid("juliet@example.com/desk"));
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
    friends_of(World::new())
}

fn friends_of(mut world: World) -> (World, SessionId, SessionId) {
    for (one, other) in [("romeo@example.net", JULIET), (JULIET, "romeo@example.net")] {
        world.befriend(one, other, Subscription::Both);
    }
    let romeo = world.available("romeo@example.net/street", 0);
    let phone = world.available("juliet@example.com/phone", 0);
    assert!(world.router.manage(phone, WAIT, &mut Vec::new()));
    (world, romeo, phone)
}

/// The server dies, and another one begins with what its store has.
pub(crate) fn crash(world: World) -> World {
    crash_of(&world)
}

/// What would come of that now.
fn crash_of(world: &World) -> World {
    let mut next = World::new();
    (next.store, next.now) = (world.store.clone(), world.now);
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
    assert!(world.send(romeo, typing.with_to(jid(JULIET))).is_empty());
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

/// The store does one thing after the other that it is asked, each of which is looked at.
fn serve_and_look(world: &mut World, mut effects: Vec<Effect>, look: impl Fn(&World)) {
    let mut next = 0;
    while next < effects.len() {
        if let Effect::Ask { ticket, ask } = effects[next].clone() {
            let answer = world.ask(ask);
            look(world);
            world.router.answer(world.now, ticket, answer, &mut effects);
        }
        next += 1;
    }
}

// [SM20]: a session that ends has its messages go elsewhere. They are stored there and deleted here in one step: whenever the server dies,
// or gives up waiting for its store, each is written once. The same goes for what a crash has left.
#[test]
fn what_goes_elsewhere_is_always_written_once() {
    let (mut world, romeo, phone) = friends();
    let desk = world.available("juliet@example.com/desk", 0);
    assert!(world.router.manage(desk, WAIT, &mut Vec::new()));
    for session in [phone, desk] {
        detach(&mut world, session);
    }
    world.send(romeo, chat(0, 1));
    world.send(romeo, chat(1, 1));
    world.send(romeo, chat(2, 1).with_to(jid("juliet@example.com/phone")));
    let is_once = |world: &World| {
        let mut all: Vec<_> = world.kept(JULIET).iter().filter_map(|stanza| number(&wire(stanza))).collect();
        all.extend(written(world));
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2]);
    };
    let mut left = crash_of(&world);
    world.now = world.now + WAIT;
    let mut effects = Vec::new();
    world.router.tick(world.now, &mut effects);
    serve_and_look(&mut world, effects, is_once);
    assert_eq!((written(&world), world.kept(JULIET).len()), (vec![], 3));
    // Somebody who does not take messages has the account loaded.
    left.at_once = false;
    let effects = left.bind(SessionId(77), JULIET, "hall");
    serve_and_look(&mut left, effects, is_once);
    assert_eq!((written(&left), left.kept(JULIET).len()), (vec![], 3));
}

// docs/guarantees.md: what was written for a session that ends, and waits for another one without a connection then, stays written, also
// if the store writes nothing for a while and goes on deleting.
#[test]
fn what_goes_from_queue_to_queue_stays_written() {
    let (mut world, romeo, phone) = friends();
    let desk = world.available("juliet@example.com/desk", 0);
    assert!(world.router.manage(desk, WAIT + WAIT, &mut Vec::new()));
    for session in [phone, desk] {
        detach(&mut world, session);
    }
    for number in 0..3 {
        world.send(romeo, chat(number, 1).with_to(jid("juliet@example.com/phone")));
    }
    assert_eq!(written(&world), [0, 1, 2]);
    world.now = world.now + WAIT;
    let mut effects = Vec::new();
    world.router.tick(world.now, &mut effects);
    assert_eq!(world.router.sessions(&bare(JULIET)).collect::<Vec<_>>(), [desk]);
    let mut next = 0;
    while next < effects.len() {
        if let Effect::Ask { ticket, ask } = effects[next].clone() {
            let answer = if writes(&ask) { Answer::Refused } else { world.ask(ask) };
            world.router.answer(world.now, ticket, answer, &mut effects);
            assert_eq!(written(&world), [0, 1, 2]);
        }
        next += 1;
    }
    // It is as good as any: it is deleted when the desk has got it, and comes once after a crash.
    let mut left = crash_of(&world);
    effects.clear();
    assert!(world.router.resume(world.now, desk, &bare(JULIET), 0, &mut effects));
    assert_eq!(numbers(&effects, desk), [0, 1, 2]);
    world.router.acknowledged(world.now, desk, wires(&effects, desk).len() as u32, &mut effects);
    world.serve(&mut effects);
    assert!(written(&world).is_empty());
    let hall = left.connect("juliet@example.com/hall");
    assert_eq!(numbers(&left.send(hall, crate::world::available(0)), hall), [0, 1, 2]);
    assert_eq!((written(&left), left.kept(JULIET).len()), (vec![], 0));
}

/// Whether the store is to have something that it has not.
fn writes(ask: &Ask) -> bool {
    let deletes = |change: &Change| matches!(change, Change::Document { edit, .. } if edit.content.is_none());
    matches!(ask, Ask::Save { changes, .. } if !changes.iter().all(deletes))
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

/// The store refuses all that it is asked, but for what it has to load, until so much time has passed.
fn refuse_for(world: &mut World, span: Duration, mut effects: Vec<Effect>) {
    let end = world.now + span;
    loop {
        for ticket in crate::world::tickets(&core::mem::take(&mut effects)) {
            world.router.answer(world.now, ticket, Answer::Refused, &mut effects);
        }
        if effects.iter().any(|effect| matches!(effect, Effect::Ask { .. })) {
            continue;
        }
        let Some(due) = world.router.deadline().filter(|due| due.at <= end) else { break };
        world.now = due.at;
        world.router.tick(world.now, &mut effects);
    }
    world.now = end;
}

// docs/guarantees.md: what a client has acknowledged comes no second time when the store can't delete it for a while, though nobody of the
// account is there any more: neither what waited for a session, nor what was stored. If it can't for long, it does.
#[test]
fn what_can_not_be_deleted_for_a_while_comes_once() {
    for (minutes, more) in [(5, 0), (15, 1)] {
        for is_stored in [false, true] {
            let (mut world, romeo, mut phone) = friends();
            let mut effects = Vec::new();
            if is_stored {
                world.unbind(phone);
                world.send(romeo, chat(0, 1));
                phone = world.connect("juliet@example.com/phone");
                assert!(world.router.manage(phone, WAIT, &mut Vec::new()));
                effects = world.send(phone, crate::world::available(0));
            } else {
                detach(&mut world, phone);
                world.send(romeo, chat(0, 1));
                assert!(world.router.resume(world.now, phone, &bare(JULIET), 0, &mut effects));
            }
            assert_eq!(numbers(&effects, phone), [0]);
            world.at_once = false;
            let sent = wires(&effects, phone).len() as u32;
            effects.clear();
            world.router.acknowledged(world.now, phone, sent, &mut effects);
            for session in [phone, romeo] {
                world.router.unbind(world.now, session, &mut effects);
                world.router.gone(world.now, session, &mut effects);
            }
            refuse_for(&mut world, Duration::from_secs(minutes * 60), effects);
            world.at_once = true;
            let desk = world.connect("juliet@example.com/desk");
            let effects = world.send(desk, crate::world::available(0));
            assert_eq!(numbers(&effects, desk).len(), more, "{minutes} {is_stored}");
            world.now = world.now + Duration::from_secs(60);
            world.tick();
            assert_eq!((written(&world), world.kept(JULIET).len()), (vec![], 0), "{minutes} {is_stored}");
        }
    }
}

// XEP-0198 §5, XEP-0352 §5.2: what is known of a session is so at the next server, with its age, of which the time between is a part; and it
// is as inactive as it was until its client is back.
#[test]
fn a_session_is_known_at_the_next_server() {
    let mut world = World::new();
    let phone = world.available("juliet@example.com/phone", 0);
    assert!(world.router.manage(phone, WAIT, &mut Vec::new()));
    crate::csi::says(&mut world, phone, ClientState::Inactive);
    world.now = world.now + Duration::from_secs(5);
    let bound = world.router.bound(world.now, phone).unwrap();
    assert_eq!((bound.age, bound.is_inactive, bound.until), (Duration::from_secs(5), true, None));
    detach(&mut world, phone);
    let until = world.router.bound(world.now, phone).unwrap().until;
    assert_eq!(until.map(|until| until + Duration::from_secs(1)), Some(world.now + WAIT));
    for (restarts, age) in [(1, 17), (2, 28)] {
        world = restart(world, &[phone], Duration::from_secs(11));
        let bound = world.router.bound(world.now, phone).unwrap();
        assert_eq!((bound.age, bound.is_inactive), (Duration::from_secs(age), false), "{restarts}");
        assert!(bound.until.is_some());
    }
    let mut effects = Vec::new();
    assert!(world.router.resume(world.now, phone, &bare(JULIET), 0, &mut effects));
    world.now = world.now + Duration::from_secs(1);
    let bound = world.router.bound(world.now, phone).unwrap();
    assert_eq!((bound.age, bound.until), (Duration::from_secs(29), None));
}

/// The server ends in good order, is down for so long, and another one begins with what its store has, and with what was kept of these
/// sessions, which have the same numbers there.
pub(crate) fn restart(world: World, sessions: &[SessionId], down: Duration) -> World {
    let (mut next, mut effects) = restored(world, sessions, down);
    next.serve(&mut effects);
    next
}

/// The same, and the store has not answered yet what is asked of it because of that.
fn restored(mut world: World, sessions: &[SessionId], down: Duration) -> (World, Vec<Effect>) {
    let mut effects = Vec::new();
    let saved: Vec<_> = sessions
        .iter()
        .map(|session| (*session, world.router.save(world.now, *session).expect("it waits")))
        .collect();
    sessions.iter().for_each(|session| world.router.let_go(*session));
    assert_eq!((world.router.queued(), world.router.counts().sessions), (0, 0));
    let mut next = World::new();
    (next.store, next.now) = (world.store, world.now + down);
    let mut restoring = Restoring::at(START + next.now.as_nanos() / 1_000_000);
    for (session, saved) in saved {
        let jid = next.router.restore(next.now, session, &saved, &mut restoring, &mut effects);
        assert!(jid.is_some());
        // Nobody has it twice.
        assert_eq!(next.router.restore(next.now, session, &saved, &mut restoring, &mut effects), None);
        let other = SessionId(session.0 + 10_000);
        assert_eq!(next.router.restore(next.now, other, &saved, &mut restoring, &mut effects), None);
        assert_eq!(next.router.restore(next.now, other, &saved[1..], &mut restoring, &mut effects), None);
    }
    (next, effects)
}

// XEP-0198 §5 [SM14], XEP-0280 [CR10]: a session goes on at the next process: what it has not got, in order, once; its presence, its carbons, the rest of its
// time.
#[test]
fn a_session_goes_on_at_the_next_process() {
    let (mut world, romeo, phone) = friends();
    let desk = world.available("juliet@example.com/desk", 0);
    assert!(world.router.manage(desk, WAIT, &mut Vec::new()));
    let enable = request(IqType::Set, "<enable xmlns='urn:xmpp:carbons:2'/>");
    world.send(phone, enable);
    world.send(romeo, chat(0, 1));
    let ping = request(IqType::Get, "<ping xmlns='urn:xmpp:ping'/>").with_to(jid("juliet@example.com/phone"));
    world.send(romeo, ping);
    for session in [phone, desk] {
        detach(&mut world, session);
    }
    world.send(romeo, chat(1, 1));
    assert_eq!(written(&world).len(), 2);
    world.unbind(romeo);
    let mut world = restart(world, &[phone, desk], Duration::from_secs(300));
    let romeo = world.connect("romeo@example.net/street");
    let shown = world.send(romeo, crate::world::available(0));
    let shown = wires(&shown, romeo);
    assert_eq!(
        shown.iter().filter(|wire| wire.contains("from='juliet@example.com/phone'")).count(),
        1,
        "{shown:?}"
    );
    // Copies are for it alone: they are kept with the session, not for whoever comes after a crash.
    let to_desk = chat(2, 1).with_to(jid("juliet@example.com/desk"));
    world.send(romeo, to_desk);
    let mut effects = Vec::new();
    // It has got the presence of the desk, the answer to its request, and the first message.
    assert!(!world.router.resume(world.now, phone, &bare("romeo@example.net"), 1, &mut effects));
    assert!(world.router.resume(world.now, phone, &bare(JULIET), 3, &mut effects));
    assert!(
        matches!(&effects[0], Effect::Resumed { session, received: 2, .. } if *session == phone),
        "{effects:?}"
    );
    let got = wires(&effects, phone);
    assert_eq!(numbers(&effects, phone), [1, 2], "{got:?}");
    assert!(got.iter().any(|wire| wire.contains("urn:xmpp:ping")), "{got:?}");
    let late = got.iter().find(|wire| number(wire) == Some(1)).unwrap();
    assert!(late.contains("stamp='2002-09-10T23:08:27") && late.matches("<delay").count() == 1, "{late}");
    world.serve(&mut effects);
    // One of both has got what was for both, so nobody else gets it when the other does not come back; and half of its time was left.
    world.router.acknowledged(world.now, phone, 10, &mut effects);
    world.router.acknowledged(world.now, phone, got.len() as u32, &mut effects);
    world.serve(&mut effects);
    assert_eq!(world.router.deadline().unwrap().at, world.now + Duration::from_secs(299));
    world.now = world.now + Duration::from_secs(299);
    let gone = world.tick();
    assert!(
        gone.contains(&format!("{}: presence unavailable from juliet@example.com/desk", world.name(romeo))),
        "{gone:?}"
    );
    assert_eq!((world.kept(JULIET).len(), written(&world)), (0, vec![]));
}

// The same: a server that was down for longer than its sessions wait gives them another minute; a crash after they were restored, and what
// was kept of them deleted, loses no message.
#[test]
fn a_restored_session_has_a_minute_and_outlives_a_crash() {
    let (mut world, romeo, phone) = friends();
    detach(&mut world, phone);
    world.send(romeo, chat(0, 1));
    world.unbind(romeo);
    let world = restart(world, &[phone], Duration::from_secs(86_400));
    assert_eq!(world.router.deadline().unwrap().at, world.now + Duration::from_secs(60));
    let mut after = crash(world);
    let desk = after.connect("juliet@example.com/desk");
    assert_eq!(numbers(&after.send(desk, crate::world::available(0)), desk), [0]);
}

// Stored messages that were on their way to a session are so still: they are deleted when it has got them, and come no second time.
#[test]
fn stored_messages_are_on_their_way_still() {
    for got in [0, 1] {
        let (mut world, romeo, phone) = friends();
        world.unbind(phone);
        world.send(romeo, chat(0, 1));
        world.send(romeo, chat(1, 1));
        let phone = world.connect("juliet@example.com/phone");
        assert!(world.router.manage(phone, WAIT, &mut Vec::new()));
        let effects = world.send(phone, crate::world::available(0));
        assert_eq!(numbers(&effects, phone), [0, 1]);
        let before = wires(&effects, phone).iter().position(|wire| number(wire) == Some(0)).unwrap() as u32;
        detach(&mut world, phone);
        world.send(romeo, chat(2, 1));
        world.unbind(romeo);
        let mut world = restart(world, &[phone], Duration::from_secs(1));
        let mut effects = Vec::new();
        assert!(world.router.resume(world.now, phone, &bare(JULIET), before + got, &mut effects));
        let sent = wires(&effects, phone).len() as u32;
        let mut numbers = numbers(&effects, phone);
        world.serve(&mut effects);
        effects.clear();
        world.router.acknowledged(world.now, phone, sent, &mut effects);
        world.serve(&mut effects);
        numbers.extend(self::numbers(&effects, phone));
        assert_eq!(numbers, (got as usize..3).collect::<Vec<_>>());
        let more = wires(&effects, phone).len() as u32;
        effects.clear();
        world.router.acknowledged(world.now, phone, more, &mut effects);
        world.serve(&mut effects);
        assert_eq!((world.kept(JULIET).len(), written(&world)), (0, vec![]));
    }
}

// XEP-0198 §5: a client says when it comes back that it has got all of the stored messages. They are deleted at once, also if it gets nothing
// more and its session ends without another word; and later messages don't wait for that.
#[test]
fn stored_messages_are_deleted_when_a_client_is_back_that_has_them() {
    let (mut world, romeo, phone) = friends();
    world.unbind(phone);
    world.send(romeo, chat(0, 1));
    let phone = world.connect("juliet@example.com/phone");
    assert!(world.router.manage(phone, WAIT, &mut Vec::new()));
    let effects = world.send(phone, crate::world::available(0));
    assert_eq!(numbers(&effects, phone), [0]);
    let sent = u32::try_from(wires(&effects, phone).len()).unwrap();
    detach(&mut world, phone);
    let mut effects = Vec::new();
    assert!(world.router.resume(world.now, phone, &bare(JULIET), sent, &mut effects));
    world.serve(&mut effects);
    assert!(world.kept(JULIET).is_empty());
    detach(&mut world, phone);
    world.now = world.now + WAIT;
    world.tick();
    let desk = world.connect("juliet@example.com/desk");
    let mut effects = world.send(desk, crate::world::available(0));
    effects.extend(world.send(romeo, chat(1, 1)));
    assert_eq!(numbers(&effects, desk), [1]);
}

// RFC 6121 §8.5.2.1.1, docs/guarantees.md: a phone loses its connection while it gets stored messages in parts. If somebody else is there
// who takes messages, before or after that, they and what has come since go there, in order; otherwise they wait for the phone.
#[test]
fn stored_messages_do_not_wait_for_a_phone_that_is_away() {
    for (others, desk_is_first) in [(1, false), (1, true), (0, false)] {
        let mut small = config();
        small.limits.output = 8_000;
        let (mut world, romeo, phone) = friends_of(World::with(small));
        world.unbind(phone);
        (0..12).for_each(|number| drop(world.send(romeo, chat(number, 500))));
        let phone = world.connect("juliet@example.com/phone");
        assert!(world.router.manage(phone, WAIT, &mut Vec::new()));
        let part = numbers(&world.send(phone, crate::world::available(0)), phone);
        assert!((1..12).contains(&part.len()), "{part:?}");
        let desk = world.connect("juliet@example.com/desk");
        assert!(world.router.manage(desk, WAIT, &mut Vec::new()));
        let mut effects = Vec::new();
        if others > 0 && desk_is_first {
            effects.extend(world.send(desk, crate::world::available(0)));
        }
        let mut lost = Vec::new();
        assert!(world.router.detach(world.now, phone, &mut lost));
        world.serve(&mut lost);
        effects.append(&mut lost);
        if others > 0 && !desk_is_first {
            effects.extend(world.send(desk, crate::world::available(0)));
        }
        assert!(numbers(&effects, desk).is_empty(), "the phone may be back in a moment");
        world.now = world.now + Duration::from_secs(31);
        let mut due = Vec::new();
        world.router.tick(world.now, &mut due);
        world.serve(&mut due);
        effects.append(&mut due);
        effects.extend(world.send(romeo, chat(12, 500)));
        // The desk gets each part when it has acknowledged the one before; and all that it has got is counted, the end of the phone's presence,
        // too.
        let mut acknowledged = 0;
        while wires(&effects, desk).len() > acknowledged {
            let sent = wires(&effects, desk).len();
            let mut more = Vec::new();
            world.router.acknowledged(
                world.now,
                desk,
                u32::try_from(sent - acknowledged).unwrap(),
                &mut more,
            );
            world.serve(&mut more);
            acknowledged = sent;
            effects.append(&mut more);
        }
        let expected = if others > 0 { (0..13).collect::<Vec<_>>() } else { vec![] };
        let is_there = world.router.jid(phone).is_some();
        assert_eq!((numbers(&effects, desk), is_there), (expected, others == 0), "{desk_is_first}");
        if others > 0 {
            assert_eq!((world.router.queued(), world.kept(JULIET).len()), (0, 0));
        }
    }
}

// The same after a restart, where the account is not known at first: the phone begins anew before it is. What the phone had got is deleted,
// the rest comes to whoever is there, and so does all that comes later.
#[test]
fn stored_messages_outlive_a_session_that_ends_before_its_account_is_known() {
    let mut small = config();
    small.limits.output = 8_000;
    let (mut world, romeo, phone) = friends_of(World::with(small));
    world.unbind(phone);
    (0..12).for_each(|number| drop(world.send(romeo, chat(number, 500))));
    let phone = world.connect("juliet@example.com/phone");
    assert!(world.router.manage(phone, WAIT, &mut Vec::new()));
    let effects = world.send(phone, crate::world::available(0));
    let first = wires(&effects, phone).iter().position(|wire| number(wire) == Some(0)).unwrap();
    let mut effects = Vec::new();
    world.router.acknowledged(world.now, phone, u32::try_from(first + 1).unwrap(), &mut effects);
    detach(&mut world, phone);
    world.unbind(romeo);
    let (mut world, mut effects) = restored(world, &[phone], Duration::from_secs(1));
    let again = SessionId(1_000);
    world.router.bind(world.now, again, &bare(JULIET), Some("phone"), &mut effects).unwrap();
    world.serve(&mut effects);
    let mut got = numbers(&world.send(again, crate::world::available(0)), again);
    let romeo = world.available("romeo@example.net/street", 0);
    got.extend(numbers(&world.send(romeo, chat(12, 1)), again));
    assert_eq!(got, (1..13).collect::<Vec<_>>());
    assert_eq!(world.kept(JULIET).len(), 0);
}

// After a restart it is known that all stored messages are on their way to the phone: what comes for somebody else goes there at once.
#[test]
fn what_is_on_its_way_after_a_restart_holds_up_nobody() {
    let (mut world, romeo, phone) = friends();
    world.unbind(phone);
    world.send(romeo, chat(0, 1));
    world.send(romeo, chat(1, 1));
    let phone = world.connect("juliet@example.com/phone");
    assert!(world.router.manage(phone, WAIT, &mut Vec::new()));
    world.send(phone, crate::world::available(0));
    detach(&mut world, phone);
    world.unbind(romeo);
    let mut world = restart(world, &[phone], Duration::from_secs(1));
    let desk = world.available("juliet@example.com/desk", 0);
    let romeo = world.available("romeo@example.net/street", 0);
    assert_eq!(numbers(&world.send(romeo, chat(2, 1)), desk), [2]);
    assert!(world.router.jid(phone).is_some());
}

// Sessions of many accounts end at one moment: that needs no more stack than the end of one.
#[test]
fn many_sessions_end_at_once() {
    let mut world = World::new();
    let names: Vec<String> = (0..3_000).map(|number| format!("user{number}@example.com")).collect();
    let mut writers = Vec::new();
    for (number, name) in names.iter().enumerate() {
        // Nobody may write to more strangers than a thousand at once.
        if number % 500 == 0 {
            writers.push(world.connect(&format!("writer{number}@example.net/street")));
        }
        let phone = world.available(&format!("{name}/phone"), 0);
        assert!(world.router.manage(phone, WAIT, &mut Vec::new()));
        let mut effects = Vec::new();
        assert!(world.router.detach(world.now, phone, &mut effects));
        world.send(*writers.last().unwrap(), chat(0, 1).with_to(jid(name)));
    }
    world.now = world.now + WAIT;
    world.tick();
    assert!(names.iter().all(|name| world.kept(name).len() == 1));
    assert_eq!((world.router.counts().sessions, world.router.queued()), (writers.len(), 0));
}

// The account is another by now, or there is none: the session ends, and nobody gets what was for it.
#[test]
fn the_successor_of_an_account_gets_nothing() {
    for is_made_again in [false, true] {
        let (mut world, romeo, phone) = friends();
        detach(&mut world, phone);
        world.send(romeo, chat(0, 1));
        world.unbind(romeo);
        world.store.remove(&bare(JULIET));
        if is_made_again {
            world.store.create(bare(JULIET));
        }
        let mut world = restart(world, &[phone], Duration::from_secs(1));
        assert_eq!((world.router.counts().sessions, world.router.queued()), (0, 0));
        if is_made_again {
            let desk = world.connect("juliet@example.com/desk");
            let effects = world.send(desk, crate::world::available(0));
            assert!(numbers(&effects, desk).is_empty(), "{effects:?}");
        }
    }
}

// The same if the session ends before its account is here: another one is bound in its place, or the store is in trouble. If it is the
// account that it was, it gets what was for the session, once.
#[test]
fn the_successor_of_an_account_gets_nothing_late() {
    for (is_made_again, is_in_trouble) in [(false, false), (false, true), (true, false), (true, true)] {
        let (mut world, romeo, phone) = friends();
        world.at_once = false;
        let mut effects = Vec::new();
        assert!(world.router.detach(world.now, phone, &mut effects));
        // The store writes nothing of what waits for the phone: only the phone has it.
        world.send(romeo, chat(0, 1));
        refuse_for(&mut world, Duration::from_secs(1), effects);
        world.unbound(romeo);
        if is_made_again {
            world.store.remove(&bare(JULIET));
            world.store.create(bare(JULIET));
        }
        let (mut world, mut effects) = restored(world, &[phone], Duration::from_secs(1));
        let now = world.now;
        if is_in_trouble {
            for ticket in crate::world::tickets(&core::mem::take(&mut effects)) {
                world.router.answer(now, ticket, Answer::Refused, &mut effects);
            }
            assert_eq!(closed(&effects), [phone]);
        } else {
            world.router.bind(now, SessionId(1_000), &bare(JULIET), Some("phone"), &mut effects).unwrap();
            assert_eq!(closed(&effects), [phone]);
        }
        world.serve(&mut effects);
        let desk = world.connect("juliet@example.com/desk");
        let effects = world.send(desk, crate::world::available(0));
        let expected: &[usize] = if is_made_again { &[] } else { &[0] };
        assert_eq!(numbers(&effects, desk), expected, "{is_made_again} {is_in_trouble}");
        assert_eq!((written(&world), world.kept(JULIET).len(), world.router.queued()), (vec![], 0, 0));
    }
}

// A client that is back has not said yet what it has got when its account can't be loaded anew: what was written for it comes to whoever is
// there next, once, though its own connection is still being closed.
#[test]
fn what_is_on_its_way_to_a_session_that_is_over_is_nobody_elses() {
    let (mut world, romeo, phone) = friends();
    detach(&mut world, phone);
    world.send(romeo, chat(0, 1));
    let mut effects = Vec::new();
    assert!(world.router.resume(world.now, phone, &bare(JULIET), 0, &mut effects));
    assert_eq!((numbers(&effects, phone), written(&world)), (vec![0], vec![0]));
    // The store does not make a change, so the account is to be loaded anew, and is not.
    world.at_once = false;
    let change = roster_set("<item jid='nurse@example.org'/>");
    let mut asked = crate::world::tickets(&world.send(phone, change));
    let mut effects = Vec::new();
    for answer in [Answer::Refused, Answer::Refused] {
        assert_eq!(asked.len(), 1);
        effects.clear();
        world.router.answer(world.now, asked[0], answer, &mut effects);
        asked = crate::world::tickets(&effects);
    }
    assert_eq!(closed(&effects), [phone]);
    world.at_once = true;
    let desk = world.connect("juliet@example.com/desk");
    let mut got = numbers(&world.send(desk, crate::world::available(0)), desk);
    effects.clear();
    world.router.gone(world.now, phone, &mut effects);
    world.serve(&mut effects);
    got.extend(numbers(&effects, desk));
    assert_eq!((got, written(&world), world.kept(JULIET).len()), (vec![0], vec![], 0));
}

// docs/guarantees.md: what still comes from other servers while the sessions are being kept is stored, and what waits for the sessions
// comes with them, once.
#[test]
fn what_comes_while_sessions_are_kept() {
    let (mut world, romeo, phone) = friends();
    detach(&mut world, phone);
    world.send(romeo, chat(0, 1));
    world.unbound(romeo);
    let saved = world.router.save(world.now, phone).expect("it waits");
    world.router.let_go(phone);
    // With the first the account has left memory again.
    for number in [1, 2] {
        world.received("nurse@example.org/ward", chat(number, 1));
    }
    assert_eq!((written(&world), world.kept(JULIET).len()), (vec![0], 2));
    let mut next = World::new();
    (next.store, next.now) = (world.store, world.now);
    let mut restoring = Restoring::at(START + next.now.as_nanos() / 1_000_000);
    let mut effects = Vec::new();
    assert!(next.router.restore(next.now, phone, &saved, &mut restoring, &mut effects).is_some());
    next.serve(&mut effects);
    let mut effects = Vec::new();
    assert!(next.router.resume(next.now, phone, &bare(JULIET), 0, &mut effects));
    next.serve(&mut effects);
    assert_eq!(numbers(&effects, phone), [0, 1, 2]);
}
