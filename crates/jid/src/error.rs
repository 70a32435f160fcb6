//! Why a text is no address: which part of it breaks which rule. What it says can be shown and logged, since characters are named
//! by their numbers.

use core::fmt;

/// What is wrong with an address, and in which part of it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct JidError {
    part: Part,
    reason: Reason,
}

impl JidError {
    pub(crate) const fn new(part: Part, reason: Reason) -> Self {
        JidError { part, reason }
    }

    /// The part that is wrong.
    pub const fn part(&self) -> Part {
        self.part
    }

    /// What is wrong with it.
    pub const fn reason(&self) -> Reason {
        self.reason
    }
}

/// The same words as `Display`: a `main` that returns it shows what is wrong.
impl fmt::Debug for JidError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for JidError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the {} of the address {}", self.part, self.reason)
    }
}

impl core::error::Error for JidError {}

/// A part of an address (RFC 7622 §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// Before the `@`: the account, room or other entity at the domain (RFC 7622 §3.3).
    Localpart,
    /// The only part that every address has (RFC 7622 §3.2).
    Domainpart,
    /// After the first `/`: one connection of an account, one occupant of a room (RFC 7622 §3.4).
    Resourcepart,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Part::Localpart => "localpart",
            Part::Domainpart => "domainpart",
            Part::Resourcepart => "resourcepart",
        })
    }
}

/// Why a part is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// Nothing stands where a part must stand: before `@`, after `@` or `/`, or where the domain belongs.
    Empty,
    /// The part has more than 1023 octets (RFC 7622 §3.2-3.4).
    TooLong,
    /// This character has no place in such a part, and no counterpart that does.
    Forbidden(char),
    /// This character is allowed only beside certain others (RFC 5892 Appendix A, RFC 5891 §4.2.3.2).
    Misplaced(char),
    /// Left-to-right and right-to-left characters are mixed in a way that can be misread (RFC 5893 §2).
    Bidi,
    /// Applying the rules again and again keeps changing the part (RFC 8264 §7).
    Unstable,
    /// The domain has an empty label: two dots in a row, or one where it begins.
    EmptyLabel,
    /// A label begins or ends with a hyphen, or has two of them in its third and fourth place without being an A-label
    /// (RFC 5890 §2.3.1).
    Hyphen,
    /// DNS could not hold the domain: a label of more than 63 octets, or a name of more than 253.
    DnsLength,
    /// A label that begins with `xn--` stands for no valid label (RFC 5890 §2.3.2.1).
    ALabel,
    /// What stands in brackets is no IP address of version 6 or later (RFC 3986 §3.2.2).
    IpLiteral,
    /// The part is not in normal form, and normal form was asked for.
    NotNormal,
    /// There is a resourcepart, and a bare address was asked for.
    NotBare,
    /// There is no resourcepart, and a full address was asked for.
    NotFull,
    /// The part goes beyond ASCII, and this build lacks the feature `unicode`.
    NoUnicode,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reason::Empty => "is empty",
            Reason::TooLong => "has more than 1023 octets",
            // The number only: the character itself may be one that spoils a terminal or a log.
            Reason::Forbidden(c) => {
                return write!(f, "contains U+{:04X}, which is not allowed there", *c as u32);
            }
            Reason::Misplaced(c) => return write!(f, "contains U+{:04X} in the wrong place", *c as u32),
            Reason::Bidi => "mixes left-to-right and right-to-left characters",
            Reason::Unstable => "has no stable normal form",
            Reason::EmptyLabel => "has an empty label",
            Reason::Hyphen => "has a label with a hyphen in the wrong place",
            Reason::DnsLength => "has a label of more than 63 octets or more than 253 in all",
            Reason::ALabel => "has a label with the prefix xn-- that stands for no valid label",
            Reason::IpLiteral => "has no valid IP address in its brackets",
            Reason::NotNormal => "is not in normal form",
            Reason::NotBare => "is there, but the address must be bare",
            Reason::NotFull => "is missing",
            Reason::NoUnicode => "is not ASCII, and this program was built without Unicode tables",
        })
    }
}
