//! An owned address, bare or full. Clones, and bare addresses of full ones, share the text.
//!
//! Where a text is cut into parts is decided in `parts.rs`, and what each part may be in `part.rs`.

use alloc::sync::Arc;
use core::cmp::Ordering;
use core::fmt;
use core::hash::{Hash, Hasher};
use core::str::FromStr;

use crate::parts::{self, Parsed, Parts, offset};
use crate::{BareJid, FullJid, JidError, JidRef, Reason};

/// An address, bare or full, in normal form.
///
/// Cloning, and taking the bare address with [`to_bare`](Jid::to_bare), cost one atomic increment: the text is shared.
/// The order is that of [`JidRef`]: all resources of a bare address stand side by side.
#[derive(Clone)]
pub struct Jid {
    /// Begins with this address. A bare address that was taken from a full one shares the text of the full one.
    text: Arc<str>,
    /// Octets of the localpart; 0 if there is none.
    local: u16,
    /// Octets of the bare address.
    bare: u16,
    /// Octets of the whole address: more than `bare` if there is a resourcepart.
    end: u16,
}

impl Jid {
    /// Reads an address and brings it into normal form.
    ///
    /// # Errors
    ///
    /// [`JidError`] says which part breaks which rule. In a stanza that is the condition `jid-malformed`, in a stream
    /// header `improper-addressing` (RFC 7622 §4).
    pub fn parse(text: &str) -> Result<Self, JidError> {
        Ok(match parts::parse(text)? {
            Parsed::Normal(jid) => jid.to_owned(),
            Parsed::Changed(parts) => parts.join(),
        })
    }

    /// Reads an address that must be in normal form already.
    ///
    /// # Errors
    ///
    /// Those of [`Jid::parse`], and [`Reason::NotNormal`](crate::Reason) if the text is not what parsing it would give.
    pub fn parse_strict(text: &str) -> Result<Self, JidError> {
        match parts::parse(text)? {
            Parsed::Normal(jid) => Ok(jid.to_owned()),
            Parsed::Changed(parts) => Err(JidError::new(parts.changed(), Reason::NotNormal)),
        }
    }

    /// Puts an address together, and brings each part into normal form.
    ///
    /// # Errors
    ///
    /// [`JidError`] for the first part that breaks a rule; `Some("")` is one that does.
    pub fn from_parts(local: Option<&str>, domain: &str, resource: Option<&str>) -> Result<Self, JidError> {
        Ok(Parts::enforce(local, domain, resource)?.join())
    }

    /// The caller has made sure that `text` is in normal form, and of the offsets, which are those of the fields.
    pub(crate) fn from_offsets(text: Arc<str>, local: u16, bare: u16) -> Self {
        let end = offset(text.len());
        Jid { text, local, bare, end }
    }

    /// This address, borrowed.
    pub fn as_ref(&self) -> JidRef<'_> {
        JidRef::from_offsets(
            self.text.get(..usize::from(self.end)).unwrap_or_default(),
            self.local,
            self.bare,
        )
    }

    /// The whole address: `juliet@example.com/balcony`.
    pub fn as_str(&self) -> &str {
        self.as_ref().as_str()
    }

    /// The address without its resourcepart: `juliet@example.com`.
    pub fn bare_str(&self) -> &str {
        self.as_ref().bare_str()
    }

    /// What stands before the `@`, if there is one: `juliet`.
    pub fn localpart(&self) -> Option<&str> {
        self.as_ref().localpart()
    }

    /// The domain: `example.com`.
    pub fn domainpart(&self) -> &str {
        self.as_ref().domainpart()
    }

    /// What stands after the first `/`, if there is one: `balcony`.
    pub fn resourcepart(&self) -> Option<&str> {
        self.as_ref().resourcepart()
    }

    /// Whether there is no resourcepart.
    pub fn is_bare(&self) -> bool {
        self.bare == self.end
    }

    /// Whether there is a resourcepart.
    pub fn is_full(&self) -> bool {
        !self.is_bare()
    }

    /// Whether both are the same address but for the resourcepart.
    pub fn same_bare(&self, other: &Jid) -> bool {
        self.bare_str() == other.bare_str()
    }

    /// The address without its resourcepart. Nothing is copied.
    pub fn to_bare(&self) -> BareJid {
        self.clone().into_bare()
    }

    /// The address without its resourcepart. Nothing is copied.
    pub fn into_bare(self) -> BareJid {
        BareJid::from_bare(Jid { end: self.bare, ..self })
    }

    /// This address as a full one, if it has a resourcepart.
    pub fn to_full(&self) -> Option<FullJid> {
        self.clone().try_into_full().ok()
    }

    /// This address as a full one.
    ///
    /// # Errors
    ///
    /// The address itself, if it has no resourcepart.
    pub fn try_into_full(self) -> Result<FullJid, Jid> {
        if self.is_full() { Ok(FullJid::from_full(self)) } else { Err(self) }
    }
}

impl PartialEq for Jid {
    fn eq(&self, other: &Self) -> bool {
        self.as_ref() == other.as_ref()
    }
}

impl Eq for Jid {}

impl Hash for Jid {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_ref().hash(state);
    }
}

impl PartialOrd for Jid {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Jid {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_ref().cmp(&other.as_ref())
    }
}

impl FromStr for Jid {
    type Err = JidError;

    fn from_str(text: &str) -> Result<Self, JidError> {
        Jid::parse(text)
    }
}

impl fmt::Display for Jid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Jid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Jid({:?})", self.as_str())
    }
}

impl From<JidRef<'_>> for Jid {
    fn from(jid: JidRef<'_>) -> Self {
        jid.to_owned()
    }
}
