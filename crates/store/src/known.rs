//! The collections that this program has had before there were collections: how what was kept then becomes documents and
//! entries, and what of them can be seen to be damaged.

use alloc::borrow::Cow;
use alloc::sync::Arc;

use balcony_jid::Jid;
use balcony_router::extension::blocking::BLOCKED;
use balcony_router::extension::offline::OFFLINE;
use balcony_router::{Content, Document, Entry};

use crate::record::{decode_stanza, jid};
use crate::{Collections, StoreError};

/// The form in which they are since then: a blocked address is a key, without content, and a message is XML.
pub(crate) const VERSION: u8 = 1;

/// The document of a blocked address.
pub(crate) fn blocked(address: &str) -> Document {
    let content = Content { version: VERSION, bytes: Arc::from([]) };
    Document { collection: Cow::Borrowed(BLOCKED), key: address.into(), content }
}

/// The entry of a message. What cannot be read is kept as it is.
pub(crate) fn message(number: u64, at: u64, xml: &[u8]) -> Entry {
    Entry { number, at, tag: sender(xml), content: Content { version: VERSION, bytes: xml.into() } }
}

/// The bare address that a message is from.
pub(crate) fn sender(xml: &[u8]) -> Arc<str> {
    let message = decode_stanza(xml).ok();
    let from = message.as_ref().and_then(|message| message.head.from.as_ref());
    from.map_or("", Jid::bare_str).into()
}

/// Sees whether a document can be read, if its meaning is known.
pub(crate) fn check_document(collection: &str, key: &str, version: u8) -> Result<(), StoreError> {
    match collection {
        BLOCKED if version == VERSION => jid(key).map(drop),
        _ => Ok(()),
    }
}

/// Sees whether an entry can be read, if its meaning is known.
pub(crate) fn check_entry(log: &str, version: u8, bytes: &[u8]) -> Result<(), StoreError> {
    match log {
        OFFLINE if version == VERSION => decode_stanza(bytes).map(drop),
        _ => Ok(()),
    }
}

/// Sees whether everything that is known can be read.
pub(crate) fn check(collections: &Collections) -> Result<(), StoreError> {
    for Document { collection, key, content } in &collections.documents {
        check_document(collection, key, content.version)?;
    }
    for (log, entries) in &collections.logs {
        for Entry { content, .. } in entries {
            check_entry(log, content.version, &content.bytes)?;
        }
    }
    Ok(())
}
