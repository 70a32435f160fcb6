//! What is remembered of sessions that ended while they waited for their clients: how much of what these had sent had come (XEP-0198
//! section 5). A client that comes too late is told so, and does not send it again.

use alloc::collections::{BTreeMap, VecDeque};

use balcony_jid::BareJid;

use crate::sessions::{DIGEST, digest};

/// How many are remembered of an account, and altogether. Past that the oldest is forgotten.
const OF_ACCOUNT: usize = 8;
const MOST: usize = 8_192;

/// See the [module](self).
#[derive(Debug, Default)]
pub(crate) struct Ended {
    /// The oldest of each account first.
    by_account: BTreeMap<BareJid, VecDeque<Last>>,
    by_age: BTreeMap<u64, BareJid>,
    added: u64,
}

#[derive(Debug)]
struct Last {
    /// Of the session's name.
    digest: [u8; DIGEST],
    /// How many stanzas it had sent, modulo 2^32.
    h: u32,
    /// How many sessions had ended before it.
    age: u64,
}

impl Ended {
    /// A session of the account is over, whose name has this digest, and which had sent so many stanzas.
    pub(crate) fn add(&mut self, account: BareJid, digest: [u8; DIGEST], h: u32) {
        let age = self.added;
        self.added += 1;
        let own = self.by_account.entry(account.clone()).or_default();
        own.push_back(Last { digest, h, age });
        self.by_age.insert(age, account.clone());
        if own.len() > OF_ACCOUNT {
            self.forget_oldest(&account);
        }
        if self.by_age.len() > MOST
            && let Some((_, account)) = self.by_age.first_key_value()
        {
            self.forget_oldest(&account.clone());
        }
    }

    fn forget_oldest(&mut self, account: &BareJid) {
        let Some(own) = self.by_account.get_mut(account) else { return };
        if let Some(oldest) = own.pop_front() {
            self.by_age.remove(&oldest.age);
        }
        if own.is_empty() {
            self.by_account.remove(account);
        }
    }

    /// How many stanzas a session of the account had sent that had this name; `None` if it is not remembered.
    pub(crate) fn h(&self, account: &BareJid, name: &str) -> Option<u32> {
        let own = self.by_account.get(account)?;
        let digest = digest(name);
        own.iter().find(|last| last.digest == digest).map(|last| last.h)
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::vec::Vec;

    use super::*;

    // docs/limits.md: the latest of each account, and of all, are remembered, and each by its name to its own account only.
    #[test]
    fn the_latest_are_remembered() {
        let account = |number: usize| BareJid::parse(&format!("a{number}@b")).unwrap();
        let name = |number: usize| format!("session {number}");
        let mut ended = Ended::default();
        for number in 0..50 {
            ended.add(account(0), digest(&name(number)), u32::try_from(number).unwrap());
        }
        let known = |ended: &Ended| -> Vec<u32> {
            (0..50).filter_map(|number| ended.h(&account(0), &name(number))).collect()
        };
        assert_eq!(known(&ended), (42..50).collect::<Vec<u32>>());
        assert_eq!(ended.h(&account(1), &name(49)), None);
        for number in 1..=MOST - 6 {
            ended.add(account(number), digest(""), 7);
        }
        assert_eq!((known(&ended), ended.by_age.len()), ((44..50).collect(), MOST));
        for number in 0..MOST {
            ended.add(account(number + MOST), digest(""), 7);
        }
        assert_eq!((known(&ended).len(), ended.by_age.len(), ended.by_account.len()), (0, MOST, MOST));
    }
}
