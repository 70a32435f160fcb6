//! The role of a server on a stream to or from another server: the negotiation parts of federation (RFC 6120 sections 4.5, 6 and 8.1, XEP-0178, XEP-0220).
//!
//! Such a stream carries stanzas one way: the [initiating](S2sStream::initiating) end sends, the
//! [receiving](S2sStream::receiving) end receives, and answers take a stream in the other direction. If both want to, it
//! [goes both ways](S2sStream::is_bidirectional) (XEP-0288). That is negotiated by the features, after TLS and before authentication,
//! and is why both ends are one type.
//!
//! Where both have stream management (XEP-0198), each end learns which of its stanzas the other has got, and when a stream is lost the
//! [next one](S2sStream::ask_about) tells it of the rest.
//!
//! Stanzas flow for authorised *pairs*: from one domain of the initiating server to one of the receiving server. There are
//! two ways to prove a pair:
//!
//! - The certificate of the initiating server proves the domain. The owner says so in
//!   [`Security::domains`](crate::Security), and SASL EXTERNAL does the rest.
//! - *Dialback*: the initiating server sends a [key](dialback_key) that only the server of the domain can make for this
//!   stream, and the receiving server asks that server about it, on a stream that it opens itself. One stream may so be
//!   authorised for many pairs.
//!
//! # Whom a dialback concerns
//!
//! ```text
//!   server of a.example                        server of b.example
//!   initiating stream 1  ── result, key ──>    receiving stream 1: S2sAsk::VerifyDialback
//!                                                  │ open stream 2 to a.example, S2sStream::verify
//!   receiving stream 2   <── verify, key ──    initiating stream 2
//!      compares the key  ── valid ──────────>      S2sEvent::KeyVerified
//!                                                  │ answer with S2sAnswer::Verdict
//!   S2sEvent::Authorized    <── valid ────────    receiving stream 1: S2sEvent::Authorized
//! ```
//!
//! Finding the other server, opening streams and queueing stanzas until a pair is authorised is the owner's. Stanzas between
//! two domains are to go over one stream, so that they keep their order (RFC 6120 section 10.1).

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use balcony_jid::BareJid;
use balcony_machine::{ApiMisuse, Instant, Seed, Ticket};
use balcony_stanza::Stanza;

use crate::common::Common;
use crate::error::Error;
pub use crate::feature::dialback::{Proof, Verdict, Verification, dialback_key};
use crate::framing::Framing;
use crate::side::{Sealed, Side, Silence, Sorted};
use crate::state::{Phase, Role};
use crate::stream::Stream;

mod config;
mod event;
mod initiating;
mod managed;
mod receiving;

pub use config::{S2sInitiatingConfig, S2sReceivingConfig};
pub use event::{S2sAnswer, S2sAsk, S2sEvent};
use initiating::Initiator;
use receiving::Receiver;

/// The role of a server on a stream to or from another server.
pub struct S2s(End);

/// Who has opened the stream. What an end may do depends on it, and may come to depend on what is negotiated.
enum End {
    Initiating(Initiator),
    Receiving(Receiver),
}

/// A stream between servers, seen from either of its ends. To what every [`Stream`] has it adds:
///
/// 1. **What has happened**: nothing; what is answered is an [`S2sAsk`].
/// 2. **What the owner wants**, at the end that has opened the stream: [`authorize`](Stream::authorize), [`verify`](Stream::verify),
///    [`ask_about`](Stream::ask_about) before the first byte; at both [`request_ack`](Stream::request_ack).
/// 3. **What comes of it**: [`S2sEvent`]s, `StartTls` first; stanzas of a pair come, or may be sent, after its `Authorized`. An ask blocks
///    nothing here: the stream goes on for other pairs.
/// 4. **Looking**: [`claimed`](Stream::claimed), [`opened_for`](Stream::opened_for), [`is_bidirectional`](Stream::is_bidirectional),
///    [`is_settling`](Stream::is_settling), [`counts_sent`](Stream::counts_sent), [`counts`](Stream::counts),
///    [`managed_id`](Stream::managed_id).
///
/// The whole loop of both ends, which are here in one program: what one writes the other reads.
///
/// ```
/// use std::sync::Arc;
/// use balcony_machine::{Instant, Progress, Secret, Seed};
/// use balcony_stanza::{MessageType, Stanza};
/// use balcony_stream::s2s::{S2sAnswer, S2sAsk, S2sEvent, S2sInitiatingConfig, S2sReceivingConfig, Verdict};
/// use balcony_stream::{Error, S2sStream, TlsPolicy};
///
/// /// Takes the peer's bytes, and returns what came of them.
/// fn turn(stream: &mut S2sStream, bytes: &mut Vec<u8>, out: &mut Vec<u8>) -> Result<Vec<S2sEvent>, Error> {
///     let (mut input, mut events) = (bytes.as_slice(), Vec::new());
///     while let Progress::Event(event) = stream.advance(Instant::ZERO, &mut input, out)? {
///         events.push(event);
///     }
///     let taken = bytes.len() - input.len();
///     bytes.drain(..taken);
///     Ok(events)
/// }
///
/// let mut a = S2sInitiatingConfig::new("a.example".parse()?, "b.example".parse()?);
/// (a.tls, a.dialback) = (TlsPolicy::None, Some(Secret::new("known to a.example only".into())));
/// let mut b = S2sReceivingConfig::new(vec!["b.example".parse()?]);
/// (b.tls, b.dialback) = (TlsPolicy::None, Some(Secret::new("known to b.example only".into())));
/// let mut a = S2sStream::initiating(Arc::new(a), Seed::from_u64(1), Instant::ZERO);
/// let mut b = S2sStream::receiving(Arc::new(b), Seed::from_u64(2), Instant::ZERO);
///
/// let (mut to_a, mut to_b, mut received) = (Vec::new(), Vec::new(), Vec::new());
/// // Until neither has anything to say.
/// loop {
///     for event in turn(&mut a, &mut to_a, &mut to_b)? {
///         if let S2sEvent::Authorized { from, to, .. } = event {
///             let stanza = Stanza::message(MessageType::Chat).with_from(from.to_jid()).with_to(to.to_jid());
///             a.send(&stanza, &mut to_b)?;
///         }
///     }
///     for event in turn(&mut b, &mut to_b, &mut to_a)? {
///         match event {
///             S2sEvent::Ask(ticket, S2sAsk::VerifyDialback(_)) => {
///                 // A real server asks the server of a.example, on a stream that it opens for that.
///                 b.answer(ticket, S2sAnswer::Verdict(Verdict::Valid))?;
///                 // The answer takes effect, and goes out, at the next turn.
///                 turn(&mut b, &mut to_b, &mut to_a)?;
///             }
///             S2sEvent::Stanza(stanza) => received.push(stanza),
///             _ => {}
///         }
///     }
///     if to_a.is_empty() && to_b.is_empty() {
///         break;
///     }
/// }
/// assert_eq!(received.len(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Nobody binds a resource here, so this does not compile:
///
/// ```compile_fail,E0599
/// # use balcony_stream::S2sStream;
/// fn jid(stream: &S2sStream) -> bool {
///     stream.jid().is_some()
/// }
/// ```
pub type S2sStream = Stream<S2s>;

impl Stream<S2s> {
    /// The end that opens the stream, and sends stanzas.
    #[must_use]
    pub fn initiating(config: Arc<S2sInitiatingConfig>, seed: Seed, now: Instant) -> Self {
        let bounds = Arc::<S2sInitiatingConfig>::clone(&config);
        let common = Common::new(Role::S2s, config.tls, Framing::Document, bounds, &seed, now);
        Stream::begin(common, S2s(End::Initiating(Initiator::new(config))))
    }

    /// The end that accepts the stream, and only receives stanzas, unless it [goes both ways](Stream::is_bidirectional).
    #[must_use]
    pub fn receiving(config: Arc<S2sReceivingConfig>, seed: Seed, now: Instant) -> Self {
        let bounds = Arc::<S2sReceivingConfig>::clone(&config);
        let common = Common::new(Role::S2s, config.tls, Framing::Document, bounds, &seed, now);
        Stream::begin(common, S2s(End::Receiving(Receiver::new(config))))
    }

    /// Whether stanzas go both ways on this stream (XEP-0288): the receiving end may send the inverse of what was authorised.
    #[must_use]
    pub fn is_bidirectional(&self) -> bool {
        match &self.side.0 {
            End::Initiating(end) => end.is_bidirectional(),
            End::Receiving(end) => end.is_bidirectional(),
        }
    }

    /// What the server has announced last; `None` before that, and on a stream that does not [look](S2sInitiatingConfig::look).
    #[cfg(feature = "look")]
    #[must_use]
    pub fn offered(&self) -> Option<&crate::Offered> {
        match &self.side.0 {
            End::Initiating(end) => end.offered.as_deref(),
            End::Receiving(_) => None,
        }
    }

    /// The domain of ours that the stream was opened for; `None` at the end that has accepted it.
    #[must_use]
    pub fn opened_for(&self) -> Option<&BareJid> {
        match &self.side.0 {
            End::Initiating(end) => Some(end.opened_for()),
            End::Receiving(_) => None,
        }
    }

    /// The domain that the other server says it is, in the header of the stream, whether it has proven that or not; at the end that has
    /// opened the stream the domain that it was opened to.
    #[must_use]
    pub fn claimed(&self) -> Option<&BareJid> {
        match &self.side.0 {
            End::Initiating(end) => Some(end.opened_to()),
            End::Receiving(end) => end.claimed(),
        }
    }

    /// Asks the other server to take stanzas of one more pair of domains on this stream, from one of ours to one of its
    /// own (XEP-0220). The answer is [`S2sEvent::Authorized`] or [`S2sEvent::Refused`].
    ///
    /// # Errors
    ///
    /// [`ApiMisuse`] unless this is the initiating end, and speaks dialback; also if there are
    /// [too many](balcony_machine::Limits::domain_pairs), or if `to` is another domain than the one that the stream was
    /// opened to and the other server does not say that it can refuse it without harm (XEP-0220 section 2.6).
    pub fn authorize(&mut self, from: BareJid, to: BareJid) -> Result<(), ApiMisuse> {
        if self.ends() {
            return Err(ENDS);
        }
        self.side.initiator()?.authorize(from, to)
    }

    /// Asks the other server whether a key is its own (XEP-0220), as soon as the stream is ready for it. The answer is
    /// [`S2sEvent::KeyVerified`], unless the stream ends first.
    ///
    /// # Errors
    ///
    /// [`ApiMisuse`] unless this is the initiating end, and if
    /// [too many](balcony_machine::Limits::domain_pairs) keys wait already.
    pub fn verify(&mut self, now: Instant, verification: Verification) -> Result<(), ApiMisuse> {
        if self.ends() {
            return Err(ENDS);
        }
        self.side.initiator()?.verify(now, verification)
    }
}

const ENDS: ApiMisuse = ApiMisuse::StreamEnded;

impl S2s {
    /// The end that sends, and asks.
    fn initiator(&mut self) -> Result<&mut Initiator, ApiMisuse> {
        match &mut self.0 {
            End::Initiating(end) => Ok(end),
            End::Receiving(_) => Err(ApiMisuse::NotInitiator),
        }
    }
}

impl Sealed for S2s {}

impl fmt::Debug for S2s {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What it holds is secret, or said by the stream.
        f.debug_struct("S2s").finish_non_exhaustive()
    }
}

impl Side for S2s {
    const ROLE: Role = Role::S2s;

    type Event = S2sEvent;
    type Ask = S2sAsk;
    type Answer = S2sAnswer;

    fn sort(event: S2sEvent) -> Sorted<Self> {
        match event {
            S2sEvent::StartTls => Sorted::StartTls,
            S2sEvent::Ask(ticket, ask) => Sorted::Ask(ticket, ask),
            S2sEvent::Stanza(stanza) => Sorted::Stanza(stanza),
            event => Sorted::Other(event),
        }
    }

    fn starts_tls(event: &S2sEvent) -> bool {
        matches!(event, S2sEvent::StartTls)
    }

    fn unavailable() -> S2sAnswer {
        S2sAnswer::Unavailable
    }

    fn open(&mut self, common: &mut Common, out: &mut Vec<u8>) {
        match &mut self.0 {
            End::Initiating(end) => end.open(common, out),
            End::Receiving(_) => {}
        }
    }

    fn force_header(&mut self, common: &mut Common, out: &mut Vec<u8>) {
        match &mut self.0 {
            End::Initiating(end) => end.open(common, out),
            End::Receiving(end) => end.force_header(common, out),
        }
    }

    fn header(
        &mut self,
        common: &mut Common,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Result<Option<S2sEvent>, Error> {
        match &mut self.0 {
            End::Initiating(end) => end.header(common).map(|()| None),
            End::Receiving(end) => end.header(common, now, out),
        }
    }

    fn element(
        &mut self,
        common: &mut Common,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Result<Option<S2sEvent>, Error> {
        match &mut self.0 {
            End::Initiating(end) => end.element(common, now, out),
            End::Receiving(end) => end.element(common, now, out),
        }
    }

    fn due(
        &mut self,
        common: &mut Common,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Result<Option<S2sEvent>, Error> {
        match &mut self.0 {
            End::Initiating(end) => Ok(end.due(common, now, out)),
            End::Receiving(end) => end.due(common, now, out),
        }
    }

    fn answered(
        &mut self,
        common: &mut Common,
        _now: Instant,
        answer: S2sAnswer,
        out: &mut Vec<u8>,
    ) -> Result<Option<S2sEvent>, Error> {
        managed::told(common, &answer, out);
        Ok(None)
    }

    fn put_answer(&mut self, ticket: Ticket, answer: S2sAnswer) -> bool {
        match &mut self.0 {
            End::Initiating(_) => false,
            End::Receiving(end) => end.put_answer(ticket, answer),
        }
    }

    fn expires(&self, phase: Phase) -> Option<Instant> {
        match &self.0 {
            End::Initiating(end) => end.expires(phase),
            End::Receiving(end) => end.expires(phase),
        }
    }

    fn heard(&self, common: &mut Common, now: Instant) {
        match &self.0 {
            End::Initiating(end) => end.heard(common, now),
            End::Receiving(_) => common.heard(now),
        }
    }

    fn silence(&self) -> Silence {
        match &self.0 {
            End::Initiating(end) => end.silence(),
            // It has no stanza to send, and nothing to lose: the peer opens another stream when it needs one.
            End::Receiving(_) => Silence::Close,
        }
    }

    fn may_send(&self, stanza: &Stanza) -> Result<(), ApiMisuse> {
        match &self.0 {
            End::Initiating(end) => end.may_send(stanza),
            End::Receiving(end) => end.may_send(stanza),
        }
    }
}
