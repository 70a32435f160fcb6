//! One XMPP stream on its TLS layer, as one byte machine: ciphertext in, ciphertext out, any role.
//!
//! `balcony-client` and `balcony-server` are both built on it, so that the order of things around STARTTLS (RFC 6120
//! section 5.4.3) is written down once: what was read before the handshake is forgotten, what follows `<proceed/>` goes
//! to TLS and nowhere else, and `close_notify` comes after the closing tag.
//!
//! A [`Connection`] has the role of its stream: a [`ClientConnection`] can do what a client can, and says what a client's stream
//! says. What a role can't do does not compile:
//!
//! ```compile_fail,E0599
//! use balcony_connection::ServerConnection;
//!
//! fn dialback(connection: &mut ServerConnection, from: balcony_jid::BareJid, to: balcony_jid::BareJid) {
//!     let _ = connection.authorize(from, to);
//! }
//! ```
//!
//! Without the feature `tls` (on by default) the crate is `no_std`. Without it, or without a configuration for TLS, the event
//! `StartTls` of the stream comes up to the caller, who runs TLS below and calls [`Connection::secured`].
//!
//! # Features
//!
//! | feature | what it brings |
//! |---|---|
//! | `tls` (on) | TLS by rustls, which needs std. Without it the caller brings its own |
//! | `look` | streams that only look at what a server offers |
//! | `websocket` | XMPP on WebSockets (RFC 7395) |
#![cfg_attr(not(feature = "tls"), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

#[cfg(feature = "tls")]
mod layer;
mod left;
mod roles;
pub mod srv;
#[cfg(all(test, feature = "tls"))]
mod tests;
#[cfg(feature = "websocket")]
mod url;
#[cfg(feature = "websocket")]
mod websocket;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use balcony_machine::{ApiMisuse, Deadline, Instant, On, Progress, Ticket};
use balcony_stanza::{Stanza, StreamError};
use balcony_stream::client::Client;
use balcony_stream::component::Component;
use balcony_stream::s2s::S2s;
use balcony_stream::server::Server;
use balcony_stream::{Security, Side, Stream};
use balcony_xml::Workspace;

#[cfg(feature = "tls")]
use layer::Layer;
pub use left::Left;
#[cfg(feature = "websocket")]
pub use url::WebSocketUrl;
#[cfg(feature = "websocket")]
pub use websocket::WEBSOCKET_PATH;

/// A client's connection to its server.
pub type ClientConnection = Connection<Client>;
/// A client's connection, at its server.
pub type ServerConnection = Connection<Server>;
/// A connection between servers, either end.
pub type S2sConnection = Connection<S2s>;
/// A component's connection to its server, either end.
pub type ComponentConnection = Connection<Component>;

/// A stream and, where there is one, the TLS session that carries it. `Debug` shows nothing that was sent or has come.
///
/// 1. **What has happened goes in**: the transport's bytes with [`advance`](Connection::advance), their end with [`eof`](Connection::eof), the time with
///    [`tick`](Connection::tick), the [`answer`](Connection::answer) to what was asked.
/// 2. **What the owner wants**: [`send`](Connection::send), [`close`](Connection::close), [`abort`](Connection::abort), and what the role adds. Then
///    [`flush`](Connection::flush): many stanzas become few TLS records so. Without it nothing leaves, not even the header of the stream, and the peer
///    says nothing either. A client on whose stream stanzas are counted (XEP-0198) also says which it has [handled](ClientConnection::handled).
/// 3. **What comes of it**: the transport's bytes, which `flush` appends to the owner's buffer (`advance`, `tick` and `eof` as well what can't wait for it:
///    the last of all, and what TLS says itself), and events. One is returned at a time: call `advance` again, with no more bytes too, until it wants input
///    or is blocked.
/// 4. **Looking**: [`deadline`](Connection::deadline), [`pending`](Connection::pending), [`is_open`](Connection::is_open),
///    [`failure`](Connection::failure), [`answers_ping`](Connection::answers_ping), and with TLS [`tls`](Connection::tls).
///
/// So the order is: what has happened, `advance` until it returns no event, what the owner wants, `flush`, write the buffer, wait for bytes or
/// the deadline. The whole loop of a component on a socket that blocks:
///
/// ```no_run
/// use std::io::{ErrorKind, Read, Write};
/// use std::net::TcpStream;
/// use std::sync::Arc;
/// use std::time::Duration;
/// use balcony_connection::ComponentConnection;
/// use balcony_machine::{Instant, Progress, Seed};
/// use balcony_stanza::{ErrorCondition, IqType, Kind, MessageType, Stanza};
/// use balcony_stream::component::{ComponentEvent, ComponentInitiatingConfig};
///
/// fn run(config: ComponentInitiatingConfig, seed: Seed, mut socket: TcpStream) -> Result<(), Box<dyn std::error::Error>> {
///     let start = std::time::Instant::now();
///     let now = || Instant::ZERO + start.elapsed();
///     let mut connection = ComponentConnection::initiating(Arc::new(config), seed, now());
///     let (mut bytes, mut out, mut chunk) = (Vec::new(), Vec::new(), [0; 4096]);
///     loop {
///         let mut input = bytes.as_slice();
///         let over = loop {
///             match connection.advance(now(), &mut input, &mut out) {
///                 Ok(Progress::Event(ComponentEvent::Stanza(stanza))) => {
///                     let reply = match stanza.head.kind {
///                         Kind::Message(kind) if kind != MessageType::Error => {
///                             let mut reply = Stanza::message(MessageType::Chat);
///                             (reply.head.from, reply.head.to) = (stanza.head.to, stanza.head.from);
///                             Some(reply)
///                         }
///                         // Each request has an answer (RFC 6120 section 8.2.3), and nothing else wants one.
///                         Kind::Iq(IqType::Get | IqType::Set) => stanza.error(&ErrorCondition::ServiceUnavailable.into()),
///                         _ => None,
///                     };
///                     reply.iter().try_for_each(|reply| connection.send(reply))?;
///                 }
///                 Ok(Progress::Event(_)) => {}
///                 Ok(Progress::Closed) => break Some(Ok(())),
///                 Ok(Progress::NeedInput | Progress::Blocked(_)) => break None,
///                 Err(error) => break Some(Err(error)),
///             }
///         };
///         let taken = bytes.len() - input.len();
///         bytes.drain(..taken);
///         // After an error as well: the peer is told why.
///         let _ = connection.flush(&mut out);
///         if let Some(result) = over {
///             // Its last words, for which the peer has no longer than a moment.
///             socket.set_write_timeout(Some(Duration::from_secs(5)))?;
///             socket.write_all(&out)?;
///             return Ok(result?);
///         }
///         // Neither reading nor writing waits longer than until something is due. Zero would mean for ever.
///         let due = connection.deadline().map(|due| (due.at - now()).max(Duration::from_millis(1)));
///         let read = if out.is_empty() {
///             socket.set_read_timeout(due).and_then(|()| socket.read(&mut chunk)).map(Some)
///         } else {
///             socket.set_write_timeout(due).and_then(|()| socket.write(&out)).map(|count| drop(out.drain(..count))).map(|()| None)
///         };
///         match read {
///             Ok(None) => {}
///             Ok(Some(0)) => drop(connection.eof(now(), &mut out)?),
///             Ok(Some(count)) => bytes.extend_from_slice(&chunk[..count]),
///             Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted) => {}
///             Err(error) => return Err(error.into()),
///         }
///     }
/// }
/// ```
///
/// A role's own methods are in its `impl` below: [`ClientConnection`], [`ServerConnection`], [`S2sConnection`], [`ComponentConnection`].
pub struct Connection<S: Side> {
    stream: Stream<S>,
    #[cfg(feature = "tls")]
    layer: Layer,
    /// Nothing has come yet.
    #[cfg(feature = "tls")]
    is_fresh: bool,
    /// Decrypted input that the stream has not taken yet.
    #[cfg(feature = "tls")]
    input: Left,
    /// Output of the stream that [`flush`](Connection::flush) has not passed on yet.
    output: Vec<u8>,
    output_limit: usize,
    /// It keeps no buffer that is empty.
    #[cfg(feature = "tls")]
    is_resting: bool,
    closed: bool,
    /// Set once, returned for ever.
    failed: Option<Box<Error>>,
    /// TLS did not take something that was to be sent.
    has_lost_output: bool,
}

impl<S: Side> fmt::Debug for Connection<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("stream", &self.stream)
            .field("closed", &self.closed)
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}

/// Why a connection ended before its time.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
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

/// The same words as `Display`: a `main` that returns it shows what is wrong.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
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

/// No XML begins like a record of TLS does (RFC 8446 section 5.1), with the number of an alert or of a handshake. Whoever is at this end
/// learns what is the matter; the peer would not understand it.
#[cfg(feature = "tls")]
fn not_in_the_clear(error: balcony_stream::Error) -> balcony_stream::Error {
    match error {
        balcony_stream::Error::Local(error) => balcony_stream::Error::Local(StreamError::new(
            error.condition,
            "TLS came where a stream begins in the clear: one side of this connection speaks TLS from the first byte \
             (XEP-0368), the other does not",
        )),
        other => other,
    }
}

impl<S: Side> Connection<S> {
    fn begin(stream: Stream<S>, output_limit: usize) -> Self {
        Connection {
            stream,
            #[cfg(feature = "tls")]
            layer: Layer::absent(),
            #[cfg(feature = "tls")]
            is_fresh: true,
            #[cfg(feature = "tls")]
            input: Left::new(),
            output: Vec::new(),
            output_limit,
            #[cfg(feature = "tls")]
            is_resting: false,
            closed: false,
            failed: None,
            has_lost_output: false,
        }
    }

    /// Takes the peer's bytes up to the next event. What is to be sent waits for [`flush`](Connection::flush), without which nothing leaves, so that what
    /// belongs together is one TLS record; what can't wait is appended to `out`: the last words of all, and what TLS says itself.
    ///
    /// No input is taken while `out` and what waits are too much, but time passes all the same: whatever this returns, unless it is an event, no
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
    ) -> Result<Progress<S::Event>, Error> {
        if self.is_over()? {
            return Ok(Progress::Closed);
        }
        let result = if self.has_room(out) {
            self.run(now, input, out)
        } else if self.is_due(now) {
            self.pass(now)
        } else {
            Ok(Progress::Blocked(On::OutputFull))
        };
        self.conclude(result, out)
    }

    /// Does what has become due, and takes no input: neither new bytes nor what has been decrypted before. For an owner who
    /// can't take another event of the peer's now. As with [`advance`](Connection::advance), what is to be sent waits.
    ///
    /// # Errors
    ///
    /// As for [`advance`](Connection::advance).
    pub fn tick(&mut self, now: Instant, out: &mut Vec<u8>) -> Result<Progress<S::Event>, Error> {
        if self.is_over()? {
            return Ok(Progress::Closed);
        }
        let result = self.pass(now);
        self.conclude(result, out)
    }

    /// The end is the end: whatever still comes touches neither the stream nor TLS.
    fn is_over(&self) -> Result<bool, Error> {
        self.failed.as_ref().map_or(Ok(self.closed), |error| Err((**error).clone()))
    }

    fn is_due(&self, now: Instant) -> bool {
        self.deadline().is_some_and(|deadline| deadline.at <= now)
    }

    /// Lets time pass for the stream.
    fn pass(&mut self, now: Instant) -> Result<Progress<S::Event>, Error> {
        Ok(self.stream.advance(now, &mut &[][..], &mut self.output)?)
    }

    /// Whether so little waits to be written that the peer may say more.
    const fn has_room(&self, out: &[u8]) -> bool {
        out.len().saturating_add(self.output.len()) < self.output_limit
    }

    /// Ends the connection if it is over, and passes on what there is to be sent then.
    fn conclude(
        &mut self,
        result: Result<Progress<S::Event>, Error>,
        out: &mut Vec<u8>,
    ) -> Result<Progress<S::Event>, Error> {
        if !matches!(result, Ok(Progress::Closed) | Err(_)) {
            return result;
        }
        let result = self.flush(out).and(result);
        self.end(out);
        self.failed = result.as_ref().err().cloned().map(Box::new);
        result
    }

    #[cfg(not(feature = "tls"))]
    fn run(&mut self, now: Instant, input: &mut &[u8], _: &[u8]) -> Result<Progress<S::Event>, Error> {
        Ok(self.stream.advance(now, input, &mut self.output)?)
    }

    #[cfg(feature = "tls")]
    fn run(
        &mut self,
        now: Instant,
        input: &mut &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Progress<S::Event>, Error> {
        loop {
            if !self.has_room(out) {
                return Ok(Progress::Blocked(On::OutputFull));
            }
            if self.layer.is_plain() {
                let begins_like_tls = self.is_fresh && matches!(input, [0x15 | 0x16, ..]);
                self.is_fresh &= input.is_empty();
                let progress = self
                    .stream
                    .advance(now, input, &mut self.output)
                    .map_err(|error| if begins_like_tls { not_in_the_clear(error) } else { error })?;
                match progress {
                    Progress::Event(event) if S::starts_tls(&event) && !self.layer.is_absent() => {
                        // `<proceed/>` or `<starttls/>` still goes out in the clear.
                        self.flush(out)?;
                        self.layer.upgrade()?;
                    }
                    // TLS from the first byte (XEP-0368).
                    Progress::Blocked(On::Tls) if !self.layer.is_absent() => self.layer.start()?,
                    progress => return Ok(progress),
                }
                continue;
            }
            let mut rest = self.input.as_slice();
            let result = self.stream.advance(now, &mut rest, &mut self.output);
            let left = rest.len();
            self.input.keep_last(left);
            if self.input.is_empty() {
                let keeps = self.keeps();
                self.input.buffer().shrink_to(keeps);
            }
            match result? {
                // TLS is the caller's.
                Progress::Blocked(On::Tls) if self.layer.is_absent() => {
                    return Ok(Progress::Blocked(On::Tls));
                }
                Progress::NeedInput | Progress::Blocked(On::Tls) => {}
                progress => return Ok(progress),
            }
            // Only when the stream has used up what it had: so a blocked stream blocks its peer, and what a message may have is what
            // the stream allows after all that came before it.
            let before = self.input.as_slice().len();
            if !input.is_empty() || self.layer.has_more() {
                // Whatever this does to TLS, or to the WebSocket, what has been said is on its way.
                self.flush(out)?;
            }
            let security = self.read_layer(now, input, out)?;
            let has_read = self.input.as_slice().len() > before || security.is_some();
            if let Some(security) = security {
                // The stream has asked for this handshake, or began with it; if it was closed meanwhile it does not care any
                // more.
                let _ = self.stream.secured(security);
            }
            if self.layer.peer_closed() {
                // What follows close_notify is nobody's.
                *input = &[];
            }
            if !has_read && input.is_empty() {
                return if self.layer.peer_closed() { self.eof(now, out) } else { Ok(Progress::NeedInput) };
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
        #[cfg(feature = "websocket")]
        self.layer.limit_messages(self.stream.element_limits().bytes);
        let result = self.layer.read(now, input, self.input.buffer(), out);
        #[cfg(feature = "websocket")]
        if self.layer.take_heard() {
            self.stream.heard(now);
        }
        if let Err(Error::Stream(balcony_stream::Error::Local(error))) = &result {
            self.stream.abort(error.clone(), &mut self.output);
        }
        result
    }

    /// Bytes are about to come; see [`Stream::wake`].
    pub fn wake(&mut self, workspace: &mut Workspace) {
        self.stream.wake(workspace);
        #[cfg(feature = "tls")]
        {
            self.is_resting = false;
        }
    }

    /// No bytes are about to come; see [`Stream::rest`]. From now on and until it [wakes](Connection::wake) it keeps no buffer that is empty, and so takes
    /// memory for whatever is sent meanwhile.
    pub fn rest(&mut self, workspace: &mut Workspace) {
        self.stream.rest(workspace);
        #[cfg(feature = "tls")]
        {
            self.is_resting = true;
            if self.input.is_empty() {
                self.input = Left::new();
            }
            if self.output.is_empty() {
                self.output = Vec::new();
            }
        }
    }

    /// Whether input that [`advance`](Connection::advance) has taken waits in here, decrypted or as messages of a WebSocket, for the stream to take it.
    #[must_use]
    pub fn has_input(&self) -> bool {
        #[cfg(feature = "tls")]
        let has_input = !self.input.is_empty() || self.layer.has_more();
        #[cfg(not(feature = "tls"))]
        let has_input = false;
        has_input
    }

    /// What it may keep of a buffer that is empty.
    #[cfg(feature = "tls")]
    const fn keeps(&self) -> usize {
        if self.is_resting { 0 } else { IDLE_CAPACITY }
    }

    /// The transport has ended.
    ///
    /// # Errors
    ///
    /// As for [`Stream::eof`], and again at every later call.
    pub fn eof(&mut self, now: Instant, out: &mut Vec<u8>) -> Result<Progress<S::Event>, Error> {
        if self.is_over()? {
            return Ok(Progress::Closed);
        }
        let result = self.stream.eof(now, &mut self.output).map_err(Error::from);
        // What the stream has still to say goes the way of all that it says.
        let result = self.flush(out).and(result);
        self.failed = result.as_ref().err().cloned().map(Box::new);
        result
    }

    /// Passes on what the stream has said and what [`send`](Connection::send), [`close`](Connection::close) and [`abort`](Connection::abort) have
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
            self.output.shrink_to(self.keeps());
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
    pub const fn pending(&self) -> usize {
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
    pub fn answer(&mut self, ticket: Ticket, answer: S::Answer) -> Result<(), ApiMisuse> {
        self.stream.answer(ticket, answer)
    }

    /// Queues a stanza for [`flush`](Connection::flush).
    ///
    /// # Errors
    ///
    /// [`ApiMisuse`] unless stanzas can be sent now.
    pub fn send(&mut self, stanza: &Stanza) -> Result<(), ApiMisuse> {
        self.stream.send(stanza, &mut self.output)
    }

    /// The same with a stanza that was written before; see [`Stream::send_written`].
    ///
    /// # Errors
    ///
    /// [`ApiMisuse`] unless stanzas can be sent now.
    pub fn send_written(&mut self, stanza: &Stanza, written: &[u8]) -> Result<(), ApiMisuse> {
        self.stream.send_written(stanza, written, &mut self.output)
    }

    /// Closes the stream in good order; see [`Stream::close`].
    pub fn close(&mut self, now: Instant) {
        self.stream.close(now, &mut self.output);
    }

    /// Ends the stream with an error; see [`Stream::abort`].
    pub fn abort(&mut self, error: StreamError) {
        self.stream.abort(error, &mut self.output);
    }

    /// Whether this answers a ping of the stream's own; see [`Stream::answers_ping`].
    #[must_use]
    pub fn answers_ping(&self, stanza: &Stanza) -> bool {
        self.stream.answers_ping(stanza)
    }

    /// Whether stanzas can be sent.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.stream.is_open()
    }

    /// What TLS has negotiated; `None` in the clear, and when that was [forgotten](Connection::forget_tls).
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(&self) -> Option<&balcony_tls::Established> {
        self.layer.established()
    }

    /// Whether the handshake of TLS is over.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn is_on_tls(&self) -> bool {
        self.layer.is_established()
    }

    /// Gives back the memory of what TLS has [negotiated](Connection::tls), which nobody wants to know any more. The connection goes on.
    #[cfg(feature = "tls")]
    pub fn forget_tls(&mut self) {
        self.layer.forget();
    }

    /// Why the connection has ended before its time; `None` if it has not, or in good order.
    #[must_use]
    pub fn failure(&self) -> Option<&Error> {
        self.failed.as_deref()
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

/// What a connection may keep of its buffers that does not [rest](Connection::rest).
#[cfg(feature = "tls")]
const IDLE_CAPACITY: usize = 4096;
