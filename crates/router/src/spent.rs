//! Stanzas that sessions have got, for an owner who frees them later, or on another thread.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::{Drain, Vec};

use balcony_stanza::Stanza;

use crate::outbox::{Entry, Queue};
use crate::router::Router;

/// A stanza that a session has got.
#[derive(Debug)]
pub struct Spent {
    /// The stanza, which others may have yet.
    pub stanza: Arc<Stanza>,
    /// What [`Router::made_by`] said when it was delivered.
    pub maker: u8,
    /// What it [costs](crate::cost), in bytes.
    pub bytes: usize,
}

/// Those of a router, if its owner wants them.
#[derive(Debug, Default)]
pub(crate) struct SpentStanzas {
    is_wanted: bool,
    pub(crate) maker: u8,
    list: Vec<Spent>,
    /// Buffers of queues that are empty, for sessions that are about to get something: most have something in their queues for a moment only.
    buffers: Vec<VecDeque<Entry>>,
    /// What is known of a queue beside its buffer, of as many, for the same.
    #[expect(clippy::vec_box, reason = "a session takes the box")]
    queues: Vec<Box<Queue>>,
}

/// So many empty buffers and queues are kept, and buffers with room for so many stanzas each.
const BUFFERS: usize = 64;
const LENGTH: usize = 32;

impl SpentStanzas {
    /// A session has got this.
    pub(crate) fn add(&mut self, stanza: Arc<Stanza>, maker: u8, bytes: usize) {
        if self.is_wanted {
            self.list.push(Spent { stanza, maker, bytes });
        }
    }

    /// The queue of a session is empty.
    pub(crate) fn keep(&mut self, buffer: VecDeque<Entry>) {
        if self.buffers.len() < BUFFERS && buffer.capacity() <= LENGTH {
            self.buffers.push(buffer);
        }
    }

    /// A session has nothing in its queue any more, and its buffer has been [kept](SpentStanzas::keep) already.
    pub(crate) fn keep_queue(&mut self, queue: Box<Queue>) {
        if self.queues.len() < BUFFERS {
            self.queues.push(queue);
        }
    }

    /// An empty queue without a buffer, for a session that has got so many stanzas before.
    pub(crate) fn queue(&mut self, removed: u64) -> Box<Queue> {
        let mut queue = self.queues.pop().unwrap_or_default();
        queue.begin(removed);
        queue
    }

    /// An empty buffer.
    pub(crate) fn buffer(&mut self) -> VecDeque<Entry> {
        self.buffers.pop().unwrap_or_default()
    }
}

/// The owner keeps room for so many.
const ROOM: usize = 1_024;

impl Router {
    /// From now on what sessions have got is not freed in the call that says so, but left for [`take_spent`](Router::take_spent), which has to
    /// be called after it. For an owner whose threads wait for each other to call the router.
    pub fn keep_spent(&mut self) {
        self.spent.is_wanted = true;
    }

    /// What is given to the router from now on was made by one of its owner's threads, which has this number.
    pub const fn made_by(&mut self, maker: u8) {
        self.spent.maker = maker;
    }

    /// What sessions have got since this was called last.
    pub fn take_spent(&mut self) -> Drain<'_, Spent> {
        self.spent.list.shrink_to(ROOM);
        self.spent.list.drain(..)
    }
}

#[cfg(test)]
mod tests {
    use balcony_machine::{Instant, Limits};
    use balcony_stanza::MessageType;

    use super::*;
    use crate::outbox::Outbox;

    /// A session gets a stanza that was made by this one, and the network has it.
    fn gets(spent: &mut SpentStanzas, maker: u8) -> Arc<Stanza> {
        let (mut outbox, limits) = (Outbox::default(), Limits::default());
        let stanza = Arc::new(Stanza::message(MessageType::Chat));
        let mut entry = Entry::new(Arc::clone(&stanza), Instant::ZERO, false, None, None, None);
        entry.maker = maker;
        assert!(outbox.push(Instant::ZERO, entry, &limits, spent));
        assert_eq!(Arc::strong_count(&stanza), 2);
        outbox.drain(Instant::ZERO, 1, &limits, spent);
        stanza
    }

    // Nobody waits for what is freed when nobody else wants the router.
    #[test]
    fn what_sessions_have_got_is_left_to_an_owner_that_wants_it() {
        let mut spent = SpentStanzas::default();
        assert_eq!(Arc::strong_count(&gets(&mut spent, 3)), 1, "it is freed at once");
        spent.is_wanted = true;
        let stanza = gets(&mut spent, 3);
        assert_eq!(Arc::strong_count(&stanza), 2);
        assert!(matches!(&*spent.list, [one] if one.maker == 3 && Arc::ptr_eq(&one.stanza, &stanza)));
    }

    // A message to somebody idle allocates no queue; how many and how large ones are kept is bounded.
    #[test]
    fn empty_queues_are_used_again() {
        let mut spent = SpentStanzas::default();
        (0..10).for_each(|_| drop(gets(&mut spent, 0)));
        assert_eq!(spent.buffers.len(), 1);
        (0..2 * BUFFERS).for_each(|_| spent.keep(VecDeque::with_capacity(4)));
        assert_eq!(spent.buffers.len(), BUFFERS);
        spent.buffers.clear();
        spent.keep(VecDeque::with_capacity(2 * LENGTH));
        assert!(spent.buffers.is_empty());
    }
}
