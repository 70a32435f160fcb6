//! Sessions that are over, as long as something may still be written to them, or is about to go elsewhere.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;

use balcony_jid::{BareJid, Jid};

use crate::SessionId;
use crate::outbox::Outbox;

/// One of them.
#[derive(Debug)]
pub(crate) struct Leaving {
    pub(crate) account: BareJid,
    /// Which of the accounts that have had this name.
    pub(crate) incarnation: u64,
    /// When that was made, as far as it is known.
    pub(crate) creation: Option<u64>,
    pub(crate) outbox: Outbox,
    /// Messages to the account wait for its fate, so that they come behind those that are in it.
    pub(crate) holds: bool,
    /// There are messages in it that go elsewhere if it does not get them.
    pub(crate) returns: bool,
    /// There is no such account any more, and if there is one of this name it is another: then who of the senders of its messages knew of it, and
    /// hears that they have not arrived.
    pub(crate) ended: Option<Arc<BTreeSet<Jid>>>,
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct LeavingSessions {
    sessions: BTreeMap<SessionId, Leaving>,
    by_account: BTreeSet<(BareJid, SessionId)>,
}

impl LeavingSessions {
    pub(crate) fn get(&self, session: SessionId) -> Option<&Leaving> {
        self.sessions.get(&session)
    }

    pub(crate) fn get_mut(&mut self, session: SessionId) -> Option<&mut Leaving> {
        self.sessions.get_mut(&session)
    }

    pub(crate) fn insert(&mut self, session: SessionId, left: Leaving) {
        self.by_account.insert((left.account.clone(), session));
        self.sessions.insert(session, left);
    }

    pub(crate) fn remove(&mut self, session: SessionId) -> Option<Leaving> {
        let left = self.sessions.remove(&session)?;
        self.by_account.remove(&(left.account.clone(), session));
        Some(left)
    }

    /// Those of the accounts that have had this name.
    pub(crate) fn of(&self, name: &BareJid) -> Vec<SessionId> {
        let (first, last) = (SessionId(0), SessionId(u64::MAX));
        let own = self.by_account.range((name.clone(), first)..=(name.clone(), last));
        own.map(|(_, session)| *session).collect()
    }
}
