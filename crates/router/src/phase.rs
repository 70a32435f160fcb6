//! Which phase of its life an account in memory is in, with what belongs to the phase: so there is no account that is open and not known,
//! and no change in doubt of one that is not to be loaded again.
//!
//! ```text
//!  Loading ──loaded──▶ Acting ◀──decides──▶ Open ──removal──▶ Removing ──durable──▶ (no more)
//!                        ▲                   │ ▲                 │
//!                        └─loaded─ Reloading ◀─┘ └───refused─────┘
//! ```

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::mem;

use crate::known::Known;
use crate::reload::Doubt;

/// What an account waits for. Until then everything that concerns it waits, too, so that order is kept.
#[derive(Debug)]
pub(crate) enum Phase {
    /// For what is kept of it, for the first time.
    Loading,
    /// This is known of it, and this is what it waits for.
    Loaded(Box<Known>, Stage),
}

/// What an account waits for of which something is known.
#[derive(Debug)]
pub(crate) enum Stage {
    /// For nothing.
    Open,
    /// For its own decisions to be carried out.
    Acting,
    /// For what is kept of it, once more: what is known may not be what the store has. Nobody has been told of these changes of its
    /// roster.
    Reloading(Box<Doubts>),
    /// For its end. If it does not end, and there are such changes, it is to be loaded again.
    Removing(Option<Box<Doubts>>),
}

/// Changes of a roster of which nobody has been told.
#[derive(Debug, Default)]
pub(crate) struct Doubts(Vec<Doubt>);

/// What is known of an account and may not be what the store has.
#[derive(Debug)]
pub(crate) struct Outdated {
    pub(crate) known: Box<Known>,
    /// Changes of its roster of which nobody has been told.
    pub(crate) doubts: Vec<Doubt>,
}

impl Phase {
    /// What is known of it, if it has been loaded.
    pub(crate) fn known(&self) -> Option<&Known> {
        if let Phase::Loaded(known, _) = self { Some(known) } else { None }
    }

    pub(crate) fn known_mut(&mut self) -> Option<&mut Known> {
        if let Phase::Loaded(known, _) = self { Some(known) } else { None }
    }

    pub(crate) fn into_known(self) -> Option<Box<Known>> {
        if let Phase::Loaded(known, _) = self { Some(known) } else { None }
    }

    pub(crate) const fn is_open(&self) -> bool {
        matches!(self, Phase::Loaded(_, Stage::Open))
    }

    /// Whether it carries out its own decisions.
    pub(crate) const fn is_acting(&self) -> bool {
        matches!(self, Phase::Loaded(_, Stage::Acting))
    }

    /// Whether it waits for what is kept of it.
    pub(crate) const fn is_loading(&self) -> bool {
        matches!(self, Phase::Loading | Phase::Loaded(_, Stage::Reloading(_)))
    }

    /// This is kept of it. It acts upon that before it is open. What was known before, if it was
    /// loaded before.
    pub(crate) fn loaded(&mut self, known: Box<Known>) -> Option<Outdated> {
        match mem::replace(self, Phase::Loaded(known, Stage::Acting)) {
            Phase::Loading => None,
            Phase::Loaded(known, Stage::Reloading(doubts)) => Some(Outdated { known, doubts: doubts.0 }),
            Phase::Loaded(known, _) => Some(Outdated { known, doubts: Vec::new() }),
        }
    }

    /// It begins to carry out what it has decided. `false` if it does so already, or is not open and takes nothing anyway.
    pub(crate) fn begin_acting(&mut self) -> bool {
        let Phase::Loaded(_, stage @ Stage::Open) = self else { return false };
        *stage = Stage::Acting;
        true
    }

    /// It has done so, and is open if it is not to end.
    pub(crate) fn end_acting(&mut self) {
        if let Phase::Loaded(_, stage @ Stage::Acting) = self {
            *stage = Stage::Open;
        }
    }

    /// What is known may not be what the store has, and this change may not be there. Whether the store has to be asked now: otherwise it
    /// has been, or will be when the account does not end.
    pub(crate) fn reload(&mut self, doubt: Option<Doubt>) -> bool {
        let Phase::Loaded(_, stage) = self else { return false };
        match stage {
            Stage::Open | Stage::Acting => {
                *stage = Stage::Reloading(Box::new(Doubts(doubt.into_iter().collect())));
                return true;
            }
            Stage::Reloading(doubts) => doubts.0.extend(doubt),
            Stage::Removing(doubts) => doubts.get_or_insert_default().0.extend(doubt),
        }
        false
    }

    /// Its end is on its way to the store.
    pub(crate) fn remove(&mut self) {
        let Phase::Loaded(_, stage) = self else { return };
        *stage = match mem::replace(stage, Stage::Open) {
            Stage::Open | Stage::Acting => Stage::Removing(None),
            Stage::Reloading(doubts) => Stage::Removing(Some(doubts)),
            Stage::Removing(doubts) => Stage::Removing(doubts),
        };
    }

    /// It does not end after all. Whether the store has to be asked for it now.
    pub(crate) fn keep(&mut self) -> bool {
        let Phase::Loaded(_, stage) = self else { return false };
        match mem::replace(stage, Stage::Open) {
            Stage::Removing(None) => return false,
            Stage::Removing(Some(doubts)) => *stage = Stage::Reloading(doubts),
            other => {
                *stage = other;
                return false;
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::Shared;
    use crate::{Config, Kept};
    use balcony_jid::BareJid;
    use balcony_machine::Instant;
    use balcony_roster::Version;
    use std::vec;

    fn known() -> Box<Known> {
        let owner = BareJid::parse("juliet@example.com").unwrap();
        let shared = Shared::new(Config::new(vec![]));
        Known::new(owner, Kept::default(), &shared, Instant::ZERO, Version(0)).unwrap()
    }

    fn doubt(known: &Known) -> Option<Doubt> {
        Some(Doubt::new(&known.roster, BareJid::parse("romeo@example.net").unwrap(), vec![], 0))
    }

    // What is in doubt is not forgotten on the way, and asked about once.
    #[test]
    fn doubts_outlive_a_removal_that_fails() {
        let mut phase = Phase::Loading;
        assert!(phase.is_loading() && phase.known().is_none());
        // The first load is under way, and nothing to be removed yet.
        assert!(!phase.reload(None));
        phase.remove();
        assert!(phase.is_loading());
        assert!(phase.loaded(known()).is_none());
        assert!(!phase.begin_acting(), "it does so when it has been loaded");
        phase.end_acting();
        assert!(phase.is_open());

        let known = known();
        assert!(phase.reload(doubt(&known)));
        assert!(!phase.reload(doubt(&known)) && phase.is_loading() && phase.known().is_some());
        phase.remove();
        assert!(!phase.reload(doubt(&known)) && !phase.is_loading());
        assert!(phase.keep() && phase.is_loading());
        assert_eq!(phase.loaded(known).unwrap().doubts.len(), 3);
    }

    // An account that is about to end does not open because it has done what it had decided.
    #[test]
    fn an_account_that_ends_stays_closed() {
        let mut phase = Phase::Loaded(known(), Stage::Open);
        assert!(phase.begin_acting());
        assert!(!phase.begin_acting());
        phase.remove();
        phase.end_acting();
        assert!(!phase.is_open());
        assert!(!phase.keep() && phase.is_open());
    }
}
