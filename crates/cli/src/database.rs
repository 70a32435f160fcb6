//! Where the accounts are: in a file in the data folder, or in PostgreSQL.

use core::convert::Infallible;
use core::str::FromStr;
use core::time::Duration;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Instant;

use balcony_machine::Secret;
use balcony_store::Store;
#[cfg(feature = "postgres")]
use balcony_store::StoreConfig;
use serde::{Deserialize, Deserializer};

use crate::control;
use crate::failure::{Failure, io};
use crate::output::note;

/// How long a command such as `user add` has the accounts open.
const MOMENT: Duration = Duration::from_secs(2);

/// How to connect to PostgreSQL. There may be a password in it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Database(Secret<String>);

impl FromStr for Database {
    /// What is wrong with it shows when it is used: a complaint now would repeat the password.
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Database(Secret::new(text.into())))
    }
}

impl<'de> Deserialize<'de> for Database {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Database(text.into()))
    }
}

/// Opens the accounts, and makes what is missing. Not from within a runtime.
pub(crate) fn open(folder: &Path, database: Option<&Database>) -> Result<Store, Failure> {
    match database {
        None => Ok(Store::open(folder)?),
        Some(database) => connect(database),
    }
}

/// The same for a command, which says so if there were none: the folder may be another one than was meant.
pub(crate) fn open_or_make(folder: &Path, database: Option<&Database>) -> Result<Store, Failure> {
    if database.is_none()
        && let Some(store) = Store::open_existing(folder)?
    {
        return Ok(store);
    }
    let store = open(folder, database)?;
    if database.is_none() {
        note(&format!("there were no accounts in {}; they are kept there from now on", folder.display()));
    }
    Ok(store)
}

/// Like [`open`], for a server. A command that has them open for a moment is waited for.
pub(crate) fn open_for_server(folder: &Path, database: Option<&Database>) -> Result<Store, Failure> {
    let begin = Instant::now();
    loop {
        match open(folder, database) {
            Err(failure) if failure.is_locked() && begin.elapsed() < MOMENT => {
                std::thread::sleep(MOMENT / 40)
            }
            result => return result,
        }
    }
}

/// The accounts for a command; where there are none it makes nothing: the folder may be another one than was meant.
pub(crate) fn existing(folder: &Path, database: Option<&Database>) -> Result<Store, Failure> {
    match database {
        None => Store::open_existing(folder)?.ok_or_else(|| missing(folder)),
        Some(database) => connect(database),
    }
}

/// Why there are no accounts in a folder.
fn missing(folder: &Path) -> Failure {
    let name = folder.display();
    if let Some(failure) = hidden(folder) {
        return failure;
    }
    let is_file = std::fs::metadata(folder).is_ok_and(|found| !found.is_dir());
    Failure::new(match is_file {
        true => format!("{name} is no folder; name the data folder with --data"),
        false => format!("there are no accounts in {name}; name the data folder with --data"),
    })
}

/// The failure of whoever may not even see what is in a folder.
pub(crate) fn hidden(folder: &Path) -> Option<Failure> {
    let is_there = control::socket(folder).try_exists();
    is_there.err().filter(|error| error.kind() == ErrorKind::PermissionDenied).map(|_| {
        Failure::new(format!(
            "this user may not read {}; run this as the user whom the folder belongs to, or as root",
            folder.display()
        ))
    })
}

/// Makes the data folder of a server whose accounts are elsewhere: the certificate and the control socket are still there.
pub(crate) fn make_folder(folder: &Path) -> Result<(), Failure> {
    use std::os::unix::fs::DirBuilderExt as _;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(io(format!("cannot use {}", folder.display())))
}

#[cfg(feature = "postgres")]
fn connect(database: &Database) -> Result<Store, Failure> {
    Ok(Store::connect(database.0.expose(), StoreConfig::default())?)
}

#[cfg(not(feature = "postgres"))]
fn connect(_: &Database) -> Result<Store, Failure> {
    Err(Failure::usage(
        "--database: this balcony was built without PostgreSQL; its feature `postgres` is on unless it is turned off",
    ))
}
