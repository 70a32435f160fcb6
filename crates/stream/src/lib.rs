//! One XMPP stream: negotiation and stanza exchange, for the initiating and the receiving entity (RFC 6120 sections 4
//! to 8).
//!
//! There are streams between a client and its server ([`client`], [`server`]), between two servers ([`s2s`]), and between a
//! component and its server ([`component`]). Each role has its own type, so that what it can't do does not compile:
//! [`ClientStream`], [`ServerStream`], [`S2sStream`], [`ComponentStream`].
//!
//! A [`Stream`] takes the peer's bytes and the current time, appends what is to be sent to a buffer of the caller, and
//! returns one event at a time. It opens no socket, reads no clock, and looks nothing up: what may be slow it asks.
//!
//! # By hand
//!
//! ```
//! use std::sync::Arc;
//! use balcony_machine::{Instant, Progress, Secret, Seed};
//! use balcony_stream::server::ServerStreamConfig;
//! use balcony_stream::{ServerStream, TlsPolicy};
//!
//! let mut config = ServerStreamConfig::new(vec!["example.com".parse()?], Secret::new([7; 32]));
//! config.tls = TlsPolicy::Optional;
//! let mut stream = ServerStream::new(Arc::new(config), Seed::from_u64(1), Instant::ZERO);
//!
//! let mut input = &b"<stream:stream to='example.com' version='1.0' xmlns='jabber:client' \
//!                     xmlns:stream='http://etherx.jabber.org/streams'>"[..];
//! let mut out = Vec::new();
//! assert!(matches!(stream.advance(Instant::ZERO, &mut input, &mut out)?, Progress::NeedInput));
//!
//! let answer = String::from_utf8(out)?;
//! assert!(answer.contains("from='example.com'"));
//! assert!(answer.contains("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"));
//! assert!(answer.contains("<mechanism>SCRAM-SHA-256</mechanism>"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # States
//!
//! All transitions stand in one table, [`TRANSITIONS`](state::TRANSITIONS), with the roles that take each; `docs/stream.md`
//! draws them.
//!
//! # Features
//!
//! | feature | what it brings |
//! |---|---|
//! | `downgrade` | clients that find out if somebody has changed what their server offers (XEP-0474, XEP-0515) |
//! | `fast` | clients that log in by tokens (XEP-0484) |
//! | `look` | streams that only look at what a server offers |
//! | `upgrade` | clients that give servers keys for stronger hashes (XEP-0480) |
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod acks;
mod addressed;
pub mod client;
mod common;
pub mod component;
mod counts;
mod error;
mod feature;
mod framing;
mod header;
mod hex;
#[cfg(feature = "look")]
mod offered;
pub mod s2s;
mod security;
pub mod server;
mod side;
pub mod state;
mod stream;

pub use acks::{AckPace, AckPolicy};
pub use client::ClientStream;
pub use component::ComponentStream;
pub use counts::Counts;
pub use error::Error;
pub use framing::Framing;
#[cfg(feature = "look")]
pub use offered::Offered;
pub use s2s::S2sStream;
pub use security::{ChannelBinding, Security, TlsPolicy};
pub use server::ServerStream;
pub use side::{Side, Sorted};
pub use stream::Stream;
