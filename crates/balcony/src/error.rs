//! What can go wrong here.

use core::fmt;
#[cfg(feature = "client")]
use std::sync::Arc;

#[cfg(feature = "client")]
use balcony_client::component::Detached;
#[cfg(feature = "client")]
use balcony_client::{ConnectError, Disconnected, OutboxError, PumpError, RequestError};
use balcony_jid::JidError;
#[cfg(feature = "client")]
use balcony_stanza::Stanza;

/// What can go wrong: a sentence for a person, and a variant for a program.
///
/// `Debug` shows the same sentence as `Display`, so that a `main` that returns it says what is wrong.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The configuration cannot be used.
    Config(String),
    /// An address is none (RFC 7622): this one, for this reason. The text is empty where only the reason is known, as where `?` has
    /// made this of a [`JidError`](crate::JidError).
    Address(String, JidError),
    /// The certificates to trust, or to show, cannot be used.
    Tls(balcony_tls::Error),
    /// A request has no result.
    #[cfg(feature = "client")]
    Request(RequestError),
    /// A stanza was not taken by an [`Agent`](crate::Agent), such as that of a [`Device`](crate::Device).
    #[cfg(feature = "client")]
    Outbox(OutboxError),
    /// A [`Pump`](crate::Pump), which is one connection, has ended, or can't do what it was told.
    #[cfg(feature = "client")]
    Pump(PumpError),
    /// The client has ended for good, or could not begin.
    #[cfg(feature = "client")]
    Ended(Arc<Disconnected>),
    /// A component has ended for good, or could not begin.
    #[cfg(feature = "client")]
    Detached(Arc<Detached>),
    /// The client has been closed, and of these, the oldest first, nobody knows whether they have arrived: they waited for a connection, or
    /// the server has not acknowledged them. What does not make sense in another session is not among them, such as presence.
    #[cfg(feature = "client")]
    Unsent(Vec<Stanza>),
    /// The client has no extension of this type.
    NoExtension(&'static str),
    /// The server cannot start.
    #[cfg(feature = "server")]
    Start(balcony_runtime::StartError),
    /// The operating system does not let the server listen there: for this reason of its own.
    Listen(core::net::SocketAddr, String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Config(reason) => f.write_str(reason),
            Error::Address(text, error) if text.is_empty() => error.fmt(f),
            Error::Address(text, error) => write!(f, "`{text}` is no address of XMPP: {error}"),
            Error::Tls(error) => error.fmt(f),
            #[cfg(feature = "client")]
            Error::Request(error) => error.fmt(f),
            #[cfg(feature = "client")]
            Error::Outbox(error) => error.fmt(f),
            #[cfg(feature = "client")]
            Error::Pump(error) => error.fmt(f),
            #[cfg(feature = "client")]
            Error::Ended(why) if is_untrusted(why) => {
                write!(
                    f,
                    "{why}: with `trust_pem` of its builder, or `BALCONY_CA` in the environment where `from_env` reads that"
                )
            }
            #[cfg(feature = "client")]
            Error::Ended(why) => why.fmt(f),
            #[cfg(feature = "client")]
            Error::Detached(why) => why.fmt(f),
            #[cfg(feature = "client")]
            Error::Unsent(stanzas) => {
                write!(
                    f,
                    "the client has been closed, and {} of its stanzas may not have arrived",
                    stanzas.len()
                )
            }
            Error::NoExtension(name) => {
                write!(f, "the client has no extension {name}: give it one, with `with` of its builder")
            }
            #[cfg(feature = "server")]
            Error::Start(error) => error.fmt(f),
            Error::Listen(addr, reason) => write!(f, "cannot listen at {addr}: {reason}"),
        }
    }
}

/// Whether the server's certificate may be the right one, and its authority is not trusted.
#[cfg(feature = "client")]
fn is_untrusted(why: &Disconnected) -> bool {
    let Disconnected::Failed(ConnectError::Stream { error: balcony_client::Error::Tls(error), .. }) = why
    else {
        return false;
    };
    matches!(error, balcony_tls::Error::Certificate { refusal: balcony_tls::Refusal::Untrusted, .. })
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl core::error::Error for Error {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        // What has the same words is not another cause; what is below it is.
        match self {
            Error::Address(text, error) if !text.is_empty() => Some(error),
            #[cfg(feature = "client")]
            Error::Request(error) => core::error::Error::source(error),
            #[cfg(feature = "client")]
            Error::Pump(error) => core::error::Error::source(error),
            #[cfg(feature = "client")]
            Error::Ended(why) => core::error::Error::source(&**why),
            _ => None,
        }
    }
}

#[cfg(feature = "client")]
impl From<RequestError> for Error {
    fn from(error: RequestError) -> Self {
        Error::Request(error)
    }
}

#[cfg(feature = "client")]
impl From<OutboxError> for Error {
    fn from(error: OutboxError) -> Self {
        Error::Outbox(error)
    }
}

#[cfg(feature = "client")]
impl From<PumpError> for Error {
    fn from(error: PumpError) -> Self {
        Error::Pump(error)
    }
}

impl From<JidError> for Error {
    fn from(error: JidError) -> Self {
        Error::Address(String::new(), error)
    }
}

impl From<balcony_tls::Error> for Error {
    fn from(error: balcony_tls::Error) -> Self {
        Error::Tls(error)
    }
}

#[cfg(feature = "server")]
impl From<balcony_runtime::StartError> for Error {
    fn from(error: balcony_runtime::StartError) -> Self {
        Error::Start(error)
    }
}
