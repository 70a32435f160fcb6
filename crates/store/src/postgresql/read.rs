//! What is kept of accounts in the tables, read within a transaction. Documents and logs are in `collections.rs`.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use balcony_jid::BareJid;
use balcony_roster::{Item, Parts, Version};
use balcony_router::{Kept, LastSeen};
use balcony_stanza::Stanza;
use postgres::Row;

use super::collections;
use super::link::Session;
use crate::record::{self, address, key};
use crate::{Account, Backup, Owner, StoreConfig, StoreError};

pub(super) fn account(session: &mut Session<'_>, account: &BareJid) -> Result<Option<Account>, StoreError> {
    let (domain, local) = key(account);
    let row = session.query_opt(
        "SELECT credentials, created, id FROM accounts WHERE domain = $1 AND local = $2",
        &[&domain, &local],
    )?;
    row.map(|row| {
        let Account { credentials, tokens, .. } = record::decode_account(row.try_get(0)?)?;
        let (created, creation) = (row.try_get::<_, i64>(1)?, row.try_get::<_, i64>(2)?);
        let (created, creation) = (created.cast_unsigned(), creation.cast_unsigned());
        Ok(Account { credentials, created, creation, tokens })
    })
    .transpose()
}

pub(super) fn kept(
    session: &mut Session<'_>,
    account: &BareJid,
    collections: &[Cow<'static, str>],
    config: &StoreConfig,
) -> Result<Option<Kept>, StoreError> {
    const ACCOUNT: &str = "\
        SELECT id, roster_version, last_at, last_presence, \
            (SELECT owners.id FROM owners WHERE owners.account = accounts.id) \
        FROM accounts WHERE domain = $1 AND local = $2";
    let (domain, local) = key(account);
    let Some(row) = session.query_opt(ACCOUNT, &[&domain, &local])? else { return Ok(None) };
    let id: i64 = row.try_get(0)?;
    let last = match (row.try_get::<_, Option<i64>>(2)?, row.try_get::<_, Option<&str>>(3)?) {
        (Some(at), Some(presence)) => {
            let presence = record::decode_stanza(presence.as_bytes())?;
            Some(LastSeen { at: at.cast_unsigned(), presence })
        }
        _ => None,
    };
    let roster = match row.try_get::<_, Option<i64>>(1)? {
        Some(version) => Some(roster(session, id, version.cast_unsigned(), config)?),
        None => None,
    };
    let (documents, logs) = match row.try_get::<_, Option<i64>>(4)? {
        Some(owner) => {
            (collections::documents_of(session, owner, collections)?, collections::logs(session, owner)?)
        }
        None => Default::default(),
    };
    Ok(Some(Kept { creation: id.cast_unsigned(), roster, last, documents, logs, now: 0 }))
}

fn roster(
    session: &mut Session<'_>,
    account: i64,
    version: u64,
    config: &StoreConfig,
) -> Result<Parts, StoreError> {
    const CONTACTS: &str = "\
        SELECT contact, subscription, name, groups, ask, approved, request FROM contacts WHERE account = $1";
    let (mut items, mut requests) = (Vec::new(), Vec::new());
    for row in session.query(CONTACTS, &[&account])? {
        items.extend(item(&row)?);
        requests.extend(request(&row)?);
    }
    let rows =
        session.query("SELECT version, contact FROM roster_changes WHERE account = $1", &[&account])?;
    let mut pushes = BTreeMap::new();
    for row in &rows {
        pushes.insert(row.try_get::<_, i64>(0)?.cast_unsigned(), row.try_get::<_, &str>(1)?);
    }
    let mut changes = Vec::new();
    let mut number = version;
    while changes.len() < config.roster_changes
        && let Some(contact) = pushes.get(&number)
    {
        changes.push(record::bare(contact)?);
        number = number.wrapping_sub(1);
    }
    changes.reverse();
    Ok(Parts { version: Version(version), items, requests, changes })
}

fn item(row: &Row) -> Result<Option<Item>, StoreError> {
    let Some(subscription) = row.try_get::<_, Option<&str>>(1)? else { return Ok(None) };
    let subscription = record::subscription_named(subscription)
        .ok_or_else(|| StoreError::Corrupt("a subscription".into()))?;
    let groups: Vec<String> = row.try_get(3)?;
    Ok(Some(Item {
        jid: record::bare(row.try_get(0)?)?,
        name: row.try_get::<_, Option<String>>(2)?.map(Box::from),
        groups: groups.into_iter().map(Box::from).collect(),
        subscription,
        ask: row.try_get(4)?,
        approved: row.try_get(5)?,
    }))
}

fn request(row: &Row) -> Result<Option<Arc<Stanza>>, StoreError> {
    let request: Option<&str> = row.try_get(6)?;
    request.map(|request| record::decode_stanza(request.as_bytes())).transpose()
}

pub(super) fn backup(
    session: &mut Session<'_>,
    address: &BareJid,
    config: &StoreConfig,
) -> Result<Option<Backup>, StoreError> {
    let Some((account, kept)) = account(session, address)?.zip(kept(session, address, &[], config)?) else {
        return Ok(None);
    };
    let Kept { roster, last, .. } = kept;
    let collections = collections::all(session, &Owner::Account(address.clone()))?;
    Ok(Some(Backup { address: address.clone(), account, roster, last, collections }))
}

pub(super) fn list(
    session: &mut Session<'_>,
    domain: Option<&str>,
    after: Option<&BareJid>,
    limit: usize,
) -> Result<Vec<BareJid>, StoreError> {
    const FROM: &str = "\
        SELECT domain, local FROM accounts WHERE (domain, local) >= ($1, $2) AND domain <= $3 \
        ORDER BY domain, local LIMIT $4";
    const AFTER: &str = "\
        SELECT domain, local FROM accounts WHERE (domain, local) > ($1, $2) AND domain <= $3 \
        ORDER BY domain, local LIMIT $4";
    let (sql, (start, local)) = match after.map(key) {
        Some(after) if domain.is_none_or(|domain| after.0 >= domain) => (AFTER, after),
        _ => (FROM, (domain.unwrap_or_default(), "")),
    };
    // Nothing comes after the highest character.
    let end = domain.unwrap_or("\u{10ffff}");
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = session.query(sql, &[&start, &local, &end, &limit])?;
    rows.iter().map(|row| address(row.try_get(0)?, row.try_get(1)?)).collect()
}

pub(super) fn count(session: &mut Session<'_>) -> Result<u64, StoreError> {
    let row = session.query_opt("SELECT count(*) FROM accounts", &[])?;
    let count: Option<i64> = row.map(|row| row.try_get(0)).transpose()?;
    Ok(count.unwrap_or_default().cast_unsigned())
}

pub(super) fn all_have_sha512(session: &mut Session<'_>) -> Result<bool, StoreError> {
    const LACKING: &str = "\
        SELECT EXISTS (SELECT FROM accounts WHERE NOT substring(credentials FROM 1 FOR 1) = ANY($1))";
    let forms: Vec<&[u8]> = record::WITH_SHA512.chunks(1).collect();
    let row = session.query_opt(LACKING, &[&forms])?;
    let lacking: Option<bool> = row.map(|row| row.try_get(0)).transpose()?;
    Ok(lacking == Some(false))
}
