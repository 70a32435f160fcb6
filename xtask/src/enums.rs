//! The rule for public enums: each is `#[non_exhaustive]`, or stands in docs/enums.md, which says why it is not.

use std::collections::BTreeSet;
use std::fs;

use crate::api::api;
use crate::run::{Result, root};
use crate::tiers::CRATES;

/// Programs have no API.
const LAST_TIER: u8 = 5;
const PAGE: &str = "docs/enums.md";

/// Checks all of them, and returns how many there are.
pub(crate) fn check(findings: &mut Vec<String>) -> Result<usize> {
    let page = fs::read_to_string(root().join(PAGE)).map_err(|error| format!("{PAGE}: {error}"))?;
    let (mut open, mut count) = (BTreeSet::new(), 0);
    for known in CRATES.iter().filter(|known| known.tier <= LAST_TIER) {
        let items = api(&root().join("crates").join(known.name).join("src"))?;
        count += items.lines().filter(|line| line.contains(" pub enum ")).count();
        open.extend(items.lines().filter_map(|line| exhaustive(known.name, line)));
    }
    compare(&open, &listed(&page), findings);
    Ok(count)
}

/// The enum in a line of the API that may be matched without `_`, as the page names it.
fn exhaustive(name: &str, line: &str) -> Option<String> {
    let (file, item) = line.split_once(": pub enum ")?;
    let module = file.strip_suffix(".rs")?.trim_end_matches("/mod").replace('/', "::");
    let path = if module == "lib" { String::new() } else { module + "::" };
    let enumeration = item.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$')).next()?;
    Some(format!("{name}::{path}{enumeration}"))
}

/// What the page lists: whatever stands in its list items between backticks.
fn listed(page: &str) -> BTreeSet<String> {
    let items = page.lines().filter(|line| line.starts_with("- ") || line.starts_with("  "));
    items.flat_map(|line| line.split('`').skip(1).step_by(2)).map(String::from).collect()
}

fn compare(open: &BTreeSet<String>, listed: &BTreeSet<String>, findings: &mut Vec<String>) {
    for missing in open.difference(listed) {
        findings.push(format!("{missing}: `#[non_exhaustive]`, or a reason in {PAGE}"));
    }
    for stale in listed.difference(open) {
        findings.push(format!("{PAGE}: `{stale}` is no public enum without `#[non_exhaustive]`"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_enum_is_listed_or_open() {
        let lines = [
            "lib.rs: pub enum Error { A, }",
            "client/mod.rs: pub enum Event { A, }",
            "a/b.rs: non_exhaustive pub enum Other { A, }",
            "a/b.rs: pub fn enum_like()",
        ];
        let open: BTreeSet<_> = lines.iter().filter_map(|line| exhaustive("x", line)).collect();
        assert_eq!(open, BTreeSet::from(["x::Error".to_owned(), "x::client::Event".to_owned()]));
        let listed = listed("Words with `code`.\n- why: `x::Error`, `x::Gone`,\n  `x::Left`\n");
        assert_eq!(listed.len(), 3);
        let mut findings = Vec::new();
        compare(&open, &listed, &mut findings);
        assert_eq!(findings.len(), 3, "{findings:?}");
        assert!(findings[0].starts_with("x::client::Event: "), "{findings:?}");
    }
}
