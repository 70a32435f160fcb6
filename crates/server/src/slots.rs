//! A table of what has a number for as long as it is there, such as a connection: a number is not used again for a long time.

use alloc::boxed::Box;
use core::marker::PhantomData;

use slab::Slab;

/// A number that names one entry of a table.
pub(crate) trait Number: Copy + PartialEq {
    fn from_u64(number: u64) -> Self;
    fn to_u64(self) -> u64;
}

/// Entries by their numbers. Finding one is one step.
#[derive(Debug)]
pub(crate) struct Slots<K, T> {
    slab: Slab<(u64, Box<T>)>,
    /// Distinguishes the entries that have had the same place.
    generation: u32,
    /// Stands in all numbers.
    part: u8,
    numbers: PhantomData<K>,
}

/// Bits of a number for the place in the table. Before them stand eight for the part.
const PLACE: u32 = 24;

impl<K: Number, T> Slots<K, T> {
    pub(crate) const fn new() -> Self {
        Slots::of_part(0)
    }

    /// A table that is one of several: the numbers in none of them are those in another, and [say](part) in which one they are.
    pub(crate) const fn of_part(part: u8) -> Self {
        Slots { slab: Slab::new(), generation: 0, part, numbers: PhantomData }
    }

    /// Puts one in, which is made of its number.
    pub(crate) fn insert(&mut self, make: impl FnOnce(K) -> T) -> K {
        // The two highest bits tell the tables of a server apart.
        self.generation = self.generation.wrapping_add(1) & (u32::MAX >> 2);
        let entry = self.slab.vacant_entry();
        let place = entry.key() as u64 & ((1 << PLACE) - 1);
        let number = u64::from(self.generation) << 32 | u64::from(self.part) << PLACE | place;
        entry.insert((number, Box::new(make(K::from_u64(number)))));
        K::from_u64(number)
    }

    pub(crate) fn get(&self, id: K) -> Option<&T> {
        let (number, entry) = self.slab.get(place(id))?;
        (*number == id.to_u64()).then_some(entry)
    }

    pub(crate) fn get_mut(&mut self, id: K) -> Option<&mut T> {
        let (number, entry) = self.slab.get_mut(place(id))?;
        (*number == id.to_u64()).then_some(entry)
    }

    pub(crate) fn remove(&mut self, id: K) -> Option<T> {
        self.get(id)?;
        Some(*self.slab.remove(place(id)).1)
    }

    /// All of them, in no particular order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (K, &T)> {
        self.slab.iter().map(|(_, (number, entry))| (K::from_u64(*number), &**entry))
    }

    /// Takes all of them out, in no particular order.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = T> {
        self.slab.drain().map(|(_, entry)| *entry)
    }

    pub(crate) fn len(&self) -> usize {
        self.slab.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.slab.is_empty()
    }
}

/// The place of an entry in its slab.
fn place<K: Number>(id: K) -> usize {
    (id.to_u64() & ((1 << PLACE) - 1)) as usize
}

/// Which of several tables an entry is in.
pub(crate) fn part<K: Number>(id: K) -> usize {
    (id.to_u64() >> PLACE & 0xff) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ConnectionId;

    // Who has the number of one that is gone does not get the one that has come to its place.
    #[test]
    fn a_place_is_used_again_and_a_number_is_not() {
        let mut slots: Slots<ConnectionId, &str> = Slots::new();
        let first = slots.insert(|_| "first");
        assert_eq!((slots.remove(first), slots.remove(first)), (Some("first"), None));
        let second = slots.insert(|_| "second");
        assert_eq!((slots.get(first), slots.get(second)), (None, Some(&"second")));
        assert!(slots.get_mut(first).is_none() && slots.remove(first).is_none());
        assert!(slots.iter().eq([(second, &"second")]) && slots.len() == 1);
        assert!(slots.drain().eq(["second"]) && slots.is_empty());
    }
}
