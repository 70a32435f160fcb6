use core::pin::Pin;
use core::task::Poll;
use core::time::Duration;
use std::io;

use balcony_client::{
    Config, ConnectError, Event, Pump, PumpError as Error, REDIRECTS, RequestId, RequestKind, RequestOutcome,
    Step,
};
use balcony_jid::{FullJid, Jid};
use balcony_stanza::{Payload, Stanza};
use futures_io::{AsyncRead, AsyncWrite};
use futures_lite::AsyncWriteExt as _;
use futures_lite::future::{or, poll_fn};

use crate::clock::{Clock, seed, timeout};
use crate::socket::CHUNK;

/// How long the last words may take to leave.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// One account's connection to its server, over a transport `S`.
///
/// It has no task of its own: what the server sends is handled while one of its methods is being awaited, usually
/// [`next`](Client::next).
#[derive(Debug)]
pub struct Client<S> {
    wire: Wire<S>,
    jid: FullJid,
}

#[cfg(feature = "async-std")]
impl Client<crate::Tcp> {
    /// Connects with a socket of async-std, and then as [`over`](Client::over). SRV records are not looked up: what they
    /// say can be given as an [`Address`](balcony_client::Endpoint::Address).
    ///
    /// # Errors
    ///
    /// [`ConnectError`], in words for a person; see [`ConnectError::is_permanent`] on whether to try again.
    pub async fn connect(config: Config, endpoint: balcony_client::Endpoint) -> Result<Self, ConnectError> {
        let mut endpoint = endpoint;
        for _ in 0..REDIRECTS {
            match Client::try_connect(&config, &endpoint).await {
                Err(error) if let Some(other) = error.redirect(&config) => endpoint = other,
                result => return result,
            }
        }
        Client::try_connect(&config, &endpoint).await
    }

    async fn try_connect(config: &Config, endpoint: &balcony_client::Endpoint) -> Result<Self, ConnectError> {
        let (stream, target) = crate::tcp::connect(endpoint, &config.stream.account).await?;
        Client::over(stream, config.clone().for_endpoint(endpoint, &target)).await
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    /// Begins a stream on a transport that has just been connected, and returns when the client is online: authenticated,
    /// with a resource bound. Send initial presence next (RFC 6121 section 4.2) to receive messages.
    ///
    /// # Errors
    ///
    /// [`ConnectError`], in words for a person; see [`ConnectError::is_permanent`] on whether to try again.
    pub async fn over(transport: S, config: Config) -> Result<Self, ConnectError> {
        let clock = Clock::start();
        let machine = balcony_client::Client::new(config, &seed(), clock.now());
        let mut wire = Wire { pump: Pump::new(machine), transport, clock };
        let online = wire.negotiate().await;
        let jid = online.map_err(|error| wire.pump.connect_error(error))?;
        Ok(Client { wire, jid })
    }

    /// The JID that the server has bound.
    #[must_use]
    pub fn jid(&self) -> &FullJid {
        &self.jid
    }

    /// The client below, to look at.
    #[must_use]
    pub fn machine(&self) -> &balcony_client::Client {
        self.wire.pump.client()
    }

    /// Waits for the next event: a stanza, or the outcome of a request that was [started](Client::start_request). `None`:
    /// the server has closed the stream in good order.
    ///
    /// Cancel-safe: if another future is first, nothing is lost.
    ///
    /// # Errors
    ///
    /// Why the connection has ended.
    pub async fn next(&mut self) -> Result<Option<Event>, Error> {
        self.wire.next().await
    }

    /// Sends a stanza, and waits until the transport has taken it.
    ///
    /// If it is cancelled, the stanza still goes out with the next call of any method.
    ///
    /// # Errors
    ///
    /// Why the connection has ended.
    pub async fn send(&mut self, stanza: &Stanza) -> Result<(), Error> {
        self.wire.pump.send(stanza)?;
        self.wire.flush().await
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
        let wire = &mut self.wire;
        let request = wire.pump.request(wire.clock.now(), kind, to, payload, timeout)?;
        loop {
            match wire.pump.outcome(wire.clock.now(), request)? {
                Some(outcome) => return Ok(outcome),
                None => wire.exchange().await?,
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
        let request = self.wire.pump.request(self.wire.clock.now(), kind, to, payload, timeout)?;
        self.wire.flush().await?;
        Ok(request)
    }

    /// Begins to close the stream in good order: [`next`](Client::next) brings what still comes, and in the end `None`. Send
    /// unavailable presence first (RFC 6121 section 4.5).
    pub fn start_close(&mut self) {
        self.wire.pump.close(self.wire.clock.now());
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
}

#[derive(Debug)]
struct Wire<S> {
    pump: Pump,
    transport: S,
    clock: Clock,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    async fn negotiate(&mut self) -> Result<FullJid, Error> {
        loop {
            match self.next().await? {
                Some(Event::Online(jid)) => return Ok(jid),
                Some(Event::Ask(ticket, ask)) => {
                    let answer = blocking::unblock(move || balcony_client::answer(ask)).await;
                    self.pump.answer(ticket, answer);
                }
                Some(_) => {}
                None => return Err(Error::Ended(balcony_stream::Error::Truncated.into())),
            }
        }
    }

    async fn next(&mut self) -> Result<Option<Event>, Error> {
        loop {
            let end = match self.pump.step(self.clock.now()) {
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
            self.pump.absorb(self.clock.now())?;
            if self.pump.output().is_empty() {
                return self.transport.flush().await.map_err(broken);
            }
            self.exchange().await?;
        }
    }

    /// Writes something, reads something, or waits until something is due, whichever is first.
    async fn exchange(&mut self) -> Result<(), Error> {
        let due = self.clock.wait(self.pump.deadline());
        let Wire { pump, transport, .. } = self;
        let bytes = poll_fn(|context| {
            if pump.output().is_empty() {
                // A transport with a buffer may still hold what it has taken.
                let _ = Pin::new(&mut *transport).poll_flush(context).map_err(broken)?;
            } else if let Poll::Ready(wrote) = Pin::new(&mut *transport).poll_write(context, pump.output()) {
                pump.wrote(wrote.map_err(broken)?);
                return Poll::Ready(Ok(()));
            }
            let mut buffer = [0; CHUNK];
            let buffer = &mut buffer[..pump.room().min(CHUNK)];
            if buffer.is_empty() {
                return Poll::Pending;
            }
            Pin::new(&mut *transport)
                .poll_read(context, buffer)
                .map(|count| count.map(|count| pump.received(&buffer[..count])).map_err(broken))
        });
        or(bytes, async {
            due.await;
            Ok(())
        })
        .await
    }

    /// The stream is over. What the server is to be told leaves if it can.
    async fn last_words(&mut self) {
        let leave = async {
            self.transport.write_all(self.pump.output()).await?;
            self.transport.close().await
        };
        // The connection has ended, whether that worked or not.
        let _: Option<io::Result<()>> = timeout(LAST_WORDS, leave).await;
        self.pump.wrote(usize::MAX);
    }
}

fn broken(error: io::Error) -> Error {
    Error::Broken(error.to_string())
}
