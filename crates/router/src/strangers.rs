//! What strangers have sent, until the router gets to it.
//!
//! A stranger, who does not see the recipient's presence, must not learn what becomes of a stanza, by time neither: to store a
//! message takes longer than to drop it. So nothing of the recipient is looked at, and nothing done for it, while the stanza comes
//! in. It is parked here, counts as handled, and its recipient gets it when its owner says that everything which came with it has
//! been answered (ADR 5 says why).
//!
//! Each sender has its turn, in which several of its stanzas are taken in: mostly they are for one recipient, who gets them with one
//! write. What passes from one address to another keeps its order: what the server says in the sender's name comes behind what is
//! parked. If that can't wait, because the answer to a request comes behind it, or because the sender has become a subscriber
//! meanwhile, what is parked goes before it at once.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::hash::BuildHasher as _;
use core::mem;
use core::time::Duration;

use balcony_jid::BareJid;
use balcony_machine::{Instant, Limits};
use balcony_stanza::{Kind, Stanza};
use hashbrown::{HashMap, hash_map};
use smallvec::SmallVec;

use crate::account::Account;
use crate::ahead::{TOGETHER, read};
use crate::asks::cost;
use crate::charging::sees;
use crate::facts::{Said, SenderFacts};
use crate::line::Origin;
use crate::router::Router;
use crate::{Effect, SessionId};

/// How many stanzas [`Router::take_in`] takes in at once: all of one sender, if it has as many.
const TURN: usize = 16;
/// For fewer senders nothing is read ahead.
const FEW: usize = 4;
/// So many windows of one sender are parked at most.
const FULL: usize = 4;
/// When they are taken in at the latest.
const PAUSE: Duration = Duration::from_millis(1);

/// What is parked.
///
/// Addresses are told apart by their hashes: should two be the same, order is kept between more than has to be in order.
#[derive(Debug, Default)]
pub(crate) struct Parked {
    /// What each sender has sent: an account of ours, or the domain of others. Never iterated.
    senders: HashMap<u64, Queue>,
    /// The same senders, each once, in the order in which they have their turns: those, too, of whom all was taken in out of turn.
    turns: VecDeque<u64>,
    /// How many stanzas there are from one address to another. Never iterated.
    pairs: HashMap<u64, usize>,
    stanzas: usize,
    /// When they are taken in at the latest.
    due: Option<Instant>,
    /// One is being taken in just now.
    is_taking: bool,
    /// Something of the first sender in turn has been taken in, and not all.
    in_turn: bool,
    /// What is taken in next has been [read](Router::look_at_parked) already, with what was before that.
    is_read: bool,
}

/// What is parked of one sender.
#[derive(Debug)]
struct Queue {
    first: Option<Entry>,
    /// Mostly there are none, and so no buffer.
    others: VecDeque<Entry>,
    /// What all cost.
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    stanza: Stanza,
    bytes: usize,
    by: By,
    pair: u64,
}

/// Who has brought it.
#[derive(Clone, Copy, Debug)]
enum By {
    /// Its sender, by this session, or from another server.
    Sender(Option<SessionId>),
    /// This server: see [`Origin::Server`].
    Server(SenderFacts),
    /// This server: see [`Origin::Answer`].
    Answer,
}

impl Parked {
    pub(crate) const fn is_empty(&self) -> bool {
        self.stanzas == 0
    }

    /// When [`Router::take_in`] is due at the latest.
    pub(crate) const fn due(&self) -> Option<Instant> {
        self.due
    }

    fn pair(&self, from: &str, to: &str) -> u64 {
        self.pairs.hasher().hash_one((from, to))
    }

    /// Whether anything is on its way between the two.
    pub(crate) fn is_between(&self, one: &BareJid, other: &BareJid) -> bool {
        let has =
            |from: &BareJid, to: &BareJid| self.pairs.contains_key(&self.pair(from.as_str(), to.as_str()));
        !self.is_empty() && (has(one, other) || has(other, one))
    }

    fn has_pair(&self, stanza: &Stanza) -> bool {
        let (Some(from), Some(to)) = (&stanza.head.from, &stanza.head.to) else { return false };
        !self.is_empty() && self.pairs.contains_key(&self.pair(from.bare_str(), to.bare_str()))
    }

    /// Whether this sender has no room for one more that costs so much. There is always room for one.
    fn is_full(&self, sender: u64, bytes: usize, limits: &Limits) -> bool {
        let queue = self.senders.get(&sender);
        queue.is_some_and(|queue| queue.first.is_some() && queue.bytes + bytes > FULL * limits.window_bytes)
    }

    fn push(&mut self, now: Instant, sender: u64, entry: Entry) {
        *self.pairs.entry(entry.pair).or_default() += 1;
        self.stanzas += 1;
        self.due.get_or_insert(now + PAUSE);
        match self.senders.entry(sender) {
            hash_map::Entry::Occupied(queue) => {
                let queue = queue.into_mut();
                queue.bytes += entry.bytes;
                match queue.first {
                    Some(_) => queue.others.push_back(entry),
                    None => queue.first = Some(entry),
                }
            }
            hash_map::Entry::Vacant(place) => {
                let bytes = entry.bytes;
                place.insert(Queue { first: Some(entry), others: VecDeque::new(), bytes });
                self.turns.push_back(sender);
            }
        }
    }

    /// It is parked no longer.
    fn has_left(&mut self, entry: &Entry) {
        self.stanzas -= 1;
        if let hash_map::Entry::Occupied(mut count) = self.pairs.entry(entry.pair) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }

    /// The oldest of the sender whose turn it is: that lasts until nothing of it is left, or until [`end_turn`](Parked::end_turn).
    fn next(&mut self) -> Option<Entry> {
        loop {
            let sender = *self.turns.front()?;
            let entry = self.next_of(sender);
            let is_over = self.senders.get(&sender).is_none_or(|queue| queue.first.is_none());
            if is_over {
                self.senders.remove(&sender);
                self.turns.pop_front();
            }
            self.in_turn = !is_over;
            if entry.is_some() {
                return entry;
            }
        }
    }

    /// If the first sender has had its turn, others come before what it has left.
    fn end_turn(&mut self) {
        if mem::take(&mut self.in_turn) {
            self.turns.rotate_left(1);
        }
    }

    /// What is taken in next and after that, without those behind one from the same to the same.
    fn coming(&self) -> impl Iterator<Item = &Entry> {
        let queues = self.turns.iter().filter_map(|sender| self.senders.get(sender));
        let entries = queues.flat_map(|queue| queue.first.iter().chain(&queue.others)).take(TOGETHER);
        let mut before = None;
        entries.filter(move |entry| before.replace(entry.pair) != Some(entry.pair))
    }

    /// The oldest of this sender, out of turn.
    fn next_of(&mut self, sender: u64) -> Option<Entry> {
        let entry = self.senders.get_mut(&sender)?.pop()?;
        self.has_left(&entry);
        Some(entry)
    }
}

impl Queue {
    fn pop(&mut self) -> Option<Entry> {
        let next = self.others.pop_front();
        let entry = mem::replace(&mut self.first, next)?;
        self.bytes -= entry.bytes;
        Some(entry)
    }
}

impl Router {
    /// Gives some of what strangers have sent to its recipients, whose part may take a while. Call it when all that was decided before is
    /// done and all answers are written, so that strangers cannot tell by time what their stanzas come to; again and again until
    /// this is `false`, and with everything else that happens in between. What nobody asks for [`tick`](Router::tick) takes in a
    /// millisecond later.
    pub fn take_in(&mut self, now: Instant, effects: &mut Vec<Effect>) -> bool {
        self.asks.clock(now);
        let start = effects.len();
        self.look_at_parked();
        for _ in 0..TURN {
            let Some(entry) = self.parked.next() else { break };
            self.give_parked(entry, effects);
        }
        self.parked.end_turn();
        self.parked.due = (!self.parked.is_empty()).then(|| self.asks.now() + PAUSE);
        self.go_on(effects);
        self.dispatch(start, effects);
        !self.parked.is_empty()
    }

    /// Reads what those have to do with that are taken in next and after that, [all of it together](crate::ahead), if they are several.
    fn look_at_parked(&mut self) {
        if mem::take(&mut self.parked.is_read) || !self.has_many() || self.parked.turns.len() < FEW {
            return;
        }
        self.parked.is_read = self.parked.stanzas > TURN;
        let mut names = SmallVec::<[_; TOGETHER]>::new();
        for to in self.parked.coming().filter_map(|entry| entry.stanza.head.to.as_ref()) {
            names.push((self.accounts.hash(to.bare_str()), to.resourcepart()));
        }
        read(names.iter().map(|(hash, _)| self.accounts.first(*hash).into()));
        let mut accounts = SmallVec::<[_; TOGETHER]>::new();
        for (hash, name) in &names {
            let slot = self.accounts.likely(*hash).and_then(|place| self.accounts.slot(place));
            accounts.extend(slot.map(|slot| (slot, *name)));
        }
        read(accounts.iter().map(|(slot, _)| slot.value().map_or(0, Account::glance)));
        self.look_at_recipients(accounts.iter().filter_map(|(slot, name)| Some((slot.value()?, *name))));
    }

    /// Whether something of strangers waits to be [taken in](Router::take_in).
    #[must_use]
    pub const fn has_parked(&self) -> bool {
        !self.parked.is_empty()
    }

    /// Whether a stanza, whose sender `sees` the presence of the account that it is for or does not, has to be [parked](Router::park).
    /// What is parked already between the two, and can't wait for its turn, is taken in.
    pub(crate) fn has_to_park(
        &mut self,
        stanza: &Stanza,
        sees: bool,
        origin: &Origin,
        effects: &mut Vec<Effect>,
    ) -> bool {
        if !sees && !origin.is_said() {
            return true;
        }
        if !self.parked.has_pair(stanza) {
            return false;
        }
        // What a request causes comes before its answer, and so does everything before that.
        let account = stanza.head.from.as_ref().and_then(|from| self.accounts.get(from.bare_str()));
        let cannot_wait = sees || account.is_some_and(|account| account.phase.is_acting());
        if cannot_wait && !self.parked.is_taking {
            let sender = self.sender(stanza);
            while self.parked.has_pair(stanza)
                && let Some(entry) = self.parked.next_of(sender)
            {
                self.give_parked(entry, effects);
            }
            return false;
        }
        true
    }

    /// Parks what the server says in a client's name to a stranger of the client's user. Whether it is one.
    pub(crate) fn parks_said(&mut self, stanza: &Stanza, effects: &mut Vec<Effect>) -> bool {
        let is_account = stanza
            .head
            .to
            .as_ref()
            .is_some_and(|to| to.localpart().is_some() && self.is_local(to.domainpart()));
        let mut origin = Origin::said(Said::New);
        self.say_facts(stanza, &mut origin);
        if !is_account || sees(stanza, &origin) {
            return false;
        }
        if self.crosses(stanza, &mut origin, effects).is_some() {
            self.park(stanza.clone(), &origin, effects);
        }
        true
    }

    /// Has a stanza for an account wait for [`take_in`](Router::take_in). It counts as handled.
    pub(crate) fn park(&mut self, stanza: Stanza, origin: &Origin, effects: &mut Vec<Effect>) {
        let (Some(from), Some(to)) = (&stanza.head.from, &stanza.head.to) else { return };
        let (sender, pair) = (self.sender(&stanza), self.parked.pair(from.bare_str(), to.bare_str()));
        let (by, bytes) = match origin {
            Origin::Answer => (By::Answer, cost(&stanza)),
            _ if origin.is_said() => (By::Server(origin.facts()), cost(&stanza)),
            Origin::Session { sent, bytes, .. } => (By::Sender(Some(sent.session)), *bytes),
            Origin::Waited(charge) => (By::Sender(charge.sent.map(|sent| sent.session)), charge.bytes()),
            _ => (By::Sender(None), cost(&stanza)),
        };
        // Whoever sends so much without a pause waits for it.
        while !self.parked.is_taking
            && self.parked.is_full(sender, bytes, &self.shared.config.limits)
            && let Some(entry) = self.parked.next_of(sender)
        {
            self.give_parked(entry, effects);
        }
        self.parked.push(self.asks.now(), sender, Entry { stanza, bytes, by, pair });
    }

    /// Whose turn a stanza waits for: an account's of ours, or another domain's, all of whose users share one.
    fn sender(&self, stanza: &Stanza) -> u64 {
        let from = stanza.head.from.as_ref();
        let is_local = from.is_some_and(|from| self.is_local(from.domainpart()));
        let name = from.map(|from| if is_local { from.bare_str() } else { from.domainpart() });
        self.parked.senders.hasher().hash_one(name)
    }

    /// Gives a stanza to its recipient.
    fn give_parked(&mut self, entry: Entry, effects: &mut Vec<Effect>) {
        let Entry { mut stanza, bytes, by, pair: _ } = entry;
        let mut origin = match by {
            By::Sender(_) => Origin::Parked { bytes },
            By::Server(facts) => Origin::Server(facts),
            By::Answer => Origin::Answer,
        };
        if let By::Sender(Some(session)) = by {
            self.disown(session, &mut stanza);
        }
        self.parked.is_taking = true;
        match stanza.head.kind {
            Kind::Message(kind) => self.hand_over(kind, stanza, None, &mut origin, effects),
            Kind::Presence(_) | Kind::Iq(_) => {
                let is_for = self.audience_of(&stanza);
                self.arrive(is_for, stanza, &mut origin, effects);
            }
        }
        self.parked.is_taking = false;
        self.finish(origin, effects);
    }
}
