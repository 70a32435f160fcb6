//! What the disk costs: the embedded database in a folder of the system's temporary one.
//!
//! `start` and `offline` are larger than the rest: a store with a million accounts is made in some twenty seconds before the
//! first is measured.
#![allow(clippy::unwrap_used, missing_docs)]

use core::hint::black_box;
use std::sync::mpsc;

use balcony_jid::BareJid;
use balcony_router::extension::offline::OFFLINE;
use balcony_router::{Append, Change as Save, Content, LogEdit, Room};
use balcony_sasl::{Credentials, MIN_ITERATIONS, SALT_LENGTH};
use balcony_store::{Change, Reply, Request, Store, Worker};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

const ACCOUNTS: usize = 10_000;
const BATCH: usize = 1_000;
/// Accounts of a server that starts.
const AT_START: usize = 1_000_000;
/// Messages that are stored in each round.
const MESSAGES: usize = 10_000;

fn accounts(of: &str, number: usize) -> Vec<BareJid> {
    (0..number).map(|number| format!("{of}{number}@example.com").parse().unwrap()).collect()
}

/// One change that waits for the disk alone, and a thousand that share the wait.
fn write(c: &mut Criterion) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let credentials = Credentials::derive("r0m30myr0m30", &[7; SALT_LENGTH], MIN_ITERATIONS).unwrap();
    let changes: Vec<Change> = accounts("user", BATCH)
        .into_iter()
        .map(|account| Change::Create { account, credentials: credentials.clone(), replace: true })
        .collect();
    let mut group = c.benchmark_group("store/write");
    for changes in [&changes[..1], &changes] {
        group.throughput(Throughput::Elements(changes.len() as u64));
        group.bench_function(format!("{} in one commit", changes.len()), |b| {
            b.iter(|| store.commit(black_box(changes)).unwrap());
        });
    }
    group.finish();
}

/// An account among ten thousand.
fn read(c: &mut Criterion) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let accounts = accounts("user", ACCOUNTS);
    store.create_many(accounts.iter().map(|account| (account.clone(), Credentials::default()))).unwrap();
    let mut next = accounts.iter().cycle();
    let mut group = c.benchmark_group("store/read");
    group.bench_function("an account", |b| {
        b.iter_batched(|| next.next().unwrap(), |account| store.get(account).unwrap(), BatchSize::SmallInput);
    });
    group.bench_function("all that is kept for one", |b| {
        b.iter_batched(
            || next.next().unwrap(),
            |account| store.kept(account, &[]).unwrap(),
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

/// What a server does with its store before its ports are open: it opens it, and looks which mechanisms it can offer.
fn start(c: &mut Criterion) {
    let number = if is_measured() { AT_START } else { 1_000 };
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let credentials = Credentials::derive("r0m30myr0m30", &[7; SALT_LENGTH], MIN_ITERATIONS).unwrap();
    for accounts in accounts("user", number).chunks(ACCOUNTS) {
        store.create_many(accounts.iter().map(|account| (account.clone(), credentials.clone()))).unwrap();
    }
    drop(store);
    let mut group = c.benchmark_group("store/start");
    group.sample_size(10);
    group.bench_function(format!("{number} accounts"), |b| {
        b.iter_with_large_drop(|| {
            let store = Store::open(folder.path()).unwrap();
            assert!(store.all_have_sha512().unwrap());
            store
        });
    });
    group.finish();
}

/// Whether this is `cargo bench`, and not `cargo test`, which runs everything once.
fn is_measured() -> bool {
    std::env::args().any(|argument| argument == "--bench")
}

/// Messages for accounts that are away, through the threads before the store as a server has them stored: so many on their way at
/// the same time, each for another account than the one before, until all are on the disk.
fn offline(c: &mut Criterion) {
    let messages = if is_measured() { MESSAGES } else { 100 };
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let accounts = accounts("user", BATCH);
    store.create_many(accounts.iter().map(|account| (account.clone(), Credentials::default()))).unwrap();
    let creation = store.get(&accounts[0]).unwrap().unwrap().creation;
    let worker = Worker::start(store.clone());
    let (send, done) = mpsc::channel();
    let save = |number: usize, edit: LogEdit| {
        let place = number % accounts.len();
        // Accounts have got their numbers in this order.
        let changes = vec![Save::Log { creation: creation + place as u64, edit }];
        let (account, send) = (accounts[place].clone(), send.clone());
        let request = Request::Save { account, changes, by_others: true };
        let reply = Box::new(move |reply| send.send(reply).unwrap());
        worker.submit(request, reply).unwrap();
    };
    let append = || {
        let bytes = [b'x'; 250].as_slice().into();
        LogEdit::Append(Append {
            log: OFFLINE.into(),
            tag: "romeo@example.com".into(),
            content: Content { version: 1, bytes },
            room: Room { entries: 200, bytes: 4 << 20 },
        })
    };
    let is_done = |reply: Reply| assert!(matches!(reply, Reply::Changed(true)), "{reply:?}");
    let mut group = c.benchmark_group("store/offline");
    group.sample_size(10);
    group.throughput(Throughput::Elements(messages as u64));
    for window in [1_000, 100] {
        group.bench_function(format!("{messages} messages, {window} on their way"), |b| {
            b.iter_batched(
                || {
                    for number in 0..accounts.len() {
                        save(number, LogEdit::Trim { log: OFFLINE.into(), up_to: u64::MAX });
                    }
                    accounts.iter().for_each(|_| is_done(done.recv().unwrap()));
                },
                |()| {
                    for number in 0..messages {
                        if number >= window {
                            is_done(done.recv().unwrap());
                        }
                        save(number, append());
                    }
                    for _ in 0..messages.min(window) {
                        is_done(done.recv().unwrap());
                    }
                },
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, write, read, offline, start);
criterion_main!(benches);
