//! Private XML storage (XEP-0049): what a user's clients keep on the server for themselves, such as notes and bookmarks.
//!
//! A document is read when it is asked for. Only the sizes are loaded with an account, so that all that a user keeps has a bound.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use balcony_stanza::{ErrorCondition, IqType, Payload, StanzaError};
use balcony_xep::private::{Document, Key, NS, Request as Wanted};

use super::{
    Access, Addressee, Context, Damaged, Documents, Edit, Extension, Hold, Registry, Reply, Request,
};
use crate::DocumentEdit;

const DOCUMENTS: &str = "private";
/// How long each of them is: 4 bytes, big-endian.
const SIZES: &str = "private-sizes";
const VERSION: u8 = 1;

/// See the [module](self).
#[derive(Clone, Copy, Debug)]
pub struct Private {
    /// How many documents an account may have.
    pub documents: usize,
    /// How long they may be together, in bytes of XML.
    pub bytes: usize,
}

impl Default for Private {
    fn default() -> Self {
        Private { documents: 128, bytes: 512 * 1024 }
    }
}

impl Extension for Private {
    const NAME: &'static str = "private";
    /// The sizes of the documents, by their keys.
    type Account = BTreeMap<Box<str>, u32>;
    type Client = ();

    fn load(&self, documents: &Documents<'_>) -> Result<Self::Account, Damaged> {
        let size = |bytes: &[u8]| bytes.try_into().map(u32::from_be_bytes).map_err(|_| Damaged);
        documents.of(SIZES).map(|(key, content)| Ok((Box::from(key), size(&content.bytes)?))).collect()
    }

    fn register(&self, registry: &mut Registry<'_, Self>) {
        registry.feature(Addressee::Server, NS);
        registry.documents(DOCUMENTS, VERSION, false);
        registry.documents(SIZES, VERSION, true);
        registry.get(Access::Owner, "query", NS, get);
        registry.set("query", NS, set);
    }
}

/// By what a document is found: a namespace has no spaces.
fn name(key: &Key) -> String {
    format!("{} {}", key.namespace(), key.name())
}

fn get(private: &Private, context: &mut Context<'_, '_, Private>, request: &Request<'_>) -> Reply {
    match Wanted::read(IqType::Get, request.element, private.bytes) {
        // None can have been kept.
        Ok(Wanted::Get(key)) if name(&key).len() > DocumentEdit::LONGEST_KEY => key.to_payload().into(),
        Ok(Wanted::Get(key)) => context.read(DOCUMENTS, &name(&key), move |_, _, content| {
            let Some(content) = content else { return key.to_payload().into() };
            Payload::from_bytes(&content.bytes)
                .map_or(ErrorCondition::InternalServerError.into(), Reply::Result)
        }),
        Ok(Wanted::Set(_)) => ErrorCondition::BadRequest.into(),
        Err(error) => error.into(),
    }
}

fn set(private: &Private, context: &mut Context<'_, '_, Private>, request: &Request<'_>) -> Reply {
    let documents = match Wanted::read(IqType::Set, request.element, private.bytes) {
        Ok(Wanted::Set(documents)) => documents,
        Ok(Wanted::Get(_)) => return ErrorCondition::BadRequest.into(),
        Err(error) => return error.into(),
    };
    if documents.iter().any(|document| name(document.key()).len() > DocumentEdit::LONGEST_KEY) {
        return StanzaError::new(ErrorCondition::NotAcceptable, "this name is too long").into();
    }
    let size = |document: &Document| u32::try_from(document.payload().as_bytes().len()).unwrap_or(u32::MAX);
    let new: BTreeMap<Box<str>, u32> =
        documents.iter().map(|document| (name(document.key()).into(), size(document))).collect();
    let old = context.state();
    let kept = || old.iter().filter(|(key, _)| !new.contains_key(*key)).chain(&new);
    let bytes: u64 = kept().map(|(_, size)| u64::from(*size)).sum();
    if kept().count() > private.documents || bytes > u64::try_from(private.bytes).unwrap_or(u64::MAX) {
        return StanzaError::new(ErrorCondition::ResourceConstraint, "too much is stored for this account")
            .into();
    }
    let contents = documents
        .iter()
        .map(|document| Edit::put(DOCUMENTS, &name(document.key()), VERSION, document.payload().as_bytes()));
    let sizes = new.iter().map(|(key, size)| Edit::put(SIZES, key, VERSION, size.to_be_bytes()));
    let edits: Vec<Edit> = contents.chain(sizes).collect();
    context.save(edits, Hold::Requests, move |_, context| {
        if let Some(sizes) = context.state_mut() {
            sizes.extend(new);
        }
        Reply::DONE
    })
}
