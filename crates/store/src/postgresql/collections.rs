//! Documents and logs in tables.

use alloc::string::String;
use alloc::vec::Vec;

use balcony_router::{Append, Content, DocumentEdit, Entry, LogEdit};
use postgres::Row;

use super::link::Session;
use crate::collection::{CollectionKind, EditRef, OwnerKind, content};
use crate::record::{address, key};
use crate::{Collections, Document, Documents, Entries, Owned, Owner, StoreError};

/// The row of an owner, if it has something.
fn find(session: &mut Session<'_>, owner: &Owner) -> Result<Option<i64>, StoreError> {
    const FIND: &str = "SELECT id FROM owners WHERE kind = $1 AND domain = $2 AND local = $3";
    let (domain, local) = key(owner.address());
    let row = session.query_opt(FIND, &[&owner.kind().name(), &domain, &local])?;
    Ok(row.map(|row| row.try_get(0)).transpose()?)
}

/// The row of an owner, which is made if it is missing; `None` if it is an account that does not exist.
pub(super) fn find_or_make(session: &mut Session<'_>, owner: &Owner) -> Result<Option<i64>, StoreError> {
    const ACCOUNT: &str = "\
        INSERT INTO owners (account, kind, domain, local) \
        SELECT id, 'account', domain, local FROM accounts WHERE domain = $1 AND local = $2 RETURNING id";
    const OTHER: &str = "INSERT INTO owners (kind, domain, local) VALUES ($1, $2, $3) RETURNING id";
    if let Some(id) = find(session, owner)? {
        return Ok(Some(id));
    }
    let (domain, local) = key(owner.address());
    let row = match owner.kind() {
        OwnerKind::Account => session.query_opt(ACCOUNT, &[&domain, &local])?,
        kind => session.query_opt(OTHER, &[&kind.name(), &domain, &local])?,
    };
    Ok(row.map(|row| row.try_get(0)).transpose()?)
}

/// The entries of a log: their numbers, and the bytes that they hold.
pub(super) fn held(
    session: &mut Session<'_>,
    owner: i64,
    log: &str,
) -> Result<Vec<(u64, usize)>, StoreError> {
    const HELD: &str = "SELECT number, octet_length(content) FROM entries WHERE owner = $1 AND log = $2";
    let rows = session.query(HELD, &[&owner, &log])?;
    let entry = |row: &Row| {
        let bytes = usize::try_from(row.try_get::<_, i32>(1)?).unwrap_or_default();
        Ok((row.try_get::<_, i64>(0)?.cast_unsigned(), bytes))
    };
    rows.iter().map(entry).collect()
}

pub(super) fn edit(
    session: &mut Session<'_>,
    owner: i64,
    edit: EditRef<'_>,
    now: u64,
) -> Result<(), StoreError> {
    const REMOVE: &str =
        "DELETE FROM documents WHERE owner = $1 AND collection = $2 AND sha256(key) = sha256($3)";
    const APPEND: &str = "\
        INSERT INTO entries (owner, log, at, tag, version, content) VALUES ($1, $2, $3, $4, $5, $6)";
    const TRIM: &str = "DELETE FROM entries WHERE owner = $1 AND log = $2 AND number <= $3";
    match edit {
        EditRef::Document(DocumentEdit { collection, key, content: Some(content) }) => {
            put_document(session, owner, collection, key, content)?;
        }
        EditRef::Document(DocumentEdit { collection, key, content: None }) => {
            session.execute(REMOVE, &[&owner, &&**collection, &key.as_bytes()])?;
        }
        EditRef::Log(LogEdit::Append(Append { log, tag, content, .. })) => {
            note(session, CollectionKind::Log, log, content.version)?;
            let (at, version) = (now.cast_signed(), i16::from(content.version));
            session.execute(APPEND, &[&owner, &&**log, &at, &tag.as_bytes(), &version, &&*content.bytes])?;
        }
        EditRef::Log(LogEdit::Trim { log, up_to }) => {
            let up_to = i64::try_from(*up_to).unwrap_or(i64::MAX);
            session.execute(TRIM, &[&owner, &&**log, &up_to])?;
        }
    }
    Ok(())
}

fn put_document(
    session: &mut Session<'_>,
    owner: i64,
    collection: &str,
    key: &str,
    content: &Content,
) -> Result<(), StoreError> {
    const PUT: &str = "\
        INSERT INTO documents (owner, collection, key, version, content) VALUES ($1, $2, $3, $4, $5) \
        ON CONFLICT (owner, collection, sha256(key)) DO UPDATE \
        SET (version, content) = (excluded.version, excluded.content)";
    note(session, CollectionKind::Documents, collection, content.version)?;
    let version = i16::from(content.version);
    session.execute(PUT, &[&owner, &collection, &key.as_bytes(), &version, &&*content.bytes])?;
    Ok(())
}

/// Puts all that was exported, with the same numbers.
pub(super) fn restore(
    session: &mut Session<'_>,
    owner: i64,
    collections: &Collections,
) -> Result<(), StoreError> {
    const PUT: &str = "\
        INSERT INTO entries (owner, log, number, at, tag, version, content) VALUES ($1, $2, $3, $4, $5, $6, $7)";
    const RAISE: &str = "\
        SELECT setval(pg_get_serial_sequence('entries', 'number'), $1) \
        WHERE $1 >= (SELECT last_value FROM entries_number_seq)";
    for Document { collection, key, content } in &collections.documents {
        put_document(session, owner, collection, key, content)?;
    }
    let mut highest = 0;
    for (log, entries) in &collections.logs {
        for Entry { number, at, tag, content } in entries {
            note(session, CollectionKind::Log, log, content.version)?;
            highest = highest.max(*number);
            let (number, at, version) = (number.cast_signed(), at.cast_signed(), i16::from(content.version));
            session.execute(
                PUT,
                &[&owner, &&**log, &number, &at, &tag.as_bytes(), &version, &&*content.bytes],
            )?;
        }
    }
    if highest > 0 {
        session.query(RAISE, &[&highest.cast_signed()])?;
    }
    Ok(())
}

/// Takes away all that an owner has; `false` if that is nothing.
pub(super) fn clear(session: &mut Session<'_>, owner: &Owner) -> Result<bool, StoreError> {
    let Some(id) = find(session, owner)? else { return Ok(false) };
    let had_any = has_any(session, id)?;
    session.execute("DELETE FROM owners WHERE id = $1", &[&id])?;
    Ok(had_any)
}

pub(super) fn has_any(session: &mut Session<'_>, owner: i64) -> Result<bool, StoreError> {
    const ANY: &str = "\
        SELECT 1 WHERE EXISTS (SELECT FROM documents WHERE owner = $1) \
        OR EXISTS (SELECT FROM entries WHERE owner = $1)";
    Ok(session.query_opt(ANY, &[&owner])?.is_some())
}

/// Remembers the highest version of a collection.
fn note(session: &mut Session<'_>, kind: CollectionKind, name: &str, version: u8) -> Result<(), StoreError> {
    const NOTE: &str = "\
        INSERT INTO collections (kind, name, version) VALUES ($1, $2, $3) ON CONFLICT (kind, name) DO UPDATE \
        SET version = excluded.version WHERE collections.version < excluded.version";
    session.execute(NOTE, &[&kind.name(), &name, &i16::from(version)])?;
    Ok(())
}

pub(super) fn documents(
    session: &mut Session<'_>,
    owner: &Owner,
    collection: &str,
    after: Option<&str>,
    bytes: usize,
) -> Result<Documents, StoreError> {
    // What doesn't fit is left out, and the first of it only says that there is more.
    const DOCUMENTS: &str = "\
        SELECT key, version, CASE WHEN place = 1 OR total <= $4 THEN content END FROM ( \
            SELECT key, version, content, octet_length(key) + octet_length(content) AS size, \
                row_number() OVER w AS place, \
                sum(octet_length(key) + octet_length(content)) OVER w AS total \
            FROM documents WHERE owner = $1 AND collection = $2 AND ($3::bytea IS NULL OR key > $3) \
            WINDOW w AS (ORDER BY key) \
        ) AS found WHERE place <= 2 OR total - size <= $4 ORDER BY key";
    let mut found = Documents::default();
    let Some(id) = find(session, owner)? else { return Ok(found) };
    let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
    let after = after.map(str::as_bytes);
    for row in session.query(DOCUMENTS, &[&id, &collection, &after, &bytes])? {
        let Some(octets) = row.try_get::<_, Option<&[u8]>>(2)? else {
            found.more = true;
            break;
        };
        let content = content(version(&row, 1)?, octets);
        found.documents.push(Document { collection: collection.into(), key: text(&row, 0)?.into(), content });
    }
    Ok(found)
}

pub(super) fn entries(
    session: &mut Session<'_>,
    owner: &Owner,
    log: &str,
    after: u64,
    bytes: usize,
) -> Result<Entries, StoreError> {
    const ENTRIES: &str = "\
        SELECT number, at, tag, version, CASE WHEN place = 1 OR total <= $4 THEN content END FROM ( \
            SELECT number, at, tag, version, content, octet_length(tag) + octet_length(content) AS size, \
                row_number() OVER w AS place, \
                sum(octet_length(tag) + octet_length(content)) OVER w AS total \
            FROM entries WHERE owner = $1 AND log = $2 AND number > $3 WINDOW w AS (ORDER BY number) \
        ) AS found WHERE place <= 2 OR total - size <= $4 ORDER BY number";
    let mut found = Entries::default();
    let Some(id) = find(session, owner)? else { return Ok(found) };
    let (bytes, after) = (i64::try_from(bytes).unwrap_or(i64::MAX), i64::try_from(after).unwrap_or(i64::MAX));
    for row in session.query(ENTRIES, &[&id, &log, &after, &bytes])? {
        let Some(octets) = row.try_get::<_, Option<&[u8]>>(4)? else {
            found.more = true;
            break;
        };
        found.entries.push(entry(&row, octets)?);
    }
    Ok(found)
}

/// Number, time, tag and version come first.
fn entry(row: &Row, octets: &[u8]) -> Result<Entry, StoreError> {
    Ok(Entry {
        number: row.try_get::<_, i64>(0)?.cast_unsigned(),
        at: row.try_get::<_, i64>(1)?.cast_unsigned(),
        tag: text(row, 2)?.into(),
        content: content(version(row, 3)?, octets),
    })
}

fn text(row: &Row, place: usize) -> Result<String, StoreError> {
    String::from_utf8(row.try_get(place)?).map_err(|_| StoreError::Corrupt("a key of a collection".into()))
}

fn version(row: &Row, place: usize) -> Result<u8, StoreError> {
    let version: i16 = row.try_get(place)?;
    u8::try_from(version).map_err(|_| StoreError::Corrupt("the version of a document".into()))
}

/// All that an owner has.
pub(super) fn all(session: &mut Session<'_>, owner: &Owner) -> Result<Collections, StoreError> {
    const DOCUMENTS: &str = "\
        SELECT collection, key, version, content FROM documents WHERE owner = $1 ORDER BY collection, key";
    const ENTRIES: &str = "\
        SELECT number, at, tag, version, content, log FROM entries WHERE owner = $1 ORDER BY log, number";
    let mut found = Collections::default();
    let Some(id) = find(session, owner)? else { return Ok(found) };
    for row in session.query(DOCUMENTS, &[&id])? {
        let content = content(version(&row, 2)?, row.try_get(3)?);
        let (collection, key) = (row.try_get::<_, &str>(0)?.into(), text(&row, 1)?.into());
        found.documents.push(Document { collection, key, content });
    }
    for row in session.query(ENTRIES, &[&id])? {
        let entry = entry(&row, row.try_get(4)?)?;
        found.push(row.try_get(5)?, entry);
    }
    Ok(found)
}

/// The first owner after this one that has something and is not an account, with all of it.
pub(super) fn next_owned(
    session: &mut Session<'_>,
    after: Option<&Owner>,
) -> Result<Option<Owned>, StoreError> {
    // Services come before domains.
    const NEXT: &str = "\
        SELECT kind, domain, local FROM owners WHERE account IS NULL \
            AND (kind = 'domain', domain, local) > ($1, $2, $3) \
            AND (EXISTS (SELECT FROM documents WHERE owner = id) OR EXISTS (SELECT FROM entries WHERE owner = id)) \
        ORDER BY kind = 'domain', domain, local LIMIT 1";
    // No domain is empty.
    let (is_domain, (domain, local)) = match after {
        Some(owner) => (owner.kind() == OwnerKind::Domain, key(owner.address())),
        None => (false, ("", "")),
    };
    let Some(row) = session.query_opt(NEXT, &[&is_domain, &domain, &local])? else { return Ok(None) };
    let kind = OwnerKind::named(row.try_get(0)?)
        .ok_or_else(|| StoreError::Corrupt("the owner of a collection".into()))?;
    let owner = Owner::of(kind, address(row.try_get(1)?, row.try_get(2)?)?);
    let collections = all(session, &owner)?;
    Ok(Some(Owned { owner, collections }))
}
