//! The task of a component: it connects, and carries bytes to and fro.

use core::future::poll_fn;
use core::net::SocketAddr;
use core::task::{Context, Poll};
use core::time::Duration;
use std::io::{self, ErrorKind, IoSlice};
use std::net::ToSocketAddrs as _;
use std::sync::Arc;

use balcony_client::component::Component as Machine;
use balcony_machine::Instant;
use balcony_runtime::{Clock, Interest, Runtime, Socket, Timer, timeout};

use super::Shared;

/// How long connecting to one address may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long the last bytes may take, and the whole end.
const GOODBYE: Duration = Duration::from_secs(5);
/// Bytes read at once.
const CHUNK: usize = 16_384;
/// After so many turns other tasks of the runtime have theirs.
const TURNS: usize = 32;

pub(super) struct Task<R: Runtime> {
    pub(super) shared: Arc<Shared>,
    pub(super) runtime: R,
    pub(super) clock: Clock,
    pub(super) place: (String, u16),
    /// Dropped with the task, be it that the runtime ends before it has begun.
    pub(super) over: Over,
}

/// The end of the task.
pub(super) struct Over(pub(super) Arc<Shared>);

impl Drop for Over {
    fn drop(&mut self) {
        self.0.lock().is_over = true;
        self.0.wake_watchers();
    }
}

/// How carrying bytes has ended.
enum Carried {
    /// The server has closed its side, or the stream is over.
    Ended,
    Broken(String),
}

impl<R: Runtime> Task<R> {
    pub(super) async fn run(self) {
        while self.time_to_connect().await {
            match self.connect().await {
                Some(Ok(socket)) => {
                    self.tell(Machine::connected);
                    let carried = self.carry(socket).await;
                    self.tell(|machine, now| match &carried {
                        Carried::Ended => machine.disconnected(now, None),
                        Carried::Broken(reason) => machine.disconnected(now, Some(reason)),
                    });
                }
                Some(Err(reason)) => self.tell(|machine, now| machine.unreachable(now, &reason)),
                None => break,
            }
        }
        drop(self.over);
    }

    fn now(&self) -> Instant {
        self.clock.now(&self.runtime)
    }

    /// Tells the machine something, and everybody that something has changed.
    fn tell(&self, tell: impl FnOnce(&mut Machine, Instant)) {
        tell(&mut self.shared.lock().machine, self.now());
        self.shared.wake_watchers();
    }

    /// Waits until it is time to connect; otherwise it is the end.
    async fn time_to_connect(&self) -> bool {
        let mut timer = self.runtime.timer();
        poll_fn(|cx| {
            loop {
                let at = {
                    let mut state = self.shared.lock();
                    if state.machine.end().is_some() {
                        return Poll::Ready(false);
                    }
                    if state.machine.connects(self.now()) {
                        return Poll::Ready(true);
                    }
                    state.task = Some(cx.waker().clone());
                    state.machine.deadline()
                };
                match at.map(|at| timer.poll_until(cx, self.clock.at(at))) {
                    Some(Poll::Ready(())) => self.tell(Machine::tick),
                    _ => return Poll::Pending,
                }
            }
        })
        .await
    }

    /// `None`: the component has been closed meanwhile.
    async fn connect(&self) -> Option<Result<R::Socket, String>> {
        let mut attempt = Box::pin(self.attempt());
        poll_fn(|cx| {
            if let Poll::Ready(result) = attempt.as_mut().poll(cx) {
                return Poll::Ready(Some(result));
            }
            let mut state = self.shared.lock();
            state.task = Some(cx.waker().clone());
            if state.machine.end().is_some() { Poll::Ready(None) } else { Poll::Pending }
        })
        .await
    }

    async fn attempt(&self) -> Result<R::Socket, String> {
        let (host, port) = self.place.clone();
        let found = self.runtime.unblock(move || {
            (host.as_str(), port).to_socket_addrs().map(Iterator::collect::<Vec<SocketAddr>>)
        });
        let found = timeout(&self.runtime, PATIENCE, found).await.ok_or("the name is not found in time")?;
        let found = found.and_then(|found| found).map_err(|error| balcony_runtime::reason(&error))?;
        let mut reason = "the name has no addresses".to_owned();
        for to in found {
            match timeout(&self.runtime, PATIENCE, self.runtime.connect(to)).await {
                Some(Ok(socket)) => return Ok(socket),
                Some(Err(error)) => reason = format!("{to}: {}", balcony_runtime::reason(&error)),
                None => reason = format!("{to}: no answer within {} seconds", PATIENCE.as_secs()),
            }
        }
        Err(reason)
    }

    /// Carries bytes until the stream, or the connection, is over.
    async fn carry(&self, mut socket: R::Socket) -> Carried {
        let (mut timer, mut buffer) = (self.runtime.timer(), vec![0; CHUNK]);
        // When a stream that is over is left alone, even if the server takes no bytes.
        let mut until = None;
        poll_fn(|cx| {
            for _ in 0..TURNS {
                match self.turn(cx, &mut socket, &mut buffer, &mut timer, &mut until) {
                    Ok(Poll::Ready(())) => {}
                    Ok(Poll::Pending) => return Poll::Pending,
                    Err(carried) => return Poll::Ready(carried),
                }
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await
    }

    /// Writes and reads what can be now. Ready: there may be more to do.
    fn turn(
        &self,
        cx: &mut Context<'_>,
        socket: &mut R::Socket,
        buffer: &mut [u8],
        timer: &mut R::Timer,
        until: &mut Option<Instant>,
    ) -> Result<Poll<()>, Carried> {
        let now = self.now();
        let (mut writes, mut reads, mut is_busy) = (false, false, false);
        let mut broken = None;
        let deadline = {
            let mut state = self.shared.lock();
            state.task = Some(cx.waker().clone());
            let machine = &mut state.machine;
            machine.tick(now);
            while !machine.output().is_empty() {
                let out = machine.output();
                match tried(socket.try_write(&[IoSlice::new(out)])) {
                    Ok(Some(count)) => drop(out.drain(..count)),
                    Ok(None) => {
                        writes = true;
                        break;
                    }
                    Err(error) => {
                        broken = Some(error);
                        break;
                    }
                }
            }
            if machine.is_over() {
                let until = *until.get_or_insert(now + GOODBYE);
                if !writes || until <= now {
                    return Err(Carried::Ended);
                }
            } else if machine.wants_input() {
                match tried(socket.try_read(buffer)) {
                    // What the server had said before the connection broke may be why, and what to do about it.
                    Ok(Some(count @ 1..)) => {
                        machine.receive(now, &buffer[..count]);
                        (is_busy, broken) = (true, None);
                    }
                    _ if broken.is_some() => {}
                    Ok(Some(_)) => return Err(Carried::Ended),
                    Ok(None) => reads = true,
                    Err(error) => return Err(error),
                }
            }
            if let Some(broken) = broken {
                return Err(broken);
            }
            machine.deadline().into_iter().chain(*until).min()
        };
        self.shared.wake_watchers();
        if is_busy {
            return Ok(Poll::Ready(()));
        }
        let broken = |error: io::Error| Carried::Broken(balcony_runtime::reason(&error));
        for (is_wanted, interest) in [(writes, Interest::Write), (reads, Interest::Read)] {
            if is_wanted && let Poll::Ready(ready) = socket.poll_ready(cx, interest) {
                return ready.map(Poll::Ready).map_err(broken);
            }
        }
        Ok(match deadline {
            Some(at) => timer.poll_until(cx, self.clock.at(at)),
            None => Poll::Pending,
        })
    }
}

/// What a socket has done; `None`: nothing now.
fn tried(result: io::Result<usize>) -> Result<Option<usize>, Carried> {
    match result {
        Ok(count) => Ok(Some(count)),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(None),
        Err(error) => Err(Carried::Broken(balcony_runtime::reason(&error))),
    }
}
