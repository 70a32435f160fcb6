//! Where values lie, by the hashes of their keys.
//!
//! With a million values the processor's cache has nearly nothing of such a table, so what a look into it costs is how many lines of the
//! cache it reads: here it is mostly one. Each entry is one number, of which some bits say where the value lies and the others are those
//! of the hash, so that the values of other keys are hardly ever looked at. An entry is at the place that its hash names, or, if others are
//! there, in the next one that was free.

use alloc::vec;
use alloc::vec::Vec;
use core::num::NonZeroU32;

/// Where a value lies. Another one may lie there later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place(NonZeroU32);

impl Place {
    /// The place of the first, the second and so on; there is no memory for more than can be told apart.
    pub(crate) fn new(number: usize) -> Self {
        Place(u32::try_from(number).ok().and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MAX))
    }

    /// How many lie before it.
    pub(crate) const fn index(self) -> usize {
        self.0.get() as usize - 1
    }
}

/// The places of values whose keys differ. As numbers, they are no more than the values that were there at once.
///
/// At least a quarter of the entries is free.
#[derive(Debug, Default)]
pub(crate) struct Places {
    /// A power of two, or none. Free ones are 0; others have the place in as many of the lower bits as are needed to number all entries,
    /// and bits of the hash in the others.
    entries: Vec<u32>,
    len: usize,
}

/// So many entries there are at least.
const FEWEST: usize = 8;

impl Places {
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Which bits of an entry are the place: those that number the entries.
    fn mask(&self) -> u32 {
        u32::try_from(self.entries.len()).map_or(u32::MAX, |entries| entries.wrapping_sub(1))
    }

    /// Where the value of a key with this hash lies: the first place that is the right one.
    pub(crate) fn find(&self, hash: u64, mut is_it: impl FnMut(Place) -> bool) -> Option<Place> {
        let place = |number: u32| self.place(number).filter(|place| is_it(*place));
        self.entry(hash, place).map(|(_, place)| place)
    }

    /// The entry at which the search for this hash begins. This reads its line and does nothing that depends on what is there.
    pub(crate) fn first(&self, hash: u64) -> u32 {
        self.entries.get(hash as usize & self.mask() as usize).copied().unwrap_or_default()
    }

    fn place(&self, entry: u32) -> Option<Place> {
        NonZeroU32::new(entry & self.mask()).map(Place)
    }

    /// The first entry of this hash of which something comes.
    fn entry(&self, hash: u64, mut of: impl FnMut(u32) -> Option<Place>) -> Option<(usize, Place)> {
        let (mask, bits) = (self.mask(), bits(hash));
        let mut at = hash as usize & mask as usize;
        loop {
            let entry = *self.entries.get(at)?;
            if entry == 0 {
                return None;
            }
            if (entry ^ bits) & !mask == 0
                && let Some(place) = of(entry)
            {
                return Some((at, place));
            }
            at = (at + 1) & mask as usize;
        }
    }

    /// Notes where the value of a key lies that has none here. `hash_of` says the hashes of the others.
    pub(crate) fn insert(&mut self, hash: u64, place: Place, hash_of: impl Fn(Place) -> u64) {
        if (self.len + 1) * 4 > self.entries.len() * 3 {
            let larger = vec![0; (self.entries.len() * 2).max(FEWEST)];
            let before = Places { entries: core::mem::replace(&mut self.entries, larger), len: 0 };
            let all = before.entries.iter().filter_map(|entry| before.place(*entry));
            all.for_each(|other| self.put(hash_of(other), other));
        }
        self.len += 1;
        self.put(hash, place);
    }

    /// There has to be a free entry.
    fn put(&mut self, hash: u64, place: Place) {
        let mask = self.mask();
        let mut at = hash as usize & mask as usize;
        while self.entries[at] != 0 {
            at = (at + 1) & mask as usize;
        }
        self.entries[at] = bits(hash) & !mask | place.0.get();
    }

    /// Forgets a place that was noted with this hash. `hash_of` says the hashes of the others.
    pub(crate) fn remove(&mut self, hash: u64, place: Place, hash_of: impl Fn(Place) -> u64) {
        let is_it = |entry| self.place(entry).filter(|other| *other == place);
        let Some((mut free, _)) = self.entry(hash, is_it) else { return };
        self.len -= 1;
        let mask = self.mask() as usize;
        let mut at = free;
        loop {
            at = (at + 1) & mask;
            let Some(other) = self.place(self.entries[at]) else { break };
            // It moves there if that is no farther than where it is, from where its hash would have it.
            let home = hash_of(other) as usize & mask;
            if at.wrapping_sub(home) & mask >= at.wrapping_sub(free) & mask {
                self.entries[free] = self.entries[at];
                free = at;
            }
        }
        self.entries[free] = 0;
    }
}

/// The bits of a hash that an entry may have: others than those that say where it is.
const fn bits(hash: u64) -> u32 {
    (hash >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeMap;
    use proptest::prelude::*;

    proptest! {
        // Whatever the hashes are: the same ones, neighbours, such that begin at the end, those that differ in one half only.
        #[test]
        fn places_are_found_by_their_hashes(steps in prop::collection::vec((0_u64..60, any::<bool>()), 1..400)) {
            let hash = |number: u64| (number % 3) << 32 | (number / 7).wrapping_sub(3) & 0xFFFF_FFFF;
            let (mut places, mut free, mut model) = (Places::default(), std::vec::Vec::new(), BTreeMap::new());
            for (number, is_there) in steps {
                let numbers: BTreeMap<usize, u64> =
                    model.iter().map(|(number, place): (&u64, &Place)| (place.index(), *number)).collect();
                let hash_of = |place: Place| hash(numbers[&place.index()]);
                match model.get(&number).copied() {
                    None if is_there => {
                        let place = free.pop().unwrap_or_else(|| Place::new(model.len() + 1));
                        places.insert(hash(number), place, hash_of);
                        model.insert(number, place);
                    }
                    Some(place) if !is_there => {
                        places.remove(hash(number), place, hash_of);
                        model.remove(&number);
                        free.push(place);
                    }
                    _ => {}
                }
                prop_assert_eq!(places.len(), model.len());
                prop_assert!(places.entries.len() * 3 >= places.len() * 4);
                for number in 0..60 {
                    let place = model.get(&number).copied();
                    prop_assert_eq!(places.find(hash(number), |other| Some(other) == place), place);
                }
                prop_assert_eq!(places.entries.iter().filter(|entry| **entry != 0).count(), model.len());
            }
        }
    }
}
