//! Where extensions meet: carbons, blocking, offline messages and requests, on one stanza.

use balcony_machine::Instant;
use balcony_roster::Subscription;
use balcony_router::extension::Extensions;
use balcony_router::{Ask, Effect, SessionId};
use balcony_stanza::{IqType, Kind, MessageType, Stanza};

use crate::world::{World, asks, available, config, content, jid, request, tickets, unavailable, wires};

const JULIET: &str = "juliet@example.com";
const ROMEO: &str = "romeo@example.net";

fn message(kind: MessageType, to: &str) -> Stanza {
    let mut stanza = content("<body>x</body>").with_to(jid(to));
    stanza.head.kind = Kind::Message(kind);
    stanza.with_id("m")
}

fn chat(to: &str) -> Stanza {
    message(MessageType::Chat, to)
}

fn carbons() -> Stanza {
    request(IqType::Set, "<enable xmlns='urn:xmpp:carbons:2'/>")
}

fn block(whom: &str) -> Stanza {
    request(IqType::Set, &format!("<block xmlns='urn:xmpp:blocking'><item jid='{whom}'/></block>"))
}

/// Without an extension.
fn lacking(name: &str) -> World {
    let mut config = config();
    config.extensions = Extensions::standard().without(name).build().unwrap();
    World::with(config)
}

/// Two who are in each other's rosters.
fn befriend(world: &mut World) {
    world.befriend(JULIET, ROMEO, Subscription::Both);
    world.befriend(ROMEO, JULIET, Subscription::Both);
}

/// Originals and copies that a session gets.
fn got(effects: &[Effect], session: SessionId) -> (usize, usize) {
    let wires = wires(effects, session);
    let copies = wires.iter().filter(|wire| wire.contains("urn:xmpp:carbons:2")).count();
    (wires.len() - copies, copies)
}

// RFC 6121 §8.5.2.1.1 [D4b], XEP-0280 1.0.1 §7: each client sees once what its user writes to the own account, the sender only what is
// addressed to it; and nobody can block oneself.
#[test]
fn a_message_to_oneself() {
    for blocked in [false, true] {
        let mut world = World::new();
        let balcony = world.available("juliet@example.com/balcony", 5);
        let attic = world.available("juliet@example.com/attic", 0);
        let hall = world.connect("juliet@example.com/hall");
        for session in [balcony, attic, hall] {
            world.send(session, carbons());
        }
        if blocked {
            world.send(balcony, block(JULIET));
        }
        let all = [balcony, attic, hall];
        for (sender, to, expected) in [
            (balcony, JULIET, [(1, 0), (0, 1), (0, 1)]),
            (attic, JULIET, [(1, 0), (0, 0), (0, 1)]),
            (attic, "juliet@example.com/hall", [(0, 1), (0, 0), (1, 0)]),
            (attic, "juliet@example.com/attic", [(0, 1), (1, 0), (0, 1)]),
            // Chat to one who is gone goes to those who are there.
            (hall, "juliet@example.com/gone", [(1, 0), (0, 1), (0, 0)]),
        ] {
            let effects = world.send(sender, chat(to));
            assert_eq!(all.map(|session| got(&effects, session)), expected, "{} to {to}", world.name(sender));
            assert_eq!(asks(&effects), []);
        }
        // With nobody available it waits, and comes back once.
        for session in [balcony, attic] {
            world.send(session, unavailable());
        }
        let effects = world.send(hall, chat(JULIET));
        assert_eq!(all.map(|session| got(&effects, session)), [(0, 0); 3]);
        assert_eq!(world.kept(JULIET).len(), 1);
        let effects = world.send(hall, available(0));
        let bodies = |session| wires(&effects, session).iter().filter(|wire| wire.contains("<body>")).count();
        assert_eq!(all.map(bodies), [0, 0, 1]);
    }
}

// RFC 6121 §8.5.3.2.1, §8.5.4, XEP-0160 1.0.1 §3: what is addressed to a client that has gone, by each type: whether or not another is there,
// from a contact, from a stranger and from one who is blocked.
#[test]
fn to_one_who_is_gone() {
    use MessageType::{Chat, Error, Groupchat, Headline, Normal};
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Fate {
        Delivered,
        Kept,
        Bounced,
        Nothing,
    }
    use Fate::{Bounced, Delivered, Kept, Nothing};
    for (kind, is_there, contact, stranger, blocked) in [
        (Normal, true, Bounced, Nothing, Bounced),
        (Chat, true, Delivered, Delivered, Bounced),
        (Groupchat, true, Bounced, Nothing, Bounced),
        (Headline, true, Nothing, Nothing, Nothing),
        (Error, true, Nothing, Nothing, Nothing),
        (Normal, false, Bounced, Nothing, Bounced),
        (Chat, false, Kept, Kept, Bounced),
        (Groupchat, false, Bounced, Nothing, Bounced),
        (Headline, false, Nothing, Nothing, Nothing),
        (Error, false, Nothing, Nothing, Nothing),
    ] {
        for (sender, is_blocked, expected) in [
            (ROMEO, false, contact),
            ("tybalt@example.com", false, stranger),
            (ROMEO, true, blocked),
            ("tybalt@example.com", true, Nothing),
        ] {
            let mut world = World::new();
            befriend(&mut world);
            let from = world.connect(&format!("{sender}/x"));
            let gone = world.available("juliet@example.com/gone", 0);
            let balcony = is_there.then(|| world.available("juliet@example.com/balcony", 0));
            let hall = world.connect("juliet@example.com/hall");
            world.send(hall, carbons());
            if is_blocked {
                world.send(hall, block(sender));
            }
            world.unbind(gone);
            let effects = world.send(from, message(kind, "juliet@example.com/gone"));
            let told = wires(&effects, from);
            let delivered = balcony.is_some_and(|balcony| got(&effects, balcony) == (1, 0));
            let fate = match (delivered, world.kept(JULIET).len(), &told[..]) {
                (true, 0, []) => Delivered,
                (false, 1, []) => Kept,
                (false, 0, [wire]) if wire.contains("<service-unavailable ") => Bounced,
                (false, 0, []) => Nothing,
                other => panic!("{other:?}"),
            };
            assert_eq!(fate, expected, "{kind:?} of {sender}, {is_there} {is_blocked}");
            // A copy of what somebody has got, and of nothing else.
            assert_eq!(got(&effects, hall).1, usize::from(fate == Delivered));
        }
    }
}

// XEP-0191 1.3 §3.3: what waits, for stored messages to be delivered or for the account to be loaded, is judged when its turn comes.
#[test]
fn blocked_while_it_waited() {
    let mut world = World::new();
    befriend(&mut world);
    let romeo = world.connect("romeo@example.net/street");
    let mercutio = world.connect("mercutio@example.com/lane");
    let balcony = world.connect("juliet@example.com/balcony");
    let hall = world.connect("juliet@example.com/hall");
    world.send(hall, carbons());
    world.send(romeo, chat(JULIET));
    world.at_once = false;
    let fetch = world.send(balcony, available(0));
    let waiting: Vec<_> =
        [romeo, mercutio].into_iter().flat_map(|from| world.send(from, chat(JULIET))).collect();
    assert!(waiting.iter().all(|effect| matches!(effect, Effect::Handled { .. })), "{waiting:?}");
    // She blocks him before her messages are here.
    let mut effects = world.send(balcony, block(ROMEO));
    let [(ticket, ask @ Ask::Save { .. })] = &asks(&effects)[..] else { panic!("{effects:?}") };
    let (ticket, saved) = (*ticket, world.ask(ask.clone()));
    effects = world.answer(ticket, saved);
    assert_eq!(wires(&effects, balcony).len(), 1, "{effects:?}");
    let [(ticket, ask @ Ask::Entries { .. })] = &asks(&fetch)[..] else { panic!("{fetch:?}") };
    let (ticket, entries) = (*ticket, world.ask(ask.clone()));
    effects = world.answer(ticket, entries);
    let told: Vec<_> =
        wires(&effects, balcony).into_iter().filter(|wire| wire.starts_with("<message")).collect();
    assert!(told.len() == 1 && told[0].contains("mercutio@example.com"), "{told:?}");
    assert_eq!(got(&effects, hall), (0, 1));
    // He hears of the one that waited, as he would of her being away; and nothing of the one that was stored.
    let told = wires(&effects, romeo);
    assert!(told.len() == 1 && told[0].contains("<service-unavailable "), "{told:?}");

    // The same when the store knows of the block, and the router does not yet.
    let mut world = World::new();
    befriend(&mut world);
    let romeo = world.connect("romeo@example.net/street");
    world.at_once = false;
    let mut effects = world.send(romeo, chat(JULIET));
    world.block(JULIET, "example.net");
    world.at_once = true;
    world.serve(&mut effects);
    assert_eq!(wires(&effects, romeo).len(), 1);
    assert!(world.kept(JULIET).is_empty());
}

// XEP-0280 1.0.1 §7: a client that has gone while a message waited gets no copy, nor does the one that has come instead, which has asked for
// none; and the message is there for those who are.
#[test]
fn a_copy_for_one_who_is_gone() {
    for comes_back in [false, true] {
        let mut world = World::new();
        let romeo = world.connect("romeo@example.net/street");
        let balcony = world.connect("juliet@example.com/balcony");
        let hall = world.connect("juliet@example.com/hall");
        world.send(hall, carbons());
        world.send(romeo, chat(JULIET));
        world.at_once = false;
        let fetch = world.send(balcony, available(0));
        world.send(romeo, chat(JULIET));
        world.unbound(hall);
        if comes_back {
            // The same number, too.
            world.bind(hall, JULIET, "hall");
        }
        let [(ticket, ask)] = &asks(&fetch)[..] else { panic!("{fetch:?}") };
        let (ticket, entries) = (*ticket, world.ask(ask.clone()));
        let effects = world.answer(ticket, entries);
        assert_eq!(wires(&effects, balcony).iter().filter(|wire| wire.contains("<body>")).count(), 2);
        assert_eq!(got(&effects, hall), (0, 0));
    }
}

// XEP-0280 1.0.1 §11, XEP-0297 1.0 §5: whatever a stanza says inside, outside it names who has sent it; and what looks like a copy is copied
// as what it is, inside of a real one.
#[test]
fn forged_wrappers() {
    let inner = "<message xmlns='jabber:client' from='mercutio@example.com/lane' to='juliet@example.com/balcony' type='chat'>\
                 <body>Forged</body></message>";
    let forwarded = format!("<forwarded xmlns='urn:xmpp:forward:0'>{inner}</forwarded>");
    let delay = "<delay xmlns='urn:xmpp:delay' from='example.com' stamp='2002-09-10T23:08:25Z'/>";
    for wrapper in [
        format!("<received xmlns='urn:xmpp:carbons:2'>{forwarded}</received>"),
        format!("<sent xmlns='urn:xmpp:carbons:2'>{forwarded}</sent>"),
        forwarded.clone(),
        format!("<result xmlns='urn:xmpp:mam:2' id='1'>{forwarded}</result>"),
        format!("{forwarded}{delay}"),
    ] {
        let mut world = World::new();
        let romeo = world.connect("romeo@example.net/street");
        let balcony = world.available("juliet@example.com/balcony", 0);
        let hall = world.connect("juliet@example.com/hall");
        world.send(hall, carbons());
        let mut stanza = content(&wrapper).with_to(jid(JULIET));
        stanza.head.kind = Kind::Message(MessageType::Chat);
        let effects = world.send(romeo, stanza.clone());
        let outside = "<message from='romeo@example.net/street' to='juliet@example.com' type='chat'>";
        assert_eq!(wires(&effects, balcony), [format!("{outside}{wrapper}</message>")]);
        let around = "<message from='juliet@example.com' to='juliet@example.com/hall' type='chat'>\
             <received xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'>\
             <message xmlns='jabber:client' from='romeo@example.net/street' to='juliet@example.com' type='chat'>";
        let copies = wires(&effects, hall);
        assert!(copies.len() == 1 && copies[0].starts_with(around), "{copies:?}");
        // Stored and delivered later it is the same, with the server's own delay behind it.
        world.send(balcony, unavailable());
        world.send(romeo, stanza.clone());
        let told = wires(&world.send(balcony, available(0)), balcony);
        let message = told.iter().find(|wire| wire.starts_with("<message")).unwrap();
        assert!(message.starts_with(outside), "{message}");
        assert!(message.ends_with("stamp='2002-09-10T23:08:25.000Z'/></message>"), "{message}");
        // Another server can't say that it is one of ours, nor that it speaks for another one to a local address of another.
        for from in ["juliet@example.com", "example.com", "romeo@example.net/street"] {
            assert_eq!(world.received(from, stanza.clone()), []);
        }
    }
}

// RFC 6120 §8.1.3: an id is its sender's matter. The same stanza twice is two stanzas, delivered, copied, stored and answered twice.
#[test]
fn the_same_stanza_twice() {
    let mut world = World::new();
    befriend(&mut world);
    let romeo = world.connect("romeo@example.net/street");
    let balcony = world.available("juliet@example.com/balcony", 0);
    let hall = world.connect("juliet@example.com/hall");
    world.send(hall, carbons());
    for _ in 0..2 {
        let effects = world.send(romeo, chat(JULIET));
        assert_eq!([balcony, hall].map(|session| got(&effects, session)), [(1, 0), (0, 1)]);
    }
    for stanza in [
        request(IqType::Set, "<query xmlns='jabber:iq:private'><a xmlns='urn:a'/></query>"),
        request(IqType::Get, "<query xmlns='jabber:iq:private'><a xmlns='urn:a'/></query>"),
        request(IqType::Set, "<vCard xmlns='vcard-temp'/>"),
        request(IqType::Get, "<vCard xmlns='vcard-temp'/>"),
        request(IqType::Get, "<query xmlns='jabber:iq:last'/>"),
        block("tybalt@example.com"),
        carbons(),
    ] {
        world.at_once = false;
        let mut effects = world.send(balcony, stanza.clone());
        effects.extend(world.send(balcony, stanza.clone()));
        world.at_once = true;
        world.serve(&mut effects);
        let answers = wires(&effects, balcony);
        assert!(
            answers.len() == 2 && answers.iter().all(|wire| wire.contains("type='result' id='q'")),
            "{answers:?}"
        );
    }
    assert_eq!(world.blocked(JULIET), ["tybalt@example.com"]);
    world.unbind(balcony);
    for _ in 0..2 {
        world.send(romeo, chat(JULIET));
    }
    assert_eq!(world.kept(JULIET).len(), 2);
}

// RFC 6121 §8.5.2.2.1 [DN8], §8.1: without messages that wait, what nobody takes comes back to those who may know, and nothing is kept; and
// what somebody takes is as ever.
#[test]
fn nobody_there_and_nothing_kept() {
    for is_connected in [false, true] {
        let mut world = lacking("offline");
        befriend(&mut world);
        let romeo = world.connect("romeo@example.net/street");
        let stranger = world.connect("tybalt@example.com/lane");
        let hall = world.connect("juliet@example.com/hall");
        world.send(hall, carbons());
        if !is_connected {
            world.unbind(hall);
        }
        for kind in [MessageType::Normal, MessageType::Chat] {
            let effects = world.send(romeo, message(kind, JULIET));
            let told = wires(&effects, romeo);
            assert!(told.len() == 1 && told[0].contains("<service-unavailable "), "{kind:?} {told:?}");
            assert!(asks(&effects).iter().all(|(_, ask)| matches!(ask, Ask::Load { .. })), "{effects:?}");
            // Nobody else hears anything.
            assert!(world.says(stranger, message(kind, JULIET)).is_empty());
            assert!(world.receives("friar@example.org/cell", message(kind, JULIET)).is_empty());
            assert!(wires(&effects, hall).is_empty());
        }
        // Oneself hears it, too.
        if is_connected {
            let told = world.says(hall, chat(JULIET));
            assert_eq!(told, ["hall: message error service-unavailable/cancel from juliet@example.com"]);
        }
        let balcony = world.connect("juliet@example.com/balcony");
        let told = wires(&world.send(balcony, available(0)), balcony);
        assert!(told.iter().all(|wire| !wire.contains("<body>")), "{told:?}");
        assert_eq!(got(&world.send(stranger, chat(JULIET)), balcony), (1, 0));
        assert!(world.kept(JULIET).is_empty());
    }
}

// What waits for a request that is under way when the account ends is answered, and what the request had caused is not done to whoever
// gets the name next.
#[test]
fn a_request_and_the_end_of_the_account() {
    let mut world = World::new();
    let balcony = world.connect("juliet@example.com/balcony");
    world.at_once = false;
    let set = request(IqType::Set, "<query xmlns='jabber:iq:private'><a xmlns='urn:a'/></query>");
    let saving = world.send(balcony, set);
    world.send(balcony, request(IqType::Set, "<query xmlns='jabber:iq:register'><remove/></query>"));
    let removal = world.removed(JULIET);
    let [(ticket, Ask::Remove { .. })] = asks(&removal)[..] else { panic!("{removal:?}") };
    let [(saving, save)] = &asks(&saving)[..] else { panic!("{saving:?}") };
    // The account is made again before the store comes to the change.
    world.store.remove(&crate::world::bare(JULIET));
    world.store.create(crate::world::bare(JULIET));
    let saved = world.ask(save.clone());
    assert_eq!(saved, balcony_router::Answer::Refused);
    assert_eq!(world.store.documents(&crate::world::bare(JULIET), "private").count(), 0);
    let effects = world.answer(ticket, balcony_router::Answer::Saved);
    assert!(world.tell(&effects).contains(&"balcony: closed with not-authorized".to_owned()));
    assert!(world.answer(*saving, saved).is_empty());
    assert_eq!((world.router.counts().asks, world.router.counts().loaded), (0, 0));
    world.now = Instant::from_millis(3_600_000);
    assert!(world.tick().is_empty());
    assert!(tickets(&effects).is_empty());
}

// RFC 6120 §8.2.3: what a client has answered before its account ends gets to who has asked, here or at another server, though it had to wait.
#[test]
fn an_answer_and_the_end_of_the_account() {
    for (asker, told) in [
        ("romeo@example.net/street", "street: iq result from juliet@example.com/balcony"),
        (
            "friar@example.org/cell",
            "remote friar@example.org/cell: iq result from juliet@example.com/balcony",
        ),
    ] {
        for answer in [balcony_router::Answer::Saved, balcony_router::Answer::Refused] {
            let mut world = World::new();
            let balcony = world.connect("juliet@example.com/balcony");
            world.connect("romeo@example.net/street");
            world.at_once = false;
            let removal = world.removed(JULIET);
            let [(ticket, Ask::Remove { .. })] = asks(&removal)[..] else { panic!("{removal:?}") };
            let result = Stanza::iq(IqType::Result).with_id("q").with_to(crate::world::jid(asker));
            assert!(world.says(balcony, result).is_empty(), "it waits");
            let mut effects = world.answer(ticket, answer);
            world.take_in(&mut effects);
            assert!(world.tell(&effects).contains(&told.to_owned()), "{:?}", world.tell(&effects));
        }
    }
}
