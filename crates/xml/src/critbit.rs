//! Which of many keys is this? A crit-bit tree: finding, adding and taking back a key takes time that grows with the bytes of
//! that key, however many others there are and whoever has chosen them.
//!
//! The keys lie elsewhere. What is in the tree is numbers of theirs, and they are taken back in the opposite order.

use alloc::collections::TryReserveError;
use alloc::vec::Vec;

/// Two strings without bytes of zero, one behind the other.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key<'a>(pub(crate) &'a [u8], pub(crate) &'a [u8]);

impl Key<'_> {
    /// Each string ends with a zero.
    const fn len(self) -> usize {
        self.0.len() + self.1.len() + 2
    }

    fn byte(self, at: usize) -> u8 {
        let second = || self.1.get(at.checked_sub(self.0.len() + 1)?);
        self.0.get(at).or_else(second).copied().unwrap_or(0)
    }

    fn bit(self, bit: usize) -> usize {
        usize::from(self.byte(bit / 8) >> (7 - bit % 8) & 1)
    }

    /// The first bit that is not the same.
    fn difference(self, other: Key<'_>) -> Option<usize> {
        let common = self.0.iter().zip(other.0).take_while(|(a, b)| a == b).count();
        let from = if common < self.0.len() || common < other.0.len() {
            common
        } else {
            common + 1 + self.1.iter().zip(other.1).take_while(|(a, b)| a == b).count()
        };
        crate::work::looked_at(from);
        let bits = self.byte(from) ^ other.byte(from);
        (bits != 0).then(|| from * 8 + bits.leading_zeros() as usize)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Link {
    Key(u32),
    Branch(u32),
}

/// Where the keys of a part of the tree begin to differ.
struct Branch {
    bit: usize,
    /// For keys that have this bit clear, and set.
    links: [Link; 2],
    /// A key of that part that was there before it.
    before: u32,
}

/// Something that a link can be taken from or put into.
#[derive(Clone, Copy)]
enum Slot {
    Root,
    Side(usize, usize),
}

pub(crate) struct CritBit {
    root: Option<Link>,
    branches: Vec<Branch>,
}

impl CritBit {
    pub(crate) const fn new() -> Self {
        CritBit { root: None, branches: Vec::new() }
    }

    /// Makes room for so many more keys. The first of all needs none.
    pub(crate) fn try_reserve(&mut self, keys: usize) -> Result<(), TryReserveError> {
        self.branches.try_reserve(keys - usize::from(self.root.is_none() && keys > 0))
    }

    fn link(&self, slot: Slot) -> Option<Link> {
        match slot {
            Slot::Root => self.root,
            Slot::Side(branch, side) => self.branches.get(branch).map(|branch| branch.links[side]),
        }
    }

    fn set(&mut self, slot: Slot, link: Link) {
        match slot {
            Slot::Root => self.root = Some(link),
            Slot::Side(branch, side) => self.branches[branch].links[side] = link,
        }
    }

    /// Follows `key` from the root for as long as `on` the branches that come.
    fn descend(&self, key: Key<'_>, mut on: impl FnMut(u32, &Branch) -> bool) -> Slot {
        let mut slot = Slot::Root;
        while let Some(Link::Branch(at)) = self.link(slot) {
            crate::work::looked_at(1);
            let branch = &self.branches[at as usize];
            if !on(at, branch) {
                break;
            }
            slot = Slot::Side(at as usize, key.bit(branch.bit));
        }
        slot
    }

    /// Some key that is as near to `key` as any.
    fn near(&self, key: Key<'_>) -> Option<u32> {
        // Where keys differ behind the end of this one, it is none of them.
        match self.link(self.descend(key, |_, branch| branch.bit < 8 * key.len()))? {
            Link::Key(near) => Some(near),
            Link::Branch(at) => self.branches.get(at as usize).map(|branch| branch.before),
        }
    }

    /// The number of the key, if it is there; `keys` knows the keys.
    pub(crate) fn find<'k>(&self, key: Key<'k>, keys: impl Fn(u32) -> Key<'k>) -> Option<u32> {
        self.near(key).filter(|near| {
            crate::work::looked_at(key.len());
            keys(*near) == key
        })
    }

    /// Puts a key in; one that is the same is hidden by it, and its number told.
    pub(crate) fn insert<'k>(
        &mut self,
        key: Key<'k>,
        number: u32,
        keys: impl Fn(u32) -> Key<'k>,
    ) -> Option<u32> {
        let Some(near) = self.near(key) else {
            self.root = Some(Link::Key(number));
            return None;
        };
        let Some(bit) = key.difference(keys(near)) else {
            let slot = self.descend(key, |_, _| true);
            self.set(slot, Link::Key(number));
            return Some(near);
        };
        let slot = self.descend(key, |_, branch| branch.bit < bit);
        let other = self.link(slot).unwrap_or(Link::Key(near));
        let mut links = [other; 2];
        links[key.bit(bit)] = Link::Key(number);
        // There are no more branches than keys.
        let branch = u32::try_from(self.branches.len()).unwrap_or(u32::MAX);
        self.branches.push(Branch { bit, links, before: near });
        self.set(slot, Link::Branch(branch));
        None
    }

    /// Takes back the last [`insert`](CritBit::insert) that has not been taken back: of `key`, which hid this one.
    pub(crate) fn take_back(&mut self, key: Key<'_>, hidden: Option<u32>) {
        if let Some(hidden) = hidden {
            let slot = self.descend(key, |_, _| true);
            self.set(slot, Link::Key(hidden));
        } else if let Some(last) = self.branches.len().checked_sub(1) {
            // The branch was made for the key.
            let slot = self.descend(key, |at, _| at as usize != last);
            if let Some(branch) = self.branches.pop() {
                self.set(slot, branch.links[1 - key.bit(branch.bit)]);
            }
        } else {
            self.root = None;
        }
    }

    /// Whether it depends on the keys where they lie: not if there is one.
    pub(crate) fn has_branches(&self) -> bool {
        !self.branches.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        self.root = None;
        self.branches.clear();
    }

    /// Gives memory back that nothing is in.
    pub(crate) fn shrink(&mut self) {
        self.branches.shrink_to(4);
    }

    #[cfg(test)]
    pub(crate) fn footprint(&self) -> usize {
        self.branches.capacity() * size_of::<Branch>()
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::String;
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::{CritBit, Key};

    proptest! {
        // A list that is searched from its end says the same.
        #[test]
        fn it_is_a_stack_of_keys(steps in prop::collection::vec((any::<bool>(), "[ab]{0,4}", "[ab]{0,2}"), 1..60)) {
            let mut tree = CritBit::new();
            let mut list: Vec<(String, String, Option<u32>)> = Vec::new();
            for (push, first, second) in steps {
                let of = |at: u32| Key(list[at as usize].0.as_bytes(), list[at as usize].1.as_bytes());
                let expected = list.iter().rposition(|(a, b, _)| (a, b) == (&first, &second));
                let expected = expected.map(|at| at as u32);
                let key = Key(first.as_bytes(), second.as_bytes());
                prop_assert_eq!(tree.find(key, of), expected);
                if push {
                    prop_assert_eq!(tree.insert(key, list.len() as u32, of), expected);
                    list.push((first, second, expected));
                } else if let Some((first, second, hidden)) = list.pop() {
                    tree.take_back(Key(first.as_bytes(), second.as_bytes()), hidden);
                }
            }
        }
    }
}
