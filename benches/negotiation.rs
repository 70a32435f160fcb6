//! A whole negotiation of a pair of streams, from the first byte to the bound resource.
//!
//! SCRAM is measured with its two PBKDF2 computations of 4,096 iterations, which is nearly all of it; PLAIN needs one
//! on the server. `headers` is a negotiation that ends before authentication: what framing and features cost.
#![allow(missing_docs, reason = "criterion's macros make undocumented items")]
#![allow(clippy::disallowed_methods, reason = "a benchmark looks at the clock")]

use core::time::Duration;
use std::time::Instant;

use balcony_machine::Secret;
use balcony_sasl::Mechanism;
use balcony_sim::{Accounts, Chunks, Pair};
use balcony_stream::client::ClientStreamConfig;
use balcony_stream::server::ServerStreamConfig;
use balcony_stream::{Security, TlsPolicy};
use balcony_tls::{Session, Status, TlsIdentity, TlsTrust, self_signed};
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

/// The server's part of a TLS handshake alone, up to the first bytes of the client that it can read: with a client that comes for the
/// first time, and with one that goes on with a session of before, by a ticket.
fn tls(criterion: &mut Criterion) {
    let (certificate, key) = self_signed(&["example.com"]).expect("a certificate");
    let identity =
        TlsIdentity::from_pem(certificate.as_bytes(), key.expose().as_bytes()).expect("an identity");
    let trust =
        || TlsTrust::builder().roots_pem(certificate.as_bytes()).expect("a root").build().expect("a trust");
    let known = trust();
    server_part(&identity, &known);
    let mut group = criterion.benchmark_group("tls");
    for (name, is_known) in
        [("first time, the server's part", false), ("by a ticket, the server's part", true)]
    {
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|count| {
                let one = |_| {
                    if is_known { server_part(&identity, &known) } else { server_part(&identity, &trust()) }
                };
                (0..count).map(one).sum()
            });
        });
    }
    group.finish();
}

/// How long a server takes for its part of a session until it reads what the client says.
fn server_part(identity: &TlsIdentity, trust: &TlsTrust) -> Duration {
    let (mut plain, mut to_server, mut to_client) = (Vec::new(), Vec::new(), Vec::new());
    let mut client = Session::client(trust, "example.com").expect("a session");
    client.read(&mut &[][..], &mut plain, &mut to_server).expect("a start");
    let mut took = Duration::ZERO;
    let start = Instant::now();
    let mut server = Session::server(identity).expect("a session");
    took += start.elapsed();
    let mut has_said = false;
    while !to_server.is_empty() {
        let start = Instant::now();
        server.read(&mut &*to_server, &mut plain, &mut to_client).expect("a good client");
        took += start.elapsed();
        to_server.clear();
        let status = client.read(&mut &*to_client, &mut plain, &mut to_server).expect("a good server");
        to_client.clear();
        if status == Status::Established && !core::mem::replace(&mut has_said, true) {
            client.write(b"<presence/>", &mut to_server).expect("a session");
        }
    }
    assert_eq!(plain, b"<presence/>");
    took
}

criterion_group!(benches, negotiation, tls);
criterion_main!(benches);
