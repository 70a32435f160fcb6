//! What the client has sent and the server has not acknowledged (XEP-0198).

use alloc::collections::VecDeque;

use balcony_machine::{Instant, Limits};
use balcony_stanza::{Kind, MessageType, Stanza};
use balcony_xep::{chat_states, delay};

/// Stanzas in the order in which they were sent, until they are acknowledged.
#[derive(Debug)]
pub(crate) struct Outbox {
    entries: VecDeque<Entry>,
    bytes: usize,
    most: usize,
    most_bytes: usize,
}

/// A stanza that may have to be sent again.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) stanza: Stanza,
    /// When it was sent first.
    pub(crate) at: Instant,
    /// In how many sessions it has been sent.
    pub(crate) sessions: u8,
}

/// In so many sessions a message is sent. A server that does not take it may end each of them because of it.
pub(crate) const MOST_SESSIONS: u8 = 5;

impl Entry {
    /// What it costs: its content, and 256 bytes for all else.
    fn cost(&self) -> usize {
        cost(&self.stanza)
    }

    /// The same for a session that has not seen it: a message that somebody may still want to read, and when it was sent, if that
    /// is known in milliseconds since the start of 1970. Presence and requests belong to the session that is over, and nobody waits
    /// for an error or wants to know who was typing then.
    pub(crate) fn for_another_session(mut self, own: &str, sent: Option<u64>) -> Option<Entry> {
        let Kind::Message(kind) = self.stanza.head.kind else { return None };
        let content = self.stanza.payload.parse().ok()?;
        if kind == MessageType::Error || chat_states::is_only_state(content.root()) {
            return None;
        }
        if let Some(sent) = sent {
            self.stanza.payload = delay::stamp(&self.stanza.payload, own, sent);
        }
        self.sessions += 1;
        Some(self)
    }
}

fn cost(stanza: &Stanza) -> usize {
    256 + stanza.payload.as_bytes().len()
}

impl Outbox {
    pub(crate) fn new(limits: &Limits) -> Outbox {
        Outbox { entries: VecDeque::new(), bytes: 0, most: limits.outbox, most_bytes: limits.outbox_bytes }
    }

    /// Whether there is room for this one. One always has room.
    pub(crate) fn has_room(&self, stanza: &Stanza) -> bool {
        self.entries.is_empty()
            || self.entries.len() < self.most && self.bytes.saturating_add(cost(stanza)) <= self.most_bytes
    }

    pub(crate) fn push(&mut self, entry: Entry) {
        self.bytes += entry.cost();
        self.entries.push_back(entry);
    }

    /// Takes out the oldest one, which has been acknowledged.
    pub(crate) fn pop(&mut self) -> Option<Stanza> {
        let entry = self.entries.pop_front()?;
        self.bytes -= entry.cost();
        if self.entries.is_empty() {
            // An idle client keeps nothing.
            self.entries = VecDeque::new();
        }
        Some(entry.stanza)
    }

    /// Takes out all of them.
    pub(crate) fn take(&mut self) -> VecDeque<Entry> {
        self.bytes = 0;
        core::mem::take(&mut self.entries)
    }

    /// All of them, the oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Stanza> {
        self.entries.iter().map(|entry| &entry.stanza)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}
