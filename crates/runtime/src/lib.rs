//! Balcony's driver: sockets, timers and DNS around `balcony-server` and `balcony-client`, written once for all runtimes.
//!
//! `balcony-tokio` and `balcony-async-io` are [`Runtime`]s: they say how tokio, async-std and smol do tasks, timers, sockets and
//! DNS, and nothing else. Another runtime needs about as much; use the crate of yours and not this one, unless you write it.
//!
//! No decision of the protocol is made here. A [`Server`] is one task, or several, that give bytes and the time to a
//! [`balcony_server::Shard`] and do what it says. A socket has a waker that puts it on a list, and neither a task nor a channel
//! nor, while nothing comes, a buffer. A turn takes up to 64 KiB of one socket, and the task lets others run after some turns. What
//! can't be written yet stops no reading; when to read is the machine's decision.
//!
//! A [`ConnectedClient`] has no task: it gives bytes and the time to a [`balcony_client::ClientMachine`] while its owner waits for one of its
//! methods.
//!
//! # Features
//!
//! | feature | what it brings |
//! |---|---|
//! | `client` (on) | clients |
//! | `server` (on) | servers |
//! | `dns` | finds servers by the SRV records of their domain (RFC 6120 section 3.2.1) |
//! | `futures-io` | makes sockets of what speaks the traits of futures-io |
#![forbid(unsafe_code)]
// Adapters are where clocks and sockets live.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

#[cfg(feature = "client")]
mod client;
mod clock;
#[cfg(any(feature = "client", feature = "server"))]
mod connect;
#[cfg(feature = "client")]
mod discover;
#[cfg(feature = "dns")]
pub mod dns;
#[cfg(feature = "server")]
mod driver;
#[cfg(feature = "server")]
mod mailbox;
mod names;
#[cfg(feature = "server")]
mod outgoing;
#[cfg(feature = "server")]
mod parts;
#[cfg(feature = "server")]
mod peer;
mod pipe;
mod reason;
mod runtime;
#[cfg(feature = "server")]
mod server;
#[cfg(feature = "futures-io")]
mod shim;
mod tcp;

pub use balcony_client::srv::{Record, Service, Signed, Target};
#[cfg(feature = "client")]
pub use balcony_client::{
    Attempt, Backoff, Carbon, ClientConfig, ConnectError, Contacts, Endpoint, MachineEvent, News, Presence,
    PumpError as Error, RequestId, RequestKind, RequestOutcome, Session, Show,
};
#[cfg(feature = "server")]
pub use balcony_server::federation::{FederationConfig, FederationLimits, FederationTls, Reach};
#[cfg(feature = "server")]
pub use balcony_server::{
    Answer, Ask, ComponentsConfig, GivenUp, Removal, Reply, SavedSession, SendError, ServerConfig,
    SessionConnection, SessionInfo, Stats, Transport,
};
pub use balcony_stream::{ChannelBinding, TlsPolicy};
#[cfg(feature = "client")]
pub use client::{ConnectedClient, Queued};
pub use clock::{Clock, seed, timeout};
pub use pipe::Pipe;
pub use reason::reason;
pub use runtime::{Interest, Listener, Options, Runtime, Socket, Task, Timer};
#[cfg(feature = "server")]
pub use server::{Server, ServerBuilder, ServerHandle, StartError};
#[cfg(feature = "futures-io")]
pub use shim::FuturesIo;
pub use tcp::{UNACKNOWLEDGED, bind, prepare, prepare_listener};
