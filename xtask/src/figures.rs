//! `cargo xtask figures`: what a message and a session cost a server, and a client a device, beside what they cost so far.

use std::fs;

use crate::options::Options;
use crate::run::{Result, root};

mod extensions;
mod measure;
mod profile;
mod table;

use measure::Compiler;
pub(crate) use measure::{flags, has_target};
use table::{Measured, Table};

pub(crate) const USAGE: &str = "[--profile] [--write]";
pub(crate) const HELP: &str = "\
Measures the main paths of a server and the size of a client for a device (xtask/figures), and fails when a
figure has grown by more than it may since it was written into benches/figures.toml.
  --write    writes the figures there, and what an extension costs into docs/benchmarks.md
  --profile  tells instead where the instructions go and what an idle session is made of; with --write in docs/profile.md
Instructions are counted by valgrind; the device is a thumbv7em-none-eabihf, for which Rust must have its
target. What can't be measured is left out, with the reason, and nothing is written then.";

/// Where the figures are.
const FILE: &str = "benches/figures.toml";

pub(crate) fn main(args: &[String]) -> Result {
    let mut options = Options::new(args);
    let (write, is_profile) = (options.flag("--write"), options.flag("--profile"));
    if let Some(unknown) = options.rest()?.first() {
        return Err(format!("unknown argument `{unknown}`"));
    }
    let compiler = Compiler::find()?;
    if is_profile {
        return profile::main(&compiler, write);
    }
    let measured = measure::all(&compiler)?;
    let path = root().join(FILE);
    if write {
        let text = table::write(&compiler, &measured)?;
        let page = root().join(extensions::PAGE);
        let shown = fs::read_to_string(&page).map_err(|error| format!("{}: {error}", extensions::PAGE))?;
        let shown = extensions::page(&shown, &Table::parse(&text)?)?;
        fs::write(path, text).map_err(|error| format!("{FILE}: {error}"))?;
        fs::write(page, shown).map_err(|error| format!("{}: {error}", extensions::PAGE))?;
        println!("{FILE} and the table in {} are written", extensions::PAGE);
        return Ok(());
    }
    let text = fs::read_to_string(path).map_err(|error| format!("{FILE}: {error}"))?;
    let committed = Table::parse(&text).map_err(|error| format!("{FILE}: {error}"))?;
    compare(&compiler, &measured, &committed)
}

/// Prints what has become of each figure, and fails if one has grown too much.
fn compare(compiler: &Compiler, measured: &[Measured], committed: &Table) -> Result {
    if committed.rustc != compiler.version {
        println!(
            "{FILE} is of {}, and this is {}: that makes a difference, too",
            committed.rustc, compiler.version
        );
    }
    let report = table::compare(&compiler.host, measured, committed);
    print!("{}", report.text);
    if report.failed.is_empty() {
        return Ok(());
    }
    let failed = report.failed.join(", ");
    Err(format!(
        "{failed}: if that has a good reason, `cargo xtask figures --write`, and the reason into the commit"
    ))
}
