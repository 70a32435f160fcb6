//! What a peer has said, as it may stand in a line of a log or in a terminal.

use core::fmt::{self, Write as _};

/// Whether a character would do something to a line of a log, or to a terminal, rather than stand in it: control characters, the separators
/// of lines and paragraphs (Unicode's Zl and Zp), and what changes the direction of the text around it (`Bidi_Control`), so that a line does
/// not say what it seems to.
///
/// Three of these are in good texts of people who write from right to left, and change nothing behind the characters beside them: U+061C,
/// U+200E and U+200F. Whoever shows such a text, not a line of their own, lets them pass.
#[must_use]
pub fn is_unprintable(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A text without [what does not stand in a line](is_unprintable): it is shown by its name in Rust, such as `\\n`.
pub(crate) struct Printed<'a>(pub(crate) &'a str);

impl fmt::Display for Printed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|char| match is_unprintable(char) {
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

    // Unicode 17: general categories Zl and Zp, property Bidi_Control.
    #[test]
    fn a_text_keeps_its_direction_and_its_line() {
        let marks = ['\u{61c}', '\u{200e}', '\u{200f}'];
        let scopes = ('\u{202a}'..='\u{202e}').chain('\u{2066}'..='\u{2069}');
        for bad in scopes.chain(marks).chain(['\u{2028}', '\u{2029}']) {
            let name = bad.escape_default().to_string();
            assert!(is_unprintable(bad) && name.starts_with("\\u{"), "{name}");
            assert_eq!(Printed(&alloc::format!("a{bad}b")).to_string(), alloc::format!("a{name}b"));
        }
        // A joiner and a variation selector are parts of what people write.
        let good =
            "\u{5e9}\u{5dc}\u{5d5}\u{5dd} \u{645}\u{200d}\u{200c} \u{1f441}\u{fe0f} \u{2027}\u{202f}\u{a0}";
        assert_eq!(Printed(good).to_string(), good);
    }
}
