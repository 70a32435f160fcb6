//! Which domains are looked for at the same time, and in whose turn (RFC 6120 section 13.12): what others cause leaves half of the
//! room to our own accounts, and nobody, be it an account or an address, takes the room or the turns of the others.

use alloc::collections::{BTreeMap, VecDeque};

use balcony_jid::BareJid;

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

/// The domains that are looked for or connected to, and those that wait for their turn.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    running: BTreeMap<BareJid, Cause>,
    waiting: BTreeMap<Cause, VecDeque<BareJid>>,
    /// Whose turn it is. Each cause for which a domain waits stands there once.
    turns: VecDeque<Cause>,
    /// Domains that could not be reached, and are tried again after a while since something waits for them; and how many of a cause.
    resting: BTreeMap<BareJid, Cause>,
    resting_of: BTreeMap<Cause, usize>,
}

impl Attempts {
    /// Whether a domain is looked for, or connected to.
    pub(super) fn has(&self, domain: &BareJid) -> bool {
        self.running.contains_key(domain)
    }

    /// How many domains are looked for because of this, or wait for that, or are tried again later. Those of [`Cause::Itself`] are tried
    /// again without counting: they have nothing in common.
    pub(super) fn of(&self, cause: &Cause) -> usize {
        let resting = self.resting_of.get(cause).copied().unwrap_or_default();
        self.running_of(cause) + self.waiting.get(cause).map_or(0, VecDeque::len) + resting
    }

    fn running_of(&self, cause: &Cause) -> usize {
        self.running.values().filter(|by| *by == cause).count()
    }

    /// Begins with a domain if it may be begun with now.
    pub(super) fn begin(&mut self, domain: &BareJid, cause: &Cause, limits: &FederationLimits) -> bool {
        if self.has(domain) {
            return true;
        }
        let may = self.may_begin(cause, limits);
        if may {
            self.has_rested(domain);
            self.running.insert(domain.clone(), cause.clone());
        }
        may
    }

    fn may_begin(&self, cause: &Cause, limits: &FederationLimits) -> bool {
        if self.running.len() >= limits.attempts {
            return false;
        }
        match cause {
            Cause::Sender(_) => true,
            Cause::Origin(_) | Cause::Itself => {
                let is_others = |by: &&Cause| !matches!(by, Cause::Sender(_));
                let of_others = self.running.values().filter(is_others).count();
                of_others < (limits.attempts / 2).max(1)
                    && (*cause == Cause::Itself
                        || self.running_of(cause) < limits.attempts_per_address.max(1))
            }
        }
    }

    /// Has a domain wait for its turn.
    pub(super) fn wait(&mut self, domain: &BareJid, cause: Cause) {
        self.has_rested(domain);
        let line = self.waiting.entry(cause.clone()).or_default();
        if line.is_empty() {
            self.turns.push_back(cause);
        }
        if !line.contains(domain) {
            line.push_back(domain.clone());
        }
    }

    /// A domain is not looked for any more. Why it was, if it was.
    pub(super) fn over(&mut self, domain: &BareJid) -> Option<Cause> {
        self.running.remove(domain)
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
        let Some(cause) = self.resting.remove(domain) else { return };
        if let Some(count) = self.resting_of.get_mut(&cause) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.resting_of.remove(&cause);
            }
        }
    }

    /// The next domain that may be begun with, and why it was to be looked for. It waits no more.
    pub(super) fn next(&mut self, limits: &FederationLimits) -> Option<(BareJid, Cause)> {
        let at = self.turns.iter().position(|cause| self.may_begin(cause, limits))?;
        let cause = self.turns.remove(at)?;
        let line = self.waiting.get_mut(&cause)?;
        let domain = line.pop_front();
        if line.is_empty() {
            self.waiting.remove(&cause);
        } else {
            self.turns.push_back(cause.clone());
        }
        Some((domain?, cause))
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::vec::Vec;

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
}
