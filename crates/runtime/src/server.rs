//! Building a server, and talking to it while it runs.

use core::fmt;
use core::mem;
use core::net::SocketAddr;
use std::io;
use std::net::TcpListener;
use std::sync::Arc;

use async_channel::{Receiver, bounded};
use balcony_jid::{BareJid, FullJid};
use balcony_machine::{Instant, LimitsError};
use balcony_server::{
    Acceptor, Ask, GivenUp, Hub, Removal, Reply, SavedSession, SendError, ServerConfig, SessionInfo, Shard,
    Stats, Transport,
};
use balcony_stanza::{Stanza, StreamError};
use balcony_stream::TlsPolicy;

use crate::clock::{Clock, seed};
use crate::driver::{AskFn, Driver, Machine, Message};
use crate::parts::{Common, Parts};
use crate::{Runtime, Socket, tcp};

/// A server. A task, or one for each of its [threads](ServerBuilder::threads), owns a [`balcony_server::Shard`] and its sockets.
///
/// What happens is logged through `tracing`, with the target `balcony`.
#[derive(Debug)]
pub struct Server<R> {
    _runtime: R,
}

impl<R: Runtime + Default> Server<R> {
    /// Begins a server. `ask` is called with what the server has to know; it must not wait, but pass the question on, and see to
    /// it that the reply is called. A reply that is dropped counts as one that never comes.
    pub fn builder(
        config: ServerConfig,
        ask: impl Fn(Ask, Reply) + Send + Sync + 'static,
    ) -> ServerBuilder<R> {
        Server::builder_on(R::default(), config, ask)
    }
}

impl<R: Runtime> Server<R> {
    /// As `builder`, on a runtime that is given.
    pub fn builder_on(
        runtime: R,
        config: ServerConfig,
        ask: impl Fn(Ask, Reply) + Send + Sync + 'static,
    ) -> ServerBuilder<R> {
        let (listeners, addrs) = (Vec::new(), Vec::new());
        ServerBuilder {
            runtime,
            config,
            ask: Arc::new(ask),
            listeners,
            addrs,
            most: 10_000,
            threads: 1,
            sessions: Default::default(),
        }
    }
}

/// Collects what a server is made of.
pub struct ServerBuilder<R: Runtime> {
    runtime: R,
    config: ServerConfig,
    ask: AskFn,
    listeners: Vec<(R::Listener, Transport)>,
    addrs: Vec<SocketAddr>,
    most: usize,
    threads: u8,
    /// What time it is, and the sessions that go on.
    sessions: (u64, Vec<SavedSession>),
}

impl<R: Runtime> ServerBuilder<R> {
    /// Accepts connections at this address, too, which begin in this way. Where TLS is not the first thing [`ServerConfig::tls`] says whether
    /// it must follow, for all addresses alike.
    ///
    /// # Errors
    ///
    /// Those of the operating system: somebody else has the address, most likely. `InvalidInput` if no server can work within
    /// [`ServerConfig::limits`].
    ///
    /// # Panics
    ///
    /// With some runtimes, such as tokio, if it is called outside of them.
    pub fn listen(self, to: SocketAddr, transport: Transport) -> io::Result<Self> {
        self.listen_on(tcp::bind(to)?, transport)
    }

    /// The same, with a socket that listens already.
    ///
    /// # Errors
    ///
    /// Those of the operating system; `InvalidInput` as for [`listen`](ServerBuilder::listen).
    ///
    /// # Panics
    ///
    /// As [`listen`](ServerBuilder::listen).
    pub fn listen_on(mut self, listener: TcpListener, transport: Transport) -> io::Result<Self> {
        self.config.limits.check().map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let addr = listener.local_addr()?;
        self.listeners.push((self.runtime.listen(listener)?, transport));
        self.addrs.push(addr);
        Ok(self)
    }

    /// Connections above this number are told so and closed. 10,000 unless said otherwise.
    #[must_use]
    pub fn max_connections(mut self, most: usize) -> Self {
        self.most = most;
        self
    }

    /// Spreads the connections of clients over so many tasks, 1 to 255; 1 unless said otherwise. A runtime with several threads runs them at the
    /// same time, each on one of its cores. What they have in common, which is less than half of the work, they do one after the other.
    /// The global executor of smol has one thread unless the environment variable `SMOL_THREADS` says otherwise.
    #[must_use]
    pub fn threads(mut self, threads: u8) -> Self {
        self.threads = threads.max(1);
        self
    }

    /// Goes on with the sessions that were kept when the server before this one shut down, and are kept no more; see
    /// [`balcony_server::Server::restore`]. `clock` is what time it is, in milliseconds since the start of 1970 (UTC). For them to be kept
    /// [`ServerConfig::keep_sessions`] has to say so.
    #[must_use]
    pub fn sessions(mut self, clock: u64, sessions: Vec<SavedSession>) -> Self {
        self.sessions = (clock, sessions);
        self
    }

    /// Starts the server.
    ///
    /// # Errors
    ///
    /// [`StartError`]: nobody could log in.
    ///
    /// # Panics
    ///
    /// As [`listen`](ServerBuilder::listen); or if the operating system has no randomness.
    pub fn start(self) -> Result<ServerHandle, StartError> {
        if self.config.certificate.is_none() {
            let needs = |transport: &Transport| match transport {
                Transport::Stream => matches!(self.config.tls, TlsPolicy::Required | TlsPolicy::Direct),
                Transport::DirectTls | Transport::SecureWebSocket => true,
                _ => false,
            };
            let ways = self.listeners.iter().map(|(_, transport)| transport);
            if let Some((_, addr)) = ways.zip(&self.addrs).find(|(transport, _)| needs(transport)) {
                return Err(StartError::NoCertificate(*addr));
            }
        }
        let (alive, ended) = bounded(1);
        let hub = Hub::new(&self.config, &seed(), self.threads.into());
        let parts = Parts::new(hub, Acceptor::new(self.most), self.threads.into());
        let clock = Clock::start(&self.runtime);
        let (mut listeners, mut sessions) = (self.listeners, Some(self.sessions));
        for number in 0..self.threads {
            let mut machine = Shard::of_part(self.config.clone(), seed(), number, Common(Arc::clone(&parts)));
            if let Some((clock, sessions)) = sessions.take() {
                machine.restore(Instant::ZERO, clock, sessions);
            }
            let driver = Driver::new(
                (self.runtime.clone(), clock),
                machine,
                (Arc::clone(&parts), number.into()),
                mem::take(&mut listeners),
                Arc::clone(&self.ask),
                alive.clone(),
            );
            self.runtime.spawn(Box::pin(driver.run()));
        }
        Ok(ServerHandle { parts, ended, addrs: self.addrs.into() })
    }
}

/// Why a server does not start.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StartError {
    /// At this address there can be no TLS, and [`ServerConfig::tls`] or the transport demands it.
    NoCertificate(SocketAddr),
}

/// The same words as `Display`: a `main` that returns it shows what is wrong.
impl fmt::Debug for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::NoCertificate(addr) => write!(
                f,
                "nobody could log in at {addr}: TLS is wanted there, and the server has no certificate; set \
                 `certificate` in its configuration, or `tls` to `TlsPolicy::None` where only this machine can connect"
            ),
        }
    }
}

impl core::error::Error for StartError {}

impl<R: Runtime> fmt::Debug for ServerBuilder<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerBuilder")
            .field("listeners", &self.addrs)
            .field("most", &self.most)
            .finish_non_exhaustive()
    }
}

/// Sessions that are listed at once.
const PAGE: usize = 256;

/// Talks to a running server. The server runs until it is [shut down](ServerHandle::shutdown) or its runtime ends, whether
/// there is a handle or not. After that the methods return at once.
#[derive(Clone)]
pub struct ServerHandle {
    parts: Arc<Parts>,
    ended: Receiver<()>,
    addrs: Arc<[SocketAddr]>,
}

impl ServerHandle {
    /// Accepts no more connections, ends every stream with `system-shutdown`, and waits until the last bytes are written;
    /// a few seconds at most for peers that do not read, and for a store as long as it answers anything: until it has answered nothing for
    /// 20 seconds, or [`Limits::answer`](balcony_machine::Limits::answer) if that is less. What `ask` owns, such as a store, is
    /// dropped at about the same time, and may be a little later.
    ///
    /// What has been given up, if anything, as the log says. `None` if the server has not shut down but failed, or its runtime has ended
    /// before. Whoever asks once more gets the same.
    pub async fn shutdown(&self) -> Option<GivenUp> {
        let (done, wait) = bounded(1);
        let _ = self.parts.mailbox(0).send(Message::Shutdown(done));
        // Nothing comes but the end.
        let _ = wait.recv().await;
        self.parts.given_up()
    }

    /// Waits until the server has ended: shut down, or by a panic in it.
    pub async fn ended(&self) {
        let _ = self.ended.recv().await;
    }

    /// Takes in a connection that no listener has brought, such as a pipe. `from` is where it comes from, for the log and for the
    /// bounds of each address.
    pub fn connect(&self, socket: impl Socket, from: impl Into<String>, transport: Transport) {
        let _ = self.parts.mailbox(0).send(Message::Socket(Box::new(socket), from.into(), transport));
    }

    /// Removes an account from the store, ends its streams, and its subscriptions with others. Returns when the account is no
    /// more, or cannot be removed; a server that has ended can't remove any.
    pub async fn remove_account(&self, account: BareJid) -> Removal {
        let (done, wait) = bounded(1);
        let tell = move |removal| {
            // Whoever waited may have gone.
            let _ = done.try_send(removal);
        };
        let _ = self.with(move |machine, now| machine.remove_account(now, account, tell)).await;
        wait.recv().await.unwrap_or(Removal::Failed)
    }

    /// Says that the account has got another password by some other way than through this server, such as its store: call it when that is
    /// durable. Clients that have begun to log in before do not get in with the old one; sessions go on. Nothing happens in a server that has
    /// ended.
    pub async fn credentials_changed(&self, account: BareJid) {
        self.with(move |machine, now| machine.credentials_changed(now, account)).await;
    }

    /// Sends a message, or presence of a domain, in the name of a domain of the server or of one of its accounts: `from` says which. Such a
    /// message goes where others go, to who is there or, if it may be, to what is kept for later. Errors about it are dropped.
    ///
    /// ```no_run
    /// # use balcony_runtime::ServerHandle;
    /// # use balcony_stanza::{Content, MessageType, Stanza};
    /// # async fn example(server: &ServerHandle) -> Result<(), Box<dyn std::error::Error>> {
    /// let notice = Stanza::message(MessageType::Headline)
    ///     .with_from("example.com".parse()?)
    ///     .with_to("juliet@example.com".parse()?)
    ///     .with_payload(Content::body("The balcony is closed at night.").to_payload());
    /// server.send(notice).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`SendError`]: then nothing has been sent.
    pub async fn send(&self, stanza: impl Into<Stanza>) -> Result<(), SendError> {
        let stanza = stanza.into();
        self.with(move |machine, now| machine.send(now, stanza)).await.unwrap_or(Err(SendError::Ended))
    }

    /// All sessions; none of a server that has ended. They are listed a few hundred at a time, so that a large server does not stop for
    /// it: who comes or goes meanwhile may be in the list or not.
    pub async fn sessions(&self) -> Vec<SessionInfo> {
        let mut listed: Vec<SessionInfo> = Vec::new();
        loop {
            let after = listed.last().map(|last| last.id);
            let page = move |machine: &mut Machine, now| machine.sessions(now, after, PAGE);
            match self.with(page).await {
                Some(page) if !page.is_empty() => listed.extend(page),
                _ => return listed,
            }
        }
    }

    /// The sessions of one account, in the order in which they have bound; none of a server that has ended.
    pub async fn sessions_of(&self, account: BareJid) -> Vec<SessionInfo> {
        self.with(move |machine, now| machine.sessions_of(now, &account)).await.unwrap_or_default()
    }

    /// Ends a session with this stream error, such as [`StreamCondition::PolicyViolation`](balcony_stanza::StreamCondition) and a text that
    /// tells its user why (RFC 6120 section 4.9.3). Its client can't go on with it, but may log in again. `false` if there is no such
    /// session, or no server any more.
    pub async fn disconnect(&self, session: FullJid, error: StreamError) -> bool {
        self.with(move |machine, now| machine.disconnect(now, &session, error)).await.unwrap_or(false)
    }

    /// Gives another configuration to connections that come from now on. Domains cannot change.
    ///
    /// # Errors
    ///
    /// If no server can work within [`ServerConfig::limits`]; then all stays as it was.
    pub async fn reload(&self, config: ServerConfig) -> Result<(), LimitsError> {
        config.limits.check()?;
        // All of them have the same in the end, whoever else reloads meanwhile.
        let told: Vec<_> = {
            let _alone = self.parts.tell_all();
            let tell = |part| {
                let config = config.clone();
                self.call(part, move |machine, _| machine.configure(config))
            };
            (0..self.parts.mailboxes().count()).map(tell).collect()
        };
        for done in told.into_iter().flatten() {
            // A server that has ended needs none.
            let _ = done.recv().await;
        }
        Ok(())
    }

    /// How busy the server is; all zero after its end.
    pub async fn stats(&self) -> Stats {
        let (tell, wait) = bounded(1);
        let _ = self.parts.mailbox(0).send(Message::Stats(tell));
        wait.recv().await.unwrap_or_default()
    }

    /// Where the server listens, in the order of the listeners.
    #[must_use]
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.addrs
    }

    /// Runs something on the task that has what concerns the whole server; `None` if that has ended.
    async fn with<T: Send + 'static>(
        &self,
        f: impl FnOnce(&mut Machine, Instant) -> T + Send + 'static,
    ) -> Option<T> {
        self.call(0, f)?.recv().await.ok()
    }

    /// Has the task of a part run something, and tell what comes of it; `None` if it has ended.
    fn call<T: Send + 'static>(
        &self,
        part: usize,
        f: impl FnOnce(&mut Machine, Instant) -> T + Send + 'static,
    ) -> Option<Receiver<T>> {
        let (done, wait) = bounded(1);
        let call = Box::new(move |machine: &mut Machine, now: Instant| {
            // Whoever waited may have gone.
            let _ = done.try_send(f(machine, now));
        });
        self.parts.mailbox(part).send(Message::Call(call)).ok()?;
        Some(wait)
    }
}

impl fmt::Debug for ServerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerHandle").field("addrs", &self.addrs).finish_non_exhaustive()
    }
}
