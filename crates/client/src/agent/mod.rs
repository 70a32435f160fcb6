//! A client that stays: through all of its sessions, from the first connection to the last.

mod core;
mod disconnected;

use ::core::any::Any;
use ::core::fmt;
use ::core::ops::Range;
use ::core::time::Duration;
use alloc::boxed::Box;
use alloc::sync::Arc;

use balcony_jid::FullJid;
use balcony_machine::{Instant, Random, Seed};
use balcony_stanza::{ErrorCondition, Kind, Payload, PresenceType, Stanza, StanzaError};
use balcony_stream::client::{ServerFeatures, Token};

pub(crate) use self::core::{Asker, Core};
pub use self::disconnected::Disconnected;
use crate::extension::{CallId, Callable, Context, Extension, Extensions, Note};
use crate::iq::outcome;
use crate::{
    Backoff, Event, IncomingRequest, Iq, Message, Presence, ReceivedPresence, RequestError, Undelivered,
};
use crate::{Client, Response, services};

/// Requests of others that wait for their answer at a time. More are refused.
const INCOMING: usize = 64;

/// What an [`Agent`] does.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AgentConfig {
    /// What it says of itself whenever it comes online (RFC 6121 section 4.2). `None`: nothing, so that it gets no messages that are
    /// addressed to its account.
    pub presence: Option<Presence>,
    /// How long an answer may take, unless the request says otherwise.
    pub timeout: Duration,
    /// How long to wait before connecting again.
    pub backoff: Backoff,
    /// Whether it goes on connecting even if it has never been online. Otherwise the first failure is the end.
    pub is_patient: bool,
    /// Whether there is another connection after the first.
    pub reconnects: bool,
}

impl Default for AgentConfig {
    /// It is available, and waits for an answer for 30 seconds.
    fn default() -> Self {
        AgentConfig {
            presence: Some(Presence::default()),
            timeout: Duration::from_secs(30),
            backoff: Backoff::default(),
            is_patient: false,
            reconnects: true,
        }
    }
}

/// What stays of a client when its connections come and go: its outbox, requests and their answers, its
/// [extensions](Extension), presence, and when to connect again. It works on stanzas; bytes are the business of the
/// [`Client`] that there is for each connection.
///
/// 1. **What has happened goes in**: [`online`](Agent::online) or [`resumed`](Agent::resumed), [`stanza`](Agent::stanza), [`offline`](Agent::offline), and
///    [`tick`](Agent::tick) at the [`deadline`](Agent::deadline). [`take`](Agent::take) sorts what a `Client` says.
/// 2. **What the owner wants**: [`send`](Agent::send), [`request`](Agent::request), [`call`](Agent::call), and
///    [`reply`](Agent::reply) or [`refuse`](Agent::refuse) for each request of others.
/// 3. **What comes of it**, after each of these: [`next_stanza`](Agent::next_stanza) to be sent while there is a connection,
///    [`next_event`](Agent::next_event), [`next_completed`](Agent::next_completed).
/// 4. **Looking**: [`is_full`](Agent::is_full) (then take no more stanzas from the connection), [`has_room`](Agent::has_room),
///    [`connects`](Agent::connects), [`end`](Agent::end).
///
/// ```
/// use balcony_client::{Agent, AgentConfig, AgentEvent, Discovery, Iq};
/// use balcony_machine::{Instant, Seed};
/// use balcony_stanza::Stanza;
/// use balcony_xep::ping::Ping;
///
/// let mut agent = Agent::new(AgentConfig::default(), (Discovery::new("Echo", "1.0"),), &Seed::from_u64(1));
/// let now = Instant::ZERO;
/// assert!(agent.connects(now)); // and when that has been done:
/// agent.online(now, "romeo@localhost/bot".parse()?, Default::default());
/// assert_eq!(agent.next_stanza().unwrap().head.kind.name(), "presence");
/// assert!(matches!(agent.next_event(), Some(AgentEvent::Online(_))));
///
/// // A request of ours, and one of somebody else.
/// let call = agent.request(now, Iq::get(Ping.to_element()))?;
/// let id = agent.next_stanza().unwrap().head.id.unwrap();
/// let xml = format!("<iq type='result' id='{id}'/>");
/// agent.stanza(now, Stanza::parse(xml.as_bytes()).unwrap());
/// assert_eq!(agent.next_completed().unwrap().0, call);
/// let xml = "<iq type='get' id='1' from='juliet@localhost/balcony'><ping xmlns='urn:xmpp:ping'/></iq>";
/// agent.stanza(now, Stanza::parse(xml.as_bytes()).unwrap());
/// assert_eq!(agent.next_stanza().unwrap().head.id.as_deref(), Some("1"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Agent<X> {
    core: Core,
    phase: Phase,
    /// The address of the session that there is, with a connection or, for a while, without.
    session: Option<Box<FullJid>>,
    config: AgentConfig,
    /// What is said of the client whenever it comes online: what was configured, or sent last.
    presence: Option<Stanza>,
    has_been_online: bool,
    random: Random,
    extensions: X,
}

#[derive(Clone, Debug)]
enum Phase {
    /// The owner connects.
    Connecting,
    /// There is a session with a connection, since then.
    Online(Instant),
    /// It is too early to connect.
    Waiting(Instant),
    /// There will be no other connection.
    Ended(Arc<Disconnected>),
}

/// What an [`Agent`] tells its owner, who has to pass on all of it: so there may be more of them in another version.
#[derive(Debug)]
pub enum AgentEvent {
    /// A session has begun. What depends on the last one is gone; presence has been sent.
    Online(FullJid),
    /// The last session goes on as if nothing had happened (XEP-0198 section 5).
    Resumed,
    /// There is no connection any more, or none came about. `next` says how long it is until the next attempt; `None` that there is none.
    Offline {
        /// Why.
        why: Arc<Disconnected>,
        /// When it goes on.
        next: Option<Duration>,
    },
    /// A message.
    Message(Box<Message>),
    /// Presence.
    Presence(Box<ReceivedPresence>),
    /// Something that was sent could not be delivered.
    Undelivered(Box<Undelivered>),
    /// A request that no extension has answered; see [`reply`](Agent::reply).
    Request(IncomingId, Box<IncomingRequest>),
    /// What an extension tells.
    Note(Note),
    /// The server has given a token for the next login, which is used by itself (XEP-0484). A program that wants to log in by it when it
    /// is started again keeps it, like a password.
    Token(Box<Token>),
    /// Anything else: what the server pushes, answers to requests that were sent as plain stanzas.
    Stanza(Box<Stanza>),
}

/// Names a request of somebody else's that waits for its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IncomingId(u64);

/// What has become of a request or call of the owner's.
#[derive(Debug)]
pub enum Completion {
    /// The outcome of a [request](Agent::request).
    Response(Result<Response, RequestError>),
    /// What a [call](Agent::call) has come to: the extension's [`Outcome`](Callable::Outcome).
    Call(Box<dyn Any + Send>),
    /// The session is gone, and with it the call.
    Lost,
}

/// Why a stanza was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OutboxError {
    /// The outbox is full; see [`Agent::has_room`].
    Full,
    /// The client has ended.
    Ended,
}

impl fmt::Display for OutboxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            OutboxError::Full => "too much waits to be sent",
            OutboxError::Ended => "the client has ended",
        })
    }
}

impl ::core::error::Error for OutboxError {}

impl<X: Extensions> Agent<X> {
    /// One that is about to connect for the first time.
    #[must_use]
    pub fn new(config: AgentConfig, mut extensions: X, seed: &Seed) -> Self {
        let mut random = seed.random();
        let mut core = Core::new(random.token(8), config.timeout);
        let mut index = 0;
        while let Some(extension) = extensions.at(index) {
            core.features.extend(extension.features());
            index += 1;
        }
        core.features.sort_unstable();
        core.features.dedup();
        let presence = config.presence.as_ref().map(Presence::to_stanza);
        Agent {
            core,
            phase: Phase::Connecting,
            session: None,
            config,
            presence,
            has_been_online: false,
            random,
            extensions,
        }
    }

    /// A session has begun: the resource is bound.
    pub fn online(&mut self, now: Instant, jid: FullJid, server: ServerFeatures) {
        if let Phase::Ended(_) = self.phase {
            return;
        }
        self.end_session(now);
        self.phase = Phase::Online(now);
        self.session = Some(Box::new(jid.clone()));
        let kept = self.core.begin(server);
        for (index, request) in ::core::mem::take(&mut self.core.unsent) {
            self.answered(now, index, request, Err(RequestError::Offline));
        }
        self.each(now, |extension, context| {
            extension.online(context);
            false
        });
        if let Some(presence) = &self.presence {
            self.core.push(presence.clone());
        }
        self.core.outbox.extend(kept);
        self.core.event(AgentEvent::Online(jid), 0);
    }

    /// The session of before goes on, on another connection. `false`: here it was over, so that it is a new one, and
    /// [`online`](Agent::online) is what has happened.
    pub fn resumed(&mut self, now: Instant) -> bool {
        let goes_on = self.session.is_some() && matches!(self.phase, Phase::Connecting | Phase::Waiting(_));
        if goes_on {
            self.phase = Phase::Online(now);
            self.core.event(AgentEvent::Resumed, 0);
        }
        goes_on
    }

    /// There is no connection, or no longer; or it could not be made. `resumable`: the session may [go on](Agent::resumed) on the next
    /// one. Says when to connect again; `None`: never.
    pub fn offline(&mut self, now: Instant, why: Disconnected, resumable: bool) -> Option<Instant> {
        let was_online = match self.phase {
            Phase::Online(since) => Some(now.saturating_since(since)),
            Phase::Connecting | Phase::Waiting(_) => None,
            Phase::Ended(_) => return None,
        };
        self.config.backoff.lasted(was_online.unwrap_or_default());
        self.has_been_online |= was_online.is_some();
        let goes_on = self.config.reconnects && (self.has_been_online || self.config.is_patient);
        let is_end = why.is_permanent() || !goes_on;
        let wait = self.config.backoff.failed(&mut self.random);
        let is_over = is_end || !resumable || why.ends_session();
        let why = Arc::new(why);
        let next = (!is_end).then_some(wait);
        self.phase = match next {
            Some(wait) => Phase::Waiting(now + wait),
            None => Phase::Ended(Arc::clone(&why)),
        };
        if is_over {
            self.end_session(now);
        }
        self.core.event(AgentEvent::Offline { why, next }, 0);
        next.map(|wait| now + wait)
    }

    /// If there is a session, it will not go on.
    fn end_session(&mut self, now: Instant) {
        if self.session.is_none() {
            return;
        }
        self.core.has_session = false;
        for (asker, request) in self.core.take_requests() {
            self.finish(now, asker, request, Err(RequestError::Offline));
        }
        let mut index = 0;
        while let Some(extension) = self.extensions.at(index) {
            extension.offline();
            index += 1;
        }
        self.core.end_session();
        self.session = None;
    }

    /// Tells whoever has asked.
    fn finish(
        &mut self,
        now: Instant,
        asker: Asker,
        request: crate::RequestId,
        outcome: Result<Response, RequestError>,
    ) {
        match asker {
            Asker::Owner(call) => self.core.complete(call, Completion::Response(outcome)),
            Asker::Extension(index) => self.answered(now, index, request, outcome),
        }
    }

    /// What the [`Client`] of a connection tells: all that concerns the agent. What is left is for the owner, such as
    /// [`Ask`](Event::Ask).
    pub fn take(&mut self, now: Instant, event: Event, client: &Client) -> Option<Event> {
        match event {
            Event::Online(jid) => self.online(now, jid, client.features()),
            Event::Resumed => {
                if !self.resumed(now)
                    && let Some(jid) = client.jid()
                {
                    self.online(now, jid.clone(), client.features());
                }
            }
            Event::Stanza(stanza) => self.stanza(now, *stanza),
            Event::Token(token) => self.core.event(AgentEvent::Token(token), 0),
            other => return Some(other),
        }
        None
    }

    /// A stanza has come.
    pub fn stanza(&mut self, now: Instant, stanza: Stanza) {
        let Some(jid) = &self.session else { return };
        if let Some(request) = self.core.requests.close(&stanza, jid) {
            if let Some(asker) = self.core.asker(request) {
                self.finish(now, asker, request, outcome(stanza));
            }
            return;
        }
        let is_push = services::is_push(&stanza, jid);
        if self.each(now, |extension, context| extension.take(context, &stanza)) {
            return;
        }
        let bytes = stanza.payload.as_bytes().len();
        if let Some(undelivered) = Undelivered::read(&stanza) {
            return self.core.event(AgentEvent::Undelivered(Box::new(undelivered)), bytes);
        }
        let event = match stanza.head.kind {
            Kind::Message(_) => Message::read(stanza).map(|message| AgentEvent::Message(Box::new(message))),
            Kind::Presence(_) => {
                ReceivedPresence::read(stanza).map(|presence| AgentEvent::Presence(Box::new(presence)))
            }
            Kind::Iq(_) if !is_push => match IncomingRequest::read(&stanza) {
                Some(request) => self.incoming(stanza, request),
                None => Some(AgentEvent::Stanza(Box::new(stanza))),
            },
            Kind::Iq(_) => Some(AgentEvent::Stanza(Box::new(stanza))),
        };
        if let Some(event) = event {
            self.core.event(event, bytes);
        }
    }

    /// A request that no extension has taken.
    fn incoming(&mut self, stanza: Stanza, request: Box<IncomingRequest>) -> Option<AgentEvent> {
        if self.core.incoming.len() >= INCOMING {
            let error = StanzaError::new(ErrorCondition::ResourceConstraint, "too many requests wait here");
            self.core.outbox.extend(stanza.error(&error));
            return None;
        }
        let id = self.core.number();
        self.core.incoming.insert(id, stanza);
        Some(AgentEvent::Request(IncomingId(id), request))
    }

    /// Does what is due.
    pub fn tick(&mut self, now: Instant) {
        while let Some(request) = self.core.requests.expired(now) {
            if let Some(asker) = self.core.asker(request) {
                self.finish(now, asker, request, Err(RequestError::TimedOut));
            }
        }
    }

    /// When to call [`tick`](Agent::tick), or to [connect](Agent::connects).
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let again = if let Phase::Waiting(until) = self.phase { Some(until) } else { None };
        self.core.requests.deadline().into_iter().chain(again).min()
    }

    /// Whether the owner is to connect now, and then to say [`online`](Agent::online) or [`offline`](Agent::offline).
    pub fn connects(&mut self, now: Instant) -> bool {
        if matches!(self.phase, Phase::Waiting(until) if until <= now) {
            self.phase = Phase::Connecting;
        }
        matches!(self.phase, Phase::Connecting)
    }

    /// Puts a stanza into the outbox, and gives it an id unless it has one; returns that. What waits there when the client comes
    /// online is sent then. A request that is sent like this is answered by an event.
    ///
    /// Presence for everybody is remembered, and sent again whenever the client comes online.
    ///
    /// # Errors
    ///
    /// [`OutboxError`]. Nothing has happened then.
    pub fn send(&mut self, mut stanza: Stanza) -> Result<Arc<str>, OutboxError> {
        if let Phase::Ended(_) = self.phase {
            return Err(OutboxError::Ended);
        }
        if !self.has_room() {
            return Err(OutboxError::Full);
        }
        let id = match &stanza.head.id {
            Some(id) => Arc::clone(id),
            None => self.core.id(),
        };
        stanza.head.id = Some(Arc::clone(&id));
        if stanza.head.to.is_none()
            && matches!(stanza.head.kind, Kind::Presence(PresenceType::Available | PresenceType::Unavailable))
        {
            let is_there = stanza.head.kind == Kind::Presence(PresenceType::Available);
            self.presence = is_there.then(|| stanza.clone());
            if self.session.is_none() {
                return Ok(id);
            }
        }
        self.core.push(stanza);
        Ok(id)
    }

    /// Whether the outbox takes another stanza: it holds up to 1,024 of them, and a megabyte.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.core.outbox.has_room()
    }

    /// Sends a request. What becomes of it comes from [`next_completed`](Agent::next_completed), in any case.
    ///
    /// # Errors
    ///
    /// [`RequestError::Offline`].
    pub fn request(&mut self, now: Instant, iq: Iq) -> Result<CallId, RequestError> {
        let Phase::Online(..) = self.phase else { return Err(RequestError::Offline) };
        let call = self.core.open_call();
        self.core.request(now, Asker::Owner(call), iq);
        Ok(call)
    }

    /// Tells an extension to do something. What becomes of it comes from [`next_completed`](Agent::next_completed), in any case.
    /// `None`: there is no such extension.
    ///
    /// # Errors
    ///
    /// [`RequestError::Offline`].
    pub fn call<E: Callable>(
        &mut self,
        now: Instant,
        command: E::Command,
    ) -> Option<Result<CallId, RequestError>> {
        let (index, extension) = find::<E>(&mut self.extensions)?;
        let (Some(jid), Phase::Online(_)) = (&self.session, &self.phase) else {
            return Some(Err(RequestError::Offline));
        };
        let call = self.core.open_call();
        extension.call(&mut Context { core: &mut self.core, jid, now, index }, call, command);
        Some(Ok(call))
    }

    /// An extension, to look at or to change; `None` if there is none of this type.
    pub fn ext<E: Extension>(&mut self) -> Option<&mut E> {
        find::<E>(&mut self.extensions).map(|(_, extension)| extension)
    }

    /// Answers a request of somebody else's. `false`: it has been answered, or its session is over.
    pub fn reply(&mut self, request: IncomingId, content: Payload) -> bool {
        let answer = self.core.incoming.remove(&request.0).and_then(|request| request.result());
        self.core.answer(answer.map(|answer| answer.payload(content)))
    }

    /// Refuses it.
    pub fn refuse(&mut self, request: IncomingId, error: &StanzaError) -> bool {
        let answer = self.core.incoming.remove(&request.0).and_then(|request| request.error(error));
        self.core.answer(answer)
    }

    /// The next stanza to be sent; `None` while there is no session.
    pub fn next_stanza(&mut self) -> Option<Stanza> {
        if let Phase::Online(_) = self.phase { self.core.outbox.pop() } else { None }
    }

    /// It could not be sent: its connection has broken. It is kept, if it makes sense on another one.
    pub fn unsent(&mut self, stanza: Stanza) {
        self.core.outbox.put_back(stanza);
    }

    /// The numbers of the stanzas in the outbox: the next one to be sent has the first, and one that is put there gets the last.
    #[must_use]
    pub fn outbox(&self) -> Range<u64> {
        self.core.outbox.numbers()
    }

    /// Whether others see that the client is there, while there is a session.
    #[must_use]
    pub fn is_available(&self) -> bool {
        self.presence.is_some()
    }

    /// The next event.
    pub fn next_event(&mut self) -> Option<AgentEvent> {
        self.core.next_event()
    }

    /// Whether so many events wait that no more stanzas are to be taken from the connection: 1,024 of them, or a megabyte.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.core.is_full()
    }

    /// A request or call of the owner's that has come to an end.
    pub fn next_completed(&mut self) -> Option<(CallId, Completion)> {
        self.core.completed.pop_front()
    }

    /// The address that the server has bound, while the client is online.
    #[must_use]
    pub fn jid(&self) -> Option<&FullJid> {
        self.session.as_deref().filter(|_| matches!(self.phase, Phase::Online(_)))
    }

    /// Why the client has ended for good; `None` as long as it has not.
    #[must_use]
    pub fn end(&self) -> Option<&Arc<Disconnected>> {
        if let Phase::Ended(why) = &self.phase { Some(why) } else { None }
    }

    fn answered(
        &mut self,
        now: Instant,
        index: usize,
        request: crate::RequestId,
        outcome: Result<Response, RequestError>,
    ) {
        let Some(jid) = &self.session else { return };
        if let Some(extension) = self.extensions.at(index) {
            extension.answered(&mut Context { core: &mut self.core, jid, now, index }, request, outcome);
        }
    }

    /// Shows something to one extension after the other, until one says that it is done.
    fn each(
        &mut self,
        now: Instant,
        mut show: impl FnMut(&mut dyn Extension, &mut Context<'_>) -> bool,
    ) -> bool {
        let Some(jid) = &self.session else { return false };
        let mut index = 0;
        while let Some(extension) = self.extensions.at(index) {
            if show(extension, &mut Context { core: &mut self.core, jid, now, index }) {
                return true;
            }
            index += 1;
        }
        false
    }
}

/// The extension of that type, and its place.
fn find<E: Extension>(extensions: &mut impl Extensions) -> Option<(usize, &mut E)> {
    let mut index = 0;
    loop {
        let extension: &dyn Any = extensions.at(index)?;
        if extension.is::<E>() {
            break;
        }
        index += 1;
    }
    let extension: &mut dyn Any = extensions.at(index)?;
    Some((index, extension.downcast_mut()?))
}

impl<X> fmt::Debug for Agent<X> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Agent").field("phase", &self.phase).finish_non_exhaustive()
    }
}
