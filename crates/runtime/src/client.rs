//! A client with its socket, as its user awaits it. It has no task of its own: a `Pump` says what is to be done next, and each
//! method does so while it is awaited.

mod log_out;

use core::fmt;
use core::future::poll_fn;
use core::task::{Context, Poll};
use core::time::Duration;
use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};

use balcony_client::{
    ClientConfig, ConnectError, Endpoint, MachineEvent, Mark, Pump, PumpError as Error, REDIRECTS, RequestId,
    RequestKind, RequestOutcome, Step,
};
use balcony_jid::{FullJid, Jid};
use balcony_machine::Instant;
use balcony_stanza::{Payload, Stanza};

use crate::clock::{Clock, seed, timeout};
use crate::{Interest, Runtime, Socket, Timer as _, connect, discover, reason};

/// Bytes read at once.
const CHUNK: usize = 16_384;
/// How long the last words may take to leave.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// One account's connection to its server.
///
/// It has no task of its own: what the server sends is handled while one of its methods is being awaited, usually
/// [`next`](ConnectedClient::next).
pub struct ConnectedClient<R: Runtime> {
    wire: Wire<R>,
    jid: FullJid,
    config: ClientConfig,
    endpoint: Endpoint,
}

impl<R: Runtime + Default> ConnectedClient<R> {
    /// Connects, and returns when the client is online: authenticated, with a resource bound. Send initial presence next
    /// (RFC 6121 section 4.2) to receive messages.
    ///
    /// # Errors
    ///
    /// [`ConnectError`], in words for a person; see [`ConnectError::is_permanent`] on whether to try again.
    pub async fn connect(config: ClientConfig, endpoint: Endpoint) -> Result<Self, ConnectError> {
        ConnectedClient::connect_on(R::default(), config, endpoint).await
    }
}

impl<R: Runtime> ConnectedClient<R> {
    /// As `connect`, on a runtime that is given.
    ///
    /// # Errors
    ///
    /// As `connect`.
    pub async fn connect_on(
        runtime: R,
        config: ClientConfig,
        endpoint: Endpoint,
    ) -> Result<Self, ConnectError> {
        let (mut endpoint, mut config) = (endpoint, config);
        // Before anybody is asked for anything.
        check(&config)?;
        name_installation(&mut config);
        for _ in 0..REDIRECTS {
            match ConnectedClient::try_connect(&runtime, &config, &endpoint).await {
                Err(error) if let Some(other) = error.redirect(&config) => endpoint = other,
                result => return result,
            }
        }
        ConnectedClient::try_connect(&runtime, &config, &endpoint).await
    }

    async fn try_connect(
        runtime: &R,
        config: &ClientConfig,
        endpoint: &Endpoint,
    ) -> Result<Self, ConnectError> {
        let mut places = discover::places(runtime, config, endpoint).await?.into_iter().peekable();
        loop {
            let Some(place) = places.next() else { return Err(ConnectError::Unreachable(Vec::new())) };
            match ConnectedClient::try_connect_at(runtime, config, &place).await {
                Err(error) if goes_on(&error, config) && places.peek().is_some() => {}
                result => {
                    return result.map(|client| ConnectedClient { endpoint: endpoint.clone(), ..client });
                }
            }
        }
    }

    async fn try_connect_at(
        runtime: &R,
        config: &ClientConfig,
        place: &Endpoint,
    ) -> Result<Self, ConnectError> {
        let (socket, target) = connect::connect(runtime, place, &config.stream.account).await?;
        let there = config.clone().for_endpoint(place, &target);
        let client = ConnectedClient::over(runtime.clone(), socket, there).await?;
        Ok(ConnectedClient { config: config.clone(), ..client })
    }

    /// Begins a stream on a socket that has just been connected, or on anything else that carries bytes both ways, and returns
    /// when the client is online.
    ///
    /// # Errors
    ///
    /// As [`connect`](ConnectedClient::connect).
    pub async fn over(runtime: R, socket: impl Socket, config: ClientConfig) -> Result<Self, ConnectError> {
        check(&config)?;
        let (clock, mut config) = (Clock::start(&runtime), config);
        name_installation(&mut config);
        config.clock_start = config.clock_start.or_else(since_1970);
        let machine = balcony_client::ClientMachine::new(config.clone(), &seed(), clock.now(&runtime));
        let (pump, timer) = (Pump::new(machine), runtime.timer());
        let mut wire = Wire { pump, socket: Box::new(socket), runtime, clock, timer, early: VecDeque::new() };
        let online = wire.negotiate().await;
        wire.early.drain(..).for_each(|event| wire.pump.keep(event));
        online.map_err(|error| wire.pump.connect_error(error))?;
        let Some(jid) = wire.pump.client().jid().cloned() else { return Err(wire.nobody()) };
        Ok(ConnectedClient { wire, jid, config, endpoint: Endpoint::Domain })
    }

    /// Connects again after the connection has ended, and goes on with the session where the server lets it (XEP-0198): what it had not got
    /// is sent again, and what it has sent meanwhile comes from [`next`](ConnectedClient::next). Whether the session goes on; if not, it is a new one,
    /// as after [`connect`](ConnectedClient::connect), in which messages that may not have arrived were sent again. What had come in the old one
    /// and was not taken by then still comes from `next`, but for its presence and its requests
    /// ([`MachineEvent::outlives_session`]).
    ///
    /// It is tried once, at the place that the server has named for this, and where it was before. After an error it can be tried
    /// again, best after a [`Backoff`](balcony_client::Backoff). If it is cancelled, that is as if it had failed.
    ///
    /// # Errors
    ///
    /// As [`connect`](ConnectedClient::connect).
    pub async fn reconnect(&mut self) -> Result<bool, ConnectError> {
        let place = self.wire.pump.client().location(&self.config);
        if let Some(place) = place
            && let Ok(resumed) = self.reconnect_at(&place).await
        {
            return Ok(resumed);
        }
        let mut endpoint = self.endpoint.clone();
        for _ in 0..REDIRECTS {
            match self.reconnect_at(&endpoint).await {
                Err(error) if let Some(other) = error.redirect(&self.config) => endpoint = other,
                result => return result,
            }
        }
        self.reconnect_at(&endpoint).await
    }

    async fn reconnect_at(&mut self, endpoint: &Endpoint) -> Result<bool, ConnectError> {
        let config = self.config.clone();
        let places = discover::places(&self.wire.runtime, &config, endpoint).await?;
        let mut places = places.into_iter().peekable();
        loop {
            let Some(place) = places.next() else { return Err(ConnectError::Unreachable(Vec::new())) };
            match self.reconnect_to(&place).await {
                Err(error) if goes_on(&error, &config) && places.peek().is_some() => {}
                result => return result,
            }
        }
    }

    async fn reconnect_to(&mut self, place: &Endpoint) -> Result<bool, ConnectError> {
        let (socket, target) =
            connect::connect(&self.wire.runtime, place, &self.config.stream.account).await?;
        let config = self.config.clone().for_endpoint(place, &target);
        self.go_on(socket, config).await
    }

    /// As [`reconnect`](ConnectedClient::reconnect), on a socket that has just been connected.
    ///
    /// # Errors
    ///
    /// As [`connect`](ConnectedClient::connect).
    pub async fn reconnect_over(&mut self, socket: impl Socket) -> Result<bool, ConnectError> {
        self.go_on(socket, self.config.clone()).await
    }

    async fn go_on(&mut self, socket: impl Socket, config: ClientConfig) -> Result<bool, ConnectError> {
        let wire = &mut self.wire;
        wire.socket = Box::new(socket);
        let now = wire.now();
        wire.pump.resume(config, &seed(), now).map_err(|error| ConnectError::Broken(error.to_string()))?;
        let online = wire.negotiate().await;
        // What had happened before is told before all that happens now, as far as it is of any concern in a new session.
        let is_new = matches!(online, Ok(false));
        let told = |event: &MachineEvent| !is_new || event.outlives_session();
        wire.early.drain(..).filter(told).for_each(|event| wire.pump.keep(event));
        let resumed = online.map_err(|error| wire.pump.connect_error(error))?;
        let Some(jid) = wire.pump.client().jid() else { return Err(wire.nobody()) };
        self.jid = jid.clone();
        // What is sent again leaves now: who knows what is awaited next.
        wire.flush().await.map_err(|error| wire.pump.connect_error(error))?;
        Ok(resumed)
    }

    /// The device has slept, or its network has changed: asks the server at once whether the connection still lives, as soon as one of the
    /// other methods is awaited. If it does not, [`next`](ConnectedClient::next) says so within [`ClientConfig::wake`], and
    /// [`reconnect`](ConnectedClient::reconnect) can go on with the session.
    pub fn wake(&mut self) {
        self.wire.pump.wake(self.wire.now());
    }

    /// Says whether somebody uses this client (XEP-0352), so that the server may hold back what is not urgent while nobody does; see
    /// [`balcony_client::ClientMachine::set_active`]. It leaves as soon as one of the other methods is awaited, and holds for later
    /// sessions, too.
    pub fn set_active(&mut self, is_active: bool) {
        self.wire.pump.set_active(is_active);
    }

    /// The JID that the server has bound.
    #[must_use]
    pub fn jid(&self) -> &FullJid {
        &self.jid
    }

    /// The client below, to look at.
    #[must_use]
    pub fn machine(&self) -> &balcony_client::ClientMachine {
        self.wire.pump.client()
    }

    /// Waits for the next event: a stanza, or the outcome of a request that was [started](ConnectedClient::start_request). `None`:
    /// the server has closed the stream in good order.
    ///
    /// Cancel-safe: if another branch of a `select!` is first, nothing is lost.
    ///
    /// # Errors
    ///
    /// Why the connection has ended.
    pub async fn next(&mut self) -> Result<Option<MachineEvent>, Error> {
        self.wire.next().await
    }

    /// Goes on with everything but events, for somebody who cannot take any now: what was sent is written, what is due is done, and what comes
    /// is kept for [`next`](ConnectedClient::next), up to 1,024 events and 1 MiB. Then nothing more is read; the server is still told every few seconds
    /// what was taken and that the client is there, so that it does not think the connection dead.
    ///
    /// It returns when the connection has ended; cancel-safe. What was kept still comes from `next`.
    ///
    /// # Errors
    ///
    /// Why the connection has ended, unless the server has closed the stream in good order.
    pub async fn hold(&mut self) -> Result<(), Error> {
        let end = loop {
            match self.wire.pump.absorb(self.wire.now()) {
                Ok(()) if self.wire.pump.is_closed() => break Ok(()),
                Ok(()) => {}
                Err(error) => break Err(error),
            }
            self.wire.exchange().await?;
        };
        self.wire.last_words().await;
        end
    }

    /// Waits until the server has acknowledged all that was sent, where that is counted (XEP-0198): for somebody who is about to close. What
    /// comes meanwhile is kept for [`next`](ConnectedClient::next).
    ///
    /// # Errors
    ///
    /// Why the connection has ended; [`Error::Overrun`] if more than 1,024 stanzas, or 1 MiB, come meanwhile.
    pub async fn acknowledged(&mut self) -> Result<(), Error> {
        self.wire.pump.request_ack(self.wire.now());
        loop {
            self.wire.pump.absorb(self.wire.now())?;
            if self.machine().unacknowledged().next().is_none() {
                return Ok(());
            }
            if self.wire.pump.is_full() {
                return Err(Error::Overrun);
            }
            if self.wire.pump.is_closed() {
                return Err(Error::Ended(balcony_stream::Error::Truncated.into()));
            }
            self.wire.exchange().await?;
        }
    }

    /// Sends a stanza, and waits until the operating system has taken it.
    ///
    /// If it is cancelled, the stanza still goes out with the next call of any method, unless it has waited until the server had
    /// acknowledged others, which it does when there is no room for more ([`outbox`](balcony_machine::Limits::outbox)).
    ///
    /// # Errors
    ///
    /// Why the connection has ended, if the stanza has not been sent: neither has all of it left, nor does the session
    /// [keep](balcony_client::ClientMachine::unacknowledged) it to send it again. It may be given to another session then, and is not there twice.
    /// [`Error::Full`] if there is no room, and more than 1,024 stanzas or 1 MiB have come that [`next`](ConnectedClient::next) has not brought.
    pub async fn send(&mut self, stanza: &Stanza) -> Result<(), Error> {
        let queued = self.queue(stanza).await?;
        self.written(queued).await
    }

    /// The first half of [`send`](ConnectedClient::send): takes the stanza as soon as there is room for it. Cancelled it has not taken it.
    ///
    /// # Errors
    ///
    /// As `send`.
    pub async fn queue(&mut self, stanza: &Stanza) -> Result<Queued, Error> {
        loop {
            match self.wire.pump.send(self.wire.now(), stanza) {
                Err(Error::Full) if !self.wire.pump.is_full() => {}
                result => {
                    result?;
                    return Ok(self.queued());
                }
            }
            self.wire.pump.absorb(self.wire.now())?;
            self.wire.exchange().await?;
        }
    }

    fn queued(&self) -> Queued {
        Queued { end: self.wire.pump.mark(), is_kept: self.machine().counts_sent() }
    }

    /// The second half: waits until the operating system has taken what was [queued](ConnectedClient::queue). Cancel-safe.
    ///
    /// # Errors
    ///
    /// As [`send`](ConnectedClient::send). What is kept to be sent again is no error: that the connection has ended is what
    /// [`next`](ConnectedClient::next) says.
    pub async fn written(&mut self, queued: Queued) -> Result<(), Error> {
        let result = loop {
            if let Err(error) = self.wire.pump.absorb(self.wire.now()) {
                break Err(error);
            }
            if self.wire.pump.has_written(queued.end) {
                return Ok(());
            }
            if let Err(error) = self.wire.exchange().await {
                break Err(error);
            }
        };
        if queued.is_kept || self.wire.pump.has_written(queued.end) { Ok(()) } else { result }
    }

    /// The oldest event that was kept, for somebody who does not go on with this connection: [`next`](ConnectedClient::next) without waiting and
    /// without the connection.
    pub fn next_kept(&mut self) -> Option<MachineEvent> {
        self.wire.early.pop_front().or_else(|| self.wire.pump.next_kept())
    }

    /// Sends a request (RFC 6120 section 8.2.3) and waits for its outcome. Stanzas that come meanwhile are kept for
    /// [`next`](ConnectedClient::next), which brings them even if the connection has ended. `to` is `None` for one's own account.
    ///
    /// If it is cancelled, the outcome comes from `next`.
    ///
    /// # Errors
    ///
    /// Why the connection has ended; [`Error::Overrun`] if more than 1,024 stanzas, or 1 MiB, come meanwhile.
    pub async fn request(
        &mut self,
        kind: RequestKind,
        to: Option<Jid>,
        payload: Payload,
        timeout: Duration,
    ) -> Result<RequestOutcome, Error> {
        let request = self.wire.pump.request(self.wire.now(), kind, to, payload, timeout)?;
        loop {
            match self.wire.pump.outcome(self.wire.now(), request)? {
                Some(outcome) => return Ok(outcome),
                None => self.wire.exchange().await?,
            }
        }
    }

    /// Sends a request whose outcome comes from [`next`](ConnectedClient::next) as [`MachineEvent::Response`].
    ///
    /// # Errors
    ///
    /// Why the connection has ended.
    pub async fn start_request(
        &mut self,
        kind: RequestKind,
        to: Option<Jid>,
        payload: Payload,
        timeout: Duration,
    ) -> Result<RequestId, Error> {
        let request = self.wire.pump.request(self.wire.now(), kind, to, payload, timeout)?;
        let queued = self.queued();
        self.written(queued).await?;
        Ok(request)
    }

    /// Begins to close the stream in good order: [`next`](ConnectedClient::next) brings what still comes, and in the end `None`. Send
    /// unavailable presence first (RFC 6121 section 4.5).
    pub fn start_close(&mut self) {
        self.wire.pump.close(self.wire.now());
    }

    /// Closes the stream in good order, and waits, for a bounded time, until the server has closed its side. What still
    /// comes is dropped; [`start_close`](ConnectedClient::start_close) drops nothing.
    ///
    /// # Errors
    ///
    /// Why it did not end in good order.
    pub async fn close(mut self) -> Result<(), Error> {
        self.start_close();
        while self.next().await?.is_some() {}
        Ok(())
    }
}

impl<R: Runtime> fmt::Debug for ConnectedClient<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectedClient").field("jid", &self.jid).finish_non_exhaustive()
    }
}

/// Whether another place may do better.
fn goes_on(error: &ConnectError, config: &ClientConfig) -> bool {
    !error.is_permanent() && error.redirect(config).is_none()
}

/// Nobody else runs TLS here. (A WebSocket in the clear is refused, or not, by the stream on it.)
fn check(config: &ClientConfig) -> Result<(), ConnectError> {
    let needs = config.stream.tls != balcony_stream::TlsPolicy::None && config.websocket.is_none();
    if needs && config.tls.is_none() { Err(ConnectError::NoTrust) } else { Ok(()) }
}

/// A stanza that a [`ConnectedClient`] has taken, and that may not have left yet.
#[derive(Clone, Copy, Debug)]
pub struct Queued {
    /// Where it ends in the output.
    end: Mark,
    /// The session keeps it until it is acknowledged.
    is_kept: bool,
}

/// Gives this installation of a client a name, without which it gets no tokens (XEP-0388, XEP-0484): a UUID of version 4, as long as the
/// client lives, unless its owner has one that it keeps.
fn name_installation(config: &mut ClientConfig) {
    let stream = &mut config.stream;
    if !stream.request_token || stream.agent.is_some() {
        return;
    }
    // A token knows whose it is.
    stream.agent = stream.token.as_ref().map(|token| token.agent().into());
    stream.agent.get_or_insert_with(|| {
        let mut bytes = [0; 16];
        seed().random().fill(&mut bytes);
        uuid(bytes)
    });
}

/// A UUID of version 4 of these random bytes (RFC 9562 section 5.4).
fn uuid(random: [u8; 16]) -> String {
    let number = u128::from_be_bytes(random);
    let number = number & !(0xf << 76) & !(0b11 << 62) | 4 << 76 | 0b10 << 62;
    let digits = format!("{number:032x}");
    let parts = [(0, 8), (8, 12), (12, 16), (16, 20), (20, 32)];
    parts.map(|(from, to)| &digits[from..to]).join("-")
}

struct Wire<R: Runtime> {
    pump: Pump,
    socket: Box<dyn Socket>,
    runtime: R,
    clock: Clock,
    timer: R::Timer,
    /// What has happened before the client was online again.
    early: VecDeque<MachineEvent>,
}

impl<R: Runtime> Wire<R> {
    fn now(&self) -> Instant {
        self.clock.now(&self.runtime)
    }

    /// Whether an earlier session goes on.
    async fn negotiate(&mut self) -> Result<bool, Error> {
        loop {
            match self.next().await? {
                Some(MachineEvent::Online(_)) => return Ok(false),
                Some(MachineEvent::Resumed) => return Ok(true),
                Some(MachineEvent::Ask(ticket, ask)) => {
                    let answer = self.runtime.unblock(move || balcony_client::answer(ask)).await;
                    // Only a runtime that is ending does not run it.
                    self.pump
                        .answer(ticket, answer.unwrap_or(balcony_stream::client::ClientAnswer::Unavailable));
                }
                Some(MachineEvent::Authenticated { .. }) => {}
                Some(event) => self.early.push_back(event),
                None => return Err(Error::Ended(balcony_stream::Error::Truncated.into())),
            }
        }
    }

    /// A client that is online without an address: there is none.
    fn nobody(&self) -> ConnectError {
        self.pump.connect_error(Error::Ended(balcony_stream::Error::Truncated.into()))
    }

    async fn next(&mut self) -> Result<Option<MachineEvent>, Error> {
        loop {
            let end = match self.pump.step(self.now()) {
                Ok(Step::Event(event)) => return Ok(Some(event)),
                Ok(Step::Wait) => {
                    self.exchange().await?;
                    continue;
                }
                Ok(Step::Closed) => Ok(None),
                Err(error) => Err(error),
            };
            self.last_words().await;
            return end;
        }
    }

    async fn flush(&mut self) -> Result<(), Error> {
        loop {
            self.pump.absorb(self.now())?;
            if self.pump.output().is_empty() {
                return Ok(());
            }
            self.exchange().await?;
        }
    }

    /// Writes something, reads something, or waits until something is due, whichever is first. Cancelled it has done nothing, or
    /// all that it says.
    async fn exchange(&mut self) -> Result<(), Error> {
        poll_fn(|cx| self.poll_exchange(cx)).await.map_err(|error| Error::Broken(reason(&error)))
    }

    fn poll_exchange(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Wire { pump, socket, .. } = self;
        if !pump.output().is_empty()
            && let Poll::Ready(count) = poll_write(&mut **socket, cx, pump.output())
        {
            pump.wrote(count?);
            return Poll::Ready(Ok(()));
        }
        let room = pump.room().min(CHUNK);
        if room > 0 {
            let mut buffer = [0; CHUNK];
            let buffer = &mut buffer[..room];
            let tried = poll_try(&mut **socket, cx, Interest::Read, |socket| socket.try_read(buffer));
            if let Poll::Ready(count) = tried {
                pump.received(&buffer[..count?]);
                return Poll::Ready(Ok(()));
            }
        }
        match pump.deadline() {
            Some(at) => self.timer.poll_until(cx, self.clock.at(at)).map(Ok),
            None => Poll::Pending,
        }
    }

    /// The stream is over. What the server is to be told leaves if it can.
    async fn last_words(&mut self) {
        let Wire { pump, socket, runtime, .. } = self;
        let leave = poll_fn(|cx| {
            while !pump.output().is_empty() {
                match poll_write(&mut **socket, cx, pump.output()) {
                    Poll::Ready(Ok(count)) => pump.wrote(count),
                    other => return other.map(|result| result.map(|_| ())),
                }
            }
            poll_try(&mut **socket, cx, Interest::Write, Socket::try_shutdown)
        });
        // The connection has ended, whether that worked or not.
        let _: Option<io::Result<()>> = timeout(runtime, LAST_WORDS, leave).await;
        self.pump.wrote(usize::MAX);
    }
}

/// Milliseconds since the start of 1970, by the clock on the wall.
fn since_1970() -> Option<u64> {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).ok()?;
    u64::try_from(since.as_millis()).ok()
}

/// Writes once, when there is room.
pub(crate) fn poll_write(
    socket: &mut dyn Socket,
    cx: &mut Context<'_>,
    bytes: &[u8],
) -> Poll<io::Result<usize>> {
    poll_try(socket, cx, Interest::Write, |socket| match socket.try_write(&[IoSlice::new(bytes)]) {
        Ok(0) => Err(ErrorKind::WriteZero.into()),
        result => result,
    })
}

/// Tries, and waits where the socket is not ready.
pub(crate) fn poll_try<T>(
    socket: &mut dyn Socket,
    cx: &mut Context<'_>,
    interest: Interest,
    mut attempt: impl FnMut(&mut dyn Socket) -> io::Result<T>,
) -> Poll<io::Result<T>> {
    loop {
        match attempt(socket) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => match socket.poll_ready(cx, interest) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            },
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => return Poll::Ready(result),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // XEP-0388 §2.3 [SL12], RFC 9562 §5.4
    #[test]
    fn an_installation_is_named_by_a_uuid_of_version_4() {
        assert_eq!(uuid([0; 16]), "00000000-0000-4000-8000-000000000000");
        assert_eq!(uuid([0xff; 16]), "ffffffff-ffff-4fff-bfff-ffffffffffff");
    }
}
