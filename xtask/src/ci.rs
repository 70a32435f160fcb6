//! `cargo xtask ci`: what CI runs, and what a person runs before they push.

use crate::options::Options;
use crate::run::{Result, Steps, cargo, output, run};
use crate::{api, bare, figures, firmware, fuzz, lint, package, simulate, spec, web};

pub(crate) const USAGE: &str = "[--keep-going] [--fuzz-seconds N] [STEP...]";
pub(crate) const HELP: &str = "\
Everything that CI checks, quick checks first, or only the steps named: format, lint, api, spec, clippy, test,
docs, features, package, bare, figures, firmware, web, simulate, fuzz. It stops at the first step that fails.
  --keep-going      does the other steps all the same
  --fuzz-seconds N  fuzzes for N seconds, all targets together; 60 unless told otherwise, 0 for not at all";

/// What is built in other ways than the workspace builds it.
const FEATURES: &[&[&str]] = &[
    &["-p", "balcony-xml", "--features", "minidom"],
    &["-p", "balcony-stanza", "--features", "minidom"],
    &["-p", "balcony-jid", "--no-default-features"],
    &["-p", "balcony-jid", "--features", "jid"],
    &["-p", "balcony-sasl", "--no-default-features"],
    &["-p", "balcony-connection", "--no-default-features"],
    &["-p", "balcony-client", "--no-default-features"],
    &["-p", "balcony-server", "--no-default-features"],
    &["-p", "balcony-server", "--features", "websocket"],
    // One side with TLS, the other without.
    &[
        "--no-default-features",
        "-p",
        "balcony-server",
        "-p",
        "balcony-client",
        "--features",
        "balcony-client/tls",
    ],
    &["-p", "balcony-client", "--features", "minidom"],
    &["-p", "balcony-embedded", "--features", "embassy"],
    &["-p", "balcony-runtime", "--no-default-features"],
    &["-p", "balcony-runtime", "--no-default-features", "--features", "client"],
    &["-p", "balcony-runtime", "--no-default-features", "--features", "server"],
    &["-p", "balcony-tokio", "--no-default-features"],
    &["-p", "balcony-tokio", "--no-default-features", "--features", "client"],
    &["-p", "balcony-tokio", "--no-default-features", "--features", "server"],
    &["-p", "balcony-async-std", "--no-default-features"],
    &["-p", "balcony-async-std", "--no-default-features", "--features", "smol"],
    &["-p", "balcony", "--no-default-features"],
    &["-p", "balcony", "--no-default-features", "--features", "client"],
    &["-p", "balcony", "--no-default-features", "--features", "server"],
    &["-p", "balcony", "--no-default-features", "--features", "tokio"],
    &["-p", "balcony", "--no-default-features", "--features", "server,tokio"],
    &["-p", "balcony", "--no-default-features", "--features", "client,smol"],
    &["-p", "balcony", "--no-default-features", "--features", "client,async-std"],
    &["-p", "balcony", "--features", "server,minidom,smol,async-std"],
];

pub(crate) fn main(args: &[String]) -> Result {
    let mut options = Options::new(args);
    let keep_going = options.flag("--keep-going");
    let fuzz_seconds = options.number("--fuzz-seconds")?.unwrap_or(60);
    let wanted = options.rest()?;
    const STEPS: [&str; 15] = [
        "format", "lint", "api", "spec", "clippy", "test", "docs", "features", "package", "bare", "figures",
        "firmware", "web", "simulate", "fuzz",
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
    steps.step("docs", docs);
    steps.step("features", features);
    steps.step("package", package::main);
    steps.step("bare", || bare::main(&[]));
    steps.step("figures", || figures::main(&[]));
    steps.step("firmware", || firmware::main(&[]));
    steps.step("web", || web::main(&["--test".into()]));
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

fn features() -> Result {
    FEATURES
        .iter()
        .try_for_each(|args| run(cargo(&["clippy", "--lib"]).args(*args).args(["--", "-D", "warnings"])))?;
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
