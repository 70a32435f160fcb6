//! What is kept of accounts in the file, all as it was at one moment. Documents and logs are in `collections.rs`.
//!
//! To open a table takes as long as to look something up in it, and a login looks at seven. So the tables stay open until something is written.

use alloc::borrow::Cow;
use alloc::vec::Vec;
use core::ops::Bound;
use std::sync::OnceLock;

use balcony_jid::BareJid;
use balcony_roster::{Parts, Version};
use balcony_router::{Kept, LastSeen};
use redb::{Key, ReadOnlyTable, ReadTransaction, ReadableTableMetadata as _, TableDefinition, Value};

use super::collections;
use super::tables::{
    ACCOUNTS, CHANGES, CONTACTS, DOCUMENTS, DocumentKey, DocumentValue, ENTRIES, EntryKey, EntryValue, LAST,
    LOGS, LogKey, META, ROSTERS, WITHOUT_SHA512, end,
};
use super::write::counter;
use crate::record::{self, address, key};
use crate::{Account, Owner, StoreConfig, StoreError};

/// The database as it was at one moment.
pub(super) struct Reading {
    transaction: ReadTransaction,
    accounts: Table<(&'static str, &'static str), &'static [u8]>,
    rosters: Table<(&'static str, &'static str), u64>,
    contacts: Table<(&'static str, &'static str, &'static str), &'static [u8]>,
    changes: Table<(&'static str, &'static str, u64), &'static str>,
    last: Table<(&'static str, &'static str), (u64, &'static [u8])>,
    documents: Table<DocumentKey<'static>, DocumentValue<'static>>,
    entries: Table<EntryKey<'static>, EntryValue<'static>>,
    logs: Table<LogKey<'static>, (u64, u64)>,
}

/// A table, once it has been opened.
struct Table<K: Key + 'static, V: Value + 'static>(OnceLock<ReadOnlyTable<K, V>>);

impl<K: Key + 'static, V: Value + 'static> Table<K, V> {
    const fn new() -> Self {
        Table(OnceLock::new())
    }

    fn open(
        &self,
        transaction: &ReadTransaction,
        definition: TableDefinition<'_, K, V>,
    ) -> Result<&ReadOnlyTable<K, V>, StoreError> {
        if let Some(table) = self.0.get() {
            return Ok(table);
        }
        let table = transaction.open_table(definition)?;
        Ok(self.0.get_or_init(|| table))
    }
}

impl Reading {
    pub(super) const fn new(transaction: ReadTransaction) -> Self {
        Reading {
            transaction,
            accounts: Table::new(),
            rosters: Table::new(),
            contacts: Table::new(),
            changes: Table::new(),
            last: Table::new(),
            documents: Table::new(),
            entries: Table::new(),
            logs: Table::new(),
        }
    }

    fn accounts(&self) -> Result<&ReadOnlyTable<(&'static str, &'static str), &'static [u8]>, StoreError> {
        self.accounts.open(&self.transaction, ACCOUNTS)
    }

    pub(super) fn documents(
        &self,
    ) -> Result<&ReadOnlyTable<DocumentKey<'static>, DocumentValue<'static>>, StoreError> {
        self.documents.open(&self.transaction, DOCUMENTS)
    }

    pub(super) fn entries(
        &self,
    ) -> Result<&ReadOnlyTable<EntryKey<'static>, EntryValue<'static>>, StoreError> {
        self.entries.open(&self.transaction, ENTRIES)
    }

    pub(super) fn logs(&self) -> Result<&ReadOnlyTable<LogKey<'static>, (u64, u64)>, StoreError> {
        self.logs.open(&self.transaction, LOGS)
    }

    /// How many accounts there are.
    pub(super) fn count(&self) -> Result<u64, StoreError> {
        Ok(self.accounts()?.len()?)
    }

    /// How many of them have no keys for SHA-512.
    pub(super) fn without_sha512(&self) -> Result<u64, StoreError> {
        counter(&self.transaction.open_table(META)?, WITHOUT_SHA512)
    }

    pub(super) fn account(&self, account: &BareJid) -> Result<Option<Account>, StoreError> {
        let found = self.accounts()?.get(key(account))?;
        found.map(|value| record::decode_account(value.value())).transpose()
    }

    pub(super) fn kept(
        &self,
        account: &BareJid,
        collections: &[Cow<'static, str>],
        config: &StoreConfig,
    ) -> Result<Option<Kept>, StoreError> {
        let Some(found) = self.accounts()?.get(key(account))? else { return Ok(None) };
        let creation = record::creation(found.value())?;
        let roster = self.roster(account, config)?;
        let last = self.last(account)?;
        let owner = Owner::Account(account.clone());
        let documents = collections::documents_of(self, &owner, collections)?;
        let logs = collections::logs(self, &owner)?;
        Ok(Some(Kept { creation, now: 0, roster, documents, logs, last }))
    }

    pub(super) fn last(&self, account: &BareJid) -> Result<Option<LastSeen>, StoreError> {
        let last = self.last.open(&self.transaction, LAST)?.get(key(account))?;
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
        let rosters = self.rosters.open(&self.transaction, ROSTERS)?;
        let Some(version) = rosters.get((domain, local))? else { return Ok(None) };
        let version = version.value();
        let (mut items, mut requests) = (Vec::new(), Vec::new());
        let contacts = self.contacts.open(&self.transaction, CONTACTS)?;
        for entry in contacts.range((domain, local, "")..(domain, &*end(local), ""))? {
            let (key, value) = entry?;
            let (item, request) = record::decode_contact(key.value().2, value.value())?;
            items.extend(item);
            requests.extend(request);
        }
        let table = self.changes.open(&self.transaction, CHANGES)?;
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
        let accounts = self.accounts()?;
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
