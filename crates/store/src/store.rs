use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};
use std::path::Path;
use std::time::SystemTime;

use balcony_jid::BareJid;
use balcony_machine::Secret;
use balcony_sasl::Credentials;
use redb::{
    Database, ReadableDatabase as _, ReadableTable as _, ReadableTableMetadata as _, Table, TableDefinition,
};

use crate::{StoreError, open, record};

/// Accounts by domain and localpart, so that those of one domain stand together.
pub(crate) const ACCOUNTS: TableDefinition<'_, (&str, &str), &[u8]> = TableDefinition::new("accounts");

/// The accounts in one data folder. Clones are the same store.
///
/// Every call reads or writes the disk and so may take long; see [`Worker`](crate::Worker). A change that returned `Ok`
/// is on the disk.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    database: Database,
    secret: Secret<[u8; 32]>,
    commits: AtomicU64,
}

/// What is known of an account.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Account {
    /// What its password is checked against.
    pub credentials: Credentials,
    /// When it was made, in seconds since the start of 1970 (UTC).
    pub created: u64,
}

/// One change of the accounts.
#[derive(Clone, Debug)]
pub enum Change {
    /// A new account. It is done unless the account exists.
    Create {
        /// Its address.
        account: BareJid,
        /// What its password will be checked against.
        credentials: Credentials,
        /// If the account exists: give it these credentials instead. It is done in any case then.
        replace: bool,
    },
    /// Other credentials for an account. It is done if the account exists.
    SetCredentials {
        /// Its address.
        account: BareJid,
        /// What its password will be checked against.
        credentials: Credentials,
    },
    /// The end of an account. It is done if the account exists.
    Remove {
        /// Its address.
        account: BareJid,
    },
}

impl Store {
    /// Opens the store in `folder`. What is missing is made, for the current user only.
    ///
    /// This looks through the whole database for damage, which takes a second or two for a million accounts.
    ///
    /// # Errors
    ///
    /// [`StoreError`] with a text for whoever runs the server: in use by another process, not writable, not a database,
    /// damaged, or written by a newer version.
    pub fn open(folder: &Path) -> Result<Store, StoreError> {
        let database = open::database(folder)?;
        let secret = open::prepare(&database)?;
        Ok(Store(Arc::new(Inner { database, secret, commits: AtomicU64::new(0) })))
    }

    /// Thirty-two random bytes that this store was born with, for
    /// [`fake_keys`](balcony_sasl::fake_keys) of accounts that don't exist.
    #[must_use]
    pub fn secret(&self) -> Secret<[u8; 32]> {
        self.0.secret.clone()
    }

    /// An account, if it exists.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the disk or the data on it fail. So it is with all calls below.
    pub fn get(&self, account: &BareJid) -> Result<Option<Account>, StoreError> {
        let accounts = self.0.database.begin_read()?.open_table(ACCOUNTS)?;
        accounts.get(key(account))?.map(|value| record::decode(value.value())).transpose()
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

    /// Ends an account; `false` if it doesn't exist.
    ///
    /// # Errors
    ///
    /// As [`get`](Store::get).
    pub fn remove(&self, account: &BareJid) -> Result<bool, StoreError> {
        self.one(Change::Remove { account: account.clone() })
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
        let accounts = self.0.database.begin_read()?.open_table(ACCOUNTS)?;
        let start = after.map_or("", |after| key(after).1);
        let mut found = Vec::new();
        for entry in accounts.range((domain, start)..)? {
            let entry = entry?.0;
            let (its_domain, local) = entry.value();
            if its_domain != domain || found.len() == limit {
                break;
            }
            if after.is_none() || local != start {
                found.push(address(local, domain)?);
            }
        }
        Ok(found)
    }

    /// How many accounts there are, of all domains. Does not count them one by one.
    ///
    /// # Errors
    ///
    /// As [`get`](Store::get).
    pub fn count(&self) -> Result<u64, StoreError> {
        Ok(self.0.database.begin_read()?.open_table(ACCOUNTS)?.len()?)
    }

    /// Makes many changes, in this order, with one write to the disk: all of them, or none if it fails. For each: whether it
    /// was done.
    ///
    /// # Errors
    ///
    /// As [`get`](Store::get).
    pub fn commit<'a>(&self, changes: impl IntoIterator<Item = &'a Change>) -> Result<Vec<bool>, StoreError> {
        let transaction = self.0.database.begin_write()?;
        let done = {
            let mut accounts = transaction.open_table(ACCOUNTS)?;
            let now = now();
            changes
                .into_iter()
                .map(|change| apply(&mut accounts, change, now))
                .collect::<Result<Vec<_>, _>>()?
        };
        transaction.commit()?;
        self.0.commits.fetch_add(1, Ordering::Relaxed);
        Ok(done)
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

fn apply(
    accounts: &mut Table<'_, (&str, &str), &[u8]>,
    change: &Change,
    now: u64,
) -> Result<bool, StoreError> {
    let (account, credentials) = match change {
        Change::Remove { account } => return Ok(accounts.remove(key(account))?.is_some()),
        Change::Create { account, credentials, .. } | Change::SetCredentials { account, credentials } => {
            (account, credentials)
        }
    };
    let before = accounts.get(key(account))?.map(|value| record::decode(value.value())).transpose()?;
    let created = match (change, before) {
        (Change::Create { replace: false, .. }, Some(_)) | (Change::SetCredentials { .. }, None) => {
            return Ok(false);
        }
        (_, Some(before)) => before.created,
        (_, None) => now,
    };
    accounts.insert(key(account), &record::encode(credentials, created)?[..])?;
    Ok(true)
}

fn key(account: &BareJid) -> (&str, &str) {
    (account.domainpart(), account.localpart().unwrap_or_default())
}

fn address(local: &str, domain: &str) -> Result<BareJid, StoreError> {
    let local = Some(local).filter(|local| !local.is_empty());
    BareJid::from_parts(local, domain).map_err(|error| StoreError::Corrupt(format!("an address: {error}")))
}

/// Seconds since 1970.
fn now() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "an adapter may ask for the time")]
    let now = SystemTime::now();
    now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("commits", &self.commits()).finish_non_exhaustive()
    }
}
