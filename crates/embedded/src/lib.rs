//! A client on a device without an operating system: a [`Device`](balcony_client::Device) over the traits of `embedded-io-async`, for embassy and
//! any other executor.
//!
//! The protocol is all in `balcony-client`; here are reading, writing, waiting, and opening a link again, in one future: [`Client::next`].
//! What a board has to bring are two things: a [`Link`], which is how bytes come to the server, and a [`Clock`]. There is `alloc`, no `std`, no task,
//! and no channel.
//!
//! ```
//! use balcony_client::{AgentEvent, Extensions};
//! use balcony_embedded::{Client, Clock, Event, Link};
//! use balcony_stanza::ErrorCondition;
//!
//! /// Answers whoever writes, until there can be no other connection.
//! async fn run<X: Extensions>(mut client: Client<X, impl Link, impl Clock>) {
//!     loop {
//!         match client.next().await {
//!             Ok(Event::Agent(AgentEvent::Message(message))) if message.body().is_some() => {
//!                 // Where there is no room the answer is left out; what has room is sent, also after the link was cut.
//!                 let _ = client.agent().send(message.reply().body("21.5 °C").to_stanza());
//!             }
//!             // Whoever asks has to be answered, or waits.
//!             Ok(Event::Agent(AgentEvent::Request((id, _)))) => {
//!                 client.agent().refuse(id, &ErrorCondition::ServiceUnavailable.into());
//!             }
//!             Ok(_) => {}
//!             // Such as a wrong password: its `Display` says it.
//!             Err(_why) => return,
//!         }
//!     }
//! }
//! ```
//!
//! What else a device does is beside it: [`Client::next`] may be dropped at any time, and nothing is lost. With `embassy_futures::select`:
//!
//! ```text
//! match select(client.next(), button.wait_for_rising_edge()).await {
//!     Either::First(happened) => ..,
//!     Either::Second(()) => { let _ = client.agent().send(ring()); }
//! }
//! ```
//!
//! # A link
//!
//! A serial line to a gateway, whose two halves are driven by interrupts:
//!
//! ```
//! use balcony_embedded::Link;
//! use balcony_stream::Security;
//! use embedded_io_async::{Read, Write};
//!
//! struct Line<R, W> {
//!     receiver: R,
//!     transmitter: W,
//! }
//!
//! impl<R: Read, W: Write> Link for Line<R, W> {
//!     type Error = core::convert::Infallible;
//!
//!     async fn open(&mut self) -> Result<Option<Security>, Self::Error> {
//!         Ok(None) // it is always there, and has no TLS
//!     }
//!
//!     fn split(&mut self) -> (impl Read, impl Write) {
//!         (&mut self.receiver, &mut self.transmitter)
//!     }
//!
//!     fn close(&mut self) {}
//! }
//! ```
//!
//! A socket of `embassy-net` is one in which `open` is `abort` and `connect`, `split` is its own, and `close` is its own.
//!
//! # What it takes
//!
//! Beside what the [`Device`](balcony_client::Device) keeps, half a kilobyte for what is read; nothing is allocated for a step. The login computes
//! keys of the password, some ten thousand hashes, in one go: on a slow processor that is a second or more in which no other task of the
//! same executor runs. What must not wait so long belongs on an executor of a higher priority.
//!
//! # Features
//!
//! | feature | what it brings |
//! |---|---|
//! | `embassy` | `EmbassyClock`, the clock and timers of `embassy-time` |
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod client;
mod clock;
mod link;

pub use client::{Client, Event};
pub use clock::Clock;
#[cfg(feature = "embassy")]
pub use clock::EmbassyClock;
pub use link::Link;
