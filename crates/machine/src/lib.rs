//! The words that every Balcony machine shares.
//!
//! A *machine* is protocol logic without IO: bytes (or decisions) and the current time go in, bytes and decisions come
//! out. This crate holds the vocabulary that all of them speak, and nothing else:
//!
//! - [`Instant`] and [`Deadline`]: time is an argument, never asked for.
//! - [`Progress`] and [`On`]: what one step of a byte machine achieved.
//! - [`Ticket`]: the name of a question whose answer may take long.
//! - [`Limits`] and [`XmlLimits`]: everything has a bound.
//! - [`Secret`]: a value that never prints and is erased when dropped.
//! - [`Seed`]: randomness is an argument too.
//! - [`Tlsa`]: what the DNS says about a certificate.
//! - [`RecordWriter`] and [`RecordReader`]: what is kept and read again later.
//!
//! # The shape of a byte machine
//!
//! ```
//! use balcony_machine::{Deadline, Instant, Progress};
//!
//! /// Counts lines: the smallest machine there is.
//! struct Lines(u64);
//!
//! impl Lines {
//!     fn advance(&mut self, _now: Instant, input: &mut &[u8], _out: &mut Vec<u8>) -> Progress<u64> {
//!         match input.iter().position(|&b| b == b'\n') {
//!             Some(end) => {
//!                 *input = &input[end + 1..];
//!                 self.0 += 1;
//!                 Progress::Event(self.0)
//!             }
//!             None => {
//!                 *input = &[];
//!                 Progress::NeedInput
//!             }
//!         }
//!     }
//! }
//!
//! let (mut machine, mut input, mut out) = (Lines(0), &b"one\ntwo\nth"[..], Vec::new());
//! let now = Instant::ZERO;
//! assert_eq!(machine.advance(now, &mut input, &mut out), Progress::Event(1));
//! assert_eq!(machine.advance(now, &mut input, &mut out), Progress::Event(2));
//! assert_eq!(machine.advance(now, &mut input, &mut out), Progress::NeedInput);
//! assert!(input.is_empty());
//! ```
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod limits;
mod misuse;
mod progress;
mod record;
mod secret;
mod seed;
mod time;
mod tlsa;

pub use limits::{Limits, LimitsError, XmlLimits};
pub use misuse::ApiMisuse;
pub use progress::{On, Progress, Ticket};
pub use record::{RecordReader, RecordWriter};
pub use secret::Secret;
pub use seed::{Random, Seed};
pub use time::{Deadline, Instant, Reason};
pub use tlsa::Tlsa;
