//! Versions of a roster, and the changes between them, as clients are told (RFC 6121 sections 2.1.6 and 2.6).

use alloc::vec::Vec;
use core::fmt;

use balcony_jid::BareJid;
use balcony_xml::Element;

use crate::Item;

/// Names one state of a roster; opaque to clients (RFC 6121 section 2.6). Each push has the one after that of the push before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Version(pub u64);

impl Version {
    pub(crate) const fn next(self) -> Version {
        Version(self.0.wrapping_add(1))
    }

    /// How many pushes lie between; more than there ever were, if `earlier` belongs to another roster.
    pub(crate) const fn since(self, earlier: Version) -> u64 {
        self.0.wrapping_sub(earlier.0)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One change of a roster (RFC 6121 section 2.1.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Push {
    /// The roster's version after the change.
    pub version: Version,
    /// What has changed.
    pub change: Change,
}

/// What a push tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The item is new, or is now like this.
    Item(Item),
    /// The item is gone: `subscription='remove'`.
    Removed(BareJid),
}

/// The answer to a roster get (RFC 6121 sections 2.1.4 and 2.6.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A result with this child: the whole roster.
    Whole(Element),
    /// An empty result, and then these pushes to the resource that has asked: what it has not seen yet.
    Since(Vec<Push>),
}
