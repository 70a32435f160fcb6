//! The `balcony` command: a server, its accounts, and small clients.
//!
//! Everything that is protocol lives in the other crates. Here are options, files, prompts and what a person reads.
#![forbid(unsafe_code)]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::std_instead_of_alloc,
    reason = "a program is where clocks, files and the environment live"
)]

mod accounts;
mod args;
mod certificate;
mod config;
mod connect;
mod control;
mod control_socket;
mod database;
mod demo;
mod failure;
mod import;
mod listen;
mod message;
mod new_file;
mod news;
mod output;
mod password;
mod presence;
mod random;
mod roster;
mod send;
mod serve;
mod session;
mod store;
mod trace;
mod user;

use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::Parser as _;
use clap::error::{ContextKind, ErrorKind};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::prelude::*;

use crate::args::{Args, Command, LogLevel};
use crate::failure::Failure;

fn main() -> ExitCode {
    let result = match Args::try_parse() {
        Ok(args) => run(args),
        Err(error) => usage(&error),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !failure.message().is_empty() {
                eprintln!("balcony: {failure}");
            }
            ExitCode::from(failure.status())
        }
    }
}

fn run(args: Args) -> Result<(), Failure> {
    match args.command {
        Command::Serve(serve) => serve::run(serve, args.log),
        Command::User(user) => user::run(user),
        Command::Store(store) => store::run(store),
        Command::Send(send) => {
            log_to_stderr(args.log.unwrap_or_default());
            send::run(send)
        }
        Command::Listen(listen) => {
            log_to_stderr(args.log.unwrap_or_default());
            listen::run(listen)
        }
        Command::Roster(roster) => {
            log_to_stderr(args.log.unwrap_or_default());
            roster::run(roster)
        }
        Command::Presence(presence) => {
            log_to_stderr(args.log.unwrap_or_default());
            presence::run(presence)
        }
        Command::Trace => trace::run(),
    }
}

/// A value that does not fit is one line like every other failure; clap explains the rest better than we would.
fn usage(error: &clap::Error) -> Result<(), Failure> {
    let context = |kind| error.get(kind).map(ToString::to_string);
    if let (ErrorKind::ValueValidation, Some(option), Some(value), Some(reason)) = (
        error.kind(),
        context(ContextKind::InvalidArg),
        context(ContextKind::InvalidValue),
        core::error::Error::source(error),
    ) {
        return Err(Failure::usage(format!("{option}: `{value}`: {reason}")));
    }
    // Nothing is left to do if the terminal has gone away.
    let _ = error.print();
    match error.exit_code() {
        0 => Ok(()),
        _ => Err(Failure::usage("")),
    }
}

/// What libraries have to say below a warning is for their authors.
fn log_to_stderr(level: LogLevel) {
    let ours: LevelFilter = level.into();
    let targets = Targets::new().with_default(ours.min(LevelFilter::WARN)).with_target("balcony", ours);
    let format = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    tracing_subscriber::registry().with(format).with(targets).init();
}
