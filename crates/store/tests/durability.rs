//! What has been acknowledged survives `kill -9`.
#![allow(clippy::unwrap_used, reason = "these are tests")]
#![allow(clippy::disallowed_methods, reason = "a test of processes needs them")]

extern crate alloc;

mod common;

use alloc::collections::BTreeSet;
use core::num::NonZeroUsize;
use std::env;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

use balcony_jid::BareJid;
use balcony_sasl::MIN_ITERATIONS;
use balcony_store::{Reply, Request, Store, StoreError, Worker, WorkerConfig};
use common::jid;

const FOLDER: &str = "BALCONY_TEST_FOLDER";
const ROUND: &str = "BALCONY_TEST_ROUND";
const MARK: &str = "acknowledged ";

/// Not a test by itself: the process that `acknowledged_accounts_survive_kill` kills. It makes accounts for ever, removes every
/// third one again, and prints what was acknowledged: `+name` or `-name`.
#[test]
fn victim() {
    let (Ok(folder), Ok(round)) = (env::var(FOLDER), env::var(ROUND)) else { return };
    let store = Store::open(Path::new(&folder)).unwrap();
    let hashers = NonZeroUsize::new(2).unwrap();
    let config = WorkerConfig { iterations: MIN_ITERATIONS, hashers, queue: 64, ..WorkerConfig::default() };
    let worker = Worker::start_with(store, config);
    let (send, replies) = mpsc::channel();
    let submit = |sign: char, number: u64| {
        let account = jid(&format!("r{round}n{number}@example.org"));
        let request = match sign {
            '+' => Request::Create { account, password: String::from("pw").into(), replace: false },
            _ => Request::Remove { account },
        };
        let send = send.clone();
        let reply = move |reply| {
            assert!(matches!(reply, Reply::Changed(true)), "{reply:?}");
            let _ = send.send((sign, number));
        };
        worker.submit(request, Box::new(reply)).unwrap();
    };
    let mut out = std::io::stdout().lock();
    (0..16).for_each(|number| submit('+', number));
    let mut next = 16;
    for (sign, number) in replies {
        writeln!(out, "\n{MARK}{sign}r{round}n{number}").unwrap();
        out.flush().unwrap();
        if sign == '+' && number % 3 == 0 {
            submit('-', number);
        } else {
            submit('+', next);
            next += 1;
        }
    }
}

fn spawn_victim(folder: &Path, round: u32) -> Child {
    Command::new(env::current_exe().unwrap())
        .args(["--exact", "victim", "--nocapture", "--test-threads=1"])
        .env(FOLDER, folder)
        .env(ROUND, round.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn acknowledged_accounts_survive_kill() {
    let folder = tempfile::tempdir().unwrap();
    let mut present = BTreeSet::new();
    let mut unsure = BTreeSet::new();
    for round in 0..10 {
        let mut child = spawn_victim(folder.path(), round);
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let lines = lines.map_while(Result::ok).filter_map(|line| Some(line.strip_prefix(MARK)?.to_owned()));
        let kill_after = 1 + round as usize * 37 % 101;
        let mut acknowledged = Vec::new();
        for line in lines {
            acknowledged.push(line);
            if acknowledged.len() == kill_after {
                // At once: what has been acknowledged too early has no time to reach the disk.
                child.kill().unwrap();
            } else if acknowledged.len() == 1 {
                assert!(matches!(Store::open(folder.path()), Err(StoreError::Locked(_))));
            }
        }
        child.wait().unwrap();
        assert!(!acknowledged.is_empty());
        for (index, line) in acknowledged.iter().enumerate() {
            let (sign, name) = line.split_at(1);
            // The last line may be torn: then its number is not to be trusted.
            if index + 1 == acknowledged.len() {
                unsure.insert(name.to_owned());
            }
            if sign == "+" {
                present.insert(name.to_owned())
            } else {
                present.remove(name)
            };
        }
        // A removal may have been on its way when the process died.
        unsure.extend(present.iter().filter(|name| is_third(name)).cloned());

        let store = Store::open(folder.path()).unwrap();
        let found: BTreeSet<String> = store
            .list("example.org", None, usize::MAX)
            .unwrap()
            .iter()
            .filter_map(BareJid::localpart)
            .map(String::from)
            .collect();
        let lost: Vec<_> = present.difference(&found).filter(|name| !unsure.contains(*name)).collect();
        assert!(lost.is_empty(), "round {round}: lost {lost:?}");
        // What was on its way may be there, but nothing that was acknowledged to be gone.
        let removed = acknowledged.iter().filter_map(|line| line.strip_prefix('-'));
        let risen: Vec<_> = removed.filter(|name| found.contains(*name) && !unsure.contains(*name)).collect();
        assert!(risen.is_empty(), "round {round}: risen {risen:?}");
        assert_eq!(store.count().unwrap(), found.len() as u64);
        present = found;
    }
    assert!(present.len() > 100, "{} accounts", present.len());
}

/// Whether the victim removes this account again, as it does with `r4n12`.
fn is_third(name: &str) -> bool {
    name.rsplit('n').next().and_then(|number| number.parse::<u64>().ok()).is_some_and(|n| n % 3 == 0)
}
