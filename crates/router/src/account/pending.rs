//! What waits in an account: all of it, as long as the account is not open; then, for each entity, what passes between it and the account and
//! waits for something, in a [line](crate::line). Here it is said what waits for what.

use alloc::collections::{BTreeMap, VecDeque, btree_map};
use alloc::vec::Vec;

use balcony_jid::{BareJid, Jid};
use balcony_stanza::{Kind, PresenceType, Stanza};

use super::{Account, is_to_itself};
use crate::asks::Charge;
use crate::line::{Line, Task, Waiting};

/// What waits in an account.
#[derive(Debug, Default)]
pub(super) struct Pending {
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
    pub(super) changing: BTreeMap<BareJid, bool>,
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
    pub(super) fn pending(&self) -> &Pending {
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
}

/// Whose presence it is, or its end, and for whom, if it is presence.
fn shown_between(stanza: &Stanza) -> Option<(&Jid, &Jid)> {
    let is_shown =
        matches!(stanza.head.kind, Kind::Presence(PresenceType::Available | PresenceType::Unavailable));
    stanza.head.from.as_ref().zip(stanza.head.to.as_ref()).filter(|_| is_shown)
}

#[cfg(test)]
mod tests {
    use balcony_stanza::PresenceType;

    use super::*;
    use crate::asks::Asks;
    use crate::facts::SenderFacts;
    use crate::waits::Place;

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
}
