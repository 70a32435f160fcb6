//! Messages in the queues of sessions without a connection (XEP-0198) are on disk as well, so that a crash loses none whose sender
//! was told that it is handled.
//!
//! Each is a document of its account, in [`UNDELIVERED`], from when it comes into such a queue until a session has acknowledged it, or
//! it has gone elsewhere and that is durable. Into the queue of another session, with a connection or without, it goes with its document,
//! which nobody writes anew: it may go on from there. What is stored instead is so in the step that deletes its document, so that it is in
//! one place whenever somebody looks, also if the router has given up waiting for that step, or has died. It is written before its
//! sender's stanza counts as handled. Documents that no session has in its queue when their account is loaded are what a crash has left:
//! they go their way once more, as those of a session that has ended do.
//!
//! What would not be kept for somebody who is away (XEP-0160) is not written either. A copy (XEP-0280) is written, as the message that it
//! stands for, if that may be on its way nowhere else any more, and not by itself: it is for one session.
//!
//! A store in trouble, or with too much to do, keeps nobody from getting messages: then they are in memory only, as for a session with a
//! connection, and it is tried again to write them, each half minute ([`Unwritten`]); also if it refuses one of them for itself, with all
//! that is to be written with it. They keep their documents' keys: the store may have
//! written a message of which it has not said so in time, and then it is in one document all the same, which is deleted in the end.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem;

use balcony_jid::BareJid;
use balcony_machine::Instant;
use balcony_stanza::{Kind, MessageType, Stanza};

use crate::account::Account;
use crate::asks::{Purpose, cost};
use crate::by_stanza::ByStanza;
use crate::collections::UNDELIVERED;
use crate::extension::Absent;
use crate::line::{Again, Origin, Task, When};
use crate::outbox::{OfGroups, Outbox, Unkept, is_copy};
use crate::resumption::stamped;
use crate::router::Router;
use crate::{Ask, Change, Content, Document, DocumentEdit, Effect, SessionId};

/// The version in which they are written: as XML, in which the server has said since when it has them.
const VERSION: u8 = 1;

/// The documents of an account that are no longer needed.
#[derive(Debug, Default)]
pub(crate) struct Obsolete {
    /// What was in them has gone elsewhere, and may wait to be stored there.
    keys: BTreeSet<Arc<str>>,
    /// They could not be deleted. Of more than [`MOST_FAILED`] the oldest are forgotten.
    failed: VecDeque<Arc<str>>,
}

/// So many documents that could not be deleted are known of an account, of about 50 bytes each.
const MOST_FAILED: usize = 4_096;

impl Obsolete {
    /// Whether none are known, whatever became of an attempt to delete them.
    pub(crate) fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.failed.is_empty()
    }

    /// Whether none are to be deleted now.
    pub(crate) fn is_tried(&self) -> bool {
        self.keys.is_empty()
    }

    fn failed(&mut self, keys: Vec<Arc<str>>) {
        self.failed.extend(keys);
        let excess = self.failed.len().saturating_sub(MOST_FAILED);
        self.failed.drain(..excess);
    }

    fn all(&self) -> impl Iterator<Item = Arc<str>> {
        self.keys.iter().chain(&self.failed).cloned()
    }

    /// It is time to try it again.
    pub(crate) fn try_again(&mut self) {
        self.keys.extend(self.failed.drain(..));
    }
}

/// The documents of messages of which the store has not said that it has written them.
///
/// It is tried to write those that are for sessions without a connection, some of them each half minute, and more as long as that goes well:
/// a store that refuses for ever costs no more than that, however many there are.
#[derive(Debug, Default)]
pub(crate) struct Unwritten {
    /// Some may have gone elsewhere: that is seen when it is tried again.
    keys: BTreeSet<Arc<str>>,
    next: Try,
    pace: Pace,
}

/// Which documents are tried next, and how many at a time.
///
/// The store may refuse one for itself, as it is too large for it or damaged, and then all that are tried with it. Which one it is nobody says: so
/// after each refusal half as many are tried, and others first, until it is alone.
#[derive(Debug, Default)]
struct Pace {
    /// The last one that was tried: those behind it come next, in the order of their keys, and then those before it.
    last: Option<Arc<str>>,
    /// At most so many, if fewer than the store may be asked for.
    most: Option<usize>,
    /// How often in a row they were written.
    went_well: u8,
}

impl Pace {
    /// After so many times in a row twice as many are tried. If that were sooner, those that are refused would be tried more often together with
    /// others.
    const SURE: u8 = 8;

    /// These were tried, which are some.
    fn tried(&mut self, keys: &[Arc<str>], is_saved: bool) {
        self.last = keys.last().cloned();
        if !is_saved {
            (self.most, self.went_well) = (Some((keys.len() / 2).max(1)), 0);
            return;
        }
        self.went_well += 1;
        if self.went_well >= Self::SURE {
            (self.most, self.went_well) = (self.most.map(|most| most.saturating_mul(2)), 0);
        }
    }

    /// In the order in which they are tried.
    fn order<T>(&self, mut all: BTreeMap<Arc<str>, T>) -> impl Iterator<Item = (Arc<str>, T)> + use<T> {
        let mut behind = self.last.as_ref().map(|last| all.split_off(last)).unwrap_or_default();
        let last = self.last.as_ref().and_then(|last| behind.remove_entry(last));
        all.extend(last);
        behind.into_iter().chain(all)
    }
}

/// The next time that it is tried.
#[derive(Clone, Copy, Debug, Default)]
enum Try {
    /// None is due.
    #[default]
    No,
    At(Instant),
    /// It is being tried: some are on their way to the store.
    UnderWay,
}

/// Messages that are being written during one call.
#[derive(Debug, Default)]
pub(crate) struct Keeps {
    by_stanza: ByStanza<Arc<str>>,
    /// The keys of their documents.
    keys: BTreeSet<Arc<str>>,
    /// The accounts of those that have come from other sessions, and that the store has not written.
    moved: BTreeSet<BareJid>,
}

impl Keeps {
    fn insert(&mut self, stanza: &Arc<Stanza>, key: Arc<str>) {
        self.keys.insert(Arc::clone(&key));
        self.by_stanza.insert(stanza, key);
    }

    pub(crate) fn clear(&mut self) {
        self.by_stanza.clear();
        self.keys.clear();
    }
}

/// How often in a row the store has not deleted what somebody has got.
///
/// An account of which something is left to be deleted stays in memory, so that nobody gets it once more when it is loaded again: until
/// the store has deleted it, or has failed so often in a row that it may be for ever. What is left then comes once more, to whoever takes
/// messages next, with the same id.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Deletions {
    failed: u8,
}

impl Deletions {
    /// With the usual bound on an answer that is ten minutes.
    const MOST: u8 = 20;

    pub(crate) fn count(&mut self, is_done: bool) {
        self.failed = if is_done { 0 } else { self.failed.saturating_add(1) };
    }

    /// Whether it is no use to wait for them.
    pub(crate) const fn are_hopeless(self) -> bool {
        self.failed >= Self::MOST
    }
}

impl Router {
    /// Has the message written that the effects from `start` on give to a session without a connection, if they do; its sender's stanza
    /// is handled when that is done. If too much of the sender waits nobody gets it. One that is written already, and that they give to
    /// any session, has its document there.
    pub(crate) fn keep_delivered(&mut self, start: usize, origin: &mut Origin, effects: &mut Vec<Effect>) {
        // This is on the way of every message.
        let is_written = origin.again().is_some_and(|again| again.document.is_some());
        if self.waiting_for_clients.is_empty() && !is_written {
            return;
        }
        let takes = |effect: &Effect| match effect {
            Effect::Deliver { session, stanza } => {
                let own = self.sessions.get(session).filter(|own| is_written || own.outbox.is_detached())?;
                (!is_copy(stanza)).then(|| (own.jid.to_bare(), Arc::clone(stanza)))
            }
            _ => None,
        };
        let Some((name, stanza)) = effects.iter().skip(start).find_map(takes) else { return };
        let placed = self.placed.get(&stanza);
        let Some(when) = placed.map(|placed| placed.when) else { return };
        if let Some(document) = origin.take_document() {
            // Of a session that has ended, or it is to be written again: nothing has to be done that could fail. The document goes when a
            // session has got the message, or in the step that stores it: never does a store that can't delete it have the message twice.
            if let Some(account) = self.accounts.get_mut(&name) {
                account.obsolete.keys.remove(&document);
                if account.unwritten.as_ref().is_some_and(|unwritten| unwritten.keys.contains(&document)) {
                    self.keeps.moved.insert(name);
                }
            }
            return self.keeps.insert(&stanza, document);
        }
        let Some(change) = self.keep(&name, &stanza, when) else { return };
        let mut delivered = effects.split_off(start);
        let Some(charge) = self.charge(&stanza, origin, effects) else { return };
        effects.append(&mut delivered);
        let key = key_of(&change);
        key.iter().for_each(|key| self.keeps.insert(&stanza, Arc::clone(key)));
        self.save_beside(&name, change, Purpose::Keep(key.into_iter().collect()), Some(charge), effects);
    }

    /// Has what is in the queue of a session written, which has lost its connection.
    pub(crate) fn keep_queue(&mut self, session: SessionId, effects: &mut Vec<Effect>) {
        let Some(own) = self.sessions.get(&session) else { return };
        let name = own.jid.to_bare();
        let waiting: Vec<_> = own.outbox.unkept().collect();
        if waiting.is_empty() {
            return;
        }
        // What other sessions are to get as well may be written already.
        let others = self.sessions(&name).filter_map(|other| self.sessions.get(&other));
        let written: BTreeMap<u64, Arc<str>> =
            others.flat_map(|other| other.outbox.kept_in_groups()).collect();
        let (mut changes, mut new) = (Vec::new(), Vec::new());
        let mut keys = Vec::new();
        for Unkept { place, stanza, when, group } in waiting {
            if let Some(key) = group.and_then(|group| written.get(&group)) {
                keys.push((place, Arc::clone(key)));
                continue;
            }
            let original = self.original(&stanza);
            let Some(change) = self.keep(&name, original.as_ref().unwrap_or(&stanza), when) else { continue };
            if let Some(key) = key_of(&change) {
                new.push(Arc::clone(&key));
                keys.push((place, key));
            }
            changes.push(change);
        }
        if let Some(own) = self.sessions.get_mut(&session) {
            own.outbox.keep(keys);
        }
        self.save_documents(&name, changes, Purpose::Keep(new), effects);
    }

    /// A copy is written as the message that it stands for.
    fn original(&self, stanza: &Stanza) -> Option<Stanza> {
        is_copy(stanza).then(|| self.shared.tables().original(stanza)).flatten()
    }

    /// The same for all sessions of the account that have lost theirs: one has ended that was to get what is for these as well.
    pub(crate) fn keep_queues(&mut self, name: &BareJid, effects: &mut Vec<Effect>) {
        let own: Vec<_> = self.sessions(name).collect();
        for session in own {
            if self.sessions.get(&session).is_some_and(|own| own.outbox.is_detached()) {
                self.keep_queue(session, effects);
            }
        }
    }

    /// The change that writes a message, if it is one that is kept for people who are away.
    fn keep(&mut self, name: &BareJid, stanza: &Stanza, when: When) -> Option<Change> {
        let (creation, content) = self.content(name, stanza, when)?;
        let clock = self.accounts.get(name)?.known()?.clock(when.at);
        // In the order in which they came, also beside those of an earlier run, of which no number is used again.
        let random = &mut self.random;
        let run = *self.run.get_or_insert_with(|| random.next_u64());
        self.kept += 1;
        let key = format!("{clock:016x}-{:016x}-{run:016x}-{:016x}", when.order, self.kept);
        Some(writing(creation, key.into(), content))
    }

    /// What is written of it, and of which of the accounts that have had this name.
    fn content(&self, name: &BareJid, stanza: &Stanza, when: When) -> Option<(u64, Content)> {
        let account = self.accounts.get(name)?;
        let known = account.known()?;
        if !self.is_kept(name, account, stanza) {
            return None;
        }
        let late = if when.is_stamped { None } else { Some(stamped(Some(account), stanza, when.at)?) };
        let mut bytes = Vec::new();
        late.as_ref().unwrap_or(stanza).write(&mut bytes);
        Some((known.creation, Content { version: VERSION, bytes: bytes.into() }))
    }

    /// Whether it is a message that is kept for people who are away.
    fn is_kept(&self, name: &BareJid, account: &Account, stanza: &Stanza) -> bool {
        matches!(
            stanza.head.kind,
            Kind::Message(MessageType::Normal | MessageType::Chat | MessageType::Groupchat)
        ) && matches!(self.shared.tables().absent(name, account, stanza, false), Absent::Keep(_))
    }

    /// The messages that wait for a session that has no connection and are in memory only: the store could not write them, or they are errors, which say
    /// that a message of its client's has not arrived. Each as the number that it
    /// has in this router, if it waits for other sessions as well, or a copy of it. Those are not among them that another session has got, nor what else is not
    /// kept for people who are away (XEP-0160).
    pub fn in_memory_only(&self, session: SessionId) -> impl Iterator<Item = Option<u64>> {
        let own = self.sessions.get(&session);
        let account = own.and_then(|own| self.accounts.get(own.jid.bare_str()));
        own.zip(account).into_iter().flat_map(move |(own, account)| {
            let name = own.jid.to_bare();
            let is_kept = move |unkept: &Unkept| {
                let original = self.original(&unkept.stanza);
                let stanza = original.as_ref().unwrap_or(&unkept.stanza);
                stanza.head.kind == Kind::Message(MessageType::Error) || self.is_kept(&name, account, stanza)
            };
            let unwritten = account.unwritten.iter().flat_map(move |all| own.outbox.kept_in(&all.keys));
            let unwritten = unwritten.map(|(_, unkept)| unkept);
            own.outbox.unkept().filter(is_kept).chain(unwritten).map(|unkept| unkept.group)
        })
    }

    /// The store has not written these documents, or has not said so in time. It is tried again in half a minute.
    pub(crate) fn not_written(&mut self, name: &BareJid, keys: Vec<Arc<str>>) {
        if let Some(account) = self.accounts.get_mut(name).filter(|_| !keys.is_empty()) {
            account.unwritten.get_or_insert_default().keys.extend(keys);
            self.write_later(name);
        }
    }

    /// It is tried in half a minute to write what is not written, unless it is to be tried already.
    fn write_later(&mut self, name: &BareJid) {
        let at = self.asks.now() + self.shared.config.limits.answer;
        let account = self.accounts.get_mut(name);
        if let Some(unwritten) = account.and_then(|account| account.unwritten.as_mut())
            && matches!(unwritten.next, Try::No)
        {
            unwritten.next = Try::At(at);
            self.try_later(name);
        }
    }

    /// It is time to see whether the store is still in trouble.
    pub(crate) fn write_when_due(&mut self, name: &BareJid, effects: &mut Vec<Effect>) {
        let unwritten = self.accounts.get(name).and_then(|account| account.unwritten.as_ref());
        if unwritten.is_some_and(|all| matches!(all.next, Try::At(at) if at <= self.asks.now())) {
            self.write_again(name, effects);
        }
    }

    /// The same, of accounts of which some have come to other sessions just now: they may have been on their way when it was time.
    pub(crate) fn write_moved(&mut self, effects: &mut Vec<Effect>) {
        for name in mem::take(&mut self.keeps.moved) {
            self.write_when_due(&name, effects);
        }
    }

    /// Nothing could be tried. If messages are on their way from one session to another it is as soon as they are there.
    fn postpone(&mut self, name: &BareJid, is_moving: bool) {
        let now = self.asks.now();
        let account = self.accounts.get_mut(name).filter(|_| is_moving);
        if let Some(unwritten) = account.and_then(|account| account.unwritten.as_mut()) {
            unwritten.next = Try::At(now);
        }
    }

    /// Some documents have been written that could not be before, or have not.
    pub(crate) fn tried_again(
        &mut self,
        name: &BareJid,
        keys: Vec<Arc<str>>,
        is_saved: bool,
        effects: &mut Vec<Effect>,
    ) {
        let Some(account) = self.accounts.get_mut(name) else { return };
        account.asks -= 1;
        if let Some(unwritten) = &mut account.unwritten {
            unwritten.next = Try::No;
            unwritten.pace.tried(&keys, is_saved);
        }
        if is_saved {
            self.write_again(name, effects);
        } else {
            self.not_written(name, keys);
        }
    }

    /// Has documents written that have not been, of messages that are for sessions without a connection: as many as it is their [pace](Pace), of as
    /// many bytes as the store may be asked for at a time, or one.
    fn write_again(&mut self, name: &BareJid, effects: &mut Vec<Effect>) {
        let Some(account) = self.accounts.get_mut(name) else { return };
        // What this call gives to a session is in its queue when the call ends.
        let is_coming = |key: &Arc<str>| self.keeps.keys.contains(key);
        let is_moving = account.is_moving()
            || account.unwritten.as_ref().is_some_and(|unwritten| unwritten.keys.iter().any(is_coming));
        let Some(Unwritten { mut keys, pace, .. }) = account.unwritten.take().map(|unwritten| *unwritten)
        else {
            return;
        };
        let (mut waiting, mut wanted) = (BTreeMap::new(), BTreeSet::new());
        for own in self.sessions(name).filter_map(|session| self.sessions.get(&session)) {
            for (key, unkept) in own.outbox.kept_in(&keys) {
                wanted.insert(Arc::clone(&key));
                if own.outbox.is_detached() {
                    waiting.insert(key, unkept);
                }
            }
        }
        if !is_moving {
            // The others have gone elsewhere, and come to none of these sessions any more.
            keys = wanted;
        }
        let limits = &self.shared.config.limits;
        let most = pace.most.map_or(limits.storing, |most| most.min(limits.storing));
        let most_bytes = limits.storing_bytes;
        let (mut changes, mut tried, mut bytes) = (Vec::new(), Vec::new(), 0_usize);
        for (key, Unkept { stanza, when, .. }) in pace.order(waiting) {
            let original = self.original(&stanza);
            let stanza = original.as_ref().unwrap_or(&stanza);
            bytes = bytes.saturating_add(cost(stanza));
            if !changes.is_empty() && (changes.len() >= most || bytes > most_bytes) {
                break;
            }
            keys.remove(&key);
            if let Some((creation, content)) = self.content(name, stanza, when) {
                changes.push(writing(creation, Arc::clone(&key), content));
                tried.push(key);
            }
        }
        let is_under_way = !changes.is_empty();
        let next = if is_under_way { Try::UnderWay } else { Try::No };
        if let Some(account) = self.accounts.get_mut(name).filter(|_| is_under_way || !keys.is_empty()) {
            account.unwritten = Some(Box::new(Unwritten { keys, next, pace }));
        }
        if !is_under_way {
            // They are of sessions that have a connection, which they may lose, or are on their way to others.
            self.write_later(name);
            return self.postpone(name, is_moving);
        }
        self.save_documents(name, changes, Purpose::KeepAgain(tried), effects);
    }

    /// An account has been loaded that was not in memory, and these messages of it are written. Sessions that go on may have others in their
    /// queues: the store could not write them at the server before.
    fn write_missing(&mut self, name: &BareJid, left: &[Document], effects: &mut Vec<Effect>) {
        let written: BTreeSet<&str> = left.iter().map(|document| &*document.key).collect();
        let own = self.sessions(name).filter_map(|session| self.sessions.get(&session));
        let kept = own.flat_map(|own| own.outbox.kept());
        let missing: BTreeSet<_> = kept.filter(|key| !written.contains(&**key)).collect();
        if let Some(account) = self.accounts.get_mut(name).filter(|_| !missing.is_empty()) {
            account.unwritten.get_or_insert_default().keys.extend(missing);
            self.write_again(name, effects);
        }
    }

    /// The document of a message that is being delivered.
    pub(crate) fn kept_as(&self, stanza: &Arc<Stanza>) -> Option<Arc<str>> {
        self.keeps.by_stanza.get(stanza).cloned()
    }

    /// A session may have acknowledged messages that are written: they are no longer needed.
    pub(crate) fn forget_acknowledged(&mut self, session: SessionId, effects: &mut Vec<Effect>) {
        let Some(own) = self.sessions.get_mut(&session) else { return };
        let freed = own.outbox.take_freed();
        if !freed.is_empty() {
            let name = own.jid.to_bare();
            self.forget(&name, freed, effects);
        }
    }

    fn forget(&mut self, name: &BareJid, keys: Vec<Arc<str>>, effects: &mut Vec<Effect>) {
        let known = self.accounts.get(name).and_then(|account| account.known());
        let Some(creation) = known.map(|known| known.creation) else { return };
        if let Some(unwritten) = self.accounts.get_mut(name).and_then(|account| account.unwritten.as_mut()) {
            for key in &keys {
                unwritten.keys.remove(key);
            }
        }
        if self.storing.has_waiting(name)
            && let Some(account) = self.accounts.get_mut(name)
        {
            // One of them may not be on its way to the store yet, and must not come behind its own end.
            return account.obsolete.keys.extend(keys);
        }
        let changes = keys.iter().map(|key| deletion(creation, Arc::clone(key))).collect();
        self.save_documents(name, changes, Purpose::Forget(keys), effects);
    }

    fn save_documents(
        &mut self,
        name: &BareJid,
        changes: Vec<Change>,
        purpose: Purpose,
        effects: &mut Vec<Effect>,
    ) {
        let Some(account) = self.accounts.get_mut(name).filter(|_| !changes.is_empty()) else { return };
        account.asks += 1;
        let ask = Ask::Save { account: name.clone(), changes, by_others: false };
        self.ask(ask, purpose, None, effects);
    }

    /// A session does not get what is in these documents. They are not needed any more, but where another session of their group still
    /// waits for the same: then they are that one's.
    pub(crate) fn give_up_documents(
        &mut self,
        name: &BareJid,
        kept: impl IntoIterator<Item = (Arc<str>, Option<u64>)>,
    ) {
        let mut groups = OfGroups::new();
        for (key, group) in kept {
            match group {
                Some(group) => groups.entry(group).or_default().push(key),
                None => self.give_up_document(name, key),
            }
        }
        if groups.is_empty() {
            return;
        }
        let own: Vec<SessionId> = self.sessions(name).collect();
        for session in own {
            if let Some(own) = self.sessions.get_mut(&session) {
                own.outbox.take_over(&mut groups);
            }
        }
        self.leave_to_others(name, &mut groups);
        for key in groups.into_values().flatten() {
            self.give_up_document(name, key);
        }
    }

    /// What is in the document has gone elsewhere. If that is a queue where it is kept as well, it is that one's now.
    fn give_up_document(&mut self, name: &BareJid, key: Arc<str>) {
        if let Some(account) = self.accounts.get_mut(name)
            && !self.keeps.keys.contains(&key)
        {
            account.obsolete.keys.insert(key);
        }
    }

    /// Messages have been deleted, or have not.
    pub(crate) fn forgotten(&mut self, name: &BareJid, keys: Vec<Arc<str>>, is_saved: bool) {
        let Some(account) = self.accounts.get_mut(name) else { return };
        account.asks -= 1;
        account.deletions.count(is_saved);
        if !is_saved {
            account.obsolete.failed(keys);
            self.try_later(name);
        }
    }

    /// Deletes what has gone elsewhere, once nothing of it can be lost on the way there.
    pub(crate) fn forget_obsolete(&mut self, name: &BareJid, effects: &mut Vec<Effect>) {
        let Some(account) = self.accounts.get_mut(name).filter(|account| !account.obsolete.is_tried()) else {
            return;
        };
        let waits = self.storing.has_waiting(name);
        let is_settled = account.backlog.puts == 0 && !waits && !account.has_returned();
        if account.phase.is_open() && is_settled {
            let keys = mem::take(&mut account.obsolete.keys);
            self.forget(name, keys.into_iter().collect(), effects);
        }
    }

    /// An account has been loaded that was not in memory. What a crash has left of its messages goes its way once more.
    pub(crate) fn take_left(&mut self, name: &BareJid, left: Vec<Document>, effects: &mut Vec<Effect>) {
        // It is for sessions that go on at the next server.
        if self.is_over {
            return;
        }
        self.write_missing(name, &left, effects);
        let Some(account) = self.accounts.get(name).filter(|_| !left.is_empty()) else { return };
        let sessions = account.resources().iter().filter_map(|own| self.sessions.get(&own.session));
        let outboxes = sessions.map(|own| &own.outbox);
        // Those of sessions that are over may still get through, or go elsewhere from there.
        let over = self.leaving.of(name);
        let over = over.iter().filter_map(|session| self.leaving.get(*session)).map(|left| &left.outbox);
        // What waits here already has come back from sessions that ended while the account could not be loaded.
        let taken: BTreeSet<Arc<str>> =
            outboxes.chain(over).flat_map(Outbox::kept).chain(account.obsolete.all()).collect();
        let mut left: Vec<Document> =
            left.into_iter().filter(|document| !taken.contains(&document.key)).collect();
        left.sort_by(|one, other| one.key.cmp(&other.key));
        for document in &left {
            if let Some(stanza) = Stanza::parse(&document.content.bytes) {
                // Nothing that is in memory was delivered before.
                let when = When { order: 0, at: self.asks.now(), is_stamped: true };
                let document = Some(Arc::clone(&document.key));
                self.returned(name, stanza, Again { when, creation: None, document }, effects);
            }
        }
        for document in left {
            self.give_up_document(name, document.key);
        }
    }
}

/// The document that is changed.
fn key_of(change: &Change) -> Option<Arc<str>> {
    if let Change::Document { edit, .. } = change { Some(Arc::clone(&edit.key)) } else { None }
}

/// The change that writes a message.
fn writing(creation: u64, key: Arc<str>, content: Content) -> Change {
    let edit = DocumentEdit { collection: UNDELIVERED.into(), key, content: Some(content) };
    Change::Document { creation, edit }
}

/// The change that deletes a message.
pub(crate) fn deletion(creation: u64, key: Arc<str>) -> Change {
    let edit = DocumentEdit { collection: UNDELIVERED.into(), key, content: None };
    Change::Document { creation, edit }
}

/// Takes the messages that wait for sessions out of what was loaded.
pub(crate) fn split_off(documents: &mut Vec<Document>) -> Vec<Document> {
    documents.extract_if(.., |document| document.collection == UNDELIVERED).collect()
}

impl Account {
    /// Whether messages may be on their way from a session to others.
    fn is_moving(&self) -> bool {
        self.leaving() > 0 || self.ending > 0 || self.has_returned()
    }

    /// Whether messages that have come back from sessions wait.
    fn has_returned(&self) -> bool {
        let is_returned = |task: Task| matches!(task, Task::Returned);
        self.queue().iter().any(|waiting| is_returned(waiting.task)) || self.any_in_lines(is_returned)
    }
}
