//! One stream to or from another server, with what is kept beside it.

use alloc::string::String;
use alloc::vec::Vec;

use balcony_connection::S2sConnection;
use balcony_connection::srv::Target;
use balcony_jid::BareJid;
use balcony_machine::Instant;
use balcony_stream::Security;
use balcony_stream::s2s::Proof;

use super::event::StreamId;
use super::origin::Origin;
use super::peer::Key;
use super::queue::Item;
use super::reach::Reach;

/// One stream.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) id: StreamId,
    pub(super) way: Way,
    /// `None` while the owner connects.
    pub(super) connection: Option<S2sConnection>,
    /// Received, but not taken yet. At most what the owner handed in at once.
    pub(super) input: Vec<u8>,
    /// To be written.
    pub(super) out: Vec<u8>,
    /// The owner is writing, or has been told to.
    pub(super) writing: bool,
    /// The owner waits for `Read`.
    pub(super) unread: bool,
    /// Why it is over: what is in `out` is the last.
    pub(super) ended: Option<Ended>,
    /// The peer has closed its side of the transport.
    pub(super) eof: bool,
    /// Nothing can be written any more; the owner has forgotten it.
    pub(super) broken: bool,
    /// Its entry in the set of deadlines.
    pub(super) deadline: Option<Instant>,
    /// What is sent on it.
    pub(super) sending: Sending,
    /// When a stream that has ended is closed even if its peer does not read; or when connecting is given up.
    pub(super) until: Option<Instant>,
}

/// How a stream has ended.
#[derive(Clone, Debug)]
pub(super) enum Ended {
    /// By both, in good order.
    Closed,
    /// For this reason.
    Failed(balcony_connection::Error),
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
    /// A batch has been written.
    pub(super) has_written: bool,
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
    /// Where we may send on it, if it goes both ways: domains of ours, and theirs.
    pub(super) back: Vec<(BareJid, BareJid)>,
}

impl Link {
    pub(super) fn new(id: StreamId, way: Way, now: Instant) -> Self {
        let (pairs, batch) = (Vec::new(), Vec::new());
        Link {
            sending: Sending { pairs, batch, has_written: false, stalled: None, used: now },
            id,
            way,
            connection: None,
            input: Vec::new(),
            out: Vec::new(),
            writing: false,
            unread: false,
            ended: None,
            eof: false,
            broken: false,
            deadline: None,
            until: None,
        }
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
        self.ended.is_none() && self.connection.as_ref().is_some_and(S2sConnection::is_open)
    }

    /// Whether stanzas go both ways on it (XEP-0288).
    pub(super) fn is_bidirectional(&self) -> bool {
        self.connection.as_ref().is_some_and(S2sConnection::is_bidirectional)
    }

    /// Whether it is open, or has ended, and nothing is under way on it.
    pub(super) fn is_resting(&self) -> bool {
        if self.ended.is_some() {
            return true;
        }
        self.sending.batch.is_empty()
            && match &self.way {
                Way::Out(out) => self.is_open() && !self.writing && out.keys.is_empty(),
                Way::In(_) => true,
            }
    }

    /// Whether what it writes is one record of TLS as long as it is short.
    pub(super) fn is_encrypted(&self) -> bool {
        #[cfg(feature = "tls")]
        return self.connection.as_ref().is_some_and(|connection| connection.tls().is_some());
        #[cfg(not(feature = "tls"))]
        false
    }

    /// The domain names that the peer's certificate proves.
    #[cfg(feature = "tls")]
    pub(super) fn proven(&self) -> &[String] {
        let tls = self.connection.as_ref().and_then(S2sConnection::tls);
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
        if self.until.is_some() {
            return self.until;
        }
        let idle = match &self.way {
            _ if self.sending.stalled.is_some() => self.sending.stalled,
            Way::Out(out) if self.is_open() && out.authorize && !self.writing => {
                Some(self.sending.used + idle)
            }
            _ => None,
        };
        let deadline = self.connection.as_ref().and_then(S2sConnection::deadline).map(|deadline| deadline.at);
        deadline.into_iter().chain(pause).chain(idle).min()
    }
}
