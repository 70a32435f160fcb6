//! The accounts of a server, on disk: durable before acknowledged.
//!
//! A [`Store`] is one data folder with one embedded database (redb) in it, or, with the feature `postgres`, a database of a
//! PostgreSQL server (`Store::connect`). A change that has returned `Ok` survives the death of the process and of the
//! machine. No password is ever stored, only what SCRAM needs to check one (RFC 5802 section 3).
//!
//! Beside accounts there are [documents and logs](Owner), of which the store knows nothing but names and versions: what an
//! extension keeps needs no change here ([`Store::edit`], [`Store::documents`], [`Store::entries`]).
//!
//! [`Store::export`] and [`Store::import`] carry accounts from one store to another as text, and [`Store::check`] looks for
//! what is broken.
//!
//! A [`Worker`] puts threads before a store, so that an endpoint that must not wait can ask it things: many changes
//! share one write to the disk, and the slow hashing of passwords (PBKDF2) runs on all processors.
//!
//! This is an adapter: it has threads, files, the clock and the randomness of the operating system.
//!
//! ```
//! use balcony_jid::BareJid;
//! use balcony_store::{Reply, Request, Store, Worker};
//!
//! # fn main() -> Result<(), Box<dyn core::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let folder = folder.path();
//! let store = Store::open(folder)?;
//! let worker = Worker::start(store.clone());
//! let juliet = BareJid::parse("juliet@example.com")?;
//!
//! let request = Request::Create {
//!     account: juliet.clone(),
//!     password: String::from("r0m30myr0m30").into(),
//!     replace: false,
//! };
//! worker.submit(request, Box::new(|reply| assert!(matches!(reply, Reply::Changed(true)))))?;
//! worker.shutdown();
//!
//! assert!(store.get(&juliet)?.is_some());
//! # Ok(())
//! # }
//! ```
//!
//! # Features
//!
//! | feature | what it brings |
//! |---|---|
//! | `postgres` | accounts in PostgreSQL instead of a file |
#![forbid(unsafe_code)]

extern crate alloc;

mod backend;
mod change;
mod collection;
mod desk;
mod error;
mod file;
mod known;
mod lanes;
mod order;
#[cfg(feature = "postgres")]
mod postgresql;
mod record;
mod request;
mod schedule;
mod sessions;
mod store;
mod subscriptions;
mod tokens;
mod transfer;
mod weight;
mod worker;

pub use backend::{Backend, StoreConfig};
pub use change::{Account, Backup, Change};
pub use collection::{Collections, Documents, Edit, Entries, Owned, Owner};
pub use error::StoreError;
pub use request::{Busy, Reply, Request};
pub use store::Store;
pub use transfer::{Exported, TransferError, begins_export};
pub use worker::{Progress, ReplyTo, Worker, WorkerConfig};
