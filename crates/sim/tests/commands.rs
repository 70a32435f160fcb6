//! Ad-hoc commands between two clients of a server (XEP-0050): who may, in which steps, and what becomes of runs.
#![allow(clippy::unwrap_used, reason = "tests")]

use core::time::Duration;
use std::sync::{Arc, Mutex};

use balcony_client::{
    AgentEvent, CommandAnswer, CommandCall, CommandOutcome, Commands, Discovery, Iq, RequestError,
};
use balcony_jid::Jid;
use balcony_sim::{Accounts, Chunks, ClientId, Simulation, World};
use balcony_stanza::{ErrorCondition, PresenceType, Stanza};
use balcony_xep::commands::{Action, NS, Request, Response, Status};
use balcony_xep::data_form::{DataForm, Field, FieldKind, FormKind};
use balcony_xep::disco::{About, Info, Items, Query};

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

fn commands(allowed: Arc<Mutex<Vec<&'static str>>>) -> Commands {
    Commands::new()
        .allow(move |account| allowed.lock().unwrap().contains(&account.as_str()))
        .command("ping", "At once", |_| CommandAnswer::done("pong"))
        .command("fail", "Never", |_| CommandAnswer::Failed("it is broken".into()))
        .command("greet", "Greet somebody", |asked| match asked.form.and_then(|form| form.value("name")) {
            None => CommandAnswer::Ask(question()),
            Some("nobody") => CommandAnswer::Invalid("nobody is nobody"),
            Some(name) => CommandAnswer::done(format!("{}: {name}", asked.step)),
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
        let config = simulation.config(BOT, "r");
        // Requests reach only who lets their sender see its presence.
        fn show<X: balcony_client::Extensions>(agent: &mut balcony_client::Agent<X>, event: AgentEvent) {
            if let AgentEvent::Online(_) = event {
                for to in ["juliet@example.com", "tybalt@example.com"] {
                    agent.send(Stanza::presence(PresenceType::Available).to(to.parse().unwrap())).unwrap();
                }
            }
        }
        if first {
            simulation.bot(config, (commands, discovery), |agent, _, event| show(agent, event));
        } else {
            simulation.bot(config, (discovery, commands), |agent, _, event| show(agent, event));
        }
        let juliet = simulation.client("juliet@example.com/balcony", "j");
        Stage { simulation, juliet, allowed }
    }

    fn ask(&mut self, of: ClientId, iq: Iq) -> Result<balcony_client::Response, RequestError> {
        let call = self.simulation.request(of, iq.to(BOT.parse().unwrap())).unwrap();
        self.simulation.outcome(of, call).expect("an answer")
    }

    fn step(&mut self, by: ClientId, request: &Request<'_>) -> Result<Response<'static>, ErrorCondition> {
        match self.ask(by, Iq::set(request.to_element())) {
            Ok(response) => Ok(Response::read(response.element().unwrap()).unwrap().into_owned()),
            Err(RequestError::Refused(error)) => Err(error.condition),
            Err(other) => panic!("{other}"),
        }
    }

    fn listed(&mut self, by: ClientId) -> Vec<String> {
        let query = Query { about: About::Items, node: Some(NS.into()) };
        let response = self.ask(by, Iq::get(query.to_element())).unwrap();
        let items = Items::read(response.element().unwrap()).unwrap().items;
        items.into_iter().map(|item| item.node.unwrap().into_owned()).collect()
    }
}

// XEP-0050 1.3.0 §2.2 [AH1] [AH2] [AH3] [AH5], §2.4 [AH9] [AH10] [AH12], §3.3 [AH15], §3.6 [AH30], §4.4 [AH29] [AH34]
#[test]
fn a_command_is_listed_and_run() {
    for first in [true, false] {
        let mut stage = Stage::new(first);
        let juliet = stage.juliet;
        assert_eq!(stage.listed(juliet), ["ping", "fail", "greet"]);
        for (node, feature) in [(None, NS), (Some("greet"), "jabber:x:data")] {
            let query = Query { about: About::Info, node: node.map(Into::into) };
            let response = stage.ask(juliet, Iq::get(query.to_element())).unwrap();
            assert!(Info::read(response.element().unwrap()).unwrap().has(feature), "{node:?}");
        }

        let done = stage.step(juliet, &Request::begin("ping")).unwrap();
        assert_eq!((done.status, &*done.notes[0].text), (Status::Completed, "pong"));
        let failed = stage.step(juliet, &Request::begin("fail")).unwrap();
        assert_eq!(failed.notes[0].level, balcony_xep::commands::Level::Error);
        assert_eq!(stage.step(juliet, &Request::begin("dance")), Err(ErrorCondition::ItemNotFound));

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
        assert_eq!(stage.step(juliet, &right), Err(ErrorCondition::BadRequest), "it is over");
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
    // [AH19]: cancelled, and gone; and what waits too long is gone as well
    let cancelled = stage.step(juliet, &asked.reply(Action::Cancel, None)).unwrap();
    assert_eq!(cancelled.status, Status::Canceled);
    assert_eq!(stage.step(juliet, &right), Err(ErrorCondition::BadRequest));
    let asked = stage.step(juliet, &Request::begin("greet")).unwrap();
    stage.simulation.wait(Duration::from_secs(601));
    let late = asked.reply(Action::Execute, right.form.clone());
    assert_eq!(stage.step(juliet, &late), Err(ErrorCondition::BadRequest));
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
