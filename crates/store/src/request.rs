//! What a [`Worker`](crate::Worker) can be asked, and what it answers.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use balcony_jid::BareJid;
use balcony_machine::Secret;
use balcony_router::{Change, Collections, Content, Kept};
use balcony_sasl::{Credentials, KeptToken, ScramKeys, TokenUse, Tokens};

use crate::{Documents, Edit, Entries, Owner, StoreError};

/// What a [`Worker`](crate::Worker) can be asked.
#[derive(Clone, Debug)]
pub enum Request {
    /// What the password of an account is checked against.
    Credentials {
        /// Its address.
        account: BareJid,
    },
    /// Whether this is the password of an account. Takes as long for an account that doesn't exist.
    Verify {
        /// Its address.
        account: BareJid,
        /// The password, as the client sent it.
        password: Secret<String>,
    },
    /// Make an account.
    Create {
        /// Its address.
        account: BareJid,
        /// Its password.
        password: Secret<String>,
        /// If the account exists: give it this password instead.
        replace: bool,
    },
    /// Give an account another password.
    SetPassword {
        /// Its address.
        account: BareJid,
        /// The new password.
        password: Secret<String>,
    },
    /// Add keys for a hash that an account has none for ([`Change::AddKeys`](crate::Change::AddKeys)).
    AddKeys {
        /// Its address.
        account: BareJid,
        /// The keys.
        keys: ScramKeys,
    },
    /// The tokens of an account.
    Tokens {
        /// Its address.
        account: BareJid,
    },
    /// Change the tokens of an account after a login ([`Change::KeepToken`](crate::Change::KeepToken)).
    KeepToken {
        /// Its address.
        account: BareJid,
        /// What the client calls its installation.
        agent: String,
        /// The token that was used.
        used: Option<TokenUse>,
        /// The new one.
        token: Option<Box<KeptToken>>,
        /// What the keys have to be salted with.
        salt: Option<Box<[u8]>>,
    },
    /// End a token of an account, or all ([`Change::RevokeToken`](crate::Change::RevokeToken)).
    RevokeToken {
        /// Its address.
        account: BareJid,
        /// Which; `None` for all.
        id: Option<u64>,
    },
    /// End an account, as [`Store::remove`](crate::Store::remove) does.
    Remove {
        /// Its address.
        account: BareJid,
    },
    /// Whether there is such an account.
    Exists {
        /// Its address.
        account: BareJid,
    },
    /// What is kept of an account.
    Kept {
        /// Its address.
        account: BareJid,
        /// The collections whose documents are wanted, too.
        collections: Collections,
    },
    /// Change what is kept of an account.
    Save {
        /// Its address.
        account: BareJid,
        /// What changes, in this order.
        changes: Vec<Change>,
        /// Whether others cause it, and not the account itself. What they cause takes half of the room of an account at most, so
        /// that the account's own changes find some.
        by_others: bool,
    },
    /// A document of an owner, as [`Store::document`](crate::Store::document) gives it. It waits for no changes but those of
    /// documents, of which others are not the cause.
    Document {
        /// The owner.
        owner: Owner,
        /// The name of the collection.
        collection: Cow<'static, str>,
        /// Which of its documents.
        key: Arc<str>,
    },
    /// Documents of an owner's collection, as [`Store::documents`](crate::Store::documents) gives them.
    Documents {
        /// The owner.
        owner: Owner,
        /// The name of the collection.
        collection: Box<str>,
        /// The key of the last document of the part before.
        after: Option<Box<str>>,
        /// As many as fit into so many bytes, but at least one.
        bytes: usize,
    },
    /// Entries of an owner's log, as [`Store::entries`](crate::Store::entries) gives them.
    Entries {
        /// The owner.
        owner: Owner,
        /// The name of the log.
        log: Cow<'static, str>,
        /// The number of the last entry of the part before; at first zero.
        after: u64,
        /// As many as fit into so many bytes of content, but at least one.
        bytes: usize,
    },
    /// Change what an owner has in collections, as [`Store::edit`](crate::Store::edit) does.
    Edit {
        /// The owner.
        owner: Owner,
        /// Which account of this name is meant, if that matters.
        creation: Option<u64>,
        /// What changes, in this order.
        edits: Vec<Edit>,
    },
    /// A page of the accounts of a domain, as [`Store::list`](crate::Store::list) gives it, or of all domains.
    List {
        /// The domain; `None` for all.
        domain: Option<String>,
        /// The last account of the page before.
        after: Option<BareJid>,
        /// The size of the page.
        limit: usize,
    },
    /// A page of the accounts that have documents in a collection, as [`Store::holders`](crate::Store::holders) gives it.
    Holders {
        /// The name of the collection.
        collection: Box<str>,
        /// The last account of the page before.
        after: Option<BareJid>,
        /// The size of the page.
        limit: usize,
    },
}

/// What a [`Worker`](crate::Worker) answers.
#[derive(Clone, Debug)]
pub enum Reply {
    /// To `Credentials`: those of the account, if it exists.
    Credentials(Option<Box<Credentials>>),
    /// To `Verify`: the salt of the keys that the password fits, `None` if it is wrong.
    Verified(Option<Box<[u8]>>),
    /// To `Create`, `SetPassword`, `AddKeys`, `KeepToken`, `RevokeToken`, `Remove`, `Save` and `Edit`: whether it was done; it is on the disk then. `false` if the account
    /// existed (`Create`) or didn't (the others) or was another, if there is no room (`Save`, `Edit`), or if a later note was put in
    /// its place ([`submit`](crate::Worker::submit)).
    Changed(bool),
    /// To `Tokens`: those of the account; none if it does not exist.
    Tokens(Tokens),
    /// To `Exists`.
    Exists(bool),
    /// To `Kept`: it, if the account exists.
    Kept(Option<Box<Kept>>),
    /// To `Document`: what it holds, if there is one.
    Document(Option<Content>),
    /// To `Documents`.
    Documents(Documents),
    /// To `Entries`.
    Entries(Entries),
    /// To `List` and `Holders`.
    Accounts(Vec<BareJid>),
    /// To anything: it could not be found out, or was not done.
    Failed(StoreError),
}

/// The worker has too much to do already: the request was not taken, and there will be no reply. Try again later, or tell the
/// client so.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Busy;

/// The same words as `Display`: a `main` that returns it shows what is wrong.
impl fmt::Debug for Busy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Busy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the account store has too many requests waiting")
    }
}

impl core::error::Error for Busy {}
