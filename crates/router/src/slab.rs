//! Values of accounts, found by the addresses of these, or by the place where they lie.
//!
//! Of a million accounts the processor's cache has none, so what finding one costs is how many lines of the cache are touched on the
//! way. Here a value lies behind its key, at the beginning of a line, so that what is read most can come first; the [table](crate::places)
//! by which it is found takes another line. It is this table that grows by doubling: values stay where they are, and take no more room than
//! they need.

use alloc::vec::Vec;
use core::fmt;
use core::hash::BuildHasher;
use core::mem;

use balcony_jid::BareJid;
use hashbrown::DefaultHashBuilder;

pub(crate) use crate::places::Place;
use crate::places::Places;
use crate::text::Text;

/// So many values lie side by side. More begin elsewhere, so that few have to move when there are more; where each of these begins is to be
/// in the processor's cache.
const CHUNK: usize = 512;

/// Values and the addresses of their accounts. Never iterated.
pub(crate) struct Slab<V> {
    chunks: Vec<Vec<Slot<V>>>,
    by_key: Places,
    free: Vec<Place>,
    hasher: DefaultHashBuilder,
    /// How many values have been put there.
    put: u32,
}

/// Where one value lies: it leads to no other one that lies there later, if it has the same key or another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Index {
    place: Place,
    /// How many values had been put anywhere.
    generation: u32,
}

/// Which chunk a place is in, and where in that.
const fn parts(place: Place) -> (usize, usize) {
    (place.index() / CHUNK, place.index() % CHUNK)
}

/// The order is the one in which they lie: the key and the beginning of the value are in one line of the cache.
#[repr(u32, align(64))]
pub(crate) enum Slot<V> {
    Free,
    Taken { generation: u32, key: Name, value: V },
}

impl<V> Slot<V> {
    /// The value, if one lies there.
    pub(crate) const fn value(&self) -> Option<&V> {
        match self {
            Slot::Taken { value, .. } => Some(value),
            Slot::Free => None,
        }
    }

    /// The value that was found by this, if it still lies there. Of another one nothing is read.
    pub(crate) const fn value_of(&self, index: Index) -> Option<&V> {
        match self {
            Slot::Taken { generation, value, .. } if *generation == index.generation => Some(value),
            _ => None,
        }
    }
}

/// The address of an account, as a key: short ones lie in it.
pub(crate) type Name = Text<30>;

/// What has the address of an account, by which a value can be looked up.
pub(crate) trait Address {
    fn address(&self) -> &str;
}

impl Address for str {
    fn address(&self) -> &str {
        self
    }
}

impl Address for BareJid {
    fn address(&self) -> &str {
        self.as_str()
    }
}

impl<V> Default for Slab<V> {
    fn default() -> Self {
        Slab {
            chunks: Vec::new(),
            by_key: Places::default(),
            free: Vec::new(),
            hasher: DefaultHashBuilder::default(),
            put: 0,
        }
    }
}

impl<V> Slab<V> {
    pub(crate) fn len(&self) -> usize {
        self.by_key.len()
    }

    pub(crate) fn contains_key<Q: Address + ?Sized>(&self, key: &Q) -> bool {
        self.index(key).is_some()
    }

    pub(crate) fn get<Q: Address + ?Sized>(&self, key: &Q) -> Option<&V> {
        self.at(self.index(key)?)
    }

    pub(crate) fn get_mut<Q: Address + ?Sized>(&mut self, key: &Q) -> Option<&mut V> {
        self.at_mut(self.index(key)?)
    }

    /// Where the value of a key lies, if there is one.
    pub(crate) fn index<Q: Address + ?Sized>(&self, key: &Q) -> Option<Index> {
        let hash = self.hasher.hash_one(key.address());
        let place = self.by_key.find(hash, |place| self.has(place, key))?;
        match self.slot(place)? {
            Slot::Taken { generation, .. } => Some(Index { place, generation: *generation }),
            Slot::Free => None,
        }
    }

    /// The hash of a key, for [`first`](Slab::first) and [`likely`](Slab::likely).
    pub(crate) fn hash<Q: Address + ?Sized>(&self, key: &Q) -> u64 {
        self.hasher.hash_one(key.address())
    }

    /// The first entry of the table that may say where a key of this hash lies.
    pub(crate) fn first(&self, hash: u64) -> u32 {
        self.by_key.first(hash)
    }

    /// Where a key of this hash lies most likely, without a look at what lies there.
    pub(crate) fn likely(&self, hash: u64) -> Option<Place> {
        self.by_key.find(hash, |_| true)
    }

    fn has<Q: Address + ?Sized>(&self, place: Place, key: &Q) -> bool {
        matches!(self.slot(place), Some(Slot::Taken { key: own, .. }) if own.is(key.address()))
    }

    /// The same, with less to do if it lies where it was last time.
    pub(crate) fn index_again<Q: Address + ?Sized>(&self, key: &Q, before: Option<Index>) -> Option<Index> {
        before.filter(|index| self.is_at(*index, key)).or_else(|| self.index(key))
    }

    /// Whether the value of a key lies there.
    pub(crate) fn is_at<Q: Address + ?Sized>(&self, index: Index, key: &Q) -> bool {
        matches!(
            self.slot(index.place),
            Some(Slot::Taken { generation, key: own, .. }) if *generation == index.generation && own.is(key.address())
        )
    }

    pub(crate) fn at(&self, index: Index) -> Option<&V> {
        match self.slot(index.place)? {
            Slot::Taken { generation, value, .. } if *generation == index.generation => Some(value),
            _ => None,
        }
    }

    /// The place there, without a look at it; [`value_of`](Slot::value_of) says what lies there.
    pub(crate) fn slot_of(&self, index: Index) -> Option<&Slot<V>> {
        self.slot(index.place)
    }

    pub(crate) fn at_mut(&mut self, index: Index) -> Option<&mut V> {
        let (chunk, within) = parts(index.place);
        match self.chunks.get_mut(chunk)?.get_mut(within)? {
            Slot::Taken { generation, value, .. } if *generation == index.generation => Some(value),
            _ => None,
        }
    }

    /// What lies there, without a look at it.
    pub(crate) fn slot(&self, place: Place) -> Option<&Slot<V>> {
        let (chunk, within) = parts(place);
        self.chunks.get(chunk)?.get(within)
    }

    /// The value of a key; a new one if there is none.
    pub(crate) fn get_or_insert_with<Q: Address + ?Sized>(
        &mut self,
        key: &Q,
        value: impl FnOnce() -> V,
    ) -> &mut V {
        let index = self.index(key).unwrap_or_else(|| self.put(key, value()));
        match self.at_mut(index) {
            Some(value) => value,
            None => unreachable!("it has just been found, or put there"),
        }
    }

    /// Has this value for the key from now on.
    pub(crate) fn insert<Q: Address + ?Sized>(&mut self, key: &Q, value: V) {
        match self.get_mut(key) {
            Some(before) => *before = value,
            None => _ = self.put(key, value),
        }
    }

    /// Puts a value there whose key has none.
    fn put<Q: Address + ?Sized>(&mut self, key: &Q, value: V) -> Index {
        self.put = self.put.wrapping_add(1);
        let generation = self.put;
        let slot = Slot::Taken { generation, key: Name::new(key.address()), value };
        let place = match self.free.pop() {
            Some(place) => {
                let (chunk, within) = parts(place);
                self.chunks[chunk][within] = slot;
                place
            }
            None => {
                if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK) {
                    self.chunks.push(Vec::new());
                }
                let last = self.chunks.len() - 1;
                self.chunks[last].push(slot);
                Place::new(last * CHUNK + self.chunks[last].len())
            }
        };
        let hash = self.hasher.hash_one(key.address());
        self.by_key.insert(hash, place, |other| hash_at(&self.chunks, &self.hasher, other));
        Index { place, generation }
    }

    /// Takes the value of a key out.
    pub(crate) fn remove<Q: Address + ?Sized>(&mut self, key: &Q) -> Option<V> {
        let place = self.index(key)?.place;
        let hash = self.hasher.hash_one(key.address());
        self.by_key.remove(hash, place, |other| hash_at(&self.chunks, &self.hasher, other));
        let (chunk, within) = parts(place);
        let slot = mem::replace(&mut self.chunks[chunk][within], Slot::Free);
        if self.by_key.is_empty() {
            // Nothing is kept of a crowd that has gone.
            (self.chunks, self.free, self.by_key) = (Vec::new(), Vec::new(), Places::default());
        } else {
            self.free.push(place);
        }
        match slot {
            Slot::Taken { value, .. } => Some(value),
            Slot::Free => None,
        }
    }
}

/// The hash of the key of what lies there.
fn hash_at<V>(chunks: &[Vec<Slot<V>>], hasher: &DefaultHashBuilder, place: Place) -> u64 {
    let (chunk, within) = parts(place);
    match &chunks[chunk][within] {
        Slot::Taken { key, .. } => hasher.hash_one(key.as_str()),
        Slot::Free => 0,
    }
}

impl<V> fmt::Debug for Slab<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slab").field("values", &self.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeMap;
    use proptest::prelude::*;
    use std::format;

    #[derive(Clone, Debug)]
    enum Step {
        Insert(u8, u64),
        GetOrInsert(u8, u64),
        Remove(u8),
    }

    fn steps() -> impl Strategy<Value = std::vec::Vec<Step>> {
        let step = prop_oneof![
            4 => (any::<u8>(), any::<u64>()).prop_map(|(key, value)| Step::Insert(key, value)),
            1 => (any::<u8>(), any::<u64>()).prop_map(|(key, value)| Step::GetOrInsert(key, value)),
            3 => any::<u8>().prop_map(Step::Remove),
        ];
        prop::collection::vec(step, 1..500)
    }

    // Some of them are longer than what lies in the key.
    fn name(key: u8) -> BareJid {
        BareJid::parse(&format!("{}{key}@example.com", "x".repeat(usize::from(key % 40)))).unwrap()
    }

    proptest! {
        // A map of the standard library has the same; and who knows where a value lay gets that of the own key, or none.
        #[test]
        fn it_is_a_map(steps in steps()) {
            let mut slab: Slab<u64> = Slab::default();
            let mut model = BTreeMap::new();
            let mut known = BTreeMap::new();
            for step in steps {
                match step {
                    Step::Insert(key, value) => {
                        slab.insert(&name(key), value);
                        model.insert(key, value);
                    }
                    Step::GetOrInsert(key, value) => {
                        let own = *slab.get_or_insert_with(&name(key), || value);
                        prop_assert_eq!(own, *model.entry(key).or_insert(value));
                    }
                    Step::Remove(key) => prop_assert_eq!(slab.remove(&name(key)), model.remove(&key)),
                }
                prop_assert_eq!(slab.len(), model.len());
                for key in [0, 1, 40, 41, 255] {
                    let index = slab.index(name(key).as_str());
                    prop_assert_eq!(index.and_then(|index| slab.at(index)), model.get(&key));
                    let again = slab.index_again(&name(key), known.get(&key).copied());
                    prop_assert_eq!(again, index);
                    // It may be a place where another one has lain, or does.
                    let other = slab.index_again(&name(key), known.values().next().copied());
                    prop_assert_eq!(other, index);
                    // Who knows where a value lay that is gone is led to no other one.
                    if let Some(before) = known.get(&key).filter(|before| Some(**before) != index) {
                        prop_assert_eq!(slab.at(*before), None);
                    }
                    known.extend(index.map(|index| (key, index)));
                }
            }
            for key in 0..=255 {
                prop_assert_eq!(slab.get(&name(key)), model.get(&key));
                prop_assert_eq!(slab.contains_key(&name(key)), model.contains_key(&key));
            }
        }
    }

    // Rooms of those that are gone are used again, and given back with the last one.
    #[test]
    fn nothing_is_kept_of_those_that_are_gone() {
        let name = |number: u64| BareJid::parse(&format!("user{number}@example.com")).unwrap();
        let mut slab: Slab<u64> = Slab::default();
        for round in 0..10 {
            (0..1_600).for_each(|number| slab.insert(&name(number), number + round));
            assert_eq!(slab.chunks.len(), 4);
            (1..1_600).for_each(|number| assert_eq!(slab.remove(&name(number)), Some(number + round)));
        }
        assert_eq!(slab.remove(&name(0)), Some(9));
        assert_eq!((slab.chunks.capacity(), slab.free.capacity(), slab.len()), (0, 0, 0));
    }
}
