//! Which stanza answers which request: the one with its id that comes from whom it was sent to (RFC 6120 section 8.1.2.1), so
//! that nobody else can answer. A request that nobody answers ends when its time is over.

use alloc::string::{String, ToString as _};
use core::time::Duration;

use balcony_jid::{FullJid, Jid};
use balcony_machine::Instant;
use balcony_stanza::{IqType, Kind, Stanza, StanzaError};

use crate::sorted::SortedMap;

/// Names one request of a [`ClientMachine`](crate::ClientMachine).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// What has become of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestOutcome {
    /// The result; its payload may be empty.
    Result(Stanza),
    /// The peer refused.
    Error(StanzaError),
    /// No answer within the time allowed.
    TimedOut,
    /// The session in which it was sent is over. Nobody knows whether it was carried out, and no answer will come.
    Lost,
}

/// Requests that wait for an answer at a time. Each keeps the address that it was sent to, which has at most 3,071 bytes.
const MOST: usize = 1_024;

/// The requests that wait for an answer.
///
/// An answer belongs to a request if its id *and* its sender do: matching on the id alone lets anybody answer.
#[derive(Debug)]
pub(crate) struct Requests {
    open: SortedMap<u64, Open>,
    next: u64,
    /// Makes our ids differ from those of other streams of this account.
    prefix: String,
}

#[derive(Debug)]
struct Open {
    to: Option<Jid>,
    expires: Instant,
}

impl Requests {
    pub(crate) fn new(prefix: String) -> Self {
        Requests { open: SortedMap::new(), next: 0, prefix }
    }

    /// Opens a request to `to`; returns its name and the id that its stanza must have. `None`: too many wait for an answer.
    pub(crate) fn open(
        &mut self,
        now: Instant,
        to: Option<Jid>,
        timeout: Duration,
    ) -> Option<(RequestId, String)> {
        if self.open.len() >= MOST {
            return None;
        }
        let number = self.next;
        self.next += 1;
        self.open.insert(number, Open { to, expires: now + timeout });
        Some((RequestId(number), alloc::format!("{}-{number}", self.prefix)))
    }

    /// Closes the request that `stanza` answers; `None` if it answers none.
    pub(crate) fn close(&mut self, stanza: &Stanza, own: &FullJid) -> Option<RequestId> {
        if !matches!(stanza.head.kind, Kind::Iq(IqType::Result | IqType::Error)) {
            return None;
        }
        let id = stanza.head.id.as_deref()?;
        let digits = id.strip_prefix(self.prefix.as_str())?.strip_prefix('-')?;
        // Byte for byte: `+7` and `07` are other ids.
        let number = digits.parse().ok().filter(|number: &u64| number.to_string() == digits)?;
        let request = self.open.get(&number)?;
        if !answers(request.to.as_ref(), stanza.head.from.as_ref(), own) {
            return None;
        }
        self.open.remove(&number);
        Some(RequestId(number))
    }

    /// It was not sent after all.
    pub(crate) fn forget(&mut self, request: RequestId) {
        self.open.remove(&request.0);
    }

    /// Closes the oldest request, whose answer goes to a session that is over.
    pub(crate) fn lose(&mut self) -> Option<RequestId> {
        self.open.pop_first().map(|(number, _)| RequestId(number))
    }

    /// When the next request expires.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.open.iter().map(|(_, request)| request.expires).min()
    }

    /// Closes a request whose time has run out.
    pub(crate) fn expired(&mut self, now: Instant) -> Option<RequestId> {
        let number = self.open.iter().find(|(_, request)| now >= request.expires)?.0;
        self.open.remove(&number);
        Some(RequestId(number))
    }
}

/// Whether an answer from `from` answers a request to `to`. Our own server may answer for our account with or without
/// saying so (RFC 6120 section 8.1.2.1), and requests without `to` mean our account.
fn answers(to: Option<&Jid>, from: Option<&Jid>, own: &FullJid) -> bool {
    let is_account = |jid: Option<&Jid>| {
        jid.is_none_or(|jid| jid.as_str() == own.bare_str() || jid.as_str() == own.as_str())
    };
    match (to, from) {
        (Some(to), Some(from)) if to == from => true,
        // The server answers its account's requests from the account or, in practice, from its domain.
        (None, Some(from)) if from.is_bare() && from.as_str() == own.domainpart() => true,
        (to, from) => is_account(to) && is_account(from),
    }
}
