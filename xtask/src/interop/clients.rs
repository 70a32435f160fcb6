//! The clients. Each but Balcony's is a program that goes through the scenario by itself and prints what it finds.

use core::time::Duration;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::balcony;
use super::matrix::{Found, Verdict};
use super::process::{Process, output, read};
use super::relay::{CUTS, Relay};
use super::scenario::Scenario;
use super::servers::{self, Server};
use super::{DOMAIN, PASSWORD, install};
use crate::run::{Result, root};

pub(crate) const NAMES: [&str; 12] = [
    "balcony",
    "slixmpp",
    "tokio-xmpp",
    "xmpp.js",
    "smack",
    "mellium",
    "qxmpp",
    "aioxmpp",
    "libstrophe",
    "go-sendxmpp",
    "libpurple",
    "profanity",
];

/// When connections are cut.
const SEED: u64 = 1;
/// Whose logins are not cut: these forget their session then, or log in twice at a time. `notes.md` says more.
const SPARED: [&str; 2] = ["xmpp.js", "libstrophe"];

/// How long a scenario may take.
const PATIENCE: Duration = Duration::from_secs(180);

/// A client that is ready to run.
pub(crate) struct Client {
    name: String,
    pub(crate) version: String,
    kind: Kind,
}

enum Kind {
    /// `balcony send` and `balcony listen`, and for what they don't do a program with the client crate.
    Balcony { people: PathBuf },
    /// A program, what follows it (`{}` is the name of the scenario), and the variable by which it is told whom to trust.
    Program { program: PathBuf, args: Vec<String>, trust: &'static str },
}

/// Those that log in with passwords that SASLprep changes.
const PREPARES: [&str; 2] = ["balcony", "slixmpp"];

impl Client {
    pub(crate) fn prepare(name: &str) -> Result<Self> {
        let (version, kind) = match name {
            "balcony" => {
                let version = output(Command::new(servers::balcony()).arg("--version"))?;
                let people = install::balcony()?;
                (version.rsplit(' ').next().unwrap_or(&version).to_owned(), Kind::Balcony { people })
            }
            "slixmpp" | "aioxmpp" => {
                let installed = if name == "slixmpp" { install::slixmpp() } else { install::aioxmpp() };
                let (program, version) = installed?;
                let script = root().join("xtask/interop").join(name).join("{}.py");
                let script = script.to_string_lossy().into_owned();
                let args = vec!["-W".into(), "ignore".into(), script];
                (version, Kind::Program { program, args, trust: "INTEROP_CA" })
            }
            "tokio-xmpp" => {
                let (program, version) = install::tokio_xmpp()?;
                (version, Kind::Program { program, args: vec!["{}".into()], trust: "SSL_CERT_FILE" })
            }
            "smack" => {
                let (classes, version) = install::smack()?;
                let args = vec!["-cp".into(), classes, "Common".into(), "{}".into()];
                (version, Kind::Program { program: "java".into(), args, trust: "INTEROP_CA" })
            }
            "mellium" => {
                let (program, version) = install::mellium()?;
                (version, Kind::Program { program, args: vec!["{}".into()], trust: "SSL_CERT_FILE" })
            }
            "qxmpp" => {
                let (program, version) = install::qxmpp()?;
                (version, Kind::Program { program, args: vec!["{}".into()], trust: "INTEROP_CA" })
            }
            "libstrophe" => {
                let (program, version) = install::libstrophe()?;
                (version, Kind::Program { program, args: Vec::new(), trust: "INTEROP_CA" })
            }
            "go-sendxmpp" | "libpurple" | "profanity" => {
                let script = root().join("xtask/interop/programs/{}.py").to_string_lossy().into_owned();
                let mut args = vec![script, name.to_owned()];
                let version = if name == "libpurple" {
                    let (program, version) = install::libpurple()?;
                    args.push(program.to_string_lossy().into_owned());
                    version
                } else {
                    install::debian(name)?
                };
                (version, Kind::Program { program: "python3".into(), args, trust: "INTEROP_CA" })
            }
            _ => {
                let (folder, version) = install::xmpp_js()?;
                let args = vec![folder.join("{}.js").to_string_lossy().into_owned()];
                (version, Kind::Program { program: "node".into(), args, trust: "NODE_EXTRA_CA_CERTS" })
            }
        };
        Ok(Client { name: name.to_owned(), version, kind })
    }

    /// Goes through all checks. What goes over the wire, as far as the client tells, is in the log.
    /// `at` counts the tries, from 0 on.
    pub(crate) fn run(&self, scenario: &Scenario, server: &Server, log: &Path, at: usize) -> Vec<Found> {
        let name = vec!["{}".to_owned()];
        let (program, args, trust) = match &self.kind {
            Kind::Balcony { .. } if scenario.name == "resources" => return balcony::scenario(server, log),
            Kind::Balcony { people } => (people, &name, &"SSL_CERT_FILE"),
            Kind::Program { program, args, trust } => (program, args, trust),
        };
        let mut command = Command::new(program);
        let [romeo, juliet] = scenario.accounts(&self.name, at).map(|user| format!("{user}@{DOMAIN}"));
        command
            .args(args.iter().map(|arg| arg.replace("{}", scenario.name)))
            .env("INTEROP_ROMEO", romeo)
            .env("INTEROP_JULIET", juliet)
            .env("INTEROP_ADDRESS", &server.address)
            .env("INTEROP_DIRECT", &server.direct)
            .env("INTEROP_DOMAIN", DOMAIN)
            .env("INTEROP_PASSWORD", PASSWORD)
            .env("INTEROP_LOG", log)
            .env("INTEROP_BALCONY", servers::balcony())
            .env(trust, &server.ca);
        let (out, errors) = (log.with_extension("out"), log.with_extension("err"));
        let mut relay = None;
        if scenario.name == "resume" {
            let count = log.with_extension("cuts");
            let cuts_logins = !SPARED.contains(&self.name.as_str());
            match Relay::start(&server.address, SEED, cuts_logins, count.clone()) {
                Ok(started) => {
                    command.env("INTEROP_RELAY", &started.address).env("INTEROP_COUNT", count);
                    command.env("INTEROP_CUTS", CUTS.to_string());
                    relay = Some(started);
                }
                Err(error) => return vec![Found::new(scenario.checks[0].0, Err(error))],
            }
        }
        let status = match Process::start(command, &out, &errors) {
            Ok(mut process) => process.ended(PATIENCE),
            Err(error) => return vec![Found::new(scenario.checks[0].0, Err(error))],
        };
        drop(relay);
        let mut found: Vec<Found> = read(&out).lines().filter_map(Found::parse).collect();
        let has_failed = found.iter().any(|found| found.verdict == Verdict::Fail);
        if !has_failed && status.is_none_or(|status| !status.success()) {
            let how = status.map_or("has not ended in time".into(), |status| format!("ended with {status}"));
            let errors = read(&errors);
            let complaint = errors.trim().lines().next_back().unwrap_or_default();
            let last = scenario.checks.last().map_or("", |(check, _)| check);
            found.push(Found::new(last, Err(format!("the scenario {how}: {complaint}"))));
        }
        if scenario.name == "resources" && !PREPARES.contains(&self.name.as_str()) {
            found.push(Found::skip("prepared", "not tried"));
        }
        found
    }
}
