use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use balcony_jid::{BareJid, Jid};
use balcony_roster::{Roster, Version};

use crate::{Kept, LastSeen};

/// What is kept of an account, in memory.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) roster: Roster,
    pub(crate) blocked: Blocked,
    /// The end of the latest presence, until there is presence again.
    pub(crate) last: Option<LastSeen>,
}

impl Known {
    /// `fresh` is the version of a roster that was never changed.
    pub(crate) fn new(
        owner: BareJid,
        kept: Kept,
        config: balcony_roster::Config,
        fresh: Version,
    ) -> Box<Self> {
        let roster = match kept.roster {
            Some(parts) => Roster::from_parts(owner, parts, config),
            None => Roster::new(owner, fresh, config),
        };
        let mut blocked = Blocked::default();
        blocked.extend(&kept.blocked);
        Box::new(Known { roster, blocked, last: kept.last })
    }

    /// Whether nothing passes between the user and this entity. The user's own resources can't be blocked.
    pub(crate) fn blocks(&self, entity: &Jid) -> bool {
        self.blocked.holds(entity) && entity.bare_str() != self.roster.owner().as_str()
    }

    /// Who sees the user's presence when it is broadcast.
    pub(crate) fn audience(&self) -> Vec<BareJid> {
        let subscribers = self.roster.subscribers();
        subscribers.filter(|contact| !self.blocks(&contact.to_jid())).cloned().collect()
    }
}

/// Whom a user has blocked (XEP-0191).
#[derive(Debug, Default)]
pub(crate) struct Blocked(BTreeSet<Box<str>>);

impl Blocked {
    /// Whether one of the addresses is that of the entity, or includes it: a bare JID includes its resources, a domain all
    /// of its addresses (XEP-0016 section 2.1).
    pub(crate) fn holds(&self, entity: &Jid) -> bool {
        !self.0.is_empty()
            && [entity.as_str(), entity.bare_str(), entity.domainpart()]
                .iter()
                .any(|jid| self.0.contains(*jid))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|jid| &**jid)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there would be with these.
    pub(crate) fn len_with(&self, more: &[Jid]) -> usize {
        self.0.len() + more.iter().filter(|jid| !self.0.contains(jid.as_str())).count()
    }

    pub(crate) fn extend(&mut self, more: &[Jid]) {
        self.0.extend(more.iter().map(|jid| Box::from(jid.as_str())));
    }

    pub(crate) fn remove(&mut self, fewer: &[Jid]) {
        for jid in fewer {
            self.0.remove(jid.as_str());
        }
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}
