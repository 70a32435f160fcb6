//! Where the accounts are: in a file in the data folder, or in PostgreSQL.

use core::convert::Infallible;
use core::str::FromStr;
use std::path::Path;

use balcony_machine::Secret;
use balcony_store::{Store, StoreConfig};
use serde::{Deserialize, Deserializer};

use crate::failure::Failure;

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

/// Opens the accounts. Not from within a runtime.
pub(crate) fn open(
    folder: &Path,
    database: Option<&Database>,
    bounds: StoreConfig,
) -> Result<Store, Failure> {
    match database {
        None => Ok(Store::open_with(folder, bounds)?),
        Some(database) => connect(folder, database, bounds),
    }
}

#[cfg(feature = "postgres")]
fn connect(folder: &Path, database: &Database, bounds: StoreConfig) -> Result<Store, Failure> {
    use std::os::unix::fs::DirBuilderExt as _;
    // The certificate and the control socket are still there.
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(crate::failure::io(format!("cannot use {}", folder.display())))?;
    Ok(Store::connect(database.0.expose(), bounds)?)
}

#[cfg(not(feature = "postgres"))]
fn connect(_: &Path, _: &Database, _: StoreConfig) -> Result<Store, Failure> {
    Err(Failure::usage(
        "--database: this balcony was built without PostgreSQL; its feature `postgres` is on unless it is turned off",
    ))
}
