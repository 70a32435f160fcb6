//! Collections: what is kept beside accounts and rosters, without anybody here knowing what it means.
//!
//! A **document** is found by its key, and is read and written whole. A **log** has entries in the order in which they came; they get
//! numbers, and are read from the oldest on. Both have names, belong to an [`Owner`], and hold bytes with a version
//! ([`Content`]). An account's collections end with it, those that no part of the program knows included.
//!
//! The highest version that each collection was ever written with is kept, too: a program that knows a collection, but
//! not that version, would misread it, and so does not open the store ([`StoreConfig::collections`](crate::StoreConfig)).
//! Of collections that it does not know it leaves everything as it is.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use balcony_jid::BareJid;
use balcony_router::extension::{Collection, Kind};
use balcony_router::{Append, Content, Document, DocumentEdit, Entry, LogEdit, Room};

use crate::StoreError;

/// Whom collections belong to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Owner {
    /// An account, which has to exist.
    Account(BareJid),
    /// What a service has at one of its addresses, such as a room.
    Service(BareJid),
    /// A domain as such.
    Domain(BareJid),
}

impl Owner {
    /// Its address.
    #[must_use]
    pub const fn address(&self) -> &BareJid {
        match self {
            Owner::Account(address) | Owner::Service(address) | Owner::Domain(address) => address,
        }
    }

    pub(crate) fn of(kind: OwnerKind, address: BareJid) -> Owner {
        match kind {
            OwnerKind::Account => Owner::Account(address),
            OwnerKind::Service => Owner::Service(address),
            OwnerKind::Domain => Owner::Domain(address),
        }
    }

    pub(crate) const fn kind(&self) -> OwnerKind {
        match self {
            Owner::Account(_) => OwnerKind::Account,
            Owner::Service(_) => OwnerKind::Service,
            Owner::Domain(_) => OwnerKind::Domain,
        }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Owner::Account(address) => address.fmt(f),
            Owner::Service(address) => write!(f, "the service {address}"),
            Owner::Domain(address) => write!(f, "the domain {address}"),
        }
    }
}

/// The three kinds of owners. Their names and numbers are in databases and exports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OwnerKind {
    Account = 0,
    Service = 1,
    Domain = 2,
}

impl OwnerKind {
    const ALL: [OwnerKind; 3] = [OwnerKind::Account, OwnerKind::Service, OwnerKind::Domain];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            OwnerKind::Account => "account",
            OwnerKind::Service => "service",
            OwnerKind::Domain => "domain",
        }
    }

    pub(crate) const fn number(self) -> u8 {
        self as u8
    }

    pub(crate) fn named(name: &str) -> Option<OwnerKind> {
        OwnerKind::ALL.into_iter().find(|kind| kind.name() == name)
    }

    pub(crate) fn numbered(number: u8) -> Option<OwnerKind> {
        OwnerKind::ALL.into_iter().find(|kind| kind.number() == number)
    }
}

/// A part of a collection's documents, by their keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Documents {
    /// They, in the order of the octets of their keys.
    pub documents: Vec<Document>,
    /// Whether there are others behind them.
    pub more: bool,
}

/// A part of a log's entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entries {
    /// They, the oldest first.
    pub entries: Vec<Entry>,
    /// Whether there are later ones.
    pub more: bool,
}

/// All that an owner has in collections.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Collections {
    /// The documents, by collection and key.
    pub documents: Vec<Document>,
    /// The logs by their names, each with its entries.
    pub logs: Vec<(Box<str>, Vec<Entry>)>,
}

impl Collections {
    /// The kind and the name of each of them; more than once where there are several documents.
    pub fn names(&self) -> impl Iterator<Item = (Kind, &str)> {
        let documents = self.documents.iter().map(|document| (Kind::Documents, &*document.collection));
        documents.chain(self.logs.iter().map(|(log, _)| (Kind::Log, &**log)))
    }

    /// Whether there is nothing.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.documents.is_empty() && self.logs.is_empty()
    }

    /// Whether all names and keys are such as a store takes.
    pub(crate) fn is_storable(&self) -> bool {
        let is_document =
            |document: &Document| is_name(&document.collection) && document.key.len() <= LONGEST_KEY;
        let is_entry = |entry: &Entry| entry.tag.len() <= LONGEST_KEY;
        self.documents.iter().all(is_document)
            && self.logs.iter().all(|(log, entries)| is_name(log) && entries.iter().all(is_entry))
    }

    /// Refuses what a program that knows these collections could not open later.
    pub(crate) fn admit(&self, known: &[Collection]) -> Result<(), StoreError> {
        let documents = self
            .documents
            .iter()
            .map(|document| (Kind::Documents, &*document.collection, document.content.version));
        let entries = self.logs.iter().flat_map(|(log, entries)| {
            entries.iter().map(move |entry| (Kind::Log, &**log, entry.content.version))
        });
        for (kind, name, version) in documents.chain(entries) {
            let known = known.iter().find(|known| known.kind == kind && known.name == name);
            known.map_or(Ok(()), |known| admit(known, version))?;
        }
        Ok(())
    }

    /// One more entry, which comes after all that are there.
    pub(crate) fn push(&mut self, log: &str, entry: Entry) {
        match self.logs.last_mut() {
            Some((name, entries)) if **name == *log => entries.push(entry),
            _ => self.logs.push((log.into(), Vec::from([entry]))),
        }
    }
}

/// An owner that is not an account, with all that it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owned {
    /// The owner.
    pub owner: Owner,
    /// What it has.
    pub collections: Collections,
}

/// One change of an owner's collections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// Of a document.
    Document(DocumentEdit),
    /// Of a log.
    Log(LogEdit),
}

/// Refuses a version of a collection that this program does not know.
pub(crate) fn admit(known: &Collection, found: u8) -> Result<(), StoreError> {
    if found > known.version {
        let name = String::from(&*known.name);
        return Err(StoreError::NewerCollection { name, found, supported: known.version });
    }
    Ok(())
}

/// What a kind of collections is called in databases.
pub(crate) const fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Documents => "documents",
        Kind::Log => "log",
    }
}

/// The longest name of a collection or a log, and the longest key or tag, in bytes.
const LONGEST_NAME: usize = 64;
const LONGEST_KEY: usize = 4_096;

fn is_name(name: &str) -> bool {
    (1..=LONGEST_NAME).contains(&name.len()) && !name.contains('\0')
}

/// A change as both back ends see it.
#[derive(Clone, Copy)]
pub(crate) enum EditRef<'e> {
    Document(&'e DocumentEdit),
    Log(&'e LogEdit),
}

impl Edit {
    pub(crate) const fn as_ref(&self) -> EditRef<'_> {
        match self {
            Edit::Document(edit) => EditRef::Document(edit),
            Edit::Log(edit) => EditRef::Log(edit),
        }
    }
}

/// What a router wants changed in collections, each with the creation of the account that it is meant for.
pub(crate) fn edits(changes: &[balcony_router::Change]) -> impl Iterator<Item = (u64, EditRef<'_>)> + Clone {
    use balcony_router::Change;
    changes.iter().filter_map(|change| match change {
        Change::Document { creation, edit } => Some((*creation, EditRef::Document(edit))),
        Change::Log { creation, edit } => Some((*creation, EditRef::Log(edit))),
        _ => None,
    })
}

/// How much a log holds, or a part of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) entries: u64,
    /// Of their contents.
    pub(crate) bytes: u64,
}

impl Held {
    /// One entry with so many bytes.
    pub(crate) const fn one(bytes: usize) -> Held {
        Held { entries: 1, bytes: bytes as u64 }
    }

    pub(crate) const fn with(self, other: Held) -> Held {
        Held {
            entries: self.entries.saturating_add(other.entries),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }

    pub(crate) const fn without(self, other: Held) -> Held {
        Held {
            entries: self.entries.saturating_sub(other.entries),
            bytes: self.bytes.saturating_sub(other.bytes),
        }
    }

    const fn is_within(self, room: Room) -> bool {
        self.entries <= room.entries as u64 && self.bytes <= room.bytes as u64
    }
}

/// Of which entries of a log it is asked how much they are.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Part {
    /// All of them, which are counted already.
    All,
    /// Those with higher numbers than the first, up to the second.
    Between(u64, u64),
}

/// A log in which there has to be room for what comes, while it is being seen whether there is.
struct Filling {
    held: Held,
    /// The entries up to this number are gone.
    trimmed: u64,
}

/// Whether these changes can be made, all of them: names and keys are not too long, and there is room in logs, of which `held` tells
/// how much they hold.
pub(crate) fn can_be_made<'e>(
    edits: impl Iterator<Item = EditRef<'e>> + Clone,
    mut held: impl FnMut(&str, Part) -> Result<Held, StoreError>,
) -> Result<bool, StoreError> {
    // Those that some entry wants to be bounded.
    let mut logs: BTreeMap<&str, Filling> = BTreeMap::new();
    for edit in edits.clone() {
        let is_possible = match edit {
            EditRef::Document(DocumentEdit { collection, key, .. }) => {
                is_name(collection) && key.len() <= LONGEST_KEY
            }
            EditRef::Log(LogEdit::Trim { log, .. }) => is_name(log),
            EditRef::Log(LogEdit::Append(Append { log, tag, .. })) => {
                is_name(log) && tag.len() <= LONGEST_KEY
            }
        };
        if !is_possible {
            return Ok(false);
        }
        if let EditRef::Log(LogEdit::Append(Append { log, room, .. })) = edit
            && *room != Room::UNBOUNDED
            && !logs.contains_key(&**log)
        {
            logs.insert(log, Filling { held: held(log, Part::All)?, trimmed: 0 });
        }
    }
    for edit in edits {
        let EditRef::Log(edit) = edit else { continue };
        match edit {
            LogEdit::Trim { log, up_to } => {
                let Some(filling) = logs.get_mut(&**log) else { continue };
                let gone = match *up_to {
                    // What has just come, too.
                    u64::MAX => filling.held,
                    up_to if up_to <= filling.trimmed => continue,
                    up_to => held(log, Part::Between(filling.trimmed, up_to))?,
                };
                *filling = Filling { held: filling.held.without(gone), trimmed: *up_to };
            }
            LogEdit::Append(Append { log, content, room, .. }) => {
                let Some(filling) = logs.get_mut(&**log) else { continue };
                filling.held = filling.held.with(Held::one(content.bytes.len()));
                if !filling.held.is_within(*room) {
                    return Ok(false);
                }
            }
        }
    }
    Ok(true)
}

/// What is in a database.
pub(crate) fn content(version: u8, bytes: &[u8]) -> Content {
    Content { version, bytes: Arc::from(bytes) }
}
