//! A user of each server, with Balcony's own client: what they see of each other.

use core::time::Duration;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use super::listener::{Listener, PATIENCE, done};
use super::servers::{Proof, Server};
use crate::interop::{balcony, eventually};
use crate::run::Result;

/// One thing that is tried.
pub(crate) struct Row {
    pub(crate) what: &'static str,
    run: fn(&mut Stage) -> Result,
}

/// All of them, in order: later ones build on earlier ones.
pub(crate) const ROWS: &[Row] = &[
    Row { what: "a subscription of ours, granted by theirs", run: |stage| stage.subscribe(true) },
    Row { what: "a subscription of theirs, granted by ours", run: |stage| stage.subscribe(false) },
    Row { what: "presence, both ways", run: Stage::presence },
    Row { what: "chat to theirs", run: |stage| stage.chat(true, "But soft, what light?") },
    Row { what: "chat to ours", run: |stage| stage.chat(false, "Ay me!") },
    Row { what: "the proof that was wanted", run: Stage::proof },
    Row { what: "`balcony check` of both says what it is like", run: Stage::check },
    Row { what: "a request to theirs, and its answer", run: Stage::request },
    Row { what: "theirs is blocked, and is not any more (XEP-0191)", run: Stage::block },
    Row { what: "every stream is cut: presence stays, chat goes on", run: Stage::cut },
    Row { what: "an error for somebody who is not there", run: Stage::nobody },
    Row { what: "a message to theirs who is away, kept there", run: |stage| stage.away(true) },
    Row { what: "a message to ours who is away, kept here", run: |stage| stage.away(false) },
    Row { what: "their server restarts: presence and chat", run: |stage| stage.restart(true) },
    Row { what: "our server restarts: presence and chat", run: |stage| stage.restart(false) },
    Row { what: "their server is down: an error, and chat when it is back", run: Stage::down },
];

struct Stage {
    ours: Server,
    theirs: Server,
    proof: Proof,
    /// The listener of each, ours first.
    listeners: [Option<Listener>; 2],
    folder: PathBuf,
}

/// Runs all rows.
pub(crate) fn run(ours: Server, theirs: Server, proof: Proof, folder: PathBuf) -> Vec<Result> {
    let mut stage = Stage { ours, theirs, proof, listeners: [None, None], folder };
    let mut results = Vec::new();
    for Row { what, run } in ROWS {
        let result = run(&mut stage);
        match &result {
            Ok(()) => println!("  {what}: ok"),
            Err(error) => println!("  {what}: NO: {error}"),
        }
        results.push(result);
    }
    results
}

impl Stage {
    fn server(&self, is_ours: bool) -> &Server {
        if is_ours { &self.ours } else { &self.theirs }
    }

    fn command(&self, is_ours: bool, command: &str, resource: Option<&str>) -> Command {
        let server = self.server(is_ours);
        let who = resource.map_or(server.user(), |resource| format!("{}/{resource}", server.user()));
        let mut words = server.command(command, &who);
        words.arg("--ca").arg(&server.ca);
        words
    }

    /// Has somebody come online, if they aren't.
    fn online(&mut self, is_ours: bool) -> Result {
        let place = usize::from(!is_ours);
        if self.listeners[place].is_none() {
            let listener = Listener::start(self.command(is_ours, "listen", Some("home")), &self.folder)?;
            self.listeners[place] = Some(listener);
        }
        Ok(())
    }

    fn offline(&mut self, is_ours: bool) {
        self.listeners[usize::from(!is_ours)] = None;
    }

    /// Waits until somebody sees something that they have not looked at before.
    fn sees(&self, is_ours: bool, what: &str) -> Result {
        let Some(listener) = &self.listeners[usize::from(!is_ours)] else {
            return Err("nobody listens".into());
        };
        listener.sees(what).map_err(|error| format!("{}: {error}", self.server(is_ours).user()))
    }

    fn subscribe(&mut self, by_ours: bool) -> Result {
        self.online(!by_ours)?;
        let (asker, asked) = (self.server(by_ours).user(), self.server(!by_ours).user());
        let mut command = self.command(by_ours, "roster", None);
        done(command.args(["add", &asked]))?;
        if by_ours {
            self.sees(false, &format!("{asker} asks to see when you are online"))?;
        }
        let mut command = self.command(!by_ours, "roster", None);
        command
            .args([if by_ours { "approve" } else { "list" }, &asker][..if by_ours { 2 } else { 1 }].iter());
        // Theirs asks back: ours has been asked, and grants it.
        if !by_ours {
            let mut approve = self.command(true, "roster", None);
            approve.args(["approve", &asker]);
            done(&mut approve)?;
        }
        done(&mut command)?;
        let row = || {
            let mut list = self.command(by_ours, "roster", None);
            list.arg("list");
            done(&mut list).unwrap_or_default()
        };
        let wanted = if by_ours { "you see" } else { "you see each other" };
        let is_there =
            eventually(PATIENCE, || row().lines().any(|line| line.contains(&asked) && line.contains(wanted)));
        if is_there { Ok(()) } else { Err(format!("the roster says: {}", row())) }
    }

    fn presence(&mut self) -> Result {
        self.offline(true);
        self.offline(false);
        self.online(true)?;
        self.online(false)?;
        self.see_each_other()
    }

    fn see_each_other(&self) -> Result {
        self.sees(true, &format!("{}/home is online", self.theirs.user()))?;
        self.sees(false, &format!("{}/home is online", self.ours.user()))
    }

    fn send(&self, from_ours: bool, to: &str, text: &str) -> Result {
        let mut command = self.command(from_ours, "send", Some("quill"));
        command.args([to, text]);
        done(&mut command).map(drop)
    }

    fn chat(&mut self, from_ours: bool, text: &str) -> Result {
        self.online(!from_ours)?;
        self.send(from_ours, &self.server(!from_ours).user(), text)?;
        self.sees(!from_ours, &format!("/quill: {text}"))
    }

    fn proof(&mut self) -> Result {
        let log = self.ours.log();
        let other = self.theirs.domain;
        let how = if self.proof == Proof::Dialback { "dialback" } else { "certificate" };
        // Whoever has opened the stream: it may go both ways.
        let ours = self.ours.domain;
        let pairs = [format!("{other} sends to {ours} from"), format!("{ours} sends to {other}, proven")];
        let lines: Vec<&str> =
            log.lines().filter(|line| pairs.iter().any(|pair| line.contains(pair))).collect();
        let is_so =
            |line: &&str| ["", "our "].iter().any(|whose| line.contains(&format!("proven by {whose}{how}")));
        match lines.iter().all(is_so) && !lines.is_empty() {
            true => Ok(()),
            false => Err(format!("the log says: {}", lines.join("; "))),
        }
    }

    /// Only with a certificate that nobody vouches for there is something to complain about.
    fn check(&mut self) -> Result {
        for server in [&self.ours, &self.theirs] {
            let mut command = Command::new(balcony());
            command.args(["check", server.domain, "--ca"]).arg(&server.trusted);
            let output = command.output().map_err(|error| error.to_string())?;
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let wrong: Vec<&str> = text.lines().filter(|line| line.starts_with("WRONG")).collect();
            let is_stranger = self.proof == Proof::Dialback;
            let is_right = match is_stranger {
                false => output.status.code() == Some(0),
                true => {
                    output.status.code() == Some(1)
                        && wrong.iter().all(|line| line.contains("certificate comes alone"))
                }
            };
            if !is_right {
                return Err(format!(
                    "of {}: {:?}, {}",
                    server.domain,
                    output.status.code(),
                    wrong.join("; ")
                ));
            }
        }
        Ok(())
    }

    /// `send` asks whether the device is there, after the message.
    fn request(&mut self) -> Result {
        self.online(false)?;
        self.send(true, &format!("{}/home", self.theirs.user()), "Who is there?")?;
        self.sees(false, "Who is there?")
    }

    fn block(&mut self) -> Result {
        let theirs = self.theirs.user();
        self.online(true)?;
        done(self.command(true, "roster", None).args(["block", &theirs]))?;
        // Whether they are told is up to privacy: it must not be seen.
        let _ = self.send(false, &self.ours.user(), "Do you hear me?");
        done(self.command(true, "roster", None).args(["unblock", &theirs]))?;
        self.send(false, &self.ours.user(), "And now?")?;
        let listener = self.listeners[0].as_ref().ok_or("nobody listens")?;
        listener.sees("And now?")?;
        match listener.has("Do you hear me?") {
            false => Ok(()),
            true => Err("what was blocked is seen".into()),
        }
    }

    /// As by a router that forgets connections: both ends hear of it.
    fn cut(&mut self) -> Result {
        self.presence()?;
        let filter = "( sport = :5269 or dport = :5269 or sport = :5270 or dport = :5270 )";
        done(Command::new("ss").args(["-K", "state", "established", filter]))?;
        self.chat(true, "Wilt thou be gone?")?;
        self.chat(false, "It is not yet near day")?;
        // A device that comes now is seen: nobody has forgotten anybody.
        let mut command = self.command(false, "listen", Some("more"));
        command.args(["--count", "1"]);
        let more = Listener::start(command, &self.folder)?;
        self.sees(true, &format!("{}/more is online", self.theirs.user()))?;
        drop(more);
        self.sees(true, &format!("{}/more is offline", self.theirs.user()))
    }

    fn nobody(&mut self) -> Result {
        let mut command = self.command(true, "roster", None);
        command.args(["add", "nobody@nowhere.test"]);
        match done(&mut command) {
            Err(error) if error.contains("remote-server-not-found") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    }

    fn away(&mut self, is_theirs: bool) -> Result {
        self.offline(!is_theirs);
        self.online(is_theirs)?;
        self.sees(is_theirs, &format!("{}/home is offline", self.server(!is_theirs).user()))?;
        let text = if is_theirs { "Farewell, farewell!" } else { "Three words, dear Romeo" };
        self.send(is_theirs, &self.server(!is_theirs).user(), text)?;
        std::thread::sleep(Duration::from_millis(500));
        self.online(!is_theirs)?;
        self.sees(!is_theirs, text)?;
        self.sees(is_theirs, &format!("{}/home is online", self.server(!is_theirs).user()))
    }

    fn restart(&mut self, theirs: bool) -> Result {
        self.offline(!theirs);
        if theirs {
            self.theirs.restart()?
        } else {
            self.ours.restart()?
        }
        self.online(!theirs)?;
        self.online(theirs)?;
        self.sees(!theirs, &format!("{}/home is online", self.server(theirs).user()))?;
        self.chat(true, "I take thee at thy word")?;
        self.chat(false, "What man art thou?")
    }

    fn down(&mut self) -> Result {
        self.offline(false);
        self.theirs.stop();
        std::thread::sleep(Duration::from_secs(1));
        let mut command = self.command(true, "roster", None);
        command.args(["add", &format!("nurse@{}", self.theirs.domain)]);
        match done(&mut command) {
            Err(error) if error.contains("remote-server-timeout") => {}
            other => return Err(format!("{other:?}")),
        }
        let away = Instant::now();
        self.theirs.start()?;
        // It is left alone for five seconds, or, where it was slow to start, for as long again as it has been tried in vain.
        let mut last = Ok(());
        let is_back = eventually(PATIENCE + away.elapsed() * 2, || {
            last = self.send(true, &self.theirs.user(), "Are you back?");
            last.is_ok()
        });
        if !is_back {
            return last;
        }
        self.chat(true, "Art thou not Romeo?")?;
        self.chat(false, "Neither, fair saint")
    }
}
