//! An address that lies in somebody else's text. There is one only of texts that are in normal form already: the normal form of
//! any other is a new text.

use core::cmp::Ordering;
use core::fmt;
use core::hash::{Hash, Hasher};

use crate::parts::{self, Parsed};
use crate::{Jid, JidError};

/// A borrowed address in normal form: a slice of somebody else's text, and where its parts are. It is `Copy`, and nothing
/// is allocated for it.
#[derive(Clone, Copy)]
pub struct JidRef<'a> {
    /// The whole address, and nothing behind it.
    text: &'a str,
    /// Octets of the localpart; 0 if there is none.
    local: u16,
    /// Octets of the bare address, which is where the `/` stands if there is a resourcepart.
    bare: u16,
}

impl<'a> JidRef<'a> {
    /// Reads an address that is already in normal form, without allocating.
    ///
    /// `Ok(None)` means that `text` is valid, but that its normal form is another text: use [`Jid::parse`].
    ///
    /// # Errors
    ///
    /// Those of [`Jid::parse`], for the same texts.
    pub fn parse(text: &'a str) -> Result<Option<Self>, JidError> {
        Ok(match parts::parse(text)? {
            Parsed::Normal(jid) => Some(jid),
            Parsed::Changed(_) => None,
        })
    }

    pub(crate) fn from_offsets(text: &'a str, local: u16, bare: u16) -> Self {
        JidRef { text, local, bare }
    }

    /// The whole address: `juliet@example.com/balcony`.
    pub fn as_str(self) -> &'a str {
        self.text
    }

    /// The address without its resourcepart: `juliet@example.com`.
    pub fn bare_str(self) -> &'a str {
        self.text.get(..usize::from(self.bare)).unwrap_or_default()
    }

    /// What stands before the `@`, if there is one: `juliet`.
    pub fn localpart(self) -> Option<&'a str> {
        self.text.get(..usize::from(self.local)).filter(|local| !local.is_empty())
    }

    /// The domain: `example.com`.
    pub fn domainpart(self) -> &'a str {
        let start = if self.local > 0 { usize::from(self.local) + 1 } else { 0 };
        self.text.get(start..usize::from(self.bare)).unwrap_or_default()
    }

    /// What stands after the first `/`, if there is one: `balcony`.
    pub fn resourcepart(self) -> Option<&'a str> {
        self.text.get(usize::from(self.bare) + 1..)
    }

    /// Whether there is no resourcepart.
    pub fn is_bare(self) -> bool {
        self.text.len() == usize::from(self.bare)
    }

    /// Whether there is a resourcepart.
    pub fn is_full(self) -> bool {
        !self.is_bare()
    }

    /// The owned address: one allocation.
    pub fn to_owned(self) -> Jid {
        Jid::from_offsets(self.text.into(), self.local, self.bare)
    }
}

impl PartialEq for JidRef<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for JidRef<'_> {}

impl Hash for JidRef<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl PartialOrd for JidRef<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// By the bare address, then by the resourcepart, so that all resources of a bare address stand behind it, side by side.
/// The order of the whole texts would not do that: `a@b-c` sorts between `a@b` and `a@b/r`.
impl Ord for JidRef<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let bare = |jid: &Self| jid.text.as_bytes().get(..usize::from(jid.bare)).unwrap_or_default();
        // Of the same bare address the whole texts are in order.
        bare(self).cmp(bare(other)).then_with(|| self.text.cmp(other.text))
    }
}

impl fmt::Display for JidRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.text)
    }
}

impl fmt::Debug for JidRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JidRef({:?})", self.text)
    }
}
