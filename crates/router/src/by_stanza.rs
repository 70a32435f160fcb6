//! What is known of stanzas during one call, each found by where it lies in memory.

use alloc::sync::Arc;

use balcony_stanza::Stanza;
use hashbrown::HashMap;

/// Something about each of some stanzas. It holds them, so that nothing else comes to lie in their places.
#[derive(Debug)]
pub(crate) struct ByStanza<T>(HashMap<usize, (Arc<Stanza>, T)>);

/// A table for more than so many is not kept for the next call, which has few: to clear it would cost as much as to fill it.
const FEW: usize = 64;

impl<T> Default for ByStanza<T> {
    fn default() -> Self {
        ByStanza(HashMap::new())
    }
}

impl<T> ByStanza<T> {
    /// What was said first of a stanza stays.
    pub(crate) fn insert(&mut self, stanza: &Arc<Stanza>, value: T) {
        self.0.entry(place(stanza)).or_insert_with(|| (Arc::clone(stanza), value));
    }

    pub(crate) fn get(&self, stanza: &Arc<Stanza>) -> Option<&T> {
        self.0.get(&place(stanza)).map(|(_, value)| value)
    }

    pub(crate) fn clear(&mut self) {
        if self.0.capacity() > FEW { *self = ByStanza::default() } else { self.0.clear() }
    }
}

fn place(stanza: &Arc<Stanza>) -> usize {
    Arc::as_ptr(stanza).addr()
}
