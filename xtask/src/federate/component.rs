//! A component that others have made: slixmpp's, at Balcony (XEP-0114).

use core::time::Duration;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::certificates::{self, Kind};
use super::listener::{Listener, PATIENCE, done};
use super::report::Tried;
use super::servers::{Proof, Server, Setup, user};
use crate::interop::{Process, install, read};
use crate::run::{Result, root};

const DOMAIN: &str = "echo.one.test";
const SECRET: &str = "a secret of this run";
/// As in the configuration, where it is what is used if nothing is said.
const PORT: &str = "5347";

/// What was tried, and how it went.
pub(crate) fn run(other: &'static str, folder: &Path) -> Result<(String, Tried)> {
    let (python, version) = install::slixmpp()?;
    // For other servers the component needs a certificate, too.
    let files = certificates::issue(folder, DOMAIN, Kind::Good, false)?;
    let more = format!(
        "[components.secrets]\n\"{DOMAIN}\" = \"{SECRET}\"\n[domains.\"{DOMAIN}\"]\ncertificate = \"{}\"\nkey = \"{}\"\n",
        files.certificate.display(),
        files.key.display()
    );
    let ours = Setup { more: &more, ..Setup::new("balcony", "one.test", Proof::Certificate) };
    let ours = Server::prepare(&ours, folder)?;
    let theirs = Server::prepare(&Setup::new(other, "two.test", Proof::Certificate), folder)?;
    let mut stage = Stage { python, folder: folder.to_owned(), ours, theirs, component: None };
    let rows: [(&str, Step); 7] = [
        ("a wrong secret is refused", Stage::wrong_secret),
        ("it attaches", Stage::attach),
        ("a user of ours writes to it, and has an answer", |stage| stage.echo(true)),
        ("a user of theirs does", |stage| stage.echo(false)),
        ("another one takes its place, and it ends", Stage::replaced),
        ("it is away: an error", Stage::away),
        ("it comes back", Stage::back),
    ];
    let mut results = Vec::new();
    for (what, row) in rows {
        let result = row(&mut stage);
        match &result {
            Ok(()) => println!("  {what}: ok"),
            Err(error) => println!("  {what}: NO: {error}"),
        }
        results.push((what.to_owned(), result));
    }
    Ok((version, results))
}

/// One thing that is tried.
type Step = fn(&mut Stage) -> Result;

struct Stage {
    python: PathBuf,
    folder: PathBuf,
    ours: Server,
    theirs: Server,
    component: Option<(Process, PathBuf)>,
}

impl Stage {
    fn start(&self, secret: &str, name: &str) -> Result<(Process, PathBuf)> {
        let mut command = Command::new(&self.python);
        command.args(["-W", "ignore"]).arg(root().join("xtask/federate/component.py"));
        for (variable, value) in
            [("DOMAIN", DOMAIN), ("SECRET", secret), ("HOST", "127.0.0.1"), ("PORT", PORT)]
        {
            command.env(format!("COMPONENT_{variable}"), value);
        }
        let output = self.folder.join(format!("component-{name}"));
        Ok((Process::start(command, &output, &output.with_extension("errors"))?, output))
    }

    fn attached(&self, name: &str) -> Result<(Process, PathBuf)> {
        let (mut process, output) = self.start(SECRET, name)?;
        process.wait_until(PATIENCE, || read(&output).contains("attached"))?;
        Ok((process, output))
    }

    fn wrong_secret(&mut self) -> Result {
        let (mut process, output) = self.start("another one", "wrong")?;
        let ended = process.ended(PATIENCE).is_some();
        let text = read(&output);
        match ended && text.contains("gone") && !text.contains("attached") {
            true => Ok(()),
            false => Err(text),
        }
    }

    fn attach(&mut self) -> Result {
        self.component = Some(self.attached("first")?);
        Ok(())
    }

    fn echo(&mut self, by_ours: bool) -> Result {
        let server = if by_ours { &self.ours } else { &self.theirs };
        let command = |name: &str, resource: &str| {
            let mut command = server.command(name, &format!("{}/{resource}", server.user()));
            command.arg("--ca").arg(&server.trusted);
            command
        };
        let mut listen = command("listen", "home");
        listen.args(["--priority", "1"]);
        let listener = Listener::start(listen, &self.folder)?;
        // `send` asks whether the component is there, too, and is answered.
        let text = format!("is anybody there, says {}", user(server.domain));
        done(command("send", "quill").args([&format!("wall@{DOMAIN}"), &text]))?;
        listener.sees(&format!("wall@{DOMAIN}: {text}"))
    }

    fn replaced(&mut self) -> Result {
        let (mut first, output) = self.component.take().ok_or("it is not attached")?;
        self.component = Some(self.attached("second")?);
        let ended = first.ended(PATIENCE).is_some() && read(&output).contains("gone");
        if ended { Ok(()) } else { Err("the first one goes on".into()) }
    }

    fn away(&mut self) -> Result {
        self.component = None;
        std::thread::sleep(Duration::from_millis(500));
        let mut command = self.ours.command("send", &format!("{}/quill", self.ours.user()));
        command.arg("--ca").arg(&self.ours.trusted).args([&format!("wall@{DOMAIN}"), "gone?"]);
        match done(&mut command) {
            Err(error) if !error.is_empty() => Ok(()),
            other => Err(format!("{other:?}")),
        }
    }

    fn back(&mut self) -> Result {
        self.component = Some(self.attached("third")?);
        self.echo(true)
    }
}
