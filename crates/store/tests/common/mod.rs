//! What the tests share.
#![allow(dead_code, unreachable_pub, unused_macros, reason = "each test file uses a part of it")]

pub mod gate;
pub mod history;
#[cfg(feature = "postgres")]
pub mod postgresql;

use std::path::Path;

use balcony_jid::BareJid;
use balcony_sasl::{Credentials, Hash, MIN_ITERATIONS, fake_keys};
use balcony_store::{Store, StoreConfig, StoreError};
use tempfile::TempDir;

pub fn jid(text: &str) -> BareJid {
    BareJid::parse(text).unwrap()
}

/// Quickly made, and different for each `what`; no password fits them.
pub fn credentials(what: &str) -> Credentials {
    credentials_for(Hash::all(), what)
}

/// The same, for some hashes only.
pub fn credentials_for(hashes: &[Hash], what: &str) -> Credentials {
    let mut credentials = Credentials::default();
    for hash in hashes {
        credentials.set(fake_keys(&[7; 32], what, *hash, MIN_ITERATIONS));
    }
    credentials
}

pub fn same_credentials(one: &Credentials, other: &Credentials) -> bool {
    Hash::all().iter().all(|hash| match (one.get(*hash), other.get(*hash)) {
        (Some(one), Some(other)) => {
            (one.iterations(), one.salt(), one.stored_key(), one.server_key())
                == (other.iterations(), other.salt(), other.stored_key(), other.server_key())
        }
        (one, other) => one.is_none() && other.is_none(),
    })
}

/// Where a store is kept; empty at first.
pub enum Place {
    File(TempDir),
    /// The parameters of tables of its own.
    #[cfg(feature = "postgres")]
    Tables(String),
}

impl Place {
    pub fn file() -> Place {
        Place::File(tempfile::tempdir().unwrap())
    }

    /// `None`, and a line on stderr that says why, where there is no server.
    #[cfg(feature = "postgres")]
    pub fn tables() -> Option<Place> {
        Some(Place::Tables(postgresql::shared()?.schema()))
    }

    /// The folder of a file.
    pub fn folder(&self) -> &Path {
        match self {
            Place::File(folder) => folder.path(),
            #[cfg(feature = "postgres")]
            Place::Tables(parameters) => panic!("{parameters} is no folder"),
        }
    }

    pub fn open(&self) -> Store {
        self.open_with(StoreConfig::default())
    }

    pub fn open_with(&self, config: StoreConfig) -> Store {
        self.try_open(config).unwrap()
    }

    pub fn try_open(&self, config: StoreConfig) -> Result<Store, StoreError> {
        match self {
            Place::File(folder) => Store::open_with(folder.path(), config),
            #[cfg(feature = "postgres")]
            Place::Tables(parameters) => Store::connect(parameters, config),
        }
    }
}

/// One test for each kind of place, from each of these functions that take an empty one.
macro_rules! in_every_place {
    ($($name:ident),+ $(,)?) => {
        mod in_a_file {
            $(#[test]
            fn $name() {
                super::$name(&crate::common::Place::file());
            })+
        }

        #[cfg(feature = "postgres")]
        mod in_tables {
            $(#[test]
            fn $name() {
                if let Some(place) = crate::common::Place::tables() {
                    super::$name(&place);
                }
            })+
        }
    };
}
