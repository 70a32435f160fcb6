//! The threads before a store.
//!
//! ```text
//! submit ─┬─ Credentials, Exists, Tokens, List, Kept,
//!         │  Document, Documents, Entries ──────────────▶ reader ──────────▶ reply
//!         ├─ Verify ────────────────────────────────────▶ hashers ─────────▶ reply
//!         ├─ Create, SetPassword ───────────────────────▶ hashers ─▶ writer ─▶ reply
//!         ├─ AddKeys, KeepToken, RevokeToken, ─┐
//!         └─ Remove, Save, Edit ──────────────┴──────────────────────────▶ writer ─▶ reply
//! ```
//!
//! What each of them does next says the [schedule](crate::schedule).

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::num::NonZeroUsize;
use core::panic::AssertUnwindSafe;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::panic::catch_unwind;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use balcony_jid::BareJid;
use balcony_machine::Secret;
use balcony_sasl::{Credentials, Hash, PasswordForm, SALT_LENGTH, ScramKeys, fake_keys};

use crate::error::attempt;
use crate::schedule::{Hashing, Lookup, Purpose, Read, Schedule, Write};
use crate::{Account, Busy, Change, Reply, Request, Store, StoreError};

/// What a worker does with a reply. It runs on a thread of the worker, so it should only pass the reply on.
pub type ReplyTo = Box<dyn FnOnce(Reply) + Send>;

/// Answers requests to a [`Store`] on threads of its own: one reads, one writes, and one for each processor hashes
/// passwords.
///
/// Changes that wait while the disk is busy are written together, and a change is answered only when it is on the disk.
///
/// What is asked about one account is seen in the order in which it was asked: `Kept`, `Documents` and `Entries` are
/// looked up after all changes of that account or other owner that were asked before, even if those take so long that nobody waits
/// for them any more; `Document` after the changes of documents; `Credentials`, `Exists` and `Verify` after the changes of its
/// password; and all of them after its end. One thing is not in this order: `Create`. Ask for what
/// depends on it after its reply. Between accounts there is no order. A lookup is answered after the changes that it has waited for.
///
/// Accounts are served in turn, and each has a bound of its own, so that none waits long for what others want.
///
/// Dropping a worker is the same as [`shutdown`](Worker::shutdown).
pub struct Worker {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    /// What tokens are made from.
    pub(crate) secret: Secret<[u8; 32]>,
    pub(crate) token_lifetime: Duration,
}

/// How a [`Worker`] works. Each of its queues (lookups, passwords of those who try to log in, new passwords, changes) has these
/// bounds. What is over them is [`Busy`], and so is what is more than an account may have, or more than is left for
/// other accounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerConfig {
    /// Iterations of PBKDF2 for new passwords; at least [`MIN_ITERATIONS`](balcony_sasl::MIN_ITERATIONS), or every one is
    /// refused.
    pub iterations: u32,
    /// Threads that hash passwords.
    pub hashers: NonZeroUsize,
    /// How long a token for logging in lasts from when it was given (XEP-0484); a client that comes in time gets another one.
    pub token_lifetime: Duration,
    /// Requests that may wait in each queue.
    pub queue: usize,
    /// The bytes that they may hold. One request always has room.
    pub queue_bytes: usize,
    /// Requests about one account that may wait in each queue; of changes half as many beside them that others cause. A router asks for
    /// [`Limits::storing`](balcony_machine::Limits::storing) of these at a time, which has to be less.
    pub account_queue: usize,
    /// The bytes that these may hold. One request always has room, if the queue has; of changes one of the account itself, and one that
    /// others cause. [`Limits::storing_bytes`](balcony_machine::Limits::storing_bytes) has to be less than half of it.
    pub account_bytes: usize,
}

impl Default for WorkerConfig {
    /// 10,000 iterations, tokens for 30 days, a hasher for each processor, and queues of 65,536 requests and 128 MiB, of which an account may have
    /// 512 and 1 MiB: sixty-four that take all they can leave half to the others. Beside that it may have half as much that others cause.
    fn default() -> Self {
        WorkerConfig {
            iterations: 10_000,
            hashers: thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            token_lifetime: Duration::from_secs(30 * 86_400),
            queue: 65_536,
            queue_bytes: 128 << 20,
            account_queue: 512,
            account_bytes: 1 << 20,
        }
    }
}

/// What the threads share.
struct Shared {
    schedule: Mutex<Schedule>,
    /// There may be something to read, to hash, to write.
    read: Condvar,
    hash: Condvar,
    write: Condvar,
    /// How many requests have been answered.
    answered: AtomicU64,
}

/// How far a [`Worker`] is, also one that is being dropped: see [`Worker::progress`].
#[derive(Clone)]
pub struct Progress(Arc<Shared>);

impl Progress {
    /// How many requests have been answered since the worker was started. As long as it grows the store works.
    #[must_use]
    pub fn answered(&self) -> u64 {
        self.0.answered.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Progress").field("answered", &self.answered()).finish()
    }
}

impl Shared {
    /// Calls `reply`. A panic in it is its owner's fault, and must not end the thread that serves everybody.
    fn send(&self, reply: ReplyTo, answer: Result<Reply, StoreError>) {
        self.answered.fetch_add(1, Ordering::Relaxed);
        let _ = catch_unwind(AssertUnwindSafe(|| reply(answer.unwrap_or_else(Reply::Failed))));
    }

    fn schedule(&self) -> MutexGuard<'_, Schedule> {
        self.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for work; `None` if there will be no more.
    fn next<T>(
        &self,
        news: &Condvar,
        mut next: impl FnMut(&mut Schedule) -> Option<T>,
        is_over: impl Fn(&Schedule) -> bool,
    ) -> Option<T> {
        let mut schedule = self.schedule();
        loop {
            if let Some(work) = next(&mut schedule) {
                return Some(work);
            }
            if is_over(&schedule) {
                return None;
            }
            schedule = news.wait(schedule).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn tell_all(&self) {
        for news in [&self.read, &self.hash, &self.write] {
            news.notify_all();
        }
    }
}

impl Worker {
    /// Starts a worker with the usual configuration.
    ///
    /// # Panics
    ///
    /// If the operating system has no threads left.
    #[must_use]
    pub fn start(store: Store) -> Worker {
        Worker::start_with(store, WorkerConfig::default())
    }

    /// Starts a worker.
    ///
    /// # Panics
    ///
    /// If the operating system has no threads left.
    #[must_use]
    pub fn start_with(store: Store, config: WorkerConfig) -> Worker {
        let shared = Arc::new(Shared {
            schedule: Mutex::new(Schedule::new(&config)),
            read: Condvar::new(),
            hash: Condvar::new(),
            write: Condvar::new(),
            answered: AtomicU64::new(0),
        });
        let mut threads = Vec::new();
        let mut start = |run: fn(&Store, &Shared, WorkerConfig)| {
            let (store, shared) = (store.clone(), Arc::clone(&shared));
            threads.push(spawn(move || run(&store, &shared, config)));
        };
        start(|store, shared, _| run_reader(store, shared));
        start(|store, shared, _| run_writer(store, shared));
        for _ in 0..config.hashers.get() {
            start(|store, shared, config| run_hasher(store, shared, config.iterations));
        }
        Worker { shared, threads, secret: store.secret(), token_lifetime: config.token_lifetime }
    }

    /// Hands over a request; never waits. `reply` is called once, on another thread. But a note of last presence
    /// ([`LastSeen`](balcony_router::Change::LastSeen) alone) that still waits is replaced by the account's next one, and its
    /// `reply` is called from here: it was not done.
    ///
    /// # Errors
    ///
    /// [`Busy`] if there is no room for it; `reply` is dropped.
    pub fn submit(&self, request: Request, reply: ReplyTo) -> Result<(), Busy> {
        let news = match &request {
            Request::Credentials { .. }
            | Request::Exists { .. }
            | Request::Tokens { .. }
            | Request::List { .. }
            | Request::Holders { .. }
            | Request::Kept { .. }
            | Request::Document { .. }
            | Request::Documents { .. }
            | Request::Entries { .. } => &self.shared.read,
            Request::Verify { .. } | Request::Create { .. } | Request::SetPassword { .. } => {
                &self.shared.hash
            }
            Request::AddKeys { .. }
            | Request::KeepToken { .. }
            | Request::RevokeToken { .. }
            | Request::Remove { .. }
            | Request::Save { .. }
            | Request::Edit { .. } => &self.shared.write,
        };
        let replaced = self.shared.schedule().submit(request, reply)?;
        news.notify_one();
        if let Some(replaced) = replaced {
            self.shared.send(replaced, Ok(Reply::Changed(false)));
        }
        Ok(())
    }

    /// How far it is, for whoever waits for its end and wants to know whether the store still works or hangs.
    #[must_use]
    pub fn progress(&self) -> Progress {
        Progress(Arc::clone(&self.shared))
    }

    /// Takes no more requests, and waits until all that were taken have been answered.
    pub fn shutdown(self) {}
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.shared.schedule().close();
        self.shared.tell_all();
        for thread in self.threads.drain(..) {
            // The last clone of an owner may be dropped by a reply, on one of these threads.
            if thread.thread().id() != thread::current().id() {
                let _ = thread.join();
            }
        }
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("threads", &self.threads.len()).finish_non_exhaustive()
    }
}

fn spawn(run: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    #[expect(clippy::disallowed_methods, reason = "an adapter may have threads")]
    thread::spawn(run)
}

fn run_reader(store: &Store, shared: &Shared) {
    while let Some(Read { lookup, reply, .. }) =
        shared.next(&shared.read, Schedule::next_read, Schedule::has_read_all)
    {
        shared.send(reply, attempt(|| read(store, &lookup)));
    }
}

fn read(store: &Store, lookup: &Lookup) -> Result<Reply, StoreError> {
    Ok(match lookup {
        Lookup::Credentials(account) => {
            Reply::Credentials(store.get(account)?.map(|account| Box::new(account.credentials)))
        }
        Lookup::Tokens(account) => {
            Reply::Tokens(store.get(account)?.map(|account| account.tokens).unwrap_or_default())
        }
        Lookup::Exists(account) => Reply::Exists(store.get(account)?.is_some()),
        Lookup::List { domain, after, limit } => {
            let after = after.as_ref();
            Reply::Accounts(match domain {
                Some(domain) => store.list(domain, after, *limit)?,
                None => store.list_all(after, *limit)?,
            })
        }
        Lookup::Holders { collection, after, limit } => {
            Reply::Accounts(store.holders(collection, after.as_ref(), *limit)?)
        }
        Lookup::Kept(account, collections) => Reply::Kept(store.kept(account, collections)?.map(Box::new)),
        Lookup::Document { owner, collection, key } => {
            Reply::Document(store.document(owner, collection, key)?)
        }
        Lookup::Documents { owner, collection, after, bytes } => {
            Reply::Documents(store.documents(owner, collection, after.as_deref(), *bytes)?)
        }
        Lookup::Entries { owner, log, after, bytes } => {
            Reply::Entries(store.entries(owner, log, *after, *bytes)?)
        }
    })
}

fn run_writer(store: &Store, shared: &Shared) {
    let next = |schedule: &mut Schedule| Some(schedule.next_writes()).filter(|batch| !batch.is_empty());
    while let Some(batch) = shared.next(&shared.write, next, Schedule::has_written_all) {
        match commit(store, &batch) {
            Ok(done) => {
                let done = done.into_iter().map(|done| Ok(Reply::Changed(done)));
                answer(shared, batch.into_iter().zip(done).collect());
            }
            // Nothing was done. One of them has met something that fails it alone, and the others are not to suffer.
            Err(StoreError::Corrupt(_) | StoreError::Refused(_)) if batch.len() > 1 => {
                for write in batch {
                    let done = commit(store, core::slice::from_ref(&write));
                    let done = done.map(|done| Reply::Changed(done.contains(&true)));
                    answer(shared, Vec::from([(write, done)]));
                }
            }
            Err(error) => {
                answer(shared, batch.into_iter().map(|write| (write, Err(error.clone()))).collect());
            }
        }
    }
}

fn commit(store: &Store, writes: &[Write]) -> Result<Vec<bool>, StoreError> {
    attempt(|| store.commit(writes.iter().filter_map(|write| Some(&write.todo.as_ref()?.0))))
}

/// These changes are over. First they are answered, then whoever waits for them may go on: another thread must not answer what was
/// asked later sooner.
fn answer(shared: &Shared, done: Vec<(Write, Result<Reply, StoreError>)>) {
    let mut writes = Vec::with_capacity(done.len());
    for (mut write, answer) in done {
        if let Some((_, reply)) = write.todo.take() {
            shared.send(reply, answer);
        }
        writes.push(write);
    }
    let mut schedule = shared.schedule();
    for write in &writes {
        schedule.over(write);
    }
    drop(schedule);
    shared.tell_all();
}

fn run_hasher(store: &Store, shared: &Shared, iterations: u32) {
    while let Some(Hashing { account, password, purpose, reply, .. }) =
        shared.next(&shared.hash, Schedule::next_hash, Schedule::has_hashed_all)
    {
        let change = match attempt(|| hash(store, iterations, &account, password.expose(), purpose)) {
            Ok(Outcome::Change(change)) => Some((*change, reply)),
            Ok(Outcome::Answer(answer)) => {
                shared.send(reply, Ok(answer));
                None
            }
            Err(error) => {
                shared.send(reply, Err(error));
                None
            }
        };
        shared.schedule().hashed(&account, purpose, change);
        shared.tell_all();
    }
}

/// What has become of a request with a password.
enum Outcome {
    Answer(Reply),
    Change(Box<Change>),
}

fn hash(
    store: &Store,
    iterations: u32,
    account: &BareJid,
    password: &str,
    purpose: Purpose,
) -> Result<Outcome, StoreError> {
    let known = store.get(account)?;
    let derive = || {
        let mut salt = [0; SALT_LENGTH];
        getrandom::fill(&mut salt)?;
        Credentials::derive(password, &salt, iterations).map_err(StoreError::from)
    };
    let account = account.clone();
    Ok(match (purpose, known) {
        (Purpose::Verify, known) => {
            let keys = keys_to_verify(store, iterations, &account, known);
            let form = keys.form_of(password);
            if form == Some(PasswordForm::Other) {
                tracing::warn!(
                    "the keys of {account} were made of a password that was not prepared by SASLprep: many clients cannot \
                     use SCRAM with it until the password is set again"
                );
            }
            Outcome::Answer(Reply::Verified(form.map(|_| keys.salt().into())))
        }
        // Not worth the work; what is, the writer decides again.
        (Purpose::Create { replace: false }, Some(_)) | (Purpose::Set(_), None) => {
            Outcome::Answer(Reply::Changed(false))
        }
        (Purpose::Create { replace }, _) => {
            Outcome::Change(Box::new(Change::Create { account, credentials: derive()?, replace }))
        }
        (Purpose::Set(_), Some(_)) => {
            Outcome::Change(Box::new(Change::SetCredentials { account, credentials: derive()? }))
        }
    })
}

/// The keys of an account, or such as it would have if it existed: either way there is the same to compute, and the time
/// doesn't tell (RFC 6120 section 6.5.10).
fn keys_to_verify(store: &Store, iterations: u32, account: &BareJid, known: Option<Account>) -> ScramKeys {
    known
        .and_then(|known| known.credentials.to_verify().cloned())
        .unwrap_or_else(|| fake_keys(store.secret().expose(), account.as_str(), Hash::Sha256, iterations))
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 6120 §6.5.10
    #[test]
    fn an_unknown_account_takes_the_same_work_as_a_wrong_password() {
        const ITERATIONS: u32 = 5_000;
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let keys_of = |account: &BareJid| {
            let known = store.get(account).unwrap();
            keys_to_verify(&store, ITERATIONS, account, known)
        };
        let work = |keys: &ScramKeys| (keys.hash(), keys.iterations(), keys.salt().len());
        let [known, keyless, unknown] =
            ["juliet@example.org", "nurse@example.org", "nobody@example.org"].map(|jid| jid.parse().unwrap());
        let credentials = Credentials::derive("right", &[7; SALT_LENGTH], ITERATIONS).unwrap();
        store.create(&known, credentials.clone()).unwrap();
        store.create(&keyless, Credentials::default()).unwrap();

        let right = keys_of(&known);
        assert_eq!(right.stored_key(), credentials.to_verify().unwrap().stored_key());
        for other in [&keyless, &unknown] {
            let keys = keys_of(other);
            assert_eq!(work(&keys), work(&right), "{other}");
            assert!(!keys.verify_password("right"), "{other}");
        }
    }
}
