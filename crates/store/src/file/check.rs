//! Whether all records in the file can be read, and each belongs to somebody. What is broken is told, and left as it is.

use alloc::format;
use alloc::string::String;

use balcony_router::extension::Kind;
use redb::{Key, ReadOnlyTable, ReadTransaction, ReadableTable as _, ReadableTableMetadata as _, Value};

use super::collections;
use super::tables::{
    ACCOUNTS, CHANGES, COLLECTIONS, CONTACTS, DOCUMENTS, ENTRIES, LAST, LOGS, META, ROSTERS, WITHOUT_SHA512,
};
use super::write::counter;
use crate::collection::{Held, OwnerKind, kind_name};
use crate::record::{self, address, name};
use crate::{StoreError, known};

type Accounts = ReadOnlyTable<(&'static str, &'static str), &'static [u8]>;
type Rosters = ReadOnlyTable<(&'static str, &'static str), u64>;

/// Reads every record, and sees that it belongs to an account. That pages are whole has been seen before.
pub(super) fn check(
    transaction: &ReadTransaction,
    problem: &mut dyn FnMut(String),
) -> Result<u64, StoreError> {
    let accounts = transaction.open_table(ACCOUNTS)?;
    let rosters = transaction.open_table(ROSTERS)?;
    let mut without_sha512 = 0;
    for entry in accounts.iter()? {
        let (key, value) = entry?;
        let (domain, local) = key.value();
        tell(problem, (domain, local), address(domain, local))?;
        let account = record::decode_account(value.value());
        without_sha512 += u64::from(account.as_ref().is_ok_and(|found| found.credentials.sha512.is_none()));
        tell(problem, (domain, local), account)?;
    }
    if counter(&transaction.open_table(META)?, WITHOUT_SHA512)? != without_sha512 {
        problem("accounts without keys for SHA-512 are counted wrongly".into());
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
    each(&transaction.open_table(LAST)?, |(domain, local), (_, presence)| {
        owners.check((domain, local), "a last presence", false)?;
        tell(owners.problem, (domain, local), record::decode_stanza(presence))
    })?;
    let highest = collections::last_number(transaction)?;
    let versions = transaction.open_table(COLLECTIONS)?;
    each(&transaction.open_table(DOCUMENTS)?, |(kind, domain, local, collection, key), (version, _)| {
        owners.check_owned(kind, (domain, local), "documents")?;
        let noted = versions.get((kind_name(Kind::Documents), collection))?;
        if noted.is_none_or(|noted| noted.value() < version) {
            let name = name(domain, local);
            (owners.problem)(format!("{name}: a document with an unknown version in {collection:?}"));
        }
        tell(owners.problem, (domain, local), known::check_document(collection, key, version))
    })?;
    let (entries, logs) = (transaction.open_table(ENTRIES)?, transaction.open_table(LOGS)?);
    each(&entries, |(kind, domain, local, log, number), (_, _, version, xml)| {
        owners.check_owned(kind, (domain, local), "a log")?;
        let noted = versions.get((kind_name(Kind::Log), log))?;
        if noted.is_none_or(|noted| noted.value() < version) {
            (owners.problem)(format!("{}: an entry with an unknown version in {log:?}", name(domain, local)));
        }
        if logs.get((kind, domain, local, log))?.is_none() {
            (owners.problem)(format!("{}: an entry that is not counted in {log:?}", name(domain, local)));
        }
        if number == 0 || number > highest {
            (owners.problem)(format!(
                "{}: an entry with a number of the future in {log:?}",
                name(domain, local)
            ));
        }
        tell(owners.problem, (domain, local), known::check_entry(log, version, xml))
    })?;
    each(&logs, |(kind, domain, local, log), held| {
        let mut found = Held::default();
        for entry in entries.range((kind, domain, local, log, 0)..=(kind, domain, local, log, u64::MAX))? {
            found = found.with(Held::one(entry?.1.value().3.len()));
        }
        if (found.entries, found.bytes) != held {
            (owners.problem)(format!("{}: entries of {log:?} are counted wrongly", name(domain, local)));
        }
        Ok(())
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
    /// The owner of documents or a log.
    fn check_owned(
        &mut self,
        kind: u8,
        (domain, local): (&str, &str),
        what: &'static str,
    ) -> Result<(), StoreError> {
        tell(self.problem, (domain, local), collections::owner(kind, domain, local))?;
        if kind == OwnerKind::Account.number() { self.check((domain, local), what, false) } else { Ok(()) }
    }

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
