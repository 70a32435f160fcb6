//! A whole server as one value: many connections and one router, and what these say to each other.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::mem;
use core::net::IpAddr;
use core::time::Duration;

use balcony_jid::{BareJid, FullJid};
use balcony_machine::{Deadline, Instant, Random, Reason, Seed, Ticket};
use balcony_router::{Effect, Router, SessionId};
use balcony_stanza::{StreamCondition, StreamError};
use balcony_xep::sm::{Enable, Enabled, Resumable};

use crate::abroad::{Place, What};
use crate::action::{Action, Answer, Ask, ConnectionId};
use crate::asks::{Asker, Asks};
use crate::components::Components;
use crate::config::ServerConfig;
use crate::connections::{Connections, Up};
use crate::federation::Federation;
use crate::journal::one_line;
use crate::owing::Owing;
use crate::saved::Saving;
use crate::sessions::{Back, Sessions};
use crate::transport::Transport;

/// Many connections and one router. See the [crate] for how to drive it.
pub struct Server {
    pub(crate) connections: Connections,
    pub(crate) router: Router,
    /// The streams to and from other servers.
    pub(crate) federation: Option<Federation>,
    pub(crate) components: Option<Components>,
    /// It is shutting down.
    pub(crate) is_closing: bool,
    pub(crate) saving: Saving,
    pub(crate) owing: Owing,
    pub(crate) sessions: Sessions,
    pub(crate) asks: Asks,
    random: Random,
    /// What the router has decided. Empty between calls.
    pub(crate) effects: Vec<Effect>,
    /// Kept for its capacity; empty.
    spare: Vec<Effect>,
}

impl Server {
    /// A server without connections.
    #[must_use]
    pub fn new(config: ServerConfig, seed: Seed) -> Self {
        let mut random = seed.random();
        Server {
            router: Router::new(config.router(), &random.seed()),
            federation: config.federation.clone().map(|config| Federation::new(config, &random.seed())),
            components: config.components.clone().map(|config| Components::new(config, &random.seed())),
            connections: Connections::new(config, random.seed().random()),
            is_closing: false,
            saving: Saving::default(),
            owing: Owing::default(),
            sessions: Sessions::default(),
            asks: Asks::default(),
            random,
            effects: Vec::new(),
            spare: Vec::new(),
        }
    }

    /// Takes in a new connection, which begins in this way.
    ///
    /// One of another server is accepted with [`accept_server`](Server::accept_server).
    pub fn accept(&mut self, now: Instant, transport: Transport, actions: &mut Vec<Action>) -> ConnectionId {
        self.connections.accept(now, transport, actions)
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
        let id = match (transport, &mut self.federation, &mut self.components) {
            (Transport::Component, _, Some(components)) => Place::Component(components.accept(now, address)),
            (Transport::Server | Transport::ServerDirectTls, Some(federation), _) => {
                let direct_tls = transport == Transport::ServerDirectTls;
                Place::Abroad(federation.accept(now, direct_tls, address))
            }
            _ => return self.accept(now, transport, actions),
        };
        self.converse(now, actions);
        self.go_on(now, actions);
        id.name()
    }

    /// What to write to a new connection that is not [taken in](Server::accept), and closed at once: a stream with this error
    /// (RFC 6120 section 4.9.1.2), or its like in HTTP. Empty where it would take a TLS handshake to say anything.
    pub fn last_words(&mut self, now: Instant, transport: Transport, error: StreamError) -> Vec<u8> {
        match (&mut self.federation, transport) {
            (Some(federation), Transport::Server | Transport::ServerDirectTls) => {
                federation.last_words(now, transport == Transport::ServerDirectTls, error)
            }
            _ => self.connections.last_words(now, transport, error),
        }
    }

    /// Says where a connection comes from, as far as that is known: so many accounts may be registered from one address (XEP-0077).
    pub fn came_from(&mut self, id: ConnectionId, address: IpAddr) {
        self.connections.came_from(id, address);
    }

    /// Bytes have come. Hand in no more before [`Action::Read`]; it comes at once unless the connection is blocked.
    pub fn receive(&mut self, now: Instant, id: ConnectionId, bytes: &[u8], actions: &mut Vec<Action>) {
        if let Some(place) = Place::of(id) {
            return self.elsewhere(now, place, What::Received(bytes), actions);
        }
        self.connections.received(now, id, bytes.len());
        self.advance(now, id, bytes, actions);
        self.go_on(now, actions);
    }

    /// The peer has closed its side of the transport. The stream ends when all that had come before is dealt with, as far as
    /// the peer reads the answers.
    pub fn eof(&mut self, now: Instant, id: ConnectionId, actions: &mut Vec<Action>) {
        if let Some(place) = Place::of(id) {
            return self.elsewhere(now, place, What::Eof, actions);
        }
        self.connections.eof(id);
        self.advance(now, id, &[], actions);
        self.go_on(now, actions);
    }

    /// The transport is broken: nothing can be written any more. The connection is forgotten without `Close`, as soon as the
    /// stanzas are routed that had come before.
    pub fn broken(&mut self, now: Instant, id: ConnectionId, actions: &mut Vec<Action>) {
        if let Some(place) = Place::of(id) {
            return self.elsewhere(now, place, What::Broken, actions);
        }
        self.connections.broken(now, id, actions);
        self.advance(now, id, &[], actions);
        self.go_on(now, actions);
    }

    /// Swaps the bytes to be written into `buffer`, which must be empty.
    pub fn take_output(&mut self, id: ConnectionId, buffer: &mut Vec<u8>) {
        match (Place::of(id), &mut self.federation, &mut self.components) {
            (Some(Place::Abroad(id)), Some(federation), _) => federation.take_output(id, buffer),
            (Some(Place::Component(id)), _, Some(components)) => components.take_output(id, buffer),
            _ => self.connections.take_output(id, buffer),
        }
    }

    /// What [`take_output`](Server::take_output) gave has been written.
    pub fn written(&mut self, now: Instant, id: ConnectionId, actions: &mut Vec<Action>) {
        if let Some(place) = Place::of(id) {
            return self.elsewhere(now, place, What::Written, actions);
        }
        self.connections.written(id);
        self.converse(now, actions);
        self.advance(now, id, &[], actions);
        self.go_on(now, actions);
    }

    /// An answer has come. One that comes too late changes nothing.
    pub fn answer(&mut self, now: Instant, ticket: Ticket, answer: Answer, actions: &mut Vec<Action>) {
        match (self.asks.close(ticket), answer) {
            (Some(Asker::Stream(id, ticket)), Answer::Stream(answer)) => {
                self.connections.answer(id, ticket, answer);
                self.advance(now, id, &[], actions);
            }
            (Some(Asker::Router(ticket)), Answer::Router(answer)) => {
                self.router.answer(now, ticket, answer, &mut self.effects);
                self.converse(now, actions);
            }
            (Some(Asker::Saving), answer) => {
                self.saved(matches!(answer, Answer::Sessions(true)), actions);
            }
            (Some(Asker::Owing), answer) => {
                let holders = if let Answer::Holders(holders) = answer { holders } else { None };
                self.owe(now, holders, actions);
            }
            _ => {}
        }
        self.go_on(now, actions);
    }

    /// When to call [`tick`](Server::tick).
    #[must_use]
    pub fn deadline(&self) -> Option<Deadline> {
        let abroad = self.federation.as_ref().and_then(Federation::deadline);
        let components = self.components.as_ref().and_then(Components::deadline);
        let streams = self.connections.deadline().into_iter().chain(abroad).chain(components).min();
        let streams = streams.map(|at| Deadline { at, reason: Reason::Idle });
        let owing = self.owing_due().map(|at| Deadline { at, reason: Reason::Answer });
        streams.into_iter().chain(owing).chain(self.router.deadline()).min()
    }

    /// Does what has become due. After that no [`deadline`](Server::deadline) is `now` or earlier.
    pub fn tick(&mut self, now: Instant, actions: &mut Vec<Action>) {
        // Each connection once, whatever it says then: none of them can keep the others waiting.
        for id in self.connections.due(now) {
            if self.connections.tick(now, id, actions) {
                self.advance(now, id, &[], actions);
            } else {
                self.converse(now, actions);
            }
        }
        self.look_for_owing(now, actions);
        if self.router.deadline().is_some_and(|deadline| now >= deadline.at) {
            self.router.tick(now, &mut self.effects);
            self.converse(now, actions);
        }
        if let Some(components) = &mut self.components {
            components.tick(now);
        }
        self.abroad(now, actions, |federation| federation.tick(now));
    }

    /// Gives some of what strangers have sent to its recipients: see [`Router::take_in`]. Call it when all actions are done, until it is
    /// `false`, and with everything else that happens in between; what nobody asks for comes with [`tick`](Server::tick), a
    /// millisecond later.
    pub fn take_in(&mut self, now: Instant, actions: &mut Vec<Action>) -> bool {
        if self.router.has_parked() {
            self.router.take_in(now, &mut self.effects);
            self.converse(now, actions);
            self.go_on(now, actions);
        }
        self.router.has_parked()
    }

    /// Ends every stream with `system-shutdown` (RFC 6120 section 4.9.3.20). Sessions that can be resumed wait for their clients all the
    /// same (XEP-0198), and are [kept](Ask::Sessions) at last, if [`ServerConfig::keep_sessions`] says so; otherwise they end. `Close` follows for each when its output is
    /// written, or after [`Limits::closing`](balcony_machine::Limits::closing) if the peer does not read.
    pub fn shutdown(&mut self, now: Instant, actions: &mut Vec<Action>) {
        self.is_closing = true;
        // What was accepted has its fate, and who has sent it hears of that if he may.
        while self.take_in(now, actions) {}
        for id in self.connections.ids() {
            let error = StreamError::new(StreamCondition::SystemShutdown, "the server is shutting down");
            self.connections.abort(now, id, error, actions);
            self.converse(now, actions);
        }
        if !self.config().keep_sessions {
            self.saving = Saving::Done;
            for session in self.sessions.all_waiting() {
                self.end_waiting(now, session, actions);
            }
        }
        if let Some(components) = &mut self.components {
            components.shutdown(now);
        }
        self.abroad(now, actions, |federation| federation.shutdown(now));
    }

    /// All connections are lost at once, with whatever was in their buffers, as when the task that has the sockets dies. There is no
    /// [`Action::Close`] for them. What the router has accepted is not lost: it goes elsewhere, as for each session that ends.
    pub fn lose_connections(&mut self, now: Instant, actions: &mut Vec<Action>) {
        self.connections.lose();
        self.converse(now, actions);
    }

    /// Removes an account, ends its streams, and tells its contacts, if any; see [`Router::remove_account`].
    /// [`Action::Removed`] follows.
    pub fn remove_account(&mut self, now: Instant, account: &BareJid, actions: &mut Vec<Action>) {
        self.router.remove_account(now, account, &mut self.effects);
        self.converse(now, actions);
        self.go_on(now, actions);
    }

    /// How many connections there are.
    #[must_use]
    pub fn connections(&self) -> usize {
        let abroad = self.federation.as_ref().map_or(0, Federation::streams);
        self.connections.len() + abroad + self.components.as_ref().map_or(0, Components::streams)
    }

    /// The router, to look at.
    #[must_use]
    pub fn router(&self) -> &Router {
        &self.router
    }

    /// The streams to and from other servers, to look at.
    #[must_use]
    pub fn federation(&self) -> Option<&Federation> {
        self.federation.as_ref()
    }

    /// The configuration that new connections get from now on. Those that stand keep theirs; domains cannot change.
    pub fn configure(&mut self, config: ServerConfig) {
        if let (Some(federation), Some(config)) = (&mut self.federation, &config.federation) {
            federation.configure(config.clone());
        }
        self.connections.configure(config);
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> &ServerConfig {
        self.connections.config()
    }

    /// Lets a connection take what it has and `fresh`.
    fn advance(&mut self, now: Instant, id: ConnectionId, mut fresh: &[u8], actions: &mut Vec<Action>) {
        loop {
            let has_more = self.connections.advance(now, id, &mut fresh, actions);
            self.converse(now, actions);
            if !has_more {
                return;
            }
        }
    }

    /// Goes on with the connections of which more may be taken again.
    pub(crate) fn go_on(&mut self, now: Instant, actions: &mut Vec<Action>) {
        while let Some(id) = self.connections.next_ready() {
            self.advance(now, id, &[], actions);
        }
        // What other servers are told of those who have gone may have waited for the store.
        if self.is_closing
            && self.router.counts().asks == 0
            && !self.router.has_parked()
            && let Some(federation) = &mut self.federation
        {
            federation.close(now);
            self.converse(now, actions);
        }
        self.save_when_settled(now, actions);
    }

    /// Lets connections and router tell each other what they have to say, until that is all. What the router has decided already comes
    /// first, so that order is kept.
    pub(crate) fn converse(&mut self, now: Instant, actions: &mut Vec<Action>) {
        loop {
            if !self.effects.is_empty() {
                let mut effects = mem::replace(&mut self.effects, mem::take(&mut self.spare));
                for effect in effects.drain(..) {
                    self.down(now, effect, actions);
                }
                self.spare = effects;
            } else if let Some(up) = self.connections.next_up() {
                self.up(now, up, actions);
            } else if let Some(event) = self.federation.as_mut().and_then(Federation::next) {
                if !self.is_impostor(&event) {
                    self.act_abroad(now, event, Place::Abroad, actions);
                }
            } else if let Some(event) = self.components.as_mut().and_then(Components::next) {
                self.act_abroad(now, event, Place::Component, actions);
            } else {
                return;
            }
        }
    }

    fn up(&mut self, now: Instant, up: Up, actions: &mut Vec<Action>) {
        let effects = &mut self.effects;
        match up {
            Up::Bind { connection, ticket, account, resource, inline, enable } => {
                let session = self.sessions.begin(connection);
                let bound = self.router.bind(now, session, &account, resource.as_deref(), effects);
                match &bound {
                    Ok(_) => {
                        if let Some(inline) = inline {
                            self.router.bind_inline(session, inline.root(), effects);
                        }
                    }
                    Err(_) => {
                        self.sessions.end(session);
                    }
                }
                let bound = bound.map(|jid| (jid, enable.map(|enable| self.manage(session, enable))));
                self.connections.bound(now, connection, ticket, session, bound, actions);
            }
            Up::Enable { session, connection, ticket, enable } => {
                let enabled = self.manage(session, enable);
                self.connections.enabled(connection, ticket, enabled);
            }
            Up::Resume { connection, ticket, account, previd, h } => {
                self.resume(now, &account, &previd, Back { connection, ticket, h }, actions);
            }
            Up::Acknowledged { session, count } => self.router.acknowledged(now, session, count, effects),
            Up::Lost { session, counts } => {
                let jid =
                    self.router.jid(session).cloned().filter(|_| self.router.detach(now, session, effects));
                match jid {
                    Some(jid) => self.sessions.lose(session, jid, counts),
                    None => {
                        self.router.unbind(now, session, effects);
                        self.router.gone(now, session, effects);
                        self.sessions.end(session);
                    }
                }
            }
            Up::Stanza { session, number, stanza } => {
                if self.router.route(now, session, *stanza, effects)
                    && let Some(id) = self.sessions.connection(session)
                {
                    self.connections.handled(id, number);
                }
            }
            Up::Element { session, element } => self.router.element(now, session, element.root(), effects),
            Up::Drained { session, through } => self.router.drained(now, session, through, effects),
            Up::Ended { session } => self.router.unbind(now, session, effects),
            Up::Gone { session } => {
                self.sessions.end(session);
                self.router.gone(now, session, effects);
            }
            Up::Ask { connection, ticket, ask } => {
                let ticket = self.asks.open(Asker::Stream(connection, ticket));
                actions.push(Action::Ask(ticket, Ask::Stream(ask)));
            }
        }
    }

    /// From now on a session acknowledges what it gets. What its client is told.
    fn manage(&mut self, session: SessionId, enable: Enable) -> Enabled<'static> {
        let most = self.connections.config().limits.resumption;
        let wanted = || enable.max.map_or(most, |seconds| most.min(Duration::from_secs(seconds.into())));
        let wait = if enable.resume { wanted() } else { Duration::ZERO };
        let is_resumable = self.router.manage(session, wait, &self.effects) && wait > Duration::ZERO;
        let resumable = is_resumable.then(|| Resumable {
            id: self.sessions.name(session, &mut self.random).into(),
            max: u32::try_from(wait.as_secs()).ok(),
            location: None,
        });
        Enabled { resumable }
    }

    /// A client wants its session back (XEP-0198 section 5).
    fn resume(
        &mut self,
        now: Instant,
        account: &BareJid,
        previd: &str,
        back: Back,
        actions: &mut Vec<Action>,
    ) {
        let Back { connection, ticket, h } = back;
        let own = |jid: &&FullJid| jid.bare_str() == account.as_str();
        let found = self.sessions.named(previd).and_then(|session| {
            let jid = self.router.jid(session).filter(own)?;
            Some((session, jid.clone()))
        });
        let Some((session, jid)) = found else { return self.connections.not_resumed(connection, ticket) };
        // Its old connection is not known to be dead yet.
        if let Some(old) = self.sessions.connection(session)
            && let Some(counts) = self.connections.leave(now, old, actions)
            && self.router.detach(now, session, &mut self.effects)
        {
            self.sessions.lose(session, jid.clone(), counts);
        }
        let Some(waiting) = self.sessions.waiting(session) else {
            return self.connections.not_resumed(connection, ticket);
        };
        let Some(count) = waiting.counts.acknowledged_by(h) else {
            let counts = waiting.counts.clone();
            return self.connections.too_much(connection, ticket, jid, counts);
        };
        // Who has come back twice gets it where it came last.
        if let Some(before) = waiting.back.replace(back) {
            self.connections.not_resumed(before.connection, before.ticket);
        }
        if !self.router.resume(now, session, account, count, &mut self.effects) {
            if let Some(waiting) = self.sessions.waiting(session) {
                waiting.back = None;
            }
            self.connections.not_resumed(connection, ticket);
        }
    }

    /// The router has all that a session has sent before, and goes on with it.
    fn resumed(
        &mut self,
        now: Instant,
        session: SessionId,
        jid: FullJid,
        received: u64,
        actions: &mut Vec<Action>,
    ) {
        let Some(waiting) = self.sessions.waiting(session) else { return };
        let Some(Back { connection, ticket, h }) = waiting.back.take() else { return };
        // All of it.
        waiting.counts.handled(u32::MAX);
        let counts = waiting.counts.clone();
        waiting.counts = counts.resumed(h);
        if self.connections.resumed(now, connection, ticket, session, jid, received, counts, actions) {
            self.sessions.attach(session, connection);
        } else {
            // Its client has gone again.
            self.router.detach(now, session, &mut self.effects);
        }
    }

    /// Does what the router has decided.
    fn down(&mut self, now: Instant, effect: Effect, actions: &mut Vec<Action>) {
        match effect {
            Effect::Deliver { session, stanza } => {
                if let Some(id) = self.sessions.connection(session) {
                    self.connections.deliver(now, id, &stanza, actions);
                }
            }
            Effect::Handled { session, number } => {
                if let Some(id) = self.sessions.connection(session) {
                    self.connections.handled(id, number);
                }
            }
            Effect::Hold { session, is_held } => {
                if let Some(id) = self.sessions.connection(session) {
                    self.connections.hold(id, is_held);
                }
            }
            Effect::Close { session, error } => {
                if let Some(id) = self.sessions.connection(session) {
                    self.connections.close(now, id, error.into(), actions);
                } else {
                    self.abandon(session, actions);
                }
            }
            Effect::Ask { ticket, ask } => {
                let ticket = self.asks.open(Asker::Router(ticket));
                actions.push(Action::Ask(ticket, Ask::Router(ask)));
            }
            Effect::Log(level, line) => actions.push(Action::Log(level, one_line(line))),
            Effect::Removed { account, removal } => actions.push(Action::Removed(account, removal)),
            Effect::Resumed { session, jid, received } => self.resumed(now, session, jid, received, actions),
            Effect::Remote { stanza, is_told, is_answer } => {
                self.send_abroad(now, stanza, is_told, is_answer);
            }
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("connections", &self.connections.len()).finish_non_exhaustive()
    }
}
