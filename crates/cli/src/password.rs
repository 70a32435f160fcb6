//! Where passwords come from: a file, the environment, or whoever sits at the terminal.

use std::io::{BufRead as _, BufReader, Read};
use std::path::Path;

use balcony_machine::Secret;

use crate::environment;
use crate::failure::{Failure, io, reason};

/// The byte order mark, which some editors put at the beginning of a file. It is no part of what a person has written.
pub(crate) const MARK: &str = "\u{feff}";

/// The password of `account`, which exists.
pub(crate) fn known(file: Option<&Path>, account: &str) -> Result<Secret<String>, Failure> {
    match given(file)? {
        Some(password) => Ok(password),
        None => prompt(&format!("Password of {account}: ")),
    }
}

/// A new password for `account`; whoever types it does so twice.
pub(crate) fn new(file: Option<&Path>, account: &str) -> Result<Secret<String>, Failure> {
    if let Some(password) = given(file)? {
        return Ok(password);
    }
    let first = prompt(&format!("New password of {account}: "))?;
    let second = prompt("The same again: ")?;
    if first.expose() != second.expose() {
        return Err(Failure::new("the two passwords differ; nothing was changed"));
    }
    Ok(first)
}

fn given(file: Option<&Path>) -> Result<Option<Secret<String>>, Failure> {
    let password = match file {
        Some(path) if path == Path::new("-") => first_line(std::io::stdin(), "the standard input")?,
        Some(path) => {
            let name = path.display().to_string();
            first_line(std::fs::File::open(path).map_err(io(format!("cannot read {name}")))?, &name)?
        }
        None => match environment::text(environment::PASSWORD)? {
            Some(password) => Secret::new(password),
            None => return Ok(None),
        },
    };
    if password.expose().is_empty() {
        return Err(Failure::new("the password is empty"));
    }
    Ok(Some(password))
}

fn first_line(source: impl Read, name: &str) -> Result<Secret<String>, Failure> {
    /// Longer than any password that a person keeps, shorter than a disk image given by mistake.
    const MOST: u64 = 4096;
    // As large as it can become, so that it leaves no copies behind by growing.
    let mut line = String::with_capacity(MOST as usize + 1);
    let read = BufReader::new(source.take(MOST)).read_line(&mut line);
    let line = Secret::new(line);
    read.map_err(io(format!("cannot read a password from {name}")))?;
    let text = line.expose().strip_prefix(MARK).unwrap_or(line.expose());
    Ok(Secret::new(text.trim_end_matches(['\r', '\n']).to_owned()))
}

fn prompt(text: &str) -> Result<Secret<String>, Failure> {
    rpassword::prompt_password(text).map(Secret::new).map_err(|error| {
        Failure::new(format!(
            "no password: there is no terminal to ask at ({}); give --password-file or {}",
            reason(&error),
            environment::PASSWORD
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_worth_its_first_line() {
        for (content, password) in
            [("a b \r\nc", "a b "), ("x", "x"), ("\ny", ""), ("", ""), ("\u{feff}x\n", "x")]
        {
            assert_eq!(first_line(content.as_bytes(), "test").unwrap().expose(), password);
        }
        assert!(first_line(&b"\xff\n"[..], "test").is_err());
    }
}
