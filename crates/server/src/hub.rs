//! What all connections of a server have in common: the router, the streams to other servers and to components, and which session is on
//! which connection. It has no connection of a client: of those it [hears](Up), and [says](Down) what is to be done.

use alloc::boxed::Box;
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::mem;
use core::time::Duration;

use balcony_jid::{BareJid, FullJid};
use balcony_machine::{Deadline, Instant, Limits, Random, Reason, Seed, Ticket};
use balcony_router::{Effect, Router, SendError, SessionId};
use balcony_stanza::{ErrorCondition, Stanza, StanzaError, StreamCondition, StreamError};
use balcony_stream::server::{ServerAnswer, ServerAsk};
use balcony_xep::sm::{Enable, Enabled, Resumable};

use crate::abroad::Place;
use crate::acceptor::place;
use crate::action::{Action, Answer, Ask, ConnectionId};
use crate::asks::{Asker, Asks};
use crate::bind::Binds;
use crate::components::Components;
use crate::config::ServerConfig;
use crate::connections::{Down, ResumeRequest, Up};
use crate::federation::Federation;
use crate::given_up::GivenUp;
use crate::journal::{Level, one_line};
use crate::owing::Owing;
use crate::part::{Mail, News};
use crate::registrations::Registrations;
use crate::revocations::Revocations;
use crate::saved::Saving;
use crate::sessions::{Back, Over, Sessions};

/// More bytes than so many are not written while others wait for the hub.
const SHORT: usize = 1_024;

/// What all connections of a server have in common: the router, the streams to other servers, and the sessions.
///
/// A [`Shard`](crate::Shard) has some of the connections, and [reaches](crate::AtHub) the hub for a moment now and then. Several shards, each
/// with a thread of its own, have one hub behind a lock. Nothing else is in its lines of the processor's cache: whoever looks whether the lock is
/// free takes the lock's line away from whoever has it.
#[repr(align(128))]
pub struct Hub {
    pub(crate) router: Router,
    /// The streams to and from other servers.
    pub(crate) federation: Option<Federation>,
    pub(crate) components: Option<Components>,
    /// It is shutting down.
    pub(crate) is_closing: bool,
    /// The parts of the connections of clients; of them those that are closing and have no session any more, and those that have no
    /// connection any more.
    parts: usize,
    parts_ended: usize,
    parts_alone: usize,
    pub(crate) saving: Saving,
    pub(crate) given_up: GivenUp,
    pub(crate) owing: Owing,
    pub(crate) sessions: Sessions,
    pub(crate) asks: Asks,
    registrations: Registrations,
    pub(crate) revocations: Revocations,
    /// Those who wait for the place of a session whose connection has to end first.
    pub(crate) binds: Binds,
    /// The longest that a login takes.
    negotiation: Duration,
    /// How long streams to other servers stay open for what the store has not answered when the server shuts down; and until when that is.
    lingering: Duration,
    lingers_until: Option<Instant>,
    /// That is over, and they have so long to be sent what waits for them; and whether it was over before.
    closing: Duration,
    has_lingered: bool,
    random: Random,
    /// The longest time for which a session may wait for its client.
    resumption: Duration,
    /// Whether sessions outlive the server.
    keep_sessions: bool,
    /// What the router has decided. Empty between calls.
    pub(crate) effects: Vec<Effect>,
    /// What connections are to be told of that, a queue for each part.
    pub(crate) mail: Vec<Mail>,
    /// What there is to do for whoever has the first part, if that was not there when it was decided.
    pub(crate) actions: Vec<Action>,
    /// What the first part knows of what is to be done without words for it.
    pub(crate) known: News,
    /// The part that it hears: it makes what is delivered.
    pub(crate) maker: u8,
    /// The last time that it was told: parts may look at the clock, and then wait for each other.
    clock: Instant,
    /// The server is over.
    pub(crate) is_over: bool,
    /// Kept for its capacity; empty.
    spare: Vec<Effect>,
}

/// How long the store may answer nothing when the server shuts down.
pub(crate) fn patience(limits: &Limits) -> Duration {
    const MOST: Duration = Duration::from_secs(20);
    limits.answer.min(MOST)
}

impl Hub {
    /// For connections in so many parts, 1 to 256, which are numbered from 0 on.
    #[must_use]
    pub fn new(config: &ServerConfig, seed: &Seed, parts: u16) -> Self {
        let mut random = seed.random();
        let parts = usize::from(parts.clamp(1, 256));
        let mut router = Router::new(config.router(), &random.seed());
        if parts > 1 {
            router.keep_spent();
        }
        Hub {
            router,
            federation: config.federation.clone().map(|config| Federation::new(config, &random.seed())),
            components: config.components.clone().map(|config| Components::new(config, &random.seed())),
            is_closing: false,
            parts,
            parts_ended: 0,
            parts_alone: 0,
            saving: Saving::default(),
            given_up: GivenUp::default(),
            owing: Owing::default(),
            sessions: Sessions::default(),
            asks: Asks::default(),
            registrations: Registrations::default(),
            revocations: Revocations::default(),
            binds: Binds::default(),
            negotiation: config.limits.negotiation,
            lingering: config.limits.closing + patience(&config.limits),
            lingers_until: None,
            closing: config.limits.closing,
            has_lingered: false,
            random,
            resumption: config.limits.resumption,
            keep_sessions: config.keep_sessions,
            effects: Vec::new(),
            mail: (0..parts).map(|_| Mail::default()).collect(),
            actions: Vec::new(),
            known: News::NONE,
            maker: 0,
            clock: Instant::ZERO,
            is_over: false,
            spare: Vec::new(),
        }
    }

    /// The configuration from now on. Domains cannot change.
    pub(crate) fn configure(&mut self, config: &ServerConfig) {
        if let (Some(federation), Some(config)) = (&mut self.federation, &config.federation) {
            federation.configure(config.clone());
        }
        (self.resumption, self.keep_sessions) = (config.limits.resumption, config.keep_sessions);
        self.closing = config.limits.closing;
        self.lingering = self.closing + patience(&config.limits);
        // Streams that are open have the time that they had.
        self.negotiation = self.negotiation.max(config.limits.negotiation);
    }

    /// What it is said from now on was made by this part.
    pub(crate) fn is_heard(&mut self, part: usize) {
        self.maker = u8::try_from(part).unwrap_or(0);
        self.router.made_by(self.maker);
    }

    /// No earlier than it was told before.
    pub(crate) fn at(&mut self, now: Instant) -> Instant {
        self.clock = self.clock.max(now);
        self.clock
    }

    /// Something is said to a connection.
    pub(crate) fn say(&mut self, down: Down) {
        if let Some(mail) = self.mail.get_mut(down.connection().part()) {
            mail.words.push(down);
        }
    }

    /// A connection gets a stanza. Another part than the one that has made it gets it as bytes, if it is short and for nobody else: these are written
    /// while the stanza is near, and read one behind the other.
    fn deliver(&mut self, connection: ConnectionId, stanza: Arc<Stanza>) {
        let (part, maker) = (connection.part(), self.maker);
        let Some(mail) = self.mail.get_mut(part) else { return };
        // The queue of its session has it as well.
        let is_for_one = || Arc::strong_count(&stanza) <= 2;
        if part != usize::from(maker) && stanza.payload.as_bytes().len() <= SHORT && is_for_one() {
            mail.words.push_across(connection, stanza, maker);
        } else {
            mail.words.push(Down::Deliver { connection, stanza, maker });
        }
    }

    /// What is to be said to the connections next, if there is but one part and anything has been decided: say all of it before anything
    /// else happens, so that order is kept.
    pub(crate) fn next_down(&mut self, now: Instant, actions: &mut Vec<Action>) -> Option<Down> {
        loop {
            if let Some(next) = self.mail.first_mut().and_then(|mail| mail.words.next()) {
                return Some(next.into_down());
            }
            if self.effects.is_empty() {
                return None;
            }
            self.pass_on(now, actions);
        }
    }

    /// Says all that has been decided, before anything else is, so that order is kept.
    pub(crate) fn pass_on(&mut self, now: Instant, actions: &mut Vec<Action>) {
        while !self.effects.is_empty() {
            let mut effects = mem::replace(&mut self.effects, mem::take(&mut self.spare));
            for effect in effects.drain(..) {
                self.effect(now, effect, actions);
            }
            self.spare = effects;
        }
    }

    /// Does all that follows from what has been decided.
    pub(crate) fn settle(&mut self, now: Instant, actions: &mut Vec<Action>) {
        loop {
            self.pass_on(now, actions);
            if !self.go_abroad(now, actions) {
                return;
            }
        }
    }

    /// Does the next thing that the streams of other servers, or of components, want. Whether there was one.
    pub(crate) fn go_abroad(&mut self, now: Instant, actions: &mut Vec<Action>) -> bool {
        if let Some(event) = self.federation.as_mut().and_then(Federation::next) {
            if !self.is_impostor(&event) {
                self.act_abroad(now, event, Place::Abroad, actions);
            }
        } else if let Some(event) = self.components.as_mut().and_then(Components::next) {
            self.act_abroad(now, event, Place::Component, actions);
        } else {
            return false;
        }
        true
    }

    /// Connections say something.
    pub(crate) fn up(&mut self, now: Instant, up: Up, actions: &mut Vec<Action>) {
        let effects = &mut self.effects;
        match up {
            Up::Bind { connection, ticket, request } => self.bind(now, connection, ticket, request),
            Up::Enable { session, connection, ticket, enable } => {
                let enabled = Box::new(self.manage(session, *enable));
                self.say(Down::Enabled { connection, ticket, enabled });
            }
            Up::Resume { connection, ticket, request } => {
                let ResumeRequest { account, previd, h, proven, via } = *request;
                if !self.revocations.allow(&account, proven) {
                    return self.revoke(connection);
                }
                self.resume(now, account, &previd, Back { connection, ticket, h, via });
            }
            Up::Acknowledged { session, count } => self.router.acknowledged(now, session, count, effects),
            Up::Lost { session, counts } => {
                // A server that has told its sessions that they end takes no more that wait.
                let waits = !self.is_closing || self.keep_sessions;
                let jid = self.router.jid(session).filter(|_| waits).cloned();
                let jid = jid.filter(|_| self.router.detach(now, session, effects));
                match jid {
                    Some(jid) => {
                        if let Some(back) = self.sessions.lose(session, jid, *counts) {
                            self.resume_waiting(now, session, back);
                        }
                    }
                    None => {
                        self.router.unbind(now, session, effects);
                        self.router.gone(now, session, effects);
                        self.end_session(session);
                    }
                }
                self.has_made_way(now, session);
            }
            Up::Stays { session, connection } => {
                if self.sessions.connection(session) == Some(connection)
                    && let Some(back) = self.sessions.stays(session)
                {
                    self.not_resumed(back, None);
                }
            }
            Up::Stanza { session, number, stanza } => {
                if self.router.route(now, session, *stanza, effects)
                    && let Some(connection) = self.sessions.connection(session)
                {
                    self.say(Down::Handled { connection, number });
                }
            }
            Up::Element { session, element } => self.router.element(now, session, element.root(), effects),
            Up::Drained { session, through } => self.router.drained(now, session, through, effects),
            Up::Cut { session } => {
                self.given_up.clients += usize::from(self.is_closing);
                if let Some(jid) = self.router.jid(session) {
                    let line = format!(
                        "{jid}: there was no time for all that has come of it, and the rest is dropped, if it was more than the end of its stream"
                    );
                    // Users bring that about as well, who bind a resource anew.
                    let level = if self.is_closing { Level::Warn } else { Level::Info };
                    actions.push(Action::Log(level, line));
                }
            }
            Up::Ended { session } => {
                self.router.unbind(now, session, effects);
                self.has_made_way(now, session);
            }
            Up::Gone { session } => {
                self.router.gone(now, session, effects);
                self.end_session(session);
                // The router may have ended it, of which its connection says no more than that.
                self.has_made_way(now, session);
            }
            Up::Ask { connection, ticket, ask, via }
                if matches!(*ask, ServerAsk::Register { .. })
                    && !self.registrations.take(now, via.address) =>
            {
                if self.registrations.is_refusal_news(now) {
                    let line = format!(
                        "accounts are not registered, such as one from {}: there were too many in a short time",
                        place(via.address)
                    );
                    actions.push(Action::Log(Level::Warn, line));
                }
                let error = StanzaError::new(
                    ErrorCondition::ResourceConstraint,
                    "too many accounts have been registered lately: try again later",
                );
                let answer = Box::new(ServerAnswer::Registered(Err(error)));
                self.say(Down::Answer { connection, ticket, answer, number: self.asks.next().0 });
            }
            Up::Ask { connection, ticket, ask, via } => {
                let asker = match &*ask {
                    ServerAsk::Register { account, .. } => {
                        Asker::Registration(connection, ticket, account.clone(), via.address)
                    }
                    _ => Asker::Stream(connection, ticket),
                };
                let ticket = self.asks.open(asker);
                actions.push(Action::Ask(ticket, Ask::Stream(*ask)));
            }
            Up::AllEnded => self.parts_ended += 1,
            Up::Alone(true) => self.parts_alone += 1,
            Up::Alone(false) => self.parts_alone = self.parts_alone.saturating_sub(1),
        }
    }

    /// An answer has come. One that comes too late changes nothing.
    pub(crate) fn answer(&mut self, now: Instant, ticket: Ticket, answer: Answer, actions: &mut Vec<Action>) {
        let number = ticket.0;
        if self.is_closing {
            // The store works, however much of it there is: nothing of that is given up.
            self.router.wait_anew(now, &mut self.effects);
        }
        match (self.asks.close(ticket), answer) {
            (Some(Asker::Stream(connection, ticket)), Answer::Stream(answer)) => {
                let answer = Box::new(answer);
                self.say(Down::Answer { connection, ticket, answer, number });
            }
            (Some(Asker::Password(ticket, account)), Answer::Router(answer)) => {
                if matches!(answer, balcony_router::Answer::Saved) {
                    let line = format!("{account} has another password, by its client");
                    actions.push(Action::Log(Level::Info, line));
                }
                // Whatever the answer says: a change that counts as failed may have been made.
                self.credentials_changed(now, account);
                self.router.answer(now, ticket, answer, &mut self.effects);
            }
            (Some(Asker::Removal(ticket, account)), Answer::Router(answer)) => {
                self.credentials_changed(now, account);
                self.router.answer(now, ticket, answer, &mut self.effects);
            }
            (Some(Asker::Registration(connection, ticket, account, from)), answer) => {
                let answer =
                    if let Answer::Stream(answer) = answer { answer } else { ServerAnswer::Unavailable };
                match &answer {
                    ServerAnswer::Registered(Ok(())) => {
                        let line = format!("{account} has been registered from {}", place(from));
                        actions.push(Action::Log(Level::Info, line));
                    }
                    ServerAnswer::Registered(Err(error)) => {
                        let is_fault = error.condition != ErrorCondition::InternalServerError;
                        self.registrations.give_back(from, is_fault);
                    }
                    _ => self.registrations.give_back(from, false),
                }
                self.say(Down::Answer { connection, ticket, answer: Box::new(answer), number });
            }
            (Some(Asker::Router(ticket)), Answer::Router(answer)) => {
                self.router.answer(now, ticket, answer, &mut self.effects);
            }
            (Some(Asker::Saving), answer) => {
                self.saved(now, matches!(answer, Answer::Sessions(true)), actions)
            }
            (Some(Asker::Owing), answer) => {
                let holders = if let Answer::Holders(holders) = answer { holders } else { None };
                self.owe(now, holders, actions);
            }
            _ => {}
        }
    }

    /// When to call [`tick`](Hub::tick).
    pub(crate) fn deadline(&self) -> Option<Deadline> {
        let abroad = self.federation.as_ref().and_then(Federation::deadline);
        let components = self.components.as_ref().and_then(Components::deadline);
        let streams = abroad.into_iter().chain(components).min();
        let has_streams = || self.federation.as_ref().is_some_and(|federation| federation.streams() > 0);
        let lingers = self.lingers_until.filter(|_| has_streams());
        let streams = streams.into_iter().chain(lingers).min();
        let streams = streams.map(|at| Deadline { at, reason: Reason::Idle });
        let asked = self.owing_due().into_iter().chain(self.saving_due()).min();
        let asked = asked.map(|at| Deadline { at, reason: Reason::Answer });
        streams.into_iter().chain(asked).chain(self.router.deadline()).min()
    }

    /// Does what has become due.
    pub(crate) fn tick(&mut self, now: Instant, actions: &mut Vec<Action>) {
        self.look_for_owing(now, actions);
        self.save_again(now, actions);
        if self.router.deadline().is_some_and(|deadline| now >= deadline.at) {
            self.router.tick(now, &mut self.effects);
        }
        if let Some(components) = &mut self.components {
            components.tick(now);
        }
        if let Some(federation) = &mut self.federation {
            federation.tick(now);
        }
    }

    /// Gives some of what strangers have sent to its recipients. Whether there was any.
    pub(crate) fn take_in(&mut self, now: Instant) -> bool {
        let has_parked = self.router.has_parked();
        if has_parked {
            self.router.take_in(now, &mut self.effects);
        }
        has_parked
    }

    /// The account has another password, or is no more: who has begun to log in before does not get in.
    pub(crate) fn credentials_changed(&mut self, now: Instant, account: BareJid) {
        self.revocations.add(now, account, self.asks.next().0, self.negotiation);
    }

    /// Ends the stream of a client whose login does not count.
    pub(crate) fn revoke(&mut self, connection: ConnectionId) {
        let text = "the account has been changed since you began to log in: log in again";
        let error = StreamError::new(StreamCondition::NotAuthorized, text);
        self.say(Down::Close { connection, session: None, error: Box::new(error) });
    }

    pub(crate) fn remove_account(&mut self, now: Instant, account: &BareJid) {
        self.router.remove_account(now, account, &mut self.effects);
    }

    pub(crate) fn send(&mut self, now: Instant, stanza: Stanza) -> Result<(), SendError> {
        self.router.send(now, stanza, &mut self.effects)
    }

    /// Whether the server shuts down, and there are no connections of clients any more.
    pub(crate) const fn is_alone(&self) -> bool {
        self.parts_alone == self.parts
    }

    /// The server shuts down. What was accepted has its fate, and all connections have been told.
    pub(crate) fn shutdown(&mut self, now: Instant) {
        self.is_closing = true;
        if !self.has_lingered {
            self.lingers_until.get_or_insert(now + self.lingering);
        }
        if !self.keep_sessions {
            self.saving = Saving::Done;
            for session in self.sessions.all_waiting() {
                self.end_waiting(now, session);
            }
        }
        if let Some(components) = &mut self.components {
            components.shutdown(now);
        }
        if let Some(federation) = &mut self.federation {
            federation.shutdown(now);
        }
    }

    /// Does what a server that shuts down does as soon as nothing is under way: its streams to other servers end, and its sessions are kept.
    pub(crate) fn go_on_closing(&mut self, now: Instant, actions: &mut Vec<Action>) {
        // What other servers are told of those who have gone may have waited for the store. Who is on the way to a connection that is gone
        // has yet to go.
        let has_said_all = self.parts_ended == self.parts
            && self.router.counts().sessions == self.sessions.count().0
            && self.router.counts().asks == 0
            && !self.router.has_parked();
        // On streams that go both ways (XEP-0288) others go on sending, which the store may never have done with, and asking, so that there is
        // always something to send.
        let is_over = self.lingers_until.take_if(|until| now >= *until).is_some();
        let is_last = is_over && mem::replace(&mut self.has_lingered, true);
        if is_over && !is_last {
            self.lingers_until = Some(now + self.closing);
        }
        match &mut self.federation {
            Some(federation) if is_last => federation.cut(now),
            Some(federation) if has_said_all || is_over => federation.close(now),
            _ => {}
        }
        self.save_when_settled(now, actions);
    }

    /// From now on a session acknowledges what it gets. What its client is told.
    pub(crate) fn manage(&mut self, session: SessionId, enable: Enable) -> Enabled<'static> {
        let most = self.resumption;
        let wanted = || enable.max.map_or(most, |seconds| most.min(Duration::from_secs(seconds.into())));
        let wait = if enable.resume { wanted() } else { Duration::ZERO };
        let is_resumable = self.router.manage(session, wait, &mut self.effects) && wait > Duration::ZERO;
        let resumable = is_resumable.then(|| Resumable {
            id: self.sessions.name(session, &mut self.random).into(),
            max: u32::try_from(wait.as_secs()).ok(),
            location: None,
        });
        Enabled { resumable }
    }

    /// A client wants its session back (XEP-0198 section 5).
    fn resume(&mut self, now: Instant, account: BareJid, previd: &str, back: Back) {
        let own = |session: &SessionId| {
            self.router.jid(*session).is_some_and(|jid| jid.bare_str() == account.as_str())
        };
        let Some(session) = self.sessions.named(previd).filter(own) else {
            let h = self.sessions.had_sent(&account, previd);
            return self.not_resumed(back, h);
        };
        match self.sessions.connection(session) {
            // Its old connection is not known to be dead yet. It tells what both ends have counted.
            Some(connection) => {
                if let Some(before) = self.sessions.comes_back(session, back) {
                    self.replace(before.connection, back.connection);
                } else {
                    self.say(Down::Leave { connection, session, error: Box::new(goes_on_elsewhere()) });
                }
            }
            None => self.resume_waiting(now, session, back),
        }
    }

    /// A client wants a session back that waits for it.
    fn resume_waiting(&mut self, now: Instant, session: SessionId, back: Back) {
        let Some(account) = self.router.jid(session).map(FullJid::to_bare) else {
            return self.not_resumed(back, None);
        };
        let Some(waiting) = self.sessions.waiting(session) else { return self.not_resumed(back, None) };
        let Some(count) = waiting.counts.acknowledged_by(back.h) else {
            let (jid, counts) = (Box::new(waiting.jid.clone()), Box::new(waiting.counts.clone()));
            let Back { connection, ticket, .. } = back;
            return self.say(Down::TooMuch { connection, ticket, jid, counts });
        };
        // Who has come back twice gets it where it came last.
        if let Some(before) = waiting.back.replace(back) {
            self.replace(before.connection, back.connection);
        }
        if !self.router.resume(now, session, &account, count, &mut self.effects) {
            if let Some(waiting) = self.sessions.waiting(session) {
                waiting.back = None;
            }
            self.not_resumed(back, None);
        }
    }

    /// A client that wanted its session back has come again on another stream before it had it: this one ends as if it had had it. It may have come
    /// again on the same stream, if that took too long.
    fn replace(&mut self, connection: ConnectionId, by: ConnectionId) {
        if connection == by {
            return;
        }
        self.say(Down::Close { connection, session: None, error: Box::new(goes_on_elsewhere()) });
    }

    /// A client does not get the session that it wanted back. `h` is how many of its stanzas that had got, if it is over.
    pub(crate) fn not_resumed(&mut self, back: Back, h: Option<u32>) {
        self.say(Down::NotResumed { connection: back.connection, ticket: back.ticket, h });
    }

    /// There is no such session any more; whoever wanted it back hears of that.
    pub(crate) fn end_session(&mut self, session: SessionId) {
        if let Some(Over { back: Some(back), had_sent, .. }) = self.sessions.end(session) {
            self.not_resumed(back, had_sent);
        }
    }

    /// The router has all that a session has sent before, and goes on with it.
    fn resumed(&mut self, session: SessionId, jid: FullJid, received: u64) {
        let Some(waiting) = self.sessions.waiting(session) else { return };
        let Some(Back { connection, ticket, h, via }) = waiting.back.take() else { return };
        // All of it.
        waiting.counts.handled(u32::MAX);
        let (jid, counts) = (Box::new(jid), Box::new(waiting.counts.clone().resumed(h)));
        self.sessions.attach(session, connection, via);
        self.say(Down::Resumed { connection, ticket, session, jid, received, counts });
    }

    /// Ends the stream of a session with this error, if it has one.
    pub(crate) fn close(&mut self, session: SessionId, error: StreamError, actions: &mut Vec<Action>) {
        match self.sessions.connection(session) {
            Some(connection) => {
                self.say(Down::Close { connection, session: Some(session), error: Box::new(error) });
            }
            None => self.abandon(session, actions),
        }
    }

    /// Does what the router has decided.
    fn effect(&mut self, now: Instant, effect: Effect, actions: &mut Vec<Action>) {
        match effect {
            Effect::Deliver { session, stanza } => {
                if let Some(connection) = self.sessions.connection(session) {
                    self.deliver(connection, stanza);
                }
            }
            Effect::Handled { session, number } => {
                if let Some(connection) = self.sessions.connection(session) {
                    self.say(Down::Handled { connection, number });
                }
            }
            Effect::Hold { session, is_held } => {
                if let Some(connection) = self.sessions.connection(session) {
                    self.say(Down::Hold { connection, is_held });
                }
            }
            Effect::HoldDomain { domain, is_held } => self.hold_domain(now, &domain, is_held),
            Effect::Close { session, error } => self.close(session, error.into(), actions),
            Effect::Disconnect { session, error } => {
                if let Some(connection) = self.sessions.connection(session) {
                    self.say(Down::Leave { connection, session, error: Box::new(error.into()) });
                }
            }
            Effect::Ask { ticket, ask } => {
                let ticket = self.asks.open(match &ask {
                    balcony_router::Ask::SetPassword { account, .. } => {
                        Asker::Password(ticket, account.clone())
                    }
                    balcony_router::Ask::Remove { account } => Asker::Removal(ticket, account.clone()),
                    _ => Asker::Router(ticket),
                });
                actions.push(Action::Ask(ticket, Ask::Router(ask)));
            }
            Effect::Log(level, line) => actions.push(Action::Log(level, one_line(line))),
            Effect::Removed { account, removal } => actions.push(Action::Removed(account, removal)),
            Effect::Resumed { session, jid, received } => self.resumed(session, jid, received),
            Effect::Remote { stanza, is_told, is_answer } => {
                self.send_abroad(now, stanza, is_told, is_answer);
            }
        }
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").field("is_closing", &self.is_closing).finish_non_exhaustive()
    }
}

fn goes_on_elsewhere() -> StreamError {
    StreamError::new(StreamCondition::Conflict, "the session goes on on another stream")
}

#[cfg(test)]
mod tests;
