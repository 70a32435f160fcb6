//! Whom a resource has sent directed presence to (RFC 6121 section 4.6).

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use balcony_jid::Jid;

/// The entities that have received directed presence of a resource and have not been told of its end.
#[derive(Debug, Default)]
pub(crate) struct Directed {
    entities: BTreeSet<Jid>,
    bytes: usize,
}

impl Directed {
    /// What an entity costs beside its address.
    const ENTRY: usize = 64;

    pub(crate) fn is_empty(&self) -> bool {
        self.entities.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Jid> {
        self.entities.iter()
    }

    pub(crate) fn len(&self) -> usize {
        self.entities.len()
    }

    /// How much memory they take, about.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// What one more would take.
    pub(crate) fn cost(entity: &Jid) -> usize {
        entity.as_str().len() + Directed::ENTRY
    }

    pub(crate) fn contains(&self, entity: &Jid) -> bool {
        self.entities.contains(entity)
    }

    pub(crate) fn insert(&mut self, entity: Jid) {
        let cost = Directed::cost(&entity);
        if self.entities.insert(entity) {
            self.bytes += cost;
        }
    }

    /// Whether it was one of them.
    pub(crate) fn remove(&mut self, entity: &Jid) -> bool {
        let was_there = !self.entities.is_empty() && self.entities.remove(entity);
        if was_there {
            self.bytes -= Directed::cost(entity);
        }
        was_there
    }

    /// Takes out those of them that `is_meant`.
    pub(crate) fn take_if(&mut self, is_meant: &dyn Fn(&Jid) -> bool) -> Vec<Jid> {
        let taken: Vec<Jid> = self.entities.extract_if(.., |entity| is_meant(entity)).collect();
        self.bytes -= taken.iter().map(Directed::cost).sum::<usize>();
        taken
    }
}

impl IntoIterator for Directed {
    type Item = Jid;
    type IntoIter = alloc::collections::btree_set::IntoIter<Jid>;

    fn into_iter(self) -> Self::IntoIter {
        self.entities.into_iter()
    }
}
