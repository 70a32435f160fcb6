//! `cargo xtask api`: the public API of each library, as text, so that a change of it is seen in review.
//!
//! It is read from the source, not from the compiler: items that are `pub`, be it in a module that only the crate sees; and what is
//! implemented for types that are. Comments, attributes but `non_exhaustive`, and bodies are left out.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::options::Options;
use crate::run::{Result, root};
use crate::source::code;
use crate::tiers::CRATES;

pub(crate) const USAGE: &str = "[--write]";
pub(crate) const HELP: &str = "\
Compares the public API of each library with what is kept in docs/api, and fails where they differ.
  --write  keeps it as it is now";

/// What begins the declaration of a type.
const TYPES: &[&str] = &["struct", "enum", "trait", "type", "union"];

pub(crate) fn main(args: &[String]) -> Result {
    let mut options = Options::new(args);
    let writes = options.flag("--write");
    if let Some(extra) = options.rest()?.first() {
        return Err(format!("unknown argument `{extra}`"));
    }
    let folder = root().join("docs/api");
    let mut changed = Vec::new();
    for known in CRATES {
        let source = root().join("crates").join(known.name).join("src");
        if !source.join("lib.rs").exists() {
            continue;
        }
        let (now, path) = (api(&source)?, folder.join(format!("{}.txt", known.name)));
        let kept = fs::read_to_string(&path).unwrap_or_default();
        if kept == now {
            continue;
        }
        if writes {
            fs::create_dir_all(&folder)
                .and_then(|()| fs::write(&path, &now))
                .map_err(|error| format!("{}: {error}", path.display()))?;
        }
        let (before, after): (BTreeSet<&str>, BTreeSet<&str>) =
            (kept.lines().collect(), now.lines().collect());
        println!("{}:", known.name);
        before.difference(&after).for_each(|line| println!("  - {line}"));
        after.difference(&before).for_each(|line| println!("  + {line}"));
        changed.push(known.name);
    }
    if writes || changed.is_empty() {
        return Ok(());
    }
    Err(format!(
        "the API of {} is not what docs/api says; if that is meant, `cargo xtask api --write`",
        changed.join(", ")
    ))
}

/// A line for each item, behind its file.
pub(crate) fn api(folder: &Path) -> Result<String> {
    let mut files = Vec::new();
    list(folder, &mut files)?;
    let mut sources = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
        let name = file.strip_prefix(folder).unwrap_or(&file).display().to_string();
        sources.push((name, code(&text)));
    }
    let types: BTreeSet<String> = sources.iter().flat_map(|(_, source)| types(source)).collect();
    let mut lines = String::new();
    for (name, source) in &sources {
        for item in items(source, &types) {
            lines.push_str(&format!("{name}: {item}\n"));
        }
    }
    Ok(lines)
}

pub(crate) fn list(folder: &Path, files: &mut Vec<PathBuf>) -> Result {
    let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() && !path.ends_with("tests") {
            list(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("tests.rs") {
            files.push(path);
        }
    }
    Ok(())
}

/// The names of the types that are `pub`.
pub(crate) fn types(source: &str) -> Vec<String> {
    let public = source.lines().filter_map(|line| line.trim_start().strip_prefix("pub "));
    let named = public.filter_map(|item| {
        let mut words =
            item.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|word| !word.is_empty());
        TYPES.contains(&words.next()?).then(|| words.next().map(String::from))?
    });
    named.collect()
}

pub(crate) fn items(source: &str, types: &BTreeSet<String>) -> Vec<String> {
    let mut items = Vec::new();
    // What the items that follow are a part of, and where that ends.
    let (mut outer, mut end) = (String::new(), 0);
    let (mut at, mut is_open) = (0, false);
    for line in source.split_inclusive('\n') {
        let (start, trimmed) = (at + line.len() - line.trim_start().len(), line.trim());
        at += line.len();
        if start >= end {
            outer.clear();
        }
        if trimmed.starts_with("#[") {
            is_open |= trimmed == "#[non_exhaustive]";
            continue;
        }
        let rest = &source[start.min(source.len())..];
        let is_impl = trimmed.starts_with("impl ") || trimmed.starts_with("impl<");
        if is_impl && line.starts_with("impl") {
            let header = squeeze(rest.split('{').next().unwrap_or_default());
            end = start + block(rest).len();
            let mut words = header.split(|c: char| !(c.is_alphanumeric() || c == '_'));
            if header.contains(" for ") && words.any(|word| types.contains(word)) {
                items.push(header.clone());
            }
            outer = header;
        } else if let Some(item) = trimmed.strip_prefix("pub ") {
            let text = match item.split_whitespace().next() {
                Some("enum") => squeeze(block(rest)),
                Some("trait") => squeeze(&without_bodies(block(rest))),
                Some("use" | "mod") => squeeze(head(rest, &[';', '{'], true)),
                Some("fn" | "const" | "async" | "unsafe" | "static") => {
                    squeeze(head(rest, &[';', '{', '='], false))
                }
                Some("struct" | "union") => squeeze(head(rest, &[';', '{'], false)),
                Some("type") => squeeze(head(rest, &[';'], false)),
                _ => trimmed.trim_end_matches(',').to_owned(),
            };
            let mark = if is_open { "non_exhaustive " } else { "" };
            let inside = if outer.is_empty() { String::new() } else { format!("{outer}: ") };
            items.push(format!("{inside}{mark}{text}"));
        }
        if !trimmed.is_empty() {
            is_open = false;
        }
    }
    items
}

/// Up to one of these characters that is in no parenthesis or bracket. A list in braces that is imported belongs to it.
fn head<'s>(text: &'s str, ends: &[char], is_use: bool) -> &'s str {
    let mut depth = 0_usize;
    for (at, c) in text.char_indices() {
        match c {
            '(' | '[' => depth += 1,
            ')' | ']' => depth = depth.saturating_sub(1),
            '{' if is_use && text.starts_with("pub use") => {}
            c if depth == 0 && ends.contains(&c) => return &text[..at],
            _ => {}
        }
    }
    text
}

/// Up to the brace that closes the first one.
fn block(text: &str) -> &str {
    let mut depth = 0_usize;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth <= 1 => return &text[..=at],
            '}' => depth -= 1,
            _ => {}
        }
    }
    text
}

/// A trait without what its functions do.
fn without_bodies(text: &str) -> String {
    let (mut depth, mut out) = (0_usize, String::new());
    for c in text.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth <= 1 && !(depth == 1 && c == '}') {
            out.push(c);
        } else if c == '}' && depth == 1 {
            out.push(';');
        }
    }
    out
}

fn squeeze(text: &str) -> String {
    let text = without_attributes(text).split_whitespace().collect::<Vec<_>>().join(" ");
    text.trim_end_matches([',', ' ']).to_owned()
}

fn without_attributes(text: &str) -> String {
    let (mut out, mut rest) = (String::new(), text);
    while let Some((before, attribute)) = rest.split_once("#[") {
        out.push_str(before);
        if attribute.starts_with('$') {
            // A macro's: it is part of what is declared.
            out.push_str("#[");
            rest = attribute;
            continue;
        }
        let mut depth = 1_usize;
        let end = attribute.find(|c| {
            depth = match c {
                '[' => depth + 1,
                ']' => depth - 1,
                _ => depth,
            };
            depth == 0
        });
        rest = end.map_or("", |end| &attribute[end + 1..]);
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_read_without_their_bodies() {
        let source = "
            #[non_exhaustive]
            pub enum Kind {
                One,
                #[cfg(feature = )]
                Two { a: u8 },
            }
            struct Hidden;
            pub struct Shown<T> {
                pub field: Vec<T>,
                inner: u8,
            }
";
        let source = format!(
            "{source}impl<T> Shown<T> {{\n    pub fn new(\n        a: u8,\n    ) -> Self {{\n        inner()\n    }}\n    fn inner() {{}}\n}}\n\
             impl Clone for Hidden {{\n}}\nimpl Clone for Kind {{\n}}\npub(crate) fn no() {{}}\npub use a::{{B, C}};\n"
        );
        let types: BTreeSet<String> = types(&source).into_iter().collect();
        assert_eq!(
            items(&source, &types),
            [
                "non_exhaustive pub enum Kind { One, Two { a: u8 }, }",
                "pub struct Shown<T>",
                "pub field: Vec<T>",
                "impl<T> Shown<T>: pub fn new( a: u8, ) -> Self",
                "impl Clone for Kind",
                "pub use a::{B, C}",
            ]
        );
    }
}
