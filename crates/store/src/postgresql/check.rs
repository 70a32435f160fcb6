use alloc::format;
use alloc::string::String;

use super::collections;
use super::link::Session;
use super::read::backup;
use crate::record::{address, name};
use crate::{StoreConfig, StoreError};

/// Accounts that are looked up at once.
const PAGE: i64 = 1000;

/// Reads everything. That nothing belongs to nobody, the server watches over.
pub(super) fn check(
    session: &mut Session<'_>,
    config: StoreConfig,
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
    let (mut count, mut last) = (0, 0_i64);
    loop {
        let rows = session.query(ACCOUNTS, &[&last, &PAGE])?;
        for row in &rows {
            last = row.try_get(0)?;
            let (domain, local) = (row.try_get(1)?, row.try_get(2)?);
            match address(domain, local).and_then(|address| backup(session, &address, config)) {
                Err(StoreError::Corrupt(reason)) => problem(format!("{}: {reason}", name(domain, local))),
                other => drop(other?),
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
