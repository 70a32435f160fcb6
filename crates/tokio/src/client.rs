use core::time::Duration;
use std::io;

use balcony_client::{
    Config, ConnectError, Endpoint, Event, Pump, PumpError as Error, REDIRECTS, RequestId, RequestKind,
    RequestOutcome, Step,
};
use balcony_jid::{FullJid, Jid};
use balcony_stanza::{Payload, Stanza};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::{task, time};

use crate::clock::{Clock, seed};
use crate::connect;

/// How long the last words may take to leave.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// One account's connection to its server.
///
/// It has no task of its own: what the server sends is handled while one of its methods is being awaited, usually
/// [`next`](Client::next).
#[derive(Debug)]
pub struct Client {
    pump: Pump,
    stream: TcpStream,
    clock: Clock,
    jid: FullJid,
}

impl Client {
    /// Connects, and returns when the client is online: authenticated, with a resource bound. Send initial presence next
    /// (RFC 6121 section 4.2) to receive messages.
    ///
    /// # Errors
    ///
    /// [`ConnectError`], in words for a person; see [`ConnectError::is_permanent`] on whether to try again.
    pub async fn connect(config: Config, endpoint: Endpoint) -> Result<Client, ConnectError> {
        let mut endpoint = endpoint;
        for _ in 0..REDIRECTS {
            match Client::try_connect(&config, &endpoint).await {
                Err(error) if let Some(other) = error.redirect(&config) => endpoint = other,
                result => return result,
            }
        }
        Client::try_connect(&config, &endpoint).await
    }

    async fn try_connect(config: &Config, endpoint: &Endpoint) -> Result<Client, ConnectError> {
        let (mut stream, target) = connect::connect(endpoint, &config.stream.account).await?;
        let clock = Clock::start();
        let machine = balcony_client::Client::new(config.clone().for_endpoint(endpoint, &target), &seed(), clock.now());
        let mut pump = Pump::new(machine);
        let online = negotiate(&mut pump, &mut stream, clock).await;
        let jid = online.map_err(|error| pump.connect_error(error))?;
        Ok(Client { pump, stream, clock, jid })
    }

    /// The JID that the server has bound.
    #[must_use]
    pub fn jid(&self) -> &FullJid {
        &self.jid
    }

    /// The client below, to look at.
    #[must_use]
    pub fn machine(&self) -> &balcony_client::Client {
        self.pump.client()
    }

    /// Waits for the next event: a stanza, or the outcome of a request that was [started](Client::start_request). `None`:
    /// the server has closed the stream in good order.
    ///
    /// Cancel-safe: if another branch of a `select!` is first, nothing is lost.
    ///
    /// # Errors
    ///
    /// Why the connection has ended.
    pub async fn next(&mut self) -> Result<Option<Event>, Error> {
        next(&mut self.pump, &mut self.stream, self.clock).await
    }

    /// Sends a stanza, and waits until the operating system has taken it.
    ///
    /// If it is cancelled, the stanza still goes out with the next call of any method.
    ///
    /// # Errors
    ///
    /// Why the connection has ended.
    pub async fn send(&mut self, stanza: &Stanza) -> Result<(), Error> {
        self.pump.send(stanza)?;
        self.flush().await
    }

    /// Sends a request (RFC 6120 section 8.2.3) and waits for its outcome. Stanzas that come meanwhile are kept for
    /// [`next`](Client::next), which brings them even if the connection has ended. `to` is `None` for one's own account.
    ///
    /// If it is cancelled, the outcome comes from `next`.
    ///
    /// # Errors
    ///
    /// Why the connection has ended; [`Error::Overrun`] if more than 1,024 stanzas come meanwhile.
    pub async fn request(
        &mut self,
        kind: RequestKind,
        to: Option<Jid>,
        payload: Payload,
        timeout: Duration,
    ) -> Result<RequestOutcome, Error> {
        let request = self.pump.request(self.clock.now(), kind, to, payload, timeout)?;
        loop {
            match self.pump.outcome(self.clock.now(), request)? {
                Some(outcome) => return Ok(outcome),
                None => exchange(&mut self.pump, &mut self.stream, self.clock).await?,
            }
        }
    }

    /// Sends a request whose outcome comes from [`next`](Client::next) as [`Event::Response`].
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
        let request = self.pump.request(self.clock.now(), kind, to, payload, timeout)?;
        self.flush().await?;
        Ok(request)
    }

    /// Begins to close the stream in good order: [`next`](Client::next) brings what still comes, and in the end `None`. Send
    /// unavailable presence first (RFC 6121 section 4.5).
    pub fn start_close(&mut self) {
        self.pump.close(self.clock.now());
    }

    /// Closes the stream in good order, and waits, for a bounded time, until the server has closed its side. What still
    /// comes is dropped; [`start_close`](Client::start_close) drops nothing.
    ///
    /// # Errors
    ///
    /// Why it did not end in good order.
    pub async fn close(mut self) -> Result<(), Error> {
        self.start_close();
        while self.next().await?.is_some() {}
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), Error> {
        loop {
            self.pump.absorb(self.clock.now())?;
            if self.pump.output().is_empty() {
                return Ok(());
            }
            exchange(&mut self.pump, &mut self.stream, self.clock).await?;
        }
    }
}

async fn negotiate(pump: &mut Pump, stream: &mut TcpStream, clock: Clock) -> Result<FullJid, Error> {
    loop {
        match next(pump, stream, clock).await? {
            Some(Event::Online(jid)) => return Ok(jid),
            Some(Event::Ask(ticket, ask)) => {
                let answer = task::spawn_blocking(move || balcony_client::answer(ask)).await;
                // Only a runtime that is ending does not run it.
                pump.answer(ticket, answer.unwrap_or(balcony_stream::client::ClientAnswer::Unavailable));
            }
            Some(_) => {}
            None => return Err(Error::Ended(balcony_stream::Error::Truncated.into())),
        }
    }
}

async fn next(pump: &mut Pump, stream: &mut TcpStream, clock: Clock) -> Result<Option<Event>, Error> {
    loop {
        match pump.step(clock.now()) {
            Ok(Step::Event(event)) => return Ok(Some(event)),
            Ok(Step::Wait) => exchange(pump, stream, clock).await?,
            Ok(Step::Closed) => {
                last_words(pump, stream).await;
                return Ok(None);
            }
            Err(error) => {
                last_words(pump, stream).await;
                return Err(error);
            }
        }
    }
}

/// Writes something, reads something, or waits until something is due, whichever is first.
async fn exchange(pump: &mut Pump, stream: &mut TcpStream, clock: Clock) -> Result<(), Error> {
    let (input, mut output) = stream.split();
    let (room, until) = (pump.room(), pump.deadline());
    tokio::select! {
        // Cancelled halves of this have done nothing, and so `next` is cancel-safe.
        wrote = output.write(pump.output()), if !pump.output().is_empty() => pump.wrote(wrote.map_err(broken)?),
        ready = input.readable(), if room > 0 => {
            ready.map_err(broken)?;
            let mut buffer = [0; 16_384];
            let buffer = &mut buffer[..room.min(16_384)];
            match input.try_read(buffer) {
                Ok(count) => pump.received(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(broken(error)),
            }
        }
        () = sleep(until, clock) => {}
    }
    Ok(())
}

async fn sleep(until: Option<balcony_machine::Instant>, clock: Clock) {
    match until {
        Some(at) => time::sleep_until(clock.at(at)).await,
        None => core::future::pending().await,
    }
}

/// The stream is over. What the server is to be told leaves if it can.
async fn last_words(pump: &mut Pump, stream: &mut TcpStream) {
    let leave = async {
        stream.write_all(pump.output()).await?;
        stream.shutdown().await
    };
    // The connection has ended, whether that worked or not.
    let _ = time::timeout(LAST_WORDS, leave).await;
    pump.wrote(usize::MAX);
}

fn broken(error: io::Error) -> Error {
    Error::Broken(error.to_string())
}
