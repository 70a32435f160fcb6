//! Why a client has not sent a stanza.

use core::fmt;

use balcony_connection::Error;
use balcony_machine::ApiMisuse;

/// Why a stanza was not sent.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError {
    /// This cannot be done now: the client is not online, or not any longer.
    Misuse(ApiMisuse),
    /// The connection has ended, for this reason.
    Ended(Error),
    /// The server has not acknowledged what was sent before, and no more of it is [kept](balcony_machine::Limits::outbox); or 1,024 requests
    /// wait for their answers. Go on until there is room.
    Full,
}

impl From<ApiMisuse> for SendError {
    fn from(misuse: ApiMisuse) -> Self {
        SendError::Misuse(misuse)
    }
}

/// The same words as `Display`: a `main` that returns it shows what is wrong.
impl fmt::Debug for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SendError::Misuse(misuse) => misuse.fmt(f),
            SendError::Ended(error) => error.fmt(f),
            SendError::Full => f.write_str("the server has not yet dealt with what was sent before"),
        }
    }
}

impl core::error::Error for SendError {}
