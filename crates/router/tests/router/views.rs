//! What is left of random histories whose store is late, or fails: what clients see, what is charged, and every message.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use balcony_machine::Ticket;
use balcony_router::{Answer, Ask, Effect, SessionId};
use balcony_stanza::{IqType, Kind, MessageType, PresenceType, Stanza};
use proptest::prelude::*;

use crate::histories::{self, Grants, Op, grants, op, step};
use crate::model::ACCOUNTS;
use crate::world::{World, bare, config, jid, roster_get, wires};

/// The store: what it has not done yet, and the answers under way, an account each in order.
#[derive(Default)]
struct Slow {
    asked: BTreeMap<String, VecDeque<(Ticket, Ask)>>,
    answers: BTreeMap<String, VecDeque<(Ticket, Answer)>>,
}

fn pop<T>(queues: &mut BTreeMap<String, VecDeque<T>>, place: usize) -> Option<(String, T)> {
    let name = queues.keys().nth(place % queues.len().max(1))?.clone();
    let first = queues.get_mut(&name)?.pop_front()?;
    queues.retain(|_, queue| !queue.is_empty());
    Some((name, first))
}

#[derive(Clone, Debug)]
enum Event {
    Step(Op),
    Take(usize),
    Refuse(usize),
    Answer(usize),
    Expire,
    /// What a session was to be given first of the stored messages is written.
    Written(usize),
    /// The session breaks instead, and nothing of it is written.
    Broken(usize),
}

fn event(fails: bool) -> impl Strategy<Value = Event> {
    prop_oneof![
        10 => op().prop_map(Event::Step),
        6 => (0..4_usize).prop_map(Event::Take),
        6 => (0..4_usize).prop_map(Event::Answer),
        u32::from(fails) => (0..4_usize).prop_map(Event::Refuse),
        u32::from(fails) => Just(Event::Expire),
        3 => (0..4_usize).prop_map(Event::Written),
        1 => (0..4_usize).prop_map(Event::Broken),
    ]
}

/// What an event was.
enum Was<'e> {
    /// The step with this number.
    Step(usize, &'e Op),
    Written(SessionId),
    Broken(SessionId),
    Other,
}

/// Has a history happen, and then the store do all that is left.
fn live(world: &mut World, events: Vec<Event>, mut see: impl FnMut(&mut World, &Was<'_>, &[Effect])) {
    (world.at_once, world.parks) = (false, true);
    let (mut store, mut sessions, mut flushing) = (Slow::default(), 0, Vec::new());
    let rest = core::iter::repeat_n([Event::Take(0), Event::Answer(0), Event::Written(0)], 500).flatten();
    for (number, event) in events.into_iter().chain(rest).enumerate() {
        let mut effects = Vec::new();
        let mut was = Was::Other;
        match &event {
            Event::Step(what) => {
                was = Was::Step(number, what);
                effects = step(world, &mut sessions, number, what);
            }
            Event::Take(place) | Event::Refuse(place) => {
                if let Some((account, (ticket, ask))) = pop(&mut store.asked, *place) {
                    let works = matches!(event, Event::Take(_));
                    let answer = if works { world.ask(ask) } else { Answer::Refused };
                    store.answers.entry(account).or_default().push_back((ticket, answer));
                }
            }
            Event::Answer(place) => {
                if let Some((_, (ticket, answer))) = pop(&mut store.answers, *place) {
                    world.router.answer(world.now, ticket, answer, &mut effects);
                }
            }
            Event::Expire => {
                world.now = world.now + Duration::from_secs(31);
                world.router.tick(world.now, &mut effects);
            }
            Event::Written(place) | Event::Broken(place) if !flushing.is_empty() => {
                let session = flushing.remove(place % flushing.len());
                if matches!(event, Event::Written(_)) {
                    was = Was::Written(session);
                    world.router.drained(world.now, session, u64::MAX, &mut effects);
                } else {
                    was = Was::Broken(session);
                    world.router.unbind(world.now, session, &mut effects);
                    world.router.gone(world.now, session, &mut effects);
                }
            }
            Event::Written(_) | Event::Broken(_) => {}
        }
        // What strangers have sent comes now and then.
        if number % 3 == 0 {
            world.router.take_in(world.now, &mut effects);
        }
        for effect in &effects {
            match effect.clone() {
                Effect::Ask { ticket, ask } => {
                    store.asked.entry(ask.account().to_string()).or_default().push_back((ticket, ask));
                }
                Effect::Deliver { session, .. } if !flushing.contains(&session) => flushing.push(session),
                _ => {}
            }
        }
        see(world, &was, &effects);
    }
    assert!(store.asked.is_empty() && store.answers.is_empty() && !world.router.has_parked());
    world.parks = false;
}

/// What is wrong at the end with what available resources see: who is not there any more, and who is there and not seen by a subscriber,
/// among those of this server.
fn wrong_views(grants: &Grants, events: Vec<Event>) -> Vec<String> {
    let mut world = histories::world(grants);
    let mut views: BTreeMap<SessionId, BTreeSet<String>> = BTreeMap::new();
    let mut has_blocks = false;
    let mut directed = BTreeSet::new();
    // Who has been told by a client that it is not there for them.
    let mut turned_away = BTreeSet::new();
    live(&mut world, events, |world, was, effects| {
        if let Was::Step(number, Op::Direct(..)) = was {
            directed.insert(number.to_string());
        }
        for effect in effects {
            let Effect::Deliver { session, stanza } = effect else { continue };
            let Some(from) = stanza.head.from.as_ref().filter(|from| from.is_full()) else { continue };
            let own = world.router.jid(*session).map(|own| own.to_jid());
            let is_own = own.as_ref() == Some(from);
            let is_directed = stanza.head.id.as_deref().is_some_and(|id| directed.contains(id));
            // What one shows to oneself says nothing of whether one is available.
            if is_own && is_directed {
                continue;
            }
            let view = views.entry(*session).or_default();
            match stanza.head.kind {
                Kind::Presence(PresenceType::Available) => {
                    // Whoever is not available and asks is told once, and not of what comes later.
                    let is_available = is_own || own.is_some_and(|own| view.contains(own.as_str()));
                    if is_available || is_directed {
                        view.insert(from.to_string());
                    }
                }
                // Who goes offline sees nobody any more.
                Kind::Presence(PresenceType::Unavailable) if is_own => view.clear(),
                Kind::Presence(PresenceType::Unavailable) => {
                    view.remove(from.as_str());
                    if is_directed {
                        turned_away.insert((*session, from.to_string()));
                    }
                }
                _ => {}
            }
        }
        // Whoever is blocked can't say good-bye.
        has_blocks |= matches!(was, Was::Step(_, Op::Block(..)));
    });
    let is_available = |session: SessionId| {
        let own = world.router.jid(session).unwrap().as_str();
        views.get(&session).is_some_and(|view| view.contains(own))
    };
    let has = |account: &str, contact: &str, either: [&str; 2]| {
        let items = histories::roster(&world, account);
        items.iter().any(|item| either.iter().any(|kind| item.starts_with(&format!("{contact} {kind} "))))
    };
    let mut left = Vec::new();
    for (account, contact) in ACCOUNTS.iter().flat_map(|one| ACCOUNTS.map(|other| (*one, other))) {
        if !has(account, contact, ["to", "both"]) || !has(contact, account, ["from", "both"]) {
            continue;
        }
        for session in world.router.sessions(&bare(account)).filter(|session| is_available(*session)) {
            for other in world.router.sessions(&bare(contact)).filter(|other| is_available(*other)) {
                let there = world.router.jid(other).unwrap().as_str();
                if !views[&session].contains(there) && !turned_away.contains(&(session, there.to_owned())) {
                    left.push(format!("{} misses {there}", world.router.jid(session).unwrap()));
                }
            }
        }
    }
    for account in ACCOUNTS {
        for session in world.router.sessions(&bare(account)) {
            for seen in views.get(&session).filter(|_| is_available(session)).into_iter().flatten() {
                let seen_jid = jid(seen);
                let there = world
                    .router
                    .sessions(&seen_jid.to_bare())
                    .any(|other| world.router.jid(other).is_some_and(|other| other.as_str() == seen));
                if !there && !seen.contains("z.example") {
                    left.push(format!("{} sees {seen}", world.router.jid(session).unwrap()));
                }
            }
        }
    }
    if has_blocks { Vec::new() } else { left }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    // RFC 6121 §4.2, §4.5.2: however late the store is, nobody sees for ever a resource that has gone, and subscribers see who is there.
    #[test]
    fn nobody_sees_who_is_gone(grants in grants(), events in prop::collection::vec(event(false), 1..100)) {
        prop_assert_eq!(wrong_views(&grants, events), Vec::<String>::new());
    }

    // The same where it fails now and then.
    #[test]
    fn nobody_sees_who_is_gone_when_the_store_fails(grants in grants(), events in prop::collection::vec(event(true), 1..100)) {
        prop_assert_eq!(wrong_views(&grants, events), Vec::<String>::new());
    }
}

fn narrow(grants: &Grants) -> World {
    let mut config = config();
    config.domains = vec![bare("x.example"), bare("y.example")];
    config.limits.waiting = 2;
    let mut world = World::with(config);
    world.store = histories::world(grants).store;
    world
}

/// What is refused for want of room after a history, when nothing waits any more: where there is little room.
fn refused(grants: &Grants, events: Vec<Event>) -> Vec<String> {
    let mut world = narrow(grants);
    live(&mut world, events, |_, _, _| {});
    let mut told = Vec::new();
    for (number, account) in (1_000_000..).zip(ACCOUNTS) {
        world.at_once = true;
        let session = SessionId(number);
        world.bind(session, account, "last");
        for other in world.router.sessions(&bare(account)).collect::<Vec<_>>() {
            if other != session {
                world.unbound(other);
            }
        }
    }
    for (number, account) in (1_000_000..).zip(ACCOUNTS) {
        let session = SessionId(number);
        world.at_once = false;
        let effects = world.send(session, Stanza::message(MessageType::Chat).with_to(jid(account)));
        told.extend(wires(&effects, session).into_iter().filter(|wire| wire.contains("resource-constraint")));
        let effects = world.send(session, roster_get());
        told.extend(wires(&effects, session).into_iter().filter(|wire| wire.contains("resource-constraint")));
    }
    told
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    // ADR 5: whatever has waited is paid back, once.
    #[test]
    fn nothing_is_charged_for_what_waits_no_longer(grants in grants(), events in prop::collection::vec(event(true), 1..100)) {
        prop_assert_eq!(refused(&grants, events), Vec::<String>::new());
    }
}

/// The messages of a history to those whom the sender sees that were not delivered, are not stored, and have not come back to a sender who
/// is there in the end.
fn lost(grants: &Grants, events: Vec<Event>) -> (Vec<String>, Vec<String>) {
    let mut world = histories::world(grants);
    let mut sent: BTreeMap<String, (SessionId, String)> = BTreeMap::new();
    let mut seen: BTreeSet<String> = BTreeSet::new();
    let mut twice = Vec::new();
    // Messages on their way to a session, and whether they were stored.
    let mut writing: BTreeMap<SessionId, Vec<(String, bool)>> = BTreeMap::new();
    let events = events.into_iter().filter(|event| match event {
        Event::Step(op) => matches!(
            op,
            Op::Bind(..)
                | Op::Unbind(..)
                | Op::Available(..)
                | Op::Unavailable(..)
                | Op::Message(..)
                | Op::Iq(..)
                | Op::SetItem(..)
                | Op::Roster(..)
        ),
        _ => true,
    });
    let sees = |from: &str, to: &str| {
        let at = |name: &str| ACCOUNTS.iter().position(|account| *account == name);
        at(from).zip(at(to)).is_some_and(|(from, to)| from == to || grants.contains(&(to, from)))
    };
    live(&mut world, events.collect(), |world, was, effects| {
        if let Was::Step(number, Op::Message(place, MessageType::Chat, to)) = was {
            let all: Vec<_> = ACCOUNTS
                .iter()
                .flat_map(|account| world.router.sessions(&bare(account)).collect::<Vec<_>>())
                .collect();
            if let Some(session) = all.get(place % all.len().max(1)) {
                let from = world.router.jid(*session).unwrap().to_bare().to_string();
                let to = histories::address(*to);
                let to_bare = to.split('/').next().unwrap().to_owned();
                if sees(&from, &to_bare) {
                    sent.insert(number.to_string(), (*session, to));
                }
            }
        }
        match was {
            Was::Written(session) => {
                for (id, is_stored) in writing.remove(session).into_iter().flatten() {
                    if !seen.insert(id.clone()) && is_stored {
                        twice.push(format!("{id} twice"));
                    }
                }
            }
            Was::Broken(session) => drop(writing.remove(session)),
            _ => {}
        }
        for effect in effects {
            let Effect::Deliver { session, stanza } = effect else { continue };
            let Some(id) = stanza.head.id.as_deref().filter(|_| matches!(stanza.head.kind, Kind::Message(_)))
            else {
                continue;
            };
            let is_stored = String::from_utf8_lossy(stanza.payload.as_bytes()).contains("<delay");
            writing.entry(*session).or_default().push((id.to_owned(), is_stored));
        }
    });
    for account in ACCOUNTS {
        for message in world.kept(account) {
            seen.extend(message.head.id.as_deref().map(str::to_owned));
        }
    }
    let is_lost = |(id, (session, _)): &(String, (SessionId, String))| {
        !seen.contains(id) && world.router.jid(*session).is_some()
    };
    let lost = sent.into_iter().filter(is_lost).map(|(id, (_, to))| format!("{id} to {to}")).collect();
    (lost, twice)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    // Habits, invariant 4: what is accepted is not lost without an error to its sender, if that is still there.
    #[test]
    fn nothing_is_lost(grants in grants(), events in prop::collection::vec(event(true), 1..100)) {
        prop_assert_eq!(lost(&grants, events).0, Vec::<String>::new());
    }

    // Nor does it come twice, unless the store fails to delete it.
    #[test]
    fn nothing_comes_twice(grants in grants(), events in prop::collection::vec(event(false), 1..100)) {
        prop_assert_eq!(lost(&grants, events), (Vec::new(), Vec::new()));
    }
}

type Roster = BTreeMap<String, [Option<String>; 3]>;

/// Takes a roster, or a change of one, as a client does.
fn take_roster(roster: &mut Roster, stanza: &Stanza) {
    let content = stanza.payload.parse().unwrap();
    let Some(query) = content.root().child("query", "jabber:iq:roster") else { return };
    match stanza.head.kind {
        Kind::Iq(IqType::Result) => roster.clear(),
        Kind::Iq(IqType::Set) => {}
        _ => return,
    }
    for item in query.children() {
        let attr = |name| item.attr(name).map(str::to_owned);
        match attr("subscription").as_deref() {
            Some("remove") => drop(roster.remove(&attr("jid").unwrap())),
            _ => {
                let shown = [attr("subscription"), attr("ask"), attr("approved")];
                roster.insert(attr("jid").unwrap(), shown);
            }
        }
    }
}

/// What interested resources show that differs from what the server has.
fn stale(grants: &Grants, events: Vec<Event>) -> Vec<String> {
    let mut world = histories::world(grants);
    let mut shown: BTreeMap<SessionId, Roster> = BTreeMap::new();
    // No session takes the place of another, whose answers it would get.
    let mut bound = BTreeSet::new();
    let is_other = |event: &Event| match event {
        Event::Step(Op::Bind(account, name)) => bound.insert((*account, *name)),
        _ => true,
    };
    live(&mut world, events.into_iter().filter(is_other).collect(), |_, _, effects| {
        for effect in effects {
            if let Effect::Deliver { session, stanza } = effect {
                let is_asked = matches!(stanza.head.kind, Kind::Iq(IqType::Result));
                let has_roster =
                    String::from_utf8_lossy(stanza.payload.as_bytes()).contains("jabber:iq:roster");
                if has_roster && (is_asked || shown.contains_key(session)) {
                    take_roster(shown.entry(*session).or_default(), stanza);
                }
            }
        }
    });
    world.at_once = true;
    let mut different = Vec::new();
    for session in ACCOUNTS
        .iter()
        .flat_map(|account| world.router.sessions(&bare(account)).collect::<Vec<_>>())
        .collect::<Vec<_>>()
    {
        let Some(shown) = shown.get(&session) else { continue };
        let mut now = Roster::new();
        for effect in world.send(session, roster_get()) {
            if let Effect::Deliver { stanza, .. } = effect {
                take_roster(&mut now, &stanza);
            }
        }
        if *shown != now {
            different.push(format!("{shown:?} and not {now:?}"));
        }
    }
    different
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    // RFC 6121 §2.1.6: interested resources show what the server has.
    #[test]
    fn interested_resources_are_up_to_date(grants in grants(), events in prop::collection::vec(event(true), 1..100)) {
        prop_assert_eq!(stale(&grants, events), Vec::<String>::new());
    }
}
