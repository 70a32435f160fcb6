//! A store as programs use it, wherever the accounts are.
//!
//! It adds the time and the log to what its [`Backend`] does. Every call waits for the disk; a [`Worker`](crate::Worker) is for
//! those who must not.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};
use std::path::Path;
use std::time::SystemTime;

use balcony_jid::BareJid;
use balcony_machine::Secret;
use balcony_router::{Content, Kept};
use balcony_sasl::Credentials;

use crate::file::File;
use crate::{
    Account, Backend, Backup, Change, Documents, Edit, Entries, Owned, Owner, StoreConfig, StoreError,
};

/// The accounts of a server, and what is kept for them. Clones are the same store.
///
/// Every call reads or writes the disk and so may take long; see [`Worker`](crate::Worker). A change that returned `Ok`
/// is on the disk.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    backend: Box<dyn Backend>,
    commits: AtomicU64,
}

impl Store {
    /// Opens the store in `folder`. What is missing is made, for the current user only.
    ///
    /// A database of no more than 64 MiB, such as one of 100,000 accounts, is looked through for damage. A larger one is only if it was not
    /// closed in good order, since that takes a second for a million accounts; [`check`](Store::check) always does.
    ///
    /// # Errors
    ///
    /// [`StoreError`] with a text for whoever runs the server: in use by another process, not writable, not a database,
    /// damaged, or written by a newer version.
    pub fn open(folder: &Path) -> Result<Store, StoreError> {
        Store::open_with(folder, StoreConfig::default())
    }

    /// Opens the store in `folder` with other bounds than the usual ones.
    ///
    /// # Errors
    ///
    /// As [`open`](Store::open).
    pub fn open_with(folder: &Path, config: StoreConfig) -> Result<Store, StoreError> {
        Ok(Store::new(File::open(folder, config)?))
    }

    /// Opens the store in `folder` if there is one, and makes none.
    ///
    /// # Errors
    ///
    /// As [`open`](Store::open). An empty file is damaged: the store that was in it is lost.
    pub fn open_existing(folder: &Path) -> Result<Option<Store>, StoreError> {
        Ok(File::open_existing(folder, StoreConfig::default())?.map(Store::new))
    }

    /// Connects to the PostgreSQL server that `parameters` name, such as `host=/run/postgresql user=balcony
    /// dbname=balcony` or `postgresql://balcony@localhost/balcony`. The tables are made if they are missing. Until the store
    /// is dropped no other one can use them.
    ///
    /// Connections are not encrypted: use a Unix socket or the same machine. A connection that is lost is made anew by a later
    /// call, unless another process has opened the tables meanwhile (see [`hold`](Store::hold)); while the server is away it is tried ever less often, but at least every five seconds, and what is called in
    /// between fails at once. No call may be made from within a tokio runtime.
    ///
    /// # Errors
    ///
    /// [`StoreError`] with a text for whoever runs the server: bad parameters, cannot connect, in use by another process, or
    /// written by a newer version.
    #[cfg(feature = "postgres")]
    pub fn connect(parameters: &str, config: StoreConfig) -> Result<Store, StoreError> {
        Ok(Store::new(crate::postgresql::PostgreSql::connect(parameters, config)?))
    }

    /// A store that keeps accounts in any other way.
    #[must_use]
    pub fn new(backend: impl Backend + 'static) -> Store {
        Store(Arc::new(Inner { backend: Box::new(backend), commits: AtomicU64::new(0) }))
    }

    /// Thirty-two random bytes that this store was born with, for
    /// [`fake_keys`](balcony_sasl::fake_keys) of accounts that don't exist.
    #[must_use]
    pub fn secret(&self) -> Secret<[u8; 32]> {
        self.0.backend.secret()
    }

    /// An account, if it exists.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the disk or the data on it fail. So it is with all calls below.
    pub fn get(&self, account: &BareJid) -> Result<Option<Account>, StoreError> {
        self.0.backend.account(account)
    }

    /// What is kept of an account, if it exists, with the documents of these collections.
    ///
    /// # Errors
    ///
    /// As [`get`](Store::get).
    pub fn kept(
        &self,
        account: &BareJid,
        collections: &[Cow<'static, str>],
    ) -> Result<Option<Kept>, StoreError> {
        let kept = self.0.backend.kept(account, collections)?;
        Ok(kept.map(|kept| Kept { now: now(), ..kept }))
    }

    /// All about an account, as it was at one moment, if it exists.
    ///
    /// # Errors
    ///
    /// As [`get`](Store::get).
    pub fn backup(&self, account: &BareJid) -> Result<Option<Backup>, StoreError> {
        self.0.backend.backup(account)
    }

    /// What a document of an owner holds, if there is one. For an account that does not exist it takes as long as for one that
    /// has none.
    ///
    /// # Errors
    ///
    /// As [`get`](Store::get).
    pub fn document(
        &self,
        owner: &Owner,
        collection: &str,
        key: &str,
    ) -> Result<Option<Content>, StoreError> {
        self.0.backend.document(owner, collection, key)
    }

    /// Documents of one of an owner's collections, by the octets of their keys, from the first or after the one with the key
    /// `after`: as many as fit into so many bytes of keys and contents, but at least one, if there is one.
    ///
    /// # Errors
    ///
    /// As [`get`](Store::get).
    pub fn documents(
        &self,
        owner: &Owner,
        collection: &str,
        after: Option<&str>,
        bytes: usize,
    ) -> Result<Documents, StoreError> {
        self.0.backend.documents(owner, collection, after, bytes)
    }

    /// Up to `limit` accounts that have documents in this collection, by domain and then localpart, after `after`, or from the first.
    ///
    /// # Errors
    ///
    /// As [`get`](Store::get).
    pub fn holders(
        &self,
        collection: &str,
        after: Option<&BareJid>,
        limit: usize,
    ) -> Result<Vec<BareJid>, StoreError> {
        self.0.backend.holders(collection, after, limit)
    }

    /// Entries of one of an owner's logs with higher numbers than `after`, the oldest first: as many as fit into so many bytes of
    /// content, but at least one, if there is one. All numbers are higher than zero.
    ///
    /// # Errors
    ///
    /// As [`get`](Store::get).
    pub fn entries(&self, owner: &Owner, log: &str, after: u64, bytes: usize) -> Result<Entries, StoreError> {
        self.0.backend.entries(owner, log, after, bytes)
    }

    /// Of the owners that are not accounts and have something in collections, the first, or the first after this one.
    ///
    /// # Errors
    ///
    /// As [`get`](Store::get).
    pub fn next_owned(&self, after: Option<&Owner>) -> Result<Option<Owned>, StoreError> {
        self.0.backend.next_owned(after)
    }

    /// Makes changes of what an owner has in collections; `false`, and no change, if it is an account that does not exist or was not
    /// made with the number `creation`, if a name or key is too long, or if there is no room.
    ///
    /// # Errors
    ///
    /// As [`get`](Store::get).
    pub fn edit(&self, owner: &Owner, creation: Option<u64>, edits: Vec<Edit>) -> Result<bool, StoreError> {
        self.one(Change::Edit { owner: owner.clone(), creation, edits })
    }

    /// Makes an account; `false`, and no change, if it exists.
    ///
    /// # Errors
    ///
    /// As [`get`](Store::get).
    pub fn create(&self, account: &BareJid, credentials: Credentials) -> Result<bool, StoreError> {
        self.one(Change::Create { account: account.clone(), credentials, replace: false })
    }

    /// Makes many accounts with one write to the disk: all of them, or none if it fails. For each: `false`, and no
    /// change, if it existed.
    ///
    /// # Errors
    ///
    /// As [`get`](Store::get).
    pub fn create_many(
        &self,
        accounts: impl IntoIterator<Item = (BareJid, Credentials)>,
    ) -> Result<Vec<bool>, StoreError> {
        let create = |(account, credentials)| Change::Create { account, credentials, replace: false };
        let changes: Vec<Change> = accounts.into_iter().map(create).collect();
        self.commit(changes.iter())
    }

    /// Gives an account other credentials; `false` if it doesn't exist.
    ///
    /// # Errors
    ///
    /// As [`get`](Store::get).
    pub fn set_credentials(&self, account: &BareJid, credentials: Credentials) -> Result<bool, StoreError> {
        self.one(Change::SetCredentials { account: account.clone(), credentials })
    }

    /// Ends an account, and all that is kept for it; `false` if it doesn't exist. Others' rosters stay as they are: a
    /// [router](balcony_router::Router::remove_account) tells its contacts.
    ///
    /// # Errors
    ///
    /// As [`get`](Store::get).
    pub fn remove(&self, account: &BareJid) -> Result<bool, StoreError> {
        self.one(Change::Remove { account: account.clone() })
    }

    /// Changes what is kept of an account; `false`, and no change, if it doesn't exist or there is no room.
    ///
    /// # Errors
    ///
    /// As [`get`](Store::get).
    pub fn save(&self, account: &BareJid, changes: Vec<balcony_router::Change>) -> Result<bool, StoreError> {
        self.one(Change::Save { account: account.clone(), changes })
    }

    /// Up to `limit` accounts of `domain` in the order of their localparts, those after `after` if it is given: the
    /// last one of a page leads to the next.
    ///
    /// # Errors
    ///
    /// As [`get`](Store::get).
    pub fn list(
        &self,
        domain: &str,
        after: Option<&BareJid>,
        limit: usize,
    ) -> Result<Vec<BareJid>, StoreError> {
        self.0.backend.list(Some(domain), after, limit)
    }

    /// The same for all domains, in the order of their names.
    ///
    /// # Errors
    ///
    /// As [`get`](Store::get).
    pub fn list_all(&self, after: Option<&BareJid>, limit: usize) -> Result<Vec<BareJid>, StoreError> {
        self.0.backend.list(None, after, limit)
    }

    /// How many accounts there are, of all domains.
    ///
    /// # Errors
    ///
    /// As [`get`](Store::get).
    pub fn count(&self) -> Result<u64, StoreError> {
        self.0.backend.count()
    }

    /// Whether every account has keys for SCRAM with SHA-512, so that it can be offered to all: an account that was made before it was
    /// known here has none until it gets a new password. In a file they are counted; a database server looks at all accounts, up to the first that has none.
    ///
    /// # Errors
    ///
    /// As [`get`](Store::get).
    pub fn all_have_sha512(&self) -> Result<bool, StoreError> {
        self.0.backend.all_have_sha512()
    }

    /// Makes many changes, in this order, with one write to the disk: all of them, or none if it fails. For each: whether it
    /// was done.
    ///
    /// # Errors
    ///
    /// As [`get`](Store::get).
    pub fn commit<'a>(&self, changes: impl IntoIterator<Item = &'a Change>) -> Result<Vec<bool>, StoreError> {
        let changes: Vec<&Change> = changes.into_iter().collect();
        let done = self.0.backend.commit(&changes, now()).inspect_err(|error| {
            // That a server is away or was taken over, or a disk full, has been logged once.
            if !matches!(error, StoreError::Unreachable(_) | StoreError::Io(_) | StoreError::Superseded) {
                tracing::error!("changes of accounts were not made: {error}");
            }
        })?;
        self.0.commits.fetch_add(1, Ordering::Relaxed);
        Ok(done)
    }

    /// Looks through the whole database for damage, and then at everything that is kept, and tells `problem`, in a line for each, what cannot be read and what belongs to
    /// nobody. Returns how many accounts there are.
    ///
    /// # Errors
    ///
    /// As [`get`](Store::get).
    pub fn check(&self, problem: &mut dyn FnMut(String)) -> Result<u64, StoreError> {
        self.0.backend.check(problem)
    }

    /// Makes sure that this process still has the accounts for itself. On a database server the connection may be lost, and
    /// with it the lock: another process can then open the tables, and what this one knows may not hold any more. Whoever keeps
    /// things in memory, as a server does, calls this every few seconds, and ends on [`Superseded`](StoreError::Superseded).
    /// A connection that was lost is made anew.
    ///
    /// # Errors
    ///
    /// [`Superseded`](StoreError::Superseded) if another process has opened the tables meanwhile: all other calls then fail with it,
    /// too. Any other error says that it is not known now.
    pub fn hold(&self) -> Result<(), StoreError> {
        self.0.backend.hold()
    }

    /// How many times this store has written to the disk since it was opened.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.0.commits.load(Ordering::Relaxed)
    }

    fn one(&self, change: Change) -> Result<bool, StoreError> {
        Ok(self.commit([&change])?.contains(&true))
    }
}

/// Milliseconds since 1970.
pub(crate) fn now() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "an adapter may ask for the time")]
    let now = SystemTime::now();
    let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("commits", &self.commits()).finish_non_exhaustive()
    }
}
