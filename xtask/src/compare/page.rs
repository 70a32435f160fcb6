//! docs/performance.md: a table with a column for each server, and how it came about.

use core::fmt::Write as _;
use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use super::Load;
use super::plot::{Group, bars};
use super::servers::RELAYS;
use crate::interop::output;
use crate::run::Result;

/// A load average from which on the machine does something else, too.
const BUSY: f64 = 0.5;
/// Percent from which on the spread of a figure stands beside it.
const WIDE: f64 = 10.0;
/// The files with plots, in the folder of the page's name.
const WORK: &str = "work.svg";
const MEMORY: &str = "memory.svg";

/// What was measured, and on which machine.
pub(crate) struct Page {
    /// The average load of the last minute before it began.
    load: Option<f64>,
    is_pinned: bool,
    rounds: u64,
    seconds: String,
    sessions: String,
    /// The servers in the order in which they came.
    servers: Vec<String>,
    /// The relays in that order.
    relays: Vec<String>,
    values: BTreeMap<(String, &'static str), Vec<f64>>,
    commands: Vec<(&'static str, String)>,
    complaints: Vec<String>,
    skipped: Vec<String>,
}

impl Page {
    pub(crate) fn new(loadavg: &str, is_pinned: bool, rounds: u64, seconds: &str, sessions: &str) -> Page {
        Page {
            load: loadavg.split(' ').next().and_then(|load| load.parse().ok()),
            is_pinned,
            rounds,
            seconds: seconds.into(),
            sessions: sessions.into(),
            servers: Vec::new(),
            relays: Vec::new(),
            values: BTreeMap::new(),
            commands: Vec::new(),
            complaints: Vec::new(),
            skipped: Vec::new(),
        }
    }

    pub(crate) fn command(&mut self, load: &'static str, line: &str) {
        if self.commands.iter().all(|(known, _)| *known != load) {
            let line = line.split_once(" bench ").map_or(line, |(_, rest)| rest);
            self.commands.push((load, format!("balcony bench {line}")));
        }
    }

    pub(crate) fn add(&mut self, server: &str, load: &Load, value: Option<f64>) {
        let known = if RELAYS.contains(&server) { &mut self.relays } else { &mut self.servers };
        if known.iter().all(|known| known != server) {
            known.push(server.into());
        }
        self.values.entry((server.into(), load.name)).or_default().extend(value);
    }

    /// Something went wrong while this was measured.
    pub(crate) fn complain(&mut self, server: &str, load: &str, complaint: &str) {
        let line = format!("{server}, {load}: {complaint}");
        if !self.complaints.contains(&line) {
            self.complaints.push(line);
        }
    }

    pub(crate) fn skip(&mut self, server: &str, reason: &str) {
        self.skipped.push(format!("{server}: SKIP: {reason}"));
    }

    /// What is wrong at Balcony is a failure; what is wrong elsewhere is told.
    pub(crate) fn verdict(&self) -> Result {
        match self.complaints.iter().find(|line| line.starts_with("Balcony ")) {
            None if self.values.is_empty() => Err("nothing was measured".into()),
            None => Ok(()),
            Some(complaint) => Err(complaint.clone()),
        }
    }

    fn median(&self, server: &str, load: &Load) -> Option<f64> {
        let mut values = self.values.get(&(server.to_owned(), load.name))?.clone();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied()
    }

    /// How far the rounds of one cell are apart, in percent of its median; `None` with one round.
    fn spread(&self, server: &str, load: &Load) -> Option<f64> {
        let values = self.values.get(&(server.to_owned(), load.name)).filter(|values| values.len() > 1)?;
        let (least, most) =
            values.iter().fold((f64::MAX, f64::MIN), |(a, b), value| (a.min(*value), b.max(*value)));
        Some((most - least) / self.median(server, load)? * 100.0)
    }

    /// The widest spread of all cells, and which it is.
    fn widest(&self, loads: &[&Load]) -> Option<(f64, String)> {
        let all = || self.servers.iter().chain(&self.relays);
        let cells = loads.iter().flat_map(|load| all().map(move |server| (server, load)));
        let spreads = cells.filter_map(|(server, load)| {
            Some((self.spread(server, load)?, format!("{server}, {}", load.name)))
        });
        spreads.max_by(|a, b| a.0.total_cmp(&b.0))
    }

    /// In how many times as much Balcony does, or as little it needs, as another server.
    fn ratio(&self, server: &str, load: &Load) -> Option<f64> {
        let (ours, theirs) = (self.median(self.servers.first()?, load)?, self.median(server, load)?);
        let (more, less) = if load.is_weight { (theirs, ours) } else { (ours, theirs) };
        (less > 0.0).then(|| more / less)
    }

    /// The files with plots, and what is in each.
    pub(crate) fn plots(&self, loads: &[&Load]) -> Vec<(&'static str, String)> {
        let others = self.servers.get(1..).unwrap_or_default();
        let plot = |is_weight: bool, title: &str| {
            let loads = loads.iter().filter(|load| load.is_weight == is_weight);
            let groups: Vec<_> = loads
                .map(|load| Group {
                    name: load.name.into(),
                    values: others.iter().map(|server| self.ratio(server, load)).collect(),
                })
                .collect();
            bars(title, others, &groups)
        };
        vec![
            (WORK, plot(false, "How many times as much CPU time others need for the same work as Balcony")),
            (MEMORY, plot(true, "How many times as much memory others need for an idle session as Balcony")),
        ]
    }

    pub(crate) fn markdown(&self, loads: &[&Load]) -> String {
        let mut text = String::from(
            "# Performance\n\nBalcony and other servers under the same load, that of `balcony bench`, which checks every delivery. `cargo xtask compare --write` has \
             written this page; [`benchmarks.md`](benchmarks.md) tells how it measures.\n\n",
        );
        let of = |is_weight: bool| -> Vec<&Load> {
            loads.iter().copied().filter(|load| load.is_weight == is_weight).collect()
        };
        text.push_str(
            "## Work\n\nMessages, deliveries and logins that a server does in a second of its CPU time, in user space and in the kernel: more is better. `12.0 ×` says \
             that Balcony does 12 times as much in the same CPU time, or that the other server needs 12 times the CPU time for the same work. Where it is less than \
             1 the other one is better, and it is **bold**. Where nothing else is said 16 messages, headlines or presences of each sender are in flight. With \
             fewer, each packet to a client carries fewer, and the packets are the kernel's work, which is the same for every server: with 4 in flight Balcony sends \
             just one packet for four deliveries.\n\n",
        );
        self.table(&mut text, "in a second of CPU time", &of(false));
        let _ = writeln!(text, "\n![The ratios of the table as bars](performance/{WORK})\n");
        self.limits(&mut text, loads);
        text.push_str(
            "## Memory\n\nWhat the memory of a server grows by for each session that is online and idle, in KiB: less is better. `6.5 ×` says that the other server needs \
             6.5 times as much.\n\n",
        );
        self.table(&mut text, "KiB", &of(true));
        let _ = writeln!(text, "\n![The ratios of the table as bars](performance/{MEMORY})\n");
        for line in self.skipped.iter().chain(&self.complaints) {
            let _ = writeln!(text, "- {line}");
        }
        if !(self.skipped.is_empty() && self.complaints.is_empty()) {
            text.push('\n');
        }
        let _ = writeln!(text, "## How\n\n{}\n", self.how(loads));
        text.push_str("```sh\n");
        let width = self.commands.iter().map(|(_, line)| line.len()).max().unwrap_or(0);
        for (load, line) in &self.commands {
            let _ = writeln!(text, "{line:width$}  # {load}");
        }
        text.push_str(
            "```\n\nThe configurations of the others are in [`xtask/compare`](../xtask/compare).\n",
        );
        text
    }

    /// A row for each load; for each other server its figure and the ratio, in columns of their own.
    fn table(&self, text: &mut String, what: &str, loads: &[&Load]) {
        let heads = self.servers.iter().enumerate();
        let heads: Vec<_> = heads
            .map(|(place, server)| if place == 0 { server.clone() } else { format!("{server} | ratio") })
            .collect();
        let _ = writeln!(text, "| {what} | {} |", heads.join(" | "));
        let _ = writeln!(text, "|---|{}", "--:|".repeat((self.servers.len() * 2).saturating_sub(1)));
        for load in loads {
            let _ = write!(text, "| {} |", load.name);
            for (place, server) in self.servers.iter().enumerate() {
                let _ = write!(text, " {} |", self.cell(server, load));
                if place > 0 {
                    let ratio = match self.ratio(server, load) {
                        None => "-".into(),
                        Some(ratio) if ratio < 1.0 => format!("**{ratio:.1} ×**"),
                        Some(ratio) => format!("{ratio:.1} ×"),
                    };
                    let _ = write!(text, " {ratio} |");
                }
            }
            text.push('\n');
        }
    }

    /// How much of what the relays do Balcony does, where one of them was measured.
    fn limits(&self, text: &mut String, loads: &[&Load]) {
        let Some(balcony) = self.servers.first().filter(|_| !self.relays.is_empty()) else { return };
        text.push_str(
            "## The limit\n\nWhat any server could do on this machine, by two measuring sticks with one thread (`xtask/compare/relay`). Clients log in to them as \
             to a server; behind that a message is passed on to the full JID it is for, with `from`, and there is nothing else: no accounts, no rosters, no \
             privacy, no queues, no second session. *copying* looks for the end of a message by its tags, checks nothing, and copies it; *parsing* reads it with \
             Balcony's reader, which checks it, and writes it anew, \
             also what a server can copy once it has been read, so that more than that is possible. Messages in a second of CPU time, as above, and how much of that Balcony does.\n\n",
        );
        let columns: String = self.relays.iter().map(|relay| format!(" {relay} | share |")).collect();
        let _ = writeln!(text, "| in a second of CPU time | {balcony} |{columns}");
        let _ = writeln!(text, "|---|--:|{}", "--:|".repeat(self.relays.len() * 2));
        for load in loads.iter().filter(|load| load.is_chat()) {
            let ours = self.median(balcony, load);
            let _ = write!(text, "| {} | {} |", load.name, self.cell(balcony, load));
            for relay in &self.relays {
                let limit = self.median(relay, load).filter(|limit| *limit > 0.0);
                let share = ours.zip(limit).map(|(ours, limit)| format!("{:.0} %", ours / limit * 100.0));
                let share = share.unwrap_or_else(|| "-".into());
                let _ = write!(text, " {} | {share} |", self.cell(relay, load));
            }
            text.push('\n');
        }
        text.push('\n');
    }

    /// A figure, and how far its rounds are apart if that is far.
    fn cell(&self, server: &str, load: &Load) -> String {
        let spread = self.spread(server, load).filter(|spread| *spread >= WIDE);
        let spread = spread.map(|spread| format!(" (± {:.0} %)", spread / 2.0)).unwrap_or_default();
        format!("{}{spread}", self.median(server, load).map_or("-".into(), number))
    }

    fn how(&self, loads: &[&Load]) -> String {
        let date = output(Command::new("date").args(["-u", "+%Y-%m-%d"])).unwrap_or_default();
        let pinned = match self.is_pinned {
            true => "the server pinned to one processor and the load generator to another one",
            false => {
                "neither the server nor the load generator pinned to a processor, since there is no `taskset` or only one processor"
            }
        };
        let busy = match self.load {
            Some(load) if load >= BUSY => format!(
                " **The machine was busy** (load {load:.2} before it began): times are longer, and figures lower, than on a quiet one."
            ),
            _ => String::new(),
        };
        let rounds = match self.rounds {
            1 => "One round, so that nothing is known of how much a figure differs from one to the next: differences of some percent say nothing.".into(),
            rounds => {
                let widest = self.widest(loads).map(|(spread, which)| {
                    format!(
                        " The rounds of one figure are at most {spread:.0} % of it apart ({which}); where it is {WIDE:.0} % or more, `±` says half of it."
                    )
                });
                format!(
                    "{rounds} rounds, in each of which the servers took turns; the figures are medians.{}",
                    widest.unwrap_or_default()
                )
            }
        };
        format!(
            "{date}, {}, {}. {rounds} Each load ran for {} s, with {pinned}; {} sessions were idle.{busy}",
            machine(),
            output(Command::new("uname").args(["-sr"])).unwrap_or_default(),
            self.seconds,
            self.sessions,
        )
    }
}

/// The processors of this machine.
fn machine() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let models = || {
        info.lines()
            .filter_map(|line| line.strip_prefix("model name")?.split_once(": ").map(|(_, name)| name))
    };
    let model = models().next().unwrap_or("an unknown processor").trim();
    let count = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{count} processors ({model})")
}

/// To three digits, in groups.
fn number(value: f64) -> String {
    if value < 100.0 {
        return format!("{value:.1}");
    }
    let unit = 10_f64.powi(value.log10().floor() as i32 - 2);
    let digits = format!("{:.0}", (value / unit).round() * unit);
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::LOADS;

    #[test]
    fn numbers_have_three_digits() {
        for (value, text) in [
            (9.96, "10.0"),
            (12.34, "12.3"),
            (123.4, "123"),
            (123_456.0, "123,000"),
            (1_234_567.0, "1,230,000"),
        ] {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn the_table_has_medians_and_ratios_of_what_is_better() {
        let mut page = Page::new("0.10 0.2 0.3 1/2 3", true, 3, "10", "1000");
        let loads = [&LOADS[0], &LOADS[2]];
        for (ours, theirs) in [(10.0, 50.0), (12.0, 60.0), (11.0, 1000.0)] {
            page.add("Balcony 1", loads[0], Some(ours));
            page.add("other 2", loads[0], Some(theirs));
            page.add("Balcony 1", loads[1], Some(ours * 1e4));
            page.add("other 2", loads[1], None);
        }
        page.skip("third", "there is none");
        page.complain("other 2", loads[1].name, "wrong deliveries: 1");
        let text = page.markdown(&loads);
        assert!(text.contains("| KiB | Balcony 1 | other 2 | ratio |\n|---|--:|--:|--:|\n"), "{text}");
        // The rounds of both are far apart.
        assert!(
            text.contains("| an idle session, plain | 11.0 (± 9 %) | 60.0 (± 792 %) | 5.5 × |\n"),
            "{text}"
        );
        assert!(text.contains("| chat, 100 B | 110,000 (± 9 %) | - | - |\n"), "{text}");
        assert!(
            text.contains("3 rounds, in each of which") && text.contains("at most 1583 % of it apart"),
            "{text}"
        );
        let plots = page.plots(&loads);
        assert!(plots[1].1.contains(">5.5</text>") && text.contains("(performance/memory.svg)"), "{text}");
        assert!(
            text.contains("- third: SKIP: there is none\n- other 2, chat, 100 B: wrong deliveries: 1\n"),
            "{text}"
        );
        assert!(!text.contains("busy") && page.verdict().is_ok(), "{text}");
        page.complain("Balcony 1", "chat", "wrong deliveries: 1");
        assert!(page.verdict().is_err());
        assert!(!text.contains("## The limit"), "{text}");
        let mut page = Page::new("1.50 1 1", true, 1, "1", "1");
        page.add("Balcony 1", loads[1], Some(1.0));
        page.add("other 2", loads[1], Some(2.0));
        let text = page.markdown(&loads);
        assert!(
            text.contains("was busy") && text.contains("One round, so that") && !text.contains('±'),
            "{text}"
        );
        assert!(text.contains("| chat, 100 B | 1.0 | 2.0 | **0.5 ×** |\n"), "{text}");
        // What has no accounts is no server, and has a table of its own.
        page.add("copying", loads[1], Some(4.0));
        page.add("parsing", loads[1], None);
        let text = page.markdown(&loads);
        assert!(text.contains("| chat, 100 B | 1.0 | 2.0 | **0.5 ×** |\n"), "{text}");
        assert!(
            text.contains("| Balcony 1 | copying | share | parsing | share |\n|---|--:|--:|--:|--:|--:|\n")
                && text.contains("| chat, 100 B | 1.0 | 4.0 | 25 % | - | - |\n"),
            "{text}"
        );
    }
}
