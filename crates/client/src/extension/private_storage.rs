//! Private XML storage (XEP-0049).

use alloc::boxed::Box;

use balcony_stanza::IqType;
use balcony_xep::private::{Document, Key, Request};

use super::{CallId, Callable, Context, Extension};
use crate::sorted::SortedMap;
use crate::{Iq, RequestError, RequestId, Response};

/// Keeps documents of the client's own on its server, and reads them.
#[derive(Clone, Debug, Default)]
pub struct PrivateStorage {
    /// Whether they read.
    open: SortedMap<RequestId, (CallId, bool)>,
}

/// What to do with the storage.
#[derive(Clone, Debug)]
pub enum StorageCall {
    /// Reads a document.
    Get(Key),
    /// Keeps a document, in the place of that which had the same name and namespace.
    Set(Box<Document>),
}

impl PrivateStorage {
    /// Nothing has been asked yet.
    #[must_use]
    pub fn new() -> PrivateStorage {
        PrivateStorage::default()
    }
}

impl Extension for PrivateStorage {
    fn answered(
        &mut self,
        context: &mut Context<'_>,
        request: RequestId,
        outcome: Result<Response, RequestError>,
    ) {
        let Some((call, reads)) = self.open.remove(&request) else { return };
        let outcome = outcome.and_then(|response| match reads {
            true => Document::read(response.stanza().payload.clone())
                .ok_or(RequestError::Unreadable)
                .map(|document| Some(document).filter(|document| !is_empty(document))),
            false => Ok(None),
        });
        context.complete::<PrivateStorage>(call, outcome);
    }
}

/// What is not kept comes back as it was asked for (XEP-0049 section 2).
fn is_empty(document: &Document) -> bool {
    document
        .element()
        .is_none_or(|element| element.root().attrs().len() == 0 && element.root().nodes().next().is_none())
}

impl Callable for PrivateStorage {
    type Command = StorageCall;
    /// The document that was read; `None` if none is kept, and for one that has been kept.
    type Outcome = Result<Option<Document>, RequestError>;

    fn call(&mut self, context: &mut Context<'_>, call: CallId, command: StorageCall) {
        let (request, reads) = match command {
            StorageCall::Get(key) => (Request::Get(key), true),
            StorageCall::Set(document) => (Request::Set([*document].into()), false),
        };
        let payload = request.to_payload();
        let iq = if request.kind() == IqType::Get { Iq::get(payload) } else { Iq::set(payload) };
        match context.request(iq) {
            Ok(request) => self.open.insert(request, (call, reads)),
            Err(error) => context.complete::<PrivateStorage>(call, Err(error)),
        }
    }
}
