//! Clients for programs without async: their methods wait, and whoever has something else to do wakes them.
//!
//! ```no_run
//! use balcony::prelude::*;
//!
//! # #[cfg(any(feature = "tokio", feature = "smol", feature = "async-std"))]
//! fn main() -> Result<(), Error> {
//!     let mut client = Client::builder("romeo@example.com/bot").password("r0m30").start_blocking()?;
//!     while let Some(event) = client.next()? {
//!         if let Event::Message(message) = event
//!             && let Some(body) = message.body()
//!         {
//!             client.send(message.reply().body(body))?;
//!         }
//!     }
//!     Ok(())
//! }
//! # #[cfg(not(any(feature = "tokio", feature = "smol", feature = "async-std")))]
//! # fn main() {}
//! ```
//!
//! Each client has a thread of its own, on which a runtime does the work; it ends with the client. Other threads have a [`BlockingSender`]. A thread
//! that has to look after something else as well [waits](BlockingClient::wait) with a bound, or has a [`Waker`] that ends the waiting.
//!
//! # Without a runtime
//!
//! A [`Device`](crate::Device), or a [`Pump`](crate::Pump), is a client without a runtime and a thread of its own, in a loop of its owner's. Where that has a socket of the
//! standard library, [`connect`] opens it, [`exchange`] is what it does to wait, and [`finish`] ends it: [the manual](crate::manual::device) has the whole loop.

#[cfg(any(feature = "tokio", feature = "smol", feature = "async-std"))]
mod client;
mod socket;

#[cfg(any(feature = "tokio", feature = "smol", feature = "async-std"))]
pub use client::{BlockingClient, BlockingSender, Waited, Waker, block_on};
pub use socket::{Buffered, connect, exchange, finish};
