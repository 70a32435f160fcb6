//! What a peer has said, as it may stand in a line of a log or in a terminal.

use core::fmt::{self, Write as _};

/// A text without control characters, which would begin lines of their own, or tell a terminal what to do: they are shown by their names in
/// Rust, such as `\\n`.
pub(crate) struct Printed<'a>(pub(crate) &'a str);

impl fmt::Display for Printed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|char| match char.is_control() {
            true => write!(f, "{}", char.escape_default()),
            false => f.write_char(char),
        })
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString as _;

    use super::*;

    #[test]
    fn a_text_stays_in_its_line() {
        assert_eq!(
            Printed("it's gone \u{e9}\u{1f980} \"so\"").to_string(),
            "it's gone \u{e9}\u{1f980} \"so\""
        );
        assert_eq!(Printed("one\ntwo\u{9b}2J\u{1b}").to_string(), "one\\ntwo\\u{9b}2J\\u{1b}");
    }
}
