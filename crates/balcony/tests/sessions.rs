//! A server of the front door with a store: sessions outlive it.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::std_instead_of_core,
    clippy::unwrap_used,
    reason = "tests"
)]

#[path = "../../runtime/tests/world/relay.rs"]
#[allow(dead_code, reason = "others use the rest")]
mod relay;

use core::net::SocketAddr;
use core::time::Duration;
use std::sync::Arc;

use balcony::prelude::*;
use balcony::runtime::timeout;
use balcony::server::{SavedSession, ServerHandle, test_certificate};
use balcony::{Backoff, DefaultRuntime};
use balcony_jid::BareJid;
use balcony_router::Content;
use balcony_sasl::{Credentials, MIN_ITERATIONS, Mechanism};
use balcony_store::{Reply, Request, Store, Worker};

use relay::Relay;

const PATIENCE: Duration = Duration::from_secs(30);

fn serve(store: &Store, pem: &(String, String), at: SocketAddr) -> ServerHandle {
    serve_with(store, taken(store), pem, at)
}

fn taken(store: &Store) -> Vec<SavedSession> {
    store.take_sessions(&["localhost".parse().unwrap()]).unwrap()
}

fn serve_with(
    store: &Store,
    sessions: Vec<SavedSession>,
    pem: &(String, String),
    at: SocketAddr,
) -> ServerHandle {
    let worker = Arc::new(Worker::start(store.clone()));
    Server::builder("localhost")
        .answers(move |ask, reply| worker.handle(ask, reply))
        .sessions(sessions)
        .configure(|config| config.tokens = Mechanism::for_tokens().to_vec())
        .certificate_pem(pem.0.as_bytes(), pem.1.as_bytes())
        .listen(at)
        .start()
        .unwrap()
}

fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let juliet: BareJid = "juliet@localhost".parse().unwrap();
    let credentials = Credentials::derive("j", b"salt of sixteen!", MIN_ITERATIONS).unwrap();
    store.create(&juliet, credentials).unwrap();
    (folder, store)
}

async fn event(client: &mut Client) -> Event {
    let runtime = DefaultRuntime::default();
    timeout(&runtime, PATIENCE, client.next()).await.expect("too slow").unwrap().expect("it is closed")
}

// XEP-0198 §5: the server is shut down and started again, with what its store has kept. Its client goes on with the session.
#[test]
fn a_session_goes_on_at_the_next_server() {
    balcony::block_on(async {
        let (_folder, store) = store();
        let (certificate, key) = test_certificate("localhost").unwrap();
        let pem = (certificate, key.expose().clone());
        let mut server = serve(&store, &pem, "127.0.0.1:0".parse().unwrap());
        let at = server.local_addrs()[0];
        let client = Client::builder("juliet@localhost/balcony").password("j").connect(at.to_string());
        let client = client.trust_pem(pem.0.as_bytes());
        let quick = Backoff::new(Duration::from_millis(20), Duration::from_millis(100));
        let mut client = client.backoff(quick).start().await.unwrap();
        while !matches!(event(&mut client).await, Event::Online(_)) {}
        // It asks to go on with its session when it is online.
        client.send(Message::chat("juliet@localhost".parse().unwrap()).body("x")).await.unwrap();
        while !matches!(event(&mut client).await, Event::Message(_)) {}
        for _ in 0..2 {
            server.shutdown().await;
            while !matches!(event(&mut client).await, Event::Offline { .. }) {}
            server = serve(&store, &pem, at);
            loop {
                match event(&mut client).await {
                    Event::Resumed => break,
                    Event::Online(_) => panic!("another session has begun"),
                    _ => {}
                }
            }
        }
        client.close().await.unwrap();
        server.shutdown().await;
        assert!(store.take_sessions(&["localhost".parse().unwrap()]).unwrap().is_empty());
    });
}

/// The session as servers have kept it that did not keep how long it has been bound: the last number of what the router has written,
/// which is the last of all, with its length before it.
fn of_version_1(saved: SavedSession) -> SavedSession {
    let mut bytes = saved.content.bytes.to_vec();
    let length = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    let at = (0..bytes.len() - 8).find(|at| length(*at) == (bytes.len() - at - 8) as u64).unwrap();
    let shorter = length(at) - 8;
    bytes[at..at + 8].copy_from_slice(&shorter.to_le_bytes());
    bytes.truncate(bytes.len() - 8);
    SavedSession { key: saved.key, content: Content { version: 1, bytes: bytes.into() } }
}

// A session is as old as it is, whatever servers it was at; of one that an earlier version has kept this much is not known.
#[test]
fn a_session_keeps_its_age() {
    balcony::block_on(async {
        let (_folder, store) = store();
        let (certificate, key) = test_certificate("localhost").unwrap();
        let pem = (certificate, key.expose().clone());
        let server = serve(&store, &pem, "127.0.0.1:0".parse().unwrap());
        let at = server.local_addrs()[0];
        let client = Client::builder("juliet@localhost/balcony").password("j").connect(at.to_string());
        let mut client = client.trust_pem(pem.0.as_bytes()).start().await.unwrap();
        while !matches!(event(&mut client).await, Event::Online(_)) {}
        client.send(Message::chat("juliet@localhost".parse().unwrap()).body("x")).await.unwrap();
        while !matches!(event(&mut client).await, Event::Message(_)) {}
        let none =
            timeout(&DefaultRuntime::default(), Duration::from_millis(300), core::future::pending::<()>())
                .await;
        assert_eq!(none, None);
        let age = server.sessions().await[0].age;
        assert!(age >= Duration::from_millis(300));
        server.shutdown().await;
        // It does not come back.
        let kept = taken(&store);
        assert_eq!((kept.len(), kept[0].content.version), (1, 2));
        for (session, least) in [(kept[0].clone(), age), (of_version_1(kept[0].clone()), Duration::ZERO)] {
            let server = serve_with(&store, vec![session], &pem, "127.0.0.1:0".parse().unwrap());
            let listed = server.sessions().await;
            assert_eq!(listed.len(), 1);
            assert!(listed[0].age >= least, "{:?} {least:?}", listed[0].age);
            assert!(listed[0].waits.is_some_and(|left| left > Duration::from_secs(60)));
        }
    });
}

// XEP-0484 §3.6: a client that is closed can log in by its token later, one that logs out can't.
#[test]
fn who_logs_out_ends_its_token() {
    balcony::block_on(async {
        let (_folder, store) = store();
        let (certificate, key) = test_certificate("localhost").unwrap();
        let pem = (certificate, key.expose().clone());
        let server = serve(&store, &pem, "127.0.0.1:0".parse().unwrap());
        let at = server.local_addrs()[0].to_string();
        let client = |password: &str| {
            let client = Client::builder("juliet@localhost/balcony").password(password).connect(&at);
            client.trust_pem(pem.0.as_bytes())
        };
        let mut first = client("j").names("Echo 1.0", "Nurse's").start().await.unwrap();
        let token = loop {
            if let Event::Token(token) = event(&mut first).await {
                break *token;
            }
        };
        first.close().await.unwrap();
        // Its owner knows it again in the list.
        let (sender, tokens) = std::sync::mpsc::channel();
        let request = Request::Tokens { account: "juliet@localhost".parse().unwrap() };
        Worker::start(store.clone())
            .submit(request, Box::new(move |reply| drop(sender.send(reply))))
            .unwrap();
        let Reply::Tokens(tokens) = tokens.recv().unwrap() else { panic!("other questions were asked") };
        assert_eq!(tokens.all()[0].name, "Echo 1.0, Nurse's");
        let second = client("wrong").token(token.clone()).start().await.unwrap();
        second.log_out().await.unwrap();
        assert!(client("wrong").token(token).start().await.is_err());
        server.shutdown().await;
    });
}

// XEP-0484 §3.6, XEP-0198 §5: who logs out while the connection is away takes nothing along of what waits in the session for a client that
// comes back: the next one gets it.
#[test]
fn who_logs_out_while_the_connection_is_away_takes_no_messages_along() {
    const MESSAGES: usize = 100;
    balcony::block_on(async {
        let (_folder, store) = store();
        let (certificate, key) = test_certificate("localhost").unwrap();
        let pem = (certificate, key.expose().clone());
        let server = serve(&store, &pem, "127.0.0.1:0".parse().unwrap());
        let relay = Relay::to(server.local_addrs()[0].port());
        let client = |port: u16| {
            let client = Client::builder("juliet@localhost").password("j");
            client.connect(format!("localhost:{port}")).trust_pem(pem.0.as_bytes())
        };
        let direct = server.local_addrs()[0].port();
        let mut first = client(relay.port).start().await.unwrap();
        let token = loop {
            if let Event::Token(token) = event(&mut first).await {
                break *token;
            }
        };
        // Its session can go on.
        first.send(Message::chat("juliet@localhost".parse().unwrap()).body("x")).await.unwrap();
        while !matches!(event(&mut first).await, Event::Message(_)) {}
        let session = first.jid().unwrap().to_jid();
        // However often it tries, it does not come back.
        relay.is_silent(true);
        relay.cut();
        while !matches!(event(&mut first).await, Event::Offline { .. }) {}
        // Not available, so that nothing comes to it in place of the first.
        let second = client(direct).without_presence().start().await.unwrap();
        for number in 0..MESSAGES {
            let message = Message::chat(session.clone()).body(number.to_string());
            second.send(message).await.unwrap();
        }
        second.close().await.unwrap();
        relay.is_silent(false);
        // What it has sent is not acknowledged, which is all that may be left.
        assert!(matches!(first.log_out().await, Ok(()) | Err(Error::Unsent(_))));
        let mut third = client(direct).start().await.unwrap();
        for number in 0..MESSAGES {
            let message = loop {
                match event(&mut third).await {
                    // The first has had it, and the server may not know.
                    Event::Message(message) if message.body() != Some("x") => break message,
                    _ => {}
                }
            };
            assert_eq!(message.body(), Some(&*number.to_string()));
        }
        assert!(client(direct).password("wrong").token(token).start().await.is_err());
        server.shutdown().await;
    });
}

// RFC 6121 §3: what an account has said about a subscription and may not have reached its contact is said again when the server starts,
// though nobody of the account comes, and its program does nothing for that.
#[test]
fn what_a_contact_did_not_hear_is_said_again() {
    use balcony_router::{Content, DocumentEdit, collections::OWED};
    use balcony_store::{Edit, Owner};

    balcony::block_on(async {
        let (_folder, store) = store();
        let nurse: BareJid = "nurse@localhost".parse().unwrap();
        let credentials = Credentials::derive("n", b"salt of sixteen!", MIN_ITERATIONS).unwrap();
        store.create(&nurse, credentials).unwrap();
        // Juliet has asked to see the nurse, and the server was killed before the nurse had it.
        let juliet = Owner::Account("juliet@localhost".parse().unwrap());
        let since = u64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap();
        let content = Content { version: 1, bytes: format!("subscribe {since}").into_bytes().into() };
        let key = "to nurse@localhost".into();
        let owed = DocumentEdit { collection: OWED.into(), key, content: Some(content) };
        assert!(store.edit(&juliet, None, vec![Edit::Document(owed)]).unwrap());
        let (certificate, key) = test_certificate("localhost").unwrap();
        let pem = (certificate, key.expose().clone());
        let server = serve(&store, &pem, "127.0.0.1:0".parse().unwrap());
        let at = server.local_addrs()[0].to_string();
        let client = Client::builder("nurse@localhost/balcony").password("n").connect(&at);
        let mut client = client.trust_pem(pem.0.as_bytes()).start().await.unwrap();
        let asked = loop {
            match event(&mut client).await {
                Event::Presence(presence) if presence.kind() == PresenceType::Subscribe => break presence,
                _ => {}
            }
        };
        assert_eq!(asked.from().unwrap().to_string(), "juliet@localhost");
        client.close().await.unwrap();
        server.shutdown().await;
    });
}

// XEP-0386 §3.2 [BI18]: a program that is started anew, and calls its resource otherwise, takes the place of its old session; another
// program stays.
#[test]
fn an_installation_has_one_session() {
    balcony::block_on(async {
        let (_folder, store) = store();
        let (certificate, key) = test_certificate("localhost").unwrap();
        let pem = (certificate, key.expose().clone());
        let server = serve(&store, &pem, "127.0.0.1:0".parse().unwrap());
        let at = server.local_addrs()[0].to_string();
        let client = |agent: &'static str, tag: &'static str| {
            let client = Client::builder("juliet@localhost").password("j").connect(&at);
            client.trust_pem(pem.0.as_bytes()).configure(move |config| {
                (config.stream.agent, config.stream.tag) = (Some(agent.into()), tag.into());
            })
        };
        let online = async |client: balcony::ClientBuilder| {
            let mut client = client.start().await.unwrap();
            loop {
                if let Event::Online(jid) = event(&mut client).await {
                    break (client, jid.resourcepart().to_owned());
                }
            }
        };
        let (mut old, first) = online(client("1", "echo-1")).await;
        let (other, _) = online(client("2", "echo-1")).await;
        let (new, second) = online(client("1", "echo-2")).await;
        assert!(first.starts_with("echo-1/") && second.starts_with("echo-2/"), "{first} {second}");
        let end = loop {
            if let offline @ Event::Offline { .. } = event(&mut old).await {
                break format!("{offline:?}");
            }
        };
        assert!(end.contains("another client has logged in") && end.contains("next: None"), "{end}");
        drop(old);
        assert_eq!(server.sessions().await.len(), 2);
        for client in [other, new] {
            client.close().await.unwrap();
        }
        server.shutdown().await;
    });
}
