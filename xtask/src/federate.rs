//! `cargo xtask federate`: Balcony and other servers, which talk to each other in a network of their own.
//!
//! The network is a namespace: its only interface is the loopback, with an address for each server at the usual ports, and its DNS is
//! a thread of this program. So servers find each other as they do elsewhere, by SRV records, and nothing of it is seen outside.

#![allow(clippy::disallowed_types, reason = "the bans are for protocol crates; this has files and sockets")]

mod certificates;
mod dns;
mod people;
mod servers;

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::interop::{install, output};
use crate::options::Options;
use crate::run::{Result, cargo, root, run, target};
use people::{ROWS, Row};
use servers::{Proof, Server};

pub(crate) const USAGE: &str = "[--write]";
pub(crate) const HELP: &str = "\
Runs Balcony with Debian's Prosody, and with another Balcony, in a network namespace with a DNS of its own, and lets
a user of each talk to the other: subscriptions, presence, messages, errors, users who are away, a restart of either
server in the middle; by certificate, by dialback, and with TLS from the first byte. It needs root, `unshare`
and `openssl`; Prosody is installed with apt-get. --write puts the result into docs/federation.md.";

/// Set where the namespace is.
const INSIDE: &str = "BALCONY_FEDERATE";

/// Who talks to Balcony, and how they prove who they are.
const PAIRS: &[(&str, Proof)] = &[
    ("balcony", Proof::Certificate),
    ("balcony", Proof::Dialback),
    ("balcony", Proof::DirectTls),
    ("prosody", Proof::Certificate),
    ("prosody", Proof::Dialback),
    ("prosody", Proof::DirectTls),
];

pub(crate) fn main(args: &[String]) -> Result {
    if std::env::var_os(INSIDE).is_none() {
        run(&mut cargo(&["build", "--package", "balcony-cli"]))?;
        // Here there is still a network to get it from.
        install::debian("prosody")?;
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        let mut inside = Command::new("unshare");
        inside.args(["--net", "--mount", "--"]).arg(program).arg("federate").args(args).env(INSIDE, "1");
        return run(inside.current_dir(root()));
    }
    let mut options = Options::new(args);
    let write = options.flag("--write");
    options.rest()?;
    let folder = folder("")?;
    let _ = fs::remove_dir_all(&folder);
    let folder = self::folder("")?;
    network(&folder)?;

    let mut results: Vec<(String, Vec<Result>)> = Vec::new();
    for (other, proof) in PAIRS {
        let name = format!("{other}-{}", proof.name());
        println!("{name}");
        let folder = self::folder(&name)?;
        let started = dns::serve().and_then(|()| {
            let ours = Server::prepare("balcony", "one.test", 2, *proof, &folder)?;
            Ok((ours, Server::prepare(other, "two.test", 3, *proof, &folder)?))
        });
        match started {
            Ok((ours, theirs)) => {
                let title = format!("{} {}, {}", theirs.name, theirs.version, proof.words());
                results.push((title, people::run(ours, theirs, *proof)));
            }
            Err(reason) => results.push((name, vec![Err(reason)])),
        }
    }
    let table = markdown(&results);
    println!("\n{table}");
    println!("Configurations and logs are in {}", folder.display());
    if write {
        let path = root().join("docs/federation.md");
        fs::write(&path, &table).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    let failed = results.iter().flat_map(|(_, rows)| rows).filter(|row| row.is_err()).count();
    if failed == 0 { Ok(()) } else { Err(format!("{failed} of the rows failed")) }
}

/// The loopback interface, and a DNS at the address where resolvers look for it.
fn network(folder: &std::path::Path) -> Result {
    output(Command::new("ip").args(["link", "set", "lo", "up"]))?;
    let resolv = folder.join("resolv.conf");
    fs::write(&resolv, "nameserver 127.0.0.1\n").map_err(|error| format!("{}: {error}", resolv.display()))?;
    output(Command::new("mount").arg("--bind").arg(&resolv).arg("/etc/resolv.conf"))?;
    Ok(())
}

/// A folder below target/federate.
fn folder(name: &str) -> Result<PathBuf> {
    let path = target().join("federate").join(name);
    fs::create_dir_all(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(path)
}

fn markdown(results: &[(String, Vec<Result>)]) -> String {
    let mut out = String::from(
        "# Balcony among other servers\n\nWritten by `cargo xtask federate --write`: a user of Balcony and one of another server, each at their own, found by SRV records in a\n\
         DNS of the test's own. 'Certificate' is SASL EXTERNAL with a certificate of an authority that both trust; 'dialback' is a certificate that\n\
         nobody vouches for, at both ends; 'direct TLS' is a certificate, and `_xmpps-server` records only.\n\n| what |",
    );
    for (title, _) in results {
        out.push_str(&format!(" {title} |"));
    }
    out.push_str("\n|---|");
    out.push_str(&"---|".repeat(results.len()));
    out.push('\n');
    for (index, Row { what, .. }) in ROWS.iter().enumerate() {
        out.push_str(&format!("| {what} |"));
        for (_, rows) in results {
            out.push_str(match rows.get(index) {
                Some(Ok(())) => " ok |",
                Some(Err(_)) => " **no** |",
                None => " - |",
            });
        }
        out.push('\n');
    }
    let failures: Vec<String> = results
        .iter()
        .flat_map(|(title, rows)| {
            let failed =
                rows.iter().zip(ROWS).filter_map(|(row, Row { what, .. })| Some((what, row.as_ref().err()?)));
            failed.map(move |(what, error)| format!("- {title}: {what}: {error}\n")).collect::<Vec<_>>()
        })
        .collect();
    if !failures.is_empty() {
        out.push_str("\nWhat failed:\n\n");
        out.extend(failures);
    }
    out
}
