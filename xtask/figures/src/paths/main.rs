//! One of a server's main paths, so many times. Prints how often the allocator was asked meanwhile; `cargo xtask figures` counts
//! the instructions from outside. For `session`, prints the bytes that a session holds while nothing happens.
//!
//! The first argument is the path, the second how often. Everything is decided by fixed seeds, and time does not pass.

mod crowd;
mod heap;
mod tls;
mod world;

use std::hint::black_box;
use std::process::ExitCode;

use balcony_jid::BareJid;
use balcony_machine::{Instant, Seed, XmlLimits};
use balcony_router::{Effect, Memory, Router, SessionId};
use balcony_stanza::{MessageType, PresenceType, Stanza};
use balcony_xml::{Reader, Token};

use crate::world::{World, befriend};

/// A path: its name, and what goes it so many times and returns how often it asked for memory.
type Path = (&'static str, fn(usize) -> usize);

const PATHS: &[Path] = &[
    ("message", |count| messages(count, "juliet@example.com", &[], true)),
    ("message-full", |count| messages(count, "juliet@example.com/desk", &[], true)),
    ("message-stranger", |count| messages(count, "juliet@example.com", &[], false)),
    ("message-carbons", |count| messages(count, "juliet@example.com", &[With::Carbons], true)),
    ("message-blocking", |count| messages(count, "juliet@example.com", &[With::Blocking], true)),
    ("message-sm", |count| messages(count, "juliet@example.com", &[With::Acks], true)),
    ("message-csi", |count| messages(count, "juliet@example.com", &[With::Inactive], true)),
    ("message-all", |count| messages(count, "juliet@example.com", &ALL, true)),
    ("message-offline", offline),
    ("parse", parse),
    ("write", write),
    ("route", route),
    ("route-many", route_many),
    ("login", login),
    ("session", |count| sessions(World::new(), count, 0)),
    ("session-sm", |count| {
        let mut world = World::new();
        world.manage();
        sessions(world, count, 0)
    }),
    ("session-contacts", |count| sessions(World::new(), count, CONTACTS)),
    ("nobody-alone", |count| crowd::nobody(count, 1)),
    ("nobody-crowd", |count| crowd::nobody(count, crowd::MANY)),
    ("stalled-alone", |count| crowd::stalled(count, 1)),
    ("stalled-crowd", |count| crowd::stalled(count, crowd::MANY)),
    ("domains-alone", |count| crowd::domains(count, 1)),
    ("domains-crowd", |count| crowd::domains(count, crowd::MANY)),
    ("waiting-alone", |count| crowd::waiting(count, 1)),
    ("waiting-crowd", |count| crowd::waiting(count, crowd::MANY)),
    ("pairs-alone", |count| crowd::pairs(count, 1)),
    ("pairs-crowd", |count| crowd::pairs(count, crowd::MANY)),
    ("expiry-alone", |count| crowd::expiry(count, 1)),
    ("expiry-crowd", |count| crowd::expiry(count, crowd::MANY)),
    ("ticks-alone", |count| crowd::ticks(count, 1)),
    ("ticks-crowd", |count| crowd::ticks(count, crowd::MANY)),
    ("parked-missing", |count| crowd::parked(count, "nobody@example.com")),
    ("parked-away", |count| crowd::parked(count, "tybalt@example.com")),
    ("parked-there", |count| crowd::parked(count, "user1@example.com")),
    ("tls", tls::sessions),
    ("tls-client", tls::clients),
];

/// What people use beside messages.
#[derive(PartialEq)]
enum With {
    /// Both have a second resource, and all resources want copies (XEP-0280).
    Carbons,
    /// Both have a list of [`BLOCKED`] addresses (XEP-0191), on which the other is not.
    Blocking,
    /// All acknowledge what they get, and ask for acknowledgements (XEP-0198).
    Acks,
    /// Who gets the messages is inactive (XEP-0352). They have a body, so they do not wait.
    Inactive,
}

const ALL: [With; 4] = [With::Carbons, With::Blocking, With::Acks, With::Inactive];
/// So many addresses are on a block list.
const BLOCKED: usize = 10;
/// Every so many messages are acknowledged, as our server asks for.
const ACKED: usize = 10;
/// So many contacts are in a roster that has some.
const CONTACTS: usize = 100;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let path = args.first().and_then(|name| PATHS.iter().find(|(path, _)| path == name));
    let (Some((_, path)), Some(count)) = (path, args.get(1).and_then(|count| count.parse().ok())) else {
        eprintln!("paths PATH COUNT");
        return ExitCode::from(2);
    };
    println!("{}", path(count));
    ExitCode::SUCCESS
}

/// A message as clients send it.
pub(crate) fn message(to: &str) -> String {
    format!(
        "<message to='{to}' type='chat' id='ktx72v49'><body>Neither, fair saint, if either thee dislike.</body>\
         <active xmlns='http://jabber.org/protocol/chatstates'/></message>"
    )
}

/// How often memory is asked for while this is done.
pub(crate) fn counted(act: impl FnOnce()) -> usize {
    let before = heap::allocations();
    act();
    heap::allocations() - before
}

/// Messages, from the bytes of the sender to those of the recipient, whose presence the sender sees or does not.
fn messages(count: usize, to: &str, with: &[With], sees: bool) -> usize {
    let mut world = World::new();
    if sees {
        world.befriend("romeo@example.com", "juliet@example.com");
    }
    let romeo = world.online("romeo@example.com", "orchard");
    let mut readers = vec![world.online("juliet@example.com", "desk")];
    if with.contains(&With::Carbons) {
        readers.extend(
            ["romeo@example.com", "juliet@example.com"].map(|account| world.online(account, "phone")),
        );
        let juliets = readers[readers.len() - 1];
        world.send(juliets, b"<presence><priority>-1</priority></presence>");
        for connection in [&[romeo], &readers[..]].concat() {
            world.send(connection, b"<iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>");
        }
    }
    if with.contains(&With::Blocking) {
        let items: String =
            (0..BLOCKED).map(|number| format!("<item jid='pest{number}@example.org'/>")).collect();
        let block = format!("<iq type='set' id='b'><block xmlns='urn:xmpp:blocking'>{items}</block></iq>");
        for connection in [romeo, readers[0]] {
            let before = world.written[connection];
            world.send(connection, block.as_bytes());
            assert!(world.written[connection] > before, "the list is not taken");
        }
    }
    if with.contains(&With::Inactive) {
        readers.iter().for_each(|reader| world.send(*reader, b"<inactive xmlns='urn:xmpp:csi:0'/>"));
    }
    // Last, so that what is counted from here on are the messages alone.
    let acks = with.contains(&With::Acks);
    if acks {
        for connection in [&[romeo], &readers[..]].concat() {
            world.send(connection, b"<enable xmlns='urn:xmpp:sm:3'/>");
        }
    }
    let message = message(to);
    // The first ones make room for all that follow.
    let mut sent = 0;
    let mut write = |world: &mut World, count: usize| {
        for _ in 0..count {
            world.send(romeo, message.as_bytes());
            sent += 1;
            if acks && sent % ACKED == 0 {
                let ack = format!("<a xmlns='urn:xmpp:sm:3' h='{sent}'/>");
                readers.iter().for_each(|reader| world.send(*reader, ack.as_bytes()));
                world.send(romeo, b"<r xmlns='urn:xmpp:sm:3'/>");
            }
        }
    };
    write(&mut world, ACKED);
    let before = world.written.clone();
    let allocations = counted(|| write(&mut world, count));
    for connection in readers {
        let bytes = world.written[connection] - before[connection];
        assert!(bytes > count * message.len(), "{bytes} bytes for {count} messages: they do not arrive");
    }
    if acks {
        assert!(world.written[romeo] - before[romeo] >= count / ACKED, "nobody acknowledges");
    }
    allocations
}

/// Messages to somebody who is not there: from the bytes of the sender to a store that has nothing to do for it.
fn offline(count: usize) -> usize {
    let mut world = World::new();
    world.account("juliet@example.com");
    let romeo = world.online("romeo@example.com", "orchard");
    let message = message("juliet@example.com");
    world.send(romeo, message.as_bytes());
    let before = world.stored;
    let allocations = counted(|| {
        for _ in 0..count {
            world.send(romeo, message.as_bytes());
        }
    });
    assert_eq!(world.stored - before, count, "they are not stored");
    allocations
}

/// Stanzas out of a stream's bytes.
fn parse(count: usize) -> usize {
    let mut reader = Reader::new(XmlLimits::STANZA);
    let header = "<stream:stream xmlns:stream='http://etherx.jabber.org/streams' xmlns='jabber:client'>";
    reader.read(&mut header.as_bytes()).expect("a header");
    let message = message("juliet@example.com");
    counted(|| {
        for _ in 0..count {
            let mut input = black_box(message.as_bytes());
            assert_eq!(reader.read(&mut input), Ok(Some(Token::Element)));
            black_box(Stanza::from_reader(&reader).expect("a stanza").expect("a good one"));
        }
    })
}

/// A stanza's bytes into a buffer.
fn write(count: usize) -> usize {
    let xml = message("juliet@example.com").replacen(' ', " xmlns='jabber:client' ", 1);
    let stanza = Stanza::parse(xml.as_bytes()).expect("a stanza");
    let mut out = Vec::new();
    stanza.write(&mut out);
    counted(|| {
        for _ in 0..count {
            out.clear();
            black_box(&stanza).write(&mut out);
            black_box(&out);
        }
    })
}

/// Stanzas to an available resource: what a router does with them.
fn route(count: usize) -> usize {
    let domain = BareJid::parse("example.com").expect("an address");
    let mut router = Router::new(balcony_router::Config::new(vec![domain]), &Seed::from_u64(1));
    let (mut store, mut effects) = (Memory::default(), Vec::new());
    let now = Instant::ZERO;
    let ids = [SessionId(1), SessionId(2)];
    befriend(&mut store, "romeo@example.com", "juliet@example.com");
    for (session, account) in ids.into_iter().zip(["romeo@example.com", "juliet@example.com"]) {
        let account = BareJid::parse(account).expect("an address");
        store.create(account.clone());
        router.bind(now, session, &account, Some("desk"), &mut effects).expect("a resource");
        while let Some(effect) = effects.pop() {
            if let Effect::Ask { ticket, ask } = effect {
                router.answer(now, ticket, store.answer(0, ask), &mut effects);
            }
        }
        router.route(now, session, Stanza::presence(PresenceType::Available), &mut effects);
        effects.clear();
    }
    let [from, to] =
        ["romeo@example.com/desk", "juliet@example.com"].map(|jid| jid.parse().expect("an address"));
    let stanza = Stanza::message(MessageType::Chat).with_from(from).with_to(to).with_id("ktx72v49");
    let stanzas = vec![stanza; count + 1];
    let mut delivered = 0;
    let mut allocations = 0;
    for (number, stanza) in stanzas.into_iter().enumerate() {
        let asked = counted(|| {
            router.route(now, ids[0], stanza, &mut effects);
            router.drained(now, ids[1], u64::MAX, &mut effects);
        });
        // The first one makes room for all that follow.
        allocations += if number > 0 { asked } else { 0 };
        let delivers =
            |effect: &Effect| matches!(effect, Effect::Deliver { session, .. } if *session == ids[1]);
        delivered += effects.drain(..).filter(delivers).count();
    }
    assert_eq!(delivered, count + 1);
    allocations
}

/// How many people write to how many others.
const MANY: usize = 4_096;
/// So many messages come together, and have been written when the next ones come.
const TURN: usize = 32;

/// Messages from many people to many others: nobody's turn comes again before all others have had theirs.
fn route_many(count: usize) -> usize {
    let account = |number: usize| format!("user{number}@example.com");
    let domain = BareJid::parse("example.com").expect("an address");
    let mut router = Router::new(balcony_router::Config::new(vec![domain]), &Seed::from_u64(1));
    let (mut store, mut effects) = (Memory::default(), Vec::new());
    let now = Instant::ZERO;
    for number in 0..2 * MANY {
        let (own, session) =
            (BareJid::parse(&account(number)).expect("an address"), SessionId(number as u64));
        befriend(&mut store, &account(number), &account((number + MANY) % (2 * MANY)));
        router.bind(now, session, &own, Some("desk"), &mut effects).expect("a resource");
        while let Some(effect) = effects.pop() {
            if let Effect::Ask { ticket, ask } = effect {
                router.answer(now, ticket, store.answer(0, ask), &mut effects);
            }
        }
        router.route(now, session, Stanza::presence(PresenceType::Available), &mut effects);
        for effect in effects.drain(..) {
            if let Effect::Deliver { session, .. } = effect {
                router.drained(now, session, u64::MAX, &mut Vec::new());
            }
        }
    }
    drop(store);
    let mut delivered = 0;
    let allocations = counted(|| {
        for number in 0..count {
            let from = number % MANY;
            let [sender, to] = [format!("{}/desk", account(from)), account(from + MANY)]
                .map(|jid| jid.parse().expect("an address"));
            let stanza = Stanza::message(MessageType::Chat).with_from(sender).with_to(to).with_id("ktx72v49");
            router.route(now, SessionId(from as u64), stanza, &mut effects);
            if number % TURN == TURN - 1 || number == count - 1 {
                let written = effects.len();
                for at in 0..written {
                    if let Effect::Deliver { session, .. } = &effects[at] {
                        let session = *session;
                        delivered += 1;
                        router.drained(now, session, u64::MAX, &mut effects);
                    }
                }
                effects.clear();
            }
        }
    });
    assert_eq!(delivered, count);
    allocations
}

/// Logins by SCRAM-SHA-256, from the first byte to the bound resource. Each is that of a server of its own, so that it is the same; as many
/// servers are made however many of them are used, so that what a server costs falls out.
fn login(count: usize) -> usize {
    const SERVERS: usize = 60;
    let mut world = World::new();
    world.manage();
    world.login("juliet@example.com", "desk");
    let said = world.take_said();
    let mut servers: Vec<_> = (0..SERVERS.max(count)).map(|_| world.anew()).collect();
    counted(|| {
        for again in &mut servers[..count] {
            let connection = again.accept();
            for bytes in &said {
                again.send(connection, bytes);
            }
            assert_eq!(again.bound, 1, "it is not bound");
        }
    })
}

/// Sessions of accounts of their own, available, with nothing under way, each with so many others as contacts, with names and in a group. The
/// bytes that each holds.
fn sessions(mut world: World, count: usize, contacts: usize) -> usize {
    let accounts: Vec<String> = (0..count).map(|number| format!("user{number}@example.com")).collect();
    accounts.iter().for_each(|account| world.account(account));
    if contacts > 0 {
        for (number, account) in accounts.iter().enumerate() {
            let others = (1..=contacts / 2).flat_map(|far| [number + far, number + count - far]);
            let others: Vec<&str> = others.map(|other| &*accounts[other % count]).collect();
            world.know(account, &others);
        }
    }
    world.expect(count);
    world.lend_nothing();
    let before = heap::used();
    for account in &accounts {
        world.online(account, "desk");
    }
    world.forget_clients();
    (heap::used() - before) / count
}
