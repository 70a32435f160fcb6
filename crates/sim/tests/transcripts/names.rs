//! Names for what the server makes up at random.

use std::collections::BTreeMap;

/// What was made up, and what a transcript calls it.
#[derive(Debug, Default)]
pub(crate) struct Names {
    /// Of each value its name, in the order in which they came.
    values: Vec<(String, String)>,
    counts: BTreeMap<&'static str, usize>,
    /// All that was sent to the server. What stands there was not made up by it.
    said: String,
}

/// Attributes whose values the server may have made up.
const ATTRIBUTES: [&str; 2] = ["id", "ver"];

impl Names {
    /// A line of the script with the values for their names, and keeps in mind what it says.
    pub(crate) fn resolve(&mut self, line: &str) -> String {
        let mut line = line.to_owned();
        for (value, name) in &self.values {
            line = line.replace(name, value);
        }
        self.hear(&line);
        line
    }

    /// Keeps in mind what somebody has sent.
    pub(crate) fn hear(&mut self, sent: &str) {
        self.said.push_str(sent);
        self.said.push('\n');
    }

    /// Names a value that is known to be made up.
    pub(crate) fn give(&mut self, kind: &'static str, value: &str) {
        if !self.values.iter().any(|(known, _)| known == value) {
            let count = self.counts.entry(kind).or_default();
            *count += 1;
            self.values.push((value.to_owned(), format!("{{{kind}{count}}}")));
        }
    }

    /// What the server has sent, with the names of what it has made up.
    pub(crate) fn hide(&mut self, sent: &str) -> String {
        for kind in ATTRIBUTES {
            let mut rest = sent;
            let start = format!(" {kind}='");
            while let Some((_, behind)) = rest.split_once(&start) {
                let Some((value, after)) = behind.split_once('\'') else { break };
                if is_random(value) && !self.said.contains(&format!("{kind}='{value}'")) {
                    self.give(kind, value);
                }
                rest = after;
            }
        }
        self.values.iter().fold(sent.to_owned(), |sent, (value, name)| sent.replace(value, name))
    }
}

/// Whether it looks like something that was made up: letters and digits, too many to be by chance elsewhere.
fn is_random(value: &str) -> bool {
    value.len() >= 8 && value.bytes().all(|byte| byte.is_ascii_alphanumeric())
}
