//! The other end of the firmware's line: Balcony's server on a pipe of bytes, two people with clients, and the story that they play with
//! the device. `cargo xtask firmware` starts it: `host QEMU PROGRAM FOLDER`, where the folder is for two sockets.
//!
//! It ends well if the story went as it should, and the device says the same of its own end.

mod board;
mod world;

use core::time::Duration;
use std::path::Path;
use std::time::Instant;

use balcony_client::{CommandCall, CommandOutcome, RequestError};
use balcony_jid::Jid;
use balcony_server::Notice;
use balcony_stanza::ErrorCondition;
use balcony_xep::commands::{Action, Request, Response, Status};
use board::Board;
use world::World;

/// Why the story has not come to its end.
pub(crate) type Failure = Box<dyn core::error::Error>;

/// How long a step of the story may take, on a machine that has much else to do.
const PATIENCE: Duration = Duration::from_secs(120);

/// So many elements do not fit into the device's arena.
const CROWD: usize = 500;

const LAMP: &str = "juliet@example.com/lamp";

fn main() -> Result<(), Failure> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [qemu, program, folder] = args.as_slice() else { return Err("host QEMU PROGRAM FOLDER".into()) };
    let board = Board::start(qemu, program, Path::new(folder))?;
    story(&mut World::new(board)?)
}

fn story(world: &mut World) -> Result<(), Failure> {
    let lamp: Jid = LAMP.parse()?;
    let desk = world.person("juliet@example.com/desk", 1)?;
    let romeo = world.person("romeo@example.com/garden", 0)?;
    world.set_line(true)?;
    until(world, "the people are online", |world| world.people.iter().all(|person| person.is_online))?;

    // The device logs in, and says that it is there, and how much it wants messages.
    until(world, "the lamp is bound", |world| {
        world.notices.iter().any(|notice| matches!(notice, Notice::Bound(jid) if jid.as_str() == LAMP))
    })?;
    let is_there = (LAMP.to_owned(), Some(5));
    until(world, "the lamp is there", |world| world.people[desk].presences.contains(&is_there))?;

    // A message to the account goes to the resource with the highest priority.
    world.write(romeo, "juliet@example.com", "But soft, what light?")?;
    heard(world, romeo, 1, "It is dark.")?;

    // A command, which asks for something first.
    let listed = command(world, desk, CommandCall::List(lamp.clone()))?;
    let wanted = [("set", "Set the brightness"), ("sleep", "Good night")];
    let wanted = wanted.map(|(node, name)| (node.to_owned(), Some(name.to_owned())));
    assert_eq!(listed, CommandOutcome::Listed(wanted.to_vec()));
    let asked = step(world, desk, &lamp, Request::begin("set"))?;
    assert_eq!(asked.status, Status::Executing);
    let form = asked.form.as_ref().ok_or("no form")?.answer().set("level", ["70"]);
    let rests = world.board().rests()?;
    let done = step(world, desk, &lamp, asked.reply(Action::Complete, Some(form)))?;
    assert_eq!(done.status, Status::Completed);
    assert_eq!(done.notes.first().map(|note| &*note.text), Some("The lamp is at 70 %"));
    rest(world, rests)?;

    // Who may not see that the lamp is there does not learn it from its commands.
    let sleep = CommandCall::Step(lamp.clone(), Box::new(Request::begin("sleep")));
    for call in [CommandCall::List(lamp.clone()), sleep] {
        match called(world, romeo, call)? {
            Err(RequestError::Refused(why)) => assert_eq!(why.condition, ErrorCondition::ServiceUnavailable),
            other => return Err(format!("romeo has learned of the lamp: {other:?}").into()),
        }
    }

    // The line is cut. What comes meanwhile waits for the device, which goes on with its session.
    let rests = world.board().rests()?;
    world.set_line(false)?;
    until(world, "the server has lost the lamp", |world| {
        world.notices.iter().any(|notice| matches!(notice, Notice::Lost(_)))
    })?;
    world.write(romeo, "juliet@example.com", "Art thou gone so?")?;
    world.set_line(true)?;
    until(world, "the session goes on", |world| {
        world.notices.iter().any(|notice| matches!(notice, Notice::Resumed(jid) if jid.as_str() == LAMP))
    })?;
    heard(world, romeo, 2, "There is light.")?;
    rest(world, rests)?;

    // What does not fit into the device's memory is an error for its sender, and the device goes on.
    world.crowd(romeo, LAMP, CROWD)?;
    until(world, "the crowd is refused", |world| !world.people[romeo].refused.is_empty())?;
    assert_eq!(world.people[romeo].refused, [ErrorCondition::ResourceConstraint]);

    // And it goes in good order.
    let done = step(world, desk, &lamp, Request::begin("sleep"))?;
    assert_eq!(done.status, Status::Completed);
    let is_gone = (LAMP.to_owned(), None);
    until(world, "the lamp is gone", |world| world.people[desk].presences.contains(&is_gone))?;
    let mut ended = None;
    until(world, "the device has ended", |world| {
        ended = world.board().has_ended().unwrap_or_default();
        ended.is_some()
    })?;
    assert!(world.people[desk].messages.is_empty(), "the desk has got what was for the lamp");
    // Nobody has seen it come or go but for that.
    let seen = world.people[desk].presences.iter().filter(|(from, _)| from == LAMP).count();
    assert_eq!(seen, 2, "others have seen that the line was cut");
    match ended {
        Some(status) if status.success() => Ok(()),
        Some(status) => Err(format!("the device has ended with {status}").into()),
        None => Err("the device has not ended".into()),
    }
}

/// Goes on until it is so.
fn until(world: &mut World, what: &str, mut is_so: impl FnMut(&mut World) -> bool) -> Result<(), Failure> {
    let end = Instant::now() + PATIENCE;
    loop {
        let is_busy = world.turn()?;
        if is_so(world) {
            println!("host: {what}");
            return Ok(());
        }
        if let Some(status) = world.board().has_ended()? {
            return Err(format!("the device has ended with {status}, and not yet: {what}").into());
        }
        if Instant::now() >= end {
            return Err(format!("not in {} s: {what}", PATIENCE.as_secs()).into());
        }
        if !is_busy {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Goes on until the device has said once more that it is at rest: when all that it has sent is acknowledged.
fn rest(world: &mut World, before: usize) -> Result<(), Failure> {
    until(world, "the lamp is at rest", |world| world.board().rests().is_ok_and(|rests| rests > before))
}

/// Somebody gets an answer of the lamp, which is the so many-th.
fn heard(world: &mut World, who: usize, count: usize, text: &str) -> Result<(), Failure> {
    until(world, "there is an answer", |world| world.people[who].messages.len() >= count)?;
    assert_eq!(world.people[who].messages[count - 1], (LAMP.to_owned(), text.to_owned()));
    Ok(())
}

fn command(world: &mut World, who: usize, call: CommandCall) -> Result<CommandOutcome, Failure> {
    Ok(called(world, who, call)??)
}

fn called(
    world: &mut World,
    who: usize,
    call: CommandCall,
) -> Result<Result<CommandOutcome, RequestError>, Failure> {
    let call = world.command(who, call)?;
    let mut outcome = None;
    until(world, "the command is answered", |world| {
        outcome = world.outcome(who, call);
        outcome.is_some()
    })?;
    Ok(outcome.ok_or("no outcome")?)
}

fn step(
    world: &mut World,
    who: usize,
    of: &Jid,
    request: Request<'static>,
) -> Result<Response<'static>, Failure> {
    match command(world, who, CommandCall::Step(of.clone(), Box::new(request)))? {
        CommandOutcome::Stepped(response) => Ok(*response),
        other => Err(format!("no step: {other:?}").into()),
    }
}
