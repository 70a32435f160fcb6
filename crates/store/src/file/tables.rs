//! The tables. Those with a domain and a localpart in front keep what belongs to one account together.

use alloc::format;
use alloc::string::String;

use redb::TableDefinition;

/// What holds for the whole store: `schema`, `secret`, the highest numbers that an entry of a log (`entries`) and an account
/// (`created`) have had, and [how many accounts](WITHOUT_SHA512) have no keys for SHA-512.
pub(super) const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");

/// Under this name in [`META`]: how many accounts have no keys for SCRAM with SHA-512.
pub(super) const WITHOUT_SHA512: &str = "without sha-512";

/// An account: [`record::encode_account`](crate::record::encode_account).
pub(super) const ACCOUNTS: TableDefinition<'_, (&str, &str), &[u8]> = TableDefinition::new("accounts");

/// A roster's version, if the account has one.
pub(super) const ROSTERS: TableDefinition<'_, (&str, &str), u64> = TableDefinition::new("rosters");

/// A contact, by its address: [`record::encode_contact`](crate::record::encode_contact).
pub(super) const CONTACTS: TableDefinition<'_, (&str, &str, &str), &[u8]> = TableDefinition::new("contacts");

/// Who was changed by the push with that version.
pub(super) const CHANGES: TableDefinition<'_, (&str, &str, u64), &str> =
    TableDefinition::new("roster changes");

/// Who is blocked, until version 4.
pub(super) const BLOCKED: TableDefinition<'_, (&str, &str, &str), ()> = TableDefinition::new("blocked");

/// A message, by its number: when it was stored, and its XML; until version 4.
pub(super) const OFFLINE: TableDefinition<'_, (&str, &str, u64), (u64, &[u8])> =
    TableDefinition::new("offline");

/// The last presence: when it came, and its XML.
pub(super) const LAST: TableDefinition<'_, (&str, &str), (u64, &[u8])> = TableDefinition::new("last");

/// An owner (kind, domain and localpart), a collection and a key.
pub(super) type DocumentKey<'k> = (u8, &'k str, &'k str, &'k str, &'k str);

/// What a document holds: the version, and the bytes.
pub(super) type DocumentValue<'v> = (u8, &'v [u8]);

/// An owner (kind, domain and localpart), a log and a number.
pub(super) type EntryKey<'k> = (u8, &'k str, &'k str, &'k str, u64);

/// When an entry came, its tag, and what it holds: the version, and the bytes.
pub(super) type EntryValue<'v> = (u64, &'v str, u8, &'v [u8]);

/// Documents.
pub(super) const DOCUMENTS: TableDefinition<'_, DocumentKey<'_>, DocumentValue<'_>> =
    TableDefinition::new("documents");

/// Entries of logs.
pub(super) const ENTRIES: TableDefinition<'_, EntryKey<'_>, EntryValue<'_>> = TableDefinition::new("entries");

/// An owner (kind, domain and localpart) and a log.
pub(super) type LogKey<'k> = (u8, &'k str, &'k str, &'k str);

/// How much a log holds, if it holds something: its entries, and the bytes of their contents.
pub(super) const LOGS: TableDefinition<'_, LogKey<'_>, (u64, u64)> = TableDefinition::new("logs");

/// By kind (`documents` or `log`) and name: the highest version that a collection has been written with.
pub(super) const COLLECTIONS: TableDefinition<'_, (&str, &str), u8> = TableDefinition::new("collections");

/// The localpart before which all keys of an account with `local` stand.
pub(super) fn end(local: &str) -> String {
    format!("{local}\0")
}
