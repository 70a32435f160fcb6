//! A day of a phone with 200 contacts, with client state indication (XEP-0352) and without: what the server writes to it, and how
//! often that wakes its radio.
//!
//! The day follows from a seed, and takes virtual time. `docs/csi.md` has the table that this prints:
//!
//! ```sh
//! BALCONY_PHONE_DAY=200x24 cargo test -p balcony-sim --test phone_day -- --nocapture
//! ```
#![allow(clippy::unwrap_used)]

use core::time::Duration;
use std::collections::BTreeMap;

use balcony_jid::BareJid;
use balcony_machine::{Instant, Random, Seed};
use balcony_roster::{Item, Parts, Subscription, Version};
use balcony_router::extension::Extensions;
use balcony_router::extension::csi::Csi;
use balcony_sim::{Accounts, Chunks, Peer, World};
use balcony_stanza::{Kind, Stanza};

const JULIET: &str = "juliet@example.com";
/// After so long a silence of the network a phone's radio sleeps.
const SLEEPS_AFTER: Duration = Duration::from_secs(10);
const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;

/// What happens, and who does it: the phone or a contact, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// A contact shows something else.
    Shows(usize, &'static str),
    /// A contact is online, or no longer.
    Comes(usize),
    Goes(usize),
    /// A contact writes to the phone, or stops.
    Composes(usize),
    Pauses(usize),
    /// And sends it.
    Says(usize),
    /// The phone answers.
    Answers(usize),
    /// The client of a contact has got that, or its user has read it.
    Receives(usize),
    Reads(usize),
    /// A contact publishes something, such as another picture.
    Publishes(usize),
    /// The phone is taken out of the pocket, or put back.
    Looks,
    Pockets,
}

/// A day from midnight to midnight, in seconds, in order.
fn day(contacts: usize, hours: u64, random: &mut Random) -> Vec<(u64, Event)> {
    let mut below = |end: u64| random.next_u64() % end.max(1);
    let mut events = Vec::new();
    for contact in 0..contacts {
        // Awake from about seven to about eleven; some never are online that day, some always.
        let (begin, end) = match below(10) {
            0 => continue,
            1 => (0, 24 * HOUR),
            _ => (6 * HOUR + below(3 * HOUR), 21 * HOUR + below(3 * HOUR)),
        };
        events.push((begin, Event::Comes(contact)));
        // Its program says that it is away after some minutes without anybody, and that it is not, when there is somebody.
        let mut at = begin + below(40 * MINUTE);
        while at + 30 * MINUTE < end {
            events.push((at, Event::Shows(contact, "away")));
            at += MINUTE + below(40 * MINUTE);
            events.push((at, Event::Shows(contact, "")));
            at += 5 * MINUTE + below(80 * MINUTE);
        }
        events.push((end - 1, Event::Goes(contact)));
        if below(8) == 0 {
            events.push((begin + below(end - begin), Event::Publishes(contact)));
        }
    }
    // Conversations with a few of them: a question or three, some of which are answered when somebody looks.
    for _ in 0..(contacts / 8).max(1) {
        let contact = usize::try_from(below(12.min(contacts as u64))).unwrap();
        let mut at = 8 * HOUR + below(14 * HOUR);
        for _ in 0..=below(4) {
            events.push((at, Event::Composes(contact)));
            if below(3) == 0 {
                at += 5 + below(20);
                events.push((at, Event::Pauses(contact)));
                at += 5 + below(40);
                events.push((at, Event::Composes(contact)));
            }
            at += 3 + below(30);
            events.push((at, Event::Says(contact)));
            at += 5 + below(90);
        }
        if below(3) > 0 {
            at += 30 + below(10 * MINUTE);
            events.push((at, Event::Looks));
            at += 10 + below(30);
            events.push((at, Event::Answers(contact)));
            events.push((at + 1, Event::Receives(contact)));
            events.push((at + 20 + below(2 * HOUR), Event::Reads(contact)));
            events.push((at + 20 + below(60), Event::Pockets));
        }
    }
    // And it is looked at for no reason.
    for _ in 0..contacts / 5 {
        let at = 7 * HOUR + below(16 * HOUR);
        events.push((at, Event::Looks));
        events.push((at + 20 + below(3 * MINUTE), Event::Pockets));
    }
    events.retain(|(at, _)| *at < hours * HOUR);
    events.sort_unstable();
    events
}

/// What came to the phone.
#[derive(Clone, Debug, Default)]
struct Day {
    bytes: usize,
    wakes: usize,
    presence: usize,
    messages: usize,
    bodies: Vec<String>,
    /// What the phone has been shown last of each of its contacts' devices.
    shown: BTreeMap<String, String>,
}

impl Day {
    fn take(&mut self, stanzas: Vec<Stanza>) {
        for stanza in stanzas {
            let payload = String::from_utf8_lossy(stanza.payload.as_bytes()).into_owned();
            let from = stanza.head.from.as_ref().map(ToString::to_string).unwrap_or_default();
            match stanza.head.kind {
                Kind::Presence(_) => {
                    self.presence += 1;
                    let show = payload.split_once("<delay").map_or(&*payload, |(show, _)| show);
                    self.shown.insert(from, format!("{:?} {show}", stanza.head.kind));
                }
                Kind::Message(_) => {
                    self.messages += 1;
                    let body = payload.split_once("<body>").and_then(|(_, rest)| rest.split_once("</body>"));
                    self.bodies.extend(body.map(|(body, _)| body.to_owned()));
                }
                Kind::Iq(_) => {}
            }
        }
    }
}

/// Lives through it, with these extensions, on a phone that says whether somebody looks.
fn live(contacts: usize, hours: u64, seed: u64, extensions: Extensions) -> Day {
    let mut random = Seed::from_u64(seed).random();
    let mut world = world(contacts, seed, extensions);
    let start = world.now;
    let phone = world.online("juliet@example.com/phone", "pencil", 0);
    world.set_active(phone, false);
    world.run();
    world.wait(Duration::from_secs(30));
    let (mut day, mut here) = (Day::default(), BTreeMap::<usize, Peer>::new());
    let begin = world.writes(phone).len();
    world.take_stanzas(phone);
    for (number, (at, event)) in self::day(contacts, hours, &mut random).into_iter().enumerate() {
        let at = start + Duration::from_secs(at + MINUTE);
        if at > world.now {
            world.wait(at.saturating_since(world.now));
        }
        happen(&mut world, phone, &mut here, number, event);
        world.run();
        day.take(world.take_stanzas(phone));
    }
    world.set_active(phone, true);
    world.run();
    world.wait(Duration::from_secs(30));
    day.take(world.take_stanzas(phone));
    assert!(world.failed(phone).is_none() && !world.is_closed(phone));
    let mut last: Option<Instant> = None;
    for &(at, bytes) in &world.writes(phone)[begin..] {
        day.bytes += bytes;
        day.wakes += usize::from(last.is_none_or(|last| at.saturating_since(last) >= SLEEPS_AFTER));
        last = Some(at);
    }
    day
}

fn world(contacts: usize, seed: u64, extensions: Extensions) -> World {
    let mut accounts = Accounts::new().with(JULIET, "pencil");
    let mut roster = Vec::new();
    for contact in 0..contacts {
        let account = format!("c{contact}@example.com");
        accounts = accounts.with(&account, "pencil");
        roster.push(item(&account));
        keep(&mut accounts, &account, vec![item(JULIET)]);
    }
    keep(&mut accounts, JULIET, roster);
    World::new(accounts, Chunks::Whole, seed, |config| {
        config.stream_management = true;
        config.extensions = extensions;
        // The server does not ask whether anybody is there: that is the same with and without.
        config.limits.idle = None;
    })
}

fn item(contact: &str) -> Item {
    let mut item = Item::new(contact.parse().unwrap());
    item.subscription = Subscription::Both;
    item
}

fn keep(accounts: &mut Accounts, account: &str, items: Vec<Item>) {
    let account: BareJid = account.parse().unwrap();
    let mut kept = accounts.kept.kept(&account).unwrap().clone();
    kept.roster = Some(Parts { version: Version(1), items, requests: vec![], changes: vec![] });
    accounts.kept.keep(account, kept);
}

fn happen(world: &mut World, phone: Peer, here: &mut BTreeMap<usize, Peer>, number: usize, event: Event) {
    use Event::{
        Answers, Comes, Composes, Goes, Looks, Pauses, Pockets, Publishes, Reads, Receives, Says, Shows,
    };
    let to_phone = |content: &str| {
        format!("<message to='{JULIET}/phone' type='chat' id='m{number}'>{content}</message>")
    };
    let state = |name: &str| format!("<{name} xmlns='http://jabber.org/protocol/chatstates'/>");
    let body = format!("<body>This is what one writes, on average, by the thumb: {number}</body>");
    let (contact, xml) = match event {
        Looks | Pockets => return world.set_active(phone, event == Looks),
        Comes(contact) => {
            let peer = world.online(&format!("c{contact}@example.com/desk"), "pencil", 0);
            here.insert(contact, peer);
            return;
        }
        Goes(contact) => {
            if let Some(peer) = here.remove(&contact) {
                world.close(peer);
            }
            return;
        }
        Answers(contact) => {
            let xml = format!(
                "<message to='c{contact}@example.com' type='chat' id='a{number}'>{body}<request xmlns='urn:xmpp:receipts'/></message>"
            );
            return world.send(phone, &Stanza::parse(xml.as_bytes()).unwrap());
        }
        Shows(contact, "") => (contact, "<presence><priority>1</priority></presence>".to_owned()),
        Shows(contact, show) => (
            contact,
            format!(
                "<presence><priority>1</priority><show>{show}</show><status>Away since somebody has gone</status></presence>"
            ),
        ),
        Composes(contact) => (contact, to_phone(&state("composing"))),
        Pauses(contact) => (contact, to_phone(&state("paused"))),
        Says(contact) => (
            contact,
            to_phone(&format!("{body}{}<markable xmlns='urn:xmpp:chat-markers:0'/>", state("active"))),
        ),
        Receives(contact) => {
            (contact, to_phone("<received xmlns='urn:xmpp:receipts' id='a'/><store xmlns='urn:xmpp:hints'/>"))
        }
        Reads(contact) => (
            contact,
            to_phone("<displayed xmlns='urn:xmpp:chat-markers:0' id='a'/><store xmlns='urn:xmpp:hints'/>"),
        ),
        Publishes(contact) => (
            contact,
            format!(
                "<message to='{JULIET}/phone' type='headline'><event xmlns='http://jabber.org/protocol/pubsub#event'><items node='urn:xmpp:avatar:metadata'><item id='111f4b3c50d7b0df729d299bc6f8e9ef9066971f'/></items></event></message>"
            ),
        ),
    };
    if let Some(peer) = here.get(&contact) {
        world.send(*peer, &Stanza::parse(xml.as_bytes()).unwrap());
    }
}

fn without() -> Extensions {
    Extensions::standard().without("csi").build().unwrap()
}

/// How many contacts the phone has, and how many hours the day.
#[allow(clippy::disallowed_methods, reason = "how much is simulated is not part of what is simulated")]
fn size() -> (usize, u64) {
    let Ok(text) = std::env::var("BALCONY_PHONE_DAY") else { return (20, 12) };
    let (contacts, hours) = text.split_once('x').expect("contacts and hours, such as 200x24");
    (contacts.parse().unwrap(), hours.parse().unwrap())
}

// XEP-0352 1.0.0 §1: it saves bytes, and even more the radio's sleep; no message is lost, and in the end everybody is seen as without.
#[test]
fn it_saves() {
    let (contacts, hours) = size();
    let presence_only = Csi { chat_states: false, other: false, ..Csi::default() };
    let looks = day(contacts, hours, &mut Seed::from_u64(1).random());
    let looks = looks.iter().filter(|(_, event)| *event == Event::Looks).count();
    println!("the phone is looked at {looks} times\n");
    println!("| | bytes | wake-ups | presence | messages |\n|---|---|---|---|---|");
    let [without, some, all] = [
        ("without", without()),
        ("only presence waits", Extensions::standard().with(presence_only).build().unwrap()),
        ("all waits that can", Extensions::default()),
    ]
    .map(|(name, extensions)| {
        let day = live(contacts, hours, 1, extensions);
        println!("| {name} | {} | {} | {} | {} |", day.bytes, day.wakes, day.presence, day.messages);
        day
    });
    assert!(!without.bodies.is_empty());
    for with in [&some, &all] {
        assert_eq!((&with.bodies, &with.shown), (&without.bodies, &without.shown));
        assert!(with.wakes < without.wakes && with.bytes < without.bytes, "{with:?} {without:?}");
    }
    assert!(all.wakes * 2 < without.wakes, "{} and {}", all.wakes, without.wakes);
    assert!(all.bytes * 10 < without.bytes * 9, "{} and {}", all.bytes, without.bytes);
}
