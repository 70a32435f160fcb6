//! Logins that count no more: their account was removed, or got another password, after they had begun.
//!
//! A client proves its password against keys that were read for it, and binds a resource, or goes on with a session, some time later: until
//! its stream is given up. What was proven must be so still by then. Questions to the store are numbered as they are asked, so that it can be
//! told whether the keys are older than the change.

use alloc::collections::VecDeque;
use core::time::Duration;

use balcony_jid::BareJid;
use balcony_machine::Instant;
use hashbrown::HashMap;

/// So many changes are remembered. With more of them within the time that a login may take, those that have begun before the oldest count no
/// more, whoever's they are.
const MOST: usize = 10_000;

/// The accounts that were changed lately.
#[derive(Debug, Default)]
pub(crate) struct Revocations {
    /// Logins of an account count if their question is not older than this one.
    of: HashMap<BareJid, u64>,
    of_all: u64,
    /// The changes in order.
    order: VecDeque<(Instant, BareJid, u64)>,
}

impl Revocations {
    /// An account has been changed, before this question was asked. Logins take no longer than so much.
    pub(crate) fn add(&mut self, now: Instant, account: BareJid, question: u64, longest: Duration) {
        while let Some((_, account, of)) = self.order.pop_front_if(|(at, ..)| *at + longest < now) {
            self.forget(&account, of);
        }
        if self.order.len() >= MOST
            && let Some((_, account, of)) = self.order.pop_front()
        {
            self.of_all = self.of_all.max(of);
            self.forget(&account, of);
        }
        self.of.insert(account.clone(), question);
        self.order.push_back((now, account, question));
    }

    fn forget(&mut self, account: &BareJid, question: u64) {
        if self.of.get(account) == Some(&question) {
            self.of.remove(account);
        }
    }

    /// Whether a login of the account counts whose keys were asked for with this question.
    pub(crate) fn allow(&self, account: &BareJid, question: u64) -> bool {
        question >= self.of_all && self.of.get(account).is_none_or(|first| question >= *first)
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;

    const LONGEST: Duration = Duration::from_secs(60);

    fn account(number: usize) -> BareJid {
        BareJid::parse(&format!("user{number}@example.com")).unwrap()
    }

    #[test]
    fn older_logins_of_the_account_do_not_count() {
        let mut revocations = Revocations::default();
        assert!(revocations.allow(&account(1), 0));
        revocations.add(Instant::ZERO, account(1), 7, LONGEST);
        assert!(!revocations.allow(&account(1), 6) && revocations.allow(&account(1), 7));
        assert!(revocations.allow(&account(2), 6));
        // The latest change decides, and is remembered for as long as the others.
        revocations.add(Instant::from_millis(50_000), account(1), 9, LONGEST);
        revocations.add(Instant::from_millis(70_000), account(2), 12, LONGEST);
        assert!(!revocations.allow(&account(1), 8) && revocations.allow(&account(1), 9));
        revocations.add(Instant::from_millis(110_001), account(3), 13, LONGEST);
        assert!(revocations.allow(&account(1), 8) && !revocations.allow(&account(2), 8));
    }

    // What is remembered is bounded, and what is forgotten too early allows nothing.
    #[test]
    fn more_than_can_be_remembered_is_not_allowed() {
        let mut revocations = Revocations::default();
        for number in 0..3 * MOST {
            revocations.add(Instant::ZERO, account(number), number as u64 + 1, LONGEST);
            assert!(revocations.order.len() <= MOST && revocations.of.len() <= MOST);
        }
        for number in [0, MOST, 2 * MOST, 3 * MOST - 1] {
            assert!(!revocations.allow(&account(number), number as u64), "{number}");
        }
        assert!(revocations.allow(&account(0), 3 * MOST as u64));
        revocations.add(Instant::from_millis(60_001), account(1), 40_000, LONGEST);
        assert_eq!((revocations.order.len(), revocations.of.len()), (1, 1));
    }
}
