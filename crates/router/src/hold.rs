//! What is on its way to a session and waits because an extension says that it is not urgent, as long as nobody uses the client (XEP-0352).
//!
//! It waits before the session's queue, and has no place there yet: so what is of no use any more, when a later one has come, is dropped
//! without a gap in what stream management counts (XEP-0198). It is handled for its sender, and against the session's bounds. When
//! something urgent comes, or there is too much of it, all of it goes into the queue, in the order in which it came.
//!
//! Messages wait there as well while older ones come for their session from the store, in parts: they go when the last of these has. What else their
//! senders send waits behind them.
//!
//! So do messages from the queue of a session in whose place there is another one, until the client of this has shown itself, sent a message, or counts: what has waited, or
//! is not known to have come, is not to be lost on a stream on which nothing is counted yet (XEP-0198).

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem;
use core::time::Duration;

use balcony_jid::{BareJid, Jid};
use balcony_machine::Instant;
use balcony_stanza::Stanza;
use balcony_xml::ElementRef;

use crate::account::{Account, Resource};
use crate::extension::{Call, Delivery};
use crate::line::Again;
use crate::outbox::{Entry, is_copy};
use crate::queue::Offer;
use crate::resumption::stamped;
use crate::router::Router;
use crate::{Effect, SessionId};

/// What has waited for less is as good as new.
const FRESH: Duration = Duration::from_secs(1);

/// By what a later one replaces it: which extension says so, and what that calls it.
pub(crate) type Key = (u8, Arc<str>);

/// What is held for one session, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct Held {
    /// By when they came.
    entries: BTreeMap<u64, (Option<Key>, Entry)>,
    /// The latest of each key.
    latest: BTreeMap<Key, u64>,
    next: u64,
    bytes: usize,
    /// What waits behind older messages, whatever extensions say: by its place among all that was delivered, and by when it came.
    behind: BTreeMap<(u64, u64), Entry>,
    /// Who has sent something of that.
    senders: BTreeSet<Jid>,
}

impl Held {
    /// Takes in something that waits behind older messages.
    pub(crate) fn push_behind(&mut self, entry: Entry) {
        if let Some(from) = &entry.stanza.head.from
            && !self.senders.contains(from)
        {
            self.senders.insert(from.clone());
        }
        // One that comes back from another session may be older than others here; so may very many.
        let number = self.next;
        self.next += 1;
        self.behind.insert((entry.order, number), entry);
    }

    /// How many wait behind older ones.
    pub(crate) fn behind(&self) -> usize {
        self.behind.len()
    }

    /// Whether something of this sender does.
    pub(crate) fn is_behind(&self, from: &Jid) -> bool {
        self.senders.contains(from)
    }

    /// All of those.
    pub(crate) fn take_behind(&mut self) -> Vec<Entry> {
        self.senders.clear();
        mem::take(&mut self.behind).into_values().collect()
    }

    /// Only those.
    pub(crate) fn of_behind(behind: impl IntoIterator<Item = Entry>) -> Option<Box<Held>> {
        let mut held = Held::default();
        behind.into_iter().for_each(|entry| held.push_behind(entry));
        (held.behind() > 0).then(|| Box::new(held))
    }

    /// The others go. What still waits behind older ones.
    pub(crate) fn split_behind(&mut self) -> Option<Box<Held>> {
        let (behind, senders) = (mem::take(&mut self.behind), mem::take(&mut self.senders));
        (!behind.is_empty()).then(|| Box::new(Held { behind, senders, next: self.next, ..Held::default() }))
    }

    /// Takes one more in. What it takes the place of.
    pub(crate) fn push(&mut self, key: Option<Key>, entry: Entry) -> Option<Entry> {
        let number = self.next;
        self.next += 1;
        self.bytes += entry.bytes();
        let before = key.clone().and_then(|key| self.latest.insert(key, number));
        let before = before.and_then(|before| self.entries.remove(&before)).map(|(_, entry)| entry);
        self.bytes -= before.as_ref().map_or(0, Entry::bytes);
        self.entries.insert(number, (key, entry));
        before
    }

    /// How many wait because they are not urgent.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// What these cost.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// All that wait, for either reason.
    pub(crate) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values().map(|(_, entry)| entry).chain(self.behind.values())
    }

    /// Those that are not urgent.
    pub(crate) fn into_entries(self) -> impl Iterator<Item = Entry> {
        self.entries.into_values().map(|(_, entry)| entry)
    }

    /// All that wait, for either reason, to be changed.
    pub(crate) fn entries_mut(&mut self) -> impl Iterator<Item = &mut Entry> {
        self.entries.values_mut().map(|(_, entry)| entry).chain(self.behind.values_mut())
    }

    /// Those that are not urgent and are of use to somebody else if their session is over, and the others: what a later one would have replaced.
    pub(crate) fn into_lasting(self) -> (Vec<Entry>, Vec<Entry>) {
        let (lasting, others): (Vec<_>, Vec<_>) =
            self.entries.into_values().partition(|(key, _)| key.is_none());
        let entries = |all: Vec<(Option<Key>, Entry)>| all.into_iter().map(|(_, entry)| entry).collect();
        (entries(lasting), entries(others))
    }
}

impl Router {
    /// Takes an element of a session's that is no stanza, and is [known](crate::extension::Extensions::elements) to an extension. It
    /// takes effect in its place among the stanzas that the session sends.
    pub fn element(
        &mut self,
        now: Instant,
        session: SessionId,
        element: ElementRef<'_>,
        effects: &mut Vec<Effect>,
    ) {
        self.asks.clock(now);
        let Some(name) = self.sessions.get(&session).map(|own| own.jid.to_bare()) else { return };
        let start = effects.len();
        let Some(account) = self.accounts.get_mut(&name) else { return };
        let mut call = Call {
            shared: &self.shared,
            owner: &name,
            account,
            session: Some(session),
            now: self.asks.now(),
            random: &mut self.random,
            orders: &mut self.orders.orders,
            effects,
        };
        self.shared.tables().element(&mut call, element);
        self.refresh(&name);
        self.dispatch(start, effects);
    }

    /// Whether something that comes for a session for which something is held, or may be, goes to it now, and which extension says so.
    /// What comes from a log is not held: whoever replays it waits for that.
    pub(crate) fn delivery(&self, id: SessionId, stanza: &Stanza, is_replayed: bool) -> (u8, Delivery) {
        let Some(own) = self.sessions.get(&id).filter(|own| own.holds && !is_replayed) else {
            return (0, Delivery::Flush);
        };
        let account = self.accounts.get(own.jid.bare_str());
        let resource = account.and_then(|account| account.resources().iter().find(|r| r.session == id));
        let tables = self.shared.tables();
        let client = resource.map(Resource::slots);
        // As long as nobody who holds knows anything of it, there is nothing to wait for.
        let client = client.filter(|client| own.outbox.held() == 0 || tables.holds(client));
        client.map_or((0, Delivery::Flush), |client| tables.hold(client, stanza))
    }

    /// Holds something back for a session. If that is too much, all of it goes: what goes at once is in front of all that comes later, and
    /// what has no room counts as everything that waits for the session.
    pub(crate) fn hold_back(
        &mut self,
        id: SessionId,
        key: Option<Key>,
        entry: Entry,
        front: &mut Vec<Arc<Stanza>>,
    ) -> Offer {
        let limits = &self.shared.config.limits;
        let Some(own) = self.sessions.get_mut(&id) else { return Offer::Waits };
        self.queued += entry.bytes();
        let before = own.outbox.hold(key, entry);
        self.queued -= before.as_ref().map_or(0, Entry::bytes);
        let is_too_much = own.outbox.held() > limits.held
            || own.outbox.held_bytes() > limits.held_bytes
            || self.queued > limits.total_queue_bytes;
        if let Some(kept) = before.and_then(|before| before.kept_for_others()) {
            let name = own.jid.to_bare();
            self.give_up_documents(&name, [kept]);
        }
        if !is_too_much {
            return Offer::Waits;
        }
        self.flush(id, front);
        let has_gone = self.sessions.get(&id).is_none_or(|own| own.outbox.has_passed_all());
        if has_gone { Offer::Waits } else { self.has_to_wait(id) }
    }

    /// Puts all that is held for a session into its queue: messages with the time at which they came (XEP-0203); presence says how things
    /// are. `front`: what goes at once.
    pub(crate) fn flush(&mut self, id: SessionId, front: &mut Vec<Arc<Stanza>>) {
        let (now, limits) = (self.asks.now(), &self.shared.config.limits);
        let Some(own) = self.sessions.get_mut(&id) else { return };
        let Some(held) = own.outbox.take_held() else { return };
        self.queued -= held.bytes();
        let account = self.accounts.get(own.jid.bare_str());
        // Otherwise it is stamped when the client is back.
        let has_connection = !own.outbox.is_detached();
        let before = own.outbox.stalls_at(limits);
        for mut entry in held.into_entries() {
            let is_late = entry.is_message() && now.saturating_since(entry.at) >= FRESH;
            if has_connection && is_late {
                let late = stamped(account, &entry.stanza, entry.at);
                late.into_iter().for_each(|stanza| entry.change(stanza));
            }
            self.queued += entry.bytes();
            let stanza = Arc::clone(&entry.stanza);
            if own.outbox.push(now, entry, limits, &mut self.spent) {
                front.push(stanza);
            }
        }
        let after = own.outbox.stalls_at(limits);
        self.watch(id, before, after);
    }

    /// Whether something that comes for a session waits there: a message behind stored ones, which are older, and what else its sender sends behind
    /// that (RFC 6120 section 10.1). Whoever is answered by the server, or by the account itself, need not wait for what others have sent.
    pub(crate) fn waits_behind(&self, id: SessionId, entry: &Entry) -> bool {
        let Some(own) = self.sessions.get(&id) else { return false };
        if !entry.is_message() {
            let from = entry.stanza.head.from.as_ref().filter(|from| !(entry.is_answer() && from.is_bare()));
            return from.is_some_and(|from| own.outbox.is_behind(from));
        }
        let account = self.accounts.get(own.jid.bare_str());
        own.outbox.behind() > 0 || account.is_some_and(|account| account.has_older_to_come() == Some(id))
    }

    /// Has it wait so.
    pub(crate) fn hold_behind(&mut self, id: SessionId, entry: Entry, is_returned: bool) -> Offer {
        let Some(own) = self.sessions.get_mut(&id) else { return Offer::Waits };
        self.queued += entry.bytes();
        if is_returned {
            own.outbox.moved(entry.bytes());
        }
        own.outbox.hold_behind(entry);
        self.has_to_wait(id)
    }

    /// Those for which messages have waited behind stored ones that are all in their queues now.
    pub(crate) fn catch_up_all(&mut self, effects: &mut Vec<Effect>) {
        // What others hear of sessions that end is not in their queues yet.
        let mut ended = Vec::new();
        while let Some(session) = self.caught_up.pop() {
            self.catch_up(session, &mut ended, effects);
        }
        if !ended.is_empty() {
            let start = effects.len();
            effects.append(&mut ended);
            self.dispatch(start, effects);
        }
    }

    /// What has waited behind stored messages goes to the session.
    fn catch_up(&mut self, id: SessionId, ended: &mut Vec<Effect>, effects: &mut Vec<Effect>) {
        let Some(name) = self.sessions.get(&id).map(|own| own.jid.to_bare()) else { return };
        if self.give_back(id, ended) {
            self.fetch(&name, ended);
            self.drain_all(&name, ended);
            self.settle(&name, ended);
        }
        let behind = self.sessions.get_mut(&id).map(|own| own.outbox.take_behind()).unwrap_or_default();
        self.queued -= behind.iter().map(Entry::bytes).sum::<usize>();
        for entry in behind {
            self.let_catch_up(id, entry, ended, effects);
        }
    }

    /// One that has waited goes into the session's queue.
    fn let_catch_up(
        &mut self,
        id: SessionId,
        mut entry: Entry,
        ended: &mut Vec<Effect>,
        effects: &mut Vec<Effect>,
    ) {
        let Some(own) = self.sessions.get(&id) else {
            // There was too much for it.
            self.offer_late(id, entry, false);
            return;
        };
        // Without a connection it is stamped when the client is back.
        if !own.outbox.is_detached() {
            let name = own.jid.to_bare();
            self.stamp(&name, &mut entry);
        }
        let stanza = Arc::clone(&entry.stanza);
        let mut front = Vec::new();
        let offer = self.admit(id, entry, false, &mut front, effects);
        let deliver = |stanza| Effect::Deliver { session: id, stanza };
        effects.extend(front.into_iter().map(deliver));
        match offer {
            Offer::Goes => effects.push(deliver(stanza)),
            Offer::Waits => {}
            Offer::TooMuch => self.close_full(id, ended),
            Offer::Full => self.make_room(id, ended),
        }
    }

    /// A message that has waited says since when (XEP-0203), if it does not yet.
    fn stamp(&self, name: &BareJid, entry: &mut Entry) {
        let is_late = entry.is_message() && self.asks.now().saturating_since(entry.at) >= FRESH;
        if is_late
            && !entry.is_stamped
            && let Some(late) = stamped(self.accounts.get(name), &entry.stanza, entry.at)
        {
            entry.change(late);
            entry.is_stamped = true;
        }
    }

    /// If the client of a session takes no messages for the account any more, it does not get the rest of the stored ones either: what has waited
    /// behind these and is for the account goes back, to whoever else takes it, or to the store. Whether it is any.
    pub(crate) fn give_back(&mut self, id: SessionId, effects: &mut Vec<Effect>) -> bool {
        let Some(own) = self.sessions.get_mut(&id).filter(|own| own.outbox.behind() > 0) else {
            return false;
        };
        let (name, address) = (own.jid.to_bare(), own.jid.to_jid());
        let takes_no_more =
            |account: &Account| account.backlog.may_wait && !account.receptive().any(|other| other == id);
        if !self.accounts.get(&name).is_some_and(takes_no_more) {
            return false;
        }
        let creation = own.outbox.management().managed().and_then(|managed| managed.creation);
        // As is what was for a resource that is not there (RFC 6121 section 8.5.3.2.1).
        let is_for_account = |entry: &Entry| {
            entry.is_message() && entry.stanza.head.to.as_ref() != Some(&address) && !is_copy(&entry.stanza)
        };
        let (back, others): (Vec<_>, Vec<_>) = own.outbox.take_behind().into_iter().partition(is_for_account);
        others.into_iter().for_each(|entry| own.outbox.hold_behind(entry));
        self.queued -= back.iter().map(Entry::bytes).sum::<usize>();
        let is_left_to_others = back.iter().any(Entry::is_left_to_others);
        let kept: Vec<_> = back.iter().filter_map(Entry::kept_for_others).collect();
        let has_some = !back.is_empty();
        for mut entry in back {
            self.stamp(&name, &mut entry);
            let again = Again { when: entry.when(), creation, document: entry.document(&BTreeMap::new()) };
            if let Some(stanza) = entry.undelivered() {
                self.returned(&name, stanza, again, effects);
            }
        }
        self.give_up_documents(&name, kept);
        if is_left_to_others {
            self.keep_queues(&name, effects);
        }
        has_some
    }

    /// Lets go of what is held for sessions for which nothing is held any more.
    pub(crate) fn flush_all(&mut self, effects: &mut Vec<Effect>) {
        let mut front = Vec::new();
        while let Some(session) = self.to_flush.pop() {
            self.flush(session, &mut front);
            effects.extend(front.drain(..).map(|stanza| Effect::Deliver { session, stanza }));
        }
    }

    /// The client of a session is back on another connection, which is to be told so: extensions know of the client what they know of one
    /// whose stream begins. What is held goes into the queue.
    pub(crate) fn begin_again(&mut self, session: SessionId) {
        let Some(name) = self.sessions.get(&session).map(|own| own.jid.to_bare()) else { return };
        if let Some(account) = self.accounts.get_mut(&name) {
            if let Some(resource) = account.by_session(session) {
                self.shared.tables().resumed(resource.slots_mut());
            }
            account.count_slots();
        }
        // It has no connection yet, so nothing goes at once.
        self.flush(session, &mut Vec::new());
        self.refresh(&name);
    }
}
