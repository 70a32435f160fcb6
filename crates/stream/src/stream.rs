//! What a stream does whatever its role: it reads, keeps time, closes and fails.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use balcony_jid::{BareJid, FullJid, Jid};
use balcony_machine::{ApiMisuse, Deadline, Instant, On, Progress, Reason, Ticket, XmlLimits};
use balcony_stanza::{IqType, Kind, Stanza, StreamCondition, StreamError, ns};
use balcony_xep::ping::Ping;
use balcony_xep::sm::TooHigh;
use balcony_xml::{ReadError, Token, Workspace};

use crate::common::{Common, Over};
use crate::error::Error;
use crate::framing::Framing;
use crate::security::Security;
use crate::side::{Side, Silence};
use crate::state::{Phase, Step};

/// One stream, seen from one of its ends, in one role: [`ClientStream`](crate::ClientStream),
/// [`ServerStream`](crate::ServerStream), [`S2sStream`](crate::S2sStream) or [`ComponentStream`](crate::ComponentStream). Each has
/// its own way to begin, its own events, and what else only it can do.
///
/// 1. **What has happened goes in**: bytes and the time with [`advance`](Stream::advance), the end of the transport with [`eof`](Stream::eof), the
///    [`answer`](Stream::answer) to what was asked, and [`secured`](Stream::secured) when the TLS below is ready.
/// 2. **What the owner wants**: [`send`](Stream::send), [`close`](Stream::close), [`abort`](Stream::abort), and what the role adds.
/// 3. **What comes of it**: bytes to be written, which each of these appends to the owner's buffer, and events. One is returned at a time:
///    call `advance` again, with no more bytes too, until it wants input or is blocked. That goes for answers as well: they take effect there.
/// 4. **Looking**: [`deadline`](Stream::deadline), when to call `advance` although nothing has come; [`is_open`](Stream::is_open),
///    [`answers_ping`](Stream::answers_ping).
///
/// So the order is: what has happened, `advance` until it returns no event, write the buffer, wait for bytes or the deadline. Bytes that
/// `advance` has left in its input have to stand before the next ones. The whole loop, for any role, on a socket whose reads time out:
///
/// ```
/// use std::io::{ErrorKind, Read, Write};
/// use balcony_machine::{Instant, Progress};
/// use balcony_stream::{Error, Side, Stream};
///
/// /// `decide` is told each event, and may answer it, or send something.
/// fn run<S: Side>(
///     mut stream: Stream<S>,
///     mut from: impl Read,
///     mut to: impl Write,
///     mut decide: impl FnMut(&mut Stream<S>, S::Event, &mut Vec<u8>),
/// ) -> Result<(), Box<dyn std::error::Error>> {
///     let start = std::time::Instant::now();
///     let now = || Instant::ZERO + start.elapsed();
///     let (mut bytes, mut out, mut chunk) = (Vec::new(), Vec::new(), [0; 4096]);
///     loop {
///         let mut input = bytes.as_slice();
///         let over = loop {
///             match stream.advance(now(), &mut input, &mut out) {
///                 Ok(Progress::Event(event)) => decide(&mut stream, event, &mut out),
///                 Ok(Progress::Closed) => break Some(Ok(())),
///                 Ok(Progress::NeedInput | Progress::Blocked(_)) => break None,
///                 Err(error) => break Some(Err(error)),
///             }
///         };
///         let taken = bytes.len() - input.len();
///         bytes.drain(..taken);
///         // What the peer is told of an error is written as well.
///         to.write_all(&out)?;
///         out.clear();
///         if let Some(result) = over {
///             return Ok(result?);
///         }
///         match from.read(&mut chunk) {
///             Ok(0) => drop(stream.eof(now(), &mut out)?),
///             Ok(length) => bytes.extend_from_slice(&chunk[..length]),
///             // The deadline may be here: `advance` looks at the time.
///             Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
///             Err(error) => return Err(error.into()),
///         }
///     }
/// }
///
/// // A server that is sent something else than XMPP, and says so.
/// # use std::sync::Arc;
/// # use balcony_machine::{Secret, Seed};
/// # use balcony_stream::{ServerStream, server::ServerStreamConfig};
/// let config = ServerStreamConfig::new(vec!["example.com".parse()?], Secret::new([7; 32]));
/// let stream = ServerStream::new(Arc::new(config), Seed::from_u64(1), Instant::ZERO);
/// let mut sent = Vec::new();
/// let error = run(stream, &b"GET / HTTP/1.1\r\n\r\n"[..], &mut sent, |_, _, _| {}).unwrap_err();
/// assert!(matches!(error.downcast_ref(), Some(Error::Local(_))));
/// assert!(String::from_utf8(sent)?.ends_with("</stream:error></stream:stream>"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Stream<S: Side> {
    pub(crate) common: Common,
    pub(crate) side: S,
    /// The answer to the ask that input waits for.
    answer: Option<Box<S::Answer>>,
    /// Set once, returned for ever.
    failed: Option<Box<Error>>,
    /// The transport has ended after our closing tag, and before the peer's.
    is_cut: bool,
    /// Whether the peer has been asked if it still lives.
    pinged: bool,
    /// How the ids of the stream's own pings begin, once there has been one, and how many there have been.
    pings: Option<Box<(String, u64)>>,
}

impl<S: Side> Stream<S> {
    pub(crate) fn begin(common: Common, side: S) -> Self {
        Stream { common, side, answer: None, failed: None, is_cut: false, pinged: false, pings: None }
    }

    /// Takes the peer's bytes up to the next event, and appends what is to be sent to `out`.
    ///
    /// # Errors
    ///
    /// The [`Error`] that ended the stream, again at every later call. What the peer is to be told is in `out`.
    pub fn advance(
        &mut self,
        now: Instant,
        input: &mut &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Progress<S::Event>, Error> {
        if let Some(error) = &self.failed {
            return Err((**error).clone());
        }
        self.run(now, input, out).map_err(|error| self.fail(error, out))
    }

    fn run(
        &mut self,
        now: Instant,
        input: &mut &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Progress<S::Event>, Error> {
        let start = input.len();
        loop {
            self.check_timer(now, out)?;
            match self.common.phase() {
                Phase::Closed => return Ok(Progress::Closed),
                Phase::Tls => return Ok(Progress::Blocked(On::Tls)),
                _ => {}
            }
            if let Some(over) = self.common.take_over(now) {
                let answer = match over {
                    Over::Answered => self.answer.take(),
                    Over::Expired => None,
                };
                let answer = answer.map_or_else(S::unavailable, |answer| *answer);
                match self.side.answered(&mut self.common, now, answer, out)? {
                    Some(event) => return Ok(Progress::Event(event)),
                    None => continue,
                }
            }
            // What is due is dealt with whatever input waits for, or its deadline would stay behind.
            if let Some(event) = self.side.due(&mut self.common, now, out)? {
                return Ok(Progress::Event(event));
            }
            if self.common.waits() {
                return Ok(Progress::Blocked(On::Answer));
            }
            self.side.open(&mut self.common, out);
            if out.len() >= self.common.limits().output {
                return Ok(Progress::Blocked(On::OutputFull));
            }
            let space = self.common.reader.whitespace();
            let token = self.common.reader.read(input).map_err(|error| self.common.read_error(&error))?;
            if self.common.reader.whitespace() > space && self.side.is_strict(&self.common) {
                let says = "a login is under way, and white space is no part of it";
                return Err(StreamError::new(StreamCondition::PolicyViolation, says).into());
            }
            if input.len() < start {
                self.heard(now);
            }
            let event = match token {
                None => return Ok(Progress::NeedInput),
                Some(Token::End) if self.common.doubts_tls() => return Err(Error::NoTls),
                Some(Token::End) => return self.end(out),
                Some(Token::Header) => self.header(now, out)?,
                Some(Token::Element) if self.common.framing == Framing::Messages => {
                    let element = self.common.reader.element();
                    if element.is("close", ns::FRAMING) {
                        self.side.sent_elsewhere(&self.common);
                        return self.end(out);
                    }
                    // Nothing else can open a stream, and it opens nothing else (RFC 7395 section 3.4).
                    let opens = self.common.phase() == Phase::Header && !element.is("error", ns::STREAM);
                    if opens { self.header(now, out)? } else { self.element(now, out)? }
                }
                Some(Token::Element) => self.element(now, out)?,
                Some(Token::Refused(error)) => self.refused(error, now, out)?,
            };
            if let Some(event) = event {
                return Ok(Progress::Event(event));
            }
        }
    }

    fn header(&mut self, now: Instant, out: &mut Vec<u8>) -> Result<Option<S::Event>, Error> {
        match self.common.phase() {
            // We closed this stream before the peer had opened its half: nothing is left to negotiate.
            Phase::Closing => Ok(None),
            _ => self.side.header(&mut self.common, now, out),
        }
    }

    /// The peer has closed the stream.
    fn end(&mut self, out: &mut Vec<u8>) -> Result<Progress<S::Event>, Error> {
        if self.common.phase() != Phase::Closing {
            if let Some(refusal) = self.side.refusal() {
                return Err(refusal.clone());
            }
            self.common.write_ack(out);
            self.write_close(out);
        }
        self.common.end();
        Ok(Progress::Closed)
    }

    /// An element that passes a limit and has been dropped. Who sent a stanza is told so as of any other that is not valid
    /// (RFC 6120 section 8.3.3.12); of anything else nobody knows what it was for.
    fn refused(
        &mut self,
        error: ReadError,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Result<Option<S::Event>, Error> {
        let is_stanza = Stanza::from_reader(&self.common.reader).is_some();
        match self.common.phase() {
            Phase::Open | Phase::Closing if is_stanza => self.element(now, out),
            _ => Err(self.common.read_error(&error).into()),
        }
    }

    fn element(&mut self, now: Instant, out: &mut Vec<u8>) -> Result<Option<S::Event>, Error> {
        let element = self.common.reader.element();
        if element.is("error", ns::STREAM) {
            if self.common.doubts_tls() {
                return Err(Error::NoTls);
            }
            return Err(self.refusal_or(Error::Remote(StreamError::from_element(element))));
        }
        if element.namespace() == self.common.role.content() && !element.prefix().is_empty() {
            return Err(StreamError::new(
                StreamCondition::BadNamespacePrefix,
                "the namespace of stanzas is the default namespace, and has no prefix",
            )
            .into());
        }
        self.side.element(&mut self.common, now, out)
    }

    /// Why the stream has ended: because a login was refused, if the peer has ended it instead of hearing a second try.
    fn refusal_or(&self, error: Error) -> Error {
        self.side.refusal().cloned().unwrap_or(error)
    }

    /// The transport has ended: the peer sent its last byte.
    ///
    /// # Errors
    ///
    /// [`Error::Truncated`] if the stream had not been closed by then, or the error that ended it.
    pub fn eof(&mut self, _now: Instant, out: &mut Vec<u8>) -> Result<Progress<S::Event>, Error> {
        if let Some(error) = &self.failed {
            return Err((**error).clone());
        }
        match self.common.phase() {
            phase @ (Phase::Closing | Phase::Closed) => {
                self.is_cut |= phase == Phase::Closing;
                self.common.end();
                Ok(Progress::Closed)
            }
            _ if self.common.doubts_tls() => Err(self.fail(Error::NoTls, out)),
            _ => Err(self.fail(self.refusal_or(Error::Truncated), out)),
        }
    }

    /// Whether both closing tags have been exchanged, or the peer has had its time for that.
    pub(crate) fn is_closed_in_good_order(&self) -> bool {
        self.common.phase() == Phase::Closed && self.failed.is_none() && !self.is_cut
    }

    /// When to call [`advance`](Stream::advance) even if nothing has come. It is later than the time of the last such call,
    /// unless that call returned an event.
    #[must_use]
    pub fn deadline(&self) -> Option<Deadline> {
        let aside = match self.common.phase() {
            Phase::Tls | Phase::Closing | Phase::Closed => None,
            phase => self.side.expires(phase).map(|at| Deadline { at, reason: Reason::Answer }),
        };
        match (self.common.deadline(), aside) {
            (Some(deadline), Some(aside)) => Some(deadline.min(aside)),
            (deadline, aside) => deadline.or(aside),
        }
    }

    /// The TLS handshake below is over: the stream goes on, or begins, protected.
    ///
    /// # Errors
    ///
    /// [`ApiMisuse`] if no handshake was due.
    pub fn secured(&mut self, security: Security) -> Result<(), ApiMisuse> {
        if self.common.phase() != Phase::Tls || self.common.step(Step::Secured).is_err() {
            return Err(ApiMisuse::NoHandshakeDue);
        }
        self.common.secure(security);
        self.common.restart(false);
        Ok(())
    }

    /// Answers an ask. The effect shows at the next [`advance`](Stream::advance).
    ///
    /// # Errors
    ///
    /// [`ApiMisuse`] if the ask is not open; it may have expired.
    pub fn answer(&mut self, ticket: Ticket, answer: S::Answer) -> Result<(), ApiMisuse> {
        if self.common.close_ask(ticket) {
            self.answer = Some(Box::new(answer));
            return Ok(());
        }
        if self.ends() || !self.side.put_answer(ticket, answer) {
            return Err(ApiMisuse::AskNotOpen);
        }
        Ok(())
    }

    /// Whether this is the answer to a ping of the stream's own (XEP-0199), which is of nobody's concern.
    #[must_use]
    pub fn answers_ping(&self, stanza: &Stanza) -> bool {
        matches!(stanza.head.kind, Kind::Iq(IqType::Result | IqType::Error))
            && self
                .pings
                .as_ref()
                .zip(stanza.head.id.as_ref())
                .is_some_and(|(pings, id)| id.starts_with(&*pings.0))
    }

    /// Appends a stanza to `out`.
    ///
    /// # Errors
    ///
    /// [`ApiMisuse`] unless the stream [is open](Stream::is_open); between servers, and on a component's stream, also if the
    /// stanza's addresses are not what was authorised.
    pub fn send(&mut self, stanza: &Stanza, out: &mut Vec<u8>) -> Result<(), ApiMisuse> {
        if !self.is_open() {
            return Err(ApiMisuse::NotOpen);
        }
        self.side.may_send(stanza)?;
        self.common.framing.stanza(stanza, out);
        self.common.sent();
        Ok(())
    }

    /// The same with a stanza that was [written](Stanza::write) before, maybe by another thread: nothing of it is read where that is what this stream
    /// says.
    ///
    /// # Errors
    ///
    /// Those of [`send`](Stream::send).
    pub fn send_written(
        &mut self,
        stanza: &Stanza,
        written: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), ApiMisuse> {
        if !self.is_open() {
            return Err(ApiMisuse::NotOpen);
        }
        self.side.may_send(stanza)?;
        self.common.framing.written(stanza, written, out);
        self.common.sent();
        Ok(())
    }

    /// Whether stanzas can be sent. On the receiving end of a stream between servers: whether they can come.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.common.phase() == Phase::Open
    }

    /// What one element of the peer's may have just now: [`Limits::before_auth`](balcony_machine::Limits::before_auth) or
    /// [`after_auth`](balcony_machine::Limits::after_auth). For whoever puts elements together below the stream, as on a WebSocket.
    #[must_use]
    pub fn element_limits(&self) -> XmlLimits {
        self.common.reader.limits()
    }

    /// The peer has shown that it is there, by something that does not come to the stream: a ping of the WebSocket below it, say (RFC 6455 section
    /// 5.5.2), with which clients do there what white space does on TCP (RFC 7395 section 3.8, RFC 6120 section 4.6.1).
    pub fn heard(&mut self, now: Instant) {
        self.pinged = false;
        self.side.heard(&mut self.common, now);
    }

    /// Bytes are about to come, which are read in memory of this workspace if the stream has none; see [`Reader::wake`](balcony_xml::Reader::wake).
    /// Many streams can have a workspace in common.
    pub fn wake(&mut self, workspace: &mut Workspace) {
        self.common.reader.wake(workspace);
    }

    /// No bytes are about to come: gives the memory in which they are read to this workspace, if the stream is between two elements.
    pub fn rest(&mut self, workspace: &mut Workspace) {
        self.common.reader.rest(workspace);
    }

    /// Closes the stream in good order: writes `</stream:stream>` and waits, for a bounded time, for the peer's. What
    /// the peer has still sent arrives as events. Closing twice does nothing.
    pub fn close(&mut self, now: Instant, out: &mut Vec<u8>) {
        match self.common.phase() {
            Phase::Closing | Phase::Closed => {}
            Phase::Tls => self.common.end(),
            _ => {
                self.open_header(out);
                // Every phase that is left has this transition.
                if self.common.close(now, out).is_err() {
                    self.common.end();
                }
            }
        }
    }

    /// Ends the stream at once with a stream error (RFC 6120 section 4.9). Does nothing if it has already ended.
    pub fn abort(&mut self, error: StreamError, out: &mut Vec<u8>) {
        if self.failed.is_none() && self.common.phase() != Phase::Closed {
            self.fail(Error::Local(error), out);
        }
    }

    /// Whether nothing new can begin on this stream.
    pub(crate) fn ends(&self) -> bool {
        matches!(self.common.phase(), Phase::Closing | Phase::Closed)
    }

    /// Writes what the peer is to be told, and ends.
    fn fail(&mut self, error: Error, out: &mut Vec<u8>) -> Error {
        match (self.common.phase(), &error) {
            // In the middle of a handshake nothing of ours may stand on the wire (RFC 6120 section 5.4.3.2).
            (Phase::Tls | Phase::Closed, _) | (_, Error::Truncated) => {}
            // After our closing tag nothing may follow.
            (Phase::Closing, _) => {}
            (_, Error::Local(stream_error)) => {
                self.open_header(out);
                // The last word on what is handled (XEP-0198 section 4): what comes after this is not read.
                self.common.write_ack(out);
                self.common.framing.error(stream_error, None, out);
                self.write_close(out);
            }
            (_, Error::HandledTooHigh { h, sent }) => {
                self.common.write_ack(out);
                let condition = StreamError::from(StreamCondition::UndefinedCondition);
                let detail = TooHigh { h: *h, sent: *sent }.to_element();
                self.common.framing.error(&condition, Some(&detail), out);
                self.write_close(out);
            }
            (_, _) => self.write_close(out),
        }
        self.common.end();
        self.failed = Some(Box::new(error.clone()));
        error
    }

    /// An error or a close before the headers still comes with our header (RFC 6120 section 4.9.1.2).
    fn open_header(&mut self, out: &mut Vec<u8>) {
        if !self.common.header_sent {
            self.side.force_header(&mut self.common, out);
        }
    }

    fn write_close(&self, out: &mut Vec<u8>) {
        if self.common.header_sent {
            self.common.framing.close(out);
        }
    }

    fn check_timer(&mut self, now: Instant, out: &mut Vec<u8>) -> Result<(), Error> {
        if self.common.has_expired(now) {
            // RFC 6120 section 13.7.2.3.
            return Err(StreamError::new(StreamCondition::Reset, "your certificate has expired").into());
        }
        if self.common.ack_expires().is_some_and(|at| now >= at) {
            return Err(no_answer());
        }
        match self.common.due(now) {
            None => Ok(()),
            Some(Reason::Closing) => {
                self.common.end();
                Ok(())
            }
            // RFC 6120 section 4.6.1: first ask whether the peer lives, then give it up.
            Some(Reason::Idle) if !self.pinged => {
                let (from, to) = match self.side.silence() {
                    Silence::Ping => (None, None),
                    Silence::PingFrom(from, to) => (Some(from), Some(to)),
                    Silence::Close => {
                        self.close(now, out);
                        return Ok(());
                    }
                    Silence::Space => {
                        out.push(b' ');
                        self.common.heard(now);
                        return Ok(());
                    }
                    Silence::Keep => {
                        self.common.stop_timer();
                        return Ok(());
                    }
                };
                self.ask_for_life(now, from, to, out);
                self.common.set_timer(now + self.common.limits().answer, Reason::Idle);
                Ok(())
            }
            // `connection-timeout` is for a peer that did not answer (section 4.9.3.4); one that never spoke was asked
            // nothing.
            Some(Reason::Negotiation) if !self.common.header_sent && !self.common.header_read => {
                Err(StreamError::new(StreamCondition::PolicyViolation, "nothing was sent for too long")
                    .into())
            }
            Some(_) => Err(no_answer()),
        }
    }

    /// Asks whether the peer lives: by stream management where there is some (XEP-0198), or else by a ping.
    fn ask_for_life(&mut self, now: Instant, from: Option<BareJid>, to: Option<BareJid>, out: &mut Vec<u8>) {
        self.pinged = true;
        if !self.common.request_ack(now, out) {
            self.write_ping(from, to, out);
        }
    }

    /// Asks now whether the peer lives. If nothing comes for so long, the stream ends.
    pub(crate) fn ask_within(&mut self, now: Instant, patience: Duration, out: &mut Vec<u8>) {
        if self.is_open() {
            self.ask_for_life(now, None, None, out);
            self.common.set_timer(now + patience, Reason::Idle);
        }
    }

    /// The owner reads nothing of the peer's for now: the peer's silence means nothing, and is shown that this end lives.
    pub(crate) fn stay(&mut self, now: Instant, out: &mut Vec<u8>) {
        if !self.is_open() {
            return;
        }
        self.pinged = false;
        self.common.heard(now);
        if self.common.is_managed() {
            self.common.write_ack(out);
        } else {
            self.write_ping(None, None, out);
        }
    }

    /// A ping (XEP-0199) of the stream's own. Whatever comes back shows that the peer lives.
    fn write_ping(&mut self, from: Option<BareJid>, to: Option<BareJid>, out: &mut Vec<u8>) {
        let random = &mut self.common.random;
        let (prefix, count) = &mut **self.pings.get_or_insert_with(|| Box::new((random.token(8), 0)));
        let id = if *count == 0 { prefix.clone() } else { format!("{prefix}-{count}") };
        *count += 1;
        let mut ping = Stanza::iq(IqType::Get).with_id(&id).with_child(Ping.to_element());
        ping.head.from = from.map(Jid::from);
        ping.head.to = to.map(Jid::from);
        self.common.write_stanza(&ping, out);
    }
}

fn no_answer() -> Error {
    StreamError::new(StreamCondition::ConnectionTimeout, "no answer within the time allowed").into()
}

impl<S: Side> fmt::Debug for Stream<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream")
            .field("role", &S::ROLE)
            .field("phase", &self.common.phase())
            .field("jid", &self.side.jid().map(FullJid::as_str))
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}
