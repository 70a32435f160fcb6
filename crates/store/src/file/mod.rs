//! Accounts in one file, by the embedded database redb.

mod check;
mod open;
mod read;
mod tables;
mod write;

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use std::path::Path;

use balcony_jid::BareJid;
use balcony_machine::Secret;
use balcony_router::Kept;
use redb::{Database, ReadableDatabase as _, ReadableTableMetadata as _};

use self::read::Reading;
use self::tables::ACCOUNTS;
use self::write::Writing;
use crate::{Account, Backend, Backup, Change, Messages, StoreConfig, StoreError};

/// The accounts in a data folder.
pub(crate) struct File {
    database: Database,
    secret: Secret<[u8; 32]>,
    config: StoreConfig,
}

impl File {
    /// Opens the database in `folder`, and makes both if they are missing.
    pub(crate) fn open(folder: &Path, config: StoreConfig) -> Result<File, StoreError> {
        File::of(open::database(folder)?, config)
    }

    /// Opens the database in `folder`, if there is one.
    pub(crate) fn open_existing(folder: &Path, config: StoreConfig) -> Result<Option<File>, StoreError> {
        open::existing(folder)?.map(|database| File::of(database, config)).transpose()
    }

    fn of(database: Database, config: StoreConfig) -> Result<File, StoreError> {
        let secret = open::prepare(&database)?;
        Ok(File { database, secret, config })
    }

    fn read(&self) -> Result<Reading, StoreError> {
        Ok(Reading::new(self.database.begin_read()?))
    }
}

impl Backend for File {
    fn secret(&self) -> Secret<[u8; 32]> {
        self.secret.clone()
    }

    fn account(&self, account: &BareJid) -> Result<Option<Account>, StoreError> {
        self.read()?.account(account)
    }

    fn kept(&self, account: &BareJid) -> Result<Option<Kept>, StoreError> {
        self.read()?.kept(account, self.config)
    }

    fn offline(&self, account: &BareJid, bytes: usize) -> Result<Messages, StoreError> {
        self.read()?.offline(account, bytes)
    }

    fn backup(&self, account: &BareJid) -> Result<Option<Backup>, StoreError> {
        let reading = self.read()?;
        let Some((found, kept)) = reading.account(account)?.zip(reading.kept(account, self.config)?) else {
            return Ok(None);
        };
        let offline = reading.offline(account, usize::MAX)?.messages;
        Ok(Some(Backup { address: account.clone(), account: found, kept, offline }))
    }

    fn list(
        &self,
        domain: Option<&str>,
        after: Option<&BareJid>,
        limit: usize,
    ) -> Result<Vec<BareJid>, StoreError> {
        self.read()?.list(domain, after, limit)
    }

    fn count(&self) -> Result<u64, StoreError> {
        Ok(self.database.begin_read()?.open_table(ACCOUNTS)?.len()?)
    }

    fn commit(&self, changes: &[&Change], now: u64) -> Result<Vec<bool>, StoreError> {
        let transaction = self.database.begin_write()?;
        let done = {
            let mut writing = Writing::new(&transaction, self.config, now)?;
            let done = changes.iter().map(|change| writing.apply(change)).collect::<Result<Vec<_>, _>>()?;
            writing.finish()?;
            done
        };
        transaction.commit()?;
        Ok(done)
    }

    fn check(&self, problem: &mut dyn FnMut(String)) -> Result<u64, StoreError> {
        check::check(&self.database.begin_read()?, problem)
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("File").field("config", &self.config).finish_non_exhaustive()
    }
}
