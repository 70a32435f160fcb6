//! What a place for accounts has to be able to do: the contract that the file and PostgreSQL keep, and that others may.
//!
//! What is the same for all of them is in `store.rs`: it tells the time, counts, and writes the log.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use balcony_jid::BareJid;
use balcony_machine::Secret;
use balcony_router::extension::{Collection, Extensions};
use balcony_router::{Content, Kept};

use crate::{Account, Backup, Change, Documents, Entries, Owned, Owner, StoreError};

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

    /// What is kept of an account, if it exists, with the documents of these collections, and without the time.
    ///
    /// # Errors
    ///
    /// As [`account`](Backend::account).
    fn kept(&self, account: &BareJid, collections: &[Cow<'static, str>]) -> Result<Option<Kept>, StoreError>;

    /// All about an account, as it was at one moment, if it exists.
    ///
    /// # Errors
    ///
    /// As [`account`](Backend::account).
    fn backup(&self, account: &BareJid) -> Result<Option<Backup>, StoreError>;

    /// What a document of an owner holds, if there is one. For an account that does not exist it takes as long as for one that
    /// has none.
    ///
    /// # Errors
    ///
    /// As [`account`](Backend::account).
    fn document(&self, owner: &Owner, collection: &str, key: &str) -> Result<Option<Content>, StoreError>;

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

    /// Up to `limit` accounts that have documents in this collection, in the order of [`list`](Backend::list), after `after`, or from the
    /// first. One that has no better way looks at all accounts.
    ///
    /// # Errors
    ///
    /// As [`account`](Backend::account).
    fn holders(
        &self,
        collection: &str,
        after: Option<&BareJid>,
        limit: usize,
    ) -> Result<Vec<BareJid>, StoreError> {
        const PAGE: usize = 1000;
        let (mut found, mut after) = (Vec::new(), after.cloned());
        while found.len() < limit {
            let page = self.list(None, after.as_ref(), PAGE)?;
            let Some(last) = page.last() else { break };
            after = Some(last.clone());
            for account in page {
                let owner = Owner::Account(account.clone());
                if found.len() < limit && !self.documents(&owner, collection, None, 0)?.documents.is_empty() {
                    found.push(account);
                }
            }
        }
        Ok(found)
    }

    /// Entries of one of an owner's logs with higher numbers than `after`: as many as fit into so many bytes of content, but at
    /// least one, if there is one. All numbers are higher than zero.
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

    /// Whether every account has keys for SCRAM with SHA-512. One that does not know says that it is not so.
    ///
    /// # Errors
    ///
    /// As [`account`](Backend::account).
    fn all_have_sha512(&self) -> Result<bool, StoreError> {
        Ok(false)
    }

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

    /// Makes sure that no other process has, or has had, what this one has opened.
    ///
    /// # Errors
    ///
    /// [`Superseded`](StoreError::Superseded), for good, if another one has had it; as [`account`](Backend::account) if that
    /// is not known.
    fn hold(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

/// The bounds of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreConfig {
    /// Changes of one roster that are remembered, for [`balcony_roster::RosterConfig::changes`].
    pub roster_changes: usize,
    /// The collections that this program knows, with the highest version of each. A store that has a newer one of these is not
    /// opened, nor is one imported; others are left as they are.
    pub collections: Arc<[Collection]>,
}

impl Default for StoreConfig {
    /// As many changes as a roster has by default, and the collections of a router's standard extensions.
    fn default() -> Self {
        StoreConfig {
            roster_changes: balcony_roster::RosterConfig::default().changes,
            collections: Extensions::default().collections().into(),
        }
    }
}
