//! A whole negotiation of a pair of streams, from the first byte to the bound resource.
//!
//! SCRAM is measured with its two PBKDF2 computations of 4,096 iterations, which is nearly all of it; PLAIN needs one
//! on the server. `headers` is a negotiation that ends before authentication: what framing and features cost.
#![allow(missing_docs, reason = "criterion's macros make undocumented items")]

use balcony_machine::Secret;
use balcony_sasl::Mechanism;
use balcony_sim::{Accounts, Chunks, Pair};
use balcony_stream::client::ClientStreamConfig;
use balcony_stream::server::ServerStreamConfig;
use balcony_stream::{Security, TlsPolicy};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};

fn pair(mechanisms: Vec<Mechanism>, chunks: Chunks, accounts: &Accounts) -> Pair {
    let account = "juliet@example.com".parse().expect("a JID");
    let mut client = ClientStreamConfig::new(account, Secret::new(String::from("pencil")));
    client.mechanisms = mechanisms;
    client.tls = TlsPolicy::Direct;
    let domain = "example.com".parse().expect("a domain");
    let mut server = ServerStreamConfig::new(vec![domain], Secret::new([9; 32]));
    server.tls = TlsPolicy::Direct;
    let mut pair = Pair::new(client, server, accounts.clone(), Some([5; 32]), chunks, 1);
    pair.client.secured(Security::new(Some([5; 32]))).expect("the handshake is due");
    pair.server.secured(Security::new(Some([5; 32]))).expect("the handshake is due");
    pair
}

fn negotiation(criterion: &mut Criterion) {
    let accounts = Accounts::new().with("juliet@example.com", "pencil");
    let mut group = criterion.benchmark_group("negotiation");
    for (name, mechanism) in [
        ("SCRAM-SHA-256-PLUS", Mechanism::ScramSha256Plus),
        ("SCRAM-SHA-1", Mechanism::ScramSha1),
        ("PLAIN", Mechanism::Plain),
    ] {
        group.bench_function(name, |bencher| {
            bencher.iter_batched(
                || pair(vec![mechanism], Chunks::Whole, &accounts),
                |mut pair| {
                    pair.run();
                    assert!(pair.client.is_open() && pair.server.is_open());
                    pair
                },
                BatchSize::SmallInput,
            );
        });
    }
    for (name, bytes) in [("headers", false), ("headers, byte by byte", true)] {
        group.bench_function(name, |bencher| {
            bencher.iter_batched(
                || pair(Vec::new(), if bytes { Chunks::Bytes } else { Chunks::Whole }, &accounts),
                |mut pair| {
                    pair.run();
                    assert!(!pair.client.is_open());
                    pair
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, negotiation);
criterion_main!(benches);
