//! One XMPP stream: negotiation and stanza exchange, for the initiating and the receiving entity (RFC 6120 sections 4
//! to 8).
//!
//! There are streams between a client and its server ([`Initiating`], [`Receiving`]), between two servers
//! ([`federation`]), and between a component and its server ([`component`]).
//!
//! A [`Stream`] takes the peer's bytes and the current time, appends what is to be sent to a buffer of the caller, and
//! returns one [`Event`] at a time. It opens no socket, reads no clock, and looks nothing up: what may be slow it
//! [asks](Ask).
//!
//! # By hand
//!
//! ```
//! use std::sync::Arc;
//! use balcony_machine::{Instant, Progress, Secret, Seed};
//! use balcony_stream::{Receiving, Stream, TlsPolicy};
//!
//! let mut config = Receiving::new(vec!["example.com".parse()?], Secret::new([7; 32]));
//! config.tls = TlsPolicy::Optional;
//! let mut stream = Stream::receiving(Arc::new(config), Seed::from_u64(1), Instant::ZERO);
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
//! All transitions stand in one table, [`TRANSITIONS`](state::TRANSITIONS), whatever the role; `docs/stream.md` draws
//! them.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod addressed;
mod common;
pub mod component;
mod config;
mod error;
mod event;
pub mod federation;
mod framing;
mod header;
mod hex;
mod initiating;
mod receiving;
mod register;
mod sasl;
mod side;
mod starttls;
pub mod state;
mod stream;

pub use config::{ChannelBinding, Initiating, Receiving, Security, TlsPolicy};
pub use error::Error;
pub use event::{Answer, Ask, Event};
pub use framing::Framing;
pub use initiating::ServerFeatures;
pub use stream::Stream;
