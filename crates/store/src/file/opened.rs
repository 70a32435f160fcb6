//! A database that is closed and opened again after the disk has failed or was full: until then redb refuses everything, for
//! what it knows of the file may not be what the disk has.
//!
//! A database that is damaged, where that makes redb panic or not, is not opened again. Opening looks through the whole file, and refuses it
//! for all because of what is damaged for some; and it mends nothing. Reading what is sound goes on beside what is not. Writing to a damaged
//! database may spoil all of it, whether or not it was opened again since: only a backup helps then, as the error says.

use alloc::sync::Arc;
use core::time::Duration;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::Instant;

use redb::{Database, ReadableDatabase as _};

use super::open;
use super::read::Reading;
use crate::StoreError;
use crate::error::attempt;

/// After a failure it takes this long until something is written again. That is how often the file is opened again at most,
/// which reads all of it.
const PAUSE: Duration = Duration::from_secs(5);

pub(super) struct Opened {
    folder: PathBuf,
    state: RwLock<State>,
}

struct State {
    /// The database as it is, until something is written. The file is not closed before this is gone.
    latest: Mutex<Option<Arc<Reading>>>,
    /// `None` if it could not be opened again.
    database: Option<Database>,
    /// How many times it has been opened again.
    again: u64,
    outage: Option<Outage>,
}

impl State {
    /// The database as it is.
    fn latest(&self, database: &Database) -> Result<Arc<Reading>, StoreError> {
        let mut latest = self.lock();
        if let Some(reading) = &*latest {
            return Ok(Arc::clone(reading));
        }
        let reading = Arc::new(Reading::new(database.begin_read()?));
        *latest = Some(Arc::clone(&reading));
        Ok(reading)
    }

    /// It will be another one, or is by now.
    fn forget(&self) {
        *self.lock() = None;
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<Reading>>> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The disk has failed, and has not been seen to work since.
struct Outage {
    reason: StoreError,
    until: Instant,
}

impl Opened {
    pub(super) fn new(folder: &Path, database: Database) -> Opened {
        let state = State { latest: Mutex::default(), database: Some(database), again: 0, outage: None };
        Opened { folder: folder.into(), state: RwLock::new(state) }
    }

    /// Reads, and once more if the disk fails and the database can be opened again.
    pub(super) fn read<T>(&self, read: impl Fn(&Reading) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let read = |state: &State, database: &Database| read(&*state.latest(database)?);
        match self.with(read) {
            Err(StoreError::Io(_)) => self.with(read),
            other => other,
        }
    }

    /// Does something that is not done again if the disk fails; but what comes later may work.
    pub(super) fn once<T>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.with(|_, database| work(database))
    }

    fn with<T>(
        &self,
        work: impl FnOnce(&State, &Database) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.open_if_closed();
        let (result, again) = {
            let state = self.state();
            let result = match (&state.database, &state.outage) {
                (Some(database), _) => attempt(|| work(&state, database)),
                (None, Some(outage)) => Err(outage.reason.clone()),
                (None, None) => Err(StoreError::Io("it is closed".into())),
            };
            (result, state.again)
        };
        if let Err(reason @ StoreError::Io(_)) = &result {
            self.open_again(again, reason);
        }
        result
    }

    /// Looks through the whole file for damage, while nobody else uses it.
    pub(super) fn look_through(&self) -> Result<(), StoreError> {
        self.open_if_closed();
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.forget();
        let Some(database) = &mut state.database else { return Err(StoreError::Io("it is closed".into())) };
        let failed = |error| StoreError::opening(&self.folder, error);
        match attempt(|| database.check_integrity().map_err(failed))? {
            true => Ok(()),
            false => Err(StoreError::Corrupt("its parts did not fit together".into())),
        }
    }

    /// Writes, unless that has failed just now.
    pub(super) fn write<T>(
        &self,
        write: impl FnOnce(&Database) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let (has_failed, is_paused) = match &self.state().outage {
            Some(outage) if now() < outage.until => (true, Some(outage.reason.clone())),
            outage => (outage.is_some(), None),
        };
        if let Some(reason) = is_paused {
            return Err(reason);
        }
        // While one is open, what is not needed any more cannot be used for what is written.
        self.state().forget();
        let result = self.once(write);
        self.state().forget();
        if has_failed && result.is_ok() {
            self.is_written_again();
        }
        result
    }

    /// The outage is over, unless whoever reads has found the disk failing once more since, and the database is closed: without an outage
    /// nobody would open it again.
    fn is_written_again(&self) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        if state.database.is_some() {
            state.outage = None;
            tracing::warn!("the database can be written again");
        }
    }

    fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn open_if_closed(&self) {
        let closed = {
            let state = self.state();
            let reason = state.outage.as_ref().map(|outage| outage.reason.clone());
            reason.filter(|_| state.database.is_none()).map(|reason| (state.again, reason))
        };
        if let Some((again, reason)) = closed {
            self.open_again(again, &reason);
        }
    }

    /// Nobody uses the database meanwhile. `again` says which one has failed: another thread may have been here before.
    fn open_again(&self, again: u64, reason: &StoreError) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let is_recent = state.outage.as_ref().is_some_and(|outage| now() < outage.until);
        if state.again != again || is_recent {
            return;
        }
        if state.outage.is_none() {
            tracing::error!("{reason}");
        }
        // The file is locked until it is closed.
        state.forget();
        state.database = None;
        let opened = open::again(&self.folder);
        let reason = opened.as_ref().err().unwrap_or(reason).clone();
        state.database = opened.ok();
        state.again += 1;
        state.outage = Some(Outage { reason, until: now() + PAUSE });
    }
}

fn now() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "an adapter may ask for the time")]
    Instant::now()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    // A write has worked again, and before that is noted a reader finds the disk failing once more, so that the database cannot be opened.
    #[test]
    fn a_failure_behind_a_write_that_has_worked_is_not_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let opened = Opened::new(folder.path(), open::database(folder.path()).unwrap());
        let failed = StoreError::Io("a failure".into());
        opened.open_again(0, &failed);
        opened.state.write().unwrap().outage.as_mut().unwrap().until = now();
        let (here, elsewhere) = (folder.path().join(open::FILE), folder.path().join("elsewhere"));
        std::fs::rename(&here, &elsewhere).unwrap();
        opened.open_again(1, &failed);
        opened.is_written_again();
        std::fs::rename(&elsewhere, &here).unwrap();
        if let Some(outage) = &mut opened.state.write().unwrap().outage {
            outage.until = now();
        }
        assert!(opened.once(|_| Ok(())).is_ok());
    }
}
