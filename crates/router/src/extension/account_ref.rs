//! An account as an extension may see it: its clients, and what this extension knows of them and of it, but nothing that is
//! another's.

use core::fmt;

use balcony_jid::{BareJid, FullJid, Jid};

use super::Extension;
use super::tables::Typed;
use crate::SessionId;
use crate::account::{Account, Resource};

/// An account that is loaded, for the extension `X` to look at.
pub struct AccountRef<'a, X: Extension> {
    pub(super) owner: &'a BareJid,
    pub(super) account: &'a Account,
    pub(super) typed: &'a Typed<X>,
}

/// One of an account's connected clients, for the extension `X` to look at.
#[derive(Debug)]
pub struct Client<'a, X: Extension> {
    /// Its session.
    pub session: SessionId,
    /// The full JID that it has bound.
    pub jid: &'a FullJid,
    /// Whether it has sent presence, of whatever priority.
    pub is_available: bool,
    /// Whether it has a connection; otherwise its session waits for it (XEP-0198).
    pub is_connected: bool,
    /// What the extension knows of it.
    pub state: &'a X::Client,
}

impl<'a, X: Extension> AccountRef<'a, X> {
    /// Whose account it is.
    #[must_use]
    pub const fn owner(&self) -> &'a BareJid {
        self.owner
    }

    /// What the extension knows of it.
    #[must_use]
    pub fn state(&self) -> &'a X::Account {
        let known = self.account.known();
        known.and_then(|known| known.slots.get(self.typed.index)).unwrap_or(&self.typed.no_account)
    }

    /// Its clients, in the order in which they have bound.
    pub fn clients(&self) -> impl Iterator<Item = Client<'a, X>> + use<'a, X> {
        let typed = self.typed;
        self.account.resources().iter().map(move |resource: &'a Resource| Client {
            session: resource.session,
            jid: &resource.jid,
            is_available: resource.presence().is_some(),
            is_connected: resource.is_connected,
            state: resource.slots().get(typed.index).unwrap_or(&typed.no_client),
        })
    }

    /// Whether the entity is in the roster of the account's user, or is the user.
    #[must_use]
    pub fn is_contact(&self, entity: &Jid) -> bool {
        entity.bare_str() == self.owner.as_str()
            || self.account.known().is_some_and(|known| known.roster.item(&entity.to_bare()).is_some())
    }
}

impl<X: Extension> Clone for AccountRef<'_, X> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<X: Extension> Copy for AccountRef<'_, X> {}

impl<X: Extension> fmt::Debug for AccountRef<'_, X> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccountRef")
            .field("owner", &self.owner)
            .field("state", self.state())
            .finish_non_exhaustive()
    }
}
