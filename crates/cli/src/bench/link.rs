//! One connection of a load: a socket of tokio around the client's machine. Everything runs on one thread; what a hundred connections have
//! to say in a moment costs a hundred writes and no switch of tasks.

use core::cell::RefCell;
use core::future::poll_fn;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::io::ErrorKind;
use std::rc::Rc;

use balcony_client::{
    ClientConfig, ClientMachine, ConnectError, MachineEvent, Pump, PumpError, PumpStep, RequestId,
    RequestKind,
};
use balcony_jid::FullJid;
use balcony_machine::Instant;
use balcony_stanza::{Payload, Stanza};
use balcony_xep::ping::Ping;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Duration, Sleep, sleep_until, timeout};

use super::world::{World, progress};
use crate::failure::reason;

/// Bytes read at once.
const CHUNK: usize = 65_536;
/// How long a login, or the answer to a request, may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// Logins at the same time, where they are not what is measured.
const PARALLEL: usize = 32;

thread_local! {
    /// What is read goes through here, so that a connection that waits needs no buffer.
    static CHUNK_OF_ALL: RefCell<Vec<u8>> = RefCell::new(vec![0; CHUNK]);
}

/// Why a connection has ended, in words.
pub(crate) type Result<T> = core::result::Result<T, String>;

/// A client that is online.
pub(crate) struct Link {
    world: Rc<World>,
    socket: TcpStream,
    pump: Pump,
    timer: Option<Pin<Box<Sleep>>>,
    pub(crate) jid: FullJid,
}

impl Link {
    /// Connects, logs in and binds.
    pub(crate) async fn open(world: &Rc<World>, account: u32, resource: &str) -> Result<Link> {
        let config = world.config(account, resource).map_err(|failure| failure.to_string())?;
        Link::open_with(world, config).await
    }

    pub(crate) async fn open_with(world: &Rc<World>, config: ClientConfig) -> Result<Link> {
        let open = async {
            let socket = world.connect().await.map_err(|error| world.explain(&error))?;
            Link::login(world, socket, config).await.map_err(|error| world.explain(&error))
        };
        timeout(PATIENCE, open).await.unwrap_or_else(|_| Err("a login takes more than a minute".into()))
    }

    /// Logs in and binds, on a socket that is connected.
    pub(crate) async fn login(
        world: &Rc<World>,
        socket: TcpStream,
        config: ClientConfig,
    ) -> core::result::Result<Link, ConnectError> {
        let broken = |reason: String| ConnectError::Broken(reason);
        let account = config.stream.account.clone();
        let nobody = account.with_resource("-").map_err(|error| broken(error.to_string()))?;
        let now = world.now();
        let pump = Pump::new(ClientMachine::new(config, &world.seed(), now));
        let mut link = Link { world: world.clone(), socket, pump, timer: None, jid: nobody };
        loop {
            let step = link.pump.step(link.now()).map_err(|error| link.pump.connect_error(error))?;
            match step {
                PumpStep::Event(MachineEvent::Online(jid)) if jid.to_bare() == account => {
                    world.is_online(link.pump.client().tls());
                    link.jid = jid;
                    return Ok(link);
                }
                PumpStep::Event(MachineEvent::Online(jid)) => {
                    return Err(broken(format!("{account} was bound as {jid}")));
                }
                PumpStep::Event(MachineEvent::Ask(ticket, ask)) => {
                    let answer = world.answer(ask).await;
                    link.pump.answer(ticket, answer);
                }
                PumpStep::Event(_) => {}
                PumpStep::Wait => {
                    poll_fn(|cx| link.poll_io(cx)).await.map_err(|error| broken(reason(&error)))?
                }
                PumpStep::Closed => return Err(broken("the server has closed the stream".into())),
            }
        }
    }

    fn now(&self) -> Instant {
        self.world.now()
    }

    /// The next thing that has happened; `None`: nothing without [`exchange`](Link::exchange).
    pub(crate) fn step(&mut self) -> Result<Option<MachineEvent>> {
        match self.pump.step(self.now()).map_err(|error| error.to_string())? {
            PumpStep::Event(event) => Ok(Some(event)),
            PumpStep::Wait => Ok(None),
            PumpStep::Closed => Err("the server has closed the stream".into()),
        }
    }

    /// Queues a stanza; whether there was room for it.
    pub(crate) fn send(&mut self, stanza: &Stanza) -> Result<bool> {
        match self.pump.send(self.now(), stanza) {
            Ok(()) => Ok(true),
            Err(PumpError::Full) => Ok(false),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Whether the server acknowledges what it is sent (XEP-0198).
    pub(crate) fn counts_sent(&self) -> bool {
        self.pump.client().counts_sent()
    }

    /// Asks it to do so now.
    pub(crate) fn request_ack(&mut self) {
        let now = self.now();
        self.pump.request_ack(now);
    }

    /// Asks the server for a sign that it has done all before.
    pub(crate) fn ping(&mut self) -> Result<RequestId> {
        let server = self.jid.domainpart().parse().ok();
        self.request(RequestKind::Get, server, Ping.to_element().into())
    }

    pub(crate) fn request(
        &mut self,
        kind: RequestKind,
        to: Option<balcony_jid::Jid>,
        payload: Payload,
    ) -> Result<RequestId> {
        let now = self.now();
        self.pump.request(now, kind, to, payload, PATIENCE).map_err(|error| error.to_string())
    }

    /// Waits until something was written or read, or is due.
    pub(crate) async fn exchange(&mut self) -> Result<()> {
        poll_fn(|cx| self.poll_exchange(cx)).await
    }

    /// The same, to be polled with others.
    pub(crate) fn poll_exchange(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.poll_io(cx).map_err(|error| format!("the connection broke down: {}", reason(&error)))
    }

    fn poll_io(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let mut is_done = false;
        while !self.pump.output().is_empty() {
            match self.socket.try_write(self.pump.output()) {
                Ok(count) => {
                    self.pump.wrote(count);
                    is_done = true;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    match self.socket.poll_write_ready(cx) {
                        Poll::Ready(ready) => ready?,
                        Poll::Pending => break,
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        loop {
            let room = self.pump.room().min(CHUNK);
            if room == 0 {
                break;
            }
            let read = CHUNK_OF_ALL.with_borrow_mut(|chunk| {
                let chunk = &mut chunk[..room];
                self.socket.try_read(chunk).inspect(|count| self.pump.received(&chunk[..*count]))
            });
            match read {
                Ok(_) => return Poll::Ready(Ok(())),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    match self.socket.poll_read_ready(cx) {
                        Poll::Ready(ready) => ready?,
                        Poll::Pending => break,
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        if is_done {
            return Poll::Ready(Ok(()));
        }
        let Some(at) = self.pump.deadline() else { return Poll::Pending };
        let at = self.world.start + Duration::from_nanos(at.as_nanos());
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(at)));
        if timer.deadline() != at {
            timer.as_mut().reset(at);
        }
        timer.as_mut().poll(cx).map(Ok)
    }

    /// Closes the stream in good order. What still comes is not looked at.
    pub(crate) async fn close(mut self) -> Result<()> {
        self.pump.close(self.now());
        let closed = async {
            loop {
                match self.pump.step(self.now()).map_err(|error| error.to_string())? {
                    PumpStep::Closed => return Ok(()),
                    PumpStep::Event(_) => {}
                    PumpStep::Wait => self.exchange().await?,
                }
            }
        };
        let result = timeout(PATIENCE, closed).await;
        result.unwrap_or_else(|_| Err("the server does not close the stream".into()))
    }

    /// The socket alone, on which nothing is read any more.
    pub(crate) fn into_socket(self) -> TcpStream {
        self.socket
    }

    /// Waits until what was sent is written.
    pub(crate) async fn flush(&mut self) -> Result<()> {
        while !self.pump.output().is_empty() {
            self.socket.ready(Interest::WRITABLE).await.map_err(|error| reason(&error))?;
            self.exchange().await?;
        }
        Ok(())
    }
}

/// The reason with the account that it is about.
pub(crate) fn named(world: &World, account: u32, reason: String) -> String {
    match world.account(account) {
        Ok(jid) => format!("{jid}: {reason}"),
        Err(_) => reason,
    }
}

/// Opens many, in the order of `wanted`: accounts and resources. `None`: it is to stop.
pub(crate) async fn open_all(world: &Rc<World>, wanted: &[(u32, String)]) -> Result<Option<Vec<Link>>> {
    let bar = progress(wanted.len() as u64, "logging in");
    let places = Rc::new(Semaphore::new(PARALLEL));
    let mut tasks = JoinSet::new();
    for (index, (account, resource)) in wanted.iter().cloned().enumerate() {
        let (world, places) = (world.clone(), places.clone());
        tasks.spawn_local(async move {
            let _place = places.acquire().await;
            let link = Link::open(&world, account, &resource).await;
            (index, link.map_err(|error| named(&world, account, error)))
        });
    }
    let mut links: Vec<Option<Link>> = wanted.iter().map(|_| None).collect();
    // The first in order that fails is the one that is told, whichever the server is done with first.
    let all = async {
        let mut failed: Option<(usize, String)> = None;
        while failed.as_ref().is_none_or(|(first, _)| links[..*first].iter().any(Option::is_none)) {
            let Some(done) = tasks.join_next().await else { break };
            let (index, link) = done.map_err(|error| error.to_string())?;
            match link {
                Ok(link) => links[index] = Some(link),
                Err(error) if failed.as_ref().is_none_or(|(first, _)| index < *first) => {
                    failed = Some((index, error));
                }
                Err(_) => {}
            }
            bar.inc(1);
        }
        failed.map_or(Ok(()), |(_, error)| Err(error))
    };
    let result = world.unless_stopped(all).await;
    bar.finish_and_clear();
    result.transpose().map(|done| done.map(|()| links.into_iter().flatten().collect()))
}
