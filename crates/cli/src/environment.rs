//! What the environment says to the commands that are clients, as it does to bots: who they are, where their server is, whom to trust, and the
//! password. What is typed wins. A variable that is empty says nothing, as if it was not set.

use core::fmt::Display;
use core::str::FromStr;
use std::ffi::OsString;
use std::path::PathBuf;

use crate::failure::Failure;

/// An account, with or without resource.
pub(crate) const ACCOUNT: &str = "BALCONY_JID";
/// A place to connect to.
pub(crate) const PLACE: &str = "BALCONY_CONNECT";
/// A file with the certificates of those who are trusted, and no others.
pub(crate) const AUTHORITIES: &str = "BALCONY_CA";
/// A password, or another secret. It is the only one that counts for other commands as well.
pub(crate) const PASSWORD: &str = "BALCONY_PASSWORD";

/// The name of a file.
pub(crate) fn path(name: &str) -> Option<PathBuf> {
    said(std::env::var_os(name)).map(PathBuf::from)
}

/// A text.
pub(crate) fn text(name: &str) -> Result<Option<String>, Failure> {
    match said(std::env::var_os(name)).map(OsString::into_string) {
        None => Ok(None),
        Some(Ok(text)) => Ok(Some(text)),
        Some(Err(_)) => Err(Failure::usage(format!("{name} is not UTF-8"))),
    }
}

/// What can be read from a text.
pub(crate) fn value<T: FromStr<Err: Display>>(name: &str) -> Result<Option<T>, Failure> {
    let read = |text: String| {
        text.parse().map_err(|error| Failure::usage(format!("{name} in the environment: `{text}`: {error}")))
    };
    text(name)?.map(read).transpose()
}

fn said(value: Option<OsString>) -> Option<OsString> {
    value.filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_variable_says_nothing() {
        assert_eq!(said(Some("".into())), None);
        assert_eq!(said(None), None);
        assert_eq!(said(Some(" ".into())), Some(" ".into()));
    }
}
