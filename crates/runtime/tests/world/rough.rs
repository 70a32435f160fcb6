//! Clients that are wrong, slow or too many, and servers that end: each of them is told so (RFC 6120 section 4.9), and nobody
//! else notices.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;

use balcony_client::{Error as Ended, PumpError, RequestKind, RequestOutcome};
use balcony_sasl::SaslCondition;
use balcony_server::Removal;
use balcony_stanza::StreamCondition;
use balcony_stream::Error as StreamEnded;

use super::*;

/// Waits until the server has so many connections.
pub(super) async fn connections(world: &World, expected: usize) {
    let arrived = async {
        while world.server.stats().await.connections != expected {
            runtime::sleep(Duration::from_millis(5)).await;
        }
    };
    soon(arrived).await;
}

/// The condition with which the server ended the stream.
async fn ended(client: &mut ConnectedClient) -> StreamCondition {
    loop {
        match soon(client.next()).await {
            Ok(Some(_)) => {}
            Err(PumpError::Ended(Ended::Stream(StreamEnded::Remote(error)))) => return error.condition,
            other => panic!("{other:?}"),
        }
    }
}

// RFC 6120 §6.5.10
pub(crate) async fn wrong_passwords_are_refused() {
    let mut world = World::new().await;
    for (account, password) in [("romeo@localhost", "wrong"), ("tybalt@localhost", "tybalt-tybalt")] {
        let mut config = world.account(account);
        config.stream.password = Secret::new(password.into());
        let error = world.connect(config, false).await.unwrap_err();
        let refused = StreamEnded::Authentication(SaslCondition::NotAuthorized, None);
        assert!(
            matches!(
                &error,
                ConnectError::Stream {
                    error: Ended::Stream(StreamEnded::Authentication(SaslCondition::NotAuthorized, _)),
                    proven: true,
                }
            ),
            "{error} is not {refused}"
        );
        assert!(error.is_permanent());
        assert!(error.to_string().starts_with("wrong password, or no such account"), "{error}");
    }
    // Whoever does not look at certificates has heard it from somebody.
    world.trust = TlsTrust::builder().dangerous_accept_any().build().unwrap();
    let mut config = world.account("romeo@localhost");
    config.stream.password = Secret::new("wrong".into());
    let error = world.connect(config, false).await.unwrap_err();
    assert!(matches!(error, ConnectError::Stream { proven: false, .. }), "{error}");
    assert!(!error.is_permanent());
    connections(&world, 0).await;
}

// RFC 6120 §13.7.2: nobody but the server itself
pub(crate) async fn strange_certificates_are_refused() {
    let mut world = World::new().await;
    world.trust = certificate().1;
    let error = world.connect(world.account("romeo@localhost"), false).await.unwrap_err();
    // Another network may show another one.
    assert!(!error.is_permanent());
    assert!(error.to_string().contains("not signed by a trusted authority"), "{error}");
}

// RFC 6120 §4.9.3.20
pub(crate) async fn shutdown_ends_all_streams() {
    let world = World::new().await;
    let mut romeo = world.online("romeo@localhost/orchard", 0).await;
    let mut juliet = world.online("juliet@localhost/balcony", None).await;
    // Half a connection does not hold the server up.
    let _silent = TcpStream::connect(("127.0.0.1", world.ports[0])).unwrap();
    connections(&world, 3).await;
    let shutdown = async {
        let (romeo, juliet) = (ended(&mut romeo).await, ended(&mut juliet).await);
        assert_eq!([romeo, juliet], [StreamCondition::SystemShutdown; 2]);
    };
    let done_with_all = async { assert!(world.server.shutdown().await.unwrap().is_nothing()) };
    soon(runtime::both(done_with_all, shutdown)).await;

    let error = world.connect(world.account("romeo@localhost"), false).await.unwrap_err();
    assert!(!error.is_permanent());
    assert_eq!(
        error.to_string(),
        format!(
            "could not connect to localhost:{}: connection refused - is a server running there?",
            world.ports[0]
        )
    );
    // Late calls come to nothing, but they come back.
    assert_eq!(soon(world.server.stats()).await.connections, 0);
    assert!(soon(world.server.shutdown()).await.unwrap().is_nothing());
    soon(world.server.ended()).await;
}

// RFC 6120 §4.9.3.17: a peer that does not read loses its stream, and nobody else notices
pub(crate) async fn slow_readers_stall_nobody() {
    let small = |config: &mut ServerConfig| {
        config.limits.output = 65_536;
        config.limits.closing = Duration::from_millis(200);
    };
    let world = World::with(small, 100).await;
    let _slow = world.online("romeo@localhost/orchard", 0).await;
    let mut juliet = world.online("juliet@localhost/balcony", 0).await;
    let mut mercutio = world.online("mercutio@localhost/street", 0).await;
    let long = chat("romeo@localhost/orchard", &"Wherefore art thou? ".repeat(500));
    // The operating system takes some megabytes for the slow one before the server has to keep them.
    let mut sent = 0;
    while soon(world.server.stats()).await.sessions == 3 {
        for _ in 0..20 {
            soon(juliet.send(&long)).await.unwrap();
        }
        sent += 20;
        assert!(sent < 10_000, "the server keeps everything");
        let outcome =
            mercutio.request(RequestKind::Get, Some("localhost".parse().unwrap()), ping(), PATIENCE);
        assert!(matches!(soon(outcome).await, Ok(RequestOutcome::Result(_))));
    }
    assert!(sent > 20, "no message alone is too much");
    soon(juliet.send(&chat("mercutio@localhost/street", "he does not listen"))).await.unwrap();
    assert_eq!(body(&message(&mut mercutio).await), "he does not listen");
    // The socket is closed as well, although its peer has not read everything (RFC 6120 section 4.4).
    connections(&world, 2).await;
}

// RFC 6120 §4.6.1: one that never reads, and has not logged in, holds up neither the others nor the end
pub(crate) async fn one_that_never_reads_holds_up_nobody() {
    let impatient = |config: &mut ServerConfig| {
        (config.tls, config.registration) = (balcony_stream::TlsPolicy::Optional, true);
        config.limits.output = 65_536;
        config.limits.negotiation = Duration::from_secs(6);
        config.limits.closing = Duration::from_millis(200);
    };
    let world = World::with(impatient, 100).await;
    let mut juliet = world.online("juliet@localhost/balcony", 0).await;
    let never_reads = || {
        let mut raw = TcpStream::connect(("127.0.0.1", world.ports[0])).unwrap();
        raw.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
        raw.write_all(
            b"<stream:stream to='localhost' version='1.0' xmlns='jabber:client' \
              xmlns:stream='http://etherx.jabber.org/streams'>",
        )
        .unwrap();
        let form = "<iq type='get' id='1'><query xmlns='jabber:iq:register'/></iq>".repeat(1_000);
        // The operating system takes some megabytes of the answers, then the server reads no more.
        // On a busy machine its time for a negotiation may be over by then, and the connection is closed.
        let full = (0..1_000).find_map(|_| raw.write_all(form.as_bytes()).err()).unwrap();
        let is_closed = matches!(full.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe);
        assert!(is_closed || matches!(full.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{full}");
        raw
    };
    let _silent = never_reads();
    connections(&world, 1).await;
    let outcome = juliet.request(RequestKind::Get, Some("localhost".parse().unwrap()), ping(), PATIENCE);
    assert!(matches!(soon(outcome).await, Ok(RequestOutcome::Result(_))));
    let _another = never_reads();
    soon(world.server.shutdown()).await;
}

pub(crate) async fn removed_accounts_are_offline() {
    let world = World::new().await;
    let mut romeo = world.online("romeo@localhost/orchard", 0).await;
    let mut juliet = world.online("juliet@localhost/balcony", 0).await;
    let remove = || soon(world.server.remove_account("romeo@localhost".parse().unwrap()));
    assert_eq!(remove().await, Removal::Removed);
    assert_eq!(remove().await, Removal::Missing);
    let condition = ended(&mut romeo).await;
    assert_eq!(condition, StreamCondition::NotAuthorized);
    let outcome = juliet.request(RequestKind::Get, Some("localhost".parse().unwrap()), ping(), PATIENCE);
    assert!(matches!(soon(outcome).await, Ok(RequestOutcome::Result(_))));
    connections(&world, 1).await;
}

pub(crate) async fn too_many_connections_are_turned_away() {
    let world = World::with(|_| {}, 1).await;
    let mut romeo = world.online("romeo@localhost/orchard", 0).await;
    let error = world.connect(world.account("juliet@localhost"), false).await.unwrap_err();
    assert!(!error.is_permanent(), "{error}");
    assert!(error.to_string().contains("resource-constraint"), "{error}");
    // Whoever can be told without a TLS handshake is told, without a word of its own.
    for (port, words) in world.ports.iter().zip(["<resource-constraint ", "", "HTTP/1.1 503 ", ""]) {
        let mut raw = TcpStream::connect(("127.0.0.1", *port)).unwrap();
        raw.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut answer = Vec::new();
        raw.read_to_end(&mut answer).unwrap();
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.contains(words) && answer.is_empty() == words.is_empty(), "{answer}");
    }
    let to_myself = chat(romeo.jid().as_str(), "alone");
    soon(romeo.send(&to_myself)).await.unwrap();
    assert_eq!(body(&message(&mut romeo).await), "alone");
    soon(romeo.close()).await.unwrap();
    connections(&world, 0).await;
    world.online("juliet@localhost/balcony", 0).await;
}

// RFC 6120 §4.9.1.2: the error comes with a header and a closing tag, even if more is coming in
pub(crate) async fn garbage_gets_an_error_that_arrives() {
    let world = World::new().await;
    let mut raw = TcpStream::connect(("127.0.0.1", world.ports[0])).unwrap();
    raw.set_read_timeout(Some(PATIENCE)).unwrap();
    // Far more than what is read at once. Its end may not be taken any more.
    let _ = raw.write_all(&[b"<this is no XML".as_slice(), &[b'<'; 100_000]].concat());
    let mut answer = Vec::new();
    raw.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("<?xml version='1.0'?><stream:stream"), "{answer}");
    assert!(answer.contains("<not-well-formed xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>"), "{answer}");
    assert!(answer.ends_with("</stream:error></stream:stream>"), "{answer}");
    // It may arrive because the server still takes what it does not want, instead of resetting the connection.
    for _ in 0..3 {
        raw.write_all(b"<").unwrap();
        runtime::sleep(Duration::from_millis(10)).await;
    }
    connections(&world, 0).await;
}
