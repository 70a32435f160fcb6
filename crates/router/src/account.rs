use alloc::boxed::Box;
use alloc::collections::{BTreeSet, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;

use balcony_jid::{FullJid, Jid};
use balcony_stanza::{Kind, PresenceType, Stanza};
use smallvec::SmallVec;

use crate::SessionId;
use crate::flow::{Saving, Waiting};
use crate::known::Known;
use crate::offline::Backlog;

/// An account that has bound resources, in the order in which they bound, or for which something waits.
#[derive(Debug)]
pub(crate) struct Account {
    resources: Vec<Resource>,
    /// Who gets a message to the bare JID: the available resources that share the highest priority, unless that is
    /// negative. It changes with presence, which is rare, and is read for each message.
    most_available: SmallVec<[SessionId; 2]>,
    /// How many resources want copies of the others' messages (XEP-0280).
    copied: usize,
    pub(crate) phase: Phase,
    /// There once it has been loaded.
    pub(crate) known: Option<Box<Known>>,
    /// What waits for the phase to be `Open`, or behind messages that are being stored; otherwise it is empty.
    pub(crate) queue: VecDeque<Waiting>,
    pub(crate) backlog: Backlog,
    /// Asks under way that the phase does not name.
    pub(crate) asks: usize,
    /// The owner wants it to be removed, before it takes anything else.
    pub(crate) removing: bool,
}

/// What an account waits for. Until then everything that concerns it waits, too, so that order is kept.
#[derive(Debug)]
pub(crate) enum Phase {
    /// For what is kept of it.
    Loading,
    /// For nothing. The account is known.
    Open,
    /// For its own decisions to be carried out.
    Acting,
    /// For a change to be durable.
    Saving(Box<Saving>),
    /// For the messages that have come while nobody was there; if they have not been asked for, for the last of them to be
    /// stored first.
    Fetching { asked: bool },
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
    /// Whether it has asked for the roster, and so gets pushes (RFC 6121 section 2.2).
    pub(crate) interested: bool,
    /// Whether it has asked for the list of the blocked, and so gets pushes (XEP-0191 section 3.2).
    pub(crate) sees_blocks: bool,
    /// Whether it wants copies of the others' messages. Only [`Account`] changes it.
    carbons: bool,
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
    pub(crate) fn loading() -> Self {
        Account {
            resources: Vec::new(),
            most_available: SmallVec::new(),
            copied: 0,
            phase: Phase::Loading,
            known: None,
            queue: VecDeque::new(),
            backlog: Backlog::default(),
            asks: 0,
            removing: false,
        }
    }

    /// What is known of it, if nothing has to wait.
    pub(crate) fn open(&self) -> Option<&Known> {
        match self.phase {
            Phase::Open if self.queue.is_empty() => self.known.as_deref(),
            _ => None,
        }
    }

    /// What is known of it, if a stanza that is addressed to it has its turn. What it sends to itself has waited before.
    pub(crate) fn taking(&self, stanza: &Stanza) -> Option<&Known> {
        match self.phase {
            Phase::Open if self.queue.is_empty() || is_to_itself(stanza) => self.known.as_deref(),
            _ => None,
        }
    }

    /// Whether the messages of its sessions need no look at it.
    pub(crate) fn is_plain(&self) -> bool {
        self.copied == 0 && self.open().is_some_and(|known| known.blocked.is_empty())
    }

    /// Whether the user has blocked the sender.
    pub(crate) fn blocks(&self, stanza: &Stanza) -> bool {
        let from = stanza.head.from.as_ref();
        self.known.as_ref().is_some_and(|known| from.is_some_and(|from| known.blocks(from)))
    }

    /// Whether it is known, and the stanza is a probe of somebody who may see nothing of it. Those whom the user has blocked are
    /// no different, or they would find that out; but who is subscribed is blocked silently, and stays subscribed.
    pub(crate) fn is_probed_by_stranger(&self, stanza: &Stanza) -> bool {
        let (Some(known), Some(from)) = (self.known.as_deref(), &stanza.head.from) else { return false };
        stanza.head.kind == Kind::Presence(PresenceType::Probe)
            && from.bare_str() != known.roster.owner().as_str()
            && !known.roster.is_subscriber(&from.to_bare())
            && (known.blocks(from) || self.shown_to(from, stanza).next().is_none())
    }

    /// Whether it is not known yet, and the stanza a probe of somebody else.
    pub(crate) fn may_deny(&self, stanza: &Stanza) -> bool {
        self.known.is_none()
            && stanza.head.kind == Kind::Presence(PresenceType::Probe)
            && !is_to_itself(stanza)
    }

    /// The resources that show themselves to the sender of a stanza, among those that it is addressed to, by directed
    /// presence.
    pub(crate) fn shown_to<'a>(
        &'a self,
        entity: &'a Jid,
        stanza: &'a Stanza,
    ) -> impl Iterator<Item = &'a Resource> {
        let name = stanza.head.to.as_ref().and_then(|to| to.resourcepart());
        self.resources.iter().filter(move |resource| {
            name.is_none_or(|name| name == resource.jid.resourcepart()) && resource.has_directed_to(entity)
        })
    }

    /// Whether nothing would be lost if it were forgotten.
    pub(crate) fn is_idle(&self) -> bool {
        self.resources.is_empty()
            && self.asks == 0
            && self.backlog.delivering.is_none()
            && self.open().is_some()
    }

    pub(crate) fn resources(&self) -> &[Resource] {
        &self.resources
    }

    /// All of them, to be changed.
    pub(crate) fn all(&mut self) -> &mut [Resource] {
        &mut self.resources
    }

    pub(crate) fn take_resources(&mut self) -> Vec<Resource> {
        core::mem::take(&mut self.resources)
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

    /// Those of them that get it now: none, if older ones have to be delivered first.
    pub(crate) fn takers(&self) -> &[SessionId] {
        if self.backlog.goes_first() { &[] } else { &self.most_available }
    }

    /// Those that get copies of messages.
    pub(crate) fn copied(&self) -> impl Iterator<Item = &Resource> {
        let all = if self.copied == 0 { &[] } else { &self.resources[..] };
        all.iter().filter(|r| r.carbons)
    }

    /// Those that get presence: the one of this name, or all that are available.
    pub(crate) fn observers(&mut self, resource: Option<&str>) -> impl Iterator<Item = &mut Resource> {
        self.resources.iter_mut().filter(move |r| match resource {
            Some(name) => r.jid.resourcepart() == name,
            None => r.presence.is_some(),
        })
    }

    pub(crate) fn bind(&mut self, session: SessionId, jid: FullJid) {
        self.resources.push(Resource {
            session,
            jid,
            presence: None,
            directed: BTreeSet::new(),
            interested: false,
            sees_blocks: false,
            carbons: false,
        });
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

    pub(crate) fn set_carbons(&mut self, session: SessionId, carbons: bool) {
        if let Some(resource) = self.by_session(session) {
            resource.carbons = carbons;
            self.rank();
        }
    }

    fn rank(&mut self) {
        self.most_available.clear();
        let receptive = || self.resources.iter().filter(|r| r.is_receptive());
        let priority = |r: &Resource| r.presence.as_ref().map(|presence| presence.priority);
        let top = receptive().map(priority).max();
        self.most_available.extend(receptive().filter(|r| Some(priority(r)) == top).map(|r| r.session));
        self.copied = self.resources.iter().filter(|r| r.carbons).count();
    }
}

/// Whether an account sends it to itself.
pub(crate) fn is_to_itself(stanza: &Stanza) -> bool {
    stanza.head.from.as_ref().zip(stanza.head.to.as_ref()).is_some_and(|(from, to)| from.same_bare(to))
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
            let mut account = Account::loading();
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
