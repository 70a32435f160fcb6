use alloc::format;
use alloc::string::String;

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
    Ok(count)
}
