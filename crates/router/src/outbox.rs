//! What is on its way to one session, until the network has it.
//!
//! The queue of a session is the router's. A window of it lies with the connection, which tells how far it has got; the rest
//! waits here. So a reader that is slow loses nothing, and what a session that ends has not got goes elsewhere.
//!
//! A session with stream management (XEP-0198) says itself what it has got. What the network has stays in its queue until then, and goes
//! out once more on the next connection if the session comes back on one.
//!
//! ```text
//!              removed        + unacknowledged      + passed                  + all
//!   0 ───────────┬───────────────────┬──────────────────┬───────────────────────┐
//!     it has got │  the network has  │  the connection  │  waits for room        │
//!     these      │  these            │  has these       │                        │
//! ```

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::hint::black_box;
use core::mem;
use core::sync::atomic::Ordering;
use core::time::Duration;

use balcony_jid::Jid;

use balcony_machine::{Instant, Limits};
use balcony_stanza::{IqType, Kind, Stanza};

use crate::hold::{Held, Key};
use crate::line::When;
use crate::spent::SpentStanzas;

mod entry;
mod management;
mod saved;

pub(crate) use entry::{Entry, Group, is_answer, is_copy};
pub(crate) use management::{Managed, Management};
pub(crate) use saved::Groups;

/// Documents of what goes to groups of sessions, by the numbers of these.
pub(crate) type OfGroups = BTreeMap<u64, Vec<Arc<str>>>;

/// A message that is written nowhere.
#[derive(Debug)]
pub(crate) struct Unkept {
    pub(crate) place: usize,
    pub(crate) stanza: Arc<Stanza>,
    pub(crate) when: When,
    /// The group of sessions that get the same.
    pub(crate) group: Option<u64>,
}

/// The queue of one session.
///
/// Most sessions have nothing in it, most of the time: then it is a number, and all else that is known of a queue is in a box that the next
/// session needs, too. That one is in the processor's cache, where the queues of a million sessions are not.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    /// How many stanzas were in it before those that are.
    removed: u64,
    /// `None` if that is as in [`IDLE`].
    queue: Option<Box<Queue>>,
}

/// A queue that has something in it, or whose session acknowledges what it gets. In the order in which it lies in memory: every stanza has to do
/// with what comes first.
#[derive(Debug, Default)]
#[repr(C)]
pub(crate) struct Queue {
    /// What is not urgent, or waits behind stored messages, and is not among the entries yet.
    held: Option<Box<Held>>,
    /// What most queues have nothing of.
    rare: Option<Box<Rare>>,
    /// How many of the entries the connection has got, with those which the network has; and what the others of these cost.
    passed: usize,
    passed_bytes: usize,
    /// What the session has not got yet, as far as that is known, the oldest first.
    entries: VecDeque<Entry>,
    /// What all entries cost.
    bytes: usize,
    /// What those of them cost that answer requests of this session.
    answers: usize,
    /// How many stanzas there were before the first that no connection has got.
    highest: u64,
    /// How many of the entries the network has, and what these cost. None, unless the session acknowledges.
    unacknowledged: usize,
    unacknowledged_bytes: usize,
    /// How many stanzas there were before the first that its connection has got. None, unless the session acknowledges.
    base: u64,
    /// Whether the session acknowledges what it gets, and whether it has a connection.
    management: Management,
}

/// Of a session that gets nothing, and does not acknowledge.
static IDLE: Queue = Queue {
    held: None,
    rare: None,
    passed: 0,
    passed_bytes: 0,
    entries: VecDeque::new(),
    bytes: 0,
    answers: 0,
    highest: 0,
    unacknowledged: 0,
    unacknowledged_bytes: 0,
    base: 0,
    management: Management::Off,
};

/// What is known of a queue that is full, or has something of a log or of documents in it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Rare {
    /// Since when something waits for room in the window, or more is owed than the session is listened to for, and how many bytes the
    /// network has taken since.
    waits: Option<(Instant, usize)>,
    /// Stored messages end here: whoever replays them waits until the session has so many stanzas.
    replay: Option<u64>,
    /// Of these the session has those up to this number of their log.
    replayed: Option<u64>,
    /// The documents of messages that the session has got.
    freed: Vec<Arc<str>>,
    /// What has come from the queues of other sessions, and is still to be taken, cost so many bytes at most: it had room there.
    moved: usize,
}

impl Queue {
    /// What most queues have nothing of, to be changed. Afterwards call [`tidy`](Outbox::tidy) if there may be nothing of it any more.
    fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    fn replay(&self) -> Option<u64> {
        self.rare.as_ref()?.replay
    }

    /// So many stanzas have been in it before.
    pub(crate) const fn begin(&mut self, removed: u64) {
        self.highest = removed;
    }

    /// Whether there is nothing to be known of it.
    fn is_idle(&self) -> bool {
        self.entries.is_empty()
            && self.held.is_none()
            && self.rare.is_none()
            && matches!(self.management, Management::Off)
    }

    fn count(&mut self, entry: &Entry) {
        self.bytes += entry.bytes;
        self.answers += if entry.is_answer { entry.bytes } else { 0 };
    }

    /// The connection has the next entry. `removed`: how many stanzas were before all entries.
    fn passes(&mut self, removed: u64, bytes: usize) {
        self.passed += 1;
        self.passed_bytes += bytes;
        self.highest = self.highest.max(removed + self.passed as u64);
    }

    /// Keeps in mind since when the session has to take something.
    fn watch(&mut self, now: Instant, limits: &Limits) {
        if !self.has_to_take(limits) {
            self.unwatch();
        } else {
            self.rare().waits.get_or_insert((now, 0));
        }
    }

    fn unwatch(&mut self) {
        if let Some(rare) = &mut self.rare {
            rare.waits = None;
            self.tidy();
        }
    }

    fn tidy(&mut self) {
        self.rare.take_if(|rare| **rare == Rare::default());
    }

    /// Whether the session has to take something before it gets more, or before more is taken of it.
    fn has_to_take(&self, limits: &Limits) -> bool {
        !self.management.is_detached() && (self.passed < self.entries.len() || self.owes(limits))
    }

    /// Whether the session has asked for so much that it is not listened to until it has taken some of it.
    const fn owes(&self, limits: &Limits) -> bool {
        self.answers > limits.window_bytes
    }

    /// One stanza always has room.
    const fn has_room(&self, bytes: usize, limits: &Limits) -> bool {
        let sent = self.unacknowledged_bytes + self.passed_bytes;
        !self.management.is_detached()
            && (self.passed_bytes == 0 || self.passed_bytes + bytes <= limits.credit)
            // What the session owes is bounded by what it may ask; and it is not listened to meanwhile, so it can't acknowledge.
            && (sent == 0 || sent + bytes <= limits.unacknowledged || self.owes(limits))
    }

    /// The session has got the first entry. What that cost.
    fn remove_first(&mut self, spent: &mut SpentStanzas) -> Option<usize> {
        let entry = self.entries.pop_front()?;
        let bytes = entry.bytes;
        self.passed -= 1;
        self.bytes -= bytes;
        if self.unacknowledged > 0 {
            self.unacknowledged -= 1;
            self.unacknowledged_bytes -= bytes;
        } else {
            self.passed_bytes -= bytes;
            self.answers -= if entry.is_answer { bytes } else { 0 };
        }
        if entry.replayed.is_some() {
            self.rare().replayed = entry.replayed;
        }
        if let Some(others) = entry.others {
            others.is_taken.store(true, Ordering::Relaxed);
        }
        if let Some(key) = entry.kept {
            self.rare().freed.push(key);
        }
        if let Some(rare) = &mut self.rare {
            rare.moved = rare.moved.saturating_sub(bytes).min(self.bytes);
        }
        spent.add(entry.stanza, entry.maker, bytes);
        if self.entries.is_empty() {
            // An idle session keeps no buffer.
            spent.keep(mem::take(&mut self.entries));
        }
        Some(bytes)
    }

    /// All that is in it, and behind that what is held.
    fn all(&self) -> impl Iterator<Item = &Entry> {
        let held = self.held.iter().flat_map(|held| held.entries());
        self.entries.iter().chain(held)
    }

    fn all_mut(&mut self) -> impl Iterator<Item = &mut Entry> {
        let held = self.held.iter_mut().flat_map(|held| held.entries_mut());
        self.entries.iter_mut().chain(held)
    }
}

impl Outbox {
    /// What is in it, and known of it.
    fn queue(&self) -> &Queue {
        self.queue.as_deref().unwrap_or(&IDLE)
    }

    /// The same, to be changed. Afterwards call [`tidy`](Outbox::tidy) if there may be nothing of it any more.
    fn queue_mut(&mut self) -> &mut Queue {
        self.queue.get_or_insert_with(|| Box::new(Queue { highest: self.removed, ..Queue::default() }))
    }

    /// Keeps nothing that is not needed.
    fn tidy(&mut self) {
        if let Some(queue) = &mut self.queue {
            queue.tidy();
            self.queue.take_if(|queue| queue.is_idle());
        }
    }

    /// The same; the box is kept for the next session that is to get something.
    fn rest(&mut self, spent: &mut SpentStanzas) {
        if let Some(queue) = self.queue.take_if(|queue| queue.is_idle()) {
            spent.keep_queue(queue);
        }
    }

    /// Takes a stanza in. Whether it goes into the window at once: otherwise it waits.
    #[inline]
    pub(crate) fn push(
        &mut self,
        now: Instant,
        entry: Entry,
        limits: &Limits,
        spent: &mut SpentStanzas,
    ) -> bool {
        let removed = self.removed;
        let queue = self.queue.get_or_insert_with(|| spent.queue(removed));
        queue.count(&entry);
        if queue.entries.capacity() == 0 {
            queue.entries = spent.buffer();
        }
        let goes = queue.passed == queue.entries.len() && queue.has_room(entry.bytes, limits);
        if goes {
            queue.passes(removed, entry.bytes);
        }
        if queue.entries.capacity() == 0 {
            // Mostly it is the only one.
            queue.entries.reserve_exact(1);
        }
        queue.entries.push_back(entry);
        queue.watch(now, limits);
        goes
    }

    /// Takes in what has come [back](crate::router::Router::returned) from another session, if this one has no connection; it is in its place
    /// when all of it has come, and is [merged](Outbox::merge) then. Whether it is the first since the last time.
    pub(crate) fn push_returned(&mut self, entry: Entry) -> bool {
        let queue = self.queue_mut();
        queue.count(&entry);
        let Some(managed) = queue.management.managed_mut() else { return false };
        managed.returned.push(entry);
        managed.returned.len() == 1
    }

    /// Puts what has come back before what was delivered later, but behind what was sent once, as the client counts that.
    pub(crate) fn merge(&mut self) {
        let Some(queue) = &mut self.queue else { return };
        let Some(managed) = queue.management.managed_mut().filter(|managed| !managed.returned.is_empty())
        else {
            return;
        };
        let mut returned = mem::take(&mut managed.returned);
        returned.sort_by_key(|entry| entry.order);
        let sent = usize::try_from(queue.highest.saturating_sub(self.removed)).unwrap_or(usize::MAX);
        let mut free = queue.entries.split_off(sent.min(queue.entries.len()));
        let end = queue.replay().map(|end| end.saturating_sub(self.removed) as usize);
        // From the end on, so that everything comes before what is later, and behind what is not.
        let mut merged = VecDeque::with_capacity(free.len() + returned.len());
        let mut before_end = 0;
        while let Some(next) = returned.pop() {
            while let Some(later) = free.pop_back_if(|entry| entry.order > next.order) {
                merged.push_front(later);
            }
            // What is replayed ends behind it, if it comes before that.
            before_end += usize::from(end.is_some_and(|end| queue.entries.len() + free.len() < end));
            merged.push_front(next);
        }
        if let Some(end) = queue.rare.as_mut().and_then(|rare| rare.replay.as_mut()) {
            *end += before_end as u64;
        }
        queue.entries.append(&mut free);
        queue.entries.append(&mut merged);
    }

    /// Keeps in mind since when the session has to take something.
    pub(crate) fn watch(&mut self, now: Instant, limits: &Limits) {
        if let Some(queue) = &mut self.queue {
            queue.watch(now, limits);
            self.tidy();
        }
    }

    /// It is known that the session does not take anything.
    pub(crate) fn unwatch(&mut self) {
        if let Some(queue) = &mut self.queue {
            queue.unwatch();
            self.tidy();
        }
    }

    /// Takes a stanza in that is too late for the window.
    pub(crate) fn append(&mut self, entry: Entry) {
        let queue = self.queue_mut();
        queue.bytes += entry.bytes;
        queue.entries.push_back(entry);
    }

    /// Keeps a stanza out of the queue that is not urgent, maybe in the place of an earlier one, which is no more.
    pub(crate) fn hold(&mut self, key: Option<Key>, mut entry: Entry) -> Option<Entry> {
        entry.has_waited = true;
        let queue = self.queue_mut();
        queue.bytes += entry.bytes;
        let before = queue.held.get_or_insert_default().push(key, entry);
        queue.bytes -= before.as_ref().map_or(0, Entry::bytes);
        before
    }

    /// Keeps something out of the queue that stored messages come before, which are not in it yet. An answer counts as all else that waits:
    /// the session does not get it by reading.
    pub(crate) fn hold_behind(&mut self, mut entry: Entry) {
        (entry.is_answer, entry.has_waited) = (false, true);
        let queue = self.queue_mut();
        queue.bytes += entry.bytes;
        queue.held.get_or_insert_default().push_behind(entry);
    }

    /// How many wait so.
    pub(crate) fn behind(&self) -> usize {
        self.queue().held.as_ref().map_or(0, |held| held.behind())
    }

    /// Whether something of this sender does.
    pub(crate) fn is_behind(&self, from: &Jid) -> bool {
        self.queue().held.as_ref().is_some_and(|held| held.is_behind(from))
    }

    /// All of these, to be put into the queue.
    pub(crate) fn take_behind(&mut self) -> Vec<Entry> {
        let Some(queue) = &mut self.queue else { return Vec::new() };
        let behind = queue.held.as_mut().map(|held| held.take_behind()).unwrap_or_default();
        queue.held.take_if(|held| held.len() == 0);
        queue.bytes -= behind.iter().map(Entry::bytes).sum::<usize>();
        self.tidy();
        behind
    }

    /// Whether something is kept out of the queue.
    pub(crate) fn holds(&self) -> bool {
        self.queue.as_ref().is_some_and(|queue| queue.held.is_some())
    }

    /// How many stanzas are held because they are not urgent.
    pub(crate) fn held(&self) -> usize {
        self.queue().held.as_ref().map_or(0, |held| held.len())
    }

    /// What they cost.
    pub(crate) fn held_bytes(&self) -> usize {
        self.queue().held.as_ref().map_or(0, |held| held.bytes())
    }

    /// All of them, to be put into the queue.
    pub(crate) fn take_held(&mut self) -> Option<Box<Held>> {
        let queue = self.queue.as_mut()?;
        let mut held = queue.held.take()?;
        queue.held = held.split_behind();
        queue.bytes -= held.bytes();
        self.tidy();
        Some(held)
    }

    /// The session is over: what is held and is of use to somebody else goes along with the rest. The others, which are no more.
    pub(crate) fn end_hold(&mut self) -> Vec<Entry> {
        let (lasting, others) = self.take_held().map(|held| held.into_lasting()).unwrap_or_default();
        let behind = self.take_behind();
        lasting.into_iter().chain(behind).for_each(|entry| self.append(entry));
        others
    }

    /// Takes the next stanza into the window that waits, if there is room.
    pub(crate) fn pass(&mut self, limits: &Limits) -> Option<Arc<Stanza>> {
        let queue = self.queue.as_mut()?;
        let next = queue.entries.get(queue.passed)?;
        let (bytes, stanza) = (next.bytes, Arc::clone(&next.stanza));
        if !queue.has_room(bytes, limits) {
            return None;
        }
        queue.passes(self.removed, bytes);
        if !queue.has_to_take(limits) {
            queue.unwatch();
        }
        Some(stanza)
    }

    /// Whether the connection has everything that is in the queue.
    pub(crate) fn has_passed_all(&self) -> bool {
        self.queue().passed == self.queue().entries.len()
    }

    /// Whether the session has asked for so much that it is not listened to until it has taken some of it.
    pub(crate) fn owes(&self, limits: &Limits) -> bool {
        self.queue().owes(limits)
    }

    /// Whether its connection can have got so many stanzas. Whoever is told all has any number.
    pub(crate) fn can_have(&self, through: u64) -> bool {
        through == u64::MAX
            || self.queue().base.saturating_add(through) <= self.removed + self.queue().passed as u64
    }

    /// The network has so many of all the stanzas that its connection has got. What has left the queue, in bytes.
    pub(crate) fn drain(
        &mut self,
        now: Instant,
        through: u64,
        limits: &Limits,
        spent: &mut SpentStanzas,
    ) -> usize {
        let Some(queue) = &mut self.queue else { return 0 };
        let (mut taken, mut removed) = (0, 0);
        let through = queue.base.saturating_add(through);
        while queue.unacknowledged < queue.passed && self.removed + (queue.unacknowledged as u64) < through {
            let Some(entry) = queue.entries.get_mut(queue.unacknowledged) else { break };
            let bytes = entry.bytes;
            queue.answers -= if mem::take(&mut entry.is_answer) { bytes } else { 0 };
            queue.unacknowledged += 1;
            queue.unacknowledged_bytes += bytes;
            queue.passed_bytes -= bytes;
            taken += bytes;
            if queue.management.managed().is_none()
                && let Some(bytes) = queue.remove_first(spent)
            {
                self.removed += 1;
                removed += bytes;
            }
        }
        queue.watch(now, limits);
        if let Some((since, before)) = queue.rare.as_mut().and_then(|rare| rare.waits.as_mut()) {
            *before += taken;
            if *before >= limits.stall_bytes {
                (*since, *before) = (now, 0);
            }
        }
        self.rest(spent);
        removed
    }

    /// Whether the session acknowledges what it gets, and whether it has a connection.
    pub(crate) fn management(&self) -> &Management {
        &self.queue().management
    }

    /// From here on the session acknowledges what it gets, and so many of those that its connection is about to get. It waits so long for
    /// its client when its connection is lost.
    pub(crate) fn manage(&mut self, wait: Duration, coming: usize) {
        let sent = self.removed + self.queue().passed.saturating_sub(coming) as u64;
        self.queue_mut().management.begin(wait, sent);
    }

    /// How many stanzas there were before the first that the session has not got, if it has got so many more of those that count. `None`
    /// if it can't have got so many.
    fn through(&self, count: u32) -> Option<u64> {
        let queue = self.queue();
        let through = self.removed.max(queue.management.managed()?.first) + u64::from(count);
        (through <= queue.highest).then_some(through)
    }

    /// The session has got so many more of those that count. What has left the queue, in bytes.
    pub(crate) fn acknowledge(
        &mut self,
        now: Instant,
        count: u32,
        limits: &Limits,
        spent: &mut SpentStanzas,
    ) -> usize {
        let through = self.through(count).unwrap_or(0);
        let Some(queue) = &mut self.queue else { return 0 };
        let mut removed = 0;
        while self.removed < through
            && queue.passed > 0
            && let Some(bytes) = queue.remove_first(spent)
        {
            self.removed += 1;
            removed += bytes;
        }
        let waits = queue.rare.as_mut().and_then(|rare| rare.waits.as_mut());
        if let Some((since, before)) = waits.filter(|_| removed > 0) {
            (*since, *before) = (now, 0);
        }
        queue.watch(now, limits);
        removed
    }

    /// The connection is gone. What the session has not acknowledged is to be sent once more. `false`, and nothing has changed, if it
    /// does not wait for its client.
    pub(crate) fn detach(&mut self, now: Instant) -> bool {
        let Some(queue) = &mut self.queue else { return false };
        let waits = queue.management.detach(now);
        if waits {
            (queue.passed, queue.passed_bytes) = (0, 0);
            (queue.unacknowledged, queue.unacknowledged_bytes) = (0, 0);
            queue.unwatch();
        }
        waits
    }

    /// Whether it has no connection.
    pub(crate) fn is_detached(&self) -> bool {
        self.queue.as_ref().is_some_and(|queue| queue.management.is_detached())
    }

    /// The session's client is back, and has got so many more of those that count. `false`, and nothing has changed, if it was not gone,
    /// or can't have got so many.
    pub(crate) fn resume(&mut self, count: u32) -> bool {
        self.through(count).is_some() && self.queue_mut().management.resume(count)
    }

    /// The session has the connection on which its client has [come back](Outbox::resume): what that has not got [goes](Outbox::pass)
    /// there. What has left the queue, in bytes.
    pub(crate) fn attach(&mut self, spent: &mut SpentStanzas) -> usize {
        let Some(count) = self.queue.as_mut().and_then(|queue| queue.management.attach()) else { return 0 };
        let through = self.through(count).unwrap_or(0);
        let Some(queue) = &mut self.queue else { return 0 };
        let mut removed = 0;
        while self.removed < through
            && let Some(bytes) = queue.entries.front().map(Entry::bytes)
        {
            // It was sent once, on the connection before.
            (queue.passed, queue.passed_bytes) = (1, bytes);
            self.removed += 1;
            removed += queue.remove_first(spent).unwrap_or(0);
        }
        queue.base = self.removed;
        removed
    }

    /// What is in it is for nobody. What that cost, in bytes.
    pub(crate) fn clear(&mut self) -> usize {
        let Some(mut queue) = mem::take(self).queue else { return 0 };
        if !matches!(queue.management, Management::Off) {
            self.queue_mut().management = mem::take(&mut queue.management);
        }
        queue.bytes
    }

    /// Puts other stanzas into the place of those that have waited, but for those that come from a log.
    pub(crate) fn change(&mut self, mut change: impl FnMut(&Stanza, Instant) -> Option<Stanza>) {
        let Some(queue) = &mut self.queue else { return };
        for entry in queue.entries.iter_mut().filter(|entry| entry.replayed.is_none() && !entry.is_stamped) {
            let Some(stanza) = change(&entry.stanza, entry.at) else { continue };
            queue.bytes -= entry.bytes;
            entry.change(stanza);
            queue.bytes += entry.bytes;
        }
    }

    /// The session answers a request of `to` with this id. If that is not acknowledged yet the answer says that it has come.
    pub(crate) fn answer(&mut self, to: &Jid, id: &str) {
        let Some(queue) = &mut self.queue else { return };
        let sent = usize::try_from(queue.highest.saturating_sub(self.removed)).unwrap_or(usize::MAX);
        let is_asked = |entry: &&mut Entry| {
            let head = &entry.stanza.head;
            matches!(head.kind, Kind::Iq(IqType::Get | IqType::Set))
                && head.id.as_deref() == Some(id)
                && head.from.as_ref() == Some(to)
        };
        if let Some(entry) =
            queue.entries.iter_mut().take(sent).find(|entry| is_asked(entry) && !entry.is_answered)
        {
            entry.is_answered = true;
        }
    }

    /// The messages in it, and behind them those that are held, that are written nowhere, by their places, with the time at which they came and their groups: but for those that another
    /// session has got, or that are for this one alone.
    pub(crate) fn unkept(&self) -> impl Iterator<Item = Unkept> {
        let is_unkept = |entry: &Entry| {
            entry.is_message()
                && entry.kept.is_none()
                && entry.replayed.is_none()
                && !entry.is_for_one()
                && entry.others.as_ref().is_none_or(|others| !others.is_taken())
        };
        let entries = self.queue().all().enumerate().filter(move |(_, entry)| is_unkept(entry));
        entries.map(|(place, entry)| Unkept {
            place,
            stanza: Arc::clone(&entry.stanza),
            when: entry.when(),
            group: entry.group(),
        })
    }

    /// Those messages of which the documents are among these, with their documents: but for those that another session has got.
    pub(crate) fn kept_in(&self, keys: &BTreeSet<Arc<str>>) -> impl Iterator<Item = (Arc<str>, Unkept)> {
        let is_wanted = |entry: &Entry| entry.others.as_ref().is_none_or(|others| !others.is_taken());
        let entries = self.queue().all().enumerate().filter(move |(_, entry)| is_wanted(entry));
        entries.filter_map(|(place, entry)| {
            let key = entry.kept.as_ref().filter(|key| keys.contains(*key))?;
            let (stanza, when, group) = (Arc::clone(&entry.stanza), entry.when(), entry.group());
            Some((Arc::clone(key), Unkept { place, stanza, when, group }))
        })
    }

    /// The messages in it, with the time at which they came, but for those that come from a log.
    pub(crate) fn messages(&self) -> impl Iterator<Item = (Instant, &Arc<Stanza>)> {
        let messages = |entry: &&Entry| entry.is_message() && entry.replayed.is_none();
        self.queue().entries.iter().filter(messages).map(|entry| (entry.at, &entry.stanza))
    }

    /// All messages that go elsewhere if it does not get them: those in it, those that are held, and those that are about to be
    /// [merged](Outbox::merge).
    pub(crate) fn returned_messages(&self) -> impl Iterator<Item = &Stanza> {
        let queue = self.queue();
        let returned = queue.management.managed().into_iter().flat_map(|managed| &managed.returned);
        queue.all().chain(returned).filter(|entry| entry.is_returned_message()).map(|entry| &*entry.stanza)
    }

    /// The messages that are held.
    pub(crate) fn held_messages(&self) -> impl Iterator<Item = &Arc<Stanza>> {
        let held = self.queue().held.iter().flat_map(|held| held.entries());
        held.filter(|entry| entry.is_message()).map(|entry| &entry.stanza)
    }

    /// The groups of the messages in it that are written and that other sessions get as well, and their documents.
    pub(crate) fn kept_in_groups(&self) -> impl Iterator<Item = (u64, Arc<str>)> {
        self.queue().all().filter_map(|entry| Some((entry.group()?, entry.kept.clone()?)))
    }

    /// These are written now, in documents with these keys.
    pub(crate) fn keep(&mut self, keys: Vec<(usize, Arc<str>)>) {
        let Some(queue) = &mut self.queue else { return };
        let mut entries = queue.all_mut().enumerate();
        for (place, key) in keys {
            if let Some((_, entry)) = entries.find(|(at, _)| *at == place) {
                entry.kept = Some(key);
            }
        }
    }

    fn freed(&self) -> &[Arc<str>] {
        self.queue().rare.as_ref().map(|rare| rare.freed.as_slice()).unwrap_or_default()
    }

    /// The documents of what is in it, and of what the session has got.
    pub(crate) fn kept(&self) -> impl Iterator<Item = Arc<str>> {
        self.queue().all().filter_map(|entry| entry.kept.clone()).chain(self.freed().iter().cloned())
    }

    /// The same, each with the group of the sessions that may still get what is in it.
    pub(crate) fn kept_for_others(&self) -> impl Iterator<Item = (Arc<str>, Option<u64>)> {
        let freed = self.freed().iter().map(|key| (Arc::clone(key), None));
        self.queue().entries.iter().filter_map(Entry::kept_for_others).chain(freed)
    }

    /// What goes to these groups is written in these documents: those of what this session is to get are its own from now on.
    pub(crate) fn take_over(&mut self, groups: &mut OfGroups) {
        let Some(queue) = &mut self.queue else { return };
        for entry in queue.all_mut() {
            if let Some(group) = entry.group()
                && let Some(keys) = groups.get_mut(&group)
                && let Some(first) = keys.first()
            {
                let own = entry.kept.get_or_insert_with(|| Arc::clone(first));
                keys.retain(|key| key != own);
            }
        }
    }

    /// The documents of what the session has got since the last call.
    pub(crate) fn take_freed(&mut self) -> Vec<Arc<str>> {
        let rare = self.queue.as_mut().and_then(|queue| queue.rare.as_mut());
        let Some(rare) = rare else { return Vec::new() };
        let freed = mem::take(&mut rare.freed);
        self.tidy();
        freed
    }

    /// What has been taken in last is the last of what was replayed from a log.
    pub(crate) fn end_replay(&mut self) {
        let end = self.removed + self.queue().entries.len() as u64;
        self.queue_mut().rare().replay = Some(end);
    }

    /// Whether something of what was replayed is still on its way.
    pub(crate) fn is_replaying(&self) -> bool {
        self.queue().replay().is_some()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue().entries.is_empty()
    }

    /// Whether the session has what was replayed; says so once.
    pub(crate) fn take_replayed(&mut self) -> bool {
        let Some(rare) = self.queue.as_mut().and_then(|queue| queue.rare.as_mut()) else { return false };
        let is_done = rare.replay.take_if(|end| *end <= self.removed).is_some();
        if is_done {
            rare.replayed = None;
            self.tidy();
        }
        is_done
    }

    /// Up to which number of their log the session has what was replayed.
    pub(crate) fn replayed(&self) -> Option<u64> {
        self.queue().rare.as_ref()?.replayed
    }

    /// Whether the network has nothing to take for that something else can be done: all is on its way, and nothing is known of it that
    /// most queues have nothing of.
    pub(crate) fn is_simple(&self) -> bool {
        self.has_passed_all() && self.queue().rare.is_none()
    }

    /// When the session is closed if it takes no more than it has.
    pub(crate) fn stalls_at(&self, limits: &Limits) -> Option<Instant> {
        self.queue.as_ref()?.rare.as_ref()?.waits.map(|(since, _)| since + limits.stall)
    }

    /// Reads what every stanza has to do with, from each line of the processor's cache in which it lies.
    pub(crate) fn look(&self) {
        black_box(
            self.queue
                .as_ref()
                .map(|queue| (queue.held.is_some(), queue.bytes, queue.management.is_detached())),
        );
    }

    pub(crate) fn bytes(&self) -> usize {
        self.queue().bytes
    }

    /// An entry has come from the queue of another session, which is over, and waits here.
    pub(crate) fn moved(&mut self, bytes: usize) {
        self.queue_mut().rare().moved += bytes;
    }

    /// What counts against the room of the session, in bytes: neither answers to its own requests, which are bounded by what it may ask, nor
    /// what has come from the queue of another session, and had room there.
    pub(crate) fn counted(&self) -> usize {
        let queue = self.queue();
        let moved = queue.rare.as_ref().map_or(0, |rare| rare.moved);
        queue.bytes.saturating_sub(queue.answers + moved)
    }

    /// Whether its end has to be awaited: there are messages in it that may still get through, and that nobody else gets.
    pub(crate) fn matters(&self) -> bool {
        self.queue().replay().is_some() || self.queue().entries.iter().any(Entry::matters)
    }

    /// Whether there are messages in it that go elsewhere if it does not get them.
    pub(crate) fn returns_messages(&self) -> bool {
        self.queue().entries.iter().any(Entry::is_returned_message)
    }

    pub(crate) fn into_entries(self) -> VecDeque<Entry> {
        self.queue.map(|queue| queue.entries).unwrap_or_default()
    }
}
