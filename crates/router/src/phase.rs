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
    /// For nothing.
    Open(Box<Known>),
    /// For its own decisions to be carried out.
    Acting(Box<Known>),
    /// For what is kept of it, once more: what is known may not be what the store has.
    Reloading(Outdated),
    /// For its end.
    Removing {
        known: Box<Known>,
        /// If it does not end, it is to be loaded again, with these changes in doubt.
        stale: Option<Vec<Doubt>>,
    },
}

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
        match self {
            Phase::Loading => None,
            Phase::Open(known)
            | Phase::Acting(known)
            | Phase::Reloading(Outdated { known, .. })
            | Phase::Removing { known, .. } => Some(known),
        }
    }

    pub(crate) fn known_mut(&mut self) -> Option<&mut Known> {
        match self {
            Phase::Loading => None,
            Phase::Open(known)
            | Phase::Acting(known)
            | Phase::Reloading(Outdated { known, .. })
            | Phase::Removing { known, .. } => Some(known),
        }
    }

    pub(crate) fn into_known(self) -> Option<Box<Known>> {
        match self {
            Phase::Loading => None,
            Phase::Open(known)
            | Phase::Acting(known)
            | Phase::Reloading(Outdated { known, .. })
            | Phase::Removing { known, .. } => Some(known),
        }
    }

    pub(crate) const fn is_open(&self) -> bool {
        matches!(self, Phase::Open(_))
    }

    /// Whether it waits for what is kept of it.
    pub(crate) const fn is_loading(&self) -> bool {
        matches!(self, Phase::Loading | Phase::Reloading(_))
    }

    /// This is kept of it. It acts upon that before it is open. What was known before, if it was
    /// loaded before.
    pub(crate) fn loaded(&mut self, known: Box<Known>) -> Option<Outdated> {
        match mem::replace(self, Phase::Acting(known)) {
            Phase::Reloading(before) => Some(before),
            before => before.into_known().map(|known| Outdated { known, doubts: Vec::new() }),
        }
    }

    /// It begins to carry out what it has decided. `false` if it does so already, or is not open and takes nothing anyway.
    pub(crate) fn begin_acting(&mut self) -> bool {
        self.step(|phase| match phase {
            Phase::Open(known) => (Phase::Acting(known), true),
            phase => (phase, false),
        })
    }

    /// It has done so, and is open if it is not to end.
    pub(crate) fn end_acting(&mut self) {
        self.step(|phase| match phase {
            Phase::Acting(known) => (Phase::Open(known), ()),
            phase => (phase, ()),
        });
    }

    /// What is known may not be what the store has, and this change may not be there. Whether the store has to be asked now: otherwise it
    /// has been, or will be when the account does not end.
    pub(crate) fn reload(&mut self, doubt: Option<Doubt>) -> bool {
        self.step(|phase| match phase {
            Phase::Loading => (Phase::Loading, false),
            Phase::Open(known) | Phase::Acting(known) => {
                (Phase::Reloading(Outdated { known, doubts: doubt.into_iter().collect() }), true)
            }
            Phase::Reloading(mut before) => {
                before.doubts.extend(doubt);
                (Phase::Reloading(before), false)
            }
            Phase::Removing { known, stale } => {
                let mut doubts = stale.unwrap_or_default();
                doubts.extend(doubt);
                (Phase::Removing { known, stale: Some(doubts) }, false)
            }
        })
    }

    /// Its end is on its way to the store.
    pub(crate) fn remove(&mut self) {
        self.step(|phase| match phase {
            Phase::Open(known) | Phase::Acting(known) => (Phase::Removing { known, stale: None }, ()),
            Phase::Reloading(Outdated { known, doubts }) => {
                (Phase::Removing { known, stale: Some(doubts) }, ())
            }
            phase @ (Phase::Loading | Phase::Removing { .. }) => (phase, ()),
        });
    }

    /// It does not end after all. Whether the store has to be asked for it now.
    pub(crate) fn keep(&mut self) -> bool {
        self.step(|phase| match phase {
            Phase::Removing { known, stale: None } => (Phase::Open(known), false),
            Phase::Removing { known, stale: Some(doubts) } => {
                (Phase::Reloading(Outdated { known, doubts }), true)
            }
            phase => (phase, false),
        })
    }

    fn step<T>(&mut self, step: impl FnOnce(Phase) -> (Phase, T)) -> T {
        let (phase, result) = step(mem::replace(self, Phase::Loading));
        *self = phase;
        result
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
        Some(Doubt::new(&known.roster, BareJid::parse("romeo@example.net").unwrap(), vec![]))
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
        let mut phase = Phase::Open(known());
        assert!(phase.begin_acting());
        assert!(!phase.begin_acting());
        phase.remove();
        phase.end_acting();
        assert!(!phase.is_open());
        assert!(!phase.keep() && phase.is_open());
    }
}
