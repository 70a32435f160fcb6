//! What is wrong in a configuration file, for somebody who has written it and does not know how it is read.

use core::ops::Range;

use super::{Settings, bounds};

/// A name may be mistyped by so much, to be taken for another one, and by no more than a third: `port` is not `cert`.
const CLOSE: usize = 2;

/// The fault that was found at this place of the text, with the name of the setting.
pub(super) fn explain(message: &str, text: &str, span: Range<usize>) -> String {
    if message == "duplicate key" {
        // It does not say which; the same key or table is somewhere above.
        return format!("`{}` is there twice", text.get(span).unwrap_or_default().trim());
    }
    if let Some(explained) = below_section(message, text.get(..span.start)).or_else(|| unknown(message)) {
        return explained;
    }
    let key = key(text, span.start);
    let least = key.map_or(0, bounds::least);
    let message = wrong_type(message, least).unwrap_or_else(|| message.replace('\n', " "));
    match key {
        Some(key) => format!("`{key}`: {message}"),
        None => message,
    }
}

/// A setting of the whole file, below the head of a section, to which it belongs then.
fn below_section(message: &str, before: Option<&str>) -> Option<String> {
    let (name, _) = message.strip_prefix("unknown field `")?.split_once('`')?;
    let section = before?.lines().rev().map(str::trim_start).find(|line| line.starts_with('['))?;
    let section = section.split_once(']')?.0;
    // There a domain's own certificate is meant.
    if section.starts_with("[domains") {
        return None;
    }
    let of_file = toml::from_str::<Settings>("'' = 0").err()?;
    let is_of_file = of_file.message().split('`').skip(1).step_by(2).any(|other| other == name);
    is_of_file.then(|| format!("`{name}` is no setting of {section}]: put it above the first [section]"))
}

/// A setting that there is not: only the one that was probably meant is named, of some thirty.
fn unknown(message: &str) -> Option<String> {
    let (name, others) = message.strip_prefix("unknown field `")?.split_once("`, expected ")?;
    // What stands between backticks.
    let meant = others.split('`').skip(1).step_by(2).min_by_key(|other| distance(name, other))?;
    (distance(name, meant) <= CLOSE.min(meant.len() / 3))
        .then(|| format!("unknown field `{name}`: is `{meant}` meant?"))
}

/// A value that is something else than what is wanted, and if that is a number then this one at least. It is shown where a number or a switch is wanted, and nowhere else: it may be a secret.
fn wrong_type(message: &str, least: u32) -> Option<String> {
    let rest = message.strip_prefix("invalid type: ").or_else(|| message.strip_prefix("invalid value: "))?;
    let (what, wanted) = rest.rsplit_once(", expected ")?;
    let number = |most: u32| (format!("a whole number from {least} to {most}"), true);
    let (wanted, is_shown) = match wanted {
        "u8" => number(u8::MAX.into()),
        "u16" => number(u16::MAX.into()),
        "u32" => number(u32::MAX),
        "a boolean" => ("true or false".into(), true),
        "a string" | "path string" => ("a text in quotes".into(), false),
        other => (other.into(), false),
    };
    if is_shown {
        return Some(format!("{wanted} is wanted, and not the {what}"));
    }
    let kind = what.split(['`', '"']).next().unwrap_or_default().trim_end();
    let article = if kind.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
    Some(format!("{wanted} is wanted, and not {article} {kind}"))
}

/// The name before a value that begins here.
fn key(text: &str, start: usize) -> Option<&str> {
    let before = text.get(..start)?.trim_end().strip_suffix('=')?;
    let key = before.rsplit(['\n', '{', ',']).next()?.trim();
    (!key.is_empty()).then_some(key)
}

/// How many characters have to be put in, left out or replaced to make one name of the other (Levenshtein), however words are joined.
fn distance(one: &str, other: &str) -> usize {
    let plain = |name: &str| name.to_lowercase().replace('_', "-").chars().collect::<Vec<_>>();
    let (one, other) = (plain(one), plain(other));
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (index, from) in one.iter().enumerate() {
        let mut diagonal = core::mem::replace(&mut row[0], index + 1);
        for (place, to) in other.iter().enumerate() {
            let replaced = diagonal + usize::from(from != to);
            diagonal = row[place + 1];
            row[place + 1] = replaced.min(row[place] + 1).min(diagonal + 1);
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_as_far_apart_as_they_are_mistyped() {
        for (one, other, far) in [
            ("listen", "listen", 0),
            ("allow_registration", "allow-registration", 0),
            ("Log", "log", 0),
            ("lisen", "listen", 1),
            ("federatoin", "federation", 2),
            ("", "log", 3),
            ("key", "", 3),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!((distance(one, other), distance(other, one)), (far, far), "{one} {other}");
        }
    }
}
