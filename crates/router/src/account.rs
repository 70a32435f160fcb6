use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::vec::Vec;

use balcony_jid::{FullJid, Jid};
use balcony_stanza::Stanza;
use smallvec::SmallVec;

use crate::SessionId;

/// The bound resources of one account, in the order in which they bound.
#[derive(Debug, Default)]
pub(crate) struct Account {
    resources: Vec<Resource>,
    /// Who gets a message to the bare JID: the available resources that share the highest priority, unless that is
    /// negative. It changes with presence, which is rare, and is read for each message.
    most_available: SmallVec<[SessionId; 2]>,
}

/// A connected resource.
#[derive(Debug)]
pub(crate) struct Resource {
    pub(crate) session: SessionId,
    pub(crate) jid: FullJid,
    /// There if the resource is available. Only [`Account`] changes it.
    presence: Option<Presence>,
    /// Who has received directed presence and has not been told of its end (RFC 6121 section 4.6.3).
    pub(crate) directed: BTreeSet<Jid>,
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

    pub(crate) fn into_resources(self) -> Vec<Resource> {
        self.resources
    }

    pub(crate) fn by_name(&self, resource: &str) -> Option<&Resource> {
        self.resources.iter().find(|r| r.jid.resourcepart() == resource)
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

    /// Those that get any other message to the bare JID.
    pub(crate) fn most_available(&self) -> &[SessionId] {
        &self.most_available
    }

    /// Those that get presence: the one of this name, or all that are available.
    pub(crate) fn observers(&mut self, resource: Option<&str>) -> impl Iterator<Item = &mut Resource> {
        self.resources.iter_mut().filter(move |r| match resource {
            Some(name) => r.jid.resourcepart() == name,
            None => r.presence.is_some(),
        })
    }

    pub(crate) fn bind(&mut self, session: SessionId, jid: FullJid) {
        self.resources.push(Resource { session, jid, presence: None, directed: BTreeSet::new() });
    }

    pub(crate) fn unbind(&mut self, session: SessionId) -> Option<Resource> {
        let index = self.resources.iter().position(|r| r.session == session)?;
        let resource = self.resources.remove(index);
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
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use balcony_stanza::PresenceType;
    use proptest::prelude::*;

    proptest! {
        // RFC 6121 §8.5.2.1.1 [D4b]: the set that is kept is the set that counting anew gives.
        #[test]
        fn most_available_is_kept(steps in prop::collection::vec((0..6_u64, prop::option::of(-2..3_i8), any::<bool>()), 1..60)) {
            let mut account = Account::default();
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
            }
        }
    }
}
