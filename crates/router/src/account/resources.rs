//! The connected resources of an account, and who of them gets its messages.

use alloc::sync::Arc;
use alloc::vec::Vec;

use balcony_jid::{FullJid, Jid};
use balcony_stanza::Stanza;

use super::Account;
use crate::SessionId;
use crate::directed::Directed;
use crate::extension::Slots;
use crate::text::Text;

/// So many resources have marks. Few accounts have more.
pub(super) const MARKED: usize = 7;

/// A connected resource. In the order in which it lies in memory: every message to it looks at what comes first, which is in one line of the
/// processor's cache, with the bytes behind the name: a comparison reads 32 at once, however few it compares.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct Resource {
    pub(crate) session: SessionId,
    /// The resourcepart of its address.
    name: Text<22>,
    pub(crate) jid: FullJid,
    /// There if the resource is available. Only [`Account`] changes it.
    presence: Option<Presence>,
    /// Who has received directed presence and has not been told of its end (RFC 6121 section 4.6.3).
    pub(crate) directed: Directed,
    /// Whether it has asked for the roster, and so gets pushes (RFC 6121 section 2.2).
    pub(crate) interested: bool,
    /// Whether it has a connection; otherwise it waits for its client (XEP-0198).
    pub(crate) is_connected: bool,
    /// What extensions know of it. After a change call [`Account::count_slots`].
    slots: Slots,
}

/// What an available resource has last broadcast.
#[derive(Debug)]
pub(crate) struct Presence {
    pub(crate) stanza: Arc<Stanza>,
    pub(crate) priority: i8,
}

impl Resource {
    pub(crate) fn presence(&self) -> Option<&Presence> {
        self.presence.as_ref()
    }

    pub(crate) const fn slots(&self) -> &Slots {
        &self.slots
    }

    pub(crate) fn slots_mut(&mut self) -> &mut Slots {
        &mut self.slots
    }

    /// Whether messages to the bare JID may come here.
    fn is_receptive(&self) -> bool {
        self.presence.as_ref().is_some_and(|presence| presence.priority >= 0)
    }

    /// Whether the resource has let `entity` see its presence, as the full or as the bare JID.
    pub(crate) fn has_directed_to(&self, entity: &Jid) -> bool {
        !self.directed.is_empty()
            && (self.directed.contains(entity) || self.directed.contains(&entity.to_bare().to_jid()))
    }
}

impl Account {
    pub(crate) fn resources(&self) -> &[Resource] {
        &self.resources
    }

    /// All of them, to be changed.
    pub(crate) fn all(&mut self) -> &mut [Resource] {
        &mut self.resources
    }

    pub(crate) fn take_resources(&mut self) -> Vec<Resource> {
        core::mem::take(&mut self.resources).into_vec()
    }

    pub(crate) fn by_name(&self, resource: &str) -> Option<&Resource> {
        self.by_mark(mark(resource)).find(|r| r.name.is(resource))
    }

    /// Those whose names may have this [mark]: mostly one.
    pub(crate) fn by_mark(&self, mark: u8) -> impl Iterator<Item = &Resource> {
        let has_it = move |own: Option<&u8>| own.is_none_or(|own| *own == mark);
        self.resources
            .iter()
            .enumerate()
            .filter(move |(place, _)| has_it(self.marks.get(*place)))
            .map(|(_, resource)| resource)
    }

    /// The marks are those of the names.
    fn mark_all(&mut self) {
        for (own, resource) in self.marks.iter_mut().zip(&self.resources) {
            *own = mark(resource.jid.resourcepart());
        }
    }

    pub(crate) fn by_session(&mut self, session: SessionId) -> Option<&mut Resource> {
        self.resources.iter_mut().find(|r| r.session == session)
    }

    /// Those that have broadcast presence, whatever their priority.
    pub(crate) fn available(&self) -> impl Iterator<Item = &Resource> {
        self.resources.iter().filter(|r| r.presence.is_some())
    }

    /// Those that get a headline to the bare JID.
    pub(crate) fn receptive(&self) -> impl Iterator<Item = SessionId> {
        self.resources.iter().filter(|r| r.is_receptive()).map(|r| r.session)
    }

    /// Something of the second of the two lines of the processor's cache that a message reads of the account.
    pub(crate) fn glance(&self) -> u64 {
        self.resources.len() as u64
    }

    /// Those that get any other message to the bare JID.
    pub(crate) fn most_available(&self) -> &[SessionId] {
        &self.most_available
    }

    /// Whether it is a session of the account that has a connection.
    pub(crate) fn is_connected(&self, session: SessionId) -> bool {
        self.resources.iter().any(|own| own.session == session && own.is_connected)
    }

    /// Those that get presence: the one of this name, or all that are available.
    pub(crate) fn observers(&mut self, resource: Option<&str>) -> impl Iterator<Item = &mut Resource> {
        self.resources.iter_mut().filter(move |r| match resource {
            Some(name) => r.jid.resourcepart() == name,
            None => r.presence.is_some(),
        })
    }

    pub(crate) fn bind(&mut self, session: SessionId, jid: FullJid) {
        let mut resources = self.take_resources();
        // Mostly it is the only one.
        resources.reserve_exact(1);
        resources.push(Resource {
            session,
            name: Text::new(jid.resourcepart()),
            jid,
            presence: None,
            directed: Directed::default(),
            interested: false,
            is_connected: true,
            slots: Slots::default(),
        });
        self.resources = resources.into_boxed_slice();
        self.mark_all();
    }

    pub(crate) fn unbind(&mut self, session: SessionId) -> Option<Resource> {
        let index = self.resources.iter().position(|r| r.session == session)?;
        let mut resources = self.take_resources();
        let resource = resources.remove(index);
        self.resources = resources.into_boxed_slice();
        self.mark_all();
        self.count_slots();
        self.rank();
        Some(resource)
    }

    /// Gives the session this presence, or none; returns what it had.
    pub(crate) fn set_presence(
        &mut self,
        session: SessionId,
        presence: Option<Presence>,
    ) -> Option<Presence> {
        let resource = self.resources.iter_mut().find(|r| r.session == session)?;
        let before = core::mem::replace(&mut resource.presence, presence);
        self.rank();
        before
    }

    fn rank(&mut self) {
        self.most_available.clear();
        let receptive = || self.resources.iter().filter(|r| r.is_receptive());
        let priority = |r: &Resource| r.presence.as_ref().map(|presence| presence.priority);
        let top = receptive().map(priority).max();
        self.most_available.extend(receptive().filter(|r| Some(priority(r)) == top).map(|r| r.session));
        // It lies in the account, where a message reads it, if these are few now and were more.
        self.most_available.shrink_to_fit();
    }
}

/// By what the name of a resource is told from most others: its length, beginning and end. Of those that have the same mark the names are
/// compared.
pub(crate) fn mark(name: &str) -> u8 {
    let bytes = name.as_bytes();
    let number = |part: &[u8]| part.iter().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
    let (first, last) = (&bytes[..bytes.len().min(8)], &bytes[bytes.len().saturating_sub(8)..]);
    let all = number(first) ^ number(last).rotate_left(29) ^ (bytes.len() as u64).rotate_left(54);
    // The bits above depend on all of them.
    (all.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8
}

#[cfg(test)]
mod tests {
    use balcony_stanza::{PresenceType, Stanza};
    use proptest::prelude::*;

    use super::*;

    proptest! {
        // RFC 6121 §8.5.2.1.1 [D4b]: the set that is kept is the set that counting anew gives.
        #[test]
        fn most_available_is_kept(steps in prop::collection::vec((0..6_u64, prop::option::of(-2..3_i8), any::<bool>()), 1..60)) {
            let mut account = Account::loading(0);
            for (number, priority, stays) in steps {
                let session = SessionId(number);
                if account.by_session(session).is_none() {
                    account.bind(session, FullJid::parse(&std::format!("a@b/{number}")).unwrap());
                }
                let stanza = Arc::new(Stanza::presence(PresenceType::Available));
                account.set_presence(session, priority.map(|priority| Presence { stanza, priority }));
                if !stays {
                    account.unbind(session);
                }
                let priority = |r: &Resource| r.presence().map_or(-1, |presence| presence.priority);
                let top = account.resources().iter().map(priority).max().unwrap_or(-1).max(0);
                let anew: Vec<_> =
                    account.resources().iter().filter(|r| priority(r) == top).map(|r| r.session).collect();
                prop_assert_eq!(account.most_available(), &anew[..]);
                prop_assert_eq!(account.most_available.spilled(), anew.len() > 2);
                for number in 0..6 {
                    let found = account.by_name(&std::format!("{number}")).map(|r| r.session);
                    let is_there = account.resources().iter().any(|r| r.session == SessionId(number));
                    prop_assert_eq!(found, is_there.then_some(SessionId(number)));
                }
            }
        }
    }
}
