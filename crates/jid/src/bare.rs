//! The address of an account, a room or a server. That it has no resourcepart is checked once, where it is made.

use core::borrow::Borrow;
use core::fmt;
use core::str::FromStr;

use crate::parts::offset;
use crate::{FullJid, Jid, JidError, JidRef, Part, Reason, resourcepart};

/// An address without a resourcepart: an account, a room, a server.
///
/// Equality, hash and order are those of its text, so a map keyed by `BareJid` is looked up with a `&str` in normal form,
/// such as [`FullJid::bare_str`], and nothing is allocated.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BareJid(Jid);

impl BareJid {
    /// Reads an address and brings it into normal form.
    ///
    /// # Errors
    ///
    /// Those of [`Jid::parse`], and [`Reason::NotBare`](crate::Reason) if there is a resourcepart.
    pub fn parse(text: &str) -> Result<Self, JidError> {
        let jid = Jid::parse(text)?;
        if jid.is_bare() { Ok(BareJid(jid)) } else { Err(JidError::new(Part::Resourcepart, Reason::NotBare)) }
    }

    /// Puts an address together, and brings each part into normal form.
    ///
    /// # Errors
    ///
    /// [`JidError`] for the first part that breaks a rule; `Some("")` is one that does.
    pub fn from_parts(local: Option<&str>, domain: &str) -> Result<Self, JidError> {
        Jid::from_parts(local, domain, None).map(BareJid)
    }

    /// The caller has made sure that there is no resourcepart.
    pub(crate) fn from_bare(jid: Jid) -> Self {
        BareJid(jid)
    }

    /// This address with a resourcepart, which is brought into normal form.
    ///
    /// # Errors
    ///
    /// [`JidError`] if the resourcepart breaks a rule.
    pub fn with_resource(&self, resource: &str) -> Result<FullJid, JidError> {
        let resource = resourcepart(resource)?;
        let (local, bare) = (offset(self.localpart().map_or(0, str::len)), offset(self.as_str().len()));
        Ok(FullJid::from_full(Jid::from_offsets(
            [self.as_str(), "/", &resource].concat().into(),
            local,
            bare,
        )))
    }

    /// This address, borrowed.
    pub fn as_ref(&self) -> JidRef<'_> {
        self.0.as_ref()
    }

    /// The whole address: `juliet@example.com`.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// What stands before the `@`, if there is one: `juliet`.
    pub fn localpart(&self) -> Option<&str> {
        self.0.localpart()
    }

    /// The domain: `example.com`.
    pub fn domainpart(&self) -> &str {
        self.0.domainpart()
    }

    /// The same address, as the type that may have a resourcepart. Nothing is copied.
    pub fn to_jid(&self) -> Jid {
        self.0.clone()
    }
}

impl Borrow<str> for BareJid {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl From<BareJid> for Jid {
    fn from(bare: BareJid) -> Self {
        bare.0
    }
}

impl FromStr for BareJid {
    type Err = JidError;

    fn from_str(text: &str) -> Result<Self, JidError> {
        BareJid::parse(text)
    }
}

impl fmt::Display for BareJid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for BareJid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BareJid({:?})", self.as_str())
    }
}
