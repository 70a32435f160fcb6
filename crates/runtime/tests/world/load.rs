//! Much at once, and peers that go without a word: nothing is lost or out of order (RFC 6120 section 10.1), nobody is held up,
//! and who is gone is found out (section 4.6).

use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Instant;

use balcony_client::{Contacts, RequestKind, RequestOutcome};
use balcony_runtime::{Socket, Transport};
use balcony_server::Ask;

use super::rough::connections;
use super::*;
use balcony_runtime::Pipe;

/// Messages of a burst.
const BURST: usize = 1_500;

// RFC 6120 §10.1: in order, and each of them
pub(crate) async fn a_burst_arrives_whole() {
    let world = World::new().await;
    let mut romeo = world.online("romeo@localhost/orchard", 0).await;
    let mut juliet = world.online("juliet@localhost/balcony", 0).await;
    let (to, filling) = (romeo.jid().to_string(), "O, ".repeat(300));
    let send = async {
        for number in 0..BURST {
            soon(juliet.send(&chat(&to, &format!("{number} {filling}")))).await.unwrap();
        }
    };
    let hear = async {
        for number in 0..BURST {
            let heard = body(&message(&mut romeo).await);
            assert!(heard.starts_with(&format!("{number} O, ")), "{number}: {heard}");
        }
    };
    runtime::both(send, hear).await;
}

// RFC 6120 §10.1: a reader that takes its time loses nothing, and nobody waits for it
pub(crate) async fn a_burst_to_a_slow_reader_arrives_whole() {
    let world = World::new().await;
    let mut romeo = world.online("romeo@localhost/orchard", 0).await;
    let mut juliet = world.online("juliet@localhost/balcony", 0).await;
    let (to, filling) = (romeo.jid().to_string(), "Wherefore? ".repeat(1_000));
    // 8 MB, while nothing is read.
    for number in 0..730 {
        soon(juliet.send(&chat(&to, &format!("{number} {filling}")))).await.unwrap();
    }
    ask(&mut juliet).await;
    for number in 0..730 {
        let heard = body(&message(&mut romeo).await);
        assert!(heard.starts_with(&format!("{number} Wherefore? ")), "{number}: {}", &heard[..20]);
    }
}

/// Asks the server something, and waits for the answer.
async fn ask(client: &mut ConnectedClient) {
    let outcome = client.request(RequestKind::Get, Some("localhost".parse().unwrap()), ping(), PATIENCE);
    assert!(matches!(soon(outcome).await, Ok(RequestOutcome::Result(_))));
}

// RFC 6120 §13.12: whoever has more to say than is read in a turn waits for the next
pub(crate) async fn one_that_sends_all_the_time_holds_up_nobody() {
    let world = World::with(|config| config.tls = balcony_stream::TlsPolicy::Optional, 100).await;
    let mut juliet = world.online("juliet@localhost/balcony", 0).await;
    let (is_over, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let address = ("127.0.0.1", world.ports[0]);
    let floods: Vec<_> = (0..3)
        .map(|_| {
            let (is_over, sent) = (Arc::clone(&is_over), Arc::clone(&sent));
            std::thread::spawn(move || {
                let mut raw = TcpStream::connect(address).unwrap();
                raw.write_all(
                    b"<stream:stream to='localhost' version='1.0' xmlns='jabber:client' \
                      xmlns:stream='http://etherx.jabber.org/streams'>",
                )
                .unwrap();
                while !is_over.load(Ordering::SeqCst) {
                    raw.write_all(&[b' '; 65_536]).unwrap();
                    sent.fetch_add(65_536, Ordering::SeqCst);
                }
            })
        })
        .collect();
    let begin = Instant::now();
    for _ in 0..50 {
        ask(&mut juliet).await;
    }
    while sent.load(Ordering::SeqCst) < 5_000_000 {
        assert!(begin.elapsed() < PATIENCE, "they are held up themselves");
        ask(&mut juliet).await;
    }
    is_over.store(true, Ordering::SeqCst);
    floods.into_iter().for_each(|flood| flood.join().unwrap());
}

pub(crate) async fn dropped_clients_are_offline() {
    let world = World::with(|config| config.stream_management = false, 100).await;
    let romeo = world.online("romeo@localhost/orchard", 0).await;
    let mut juliet = world.online("juliet@localhost/balcony", 0).await;
    drop(romeo);
    connections(&world, 1).await;
    assert_eq!(soon(world.server.stats()).await.sessions, 1);
    ask(&mut juliet).await;
}

// RFC 6120 §4.6: a peer whose network takes nothing any more is found out before it is written off by its silence
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) async fn dead_peers_are_offline() {
    let mut options = Options::default();
    options.unacknowledged = Duration::from_secs(1);
    let world = World::with_options(options, |config| config.stream_management = false, 100).await;
    // It is not polled any more, so that its window closes: what is in the server's socket is not acknowledged.
    let _romeo = world.online("romeo@localhost/orchard", 0).await;
    let mut juliet = world.online("juliet@localhost/balcony", 0).await;
    let long = chat("romeo@localhost/orchard", &"Wherefore art thou? ".repeat(50));
    let (mut sent, begin) = (0, Instant::now());
    while soon(world.server.stats()).await.sessions == 2 {
        assert!(begin.elapsed() < PATIENCE, "it is taken for alive");
        // More than a window, less than the server would keep. A slow machine may find out before all is sent.
        if sent < 700 {
            soon(juliet.send(&long)).await.unwrap();
            sent += 1;
        } else {
            runtime::timeout(Duration::from_millis(50), juliet.next()).await;
        }
    }
    connections(&world, 1).await;
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) async fn dead_peers_are_offline() {}

// RFC 6120 §4.9.3.4
pub(crate) async fn silent_connections_time_out() {
    let world = World::with(|config| config.limits.negotiation = Duration::from_millis(300), 100).await;
    let begin = Instant::now();
    for port in &world.ports {
        let mut raw = TcpStream::connect(("127.0.0.1", *port)).unwrap();
        raw.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut answer = Vec::new();
        raw.read_to_end(&mut answer).unwrap();
        let answer = String::from_utf8_lossy(&answer);
        assert_eq!(answer.contains("was sent for too long"), *port == world.ports[0], "{answer}");
    }
    assert!(begin.elapsed() >= Duration::from_millis(1200));
    connections(&world, 0).await;
}

pub(crate) async fn a_store_that_never_answers_does_not_hold_up_the_end() {
    let accounts = accounts::ask();
    let asking = move |ask, reply| {
        if let Ask::Stream(_) = ask {
            accounts(ask, reply);
        }
    };
    let (certificate, trust) = certificate();
    let mut config = config(certificate);
    config.limits.answer = Duration::from_millis(1500);
    config.limits.closing = Duration::from_millis(200);
    let (server, ports) = runtime::serve(Options::default(), config, asking, 100).await;
    let world = World { server, trust, ports };
    let login = world.connect(world.account("romeo@localhost"), false);
    if let Some(Ok(mut romeo)) = runtime::timeout(Duration::from_secs(1), login).await {
        let roster = Contacts::new(romeo.jid().to_bare()).get(romeo.machine().features());
        let _ = runtime::timeout(
            Duration::from_millis(200),
            romeo.request(RequestKind::Get, None, roster, PATIENCE),
        )
        .await;
    }
    let begin = Instant::now();
    soon(world.server.shutdown()).await;
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
}

// What is no TCP socket at all.
pub(crate) async fn pipes_are_sockets() {
    let (ours, theirs) = Pipe::pair(1_000);
    other_transports(ours, theirs).await;
}

pub(crate) async fn other_transports(ours: impl Socket, theirs: impl Socket) {
    let world = World::new().await;
    world.server.connect(theirs, "a pipe", Transport::Stream);
    let config = world.account("romeo@localhost/orchard");
    let mut romeo =
        soon(ConnectedClient::over(crate::kind::with(Options::default()), ours, config)).await.unwrap();
    let mut juliet = world.online("juliet@localhost/balcony", 0).await;
    soon(romeo.send(&chat("juliet@localhost/balcony", &"long ".repeat(3_000)))).await.unwrap();
    assert_eq!(body(&message(&mut juliet).await).len(), 15_000);
    soon(juliet.send(&chat("romeo@localhost/orchard", &"long ".repeat(3_000)))).await.unwrap();
    assert_eq!(body(&message(&mut romeo).await).len(), 15_000);
    soon(romeo.close()).await.unwrap();
    connections(&world, 1).await;
    soon(world.server.shutdown()).await;
}
