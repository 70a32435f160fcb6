use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;
use std::io;
use std::sync::Arc;

use balcony_jid::BareJid;
use balcony_machine::Instant;
use balcony_server::{Ask, Config, Input, Level, Removal, Reply, Shard, Stats, Todo, Transport};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::sync::{oneshot, watch};
use tokio::time;

use crate::clock::{Clock, seed};
use crate::socket::Socket;

/// What is done in one go before the output leaves.
const BATCH: usize = 1024;
/// How long to wait when the operating system has no socket for the next connection.
const PAUSE: Duration = Duration::from_millis(100);
/// How long the tasks of a server that has shut down may take to end.
const LAST: Duration = Duration::from_secs(5);

/// A server on tokio. One task owns the [`balcony_server::Server`]; each socket has a task that reads and one that writes.
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
        ServerBuilder { config, ask: Box::new(ask), listeners: Vec::new(), most: 10_000 }
    }
}

type AskFn = Box<dyn Fn(Ask, Reply) + Send + Sync>;

/// Collects what a server is made of.
pub struct ServerBuilder {
    config: Config,
    ask: AskFn,
    listeners: Vec<(TcpListener, Transport)>,
    most: usize,
}

impl ServerBuilder {
    /// Accepts connections from this listener too, which begin in this way.
    #[must_use]
    pub fn listen(mut self, listener: TcpListener, transport: impl Into<Transport>) -> Self {
        self.listeners.push((listener, transport.into()));
        self
    }

    /// Connections above this number are closed at once. 10,000 unless said otherwise.
    #[must_use]
    pub fn max_connections(mut self, most: usize) -> Self {
        self.most = most;
        self
    }

    /// Starts the server.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn start(self) -> ServerHandle {
        let (mailbox, messages) = mpsc::unbounded_channel();
        let (stop, stopped) = watch::channel(());
        // Every task holds a part of this; when nobody does, all have ended.
        let (alive, gone) = mpsc::channel(1);
        let addrs = self.listeners.iter().filter_map(|(listener, _)| listener.local_addr().ok()).collect();
        for (listener, transport) in self.listeners {
            tokio::spawn(accept(listener, transport, mailbox.clone(), stopped.clone(), alive.clone()));
        }
        let main = Main {
            shard: Shard::new(balcony_server::Server::new(self.config, seed()), self.most),
            clock: Clock::start(),
            ask: self.ask,
            mailbox: mailbox.clone(),
            waiting: Vec::new(),
        };
        tokio::spawn(main.run(messages, stop, alive, gone));
        ServerHandle { mailbox, addrs }
    }
}

impl fmt::Debug for ServerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerBuilder")
            .field("listeners", &self.listeners)
            .field("most", &self.most)
            .finish_non_exhaustive()
    }
}

/// Talks to a running server. The server runs until it is [shut down](ServerHandle::shutdown) or its runtime ends, whether
/// there is a handle or not. After that the methods return at once.
#[derive(Clone, Debug)]
pub struct ServerHandle {
    mailbox: UnboundedSender<Message>,
    addrs: Arc<[SocketAddr]>,
}

impl ServerHandle {
    /// Accepts no more connections, ends every stream with `system-shutdown`, and waits until the last bytes are written;
    /// a few seconds at most for peers that do not read, and 15 for a store that does not answer.
    pub async fn shutdown(&self) {
        let (done, wait) = oneshot::channel();
        let _ = self.mailbox.send(Message::Shutdown(done));
        let _ = wait.await;
    }

    /// Waits until the server has ended: shut down, or by a panic in it.
    pub async fn ended(&self) {
        self.mailbox.closed().await;
    }

    /// Removes an account from the store, ends its streams, and its subscriptions with others. Returns when the account is no
    /// more, or cannot be removed; a server that has ended can't remove any.
    pub async fn remove_account(&self, account: BareJid) -> Removal {
        let (done, wait) = oneshot::channel();
        let tell = move |removal| {
            // Whoever waited may have gone.
            let _ = done.send(removal);
        };
        let _ = self.with(move |shard, now| shard.remove_account(now, account, tell)).await;
        wait.await.unwrap_or(Removal::Failed)
    }

    /// Gives another configuration to connections that come from now on. Domains cannot change.
    pub async fn reload(&self, config: Config) {
        let _ = self.with(move |shard, _| shard.configure(config)).await;
    }

    /// How busy the server is; all zero after its end.
    pub async fn stats(&self) -> Stats {
        self.with(|shard, _| shard.stats()).await.unwrap_or_default()
    }

    /// Where the server listens, in the order of the listeners.
    #[must_use]
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.addrs
    }

    /// Runs something on the task that owns the server; `None` if that has ended.
    async fn with<R: Send + 'static>(
        &self,
        f: impl FnOnce(&mut Shard<Socket>, Instant) -> R + Send + 'static,
    ) -> Option<R> {
        let (done, wait) = oneshot::channel();
        let call = Box::new(move |shard: &mut Shard<Socket>, now: Instant| drop(done.send(f(shard, now))));
        self.mailbox.send(Message::Call(call)).ok()?;
        wait.await.ok()
    }
}

/// What arrives at the task that owns the server. A socket has two messages under way at most, and an ask one, so the
/// mailbox is bounded by them.
pub(crate) enum Message {
    Input(Input),
    Accepted(TcpStream, SocketAddr, Transport),
    Call(Call),
    Shutdown(oneshot::Sender<()>),
}

type Call = Box<dyn FnOnce(&mut Shard<Socket>, Instant) + Send>;

struct Main {
    shard: Shard<Socket>,
    clock: Clock,
    ask: AskFn,
    mailbox: UnboundedSender<Message>,
    /// Who waits for the end.
    waiting: Vec<oneshot::Sender<()>>,
}

impl Main {
    async fn run(
        mut self,
        mut messages: UnboundedReceiver<Message>,
        stop: watch::Sender<()>,
        alive: mpsc::Sender<()>,
        mut gone: mpsc::Receiver<()>,
    ) {
        while !self.shard.is_closed() {
            let first = match self.shard.deadline() {
                Some(at) => time::timeout_at(self.clock.at(at), messages.recv()).await.unwrap_or_default(),
                None => messages.recv().await,
            };
            let more = core::iter::from_fn(|| messages.try_recv().ok());
            for message in first.into_iter().chain(more).take(BATCH) {
                self.handle(message, &alive);
            }
            self.shard.tick(self.clock.now());
            self.carry_out();
            if self.shard.is_closing() {
                stop.send_replace(());
            }
        }
        drop(alive);
        // With the shard its sockets go, if there are any left.
        drop(self.shard);
        let _ = time::timeout(LAST, gone.recv()).await;
        tracing::info!(target: "balcony", "the server has shut down");
        // Whoever is `waiting` learns of it by the drop; what the owner has given us may take longer to go.
        drop(self.waiting);
    }

    fn handle(&mut self, message: Message, alive: &mpsc::Sender<()>) {
        let now = self.clock.now();
        match message {
            Message::Input(input) => self.shard.handle(now, input),
            Message::Accepted(stream, from, transport) => {
                let (mailbox, alive) = (self.mailbox.clone(), alive.clone());
                self.shard
                    .accept(now, transport, from.to_string(), |id| Socket::start(stream, id, mailbox, alive));
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
                        let _ = mailbox.send(Message::Input(Input::Answer(ticket, answer)));
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
    listener: TcpListener,
    transport: Transport,
    mailbox: UnboundedSender<Message>,
    mut stopped: watch::Receiver<()>,
    _alive: mpsc::Sender<()>,
) {
    let mut failing = false;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopped.changed() => return,
        };
        match accepted {
            Ok((stream, from)) => {
                failing = false;
                if mailbox.send(Message::Accepted(stream, from, transport)).is_err() {
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
                time::sleep(PAUSE).await;
            }
        }
    }
}
