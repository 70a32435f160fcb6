//! The servers: each has an address of its own, a domain or two, and a user in each.

use core::sync::atomic::Ordering;
use core::time::Duration;
use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::certificates::{self, Files, Kind};
use super::{dns, figures};
use crate::interop::installed::{self, Installed};
use crate::interop::{Process, balcony, output, read};
use crate::run::{Result, root, target};

/// The password of everybody, in this network and for this run only.
pub(crate) const PASSWORD: &str = "wherefore art thou";

/// How long a server may take to start, also on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(180);

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
    /// So many domains below its own, with a user each, for which its certificate is as well; Balcony only.
    pub(crate) below: u32,
    /// More for the end of its configuration; Balcony only.
    pub(crate) more: &'a str,
    /// Whether what it costs is measured: it logs little, strangers may create accounts, and Balcony is built for release.
    pub(crate) is_measured: bool,
}

impl Setup<'_> {
    pub(crate) fn new(name: &'static str, domain: &'static str, proof: Proof) -> Self {
        let kind = if proof == Proof::Dialback { Kind::Stranger } else { Kind::Good };
        let host = if domain == "two.test" { 3 } else { 2 };
        let (for_clients, second, below) = (false, None, 0);
        Setup { name, domain, host, proof, kind, for_clients, second, below, more: "", is_measured: false }
    }

    /// The same for talking to that one.
    pub(crate) fn with(self, other: &str) -> Self {
        Setup { for_clients: other == "ejabberd", ..self }
    }
}

/// A server that runs until this is dropped.
pub(crate) struct Server {
    pub(crate) name: &'static str,
    pub(crate) domain: &'static str,
    /// Where clients connect to.
    pub(crate) address: String,
    /// What clients trust, whatever the certificate is.
    pub(crate) ca: PathBuf,
    /// What servers trust.
    pub(crate) trusted: PathBuf,
    folder: PathBuf,
    /// Where it is installed; `None`: it is built here.
    installed: Option<Installed>,
    is_measured: bool,
    process: Option<Process>,
}

impl Server {
    /// Writes its configuration, makes its users, and starts it.
    pub(crate) fn prepare(setup: &Setup<'_>, folder: &Path) -> Result<Server> {
        let Setup { name, domain, host, proof, kind, for_clients, second, below, more, is_measured } = *setup;
        dns::DIRECT_TLS.store(proof == Proof::DirectTls, Ordering::SeqCst);
        let files = certificates::issue(folder, domain, kind, for_clients)?;
        let below: Vec<String> = (0..below).map(|number| figures::below(number, domain)).collect();
        let trusted = certificates::trusted(folder)?;
        let ca = if kind == Kind::Stranger { folder.join("stranger.pem") } else { trusted.clone() };
        let own = folder.join(domain);
        let _ = fs::remove_dir_all(&own);
        fs::create_dir_all(&own).map_err(|error| format!("{}: {error}", own.display()))?;
        let installed = (name != "balcony").then(|| Installed::prepare(name)).transpose()?;
        let address = format!("127.0.0.{host}:5222");
        let name = installed::kind(name);
        let is_newest = installed.as_ref().is_some_and(Installed::is_newest);
        let mut server =
            Server { name, domain, address, ca, trusted, folder: own, installed, is_measured, process: None };
        let mut domains = format!("\"{domain}\"");
        let mut more = more.to_owned();
        for user in &below {
            domains.push_str(&format!(", \"{}\"", user.split('@').next_back().unwrap_or_default()));
        }
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
        let [not_there, not_wanted] = match name {
            "prosody" => ["-- Not in this version: ", "-- Not wanted: "],
            _ => ["# Not in this version: ", "# Not wanted: "],
        };
        let level = match (name, is_measured) {
            ("balcony" | "prosody", false) => "debug",
            (_, false) => "info",
            ("ejabberd", true) => "warning",
            (_, true) => "warn",
        };
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
            .replace("@NEWEST@", if is_newest { "" } else { not_there })
            .replace("@MORE@", &more)
            .replace("@LOG@", level)
            .replace("@REGISTRATION@", if is_measured { "" } else { not_wanted })
            .replace("@OPEN@", if is_measured { "true" } else { "false" })
            .replace("@STRICT@", if is_dialback { "false" } else { "true" });
        let config = server.config();
        let wrong = |error: std::io::Error| format!("{}: {error}", config.display());
        fs::write(&config, text).map_err(wrong)?;
        // There may be secrets in it.
        fs::set_permissions(&config, fs::Permissions::from_mode(0o600)).map_err(wrong)?;
        server.register(&user(domain))?;
        if let Some(second) = second {
            server.register(&user(second))?;
        }
        below.iter().try_for_each(|user| server.register(user))?;
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

    fn register(&self, user: &str) -> Result {
        let mut command = match self.name {
            "balcony" => {
                let mut command = Command::new(self.balcony());
                command.args(["user", "add", user, "--data"]).arg(self.folder.join("store"));
                command.env("BALCONY_PASSWORD", PASSWORD);
                command
            }
            "prosody" => {
                let (name, domain) = user.split_once('@').unwrap_or_default();
                let mut command = self.installed()?.command("prosodyctl", &self.folder);
                command.arg("--config").arg(self.config()).args(["register", name, domain, PASSWORD]);
                command
            }
            // It has its own when it runs.
            _ => return Ok(()),
        };
        output(&mut command).map(drop)
    }

    /// Balcony, as it is run here.
    fn balcony(&self) -> PathBuf {
        if self.is_measured { release() } else { balcony() }
    }

    /// Its process.
    pub(crate) fn id(&self) -> String {
        self.process.as_ref().map(|process| process.id().to_string()).unwrap_or_default()
    }

    /// The memory that it has now, in KiB.
    pub(crate) fn kib(&self) -> Result<f64> {
        let status = read(Path::new(&format!("/proc/{}/status", self.id())));
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let value = line.and_then(|line| line.trim().split(' ').next()?.parse().ok());
        value.ok_or_else(|| format!("/proc does not tell the memory of {}", self.name))
    }

    fn installed(&self) -> Result<&Installed> {
        self.installed.as_ref().ok_or_else(|| format!("{} is not installed", self.name))
    }

    fn ejabberd(&self) -> Result<Command> {
        let (domain, user) = (self.domain, self.user());
        let name = user.split('@').next().unwrap_or_default();
        let account = format!(
            "ejabberd_auth:try_register(<<\"{name}\">>, <<\"{domain}\">>, <<\"{PASSWORD}\">>), file:write_file(\"ready\", [])"
        );
        let mut command = self.installed()?.ejabberd(&self.folder, &self.config());
        command.args(["+Bd", "-eval", &account]);
        if self.is_measured {
            command.args(installed::MEASURED);
        }
        Ok(command)
    }

    pub(crate) fn start(&mut self) -> Result {
        let mut command = match self.name {
            "balcony" => {
                let mut command = Command::new(self.balcony());
                command.arg("serve").arg("--config").arg(self.config());
                command
            }
            "prosody" => {
                let mut command = self.installed()?.command("prosody", &self.folder);
                command.args(["-F", "--config"]).arg(self.config());
                command
            }
            _ => self.ejabberd()?,
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
        let mut words = Command::new(self.balcony());
        words.args([command, "--as", user, "--connect", &self.address]);
        words.env("BALCONY_PASSWORD", PASSWORD);
        words
    }
}

/// Balcony, built for release.
pub(crate) fn release() -> PathBuf {
    target().join("release/balcony")
}

/// The version of a server that can be had.
pub(crate) fn version(name: &str) -> Result<String> {
    if name != "balcony" {
        return Ok(Installed::prepare(name)?.version);
    }
    let version = output(Command::new(balcony()).arg("--version"))?;
    Ok(version.rsplit(' ').next().unwrap_or("?").to_owned())
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
