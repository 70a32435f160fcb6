//! Whether all rows can be read and agree with each other. That each belongs to somebody is left to the database server, by its
//! foreign keys. What is broken is told, and left as it is.

use alloc::format;
use alloc::string::String;

use super::collections;
use super::link::Session;
use super::read::backup;
use crate::record::{address, name};
use crate::{StoreConfig, StoreError, known};

/// Accounts that are looked up at once.
const PAGE: i64 = 1000;

/// Reads everything. That nothing belongs to nobody, the server watches over.
pub(super) fn check(
    session: &mut Session<'_>,
    config: &StoreConfig,
    problem: &mut dyn FnMut(String),
) -> Result<u64, StoreError> {
    const ACCOUNTS: &str = "SELECT id, domain, local FROM accounts WHERE id > $1 ORDER BY id LIMIT $2";
    const NO_ROSTER: &str = "\
        SELECT domain, local FROM accounts WHERE roster_version IS NULL AND ( \
            EXISTS (SELECT FROM contacts WHERE account = id) OR EXISTS (SELECT FROM roster_changes WHERE account = id) \
        )";
    const NEWER: &str = "\
        SELECT DISTINCT o.domain, o.local, 'documents', d.collection FROM documents d JOIN owners o ON o.id = d.owner \
            LEFT JOIN collections c ON c.kind = 'documents' AND c.name = d.collection \
            WHERE c.version IS NULL OR c.version < d.version \
        UNION ALL SELECT DISTINCT o.domain, o.local, 'log', e.log FROM entries e JOIN owners o ON o.id = e.owner \
            LEFT JOIN collections c ON c.kind = 'log' AND c.name = e.log \
            WHERE c.version IS NULL OR c.version < e.version";
    const MISCOUNTED: &str = "\
        SELECT o.domain, o.local, coalesce(name, log) FROM ( \
            SELECT owner, log, count(*) AS entries, sum(octet_length(content)) AS bytes FROM entries GROUP BY owner, log \
        ) AS found FULL JOIN logs ON logs.owner = found.owner AND name = log \
        JOIN owners o ON o.id = coalesce(logs.owner, found.owner) \
        WHERE (coalesce(found.entries, 0), coalesce(found.bytes, 0)) \
            <> (coalesce(logs.entries, 0), coalesce(logs.bytes, 0)) \
        ORDER BY o.domain, o.local, 3";
    let (mut count, mut last) = (0, 0_i64);
    loop {
        let rows = session.query(ACCOUNTS, &[&last, &PAGE])?;
        for row in &rows {
            last = row.try_get(0)?;
            let (domain, local) = (row.try_get(1)?, row.try_get(2)?);
            let found = address(domain, local).and_then(|address| backup(session, &address, config));
            match found.and_then(|found| found.map_or(Ok(()), |found| known::check(&found.collections))) {
                Err(StoreError::Corrupt(reason)) => problem(format!("{}: {reason}", name(domain, local))),
                other => other?,
            }
        }
        count += rows.len() as u64;
        if rows.is_empty() {
            break;
        }
    }
    for row in session.query(NO_ROSTER, &[])? {
        problem(format!("{}: contacts without a roster", name(row.try_get(0)?, row.try_get(1)?)));
    }
    for row in session.query(NEWER, &[])? {
        let (kind, collection): (&str, &str) = (row.try_get(2)?, row.try_get(3)?);
        let name = name(row.try_get(0)?, row.try_get(1)?);
        problem(format!("{name}: {kind} with an unknown version in {collection:?}"));
    }
    for row in session.query(MISCOUNTED, &[])? {
        let log: &str = row.try_get(2)?;
        let name = name(row.try_get(0)?, row.try_get(1)?);
        problem(format!("{name}: entries of {log:?} are counted wrongly"));
    }
    let mut last = None;
    loop {
        match collections::next_owned(session, last.as_ref()) {
            Ok(Some(owned)) => last = Some(owned.owner),
            Ok(None) => break,
            // Which is the next one is then not known.
            Err(StoreError::Corrupt(reason)) => {
                problem(format!("an owner that is not an account: {reason}"));
                break;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(count)
}
