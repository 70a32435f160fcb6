//! The lint that each type in a signature of the front door has a name there: whoever has crate `balcony` among their dependencies can
//! write down the type of whatever they get from it, or give to it, and depends on no second crate for that.
//!
//! It reads the source, as [`crate::api`] does, and begins with what crate `balcony` declares. A type that has a name there is
//! looked through as well: its variants, its public fields and what its methods take and give.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::api;
use crate::run::{Result, root};
use crate::source::code;
use crate::tiers::{CRATES, find};

/// The crate that has to have names for all.
const FRONT: &str = "balcony";

/// A type, by the folder of its crate and its name. Two of one name in one crate are taken for one.
type Type = (String, String);

/// What is read of a crate.
#[derive(Default)]
struct Source {
    /// Its public types.
    types: BTreeSet<String>,
    /// What is public in it and comes from another crate: the name here, the folder of that crate, and the name there.
    from_others: BTreeMap<String, Type>,
    /// Crates that are a module here, whole.
    modules: BTreeSet<String>,
    /// Modules of other crates of which everything is had: the folder of the crate, and the module.
    globs: Vec<(String, String)>,
    /// The file of each public name, below the crate's `src`.
    files: Vec<(String, String)>,
    /// Each item with what it belongs to, and what names mean in its file.
    items: Vec<Item>,
}

struct Item {
    /// The type whose item this is; empty for a function of its own.
    owner: String,
    text: String,
    /// The file's `use`s of other crates of ours.
    uses: BTreeMap<String, Type>,
}

/// Adds a finding for each type without a name, and returns how many types have been looked at.
pub(crate) fn check(findings: &mut Vec<String>) -> Result<usize> {
    let mut sources = BTreeMap::new();
    for known in CRATES {
        let folder = root().join("crates").join(known.name).join("src");
        if folder.join("lib.rs").exists() {
            sources.insert(known.name.to_owned(), read(&folder)?);
        }
    }
    let (missing, count) = missing(&sources);
    for ((krate, name), place) in missing {
        findings.push(format!(
            "crates/{FRONT}: `{place}` has `{name}` of crates/{krate} in it, which has no name there: add a `pub use`"
        ));
    }
    Ok(count)
}

/// The types that have no name, each with an item that needs one; and how many there are in all.
fn missing(sources: &BTreeMap<String, Source>) -> (BTreeMap<Type, String>, usize) {
    let named = named(sources);
    let (mut missing, mut seen) = (BTreeMap::new(), BTreeSet::new());
    // Functions belong to no type.
    let mut open = vec![(FRONT.to_owned(), String::new())];
    open.extend(named.iter().filter(|(krate, _)| !sources[FRONT].modules.contains(krate)).cloned());
    while let Some(next) = open.pop() {
        if !seen.insert(next.clone()) {
            continue;
        }
        let Some(source) = sources.get(&next.0) else { continue };
        for item in source.items.iter().filter(|item| item.owner == next.1) {
            for found in mentioned(sources, &next.0, item) {
                if named.contains(&found) {
                    open.push(found);
                } else {
                    missing.entry(found).or_insert_with(|| item.text.clone());
                }
            }
        }
    }
    (missing, seen.len())
}

/// All types that have a name in the front door.
fn named(sources: &BTreeMap<String, Source>) -> BTreeSet<Type> {
    let Some(front) = sources.get(FRONT) else { return BTreeSet::new() };
    let of = |krate: &str, source: &Source| -> Vec<Type> {
        let own = source.types.iter().map(|name| (krate.to_owned(), name.clone()));
        own.chain(source.from_others.values().map(|found| origin(sources, found))).collect()
    };
    let mut named: BTreeSet<Type> = of(FRONT, front).into_iter().collect();
    for module in &front.modules {
        named.extend(sources.get(module).into_iter().flat_map(|source| of(module, source)));
    }
    // An alias is a name, too.
    for item in front.items.iter().filter(|item| item.text.starts_with("pub type ")) {
        named.extend(mentioned(sources, FRONT, item));
    }
    for (krate, module) in &front.globs {
        let files = sources.get(krate).into_iter().flat_map(|source| &source.files);
        let is_inside =
            |file: &str| file == format!("{module}.rs") || file.starts_with(&format!("{module}/"));
        let inside = files.filter(|(file, _)| is_inside(file)).map(|(_, name)| (krate.clone(), name.clone()));
        named.extend(inside.map(|found| origin(sources, &found)));
    }
    named
}

/// Where a type is declared that a crate has of another one.
fn origin(sources: &BTreeMap<String, Source>, found: &Type) -> Type {
    let source = sources.get(&found.0);
    match source.filter(|source| !source.types.contains(&found.1)).and_then(|s| s.from_others.get(&found.1)) {
        Some(further) if further != found => origin(sources, further),
        _ => found.clone(),
    }
}

/// The types of ours that an item has in it.
fn mentioned(sources: &BTreeMap<String, Source>, krate: &str, item: &Item) -> Vec<Type> {
    let text = without_variants(&item.text);
    let mut found = Vec::new();
    for path in text.split(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | ':'))) {
        let path = path.trim_matches(':');
        let segments: Vec<&str> = path.split("::").collect();
        let Some(at) = segments.iter().position(|one| one.starts_with(char::is_uppercase)) else { continue };
        let name = segments[at];
        let one = match segments[0].strip_prefix("balcony_") {
            Some(other) => Some((other.replace('_', "-"), name.to_owned())),
            None if at > 0 && !matches!(segments[0], "crate" | "super" | "self") => None,
            None => item.uses.get(name).cloned().or_else(|| Some((krate.to_owned(), name.to_owned()))),
        };
        let one = one.map(|one| origin(sources, &one));
        found.extend(one.filter(|(krate, name)| sources.get(krate).is_some_and(|s| s.types.contains(name))));
    }
    found
}

/// The names of an enum's variants are no types.
fn without_variants(text: &str) -> String {
    let is_enum = text.split_whitespace().any(|word| word == "enum");
    let (mut depth, mut is_name, mut kept) = (0_usize, false, String::new());
    for c in text.chars() {
        match c {
            '{' | '(' | '[' | '<' => depth += 1,
            '}' | ')' | ']' | '>' => depth = depth.saturating_sub(1),
            _ => {}
        }
        is_name = match c {
            '{' | ',' if is_enum && depth == 1 => true,
            c => is_name && (c.is_whitespace() || c.is_alphanumeric() || c == '_'),
        };
        kept.push(if is_name { ' ' } else { c });
    }
    kept
}

fn read(folder: &Path) -> Result<Source> {
    let mut source = Source::default();
    let mut files = Vec::new();
    api::list(folder, &mut files)?;
    let mut texts = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
        let text = code(&text);
        source.types.extend(api::types(&text));
        texts.push((file.strip_prefix(folder).unwrap_or(&file).display().to_string(), text));
    }
    for (file, text) in &texts {
        take(&mut source, file, text);
    }
    Ok(source)
}

/// Takes in a file.
fn take(source: &mut Source, file: &str, text: &str) {
    let mut uses = BTreeMap::new();
    source.files.extend(api::types(text).into_iter().map(|name| (file.to_owned(), name)));
    for statement in text.split(';') {
        let Some(at) = statement.rfind("use ").filter(|at| starts_line(statement, *at)) else { continue };
        let is_public = statement[..at].ends_with("pub ");
        for (name, path) in leaves(&statement[at + "use ".len()..]) {
            let Some((krate, rest)) = path.split_once("::").map_or(Some((path.as_str(), "")), Some) else {
                continue;
            };
            let Some(krate) = find(&krate.replace('_', "-")) else { continue };
            if rest.is_empty() && is_public {
                source.modules.insert(krate.name.to_owned());
            }
            if let (true, Some(module)) = (is_public, rest.strip_suffix("::*")) {
                source.globs.push((krate.name.to_owned(), module.replace("::", "/")));
            }
            let there = rest.rsplit("::").next().unwrap_or_default();
            let there = (krate.name.to_owned(), there.to_owned());
            if is_public {
                source.files.push((file.to_owned(), name.clone()));
                source.from_others.insert(name.clone(), there.clone());
            }
            uses.insert(name, there);
        }
    }
    let mut owner = String::new();
    for item in api::items(text, &source.types) {
        let item = item.strip_prefix("non_exhaustive ").unwrap_or(&item).to_owned();
        let of = if let Some((header, _)) = item.split_once(": pub ").filter(|_| item.starts_with("impl")) {
            subject(header)
        } else if item.starts_with("impl") || item.starts_with("pub use") || item.starts_with("pub mod") {
            // What is implemented of other people's traits has signatures of theirs.
            continue;
        } else {
            if declares(&item) {
                owner = api::types(&item).pop().unwrap_or_default();
            }
            owner.clone()
        };
        source.items.push(Item { owner: of, text: item, uses: uses.clone() });
    }
}

/// Whether an item is more than a field of the type before it.
fn declares(item: &str) -> bool {
    let first = item.split_whitespace().nth(1).unwrap_or_default();
    matches!(
        first,
        "struct" | "enum" | "trait" | "type" | "union" | "fn" | "const" | "async" | "unsafe" | "static"
    )
}

fn starts_line(statement: &str, at: usize) -> bool {
    let line = statement[..at].rsplit('\n').next().unwrap_or_default().trim();
    matches!(line, "" | "pub")
}

/// The type that an `impl` is of.
fn subject(header: &str) -> String {
    let mut rest = header.trim_start_matches("impl");
    if rest.starts_with('<') {
        let mut depth = 0_usize;
        let end = rest.char_indices().find(|(_, c)| {
            depth = match c {
                '<' => depth + 1,
                '>' => depth - 1,
                _ => depth,
            };
            depth == 0
        });
        rest = end.map_or("", |(at, _)| &rest[at + 1..]);
    }
    let name = rest.trim_start().split(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | ':'))).next();
    name.and_then(|path| path.rsplit("::").next()).unwrap_or_default().to_owned()
}

/// What a `use` brings: each name, and its path.
fn leaves(tree: &str) -> Vec<(String, String)> {
    let tree = tree.trim();
    let Some((prefix, list)) = tree.split_once('{') else {
        let (path, name) =
            tree.split_once(" as ").unwrap_or((tree, tree.rsplit("::").next().unwrap_or(tree)));
        return vec![(name.trim().to_owned(), path.trim().to_owned())];
    };
    let list = list.rsplit_once('}').map_or(list, |(list, _)| list);
    let (mut depth, mut parts) = (0_usize, vec![String::new()]);
    for c in list.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(last) = parts.last_mut() {
            last.push(c);
        }
    }
    let parts = parts.iter().map(|part| part.trim()).filter(|part| !part.is_empty());
    parts.flat_map(|part| leaves(&format!("{prefix}{part}"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(files: &[(&str, &str)]) -> BTreeMap<String, Source> {
        let mut sources: BTreeMap<String, Source> = BTreeMap::new();
        for (krate, text) in files {
            let source = sources.entry((*krate).to_owned()).or_default();
            source.types.extend(api::types(text));
        }
        for (krate, text) in files {
            if let Some(source) = sources.get_mut(*krate) {
                take(source, "lib.rs", text);
            }
        }
        sources
    }

    fn found(files: &[(&str, &str)]) -> Vec<String> {
        missing(&sources(files)).0.into_keys().map(|(krate, name)| format!("{krate}::{name}")).collect()
    }

    #[test]
    fn a_type_without_a_name_is_found() {
        let machine = (
            "client",
            "use balcony_sasl::Mechanism;\npub struct Inner;\npub enum Event {\n    Inner(Mechanism),\n}\n",
        );
        let sasl = ("sasl", "pub enum Mechanism {\n    Plain,\n}\n");
        let front = |text: &'static str| ("balcony", text);
        // A function, a field, a variant of what has a name: all of them are signatures.
        let function = front("pub fn next() -> balcony_client::Inner {\n}\n");
        assert_eq!(found(&[machine, sasl, function]), ["client::Inner"]);
        let field = front("use balcony_client::Inner;\npub struct A {\n    pub field: Option<Inner>,\n}\n");
        assert_eq!(found(&[machine, sasl, field]), ["client::Inner"]);
        let method = front(
            "pub struct A;\nimpl<T> A<T> {\n    pub fn a(&self) -> balcony_client::Inner {\n    }\n}\n",
        );
        assert_eq!(found(&[machine, sasl, method]), ["client::Inner"]);
        let variant = front("pub use balcony_client::{Event};\n");
        assert_eq!(found(&[machine, sasl, variant]), ["sasl::Mechanism"]);
        // One by one, as a module, or all of a module.
        for named in ["pub use balcony_sasl::Mechanism;", "pub use balcony_sasl as sasl;"] {
            let both = format!("pub use balcony_client::{{Event}};\n{named}\n");
            assert_eq!(found(&[machine, sasl, ("balcony", both.as_str())]), Vec::<String>::new());
        }
    }
}
