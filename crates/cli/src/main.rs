//! The `balcony` command: a server, its accounts, and small clients.
//!
//! Everything that is protocol lives in the other crates. Here are options, files, prompts and what a person reads.
#![forbid(unsafe_code)]
#![deny(clippy::print_stdout, clippy::print_stderr, reason = "`output` makes harmless what it prints")]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::std_instead_of_alloc,
    reason = "a program is where clocks, files and the environment live"
)]

mod accounts;
mod args;
mod bench;
mod certificate;
mod check;
mod columns;
mod command;
mod components;
mod config;
mod connect;
mod control;
mod control_socket;
mod counted;
mod csi;
mod database;
mod demo;
mod domains;
mod environment;
mod existing;
mod failure;
mod federate;
mod federation;
mod given_up;
mod hold;
mod import;
mod listen;
mod log;
mod message;
mod new_file;
mod news;
mod one_or_more;
mod open_files;
mod output;
mod pages;
mod password;
mod presence;
mod push;
mod push_service;
mod queues;
mod random;
mod removal;
mod roster;
mod send;
mod serve;
mod session;
mod small_file;
mod stop;
mod store;
mod tokens;
mod trace;
mod user;
mod values;

use std::process::ExitCode;

use clap::Parser as _;
use clap::error::{ContextKind, ErrorKind};

use crate::args::{Args, Command};
use crate::failure::Failure;
use crate::values::LogLevel;

// What one thread of a server has made another one may free, or both at once something else: the C library's allocator has a lock for that.
#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    pages::keep_small();
    let result = match Args::try_parse() {
        Ok(args) => run(args),
        Err(error) => usage(&error),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !failure.message().is_empty() {
                output::note(failure.message());
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
        Command::Send(send) => client(args.log, || send::run(send)),
        Command::Listen(listen) => client(args.log, || listen::run(listen)),
        Command::Roster(roster) => client(args.log, || roster::run(roster)),
        Command::Presence(presence) => client(args.log, || presence::run(presence)),
        Command::Run(command) => client(args.log, || command::run(command)),
        Command::PushService(service) => push_service::run(service),
        Command::Check(check) => client(args.log, || check::run(check)),
        Command::Bench(bench) => client(args.log, || bench::run(*bench)),
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

/// A client logs, too, and its level stays.
fn client(log: Option<LogLevel>, run: impl FnOnce() -> Result<(), Failure>) -> Result<(), Failure> {
    let _log = log::to_stderr(log.unwrap_or_default());
    run()
}
