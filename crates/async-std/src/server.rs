use core::fmt;
use core::net::SocketAddr;
use core::pin::Pin;
use core::time::Duration;
use std::io;
use std::sync::Arc;

use async_channel::{Receiver, Sender, bounded, unbounded};
use async_io::Timer;
use balcony_jid::BareJid;
use balcony_machine::Instant;
use balcony_server::{Ask, Config, Input, Level, Removal, Reply, Shard, Stats, Todo};
use balcony_stream::TlsPolicy;
use futures_lite::future::or;
use futures_lite::{Stream, StreamExt as _};

use crate::clock::{Clock, seed, timeout};
use crate::socket::{Socket, Transport};

/// What is done in one go before the output leaves.
const BATCH: usize = 1024;
/// How long to wait when the operating system has no socket for the next connection.
const PAUSE: Duration = Duration::from_millis(100);
/// How long the tasks of a server that has shut down may take to end.
const LAST: Duration = Duration::from_secs(5);

/// A server on any runtime. One task owns the [`balcony_server::Server`]; each socket has a task that reads and one that
/// writes.
///
/// What happens is logged through `tracing`, with the target `balcony`.
#[derive(Debug)]
pub struct Server {
    _private: (),
}

impl Server {
    /// Begins a server. `ask` is called with what the server has to know; it must not wait, but pass the question on, and
    /// see to it that the reply is called. A reply that is dropped counts as one that never comes.
    pub fn builder(config: Config, ask: impl Fn(Ask, Reply) + Send + Sync + 'static) -> ServerBuilder {
        ServerBuilder { config, ask: Box::new(ask), sources: Vec::new(), addrs: Vec::new(), most: 10_000 }
    }
}

/// Something that runs by itself until it is done.
pub type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

type AskFn = Box<dyn Fn(Ask, Reply) + Send + Sync>;
type SpawnFn = Box<dyn Fn(Task) + Send + Sync>;
type Accepted = (Box<dyn Transport>, String);
type Source = Pin<Box<dyn Stream<Item = io::Result<Accepted>> + Send>>;

/// Collects what a server is made of.
pub struct ServerBuilder {
    config: Config,
    ask: AskFn,
    sources: Vec<(Source, TlsPolicy)>,
    addrs: Vec<SocketAddr>,
    most: usize,
}

impl ServerBuilder {
    /// Accepts connections from this listener too. With [`TlsPolicy::Direct`] they begin with TLS (XEP-0368), otherwise as
    /// the configuration says.
    #[cfg(feature = "async-std")]
    #[must_use]
    pub fn listen(mut self, listener: async_std::net::TcpListener, tls: TlsPolicy) -> Self {
        self.addrs.extend(listener.local_addr());
        let sockets = futures_lite::stream::unfold(listener, |listener| async move {
            let accepted = listener.accept().await;
            Some((accepted.map(|(stream, from)| (crate::Tcp::from(stream), from.to_string())), listener))
        });
        self.incoming(sockets, tls)
    }

    /// Accepts the connections that this stream yields too, each with the words that the log calls its peer. The server goes
    /// on when the stream ends, and when it yields errors.
    #[must_use]
    pub fn incoming<S: Transport>(
        mut self,
        sockets: impl Stream<Item = io::Result<(S, String)>> + Send + 'static,
        tls: TlsPolicy,
    ) -> Self {
        let boxed =
            sockets.map(|socket| socket.map(|(socket, from)| (Box::new(socket) as Box<dyn Transport>, from)));
        self.sources.push((Box::pin(boxed), tls));
        self
    }

    /// Connections above this number are closed at once. 10,000 unless said otherwise.
    #[must_use]
    pub fn max_connections(mut self, most: usize) -> Self {
        self.most = most;
        self
    }

    /// Starts the server on the threads of async-std.
    #[cfg(feature = "async-std")]
    #[must_use]
    pub fn start(self) -> ServerHandle {
        self.start_on(|task| drop(async_std::task::spawn(task)))
    }

    /// Starts the server with tasks that `spawn` lets run by themselves, such as `|task| smol::spawn(task).detach()`.
    #[must_use]
    pub fn start_on(self, spawn: impl Fn(Task) + Send + Sync + 'static) -> ServerHandle {
        let (mailbox, messages) = unbounded();
        let (stop, stopped) = bounded(1);
        // Every task holds a part of this; when nobody does, all have ended.
        let (alive, gone) = bounded(1);
        for (source, tls) in self.sources {
            spawn(Box::pin(accept(source, tls, mailbox.clone(), stopped.clone(), alive.clone())));
        }
        let spawn: Arc<SpawnFn> = Arc::new(Box::new(spawn));
        let main = Main {
            shard: Shard::new(balcony_server::Server::new(self.config, seed()), self.most),
            clock: Clock::start(),
            ask: self.ask,
            spawn: Arc::clone(&spawn),
            mailbox: mailbox.clone(),
            waiting: Vec::new(),
        };
        spawn(Box::pin(main.run(messages, stop, alive, gone)));
        ServerHandle { mailbox, addrs: self.addrs.into() }
    }
}

impl fmt::Debug for ServerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerBuilder")
            .field("addrs", &self.addrs)
            .field("most", &self.most)
            .finish_non_exhaustive()
    }
}

/// Talks to a running server. The server runs until it is [shut down](ServerHandle::shutdown) or its runtime ends, whether
/// there is a handle or not. After that the methods return at once.
#[derive(Clone, Debug)]
pub struct ServerHandle {
    mailbox: Sender<Message>,
    addrs: Arc<[SocketAddr]>,
}

impl ServerHandle {
    /// Accepts no more connections, ends every stream with `system-shutdown`, and waits until the last bytes are written;
    /// a few seconds at most for peers that do not read, and 15 for a store that does not answer.
    pub async fn shutdown(&self) {
        let (done, wait) = bounded(1);
        let _ = self.mailbox.try_send(Message::Shutdown(done));
        let _ = wait.recv().await;
    }

    /// Waits until the server has ended: shut down, or by a panic in it.
    pub async fn ended(&self) {
        self.mailbox.closed().await;
    }

    /// Removes an account from the store, ends its streams, and its subscriptions with others. Returns when the account is no
    /// more, or cannot be removed; a server that has ended can't remove any.
    pub async fn remove_account(&self, account: BareJid) -> Removal {
        let (done, wait) = bounded(1);
        let tell = move |removal| {
            // Whoever waited may have gone.
            let _ = done.try_send(removal);
        };
        let _ = self.with(move |shard, now| shard.remove_account(now, account, tell)).await;
        wait.recv().await.unwrap_or(Removal::Failed)
    }

    /// Gives another configuration to connections that come from now on. Domains cannot change.
    pub async fn reload(&self, config: Config) {
        let _ = self.with(move |shard, _| shard.configure(config)).await;
    }

    /// How busy the server is; all zero after its end.
    pub async fn stats(&self) -> Stats {
        self.with(|shard, _| shard.stats()).await.unwrap_or_default()
    }

    /// Where the server listens, in the order of the [listeners](ServerBuilder::listen).
    #[must_use]
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.addrs
    }

    /// Runs something on the task that owns the server; `None` if that has ended.
    async fn with<R: Send + 'static>(
        &self,
        f: impl FnOnce(&mut Shard<Socket>, Instant) -> R + Send + 'static,
    ) -> Option<R> {
        let (done, wait) = bounded(1);
        let call =
            Box::new(move |shard: &mut Shard<Socket>, now: Instant| drop(done.try_send(f(shard, now))));
        self.mailbox.try_send(Message::Call(call)).ok()?;
        wait.recv().await.ok()
    }
}

/// What arrives at the task that owns the server. A socket has two messages under way at most, and an ask one, so the
/// mailbox is bounded by them.
pub(crate) enum Message {
    Input(Input),
    Accepted(Accepted, TlsPolicy),
    Call(Call),
    Shutdown(Sender<()>),
}

type Call = Box<dyn FnOnce(&mut Shard<Socket>, Instant) + Send>;

struct Main {
    shard: Shard<Socket>,
    clock: Clock,
    ask: AskFn,
    spawn: Arc<SpawnFn>,
    mailbox: Sender<Message>,
    /// Who waits for the end.
    waiting: Vec<Sender<()>>,
}

impl Main {
    async fn run(
        mut self,
        messages: Receiver<Message>,
        stop: Sender<()>,
        alive: Sender<()>,
        gone: Receiver<()>,
    ) {
        while !self.shard.is_closed() {
            let due = self.clock.wait(self.shard.deadline());
            let first = or(async { messages.recv().await.ok() }, async {
                due.await;
                None
            })
            .await;
            let more = core::iter::from_fn(|| messages.try_recv().ok());
            for message in first.into_iter().chain(more).take(BATCH) {
                self.handle(message, &alive);
            }
            self.shard.tick(self.clock.now());
            self.carry_out();
            if self.shard.is_closing() {
                stop.close();
            }
        }
        drop(alive);
        // With the shard its sockets go, if there are any left.
        drop(self.shard);
        let _ = timeout(LAST, gone.recv()).await;
        tracing::info!(target: "balcony", "the server has shut down");
        // Calls that came too late, and whoever is `waiting`, learn of it by the drop; what the owner has given us may take
        // longer to go.
        drop(self.waiting);
        messages.close();
        while messages.try_recv().is_ok() {}
    }

    fn handle(&mut self, message: Message, alive: &Sender<()>) {
        let now = self.clock.now();
        match message {
            Message::Input(input) => self.shard.handle(now, input),
            Message::Accepted((stream, from), tls) => {
                let (mailbox, alive) = (self.mailbox.clone(), alive.clone());
                self.shard.accept(now, tls, from, |id| {
                    let (socket, tasks) = Socket::new(stream, id, mailbox, alive);
                    tasks.into_iter().for_each(&*self.spawn);
                    socket
                });
            }
            Message::Call(call) => call(&mut self.shard, now),
            Message::Shutdown(done) => {
                self.shard.shutdown(now);
                self.waiting.push(done);
            }
        }
    }

    fn carry_out(&mut self) {
        while let Some(todo) = self.shard.next() {
            match todo {
                Todo::Write(socket, bytes) => socket.write(bytes),
                Todo::Read(socket) => socket.read(),
                Todo::Close(socket) => drop(socket),
                Todo::Ask(ticket, ask) => {
                    let mailbox = self.mailbox.clone();
                    let reply: Reply = Box::new(move |answer| {
                        let _ = mailbox.try_send(Message::Input(Input::Answer(ticket, answer)));
                    });
                    (self.ask)(ask, reply);
                }
                Todo::Log(Level::Debug, line) => tracing::debug!(target: "balcony", "{line}"),
                Todo::Log(Level::Info, line) => tracing::info!(target: "balcony", "{line}"),
                Todo::Log(Level::Warn, line) => tracing::warn!(target: "balcony", "{line}"),
            }
        }
    }
}

/// Accepts connections until `stopped` says so or everybody has gone.
async fn accept(
    mut source: Source,
    tls: TlsPolicy,
    mailbox: Sender<Message>,
    stopped: Receiver<()>,
    _alive: Sender<()>,
) {
    let stop = async {
        let _ = stopped.recv().await;
        None
    };
    let mut stop = core::pin::pin!(stop);
    let mut failing = false;
    while let Some(accepted) = or(stop.as_mut(), source.next()).await {
        match accepted {
            Ok(accepted) => {
                failing = false;
                if mailbox.try_send(Message::Accepted(accepted, tls)).is_err() {
                    return;
                }
            }
            // The peer has gone before it was accepted.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            // Too few file descriptors, most likely: some become free again.
            Err(error) => {
                if !failing {
                    tracing::warn!(target: "balcony", "connections cannot be accepted: {error}");
                }
                failing = true;
                Timer::after(PAUSE).await;
            }
        }
    }
}
