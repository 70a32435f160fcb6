//! One account in memory: its connected resources and who of them gets its messages, what waits for it, and which phase of its
//! life it is in.
//!
//! It keeps these consistent, and says whether a stanza has to wait. What happens in an account is decided by the router's other
//! files.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use balcony_jid::{BareJid, Jid};
use balcony_stanza::{Kind, Payload, PresenceType, Stanza};
use smallvec::SmallVec;

use crate::asks::cost;
use crate::extension::{Slots, bit};
use crate::facts::Said;
use crate::known::Known;
use crate::phase::{Outdated, Phase, Stage};
use crate::replay::{Backlog, Wanted};
use crate::shared::Shared;
use crate::undelivered::{Deletions, Obsolete, Unwritten};
use crate::{Change, SessionId};

mod pending;
mod resources;

pub(crate) use pending::Earlier;
use pending::Pending;
use resources::MARKED;
pub(crate) use resources::{Presence, Resource, mark};

/// An account that has bound resources, or for which something waits.
///
/// In the order in which it lies in memory: what is read for every message comes first, and is in two lines of the processor's cache.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Account {
    /// The extensions that know something of the account or of one of its resources, a bit each.
    slot_bits: u64,
    /// What waits in it, and what for. Mostly nothing does.
    pending: Option<Box<Pending>>,
    /// Its stored messages.
    pub(crate) wanted: Wanted,
    /// The [marks](mark) of the names of the first of its resources, by which they are found: to compare all names would be to read each
    /// from where it lies.
    marks: [u8; MARKED],
    pub(crate) phase: Phase,
    /// Who gets a message to the bare JID: the available resources that share the highest priority, unless that is
    /// negative. It changes with presence, which is rare, and is read for each message.
    most_available: SmallVec<[SessionId; 2]>,
    /// In the order in which they bound.
    resources: Box<[Resource]>,
    pub(crate) backlog: Backlog,
    /// Distinguishes the accounts that have had the same name.
    pub(crate) incarnation: u64,
    /// Changes on their way to the store that become visible when they are durable.
    pub(crate) commits: usize,
    /// Those of them that everything waits for that the account sends.
    pub(crate) gates: usize,
    /// Sessions that are over, and have messages in their queues that go elsewhere if they don't get them.
    pub(crate) ending: usize,
    /// Those of them that get nothing more, and wait for the others.
    pub(crate) gone: BTreeSet<SessionId>,
    /// Asks under way that are neither commits nor named by the phase.
    pub(crate) asks: usize,
    /// The end of its latest presence.
    pub(crate) note: Note,
    /// Who was the last of those that were asked again for what they have not answered.
    pub(crate) asked_again: Option<BareJid>,
    /// The owner wants it to be removed, before it takes anything else.
    pub(crate) removing: bool,
    /// Documents of messages that have gone elsewhere.
    pub(crate) obsolete: Obsolete,
    /// What became of attempts to delete what somebody has got.
    pub(crate) deletions: Deletions,
    /// Documents of messages for its sessions that the store has not written. Mostly there are none.
    pub(crate) unwritten: Option<Box<Unwritten>>,
}

/// What is being noted of an account, without anybody waiting for it: one thing at a time, and then only the latest.
#[derive(Debug, Default)]
pub(crate) enum Note {
    #[default]
    Nothing,
    /// It is on its way to the store.
    Saving,
    /// And this is to follow.
    Next(Box<Change>),
}

impl Account {
    pub(crate) fn loading(incarnation: u64) -> Self {
        Account {
            incarnation,
            resources: Box::default(),
            wanted: Wanted::No,
            marks: [0; MARKED],
            most_available: SmallVec::new(),
            slot_bits: 0,
            phase: Phase::Loading,
            pending: None,
            commits: 0,
            gates: 0,
            backlog: Backlog::default(),
            ending: 0,
            gone: BTreeSet::new(),
            asks: 0,
            note: Note::Nothing,
            asked_again: None,
            removing: false,
            obsolete: Obsolete::default(),
            deletions: Deletions::default(),
            unwritten: None,
        }
    }

    /// As it is kept, for a look at it.
    pub(crate) fn as_kept(known: Box<Known>) -> Self {
        let slot_bits = known.slots.bits();
        Account { slot_bits, phase: Phase::Loaded(known, Stage::Open), ..Account::loading(0) }
    }

    /// What is known of it, if it has been loaded.
    pub(crate) fn known(&self) -> Option<&Known> {
        self.phase.known()
    }

    pub(crate) fn known_mut(&mut self) -> Option<&mut Known> {
        self.phase.known_mut()
    }

    /// What is known of it, if nothing has to wait.
    pub(crate) fn open(&self) -> Option<&Known> {
        match &self.phase {
            Phase::Loaded(known, Stage::Open) if self.queue().is_empty() => Some(known),
            _ => None,
        }
    }

    /// Whether a stanza that is addressed to it has its turn, as far as the whole account is concerned. What it sends to itself has
    /// waited before.
    pub(crate) fn takes(&self, stanza: &Stanza) -> bool {
        self.phase.is_open() && (self.queue().is_empty() || is_to_itself(stanza))
    }

    /// Whether a message that is addressed to it has its turn.
    pub(crate) fn takes_message(&self, stanza: &Stanza) -> bool {
        self.is_quiet() || self.takes(stanza) && !self.is_held(stanza, false, None, u64::MAX)
    }

    /// Whether it is open, and nothing that comes for it has to wait.
    pub(crate) fn is_quiet(&self) -> bool {
        self.phase.is_open() && self.pending.is_none() && !self.wanted.is_any()
    }

    /// Whether the messages of its sessions need no look at it.
    pub(crate) fn is_plain(&self, shared: &Shared) -> bool {
        self.gates == 0
            && self.has_no_lines()
            && self.open().is_some()
            && !shared.tables().looks_at_messages(self.slot_bits())
    }

    /// The extensions that know something of the account or one of its resources, a bit each.
    pub(crate) fn slot_bits(&self) -> u64 {
        debug_assert_eq!(self.known().map_or(0, |known| known.slots.bits()) & !self.slot_bits, 0);
        self.slot_bits
    }

    /// Finds out anew who knows something of the account and its resources.
    pub(crate) fn count_slots(&mut self) {
        let own = self.known().map_or(0, |known| known.slots.bits());
        self.slot_bits = self.resources.iter().fold(own, |bits, resource| bits | resource.slots().bits());
    }

    /// What extensions know of the account, to be changed. Afterwards call [`count_slots`](Account::count_slots). They have what this
    /// one knows before that.
    pub(crate) fn slots_mut(&mut self, index: u8) -> Option<&mut Slots> {
        let Phase::Loaded(known, _) = &mut self.phase else { return None };
        self.slot_bits |= bit(index);
        Some(&mut known.slots)
    }

    /// This is known of it from now on. What was known before, if it was.
    pub(crate) fn know(&mut self, known: Box<Known>) -> Option<Outdated> {
        let before = self.phase.loaded(known);
        self.count_slots();
        before
    }

    /// What its resources have sent directed presence to, and what they show, in bytes.
    pub(crate) fn presence_bytes(&self) -> usize {
        let presence = |r: &Resource| r.presence().map_or(0, |p| cost(&p.stanza));
        self.resources.iter().map(|resource| resource.directed.bytes() + presence(resource)).sum()
    }

    /// Whether nothing of the sender reaches the account.
    pub(crate) fn shuts_out(&self, shared: &Shared, stanza: &Stanza) -> bool {
        let known = self.known().zip(stanza.head.from.as_ref());
        known.is_some_and(|(known, from)| !shared.allows(known.roster.owner(), self, from))
    }

    /// Whether the sender sees the user's presence, and so may know that there is the account.
    pub(crate) fn is_shown_to(&self, shared: &Shared, stanza: &Stanza) -> bool {
        let known = self.known().zip(stanza.head.from.as_ref());
        known.is_some_and(|(known, from)| known.roster.is_subscriber(&from.to_bare()))
            && !self.shuts_out(shared, stanza)
    }

    /// Whether its sender may see that the user is there: it is shown the presence of the account, or of a resource.
    pub(crate) fn shows(&self, shared: &Shared, stanza: &Stanza) -> bool {
        let has_directed = |from| self.resources.iter().any(|resource| resource.has_directed_to(from));
        self.is_shown_to(shared, stanza)
            || stanza.head.from.as_ref().is_some_and(has_directed) && !self.shuts_out(shared, stanza)
    }

    /// Whether the sender of something may hear what becomes of it: it is in the roster, or a resource shows itself to it.
    pub(crate) fn tells(&self, from: &Jid) -> bool {
        self.known().is_some_and(|known| known.roster.item(&from.to_bare()).is_some())
            || self.resources.iter().any(|resource| resource.has_directed_to(from))
    }

    /// Who is shown the user's presence when it is broadcast. Whom a change that is under way lets see it is shown all of it behind that
    /// change.
    pub(crate) fn audience(&self, shared: &Shared) -> Vec<BareJid> {
        let Some(known) = self.known() else { return Vec::new() };
        let changing = &self.pending().changing;
        let sees = |contact: &&BareJid| changing.get(*contact).is_none_or(|seen| *seen);
        let allows = |contact: &&BareJid| shared.allows(known.roster.owner(), self, &contact.to_jid());
        known.roster.subscribers().filter(sees).filter(allows).cloned().collect()
    }

    /// Who has been shown the user's presence, and so has to learn of its end: the [audience](Account::audience), and those from whom a
    /// change takes it that is under way. When that is durable, what has ended before is not there any more to be hidden from them.
    pub(crate) fn witnesses(&self, shared: &Shared) -> Vec<BareJid> {
        let mut witnesses = self.audience(shared);
        witnesses.extend(self.losers(shared));
        witnesses
    }

    /// From whom a change takes the user's presence that is under way.
    pub(crate) fn losers(&self, shared: &Shared) -> Vec<BareJid> {
        let Some(known) = self.known() else { return Vec::new() };
        let seen = self.pending().changing.iter().filter(|(_, seen)| **seen).map(|(contact, _)| contact);
        let others = seen.filter(|contact| !known.roster.is_subscriber(contact));
        let allows = |contact: &&BareJid| shared.allows(known.roster.owner(), self, &contact.to_jid());
        others.filter(allows).cloned().collect()
    }

    /// What the server was to say in the account's name, and has had to wait with, as it is to be said now. A contact that does not see the
    /// user's presence any more learns only that it has ended.
    pub(crate) fn said_now(&self, shared: &Shared, stanza: Stanza, said: Said) -> Option<Stanza> {
        let (Some(to), Some(known)) = (&stanza.head.to, self.known()) else { return Some(stanza) };
        let sees =
            || known.roster.is_subscriber(&to.to_bare()) && shared.allows(known.roster.owner(), self, to);
        match stanza.head.kind {
            _ if said != Said::ToSubscriber || sees() => Some(stanza),
            Kind::Presence(PresenceType::Available) => None,
            _ => Some(stanza.with_payload(Payload::default())),
        }
    }

    /// Whether it is known, and the stanza is a probe of somebody who may see nothing of it. Those whom the user has blocked are
    /// no different, or they would find that out; but who is subscribed is blocked silently, and stays subscribed.
    pub(crate) fn is_probed_by_stranger(&self, shared: &Shared, stanza: &Stanza) -> bool {
        let (Some(known), Some(from)) = (self.known(), &stanza.head.from) else { return false };
        stanza.head.kind == Kind::Presence(PresenceType::Probe)
            && from.bare_str() != known.roster.owner().as_str()
            && !known.roster.is_subscriber(&from.to_bare())
            && (self.shuts_out(shared, stanza) || self.shown_to(from, stanza).next().is_none())
    }

    /// Whether it is not known yet, and the stanza a probe of somebody else.
    pub(crate) fn may_deny(&self, stanza: &Stanza) -> bool {
        self.known().is_none()
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
            && self.commits == 0
            && self.has_no_lines()
            && self.leaving() == 0
            && self.ending == 0
            && (self.obsolete.is_empty() && self.backlog.is_deleted() || self.deletions.are_hopeless())
            && self.obsolete.is_tried()
            && self.backlog.delivering.is_none()
            && self.open().is_some()
    }
}

/// Whether an account sends it to itself.
pub(crate) fn is_to_itself(stanza: &Stanza) -> bool {
    stanza.head.from.as_ref().zip(stanza.head.to.as_ref()).is_some_and(|(from, to)| from.same_bare(to))
}

#[cfg(test)]
mod tests {
    use core::mem::offset_of;

    use super::*;

    // What a message looks at is in two lines of the processor's cache, of which the first begins with the name; of a resource, in half of one.
    #[test]
    fn what_every_message_needs_lies_together() {
        let name = 2 * size_of::<u32>() + size_of::<crate::slab::Name>();
        let end = name + offset_of!(Account, backlog);
        assert_eq!((name + offset_of!(Account, phase), end), (64, 128));
        assert!(offset_of!(Resource, jid) <= 32);
    }
}
