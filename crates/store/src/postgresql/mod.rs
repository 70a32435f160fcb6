//! Accounts in tables of a PostgreSQL server.

mod check;
mod link;
mod read;
mod schema;
mod write;

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use balcony_jid::BareJid;
use balcony_machine::Secret;
use balcony_router::Kept;
use postgres::Config;

use self::link::{Link, Mode};
use crate::{Account, Backend, Backup, Change, Messages, StoreConfig, StoreError};

/// The accounts in the tables of a database.
pub(crate) struct PostgreSql {
    reader: Mutex<Link>,
    /// Its connection holds the lock that keeps other processes out.
    writer: Mutex<Link>,
    secret: Secret<[u8; 32]>,
    config: StoreConfig,
}

impl PostgreSql {
    /// Connects to the server, and makes the tables if they are missing.
    pub(crate) fn connect(parameters: &str, config: StoreConfig) -> Result<PostgreSql, StoreError> {
        let parameters: Config = parameters.parse().map_err(|_| StoreError::Parameters)?;
        let mut writer = Link::new(parameters.clone(), Mode::Write);
        let secret = writer.run(schema::prepare)?;
        let reader = Link::new(parameters, Mode::Read);
        Ok(PostgreSql { reader: Mutex::new(reader), writer: Mutex::new(writer), secret, config })
    }

    fn reader(&self) -> MutexGuard<'_, Link> {
        self.reader.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Backend for PostgreSql {
    fn secret(&self) -> Secret<[u8; 32]> {
        self.secret.clone()
    }

    fn account(&self, account: &BareJid) -> Result<Option<Account>, StoreError> {
        self.reader().run(|session| read::account(session, account))
    }

    fn kept(&self, account: &BareJid) -> Result<Option<Kept>, StoreError> {
        self.reader().run(|session| read::kept(session, account, self.config))
    }

    fn offline(&self, account: &BareJid, bytes: usize) -> Result<Messages, StoreError> {
        self.reader().run(|session| read::offline(session, account, bytes))
    }

    fn backup(&self, account: &BareJid) -> Result<Option<Backup>, StoreError> {
        self.reader().run(|session| read::backup(session, account, self.config))
    }

    fn list(
        &self,
        domain: Option<&str>,
        after: Option<&BareJid>,
        limit: usize,
    ) -> Result<Vec<BareJid>, StoreError> {
        self.reader().run(|session| read::list(session, domain, after, limit))
    }

    fn count(&self) -> Result<u64, StoreError> {
        self.reader().run(read::count)
    }

    fn commit(&self, changes: &[&Change], now: u64) -> Result<Vec<bool>, StoreError> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        writer.run(|session| {
            changes.iter().map(|change| write::apply(session, change, self.config, now)).collect()
        })
    }

    fn check(&self, problem: &mut dyn FnMut(String)) -> Result<u64, StoreError> {
        self.reader().run(|session| check::check(session, self.config, problem))
    }
}

impl fmt::Debug for PostgreSql {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgreSql").field("config", &self.config).finish_non_exhaustive()
    }
}
