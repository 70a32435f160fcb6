//! How the file is found, made, and brought from the layout of an older program to that of this one.
//!
//! Whoever dies while it is being made leaves no half of one behind. A file of a newer program is refused, since this one could
//! misread it.

use std::fs::{DirBuilder, OpenOptions, TryLockError};
use std::io;
use std::path::Path;

use balcony_machine::Secret;
use balcony_router::extension::blocking::BLOCKED as BLOCKED_DOCUMENTS;
use balcony_router::extension::offline::OFFLINE as MESSAGES;
use balcony_router::extension::{Collection, Kind};
use balcony_router::{Document, Entry};
use redb::backends::FileBackend;
use redb::{Database, ReadableTable as _, WriteTransaction};

use super::collections::count;
use super::tables::{
    ACCOUNTS, BLOCKED, CHANGES, COLLECTIONS, CONTACTS, DOCUMENTS, ENTRIES, LAST, LOGS, META, OFFLINE,
    ROSTERS, WITHOUT_SHA512,
};
use super::write::counter;
use crate::collection::{Held, OwnerKind, admit, kind_name};
use crate::error::attempt;
use crate::{StoreError, known, record};

/// The database within the data folder.
pub(super) const FILE: &str = "balcony.redb";

/// Pages that redb keeps in memory. Accounts are small: this holds several hundred thousand of them.
const CACHE: usize = 64 << 20;

/// A file of so many bytes is looked through for damage whenever it is opened, which takes a tenth of a second. A longer one is when it
/// was not closed in good order; otherwise it would have to be read as a whole before the server is there.
const LOOKED_THROUGH: u64 = 64 << 20;

type Migration = fn(&WriteTransaction) -> Result<(), StoreError>;

/// Each of them leads from one layout of the tables to the next, the first from nothing to version 1. There is a new one
/// when an older program could misread or lose something.
const MIGRATIONS: [Migration; 6] = [accounts, messaging, collections, logs, moved, keys];

/// The layout that this program knows.
#[expect(clippy::cast_possible_truncation, reason = "there are a few")]
const SCHEMA: u32 = MIGRATIONS.len() as u32;

/// A database that is being made. Whoever dies meanwhile leaves this, and no half of a database behind.
const NEW: &str = "balcony.redb.new";

/// Locked by the process that makes a database. It is gone when there is one.
const MAKING: &str = "balcony.redb.lock";

/// Opens the database in `folder`, and makes both if they are missing.
///
/// Of several processes that find none, one makes it. The others get [`StoreError::Locked`], and may try again.
pub(super) fn database(folder: &Path) -> Result<Database, StoreError> {
    make_folder(folder).map_err(|error| StoreError::folder(folder, &error))?;
    if let Some(database) = existing(folder)? {
        return Ok(database);
    }
    let lock = folder.join(MAKING);
    let failed = |error| StoreError::folder(&lock, &error);
    let making = options().open(&lock).map_err(failed)?;
    match making.try_lock() {
        Ok(()) => {}
        // A file system without locks: redb goes without them there, too.
        Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {}
        Err(TryLockError::WouldBlock) => return Err(StoreError::Locked(folder.into())),
        Err(TryLockError::Error(error)) => return Err(failed(error)),
    }
    // Whoever had the lock before may have made it.
    let path = folder.join(FILE);
    if !path.try_exists().map_err(|error| StoreError::folder(&path, &error))? {
        make(folder)?;
    }
    // From here on nobody makes one, with or without this lock.
    remove(&lock)?;
    again(folder)
}

/// Makes an empty database in `folder`, where there is none.
fn make(folder: &Path) -> Result<(), StoreError> {
    let new = folder.join(NEW);
    remove(&new)?;
    drop(open_file(&new, true)?);
    std::fs::rename(&new, folder.join(FILE)).map_err(|error| StoreError::folder(&new, &error))?;
    // A new file is durable when its name is, too.
    sync_folder(folder).map_err(|error| StoreError::folder(folder, &error))
}

/// Removes a file that may be there.
fn remove(path: &Path) -> Result<(), StoreError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StoreError::folder(path, &error)),
        _ => Ok(()),
    }
}

/// Opens the database in `folder` again, which has been open before, and looks through all of it.
pub(super) fn again(folder: &Path) -> Result<Database, StoreError> {
    find(folder, u64::MAX)?
        .ok_or_else(|| StoreError::Io(alloc::format!("{} has gone", folder.join(FILE).display())))
}

/// Opens the database in `folder`, if there is one.
pub(super) fn existing(folder: &Path) -> Result<Option<Database>, StoreError> {
    find(folder, LOOKED_THROUGH)
}

/// The same; if it has no more than so many bytes it is looked through.
pub(super) fn find(folder: &Path, looked_through: u64) -> Result<Option<Database>, StoreError> {
    let path = folder.join(FILE);
    match std::fs::metadata(&path) {
        // A link to a disk that is not there: a new database in its place would look as if all accounts had gone.
        Err(error) if error.kind() == io::ErrorKind::NotFound && path.is_symlink() => {
            let reason =
                "it is a link to something that is not there: bring that back, or remove the link".into();
            Err(StoreError::Folder { path, reason })
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            Err(StoreError::folder(&path, &error))
        }
        Err(_) => Ok(None),
        // Whatever was in it is lost. To make a new database of it would hide that.
        Ok(found) if found.len() == 0 => {
            Err(StoreError::Corrupt(alloc::format!("{} is empty", path.display())))
        }
        Ok(found) => open_file(&path, found.len() <= looked_through).map(Some),
    }
}

fn open_file(path: &Path, look: bool) -> Result<Database, StoreError> {
    let file = options().open(path).map_err(|error| StoreError::folder(path, &error))?;
    let opening = |error| StoreError::opening(path, error);
    let backend = FileBackend::new(file).map_err(opening)?;
    attempt(|| {
        Database::builder()
            .set_cache_size(CACHE)
            .set_check_integrity_on_open(look)
            .create_with_backend(backend)
            .map_err(opening)
    })
    .map_err(|error| error.in_file(path))
}

/// Checks the layout, brings an older one up to date, and returns the server's secret.
pub(super) fn prepare(database: &Database, known: &[Collection]) -> Result<Secret<[u8; 32]>, StoreError> {
    let transaction = database.begin_write()?;
    let found = {
        let meta = transaction.open_table(META)?;
        meta.get("schema")?.map_or(Ok(0), |value| version(value.value()))?
    };
    if found > SCHEMA {
        return Err(StoreError::NewerSchema { found, supported: SCHEMA });
    }
    for migrate in MIGRATIONS.iter().skip(found as usize) {
        migrate(&transaction)?;
    }
    let secret = {
        let mut meta = transaction.open_table(META)?;
        if found < SCHEMA {
            meta.insert("schema", &SCHEMA.to_le_bytes()[..])?;
        }
        let secret = meta.get("secret")?;
        let secret = secret.and_then(|value| <[u8; 32]>::try_from(value.value()).ok());
        Secret::new(secret.ok_or_else(|| StoreError::Corrupt("it has no secret".into()))?)
    };
    {
        let found = transaction.open_table(COLLECTIONS)?;
        for collection in known {
            let version = found.get((kind_name(collection.kind), &*collection.name))?;
            admit(collection, version.map_or(0, |version| version.value()))?;
        }
    }
    match found < SCHEMA {
        true => transaction.commit()?,
        false => transaction.abort()?,
    }
    Ok(secret)
}

fn version(bytes: &[u8]) -> Result<u32, StoreError> {
    let bytes = bytes.try_into().map_err(|_| StoreError::Corrupt("it has no version".into()))?;
    Ok(u32::from_le_bytes(bytes))
}

/// Version 1: accounts.
fn accounts(transaction: &WriteTransaction) -> Result<(), StoreError> {
    let mut secret = [0; 32];
    getrandom::fill(&mut secret)?;
    transaction.open_table(META)?.insert("secret", &Secret::new(secret).expose()[..])?;
    transaction.open_table(ACCOUNTS)?;
    Ok(())
}

/// Version 2: what is kept of accounts. Version 1 would remove an account without it.
fn messaging(transaction: &WriteTransaction) -> Result<(), StoreError> {
    transaction.open_table(ROSTERS)?;
    transaction.open_table(CONTACTS)?;
    transaction.open_table(CHANGES)?;
    transaction.open_table(LAST)?;
    Ok(())
}

/// Version 3: collections. Version 2 would remove an account without them. Accounts that are there have no number, which
/// counts as zero: those that are made from now on have higher ones.
fn collections(transaction: &WriteTransaction) -> Result<(), StoreError> {
    transaction.open_table(DOCUMENTS)?;
    transaction.open_table(ENTRIES)?;
    transaction.open_table(COLLECTIONS)?;
    Ok(())
}

/// Version 4: how much each log holds is counted. Version 3 would not count on.
fn logs(transaction: &WriteTransaction) -> Result<(), StoreError> {
    let mut logs = transaction.open_table(LOGS)?;
    for entry in transaction.open_table(ENTRIES)?.iter()? {
        let (place, value) = entry?;
        let (kind, domain, local, log, _) = place.value();
        count(&mut logs, (kind, domain, local, log), |held| held.with(Held::one(value.value().3.len())))?;
    }
    Ok(())
}

/// Version 5: blocked addresses and messages are in collections. Version 4 would not find them.
fn moved(transaction: &WriteTransaction) -> Result<(), StoreError> {
    let account = OwnerKind::Account.number();
    {
        let mut versions = transaction.open_table(COLLECTIONS)?;
        let mut note = |kind, name| versions.insert((kind_name(kind), name), known::VERSION).map(drop);
        let mut documents = transaction.open_table(DOCUMENTS)?;
        for entry in transaction.open_table(BLOCKED)?.iter()? {
            let (place, _) = entry?;
            let (domain, local, address) = place.value();
            let Document { collection, key, content } = known::blocked(address);
            let key = (account, domain, local, &*collection, &*key);
            documents.insert(key, (content.version, &*content.bytes))?;
            note(Kind::Documents, BLOCKED_DOCUMENTS)?;
        }
        let mut entries = transaction.open_table(ENTRIES)?;
        let mut logs = transaction.open_table(LOGS)?;
        for entry in transaction.open_table(OFFLINE)?.iter()? {
            let (place, value) = entry?;
            let ((domain, local, number), (at, xml)) = (place.value(), value.value());
            let Entry { tag, content, .. } = known::message(number, at, xml);
            let log = (account, domain, local, MESSAGES);
            entries.insert(
                (account, domain, local, MESSAGES, number),
                (at, &*tag, content.version, &*content.bytes),
            )?;
            count(&mut logs, log, |held| held.with(Held::one(content.bytes.len())))?;
            note(Kind::Log, MESSAGES)?;
        }
    }
    transaction.delete_table(BLOCKED)?;
    transaction.delete_table(OFFLINE)?;
    let mut meta = transaction.open_table(META)?;
    let highest = counter(&meta, "offline")?.max(counter(&meta, "entries")?);
    meta.insert("entries", &highest.to_le_bytes()[..])?;
    meta.remove("offline")?;
    Ok(())
}

/// Version 6: accounts without keys for SHA-512 are counted. Version 5 would not count on.
fn keys(transaction: &WriteTransaction) -> Result<(), StoreError> {
    let mut without: u64 = 0;
    for entry in transaction.open_table(ACCOUNTS)?.iter()? {
        without += u64::from(!record::has_sha512(entry?.1.value()));
    }
    transaction.open_table(META)?.insert(WITHOUT_SHA512, &without.to_le_bytes()[..])?;
    Ok(())
}

/// The folder and the file are for the server's user alone: keys in it are worth as much as passwords to an attacker.
#[cfg(unix)]
fn make_folder(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

#[cfg(not(unix))]
fn make_folder(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).create(folder)
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    OpenOptions::new().read(true).open(folder)?.sync_all()
}

#[cfg(not(unix))]
fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}
