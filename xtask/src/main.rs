//! The project's own commands: `cargo xtask ci` and the parts of it. `cargo xtask --help` lists them.
//!
//! It depends on the standard library only. Every command says what it runs and how long that took, and ends with an
//! error if anything failed.
#![allow(clippy::disallowed_methods, reason = "the bans are for protocol crates; this program has a clock")]

mod api;
mod bare;
mod bounds;
mod ci;
mod compare;
mod dice;
mod elf;
mod enums;
mod features;
mod federate;
mod figures;
mod firmware;
mod fuzz;
mod interop;
mod kill;
mod links;
mod lint;
mod names;
mod options;
mod package;
mod parsers;
mod run;
mod runtimes;
mod simulate;
mod source;
mod spec;
mod survive;
mod tiers;
mod web;

use std::process::ExitCode;
use std::time::Instant;

/// A command: its name, what follows the name, what it does, and how.
type Command = (&'static str, &'static str, &'static str, fn(&[String]) -> run::Result);

/// One row for each command; the code of each is a module of its own.
const COMMANDS: &[Command] = &[
    ("ci", ci::USAGE, ci::HELP, ci::main),
    ("lint", "", lint::HELP, lint::main),
    ("api", api::USAGE, api::HELP, api::main),
    ("bare", "", bare::HELP, bare::main),
    ("interop", interop::USAGE, interop::HELP, interop::main),
    ("federate", federate::USAGE, federate::HELP, federate::main),
    ("compare", compare::USAGE, compare::HELP, compare::main),
    ("parsers", "", parsers::HELP, parsers::main),
    ("spec", spec::USAGE, spec::HELP, spec::main),
    ("figures", figures::USAGE, figures::HELP, figures::main),
    ("firmware", "", firmware::HELP, firmware::main),
    ("runtimes", runtimes::USAGE, runtimes::HELP, runtimes::main),
    ("web", web::USAGE, web::HELP, web::main),
    ("fuzz", fuzz::USAGE, fuzz::HELP, fuzz::main),
    ("kill", kill::USAGE, kill::HELP, kill::main),
    ("survive", survive::USAGE, survive::HELP, survive::main),
    ("simulate", simulate::USAGE, simulate::HELP, simulate::main),
];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let Some((name, rest)) = args.split_first() else {
        help(COMMANDS);
        return ExitCode::from(2);
    };
    if matches!(name.as_str(), "help" | "-h" | "--help") {
        help(COMMANDS);
        return ExitCode::SUCCESS;
    }
    let Some(command) = COMMANDS.iter().find(|command| command.0 == name) else {
        eprintln!("xtask: there is no command `{name}`\n");
        help(COMMANDS);
        return ExitCode::from(2);
    };
    if rest.iter().any(|arg| matches!(arg.as_str(), "-h" | "--help")) {
        help(&[*command]);
        return ExitCode::SUCCESS;
    }
    let start = Instant::now();
    let result = (command.3)(rest);
    let took = run::seconds(start.elapsed());
    match result {
        Ok(()) => {
            println!("{name}: ok, {took}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{name}: FAILED after {took}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn help(commands: &[Command]) {
    for (name, usage, text, _) in commands {
        println!("cargo xtask {name} {usage}");
        for line in text.lines() {
            println!("    {line}");
        }
        println!();
    }
}
