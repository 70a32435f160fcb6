//! Many connections of one task: bytes to stanzas and back.
//!
//! It knows streams, deadlines and how fast peers send, and no accounts. What concerns those it says [up](Up), to whoever has the
//! router; what the router decides comes [down](Down). Nothing that the router has accepted is lost with a value of this type.

mod down;
mod up;

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::fmt;
use core::mem;
use core::net::IpAddr;

use balcony_connection::Error;
use balcony_machine::{Instant, On, Progress, Random, Ticket};
use balcony_router::SessionId;
use balcony_stanza::{IqType, Kind, Stanza, StreamCondition, StreamError};
use balcony_stream::server::{ServerAsk, ServerEvent};
use balcony_xml::Workspace;

pub use down::Down;
pub use up::{BindRequest, ResumeRequest, Up, Via};

use crate::action::{Action, ConnectionId, Ended, Notice};
use crate::config::ServerConfig;
use crate::conn::{Attached, Conn, Finish, Rest};
use crate::deadlines::Deadlines;
use crate::link::{Next, SOON};
use crate::slots::Slots;
use crate::transport::{self, Streams, Transport};
use crate::written::Written;

/// Many connections. [`Server`](crate::Server) puts it together with a router.
///
/// 1. **What has happened goes in**: a socket is there, [`accept`](Connections::accept); of its bytes first how many,
///    [`received`](Connections::received), then they themselves, [`advance`](Connections::advance);
///    [`nothing_yet`](Connections::nothing_yet), [`eof`](Connections::eof), [`broken`](Connections::broken) and
///    [`written`](Connections::written), and `advance` without bytes after each; what the router says, [`take`](Connections::take); and [`tick`](Connections::tick) for each connection that is [`due`](Connections::due) at the
///    [`deadline`](Connections::deadline).
/// 2. **What the owner wants**: [`abort`](Connections::abort), [`configure`](Connections::configure),
///    [`close_down`](Connections::close_down) when no more are to come.
/// 3. **What comes of it**: these append [`Action`]s for whoever has the sockets; what is for the router is had from
///    [`next_up`](Connections::next_up), and the connections that wait for that have their turn by [`next_ready`](Connections::next_ready).
/// 4. **Looking**: [`ids`](Connections::ids), [`len`](Connections::len), [`config`](Connections::config).
///
/// The whole loop, with a socket that is a string, and where there is a router a word that nothing is known:
///
/// ```
/// use balcony_machine::{Instant, Secret, Seed};
/// use balcony_server::{Action, Connections, Down, ServerConfig, Transport, Up};
/// use balcony_stream::{TlsPolicy, server::ServerAnswer};
///
/// let mut config = ServerConfig::new(vec!["example.com".parse()?], Secret::new([7; 32]));
/// config.tls = TlsPolicy::None;
/// let mut connections = Connections::new(config, Seed::from_u64(1).random());
/// let (mut now, mut actions) = (Instant::ZERO, Vec::new());
/// let id = connections.accept(now, Transport::Stream, &mut actions);
/// let mut bytes = &b"this is no XML"[..];
/// connections.received(now, id, bytes.len());
/// connections.advance(now, id, &mut bytes, &mut actions);
/// let mut said = Vec::new();
/// while !connections.is_empty() {
///     while let Some(up) = connections.next_up() {
///         if let Up::Ask { connection, ticket, .. } = up {
///             let answer = Box::new(ServerAnswer::Unavailable);
///             connections.take(now, Down::Answer { connection, ticket, answer, number: 0 }, &mut actions);
///         }
///     }
///     while let Some(id) = connections.next_ready() {
///         connections.advance(now, id, &mut &[][..], &mut actions);
///     }
///     for action in std::mem::take(&mut actions) {
///         if let Action::Write(id) = action {
///             let mut output = Vec::new();
///             connections.take_output(id, &mut output);
///             said.extend(output); // to its socket
///             connections.written(id);
///             connections.advance(now, id, &mut &[][..], &mut actions);
///         }
///     }
///     // A program sleeps until then, or until something comes.
///     now = connections.deadline().unwrap_or(now);
///     for id in connections.due(now) {
///         if connections.tick(now, id, &mut actions) {
///             connections.advance(now, id, &mut &[][..], &mut actions);
///         }
///     }
/// }
/// assert!(String::from_utf8(said)?.contains("</stream:error></stream:stream>"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Connections {
    config: ServerConfig,
    streams: Streams,
    conns: Slots<ConnectionId, Conn>,
    deadlines: Deadlines<ConnectionId>,
    random: Random,
    /// No more come, and it is to be said when all of their streams have ended, and when the last one is gone.
    is_closing: bool,
    has_ended: bool,
    is_alone: bool,
    /// How many [finish](Connections::finish).
    finishing: usize,
    /// So many words are gathered before they have to be said up, and before it is worth while to say them.
    most: usize,
    batch: usize,
    /// One of them is a request: what it comes to may be that no more of its session is taken.
    has_request: bool,
    up: VecDeque<Up>,
    /// Connections of which more may be taken again, and some that are gone; and how many are not.
    ready: VecDeque<ConnectionId>,
    turns: usize,
    /// In which one of them reads after the other; and those that keep what they need for that, since they may read again soon.
    workspace: Workspace,
    awake: VecDeque<ConnectionId>,
    /// If somebody wants them: the stanzas that were written into outputs since this was last taken.
    pub(crate) written: Option<Written>,
}

/// So many connections keep what they need for reading: those that have begun last. To lend it costs some instructions.
const AWAKE: usize = 64;

/// A connection that has said so much itself in its turn, such as errors, has had it.
const ANSWERS: usize = 4_096;

/// However long whoever has the router has no time, not more than so many times as many words are gathered as is worth while.
const BATCHES: usize = 4;

impl Connections {
    /// Without any connection.
    #[must_use]
    pub fn new(config: ServerConfig, random: Random) -> Self {
        Connections::of_part(config, random, 0, 1)
    }

    /// One of several, each of which another thread may have. All numbers of its connections [say](ConnectionId::part) that it is this one. It goes
    /// on until so many words are to be said up, or a request.
    #[must_use]
    pub fn of_part(config: ServerConfig, random: Random, part: u8, most: usize) -> Self {
        Connections {
            streams: Streams::new(&config),
            config,
            conns: Slots::of_part(part),
            deadlines: Deadlines::new(),
            random,
            is_closing: false,
            has_ended: false,
            is_alone: false,
            finishing: 0,
            most,
            batch: most,
            has_request: false,
            up: VecDeque::new(),
            ready: VecDeque::new(),
            turns: 0,
            workspace: Workspace::new(),
            awake: VecDeque::new(),
            written: None,
        }
    }

    /// Takes in a new connection, which begins in this way.
    pub fn accept(&mut self, now: Instant, transport: Transport, actions: &mut Vec<Action>) -> ConnectionId {
        let connection = self.streams.connection(transport, self.random.seed(), now);
        let id = self.conns.insert(|_| Conn::new(connection));
        self.tell_if_alone();
        self.settle(now, id, actions);
        id
    }

    /// See [`Server::last_words`](crate::Server::last_words).
    pub fn last_words(&mut self, now: Instant, transport: Transport, error: StreamError) -> Vec<u8> {
        transport::last_words(&self.streams, transport, error, self.random.seed(), now)
    }

    /// See [`Server::came_from`](crate::Server::came_from).
    pub fn came_from(&mut self, id: ConnectionId, address: IpAddr) {
        if let Some(conn) = self.conn(id) {
            conn.origin = Some(address);
        }
    }

    /// So many bytes have come, which [`advance`](Connections::advance) is about to get.
    pub fn received(&mut self, now: Instant, id: ConnectionId, bytes: usize) {
        let rate = self.config.bytes_per_second;
        let Some(conn) = self.conn(id) else { return };
        conn.link.received();
        if let Some(finish) = &mut conn.finish {
            finish.received();
        }
        if let Some(rate) = rate {
            conn.pace.pay(now, bytes, rate);
        }
    }

    /// There is nothing to be read now: the answer to [`Action::ReadNow`]. [`advance`](Connections::advance) next.
    pub fn nothing_yet(&mut self, now: Instant, id: ConnectionId) {
        if let Some(finish) = self.conn(id).and_then(|conn| conn.finish.as_mut()) {
            finish.nothing_yet(now);
        }
    }

    /// The peer has closed its side of the transport. [`advance`](Connections::advance) next.
    pub fn eof(&mut self, id: ConnectionId) {
        if let Some(conn) = self.conn(id) {
            conn.link.eof();
        }
    }

    /// The transport is broken: nothing can be written any more. [`advance`](Connections::advance) next: the connection is forgotten as
    /// soon as what had come before is said up.
    pub fn broken(&mut self, now: Instant, id: ConnectionId, actions: &mut Vec<Action>) {
        let Some(conn) = self.conn(id) else { return };
        conn.link.broken();
        conn.missed = true;
        if !conn.is_bound() && !conn.link.has_ended() {
            self.end_of_input(now, id, actions);
        } else if conn.link.has_ended() {
            self.settle(now, id, actions);
        }
    }

    /// Swaps the bytes to be written into `buffer`, which must be empty.
    pub fn take_output(&mut self, id: ConnectionId, buffer: &mut Vec<u8>) {
        if let Some(conn) = self.conn(id) {
            conn.link.take_output(buffer);
            if !conn.link.connection.has_lost_output() {
                conn.taken = conn.delivered;
            }
        }
    }

    /// Whether the stream of a connection is over: there will be no more output than there is now.
    pub fn is_ending(&self, id: ConnectionId) -> bool {
        self.conns.get(id).is_some_and(|conn| conn.link.has_ended())
    }

    /// What [`take_output`](Connections::take_output) gave has been written. [`advance`](Connections::advance) next: the connection may
    /// have been waiting for room.
    pub fn written(&mut self, id: ConnectionId) {
        // On a connection that is broken nothing is written any more.
        let Some(conn) = self.conns.get_mut(id).filter(|conn| !conn.link.is_broken()) else { return };
        conn.link.written();
        if let Some(attached) = &conn.attached {
            self.up.push_back(Up::Drained { session: attached.session, through: conn.taken });
        }
    }

    /// When to look what is [due](Connections::due).
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.deadlines.first()
    }

    /// The connections for which something is due. [`tick`](Connections::tick) each of them once.
    #[must_use]
    pub fn due(&self, now: Instant) -> Vec<ConnectionId> {
        self.deadlines.due(now)
    }

    /// Closes a connection that has had its time to write the rest. Otherwise `true`: [`advance`](Connections::advance) it.
    pub fn tick(&mut self, now: Instant, id: ConnectionId, actions: &mut Vec<Action>) -> bool {
        let Some(conn) = self.conn(id) else { return false };
        let is_over = conn.link.has_lingered(now);
        if is_over {
            self.forget(id);
            actions.push(Action::Close(id));
        }
        !is_over
    }

    /// All connections, in no particular order.
    #[must_use]
    pub fn ids(&self) -> Vec<ConnectionId> {
        self.conns.iter().map(|(id, _)| id).collect()
    }

    /// Forgets all connections at once, as when their task has died. Their sessions hear of it; nobody else does.
    pub fn lose(&mut self) {
        self.deadlines.clear();
        self.ready.clear();
        (self.turns, self.finishing) = (0, 0);
        let lost: Vec<Conn> = self.conns.drain().collect();
        let attached = || lost.iter().filter_map(|conn| conn.attached);
        let ended = attached().filter(|attached| !attached.is_over);
        self.up.extend(ended.map(|Attached { session, .. }| Up::Ended { session }));
        self.up.extend(attached().map(|Attached { session, .. }| Up::Gone { session }));
        self.tell_if_all_ended();
        self.tell_if_alone();
    }

    /// The server shuts down: all streams have ended, but for those that [finish](Down::Finish). [`Up::AllEnded`] tells when they have as
    /// well, and [`Up::Alone`] when there are no connections any more.
    pub fn close_down(&mut self) {
        self.is_closing = true;
        self.tell_if_all_ended();
        self.tell_if_alone();
    }

    fn tell_if_all_ended(&mut self) {
        if self.is_closing && self.finishing == 0 && !mem::replace(&mut self.has_ended, true) {
            self.up.push_back(Up::AllEnded);
        }
    }

    fn tell_if_alone(&mut self) {
        let is_alone = self.is_closing && self.conns.is_empty();
        if mem::replace(&mut self.is_alone, is_alone) != is_alone {
            self.up.push_back(Up::Alone(is_alone));
        }
    }

    /// Whether there is this connection: something of it is to be written, or to be taken in.
    #[must_use]
    pub fn has(&self, id: ConnectionId) -> bool {
        self.conns.get(id).is_some()
    }

    /// How many connections there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.conns.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.conns.is_empty()
    }

    /// The configuration that new connections get from now on.
    pub fn configure(&mut self, config: ServerConfig) {
        self.streams = Streams::new(&config);
        self.config = config;
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> &ServerConfig {
        &self.config
    }

    /// What is to be said to the router next.
    pub fn next_up(&mut self) -> Option<Up> {
        let up = self.up.pop_front();
        self.has_request &= !self.up.is_empty();
        up
    }

    /// Whether it may [gather more](Connections::gather_more) words: they are not too many yet, and none of them is a request.
    pub(crate) const fn may_gather_more(&self) -> bool {
        !self.has_request && self.most < BATCHES * self.batch
    }

    /// Goes on until there are more words than it was told, since whoever they are for has no time yet.
    pub(crate) const fn gather_more(&mut self) {
        self.most += self.batch;
    }

    /// They are said now: as many as it was told are gathered next.
    pub(crate) const fn gather_anew(&mut self) {
        self.most = self.batch;
    }

    /// The stanzas among the next so many words that are to be said to the router.
    pub(crate) fn next_stanzas(&self, most: usize) -> impl Iterator<Item = (SessionId, &Stanza)> {
        self.up.iter().take(most).filter_map(|up| match up {
            Up::Stanza { session, stanza, .. } => Some((*session, &**stanza)),
            _ => None,
        })
    }

    /// A connection of which more may be taken again: [`advance`](Connections::advance) it.
    pub fn next_ready(&mut self) -> Option<ConnectionId> {
        loop {
            let id = self.ready.pop_front()?;
            if let Some(conn) = self.conns.get_mut(id) {
                conn.is_ready = false;
                self.turns -= 1;
                return Some(id);
            }
        }
    }

    /// How many such connections there are.
    #[must_use]
    pub const fn ready(&self) -> usize {
        self.turns
    }

    /// Whether there is something to be said up.
    #[must_use]
    pub fn has_up(&self) -> bool {
        !self.up.is_empty()
    }

    /// Leaves what has come for when the connection is [ready](Connections::next_ready), which it is at once. What is due for it is done then,
    /// so it has no deadline until then.
    pub fn leave_for_later(&mut self, id: ConnectionId, fresh: &mut &[u8]) {
        if let Some(conn) = self.conns.get_mut(id) {
            conn.link.leave(fresh);
            self.deadlines.arm(&mut conn.armed, None, || id);
            self.list(id);
        }
    }

    /// Has a connection have its turn, once.
    fn list(&mut self, id: ConnectionId) {
        if let Some(conn) = self.conns.get_mut(id)
            && !mem::replace(&mut conn.is_ready, true)
        {
            self.ready.push_back(id);
            self.turns += 1;
        }
    }

    /// Lets a connection take what it was left with before and then `fresh`, until enough is to be said up, or it has answered much itself: then this is
    /// `true`, and it goes on with the next call. When it is `false` all of `fresh` has been taken.
    pub fn advance(
        &mut self,
        now: Instant,
        id: ConnectionId,
        fresh: &mut &[u8],
        actions: &mut Vec<Action>,
    ) -> bool {
        let said = self.conns.get_mut(id).map_or(0, |conn| conn.link.said());
        loop {
            if self.up.len() >= self.most || self.has_request {
                return true;
            }
            let Some(conn) = self.conns.get_mut(id) else { return false };
            if conn.link.has_ended() {
                break;
            }
            if conn.finish.as_ref().is_some_and(|finish| finish.until <= now) {
                let session =
                    conn.attached.filter(|attached| !attached.is_over).map(|attached| attached.session);
                // Who does not read what is said to it has had its time.
                let is_its_own = conn.owes || conn.link.said() >= self.config.limits.output;
                let reads = conn.link.is_broken() || !is_its_own;
                let has_more = conn.finish.as_ref().is_some_and(|finish| finish.has_more());
                let is_cut = reads && (!fresh.is_empty() || conn.link.has_input() || has_more);
                self.up.extend(session.filter(|_| is_cut).map(|session| Up::Cut { session }));
                self.finish_now(now, id, actions);
                return false;
            }
            if !conn.is_awake && (!fresh.is_empty() || conn.link.has_input()) {
                self.wake(id);
                continue;
            }
            if let Some(finish) = &mut conn.finish {
                finish.pass(now);
            }
            conn.ask_for_acks(now);
            if conn.is_held() || conn.pause(now).is_some() {
                // What the peer may have answered is not read.
                conn.link.connection.unread(now);
            }
            let step = if conn.is_held() {
                // The order of its stanzas is kept. Time passes for it all the same.
                conn.link.leave(fresh);
                if conn.owes {
                    conn.hurry(now + self.config.limits.closing.max(SOON));
                }
                if conn.due(now).is_none_or(|at| at > now) {
                    break;
                }
                conn.link.pass(now)
            } else {
                match conn.link.step_some(now, fresh) {
                    // What it answers itself nobody has to be told, but it takes time as well.
                    Ok(None) if conn.link.said() > said.saturating_add(ANSWERS) => return true,
                    Ok(None) => continue,
                    Ok(Some(progress)) => Ok(progress),
                    Err(error) => Err(error),
                }
            };
            let why = match step {
                Ok(Progress::Event(event)) => {
                    self.event(now, id, event, actions);
                    continue;
                }
                // All that was read is taken.
                Ok(Progress::NeedInput) if !conn.is_held() && conn.finish.is_some() => {
                    if conn.has_finished() {
                        self.finish_now(now, id, actions);
                        return false;
                    }
                    if conn.reads_rest(now) {
                        actions.push(Action::ReadNow(id));
                    }
                    break;
                }
                Ok(Progress::Blocked(On::OutputFull)) => {
                    conn.hurry(now + self.config.limits.closing.max(SOON));
                    break;
                }
                Ok(Progress::NeedInput | Progress::Blocked(_)) => break,
                Ok(Progress::Closed) => Ended::Closed,
                Err(error) => Ended::Failed(error),
            };
            self.end(now, id, why, actions);
            return false;
        }
        *fresh = &[];
        self.settle(now, id, actions);
        false
    }

    /// Lends a connection what it needs for reading, and takes that back from the one that has had it for longest, if they are many.
    fn wake(&mut self, id: ConnectionId) {
        if self.awake.len() >= AWAKE
            && let Some(conn) = self.awake.pop_front().and_then(|first| self.conns.get_mut(first))
        {
            conn.is_awake = false;
            conn.link.connection.rest(&mut self.workspace);
        }
        if let Some(conn) = self.conns.get_mut(id) {
            conn.is_awake = true;
            conn.link.connection.wake(&mut self.workspace);
            self.awake.push_back(id);
        }
    }

    /// A stream asks something.
    fn asked(&mut self, id: ConnectionId, ticket: Ticket, ask: Box<ServerAsk>) {
        match *ask {
            ServerAsk::Bind { account, resource, installation, inline, enable } => {
                let (via, proven) = (self.via(id), self.proven(id));
                let request =
                    Box::new(BindRequest { account, resource, installation, inline, enable, proven, via });
                self.up.push_back(Up::Bind { connection: id, ticket, request });
            }
            ServerAsk::Resume { account, previd, h } => {
                let (via, proven) = (self.via(id), self.proven(id));
                let request = Box::new(ResumeRequest { account, previd, h, proven, via });
                self.up.push_back(Up::Resume { connection: id, ticket, request });
            }
            ServerAsk::Enable(enable) => {
                if let Some(session) = self.session(id) {
                    let enable = Box::new(enable);
                    self.up.push_back(Up::Enable { session, connection: id, ticket, enable });
                }
            }
            _ => {
                let via = self.via(id);
                self.up.push_back(Up::Ask { connection: id, ticket, ask, via });
            }
        }
    }

    fn event(&mut self, now: Instant, id: ConnectionId, event: ServerEvent, actions: &mut Vec<Action>) {
        match event {
            ServerEvent::Ask(ticket, ask) => self.asked(id, ticket, ask),
            ServerEvent::Acked(count) => {
                if let Some(session) = self.session(id) {
                    self.up.push_back(Up::Acknowledged { session, count });
                }
            }
            ServerEvent::Resumed { jid, .. } => {
                self.forget_login(id);
                actions.push(Action::Notice(id, Notice::Resumed(jid)));
            }
            // That was said when it was granted.
            ServerEvent::Enabled => {}
            ServerEvent::Stanza(stanza) => {
                let (conns, limits) = (&mut self.conns, &self.config.limits);
                let Some(conn) = conns.get_mut(id) else { return };
                let Some(session) = conn.attached.as_ref().map(|attached| attached.session) else { return };
                self.has_request |= matches!(stanza.head.kind, Kind::Iq(IqType::Get | IqType::Set));
                let bytes = balcony_router::cost(&stanza);
                let number = conn.unhandled.add(bytes, limits);
                self.up.push_back(Up::Stanza { session, number, stanza });
            }
            ServerEvent::Element(element) => {
                if let Some(session) = self.session(id) {
                    self.up.push_back(Up::Element { session, element: Box::new(element) });
                }
            }
            ServerEvent::Authenticated { account, mechanism } => {
                actions.push(Action::Notice(id, Notice::Authenticated { account, mechanism }));
            }
            ServerEvent::AuthenticationFailed { reason, account } => {
                actions.push(Action::Notice(id, Notice::AuthenticationFailed { reason, account }));
            }
            ServerEvent::BindRefused { account, error } => {
                actions.push(Action::Notice(id, Notice::BindRefused { account, error }));
            }
            // A server brings its own certificate, or must not offer TLS.
            ServerEvent::StartTls => {
                let error = Error::Stream(balcony_stream::Error::NoTls);
                self.end(now, id, Ended::Failed(error), actions);
            }
            ServerEvent::Bound(jid) => {
                self.forget_login(id);
                actions.push(Action::Notice(id, Notice::Bound(jid)));
            }
        }
    }

    /// Its client has proven who it is: nothing is bound to TLS any more.
    fn forget_login(&mut self, id: ConnectionId) {
        #[cfg(feature = "tls")]
        if let Some(conn) = self.conns.get_mut(id) {
            conn.link.connection.forget_tls();
        }
        #[cfg(not(feature = "tls"))]
        let _ = id;
    }

    fn proven(&self, id: ConnectionId) -> u64 {
        self.conns.get(id).map_or(0, |conn| conn.proven)
    }

    fn via(&self, id: ConnectionId) -> Via {
        let conn = self.conns.get(id);
        #[cfg(feature = "tls")]
        let is_secured = conn.is_some_and(|conn| conn.link.connection.is_on_tls());
        #[cfg(not(feature = "tls"))]
        let is_secured = false;
        Via { is_secured, address: conn.and_then(|conn| conn.origin) }
    }

    /// Ends a stream with this error.
    pub fn abort(&mut self, now: Instant, id: ConnectionId, error: StreamError, actions: &mut Vec<Action>) {
        let Some(conn) = self.conn(id).filter(|conn| !conn.link.has_ended()) else { return };
        let why = conn.link.abort(now, error);
        self.end(now, id, why, actions);
    }

    /// Ends a stream with this error when all is taken that was read of its client, and the rest of what has come if that is wanted, or at that
    /// time. A client that counts what is acknowledged (XEP-0198) sends the rest again, so its stream ends at once.
    pub(crate) fn finish(
        &mut self,
        now: Instant,
        id: ConnectionId,
        error: StreamError,
        until: Instant,
        wants_rest: bool,
        actions: &mut Vec<Action>,
    ) {
        // What is due now is done before this is said.
        let until = until.max(now + SOON);
        let Some(conn) = self.conns.get_mut(id) else { return };
        let has_more = wants_rest || conn.is_ready || conn.is_held() || conn.link.has_input();
        if !has_more || !conn.is_bound() || conn.acks.is_some() {
            return self.abort(now, id, error, actions);
        }
        if let Some(finish) = &mut conn.finish {
            finish.until = finish.until.min(until);
            if !wants_rest {
                finish.rest = Rest::Nothing;
            }
        } else {
            let rest = if wants_rest { Rest::Unread { had_some: false } } else { Rest::Nothing };
            conn.finish = Some(Box::new(Finish { error, until, rest }));
            self.finishing += 1;
        }
        if wants_rest {
            // Whoever says this may hold more of what was read: it is looked when the connection has its turn.
            self.list(id);
        }
        self.settle(now, id, actions);
    }

    /// There is nothing more to take of one that finishes, or no more time for it.
    fn finish_now(&mut self, now: Instant, id: ConnectionId, actions: &mut Vec<Action>) {
        let error = self.conn(id).and_then(|conn| conn.finish.as_ref()).map(|finish| finish.error.clone());
        if let Some(error) = error {
            self.abort(now, id, error, actions);
        }
    }

    /// All that the peer has sent is dealt with, and no more will come.
    fn end_of_input(&mut self, now: Instant, id: ConnectionId, actions: &mut Vec<Action>) {
        let Some(conn) = self.conn(id).filter(|conn| !conn.link.has_ended()) else { return };
        let why = conn.link.end_of_input(now).err().map_or(Ended::Closed, Ended::Failed);
        self.end(now, id, why, actions);
    }

    /// The stream is over; what is left is to write the rest and close.
    fn end(&mut self, now: Instant, id: ConnectionId, ended: Ended, actions: &mut Vec<Action>) {
        let is_lost = is_lost(&ended);
        self.end_as(now, id, ended, is_lost, actions);
    }

    /// The same. If it `is_lost`, its session waits for its client, where it can.
    fn end_as(
        &mut self,
        now: Instant,
        id: ConnectionId,
        ended: Ended,
        is_lost: bool,
        actions: &mut Vec<Action>,
    ) {
        let closing = self.config.limits.closing;
        let Some(conn) = self.conns.get_mut(id).filter(|conn| !conn.link.has_ended()) else { return };
        let finish = conn.finish.take();
        let has_finished = finish.is_some();
        // Whoever waits for the place of a session which the router has ended meanwhile hears no more of it than that it is gone: that is so in time.
        let is_over = conn.attached.is_some_and(|attached| attached.is_over);
        let left = finish.filter(|_| is_over).map(|finish| finish.until.saturating_since(now));
        conn.link.end(now, ended.clone(), left.map_or(closing, |left| left.min(closing)));
        let attached = conn.attached.as_mut().filter(|attached| !attached.is_over);
        let counts = attached.as_ref().filter(|attached| is_lost && attached.is_resumable);
        match (counts.and_then(|_| conn.link.connection.counts().cloned()), attached) {
            (Some(counts), Some(attached)) => {
                let session = attached.session;
                conn.attached = None;
                actions.push(Action::Notice(id, Notice::Lost(ended)));
                self.up.push_back(Up::Lost { session, counts: Box::new(counts) });
            }
            (_, attached) => {
                actions.push(Action::Notice(id, Notice::Ended(ended)));
                if let Some(attached) = attached {
                    attached.is_over = true;
                    self.up.push_back(Up::Ended { session: attached.session });
                }
            }
        }
        if has_finished {
            self.finishing -= 1;
            self.tell_if_all_ended();
        }
        self.settle(now, id, actions);
    }

    /// Brings the owner and the heap of deadlines up to date about one connection.
    fn settle(&mut self, now: Instant, id: ConnectionId, actions: &mut Vec<Action>) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        // Who sends too fast waits, and everything that it has sent is dealt with meanwhile (RFC 6120 section 13.12).
        let may_read = !conn.is_held() && conn.finish.is_none() && conn.pause(now).is_none();
        match conn.link.settle(may_read) {
            Next::Forget => return self.forget(id),
            Next::Close => {
                self.forget(id);
                return actions.push(Action::Close(id));
            }
            Next::Go { write, read } => {
                actions.extend(write.then_some(Action::Write(id)));
                actions.extend(read.then_some(Action::Read(id)));
            }
        }
        let due = conn.due(now);
        self.deadlines.arm(&mut conn.armed, due, || id);
    }

    /// Forgets a connection: what it has not written goes elsewhere.
    fn forget(&mut self, id: ConnectionId) {
        let Some(mut conn) = self.conns.remove(id) else { return };
        self.turns -= usize::from(conn.is_ready);
        self.deadlines.arm(&mut conn.armed, None, || id);
        if let Some(attached) = conn.attached {
            self.up.push_back(Up::Gone { session: attached.session });
        }
        self.tell_if_alone();
    }

    fn conn(&mut self, id: ConnectionId) -> Option<&mut Conn> {
        self.conns.get_mut(id)
    }
}

/// Whether a stream has ended because its peer could not be reached any more, and may come back.
fn is_lost(ended: &Ended) -> bool {
    match ended {
        Ended::Closed => false,
        Ended::Failed(Error::Stream(error)) => match error {
            balcony_stream::Error::Truncated => true,
            // Either side has heard nothing of the other for too long; or this server is about to be down.
            balcony_stream::Error::Local(error) => matches!(
                error.condition,
                StreamCondition::ConnectionTimeout | StreamCondition::SystemShutdown
            ),
            balcony_stream::Error::Remote(error) => error.condition == StreamCondition::ConnectionTimeout,
            _ => false,
        },
        #[allow(
            unreachable_patterns,
            reason = "there are others with TLS below, which somebody else may have turned on"
        )]
        Ended::Failed(_) => true,
    }
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connections").field("connections", &self.conns.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Each is moved into a queue and out of it, for every stanza.
    #[test]
    fn words_are_short() {
        assert!(size_of::<Up>() <= 56, "{}", size_of::<Up>());
        assert!(size_of::<Down>() <= 56, "{}", size_of::<Down>());
    }
}
