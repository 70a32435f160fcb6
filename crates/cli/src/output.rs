//! What a person reads. Much of it was written by strangers: whatever is printed here is harmless.

use std::io::Write;
use std::time::SystemTime;

use balcony_stanza::is_unprintable;
use serde::Serialize;

use crate::failure::{Failure, io};

/// Prints a line to stdout. Whoever reads it may have gone away; that must end neither a server nor work that has been done.
pub(crate) fn say(text: &str) {
    let _ = line(std::io::stdout().lock(), text);
}

/// The same for those who have nothing else to do: without a reader they fail.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    line(std::io::stdout().lock(), text).map_err(unprinted)
}

/// What could not be printed is a failure. Nothing is said of a reader who has had enough, such as `head`.
pub(crate) fn unprinted(error: std::io::Error) -> Failure {
    match error.kind() {
        std::io::ErrorKind::BrokenPipe => Failure::new(""),
        _ => io("cannot print")(error),
    }
}

/// Prints a line to stderr: what went wrong, and what else is no result.
pub(crate) fn note(text: &str) {
    let _ = line(std::io::stderr().lock(), &format!("balcony: {text}"));
}

/// The same without a name, for whoever sits at the terminal and is asked something: a line to read, and one to type behind.
pub(crate) fn tell(text: &str) {
    let _ = line(std::io::stderr().lock(), text);
}

pub(crate) fn prompt(text: &str) {
    let mut out = std::io::stderr().lock();
    let _ = write!(out, "{}", harmless(text)).and_then(|()| out.flush());
}

fn line(mut out: impl Write, text: &str) -> std::io::Result<()> {
    one_of(&mut out, text)?;
    out.flush()
}

/// Writes a line of a list, which is flushed at its end.
pub(crate) fn one_of(out: &mut impl Write, text: &str) -> std::io::Result<()> {
    writeln!(out, "{}", harmless(text))
}

/// The time in seconds since the start of 1970 (UTC).
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

/// The time of the day (UTC), for the beginning of a line.
pub(crate) fn clock(time: u64) -> String {
    let seconds = time % 86_400;
    format!("[{:02}:{:02}:{:02}]", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// A line of JSON. It may be read on a terminal, too, and to a program an escaped character is the same one.
pub(crate) fn json(value: &impl Serialize) -> Result<String, Failure> {
    let json = serde_json::to_string(value).map_err(std::io::Error::from).map_err(io("cannot print"))?;
    Ok(escape(&json, |c| format!("\\u{:04x}", u32::from(c))))
}

/// One line of a text that strangers may have written: nothing in it moves the cursor or begins a new line.
fn harmless(text: &str) -> String {
    escape(text, |c| c.escape_default().to_string())
}

fn escape(text: &str, how: impl Fn(char) -> String) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match is_harmful(c) {
            true => escaped.push_str(&how(c)),
            false => escaped.push(c),
        }
    }
    escaped
}

/// What does not stand in a line, but for the marks that people write from right to left with: these change nothing behind a text.
fn is_harmful(c: char) -> bool {
    is_unprintable(c) && !matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    const BAD: &str = "ä\n\u{9b}2J\u{7f}<\u{202e}>";

    #[test]
    fn a_line_is_one_line_whatever_is_written() {
        let mut out = Vec::new();
        line(&mut out, BAD).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "ä\\n\\u{9b}2J\\u{7f}<\\u{202e}>\n");
    }

    #[test]
    fn marks_of_direction_are_part_of_a_text() {
        assert_eq!(harmless("\u{5d0}\u{200f}!\u{200e}\u{61c}"), "\u{5d0}\u{200f}!\u{200e}\u{61c}");
        // What turns all that follows, with its end or without, can't turn what is printed behind it.
        assert_eq!(harmless("\u{2067}a\u{2069}\u{202b}b\u{2028}"), r"\u{2067}a\u{2069}\u{202b}b\u{2028}");
    }

    #[test]
    fn json_is_harmless_and_says_the_same() {
        let json = json(&BAD).unwrap();
        assert_eq!(json, r#""ä\n\u009b2J\u007f<\u202e>""#);
        assert_eq!(harmless(&json), json);
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), BAD);
    }
}
