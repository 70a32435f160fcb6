//! docs/performance.md: a table with a column for each server, and how it came about.

use core::fmt::Write as _;
use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use super::Load;
use crate::interop::output;
use crate::run::Result;

/// A load average from which on the machine does something else, too.
const BUSY: f64 = 0.5;

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
        if self.servers.iter().all(|known| known != server) {
            self.servers.push(server.into());
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

    /// The widest spread of the rounds of one cell, in percent of its median.
    fn spread(&self, loads: &[&Load]) -> f64 {
        let cells = loads.iter().flat_map(|load| self.servers.iter().map(move |server| (server, load)));
        let spreads = cells.filter_map(|(server, load)| {
            let values = self.values.get(&(server.clone(), load.name))?;
            let (least, most) =
                values.iter().fold((f64::MAX, f64::MIN), |(a, b), value| (a.min(*value), b.max(*value)));
            Some((most - least) / self.median(server, load)? * 100.0)
        });
        spreads.fold(0.0, f64::max)
    }

    pub(crate) fn markdown(&self, loads: &[&Load]) -> String {
        let mut text = String::from(
            "# Performance\n\n`cargo xtask compare --write` has written this page: Balcony and other servers under the same load, that of \
             `balcony bench`, which checks every delivery. [`benchmarks.md`](benchmarks.md) tells how it measures.\n\n\
             Rates are a second of the server's CPU time, in user space and in the kernel; behind the figures of others, in how many times as much Balcony does, \
             or weighs less.\n\n",
        );
        let (first, others) = match self.servers.split_first() {
            Some((first, others)) => (Some(first), others),
            None => (None, &[][..]),
        };
        let _ = writeln!(text, "| | {} |", self.servers.join(" | "));
        let _ = writeln!(text, "|---|{}", "---|".repeat(self.servers.len()));
        for load in loads {
            let ours = first.and_then(|server| self.median(server, load));
            let _ = write!(text, "| {} | {} |", load.name, ours.map_or("-".into(), number));
            for server in others {
                let theirs = self.median(server, load);
                let ratio = match (ours, theirs) {
                    (Some(ours), Some(theirs)) if load.is_weight && ours > 0.0 => Some(theirs / ours),
                    (Some(ours), Some(theirs)) if !load.is_weight && theirs > 0.0 => Some(ours / theirs),
                    _ => None,
                };
                let ratio = ratio.map(|ratio| format!(" ({ratio:.1})")).unwrap_or_default();
                let _ = write!(text, " {}{ratio} |", theirs.map_or("-".into(), number));
            }
            text.push('\n');
        }
        text.push('\n');
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
        format!(
            "{date}, {}, {}. Medians of {} rounds, in each of which the servers took turns; the widest spread of one figure is {:.0} % of it. Each load ran for {} s, with \
             {pinned}; {} sessions were idle.{busy}",
            machine(),
            output(Command::new("uname").args(["-sr"])).unwrap_or_default(),
            self.rounds,
            self.spread(loads),
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
        assert!(text.contains("| | Balcony 1 | other 2 |\n|---|---|---|\n"), "{text}");
        assert!(text.contains("| KiB an idle session, plain | 11.0 | 60.0 (5.5) |\n"), "{text}");
        assert!(text.contains("| chat, 100 B | 110,000 | - |\n"), "{text}");
        assert!(
            text.contains("- third: SKIP: there is none\n- other 2, chat, 100 B: wrong deliveries: 1\n"),
            "{text}"
        );
        assert!(!text.contains("busy") && page.verdict().is_ok(), "{text}");
        page.complain("Balcony 1", "chat", "wrong deliveries: 1");
        assert!(page.verdict().is_err());
        assert!(Page::new("1.50 1 1", true, 1, "1", "1").markdown(&loads).contains("was busy"));
    }
}
