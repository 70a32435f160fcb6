//! What all accounts of a router share and nothing changes: its configuration, with the tables that extensions have filled.

use balcony_jid::{BareJid, Jid};

use crate::account::Account;
use crate::collections::{OWED, UNDELIVERED};
use crate::extension::Tables;
use crate::{Collections, Config};

/// Configuration, and what extensions have registered. It does not change.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Config,
    /// Those whose documents are loaded with an account.
    pub(crate) collections: Collections,
    /// The same, and what the router itself has loaded with an account of which something is wanted.
    pub(crate) all_collections: Collections,
}

impl Shared {
    pub(crate) fn new(config: Config) -> Self {
        let collections = config.extensions.tables().loaded();
        let own = [UNDELIVERED, OWED].map(Into::into);
        let all_collections = collections.iter().cloned().chain(own).collect();
        Shared { config, collections, all_collections }
    }

    pub(crate) fn tables(&self) -> &Tables {
        self.config.extensions.tables()
    }

    pub(crate) fn is_local(&self, domain: &str) -> bool {
        self.config.domains.iter().any(|local| local.domainpart() == domain)
    }

    /// Whether an extension wants to know which messages wait for the account's user.
    pub(crate) fn is_told_of(&self, account: &Account) -> bool {
        account.known().is_some_and(|known| self.tables().is_told_of(known.slots.bits()))
    }

    /// Whether anything passes between the account and the entity.
    pub(crate) fn allows(&self, owner: &BareJid, account: &Account, entity: &Jid) -> bool {
        self.tables().allows(owner, account, entity)
    }
}
