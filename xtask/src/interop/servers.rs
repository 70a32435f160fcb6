//! The servers, each on free loopback ports with its data below target/interop.

use core::net::Ipv4Addr;
use core::time::Duration;
use std::collections::BTreeMap;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::installed::{self, Installed};
use super::process::{Process, eventually, output, read};
use super::scenario::{SCENARIOS, TRIES};
use super::{DOMAIN, PASSWORD, PREPARED, folder};
use crate::run::{Result, built, root};

/// Balcony is first, because the others take its certificate.
pub(crate) const NAMES: [&str; 5] = ["balcony", "prosody", "ejabberd", "prosody-newest", "ejabberd-newest"];

/// So long a server may take to start, beside everything else: ejabberd takes some seconds alone.
const PATIENCE: Duration = Duration::from_secs(180);

/// What servers are started for.
pub(crate) struct Purpose {
    /// The folder below target/interop in which all of them have theirs.
    pub(crate) folder: &'static str,
    /// Where they listen.
    pub(crate) host: Ipv4Addr,
    /// How long they keep a session without a connection, in seconds.
    pub(crate) resumption: u32,
}

/// Sessions wait longer than a client takes to come back, and shorter than others wait for it to be seen gone.
pub(crate) static USUAL: Purpose = Purpose { folder: "", host: Ipv4Addr::LOCALHOST, resumption: 3 };
/// For a network that is cut again and again, also while a client logs in.
pub(crate) static CUT: Purpose = Purpose { folder: "cut", host: Ipv4Addr::LOCALHOST, resumption: 60 };

/// A server that runs until this is dropped.
pub(crate) struct Server {
    pub(crate) version: String,
    /// Where streams begin with STARTTLS, `127.0.0.1:port`.
    pub(crate) address: String,
    /// Where they begin with TLS.
    pub(crate) direct: String,
    /// The certificate to trust.
    pub(crate) ca: PathBuf,
    folder: PathBuf,
    log: Log,
    _process: Process,
}

/// Where a server writes down who logs in, and what stands there before the name of the mechanism.
struct Log {
    name: &'static str,
    before: &'static str,
}

/// What is being prepared.
struct Site<'a> {
    purpose: &'a Purpose,
    folder: PathBuf,
    port: u16,
    direct: u16,
}

impl Server {
    pub(crate) fn start(name: &str, purpose: &Purpose) -> Result<Self> {
        let site = Site::new(name, purpose)?;
        match installed::kind(name) {
            "balcony" => site.balcony(),
            "prosody" => site.prosody(&Installed::prepare(name)?),
            _ => site.ejabberd(&Installed::prepare(name)?),
        }
    }

    /// The mechanism of the last login, as the server tells it.
    pub(crate) fn mechanism(&self) -> Result<String> {
        let Log { name, before } = self.log;
        let path = self.folder.join(name);
        // ejabberd writes its log a little later.
        eventually(Duration::from_secs(5), || read(&path).contains(before));
        let log = read(&path);
        let rest = log.rsplit(before).next().unwrap_or_default();
        let end = rest.find(|next: char| !next.is_ascii_alphanumeric() && next != '-').unwrap_or(rest.len());
        if rest.starts_with("SCRAM-SHA-") {
            Ok(rest[..end].into())
        } else {
            Err(format!("{} was used", &rest[..end]))
        }
    }
}

/// The program under test.
pub(crate) fn balcony() -> PathBuf {
    built("balcony")
}

impl<'a> Site<'a> {
    fn new(name: &str, purpose: &'a Purpose) -> Result<Self> {
        let folder = folder(purpose.folder)?.join(name);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(folder.join("data")).map_err(|error| format!("{}: {error}", folder.display()))?;
        let host = purpose.host;
        Ok(Site { purpose, folder, port: free_port(host)?, direct: free_port(host)? })
    }

    fn address(&self, port: u16) -> String {
        format!("{}:{port}", self.purpose.host)
    }

    /// The folder with the authority and the certificate that Balcony has made for itself, and its key.
    fn certificate(&self) -> Result<PathBuf> {
        Ok(folder(self.purpose.folder)?.join("balcony/store"))
    }

    fn balcony(self) -> Result<Server> {
        // Not the folder that is there already: it has to be its owner's alone.
        let data = self.folder.join("store");
        for (user, password) in &users() {
            let words = ["user", "add", user, "--domain", DOMAIN, "--data"];
            output(Command::new(balcony()).args(words).arg(&data).env("BALCONY_PASSWORD", password))?;
        }
        let mut command = Command::new(balcony());
        command
            .args(["--log", "debug", "serve", "--domain", DOMAIN, "--allow-registration"])
            .args(["--resumption-timeout", &self.purpose.resumption.to_string(), "--data"])
            .arg(&data);
        command.args(["--listen", &self.address(self.port), "--listen-tls", &self.address(self.direct)]);
        let version = output(Command::new(balcony()).arg("--version"))?;
        let version = version.rsplit(' ').next().unwrap_or(&version).to_owned();
        self.run(command, version, Log { name: "errors.log", before: "is online (" }, |_| true)
    }

    fn prosody(self, installed: &Installed) -> Result<Server> {
        let config = self.write_config("prosody/prosody.cfg.lua", installed)?;
        for (user, password) in &users() {
            let words = ["register", user, DOMAIN, password];
            output(installed.command("prosodyctl", &self.folder).arg("--config").arg(&config).args(words))?;
        }
        let mut command = installed.command("prosody", &self.folder);
        command.args(["-F", "--config"]).arg(config);
        self.run(
            command,
            installed.version.clone(),
            Log { name: "prosody.log", before: "mechanism='" },
            |_| true,
        )
    }

    fn ejabberd(self, installed: &Installed) -> Result<Server> {
        let config = self.write_config("ejabberd/ejabberd.yml", installed)?;
        let users = users();
        let accounts = users
            .iter()
            .map(|(user, password)| format!("{{<<\"{user}\">>, <<\"{}\"/utf8>>}}", escaped(password)));
        let accounts = format!(
            "[ejabberd_auth:try_register(User, <<\"{DOMAIN}\">>, Password) || {{User, Password}} <- [{}]], \
             file:write_file(\"ready\", [])",
            accounts.collect::<Vec<_>>().join(", ")
        );
        let mut command = installed.ejabberd(&self.folder, &config);
        command.args(["+Bd", "-eval", &accounts]);
        self.run(
            command,
            installed.version.clone(),
            Log { name: "ejabberd.log", before: "Accepted c2s " },
            |folder| folder.join("ready").exists(),
        )
    }

    /// Starts it and waits until it accepts connections.
    fn run(
        self,
        command: Command,
        version: String,
        log: Log,
        ready: impl Fn(&Path) -> bool,
    ) -> Result<Server> {
        let errors = self.folder.join("errors.log");
        let mut process = Process::start(command, &self.folder.join("output.log"), &errors)?;
        let accepts = |port| TcpStream::connect((self.purpose.host, port)).is_ok();
        process
            .wait_until(PATIENCE, || ready(&self.folder) && accepts(self.port) && accepts(self.direct))
            .map_err(|error| {
                format!("{error}: {}", read(&errors).trim().lines().next_back().unwrap_or_default())
            })?;
        Ok(Server {
            version,
            address: self.address(self.port),
            direct: self.address(self.direct),
            ca: self.certificate()?.join("ca.pem"),
            folder: self.folder,
            log,
            _process: process,
        })
    }

    /// Fills in the blanks of a configuration.
    fn write_config(&self, template: &str, installed: &Installed) -> Result<PathBuf> {
        let template = root().join("xtask/interop").join(template);
        let certificate = self.certificate()?;
        let text = fs::read_to_string(&template)
            .map_err(|error| format!("{}: {error}", template.display()))?
            .replace("@DIR@", &self.folder.to_string_lossy())
            .replace("@HOST@", &self.purpose.host.to_string())
            .replace("@RESUMPTION@", &self.purpose.resumption.to_string())
            .replace("@NEWEST@", if installed.is_newest() { "" } else { "# Not in this version: " })
            .replace("@PORT@", &self.port.to_string())
            .replace("@TLS_PORT@", &self.direct.to_string())
            .replace("@CERT@", &certificate.join("cert.pem").to_string_lossy())
            .replace("@KEY@", &certificate.join("key.pem").to_string_lossy());
        let path = self.folder.join(template.file_name().unwrap_or_default());
        fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(path)
    }
}

/// Everybody who has an account, and the passwords.
fn users() -> BTreeMap<String, &'static str> {
    let accounts = SCENARIOS
        .iter()
        .flat_map(|scenario| scenario.clients.iter().map(move |client| (scenario, client)))
        .flat_map(|(scenario, client)| (0..TRIES).flat_map(move |at| scenario.accounts(client, at)));
    let prepared = PREPARED.map(|(user, password)| (user.to_owned(), password));
    accounts.map(|user| (user, PASSWORD)).chain(prepared).collect()
}

/// In a string of Erlang.
fn escaped(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_ascii() { c.to_string() } else { format!("\\x{{{:x}}}", u32::from(c)) })
        .collect()
}

fn free_port(host: Ipv4Addr) -> Result<u16> {
    TcpListener::bind((host, 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(|error| format!("no free port: {error}"))
}
