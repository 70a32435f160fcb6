//! Ad-hoc commands between two clients of a server (XEP-0050): who may, in which steps, and what becomes of runs.
#![allow(clippy::unwrap_used, reason = "tests")]

use core::time::Duration;
use std::sync::{Arc, Mutex};

use balcony_client::{
    AgentEvent, CommandAnswer, CommandCall, CommandOutcome, CommandStep, Commands, Discovery, Iq,
    RequestError, Roster,
};
use balcony_jid::Jid;
use balcony_sim::{Accounts, Chunks, ClientId, Simulation, World};
use balcony_stanza::{ErrorCondition, PresenceType, Stanza, StanzaError};
use balcony_xep::commands::{Action, Actions, Fault, Level, NS, Request, Response, Status};
use balcony_xep::data_form::{DataForm, Field, FieldKind, FormKind};
use balcony_xep::disco::{About, Info, Items, Query};
use balcony_xep::validation::Validation;
use balcony_xml::{Element, Name};

const BOT: &str = "romeo@example.com/bot";

struct Stage {
    simulation: Simulation,
    juliet: ClientId,
    /// Who is allowed.
    allowed: Arc<Mutex<Vec<&'static str>>>,
}

fn question() -> DataForm<'static> {
    DataForm::new(FormKind::Form)
        .with(Field::hidden("FORM_TYPE", "urn:example:greet"))
        .with(Field::new(FieldKind::TextSingle, "name").required())
}

/// An error with an element of an application's.
fn conflict() -> StanzaError {
    let own = Element::new(Name::from_static("quarrel"), "urn:example:verona");
    StanzaError { application: Some(Box::new(own)), ..ErrorCondition::Conflict.into() }
}

/// When, then for how long, and then nothing is left to be asked.
fn schedule(asked: &CommandStep<'_>) -> CommandAnswer {
    let form = || DataForm::new(FormKind::Form);
    match asked.step() {
        0 => {
            let time = Validation::of("xs:time").between("06:00:00", "22:00:00");
            CommandAnswer::ask(
                form().with(
                    Field::new(FieldKind::TextSingle, "at").labelled("When").required().validated(time),
                ),
            )
            .or_complete()
        }
        1 if !asked.completes => {
            let minutes = Validation::of("xs:integer").between("1", "60");
            let minutes = Field::new(FieldKind::TextSingle, "minutes").valued("10").validated(minutes);
            CommandAnswer::ask(form().with(minutes)).noting(Level::Warn, "not too long")
        }
        2 if !asked.completes => CommandAnswer::ask_last(form().with(Field::words("Shall it be so?"))),
        _ => CommandAnswer::done(format!(
            "at {} for {} minutes",
            asked.value("at").unwrap_or_default(),
            asked.value("minutes").unwrap_or("some")
        )),
    }
}

fn commands(allowed: Arc<Mutex<Vec<&'static str>>>) -> Commands {
    Commands::new()
        .allow(move |asker| {
            allowed.lock().unwrap().iter().any(|account| asker.is(account)) || asker.is_in("Family")
        })
        .command("ping", "At once", |_| CommandAnswer::done("pong"))
        .command("fail", "Never", |_| CommandAnswer::Failed("it is broken".into()))
        .command("greet", "Greet somebody", |asked| match asked.value("name") {
            None => CommandAnswer::ask(question()),
            Some("nobody") => CommandAnswer::Invalid("nobody is nobody".into()),
            Some("tybalt") => CommandAnswer::Error(conflict()),
            Some(name) => CommandAnswer::done(format!("{}: {name}", asked.step())),
        })
        .command_for(|asker| asker.is("juliet@example.com"), "schedule", "Switch at a time", schedule)
        .command("large", "Much text", |asked| {
            let letters = asked.form().map_or(0, |form| form.value("text").unwrap_or_default().len());
            CommandAnswer::ask(DataForm::new(FormKind::Form).with(Field::new(FieldKind::TextSingle, "text")))
                .noting(Level::Info, format!("{letters} letters"))
        })
}

impl Stage {
    /// Whether the commands stand before the rest of what the bot says of itself.
    fn new(first: bool) -> Stage {
        let accounts = Accounts::new().with("romeo@example.com", "r").with("juliet@example.com", "j");
        let accounts = accounts.with("tybalt@example.com", "t");
        let mut simulation = Simulation::new(World::new(accounts, Chunks::Whole, 5, |_| {}));
        let allowed = Arc::new(Mutex::new(vec!["juliet@example.com"]));
        let (commands, discovery) = (commands(Arc::clone(&allowed)), Discovery::new("Bot", "1"));
        let roster = Roster::new();
        let config = simulation.config(BOT, "r");
        // Requests reach only who lets their sender see its presence.
        fn show<X: balcony_client::Extensions>(agent: &mut balcony_client::Agent<X>, event: AgentEvent) {
            if let AgentEvent::Online(_) = event {
                for to in ["juliet@example.com", "tybalt@example.com"] {
                    agent
                        .send(Stanza::presence(PresenceType::Available).with_to(to.parse().unwrap()))
                        .unwrap();
                }
            }
        }
        if first {
            simulation.bot(config, (commands, discovery, roster), |agent, _, event| show(agent, event));
        } else {
            simulation.bot(config, (roster, discovery, commands), |agent, _, event| show(agent, event));
        }
        let juliet = simulation.client("juliet@example.com/balcony", "j");
        Stage { simulation, juliet, allowed }
    }

    fn ask(&mut self, of: ClientId, iq: Iq) -> Result<balcony_client::Response, RequestError> {
        let call = self.simulation.request(of, iq.to(BOT.parse().unwrap())).unwrap();
        self.simulation.outcome(of, call).expect("an answer")
    }

    fn step(&mut self, by: ClientId, request: &Request<'_>) -> Result<Response<'static>, ErrorCondition> {
        self.try_step(by, request).map_err(|error| error.condition)
    }

    fn try_step(&mut self, by: ClientId, request: &Request<'_>) -> Result<Response<'static>, StanzaError> {
        match self.ask(by, Iq::set(request.to_element())) {
            Ok(response) => Ok(Response::read(response.element().unwrap()).unwrap().into_owned()),
            Err(RequestError::Refused(error)) => Err(error),
            Err(other) => panic!("{other}"),
        }
    }

    /// What is wrong with a step, and the words for it.
    fn fault(&mut self, by: ClientId, request: &Request<'_>) -> (Option<Fault>, String) {
        let error = self.try_step(by, request).expect_err("an error");
        let expired = Fault::read(&error) == Some(Fault::SessionExpired);
        let condition = if expired { ErrorCondition::NotAllowed } else { ErrorCondition::BadRequest };
        assert_eq!(error.condition, condition, "{error}");
        (Fault::read(&error), error.text.unwrap_or_default().into_owned())
    }

    fn listed(&mut self, by: ClientId) -> Vec<String> {
        let query = Query { about: About::Items, node: Some(NS.into()) };
        let response = self.ask(by, Iq::get(query.to_element())).unwrap();
        let items = Items::read(response.element().unwrap()).unwrap().items;
        items.into_iter().map(|item| item.node.unwrap().into_owned()).collect()
    }
}

// XEP-0004 2.13.2 §6 [DF32]; XEP-0050 1.3.0 §1.3 [AH39], §2.2 [AH1] [AH2] [AH3] [AH5], §3.2 [AH7], §2.4 [AH9] [AH10] [AH12], §3.3 [AH15], §3.6 [AH30], §4.4 [AH29] [AH34]
#[test]
fn a_command_is_listed_and_run() {
    for first in [true, false] {
        let mut stage = Stage::new(first);
        let juliet = stage.juliet;
        assert_eq!(stage.listed(juliet), ["ping", "fail", "greet", "schedule", "large"]);
        for (node, feature) in [(None, NS), (Some("greet"), "jabber:x:data")] {
            let query = Query { about: About::Info, node: node.map(Into::into) };
            let response = stage.ask(juliet, Iq::get(query.to_element())).unwrap();
            let info = Info::read(response.element().unwrap()).unwrap();
            assert!(info.has(feature), "{node:?}");
            // That feature would say that forms are understood in messages.
            assert_eq!(info.has("jabber:x:data"), node.is_some());
        }

        let done = stage.step(juliet, &Request::begin("ping")).unwrap();
        assert_eq!((done.status, &*done.notes[0].text), (Status::Completed, "pong"));
        let failed = stage.step(juliet, &Request::begin("fail")).unwrap();
        assert_eq!(failed.notes[0].level, balcony_xep::commands::Level::Error);
        for unknown in ["dance", "Ping", "ping "] {
            assert_eq!(stage.step(juliet, &Request::begin(unknown)), Err(ErrorCondition::ItemNotFound));
        }

        let asked = stage.step(juliet, &Request::begin("greet")).unwrap();
        assert_eq!(asked.status, Status::Executing);
        let form = asked.form.clone().unwrap();
        // What is wrong can be answered again.
        let empty = asked.reply(Action::Execute, Some(form.answer()));
        assert_eq!(stage.step(juliet, &empty), Err(ErrorCondition::BadRequest));
        let wrong = asked.reply(Action::Next, Some(form.answer().set("name", ["nobody"])));
        assert_eq!(stage.step(juliet, &wrong), Err(ErrorCondition::BadRequest));
        let right = asked.reply(Action::Execute, Some(form.answer().set("name", ["Romeo"])));
        let done = stage.step(juliet, &right).unwrap();
        assert_eq!((done.status, &*done.notes[0].text), (Status::Completed, "1: Romeo"));
        assert_eq!(stage.fault(juliet, &right).0, Some(Fault::SessionExpired), "it is over");
    }
}

// XEP-0050 1.3.0 §3.3 [AH13], §4.4 [AH34], [AH37] [AH38]: only who may, at every step, only one's own runs, and not too many
#[test]
fn only_who_is_allowed() {
    let mut stage = Stage::new(true);
    let juliet = stage.juliet;
    let tybalt = stage.simulation.client("tybalt@example.com/sword", "t");
    assert!(stage.listed(tybalt).is_empty());
    assert_eq!(stage.step(tybalt, &Request::begin("ping")), Err(ErrorCondition::Forbidden));

    let asked = stage.step(juliet, &Request::begin("greet")).unwrap();
    let answer = asked.form.clone().unwrap().answer().set("name", ["Romeo"]);
    let right = asked.reply(Action::Execute, Some(answer));
    stage.allowed.lock().unwrap().push("tybalt@example.com");
    assert_eq!(stage.step(tybalt, &right), Err(ErrorCondition::BadRequest));
    stage.allowed.lock().unwrap().retain(|one| *one != "juliet@example.com");
    assert_eq!(stage.step(juliet, &right), Err(ErrorCondition::Forbidden));
    stage.allowed.lock().unwrap().push("juliet@example.com");
    for _ in 0..3 {
        assert!(stage.step(juliet, &Request::begin("greet")).is_ok());
    }
    assert_eq!(stage.step(juliet, &Request::begin("greet")), Err(ErrorCondition::NotAllowed));
    // [AH19], XEP-0004 [DF33]: cancelled, and gone; and what waits too long is gone as well
    let cancelled = stage.step(juliet, &asked.reply(Action::Cancel, None)).unwrap();
    assert_eq!((cancelled.status, cancelled.session), (Status::Canceled, asked.session.clone()));
    assert_eq!(stage.fault(juliet, &right).0, Some(Fault::SessionExpired));
    let asked = stage.step(juliet, &Request::begin("greet")).unwrap();
    stage.simulation.wait(Duration::from_secs(601));
    let late = asked.reply(Action::Execute, right.form.clone());
    assert_eq!(stage.fault(juliet, &late).0, Some(Fault::SessionExpired));
    assert_eq!(stage.fault(tybalt, &late).0, Some(Fault::BadSessionId), "it was never his");
}

/// An answer to the form of a step.
fn answer(step: &Response<'_>, action: Action, var: &str, value: &str) -> Request<'static> {
    step.reply(action, Some(step.form.as_ref().unwrap().answer().set(var, [value.to_owned()])))
}

// XEP-0004 2.13.2 §3, §3.1 [DF1] [DF5]; XEP-0050 1.3.0 §2.4.2 [AH10] [AH26], §3.4 [AH18] [AH21] [AH22], §3.6, §4.3 [AH31]: forth, back, and forth again
#[test]
fn several_steps() {
    let mut stage = Stage::new(true);
    let juliet = stage.juliet;
    let when = stage.step(juliet, &Request::begin("schedule")).unwrap();
    let first = Actions { execute: Some(Action::Next), prev: false, next: true, complete: true };
    assert_eq!(when.actions, Some(first));
    let long = stage.step(juliet, &answer(&when, Action::Next, "at", "07:30:00")).unwrap();
    assert_eq!((long.session.clone(), long.notes[0].level), (when.session.clone(), Level::Warn));
    assert_eq!(long.actions, Some(Actions { prev: true, complete: false, ..first }));

    // Back: what was answered is there, and what is sent along is not looked at.
    let again = stage.step(juliet, &answer(&long, Action::Prev, "minutes", "99")).unwrap();
    assert_eq!(
        (again.status, again.form.as_ref().unwrap().value("at")),
        (Status::Executing, Some("07:30:00"))
    );
    assert_eq!(again.actions, Some(first));
    let long = stage.step(juliet, &answer(&again, Action::Execute, "at", "08:00:00")).unwrap();
    let sure = stage.step(juliet, &answer(&long, Action::Execute, "minutes", "5")).unwrap();
    let last = Actions { execute: Some(Action::Complete), prev: true, next: false, complete: true };
    assert_eq!(sure.actions, Some(last));
    // Where nothing is asked nothing need be answered.
    let done = stage.step(juliet, &sure.reply(Action::Complete, None)).unwrap();
    assert_eq!((done.status, &*done.notes[0].text), (Status::Completed, "at 08:00:00 for 5 minutes"));

    // Whoever has said enough completes.
    let when = stage.step(juliet, &Request::begin("schedule")).unwrap();
    let done = stage.step(juliet, &answer(&when, Action::Complete, "at", "09:00:00")).unwrap();
    assert_eq!(&*done.notes[0].text, "at 09:00:00 for some minutes");
    // And whoever knows what is asked says it at once; a form that is called cancelled is an answer, too ([AH27]).
    let mut knows = Request::begin("schedule");
    let form = DataForm { kind: FormKind::Cancel, ..when.form.clone().unwrap().answer() };
    knows.form = Some(form.set("at", ["10:00:00"]));
    let long = stage.step(juliet, &knows).unwrap();
    assert!(long.form.unwrap().field("minutes").is_some());
}

// XEP-0050 1.3.0 §4.4 [AH16] [AH25] [AH29], §3.5 [AH28]; XEP-0122 1.0.2 §4.4 [FV12]; XEP-0004 2.13.2 §4 [DF31]: each fault has its name, and the run goes on
#[test]
fn faults_have_names() {
    let mut stage = Stage::new(true);
    let juliet = stage.juliet;
    let when = stage.step(juliet, &Request::begin("schedule")).unwrap();
    for (request, fault, words) in [
        (answer(&when, Action::Prev, "at", "07:00:00"), Fault::BadAction, "this step"),
        (Request { action: Action::Next, ..Request::begin("schedule") }, Fault::BadAction, "begins"),
        (when.reply(Action::Next, None), Fault::BadPayload, "has to be answered"),
        (answer(&when, Action::Next, "at", ""), Fault::BadPayload, "When: it has to be answered"),
        (answer(&when, Action::Next, "at", "noon"), Fault::BadPayload, "When: `noon` is no time (23:08:25)"),
        (
            answer(&when, Action::Next, "at", "23:00:00"),
            Fault::BadPayload,
            "When: `23:00:00` is more than 22:00:00",
        ),
        (
            Request { session: Some("x".into()), ..Request::begin("schedule") },
            Fault::BadSessionId,
            "no such run",
        ),
        (
            Request { node: "greet".into(), ..when.reply(Action::Next, None) },
            Fault::BadSessionId,
            "no such run",
        ),
    ] {
        let (found, text) = stage.fault(juliet, &request);
        assert!(found == Some(fault) && text.contains(words), "{request:?}: {found:?} {text}");
    }
    let command = Request::begin("schedule").to_element();
    let dance = Element::parse(
        command.to_xml().replace("'execute'", "'dance'").as_bytes(),
        balcony_machine::XmlLimits::STANZA,
    );
    let Err(RequestError::Refused(error)) = stage.ask(juliet, Iq::set(dance.unwrap())) else {
        panic!("an error")
    };
    assert_eq!(
        (error.condition, Fault::read(&error)),
        (ErrorCondition::BadRequest, Some(Fault::MalformedAction))
    );
    assert!(
        stage.step(juliet, &answer(&when, Action::Next, "at", "07:00:00")).is_ok(),
        "the run has gone on"
    );

    // What the command itself says against an answer.
    let asked = stage.step(juliet, &Request::begin("greet")).unwrap();
    assert_eq!(
        stage.fault(juliet, &answer(&asked, Action::Next, "name", "nobody")),
        (Some(Fault::BadPayload), "nobody is nobody".into())
    );
    let error = stage.try_step(juliet, &answer(&asked, Action::Next, "name", "tybalt")).unwrap_err();
    assert_eq!(error, conflict());
    assert!(stage.step(juliet, &answer(&asked, Action::Next, "name", "Romeo")).is_ok());
}

// XEP-0050 1.3.0 §2.2 [AH2] [AH6], §3.3 [AH13]; RFC 6121 §2.1.2.6: who is in a group of the roster may, and only what is for them
#[test]
fn groups_of_the_roster() {
    let mut stage = Stage::new(true);
    let nurse = stage.simulation.client("tybalt@example.com/sword", "t");
    assert!(stage.listed(nurse).is_empty());
    let info = Query { about: About::Info, node: Some("ping".into()) };
    let Err(RequestError::Refused(error)) = stage.ask(nurse, Iq::get(info.to_element())) else {
        panic!("an error")
    };
    assert_eq!(error.condition, ErrorCondition::Forbidden);

    // Another client of the account puts him into a group, and the bot hears of it.
    let owner = stage.simulation.client("romeo@example.com/phone", "r");
    let group = |group: &str| {
        let jid = "tybalt@example.com".parse().unwrap();
        let set = balcony_roster::Set { jid, name: None, groups: vec![group.into()] };
        Iq::set(balcony_roster::Request::Set(set).to_element())
    };
    let set = |stage: &mut Stage, name: &str| {
        let call = stage.simulation.request(owner, group(name)).unwrap();
        stage.simulation.outcome(owner, call).unwrap().unwrap();
    };
    set(&mut stage, "Family");
    assert_eq!(stage.listed(nurse), ["ping", "fail", "greet", "large"], "but for what is only for juliet");
    assert!(stage.step(nurse, &Request::begin("ping")).is_ok());
    assert_eq!(stage.step(nurse, &Request::begin("schedule")), Err(ErrorCondition::Forbidden));
    let asked = stage.step(nurse, &Request::begin("greet")).unwrap();
    set(&mut stage, "family");
    let right = answer(&asked, Action::Next, "name", "Romeo");
    assert_eq!(stage.step(nurse, &right), Err(ErrorCondition::Forbidden), "[AH37] at each step anew");
}

// XEP-0050 1.3.0 §3.3 [AH14], [AH38]: neither many runs nor much text of one asker are kept, and nothing when it is gone
#[test]
fn what_is_kept_is_bounded() {
    let mut stage = Stage::new(true);
    let juliet = stage.juliet;
    let mut asked = stage.step(juliet, &Request::begin("large")).unwrap();
    let text = "x".repeat(10_000);
    for _ in 0..6 {
        asked = stage.step(juliet, &answer(&asked, Action::Next, "text", &text)).unwrap();
        assert_eq!(asked.notes[0].text, "10000 letters");
    }
    assert_eq!(
        stage.step(juliet, &answer(&asked, Action::Next, "text", &text)),
        Err(ErrorCondition::ResourceConstraint)
    );
    assert_eq!(stage.fault(juliet, &asked.reply(Action::Cancel, None)).0, Some(Fault::SessionExpired));
    let mut asked = stage.step(juliet, &Request::begin("large")).unwrap();
    for _ in 0..31 {
        asked = stage.step(juliet, &answer(&asked, Action::Next, "text", "x")).unwrap();
    }
    assert_eq!(
        stage.step(juliet, &answer(&asked, Action::Next, "text", "x")),
        Err(ErrorCondition::ResourceConstraint)
    );

    // A client that goes offline has no runs any more; that of another client of the account stays.
    let phone = stage.simulation.client("juliet@example.com/phone", "j");
    stage.simulation.send(phone, Stanza::presence(PresenceType::Available).with_to(BOT.parse().unwrap()));
    let of_phone = stage.step(phone, &Request::begin("greet")).unwrap();
    let of_other = stage.step(juliet, &Request::begin("greet")).unwrap();
    stage.simulation.send(phone, Stanza::presence(PresenceType::Unavailable).with_to(BOT.parse().unwrap()));
    stage.simulation.run();
    assert_eq!(
        stage.fault(phone, &answer(&of_phone, Action::Next, "name", "x")).0,
        Some(Fault::SessionExpired)
    );
    assert!(stage.step(juliet, &answer(&of_other, Action::Next, "name", "x")).is_ok());
}

// XEP-0050 1.3.0 §5 [AH4], §2.4.1 [AH8]: a client runs what others offer
#[test]
fn commands_of_others() {
    let mut stage = Stage::new(true);
    let bot: Jid = BOT.parse().unwrap();
    let config = stage.simulation.config("juliet@example.com/phone", "j");
    let phone = stage.simulation.bot(config, (Commands::new(),), |_, _, _| {});
    let mut call = |command| {
        let now = stage.simulation.world.now;
        let call =
            stage.simulation.agent::<(Commands,)>(phone).call::<Commands>(now, command).unwrap().unwrap();
        stage.simulation.run();
        let outcome: Option<Result<CommandOutcome, RequestError>> = stage.simulation.called(phone, call);
        outcome.expect("an outcome")
    };
    let listed = call(CommandCall::List(bot.clone())).unwrap();
    let CommandOutcome::Listed(listed) = listed else { panic!("{listed:?}") };
    assert_eq!(listed[0], ("ping".into(), Some("At once".into())));
    let mut step = |request| match call(CommandCall::Step(bot.clone(), Box::new(request))) {
        Ok(CommandOutcome::Stepped(step)) => *step,
        other => panic!("{other:?}"),
    };
    let asked = step(Request::begin("greet"));
    let answer = asked.form.as_ref().unwrap().answer().set("name", ["Romeo"]);
    let done = step(asked.reply(Action::Execute, Some(answer)));
    assert_eq!((done.status, &*done.notes[0].text), (Status::Completed, "1: Romeo"));
    // Nobody is there.
    let nobody: Jid = "romeo@example.com/gone".parse().unwrap();
    let outcome = call(CommandCall::List(nobody));
    assert!(matches!(outcome, Err(RequestError::Refused(_))), "{outcome:?}");
}
