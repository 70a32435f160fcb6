//! The threads before a store: what is asked is answered once and in order, changes are written together, and a store or a reply
//! that panics hurts nobody else.
#![allow(clippy::unwrap_used, reason = "these are tests")]
#![allow(clippy::disallowed_methods, reason = "a test of threads needs them")]

extern crate alloc;

mod common;

use alloc::borrow::Cow;
use alloc::sync::Arc;
use core::num::NonZeroUsize;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::sync::mpsc;

use balcony_jid::BareJid;
use balcony_machine::Secret;
use balcony_router::{Collections, Content, Kept};
use balcony_sasl::{CredentialsError, Hash, MIN_ITERATIONS, SALT_LENGTH};
use balcony_store::{
    Account, Backend, Backup, Busy, Change, Documents, Entries, Owned, Owner, Reply, Request, Store,
    StoreError, Worker, WorkerConfig,
};
use common::{credentials, jid};

const QUICK: WorkerConfig = WorkerConfig {
    token_lifetime: core::time::Duration::from_secs(1_000),
    iterations: MIN_ITERATIONS,
    hashers: NonZeroUsize::MIN,
    queue: 1024,
    queue_bytes: 4 << 20,
    account_queue: 128,
    account_bytes: 1 << 20,
};

fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    (folder, store)
}

/// Asks, and waits.
fn ask(worker: &Worker, request: Request) -> Reply {
    let (send, reply) = mpsc::channel();
    worker.submit(request, Box::new(move |reply| send.send(reply).unwrap())).unwrap();
    reply.recv_timeout(Duration::from_secs(60)).unwrap()
}

fn create(account: &BareJid, password: &str, replace: bool) -> Request {
    Request::Create { account: account.clone(), password: String::from(password).into(), replace }
}

fn verify(account: &BareJid, password: &str) -> Request {
    Request::Verify { account: account.clone(), password: String::from(password).into() }
}

#[test]
fn the_life_of_an_account() {
    let (_folder, store) = store();
    let worker = Worker::start_with(store.clone(), QUICK);
    let juliet = jid("juliet@example.org");
    let changed = |reply| match reply {
        Reply::Changed(done) => done,
        other => panic!("{other:?}"),
    };
    let right = |password| match ask(&worker, verify(&juliet, password)) {
        Reply::Verified(salt) => salt.is_some(),
        other => panic!("{other:?}"),
    };
    let set = |password: &str| Request::SetPassword {
        account: juliet.clone(),
        password: String::from(password).into(),
    };
    let exists = || matches!(ask(&worker, Request::Exists { account: juliet.clone() }), Reply::Exists(true));
    let page = |limit| match ask(
        &worker,
        Request::List { domain: Some("example.org".into()), after: None, limit },
    ) {
        Reply::Accounts(accounts) => accounts,
        other => panic!("{other:?}"),
    };

    assert!(!exists() && !right("pw") && page(9).is_empty());
    assert!(!changed(ask(&worker, set("pw"))), "there is nobody to set it for");
    assert!(changed(ask(&worker, create(&juliet, "one", false))));
    assert!(exists() && right("one") && !right("two"));
    assert!(!changed(ask(&worker, create(&juliet, "two", false))), "she is there already");
    assert!(right("one"));
    assert!(changed(ask(&worker, create(&juliet, "two", true))));
    assert!(right("two") && !right("one"));
    assert!(changed(ask(&worker, set("three"))));
    assert!(right("three"));
    assert_eq!((page(9), page(0)), (vec![juliet.clone()], Vec::new()));
    assert!(changed(ask(&worker, Request::Remove { account: juliet.clone() })));
    assert!(!exists() && !right("three"));
    assert!(!changed(ask(&worker, Request::Remove { account: juliet.clone() })));
}

// rfc6120.md [SC1]: keys for both hashes, with a salt of the account's own
#[test]
fn new_credentials_have_both_hashes_and_a_salt_of_their_own() {
    let (_folder, store) = store();
    let worker = Worker::start(store);
    let (romeo, juliet) = (jid("romeo@example.org"), jid("juliet@example.org"));
    let keys = |account: &BareJid| {
        ask(&worker, create(account, "the same", true));
        let Reply::Credentials(Some(found)) = ask(&worker, Request::Credentials { account: account.clone() })
        else {
            panic!()
        };
        for hash in Hash::all().iter().copied() {
            let keys = found.get(hash).unwrap();
            assert_eq!((keys.hash(), keys.iterations(), keys.salt().len()), (hash, 10_000, SALT_LENGTH));
        }
        found.sha256.unwrap().salt().to_vec()
    };
    assert_ne!(keys(&romeo), keys(&juliet));
    assert_ne!(keys(&romeo), keys(&romeo), "and a new one for each password");
    let nobody = Request::Credentials { account: jid("nobody@example.org") };
    assert!(matches!(ask(&worker, nobody), Reply::Credentials(None)));
}

#[test]
fn a_password_that_cannot_be_one_is_refused() {
    let (_folder, store) = store();
    let worker = Worker::start_with(store.clone(), QUICK);
    let juliet = jid("juliet@example.org");
    let reply = ask(&worker, create(&juliet, "", false));
    assert!(
        matches!(reply, Reply::Failed(StoreError::Password(CredentialsError::EmptyPassword))),
        "{reply:?}"
    );
    assert!(store.get(&juliet).unwrap().is_none());
}

// RFC 4013 §2.5: told in words that say what to do.
#[test]
fn a_password_that_others_cannot_prepare_is_refused() {
    let (_folder, store) = store();
    let worker = Worker::start_with(store.clone(), QUICK);
    let juliet = jid("juliet@example.org");
    for (password, what) in
        [("pass\u{1F600}", "emoji"), ("\u{E000}", "not allowed"), ("a\u{5D0}", "right to left")]
    {
        let Reply::Failed(error) = ask(&worker, create(&juliet, password, false)) else {
            panic!("{password:?}")
        };
        assert!(error.to_string().contains(what), "{error}");
    }
    assert!(store.get(&juliet).unwrap().is_none());
}

// RFC 5802 §2.2: an account from before SASLprep is logged in to, and keeps the keys that other clients of its user may need.
#[test]
fn keys_of_an_unprepared_password_still_fit() {
    const STORED: &str = "8ce9b2ff9ff20f7cb01e27aa446d4c70b4f17d1a39169f51f84362231f175bd8";
    let stored: Vec<u8> =
        (0..64).step_by(2).map(|at| u8::from_str_radix(&STORED[at..at + 2], 16).unwrap()).collect();
    let keys = balcony_sasl::ScramKeys::from_parts(
        Hash::Sha256,
        4096,
        (*b"0123456789abcdef").into(),
        &stored,
        &[0; 32],
    );
    let (_folder, store) = store();
    let juliet = jid("juliet@example.org");
    let mut credentials = balcony_sasl::Credentials::default();
    credentials.set(keys.unwrap());
    store.create(&juliet, credentials.clone()).unwrap();
    let worker = Worker::start_with(store.clone(), QUICK);
    let right = |password: &str| {
        let request = Request::Verify { account: juliet.clone(), password: String::from(password).into() };
        matches!(ask(&worker, request), Reply::Verified(Some(_)))
    };
    assert!(right("m²") && !right("m2") && !right("m³"));
    assert!(common::same_credentials(&store.get(&juliet).unwrap().unwrap().credentials, &credentials));
    // With its password set again it is as all others are.
    let set = Request::SetPassword { account: juliet.clone(), password: String::from("m²").into() };
    assert!(matches!(ask(&worker, set), Reply::Changed(true)));
    assert!(right("m²") && right("m2") && !right("m³"));
}

#[test]
fn changes_that_wait_are_written_together() {
    let (_folder, store) = store();
    let worker = Worker::start_with(store.clone(), QUICK);
    let (send, replies) = mpsc::channel();
    let before = store.commits();
    for number in 0..1000 {
        let account = jid(&format!("user{number}@example.org"));
        submit(&worker, Request::Remove { account }, send.clone());
    }
    assert_eq!(
        replies.iter().take(1000).filter(|reply| matches!(reply, Reply::Changed(false))).count(),
        1000
    );
    let commits = store.commits() - before;
    assert!(commits < 500, "{commits} writes for 1000 changes");
}

fn submit(worker: &Worker, request: Request, send: mpsc::Sender<Reply>) {
    worker.submit(request, Box::new(move |reply| send.send(reply).unwrap())).unwrap();
}

#[test]
fn changes_of_one_account_keep_their_order_within_a_write() {
    let (_folder, store) = store();
    let juliet = jid("juliet@example.org");
    store.create(&juliet, credentials("pw")).unwrap();
    let worker = Worker::start_with(store, QUICK);
    let (send, replies) = mpsc::channel();
    for _ in 0..50 {
        submit(&worker, Request::Remove { account: juliet.clone() }, send.clone());
    }
    let done: Vec<_> = replies.iter().take(50).map(|reply| matches!(reply, Reply::Changed(true))).collect();
    assert!(done[0] && !done[1..].contains(&true), "only the first finds her");
}

#[test]
fn a_full_queue_is_busy_and_shutdown_answers_what_was_taken() {
    let (_folder, store) = store();
    let worker = Worker::start_with(store.clone(), WorkerConfig { queue: 4, iterations: 20_000, ..QUICK });
    let answered = Arc::new(AtomicU64::new(0));
    let (mut taken, mut refused) = (0, 0);
    for number in 0..50 {
        let counter = Arc::clone(&answered);
        let reply = Box::new(move |reply| {
            assert!(matches!(reply, Reply::Changed(true)), "{reply:?}");
            counter.fetch_add(1, Ordering::SeqCst);
        });
        match worker.submit(create(&jid(&format!("user{number}@example.org")), "pw", false), reply) {
            Ok(()) => taken += 1,
            Err(Busy) => refused += 1,
        }
    }
    assert!(taken >= 4 && refused > 0, "{taken} taken, {refused} refused");
    // Another queue has room still.
    assert!(matches!(ask(&worker, Request::Exists { account: jid("a@example.org") }), Reply::Exists(false)));
    let progress = worker.progress();
    assert!((1..=taken + 1).contains(&progress.answered()));
    worker.shutdown();
    assert_eq!(answered.load(Ordering::SeqCst), taken);
    assert_eq!(progress.answered(), taken + 1, "it counts what was answered meanwhile");
    assert_eq!(store.count().unwrap(), taken);
}

#[test]
fn a_reply_that_panics_hurts_nobody_else() {
    let (_folder, store) = store();
    let worker = Worker::start_with(store, QUICK);
    let account = jid("juliet@example.org");
    for request in [
        Request::Exists { account: account.clone() },
        verify(&account, "pw"),
        Request::Remove { account: account.clone() },
    ] {
        worker.submit(request.clone(), Box::new(|_| panic!("on purpose"))).unwrap();
        ask(&worker, request);
    }
}

#[test]
fn the_last_owner_may_be_a_reply() {
    let (_folder, store) = store();
    let worker = Arc::new(Worker::start_with(store, QUICK));
    let (send, done) = mpsc::channel();
    let (go, wait) = mpsc::channel::<()>();
    let mine = Arc::clone(&worker);
    let reply = Box::new(move |_| {
        let _ = wait.recv();
        drop(mine);
        send.send(()).unwrap();
    });
    worker.submit(Request::Exists { account: jid("a@example.org") }, reply).unwrap();
    drop(worker);
    go.send(()).unwrap();
    done.recv_timeout(Duration::from_secs(60)).unwrap();
}

/// A backend with a fault: everything about one account makes it panic.
struct Faulty {
    store: Store,
    fatal: BareJid,
}

impl Faulty {
    fn not_fatal(&self, account: &BareJid) {
        assert_ne!(*account, self.fatal, "this panic is part of the test");
    }
}

impl Backend for Faulty {
    fn secret(&self) -> Secret<[u8; 32]> {
        self.store.secret()
    }

    fn account(&self, account: &BareJid) -> Result<Option<Account>, StoreError> {
        self.not_fatal(account);
        self.store.get(account)
    }

    fn kept(&self, account: &BareJid, collections: &[Cow<'static, str>]) -> Result<Option<Kept>, StoreError> {
        self.not_fatal(account);
        self.store.kept(account, collections)
    }

    fn backup(&self, account: &BareJid) -> Result<Option<Backup>, StoreError> {
        self.store.backup(account)
    }

    fn list(
        &self,
        _: Option<&str>,
        after: Option<&BareJid>,
        most: usize,
    ) -> Result<Vec<BareJid>, StoreError> {
        self.store.list_all(after, most)
    }

    fn document(&self, owner: &Owner, collection: &str, key: &str) -> Result<Option<Content>, StoreError> {
        self.store.document(owner, collection, key)
    }

    fn documents(
        &self,
        owner: &Owner,
        collection: &str,
        after: Option<&str>,
        bytes: usize,
    ) -> Result<Documents, StoreError> {
        self.store.documents(owner, collection, after, bytes)
    }

    fn entries(&self, owner: &Owner, log: &str, after: u64, bytes: usize) -> Result<Entries, StoreError> {
        self.store.entries(owner, log, after, bytes)
    }

    fn next_owned(&self, after: Option<&Owner>) -> Result<Option<Owned>, StoreError> {
        self.store.next_owned(after)
    }

    fn count(&self) -> Result<u64, StoreError> {
        self.store.count()
    }

    fn commit(&self, changes: &[&Change], _: u64) -> Result<Vec<bool>, StoreError> {
        for change in changes {
            if let Change::Remove { account } = change {
                self.not_fatal(account);
            }
        }
        self.store.commit(changes.iter().copied())
    }

    fn check(&self, problem: &mut dyn FnMut(String)) -> Result<u64, StoreError> {
        self.store.check(problem)
    }
}

#[test]
fn a_backend_that_panics_fails_one_request() {
    let (_folder, store) = store();
    let (fatal, juliet) = (jid("mercutio@example.org"), jid("juliet@example.org"));
    let worker = Worker::start_with(Store::new(Faulty { store, fatal: fatal.clone() }), QUICK);
    let requests = |account: &BareJid| {
        let account = || account.clone();
        [
            create(&account(), "pencil", false),
            verify(&account(), "pencil"),
            Request::Kept { account: account(), collections: Collections::default() },
            Request::Remove { account: account() },
        ]
    };
    for _ in 0..3 {
        for request in requests(&fatal) {
            assert!(matches!(ask(&worker, request), Reply::Failed(StoreError::Corrupt(_))));
        }
        for request in requests(&juliet) {
            assert!(!matches!(ask(&worker, request), Reply::Failed(_)));
        }
    }
}
