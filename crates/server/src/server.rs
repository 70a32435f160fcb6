use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::fmt;
use core::mem;
use core::net::IpAddr;
use core::time::Duration;

use balcony_connection::Error;
use balcony_jid::BareJid;
use balcony_machine::{Deadline, Instant, On, Progress, Random, Reason, Seed, Ticket};
use balcony_router::{Effect, Router, SessionId};
use balcony_stanza::{ErrorCondition, Kind, Stanza, StanzaError, StreamCondition, StreamError};
use balcony_stream::server::{ServerAnswer, ServerAsk, ServerEvent};
use slab::Slab;

use crate::action::{Action, Answer, Ask, ConnectionId, Ended, Notice};
use crate::asks::{Asker, Asks};
use crate::config::Config;
use crate::conn::Conn;
use crate::registrations::Registrations;
use crate::transport::{self, Streams, Transport};

/// A time that is later than now, and short.
const SOON: Duration = Duration::from_millis(1);

/// Many connections and one router. See the [crate] for how to drive it.
pub struct Server {
    config: Config,
    streams: Streams,
    router: Router,
    conns: Slab<Box<Conn>>,
    /// Distinguishes the connections that have had the same place in the slab.
    generation: u32,
    asks: Asks,
    deadlines: BTreeSet<(Instant, ConnectionId)>,
    random: Random,
    /// Kept for its capacity; empty between calls.
    effects: Vec<Effect>,
    registrations: Registrations,
    /// Connections of which more may be taken again. Empty between calls.
    resumed: Vec<ConnectionId>,
}

impl Server {
    /// A server without connections.
    #[must_use]
    pub fn new(config: Config, seed: Seed) -> Self {
        let mut random = seed.random();
        Server {
            streams: Streams::new(&config),
            router: Router::new(config.router(), &random.seed()),
            config,
            conns: Slab::new(),
            generation: 0,
            asks: Asks::default(),
            deadlines: BTreeSet::new(),
            random,
            effects: Vec::new(),
            registrations: Registrations::default(),
            resumed: Vec::new(),
        }
    }

    /// Takes in a new connection, which begins in this way.
    pub fn accept(&mut self, now: Instant, transport: Transport, actions: &mut Vec<Action>) -> ConnectionId {
        let connection = self.streams.connection(transport, self.random.seed(), now);
        self.generation = self.generation.wrapping_add(1);
        let entry = self.conns.vacant_entry();
        let id = ConnectionId(u64::from(self.generation) << 32 | (entry.key() as u64 & u64::from(u32::MAX)));
        entry.insert(Box::new(Conn::new(id, connection)));
        self.settle(now, id, actions);
        id
    }

    /// What to write to a new connection that is not [taken in](Server::accept), and closed at once: a stream with this error
    /// (RFC 6120 section 4.9.1.2), or its like in HTTP. Empty where it would take a TLS handshake to say anything.
    pub fn last_words(&mut self, now: Instant, transport: Transport, error: StreamError) -> Vec<u8> {
        transport::last_words(&self.streams, transport, error, self.random.seed(), now)
    }

    /// Says where a connection comes from, as far as that is known: so many accounts may be registered from one address (XEP-0077).
    pub fn came_from(&mut self, id: ConnectionId, address: IpAddr) {
        if let Some(conn) = self.conn(id) {
            conn.origin = Some(address);
        }
    }

    /// Bytes have come. Hand in no more before [`Action::Read`]; it comes at once unless the connection is blocked.
    pub fn receive(&mut self, now: Instant, id: ConnectionId, bytes: &[u8], actions: &mut Vec<Action>) {
        let rate = self.config.bytes_per_second;
        let Some(conn) = self.conn(id) else { return };
        conn.unread = true;
        if let Some(rate) = rate {
            conn.pace.pay(now, bytes.len(), rate);
        }
        if conn.input.is_empty() {
            self.advance(now, id, bytes, actions);
        } else {
            conn.input.extend_from_slice(bytes);
            self.advance(now, id, &[], actions);
        }
        self.resume(now, actions);
    }

    /// The peer has closed its side of the transport. The stream ends when all that had come before is dealt with, as far as
    /// the peer reads the answers.
    pub fn eof(&mut self, now: Instant, id: ConnectionId, actions: &mut Vec<Action>) {
        let Some(conn) = self.conn(id) else { return };
        conn.eof = true;
        self.advance(now, id, &[], actions);
        self.resume(now, actions);
    }

    /// The transport is broken: nothing can be written any more. The connection is forgotten without `Close`, as soon as the
    /// stanzas are routed that had come before.
    pub fn broken(&mut self, now: Instant, id: ConnectionId, actions: &mut Vec<Action>) {
        let Some(conn) = self.conn(id) else { return };
        if conn.ended || !conn.bound {
            conn.eof = true;
            self.end_of_input(now, id, actions);
            self.forget(now, id, actions);
            return self.resume(now, actions);
        }
        (conn.eof, conn.broken, conn.missed) = (true, true, true);
        self.advance(now, id, &[], actions);
        self.resume(now, actions);
    }

    /// Swaps the bytes to be written into `buffer`, which must be empty.
    pub fn take_output(&mut self, id: ConnectionId, buffer: &mut Vec<u8>) {
        if let Some(conn) = self.conn(id) {
            // What gathered since `Action::Write` goes along. A TLS failure shows at the next advance, and in what was lost.
            let _ = conn.connection.flush(&mut conn.out);
            mem::swap(buffer, &mut conn.out);
            if !conn.connection.has_lost_output() {
                conn.taken = conn.delivered;
            }
        }
    }

    /// What [`take_output`](Server::take_output) gave has been written.
    pub fn written(&mut self, now: Instant, id: ConnectionId, actions: &mut Vec<Action>) {
        let Some(conn) = self.conn(id) else { return };
        conn.writing = false;
        if conn.was_bound {
            let (taken, owed) = (conn.taken, conn.owes);
            let mut effects = mem::take(&mut self.effects);
            self.router.drained(now, SessionId(id.0), taken, &mut effects);
            self.carry_out(now, effects, actions);
            if owed {
                self.owes(id);
            }
        }
        // The connection may have been waiting for room.
        self.advance(now, id, &[], actions);
        self.resume(now, actions);
    }

    /// An answer has come. One that comes too late changes nothing.
    pub fn answer(&mut self, now: Instant, ticket: Ticket, answer: Answer, actions: &mut Vec<Action>) {
        match (self.asks.close(ticket), answer) {
            (Some(Asker::Stream(id, ticket)), Answer::Stream(answer)) => {
                let Some(conn) = self.conn(id) else { return };
                // Misuse here means that the stream has given up waiting.
                let _ = conn.connection.answer(ticket, answer);
                self.advance(now, id, &[], actions);
            }
            (Some(Asker::Router(ticket)), Answer::Router(answer)) => {
                let mut effects = mem::take(&mut self.effects);
                self.router.answer(now, ticket, answer, &mut effects);
                self.carry_out(now, effects, actions);
            }
            _ => {}
        }
        self.resume(now, actions);
    }

    /// When to call [`tick`](Server::tick).
    #[must_use]
    pub fn deadline(&self) -> Option<Deadline> {
        let conns = self.deadlines.first().map(|(at, _)| Deadline { at: *at, reason: Reason::Idle });
        match (conns, self.router.deadline()) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Does what has become due. After that no [`deadline`](Server::deadline) is `now` or earlier.
    pub fn tick(&mut self, now: Instant, actions: &mut Vec<Action>) {
        // Each connection once, whatever it says then: none of them can keep the others waiting.
        let due = self.deadlines.range(..=(now, ConnectionId(u64::MAX)));
        let due: Vec<ConnectionId> = due.map(|(_, id)| *id).collect();
        for id in due {
            let Some(conn) = self.conn(id) else { continue };
            if conn.linger.is_some_and(|linger| now >= linger) {
                self.forget(now, id, actions);
                actions.push(Action::Close(id));
            } else {
                self.advance(now, id, &[], actions);
            }
        }
        if self.router.deadline().is_some_and(|deadline| now >= deadline.at) {
            let mut effects = mem::take(&mut self.effects);
            self.router.tick(now, &mut effects);
            self.carry_out(now, effects, actions);
        }
        self.resume(now, actions);
    }

    /// Ends every stream with `system-shutdown` (RFC 6120 section 4.9.3.20). `Close` follows for each when its output is
    /// written, or after [`Limits::closing`](balcony_machine::Limits::closing) if the peer does not read.
    pub fn shutdown(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let ids: Vec<_> = self.conns.iter().map(|(_, conn)| conn.id).collect();
        for id in ids {
            self.abort(
                now,
                id,
                StreamError::new(StreamCondition::SystemShutdown, "the server is shutting down"),
                actions,
            );
        }
        self.resume(now, actions);
    }

    /// Removes an account, ends its streams, and tells its contacts, if any; see [`Router::remove_account`].
    /// [`Action::Removed`] follows.
    pub fn remove_account(&mut self, now: Instant, account: &BareJid, actions: &mut Vec<Action>) {
        let mut effects = mem::take(&mut self.effects);
        self.router.remove_account(now, account, &mut effects);
        self.carry_out(now, effects, actions);
        self.resume(now, actions);
    }

    /// How many connections there are.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.conns.len()
    }

    /// The router, to look at.
    #[must_use]
    pub fn router(&self) -> &Router {
        &self.router
    }

    /// The configuration that new connections get from now on. Those that stand keep theirs; domains cannot change.
    pub fn configure(&mut self, config: Config) {
        self.streams = Streams::new(&config);
        self.config = config;
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    fn conn(&mut self, id: ConnectionId) -> Option<&mut Conn> {
        conn_of(&mut self.conns, id)
    }

    /// Lets a connection take what it was left with before and then `fresh`, and does what comes of it.
    fn advance(&mut self, now: Instant, id: ConnectionId, mut fresh: &[u8], actions: &mut Vec<Action>) {
        loop {
            let Some(conn) = self.conn(id) else { return };
            if conn.ended {
                break;
            }
            let result = if conn.is_held() {
                // The order of its stanzas is kept. Time passes for it all the same.
                conn.input.extend_from_slice(mem::take(&mut fresh));
                if conn.due(now).is_none_or(|at| at > now) {
                    break;
                }
                conn.connection.tick(now, &mut conn.out)
            } else if conn.input.is_empty() {
                conn.connection.advance(now, &mut fresh, &mut conn.out)
            } else {
                conn.input.extend_from_slice(mem::take(&mut fresh));
                let mut input = conn.input.as_slice();
                let result = conn.connection.advance(now, &mut input, &mut conn.out);
                let taken = conn.input.len() - input.len();
                conn.input.drain(..taken);
                result
            };
            match result {
                Ok(Progress::Event(event)) => self.event(now, id, event, actions),
                // What is written to nobody takes no room.
                Ok(Progress::Blocked(On::OutputFull)) if conn.broken && !conn.out.is_empty() => {
                    conn.out.clear();
                }
                Ok(progress @ (Progress::NeedInput | Progress::Blocked(_))) => {
                    conn.input.extend_from_slice(fresh);
                    let waits = matches!(progress, Progress::Blocked(On::Answer | On::OutputFull));
                    if conn.eof && !conn.is_held() && !waits {
                        return self.end_of_input(now, id, actions);
                    }
                    break;
                }
                Ok(Progress::Closed) => {
                    self.end(now, id, Ended::Closed, actions);
                    return;
                }
                Err(error) => {
                    self.end(now, id, Ended::Failed(error), actions);
                    return;
                }
            }
        }
        self.settle(now, id, actions);
    }

    /// All that the peer has sent is dealt with, and no more will come.
    fn end_of_input(&mut self, now: Instant, id: ConnectionId, actions: &mut Vec<Action>) {
        let Some(conn) = self.conn(id).filter(|conn| !conn.ended) else { return };
        let ended = match conn.connection.eof(now, &mut conn.out) {
            Ok(_) => Ended::Closed,
            Err(error) => Ended::Failed(error),
        };
        self.end(now, id, ended, actions);
    }

    fn event(&mut self, now: Instant, id: ConnectionId, event: ServerEvent, actions: &mut Vec<Action>) {
        match event {
            ServerEvent::Ask(ticket, ServerAsk::Bind { account, resource, inline }) => {
                let mut effects = mem::take(&mut self.effects);
                let session = SessionId(id.0);
                let bound = self.router.bind(now, session, &account, resource.as_deref(), &mut effects);
                let accepted = bound.is_ok();
                if let Some(inline) = inline.filter(|_| accepted) {
                    self.router.bind_inline(session, inline.root(), &mut effects);
                }
                if let Some(conn) = self.conn(id) {
                    (conn.bound, conn.was_bound) = (accepted, conn.was_bound || accepted);
                    // The ask was opened just now, and nobody else answers it.
                    let _ = conn.connection.answer(ticket, ServerAnswer::Bound(bound));
                }
                self.carry_out(now, effects, actions);
            }
            ServerEvent::Ask(ticket, ServerAsk::Register { .. }) if !self.may_register(now, id) => {
                let error = StanzaError::new(
                    ErrorCondition::ResourceConstraint,
                    "too many accounts have been registered lately: try again later",
                );
                if let Some(conn) = self.conn(id) {
                    // The ask was opened just now, and nobody else answers it.
                    let _ = conn.connection.answer(ticket, ServerAnswer::Registered(Err(error)));
                }
            }
            ServerEvent::Ask(ticket, ask) => {
                let ticket = self.asks.open(Asker::Stream(id, ticket));
                actions.push(Action::Ask(ticket, Ask::Stream(ask)));
            }
            ServerEvent::Stanza(stanza) => self.route(now, id, *stanza, actions),
            ServerEvent::Authenticated { account, mechanism } => {
                actions.push(Action::Notice(id, Notice::Authenticated { account, mechanism }));
            }
            ServerEvent::AuthenticationFailed { reason } => {
                actions.push(Action::Notice(id, Notice::AuthenticationFailed { reason }));
            }
            // A server brings its own certificate, or must not offer TLS.
            ServerEvent::StartTls => {
                let error = Error::Stream(balcony_stream::Error::NoTls);
                self.end(now, id, Ended::Failed(error), actions);
            }
            ServerEvent::Bound(jid) => actions.push(Action::Notice(id, Notice::Bound(jid))),
        }
    }

    /// Whether one more account may be registered from where this connection comes from.
    fn may_register(&mut self, now: Instant, id: ConnectionId) -> bool {
        let origin = self.conn(id).and_then(|conn| conn.origin);
        self.registrations.take(now, origin)
    }

    fn route(&mut self, now: Instant, id: ConnectionId, stanza: Stanza, actions: &mut Vec<Action>) {
        let mut effects = mem::take(&mut self.effects);
        let bytes = balcony_router::cost(&stanza);
        let is_request = matches!(stanza.head.kind, Kind::Iq(_));
        let is_handled = self.router.route(now, SessionId(id.0), stanza, &mut effects);
        let (conns, limits) = (&mut self.conns, &self.config.limits);
        if let Some(conn) = conn_of(conns, id).filter(|_| !is_handled) {
            conn.unhandled.add(bytes, limits);
        }
        self.carry_out(now, effects, actions);
        if is_request {
            self.owes(id);
        }
    }

    /// Who does not read the answers to what it asks for is not listened to until it does.
    fn owes(&mut self, id: ConnectionId) {
        let owes = self.router.answers_waiting(SessionId(id.0)) > self.config.limits.window_bytes;
        let Some(conn) = self.conn(id) else { return };
        if mem::replace(&mut conn.owes, owes) && !owes {
            self.resumed.push(id);
        }
    }

    /// A stanza that waited is handled.
    fn handled(&mut self, id: ConnectionId, bytes: usize) {
        let (conns, limits) = (&mut self.conns, &self.config.limits);
        if conn_of(conns, id).is_some_and(|conn| conn.unhandled.handled(bytes, limits)) {
            self.resumed.push(id);
        }
    }

    /// Goes on with the connections of which more may be taken again.
    fn resume(&mut self, now: Instant, actions: &mut Vec<Action>) {
        while !self.resumed.is_empty() {
            for id in mem::take(&mut self.resumed) {
                self.advance(now, id, &[], actions);
            }
        }
    }

    /// Does what the router has decided. What it decides in turn comes behind, so that order is kept.
    fn carry_out(&mut self, now: Instant, mut effects: Vec<Effect>, actions: &mut Vec<Action>) {
        let mut next = 0;
        while next < effects.len() {
            let placeholder = Effect::Close { session: SessionId(u64::MAX), error: StreamCondition::Reset };
            match mem::replace(&mut effects[next], placeholder) {
                Effect::Deliver { session, stanza } => self.deliver(session, &stanza, actions),
                Effect::Close { session, error } => {
                    let id = ConnectionId(session.0);
                    if let Some(conn) = self.conn(id) {
                        // The router has forgotten this session already.
                        conn.bound = false;
                        self.abort(now, id, error.into(), actions);
                    }
                }
                Effect::Ask { ticket, ask } => {
                    let ticket = self.asks.open(Asker::Router(ticket));
                    actions.push(Action::Ask(ticket, Ask::Router(ask)));
                }
                Effect::Removed { account, removal } => actions.push(Action::Removed(account, removal)),
                Effect::Remote { stanza, is_told } => {
                    let condition = ErrorCondition::RemoteServerNotFound;
                    self.router.undeliverable(&stanza, condition, is_told, &mut effects);
                }
                Effect::Handled { session, bytes } => self.handled(ConnectionId(session.0), bytes),
            }
            next += 1;
        }
        effects.clear();
        self.effects = effects;
    }

    /// Writes a stanza. The router gives a connection no more at once than its credit.
    fn deliver(&mut self, session: SessionId, stanza: &Stanza, actions: &mut Vec<Action>) {
        let id = ConnectionId(session.0);
        let Some(conn) = self.conn(id).filter(|conn| !conn.missed) else { return };
        // The only misuse there is: the stream has been closed a moment ago, and the router is about to hear of it.
        if conn.connection.send(stanza).is_err() {
            conn.missed = true;
            return;
        }
        conn.delivered += 1;
        if !conn.writing {
            conn.writing = true;
            actions.push(Action::Write(id));
        }
    }

    fn abort(&mut self, now: Instant, id: ConnectionId, error: StreamError, actions: &mut Vec<Action>) {
        let Some(conn) = self.conn(id) else { return };
        if conn.ended {
            return;
        }
        conn.connection.abort(error.clone());
        // This encrypts its last words, closes TLS and returns the same error.
        let ended = match conn.connection.tick(now, &mut conn.out) {
            Err(error) => error,
            Ok(_) => Error::Stream(balcony_stream::Error::Local(error)),
        };
        self.end(now, id, Ended::Failed(ended), actions);
    }

    /// The stream is over; what is left is to write the rest and close.
    fn end(&mut self, now: Instant, id: ConnectionId, ended: Ended, actions: &mut Vec<Action>) {
        let linger = now + self.config.limits.closing.max(SOON);
        let Some(conn) = self.conn(id) else { return };
        if conn.ended {
            return;
        }
        conn.ended = true;
        conn.linger = Some(linger);
        conn.input = Vec::new();
        let bound = mem::take(&mut conn.bound);
        actions.push(Action::Notice(id, Notice::Ended(ended)));
        if bound {
            let mut effects = Vec::new();
            self.router.unbind(now, SessionId(id.0), &mut effects);
            self.carry_out(now, effects, actions);
        }
        self.settle(now, id, actions);
    }

    /// Brings the owner and the heap of deadlines up to date about one connection.
    fn settle(&mut self, now: Instant, id: ConnectionId, actions: &mut Vec<Action>) {
        let Some(conn) = self.conn(id) else { return };
        if conn.broken {
            // There is nobody to write to, nor to read from.
            let _ = conn.connection.flush(&mut conn.out);
            conn.out = Vec::new();
            (conn.writing, conn.unread) = (false, false);
            if conn.ended {
                return self.forget(now, id, actions);
            }
        }
        if !conn.writing && (!conn.out.is_empty() || conn.connection.pending() > 0) {
            conn.writing = true;
            actions.push(Action::Write(id));
        }
        if conn.ended && !conn.writing {
            self.forget(now, id, actions);
            actions.push(Action::Close(id));
            return;
        }
        // Who sends too fast waits, and everything that it has sent is dealt with meanwhile (RFC 6120 section 13.12).
        let is_read = conn.input.is_empty() && !conn.is_held() && conn.pause(now).is_none();
        if conn.unread && !conn.ended && is_read {
            conn.unread = false;
            // An idle connection keeps no buffer.
            conn.input = Vec::new();
            actions.push(Action::Read(id));
        }
        let due = conn.due(now);
        let old = mem::replace(&mut conn.deadline, due);
        if old != due {
            if let Some(old) = old {
                self.deadlines.remove(&(old, id));
            }
            if let Some(due) = due {
                self.deadlines.insert((due, id));
            }
        }
    }

    /// Forgets a connection: what it has not written goes elsewhere.
    fn forget(&mut self, now: Instant, id: ConnectionId, actions: &mut Vec<Action>) {
        let Some(conn) = self.conn(id) else { return };
        let (deadline, was_bound) = (conn.deadline, conn.was_bound);
        if let Some(at) = deadline {
            self.deadlines.remove(&(at, id));
        }
        self.conns.remove((id.0 & u64::from(u32::MAX)) as usize);
        if was_bound {
            let mut effects = mem::take(&mut self.effects);
            self.router.gone(now, SessionId(id.0), &mut effects);
            self.carry_out(now, effects, actions);
        }
    }
}

fn conn_of(conns: &mut Slab<Box<Conn>>, id: ConnectionId) -> Option<&mut Conn> {
    let key = (id.0 & u64::from(u32::MAX)) as usize;
    conns.get_mut(key).map(Box::as_mut).filter(|conn| conn.id == id)
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("connections", &self.conns.len()).finish_non_exhaustive()
    }
}
