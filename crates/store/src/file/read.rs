use alloc::vec::Vec;
use core::ops::Bound;

use balcony_jid::BareJid;
use balcony_roster::{Parts, Version};
use balcony_router::{Kept, LastSeen, Offline};
use redb::ReadTransaction;

use super::tables::{ACCOUNTS, BLOCKED, CHANGES, CONTACTS, LAST, OFFLINE, ROSTERS, end};
use crate::record::{self, address, key};
use crate::{Account, Messages, StoreConfig, StoreError};

/// The database as it was at one moment.
pub(super) struct Reading(pub(super) ReadTransaction);

impl Reading {
    pub(super) const fn new(transaction: ReadTransaction) -> Self {
        Reading(transaction)
    }

    pub(super) fn account(&self, account: &BareJid) -> Result<Option<Account>, StoreError> {
        let accounts = self.0.open_table(ACCOUNTS)?;
        accounts.get(key(account))?.map(|value| record::decode_account(value.value())).transpose()
    }

    pub(super) fn kept(&self, account: &BareJid, config: StoreConfig) -> Result<Option<Kept>, StoreError> {
        let Some(creation) = self.account(account)?.map(|account| account.creation) else { return Ok(None) };
        let (domain, local) = key(account);
        let mut blocked = Vec::new();
        for entry in self.0.open_table(BLOCKED)?.range((domain, local, "")..(domain, &*end(local), ""))? {
            blocked.push(record::jid(entry?.0.value().2)?);
        }
        let mut offline = 0;
        for entry in self.0.open_table(OFFLINE)?.range((domain, local, 0)..=(domain, local, u64::MAX))? {
            entry?;
            offline += 1;
        }
        let last = self.0.open_table(LAST)?.get((domain, local))?;
        let last = last.map(|value| {
            let (at, presence) = value.value();
            Ok::<_, StoreError>(LastSeen { at, presence: record::decode_stanza(presence)? })
        });
        let roster = self.roster(account, config)?;
        Ok(Some(Kept { creation, roster, blocked, offline, last: last.transpose()?, ..Kept::default() }))
    }

    fn roster(&self, account: &BareJid, config: StoreConfig) -> Result<Option<Parts>, StoreError> {
        let (domain, local) = key(account);
        let Some(version) = self.0.open_table(ROSTERS)?.get((domain, local))? else { return Ok(None) };
        let version = version.value();
        let (mut items, mut requests) = (Vec::new(), Vec::new());
        for entry in self.0.open_table(CONTACTS)?.range((domain, local, "")..(domain, &*end(local), ""))? {
            let (key, value) = entry?;
            let (item, request) = record::decode_contact(key.value().2, value.value())?;
            items.extend(item);
            requests.extend(request);
        }
        let table = self.0.open_table(CHANGES)?;
        let mut changes = Vec::new();
        let mut number = version;
        while changes.len() < config.roster_changes
            && let Some(contact) = table.get((domain, local, number))?
        {
            changes.push(record::bare(contact.value())?);
            number = number.wrapping_sub(1);
        }
        changes.reverse();
        Ok(Some(Parts { version: Version(version), items, requests, changes }))
    }

    pub(super) fn offline(&self, account: &BareJid, bytes: usize) -> Result<Messages, StoreError> {
        let (domain, local) = key(account);
        let mut found = Messages::default();
        let mut total = 0_usize;
        for entry in self.0.open_table(OFFLINE)?.range((domain, local, 0)..=(domain, local, u64::MAX))? {
            let (key, value) = entry?;
            let (at, stanza) = value.value();
            total = total.saturating_add(stanza.len());
            if total > bytes && !found.messages.is_empty() {
                found.more = true;
                break;
            }
            let stanza = record::decode_stanza(stanza)?;
            found.messages.push(Offline { number: key.value().2, at, stanza });
        }
        Ok(found)
    }

    pub(super) fn list(
        &self,
        domain: Option<&str>,
        after: Option<&BareJid>,
        limit: usize,
    ) -> Result<Vec<BareJid>, StoreError> {
        let accounts = self.0.open_table(ACCOUNTS)?;
        let first = Bound::Included((domain.unwrap_or_default(), ""));
        let start = match after.map(key) {
            Some(after) if domain.is_none_or(|domain| after.0 >= domain) => Bound::Excluded(after),
            _ => first,
        };
        accounts
            .range::<(&str, &str)>((start, Bound::Unbounded))?
            .take(limit)
            .map(|entry| {
                let entry = entry?.0;
                let (its_domain, local) = entry.value();
                let wanted = domain.is_none_or(|domain| domain == its_domain);
                wanted.then(|| address(its_domain, local)).transpose()
            })
            .map_while(Result::transpose)
            .collect()
    }
}
