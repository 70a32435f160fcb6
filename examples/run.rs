//! The examples that need nothing from outside are run: each says what it has done, and ends by itself.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::std_instead_of_core,
    clippy::unwrap_used,
    reason = "programs are run"
)]

use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Longer than any of them takes on a machine that is busy.
const LONG: Duration = Duration::from_secs(60);

/// Runs an example, with a folder of its own as its argument if it wants one, and returns what it has said.
fn run(name: &str, folder: Option<&Path>) -> String {
    let mut program = std::env::current_exe().unwrap();
    program.pop();
    program.pop();
    program.extend(["examples", name]);
    assert!(program.exists(), "{} is not built; `cargo test -p balcony-examples` does it", program.display());
    let mut command = Command::new(program);
    command.args(folder).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut out = child.stdout.take().unwrap();
    let said = std::thread::spawn(move || {
        let mut said = String::new();
        out.read_to_string(&mut said).unwrap();
        said
    });
    let began = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if began.elapsed() > LONG {
            child.kill().unwrap();
            panic!("{name} does not end; it has said: {}", said.join().unwrap());
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let said = said.join().unwrap();
    assert!(status.success(), "{name}: {status}; it has said: {said}");
    said
}

#[test]
fn a_machine_by_hand() {
    assert!(!run("by_hand", None).is_empty());
}

#[test]
fn extensions_of_a_server() {
    assert!(!run("server_extension", None).is_empty());
    assert!(!run("server_extension_io", None).is_empty());
}

// What it keeps is there when it runs again.
#[test]
fn a_server_in_a_program_of_ones_own() {
    let folder = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        let said = run("server_tokio", Some(folder.path()));
        assert!(said.contains(">amorous<"), "{said}");
    }
}
