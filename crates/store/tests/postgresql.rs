//! What a database server can do to a store: be away, be lost, be used by two, hold what is newer or damaged. Each is told apart,
//! and nothing is believed that is in doubt.
#![cfg(feature = "postgres")]
#![allow(clippy::unwrap_used, reason = "these are tests")]
#![allow(clippy::disallowed_methods, reason = "a test that waits for a server has a clock")]

extern crate alloc;

#[macro_use]
mod common;

use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::io::{self, Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use balcony_router::{Answer, Ask};
use balcony_server::{Answer as ServerAnswer, Ask as ServerAsk};
use balcony_store::{Store, StoreConfig, StoreError, Worker};
use common::history::{account, message, messages, of, put, save, waiting};
use common::postgresql::Server;
use common::{Place, credentials};
use postgres::{Client, NoTls};
use tempfile::TempDir;

/// A connection besides those of the store.
fn client(parameters: &str) -> Client {
    Client::connect(parameters, NoTls).unwrap()
}

/// Tables, and what leads to them.
fn tables() -> Option<(Place, String)> {
    let place = Place::tables()?;
    let Place::Tables(parameters) = &place else { unreachable!() };
    let parameters = parameters.clone();
    Some((place, parameters))
}

/// Ends the connection that has the lock.
fn cut(parameters: &str) {
    common::postgresql::shared().unwrap().cut(parameters);
}

fn refused(parameters: &str, advice: &str) -> StoreError {
    let error = Store::connect(parameters, StoreConfig::default()).unwrap_err();
    let text = error.to_string();
    assert!(text.contains(advice) && !text.contains('\n'), "{text}");
    error
}

#[test]
fn parameters_that_are_none_are_not_repeated() {
    for wrong in ["postgresql://balcony:s3cret@host:port/db", "password=s3cret s3cret", "s3cret"] {
        let error = refused(wrong, "postgresql://user:password@host/database");
        assert!(!format!("{error} {error:?}").contains("s3cret"));
    }
}

#[test]
fn a_server_that_is_not_there_is_unreachable() {
    let folder = tempfile::tempdir().unwrap();
    let parameters = format!("host={} user=balcony password=s3cret", folder.path().display());
    let error = refused(&parameters, "cannot be reached");
    assert!(!format!("{error} {error:?}").contains("s3cret"));
}

#[test]
fn one_process_has_the_tables() {
    let Some((place, parameters)) = tables() else { return };
    let store = place.open();
    assert_eq!(refused(&parameters, "is another balcony running"), StoreError::InUse);
    // Others beside it are not disturbed.
    Place::tables().unwrap().open();
    drop(store);
    place.open();
}

#[test]
fn a_newer_schema_is_refused_and_left_alone() {
    let Some((place, parameters)) = tables() else { return };
    drop(place.open());
    client(&parameters).batch_execute("UPDATE balcony SET schema = 7").unwrap();
    for _ in 0..2 {
        let error = refused(&parameters, "newer balcony");
        assert_eq!(error, StoreError::NewerSchema { found: 7, supported: 5 });
    }
}

#[test]
fn damage_is_found_and_named() {
    let Some((place, parameters)) = tables() else { return };
    let store = place.open();
    for number in 0..3 {
        store.create(&account(number), credentials("pw")).unwrap();
        assert!(save(&store, &account(number), vec![put(message("hi"))]));
    }
    let mut other = client(&parameters);
    other.batch_execute("UPDATE entries SET content = '<x' WHERE number = 2").unwrap();
    other.batch_execute("UPDATE accounts SET credentials = '\\x00' WHERE local = 'user2'").unwrap();
    let mut problems = Vec::new();
    assert_eq!(store.check(&mut |problem| problems.push(problem)), Ok(3));
    assert!(problems.len() == 3, "{problems:?}");
    assert!(problems[0].starts_with("user1@example.com: a stanza"), "{problems:?}");
    assert!(problems[1].starts_with("user2@example.com: the record of an account"), "{problems:?}");
    assert_eq!(problems[2], "user1@example.com: entries of \"offline\" are counted wrongly");
}

#[test]
fn the_secret_stays() {
    let Some((place, _)) = tables() else { return };
    let secret = || *place.open().secret().expose();
    assert_eq!(secret(), secret());
}

/// What a router is answered that puts one message.
fn put_by(worker: &Worker) -> Answer {
    let (send, reply) = mpsc::channel();
    // The first account of the tables.
    let changes = of(1, vec![put(message("hi"))]);
    let ask = ServerAsk::Router(Ask::Save { account: account(0), changes, by_others: false });
    worker.handle(ask, Box::new(move |answer| send.send(answer).unwrap()));
    match reply.recv_timeout(Duration::from_secs(60)).unwrap() {
        ServerAnswer::Router(answer) => answer,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_connection_that_was_lost_is_made_anew() {
    let Some((place, parameters)) = tables() else { return };
    let store = place.open();
    store.create(&account(0), credentials("pw")).unwrap();
    let worker = Worker::start(store.clone());
    assert_eq!(put_by(&worker), Answer::Saved);
    cut(&parameters);
    // The loss is noticed before anything is sent, so nobody is refused.
    assert_eq!(put_by(&worker), Answer::Saved);
    assert_eq!(messages(&store, &account(0), usize::MAX).0.len(), 2);
}

// What a server has in memory may have been changed by the other one.
#[test]
fn a_store_that_another_process_has_had_is_over() {
    for is_still_there in [true, false] {
        let Some((place, parameters)) = tables() else { return };
        let store = place.open();
        store.create(&account(0), credentials("pw")).unwrap();
        assert_eq!(store.hold(), Ok(()));
        cut(&parameters);
        let other = place.open();
        assert!(save(&other, &account(0), vec![put(message("hi"))]));
        let other = Some(other).filter(|_| is_still_there);
        assert_eq!(store.hold(), Err(StoreError::Superseded));
        assert_eq!(store.create(&account(1), credentials("pw")), Err(StoreError::Superseded));
        assert_eq!(store.get(&account(0)).unwrap_err(), StoreError::Superseded);
        // The one that has come later goes on.
        assert!(other.is_none_or(|other| save(&other, &account(0), vec![put(message("hi"))])));
        drop(store);
        let messages = messages(&place.open(), &account(0), usize::MAX).0.len();
        assert_eq!(messages, 1 + usize::from(is_still_there));
    }
}

// The loss is noticed without anybody who wants something, and the lock is taken again before another process can.
#[test]
fn a_store_is_held_through_a_lost_connection() {
    let Some((place, parameters)) = tables() else { return };
    let store = place.open();
    cut(&parameters);
    assert_eq!(store.hold(), Ok(()));
    assert_eq!(refused(&parameters, "is another balcony running"), StoreError::InUse);
    assert_eq!(store.create(&account(0), credentials("pw")), Ok(true));
}

#[test]
fn while_the_server_is_away_everything_is_refused_at_once() {
    let Some(server) = Server::start() else { return };
    let store = Store::connect(&server.schema(), StoreConfig::default()).unwrap();
    store.create(&account(0), credentials("pw")).unwrap();
    let worker = Worker::start(store.clone());
    assert_eq!(put_by(&worker), Answer::Saved);

    server.stop().unwrap();
    assert_eq!(put_by(&worker), Answer::Refused);
    let error = store.get(&account(0)).unwrap_err();
    assert!(matches!(error, StoreError::Unreachable(_)), "{error}");

    server.resume().unwrap();
    // It is tried again within some seconds; nothing that is refused meanwhile is kept.
    let start = Instant::now();
    while put_by(&worker) != Answer::Saved {
        assert!(start.elapsed() < Duration::from_secs(60), "it does not come back");
    }
    let kept = loop {
        match store.kept(&account(0), &[]) {
            Ok(found) => break waiting(&found.unwrap()),
            Err(error) => assert!(start.elapsed() < Duration::from_secs(60), "{error}"),
        }
    };
    assert_eq!(kept, 2);
}

/// Stands between a store and its server. When `armed`, it takes the word that ends the next change out of its connection,
/// which it cuts on the store's side alone.
struct Between {
    folder: TempDir,
    armed: Arc<AtomicBool>,
    /// The server's side of what was cut, and what it has not got yet.
    cut: mpsc::Receiver<(UnixStream, Vec<u8>)>,
}

impl Between {
    /// A store with an account, and what stands between it and the server that these parameters lead to.
    fn store(parameters: &str) -> (Between, Store) {
        let host = parameters.split([' ', '=']).nth(1).unwrap();
        let between = Between::start(Path::new(host));
        let parameters = parameters.replace(host, between.folder.path().to_str().unwrap());
        let store = Store::connect(&parameters, StoreConfig::default()).unwrap();
        store.create(&account(0), credentials("pw")).unwrap();
        (between, store)
    }

    fn start(server: &Path) -> Between {
        const SOCKET: &str = ".s.PGSQL.5432";
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join(SOCKET)).unwrap();
        let (server, armed) = (server.join(SOCKET), Arc::new(AtomicBool::new(false)));
        let (send, cut) = mpsc::channel();
        let is_armed = Arc::clone(&armed);
        thread::spawn(move || {
            for store in listener.incoming() {
                let (store, server) = (store.unwrap(), UnixStream::connect(&server).unwrap());
                let (mut from, mut to) = (server.try_clone().unwrap(), store.try_clone().unwrap());
                thread::spawn(move || {
                    let _ = io::copy(&mut from, &mut to);
                    let _ = to.shutdown(Shutdown::Both);
                });
                let (send, is_armed) = (send.clone(), Arc::clone(&is_armed));
                thread::spawn(move || forward(store, server, &is_armed, &send));
            }
        });
        Between { folder, armed, cut }
    }
}

fn forward(
    mut store: UnixStream,
    mut server: UnixStream,
    is_armed: &AtomicBool,
    cut: &mpsc::Sender<(UnixStream, Vec<u8>)>,
) {
    let mut buffer = [0; 4096];
    while let Ok(length @ 1..) = store.read(&mut buffer) {
        let bytes = &buffer[..length];
        let is_end = bytes.windows(7).any(|word| word == b"COMMIT\0");
        if is_end && is_armed.swap(false, Ordering::SeqCst) {
            store.shutdown(Shutdown::Both).unwrap();
            return cut.send((server, bytes.to_vec())).unwrap();
        }
        if server.write_all(bytes).is_err() {
            break;
        }
    }
    let _ = server.shutdown(Shutdown::Both);
}

// ADR 6: what a router loads after a change has failed is not overtaken by that change.
#[test]
fn a_change_in_doubt_is_over_before_anything_is_read() {
    let Some((_place, parameters)) = tables() else { return };
    let (between, store) = Between::store(&parameters);
    assert_eq!(waiting(&store.kept(&account(0), &[]).unwrap().unwrap()), 0);
    let worker = Worker::start(store.clone());
    between.armed.store(true, Ordering::SeqCst);
    assert_eq!(put_by(&worker), Answer::Refused);
    // The server has not done it yet, and still may.
    let error = store.kept(&account(0), &[]).unwrap_err();
    assert_eq!(error, StoreError::InUse);
    let (mut server, end) = between.cut.recv().unwrap();
    server.write_all(&end).unwrap();
    server.shutdown(Shutdown::Write).unwrap();
    let start = Instant::now();
    let kept = loop {
        match store.kept(&account(0), &[]) {
            Ok(kept) => break kept.unwrap(),
            Err(error) => assert!(start.elapsed() < Duration::from_secs(60), "{error}"),
        }
    };
    assert_eq!(waiting(&kept), 1);
    assert_eq!(put_by(&worker), Answer::Saved);
}

// docs/guarantees.md: who is told that a change has failed may repeat it, and a sender hears an error: so the server is asked what has become of it.
#[test]
fn a_change_whose_answer_is_lost_is_asked_about() {
    let Some((_place, parameters)) = tables() else { return };
    let (between, store) = Between::store(&parameters);
    let worker = Worker::start(store.clone());
    for (is_done, count) in [(true, 1), (false, 1), (true, 2)] {
        between.armed.store(true, Ordering::SeqCst);
        let answer = thread::scope(|scope| {
            let answer = scope.spawn(|| put_by(&worker));
            let (mut server, end) = between.cut.recv().unwrap();
            if is_done {
                server.write_all(&end).unwrap();
            }
            server.shutdown(Shutdown::Write).unwrap();
            answer.join().unwrap()
        });
        assert_eq!(answer, if is_done { Answer::Saved } else { Answer::Refused });
        assert_eq!(waiting(&store.kept(&account(0), &[]).unwrap().unwrap()), count);
    }
}
