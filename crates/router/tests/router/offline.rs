//! Messages for accounts that are not there (XEP-0160, XEP-0203).

use std::collections::BTreeMap;

use balcony_machine::Instant;
use balcony_roster::Subscription;
use balcony_router::{Answer, Ask, Change, Collections, Effect, LogEdit, SessionId};
use balcony_stanza::{IqType, Kind, MessageType, Stanza};
use proptest::prelude::*;

use crate::world::{
    World, asks, available, bare, config, content, jid, request, room_for, roster_get, tickets, unavailable,
    wires,
};

const JULIET: &str = "juliet@example.com";

fn message(kind: MessageType, xml: &str) -> Stanza {
    let mut stanza = content(xml).with_to(jid(JULIET));
    stanza.head.kind = Kind::Message(kind);
    stanza
}

fn chat(text: &str) -> Stanza {
    message(MessageType::Chat, &format!("<body>{text}</body>"))
}

fn world() -> (World, SessionId) {
    let mut world = World::new();
    world.befriend(JULIET, "romeo@example.net", Subscription::None);
    let romeo = world.connect("romeo@example.net/street");
    (world, romeo)
}

/// The bodies of the messages among these.
fn bodies(wires: &[String]) -> Vec<String> {
    let body = |wire: &String| Some(wire.split_once("<body>")?.1.split_once("</body>")?.0.to_owned());
    wires.iter().filter_map(body).collect()
}

// XEP-0160 1.0.1 §2, §3 [OF2] [OF3], XEP-0203 2.0 §2, §4 [DL1]: in order, as they were, with the time at which they were stored; once.
#[test]
fn messages_wait() {
    let (mut world, romeo) = world();
    world.send(romeo, chat("1").with_id("a"));
    world.now = Instant::from_millis(1_500);
    world.send(romeo, message(MessageType::Normal, "<body>2</body><x xmlns='urn:x'><y/></x>"));
    let balcony = world.connect("juliet@example.com/balcony");
    assert!(
        wires(&world.send(balcony, available(-1)), balcony).iter().all(|wire| !wire.contains("<message"))
    );
    world.now = Instant::from_millis(60_000);
    let effects = world.send(balcony, available(0));
    assert_eq!(
        wires(&effects, balcony)[1..],
        [
            "<message from='romeo@example.net/street' to='juliet@example.com' type='chat' id='a'><body>1</body>\
             <delay xmlns='urn:xmpp:delay' from='example.com' stamp='2002-09-10T23:08:25.000Z'/></message>",
            "<message from='romeo@example.net/street' to='juliet@example.com'><body>2</body><x xmlns='urn:x'><y/></x>\
             <delay xmlns='urn:xmpp:delay' from='example.com' stamp='2002-09-10T23:08:26.500Z'/></message>",
        ]
    );
    assert!(world.kept(JULIET).is_empty());
    // Neither again nor for another.
    assert!(bodies(&wires(&world.send(balcony, unavailable()), balcony)).is_empty());
    assert!(bodies(&wires(&world.send(balcony, available(0)), balcony)).is_empty());
    let attic = world.connect("juliet@example.com/attic");
    assert!(bodies(&wires(&world.send(attic, available(9)), attic)).is_empty());
}

// RFC 6121 §8.5.2.2.1 [DN8], XEP-0160 1.0.1 §3 [OF1], XEP-0334 1.0.0 §4, §5 [HI1] [HI2] [HI4] [HI5] [AR11]: what is stored, and what is told of
// the rest to a contact. Hints do not make an error one that is kept.
#[test]
fn what_is_stored() {
    const STATE: &str = "<composing xmlns='http://jabber.org/protocol/chatstates'/>";
    const HINT: &str = "xmlns='urn:xmpp:hints'";
    let (kept, refused, dropped) = ((1, 0), (0, 1), (0, 0));
    for (kind, xml, expected) in [
        (MessageType::Normal, "".to_owned(), kept),
        (MessageType::Chat, "<body>x</body>".to_owned(), kept),
        (MessageType::Chat, "<received xmlns='urn:xmpp:receipts' id='1'/>".to_owned(), kept),
        (MessageType::Chat, format!("<body>x</body>{STATE}"), kept),
        (MessageType::Chat, STATE.to_owned(), dropped),
        (MessageType::Chat, format!("<thread>t</thread>{STATE}"), dropped),
        (MessageType::Chat, format!("{STATE}<store {HINT}/>"), kept),
        (MessageType::Chat, format!("{STATE}<no-copy {HINT}/>"), dropped),
        (MessageType::Chat, format!("<body>x</body><no-store {HINT}/>"), refused),
        (MessageType::Chat, format!("<body>x</body><no-permanent-store {HINT}/>"), kept),
        (MessageType::Chat, format!("<body>x</body><no-permanent-store {HINT}/><no-store {HINT}/>"), refused),
        (MessageType::Groupchat, "<body>x</body>".to_owned(), refused),
        (MessageType::Headline, "<body>x</body>".to_owned(), dropped),
        (MessageType::Error, "<body>x</body>".to_owned(), dropped),
        (MessageType::Error, format!("<body>x</body><store {HINT}/>"), dropped),
    ] {
        let (mut world, romeo) = world();
        let effects = world.send(romeo, message(kind, &xml));
        let found = (world.kept(JULIET).len(), wires(&effects, romeo).len());
        assert_eq!(found, expected, "{kind:?} {xml}");
    }
}

// XEP-0160 1.0.1 §2 [OF4]: no room. A stranger is not told: it would show that there is an account, and that nobody is there.
#[test]
fn too_many() {
    let mut config = config();
    config.extensions = room_for(3);
    let mut world = World::with(config);
    world.befriend(JULIET, "romeo@example.net", Subscription::None);
    let romeo = world.connect("romeo@example.net/street");
    let stranger = world.connect("paris@example.net/hall");
    for text in ["1", "2"] {
        assert!(wires(&world.send(romeo, chat(text)), romeo).is_empty());
    }
    // There is no room for more of strangers, but for one more of a contact.
    assert!(wires(&world.send(stranger, chat("0")), stranger).is_empty());
    assert!(wires(&world.send(romeo, chat("2b")), romeo).is_empty());
    let told = wires(&world.send(romeo, chat("3")), romeo);
    assert!(told.len() == 1 && told[0].contains("<service-unavailable"), "{told:?}");
    assert!(wires(&world.send(stranger, chat("4")), stranger).is_empty());
    let balcony = world.connect("juliet@example.com/balcony");
    assert_eq!(bodies(&wires(&world.send(balcony, available(0)), balcony)), ["1", "2", "2b"]);
}

// RFC 6120 §10.1: who pings a contact whose presence it sees knows, when the answer comes, that the messages before it are
// stored, or why not. A stranger's ping waits for nothing: how long it takes must not show who is away.
#[test]
fn an_answer_comes_behind_what_becomes_of_earlier_messages() {
    const ELSEWHERE: &str = "paris@example.org/hall";
    let ping = |to: &str| request(IqType::Get, "<ping xmlns='urn:xmpp:ping'/>").with_to(jid(to));
    let mut world = World::with(config());
    world.befriend(JULIET, "romeo@example.net", Subscription::Both);
    world.befriend("romeo@example.net", JULIET, Subscription::Both);
    let romeo = world.connect("romeo@example.net/street");
    let nurse = world.connect("nurse@example.com/kitchen");
    world.at_once = false;
    let load = tickets(&world.send(romeo, chat("1")))[0];
    assert_eq!(world.send(romeo, ping(JULIET)), []);
    // Strangers wait for nothing.
    assert_eq!(wires(&world.send(nurse, ping(JULIET)), nurse).len(), 1);
    assert_eq!(world.receives(ELSEWHERE, ping(JULIET)).len(), 1);
    let answer = world.ask(Ask::Load { account: bare(JULIET), collections: Collections::default() });
    let put = tickets(&world.answer(load, answer))[0];
    assert_eq!(wires(&world.send(nurse, ping(JULIET)), nurse).len(), 1);
    assert_eq!(world.receives(ELSEWHERE, ping(JULIET)).len(), 1);
    let told = wires(&world.answer(put, Answer::Refused), romeo);
    assert!(told.len() == 2 && told[0].starts_with("<message") && told[1].starts_with("<iq"), "{told:?}");

    // A message to oneself, where nobody takes messages.
    let put = tickets(&world.send(nurse, chat("3").with_to(jid("nurse@example.com"))))[0];
    assert_eq!(world.send(nurse, ping("nurse@example.com")), []);
    assert_eq!(world.send(nurse, ping("example.com")), []);
    let told = wires(&world.answer(put, Answer::Refused), nurse);
    assert!(
        told.len() == 3 && told[0].starts_with("<message") && told[2].contains("type='result'"),
        "{told:?}"
    );
    assert_eq!(wires(&world.send(nurse, ping("nurse@example.com")), nurse).len(), 1);
}

// XEP-0203 2.0 §5 [DL3]: nobody else speaks for the server.
#[test]
fn forged_delays() {
    let (mut world, romeo) = world();
    let delay =
        |from: &str| format!("<delay xmlns='urn:xmpp:delay' from='{from}' stamp='1999-01-01T00:00:00Z'/>");
    world.send(
        romeo,
        message(MessageType::Chat, &format!("{}{}", delay("example.com"), delay("example.org"))),
    );
    let balcony = world.connect("juliet@example.com/balcony");
    let told = wires(&world.send(balcony, available(0)), balcony).remove(1);
    assert!(
        told.contains(&delay("example.org")) && told.matches("from='example.com'").count() == 1,
        "{told}"
    );
}

// XEP-0160 [OF6]: a crash between delivery and deletion loses nothing: deleted is what has been written, and only that.
#[test]
fn deleted_after_it_is_written() {
    let (mut world, romeo) = world();
    world.send(romeo, chat("1"));
    let balcony = world.connect("juliet@example.com/balcony");
    world.at_once = false;
    let effects = world.send(balcony, available(0));
    let (ticket, ask) = asks(&effects).remove(0);
    assert!(matches!(ask, Ask::Entries { .. }));
    // What comes now goes behind.
    assert!(world.send(romeo, chat("2")).is_empty());
    let answer = world.ask(ask);
    let effects = world.answer(ticket, answer);
    assert_eq!(bodies(&wires(&effects, balcony)), ["1", "2"]);
    assert!(tickets(&effects).is_empty());
    // Another resource does not get it, too.
    let mut effects = Vec::new();
    let attic = SessionId(1);
    world.router.bind(world.now, attic, &bare(JULIET), Some("attic"), &mut effects).unwrap();
    assert!(bodies(&wires(&world.send(attic, available(5)), attic)).is_empty());
    effects.clear();
    world.router.drained(world.now, romeo, u64::MAX, &mut effects);
    world.router.drained(world.now, attic, u64::MAX, &mut effects);
    assert!(effects.is_empty());
    // The stream ends, and what was on its way may still be written.
    world.router.unbind(world.now, balcony, &mut effects);
    assert!(tickets(&effects).is_empty());
    // The connection breaks instead: now the other gets it, and behind it what has come later.
    world.router.gone(world.now, balcony, &mut effects);
    let (ticket, ask) = asks(&effects).remove(0);
    assert!(matches!(ask, Ask::Entries { .. }));
    let answer = world.ask(ask);
    assert_eq!(bodies(&wires(&world.answer(ticket, answer), attic)), ["1", "2"]);
    effects.clear();
    world.router.drained(world.now, attic, u64::MAX, &mut effects);
    let (ticket, ask) = asks(&effects).remove(0);
    let Ask::Save { changes, .. } = &ask else { panic!("{ask:?}") };
    assert!(matches!(changes[..], [Change::Log { edit: LogEdit::Trim { up_to: 0, .. }, .. }]));
    // Once.
    effects.clear();
    world.router.drained(world.now, attic, u64::MAX, &mut effects);
    assert!(effects.is_empty());
    let answer = world.ask(ask);
    assert!(world.answer(ticket, answer).is_empty());
    assert!(world.kept(JULIET).is_empty());
}

// XEP-0160 §2 [OF6]: whoever has got the messages and leaves at once does not get them again, and what comes later is not lost.
#[test]
fn written_after_the_end_of_the_stream() {
    let (mut world, romeo) = world();
    world.send(romeo, chat("1"));
    let balcony = world.connect("juliet@example.com/balcony");
    world.at_once = false;
    let (ticket, ask) = asks(&world.send(balcony, available(0))).remove(0);
    let answer = world.ask(ask);
    assert_eq!(bodies(&wires(&world.answer(ticket, answer), balcony)), ["1"]);
    let mut effects = Vec::new();
    world.router.unbind(world.now, balcony, &mut effects);
    world.at_once = true;
    world.serve(&mut effects);
    world.send(romeo, chat("2"));
    effects.clear();
    world.router.drained(world.now, balcony, u64::MAX, &mut effects);
    world.serve(&mut effects);
    let attic = world.connect("juliet@example.com/attic");
    assert_eq!(bodies(&wires(&world.send(attic, available(0)), attic)), ["2"]);
    assert!(world.kept(JULIET).is_empty());
}

// A message on its way to the store is not overtaken by a login.
#[test]
fn a_login_while_a_message_is_being_stored() {
    let (mut world, romeo) = world();
    let balcony = world.connect("juliet@example.com/balcony");
    world.at_once = false;
    let (put, ask) = asks(&world.send(romeo, chat("1"))).remove(0);
    let effects = world.send(balcony, available(0));
    assert!(tickets(&effects).is_empty());
    assert!(world.send(romeo, chat("2")).is_empty());
    let answer = world.ask(ask);
    let effects = world.answer(put, answer);
    let (ticket, ask) = asks(&effects).remove(0);
    let answer = world.ask(ask);
    assert_eq!(bodies(&wires(&world.answer(ticket, answer), balcony)), ["1", "2"]);
}

// Messages that can't be got, or deleted, do not keep the client from anything else, nor are they got for ever.
#[test]
fn a_store_in_trouble() {
    let (mut world, romeo) = world();
    world.send(romeo, chat("1"));
    let balcony = world.connect("juliet@example.com/balcony");
    world.at_once = false;
    let ticket = tickets(&world.send(balcony, available(0)))[0];
    world.send(romeo, chat("2"));
    let effects = world.answer(ticket, Answer::Refused);
    assert_eq!((bodies(&wires(&effects, balcony)), tickets(&effects).len()), (vec!["2".to_owned()], 0));
    assert_eq!(world.router.counts().asks, 0);
    world.at_once = true;
    world.unbind(balcony);
    let balcony = world.connect("juliet@example.com/balcony");
    world.at_once = false;
    let effects = world.send(balcony, available(0));
    let (ticket, ask) = asks(&effects).remove(0);
    let answer = world.ask(ask);
    assert_eq!(bodies(&wires(&world.answer(ticket, answer), balcony)), ["1"]);
    let mut effects = Vec::new();
    world.router.drained(world.now, balcony, u64::MAX, &mut effects);
    assert!(world.answer(tickets(&effects)[0], Answer::Refused).is_empty());
    assert_eq!(world.kept(JULIET).len(), 1);
}

/// A while later.
fn later(world: &mut World) -> Vec<Effect> {
    let deadline = world.router.deadline().unwrap().at;
    let mut effects = Vec::new();
    world.router.tick(Instant::from_nanos(deadline.as_nanos() - 1), &mut effects);
    assert!(effects.is_empty());
    world.now = deadline;
    world.router.tick(world.now, &mut effects);
    effects
}

// XEP-0160: who stays online gets the rest when the store works again, and nothing twice; until then later messages come
// without it.
#[test]
fn the_trouble_of_a_store_passes() {
    let mut config = config();
    config.limits.output = 4_000;
    let mut world = World::with(config);
    world.store.create(bare(JULIET));
    let romeo = world.connect("romeo@example.net/street");
    let text = |number: usize| format!("{number}{}", "x".repeat(600));
    for number in 0..3 {
        world.send(romeo, chat(&text(number)));
    }
    let balcony = world.connect("juliet@example.com/balcony");
    world.at_once = false;
    let seen = |effects: &[Effect]| -> Vec<String> {
        bodies(&wires(effects, balcony)).iter().map(|body| body[..1].to_owned()).collect()
    };
    let mut effects = world.send(balcony, available(0));
    // They can't be got; and again.
    for number in 3..5 {
        let [(ticket, Ask::Entries { .. })] = asks(&effects)[..] else { panic!("{effects:?}") };
        assert!(world.answer(ticket, Answer::Refused).is_empty());
        assert_eq!(seen(&world.send(romeo, chat(&text(number)))), [number.to_string()]);
        effects = later(&mut world);
    }
    // The first can be got, but not deleted.
    let (ticket, ask) = asks(&effects).remove(0);
    let answer = world.ask(ask);
    assert_eq!(seen(&world.answer(ticket, answer)), ["0"]);
    effects.clear();
    world.router.drained(world.now, balcony, u64::MAX, &mut effects);
    for number in 5..7 {
        let [(ticket, Ask::Save { .. })] = asks(&effects)[..] else { panic!("{effects:?}") };
        assert!(world.answer(ticket, Answer::Refused).is_empty());
        assert_eq!(seen(&world.send(romeo, chat(&text(number)))), [number.to_string()]);
        effects = later(&mut world);
    }
    // What comes while it is being deleted need not wait.
    assert_eq!(seen(&world.send(romeo, chat(&text(7)))), ["7"]);
    // Now all is well.
    let mut got = Vec::new();
    let mut open = asks(&effects);
    while let Some((ticket, ask)) = open.pop() {
        let answer = world.ask(ask);
        let mut effects = world.answer(ticket, answer);
        got.extend(seen(&effects));
        world.router.drained(world.now, balcony, u64::MAX, &mut effects);
        open.extend(asks(&effects));
    }
    assert_eq!(got, ["1", "2"]);
    assert!(world.kept(JULIET).is_empty());
    assert_eq!((world.router.deadline(), world.router.counts().asks), (None, 0));
}

// XEP-0160: nothing comes twice to a session, whatever else the store has to do in between.
#[test]
fn what_was_not_deleted_goes_before_what_is_stored_next() {
    let (mut world, romeo) = world();
    world.send(romeo, chat("1"));
    let balcony = world.connect("juliet@example.com/balcony");
    world.at_once = false;
    let (ticket, ask) = asks(&world.send(balcony, available(0))).remove(0);
    let answer = world.ask(ask);
    world.answer(ticket, answer);
    let mut effects = Vec::new();
    world.router.drained(world.now, balcony, u64::MAX, &mut effects);
    world.answer(tickets(&effects)[0], Answer::Refused);
    // She looks away for a moment, and a message is stored.
    world.at_once = true;
    world.send(balcony, available(-1));
    world.send(romeo, chat("2"));
    let effects = world.send(balcony, available(0));
    assert_eq!(bodies(&wires(&effects, balcony)), ["2"]);
    assert!(world.kept(JULIET).is_empty());
}

// The output of a connection is bounded: more than it takes goes in parts, and what comes meanwhile waits behind. That is on its way, as
// what waits in a queue, and needs no room of what waits for people who are away.
#[test]
fn large_backlogs_go_in_parts() {
    let mut config = config();
    config.limits.output = 8_000;
    // Those whom she does not know have half of it.
    config.extensions = room_for(20);
    let mut world = World::with(config);
    world.store.create(bare(JULIET));
    let romeo = world.connect("romeo@example.net/street");
    let text = |number: usize| format!("{number}{}", "x".repeat(700));
    for number in 0..10 {
        world.send(romeo, chat(&text(number)));
    }
    let balcony = world.connect("juliet@example.com/balcony");
    world.at_once = false;
    let mut effects = world.send(balcony, available(0));
    let mut got: Vec<String> = Vec::new();
    for part in 0.. {
        let Some((ticket, ask)) = asks(&effects).pop() else { break };
        assert!(matches!(ask, Ask::Entries { .. }));
        let answer = world.ask(ask);
        effects = world.answer(ticket, answer);
        let told = wires(&effects, balcony);
        let stored = told.iter().filter(|wire| wire.contains("<delay"));
        assert!(stored.map(String::len).sum::<usize>() < 4_000);
        got.extend(bodies(&told));
        for number in if part == 0 { 10..25 } else { 0..0 } {
            assert!(world.send(romeo, chat(&text(number))).is_empty());
        }
        effects.clear();
        world.router.drained(world.now, balcony, u64::MAX, &mut effects);
        let (ticket, ask) = asks(&effects).remove(0);
        let answer = world.ask(ask);
        effects = world.answer(ticket, answer);
    }
    assert_eq!(got, (0..25).map(text).collect::<Vec<_>>());
    assert!(world.kept(JULIET).is_empty());
    // Then all is as ever.
    assert_eq!(bodies(&wires(&world.send(romeo, chat("live")), balcony)), ["live"]);
}

// docs/limits.md: however short stored messages are, and however little may wait for a session: no part of them is too much for it.
#[test]
fn a_part_has_room_in_a_queue() {
    let mut small = config();
    // The least that the program takes.
    small.limits.queue_bytes = 1 << 20;
    small.extensions = room_for(10_000);
    let mut world = World::with(small);
    world.store.create(bare(JULIET));
    let romeo = world.connect("romeo@example.net/s");
    for _ in 0..3_000 {
        world.send(romeo, message(MessageType::Normal, "<body>x</body>"));
    }
    let balcony = world.connect("juliet@example.com/balcony");
    // It reads nothing for now.
    world.at_once = false;
    let (ticket, ask) = asks(&world.send(balcony, available(0))).remove(0);
    let answer = world.ask(ask);
    let mut effects = world.answer(ticket, answer);
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Close { .. })), "it was closed");
    // Then it gets all of them.
    world.at_once = true;
    world.serve(&mut effects);
    assert_eq!(bodies(&wires(&effects, balcony)).len(), 3_000);
    assert!(world.kept(JULIET).is_empty());
}

// RFC 6120 §10.1 [Q10]: presence that waited behind a request, and what the account sends to itself behind that, go on together.
// What is stored goes first.
#[test]
fn stored_messages_are_not_overtaken_by_what_waited_behind_presence() {
    let mut world = World::new();
    world.befriend(JULIET, "romeo@example.net", Subscription::None);
    let balcony = world.connect("juliet@example.com/balcony");
    world.send(balcony, available(-1));
    let attic = world.connect("juliet@example.com/attic");
    world.at_once = false;
    let mut puts = asks(&world.send(balcony, chat("1")));
    // It waits for the fate of the message, and the presence for it.
    assert!(wires(&world.send(attic, roster_get()), attic).is_empty());
    assert!(wires(&world.send(attic, available(0)), attic).is_empty());
    world.send(balcony, chat("2"));
    let (ticket, ask) = puts.remove(0);
    let saved = world.ask(ask);
    let effects = world.answer(ticket, saved);
    assert!(wires(&effects, attic).iter().any(|wire| wire.contains("jabber:iq:roster")), "{effects:?}");
    let mut got = bodies(&wires(&effects, attic));
    let (ticket, ask) = asks(&effects).remove(0);
    assert!(matches!(ask, Ask::Entries { .. }), "{ask:?}");
    let entries = world.ask(ask);
    got.extend(bodies(&wires(&world.answer(ticket, entries), attic)));
    assert_eq!(got, ["1", "2"]);
}

// RFC 6120 §10.1 [Q10]: a message that was stored while older ones were still being deleted is not overtaken either.
#[test]
fn messages_are_not_overtaken() {
    let (mut world, romeo) = world();
    world.send(romeo, chat("1"));
    let balcony = world.connect("juliet@example.com/balcony");
    let attic = world.connect("juliet@example.com/attic");
    world.at_once = false;
    let (ticket, ask) = asks(&world.send(balcony, available(0))).remove(0);
    let answer = world.ask(ask);
    world.answer(ticket, answer);
    world.send(balcony, unavailable());
    let (ticket, ask) = asks(&world.send(romeo, chat("2"))).remove(0);
    let answer = world.ask(ask);
    world.answer(ticket, answer);
    // Somebody is there for the last one, but not before the one before it.
    assert!(bodies(&wires(&world.send(attic, available(0)), attic)).is_empty());
    assert!(world.send(romeo, chat("3")).is_empty());
    let mut effects = Vec::new();
    world.router.drained(world.now, balcony, u64::MAX, &mut effects);
    world.at_once = true;
    let (ticket, ask) = asks(&effects).remove(0);
    let answer = world.ask(ask);
    assert_eq!(bodies(&wires(&world.answer(ticket, answer), attic)), ["2", "3"]);
}

// XEP-0191 1.3 §3.1: blocking goes for what is stored, too.
#[test]
fn blocked_while_away() {
    let (mut world, romeo) = world();
    world.send(romeo, chat("1"));
    let nurse = world.connect("nurse@example.com/kitchen");
    world.send(nurse, chat("2"));
    let balcony = world.connect("juliet@example.com/balcony");
    world.send(
        balcony,
        request(
            balcony_stanza::IqType::Set,
            "<block xmlns='urn:xmpp:blocking'><item jid='romeo@example.net'/></block>",
        ),
    );
    assert_eq!(bodies(&wires(&world.send(balcony, available(0)), balcony)), ["2"]);
    assert!(world.kept(JULIET).is_empty());
}

#[derive(Clone, Debug)]
enum Op {
    Message(usize),
    Bind(usize),
    Available(usize, i8),
    Unavailable(usize),
    /// The stream ends.
    Lose(usize),
    /// What the session of a stream that has ended was getting is written; or is not.
    Fate(bool),
    /// What was written to the session is.
    Flush(usize),
    Answer,
    /// The store answers, too, but cannot give or delete messages.
    Refuse,
    /// What was given up is tried again.
    Later,
    /// The same, if nothing is on its way.
    Rest,
}

fn op() -> impl Strategy<Value = Op> {
    let session = || 0..2_usize;
    prop_oneof![
        6 => (0..2_usize).prop_map(Op::Message),
        2 => session().prop_map(Op::Bind),
        3 => (session(), -1..2_i8).prop_map(|(s, priority)| Op::Available(s, priority)),
        1 => session().prop_map(Op::Unavailable),
        1 => session().prop_map(Op::Lose),
        1 => any::<bool>().prop_map(Op::Fate),
        3 => session().prop_map(Op::Flush),
        8 => Just(Op::Answer),
        1 => Just(Op::Refuse),
        1 => Just(Op::Later),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    // habits.md invariant 4: whatever happens when, every message arrives, and none twice at one session; of what one sends to
    // one the order is kept; and only what was not written when a connection was lost comes twice. The last two as far as the
    // store gives and deletes messages.
    #[test]
    fn every_message_arrives(mut ops in prop::collection::vec(op(), 1..80), small: bool, works: bool, stays: bool) {
        let mut config = config();
        config.limits.waiting = 10_000;
        if small {
            (config.limits.output, config.limits.credit) = (1_000, 1_000);
        }
        config.extensions = room_for(2_000);
        let mut world = World::with(config);
        world.store.create(bare(JULIET));
        let senders = [world.connect("romeo@example.net/a"), world.connect("nurse@example.com/b")];
        world.at_once = false;
        let mut open = std::collections::VecDeque::new();
        let mut sessions: [Option<u64>; 2] = [None; 2];
        let (mut next_session, mut sent) = (1, 0);
        // What each session has got: the sender, the number, and whether it was stored; and how many of these are written.
        type Copy = (bool, usize, bool);
        let mut got: BTreeMap<u64, (Vec<Copy>, usize)> = BTreeMap::new();
        let mut ended: Vec<u64> = Vec::new();
        if stays {
            ops.retain(|op| !matches!(op, Op::Lose(_) | Op::Later | Op::Unavailable(_) | Op::Available(_, -1)));
        }
        // What comes back from a connection that was lost goes behind what was sent later; and what one that takes no more messages has left
        // of the stored ones, to one that had later ones meanwhile (docs/guarantees.md).
        let is_steady = !ops.iter().any(|op| {
            matches!(op, Op::Lose(_) | Op::Later | Op::Unavailable(_) | Op::Available(_, -1))
        });
        let flush = if is_steady { 80 } else { 0 };
        let rest = core::iter::repeat_n([Op::Flush(0), Op::Flush(1), Op::Answer], flush).flatten();
        let rest = rest.chain([Op::Lose(0), Op::Lose(1)]).chain((0..80).map(|_| Op::Fate(false)));
        let rest = rest.chain([Op::Bind(0), Op::Available(0, 1)]);
        let settle = core::iter::repeat_n([Op::Answer, Op::Flush(0), Op::Rest], 300).flatten();
        for op in ops.into_iter().chain(rest).chain(settle) {
            let mut effects = Vec::new();
            match op {
                Op::Message(sender) => {
                    effects = world.send(senders[sender], chat(&sent.to_string()));
                    sent += 1;
                }
                Op::Bind(slot) if sessions[slot].is_none() => {
                    let session = SessionId(next_session);
                    sessions[slot] = Some(next_session);
                    next_session += 1;
                    let name = slot.to_string();
                    world.router.bind(world.now, session, &bare(JULIET), Some(&name), &mut effects).unwrap();
                }
                Op::Available(slot, priority) => {
                    if let Some(session) = sessions[slot] {
                        effects = world.send(SessionId(session), available(priority));
                    }
                }
                Op::Unavailable(slot) => {
                    if let Some(session) = sessions[slot] {
                        effects = world.send(SessionId(session), unavailable());
                    }
                }
                Op::Lose(slot) => {
                    if let Some(session) = sessions[slot].take() {
                        world.router.unbind(world.now, SessionId(session), &mut effects);
                        ended.push(session);
                    }
                }
                Op::Fate(is_written) => {
                    if let Some(session) = ended.pop() {
                        if is_written {
                            let (all, written) = got.entry(session).or_default();
                            *written = all.len();
                            world.router.drained(world.now, SessionId(session), u64::MAX, &mut effects);
                        }
                        world.router.gone(world.now, SessionId(session), &mut effects);
                    }
                }
                Op::Flush(slot) => {
                    if let Some(session) = sessions[slot]
                        && let Some((all, written)) = got.get_mut(&session)
                    {
                        *written = all.len();
                        world.router.drained(world.now, SessionId(session), u64::MAX, &mut effects);
                    }
                }
                Op::Answer => {
                    if let Some((ticket, ask)) = open.pop_front() {
                        let answer = world.ask(ask);
                        effects = world.answer(ticket, answer);
                    }
                }
                Op::Refuse => {
                    if let Some((ticket, ask)) = open.pop_front() {
                        let is_about_stored = match &ask {
                            Ask::Entries { .. } => true,
                            Ask::Save { changes, .. } => matches!(changes[..], [Change::Log { edit: LogEdit::Trim { .. }, .. }]),
                            _ => false,
                        };
                        let answer = if is_about_stored && !works { Answer::Refused } else { world.ask(ask) };
                        effects = world.answer(ticket, answer);
                    }
                }
                // Otherwise asks would expire.
                // Nor is somebody slow who would take more, if time did not run from one deadline to the next.
                Op::Rest if world.router.queued() > 0 => {}
                Op::Later | Op::Rest => {
                    if let Some(deadline) = world.router.deadline().filter(|_| open.is_empty()) {
                        world.now = deadline.at;
                        world.router.tick(world.now, &mut effects);
                    }
                }
                Op::Bind(_) => {}
            }
            for effect in effects {
                match effect {
                    Effect::Ask { ticket, ask } => open.push_back((ticket, ask)),
                    // It has taken nothing for too long.
                    Effect::Close { session, .. } => {
                        sessions.iter_mut().for_each(|slot| *slot = slot.filter(|slot| *slot != session.0));
                        ended.push(session.0);
                    }
                    Effect::Deliver { session, stanza } => {
                        let wire = crate::world::wire(&stanza);
                        prop_assert!(!wire.contains("type='error'"), "{}", wire);
                        let (from, stored) = (wire.contains("romeo"), wire.contains("<delay"));
                        let all = &mut got.entry(session.0).or_default().0;
                        all.extend(bodies(&[wire]).iter().map(|number| (from, number.parse().unwrap(), stored)));
                    }
                    _ => {}
                }
            }
        }
        prop_assert!(open.is_empty());
        prop_assert!(world.kept(JULIET).is_empty());
        for number in 0..sent {
            let copies: Vec<_> = got
                .values()
                .flat_map(|(all, written)| all.iter().enumerate().map(move |(at, copy)| (copy, at < *written)))
                .filter(|(copy, _)| copy.1 == number)
                .collect();
            // It gets through to somewhere, at once or from the store; and not again from there.
            prop_assert!(copies.iter().any(|(_, written)| *written), "{}: {:?}", number, got);
            let is_live = copies.iter().any(|(copy, written)| !copy.2 && *written);
            prop_assert!(!is_live || copies.iter().all(|(copy, _)| !copy.2), "{}: {:?}", number, got);
            // What was written to a connection is not stored for another.
            let written = copies.iter().filter(|(copy, written)| copy.2 && *written).count();
            prop_assert!(written <= 1 || !works, "{}: {:?}", number, got);
        }
        for (all, _) in got.values() {
            let numbers: std::collections::BTreeSet<_> = all.iter().map(|copy| copy.1).collect();
            prop_assert_eq!(numbers.len(), all.len(), "{:?}", all);
        }
        for (all, _) in got.values().filter(|_| is_steady && works) {
            for sender in [false, true] {
                let numbers = all.iter().filter(|copy| copy.0 == sender).map(|copy| copy.1);
                prop_assert!(numbers.clone().zip(numbers.skip(1)).all(|(a, b)| a < b), "{:?}", got);
            }
        }
    }
}

// docs/limits.md: the messages of an account that is away are bounded in bytes as well as in number, strangers' in half of it. What is
// past that comes back to contacts; nobody hears of strangers'.
#[test]
fn what_waits_is_bounded_in_bytes() {
    const MOST: usize = 4 << 20;
    let (mut world, romeo) = world();
    let tybalt = world.connect("tybalt@example.net/lane");
    let body = "x".repeat(200_000);
    let bytes = |world: &World| -> usize {
        world.store.entries(&bare(JULIET), "offline").map(|entry| entry.content.bytes.len()).sum()
    };
    let mut said = Vec::new();
    for _ in 0..40 {
        said.extend(world.says(tybalt, chat(&body)).into_iter().filter(|line| !line.starts_with("store")));
    }
    assert!(said.is_empty(), "{said:?}");
    assert!((MOST / 2 - 201_000..=MOST / 2).contains(&bytes(&world)), "{}", bytes(&world));
    for _ in 0..40 {
        said.extend(world.says(romeo, chat(&body)).into_iter().filter(|line| !line.starts_with("store")));
    }
    assert!((MOST - 201_000..=MOST).contains(&bytes(&world)), "{}", bytes(&world));
    let kept = world.kept(JULIET).len();
    assert_eq!(said.len(), 80 - kept - (40 - MOST / 2 / 200_000), "{said:?}");
    assert!(
        said.iter().all(|line| line.starts_with("street: message error service-unavailable/cancel")),
        "{said:?}"
    );
    // What is small enough still has room.
    world.send(romeo, chat("1"));
    assert_eq!(world.kept(JULIET).len(), kept + 1);
}
