//! What is kept of an account, in memory.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::time::Duration;

use balcony_jid::BareJid;
use balcony_machine::Instant;
use balcony_roster::{Roster, Version};
use balcony_stanza::Stanza;

use crate::extension::{Damaged, Slots};
use crate::shared::Shared;
use crate::{Kept, LastSeen};

/// What is kept of an account, in memory.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) roster: Roster,
    /// The number with which the account was made.
    pub(crate) creation: u64,
    /// What extensions know of it.
    pub(crate) slots: Slots,
    /// The end of the latest presence, until there is presence again.
    pub(crate) last: Option<LastSeen>,
    /// When it was loaded, and what time that was by the clock of whoever keeps it.
    loaded: (Instant, u64),
}

impl Known {
    /// `fresh` is the version of a roster that was never changed.
    pub(crate) fn new(
        owner: BareJid,
        kept: Kept,
        shared: &Shared,
        now: Instant,
        fresh: Version,
    ) -> Result<Box<Self>, Damaged> {
        let config = shared.config.roster;
        let roster = match kept.roster {
            Some(parts) => Roster::from_parts(owner, parts, config),
            None => Roster::new(owner, fresh, config),
        };
        let slots = shared.tables().load(&kept.documents)?;
        let (creation, last, loaded) = (kept.creation, kept.last, (now, kept.now));
        Ok(Box::new(Known { roster, creation, slots, last, loaded }))
    }

    /// The latest presence has ended just now.
    pub(crate) fn left(&mut self, now: Instant, presence: Arc<Stanza>) {
        let (at, clock) = self.loaded;
        let since = u64::try_from(now.saturating_since(at).as_millis()).unwrap_or(u64::MAX);
        self.last = Some(LastSeen { at: clock.saturating_add(since), presence });
    }

    /// How the latest presence has ended, and how long ago.
    pub(crate) fn last_seen(&self, now: Instant) -> Option<(Duration, &LastSeen)> {
        let last = self.last.as_ref()?;
        let (at, clock) = self.loaded;
        // All by the clock of whoever keeps it.
        let now = Duration::from_millis(clock) + now.saturating_since(at);
        Some((now.saturating_sub(Duration::from_millis(last.at)), last))
    }
}
