//! One suite of scenarios through every driver of a client: `scenarios.txt` says what is done and what is seen, and each driver plays the phone in
//! it. `cargo xtask runtimes` makes docs/runtimes.md of that.
//!
//! Every party is told what to do by lines of text, and says what happens in lines of text ([`words`]). Mostly it is a process of its own
//! ([`outside`]); in the simulator all are in one ([`inside`]). [`DRIVERS`] has the drivers.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "programs with sockets, clocks and threads"
)]

extern crate alloc;

#[cfg(unix)]
pub mod board;
mod drivers;
mod figures;
mod front;
pub mod heap;
pub mod inside;
mod on_threads;
pub mod outside;
pub mod party;
mod relay;
pub mod script;
pub mod table;
pub mod words;

pub use drivers::{DRIVERS, Driver, Kind, Tools};

/// Why something has not come about, in words.
pub type Failure = Box<dyn core::error::Error + Send + Sync>;
