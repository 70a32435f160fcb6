//! What can go wrong with a store, in one line each that tells whoever runs the server what to do.

use alloc::string::String;
use core::fmt;
use core::panic::AssertUnwindSafe;
use std::io::ErrorKind;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use balcony_sasl::CredentialsError;

/// Why the store could not do what it was asked. Each text is one line that says what to do.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreError {
    /// Another process has the store open.
    Locked(PathBuf),
    /// The folder cannot be made, read or written.
    Folder {
        /// The folder or file in question.
        path: PathBuf,
        /// What is the matter with it.
        reason: String,
    },
    /// The file is there, but it is not a database.
    NotADatabase(PathBuf),
    /// The database is damaged.
    Corrupt(String),
    /// A newer Balcony has written it.
    NewerSchema {
        /// The version of the data.
        found: u32,
        /// The highest version that this program knows.
        supported: u32,
    },
    /// A newer Balcony has written one of the collections that this program knows.
    NewerCollection {
        /// Its name.
        name: String,
        /// The version of the data.
        found: u8,
        /// The highest version that this program knows.
        supported: u8,
    },
    /// The disk failed or is full. The database is opened again, and what comes later may work. Most likely nothing of the change
    /// was kept; but if it failed at the very end, that is not known.
    Io(String),
    /// The parameters of the database server cannot be understood. They are not repeated, as there may be a password in them.
    Parameters,
    /// The database server cannot be reached, or was lost. Whether a change was made is then not known.
    Unreachable(String),
    /// The database server is there and has refused. Nothing of the change was kept.
    Refused(String),
    /// Another process uses the tables on the database server.
    InUse,
    /// While the connection to the database server was lost, another process has opened the tables. What was read before may not
    /// hold any more, so this store does nothing more.
    Superseded,
    /// The operating system gives no randomness.
    Random(String),
    /// The password cannot be one.
    Password(CredentialsError),
}

impl StoreError {
    /// What went wrong while `path` was opened.
    pub(crate) fn opening(path: &Path, error: redb::DatabaseError) -> Self {
        use redb::{DatabaseError, StorageError};
        match error {
            DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => {
                StoreError::Locked(path.parent().unwrap_or(path).into())
            }
            DatabaseError::Storage(StorageError::Io(error)) if error.kind() == ErrorKind::InvalidData => {
                StoreError::NotADatabase(path.into())
            }
            DatabaseError::Storage(StorageError::Io(error)) if error.kind() == ErrorKind::UnexpectedEof => {
                StoreError::Corrupt("its end is missing".into())
            }
            DatabaseError::Storage(StorageError::Io(error)) => StoreError::folder(path, &error),
            other => StoreError::from(redb::Error::from(other)),
        }
    }

    /// The same, with the file that holds the database.
    pub(crate) fn in_file(self, path: &Path) -> Self {
        let of = |reason| alloc::format!("{}: {reason}", path.display());
        match self {
            StoreError::Corrupt(reason) => StoreError::Corrupt(of(reason)),
            StoreError::Io(reason) => StoreError::Io(of(reason)),
            other => other,
        }
    }

    /// What is the matter with `path`, which is the data folder or in it.
    pub(crate) fn folder(path: &Path, error: &std::io::Error) -> Self {
        let reason = match error.kind() {
            ErrorKind::AlreadyExists | ErrorKind::NotADirectory if path.is_file() => {
                "it is a file, and a folder is wanted".into()
            }
            ErrorKind::AlreadyExists | ErrorKind::NotADirectory => {
                "there is something in the way that is no folder".into()
            }
            ErrorKind::IsADirectory => {
                "it is a folder, and a file is wanted: move it away, or name another data folder".into()
            }
            ErrorKind::PermissionDenied => {
                "this user may not read and write it; the data folder must belong to the user that runs this program".into()
            }
            ErrorKind::NotFound => "no folder can be made there".into(),
            ErrorKind::ReadOnlyFilesystem => "it is on a file system that is read-only".into(),
            ErrorKind::StorageFull => "the disk is full".into(),
            _ => reason(error),
        };
        StoreError::Folder { path: path.into(), reason }
    }
}

/// Does something with a database. If that panics, the database is taken for damaged: what was to be done has failed, and the thread goes on.
pub(crate) fn attempt<T>(work: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(StoreError::Corrupt("using it has led to a panic".into())))
}

/// What the operating system says, without the number that it has for that.
pub(crate) fn reason(error: &std::io::Error) -> String {
    let text = alloc::format!("{error}");
    let number = error.raw_os_error().map(|number| alloc::format!(" (os error {number})"));
    let words = number.and_then(|number| text.strip_suffix(&number).map(String::from));
    words.unwrap_or(text)
}

/// The same words as `Display`: a `main` that returns it shows what is wrong.
impl fmt::Debug for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::Locked(folder) => {
                write!(
                    f,
                    "is another balcony running on this data folder? {} is in use: stop it first",
                    folder.display()
                )
            }
            StoreError::Folder { path, reason } => write!(f, "cannot use {}: {reason}", path.display()),
            StoreError::NotADatabase(path) => write!(
                f,
                "{} is not a database of this program: move it away, or name another data folder",
                path.display()
            ),
            StoreError::Corrupt(reason) => {
                write!(
                    f,
                    "the database is damaged ({reason}): restore the data folder from a backup, or move it away and import what \
                     `balcony store export` has written"
                )
            }
            StoreError::NewerSchema { found, supported } => write!(
                f,
                "the data folder was written by a newer balcony (version {found} of the data, this one knows \
                 {supported}): install that one again"
            ),
            StoreError::NewerCollection { name, found, supported } => write!(
                f,
                "the collection {name:?} was written by a newer balcony (version {found} of it, this one knows {supported}): \
                 install that one again"
            ),
            StoreError::Io(reason) => {
                write!(f, "the database cannot be read or written: {reason}; is the disk full?")
            }
            StoreError::Parameters => f.write_str(
                "how to connect to the database server is not clear: something like \
                 postgresql://user:password@host/database, or host=/run/postgresql dbname=balcony, is wanted",
            ),
            StoreError::Unreachable(reason) => {
                write!(
                    f,
                    "the database server cannot be reached: {reason}; is it running, and may this user connect?"
                )
            }
            StoreError::Refused(reason) => write!(f, "the database server refuses: {reason}"),
            StoreError::InUse => f.write_str(
                "is another balcony running on this database? its tables are in use: stop it first",
            ),
            StoreError::Superseded => f.write_str(
                "another balcony has used this database while the connection to it was lost: see that there is only one, and \
                 start it again",
            ),
            StoreError::Random(reason) => write!(f, "the operating system gives no randomness: {reason}"),
            StoreError::Password(error) => write!(f, "this password cannot be used: {error}"),
        }
    }
}

impl core::error::Error for StoreError {}

impl From<redb::Error> for StoreError {
    fn from(error: redb::Error) -> Self {
        match error {
            redb::Error::Io(error) => StoreError::Io(reason(&error)),
            redb::Error::PreviousIo | redb::Error::Backend(_) => StoreError::Io(alloc::format!("{error}")),
            other => StoreError::Corrupt(alloc::format!("{other}")),
        }
    }
}

/// redb has an error type for each kind of call; all of them mean the same here.
macro_rules! from_redb {
    ($($kind:ident),+) => { $(
        impl From<redb::$kind> for StoreError {
            fn from(error: redb::$kind) -> Self {
                redb::Error::from(error).into()
            }
        }
    )+ };
}

from_redb!(StorageError, TableError, TransactionError, CommitError);

impl From<CredentialsError> for StoreError {
    fn from(error: CredentialsError) -> Self {
        StoreError::Password(error)
    }
}

impl From<getrandom::Error> for StoreError {
    fn from(error: getrandom::Error) -> Self {
        StoreError::Random(alloc::format!("{error}"))
    }
}
