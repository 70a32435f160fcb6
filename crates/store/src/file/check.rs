use alloc::format;
use alloc::string::String;

use redb::{Key, ReadOnlyTable, ReadTransaction, ReadableTable as _, ReadableTableMetadata as _, Value};

use super::tables::{ACCOUNTS, BLOCKED, CHANGES, CONTACTS, LAST, META, OFFLINE, ROSTERS};
use super::write::last_number;
use crate::StoreError;
use crate::record::{self, address, name};

type Accounts = ReadOnlyTable<(&'static str, &'static str), &'static [u8]>;
type Rosters = ReadOnlyTable<(&'static str, &'static str), u64>;

/// Reads every record, and sees that it belongs to an account. That pages are whole was seen when the file was opened.
pub(super) fn check(
    transaction: &ReadTransaction,
    problem: &mut dyn FnMut(String),
) -> Result<u64, StoreError> {
    let highest = last_number(&transaction.open_table(META)?)?;
    let accounts = transaction.open_table(ACCOUNTS)?;
    let rosters = transaction.open_table(ROSTERS)?;
    for entry in accounts.iter()? {
        let (key, value) = entry?;
        let (domain, local) = key.value();
        tell(problem, (domain, local), address(domain, local))?;
        tell(problem, (domain, local), record::decode_account(value.value()))?;
    }
    let mut owners = Owners { accounts: &accounts, rosters: &rosters, last: None, problem };
    each(&rosters, |key, _| owners.check(key, "a roster", false))?;
    each(&transaction.open_table(CONTACTS)?, |(domain, local, contact), record| {
        owners.check((domain, local), "contacts", true)?;
        tell(owners.problem, (domain, local), record::bare(contact))?;
        tell(owners.problem, (domain, local), record::decode_contact(contact, record))
    })?;
    each(&transaction.open_table(CHANGES)?, |(domain, local, _), contact| {
        owners.check((domain, local), "changes of contacts", true)?;
        tell(owners.problem, (domain, local), record::bare(contact))
    })?;
    each(&transaction.open_table(BLOCKED)?, |(domain, local, blocked), ()| {
        owners.check((domain, local), "blocked addresses", false)?;
        tell(owners.problem, (domain, local), record::jid(blocked))
    })?;
    each(&transaction.open_table(OFFLINE)?, |(domain, local, number), (_, stanza)| {
        owners.check((domain, local), "messages", false)?;
        if number > highest {
            (owners.problem)(format!("{}: a message with a number of the future", name(domain, local)));
        }
        tell(owners.problem, (domain, local), record::decode_stanza(stanza))
    })?;
    each(&transaction.open_table(LAST)?, |(domain, local), (_, presence)| {
        owners.check((domain, local), "a last presence", false)?;
        tell(owners.problem, (domain, local), record::decode_stanza(presence))
    })?;
    Ok(accounts.len()?)
}

/// What things belong to.
struct Owners<'c> {
    accounts: &'c Accounts,
    rosters: &'c Rosters,
    /// Whom the last thing belonged to, and what it was: the others like it go with it.
    last: Option<(String, &'static str)>,
    problem: &'c mut dyn FnMut(String),
}

impl Owners<'_> {
    fn check(
        &mut self,
        (domain, local): (&str, &str),
        what: &'static str,
        in_roster: bool,
    ) -> Result<(), StoreError> {
        let owner = name(domain, local);
        if self.last.as_ref().is_some_and(|last| (last.0.as_str(), last.1) == (&owner, what)) {
            return Ok(());
        }
        if self.accounts.get((domain, local))?.is_none() {
            (self.problem)(format!("{owner}: {what}, but no such account"));
        } else if in_roster && self.rosters.get((domain, local))?.is_none() {
            (self.problem)(format!("{owner}: {what} without a roster"));
        }
        self.last = Some((owner, what));
        Ok(())
    }
}

/// Tells what is damaged. Whatever else goes wrong ends the check.
fn tell<T>(
    problem: &mut dyn FnMut(String),
    (domain, local): (&str, &str),
    read: Result<T, StoreError>,
) -> Result<(), StoreError> {
    match read {
        Ok(_) => Ok(()),
        Err(StoreError::Corrupt(reason)) => {
            problem(format!("{}: {reason}", name(domain, local)));
            Ok(())
        }
        Err(error) => Err(error),
    }
}

fn each<K: Key + 'static, V: Value + 'static>(
    table: &ReadOnlyTable<K, V>,
    mut check: impl FnMut(K::SelfType<'_>, V::SelfType<'_>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    for entry in table.iter()? {
        let (key, value) = entry?;
        check(key.value(), value.value())?;
    }
    Ok(())
}
