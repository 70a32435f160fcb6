//! Balcony on tokio: sockets, timers and DNS around `balcony-server` and `balcony-client`.
//!
//! No decision of the protocol is made here. [`Server`] gives bytes and the time to a [`balcony_server::Server`] and does
//! what it says; [`Client`] does the same for a [`balcony_client::Client`], while its owner waits for one of its methods.
//!
//! ```no_run
//! use balcony_machine::Secret;
//! use balcony_stanza::{PresenceType, Stanza};
//! use balcony_tokio::{Client, ClientConfig, Endpoint, Event};
//!
//! # async fn example(trust: balcony_tls::ClientConfig) -> Result<(), Box<dyn std::error::Error>> {
//! let config = ClientConfig::new("juliet@example.com".parse()?, Secret::new("r0m30".into())).with_tls(trust);
//! let mut client = Client::connect(config, Endpoint::Domain).await?;
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
mod connect;
#[cfg(feature = "dns")]
mod dns;
mod server;
mod socket;

pub use balcony_client::{
    Attempt, Backoff, Carbon, Config as ClientConfig, ConnectError, Contacts, Endpoint, Event, News,
    Presence, PumpError as Error, RequestId, RequestKind, RequestOutcome, Show,
};
pub use balcony_server::{Answer, Ask, Config as ServerConfig, Removal, Reply, Stats, Transport};
pub use balcony_stream::{ChannelBinding, TlsPolicy};
pub use client::Client;
pub use server::{Server, ServerBuilder, ServerHandle};
