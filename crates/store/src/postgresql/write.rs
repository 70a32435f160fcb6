//! Changes of what is kept in the tables, within a transaction that somebody else commits. Documents and logs are in
//! `collections.rs`.

use alloc::string::String;
use alloc::vec::Vec;

use balcony_jid::BareJid;
use balcony_roster::{Item, Version};
use balcony_router::Change as Save;
use balcony_sasl::{Credentials, Tokens};
use balcony_stanza::Stanza;

use super::collections;
use super::link::Session;
use crate::change::keep;
use crate::collection::{self, EditRef};
use crate::record::{self, encode_account, encode_stanza, key};
use crate::{Account, Backup, Change, Edit, Owned, Owner, StoreConfig, StoreError};

/// The number of an account is its row's, and does not stand in its record.
const NO_NUMBER: u64 = 0;

/// Makes a change, and tells whether it was done. If not, nothing has changed.
pub(super) fn apply(
    session: &mut Session<'_>,
    change: &Change,
    config: &StoreConfig,
    now: u64,
) -> Result<bool, StoreError> {
    const SET: &str = "UPDATE accounts SET credentials = $3 WHERE domain = $1 AND local = $2";
    const REMOVE: &str = "DELETE FROM accounts WHERE domain = $1 AND local = $2";
    let set = |session: &mut Session<'_>, account, credentials| {
        let (domain, local) = key(account);
        // Tokens end with the password.
        let record = encode_account(credentials, now / 1000, NO_NUMBER, &Tokens::default())?;
        Ok(session.execute(SET, &[&domain, &local, &record])? == 1)
    };
    match change {
        Change::Create { account, credentials, replace } => {
            let created = create(session, account, credentials, now / 1000)?.is_some();
            Ok(created || *replace && set(session, account, credentials)?)
        }
        Change::SetCredentials { account, credentials } => set(session, account, credentials),
        Change::AddKeys { account, keys } => change_account(session, account, |found| {
            let may = found.credentials.may_add(keys);
            if may {
                found.credentials.set(keys.clone());
            }
            may
        }),
        Change::KeepToken { account, agent, used, token, salt } => {
            change_account(session, account, |found| {
                let done = keep(found, agent, *used, token.as_deref(), salt.as_deref(), now / 1000);
                found.tokens.forget_expired(now / 1000);
                done
            })
        }
        Change::RevokeToken { account, id } => {
            change_account(session, account, |found| found.tokens.revoke(*id))
        }
        Change::Remove { account } => {
            let (domain, local) = key(account);
            Ok(session.execute(REMOVE, &[&domain, &local])? == 1)
        }
        Change::Save { account, changes } => save(session, account, changes, config, now),
        Change::Restore(backup) => restore(session, backup, config),
        Change::Edit { owner, creation, edits } => edit(session, owner, *creation, edits, now),
        Change::Clear { owner } => collections::clear(session, owner),
        Change::RestoreOwned(owned) => restore_owned(session, owned, config),
    }
}

/// Changes an account, if it exists and `change` says so.
fn change_account(
    session: &mut Session<'_>,
    account: &BareJid,
    change: impl FnOnce(&mut Account) -> bool,
) -> Result<bool, StoreError> {
    const SET: &str = "UPDATE accounts SET credentials = $3 WHERE domain = $1 AND local = $2";
    let (domain, local) = key(account);
    let row = session.query_opt(
        "SELECT credentials, created FROM accounts WHERE domain = $1 AND local = $2 FOR UPDATE",
        &[&domain, &local],
    )?;
    let Some(row) = row else { return Ok(false) };
    let mut found = record::decode_account(row.try_get(0)?)?;
    let created: i64 = row.try_get(1)?;
    if !change(&mut found) {
        return Ok(false);
    }
    let Account { credentials, tokens, .. } = found;
    let record = encode_account(&credentials, created.cast_unsigned(), NO_NUMBER, &tokens)?;
    Ok(session.execute(SET, &[&domain, &local, &record])? == 1)
}

/// The new account's id; `None` if it existed.
fn create(
    session: &mut Session<'_>,
    account: &BareJid,
    credentials: &Credentials,
    created: u64,
) -> Result<Option<i64>, StoreError> {
    const CREATE: &str = "\
        INSERT INTO accounts (domain, local, created, credentials) VALUES ($1, $2, $3, $4) \
        ON CONFLICT DO NOTHING RETURNING id";
    let (domain, local) = key(account);
    let record = encode_account(credentials, created, NO_NUMBER, &Tokens::default())?;
    let row = session.query_opt(CREATE, &[&domain, &local, &created.cast_signed(), &record])?;
    Ok(row.map(|row| row.try_get(0)).transpose()?)
}

fn save(
    session: &mut Session<'_>,
    account: &BareJid,
    changes: &[Save],
    config: &StoreConfig,
    now: u64,
) -> Result<bool, StoreError> {
    let (domain, local) = key(account);
    let row = session.query_opt(
        "SELECT id FROM accounts WHERE domain = $1 AND local = $2 FOR UPDATE",
        &[&domain, &local],
    )?;
    let Some(id) = row.map(|row| row.try_get::<_, i64>(0)).transpose()? else { return Ok(false) };
    let owner = Owner::Account(account.clone());
    let mut edits = collection::edits(changes).peekable();
    let mut in_collections = None;
    if edits.peek().is_some() {
        if edits.clone().any(|(creation, _)| creation != id.cast_unsigned()) {
            return Ok(false);
        }
        in_collections = collections::find_or_make(session, &owner)?;
        let Some(owner) = in_collections else { return Ok(false) };
        let edits = edits.map(|(_, edit)| edit);
        if !collection::can_be_made(edits, |log, part| collections::held(session, owner, log, part))? {
            return Ok(false);
        }
    }
    let edit = |session: &mut Session<'_>, edit| match in_collections {
        Some(owner) => collections::edit(session, owner, edit, now),
        None => Ok(()),
    };
    for change in changes {
        match change {
            Save::Roster { contact, item, request, version: at, pushed } => {
                version(session, id, *at)?;
                self::contact(session, id, contact, item.as_ref(), request.as_deref())?;
                if *pushed {
                    changed(session, id, *at, contact, config)?;
                }
            }
            Save::LastSeen(presence) => last_seen(session, id, now, presence)?,
            Save::Document { edit: document, .. } => edit(session, EditRef::Document(document))?,
            Save::Log { edit: log, .. } => edit(session, EditRef::Log(log))?,
        }
    }
    Ok(true)
}

fn edit(
    session: &mut Session<'_>,
    owner: &Owner,
    creation: Option<u64>,
    edits: &[Edit],
    now: u64,
) -> Result<bool, StoreError> {
    const CREATION: &str = "SELECT id FROM accounts WHERE domain = $1 AND local = $2 FOR UPDATE";
    if let Owner::Account(account) = owner {
        let (domain, local) = key(account);
        let found = session.query_opt(CREATION, &[&domain, &local])?;
        let found = found.map(|row| row.try_get::<_, i64>(0)).transpose()?.map(i64::cast_unsigned);
        if found.is_none() || creation.is_some() && creation != found {
            return Ok(false);
        }
    }
    let Some(id) = collections::find_or_make(session, owner)? else { return Ok(false) };
    let edits = edits.iter().map(Edit::as_ref);
    if !collection::can_be_made(edits.clone(), |log, part| collections::held(session, id, log, part))? {
        return Ok(false);
    }
    for edit in edits {
        collections::edit(session, id, edit, now)?;
    }
    Ok(true)
}

fn restore_owned(session: &mut Session<'_>, owned: &Owned, config: &StoreConfig) -> Result<bool, StoreError> {
    let Some(id) = collections::find_or_make(session, &owned.owner)? else { return Ok(false) };
    if collections::has_any(session, id)? {
        return Ok(false);
    }
    owned.collections.admit(&config.collections)?;
    collections::restore(session, id, &owned.collections)?;
    Ok(true)
}

fn restore(session: &mut Session<'_>, backup: &Backup, config: &StoreConfig) -> Result<bool, StoreError> {
    let Backup { address, account, roster, last, collections } = backup;
    let Some(id) = create(session, address, &account.credentials, account.created)? else { return Ok(false) };
    collections.admit(&config.collections)?;
    if let Some(roster) = roster {
        version(session, id, roster.version)?;
        for (contact, item, request) in record::contacts(roster) {
            self::contact(session, id, &contact, item, request)?;
        }
        for (version, contact) in record::changes(roster) {
            changed(session, id, version, contact, config)?;
        }
    }
    if let Some(last) = last {
        last_seen(session, id, last.at, &last.presence)?;
    }
    if !collections.is_empty()
        && let Some(owner) = collections::find_or_make(session, &Owner::Account(address.clone()))?
    {
        collections::restore(session, owner, collections)?;
    }
    Ok(true)
}

fn version(session: &mut Session<'_>, account: i64, version: Version) -> Result<(), StoreError> {
    const SET: &str = "UPDATE accounts SET roster_version = $2 WHERE id = $1";
    session.execute(SET, &[&account, &version.0.cast_signed()])?;
    Ok(())
}

fn contact(
    session: &mut Session<'_>,
    account: i64,
    contact: &BareJid,
    item: Option<&Item>,
    request: Option<&Stanza>,
) -> Result<(), StoreError> {
    const REMOVE: &str = "DELETE FROM contacts WHERE account = $1 AND contact = $2";
    const SET: &str = "\
        INSERT INTO contacts (account, contact, subscription, name, groups, ask, approved, request) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8) \
        ON CONFLICT (account, contact) DO UPDATE SET (subscription, name, groups, ask, approved, request) = \
        (excluded.subscription, excluded.name, excluded.groups, excluded.ask, excluded.approved, excluded.request)";
    let jid = contact.as_str();
    if item.is_none() && request.is_none() {
        session.execute(REMOVE, &[&account, &jid])?;
        return Ok(());
    }
    let subscription = item.map(|item| item.subscription.name());
    let name = item.and_then(|item| item.name.as_deref());
    let groups: Vec<&str> = item.iter().flat_map(|item| &item.groups).map(AsRef::as_ref).collect();
    let ask = item.is_some_and(|item| item.ask);
    let approved = item.is_some_and(|item| item.approved);
    let request = request.map(xml).transpose()?;
    session.execute(SET, &[&account, &jid, &subscription, &name, &groups, &ask, &approved, &request])?;
    Ok(())
}

/// Remembers a push, and forgets the one that is too long ago.
fn changed(
    session: &mut Session<'_>,
    account: i64,
    version: Version,
    contact: &BareJid,
    config: &StoreConfig,
) -> Result<(), StoreError> {
    const FORGET: &str = "DELETE FROM roster_changes WHERE account = $1 AND version = $2";
    const ADD: &str = "\
        INSERT INTO roster_changes (account, version, contact) VALUES ($1, $2, $3) \
        ON CONFLICT (account, version) DO UPDATE SET contact = excluded.contact";
    let forgotten = version.0.wrapping_sub(config.roster_changes as u64);
    session.execute(FORGET, &[&account, &forgotten.cast_signed()])?;
    session.execute(ADD, &[&account, &version.0.cast_signed(), &contact.as_str()])?;
    Ok(())
}

fn last_seen(session: &mut Session<'_>, account: i64, at: u64, presence: &Stanza) -> Result<(), StoreError> {
    const SET: &str = "UPDATE accounts SET last_at = $2, last_presence = $3 WHERE id = $1";
    session.execute(SET, &[&account, &at.cast_signed(), &xml(presence)?])?;
    Ok(())
}

fn xml(stanza: &Stanza) -> Result<String, StoreError> {
    String::from_utf8(encode_stanza(stanza)).map_err(|_| StoreError::Corrupt("a stanza".into()))
}
