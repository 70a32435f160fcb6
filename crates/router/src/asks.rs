use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use balcony_jid::{BareJid, Jid};
use balcony_machine::{Instant, Ticket};
use balcony_stanza::Stanza;
use hashbrown::HashMap;

/// The asks that wait for an answer of the owner, and how many stanzas of each sender wait for some answer.
///
/// All wait equally long and the clock never runs backwards, so the lowest ticket is always the first to expire.
#[derive(Debug)]
pub(crate) struct Asks {
    open: BTreeMap<Ticket, Open>,
    /// How many stanzas of each sender wait; never zero. It outlives the sender's sessions, or whoever reconnects
    /// would get past the bound.
    waiting: HashMap<BareJid, usize>,
    next: u64,
    latest: Instant,
}

/// An ask under way.
#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) ticket: Ticket,
    pub(crate) account: BareJid,
    pub(crate) purpose: Purpose,
    /// Whose stanza waits for it, if it is one.
    payer: Option<BareJid>,
    expires: Instant,
}

/// What is to be done when an answer comes.
#[derive(Debug)]
pub(crate) enum Purpose {
    /// The account's phase is `Loading`.
    Load,
    /// The account's phase is `Fetching`.
    Fetch,
    /// The account's phase is `Saving`.
    Save,
    /// The sender of this message hears if it was not stored.
    Put(Arc<Stanza>),
    /// Messages that have been delivered are deleted.
    Drop,
    /// This probe waits for nothing else.
    Probe(Stanza),
    /// Nobody waits for it.
    Note,
}

impl Asks {
    pub(crate) fn new() -> Self {
        Asks { open: BTreeMap::new(), waiting: HashMap::new(), next: 0, latest: Instant::ZERO }
    }

    /// It is this time now, if the clock has not run backwards.
    pub(crate) fn clock(&mut self, now: Instant) {
        self.latest = self.latest.max(now);
    }

    /// The latest time that was told.
    pub(crate) const fn now(&self) -> Instant {
        self.latest
    }

    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }

    /// How many of this sender's stanzas wait.
    pub(crate) fn of(&self, payer: &str) -> usize {
        self.waiting.get(payer).copied().unwrap_or_default()
    }

    /// One more of the sender's stanzas waits.
    pub(crate) fn charge(&mut self, payer: &BareJid) {
        *self.waiting.entry(payer.clone()).or_default() += 1;
    }

    /// One of them does no longer.
    pub(crate) fn release(&mut self, payer: &BareJid) {
        if let Some(count) = self.waiting.get_mut(payer) {
            *count -= 1;
            if *count == 0 {
                self.waiting.remove(payer);
            }
        }
    }

    pub(crate) fn open(
        &mut self,
        wait: Duration,
        account: BareJid,
        purpose: Purpose,
        payer: Option<BareJid>,
    ) -> Ticket {
        let ticket = Ticket(self.next);
        self.next += 1;
        if let Some(payer) = &payer {
            self.charge(payer);
        }
        self.open.insert(ticket, Open { ticket, account, purpose, payer, expires: self.latest + wait });
        ticket
    }

    /// Ends the wait; `None` if it has ended before.
    pub(crate) fn close(&mut self, ticket: Ticket) -> Option<Open> {
        let open = self.open.remove(&ticket)?;
        if let Some(payer) = &open.payer {
            self.release(payer);
        }
        Some(open)
    }

    /// Ends all waits of an account that is no more. Probes are others'.
    pub(crate) fn forget(&mut self, account: &BareJid) {
        let is_its_own =
            |open: &&Open| open.account == *account && !matches!(open.purpose, Purpose::Probe(_));
        let tickets: Vec<Ticket> = self.open.values().filter(is_its_own).map(|open| open.ticket).collect();
        for ticket in tickets {
            self.close(ticket);
        }
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.open.first_key_value().map(|(_, open)| open.expires)
    }

    /// Ends the oldest wait if its time is over.
    pub(crate) fn expire(&mut self) -> Option<Open> {
        let (&ticket, oldest) = self.open.first_key_value()?;
        if oldest.expires > self.latest { None } else { self.close(ticket) }
    }
}

/// Who answers for a stanza that waits: the account of a user of ours, or the domain of others.
pub(crate) fn payer(sender: &Jid, is_local: bool) -> BareJid {
    if is_local {
        return sender.to_bare();
    }
    BareJid::from_parts(None, sender.domainpart()).unwrap_or_else(|_| sender.to_bare())
}

#[cfg(test)]
mod tests {
    use super::*;

    // The architecture's rule 4: nothing stays behind of a sender whose asks are done.
    #[test]
    fn nothing_is_left_behind() {
        let mut asks = Asks::new();
        let sender = BareJid::parse("romeo@example.net").unwrap();
        let mut open = || asks.open(Duration::ZERO, sender.clone(), Purpose::Note, Some(sender.clone()));
        let (first, second) = (open(), open());
        open();
        assert_eq!(asks.of("romeo@example.net"), 3);
        assert!(asks.close(second).is_some() && asks.expire().is_some_and(|o| o.ticket == first));
        asks.forget(&sender);
        assert!(asks.open.is_empty() && asks.waiting.is_empty());
    }
}
