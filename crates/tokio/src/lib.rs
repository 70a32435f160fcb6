//! Balcony on tokio: [`Server`] and [`ConnectedClient`].
//!
//! What they do is in `balcony-runtime`, the same for all runtimes. Here is how tokio does it: [`Tokio`].
//!
//! # A client
//!
//! ```no_run
//! use balcony_machine::Secret;
//! use balcony_stanza::{PresenceType, Stanza};
//! use balcony_tokio::{ConnectedClient, ClientConfig, Endpoint, MachineEvent};
//!
//! # async fn example(trust: balcony_tls::TlsTrust) -> Result<(), Box<dyn std::error::Error>> {
//! let config = ClientConfig::new("juliet@example.com".parse()?, Secret::new("r0m30".into())).with_tls(trust);
//! let mut client = ConnectedClient::connect(config, Endpoint::Domain).await?;
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
//! # A server
//!
//! With accounts on disk; `worker` answers what the server has to know:
//!
//! ```no_run
//! use std::sync::Arc;
//! use balcony_store::{Store, Worker};
//! use balcony_tokio::{Server, ServerConfig, Transport};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let store = Store::open("data".as_ref())?;
//! let mut config = ServerConfig::new(vec!["example.com".parse()?], store.secret());
//! config.certificate = Some(balcony_tls::TlsIdentity::from_pem(&std::fs::read("cert.pem")?, &std::fs::read("key.pem")?)?);
//! let worker = Arc::new(Worker::start(store));
//! let server = Server::builder(config, move |ask, reply| worker.handle(ask, reply))
//!     .listen("[::]:5222".parse()?, Transport::Stream)?
//!     .listen("[::]:5223".parse()?, Transport::DirectTls)?
//!     .start()?;
//! tokio::signal::ctrl_c().await?;
//! server.shutdown().await;
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
//! | `dns` (on) | finds servers by the SRV records of their domain (RFC 6120 section 3.2.1) |
#![forbid(unsafe_code)]
// Adapters are where clocks and sockets live.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

mod net;

use core::net::SocketAddr;
use core::pin::{Pin, pin};
use core::task::{Context, Poll};
use std::io;
use std::time::Instant;

pub use balcony_runtime::*;
#[cfg(feature = "dns")]
pub use net::UdpSocket;
pub use net::{TcpListener, TcpSocket};
use tokio::task;
use tokio::time::{self, Sleep};

#[cfg(feature = "server")]
/// A server on tokio.
pub type Server = balcony_runtime::Server<Tokio>;
#[cfg(feature = "server")]
/// Collects what a server on tokio is made of.
pub type ServerBuilder = balcony_runtime::ServerBuilder<Tokio>;
#[cfg(feature = "client")]
/// A client on tokio.
pub type ConnectedClient = balcony_runtime::ConnectedClient<Tokio>;

/// The runtime that the caller is in.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tokio {
    options: Options,
}

impl Tokio {
    /// With other options than usual.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Tokio { options }
    }
}

impl Runtime for Tokio {
    type Socket = TcpSocket;
    type Listener = TcpListener;
    type Timer = Timer;

    fn spawn(&self, task: Task) {
        tokio::spawn(task::unconstrained(task));
    }

    async fn unblock<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
        task::spawn_blocking(work).await.map_err(io::Error::other)
    }

    fn yield_now(&self, cx: &mut Context<'_>) {
        // A task that only wakes itself is polled many times before the sockets are looked at. The first poll of this hands the waker to
        // the scheduler, which wakes it when it has looked at them.
        let _ = pin!(task::yield_now()).poll(cx);
    }

    fn now(&self) -> Instant {
        time::Instant::now().into_std()
    }

    fn timer(&self) -> Timer {
        Timer(None)
    }

    fn listen(&self, listener: std::net::TcpListener) -> io::Result<TcpListener> {
        TcpListener::new(listener, self.options.unacknowledged)
    }

    async fn connect(&self, to: SocketAddr) -> io::Result<TcpSocket> {
        Ok(TcpSocket::new(tokio::net::TcpStream::connect(to).await?, self.options.unacknowledged))
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
impl dns::Lookup for Tokio {
    type Datagrams = UdpSocket;

    fn datagrams(&self, from: SocketAddr) -> io::Result<UdpSocket> {
        UdpSocket::new(from)
    }

    async fn sleep(length: core::time::Duration) {
        time::sleep(length).await;
    }
}

/// A timer of tokio.
#[derive(Debug)]
pub struct Timer(Option<Pin<Box<Sleep>>>);

impl balcony_runtime::Timer for Timer {
    fn poll_until(&mut self, cx: &mut Context<'_>, at: Instant) -> Poll<()> {
        let at = time::Instant::from_std(at);
        let sleep = self.0.get_or_insert_with(|| Box::pin(time::sleep_until(at)));
        if sleep.deadline() != at {
            sleep.as_mut().reset(at);
        }
        sleep.as_mut().poll(cx)
    }
}
