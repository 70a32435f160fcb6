//! What a router asks of whoever keeps its accounts: the contract between the two.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use balcony_jid::BareJid;
use balcony_machine::Secret;
use balcony_roster::{Item, Parts, Version};
use balcony_stanza::Stanza;

use crate::extension::Edit;

/// The names of collections that belong to no extension.
pub mod collections {
    /// Messages in the queues of sessions without a connection: documents of the account, of XML, that are deleted when a session has
    /// acknowledged them.
    pub const UNDELIVERED: &str = "undelivered";
    /// What was said about subscriptions and may not have reached the contact: documents of the account, whose keys are a direction and
    /// the contact's address.
    pub const OWED: &str = "owed";
    /// Sessions that wait for their clients while their server is down (XEP-0198): documents of their domain, whose keys are their
    /// addresses.
    pub const SESSIONS: &str = "sessions";
    /// The version in which they are written.
    pub const SESSIONS_VERSION: u8 = 2;
}

/// A question to the owner of a [`Router`](crate::Router), about one account. Any account may not exist: only the owner
/// knows.
///
/// The router asks about an account after the answers to what it asked about it before, but for [`Save`](Ask::Save):
/// several may be under way. They take effect in the order in which they were asked. A [`Load`](Ask::Load) may come at any
/// time: of some the router wants to know only when they are answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// What is kept of the account: [`Answer::Loaded`].
    Load {
        /// Whose.
        account: BareJid,
        /// The collections whose documents are wanted, too: [`Kept::documents`].
        collections: Collections,
    },
    /// A document of the account: [`Answer::Document`].
    Document {
        /// Whose.
        account: BareJid,
        /// The name of the collection.
        collection: Cow<'static, str>,
        /// Which of its documents.
        key: Arc<str>,
    },
    /// The oldest entries of a log of the account: [`Answer::Entries`]. Those of an appending that is under way may be missing.
    Entries {
        /// Whose.
        account: BareJid,
        /// The name of the log.
        log: Cow<'static, str>,
        /// As many as fit into so many bytes of content, but at least one.
        bytes: usize,
    },
    /// Make these changes, all of them or none, if the account exists: [`Answer::Saved`] once they are durable, or
    /// [`Answer::Refused`].
    Save {
        /// Whose.
        account: BareJid,
        /// What changes, in this order; never empty.
        changes: Vec<Change>,
        /// Whether others cause it, and not the account itself. They have room of their own for changes that wait, so that nobody keeps
        /// the account from changing what is its own. Of messages that are stored or written the router asks for no more at a time than
        /// [`Limits::storing`](balcony_machine::Limits::storing): there should be room for more than these.
        by_others: bool,
    },
    /// Give the account this password instead of its own: [`Answer::Saved`] once that is durable, [`Answer::Unacceptable`] or
    /// [`Answer::Refused`].
    SetPassword {
        /// Whose.
        account: BareJid,
        /// The new password, as the user has written it.
        password: Secret<String>,
    },
    /// What an extension of the owner's own wants to be found out or done ([`Context::external`](crate::extension::Context::external)):
    /// [`Answer::External`] or [`Answer::Refused`].
    External {
        /// For whose account.
        account: BareJid,
        /// [`Extension::NAME`](crate::extension::Extension::NAME).
        extension: &'static str,
        /// The question, in a form that the extension and the owner know.
        question: Arc<[u8]>,
    },
    /// End the account, and forget all that is kept of it: [`Answer::Saved`] once that is durable, or [`Answer::Refused`].
    Remove {
        /// Whose.
        account: BareJid,
    },
}

impl Ask {
    /// Whose account it is about.
    #[must_use]
    pub const fn account(&self) -> &BareJid {
        match self {
            Ask::Load { account, .. }
            | Ask::Document { account, .. }
            | Ask::Entries { account, .. }
            | Ask::Save { account, .. }
            | Ask::SetPassword { account, .. }
            | Ask::External { account, .. }
            | Ask::Remove { account } => account,
        }
    }
}

/// The answer to an [`Ask`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// To [`Ask::Load`]: what is kept, or that there is no such account.
    Loaded(Option<Box<Kept>>),
    /// To [`Ask::Document`]: what it holds, if there is one, and if there is such an account. Both take equally long.
    Document(Option<Content>),
    /// To [`Ask::Entries`]. They stay where they are; none if there is no such account.
    Entries {
        /// The entries, the oldest first.
        entries: Vec<Entry>,
        /// Whether there are later ones.
        more: bool,
    },
    /// To [`Ask::External`].
    External(Arc<[u8]>),
    /// To [`Ask::Save`], [`Ask::SetPassword`] and [`Ask::Remove`]: it is done and durable.
    Saved,
    /// To [`Ask::SetPassword`]: nobody can have this password, so it was not done.
    Unacceptable,
    /// To anything: it could not be found out; or it was not done and will not be: there is no such account, no room, or trouble.
    Refused,
}

/// What is kept of an account, beside what has to be asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// The number with which the account was made; no two accounts have the same, also not one after the other by the same name.
    /// Changes of documents and logs repeat it, so that what was meant for an account is not done to its successor.
    pub creation: u64,
    /// What time it is, in milliseconds since the start of 1970 (UTC), by the clock of whoever keeps it.
    pub now: u64,
    /// The roster, if it was ever changed.
    pub roster: Option<Parts>,
    /// The documents of the collections that were asked for, in any order.
    pub documents: Vec<Document>,
    /// The logs that are not empty, and how many entries each has.
    pub logs: Vec<(Cow<'static, str>, usize)>,
    /// The end of the latest presence.
    pub last: Option<LastSeen>,
}

/// Names of collections.
pub type Collections = Arc<[Cow<'static, str>]>;

/// A document that an account has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// The name of the collection.
    pub collection: Cow<'static, str>,
    /// Which of its documents.
    pub key: Arc<str>,
    /// What it holds.
    pub content: Content,
}

/// How and when the last of an account's resources became unavailable (RFC 6121 section 4.3.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastSeen {
    /// Milliseconds since the start of 1970 (UTC), by the clock of whoever keeps it.
    pub at: u64,
    /// The unavailable presence. Its `from` is the resource.
    pub presence: Arc<Stanza>,
}

/// One change of what is kept of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// How the account stands with a contact now. The roster is made if there is none.
    Roster {
        /// The contact.
        contact: BareJid,
        /// Its item; `None` if it has none (any more).
        item: Option<Item>,
        /// Its subscription request that waits for the user, if there is one.
        request: Option<Arc<Stanza>>,
        /// The version of the roster now.
        version: Version,
        /// Whether clients see the change. If so, the contact is the latest of [`Parts::changes`], of which as many have to be
        /// kept as [`balcony_roster::RosterConfig::changes`] says, and may be more.
        pushed: bool,
    },
    /// The account's last available resource has become unavailable just now, with this presence.
    LastSeen(Arc<Stanza>),
    /// A document of the account is another one now. The whole save is refused if the account is another.
    Document {
        /// [`Kept::creation`].
        creation: u64,
        /// What becomes of it.
        edit: DocumentEdit,
    },
    /// A log of the account gets or loses entries. The whole save is refused if the account is another, or has no room.
    Log {
        /// [`Kept::creation`].
        creation: u64,
        /// What becomes of it.
        edit: LogEdit,
    },
}

impl Change {
    /// An extension's change of what it keeps of the account that was made with this number.
    pub(crate) fn of(creation: u64, edit: Edit) -> Change {
        match edit {
            Edit::Document(edit) => Change::Document { creation, edit },
            Edit::Log(edit) => Change::Log { creation, edit },
        }
    }
}

/// What becomes of a document: something that is found by its key in a collection. Whatever an extension keeps of an account,
/// and reads as a whole, is in a collection of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentEdit {
    /// The name of the collection: 1 to 64 bytes without NUL.
    pub collection: Cow<'static, str>,
    /// Which of its documents: at most [`LONGEST_KEY`](DocumentEdit::LONGEST_KEY) bytes.
    pub key: Arc<str>,
    /// What it holds now; `None` if there is none any more.
    pub content: Option<Content>,
}

impl DocumentEdit {
    /// How long a key may be, in bytes. A change of a document with a longer one is refused.
    pub const LONGEST_KEY: usize = 4_096;
}

/// What a document or an entry holds.
#[derive(Clone, PartialEq, Eq)]
pub struct Content {
    /// Which form the bytes have. A program that does not know the form of a collection does not start.
    pub version: u8,
    /// The bytes, of which nobody but the collection's owner knows what they mean.
    pub bytes: Arc<[u8]>,
}

/// What becomes of a log: entries in the order in which they came, that are read from the oldest on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogEdit {
    /// It has one more entry, with a higher number than any before, and the time of now.
    Append(Append),
    /// The entries up to this number are gone.
    Trim {
        /// The name of the log.
        log: Cow<'static, str>,
        /// The highest number that is.
        up_to: u64,
    },
}

/// An entry that a log gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Append {
    /// The name of the log: 1 to 64 bytes without NUL.
    pub log: Cow<'static, str>,
    /// By what entries are told apart, such as the other's address: at most 4,096 bytes.
    pub tag: Arc<str>,
    /// What it holds.
    pub content: Content,
    /// How much the log may hold when it has got the entry, or the whole save is refused.
    pub room: Room,
}

/// An entry of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its place: later entries of the log have higher numbers, and no number is used twice.
    pub number: u64,
    /// When it came, in milliseconds since the start of 1970 (UTC), by the clock of whoever keeps it.
    pub at: u64,
    /// [`Append::tag`].
    pub tag: Arc<str>,
    /// What it holds.
    pub content: Content,
}

/// How much a log may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Entries.
    pub entries: usize,
    /// The bytes of their contents.
    pub bytes: usize,
}

impl Room {
    /// Any number of entries, which somebody else bounds.
    pub const UNBOUNDED: Room = Room { entries: usize::MAX, bytes: usize::MAX };
}

/// The length alone: there may be secrets in it.
impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Content")
            .field("version", &self.version)
            .field("length", &self.bytes.len())
            .finish_non_exhaustive()
    }
}
