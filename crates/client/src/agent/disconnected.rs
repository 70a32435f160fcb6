//! Why a client is offline.

use core::fmt;

use balcony_stanza::StreamCondition;
use balcony_stream::Error as Ended;

use crate::{ConnectError, Error, PumpError};

/// Why a client is offline.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Disconnected {
    /// It could not connect.
    Failed(ConnectError),
    /// The connection has ended before its time.
    Lost(PumpError),
    /// The server has closed the stream in good order.
    ByServer,
    /// The owner has.
    ByOwner,
}

impl Disconnected {
    /// Whether the client is not to connect again by itself: because somebody has to change something first
    /// ([`ConnectError::is_permanent`]), because another client has taken the resource (RFC 6120 section 4.9.3.3), which would go on
    /// and on, or because that was wanted.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        match self {
            Disconnected::Failed(error) => error.is_permanent(),
            Disconnected::Lost(PumpError::Ended(Error::Stream(Ended::Remote(error)))) => {
                error.condition == StreamCondition::Conflict
            }
            Disconnected::Lost(_) | Disconnected::ByServer => false,
            Disconnected::ByOwner => true,
        }
    }
}

impl Disconnected {
    /// Whether the server has said that it shuts down (RFC 6120 section 4.9.3.20): all of its clients have lost their connections.
    #[must_use]
    pub fn is_shutdown(&self) -> bool {
        matches!(
            self,
            Disconnected::Lost(PumpError::Ended(Error::Stream(Ended::Remote(error))))
                if error.condition == StreamCondition::SystemShutdown
        )
    }

    /// Whether the session is over with its connection: the server has closed it, or ended it with an error (RFC 6120 section 4.9.1.1),
    /// or the owner has. A server that shuts down, or has heard nothing for too long (section 4.9.3.4), may keep it: whoever comes back is told.
    #[must_use]
    pub fn ends_session(&self) -> bool {
        match self {
            Disconnected::Lost(PumpError::Ended(Error::Stream(Ended::Remote(error)))) => !matches!(
                error.condition,
                StreamCondition::SystemShutdown | StreamCondition::ConnectionTimeout
            ),
            Disconnected::Failed(_) | Disconnected::Lost(_) => false,
            Disconnected::ByServer | Disconnected::ByOwner => true,
        }
    }
}

/// The same words as `Display`: a `main` that returns it shows what is wrong.
impl fmt::Debug for Disconnected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Disconnected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Disconnected::Failed(error) => error.fmt(f),
            Disconnected::Lost(PumpError::Ended(Error::Stream(Ended::Remote(error))))
                if error.condition == StreamCondition::Conflict =>
            {
                f.write_str("another client has logged in with this resource")
            }
            Disconnected::Lost(error) => error.fmt(f),
            Disconnected::ByServer => f.write_str("the server has closed the stream"),
            Disconnected::ByOwner => f.write_str("the client has been closed"),
        }
    }
}

impl core::error::Error for Disconnected {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Disconnected::Failed(error) => Some(error),
            Disconnected::Lost(error) => Some(error),
            Disconnected::ByServer | Disconnected::ByOwner => None,
        }
    }
}
