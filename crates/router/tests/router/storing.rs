//! Bursts of messages to somebody who is away, and a store with as little room as stores have: nothing of them is lost, and nothing comes
//! back for no reason (docs/limits.md).

use core::time::Duration;
use std::collections::VecDeque;

use balcony_machine::Ticket;
use balcony_roster::Subscription;
use balcony_router::extension::Extensions;
use balcony_router::extension::offline::Offline;
use balcony_router::{Answer, Ask, Change, Config, Content, Effect, LogEdit, SessionId};
use balcony_stanza::{IqType, Kind, PresenceType, Stanza};
use proptest::prelude::*;

use crate::world::{World, available, bare, config, content, jid, request, subscription, tickets};

const JULIET: &str = "juliet@example.com";

/// A store that takes its time. Of what others cause it has room for so much of one account, as that of a server has, and refuses what is
/// more.
struct Narrow {
    asked: VecDeque<(Ticket, Ask)>,
    requests: usize,
    bytes: usize,
    refused: usize,
    /// So many messages to store it had at most.
    most: usize,
}

/// What an ask that others cause takes in its queue.
fn weight(ask: &Ask) -> Option<usize> {
    let Ask::Save { changes, by_others: true, .. } = ask else { return None };
    let content = |content: &Content| content.bytes.len();
    let bytes = changes.iter().map(|change| match change {
        Change::Log { edit: LogEdit::Append(append), .. } => content(&append.content),
        Change::Document { edit, .. } => edit.content.as_ref().map_or(0, content),
        _ => 0,
    });
    Some(700 + bytes.sum::<usize>())
}

/// Whether it has a message stored.
fn is_message(ask: &Ask) -> bool {
    let is_append = |change: &Change| matches!(change, Change::Log { edit: LogEdit::Append(_), .. });
    matches!(ask, Ask::Save { changes, .. } if changes.iter().any(is_append))
}

impl Narrow {
    fn new() -> Self {
        Narrow { asked: VecDeque::new(), requests: 256, bytes: 512 << 10, refused: 0, most: 0 }
    }

    fn by_others(&self) -> (usize, usize) {
        let weights = self.asked.iter().filter_map(|(_, ask)| weight(ask));
        weights.fold((0, 0), |(requests, bytes), weight| (requests + 1, bytes + weight))
    }

    /// Takes what is asked among the effects; what it refuses may lead to more.
    fn take(&mut self, world: &mut World, effects: &mut Vec<Effect>) {
        let mut next = 0;
        while next < effects.len() {
            if let Effect::Ask { ticket, ask } = effects[next].clone() {
                let (requests, bytes) = self.by_others();
                let has_room = |weight| requests < self.requests && bytes + weight <= self.bytes;
                if weight(&ask).is_none_or(|weight| requests == 0 || has_room(weight)) {
                    self.asked.push_back((ticket, ask));
                    let messages = self.asked.iter().filter(|(_, ask)| is_message(ask)).count();
                    self.most = self.most.max(messages);
                } else {
                    self.refused += 1;
                    world.router.answer(world.now, ticket, Answer::Refused, effects);
                }
            }
            next += 1;
        }
    }

    /// Does the next thing. What comes of it.
    fn work(&mut self, world: &mut World) -> Option<Vec<Effect>> {
        let (ticket, ask) = self.asked.pop_front()?;
        let answer = world.ask(ask);
        let mut effects = world.answer(ticket, answer);
        self.take(world, &mut effects);
        Some(effects)
    }

    /// Answers something out of its turn: by doing it, or otherwise by refusing it.
    fn answer(&mut self, world: &mut World, place: usize, does: bool) -> Vec<Effect> {
        let (ticket, ask) = self.asked.remove(place).unwrap();
        let answer = if does { world.ask(ask) } else { Answer::Refused };
        let mut effects = world.answer(ticket, answer);
        self.take(world, &mut effects);
        effects
    }

    /// Where the last of what is asked about an account is, if it is meant.
    fn place(&self, account: &str, is_meant: impl Fn(&Ask) -> bool) -> Option<usize> {
        self.asked.iter().rposition(|(_, ask)| ask.account().as_str() == account && is_meant(ask))
    }

    /// Somebody, of this number, causes a change of juliet's roster. The store refuses that, and then does not say what is kept of her: if
    /// she is loaded she is served no more.
    fn fail(&mut self, world: &mut World, number: usize) -> Vec<Effect> {
        let name = format!("tybalt{number}@example.com");
        world.at_once = true;
        let tybalt = world.connect(&format!("{name}/hall"));
        world.at_once = false;
        let before = self.asked.iter().map(|(ticket, _)| *ticket).max();
        let mut effects = sends(world, self, tybalt, subscription(PresenceType::Subscribe, JULIET));
        while let Some(place) = self.place(&name, |_| true) {
            effects.extend(self.answer(world, place, true));
        }
        let is_roster = |ask: &Ask| matches!(ask, Ask::Save { changes, .. } if matches!(changes[..], [Change::Roster { .. }, ..]));
        if let Some(place) = self.place(JULIET, is_roster).filter(|place| Some(self.asked[*place].0) > before)
        {
            effects.extend(self.answer(world, place, false));
            let place = self.place(JULIET, |ask| matches!(ask, Ask::Load { .. }));
            effects.extend(self.answer(world, place.unwrap(), false));
        }
        effects
    }

    /// Does all that there is to do.
    fn work_off(&mut self, world: &mut World) -> Vec<Effect> {
        core::iter::from_fn(|| self.work(world)).flatten().collect()
    }
}

/// A world in which much may be stored, with juliet's contact benvolio, who sees her presence, and strangers.
fn world() -> World {
    world_of(with_much())
}

fn with_much() -> Config {
    let mut config = config();
    let much = Offline { messages: 100_000, bytes: 1 << 30 };
    config.extensions = Extensions::standard().with(much).build().unwrap();
    // Whoever reads takes all at once.
    (config.limits.credit, config.limits.unacknowledged) = (1 << 30, 1 << 30);
    config
}

fn world_of(config: Config) -> World {
    let mut world = World::with(config);
    world.store.create(bare(JULIET));
    world.befriend(JULIET, "benvolio@example.com", Subscription::Both);
    world.befriend("benvolio@example.com", JULIET, Subscription::Both);
    world
}

fn chat(number: usize, size: usize) -> Stanza {
    content(&format!("<body>{number} {}</body>", "x".repeat(size)))
        .with_to(jid(JULIET))
        .with_id(number.to_string())
}

fn sends(world: &mut World, store: &mut Narrow, from: SessionId, stanza: Stanza) -> Vec<Effect> {
    let mut effects = world.send(from, stanza);
    store.take(world, &mut effects);
    effects
}

fn errors(effects: &[Effect]) -> usize {
    let is_error = |effect: &&Effect| match effect {
        Effect::Deliver { stanza, .. } => stanza.head.kind.is_error(),
        Effect::Remote { stanza, .. } => stanza.head.kind.is_error(),
        _ => false,
    };
    effects.iter().filter(is_error).count()
}

fn stored(world: &World) -> Vec<usize> {
    let id = |stanza: &Stanza| stanza.head.id.as_ref().unwrap().parse().unwrap();
    world.kept(JULIET).iter().map(id).collect()
}

/// One account sends a burst to somebody who is away, while the store is slow.
fn burst(from: &str, count: usize, size: usize) -> (World, Narrow, Vec<Effect>) {
    let mut world = world();
    let sender = world.connect(from);
    world.at_once = false;
    let mut store = Narrow::new();
    let mut effects = Vec::new();
    // The account is loaded then, and known as long as something is being stored.
    effects.extend(sends(&mut world, &mut store, sender, chat(0, size)));
    effects.extend(store.work(&mut world).unwrap());
    for number in 1..count {
        effects.extend(sends(&mut world, &mut store, sender, chat(number, size)));
    }
    (world, store, effects)
}

// docs/guarantees.md, docs/limits.md: what has room to wait is stored, in order, whatever the store has room for at a time; RFC 6120 §10.1.
#[test]
fn a_burst_is_stored() {
    for from in ["romeo@example.net/street", "benvolio@example.com/street"] {
        for (count, size) in [(120, 11_000), (257, 10), (900, 100), (4, 300_000), (12, 200_000)] {
            let (mut world, mut store, mut effects) = burst(from, count, size);
            effects.extend(store.work_off(&mut world));
            assert_eq!(stored(&world), (0..count).collect::<Vec<_>>(), "{from} {size}");
            assert_eq!((errors(&effects), store.refused, world.router.counts().asks), (0, 0, 0));
        }
    }
}

// Also one that comes while the account is loaded, whose messages begin to be stored at one moment.
#[test]
fn a_burst_to_an_account_that_is_loaded_is_stored() {
    let mut world = world();
    let sender = world.connect("romeo@example.net/street");
    world.at_once = false;
    let mut store = Narrow::new();
    for number in 0..600 {
        sends(&mut world, &mut store, sender, chat(number, 1_000));
    }
    store.work_off(&mut world);
    assert_eq!((stored(&world), store.refused), ((0..600).collect(), 0));
}

// The burst of one keeps nobody else's message waiting longer than for its turn.
#[test]
fn the_burst_of_one_is_not_before_what_others_send() {
    let (mut world, mut store, _) = burst("romeo@example.net/street", 900, 10);
    world.at_once = true;
    let benvolio = world.connect("benvolio@example.com/street");
    world.at_once = false;
    sends(&mut world, &mut store, benvolio, chat(10_000, 10));
    let under_way = store.by_others().0;
    store.work_off(&mut world);
    let place = stored(&world).iter().position(|number| *number == 10_000).unwrap();
    assert!(place <= under_way + 2, "{place} behind {under_way}");
}

// RFC 6120 §10.1: a contact's request comes behind its messages, those too that have not had their turn.
#[test]
fn requests_wait_for_all_of_it() {
    let (mut world, mut store, _) = burst("benvolio@example.com/street", 300, 10);
    let benvolio = world.router.sessions(&bare("benvolio@example.com")).next().unwrap();
    let version = request(IqType::Get, "<query xmlns='jabber:iq:version'/>").with_to(jid(JULIET));
    let answers = |effects: &[Effect]| {
        effects
            .iter()
            .any(|effect| matches!(effect, Effect::Deliver { stanza, .. } if stanza.head.kind.is_error()))
    };
    assert!(!answers(&sends(&mut world, &mut store, benvolio, version)));
    while let Some(effects) = store.work(&mut world) {
        assert_eq!(answers(&effects), stored(&world).len() == 300 && store.asked.is_empty());
    }
}

// A store that hangs: all ends when it would without turns, and what has ended is not stored later. Strangers hear nothing.
#[test]
fn a_store_that_hangs_ends_all_at_once() {
    for (from, told) in [("romeo@example.net/street", 0), ("benvolio@example.com/street", 499)] {
        let (mut world, mut store, _) = burst(from, 500, 10);
        assert_eq!(world.router.counts().asks, 500);
        world.now = world.now + Duration::from_secs(30);
        let mut effects = Vec::new();
        // An answer that comes then asks for nothing whose time is over.
        let (ticket, ask) = store.asked.pop_front().unwrap();
        let answer = world.ask(ask);
        world.router.answer(world.now, ticket, answer, &mut effects);
        world.router.tick(world.now, &mut effects);
        assert_eq!(errors(&effects), told);
        assert!(tickets(&effects).is_empty(), "{from}");
        let counts = world.router.counts();
        assert_eq!((counts.asks, counts.loaded), (0, 1), "the sender is there");
        // And the next burst is stored.
        store.asked.clear();
        let sender = world.router.sessions(&jid(from).to_bare()).next().unwrap();
        for number in 1_000..1_300 {
            sends(&mut world, &mut store, sender, chat(number, 10));
        }
        store.work_off(&mut world);
        assert_eq!(stored(&world)[1..], (1_000..1_300).collect::<Vec<_>>());
    }
}

// Whoever needs an account for which much is still to be stored has it loaded behind that. A store that is slow has as much time for it as for what it is asked
// at once; one that hangs is not asked for it for ever.
#[test]
fn an_account_is_loaded_in_the_time_since_the_store_is_asked() {
    for hangs in [false, true] {
        let sender = "benvolio@example.com/street";
        let (mut world, mut store, _) = burst(sender, 300, 10);
        store.fail(&mut world, 0);
        let benvolio = world.router.sessions(&jid(sender).to_bare()).next().unwrap();
        let begun = world.now;
        world.now = begun + Duration::from_secs(1);
        sends(&mut world, &mut store, benvolio, chat(300, 10));
        // The last of it is stored just in time.
        world.now = begun + Duration::from_secs(29);
        let is_load = |asked: &VecDeque<(Ticket, Ask)>| matches!(asked.front(), Some((_, Ask::Load { .. })));
        while !is_load(&store.asked) {
            assert_eq!(errors(&store.work(&mut world).unwrap()), 0);
        }
        assert_eq!((stored(&world).len(), store.asked.len()), (300, 1));
        let late = if hangs { 59 } else { 58 };
        world.now = begun + Duration::from_secs(late);
        let mut effects = vec![];
        world.router.tick(world.now, &mut effects);
        assert_eq!(errors(&effects), usize::from(hangs));
        store.work_off(&mut world);
        assert_eq!(stored(&world).len(), 300 + usize::from(!hangs));
        assert_eq!(world.router.counts().asks, 0);
    }
}

// What waits for its turn when the account ends has failed, as what arrives then has.
#[test]
fn what_waits_ends_with_its_account() {
    for (from, is_told) in [("romeo@example.net/street", false), ("benvolio@example.com/street", true)] {
        let (mut world, mut store, _) = burst(from, 400, 10);
        let under_way = store.by_others().0;
        let mut effects = world.removed(JULIET);
        store.take(&mut world, &mut effects);
        effects.extend(store.work_off(&mut world));
        assert!(world.store.kept(&bare(JULIET)).is_none());
        // What the store had before the account ended was stored.
        assert_eq!(errors(&effects), if is_told { 400 - under_way } else { 0 });
        let counts = world.router.counts();
        assert_eq!((counts.asks, counts.loaded, store.refused), (0, 1, 0));
    }
}

// RFC 6121 §8.1, docs/guarantees.md: so do those hear of it who may whose messages had been taken for a session, and those at other servers. Strangers
// hear nothing, unless they are told elsewhere, too, that there is nobody.
#[test]
fn who_may_know_hears_that_an_account_has_ended() {
    let mercutio = "mercutio@verona.lit/square";
    for (from, tells_strangers, is_told) in [
        ("romeo@example.net/street", false, false),
        ("romeo@example.net/street", true, true),
        ("benvolio@example.com/street", false, true),
        (mercutio, false, true),
    ] {
        let mut config = with_much();
        config.tell_strangers = tells_strangers;
        let mut world = world_of(config);
        world.befriend(JULIET, "mercutio@verona.lit", Subscription::Both);
        let sender = (from != mercutio).then(|| world.connect(from));
        let phone = world.available("juliet@example.com/phone", 0);
        for number in 0..400 {
            // Nothing of it is on the network.
            let mut effects = vec![];
            match sender {
                Some(sender) => effects.extend(world.brings(sender, chat(number, 10))),
                None => world.router.receive(world.now, chat(number, 10).with_from(jid(from)), &mut effects),
            }
            while world.router.take_in(world.now, &mut effects) {}
        }
        world.at_once = false;
        let (mut store, mut effects) = (Narrow::new(), vec![]);
        world.router.unbind(world.now, phone, &mut effects);
        world.router.gone(world.now, phone, &mut effects);
        store.take(&mut world, &mut effects);
        let under_way = store.by_others().0;
        assert!(errors(&effects) == 0 && (1..400).contains(&under_way));
        let mut effects = world.removed(JULIET);
        store.take(&mut world, &mut effects);
        effects.extend(store.work_off(&mut world));
        assert!(world.store.kept(&bare(JULIET)).is_none());
        assert_eq!(errors(&effects), if is_told { 400 - under_way } else { 0 }, "{from}");
        assert_eq!((world.router.counts().asks, store.refused), (0, 0));
    }
}

// An account that can't be served any more is still there: all that waits for its turn is stored, and the store has no more at a time than
// before. Who comes then gets it before what is sent later (RFC 6120 §10.1).
#[test]
fn what_waits_outlives_an_account_that_fails() {
    let (mut world, mut store, mut effects) = burst("romeo@example.net/street", 400, 10);
    effects.extend(store.fail(&mut world, 0));
    assert_eq!(world.router.counts().loaded, 2, "romeo and who asks juliet");
    let romeo = world.router.sessions(&bare("romeo@example.net")).next().unwrap();
    effects.extend(sends(&mut world, &mut store, romeo, chat(400, 10)));
    assert_eq!(store.place(JULIET, |ask| matches!(ask, Ask::Load { .. })), None, "that is behind it");
    effects.extend(store.work_off(&mut world));
    assert_eq!((stored(&world), errors(&effects)), ((0..401).collect(), 0));
    assert_eq!((store.refused, store.most), (0, with_much().limits.storing));
    assert_eq!((world.router.counts().asks, world.router.counts().loaded), (0, 2));
}

// Not what was for the account before: one that was made anew gets nothing of it, and those hear so who may.
#[test]
fn what_waits_is_not_for_an_account_of_the_same_name() {
    for (from, is_told) in [("romeo@example.net/street", false), ("benvolio@example.com/street", true)] {
        let (mut world, mut store, mut effects) = burst(from, 400, 10);
        effects.extend(store.fail(&mut world, 0));
        world.store.remove(&bare(JULIET));
        world.store.create(bare(JULIET));
        let sender = world.router.sessions(&jid(from).to_bare()).next().unwrap();
        effects.extend(sends(&mut world, &mut store, sender, chat(400, 10)));
        effects.extend(store.work_off(&mut world));
        assert_eq!((stored(&world), store.refused), (vec![400], 0));
        assert_eq!(errors(&effects), if is_told { 400 } else { 0 });
        assert_eq!(world.router.counts().asks, 0);
    }
}

// A store that is slow while the server ends: what was about to expire waits on, and has its turn.
#[test]
fn what_waits_on_has_its_turn() {
    let (mut world, mut store, mut effects) = burst("benvolio@example.com/street", 200, 10);
    world.now = world.now + Duration::from_secs(30);
    // Nothing is asked for any more that is about to expire.
    while !store.asked.is_empty() {
        effects.extend(store.work(&mut world).unwrap());
    }
    assert!(world.router.counts().asks > 0);
    let mut delayed = vec![];
    world.router.wait_anew(world.now, &mut delayed);
    store.take(&mut world, &mut delayed);
    effects.extend(store.work_off(&mut world));
    assert_eq!((stored(&world), errors(&effects)), ((0..200).collect(), 0));
    assert_eq!((store.refused, world.router.counts().asks), (0, 0));
}

// Much for a client that has lost its connection is all on disk (docs/guarantees.md), and is forgotten when the client has it.
#[test]
fn a_burst_for_a_session_without_a_connection_is_written() {
    for acknowledges_early in [false, true] {
        let mut world = world();
        let sender = world.connect("romeo@example.net/street");
        let phone = world.available("juliet@example.com/phone", 0);
        assert!(world.router.manage(phone, Duration::from_secs(600), &mut Vec::new()));
        let mut effects = Vec::new();
        assert!(world.router.detach(world.now, phone, &mut effects));
        world.serve(&mut effects);
        world.at_once = false;
        let mut store = Narrow::new();
        for number in 0..600 {
            sends(&mut world, &mut store, sender, chat(number, 10));
        }
        let documents = |world: &World| world.store.documents(&bare(JULIET), "undelivered").count();
        if !acknowledges_early {
            store.work_off(&mut world);
            assert_eq!((documents(&world), store.refused), (600, 0));
        }
        let mut effects = Vec::new();
        assert!(world.router.resume(world.now, phone, &bare(JULIET), 0, &mut effects));
        world.router.drained(world.now, phone, u64::MAX, &mut effects);
        world.router.acknowledged(world.now, phone, 600, &mut effects);
        store.take(&mut world, &mut effects);
        store.work_off(&mut world);
        assert_eq!((documents(&world), store.refused, world.router.counts().asks), (0, 0, 0));
    }
}

// Messages that come back from a session which has ended are as many as it had.
#[test]
fn what_a_session_has_not_got_is_stored() {
    let mut world = world();
    let sender = world.connect("romeo@example.net/street");
    let phone = world.available("juliet@example.com/phone", 0);
    let mut store = Narrow::new();
    for number in 0..700 {
        let mut effects = world.brings(sender, chat(number, 1_000));
        while world.router.take_in(world.now, &mut effects) {}
    }
    world.at_once = false;
    let mut effects = Vec::new();
    world.router.unbind(world.now, phone, &mut effects);
    world.router.gone(world.now, phone, &mut effects);
    store.take(&mut world, &mut effects);
    store.work_off(&mut world);
    assert_eq!((stored(&world), store.refused), ((0..700).collect(), 0));
    let again = world.available("juliet@example.com/phone", 0);
    assert!(world.router.jid(again).is_some());
}

/// What happens while several send.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// One of them sends so many messages of this size.
    Send(usize, usize, usize),
    /// The store does so many things.
    Work(usize),
    /// Juliet is served no more, if she is loaded.
    Fail,
    /// She comes, and gets what waits for her; or goes.
    Come,
    Go,
    /// It has taken so long that all that is open is over. The store does so many things, and then the server, which is about to end, lets the rest wait on.
    Late(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let size = prop_oneof![4 => 0..40_usize, 1 => 0..3_000_usize];
    prop_oneof![
        10 => (0..4_usize, size, 1..34_usize).prop_map(|(sender, size, count)| Step::Send(sender, size, count)),
        2 => (0..60_usize).prop_map(Step::Work),
        3 => Just(Step::Fail),
        2 => Just(Step::Come),
        1 => Just(Step::Go),
        1 => (0..200_usize).prop_map(Step::Late),
    ]
}

/// Several who send to juliet, who comes and goes.
struct History {
    world: World,
    store: Narrow,
    juliet: Option<SessionId>,
    came: u64,
    /// What she has got.
    got: Vec<usize>,
    errors: usize,
}

impl History {
    /// Juliet gets what is for her, and the store is asked.
    fn take(&mut self, mut effects: Vec<Effect>) {
        while !effects.is_empty() {
            self.errors += errors(&effects);
            let mut more = vec![];
            for effect in effects {
                match effect {
                    Effect::Deliver { session, stanza } if Some(session) == self.juliet => {
                        let is_chat = matches!(stanza.head.kind, Kind::Message(_));
                        self.got.extend(
                            stanza
                                .head
                                .id
                                .as_ref()
                                .filter(|_| is_chat)
                                .map(|id| id.parse::<usize>().unwrap()),
                        );
                        self.world.router.drained(self.world.now, session, u64::MAX, &mut more);
                    }
                    Effect::Close { session, .. } if Some(session) == self.juliet => {
                        self.juliet = None;
                        self.world.router.gone(self.world.now, session, &mut more);
                    }
                    _ => {}
                }
            }
            self.store.take(&mut self.world, &mut more);
            effects = more;
        }
    }

    fn work(&mut self, times: usize) {
        for _ in 0..times {
            let Some(effects) = self.store.work(&mut self.world) else { return };
            self.take(effects);
        }
    }

    fn go(&mut self) {
        let Some(juliet) = self.juliet.take() else { return };
        let mut effects = vec![];
        self.world.router.unbind(self.world.now, juliet, &mut effects);
        self.world.router.gone(self.world.now, juliet, &mut effects);
        self.store.take(&mut self.world, &mut effects);
        self.take(effects);
    }

    fn come(&mut self) {
        self.go();
        self.came += 1;
        let (juliet, mut effects) = (SessionId(self.came), vec![]);
        self.juliet = Some(juliet);
        let now = self.world.now;
        self.world.router.bind(now, juliet, &bare(JULIET), Some("balcony"), &mut effects).unwrap();
        self.store.take(&mut self.world, &mut effects);
        effects.extend(sends(&mut self.world, &mut self.store, juliet, available(0)));
        self.take(effects);
        self.work(usize::MAX);
    }

    /// What is over waits on.
    fn late(&mut self, works: usize) {
        self.world.now = self.world.now + Duration::from_secs(31);
        self.work(works);
        let mut effects = vec![];
        self.world.router.wait_anew(self.world.now, &mut effects);
        self.store.take(&mut self.world, &mut effects);
        self.take(effects);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    // docs/limits.md, RFC 6120 §10.1: however much several send, how slow the store is, and whatever becomes of the account in memory, the store is
    // never asked for more than so much at a time, nothing is lost, and all comes in the order in which each has sent it.
    #[test]
    fn bursts_of_several_are_stored(steps in prop::collection::vec(step(), 1..30)) {
        // As much less than usual as they send less. The store has twice the room.
        let mut config = with_much();
        config.limits.storing = 16;
        let mut store = Narrow::new();
        store.requests = 32;
        let mut world = world_of(config);
        let senders = ["romeo@example.net/1", "benvolio@example.com/1", "romeo@example.net/2", "tybalt@example.com/1"];
        let senders = senders.map(|sender| world.connect(sender));
        world.at_once = false;
        let mut history = History { world, store, juliet: None, came: 0, got: vec![], errors: 0 };
        // Who has sent what. Sessions of one account share one line.
        let mut sent = vec![];
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Send(sender, size, count) => {
                    for _ in 0..count {
                        let effects = sends(&mut history.world, &mut history.store, senders[sender], chat(sent.len(), size));
                        sent.push(if sender == 2 { 0 } else { sender });
                        history.take(effects);
                    }
                }
                Step::Work(times) => history.work(times),
                Step::Fail => {
                    let effects = history.store.fail(&mut history.world, number);
                    history.take(effects);
                }
                Step::Come => history.come(),
                Step::Go => history.go(),
                Step::Late(works) => history.late(works),
            }
        }
        history.come();
        let History { world, store, got, errors, .. } = history;
        prop_assert_eq!((store.refused, errors, world.router.counts().asks), (0, 0, 0));
        prop_assert!(store.most <= 16);
        prop_assert!(stored(&world).is_empty());
        for sender in [0, 1, 3] {
            let own = |number: &usize| sent[*number] == sender;
            let come: Vec<usize> = got.iter().copied().filter(own).collect();
            prop_assert_eq!(come, (0..sent.len()).filter(own).collect::<Vec<_>>());
        }
    }
}
