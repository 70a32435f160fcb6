//! What can be wrong with XML, and which stream error tells the peer. Whether the stream ends of it is decided by whoever reads.

use alloc::collections::TryReserveError;
use core::fmt;

use smallvec::CollectionAllocErr;

/// What is wrong with the XML that a peer sent. Every variant belongs to one stream error condition (RFC 6120 section
/// 4.9.3), named in its documentation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum ReadError {
    /// The input breaks the XML grammar: `not-well-formed`.
    NotWellFormed(&'static str),
    /// A feature that XMPP forbids, such as a comment or a document type declaration: `restricted-xml`.
    Restricted(&'static str),
    /// Not UTF-8, by declaration or in fact: `unsupported-encoding`.
    Encoding,
    /// The input breaks Namespaces in XML, for example with an undeclared prefix: `not-well-formed`.
    BadNamespace(&'static str),
    /// Text other than white space between top-level elements: `bad-format`.
    StrayText,
    /// The element has more bytes than allowed, or a name or attribute value has more than 16,384: `policy-violation`.
    TooLong,
    /// The element has more levels than allowed: `policy-violation`.
    TooDeep,
    /// A start tag has more attributes than allowed, or too many namespace declarations are in scope:
    /// `policy-violation`.
    TooManyAttributes,
    /// The element has more elements and runs of text than allowed: `policy-violation`.
    TooManyNodes,
    /// There is no memory for it, where what gives memory says so: `resource-constraint`.
    NoMemory,
}

impl From<TryReserveError> for ReadError {
    fn from(_: TryReserveError) -> Self {
        ReadError::NoMemory
    }
}

impl From<CollectionAllocErr> for ReadError {
    fn from(_: CollectionAllocErr) -> Self {
        ReadError::NoMemory
    }
}

/// The same words as `Display`: a `main` that returns it shows what is wrong.
impl fmt::Debug for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReadError::NotWellFormed(what) => write!(f, "the XML is not well-formed: {what}"),
            ReadError::Restricted(what) => write!(f, "{what} is not allowed in XMPP"),
            ReadError::Encoding => f.write_str("the XML is not UTF-8"),
            ReadError::BadNamespace(what) => write!(f, "the XML is not namespace-well-formed: {what}"),
            ReadError::StrayText => f.write_str("text between top-level elements"),
            ReadError::TooLong => f.write_str("the element is too long"),
            ReadError::TooDeep => f.write_str("the element is nested too deeply"),
            ReadError::TooManyAttributes => f.write_str("an element has too many attributes"),
            ReadError::TooManyNodes => f.write_str("the element has too many parts"),
            ReadError::NoMemory => f.write_str("there is no memory for the element"),
        }
    }
}

impl core::error::Error for ReadError {}
