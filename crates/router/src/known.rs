//! What is kept of an account, as it is in memory once it has been loaded: the roster, what extensions know, and the end of the
//! latest presence. What has been saved becomes visible here when it is durable (`commit.rs`).

use alloc::boxed::Box;
use core::time::Duration;

use balcony_jid::BareJid;
use balcony_machine::Instant;
use balcony_roster::{Roster, Version};

use crate::extension::Slots;
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
    /// `fresh` is the version of a roster that was never changed. Fails with the number of the extension whose documents are damaged.
    pub(crate) fn new(
        owner: BareJid,
        kept: Kept,
        shared: &Shared,
        now: Instant,
        fresh: Version,
    ) -> Result<Box<Self>, u8> {
        let config = shared.config.roster;
        let roster = match kept.roster {
            Some(parts) => Roster::from_parts(owner, parts, config),
            None => Roster::new(owner, fresh, config),
        };
        let slots = shared.tables().load(&kept.documents)?;
        let (creation, last, loaded) = (kept.creation, kept.last, (now, kept.now));
        Ok(Box::new(Known { roster, creation, slots, last, loaded }))
    }

    /// What time it is by the clock of whoever keeps the account, in milliseconds since the start of 1970 (UTC).
    pub(crate) fn clock(&self, now: Instant) -> u64 {
        let (at, clock) = self.loaded;
        let since = now.saturating_since(at).as_millis();
        clock.saturating_add(u64::try_from(since).unwrap_or(u64::MAX))
    }

    /// How the latest presence has ended, and how long ago.
    pub(crate) fn last_seen(&self, now: Instant) -> Option<(Duration, &LastSeen)> {
        let last = self.last.as_ref()?;
        Some((Duration::from_millis(self.clock(now).saturating_sub(last.at)), last))
    }
}
