//! How a command fails: one line for a person, with what to do about it, and an exit status, which is 1 for what was tried in
//! vain and 2 for what makes no sense.

use core::fmt;

use balcony_router::extension::Clash;
use balcony_store::StoreError;
pub(crate) use balcony_tokio::reason;

/// Why the command could not do its work: one line that says what to do about it, and the exit status.
#[derive(Debug)]
pub(crate) struct Failure {
    message: String,
    status: u8,
    is_silence: bool,
    is_locked: bool,
    is_of_policy: bool,
}

impl Failure {
    /// It was tried, and failed: exit status 1.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Failure {
            message: message.into(),
            status: 1,
            is_silence: false,
            is_locked: false,
            is_of_policy: false,
        }
    }

    /// Somebody has not answered in time: exit status 1.
    pub(crate) fn silence(message: impl Into<String>) -> Self {
        Failure { is_silence: true, ..Failure::new(message) }
    }

    /// The server has ended the stream since something is against its rules: exit status 1.
    pub(crate) fn of_policy(message: impl Into<String>) -> Self {
        Failure { is_of_policy: true, ..Failure::new(message) }
    }

    /// Whether that is what has failed.
    pub(crate) fn is_of_policy(&self) -> bool {
        self.is_of_policy
    }

    /// Whether all that has failed is that no answer came.
    pub(crate) fn is_silence(&self) -> bool {
        self.is_silence
    }

    /// Whether all that has failed is that another process has the store open.
    pub(crate) fn is_locked(&self) -> bool {
        self.is_locked
    }

    /// What was asked for makes no sense: exit status 2.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Failure { status: 2, ..Failure::new(message) }
    }

    /// The same, and what is to be said beside it.
    pub(crate) fn with(self, more: &str) -> Self {
        Failure { message: format!("{}: {more}", self.message), ..self }
    }

    /// The line; empty if everything has been said already.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    pub(crate) fn status(&self) -> u8 {
        self.status
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let is_locked = matches!(error, StoreError::Locked(_) | StoreError::InUse);
        Failure { is_locked, ..Failure::new(error.to_string()) }
    }
}

impl From<Clash> for Failure {
    fn from(error: Clash) -> Self {
        Failure::new(error.to_string())
    }
}

impl From<balcony_tls::Error> for Failure {
    fn from(error: balcony_tls::Error) -> Self {
        Failure::new(error.to_string())
    }
}

/// Says what could not be done with a file or socket, and why, in the words of the operating system.
pub(crate) fn io(what: impl fmt::Display) -> impl FnOnce(std::io::Error) -> Failure {
    move |error| Failure::new(format!("{what}: {}", reason(&error)))
}
