//! `cargo xtask simulate`: lives of a simulated server (`crates/sim/tests/life.rs`), each from a seed of its own, and many seeds of all
//! other histories of `crates/sim/tests`.

use core::time::Duration;
use std::process::Command;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::options::Options;
use crate::run::{Result, cargo, run};

pub(crate) const USAGE: &str = "[--seconds N] [--seed S] | --seeds N";
pub(crate) const HELP: &str = "\
Simulates servers with their people, while networks break, the store is slow and the server crashes: what a client was
told must be on disk, and what was stored for somebody must arrive.
  --seconds N  goes on for about N seconds, beside what it takes to build (some 2 minutes the first time); 60 unless told otherwise
  --seed S     begins with this seed; without --seconds it is the only one, so that a failure is repeated
  --seeds N    instead: the first N seeds of sessions, devices, networks, links, certificates, parts and lives, one kind after the other
More than five minutes, and many seeds, are built for speed first, with all checks: that takes some minutes, and goes twenty times as fast.";

/// Histories that follow from seeds, and the variables that say which seeds: as a range, or, where the seeds are proptest's, how many.
const HISTORIES: [(&str, &[&str]); 6] = [
    ("sessions", &["BALCONY_SESSIONS"]),
    ("devices", &["BALCONY_SESSIONS"]),
    ("network", &["BALCONY_NETWORKS", "BALCONY_LINKS"]),
    ("certificates", &["BALCONY_CERTIFICATES"]),
    ("parts", &["BALCONY_PARTS"]),
    ("life", &["BALCONY_LIVES"]),
];
const COUNTED: &str = "BALCONY_SESSIONS";

/// What is built for more than so many seconds is built for speed.
const LONG: u64 = 300;

/// So many lives begin at once: enough that starting the program costs little.
const BATCH: u64 = 50;

pub(crate) fn main(args: &[String]) -> Result {
    let mut options = Options::new(args);
    let (seconds, seed) = (options.number("--seconds")?, options.number("--seed")?);
    let seeds = options.number("--seeds")?;
    if let Some(unknown) = options.rest()?.first() {
        return Err(format!("`{unknown}` is too much; see --help"));
    }
    if let Some(seeds) = seeds {
        if seconds.is_some() || seed.is_some() {
            return Err("--seeds goes without --seconds and --seed".into());
        }
        return HISTORIES.iter().try_for_each(|(test, variables)| histories(test, variables, seeds));
    }
    if let (Some(seed), None) = (seed, seconds) {
        return live(seed, 1, false);
    }
    let is_long = seconds.is_some_and(|seconds| seconds > LONG);
    run(tests("life", is_long).arg("--no-run"))?;
    // Other lives each time. A seed stays short enough to be typed.
    let today = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() % 1_000_000;
    let mut next = seed.unwrap_or(today * 1_000);
    let end = Instant::now() + Duration::from_secs(seconds.unwrap_or(60));
    while Instant::now() < end {
        live(next, BATCH, is_long)?;
        next = next.saturating_add(BATCH);
    }
    Ok(())
}

/// Goes through these lives. One that fails names its seed.
fn live(first: u64, count: u64, is_long: bool) -> Result {
    let seeds = format!("{first}..{}", first.saturating_add(count));
    run(tests("life", is_long).env("BALCONY_LIVES", seeds))
}

/// Goes through so many seeds of the histories of a test.
fn histories(test: &str, variables: &[&str], seeds: u64) -> Result {
    let begun = Instant::now();
    let mut command = tests(test, true);
    for variable in variables {
        let which = if *variable == COUNTED { seeds.to_string() } else { format!("0..{seeds}") };
        command.env(variable, which);
    }
    run(&mut command)?;
    println!("simulate: {seeds} seeds of {test}, {} s", begun.elapsed().as_secs());
    Ok(())
}

/// Runs one of the simulator's tests.
fn tests(name: &str, is_long: bool) -> Command {
    let mut command = cargo(&["test", "--quiet", "-p", "balcony-sim", "--test", name]);
    if is_long {
        command.args(["--profile", "simulate"]);
    }
    command
}
