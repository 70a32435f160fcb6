//! Some connections of a server with a table of their sockets, for adapters: what has happened goes in, and what is to be done with which
//! socket comes out, the lines of the log too. It decides nothing about the protocol.

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
use balcony_machine::{Instant, Seed, Ticket};
use balcony_router::{Removal, SendError, SessionId};
use balcony_stanza::{Stanza, StreamError};

use crate::abroad::{Place, What};
use crate::connections::Connections;
use crate::counted::counted;
use crate::federation::{Reach, Unreachable};
use crate::given_up::GivenUp;
use crate::hub::{Hub, patience};
use crate::journal::{Journal, Level};
use crate::own::SessionInfo;
use crate::part::Part;
use crate::{Action, Answer, Ask, ConnectionId, ServerConfig, Transport};

/// How a [`Shard`] has the hub for a moment: directly, or behind a lock, if there are others.
pub trait AtHub {
    /// Does something with the hub, which nobody else has meanwhile.
    fn with_hub<T>(&mut self, act: impl FnOnce(&mut Hub) -> T) -> T;

    /// The same, unless somebody else has it just now: then nothing is done, and this is `None`. The shard does something else meanwhile, and
    /// comes again. Where that can't be told it is as [`with_hub`](AtHub::with_hub).
    fn try_with_hub<T>(&mut self, act: impl FnOnce(&mut Hub) -> T) -> Option<T> {
        Some(self.with_hub(act))
    }

    /// Has another shard come to the hub, which has something for it: tell its task to say [`Shard::called`]. The hub is not held meanwhile.
    fn call(&mut self, shard: usize);
}

impl AtHub for Hub {
    fn with_hub<T>(&mut self, act: impl FnOnce(&mut Hub) -> T) -> T {
        act(self)
    }

    fn call(&mut self, _: usize) {}
}

/// A server, or some of the connections of one, with a table of its sockets: what an adapter of any runtime puts between them.
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
///    [`is_closed`](Shard::is_closed), [`given_up`](Shard::given_up).
///
/// The whole loop, for sockets that wait no longer than a moment for bytes, and as long as it takes to write them. An adapter asks the operating
/// system which of them is ready instead, so that nobody waits for anybody else:
///
/// ```
/// use std::io::{ErrorKind, Read, Write};
/// use std::net::{TcpListener, TcpStream};
/// use std::time::Duration;
/// use balcony_machine::{Instant, Secret, Seed};
/// use balcony_server::{Answer, Ask, ConnectionId, Input, ServerConfig, Shard, Todo, Transport};
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
///                 // A client that takes nothing for so long is let go, since the others wait for it.
///                 tcp.set_write_timeout(Some(Duration::from_secs(1)))?;
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
///                 // It reads on. What was not read by now is lost to a client that comes anew.
///                 Todo::ReadNow(id, &mut place) => {
///                     sockets[place].iter_mut().for_each(|socket| socket.reads = true);
///                     shard.handle(now, Input::NothingYet(id));
///                 }
///                 Todo::Close(place) => sockets[place] = None,
///                 Todo::Ask(ticket, ask) => {
///                     let answer = answer(ask);
///                     shard.handle(now, Input::Answer(ticket, answer));
///                 }
///                 Todo::Log(level, line) => println!("{level:?}: {line}"),
///                 // Only a server that talks to others has these, or one on several threads.
///                 Todo::Resolve(..) | Todo::Connect(..) | Todo::GiveUp(_) => {}
///             }
///         }
///     }
///     Ok(())
/// }
///
/// // Somebody comes who does not speak XMPP, is told so, and goes.
/// let mut config = ServerConfig::new(vec!["example.com".parse()?], Secret::new([7; 32]));
/// config.tls = TlsPolicy::None;
/// let shard = Shard::new(config, Seed::from_u64(1));
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
///
/// # Several threads
///
/// A server on several threads has a shard on each, as many as its [`Hub`] was made for, numbered from 0 on. What the connections say goes
/// to the hub once for all that has happened, under its lock, and what it says to connections of others waits there: [`AtHub::call`]
/// says who is to be told that, with [`called`](Shard::called), and asked for what is [`next`](Shard::next) then.
///
/// Shard 0 has the sockets of other servers and of components, all asks, and its adapter is the one that calls what concerns the whole
/// server: [`shutdown`](Shard::shutdown), [`send`](Shard::send), and all else that is said to be for shard 0. When it
/// [is closed](Shard::is_closed) so are the others.
pub struct Shard<P, H = Hub> {
    part: Part,
    hub: H,
    /// The hub has something for this shard.
    is_called: bool,
    /// Other shards that are to be called; empty between calls.
    calls: Vec<usize>,
    peers: BTreeMap<ConnectionId, Known<P>>,
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
    /// How often it has met the hub since it was asked what is next, if it has not said all of that.
    meetings: Option<usize>,
    /// It has said that nothing is next though something was.
    has_left_off: bool,
    /// Another shard had the hub when nothing was left to do but to meet it, and it has not met it since.
    has_put_off: bool,
    /// All of its streams have been ended, since the server shuts down.
    has_closed_down: bool,
    /// The other shards know that it is closed.
    has_told_end: bool,
    /// Since it has been told to shut down.
    closing: Option<Closing>,
}

/// So many words of its connections are said to the hub at once.
const BATCH: usize = 64;
/// How often it meets the hub before whoever drives it comes round: what others say meanwhile must not keep it from its sockets.
const MEETINGS: usize = 8;
/// The same before all of its streams end: what was said before that is said to them first.
const LAST_MEETINGS: usize = 64;
/// How often it says that it waits.
const TELL: Duration = Duration::from_secs(10);
/// Between two ticks.
const PAUSE: Duration = Duration::from_millis(1);

type Done = Box<dyn FnOnce(Removal) + Send>;

/// What is known of a connection here.
struct Known<P> {
    /// How the adapter knows its socket; none when that is closed, and what had come before is still being taken in.
    peer: Option<P>,
    journal: Journal,
}

impl<P> Known<P> {
    fn new(peer: P, address: String) -> Self {
        Known { peer: Some(peer), journal: Journal::new(address) }
    }
}

/// How long a server that shuts down goes on.
#[derive(Clone, Copy)]
struct Closing {
    /// When it is over, whoever has not answered. Each answer of the store puts that off: much may have to be written, and the disk be slow.
    until: Instant,
    /// When it was said last that the store is waited for.
    told: Instant,
}

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
    /// There is nothing to be read at this moment: the answer to [`Todo::ReadNow`].
    NothingYet(ConnectionId),
    /// The peer has closed its side.
    Eof(ConnectionId),
    /// Nothing can be read or written any more.
    Broken(ConnectionId),
    /// What [`Todo::Write`] gave has been written.
    Written(ConnectionId),
    /// The answer to an ask.
    Answer(Ticket, Answer),
    /// What the DNS says to [`Todo::Resolve`]: see [`Server::resolved`](crate::Server::resolved).
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
    /// As `Read`, and urgent: another connection of the account is about to have this one's resource, and waits until what has come here is read. Hand in
    /// what has come by now ([`Input::Received`], [`Input::Eof`]); if there is nothing, neither bytes nor the end, say [`Input::NothingYet`], and read on. It
    /// comes instead of `Read`, also while the adapter reads on already, and again until there is nothing; then the connection ends with `conflict`. An
    /// adapter that can't tell says `NothingYet` at once: what it has not read by then is lost. Who never answers keeps the other connection waiting for
    /// [`Limits::closing`](balcony_machine::Limits::closing).
    ReadNow(ConnectionId, &'a mut P),
    /// Close the socket. What is still being written is of no use any more.
    Close(P),
    /// Find this out, and bring the answer as [`Input::Answer`].
    Ask(Ticket, Ask),
    /// Look up the SRV records of this domain's service for other servers, and bring them as [`Input::Resolved`]. Whether with what DNSSEC
    /// says about them ([`FederationConfig::dane`](crate::federation::FederationConfig::dane)).
    Resolve(BareJid, bool),
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
    /// A whole server, without sockets.
    #[must_use]
    pub fn new(config: ServerConfig, seed: Seed) -> Self {
        let mut random = seed.random();
        let hub = Hub::new(&config, &random.seed(), 1);
        Shard::of_part(config, random.seed(), 0, hub)
    }
}

impl<P, H: AtHub> Shard<P, H> {
    /// The shard with this number of those that have this hub, without sockets.
    #[must_use]
    pub fn of_part(config: ServerConfig, seed: Seed, number: u8, hub: H) -> Self {
        let connections = Connections::of_part(config, seed.random(), number, BATCH);
        let mut shard = Shard {
            part: Part::new(connections, number.into()),
            hub,
            is_called: true,
            calls: Vec::new(),
            peers: BTreeMap::new(),
            actions: Vec::new(),
            todo: VecDeque::new(),
            lines: VecDeque::new(),
            removals: BTreeMap::new(),
            now: Instant::ZERO,
            ticked: None,
            has_taken_in: false,
            meetings: None,
            has_left_off: false,
            has_put_off: false,
            has_closed_down: false,
            has_told_end: false,
            closing: None,
        };
        shard.meet();
        shard
    }

    /// Takes in a socket that is connected to `from`, its address for the log, and made known by `peer`. Read from it; that is
    /// not said again. `origin` is whom it [is put down to](crate::Entry::origin). Those of other servers and of components are for shard 0.
    pub fn accept(
        &mut self,
        now: Instant,
        transport: Transport,
        from: String,
        origin: Option<IpAddr>,
        peer: P,
    ) -> ConnectionId {
        self.now = now;
        let of_server = match transport.is_of_server() {
            true => self.at_hub(|hub, now, _| hub.accept(now, transport, from.clone())),
            false => None,
        };
        let connections = &mut self.part.connections;
        let id = of_server.unwrap_or_else(|| connections.accept(now, transport, &mut self.actions));
        if let Some(address) = origin {
            connections.came_from(id, address);
        }
        self.peers.insert(id, Known::new(peer, from));
        id
    }

    /// Takes in a socket that has been connected to the target at this place in the list of [`Todo::Connect`]. Whether it is still
    /// wanted; if so read from it. If not `peer` is forgotten, and the socket is to be closed. For shard 0.
    pub fn connected(&mut self, now: Instant, id: ConnectionId, target: usize, to: String, peer: P) -> bool {
        self.now = now;
        let is_wanted = self.at_hub(|hub, now, _| hub.connected(now, id, target));
        if is_wanted {
            self.peers.insert(id, Known::new(peer, to));
        }
        is_wanted
    }

    /// Sessions go on that were kept while the server was down; see [`Server::restore`](crate::Server::restore). For shard 0.
    pub fn restore(
        &mut self,
        now: Instant,
        clock: u64,
        sessions: impl IntoIterator<Item = crate::SavedSession>,
    ) {
        self.now = now;
        self.at_hub(|hub, now, actions| hub.restore(now, clock, sessions, actions));
    }

    /// Writes a line to the log, in order with all others.
    pub fn log(&mut self, level: Level, line: String) {
        self.lines.push_back((level, line));
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> &ServerConfig {
        self.part.connections.config()
    }

    /// What to tell a connection that is not taken in; see [`Server::last_words`](crate::Server::last_words). For shard 0.
    pub fn last_words(&mut self, now: Instant, transport: Transport, error: StreamError) -> Vec<u8> {
        if matches!(transport, Transport::Server | Transport::ServerDirectTls) {
            let with_tls = transport == Transport::ServerDirectTls;
            let words = |hub: &mut Hub, now, _: &mut Vec<Action>| {
                hub.federation.as_mut().map(|federation| federation.last_words(now, with_tls, error.clone()))
            };
            if let Some(words) = self.at_hub(words) {
                return words;
            }
        }
        self.part.connections.last_words(now, transport, error)
    }

    /// Takes in what happened. Answers, and what concerns other servers, are for shard 0.
    pub fn handle(&mut self, now: Instant, input: Input<'_>) {
        self.now = now;
        match input {
            Input::Received(id, bytes) => self.happened(id, What::Received(bytes)),
            Input::NothingYet(id) => {
                self.part.connections.nothing_yet(now, id);
                self.advance(id, &[]);
            }
            Input::Eof(id) => self.happened(id, What::Eof),
            Input::Broken(id) => {
                self.happened(id, What::Broken);
                self.actions.push(Action::Close(id));
            }
            Input::Written(id) => self.happened(id, What::Written),
            Input::Answer(ticket, answer) => {
                self.at_hub(|hub, now, actions| hub.answer(now, ticket, answer, actions));
                self.wait_for_more();
            }
            Input::Resolved(domain, records) => self.at_hub(|hub, now, _| {
                if let Some(federation) = &mut hub.federation {
                    federation.resolved(now, domain, records);
                }
            }),
            Input::Unreachable(id, unreachable) => {
                self.at_hub(|hub, now, _| hub.unreachable(now, id, unreachable));
            }
        }
    }

    /// Something has happened to a connection.
    fn happened(&mut self, id: ConnectionId, what: What<'_>) {
        if let Some(place) = Place::of(id) {
            self.count_meeting();
            return self.at_hub(|hub, now, _| hub.elsewhere(now, place, what));
        }
        let (now, connections) = (self.now, &mut self.part.connections);
        let mut fresh: &[u8] = &[];
        match what {
            What::Received(bytes) => {
                connections.received(now, id, bytes.len());
                fresh = bytes;
            }
            What::Eof => connections.eof(id),
            // What had come before is taken in by turns, as if the socket were there: it may be much.
            What::Broken => connections.broken(now, id, &mut self.actions),
            What::Written => connections.written(id),
        }
        self.advance(id, fresh);
    }

    /// Lets a connection take what it has and `fresh`, until enough is to be said to the hub. It goes on when others have had their turn: stanzas
    /// may be small, and there may be many in what is read at once.
    fn advance(&mut self, id: ConnectionId, mut fresh: &[u8]) {
        if self.take_some(id, &mut fresh) {
            self.part.connections.leave_for_later(id, &mut fresh);
        }
    }

    /// The same; whether there is more, and the hub was met.
    fn take_some(&mut self, id: ConnectionId, fresh: &mut &[u8]) -> bool {
        while self.part.connections.advance(self.now, id, fresh, &mut self.actions) {
            if !self.part.connections.may_gather_more() {
                self.meet();
            } else if !self.try_meet() {
                self.part.connections.gather_more();
                continue;
            }
            self.count_meeting();
            self.hear();
            return true;
        }
        false
    }

    /// Hears all that it was told. Whether there was any.
    fn hear(&mut self) -> bool {
        let has_words = self.part.has_words();
        while self.part.hear(self.now, &mut self.actions) {}
        has_words
    }

    /// Says all that is to be said to the hub, and takes along what it says.
    fn meet(&mut self) {
        self.at_hub(|_, _, _| ());
    }

    /// The same, unless another shard has the hub. Whether it has met it.
    fn try_meet(&mut self) -> bool {
        let (part, actions, calls, now) = (&mut self.part, &mut self.actions, &mut self.calls, self.now);
        let meet = |hub: &mut Hub| part.meet(now, hub, usize::MAX, actions, calls);
        if self.hub.try_with_hub(meet).is_none() {
            return false;
        }
        self.has_met();
        true
    }

    /// It does what it does when it has let go of the hub.
    fn has_met(&mut self) {
        (self.is_called, self.has_put_off) = (false, false);
        self.part.let_go();
        self.call();
    }

    /// Has the hub do something, after it was said all that is to be said, and takes along what it says.
    fn at_hub<T>(&mut self, act: impl FnOnce(&mut Hub, Instant, &mut Vec<Action>) -> T) -> T {
        let (part, actions, calls, now) = (&mut self.part, &mut self.actions, &mut self.calls, self.now);
        let result = self.hub.with_hub(|hub| part.meet_and(now, hub, usize::MAX, actions, calls, act));
        self.has_met();
        result
    }

    /// Calls the shards that are to come to the hub.
    fn call(&mut self) {
        for shard in self.calls.drain(..) {
            self.hub.call(shard);
        }
    }

    /// One more, if it is saying what is next.
    const fn count_meeting(&mut self) {
        if let Some(meetings) = &mut self.meetings {
            *meetings += 1;
        }
    }

    /// Whether it has met the hub often enough for now.
    fn has_met_enough(&self) -> bool {
        let most = if self.is_about_to_close_down() { LAST_MEETINGS } else { MEETINGS };
        self.meetings.is_some_and(|meetings| meetings >= most)
    }

    /// Whether its streams are to end, and have not been ended yet.
    const fn is_about_to_close_down(&self) -> bool {
        self.part.news().is_closing && !self.has_closed_down
    }

    /// Says and hears what there is to be said and heard, and each connection that is ready has its turn: what comes of it is written before the
    /// next. Whether there was any.
    fn converse(&mut self) -> bool {
        let (mut has_any, mut turns) = (false, self.part.connections.ready());
        loop {
            has_any |= self.hear();
            while turns > 0
                && !self.has_met_enough()
                && let Some(id) = self.part.connections.next_ready()
            {
                self.advance(id, &[]);
                (has_any, turns) = (true, turns - 1);
            }
            if !self.has_words() || self.has_met_enough() {
                return has_any;
            }
            self.count_meeting();
            if !self.may_put_off() {
                self.meet();
            } else if !self.try_meet() {
                // First what has followed so far is written, then more is read; then it waits.
                self.has_put_off = !has_any;
                return has_any;
            }
            has_any = true;
        }
    }

    /// Whether whoever drives it may have it do something else while another shard has the hub.
    const fn may_put_off(&self) -> bool {
        self.meetings.is_some() && !self.has_put_off && !self.is_closing()
    }

    /// Says and hears what there is to be said and heard. Connections of which more may be taken wait.
    fn say_and_hear(&mut self) {
        self.hear();
        while self.has_words() {
            self.meet();
            self.hear();
        }
    }

    /// Whether there is something to be said or heard.
    fn has_words(&self) -> bool {
        self.is_called || self.part.connections.has_up() || self.part.has_words()
    }

    /// The same, or a connection has its turn.
    fn is_busy(&self) -> bool {
        self.has_words() || self.part.connections.ready() > 0
    }

    /// The hub has something for this shard: ask for what is [`next`](Shard::next).
    pub fn called(&mut self) {
        self.is_called = true;
    }

    /// Does what has become due.
    pub fn tick(&mut self, now: Instant) {
        self.now = now;
        if self.deadline().is_none_or(|deadline| deadline > now) {
            return;
        }
        for id in self.part.connections.due(now) {
            if self.part.connections.tick(now, id, &mut self.actions) {
                self.advance(id, &[]);
            }
        }
        if self.hub_deadline().is_some_and(|at| at <= now) {
            self.at_hub(|hub, now, actions| hub.tick(now, actions));
            let left = self.hub_deadline();
            debug_assert!(left.is_none_or(|left| left > now), "{left:?} is still due at {now:?}");
        }
        self.say_and_hear();
        self.ticked = Some(now);
        let left = self.part.connections.deadline();
        debug_assert!(left.is_none_or(|left| left > now), "{left:?} is still due at {now:?}");
    }

    /// When the hub is to look at the clock, if that is for this shard to see to.
    fn hub_deadline(&self) -> Option<Instant> {
        self.part.news().deadline.filter(|_| self.is_first())
    }

    const fn is_first(&self) -> bool {
        self.part.number() == 0
    }

    /// When to call [`tick`](Shard::tick): never again at the time of the last call. If there were a fault in a machine that
    /// leaves something due, the adapter would still get round to everything else.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let due = self.part.connections.deadline();
        let until = self.waits_until();
        let next = due.into_iter().chain(self.hub_deadline()).chain(until).min()?;
        Some(self.ticked.map_or(next, |ticked| next.max(ticked + PAUSE)))
    }

    /// Takes in no more sockets, and ends all streams; see [`Server::shutdown`](crate::Server::shutdown). The store has time for what it has
    /// to write as long as it answers anything: when it has answered nothing for 20 seconds, or
    /// [`Limits::answer`](balcony_machine::Limits::answer) if that is less, the rest is given up, but not before
    /// [`Limits::closing`](balcony_machine::Limits::closing) and as long again. By then its streams to other servers end as well, those on
    /// which something is still to be sent a [`Limits::closing`](balcony_machine::Limits::closing) later, so that nothing more comes on those that
    /// go both ways (XEP-0288). For shard 0; the others hear of it.
    pub fn shutdown(&mut self, now: Instant) {
        self.now = now;
        let until = now + self.config().limits.closing + self.patience() + PAUSE;
        self.closing.get_or_insert(Closing { until, told: now });
        self.at_hub(|hub, now, actions| {
            hub.is_closing = true;
            // What was accepted has its fate, and who has sent it hears of that if he may.
            while hub.take_in(now) {
                hub.settle(now, actions);
            }
            hub.shutdown(now);
        });
        let calls = &mut self.calls;
        self.hub.with_hub(|hub| hub.call_others(0, calls));
        self.call();
    }

    /// Ends all streams, when all that was said before is done.
    fn close_down(&mut self) {
        self.has_closed_down = true;
        for id in self.part.connections.ids() {
            self.part.end(self.now, id, &mut self.actions);
            self.meet();
            self.hear();
        }
        self.part.connections.close_down();
    }

    /// Whether the server is shutting down.
    #[must_use]
    pub const fn is_closing(&self) -> bool {
        self.closing.is_some() || self.part.news().is_closing
    }

    /// Whether the server has shut down: all sockets are closed, and what had to be stored is, or [will not be](Shard::given_up). So it is when
    /// [`next`](Shard::next) has said all.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        if self.is_first() { self.has_told_end } else { self.part.news().is_over }
    }

    /// What the server has given up, when it [is closed](Shard::is_closed); see [`Hub::given_up`].
    pub fn given_up(&mut self) -> Option<GivenUp> {
        self.hub.with_hub(|hub| hub.given_up())
    }

    /// Whether it is the first, and all is done, or there is no more time for it.
    fn may_end(&self) -> bool {
        let is_settled = || self.peers.is_empty() && self.part.news().is_settled && !self.is_busy();
        let is_over = |closing: Closing| is_settled() || self.now >= closing.until;
        !self.has_told_end && self.closing.is_some_and(is_over)
    }

    /// The server has shut down, and the other shards are told. What is not done by now is given up.
    fn tell_end(&mut self) {
        self.has_told_end = true;
        let (calls, patience) = (&mut self.calls, patience(&self.part.connections.config().limits));
        let line = self.hub.with_hub(|hub| {
            hub.call_others(0, calls);
            hub.give_up(patience)
        });
        self.lines.extend(line.map(|line| (Level::Warn, line)));
        self.call();
    }

    /// Until when a server that shuts down waits for its store, if it still waits for it when the last stream has ended.
    fn waits_until(&self) -> Option<Instant> {
        let is_waiting = self.part.news().asks > 0 && !self.has_told_end;
        self.closing.filter(|_| is_waiting).map(|closing| closing.until)
    }

    /// The store has answered something: if the server shuts down there is time for the rest.
    fn wait_for_more(&mut self) {
        let (now, patience, asks) = (self.now, self.patience(), self.part.news().asks);
        let Some(closing) = &mut self.closing else { return };
        closing.until = closing.until.max(now + patience);
        if asks > 0 && now >= closing.told + TELL {
            closing.told = now;
            let requests = counted(asks, "request to it is", "requests to it are");
            let line = format!("the store is still writing: {requests} waited for");
            self.lines.push_back((Level::Info, line));
        }
    }

    fn patience(&self) -> Duration {
        patience(&self.config().limits)
    }

    /// Removes an account; see [`Server::remove_account`](crate::Server::remove_account). Then `done` is called from [`next`](Shard::next); if
    /// the server ends before, it is dropped. For shard 0.
    pub fn remove_account(
        &mut self,
        now: Instant,
        account: BareJid,
        done: impl FnOnce(Removal) + Send + 'static,
    ) {
        self.now = now;
        self.at_hub(|hub, now, _| hub.remove_account(now, &account));
        self.removals.entry(account).or_default().push(Box::new(done));
    }

    /// Says that an account has another password; see [`Server::credentials_changed`](crate::Server::credentials_changed). For shard 0.
    pub fn credentials_changed(&mut self, now: Instant, account: BareJid) {
        self.now = now;
        self.at_hub(|hub, now, _| hub.credentials_changed(now, account));
    }

    /// Gives another configuration to connections that come from now on; see [`Server::configure`](crate::Server::configure). For each shard.
    pub fn configure(&mut self, config: ServerConfig) {
        if self.is_first() {
            // Streams that it denies end, which others are told.
            self.at_hub(|hub, _, _| hub.configure(&config));
        }
        self.part.connections.configure(config);
    }

    /// Sends a stanza in the server's name; see [`Server::send`](crate::Server::send). For shard 0.
    ///
    /// # Errors
    ///
    /// [`SendError`]; then nothing has been sent.
    pub fn send(&mut self, now: Instant, stanza: Stanza) -> Result<(), SendError> {
        self.now = now;
        self.at_hub(|hub, now, _| hub.send(now, stanza))
    }

    /// Ends a session; see [`Server::disconnect`](crate::Server::disconnect). For shard 0.
    pub fn disconnect(&mut self, now: Instant, jid: &FullJid, error: StreamError) -> bool {
        self.now = now;
        self.at_hub(|hub, now, actions| hub.disconnect(now, jid, error, actions))
    }

    /// The sessions of one account; see [`Server::sessions_of`](crate::Server::sessions_of).
    pub fn sessions_of(&mut self, now: Instant, account: &BareJid) -> Vec<SessionInfo> {
        self.hub.with_hub(|hub| hub.sessions_of(now, account))
    }

    /// Some sessions of all accounts; see [`Server::sessions`](crate::Server::sessions).
    pub fn sessions(&mut self, now: Instant, after: Option<SessionId>, limit: usize) -> Vec<SessionInfo> {
        self.hub.with_hub(|hub| hub.sessions(now, after, limit))
    }

    /// How busy the server is; of the sockets, those of this shard.
    pub fn stats(&mut self) -> Stats {
        let counts = self.hub.with_hub(|hub| hub.router.counts());
        Stats { connections: self.peers.len(), sessions: counts.sessions, accounts: counts.accounts }
    }

    /// Whether there is more to do when all is done that [`next`](Shard::next) says: call that again, after what has happened
    /// meanwhile.
    #[must_use]
    pub fn has_more(&self) -> bool {
        self.has_parked() || self.is_busy() || self.has_left_off
    }

    /// Whether this shard is to have the hub take in what strangers have sent.
    fn has_parked(&self) -> bool {
        self.is_first() && self.part.news().has_parked
    }

    fn socket(&mut self, id: ConnectionId) -> Option<&mut P> {
        self.peers.get_mut(&id)?.peer.as_mut()
    }

    fn has_socket(&self, id: ConnectionId) -> bool {
        self.peers.get(&id).is_some_and(|known| known.peer.is_some())
    }

    /// Forgets a connection whose socket is closed, unless something of it is still to be taken in.
    fn forget_if_over(&mut self, id: ConnectionId) {
        if !self.has_socket(id) && !self.part.connections.has(id) {
            self.peers.remove(&id);
        }
    }

    fn take_output(&mut self, id: ConnectionId) -> Vec<u8> {
        let mut bytes = Vec::new();
        match Place::of(id) {
            // From now on it is due that they are written.
            Some(place) => self.at_hub(|hub, _, _| hub.take_output(place, &mut bytes)),
            None => self.part.connections.take_output(id, &mut bytes),
        }
        bytes
    }

    /// Whether the stream of a client's connection is over: what [`Todo::Write`] gives for it is the last, and when that is written
    /// [`Todo::Close`] follows. Of other connections it is not told.
    #[must_use]
    pub fn is_ending(&self, id: ConnectionId) -> bool {
        self.part.connections.is_ending(id)
    }

    /// What to do next. What strangers have sent comes last, some of it each time until there is nothing to do. It comes to an end, however much
    /// other shards say meanwhile.
    #[expect(clippy::should_implement_trait, reason = "what it returns borrows from it")]
    pub fn next(&mut self) -> Option<Todo<'_, P>> {
        self.meetings.get_or_insert(0);
        self.has_left_off = false;
        loop {
            if let Some((level, line)) = self.lines.pop_front() {
                return Some(Todo::Log(level, line));
            }
            // What follows from what was done may wait, and so may what others say.
            let has_met_enough = self.has_met_enough();
            if !has_met_enough {
                self.todo.extend(self.actions.drain(..));
            }
            let Some(action) = self.todo.pop_front() else {
                if has_met_enough && (self.is_busy() || !self.actions.is_empty()) {
                    if self.may_end() {
                        self.tell_end();
                        continue;
                    }
                    // Who goes on sending does not keep the server from shutting down.
                    if self.is_about_to_close_down() {
                        self.close_down();
                    }
                    self.meetings = None;
                    self.has_left_off = true;
                    return None;
                }
                if self.converse() {
                    continue;
                }
                if self.has_put_off {
                    self.meetings = None;
                    self.has_left_off = true;
                    return None;
                }
                if self.is_about_to_close_down() {
                    self.close_down();
                    continue;
                }
                if self.may_end() {
                    self.tell_end();
                    continue;
                }
                // Everything is written that came before, and some of what strangers have sent has its turn.
                self.has_taken_in = !self.has_taken_in && self.has_parked();
                if !self.has_taken_in {
                    self.meetings = None;
                    return None;
                }
                self.at_hub(|hub, now, _| hub.take_in(now));
                continue;
            };
            match action {
                Action::Write(id) => {
                    let bytes = self.take_output(id);
                    if bytes.is_empty() || !self.has_socket(id) {
                        self.happened(id, What::Written);
                    } else {
                        return self.socket(id).map(|peer| Todo::Write(peer, bytes));
                    }
                }
                Action::Read(id) if self.has_socket(id) => return self.socket(id).map(Todo::Read),
                Action::ReadNow(id) if self.has_socket(id) => {
                    return self.socket(id).map(|peer| Todo::ReadNow(id, peer));
                }
                Action::Close(id) => {
                    let Some(known) = self.peers.get_mut(&id) else { return Some(Todo::GiveUp(id)) };
                    let peer = known.peer.take();
                    self.forget_if_over(id);
                    if let Some(peer) = peer {
                        return Some(Todo::Close(peer));
                    }
                }
                Action::Ask(ticket, ask) => return Some(Todo::Ask(ticket, ask)),
                Action::Resolve(domain, dane) => return Some(Todo::Resolve(domain, dane)),
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
                    let line = self.peers.get_mut(&id).and_then(|known| known.journal.line(notice));
                    self.forget_if_over(id);
                    if let Some((level, line)) = line {
                        return Some(Todo::Log(level, line));
                    }
                }
                Action::Read(_) | Action::ReadNow(_) => {}
            }
        }
    }
}

impl<P, H> fmt::Debug for Shard<P, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shard")
            .field("number", &self.part.number())
            .field("connections", &self.part.connections)
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, feature = "tls"))]
mod tests;
