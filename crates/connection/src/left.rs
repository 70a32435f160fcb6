//! Input that was read and is taken bit by bit: what has come over TLS before the stream, what has come for a connection before its turn.

use alloc::vec::Vec;

/// Bytes of which the first are taken again and again. To move the others each time would take as long as there are bytes, for each stanza.
///
/// ```
/// let mut left = balcony_connection::Left::new();
/// left.buffer().extend_from_slice(b"<a/><b/>");
/// left.keep_last(4);
/// assert_eq!(left.as_slice(), b"<b/>");
/// left.keep_last(0);
/// assert!(left.is_empty());
/// ```
#[derive(Debug, Default)]
pub struct Left {
    bytes: Vec<u8>,
    /// So many of them are taken. Fewer than there are, unless there are none.
    taken: usize,
}

impl Left {
    /// None yet.
    #[must_use]
    pub const fn new() -> Left {
        Left { bytes: Vec::new(), taken: 0 }
    }

    /// Those that are left.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        self.bytes.get(self.taken..).unwrap_or_default()
    }

    /// Whether none are left.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Those that are left, to append more to them.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        self.bytes.drain(..self.taken);
        self.taken = 0;
        &mut self.bytes
    }

    /// All but the last so many are taken; if there are not so many, none.
    pub fn keep_last(&mut self, count: usize) {
        self.taken = self.bytes.len().saturating_sub(count).max(self.taken);
        if self.taken == self.bytes.len() {
            self.bytes.clear();
            self.taken = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        // It is a queue; and what stays lies where it was, however often some is taken.
        #[test]
        fn what_is_left_is_not_moved(pieces in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..40), 0..9_usize), 0..20)) {
            let (mut left, mut model) = (Left::new(), Vec::new());
            for (piece, count) in pieces {
                left.buffer().extend_from_slice(&piece);
                model.extend_from_slice(&piece);
                let end = left.as_slice().as_ptr_range().end;
                for _ in 0..count {
                    let keeps = model.len() - model.len().div_ceil(3);
                    model.drain(..model.len() - keeps);
                    left.keep_last(keeps);
                    prop_assert_eq!(left.as_slice(), &model[..]);
                    prop_assert_eq!(left.is_empty(), model.is_empty());
                    prop_assert!(model.is_empty() || left.as_slice().as_ptr_range().end == end);
                }
            }
        }
    }
}
