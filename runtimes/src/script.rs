//! The scenarios, and how one is played on any stage.

use crate::Failure;

/// Something that is done, and what is seen of it.
#[derive(Debug)]
pub struct Scenario {
    /// What the driver shows by it.
    pub name: &'static str,
    steps: Vec<Step>,
}

#[derive(Debug)]
enum Step {
    Tell(&'static str, &'static str),
    Network(bool),
    Hear(&'static str, &'static str),
}

/// Where parties are told lines, and say lines.
pub trait Stage {
    /// Tells a party something.
    ///
    /// # Errors
    ///
    /// It can't be told anything any more.
    fn tell(&mut self, who: &str, line: &str) -> Result<(), Failure>;

    /// The next line that a party says; `None` if it says nothing for a long time, or has ended.
    fn hear(&mut self, who: &str) -> Option<String>;

    /// Something that a party has said and nobody has heard.
    fn unheard(&mut self) -> Option<(String, String)>;

    /// The phone has a network from now on, or none.
    ///
    /// # Errors
    ///
    /// It could not be changed.
    fn set_network(&mut self, is_there: bool) -> Result<(), Failure>;
}

/// All scenarios, in their order.
///
/// # Panics
///
/// If the file has a line that is none.
#[must_use]
pub fn scenarios() -> Vec<Scenario> {
    let mut all: Vec<Scenario> = Vec::new();
    for line in include_str!("../scenarios.txt").lines() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(name) = line.strip_prefix("== ") {
            all.push(Scenario { name, steps: Vec::new() });
            continue;
        }
        let step = match line.split_once(' ').and_then(|(who, rest)| Some((who, rest.split_once(' ')?))) {
            Some(("network", ("<", "cut"))) => Step::Network(false),
            Some(("network", ("<", "join"))) => Step::Network(true),
            Some((who, ("<", line))) => Step::Tell(who, line),
            Some((who, (">", line))) => Step::Hear(who, line),
            _ => panic!("scenarios.txt: this is no step: {line}"),
        };
        all.last_mut().expect("a scenario has a name").steps.push(step);
    }
    all
}

impl Scenario {
    /// Plays it.
    ///
    /// # Errors
    ///
    /// What has gone another way.
    pub fn play(&self, stage: &mut dyn Stage) -> Result<(), Failure> {
        for step in &self.steps {
            match step {
                Step::Tell(who, line) => stage.tell(who, line)?,
                Step::Network(is_there) => stage.set_network(*is_there)?,
                Step::Hear(who, wanted) => match stage.hear(who) {
                    Some(line) if line == *wanted => {}
                    Some(line) => return Err(format!("{who} should say `{wanted}` and says `{line}`").into()),
                    None => return Err(format!("{who} should say `{wanted}` and says nothing").into()),
                },
            }
        }
        match stage.unheard() {
            Some((who, line)) => Err(format!("{who} says `{line}` as well").into()),
            None => Ok(()),
        }
    }
}
