use alloc::string::String;
use alloc::vec::Vec;

use balcony_jid::BareJid;
use balcony_machine::Secret;
use balcony_router::{Kept, Offline};

use crate::record::encode_stanza;
use crate::{Account, Backup, Change, Collection, Documents, Entries, Owned, Owner, StoreError};

/// Where accounts are kept: an embedded database, or a database server. [`Store`](crate::Store) is how it is used.
///
/// Calls come from several threads, and may take as long as they have to. Each sees all changes whose
/// [`commit`](Backend::commit) has returned, and none by halves.
pub trait Backend: Send + Sync {
    /// Thirty-two random bytes that were made with the store and stay the same.
    fn secret(&self) -> Secret<[u8; 32]>;

    /// An account, if it exists.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the database or the data in it fail. So it is with all calls below.
    fn account(&self, account: &BareJid) -> Result<Option<Account>, StoreError>;

    /// What is kept of an account, if it exists, but for its messages.
    ///
    /// # Errors
    ///
    /// As [`account`](Backend::account).
    fn kept(&self, account: &BareJid) -> Result<Option<Kept>, StoreError>;

    /// The oldest messages that wait for an account: as many as fit into so many bytes of XML, but at least one, if
    /// there is one.
    ///
    /// # Errors
    ///
    /// As [`account`](Backend::account).
    fn offline(&self, account: &BareJid, bytes: usize) -> Result<Messages, StoreError>;

    /// All about an account, as it was at one moment, if it exists.
    ///
    /// # Errors
    ///
    /// As [`account`](Backend::account).
    fn backup(&self, account: &BareJid) -> Result<Option<Backup>, StoreError>;

    /// Documents of one of an owner's collections, by the octets of their keys, from the first or after the one with the key
    /// `after`: as many as fit into so many bytes of keys and contents, but at least one, if there is one.
    ///
    /// # Errors
    ///
    /// As [`account`](Backend::account).
    fn documents(
        &self,
        owner: &Owner,
        collection: &str,
        after: Option<&str>,
        bytes: usize,
    ) -> Result<Documents, StoreError>;

    /// Entries of one of an owner's logs with higher numbers than `after`: as many as fit into so many bytes of tags and contents,
    /// but at least one, if there is one. All numbers are higher than zero.
    ///
    /// # Errors
    ///
    /// As [`account`](Backend::account).
    fn entries(&self, owner: &Owner, log: &str, after: u64, bytes: usize) -> Result<Entries, StoreError>;

    /// Of the owners that are not accounts and have something, the first, or the first after this one; in the order of their
    /// kinds, domains and localparts.
    ///
    /// # Errors
    ///
    /// As [`account`](Backend::account).
    fn next_owned(&self, after: Option<&Owner>) -> Result<Option<Owned>, StoreError>;

    /// Up to `limit` accounts, by domain and then localpart, octet by octet; of one domain, or of all; those that come
    /// after `after`, which need not exist, or from the first.
    ///
    /// # Errors
    ///
    /// As [`account`](Backend::account).
    fn list(
        &self,
        domain: Option<&str>,
        after: Option<&BareJid>,
        limit: usize,
    ) -> Result<Vec<BareJid>, StoreError>;

    /// How many accounts there are.
    ///
    /// # Errors
    ///
    /// As [`account`](Backend::account).
    fn count(&self) -> Result<u64, StoreError>;

    /// Makes the changes, in their order and as [`Change`] says: all of them durably, or none if it fails. For each:
    /// whether it was done. `now` is in milliseconds since the start of 1970 (UTC).
    ///
    /// # Errors
    ///
    /// As [`account`](Backend::account).
    fn commit(&self, changes: &[&Change], now: u64) -> Result<Vec<bool>, StoreError>;

    /// Looks at everything that is kept, and tells `problem`, in a line for each, what cannot be read and what belongs to
    /// nobody. Returns how many accounts there are.
    ///
    /// # Errors
    ///
    /// As [`account`](Backend::account).
    fn check(&self, problem: &mut dyn FnMut(String)) -> Result<u64, StoreError>;
}

/// Messages that wait for an account, or the first of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Messages {
    /// The messages, the oldest first.
    pub messages: Vec<Offline>,
    /// Whether there are later ones.
    pub more: bool,
}

/// The bounds of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreConfig {
    /// Messages that wait for one account. Past it no more are taken, and contacts are told. Messages of others may take half of
    /// it ([`PutOffline`](balcony_router::Change::PutOffline)).
    pub offline: usize,
    /// The bytes of these, as XML; it holds in the same way.
    pub offline_bytes: usize,
    /// Changes of one roster that are remembered, for [`balcony_roster::Config::changes`].
    pub roster_changes: usize,
    /// The collections that this program knows, with the highest version of each. A store that has a newer one of these is not
    /// opened, nor is one imported; others are left as they are.
    pub collections: &'static [Collection],
}

impl Default for StoreConfig {
    /// 200 messages of 4 MiB, as many changes as a roster has by default, and no collections.
    fn default() -> Self {
        StoreConfig {
            offline: 200,
            offline_bytes: 4 << 20,
            roster_changes: balcony_roster::Config::default().changes,
            collections: &[],
        }
    }
}

impl StoreConfig {
    /// Whether there is room for what `changes` put, among the messages that wait: their numbers, and their bytes.
    pub(crate) fn has_room(
        &self,
        changes: &[balcony_router::Change],
        waiting: impl FnOnce() -> Result<Vec<(u64, usize)>, StoreError>,
    ) -> Result<bool, StoreError> {
        use balcony_router::Change::{DropOffline, PutOffline};
        if !changes.iter().any(|change| matches!(change, PutOffline { .. })) {
            return Ok(true);
        }
        let mut waiting = waiting()?;
        for change in changes {
            match change {
                // What is put has higher numbers than anybody knows yet.
                DropOffline { up_to } => waiting.retain(|(number, _)| number > up_to),
                PutOffline { message, from_contact } => {
                    waiting.push((u64::MAX, encode_stanza(message).len()));
                    let share = |all: usize| if *from_contact { all } else { all.div_ceil(2) };
                    let bytes = waiting.iter().fold(0_usize, |all, (_, bytes)| all.saturating_add(*bytes));
                    if waiting.len() > share(self.offline) || bytes > share(self.offline_bytes) {
                        return Ok(false);
                    }
                }
                _ => {}
            }
        }
        Ok(true)
    }
}
