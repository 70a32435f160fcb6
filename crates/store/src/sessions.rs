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
    /// when this returns they are durably in it no more, so that no session goes on twice, whatever happens next. All of them are read
    /// before any is taken out, and those of a domain are taken out together or not at all.
    ///
    /// A server that begins although this has failed leaves sessions behind that go on at a start after that, when their clients have
    /// long had others. So it should not begin.
    ///
    /// # Errors
    ///
    /// As [`get`](Store::get). Those of some domains may be gone then; their messages are not, as these are their accounts'.
    pub fn take_sessions(&self, domains: &[BareJid]) -> Result<Vec<SavedSession>, StoreError> {
        let mut found = Vec::new();
        for domain in domains {
            let owner = Owner::Domain(domain.clone());
            let sessions = self.sessions_of(&owner)?;
            found.push((owner, sessions));
        }
        let mut taken = Vec::new();
        for (owner, sessions) in found.into_iter().filter(|(_, sessions)| !sessions.is_empty()) {
            let forget = sessions.iter().map(|session| {
                let (collection, key) = (SESSIONS.into(), session.key.clone());
                Edit::Document(DocumentEdit { collection, key, content: None })
            });
            if self.edit(&owner, None, forget.collect())? {
                taken.extend(sessions);
            }
        }
        Ok(taken)
    }

    fn sessions_of(&self, owner: &Owner) -> Result<Vec<SavedSession>, StoreError> {
        let mut sessions: Vec<SavedSession> = Vec::new();
        loop {
            let after = sessions.last().map(|session| &*session.key);
            let part = self.documents(owner, SESSIONS, after, PART)?;
            let saved = part.documents.into_iter();
            sessions
                .extend(saved.map(|document| SavedSession { key: document.key, content: document.content }));
            if !part.more {
                return Ok(sessions);
            }
        }
    }
}
