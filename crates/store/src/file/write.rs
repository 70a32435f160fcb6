//! Changes of what is kept in the file, within a transaction that somebody else commits. Documents and logs are in
//! `collections.rs`.

use balcony_jid::BareJid;
use balcony_roster::{Item, Version};
use balcony_router::Change as Save;
use balcony_sasl::{ScramKeys, Tokens};
use balcony_stanza::Stanza;
use redb::{ReadableTable, Table, WriteTransaction};

use super::collections;
use super::tables::{ACCOUNTS, CHANGES, CONTACTS, LAST, META, ROSTERS, WITHOUT_SHA512, end};
use crate::change::keep;
use crate::collection::{self, EditRef};
use crate::record::{self, encode_stanza, key};
use crate::{Account, Backup, Change, Edit, Owned, Owner, StoreConfig, StoreError};

/// A transaction that makes changes.
pub(super) struct Writing<'t> {
    meta: Table<'t, &'static str, &'static [u8]>,
    accounts: Table<'t, (&'static str, &'static str), &'static [u8]>,
    rosters: Table<'t, (&'static str, &'static str), u64>,
    contacts: Table<'t, (&'static str, &'static str, &'static str), &'static [u8]>,
    changes: Table<'t, (&'static str, &'static str, u64), &'static str>,
    last: Table<'t, (&'static str, &'static str), (u64, &'static [u8])>,
    collections: collections::Writing<'t>,
    config: &'t StoreConfig,
    /// Milliseconds since 1970.
    now: u64,
    /// The highest number that an account has had.
    created: u64,
    /// How many accounts have no keys for SHA-512.
    without_sha512: u64,
}

impl<'t> Writing<'t> {
    pub(super) fn new(
        transaction: &'t WriteTransaction,
        config: &'t StoreConfig,
        now: u64,
    ) -> Result<Self, StoreError> {
        let meta = transaction.open_table(META)?;
        let (created, without_sha512) = (counter(&meta, "created")?, counter(&meta, WITHOUT_SHA512)?);
        let collections = collections::Writing::new(transaction, counter(&meta, "entries")?, now)?;
        Ok(Writing {
            meta,
            accounts: transaction.open_table(ACCOUNTS)?,
            rosters: transaction.open_table(ROSTERS)?,
            contacts: transaction.open_table(CONTACTS)?,
            changes: transaction.open_table(CHANGES)?,
            last: transaction.open_table(LAST)?,
            collections,
            config,
            now,
            created,
            without_sha512,
        })
    }

    /// Has to be called before the transaction is committed.
    pub(super) fn finish(mut self) -> Result<(), StoreError> {
        let numbers = [
            ("created", self.created),
            ("entries", self.collections.number),
            (WITHOUT_SHA512, self.without_sha512),
        ];
        for (kind, number) in numbers {
            if counter(&self.meta, kind)? != number {
                self.meta.insert(kind, &number.to_le_bytes()[..])?;
            }
        }
        Ok(())
    }

    /// Makes a change, and tells whether it was done. If not, nothing has changed.
    pub(super) fn apply(&mut self, change: &Change) -> Result<bool, StoreError> {
        let (account, credentials) = match change {
            Change::Remove { account } => return self.remove(account),
            Change::Save { account, changes } => return self.save(account, changes),
            Change::Restore(backup) => return self.restore(backup),
            Change::Edit { owner, creation, edits } => return self.edit(owner, *creation, edits),
            Change::AddKeys { account, keys } => return self.add_keys(account, keys),
            Change::KeepToken { account, agent, used, token, salt } => {
                let now = self.now / 1000;
                return self.change_tokens(account, |found| {
                    keep(found, agent, *used, token.as_deref(), salt.as_deref(), now)
                });
            }
            Change::RevokeToken { account, id } => {
                return self.change_tokens(account, |found| found.tokens.revoke(*id));
            }
            Change::Clear { owner } => return self.clear(owner),
            Change::RestoreOwned(owned) => return self.restore_owned(owned),
            Change::Create { account, credentials, .. } | Change::SetCredentials { account, credentials } => {
                (account, credentials)
            }
        };
        let before = self.account(account)?;
        let (created, creation) = match (change, before) {
            (Change::Create { replace: false, .. }, Some(_)) | (Change::SetCredentials { .. }, None) => {
                return Ok(false);
            }
            (_, Some(before)) => (before.created, before.creation),
            (_, None) => (self.now / 1000, self.next_creation()),
        };
        // Tokens end with the password.
        let (credentials, tokens) = (credentials.clone(), Tokens::default());
        self.put_account(account, &Account { credentials, created, creation, tokens })?;
        Ok(true)
    }

    fn add_keys(&mut self, account: &BareJid, keys: &ScramKeys) -> Result<bool, StoreError> {
        let Some(found) = self.account(account)? else { return Ok(false) };
        let mut credentials = found.credentials.clone();
        if !credentials.may_add(keys) {
            return Ok(false);
        }
        credentials.set(keys.clone());
        self.put_account(account, &Account { credentials, ..found })?;
        Ok(true)
    }

    /// Changes the tokens of an account, if it exists.
    fn change_tokens(
        &mut self,
        account: &BareJid,
        change: impl FnOnce(&mut Account) -> bool,
    ) -> Result<bool, StoreError> {
        let Some(mut found) = self.account(account)? else { return Ok(false) };
        let done = change(&mut found);
        if done {
            found.tokens.forget_expired(self.now / 1000);
            self.put_account(account, &found)?;
        }
        Ok(done)
    }

    fn account(&self, account: &BareJid) -> Result<Option<Account>, StoreError> {
        let record = self.accounts.get(key(account))?;
        record.map(|record| record::decode_account(record.value())).transpose()
    }

    fn put_account(&mut self, address: &BareJid, account: &Account) -> Result<(), StoreError> {
        let Account { credentials, created, creation, tokens } = account;
        let record = record::encode_account(credentials, *created, *creation, tokens)?;
        let before = self.accounts.insert(key(address), &record[..])?;
        let before = before.map(|before| record::has_sha512(before.value()));
        self.count(before, Some(record::has_sha512(&record)));
        Ok(())
    }

    /// An account, if there was one, had keys for SHA-512 or not, and, if there is one, now has them or not.
    fn count(&mut self, before: Option<bool>, after: Option<bool>) {
        self.without_sha512 += u64::from(after == Some(false));
        self.without_sha512 = self.without_sha512.saturating_sub(u64::from(before == Some(false)));
    }

    fn next_creation(&mut self) -> u64 {
        self.created += 1;
        self.created
    }

    fn exists(&self, account: &BareJid) -> Result<bool, StoreError> {
        Ok(self.accounts.get(key(account))?.is_some())
    }

    /// The number with which the account was made, if it exists.
    fn creation(&self, account: &BareJid) -> Result<Option<u64>, StoreError> {
        Ok(self.account(account)?.map(|account| account.creation))
    }

    fn edit(&mut self, owner: &Owner, creation: Option<u64>, edits: &[Edit]) -> Result<bool, StoreError> {
        if let Owner::Account(account) = owner {
            let found = self.creation(account)?;
            if found.is_none() || creation.is_some() && creation != found {
                return Ok(false);
            }
        }
        let edits = edits.iter().map(Edit::as_ref);
        if !collection::can_be_made(edits.clone(), |log, part| self.collections.held(owner, log, part))? {
            return Ok(false);
        }
        for edit in edits {
            self.collections.edit(owner, edit)?;
        }
        Ok(true)
    }

    /// An account's go with the account.
    fn clear(&mut self, owner: &Owner) -> Result<bool, StoreError> {
        if !self.collections.has_any(owner)? {
            return Ok(false);
        }
        self.collections.clear(owner)?;
        Ok(true)
    }

    fn restore_owned(&mut self, owned: &Owned) -> Result<bool, StoreError> {
        let Owned { owner, collections } = owned;
        let is_orphan = match owner {
            Owner::Account(account) => !self.exists(account)?,
            Owner::Service(_) | Owner::Domain(_) => false,
        };
        if is_orphan || self.collections.has_any(owner)? {
            return Ok(false);
        }
        collections.admit(&self.config.collections)?;
        self.collections.restore(owner, collections)?;
        Ok(true)
    }

    fn remove(&mut self, account: &BareJid) -> Result<bool, StoreError> {
        let (domain, local) = key(account);
        let before = self.accounts.remove((domain, local))?;
        let before = before.map(|before| record::has_sha512(before.value()));
        if before.is_none() {
            return Ok(false);
        }
        self.count(before, None);
        self.rosters.remove((domain, local))?;
        self.last.remove((domain, local))?;
        self.contacts.retain_in((domain, local, "")..(domain, &*end(local), ""), |_, _| false)?;
        self.changes.retain_in((domain, local, 0)..=(domain, local, u64::MAX), |_, _| false)?;
        self.collections.clear(&Owner::Account(account.clone()))?;
        Ok(true)
    }

    fn save(&mut self, account: &BareJid, changes: &[Save]) -> Result<bool, StoreError> {
        let Some(creation) = self.creation(account)? else { return Ok(false) };
        let owner = Owner::Account(account.clone());
        let edits = collection::edits(changes);
        if edits.clone().any(|(meant, _)| meant != creation)
            || !collection::can_be_made(edits.map(|(_, edit)| edit), |log, part| {
                self.collections.held(&owner, log, part)
            })?
        {
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
                Save::LastSeen(presence) => {
                    self.last.insert((domain, local), (self.now, &encode_stanza(presence)[..]))?;
                }
                Save::Document { edit, .. } => self.collections.edit(&owner, EditRef::Document(edit))?,
                Save::Log { edit, .. } => self.collections.edit(&owner, EditRef::Log(edit))?,
            }
        }
        Ok(true)
    }

    fn restore(&mut self, backup: &Backup) -> Result<bool, StoreError> {
        let Backup { address: account, account: what, roster, last, collections } = backup;
        if self.exists(account)? {
            return Ok(false);
        }
        collections.admit(&self.config.collections)?;
        let (domain, local) = key(account);
        let creation = self.next_creation();
        let (credentials, created) = (what.credentials.clone(), what.created);
        self.put_account(account, &Account { credentials, created, creation, tokens: Tokens::default() })?;
        self.collections.restore(&Owner::Account(account.clone()), collections)?;
        if let Some(roster) = roster {
            self.rosters.insert((domain, local), roster.version.0)?;
            for (contact, item, request) in record::contacts(roster) {
                self.contact(account, &contact, item, request)?;
            }
            for (version, contact) in record::changes(roster) {
                self.changed(account, version, contact)?;
            }
        }
        if let Some(last) = last {
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
}

/// The number that is kept under this name; zero if there is none.
pub(super) fn counter(
    meta: &impl ReadableTable<&'static str, &'static [u8]>,
    kind: &str,
) -> Result<u64, StoreError> {
    let Some(value) = meta.get(kind)? else { return Ok(0) };
    let number = value.value().try_into();
    number.map(u64::from_le_bytes).map_err(|_| StoreError::Corrupt("a number that is counted on".into()))
}
