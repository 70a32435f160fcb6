//! `balcony command` at a real device, a client of the crate `balcony`: from scripts, and by whoever sits at a terminal.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use balcony::prelude::*;
use balcony::xep::commands::{Actions, Level, Response, Status};
use balcony::xep::data_form::{DataForm, Field, FieldKind, FormKind};
use balcony::xep::validation::Validation;
use balcony::{CommandStep, ErrorCondition, Roster};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::Value;

use crate::world::{Ended, PASSWORD, PROGRAM, Server, World};

/// Longer than anything takes on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Default)]
struct Lamp {
    is_on: AtomicBool,
    switched: AtomicUsize,
    pin: Mutex<String>,
}

fn form() -> DataForm<'static> {
    DataForm::new(FormKind::Form)
}

fn switch(lamp: &Lamp, asked: &CommandStep<'_>) -> CommandAnswer {
    if asked.form().is_none() {
        return CommandAnswer::ask_last(
            form().titled("The lamp").with(Field::new(FieldKind::Boolean, "on").labelled("On").required()),
        );
    }
    lamp.is_on.store(asked.flag("on"), Ordering::Relaxed);
    lamp.switched.fetch_add(1, Ordering::Relaxed);
    CommandAnswer::done(if asked.flag("on") { "the lamp is on" } else { "the lamp is off" })
}

fn schedule(lamp: &Lamp, asked: &CommandStep<'_>) -> CommandAnswer {
    let line = |var, label| Field::new(FieldKind::TextSingle, var).labelled(label);
    match asked.step() {
        0 => CommandAnswer::ask(
            form().with(
                line("at", "When")
                    .required()
                    .validated(Validation::of("xs:time").between("06:00:00", "22:00:00")),
            ),
        ),
        1 => CommandAnswer::ask_last(
            form()
                .with(
                    line("minutes", "Minutes")
                        .valued("10")
                        .validated(Validation::of("xs:integer").between("1", "60")),
                )
                .with(
                    Field::new(FieldKind::ListSingle, "colour")
                        .labelled("Colour")
                        .option("ff0000", "Red")
                        .option("ffffff", "White")
                        .valued("ffffff"),
                )
                .with(Field::new(FieldKind::TextPrivate, "pin").labelled("PIN").required()),
        )
        .noting(Level::Info, "a PIN is needed"),
        _ if asked.value("pin") == Some("0000") => CommandAnswer::Invalid("that PIN is too simple".into()),
        _ => {
            *lamp.pin.lock().unwrap() = asked.value("pin").unwrap().into();
            let said = |var| asked.value(var).unwrap_or_default().to_owned();
            CommandAnswer::done(format!(
                "at {} for {} minutes in {}",
                said("at"),
                said("minutes"),
                said("colour")
            ))
        }
    }
}

fn commands(lamp: &Arc<Lamp>) -> Commands {
    let (one, two) = (Arc::clone(lamp), Arc::clone(lamp));
    Commands::new()
        .allow(|asker| asker.is_in("Family"))
        .command("switch", "Switch the lamp", move |asked| switch(&one, asked))
        .command("schedule", "Switch at a time", move |asked| schedule(&two, asked))
        .command("history", "What it has done", |_| {
            CommandAnswer::result(
                DataForm::new(FormKind::Result)
                    .columns([("at", "When"), ("on", "On")])
                    .row(["08:00", "yes"])
                    .row(["09:00", "no"]),
            )
            .noting(Level::Warn, "the clock was wrong")
        })
        .command("notes", "What was written", |asked| match asked.form() {
            None => CommandAnswer::result(DataForm::new(FormKind::Result).with(
                Field::new(FieldKind::TextMulti, "lines").labelled("Lines").valued("one").valued("two"),
            )),
            Some(_) => CommandAnswer::done(""),
        })
        .command("lose", "Loses what it was asked", |asked| match asked.form() {
            None => CommandAnswer::ask_last(form().with(Field::new(FieldKind::TextSingle, "x").valued("1"))),
            Some(_) => CommandAnswer::Error(ErrorCondition::ItemNotFound.into()),
        })
        .command("dim", "Dim it", |_| CommandAnswer::Failed("the bulb is broken".into()))
}

struct Hall {
    world: World,
    server: Server,
    lamp: Arc<Lamp>,
    _device: Client,
    runtime: tokio::runtime::Runtime,
}

impl Hall {
    fn new() -> Hall {
        let world = World::new();
        let server = world.serve(&[]);
        for account in ["lamp", "juliet", "tybalt"] {
            world.account(account);
        }
        let roster = |who: &str, args: &[&str]| {
            let account = format!("{who}@localhost");
            let there = ["roster", "--as", &account, "--connect", &server.address, "add"];
            world.run_as(PASSWORD, &[&there, args].concat()).succeeded();
        };
        roster("lamp", &["juliet@localhost", "--group", "Family"]);
        roster("juliet", &["lamp@localhost"]);
        roster("lamp", &["tybalt@localhost", "--group", "Guests"]);
        roster("tybalt", &["lamp@localhost"]);
        let lamp = Arc::new(Lamp::default());
        // Its task goes on while this thread waits for programs.
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let ca = std::fs::read(world.path("balcony-data/ca.pem")).unwrap();
        let device =
            Client::builder("lamp@localhost/hall").password(PASSWORD).connect(&server.address).trust_pem(&ca);
        let device = device.with(Roster::new()).with(commands(&lamp));
        let device = runtime.block_on(device.start()).unwrap();
        Hall { world, server, lamp, _device: device, runtime }
    }

    /// A device of her own, which answers each step with the next one, for ever.
    fn start_endless_device(&self) {
        let ca = std::fs::read(self.world.path("balcony-data/ca.pem")).unwrap();
        let builder = Client::builder("juliet@localhost/mill").password(PASSWORD);
        let device = builder.connect(&self.server.address).trust_pem(&ca).start();
        let mut device = self.runtime.block_on(device).unwrap();
        while !matches!(self.runtime.block_on(device.next()), Ok(Some(Event::Online(_)))) {}
        self.runtime.spawn(async move {
            while let Ok(Some(event)) = device.next().await {
                if let Event::Request(request) = event {
                    let mut step = Response::new("grind", Status::Executing);
                    let field = Field::new(FieldKind::TextSingle, "x").valued("1");
                    (step.actions, step.form) =
                        (Some(Actions { next: true, ..Actions::default() }), Some(form().with(field)));
                    request.reply(step.to_element());
                }
            }
        });
    }

    fn command(&self, who: &str, args: &[&str]) -> Ended {
        let account = format!("{who}@localhost");
        let there = ["command", "--as", &account, "--connect", &self.server.address];
        self.world.run_as(PASSWORD, &[&there, args].concat())
    }

    fn juliet(&self, args: &[&str]) -> Ended {
        self.command("juliet", &[&["lamp@localhost"], args].concat())
    }
}

// XEP-0050 1.3.0 §2.2, §2.4 [AH12], §3.6 [AH30]
#[test]
fn a_script_commands_a_lamp() {
    let hall = Hall::new();
    let listed = hall.juliet(&[]);
    listed.succeeded();
    assert_eq!(
        listed.stdout,
        "switch    Switch the lamp\nschedule  Switch at a time\nhistory   What it has done\nnotes     What was written\nlose      Loses what it was asked\n\
         dim       Dim it\n"
    );
    let json = hall.juliet(&["--json"]).stdout;
    assert_eq!(json.lines().next(), Some(r#"{"node":"switch","name":"Switch the lamp"}"#));

    let done = hall.juliet(&["switch", "on=yes"]);
    done.succeeded();
    assert_eq!((done.stdout.as_str(), hall.lamp.is_on.load(Ordering::Relaxed)), ("the lamp is on\n", true));
    // By its whole address, which nobody has to look for.
    let done = hall.command("juliet", &["lamp@localhost/hall", "switch", "on=off", "--json"]);
    let json: Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(
        (&json["status"], &json["notes"][0]["text"]),
        (&"completed".into(), &"the lamp is off".into())
    );
    let done = hall.juliet(&["schedule", "at=07:30:00", "pin=1234", "colour=Red"]);
    done.succeeded();
    assert_eq!(done.stdout, "at 07:30:00 for 10 minutes in ff0000\n");
    assert!(done.stderr.contains("a PIN is needed") && !done.stderr.contains("1234"), "{done:?}");

    let table = hall.juliet(&["history"]);
    assert_eq!(table.stdout, "When  On\n08:00  yes\n09:00  no\n");
    assert!(table.stderr.contains("warning: the clock was wrong"));
    let table: Value = serde_json::from_str(&hall.juliet(&["history", "--json"]).stdout).unwrap();
    assert_eq!((&table["notes"][0]["level"], &table["rows"][1]["on"][0]), (&"warn".into(), &"no".into()));
    assert_eq!(hall.juliet(&["notes"]).stdout, "Lines:\none\ntwo\n");
    let lost = hall.juliet(&["lose"]);
    assert!(lost.status == Some(1) && !lost.stderr.contains("no such command"), "{lost:?}");
    let failed = hall.juliet(&["dim"]);
    assert!(failed.status == Some(1) && failed.stderr.contains("the bulb is broken"), "{failed:?}");

    // What is missing or wrong is named, and nothing is done.
    let switched = hall.lamp.switched.load(Ordering::Relaxed);
    hall.juliet(&["switch"]).failed(2, &["the command needs `on` (On)"]);
    hall.juliet(&["switch", "on=perhaps"]).failed(2, &["`on` (On): `perhaps` is neither yes nor no"]);
    hall.juliet(&["switch", "on=yes", "of=no"]).failed(2, &["does not ask for `of`; it was not carried out"]);
    hall.juliet(&["schedule", "at=23:00:00"]).failed(2, &["`at` (When): `23:00:00` is more than 22:00:00"]);
    hall.juliet(&["switch", "on"]).failed(2, &["a field and its value are wanted"]);
    assert_eq!(hall.lamp.switched.load(Ordering::Relaxed), switched);
    let refused = hall.juliet(&["schedule", "at=07:30:00", "pin=0000"]);
    assert!(refused.status == Some(1) && refused.stderr.contains("that PIN is too simple"), "{refused:?}");
    hall.juliet(&["dance"]).failed(1, &["lamp@localhost/hall has no such command"]);

    // Who is in no group that may: neither sees nor does anything.
    let stranger = hall.command("tybalt", &["lamp@localhost"]);
    stranger.succeeded();
    assert!(stranger.stdout.is_empty() && stranger.stderr.contains("has no commands for this account"));
    hall.command("tybalt", &["lamp@localhost", "switch", "on=no"])
        .failed(1, &["lamp@localhost/hall: forbidden"]);
    hall.command("tybalt", &["juliet@localhost"])
        .failed(1, &["juliet@localhost is not online for tybalt@localhost"]);
}

/// A program at a terminal.
struct Screen {
    child: Child,
    terminal: File,
    output: Receiver<Vec<u8>>,
    /// All that was shown, and up to where it was looked at.
    shown: String,
    seen: usize,
}

impl Screen {
    /// `balcony command` at the lamp.
    fn start(hall: &Hall, args: &[&str]) -> Screen {
        Screen::of(hall, &[&["lamp@localhost"], args].concat())
    }

    /// `balcony command` at any device.
    fn of(hall: &Hall, args: &[&str]) -> Screen {
        let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&terminal).unwrap();
        unlockpt(&terminal).unwrap();
        let name = ptsname(&terminal, Vec::new()).unwrap().into_string().unwrap();
        let end = File::options().read(true).write(true).open(name).unwrap();
        let stdio = || Stdio::from(end.try_clone().unwrap());
        let there = ["command", "--as", "juliet@localhost", "--connect", &hall.server.address];
        let mut command = Command::new(PROGRAM);
        command.args(there).args(args).env("BALCONY_PASSWORD", PASSWORD).current_dir(hall.world.path(""));
        let child = command.stdin(stdio()).stdout(stdio()).stderr(stdio()).spawn().unwrap();
        let terminal = File::from(terminal);
        let (mut reader, (sender, output)) = (terminal.try_clone().unwrap(), channel());
        std::thread::spawn(move || {
            let mut buffer = [0; 1024];
            while let Ok(count @ 1..) = reader.read(&mut buffer) {
                if sender.send(buffer[..count].to_vec()).is_err() {
                    break;
                }
            }
        });
        Screen { child, terminal, output, shown: String::new(), seen: 0 }
    }

    /// Waits until this is shown, and types a line.
    #[track_caller]
    fn asks(&mut self, question: &str, answer: &str) {
        self.shows(question);
        writeln!(self.terminal, "{answer}").unwrap();
    }

    #[track_caller]
    fn shows(&mut self, text: &str) {
        loop {
            if let Some(at) = self.shown[self.seen..].find(text) {
                self.seen += at + text.len();
                return;
            }
            match self.output.recv_timeout(PATIENCE) {
                Ok(bytes) => self.shown.push_str(&String::from_utf8_lossy(&bytes)),
                Err(error) => panic!("no `{text}`: {error}; but {:?}", &self.shown[self.seen..]),
            }
        }
    }

    /// Waits for the end; its exit status, and all that was shown.
    fn end(mut self) -> (Option<i32>, String) {
        let status = self.child.wait().unwrap();
        (status.code(), std::mem::take(&mut self.shown))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

// XEP-0004 2.13.2 §3.3 [DF21]; XEP-0050 1.3.0 §2.4.2 [AH26]
#[test]
fn somebody_commands_a_lamp() {
    let hall = Hall::new();
    let mut screen = Screen::start(&hall, &["schedule"]);
    screen.asks("When (required): ", "noon");
    screen.shows("`noon` is no time (23:08:25)");
    screen.asks("When (required): ", ":back");
    screen.shows("there is nothing before this");
    screen.asks("When (required): ", "07:30:00");
    screen.shows("a PIN is needed");
    screen.asks("Minutes [10]: ", ":back");
    screen.asks("When (required) [07:30:00]: ", "");
    screen.asks("Minutes [10]: ", "99");
    screen.shows("`99` is more than 60");
    screen.asks("Minutes [10]: ", "20");
    screen.shows("1) ff0000  Red");
    screen.asks("Colour [ffffff]: ", "1");
    screen.asks("PIN (required): ", "0000");
    screen.shows("that PIN is too simple");
    screen.asks("Minutes [20]: ", "");
    screen.asks("Colour [ff0000]: ", ":back");
    screen.asks("Minutes [20]: ", "30");
    screen.asks("Colour [ff0000]: ", "White");
    screen.asks("PIN (required): ", "sesame7");
    screen.shows("at 07:30:00 for 30 minutes in ffffff");
    let (status, shown) = screen.end();
    assert_eq!((status, hall.lamp.pin.lock().unwrap().as_str()), (Some(0), "sesame7"));
    assert!(!shown.contains("sesame7"), "a password is not shown: {shown:?}");

    // What was given is not asked for, and who gives up has done nothing.
    let mut screen = Screen::start(&hall, &["schedule", "at=08:00:00"]);
    screen.asks("PIN (required): ", ":cancel");
    screen.shows("given up");
    assert_eq!(screen.end().0, Some(1));
    // What was typed wrong is not passed over.
    let mut screen = Screen::start(&hall, &["history", "of=no"]);
    screen.shows("the command has not asked for `of`");
    screen.end();
    let mut screen = Screen::start(&hall, &["lose", "of=no"]);
    screen.shows("the command does not ask for `of`");
    screen.asks("Enter carries it out without, :cancel gives up: ", ":cancel");
    assert_eq!(screen.end().0, Some(1));
    // One that asks for ever for what nobody has to type ends.
    hall.start_endless_device();
    let mut screen = Screen::of(&hall, &["juliet@localhost/mill", "grind", "x=2"]);
    screen.shows("the command has asked 64 times");
    assert_eq!(screen.end().0, Some(1));

    let mut screen = Screen::start(&hall, &["switch"]);
    screen.shows("The lamp");
    screen.asks("On (yes or no) (required) [no]: ", "yes");
    screen.shows("the lamp is on");
    assert_eq!(screen.end().0, Some(0));
}
