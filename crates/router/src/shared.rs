//! What all accounts of a router share and nothing changes: its configuration, with the tables that extensions have filled.

use balcony_jid::{BareJid, Jid};

use crate::account::Account;
use crate::extension::Tables;
use crate::{Collections, Config};

/// Configuration, and what extensions have registered. It does not change.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Config,
    /// Those whose documents are loaded with an account.
    pub(crate) collections: Collections,
}

impl Shared {
    pub(crate) fn new(config: Config) -> Self {
        let collections = config.extensions.tables().loaded();
        Shared { config, collections }
    }

    pub(crate) fn tables(&self) -> &Tables {
        self.config.extensions.tables()
    }

    pub(crate) fn is_local(&self, domain: &str) -> bool {
        self.config.domains.iter().any(|local| local.domainpart() == domain)
    }

    /// Whether anything passes between the account and the entity.
    pub(crate) fn allows(&self, owner: &BareJid, account: &Account, entity: &Jid) -> bool {
        self.tables().allows(owner, account, entity)
    }
}
