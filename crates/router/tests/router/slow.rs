//! Random histories with a store that takes its time, answers after the router has given up, and refuses now and then.
//!
//! It takes what concerns one account in order, as the contract says, and nothing else.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use balcony_jid::Jid;
use balcony_machine::Ticket;
use balcony_router::extension::offline::Offline;
use balcony_router::extension::private::Private;
use balcony_router::extension::{Access, Extension, Extensions, Registry, Reply};
use balcony_router::{Answer, Ask, Change, Effect, SessionId, cost};
use balcony_stanza::{IqType, Kind, MessageType, Stanza};
use balcony_xml::{Element, Name};
use proptest::prelude::*;

use crate::histories::{Grants, Op, connected, grants, op, roster, step, world_of};
use crate::model::{ACCOUNTS, MOST_STORED};
use crate::world::{World, available, bare, brief, jid, request, roster_get, wire, wires};

/// What happens between two steps.
#[derive(Clone, Debug)]
enum Event {
    Step(Op),
    /// A session keeps a document (XEP-0049) under one of two names, so many bytes long, or a card (XEP-0054).
    Keep(usize, Kept, usize),
    /// The store takes the next ask of an account, counted round and round among those who have one.
    Take(usize),
    /// The same, and it can't do it.
    Refuse(usize),
    /// An answer of the store reaches the router.
    Answer(usize),
    /// So much time passes that what waits is given up.
    Expire,
}

/// What a session keeps.
#[derive(Clone, Copy, Debug)]
enum Kept {
    One,
    Other,
    Card,
}

fn event() -> impl Strategy<Value = Event> {
    let kept = || prop_oneof![Just(Kept::One), Just(Kept::Other), Just(Kept::Card)];
    prop_oneof![
        10 => op().prop_map(Event::Step),
        2 => (0..12_usize, kept(), 0..80_usize).prop_map(|(place, what, length)| Event::Keep(place, what, length)),
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
        // Nobody is told whether the end of presence was kept, so that a store which refuses that has an older one than memory.
        let is_note = |change: &Change| matches!(change, Change::LastSeen(_));
        let is_noted = matches!(&ask, Ask::Save { changes, .. } if changes.iter().any(is_note));
        let answer = if works || is_noted { world.ask(ask) } else { Answer::Refused };
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
        Event::Keep(place, what, length) => {
            let live = connected(world);
            if let Some(session) = live.get(place % live.len().max(1)) {
                let text = "x".repeat(length);
                let content = match what {
                    Kept::One => private(&format!("<one xmlns='urn:example:kept'>{text}</one>")),
                    Kept::Other => private(&format!("<other xmlns='urn:example:kept'>{text}</other>")),
                    Kept::Card => format!("<vCard xmlns='vcard-temp'><FN>{text}</FN></vCard>"),
                };
                effects = world.send(*session, request(IqType::Set, &content).with_id(number.to_string()));
            }
        }
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

fn private(content: &str) -> String {
    format!("<query xmlns='jabber:iq:private'>{content}</query>")
}

/// More than all documents of a history are long together.
const PRIVATE: usize = 10_000;

/// Says to the own clients of an account what is known of the end of its presence.
#[derive(Debug)]
struct Seen;

const SEEN: &str = "<seen xmlns='urn:example:seen'/>";

impl Extension for Seen {
    const NAME: &'static str = "seen";
    type Account = ();
    type Client = ();

    fn register(&self, registry: &mut Registry<'_, Self>) {
        registry.get(Access::Owner, "seen", "urn:example:seen", |_, context, _| {
            let seen = context.last_seen().map(|(_, presence)| wire(presence));
            Reply::from(
                Element::new(Name::from_static("seen"), "urn:example:seen").text(seen.unwrap_or_default()),
            )
        });
    }
}

/// What a session is told that asks for this.
fn asked(world: &mut World, session: SessionId, kind: IqType, content: &str) -> Vec<Stanza> {
    let effects = world.send(session, request(kind, content));
    let told = effects.into_iter().filter_map(|effect| match effect {
        Effect::Deliver { session: to, stanza } if to == session => Some(Stanza::clone(&stanza)),
        _ => None,
    });
    told.collect()
}

/// No session of a history.
const PROBE: SessionId = SessionId(1_000_000);

/// Whatever is kept of an account, as its clients see it: roster, block list, documents and card, as a new resource gets them.
fn shown(world: &mut World, account: &str) -> Vec<String> {
    world.bind(PROBE, account, "probe");
    let mut told = wires(&world.send(PROBE, roster_get()), PROBE);
    for content in [
        "<blocklist xmlns='urn:xmpp:blocking'/>",
        &private("<one xmlns='urn:example:kept'/>"),
        &private("<other xmlns='urn:example:kept'/>"),
        "<vCard xmlns='vcard-temp'/>",
    ] {
        told.extend(asked(world, PROBE, IqType::Get, content).iter().map(wire));
    }
    world.unbound(PROBE);
    // The version of a roster that was never changed is random.
    told.iter()
        .map(|wire| {
            wire.split("ver='").map(|part| part.split_once('\'').map_or(part, |(_, rest)| rest)).collect()
        })
        .collect()
}

/// What is known of the end of an account's presence is what the store has, while nobody is available.
fn last_is_kept(world: &mut World, account: &str) -> Result<(), TestCaseError> {
    world.bind(PROBE, account, "probe");
    let told = asked(world, PROBE, IqType::Get, SEEN);
    let content = told[0].payload.parse().unwrap();
    let known = content.root().child("seen", "urn:example:seen").unwrap().text().into_owned();
    let kept = world.store.kept(&bare(account)).and_then(|kept| kept.last.clone());
    let sessions: Vec<_> = world.router.sessions(&bare(account)).collect();
    let is_there = sessions
        .iter()
        .any(|session| world.router.bound(world.now, *session).is_some_and(|bound| bound.priority.is_some()));
    if !is_there {
        prop_assert_eq!(known, kept.map(|last| wire(&last.presence)).unwrap_or_default(), "{}", account);
    }
    world.unbound(PROBE);
    Ok(())
}

/// The account knows how long its documents are: there is room for as much as is left, and for no byte more.
fn sizes_are_kept(world: &mut World, account: &str) -> Result<(), TestCaseError> {
    world.bind(PROBE, account, "probe");
    // A single one may not be as long as all.
    let half = format!("<half xmlns='urn:example:kept'>{}</half>", "x".repeat(PRIVATE / 2));
    let answer = asked(world, PROBE, IqType::Set, &private(&half));
    prop_assert_eq!(brief(&answer[0]), "iq result");
    let kept: usize =
        world.store.documents(&bare(account), "private").map(|(_, content)| content.bytes.len()).sum();
    let empty = private("<rest xmlns='urn:example:kept'></rest>").len();
    let room = PRIVATE - kept - empty;
    for (length, has_room) in [(room + 1, false), (room, true)] {
        let rest = format!("<rest xmlns='urn:example:kept'>{}</rest>", "x".repeat(length));
        let answer = asked(world, PROBE, IqType::Set, &private(&rest));
        let is_error = answer[0].head.kind.is_error();
        prop_assert_eq!(!is_error, has_room, "{} has {} bytes, {}", account, kept, brief(&answer[0]));
    }
    world.unbound(PROBE);
    Ok(())
}

/// The account knows that messages wait for it: who comes gets all that the store has, but those of whom it has blocked meanwhile.
fn messages_are_known(world: &mut World, account: &str) -> Result<(), TestCaseError> {
    let blocked: Vec<_> =
        world.store.documents(&bare(account), "blocked").map(|(key, _)| key.to_string()).collect();
    let is_blocked = |from: &Jid| {
        let covers = [from.to_string(), from.to_bare().to_string(), from.domainpart().to_owned()];
        blocked.iter().any(|own| covers.contains(own))
    };
    let kept = world.kept(account);
    let kept = kept.iter().filter(|message| !message.head.from.as_ref().is_some_and(is_blocked));
    let waiting: Vec<_> = kept.map(|message| message.head.id.clone()).collect();
    world.bind(PROBE, account, "probe");
    let effects = world.send(PROBE, available(5));
    for id in waiting {
        let is_it = |effect: &Effect| matches!(effect, Effect::Deliver { session: PROBE, stanza } if stanza.head.id == id);
        prop_assert!(effects.iter().any(is_it), "{} does not get {:?}", account, id);
    }
    prop_assert!(world.kept(account).is_empty(), "{}", account);
    world.unbound(PROBE);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    // habits.md invariants 4 and 5, RFC 6120 §10.1 [Q10]: however late the store is, what one sends to one keeps its order, every
    // stanza that waits is handled once, nothing waits for ever, and what clients see in the end is what the store has: of the roster, the
    // block list, documents and their sizes, cards, messages that wait, and the end of presence.
    #[test]
    fn a_late_store(grants in grants(), storing in 1..4_usize, events in prop::collection::vec(event(), 1..120)) {
        late_store(&grants, storing, events)?;
    }
}

fn late_store(grants: &Grants, storing: usize, events: Vec<Event>) -> Result<World, TestCaseError> {
    let new = || {
        world_of(grants, |config| {
            config.limits.storing = storing;
            let offline = Offline { messages: MOST_STORED, ..Offline::default() };
            let private = Private { bytes: PRIVATE, ..Private::default() };
            config.extensions =
                Extensions::standard().with(offline).with(private).with(Seen).build().unwrap();
        })
    };
    let mut world = new();
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
    // The connections of those who have ended are gone some time.
    world.at_once = true;
    let is_live = |session: &SessionId| {
        ACCOUNTS.iter().any(|account| world.router.sessions(&bare(account)).any(|own| own == *session))
    };
    let gone: Vec<_> = (0..sessions).map(SessionId).filter(|session| !is_live(session)).collect();
    let mut effects = Vec::new();
    gone.iter().for_each(|session| world.router.gone(world.now, *session, &mut effects));
    world.serve(&mut effects);
    come_to_rest(&mut world);
    prop_assert_eq!(world.router.counts().asks, 0);
    // A router that begins with what the store has knows nothing but that.
    let mut anew = new();
    (anew.store, anew.now) = (world.store.clone(), world.now);
    // Whoever comes says again what it owes its contacts.
    for world in [&mut world, &mut anew] {
        for account in ACCOUNTS {
            shown(world, account);
        }
        come_to_rest(world);
    }
    for account in ACCOUNTS {
        last_is_kept(&mut world, account)?;
        prop_assert_eq!(shown(&mut world, account), shown(&mut anew, account), "{}", account);
    }
    for account in ACCOUNTS {
        sizes_are_kept(&mut world, account)?;
        messages_are_known(&mut world, account)?;
        let sessions: Vec<_> = world.router.sessions(&bare(account)).collect();
        for session in sessions {
            world.unbound(session);
        }
        last_is_kept(&mut world, account)?;
    }
    prop_assert_eq!(world.router.counts().loaded, 0, "nothing is kept of those who are away");
    Ok(world)
}

/// What was given up is tried again some time; nothing else is left to do.
fn come_to_rest(world: &mut World) {
    for _ in 0..4 {
        world.now = world.now + core::time::Duration::from_secs(31);
        let mut effects = Vec::new();
        world.router.tick(world.now, &mut effects);
        world.serve(&mut effects);
    }
}

// The cost is that of the stanza as it is routed.
#[test]
fn the_cost_is_said_twice_the_same() {
    let (from, to) = (jid("romeo@example.net/street"), jid("juliet@example.com"));
    let stanza =
        Stanza::message(balcony_stanza::MessageType::Chat).with_from(from.clone()).with_to(to.clone());
    assert_eq!(cost(&stanza), from.as_str().len() + to.as_str().len() + 256);
}

// RFC 6121 section 2.5: whoever is removed hears of it some time, also if the account can't be loaded just then.
#[test]
fn a_contact_that_cannot_be_loaded_hears_of_its_removal_later() {
    use Event::{Answer, Expire, Step, Take};
    let load = [Take(0), Answer(0)];
    let removal = [Step(Op::Bind(0, 0)), Take(0), Answer(0), Step(Op::RemoveItem(0, 4)), Take(0), Answer(0)];
    for answers in [vec![Expire], vec![Event::Refuse(0), Answer(0)]] {
        let events = removal.iter().cloned().chain(answers).chain(load.clone()).collect();
        let world = late_store(&vec![(1, 0), (0, 1)], 1, events).unwrap();
        assert_eq!(roster(&world, ACCOUNTS[1]), ["a@x.example none false false"]);
    }
}
