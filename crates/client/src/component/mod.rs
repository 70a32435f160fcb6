//! What stays of a component (XEP-0114) when its connections come and go: what waits to be sent, requests that wait for their answers,
//! and when to connect again. Bytes and the time in, bytes and events out.
//!
//! A component is a service that is a domain of its own, such as rooms or a gateway, and attaches to a server with a secret. It speaks for
//! all addresses of the domain. There is no stream management: what was on its way when a connection broke may be lost.
//!
//! ```text
//!   connects ──true──▶ (the owner connects) ──▶ connected ──▶ output, receive, tick … ──▶ is_over ──▶ disconnected
//!      ▲                        └──▶ unreachable ──┐                                                       │
//!      └────────── deadline ◀──────────────────────┴───────────────────────────────────────────────────────┘
//! ```

mod event;

use alloc::borrow::ToOwned as _;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use balcony_connection::ComponentConnection;
use balcony_jid::{BareJid, Jid};
use balcony_machine::{Instant, Progress, Random, Seed};
use balcony_stanza::{IqType, Kind, Stanza};
use balcony_stream::component::{ComponentEvent as StreamEvent, ComponentInitiatingConfig};

pub use event::{ComponentEvent, Detached};

use crate::backoff::Backoff;
use crate::iq::outcome;
use crate::queue::{ENTRY, Queue, cost, error_cost};
use crate::{Iq, OutboxError, RequestError, RequestKind, Response};

/// Stanzas, and bytes of them, that wait to be sent; and events that wait for the owner.
const MOST: usize = 1_024;
const MOST_BYTES: usize = 1 << 20;
/// Requests that wait for an answer at a time.
const MOST_REQUESTS: usize = 1_024;
/// Bytes that are handed out to be written before more stanzas are taken from the outbox.
const OUTPUT: usize = 65_536;
/// How long an answer may take unless the request says otherwise.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long the first pause before connecting again may be, and the longest: the server is mostly on the same machine.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(60)];

/// Names a request of a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ComponentRequestId(u64);

/// A component, whatever becomes of its connections. The [module](self) draws how they follow each other.
///
/// 1. **What has happened goes in**: [`connected`](Component::connected) or [`unreachable`](Component::unreachable) when it
///    [connects](Component::connects), bytes with [`receive`](Component::receive), their end with [`disconnected`](Component::disconnected),
///    [`tick`](Component::tick) at the [`deadline`](Component::deadline).
/// 2. **What the owner wants**: [`send`](Component::send), [`request`](Component::request), [`answer`](Component::answer) for each request of
///    others, [`forget`](Component::forget), [`close`](Component::close).
/// 3. **What comes of it**, after each of these: [`output`](Component::output) to be written, [`next_event`](Component::next_event),
///    [`take_completed`](Component::take_completed).
/// 4. **Looking**: [`wants_input`](Component::wants_input) (else read no more, and `tick` when events are taken),
///    [`has_room`](Component::has_room), [`is_online`](Component::is_online), [`is_over`](Component::is_over), [`end`](Component::end).
///
/// The whole loop of a component that echoes, on a socket that blocks:
///
/// ```no_run
/// use std::io::{ErrorKind, Read, Write};
/// use std::net::{SocketAddr, TcpStream};
/// use std::time::Duration;
/// use balcony_client::component::{Component, ComponentEvent};
/// use balcony_machine::{Instant, Seed};
/// use balcony_stanza::{ErrorCondition, StanzaError};
/// use balcony_stream::component::ComponentInitiatingConfig;
///
/// fn run(config: ComponentInitiatingConfig, seed: Seed, place: SocketAddr) -> Result<(), Box<dyn std::error::Error>> {
///     let start = std::time::Instant::now();
///     let now = || Instant::ZERO + start.elapsed();
///     let mut component = Component::new(config, seed);
///     let (mut socket, mut chunk) = (None, [0; 4096]);
///     loop {
///         if component.connects(now()) {
///             match TcpStream::connect_timeout(&place, Duration::from_secs(10)) {
///                 Ok(connected) => {
///                     socket = Some(connected);
///                     component.connected(now());
///                 }
///                 Err(error) => component.unreachable(now(), &error.to_string()),
///             }
///         }
///         while let Some(event) = component.next_event() {
///             match event {
///                 ComponentEvent::Message(message) => {
///                     if let Some(body) = message.body() {
///                         component.send(message.reply().body(body).to_stanza())?;
///                     }
///                 }
///                 ComponentEvent::Request(request) => {
///                     let error = StanzaError::from(ErrorCondition::ServiceUnavailable);
///                     component.answer(request.stanza().error(&error).expect("requests have answers"))?;
///                 }
///                 ComponentEvent::Offline { why, next: None } => return Err(why.to_string().into()),
///                 _ => {}
///             }
///         }
///         // Events that were taken have made room for others.
///         component.tick(now());
///         // Neither reading nor writing waits longer than until something is due. Zero would mean for ever.
///         let due = component.deadline().map(|at| (at - now()).max(Duration::from_millis(1)));
///         let Some(tcp) = &mut socket else {
///             std::thread::sleep(due.unwrap_or_default());
///             continue;
///         };
///         if component.is_over() {
///             // Its last words, for which the server has no longer than a moment. Whoever has gone does not hear them.
///             let _ = tcp.set_write_timeout(Some(Duration::from_secs(5))).and_then(|()| tcp.write_all(component.output()));
///             socket = None;
///             component.disconnected(now(), None);
///             continue;
///         }
///         let output = component.output();
///         let read = if output.is_empty() {
///             tcp.set_read_timeout(due).and_then(|()| tcp.read(&mut chunk)).map(Some)
///         } else {
///             // What is left is written the next time.
///             tcp.set_write_timeout(due).and_then(|()| tcp.write(output)).map(|count| drop(output.drain(..count))).map(|()| None)
///         };
///         match read {
///             Ok(None) => {}
///             Ok(Some(0)) => {
///                 socket = None;
///                 component.disconnected(now(), None);
///             }
///             Ok(Some(count)) => component.receive(now(), &chunk[..count]),
///             Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted) => {}
///             Err(error) => {
///                 socket = None;
///                 component.disconnected(now(), Some(&error.to_string()));
///             }
///         }
///     }
/// }
/// ```
pub struct Component {
    config: Arc<ComponentInitiatingConfig>,
    random: Random,
    connection: Option<ComponentConnection>,
    /// Decrypted input is the connection's; this has come while the owner took no events.
    input: Vec<u8>,
    out: Vec<u8>,
    attached: Option<Instant>,
    outbox: Queue<Stanza>,
    events: Queue<ComponentEvent>,
    requests: BTreeMap<u64, Open>,
    completed: BTreeMap<u64, Result<Response, RequestError>>,
    /// What those take in memory.
    completed_bytes: usize,
    next_request: u64,
    /// Makes our ids differ from those of other runs.
    prefix: String,
    backoff: Backoff,
    /// When to connect; `None` while there is a connection, and after the end.
    next: Option<Instant>,
    is_connecting: bool,
    is_closing: bool,
    end: Option<Arc<Detached>>,
}

/// What a result takes while nobody has taken it.
fn memory(result: &Result<Response, RequestError>) -> usize {
    match result {
        Ok(response) => response.memory(),
        Err(RequestError::Refused(error)) => error_cost(error),
        Err(_) => ENTRY,
    }
}

struct Open {
    from: Jid,
    to: Jid,
    expires: Instant,
}

impl Component {
    /// A component that wants to connect at once.
    #[must_use]
    pub fn new(config: ComponentInitiatingConfig, seed: Seed) -> Component {
        let mut random = seed.random();
        let prefix = format!("c{:x}", random.next_u64());
        Component {
            config: Arc::new(config),
            random,
            connection: None,
            input: Vec::new(),
            out: Vec::new(),
            attached: None,
            outbox: Queue::new(MOST, MOST_BYTES),
            events: Queue::new(MOST, MOST_BYTES),
            requests: BTreeMap::new(),
            completed: BTreeMap::new(),
            completed_bytes: 0,
            next_request: 0,
            prefix,
            backoff: Backoff::new(PAUSES[0], PAUSES[1]),
            next: Some(Instant::ZERO),
            is_connecting: false,
            is_closing: false,
            end: None,
        }
    }

    /// Its domain.
    #[must_use]
    pub fn domain(&self) -> &BareJid {
        &self.config.domain
    }

    /// Whether it is attached to its server.
    #[must_use]
    pub fn is_online(&self) -> bool {
        self.attached.is_some()
    }

    /// Why it has ended for good.
    #[must_use]
    pub fn end(&self) -> Option<&Arc<Detached>> {
        self.end.as_ref()
    }
}

/// For the owner of the connection.
impl Component {
    /// Whether to connect now. Then say what has come of it: [`connected`](Component::connected) or
    /// [`unreachable`](Component::unreachable).
    pub fn connects(&mut self, now: Instant) -> bool {
        let is_time = !self.is_connecting && self.next.is_some_and(|next| next <= now);
        self.is_connecting |= is_time;
        is_time
    }

    /// There is a connection: the stream begins.
    pub fn connected(&mut self, now: Instant) {
        (self.next, self.is_connecting) = (None, false);
        self.connection =
            Some(ComponentConnection::initiating(Arc::clone(&self.config), self.random.seed(), now));
        (self.input, self.out) = (Vec::new(), Vec::new());
        self.advance(now);
    }

    /// There is none, for this reason.
    pub fn unreachable(&mut self, now: Instant, reason: &str) {
        self.detached(now, Detached::Unreachable(reason.to_owned()));
    }

    /// Takes bytes of the server.
    pub fn receive(&mut self, now: Instant, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
        self.advance(now);
    }

    /// The connection is gone: the server has closed it, or it broke for this reason. To be called once for each connection, also for one
    /// that [is over](Component::is_over).
    pub fn disconnected(&mut self, now: Instant, reason: Option<&str>) {
        if self.connection.is_none() {
            // It was over before.
            return;
        }
        if let Some(reason) = reason {
            return self.detached(now, Detached::Broken(reason.to_owned()));
        }
        let Some(mut connection) = self.connection.take() else { return };
        let why = match connection.eof(now, &mut self.out) {
            Err(error) => Detached::Ended(error),
            Ok(_) => Detached::ByServer,
        };
        self.detached(now, why);
    }

    /// Whether more is to be read: not while the owner takes no events or results, or the server takes no answers.
    #[must_use]
    pub fn wants_input(&self) -> bool {
        !self.events.is_full() && !self.outbox.is_full_times(2) && self.completed_bytes < MOST_BYTES
    }

    /// What is to be written. Take out of it what was.
    pub fn output(&mut self) -> &mut Vec<u8> {
        if let Some(connection) = self.connection.as_mut().filter(|_| self.attached.is_some()) {
            while self.out.len() < OUTPUT
                && let Some(stanza) = self.outbox.pop()
            {
                // Of another domain than ours nothing gets into the outbox.
                let _ = connection.send(&stanza);
                let _ = connection.flush(&mut self.out);
            }
        }
        &mut self.out
    }

    /// Whether the stream has ended: write what there is, close the connection, and say that it is
    /// [gone](Component::disconnected).
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.connection.is_none() && !self.is_connecting && (self.next.is_some() || self.end.is_some())
    }

    /// When to call [`tick`](Component::tick), or to ask whether it [connects](Component::connects).
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let stream = self.connection.as_ref().and_then(ComponentConnection::deadline);
        let requests = self.requests.values().map(|open| open.expires);
        let next = self.next.filter(|_| !self.is_connecting);
        stream.map(|deadline| deadline.at).into_iter().chain(next).chain(requests).min()
    }

    /// Does what is due, and goes on with what has come when the owner has taken events.
    pub fn tick(&mut self, now: Instant) {
        let is_late = |open: &Open| open.expires <= now;
        let late: Vec<u64> =
            self.requests.iter().filter(|(_, open)| is_late(open)).map(|(number, _)| *number).collect();
        for number in late {
            self.complete(number, Err(RequestError::TimedOut));
        }
        self.advance(now);
        // Only to connect may be due: the owner is asked that by `connects`.
        let due = self.deadline().filter(|at| *at <= now && self.next.is_none_or(|next| next > now));
        debug_assert!(due.is_none(), "{due:?} is still due at {now:?}");
    }

    fn advance(&mut self, now: Instant) {
        loop {
            let is_full = !self.wants_input();
            let Some(connection) = &mut self.connection else { return };
            let mut rest = if is_full { &[][..] } else { self.input.as_slice() };
            let before = rest.len();
            let progress = match is_full {
                true => connection.tick(now, &mut self.out),
                false => connection.advance(now, &mut rest, &mut self.out),
            };
            let taken = before - rest.len();
            self.input.drain(..taken);
            // Why TLS has failed shows at the next advance.
            let _ = connection.flush(&mut self.out);
            match progress {
                Ok(Progress::Event(StreamEvent::Attached(_))) => {
                    self.attached = Some(now);
                    self.tell(ComponentEvent::Online);
                }
                Ok(Progress::Event(StreamEvent::Stanza(stanza))) => self.stanza(*stanza),
                // The end of a component is asked nothing.
                Ok(Progress::Event(StreamEvent::Ask(..))) => {}
                Ok(Progress::Closed) => {
                    let why = if self.is_closing { Detached::ByOwner } else { Detached::ByServer };
                    return self.detached(now, why);
                }
                Ok(_) => return,
                Err(error) => return self.detached(now, Detached::Ended(error)),
            }
        }
    }

    fn stanza(&mut self, stanza: Stanza) {
        match self.answered(&stanza) {
            Some(number) => self.complete(number, outcome(stanza)),
            None => self.tell(ComponentEvent::of(stanza)),
        }
    }

    /// Which request of ours this answers: its id and both of its addresses have to fit, so that nobody else can (RFC 6120 section
    /// 8.1.2.1).
    fn answered(&self, stanza: &Stanza) -> Option<u64> {
        if !matches!(stanza.head.kind, Kind::Iq(IqType::Result | IqType::Error)) {
            return None;
        }
        let digits = stanza.head.id.as_deref()?.strip_prefix(self.prefix.as_str())?.strip_prefix('-')?;
        let number = digits.parse().ok().filter(|number: &u64| number.to_string() == digits)?;
        let open = self.requests.get(&number)?;
        let fits = stanza.head.from.as_ref() == Some(&open.to) && stanza.head.to.as_ref() == Some(&open.from);
        fits.then_some(number)
    }

    fn complete(&mut self, number: u64, result: Result<Response, RequestError>) {
        if self.requests.remove(&number).is_some() {
            self.completed_bytes += memory(&result);
            self.completed.insert(number, result);
        }
    }

    fn tell(&mut self, event: ComponentEvent) {
        let cost = event.cost();
        self.events.push(event, cost);
    }

    fn detached(&mut self, now: Instant, why: Detached) {
        self.connection = None;
        self.is_connecting = false;
        if self.end.is_some() {
            return;
        }
        if let Some(since) = self.attached.take() {
            self.backoff.lasted(now.saturating_since(since));
        }
        let open: Vec<u64> = self.requests.keys().copied().collect();
        for number in open {
            self.complete(number, Err(RequestError::Offline));
        }
        let why = if self.is_closing { Detached::ByOwner } else { why };
        let why = Arc::new(why);
        let pause = (!why.is_permanent()).then(|| self.backoff.failed(&mut self.random));
        self.next = pause.map(|pause| now + pause);
        if pause.is_none() {
            self.end = Some(Arc::clone(&why));
        }
        self.tell(ComponentEvent::Offline { why, next: pause });
    }
}

/// For the owner of the component.
impl Component {
    /// The next thing that has happened. Requests among them have to be answered: send
    /// [`result`](Stanza::result) or [`error`](Stanza::error) of their [stanza](crate::IncomingRequest::stanza).
    pub fn next_event(&mut self) -> Option<ComponentEvent> {
        self.events.pop()
    }

    /// Whether a stanza can be sent.
    #[must_use]
    pub fn has_room(&self) -> bool {
        !self.outbox.is_full()
    }

    /// Sends a stanza, now or when it is online: from the domain, unless it says which address of that it is from.
    ///
    /// # Errors
    ///
    /// [`OutboxError`]; of another domain than that of the component nothing is sent.
    pub fn send(&mut self, stanza: Stanza) -> Result<(), OutboxError> {
        if !self.has_room() {
            return Err(OutboxError::Full);
        }
        self.answer(stanza)
    }

    /// The same whether there is room or not, for answers: as many as there were requests.
    ///
    /// # Errors
    ///
    /// As for [`send`](Component::send), but for a full outbox.
    pub fn answer(&mut self, mut stanza: Stanza) -> Result<(), OutboxError> {
        if self.end.is_some() || self.is_closing {
            return Err(OutboxError::Ended);
        }
        let domain = &self.config.domain;
        let from = stanza.head.from.get_or_insert_with(|| domain.to_jid());
        if from.domainpart() != domain.domainpart() {
            return Err(OutboxError::OtherDomain);
        }
        // The address of the stream is the server's, which nobody can be asked for without saying so.
        stanza.head.to.get_or_insert_with(|| domain.to_jid());
        let cost = cost(&stanza);
        self.outbox.push(stanza, cost);
        Ok(())
    }

    /// Sends a request, which has to say whom it asks: from the domain, or from this address of it.
    ///
    /// # Errors
    ///
    /// [`RequestError::Offline`] while it is not attached; [`RequestError::Full`].
    pub fn request(
        &mut self,
        now: Instant,
        iq: Iq,
        from: Option<Jid>,
    ) -> Result<ComponentRequestId, RequestError> {
        if self.attached.is_none() {
            return Err(RequestError::Offline);
        }
        if self.requests.len() + self.completed.len() >= MOST_REQUESTS || !self.has_room() {
            return Err(RequestError::Full);
        }
        let number = self.next_request;
        let kind = match iq.kind {
            RequestKind::Get => IqType::Get,
            RequestKind::Set => IqType::Set,
        };
        let mut stanza = Stanza::iq(kind).with_payload(iq.payload);
        stanza.head.id = Some(format!("{}-{number}", self.prefix).into());
        let own = || self.config.domain.to_jid();
        let (from, to) = (from.unwrap_or_else(own), iq.to.unwrap_or_else(own));
        (stanza.head.from, stanza.head.to) = (Some(from.clone()), Some(to.clone()));
        self.send(stanza).map_err(|_| RequestError::Offline)?;
        self.next_request += 1;
        let expires = now + iq.timeout.unwrap_or(PATIENCE);
        self.requests.insert(number, Open { from, to, expires });
        Ok(ComponentRequestId(number))
    }

    /// What has come of a request, once.
    pub fn take_completed(&mut self, request: ComponentRequestId) -> Option<Result<Response, RequestError>> {
        let result = self.completed.remove(&request.0)?;
        self.completed_bytes -= memory(&result);
        Some(result)
    }

    /// Nobody waits for the answer any more.
    pub fn forget(&mut self, request: ComponentRequestId) {
        self.requests.remove(&request.0);
        drop(self.take_completed(request));
    }

    /// Sends what waits as far as there is a connection, and ends the component.
    pub fn close(&mut self, now: Instant) {
        if self.is_closing || self.end.is_some() {
            return;
        }
        // All of it: nobody asks for more output than there is.
        while self.attached.is_some() && !self.outbox.is_empty() {
            let Some(connection) = &mut self.connection else { break };
            let Some(stanza) = self.outbox.pop() else { break };
            let _ = connection.send(&stanza);
            let _ = connection.flush(&mut self.out);
        }
        self.is_closing = true;
        match &mut self.connection {
            Some(connection) => {
                connection.close(now);
                self.advance(now);
            }
            None => self.detached(now, Detached::ByOwner),
        }
    }
}

impl fmt::Debug for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Component")
            .field("domain", &self.config.domain)
            .field("is_online", &self.is_online())
            .field("end", &self.end)
            .finish_non_exhaustive()
    }
}
