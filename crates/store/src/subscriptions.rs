use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString as _};

use balcony_jid::BareJid;
use balcony_router::Kept;

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
    /// # Errors
    ///
    /// As [`get`](Store::get); but what cannot be read is passed over, since [`check`](Store::check) tells of it.
    pub fn check_subscriptions(&self, problem: &mut dyn FnMut(String)) -> Result<(), StoreError> {
        let mut is_local = BTreeMap::new();
        let mut after = None;
        loop {
            let accounts = self.list_all(after.as_ref(), PAGE)?;
            for account in &accounts {
                for subscriber in subscribers(readable(self.kept(account))?) {
                    let domain = subscriber.domainpart();
                    if !is_local.contains_key(domain) {
                        is_local.insert(domain.to_string(), !self.list(domain, None, 1)?.is_empty());
                    }
                    if is_local[domain] && !wants(readable(self.kept(&subscriber))?, account) {
                        problem(format!(
                            "{account} shows {subscriber} when it is online, who is not subscribed; its user ends that with \
                             `balcony roster deny {subscriber}`"
                        ));
                    }
                }
            }
            match accounts.last() {
                Some(last) => after = Some(last.clone()),
                None => return Ok(()),
            }
        }
    }
}

fn readable(kept: Result<Option<Kept>, StoreError>) -> Result<Option<Kept>, StoreError> {
    match kept {
        Err(StoreError::Corrupt(_)) => Ok(None),
        other => other,
    }
}

/// Those who see the presence of an account.
fn subscribers(kept: Option<Kept>) -> impl Iterator<Item = BareJid> {
    let items = kept.and_then(|kept| kept.roster).map(|roster| roster.items).unwrap_or_default();
    items.into_iter().filter(|item| item.subscription.has_from()).map(|item| item.jid)
}

/// Whether an account is subscribed to the presence of another one, or has asked for it and waits for the answer.
fn wants(kept: Option<Kept>, other: &BareJid) -> bool {
    let items = kept.and_then(|kept| kept.roster).map(|roster| roster.items).unwrap_or_default();
    items.iter().any(|item| item.jid == *other && (item.subscription.has_to() || item.ask))
}
