//! `cargo xtask survive`: clients on bad networks, which write to each other.
//!
//! The networks are namespaces, and what is between them is `xtask/survive/link.py`: nothing of it is seen outside, and it is gone when this
//! has ended. All that is compared has the same weather at the same time.

#![allow(clippy::disallowed_types, reason = "the bans are for protocol crates; this has files and sockets")]

mod figures;
mod page;
mod script;

use core::net::Ipv4Addr;
use core::time::Duration;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;

use crate::interop::{DOMAIN, PASSWORD, Process, Purpose, Server, eventually, install, output, read};
use crate::options::Options;
use crate::run::{Result, cargo, root, run, target};
use figures::{Events, Log, Messages, back, median_and_worst};
use page::Row;
use script::{ROLES, script};

pub(crate) const USAGE: &str = "[--write] [--seconds N] [--seed N]";
pub(crate) const HELP: &str = "\
Lets two clients on bad networks of their own (loss, delay, jitter, outages, changes of address) exchange numbered
messages through Balcony, and at the same time, in the same weather, through Prosody and ejabberd, and others with slixmpp
through all three, and counts what was lost, came twice, or in another order, and how long each took to be back.
  --seconds N  how long they write, an hour unless told otherwise
  --seed N     the weather; 1 unless told otherwise
  --write      puts the figures into docs/survival.md
It needs root, network namespaces, /dev/net/tun and Python 3, and says SKIP where they are missing.";

/// Set where the namespace is.
const INSIDE: &str = "BALCONY_SURVIVE";
const HOST: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
/// Sessions wait for as long as Balcony's do by default.
const PURPOSE: Purpose = Purpose { folder: "survive", host: HOST, resumption: 600 };
/// How long what is still under way at the end may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// A server, the one that takes its place where it cannot be had, and the client.
const SYSTEMS: [(&str, Option<&str>, &str); 6] = [
    ("balcony", None, "balcony"),
    ("balcony", None, "slixmpp"),
    ("prosody-newest", Some("prosody"), "balcony"),
    ("prosody-newest", Some("prosody"), "slixmpp"),
    ("ejabberd-newest", Some("ejabberd"), "balcony"),
    ("ejabberd-newest", Some("ejabberd"), "slixmpp"),
];

pub(crate) fn main(args: &[String]) -> Result {
    let mut options = Options::new(args);
    let seconds = options.number("--seconds")?.unwrap_or(3600);
    let seed = options.number("--seed")?.unwrap_or(1);
    let write = options.flag("--write");
    if let Some(unknown) = options.rest()?.first() {
        return Err(format!("what is `{unknown}`? See --help"));
    }
    if seconds < 120 {
        return Err("--seconds wants at least 120: the last minute is quiet".into());
    }
    if std::env::var_os(INSIDE).is_none() {
        if let Some(reason) = missing() {
            println!("SKIP: {reason}");
            return Ok(());
        }
        run(&mut cargo(&["build", "--package", "balcony-cli"]))?;
        install::balcony()?;
        install_others();
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        let mut inside = Command::new("unshare");
        inside.args(["--net", "--mount", "--propagation", "private", "--"]).arg(program).arg("survive");
        return run(inside.args(args).env(INSIDE, "1").current_dir(root()));
    }
    let folder = target().join("survive");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let rows = weather(seed, seconds, &folder)?;
    let tables = page::tables(&rows);
    println!("\n{tables}\nScript, logs and configurations are in {}", folder.display());
    if write {
        let path = root().join("docs/survival.md");
        let page = page::markdown(&tables, seconds, seed, &rows);
        fs::write(&path, page).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    page::verdict(&rows)
}

/// Why it can't be done here.
fn missing() -> Option<String> {
    if !install::is_root() {
        return Some("only root makes network namespaces".into());
    }
    if !Path::new("/dev/net/tun").exists() {
        return Some("there is no /dev/net/tun".into());
    }
    let programs = [("ip", "-V"), ("unshare", "--version"), ("python3", "--version")];
    let missing = programs.iter().find(|(name, version)| output(Command::new(name).arg(version)).is_err());
    missing.map(|(name, _)| format!("there is no `{name}`"))
}

/// While there still is a network. What cannot be had says so later.
fn install_others() {
    for result in [install::slixmpp().map(drop), install::newest()] {
        if let Err(reason) = result {
            println!("SKIP: {reason}");
        }
    }
    for package in ["prosody", "ejabberd"] {
        if let Err(reason) = install::debian(package) {
            println!("SKIP: {reason}");
        }
    }
}

/// A server with two of its clients.
struct System {
    server: usize,
    client: &'static str,
    namespaces: [String; 2],
    processes: Vec<Process>,
}

fn weather(seed: u64, seconds: u64, folder: &Path) -> Result<Vec<Row>> {
    output(Command::new("mkdir").args(["-p", "/run/netns"]))?;
    output(Command::new("mount").args(["-t", "tmpfs", "tmpfs", "/run/netns"]))?;
    let file = folder.join("script");
    fs::write(&file, script(seed, seconds)).map_err(|error| format!("{}: {error}", file.display()))?;

    let names = |index: usize| ROLES.map(|role| format!("{role}{index}"));
    let mut link = Command::new("python3");
    link.arg(root().join("xtask/survive/link.py")).arg(HOST.to_string()).arg(&file);
    link.arg(seed.to_string()).arg(folder);
    for index in 0..SYSTEMS.len() {
        link.args(names(index).iter().zip(ROLES).map(|(name, role)| format!("{name}:{role}")));
    }
    let link_log = folder.join("link");
    let mut link = Process::start(link, &link_log, &folder.join("link.err"))?;
    link.wait_until(Duration::from_secs(20), || read(&link_log).contains("ready"))?;

    let (mut servers, mut systems): (Vec<(&str, Server)>, Vec<System>) = (Vec::new(), Vec::new());
    for (index, (name, other, client)) in SYSTEMS.into_iter().enumerate() {
        if servers.iter().all(|(started, _)| *started != name) {
            let instead = |error| match other {
                Some(other) => Server::start(other, &PURPOSE).map_err(|reason| format!("{error}; {reason}")),
                None => Err(error),
            };
            match Server::start(name, &PURPOSE).or_else(instead) {
                Ok(server) => servers.push((name, server)),
                Err(reason) => {
                    println!("SKIP: {name}: {reason}");
                    continue;
                }
            }
        }
        let server = servers.iter().position(|(started, _)| *started == name).unwrap_or_default();
        systems.push(System { server, client, namespaces: names(index), processes: Vec::new() });
    }
    fs::write(folder.join("start"), "").map_err(|error| error.to_string())?;
    for system in &mut systems {
        let server = &servers[system.server].1;
        // Each pair has accounts of its own.
        let pair = if system.client == "balcony" {
            ["romeo", "juliet"]
        } else {
            ["romeo-slixmpp", "juliet-slixmpp"]
        };
        for (at, namespace) in system.namespaces.iter().enumerate() {
            let client = client(system.client, server, namespace, [pair[at], pair[1 - at]], seconds)?;
            let log = folder.join(namespace);
            system.processes.push(Process::start(client, &log, &log.with_extension("err"))?);
        }
    }
    println!("{} pairs of clients write to each other for {seconds} s", systems.len());
    sleep(Duration::from_secs(seconds));
    let logs =
        |system: &System| system.namespaces.each_ref().map(|name| Log::parse(&read(&folder.join(name))));
    let is_complete = |system: &System| {
        let [one, other] = logs(system);
        [(&one, &other), (&other, &one)].iter().all(|(from, to)| Messages::count(from, to).lost == 0)
    };
    eventually(PATIENCE, || {
        sleep(Duration::from_secs(1));
        systems.iter().all(is_complete)
    });
    // What comes twice may come later.
    sleep(Duration::from_secs(5));
    for system in &mut systems {
        system.processes.clear();
    }
    let bytes = read(&folder.join("bytes"));
    drop(link);
    let events = Events::parse(&read(&link_log));
    Ok(systems
        .iter()
        .map(|system| row(system, &servers[system.server], &logs(system), &events, &bytes))
        .collect())
}

/// A client that writes to the other.
fn client(
    name: &str,
    server: &Server,
    namespace: &str,
    [own, peer]: [&str; 2],
    seconds: u64,
) -> Result<Command> {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", namespace]);
    if name == "balcony" {
        command.arg(crate::run::built("interop-balcony")).arg("survive").env("SSL_CERT_FILE", &server.ca);
    } else {
        let (python, _) = install::slixmpp()?;
        command.arg(python).args(["-W", "ignore"]).arg(root().join("xtask/survive/slixmpp_client.py"));
        command.env("INTEROP_CA", &server.ca);
    }
    command
        .env("INTEROP_ADDRESS", &server.address)
        .env("INTEROP_PASSWORD", PASSWORD)
        .env("SURVIVE_JID", format!("{own}@{DOMAIN}/{namespace}"))
        .env("SURVIVE_PEER", format!("{peer}@{DOMAIN}"))
        .env("SURVIVE_MESSAGES", seconds.to_string());
    Ok(command)
}

fn row(
    system: &System,
    (name, server): &(&str, Server),
    logs: &[Log; 2],
    events: &Events,
    bytes: &str,
) -> Row {
    let mut messages = Messages::count(&logs[0], &logs[1]);
    messages.add(&Messages::count(&logs[1], &logs[0]));
    let times = |moments: &[(String, f64)]| {
        let of = |role: usize| {
            let own = moments.iter().filter(move |(whose, _)| whose == ROLES[role]);
            back(&logs[role], own.map(|(_, at)| *at))
        };
        median_and_worst([of(0), of(1)].concat())
    };
    let count = |name: &str| {
        let rest = bytes.split(&format!("\"{name}\": ")).nth(1)?;
        rest.split([',', '}']).next()?.parse::<u64>().ok()
    };
    Row {
        server: format!("{} {}", name.trim_end_matches("-newest"), server.version),
        client: system.client,
        messages,
        resumed: logs.iter().map(|log| log.resumed).sum(),
        begun: logs.iter().map(|log| log.begun).sum(),
        outages: events.up.len(),
        addresses: events.address.len(),
        after_outage: times(&events.up),
        after_address: times(&events.address),
        bytes: system.namespaces.iter().filter_map(|name| count(name)).sum(),
    }
}
