//! What the fuzz targets share: ways to cut input, the accounts of a server, the driver of a stream, the count of what was sent.
//!
//! A target's input is what a peer would send, as it is, so that seeds are files that a person can read and write.
//! Everything else that a run needs is drawn from a hash of the input: the same file is always the same run.

#[cfg(feature = "fast")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

mod answers;
mod clients;
mod cuts;
mod drive;
mod numbered;
mod tree;

pub use answers::{ACCOUNT, Asked, Driven, PASSWORD, answer, credentials};
pub use clients::{Client, Moment, Said};
pub use cuts::{Cuts, Dice};
pub use drive::{Driver, Outcome, PROVEN, Seen};
pub use numbered::{Numbered, is_unacknowledged};
pub use tree::{Size, size};
