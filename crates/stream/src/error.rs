//! Why a stream has ended before its time, in words for whoever is at this end. What the other end is told has been written by
//! then.

use alloc::borrow::Cow;
use core::fmt;

use balcony_sasl::SaslCondition;
use balcony_stanza::{StanzaError, StreamError};

/// Why a stream ended before its time. It sticks: every later call returns it again.
///
/// Whatever the protocol wants the peer to be told is already in the output buffer; write that, then close the
/// transport.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The peer broke a rule, or we end the stream for a reason of our own; the peer was sent this stream error.
    Local(StreamError),
    /// The peer ended the stream with this error.
    Remote(StreamError),
    /// The receiving entity does not offer TLS, or refused to start it, and our policy demands it.
    NoTls,
    /// The peer asked for TLS where it was not offered, or in a malformed way (RFC 6120 section 5.4.2.2); it was told so.
    TlsNotOffered,
    /// The receiving entity offers no SASL mechanism that we may use.
    NoMechanism,
    /// The receiving entity takes no channel binding that this connection has, or somebody in between hides the one that it
    /// takes. Who is sure that nobody does can [do without](crate::ChannelBinding).
    ChannelBinding,
    /// The receiving entity has offered other mechanisms or channel bindings than those that have come here, or by another version of
    /// TLS: somebody in between has changed them (XEP-0474, XEP-0515).
    Downgraded,
    /// The receiving entity refused our credentials.
    Authentication(SaslCondition, Option<Cow<'static, str>>),
    /// The receiving entity did not prove that it knows our password (RFC 5802 section 5): it is not who it says.
    ServerNotAuthentic,
    /// The receiving entity refused to bind a resource.
    Bind(StanzaError),
    /// The peer has acknowledged more stanzas than it was sent, and was told so by `undefined-condition` (XEP-0198 section 4).
    HandledTooHigh {
        /// How many it says.
        h: u32,
        /// How many it was sent.
        sent: u32,
    },
    /// The transport ended without a closing tag.
    Truncated,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Local(error) => write!(f, "stream ended by us: {error}"),
            Error::Remote(error) => write!(f, "stream ended by the peer: {error}"),
            Error::NoTls => f.write_str("the server does not offer TLS, and without it nothing is sent"),
            Error::TlsNotOffered => f.write_str("the peer asked for TLS where it is not offered"),
            Error::NoMechanism => {
                f.write_str("the server offers no authentication mechanism that is safe to use here")
            }
            Error::ChannelBinding => f.write_str(
                "the server takes no channel binding of this connection: it has no such account, it has other types, or \
                 somebody stands in between; if you are sure of the connection, turn channel binding off",
            ),
            Error::Downgraded => f.write_str(
                "the ways to log in that the server has offered are not those that have come here: somebody stands in between \
                 and has changed them",
            ),
            Error::Authentication(SaslCondition::NotAuthorized, _) => {
                f.write_str("wrong password, or no such account (not-authorized)")
            }
            Error::Authentication(condition, Some(text)) => {
                write!(f, "authentication failed: {} ({text})", condition.name())
            }
            Error::Authentication(condition, None) => {
                write!(f, "authentication failed: {}", condition.name())
            }
            Error::ServerNotAuthentic => {
                f.write_str("the server could not prove that it knows this account; do not trust it")
            }
            Error::Bind(error) => write!(f, "the server refused to bind a resource: {error}"),
            Error::HandledTooHigh { h, sent } => {
                write!(f, "the peer says that it has handled {h} stanzas, and {sent} were sent")
            }
            Error::Truncated => f.write_str("the connection ended in the middle of the stream"),
        }
    }
}

impl core::error::Error for Error {}

impl From<StreamError> for Error {
    fn from(error: StreamError) -> Self {
        Error::Local(error)
    }
}
