//! The lint that docs/limits.md is complete: each bound that somebody can set stands there, with its default, and what stands
//! there exists.
//!
//! Bounds are the numbers and durations among the public fields of what a server is configured with, and of its extensions, and
//! those among the keys of the configuration file. It reads the source, as the other lints do.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::run::{Result, root};
use crate::source::code;
use crate::tiers::CRATES;

const PAGE: &str = "docs/limits.md";
/// The crates that a server is made of. Their types whose names end like these are what it is configured with.
const SERVER: [&str; 5] = ["machine", "roster", "router", "server", "store"];
const ENDINGS: [&str; 2] = ["Limits", "Config"];
/// Where the configuration file is read: the file, and the type whose fields are its keys.
const KEYS: [(&str, &str); 5] = [
    ("crates/cli/src/config/mod.rs", "Settings"),
    ("crates/cli/src/federation.rs", "Federation"),
    ("crates/cli/src/queues.rs", "Queues"),
    ("crates/cli/src/push.rs", "PushNotifications"),
    ("crates/cli/src/csi.rs", "ClientStates"),
];
/// Numbers that bound nothing which somebody could make the server keep.
const NO_BOUNDS: [(&str, &str); 3] = [
    ("ServerConfig::iterations", "work for a password"),
    ("WorkerConfig::iterations", "work for a password"),
    ("threads", "what the operator gives"),
];

/// A field that bounds something.
#[derive(Debug, PartialEq, Eq)]
struct Bound {
    /// `Type::field`, or the key in the configuration file.
    name: String,
    /// How its default may be written on the page; nothing if the source does not say it in numbers.
    forms: Vec<String>,
}

/// A row of the page: what is bounded and how, and the options and fields.
struct Row {
    line: usize,
    bound: String,
    names: BTreeSet<String>,
}

/// Checks the page, and returns how many bounds there are.
pub(crate) fn check(findings: &mut Vec<String>) -> Result<usize> {
    let read = |path: &str| {
        fs::read_to_string(root().join(path)).map(|text| code(&text)).map_err(|e| format!("{path}: {e}"))
    };
    let (mut bounds, mut exists) = (Vec::new(), BTreeSet::new());
    for known in CRATES {
        let folder = root().join("crates").join(known.name).join("src");
        for file in files(&folder)? {
            let text = code(&fs::read_to_string(&file).map_err(|e| format!("{}: {e}", file.display()))?);
            exists.extend(items(&text, known.name));
            if SERVER.contains(&known.name) {
                bounds.extend(of_types(&text));
            }
        }
    }
    for (path, type_name) in KEYS {
        let text = read(path)?;
        let fields = fields(&text, type_name);
        exists.extend(fields.iter().map(|(field, _)| field.replace('_', "-")));
        let numbers = fields.into_iter().filter(|(_, kind)| is_number(kind));
        bounds.extend(numbers.map(|(field, _)| Bound { name: field.replace('_', "-"), forms: vec![] }));
    }
    bounds.retain(|bound| NO_BOUNDS.iter().all(|(name, _)| *name != bound.name));
    let page = fs::read_to_string(root().join(PAGE)).map_err(|error| format!("{PAGE}: {error}"))?;
    compare(&bounds, &exists, &rows(&page), findings);
    Ok(bounds.len())
}

fn compare(bounds: &[Bound], exists: &BTreeSet<String>, rows: &[Row], findings: &mut Vec<String>) {
    for Bound { name, forms } in bounds {
        let of_it: Vec<&Row> = rows.iter().filter(|row| row.names.contains(name)).collect();
        if of_it.is_empty() {
            findings.push(format!(
                "{PAGE}: `{name}` is missing: a row says what it bounds, and what happens past it"
            ));
        } else if !forms.is_empty()
            && !of_it.iter().any(|row| forms.iter().any(|form| says(&row.bound, form)))
        {
            findings.push(format!(
                "{PAGE}:{}: the default of `{name}` is {}",
                of_it[0].line,
                forms.join(" or ")
            ));
        }
    }
    for row in rows {
        for name in row.names.difference(exists) {
            findings.push(format!("{PAGE}:{}: there is no `{name}`", row.line));
        }
    }
}

/// Whether the number stands in the text, and not as a part of another.
fn says(text: &str, form: &str) -> bool {
    let in_number = |c: char| c.is_ascii_alphanumeric() || c == ',' || c == '.';
    text.match_indices(form).any(|(at, _)| {
        let (before, after) = (&text[..at], &text[at + form.len()..]);
        let follows = after.trim_start_matches([',', '.']);
        !before.ends_with(in_number)
            && (follows.len() < after.len() && !follows.starts_with(|c: char| c.is_ascii_digit())
                || !after.starts_with(in_number))
    })
}

/// The rows of the page's tables.
fn rows(page: &str) -> Vec<Row> {
    let lines = page.lines().enumerate().filter(|(_, line)| line.starts_with("| "));
    let row = |(number, line): (usize, &str)| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let names = cells.get(3)?.split('`').skip(1).step_by(2);
        // `[section]`s and crates only say where a name belongs.
        let names = names.filter(|name| !name.starts_with('[') && !name.starts_with("balcony-"));
        Some(Row {
            line: number + 1,
            bound: format!("{} {}", cells.get(1)?, cells.get(2)?),
            names: names.map(str::to_owned).collect(),
        })
    };
    lines.filter_map(row).collect()
}

/// The bounds among the fields of what a server is configured with, and of its extensions.
fn of_types(text: &str) -> Vec<Bound> {
    let names = text.lines().filter_map(|line| line.strip_prefix("pub struct ")).map(word);
    let configures = |name: &&str| {
        ENDINGS.iter().any(|ending| name.ends_with(ending)) && *name != "XmlLimits"
            || text.contains(&format!("\nimpl Extension for {name} {{"))
    };
    let mut bounds = Vec::new();
    for name in names.filter(configures) {
        let numbers = fields(text, name).into_iter().filter(|(_, kind)| is_number(kind));
        for (field, kind) in numbers {
            let forms = default(text, name, &field).map_or(vec![], |value| forms(text, &value, &kind));
            bounds.push(Bound { name: format!("{name}::{field}"), forms });
        }
    }
    bounds
}

/// What may be named on the page: public fields and constants.
fn items(text: &str, krate: &str) -> BTreeSet<String> {
    let mut items = BTreeSet::new();
    for name in text.lines().filter_map(|line| line.strip_prefix("pub struct ")).map(word) {
        items.extend(fields(text, name).into_iter().map(|(field, _)| format!("{name}::{field}")));
    }
    for name in text.lines().filter_map(|line| line.strip_prefix("pub const ")).map(word) {
        items.insert(format!("balcony_{}::{name}", krate.replace('-', "_")));
    }
    items
}

/// The fields of a type that are not private, with their types.
fn fields(text: &str, name: &str) -> Vec<(String, String)> {
    let Some(at) = ["pub struct ", "pub(crate) struct "].iter().find_map(|start| {
        let start = format!("{start}{name} {{\n");
        text.find(&start).map(|at| at + start.len())
    }) else {
        return vec![];
    };
    let body = &text[at..text[at..].find("\n}").map_or(text.len(), |end| at + end)];
    let field = |line: &str| {
        let line = line.trim().trim_end_matches(',');
        let line = line.strip_prefix("pub(crate) ").or(line.strip_prefix("pub ")).unwrap_or(line);
        let (field, kind) = line.split_once(": ")?;
        field.chars().all(|c| c.is_alphanumeric() || c == '_').then(|| (field.to_owned(), kind.to_owned()))
    };
    body.lines().filter_map(field).collect()
}

/// A number of things, bytes or seconds, or the bounds of an element.
fn is_number(kind: &str) -> bool {
    let kind = kind.strip_prefix("Option<").and_then(|kind| kind.strip_suffix('>')).unwrap_or(kind);
    ["usize", "u8", "u16", "u32", "u64", "Duration", "XmlLimits"].contains(&kind)
}

/// What the source gives the field where the type is made with its defaults.
fn default(text: &str, name: &str, field: &str) -> Option<String> {
    let whole = text
        .find(&format!("\nimpl Default for {name} {{"))
        .or_else(|| text.find(&format!("\nimpl {name} {{")))?;
    let text = &text[whole..];
    let at = text.find(&format!(" {field}: "))? + field.len() + 3;
    let rest = &text[at..text[at..].find('\n').map_or(text.len(), |end| at + end)];
    let mut depth = 0_i32;
    let end = rest.find(|c| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        depth < 0 || depth == 0 && (c == ',' || c == '}')
    });
    Some(rest[..end.unwrap_or(rest.len())].trim().to_owned())
}

/// How a default may be written on the page.
fn forms(text: &str, value: &str, kind: &str) -> Vec<String> {
    let value = value.strip_prefix("Some(").and_then(|value| value.strip_suffix(')')).unwrap_or(value);
    if value == "None" {
        return vec!["any number".to_owned()];
    }
    if let Some(constant) = value.strip_prefix("XmlLimits::") {
        let at = text.find(&format!("const {constant}: XmlLimits"));
        let bytes = at
            .and_then(|at| text[at..].split_once("bytes: "))
            .and_then(|(_, rest)| number(rest.split(',').next()?));
        return bytes.map_or(vec![], |bytes| vec![format!("{} bytes", grouped(bytes))]);
    }
    if kind.contains("Duration") {
        let seconds =
            value.strip_prefix("Duration::from_secs(").and_then(|value| number(value.strip_suffix(')')?));
        return seconds.map_or(vec![], durations);
    }
    number(value).map_or(vec![], |number| {
        let units = [(10, "KiB"), (20, "MiB"), (30, "GiB")];
        let whole = units.iter().filter(|(bits, _)| number > 0 && number.trailing_zeros() >= *bits);
        let written = whole.map(|(bits, unit)| format!("{} {unit}", grouped(number >> bits)));
        [grouped(number)].into_iter().chain(written).collect()
    })
}

fn durations(seconds: u64) -> Vec<String> {
    let mut forms = vec![format!("{seconds} s")];
    for (unit, name) in [(60, "minute"), (3_600, "hour"), (86_400, "day")] {
        if seconds > 0 && seconds.is_multiple_of(unit) {
            let plural = if seconds == unit { "" } else { "s" };
            forms.push(format!("{} {name}{plural}", seconds / unit));
        }
    }
    forms
}

/// `64 << 10`, `256 * 1024`, `1_024`.
fn number(text: &str) -> Option<u64> {
    if let Some((value, bits)) = text.split_once("<<") {
        return Some(number(value)? << number(bits)?);
    }
    if let Some((one, other)) = text.split_once('*') {
        return Some(number(one)? * number(other)?);
    }
    text.trim().replace('_', "").parse().ok()
}

/// With a comma after each three digits.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn word(text: &str) -> &str {
    text.split(|c: char| !(c.is_alphanumeric() || c == '_')).next().unwrap_or_default()
}

/// The source files below a folder, in order.
fn files(folder: &Path) -> Result<Vec<std::path::PathBuf>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))? {
            let path = entry.map_err(|error| error.to_string())?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.insert(path, ());
            }
        }
    }
    Ok(found.into_keys().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "
pub struct SomeLimits {
    pub things: usize,
    pub bytes: Option<usize>,
    pub wait: Duration,
    pub is_on: bool,
}

impl Default for SomeLimits {
    fn default() -> Self {
        SomeLimits { things: 1_024, bytes: Some(4 << 20), wait: Duration::from_secs(2 * 60), is_on: true }
    }
}
";

    fn found(page: &str) -> Vec<String> {
        let mut findings = Vec::new();
        compare(&of_types(SOURCE), &items(SOURCE, "some"), &rows(page), &mut findings);
        findings
    }

    #[test]
    fn a_page_that_says_all_is_right() {
        let page = "| things | 1,024, of 4 MiB | `SomeLimits::things`, `SomeLimits::bytes` | gone |\n\
                    | time | 2 minutes | `SomeLimits::wait` | gone |\n";
        assert_eq!(found(page), Vec::<String>::new());
    }

    #[test]
    fn what_is_missing_wrong_or_gone_is_found() {
        let page = "| things | 11,024 | `SomeLimits::things` | gone |\n\
                    | old | 4 MiB | `SomeLimits::bytes`, `SomeLimits::old` | gone |\n";
        assert_eq!(
            found(page),
            [
                "docs/limits.md:1: the default of `SomeLimits::things` is 1,024 or 1 KiB",
                "docs/limits.md: `SomeLimits::wait` is missing: a row says what it bounds, and what happens past it",
                "docs/limits.md:2: there is no `SomeLimits::old`",
            ]
        );
    }

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!(forms("", "256 * 1024", "usize"), ["262,144", "256 KiB"]);
        assert_eq!(forms("", "Duration::from_secs(600)", "Duration"), ["600 s", "10 minutes"]);
        assert_eq!(forms("", "None", "Option<u32>"), ["any number"]);
        assert!(
            says("64, 64 KiB", "64")
                && says("at 1,024.", "1,024")
                && !says("1,024,000", "1,024")
                && !says("164", "64")
        );
    }
}
