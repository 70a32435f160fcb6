//! A client as one value, for a loop of its owner's own: what stays when connections come and go, and the connection that there is now.
//!
//! It opens no transport and does not wait; it says when one is to be opened, and until when to wait.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::mem;

use balcony_machine::{Instant, Random, Seed, Ticket};
use balcony_stream::client::{ClientAnswer, ClientAsk};

use crate::{
    Agent, AgentConfig, AgentEvent, CallId, ClientConfig, ClientMachine, Completion, ConnectError,
    Disconnected, Extensions, MachineEvent, Presence, Pump, PumpError, PumpStep, Session,
};

/// A whole client: an [`Agent`] and the connection that it has now. For devices and for whoever else has a loop of their own; the package
/// `balcony` has a `Client` on an async runtime.
///
/// 1. **What has happened goes in**: a transport has been opened, [`connected`](Device::connected), or not,
///    [`unreachable`](Device::unreachable); what was [`received`](Device::received) from it, no more than there is [`room`](Device::room)
///    for, with no bytes for its end; how much of the output was [`wrote`](Device::wrote) to it; it is [`broken`](Device::broken); and the
///    [`answer`](Device::answer) to what was asked. Time is told with each step.
/// 2. **What the owner wants**: whatever an [`Agent`] does for its owner, which [`agent`](Device::agent) reaches, such as
///    [`send`](Agent::send), [`request`](Agent::request) and [`reply`](Agent::reply); [`close`](Device::close), and
///    [`wake`](Device::wake) after a device has slept.
/// 3. **What comes of it**: [`step`](Device::step), again and again until it says [`DeviceStep::Wait`]; then there is
///    [`output`](Device::output) to be written, and the next step is due at the [`deadline`](Device::deadline).
/// 4. **Looking**: the [`client`](Device::client) of the connection that there is; and of the agent [`jid`](Agent::jid),
///    [`has_room`](Agent::has_room).
///
/// The whole loop on a socket that blocks; what is done at `DeviceStep::Wait` and `DeviceStep::Disconnect` the package `balcony` has as functions, for the sockets of
/// the standard library (`balcony::blocking`):
///
/// ```no_run
/// use std::io::{ErrorKind, Read, Write};
/// use std::net::{SocketAddr, TcpStream};
/// use std::time::Duration;
/// use balcony_client::{AgentEvent, Device, DeviceStep, Extensions, answer};
/// use balcony_machine::Instant;
/// use balcony_stanza::ErrorCondition;
///
/// fn run(mut device: Device<impl Extensions>, place: SocketAddr) -> Result<(), Box<dyn std::error::Error>> {
///     let (start, mut socket) = (std::time::Instant::now(), None::<TcpStream>);
///     let now = || Instant::from_elapsed(start.elapsed());
///     loop {
///         match device.step(now()) {
///             DeviceStep::Connect => match TcpStream::connect_timeout(&place, Duration::from_secs(10)) {
///                 Ok(new) => {
///                     device.connected(now());
///                     socket = Some(new);
///                 }
///                 Err(error) => device.unreachable(now(), &error.to_string()),
///             },
///             DeviceStep::Event(AgentEvent::Message(message)) if message.body().is_some() => {
///                 device.agent().send(message.reply().body("So soft?").to_stanza())?;
///             }
///             // Whoever asks has to be answered, or waits.
///             DeviceStep::Event(AgentEvent::Request((id, _))) => {
///                 device.agent().refuse(id, &ErrorCondition::ServiceUnavailable.into());
///             }
///             DeviceStep::Event(event) => println!("{event:?}"),
///             DeviceStep::Completed(call, _) => println!("{call:?}"),
///             DeviceStep::Ask(ticket, ask) => device.answer(ticket, answer(ask)),
///             // The configuration has no TLS of its own then.
///             DeviceStep::StartTls => return Err("TLS is not there".into()),
///             DeviceStep::Disconnect => {
///                 // Its last words, for which the server has no longer than a moment. Whoever has gone does not hear them.
///                 if let Some(mut tcp) = socket.take() {
///                     let _ = tcp.set_write_timeout(Some(Duration::from_secs(5))).and_then(|()| tcp.write_all(device.output()));
///                 }
///             }
///             DeviceStep::Ended(why) => return Err(why.to_string().into()),
///             DeviceStep::Wait => {
///                 // Zero would mean to wait for ever.
///                 let wait = device.deadline().map(|due| (due - now()).max(Duration::from_millis(1)));
///                 let Some(tcp) = &mut socket else {
///                     std::thread::sleep(wait.unwrap_or_default());
///                     continue;
///                 };
///                 let mut buffer = [0; 4096];
///                 let room = device.room().min(buffer.len());
///                 // Whoever reads nothing any more must not hold the loop past what is due. What is left is written the next time.
///                 let done = match device.output() {
///                     [] => tcp.set_read_timeout(wait).and_then(|()| tcp.read(&mut buffer[..room]).map(|count| device.received(&buffer[..count]))),
///                     output => tcp.set_write_timeout(wait).and_then(|()| tcp.write(output)).map(|count| device.wrote(count)),
///                 };
///                 match done {
///                     Ok(()) => {}
///                     Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted) => {}
///                     Err(error) => {
///                         socket = None;
///                         device.broken(now(), &error.to_string());
///                     }
///                 }
///             }
///         }
///     }
/// }
/// ```
///
/// What it keeps is bounded as that of its [`Agent`] and [`Pump`] is. `Debug` shows nothing of what was sent or has come.
pub struct Device<X> {
    agent: Agent<X>,
    config: ClientConfig,
    line: Line,
    /// What is random in one connection must not be so in the next.
    random: Random,
    is_closing: bool,
}

enum Line {
    /// On the heap: it is large, and a device is moved about on a stack that may be small.
    Up(Box<Pump>),
    /// With the session of the connection before, and what that had to say at last.
    Down { session: Option<Box<Session>>, last_words: Vec<u8>, disconnects: bool },
}

/// What a [`Device`] has its owner do, or tells.
#[derive(Debug)]
pub enum DeviceStep {
    /// Open a transport to the server, then say [`connected`](Device::connected) or [`unreachable`](Device::unreachable). Until then it is
    /// said again.
    Connect,
    /// Something happened. Step again. A [request](AgentEvent::Request) wants a [reply](Agent::reply) or to be [refused](Agent::refuse).
    Event(AgentEvent),
    /// A request or command of the owner's is over. Step again.
    Completed(CallId, Completion),
    /// Compute this, such as by [`answer`](crate::answer), and bring the [`answer`](Device::answer); it takes a while on purpose.
    Ask(Ticket, ClientAsk),
    /// The next byte is TLS's: run it, then call [`secured`](Device::secured). Only if the configuration has no TLS of its own, and only with
    /// STARTTLS: with [`TlsPolicy::Direct`](balcony_stream::TlsPolicy) the transport is opened with its TLS, and
    /// [`secured`](Device::secured) is called right after [`connected`](Device::connected); until then nothing is sent.
    StartTls,
    /// Write what is left of the [`output`](Device::output), and close the transport. Step again.
    Disconnect,
    /// Nothing more without input, output or time.
    Wait,
    /// There will be no other connection. The same is said for ever.
    Ended(Arc<Disconnected>),
}

impl<X: Extensions> Device<X> {
    /// One that is about to connect for the first time. Requests that come are its extensions' and its owner's
    /// ([`for_agent`](ClientConfig::for_agent)).
    #[must_use]
    pub fn new(config: ClientConfig, agent: AgentConfig, extensions: X, seed: &Seed) -> Self {
        let mut random = seed.random();
        Device {
            agent: Agent::new(agent, extensions, &random.seed()),
            config: config.for_agent(),
            line: Line::Down { session: None, last_words: Vec::new(), disconnects: false },
            random,
            is_closing: false,
        }
    }

    /// Goes on to the next thing that is to be done, or has happened.
    pub fn step(&mut self, now: Instant) -> DeviceStep {
        self.agent.tick(now);
        loop {
            if let Some(event) = self.agent.next_event() {
                return DeviceStep::Event(event);
            }
            if let Some((call, completion)) = self.agent.next_completed() {
                return DeviceStep::Completed(call, completion);
            }
            let is_full = self.agent.is_full() && !self.is_closing;
            let pump = match &mut self.line {
                // Answers would have no room. What comes is kept, up to the pump's bound, and acknowledgements make room.
                Line::Up(pump) if is_full => match pump.absorb(now) {
                    Ok(()) if self.send_next(now) => continue,
                    Ok(()) => return DeviceStep::Wait,
                    Err(error) => {
                        self.lost(now, error, true);
                        continue;
                    }
                },
                Line::Up(pump) => pump,
                Line::Down { disconnects, .. } => {
                    return if mem::take(disconnects) {
                        DeviceStep::Disconnect
                    } else if let Some(why) = self.agent.end() {
                        DeviceStep::Ended(Arc::clone(why))
                    } else if self.agent.connects(now) {
                        DeviceStep::Connect
                    } else {
                        DeviceStep::Wait
                    };
                }
            };
            match pump.step(now) {
                Ok(PumpStep::Event(event)) => match self.agent.take(now, event, pump.client()) {
                    Some(MachineEvent::Ask(ticket, ask)) => return DeviceStep::Ask(ticket, ask),
                    Some(MachineEvent::StartTls) => return DeviceStep::StartTls,
                    _ => {}
                },
                Ok(PumpStep::Wait) if self.is_closing => return DeviceStep::Wait,
                Ok(PumpStep::Wait) if self.send_next(now) => {}
                Ok(PumpStep::Wait) => return DeviceStep::Wait,
                Ok(PumpStep::Closed) => self.over(now, Disconnected::ByServer, true),
                Err(error) => self.lost(now, error, true),
            }
        }
    }

    /// Sends the next stanza that waits. Whether there is something else to do then; if not, none waits, or there is no room.
    fn send_next(&mut self, now: Instant) -> bool {
        let Line::Up(pump) = &mut self.line else { return true };
        let Some(stanza) = self.agent.next_stanza() else { return false };
        match pump.send(now, &stanza) {
            Ok(()) => true,
            Err(error) => {
                self.agent.unsent(stanza);
                let is_full = error == PumpError::Full;
                if !is_full {
                    self.lost(now, error, true);
                }
                !is_full
            }
        }
    }

    /// The owner has opened a transport. What was configured for the first connection holds for each: the session of the one before goes on,
    /// where the server lets it (XEP-0198). If there is to be no other connection, [`DeviceStep::Disconnect`] comes next. Where TLS is the owner's and
    /// [direct](balcony_stream::TlsPolicy::Direct), it is up already, and [`secured`](Device::secured) has to say so at once: no
    /// [`DeviceStep::StartTls`] asks for it.
    pub fn connected(&mut self, now: Instant) {
        let Line::Down { session, last_words, disconnects } = &mut self.line else { return };
        if self.agent.end().is_some() {
            // It was closed meanwhile: nobody is greeted there.
            (*last_words, *disconnects) = (Vec::new(), true);
            return;
        }
        let (session, config) = (session.take(), self.config.clone());
        let config = match &session {
            Some(session) => session.adjust(config),
            None => config,
        };
        let mut client = ClientMachine::new(config, &self.random.seed(), now);
        if let Some(session) = session {
            // It is this account's, so that nothing is misused.
            let _ = client.go_on(*session);
        }
        self.line = Line::Up(Box::new(Pump::new(client)));
    }

    /// No transport could be opened, for this reason, in words. It is tried again after a while.
    pub fn unreachable(&mut self, now: Instant, reason: &str) {
        if let Line::Down { session, .. } = &self.line {
            let is_resumable = session.as_ref().is_some_and(|session| session.resumable().is_some());
            let why = Disconnected::Failed(ConnectError::Broken(String::from(reason)));
            self.agent.offline(now, why, is_resumable);
        }
    }

    /// The transport broke, for this reason, in words. Nothing more is read from it or written to it.
    pub fn broken(&mut self, now: Instant, reason: &str) {
        self.lost(now, PumpError::Broken(String::from(reason)), false);
    }

    /// The connection has ended before its time.
    fn lost(&mut self, now: Instant, error: PumpError, disconnects: bool) {
        let Line::Up(pump) = &self.line else { return };
        let why = match pump.client().jid() {
            Some(_) => Disconnected::Lost(error),
            None => Disconnected::Failed(pump.connect_error(error)),
        };
        self.over(now, why, disconnects);
    }

    fn over(&mut self, now: Instant, why: Disconnected, disconnects: bool) {
        let down = Line::Down { session: None, last_words: Vec::new(), disconnects };
        let Line::Up(mut pump) = mem::replace(&mut self.line, down) else { return };
        // The server takes what was kept to have been heard.
        while let Some(event) = pump.take_kept() {
            let _ = self.agent.take(now, event, pump.client());
        }
        let output = if disconnects { Vec::from(pump.output()) } else { Vec::new() };
        let next = Box::new(pump.into_session());
        if self.is_closing {
            // However it has come about: there is no other connection that could close anything.
            self.end(now, Some(next));
            self.line = Line::Down { session: None, last_words: output, disconnects };
        } else {
            self.agent.offline(now, why, next.resumable().is_some());
            let session = if self.agent.end().is_some() {
                self.give_back(&next);
                None
            } else {
                Some(next)
            };
            self.line = Line::Down { session, last_words: output, disconnects };
        }
    }

    /// Nothing goes on. What may not have arrived is the owner's again, in front of what was not sent.
    fn end(&mut self, now: Instant, session: Option<Box<Session>>) {
        self.agent.offline(now, Disconnected::ByOwner, false);
        session.iter().for_each(|session| self.give_back(session));
    }

    /// What may not have arrived in a session is the owner's again.
    fn give_back(&mut self, session: &Session) {
        let sent: Vec<_> = session.unacknowledged().cloned().collect();
        for stanza in sent.into_iter().rev() {
            self.agent.unsent(stanza);
        }
    }

    /// Whatever an agent does for its owner: sends, requests, answers, and its extensions. What is for whoever runs its connection, the device
    /// does.
    pub fn agent(&mut self) -> &mut Agent<X> {
        &mut self.agent
    }

    /// Sends what waits, says goodbye to those who see it, and ends the stream in good order: step until it says [`DeviceStep::Ended`], which
    /// comes as well if the connection breaks before that. [`Agent::take_unsent`] has what has not got through by then, as far as it is known.
    pub fn close(&mut self, now: Instant) {
        self.is_closing = true;
        match &mut self.line {
            Line::Up(pump) => {
                while let Some(stanza) = self.agent.next_stanza() {
                    if pump.send(now, &stanza).is_err() {
                        self.agent.unsent(stanza);
                        break;
                    }
                }
                if self.agent.is_available() {
                    // Where it can't be sent any more the server says it.
                    let _ = pump.send(now, &Presence::unavailable(None));
                }
                pump.close(now);
            }
            Line::Down { session, .. } => {
                let session = session.take();
                self.end(now, session);
            }
        }
    }

    /// The device has slept, or its network has changed: if there is a connection, the server is asked at once whether it still lives, and if
    /// not, it connects now. See [`Agent::wake`].
    pub fn wake(&mut self, now: Instant) {
        self.agent.wake(now);
        if let Line::Up(pump) = &mut self.line {
            pump.wake(now);
        }
    }

    /// When to step even if nothing has come. After [`DeviceStep::Wait`] it is later than the time that was given.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let pump = match &self.line {
            Line::Up(pump) => pump.deadline(),
            Line::Down { .. } => None,
        };
        pump.into_iter().chain(self.agent.deadline()).min()
    }
}

impl<X> Device<X> {
    fn pump(&mut self) -> Option<&mut Pump> {
        match &mut self.line {
            Line::Up(pump) => Some(pump),
            Line::Down { .. } => None,
        }
    }

    /// How many bytes may be received now; none without a connection.
    #[must_use]
    pub fn room(&self) -> usize {
        match &self.line {
            Line::Up(pump) => pump.room(),
            Line::Down { .. } => 0,
        }
    }

    /// Takes in received bytes; see [`Pump::received`].
    pub fn received(&mut self, bytes: &[u8]) {
        if let Some(pump) = self.pump() {
            pump.received(bytes);
        }
    }

    /// What is to be written.
    #[must_use]
    pub fn output(&self) -> &[u8] {
        match &self.line {
            Line::Up(pump) => pump.output(),
            Line::Down { last_words, .. } => last_words,
        }
    }

    /// So many bytes of the [`output`](Device::output) have been written.
    pub fn wrote(&mut self, count: usize) {
        match &mut self.line {
            Line::Up(pump) => pump.wrote(count),
            Line::Down { last_words, .. } => drop(last_words.drain(..count.min(last_words.len()))),
        }
    }

    /// Brings the answer to an ask. One that has expired meanwhile needs none.
    pub fn answer(&mut self, ticket: Ticket, answer: ClientAnswer) {
        if let Some(pump) = self.pump() {
            pump.answer(ticket, answer);
        }
    }

    /// The TLS session that the owner runs is up; see [`Pump::secured`].
    ///
    /// # Errors
    ///
    /// [`PumpError::Misuse`] if no handshake was due.
    pub fn secured(&mut self, security: balcony_stream::Security) -> Result<(), PumpError> {
        match &mut self.line {
            Line::Up(pump) => pump.secured(security),
            Line::Down { .. } => Err(balcony_machine::ApiMisuse::NoHandshakeDue.into()),
        }
    }

    /// The client of the connection that there is, to look at.
    #[must_use]
    pub fn client(&self) -> Option<&ClientMachine> {
        match &self.line {
            Line::Up(pump) => Some(pump.client()),
            Line::Down { .. } => None,
        }
    }
}

impl<X> fmt::Debug for Device<X> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Device")
            .field("agent", &self.agent)
            .field("client", &self.client())
            .finish_non_exhaustive()
    }
}
