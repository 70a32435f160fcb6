//! `kill -9` under load: whatever clients have been told is there when the server starts again, and messages are there once. And, in
//! `resume.rs`, what becomes of clients that resume.
//!
//! Ten rounds, or as many as `BALCONY_KILL_ROUNDS` says. `BALCONY_KILL_SEED` repeats the choices of a run, though not its
//! timing.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::std_instead_of_alloc,
    clippy::std_instead_of_core,
    clippy::unwrap_used,
    unreachable_pub,
    reason = "tests of a program"
)]

mod client;
mod ledger;
#[cfg(feature = "postgres")]
#[allow(dead_code, reason = "it does more for the tests of the store")]
#[path = "../../../store/tests/common/postgresql.rs"]
mod postgresql;
mod relay;
mod resume;
#[allow(dead_code, reason = "it does more for the other tests")]
#[path = "../balcony/world.rs"]
mod world;

use std::collections::BTreeSet;
use std::env;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use balcony_machine::{Random, Seed};
use client::{Change, Person};
use ledger::Ledger;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use world::{Server, World};

/// People who are online and do things.
const BUSY: usize = 4;
/// People who are away while messages come for them.
const AWAY: usize = 6;
/// People who are never there, and whom the former add to their rosters and remove again.
const CONTACTS: usize = 6;
/// Messages that one of the former sends to one of the latter in a round: all of them fit into the queue of 100.
const MESSAGES: usize = 20;

/// What people do until the server dies, and what they were told.
struct Load {
    ledger: Mutex<Ledger>,
    /// How often somebody was told that something is done, in this round.
    acknowledged: AtomicU64,
    /// When to kill.
    at: u64,
    now: Notify,
}

impl Load {
    fn acknowledge(&self) {
        if self.acknowledged.fetch_add(1, Ordering::SeqCst) + 1 == self.at {
            self.now.notify_one();
        }
    }
}

// RFC 6121 §2.1.6, XEP-0160 §2, and ADR 5: what a client was told is on disk
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_clients_were_told_is_in_the_file() {
    outlives_kills(&[]).await;
}

#[cfg(feature = "postgres")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_clients_were_told_is_in_the_tables() {
    if let Some(postgresql) = postgresql::shared() {
        outlives_kills(&["--database", &postgresql.schema()]).await;
    }
}

/// The whole run, on accounts that are where these options say.
async fn outlives_kills(options: &[&str]) {
    let rounds = number("BALCONY_KILL_ROUNDS").unwrap_or(10);
    let seed = number("BALCONY_KILL_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    println!("BALCONY_KILL_SEED={seed}");
    let mut random = Seed::from_u64(seed).random();
    let world = World::new();
    let names = (0..BUSY).map(busy).chain((0..AWAY).map(away)).chain((0..CONTACTS).map(contact));
    let line = |name: String| name.replace("@localhost", ",") + world::PASSWORD + "\n";
    let accounts: String = names.map(line).collect();
    world.write("accounts.csv", &accounts);
    world.run(&[&["user", "import", "accounts.csv"], options].concat()).succeeded();
    let server = world.serve(&[&["--allow-plaintext"], options].concat());
    befriend(&server).await;
    server.stop();

    let mut ledger = Ledger::new();
    for round in 0..rounds {
        let mut server = world.serve(&[&["--allow-plaintext"], options].concat());
        inspect(&server, &mut ledger).await;
        let load = Arc::new(Load {
            ledger: Mutex::new(ledger),
            acknowledged: AtomicU64::new(0),
            at: 1 + below(&mut random, 150),
            now: Notify::new(),
        });
        let mut people = JoinSet::new();
        for person in 0..BUSY {
            let me = Person::connect(&server.address, &busy(person)).await.unwrap();
            people.spawn(work(me, person, round, Arc::clone(&load), random.seed().random()));
        }
        load.now.notified().await;
        // At once, when something that has been acknowledged too early has no time to reach the disk; or at any moment.
        if below(&mut random, 2) == 0 {
            tokio::time::sleep(Duration::from_micros(below(&mut random, 20_000))).await;
        }
        server.process.kill();
        while let Some(person) = people.join_next().await {
            person.unwrap();
        }
        ledger = Arc::into_inner(load).unwrap().ledger.into_inner().unwrap();
        let checked = world.run(&[&["store", "check"], options].concat());
        assert!(checked.status == Some(0), "round {round}: {checked:#?}");
        println!("round {round}: {}", ledger.summary());
    }
    let server = world.serve(&[&["--allow-plaintext"], options].concat());
    inspect(&server, &mut ledger).await;
    assert!(rounds == 0 || ledger.delivered() > 0, "no message was ever sent");
    server.stop();
}

/// Those who do things see who is away, so that they may hear of what becomes of their messages.
async fn befriend(server: &Server) {
    let busy_ones: Vec<String> = (0..BUSY).map(busy).collect();
    let away_ones: Vec<String> = (0..AWAY).map(away).collect();
    for account in &away_ones {
        let mut me = Person::connect(&server.address, account).await.unwrap();
        me.approve(&busy_ones).await.unwrap();
        me.close().await.unwrap();
    }
    for account in &busy_ones {
        let mut me = Person::connect(&server.address, account).await.unwrap();
        me.befriend(&away_ones).await.unwrap();
        me.close().await.unwrap();
    }
}

/// Looks at everything as clients see it.
async fn inspect(server: &Server, ledger: &mut Ledger) {
    for person in 0..BUSY {
        let mut me = Person::connect(&server.address, &busy(person)).await.unwrap();
        ledger.see_roster(person, me.roster().await.unwrap());
        me.close().await.unwrap();
    }
    for person in 0..AWAY {
        for _ in 0..2 {
            // The second time there are none: they have been deleted.
            let mut me = Person::connect(&server.address, &away(person)).await.unwrap();
            ledger.see_messages(person, me.messages().await.unwrap());
            me.close().await.unwrap();
        }
    }
    ledger.settle();
}

/// Sends messages and changes a roster, until the connection ends.
async fn work(mut me: Person, person: usize, round: u64, load: Arc<Load>, mut random: Random) {
    let mut sent = [0; AWAY];
    // Accounts answer the end of a request (RFC 6121 §3.3.3), and that answer would cross a new request.
    let mut left = BTreeSet::new();
    let mut step = 0;
    let result: client::Result<()> = async {
        me.roster().await?;
        loop {
            for _ in 0..below(&mut random, 3) {
                let to = below(&mut random, AWAY as u64) as usize;
                if sent[to] == MESSAGES {
                    continue;
                }
                let text = format!("{round}.{person}.{to}.{}", sent[to]);
                sent[to] += 1;
                load.ledger.lock().unwrap().message_begins(person, to, &text);
                me.say(&away(to), &text).await?;
                // The answer comes from the account, after it has taken the message and asked its store to keep it. The
                // store keeps things in order, so what it keeps later shows that the message is kept.
                me.ask_account(&away(to)).await?;
            }
            let contact = contact(below(&mut random, CONTACTS as u64) as usize);
            let before = load.ledger.lock().unwrap().item(person, &contact);
            let name = format!("{round}.{step}");
            step += 1;
            let may_subscribe = !left.contains(&contact);
            let change = Change::choose(below(&mut random, 4), before.as_ref(), may_subscribe, name);
            if before.as_ref().is_some_and(|item| item.asked) {
                left.insert(contact.clone());
            }
            let after = change.applied(before);
            load.ledger.lock().unwrap().roster_begins(person, &contact, after.clone());
            me.change(&contact, &change, after.as_ref()).await?;
            load.ledger.lock().unwrap().acknowledged(person);
            load.acknowledge();
        }
    }
    .await;
    let error = result.unwrap_err();
    assert!(matches!(error, client::Ended::Connection), "{}: {error:?}", busy(person));
}

fn busy(number: usize) -> String {
    format!("busy{number}@localhost")
}

fn away(number: usize) -> String {
    format!("away{number}@localhost")
}

fn contact(number: usize) -> String {
    format!("contact{number}@localhost")
}

/// A number that whoever runs this has chosen.
fn number(name: &str) -> Option<u64> {
    env::var(name).ok().map(|text| text.parse::<u64>().unwrap())
}

fn below(random: &mut Random, end: u64) -> u64 {
    random.next_u64() % end
}
