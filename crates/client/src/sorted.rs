//! A map of few things, by their keys in order, in one piece of memory.
//!
//! What a client keeps like this has at most some thousand entries, and mostly none or one: for those the nodes of a B-tree are much
//! memory, and the code that balances them much flash. Finding takes logarithmic time; adding and removing move what stands behind.

use alloc::vec::Vec;
use core::borrow::Borrow;

#[derive(Clone, Debug)]
pub(crate) struct SortedMap<K, V>(Vec<(K, V)>);

impl<K, V> Default for SortedMap<K, V> {
    fn default() -> Self {
        SortedMap(Vec::new())
    }
}

impl<K: Ord, V> SortedMap<K, V> {
    pub(crate) const fn new() -> Self {
        SortedMap(Vec::new())
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    fn place<Q: Ord + ?Sized>(&self, key: &Q) -> Result<usize, usize>
    where
        K: Borrow<Q>,
    {
        self.0.binary_search_by(|(other, _)| other.borrow().cmp(key))
    }

    pub(crate) fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.0.get(self.place(key).ok()?).map(|(_, value)| value)
    }

    pub(crate) fn contains<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.place(key).is_ok()
    }

    /// Puts it in; what was there under the same key is dropped.
    pub(crate) fn insert(&mut self, key: K, value: V) {
        match self.place(&key) {
            Ok(at) => self.0[at].1 = value,
            Err(at) => self.0.insert(at, (key, value)),
        }
    }

    pub(crate) fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let (_, value) = self.0.remove(self.place(key).ok()?);
        self.give_back();
        Some(value)
    }

    pub(crate) fn pop_first(&mut self) -> Option<(K, V)> {
        let first = (!self.0.is_empty()).then(|| self.0.remove(0));
        self.give_back();
        first
    }

    pub(crate) fn clear(&mut self) {
        self.0 = Vec::new();
    }

    /// Takes out all of them.
    pub(crate) fn take(&mut self) -> Vec<(K, V)> {
        core::mem::take(&mut self.0)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &(K, V)> {
        self.0.iter()
    }

    /// Whoever has nothing keeps nothing.
    fn give_back(&mut self) {
        if self.0.is_empty() {
            self.0 = Vec::new();
        }
    }
}

/// Puts an item where it belongs in a list in order, unless it is there.
pub(crate) fn put<T: Ord>(list: &mut Vec<T>, item: T) {
    if let Err(at) = list.binary_search(&item) {
        list.insert(at, item);
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_list_is_in_order_and_has_nothing_twice(items in proptest::collection::vec(0_u8..20, 0..40)) {
            let (mut list, mut wanted) = (Vec::new(), items.clone());
            items.into_iter().for_each(|item| put(&mut list, item));
            wanted.sort_unstable();
            wanted.dedup();
            prop_assert_eq!(list, wanted);
        }

        /// It is a map, as another one is.
        #[test]
        fn it_does_what_a_map_does(steps in proptest::collection::vec((0_u8..5, 0_u16..20, any::<u8>()), 0..200)) {
            let (mut map, mut model) = (SortedMap::new(), BTreeMap::new());
            for (step, key, value) in steps {
                match step {
                    0..3 => {
                        map.insert(key, value);
                        model.insert(key, value);
                    }
                    3 => prop_assert_eq!(map.remove(&key), model.remove(&key)),
                    _ => prop_assert_eq!(map.pop_first(), model.pop_first()),
                }
                prop_assert_eq!(map.get(&key), model.get(&key));
                prop_assert_eq!(map.contains(&key), model.contains_key(&key));
                prop_assert_eq!(map.len(), model.len());
                prop_assert!(map.iter().map(|(key, value)| (key, value)).eq(model.iter()));
                prop_assert!(map.len() > 0 || map.0.capacity() == 0);
            }
            prop_assert!(map.take().into_iter().eq(model));
        }
    }
}
