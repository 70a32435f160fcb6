//! A client's pump on its socket: bytes to and fro, and the time.

use core::future::poll_fn;
use core::task::{Context, Poll};
use core::time::Duration;
use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};

use balcony_client::{ConnectError, MachineEvent, Pump, PumpError as Error, PumpStep};
use balcony_machine::Instant;

use crate::clock::{Clock, timeout};
use crate::{Interest, Runtime, Socket, Timer as _, reason};

/// Bytes read at once.
const CHUNK: usize = 16_384;
/// How long the last words may take to leave.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// A pump on a socket. No method of it is left half done when it is cancelled.
pub(super) struct Wire<R: Runtime> {
    pub(super) pump: Pump,
    pub(super) socket: Box<dyn Socket>,
    pub(super) runtime: R,
    pub(super) clock: Clock,
    pub(super) timer: R::Timer,
    /// What has happened before the client was online again.
    pub(super) early: VecDeque<MachineEvent>,
}

impl<R: Runtime> Wire<R> {
    pub(super) fn now(&self) -> Instant {
        self.clock.now(&self.runtime)
    }

    /// Whether an earlier session goes on.
    pub(super) async fn negotiate(&mut self) -> Result<bool, Error> {
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
    pub(super) fn nobody(&self) -> ConnectError {
        self.pump.connect_error(Error::Ended(balcony_stream::Error::Truncated.into()))
    }

    pub(super) async fn next(&mut self) -> Result<Option<MachineEvent>, Error> {
        loop {
            let end = match self.pump.step(self.now()) {
                Ok(PumpStep::Event(event)) => return Ok(Some(event)),
                Ok(PumpStep::Wait) => {
                    self.exchange().await?;
                    continue;
                }
                Ok(PumpStep::Closed) => Ok(None),
                Err(error) => Err(error),
            };
            self.last_words().await;
            return end;
        }
    }

    pub(super) async fn flush(&mut self) -> Result<(), Error> {
        loop {
            self.pump.absorb(self.now())?;
            if self.pump.output().is_empty() {
                return Ok(());
            }
            self.exchange().await?;
        }
    }

    /// Writes something, reads something, or waits until something is due, whichever is first. Cancelled it has done nothing, or
    /// all that it says. When the stream has ended in good order what is left of the output has a moment, and then that is an error: nothing is
    /// due any more that would end the waiting.
    pub(super) async fn exchange(&mut self) -> Result<(), Error> {
        if self.pump.is_closed() {
            self.last_words().await;
            return Err(Error::Ended(balcony_stream::Error::Truncated.into()));
        }
        poll_fn(|cx| self.poll_exchange(cx)).await.map_err(|error| Error::Broken(reason(&error)))
    }

    fn poll_exchange(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Wire { pump, socket, .. } = self;
        let mut broken = None;
        if !pump.output().is_empty() {
            match poll_write(&mut **socket, cx, pump.output()) {
                Poll::Ready(Ok(count)) => {
                    pump.wrote(count);
                    return Poll::Ready(Ok(()));
                }
                Poll::Ready(Err(error)) => broken = Some(error),
                Poll::Pending => {}
            }
        }
        let room = pump.room().min(CHUNK);
        if room > 0 {
            let mut buffer = [0; CHUNK];
            let buffer = &mut buffer[..room];
            let tried = poll_try(&mut **socket, cx, Interest::Read, |socket| socket.try_read(buffer));
            match (tried, &broken) {
                // What the server had said before the connection broke may be why, and what to do about it.
                (Poll::Ready(Ok(count)), broken) if count > 0 || broken.is_none() => {
                    pump.received(&buffer[..count]);
                    return Poll::Ready(Ok(()));
                }
                (Poll::Ready(Err(error)), None) => return Poll::Ready(Err(error)),
                _ => {}
            }
        }
        if let Some(error) = broken {
            return Poll::Ready(Err(error));
        }
        match pump.deadline() {
            Some(at) => self.timer.poll_until(cx, self.clock.at(at)).map(Ok),
            None => Poll::Pending,
        }
    }

    /// The stream is over. What the server is to be told leaves if it can.
    pub(super) async fn last_words(&mut self) {
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
        self.pump.discard_output();
    }
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
