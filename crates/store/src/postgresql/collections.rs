//! Documents and logs in tables: read, changed within a transaction, and counted, so that a log keeps to its bound.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

use balcony_jid::BareJid;
use balcony_router::extension::Kind;
use balcony_router::{Append, Content, Document, DocumentEdit, Entry, LogEdit};
use postgres::Row;

use super::link::{Session, Values};
use crate::collection::{EditRef, Held, OwnerKind, Part, content, kind_name};
use crate::record::{address, key};
use crate::{Collections, Documents, Entries, Owned, Owner, StoreError};

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

/// How much a log holds, or a part of it.
pub(super) fn held(session: &mut Session<'_>, owner: i64, log: &str, part: Part) -> Result<Held, StoreError> {
    const ALL: &str = "SELECT entries, bytes FROM logs WHERE owner = $1 AND name = $2";
    const BETWEEN: &str = "\
        SELECT count(*), coalesce(sum(octet_length(content)), 0) FROM entries \
        WHERE owner = $1 AND log = $2 AND number > $3 AND number <= $4";
    let row = match part {
        Part::All => session.query_opt(ALL, &[&owner, &log])?,
        Part::Between(after, up_to) => {
            session.query_opt(BETWEEN, &[&owner, &log, &number(after), &number(up_to)])?
        }
    };
    let Some(row) = row else { return Ok(Held::default()) };
    let (entries, bytes) = (row.try_get::<_, i64>(0)?, row.try_get::<_, i64>(1)?);
    Ok(Held { entries: entries.cast_unsigned(), bytes: bytes.cast_unsigned() })
}

/// A number of an entry that somebody has thought of.
fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
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
        WITH counted AS ( \
            INSERT INTO logs (owner, name, entries, bytes) VALUES ($1, $2, 1, octet_length($6::bytea)) \
            ON CONFLICT (owner, name) DO UPDATE \
            SET (entries, bytes) = (logs.entries + 1, logs.bytes + excluded.bytes) \
        ) INSERT INTO entries (owner, log, at, tag, version, content) VALUES ($1, $2, $3, $4, $5, $6)";
    const TRIM: &str = "\
        WITH gone AS ( \
            DELETE FROM entries WHERE owner = $1 AND log = $2 AND number <= $3 \
            RETURNING octet_length(content) AS bytes \
        ) UPDATE logs SET (entries, bytes) = ( \
            SELECT logs.entries - count(*), logs.bytes - coalesce(sum(gone.bytes), 0) FROM gone \
        ) WHERE owner = $1 AND name = $2";
    match edit {
        EditRef::Document(DocumentEdit { collection, key, content: Some(content) }) => {
            put_document(session, owner, collection, key, content)?;
        }
        EditRef::Document(DocumentEdit { collection, key, content: None }) => {
            session.execute(REMOVE, &[&owner, &&**collection, &key.as_bytes()])?;
        }
        EditRef::Log(LogEdit::Append(Append { log, tag, content, .. })) => {
            note(session, Kind::Log, log, content.version)?;
            let (at, version) = (now.cast_signed(), i16::from(content.version));
            session.execute(APPEND, &[&owner, &&**log, &at, &tag.as_bytes(), &version, &&*content.bytes])?;
        }
        EditRef::Log(LogEdit::Trim { log, up_to }) => {
            session.execute(TRIM, &[&owner, &&**log, &number(*up_to)])?;
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
    note(session, Kind::Documents, collection, content.version)?;
    let version = i16::from(content.version);
    session.execute(PUT, &[&owner, &collection, &key.as_bytes(), &version, &&*content.bytes])?;
    Ok(())
}

/// Puts all that was exported, with the same numbers; entries without one get new ones.
pub(super) fn restore(
    session: &mut Session<'_>,
    owner: i64,
    collections: &Collections,
) -> Result<(), StoreError> {
    const PUT: &str = "\
        INSERT INTO entries (owner, log, at, tag, version, content, number) \
        VALUES ($1, $2, $3, $4, $5, $6, \
            coalesce(nullif($7::bigint, 0), nextval(pg_get_serial_sequence('entries', 'number'))))";
    const COUNT: &str = "INSERT INTO logs (owner, name, entries, bytes) VALUES ($1, $2, $3, $4)";
    const RAISE: &str = "\
        SELECT setval(pg_get_serial_sequence('entries', 'number'), $1) \
        WHERE $1 >= (SELECT last_value FROM entries_number_seq)";
    for Document { collection, key, content } in &collections.documents {
        put_document(session, owner, collection, key, content)?;
    }
    let given = collections.logs.iter().flat_map(|(_, entries)| entries).map(|entry| entry.number);
    if let Some(highest) = given.max().filter(|highest| *highest > 0) {
        session.query(RAISE, &[&highest.cast_signed()])?;
    }
    for (log, entries) in &collections.logs {
        let held = entries
            .iter()
            .fold(Held::default(), |held, entry| held.with(Held::one(entry.content.bytes.len())));
        let (count, bytes) = (held.entries.cast_signed(), held.bytes.cast_signed());
        session.execute(COUNT, &[&owner, &&**log, &count, &bytes])?;
        for Entry { number, at, tag, content } in entries {
            note(session, Kind::Log, log, content.version)?;
            let (number, at, version) = (number.cast_signed(), at.cast_signed(), i16::from(content.version));
            session.execute(
                PUT,
                &[&owner, &&**log, &at, &tag.as_bytes(), &version, &&*content.bytes, &number],
            )?;
        }
    }
    Ok(())
}

/// Accounts that have documents in a collection.
pub(super) fn holders(
    session: &mut Session<'_>,
    collection: &str,
    after: Option<&BareJid>,
    limit: usize,
) -> Result<Vec<BareJid>, StoreError> {
    const HOLDERS: &str = "\
        SELECT o.domain, o.local FROM owners o WHERE o.kind = 'account' \
        AND EXISTS (SELECT FROM documents d WHERE d.owner = o.id AND d.collection = $1) \
        AND (o.domain, o.local) > ($2, $3) ORDER BY o.domain, o.local LIMIT $4";
    // No domain is empty.
    let (domain, local) = after.map_or(("", ""), key);
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = session.query(HOLDERS, &[&collection, &domain, &local, &limit])?;
    rows.iter().map(|row| address(row.try_get(0)?, row.try_get(1)?)).collect()
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
fn note(session: &mut Session<'_>, kind: Kind, name: &str, version: u8) -> Result<(), StoreError> {
    const NOTE: &str = "\
        INSERT INTO collections (kind, name, version) VALUES ($1, $2, $3) ON CONFLICT (kind, name) DO UPDATE \
        SET version = excluded.version WHERE collections.version < excluded.version";
    session.execute(NOTE, &[&kind_name(kind), &name, &i16::from(version)])?;
    Ok(())
}

/// What a document holds. An account that does not exist takes as long as one that has none.
pub(super) fn document(
    session: &mut Session<'_>,
    owner: &Owner,
    collection: &str,
    key_of_it: &str,
) -> Result<Option<Content>, StoreError> {
    const DOCUMENT: &str = "\
        SELECT d.version, d.content FROM documents d JOIN owners o ON o.id = d.owner \
        WHERE o.kind = $1 AND o.domain = $2 AND o.local = $3 AND d.collection = $4 AND sha256(d.key) = sha256($5)";
    let (domain, local) = key(owner.address());
    let values: Values<'_> = &[&owner.kind().name(), &domain, &local, &collection, &key_of_it.as_bytes()];
    let row = session.query_opt(DOCUMENT, values)?;
    row.map(|row| Ok(content(version(&row, 0)?, row.try_get(1)?))).transpose()
}

/// All documents of these collections.
pub(super) fn documents_of(
    session: &mut Session<'_>,
    owner: i64,
    collections: &[Cow<'static, str>],
) -> Result<Vec<Document>, StoreError> {
    const DOCUMENTS: &str = "\
        SELECT collection, key, version, content FROM documents WHERE owner = $1 AND collection = ANY ($2)";
    if collections.is_empty() {
        return Ok(Vec::new());
    }
    let names: Vec<&str> = collections.iter().map(AsRef::as_ref).collect();
    session.query(DOCUMENTS, &[&owner, &names])?.iter().map(a_document).collect()
}

/// Collection, key, version and content come first.
fn a_document(row: &Row) -> Result<Document, StoreError> {
    let content = content(version(row, 2)?, row.try_get(3)?);
    let collection = Cow::Owned(row.try_get(0)?);
    Ok(Document { collection, key: text(row, 1)?.into(), content })
}

/// The logs that are not empty, and how many entries each has.
pub(super) fn logs(
    session: &mut Session<'_>,
    owner: i64,
) -> Result<Vec<(Cow<'static, str>, usize)>, StoreError> {
    const LOGS: &str = "SELECT name, entries FROM logs WHERE owner = $1 AND entries > 0 ORDER BY name";
    let log = |row: &Row| {
        let count = usize::try_from(row.try_get::<_, i64>(1)?).unwrap_or_default();
        Ok((Cow::Owned(row.try_get(0)?), count))
    };
    session.query(LOGS, &[&owner])?.iter().map(log).collect()
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
        SELECT collection, key, version, CASE WHEN place = 1 OR total <= $4 THEN content END FROM ( \
            SELECT collection, key, version, content, octet_length(key) + octet_length(content) AS size, \
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
        if row.try_get::<_, Option<&[u8]>>(3)?.is_none() {
            found.more = true;
            break;
        }
        found.documents.push(a_document(&row)?);
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
            SELECT number, at, tag, version, content, octet_length(content) AS size, \
                row_number() OVER w AS place, sum(octet_length(content)) OVER w AS total \
            FROM entries WHERE owner = $1 AND log = $2 AND number > $3 WINDOW w AS (ORDER BY number) \
        ) AS found WHERE place <= 2 OR total - size <= $4 ORDER BY number";
    let mut found = Entries::default();
    let Some(id) = find(session, owner)? else { return Ok(found) };
    let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
    for row in session.query(ENTRIES, &[&id, &log, &number(after), &bytes])? {
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
        found.documents.push(a_document(&row)?);
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
