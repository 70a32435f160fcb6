//! The one kind of queue that a client keeps things in: bounded in number and in bytes.

use alloc::collections::{VecDeque, vec_deque};

use balcony_jid::Jid;
use balcony_stanza::{Head, Stanza, StanzaError};

use crate::{MachineEvent, RequestOutcome};

/// What is kept of anything beside its texts, in bytes.
pub(crate) const ENTRY: usize = 256;

/// Things in order, each with what it costs in bytes of memory.
#[derive(Clone, Debug)]
pub(crate) struct Queue<T> {
    items: VecDeque<(T, usize)>,
    bytes: usize,
    most: usize,
    most_bytes: usize,
}

impl<T> Queue<T> {
    pub(crate) const fn new(most: usize, most_bytes: usize) -> Queue<T> {
        Queue { items: VecDeque::new(), bytes: 0, most, most_bytes }
    }

    /// Whether there is room for one that costs so much. One always has room.
    pub(crate) fn has_room(&self, cost: usize) -> bool {
        self.items.is_empty()
            || self.items.len() < self.most && self.bytes.saturating_add(cost) <= self.most_bytes
    }

    /// Whether a bound is reached.
    pub(crate) fn is_full(&self) -> bool {
        self.is_full_times(1)
    }

    /// Whether so many times a bound is reached.
    pub(crate) fn is_full_times(&self, times: usize) -> bool {
        self.items.len() >= self.most.saturating_mul(times)
            || self.bytes >= self.most_bytes.saturating_mul(times)
    }

    /// Puts it behind the others, whether there is room or not.
    pub(crate) fn push(&mut self, item: T, cost: usize) {
        self.bytes += cost;
        self.items.push_back((item, cost));
    }

    /// Puts it before the others.
    pub(crate) fn push_front(&mut self, item: T, cost: usize) {
        self.bytes += cost;
        self.items.push_front((item, cost));
    }

    pub(crate) fn pop(&mut self) -> Option<T> {
        self.remove(0)
    }

    /// Takes out the last.
    pub(crate) fn pop_back(&mut self) -> Option<T> {
        self.items.len().checked_sub(1).and_then(|last| self.remove(last))
    }

    /// The first.
    pub(crate) fn first(&self) -> Option<&T> {
        self.items.front().map(|(item, _)| item)
    }

    /// All of them, the last before the others, to be changed where that changes nothing of what they cost.
    pub(crate) fn iter_back_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.items.iter_mut().rev().map(|(item, _)| item)
    }

    /// The last.
    pub(crate) fn last(&self) -> Option<&T> {
        self.items.back().map(|(item, _)| item)
    }

    /// Takes out the one in that place.
    pub(crate) fn remove(&mut self, at: usize) -> Option<T> {
        let (item, cost) = self.items.remove(at)?;
        self.bytes -= cost;
        if self.items.is_empty() {
            // Whoever has nothing keeps nothing.
            self.items = VecDeque::new();
        }
        Some(item)
    }

    /// Takes out the first that is so.
    pub(crate) fn remove_first(&mut self, is_so: impl FnMut(&T) -> bool) -> Option<T> {
        let at = self.iter().position(is_so)?;
        self.remove(at)
    }

    pub(crate) fn retain(&mut self, mut is_kept: impl FnMut(&T) -> bool) {
        self.items.retain(|(item, _)| is_kept(item));
        self.bytes = self.items.iter().map(|(_, cost)| cost).sum();
    }

    /// Takes out all of them, with their costs.
    pub(crate) fn take(&mut self) -> vec_deque::IntoIter<(T, usize)> {
        self.bytes = 0;
        core::mem::take(&mut self.items).into_iter()
    }

    /// All of them, the first before the others.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &T> {
        self.items.iter().map(|(item, _)| item)
    }

    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
}

/// What a stanza costs while it is kept, in bytes: its content, its addresses, id and language, and 256 for all else.
pub(crate) fn cost(stanza: &Stanza) -> usize {
    let Head { kind: _, to, from, id, lang } = &stanza.head;
    let address = |jid: &Option<Jid>| jid.as_ref().map_or(0, |jid| jid.as_str().len());
    let text = |text: Option<&str>| text.map_or(0, str::len);
    let head = address(to) + address(from) + text(id.as_deref()) + text(lang.as_deref());
    stanza.payload.as_bytes().len() + head + ENTRY
}

/// What an event costs.
pub(crate) fn event_cost(event: &MachineEvent) -> usize {
    match event {
        MachineEvent::Stanza(stanza) => cost(stanza),
        MachineEvent::Response(_, RequestOutcome::Result(stanza)) => cost(stanza),
        MachineEvent::Response(_, RequestOutcome::Error(error)) => error_cost(error),
        MachineEvent::Acknowledged(id) | MachineEvent::Resent(id) => ENTRY + id.len(),
        _ => ENTRY,
    }
}

pub(crate) fn error_cost(error: &StanzaError) -> usize {
    let StanzaError { kind: _, condition: _, address, text, application } = error;
    let text_cost = |text: Option<&str>| text.map_or(0, str::len);
    let more = application.as_ref().map_or(0, |element| element.memory());
    ENTRY + text_cost(address.as_deref()) + text_cost(text.as_deref()) + more
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use balcony_stanza::MessageType;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_stanza_costs_all_that_it_holds() {
        let empty = Stanza::message(MessageType::Chat);
        let long = "x".repeat(1_000);
        let jid: Jid = alloc::format!("a@b.example/{long}").parse().unwrap();
        let stanzas =
            [empty.clone().with_id(&long), empty.clone().with_to(jid.clone()), empty.clone().with_from(jid)];
        for stanza in stanzas {
            assert!(cost(&stanza) >= cost(&empty) + 1_000, "{stanza:?}");
        }
    }

    proptest! {
        /// What is charged is what is there, whatever is put in and taken out.
        #[test]
        fn bytes_are_those_of_what_is_there(steps in proptest::collection::vec((0_u8..6, 1_usize..100), 0..200)) {
            let mut queue = Queue::new(20, 400);
            let mut model: Vec<usize> = Vec::new();
            for (step, cost) in steps {
                match step {
                    0 | 1 => {
                        let has_room = queue.has_room(cost);
                        let sum: usize = model.iter().sum();
                        prop_assert_eq!(has_room, model.is_empty() || model.len() < 20 && sum + cost <= 400);
                        if has_room {
                            queue.push(cost, cost);
                            model.push(cost);
                        }
                    }
                    2 => {
                        queue.push_front(cost, cost);
                        model.insert(0, cost);
                    }
                    3 => prop_assert_eq!(queue.pop(), (!model.is_empty()).then(|| model.remove(0))),
                    4 => {
                        queue.retain(|item| item % 3 != 0);
                        model.retain(|item| item % 3 != 0);
                    }
                    _ => {
                        let at = model.iter().position(|item| item % 2 == 0);
                        let first = queue.remove_first(|item| item % 2 == 0);
                        prop_assert_eq!(first, at.map(|at| model.remove(at)));
                    }
                }
                prop_assert_eq!(queue.bytes, model.iter().sum::<usize>());
                prop_assert_eq!(queue.iter().copied().collect::<Vec<_>>(), model.clone());
            }
            queue.take().for_each(drop);
            prop_assert!(queue.bytes == 0 && queue.is_empty());
        }
    }
}
