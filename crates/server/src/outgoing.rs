//! Which stream to another server takes the stanzas of a pair of domains, so that they arrive in order (RFC 6120 section 10.1),
//! and what waits until there is one.
//!
//! It opens no streams and sends nothing: its owner does, and says how it went. A [`Server`](crate::Server) does not use it;
//! there stanzas for other domains come back with `remote-server-not-found`.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::fmt;

use balcony_jid::BareJid;
use balcony_machine::{Instant, Limits};
use balcony_stanza::Stanza;

/// Which stream to another server takes the stanzas from one domain to the other (RFC 6120 section 10.1).
///
/// There is one at a time for a pair of domains, and what goes before it is ready waits in line, so stanzas of a pair arrive
/// in the order in which they were routed. The owner opens the streams; `S` is how it names them.
pub struct Outgoing<S> {
    pairs: BTreeMap<(BareJid, BareJid), Pair<S>>,
    limits: Limits,
}

enum Pair<S> {
    /// A stream is being opened, or authorised; until then.
    Waiting(VecDeque<Stanza>, Instant),
    Ready(S),
}

/// What to do with a stanza.
#[derive(Debug)]
pub enum Dispatch<S> {
    /// Open a stream for this pair, or have one authorised for it, and say [`ready`](Outgoing::ready) or
    /// [`failed`](Outgoing::failed). The stanza waits.
    Open,
    /// The stanza waits with others.
    Wait,
    /// Send it there.
    Send(S, Stanza),
    /// There is no room for it: its sender gets `resource-constraint`.
    Refuse(Stanza),
}

impl<S: Copy + PartialEq> Outgoing<S> {
    /// Without any pairs. At most [`asks`](Limits::asks) stanzas wait for a pair, for at most
    /// [`negotiation`](Limits::negotiation).
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Outgoing { pairs: BTreeMap::new(), limits }
    }

    /// Says where a stanza goes.
    pub fn dispatch(&mut self, now: Instant, from: &BareJid, to: &BareJid, stanza: Stanza) -> Dispatch<S> {
        match self.pairs.get_mut(&(from.clone(), to.clone())) {
            Some(Pair::Ready(stream)) => Dispatch::Send(*stream, stanza),
            Some(Pair::Waiting(line, _)) if line.len() >= self.limits.asks => Dispatch::Refuse(stanza),
            Some(Pair::Waiting(line, _)) => {
                line.push_back(stanza);
                Dispatch::Wait
            }
            None => {
                let pair = Pair::Waiting([stanza].into(), now + self.limits.negotiation);
                self.pairs.insert((from.clone(), to.clone()), pair);
                Dispatch::Open
            }
        }
    }

    /// The pair is authorised on this stream: send there, in this order, what has waited. Nothing is due for a pair that has a
    /// stream, or that nobody waits for any more; the stream is not used for it.
    pub fn ready(&mut self, stream: S, from: &BareJid, to: &BareJid) -> Vec<Stanza> {
        match self.pairs.get_mut(&(from.clone(), to.clone())) {
            Some(pair @ Pair::Waiting(..)) => match core::mem::replace(pair, Pair::Ready(stream)) {
                Pair::Waiting(line, _) => line.into(),
                Pair::Ready(_) => Vec::new(),
            },
            _ => Vec::new(),
        }
    }

    /// There is no stream for this pair: what has waited goes back to its senders.
    pub fn failed(&mut self, from: &BareJid, to: &BareJid) -> Vec<Stanza> {
        let key = (from.clone(), to.clone());
        match self.pairs.get(&key) {
            Some(Pair::Waiting(..)) => self.remove(&key),
            _ => Vec::new(),
        }
    }

    /// The stream is over. The next stanza of its pairs needs another.
    pub fn closed(&mut self, stream: S) {
        self.pairs.retain(|_, pair| !matches!(pair, Pair::Ready(ready) if *ready == stream));
    }

    /// When to call [`expire`](Outgoing::expire).
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let until = |pair: &Pair<S>| match pair {
            Pair::Waiting(_, until) => Some(*until),
            Pair::Ready(_) => None,
        };
        self.pairs.values().filter_map(until).min()
    }

    /// What has waited for too long: it goes back to its senders with `remote-server-timeout`.
    pub fn expire(&mut self, now: Instant) -> Vec<Stanza> {
        let is_late = |pair: &Pair<S>| matches!(pair, Pair::Waiting(_, until) if now >= *until);
        let late: Vec<_> =
            self.pairs.iter().filter(|(_, pair)| is_late(pair)).map(|(key, _)| key.clone()).collect();
        late.iter().flat_map(|key| self.remove(key)).collect()
    }

    fn remove(&mut self, key: &(BareJid, BareJid)) -> Vec<Stanza> {
        match self.pairs.remove(key) {
            Some(Pair::Waiting(line, _)) => line.into(),
            _ => Vec::new(),
        }
    }
}

impl<S> fmt::Debug for Outgoing<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outgoing").field("pairs", &self.pairs.len()).finish_non_exhaustive()
    }
}
