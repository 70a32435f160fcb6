//! `cargo xtask federate`: Balcony and other servers, which talk to each other in a network of their own.
//!
//! The network is a namespace: its only interface is the loopback, with an address for each server at the usual ports, and its DNS is
//! a thread of this program. So servers find each other as they do elsewhere, by SRV records, and nothing of it is seen outside.

#![allow(clippy::disallowed_types, reason = "the bans are for protocol crates; this has files and sockets")]

mod certificates;
mod component;
mod dns;
mod figures;
mod listener;
mod people;
mod report;
mod servers;
mod triangle;
mod wrong;

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::interop::installed::{self, Installed};
use crate::interop::{install, output};
use crate::options::Options;
use crate::run::{Result, cargo, root, run, target};
use report::Report;
use servers::{Proof, Server, Setup};

pub(crate) const USAGE: &str =
    "[--write] [NAME...] | --figures [--write] [--rounds N] [--seconds N] [--streams N]";
pub(crate) const HELP: &str = "\
Runs Balcony with Debian's Prosody and ejabberd, with the newest of both, and with another Balcony, in a network namespace with a DNS of its own, and lets
a user of each talk to the other: subscriptions, presence, messages, requests, blocking, errors, users who are away, a restart of either
server in the middle, every stream cut in the middle; by certificate, by dialback, and with TLS from the first byte. Then wrong
certificates of seven kinds at either side, three domains of which Balcony hosts two, and a component in slixmpp. It needs root,
`unshare` and `openssl`; the servers are installed with apt-get, the newest ones and slixmpp below target/interop. With names (`prosody`, `ejabberd-newest`, `wrong`,
`triangle`, `component` ...) only those parts. --write puts the results into docs/federation.md, and leaves there what was not run.
--figures measures instead, Balcony built for release beside the newest Prosody and ejabberd, in three rounds or --rounds: chat between two servers of a kind
(--seconds, 10) a second of their CPU, and what an idle stream weighs (of --streams, 100).";

/// Set where the namespace is.
const INSIDE: &str = "BALCONY_FEDERATE";

/// Who talks to Balcony.
const OTHERS: [&str; 5] = ["balcony", "prosody", "ejabberd", "prosody-newest", "ejabberd-newest"];

/// What there is beside them.
const PARTS: [&str; 3] = ["wrong", "triangle", "component"];

/// How often a pair of servers is tried until all of its rows are as they should be: servers that are started and stopped on a busy machine are late
/// now and then. What failed before is told.
const TRIES: usize = 3;

/// How they prove who they are.
const PROOFS: [Proof; 3] = [Proof::Certificate, Proof::Dialback, Proof::DirectTls];

pub(crate) fn main(args: &[String]) -> Result {
    let mut options = Options::new(args);
    let write = options.flag("--write");
    let measures = options.flag("--figures");
    let size = figures::Size {
        rounds: options.number("--rounds")?.unwrap_or(3).max(1),
        seconds: options.number("--seconds")?.unwrap_or(10).max(1),
        streams: u32::try_from(options.number("--streams")?.unwrap_or(100).max(1))
            .map_err(|_| "--streams: too many")?,
    };
    let names = options.rest()?;
    if measures && !names.is_empty() {
        return Err("--figures is of all servers".into());
    }
    let all = || OTHERS.into_iter().chain(PARTS);
    if let Some(unknown) = names.iter().find(|name| !all().any(|known| known == name.as_str())) {
        return Err(format!("nothing here is called `{unknown}`"));
    }
    let wanted = |name: &str| !measures && names.is_empty() || names.iter().any(|wanted| wanted == name);
    if std::env::var_os(INSIDE).is_none() {
        if output(Command::new("id").arg("-u")).as_deref() != Ok("0") {
            println!("SKIP: a network of its own is only for root");
            return Ok(());
        }
        run(&mut cargo(&["build", "--package", "balcony-cli"]))?;
        if measures {
            run(&mut cargo(&["build", "--release", "--package", "balcony-cli"]))?;
        }
        // Here there is still a network to get them from. What can't be had is said inside.
        for other in OTHERS.into_iter().skip(1) {
            let _ = Installed::prepare(other);
        }
        let _ = install::slixmpp();
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        let mut inside = Command::new("unshare");
        inside.args(["--net", "--mount", "--"]).arg(program).arg("federate").args(args).env(INSIDE, "1");
        return run(inside.current_dir(root()));
    }
    let folder = folder("")?;
    let _ = fs::remove_dir_all(&folder);
    let folder = self::folder("")?;
    network(&folder)?;
    dns::serve()?;

    let mut report = Report::default();
    for other in OTHERS.into_iter().filter(|other| wanted(other)) {
        for proof in PROOFS {
            let name = format!("{other}-{}", proof.name());
            println!("{name}");
            let folder = self::folder(&name)?;
            let mut result = people(other, proof, &folder);
            for _ in 1..TRIES {
                let is_right = result.as_ref().is_ok_and(|rows| rows.iter().all(Result::is_ok));
                if is_right || servers::version(other).is_err() {
                    break;
                }
                println!("{name}, again");
                report.again(proof, &title(other), &result);
                result = people(other, proof, &folder);
            }
            report.people.push((proof, title(other), result));
        }
    }
    for other in OTHERS.into_iter().filter(|_| wanted("wrong")) {
        println!("{other}, wrong certificates");
        let folder = self::folder(&format!("{other}-wrong"))?;
        let result = servers::version(other).map(|_| wrong::run(other, &folder));
        report.wrong.push((title(other), result));
    }
    for other in OTHERS.into_iter().skip(1).filter(|_| wanted("triangle")) {
        println!("triangle with {other}");
        let result = triangle::run(other, &self::folder(&format!("{other}-triangle"))?);
        report.triangle.push((title(other), result));
    }
    if wanted("component") {
        println!("component");
        report.component = Some(component::run("balcony", &self::folder("component")?));
    }
    if measures {
        report.figures = Some(figures::run(size, self::folder)?);
    }
    let page = root().join("docs/federation.md");
    // Of parts that were not run what stands there stays.
    let text = report.markdown(&fs::read_to_string(&page).unwrap_or_default());
    println!("\n{text}");
    println!("Configurations and logs are in {}", folder.display());
    if write {
        fs::write(&page, &text).map_err(|error| format!("{}: {error}", page.display()))?;
    }
    match report.failures().len() {
        0 => Ok(()),
        failed => Err(format!("{failed} of the rows failed")),
    }
}

/// All that two users do.
fn people(other: &'static str, proof: Proof, folder: &std::path::Path) -> Result<Vec<Result>> {
    let ours = Server::prepare(&Setup::new("balcony", "one.test", proof).with(other), folder)?;
    let theirs = Server::prepare(&Setup::new(other, "two.test", proof), folder)?;
    Ok(people::run(ours, theirs, proof, folder.to_owned()))
}

/// A server with its version, if it can be had.
fn title(name: &str) -> String {
    match servers::version(name) {
        Ok(version) => format!("{} {version}", installed::kind(name)),
        Err(_) => name.to_owned(),
    }
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
