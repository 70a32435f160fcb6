//! Why a roster refuses what its user's client asks, and the stanza error that tells it (RFC 6121 sections 2.3.3 and 2.5.3).

use core::fmt;

use balcony_jid::JidError;
use balcony_stanza::{ErrorCondition, ErrorType, StanzaError};

/// Why the roster refuses a request of its user (RFC 6121 sections 2.3.3 and 2.5.3). Nothing has changed.
///
/// The error for the user is `StanzaError::from(error)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The roster is somebody else's: `forbidden`.
    Forbidden,
    /// A set has exactly one item: `bad-request`.
    NotOneItem,
    /// The item has no address: `bad-request`.
    NoJid,
    /// The item's address breaks RFC 7622, or is full: `jid-malformed`.
    Jid(JidError),
    /// The address is the user's own: `not-allowed`.
    OwnJid,
    /// A group is there twice: `bad-request`.
    DuplicateGroup,
    /// A group has no name: `not-acceptable`.
    EmptyGroup,
    /// The name has more than [`RosterConfig::name`](crate::RosterConfig::name) octets: `not-acceptable`.
    NameTooLong,
    /// A group has more than [`RosterConfig::group`](crate::RosterConfig::group) octets: `not-acceptable`.
    GroupTooLong,
    /// There are more than [`RosterConfig::groups`](crate::RosterConfig::groups) groups: `not-acceptable`.
    TooManyGroups,
    /// The item to be removed is not there: `item-not-found`.
    NotFound,
    /// The roster has [`RosterConfig::items`](crate::RosterConfig::items) or [`RosterConfig::bytes`](crate::RosterConfig::bytes) already:
    /// `resource-constraint`.
    Full,
}

impl Error {
    /// The stanza error condition.
    #[must_use]
    pub const fn condition(&self) -> ErrorCondition {
        match self {
            Error::Forbidden => ErrorCondition::Forbidden,
            Error::NotOneItem | Error::NoJid | Error::DuplicateGroup => ErrorCondition::BadRequest,
            Error::Jid(_) => ErrorCondition::JidMalformed,
            Error::OwnJid => ErrorCondition::NotAllowed,
            Error::EmptyGroup | Error::NameTooLong | Error::GroupTooLong | Error::TooManyGroups => {
                ErrorCondition::NotAcceptable
            }
            Error::NotFound => ErrorCondition::ItemNotFound,
            Error::Full => ErrorCondition::ResourceConstraint,
        }
    }

    const fn text(&self) -> &'static str {
        match self {
            Error::Forbidden => "this is not your roster",
            Error::NotOneItem => "a roster set has exactly one item",
            Error::NoJid => "the item has no `jid`",
            Error::Jid(_) => "the `jid` of the item is not a valid bare address",
            Error::OwnJid => "nobody is a contact of their own",
            Error::DuplicateGroup => "a group is there twice",
            Error::EmptyGroup => "a group has no name",
            Error::NameTooLong => "the name is too long",
            Error::GroupTooLong => "the name of a group is too long",
            Error::TooManyGroups => "the item is in too many groups",
            Error::NotFound => "there is no such item in the roster",
            Error::Full => "the roster is full",
        }
    }
}

impl From<Error> for StanzaError {
    fn from(error: Error) -> Self {
        let reply = StanzaError::new(error.condition(), error.text());
        // Section 2.5.3 gives this condition another type than RFC 6120 section 8.3.3.7.
        if error == Error::NotFound { reply.with_type(ErrorType::Modify) } else { reply }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Jid(error) => write!(f, "{}: {error}", self.text()),
            _ => f.write_str(self.text()),
        }
    }
}

impl core::error::Error for Error {}
