//! What senders have stored in one account: so much of it is on its way to the store at a time, and the rest waits here, where senders
//! take turns.
//!
//! A store has only so much room for what is to be changed of one account, and refuses what is more. What it refuses is lost to a
//! stranger, who is not told, and comes back to a contact. So the router asks for no more at a time than a store has to have room for
//! ([`Limits::storing`], [`Limits::storing_bytes`]), however much may wait of its senders ([`Limits::waiting`]).
//!
//! What waits here is an ask under way like those that the store has: it expires with them, so that a store that hangs keeps nothing
//! waiting longer than [`Limits::answer`], whatever is before it. Only its [`Effect::Ask`](crate::Effect::Ask) comes later.
//!
//! This goes by the account's name. An account that could not be loaded again is in memory no more, but it is there, and what waits for it is
//! stored all the same, so much at a time. Whoever needs the account next has it loaded behind that: what is loaded holds all that came before,
//! and nothing that comes then overtakes it (RFC 6120 section 10.1). Its time begins when the store is asked for it, as a store that is slow has not
//! begun with it before: so whoever needs the account waits twice [`Limits::answer`] at most. What waits for an account that is no more is for nobody.

use alloc::collections::VecDeque;
use alloc::collections::btree_map::{BTreeMap, Entry};
use alloc::vec::Vec;

use balcony_jid::BareJid;
use balcony_machine::{Limits, Ticket};

use crate::asks::{Charge, Purpose};
use crate::router::Router;
use crate::{Ask, Effect, Removal};

/// What is being stored, by the names of the accounts: those for which nothing is have no entry.
#[derive(Debug, Default)]
pub(crate) struct Storing(BTreeMap<BareJid, Turns>);

/// What is being stored in the accounts that have had one name. What waits is for one of them: for the next one nothing is to be stored before
/// it has been loaded, which is behind that.
#[derive(Debug, Default)]
struct Turns {
    /// How many the store has, and what they cost.
    under_way: usize,
    bytes: usize,
    /// What waits of each who [answers](crate::asks::payer) for it, in order. Nothing is left of those of whom all has expired, until their turn.
    waiting: BTreeMap<BareJid, VecDeque<Later>>,
    /// The same senders, each once, in the order of their turns.
    turns: VecDeque<BareJid>,
    /// How many wait.
    count: usize,
    /// The account is loaded when none of them waits any more.
    load: Option<Ask>,
}

/// What the store is asked for when it is its turn.
#[derive(Debug)]
pub(crate) struct Later {
    ticket: Ticket,
    /// What it [costs](crate::cost).
    bytes: usize,
    ask: Ask,
}

impl Storing {
    /// Something that costs so much is to be stored. Whether the store is asked for it now; otherwise it has to wait for its turn.
    pub(crate) fn begins(&mut self, name: &BareJid, bytes: usize, limits: &Limits) -> bool {
        self.0.entry(name.clone()).or_default().begins(bytes, limits)
    }

    /// Whether something waits for its turn.
    pub(crate) fn has_waiting(&self, name: &BareJid) -> bool {
        self.0.get(name).is_some_and(Turns::has_waiting)
    }

    /// Keeps nothing of an account for which nothing is being stored any more.
    fn tidy(&mut self, name: &BareJid) {
        if self.0.get(name).is_some_and(Turns::is_idle) {
            self.0.remove(name);
        }
    }
}

impl Turns {
    const fn is_idle(&self) -> bool {
        self.under_way == 0 && self.count == 0 && self.load.is_none()
    }

    /// Whether something waits for its turn.
    const fn has_waiting(&self) -> bool {
        self.count > 0
    }

    /// There is always room for one.
    const fn has_room(&self, bytes: usize, limits: &Limits) -> bool {
        self.under_way == 0
            || self.under_way < limits.storing && self.bytes.saturating_add(bytes) <= limits.storing_bytes
    }

    fn begin(&mut self, bytes: usize) {
        self.under_way += 1;
        self.bytes += bytes;
    }

    /// Something that costs so much is to be stored. Whether the store is asked for it now; otherwise it has to [wait](Turns::wait).
    fn begins(&mut self, bytes: usize, limits: &Limits) -> bool {
        let begins = self.count == 0 && self.has_room(bytes, limits);
        if begins {
            self.begin(bytes);
        }
        begins
    }

    /// Something of this sender waits.
    fn wait(&mut self, sender: BareJid, later: Later) {
        self.count += 1;
        match self.waiting.entry(sender) {
            Entry::Occupied(queue) => queue.into_mut().push_back(later),
            Entry::Vacant(place) => {
                self.turns.push_back(place.key().clone());
                place.insert(VecDeque::from([later]));
            }
        }
    }

    /// This is over: it has been answered, or has expired, here or at the store.
    fn end(&mut self, sender: &BareJid, ticket: Ticket, bytes: usize) {
        // Of one sender later ones have higher tickets.
        let place = |queue: &VecDeque<Later>| queue.binary_search_by_key(&ticket, |later| later.ticket).ok();
        let waited = self.waiting.get_mut(sender).and_then(|queue| queue.remove(place(queue)?));
        if waited.is_some() {
            self.count -= 1;
        } else {
            self.under_way = self.under_way.saturating_sub(1);
            self.bytes = self.bytes.saturating_sub(bytes);
        }
    }

    /// What the store is asked for next, if there is room for it. What `is_over` is about to [end](Turns::end), and is not asked for.
    fn next(&mut self, limits: &Limits, is_over: impl Fn(Ticket) -> bool) -> Option<Later> {
        while let Some(sender) = self.turns.front() {
            let first = self.waiting.get(sender).and_then(VecDeque::front);
            let may_go = |first: &Later| !is_over(first.ticket) && self.has_room(first.bytes, limits);
            if first.is_some_and(|first| !may_go(first)) {
                return None;
            }
            let queue = self.waiting.get_mut(sender)?;
            let next = queue.pop_front();
            if queue.is_empty() {
                self.waiting.remove(sender);
                self.turns.pop_front();
            } else {
                self.turns.rotate_left(1);
            }
            // Without one all of it had expired.
            if let Some(later) = next {
                self.count -= 1;
                self.begin(later.bytes);
                return Some(later);
            }
        }
        None
    }

    /// The account is asked for next, if nothing waits any more.
    fn take_load(&mut self) -> Option<Ask> {
        if self.has_waiting() { None } else { self.load.take() }
    }

    /// All that waits to be stored, in the order of its turns.
    fn take_all(&mut self) -> Vec<Later> {
        let mut all = Vec::with_capacity(self.count);
        while let Some(sender) = self.turns.pop_front() {
            if let Some(later) = self.waiting.get_mut(&sender).and_then(VecDeque::pop_front) {
                all.push(later);
                self.turns.push_back(sender);
            }
        }
        (self.waiting, self.count) = (BTreeMap::new(), 0);
        all
    }
}

impl Router {
    /// Has something stored that a sender is charged for, when it is the sender's turn.
    pub(crate) fn save_later(&mut self, ask: Ask, purpose: Purpose, charge: Charge) {
        let (sender, bytes) = (charge.payer().clone(), charge.bytes());
        let ticket = self.open_ask(&ask, purpose, Some(charge));
        let turns = self.storing.0.entry(ask.account().clone()).or_default();
        turns.wait(sender, Later { ticket, bytes, ask });
    }

    /// Asks for an account that is not in memory: behind all that is to be stored for it.
    pub(crate) fn load_behind(&mut self, ask: Ask, effects: &mut Vec<Effect>) {
        match self.storing.0.get_mut(ask.account()).filter(|turns| turns.has_waiting()) {
            Some(turns) => turns.load = Some(ask),
            None => self.ask(ask, Purpose::Load, None, effects),
        }
    }

    /// Something that was to be stored is over, be it stored or not: the next may be asked for.
    pub(crate) fn end_turn(
        &mut self,
        name: &BareJid,
        sender: &BareJid,
        ticket: Ticket,
        bytes: usize,
        effects: &mut Vec<Effect>,
    ) {
        if let Some(turns) = self.storing.0.get_mut(name) {
            turns.end(sender, ticket, bytes);
            self.ask_next(name, effects);
        }
    }

    /// Asks for what has its turn.
    fn ask_next(&mut self, name: &BareJid, effects: &mut Vec<Effect>) {
        let Some(turns) = self.storing.0.get_mut(name) else { return };
        let limits = &self.shared.config.limits;
        let is_over = |ticket: Ticket| self.asks.is_due(ticket);
        while let Some(Later { ticket, ask, .. }) = turns.next(limits, is_over) {
            effects.push(Effect::Ask { ticket, ask });
        }
        if let Some(ask) = turns.take_load() {
            self.ask(ask, Purpose::Load, None, effects);
        }
        self.storing.tidy(name);
    }

    /// What was about to expire waits on: it may have its turn, and nothing that could say so may be on its way to the store.
    pub(crate) fn ask_for_delayed(&mut self, effects: &mut Vec<Effect>) {
        let names: Vec<BareJid> = self.storing.0.keys().cloned().collect();
        for name in names {
            self.ask_next(&name, effects);
        }
    }

    /// An account has ended. If it is only not served any more, what waits to be stored there keeps its turns. Otherwise nobody is to have
    /// it, and those of its senders hear so who may.
    pub(crate) fn end_turns(&mut self, name: &BareJid, removal: Removal, effects: &mut Vec<Effect>) {
        let Some(turns) = self.storing.0.get_mut(name) else { return };
        turns.load = None;
        let lost = if removal == Removal::Failed { Vec::new() } else { turns.take_all() };
        for Later { ticket, .. } in lost {
            if let Some(open) = self.asks.close(ticket) {
                self.fail(open, effects);
            }
        }
        self.storing.tidy(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec;

    fn limits() -> Limits {
        let mut limits = Limits::default();
        (limits.storing, limits.storing_bytes) = (4, 100);
        limits
    }

    fn sender(number: u8) -> BareJid {
        BareJid::parse(&std::format!("{number}@example.com")).unwrap()
    }

    /// Whether it is asked for now.
    fn add(turns: &mut Turns, by: u8, ticket: u64, bytes: usize) -> bool {
        let begins = turns.begins(bytes, &limits());
        if !begins {
            let ask = Ask::Remove { account: sender(0) };
            turns.wait(sender(by), Later { ticket: Ticket(ticket), bytes, ask });
        }
        begins
    }

    fn next(turns: &mut Turns) -> Option<u64> {
        turns.next(&limits(), |_| false).map(|later| later.ticket.0)
    }

    #[derive(Clone, Debug)]
    enum Step {
        Add(u8, usize),
        /// The store answers one of those that it has.
        Answer(usize),
        /// The oldest that is open expires, be it here or at the store.
        Expire,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => (0..4_u8, 1..120_usize).prop_map(|(sender, bytes)| Step::Add(sender, bytes)),
            4 => (0..8_usize).prop_map(Step::Answer),
            1 => Just(Step::Expire),
        ]
    }

    proptest! {
        // The store never has more than the bounds say, but for a large one alone; what one has sent is asked for in order; nothing waits
        // while there is room; and in the end nothing is left.
        #[test]
        fn the_store_has_so_much_at_a_time(steps in prop::collection::vec(step(), 0..200)) {
            let limits = limits();
            let mut turns = Turns::default();
            // What is open: whose, what it costs, whether the store has it.
            let mut open: BTreeMap<u64, (u8, usize, bool)> = BTreeMap::new();
            let mut last: BTreeMap<u8, u64> = BTreeMap::new();
            let mut number = 0;
            let ends = steps.len() as u64 + 1;
            for step in steps.into_iter().chain((0..ends).map(|_| Step::Answer(0))) {
                let mut asked = vec![];
                let ended = match step {
                    Step::Add(by, bytes) => {
                        number += 1;
                        open.insert(number, (by, bytes, false));
                        asked.extend(add(&mut turns, by, number, bytes).then_some(number));
                        None
                    }
                    Step::Answer(place) => {
                        let had: vec::Vec<u64> = open.iter().filter(|(_, it)| it.2).map(|(number, _)| *number).collect();
                        had.get(place % had.len().max(1)).copied()
                    }
                    Step::Expire => open.keys().next().copied(),
                };
                if let Some((ticket, (by, bytes, _))) = ended.and_then(|ended| open.remove_entry(&ended)) {
                    turns.end(&sender(by), Ticket(ticket), bytes);
                    asked.extend(core::iter::from_fn(|| next(&mut turns)));
                }
                for ticket in asked {
                    let it = open.get_mut(&ticket).unwrap();
                    prop_assert!(!it.2 && last.insert(it.0, ticket).is_none_or(|last| last < ticket));
                    it.2 = true;
                }
                let (has, waits): (vec::Vec<&(u8, usize, bool)>, vec::Vec<_>) = open.values().partition(|it| it.2);
                let bytes: usize = has.iter().map(|it| it.1).sum();
                prop_assert!(has.len() <= 1 || has.len() <= limits.storing && bytes <= limits.storing_bytes);
                prop_assert!(!has.is_empty() || waits.is_empty());
                prop_assert_eq!(turns.has_waiting(), !waits.is_empty());
            }
            prop_assert!(open.is_empty() && turns.is_idle() && next(&mut turns).is_none());
            prop_assert!(turns.waiting.is_empty() && turns.turns.is_empty());
        }
    }

    // However much one has sent, another's comes after one of it.
    #[test]
    fn senders_take_turns() {
        let mut turns = Turns::default();
        let asked: vec::Vec<_> = (0..20).filter(|ticket| add(&mut turns, 1, *ticket, 1)).collect();
        assert_eq!(asked, [0, 1, 2, 3]);
        for (ticket, by) in [(20, 2), (21, 3), (22, 2)] {
            assert!(!add(&mut turns, by, ticket, 1));
        }
        let mut asked = vec![];
        for ticket in 0..5 {
            turns.end(&sender(1), Ticket(ticket), 1);
            asked.extend(next(&mut turns));
        }
        assert_eq!(asked, [4, 20, 21, 5, 22]);
    }

    // What has expired is not asked for any more.
    #[test]
    fn what_is_over_is_not_asked_for() {
        let limits = limits();
        let mut turns = Turns::default();
        let asked: vec::Vec<_> = (0..6).filter(|ticket| add(&mut turns, 1, *ticket, 1)).collect();
        assert_eq!(asked, [0, 1, 2, 3]);
        let is_over = |ticket: Ticket| ticket.0 < 5;
        for ticket in 0..5 {
            assert!(turns.next(&limits, is_over).is_none());
            turns.end(&sender(1), Ticket(ticket), 1);
        }
        assert_eq!(turns.next(&limits, is_over).map(|later| later.ticket.0), Some(5));
        turns.end(&sender(1), Ticket(5), 1);
        assert!(turns.is_idle());
    }
}
