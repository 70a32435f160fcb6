//! What is to be sent: stanzas in order, each with a number.

use core::ops::Range;

use balcony_stanza::Stanza;

use super::state::{MOST, MOST_BYTES};
use crate::lasting;
use crate::queue::{Queue, cost};

/// What is to be sent, in order.
pub(super) struct Outbox {
    stanzas: Queue<Stanza>,
    /// The number of the first one. Numbers only grow.
    start: u64,
}

impl Default for Outbox {
    fn default() -> Outbox {
        Outbox { stanzas: Queue::new(MOST, MOST_BYTES), start: 0 }
    }
}

impl Outbox {
    /// Whether so many times as much lies here as the owner may put here.
    pub(super) fn is_full_times(&self, times: usize) -> bool {
        self.stanzas.is_full_times(times)
    }

    pub(super) fn numbers(&self) -> Range<u64> {
        self.start..self.start + self.stanzas.len() as u64
    }

    pub(super) fn push(&mut self, stanza: Stanza) {
        let cost = cost(&stanza);
        self.stanzas.push(stanza, cost);
    }

    pub(super) fn pop(&mut self) -> Option<Stanza> {
        let stanza = self.stanzas.pop()?;
        self.start += 1;
        Some(stanza)
    }

    pub(super) fn put_back(&mut self, stanza: Stanza) {
        let cost = cost(&stanza);
        self.start = self.start.saturating_sub(1);
        self.stanzas.push_front(stanza, cost);
    }

    /// All that is here, and leaves nothing.
    pub(super) fn take(&mut self) -> Outbox {
        let next = Outbox { start: self.numbers().end, ..Outbox::default() };
        core::mem::replace(self, next)
    }

    /// Puts all of this behind what is here.
    pub(super) fn append(&mut self, mut later: Outbox) {
        later.stanzas.take().for_each(|(stanza, cost)| self.stanzas.push(stanza, cost));
    }

    /// Keeps what makes sense in another session, too.
    pub(super) fn retain_lasting(&mut self) {
        let before = self.stanzas.len();
        self.stanzas.retain(lasting::outlives_session);
        self.start += (before - self.stanzas.len()) as u64;
    }
}
