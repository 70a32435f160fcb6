//! `cargo xtask bare`: the protocol crates in a program without `std`.

use std::fs;

use crate::figures::has_target;
use crate::run::{Result, cargo, command, root, run};

pub(crate) const HELP: &str = "\
Builds tiers 0 to 3 into a program without std (xtask/bare), with and without the Unicode tables, and runs
it: a login and a message on byte slices. It does not build if anything links std. Then it checks that client (also over
embedded-io-async) and server compile for other machines, as far as Rust has their targets: where one is missing it says SKIP.";

/// Machines without an operating system: a Cortex-M4F, a Cortex-M3, a small RISC-V with atomic instructions, and what browsers run.
const TARGETS: &[&str] = &[
    "thumbv7em-none-eabihf",
    "thumbv7m-none-eabi",
    "riscv32imac-unknown-none-elf",
    "wasm32-unknown-unknown",
];

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
    TARGETS.iter().try_for_each(|target| compiles(target))
}

/// Client and server for another machine, with all that they stand on.
fn compiles(target: &str) -> Result {
    if !has_target(target)? {
        println!("bare: SKIP: {target}: `rustup target add {target}` brings it");
        return Ok(());
    }
    let mut check = cargo(&["check", "--release", "--manifest-path", "xtask/bare/Cargo.toml"]);
    for package in ["client", "server", "roster", "embedded", "example-tls"] {
        check.args(["-p", &format!("balcony-{package}")]);
    }
    run(check.args(["--target-dir", "target/bare", "--target", target]))?;
    println!("bare: client and server compile for {target}");
    Ok(())
}

/// A package outside of the workspace gets the workspace's versions of everything: its lock file starts as a copy, and
/// Cargo takes out of it what it doesn't need.
pub(crate) fn share_lock(package: &str) -> Result {
    let (from, to) = (root().join("Cargo.lock"), root().join(package).join("Cargo.lock"));
    fs::copy(&from, &to).map(drop).map_err(|error| format!("{} to {}: {error}", from.display(), to.display()))
}
