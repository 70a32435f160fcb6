//! Balcony on async-std, smol and any other runtime that speaks the traits of `futures-io`.
//!
//! No decision of the protocol is made here. [`Server`] gives bytes and the time to a [`balcony_server::Server`] and does
//! what it says; [`Client`] does the same for a [`balcony_client::Client`], while its owner waits for one of its methods.
//! Timers are those of `async-io`, which async-std and smol share, and which run on a thread of their own elsewhere.
//!
//! With the feature `async-std`, on by default, [`Client::connect`] and [`ServerBuilder::listen`] use the sockets of
//! async-std, and [`ServerBuilder::start`] its tasks. async-std itself is discontinued (RUSTSEC-2025-0052): for something
//! new, take smol, and bring its sockets to [`Client::over`], [`ServerBuilder::incoming`] and [`ServerBuilder::start_on`].
//!
//! ```no_run
//! use balcony_async_std::{Client, ClientConfig, Event};
//! use balcony_machine::Secret;
//! use balcony_stanza::{PresenceType, Stanza};
//!
//! # async fn example(trust: balcony_tls::ClientConfig) -> Result<(), Box<dyn std::error::Error>> {
//! let config = ClientConfig::new("juliet@example.com".parse()?, Secret::new("r0m30".into())).with_tls(trust);
//! let socket = smol::net::TcpStream::connect("xmpp.example.com:5222").await?;
//! let mut client = Client::over(socket, config).await?;
//! client.send(&Stanza::presence(PresenceType::Available)).await?;
//! while let Some(event) = client.next().await? {
//!     if let Event::Stanza(stanza) = event {
//!         println!("from {:?}: {:?}", stanza.head.from, stanza.head.kind);
//!     }
//! }
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]
// Adapters are where clocks and sockets live.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

mod client;
mod clock;
mod server;
mod socket;
#[cfg(feature = "async-std")]
mod tcp;

pub use balcony_client::{
    Attempt, Backoff, Carbon, Config as ClientConfig, ConnectError, Contacts, Endpoint, Event, News,
    Presence, PumpError as Error, RequestId, RequestKind, RequestOutcome, Show,
};
pub use balcony_server::{Answer, Ask, Config as ServerConfig, Removal, Reply, Stats};
pub use balcony_stream::TlsPolicy;
pub use client::Client;
pub use server::{Server, ServerBuilder, ServerHandle, Task};
pub use socket::Transport;
#[cfg(feature = "async-std")]
pub use tcp::Tcp;
