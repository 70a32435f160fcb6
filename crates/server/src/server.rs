//! A whole server as one value: many connections and what they have in common, and what these say to each other.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;

use balcony_connection::srv::Record;
use balcony_jid::{BareJid, FullJid};
use balcony_machine::{Deadline, Instant, Random, Reason, Seed, Ticket};
use balcony_router::{Router, SendError, SessionId};
use balcony_stanza::{Stanza, StreamError};

use crate::abroad::{Place, What};
use crate::action::{Action, Answer, ConnectionId};
use crate::components::Components;
use crate::config::ServerConfig;
use crate::connections::Connections;
use crate::federation::{Federation, Unreachable};
use crate::hub::Hub;
use crate::own::SessionInfo;
use crate::part::Part;
use crate::saved::SavedSession;
use crate::transport::Transport;

/// A whole server: many connections and one router. A [`Shard`](crate::Shard) has the table of the sockets beside it.
///
/// 1. **What has happened goes in**: a socket is there, [`accept`](Server::accept) or [`accept_server`](Server::accept_server);
///    [`receive`](Server::receive) its bytes, [`nothing_yet`](Server::nothing_yet), [`eof`](Server::eof),
///    [`broken`](Server::broken), and [`written`](Server::written) when what was taken to be written has been; an [`answer`](Server::answer) is there; [`tick`](Server::tick) at the
///    [`deadline`](Server::deadline). With a federation also [`resolved`](Server::resolved), [`connected`](Server::connected) and
///    [`unreachable`](Server::unreachable).
/// 2. **What the owner wants**: [`send`](Server::send), [`disconnect`](Server::disconnect),
///    [`remove_account`](Server::remove_account), [`configure`](Server::configure), [`restore`](Server::restore) at the start and
///    [`shutdown`](Server::shutdown) at the end.
/// 3. **What comes of it**: each of these appends [`Action`]s, which are done in their order; the bytes of a connection are had from
///    [`take_output`](Server::take_output). When all are done, [`take_in`](Server::take_in), and again as long as it is true, with what has
///    happened meanwhile in between.
/// 4. **Looking**: [`sessions`](Server::sessions), [`connections`](Server::connections), [`router`](Server::router),
///    [`federation`](Server::federation), [`config`](Server::config).
///
/// The whole loop, for sockets that are strings here. Nobody is read from before [`Action::Read`]: that keeps back whoever sends faster than
/// they may.
///
/// ```
/// use std::collections::BTreeMap;
/// use balcony_machine::{Instant, Secret, Seed};
/// use balcony_server::{Action, Answer, Ask, ConnectionId, Server, ServerConfig, Transport};
/// use balcony_stream::{TlsPolicy, server::ServerAnswer};
///
/// struct Socket { input: &'static str, reads: bool }
///
/// /// What a store would say.
/// fn answer(ask: Ask) -> Answer {
///     match ask {
///         Ask::Stream(_) => Answer::Stream(ServerAnswer::Unavailable),
///         Ask::Router(_) => Answer::Router(balcony_router::Answer::Refused),
///         Ask::Sessions { .. } => Answer::Sessions(false),
///         Ask::Holders { .. } => Answer::Holders(Some(Vec::new())),
///     }
/// }
///
/// fn run(server: &mut Server, sockets: &mut BTreeMap<ConnectionId, Socket>, mut now: Instant) {
///     let mut actions = Vec::new();
///     while !sockets.is_empty() {
///         for (id, socket) in sockets.iter_mut().filter(|(_, socket)| socket.reads) {
///             socket.reads = false;
///             match std::mem::take(&mut socket.input) {
///                 "" => server.eof(now, *id, &mut actions),
///                 bytes => server.receive(now, *id, bytes.as_bytes(), &mut actions),
///             }
///         }
///         loop {
///             for action in std::mem::take(&mut actions) {
///                 match action {
///                     Action::Write(id) => {
///                         let mut bytes = Vec::new();
///                         server.take_output(id, &mut bytes);
///                         print!("{}", String::from_utf8_lossy(&bytes));
///                         server.written(now, id, &mut actions);
///                     }
///                     // Here there always is something: bytes, or the end. Where nothing has come at `ReadNow`, it is
///                     // `server.nothing_yet(now, id, &mut actions)` besides.
///                     Action::Read(id) | Action::ReadNow(id) => {
///                         sockets.get_mut(&id).into_iter().for_each(|socket| socket.reads = true);
///                     }
///                     Action::Close(id) => drop(sockets.remove(&id)),
///                     Action::Ask(ticket, ask) => server.answer(now, ticket, answer(ask), &mut actions),
///                     Action::Log(level, line) => eprintln!("{level:?}: {line}"),
///                     // What is to be known of connections and accounts; and what only a federation wants.
///                     _ => {}
///                 }
///             }
///             if actions.is_empty() && !server.take_in(now, &mut actions) {
///                 break;
///             }
///         }
///         // A program sleeps until then, or until something comes.
///         if !sockets.values().any(|socket| socket.reads) {
///             now = server.deadline().map_or(now, |deadline| deadline.at);
///         }
///         server.tick(now, &mut actions);
///     }
/// }
///
/// let mut config = ServerConfig::new(vec!["example.com".parse()?], Secret::new([7; 32]));
/// config.tls = TlsPolicy::None;
/// let (mut server, now) = (Server::new(config, Seed::from_u64(1)), Instant::ZERO);
/// let id = server.accept(now, Transport::Stream, &mut Vec::new());
/// let mut sockets = BTreeMap::from([(id, Socket { input: "this is no XML", reads: true })]);
/// run(&mut server, &mut sockets, now);
/// assert_eq!(server.connections(), 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Server {
    parts: Vec<Part>,
    hub: Hub,
    /// Decides what happens first, if there are several parts.
    schedule: Option<Random>,
}

/// So much is said to the hub at once by each of several parts.
const BATCH: usize = 64;

impl Server {
    /// A server without connections.
    #[must_use]
    pub fn new(config: ServerConfig, seed: Seed) -> Self {
        let mut random = seed.random();
        let hub = Hub::new(&config, &random.seed(), 1);
        Server { parts: Vec::from([Part::new(Connections::new(config, random), 0)]), hub, schedule: None }
    }

    /// A server whose connections are in so many parts, 1 to 256, as they are in [shards](crate::Shard) on several threads: each part goes on
    /// by itself, and what parts and router say to each other is under way for a while. What happens first is decided by the seed. This is
    /// for tests; it is no faster. What is under way goes on with [`take_in`](Server::take_in).
    #[must_use]
    pub fn in_parts(config: ServerConfig, seed: Seed, parts: u16) -> Self {
        let mut random = seed.random();
        let parts = parts.clamp(1, 256);
        let hub = Hub::new(&config, &random.seed(), parts);
        let part = |number: u8| {
            let random = random.seed().random();
            Part::new(Connections::of_part(config.clone(), random, number, BATCH), number.into())
        };
        let parts = (0..=u8::MAX).take(parts.into()).map(part).collect();
        Server { parts, hub, schedule: Some(random) }
    }

    /// The hub, with what it has had to do for others done before.
    fn hub(&mut self, actions: &mut Vec<Action>) -> &mut Hub {
        actions.append(&mut self.hub.actions);
        &mut self.hub
    }

    fn connections_of(&mut self, id: ConnectionId) -> Option<&mut Connections> {
        self.parts.get_mut(id.part()).map(|part| &mut part.connections)
    }

    /// The connections that the next one comes to.
    fn fewest(&mut self) -> &mut Connections {
        let fewest = (1..self.parts.len()).fold(0, |fewest, place| {
            if self.parts[place].connections.len() < self.parts[fewest].connections.len() {
                place
            } else {
                fewest
            }
        });
        &mut self.parts[fewest].connections
    }

    /// Takes in a new connection, which begins in this way.
    ///
    /// One of another server is accepted with [`accept_server`](Server::accept_server).
    pub fn accept(&mut self, now: Instant, transport: Transport, actions: &mut Vec<Action>) -> ConnectionId {
        self.fewest().accept(now, transport, actions)
    }

    /// Takes in a new connection of another server, or of a component, from `address`, as the log is to name it. Without
    /// [`ServerConfig::federation`] and [`ServerConfig::components`] there are none.
    pub fn accept_server(
        &mut self,
        now: Instant,
        transport: Transport,
        address: String,
        actions: &mut Vec<Action>,
    ) -> ConnectionId {
        let Some(id) = self.hub.accept(now, transport, address) else {
            return self.accept(now, transport, actions);
        };
        self.settle(now, actions);
        id
    }

    /// What to write to a new connection that is not [taken in](Server::accept), and closed at once: a stream with this error
    /// (RFC 6120 section 4.9.1.2), or its like in HTTP. Empty where it would take a TLS handshake to say anything.
    pub fn last_words(&mut self, now: Instant, transport: Transport, error: StreamError) -> Vec<u8> {
        match (&mut self.hub.federation, transport) {
            (Some(federation), Transport::Server | Transport::ServerDirectTls) => {
                federation.last_words(now, transport == Transport::ServerDirectTls, error)
            }
            _ => self.fewest().last_words(now, transport, error),
        }
    }

    /// Says where a connection comes from, as far as that is known: so many accounts may be registered from one address (XEP-0077). Say it
    /// as soon as the connection is [taken in](Server::accept): a session has the address that was known when it was bound.
    pub fn came_from(&mut self, id: ConnectionId, address: IpAddr) {
        if let Some(connections) = self.connections_of(id) {
            connections.came_from(id, address);
        }
    }

    /// Bytes have come. Hand in no more before [`Action::Read`], or [`Action::ReadNow`]; it comes at once unless the connection is blocked.
    pub fn receive(&mut self, now: Instant, id: ConnectionId, bytes: &[u8], actions: &mut Vec<Action>) {
        if let Some(place) = Place::of(id) {
            self.hub.elsewhere(now, place, What::Received(bytes));
            return self.settle(now, actions);
        }
        if let Some(connections) = self.connections_of(id) {
            connections.received(now, id, bytes.len());
        }
        self.advance(now, id, bytes, actions);
        self.go_on(now, actions);
    }

    /// There is nothing to be read of this connection at this moment: the answer to [`Action::ReadNow`].
    pub fn nothing_yet(&mut self, now: Instant, id: ConnectionId, actions: &mut Vec<Action>) {
        if Place::of(id).is_some() {
            return;
        }
        if let Some(connections) = self.connections_of(id) {
            connections.nothing_yet(now, id);
        }
        self.advance(now, id, &[], actions);
        self.go_on(now, actions);
    }

    /// The peer has closed its side of the transport. The stream ends when all that had come before is dealt with, as far as
    /// the peer reads the answers.
    pub fn eof(&mut self, now: Instant, id: ConnectionId, actions: &mut Vec<Action>) {
        if let Some(place) = Place::of(id) {
            self.hub.elsewhere(now, place, What::Eof);
            return self.settle(now, actions);
        }
        if let Some(connections) = self.connections_of(id) {
            connections.eof(id);
        }
        self.advance(now, id, &[], actions);
        self.go_on(now, actions);
    }

    /// The transport is broken: nothing can be written any more, and nothing that is said to be from now on has been. The connection is forgotten without
    /// `Close`, as soon as the stanzas are routed that had come before.
    pub fn broken(&mut self, now: Instant, id: ConnectionId, actions: &mut Vec<Action>) {
        if let Some(place) = Place::of(id) {
            self.hub.elsewhere(now, place, What::Broken);
            return self.settle(now, actions);
        }
        if let Some(connections) = self.connections_of(id) {
            connections.broken(now, id, actions);
        }
        self.advance(now, id, &[], actions);
        self.go_on(now, actions);
    }

    /// Swaps the bytes to be written into `buffer`, which must be empty.
    pub fn take_output(&mut self, id: ConnectionId, buffer: &mut Vec<u8>) {
        match Place::of(id) {
            Some(place) => self.hub.take_output(place, buffer),
            None => {
                if let Some(connections) = self.connections_of(id) {
                    connections.take_output(id, buffer);
                }
            }
        }
    }

    /// What [`take_output`](Server::take_output) gave has been written.
    pub fn written(&mut self, now: Instant, id: ConnectionId, actions: &mut Vec<Action>) {
        if let Some(place) = Place::of(id) {
            self.hub.elsewhere(now, place, What::Written);
            return self.settle(now, actions);
        }
        if let Some(connections) = self.connections_of(id) {
            connections.written(id);
        }
        self.converse(now, actions);
        self.advance(now, id, &[], actions);
        self.go_on(now, actions);
    }

    /// An answer has come. One that comes too late changes nothing.
    pub fn answer(&mut self, now: Instant, ticket: Ticket, answer: Answer, actions: &mut Vec<Action>) {
        self.hub(actions).answer(now, ticket, answer, actions);
        self.settle(now, actions);
    }

    /// When to call [`tick`](Server::tick).
    #[must_use]
    pub fn deadline(&self) -> Option<Deadline> {
        let streams = self.parts.iter().filter_map(|part| part.connections.deadline()).min();
        let streams = streams.map(|at| Deadline { at, reason: Reason::Idle });
        streams.into_iter().chain(self.hub.deadline()).min()
    }

    /// Does what has become due. After that no [`deadline`](Server::deadline) is `now` or earlier.
    pub fn tick(&mut self, now: Instant, actions: &mut Vec<Action>) {
        // Each connection once, whatever it says then: none of them can keep the others waiting.
        for place in 0..self.parts.len() {
            for id in self.parts[place].connections.due(now) {
                if self.parts[place].connections.tick(now, id, actions) {
                    self.advance(now, id, &[], actions);
                } else {
                    self.converse(now, actions);
                }
            }
        }
        self.hub(actions).tick(now, actions);
        self.settle(now, actions);
    }

    /// Gives some of what strangers have sent to its recipients: see [`Router::take_in`]. Call it when all actions are done, until it is
    /// `false`, and with everything else that happens in between; what nobody asks for comes with [`tick`](Server::tick), a
    /// millisecond later. It is `true` if there is more, or it has appended actions: these are to be done.
    pub fn take_in(&mut self, now: Instant, actions: &mut Vec<Action>) -> bool {
        let before = actions.len();
        if self.hub.take_in(now) | self.is_under_way() {
            self.settle(now, actions);
        }
        self.has_more() || actions.len() > before
    }

    /// Whether there is something for [`take_in`](Server::take_in).
    #[must_use]
    pub fn has_more(&self) -> bool {
        self.hub.router.has_parked() || self.is_under_way()
    }

    /// Whether a part of several has something to hear, or to say, or to go on with.
    fn is_under_way(&self) -> bool {
        let is_busy = |part: &Part| part.steps(&self.hub).next().is_some();
        self.schedule.is_some() && self.parts.iter().any(is_busy)
    }

    /// Ends every stream with `system-shutdown` (RFC 6120 section 4.9.3.20). Sessions that can be resumed wait for their clients all the
    /// same (XEP-0198), and are [kept](crate::Ask::Sessions) at last, if [`ServerConfig::keep_sessions`] says so; otherwise they end. `Close` follows for each when its output is
    /// written, or after [`Limits::closing`](balcony_machine::Limits::closing) if the peer does not read.
    pub fn shutdown(&mut self, now: Instant, actions: &mut Vec<Action>) {
        self.hub.is_closing = true;
        // What was accepted has its fate, and who has sent it hears of that if he may.
        while self.take_in(now, actions) {}
        for place in 0..self.parts.len() {
            let ids = self.parts[place].connections.ids();
            for id in ids {
                self.parts[place].end(now, id, actions);
                self.converse(now, actions);
            }
            self.parts[place].connections.close_down();
            self.converse(now, actions);
        }
        self.hub.shutdown(now);
        self.settle(now, actions);
    }

    /// All connections are lost at once, with whatever was in their buffers, as when the task that has the sockets dies. There is no
    /// [`Action::Close`] for them. What the router has accepted is not lost: it goes elsewhere, as for each session that ends.
    pub fn lose_connections(&mut self, now: Instant, actions: &mut Vec<Action>) {
        for place in 0..self.parts.len() {
            self.parts[place].connections.lose();
            self.converse(now, actions);
        }
    }

    /// Removes an account, ends its streams, and tells its contacts, if any; see [`Router::remove_account`].
    /// [`Action::Removed`] follows.
    pub fn remove_account(&mut self, now: Instant, account: &BareJid, actions: &mut Vec<Action>) {
        self.hub.remove_account(now, account);
        self.settle(now, actions);
    }

    /// Says that the store has given the account another password, or keys, by some other way than through this server. Clients that have
    /// begun to log in before that do not get in; sessions go on.
    pub fn credentials_changed(&mut self, now: Instant, account: &BareJid) {
        let now = self.hub.at(now);
        self.hub.credentials_changed(now, account.clone());
    }

    /// How many connections there are.
    #[must_use]
    pub fn connections(&self) -> usize {
        let abroad = self.hub.federation.as_ref().map_or(0, Federation::streams);
        let clients: usize = self.parts.iter().map(|part| part.connections.len()).sum();
        clients + abroad + self.hub.components.as_ref().map_or(0, Components::streams)
    }

    /// The router, to look at.
    #[must_use]
    pub fn router(&self) -> &Router {
        &self.hub.router
    }

    /// The streams to and from other servers, to look at.
    #[must_use]
    pub fn federation(&self) -> Option<&Federation> {
        self.hub.federation.as_ref()
    }

    /// The configuration that new connections get from now on. Those that stand keep theirs; domains cannot change.
    pub fn configure(&mut self, config: ServerConfig) {
        self.hub.configure(&config);
        for part in &mut self.parts {
            part.connections.configure(config.clone());
        }
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> &ServerConfig {
        self.parts[0].connections.config()
    }

    /// Lets a connection take what it has and `fresh`.
    fn advance(&mut self, now: Instant, id: ConnectionId, mut fresh: &[u8], actions: &mut Vec<Action>) {
        loop {
            let is_direct = self.schedule.is_none();
            let Some(connections) = self.connections_of(id) else { return };
            let has_more = connections.advance(now, id, &mut fresh, actions);
            if has_more && !is_direct {
                connections.leave_for_later(id, &mut fresh);
            }
            self.converse(now, actions);
            if !(has_more && is_direct) {
                return;
            }
        }
    }

    /// Does all that follows from what has happened.
    fn settle(&mut self, now: Instant, actions: &mut Vec<Action>) {
        self.converse(now, actions);
        self.go_on(now, actions);
    }

    /// Goes on with the connections of which more may be taken again.
    fn go_on(&mut self, now: Instant, actions: &mut Vec<Action>) {
        loop {
            // With several parts that is what happens while they converse.
            while self.schedule.is_none()
                && let Some(id) = self.parts[0].connections.next_ready()
            {
                self.advance(now, id, &[], actions);
            }
            if !self.hub.is_closing {
                return;
            }
            self.hub(actions).go_on_closing(now, actions);
            self.converse(now, actions);
            if self.schedule.is_some() || self.parts[0].connections.ready() == 0 {
                return;
            }
        }
    }

    /// Lets connections and the hub tell each other what they have to say, until that is all; if there are several parts, or for a while.
    fn converse(&mut self, now: Instant, actions: &mut Vec<Action>) {
        if self.schedule.is_some() {
            return self.interleave(now, actions);
        }
        let connections = &mut self.parts[0].connections;
        // What is decided already comes first, so that order is kept.
        loop {
            while let Some(down) = self.hub.next_down(now, actions) {
                connections.take(now, down, actions);
            }
            if let Some(up) = connections.next_up() {
                self.hub.up(now, up, actions);
            } else if !self.hub.go_abroad(now, actions) {
                return;
            }
        }
    }

    /// Lets several parts go on, some steps of theirs at a time.
    fn interleave(&mut self, now: Instant, actions: &mut Vec<Action>) {
        // The owner may have had the hub do something.
        self.hub(actions).settle(now, actions);
        let news = self.hub.news();
        self.hub.call(None, news, &mut Vec::new());
        let mut is_first = true;
        loop {
            let hub = &self.hub;
            let steps = |(place, part)| Part::steps(part, hub).map(move |step| (place, step));
            let busy: Vec<(usize, Step)> = self.parts.iter().enumerate().flat_map(steps).collect();
            let Some(random) = self.schedule.as_mut().filter(|_| !busy.is_empty()) else { return };
            let number = random.next_u64();
            if number.is_multiple_of(8) && !is_first {
                return;
            }
            is_first = false;
            let any = usize::try_from(number >> 8).unwrap_or(usize::MAX) % busy.len();
            let (place, step) = busy[any];
            let part = &mut self.parts[place];
            match step {
                Step::Meet => {
                    // A thread says all that it has to say. Others may do so between any two of its words.
                    let most = if number & 8 == 0 { 1 } else { usize::MAX };
                    part.meet(now, &mut self.hub, most, actions, &mut Vec::new());
                }
                Step::Hear => {
                    part.hear(now, actions);
                }
                Step::GoOn => {
                    if let Some(id) = part.connections.next_ready()
                        && part.connections.advance(now, id, &mut &[][..], actions)
                    {
                        part.connections.leave_for_later(id, &mut &[][..]);
                    }
                }
            }
        }
    }

    /// The DNS has answered [`Action::Resolve`]: these records, none if there are none, or why it does not answer, in words.
    pub fn resolved(
        &mut self,
        now: Instant,
        domain: &BareJid,
        records: Result<Vec<Record>, String>,
        actions: &mut Vec<Action>,
    ) {
        if let Some(federation) = &mut self.hub.federation {
            federation.resolved(now, domain, records);
        }
        self.settle(now, actions);
    }

    /// The owner has connected to the target at this place in the list of [`Action::Connect`]. Read from it. Whether the server
    /// still wants the connection; if not, close it.
    pub fn connected(
        &mut self,
        now: Instant,
        id: ConnectionId,
        target: usize,
        actions: &mut Vec<Action>,
    ) -> bool {
        let is_wanted = self.hub.connected(now, id, target);
        self.settle(now, actions);
        is_wanted
    }

    /// None of the targets of [`Action::Connect`] could be connected to.
    pub fn unreachable(
        &mut self,
        now: Instant,
        id: ConnectionId,
        unreachable: &Unreachable,
        actions: &mut Vec<Action>,
    ) {
        self.hub.unreachable(now, id, unreachable);
        self.settle(now, actions);
    }

    /// Sends a message, or presence of a domain, in the name of a domain or an account of this server; see
    /// [`Router::send`](balcony_router::Router::send).
    ///
    /// # Errors
    ///
    /// [`SendError`]; then nothing has been sent.
    pub fn send(&mut self, now: Instant, stanza: Stanza, actions: &mut Vec<Action>) -> Result<(), SendError> {
        let sent = self.hub.send(now, stanza);
        self.settle(now, actions);
        sent
    }

    /// The sessions of one account, in the order in which they have bound.
    #[must_use]
    pub fn sessions_of(&self, now: Instant, account: &BareJid) -> Vec<SessionInfo> {
        self.hub.sessions_of(now, account)
    }

    /// Some sessions of all accounts, at most `limit`: those behind the session `after`, or the first. None is listed twice by calls of
    /// which each goes on behind the last of the one before, and none left out that is there all the time. An empty list is the end.
    #[must_use]
    pub fn sessions(&self, now: Instant, after: Option<SessionId>, limit: usize) -> Vec<SessionInfo> {
        self.hub.sessions(now, after, limit)
    }

    /// Ends a session with this stream error, as far as its client can hear it: it can't be resumed. Its resource becomes unavailable,
    /// and what has not reached it goes elsewhere. `false` if nobody has bound that address.
    pub fn disconnect(
        &mut self,
        now: Instant,
        jid: &FullJid,
        error: StreamError,
        actions: &mut Vec<Action>,
    ) -> bool {
        let is_there = self.hub(actions).disconnect(now, jid, error, actions);
        self.settle(now, actions);
        is_there
    }

    /// Sessions go on that another server has had [kept](crate::Ask::Sessions), and that are not kept any more. `clock` is what time it
    /// is, in milliseconds since the start of 1970 (UTC), by the clock of whoever has kept them. What can't be read is passed over, with
    /// a line for the log. To be called before anybody connects.
    pub fn restore(
        &mut self,
        now: Instant,
        clock: u64,
        sessions: impl IntoIterator<Item = SavedSession>,
        actions: &mut Vec<Action>,
    ) {
        self.hub(actions).restore(now, clock, sessions, actions);
        self.settle(now, actions);
    }
}

/// What a part can do.
#[derive(Clone, Copy)]
enum Step {
    Meet,
    Hear,
    GoOn,
}

impl Part {
    fn steps(&self, hub: &Hub) -> impl Iterator<Item = Step> + use<> {
        let meet = (self.connections.has_up() || hub.is_called(self.number())).then_some(Step::Meet);
        let hear = self.has_words().then_some(Step::Hear);
        let go_on = (self.connections.ready() > 0).then_some(Step::GoOn);
        meet.into_iter().chain(hear).chain(go_on)
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("connections", &self.connections()).finish_non_exhaustive()
    }
}
