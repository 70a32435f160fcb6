//! Ad-hoc commands (XEP-0050): those that this client carries out for others, and those of others that it runs.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::{String, ToString as _};
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use balcony_jid::{BareJid, Jid};
use balcony_machine::Instant;
use balcony_stanza::{ErrorCondition, IqType, Kind, Stanza, StanzaError};
use balcony_xep::commands::{Action, Actions, Level, NS, Note, Request, Response as Step, Status};
use balcony_xep::data_form::{self, DataForm, FormKind};
use balcony_xep::disco::{self, About, Identity, Item, Items, Query};

use super::{CallId, Callable, Context, Extension};
use crate::sorted::SortedMap;
use crate::{Iq, RequestError, RequestId, Response};

/// Runs that wait for their next step, in all; the oldest is forgotten for another.
const RUNS: usize = 64;
/// Runs of one account.
const RUNS_OF_ONE: usize = 4;
/// How long a run waits for its next step.
const WAIT: Duration = Duration::from_secs(600);

/// Ad-hoc commands: `command` offers one, as a closure, to those whom `allow` lets; as a [`Callable`] it lists and runs those of others.
///
/// Nobody is allowed anything unless it is said. The predicate is asked at every step, and whoever it refuses sees no commands at all. Who
/// asks is told by the server in whose name the request comes.
///
/// ```
/// use balcony_client::{CommandAnswer, Commands};
/// use balcony_xep::data_form::{DataForm, Field, FieldKind, FormKind};
///
/// let commands = Commands::new()
///     .allow(|account| account.as_str() == "juliet@example.com")
///     .command("greet", "Greet somebody", |asked| match asked.form {
///         None => CommandAnswer::Ask(
///             DataForm::new(FormKind::Form).with(Field::new(FieldKind::TextSingle, "name").required()),
///         ),
///         Some(form) => CommandAnswer::done(format!("Hello, {}!", form.value("name").unwrap_or_default())),
///     });
/// ```
pub struct Commands {
    offered: Vec<Offered>,
    allows: Box<dyn FnMut(&BareJid) -> bool + Send>,
    runs: SortedMap<String, Run>,
    /// What we have asked of others.
    open: SortedMap<RequestId, (CallId, Wanted)>,
    begun: u64,
}

struct Offered {
    node: Cow<'static, str>,
    name: Cow<'static, str>,
    run: Box<dyn FnMut(&CommandStep<'_>) -> CommandAnswer + Send>,
}

/// A run of a command that waits for its next step.
struct Run {
    command: usize,
    by: Jid,
    until: Instant,
    /// How many steps there were.
    step: usize,
    /// What was asked.
    form: DataForm<'static>,
}

enum Wanted {
    List(Jid),
    Step,
}

/// A step of a command that somebody runs.
#[derive(Debug)]
#[non_exhaustive]
pub struct CommandStep<'a> {
    /// Who runs it; allowed to.
    pub from: &'a Jid,
    /// How many steps of this run there were before.
    pub step: usize,
    /// The answers to the last form; `None` at the first step, unless the requester knows already what is asked.
    pub form: Option<&'a DataForm<'a>>,
}

/// What a command says to a step.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CommandAnswer {
    /// This is to be answered next. Answers that lack a field that is required do not reach the command.
    Ask(DataForm<'static>),
    /// It is carried out. What there is to say, to people and as a form of the kind [`Result`](FormKind::Result).
    Done {
        /// For people.
        note: Option<String>,
        /// What has come of it.
        form: Option<DataForm<'static>>,
    },
    /// It has failed, for this reason, in words for people.
    Failed(String),
    /// The answers make no sense, for this reason: they can be given again.
    Invalid(&'static str),
}

impl CommandAnswer {
    /// It is carried out, and this is to be said.
    #[must_use]
    pub fn done(note: impl Into<String>) -> CommandAnswer {
        CommandAnswer::Done { note: Some(note.into()), form: None }
    }
}

/// What to do with the commands of others.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum CommandCall {
    /// Lists those of this entity.
    List(Jid),
    /// Takes a step of one: the first, with [`Request::begin`], or the next, with [`Step::reply`].
    Step(Jid, Box<Request<'static>>),
}

/// What has come of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CommandOutcome {
    /// The commands: node, and name for people.
    Listed(Vec<(String, Option<String>)>),
    /// Where the command stands.
    Stepped(Box<Step<'static>>),
}

impl Default for Commands {
    fn default() -> Self {
        Commands::new()
    }
}

impl Commands {
    /// None are offered, to nobody.
    #[must_use]
    pub fn new() -> Commands {
        Commands {
            offered: Vec::new(),
            allows: Box::new(|_| false),
            runs: SortedMap::new(),
            open: SortedMap::new(),
            begun: 0,
        }
    }

    /// Says who may see and run the commands, by the bare address of who asks.
    #[must_use]
    pub fn allow(mut self, allows: impl FnMut(&BareJid) -> bool + Send + 'static) -> Commands {
        self.allows = Box::new(allows);
        self
    }

    /// Offers a command: its node, its name for people, and what to do at each step.
    #[must_use]
    pub fn command(
        mut self,
        node: impl Into<Cow<'static, str>>,
        name: impl Into<Cow<'static, str>>,
        run: impl FnMut(&CommandStep<'_>) -> CommandAnswer + Send + 'static,
    ) -> Commands {
        self.offered.push(Offered { node: node.into(), name: name.into(), run: Box::new(run) });
        self
    }

    fn allows(&mut self, from: &Jid) -> bool {
        (self.allows)(&from.to_bare())
    }

    fn place(&self, node: &str) -> Option<usize> {
        self.offered.iter().position(|offered| offered.node == node)
    }

    /// The answer to a question about the list of commands, or about one of them (section 2.2, 2.3).
    fn describe(
        &mut self,
        query: &Query<'_>,
        from: &Jid,
        own: &Jid,
    ) -> Result<balcony_xml::Element, StanzaError> {
        let node = query.node.as_deref().unwrap_or_default();
        let is_allowed = self.allows(from);
        let command = self.place(node).map(|place| &self.offered[place]).filter(|_| is_allowed);
        let info = |kind: &str, name: &str, features: &[&str]| {
            let identity = Identity::new("automation", kind).named(name);
            disco::info(Some(node), &[identity], features.iter().copied())
        };
        match (node, query.about, command) {
            (NS, About::Info, _) => Ok(info("command-list", "Commands", &[NS])),
            (NS, About::Items, _) => {
                let item = |offered: &Offered| Item {
                    jid: Cow::Owned(own.to_string()),
                    node: Some(offered.node.clone()),
                    name: Some(offered.name.clone()),
                };
                let items = self.offered.iter().filter(|_| is_allowed).map(item).collect();
                Ok(Items { node: Some(Cow::Borrowed(NS)), items }.to_element())
            }
            (_, About::Info, Some(command)) => Ok(info("command-node", &command.name, &[data_form::NS, NS])),
            (_, About::Items, Some(_)) => {
                Ok(Items { node: Some(Cow::Borrowed(node)), items: Vec::new() }.to_element())
            }
            (_, _, None) => Err(ErrorCondition::ItemNotFound.into()),
        }
    }

    /// One step of a run.
    fn step(
        &mut self,
        now: Instant,
        from: &Jid,
        request: &Request<'_>,
        id: String,
    ) -> Result<Step<'static>, StanzaError> {
        self.runs.retain(|_, run| run.until > now);
        let bad = |text| StanzaError::new(ErrorCondition::BadRequest, text);
        let place = self.place(&request.node);
        // Whoever may not run it does not learn whether it is there.
        let Some(place) = place.filter(|_| (self.allows)(&from.to_bare())) else {
            let condition =
                if place.is_some() { ErrorCondition::Forbidden } else { ErrorCondition::ItemNotFound };
            return Err(condition.into());
        };
        let run = match &request.session {
            None => None,
            Some(session) => {
                let is_own = |run: &Run| run.by == *from && run.command == place;
                let run = self.runs.get(&**session).filter(|run| is_own(run));
                Some(run.ok_or_else(|| bad("there is no such run of the command, or it is over"))?)
            }
        };
        let mut step = Step::new(request.node.clone().into_owned(), Status::Completed);
        step.session = request.session.clone().map(|session| Cow::Owned(session.into_owned()));
        match request.action {
            Action::Cancel => {
                if let Some(session) = &request.session {
                    self.runs.remove(&**session);
                }
                step.status = Status::Canceled;
                return Ok(step);
            }
            Action::Prev => return Err(bad("there is no way back in this command")),
            Action::Execute | Action::Next | Action::Complete => {}
        }
        // What is sent with an answer is an answer, whatever it is called (section 3.5.1).
        let form = request.form.as_ref().filter(|form| form.kind != FormKind::Form);
        if let Some(run) = run {
            let form = form.ok_or_else(|| bad("the form has to be answered"))?;
            if form.missing(&run.form).next().is_some() {
                return Err(bad("a field that is required is not answered"));
            }
        }
        let count = run.map_or(0, |run| run.step + 1);
        let answer = (self.offered[place].run)(&CommandStep { from, step: count, form });
        let over = |runs: &mut SortedMap<String, Run>| {
            if let Some(session) = &request.session {
                runs.remove(&**session);
            }
        };
        let note = |level, text: String| Note { level, text: Cow::Owned(text) };
        match answer {
            CommandAnswer::Ask(form) => {
                let session = match &request.session {
                    Some(session) => session.clone().into_owned(),
                    None => self.begin(now, from, id)?,
                };
                step.status = Status::Executing;
                step.session = Some(Cow::Owned(session.clone()));
                step.actions =
                    Some(Actions { execute: Some(Action::Next), next: true, ..Actions::default() });
                step.form = Some(form.clone());
                let run = Run { command: place, by: from.clone(), until: now + WAIT, step: count, form };
                self.runs.insert(session, run);
            }
            CommandAnswer::Done { note: text, form } => {
                over(&mut self.runs);
                step.notes.extend(text.map(|text| note(Level::Info, text)));
                step.form = form;
            }
            CommandAnswer::Failed(text) => {
                over(&mut self.runs);
                step.notes.push(note(Level::Error, text));
            }
            CommandAnswer::Invalid(text) => return Err(bad(text)),
        }
        Ok(step)
    }

    /// Makes room for one more run, and names it.
    fn begin(&mut self, now: Instant, from: &Jid, id: String) -> Result<String, StanzaError> {
        let own = self.runs.iter().filter(|(_, run)| run.by.bare_str() == from.bare_str());
        if own.count() >= RUNS_OF_ONE {
            return Err(StanzaError::new(
                ErrorCondition::NotAllowed,
                "other runs of yours wait for their next step",
            ));
        }
        if self.runs.len() >= RUNS {
            let oldest =
                self.runs.iter().min_by_key(|(_, run)| run.until).map(|(session, _)| session.clone());
            oldest.and_then(|oldest| self.runs.remove(&oldest));
        }
        self.begun += 1;
        Ok(alloc::format!("{id}-{}-{}", now.as_nanos(), self.begun))
    }
}

impl Extension for Commands {
    fn features(&self) -> Vec<Cow<'static, str>> {
        if self.offered.is_empty() { Vec::new() } else { vec![Cow::Borrowed(NS)] }
    }

    fn take(&mut self, context: &mut Context<'_>, stanza: &Stanza) -> bool {
        let Kind::Iq(kind @ (IqType::Get | IqType::Set)) = stanza.head.kind else { return false };
        if self.offered.is_empty() {
            return false;
        }
        let Ok(content) = stanza.payload.parse() else { return false };
        let Some(element) = content.root().children().next() else { return false };
        let own = context.jid().to_jid();
        let from = stanza.head.from.clone().unwrap_or_else(|| own.to_bare().to_jid());
        let answer = match kind {
            IqType::Get => match Query::read(element).filter(|query| query.node.is_some()) {
                Some(query) => self.describe(&query, &from, &own),
                None => return false,
            },
            _ if element.is("command", NS) => Request::read(element)
                .and_then(|request| self.step(context.now(), &from, &request, context.state.id().to_string()))
                .map(|step| step.to_element()),
            _ => return false,
        };
        let answer = match answer {
            Ok(element) => stanza.result().map(|result| result.child(element)),
            Err(error) => stanza.error(&error),
        };
        // There is room for an answer, or nothing would be shown.
        answer.is_none_or(|answer| context.send(answer).is_ok())
    }

    fn answered(
        &mut self,
        context: &mut Context<'_>,
        request: RequestId,
        outcome: Result<Response, RequestError>,
    ) {
        let Some((call, wanted)) = self.open.remove(&request) else { return };
        let outcome = outcome.and_then(|response| {
            let element = response.element().ok_or(RequestError::Unreadable)?;
            match &wanted {
                Wanted::List(of) => {
                    let items = Items::read(element).ok_or(RequestError::Unreadable)?.items.into_iter();
                    // Of somebody else it has nothing to tell (section 5).
                    let items = items.filter(|item| Jid::parse(&item.jid).is_ok_and(|jid| jid == *of));
                    let listed = items
                        .filter_map(|item| Some((item.node?.into_owned(), item.name.map(Cow::into_owned))));
                    Ok(CommandOutcome::Listed(listed.collect()))
                }
                Wanted::Step => {
                    let step = Step::read(element).ok_or(RequestError::Unreadable)?;
                    Ok(CommandOutcome::Stepped(Box::new(step.into_owned())))
                }
            }
        });
        context.complete::<Commands>(call, outcome);
    }

    fn offline(&mut self) {
        self.runs.clear();
    }
}

impl Callable for Commands {
    type Command = CommandCall;
    type Outcome = Result<CommandOutcome, RequestError>;

    fn call(&mut self, context: &mut Context<'_>, call: CallId, command: CommandCall) {
        let (iq, wanted) = match command {
            CommandCall::List(of) => {
                let query = Query { about: About::Items, node: Some(Cow::Borrowed(NS)) };
                (Iq::get(query.to_element()).to(of.clone()), Wanted::List(of))
            }
            CommandCall::Step(of, request) => (Iq::set(request.to_element()).to(of), Wanted::Step),
        };
        match context.request(iq) {
            Ok(request) => self.open.insert(request, (call, wanted)),
            Err(error) => context.complete::<Commands>(call, Err(error)),
        }
    }
}

impl fmt::Debug for Commands {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nodes: Vec<&str> = self.offered.iter().map(|offered| &*offered.node).collect();
        f.debug_struct("Commands")
            .field("offered", &nodes)
            .field("runs", &self.runs.len())
            .finish_non_exhaustive()
    }
}
