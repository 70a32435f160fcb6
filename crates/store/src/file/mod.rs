//! Accounts in one file, by the embedded database redb.

mod check;
mod collections;
mod open;
mod opened;
mod read;
mod tables;
mod write;

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use std::path::Path;

use balcony_jid::BareJid;
use balcony_machine::Secret;
use balcony_router::{Content, Kept};
use redb::{Database, ReadableDatabase as _};

use self::opened::Opened;
use self::read::Reading;
use self::write::Writing;
use crate::error::attempt;
use crate::{Account, Backend, Backup, Change, Documents, Entries, Owned, Owner, StoreConfig, StoreError};

/// The accounts in a data folder.
pub(crate) struct File {
    database: Opened,
    secret: Secret<[u8; 32]>,
    config: StoreConfig,
}

impl File {
    /// Opens the database in `folder`, and makes both if they are missing.
    pub(crate) fn open(folder: &Path, config: StoreConfig) -> Result<File, StoreError> {
        File::of(folder, open::database(folder)?, config)
    }

    /// Opens the database in `folder`, if there is one.
    pub(crate) fn open_existing(folder: &Path, config: StoreConfig) -> Result<Option<File>, StoreError> {
        open::existing(folder)?.map(|database| File::of(folder, database, config)).transpose()
    }

    fn of(folder: &Path, database: Database, config: StoreConfig) -> Result<File, StoreError> {
        let prepared = attempt(|| open::prepare(&database, &config.collections));
        let secret = prepared.map_err(|error| error.in_file(&folder.join(open::FILE)))?;
        Ok(File { database: Opened::new(folder, database), secret, config })
    }

    fn read<T>(&self, read: impl Fn(&Reading) -> Result<T, StoreError>) -> Result<T, StoreError> {
        self.database.read(read)
    }
}

impl Backend for File {
    fn secret(&self) -> Secret<[u8; 32]> {
        self.secret.clone()
    }

    fn account(&self, account: &BareJid) -> Result<Option<Account>, StoreError> {
        self.read(|reading| reading.account(account))
    }

    fn kept(&self, account: &BareJid, collections: &[Cow<'static, str>]) -> Result<Option<Kept>, StoreError> {
        self.read(|reading| reading.kept(account, collections, &self.config))
    }

    fn backup(&self, account: &BareJid) -> Result<Option<Backup>, StoreError> {
        self.read(|reading| {
            let Some(found) = reading.account(account)? else { return Ok(None) };
            let (roster, last) = (reading.roster(account, &self.config)?, reading.last(account)?);
            let collections = collections::all(reading, &Owner::Account(account.clone()))?;
            Ok(Some(Backup { address: account.clone(), account: found, roster, last, collections }))
        })
    }

    fn document(&self, owner: &Owner, collection: &str, key: &str) -> Result<Option<Content>, StoreError> {
        self.read(|reading| collections::document(reading, owner, collection, key))
    }

    fn documents(
        &self,
        owner: &Owner,
        collection: &str,
        after: Option<&str>,
        bytes: usize,
    ) -> Result<Documents, StoreError> {
        self.read(|reading| collections::documents(reading, owner, collection, after, bytes))
    }

    fn holders(
        &self,
        collection: &str,
        after: Option<&BareJid>,
        limit: usize,
    ) -> Result<Vec<BareJid>, StoreError> {
        self.read(|reading| collections::holders(reading, collection, after, limit))
    }

    fn entries(&self, owner: &Owner, log: &str, after: u64, bytes: usize) -> Result<Entries, StoreError> {
        self.read(|reading| collections::entries(reading, owner, log, after, bytes))
    }

    fn next_owned(&self, after: Option<&Owner>) -> Result<Option<Owned>, StoreError> {
        self.read(|reading| {
            let owner = collections::next_owner(reading, after)?;
            let all = |owner: Owner| {
                let collections = collections::all(reading, &owner)?;
                Ok(Owned { owner, collections })
            };
            owner.map(all).transpose()
        })
    }

    fn list(
        &self,
        domain: Option<&str>,
        after: Option<&BareJid>,
        limit: usize,
    ) -> Result<Vec<BareJid>, StoreError> {
        self.read(|reading| reading.list(domain, after, limit))
    }

    fn count(&self) -> Result<u64, StoreError> {
        self.read(Reading::count)
    }

    fn all_have_sha512(&self) -> Result<bool, StoreError> {
        self.read(|reading| Ok(reading.without_sha512()? == 0))
    }

    fn commit(&self, changes: &[&Change], now: u64) -> Result<Vec<bool>, StoreError> {
        self.database.write(|database| {
            let transaction = database.begin_write()?;
            let done = {
                let mut writing = Writing::new(&transaction, &self.config, now)?;
                let done =
                    changes.iter().map(|change| writing.apply(change)).collect::<Result<Vec<_>, _>>()?;
                writing.finish()?;
                done
            };
            transaction.commit()?;
            Ok(done)
        })
    }

    fn check(&self, problem: &mut dyn FnMut(String)) -> Result<u64, StoreError> {
        self.database.look_through()?;
        // Told once: what has been told cannot be taken back if it is read again.
        self.database.once(|database| check::check(&database.begin_read()?, problem))
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("File").field("config", &self.config).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
