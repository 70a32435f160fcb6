//! What a check has found, and how it is told to people and to programs.

use serde::Serialize;

use crate::failure::Failure;
use crate::output;

/// How much something matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Level {
    /// It is as it should be.
    #[serde(rename = "ok")]
    Fine,
    /// It works, and could be better; or it is nothing that everybody has.
    Note,
    /// It will not work for somebody.
    Wrong,
    /// It could not be found out.
    Unknown,
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    pub(crate) level: Level,
    /// What it is about, such as a port.
    about: String,
    pub(crate) says: String,
    /// For whom it will not work.
    #[serde(skip_serializing_if = "Option::is_none")]
    whom: Option<String>,
    /// What to change.
    #[serde(skip_serializing_if = "Option::is_none")]
    change: Option<String>,
}

impl Finding {
    pub(crate) fn new(level: Level, about: impl Into<String>, says: impl Into<String>) -> Finding {
        Finding { level, about: about.into(), says: says.into(), whom: None, change: None }
    }

    /// It matters to these.
    pub(crate) fn whom(mut self, whom: impl Into<String>) -> Finding {
        self.whom = Some(whom.into());
        self
    }

    /// This would help.
    pub(crate) fn change(mut self, change: impl Into<String>) -> Finding {
        self.change = Some(change.into());
        self
    }

    fn print(&self) -> Result<(), Failure> {
        let mark = match self.level {
            Level::Fine => "ok   ",
            Level::Note => "note ",
            Level::Wrong => "WRONG",
            Level::Unknown => "?    ",
        };
        output::print(&format!("{mark} {}: {}", self.about, self.says))?;
        let more = [("for", &self.whom), ("to do", &self.change)];
        for (what, text) in more.iter().filter_map(|(what, text)| Some((what, text.as_ref()?))) {
            output::print(&format!("        {what}: {text}"))?;
        }
        Ok(())
    }
}

/// All that was found about a domain.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    domain: String,
    /// The exit status.
    status: u8,
    findings: Vec<Finding>,
}

impl Report {
    pub(crate) fn new(domain: &str, findings: Vec<Finding>) -> Report {
        let has = |level| findings.iter().any(|finding| finding.level == level);
        // What is known to be wrong counts for more than what is not known.
        let status = match (has(Level::Wrong), has(Level::Unknown)) {
            (true, _) => 1,
            (false, true) => 2,
            (false, false) => 0,
        };
        Report { domain: domain.into(), status, findings }
    }

    /// Prints it; the exit status is that of the failure.
    pub(crate) fn tell(&self, json: bool) -> Result<(), Failure> {
        if json {
            output::print(&output::json(self)?)?;
        } else {
            for finding in &self.findings {
                finding.print()?;
            }
            output::print(match self.status {
                0 => "all is well",
                1 => "something will not work: see WRONG above",
                _ => "not all could be checked: see ? above",
            })?;
        }
        match self.status {
            0 => Ok(()),
            1 => Err(Failure::new("")),
            _ => Err(Failure::usage("")),
        }
    }
}

/// A day of the calendar (UTC), from seconds since 1970.
pub(crate) fn date(seconds: u64) -> String {
    let days = seconds / 86_400;
    // Years begin in March here, so that the leap day is the last; 719,468 days are from there to 1970.
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    format!("{:04}-{month:02}-{day:02}", era * 400 + year_of_era + next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        for (seconds, day) in [
            (0, "1970-01-01"),
            (951_782_399, "2000-02-28"),
            (951_782_400, "2000-02-29"),
            (951_868_800, "2000-03-01"),
            (1_704_067_199, "2023-12-31"),
            (1_704_067_200, "2024-01-01"),
            (4_107_542_400, "2100-03-01"),
        ] {
            assert_eq!(date(seconds), day);
        }
    }

    #[test]
    fn what_is_wrong_counts_most() {
        let status = |levels: &[Level]| {
            let findings = levels.iter().map(|level| Finding::new(*level, "a", "b")).collect();
            Report::new("example.org", findings).status
        };
        assert_eq!(status(&[]), 0);
        assert_eq!(status(&[Level::Fine, Level::Note]), 0);
        assert_eq!(status(&[Level::Fine, Level::Unknown]), 2);
        assert_eq!(status(&[Level::Unknown, Level::Wrong, Level::Fine]), 1);
    }
}
