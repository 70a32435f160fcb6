use alloc::vec::Vec;

use balcony_jid::BareJid;
use balcony_roster::{Item, Version};
use balcony_router::Change as Save;
use balcony_stanza::Stanza;
use redb::{ReadableTable, Table, WriteTransaction};

use super::tables::{ACCOUNTS, BLOCKED, CHANGES, CONTACTS, LAST, META, OFFLINE, ROSTERS, end};
use crate::record::{self, encode_stanza, key};
use crate::{Backup, Change, StoreConfig, StoreError};

/// A transaction that makes changes.
pub(super) struct Writing<'t> {
    meta: Table<'t, &'static str, &'static [u8]>,
    accounts: Table<'t, (&'static str, &'static str), &'static [u8]>,
    rosters: Table<'t, (&'static str, &'static str), u64>,
    contacts: Table<'t, (&'static str, &'static str, &'static str), &'static [u8]>,
    changes: Table<'t, (&'static str, &'static str, u64), &'static str>,
    blocked: Table<'t, (&'static str, &'static str, &'static str), ()>,
    offline: Table<'t, (&'static str, &'static str, u64), (u64, &'static [u8])>,
    last: Table<'t, (&'static str, &'static str), (u64, &'static [u8])>,
    config: StoreConfig,
    /// Milliseconds since 1970.
    now: u64,
    /// The highest number that a message has had.
    number: u64,
}

impl<'t> Writing<'t> {
    pub(super) fn new(
        transaction: &'t WriteTransaction,
        config: StoreConfig,
        now: u64,
    ) -> Result<Self, StoreError> {
        let meta = transaction.open_table(META)?;
        let number = last_number(&meta)?;
        Ok(Writing {
            meta,
            accounts: transaction.open_table(ACCOUNTS)?,
            rosters: transaction.open_table(ROSTERS)?,
            contacts: transaction.open_table(CONTACTS)?,
            changes: transaction.open_table(CHANGES)?,
            blocked: transaction.open_table(BLOCKED)?,
            offline: transaction.open_table(OFFLINE)?,
            last: transaction.open_table(LAST)?,
            config,
            now,
            number,
        })
    }

    /// Has to be called before the transaction is committed.
    pub(super) fn finish(mut self) -> Result<(), StoreError> {
        self.meta.insert("offline", &self.number.to_le_bytes()[..])?;
        Ok(())
    }

    /// Makes a change, and tells whether it was done. If not, nothing has changed.
    pub(super) fn apply(&mut self, change: &Change) -> Result<bool, StoreError> {
        let (account, credentials) = match change {
            Change::Remove { account } => return self.remove(account),
            Change::Save { account, changes } => return self.save(account, changes),
            Change::Restore(backup) => return self.restore(backup),
            Change::Create { account, credentials, .. } | Change::SetCredentials { account, credentials } => {
                (account, credentials)
            }
        };
        let before = self.accounts.get(key(account))?;
        let before = before.map(|value| record::decode_account(value.value())).transpose()?;
        let created = match (change, before) {
            (Change::Create { replace: false, .. }, Some(_)) | (Change::SetCredentials { .. }, None) => {
                return Ok(false);
            }
            (_, Some(before)) => before.created,
            (_, None) => self.now / 1000,
        };
        self.accounts.insert(key(account), &record::encode_account(credentials, created)?[..])?;
        Ok(true)
    }

    fn exists(&self, account: &BareJid) -> Result<bool, StoreError> {
        Ok(self.accounts.get(key(account))?.is_some())
    }

    fn remove(&mut self, account: &BareJid) -> Result<bool, StoreError> {
        let (domain, local) = key(account);
        if self.accounts.remove((domain, local))?.is_none() {
            return Ok(false);
        }
        self.rosters.remove((domain, local))?;
        self.last.remove((domain, local))?;
        self.unblock_all(account)?;
        self.contacts.retain_in((domain, local, "")..(domain, &*end(local), ""), |_, _| false)?;
        self.changes.retain_in((domain, local, 0)..=(domain, local, u64::MAX), |_, _| false)?;
        self.drop_offline(account, u64::MAX)?;
        Ok(true)
    }

    fn save(&mut self, account: &BareJid, changes: &[Save]) -> Result<bool, StoreError> {
        if !self.exists(account)? || !self.config.has_room(changes, || self.waiting(account))? {
            return Ok(false);
        }
        let (domain, local) = key(account);
        for change in changes {
            match change {
                Save::Roster { contact, item, request, version, pushed } => {
                    self.rosters.insert((domain, local), version.0)?;
                    self.contact(account, contact, item.as_ref(), request.as_deref())?;
                    if *pushed {
                        self.changed(account, *version, contact)?;
                    }
                }
                Save::Block(addresses) => {
                    for address in addresses {
                        self.blocked.insert((domain, local, address.as_str()), ())?;
                    }
                }
                Save::Unblock(addresses) => {
                    for address in addresses {
                        self.blocked.remove((domain, local, address.as_str()))?;
                    }
                }
                Save::UnblockAll => self.unblock_all(account)?,
                Save::PutOffline { message, .. } => self.put_offline(account, self.now, message)?,
                Save::DropOffline { up_to } => self.drop_offline(account, *up_to)?,
                Save::LastSeen(presence) => {
                    self.last.insert((domain, local), (self.now, &encode_stanza(presence)[..]))?;
                }
            }
        }
        Ok(true)
    }

    fn restore(&mut self, backup: &Backup) -> Result<bool, StoreError> {
        let Backup { address: account, account: what, kept, offline } = backup;
        if self.exists(account)? {
            return Ok(false);
        }
        let (domain, local) = key(account);
        let record = record::encode_account(&what.credentials, what.created)?;
        self.accounts.insert((domain, local), &record[..])?;
        if let Some(roster) = &kept.roster {
            self.rosters.insert((domain, local), roster.version.0)?;
            for (contact, item, request) in record::contacts(roster) {
                self.contact(account, &contact, item, request)?;
            }
            for (version, contact) in record::changes(roster) {
                self.changed(account, version, contact)?;
            }
        }
        for address in &kept.blocked {
            self.blocked.insert((domain, local, address.as_str()), ())?;
        }
        for message in offline {
            self.put_offline(account, message.at, &message.stanza)?;
        }
        if let Some(last) = &kept.last {
            self.last.insert((domain, local), (last.at, &encode_stanza(&last.presence)[..]))?;
        }
        Ok(true)
    }

    fn contact(
        &mut self,
        account: &BareJid,
        contact: &BareJid,
        item: Option<&Item>,
        request: Option<&Stanza>,
    ) -> Result<(), StoreError> {
        let (domain, local) = key(account);
        let key = (domain, local, contact.as_str());
        if item.is_none() && request.is_none() {
            self.contacts.remove(key)?;
        } else {
            self.contacts.insert(key, &record::encode_contact(item, request)?[..])?;
        }
        Ok(())
    }

    fn changed(&mut self, account: &BareJid, version: Version, contact: &BareJid) -> Result<(), StoreError> {
        let (domain, local) = key(account);
        let forgotten = version.0.wrapping_sub(self.config.roster_changes as u64);
        self.changes.remove((domain, local, forgotten))?;
        self.changes.insert((domain, local, version.0), contact.as_str())?;
        Ok(())
    }

    fn unblock_all(&mut self, account: &BareJid) -> Result<(), StoreError> {
        let (domain, local) = key(account);
        Ok(self.blocked.retain_in((domain, local, "")..(domain, &*end(local), ""), |_, ()| false)?)
    }

    /// The messages that wait: their numbers, and their bytes.
    fn waiting(&self, account: &BareJid) -> Result<Vec<(u64, usize)>, StoreError> {
        let (domain, local) = key(account);
        let messages = self.offline.range((domain, local, 0)..=(domain, local, u64::MAX))?;
        messages
            .map(|entry| {
                let (key, value) = entry?;
                Ok((key.value().2, value.value().1.len()))
            })
            .collect()
    }

    fn put_offline(&mut self, account: &BareJid, at: u64, stanza: &Stanza) -> Result<(), StoreError> {
        let (domain, local) = key(account);
        self.number += 1;
        self.offline.insert((domain, local, self.number), (at, &encode_stanza(stanza)[..]))?;
        Ok(())
    }

    fn drop_offline(&mut self, account: &BareJid, up_to: u64) -> Result<(), StoreError> {
        let (domain, local) = key(account);
        Ok(self.offline.retain_in((domain, local, 0)..=(domain, local, up_to), |_, _| false)?)
    }
}

/// The highest number that a message has had.
pub(super) fn last_number(meta: &impl ReadableTable<&'static str, &'static [u8]>) -> Result<u64, StoreError> {
    let Some(value) = meta.get("offline")? else { return Ok(0) };
    let number = value.value().try_into();
    number.map(u64::from_le_bytes).map_err(|_| StoreError::Corrupt("the number of a message".into()))
}
