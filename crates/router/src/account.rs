//! One account in memory: its connected resources and who of them gets its messages, what waits for it, and which phase of its
//! life it is in.
//!
//! It keeps these consistent, and says whether a stanza has to wait. What happens in an account is decided by the router's other
//! files.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque, btree_map};
use alloc::sync::Arc;
use alloc::vec::Vec;

use balcony_jid::{BareJid, FullJid, Jid};
use balcony_stanza::{Kind, Payload, PresenceType, Stanza};
use smallvec::SmallVec;

use crate::asks::{Charge, cost};
use crate::directed::Directed;
use crate::extension::{Slots, bit};
use crate::facts::Said;
use crate::known::Known;
use crate::line::{Line, Task, Waiting};
use crate::phase::{Outdated, Phase, Stage};
use crate::replay::{Backlog, Wanted};
use crate::shared::Shared;
use crate::text::Text;
use crate::undelivered::{Deletions, Obsolete, Unwritten};
use crate::{Change, SessionId};

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

/// So many resources have marks. Few accounts have more.
const MARKED: usize = 7;

/// What waits in an account.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    /// What waits for the phase to be `Open`, and then leaves one by one.
    queue: VecDeque<Waiting>,
    /// How much presence is in the queue from one address to another. The queue is everybody's and may be long, so it is not looked through.
    shown: BTreeMap<(Jid, Jid), Shown>,
    /// What waits in an account that is open: for each entity, whatever passes between it and the account, in order. What the
    /// account asks of itself and of its server is in its own line. Entities between whom and the account nothing waits have none.
    lines: BTreeMap<BareJid, Line>,
    /// Sessions that are over and may still get messages: later ones wait for their fate.
    leaving: usize,
    /// Contacts for whom it changes whether they see the user's presence, by a change of the roster that is not durable yet, or may not be:
    /// whether they have seen it so far.
    changing: BTreeMap<BareJid, bool>,
}

/// Of an account in which nothing waits.
static NOTHING: Pending = Pending {
    queue: VecDeque::new(),
    shown: BTreeMap::new(),
    lines: BTreeMap::new(),
    leaving: 0,
    changing: BTreeMap::new(),
};

/// What an account has sent before something that waits for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Earlier {
    /// The number of the first stanza whose fate is not known, and has to be before a request to the own server is begun.
    pub(crate) undecided: Option<u64>,
    /// The number of the [first request](Account::first_request) that has not begun.
    pub(crate) request: Option<u64>,
}

/// The presence of one entity for one address that waits until an account is open.
#[derive(Debug, Default)]
struct Shown {
    /// How many stanzas.
    count: usize,
    /// So many of them, the first, are dropped when they have their turn: newer presence did not wait.
    outdated: usize,
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

impl Pending {
    /// Whether this, which was the first to wait for the account to be open, is presence that newer presence has overtaken.
    fn is_outdated(&mut self, first: &Waiting) -> bool {
        let between = shown_between(&first.stanza).filter(|_| matches!(first.task, Task::Arrived));
        let between = between.map(|(from, to)| (from.clone(), to.clone()));
        let Some(btree_map::Entry::Occupied(mut shown)) = between.map(|between| self.shown.entry(between))
        else {
            return false;
        };
        let is_outdated = shown.get().outdated > 0;
        shown.get_mut().outdated -= usize::from(is_outdated);
        shown.get_mut().count -= 1;
        if shown.get().count == 0 {
            shown.remove();
        }
        is_outdated
    }

    /// Everything that waits in the account; sessions may still be leaving.
    fn take_waiting(&mut self) -> (VecDeque<Waiting>, BTreeMap<BareJid, Line>) {
        (core::mem::take(&mut self.queue), core::mem::take(&mut self.lines))
    }
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

    fn pending(&self) -> &Pending {
        self.pending.as_deref().unwrap_or(&NOTHING)
    }

    fn pending_mut(&mut self) -> &mut Pending {
        self.pending.get_or_insert_default()
    }

    /// Keeps no room for what does not wait any more.
    fn tidy_pending(&mut self) {
        self.pending.take_if(|pending| {
            let is_quiet = pending.queue.is_empty() && pending.shown.is_empty() && pending.lines.is_empty();
            is_quiet && pending.leaving == 0 && pending.changing.is_empty()
        });
    }

    /// What waits for the phase to be `Open`.
    pub(crate) fn queue(&self) -> &VecDeque<Waiting> {
        &self.pending().queue
    }

    /// The same, to put more in.
    pub(crate) fn queue_mut(&mut self) -> &mut VecDeque<Waiting> {
        &mut self.pending_mut().queue
    }

    /// All that waits for that.
    pub(crate) fn take_queue(&mut self) -> VecDeque<Waiting> {
        let queue = self.pending.as_mut().map(|pending| core::mem::take(&mut pending.queue));
        self.tidy_pending();
        queue.unwrap_or_default()
    }

    /// One more stanza that is addressed to the account waits for that.
    pub(crate) fn push_arrived(&mut self, stanza: Stanza, charge: Charge) {
        let pending = self.pending_mut();
        if let Some((from, to)) = shown_between(&stanza) {
            pending.shown.entry((from.clone(), to.clone())).or_default().count += 1;
        }
        pending.queue.push_back(Waiting { task: Task::Arrived, stanza, charge });
    }

    /// The first of those, if it is one that is meant; and whether it is presence that newer presence has [overtaken](Account::take_older).
    pub(crate) fn take_first(
        &mut self,
        is_meant: impl FnOnce(&mut Waiting) -> bool,
    ) -> Option<(Waiting, bool)> {
        let pending = self.pending.as_mut()?;
        let first = pending.queue.pop_front_if(is_meant);
        let is_outdated = first.as_ref().is_some_and(|first| pending.is_outdated(first));
        self.tidy_pending();
        first.map(|first| (first, is_outdated))
    }

    /// Sessions that are over and may still get messages: later ones wait for their fate.
    pub(crate) fn leaving(&self) -> usize {
        self.pending().leaving
    }

    /// So many more sessions are over and may still get messages.
    pub(crate) fn add_leaving(&mut self, more: usize) {
        if more > 0 {
            self.pending_mut().leaving += more;
        }
    }

    /// The fate of what so many of them had is known.
    pub(crate) fn remove_leaving(&mut self, less: usize) {
        if less > 0 {
            self.pending_mut().leaving -= less;
            self.tidy_pending();
        }
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

    /// Whether messages wait for older ones, whose fate is not known.
    fn holds_messages(&self) -> bool {
        self.leaving() > 0 || self.wanted.is_any()
    }

    /// Whether a stanza that is addressed to it has to wait for what passes between its sender and the account: for changes that
    /// concern the sender, for what has come before it, and, if it `sees` whether somebody is there, a request for the sender's
    /// messages to be stored, so that its answer comes behind the errors about them (RFC 6120 section 10.1). What the account sends
    /// to itself has waited behind what it has sent before. The `number` is that of its charge, if it has waited.
    pub(crate) fn is_held(&self, stanza: &Stanza, sees: bool, undecided: Option<u64>, number: u64) -> bool {
        let fetching = self.holds_messages() && matches!(stanza.head.kind, Kind::Message(_));
        let line = stanza.head.from.as_ref().and_then(|from| self.pending().lines.get(from.bare_str()));
        fetching
            || self.holds_change(stanza, undecided, number)
            || line.is_some_and(|line| {
                let is_first = is_to_itself(stanza) || self.lets_pass(line);
                let waits = sees && line.puts > 0 && matches!(stanza.head.kind, Kind::Iq(_));
                line.commits > 0 || !is_first || waits
            })
    }

    /// Whether a stanza of somebody else would change the account while one of its own requests waits for nothing but changes: others
    /// could keep it waiting without end. Nor does the account keep others waiting so: what it has asked later waits for the change.
    fn holds_change(&self, stanza: &Stanza, undecided: Option<u64>, number: u64) -> bool {
        matches!(stanza.head.kind, Kind::Presence(kind) if kind.is_subscription())
            && !is_to_itself(stanza)
            && self.known().and_then(|known| self.pending().lines.get(known.roster.owner())).is_some_and(
                |own| {
                    own.queue.front().is_some_and(|first| {
                        matches!((first.task, first.stanza.head.kind), (Task::Sent(_), Kind::Iq(_)))
                            && first.charge.number() < number
                            && undecided.is_none_or(|undecided| undecided > first.charge.number())
                    })
                },
            )
    }

    /// Whether what its peer sends now has nothing in a line to wait for: nothing is there, or only what the account sends, of which the
    /// first is [decided later](Account::is_decided_later). That may wait for what others make of earlier stanzas; if these waited for it in turn
    /// they would do so for ever.
    fn lets_pass(&self, line: &Line) -> bool {
        let Some(first) = line.queue.front() else { return true };
        self.is_decided_later(&first.stanza, first.charge.number(), self.first_request())
            && line.queue.iter().all(|waiting| waiting.task.is_outward())
    }

    /// The place in a line of what may go on next, if anything; `is_own` if it is the account's own line.
    pub(crate) fn next(&self, line: &Line, is_own: bool, earlier: Earlier) -> Option<usize> {
        let first = line.queue.front().filter(|_| line.commits == 0)?;
        if !self.is_held_in(line, first, is_own, earlier) {
            return Some(0);
        }
        let may_pass = matches!(first.task, Task::Sent(_))
            && !is_own
            && self.is_decided_later(&first.stanza, first.charge.number(), earlier.request);
        let place = line.queue.iter().position(|waiting| may_pass && !waiting.task.is_outward())?;
        (!self.is_held_in(line, &line.queue[place], is_own, earlier)).then_some(place)
    }

    /// Whether what is next in a line still has to wait.
    fn is_held_in(&self, line: &Line, next: &Waiting, is_own: bool, earlier: Earlier) -> bool {
        let number = next.charge.number();
        match (next.task, next.stanza.head.kind) {
            (Task::Arrived, Kind::Message(_)) => self.holds_messages(),
            (Task::Returned, _) => self.wanted.is_any(),
            (Task::Arrived, Kind::Iq(_)) => line.puts > 0,
            (Task::Arrived, Kind::Presence(_)) => self.holds_change(&next.stanza, earlier.undecided, number),
            (Task::Sent(_), Kind::Iq(_)) if is_own => {
                self.commits > 0 || earlier.undecided.is_some_and(|undecided| undecided < number)
            }
            (Task::Sent(_), Kind::Presence(_)) if is_own && self.backlog.is_placing => true,
            (Task::Sent(_), _) => {
                // What is behind a request in the same line waits for it in any case.
                self.gates > 0 || !is_own && self.is_decided_later(&next.stanza, number, earlier.request)
            }
            (Task::Leaving, _) => false,
        }
    }

    /// Whether what a session sends to this peer, or to its own account or server, waits: for changes that concern the peer, and
    /// for what has been sent before; and a request to its own account or server for changes that the answer would tell of before
    /// they are durable, and for the fate of what the account has sent before to those whom it sees, so that the answer says that this is
    /// known. `number` is that of this one, if it has waited.
    pub(crate) fn holds_sent(
        &self,
        peer: &BareJid,
        stanza: &Stanza,
        is_own: bool,
        earlier: Earlier,
        number: u64,
    ) -> bool {
        let is_request = is_own && matches!(stanza.head.kind, Kind::Iq(_));
        self.pending().lines.get(peer).is_some_and(|line| line.commits > 0 || !line.queue.is_empty())
            || self.gates > 0
            || is_own && self.backlog.is_placing && matches!(stanza.head.kind, Kind::Presence(_))
            || self.is_decided_later(stanza, number, earlier.request)
            || is_request
                && (self.commits > 0 || earlier.undecided.is_some_and(|undecided| undecided < number))
    }

    /// Whether a client says something of a subscription and has sent a `request` before that has not begun, and may be for a change: what it says is decided by
    /// what the roster is then (RFC 6120 section 10.1). Its number is as for [`holds_sent`](Account::holds_sent).
    fn is_decided_later(&self, stanza: &Stanza, number: u64, request: Option<u64>) -> bool {
        matches!(stanza.head.kind, Kind::Presence(kind) if kind.is_subscription())
            && request.is_some_and(|request| request < number)
    }

    /// The number of the first request to the own account or server that a client of the account has sent and that has not begun: it may be for a
    /// change, of its roster for one; and what the account says later would keep it waiting, as each time its roster changes.
    pub(crate) fn first_request(&self) -> Option<u64> {
        self.pending.as_ref()?;
        let own = self.pending().lines.get(self.known()?.roster.owner())?;
        let is_request = |waiting: &&Waiting| {
            matches!((waiting.task, waiting.stanza.head.kind), (Task::Sent(_), Kind::Iq(_)))
        };
        own.queue.iter().find(is_request).map(|waiting| waiting.charge.number())
    }

    /// The line of an entity, if anything is in it or holds it up.
    pub(crate) fn line(&self, peer: &str) -> Option<&Line> {
        self.pending().lines.get(peer)
    }

    /// The line of an entity, to be changed. Afterwards call [`tidy`](Account::tidy), unless something is in it.
    pub(crate) fn line_mut(&mut self, peer: &BareJid) -> &mut Line {
        self.pending_mut().lines.entry(peer.clone()).or_default()
    }

    /// Forgets a line in which nothing is, and that nothing holds up.
    pub(crate) fn tidy(&mut self, peer: &BareJid) {
        if self.pending().lines.get(peer).is_some_and(Line::is_idle) {
            self.pending_mut().lines.remove(peer);
            self.tidy_pending();
        }
    }

    /// Whether nothing of the entity waits here, nor is anything on its way that it would have to wait for.
    pub(crate) fn is_quiet_with(&self, entity: &Jid) -> bool {
        self.open().is_some() && self.line(entity.bare_str()).is_none()
    }

    pub(crate) fn has_no_lines(&self) -> bool {
        self.pending.as_ref().is_none_or(|pending| pending.lines.is_empty())
    }

    pub(crate) fn lines(&self) -> impl Iterator<Item = &BareJid> {
        self.pending().lines.keys()
    }

    /// Whether something of this kind waits in a line.
    pub(crate) fn any_in_lines(&self, is_meant: impl Fn(Task) -> bool) -> bool {
        self.pending().lines.values().flat_map(|line| &line.queue).any(|waiting| is_meant(waiting.task))
    }

    /// Newer presence of an entity does not wait. What waits of the older, on its way from the same address to the same, is taken out of the
    /// line of the two, and what is among all that waits for the account to be open is dropped when it has its turn.
    pub(crate) fn take_older(&mut self, peer: &BareJid, presence: &Stanza) -> Vec<Waiting> {
        let (Some(pending), Some((from, to))) = (self.pending.as_mut(), shown_between(presence)) else {
            return Vec::new();
        };
        if let Some(shown) = pending.shown.get_mut(&(from.clone(), to.clone())) {
            shown.outdated = shown.count;
        }
        let is_older = |waiting: &Waiting| {
            matches!(waiting.task, Task::Leaving | Task::Arrived)
                && shown_between(&waiting.stanza) == Some((from, to))
        };
        let line = pending.lines.get_mut(peer).filter(|line| line.queue.iter().any(is_older));
        let Some(line) = line else { return Vec::new() };
        let (older, others): (VecDeque<_>, _) =
            core::mem::take(&mut line.queue).into_iter().partition(is_older);
        line.queue = others;
        self.tidy(peer);
        older.into()
    }

    /// Everything that waits, to be disposed of.
    pub(crate) fn take_waiting(&mut self) -> impl Iterator<Item = Waiting> {
        let (queue, lines) = self.pending.as_mut().map(|pending| pending.take_waiting()).unwrap_or_default();
        self.tidy_pending();
        queue.into_iter().chain(lines.into_values().flat_map(|line| line.queue))
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
        self.slot_bits = self.resources.iter().fold(own, |bits, resource| bits | resource.slots.bits());
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
        let presence = |r: &Resource| r.presence.as_ref().map_or(0, |p| cost(&p.stanza));
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

    /// A change of the roster is under way that gives the contact the user's presence, or takes it; whether the contact has `seen` it before.
    pub(crate) fn begin_change(&mut self, contact: BareJid, seen: bool) {
        self.pending_mut().changing.insert(contact, seen);
    }

    /// What has become of such a change, if there was one, is known.
    pub(crate) fn end_change(&mut self, contact: &BareJid) {
        if let Some(pending) = &mut self.pending {
            pending.changing.remove(contact);
            self.tidy_pending();
        }
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

/// Whose presence it is, or its end, and for whom, if it is presence.
fn shown_between(stanza: &Stanza) -> Option<(&Jid, &Jid)> {
    let is_shown =
        matches!(stanza.head.kind, Kind::Presence(PresenceType::Available | PresenceType::Unavailable));
    stanza.head.from.as_ref().zip(stanza.head.to.as_ref()).filter(|_| is_shown)
}

/// Whether an account sends it to itself.
pub(crate) fn is_to_itself(stanza: &Stanza) -> bool {
    stanza.head.from.as_ref().zip(stanza.head.to.as_ref()).is_some_and(|(from, to)| from.same_bare(to))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::asks::Asks;
    use crate::facts::SenderFacts;
    use crate::waits::Place;
    use core::mem::offset_of;
    use proptest::prelude::*;

    // What a message looks at is in two lines of the processor's cache, of which the first begins with the name; of a resource, in half of one.
    #[test]
    fn what_every_message_needs_lies_together() {
        let name = 2 * size_of::<u32>() + size_of::<crate::slab::Name>();
        let end = name + offset_of!(Account, backlog);
        assert_eq!((name + offset_of!(Account, phase), end), (64, 128));
        assert!(offset_of!(Resource, jid) <= 32);
    }

    // Presence that newer presence has overtaken is dropped when it has its turn, what comes behind that is not, and nothing stays behind. The queue is
    // not looked through for it: it is everybody's, and whoever has no room in it may send as much as it likes.
    #[test]
    fn what_newer_presence_has_overtaken_is_found_in_its_turn() {
        use PresenceType::{Available, Probe, Unavailable};
        let (name, romeo) = (BareJid::parse("juliet@b").unwrap(), BareJid::parse("romeo@a").unwrap());
        let mut asks = Asks::new(balcony_machine::Limits::default());
        let presence = |kind, from: &str| {
            let from = Jid::parse(&std::format!("romeo@a/{from}")).unwrap();
            Stanza::presence(kind).with_from(from).with_to(name.to_jid())
        };
        let mut account = Account::loading(0);
        // What comes behind what has gone at once may have been charged for before it, in its sender's own account.
        let earlier = asks.charge(romeo.clone(), 1, Place::Seen, None, SenderFacts::STRANGER);
        let mut push = |account: &mut Account, kind, from| {
            let charge = asks.charge(romeo.clone(), 1, Place::Seen, None, SenderFacts::STRANGER);
            account.push_arrived(presence(kind, from), charge);
        };
        push(&mut account, Available, "1");
        push(&mut account, Available, "2");
        push(&mut account, Probe, "1");
        push(&mut account, Unavailable, "1");
        assert!(account.take_older(&romeo, &presence(Available, "1")).is_empty());
        account.push_arrived(presence(Available, "1"), earlier);
        push(&mut account, Unavailable, "1");
        assert_eq!(account.queue().len(), 6);
        assert_eq!(account.pending().shown.len(), 2);
        let outdated: Vec<bool> = core::iter::from_fn(|| account.take_first(|_| true))
            .map(|(_, is_outdated)| is_outdated)
            .collect();
        assert_eq!(outdated, [true, false, false, true, false, false]);
        assert!(account.pending.is_none());
    }

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
