//! What a command is told of a step, and what it says to it.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

use balcony_jid::Jid;
use balcony_stanza::StanzaError;
use balcony_xep::commands::{Level, Note};
use balcony_xep::data_form::DataForm;

/// Who wants to see or run a command. The server vouches for the address.
#[derive(Clone, Copy, Debug)]
pub struct CommandAsker<'a> {
    pub(super) jid: &'a Jid,
    pub(super) groups: &'a [String],
    pub(super) is_own: bool,
}

impl CommandAsker<'_> {
    /// The address.
    #[must_use]
    pub fn jid(&self) -> &Jid {
        self.jid
    }

    /// Whether it is this account, given as a bare address.
    #[must_use]
    pub fn is(&self, account: &str) -> bool {
        self.jid.bare_str() == account
    }

    /// Whether it is the own account, from another of its clients.
    #[must_use]
    pub fn is_own(&self) -> bool {
        self.is_own
    }

    /// Whether it is a contact in this group of the own account's roster (RFC 6121 section 2.1.2.6). Nobody is without a [`Roster`](crate::Roster), or
    /// before that has come.
    #[must_use]
    pub fn is_in(&self, group: &str) -> bool {
        self.groups.iter().any(|own| own == group)
    }
}

/// A step of a command that somebody runs.
#[derive(Debug)]
#[non_exhaustive]
pub struct CommandStep<'a> {
    /// Who runs it; allowed to.
    pub asker: CommandAsker<'a>,
    /// The answers to all forms of this run so far, in their order: checked, and complete, since what was not answered has the value that the form
    /// had. None at the first step.
    pub answers: &'a [DataForm<'static>],
    /// Whether the asker wants to be done with what was answered so far, rather than be asked more.
    pub completes: bool,
    /// The language of the run, one of those that [`Commands::languages`](crate::Commands::languages) names.
    pub language: Option<&'a str>,
}

impl<'a> CommandStep<'a> {
    /// How many forms were answered.
    #[must_use]
    pub fn step(&self) -> usize {
        self.answers.len()
    }

    /// The answers to the last form; `None` at the first step.
    #[must_use]
    pub fn form(&self) -> Option<&'a DataForm<'static>> {
        self.answers.last()
    }

    /// The value of a field, in the last of the forms that has it.
    #[must_use]
    pub fn value(&self, var: &str) -> Option<&'a str> {
        self.answers.iter().rev().find_map(|form| form.field(var).map(|_| form.value(var)))?
    }

    /// Whether a field says yes, in the last of the forms that has it.
    #[must_use]
    pub fn flag(&self, var: &str) -> bool {
        self.answers.iter().rev().find(|form| form.field(var).is_some()).is_some_and(|form| form.flag(var))
    }
}

/// What a command says to a step.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CommandAnswer {
    /// This is to be answered. Answers that lack a field that is required, or are not what their field says, do not reach the command.
    ///
    /// Who runs it may go back to the form before, whose answers it still has; nothing need be done for that.
    Ask {
        /// The questions.
        form: DataForm<'static>,
        /// Whether something is asked after that, and whether it may be [completed](CommandStep::completes) with that. One of them at least;
        /// with neither it is completed.
        next: bool,
        /// See `next`.
        complete: bool,
        /// For people.
        notes: Vec<Note<'static>>,
    },
    /// It is carried out.
    Done {
        /// For people.
        notes: Vec<Note<'static>>,
        /// What has come of it, a form of the kind [`Result`](balcony_xep::data_form::FormKind::Result).
        form: Option<DataForm<'static>>,
    },
    /// It has failed, for this reason, in words for people.
    Failed(String),
    /// The answers make no sense, for this reason: they can be given again.
    Invalid(Cow<'static, str>),
    /// The step is answered with this error, with an element of an application's if need be. The run stays where it was.
    Error(StanzaError),
}

impl CommandAnswer {
    /// Asks, and goes on with the answers.
    #[must_use]
    pub fn ask(form: DataForm<'static>) -> CommandAnswer {
        CommandAnswer::Ask { form, next: true, complete: false, notes: Vec::new() }
    }

    /// Asks for the last time.
    #[must_use]
    pub fn ask_last(form: DataForm<'static>) -> CommandAnswer {
        CommandAnswer::Ask { form, next: false, complete: true, notes: Vec::new() }
    }

    /// What is asked may be the last, too.
    #[must_use]
    pub fn or_complete(mut self) -> CommandAnswer {
        if let CommandAnswer::Ask { complete, .. } = &mut self {
            *complete = true;
        }
        self
    }

    /// It is carried out, and this is to be said.
    #[must_use]
    pub fn done(note: impl Into<Cow<'static, str>>) -> CommandAnswer {
        CommandAnswer::Done { notes: Vec::new(), form: None }.noting(Level::Info, note)
    }

    /// It is carried out, and this has come of it.
    #[must_use]
    pub fn result(form: DataForm<'static>) -> CommandAnswer {
        CommandAnswer::Done { notes: Vec::new(), form: Some(form) }
    }

    /// Adds a note to questions, or to what has come of it.
    #[must_use]
    pub fn noting(mut self, level: Level, text: impl Into<Cow<'static, str>>) -> CommandAnswer {
        if let CommandAnswer::Ask { notes, .. } | CommandAnswer::Done { notes, .. } = &mut self {
            notes.push(Note::new(level, text));
        }
        self
    }
}
