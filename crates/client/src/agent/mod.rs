//! A client that stays: through all of its sessions, from the first connection to the last.

mod disconnected;
mod event;
mod outbox;
mod sessions;
mod state;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;
use core::fmt;
use core::ops::Range;
use core::time::Duration;

use balcony_jid::FullJid;
use balcony_machine::{Instant, Random, Seed};
use balcony_stanza::{ErrorCondition, IqType, Kind, Payload, PresenceType, Stanza, StanzaError};
use balcony_stream::client::Token;

pub use self::disconnected::Disconnected;
pub use self::event::{AgentEvent, Completion, IncomingId, OutboxError};
pub(crate) use self::state::{Asker, State};
use crate::extension::{CallId, Callable, Context, Extension, Extensions};
use crate::iq::outcome;
use crate::queue::cost;
use crate::{
    Backoff, ClientMachine, IncomingRequest, Iq, MachineEvent, Message, Presence, ReceivedPresence,
    RequestError, RequestId, Response, Undelivered, lasting, services, sorted,
};

/// What an [`Agent`] does.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AgentConfig {
    /// What it says of itself whenever it comes online (RFC 6121 section 4.2). `None`: nothing, so that it gets no messages that are
    /// addressed to its account.
    pub presence: Option<Presence>,
    /// How long an answer may take, unless the request says otherwise.
    pub timeout: Duration,
    /// How long to wait before connecting again. The first attempt to go on with a session is made
    /// [at once](Backoff::broken), or, if the server has shut down, [within seconds](Backoff::shut_down), and the next ones soon after.
    pub backoff: Backoff,
    /// Whether it goes on connecting even if it has never been online. Otherwise the first failure is the end.
    pub is_patient: bool,
    /// Whether there is another connection after the first.
    pub reconnects: bool,
    /// Whether the owner is told of each message that the server has taken over: [`AgentEvent::Acknowledged`]. Who wants that takes events also
    /// while it only sends.
    pub tells_acknowledged: bool,
}

impl AgentConfig {
    /// The defaults, but that it [goes on connecting](AgentConfig::is_patient): for a program that nobody is there to start again.
    #[must_use]
    pub fn patient() -> Self {
        AgentConfig { is_patient: true, ..AgentConfig::default() }
    }
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
            tells_acknowledged: false,
        }
    }
}

/// What stays of a client when its connections come and go: its outbox, requests and their answers, its
/// [extensions](Extension), presence, and when to connect again. It works on stanzas; bytes are the business of the
/// [`ClientMachine`] that there is for each connection.
///
/// 1. **What has happened goes in**: [`online`](Agent::online) or [`resumed`](Agent::resumed), [`stanza`](Agent::stanza), [`offline`](Agent::offline), and
///    [`tick`](Agent::tick) at the [`deadline`](Agent::deadline). [`take`](Agent::take) sorts what a `ClientMachine` says.
/// 2. **What the owner wants**: [`send`](Agent::send), [`request`](Agent::request), [`call`](Agent::call), and
///    [`reply`](Agent::reply) or [`refuse`](Agent::refuse) for each request of others.
/// 3. **What comes of it**, after each of these: [`next_stanza`](Agent::next_stanza) to be sent while there is a connection,
///    [`next_event`](Agent::next_event), [`next_completed`](Agent::next_completed).
/// 4. **Looking**: [`is_full`](Agent::is_full) (then take no more stanzas from the connection), [`has_room`](Agent::has_room),
///    [`connects`](Agent::connects), [`end`](Agent::end).
///
/// What it keeps is bounded, as far as its owner heeds `is_full`: 1,024 events and 1 MiB of them, as much of outcomes, and twice as much to
/// be sent, each and one more; 1,024 requests that wait for an answer, and 64 of others.
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
    state: State,
    phase: Phase,
    /// The address of the session that there is, with a connection or, for a while, without.
    session: Option<Box<FullJid>>,
    config: AgentConfig,
    /// What is said of the client whenever it comes online: what was configured, or sent last.
    presence: Option<Stanza>,
    has_been_online: bool,
    /// When the owner has said last that the device has woken up, while there was a connection.
    woken: Option<Instant>,
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

impl<X: Extensions> Agent<X> {
    /// One that is about to connect for the first time.
    #[must_use]
    pub fn new(config: AgentConfig, mut extensions: X, seed: &Seed) -> Self {
        let mut random = seed.random();
        let mut state = State::new(random.token(8), config.timeout);
        let mut index = 0;
        while let Some(extension) = extensions.at(index) {
            for feature in extension.features() {
                sorted::put(&mut state.features, feature);
            }
            index += 1;
        }
        let presence = config.presence.as_ref().map(Presence::to_stanza);
        Agent {
            state,
            phase: Phase::Connecting,
            session: None,
            config,
            presence,
            has_been_online: false,
            woken: None,
            random,
            extensions,
        }
    }

    /// Tells whoever has asked.
    fn finish(
        &mut self,
        now: Instant,
        asker: Asker,
        request: RequestId,
        outcome: Result<Response, RequestError>,
    ) {
        match asker {
            Asker::Owner(call) => self.state.complete(call, Completion::Response(outcome)),
            Asker::Extension(index) => self.answered(now, index, request, outcome),
        }
    }

    /// What the [`ClientMachine`] of a connection tells: all that concerns the agent. What is left is for the owner, such as
    /// [`Ask`](MachineEvent::Ask).
    pub fn take(
        &mut self,
        now: Instant,
        event: MachineEvent,
        client: &ClientMachine,
    ) -> Option<MachineEvent> {
        match event {
            MachineEvent::Online(jid) => self.online(now, jid, client.features()),
            MachineEvent::Resumed => {
                if !self.resumed(now)
                    && let Some(jid) = client.jid()
                {
                    self.online(now, jid.clone(), client.features());
                }
            }
            MachineEvent::Stanza(stanza) => self.stanza(now, *stanza),
            MachineEvent::Token(token) => self.token(token),
            MachineEvent::Acknowledged(id) => self.acknowledged(id),
            other => return Some(other),
        }
        None
    }

    /// The server has given a token for the next login (XEP-0484).
    pub fn token(&mut self, token: Box<Token>) {
        self.state.event(AgentEvent::Token(token));
    }

    /// The server has taken over the message with this id (XEP-0198).
    pub fn acknowledged(&mut self, id: Arc<str>) {
        if self.config.tells_acknowledged {
            self.state.event(AgentEvent::Acknowledged(id));
        }
    }

    /// A stanza has come. Where no session is any more, a message that had come in the last one is told all the same; presence and requests
    /// were of that session, and are over with it.
    pub fn stanza(&mut self, now: Instant, stanza: Stanza) {
        let Some(jid) = &self.session else {
            if lasting::outlives_here(&stanza) {
                self.tell(stanza);
            }
            return;
        };
        let request = self.state.requests.close(&stanza, jid);
        self.state.shown = cost(&stanza);
        self.state.sender_sees = None;
        if let Some(request) = request {
            if let Some(asker) = self.state.asker(request) {
                self.finish(now, asker, request, outcome(stanza));
            }
        } else {
            self.state.sender_sees = self.sender_sees(&stanza);
            self.state.sender_groups = self.sender_groups(&stanza);
            if !self.each(now, |extension, context| extension.take(context, &stanza)) {
                self.tell(stanza);
            }
        }
        self.state.shown = 0;
    }

    /// Whether the sender may see that the client is there, if anybody here knows.
    fn sender_sees(&mut self, stanza: &Stanza) -> Option<bool> {
        let (own, from) = (self.session.as_ref()?, stanza.head.from.as_ref());
        if self.state.is_seen_by(from, own) {
            return Some(true);
        }
        let (from, mut index) = (from?, 0);
        while let Some(extension) = self.extensions.at(index) {
            if let Some(sees) = extension.sees(from) {
                return Some(sees);
            }
            index += 1;
        }
        None
    }

    /// The groups of the roster in which the sender of a request is.
    fn sender_groups(&mut self, stanza: &Stanza) -> Vec<String> {
        let mut index = 0;
        if let (Kind::Iq(IqType::Get | IqType::Set), Some(from)) = (stanza.head.kind, &stanza.head.from) {
            while let Some(extension) = self.extensions.at(index) {
                if let Some(groups) = extension.groups(from) {
                    return groups;
                }
                index += 1;
            }
        }
        Vec::new()
    }

    /// Tells the owner of a stanza that no extension has taken.
    fn tell(&mut self, stanza: Stanza) {
        let is_push = self.session.as_ref().is_some_and(|own| services::is_push(&stanza, own));
        let event = if let Some(undelivered) = Undelivered::read(&stanza) {
            Some(AgentEvent::Undelivered(Box::new(undelivered)))
        } else {
            match stanza.head.kind {
                Kind::Message(_) => {
                    Message::read(stanza).map(|message| AgentEvent::Message(Box::new(message)))
                }
                Kind::Presence(_) => {
                    ReceivedPresence::read(stanza).map(|presence| AgentEvent::Presence(Box::new(presence)))
                }
                Kind::Iq(_) if !is_push => match IncomingRequest::read(&stanza) {
                    Some(request) => self.incoming(&stanza, request),
                    None => Some(AgentEvent::Stanza(Box::new(stanza))),
                },
                Kind::Iq(_) => Some(AgentEvent::Stanza(Box::new(stanza))),
            }
        };
        if let Some(event) = event {
            self.state.event(event);
        }
    }

    /// A request that no extension has taken.
    fn incoming(&mut self, stanza: &Stanza, request: Box<IncomingRequest>) -> Option<AgentEvent> {
        if let Some(id) = self.state.wait_for_answer(stanza) {
            return Some(AgentEvent::Request((IncomingId(id), request)));
        }
        let error = StanzaError::new(ErrorCondition::ResourceConstraint, "too many requests wait here");
        stanza.error(&error).into_iter().for_each(|error| {
            self.state.send(error);
        });
        None
    }

    /// Does what is due.
    pub fn tick(&mut self, now: Instant) {
        while let Some(request) = self.state.requests.expired(now) {
            if let Some(asker) = self.state.asker(request) {
                self.finish(now, asker, request, Err(RequestError::TimedOut));
            }
        }
    }

    /// When to call [`tick`](Agent::tick), or to [connect](Agent::connects).
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let again = if let Phase::Waiting(until) = self.phase { Some(until) } else { None };
        self.state.requests.deadline().into_iter().chain(again).min()
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
        let id = self.state.name(&mut stanza);
        if stanza.head.to.is_none()
            && matches!(stanza.head.kind, Kind::Presence(PresenceType::Available | PresenceType::Unavailable))
        {
            let is_there = stanza.head.kind == Kind::Presence(PresenceType::Available);
            self.presence = is_there.then(|| stanza.clone());
            if self.session.is_none() {
                return Ok(id);
            }
        }
        self.state.push(stanza);
        Ok(id)
    }

    /// Whether the outbox takes another stanza: it holds up to 1,024 of them, and a megabyte.
    #[must_use]
    pub fn has_room(&self) -> bool {
        !self.state.outbox.is_full_times(1)
    }

    /// Sends a request. What becomes of it comes from [`next_completed`](Agent::next_completed), in any case.
    ///
    /// # Errors
    ///
    /// [`RequestError::Offline`]; [`RequestError::Full`]: there is no [room](Agent::has_room), or 1,024 requests wait for their answers.
    pub fn request(&mut self, now: Instant, iq: Iq) -> Result<CallId, RequestError> {
        let Phase::Online(..) = self.phase else { return Err(RequestError::Offline) };
        let call = self.state.open_call();
        match self.state.request(now, Asker::Owner(call), iq) {
            Ok(_) => Ok(call),
            Err(error) => {
                self.state.forget(call);
                Err(error)
            }
        }
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
        let call = self.state.open_call();
        extension.call(&mut Context { state: &mut self.state, jid, now, index }, call, command);
        Some(Ok(call))
    }

    /// An extension, to look at or to change; `None` if there is none of this type.
    pub fn ext<E: Extension>(&mut self) -> Option<&mut E> {
        find::<E>(&mut self.extensions).map(|(_, extension)| extension)
    }

    /// Answers a request of somebody else's. `false`: it has been answered, or its session is over.
    pub fn reply(&mut self, request: IncomingId, content: Payload) -> bool {
        let answer = self.state.take_incoming(request.0).and_then(|request| request.result());
        self.state.answer(answer.map(|answer| answer.with_payload(content)))
    }

    /// Refuses it.
    pub fn refuse(&mut self, request: IncomingId, error: &StanzaError) -> bool {
        let answer = self.state.take_incoming(request.0).and_then(|request| request.error(error));
        self.state.answer(answer)
    }

    /// The next stanza to be sent; `None` while there is no session.
    pub fn next_stanza(&mut self) -> Option<Stanza> {
        if let Phase::Online(_) = self.phase { self.state.outbox.pop() } else { None }
    }

    /// It could not be sent: its connection has broken, or has no room for it. It is the next one again, if it makes sense on another session.
    pub fn unsent(&mut self, stanza: Stanza) {
        self.state.outbox.put_back(stanza);
    }

    /// The numbers of the stanzas in the outbox: the next one to be sent has the first, and one that is put there gets the last.
    #[must_use]
    pub fn outbox(&self) -> Range<u64> {
        self.state.outbox.numbers()
    }

    /// Whether others see that the client is there, while there is a session.
    #[must_use]
    pub fn is_available(&self) -> bool {
        self.presence.is_some()
    }

    /// The next event.
    pub fn next_event(&mut self) -> Option<AgentEvent> {
        self.state.next_event()
    }

    /// Whether so much waits that no more stanzas are to be taken from the connection: 1,024 events or outcomes, or a megabyte of either, or
    /// twice as much to be sent. What costs memory counts, so that large stanzas count more than once.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.state.is_full()
    }

    /// A request or call of the owner's that has come to an end.
    pub fn next_completed(&mut self) -> Option<(CallId, Completion)> {
        self.state.next_completed()
    }

    /// What this one has come to, if it has come to an end and was not taken yet.
    pub fn take_completed(&mut self, call: CallId) -> Option<Completion> {
        self.state.take_completed(call)
    }

    /// Those that have come to an end and were not taken yet.
    pub fn completed(&self) -> impl Iterator<Item = CallId> {
        self.state.completed()
    }

    /// Nobody waits for it any more. A request that was sent stays sent.
    pub fn forget(&mut self, call: CallId) {
        self.state.forget(call);
    }

    /// Takes out of the outbox what makes sense without this session: for an owner who will not connect again.
    pub fn take_unsent(&mut self) -> Vec<Stanza> {
        let mut unsent = self.state.outbox.take();
        unsent.retain_lasting();
        core::iter::from_fn(|| unsent.pop()).collect()
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
        request: RequestId,
        outcome: Result<Response, RequestError>,
    ) {
        let Some(jid) = &self.session else { return };
        if let Some(extension) = self.extensions.at(index) {
            extension.answered(&mut Context { state: &mut self.state, jid, now, index }, request, outcome);
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
            if show(extension, &mut Context { state: &mut self.state, jid, now, index }) {
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
