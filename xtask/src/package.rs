//! The packages as they would be published: they are packed, unpacked somewhere else, and compiled there from nothing but what was in them.
//!
//! `cargo package` compiles each package alone, which takes some ten times as long, since what all of them need is built again for
//! each set of features. Here they are one workspace, in which each takes the place that crates.io would give it.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use crate::run::{Result, cargo, command, root, run, target};
use crate::tiers::CRATES;

pub(crate) fn main() -> Result {
    run(&mut cargo(&["package", "--workspace", "--no-verify", "--allow-dirty", "--quiet"]))?;
    let folder = target().join("packages");
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(failed)?;
    }
    fs::create_dir_all(&folder).map_err(failed)?;
    let manifest =
        fs::read_to_string(root().join("Cargo.toml")).map_err(|error| format!("Cargo.toml: {error}"))?;
    let version = version(&manifest).ok_or("Cargo.toml has no version of the workspace")?;
    let mut unpacked = Vec::new();
    for known in CRATES {
        let package = known.package();
        let archive = target().join("package").join(format!("{package}-{version}.crate"));
        unpack(&archive, &folder)?;
        unpacked.push((package.clone(), format!("{package}-{version}")));
    }
    fs::write(folder.join("Cargo.toml"), workspace(&unpacked, &manifest)).map_err(failed)?;
    // The same versions of everything else.
    fs::copy(root().join("Cargo.lock"), folder.join("Cargo.lock")).map_err(failed)?;
    let (at, built) = (folder.join("Cargo.toml"), target());
    let (at, built) = (at.to_string_lossy(), built.to_string_lossy());
    run(&mut cargo(&["check", "--workspace", "--manifest-path", &at, "--target-dir", &built]))
}

/// With the time of now: packed files all have the same time, by which what was built of older ones would pass for new.
fn unpack(archive: &Path, folder: &Path) -> Result {
    let (archive, folder) = (archive.to_string_lossy(), folder.to_string_lossy());
    let status = command("tar", &["xzmf", &archive, "-C", &folder]).stdout(Stdio::null()).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{archive} cannot be unpacked: {status}")),
        Err(error) => Err(format!("tar cannot be started: {error}")),
    }
}

/// The version that all packages share.
fn version(manifest: &str) -> Option<&str> {
    section(manifest, "[workspace.package]").lines().find_map(|line| {
        let (name, value) = line.split_once('=')?;
        (name.trim() == "version").then(|| value.trim().trim_matches('"'))
    })
}

/// From this header to the next one of another table.
fn section<'m>(manifest: &'m str, header: &str) -> &'m str {
    let Some(rest) = manifest.split_once(header).map(|(_, rest)| rest) else { return "" };
    rest.split_once("\n[").map_or(rest, |(section, _)| section)
}

/// A workspace of these: each takes the place of the one of its name at crates.io. What does not come from here is compiled as in our own
/// workspace, so that it is there already.
fn workspace(unpacked: &[(String, String)], manifest: &str) -> String {
    let mut text =
        String::from("[workspace]\nresolver = \"3\"\nmembers = [\"balcony*\"]\n\n[patch.crates-io]\n");
    for (package, folder) in unpacked {
        text.push_str(&format!("{package} = {{ path = \"{folder}\" }}\n"));
    }
    for header in ["[profile.dev]", "[profile.dev.package]"] {
        text.push_str(&format!("\n{header}{}\n", section(manifest, header)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_unpacked_is_a_workspace_of_its_own() {
        let manifest = "[workspace.package]\nedition = \"2024\"\nversion = \"1.2.3\"\n\n[profile.dev]\ndebug = 1\n\n\
                        [profile.dev.package]\nsha1.opt-level = 2\n\n[profile.release]\nlto = true\n";
        assert_eq!(version(manifest), Some("1.2.3"));
        let text = workspace(&[("balcony-jid".into(), "balcony-jid-1.2.3".into())], manifest);
        assert!(text.contains("\nbalcony-jid = { path = \"balcony-jid-1.2.3\" }\n"), "{text}");
        assert!(text.contains("[profile.dev]\ndebug = 1\n") && text.contains("sha1.opt-level = 2"), "{text}");
        assert!(!text.contains("lto"), "{text}");
    }
}
