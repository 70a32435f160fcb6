//! A bounded queue that serves keys in turn.
//!
//! Each key has a lane of its own, in which order is kept. Whoever takes from the queue takes the first item of the lane whose
//! turn it is. An item may not be ready yet: then its lane is passed over until it is [woken](Lanes::wake).
//!
//! Entries and bytes are bounded, of all lanes together and of each. Above that, a lane may never hold more than what is
//! still free, so that whoever comes when little is left does not take all of it. What others cause has room of its own in a lane, half
//! of what its owner has: neither can take the other's.

use alloc::collections::VecDeque;
use alloc::collections::btree_map::{BTreeMap, Entry};

/// Entries and bytes, held or allowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Amount {
    pub(crate) entries: usize,
    pub(crate) bytes: usize,
}

impl Amount {
    /// Half of it, rounded up.
    pub(crate) const fn half(self) -> Amount {
        Amount { entries: self.entries.div_ceil(2), bytes: self.bytes.div_ceil(2) }
    }

    const fn and(self, bytes: usize) -> Amount {
        Amount { entries: self.entries.saturating_add(1), bytes: self.bytes.saturating_add(bytes) }
    }

    const fn without(self, other: Amount) -> Amount {
        Amount {
            entries: self.entries.saturating_sub(other.entries),
            bytes: self.bytes.saturating_sub(other.bytes),
        }
    }

    const fn is_within(self, bound: Amount) -> bool {
        self.entries <= bound.entries && self.bytes <= bound.bytes
    }
}

/// Who causes an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    /// Whose lane it is.
    Owner,
    Others,
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Lanes<K, T> {
    lanes: BTreeMap<K, Lane<T>>,
    /// The lanes whose first item is ready, in the order of their turns.
    turns: VecDeque<K>,
    held: Amount,
    all: Amount,
    each: Amount,
}

/// Never empty.
#[derive(Debug)]
struct Lane<T> {
    items: VecDeque<(usize, By, T)>,
    held: Amount,
    /// The part of it that others cause.
    others: Amount,
    /// Whether it stands in `turns`, once.
    has_turn: bool,
}

impl<K: Clone + Ord, T> Lanes<K, T> {
    /// An empty queue with these bounds of all lanes together, and of each.
    pub(crate) const fn new(all: Amount, each: Amount) -> Self {
        Lanes {
            lanes: BTreeMap::new(),
            turns: VecDeque::new(),
            held: Amount { entries: 0, bytes: 0 },
            all,
            each,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lanes.is_empty()
    }

    #[cfg(test)]
    pub(crate) const fn held(&self) -> Amount {
        self.held
    }

    /// Whether one more item of so many bytes has room in the lane of `key`. Whoever has none there has room for any that is not more than
    /// what is free, and an empty queue takes any.
    pub(crate) fn has_room(&self, key: &K, bytes: usize, by: By) -> bool {
        let one = Amount { entries: 1, bytes };
        let free = self.all.without(self.held);
        let Some(lane) = self.lanes.get(key) else {
            return one.is_within(free) || self.lanes.is_empty() && self.all.entries > 0;
        };
        let (held, bound) = match by {
            By::Owner => (lane.held.without(lane.others), self.each),
            By::Others => (lane.others, self.each.half()),
        };
        let has_room = held.entries == 0 && bound.entries > 0 || held.and(bytes).is_within(bound);
        has_room && lane.held.and(bytes).is_within(free)
    }

    /// Puts an item at the end of a lane, whether it has room or not.
    pub(crate) fn push(&mut self, key: K, bytes: usize, by: By, item: T, is_ready: impl FnOnce(&T) -> bool) {
        self.held = self.held.and(bytes);
        let lane = match self.lanes.entry(key) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let has_turn = is_ready(&item);
                if has_turn {
                    self.turns.push_back(entry.key().clone());
                }
                let (held, others) = (Amount::default(), Amount::default());
                entry.insert(Lane { items: VecDeque::with_capacity(1), held, others, has_turn })
            }
        };
        lane.held = lane.held.and(bytes);
        if by == By::Others {
            lane.others = lane.others.and(bytes);
        }
        lane.items.push_back((bytes, by, item));
    }

    /// Takes the item whose turn it is. Of what comes behind it in its lane, `is_ready` says whether it can be taken next.
    pub(crate) fn pop(&mut self, is_ready: impl Fn(&T) -> bool) -> Option<(usize, T)> {
        let key = self.turns.pop_front()?;
        let lane = self.lanes.get_mut(&key)?;
        let (bytes, by, item) = lane.items.pop_front()?;
        self.held = self.held.without(Amount { entries: 1, bytes });
        lane.lose(bytes, by);
        lane.has_turn = lane.items.front().is_some_and(|(.., next)| is_ready(next));
        if lane.items.is_empty() {
            self.lanes.remove(&key);
        } else if lane.has_turn {
            self.turns.push_back(key);
        }
        Some((bytes, item))
    }

    /// The first item of this lane may have become ready.
    pub(crate) fn wake(&mut self, key: &K, is_ready: impl Fn(&T) -> bool) {
        let Some(lane) = self.lanes.get_mut(key) else { return };
        if !lane.has_turn && lane.items.front().is_some_and(|(.., first)| is_ready(first)) {
            lane.has_turn = true;
            self.turns.push_back(key.clone());
        }
    }

    /// The items of a lane, in their order.
    pub(crate) fn items(&mut self, key: &K) -> impl DoubleEndedIterator<Item = &mut T> {
        self.lanes.get_mut(key).into_iter().flat_map(|lane| &mut lane.items).map(|(.., item)| item)
    }

    /// Gives the last item that is `wanted`, of the lane's owner, another size; `false` if that has no room.
    pub(crate) fn resize(&mut self, key: &K, bytes: usize, wanted: impl Fn(&T) -> bool) -> bool {
        let free = self.all.without(self.held).bytes;
        let Some(lane) = self.lanes.get_mut(key) else { return false };
        let held = lane.held.without(lane.others).bytes;
        let is_wanted = |(_, by, item): &&mut (usize, By, T)| *by == By::Owner && wanted(item);
        let Some((size, ..)) = lane.items.iter_mut().rev().find(is_wanted) else {
            return false;
        };
        let more = bytes.saturating_sub(*size);
        if more > 0 && (held.saturating_add(more) > self.each.bytes || more > free) {
            return false;
        }
        let before = core::mem::replace(size, bytes);
        for held in [&mut lane.held, &mut self.held] {
            held.bytes = held.bytes.saturating_sub(before).saturating_add(bytes);
        }
        true
    }

    /// Takes out an item before its turn, which must not have begun: its lane is not ready because of it, or it is not the first.
    pub(crate) fn remove(&mut self, key: &K, wanted: impl Fn(&T) -> bool) -> Option<T> {
        let lane = self.lanes.get_mut(key)?;
        let place = lane.items.iter().position(|(.., item)| wanted(item))?;
        let (bytes, by, item) = lane.items.remove(place)?;
        self.held = self.held.without(Amount { entries: 1, bytes });
        lane.lose(bytes, by);
        if lane.items.is_empty() {
            self.lanes.remove(key);
        }
        Some(item)
    }
}

impl<T> Lane<T> {
    /// An item of so many bytes is in it no longer.
    fn lose(&mut self, bytes: usize, by: By) {
        let one = Amount { entries: 1, bytes };
        self.held = self.held.without(one);
        if by == By::Others {
            self.others = self.others.without(one);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    const fn amount(entries: usize, bytes: usize) -> Amount {
        Amount { entries, bytes }
    }

    /// Fills a lane as far as it can be.
    fn fill(lanes: &mut Lanes<usize, ()>, key: usize, bytes: usize) -> usize {
        fill_by(lanes, key, bytes, By::Owner)
    }

    fn fill_by(lanes: &mut Lanes<usize, ()>, key: usize, bytes: usize, by: By) -> usize {
        let mut count = 0;
        while lanes.has_room(&key, bytes, by) {
            lanes.push(key, bytes, by, (), |()| true);
            count += 1;
        }
        count
    }

    #[test]
    fn others_have_room_of_their_own() {
        for first in [By::Owner, By::Others] {
            let mut lanes = Lanes::new(amount(1_000, 1_000_000), amount(10, 1_000));
            let second = if first == By::Owner { By::Others } else { By::Owner };
            let most = |by: By| if by == By::Owner { 10 } else { 5 };
            assert_eq!(fill_by(&mut lanes, 1, 90, first), most(first));
            // One of any size.
            assert!(lanes.has_room(&1, 5_000, second));
            assert_eq!(fill_by(&mut lanes, 1, 90, second), most(second));
            while lanes.pop(|()| true).is_some() {}
            assert_eq!(fill_by(&mut lanes, 1, 90, second), most(second), "all of it is free again");
        }
    }

    #[test]
    fn a_lane_has_a_bound_of_its_own() {
        let mut lanes = Lanes::new(amount(1_000, 1_000_000), amount(10, 1_000));
        assert_eq!(fill(&mut lanes, 1, 10), 10);
        assert_eq!(fill(&mut lanes, 2, 200), 5);
        assert_eq!(fill(&mut lanes, 3, 999), 1);
        // A large one alone.
        assert!(lanes.has_room(&4, 5_000, By::Owner));
    }

    #[test]
    fn many_lanes_leave_room_for_others() {
        for bytes in [0, 500] {
            let mut lanes = Lanes::new(amount(1_280, 1_280_000), amount(10, 10_000));
            for key in 0..64 {
                assert!(fill(&mut lanes, key, bytes) >= 10);
            }
            assert_eq!(fill(&mut lanes, 64, bytes), 10, "half of it is free");
            // However many they are, the last do not take all that is left.
            let taken: Vec<_> = (65..200).map(|key| fill(&mut lanes, key, bytes)).collect();
            assert!(taken.is_sorted_by(|a, b| a >= b) && taken.contains(&1), "{taken:?}");
        }
    }

    #[test]
    fn lanes_take_turns() {
        let mut lanes = Lanes::new(amount(100, 100), amount(100, 100));
        for item in ["a1", "a2", "a3", "b1", "c1", "b2"] {
            lanes.push(item.as_bytes()[0], 1, By::Owner, item, |_| true);
        }
        let taken: Vec<_> = core::iter::from_fn(|| lanes.pop(|_| true)).map(|(_, item)| item).collect();
        assert_eq!(taken, ["a1", "b1", "c1", "a2", "b2", "a3"]);
        assert!(lanes.is_empty() && lanes.held() == Amount::default());
    }

    #[derive(Clone, Debug)]
    enum Step {
        Push(u8, usize, By),
        Pop,
        Ready(u32),
        Remove(u32),
        Resize(u32, usize),
    }

    fn by() -> impl Strategy<Value = By> {
        prop_oneof![Just(By::Owner), Just(By::Others)]
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0..4_u8, 0..9_usize, by()).prop_map(|(key, bytes, by)| Step::Push(key, bytes, by)),
            4 => Just(Step::Pop),
            3 => (0..40_u32).prop_map(Step::Ready),
            1 => (0..40_u32).prop_map(Step::Remove),
            1 => (0..40_u32, 0..30_usize).prop_map(|(item, bytes)| Step::Resize(item, bytes)),
        ]
    }

    /// What items hold together.
    fn sum<'a>(items: impl Iterator<Item = &'a Entry>) -> Amount {
        items.fold(Amount::default(), |sum, entry| sum.and(entry.bytes))
    }

    #[derive(Clone, Copy, Debug)]
    struct Entry {
        item: u32,
        bytes: usize,
        by: By,
    }

    proptest! {
        // Order within a lane is kept, nothing that is not ready is taken, nothing that is ready is passed over for ever, and
        // bounds hold: of all, and of a lane for each who causes its items, but for one item alone.
        #[test]
        fn lanes_are_queues(steps in prop::collection::vec(step(), 0..80)) {
            let (all, each) = (amount(12, 60), amount(5, 30));
            let mut lanes = Lanes::new(all, each);
            let mut model: BTreeMap<u8, VecDeque<Entry>> = BTreeMap::new();
            let mut ready = BTreeSet::new();
            let mut next = 0_u32;
            let is_ready = |ready: &BTreeSet<u32>, item: u32| ready.contains(&item);
            for step in steps {
                match step {
                    Step::Push(key, bytes, by) => if lanes.has_room(&key, bytes, by) {
                        lanes.push(key, bytes, by, next, |&item| is_ready(&ready, item));
                        model.entry(key).or_default().push_back(Entry { item: next, bytes, by });
                        next += 1;
                    } else {
                        // Who has nothing there has no less room for the others.
                        let lane = model.get(&key).into_iter().flatten();
                        let free = all.without(sum(model.values().flatten()));
                        let has_none = lane.clone().all(|entry| entry.by != by);
                        prop_assert!(!has_none || !sum(lane).and(bytes).is_within(free));
                    }
                    Step::Pop => {
                        let heads: BTreeSet<u32> = model.values().filter_map(|lane| Some(lane.front()?.item)).collect();
                        let taken = lanes.pop(|&item| is_ready(&ready, item)).map(|(_, item)| item);
                        match taken {
                            Some(item) => prop_assert!(heads.contains(&item) && ready.contains(&item)),
                            None => prop_assert!(heads.is_disjoint(&ready)),
                        }
                        for lane in model.values_mut() {
                            lane.retain(|entry| Some(entry.item) != taken);
                        }
                    }
                    Step::Ready(item) => {
                        ready.insert(item);
                        for key in 0..4 {
                            lanes.wake(&key, |&item| is_ready(&ready, item));
                        }
                    }
                    Step::Remove(item) => if !ready.contains(&item) {
                        for (key, lane) in &mut model {
                            lanes.remove(key, |&other| other == item);
                            lane.retain(|entry| entry.item != item);
                            lanes.wake(key, |&item| is_ready(&ready, item));
                        }
                    }
                    Step::Resize(item, bytes) => for key in 0..4 {
                        if lanes.resize(&key, bytes, |&other| other == item) {
                            let entry = model.get_mut(&key).and_then(|lane| lane.iter_mut().find(|entry| entry.item == item));
                            let entry = entry.filter(|entry| entry.by == By::Owner);
                            prop_assert!(entry.is_some(), "an item of others, or none");
                            entry.into_iter().for_each(|entry| entry.bytes = bytes);
                        }
                    }
                }
                prop_assert_eq!(lanes.held(), sum(model.values().flatten()));
                prop_assert!(lanes.held().is_within(all));
                for (key, lane) in model.iter().filter(|(_, lane)| !lane.is_empty()) {
                    for (by, bound) in [(By::Owner, each), (By::Others, each.half())] {
                        let held = sum(lane.iter().filter(|entry| entry.by == by));
                        prop_assert!(held.entries == 1 || held.is_within(bound), "{:?} holds {:?}", by, held);
                        let own = &lanes.lanes[key];
                        let counted = if by == By::Others { own.others } else { own.held.without(own.others) };
                        prop_assert_eq!(counted, held);
                    }
                }
            }
        }
    }
}
