//! The servers: each has a domain, an address of its own, and one user.

use core::sync::atomic::Ordering;
use core::time::Duration;
use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{certificates, dns};
use crate::interop::{Process, balcony, install, output, read};
use crate::run::{Result, root};

/// The password of everybody, in this network and for this run only.
pub(crate) const PASSWORD: &str = "wherefore art thou";

const PATIENCE: Duration = Duration::from_secs(60);

/// How servers prove who they are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proof {
    Certificate,
    Dialback,
    DirectTls,
}

impl Proof {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Proof::Certificate => "certificate",
            Proof::Dialback => "dialback",
            Proof::DirectTls => "direct-tls",
        }
    }

    pub(crate) fn words(self) -> &'static str {
        match self {
            Proof::Certificate => "certificate",
            Proof::Dialback => "dialback",
            Proof::DirectTls => "direct TLS",
        }
    }
}

/// A server that runs until this is dropped.
pub(crate) struct Server {
    pub(crate) name: &'static str,
    pub(crate) version: String,
    pub(crate) domain: &'static str,
    /// Where clients connect to.
    pub(crate) address: String,
    /// What clients trust.
    pub(crate) ca: PathBuf,
    folder: PathBuf,
    process: Option<Process>,
}

impl Server {
    /// Writes its configuration, makes its user, and starts it.
    pub(crate) fn prepare(
        name: &'static str,
        domain: &'static str,
        host: u8,
        proof: Proof,
        folder: &Path,
    ) -> Result<Server> {
        dns::DIRECT_TLS.store(proof == Proof::DirectTls, Ordering::SeqCst);
        let is_trusted = proof != Proof::Dialback;
        let files = certificates::issue(folder, domain, is_trusted)?;
        let trusted = certificates::trusted(folder)?;
        let ca = if is_trusted { trusted.clone() } else { folder.join("stranger.pem") };
        let own = folder.join(domain);
        fs::create_dir_all(&own).map_err(|error| format!("{}: {error}", own.display()))?;
        let version = match name {
            "balcony" => {
                output(Command::new(balcony()).arg("--version"))?.rsplit(' ').next().unwrap_or("?").to_owned()
            }
            _ => install::debian(name)?,
        };
        let mut server = Server {
            name,
            version,
            domain,
            address: format!("127.0.0.{host}:5222"),
            ca,
            folder: own,
            process: None,
        };
        let template = root().join("xtask/federate").join(server.template());
        let text = fs::read_to_string(&template)
            .map_err(|error| format!("{}: {error}", template.display()))?
            .replace("@DOMAIN@", domain)
            .replace("@IP@", &format!("127.0.0.{host}"))
            .replace("@DIR@", &server.folder.to_string_lossy())
            .replace("@CERT@", &files.certificate.to_string_lossy())
            .replace("@KEY@", &files.key.to_string_lossy())
            .replace("@CA@", &trusted.to_string_lossy())
            .replace("@STRICT@", if is_trusted { "true" } else { "false" });
        let config = server.config();
        fs::write(&config, text).map_err(|error| format!("{}: {error}", config.display()))?;
        server.register()?;
        server.start()?;
        Ok(server)
    }

    fn template(&self) -> &'static str {
        if self.name == "balcony" { "balcony.toml" } else { "prosody.cfg.lua" }
    }

    fn config(&self) -> PathBuf {
        self.folder.join(self.template())
    }

    /// Its user, `balcony`'s `romeo` and the other's `juliet`.
    pub(crate) fn user(&self) -> String {
        let name = if self.domain == "one.test" { "romeo" } else { "juliet" };
        format!("{name}@{}", self.domain)
    }

    fn register(&self) -> Result {
        let user = self.user();
        let mut command = match self.name {
            "balcony" => {
                let mut command = Command::new(balcony());
                command.args(["user", "add", &user, "--data"]).arg(self.folder.join("store"));
                command.env("BALCONY_PASSWORD", PASSWORD);
                command
            }
            _ => {
                let name = user.split('@').next().unwrap_or_default();
                let mut command = Command::new("prosodyctl");
                command.arg("--config").arg(self.config()).args(["register", name, self.domain, PASSWORD]);
                command
            }
        };
        output(&mut command).map(drop)
    }

    pub(crate) fn start(&mut self) -> Result {
        let mut command = match self.name {
            "balcony" => {
                let mut command = Command::new(balcony());
                command.arg("serve").arg("--config").arg(self.config());
                command
            }
            _ => {
                let mut command = Command::new("prosody");
                command.args(["-F", "--config"]).arg(self.config());
                command
            }
        };
        command.current_dir(&self.folder);
        let errors = self.folder.join("errors.log");
        let mut process = Process::start(command, &self.folder.join("output.log"), &errors)?;
        let ip = self.address.split(':').next().unwrap_or_default();
        let accepts = |port: u16| TcpStream::connect((ip, port)).is_ok();
        process.wait_until(PATIENCE, || accepts(5222) && accepts(5269) && accepts(5270)).map_err(
            |error| format!("{error}: {}", read(&errors).trim().lines().next_back().unwrap_or_default()),
        )?;
        self.process = Some(process);
        Ok(())
    }

    pub(crate) fn stop(&mut self) {
        self.process = None;
    }

    pub(crate) fn restart(&mut self) -> Result {
        self.stop();
        self.start()
    }

    /// What its log says.
    pub(crate) fn log(&self) -> String {
        read(&self.folder.join("errors.log"))
    }
}
