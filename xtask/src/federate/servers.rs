//! The servers: each has an address of its own, a domain or two, and a user in each.

use core::sync::atomic::Ordering;
use core::time::Duration;
use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::certificates::{self, Files, Kind};
use super::dns;
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

/// How a server is set up.
pub(crate) struct Setup<'a> {
    pub(crate) name: &'static str,
    pub(crate) domain: &'static str,
    /// The last byte of its address.
    pub(crate) host: u8,
    pub(crate) proof: Proof,
    /// What is the matter with its certificate.
    pub(crate) kind: Kind,
    /// Whether it is for clients as well: ejabberd 23.01 takes no other.
    pub(crate) for_clients: bool,
    /// Another domain that it hosts, with a certificate of its own; Balcony only.
    pub(crate) second: Option<&'static str>,
    /// More for the end of its configuration; Balcony only.
    pub(crate) more: &'a str,
}

impl Setup<'_> {
    pub(crate) fn new(name: &'static str, domain: &'static str, proof: Proof) -> Self {
        let kind = if proof == Proof::Dialback { Kind::Stranger } else { Kind::Good };
        let host = if domain == "two.test" { 3 } else { 2 };
        Setup { name, domain, host, proof, kind, for_clients: false, second: None, more: "" }
    }

    /// The same for talking to that one.
    pub(crate) fn with(self, other: &str) -> Self {
        Setup { for_clients: other == "ejabberd", ..self }
    }
}

/// A server that runs until this is dropped.
pub(crate) struct Server {
    pub(crate) name: &'static str,
    pub(crate) version: String,
    pub(crate) domain: &'static str,
    /// Where clients connect to.
    pub(crate) address: String,
    /// What clients trust, whatever the certificate is.
    pub(crate) ca: PathBuf,
    /// What servers trust.
    pub(crate) trusted: PathBuf,
    folder: PathBuf,
    process: Option<Process>,
}

impl Server {
    /// Writes its configuration, makes its users, and starts it.
    pub(crate) fn prepare(setup: &Setup<'_>, folder: &Path) -> Result<Server> {
        let Setup { name, domain, host, proof, kind, for_clients, second, more } = *setup;
        dns::DIRECT_TLS.store(proof == Proof::DirectTls, Ordering::SeqCst);
        let files = certificates::issue(folder, domain, kind, for_clients)?;
        let trusted = certificates::trusted(folder)?;
        let ca = if kind == Kind::Stranger { folder.join("stranger.pem") } else { trusted.clone() };
        let own = folder.join(domain);
        let _ = fs::remove_dir_all(&own);
        fs::create_dir_all(&own).map_err(|error| format!("{}: {error}", own.display()))?;
        let version = match name {
            "balcony" => {
                output(Command::new(balcony()).arg("--version"))?.rsplit(' ').next().unwrap_or("?").to_owned()
            }
            _ => install::debian(name)?,
        };
        let address = format!("127.0.0.{host}:5222");
        let mut server = Server { name, version, domain, address, ca, trusted, folder: own, process: None };
        let mut domains = format!("\"{domain}\"");
        let mut more = more.to_owned();
        if let Some(second) = second {
            let Files { certificate, key } = certificates::issue(folder, second, Kind::Good, for_clients)?;
            domains.push_str(&format!(", \"{second}\""));
            more.push_str(&format!(
                "[domains.\"{second}\"]\ncertificate = \"{}\"\nkey = \"{}\"\n",
                certificate.display(),
                key.display()
            ));
        }
        let is_dialback = proof == Proof::Dialback;
        let dialback = match (name, is_dialback) {
            (_, false) => "",
            ("prosody", true) => "\"dialback\", ",
            (_, true) => "  mod_s2s_dialback: {}",
        };
        let template = root().join("xtask/federate").join(server.template());
        let text = fs::read_to_string(&template)
            .map_err(|error| format!("{}: {error}", template.display()))?
            .replace("@DOMAINS@", &domains)
            .replace("@DOMAIN@", domain)
            .replace("@IP@", &format!("127.0.0.{host}"))
            .replace("@DIR@", &server.folder.to_string_lossy())
            .replace("@CERT@", &files.certificate.to_string_lossy())
            .replace("@KEY@", &files.key.to_string_lossy())
            .replace("@CA@", &server.trusted.to_string_lossy())
            .replace("@DIALBACK@", dialback)
            .replace("@MORE@", &more)
            .replace("@STRICT@", if is_dialback { "false" } else { "true" });
        let config = server.config();
        let wrong = |error: std::io::Error| format!("{}: {error}", config.display());
        fs::write(&config, text).map_err(wrong)?;
        // There may be secrets in it.
        fs::set_permissions(&config, fs::Permissions::from_mode(0o600)).map_err(wrong)?;
        server.register(domain)?;
        if let Some(second) = second {
            server.register(second)?;
        }
        server.start()?;
        Ok(server)
    }

    fn template(&self) -> &'static str {
        match self.name {
            "balcony" => "balcony.toml",
            "prosody" => "prosody.cfg.lua",
            _ => "ejabberd.yml",
        }
    }

    fn config(&self) -> PathBuf {
        self.folder.join(self.template())
    }

    /// Its user.
    pub(crate) fn user(&self) -> String {
        user(self.domain)
    }

    fn register(&self, domain: &str) -> Result {
        let user = user(domain);
        let mut command = match self.name {
            "balcony" => {
                let mut command = Command::new(balcony());
                command.args(["user", "add", &user, "--data"]).arg(self.folder.join("store"));
                command.env("BALCONY_PASSWORD", PASSWORD);
                command
            }
            "prosody" => {
                let name = user.split('@').next().unwrap_or_default();
                let mut command = Command::new("prosodyctl");
                command.arg("--config").arg(self.config()).args(["register", name, domain, PASSWORD]);
                command
            }
            // It has its own when it runs.
            _ => return Ok(()),
        };
        output(&mut command).map(drop)
    }

    /// Without `ejabberdctl`: that would change the user, and start a daemon that outlives the server.
    fn ejabberd(&self) -> Command {
        let libraries = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu"];
        let (domain, user) = (self.domain, self.user());
        let name = user.split('@').next().unwrap_or_default();
        let account = format!(
            "ejabberd_auth:try_register(<<\"{name}\">>, <<\"{domain}\">>, <<\"{PASSWORD}\">>), file:write_file(\"ready\", [])"
        );
        let mut command = Command::new("erl");
        command.args(["-noinput", "+Bd", "-mnesia", "dir", "\"data\"", "-s", "ejabberd", "-eval", &account]);
        command.env("ERL_LIBS", libraries.join(":")).env("EJABBERD_CONFIG_PATH", self.config());
        command.env("EJABBERD_LOG_PATH", self.folder.join("ejabberd.log"));
        command
    }

    pub(crate) fn start(&mut self) -> Result {
        let mut command = match self.name {
            "balcony" => {
                let mut command = Command::new(balcony());
                command.arg("serve").arg("--config").arg(self.config());
                command
            }
            "prosody" => {
                let mut command = Command::new("prosody");
                command.args(["-F", "--config"]).arg(self.config());
                command
            }
            _ => self.ejabberd(),
        };
        command.current_dir(&self.folder);
        let ready = self.folder.join("ready");
        let _ = fs::remove_file(&ready);
        let says_so = self.name == "ejabberd";
        let errors = self.folder.join("errors.log");
        let mut process = Process::start(command, &self.folder.join("output.log"), &errors)?;
        let ip = self.address.split(':').next().unwrap_or_default();
        let accepts = |port: u16| TcpStream::connect((ip, port)).is_ok();
        let is_ready = || (!says_so || ready.exists()) && [5222, 5223, 5269, 5270].into_iter().all(accepts);
        process.wait_until(PATIENCE, is_ready).map_err(|error| {
            format!("{error}: {}", read(&errors).trim().lines().next_back().unwrap_or_default())
        })?;
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

    /// `balcony` with one of its commands, as its user with this resource.
    pub(crate) fn command(&self, command: &str, user: &str) -> Command {
        let mut words = Command::new(balcony());
        words.args([command, "--as", user, "--connect", &self.address]);
        words.env("BALCONY_PASSWORD", PASSWORD);
        words
    }
}

/// Who lives in a domain.
pub(crate) fn user(domain: &str) -> String {
    let name = match domain {
        "one.test" => "romeo",
        "two.test" => "juliet",
        _ => "nurse",
    };
    format!("{name}@{domain}")
}
