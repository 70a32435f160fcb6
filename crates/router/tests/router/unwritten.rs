//! Messages for sessions without a connection (XEP-0198) that the store could not write: it is tried again, and each is in one document.

use core::mem;
use core::time::Duration;
use std::collections::VecDeque;

use balcony_machine::{Instant, Ticket};
use balcony_roster::Subscription;
use balcony_router::{Answer, Ask, Change, Config, Effect, Restoring, SessionId};
use balcony_stanza::{IqType, Kind, MessageType, PresenceType, Stanza};

use crate::world::{START, World, available, bare, config, content, jid, request, subscription};

const JULIET: &str = "juliet@example.com";
const ROMEO: &str = "romeo@example.com";

/// Juliet's session waits for its client, and Romeo is there.
fn worlds() -> (World, SessionId, SessionId) {
    worlds_of(config())
}

fn worlds_of(config: Config) -> (World, SessionId, SessionId) {
    let mut world = World::with(config);
    for (one, other) in [(ROMEO, JULIET), (JULIET, ROMEO)] {
        world.store.create(bare(one));
        world.befriend(one, other, Subscription::Both);
    }
    world.befriend(JULIET, "mercutio@verona.lit", Subscription::Both);
    let romeo = world.available("romeo@example.com/street", 0);
    let juliet = world.available("juliet@example.com/phone", 0);
    assert!(world.router.manage(juliet, Duration::from_secs(3_600), &mut Vec::new()));
    detach(&mut world, juliet);
    (world, juliet, romeo)
}

fn detach(world: &mut World, session: SessionId) {
    let mut effects = vec![];
    assert!(world.router.detach(world.now, session, &mut effects));
    world.serve(&mut effects);
}

fn chat(number: usize) -> Stanza {
    let mut stanza = content("<body>hail</body>");
    stanza.head.kind = Kind::Message(MessageType::Chat);
    stanza.with_to(jid(JULIET)).with_id(number.to_string())
}

/// The ids of the messages that are written.
fn written(world: &World) -> Vec<usize> {
    let juliet = bare(JULIET);
    let documents = world.store.documents(&juliet, "undelivered");
    documents
        .map(|(_, content)| Stanza::parse(&content.bytes).unwrap().head.id.unwrap().parse().unwrap())
        .collect()
}

/// How many messages for a session are in memory only.
fn in_memory_only(world: &World, session: SessionId) -> usize {
    world.router.in_memory_only(session).count()
}

/// So many seconds pass. How many documents the store was asked to write, each time that it was asked.
fn wait(world: &mut World, seconds: u64) -> Vec<usize> {
    let (end, mut asked) = (world.now + Duration::from_secs(seconds), vec![]);
    while let Some(due) = world.router.deadline().filter(|due| due.at <= end) {
        world.now = world.now.max(due.at);
        let (mut effects, mut next) = (vec![], 0);
        world.router.tick(world.now, &mut effects);
        while next < effects.len() {
            if let Effect::Ask { ticket, ask } = effects[next].clone() {
                if let Ask::Save { changes, .. } = &ask {
                    assert!(changes.iter().all(|change| matches!(change, Change::Document { .. })));
                    asked.push(changes.len());
                }
                let answer = world.ask(ask);
                world.router.answer(world.now, ticket, answer, &mut effects);
            }
            next += 1;
        }
    }
    world.now = end;
    asked
}

fn resume(world: &mut World, session: SessionId, count: u32) {
    let mut effects = vec![];
    assert!(world.router.resume(world.now, session, &bare(JULIET), count, &mut effects));
    world.serve(&mut effects);
}

/// The session gets all that is in its queue. How many that is.
fn get_all(world: &mut World, session: SessionId) -> usize {
    take(world, session).len()
}

/// The same; their ids.
fn take(world: &mut World, session: SessionId) -> Vec<usize> {
    let mut effects = vec![];
    assert!(world.router.resume(world.now, session, &bare(JULIET), 0, &mut effects));
    world.serve(&mut effects);
    let got = effects.iter().filter_map(|effect| match effect {
        Effect::Deliver { session: to, stanza } if *to == session => stanza.head.id.as_deref(),
        _ => None,
    });
    let got: Vec<usize> = got.map(|id| id.parse().unwrap()).collect();
    effects.clear();
    world.router.acknowledged(world.now, session, u32::try_from(got.len()).unwrap(), &mut effects);
    world.serve(&mut effects);
    got
}

// docs/guarantees.md: a store that refuses for ever is asked once each half minute for some of an account's messages, however many wait; when it
// works again all are written, and nothing is left of them in the end.
#[test]
fn a_store_that_refuses_is_asked_each_half_minute() {
    let (mut world, juliet, romeo) = worlds();
    world.refuses = true;
    for number in 0..300 {
        let effects = world.send(romeo, chat(number));
        assert!(world.tell(&effects).is_empty(), "the sender hears nothing of it");
        world.now = world.now + Duration::from_millis(10);
    }
    assert_eq!((written(&world).len(), in_memory_only(&world, juliet)), (0, 300));
    let most = config().limits.storing;
    // It may be one of them that is refused for itself: fewer are tried each time.
    assert_eq!(wait(&mut world, 305), [most, 64, 32, 16, 8, 4, 2, 1, 1, 1]);
    // Others come meanwhile.
    for number in 300..310 {
        world.send(romeo, chat(number));
    }
    assert_eq!(wait(&mut world, 300), [1; 10]);
    world.refuses = false;
    let asked = wait(&mut world, 30);
    assert_eq!(asked.iter().sum::<usize>(), 310);
    assert!(asked.len() < 50 && asked.iter().all(|count| *count <= most), "{asked:?}");
    assert_eq!(written(&world), (0..310).collect::<Vec<_>>());
    assert_eq!(in_memory_only(&world, juliet), 0);
    assert!(wait(&mut world, 300).is_empty());
    while get_all(&mut world, juliet) > 0 {
        detach(&mut world, juliet);
    }
    assert!(written(&world).is_empty());
}

// docs/guarantees.md: what the store refuses for itself is tried again each half minute, alone in the end, and keeps back for some minutes at most
// what waits with it. Its session gets all of it once, in order.
#[test]
fn what_is_always_refused_keeps_nothing_else_back() {
    let ones = [(1, 0), (2, 1), (128, 0), (128, 77), (128, 127), (300, 50), (300, 250)];
    let several = [(40, vec![0, 7, 8, 39]), (300, (0..300).step_by(50).collect())];
    let ones = ones.map(|(count, one)| (count, vec![one], 300));
    for (count, never, seconds) in ones.into_iter().chain(several.map(|(count, never)| (count, never, 2_700)))
    {
        let (mut world, juliet, romeo) = worlds();
        resume(&mut world, juliet, 0);
        (0..count).for_each(|number| drop(world.send(romeo, chat(number))));
        world.never_takes = never.iter().map(|number| format!("id='{number}'")).collect();
        detach(&mut world, juliet);
        assert!(written(&world).is_empty());
        wait(&mut world, seconds);
        let taken: Vec<_> = (0..count).filter(|number| !never.contains(number)).collect();
        assert_eq!(written(&world), taken, "{count} {never:?}");
        assert_eq!(in_memory_only(&world, juliet), never.len());
        let least = Duration::from_secs(30);
        let is_rare = |pair: &[Instant]| pair[1].saturating_since(pair[0]) >= least;
        assert!(world.refusals.windows(2).all(is_rare), "{:?}", world.refusals);
        // What comes now does not wait for those either.
        world.send(romeo, chat(count));
        assert_eq!(written(&world).last(), Some(&count));
        let before = world.refusals.len();
        wait(&mut world, 300);
        assert_eq!(world.refusals.len(), before + 10);
        let mut got = vec![];
        while let ids = take(&mut world, juliet)
            && !ids.is_empty()
        {
            got.extend(ids);
            detach(&mut world, juliet);
        }
        assert_eq!(got, (0..=count).collect::<Vec<_>>());
        assert!(written(&world).is_empty());
        wait(&mut world, 300);
        assert_eq!(in_memory_only(&world, juliet), 0);
    }
}

// A client that is there gets its messages from the connection: they are written when it is lost again, if they are still in the queue.
#[test]
fn who_has_a_connection_needs_no_document() {
    let (mut world, juliet, romeo) = worlds();
    world.refuses = true;
    (0..3).for_each(|number| drop(world.send(romeo, chat(number))));
    resume(&mut world, juliet, 0);
    world.refuses = false;
    assert!(wait(&mut world, 100).is_empty());
    let mut effects = vec![];
    world.router.acknowledged(world.now, juliet, 1, &mut effects);
    world.serve(&mut effects);
    detach(&mut world, juliet);
    assert_eq!(wait(&mut world, 30), [2]);
    assert_eq!(written(&world), [1, 2]);
    get_all(&mut world, juliet);
    assert!(written(&world).is_empty());
}

// docs/guarantees.md: an error that waits says that a message has not arrived, and nothing else does: it counts as one that is lost with the session.
#[test]
fn an_error_about_a_message_is_in_memory_only() {
    let (mut world, juliet, romeo) = worlds();
    let error = content(
        "<error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>",
    );
    for kind in
        [Kind::Message(MessageType::Error), Kind::Message(MessageType::Headline), Kind::Iq(IqType::Error)]
    {
        let mut stanza = error.clone().with_to(jid("juliet@example.com/phone")).with_id("1");
        stanza.head.kind = kind;
        world.send(romeo, stanza);
    }
    assert_eq!((written(&world).len(), in_memory_only(&world, juliet)), (0, 1));
    get_all(&mut world, juliet);
    assert_eq!(in_memory_only(&world, juliet), 0);
}

// A store that has written a message too late has it once when it is written again, and not at all when the session has got it.
#[test]
fn what_is_written_late_is_the_same_document() {
    for is_late in [true, false] {
        let (mut world, juliet, romeo) = worlds();
        world.at_once = false;
        let effects = world.send(romeo, chat(7));
        let Some(Effect::Ask { ticket, ask }) =
            effects.into_iter().find(|effect| matches!(effect, Effect::Ask { .. }))
        else {
            panic!("it is not written")
        };
        // It expires, and then it is written, of which the router may hear.
        world.now = world.now + Duration::from_secs(30);
        let mut effects = vec![];
        world.router.tick(world.now, &mut effects);
        assert!(!effects.iter().any(|effect| matches!(effect, Effect::Ask { .. })));
        assert_eq!(in_memory_only(&world, juliet), 1);
        if is_late {
            assert_eq!(world.ask(ask), Answer::Saved);
            world.router.answer(world.now, ticket, Answer::Saved, &mut effects);
        }
        world.at_once = true;
        assert_eq!(wait(&mut world, 30), [1]);
        assert_eq!((written(&world), in_memory_only(&world, juliet)), (vec![7], 0));
        assert_eq!(get_all(&mut world, juliet), 1);
        assert!(written(&world).is_empty());
    }
}

// A session that goes on at another server has what waits for it on disk there, though the server before could not write it.
#[test]
fn what_was_not_written_before_a_restart_is_written_after_it() {
    let (mut world, juliet, romeo) = worlds();
    world.send(romeo, chat(0));
    world.refuses = true;
    (1..3).for_each(|number| drop(world.send(romeo, chat(number))));
    let saved = world.router.save(world.now, juliet).unwrap();
    let mut other = World::with(config());
    other.store = mem::take(&mut world.store);
    let mut effects = vec![];
    let mut restoring = Restoring::at(START);
    assert!(other.router.restore(other.now, juliet, &saved, &mut restoring, &mut effects).is_some());
    other.serve(&mut effects);
    assert_eq!(written(&other), [0, 1, 2]);
    assert_eq!(get_all(&mut other, juliet), 3);
    assert!(written(&other).is_empty());
}

// What has gone from one session without a connection to another is written for that one.
#[test]
fn what_goes_to_another_session_is_written_there() {
    let (mut world, juliet, romeo) = worlds();
    world.refuses = true;
    world.send(romeo, chat(0).with_to(jid("juliet@example.com/phone")));
    let desk = world.connect("juliet@example.com/desk");
    world.send(desk, available(0));
    assert!(world.router.manage(desk, Duration::from_secs(3_600), &mut Vec::new()));
    detach(&mut world, desk);
    world.unbound(juliet);
    assert_eq!(in_memory_only(&world, desk), 1);
    world.refuses = false;
    wait(&mut world, 30);
    assert_eq!(written(&world), [0]);
    get_all(&mut world, desk);
    assert!(written(&world).is_empty());
}

// It is on its way there at the moment when it is tried again: then it is written when it is there.
#[test]
fn what_is_on_its_way_to_another_session_is_written_there() {
    let (mut world, phone, romeo) = worlds();
    world.refuses = true;
    resume(&mut world, phone, 0);
    let desk = world.available("juliet@example.com/desk", 0);
    for (session, seconds) in [(phone, 60), (desk, 3_600)] {
        assert!(world.router.manage(session, Duration::from_secs(seconds), &mut Vec::new()));
        detach(&mut world, session);
    }
    world.send(romeo, chat(0).with_to(jid("juliet@example.com/phone")));
    wait(&mut world, 59);
    world.refuses = false;
    wait(&mut world, 1);
    let mut effects = vec![];
    world.router.gone(world.now, phone, &mut effects);
    world.serve(&mut effects);
    assert_eq!((written(&world), in_memory_only(&world, desk)), (vec![0], 0));
    get_all(&mut world, desk);
    assert!(written(&world).is_empty());
}

/// Answers what is asked, in order, until nothing is: the store has nothing of juliet's done from when her roster is to be changed on, but for two messages that
/// are stored before she can't be loaded. What comes of it otherwise.
fn answer_all(world: &mut World, asked: &mut VecDeque<(Ticket, Ask)>, effects: Vec<Effect>) -> Vec<Effect> {
    let mut told = vec![];
    let mut sort = |effects: Vec<Effect>, asked: &mut VecDeque<(Ticket, Ask)>| {
        for effect in effects {
            match effect {
                Effect::Ask { ticket, ask } => asked.push_back((ticket, ask)),
                other => told.push(other),
            }
        }
    };
    sort(effects, asked);
    let mut is_over = false;
    while let Some((ticket, ask)) = asked.pop_front() {
        let is_roster =
            matches!(&ask, Ask::Save { changes, .. } if matches!(changes[..], [Change::Roster { .. }, ..]));
        let is_load = matches!(ask, Ask::Load { .. });
        let is_juliets = ask.account().as_str() == JULIET;
        is_over |= is_juliets && is_load;
        let answer = if is_juliets && (is_roster || is_over) { Answer::Refused } else { world.ask(ask) };
        sort(world.answer(ticket, answer), asked);
    }
    told
}

fn errors_to(effects: &[Effect], to: SessionId) -> Vec<String> {
    let id = |effect: &Effect| match effect {
        Effect::Deliver { session, stanza } if *session == to && stanza.head.kind.is_error() => {
            stanza.head.id.as_deref().map(String::from)
        }
        _ => None,
    };
    effects.iter().filter_map(id).collect()
}

// docs/guarantees.md: what is written comes to whoever comes next, and so its sender does not hear that it has failed: here of an account that fails while
// what a session has not got waits to be stored.
#[test]
fn what_is_still_written_has_not_failed() {
    let mut config = config();
    config.limits.storing = 1;
    let (mut world, juliet, romeo) = worlds_of(config);
    (0..6).for_each(|number| drop(world.send(romeo, chat(number))));
    assert_eq!(written(&world).len(), 6);
    let tybalt = world.connect("tybalt@example.com/hall");
    world.at_once = false;
    let (mut effects, mut asked) = (vec![], VecDeque::new());
    world.router.unbind(world.now, juliet, &mut effects);
    world.router.gone(world.now, juliet, &mut effects);
    let subscribe = subscription(PresenceType::Subscribe, JULIET);
    effects.extend(world.brings(tybalt, subscribe));
    world.take_in(&mut effects);
    let told = answer_all(&mut world, &mut asked, effects);
    let failed = errors_to(&told, romeo);
    world.at_once = true;
    // She comes again, and gets what is there.
    let again = world.connect("juliet@example.com/desk");
    let effects = world.send(again, available(0));
    let is_to = |effect: &&Effect| matches!(effect, Effect::Deliver { session, stanza } if *session == again && stanza.head.from == Some(jid("romeo@example.com/street")) && matches!(stanza.head.kind, Kind::Message(_)));
    let got: Vec<String> = effects
        .iter()
        .filter(is_to)
        .map(|effect| match effect {
            Effect::Deliver { stanza, .. } => stanza.head.id.as_deref().unwrap().into(),
            _ => unreachable!(),
        })
        .collect();
    let both: Vec<_> = got.iter().filter(|id| failed.contains(id)).collect();
    assert_eq!(got, ["0", "1", "2", "3", "4", "5"]);
    assert!(both.is_empty(), "got {got:?}, failed {failed:?}");
}

// docs/guarantees.md: when an account is removed what waits for it comes back to its contacts, also if it was acknowledged. So does what waits for a session
// of it, once, whether or not that has a connection, which may be gone only after there is another account of this name. Strangers hear nothing of it, unless
// they are told elsewhere, too; nor does the user.
#[test]
fn what_waits_for_a_session_comes_back_when_its_account_is_removed() {
    let tybalt = "tybalt@example.com/hall";
    let own = "juliet@example.com/desk";
    let abroad = "mercutio@verona.lit/square";
    let all = [false, true].into_iter().flat_map(|first| [(first, false), (first, true)]);
    for (has_connection, tells_strangers) in all {
        let mut config = config();
        config.tell_strangers = tells_strangers;
        let (mut world, juliet, romeo) = worlds_of(config);
        let desk = world.connect(own);
        let tybalt = world.connect(tybalt);
        if has_connection {
            resume(&mut world, juliet, 0);
        }
        world.send(romeo, chat(0));
        world.send(tybalt, chat(1));
        world.received(abroad, chat(2));
        // She sends something to herself, and goes with that.
        world.send(desk, chat(3).with_to(jid("juliet@example.com/phone")));
        // Its sender hears of no such message.
        let mut headline = chat(4).with_to(jid("juliet@example.com/phone"));
        headline.head.kind = Kind::Message(MessageType::Headline);
        world.send(romeo, headline);
        let mut effects = world.removed(JULIET);
        // Of the same name, and with the same resource.
        world.store.create(bare(JULIET));
        let next = world.available(own, 0);
        world.router.gone(world.now, juliet, &mut effects);
        world.router.gone(world.now, desk, &mut effects);
        world.serve(&mut effects);
        let case = format!("{has_connection} {tells_strangers}");
        assert_eq!(errors_to(&effects, romeo), ["0"], "{case}");
        assert_eq!(errors_to(&effects, tybalt), vec!["1"; usize::from(tells_strangers)], "{case}");
        let is_abroad = |effect: &&Effect| matches!(effect, Effect::Remote { stanza, .. } if stanza.head.kind.is_error() && stanza.head.id.as_deref() == Some("2"));
        assert_eq!(effects.iter().filter(is_abroad).count(), 1, "{case}");
        let is_next = |effect: &Effect| matches!(effect, Effect::Deliver { session, stanza } if *session == next && stanza.head.kind.is_error());
        assert!(tells_strangers || !effects.iter().any(is_next), "{case}");
    }
}

// docs/guarantees.md: the same of a message of which another session was to get a copy (XEP-0280): its sender hears once that nobody has got it.
#[test]
fn a_message_that_waits_for_several_sessions_comes_back_once() {
    let (mut world, phone, romeo) = worlds();
    let desk = world.available("juliet@example.com/desk", -1);
    let enable = request(IqType::Set, "<enable xmlns='urn:xmpp:carbons:2'/>");
    world.send(desk, enable);
    assert!(world.router.manage(desk, Duration::from_secs(3_600), &mut Vec::new()));
    detach(&mut world, desk);
    let effects = world.send(romeo, chat(0));
    assert!(errors_to(&effects, romeo).is_empty());
    // The one that was to get it ends first, so that there is only the copy, which is for nobody else then.
    world.unbound(phone);
    let effects = world.removed(JULIET);
    assert_eq!(errors_to(&effects, romeo), ["0"]);
}
