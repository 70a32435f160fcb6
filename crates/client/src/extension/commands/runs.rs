//! Runs of commands that wait for their next step: bounded in number, bytes and time, for each account and in all.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use core::mem::size_of;
use core::time::Duration;

use balcony_jid::Jid;
use balcony_machine::Instant;
use balcony_stanza::{ErrorCondition, StanzaError};
use balcony_xep::commands::{Actions, Fault};
use balcony_xep::data_form::{Choice, DataForm, Field};
use balcony_xep::validation::Method;

use crate::sorted::SortedMap;

/// Runs in all, and their bytes; the oldest is forgotten for another.
const RUNS: usize = 64;
pub(super) const BYTES: usize = 512 << 10;
/// Runs of one account, and their bytes.
pub(super) const RUNS_OF_ONE: usize = 4;
pub(super) const BYTES_OF_ONE: usize = 64 << 10;
/// Forms that are asked in one run.
const STAGES: usize = 32;
/// How long a run waits for its next step.
const WAIT: Duration = Duration::from_secs(600);
/// Of each account so many runs that are over are known as such.
const ENDED_OF_ONE: usize = 4;

/// A run of a command that waits for its next step.
pub(super) struct Run {
    pub(super) command: usize,
    pub(super) by: Jid,
    pub(super) language: Option<usize>,
    /// What was asked; the last is to be answered.
    pub(super) stages: Vec<Stage>,
    /// The answers to all but the last.
    pub(super) answers: Vec<DataForm<'static>>,
    until: Instant,
}

pub(super) struct Stage {
    pub(super) form: DataForm<'static>,
    /// `prev` is known by its place.
    pub(super) actions: Actions,
}

#[derive(Default)]
pub(super) struct Runs {
    open: SortedMap<String, Run>,
    /// The oldest first.
    ended: Vec<(String, Jid)>,
    begun: u64,
}

impl Run {
    pub(super) fn new(command: usize, by: Jid, language: Option<usize>) -> Run {
        Run { command, by, language, stages: Vec::new(), answers: Vec::new(), until: Instant::ZERO }
    }

    fn bytes(&self) -> usize {
        let forms = self.stages.iter().map(|stage| &stage.form).chain(&self.answers);
        size_of::<Run>() + self.by.as_str().len() + forms.map(bytes).sum::<usize>()
    }
}

/// What a form costs, with what it is kept in.
fn bytes(form: &DataForm<'_>) -> usize {
    let text = |text: &Option<Cow<'_, str>>| text.as_ref().map_or(0, |text| text.len());
    let texts = |texts: &[Cow<'_, str>]| {
        texts.iter().map(|text| size_of::<Cow<'_, str>>() + text.len()).sum::<usize>()
    };
    let option = |option: &Choice<'_>| size_of::<Choice<'_>>() + text(&option.label) + option.value.len();
    let field = |field: &Field<'_>| {
        let words = text(&field.var) + text(&field.label) + text(&field.description);
        let validation = field.validation.as_ref().map_or(0, |validation| {
            let method = match &validation.method {
                Method::Range { min, max } => text(min) + text(max),
                Method::Regex(pattern) => pattern.len(),
                Method::Basic | Method::Open => 0,
            };
            validation.datatype.len() + method
        });
        let words = words + validation;
        size_of::<Field<'_>>()
            + words
            + texts(&field.values)
            + field.options.iter().map(option).sum::<usize>()
    };
    let rows = form.items.iter().flatten().chain(&form.reported).chain(&form.fields);
    size_of::<DataForm<'_>>() + text(&form.title) + texts(&form.instructions) + rows.map(field).sum::<usize>()
}

impl Runs {
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    /// What all of them cost.
    pub(super) fn bytes(&self) -> usize {
        self.open.iter().map(|(_, run)| run.bytes()).sum()
    }

    /// How many runs an account has, and what they cost.
    pub(super) fn of(&self, by: &Jid) -> (usize, usize) {
        let own = self.open.iter().filter(|(_, run)| run.by.bare_str() == by.bare_str());
        own.fold((0, 0), |(count, bytes), (_, run)| (count + 1, bytes + run.bytes()))
    }

    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
        self.ended.len()
    }

    pub(super) fn clear(&mut self) {
        self.open.clear();
        self.ended = Vec::new();
    }

    /// Those that have waited too long are over.
    pub(super) fn expire(&mut self, now: Instant) {
        self.end_where(|run| run.until <= now);
    }

    /// Those of somebody who has gone are over.
    pub(super) fn leave(&mut self, by: &Jid) {
        self.end_where(|run| run.by == *by);
    }

    fn end_where(&mut self, ends: impl Fn(&Run) -> bool) {
        let over: Vec<String> =
            self.open.iter().filter(|(_, run)| ends(run)).map(|(session, _)| session.clone()).collect();
        over.into_iter().for_each(|session| self.end(session));
    }

    fn end(&mut self, session: String) {
        if let Some(run) = self.open.remove(&*session) {
            self.ended(session, run.by);
        }
    }

    /// Remembers a run that is over.
    pub(super) fn ended(&mut self, session: String, by: Jid) {
        let is_own = |(_, other): &(String, Jid)| other.bare_str() == by.bare_str();
        let is_full = self.ended.iter().filter(|ended| is_own(ended)).count() >= ENDED_OF_ONE;
        let oldest = if is_full {
            self.ended.iter().position(is_own)
        } else {
            Some(0).filter(|_| self.ended.len() >= RUNS)
        };
        oldest.into_iter().for_each(|oldest| drop(self.ended.remove(oldest)));
        self.ended.push((session, by));
    }

    /// Takes out the run that this step is of.
    pub(super) fn take(&mut self, session: &str, by: &Jid, command: usize) -> Result<Run, StanzaError> {
        let run = self.open.get(session).filter(|run| run.by == *by && run.command == command);
        if run.is_some()
            && let Some(run) = self.open.remove(session)
        {
            return Ok(run);
        }
        let is_over = self.ended.iter().any(|(ended, of)| ended == session && of == by);
        Err(match is_over {
            true => Fault::SessionExpired.error("this run of the command is over"),
            false => Fault::BadSessionId.error("there is no such run of the command"),
        })
    }

    /// Keeps a run, under the name that it has already or a new one, if it is within its bounds. `Err`: it is over.
    pub(super) fn keep(
        &mut self,
        now: Instant,
        session: Option<String>,
        mut run: Run,
        id: &str,
    ) -> Result<String, StanzaError> {
        let bytes = run.bytes();
        let (count, own) = self.of(&run.by);
        let fits = own + bytes <= BYTES_OF_ONE && run.stages.len() <= STAGES;
        if !fits || count >= RUNS_OF_ONE {
            session.into_iter().for_each(|session| self.ended(session, run.by.clone()));
            return Err(match fits {
                true => StanzaError::new(
                    ErrorCondition::NotAllowed,
                    "other runs of yours wait for their next step",
                ),
                false => StanzaError::new(
                    ErrorCondition::ResourceConstraint,
                    "more than is kept has been asked and answered",
                ),
            });
        }
        while self.open.len() >= RUNS || self.bytes() + bytes > BYTES {
            let oldest =
                self.open.iter().min_by_key(|(_, run)| run.until).map(|(session, _)| session.clone());
            let Some(oldest) = oldest else { break };
            self.end(oldest);
        }
        let session = session.unwrap_or_else(|| {
            self.begun += 1;
            alloc::format!("{id}-{}-{}", now.as_nanos(), self.begun)
        });
        run.until = now + WAIT;
        self.open.insert(session.clone(), run);
        Ok(session)
    }
}
