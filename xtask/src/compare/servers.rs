//! The servers that are compared: each on free ports of the loopback, with its data below target/interop/compare, and the same accounts.

use core::net::Ipv4Addr;
use core::time::Duration;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::interop::installed::{self, Installed};
use crate::interop::{Process, folder, output, read};
use crate::run::{Result, describe, root, run, target};

/// Balcony is first, because the others take its certificate.
pub(crate) const NAMES: [&str; 5] = ["balcony", "prosody", "ejabberd", RELAYS[0], RELAYS[1]];
/// The ways in which a relay passes something on. It has no accounts: whoever knows the password is let in.
pub(crate) const RELAYS: [&str; 2] = ["copying", "parsing"];

/// How long a server may take to start.
const PATIENCE: Duration = Duration::from_secs(60);
/// Of all accounts, on loopback addresses and for this run only.
const PASSWORD: &str = "wherefore art thou";

/// A server that is installed, with its configuration.
pub(crate) struct Site {
    name: &'static str,
    version: String,
    folder: PathBuf,
    port: u16,
    direct: u16,
    /// Where it is installed; `None`: it is built here.
    installed: Option<Installed>,
    /// How many accounts it is to have.
    accounts: String,
}

impl Site {
    /// Installs and configures a server; its old data is removed.
    pub(crate) fn prepare(name: &'static str, accounts: &str) -> Result<Site> {
        let folder = folder("compare")?.join(name);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(folder.join("data")).map_err(|error| format!("{}: {error}", folder.display()))?;
        let (version, installed) = match name {
            "balcony" => {
                let version = output(Command::new(target().join("release/balcony")).arg("--version"))?;
                (version.rsplit(' ').next().unwrap_or("?").to_owned(), None)
            }
            _ if RELAYS.contains(&name) => (String::new(), None),
            _ => {
                let installed = Installed::prepare(&format!("{name}-newest")).or_else(|reason| {
                    println!("the newest {name} cannot be had: {reason}; Debian's is taken");
                    Installed::prepare(name)
                })?;
                (installed.version.clone(), Some(installed))
            }
        };
        let (port, direct) = (free_port()?, free_port()?);
        Ok(Site { name, version, folder, port, direct, installed, accounts: accounts.to_owned() })
    }

    /// Its name and version.
    pub(crate) fn title(&self) -> String {
        let name = match self.name {
            "balcony" => "Balcony",
            "prosody" => "Prosody",
            other => other,
        };
        format!("{name} {}", self.version).trim_end().to_owned()
    }

    fn is_relay(&self) -> bool {
        RELAYS.contains(&self.name)
    }

    /// The folder with the certificate that Balcony has made for itself.
    fn store(&self) -> PathBuf {
        self.folder.with_file_name("balcony").join("store")
    }

    /// A program of ours on this processor.
    pub(crate) fn pinned(&self, processor: Option<&str>, program: impl AsRef<Path>) -> Command {
        pin(Command::new(program.as_ref()), processor)
    }

    fn command(&self) -> Result<Command> {
        let other = || self.installed.as_ref().ok_or_else(|| format!("{} is not installed", self.name));
        Ok(match self.name {
            "balcony" => {
                let mut command = Command::new(target().join("release/balcony"));
                command.args(["--log", "warn", "serve", "--domain", "localhost", "--allow-registration"]);
                command
                    .args(["--allow-plaintext", "--max-connections", "100000", "--data"])
                    .arg(self.store());
                command.args(["--listen", &format!("127.0.0.1:{}", self.port)]);
                command.args(["--listen-tls", &format!("127.0.0.1:{}", self.direct)]);
                command
            }
            way if self.is_relay() => {
                let mut command = Command::new(target().join("release/compare-relay"));
                command.args([way, &format!("127.0.0.1:{}", self.port)]).env("BALCONY_PASSWORD", PASSWORD);
                command.arg(self.store().join("cert.pem")).arg(self.store().join("key.pem"));
                command
            }
            "prosody" => {
                let mut command = other()?.command("prosody", &self.folder);
                command.args(["-F", "--config"]).arg(self.configure("prosody.cfg.lua")?);
                command
            }
            _ => {
                let mut command = other()?.ejabberd(&self.folder, &self.configure("ejabberd.yml")?);
                command.args(installed::MEASURED).args(["-eval", "file:write_file(\"ready\", [])"]);
                command
            }
        })
    }

    /// Fills in the blanks of a configuration.
    fn configure(&self, template: &str) -> Result<PathBuf> {
        let (from, to) = (root().join("xtask/compare").join(template), self.folder.join(template));
        let text = fs::read_to_string(&from)
            .map_err(|error| format!("{}: {error}", from.display()))?
            .replace("@DIR@", &self.folder.to_string_lossy())
            .replace("@PORT@", &self.port.to_string())
            .replace("@TLS_PORT@", &self.direct.to_string())
            .replace("@CERT@", &self.store().join("cert.pem").to_string_lossy())
            .replace("@KEY@", &self.store().join("key.pem").to_string_lossy());
        fs::write(&to, text).map_err(|error| format!("{}: {error}", to.display()))?;
        Ok(to)
    }
}

/// A server that runs until this is dropped.
pub(crate) struct Server {
    site: Site,
    process: Option<Process>,
}

impl Server {
    /// Starts it, and has it make the accounts.
    pub(crate) fn start(site: Site, processor: Option<&str>) -> Result<Server> {
        if site.name != "balcony" && !site.store().join("cert.pem").exists() {
            // The certificate is made by the first start.
            let first = Server::start(Site::prepare("balcony", "1")?, None)?;
            drop(first);
        }
        let mut server = Server { site, process: None };
        server.restart(processor)?;
        if server.site.is_relay() {
            return Ok(server);
        }
        let count = server.site.accounts.parse::<u32>().unwrap_or(0).max(101);
        if server.site.name == "balcony" {
            server.import(count)?;
            return Ok(server);
        }
        let mut register = Command::new(target().join("release/balcony"));
        register.args(["bench", "logins", "--plain", "--register", "--seconds", "1", "--users"]);
        register.arg(count.to_string());
        match server.bench(&mut register)? {
            (_, None) => Ok(server),
            (_, Some(complaint)) => Err(format!("its accounts could not be made: {complaint}")),
        }
    }

    /// Makes so many accounts in Balcony, which lets strangers make a thousand at once.
    fn import(&self, count: u32) -> Result {
        let list = self.site.folder.join("accounts.csv");
        let lines: String = (0..count).map(|number| format!("bench{number},{PASSWORD}\n")).collect();
        fs::write(&list, lines).map_err(|error| format!("{}: {error}", list.display()))?;
        let mut import = Command::new(target().join("release/balcony"));
        import.args(["user", "--data"]).arg(self.site.store()).arg("import").arg(&list);
        run(&mut import)
    }

    pub(crate) fn restart(&mut self, processor: Option<&str>) -> Result {
        self.process = None;
        let mut command = pin(self.site.command()?, processor);
        command.current_dir(&self.site.folder);
        let ready = self.site.folder.join("ready");
        let _ = fs::remove_file(&ready);
        let says_so = self.site.name == "ejabberd";
        let errors = self.site.folder.join("errors.log");
        let mut process = Process::start(command, &self.site.folder.join("output.log"), &errors)?;
        let accepts = |port: u16| TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok();
        let has_direct = !self.site.is_relay();
        let is_ready = || {
            (!says_so || ready.exists())
                && accepts(self.site.port)
                && (!has_direct || accepts(self.site.direct))
        };
        process.wait_until(PATIENCE, is_ready).map_err(|error| {
            format!("{error}: {}", read(&errors).trim().lines().next_back().unwrap_or_default())
        })?;
        self.process = Some(process);
        Ok(())
    }

    pub(crate) fn site(&self) -> &Site {
        &self.site
    }

    /// Its process.
    pub(crate) fn id(&self) -> String {
        self.process.as_ref().map(|process| process.id().to_string()).unwrap_or_default()
    }

    /// Runs `balcony bench` against it: the report, and what it complains about.
    pub(crate) fn bench(&self, command: &mut Command) -> Result<(String, Option<String>)> {
        let line = describe(command);
        command.args(["--json", "--connect", &format!("127.0.0.1:{}", self.site.port), "--ca"]);
        command.arg(self.site.store().join("ca.pem"));
        command.env("BALCONY_PASSWORD", PASSWORD).stdin(Stdio::null());
        let output = command.output().map_err(|error| format!("cannot start `{line}`: {error}"))?;
        let report = String::from_utf8_lossy(&output.stdout).into_owned();
        let complaint = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        match output.status.success() {
            true => Ok((report, None)),
            false if report.is_empty() => Err(complaint),
            false => {
                println!("`{line}`: {complaint}: {report}");
                Ok((report, Some(complaint)))
            }
        }
    }
}

/// The same command on one processor.
fn pin(command: Command, processor: Option<&str>) -> Command {
    let Some(processor) = processor else { return command };
    let mut pinned = Command::new("taskset");
    pinned.args(["-c", processor]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => pinned.env(name, value),
            None => pinned.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        pinned.current_dir(folder);
    }
    pinned
}

fn free_port() -> Result<u16> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(|error| format!("no free port: {error}"))
}
