use alloc::boxed::Box;
use alloc::vec::Vec;

use balcony_jid::BareJid;
use balcony_router::{Kept, Offline};
use balcony_sasl::Credentials;

/// One change of the accounts.
#[derive(Clone, Debug)]
pub enum Change {
    /// A new account. It is done unless the account exists.
    Create {
        /// Its address.
        account: BareJid,
        /// What its password will be checked against.
        credentials: Credentials,
        /// If the account exists: give it these credentials instead. It is done in any case then.
        replace: bool,
    },
    /// Other credentials for an account. It is done if the account exists.
    SetCredentials {
        /// Its address.
        account: BareJid,
        /// What its password will be checked against.
        credentials: Credentials,
    },
    /// The end of an account and of all that was kept for it. It is done if the account exists.
    Remove {
        /// Its address.
        account: BareJid,
    },
    /// What a router wants to be kept. All of it is done if the account exists and there is room, and nothing of it
    /// otherwise.
    Save {
        /// The account.
        account: BareJid,
        /// What changes, in this order.
        changes: Vec<balcony_router::Change>,
    },
    /// An account with all that is kept for it. It is done unless the account exists. Bounds don't hold for it, and its
    /// messages get new numbers.
    Restore(Box<Backup>),
}

/// What is known of an account.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Account {
    /// What its password is checked against.
    pub credentials: Credentials,
    /// When it was made, in seconds since the start of 1970 (UTC).
    pub created: u64,
}

/// An account with all that is kept for it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Backup {
    /// Its address.
    pub address: BareJid,
    /// The account itself.
    pub account: Account,
    /// Roster, blocked addresses and last presence.
    pub kept: Kept,
    /// The messages that wait for it, in their order.
    pub offline: Vec<Offline>,
}
