//! What was found: for people at a terminal, and as a page of the documentation.

use core::fmt::Write as _;

use super::scenario::{Scenario, TRIES};
use crate::run::Result;

/// How one check went, and what there is to say about it.
pub(crate) struct Found {
    pub(crate) check: String,
    pub(crate) verdict: Verdict,
    pub(crate) detail: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Ok,
    Fail,
    Skip,
}

impl Found {
    pub(crate) fn new(check: &str, result: Result<String>) -> Self {
        let (verdict, detail) = match result {
            Ok(detail) => (Verdict::Ok, detail),
            Err(error) => (Verdict::Fail, error),
        };
        Found { check: check.into(), verdict, detail }
    }

    pub(crate) fn skip(check: &str, reason: &str) -> Self {
        Found { check: check.into(), verdict: Verdict::Skip, detail: reason.into() }
    }

    /// A line as the scenarios print it: result, name, detail, with tabs between them.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let mut parts = line.splitn(3, '\t');
        let verdict = match parts.next()? {
            "ok" => Verdict::Ok,
            "FAIL" => Verdict::Fail,
            "skip" => Verdict::Skip,
            _ => return None,
        };
        Some(Found { check: parts.next()?.into(), verdict, detail: parts.next().unwrap_or_default().into() })
    }

    fn cell(&self, may_differ: bool) -> String {
        let word = match (self.verdict, may_differ) {
            (Verdict::Ok, _) if self.detail.is_empty() => "ok",
            (Verdict::Ok, _) => return format!("ok: {}", self.detail),
            (Verdict::Fail, false) => "FAIL",
            (Verdict::Fail, true) => "differs",
            (Verdict::Skip, _) => "SKIP",
        };
        format!("{word}: {}", self.detail).trim_end_matches(": ").to_owned()
    }
}

/// One client at one server, in one scenario.
pub(crate) struct Pair {
    pub(crate) scenario: &'static Scenario,
    pub(crate) client: String,
    pub(crate) server: String,
    /// Neither is Balcony. What differs there is worth knowing, but not Balcony's to mend.
    pub(crate) is_control: bool,
    pub(crate) outcome: Outcome,
}

pub(crate) enum Outcome {
    Ran(Vec<Found>),
    /// Not there, for this reason.
    Skipped(String),
}

impl Pair {
    /// Runs it, and again if Balcony fails. What failed is told with what came of it then.
    pub(crate) fn runs(&mut self, mut run: impl FnMut(usize) -> Vec<Found>) {
        let mut before: Vec<Found> = Vec::new();
        for at in 0..TRIES {
            let mut found = run(at);
            for found in &mut found {
                let failed =
                    before.iter().find(|one| one.check == found.check && one.verdict == Verdict::Fail);
                if let (Some(failed), Verdict::Ok) = (failed, found.verdict) {
                    found.detail = format!("{} (at try {}; before: {})", found.detail, at + 1, failed.detail);
                }
            }
            self.outcome = Outcome::Ran(found);
            if self.failures().iter().all(|(_, differs)| *differs) {
                return;
            }
            if let Outcome::Ran(found) = &mut self.outcome
                && at + 1 < TRIES
            {
                before = core::mem::take(found);
            }
        }
    }

    /// What stands in the row of this check: nothing, if it was not reached.
    fn cell(&self, check: &str) -> String {
        match &self.outcome {
            Outcome::Skipped(reason) if check == self.scenario.checks[0].0 => format!("SKIP: {reason}"),
            Outcome::Skipped(_) => String::new(),
            Outcome::Ran(found) => found
                .iter()
                .find(|found| found.check == check)
                .map_or_else(String::new, |found| found.cell(self.may_differ(check))),
        }
    }

    /// Whether a failure of this check is none of Balcony's.
    fn may_differ(&self, check: &str) -> bool {
        let is_known = |(name, known): &(&str, &str)| {
            (self.server.starts_with(name) || self.client.starts_with(name)) && *known == check
        };
        self.is_control || self.scenario.known.iter().any(is_known)
    }

    /// The checks that failed, and whether that is none of Balcony's. Not to have got to the end is a failure, too.
    fn failures(&self) -> Vec<(String, bool)> {
        let Outcome::Ran(found) = &self.outcome else { return Vec::new() };
        let pair = format!("{} at {}", self.client, self.server);
        let mut failures: Vec<(String, bool)> = found
            .iter()
            .filter(|found| found.verdict == Verdict::Fail)
            .map(|found| {
                (format!("{pair}: {}: {}", found.check, found.detail), self.may_differ(&found.check))
            })
            .collect();
        let missing =
            self.scenario.checks.iter().find(|(check, _)| found.iter().all(|found| found.check != *check));
        let is_told = failures.iter().any(|(_, differs)| self.is_control || !differs);
        if let (false, Some((check, _))) = (is_told, missing) {
            failures.push((format!("{pair}: {check}: not reached"), self.is_control));
        }
        failures
    }
}

/// An error with everything that failed where Balcony took part.
pub(crate) fn verdict(pairs: &[Pair]) -> Result {
    let failures: Vec<String> = pairs
        .iter()
        .flat_map(Pair::failures)
        .filter_map(|(failure, differs)| (!differs).then_some(failure))
        .collect();
    if failures.is_empty() { Ok(()) } else { Err(failures.join("; ")) }
}

/// The pairs, those with the same server together.
fn by_server(pairs: &[Pair]) -> impl Iterator<Item = &[Pair]> {
    pairs.chunk_by(|one, other| one.server == other.server)
}

/// The pairs at a server, those with the same scenario together.
fn by_scenario(pairs: &[Pair]) -> impl Iterator<Item = &[Pair]> {
    pairs.chunk_by(|one, other| one.scenario.name == other.scenario.name)
}

/// A table for each server and scenario, with a column for each client.
pub(crate) fn terminal(pairs: &[Pair]) -> String {
    const NAME: usize = 40;
    const CELL: usize = 26;
    let fit = |text: &str, width: usize| match text.char_indices().nth(width - 1) {
        Some((end, _)) => format!("{}… ", &text[..end.saturating_sub(1)]),
        None => format!("{text:width$}"),
    };
    let mut text = String::new();
    for pairs in by_server(pairs).flat_map(by_scenario) {
        text.push_str(&fit(&format!("at {}", pairs[0].server), NAME));
        pairs.iter().for_each(|pair| text.push_str(&fit(&pair.client, CELL)));
        text.push('\n');
        for (check, shows) in pairs[0].scenario.checks {
            text.push_str(&fit(shows, NAME));
            pairs.iter().for_each(|pair| text.push_str(&fit(&pair.cell(check), CELL)));
            text.push('\n');
        }
        text.push('\n');
    }
    for (failure, differs) in pairs.iter().flat_map(Pair::failures) {
        let _ = writeln!(text, "{} {failure}", if differs { "differs" } else { "FAIL   " });
    }
    for pair in pairs {
        if let Outcome::Skipped(reason) = &pair.outcome {
            let _ = writeln!(text, "SKIP    {} at {}: {reason}", pair.client, pair.server);
        }
    }
    text
}

/// The page docs/interop.md.
pub(crate) fn markdown(pairs: &[Pair]) -> String {
    let row = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let mut page = format!("{}\n", include_str!("../../interop/head.md"));
    for pairs in by_server(pairs) {
        let _ = write!(page, "## At {}\n\n", pairs[0].server);
        for pairs in by_scenario(pairs) {
            let scenario = pairs[0].scenario;
            let _ = write!(page, "### {}\n\n", scenario.title);
            let names = pairs.iter().map(|pair| pair.client.clone());
            page.push_str(&row([String::new()].into_iter().chain(names).collect()));
            page.push_str(&row(vec!["---".into(); pairs.len() + 1]));
            for (check, shows) in scenario.checks {
                let cells = pairs.iter().map(|pair| pair.cell(check).replace('|', "\\|"));
                page.push_str(&row([(*shows).to_owned()].into_iter().chain(cells).collect()));
            }
            page.push('\n');
        }
    }
    page.push_str(include_str!("../../interop/notes.md"));
    page
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interop::scenario::SCENARIOS;

    fn pair(is_control: bool, lines: &[&str]) -> Pair {
        let found = lines.iter().map(|line| Found::parse(line).unwrap()).collect();
        let (client, server) = ("one".into(), "other".into());
        Pair { scenario: &SCENARIOS[0], client, server, is_control, outcome: Outcome::Ran(found) }
    }

    fn all_ok() -> Vec<String> {
        SCENARIOS[0].checks.iter().map(|(check, _)| format!("ok\t{check}\tfine")).collect()
    }

    #[test]
    fn a_line_has_result_name_and_detail() {
        let found = Found::parse("ok\tscram\tSCRAM-SHA-1").unwrap();
        assert_eq!((found.check.as_str(), found.detail.as_str()), ("scram", "SCRAM-SHA-1"));
        assert!(Found::parse("FAIL\tping").unwrap().verdict == Verdict::Fail);
        assert!(Found::parse("Traceback (most recent call last):").is_none());
    }

    #[test]
    fn what_failed_or_was_not_reached_fails_the_run() {
        let mut lines = all_ok();
        let verdict_of = |lines: &[String], is_control| {
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            verdict(&[pair(is_control, &lines)])
        };
        assert_eq!(verdict_of(&lines, false), Ok(()));
        lines[1] = format!("skip\t{}\tnot there", SCENARIOS[0].checks[1].0);
        assert_eq!(verdict_of(&lines, false), Ok(()));
        lines[0] = format!("FAIL\t{}\tbroken", SCENARIOS[0].checks[0].0);
        assert_eq!(verdict_of(&lines, false), Err("one at other: bind: broken".into()));
        assert_eq!(verdict_of(&lines, true), Ok(()));
        assert_eq!(verdict_of(&all_ok()[1..], false), Err("one at other: bind: not reached".into()));
    }

    #[test]
    fn a_failure_is_tried_again_and_told() {
        let mut pair = pair(false, &[]);
        let check = SCENARIOS[0].checks[0].0;
        let mut tries = Vec::new();
        pair.runs(|at| {
            tries.push(at);
            let mut found: Vec<Found> = all_ok().iter().filter_map(|line| Found::parse(line)).collect();
            if at == 0 {
                found[0] = Found::new(check, Err("late".into()));
            }
            found
        });
        assert_eq!(tries, [0, 1]);
        assert_eq!(pair.cell(check), "ok: fine (at try 2; before: late)");
        assert_eq!(verdict(&[pair]), Ok(()));
    }

    #[test]
    fn a_known_difference_is_no_failure_elsewhere_it_is() {
        let scenario = SCENARIOS.iter().find(|scenario| !scenario.known.is_empty()).unwrap();
        let (server, check) = scenario.known[0];
        let verdict_at = |server: &str| {
            let found = |&(name, _): &(&str, &str)| {
                let result = if name == check { Err("broken".into()) } else { Ok("fine".into()) };
                Found::new(name, result)
            };
            let outcome = Outcome::Ran(scenario.checks.iter().map(found).collect());
            let (client, server) = ("one".into(), format!("{server} 1.0"));
            let pair = Pair { scenario, client, server, is_control: false, outcome };
            (verdict(core::slice::from_ref(&pair)), pair.cell(check))
        };
        assert_eq!(verdict_at(server), (Ok(()), "differs: broken".into()));
        let failure = format!("one at balcony 1.0: {check}: broken");
        assert_eq!(verdict_at("balcony"), (Err(failure), "FAIL: broken".into()));
    }

    #[test]
    fn the_page_has_a_row_for_each_check() {
        let lines = all_ok();
        let page = markdown(&[pair(false, &lines.iter().map(String::as_str).collect::<Vec<_>>())]);
        for (_, shows) in SCENARIOS[0].checks {
            assert!(page.contains(&format!("| {shows} | ok: fine |\n")), "{shows}");
        }
    }
}
