//! The questions that the owner has not answered yet, each with what is to be done then, and how much of each sender waits for
//! some answer. How much may wait is in `waits.rs`, and what comes of answers in `answers.rs`.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem;
use core::time::Duration;

use balcony_jid::{BareJid, Jid};
use balcony_machine::{Instant, Limits, Ticket};
use balcony_stanza::{Head, Stanza};
use hashbrown::HashMap;

use crate::commit::Commit;
use crate::facts::SenderFacts;
use crate::line::{Again, Sent};
use crate::lookup::About;
use crate::waits::{Place, Waits, memory};

/// The asks that wait for an answer of the owner, and how much of each sender waits for some answer.
///
/// All wait equally long and the clock never runs backwards, so the lowest ticket is always the first to expire. What one ask
/// costs does not depend on how many others are open.
#[derive(Debug)]
pub(crate) struct Asks {
    open: BTreeMap<Ticket, Open>,
    /// Never iterated; nobody is in it of whom nothing waits, and who has not written to strangers lately. It outlives the sender's
    /// sessions, or whoever reconnects would get past the bound.
    waiting: HashMap<BareJid, Waits>,
    /// When to see whether senders have written to strangers lately, each once.
    remembered: VecDeque<(Instant, BareJid)>,
    limits: Limits,
    next: u64,
    /// Domains of which no more is to be read, or is again. Empty between calls.
    pub(crate) holds: Vec<(BareJid, bool)>,
    /// How many stanzas have waited so far.
    charged: u64,
    latest: Instant,
    /// None expires before that, whenever it was asked.
    none_before: Instant,
}

/// What a stanza that waits costs its sender. It is given back once, by [`Router::release`](crate::Router::release).
#[derive(Debug)]
#[must_use]
pub(crate) struct Charge {
    payer: BareJid,
    /// What the sender has sent earlier has a lower one.
    number: u64,
    bytes: usize,
    place: Place,
    /// Who hears when it is handled; nobody if it was handled when it began to wait.
    pub(crate) sent: Option<Sent>,
    /// What the sender's account has said of the sender.
    pub(crate) facts: SenderFacts,
    /// What is known of it from then, if it has been delivered once.
    pub(crate) again: Option<Again>,
    /// It counts among [`Waits::undecided`].
    undecided: bool,
}

/// An ask under way.
#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) account: BareJid,
    /// Which of the accounts that have had this name: an answer is for no other.
    pub(crate) incarnation: u64,
    pub(crate) purpose: Purpose,
    /// For the stanza that waits for it, if one does.
    pub(crate) charge: Option<Charge>,
    expires: Instant,
}

/// What is to be done when an answer comes.
#[derive(Debug)]
pub(crate) enum Purpose {
    /// The account's phase is `Loading`.
    Load,
    /// The account's stored messages are wanted.
    Fetch,
    /// What was decided becomes visible.
    Commit(Box<Commit>),
    /// The sender of this message hears if it was not stored.
    Put {
        message: Arc<Stanza>,
        /// It has waited for a client before, or may have.
        is_again: bool,
        /// The sender may hear what becomes of it, as the account says that has it stored. That may be no more by then.
        is_told: bool,
        /// It is [written](crate::undelivered) as long as it is not stored.
        is_written: bool,
    },
    /// Messages that have been delivered are deleted.
    Drop,
    /// Messages for sessions without a connection are written, in these documents.
    Keep(Vec<Arc<str>>),
    /// The same, of some that could not be written before.
    KeepAgain(Vec<Arc<str>>),
    /// Those in these documents are deleted.
    Forget(Vec<Arc<str>>),
    /// What the account has said has got there, and need not be said again: nobody waits for that.
    Settled,
    /// Others wait for what is kept of the account.
    Look(About),
    /// Nobody waits for it; the account has one at a time.
    Note,
}

impl Asks {
    pub(crate) fn new(limits: Limits) -> Self {
        Asks {
            open: BTreeMap::new(),
            waiting: HashMap::new(),
            remembered: VecDeque::new(),
            limits,
            next: 0,
            holds: Vec::new(),
            charged: 0,
            latest: Instant::ZERO,
            none_before: Instant::ZERO,
        }
    }

    /// It is this time now, if the clock has not run backwards.
    pub(crate) fn clock(&mut self, now: Instant) {
        self.latest = self.latest.max(now);
        while let Some((_, payer)) = self.remembered.pop_front_if(|(at, _)| *at <= self.latest) {
            let Some(waits) = self.waiting.get_mut(&payer) else { continue };
            waits.forget(self.latest, &self.limits);
            if waits.remembers() {
                self.remembered.push_back((self.latest + memory(&self.limits), payer));
            } else if waits.is_empty() {
                self.waiting.remove(&payer);
            }
        }
    }

    /// The latest time that was told.
    pub(crate) const fn now(&self) -> Instant {
        self.latest
    }

    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }

    /// The number of the first of the stanzas of this sender that its later requests to its own server wait for.
    pub(crate) fn undecided(&self, payer: &str) -> Option<u64> {
        self.waiting.get(payer).and_then(|waits| waits.undecided.first().copied())
    }

    /// Whether one more stanza of this sender that costs so much may wait there.
    pub(crate) fn has_room(&self, payer: &BareJid, place: &Place, bytes: usize) -> bool {
        match self.waiting.get(payer) {
            Some(waits) => waits.has_room(place, bytes, &self.limits),
            None => Waits::default().has_room(place, bytes, &self.limits),
        }
    }

    /// The sender has something for somebody whose presence it does not see. `false` if those are too many.
    pub(crate) fn note(&mut self, payer: &BareJid, to: &BareJid, is_said: bool) -> bool {
        let waits = self.waiting.entry(payer.clone()).or_default();
        if !waits.remembers() {
            // Whoever is remembered already is looked at when that is over.
            self.remembered.push_back((self.latest + memory(&self.limits), payer.clone()));
        }
        waits.note(to, is_said, self.latest, &self.limits)
    }

    /// One more of the sender's stanzas waits.
    pub(crate) fn charge(
        &mut self,
        payer: BareJid,
        bytes: usize,
        place: Place,
        sent: Option<Sent>,
        facts: SenderFacts,
    ) -> Charge {
        self.waiting.entry(payer.clone()).or_default().add(&place, bytes);
        self.hold(&payer, &place);
        self.charged += 1;
        Charge { payer, number: self.charged, bytes, place, sent, facts, again: None, undecided: false }
    }

    /// It waits elsewhere from now on.
    pub(crate) fn pass_on(&mut self, charge: &mut Charge, place: Place) {
        if let Some(waits) = self.waiting.get_mut(&charge.payer) {
            waits.take(&charge.place, charge.bytes);
            waits.add(&place, charge.bytes);
        }
        let before = mem::replace(&mut charge.place, place);
        self.hold(&charge.payer, &before);
        self.hold(&charge.payer, &charge.place);
    }

    /// Something that waited there waits no longer, or does so now.
    fn hold(&mut self, payer: &BareJid, place: &Place) {
        if *place == Place::Contact
            && let Some(waits) = self.waiting.get_mut(payer)
            && waits.hold(&self.limits)
        {
            self.holds.push((payer.clone(), waits.is_held));
        }
    }

    /// The number of the last charge.
    pub(crate) const fn charged(&self) -> u64 {
        self.charged
    }

    /// The sender's later requests to its own server wait for the fate of this stanza.
    pub(crate) fn await_fate(&mut self, charge: &mut Charge) {
        if !mem::replace(&mut charge.undecided, true)
            && let Some(waits) = self.waiting.get_mut(&charge.payer)
        {
            waits.undecided.insert(charge.number);
        }
    }

    /// It waits no longer. The sender comes back if requests of it may have nothing more to wait for.
    pub(crate) fn release(&mut self, charge: Charge) -> Option<BareJid> {
        let Charge { payer, number, bytes, place, undecided, .. } = charge;
        self.waiting.get_mut(&payer)?.take(&place, bytes);
        self.hold(&payer, &place);
        let waits = self.waiting.get_mut(&payer)?;
        let is_decided = undecided && waits.undecided.first() == Some(&number);
        waits.undecided.remove(&number);
        if waits.is_empty() {
            self.waiting.remove(&payer);
        }
        is_decided.then_some(payer)
    }

    pub(crate) fn open(
        &mut self,
        wait: Duration,
        account: BareJid,
        incarnation: u64,
        purpose: Purpose,
        charge: Option<Charge>,
    ) -> Ticket {
        let ticket = Ticket(self.next);
        self.next += 1;
        let expires = self.latest + wait;
        self.open.insert(ticket, Open { account, incarnation, purpose, charge, expires });
        ticket
    }

    /// Ends the wait; `None` if it has ended before.
    pub(crate) fn close(&mut self, ticket: Ticket) -> Option<Open> {
        self.open.remove(&ticket)
    }

    /// All that are open wait from now on as long as if they had been asked just now.
    pub(crate) fn wait_anew(&mut self) {
        self.none_before = self.latest + self.limits.answer;
    }

    fn end_of(&self, open: &Open) -> Instant {
        open.expires.max(self.none_before)
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.open.first_key_value().map(|(_, open)| self.end_of(open))
    }

    /// Whether the time of one is over.
    pub(crate) fn has_due(&self) -> bool {
        self.deadline().is_some_and(|at| at <= self.latest)
    }

    /// Whether its time is over.
    pub(crate) fn is_due(&self, ticket: Ticket) -> bool {
        self.open.get(&ticket).is_none_or(|open| self.end_of(open) <= self.latest)
    }

    /// Ends the oldest wait if its time is over.
    pub(crate) fn expire(&mut self) -> Option<(Ticket, Open)> {
        let (&ticket, oldest) = self.open.first_key_value()?;
        if self.end_of(oldest) > self.latest { None } else { Some((ticket, self.close(ticket)?)) }
    }
}

impl Charge {
    /// What was charged, in bytes.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) const fn number(&self) -> u64 {
        self.number
    }

    /// Who answers for it.
    pub(crate) const fn payer(&self) -> &BareJid {
        &self.payer
    }

    /// Whether this account answers for it.
    pub(crate) fn is_paid_by(&self, name: &BareJid) -> bool {
        self.payer == *name
    }

    /// Whether later requests of its sender wait for its fate. If it has left the sender's account its sender sees the recipient's presence, and so
    /// may know what becomes of it.
    pub(crate) const fn is_awaited(&self) -> bool {
        self.undecided
    }

    pub(crate) const fn place(&self) -> &Place {
        &self.place
    }
}

/// What a stanza costs while it waits, in bytes: its content, its attributes and what it takes to keep track of it.
pub fn cost(stanza: &Stanza) -> usize {
    const ENTRY: usize = 256;
    let address = |jid: &Option<Jid>| jid.as_ref().map_or(0, |jid| jid.as_str().len());
    let text = |text: &Option<Arc<str>>| text.as_ref().map_or(0, |text| text.len());
    let Head { kind: _, to, from, id, lang } = &stanza.head;
    stanza.payload.as_bytes().len() + address(from) + address(to) + text(id) + text(lang) + ENTRY
}

/// Who answers for a stanza that waits: the account of a user of ours, or the domain of others.
pub(crate) fn payer(sender: &Jid, is_local: bool) -> BareJid {
    if is_local {
        return sender.to_bare();
    }
    BareJid::from_parts(None, sender.domainpart()).unwrap_or_else(|_| sender.to_bare())
}

#[cfg(test)]
mod tests {
    use super::*;

    // The architecture's rule 4: nothing stays behind of a sender whose asks are done.
    #[test]
    fn nothing_is_left_behind() {
        let mut limits = Limits::default();
        (limits.waiting, limits.waiting_bytes) = (2, 6);
        let mut asks = Asks::new(limits);
        let sender = BareJid::parse("romeo@example.net").unwrap();
        let mut charges: std::vec::Vec<_> = (1..4)
            .map(|bytes| asks.charge(sender.clone(), bytes, Place::Own, None, SenderFacts::STRANGER))
            .collect();
        asks.pass_on(&mut charges[0], Place::Seen);
        asks.await_fate(&mut charges[1]);
        asks.await_fate(&mut charges[1]);
        assert_eq!(asks.undecided("romeo@example.net"), Some(2));
        assert!(!asks.has_room(&sender, &Place::Own, 1) && asks.has_room(&sender, &Place::Seen, 1));
        let mut tickets = charges
            .into_iter()
            .map(|charge| asks.open(Duration::ZERO, sender.clone(), 0, Purpose::Note, Some(charge)));
        let (first, second) = (tickets.next().unwrap(), tickets.next().unwrap());
        assert!(tickets.next().is_some());
        let mut decided = 0;
        let expire = |asks: &mut Asks| asks.expire().map(|(_, open)| open);
        // The second is the one whose fate is awaited.
        for (open, bytes) in [(asks.close(second), 2), (expire(&mut asks), 1), (expire(&mut asks), 3)] {
            let charge = open.unwrap().charge.unwrap();
            assert_eq!(charge.bytes(), bytes);
            decided += usize::from(asks.release(charge).is_some());
        }
        assert_eq!(decided, 1);
        assert!(asks.close(first).is_none());
        assert!(asks.open.is_empty() && asks.waiting.is_empty());
    }
}
