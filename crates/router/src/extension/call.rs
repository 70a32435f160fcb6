//! What the router hands to a function of an extension, before the extension's own types are put around it (`context.rs`).

use alloc::vec::Vec;

use balcony_jid::BareJid;
use balcony_machine::{Instant, Random};

use crate::account::Account;
use crate::shared::Shared;
use crate::{Effect, SessionId};

/// What a function of an extension may touch: one account, and what all accounts share.
pub(crate) struct Call<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) owner: &'a BareJid,
    pub(crate) account: &'a mut Account,
    /// The client of this account that asks, if one does.
    pub(crate) session: Option<SessionId>,
    pub(crate) now: Instant,
    pub(crate) random: &'a mut Random,
    /// What is to be done when it has returned.
    pub(crate) orders: &'a mut Vec<super::Order>,
    /// What is said to the account's own clients.
    pub(crate) effects: &'a mut Vec<Effect>,
}
