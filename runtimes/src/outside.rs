//! The stage of processes: a server on real sockets, the phone by a driver, everybody else by clients on threads.

use core::time::Duration;
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use balcony::server::test_certificate;

use crate::relay::Relay;
use crate::script::Stage;
use crate::{Driver, Failure, Kind, Tools};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A process that is told lines and says lines.
#[derive(Debug)]
struct Party {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Party {
    fn start(mut command: Command) -> Result<Party, Failure> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child =
            command.spawn().map_err(|error| format!("{}: {error}", command.get_program().display()))?;
        let (send, lines) = channel();
        let output = child.stdout.take().ok_or("no output")?;
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Party { input: child.stdin.take(), child, lines })
    }

    fn tell(&mut self, line: &str) -> Result<(), Failure> {
        let input = self.input.as_mut().ok_or("no input")?;
        Ok(writeln!(input, "{line}").and_then(|()| input.flush())?)
    }

    fn hear(&self) -> Option<String> {
        self.lines.recv_timeout(PATIENCE).ok()
    }
}

impl Drop for Party {
    fn drop(&mut self) {
        // The end of its input is the end of it; who does not see that is ended.
        self.input = None;
        let until = std::time::Instant::now() + Duration::from_secs(5);
        while std::time::Instant::now() < until {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The stage. What it has started ends with it.
#[derive(Debug)]
pub struct Outside {
    relay: Relay,
    parties: BTreeMap<String, Party>,
    server: Party,
    program: PathBuf,
    port: u16,
    scheme: &'static str,
    /// The certificate to trust.
    trust: String,
    /// It is there as long as everybody.
    _folder: tempfile::TempDir,
}

impl Outside {
    /// A server, and a phone that has not been told anything, with TLS between them or without.
    ///
    /// # Errors
    ///
    /// What does not start.
    pub fn new(driver: &Driver, tools: &Tools, has_tls: bool) -> Result<Outside, Failure> {
        let folder = tempfile::tempdir()?;
        let mut trust = String::from("-");
        let mut key = String::from("-");
        if has_tls {
            let (certificate, private) = test_certificate("localhost")?;
            let path = |name: &str| folder.path().join(name).display().to_string();
            (trust, key) = (path("certificate.pem"), path("key.pem"));
            std::fs::write(&trust, certificate)?;
            std::fs::write(&key, private.expose())?;
        }
        let server = Party::start(tools.server(driver.server, &trust, &key))?;
        let ports = server.hear().ok_or("the server does not start")?;
        let ports: Vec<u16> =
            ports.split([' ', ':']).filter_map(|word| word.parse().ok()).filter(|port| *port != 0).collect();
        let is_web = matches!(driver.kind, Kind::Browser);
        let port = *ports.first().ok_or("the server does not listen")?;
        let relay = Relay::to(if is_web { *ports.get(1).ok_or("no WebSocket")? } else { port })?;
        let phone = Party::start(tools.client(driver, folder.path())?)?;
        Ok(Outside {
            relay,
            parties: BTreeMap::from([("phone".into(), phone)]),
            server,
            program: tools.program.clone(),
            port,
            scheme: if is_web { "ws" } else { "" },
            trust,
            _folder: folder,
        })
    }

    /// What the heap of a party holds, and how often it was asked for memory; `server` is one.
    ///
    /// # Errors
    ///
    /// It does not say.
    pub fn figures(&mut self, who: &str) -> Result<(u64, u64), Failure> {
        let party = if who == "server" { &mut self.server } else { self.party(who)? };
        party.tell("figures")?;
        let line = party.hear().ok_or("no figures")?;
        let mut words =
            line.strip_prefix("figures ").ok_or_else(|| format!("no figures: {line}"))?.split(' ');
        let mut number = || words.next().and_then(|word| word.parse().ok()).ok_or("no figures");
        Ok((number()?, number()?))
    }

    fn party(&mut self, who: &str) -> Result<&mut Party, Failure> {
        if !self.parties.contains_key(who) {
            let mut command = Command::new(&self.program);
            command.args(["client", "threads"]);
            self.parties.insert(who.into(), Party::start(command)?);
        }
        Ok(self.parties.get_mut(who).ok_or("nobody")?)
    }
}

impl Stage for Outside {
    fn tell(&mut self, who: &str, line: &str) -> Result<(), Failure> {
        let mut line = String::from(line);
        if line.starts_with("connect ") {
            let place = match (who, self.scheme) {
                ("phone", "ws") => format!("ws://127.0.0.1:{}/xmpp-websocket", self.relay.port),
                ("phone", _) => format!("127.0.0.1:{}", self.relay.port),
                _ => format!("127.0.0.1:{}", self.port),
            };
            line = format!("{line} {place} {}", self.trust);
        }
        self.party(who)?.tell(&line)
    }

    fn hear(&mut self, who: &str) -> Option<String> {
        self.party(who).ok()?.hear()
    }

    fn unheard(&mut self) -> Option<(String, String)> {
        self.parties.iter().find_map(|(who, party)| Some((who.clone(), party.lines.try_recv().ok()?)))
    }

    fn set_network(&mut self, is_there: bool) -> Result<(), Failure> {
        Ok(self.relay.set(is_there)?)
    }
}

/// The newest file in a folder whose name begins and ends like that.
pub(crate) fn newest(folder: &Path, start: &str, end: &str) -> Option<PathBuf> {
    let entries = std::fs::read_dir(folder).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    let is_named = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name.starts_with(start) && name.ends_with(end)
    };
    entries.filter(is_named).max_by_key(|path| path.metadata().and_then(|data| data.modified()).ok())
}
