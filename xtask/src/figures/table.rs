//! The committed figures: a small part of TOML, with a table for each kind of figure.

use super::measure::Compiler;
use crate::run::Result;

/// A kind of figure.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Group {
    /// The table's name.
    pub(crate) name: &'static str,
    /// What it counts.
    meaning: &'static str,
    /// By how much it may grow, in percent.
    may_grow: u32,
    /// Whether it depends on the machine that measures.
    of_host: bool,
}

pub(crate) const INSTRUCTIONS: Group = Group {
    name: "instructions",
    meaning: "Instructions each time, counted by valgrind.",
    may_grow: 10,
    of_host: true,
};
pub(crate) const ALLOCATIONS: Group =
    Group { name: "allocations", meaning: "Allocations each time.", may_grow: 5, of_host: false };
pub(crate) const LINES: Group = Group {
    name: "lines",
    meaning: "Lines of 64 bytes of memory each time that are not in a cache of 1 MiB, counted by valgrind.",
    may_grow: 10,
    of_host: true,
};
pub(crate) const CROWD: Group = Group {
    name: "crowd",
    meaning: "Instructions beside a thousand others, in percent of those beside one: what anybody costs depends on nobody else.",
    may_grow: 20,
    of_host: true,
};
pub(crate) const RECIPIENT: Group = Group {
    name: "recipient",
    meaning: "Instructions for a stranger's message before the next answer, in percent of those for one to an address that does not exist: who gets it shows in no time.",
    may_grow: 2,
    of_host: true,
};
pub(crate) const MEMORY: Group = Group {
    name: "idle",
    meaning: "Bytes that a session holds while nothing happens, with its account.",
    may_grow: 5,
    of_host: true,
};
pub(crate) const SIZE: Group = Group {
    name: "device",
    meaning: "Bytes of flash for code and constants on a thumbv7em-none-eabihf, optimised for size.",
    may_grow: 1,
    of_host: false,
};

impl Group {
    /// In the order in which they are written.
    pub(crate) const ALL: [&'static Group; 7] =
        [&INSTRUCTIONS, &ALLOCATIONS, &LINES, &CROWD, &RECIPIENT, &MEMORY, &SIZE];
}

/// What stands at the beginning of the file.
const HEAD: &str = "\
# What the main paths cost. `cargo xtask figures` measures them and fails when one has grown by more than it may; who has a
# good reason runs `cargo xtask figures --write`, and says the reason in the commit.
#
# message          a chat message of 181 bytes to the bare JID of a contact with one available resource, from the sender's bytes to
#                  the recipient's, without TLS; no extension wants it
# message-full     the same to the resource
# message-stranger the same to the bare JID of somebody whose presence the sender does not see
# message-carbons  the same to the bare JID; both people have a second resource, and all want copies (XEP-0280)
# message-blocking the same to the bare JID; both people have a list of ten whom they block (XEP-0191)
# message-sm       the same; both acknowledge every ten (XEP-0198), and the sender asks for that as often
# message-csi      the same; the recipient is inactive (XEP-0352), for which a message with a body does not wait
# message-all      the same with all four
# message-offline  the same to such a stranger who is not there, with a store that does nothing for it
# parse            the message out of the bytes of a stream
# write            the message into a buffer
# route            a message to an available resource, as a router sees it
# route-many       the same between others each time, of so many that nothing of them is in the cache when their turn comes
# login            from the first byte to the bound resource by SCRAM-SHA-256, the server's part
# nobody           a message to an address that does not exist, while others wait for the store
# stalled          a message to a contact, while others take nothing from their connections
# domains          a stanza to another server that is not reached, while pairs of other domains wait
# waiting          a message to a contact, while the input of others waits, since more of it than may waits for the store
# pairs            a stanza to a new domain, which turns out to have no server, while others are looked for
# expiry           a domain that was looked for in vain, while others are
# ticks            an ask to the store that is given up, while others wait
# away             a stranger's message to an account that is not there, until the stranger's next stanza
# there            the same to one that is there
# session          an available resource of an account of its own, with an empty roster
# session-sm       the same with stream management (XEP-0198)
# session-contacts the first with 100 contacts in the roster, who are online; both see each other's presence, and each has a name and a group
# tls              what TLS holds beside that for a connection of a client that has come for the first time
# tls-client       what TLS holds for a client: its connection, one authority, and what it comes back with
# client           a whole program for a device without operating system, without TLS and Unicode tables

";

/// A figure, or why it could not be measured.
pub(crate) struct Measured {
    pub(crate) group: &'static Group,
    name: String,
    value: core::result::Result<f64, String>,
}

impl Measured {
    pub(crate) fn new(group: &'static Group, name: &str, value: core::result::Result<f64, String>) -> Self {
        Measured { group, name: name.to_owned(), value }
    }
}

/// The committed figures.
#[derive(Debug, PartialEq)]
pub(crate) struct Table {
    /// The compiler that they are of.
    pub(crate) rustc: String,
    /// The target on which they were measured.
    host: String,
    /// The group's name, the figure's name, and the figure.
    figures: Vec<(String, String, f64)>,
}

impl Table {
    /// Reads the file.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let mut table = Table { rustc: String::new(), host: String::new(), figures: Vec::new() };
        let mut group = String::new();
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let wrong = || format!("what is `{line}`?");
            if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
                group = name.to_owned();
                continue;
            }
            let (name, value) = line.split_once(" = ").ok_or_else(wrong)?;
            match name {
                "rustc" => table.rustc = value.trim_matches('"').to_owned(),
                "host" => table.host = value.trim_matches('"').to_owned(),
                _ => {
                    let value = value.parse().map_err(|_| wrong())?;
                    table.figures.push((group.clone(), name.to_owned(), value));
                }
            }
        }
        Ok(table)
    }

    fn find(&self, measured: &Measured) -> Option<f64> {
        self.value(measured.group.name, &measured.name)
    }

    /// The figure of this name in this group.
    pub(crate) fn value(&self, group: &str, name: &str) -> Option<f64> {
        let known = |(of, called, _): &&(String, String, f64)| of == group && called == name;
        self.figures.iter().find(known).map(|(_, _, value)| *value)
    }
}

/// The file with these figures, if there are all.
pub(crate) fn write(compiler: &Compiler, measured: &[Measured]) -> Result<String> {
    let mut text = format!("{HEAD}rustc = \"{}\"\nhost = \"{}\"\n", compiler.version, compiler.host);
    for group in Group::ALL {
        text += &format!("\n# {} They may grow by {} %.\n[{}]\n", group.meaning, group.may_grow, group.name);
        for Measured { name, value, .. } in measured.iter().filter(|measured| measured.group == group) {
            let value = value.as_ref().map_err(|why| format!("nothing is written without {name}: {why}"))?;
            text += &format!("{name} = {value}\n");
        }
    }
    Ok(text)
}

/// What has become of the figures.
pub(crate) struct Report {
    /// A line for each.
    pub(crate) text: String,
    /// Those that have grown too much, or are not there.
    pub(crate) failed: Vec<String>,
}

/// Compares the figures, measured on this target, with the committed ones.
pub(crate) fn compare(host: &str, measured: &[Measured], committed: &Table) -> Report {
    let mut report =
        Report { text: row("figure", "committed", "now", "change", "may be", ""), failed: Vec::new() };
    for figure in measured {
        let name = format!("{}.{}", figure.group.name, figure.name);
        let may_be = format!("+{} %", figure.group.may_grow);
        let before = committed.find(figure);
        let shown = before.map_or("-".into(), |before| before.to_string());
        let mut failed = |verdict| {
            report.failed.push(name.clone());
            verdict
        };
        let (now, change, verdict) = match (&figure.value, before) {
            (Err(why), _) => ("-".into(), String::new(), format!("SKIP: {why}")),
            (Ok(now), _) if figure.group.of_host && host != committed.host => {
                (now.to_string(), String::new(), format!("SKIP: the committed one is of {}", committed.host))
            }
            (Ok(now), None) => (now.to_string(), String::new(), failed("never written".into())),
            (Ok(now), Some(before)) => {
                let bound = before * (1.0 + f64::from(figure.group.may_grow) / 100.0);
                let verdict = match () {
                    () if *now > bound => failed("GROWN too much".into()),
                    () if *now < 2.0 * before - bound => "less: `--write` keeps it so".into(),
                    () => "ok".into(),
                };
                (now.to_string(), format!("{:+.2} %", (now / before.max(1.0) - 1.0) * 100.0), verdict)
            }
        };
        let change = if now == shown { "none".into() } else { change };
        report.text += &row(&name, &shown, &now, &change, &may_be, &verdict);
    }
    for (group, name, _) in &committed.figures {
        if !measured.iter().any(|figure| figure.group.name == group && figure.name == *name) {
            report.text += &row(&format!("{group}.{name}"), "", "-", "", "", "not measured any more");
            report.failed.push(format!("{group}.{name}"));
        }
    }
    report
}

fn row(name: &str, before: &str, now: &str, change: &str, may_be: &str, verdict: &str) -> String {
    format!("{name:<30} {before:>10} {now:>10} {change:>10} {may_be:>7}  {verdict}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &str = "x86_64-unknown-linux-gnu";

    fn measured(group: &'static Group, value: core::result::Result<f64, String>) -> [Measured; 1] {
        [Measured::new(group, "message", value)]
    }

    fn table(group: &Group, value: f64) -> Table {
        let figures = vec![(group.name.to_owned(), "message".to_owned(), value)];
        Table { rustc: "rustc 1".into(), host: HOST.into(), figures }
    }

    #[test]
    fn growth_beyond_the_bound_fails() {
        for group in Group::ALL {
            let bound = 1_000.0 + 10.0 * f64::from(group.may_grow);
            for (value, fails) in [(1.0, false), (1_000.0, false), (bound, false), (bound + 1.0, true)] {
                let report = compare(HOST, &measured(group, Ok(value)), &table(group, 1_000.0));
                let failed = if fails { vec![format!("{}.message", group.name)] } else { Vec::new() };
                assert_eq!(report.failed, failed, "{}", report.text);
            }
        }
    }

    #[test]
    fn nothing_may_become_something_only_by_a_commit() {
        assert!(compare(HOST, &measured(&ALLOCATIONS, Ok(0.0)), &table(&ALLOCATIONS, 0.0)).failed.is_empty());
        assert_eq!(
            compare(HOST, &measured(&ALLOCATIONS, Ok(1.0)), &table(&ALLOCATIONS, 0.0)).failed.len(),
            1
        );
    }

    #[test]
    fn what_is_on_one_side_only_fails_and_what_cannot_be_measured_does_not() {
        let report = compare(HOST, &measured(&SIZE, Ok(1.0)), &table(&MEMORY, 1.0));
        assert_eq!(report.failed, ["device.message", "idle.message"]);
        let report = compare(HOST, &measured(&SIZE, Err("no target".into())), &table(&SIZE, 1.0));
        assert!(report.failed.is_empty() && report.text.contains("SKIP: no target"), "{}", report.text);
        let report = compare("aarch64", &measured(&INSTRUCTIONS, Ok(9.0)), &table(&INSTRUCTIONS, 1.0));
        assert!(report.failed.is_empty() && report.text.contains("SKIP"), "{}", report.text);
    }

    #[test]
    fn the_file_is_read_as_it_is_written() {
        let compiler = Compiler { version: "rustc 1".into(), host: HOST.into() };
        for (group, value) in [(&INSTRUCTIONS, 36_646.0), (&ALLOCATIONS, 27.5)] {
            let text = write(&compiler, &measured(group, Ok(value))).expect("all are there");
            assert_eq!(Table::parse(&text), Ok(table(group, value)));
        }
        assert!(write(&compiler, &measured(&SIZE, Err("no target".into()))).is_err());
        assert!(Table::parse("message: 1\n").is_err());
    }
}
