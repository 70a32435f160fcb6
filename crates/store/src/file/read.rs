//! What is kept of accounts in the file, all as it was at one moment. Documents and logs are in `collections.rs`.

use alloc::borrow::Cow;
use alloc::vec::Vec;
use core::ops::Bound;

use balcony_jid::BareJid;
use balcony_roster::{Parts, Version};
use balcony_router::{Kept, LastSeen};
use redb::ReadTransaction;

use super::collections;
use super::tables::{ACCOUNTS, CHANGES, CONTACTS, LAST, ROSTERS, end};
use crate::record::{self, address, key};
use crate::{Account, Owner, StoreConfig, StoreError};

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

    pub(super) fn kept(
        &self,
        account: &BareJid,
        collections: &[Cow<'static, str>],
        config: &StoreConfig,
    ) -> Result<Option<Kept>, StoreError> {
        let Some(creation) = self.account(account)?.map(|account| account.creation) else { return Ok(None) };
        let roster = self.roster(account, config)?;
        let last = self.last(account)?;
        let owner = Owner::Account(account.clone());
        let documents = collections::documents_of(&self.0, &owner, collections)?;
        let logs = collections::logs(&self.0, &owner)?;
        Ok(Some(Kept { creation, now: 0, roster, documents, logs, last }))
    }

    pub(super) fn last(&self, account: &BareJid) -> Result<Option<LastSeen>, StoreError> {
        let last = self.0.open_table(LAST)?.get(key(account))?;
        last.map(|value| {
            let (at, presence) = value.value();
            Ok(LastSeen { at, presence: record::decode_stanza(presence)? })
        })
        .transpose()
    }

    pub(super) fn roster(
        &self,
        account: &BareJid,
        config: &StoreConfig,
    ) -> Result<Option<Parts>, StoreError> {
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
