//! The address of one connection of an account, or one occupant of a room. That it has a resourcepart is checked once, where it
//! is made.

use core::fmt;
use core::str::FromStr;

use crate::{BareJid, Jid, JidError, JidRef, Part, Reason};

/// An address with a resourcepart: one connection of an account, one occupant of a room.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FullJid(Jid);

impl FullJid {
    /// Reads an address and brings it into normal form.
    ///
    /// # Errors
    ///
    /// Those of [`Jid::parse`], and [`Reason::NotFull`](crate::Reason) if there is no resourcepart.
    pub fn parse(text: &str) -> Result<Self, JidError> {
        Jid::parse(text)?.try_into_full().map_err(|_| JidError::new(Part::Resourcepart, Reason::NotFull))
    }

    /// The caller has made sure that there is a resourcepart.
    pub(crate) fn from_full(jid: Jid) -> Self {
        FullJid(jid)
    }

    /// This address, borrowed.
    pub fn as_ref(&self) -> JidRef<'_> {
        self.0.as_ref()
    }

    /// The whole address: `juliet@example.com/balcony`.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The address without its resourcepart: `juliet@example.com`.
    pub fn bare_str(&self) -> &str {
        self.0.bare_str()
    }

    /// What stands before the `@`, if there is one: `juliet`.
    pub fn localpart(&self) -> Option<&str> {
        self.0.localpart()
    }

    /// The domain: `example.com`.
    pub fn domainpart(&self) -> &str {
        self.0.domainpart()
    }

    /// What stands after the first `/`: `balcony`.
    pub fn resourcepart(&self) -> &str {
        // A full address always has one; an empty text is what a broken promise would show as.
        self.0.resourcepart().unwrap_or_default()
    }

    /// The address without its resourcepart. Nothing is copied.
    pub fn to_bare(&self) -> BareJid {
        self.0.to_bare()
    }

    /// The address without its resourcepart. Nothing is copied.
    pub fn into_bare(self) -> BareJid {
        self.0.into_bare()
    }

    /// The same address, as the type that may lack a resourcepart. Nothing is copied.
    pub fn to_jid(&self) -> Jid {
        self.0.clone()
    }
}

impl From<FullJid> for Jid {
    fn from(full: FullJid) -> Self {
        full.0
    }
}

impl From<FullJid> for BareJid {
    fn from(full: FullJid) -> Self {
        full.into_bare()
    }
}

impl TryFrom<Jid> for FullJid {
    type Error = Jid;

    fn try_from(jid: Jid) -> Result<Self, Jid> {
        jid.try_into_full()
    }
}

impl FromStr for FullJid {
    type Err = JidError;

    fn from_str(text: &str) -> Result<Self, JidError> {
        FullJid::parse(text)
    }
}

impl fmt::Display for FullJid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for FullJid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FullJid({:?})", self.as_str())
    }
}
