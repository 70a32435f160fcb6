//! Stanzas that were written, on their way to where they are freed.
//!
//! A stanza is made by the part whose connection has read it, and written by the parts of those who get it. If these freed it, two threads
//! would have the same memory of the allocator, and the same counts of the texts that stanzas share (the sender's address is one for all
//! that it sends): each would wait for the other's cache, and for locks of the allocator. So it goes back to the part that has made it.

use alloc::sync::Arc;
use alloc::vec::Vec;

use balcony_stanza::Stanza;

/// So many stanzas wait for the part that has made them; those above are freed where they are. Room for more is not kept.
const MOST: usize = 1_024;
/// What costs more bytes is freed where it is, which is little beside writing it. So at most 4 MiB wait for a part.
const LARGE: usize = 4_096;

/// What a part has written, by who has made it.
#[derive(Debug)]
pub(crate) struct Written {
    own: usize,
    by_maker: Vec<Vec<Arc<Stanza>>>,
}

impl Written {
    /// Of the part with this number.
    pub(crate) const fn of(own: usize) -> Self {
        Written { own, by_maker: Vec::new() }
    }

    /// One more was written, which [costs](balcony_router::cost) so much.
    pub(crate) fn add(&mut self, maker: u8, stanza: Arc<Stanza>, bytes: usize) {
        let maker = if bytes > LARGE { self.own } else { maker.into() };
        if maker >= self.by_maker.len() {
            self.by_maker.resize_with(maker + 1, Vec::new);
        }
        self.by_maker[maker].push(stanza);
    }

    /// Gives what other parts have made to `to`, with the maker's number. What that leaves is freed here.
    pub(crate) fn give_back(&mut self, mut to: impl FnMut(usize, &mut Vec<Arc<Stanza>>)) {
        for (maker, stanzas) in self.by_maker.iter_mut().enumerate() {
            if maker != self.own && !stanzas.is_empty() {
                to(maker, stanzas);
            }
        }
    }

    /// Frees what is left.
    pub(crate) fn clear(&mut self) {
        self.by_maker.iter_mut().for_each(free);
    }
}

/// What a part has made, and others have written.
#[derive(Debug, Default)]
pub(crate) struct Returned(Vec<Arc<Stanza>>);

impl Returned {
    pub(crate) const fn new() -> Self {
        Returned(Vec::new())
    }

    /// Takes these, as far as there is room.
    pub(crate) fn take(&mut self, stanzas: &mut Vec<Arc<Stanza>>) {
        let room = MOST.saturating_sub(self.0.len());
        self.0.extend(stanzas.drain(stanzas.len().saturating_sub(room)..));
    }

    pub(crate) fn append(&mut self, other: &mut Returned) {
        if self.0.is_empty() {
            core::mem::swap(&mut self.0, &mut other.0);
        } else {
            self.0.append(&mut other.0);
        }
    }

    /// Frees them.
    pub(crate) fn clear(&mut self) {
        free(&mut self.0);
    }
}

fn free(stanzas: &mut Vec<Arc<Stanza>>) {
    stanzas.clear();
    stanzas.shrink_to(MOST);
}
