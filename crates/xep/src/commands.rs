//! Ad-hoc commands: what somebody can be told to do, in one step or several, with forms (XEP-0050).

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::vec::Vec;

use balcony_stanza::{ErrorCondition, StanzaError};
use balcony_xml::{Element, ElementRef, Name};

use crate::data_form::DataForm;

/// The namespace, which is also the feature, and the node under which commands are listed.
pub const NS: &str = "http://jabber.org/protocol/commands";

/// Notes in one response; others are passed over.
const NOTES: usize = 64;

/// What is to be done (section 3.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The usual: begin, or what the last response says.
    Execute,
    /// The stage before.
    Prev,
    /// The next stage.
    Next,
    /// Carry it out.
    Complete,
    /// Forget it.
    Cancel,
}

/// Where a command stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It needs another answer.
    Executing,
    /// It is over.
    Completed,
    /// It was cancelled.
    Canceled,
}

/// What a note is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// For information.
    Info,
    /// Something to look at.
    Warn,
    /// It has failed.
    Error,
}

/// Words for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note<'a> {
    /// What it is.
    pub level: Level,
    /// The words.
    pub text: Cow<'a, str>,
}

/// What may be done next. Cancelling always may.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Actions {
    /// Which of them [`Action::Execute`] means.
    pub execute: Option<Action>,
    /// The stage before.
    pub prev: bool,
    /// The next stage.
    pub next: bool,
    /// Carrying it out.
    pub complete: bool,
}

/// What is wrong with a step, beyond the condition of its error (section 4.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Such an action there is, but not now.
    BadAction,
    /// There is no such action.
    MalformedAction,
    /// The language can't be spoken.
    BadLocale,
    /// The form is missing, or its answers make no sense.
    BadPayload,
    /// There is no such run, or it is somebody else's.
    BadSessionId,
    /// That run is over.
    SessionExpired,
}

/// The content of an iq set: one step of a command (section 2.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// Which command.
    pub node: Cow<'a, str>,
    /// Which run of it; a step without one begins it.
    pub session: Option<Cow<'a, str>>,
    /// What to do.
    pub action: Action,
    /// The language of who asks, if the command says it (section 3.7).
    pub language: Option<Cow<'a, str>>,
    /// The answers.
    pub form: Option<DataForm<'a>>,
}

/// The content of the result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response<'a> {
    /// Which command.
    pub node: Cow<'a, str>,
    /// Which run of it.
    pub session: Option<Cow<'a, str>>,
    /// The language of its texts, if it says so (section 3.7).
    pub language: Option<Cow<'a, str>>,
    /// Where it stands.
    pub status: Status,
    /// What may be done next. Without any there is one stage: executing completes it.
    pub actions: Option<Actions>,
    /// Words for people.
    pub notes: Vec<Note<'a>>,
    /// The questions of the next stage, or what has come of it.
    pub form: Option<DataForm<'a>>,
}

const ACTIONS: [(Action, &str); 5] = [
    (Action::Execute, "execute"),
    (Action::Prev, "prev"),
    (Action::Next, "next"),
    (Action::Complete, "complete"),
    (Action::Cancel, "cancel"),
];
const FAULTS: [(Fault, &str); 6] = [
    (Fault::BadAction, "bad-action"),
    (Fault::MalformedAction, "malformed-action"),
    (Fault::BadLocale, "bad-locale"),
    (Fault::BadPayload, "bad-payload"),
    (Fault::BadSessionId, "bad-sessionid"),
    (Fault::SessionExpired, "session-expired"),
];
const STATUSES: [(Status, &str); 3] =
    [(Status::Executing, "executing"), (Status::Completed, "completed"), (Status::Canceled, "canceled")];
const LEVELS: [(Level, &str); 3] = [(Level::Info, "info"), (Level::Warn, "warn"), (Level::Error, "error")];

fn named<T: Copy>(known: &[(T, &str)], name: &str) -> Option<T> {
    known.iter().find(|(_, known)| *known == name).map(|(value, _)| *value)
}

impl<'a> Note<'a> {
    /// A note of this level.
    #[must_use]
    pub fn new(level: Level, text: impl Into<Cow<'a, str>>) -> Note<'a> {
        Note { level, text: text.into() }
    }
}

impl Fault {
    /// The error that says so: `not-allowed` for a run that is over, else `bad-request`, with these words for people.
    #[must_use]
    pub fn error(self, text: impl Into<Cow<'static, str>>) -> StanzaError {
        let condition = match self {
            Fault::SessionExpired => ErrorCondition::NotAllowed,
            _ => ErrorCondition::BadRequest,
        };
        let fault = Element::new(Name::from_static(FAULTS[self as usize].1), NS);
        StanzaError {
            text: Some(text.into()),
            application: Some(Box::new(fault)),
            ..StanzaError::from(condition)
        }
    }

    /// Reads it from an error; `None` if the error says no more than its condition.
    #[must_use]
    pub fn read(error: &StanzaError) -> Option<Fault> {
        let fault = error.application.as_ref()?.root();
        named(&FAULTS, fault.name()).filter(|_| fault.namespace() == NS)
    }
}

impl<'a> Request<'a> {
    /// The step that begins a command.
    #[must_use]
    pub fn begin(node: impl Into<Cow<'a, str>>) -> Request<'a> {
        Request { node: node.into(), session: None, action: Action::Execute, language: None, form: None }
    }

    /// Reads it. What a requester says of the status is passed over.
    ///
    /// # Errors
    ///
    /// `bad-request` if it is no command, names none, or wants something that is not known ([`Fault::MalformedAction`]).
    pub fn read(element: ElementRef<'a>) -> Result<Request<'a>, StanzaError> {
        let node = element.attr("node").filter(|_| element.is("command", NS));
        let node = node.ok_or_else(|| StanzaError::new(ErrorCondition::BadRequest, "no command is named"))?;
        let action = element.attr("action").map_or(Some(Action::Execute), |name| named(&ACTIONS, name));
        let action =
            action.ok_or_else(|| Fault::MalformedAction.error("this is not an action of a command"))?;
        Ok(Request {
            node: Cow::Borrowed(node),
            session: session(element),
            action,
            language: element.language().map(Cow::Borrowed),
            form: element.children().find_map(DataForm::read),
        })
    }

    /// Writes it.
    #[must_use]
    pub fn to_element(&self) -> Element {
        const ACTION: Name = Name::from_static("action");
        let mut command = command(&self.node, self.session.as_deref());
        command.push_attr(ACTION, ACTIONS[self.action as usize].1);
        if let Some(language) = &self.language {
            command.push_lang(language);
        }
        match &self.form {
            Some(form) => command.child(form.to_element()),
            None => command,
        }
    }
}

impl<'a> Response<'a> {
    /// A response that says no more than this.
    #[must_use]
    pub fn new(node: impl Into<Cow<'a, str>>, status: Status) -> Response<'a> {
        let (node, notes) = (node.into(), Vec::new());
        Response { node, session: None, language: None, status, actions: None, notes, form: None }
    }

    /// Reads it; `None` if the element is something else, or does not say where the command stands.
    #[must_use]
    pub fn read(element: ElementRef<'a>) -> Option<Response<'a>> {
        let node = element.attr("node").filter(|_| element.is("command", NS))?;
        let note = |note: ElementRef<'a>| Note {
            level: note.attr("type").and_then(|name| named(&LEVELS, name)).unwrap_or(Level::Info),
            text: note.text(),
        };
        let actions = |actions: ElementRef<'a>| Actions {
            execute: actions.attr("execute").and_then(|name| named(&ACTIONS, name)),
            prev: actions.child("prev", NS).is_some(),
            next: actions.child("next", NS).is_some(),
            complete: actions.child("complete", NS).is_some(),
        };
        Some(Response {
            node: Cow::Borrowed(node),
            session: session(element),
            language: element.language().map(Cow::Borrowed),
            status: named(&STATUSES, element.attr("status")?)?,
            actions: element.child("actions", NS).map(actions),
            notes: element.children().filter(|child| child.is("note", NS)).take(NOTES).map(note).collect(),
            form: element.children().find_map(DataForm::read),
        })
    }

    /// What the next step may be (section 3.4), [cancelling](Action::Cancel) included. Of a command that is over, nothing.
    #[must_use]
    pub fn allows(&self, action: Action) -> bool {
        let actions = self.actions.unwrap_or(Actions { complete: true, ..Actions::default() });
        let allowed = match action {
            Action::Cancel | Action::Execute => true,
            Action::Prev => actions.prev,
            Action::Next => actions.next,
            Action::Complete => actions.complete,
        };
        allowed && self.status == Status::Executing
    }

    /// What [`Action::Execute`] means now. It is `next` where actions are named and none of them as that one, and without any there is one
    /// stage, which it completes (section 3.4).
    #[must_use]
    pub fn execute_means(&self) -> Action {
        let Some(actions) = self.actions else { return Action::Complete };
        let named = actions
            .execute
            .filter(|action| !matches!(action, Action::Execute | Action::Cancel) && self.allows(*action));
        // Who sends actions without `next` has to say what else is meant, and not all do.
        let is_last = actions.complete && !actions.next;
        named.unwrap_or(if is_last { Action::Complete } else { Action::Next })
    }

    /// The next step: with the answers of [`DataForm::answer`].
    #[must_use]
    pub fn reply(&self, action: Action, form: Option<DataForm<'static>>) -> Request<'static> {
        let owned = |text: &Cow<'_, str>| Cow::Owned(text.clone().into_owned());
        Request {
            node: owned(&self.node),
            session: self.session.as_ref().map(owned),
            action,
            language: None,
            form,
        }
    }

    /// The same, and nobody else's.
    #[must_use]
    pub fn into_owned(self) -> Response<'static> {
        let owned = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        Response {
            node: owned(self.node),
            session: self.session.map(owned),
            language: self.language.map(owned),
            status: self.status,
            actions: self.actions,
            notes: self
                .notes
                .into_iter()
                .map(|note| Note { level: note.level, text: owned(note.text) })
                .collect(),
            form: self.form.map(DataForm::into_owned),
        }
    }

    /// Writes it.
    #[must_use]
    pub fn to_element(&self) -> Element {
        const STATUS: Name = Name::from_static("status");
        const NOTE: Name = Name::from_static("note");
        const TYPE: Name = Name::from_static("type");
        let mut command =
            command(&self.node, self.session.as_deref()).attr(STATUS, STATUSES[self.status as usize].1);
        if let Some(language) = &self.language {
            command.push_lang(language);
        }
        if let Some(actions) = &self.actions {
            command.push_child(actions.to_element().root());
        }
        for note in &self.notes {
            let level = LEVELS[note.level as usize].1;
            command.push_child(Element::new(NOTE, NS).attr(TYPE, level).text(&note.text).root());
        }
        match &self.form {
            Some(form) => command.child(form.to_element()),
            None => command,
        }
    }
}

impl Actions {
    fn to_element(self) -> Element {
        const NAME: Name = Name::from_static("actions");
        const EXECUTE: Name = Name::from_static("execute");
        let mut actions = Element::new(NAME, NS);
        if let Some(execute) = self.execute {
            actions.push_attr(EXECUTE, ACTIONS[execute as usize].1);
        }
        for (name, is_there) in [("prev", self.prev), ("next", self.next), ("complete", self.complete)] {
            if is_there {
                actions.push_child(Element::new(Name::from_static(name), NS).root());
            }
        }
        actions
    }
}

/// The run of a command. An empty one is none.
fn session(element: ElementRef<'_>) -> Option<Cow<'_, str>> {
    element.attr("sessionid").filter(|session| !session.is_empty()).map(Cow::Borrowed)
}

fn command(node: &str, session: Option<&str>) -> Element {
    const COMMAND: Name = Name::from_static("command");
    const NODE: Name = Name::from_static("node");
    const SESSION: Name = Name::from_static("sessionid");
    let command = Element::new(COMMAND, NS).attr(NODE, node);
    match session {
        Some(session) => command.attr(SESSION, session),
        None => command,
    }
}
