//! Subscriptions of which only one of two accounts knows, by which a user would be seen by somebody who has not asked for it.
//!
//! They are found and told, each with what its user can do about it, and not mended.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use core::hash::BuildHasher as _;
use std::hash::RandomState;

use balcony_jid::BareJid;
use balcony_roster::Item;

use crate::{Store, StoreError};

/// Accounts that are looked up at once.
const PAGE: usize = 1000;

impl Store {
    /// Looks at the subscriptions between accounts of this store, and tells `problem`, in a line for each, who shows presence to
    /// whom without being asked for it: whoever has the other account, or gets its name some day, sees it nevertheless. That
    /// is what a crash leaves behind between the changes of two rosters, and [`remove`](Store::remove) if nobody tells the contacts.
    ///
    /// A subscription of which only the subscriber knows ends by itself when that user asks for the presence.
    ///
    /// It remembers about 16 bytes for each subscription.
    ///
    /// # Errors
    ///
    /// As [`get`](Store::get); but what cannot be read is passed over, since [`check`](Store::check) tells of it.
    pub fn check_subscriptions(&self, problem: &mut dyn FnMut(String)) -> Result<(), StoreError> {
        let pairs = RandomState::new();
        let (mut wanted, mut domains) = (BTreeSet::new(), BTreeSet::new());
        self.each_roster(&mut |account, items| {
            let wants = items.iter().filter(|item| item.subscription.has_to() || item.ask);
            wanted.extend(wants.map(|item| pairs.hash_one((account, &item.jid))));
            if !domains.contains(account.domainpart()) {
                domains.insert(String::from(account.domainpart()));
            }
        })?;
        self.each_roster(&mut |account, items| {
            for Item { jid, .. } in items.iter().filter(|item| item.subscription.has_from()) {
                if domains.contains(jid.domainpart()) && !wanted.contains(&pairs.hash_one((jid, account))) {
                    problem(format!(
                        "{account} shows {jid} when it is online, who is not subscribed; its user ends that with `balcony \
                         roster deny {jid}`"
                    ));
                }
            }
        })
    }

    /// All accounts, each with its contacts.
    fn each_roster(&self, each: &mut dyn FnMut(&BareJid, &[Item])) -> Result<(), StoreError> {
        let mut after = None;
        loop {
            let accounts = self.list_all(after.as_ref(), PAGE)?;
            for account in &accounts {
                let kept = match self.kept(account, &[]) {
                    Err(StoreError::Corrupt(_)) => None,
                    other => other?,
                };
                let items = kept.and_then(|kept| kept.roster).map(|roster| roster.items);
                each(account, items.as_deref().unwrap_or_default());
            }
            match accounts.last() {
                Some(last) => after = Some(last.clone()),
                None => return Ok(()),
            }
        }
    }
}
