//! What was measured: a table for a person, or an object of JSON.

use std::rc::Rc;

use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};

use super::histogram::Percentiles;
use super::lane::Wrong;
use super::world::{Stretch, World};
use crate::failure::Failure;
use crate::output;

/// Figures by their names, in the order in which they are told. A name ends with the unit where it is no plain count.
#[derive(Debug, Default)]
pub(crate) struct Figures(Vec<(String, f64)>);

impl Figures {
    pub(crate) fn add(&mut self, name: &str, value: f64) {
        self.0.push((name.into(), value));
    }

    pub(crate) fn with(mut self, name: &str, value: impl Into<f64>) -> Self {
        self.add(name, value.into());
        self
    }

    /// So many of something in a stretch of time: in all, a second of wall time, and a second of the server's CPU.
    pub(crate) fn rates(&mut self, what: &str, count: u64, stretch: &Stretch) {
        let count = count as f64;
        self.add(what, count);
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
            map.serialize_entry(name, &rounded(*value))?;
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

#[derive(Debug, Serialize)]
struct FailedRow {
    reason: String,
    count: u64,
}

/// All of it.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    load: &'static str,
    server: String,
    tls: &'static str,
    /// It was ended early.
    interrupted: bool,
    settings: Figures,
    measured_seconds: f64,
    figures: Figures,
    latency_ms: Vec<Latency>,
    /// Deliveries that were looked at, also outside of the time that was measured, and were as they should be.
    checked: u64,
    wrong: Vec<WrongRow>,
    failed: Vec<FailedRow>,
}

/// What a load tells.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) settings: Figures,
    pub(crate) seconds: f64,
    pub(crate) figures: Figures,
    pub(crate) latency: Vec<Latency>,
}

impl Report {
    pub(crate) fn new(load: &'static str, world: &Rc<World>, told: Told) -> Report {
        let meter = &world.meter;
        let wrong = meter.wrong.take().into_iter();
        let failed = meter.failed.take().into_iter();
        Report {
            load,
            server: world.address.to_string(),
            tls: world.tls,
            interrupted: world.is_interrupted(),
            settings: told.settings,
            measured_seconds: rounded(told.seconds),
            figures: told.figures,
            latency_ms: told.latency,
            checked: meter.good.get(),
            wrong: wrong.map(|(what, (count, examples))| WrongRow { what, count, examples }).collect(),
            failed: failed.map(|(reason, count)| FailedRow { reason, count }).collect(),
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
        match (wrong, failed) {
            (0, 0) if self.figures.0.is_empty() => Err(Failure::new("nothing was measured")),
            (0, 0) => Ok(()),
            (0, _) => Err(Failure::new(format!("connections or logins that failed: {failed}"))),
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
        let mut lines = vec![format!(
            "{} at {}, TLS: {}; {}; {:.1} s measured{}",
            self.load,
            self.server,
            self.tls,
            settings.join(", "),
            self.measured_seconds,
            if self.interrupted { ", ended early" } else { "" }
        )];
        let figures = self.figures.0.iter();
        lines.extend(figures.map(|(name, value)| format!("  {:<34} {:>14}", words(name), number(*value))));
        if !self.latency_ms.is_empty() {
            let head = ["p50", "p90", "p99", "p99.9", "max"].map(|name| format!("{name:>9}")).concat();
            lines.push(format!("  {:<34} {head}", "milliseconds"));
        }
        for Latency { of, millis } in &self.latency_ms {
            let times = [millis.p50, millis.p90, millis.p99, millis.p999, millis.max];
            lines.push(format!("  {of:<34} {}", times.map(|time| format!("{time:>9.3}")).concat()));
        }
        if self.checked > 0 || !self.wrong.is_empty() {
            lines.push(format!(
                "  {:<34} {:>14}",
                "deliveries as they should be",
                number(self.checked as f64)
            ));
        }
        for WrongRow { what, count, examples } in &self.wrong {
            lines.push(format!("  WRONG {:<28} {:>14}", what.to_string(), number(*count as f64)));
            lines.extend(examples.iter().map(|example| format!("        {}", shortened(example))));
        }
        for FailedRow { reason, count } in &self.failed {
            lines.push(format!("  FAILED {count} times: {reason}"));
        }
        lines
    }
}

fn words(name: &str) -> String {
    name.replace('_', " ")
}

/// To three decimals, for programs.
fn rounded(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

/// For people: groups of three digits, and decimals where the number is small.
fn number(value: f64) -> String {
    if value.fract() != 0.0 && value.abs() < 100.0 {
        return format!("{value:.2}");
    }
    let digits = format!("{value:.0}");
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) && !grouped.ends_with('-') {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// An example for a line.
fn shortened(text: &str) -> String {
    const MOST: usize = 300;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_for_people() {
        for (value, text) in
            [(0.0, "0"), (12.345, "12.35"), (999.9, "1,000"), (1234567.0, "1,234,567"), (-1000.0, "-1,000")]
        {
            assert_eq!(number(value), text);
        }
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
            r#"{"messages":1000.0,"messages_per_second":100.0,"messages_per_cpu_second":250.0,"server_cpu_percent":40.0,"load_generator_cpu_percent":50.0}"#
        );
    }
}
