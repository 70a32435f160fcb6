//! The threads before a store.
//!
//! ```text
//! submit ─┬─ Credentials, Exists, List, Kept, Offline ──▶ reader ──────────▶ reply
//!         ├─ Verify ────────────────────────────────────▶ hashers ─────────▶ reply
//!         ├─ Create, SetPassword ───────────────────────▶ hashers ─▶ writer ─▶ reply
//!         └─ Remove, Save ──────────────────────────────────────────▶ writer ─▶ reply
//! ```
//!
//! All three queues are bounded. Only hashers wait for room, in the queue of the writer, which waits for nobody.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::num::NonZeroUsize;
use core::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use balcony_jid::BareJid;
use balcony_machine::Secret;
use balcony_sasl::{Credentials, Hash, SALT_LENGTH, ScramKeys, fake_keys};

use crate::{Account, Busy, Change, Reply, Request, Store, StoreError};

/// Changes that share one write to the disk at most.
const BATCH: usize = 1024;

/// What a worker does with a reply. It runs on a thread of the worker, so it should only pass the reply on.
pub type ReplyTo = Box<dyn FnOnce(Reply) + Send>;

/// Answers requests to a [`Store`] on threads of its own: one reads, one writes, and one for each processor hashes
/// passwords.
///
/// Changes that wait while the disk is busy are written together, and a change is answered only when it is on the disk.
/// Requests don't overtake each other within these three groups, but between them they do: ask for what depends on a
/// change after its reply.
///
/// Dropping a worker is the same as [`shutdown`](Worker::shutdown).
pub struct Worker {
    /// Taken away to end the threads.
    queues: Option<Queues>,
    threads: Vec<JoinHandle<()>>,
}

/// How a [`Worker`] works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerConfig {
    /// Iterations of PBKDF2 for new passwords; at least [`MIN_ITERATIONS`](balcony_sasl::MIN_ITERATIONS), or every one is
    /// refused.
    pub iterations: u32,
    /// Threads that hash passwords.
    pub hashers: NonZeroUsize,
    /// Requests that may wait in each of the three queues.
    pub queue: usize,
}

impl Default for WorkerConfig {
    /// 10,000 iterations, a hasher for each processor, and queues of 16,384.
    fn default() -> Self {
        WorkerConfig {
            iterations: 10_000,
            hashers: thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            queue: 16_384,
        }
    }
}

struct Queues {
    read: SyncSender<Job<Reading>>,
    hash: SyncSender<Job<Hashing>>,
    write: SyncSender<Job<Change>>,
}

struct Job<T> {
    task: T,
    reply: ReplyTo,
}

/// What the reader looks up.
enum Reading {
    Credentials(BareJid),
    Exists(BareJid),
    List { domain: Option<String>, after: Option<BareJid>, limit: usize },
    Kept(BareJid),
    Offline(BareJid, usize),
}

/// What a hasher does for an account with a password.
struct Hashing {
    account: BareJid,
    password: Secret<String>,
    purpose: Purpose,
}

enum Purpose {
    Verify,
    Create { replace: bool },
    Set,
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
        let (read, reads) = sync_channel(config.queue);
        let (hash, hashes) = sync_channel(config.queue);
        let (write, writes) = sync_channel(config.queue);
        let hashes = Arc::new(Mutex::new(hashes));
        let mut threads = Vec::new();
        for _ in 0..config.hashers.get() {
            let (store, hashes, write) = (store.clone(), Arc::clone(&hashes), write.clone());
            threads.push(spawn(move || run_hasher(&store, config.iterations, &hashes, &write)));
        }
        let reader = store.clone();
        threads.push(spawn(move || run_reader(&reader, &reads)));
        threads.push(spawn(move || run_writer(&store, &writes)));
        Worker { queues: Some(Queues { read, hash, write }), threads }
    }

    /// Hands over a request; never waits. `reply` is called once, on another thread.
    ///
    /// # Errors
    ///
    /// [`Busy`] if the queue for such requests is full; `reply` is dropped.
    pub fn submit(&self, request: Request, reply: ReplyTo) -> Result<(), Busy> {
        let queues = self.queues.as_ref().ok_or(Busy)?;
        let hash = |account, password, purpose| Hashing { account, password, purpose };
        match request {
            Request::Credentials { account } => offer(&queues.read, Reading::Credentials(account), reply),
            Request::Exists { account } => offer(&queues.read, Reading::Exists(account), reply),
            Request::List { domain, after, limit } => {
                offer(&queues.read, Reading::List { domain, after, limit }, reply)
            }
            Request::Kept { account } => offer(&queues.read, Reading::Kept(account), reply),
            Request::Offline { account, bytes } => {
                offer(&queues.read, Reading::Offline(account, bytes), reply)
            }
            Request::Verify { account, password } => {
                offer(&queues.hash, hash(account, password, Purpose::Verify), reply)
            }
            Request::Create { account, password, replace } => {
                offer(&queues.hash, hash(account, password, Purpose::Create { replace }), reply)
            }
            Request::SetPassword { account, password } => {
                offer(&queues.hash, hash(account, password, Purpose::Set), reply)
            }
            Request::Remove { account } => offer(&queues.write, Change::Remove { account }, reply),
            Request::Save { account, changes } => {
                offer(&queues.write, Change::Save { account, changes }, reply)
            }
        }
    }

    /// Takes no more requests, and waits until all that were taken have been answered.
    pub fn shutdown(self) {}
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Without senders the reader and the hashers end after the last request, and then the writer, too.
        self.queues = None;
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

fn offer<T>(queue: &SyncSender<Job<T>>, task: T, reply: ReplyTo) -> Result<(), Busy> {
    queue.try_send(Job { task, reply }).map_err(|_| Busy)
}

fn spawn(run: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    #[expect(clippy::disallowed_methods, reason = "an adapter may have threads")]
    thread::spawn(run)
}

/// Calls `reply`. A panic in it is its owner's fault, and must not end the thread that serves everybody.
fn send(reply: ReplyTo, answer: Result<Reply, StoreError>) {
    let _ = catch_unwind(AssertUnwindSafe(|| reply(answer.unwrap_or_else(Reply::Failed))));
}

/// A panic in a backend fails what it was about, and must not end the thread that serves everybody either.
fn attempt<T>(work: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(StoreError::Corrupt("using it has led to a panic".into())))
}

fn run_reader(store: &Store, jobs: &Receiver<Job<Reading>>) {
    for Job { task, reply } in jobs {
        send(reply, attempt(|| read(store, &task)));
    }
}

fn read(store: &Store, task: &Reading) -> Result<Reply, StoreError> {
    Ok(match task {
        Reading::Credentials(account) => {
            Reply::Credentials(store.get(account)?.map(|account| account.credentials))
        }
        Reading::Exists(account) => Reply::Exists(store.get(account)?.is_some()),
        Reading::List { domain, after, limit } => {
            let after = after.as_ref();
            Reply::Accounts(match domain {
                Some(domain) => store.list(domain, after, *limit)?,
                None => store.list_all(after, *limit)?,
            })
        }
        Reading::Kept(account) => Reply::Kept(store.kept(account)?.map(Box::new)),
        Reading::Offline(account, bytes) => Reply::Offline(store.offline(account, *bytes)?),
    })
}

fn run_writer(store: &Store, jobs: &Receiver<Job<Change>>) {
    while let Ok(first) = jobs.recv() {
        // Whatever came while the disk was busy.
        let batch: Vec<Job<Change>> = core::iter::once(first).chain(jobs.try_iter()).take(BATCH).collect();
        match attempt(|| store.commit(batch.iter().map(|job| &job.task))) {
            Ok(done) => {
                for (Job { reply, .. }, done) in batch.into_iter().zip(done) {
                    send(reply, Ok(Reply::Changed(done)));
                }
            }
            // Nothing was done. One of them has met something that fails it alone, and the others are not to suffer.
            Err(StoreError::Corrupt(_) | StoreError::Refused(_)) if batch.len() > 1 => {
                for Job { task, reply } in batch {
                    let done = attempt(|| store.commit([&task]));
                    send(reply, done.map(|done| Reply::Changed(done.contains(&true))));
                }
            }
            Err(error) => {
                for Job { reply, .. } in batch {
                    send(reply, Err(error.clone()));
                }
            }
        }
    }
}

fn run_hasher(
    store: &Store,
    iterations: u32,
    jobs: &Mutex<Receiver<Job<Hashing>>>,
    write: &SyncSender<Job<Change>>,
) {
    let next = || jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
    while let Ok(Job { task, reply }) = next() {
        match attempt(|| hash(store, iterations, task)) {
            Ok(Hashed::Answer(answer)) => send(reply, Ok(answer)),
            // The writer ends after the hashers, so it takes it.
            Ok(Hashed::Change(change)) => drop(write.send(Job { task: change, reply })),
            Err(error) => send(reply, Err(error)),
        }
    }
}

/// What has become of a request with a password.
enum Hashed {
    Answer(Reply),
    Change(Change),
}

fn hash(store: &Store, iterations: u32, task: Hashing) -> Result<Hashed, StoreError> {
    let Hashing { account, password, purpose } = task;
    let known = store.get(&account)?;
    let derive = || {
        let mut salt = [0; SALT_LENGTH];
        getrandom::fill(&mut salt)?;
        Credentials::derive(password.expose(), &salt, iterations).map_err(StoreError::from)
    };
    Ok(match (purpose, known) {
        (Purpose::Verify, known) => {
            let keys = keys_to_verify(store, iterations, &account, known);
            Hashed::Answer(Reply::Verified(keys.verify_password(password.expose())))
        }
        // Not worth the work; what is, the writer decides again.
        (Purpose::Create { replace: false }, Some(_)) | (Purpose::Set, None) => {
            Hashed::Answer(Reply::Changed(false))
        }
        (Purpose::Create { replace }, _) => {
            Hashed::Change(Change::Create { account, credentials: derive()?, replace })
        }
        (Purpose::Set, Some(_)) => Hashed::Change(Change::SetCredentials { account, credentials: derive()? }),
    })
}

/// The keys of an account, or such as it would have if it existed: either way there is the same to compute, and the time
/// doesn't tell (RFC 6120 section 6.5.10).
fn keys_to_verify(store: &Store, iterations: u32, account: &BareJid, known: Option<Account>) -> ScramKeys {
    known
        .and_then(|known| known.credentials.strongest().cloned())
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
        assert_eq!(right.stored_key(), credentials.strongest().unwrap().stored_key());
        for other in [&keyless, &unknown] {
            let keys = keys_of(other);
            assert_eq!(work(&keys), work(&right), "{other}");
            assert!(!keys.verify_password("right"), "{other}");
        }
    }
}
