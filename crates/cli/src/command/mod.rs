//! `balcony command`: lists and runs what a device, a bot or a service can be told to do (XEP-0050).

mod answers;
mod print;
mod terminal;

use core::time::Duration;

use balcony_client::{RequestKind, RequestOutcome};
use balcony_jid::Jid;
use balcony_stanza::{ErrorCondition, Payload, Stanza, StanzaError};
use balcony_xep::commands::{Action, Fault, NS, Request, Response, Status};
use balcony_xep::data_form::DataForm;
use balcony_xep::disco::{About, Items, Query};
use serde::Serialize;
use tokio::time::Instant;

pub(crate) use self::answers::FieldValue;
use self::answers::Given;
use self::terminal::{Reply, Terminal};
use crate::args::CommandArgs;
use crate::columns;
use crate::connect::{Connector, runtime};
use crate::failure::Failure;
use crate::message::explained;
use crate::output::{self, note};
use crate::presence::onlooker;
use crate::session::{Session, ended};

/// How long the other side may take for one step.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long it may take to be told that a command is given up, and how long a whole command may take that is run without anybody who reads along.
const SOON: Duration = Duration::from_secs(5);
const PATIENCE_IN_ALL: Duration = Duration::from_secs(600);
/// Clients of an account that are asked which of them has commands.
const ASKED: usize = 8;
/// Steps of a command in a row for which nobody has typed anything. One that asks for ever ends.
const STEPS: usize = 64;

/// What can be told.
#[derive(Debug, Serialize)]
struct Offered {
    node: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
}

/// One side of a conversation about a command.
struct Conversation<'a> {
    session: &'a mut Session,
    device: Jid,
}

pub(crate) fn run(args: CommandArgs) -> Result<(), Failure> {
    let connector = Connector::of_client(args.account, args.connect)?;
    let mut given = Given::new(&args.fields);
    let terminal = Terminal::find().filter(|_| !args.json);
    runtime()?.block_on(Session::run(&connector, async |session| {
        let device = find(session, &args.device).await?;
        let mut conversation = Conversation { session, device };
        match &args.node {
            None => conversation.list(args.json).await,
            Some(node) => conversation.command(node.as_str(), &mut given, terminal, args.json).await,
        }
    }))
}

/// The address that commands are sent to: of an account, that of its client which has some.
async fn find(session: &mut Session, device: &Jid) -> Result<Jid, Failure> {
    if device.localpart().is_none() || device.resourcepart().is_some() {
        return Ok(device.clone());
    }
    session.load().await?;
    session.send(&onlooker().to_stanza()).await?;
    session.settle_everywhere().await?;
    let own = session.jid().resourcepart().to_owned();
    let is_own_account = device.bare_str() == session.jid().bare_str();
    let bare = device.to_bare();
    let resources = session.contacts.resources(&bare).map(|(resource, _)| resource);
    let is_there = |resource: &&str| !resource.is_empty() && (!is_own_account || **resource != *own);
    let resources = resources.filter(is_there);
    let mut there: Vec<Jid> =
        resources.filter_map(|resource| format!("{bare}/{resource}").parse().ok()).collect();
    match &*there {
        [] => {
            return Err(Failure::new(format!(
                "{device} is not online for {}: `balcony roster add` makes a contact of it; a whole address, with its resource, is asked in any case, but servers may pass requests on between contacts only, as Balcony does",
                session.jid().to_bare()
            )));
        }
        [one] => return Ok(one.clone()),
        _ => {}
    }
    let mut with_commands = Vec::new();
    there.truncate(ASKED);
    for jid in &there {
        let listed = Conversation { session, device: jid.clone() }.listed().await;
        if listed.is_ok_and(|listed| !listed.is_empty()) {
            with_commands.push(jid.clone());
        }
    }
    match &*with_commands {
        [one] => Ok(one.clone()),
        several => {
            let of = if several.is_empty() { &there } else { several };
            let names: Vec<_> = of.iter().map(ToString::to_string).collect();
            Err(Failure::new(format!("{device} is there several times; name one of: {}", names.join(", "))))
        }
    }
}

impl Conversation<'_> {
    async fn ask(
        &mut self,
        kind: RequestKind,
        payload: Payload,
    ) -> Result<Result<Stanza, StanzaError>, Failure> {
        let to = Some(self.device.clone());
        match self.session.client.request(kind, to, payload, PATIENCE).await.map_err(ended)? {
            RequestOutcome::Result(result) => Ok(Ok(result)),
            RequestOutcome::Error(error) => Ok(Err(error)),
            RequestOutcome::TimedOut | RequestOutcome::Lost => {
                Err(Failure::silence(format!("{} does not answer", self.device)))
            }
        }
    }

    /// What it offers to this account, in its order.
    async fn listed(&mut self) -> Result<Vec<Offered>, Failure> {
        let query = Query { about: About::Items, node: Some(NS.into()) };
        let result = self.ask(RequestKind::Get, query.to_element().into()).await?;
        let result = result.map_err(|error| match is_unknown(&error) {
            true => Failure::new(format!("{} offers no commands", self.device)),
            false => self.refused(&error),
        })?;
        let content = result.payload.parse().ok();
        let items = content.as_ref().and_then(|content| content.root().children().find_map(Items::read));
        let items = items.ok_or_else(|| self.unreadable())?.items.into_iter();
        // Commands of others it has nothing to tell of (XEP-0050 section 5).
        let own = items.filter(|item| Jid::parse(&item.jid).is_ok_and(|jid| jid == self.device));
        let offered = own.filter_map(|item| {
            Some(Offered { node: item.node?.into_owned(), name: item.name.map(|name| name.into_owned()) })
        });
        Ok(offered.collect())
    }

    async fn list(&mut self, json: bool) -> Result<(), Failure> {
        let offered = self.listed().await?;
        let row = |command: &Offered| [command.node.clone(), command.name.clone().unwrap_or_default()];
        let lines = match json {
            true => offered.iter().map(output::json).collect::<Result<Vec<_>, _>>()?,
            false => columns::lines(&offered.iter().map(row).collect::<Vec<_>>()),
        };
        lines.iter().try_for_each(|line| output::print(line))?;
        if offered.is_empty() {
            note(&format!("{} has no commands for this account", self.device));
        }
        Ok(())
    }

    /// Runs a command to its end.
    async fn command(
        &mut self,
        node: &str,
        given: &mut Given,
        mut terminal: Option<Terminal>,
        json: bool,
    ) -> Result<(), Failure> {
        let began = Instant::now();
        let begun = self.step(&Request::begin(node)).await?;
        let mut step = begun.map_err(|error| self.refused_at_first(&error))?;
        let mut steps = 0;
        while step.status == Status::Executing {
            steps += 1;
            print::notes_so_far(&step);
            let answered = match &mut terminal {
                _ if steps > STEPS => Err(Failure::new(format!("the command has asked {STEPS} times"))),
                None if began.elapsed() > PATIENCE_IN_ALL => {
                    Err(Failure::silence(format!("the command is not done after {PATIENCE_IN_ALL:?}")))
                }
                Some(terminal) => {
                    let typed = terminal.typed();
                    let answered = terminal.answer(self.session, &step, given).await;
                    steps = if terminal.typed() > typed { 0 } else { steps };
                    answered
                }
                None => given.answer(&step),
            };
            let (action, form) = match answered {
                Ok(Reply { action, form }) => (action, form),
                Err(failure) => {
                    self.give_up(&step).await;
                    return Err(failure);
                }
            };
            step = match (self.step(&step.reply(action, form.clone())).await?, &mut terminal) {
                (Ok(next), _) => next,
                (Err(error), Some(_)) if Fault::read(&error) == Some(Fault::BadPayload) => {
                    note(&refusal(&error));
                    given.clear();
                    // What was answered need not be answered again.
                    let answers = form.unwrap_or(DataForm::new(balcony_xep::data_form::FormKind::Submit));
                    Response {
                        notes: Vec::new(),
                        form: step.form.map(|form| form.with_answers(&answers)),
                        ..step
                    }
                }
                (Err(error), _) => {
                    self.give_up(&step).await;
                    return Err(self.refused(&error));
                }
            };
        }
        given.warn();
        print::outcome(&step, json)?;
        match step.status {
            Status::Canceled => Err(Failure::new("the command is cancelled")),
            _ if print::has_failed(&step) => {
                Err(Failure::new(if json { "" } else { "the command has failed" }))
            }
            _ => Ok(()),
        }
    }

    /// Takes one step.
    async fn step(
        &mut self,
        request: &Request<'_>,
    ) -> Result<Result<Response<'static>, StanzaError>, Failure> {
        self.session.doubt = Some("the command may or may not have been carried out");
        let answer = self.ask(RequestKind::Set, request.to_element().into()).await?;
        let step = match answer {
            Ok(result) => {
                let content = result.payload.parse().ok();
                let step =
                    content.as_ref().and_then(|content| content.root().children().find_map(Response::read));
                Ok(step.map(Response::into_owned).ok_or_else(|| self.unreadable())?)
            }
            Err(error) => Err(error),
        };
        // What has come can be read, and says what has been done.
        self.session.doubt = None;
        Ok(step)
    }

    /// Ends a run that waits for an answer. Nothing of it was carried out, whether the other side hears of the end or not.
    async fn give_up(&mut self, step: &Response<'_>) {
        let _ = tokio::time::timeout(SOON, self.step(&step.reply(Action::Cancel, None))).await;
        self.session.doubt = None;
    }

    fn unreadable(&self) -> Failure {
        Failure::new(format!("what {} answers is no answer to this", self.device))
    }

    fn refused(&self, error: &StanzaError) -> Failure {
        Failure::new(format!("{}: {}", self.device, refusal(error)))
    }

    /// The same of the first step, where it is the command that is not found.
    fn refused_at_first(&self, error: &StanzaError) -> Failure {
        if is_unknown(error) {
            return Failure::new(format!(
                "{} has no such command; without one `balcony command` lists those that it has",
                self.device
            ));
        }
        self.refused(error)
    }
}

/// Whether what was asked for is not found, and no more is said of it: the commands, or one of them.
fn is_unknown(error: &StanzaError) -> bool {
    error.condition == ErrorCondition::ItemNotFound && error.text.is_none()
}

/// Why a step was refused, in the other side's words if it has some.
fn refusal(error: &StanzaError) -> String {
    match (&error.text, Fault::read(error)) {
        (Some(text), _) => text.to_string(),
        (None, Some(Fault::BadPayload)) => "the answers were refused, for no reason given".into(),
        (None, Some(Fault::SessionExpired)) => "it has waited too long for an answer; begin again".into(),
        (None, Some(Fault::BadLocale)) => "it does not speak this language".into(),
        (None, _) => explained(error),
    }
}
