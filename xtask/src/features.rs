//! The features of the libraries: each is in the table of its crate's docs, where whoever depends on the crate looks for it, and docs.rs is told
//! to show what they bring.

use std::fs;

use crate::run::{Result, root};

/// Looks at all libraries. How many features there are.
pub(crate) fn check(name: &str, manifest: &str, findings: &mut Vec<String>) -> Result<usize> {
    let folder = root().join("crates").join(name);
    let library = folder.join("src/lib.rs");
    // Programs have none that others see.
    if !library.exists() {
        return Ok(0);
    }
    let docs = fs::read_to_string(&library).map_err(|error| format!("{}: {error}", library.display()))?;
    let features: Vec<&str> = features(manifest).collect();
    for feature in missing(&features, &docs) {
        findings.push(format!(
            "crates/{name}/src/lib.rs: the feature `{feature}` is missing in the table of its docs"
        ));
    }
    if !features.is_empty() && !has_docs_settings(manifest) {
        findings.push(format!(
            "crates/{name}/Cargo.toml: docs.rs would not show what its features bring: add [package.metadata.docs.rs]"
        ));
    }
    Ok(features.len())
}

fn has_docs_settings(manifest: &str) -> bool {
    manifest.lines().any(|line| line == "[package.metadata.docs.rs]")
}

/// The features that a manifest names, but for the list of those that are on.
fn features(manifest: &str) -> impl Iterator<Item = &str> {
    let section = manifest.lines().skip_while(|line| *line != "[features]").skip(1);
    let lines = section.take_while(|line| !line.starts_with('['));
    let names = lines.filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(" = "));
    names.map(|(name, _)| name).filter(|name| *name != "default")
}

/// Those without a row.
fn missing<'a>(features: &'a [&str], docs: &'a str) -> impl Iterator<Item = &'a str> {
    let has_row = move |name: &str| docs.lines().any(|line| line.starts_with(&format!("//! | `{name}`")));
    features.iter().copied().filter(move |name| !has_row(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_without_a_row_are_found() {
        let manifest = "[package]\nname = \"x\"\n[features]\ndefault = [\"tls\"]\n# TLS = good.\ntls = [\n    \"dep:rustls\",\n]\n\
                        fast = []\n\n[dependencies]\nrustls = \"1\"\n";
        let features: Vec<&str> = features(manifest).collect();
        assert_eq!(features, ["tls", "fast"]);
        let docs = "//! A crate.\n//!\n//! | `tls` (on) | TLS |\n//! `fast`\n";
        assert_eq!(missing(&features, docs).collect::<Vec<_>>(), ["fast"]);
        assert_eq!(missing(&[], docs).count(), 0);
        assert!(!has_docs_settings(manifest));
        assert!(has_docs_settings("[package]\n\n[package.metadata.docs.rs]\nall-features = true\n"));
    }
}
