//! `cargo xtask spec`: every rule of `docs/spec`, with the tests that cite it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::options::Options;
use crate::run::Result;

pub(crate) const USAGE: &str = "[--list] [--missing] [FILE...]";
pub(crate) const HELP: &str = "\
Holds the rules of docs/spec against the tests that cite them (docs/spec/README.md says how), and fails if a rule of a
file that is finished, or of an XEP that is, has none. Rules that do not apply stand in docs/spec/exceptions.md, with the reason.
  --list     shows every rule with the places that cite it
  --missing  shows the rules that nothing cites, in unfinished files too
  FILE       only these, such as rfc7622.md";

/// The files whose every rule is tested. A file is added here when it is finished, and never taken out again.
const FINISHED: &[&str] = &["rfc6120.md", "rfc6121.md", "rfc7622.md"];

/// The rows of `xeps.md` with these letters, of which every one is tested as well: an XEP that is finished.
const FINISHED_XEPS: &[&str] = &[
    "AH", "BD", "BI", "CB", "CI", "CR", "DB", "DF", "DK", "DL", "DT", "DW", "EX", "FA", "FV", "HI", "IA",
    "OF", "PN", "SD", "SL", "SM", "SU", "TD",
];

/// Where tests are.
const FOLDERS: &[&str] = &["crates", "fuzz/targets", "xtask/interop", "xtask/src"];

/// The rules of one file: ids, and where they are cited.
type Rules = BTreeMap<String, Vec<String>>;

pub(crate) fn main(args: &[String]) -> Result {
    let mut options = Options::new(args);
    let (list, missing) = (options.flag("--list"), options.flag("--missing"));
    let wanted = options.rest()?;
    let mut files = BTreeMap::new();
    for name in ["rfc6120.md", "rfc6121.md", "rfc7622.md", "xeps.md"] {
        let text = fs::read_to_string(Path::new("docs/spec").join(name))
            .map_err(|e| format!("docs/spec/{name}: {e}"))?;
        files.insert(name, rules(&text));
    }
    for folder in FOLDERS {
        walk(Path::new(folder), &mut |path, text| cite(&mut files, path, text));
    }
    let exceptions = exceptions(&files)?;
    let mut failed = Vec::new();
    for (name, rules) in &files {
        if !wanted.is_empty() && !wanted.iter().any(|file| file == name) {
            continue;
        }
        let excepted = |id: &String| exceptions.contains(&(name.to_string(), id.clone()));
        let uncited: Vec<_> =
            rules.iter().filter(|(id, at)| at.is_empty() && !excepted(id)).map(|(id, _)| id).collect();
        let stale: Vec<_> =
            rules.iter().filter(|(id, at)| !at.is_empty() && excepted(id)).map(|(id, _)| id).collect();
        let cited = rules.values().filter(|at| !at.is_empty()).count();
        println!(
            "{name}: {} rules, {cited} cited by tests, {} do not apply, {} without a test",
            rules.len(),
            rules.keys().filter(|id| excepted(id)).count(),
            uncited.len()
        );
        if list {
            for (id, at) in rules {
                let note = if excepted(id) { " (does not apply: docs/spec/exceptions.md)" } else { "" };
                println!("  {id}{note}: {}", at.join(", "));
            }
        }
        let finished = FINISHED.contains(name);
        if (missing || finished) && !uncited.is_empty() {
            println!(
                "  without a test: {}",
                uncited.iter().map(|id| id.as_str()).collect::<Vec<_>>().join(", ")
            );
        }
        if finished && !uncited.is_empty() {
            failed.push(format!("{name} has {} rules without a test", uncited.len()));
        }
        let of_finished: Vec<_> =
            uncited.iter().filter(|id| *name == "xeps.md" && is_of_finished_xep(id)).collect();
        if !of_finished.is_empty() {
            failed.push(format!("{name}: {of_finished:?} are of XEPs that are finished, and have no test"));
        }
        if !stale.is_empty() {
            failed.push(format!("{name}: {stale:?} stand in exceptions.md, and tests cite them"));
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(failed.join("; ")) }
}

/// Whether a row of `xeps.md` is of an XEP that is finished: `SM20`.
fn is_of_finished_xep(id: &str) -> bool {
    FINISHED_XEPS.contains(&id.trim_end_matches(|c: char| c.is_ascii_digit()))
}

/// The ids in the first column of the tables of a file, and those with which lines begin: `- LA1 [2] …`. A section number stands for `§number`, and a number below 24 in
/// the table of examples for `example number`.
fn rules(text: &str) -> Rules {
    let mut rules = Rules::new();
    let (mut header, mut heading) = (Vec::new(), "");
    for line in text.lines() {
        if line.starts_with('#') {
            heading = line;
        }
        let Some(row) = line.trim().strip_prefix('|') else {
            header.clear();
            if let Some(id) = listed(line) {
                rules.entry(id.to_owned()).or_default();
            }
            continue;
        };
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        if header.is_empty() {
            header = cells;
            continue;
        }
        let first = cells[0];
        if first.starts_with('-') || first.is_empty() {
            continue;
        }
        let id = match header[0] {
            "id" | "row" => first.to_owned(),
            "section" => format!("§{first}"),
            "option" => format!("option {first}"),
            // The verdicts on examples; the table of differences between RFCs and that of states hold no rules.
            "#" if first.bytes().all(|b| b.is_ascii_digit()) => format!("example {first}"),
            "#" => first.to_owned(),
            _ => continue,
        };
        // Ids are unique within a file; a row that stands twice (once for each direction) is one rule.
        let _ = heading;
        rules.entry(id).or_default();
    }
    rules
}

/// The id of a rule that is a line of a list, as those of XEPs are: letters and a number, and then the section in brackets or
/// `(derived)`.
fn listed(line: &str) -> Option<&str> {
    let (id, rest) = line.strip_prefix("- ")?.split_once(' ')?;
    let (letters, number) = id.split_at(id.find(|c: char| c.is_ascii_digit())?);
    let is_id = letters.len() == 2
        && letters.bytes().all(|b| b.is_ascii_uppercase())
        && number.bytes().all(|b| b.is_ascii_digit());
    (is_id && (rest.starts_with('[') || rest.starts_with("(derived)"))).then_some(id)
}

/// Notes the citations in the comments of one file of tests.
fn cite(files: &mut BTreeMap<&str, Rules>, path: &str, text: &str) {
    let is_test = path.contains("/tests/")
        || path.ends_with("tests.rs")
        || path.starts_with("xtask/interop")
        || path.starts_with("fuzz");
    let mut in_test = is_test;
    for (number, line) in text.lines().enumerate() {
        in_test |= line.contains("#[cfg(test)]") || line.contains("#[cfg(all(test,");
        if in_test {
            name_rows(files, path, number + 1, line);
        }
        let comment = line.find("//").or_else(|| line.find('#').filter(|_| path.ends_with(".py")));
        let Some(comment) = comment.filter(|_| in_test).map(|at| &line[at..]) else { continue };
        let place = format!("{path}:{}", number + 1);
        for (file, id) in citations(comment) {
            let Some(file) = file.or_else(|| only_file_with(files, &id)) else { continue };
            let at = files.get_mut(file).and_then(|rules| rules.get_mut(&id));
            if let Some(at) = at.filter(|at| at.last() != Some(&place)) {
                at.push(place.clone());
            }
            // `§4.9.3.*` stands for every rule of a section that a test goes through as a table.
            if let Some(prefix) = id.strip_suffix('*').filter(|prefix| prefix.starts_with('§')) {
                for (_, at) in
                    files.get_mut(file).into_iter().flatten().filter(|(id, _)| id.starts_with(prefix))
                {
                    at.push(place.clone());
                }
            }
        }
    }
}

/// A table of a test names its rows: `("D2b", …)`, or, in a file of such rows, the first word of a line. Such names are not
/// words of any language.
fn name_rows(files: &mut BTreeMap<&str, Rules>, path: &str, number: usize, line: &str) {
    let quoted = line.split('"').skip(1).step_by(2);
    let first = line.split_whitespace().next().filter(|_| path.ends_with(".txt"));
    for id in quoted.chain(first).filter(|id| id.contains(|c: char| c.is_ascii_digit())) {
        // Only that file's tables are gone through so.
        if let Some(at) = files.get_mut("rfc6121.md").and_then(|rules| rules.get_mut(id)) {
            at.push(format!("{path}:{number}"));
        }
    }
}

/// The file of a row that is cited without its document: the first RFC, or else the only file that has such a row.
fn only_file_with<'a>(files: &BTreeMap<&'a str, Rules>, id: &str) -> Option<&'a str> {
    let mut with = files.iter().filter(|(_, rules)| rules.contains_key(id)).map(|(name, _)| *name);
    let first = with.next()?;
    (first == "rfc6120.md" || with.next().is_none()).then_some(first)
}

/// What a comment cites: files and ids. An id belongs to the document named last before it; if none is, the file of an id in brackets is
/// left open.
fn citations(comment: &str) -> Vec<(Option<&'static str>, String)> {
    let mut found = Vec::new();
    let mut is_named = false;
    let mut file = "rfc6120.md";
    let mut words = comment.split_whitespace().peekable();
    let mut example = false;
    let mut last = None;
    while let Some(word) = words.next() {
        let bare = word.trim_matches(|c: char| !c.is_alphanumeric() && !matches!(c, '§' | '*'));
        match bare {
            "rfc6120.md" | "6120" | "7395" | "7590" | "5802" | "7677" | "4616" | "9266" | "5929" => {
                (file, is_named) = ("rfc6120.md", true);
            }
            "rfc6121.md" | "6121" => (file, is_named) = ("rfc6121.md", true),
            "rfc7622.md" | "7622" | "8264" | "8265" => (file, is_named) = ("rfc7622.md", true),
            "xeps.md" => (file, is_named) = ("xeps.md", true),
            _ if bare.starts_with("XEP-") => (file, is_named) = ("xeps.md", true),
            _ => {}
        }
        if let Some(section) = bare.strip_prefix('§') {
            found.push((Some(file), format!("§{section}")));
        }
        match bare {
            "example" | "examples" => {
                (example, last) = (true, None);
                file = "rfc7622.md";
            }
            "to" if example => {
                let end = words.peek().and_then(|word| number(word));
                if let (Some(from), Some(to)) = (last, end) {
                    found.extend((from..=to).map(|n| (Some("rfc7622.md"), format!("example {n}"))));
                }
            }
            _ if example => match number(bare) {
                Some(n) => {
                    last = Some(n);
                    found.push((Some("rfc7622.md"), format!("example {n}")));
                }
                None => example = false,
            },
            _ => {}
        }
        if bare == "option"
            && let Some(n) = words.peek().and_then(|word| number(word))
        {
            found.push((Some(file), format!("option {n}")));
        }
        // Feature ids are names that nothing else has; rows stand in brackets, several of them between commas.
        found.push((Some(file), bare.to_owned()));
        if word.contains(['[', ']']) || word.ends_with(',') {
            let file_of_row = is_named.then_some(file);
            let ids = word.trim_matches(|c: char| !c.is_alphanumeric() && c != '*');
            found.push((file_of_row, ids.to_owned()));
            if let Some((from, to)) = ids.split_once("..") {
                found.extend(range(from, to).map(|id| (file_of_row, id)));
            }
        }
    }
    found
}

fn number(word: &str) -> Option<u32> {
    word.trim_matches(|c: char| !c.is_ascii_digit()).parse().ok()
}

/// `SC1..SC4`: all of them.
fn range(from: &str, to: &str) -> impl Iterator<Item = String> {
    let split = |id: &str| {
        id.find(|c: char| c.is_ascii_digit()).map(|at| (id[..at].to_owned(), id[at..].parse::<u32>().ok()))
    };
    let ids = match (split(from), split(to)) {
        (Some((prefix, Some(first))), Some((same, Some(last)))) if prefix == same => {
            (first..=last).map(|n| format!("{prefix}{n}")).collect()
        }
        _ => Vec::new(),
    };
    ids.into_iter()
}

/// The rules that do not apply: rows `| file | id | reason |` of docs/spec/exceptions.md.
fn exceptions(files: &BTreeMap<&str, Rules>) -> Result<BTreeSet<(String, String)>> {
    let path = "docs/spec/exceptions.md";
    let text = fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
    let mut exceptions = BTreeSet::new();
    for (number, line) in text.lines().enumerate() {
        let Some(row) = line.trim().strip_prefix('|') else { continue };
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let [file, ids, reason, ..] = cells[..] else { continue };
        if !file.ends_with(".md") {
            continue;
        }
        for id in ids.split(',').map(str::trim) {
            let known = files.get(file).is_some_and(|rules| rules.contains_key(id));
            if !known || reason.is_empty() {
                return Err(format!("{path}:{}: `{id}` is no rule of {file}, or has no reason", number + 1));
            }
            exceptions.insert((file.to_owned(), id.to_owned()));
        }
    }
    Ok(exceptions)
}

fn walk(folder: &Path, visit: &mut impl FnMut(&str, &str)) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            if path.file_name().is_none_or(|name| name != "target") {
                walk(&path, visit);
            }
        } else if path
            .extension()
            .is_some_and(|kind| matches!(kind.to_str(), Some("rs" | "py" | "js" | "txt")))
            && let (Some(name), Ok(text)) = (path.to_str(), fs::read_to_string(&path))
        {
            visit(name, &text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{citations, cite, rules};

    #[test]
    fn tables_have_rules() {
        let text = "# 1\n| id | section |\n|---|---|\n| bind-gen | 7.6 |\n\n| row | rule |\n|---|---|\n| C1 | x |\n\n\
                    | section | condition |\n|---|---|\n| 4.9.3.1 | bad-format |\n\n| # | string |\n|---|---|\n| 1 | a@b |\n| a1 | c |\n\n\
                    | topic | 6122 |\n|---|---|\n| domain | x |\n";
        let ids: Vec<_> = rules(text).into_keys().collect();
        assert_eq!(ids, ["C1", "a1", "bind-gen", "example 1", "§4.9.3.1"]);
        let text = "**XEP-0012.** Overview.\n- LA1 [2] res M: result.\n- LA12 (derived) srv: the same.\n- no rule [2]\n- LA3: no\n";
        assert_eq!(rules(text).into_keys().collect::<Vec<_>>(), ["LA1", "LA12"]);
    }

    #[test]
    fn a_row_without_its_document_is_of_the_only_file_that_has_it() {
        let files =
            [("rfc6120.md", ["S5", "W1"]), ("rfc6121.md", ["S5", "SB1"]), ("xeps.md", ["SB1", "SL4"])];
        let mut files =
            files.map(|(name, ids)| (name, ids.map(|id| (id.to_owned(), Vec::new())).into())).into();
        cite(&mut files, "crates/x/tests/y.rs", "// [SL4] [S5] [SB1] [W1]\n// SL4\n// XEP-0388 [SL4]\n");
        let cited = |file: &str, id: &str| files[file][id].len();
        assert_eq!([cited("rfc6120.md", "S5"), cited("rfc6121.md", "S5")], [1, 0]);
        assert_eq!([cited("rfc6121.md", "SB1"), cited("xeps.md", "SB1")], [0, 0]);
        assert_eq!(files["xeps.md"]["SL4"], ["crates/x/tests/y.rs:1", "crates/x/tests/y.rs:3"]);
    }

    #[test]
    fn comments_cite_rules() {
        let has = |comment: &str, file: &str, id: &str| {
            assert!(
                citations(comment).iter().any(|(f, i)| (*f, i.as_str()) == (Some(file), id)),
                "{comment}: {id}"
            );
        };
        let comment = "// RFC 6121 §8.5.2.1.1 [D4b], RFC 6120 §15 sasl-restart, bind-gen";
        has(comment, "rfc6121.md", "D4b");
        has(comment, "rfc6120.md", "sasl-restart");
        has(comment, "rfc6120.md", "bind-gen");
        has("// rfc6120.md [S5]", "rfc6120.md", "S5");
        has("// RFC 6120 §4.9.3.12 [N16]", "rfc6120.md", "§4.9.3.12");
        has("// RFC 6121 §4.7.2 [PR28, PR29, PR30]", "rfc6121.md", "PR29");
        has("// RFC 7622 §3.5 examples 16, 17, 19 to 23", "rfc7622.md", "example 21");
        has("// RFC 7622 §3.5 examples 16, 17, 19 to 23", "rfc7622.md", "example 17");
        has("// RFC 5802 §5 [SC1..SC4]", "rfc6120.md", "SC3");
        has("// RFC 6121 §8.1 [PR33], XEP-0012 2.0 §3, §8 [LA2, LA11]", "xeps.md", "LA11");
        assert!(citations("// [SL4, SL7]: so").contains(&(None, "SL7".into())));
        assert!(!citations("// RFC 7622 example 18").iter().any(|(_, id)| id == "example 17"));
    }
}
