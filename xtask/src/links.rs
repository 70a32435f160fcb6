//! The links of the project's pages to files of its own: each leads somewhere.

use std::fs;
use std::path::Path;

use crate::run::{Result, root};

/// Where pages are. The pages of crates are shown by registries, where only whole addresses lead anywhere.
const FOLDERS: &[&str] = &["", "docs", "docs/adr"];

/// Looks at all pages. How many links there are.
pub(crate) fn check(findings: &mut Vec<String>) -> Result<usize> {
    let mut count = 0;
    for name in FOLDERS {
        let folder = root().join(name);
        let error = |error| format!("{}: {error}", folder.display());
        for entry in fs::read_dir(&folder).map_err(error)? {
            let path = entry.map_err(error)?.path();
            if path.extension().is_some_and(|extension| extension == "md") {
                let text = fs::read_to_string(&path).map_err(error)?;
                for target in targets(&text) {
                    count += 1;
                    if !leads_somewhere(&folder, target) {
                        findings.push(format!("{}: the link to {target} leads nowhere", path.display()));
                    }
                }
            }
        }
    }
    Ok(count)
}

/// What the links of a page lead to, those to other places left out.
fn targets(text: &str) -> impl Iterator<Item = &str> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target);
    targets.filter(|target| !target.contains(':') && !target.starts_with('#') && !target.contains(' '))
}

fn leads_somewhere(folder: &Path, target: &str) -> bool {
    let file = target.split('#').next().unwrap_or_default();
    folder.join(file).exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_found() {
        let text = "[a](b.md), [`c`](d/e.md#f) and [g](https://example.org/) or [h](#i); f(x)[1](not this)";
        assert_eq!(targets(text).collect::<Vec<_>>(), ["b.md", "d/e.md#f"]);
        assert!(leads_somewhere(&root(), "docs/limits.md#x") && leads_somewhere(&root(), "docs/adr"));
        assert!(!leads_somewhere(&root(), "docs/missing.md"));
    }
}
