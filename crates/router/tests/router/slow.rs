//! Random histories with a store that takes its time, answers after the router has given up, and refuses now and then.
//!
//! It takes what concerns one account in order, as the contract says, and nothing else.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use balcony_jid::Jid;
use balcony_machine::Ticket;
use balcony_router::{Answer, Ask, Effect, SessionId, cost};
use balcony_stanza::{IqType, Kind, MessageType, Stanza};
use proptest::prelude::*;

use crate::histories::{Grants, Op, grants, op, step, world_of};
use crate::model::ACCOUNTS;
use crate::world::{World, bare, jid, roster_get, wires};

/// What happens between two steps.
#[derive(Clone, Debug)]
enum Event {
    Step(Op),
    /// The store takes the next ask of an account, counted round and round among those who have one.
    Take(usize),
    /// The same, and it can't do it.
    Refuse(usize),
    /// An answer of the store reaches the router.
    Answer(usize),
    /// So much time passes that what waits is given up.
    Expire,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        10 => op().prop_map(Event::Step),
        6 => (0..4_usize).prop_map(Event::Take),
        1 => (0..4_usize).prop_map(Event::Refuse),
        6 => (0..4_usize).prop_map(Event::Answer),
        1 => Just(Event::Expire),
    ]
}

/// The store: what it has not taken yet, and the answers under way, an account each in order.
#[derive(Default)]
pub(crate) struct Slow {
    asked: BTreeMap<String, VecDeque<(Ticket, Ask)>>,
    answers: BTreeMap<String, VecDeque<(Ticket, Answer)>>,
}

impl Slow {
    pub(crate) fn ask(&mut self, ticket: Ticket, ask: Ask) {
        self.asked.entry(ask.account().to_string()).or_default().push_back((ticket, ask));
    }

    pub(crate) fn take(&mut self, world: &mut World, place: usize, works: bool) {
        let Some((account, ticket, ask)) = pop(&mut self.asked, place) else { return };
        let answer = if works { world.ask(ask) } else { Answer::Refused };
        self.answers.entry(account).or_default().push_back((ticket, answer));
    }

    /// An answer under way, of the account at this place among those that have one.
    pub(crate) fn answer(&mut self, place: usize) -> Option<(Ticket, Answer)> {
        pop(&mut self.answers, place).map(|(_, ticket, answer)| (ticket, answer))
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.asked.is_empty() && self.answers.is_empty()
    }
}

fn pop<A, B>(queues: &mut BTreeMap<String, VecDeque<(A, B)>>, place: usize) -> Option<(String, A, B)> {
    let name = queues.keys().nth(place % queues.len().max(1))?.clone();
    let (first, second) = queues.get_mut(&name)?.pop_front()?;
    queues.retain(|_, queue| !queue.is_empty());
    Some((name, first, second))
}

/// What is to hold over a history.
#[derive(Default)]
struct Watch {
    /// What each session has sent that is not handled.
    unhandled: BTreeSet<(SessionId, u64)>,
    /// The numbers of messages and requests that have come back.
    come_back: BTreeSet<String>,
    last: BTreeMap<(SessionId, Jid, Jid, bool), usize>,
}

impl Watch {
    fn see(&mut self, effects: &[Effect]) -> Result<(), TestCaseError> {
        for effect in effects {
            match effect {
                Effect::Handled { session, number } => self.handled(*session, *number)?,
                Effect::Deliver { session, stanza } => self.order(*session, stanza)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn handled(&mut self, session: SessionId, number: u64) -> Result<(), TestCaseError> {
        prop_assert!(self.unhandled.remove(&(session, number)), "{:?} was handled twice", session);
        Ok(())
    }

    fn order(&mut self, session: SessionId, stanza: &Stanza) -> Result<(), TestCaseError> {
        let is_talk = matches!(stanza.head.kind, Kind::Message(_) | Kind::Iq(IqType::Get | IqType::Result));
        let text = String::from_utf8_lossy(stanza.payload.as_bytes());
        let is_error =
            matches!(stanza.head.kind, Kind::Message(MessageType::Error) | Kind::Iq(IqType::Error));
        if is_error && text.contains("<error") {
            let id = stanza.head.id.as_deref().unwrap_or_default().to_owned();
            prop_assert!(self.come_back.insert(id), "twice: {:?}", stanza);
        }
        let id = stanza.head.id.as_ref().filter(|_| is_talk && !stanza.head.kind.is_error());
        let (Some(from), Some(to), Some(Ok(id))) =
            (&stanza.head.from, &stanza.head.to, id.map(|id| id.parse::<usize>()))
        else {
            return Ok(());
        };
        // What is stored comes later than what reached a resource that is connected and not available, and may come again if
        // it could not be deleted.
        let is_stored = text.contains("<delay");
        if is_stored {
            return Ok(());
        }
        let before = self.last.insert((session, from.clone(), to.clone(), is_stored), id);
        prop_assert!(before.is_none_or(|before| before < id), "{:?} after {:?}: {:?}", id, before, stanza);
        Ok(())
    }
}

/// One event; what comes of it goes to the store and the watch.
fn happen(
    world: &mut World,
    store: &mut Slow,
    sessions: &mut u64,
    number: usize,
    event: Event,
) -> Vec<Effect> {
    let mut effects = Vec::new();
    match event {
        Event::Step(op) => effects = step(world, sessions, number, &op),
        Event::Take(place) => store.take(world, place, true),
        Event::Refuse(place) => store.take(world, place, false),
        Event::Answer(place) => {
            if let Some((ticket, answer)) = store.answer(place) {
                world.router.answer(world.now, ticket, answer, &mut effects);
            }
        }
        Event::Expire => {
            world.now = world.now + core::time::Duration::from_secs(31);
            world.router.tick(world.now, &mut effects);
            let late = world.router.deadline();
            assert!(late.is_none_or(|deadline| deadline.at > world.now));
        }
    }
    effects
}

/// The roster as clients see it: what a new resource gets.
fn shown(world: &mut World, account: &str) -> Vec<String> {
    let probe = SessionId(1_000_000);
    world.bind(probe, account, "probe");
    let told = wires(&world.send(probe, roster_get()), probe);
    world.unbound(probe);
    // The version of a roster that was never changed is random.
    told.iter()
        .map(|wire| {
            wire.split("ver='").map(|part| part.split_once('\'').map_or(part, |(_, rest)| rest)).collect()
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    // habits.md invariants 4 and 5, RFC 6120 §10.1 [Q10]: however late the store is, what one sends to one keeps its order, every
    // stanza that waits is handled once, nothing waits for ever, and what clients see in the end is what the store has.
    #[test]
    fn a_late_store(grants in grants(), storing in 1..4_usize, events in prop::collection::vec(event(), 1..120)) {
        late_store(&grants, storing, events)?;
    }
}

fn late_store(grants: &Grants, storing: usize, events: Vec<Event>) -> Result<(), TestCaseError> {
    let mut world = world_of(grants, |config| config.limits.storing = storing);
    world.at_once = false;
    let (mut store, mut watch, mut sessions) = (Slow::default(), Watch::default(), 0);
    let rest = core::iter::repeat_n([Event::Take(0), Event::Answer(0)], 400).flatten();
    for (number, event) in events.into_iter().chain(rest).enumerate() {
        let mut effects = happen(&mut world, &mut store, &mut sessions, number, event);
        watch.unhandled.extend(world.waited.drain(..));
        for (session, number) in world.numbers.drain(..) {
            watch.handled(session, number)?;
        }
        watch.see(&effects)?;
        let mut next = 0;
        while next < effects.len() {
            match effects[next].clone() {
                Effect::Ask { ticket, ask } => store.ask(ticket, ask),
                Effect::Deliver { session, .. } => {
                    let from = effects.len();
                    world.router.drained(world.now, session, u64::MAX, &mut effects);
                    watch.see(&effects[from..])?;
                }
                // Another one has its resource, and nothing more can be written to it.
                Effect::Close { session, .. } => {
                    let from = effects.len();
                    world.router.gone(world.now, session, &mut effects);
                    watch.see(&effects[from..])?;
                }
                _ => {}
            }
            next += 1;
        }
    }
    prop_assert!(store.is_idle());
    prop_assert!(watch.unhandled.is_empty(), "{:?}", watch.unhandled);
    // What was given up is tried again some time; nothing else is left to do.
    world.at_once = true;
    for _ in 0..3 {
        world.now = world.now + core::time::Duration::from_secs(31);
        let mut effects = Vec::new();
        world.router.tick(world.now, &mut effects);
        world.serve(&mut effects);
    }
    prop_assert_eq!(world.router.counts().asks, 0);
    for account in ACCOUNTS {
        let live = shown(&mut world, account);
        let sessions: Vec<_> = world.router.sessions(&bare(account)).collect();
        for session in sessions {
            world.unbound(session);
        }
        prop_assert_eq!(shown(&mut world, account), live, "{}", account);
    }
    prop_assert_eq!(world.router.counts().loaded, 0, "nothing is kept of those who are away");
    Ok(())
}

// The cost is that of the stanza as it is routed.
#[test]
fn the_cost_is_said_twice_the_same() {
    let (from, to) = (jid("romeo@example.net/street"), jid("juliet@example.com"));
    let stanza =
        Stanza::message(balcony_stanza::MessageType::Chat).with_from(from.clone()).with_to(to.clone());
    assert_eq!(cost(&stanza), from.as_str().len() + to.as_str().len() + 256);
}
