//! What the next stanzas need is read before their turn, all of it together.
//!
//! With many sessions nearly nothing that a message has to do with lies in the processor's cache. The sender's session says where the
//! recipient's account is, and that which session gets it: each of them has to be there before the next one is known, and to wait for
//! them one after the other takes several times as long as all that is done with them. But what one stanza needs does not depend on
//! what another one does, and a processor reads from many places at once as long as that is so.

use core::hint::black_box;

use balcony_stanza::{Kind, Stanza};
use smallvec::SmallVec;

use crate::SessionId;
use crate::account::{Account, Resource, mark};
use crate::router::Router;

/// So many stanzas are read ahead at once. What is read for more would not stay in the cache until their turn.
const TOGETHER: usize = 32;
/// What fewer sessions than so many have to do with is in the cache, or soon is.
const MANY: usize = 2_048;

impl Router {
    /// Reads what these stanzas have to do with, which are about to be [routed](Router::route), so that it is in the processor's cache
    /// when their turn comes. It changes nothing but how long that takes: with a million sessions a fraction, if there are several stanzas.
    /// Of more than 32 only so many are looked at, and with few sessions none.
    ///
    /// Nothing is looked at of accounts whose presence the senders do not see.
    pub fn look_ahead<'a>(&self, coming: impl IntoIterator<Item = (SessionId, &'a Stanza)>) {
        if !self.has_many() {
            return;
        }
        let mut senders = SmallVec::<[_; TOGETHER]>::new();
        for (from, stanza) in coming.into_iter().take(TOGETHER) {
            if let (Kind::Message(_), Some(to)) = (stanza.head.kind, &stanza.head.to) {
                senders.push((from, to.resourcepart()));
            }
        }
        // Each step reads what all need next.
        let mut indices = SmallVec::<[_; TOGETHER]>::new();
        let mut strangers = SmallVec::<[_; TOGETHER]>::new();
        for (from, name) in senders {
            let Some(session) = self.sessions.get(&from) else { continue };
            match session.recent.as_ref().and_then(|recent| recent.index) {
                Some(index) => indices.push((index, name)),
                None => strangers.push(&session.recent_to),
            }
        }
        for name in strangers {
            black_box(name.as_ref().and_then(|name| name.as_bytes().first()));
        }
        let accounts = indices.into_iter().filter_map(|(index, name)| Some((self.accounts.at(index)?, name)));
        self.look_at_recipients(accounts.collect());
    }

    /// Whether there are so many sessions that it is worth while to look ahead.
    pub(crate) fn has_many(&self) -> bool {
        self.sessions.len() >= MANY
    }

    /// Reads what a message to each of these accounts has to do with, or to its resource of that name.
    pub(crate) fn look_at_recipients(&self, accounts: Recipients<'_>) {
        for (account, _) in &accounts {
            black_box((account.is_quiet(), account.most_available().len()));
        }
        let mut resources: SmallVec<[Option<&Resource>; TOGETHER]> = SmallVec::new();
        for (account, name) in &accounts {
            resources.push(name.and_then(|name| account.by_mark(mark(name)).next()));
        }
        let sessions =
            accounts.iter().zip(&resources).filter_map(|((account, _), resource)| match resource {
                Some(resource) => Some(resource.session),
                None => account.most_available().first().copied(),
            });
        let sessions: SmallVec<[_; TOGETHER]> = sessions.collect();
        for session in sessions.into_iter().filter_map(|session| self.sessions.get(&session)) {
            session.outbox.look();
        }
    }
}

/// Accounts, and to which of their resources something goes.
pub(crate) type Recipients<'a> = SmallVec<[(&'a Account, Option<&'a str>); TOGETHER]>;
