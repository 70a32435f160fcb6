//! A contact as the roster shows it, and what a client may say about one (RFC 6121 sections 2.1.2 and 2.3).
//!
//! What can be checked without knowing the rest of the roster is checked here.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use balcony_jid::{BareJid, resourcepart};

use crate::{Error, RosterConfig, Subscription};

/// A contact in the roster, with all that the roster shows of it (RFC 6121 section 2.1.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Whose address it is.
    pub jid: BareJid,
    /// What the user calls the contact; never empty.
    pub name: Option<Box<str>>,
    /// In which groups the user has put the contact, in the user's order; none is empty or there twice.
    pub groups: Vec<Box<str>>,
    /// Who sees whose presence.
    pub subscription: Subscription,
    /// Whether the user has asked for a subscription and waits: `ask='subscribe'`.
    pub ask: bool,
    /// Whether the user has approved a request that is still to come (section 3.4).
    pub approved: bool,
}

impl Item {
    /// A contact about whom nothing is known.
    #[must_use]
    pub const fn new(jid: BareJid) -> Self {
        Item {
            jid,
            name: None,
            groups: Vec::new(),
            subscription: Subscription::None,
            ask: false,
            approved: false,
        }
    }

    /// What counts for [`RosterConfig::bytes`].
    pub(crate) fn size(&self) -> usize {
        size(&self.jid, self.name.as_deref(), &self.groups)
    }
}

fn size(jid: &BareJid, name: Option<&str>, groups: &[Box<str>]) -> usize {
    let groups: usize = groups.iter().map(|group| group.len()).sum();
    jid.as_str().len() + name.map_or(0, str::len) + groups
}

/// What a client may say about a contact in a roster set (RFC 6121 section 2.3). It replaces all that it has said before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    /// Whose address it is.
    pub jid: BareJid,
    /// What the user calls the contact. Empty is the same as none (section 2.4.1).
    pub name: Option<Box<str>>,
    /// In which groups the contact is to be.
    pub groups: Vec<Box<str>>,
}

impl Set {
    pub(crate) fn size(&self) -> usize {
        size(&self.jid, self.name.as_deref(), &self.groups)
    }

    /// Section 2.3.3. What the roster itself has to say comes later.
    pub(crate) fn check(&self, config: &RosterConfig) -> Result<(), Error> {
        if self.name.as_ref().is_some_and(|name| name.len() > config.name) {
            return Err(Error::NameTooLong);
        }
        if self.groups.len() > config.groups {
            return Err(Error::TooManyGroups);
        }
        let mut seen = BTreeSet::new();
        for group in &self.groups {
            if group.is_empty() {
                return Err(Error::EmptyGroup);
            }
            if group.len() > config.group {
                return Err(Error::GroupTooLong);
            }
            // What is no resourcepart can still be a group; it is then compared as it is.
            if !seen.insert(resourcepart(group).unwrap_or(group.as_ref().into())) {
                return Err(Error::DuplicateGroup);
            }
        }
        Ok(())
    }
}
