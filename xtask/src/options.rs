//! The command line after a command's name.

use crate::run::Result;

/// `--name value`, `--flag` and the rest, each taken by the command that knows it.
pub(crate) struct Options(Vec<String>);

impl Options {
    pub(crate) fn new(args: &[String]) -> Self {
        Options(args.to_vec())
    }

    /// Whether `flag` stands there.
    pub(crate) fn flag(&mut self, flag: &str) -> bool {
        let before = self.0.len();
        self.0.retain(|arg| arg != flag);
        self.0.len() < before
    }

    /// The number behind `name`.
    pub(crate) fn number(&mut self, name: &str) -> Result<Option<u64>> {
        let Some(value) = self.value(name)? else { return Ok(None) };
        value.parse().map(Some).map_err(|_| format!("{name} wants a whole number, not `{value}`"))
    }

    /// The word behind `name`.
    pub(crate) fn value(&mut self, name: &str) -> Result<Option<String>> {
        let Some(at) = self.0.iter().position(|arg| arg == name) else { return Ok(None) };
        if at + 1 >= self.0.len() {
            return Err(format!("{name} wants a value"));
        }
        self.0.remove(at);
        Ok(Some(self.0.remove(at)))
    }

    /// What is left, none of it an option.
    pub(crate) fn rest(self) -> Result<Vec<String>> {
        match self.0.iter().find(|arg| arg.starts_with('-')) {
            Some(unknown) => Err(format!("unknown option `{unknown}`; see --help")),
            None => Ok(self.0),
        }
    }
}
