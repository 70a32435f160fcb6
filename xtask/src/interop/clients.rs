//! The clients. Each but Balcony's is a program that goes through the scenario by itself and prints what it finds.

use core::time::Duration;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::balcony;
use super::matrix::{Found, Verdict};
use super::process::{Process, output, read};
use super::servers::{self, Server};
use super::{DOMAIN, PASSWORD, install};
use crate::run::{Result, root};

pub(crate) const NAMES: [&str; 4] = ["balcony", "slixmpp", "tokio-xmpp", "xmpp.js"];

/// How long a scenario may take.
const PATIENCE: Duration = Duration::from_secs(90);

/// A client that is ready to run.
pub(crate) struct Client {
    pub(crate) version: String,
    kind: Kind,
}

enum Kind {
    /// `balcony send` and `balcony listen`.
    Balcony,
    /// A program, what follows it, and the variable by which it is told whom to trust.
    Program { program: PathBuf, args: Vec<PathBuf>, trust: &'static str },
}

impl Client {
    pub(crate) fn prepare(name: &str) -> Result<Self> {
        let (version, kind) = match name {
            "balcony" => {
                let version = output(Command::new(servers::balcony()).arg("--version"))?;
                (version.rsplit(' ').next().unwrap_or(&version).to_owned(), Kind::Balcony)
            }
            "slixmpp" => {
                let (program, version) = install::slixmpp()?;
                let args =
                    vec!["-W".into(), "ignore".into(), root().join("xtask/interop/slixmpp/scenario.py")];
                (version, Kind::Program { program, args, trust: "INTEROP_CA" })
            }
            "tokio-xmpp" => {
                let (program, version) = install::tokio_xmpp()?;
                (version, Kind::Program { program, args: Vec::new(), trust: "SSL_CERT_FILE" })
            }
            _ => {
                let (folder, version) = install::xmpp_js()?;
                let args = vec![folder.join("scenario.js")];
                (version, Kind::Program { program: "node".into(), args, trust: "NODE_EXTRA_CA_CERTS" })
            }
        };
        Ok(Client { version, kind })
    }

    /// Goes through all checks. What goes over the wire, as far as the client tells, is in the log.
    pub(crate) fn scenario(&self, server: &Server, log: &Path) -> Vec<Found> {
        let Kind::Program { program, args, trust } = &self.kind else {
            return balcony::scenario(server, log);
        };
        let mut command = Command::new(program);
        command
            .args(args)
            .env("INTEROP_ADDRESS", &server.address)
            .env("INTEROP_DIRECT", &server.direct)
            .env("INTEROP_DOMAIN", DOMAIN)
            .env("INTEROP_PASSWORD", PASSWORD)
            .env("INTEROP_LOG", log)
            .env(trust, &server.ca);
        let (out, errors) = (log.with_extension("out"), log.with_extension("err"));
        let status = match Process::start(command, &out, &errors) {
            Ok(mut process) => process.ended(PATIENCE),
            Err(error) => return vec![Found::new("bind", Err(error))],
        };
        let mut found: Vec<Found> = read(&out).lines().filter_map(Found::parse).collect();
        let has_failed = found.iter().any(|found| found.verdict == Verdict::Fail);
        if !has_failed && status.is_none_or(|status| !status.success()) {
            let how = status.map_or("has not ended in time".into(), |status| format!("ended with {status}"));
            let errors = read(&errors);
            let complaint = errors.trim().lines().next_back().unwrap_or_default();
            found.push(Found::new("close", Err(format!("the scenario {how}: {complaint}"))));
        }
        found
    }
}
