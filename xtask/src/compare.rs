//! `cargo xtask compare`: Balcony beside other servers under `balcony bench`, and the page docs/performance.md.
//!
//! In each round every server is started, gets each load, and is stopped, so that what a machine does meanwhile hits all of them. The server has one
//! processor and the load generator another one; figures are of the server's CPU time, which hardly depends on the other.

#![allow(clippy::disallowed_types, reason = "the bans are for protocol crates; this has files and processes")]

mod page;
mod plot;
mod servers;

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::thread::available_parallelism;

use crate::interop::output;
use crate::options::Options;
use crate::run::{Result, cargo, describe, root, run, target};
use page::Page;
use servers::{NAMES, RELAYS, Server, Site};

pub(crate) const USAGE: &str = "[--write] [--rounds N] [--seconds N] [--sessions N] [--load TEXT] [NAME...]";
pub(crate) const HELP: &str = "\
Builds Balcony for release, and runs it, the newest Prosody and the newest ejabberd (or else Debian's) in turn, three times or --rounds, each under the
loads of `balcony bench`: chat, logins, idle sessions, headlines, presence; and under chat two relays (xtask/compare/relay), which only pass on, by
copying and by parsing, to see what any server could do here. The server is pinned to one processor by `taskset`, the load generator to another one.
What cannot be had is skipped with the reason. With names (balcony, prosody, ejabberd, copying, parsing) only those; with --load only loads whose names
contain the text. --seconds is for each load (10), --sessions how many are idle (1000). --write puts the tables into docs/performance.md, and plots into docs/performance/: on a machine that
does nothing else.";

/// The processors of the server and of the load generator.
const PROCESSORS: [&str; 2] = ["0", "1"];

/// One row of the table.
struct Load {
    name: &'static str,
    /// For `balcony bench`.
    args: &'static [&'static str],
    /// The figure.
    figure: &'static str,
    /// Whether it is better when there is less.
    is_weight: bool,
}

impl Load {
    /// Whether it is messages to full JIDs, which a relay passes on, too.
    fn is_chat(&self) -> bool {
        self.args.first() == Some(&"chat")
    }
}

const fn load(name: &'static str, args: &'static [&'static str], figure: &'static str) -> Load {
    Load { name, args, figure, is_weight: false }
}

const LOADS: &[Load] = &[
    // Memory first, of a server that has just been started.
    Load { is_weight: true, ..load("an idle session, plain", &["idle", "--plain"], "kib_per_session") },
    Load { is_weight: true, ..load("an idle session, STARTTLS", &["idle"], "kib_per_session") },
    load("chat, 100 B", &["chat", "--size", "100", "--plain"], "messages_per_cpu_second"),
    load("chat, 1 KiB", &["chat", "--size", "1024", "--plain"], "messages_per_cpu_second"),
    load("chat, 10 KiB", &["chat", "--size", "10240", "--plain"], "messages_per_cpu_second"),
    load("chat, 100 B, STARTTLS", &["chat", "--size", "100"], "messages_per_cpu_second"),
    load("chat, 10 KiB, STARTTLS", &["chat", "--size", "10240"], "messages_per_cpu_second"),
    load(
        "chat, 100 B, one at a time",
        &["chat", "--pairs", "1", "--window", "1", "--plain"],
        "messages_per_cpu_second",
    ),
    // As many in flight as in the chats; and few, where each packet to a client carries few.
    load(
        "headlines to 9 of 10 resources, deliveries",
        &["fan-out", "--window", "16", "--plain"],
        "deliveries_per_cpu_second",
    ),
    load(
        "headlines with 4 in flight, deliveries",
        &["fan-out", "--window", "4", "--plain"],
        "deliveries_per_cpu_second",
    ),
    load(
        "presence to 100 subscribers, deliveries",
        &["presence", "--window", "16", "--plain"],
        "deliveries_per_cpu_second",
    ),
    load(
        "presence with 4 in flight, deliveries",
        &["presence", "--window", "4", "--plain"],
        "deliveries_per_cpu_second",
    ),
    load(
        "SCRAM-SHA-1 logins, plain",
        &["logins", "--plain", "--mechanism", "SCRAM-SHA-1"],
        "logins_per_cpu_second",
    ),
    load("SCRAM-SHA-1 logins, STARTTLS", &["logins", "--mechanism", "SCRAM-SHA-1"], "logins_per_cpu_second"),
];

/// The number behind this name in an object of JSON.
fn number(json: &str, name: &str) -> Option<f64> {
    let rest = json.split_once(&format!("\"{name}\":"))?.1;
    rest.split([',', '}']).next()?.parse().ok()
}

pub(crate) fn main(args: &[String]) -> Result {
    let mut options = Options::new(args);
    let write = options.flag("--write");
    let rounds = options.number("--rounds")?.unwrap_or(3).max(1);
    let seconds = options.number("--seconds")?.unwrap_or(10).max(1).to_string();
    let sessions = options.number("--sessions")?.unwrap_or(1000).max(1).to_string();
    let only = options.value("--load")?;
    let names = options.rest()?;
    if let Some(unknown) = names.iter().find(|name| !NAMES.contains(&name.as_str())) {
        return Err(format!("nothing here is called `{unknown}`"));
    }
    if write && (only.is_some() || !names.is_empty()) {
        return Err("--write wants all servers and all loads".into());
    }
    let loads: Vec<&Load> = LOADS
        .iter()
        .filter(|load| only.as_ref().is_none_or(|text| load.name.contains(text.as_str())))
        .collect();
    let idle = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    run(&mut cargo(&["build", "--release", "--package", "balcony-cli", "--package", "compare-relay"]))?;

    let is_pinned = available_parallelism().is_ok_and(|count| count.get() >= PROCESSORS.len())
        && output(Command::new("taskset").args(["-c", PROCESSORS[0], "true"])).is_ok();
    let words = |load: &Load, site: &Site| {
        let mut command = site.pinned(is_pinned.then_some(PROCESSORS[1]), target().join("release/balcony"));
        command.arg("bench").args(load.args).args(["--seconds", &seconds]);
        if load.args.contains(&"idle") {
            command.args(["--sessions", &sessions]);
        }
        command
    };
    let mut page = Page::new(&idle, is_pinned, rounds, &seconds, &sessions);
    let mut skipped = BTreeMap::new();
    for round in 1..=rounds {
        for name in
            NAMES.into_iter().filter(|name| names.is_empty() || names.iter().any(|wanted| wanted == name))
        {
            if skipped.contains_key(name) {
                continue;
            }
            let pin = is_pinned.then_some(PROCESSORS[0]);
            let mut server = match Site::prepare(name, &sessions).and_then(|site| Server::start(site, pin)) {
                Ok(server) => server,
                Err(reason) => {
                    println!("{name}: SKIP: {reason}");
                    skipped.insert(name, reason);
                    continue;
                }
            };
            for load in loads.iter().filter(|load| load.is_chat() || !RELAYS.contains(&name)) {
                if load.is_weight {
                    server.restart(pin)?;
                }
                let mut command = words(load, server.site());
                page.command(load.name, &describe(&command));
                let result = server.bench(command.arg("--pid").arg(server.id()));
                let value = result.as_ref().ok().and_then(|(json, _)| number(json, load.figure));
                let shown =
                    value.map_or_else(|| "nothing measured".to_owned(), |value| format!("{value:.1}"));
                println!("{round}/{rounds} {}, {}: {shown}", server.site().title(), load.name);
                page.add(&server.site().title(), load, value);
                match result {
                    Ok((_, None)) => {}
                    Ok((_, Some(complaint))) => page.complain(&server.site().title(), load.name, &complaint),
                    Err(error) => page.complain(&server.site().title(), load.name, &error),
                }
            }
        }
    }
    for (name, reason) in &skipped {
        page.skip(name, reason);
    }
    let text = page.markdown(&loads);
    println!("\n{text}");
    if write {
        let path = root().join("docs/performance.md");
        fs::write(&path, &text).map_err(|error| format!("{}: {error}", path.display()))?;
        let folder = path.with_extension("");
        fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        for (name, plot) in page.plots(&loads) {
            let path = folder.join(name);
            fs::write(&path, plot).map_err(|error| format!("{}: {error}", path.display()))?;
        }
    }
    page.verdict()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_found_in_a_report() {
        let json = r#"{"load":"chat","figures":{"messages":10.0,"messages_per_second":2.5}}"#;
        assert_eq!(number(json, "messages"), Some(10.0));
        assert_eq!(number(json, "messages_per_second"), Some(2.5));
        assert_eq!(number(json, "logins"), None);
    }
}
