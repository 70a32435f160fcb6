//! Accounts in tables of a PostgreSQL server.

mod check;
mod collections;
mod link;
mod read;
mod schema;
mod write;

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use balcony_jid::BareJid;
use balcony_machine::Secret;
use balcony_router::{Content, Kept};
use postgres::Config;

use self::link::{Link, Mode, Session};
use crate::{Account, Backend, Backup, Change, Documents, Entries, Owned, Owner, StoreConfig, StoreError};

/// The accounts in the tables of a database.
pub(crate) struct PostgreSql {
    reader: Mutex<Link>,
    /// Its connection holds the lock that keeps other processes out.
    writer: Mutex<Link>,
    /// Whether a change is there or not, or is still to come, is not known since the writer's connection was lost.
    in_doubt: AtomicBool,
    /// Another process has opened the tables since this one has.
    superseded: AtomicBool,
    secret: Secret<[u8; 32]>,
    config: StoreConfig,
}

impl PostgreSql {
    /// Connects to the server, and makes the tables if they are missing.
    pub(crate) fn connect(parameters: &str, config: StoreConfig) -> Result<PostgreSql, StoreError> {
        let parameters: Config = parameters.parse().map_err(|_| StoreError::Parameters)?;
        let mut writer = Link::new(parameters.clone(), Mode::Write);
        let (secret, opening) = writer.run(|session| schema::prepare(session, &config.collections))?;
        writer.set_opening(opening);
        let reader = Link::new(parameters, Mode::Read);
        let (reader, writer) = (Mutex::new(reader), Mutex::new(writer));
        let (in_doubt, superseded) = (AtomicBool::new(false), AtomicBool::new(false));
        Ok(PostgreSql { reader, writer, in_doubt, superseded, secret, config })
    }

    /// Reads what nothing but a later commit will change.
    fn read<T>(&self, work: impl FnOnce(&mut Session<'_>) -> Result<T, StoreError>) -> Result<T, StoreError> {
        if self.in_doubt.load(Ordering::SeqCst) {
            // The server may still be at the change. When somebody else has the lock, it is not. No other change may begin
            // before that is noted, or its own doubt would be forgotten with this one.
            let mut writer = locked(&self.writer);
            self.write(|| writer.run(|_| Ok(())))?;
            self.in_doubt.store(false, Ordering::SeqCst);
        }
        self.go_on()?;
        locked(&self.reader).run(work)
    }

    /// The writer's connection is all that notices another process.
    fn write<T>(&self, write: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
        self.go_on()?;
        let result = write();
        if matches!(result, Err(StoreError::Superseded)) {
            self.superseded.store(true, Ordering::SeqCst);
        }
        result
    }

    /// Nothing is right any more when another process has had the tables.
    fn go_on(&self) -> Result<(), StoreError> {
        if self.superseded.load(Ordering::SeqCst) { Err(StoreError::Superseded) } else { Ok(()) }
    }
}

impl Backend for PostgreSql {
    fn secret(&self) -> Secret<[u8; 32]> {
        self.secret.clone()
    }

    fn account(&self, account: &BareJid) -> Result<Option<Account>, StoreError> {
        self.read(|session| read::account(session, account))
    }

    fn kept(&self, account: &BareJid, collections: &[Cow<'static, str>]) -> Result<Option<Kept>, StoreError> {
        self.read(|session| read::kept(session, account, collections, &self.config))
    }

    fn backup(&self, account: &BareJid) -> Result<Option<Backup>, StoreError> {
        self.read(|session| read::backup(session, account, &self.config))
    }

    fn document(&self, owner: &Owner, collection: &str, key: &str) -> Result<Option<Content>, StoreError> {
        self.read(|session| collections::document(session, owner, collection, key))
    }

    fn documents(
        &self,
        owner: &Owner,
        collection: &str,
        after: Option<&str>,
        bytes: usize,
    ) -> Result<Documents, StoreError> {
        self.read(|session| collections::documents(session, owner, collection, after, bytes))
    }

    fn holders(
        &self,
        collection: &str,
        after: Option<&BareJid>,
        limit: usize,
    ) -> Result<Vec<BareJid>, StoreError> {
        self.read(|session| collections::holders(session, collection, after, limit))
    }

    fn entries(&self, owner: &Owner, log: &str, after: u64, bytes: usize) -> Result<Entries, StoreError> {
        self.read(|session| collections::entries(session, owner, log, after, bytes))
    }

    fn next_owned(&self, after: Option<&Owner>) -> Result<Option<Owned>, StoreError> {
        self.read(|session| collections::next_owned(session, after))
    }

    fn list(
        &self,
        domain: Option<&str>,
        after: Option<&BareJid>,
        limit: usize,
    ) -> Result<Vec<BareJid>, StoreError> {
        self.read(|session| read::list(session, domain, after, limit))
    }

    fn count(&self) -> Result<u64, StoreError> {
        self.read(read::count)
    }

    fn all_have_sha512(&self) -> Result<bool, StoreError> {
        self.read(read::all_have_sha512)
    }

    fn commit(&self, changes: &[&Change], now: u64) -> Result<Vec<bool>, StoreError> {
        let mut writer = locked(&self.writer);
        // Until the server has said something else, even if this ends by a panic.
        let mut doubt = Doubt { in_doubt: &self.in_doubt, is_settled: false };
        let result = self.write(|| {
            writer.change(|session| {
                changes.iter().map(|change| write::apply(session, change, &self.config, now)).collect()
            })
        });
        doubt.is_settled = !matches!(result, Err(StoreError::Unreachable(_)));
        result
    }

    fn check(&self, problem: &mut dyn FnMut(String)) -> Result<u64, StoreError> {
        self.read(|session| check::check(session, &self.config, problem))
    }

    fn hold(&self) -> Result<(), StoreError> {
        match self.writer.try_lock() {
            Ok(mut writer) => self.write(|| writer.run(|_| Ok(()))),
            Err(TryLockError::Poisoned(writer)) => self.write(|| writer.into_inner().run(|_| Ok(()))),
            // It is being used, which finds out as well.
            Err(TryLockError::WouldBlock) => self.go_on(),
        }
    }
}

/// Whether a change was made is not known, unless it is settled.
struct Doubt<'d> {
    in_doubt: &'d AtomicBool,
    is_settled: bool,
}

impl Drop for Doubt<'_> {
    fn drop(&mut self) {
        if !self.is_settled {
            self.in_doubt.store(true, Ordering::SeqCst);
        }
    }
}

fn locked(link: &Mutex<Link>) -> MutexGuard<'_, Link> {
    link.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for PostgreSql {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgreSql").field("config", &self.config).finish_non_exhaustive()
    }
}
