//! `cargo xtask ci`: what CI runs, and what a person runs before they push.

use crate::options::Options;
use crate::run::{Result, Steps, cargo, output, run};
use crate::{api, bare, features, figures, firmware, fuzz, lint, package, runtimes, simulate, spec, web};

pub(crate) const USAGE: &str = "[--keep-going] [--fuzz-seconds N] [STEP...]";
pub(crate) const HELP: &str = "\
Everything that CI checks, quick checks first, or only the steps named: format, lint, api, spec, clippy, test,
docs, features, package, bare, figures, firmware, web, runtimes, simulate, fuzz. It stops at the first step that fails.
  --keep-going      does the other steps all the same
  --fuzz-seconds N  fuzzes for N seconds, all targets together; 60 unless told otherwise, 0 for not at all";

pub(crate) fn main(args: &[String]) -> Result {
    let mut options = Options::new(args);
    let keep_going = options.flag("--keep-going");
    let fuzz_seconds = options.number("--fuzz-seconds")?.unwrap_or(60);
    let wanted = options.rest()?;
    const STEPS: [&str; 16] = [
        "format", "lint", "api", "spec", "clippy", "test", "docs", "features", "package", "bare", "figures",
        "firmware", "web", "runtimes", "simulate", "fuzz",
    ];
    if let Some(unknown) = wanted.iter().find(|step| !STEPS.contains(&step.as_str())) {
        return Err(format!("there is no step `{unknown}`; there are {}", STEPS.join(", ")));
    }
    let mut steps = Steps::new(keep_going, wanted);
    steps.step("format", format);
    steps.step("lint", || lint::main(&[]));
    steps.step("api", || api::main(&[]));
    steps.step("spec", || spec::main(&[]));
    steps.step("clippy", clippy);
    steps.step("test", test);
    // Each of these keeps one core busy for most of its time, and nothing in them is about times.
    steps.beside(&[("bare", || bare::main(&[])), ("figures", || figures::main(&[]))], |steps| {
        steps.step("docs", docs);
        steps.step("features", in_all_ways);
        steps.step("package", package::main);
    });
    steps.step("firmware", || firmware::main(&[]));
    steps.step("web", || web::main(&["--test".into()]));
    // The other drivers are among the tests.
    steps.step("runtimes", || runtimes::main(&["browser".into(), "bare metal".into()]));
    steps.step("simulate", || simulate::main(&["--seconds".into(), "20".into()]));
    if fuzz_seconds > 0 {
        steps.step("fuzz", || fuzz::main(&["--total".into(), fuzz_seconds.to_string()]));
    }
    steps.finish()
}

/// All packages, those outside of the workspace too.
fn format() -> Result {
    run(&mut cargo(&["fmt", "--all", "--check"]))?;
    for package in ["fuzz", "xtask/bare", "xtask/figures", "xtask/xmpp-parsers"] {
        let manifest = format!("{package}/Cargo.toml");
        run(&mut cargo(&["fmt", "--manifest-path", &manifest, "--check"]))?;
    }
    Ok(())
}

fn clippy() -> Result {
    run(&mut cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    let without = ["clippy", "-p", "balcony-cli", "--no-default-features", "--all-targets"];
    run(cargo(&without).args(["--", "-D", "warnings"]))?;
    // What they share with the workspace is not compiled again. The fuzzer's engine is for who fuzzes.
    for (package, features) in
        [("xtask/bare", &[][..]), ("xtask/figures", &[]), ("fuzz", &["--no-default-features"])]
    {
        bare::share_lock(package)?;
        let manifest = format!("{package}/Cargo.toml");
        let args = ["clippy", "--manifest-path", &manifest, "--target-dir", "target"];
        run(cargo(&args).args(features).args(["--", "-D", "warnings"]))?;
    }
    Ok(())
}

/// What needs PostgreSQL says so in a line, and is left out, where there is none.
fn test() -> Result {
    run(&mut cargo(&["test", "--workspace"]))
}

fn docs() -> Result {
    run(cargo(&["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings"))
}

fn in_all_ways() -> Result {
    features::build()?;
    client_alone()?;
    types_of_others()
}

/// What stanzas hold as types of `xmpp-parsers`, which no crate of ours brings.
fn types_of_others() -> Result {
    bare::share_lock("xtask/xmpp-parsers")?;
    run(&mut cargo(&["test", "--manifest-path", "xtask/xmpp-parsers/Cargo.toml", "--target-dir", "target"]))
}

/// A bot does not compile the server.
fn client_alone() -> Result {
    let tree = output(&mut cargo(&["tree", "-p", "balcony", "-e", "normal", "--prefix", "none"]))?;
    let server = ["balcony-server ", "balcony-router ", "balcony-store "];
    match tree.lines().find(|line| server.iter().any(|package| line.starts_with(package))) {
        Some(line) => Err(format!("`balcony` as it is by default brings {line}")),
        None => Ok(()),
    }
}
