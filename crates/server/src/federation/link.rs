//! One stream to or from another server, with what is kept beside it: who has opened it, how far it has come, and what is sent on it.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;

use balcony_connection::S2sConnection;
use balcony_connection::srv::Target;
use balcony_jid::BareJid;
use balcony_machine::Instant;
use balcony_stream::Security;
use balcony_stream::s2s::{Proof, S2s};

use super::managed::StreamName;
use super::origin::Origin;
use super::peer::Key;
use super::queue::Item;
use super::reach::Reach;
use super::unheard::Noted;
use crate::action::Ended;
use crate::deadlines::Armed;

/// A stream between servers, with its bytes.
pub(super) type Stream = crate::link::Link<S2s>;

/// One stream, or one that we are about to open.
pub(super) struct Link {
    pub(super) way: Way,
    pub(super) stage: Stage,
    /// What is sent on it.
    pub(super) sending: Sending,
    /// Its entry among the deadlines.
    pub(super) armed: Armed,
    /// It is not read from. When it shows the other server next that we are there.
    pub(super) stays_at: Option<Instant>,
    /// When it was last used, as it is listed among the [streams that may rest](super::table::Opened).
    pub(super) listed: Option<Instant>,
    /// Whether the other server's stanzas count is settled, as far as can be known: whoever has them counted says so before it sends some.
    pub(super) has_begun: bool,
}

/// How far it has come.
pub(super) enum Stage {
    /// The owner connects, at most until then.
    Connecting(Instant),
    /// It is connected, or was.
    Connected(Box<Stream>),
    /// It is given up before it was connected.
    GivenUp(Ended),
}

/// Who has opened it.
#[derive(Debug)]
pub(super) enum Way {
    /// We have, to send.
    Out(Outgoing),
    /// The other server has.
    In(Incoming),
}

/// What we send on a stream: on one that we have opened, or on one of others that goes both ways (XEP-0288).
#[derive(Debug)]
pub(super) struct Sending {
    /// The domains of ours, and theirs, between which it takes stanzas, or is asked to; the next one to be taken from is the first.
    pub(super) pairs: Vec<(BareJid, BareJid)>,
    /// What the owner is writing. Less than a record of TLS, or one stanza: what is not wholly written has not arrived.
    pub(super) batch: Vec<Item>,
    /// What is written and says something about subscriptions, each with when it has certainly arrived if the stream is still there.
    pub(super) unheard: Noted,
    /// What is acknowledged and says something about subscriptions, each with when the other server has it for good.
    pub(super) arrived: Noted,
    /// What is written, counts, and is not acknowledged, in order (XEP-0198).
    pub(super) unacked: VecDeque<Item>,
    /// The other server is asked what it has, and has not answered.
    pub(super) is_asked: bool,
    /// When it is asked again, since it has answered that it has no more than before.
    pub(super) asks_at: Option<Instant>,
    /// Until when nothing is sent, since the other server is about to have stanzas counted.
    pub(super) counts_from: Option<Instant>,
    /// By what name it can be asked about when it is over.
    pub(super) name: Option<StreamName>,
    /// The earlier stream that this one is to ask about, until it is answered.
    pub(super) asks_about: Option<StreamName>,
    /// A batch has been written.
    pub(super) has_written: bool,
    /// It is closed so that another stream asks what has arrived on an earlier one.
    pub(super) makes_way: bool,
    /// Until when the batch has to be written.
    pub(super) stalled: Option<Instant>,
    /// When a stanza was last sent, or came.
    pub(super) used: Instant,
}

/// Places where a domain may be.
#[derive(Clone, Debug)]
pub(super) struct Places {
    /// In their order.
    pub(super) targets: Vec<Target>,
    /// Which addresses these may have.
    pub(super) reach: Reach,
}

/// What belongs to a stream that we have opened.
#[derive(Debug)]
pub(super) struct Outgoing {
    /// The domain of ours that it was opened for.
    pub(super) from: BareJid,
    /// The other server's.
    pub(super) to: BareJid,
    /// Whether it is for stanzas; if not it only asks about keys.
    pub(super) authorize: bool,
    /// The places that have not been tried, and before it is connected all.
    pub(super) places: Places,
    /// Keys that are asked about on it.
    pub(super) keys: Vec<Key>,
    /// How the first pair was proven; none as long as none is.
    pub(super) proof: Option<Proof>,
}

/// What belongs to a stream that another server has opened.
#[derive(Debug)]
pub(super) struct Incoming {
    /// Whom it is put down to.
    pub(super) origin: Origin,
    /// Where it comes from, for the log.
    pub(super) address: String,
    /// The domains that it has been proven for, each once.
    pub(super) domains: Vec<BareJid>,
    /// Who vouches for its certificate, in words; empty if nobody has to.
    pub(super) vouched: &'static str,
    /// Where we may send on it, if it goes both ways: domains of ours, and theirs.
    pub(super) back: Vec<(BareJid, BareJid)>,
}

impl Link {
    pub(super) fn new(way: Way, stage: Stage, now: Instant) -> Self {
        let (pairs, batch) = (Vec::new(), Vec::new());
        let sending = Sending {
            pairs,
            batch,
            unheard: Noted::default(),
            arrived: Noted::default(),
            unacked: VecDeque::new(),
            is_asked: false,
            asks_at: None,
            counts_from: None,
            name: None,
            asks_about: None,
            has_written: false,
            makes_way: false,
            stalled: None,
            used: now,
        };
        Link { sending, way, stage, armed: Armed::default(), stays_at: None, listed: None, has_begun: false }
    }

    /// The stream, when it is connected.
    pub(super) fn stream(&mut self) -> Option<&mut Stream> {
        if let Stage::Connected(stream) = &mut self.stage { Some(stream) } else { None }
    }

    /// The machine of the stream, when it is connected.
    pub(super) fn connection(&mut self) -> Option<&mut S2sConnection> {
        self.stream().map(|stream| &mut stream.connection)
    }

    /// The same, to look at.
    pub(super) fn connected(&self) -> Option<&Stream> {
        if let Stage::Connected(stream) = &self.stage { Some(stream) } else { None }
    }

    /// Whether it is over.
    pub(super) fn has_ended(&self) -> bool {
        match &self.stage {
            Stage::Connecting(_) => false,
            Stage::Connected(stream) => stream.has_ended(),
            Stage::GivenUp(_) => true,
        }
    }

    /// Whether the owner is to connect.
    pub(super) const fn is_connecting(&self) -> bool {
        matches!(self.stage, Stage::Connecting(_))
    }

    /// Whether the owner is writing, or has been told to.
    pub(super) fn is_writing(&self) -> bool {
        self.connected().is_some_and(Stream::is_writing)
    }

    /// Whether it may be given stanzas when its output is taken, which its owner has to hear.
    pub(super) fn begin_writing(&mut self) -> bool {
        self.stream().is_some_and(|stream| stream.is_open() && stream.begin_writing())
    }

    pub(super) fn outgoing(&mut self) -> Option<&mut Outgoing> {
        match &mut self.way {
            Way::Out(outgoing) => Some(outgoing),
            Way::In(_) => None,
        }
    }

    pub(super) fn incoming(&mut self) -> Option<&mut Incoming> {
        match &mut self.way {
            Way::In(incoming) => Some(incoming),
            Way::Out(_) => None,
        }
    }

    /// Whether stanzas can be given to it now.
    pub(super) fn is_open(&self) -> bool {
        self.connected().is_some_and(Stream::is_open)
    }

    /// Whether stanzas go both ways on it (XEP-0288).
    pub(super) fn is_bidirectional(&self) -> bool {
        self.connected().is_some_and(|stream| stream.connection.is_bidirectional())
    }

    /// Whether stanzas go both ways on it, and it is known whether they count, or the other server has not waited for that.
    pub(super) fn carries_stanzas(&self) -> bool {
        let is_settled = || self.connected().is_some_and(|stream| !stream.connection.is_settling());
        self.is_bidirectional() && (self.has_begun || is_settled())
    }

    /// Whether it is open, or has ended, and nothing is under way on it.
    pub(super) fn is_resting(&self) -> bool {
        if self.has_ended() {
            return true;
        }
        self.sending.batch.is_empty()
            && self.sending.unacked.is_empty()
            && match &self.way {
                Way::Out(out) => self.is_open() && !self.is_writing() && out.keys.is_empty(),
                Way::In(_) => true,
            }
    }

    /// Whether what it writes is one record of TLS as long as it is short.
    pub(super) fn is_encrypted(&self) -> bool {
        #[cfg(feature = "tls")]
        return self.connected().is_some_and(|stream| stream.connection.tls().is_some());
        #[cfg(not(feature = "tls"))]
        false
    }

    /// The domain names that the peer's certificate proves.
    #[cfg(feature = "tls")]
    pub(super) fn proven(&self) -> &[String] {
        let tls = self.connected().and_then(|stream| stream.connection.tls());
        tls.map(|tls| tls.peer_domains.as_slice()).unwrap_or_default()
    }

    #[cfg(not(feature = "tls"))]
    pub(super) fn proven(&self) -> &[String] {
        &[]
    }

    /// Whether the peer's certificate proves that it is this domain.
    pub(super) fn proves(&self, domain: &BareJid) -> bool {
        let names = self.proven();
        !names.is_empty() && Security::new(None).with_domains(names.to_vec()).proves(domain)
    }

    /// When there is something to do for it even if nothing comes. `pause` is until when it is not read from.
    pub(super) fn due(&self, pause: Option<Instant>, idle: core::time::Duration) -> Option<Instant> {
        let stream = match &self.stage {
            Stage::Connecting(until) => return Some(*until),
            Stage::GivenUp(_) => return None,
            Stage::Connected(stream) if stream.has_ended() => return stream.closes_at(),
            Stage::Connected(stream) => stream,
        };
        let idle = match &self.way {
            _ if self.sending.stalled.is_some() => self.sending.stalled,
            Way::Out(out)
                if self.is_open()
                    && out.authorize
                    && !stream.is_writing()
                    && self.sending.unacked.is_empty() =>
            {
                Some(self.sending.used + idle)
            }
            _ => None,
        };
        let deadline = stream.connection.deadline().map(|deadline| deadline.at);
        let pause = pause.filter(|_| stream.is_unread()).into_iter().chain(self.stays_at);
        let heard = self.sending.unheard.due();
        let asks = self.sending.asks_at.or_else(|| self.sending.arrived.due());
        let asks = asks.filter(|_| self.is_open() && !self.sending.is_asked);
        let counts = self.sending.counts_from;
        deadline.into_iter().chain(pause).chain(idle).chain(heard).chain(asks).chain(counts).min()
    }
}
