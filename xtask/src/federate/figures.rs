//! What streams between servers cost: chat from one server to another of the same kind, and a stream on which nothing is said.
//!
//! In each round every kind has its turn, so that what a machine does meanwhile hits all of them. Figures are of the servers' CPU time and memory.

use core::time::Duration;
use std::fs;
use std::path::Path;
use std::process::Command;

use super::listener::{Listener, done};
use super::servers::{PASSWORD, Proof, Server, Setup, release, version};
use crate::interop::{eventually, installed, output};
use crate::run::Result;

/// The newest of each, and Balcony first, to which the others are compared.
const KINDS: [&str; 3] = ["balcony", "prosody-newest", "ejabberd-newest"];
/// What is measured, and whether less of it is better.
const ROWS: [(&str, bool); 4] = [
    ("messages of 100 B from one server to the other, a second of CPU of both", false),
    ("the same, one at a time", false),
    ("messages of 10 KiB", false),
    ("KiB of a stream on which nothing is said, where it was accepted", true),
];
/// The loads of the first rows.
const CHATS: [&[&str]; 3] = [
    &["--pairs", "10", "--window", "16", "--size", "100"],
    &["--pairs", "1", "--window", "1", "--size", "100"],
    &["--pairs", "10", "--window", "16", "--size", "10240"],
];
/// How long a server has to come to rest before its memory is looked at.
const REST: Duration = Duration::from_secs(5);

/// How much is done.
pub(crate) struct Size {
    pub(crate) rounds: u64,
    /// Each chat.
    pub(crate) seconds: u64,
    /// Idle streams.
    pub(crate) streams: u32,
}

/// What was measured.
pub(crate) struct Figures {
    size: Size,
    /// The average load of the machine before it began and after it.
    load: [String; 2],
    kinds: Vec<Kind>,
}

/// A kind of server, with what came of each row in each round.
struct Kind {
    title: String,
    values: [Vec<f64>; ROWS.len()],
    complaints: Vec<String>,
}

/// Measures all of it.
pub(crate) fn run(size: Size, folder: impl Fn(&str) -> Result<std::path::PathBuf>) -> Result<Figures> {
    let before = load();
    let mut kinds: Vec<Kind> = Vec::new();
    for name in KINDS {
        let title = version(name).map(|version| format!("{} {version}", installed::kind(name)));
        let complaints = title.as_ref().err().map(|reason| format!("SKIP {name}: {reason}"));
        let values = core::array::from_fn(|_| Vec::new());
        kinds.push(Kind {
            title: title.unwrap_or_else(|_| name.into()),
            values,
            complaints: complaints.into_iter().collect(),
        });
    }
    for round in 1..=size.rounds {
        for (name, kind) in KINDS.into_iter().zip(&mut kinds) {
            if kind.complaints.iter().any(|line| line.starts_with("SKIP")) {
                continue;
            }
            let folder = folder(&format!("figures-{name}"))?;
            let chats = chats(name, &size, &folder)
                .unwrap_or_else(|error| CHATS.map(|_| Err(error.clone())).to_vec());
            let idle = idle(name, size.streams, &folder);
            for (place, result) in chats.into_iter().chain([idle]).enumerate() {
                println!("{round}/{} {}, {}: {result:?}", size.rounds, kind.title, ROWS[place].0);
                match result {
                    Ok(value) => kind.values[place].push(value),
                    Err(error) => kind.complaints.push(format!("{}, {}: {error}", kind.title, ROWS[place].0)),
                }
            }
        }
    }
    Ok(Figures { size, load: [before, load()], kinds })
}

fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or("?").to_owned()
}

/// Two servers of the kind, and the load of each chat.
fn chats(name: &'static str, size: &Size, folder: &Path) -> Result<Vec<Result<f64>>> {
    let setup = |domain| Setup { is_measured: true, ..Setup::new(name, domain, Proof::Certificate) };
    let one = Server::prepare(&setup("one.test"), folder)?;
    let two = Server::prepare(&setup("two.test"), folder)?;
    let bench = |words: &[&str]| {
        let mut command = Command::new(release());
        command.args(["bench", "chat", "--json", "--as", "bench@one.test", "--connect", &one.address]);
        command
            .args(["--readers-as", "bench@two.test", "--readers-connect", &two.address, "--ca"])
            .arg(&one.ca);
        command.args(["--pid", &one.id(), "--pid", &two.id()]).args(words).env("BALCONY_PASSWORD", PASSWORD);
        done(&mut command)
    };
    // Who has to find the other server first takes a while.
    bench(&["--register", "--seconds", "5", "--pairs", "10", "--window", "1"])?;
    let seconds = size.seconds.to_string();
    let chat = |words: &&[&str]| {
        let report = bench(&[*words, &["--seconds", &seconds]].concat())?;
        let rest = report.split_once("\"messages_per_cpu_second\":").map(|(_, rest)| rest);
        let value = rest.and_then(|rest| rest.split([',', '}']).next()?.parse().ok());
        value.ok_or_else(|| format!("there is no figure in {report}"))
    };
    Ok(CHATS.iter().map(chat).collect())
}

/// A server of the kind accepts a stream of each of many domains, which are Balcony's: what its memory grows by for each.
fn idle(name: &'static str, streams: u32, folder: &Path) -> Result<f64> {
    let measured = |name, domain| Setup { is_measured: true, ..Setup::new(name, domain, Proof::Certificate) };
    let theirs = Server::prepare(&measured(name, "two.test"), folder)?;
    let ours = Server::prepare(&Setup { below: streams, ..measured("balcony", "one.test") }, folder)?;
    let with_ca = |mut command: Command| {
        command.arg("--ca").arg(&ours.ca);
        command
    };
    let juliet = theirs.user();
    let listener = Listener::start(with_ca(theirs.command("listen", &format!("{juliet}/home"))), folder)?;
    let send = |user: &str| {
        done(with_ca(ours.command("send", user)).args([&juliet, user]))?;
        listener.sees(user)
    };
    // What a server loads for the first of all is not the weight of a stream.
    send(&ours.user())?;
    std::thread::sleep(REST);
    let (before, opened) = (theirs.kib()?, connections()?);
    for number in 0..streams {
        send(&below(number, ours.domain))?;
    }
    std::thread::sleep(REST);
    let opened = connections()? - opened;
    if opened < f64::from(streams) {
        return Err(format!("there are {opened} streams of {streams}"));
    }
    match (theirs.kib()? - before) / f64::from(streams) {
        grown if grown > 0.0 => Ok(grown),
        _ => Err(format!("its memory did not grow with {streams} streams; it takes more of them")),
    }
}

/// Who lives in a domain below another one.
pub(crate) fn below(number: u32, domain: &str) -> String {
    format!("nurse@d{number}.{domain}")
}

/// How many connections between servers there are.
fn connections() -> Result<f64> {
    let filter = "( sport = :5269 )";
    let mut lines = String::new();
    // What was just closed may still be there.
    eventually(Duration::from_secs(2), || {
        let now =
            output(Command::new("ss").args(["-Htn", "state", "established", filter])).unwrap_or_default();
        core::mem::replace(&mut lines, now) == lines && !lines.is_empty()
    });
    Ok(lines.lines().count() as f64)
}

impl Figures {
    /// What stands in the page.
    pub(crate) fn markdown(&self) -> String {
        let Figures { size, load: [before, after], kinds } = self;
        let mut out = format!(
            "Of `cargo xtask federate --figures`: medians of {} rounds, in which each kind of server had its turn. The load average of the machine was {before} before it began and {after} after it: \
             read the ratios, which are those of figures of one run. The first rows: two servers of the kind, clients and streams between servers on TLS, certificates, `balcony bench chat` for {} s, \
             CPU time of both servers together. The last row: {} domains of a Balcony have a stream each to the server, on which a message has gone, and nothing more for {} s.\n\n",
            size.rounds,
            size.seconds,
            size.streams,
            REST.as_secs()
        );
        out.push_str("| what |");
        kinds.iter().for_each(|kind| out.push_str(&format!(" {} |", kind.title)));
        out.push_str(&format!("\n|---|{}\n", "---|".repeat(kinds.len())));
        for (place, (what, is_weight)) in ROWS.into_iter().enumerate() {
            out.push_str(&format!("| {what} |"));
            let ours = kinds.first().and_then(|kind| median(&kind.values[place]));
            for (at, kind) in kinds.iter().enumerate() {
                let Some(value) = median(&kind.values[place]) else {
                    out.push_str(" - |");
                    continue;
                };
                let ratio =
                    ours.filter(|_| at > 0).map(|ours| if is_weight { value / ours } else { ours / value });
                let ratio = ratio.filter(|ratio| ratio.is_finite()).map(|ratio| format!(" (1 : {ratio:.1})"));
                out.push_str(&format!(" {}{} |", number(value), ratio.unwrap_or_default()));
            }
            out.push('\n');
        }
        let complaints: Vec<&String> = kinds.iter().flat_map(|kind| &kind.complaints).collect();
        if !complaints.is_empty() {
            out.push_str("\nWhat could not be measured:\n\n");
            complaints.iter().for_each(|line| out.push_str(&format!("- {line}\n")));
        }
        out
    }

    /// What went wrong at Balcony.
    pub(crate) fn failures(&self) -> Vec<String> {
        self.kinds.first().map(|kind| kind.complaints.clone()).unwrap_or_default()
    }
}

fn median(values: &[f64]) -> Option<f64> {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// With a decimal where it is small.
fn number(value: f64) -> String {
    if value < 1000.0 { format!("{value:.1}") } else { format!("{:.1}k", value / 1000.0) }
}
