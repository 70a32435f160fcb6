//! The machine of a client: one account's connection, its requests, and the answers that every client owes.
//!
//! What the stream tells becomes the client's own events here. Requests that any client answers in the same way are answered by
//! `services.rs`, and shown only if they tell of a change. All else is left to the owner, initial presence and the roster too.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use balcony_connection::{ClientConnection, Error};
use balcony_jid::{BareJid, FullJid, Jid};
use balcony_machine::{ApiMisuse, Deadline, Instant, Progress, Reason, Seed, Ticket};
use balcony_sasl::{Mechanism, SaslCondition};
use balcony_stanza::{ErrorCondition, IqType, Kind, Payload, Stanza, StanzaError};
use balcony_stream::client::{ClientAnswer, ClientAsk, ClientEvent, Resumption, ServerFeatures, Token};
use balcony_stream::{AckPace, TlsPolicy};

use crate::config::ClientConfig;
use crate::outbox::{Entry, Kept, MOST_SESSIONS};
use crate::queue::{Queue, cost};
use crate::requests::{RequestId, RequestOutcome, Requests};
use crate::send_error::SendError;
use crate::services;
use crate::session::Session;
use crate::unhandled::Unhandled;

/// One account's connection to its server. See the [crate]. `Debug` shows nothing of what was sent or has come.
///
/// 1. **What has happened goes in**: bytes with [`advance`](ClientMachine::advance), their end with [`eof`](ClientMachine::eof),
///    [`tick`](ClientMachine::tick) at the [`deadline`](ClientMachine::deadline), and the [`answer`](ClientMachine::answer) to what was asked.
/// 2. **What the owner wants**: [`send`](ClientMachine::send), [`request`](ClientMachine::request), [`close`](ClientMachine::close), and
///    [`wake`](ClientMachine::wake) and [`set_active`](ClientMachine::set_active) on devices; [`handled`](ClientMachine::handled), for an owner who
///    [says so](ClientMachine::tell_handled).
/// 3. **What comes of it**: bytes to be written, which each of these appends to the owner's buffer, and events. One is returned at a time:
///    call `advance` again, with no more bytes too, until it wants input.
/// 4. **Looking**: [`jid`](ClientMachine::jid), [`features`](ClientMachine::features), [`is_resumable`](ClientMachine::is_resumable);
///    and when the connection is over [`into_session`](ClientMachine::into_session), of which [`resuming`](ClientMachine::resuming) makes the next one.
///
/// The whole loop on a socket that blocks; a [`Pump`](crate::Pump) has the buffers in it:
///
/// ```no_run
/// use std::io::{ErrorKind, Read, Write};
/// use std::net::TcpStream;
/// use std::time::Duration;
/// use balcony_client::{ClientConfig, ClientMachine, MachineEvent, Presence};
/// use balcony_machine::{Instant, Progress, Seed};
///
/// fn run(config: ClientConfig, seed: &Seed, mut socket: TcpStream) -> Result<(), Box<dyn std::error::Error>> {
///     let start = std::time::Instant::now();
///     let now = || Instant::ZERO + start.elapsed();
///     let mut client = ClientMachine::new(config, seed, now());
///     let (mut bytes, mut out, mut chunk) = (Vec::new(), Vec::new(), [0; 4096]);
///     loop {
///         let mut input = bytes.as_slice();
///         let is_over = loop {
///             match client.advance(now(), &mut input, &mut out)? {
///                 Progress::Event(MachineEvent::Ask(ticket, ask)) => client.answer(ticket, balcony_client::answer(ask))?,
///                 Progress::Event(MachineEvent::Online(_)) => {
///                     client.send(now(), &Presence::default().to_stanza(), &mut out)?;
///                 }
///                 Progress::Event(event) => println!("{event:?}"),
///                 Progress::Closed => break true,
///                 Progress::NeedInput | Progress::Blocked(_) => break false,
///             }
///         };
///         if is_over {
///             // Its last words, for which the server has no longer than a moment.
///             socket.set_write_timeout(Some(Duration::from_secs(5)))?;
///             return Ok(socket.write_all(&out)?);
///         }
///         // What the client has not taken is for the next time.
///         let taken = bytes.len() - input.len();
///         bytes.drain(..taken);
///         // Neither reading nor writing waits longer than until something is due. Zero would mean for ever.
///         let due = client.deadline().map(|due| (due.at - now()).max(Duration::from_millis(1)));
///         let read = if out.is_empty() {
///             socket.set_read_timeout(due).and_then(|()| socket.read(&mut chunk)).map(Some)
///         } else {
///             socket.set_write_timeout(due).and_then(|()| socket.write(&out)).map(|count| drop(out.drain(..count))).map(|()| None)
///         };
///         match read {
///             Ok(None) => {}
///             Ok(Some(0)) => drop(client.eof(now(), &mut out)?),
///             Ok(Some(count)) => bytes.extend_from_slice(&chunk[..count]),
///             Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted) => {}
///             Err(error) => return Err(error.into()),
///         }
///     }
/// }
/// ```
pub struct ClientMachine {
    config: ClientConfig,
    /// On the heap: it is large, and a client is moved from hand to hand, on a stack that may be small.
    connection: Box<ClientConnection>,
    requests: Requests,
    mechanism: Option<Mechanism>,
    /// The account has been logged in to by SCRAM, on this connection or one before.
    knows_scram: bool,
    /// What was sent and is not acknowledged, or not written; of an earlier session, until this one has begun.
    outbox: Queue<Entry>,
    kept: Kept,
    /// The owner says what it has [written](ClientMachine::written). What one who does not is to send counts as written.
    tells_written: bool,
    /// The token for the next login, once a server has given or refused one (XEP-0484).
    #[cfg(feature = "fast")]
    token: Option<Option<Token>>,
    /// When the server is to be asked.
    pace: AckPace,
    /// What has happened, to be told one after the other.
    told: VecDeque<MachineEvent>,
    /// The owner does not take all that comes: when the server is to be shown again that the client is there.
    unread: Option<Instant>,
    /// The owner's TLS is up.
    has_owners_tls: bool,
    /// What is not handled, if the owner [says](ClientMachine::tell_handled) what is. Otherwise what it was told is.
    unhandled: Option<Unhandled>,
}

/// What a [`ClientMachine`] tells its owner.
#[derive(Debug)]
#[non_exhaustive]
pub enum MachineEvent {
    /// The next byte is TLS's: run it, then call `ClientMachine::secured`. Only if the configuration has no TLS of its own.
    StartTls,
    /// Compute this and bring the [`answer`](ClientMachine::answer); it takes a while on purpose.
    Ask(Ticket, ClientAsk),
    /// The server has accepted the password, and proven that it knows it where the mechanism can show that.
    Authenticated {
        /// The account.
        account: BareJid,
        /// How. Whoever has seen more than PLAIN can keep to that
        /// ([`mechanisms`](balcony_stream::client::ClientStreamConfig::mechanisms)).
        mechanism: Mechanism,
    },
    /// The server has given a token for the next login (XEP-0484). [`ClientMachine::resuming`] uses it by itself; a program that wants to log in
    /// by it later, too, keeps it, like a password. With the feature `fast`.
    Token(Box<Token>),
    /// The server does not take the token any more, and was given the password instead.
    TokenRefused(SaslCondition),
    /// The resource is bound. Send initial presence (RFC 6121 section 4.2) to receive messages.
    Online(FullJid),
    /// A stanza that answers no request of ours. What the server pushes to its account's clients, changes of the roster
    /// and of the blocked, has been answered already.
    Stanza(Box<Stanza>),
    /// A request has been answered, or has expired.
    Response(RequestId, RequestOutcome),
    /// The session of the connection before goes on, with its resource, its roster and its presence (XEP-0198 section 5). What the
    /// server had not got has been sent again. This comes instead of [`Online`](MachineEvent::Online).
    Resumed,
    /// The server has taken over a message with this id. Messages without an id are not told of.
    Acknowledged(Arc<str>),
    /// A message with this id was sent again in a new session, which nobody can tell from the first time but by its id: the server has
    /// not said whether it had got it.
    Resent(Arc<str>),
}

impl ClientMachine {
    /// A client that will connect. `now` begins the time allowed for negotiation.
    #[must_use]
    pub fn new(config: ClientConfig, seed: &Seed, now: Instant) -> Self {
        let mut random = seed.random();
        let connection = config.connection(&mut random, now);
        ClientMachine {
            connection: Box::new(connection),
            requests: Requests::new(random.token(8)),
            mechanism: None,
            knows_scram: false,
            outbox: Queue::new(config.stream.limits.outbox, config.stream.limits.outbox_bytes),
            kept: Kept::Unsettled,
            tells_written: false,
            #[cfg(feature = "fast")]
            token: None,
            pace: AckPace::new(config.acks),
            told: VecDeque::new(),
            unread: None,
            has_owners_tls: false,
            unhandled: None,
            config,
        }
    }

    /// A client that will connect, and go on with the session of a connection that has ended. All connections of a session have the
    /// same clock.
    ///
    /// Once the account was logged in to by SCRAM, its password is not sent in the clear any more (XEP-0474 section 7): a server that offers
    /// nothing but PLAIN then is taken for somebody else.
    ///
    /// If its server lets it, [`MachineEvent::Resumed`] says so, and what the server had not got is sent again. If not, [`MachineEvent::Online`] comes as
    /// ever, and the messages that may not have arrived are sent again in the new session, each with its id, and when it was sent first
    /// if [that is known](ClientConfig::clock_start).
    ///
    /// # Errors
    ///
    /// [`ApiMisuse`] if the session is another account's.
    pub fn resuming(
        config: ClientConfig,
        session: Session,
        seed: &Seed,
        now: Instant,
    ) -> Result<Self, ApiMisuse> {
        let mut session = session;
        session.leave_to_server(&mut Queue::new(0, 0));
        let mut client = ClientMachine::new(session.adjust(config), seed, now);
        client.go_on(session)?;
        Ok(client)
    }

    /// Takes over what the connection before has left, before anything else is done. Of its events none is the server's to tell again.
    ///
    /// # Errors
    ///
    /// [`ApiMisuse`] if the session is another account's.
    pub(crate) fn go_on(&mut self, session: Session) -> Result<(), ApiMisuse> {
        if let Some(resumption) = session.resumption {
            self.connection.resume(resumption)?;
        }
        #[cfg(feature = "fast")]
        {
            self.token = session.token;
        }
        (self.outbox, self.requests, self.told) = (session.outbox, session.requests, session.told);
        self.knows_scram = session.knows_scram;
        self.connection.set_active(session.is_active);
        self.unhandled = session.unhandled;
        Ok(())
    }

    /// Whether another connection can go on with this session, as far as the client knows; see [`resuming`](ClientMachine::resuming).
    #[must_use]
    pub fn is_resumable(&self) -> bool {
        self.resumption().is_some()
    }

    /// Whether what is [sent](ClientMachine::send) now is kept until the server has acknowledged it.
    #[must_use]
    pub fn counts_sent(&self) -> bool {
        self.connection.counts_sent()
    }

    /// What was sent and is not acknowledged, the oldest first. Another connection sends it again.
    ///
    /// Where the server refuses to count, or what is left of an earlier session was sent again to one that does not, nobody acknowledges it: then it
    /// is here until a [`Pump`](crate::Pump) has written it. Without a pump it is gone when it is in the owner's buffer.
    pub fn unacknowledged(&self) -> impl Iterator<Item = &Stanza> {
        self.outbox.iter().map(|entry| &entry.stanza)
    }

    pub(crate) fn resumption(&self) -> Option<Resumption> {
        self.connection.resumption()
    }

    /// What goes on on the next connection, after this one has ended: see [`resuming`](ClientMachine::resuming). The session of a stream that was
    /// closed in good order is over.
    #[must_use]
    pub fn into_session(self) -> Session {
        Session {
            resumption: self.connection.resumption(),
            outbox: self.outbox,
            requests: self.requests,
            #[cfg(feature = "fast")]
            token: self.token,
            told: self.told,
            knows_scram: self.knows_scram,
            is_active: self.connection.is_active(),
            unhandled: self.unhandled,
        }
    }

    /// Takes the server's bytes up to the next event, and appends what is to be sent to `out`. Call it once without
    /// input to begin.
    ///
    /// # Errors
    ///
    /// The [`Error`] that ended the connection.
    pub fn advance(
        &mut self,
        now: Instant,
        input: &mut &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Progress<MachineEvent>, Error> {
        let progress = self.run(now, out, |connection, out| connection.advance(now, input, out))?;
        if matches!(progress, Progress::NeedInput) {
            // All has been taken.
            self.unread = None;
        }
        Ok(progress)
    }

    /// Does what has become due, and takes no input, not even such as has come before: for an owner who has no place for
    /// another stanza now. Call it until it returns no event.
    ///
    /// # Errors
    ///
    /// As for [`advance`](ClientMachine::advance).
    pub fn tick(&mut self, now: Instant, out: &mut Vec<u8>) -> Result<Progress<MachineEvent>, Error> {
        self.run(now, out, |connection, out| connection.tick(now, out))
    }

    /// The owner has no place for what has come, and reads on when it has. Until all has been read, the server is shown every few seconds
    /// that the client is there, as far as `out` is written: by an acknowledgement of what was taken (XEP-0198 section 4), or a ping; and
    /// its silence means nothing, since what it says is not heard. A server that takes nothing is given up as ever.
    pub(crate) fn leave_unread(&mut self, now: Instant) {
        let next = now + self.interval();
        self.unread.get_or_insert(next);
    }

    /// Twice as often as a server may ask in vain that has the same patience.
    fn interval(&self) -> Duration {
        (self.config.stream.limits.answer / 2).max(Duration::from_millis(1))
    }

    fn stay(&mut self, now: Instant, out: &mut Vec<u8>) -> Result<(), Error> {
        if self.unread.is_some_and(|at| at <= now) {
            self.unread = Some(now + self.interval());
            if out.is_empty() {
                self.connection.unread(now);
                self.connection.flush(out)?;
            }
        }
        Ok(())
    }

    fn run(
        &mut self,
        now: Instant,
        out: &mut Vec<u8>,
        mut step: impl FnMut(&mut ClientConnection, &mut Vec<u8>) -> Result<Progress<ClientEvent>, Error>,
    ) -> Result<Progress<MachineEvent>, Error> {
        self.stay(now, out)?;
        loop {
            // What has just happened may have made it due.
            if self.pace.is_due(now) {
                self.pace.asked();
                self.connection.request_ack(now);
            }
            if let Some(event) = self.told.pop_front() {
                return Ok(Progress::Event(event));
            }
            if let Some(request) = self.requests.expired(now) {
                return Ok(Progress::Event(MachineEvent::Response(request, RequestOutcome::TimedOut)));
            }
            let progress = step(&mut self.connection, out)?;
            self.connection.flush(out)?;
            let event = match progress {
                Progress::Event(event) => event,
                other => return Ok(other.map(|_| MachineEvent::StartTls)),
            };
            if let Some(event) = self.translate(now, event, out)? {
                return Ok(Progress::Event(event));
            }
        }
    }

    fn translate(
        &mut self,
        now: Instant,
        event: ClientEvent,
        out: &mut Vec<u8>,
    ) -> Result<Option<MachineEvent>, Error> {
        Ok(Some(match event {
            ClientEvent::StartTls => MachineEvent::StartTls,
            ClientEvent::Ask(ticket, ask) => MachineEvent::Ask(ticket, ask),
            ClientEvent::Authenticated { account, mechanism } => {
                self.mechanism = Some(mechanism);
                self.knows_scram |= mechanism.hash().is_some();
                MachineEvent::Authenticated { account, mechanism }
            }
            ClientEvent::Token(token) => {
                #[cfg(feature = "fast")]
                {
                    self.token = Some(Some((*token).clone()));
                }
                MachineEvent::Token(token)
            }
            ClientEvent::TokenRefused(condition) => {
                #[cfg(feature = "fast")]
                {
                    self.token = Some(None);
                }
                MachineEvent::TokenRefused(condition)
            }
            ClientEvent::Bound(jid) => {
                self.begin_session(now);
                self.connection.flush(out)?;
                self.forget_written();
                MachineEvent::Online(jid)
            }
            ClientEvent::Resumed { acknowledged } => {
                self.kept = Kept::UntilAcknowledged;
                self.acknowledge(acknowledged);
                self.send_again(now);
                self.connection.flush(out)?;
                MachineEvent::Resumed
            }
            ClientEvent::Enabled { .. } => {
                self.kept = Kept::UntilAcknowledged;
                if !self.outbox.is_empty() {
                    self.pace.sent(now);
                }
                return Ok(None);
            }
            ClientEvent::NotEnabled(_) => {
                self.kept = Kept::UntilWritten;
                self.forget_written();
                return Ok(None);
            }
            ClientEvent::NotResumed { acknowledged: count, .. } | ClientEvent::Acked(count) => {
                self.acknowledge(count);
                return Ok(None);
            }
            ClientEvent::Stanza(stanza) => {
                if self.unhandled.is_none() {
                    // Whatever becomes of the connection, the owner has it.
                    self.connection.handled(1);
                }
                let event = self.take(now, stanza, out);
                if let Some(unhandled) = &mut self.unhandled {
                    match event {
                        Some(MachineEvent::Stanza(_)) => unhandled.tell(self.kept == Kept::UntilAcknowledged),
                        _ => self.connection.handled(unhandled.took()),
                    }
                }
                return Ok(event);
            }
        }))
    }

    /// Deals with a stanza of the server's, as far as that is not left to the owner.
    fn take(&mut self, now: Instant, stanza: Box<Stanza>, out: &mut Vec<u8>) -> Option<MachineEvent> {
        if self.connection.answers_ping(&stanza) {
            return None;
        }
        let own = self.connection.jid();
        if let Some(request) = own.and_then(|own| self.requests.close(&stanza, own)) {
            return Some(MachineEvent::Response(request, outcome(*stanza)));
        }
        let is_push = own.is_some_and(|own| services::is_push(&stanza, own));
        if let Some(answer) = services::answer(&stanza, is_push, &self.config) {
            // While the stream is closing there is nobody left to answer to; nor does a server get answers that says nothing
            // of what it has got.
            let _ = self.put(now, &answer);
            // A TLS failure shows at the next advance.
            let _ = self.connection.flush(out);
            if !is_push {
                return None;
            }
        }
        Some(MachineEvent::Stanza(stanza))
    }

    /// The owner says from now on which stanzas it has [handled](ClientMachine::handled), on this connection and on those that
    /// [go on](ClientMachine::resuming) from it: for one that must not lose what it is told, whatever becomes of itself. Say it before there
    /// is anything to handle: before initial presence (RFC 6121 section 4.2) at the latest.
    ///
    /// Otherwise a stanza that it is told of counts as handled.
    pub fn tell_handled(&mut self) {
        self.unhandled.get_or_insert_default();
    }

    /// So many more of the [stanzas](MachineEvent::Stanza) that the owner was told of are handled, in the order in which they came: where
    /// that is counted (XEP-0198 section 4) the server learns it when it asks, or when the stream is [closed](ClientMachine::close), and
    /// forgets them. All others it has for the next client, or sends again in this session; so what comes after `close` is not to be
    /// dealt with. No more count than there are. An owner who has promised to [say so](ClientMachine::tell_handled) has to say it of each, of
    /// those that mean nothing to it as well.
    ///
    /// It may be said after the connection has ended, too, until the [next one](ClientMachine::resuming): there the server begins with the
    /// first that is not handled.
    pub fn handled(&mut self, count: u32, out: &mut Vec<u8>) {
        if let Some(unhandled) = &mut self.unhandled {
            self.connection.handled(unhandled.handled(count));
            // A TLS failure shows at the next advance.
            let _ = self.connection.flush(out);
        }
    }

    /// The transport has ended.
    ///
    /// # Errors
    ///
    /// If the stream had not been closed by then.
    pub fn eof(&mut self, now: Instant, out: &mut Vec<u8>) -> Result<Progress<MachineEvent>, Error> {
        Ok(self.connection.eof(now, out)?.map(|_| MachineEvent::StartTls))
    }

    /// When to call [`advance`](ClientMachine::advance) even if nothing has come. It is later than the time of the last such call,
    /// unless that call returned an event.
    #[must_use]
    pub fn deadline(&self) -> Option<Deadline> {
        let request = self.requests.deadline().map(|at| Deadline { at, reason: Reason::Request });
        let answer = |at| Deadline { at, reason: Reason::Answer };
        let unread = self.unread.filter(|_| self.connection.is_open());
        let (ack, unread) = (self.pace.deadline().map(answer), unread.map(answer));
        self.connection.deadline().into_iter().chain(request).chain(ack).chain(unread).min()
    }

    /// Brings the answer to an ask.
    ///
    /// # Errors
    ///
    /// [`ApiMisuse`] if the ask is not open.
    pub fn answer(&mut self, ticket: Ticket, answer: ClientAnswer) -> Result<(), ApiMisuse> {
        self.connection.answer(ticket, answer)
    }

    /// The TLS session that the caller runs is up.
    ///
    /// # Errors
    ///
    /// [`ApiMisuse`] if no handshake was due.
    pub fn secured(&mut self, security: balcony_stream::Security) -> Result<(), ApiMisuse> {
        self.connection.secured(security)?;
        self.has_owners_tls = true;
        Ok(())
    }

    /// What TLS has negotiated; `None` in the clear.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(&self) -> Option<&balcony_tls::Established> {
        self.connection.tls()
    }

    /// Whether the server has proven who it is: TLS is up, and its certificate was checked and is for the account's
    /// domain. Where TLS is the owner's, or there is none, only if the owner [vouches](ClientConfig::proven_by_owner) for it.
    #[must_use]
    pub fn is_server_proven(&self) -> bool {
        #[cfg(feature = "tls")]
        if let Some(tls) = self.tls() {
            return tls.peer_valid_for.is_some();
        }
        let is_clear = self.config.stream.tls == TlsPolicy::None;
        self.config.proven_by_owner && (self.has_owners_tls || is_clear)
    }

    /// Appends a stanza to `out`. Give an iq get or set an id of your own only if you watch for its answer yourself;
    /// otherwise use [`request`](ClientMachine::request).
    ///
    /// Where stanzas are counted it is kept until the server has acknowledged it; a message with an id is then
    /// [`Acknowledged`](MachineEvent::Acknowledged). It is the session's from here on: whatever happens to the connection, it is not to be given
    /// to another one.
    ///
    /// # Errors
    ///
    /// [`SendError`]; then nothing has happened.
    pub fn send(&mut self, now: Instant, stanza: &Stanza, out: &mut Vec<u8>) -> Result<(), SendError> {
        let counts = self.put(now, stanza)?;
        match self.connection.flush(out) {
            // What is kept is sent again on the next connection; why this one has failed shows at the next advance.
            Err(_) if counts => Ok(()),
            result => result.map_err(SendError::Ended),
        }
    }

    /// Whether it counts.
    fn put(&mut self, now: Instant, stanza: &Stanza) -> Result<bool, SendError> {
        if let Some(error) = self.connection.failure() {
            return Err(SendError::Ended(error.clone()));
        }
        if matches!(stanza.head.kind, Kind::Iq(_)) && stanza.head.id.is_none() {
            return Err(ApiMisuse::IqWithoutId.into());
        }
        let counts = self.connection.counts_sent();
        if counts && !self.outbox.has_room(cost(stanza)) {
            return Err(SendError::Full);
        }
        self.connection.send(stanza)?;
        if counts {
            self.pace.sent(now);
            self.keep(Entry { stanza: stanza.clone(), at: now, sessions: 1, end: None });
        }
        Ok(counts)
    }

    /// It has just been sent.
    fn keep(&mut self, entry: Entry) {
        let cost = cost(&entry.stanza);
        self.outbox.push(Entry { end: None, ..entry }, cost);
    }

    /// The owner says from now on what it has [written](ClientMachine::written).
    pub(crate) fn tell_written(&mut self) {
        self.tells_written = true;
    }

    /// What the owner has to write ends there now, counted in bytes: all that was sent by now is before that, unless TLS has not taken it.
    pub(crate) fn put_until(&mut self, end: u64) {
        if self.kept != Kept::UntilAcknowledged && !self.connection.has_lost_output() {
            let fresh = self.outbox.iter_back_mut().take_while(|entry| entry.end.is_none());
            fresh.for_each(|entry| entry.end = Some(end));
        }
    }

    /// The owner has written so many bytes, in the same count.
    pub(crate) fn written(&mut self, total: u64) {
        if self.kept == Kept::UntilWritten {
            while self.outbox.first().is_some_and(|entry| entry.end.is_some_and(|end| end <= total)) {
                self.outbox.pop();
            }
        }
    }

    /// Forgets what nobody will acknowledge, if the owner does not say what it writes.
    fn forget_written(&mut self) {
        if self.kept == Kept::UntilWritten && !self.tells_written {
            self.outbox.take().for_each(drop);
        }
    }

    /// Asks the server at once what it has got, without waiting for the [policy](ClientConfig::acks): for an owner who is about to go. Does
    /// nothing if all is acknowledged.
    pub fn request_ack(&mut self, now: Instant, out: &mut Vec<u8>) {
        if !self.outbox.is_empty() && self.connection.request_ack(now) {
            self.pace.asked();
            // A TLS failure shows at the next advance.
            let _ = self.connection.flush(out);
        }
    }

    /// The server has got so many more.
    fn acknowledge(&mut self, count: u32) {
        for _ in 0..count {
            let Some(Entry { stanza, .. }) = self.outbox.pop() else { return };
            if let (Kind::Message(_), Some(id)) = (stanza.head.kind, stanza.head.id) {
                self.told.push_back(MachineEvent::Acknowledged(id));
            }
        }
    }

    /// The session goes on: what has not got through is sent as it was.
    fn send_again(&mut self, now: Instant) {
        for (entry, _) in self.outbox.take() {
            // The stream has just been opened.
            let _ = self.connection.send(&entry.stanza);
            self.pace.sent(now);
            self.keep(entry);
        }
    }

    /// A new session has begun; what was under way in the one before may be lost.
    fn begin_session(&mut self, now: Instant) {
        while let Some(request) = self.requests.lose() {
            self.told.push_back(MachineEvent::Response(request, RequestOutcome::Lost));
        }
        let counts = self.connection.counts_sent();
        self.kept = if counts { Kept::Unsettled } else { Kept::UntilWritten };
        for (entry, _) in self.outbox.take() {
            let since =
                u64::try_from(entry.at.saturating_since(Instant::ZERO).as_millis()).unwrap_or(u64::MAX);
            let sent = self.config.clock_start.map(|start| start.saturating_add(since));
            let own = self.config.stream.account.as_str();
            let Some(entry) = entry.for_another_session(own, sent) else { continue };
            if entry.sessions > MOST_SESSIONS {
                let text = "the server has not taken it in any of several sessions";
                let error = StanzaError::new(ErrorCondition::UndefinedCondition, text);
                if let Some(error) = entry.stanza.error(&error) {
                    self.told.push_back(MachineEvent::Stanza(Box::new(error)));
                    self.unhandled.iter_mut().for_each(Unhandled::tell_own);
                }
                continue;
            }
            // The stream has just been opened.
            let _ = self.connection.send(&entry.stanza);
            if let (Kind::Message(_), Some(id)) = (entry.stanza.head.kind, &entry.stanza.head.id) {
                self.told.push_back(MachineEvent::Resent(id.clone()));
            }
            if counts {
                self.pace.sent(now);
            }
            self.keep(entry);
        }
    }

    /// The device has slept, or its network has changed: asks the server at once whether the connection still lives. If nothing comes
    /// within [`ClientConfig::wake`], the connection ends, and the next one can go on with the session. An owner who does not take what comes
    /// would not hear the answer either: then the server is only told that the client is there.
    pub fn wake(&mut self, now: Instant, out: &mut Vec<u8>) {
        if self.unread.is_some() {
            self.connection.unread(now);
        } else {
            self.connection.probe(now, self.config.wake);
        }
        // A TLS failure shows at the next advance.
        let _ = self.connection.flush(out);
    }

    /// Says whether somebody uses this client (XEP-0352): the screen is on, its window is looked at. As long as nobody does the server may
    /// hold back what is not urgent, such as presence, and send it together. It is told where it [wants to
    /// know](ServerFeatures::client_state), also in each session and on each connection that comes later; at first it is as
    /// [configured](balcony_stream::client::ClientStreamConfig::active). It may be said at any time.
    pub fn set_active(&mut self, is_active: bool, out: &mut Vec<u8>) {
        self.connection.set_active(is_active);
        // A TLS failure shows at the next advance.
        let _ = self.connection.flush(out);
    }

    /// What was said [last](ClientMachine::set_active).
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.connection.is_active()
    }

    /// Sends a request (RFC 6120 section 8.2.3); its outcome arrives as [`MachineEvent::Response`] within `timeout`.
    ///
    /// # Errors
    ///
    /// [`SendError`]; then nothing has happened.
    pub fn request(
        &mut self,
        now: Instant,
        kind: RequestKind,
        to: Option<Jid>,
        payload: Payload,
        timeout: Duration,
        out: &mut Vec<u8>,
    ) -> Result<RequestId, SendError> {
        let Some((request, id)) = self.requests.open(now, to.clone(), timeout) else {
            return Err(SendError::Full);
        };
        let mut stanza = Stanza::iq(match kind {
            RequestKind::Get => IqType::Get,
            RequestKind::Set => IqType::Set,
        })
        .with_id(&id)
        .with_payload(payload);
        stanza.head.to = to;
        match self.send(now, &stanza, out) {
            Ok(()) => Ok(request),
            Err(error) => {
                self.requests.forget(request);
                Err(error)
            }
        }
    }

    /// Closes the stream in good order; call [`advance`](ClientMachine::advance) until it says
    /// [`Closed`](Progress::Closed). Say goodbye with unavailable presence first (RFC 6121 section 4.5).
    pub fn close(&mut self, now: Instant, out: &mut Vec<u8>) {
        self.connection.close(now);
        // A TLS failure shows at the next advance.
        let _ = self.connection.flush(out);
    }

    /// The JID that the server has bound.
    #[must_use]
    pub fn jid(&self) -> Option<&FullJid> {
        self.connection.jid()
    }

    /// How the login went, from [`MachineEvent::Authenticated`] on.
    #[must_use]
    pub fn mechanism(&self) -> Option<Mechanism> {
        self.mechanism
    }

    /// The token for the next login, if there is one (XEP-0484).
    #[cfg(feature = "fast")]
    #[must_use]
    pub fn token(&self) -> Option<&Token> {
        self.token.as_ref().map_or(self.config.stream.token.as_ref(), Option::as_ref)
    }

    /// What the server has announced that the owner may use.
    #[must_use]
    pub fn features(&self) -> ServerFeatures {
        self.connection.features()
    }
}

/// What a request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestKind {
    /// Asks.
    Get,
    /// Changes.
    Set,
}

fn outcome(stanza: Stanza) -> RequestOutcome {
    if stanza.head.kind != Kind::Iq(IqType::Error) {
        return RequestOutcome::Result(stanza);
    }
    let error = stanza.payload.parse().ok().and_then(|payload| StanzaError::from_payload(payload.root()));
    RequestOutcome::Error(error.unwrap_or_else(|| balcony_stanza::ErrorCondition::UndefinedCondition.into()))
}

impl fmt::Debug for ClientMachine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientMachine")
            .field("connection", &self.connection)
            .field("unacknowledged", &self.outbox.len())
            .field("told", &self.told.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use balcony_machine::Secret;

    use super::*;

    // XEP-0474 §7 [SD6] [SD7]: after a login by SCRAM the password is not sent in the clear any more, however often the client comes back; all
    // kinds of SCRAM stay possible.
    #[test]
    fn who_has_proven_the_password_does_not_send_it() {
        for (by, sends) in [
            (Mechanism::Plain, true),
            (Mechanism::HtSha256None, true),
            (Mechanism::ScramSha1, false),
            (Mechanism::ScramSha256Plus, false),
        ] {
            let config = || {
                let account = BareJid::parse("juliet@example.com").unwrap();
                ClientConfig::new(account, Secret::new("pencil".into()))
            };
            let (seed, now) = (Seed::from_u64(1), Instant::ZERO);
            let mut client = ClientMachine::new(config(), &seed, now);
            let account = client.config.stream.account.clone();
            let event = ClientEvent::Authenticated { account, mechanism: by };
            client.translate(now, event, &mut Vec::new()).unwrap();
            for _ in 0..3 {
                client = ClientMachine::resuming(config(), client.into_session(), &seed, now).unwrap();
                assert_eq!(client.config.stream.mechanisms.contains(&Mechanism::Plain), sends, "{by}");
                let scram = Mechanism::all().iter().filter(|mechanism| **mechanism != Mechanism::Plain);
                for mechanism in scram {
                    assert!(client.config.stream.mechanisms.contains(mechanism), "{by} {mechanism}");
                }
            }
        }
    }
}
