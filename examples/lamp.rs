//! The device on the balcony: a lamp with a thermometer, which others switch by commands (XEP-0050). Its values are published where its
//! server does that (XEP-0163), and otherwise seen with its presence.
//!
//! ```text
//! BALCONY_JID=lamp@example.com/balcony BALCONY_PASSWORD=… cargo run -p balcony-examples --example lamp
//! balcony roster --as lamp@example.com add juliet@example.com --group Family
//! balcony roster --as juliet@example.com add lamp@example.com
//! balcony presence --as juliet@example.com
//! balcony command --as juliet@example.com lamp@example.com switch on=yes
//! balcony command --as juliet@example.com lamp@example.com schedule
//! ```
//!
//! Whoever is in the group `Family` of the lamp's roster may switch it, who is in `Guests` sees how warm it is; that is said with the roster of the
//! lamp's account, not here. Other clients that know commands, such as Gajim and Profanity, can do the same as `balcony command`.
#![forbid(unsafe_code)]

use core::time::Duration;
use std::sync::Arc;

use balcony::prelude::*;
use balcony::xep::disco;
use balcony::xep::validation::Validation;
use balcony::{ClientBuilder, CommandStep};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// What the device knows. A change wakes its loop.
#[derive(Clone, Debug)]
pub struct Room {
    is_on: bool,
    degrees: f32,
    /// When the lamp is switched, and to what; the next first.
    plan: Vec<(Instant, bool)>,
}

type Shared = Arc<watch::Sender<Room>>;

/// The node, and the namespace, of the values of a lamp.
pub const NS: &str = "urn:example:lamp";
const PUBSUB: &str = "http://jabber.org/protocol/pubsub";

#[allow(dead_code, reason = "its test begins elsewhere")]
fn main() -> Result<(), Error> {
    block_on(run(Client::from_env()))
}

/// The device, for as long as its client goes on.
pub async fn run(client: ClientBuilder) -> Result<(), Error> {
    let (room, mut changes) = watch::channel(Room { is_on: false, degrees: 21.5, plan: Vec::new() });
    let room: Shared = Arc::new(room);
    // The first presence says already how it is.
    let client = client.presence(presence(&room.borrow()));
    let client = client.with(Discovery::new("Lamp", "1.0")).with(Roster::new()).with(commands(&room));
    let mut client = client.start().await?;
    let mut is_published = false;
    loop {
        let due = room.borrow().plan.first().map(|(due, _)| *due);
        tokio::select! {
            event = client.next() => match event? {
                None => return Ok(()),
                Some(Event::Online(_)) => {
                    is_published = publishes(&client).await;
                    let now = changes.borrow_and_update().clone();
                    show(&client, &now, is_published).await?;
                }
                Some(_) => {}
            },
            _ = changes.changed() => {
                let now = changes.borrow_and_update().clone();
                show(&client, &now, is_published).await?;
            }
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                room.send_modify(|room| room.is_on = room.plan.remove(0).1);
            }
        }
    }
}

/// Whether the account's server publishes what its clients have to say (XEP-0163 section 6.1).
async fn publishes(client: &Client) -> bool {
    let Some(own) = client.jid() else { return false };
    let query = disco::Query::new(disco::About::Info).to_element();
    let answer = client.request(Iq::get(query).to(own.to_bare().into())).await;
    let info = answer.as_ref().ok().and_then(|answer| disco::Info::read(answer.element()?));
    info.is_some_and(|info| info.identities.iter().any(|own| own.category == "pubsub" && own.kind == "pep"))
}

/// Who may see the lamp sees how it is.
async fn show(client: &Client, room: &Room, is_published: bool) -> Result<(), Error> {
    if !is_published {
        return client.send(presence(room)).await.map(drop);
    }
    let named = |name, space| Element::new(Name::from_static(name), space);
    let name = Name::from_static;
    let on = if room.is_on { "true" } else { "false" };
    let lamp = named("lamp", NS).attr(name("on"), on).attr(name("celsius"), format!("{:.1}", room.degrees));
    let item = named("item", PUBSUB).attr(name("id"), "current").child(lamp);
    let publish = named("publish", PUBSUB).attr(name("node"), NS).child(item);
    match client.request(Iq::set(named("pubsub", PUBSUB).child(publish))).await {
        // The presence says that it can be reached, and no more.
        Ok(_) => client.send(Presence::available()).await.map(drop),
        // Not now, then.
        Err(Error::Request(_)) => client.send(presence(room)).await.map(drop),
        Err(error) => Err(error),
    }
}

/// The same in words.
fn presence(room: &Room) -> Presence {
    let lamp = if room.is_on { "on" } else { "off" };
    Presence::available().status(format!("the lamp is {lamp}, {:.1} °C", room.degrees))
}

fn commands(room: &Shared) -> Commands {
    let [one, two, three] = [room, room, room].map(Arc::clone);
    Commands::new()
        .allow(|asker| asker.is_own() || asker.is_in("Family") || asker.is_in("Guests"))
        .command("temperature", "How warm it is", move |_| temperature(&one.borrow()))
        .command_for(
            |asker| !asker.is_in("Guests"),
            "switch",
            "Switch the lamp",
            move |asked| switch(&two, asked),
        )
        .command_for(
            |asker| !asker.is_in("Guests"),
            "schedule",
            "Switch it later",
            move |asked| schedule(&three, asked),
        )
}

fn temperature(room: &Room) -> CommandAnswer {
    let degrees = Field::new(FieldKind::TextSingle, "degrees").labelled("Temperature in °C");
    CommandAnswer::result(
        DataForm::new(FormKind::Result).with(degrees.valued(format!("{:.1}", room.degrees))),
    )
}

/// One question, with the answer that changes nothing.
fn switch(room: &Shared, asked: &CommandStep<'_>) -> CommandAnswer {
    if asked.form().is_none() {
        let is_on = if room.borrow().is_on { "true" } else { "false" };
        let on = Field::new(FieldKind::Boolean, "on").labelled("Shall it be on").required().valued(is_on);
        return CommandAnswer::ask_last(DataForm::new(FormKind::Form).titled("The lamp").with(on));
    }
    room.send_modify(|room| room.is_on = asked.flag("on"));
    CommandAnswer::done(if asked.flag("on") { "The lamp is on." } else { "The lamp is off." })
}

/// Two questions. That somebody goes back to the first, and that answers are numbers in their range, is seen to.
fn schedule(room: &Shared, asked: &CommandStep<'_>) -> CommandAnswer {
    let minutes = |var, label, most| {
        let field = Field::new(FieldKind::TextSingle, var).labelled(label);
        field.required().validated(Validation::of("xs:integer").between("0", most))
    };
    let read = |var| asked.value(var).and_then(|minutes| minutes.parse().ok()).unwrap_or(0);
    match asked.step() {
        0 => CommandAnswer::ask(DataForm::new(FormKind::Form).titled("When shall it be on").with(minutes(
            "after",
            "In how many minutes",
            "1440",
        ))),
        1 => CommandAnswer::ask_last(
            DataForm::new(FormKind::Form).with(minutes("length", "For how many minutes", "600").valued("10")),
        ),
        _ => {
            let (after, length): (u64, u64) = (read("after"), read("length"));
            let on = Instant::now() + Duration::from_secs(60 * after);
            room.send_modify(|room| {
                room.plan = vec![(on, true), (on + Duration::from_secs(60 * length), false)]
            });
            CommandAnswer::done(format!("The lamp will be on in {after} minutes, for {length} minutes."))
        }
    }
}
