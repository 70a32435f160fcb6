//! The features of the libraries: each is in the table of its crate's docs, where whoever depends on the crate looks for it, and docs.rs is told
//! to show what they bring. Which combinations of them are built follows from the manifests.

use std::collections::BTreeSet;
use std::fs;

use crate::run::{Result, cargo, root, run};
use crate::tiers::CRATES;

/// What no manifest says: one side with TLS, the other without.
const ACROSS: &[&str] = &[
    "--no-default-features",
    "-p",
    "balcony-server",
    "-p",
    "balcony-client",
    "--features",
    "balcony-client/tls",
];

/// Builds every library in each of its [combinations], as the workspace never does: there the features that any package wants are on for
/// all of them.
pub(crate) fn build() -> Result {
    let clippy = |args: &[&str]| run(cargo(&["clippy", "--lib"]).args(args).args(["--", "-D", "warnings"]));
    for known in CRATES {
        let folder = root().join("crates").join(known.name);
        if !folder.join("src/lib.rs").exists() {
            continue;
        }
        let manifest = folder.join("Cargo.toml");
        let manifest =
            fs::read_to_string(&manifest).map_err(|error| format!("{}: {error}", manifest.display()))?;
        for features in combinations(&manifest) {
            clippy(&["-p", &known.package(), "--no-default-features", "--features", &features.join(",")])?;
        }
    }
    clippy(ACROSS)
}

/// Looks at all libraries. How many features there are.
pub(crate) fn check(name: &str, manifest: &str, findings: &mut Vec<String>) -> Result<usize> {
    let folder = root().join("crates").join(name);
    let library = folder.join("src/lib.rs");
    // Programs have none that others see.
    if !library.exists() {
        return Ok(0);
    }
    let docs = fs::read_to_string(&library).map_err(|error| format!("{}: {error}", library.display()))?;
    let features: Vec<&str> =
        table(manifest).into_iter().map(|(name, _)| name).filter(|name| *name != DEFAULT).collect();
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

/// The list of those that are on unless somebody turns them off.
const DEFAULT: &str = "default";

/// The features that a manifest names, that list among them, with what each turns on.
fn table(manifest: &str) -> Vec<(&str, Vec<&str>)> {
    let section = manifest.lines().skip_while(|line| *line != "[features]").skip(1);
    let mut table: Vec<(&str, Vec<&str>)> = Vec::new();
    for line in section.take_while(|line| !line.starts_with('[')).filter(|line| !line.starts_with('#')) {
        // A list may go over several lines.
        let list = match line.split_once(" = ") {
            Some((name, list)) => {
                table.push((name, Vec::new()));
                list
            }
            None => line,
        };
        if let Some((_, brings)) = table.last_mut() {
            brings.extend(list.split('"').skip(1).step_by(2));
        }
    }
    table
}

/// Which features are to be built together: none, each alone, all, those that are on by default, and each pair of which one changes what the other brings
/// (`"package?/feature"`). What comes to the same because one feature turns on another is there once.
fn combinations(manifest: &str) -> Vec<Vec<&str>> {
    let table = table(manifest);
    let brings =
        |name: &str| table.iter().find(|(known, _)| *known == name).map_or(&[][..], |(_, brings)| brings);
    let names = || table.iter().map(|(name, _)| *name).filter(|name| *name != DEFAULT);
    if names().next().is_none() {
        return Vec::new();
    }
    let known: BTreeSet<&str> = names().collect();
    let all_of = |features: &[&str]| {
        let (mut on, mut next) = (BTreeSet::new(), features.to_vec());
        while let Some(name) = next.pop() {
            if on.insert(name.to_owned()) {
                next.extend(brings(name).iter().filter(|name| known.contains(*name)));
            }
        }
        on
    };
    let pairs = names().flat_map(|changes| {
        let packages = brings(changes)
            .iter()
            .filter_map(|entry| entry.split_once("?/"))
            .map(|(package, _)| format!("dep:{package}"));
        packages
            .flat_map(move |package| {
                names()
                    .filter(move |other| brings(other).contains(&package.as_str()))
                    .map(move |other| vec![changes, other])
            })
            .collect::<Vec<_>>()
    });
    let mut wanted = vec![Vec::new()];
    wanted.extend(names().map(|name| vec![name]));
    wanted.extend(pairs);
    wanted.push(brings(DEFAULT).to_vec());
    wanted.push(names().collect());
    let mut seen = BTreeSet::new();
    wanted.retain(|features| seen.insert(all_of(features)));
    wanted
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
        let features: Vec<&str> = table(manifest).into_iter().map(|(name, _)| name).skip(1).collect();
        assert_eq!(features, ["tls", "fast"]);
        let docs = "//! A crate.\n//!\n//! | `tls` (on) | TLS |\n//! `fast`\n";
        assert_eq!(missing(&features, docs).collect::<Vec<_>>(), ["fast"]);
        assert_eq!(missing(&[], docs).count(), 0);
        assert!(!has_docs_settings(manifest));
        assert!(has_docs_settings("[package]\n\n[package.metadata.docs.rs]\nall-features = true\n"));
    }

    #[test]
    fn combinations_follow_from_the_manifest() {
        let manifest = "[features]\ndefault = [\"tokio\", \"client\"]\n# Clients.\nclient = [\n    \"dep:a\", \"rt?/dns\",\n    \"other/client\",\n]\n\
                        tokio = [\"dep:rt\"]\nsmol = [\"dep:rt\", \"rt/smol\"]\nwss = [\"client\"]\n\n[dependencies]\nrt = \"1\"\n";
        let expected: [&[&str]; 8] = [
            &[],
            &["client"],
            &["tokio"],
            &["smol"],
            &["wss"],
            &["client", "tokio"], // which is the default, too
            &["client", "smol"],
            &["client", "tokio", "smol", "wss"],
        ];
        assert_eq!(combinations(manifest), expected);
        assert_eq!(combinations("[features]\nfast = []\n"), [&[][..], &["fast"]]);
        assert!(combinations("[package]\nname = \"x\"\n").is_empty());
    }

    #[test]
    fn every_library_with_features_is_built_in_several_ways() {
        let ways = |name: &str| {
            let manifest = fs::read_to_string(root().join("crates").join(name).join("Cargo.toml")).unwrap();
            let ways = combinations(&manifest).into_iter().map(|features| features.join(","));
            ways.collect::<Vec<_>>()
        };
        for name in ["balcony", "client", "runtime", "sim", "store", "stream", "tls", "xep"] {
            assert!(ways(name).contains(&String::new()) && ways(name).len() > 1, "{name}: {:?}", ways(name));
        }
        for features in ["minidom", "client,tokio", "client,smol", "server,async-std", "minidom,client"] {
            assert!(ways("balcony").iter().any(|way| way == features), "{features}: {:?}", ways("balcony"));
        }
    }
}
