//! Delivery of one message, with few and with many bound resources.
#![allow(clippy::unwrap_used, missing_docs)]

use core::hint::black_box;
use std::collections::{BTreeMap, BTreeSet};

use balcony_jid::{BareJid, Jid};
use balcony_machine::{Instant, Seed};
use balcony_roster::{Item, Parts, Subscription, Version};
use balcony_router::{Answer, Config, Effect, Kept, Memory, Router, SessionId};
use balcony_stanza::{MessageType, PresenceType, Stanza};
use balcony_xml::{Element, Name};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

const PER_ACCOUNT: usize = 10;
/// Messages of one measurement; their recipients lie far apart.
const BATCH: usize = 1_000;

fn account(number: usize) -> BareJid {
    format!("user{number}@example.com").parse().unwrap()
}

/// How many stanzas each session has got.
struct Network(Vec<u64>);

impl Network {
    /// Says that all has been written that was to be, so that there is room for more.
    fn take(&mut self, router: &mut Router, effects: &[Effect]) {
        let mut more = Vec::new();
        for effect in effects {
            let Effect::Deliver { session, .. } = effect else { continue };
            let count = &mut self.0[session.0 as usize];
            *count += 1;
            router.drained(Instant::ZERO, *session, *count, &mut more);
        }
        assert!(more.is_empty(), "nothing waits: {more:?}");
    }
}

/// Who writes to whom: the accounts by number, of so many.
fn pair(message: usize, accounts: usize) -> (usize, usize) {
    (message * 7919 % accounts, message * 104_729 % accounts)
}

/// An account that sees the presence of these, and they its own.
fn kept(contacts: &BTreeSet<usize>) -> Kept {
    let items = contacts.iter().map(|contact| {
        let mut item = Item::new(account(*contact));
        item.subscription = Subscription::Both;
        item
    });
    let parts = Parts { version: Version(1), items: items.collect(), requests: vec![], changes: vec![] };
    Kept { roster: Some(parts), ..Kept::default() }
}

/// A router with this many resources, all available, of which one of each account has the highest priority. Those who write to each other
/// are contacts or not.
fn router(resources: usize, are_contacts: bool) -> (Router, Network) {
    let priority = Element::new(Name::from_static("priority"), "jabber:client").text("5");
    let (low, high) = (
        Stanza::presence(PresenceType::Available),
        Stanza::presence(PresenceType::Available).with_child(priority),
    );
    let mut router = Router::new(Config::new(vec!["example.com".parse().unwrap()]), &Seed::from_u64(1));
    let (mut store, mut effects) = (Memory::default(), Vec::new());
    let mut network = Network(vec![0; resources]);
    let mut contacts: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
    let pairs = (0..BATCH).map(|message| pair(message, resources / PER_ACCOUNT));
    for (one, other) in pairs.filter(|(one, other)| are_contacts && one != other) {
        contacts.entry(one).or_default().insert(other);
        contacts.entry(other).or_default().insert(one);
    }
    for number in 0..resources {
        let (session, name) = (SessionId(number as u64), format!("r{}", number % PER_ACCOUNT));
        let own = account(number / PER_ACCOUNT);
        router.bind(Instant::ZERO, session, &own, Some(&name), &mut effects).unwrap();
        match contacts.get(&(number / PER_ACCOUNT)) {
            Some(contacts) => store.keep(own, kept(contacts)),
            None => store.create(own),
        }
        if let Some(Effect::Ask { ticket, ask }) = effects.pop() {
            let answer = store.answer(0, ask);
            router.answer(Instant::ZERO, ticket, answer, &mut effects);
        }
        let presence = if number % PER_ACCOUNT == 3 { &high } else { &low };
        router.route(Instant::ZERO, session, presence.clone(), &mut effects);
        network.take(&mut router, &effects);
        effects.clear();
    }
    (router, network)
}

fn messages(resources: usize, full: bool) -> Vec<(SessionId, Stanza)> {
    let accounts = resources / PER_ACCOUNT;
    (0..BATCH)
        .map(|i| {
            let (from, to) = pair(i, accounts);
            let to: Jid = match full {
                true => account(to).with_resource("r7").unwrap().into(),
                false => account(to).into(),
            };
            let stanza = Stanza::message(MessageType::Chat)
                .with_from(account(from).with_resource("r0").unwrap().into())
                .with_to(to)
                .with_id("m1");
            (SessionId((from * PER_ACCOUNT) as u64), stanza)
        })
        .collect()
}

fn delivery(c: &mut Criterion) {
    for (whom, full, are_contacts) in [
        ("a contact's bare JID", false, true),
        ("a contact's full JID", true, true),
        ("a stranger's bare JID", false, false),
    ] {
        let mut group = c.benchmark_group(format!("route a message to {whom}"));
        group.throughput(Throughput::Elements(BATCH as u64));
        for resources in [1_000, 100_000] {
            let ((mut router, mut network), messages) =
                (router(resources, are_contacts), messages(resources, full));
            let mut effects = Vec::with_capacity(BATCH);
            group.bench_function(format!("{resources} resources"), |b| {
                b.iter_batched(
                    || messages.clone(),
                    |messages| {
                        effects.clear();
                        for (from, stanza) in messages {
                            router.route(Instant::ZERO, from, stanza, &mut effects);
                        }
                        while router.take_in(Instant::ZERO, &mut effects) {}
                        assert_eq!(black_box(&effects).len(), BATCH);
                        network.take(&mut router, &effects);
                    },
                    BatchSize::LargeInput,
                );
            });
        }
    }
}

/// A message to an address that does not exist, while others wait for answers of the store: what they wait for costs nobody else.
fn to_nobody(c: &mut Criterion) {
    let mut group = c.benchmark_group("route a message to nobody");
    for others in [1, 1_000] {
        let (mut router, _) = router(10 * PER_ACCOUNT, false);
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

criterion_group!(benches, delivery, to_nobody);
criterion_main!(benches);
