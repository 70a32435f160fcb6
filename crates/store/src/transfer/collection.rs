//! Documents and logs as text, of accounts and of other owners.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use balcony_router::{Content, Document, Entry};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};

use super::line::{bare, not_json};
use crate::collection::OwnerKind;
use crate::{Collections, Owned, Owner, StoreError, known};

/// An owner that is not an account, as it stands in the text.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OwnedLine {
    /// `service` or `domain`.
    owner: String,
    address: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    documents: Vec<DocumentText>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    logs: Vec<LogText>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DocumentText {
    collection: Box<str>,
    key: Box<str>,
    version: u8,
    /// In Base64.
    content: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LogText {
    log: Box<str>,
    entries: Vec<EntryText>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EntryText {
    number: u64,
    /// Milliseconds since 1970.
    at: u64,
    tag: String,
    version: u8,
    /// In Base64.
    content: String,
}

impl From<&Owned> for OwnedLine {
    fn from(owned: &Owned) -> Self {
        let (documents, logs) = write(&owned.collections);
        let (owner, address) = (owned.owner.kind().name().into(), owned.owner.address().to_string());
        OwnedLine { owner, address, documents, logs }
    }
}

impl OwnedLine {
    /// Whether a line is about such an owner; others are about accounts.
    pub(super) fn is_one(line: &[u8]) -> bool {
        line.starts_with(br#"{"owner":"#)
    }

    /// The owner in `line`, or what is wrong with it.
    pub(super) fn read(line: &[u8]) -> Result<Owned, String> {
        let line: OwnedLine = serde_json::from_slice(line).map_err(|error| not_json(&error))?;
        let kind = OwnerKind::named(&line.owner).filter(|kind| *kind != OwnerKind::Account);
        let kind = kind.ok_or_else(|| alloc::format!("{:?} is no kind of owner", line.owner))?;
        let owner = Owner::of(kind, bare(&line.address)?);
        Ok(Owned { owner, collections: read(line.documents, line.logs)? })
    }
}

pub(super) fn write(collections: &Collections) -> (Vec<DocumentText>, Vec<LogText>) {
    let document = |document: &Document| DocumentText {
        collection: (&*document.collection).into(),
        key: (&*document.key).into(),
        version: document.content.version,
        content: BASE64.encode(&document.content.bytes),
    };
    let entry = |entry: &Entry| EntryText {
        number: entry.number,
        at: entry.at,
        tag: entry.tag.to_string(),
        version: entry.content.version,
        content: BASE64.encode(&entry.content.bytes),
    };
    let log = |(log, entries): &(Box<str>, Vec<Entry>)| LogText {
        log: log.clone(),
        entries: entries.iter().map(entry).collect(),
    };
    (collections.documents.iter().map(document).collect(), collections.logs.iter().map(log).collect())
}

pub(super) fn read(documents: Vec<DocumentText>, logs: Vec<LogText>) -> Result<Collections, String> {
    let document = |text: DocumentText| {
        let content = content(text.version, &text.content)?;
        let (collection, key) = (Cow::Owned(text.collection.into()), text.key.into());
        Ok::<_, String>(Document { collection, key, content })
    };
    let entry = |text: EntryText| {
        let content = content(text.version, &text.content)?;
        // A number that leaves none behind it is not one of ours.
        if text.number == 0 || text.number > i64::MAX.cast_unsigned() / 2 {
            return Err(alloc::format!("an entry cannot have the number {}", text.number));
        }
        Ok(Entry { number: text.number, at: text.at, tag: text.tag.into(), content })
    };
    let log = |text: LogText| {
        let entries = text.entries.into_iter().map(entry).collect::<Result<_, _>>()?;
        Ok::<_, String>((text.log, entries))
    };
    let collections = Collections {
        documents: documents.into_iter().map(document).collect::<Result<_, _>>()?,
        logs: logs.into_iter().map(log).collect::<Result<_, _>>()?,
    };
    if !collections.is_storable() {
        return Err("a name of a collection or a key is too long, or empty".into());
    }
    let documents = collections.documents.iter().map(|document| (&document.collection, &document.key));
    let entries = |entries: &[Entry]| is_without_double(entries.iter().map(|entry| entry.number));
    let is_clear = is_without_double(documents)
        && is_without_double(collections.logs.iter().map(|(log, _)| log))
        && collections.logs.iter().all(|(_, log)| entries(log));
    if !is_clear {
        return Err("a document, a log or an entry is there twice".into());
    }
    known::check(&collections).map_err(|error| match error {
        StoreError::Corrupt(reason) => reason,
        error => error.to_string(),
    })?;
    Ok(collections)
}

fn is_without_double<T: Ord>(mut all: impl Iterator<Item = T>) -> bool {
    let mut seen = BTreeSet::new();
    all.all(|one| seen.insert(one))
}

fn content(version: u8, text: &str) -> Result<Content, String> {
    let bytes = BASE64.decode(text).map_err(|error| error.to_string())?;
    Ok(Content { version, bytes: bytes.into() })
}
