//! What a store can be told to change, each as a whole or not at all, and what it knows of an account.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use balcony_jid::BareJid;
use balcony_roster::Parts;
use balcony_router::LastSeen;
use balcony_sasl::{Credentials, KeptToken, ScramKeys, TokenUse, Tokens};

use crate::{Collections, Edit, Owned, Owner};

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
    /// Keys for a hash that an account has none for. It is done if the account exists, and
    /// [may have them](Credentials::may_add).
    AddKeys {
        /// Its address.
        account: BareJid,
        /// The keys.
        keys: ScramKeys,
    },
    /// What a login does to the tokens of an account (XEP-0484): the one that was used, and a new one. It is done if the account exists
    /// and the token that was used is still there, and the keys are still those by which the client has proven its password.
    KeepToken {
        /// Its address.
        account: BareJid,
        /// What the client calls its installation.
        agent: String,
        /// The token that was used.
        used: Option<TokenUse>,
        /// The new one.
        token: Option<Box<KeptToken>>,
        /// What these keys are salted with, if it has proven its password.
        salt: Option<Box<[u8]>>,
    },
    /// The end of a token of an account, or of all. It is done if there was one.
    RevokeToken {
        /// Its address.
        account: BareJid,
        /// Which; `None` for all.
        id: Option<u64>,
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
    /// An account with all that is kept for it. It is done unless the account exists. Bounds don't hold for it. Entries without
    /// a number get new ones.
    Restore(Box<Backup>),
    /// Changes of what an owner has in collections. All of them are done if the owner exists, should it be an account, and if there
    /// is room, and nothing otherwise.
    Edit {
        /// The owner.
        owner: Owner,
        /// Which account of this name is meant ([`Account::creation`]), if that matters.
        creation: Option<u64>,
        /// What changes, in this order.
        edits: Vec<Edit>,
    },
    /// All that an owner has in collections is gone. It is done if there was something.
    Clear {
        /// The owner. What an account has goes with it by itself.
        owner: Owner,
    },
    /// What an owner that is not an account has. It is done unless it has something.
    RestoreOwned(Box<Owned>),
}

impl Change {
    /// Whom it is about.
    #[must_use]
    pub fn owner(&self) -> Owner {
        match self {
            Change::Create { account, .. }
            | Change::SetCredentials { account, .. }
            | Change::AddKeys { account, .. }
            | Change::KeepToken { account, .. }
            | Change::RevokeToken { account, .. }
            | Change::Remove { account }
            | Change::Save { account, .. } => Owner::Account(account.clone()),
            Change::Restore(backup) => Owner::Account(backup.address.clone()),
            Change::Edit { owner, .. } | Change::Clear { owner } => owner.clone(),
            Change::RestoreOwned(owned) => owned.owner.clone(),
        }
    }
}

/// What is known of an account.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Account {
    /// What its password is checked against.
    pub credentials: Credentials,
    /// When it was made, in seconds since the start of 1970 (UTC).
    pub created: u64,
    /// The number with which it was made: an account that is made after another has another. Accounts that are older than
    /// these numbers have zero.
    pub creation: u64,
    /// The tokens that clients may log in by. They end with the password, and are not exported.
    pub tokens: Tokens,
}

/// An account with all that is kept for it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Backup {
    /// Its address.
    pub address: BareJid,
    /// The account itself.
    pub account: Account,
    /// Its roster, if it was ever changed.
    pub roster: Option<Parts>,
    /// The end of its latest presence.
    pub last: Option<LastSeen>,
    /// Its documents and logs. An entry whose number is zero has none yet.
    pub collections: Collections,
}

/// What a login does to tokens, unless the password has been changed since it was proven. Whether that is so, and the token that was
/// used was there.
pub(crate) fn keep(
    account: &mut Account,
    agent: &str,
    used: Option<TokenUse>,
    token: Option<&KeptToken>,
    salt: Option<&[u8]>,
    now: u64,
) -> bool {
    let keys = account.credentials.to_verify();
    if salt.is_some_and(|salt| keys.is_none_or(|keys| keys.salt() != salt)) {
        return false;
    }
    let was_there = used.is_none_or(|used| account.tokens.use_one(agent, used, now));
    if let Some(token) = token.filter(|_| was_there) {
        account.tokens.put(token.clone());
    }
    was_there
}
