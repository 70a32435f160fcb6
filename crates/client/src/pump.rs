//! A client between an input and an output buffer: all that adapters would otherwise each do in their own way.
//!
//! It keeps what happens while its user waits for something else, within a bound, and holds no call that cannot be abandoned.
//! Reading, writing and waiting are the adapter's.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use balcony_jid::Jid;
use balcony_machine::{ApiMisuse, Instant, On, Progress, Seed, Ticket};
use balcony_stanza::{Payload, Stanza};
use balcony_stream::client::{ClientAnswer, ClientAsk};

use crate::queue::{Queue, event_cost};
use crate::{
    ClientConfig, ClientMachine, ConnectError, Error, MachineEvent, RequestId, RequestKind, RequestOutcome,
    SendError, Session,
};

/// Events that are kept for later while the owner waits for something else.
const KEPT: usize = 1_024;
/// Bytes of these.
const KEPT_BYTES: usize = 1 << 20;
/// Bytes that wait to be written, past which nothing more is sent.
const OUTPUT: usize = 1 << 20;
/// Received bytes that are kept while the client takes no more.
const INPUT: usize = 65_536;

/// A [`ClientMachine`] with its buffers: what an adapter of any runtime, or none, puts between a socket and its user.
///
/// 1. **What has happened goes in**: what was [`received`](Pump::received), no more than there is [`room`](Pump::room) for, with no bytes
///    for its end; how much of the output was [`wrote`](Pump::wrote) to the transport; the [`answer`](Pump::answer) to what was asked, and
///    [`secured`](Pump::secured) where the owner brings TLS. Time is told with each step, and one is due at the [`deadline`](Pump::deadline).
/// 2. **What the owner wants**: [`send`](Pump::send), [`request`](Pump::request), [`close`](Pump::close), and
///    [`wake`](Pump::wake) and [`set_active`](Pump::set_active) on devices; [`handled`](Pump::handled), for an owner who
///    [says so](Pump::tell_handled).
/// 3. **What comes of it**: [`step`](Pump::step), again and again until it says [`PumpStep::Wait`]; then there is [`output`](Pump::output) to be
///    written. Whoever takes no events now calls [`absorb`](Pump::absorb) instead, and [`outcome`](Pump::outcome) if an answer is all they wait for.
/// 4. **Looking**: the [`client`](Pump::client), [`is_closed`](Pump::is_closed), [`is_full`](Pump::is_full),
///    [`has_written`](Pump::has_written); and when the connection is over [`into_session`](Pump::into_session), for the next one.
///
/// To read, to write and to wait can be abandoned at any time, and nothing is lost. The whole loop on a socket that blocks; what is done at `PumpStep::Wait` and
/// `PumpStep::Closed` the package `balcony` has as functions, for the sockets of the standard library (`balcony::blocking`):
///
/// ```no_run
/// use std::io::{ErrorKind, Read, Write};
/// use std::net::TcpStream;
/// use std::time::Duration;
/// use balcony_client::{ClientConfig, ClientMachine, MachineEvent, Presence, Pump, PumpStep, answer};
/// use balcony_machine::{Instant, Seed};
///
/// fn run(config: ClientConfig, seed: &Seed, mut socket: TcpStream) -> Result<(), Box<dyn std::error::Error>> {
///     let start = std::time::Instant::now();
///     let now = || Instant::from_elapsed(start.elapsed());
///     let (mut pump, mut buffer) = (Pump::new(ClientMachine::new(config, seed, now())), [0; 4096]);
///     loop {
///         match pump.step(now())? {
///             PumpStep::Event(MachineEvent::Ask(ticket, ask)) => pump.answer(ticket, answer(ask)),
///             PumpStep::Event(MachineEvent::Online(_)) => pump.send(now(), &Presence::available().to_stanza())?,
///             PumpStep::Event(event) => println!("{event:?}"),
///             PumpStep::Closed => {
///                 // Its last words, for which the server has no longer than a moment.
///                 socket.set_write_timeout(Some(Duration::from_secs(5)))?;
///                 return Ok(socket.write_all(pump.output())?);
///             }
///             PumpStep::Wait => {
///                 // Zero would mean to wait for ever.
///                 let wait = pump.deadline().map(|due| (due - now()).max(Duration::from_millis(1)));
///                 let room = pump.room().min(buffer.len());
///                 // Whoever reads nothing any more must not hold the loop past what is due. What is left is written the next time.
///                 let done = match pump.output() {
///                     [] => socket.set_read_timeout(wait).and_then(|()| socket.read(&mut buffer[..room]).map(|count| pump.received(&buffer[..count]))),
///                     output => socket.set_write_timeout(wait).and_then(|()| socket.write(output)).map(|count| pump.wrote(count)),
///                 };
///                 match done {
///                     Ok(()) => {}
///                     Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted) => {}
///                     Err(error) => return Err(error.into()),
///                 }
///             }
///         }
///     }
/// }
/// ```
///
/// It keeps at most 64 KiB of input, 1,024 events and 1 MiB of them, 1 MiB of output and one stanza more of each, and what the [`ClientMachine`]
/// keeps. `Debug` shows none of it.
pub struct Pump {
    client: ClientMachine,
    input: Vec<u8>,
    /// How much of `input` the client has taken.
    taken: usize,
    eof: bool,
    /// The stream has ended in good order.
    closed: bool,
    out: Vec<u8>,
    /// How much of `out` has been written.
    written: usize,
    /// Bytes that have been written since the pump was made.
    total: u64,
    kept: Queue<MachineEvent>,
}

/// What one step of a [`Pump`] came to.
#[derive(Debug)]
pub enum PumpStep {
    /// Something happened. Step again.
    Event(MachineEvent),
    /// Nothing more without input, output or time.
    Wait,
    /// The stream has ended in good order. What is left of the output goes out, then the transport ends.
    Closed,
}

/// Why a client cannot go on, or did not do what it was told.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PumpError {
    /// The connection has ended.
    Ended(Error),
    /// The transport broke, for this reason of the operating system.
    Broken(String),
    /// This cannot be done now. Nothing has happened.
    Misuse(ApiMisuse),
    /// The server has not acknowledged what was sent before, or does not take it, and no more of it is kept; or 1,024 requests wait for
    /// their answers. Go on until there is room.
    Full,
    /// More than 1,024 stanzas, or a megabyte of them, came while a request waited for its answer; they have been kept.
    Overrun,
}

/// A place in the output of a [`Pump`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark(u64);

impl Pump {
    /// A client that has just got its transport.
    #[must_use]
    pub fn new(client: ClientMachine) -> Self {
        let mut client = client;
        client.tell_written();
        Pump {
            client,
            input: Vec::new(),
            taken: 0,
            eof: false,
            closed: false,
            out: Vec::new(),
            written: 0,
            total: 0,
            kept: Queue::new(KEPT, KEPT_BYTES),
        }
    }

    /// Goes on to the next event: the oldest one kept, if there is one.
    ///
    /// # Errors
    ///
    /// [`PumpError::Ended`]. What the server is to be told is in the output.
    pub fn step(&mut self, now: Instant) -> Result<PumpStep, PumpError> {
        match self.kept.pop() {
            Some(event) => Ok(PumpStep::Event(event)),
            None => self.fresh(now),
        }
    }

    /// Goes on until the outcome of `request` is there, and keeps what comes before it. `None`: wait as after
    /// [`PumpStep::Wait`].
    ///
    /// # Errors
    ///
    /// [`PumpError::Ended`], even if the server closed the stream in good order; [`PumpError::Overrun`].
    pub fn outcome(&mut self, now: Instant, request: RequestId) -> Result<Option<RequestOutcome>, PumpError> {
        let of_request =
            |event: &MachineEvent| matches!(event, MachineEvent::Response(id, _) if *id == request);
        if let Some(MachineEvent::Response(_, outcome)) = self.kept.remove_first(of_request) {
            return Ok(Some(outcome));
        }
        while !self.is_full() {
            match self.fresh(now)? {
                PumpStep::Event(MachineEvent::Response(id, outcome)) if id == request => {
                    return Ok(Some(outcome));
                }
                PumpStep::Event(event) => self.keep(event),
                PumpStep::Wait => return Ok(None),
                PumpStep::Closed => return Err(PumpError::Ended(balcony_stream::Error::Truncated.into())),
            }
        }
        Err(PumpError::Overrun)
    }

    /// Does what is due and keeps what happens, for somebody who only wants to see the output leave, or takes no events now. When it keeps
    /// as much as it can, no more input is taken, but time passes: the server is told what was taken and that the client is there, and
    /// a server that reads nothing is given up then, too.
    ///
    /// # Errors
    ///
    /// [`PumpError::Ended`].
    pub fn absorb(&mut self, now: Instant) -> Result<(), PumpError> {
        while !self.is_full() {
            match self.fresh(now)? {
                PumpStep::Event(event) => self.keep(event),
                PumpStep::Wait | PumpStep::Closed => return Ok(()),
            }
        }
        self.client.leave_unread(now);
        // What happens without input is no more than the owner's own requests.
        loop {
            let progress = self.client.tick(now, &mut self.out);
            self.settle();
            match progress.map_err(PumpError::Ended)? {
                Progress::Event(event) => self.keep(event),
                // The time for the server's closing tag is over.
                Progress::Closed => {
                    self.closed = true;
                    break;
                }
                _ => break,
            }
        }
        self.has_ticked(now);
        Ok(())
    }

    /// Whatever it waits for, nothing is due any more: who waits until the [`deadline`](Pump::deadline) waits. All adapters' tests go
    /// through here.
    fn has_ticked(&self, now: Instant) {
        debug_assert!(
            self.deadline().is_none_or(|at| at > now),
            "{:?} is still due at {now:?}",
            self.deadline()
        );
    }

    /// The oldest event kept.
    pub(crate) fn take_kept(&mut self) -> Option<MachineEvent> {
        self.kept.pop()
    }

    fn fresh(&mut self, now: Instant) -> Result<PumpStep, PumpError> {
        let mut rest = self.input.get(self.taken..).unwrap_or_default();
        let result = self.client.advance(now, &mut rest, &mut self.out);
        self.taken = self.input.len() - rest.len();
        if rest.is_empty() {
            self.input.clear();
            self.input.shrink_to(4096);
            self.taken = 0;
        }
        self.settle();
        let progress = match result {
            Ok(Progress::NeedInput) if self.eof => self.client.eof(now, &mut self.out),
            result => result,
        };
        match progress.map_err(PumpError::Ended)? {
            Progress::Event(event) => Ok(PumpStep::Event(event)),
            Progress::NeedInput | Progress::Blocked(On::Tls | On::Answer | On::OutputFull) => {
                self.has_ticked(now);
                Ok(PumpStep::Wait)
            }
            Progress::Closed => {
                self.closed = true;
                Ok(PumpStep::Closed)
            }
        }
    }

    /// Whether the stream has ended in good order. Events may still be kept.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// How many bytes may be received now.
    #[must_use]
    pub fn room(&self) -> usize {
        if self.eof { 0 } else { INPUT.saturating_sub(self.input.len() - self.taken) }
    }

    /// Takes in received bytes; no more than there is [`room`](Pump::room) for. Empty bytes are the end of the transport, unless there
    /// was no room: then there was nothing to be read.
    pub fn received(&mut self, bytes: &[u8]) {
        self.eof |= bytes.is_empty() && self.room() > 0;
        self.input.drain(..core::mem::take(&mut self.taken));
        self.input.extend_from_slice(bytes);
    }

    /// What is to be written.
    #[must_use]
    pub fn output(&self) -> &[u8] {
        self.out.get(self.written..).unwrap_or_default()
    }

    /// So many bytes of the [`output`](Pump::output) have been written.
    pub fn wrote(&mut self, count: usize) {
        let count = count.min(self.output().len());
        self.written += count;
        self.total += count as u64;
        if self.written >= self.out.len() {
            self.out.clear();
            self.out.shrink_to(4096);
            self.written = 0;
        }
        self.client.written(self.total);
    }

    /// What is left of the [`output`](Pump::output) will not be written: the transport is of no use any more. What was sent with it counts as not
    /// written.
    pub fn discard_output(&mut self) {
        (self.out, self.written) = (Vec::new(), 0);
    }

    /// The client has put something into the output, or has learnt that nobody acknowledges it.
    fn settle(&mut self) {
        self.client.put_until(self.mark().0);
        self.client.written(self.total);
    }

    /// Where the output ends now: to learn [later](Pump::has_written) whether what was sent up to here has been written.
    #[must_use]
    pub fn mark(&self) -> Mark {
        Mark(self.total + self.output().len() as u64)
    }

    /// Whether all of the output up to this place has been written.
    #[must_use]
    pub fn has_written(&self, mark: Mark) -> bool {
        self.total >= mark.0
    }

    /// When to go on even if nothing has come. After [`PumpStep::Wait`], or [`absorb`](Pump::absorb), it is later than the time
    /// that was given.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.client.deadline().map(|deadline| deadline.at)
    }

    /// Queues a stanza; see [`ClientMachine::send`].
    ///
    /// # Errors
    ///
    /// [`PumpError::Misuse`] unless the client is online; why the connection has [ended](PumpError::Ended); [`PumpError::Full`].
    pub fn send(&mut self, now: Instant, stanza: &Stanza) -> Result<(), PumpError> {
        self.check_output()?;
        let sent = self.client.send(now, stanza, &mut self.out);
        self.settle();
        Ok(sent?)
    }

    /// Whether more may be put into the output.
    fn check_output(&self) -> Result<(), PumpError> {
        if self.output().len() < OUTPUT { Ok(()) } else { Err(PumpError::Full) }
    }

    /// Queues a request; see [`ClientMachine::request`]. Its outcome comes as an event, or from [`outcome`](Pump::outcome).
    ///
    /// # Errors
    ///
    /// As [`send`](Pump::send).
    pub fn request(
        &mut self,
        now: Instant,
        kind: RequestKind,
        to: Option<Jid>,
        payload: Payload,
        timeout: Duration,
    ) -> Result<RequestId, PumpError> {
        self.check_output()?;
        let request = self.client.request(now, kind, to, payload, timeout, &mut self.out);
        self.settle();
        Ok(request?)
    }

    /// Brings the answer to an ask. One that has expired meanwhile needs none.
    pub fn answer(&mut self, ticket: Ticket, answer: ClientAnswer) {
        let _ = self.client.answer(ticket, answer);
    }

    /// The TLS session that the caller runs is up, after [`MachineEvent::StartTls`]: what is received and written from here on is inside of it.
    ///
    /// # Errors
    ///
    /// [`PumpError::Misuse`] if no handshake was due.
    pub fn secured(&mut self, security: balcony_stream::Security) -> Result<(), PumpError> {
        Ok(self.client.secured(security)?)
    }

    /// The owner says from now on which stanzas it has [handled](Pump::handled); see [`ClientMachine::tell_handled`].
    pub fn tell_handled(&mut self) {
        self.client.tell_handled();
    }

    /// So many more of the stanzas that came as events are handled; see [`ClientMachine::handled`]. One that is kept is not.
    pub fn handled(&mut self, count: u32) {
        self.client.handled(count, &mut self.out);
    }

    /// Closes the stream in good order; see [`ClientMachine::close`]. Step until it says [`PumpStep::Closed`].
    pub fn close(&mut self, now: Instant) {
        self.client.close(now, &mut self.out);
    }

    /// Asks the server at once what it has got; see [`ClientMachine::request_ack`].
    pub fn request_ack(&mut self, now: Instant) {
        self.client.request_ack(now, &mut self.out);
    }

    /// Asks the server at once whether the connection still lives; see [`ClientMachine::wake`].
    pub fn wake(&mut self, now: Instant) {
        self.client.wake(now, &mut self.out);
    }

    /// Says whether somebody uses this client; see [`ClientMachine::set_active`].
    pub fn set_active(&mut self, is_active: bool) {
        self.client.set_active(is_active, &mut self.out);
    }

    /// Goes on with the session on another connection, after the one before has ended or could not be made; see [`ClientMachine::resuming`].
    /// What was received and not taken is forgotten, since the server sends it again. The clock is the same.
    ///
    /// # Errors
    ///
    /// [`ApiMisuse`] if the configuration is another account's. The session is lost then.
    pub fn resume(&mut self, config: ClientConfig, seed: &Seed, now: Instant) -> Result<(), ApiMisuse> {
        let next = ClientMachine::new(config.clone(), seed, now);
        let mut session = core::mem::replace(&mut self.client, next).into_session();
        session.leave_to_server(&mut self.kept);
        self.client = ClientMachine::new(session.adjust(config), seed, now);
        self.client.go_on(session)?;
        self.client.tell_written();
        (self.input, self.taken, self.eof, self.closed) = (Vec::new(), 0, false, false);
        self.discard_output();
        Ok(())
    }

    /// Keeps an event that the owner has no use for now: it comes again from [`step`](Pump::step), after those that are kept already.
    pub fn keep(&mut self, event: MachineEvent) {
        let cost = event_cost(&event);
        self.kept.push(event, cost);
    }

    /// The oldest event that is kept, for an owner who does not go on with this connection.
    pub fn next_kept(&mut self) -> Option<MachineEvent> {
        self.kept.pop()
    }

    /// Whether no more events are kept, so that no more input is taken but by [`step`](Pump::step).
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.kept.is_full()
    }

    /// What goes on on the next connection, after this one has ended; see [`ClientMachine::into_session`]. Events that were kept come first
    /// there.
    #[must_use]
    pub fn into_session(self) -> Session {
        let mut session = self.client.into_session();
        let later = core::mem::take(&mut session.told);
        let mut kept = self.kept;
        session.told = kept.take().map(|(event, _)| event).chain(later).collect();
        session
    }

    /// What `error` means for a client that was to come online.
    #[must_use]
    pub fn connect_error(&self, error: PumpError) -> ConnectError {
        match error {
            PumpError::Ended(error) => ConnectError::Stream { error, proven: self.client.is_server_proven() },
            PumpError::Broken(reason) => ConnectError::Broken(reason),
            // Before a client is online nobody can misuse it, or wait for anything. To say it in the words of each error would bring the
            // texts of all of them into every device.
            PumpError::Misuse(_) | PumpError::Full | PumpError::Overrun => {
                ConnectError::Broken(String::from("the client was used before it was online"))
            }
        }
    }

    /// The client.
    #[must_use]
    pub fn client(&self) -> &ClientMachine {
        &self.client
    }
}

/// Answers what a client is asked. **Slow** (PBKDF2): call it where waiting does no harm.
#[must_use]
pub fn answer(ask: ClientAsk) -> ClientAnswer {
    match ask {
        ClientAsk::SaltPassword { hash, password, salt, iterations } => {
            match balcony_sasl::salt_password(hash, password.expose(), &salt, iterations) {
                Ok(salted) => ClientAnswer::Salted(salted),
                Err(_) => ClientAnswer::Unavailable,
            }
        }
    }
}

impl From<ApiMisuse> for PumpError {
    fn from(misuse: ApiMisuse) -> Self {
        PumpError::Misuse(misuse)
    }
}

impl From<SendError> for PumpError {
    fn from(error: SendError) -> Self {
        match error {
            SendError::Misuse(misuse) => PumpError::Misuse(misuse),
            SendError::Ended(error) => PumpError::Ended(error),
            SendError::Full => PumpError::Full,
        }
    }
}

/// The same words as `Display`: a `main` that returns it shows what is wrong.
impl fmt::Debug for PumpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for PumpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PumpError::Ended(error) => error.fmt(f),
            PumpError::Broken(reason) => write!(f, "the connection broke down: {reason}"),
            PumpError::Misuse(misuse) => misuse.fmt(f),
            PumpError::Full => SendError::Full.fmt(f),
            PumpError::Overrun => f.write_str("too many stanzas came while a request waited for its answer"),
        }
    }
}

impl core::error::Error for PumpError {}

impl MachineEvent {
    /// Whether it is still told where the session in which it has come is over and another one has begun: messages, what says something of
    /// subscriptions, what has become of what was sent, and the token for the next login. Presence says who was there then, and nobody waits for an answer to a request.
    #[must_use]
    pub fn outlives_session(&self) -> bool {
        match self {
            MachineEvent::Stanza(stanza) => crate::lasting::outlives_here(stanza),
            MachineEvent::Response(..)
            | MachineEvent::Acknowledged(_)
            | MachineEvent::Resent(_)
            | MachineEvent::Token(_) => true,
            _ => false,
        }
    }

    /// The stanza, if that is what happened.
    #[must_use]
    pub fn into_stanza(self) -> Option<Box<Stanza>> {
        match self {
            MachineEvent::Stanza(stanza) => Some(stanza),
            _ => None,
        }
    }
}

impl fmt::Debug for Pump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pump")
            .field("client", &self.client)
            .field("received", &(self.input.len() - self.taken))
            .field("output", &self.output().len())
            .field("kept", &self.kept.len())
            .finish_non_exhaustive()
    }
}
