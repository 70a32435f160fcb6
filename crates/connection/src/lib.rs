//! One XMPP stream on its TLS layer, as one byte machine: ciphertext in, ciphertext out, either role.
//!
//! `balcony-client` and `balcony-server` are both built on it, so that the order of things around STARTTLS (RFC 6120
//! section 5.4.3) is written down once: what was read before the handshake is forgotten, what follows `<proceed/>` goes
//! to TLS and nowhere else, and `close_notify` comes after the closing tag.
//!
//! Without the feature `tls` (on by default) the crate is `no_std`. Without it, or without a configuration for TLS,
//! [`Event::StartTls`] comes up to the caller, who runs TLS below and calls [`Connection::secured`].
#![cfg_attr(not(feature = "tls"), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

#[cfg(feature = "tls")]
mod layer;
#[cfg(feature = "websocket")]
mod websocket;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use balcony_jid::{BareJid, FullJid};
use balcony_machine::{ApiMisuse, Deadline, Instant, On, Progress, Seed, Ticket};
use balcony_stanza::{Stanza, StreamError};
use balcony_stream::federation::{self, Verification};
use balcony_stream::{Answer, Event, Initiating, Receiving, Security, Stream, component};

#[cfg(feature = "tls")]
use layer::Layer;
#[cfg(feature = "websocket")]
pub use websocket::WEBSOCKET_PATH;
#[cfg(feature = "websocket")]
use websocket::WebSocket;

/// A stream and, where there is one, the TLS session that carries it.
#[derive(Debug)]
pub struct Connection {
    stream: Stream,
    #[cfg(feature = "tls")]
    layer: Layer,
    /// Decrypted input that the stream has not taken yet.
    #[cfg(feature = "tls")]
    input: Vec<u8>,
    /// Output of the stream that [`flush`](Connection::flush) has not passed on yet.
    output: Vec<u8>,
    output_limit: usize,
    closed: bool,
    /// Set once, returned for ever.
    failed: Option<Error>,
    /// TLS did not take something that was to be sent.
    has_lost_output: bool,
}

/// Why a connection ended before its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The stream ended.
    Stream(balcony_stream::Error),
    /// TLS failed; the transport ends without a closing tag (RFC 6120 section 5.4.3.2).
    #[cfg(feature = "tls")]
    Tls(balcony_tls::Error),
    /// There is no WebSocket, or none any more (RFC 7395). What the peer is to be told in HTTP is in the output.
    #[cfg(feature = "websocket")]
    WebSocket(alloc::string::String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Stream(error) => error.fmt(f),
            #[cfg(feature = "tls")]
            Error::Tls(error) => error.fmt(f),
            #[cfg(feature = "websocket")]
            Error::WebSocket(reason) => write!(f, "no WebSocket: {reason}"),
        }
    }
}

impl core::error::Error for Error {}

impl From<balcony_stream::Error> for Error {
    fn from(error: balcony_stream::Error) -> Self {
        Error::Stream(error)
    }
}

impl Connection {
    /// A client's end.
    #[must_use]
    pub fn initiating(config: Arc<Initiating>, seed: Seed, now: Instant) -> Self {
        let output_limit = config.limits.output;
        Connection::new(Stream::initiating(config, seed, now), output_limit)
    }

    /// A server's end.
    #[must_use]
    pub fn receiving(config: Arc<Receiving>, seed: Seed, now: Instant) -> Self {
        let output_limit = config.limits.output;
        Connection::new(Stream::receiving(config, seed, now), output_limit)
    }

    /// A server on a stream that it opens to another server, to send stanzas.
    ///
    /// Its TLS ([`with_client_tls`](Connection::with_client_tls)) is one that is made for
    /// [federation](balcony_tls::ClientConfigBuilder::federation), with [`Initiating::to`](federation::Initiating::to) for
    /// the domain.
    #[must_use]
    pub fn federation_initiating(config: Arc<federation::Initiating>, seed: Seed, now: Instant) -> Self {
        let output_limit = config.limits.output;
        Connection::new(Stream::federation_initiating(config, seed, now), output_limit)
    }

    /// A server on a stream that another server has opened, and sends stanzas on.
    ///
    /// Its TLS ([`with_server_tls`](Connection::with_server_tls)) is one that is made for
    /// [federation](balcony_tls::ServerConfig::federation): what the peer's certificate proves comes from there.
    #[must_use]
    pub fn federation_receiving(config: Arc<federation::Receiving>, seed: Seed, now: Instant) -> Self {
        let output_limit = config.limits.output;
        Connection::new(Stream::federation_receiving(config, seed, now), output_limit)
    }

    /// A component on its stream to a server (XEP-0114).
    #[must_use]
    pub fn component_initiating(config: Arc<component::Initiating>, seed: Seed, now: Instant) -> Self {
        let output_limit = config.limits.output;
        Connection::new(Stream::component_initiating(config, seed, now), output_limit)
    }

    /// A server on the stream of a component (XEP-0114).
    #[must_use]
    pub fn component_receiving(config: Arc<component::Receiving>, seed: Seed, now: Instant) -> Self {
        let output_limit = config.limits.output;
        Connection::new(Stream::component_receiving(config, seed, now), output_limit)
    }

    fn new(stream: Stream, output_limit: usize) -> Self {
        Connection {
            stream,
            #[cfg(feature = "tls")]
            layer: Layer::absent(),
            #[cfg(feature = "tls")]
            input: Vec::new(),
            output: Vec::new(),
            output_limit,
            closed: false,
            failed: None,
            has_lost_output: false,
        }
    }

    /// With TLS at a client's end. The server must prove that it is `domain`, the domain of the account (RFC 6120 section
    /// 13.7.2.1).
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn with_client_tls(mut self, tls: balcony_tls::ClientConfig, domain: &str) -> Self {
        self.layer = Layer::client(tls, domain);
        self
    }

    /// With TLS at a server's end.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn with_server_tls(mut self, tls: balcony_tls::ServerConfig) -> Self {
        self.layer = Layer::server(tls);
        self
    }

    /// On a WebSocket, at a server's end (RFC 7395), at [`WEBSOCKET_PATH`]. The framing of the stream has to be
    /// [`Messages`](balcony_stream::Framing::Messages). With TLS, which is set before, it is `wss`. A message of more than
    /// `2 * stanza` bytes ends the stream.
    #[cfg(feature = "websocket")]
    #[must_use]
    pub fn with_websocket(mut self, stanza: usize) -> Self {
        self.layer.set_websocket(WebSocket::server(stanza));
        self
    }

    /// The same at a client's end, which asks `host` for `path`; both have to be as they stand in a URL, in ASCII and
    /// without white space.
    ///
    /// # Errors
    ///
    /// [`ApiMisuse`] if they aren't.
    #[cfg(feature = "websocket")]
    pub fn with_client_websocket(
        mut self,
        host: &str,
        path: &str,
        seed: &Seed,
        stanza: usize,
    ) -> Result<Self, ApiMisuse> {
        if !path.starts_with('/')
            || ![host, path].iter().all(|part| part.bytes().all(|b| b.is_ascii_graphic()))
        {
            return Err(ApiMisuse("host and path must be those of a URL"));
        }
        self.layer.set_websocket(WebSocket::client(host, path, &mut seed.random(), stanza));
        Ok(self)
    }

    /// Takes the peer's bytes up to the next event, and appends what is to be sent to `out`.
    ///
    /// No input is taken while `out` is full, but time passes all the same: whatever this returns, unless it is an event, no
    /// [`deadline`](Connection::deadline) is `now` or earlier.
    ///
    /// # Errors
    ///
    /// The [`Error`] that ended the connection, again at every later call; what the peer is to be told is in `out`.
    pub fn advance(
        &mut self,
        now: Instant,
        input: &mut &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Progress<Event>, Error> {
        if self.is_over()? {
            return Ok(Progress::Closed);
        }
        let result = if out.len() < self.output_limit {
            self.run(now, input, out)
        } else if self.is_due(now) {
            self.pass(now)
        } else {
            Ok(Progress::Blocked(On::OutputFull))
        };
        self.conclude(result, out)
    }

    /// Does what has become due, and takes no input: neither new bytes nor what has been decrypted before. For an owner who
    /// can't take another event of the peer's now.
    ///
    /// # Errors
    ///
    /// As for [`advance`](Connection::advance).
    pub fn tick(&mut self, now: Instant, out: &mut Vec<u8>) -> Result<Progress<Event>, Error> {
        if self.is_over()? {
            return Ok(Progress::Closed);
        }
        let result = self.pass(now);
        self.conclude(result, out)
    }

    /// The end is the end: whatever still comes touches neither the stream nor TLS.
    fn is_over(&self) -> Result<bool, Error> {
        self.failed.clone().map_or(Ok(self.closed), Err)
    }

    fn is_due(&self, now: Instant) -> bool {
        self.deadline().is_some_and(|deadline| deadline.at <= now)
    }

    /// Lets time pass for the stream.
    fn pass(&mut self, now: Instant) -> Result<Progress<Event>, Error> {
        Ok(self.stream.advance(now, &mut &[][..], &mut self.output)?)
    }

    /// Passes on what there is to be sent, and ends the connection if it is over.
    fn conclude(
        &mut self,
        result: Result<Progress<Event>, Error>,
        out: &mut Vec<u8>,
    ) -> Result<Progress<Event>, Error> {
        let result = self.flush(out).and(result);
        if matches!(result, Ok(Progress::Closed) | Err(_)) {
            self.end(out);
        }
        self.failed = result.as_ref().err().cloned();
        result
    }

    #[cfg(not(feature = "tls"))]
    fn run(&mut self, now: Instant, input: &mut &[u8], _: &[u8]) -> Result<Progress<Event>, Error> {
        Ok(self.stream.advance(now, input, &mut self.output)?)
    }

    #[cfg(feature = "tls")]
    fn run(&mut self, now: Instant, input: &mut &[u8], out: &mut Vec<u8>) -> Result<Progress<Event>, Error> {
        loop {
            if out.len() >= self.output_limit {
                return Ok(Progress::Blocked(On::OutputFull));
            }
            let mut decrypted = false;
            let progress = if self.layer.is_plain() {
                self.stream.advance(now, input, &mut self.output)?
            } else {
                // Decrypt only when the stream has used up what it had, so that a blocked stream blocks its peer.
                if self.input.is_empty()
                    && let Some(security) = self.read_layer(now, input, out)?
                {
                    // The stream has asked for this handshake, or began with it; if it was closed meanwhile it does not
                    // care any more.
                    let _ = self.stream.secured(security);
                }
                decrypted = !self.input.is_empty();
                let mut rest = self.input.as_slice();
                let result = self.stream.advance(now, &mut rest, &mut self.output);
                let taken = self.input.len() - rest.len();
                self.input.drain(..taken);
                if self.input.is_empty() {
                    self.input.shrink_to(IDLE_CAPACITY);
                }
                result?
            };
            match progress {
                // TLS is the caller's.
                Progress::Event(Event::StartTls) | Progress::Blocked(On::Tls) if self.layer.is_absent() => {
                    return Ok(progress);
                }
                Progress::Event(Event::StartTls) => {
                    // `<proceed/>` or `<starttls/>` still goes out in the clear.
                    self.flush(out)?;
                    self.layer.upgrade()?;
                    self.input.clear();
                }
                // TLS from the first byte (XEP-0368).
                Progress::Blocked(On::Tls) if self.layer.is_plain() => self.layer.start()?,
                // More can be decrypted from what is left, or TLS has failed behind what was.
                Progress::NeedInput | Progress::Blocked(On::Tls) if decrypted || !input.is_empty() => {}
                Progress::NeedInput | Progress::Blocked(On::Tls) => {
                    return if self.layer.peer_closed() {
                        self.eof(now, out)
                    } else {
                        Ok(Progress::NeedInput)
                    };
                }
                progress => return Ok(progress),
            }
            if self.layer.peer_closed() && self.input.is_empty() {
                // What follows close_notify is nobody's.
                *input = &[];
            }
        }
    }

    #[cfg(feature = "tls")]
    fn read_layer(
        &mut self,
        now: Instant,
        input: &mut &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Option<Security>, Error> {
        let result = self.layer.read(now, input, &mut self.input, out);
        if let Err(Error::Stream(balcony_stream::Error::Local(error))) = &result {
            self.stream.abort(error.clone(), &mut self.output);
        }
        result
    }

    /// The transport has ended.
    ///
    /// # Errors
    ///
    /// As for [`Stream::eof`], and again at every later call.
    pub fn eof(&mut self, now: Instant, out: &mut Vec<u8>) -> Result<Progress<Event>, Error> {
        if self.is_over()? {
            return Ok(Progress::Closed);
        }
        let result = self.stream.eof(now, &mut self.output).map_err(Error::from);
        // What the stream has still to say goes the way of all that it says.
        let result = self.flush(out).and(result);
        self.failed = result.as_ref().err().cloned();
        result
    }

    /// Passes on what [`send`](Connection::send), [`close`](Connection::close) and [`abort`](Connection::abort) have
    /// written, encrypted where TLS is up. Several stanzas become one TLS record.
    ///
    /// # Errors
    ///
    /// [`Error::Tls`] if TLS has failed.
    pub fn flush(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        if self.output.is_empty() {
            return Ok(());
        }
        #[cfg(feature = "tls")]
        if !self.layer.is_plain() {
            let result = self.layer.write(&self.output, out);
            self.has_lost_output |= result.is_err();
            self.output.clear();
            self.output.shrink_to(IDLE_CAPACITY);
            return result;
        }
        if out.is_empty() {
            core::mem::swap(out, &mut self.output);
        } else {
            out.append(&mut self.output);
        }
        Ok(())
    }

    /// Bytes that wait for [`flush`](Connection::flush).
    #[must_use]
    pub fn pending(&self) -> usize {
        self.output.len()
    }

    /// Whether something that was [sent](Connection::send) will never be in the output, since TLS has failed before.
    #[must_use]
    pub fn has_lost_output(&self) -> bool {
        self.has_lost_output
    }

    /// When to call [`advance`](Connection::advance) even if nothing has come.
    #[must_use]
    pub fn deadline(&self) -> Option<Deadline> {
        // After its end a connection does nothing any more, whatever the stream in it still waits for.
        if self.closed { None } else { self.stream.deadline() }
    }

    /// The TLS session that the caller runs below this connection is up.
    ///
    /// # Errors
    ///
    /// [`ApiMisuse`] if no handshake was due.
    pub fn secured(&mut self, security: Security) -> Result<(), ApiMisuse> {
        self.stream.secured(security)
    }

    /// Answers an ask; see [`Stream::answer`].
    ///
    /// # Errors
    ///
    /// [`ApiMisuse`] if the ask is not open.
    pub fn answer(&mut self, ticket: Ticket, answer: Answer) -> Result<(), ApiMisuse> {
        self.stream.answer(ticket, answer)
    }

    /// Asks for one more pair of domains; see [`Stream::authorize`].
    ///
    /// # Errors
    ///
    /// As for [`Stream::authorize`].
    pub fn authorize(&mut self, from: BareJid, to: BareJid) -> Result<(), ApiMisuse> {
        self.stream.authorize(from, to)
    }

    /// Asks about a key; see [`Stream::verify`].
    ///
    /// # Errors
    ///
    /// As for [`Stream::verify`].
    pub fn verify(&mut self, now: Instant, verification: Verification) -> Result<(), ApiMisuse> {
        self.stream.verify(now, verification)
    }

    /// Queues a stanza for [`flush`](Connection::flush).
    ///
    /// # Errors
    ///
    /// [`ApiMisuse`] unless stanzas can be sent now.
    pub fn send(&mut self, stanza: &Stanza) -> Result<(), ApiMisuse> {
        self.stream.send(stanza, &mut self.output)
    }

    /// Closes the stream in good order; see [`Stream::close`].
    pub fn close(&mut self, now: Instant) {
        self.stream.close(now, &mut self.output);
    }

    /// Ends the stream with an error; see [`Stream::abort`].
    pub fn abort(&mut self, error: StreamError) {
        self.stream.abort(error, &mut self.output);
    }

    /// Whether stanzas can be sent.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.stream.is_open()
    }

    /// The bound JID.
    #[must_use]
    pub fn jid(&self) -> Option<&FullJid> {
        self.stream.jid()
    }

    /// What the server has announced; see [`Stream::features`](balcony_stream::Stream::features).
    #[must_use]
    pub fn features(&self) -> balcony_stream::ServerFeatures {
        self.stream.features()
    }

    /// Where the peer has sent us when it closed the stream; see [`Stream::redirect`].
    #[must_use]
    pub fn redirect(&self) -> Option<&str> {
        self.stream.redirect()
    }

    /// What TLS has negotiated; `None` in the clear.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(&self) -> Option<&balcony_tls::Established> {
        self.layer.established()
    }

    /// TLS ends after the stream (RFC 6120 section 4.4).
    fn end(&mut self, out: &mut Vec<u8>) {
        if !self.closed {
            self.closed = true;
            #[cfg(feature = "tls")]
            self.layer.close(out);
            #[cfg(not(feature = "tls"))]
            let _ = out;
        }
    }
}

/// What an idle connection may keep of its buffers.
#[cfg(feature = "tls")]
const IDLE_CAPACITY: usize = 4096;
