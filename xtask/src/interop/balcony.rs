//! The scenario, spoken by `balcony send` and `balcony listen`.

use core::time::Duration;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::matrix::Found;
use super::process::{Process, output, read};
use super::servers::{self, Server};
use super::{DOMAIN, PASSWORD, PREPARED, folder};
use crate::run::Result;

/// juliet's resources and their priorities.
const RESOURCES: [(&str, &str); 3] = [("five", "5"), ("ten", "10"), ("minus", "-1")];
const PATIENCE: Duration = Duration::from_secs(15);

/// Goes through all checks.
pub(crate) fn scenario(server: &Server, log: &Path) -> Vec<Found> {
    let mut listeners =
        match RESOURCES.map(|(resource, priority)| Listener::start(server, log, resource, priority)) {
            [Ok(five), Ok(ten), Ok(minus)] => [five, ten, minus],
            listeners => {
                let error = listeners.into_iter().find_map(Result::err).unwrap_or_default();
                return vec![Found::new("bind", Err(error))];
            }
        };
    let mut found = vec![
        Found::new("bind", Ok(RESOURCES.map(|(resource, _)| resource).join(", "))),
        Found::new("scram", server.mechanism()),
        Found::new("tls", untrusted(server)),
    ];
    let bare = format!("juliet@{DOMAIN}");
    let deliveries = [
        ("chat", "chat", bare.clone(), &["ten"][..]),
        ("headline", "headline", bare.clone(), &["five", "ten"]),
        ("full", "chat", format!("{bare}/five"), &["five"]),
        ("negative", "chat", format!("{bare}/minus"), &["minus"]),
    ];
    let sent = deliveries.each_ref().map(|(check, kind, to, _)| send(server, &["--type", kind, to, check]));
    let ping = if sent.iter().all(Result::is_ok) {
        Ok("behind each message".into())
    } else {
        Err("see above".into())
    };
    let fence = listeners.iter_mut().map(|listener| listener.fence(server)).collect::<Result<Vec<()>>>();
    for ((check, _, _, expected), sent) in deliveries.iter().zip(sent) {
        let result = sent.and(fence.clone()).and_then(|_| delivered(&listeners, check, expected));
        found.push(Found::new(check, result));
    }
    found.push(Found::new("ping", ping));
    found.push(Found::new("direct", direct(server, &listeners[1])));
    // RFC 6121 section 8.5.1 leaves it to the server whether it tells who has no account.
    let unknown = match send(server, &[&format!("nobody@{DOMAIN}"), "?"]) {
        Ok(_) => Ok("silence".into()),
        refused => refusal(refused, "service-unavailable"),
    };
    found.push(Found::new("unknown", unknown));
    let wrong = output(command(server, "send", "romeo", "not this one").args([&bare, "?"]));
    found.push(Found::new("refuse", refusal(wrong, "not-authorized")));
    found.push(Found::new("prepared", prepared(server)));
    found.push(Found::new("close", close(listeners)));
    for check in ["mechanisms", "disco", "version", "register"] {
        found.push(Found::skip(check, "no command for it"));
    }
    found
}

/// `balcony listen`, and the files with what it says.
struct Listener {
    resource: &'static str,
    process: Process,
    messages: PathBuf,
}

impl Listener {
    /// Starts it and waits until the server knows that it is available.
    fn start(server: &Server, log: &Path, resource: &'static str, priority: &str) -> Result<Self> {
        let file = |extension: &str| log.with_extension(format!("{resource}.{extension}"));
        let (messages, errors) = (file("out"), file("log"));
        let mut listen = command(server, "listen", &format!("juliet@{DOMAIN}/{resource}"), PASSWORD);
        listen.args(["--json", "--priority", priority]);
        let mut process = Process::start(listen, &messages, &errors)?;
        let ready = format!("listening as juliet@{DOMAIN}/{resource}");
        process
            .wait_until(PATIENCE, || read(&errors).contains(&ready))
            .map_err(|error| format!("{error}: {}", read(&errors).trim()))?;
        Ok(Listener { resource, process, messages })
    }

    /// How often a message with this text has come.
    fn count(&self, body: &str) -> usize {
        read(&self.messages).matches(&format!("\"body\":\"{body}\"")).count()
    }

    /// Waits for one more message: order is kept, so what has not come before it does not come.
    fn fence(&mut self, server: &Server) -> Result {
        send(server, &[&format!("juliet@{DOMAIN}/{}", self.resource), "fence"])?;
        let messages = self.messages.clone();
        self.process.wait_until(PATIENCE, || read(&messages).contains("fence"))
    }
}

/// `balcony send` or `listen`, in a folder where no certificate lies about.
fn command(server: &Server, what: &str, account: &str, password: &str) -> Command {
    let account = if account.contains('@') { account.to_owned() } else { format!("{account}@{DOMAIN}") };
    let mut command = Command::new(servers::balcony());
    command.args([what, "--as", &account, "--connect", &server.address, "--ca"]).arg(&server.ca);
    command.env("BALCONY_PASSWORD", password);
    if let Ok(logs) = folder("logs") {
        command.current_dir(logs);
    }
    command
}

fn send(server: &Server, args: &[&str]) -> Result<String> {
    output(command(server, "send", "romeo", PASSWORD).args(args))
}

/// Exactly the expected resources have got the message, once.
fn delivered(listeners: &[Listener], body: &str, expected: &[&str]) -> Result<String> {
    let got: Vec<&str> = listeners
        .iter()
        .flat_map(|listener| core::iter::repeat_n(listener.resource, listener.count(body)))
        .collect();
    if got == expected {
        Ok(got.join(", "))
    } else {
        Err(format!("expected {expected:?}, delivered to {got:?}"))
    }
}

/// Logs in with passwords that have another form where they are prepared.
fn prepared(server: &Server) -> Result<String> {
    for (user, password) in PREPARED {
        let to = format!("juliet@{DOMAIN}");
        output(command(server, "send", user, password).args([&to, "prepared"]))
            .map_err(|error| format!("{password}: {error}"))?;
    }
    Ok(PREPARED.map(|(_, password)| password).join(", "))
}

/// What is trusted with --ca is refused without it.
fn untrusted(server: &Server) -> Result<String> {
    let mut command = Command::new(servers::balcony());
    command.args(["send", "--as", &format!("romeo@{DOMAIN}"), "--connect", &server.address]);
    command
        .args([&format!("juliet@{DOMAIN}"), "?"])
        .env("BALCONY_PASSWORD", PASSWORD)
        .current_dir(folder("logs")?);
    refusal(output(&mut command), "certificate").map(|_| "refused without --ca".into())
}

fn direct(server: &Server, listener: &Listener) -> Result<String> {
    let mut command = Command::new(servers::balcony());
    command.args([
        "send",
        "--as",
        &format!("romeo@{DOMAIN}"),
        "--direct-tls",
        "--connect",
        &server.direct,
        "--ca",
    ]);
    command.arg(&server.ca).args([&format!("juliet@{DOMAIN}/{}", listener.resource), "direct"]);
    output(command.env("BALCONY_PASSWORD", PASSWORD))?;
    Ok(String::new())
}

/// The error that was wished for.
fn refusal(result: Result<String>, wanted: &str) -> Result<String> {
    match result {
        Err(error) if error.contains(wanted) => Ok(wanted.into()),
        Err(error) => Err(error),
        Ok(_) => Err(format!("no {wanted}")),
    }
}

/// Each listener says goodbye, closes its stream, and ends well when the server has closed the other direction.
fn close(listeners: [Listener; 3]) -> Result<String> {
    for mut listener in listeners {
        match listener.process.stop() {
            Some(status) if status.success() => {}
            Some(status) => return Err(format!("{} ended with {status}", listener.resource)),
            None => return Err(format!("{} did not end", listener.resource)),
        }
    }
    Ok(String::new())
}
