//! `cargo xtask simulate`: lives of a simulated server (`crates/sim/tests/life.rs`), each from a seed of its own.

use core::time::Duration;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::options::Options;
use crate::run::{Result, cargo, run};

pub(crate) const USAGE: &str = "[--seconds N] [--seed S]";
pub(crate) const HELP: &str = "\
Simulates servers with their people, while networks break, the store is slow and the server crashes: what a client was
told must be on disk, and what was stored for somebody must arrive.
  --seconds N  goes on for about N seconds; 60 unless told otherwise
  --seed S     begins with this seed; without --seconds it is the only one, so that a failure is repeated";

/// So many lives begin at once: enough that starting the program costs little.
const BATCH: u64 = 50;

pub(crate) fn main(args: &[String]) -> Result {
    let mut options = Options::new(args);
    let (seconds, seed) = (options.number("--seconds")?, options.number("--seed")?);
    if let Some(unknown) = options.rest()?.first() {
        return Err(format!("`{unknown}` is too much; see --help"));
    }
    if let (Some(seed), None) = (seed, seconds) {
        return live(seed, 1);
    }
    run(&mut cargo(&["test", "--quiet", "-p", "balcony-sim", "--test", "life", "--no-run"]))?;
    // Other lives each time. A seed stays short enough to be typed.
    let today = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() % 1_000_000;
    let mut next = seed.unwrap_or(today * 1_000);
    let end = Instant::now() + Duration::from_secs(seconds.unwrap_or(60));
    while Instant::now() < end {
        live(next, BATCH)?;
        next = next.saturating_add(BATCH);
    }
    Ok(())
}

/// Goes through these lives. One that fails names its seed.
fn live(first: u64, count: u64) -> Result {
    let seeds = format!("{first}..{}", first.saturating_add(count));
    run(cargo(&["test", "--quiet", "-p", "balcony-sim", "--test", "life"]).env("BALCONY_LIVES", seeds))
}
