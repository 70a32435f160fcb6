//! What examples share: why they end.
#![forbid(unsafe_code)]

use core::error::Error;
use core::fmt;

/// Why a program ends, in words: `main` prints the `Debug` form of what it returns, and not all errors have words there.
pub struct Failure(Box<dyn Error>);

impl<E: Into<Box<dyn Error>>> From<E> for Failure {
    fn from(error: E) -> Self {
        Failure(error.into())
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}
