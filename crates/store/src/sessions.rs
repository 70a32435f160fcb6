//! Sessions that wait for their clients while their server is down (XEP-0198): documents of their domain, of which nobody here knows what
//! is in them.

use alloc::vec::Vec;

use balcony_jid::BareJid;
use balcony_router::DocumentEdit;
use balcony_router::collections::SESSIONS;
use balcony_server::SavedSession;

use crate::{Edit, Owner, Request, Store, StoreError};

/// As many are read at once as fit into so many bytes, or one.
const PART: usize = 4 << 20;

/// What keeps these sessions of a domain.
pub(crate) fn keep(domain: BareJid, sessions: Vec<SavedSession>) -> Request {
    let edit = |SavedSession { key, content }| {
        Edit::Document(DocumentEdit { collection: SESSIONS.into(), key, content: Some(content) })
    };
    let edits = sessions.into_iter().map(edit).collect();
    Request::Edit { owner: Owner::Domain(domain), creation: None, edits }
}

impl Store {
    /// Takes the sessions of these domains out of the store that were [kept](balcony_server::Ask::Sessions) when their server shut down:
    /// when this returns they are durably in it no more, so that no session goes on twice, whatever happens next. If it fails some may be
    /// gone; their messages are not, as these are their accounts'.
    ///
    /// # Errors
    ///
    /// As [`get`](Store::get).
    pub fn take_sessions(&self, domains: &[BareJid]) -> Result<Vec<SavedSession>, StoreError> {
        let mut sessions = Vec::new();
        for domain in domains {
            let owner = Owner::Domain(domain.clone());
            loop {
                let part = self.documents(&owner, SESSIONS, None, PART)?;
                if part.documents.is_empty() {
                    break;
                }
                let forget = part.documents.iter().map(|document| {
                    let (collection, key) = (SESSIONS.into(), document.key.clone());
                    Edit::Document(DocumentEdit { collection, key, content: None })
                });
                if !self.edit(&owner, None, forget.collect())? {
                    break;
                }
                let saved = part.documents.into_iter();
                sessions.extend(
                    saved.map(|document| SavedSession { key: document.key, content: document.content }),
                );
                if !part.more {
                    break;
                }
            }
        }
        Ok(sessions)
    }
}
