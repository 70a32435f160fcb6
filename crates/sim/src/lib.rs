//! A deterministic world for tests: machines, virtual time and wires, from one seed.
//!
//! A [`Pair`] joins the two ends of a stream; a [`World`] is a whole server with its clients, whose store may be slow, and
//! which may crash. No socket, clock or thread is anywhere near, so that a run is repeated by its seed, and ten thousand of
//! them take seconds.

mod accounts;
mod chunks;
mod pair;
mod world;

pub use accounts::{Accounts, Asked};
pub use chunks::Chunks;
pub use pair::{End, Happened, Pair, Simulated};
pub use world::{External, Peer, World};

/// The programs in the README are compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
