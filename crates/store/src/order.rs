//! Which changes of each account, or other owner, are under way, so that nothing that was asked later is read before they are over.

use alloc::collections::{BTreeMap, VecDeque};

use crate::Owner;

/// A change that is under way. Later ones have higher numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket(u64);

/// What a change has to do with. Each of these is more than the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Touches {
    /// What is kept of an account.
    Kept,
    /// Documents, and so what is kept.
    Documents,
    /// Whether there is the account and what its password is checked against, and so all of it.
    All,
}

/// See the [module](self).
#[derive(Debug, Default)]
pub(crate) struct Order {
    owners: BTreeMap<Owner, Pending>,
    last: u64,
}

/// In their order; not all are empty.
#[derive(Debug, Default)]
struct Pending {
    any: VecDeque<Ticket>,
    /// Those of them that touch documents.
    documents: VecDeque<Ticket>,
    /// Those of these that touch all.
    all: VecDeque<Ticket>,
}

impl Pending {
    const fn of(&self, touches: Touches) -> &VecDeque<Ticket> {
        match touches {
            Touches::Kept => &self.any,
            Touches::Documents => &self.documents,
            Touches::All => &self.all,
        }
    }
}

impl Order {
    /// A change begins, behind all that have begun.
    pub(crate) fn begin(&mut self, owner: &Owner, touches: Touches) -> Ticket {
        self.last += 1;
        let ticket = Ticket(self.last);
        let pending = self.owners.entry(owner.clone()).or_default();
        pending.any.push_back(ticket);
        if touches != Touches::Kept {
            pending.documents.push_back(ticket);
        }
        if touches == Touches::All {
            pending.all.push_back(ticket);
        }
        ticket
    }

    /// A change is over: it is there for whoever reads, or will never be.
    pub(crate) fn end(&mut self, owner: &Owner, ticket: Ticket) {
        let Some(pending) = self.owners.get_mut(owner) else { return };
        for list in [&mut pending.any, &mut pending.documents, &mut pending.all] {
            // It is the first, but for a change that was given up.
            if let Some(place) = list.iter().position(|other| *other == ticket) {
                list.remove(place);
            }
        }
        if pending.any.is_empty() {
            self.owners.remove(owner);
        }
    }

    /// The last change under way that whoever reads this now has to wait for.
    pub(crate) fn last(&self, owner: &Owner, touches: Touches) -> Option<Ticket> {
        self.owners.get(owner)?.of(touches).back().copied()
    }

    /// Whether that change, and all before it, are over.
    pub(crate) fn is_over(&self, owner: &Owner, touches: Touches, last: Option<Ticket>) -> bool {
        let first = self.owners.get(owner).and_then(|pending| pending.of(touches).front());
        first.is_none_or(|first| Some(*first) > last)
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.owners.is_empty()
    }
}
