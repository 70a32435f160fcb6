//! A party of the suite in a process of its own, or the whole suite:
//!
//! - `balcony-runtimes client DRIVER` is told what to do line by line, and says what happens.
//! - `balcony-runtimes board QEMU PROGRAM FOLDER` is a client that is a program for a board; the folder is for sockets.
//! - `balcony-runtimes serve DRIVER CERTIFICATE KEY` is a server on two ports that it says, until its input ends; `-` is no certificate.
//! - `balcony-runtimes suite [--write] [DRIVER...]` plays all drivers, or those named; BALCONY_BOARDS is the folder with programs for boards.

use std::process::ExitCode;

use balcony_runtimes::{Failure, Tools, heap::Counted, party, table};

#[global_allocator]
static HEAP: Counted = Counted;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let done = match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["client", driver] => party::client(driver),
        #[cfg(unix)]
        ["board", qemu, program, folder] => {
            balcony_runtimes::board::play(qemu, program, folder, &party::lines())
        }
        ["serve", driver, certificate, key] => party::serve(driver, certificate, key),
        ["suite", ref rest @ ..] => suite(rest),
        _ => Err("client DRIVER, serve DRIVER CERTIFICATE KEY, board QEMU PROGRAM FOLDER, or suite [--write] [DRIVER...]".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("balcony-runtimes: {error}");
            ExitCode::FAILURE
        }
    }
}

fn suite(words: &[&str]) -> Result<(), Failure> {
    let tools = Tools {
        program: std::env::current_exe()?,
        boards: std::env::var_os("BALCONY_BOARDS").map(Into::into),
    };
    match words {
        [] => table::main(&tools, false),
        ["--write"] => table::main(&tools, true),
        names => table::some(&tools, names),
    }
}
