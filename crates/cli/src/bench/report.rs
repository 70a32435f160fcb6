//! What was measured: a table for a person, or an object of JSON.

use std::collections::BTreeMap;
use std::rc::Rc;

use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};

use super::histogram::Percentiles;
use super::lane::Wrong;
use super::world::{Protection, Stretch, World, shortened};
use crate::failure::Failure;
use crate::output;

/// The first column of the table is at least so wide.
const NARROWEST: usize = 34;

/// A figure: so many of something, or a measure.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub(crate) enum Figure {
    Count(u64),
    /// To three decimals.
    Measure(f64),
}

impl From<u64> for Figure {
    fn from(count: u64) -> Self {
        Figure::Count(count)
    }
}

impl From<u32> for Figure {
    fn from(count: u32) -> Self {
        Figure::Count(count.into())
    }
}

impl From<f64> for Figure {
    fn from(value: f64) -> Self {
        Figure::Measure((value * 1e3).round() / 1e3)
    }
}

/// Figures by their names, in the order in which they are told. A name ends with the unit where it is no plain count.
#[derive(Debug, Default)]
pub(crate) struct Figures(Vec<(String, Figure)>);

impl Figures {
    pub(crate) fn add(&mut self, name: &str, value: impl Into<Figure>) {
        self.0.push((name.into(), value.into()));
    }

    pub(crate) fn with(mut self, name: &str, value: impl Into<Figure>) -> Self {
        self.add(name, value);
        self
    }

    /// So many of something in a stretch of time: in all, a second of wall time, and a second of the server's CPU.
    pub(crate) fn rates(&mut self, what: &str, count: u64, stretch: &Stretch) {
        self.add(what, count);
        let count = count as f64;
        let wall = stretch.wall.as_secs_f64();
        if wall > 0.0 {
            self.add(&format!("{what}_per_second"), count / wall);
        }
        if let Some(server) = stretch.server {
            let server = server.as_secs_f64();
            if server > 0.0 {
                self.add(&format!("{what}_per_cpu_second"), count / server);
            }
            if wall > 0.0 {
                self.add("server_cpu_percent", server / wall * 100.0);
            }
        }
        if let Some(own) = stretch.own.filter(|_| wall > 0.0) {
            self.add("load_generator_cpu_percent", own.as_secs_f64() / wall * 100.0);
        }
    }
}

impl Serialize for Figures {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// Times of one kind of thing.
#[derive(Debug, Serialize)]
pub(crate) struct Latency {
    pub(crate) of: &'static str,
    #[serde(flatten)]
    pub(crate) millis: Percentiles,
}

/// What was wrong, how often, and examples.
#[derive(Debug, Serialize)]
struct WrongRow {
    what: Wrong,
    count: u64,
    examples: Vec<String>,
}

/// How something has failed, or ended, and how often.
#[derive(Debug, Serialize)]
struct Reason {
    reason: String,
    count: u64,
}

fn reasons(reasons: BTreeMap<String, u64>) -> Vec<Reason> {
    let mut rows: Vec<_> = reasons.into_iter().map(|(reason, count)| Reason { reason, count }).collect();
    // The most frequent first.
    rows.sort_by_key(|row| u64::MAX - row.count);
    rows
}

/// What has become of bad clients of one kind.
#[derive(Debug, Serialize)]
pub(crate) struct Bad {
    kind: &'static str,
    /// Connections that were tried.
    tried: u64,
    /// Those that were not accepted, by reason.
    refused: Vec<Reason>,
    /// Those that have ended, by reason.
    ended: Vec<Reason>,
    /// Those that had not when time was up.
    open: u64,
}

impl Bad {
    pub(crate) fn new(
        kind: &'static str,
        tried: u64,
        refused: BTreeMap<String, u64>,
        ended: BTreeMap<String, u64>,
    ) -> Bad {
        let over: u64 = refused.values().chain(ended.values()).sum();
        Bad {
            kind,
            tried,
            refused: reasons(refused),
            ended: reasons(ended),
            open: tried.saturating_sub(over),
        }
    }
}

/// How many connections were protected like this.
#[derive(Debug, Serialize)]
struct Protected {
    #[serde(flatten)]
    protection: Protection,
    connections: u64,
}

/// All of it.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    load: &'static str,
    server: String,
    /// As it came about, of all who were online.
    tls: Vec<Protected>,
    /// It was ended early.
    interrupted: bool,
    /// Seconds after which the server was gone, if it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    server_lost_after_seconds: Option<Figure>,
    settings: Figures,
    measured_seconds: Figure,
    figures: Figures,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    bad_clients: Vec<Bad>,
    latency_ms: Vec<Latency>,
    /// Deliveries that were looked at, also outside of the time that was measured, and were as they should be.
    checked: u64,
    wrong: Vec<WrongRow>,
    failed: Vec<Reason>,
}

/// What a load tells.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) settings: Figures,
    pub(crate) seconds: f64,
    pub(crate) figures: Figures,
    pub(crate) latency: Vec<Latency>,
    pub(crate) bad: Vec<Bad>,
}

impl Report {
    pub(crate) fn new(load: &'static str, world: &Rc<World>, told: Told) -> Report {
        let meter = &world.meter;
        let wrong = meter.wrong.take().into_iter();
        let mut protection = world.protection.take();
        for (how, count) in world.readers.iter().flat_map(|readers| readers.protection.take()) {
            *protection.entry(how).or_default() += count;
        }
        let tls = protection.into_iter();
        Report {
            load,
            server: match &world.readers {
                None => world.address.to_string(),
                Some(readers) => format!("{}, to {}", world.address, readers.address),
            },
            tls: tls.map(|(protection, connections)| Protected { protection, connections }).collect(),
            interrupted: world.is_interrupted(),
            server_lost_after_seconds: world.lost().map(|after| after.as_secs_f64().into()),
            settings: told.settings,
            measured_seconds: told.seconds.into(),
            figures: told.figures,
            bad_clients: told.bad,
            latency_ms: told.latency,
            checked: meter.good.get(),
            wrong: wrong.map(|(what, (count, examples))| WrongRow { what, count, examples }).collect(),
            failed: reasons(meter.failed.take()),
        }
    }

    /// Prints it. What was wrong is a failure.
    pub(crate) fn tell(&self, json: bool) -> Result<(), Failure> {
        match json {
            true => output::print(&output::json(self)?)?,
            false => self.table().iter().try_for_each(|line| output::print(line))?,
        }
        let wrong: u64 = self.wrong.iter().map(|row| row.count).sum();
        let failed: u64 = self.failed.iter().map(|row| row.count).sum();
        match (self.server_lost_after_seconds, wrong, failed) {
            (Some(after), ..) => Err(Failure::new(format!(
                "the server at {} was lost after {} s; what was measured until then is above",
                self.server,
                number(after)
            ))),
            (_, 0, 0) if self.figures.0.is_empty() => Err(Failure::new("nothing was measured")),
            (_, 0, 0) => Ok(()),
            (_, 0, _) => Err(Failure::new(format!("connections or logins that failed: {failed}"))),
            _ => Err(Failure::new(format!("wrong deliveries: {wrong}"))),
        }
    }

    fn table(&self) -> Vec<String> {
        let settings: Vec<_> = self
            .settings
            .0
            .iter()
            .map(|(name, value)| format!("{} {}", words(name), number(*value)))
            .collect();
        let early = match (self.server_lost_after_seconds, self.interrupted) {
            (Some(_), _) => ", until the server was lost",
            (None, true) => ", ended early",
            _ => "",
        };
        let figures: Vec<_> =
            self.figures.0.iter().map(|(name, value)| (words(name), number(*value))).collect();
        let wide = first_column(figures.iter().map(|(name, _)| name.as_str()));
        let mut lines = vec![
            format!(
                "{} at {}; {}; {} s measured{early}",
                self.load,
                self.server,
                settings.join(", "),
                number(self.measured_seconds)
            ),
            format!("  {:<wide$} {}", "TLS", self.tls()),
        ];
        lines.extend(figures.iter().map(|(name, value)| format!("  {name:<wide$} {value:>14}")));
        if !self.latency_ms.is_empty() {
            let head = ["p50", "p90", "p99", "p99.9", "max"].map(|name| format!("{name:>9}")).concat();
            lines.push(format!("  {:<wide$} {head}", "milliseconds"));
        }
        for Latency { of, millis } in &self.latency_ms {
            let times = [millis.p50, millis.p90, millis.p99, millis.p999, millis.max];
            lines.push(format!("  {of:<wide$} {}", times.map(|time| format!("{time:>9.3}")).concat()));
        }
        if self.checked > 0 || !self.wrong.is_empty() {
            lines.push(format!(
                "  {:<wide$} {:>14}",
                "deliveries as they should be",
                number(self.checked.into())
            ));
        }
        for WrongRow { what, count, examples } in &self.wrong {
            // A server that is gone has done nothing wrong but that.
            let mark = match (what, self.server_lost_after_seconds) {
                (Wrong::Missing, Some(_)) => "LOST ",
                _ => "WRONG",
            };
            let what = format!("{mark} {what}");
            lines.push(format!("  {what:<wide$} {:>14}", number((*count).into())));
            lines.extend(examples.iter().map(|example| format!("        {}", shortened(example))));
        }
        for Reason { reason, count } in &self.failed {
            lines.push(format!("  FAILED {}: {reason}", times(*count)));
        }
        for Bad { kind, tried, refused, ended, open } in &self.bad_clients {
            lines.push(format!("  {kind:<wide$} {:>14}", number((*tried).into())));
            let rows = [("not accepted", refused), ("ended", ended)];
            for (what, Reason { reason, count }) in
                rows.iter().flat_map(|(what, rows)| rows.iter().map(move |row| (what, row)))
            {
                lines.push(format!("    {what} {}: {reason}", times(*count)));
            }
            if *open > 0 {
                lines.push(format!("    still open at the end: {open}"));
            }
        }
        lines
    }

    /// How the connections were protected.
    fn tls(&self) -> String {
        let rows = self.tls.iter().map(|Protected { protection, connections }| {
            let Protection { how, protocol, cipher_suite } = protection;
            let details = match (protocol, cipher_suite) {
                (Some(protocol), Some(suite)) => format!(" ({protocol}, {suite})"),
                _ => String::new(),
            };
            let of =
                if self.tls.len() > 1 { format!(" on {connections} connections") } else { String::new() };
            format!("{how}{details}{of}")
        });
        match self.tls.is_empty() {
            true => "nobody was online".into(),
            false => rows.collect::<Vec<_>>().join("; "),
        }
    }
}

fn times(count: u64) -> String {
    match count {
        1 => "once".into(),
        count => format!("{} times", number(count.into())),
    }
}

/// The name of a figure for a person to read.
fn words(name: &str) -> String {
    let word = |word| match word {
        "cpu" => "CPU",
        "kib" => "KiB",
        word => word,
    };
    name.split('_').map(word).collect::<Vec<_>>().join(" ")
}

/// What stands in front of a number, in a column that is as wide as the longest of them.
fn first_column<'a>(names: impl Iterator<Item = &'a str>) -> usize {
    names.map(str::len).max().unwrap_or(0).max(NARROWEST)
}

/// For people: groups of three digits, and decimals where the number is small.
fn number(value: Figure) -> String {
    let digits = match value {
        Figure::Count(count) => count.to_string(),
        Figure::Measure(value) if value.fract() != 0.0 && value.abs() < 100.0 => {
            return format!("{value:.2}");
        }
        Figure::Measure(value) => format!("{value:.0}"),
    };
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) && !grouped.ends_with('-') {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_for_people() {
        for (value, text) in
            [(0.0, "0"), (12.345, "12.35"), (999.9, "1,000"), (1234567.0, "1,234,567"), (-1000.0, "-1,000")]
        {
            assert_eq!(number(value.into()), text);
        }
        assert_eq!(number(1_234_567_u64.into()), "1,234,567");
    }

    #[test]
    fn numbers_stand_under_each_other_however_long_their_names_are() {
        let long = "messages_in_the_storm_per_cpu_second";
        let report = Report {
            load: "storm",
            server: "127.0.0.1:5222".into(),
            tls: Vec::new(),
            interrupted: false,
            server_lost_after_seconds: None,
            settings: Figures::default().with("size_bytes", 100_u64),
            measured_seconds: 2.0.into(),
            figures: Figures::default().with(long, 329_u64).with("server_kib_after", 34_052_u64),
            bad_clients: vec![Bad::new("garbage", 4, BTreeMap::new(), BTreeMap::new())],
            latency_ms: Vec::new(),
            checked: 400,
            wrong: vec![WrongRow { what: Wrong::Missing, count: 3, examples: Vec::new() }],
            failed: Vec::new(),
        };
        let table = report.table();
        let ends = |number: &str| {
            let line = table.iter().find(|line| line.ends_with(&format!(" {number}")));
            line.unwrap_or_else(|| panic!("no {number} in {table:#?}")).len()
        };
        for number in ["34,052", "400", "3", "4"] {
            assert_eq!(ends(number), ends("329"), "{number} in {table:#?}");
        }
        assert!(
            table.iter().any(|line| line.starts_with("  messages in the storm per CPU second ")),
            "{table:#?}"
        );
        assert!(table.iter().any(|line| line.starts_with("  server KiB after ")), "{table:#?}");
    }

    #[test]
    fn rates_are_of_wall_time_and_of_the_servers_cpu() {
        use core::time::Duration;
        let stretch = Stretch {
            wall: Duration::from_secs(10),
            server: Some(Duration::from_secs(4)),
            own: Some(Duration::from_secs(5)),
        };
        let mut figures = Figures::default();
        figures.rates("messages", 1000, &stretch);
        assert_eq!(
            serde_json::to_string(&figures).unwrap(),
            r#"{"messages":1000,"messages_per_second":100.0,"messages_per_cpu_second":250.0,"server_cpu_percent":40.0,"load_generator_cpu_percent":50.0}"#
        );
    }
}
