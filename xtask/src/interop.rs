//! `cargo xtask interop`: Balcony beside what others have written.
//!
//! Every client goes through the same [scenarios](scenario::SCENARIOS) at every server. Pairs without Balcony are the control: they
//! show that the scenario itself is right, and where the others differ.

#![allow(clippy::disallowed_types, reason = "the bans are for protocol crates; this has files and sockets")]

mod balcony;
mod clients;
pub(crate) mod install;
pub(crate) mod installed;
mod matrix;
pub(crate) mod newest;
mod process;
mod relay;
mod scenario;
mod servers;

use std::fs;
use std::path::PathBuf;

use crate::options::Options;
use crate::run::{Result, cargo, root, run, target};
use clients::Client;
use matrix::{Outcome, Pair};
pub(crate) use process::{Process, eventually, output, read};
use scenario::{SCENARIOS, Scenario};
pub(crate) use servers::{Purpose, Server, balcony};

pub(crate) const USAGE: &str = "[--write] [--scenario NAME] [NAME...]";
pub(crate) const HELP: &str = "\
Lets slixmpp, tokio-xmpp, xmpp.js, Smack, mellium, QXmpp, aioxmpp, libstrophe and Balcony's own client log in at
Balcony, Prosody and ejabberd, those of Debian and the newest, first with three resources of different priorities, then as two people with rosters, presence,
offline messages, blocking and carbons, and compares what each client gets with what the RFCs and XEPs say.
profanity, a client on libpurple and go-sendxmpp talk to `balcony` there.
It installs them below target/interop or with apt-get; what cannot be had is skipped with the reason.
With names, only the pairs with such a client or server, and with --scenario only one of resources, people, resume,
inactive and programs. --write puts the result into docs/interop.md.";

/// The domain that all servers serve.
pub(crate) const DOMAIN: &str = "localhost";
/// The password of romeo and juliet, on loopback addresses and for this run only.
pub(crate) const PASSWORD: &str = "wherefore art thou";
/// Accounts whose passwords SASLprep (RFC 4013) writes in another way, on loopback addresses and for this run only: a superscript, a
/// fraction and a ligature.
pub(crate) const PREPARED: [(&str, &str); 3] =
    [("prepared-1", "m\u{b2}"), ("prepared-2", "\u{bd}life"), ("prepared-3", "\u{fb01}sh")];

pub(crate) fn main(args: &[String]) -> Result {
    let mut options = Options::new(args);
    let write = options.flag("--write");
    let only = options.value("--scenario")?;
    if let Some(only) = &only
        && SCENARIOS.iter().all(|scenario| scenario.name != only)
    {
        return Err(format!("there is no scenario `{only}`"));
    }
    let names = options.rest()?;
    let known =
        |name: &String| clients::NAMES.contains(&name.as_str()) || servers::NAMES.contains(&name.as_str());
    if let Some(unknown) = names.iter().find(|name| !known(name)) {
        return Err(format!("nothing here is called `{unknown}`"));
    }
    if write && (only.is_some() || !names.is_empty()) {
        return Err("--write wants all pairs".into());
    }
    let wanted = |scenario: &Scenario, client: &str, server: &str| {
        // What is newest is looked at for what the older ones don't have: how sessions go on.
        let is_for = scenario.name == "resume" || !server.ends_with("-newest");
        let is_named = names.is_empty() || names.iter().any(|name| name == client || name == server);
        let is_one = only.as_ref().is_none_or(|only| scenario.name == only);
        is_for && is_one && is_named && scenario.clients.contains(&client)
    };
    let any = |client: &str, server: &str| SCENARIOS.iter().any(|scenario| wanted(scenario, client, server));

    run(&mut cargo(&["build", "--package", "balcony-cli"]))?;
    let logs = folder("logs")?;
    let clients: Vec<(&str, Result<Client>)> = clients::NAMES
        .into_iter()
        .filter(|client| servers::NAMES.iter().any(|server| any(client, server)))
        .map(|name| (name, Client::prepare(name)))
        .collect();
    // Balcony is there in any case: the others take its certificate.
    let mut servers: Vec<Started> = Vec::new();
    for purpose in [&servers::USUAL, &servers::CUT] {
        let scenarios = || SCENARIOS.iter().filter(|scenario| scenario.purpose().folder == purpose.folder);
        let any = |server: &str| {
            let mut pairs =
                clients::NAMES.into_iter().flat_map(|client| scenarios().map(move |one| (client, one)));
            pairs.any(|(client, scenario)| wanted(scenario, client, server))
        };
        if !servers::NAMES.into_iter().any(any) {
            continue;
        }
        for name in servers::NAMES.into_iter().filter(|name| *name == "balcony" || any(name)) {
            servers.push(Started { name, purpose, server: Server::start(name, purpose) });
        }
    }
    if let Some(error) =
        servers.iter().filter(|one| one.name == "balcony").find_map(|one| one.server.as_ref().err())
    {
        return Err(format!("Balcony does not start: {error}"));
    }

    let mut results = Vec::new();
    let all =
        servers::NAMES.into_iter().flat_map(|name| SCENARIOS.iter().map(move |scenario| (name, scenario)));
    for (server_name, scenario) in all {
        let is_for =
            |one: &&Started| one.name == server_name && one.purpose.folder == scenario.purpose().folder;
        let Some(Started { server, .. }) = servers.iter().find(is_for) else { continue };
        for (client_name, client) in &clients {
            if !wanted(scenario, client_name, server_name) {
                continue;
            }
            let version = |name: &str, version: Option<&str>| match version {
                Some(version) => format!("{name} {version}"),
                None => name.to_owned(),
            };
            let mut pair = Pair {
                scenario,
                client: version(client_name, client.as_ref().ok().map(|client| client.version.as_str())),
                server: version(server_name, server.as_ref().ok().map(|server| server.version.as_str())),
                is_control: *client_name != "balcony" && server_name != "balcony",
                outcome: Outcome::Ran(Vec::new()),
            };
            match (client, server) {
                (Ok(client), Ok(server)) => pair.runs(|at| {
                    let again = if at == 0 { String::new() } else { format!("-again-{at}") };
                    println!("{}: {client_name} at {server_name}{again}", scenario.name);
                    let log = logs.join(format!("{}-{client_name}-{server_name}{again}.log", scenario.name));
                    client.run(scenario, server, &log, at)
                }),
                (Err(reason), _) | (_, Err(reason)) => pair.outcome = Outcome::Skipped(reason.clone()),
            }
            results.push(pair);
        }
    }
    drop(servers);

    println!("\n{}", matrix::terminal(&results));
    println!("What went over the wire is in {}", logs.display());
    if write {
        let path = root().join("docs/interop.md");
        fs::write(&path, matrix::markdown(&results))
            .map_err(|error| format!("{}: {error}", path.display()))?;
    }
    matrix::verdict(&results)
}

/// A server, and what it was started for.
struct Started {
    name: &'static str,
    purpose: &'static Purpose,
    server: Result<Server>,
}

/// A folder below target/interop.
pub(crate) fn folder(name: &str) -> Result<PathBuf> {
    let path = target().join("interop").join(name);
    fs::create_dir_all(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(path)
}
