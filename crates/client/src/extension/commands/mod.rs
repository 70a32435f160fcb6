//! Ad-hoc commands (XEP-0050): those that this client carries out for others, and those of others that it runs.

mod asked;
mod runs;
#[cfg(test)]
mod tests;

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::{String, ToString as _};
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

use balcony_jid::Jid;
use balcony_machine::Instant;
use balcony_stanza::{ErrorCondition, IqType, Kind, PresenceType, Stanza, StanzaError};
use balcony_xep::commands::{Action, Actions, Fault, Level, NS, Note, Request, Response as Step, Status};
use balcony_xep::data_form::{self, DataForm, Field, FormKind};
use balcony_xep::disco::{self, About, Identity, Item, Items, Query};
use balcony_xml::Element;

pub use asked::{CommandAnswer, CommandAsker, CommandStep};

use self::runs::{Run, Runs, Stage};
use super::{CallId, Callable, Context, Extension};
use crate::sorted::SortedMap;
use crate::{Iq, RequestError, RequestId, Response};

/// Of what is wrong with a form so much is told at once.
const TOLD: usize = 4;

/// Ad-hoc commands: `command` offers one, as a closure, to those whom `allow` lets; as a [`Callable`] it lists and runs those of others.
///
/// Nobody is allowed anything unless it is said. The predicate is asked at every step, and whoever it refuses sees no commands at all. Who
/// asks is told by the server in whose name the request comes. Beside a [`Roster`](crate::Roster), whoever is refused and may not
/// [see](Context::sender_sees) the client gets what the server would say if nobody were there, as of [`Discovery`](crate::Discovery).
///
/// ```
/// use balcony_client::{CommandAnswer, Commands};
/// use balcony_xep::data_form::{DataForm, Field, FieldKind, FormKind};
///
/// let commands = Commands::new()
///     .allow(|asker| asker.is("juliet@example.com") || asker.is_in("Family"))
///     .command("greet", "Greet somebody", |asked| match asked.value("name") {
///         None => CommandAnswer::ask_last(
///             DataForm::new(FormKind::Form).with(Field::new(FieldKind::TextSingle, "name").required()),
///         ),
///         Some(name) => CommandAnswer::done(format!("Hello, {name}!")),
///     });
/// ```
///
/// # Several steps
///
/// A command is a function of what was answered so far: to no answers it says the first question, to those of the first form the second
/// question or what has come of it. Each form may be gone [back](Action::Prev) from: the one before is shown again with what was answered to it, and
/// its new answers take the place of the old. Answers are [checked](DataForm::refusals) before the command sees them.
///
/// # Bounds
///
/// Of each account 4 runs wait for their next step, for ten minutes, with at most 64 KiB of forms and answers; of all together 64 runs and 512 KiB,
/// where the oldest is over for another. A run has at most 32 forms. It is over, too, when its asker goes offline.
pub struct Commands {
    offered: Vec<Offered>,
    allows: Allows,
    languages: Vec<Cow<'static, str>>,
    runs: Runs,
    /// What we have asked of others.
    open: SortedMap<RequestId, (CallId, Wanted)>,
}

type Allows = Box<dyn FnMut(&CommandAsker<'_>) -> bool + Send>;

struct Offered {
    node: Cow<'static, str>,
    name: Cow<'static, str>,
    /// Who of those that may see commands may run this one.
    allows: Option<Allows>,
    run: Box<dyn FnMut(&CommandStep<'_>) -> CommandAnswer + Send>,
}

enum Wanted {
    List(Jid),
    Step,
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
            languages: Vec::new(),
            runs: Runs::default(),
            open: SortedMap::new(),
        }
    }

    /// Says who may see and run the commands: this account, a group of the roster, or whatever else is known of who asks. A server may not
    /// pass on what others ask who can't see this client's presence: then they are refused before this is called, with
    /// `service-unavailable`.
    #[must_use]
    pub fn allow(mut self, allows: impl FnMut(&CommandAsker<'_>) -> bool + Send + 'static) -> Commands {
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
        self.offered.push(Offered { node: node.into(), name: name.into(), allows: None, run: Box::new(run) });
        self
    }

    /// Offers a command to some of those who may see commands, whom `allows` lets.
    #[must_use]
    pub fn command_for(
        self,
        allows: impl FnMut(&CommandAsker<'_>) -> bool + Send + 'static,
        node: impl Into<Cow<'static, str>>,
        name: impl Into<Cow<'static, str>>,
        run: impl FnMut(&CommandStep<'_>) -> CommandAnswer + Send + 'static,
    ) -> Commands {
        let mut commands = self.command(node, name, run);
        if let Some(offered) = commands.offered.last_mut() {
            offered.allows = Some(Box::new(allows));
        }
        commands
    }

    /// Says which languages the commands speak, such as `en` and `de`, the first to those who say nothing (section 3.7). Who asks for others is refused
    /// ([`Fault::BadLocale`]). Unless this is said everybody gets what there is.
    #[must_use]
    pub fn languages<T: Into<Cow<'static, str>>>(
        mut self,
        languages: impl IntoIterator<Item = T>,
    ) -> Commands {
        self.languages = languages.into_iter().map(Into::into).collect();
        self
    }

    /// The runs that wait for their next step: how many, and the bytes that are kept for them.
    #[must_use]
    pub fn waiting(&self) -> (usize, usize) {
        (self.runs.len(), self.runs.bytes())
    }

    fn place(&self, node: &str) -> Option<usize> {
        self.offered.iter().position(|offered| offered.node == node)
    }

    /// Whether somebody may see commands, and run the one of this place.
    fn allows(&mut self, asker: &CommandAsker<'_>, place: usize) -> bool {
        let is_offered = |offered: &mut Offered| offered.allows.as_mut().is_none_or(|allows| allows(asker));
        (self.allows)(asker) && self.offered.get_mut(place).is_some_and(is_offered)
    }

    /// The place of a command that may be run. To whom some are forbidden, what is not there looks as those do.
    fn find(&mut self, node: &str, asker: &CommandAsker<'_>) -> Result<usize, StanzaError> {
        match self.place(node) {
            Some(place) if self.allows(asker, place) => Ok(place),
            None if (0..self.offered.len()).all(|place| self.allows(asker, place)) => {
                Err(ErrorCondition::ItemNotFound.into())
            }
            _ => Err(ErrorCondition::Forbidden.into()),
        }
    }

    /// The answer to a question about the list of commands, or about one of them (section 2.2, 2.3).
    fn describe(
        &mut self,
        query: &Query<'_>,
        asker: &CommandAsker<'_>,
        own: &Jid,
    ) -> Result<Element, StanzaError> {
        let node = query.node.as_deref().unwrap_or_default();
        let info = |kind: &str, name: &str, features: &[&str]| {
            let identity = Identity::new("automation", kind).named(name);
            disco::info(Some(node), &[identity], features.iter().copied())
        };
        let items = |items| Items { node: query.node.clone(), items }.to_element();
        match (node, query.about) {
            (NS, About::Info) => Ok(info("command-list", "Commands", &[NS])),
            (NS, About::Items) => {
                let seen: Vec<usize> =
                    (0..self.offered.len()).filter(|place| self.allows(asker, *place)).collect();
                let item = |place: usize| Item {
                    jid: Cow::Owned(own.to_string()),
                    node: Some(self.offered[place].node.clone()),
                    name: Some(self.offered[place].name.clone()),
                };
                Ok(items(seen.into_iter().map(item).collect()))
            }
            (_, about) => {
                let place = self.find(node, asker)?;
                match about {
                    About::Info => Ok(info("command-node", &self.offered[place].name, &[data_form::NS, NS])),
                    About::Items => Ok(items(Vec::new())),
                }
            }
        }
    }

    /// One step of a run. `language`: of the stanza.
    fn step(
        &mut self,
        now: Instant,
        asker: &CommandAsker<'_>,
        request: &Request<'_>,
        language: Option<&str>,
        id: &str,
    ) -> Result<Step<'static>, StanzaError> {
        self.runs.expire(now);
        let place = self.find(&request.node, asker)?;
        let Some(session) = &request.session else {
            return self.begin(now, asker, place, request, language, id);
        };
        // What is taken out is put back, unless it is over.
        let run = self.runs.take(session, asker.jid, place)?;
        let session = session.clone().into_owned();
        if request.action == Action::Cancel {
            self.runs.ended(session.clone(), run.by);
            let step = Step::new(request.node.clone().into_owned(), Status::Canceled);
            return Ok(Step { session: Some(session.into()), ..step });
        }
        match self.go_on(asker, run, request) {
            (run, Ok(outcome)) => self.respond(now, run, Some(session), outcome, id),
            (run, Err(error)) => {
                self.runs.keep(now, Some(session), run, id)?;
                Err(error)
            }
        }
    }

    /// The first step.
    fn begin(
        &mut self,
        now: Instant,
        asker: &CommandAsker<'_>,
        place: usize,
        request: &Request<'_>,
        language: Option<&str>,
        id: &str,
    ) -> Result<Step<'static>, StanzaError> {
        match request.action {
            Action::Execute => {}
            Action::Cancel => return Ok(Step::new(request.node.clone().into_owned(), Status::Canceled)),
            _ => return Err(Fault::BadAction.error("a command begins with `execute`")),
        }
        let language = self.language(language.or(request.language.as_deref()))?;
        let mut run = Run::new(place, asker.jid.clone(), language);
        let (run, outcome) = match self.ask(asker, &run, false)? {
            // Whoever knows what is asked may answer with the first step.
            Outcome::Stage(stage, _) if submitted(request).is_some() => {
                run.stages.push(stage);
                let (run, outcome) = self.go_on(asker, run, request);
                (run, outcome?)
            }
            outcome => (run, outcome),
        };
        self.respond(now, run, None, outcome, id)
    }

    /// The next step of a run, with what it is then.
    fn go_on(
        &mut self,
        asker: &CommandAsker<'_>,
        mut run: Run,
        request: &Request<'_>,
    ) -> (Run, Result<Outcome, StanzaError>) {
        let Some(stage) = run.stages.last() else {
            return (run, Err(ErrorCondition::InternalServerError.into()));
        };
        let meant = match request.action {
            Action::Execute => stage.actions.execute.unwrap_or(Action::Next),
            action => action,
        };
        let may = match meant {
            Action::Prev => run.stages.len() > 1,
            Action::Next => stage.actions.next,
            Action::Complete => stage.actions.complete,
            Action::Execute | Action::Cancel => false,
        };
        if !may {
            return (run, Err(Fault::BadAction.error("this can't be done at this step")));
        }
        if meant == Action::Prev {
            run.stages.pop();
            let answers = run.answers.pop();
            let outcome = run.stages.pop().map(|Stage { form, actions }| {
                let form = match &answers {
                    Some(answers) => form.with_answers(answers),
                    None => form,
                };
                Outcome::Stage(Stage { form, actions }, Vec::new())
            });
            return (run, outcome.ok_or_else(|| ErrorCondition::InternalServerError.into()));
        }
        let nothing = DataForm::new(FormKind::Submit);
        let answers = match submitted(request) {
            Some(answers) => answers,
            None if stage.form.fields.iter().any(Field::is_question) => {
                return (run, Err(Fault::BadPayload.error("the form has to be answered")));
            }
            None => &nothing,
        };
        let refusals = stage.form.refusals(answers);
        if !refusals.is_empty() {
            let texts: Vec<String> = refusals.iter().take(TOLD).map(|refusal| refusal.to_string()).collect();
            return (run, Err(Fault::BadPayload.error(texts.join("; "))));
        }
        let filled = stage.form.filled(answers);
        run.answers.push(filled);
        let outcome = self.ask(asker, &run, meant == Action::Complete);
        if outcome.is_err() {
            run.answers.pop();
        }
        (run, outcome)
    }

    /// Asks the command what it says to the answers so far.
    fn ask(&mut self, asker: &CommandAsker<'_>, run: &Run, completes: bool) -> Result<Outcome, StanzaError> {
        let language = run.language.and_then(|place| self.languages.get(place)).map(|language| &**language);
        let step = CommandStep { asker: *asker, answers: &run.answers, completes, language };
        let Some(offered) = self.offered.get_mut(run.command) else {
            return Err(ErrorCondition::ItemNotFound.into());
        };
        let over = |notes, form| Ok(Outcome::Over(notes, form));
        match (offered.run)(&step) {
            CommandAnswer::Ask { form, next, complete, notes } => {
                let execute = if next { Action::Next } else { Action::Complete };
                let actions =
                    Actions { execute: Some(execute), prev: false, next, complete: complete || !next };
                Ok(Outcome::Stage(Stage { form, actions }, notes))
            }
            CommandAnswer::Done { notes, form } => over(notes, form),
            CommandAnswer::Failed(text) => over(vec![Note::new(Level::Error, text)], None),
            CommandAnswer::Invalid(text) => Err(Fault::BadPayload.error(text)),
            CommandAnswer::Error(error) => Err(error),
        }
    }

    /// What is answered to a step, and what is kept of its run.
    fn respond(
        &mut self,
        now: Instant,
        mut run: Run,
        session: Option<String>,
        outcome: Outcome,
        id: &str,
    ) -> Result<Step<'static>, StanzaError> {
        let node = self.offered.get(run.command).map(|offered| offered.node.clone()).unwrap_or_default();
        let language = run.language.and_then(|place| self.languages.get(place)).cloned();
        let step = Step { language, ..Step::new(node, Status::Completed) };
        match outcome {
            Outcome::Stage(stage, notes) => {
                let form = stage.form.clone();
                let actions = Actions { prev: !run.stages.is_empty(), ..stage.actions };
                run.stages.push(stage);
                let session = self.runs.keep(now, session, run, id)?;
                let (session, actions, form) = (Some(session.into()), Some(actions), Some(form));
                Ok(Step { status: Status::Executing, session, actions, notes, form, ..step })
            }
            Outcome::Over(notes, form) => {
                if let Some(session) = &session {
                    self.runs.ended(session.clone(), run.by);
                }
                Ok(Step { session: session.map(Cow::Owned), notes, form, ..step })
            }
        }
    }

    /// Which of the languages is meant.
    fn language(&self, wanted: Option<&str>) -> Result<Option<usize>, StanzaError> {
        let main = |language: &str| language.split('-').next().map(str::to_ascii_lowercase);
        let (Some(wanted), false) = (wanted.filter(|wanted| !wanted.is_empty()), self.languages.is_empty())
        else {
            return Ok(if self.languages.is_empty() { None } else { Some(0) });
        };
        let exact = self.languages.iter().position(|language| language.eq_ignore_ascii_case(wanted));
        let known =
            exact.or_else(|| self.languages.iter().position(|language| main(language) == main(wanted)));
        match known {
            Some(place) => Ok(Some(place)),
            None => Err(Fault::BadLocale.error(alloc::format!("only in: {}", self.languages.join(", ")))),
        }
    }
}

/// What a step comes to.
enum Outcome {
    /// This is to be answered, with notes.
    Stage(Stage, Vec<Note<'static>>),
    /// That was all.
    Over(Vec<Note<'static>>, Option<DataForm<'static>>),
}

/// What is sent as answers: a form that says it is cancelled is one, too, since only the action says so (section 3.5.1).
fn submitted<'r, 'a>(request: &'r Request<'a>) -> Option<&'r DataForm<'a>> {
    request.form.as_ref().filter(|form| matches!(form.kind, FormKind::Submit | FormKind::Cancel))
}

impl Extension for Commands {
    fn features(&self) -> Vec<Cow<'static, str>> {
        if self.offered.is_empty() { Vec::new() } else { vec![Cow::Borrowed(NS)] }
    }

    fn take(&mut self, context: &mut Context<'_>, stanza: &Stanza) -> bool {
        if self.offered.is_empty() {
            return false;
        }
        let kind = match (stanza.head.kind, &stanza.head.from) {
            (Kind::Iq(kind @ (IqType::Get | IqType::Set)), _) => kind,
            (Kind::Presence(PresenceType::Unavailable), Some(from)) => {
                self.runs.leave(from);
                return false;
            }
            _ => return false,
        };
        let Ok(content) = stanza.payload.parse() else { return false };
        let Some(element) = content.root().children().next() else { return false };
        let own = context.jid().to_jid();
        let from = stanza.head.from.clone().unwrap_or_else(|| own.to_bare().to_jid());
        let is_own = from.bare_str() == own.bare_str();
        let query = Query::read(element).filter(|query| kind == IqType::Get && query.node.is_some());
        if query.is_none() && !(kind == IqType::Set && element.is("command", NS)) {
            return false;
        }
        let (id, now) = (context.state.id(), context.now());
        let asker = CommandAsker { jid: &from, groups: context.sender_groups(), is_own };
        let answer = if context.sender_sees() == Some(false) && !(self.allows)(&asker) {
            // As if nobody were there (RFC 6121 section 8.5.3.2.3).
            Err(ErrorCondition::ServiceUnavailable.into())
        } else if let Some(query) = query {
            self.describe(&query, &asker, &own)
        } else {
            Request::read(element).and_then(|request| {
                let step = self.step(now, &asker, &request, stanza.head.lang.as_deref(), &id)?;
                Ok(step.to_element())
            })
        };
        let answer = match answer {
            Ok(element) => stanza.result().map(|result| result.with_child(element)),
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
