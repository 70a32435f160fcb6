//! Which domains are looked for at the same time, and in whose turn (RFC 6120 section 13.12): what others cause leaves half of the
//! room to our own accounts, and nobody, be it an account or an address, takes the room or the turns of the others.

use alloc::collections::{BTreeMap, VecDeque};

use balcony_jid::BareJid;
use hashbrown::HashMap;

use super::config::FederationLimits;
use super::origin::Origin;

/// Who has a domain looked for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cause {
    /// An account of ours that sends something there.
    Sender(BareJid),
    /// A server at this address, which has shown a key in the name of the domain.
    Origin(Origin),
    /// The domain itself: it is answered, or asked whether a key is its own, without a stream from an address that is known.
    Itself,
}

impl Cause {
    /// Whether it is none of our accounts.
    fn is_others(&self) -> bool {
        !matches!(self, Cause::Sender(_))
    }
}

/// The domains that are looked for or connected to, and those that wait for their turn. What one costs does not depend on how many others
/// are, but for its logarithm. Maps by domain are never looked through, so that they need no order.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    running: HashMap<BareJid, Cause>,
    /// How many of them are of a cause, and how many of none of our accounts.
    running_of: BTreeMap<Cause, usize>,
    of_others: usize,
    waiting: BTreeMap<Cause, Line>,
    /// Whose turn it is: of our accounts, and of the others. Each cause for which a domain waits stands there once, unless it is held.
    turns: [BTreeMap<u64, Cause>; 2],
    /// How many turns there have been.
    given: u64,
    /// Domains that could not be reached, and are tried again after a while since something waits for them; and how many of a cause.
    resting: HashMap<BareJid, Cause>,
    resting_of: BTreeMap<Cause, usize>,
}

/// The domains that wait for one cause. There is one at least.
#[derive(Debug)]
struct Line {
    domains: VecDeque<BareJid>,
    /// Its turn.
    turn: u64,
    /// It is not among the turns: as many are looked for because of it as may be.
    is_held: bool,
}

impl Attempts {
    /// Whether a domain is looked for, or connected to.
    pub(super) fn has(&self, domain: &BareJid) -> bool {
        self.running.contains_key(domain)
    }

    /// How many domains are looked for because of this, or wait for that, or are tried again later. Those of [`Cause::Itself`] are tried
    /// again without counting: they have nothing in common.
    pub(super) fn of(&self, cause: &Cause) -> usize {
        let count = |counts: &BTreeMap<Cause, usize>| counts.get(cause).copied().unwrap_or_default();
        let waiting = self.waiting.get(cause).map_or(0, |line| line.domains.len());
        count(&self.running_of) + waiting + count(&self.resting_of)
    }

    /// Begins with a domain if it may be begun with now.
    pub(super) fn begin(&mut self, domain: &BareJid, cause: &Cause, limits: &FederationLimits) -> bool {
        if self.has(domain) {
            return true;
        }
        let may = self.has_room(cause, limits) && !self.is_too_much(cause, limits);
        if may {
            self.has_rested(domain);
            self.running.insert(domain.clone(), cause.clone());
            *self.running_of.entry(cause.clone()).or_default() += 1;
            self.of_others += usize::from(cause.is_others());
        }
        may
    }

    /// Whether there is room for one more of this kind.
    fn has_room(&self, cause: &Cause, limits: &FederationLimits) -> bool {
        self.running.len() < limits.attempts
            && (!cause.is_others() || self.of_others < (limits.attempts / 2).max(1))
    }

    /// Whether as many are looked for because of this as may be.
    fn is_too_much(&self, cause: &Cause, limits: &FederationLimits) -> bool {
        let running = || self.running_of.get(cause).copied().unwrap_or_default();
        matches!(cause, Cause::Origin(_)) && running() >= limits.attempts_per_address.max(1)
    }

    /// Has a domain wait for its turn.
    pub(super) fn wait(&mut self, domain: &BareJid, cause: Cause) {
        self.has_rested(domain);
        if let Some(line) = self.waiting.get_mut(&cause) {
            if !line.domains.contains(domain) {
                line.domains.push_back(domain.clone());
            }
            return;
        }
        let line = Line { domains: VecDeque::from([domain.clone()]), turn: self.next_turn(), is_held: false };
        self.turns[usize::from(cause.is_others())].insert(line.turn, cause.clone());
        self.waiting.insert(cause, line);
    }

    fn next_turn(&mut self) -> u64 {
        self.given += 1;
        self.given
    }

    /// A domain is not looked for any more. Why it was, if it was.
    pub(super) fn over(&mut self, domain: &BareJid) -> Option<Cause> {
        let cause = self.running.remove(domain)?;
        take_one(&mut self.running_of, &cause);
        self.of_others -= usize::from(cause.is_others());
        if let Some(line) = self.waiting.get_mut(&cause).filter(|line| line.is_held) {
            line.is_held = false;
            self.turns[usize::from(cause.is_others())].insert(line.turn, cause.clone());
        }
        Some(cause)
    }

    /// A domain is to be tried again after a while, for this.
    pub(super) fn rest(&mut self, domain: &BareJid, cause: Cause) {
        if cause != Cause::Itself && !self.resting.contains_key(domain) {
            *self.resting_of.entry(cause.clone()).or_default() += 1;
            self.resting.insert(domain.clone(), cause);
        }
    }

    /// It is tried, or need not be any more.
    pub(super) fn has_rested(&mut self, domain: &BareJid) {
        if let Some(cause) = self.resting.remove(domain) {
            take_one(&mut self.resting_of, &cause);
        }
    }

    /// The next domain that may be begun with, and why it was to be looked for. It waits no more.
    pub(super) fn next(&mut self, limits: &FederationLimits) -> Option<(BareJid, Cause)> {
        loop {
            let first = |turns: &BTreeMap<u64, Cause>| {
                let (turn, cause) = turns.first_key_value()?;
                self.has_room(cause, limits).then_some(*turn)
            };
            let turn = self.turns.iter().filter_map(first).min()?;
            let cause = self.turns.iter_mut().find_map(|turns| turns.remove(&turn))?;
            if self.is_too_much(&cause, limits) {
                // It stands there again when one of its own is over.
                if let Some(line) = self.waiting.get_mut(&cause) {
                    line.is_held = true;
                }
                continue;
            }
            let turn = self.next_turn();
            let line = self.waiting.get_mut(&cause)?;
            let domain = line.domains.pop_front();
            if line.domains.is_empty() {
                self.waiting.remove(&cause);
            } else {
                line.turn = turn;
                self.turns[usize::from(cause.is_others())].insert(turn, cause.clone());
            }
            return Some((domain?, cause));
        }
    }
}

fn take_one(counts: &mut BTreeMap<Cause, usize>, cause: &Cause) {
    if let Some(count) = counts.get_mut(cause) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(cause);
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    fn domain(text: &str) -> BareJid {
        BareJid::parse(text).unwrap()
    }

    // Whoever has much looked for waits for the others, one for one.
    #[test]
    fn turns_are_of_causes() {
        let limits = FederationLimits { attempts: 1, ..FederationLimits::default() };
        let mut attempts = Attempts::default();
        let cause = |name: &str| Cause::Sender(domain(name));
        assert!(attempts.begin(&domain("first.example"), &cause("a@x.example"), &limits));
        for n in 0..100 {
            let much = domain(&format!("n{n}.example"));
            assert!(!attempts.begin(&much, &cause("a@x.example"), &limits));
            attempts.wait(&much, cause("a@x.example"));
        }
        attempts.wait(&domain("wanted.example"), cause("b@x.example"));
        assert_eq!(attempts.of(&cause("a@x.example")), 101);
        assert_eq!(attempts.next(&limits), None);
        attempts.over(&domain("first.example"));
        let two: Vec<_> = (0..2).filter_map(|_| Some(attempts.next(&limits)?.0)).collect();
        assert_eq!(two, [domain("n0.example"), domain("wanted.example")]);
    }

    /// The same, as it would be written down without thinking of what it costs.
    #[derive(Default)]
    struct Model {
        running: BTreeMap<BareJid, Cause>,
        waiting: BTreeMap<Cause, VecDeque<BareJid>>,
        turns: VecDeque<Cause>,
    }

    impl Model {
        fn may_begin(&self, cause: &Cause, limits: &FederationLimits) -> bool {
            let of = self.running.values().filter(|by| *by == cause).count();
            let of_others = self.running.values().filter(|by| by.is_others()).count();
            self.running.len() < limits.attempts
                && (!cause.is_others()
                    || (of_others < limits.attempts / 2
                        && (*cause == Cause::Itself || of < limits.attempts_per_address)))
        }

        fn next(&mut self, limits: &FederationLimits) -> Option<(BareJid, Cause)> {
            let at = self.turns.iter().position(|cause| self.may_begin(cause, limits))?;
            let cause = self.turns.remove(at)?;
            let line = self.waiting.get_mut(&cause)?;
            let domain = line.pop_front()?;
            if line.is_empty() {
                self.waiting.remove(&cause);
            } else {
                self.turns.push_back(cause.clone());
            }
            Some((domain, cause))
        }
    }

    proptest! {
        // RFC 6120 §13.12: whoever has waited for longest of those who may begin has the next turn.
        #[test]
        fn turns_are_those_of_the_model(steps in proptest::collection::vec((0..3_u8, 0..7_u8, 0..40_u8), 0..200)) {
            let limits = FederationLimits { attempts: 6, attempts_per_address: 2, ..FederationLimits::default() };
            let (mut attempts, mut model) = (Attempts::default(), Model::default());
            for (step, of, number) in steps {
                let cause = match of {
                    0 => Cause::Itself,
                    1..4 => Cause::Sender(domain(&format!("u{of}@a.example"))),
                    _ => Cause::Origin(Origin::Address([192, 0, 2, of].into())),
                };
                let to = domain(&format!("n{number}.example"));
                match step {
                    0 if !attempts.has(&to) => {
                        let may = attempts.begin(&to, &cause, &limits);
                        prop_assert_eq!(may, model.may_begin(&cause, &limits));
                        if may {
                            model.running.insert(to, cause);
                        } else {
                            attempts.wait(&to, cause.clone());
                            let line = model.waiting.entry(cause.clone()).or_default();
                            if line.is_empty() {
                                model.turns.push_back(cause);
                            }
                            if !line.contains(&to) {
                                line.push_back(to);
                            }
                        }
                    }
                    1 => prop_assert_eq!(attempts.over(&to), model.running.remove(&to)),
                    _ => {
                        let next = attempts.next(&limits);
                        prop_assert_eq!(&next, &model.next(&limits));
                        if let Some((to, cause)) = next && !attempts.has(&to) {
                            prop_assert!(attempts.begin(&to, &cause, &limits));
                            model.running.insert(to, cause);
                        }
                    }
                }
                let of = model.running.values().filter(|by| **by == Cause::Itself).count();
                let waiting = model.waiting.get(&Cause::Itself).map_or(0, VecDeque::len);
                prop_assert_eq!(attempts.of(&Cause::Itself), of + waiting);
            }
        }
    }
}
