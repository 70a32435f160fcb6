//! What the environment says of a client or a component: who it is, its secret, and where its server is. A variable that is empty says nothing,
//! as if it was not set.

use core::fmt;
use std::ffi::OsString;
use std::path::PathBuf;

use crate::Error;

/// The variables of this process.
pub(crate) const PROCESS: Environment = Environment(|name| std::env::var_os(name));

/// Where variables are looked up by name.
#[derive(Clone, Copy)]
pub(crate) struct Environment(pub(crate) fn(&str) -> Option<OsString>);

impl Environment {
    /// The name of a file.
    pub(crate) fn path(self, name: &str) -> Option<PathBuf> {
        self.said(name).map(PathBuf::from)
    }

    /// A text that need not be there.
    pub(crate) fn text(self, name: &str) -> Result<Option<String>, Error> {
        let read = |text: OsString| {
            let is_no_text =
                |_| Error::Config(format!("what the environment variable {name} has is not UTF-8"));
            text.into_string().map_err(is_no_text)
        };
        self.said(name).map(read).transpose()
    }

    /// A text that has to be there.
    pub(crate) fn wanted(self, name: &str) -> Result<String, Error> {
        let missing = || Error::Config(format!("the environment variable {name} is not set, or is empty"));
        self.text(name)?.ok_or_else(missing)
    }

    /// What is wrong with what a variable says, with the name of the variable.
    pub(crate) fn blame(name: &str, wrong: impl fmt::Display) -> Error {
        Error::Config(format!("the environment variable {name}: {wrong}"))
    }

    fn said(self, name: &str) -> Option<OsString> {
        (self.0)(name).filter(|value| !value.is_empty())
    }
}
