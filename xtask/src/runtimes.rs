//! `cargo xtask runtimes`: one suite of scenarios through every driver of a client, and docs/runtimes.md, which comes of it.

use crate::bare::share_lock;
use crate::firmware;
use crate::run::{Result, built, cargo, command, root, run};

pub(crate) const USAGE: &str = "[--write] [DRIVER...]";
pub(crate) const HELP: &str = "\
Plays the scenarios of runtimes/scenarios.txt with every driver (tokio, async-std, smol, threads, simulator, C, browser, bare metal), or those
named, against a server of this project, and fails where one does not say what all have to say. With all of them it measures, too, what an idle connection
and a message cost, and prints the table. Where a C compiler, Chromium, Node.js, QEMU or Rust's target is missing it says SKIP.
  --write  writes docs/runtimes.md, if nothing was left out";

/// The driver for which a program is built here, and its package.
const BOARD: (&str, &str, &str) = ("bare metal", "balcony-firmware", "suite");

pub(crate) fn main(args: &[String]) -> Result {
    let is_wanted = |name: &str| {
        let mut named = args.iter().filter(|arg| !arg.starts_with('-')).peekable();
        named.peek().is_none() || named.any(|arg| arg == name)
    };
    run(&mut cargo(&["build", "-p", "balcony-runtimes", "--lib", "--bins", "--examples"]))?;
    let mut suite = command(&built("balcony-runtimes").to_string_lossy(), &["suite"]);
    suite.args(args);
    let (driver, package, binary) = BOARD;
    if is_wanted(driver) {
        match firmware::missing()? {
            Some(reason) => println!("runtimes: SKIP: {driver}: {reason}"),
            None => {
                share_lock("examples/firmware")?;
                let mut boards = root().join(firmware::program(package, binary)?);
                boards.pop();
                suite.env("BALCONY_BOARDS", boards);
            }
        }
    }
    run(&mut suite)
}
