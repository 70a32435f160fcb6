//! Delivery of one message, with few and with many bound resources.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

use core::hint::black_box;
use core::time::Duration;
use std::time::Instant as Clock;

use balcony_jid::{BareJid, Jid};
use balcony_machine::{Instant, Seed};
use balcony_roster::{Item, Parts, Subscription, Version};
use balcony_router::{Answer, Config, Effect, Kept, Memory, Router, SessionId};
use balcony_stanza::{MessageType, PresenceType, Stanza};
use balcony_xml::{Element, Name};
use criterion::Criterion;

const PER_ACCOUNT: usize = 10;
/// How many resources there are.
const CROWDS: [usize; 3] = [1_000, 100_000, 1_000_000];
/// So many people write to somebody each, if there are so many: nobody's turn comes again before that of all others.
const CONVERSATIONS: usize = 1 << 16;
/// So many messages are read, routed and written together.
const TURN: usize = 32;
/// So many are measured at once. The fastest of all rounds counts.
const ROUND: usize = 1 << 12;

fn account(number: usize) -> BareJid {
    format!("user{number}@example.com").parse().unwrap()
}

/// What `balcony` has: its allocator decides how far what is free lies from what is used.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Says that all has been written that was to be, so that there is room for more.
fn take(router: &mut Router, effects: &[Effect]) {
    let mut more = Vec::new();
    for effect in effects {
        let Effect::Deliver { session, .. } = effect else { continue };
        // A number of stanzas would have to lie somewhere, too, and here it is the router that is measured.
        router.drained(Instant::ZERO, *session, u64::MAX, &mut more);
    }
    assert!(more.is_empty(), "nothing waits: {more:?}");
}

/// An account that sees the presence of this contact, and the contact its own.
fn kept(contact: usize) -> Kept {
    let mut item = Item::new(account(contact));
    item.subscription = Subscription::Both;
    let parts = Parts { version: Version(1), items: vec![item], requests: vec![], changes: vec![] };
    Kept { roster: Some(parts), ..Kept::default() }
}

/// Whom messages are for.
#[derive(Clone, Copy)]
enum Whom {
    Contact,
    Resource,
    Stranger,
}

/// A router with so many resources, all available, of which one of each account has the highest priority, and what goes through it.
struct Crowd {
    resources: usize,
    router: Router,
    effects: Vec<Effect>,
    /// How many messages there were.
    sent: usize,
}

impl Crowd {
    /// Everybody has one contact.
    fn new(resources: usize) -> Crowd {
        let priority = Element::new(Name::from_static("priority"), "jabber:client").text("5");
        let (low, high) = (
            Stanza::presence(PresenceType::Available),
            Stanza::presence(PresenceType::Available).with_child(priority),
        );
        let router = Router::new(Config::new(vec!["example.com".parse().unwrap()]), &Seed::from_u64(1));
        let mut crowd = Crowd { resources, router, effects: Vec::new(), sent: 0 };
        for number in 0..resources {
            let (session, name) = (SessionId(number as u64), format!("r{}", number % PER_ACCOUNT));
            let own = account(number / PER_ACCOUNT);
            let (router, effects) = (&mut crowd.router, &mut crowd.effects);
            router.bind(Instant::ZERO, session, &own, Some(&name), effects).unwrap();
            if let Some(Effect::Ask { ticket, ask }) = effects.pop() {
                let mut store = Memory::default();
                store.keep(own, kept(crowd.contact(number / PER_ACCOUNT)));
                crowd.router.answer(Instant::ZERO, ticket, store.answer(0, ask), &mut crowd.effects);
            }
            let presence = if number % PER_ACCOUNT == 3 { &high } else { &low };
            crowd.router.route(Instant::ZERO, session, presence.clone(), &mut crowd.effects);
            take(&mut crowd.router, &crowd.effects);
            crowd.effects.clear();
        }
        crowd
    }

    fn accounts(&self) -> usize {
        self.resources / PER_ACCOUNT
    }

    /// The contact of an account, by number. It lies far away.
    fn contact(&self, of: usize) -> usize {
        (of + self.accounts() / 2) % self.accounts()
    }

    /// The next message, as it has just been read.
    fn message(&mut self, whom: Whom) -> (SessionId, Stanza) {
        let from = self.sent % CONVERSATIONS * 7919 % self.accounts();
        self.sent += 1;
        let contact = self.contact(from);
        let to: Jid = match whom {
            Whom::Contact => account(contact).into(),
            Whom::Resource => account(contact).with_resource("r7").unwrap().into(),
            Whom::Stranger => account((contact + 1) % self.accounts()).into(),
        };
        let from_jid = account(from).with_resource("r0").unwrap().into();
        let stanza = Stanza::message(MessageType::Chat).with_from(from_jid).with_to(to).with_id("m1");
        (SessionId((from * PER_ACCOUNT) as u64), stanza)
    }

    /// Takes these messages in, until the network has them.
    fn turn(&mut self, messages: Vec<(SessionId, Stanza)>) {
        self.router.look_ahead(messages.iter().map(|(from, stanza)| (*from, stanza)));
        for (from, stanza) in messages {
            self.router.route(Instant::ZERO, from, stanza, &mut self.effects);
        }
        while self.router.take_in(Instant::ZERO, &mut self.effects) {}
        assert_eq!(black_box(&self.effects).len(), TURN);
        take(&mut self.router, &self.effects);
        self.effects.clear();
    }

    /// How long a message takes in a round.
    fn round(&mut self, whom: Whom) -> Duration {
        let mut time = Duration::ZERO;
        for _ in 0..ROUND / TURN {
            let messages: Vec<_> = (0..TURN).map(|_| self.message(whom)).collect();
            let start = Clock::now();
            self.turn(messages);
            time += start.elapsed();
        }
        time / ROUND as u32
    }
}

/// Prints what a message costs, by how many resources are bound.
fn delivery(is_test: bool, is_quick: bool, title: impl Fn(&str) -> bool) {
    let kinds = [
        ("a contact's bare JID", Whom::Contact),
        ("a contact's full JID", Whom::Resource),
        ("a stranger's bare JID", Whom::Stranger),
    ];
    let kinds: Vec<_> =
        kinds.into_iter().filter(|(name, _)| title(&format!("route a message to {name}"))).collect();
    if kinds.is_empty() {
        return;
    }
    let sizes = if is_test { &CROWDS[..1] } else { &CROWDS[..] };
    let mut crowds: Vec<_> = sizes.iter().map(|resources| Crowd::new(*resources)).collect();
    let passes = if is_test {
        0
    } else if is_quick {
        1
    } else {
        4
    };
    let per_pass = CONVERSATIONS / ROUND;
    for (name, whom) in kinds {
        let mut fastest = vec![Duration::MAX; crowds.len()];
        // In turn, so that what else the machine does concerns all. In the first pass it is noted who writes to whom.
        for round in 0..(1 + passes) * per_pass {
            for (crowd, fastest) in crowds.iter_mut().zip(&mut fastest) {
                let time = crowd.round(whom);
                *fastest = if round < per_pass { *fastest } else { time.min(*fastest) };
            }
            if is_test {
                break;
            }
        }
        if !is_test {
            for (crowd, time) in crowds.iter().zip(&fastest) {
                let (resources, time) = (crowd.resources, time.as_nanos());
                let ratio = time as f64 / fastest[0].as_nanos() as f64;
                println!(
                    "{:<40}{time:>6} ns a message, {ratio:.2} times",
                    format!("{name}, {resources} resources")
                );
            }
        }
    }
}

/// A message to an address that does not exist, while others wait for answers of the store: what they wait for costs nobody else.
fn to_nobody(c: &mut Criterion) {
    let mut group = c.benchmark_group("route a message to nobody");
    for others in [1, 1_000] {
        let mut router = Crowd::new(10 * PER_ACCOUNT).router;
        let mut effects = Vec::new();
        let own: Jid = account(0).with_resource("r0").unwrap().into();
        for other in 0..others {
            let from = account(1 + other % 9).with_resource("r0").unwrap();
            let session = SessionId(((1 + other % 9) * PER_ACCOUNT) as u64);
            let to: Jid = format!("away{other}@example.com").parse().unwrap();
            let stanza = Stanza::message(MessageType::Chat).with_from(from.into()).with_to(to);
            router.route(Instant::ZERO, session, stanza, &mut effects);
        }
        while router.take_in(Instant::ZERO, &mut effects) {}
        let nobody =
            Stanza::message(MessageType::Chat).with_from(own).with_to("nobody@example.com".parse().unwrap());
        group.bench_function(format!("{others} others wait"), |b| {
            b.iter(|| {
                effects.clear();
                router.route(Instant::ZERO, SessionId(0), nobody.clone(), &mut effects);
                router.take_in(Instant::ZERO, &mut effects);
                let Some(Effect::Ask { ticket, .. }) =
                    effects.iter().find(|e| matches!(e, Effect::Ask { .. }))
                else {
                    panic!("{effects:?}")
                };
                let ticket = *ticket;
                router.answer(Instant::ZERO, ticket, Answer::Loaded(None), &mut effects);
            });
        });
        assert_eq!(router.counts().asks, others);
    }
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| args.iter().any(|arg| arg == flag);
    let filter = args.iter().find(|arg| !arg.starts_with('-'));
    // `cargo test` does everything once.
    delivery(!has("--bench"), has("--quick"), |title| {
        filter.is_none_or(|filter| title.contains(filter.as_str()))
    });
    let mut criterion = Criterion::default().configure_from_args();
    to_nobody(&mut criterion);
    criterion.final_summary();
}
