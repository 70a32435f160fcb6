use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::time::Duration;

use balcony_jid::BareJid;
use balcony_machine::{Instant, Ticket};
use balcony_stanza::Stanza;
use hashbrown::HashMap;

/// The messages that wait for an answer of the owner.
///
/// All wait equally long and the clock never runs backwards, so the lowest ticket is always the first to expire.
#[derive(Debug)]
pub(crate) struct Asks {
    open: BTreeMap<Ticket, Open>,
    /// How many each sending account has open; never zero. It outlives the sender's sessions, or whoever reconnects
    /// would get past the bound.
    senders: HashMap<BareJid, usize>,
    next: u64,
    latest: Instant,
}

#[derive(Debug)]
struct Open {
    expires: Instant,
    sender: BareJid,
    stanza: Arc<Stanza>,
}

impl Asks {
    pub(crate) fn new() -> Self {
        Asks { open: BTreeMap::new(), senders: HashMap::new(), next: 0, latest: Instant::ZERO }
    }

    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }

    /// How many of this account's stanzas wait.
    pub(crate) fn of(&self, sender: &str) -> usize {
        self.senders.get(sender).copied().unwrap_or_default()
    }

    pub(crate) fn open(
        &mut self,
        now: Instant,
        wait: Duration,
        sender: BareJid,
        stanza: Arc<Stanza>,
    ) -> Ticket {
        self.latest = self.latest.max(now);
        let ticket = Ticket(self.next);
        self.next += 1;
        *self.senders.entry(sender.clone()).or_default() += 1;
        self.open.insert(ticket, Open { expires: self.latest + wait, sender, stanza });
        ticket
    }

    /// Ends the wait; `None` if it has ended before.
    pub(crate) fn close(&mut self, ticket: Ticket) -> Option<Arc<Stanza>> {
        let Open { sender, stanza, .. } = self.open.remove(&ticket)?;
        if let Some(count) = self.senders.get_mut(&sender) {
            *count -= 1;
            if *count == 0 {
                self.senders.remove(&sender);
            }
        }
        Some(stanza)
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.open.first_key_value().map(|(_, open)| open.expires)
    }

    /// Ends the oldest wait if its time is over.
    pub(crate) fn expire(&mut self, now: Instant) -> Option<Arc<Stanza>> {
        self.latest = self.latest.max(now);
        let (&ticket, oldest) = self.open.first_key_value()?;
        if oldest.expires > self.latest { None } else { self.close(ticket) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use balcony_stanza::MessageType;

    // The architecture's rule 4: nothing stays behind of a sender whose asks are done.
    #[test]
    fn nothing_is_left_behind() {
        let mut asks = Asks::new();
        let sender = BareJid::parse("romeo@example.net").unwrap();
        let stanza = Arc::new(Stanza::message(MessageType::Chat));
        let mut open = || asks.open(Instant::ZERO, Duration::ZERO, sender.clone(), Arc::clone(&stanza));
        let (first, _) = (open(), open());
        assert_eq!(asks.of("romeo@example.net"), 2);
        assert!(asks.close(first).is_some() && asks.expire(Instant::ZERO).is_some());
        assert!(asks.open.is_empty() && asks.senders.is_empty());
    }
}
