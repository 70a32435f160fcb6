//! What a database server can do to a store.
#![cfg(feature = "postgres")]
#![allow(clippy::unwrap_used, reason = "these are tests")]
#![allow(clippy::disallowed_methods, reason = "a test that waits for a server has a clock")]

#[macro_use]
mod common;

use core::time::Duration;
use std::sync::mpsc;
use std::time::Instant;

use balcony_router::{Answer, Ask, Change};
use balcony_server::{Answer as ServerAnswer, Ask as ServerAsk};
use balcony_store::{Store, StoreConfig, StoreError, Worker};
use common::history::{account, message};
use common::postgresql::Server;
use common::{Place, credentials};
use postgres::{Client, NoTls};

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
        assert_eq!(error, StoreError::NewerSchema { found: 7, supported: 1 });
    }
}

#[test]
fn damage_is_found_and_named() {
    let Some((place, parameters)) = tables() else { return };
    let store = place.open();
    for number in 0..3 {
        store.create(&account(number), credentials("pw")).unwrap();
        store.save(&account(number), vec![Change::PutOffline(message("hi"))]).unwrap();
    }
    let mut other = client(&parameters);
    other.batch_execute("UPDATE offline SET stanza = '<x' WHERE number = 2").unwrap();
    other.batch_execute("UPDATE accounts SET credentials = '\\x00' WHERE local = 'user2'").unwrap();
    let mut problems = Vec::new();
    assert_eq!(store.check(&mut |problem| problems.push(problem)), Ok(3));
    assert!(problems.len() == 2, "{problems:?}");
    assert!(problems[0].starts_with("user1@example.com: a stanza"), "{problems:?}");
    assert!(problems[1].starts_with("user2@example.com: the record of an account"), "{problems:?}");
}

#[test]
fn the_secret_stays() {
    let Some((place, _)) = tables() else { return };
    let secret = || *place.open().secret().expose();
    assert_eq!(secret(), secret());
}

/// What a router is answered that puts one message.
fn put(worker: &Worker) -> Answer {
    let (send, reply) = mpsc::channel();
    let changes = vec![Change::PutOffline(message("hi"))];
    let ask = ServerAsk::Router(Ask::Save { account: account(0), changes });
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
    assert_eq!(put(&worker), Answer::Saved);
    let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                WHERE application_name = 'balcony' AND query <> '' AND pid IN ( \
                    SELECT pid FROM pg_locks WHERE locktype = 'advisory' \
                )";
    client(&parameters).batch_execute(kill).unwrap();
    // The loss is noticed before anything is sent, so nobody is refused.
    assert_eq!(put(&worker), Answer::Saved);
    assert_eq!(store.offline(&account(0), usize::MAX).unwrap().messages.len(), 2);
}

#[test]
fn while_the_server_is_away_everything_is_refused_at_once() {
    let Some(server) = Server::start() else { return };
    let store = Store::connect(&server.schema(), StoreConfig::default()).unwrap();
    store.create(&account(0), credentials("pw")).unwrap();
    let worker = Worker::start(store.clone());
    assert_eq!(put(&worker), Answer::Saved);

    server.stop().unwrap();
    assert_eq!(put(&worker), Answer::Refused);
    let error = store.get(&account(0)).unwrap_err();
    assert!(matches!(error, StoreError::Unreachable(_)), "{error}");

    server.resume().unwrap();
    // It is tried again within some seconds; nothing that is refused meanwhile is kept.
    let start = Instant::now();
    while put(&worker) != Answer::Saved {
        assert!(start.elapsed() < Duration::from_secs(60), "it does not come back");
    }
    let kept = loop {
        match store.offline(&account(0), usize::MAX) {
            Ok(found) => break found.messages.len(),
            Err(error) => assert!(start.elapsed() < Duration::from_secs(60), "{error}"),
        }
    };
    assert_eq!(kept, 2);
}
