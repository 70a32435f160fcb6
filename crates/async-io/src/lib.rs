//! Balcony on async-std, smol and any other runtime beside `async-io`: [`Server`] and [`ConnectedClient`].
//!
//! What they do is in `balcony-runtime`, the same for all runtimes. Here is how these runtimes do it: [`AsyncIo`]. Sockets and timers
//! are those of `async-io`, which async-std and smol share, and which run on a thread of their own elsewhere. Only tasks are the
//! runtime's own: those of async-std with the feature `async-std`, which is on by default, those of smol with the feature `smol`,
//! and those of another one with [`AsyncIo::new`]. async-std itself is discontinued (RUSTSEC-2025-0052): for something new, take
//! smol.
//!
//! ```no_run
//! use balcony_async_io::{AsyncIo, ConnectedClient, ClientConfig, Endpoint, MachineEvent};
//! use balcony_machine::Secret;
//! use balcony_stanza::{PresenceType, Stanza};
//!
//! # async fn example(trust: balcony_tls::TlsTrust) -> Result<(), Box<dyn std::error::Error>> {
//! let config = ClientConfig::new("juliet@example.com".parse()?, Secret::new("r0m30".into())).with_tls(trust);
//! let smol = AsyncIo::new(|task| smol::spawn(task).detach());
//! let mut client = ConnectedClient::connect_on(smol, config, Endpoint::Domain).await?;
//! client.send(&Stanza::presence(PresenceType::Available)).await?;
//! while let Some(event) = client.next().await? {
//!     if let MachineEvent::Stanza(stanza) = event {
//!         println!("from {:?}: {:?}", stanza.head.from, stanza.head.kind);
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Features
//!
//! | feature | what it brings |
//! |---|---|
//! | `client` (on) | clients |
//! | `server` (on) | servers |
//! | `async-std` (on) | runs tasks on async-std |
//! | `smol` | runs tasks on smol |
//! | `dns` (on) | finds servers by the SRV records of their domain (RFC 6120 section 3.2.1) |
#![forbid(unsafe_code)]
// Adapters are where clocks and sockets live.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

mod net;

use core::fmt;
use core::net::SocketAddr;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::io;
use std::time::Instant;

use async_io::Async;
pub use balcony_runtime::*;
#[cfg(feature = "dns")]
pub use net::UdpSocket;
pub use net::{TcpListener, TcpSocket};

#[cfg(feature = "server")]
/// A server on async-std or smol.
pub type Server = balcony_runtime::Server<AsyncIo>;
#[cfg(feature = "server")]
/// Collects what a server on async-std or smol is made of.
pub type ServerBuilder = balcony_runtime::ServerBuilder<AsyncIo>;
#[cfg(feature = "client")]
/// A client on async-std or smol.
pub type ConnectedClient = balcony_runtime::ConnectedClient<AsyncIo>;

/// A runtime beside `async-io`. With the feature `async-std` the default is async-std.
#[derive(Clone, Copy)]
pub struct AsyncIo {
    spawn: fn(Task),
    options: Options,
}

impl AsyncIo {
    /// The runtime that runs tasks like this.
    #[must_use]
    pub fn new(spawn: fn(Task)) -> Self {
        AsyncIo { spawn, options: Options::default() }
    }

    /// async-std.
    #[cfg(feature = "async-std")]
    #[must_use]
    pub fn async_std() -> Self {
        AsyncIo::new(|task| drop(async_std::task::spawn(task)))
    }

    /// smol.
    #[cfg(feature = "smol")]
    #[must_use]
    pub fn smol() -> Self {
        AsyncIo::new(|task| smol::spawn(task).detach())
    }

    /// With other options than usual.
    #[must_use]
    pub fn with(mut self, options: Options) -> Self {
        self.options = options;
        self
    }
}

#[cfg(feature = "async-std")]
impl Default for AsyncIo {
    fn default() -> Self {
        AsyncIo::async_std()
    }
}

impl fmt::Debug for AsyncIo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncIo").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Runtime for AsyncIo {
    type Socket = TcpSocket;
    type Listener = TcpListener;
    type Timer = Timer;

    fn spawn(&self, task: Task) {
        (self.spawn)(task);
    }

    async fn unblock<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
        Ok(blocking::unblock(work).await)
    }

    fn now(&self) -> Instant {
        Instant::now()
    }

    fn timer(&self) -> Timer {
        Timer(async_io::Timer::never(), None)
    }

    fn listen(&self, listener: std::net::TcpListener) -> io::Result<TcpListener> {
        TcpListener::new(listener, self.options.unacknowledged)
    }

    async fn connect(&self, to: SocketAddr) -> io::Result<TcpSocket> {
        Ok(TcpSocket::new(Async::<std::net::TcpStream>::connect(to).await?, self.options.unacknowledged))
    }

    #[cfg(feature = "dns")]
    async fn records(&self, service: Service, domain: String) -> Result<Vec<Record>, String> {
        dns::records(*self, &self.options, service, &domain).await
    }

    #[cfg(feature = "dns")]
    async fn signed_records(&self, service: Service, domain: String) -> Result<Vec<Record>, String> {
        dns::signed_records(*self, &self.options, service, &domain).await
    }

    #[cfg(feature = "dns")]
    async fn addresses(&self, host: String) -> Result<Vec<core::net::IpAddr>, String> {
        dns::addresses(*self, &self.options, &host).await
    }
}

#[cfg(feature = "dns")]
impl dns::Lookup for AsyncIo {
    type Datagrams = UdpSocket;

    fn datagrams(&self, from: SocketAddr) -> io::Result<UdpSocket> {
        UdpSocket::new(from)
    }

    async fn sleep(length: core::time::Duration) {
        async_io::Timer::after(length).await;
    }
}

/// A timer of `async-io`, and what it is set to.
#[derive(Debug)]
pub struct Timer(async_io::Timer, Option<Instant>);

impl balcony_runtime::Timer for Timer {
    fn poll_until(&mut self, cx: &mut Context<'_>, at: Instant) -> Poll<()> {
        if self.1 != Some(at) {
            self.0.set_at(at);
            self.1 = Some(at);
        }
        let rung = Pin::new(&mut self.0).poll(cx).map(drop);
        if rung.is_ready() {
            // It rings once.
            self.1 = None;
        }
        rung
    }
}
