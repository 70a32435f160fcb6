//! Rust source, as far as a search in it needs to understand it.

/// The code alone: comments, strings and characters become blanks, and so does every item under `#[cfg(test)]`. Lines
/// stay where they are.
pub(crate) fn code(source: &str) -> String {
    without_tests(without_text(source))
}

/// Whether a file says what it is: it begins with `//!` docs, behind nothing but comments, such as a licence, and attributes.
pub(crate) fn has_docs(source: &str) -> bool {
    let mut rest = source.trim_start();
    loop {
        if let Some(docs) = rest.strip_prefix("//!") {
            return docs.lines().next().is_some_and(|line| !line.trim().is_empty());
        }
        let length = match rest {
            _ if rest.starts_with("//") || rest.starts_with("/*") => text_length(rest, None),
            _ if rest.starts_with("#![") => attribute_length(rest),
            _ => return false,
        };
        rest = rest[length..].trim_start();
    }
}

/// Octets of the attribute that `rest` begins with.
fn attribute_length(rest: &str) -> usize {
    let (mut at, mut depth) = (0, 0_usize);
    while let Some(c) = rest[at..].chars().next() {
        let text = text_length(&rest[at..], rest[..at].chars().next_back());
        at += if text > 0 { text } else { c.len_utf8() };
        match c {
            '[' => depth += 1,
            ']' if depth == 1 => return at,
            ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    at
}

fn without_text(source: &str) -> String {
    let mut code = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let length = text_length(rest, code.chars().next_back());
        if length > 0 {
            code.extend(rest[..length].chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
            rest = &rest[length..];
        } else {
            code.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    code
}

/// Octets of the comment, string or character that `rest` begins with; 0 if it begins with code.
fn text_length(rest: &str, before: Option<char>) -> usize {
    let until = |from: usize, end: &str| {
        rest.get(from..).and_then(|tail| tail.find(end)).map_or(rest.len(), |at| from + at + end.len())
    };
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        return until(2, "*/");
    }
    if rest.starts_with('"') {
        return quoted(rest, '"');
    }
    let in_name = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    if let Some(raw) = rest.strip_prefix('r').filter(|_| !in_name || before == Some('b')) {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        if raw[hashes..].starts_with('"') {
            return until(hashes + 2, &format!("\"{}", "#".repeat(hashes)));
        }
    }
    // `'a'` and `'\n'` are characters, `'a` is a lifetime.
    let mut chars = rest.chars();
    match (chars.next(), chars.next(), chars.next()) {
        (Some('\''), Some('\\'), _) => quoted(rest, '\''),
        (Some('\''), Some(c), Some('\'')) => 2 + c.len_utf8(),
        _ => 0,
    }
}

/// Octets up to the closing quote, and with it.
fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

fn without_tests(mut code: String) -> String {
    const MARK: &str = "#[cfg(test)]";
    while let Some(start) = code.find(MARK) {
        let mut depth = 0_usize;
        let mut end = code.len();
        for (at, byte) in code.bytes().enumerate().skip(start + MARK.len()) {
            match byte {
                b'{' | b'(' | b'[' => depth += 1,
                b'}' | b')' | b']' => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth == 0 && matches!(byte, b';' | b'}') {
                end = at + 1;
                break;
            }
        }
        let blank: String = code[start..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect();
        code.replace_range(start..end, &blank);
    }
    code
}

/// The places of `word` in `line`, where it is not a part of a longer name.
pub(crate) fn has_word(line: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        !line[..at].chars().next_back().is_some_and(part)
            && (word.ends_with(':') || !line[at + word.len()..].chars().next().is_some_and(part))
    })
}

#[cfg(test)]
mod tests {
    use super::{code, has_docs, has_word};

    #[test]
    fn text_and_tests_are_blank() {
        let source = "use a; // std::fs\n/* std::io */ let s = \"std::net \\\" x\"; let c = '\"'; let d = '\\'';\n\
                      fn f<'a>(r: &'a str) { r#\"std::env\"#; b\"std::time\"; }\n\
                      #[cfg(test)]\nmod tests { use std::fs; fn g() { std::thread } }\nlet after = std::process;";
        let code = code(source);
        assert_eq!(code.lines().count(), source.lines().count());
        for gone in ["fs", "io", "net", "env", "time", "thread"] {
            assert!(!code.contains(&format!("std::{gone}")), "{gone} in {code}");
        }
        assert!(code.contains("fn f<'a>(r: &'a str)") && code.contains("std::process"), "{code}");
    }

    #[test]
    fn files_say_what_they_are() {
        for good in [
            "//! What it is.\nuse a;",
            "\n//! What it is.\n",
            "// SPDX-License-Identifier: MIT\n\n//! What it is.",
            "/* A licence,\n//! no docs. */\n//! What it is.",
            "#![no_main]\n//! What it is.",
            "#![allow(\n    a,\n    reason = \"a ] in a text\" // and ] in a comment\n)]\n#![cfg([])]\n//! What it is.",
        ] {
            assert!(has_docs(good), "{good}");
        }
        for bad in [
            "",
            "use a;\n//! Too late.",
            "/// An item's.\nfn f() {}",
            "//!\n//! Not in its first line.",
            "// What it is.\nuse a;",
            "#![no_main]\nuse a;",
            "#![no_main",
            "#[cfg(test)]\nmod tests { //! Another one's.\n}",
        ] {
            assert!(!has_docs(bad), "{bad}");
        }
    }

    #[test]
    fn words_are_whole() {
        assert!(has_word("let x = SystemTime;", "SystemTime"));
        assert!(!has_word("let x = MySystemTime2;", "SystemTime"));
        assert!(has_word("use std::fs;", "std::"));
        assert!(!has_word("use async_std::fs;", "std::"));
    }
}
