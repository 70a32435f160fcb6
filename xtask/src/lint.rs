//! `cargo xtask lint`: what makes the protocol crates pure, where the compiler does not see to it, and what every source file has
//! to have.

use std::fs;
use std::path::{Path, PathBuf};

use crate::bounds;
use crate::enums;
use crate::features;
use crate::links;
use crate::names;
use crate::run::{Result, root};
use crate::source::{code, has_docs, has_word};
use crate::tiers::{CRATES, Crate, LAST_PURE_TIER, Std, find};

pub(crate) const HELP: &str = "\
Checks the tiers (docs/architecture.md). Tiers 0 to 3, and whatever else never needs std: no clock, socket, file, thread, environment or
randomness outside of tests, #![no_std] and #![forbid(unsafe_code)]. All: the workspace's lints, and no
dependency on a higher tier. Each source file of the project, tests and tools too, begins with //! docs. And
each public enum of a library is #[non_exhaustive], or docs/enums.md says why it is not. Links from page to page lead somewhere.
The docs of each library have a table of its features. Each type of a signature of crate balcony has a name there.
Each bound that can be set stands in docs/limits.md with its default, and what stands there exists.";

/// What a protocol crate must not name, and what it does instead.
const FORBIDDEN: &[(&str, &str)] = &[
    ("std::time", "time is an argument: `now: Instant`"),
    ("SystemTime", "time is an argument: `now: Instant`"),
    ("Instant::now", "time is an argument: `now: Instant`"),
    ("std::net", "sockets belong to adapters"),
    ("std::fs", "files belong to adapters"),
    ("std::thread", "a machine has no threads: emit an ask"),
    ("thread_local", "no state outside of the machine"),
    ("static mut", "no state outside of the machine"),
    ("std::env", "configuration is an argument"),
    ("std::process", "processes belong to programs"),
    ("thread_rng", "randomness is an argument: `Seed`"),
    ("OsRng", "randomness is an argument: `Seed`"),
    ("getrandom", "randomness is an argument: `Seed`"),
    ("std::collections::HashMap", "its order is random: BTreeMap, or hashbrown without iterating"),
    ("std::collections::HashSet", "its order is random: BTreeSet, or hashbrown without iterating"),
];

/// What a protocol crate that is `no_std` must not name either.
const NO_STD: &[(&str, &str)] = &[("std::", "use core or alloc"), ("crate std", "use core or alloc")];

/// Where one of those words stands with a reason.
const EXCEPTIONS: &[(&str, &str)] = &[
    // Certificates carry dates.
    ("crates/tls/src/self_signed.rs", "std::time"),
    ("crates/tls/src/self_signed.rs", "SystemTime"),
    ("crates/tls/src/authority.rs", "std::time"),
    ("crates/tls/src/authority.rs", "SystemTime"),
    // rustls asks for the time while it works, and its own clock panics before 1970.
    ("crates/tls/src/clock.rs", "std::time"),
    ("crates/tls/src/clock.rs", "SystemTime"),
    // The clock of embassy, by which an adapter tells the time.
    ("crates/embedded/src/clock.rs", "Instant::now"),
    // tungstenite reads and writes by the traits of std; only with the feature `websocket`.
    ("crates/connection/src/websocket.rs", "std::"),
];

/// Crates whose functions are called by other languages: they look at what these hand in where it stands, and have lints of their own.
const FOR_OTHERS: [&str; 2] = ["ffi", "web"];

/// Packages that bring a runtime, a clock, a disk or randomness: for tier 4 and up.
const FOR_ADAPTERS: &[&str] =
    &["tokio", "async-std", "smol", "mio", "futures-io", "async-channel", "redb", "getrandom", "rand"];

/// Where the project has source files.
const FOLDERS: &[&str] = &["benches", "crates", "examples", "fuzz", "runtimes", "xtask"];

pub(crate) fn main(args: &[String]) -> Result {
    if let Some(arg) = args.first() {
        return Err(format!("unknown argument `{arg}`"));
    }
    let mut findings = Vec::new();
    folders(&mut findings)?;
    let (mut files, mut rows) = (0, 0);
    for known in CRATES {
        let manifest = read(&root().join("crates").join(known.name).join("Cargo.toml"))?;
        check_manifest(known, &manifest, &mut findings);
        rows += features::check(known.name, &manifest, &mut findings)?;
        // An adapter that does without std has no clock, socket or randomness to name either.
        if known.tier <= LAST_PURE_TIER || known.std == Std::Never {
            files += sources(known, &mut findings)?;
        }
    }
    println!("lint: {} source files in all, for their docs", documented(&mut findings)?);
    println!("lint: {} public enums of libraries", enums::check(&mut findings)?);
    println!("lint: {rows} features of libraries, for the tables in their docs");
    println!("lint: {} links from page to page", links::check(&mut findings)?);
    println!("lint: {} types of the front door, for their names there", names::check(&mut findings)?);
    println!(
        "lint: {} bounds that can be set, for their rows in docs/limits.md",
        bounds::check(&mut findings)?
    );
    println!(
        "lint: {} manifests, and {files} source files of what needs no clock, socket or std",
        CRATES.len()
    );
    for known in CRATES.iter().filter(|known| known.tier <= LAST_PURE_TIER && known.std == Std::Always) {
        println!("lint: crates/{} may use std, by design; everything else holds for it too", known.name);
    }
    for finding in &findings {
        eprintln!("{finding}");
    }
    if findings.is_empty() { Ok(()) } else { Err(format!("{} findings", findings.len())) }
}

/// Every folder has its row in the table, and the other way round.
fn folders(findings: &mut Vec<String>) -> Result {
    for folder in list(&root().join("crates"))? {
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        if folder.join("Cargo.toml").exists() && !CRATES.iter().any(|known| known.name == name) {
            findings.push(format!("crates/{name}: which tier? Add it to the table in xtask/src/tiers.rs"));
        }
    }
    Ok(())
}

fn check_manifest(known: &Crate, text: &str, findings: &mut Vec<String>) {
    let path = format!("crates/{}/Cargo.toml", known.name);
    let mut section = String::new();
    let mut inherits_lints = false;
    for (number, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = name.to_owned();
        }
        inherits_lints |= section == "lints" && line.replace(' ', "") == "workspace=true";
        // Tests may depend on anything.
        let built = section.contains("dependencies") && !section.contains("dev-dependencies");
        let place = format!("{path}:{}", number + 1);
        for package in packages(line).filter(|_| built) {
            if let Some(other) = find(package).filter(|other| other.tier > known.tier) {
                findings.push(format!(
                    "{place}: {} (tier {}) depends on {} (tier {}): imports only go down",
                    known.name, known.tier, other.name, other.tier
                ));
            } else if known.tier <= LAST_PURE_TIER && FOR_ADAPTERS.contains(&package) {
                findings.push(format!("{place}: {package} is for adapters, not for tier {}", known.tier));
            }
        }
    }
    if !inherits_lints && !FOR_OTHERS.contains(&known.name) {
        findings.push(format!("{path}: the workspace's lints are missing: [lints] workspace = true"));
    }
}

/// Everything on the line that could be the name of a package.
fn packages(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !(c.is_alphanumeric() || matches!(c, '-' | '_'))).filter(|word| !word.is_empty())
}

/// Checks the source files, and returns how many there are.
fn sources(known: &Crate, findings: &mut Vec<String>) -> Result<usize> {
    let folder = root().join("crates").join(known.name).join("src");
    check_root(known, &read(&folder.join("lib.rs"))?, findings);
    let no_std = if known.std == Std::Always { &[][..] } else { NO_STD };
    // Tests in files of their own.
    let is_wanted = |path: &Path| !path.ends_with("tests") && !path.ends_with("tests.rs");
    let files = rust_files(folder, is_wanted)?;
    for path in &files {
        check_source(&shown(path), &read(path)?, no_std, findings);
    }
    Ok(files.len())
}

/// Every source file says what it is. Returns how many there are.
fn documented(findings: &mut Vec<String>) -> Result<usize> {
    let mut count = 0;
    for folder in FOLDERS {
        // What was built, and what is hidden, is nobody's source.
        let is_wanted = |path: &Path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name != "target" && !name.starts_with('.')
        };
        for path in rust_files(root().join(folder), is_wanted)? {
            count += 1;
            check_docs(&shown(&path), &read(&path)?, findings);
        }
    }
    Ok(count)
}

fn check_docs(path: &str, source: &str, findings: &mut Vec<String>) {
    if !has_docs(source) {
        findings.push(format!(
            "{path}:1: a source file begins with `//!` docs that say what it is for, what it decides, and what it leaves to others"
        ));
    }
}

/// The source files in a folder, and in those folders below it that are wanted.
fn rust_files(folder: PathBuf, is_wanted: impl Fn(&Path) -> bool) -> Result<Vec<PathBuf>> {
    let (mut files, mut open) = (Vec::new(), vec![folder]);
    while let Some(path) = open.pop() {
        if !is_wanted(&path) {
            continue;
        }
        if path.is_dir() {
            open.extend(list(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// The path of a file below the root of the checkout.
fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

fn check_source(path: &str, source: &str, no_std: &[(&str, &str)], findings: &mut Vec<String>) {
    for (number, line) in code(source).lines().enumerate() {
        let found = |(word, _): &&(&str, &str)| has_word(line, word) && !EXCEPTIONS.contains(&(path, word));
        if let Some((word, why)) = FORBIDDEN.iter().chain(no_std).find(found) {
            findings.push(format!("{path}:{}: `{word}` in a protocol crate: {why}", number + 1));
        }
    }
}

fn check_root(known: &Crate, text: &str, findings: &mut Vec<String>) {
    let no_std = match known.std {
        Std::Never => "#![no_std]",
        Std::WithTls => "#![cfg_attr(not(feature = \"tls\"), no_std)]",
        Std::Always => "",
    };
    for wanted in [no_std, "#![forbid(unsafe_code)]"] {
        let is_excused = FOR_OTHERS.contains(&known.name);
        if !wanted.is_empty() && !is_excused && !text.lines().any(|line| line.trim() == wanted) {
            findings.push(format!("crates/{}/src/lib.rs: {wanted} is missing", known.name));
        }
    }
    if known.std == Std::Always && !text.lines().any(|line| line.starts_with("//!") && line.contains("`std`"))
    {
        findings.push(format!(
            "crates/{}/src/lib.rs: its documentation does not say that it needs `std`",
            known.name
        ));
    }
}

fn list(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    Ok(paths)
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::{NO_STD, check_docs, check_manifest, check_root, check_source};
    use crate::tiers::find;

    fn manifest(package: &str, dependencies: &str) -> Vec<String> {
        let mut findings = Vec::new();
        let text = format!("[lints]\nworkspace = true\n{dependencies}");
        check_manifest(find(package).unwrap(), &text, &mut findings);
        findings
    }

    // docs/architecture.md, 'Tiers: imports only go down'
    #[test]
    fn imports_only_go_down() {
        assert!(manifest("balcony-stream", "[dependencies]\nbalcony-xml.workspace = true").is_empty());
        assert!(
            manifest("balcony-stream", "[dev-dependencies]\nbalcony-sim = { path = '../sim' }").is_empty()
        );
        for up in [
            "[dependencies]\nbalcony-server.workspace = true",
            "[dependencies.balcony-server]\nworkspace = true",
            "[target.'cfg(unix)'.dependencies]\nother = { package = 'balcony-server' }",
            "[build-dependencies]\nbalcony-server = { path = '../server' }",
            "[dependencies]\ntokio.workspace = true",
        ] {
            assert_eq!(manifest("balcony-stream", up).len(), 1, "{up}");
        }
    }

    #[test]
    fn every_crate_inherits_the_lints() {
        let mut findings = Vec::new();
        check_manifest(find("balcony-jid").unwrap(), "[dependencies]", &mut findings);
        assert_eq!(findings.len(), 1);
    }

    #[test]
    fn protocol_crates_are_pure() {
        let check = |source, no_std| {
            let mut findings = Vec::new();
            check_source("crates/x/src/lib.rs", source, no_std, &mut findings);
            findings.len()
        };
        assert_eq!(check("use core::fmt;\n/// std::fs\n#[cfg(test)] mod tests { use std::fs; }", NO_STD), 0);
        assert_eq!(check("use std::fs;\nlet a = std::time::Instant::now();", NO_STD), 2);
        assert_eq!(check("use std::vec::Vec;", NO_STD), 1);
        assert_eq!(check("use std::vec::Vec;", &[]), 0);
        assert_eq!(check("use std::net::TcpStream;", &[]), 1);
    }

    #[test]
    fn a_file_without_docs_is_named() {
        let mut findings = Vec::new();
        check_docs("crates/x/src/a.rs", "//! What it is.\nuse b;", &mut findings);
        check_docs("crates/x/src/b.rs", "use a;", &mut findings);
        assert_eq!(findings.len(), 1);
        assert!(findings[0].starts_with("crates/x/src/b.rs:1: "), "{findings:?}");
    }

    #[test]
    fn crate_roots_say_what_they_are() {
        let check = |package, text| {
            let mut findings = Vec::new();
            check_root(find(package).unwrap(), text, &mut findings);
            findings.len()
        };
        assert_eq!(check("balcony-jid", "#![no_std]\n#![forbid(unsafe_code)]"), 0);
        assert_eq!(check("balcony-jid", ""), 2);
        assert_eq!(check("balcony-client", "#![no_std]\n#![forbid(unsafe_code)]"), 1);
        assert_eq!(check("balcony-tls", "//! Needs `std`.\n#![forbid(unsafe_code)]"), 0);
        assert_eq!(check("balcony-tls", "#![forbid(unsafe_code)]"), 1);
    }
}
