//! A server with a table of its sockets, for adapters: what has happened goes in, and what is to be done with which socket comes
//! out, the lines of the log too. It decides nothing about the protocol.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;
use core::time::Duration;

use balcony_connection::srv::{Record, Target};
use balcony_jid::{BareJid, FullJid};
use balcony_machine::{Instant, Ticket};
use balcony_router::{Removal, SendError};
use balcony_stanza::{Stanza, StreamError};

use crate::federation::{Reach, Unreachable};
use crate::journal::{Journal, Level};
use crate::{Action, Answer, Ask, ConnectionId, Server, ServerConfig, Transport};

/// A [`Server`] with a table of its sockets: what an adapter of any runtime puts between them.
///
/// `P` is whatever the adapter needs to reach one socket, such as its place in a table. How many sockets there are an
/// [`Acceptor`](crate::Acceptor) bounds.
///
/// 1. **What has happened goes in**, all that has, before anything of it is done, which makes one write of many deliveries:
///    [`accept`](Shard::accept) and [`connected`](Shard::connected) for a new socket, [`handle`](Shard::handle) for all else, and
///    [`tick`](Shard::tick) at the [`deadline`](Shard::deadline).
/// 2. **What the owner wants**: [`send`](Shard::send), [`disconnect`](Shard::disconnect), [`remove_account`](Shard::remove_account),
///    [`configure`](Shard::configure), [`log`](Shard::log), [`restore`](Shard::restore) at the start and [`shutdown`](Shard::shutdown) at the end.
/// 3. **What comes of it**: [`next`](Shard::next) says what is to be done, until it says nothing more. If it [has more](Shard::has_more)
///    then, go round without waiting.
/// 4. **Looking**: [`stats`](Shard::stats), [`config`](Shard::config), [`is_closing`](Shard::is_closing),
///    [`is_closed`](Shard::is_closed), and the [`server`](Shard::server) itself.
///
/// The whole loop, for sockets that wait no longer than a moment for bytes, and as long as it takes to write them. An adapter asks the operating
/// system which of them is ready instead, so that nobody waits for anybody else:
///
/// ```
/// use std::io::{ErrorKind, Read, Write};
/// use std::net::{TcpListener, TcpStream};
/// use std::time::Duration;
/// use balcony_machine::{Instant, Secret, Seed};
/// use balcony_server::{Answer, Ask, ConnectionId, Input, Server, ServerConfig, Shard, Todo, Transport};
/// use balcony_stream::TlsPolicy;
///
/// struct Socket { tcp: TcpStream, id: ConnectionId, reads: bool }
///
/// fn run(
///     mut shard: Shard<usize>,
///     listener: TcpListener,
///     answer: impl Fn(Ask) -> Answer,
///     is_over: impl Fn() -> bool,
/// ) -> std::io::Result<()> {
///     listener.set_nonblocking(true)?;
///     let (start, mut sockets, mut buffer) = (std::time::Instant::now(), Vec::new(), [0; 4096]);
///     while !shard.is_closed() {
///         let now = Instant::from_elapsed(start.elapsed());
///         match listener.accept() {
///             Ok((tcp, from)) if !shard.is_closing() => {
///                 tcp.set_read_timeout(Some(Duration::from_millis(1)))?;
///                 let place = sockets.len();
///                 let id = shard.accept(now, Transport::Stream, from.to_string(), Some(from.ip()), place);
///                 sockets.push(Some(Socket { tcp, id, reads: true }));
///             }
///             _ => {}
///         }
///         for socket in sockets.iter_mut().flatten().filter(|socket| socket.reads) {
///             match socket.tcp.read(&mut buffer) {
///                 Ok(0) => shard.handle(now, Input::Eof(socket.id)),
///                 Ok(count) => shard.handle(now, Input::Received(socket.id, &buffer[..count])),
///                 Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => continue,
///                 Err(_) => shard.handle(now, Input::Broken(socket.id)),
///             }
///             socket.reads = false;
///         }
///         if is_over() {
///             shard.shutdown(now);
///         }
///         shard.tick(now);
///         while let Some(todo) = shard.next() {
///             match todo {
///                 Todo::Write(&mut place, bytes) => {
///                     let Some(socket) = &mut sockets[place] else { continue };
///                     let (id, written) = (socket.id, socket.tcp.write_all(&bytes));
///                     shard.handle(now, if written.is_ok() { Input::Written(id) } else { Input::Broken(id) });
///                 }
///                 Todo::Read(&mut place) => sockets[place].iter_mut().for_each(|socket| socket.reads = true),
///                 Todo::Close(place) => sockets[place] = None,
///                 Todo::Ask(ticket, ask) => {
///                     let answer = answer(ask);
///                     shard.handle(now, Input::Answer(ticket, answer));
///                 }
///                 Todo::Log(level, line) => println!("{level:?}: {line}"),
///                 // Only a server that talks to others has these.
///                 Todo::Resolve(_) | Todo::Connect(..) | Todo::GiveUp(_) => {}
///             }
///         }
///     }
///     Ok(())
/// }
///
/// // Somebody comes who does not speak XMPP, is told so, and goes.
/// let mut config = ServerConfig::new(vec!["example.com".parse()?], Secret::new([7; 32]));
/// config.tls = TlsPolicy::None;
/// let shard = Shard::new(Server::new(config, Seed::from_u64(1)));
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let mut client = TcpStream::connect(listener.local_addr()?)?;
/// let client = std::thread::spawn(move || {
///     client.write_all(b"GET / HTTP/1.1")?;
///     let mut said = String::new();
///     client.read_to_string(&mut said).map(|_| said)
/// });
/// run(shard, listener, |_| Answer::Holders(None), || client.is_finished())?;
/// assert!(client.join().unwrap()?.contains("</stream:error></stream:stream>"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Shard<P> {
    server: Server,
    peers: BTreeMap<ConnectionId, (P, Journal)>,
    actions: Vec<Action>,
    todo: VecDeque<Action>,
    lines: VecDeque<(Level, String)>,
    /// Who wants to hear of the end of an account.
    removals: BTreeMap<BareJid, Vec<Done>>,
    now: Instant,
    /// When it has done last what was due.
    ticked: Option<Instant>,
    /// It has taken in something of strangers since everything was done.
    has_taken_in: bool,
    /// Since it has been told to shut down: when that is over, whoever has not answered.
    closing: Option<Instant>,
}

/// How long a server that shuts down waits for its store, if its asks do not expire before.
const PATIENCE: Duration = Duration::from_secs(15);
/// Between two ticks.
const PAUSE: Duration = Duration::from_millis(1);

type Done = Box<dyn FnOnce(Removal) + Send>;

/// How busy a server is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Sockets that are open.
    pub connections: usize,
    /// Resources that are bound.
    pub sessions: usize,
    /// Accounts that have a resource bound.
    pub accounts: usize,
}

/// What happened to a socket, or elsewhere outside.
#[derive(Debug)]
pub enum Input<'a> {
    /// These bytes came.
    Received(ConnectionId, &'a [u8]),
    /// The peer has closed its side.
    Eof(ConnectionId),
    /// Nothing can be read or written any more.
    Broken(ConnectionId),
    /// What [`Todo::Write`] gave has been written.
    Written(ConnectionId),
    /// The answer to an ask.
    Answer(Ticket, Answer),
    /// What the DNS says to [`Todo::Resolve`]: see [`Server::resolved`].
    Resolved(&'a BareJid, Result<Vec<Record>, String>),
    /// None of the targets of [`Todo::Connect`] could be connected to.
    Unreachable(ConnectionId, &'a Unreachable),
}

/// What an adapter has to do.
#[derive(Debug)]
pub enum Todo<'a, P> {
    /// Write these bytes; there is no other write under way on this socket.
    Write(&'a mut P, Vec<u8>),
    /// Read on.
    Read(&'a mut P),
    /// Close the socket. What is still being written is of no use any more.
    Close(P),
    /// Find this out, and bring the answer as [`Input::Answer`].
    Ask(Ticket, Ask),
    /// Look up the SRV records of this domain's service for other servers, and bring them as [`Input::Resolved`].
    Resolve(BareJid),
    /// Connect to one of these, the first that answers in their order (RFC 8305), at an address that
    /// [may be connected to](Reach::admits), then call [`Shard::connected`], or say
    /// [`Input::Unreachable`].
    Connect(ConnectionId, Vec<Target>, Reach),
    /// Nobody wants this connection any more: if it is still being made, give that up.
    GiveUp(ConnectionId),
    /// Write this line to the log. It holds nothing secret, and is one line.
    Log(Level, String),
}

impl<P> Shard<P> {
    /// A server without sockets.
    #[must_use]
    pub fn new(server: Server) -> Self {
        Shard {
            server,
            peers: BTreeMap::new(),
            actions: Vec::new(),
            todo: VecDeque::new(),
            lines: VecDeque::new(),
            removals: BTreeMap::new(),
            now: Instant::ZERO,
            ticked: None,
            has_taken_in: false,
            closing: None,
        }
    }

    /// Takes in a socket that is connected to `from`, its address for the log, and made known by `peer`. Read from it; that is
    /// not said again. `origin` is whom it [is put down to](crate::Entry::origin).
    pub fn accept(
        &mut self,
        now: Instant,
        transport: Transport,
        from: String,
        origin: Option<IpAddr>,
        peer: P,
    ) -> ConnectionId {
        self.now = now;
        let id = match transport {
            Transport::Server | Transport::ServerDirectTls | Transport::Component => {
                self.server.accept_server(now, transport, from.clone(), &mut self.actions)
            }
            _ => self.server.accept(now, transport, &mut self.actions),
        };
        if let Some(address) = origin {
            self.server.came_from(id, address);
        }
        self.peers.insert(id, (peer, Journal::new(from)));
        id
    }

    /// Takes in a socket that has been connected to the target at this place in the list of [`Todo::Connect`]. Whether it is still
    /// wanted; if so read from it. If not `peer` is forgotten, and the socket is to be closed.
    pub fn connected(&mut self, now: Instant, id: ConnectionId, target: usize, to: String, peer: P) -> bool {
        self.now = now;
        let is_wanted = self.server.connected(now, id, target, &mut self.actions);
        if is_wanted {
            self.peers.insert(id, (peer, Journal::new(to)));
        }
        is_wanted
    }

    /// Sessions go on that were kept while the server was down; see [`Server::restore`].
    pub fn restore(
        &mut self,
        now: Instant,
        clock: u64,
        sessions: impl IntoIterator<Item = crate::SavedSession>,
    ) {
        self.now = now;
        self.server.restore(now, clock, sessions, &mut self.actions);
    }

    /// Writes a line to the log, in order with all others.
    pub fn log(&mut self, level: Level, line: String) {
        self.lines.push_back((level, line));
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> &ServerConfig {
        self.server.config()
    }

    /// What to tell a connection that is not taken in; see [`Server::last_words`].
    pub fn last_words(&mut self, now: Instant, transport: Transport, error: StreamError) -> Vec<u8> {
        self.server.last_words(now, transport, error)
    }

    /// Takes in what happened.
    pub fn handle(&mut self, now: Instant, input: Input<'_>) {
        self.now = now;
        let (server, actions) = (&mut self.server, &mut self.actions);
        match input {
            Input::Received(id, bytes) => server.receive(now, id, bytes, actions),
            Input::Eof(id) => server.eof(now, id, actions),
            Input::Broken(id) => {
                server.broken(now, id, actions);
                actions.push(Action::Close(id));
            }
            Input::Written(id) => server.written(now, id, actions),
            Input::Answer(ticket, answer) => server.answer(now, ticket, answer, actions),
            Input::Resolved(domain, records) => server.resolved(now, domain, records, actions),
            Input::Unreachable(id, unreachable) => server.unreachable(now, id, unreachable, actions),
        }
    }

    /// Does what has become due.
    pub fn tick(&mut self, now: Instant) {
        self.now = now;
        if let Some((asks, _)) = self.left_open().filter(|(_, until)| *until <= now) {
            let line = format!("{asks} requests to the store were not answered in time, and are given up");
            self.lines.push_back((Level::Warn, line));
        }
        if self.deadline().is_some_and(|deadline| deadline <= now) {
            self.server.tick(now, &mut self.actions);
            self.ticked = Some(now);
            let left = self.server.deadline();
            debug_assert!(left.is_none_or(|left| left.at > now), "{left:?} is still due at {now:?}");
        }
    }

    /// When to call [`tick`](Shard::tick): never again at the time of the last call. If there were a fault in a machine that
    /// leaves something due, the adapter would still get round to everything else.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let due = self.server.deadline().map(|deadline| deadline.at);
        let until = self.left_open().map(|(_, until)| until);
        let next = due.into_iter().chain(until).min()?;
        Some(self.ticked.map_or(next, |ticked| next.max(ticked + PAUSE)))
    }

    /// Takes in no more sockets, and ends all streams; see [`Server::shutdown`]. What the store has not answered 15
    /// seconds, or [`Limits::answer`](balcony_machine::Limits::answer) if that is less, after
    /// [`Limits::closing`](balcony_machine::Limits::closing) is given up.
    pub fn shutdown(&mut self, now: Instant) {
        self.now = now;
        let limits = &self.server.config().limits;
        self.closing.get_or_insert(now + limits.closing + limits.answer.min(PATIENCE) + PAUSE);
        self.server.shutdown(now, &mut self.actions);
    }

    /// Whether the server is shutting down.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.closing.is_some()
    }

    /// Whether the server has shut down: all sockets are closed, and what had to be stored is, or will not be.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        let is_over = |until: Instant| {
            let router = self.server.router();
            let is_settled = router.counts().asks == 0 && !self.server.has_more() && !self.server.is_saving();
            self.peers.is_empty() && is_settled || self.now >= until
        };
        self.closing.is_some_and(is_over)
    }

    /// What a server that shuts down still waits for when the last stream has ended: how many answers of its store, and
    /// until when.
    fn left_open(&self) -> Option<(usize, Instant)> {
        let asks = self.server.router().counts().asks + usize::from(self.server.is_saving());
        self.closing.filter(|_| asks > 0).map(|until| (asks, until))
    }

    /// Removes an account; see [`Server::remove_account`]. Then `done` is called from [`next`](Shard::next); if the server ends
    /// before, it is dropped.
    pub fn remove_account(
        &mut self,
        now: Instant,
        account: BareJid,
        done: impl FnOnce(Removal) + Send + 'static,
    ) {
        self.now = now;
        self.server.remove_account(now, &account, &mut self.actions);
        self.removals.entry(account).or_default().push(Box::new(done));
    }

    /// Gives another configuration to connections that come from now on; see [`Server::configure`].
    pub fn configure(&mut self, config: ServerConfig) {
        self.server.configure(config);
    }

    /// Sends a stanza in the server's name; see [`Server::send`].
    ///
    /// # Errors
    ///
    /// [`SendError`]; then nothing has been sent.
    pub fn send(&mut self, now: Instant, stanza: Stanza) -> Result<(), SendError> {
        self.now = now;
        self.server.send(now, stanza, &mut self.actions)
    }

    /// Ends a session; see [`Server::disconnect`].
    pub fn disconnect(&mut self, now: Instant, jid: &FullJid, error: StreamError) -> bool {
        self.now = now;
        self.server.disconnect(now, jid, error, &mut self.actions)
    }

    /// The server, to look at.
    #[must_use]
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// How busy the server is.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let counts = self.server.router().counts();
        Stats { connections: self.peers.len(), sessions: counts.sessions, accounts: counts.accounts }
    }

    /// Whether there is more to do when all is done that [`next`](Shard::next) says: call that again, after what has happened
    /// meanwhile.
    #[must_use]
    pub fn has_more(&self) -> bool {
        self.server.router().has_parked()
    }

    /// What to do next. What strangers have sent comes last, some of it each time until there is nothing to do.
    #[expect(clippy::should_implement_trait, reason = "what it returns borrows from it")]
    pub fn next(&mut self) -> Option<Todo<'_, P>> {
        if let Some((level, line)) = self.lines.pop_front() {
            return Some(Todo::Log(level, line));
        }
        loop {
            self.todo.extend(self.actions.drain(..));
            let Some(action) = self.todo.pop_front() else {
                // Everything is written that came before, and some of what strangers have sent has its turn.
                self.has_taken_in = !self.has_taken_in && self.has_more();
                if !self.has_taken_in {
                    return None;
                }
                self.server.take_in(self.now, &mut self.actions);
                continue;
            };
            match action {
                Action::Write(id) => {
                    let mut bytes = Vec::new();
                    self.server.take_output(id, &mut bytes);
                    if bytes.is_empty() || !self.peers.contains_key(&id) {
                        self.server.written(self.now, id, &mut self.actions);
                    } else {
                        return self.peers.get_mut(&id).map(|(peer, ..)| Todo::Write(peer, bytes));
                    }
                }
                Action::Read(id) if self.peers.contains_key(&id) => {
                    return self.peers.get_mut(&id).map(|(peer, ..)| Todo::Read(peer));
                }
                Action::Close(id) => {
                    return Some(match self.peers.remove(&id) {
                        Some((peer, _)) => Todo::Close(peer),
                        None => Todo::GiveUp(id),
                    });
                }
                Action::Ask(ticket, ask) => return Some(Todo::Ask(ticket, ask)),
                Action::Resolve(domain) => return Some(Todo::Resolve(domain)),
                Action::Connect(id, targets, reach) => return Some(Todo::Connect(id, targets, reach)),
                Action::Log(level, line) => return Some(Todo::Log(level, line)),
                Action::Removed(account, removal) => {
                    let waiting = self.removals.remove(&account).unwrap_or_default();
                    waiting.into_iter().for_each(|done| done(removal));
                    if removal == Removal::Removed {
                        return Some(Todo::Log(Level::Info, format!("{account} has been removed")));
                    }
                }
                Action::Abandoned(jid) => {
                    return Some(Todo::Log(Level::Info, format!("{jid} is offline: it has not come back")));
                }
                Action::Notice(id, notice) => {
                    if let Some((level, line)) =
                        self.peers.get_mut(&id).and_then(|(_, journal)| journal.line(notice))
                    {
                        return Some(Todo::Log(level, line));
                    }
                }
                Action::Read(_) => {}
            }
        }
    }
}

impl<P> fmt::Debug for Shard<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shard").field("server", &self.server).finish_non_exhaustive()
    }
}

#[cfg(all(test, feature = "tls"))]
mod tests {
    use alloc::vec;

    use balcony_machine::{Secret, Seed};
    use balcony_stream::TlsPolicy;

    use super::*;
    use crate::federation::FederationConfig;

    const HEADER: &[u8] = b"<stream:stream from='b.example' to='a.example' version='1.0' xmlns='jabber:server' \
                            xmlns:db='jabber:server:dialback' xmlns:stream='http://etherx.jabber.org/streams'>\
                            <db:result from='b.example' to='a.example'>00ff</db:result>";

    // A connection that is still being made is given up when nobody waits for it any more.
    #[test]
    fn what_does_not_connect_in_time_is_given_up() {
        let name = |text| BareJid::parse(text).unwrap();
        let mut config = ServerConfig::new(vec![name("a.example")], Secret::new([7; 32]));
        let mut federation = FederationConfig::new(vec![name("a.example")]);
        (federation.tls, federation.dialback) = (TlsPolicy::None, Some(Secret::new("a secret".into())));
        config.federation = Some(federation);
        let mut shard = Shard::new(Server::new(config, Seed::from_u64(1)));
        let now = Instant::ZERO;
        let id = shard.accept(now, Transport::Server, "192.0.2.1:1".into(), None, ());
        shard.handle(now, Input::Received(id, HEADER));
        let (mut connecting, mut given_up) = (None, None);
        for time in [0, 61] {
            let now = now + Duration::from_secs(time);
            shard.tick(now);
            let mut resolve = None;
            loop {
                match shard.next() {
                    Some(Todo::Resolve(domain)) => resolve = Some(domain),
                    Some(Todo::Connect(id, ..)) => connecting = Some(id),
                    Some(Todo::GiveUp(id)) => given_up = Some(id),
                    Some(_) => {}
                    None => match resolve.take() {
                        Some(domain) => shard.handle(now, Input::Resolved(&domain, Ok(Vec::new()))),
                        None => break,
                    },
                }
            }
            assert_eq!(given_up.is_some(), time > 0);
        }
        assert!(connecting.is_some());
        assert_eq!(given_up, connecting);
    }
}
