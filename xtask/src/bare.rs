//! `cargo xtask bare`: the protocol crates in a program without `std`.

use std::fs;

use crate::run::{Result, cargo, command, root, run};

pub(crate) const HELP: &str = "\
Builds tiers 0 to 3 into a program without std (xtask/bare), with and without the Unicode tables, and runs
it: a login and a message on byte slices. It does not build if anything links std.";

pub(crate) fn main(args: &[String]) -> Result {
    if let Some(arg) = args.first() {
        return Err(format!("unknown argument `{arg}`"));
    }
    share_lock("xtask/bare")?;
    for features in ["", "unicode"] {
        let program = root().join("target/bare/release/balcony-bare");
        let args =
            ["build", "--release", "--manifest-path", "xtask/bare/Cargo.toml", "--target-dir", "target/bare"];
        let mut build = cargo(&args);
        if !features.is_empty() {
            build.args(["--features", features]);
        }
        run(&mut build)?;
        run(&mut command(&program.to_string_lossy(), &[]))?;
        let size = fs::metadata(&program).map_err(|error| format!("{}: {error}", program.display()))?.len();
        println!(
            "bare: the program has {size} bytes{}",
            if features.is_empty() { "" } else { ", with Unicode" }
        );
    }
    Ok(())
}

/// A package outside of the workspace gets the workspace's versions of everything: its lock file starts as a copy, and
/// Cargo takes out of it what it doesn't need.
pub(crate) fn share_lock(package: &str) -> Result {
    let (from, to) = (root().join("Cargo.lock"), root().join(package).join("Cargo.lock"));
    fs::copy(&from, &to).map(drop).map_err(|error| format!("{} to {}: {error}", from.display(), to.display()))
}
