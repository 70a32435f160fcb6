//! `c/client.c`, compiled and run against a server on a real socket, by way of a network that breaks.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::std_instead_of_core,
    clippy::unwrap_used,
    reason = "tests"
)]

#[path = "../../runtime/tests/world/relay.rs"]
#[allow(dead_code, reason = "others fall silent as well")]
mod relay;

use core::time::Duration;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;

use balcony::prelude::*;
use balcony::server::{MemoryAccounts, test_certificate};

use relay::Relay;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The library for C, which was made beside this test.
fn library() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let deps = test.parent().unwrap();
    let named = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("libbalcony_ffi") && name.ends_with(".a")
    };
    let mut found: Vec<PathBuf> =
        std::fs::read_dir(deps).unwrap().filter_map(|entry| Some(entry.ok()?.path())).filter(named).collect();
    found.sort_by_key(|path| path.metadata().and_then(|data| data.modified()).ok());
    found.pop().unwrap_or_else(|| panic!("no library in {}", deps.display()))
}

/// One of the programs in `c`, compiled; `None` where there is no compiler.
fn compiled(name: &str, folder: &Path) -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let program = folder.join(name);
    let mut compiler = Command::new("cc");
    compiler
        .args(["-std=c11", "-Wall", "-Wextra", "-Werror", "-pedantic", "-g", "-I"])
        .arg(root.join("include"));
    compiler
        .arg(root.join("c").join(name).with_extension("c"))
        .arg(library())
        .args(["-lm", "-lpthread", "-ldl", "-o"])
        .arg(&program);
    match compiler.output() {
        Ok(output) => {
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            Some(program)
        }
        Err(error) => {
            println!("SKIP: there is no C compiler: {error}");
            None
        }
    }
}

#[test]
fn memory_is_the_callers() {
    let folder = tempfile::tempdir().unwrap();
    let Some(program) = compiled("memory", folder.path()) else { return };
    let output = Command::new(program).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

// The server goes on while this waits for what the client says.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_in_c_goes_on_with_its_session() {
    let folder = tempfile::tempdir().unwrap();
    let Some(program) = compiled("client", folder.path()) else { return };
    let (certificate, key) = test_certificate("localhost").unwrap();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, &certificate).unwrap();
    let accounts =
        MemoryAccounts::new().with("romeo@localhost", "r").unwrap().with("juliet@localhost", "j").unwrap();
    let server = balcony::Server::builder("localhost").accounts(accounts);
    let server = server.certificate_pem(certificate.as_bytes(), key.expose().as_bytes());
    let server = server.listen("127.0.0.1:0".parse().unwrap()).start().unwrap();
    let at = server.local_addrs()[0].to_string();
    let builder =
        Client::builder("juliet@localhost").password("j").connect(&at).trust_pem(certificate.as_bytes());
    let mut juliet = builder.start().await.unwrap();

    let relay = Relay::to(server.local_addrs()[0].port());
    let mut client = Command::new(program)
        .args(["127.0.0.1", &relay.port.to_string(), "juliet@localhost", "But soft"])
        .env("BALCONY_JID", "romeo@localhost/c")
        .env("BALCONY_PASSWORD", "r")
        .env("BALCONY_CA", &ca)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (tells, told) = mpsc::channel();
    let output = BufReader::new(client.stdout.take().unwrap());
    thread::spawn(move || output.lines().map_while(Result::ok).for_each(|line| drop(tells.send(line))));
    let next = |wanted: &str| loop {
        let line = told.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("`{wanted}` has not come"));
        println!("{line}");
        if line.contains(wanted) {
            return;
        }
    };

    next("online as romeo@localhost/c");
    let message = loop {
        if let Event::Message(message) = juliet.next().await.unwrap().unwrap() {
            break message;
        }
    };
    assert_eq!(message.body(), Some("But soft"));
    next("the server has taken over: first");
    relay.cut();
    juliet.send(message.reply().body("Wherefore art thou?")).await.unwrap();
    next("the session goes on");
    next("<body>Wherefore art thou?</body>");
    assert!(client.wait().unwrap().success());
    juliet.close().await.unwrap();
}
