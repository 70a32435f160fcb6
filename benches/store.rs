//! What the disk costs: the embedded database in a folder of the system's temporary one.
#![allow(clippy::unwrap_used, missing_docs)]

use core::hint::black_box;

use balcony_jid::BareJid;
use balcony_sasl::{Credentials, MIN_ITERATIONS, SALT_LENGTH};
use balcony_store::{Change, Store};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

const ACCOUNTS: usize = 10_000;
const BATCH: usize = 1_000;

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

criterion_group!(benches, write, read);
criterion_main!(benches);
