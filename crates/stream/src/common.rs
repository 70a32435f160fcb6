//! What streams of all roles have in common.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::panic::RefUnwindSafe;

use balcony_machine::{Deadline, Instant, Limits, Random, Reason, Seed, Ticket};
use balcony_stanza::{StreamCondition, StreamError};
use balcony_xml::{ReadError, Reader};

use crate::client::ClientStreamConfig;
use crate::component::{ComponentInitiatingConfig, ComponentReceivingConfig};
use crate::error::Error;
use crate::feature::sm::Managed;
use crate::framing::Framing;
use crate::header::{Header, PeerHeader};
use crate::s2s::{S2sInitiatingConfig, S2sReceivingConfig};
use crate::security::{Security, TlsPolicy};
use crate::server::ServerStreamConfig;
use crate::state::{Phase, Role, Step};

/// The configuration of a stream, as far as it is the same for all roles. Many streams share one, so none has limits of its own.
pub(crate) trait Bounded: Send + Sync + RefUnwindSafe {
    fn limits(&self) -> &Limits;
}

macro_rules! bounded {
    ($($config:ty),*) => {
        $(impl Bounded for $config {
            fn limits(&self) -> &Limits {
                &self.limits
            }
        })*
    };
}

bounded!(
    ClientStreamConfig,
    ServerStreamConfig,
    S2sInitiatingConfig,
    S2sReceivingConfig,
    ComponentInitiatingConfig,
    ComponentReceivingConfig
);

/// What streams of all roles have in common.
pub struct Common {
    phase: Phase,
    pub(crate) role: Role,
    pub(crate) framing: Framing,
    pub(crate) reader: Reader,
    config: Arc<dyn Bounded>,
    pub(crate) random: Chance,
    /// Whether the STARTTLS that was asked for had been offered.
    pub(crate) tls_offered: bool,
    /// Whether the stream is on TLS.
    pub(crate) is_secured: bool,
    /// What TLS said of itself, as long as somebody wants to know it.
    pub(crate) security: Option<Box<Security>>,
    /// When the certificate expires on which this stream stands.
    expires: Option<Instant>,
    /// Whether our header stands at the start of the current stream.
    pub(crate) header_sent: bool,
    /// Whether the peer's header has been read.
    pub(crate) header_read: bool,
    /// The language of the peer's stanzas that name none (RFC 6120 section 4.7.4).
    pub(crate) peer_lang: Option<Arc<str>>,
    /// When negotiation, silence or our closing tag run out.
    timer: Option<Deadline>,
    asked: Asked,
    next_ticket: u64,
    /// Stanzas that the owner has got and has not handled, if it says when it has.
    pub(crate) unhandled: u32,
    /// What is counted (XEP-0198); `None` if nothing is.
    pub(crate) managed: Option<Box<Managed>>,
}

/// Where a stream has its random values from.
pub(crate) enum Chance {
    /// It needs some now and then.
    Many(Box<Random>),
    /// It needs hardly any more: what the next ones come from is a tenth as large.
    Few(Seed),
}

impl Chance {
    /// See [`Random::token`].
    pub(crate) fn token(&mut self, length: usize) -> String {
        match self {
            Chance::Many(random) => random.token(length),
            Chance::Few(seed) => {
                let mut random = seed.random();
                *seed = random.seed();
                random.token(length)
            }
        }
    }

    fn rest(&mut self) {
        if let Chance::Many(random) = self {
            *self = Chance::Few(random.seed());
        }
    }
}

/// The ask that input waits for.
#[derive(Clone, Copy)]
enum Asked {
    Nothing,
    /// It is open, and expires then.
    Open(Ticket, Instant),
    /// The stream has the answer.
    Answered,
}

/// The ask that input has waited for is over.
pub(crate) enum Over {
    /// It has been answered.
    Answered,
    /// No answer has come in time.
    Expired,
}

impl Common {
    pub(crate) fn new(
        role: Role,
        tls: TlsPolicy,
        framing: Framing,
        config: Arc<dyn Bounded>,
        seed: &Seed,
        now: Instant,
    ) -> Self {
        let limits = config.limits();
        Common {
            phase: if tls == TlsPolicy::Direct { Phase::Tls } else { Phase::Header },
            role,
            framing,
            reader: framing.reader(role, limits.before_auth),
            random: Chance::Many(Box::new(seed.random())),
            tls_offered: false,
            is_secured: false,
            security: None,
            expires: None,
            header_sent: false,
            header_read: false,
            peer_lang: None,
            timer: Some(Deadline { at: now + limits.negotiation, reason: Reason::Negotiation }),
            asked: Asked::Nothing,
            next_ticket: 0,
            unhandled: 0,
            managed: None,
            config,
        }
    }

    /// The bounds that its configuration sets.
    pub(crate) fn limits(&self) -> &Limits {
        self.config.limits()
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase
    }

    /// Takes a step of the table. A step that is not in it is a fault of ours, and ends this stream only.
    pub(crate) fn step(&mut self, step: Step) -> Result<(), Error> {
        match self.phase.after(self.role, step) {
            Some(phase) => {
                self.phase = phase;
                if phase == Phase::Open {
                    self.random.rest();
                }
                Ok(())
            }
            None => Err(StreamError::from(StreamCondition::InternalServerError).into()),
        }
    }

    /// Forgets the stream so far (RFC 6120 section 4.3.3): a new header is due from both sides.
    pub(crate) fn restart(&mut self, authenticated: bool) {
        let limits = if authenticated { self.limits().after_auth } else { self.limits().before_auth };
        match self.framing {
            // White space that came on the way may belong to the stream before, but not to one before TLS.
            Framing::Document if authenticated => self.reader = Reader::restarted(limits),
            Framing::Document => self.reader = Reader::new(limits),
            // The messages go on; there is no document to begin anew.
            Framing::Messages => self.reader.set_limits(limits),
        }
        self.header_sent = false;
        self.header_read = false;
        self.peer_lang = None;
    }

    /// What the peer's header says, just after it has come.
    pub(crate) fn peer_header(&mut self) -> PeerHeader {
        self.header_read = true;
        PeerHeader::read(match self.framing {
            Framing::Document => self.reader.header(),
            Framing::Messages => self.reader.element(),
        })
    }

    /// Writes our header.
    pub(crate) fn open(&mut self, header: &Header<'_>, out: &mut Vec<u8>) {
        self.framing.open(self.role, header, out);
        self.header_sent = true;
    }

    /// The number of an ask.
    pub(crate) fn ticket(&mut self) -> Ticket {
        self.next_ticket += 1;
        Ticket(self.next_ticket - 1)
    }

    /// The number of an ask that input has to wait for.
    pub(crate) fn ask(&mut self, now: Instant) -> Ticket {
        let ticket = self.ticket();
        self.asked = Asked::Open(ticket, now + self.limits().answer);
        ticket
    }

    /// Whether input has to wait for an answer.
    pub(crate) fn waits(&self) -> bool {
        matches!(self.asked, Asked::Open(..))
    }

    /// Whether this is the open ask. It is closed then.
    pub(crate) fn close_ask(&mut self, ticket: Ticket) -> bool {
        let is_open = matches!(self.asked, Asked::Open(open, _) if open == ticket);
        if is_open {
            self.asked = Asked::Answered;
        }
        is_open
    }

    /// Whether there is an answer to act on, or the time for one has run out. Once.
    pub(crate) fn take_over(&mut self, now: Instant) -> Option<Over> {
        let over = match self.asked {
            Asked::Answered => Over::Answered,
            Asked::Open(_, expires) if now >= expires => Over::Expired,
            _ => return None,
        };
        self.asked = Asked::Nothing;
        Some(over)
    }

    pub(crate) fn set_timer(&mut self, at: Instant, reason: Reason) {
        self.timer = Some(Deadline { at, reason });
    }

    pub(crate) fn stop_timer(&mut self) {
        self.timer = None;
    }

    /// The timer, if it has run out.
    pub(crate) fn due(&self, now: Instant) -> Option<Reason> {
        self.timer.filter(|timer| now >= timer.at).map(|timer| timer.reason)
    }

    /// The stream is on TLS from now on, which says this of itself.
    pub(crate) fn secure(&mut self, security: Security) {
        self.is_secured = true;
        self.expires = security.expires;
        self.security = Some(Box::new(security));
    }

    /// The peer has proven who it is, and proves nothing more.
    pub(crate) fn forget_security(&mut self) {
        self.security = None;
    }

    /// Whether it has.
    pub(crate) fn has_expired(&self, now: Instant) -> bool {
        !matches!(self.phase, Phase::Tls | Phase::Closing | Phase::Closed)
            && self.expires.is_some_and(|expires| now >= expires)
    }

    pub(crate) fn deadline(&self) -> Option<Deadline> {
        let answer = match self.asked {
            Asked::Open(_, at) => Some(Deadline { at, reason: Reason::Answer }),
            Asked::Nothing | Asked::Answered => None,
        };
        let certificate = match self.phase {
            Phase::Tls | Phase::Closing | Phase::Closed => None,
            _ => self.expires.map(|at| Deadline { at, reason: Reason::Certificate }),
        };
        let ack = self.ack_expires().map(|at| Deadline { at, reason: Reason::Answer });
        self.timer.into_iter().chain(answer).chain(certificate).chain(ack).min()
    }

    /// Puts silence behind us: the peer has been heard.
    pub(crate) fn heard(&mut self, now: Instant) {
        if self.phase == Phase::Open {
            match self.limits().idle {
                Some(idle) => self.set_timer(now + idle, Reason::Idle),
                None => self.stop_timer(),
            }
            self.heard_while_asked(now);
        }
    }

    /// Whether whatever the peer says but `<proceed/>` means that it has no TLS: it was asked, and had not offered any.
    pub(crate) fn doubts_tls(&self) -> bool {
        self.phase == Phase::Proceed && !self.tls_offered
    }

    /// Whether what comes now can't be acknowledged any more, though the peer has it counted (XEP-0198): it sends that again on another stream. So
    /// it is not taken on this one, or it would come twice.
    pub(crate) fn is_past_last_ack(&self) -> bool {
        self.phase == Phase::Closing && self.is_managed()
    }

    /// Writes our closing tag; the peer's is due within a bounded time (RFC 6120 section 4.4).
    pub(crate) fn close(&mut self, now: Instant, out: &mut Vec<u8>) -> Result<(), Error> {
        // The last word on what is handled (XEP-0198 section 4).
        self.write_ack(out);
        self.step(Step::Close)?;
        self.framing.close(out);
        self.asked = Asked::Nothing;
        self.set_timer(now + self.limits().closing, Reason::Closing);
        Ok(())
    }

    /// Both closing tags are exchanged, or there will be none.
    pub(crate) fn end(&mut self) {
        self.phase = Phase::Closed;
        self.timer = None;
        self.asked = Asked::Nothing;
    }

    /// The stream error that RFC 6120 names for what the reader refused (sections 4.9.3 and 11).
    pub(crate) fn read_error(&self, error: &ReadError) -> StreamError {
        let condition = match error {
            ReadError::NotWellFormed(_) | ReadError::BadNamespace(_) => StreamCondition::NotWellFormed,
            ReadError::Restricted(_) => StreamCondition::RestrictedXml,
            ReadError::Encoding => StreamCondition::UnsupportedEncoding,
            ReadError::StrayText => StreamCondition::BadFormat,
            ReadError::TooLong
            | ReadError::TooDeep
            | ReadError::TooManyAttributes
            | ReadError::TooManyNodes => StreamCondition::PolicyViolation,
            ReadError::NoMemory => StreamCondition::ResourceConstraint,
        };
        let text = match (self.framing, self.phase) {
            // A client that opens a stream as on TCP is told of more than its missing end tag.
            (Framing::Messages, Phase::Header) => {
                format!(
                    "a stream on a WebSocket begins with <open/> in a message of its own (RFC 7395); {error}"
                )
            }
            _ if *error == ReadError::TooLong => {
                format!("{error}: no more than {} bytes are taken", self.reader.limits().bytes)
            }
            _ => error.to_string(),
        };
        StreamError { condition, text: Some(Cow::Owned(text)) }
    }
}

impl fmt::Debug for Common {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Common").field("role", &self.role).field("phase", &self.phase).finish_non_exhaustive()
    }
}
