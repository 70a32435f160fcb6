//! When to look at what again: at most one time for each, the earliest first.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use balcony_machine::Instant;

/// Times, and what is to be looked at then. Each has its own [entry](Armed) beside it.
#[derive(Debug)]
pub(crate) struct Deadlines<K>(BTreeSet<(Instant, K)>);

/// The entry that something has among the deadlines, if it has one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Armed(Option<Instant>);

impl<K: Ord + Clone> Deadlines<K> {
    pub(crate) const fn new() -> Self {
        Deadlines(BTreeSet::new())
    }

    /// Moves the entry of something to when it is due now.
    pub(crate) fn arm(&mut self, armed: &mut Armed, due: Option<Instant>, key: impl Fn() -> K) {
        if armed.0 == due {
            return;
        }
        if let Some(before) = armed.0 {
            self.0.remove(&(before, key()));
        }
        if let Some(due) = due {
            self.0.insert((due, key()));
        }
        armed.0 = due;
    }

    /// The next time.
    pub(crate) fn first(&self) -> Option<Instant> {
        self.0.first().map(|(at, _)| *at)
    }

    /// What is due by now. It stays until it is armed anew.
    pub(crate) fn due(&self, now: Instant) -> Vec<K> {
        self.0.iter().take_while(|(at, _)| *at <= now).map(|(_, key)| key.clone()).collect()
    }

    /// Forgets all of them.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;

    #[test]
    fn each_has_one_entry() {
        let at = |seconds| Instant::ZERO + Duration::from_secs(seconds);
        let mut deadlines = Deadlines::new();
        let (mut one, mut other) = (Armed::default(), Armed::default());
        deadlines.arm(&mut one, Some(at(2)), || 1);
        deadlines.arm(&mut other, Some(at(1)), || 2);
        assert_eq!((deadlines.first(), deadlines.due(at(2))), (Some(at(1)), Vec::from([2, 1])));
        deadlines.arm(&mut other, Some(at(3)), || 2);
        assert_eq!((deadlines.first(), deadlines.due(at(2))), (Some(at(2)), Vec::from([1])));
        deadlines.arm(&mut one, None, || 1);
        deadlines.arm(&mut other, None, || 2);
        assert_eq!((deadlines.first(), deadlines.due(at(9)), other), (None, Vec::new(), Armed::default()));
    }
}
