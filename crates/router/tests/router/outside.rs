//! Extensions of somebody else, which do what they may, and what they may not.

use core::sync::atomic::{AtomicUsize, Ordering};
use std::borrow::Cow;
use std::sync::Arc;

use balcony_machine::Instant;
use balcony_roster::Subscription;
use balcony_router::extension::vcard::Vcard;
use balcony_router::extension::{
    Absent, Access, Addressee, Context, Copying, Edit, Extension, Extensions, Hold, Registry, Reply, Request,
};
use balcony_router::{Answer, Append, Ask, Content, Effect, LogEdit, Room, SessionId};
use balcony_stanza::{ErrorCondition, IqType, Kind, MessageType, Payload, Stanza};
use balcony_xml::{Element, Name};

use crate::world::{World, asks, bare, config, content, jid, request, wires};

const NS: &str = "urn:example:odd";
const JULIET: &str = "juliet@example.com";

/// It does what the name of the element says.
#[derive(Debug)]
struct Odd;

impl Extension for Odd {
    const NAME: &'static str = "odd";
    /// How often something was saved.
    type Account = u32;
    /// Whether it wants copies.
    type Client = bool;

    fn register(&self, registry: &mut Registry<'_, Self>) {
        registry.feature(Addressee::Account, NS);
        registry.documents("odd", 2, false);
        registry.log("odd-log", 1);
        for name in [
            "own",
            "newer",
            "other",
            "unknown",
            "log",
            "newer-log",
            "other-log",
            "as-log",
            "trim",
            "nothing",
            "read",
            "read-other",
            "external",
            "twice",
            "leave",
        ] {
            registry.set(name, NS, act);
        }
        registry.get(Access::Subscribers, "external", NS, act);
        registry.set("copies", NS, |_, context, _| {
            *context.client_mut().unwrap() = true;
            Reply::DONE
        });
        // To everybody there is, and not only to those of the account.
        registry.copy(|_, _, why, stanza, copies| {
            if let Copying::Received(_) = why {
                (0..1_000).for_each(|session| copies.give(SessionId(session), stanza.clone()));
            }
        });
        registry.absent(|_, _, stanza, _| {
            let text = String::from_utf8_lossy(stanza.payload.as_bytes());
            let log = if text.contains("other") { "offline" } else { "odd-log" };
            Absent::Keep(append(log, if text.contains("newer") { 2 } else { 1 }))
        });
    }
}

fn append(log: &'static str, version: u8) -> Append {
    let content = Content { version, bytes: Arc::from(&b"x"[..]) };
    Append { log: Cow::Borrowed(log), tag: "".into(), content, room: Room::UNBOUNDED }
}

fn act(_: &Odd, context: &mut Context<'_, '_, Odd>, request: &Request<'_>) -> Reply {
    let edits = match request.element.name() {
        "own" => vec![
            Edit::put("odd", "k", 2, *b"x"),
            Edit::remove("odd", "l"),
            Edit::Log(LogEdit::Append(append("odd-log", 1))),
        ],
        "newer" => vec![Edit::put("odd", "k", 3, [])],
        "other" => vec![Edit::put("odd", "k", 1, []), Edit::remove("private", "k")],
        "unknown" => vec![Edit::put("od", "k", 1, [])],
        "log" => vec![Edit::put("odd-log", "k", 1, [])],
        "newer-log" => vec![Edit::Log(LogEdit::Append(append("odd-log", 2)))],
        "other-log" => vec![Edit::Log(LogEdit::Append(append("offline", 1)))],
        "as-log" => vec![Edit::Log(LogEdit::Append(append("odd", 1)))],
        "trim" => vec![Edit::Log(LogEdit::Trim { log: Cow::Borrowed("offline"), up_to: 9 })],
        "read" => {
            return context
                .read("odd", "k", |_, _, content| told(&content.map(|content| content.bytes.len())));
        }
        "read-other" => return context.read("private", "k", |_, _, content| told(&content)),
        "external" => {
            return context.external(*b"question", |_, context, answer| {
                told(&(String::from_utf8_lossy(&answer), context.session().is_some()))
            });
        }
        // One thing after the other.
        "twice" => {
            return context.save(vec![], Hold::Everything, |_, context| {
                context.external(*b"more", |_, context, _| {
                    context.save(vec![Edit::put("odd", "k", 1, [])], Hold::Requests, saved)
                })
            });
        }
        "leave" => {
            let last = vec![Edit::put("odd", "k", 1, [])];
            return context.save(last, Hold::Everything, |_, context| context.remove_account());
        }
        _ => vec![],
    };
    context.save(edits, Hold::Requests, saved)
}

fn saved(_: &Odd, context: &mut Context<'_, '_, Odd>) -> Reply {
    *context.state_mut().unwrap() += 1;
    told(context.state())
}

fn told(what: &impl core::fmt::Debug) -> Reply {
    Element::new(Name::from_static("told"), NS).text(format!("{what:?}")).into()
}

fn world() -> (World, SessionId) {
    let mut config = config();
    config.extensions = Extensions::standard().with(Odd).build().unwrap();
    let mut world = World::with(config);
    world.befriend(JULIET, "romeo@example.net", Subscription::Both);
    world.befriend("romeo@example.net", JULIET, Subscription::Both);
    let balcony = world.connect("juliet@example.com/balcony");
    (world, balcony)
}

fn set(name: &str) -> Stanza {
    request(IqType::Set, &format!("<{name} xmlns='{NS}'/>"))
}

fn ping() -> Stanza {
    request(IqType::Get, "<ping xmlns='urn:xmpp:ping'/>").with_id("ping")
}

/// The text of the only answer, or what is wrong.
fn answer(world: &World, effects: &[Effect], to: SessionId) -> String {
    let told = wires(effects, to);
    let [wire] = &told[..] else { panic!("{told:?}") };
    match wire.split_once("<told xmlns='urn:example:odd'>") {
        Some((_, rest)) => rest.split_once("</told>").unwrap().0.to_owned(),
        None => world.tell(effects).pop().unwrap(),
    }
}

// An extension changes and reads what it has registered, in a version that it knows, or it would lock itself out at the next start; nothing
// else is touched, not even together with what is its own.
#[test]
fn its_own_collections() {
    let (mut world, balcony) = world();
    let failed = "balcony: iq error internal-server-error/cancel";
    for (name, expected) in [
        ("read", "None"),
        ("own", "1"),
        ("newer", failed),
        ("other", failed),
        ("unknown", failed),
        ("log", failed),
        ("newer-log", failed),
        ("other-log", failed),
        ("as-log", failed),
        ("trim", failed),
        ("read-other", failed),
        ("read", "Some(1)"),
        ("own", "2"),
    ] {
        let effects = world.send(balcony, set(name));
        assert_eq!(answer(&world, &effects, balcony), expected, "{name}");
    }
    let account = bare(JULIET);
    assert_eq!(world.store.documents(&account, "odd").count(), 1);
    assert_eq!(world.store.entries(&account, "odd-log").count(), 2);
    for other in ["private", "od", "odd-log"] {
        assert_eq!(world.store.documents(&account, other).count(), 0, "{other}");
    }
    for other in ["offline", "odd"] {
        assert_eq!(world.store.entries(&account, other).count(), 0, "{other}");
    }
    assert_eq!((world.router.counts().asks, world.waited.len()), (0, world.handled.len()));
}

// No change is no ask: a store is never asked for nothing.
#[test]
fn nothing_to_save() {
    let (mut world, balcony) = world();
    for (stanza, result) in [
        (set("nothing"), "1"),
        (request(IqType::Set, "<unblock xmlns='urn:xmpp:blocking'/>"), "balcony: iq result"),
    ] {
        let effects = world.send(balcony, stanza);
        assert_eq!(asks(&effects), []);
        assert_eq!(answer(&world, &effects, balcony), result);
    }
    assert_eq!(world.waited.len(), world.handled.len());
}

// The owner's IO may take its time: nothing else waits for it, and what it says is for the request that it was asked for.
#[test]
fn a_question_to_the_owner() {
    let (mut world, balcony) = world();
    let romeo = world.available("romeo@example.net/street", 0);
    world.at_once = false;
    let question = |effects: &[Effect]| match &asks(effects)[..] {
        [(ticket, Ask::External { account, extension: "odd", question })] => {
            assert_eq!((account.as_str(), &question[..]), (JULIET, &b"question"[..]));
            *ticket
        }
        other => panic!("{other:?}"),
    };
    let first = question(&world.send(balcony, set("external").with_id("1")));
    let second = question(&world.send(balcony, set("external").with_id("2")));
    let get = request(IqType::Get, &format!("<external xmlns='{NS}'/>")).with_id("3");
    let third = question(&world.send(romeo, get.with_to(jid(JULIET))));
    let effects = world.send(balcony, ping());
    assert_eq!(wires(&effects, balcony), ["<iq to='juliet@example.com/balcony' type='result' id='ping'/>"]);
    let mut chat = content("<body>x</body>").with_to(jid("juliet@example.com/balcony"));
    chat.head.kind = Kind::Message(MessageType::Chat);
    assert_eq!(world.says(romeo, chat), ["balcony: message chat from romeo@example.net/street"]);
    for (ticket, id, session, own) in
        [(second, 2, balcony, true), (third, 3, romeo, false), (first, 1, balcony, true)]
    {
        let effects = world.answer(ticket, Answer::External(format!("answer {id}").into_bytes().into()));
        let told = wires(&effects, session);
        assert!(told.len() == 1 && told[0].contains(&format!(" id='{id}'")), "{told:?}");
        assert!(
            told[0].contains(&format!(">(&quot;answer {id}&quot;, {own})<"))
                || told[0].contains(&format!(">(\"answer {id}\", {own})<")),
            "{told:?}"
        );
        // Twice is once.
        assert!(world.answer(ticket, Answer::External(Arc::from(&b""[..]))).is_empty());
    }
    // Refused, answered as something else, or late; or the client has gone meanwhile.
    let failed = "balcony: iq error internal-server-error/cancel";
    for answer in [Some(Answer::Refused), Some(Answer::Saved), Some(Answer::Document(None)), None] {
        let ticket = question(&world.send(balcony, set("external")));
        let told = match answer {
            Some(answer) => {
                let effects = world.answer(ticket, answer);
                world.tell(&effects)
            }
            None => {
                world.now = Instant::from_millis(3_600_000);
                world.tick()
            }
        };
        assert_eq!(told, [failed]);
    }
    let ticket = question(&world.send(balcony, set("external")));
    world.at_once = true;
    world.unbound(balcony);
    assert_eq!(world.router.counts().loaded, 2);
    assert!(world.answer(ticket, Answer::External(Arc::default())).is_empty());
    assert_eq!((world.router.counts().loaded, world.waited.len()), (1, world.handled.len()));
}

// A closure may ask again, for something else.
#[test]
fn one_thing_after_the_other() {
    let (mut world, balcony) = world();
    world.at_once = false;
    let effects = world.send(balcony, set("twice"));
    let [(ticket, Ask::External { .. })] = &asks(&effects)[..] else { panic!("{effects:?}") };
    let effects = world.answer(*ticket, Answer::External(Arc::default()));
    let [(ticket, Ask::Save { .. })] = &asks(&effects)[..] else { panic!("{effects:?}") };
    assert!(world.send(balcony, ping()).is_empty(), "it waits for the change");
    let effects = world.answer(*ticket, Answer::Saved);
    let told = wires(&effects, balcony);
    assert!(told.len() == 2 && told[0].contains(">1</told>") && told[1].contains("id='ping'"), "{told:?}");
    assert_eq!(world.waited.len(), world.handled.len());
}

// An account that an extension has removed after something else takes nothing more (XEP-0077 section 3.2): what comes meanwhile fails.
#[test]
fn the_end_after_something_else() {
    for is_removed in [true, false] {
        let (mut world, balcony) = world();
        let romeo = world.available("romeo@example.net/street", 0);
        world.at_once = false;
        let effects = world.send(balcony, set("leave"));
        let effects = world.answer(asks(&effects)[0].0, Answer::Saved);
        let [(ticket, Ask::Remove { .. })] = &asks(&effects)[..] else { panic!("{effects:?}") };
        let chat = Stanza::message(MessageType::Chat).with_to(jid("juliet@example.com/balcony"));
        assert!(wires(&world.send(romeo, chat), balcony).is_empty(), "it may be over");
        let effects = world.answer(*ticket, if is_removed { Answer::Saved } else { Answer::Refused });
        let got = wires(&effects, balcony).iter().filter(|wire| wire.starts_with("<message")).count();
        assert_eq!(got, usize::from(!is_removed));
        let told: Vec<_> = world.tell(&effects).into_iter().filter(|line| line.contains("message")).collect();
        let expected = if is_removed {
            "street: message error service-unavailable/cancel from juliet@example.com/balcony"
        } else {
            "balcony: message chat from romeo@example.net/street"
        };
        assert_eq!(told, [expected]);
    }
}

// Copies go to clients of the account, whatever sessions there are; and what is kept goes into a log of one's own.
#[test]
fn nobody_else_s() {
    let (mut world, balcony) = world();
    let hall = world.connect("juliet@example.com/hall");
    let tybalt = world.available("tybalt@example.com/lane", 0);
    let romeo = world.available("romeo@example.net/street", 0);
    world.send(hall, set("copies"));
    world.send(tybalt, set("copies"));
    let chat = |to: &str, text: &str| {
        let mut chat = content(&format!("<body>{text}</body>")).with_to(jid(to));
        chat.head.kind = Kind::Message(MessageType::Chat);
        chat
    };
    let effects = world.send(romeo, chat("juliet@example.com/balcony", "x"));
    assert_eq!([balcony, hall, tybalt, romeo].map(|session| wires(&effects, session).len()), [2, 1, 0, 0]);
    // The one of the standard's that comes first keeps it, unless it is told not to.
    const NOT: &str = "</body><no-store xmlns='urn:xmpp:hints'/><body>";
    for (text, expected) in [
        (String::from("x"), (1, 0)),
        (format!("{NOT}own"), (1, 1)),
        (format!("{NOT}other"), (1, 1)),
        (format!("{NOT}newer"), (1, 1)),
    ] {
        let effects = world.send(romeo, chat(JULIET, &text));
        let kept = ["offline", "odd-log"].map(|log| world.store.entries(&bare(JULIET), log).count());
        assert_eq!((kept[0], kept[1]), expected, "{text}");
        let is_told = !wires(&effects, romeo).is_empty();
        assert_eq!(is_told, text.contains("other") || text.contains("newer"), "{text}");
    }
}

/// It registers one thing more than once, or one that is somebody else's.
struct Taker(u8);

impl Extension for Taker {
    const NAME: &'static str = "taker";
    type Account = ();
    type Client = ();

    fn register(&self, registry: &mut Registry<'_, Self>) {
        match self.0 {
            0 => registry.get(Access::Owner, "query", "jabber:iq:private", |_, _, _| Reply::DONE),
            1 => registry.every_account(IqType::Get, "vCard", "vcard-temp", |_, _, _| Ok(Payload::EMPTY)),
            2 => registry.server(IqType::Get, "ping", "urn:xmpp:ping", |_, _, _| Ok(Payload::EMPTY)),
            3 => registry.documents("blocked", 1, true),
            4 => registry.log("offline", 9),
            // A name is one of documents or of a log.
            5 => registry.documents("offline", 9, false),
            6 => registry.replay("mine", |_, _, _| None),
            7 => registry.feature(Addressee::Server, "urn:xmpp:carbons:2"),
            8 => registry.bind_inline("enable", "urn:xmpp:carbons:2", |_, _, _| ()),
            9 => {
                registry.log("mine", 1);
                registry.documents("mine", 1, false);
            }
            // None of these is anybody else's.
            _ => {
                registry.set("ping", "urn:xmpp:ping", |_, _, _| Reply::DONE);
                registry.server(IqType::Set, "ping", "urn:xmpp:ping", |_, _, _| Ok(Payload::EMPTY));
                registry.feature(Addressee::Account, "urn:example:taker");
            }
        }
    }
}

// docs/extensions.md: what belongs to two extensions is refused when they are put together, with the names of both.
#[test]
fn two_extensions_with_the_same() {
    let with = |number| {
        let extensions = Extensions::standard().without("vcard").with(Vcard::default()).with(Taker(number));
        extensions.build().map_err(|clash| clash.to_string())
    };
    let both = |other: &str, what: &str| format!("the extensions '{other}' and 'taker' both register {what}");
    for (number, expected) in [
        (0, both("private", "the get {jabber:iq:private}query to an account")),
        (1, both("vcard", "the get {vcard-temp}vCard to an account")),
        (2, both("ping", "the get {urn:xmpp:ping}ping to the server")),
        (3, both("blocking", "the collection blocked")),
        (4, both("offline", "the collection offline")),
        (5, both("offline", "the collection offline")),
        (6, both("offline", "the log that is replayed")),
        (7, both("carbons", "the feature urn:xmpp:carbons:2 of the server")),
        (8, both("carbons", "{urn:xmpp:carbons:2}enable of a client that binds")),
        (9, "the extension 'taker' registers the collection mine twice".into()),
    ] {
        assert_eq!(with(number).err(), Some(expected));
    }
    assert!(with(10).is_ok());
    assert!(Extensions::standard().build().is_ok());
}

/// It shuts nobody out, and counts how often it is asked.
#[derive(Debug)]
struct Counting(Arc<AtomicUsize>);

impl Extension for Counting {
    const NAME: &'static str = "counting";
    /// How often it was called.
    type Account = u32;
    type Client = ();

    fn register(&self, registry: &mut Registry<'_, Self>) {
        registry.set("call", NS, |_, context, _| {
            *context.state_mut().unwrap() += 1;
            Reply::DONE
        });
        registry.allows(
            |counting, _, _| {
                counting.0.fetch_add(1, Ordering::Relaxed);
                true
            },
            |_| ErrorCondition::Forbidden.into(),
        );
    }
}

// Whether somebody sees the user is asked once before an extension is called that may change it, and once after it.
#[test]
fn who_sees_the_user_is_asked_twice() {
    const CONTACTS: usize = 50;
    let asked = Arc::new(AtomicUsize::new(0));
    let mut config = config();
    config.extensions = Extensions::standard().with(Counting(Arc::clone(&asked))).build().unwrap();
    let mut world = World::with(config);
    for number in 0..CONTACTS {
        world.befriend(JULIET, &format!("contact{number}@example.com"), Subscription::From);
    }
    let balcony = world.available("juliet@example.com/balcony", 0);
    let call = || request(IqType::Set, &format!("<call xmlns='{NS}'/>"));
    // It knows something of the account from now on.
    world.send(balcony, call());
    asked.store(0, Ordering::Relaxed);
    world.send(balcony, call());
    assert_eq!(asked.load(Ordering::Relaxed), 2 * CONTACTS);
}

// One of the same name takes the other's place.
#[test]
fn the_same_name() {
    let extensions = Extensions::standard().with(Odd).with(Odd).without("nobody").build().unwrap();
    assert_eq!(extensions.names().iter().filter(|name| **name == "odd").count(), 1);
    assert_eq!(extensions.collections().iter().filter(|collection| collection.name == "odd").count(), 1);
}
