//! The one future that reads, writes, keeps deadlines and opens the link again.

use alloc::string::{String, ToString as _};
use alloc::sync::Arc;
use core::fmt;
use core::future::{Future, pending, poll_fn};
use core::pin::pin;
use core::task::Poll;
use core::time::Duration;

use balcony_client::{
    Agent, AgentEvent, CallId, Completion, Device, DeviceStep, Disconnected, Extensions, answer,
};
use balcony_machine::Instant;
use embedded_io_async::{Read as _, Write as _};

use crate::{Clock, Link};

/// How long a link may take to be opened.
const OPENING: Duration = Duration::from_secs(30);
/// How long the last words of a connection may take to be written.
const PARTING: Duration = Duration::from_secs(2);
/// Bytes that are read at once.
const INPUT: usize = 512;

/// A [`Device`] on a [`Link`]: it logs in, goes on with its session when the link was cut, and connects again when it has to.
///
/// 1. **What happens**: [`next`](Client::next), again and again. The client only goes on while that is awaited.
/// 2. **What its owner wants**: whatever an [`Agent`] does, which [`agent`](Client::agent) reaches, such as [`send`](Agent::send),
///    [`request`](Agent::request) and [`reply`](Agent::reply); [`close`](Client::close), and [`wake`](Client::wake) after a device has slept.
/// 3. **Looking**: [`device`](Client::device), and [`link`](Client::link).
///
/// `Debug` shows nothing of what was sent or has come.
pub struct Client<X, L, C> {
    device: Device<X>,
    link: L,
    clock: C,
    line: Line,
    /// Nothing that was written waits in the link, as far as it says.
    is_flushed: bool,
    input: [u8; INPUT],
}

/// What is done with the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    Down,
    /// It is opened until then.
    Opening(Instant),
    Up,
    /// TLS is put on it.
    Securing,
    /// What is left is written until then.
    Parting(Instant),
}

/// Something that has happened.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// What the [`Agent`] tells. A [request](AgentEvent::Request) wants a [reply](Agent::reply) or to be [refused](Agent::refuse).
    Agent(AgentEvent),
    /// A request or command of the owner's is over.
    Completed(CallId, Completion),
}

impl<X: Extensions, L: Link, C: Clock> Client<X, L, C> {
    /// One that opens its link as soon as [`next`](Client::next) is awaited.
    pub fn new(device: Device<X>, link: L, clock: C) -> Self {
        Client { device, link, clock, line: Line::Down, is_flushed: true, input: [0; INPUT] }
    }

    /// Waits for the next thing that happens. It may be dropped at any time and called again: nothing is lost, and nothing is done twice.
    ///
    /// # Errors
    ///
    /// Why there will be no other connection: the server does not let this account in, or the client was [closed](Client::close). The same is
    /// said for ever. A link that is cut, or can't be opened, is an event, and it goes on.
    pub async fn next(&mut self) -> Result<Event, Arc<Disconnected>> {
        loop {
            let now = self.clock.now();
            if let Line::Parting(until) = self.line {
                self.part(now, until).await;
                continue;
            }
            match self.device.step(now) {
                DeviceStep::Event(event) => return Ok(Event::Agent(event)),
                DeviceStep::Completed(call, completion) => return Ok(Event::Completed(call, completion)),
                DeviceStep::Ask(ticket, ask) => self.device.answer(ticket, answer(ask)),
                DeviceStep::Connect => self.open(now).await,
                DeviceStep::StartTls => self.line = Line::Securing,
                // Half way to TLS there is nothing that could be said.
                DeviceStep::Disconnect if self.line == Line::Securing => self.hang_up(),
                DeviceStep::Disconnect => self.line = Line::Parting(now + PARTING),
                DeviceStep::Ended(why) => {
                    self.hang_up();
                    return Err(why);
                }
                DeviceStep::Wait => {
                    let due = self.device.deadline();
                    let done = match self.line {
                        Line::Up => self.exchange(self.device.room().min(INPUT), due).await,
                        Line::Securing => self.secure(due).await,
                        _ => {
                            alarm(&self.clock, due).await;
                            Ok(())
                        }
                    };
                    if let Err(reason) = done {
                        self.hang_up();
                        self.device.broken(self.clock.now(), &reason);
                    }
                }
            }
        }
    }

    /// Opens the link, or goes on with that.
    async fn open(&mut self, now: Instant) {
        let until = if let Line::Opening(until) = self.line { until } else { now + OPENING };
        self.line = Line::Opening(until);
        let due = self.device.deadline().map_or(until, |due| due.min(until));
        let opened = within(self.link.open(), alarm(&self.clock, Some(due))).await;
        let now = self.clock.now();
        match opened {
            Some(Ok(security)) => {
                (self.line, self.is_flushed) = (Line::Up, true);
                self.device.connected(now);
                if let Some(Err(error)) = security.map(|security| self.device.secured(security)) {
                    // TLS where the configuration wants none. Or it was closed meanwhile, and hangs up anyway.
                    self.device.broken(now, &error.to_string());
                    self.hang_up();
                }
            }
            Some(Err(error)) => self.unreachable(now, &error.to_string()),
            None if now >= until => self.unreachable(now, "the link could not be opened in time"),
            // Something else is due, such as the end of a request.
            None => {}
        }
    }

    fn unreachable(&mut self, now: Instant, reason: &str) {
        self.hang_up();
        self.device.unreachable(now, reason);
    }

    /// Has the link put TLS on itself. How long that may take the device knows.
    async fn secure(&mut self, due: Option<Instant>) -> Result<(), String> {
        match within(self.link.start_tls(), alarm(&self.clock, due)).await {
            Some(Ok(Some(security))) => {
                self.line = Line::Up;
                self.device.secured(security).map_err(|error| error.to_string())
            }
            Some(Ok(None)) => Err(String::from("the link has no TLS")),
            Some(Err(error)) => Err(error.to_string()),
            None => Ok(()),
        }
    }

    /// Reads at most so many bytes and writes what there is, until either has got on or something is due.
    async fn exchange(&mut self, room: usize, due: Option<Instant>) -> Result<(), String> {
        let Client { device, link, clock, is_flushed, input, .. } = self;
        let (input, output) = (input.get_mut(..room).unwrap_or_default(), device.output());
        let has_output = !output.is_empty();
        let (read, wrote) = {
            let (mut reader, mut writer) = link.split();
            let mut read = pin!(async {
                if room == 0 {
                    pending::<()>().await;
                }
                reader.read(input).await.map_err(|error| error.to_string())
            });
            let mut write = pin!(async {
                let wrote = match has_output {
                    true => writer.write(output).await,
                    false if *is_flushed => pending().await,
                    false => writer.flush().await.map(|()| 0),
                };
                wrote.map_err(|error| error.to_string())
            });
            let mut alarm = pin!(alarm(clock, due));
            poll_fn(|context| {
                // Both may have got on, and neither is lost.
                let done = (read.as_mut().poll(context), write.as_mut().poll(context));
                let is_idle = done.0.is_pending() && done.1.is_pending();
                if is_idle && alarm.as_mut().poll(context).is_pending() {
                    Poll::Pending
                } else {
                    Poll::Ready(done)
                }
            })
            .await
        };
        let mut has_come = false;
        if let Poll::Ready(count) = read {
            let bytes = input.get(..count?).unwrap_or_default();
            has_come = !bytes.is_empty();
            device.received(bytes);
        }
        match wrote {
            // What the server had said before the link broke may be why, and what to do about it. The link says so again.
            Poll::Ready(Err(_)) if has_come => {}
            Poll::Ready(Ok(0)) if has_output => return Err(String::from("the link takes no bytes")),
            Poll::Ready(count) => {
                device.wrote(count?);
                *is_flushed = !has_output;
            }
            Poll::Pending => {}
        }
        Ok(())
    }

    /// Goes on with the last words of a connection, and ends it when they are written, or do not get through.
    async fn part(&mut self, now: Instant, until: Instant) {
        let is_over = now >= until || (self.device.output().is_empty() && self.is_flushed);
        if is_over || self.exchange(0, Some(until)).await.is_err() {
            self.hang_up();
        }
    }

    fn hang_up(&mut self) {
        if self.line != Line::Down {
            self.line = Line::Down;
            self.link.close();
        }
    }

    /// Whatever an agent does for its owner: sends, requests, answers, and its extensions. It goes out while [`next`](Client::next) is awaited.
    pub fn agent(&mut self) -> &mut Agent<X> {
        self.device.agent()
    }

    /// Sends what waits, says goodbye to those who see it, and ends the stream in good order. [`next`](Client::next) does it, and ends with
    /// [`Disconnected::ByOwner`]; see [`Device::close`].
    pub fn close(&mut self) {
        self.device.close(self.clock.now());
    }

    /// The device has slept, or its network has changed: the server is asked at once whether it still lives. See [`Device::wake`].
    pub fn wake(&mut self) {
        self.device.wake(self.clock.now());
    }
}

impl<X, L, C> Client<X, L, C> {
    /// The device, to look at.
    #[must_use]
    pub fn device(&self) -> &Device<X> {
        &self.device
    }

    /// The link. Whoever closes it has the client notice that it broke.
    pub fn link(&mut self) -> &mut L {
        &mut self.link
    }
}

impl<X, L, C> fmt::Debug for Client<X, L, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("device", &self.device)
            .field("line", &self.line)
            .finish_non_exhaustive()
    }
}

/// At that time; never without one.
async fn alarm(clock: &impl Clock, at: Option<Instant>) {
    match at {
        Some(at) => clock.wait_until(at).await,
        None => pending().await,
    }
}

/// What `work` comes to, unless the alarm is first.
async fn within<T>(work: impl Future<Output = T>, alarm: impl Future<Output = ()>) -> Option<T> {
    let (mut work, mut alarm) = (pin!(work), pin!(alarm));
    poll_fn(|context| match work.as_mut().poll(context) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending => alarm.as_mut().poll(context).map(|()| None),
    })
    .await
}
