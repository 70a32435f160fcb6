//! Push notifications (XEP-0357): who is told of what, and why not.

use core::time::Duration;

use balcony_router::extension::Extensions;
use balcony_router::extension::push::Push;
use balcony_router::{Answer, Ask, Effect, Level, Restoring, SessionId};
use balcony_stanza::{ErrorCondition, ErrorType, IqType, Kind, MessageType, Stanza, StanzaError};
use balcony_xep::csi::ClientState;
use balcony_xep::push::{Publish, Summary};
use balcony_xml::Element;
use proptest::prelude::*;

use crate::world::{START, World, bare, condition, config, content, document, jid, request, wire, wires};

const JULIET: &str = "juliet@example.com";
const SERVICE: &str = "push.example.org";
const WAIT: Duration = Duration::from_secs(600);

fn chat(body: &str) -> Stanza {
    let mut stanza = content(&format!("<body>{body}</body>"));
    stanza.head.kind = Kind::Message(MessageType::Chat);
    stanza.with_to(jid(JULIET)).with_id(body)
}

fn enable(service: &str, node: &str, options: &str) -> Stanza {
    request(
        IqType::Set,
        &format!("<enable xmlns='urn:xmpp:push:0' jid='{service}' node='{node}'>{options}</enable>"),
    )
}

fn disable(attributes: &str) -> Stanza {
    request(IqType::Set, &format!("<disable xmlns='urn:xmpp:push:0' {attributes}/>"))
}

/// What has gone to another server.
fn remote(effects: &[Effect]) -> Vec<Stanza> {
    let remote = effects.iter().filter_map(|effect| match effect {
        Effect::Remote { stanza, .. } if matches!(stanza.head.kind, Kind::Iq(_)) => Some(stanza.clone()),
        _ => None,
    });
    remote.collect()
}

/// The lines of the log.
fn lines(effects: &[Effect]) -> Vec<(Level, String)> {
    let lines = effects.iter().filter_map(|effect| match effect {
        Effect::Log(level, line) => Some((*level, line.clone())),
        _ => None,
    });
    lines.collect()
}

fn has_line(effects: &[Effect], text: &str) -> bool {
    lines(effects).iter().any(|(_, line)| line.contains(text))
}

fn detach(world: &mut World, session: SessionId) -> Vec<Effect> {
    let mut effects = Vec::new();
    assert!(world.router.detach(world.now, session, &mut effects));
    world.serve(&mut effects);
    effects
}

fn resume(world: &mut World, session: SessionId, count: u32) -> Vec<Effect> {
    let mut effects = Vec::new();
    assert!(world.router.resume(world.now, session, &bare(JULIET), count, &mut effects));
    world.serve(&mut effects);
    effects
}

/// Time passes, and what is due is done.
fn after(world: &mut World, seconds: u64) -> Vec<Effect> {
    world.now = world.now + Duration::from_secs(seconds);
    let mut effects = Vec::new();
    world.router.tick(world.now, &mut effects);
    world.take_in(&mut effects);
    world.serve(&mut effects);
    assert!(world.router.deadline().is_none_or(|deadline| deadline.at > world.now));
    effects
}

/// The service takes a notification.
fn accepts(world: &mut World, push: &Stanza) -> Vec<Effect> {
    world.received(SERVICE, push.result().unwrap().with_to(jid("example.com")))
}

fn refuses(world: &mut World, push: &Stanza, condition: ErrorCondition) -> Vec<Effect> {
    world.received(SERVICE, push.error(&condition.into()).unwrap())
}

/// What a notification says in short.
fn summary(push: &Stanza) -> Option<(Option<u32>, Option<String>, Option<String>)> {
    let content: Element = push.payload.parse().unwrap();
    let publish = Publish::read(content.root().children().next().unwrap()).unwrap();
    let Summary { messages, sender, body, .. } = publish.notification.summary?;
    Some((messages, sender.map(|sender| sender.to_string()), body.map(|body| body.into_owned())))
}

fn count(push: &Stanza) -> u32 {
    summary(push).unwrap().0.unwrap()
}

fn registered(world: &World) -> Vec<String> {
    world.store.documents(&bare(JULIET), "push").map(|(key, _)| key.replace('\n', " ")).collect()
}

/// Romeo, and Juliet's phone, which acknowledges and has enabled push.
fn world_with(push: Push) -> (World, SessionId, SessionId) {
    let mut config = config();
    config.extensions = Extensions::standard().with(push).build().unwrap();
    let mut world = World::with(config);
    let romeo = world.available("romeo@example.net/street", 0);
    let phone = world.available("juliet@example.com/phone", 0);
    assert!(world.router.manage(phone, WAIT, &mut Vec::new()));
    let effects = world.send(phone, enable(SERVICE, "x", ""));
    assert!(wires(&effects, phone)[0].contains("type='result'"), "{effects:?}");
    let (_, line) = &lines(&effects)[0];
    assert_eq!(line, "push for juliet@example.com/phone to push.example.org is enabled");
    acknowledge(&mut world, phone);
    (world, romeo, phone)
}

fn world() -> (World, SessionId, SessionId) {
    world_with(Push::default())
}

/// The session has got all that it was sent.
fn acknowledge(world: &mut World, session: SessionId) {
    let mut effects = Vec::new();
    // Too many are none.
    (0..100).rev().for_each(|count| world.router.acknowledged(world.now, session, count, &mut effects));
    world.serve(&mut effects);
}

// XEP-0357 0.4.1 §4.1 [PN1], §5 [PN2] [PN4], §6 [PN5] [PN6]
#[test]
fn a_client_enables_and_disables() {
    let (mut world, _, phone) = world();
    let info =
        request(IqType::Get, "<query xmlns='http://jabber.org/protocol/disco#info'/>").with_to(jid(JULIET));
    assert!(wires(&world.send(phone, info), phone)[0].contains("<feature var='urn:xmpp:push:0'/>"));
    for other in ["y", "z"] {
        world.send(phone, enable(SERVICE, other, ""));
    }
    world.send(phone, enable("other.example.org", "x", ""));
    world.send(phone, enable(SERVICE, "y", ""));
    assert_eq!(
        registered(&world),
        ["other.example.org x", "push.example.org x", "push.example.org y", "push.example.org z"]
    );
    world.send(phone, disable("jid='push.example.org' node='y'"));
    world.send(phone, disable("jid='push.example.org' node='unknown'"));
    assert_eq!(registered(&world), ["other.example.org x", "push.example.org x", "push.example.org z"]);
    let effects = world.send(phone, disable("jid='push.example.org'"));
    assert!(has_line(&effects, "to push.example.org is disabled, as its client wants"));
    assert_eq!(registered(&world), ["other.example.org x"]);
    for (wrong, error) in [
        (disable("node='x'"), "bad-request/modify"),
        (disable("jid='@'"), "jid-malformed/modify"),
        (enable("example.com", "x", ""), "item-not-found/cancel"),
        (enable(JULIET, "x", ""), "item-not-found/cancel"),
        (enable(SERVICE, &"x".repeat(1_001), ""), "not-acceptable/modify"),
    ] {
        let effects = world.send(phone, wrong);
        let Some(Effect::Deliver { stanza, .. }) = effects.first() else { panic!("{effects:?}") };
        assert_eq!(condition(stanza).as_deref(), Some(error));
    }
    // Nobody else's business.
    let nurse = world.available("nurse@example.com/x", 0);
    let effects = world.send(nurse, enable(SERVICE, "n", "").with_to(jid(JULIET)));
    assert!(wires(&effects, nurse)[0].contains("service-unavailable"));
    assert_eq!(registered(&world), ["other.example.org x"]);
}

// docs/limits.md: an account has so many, and the oldest gives way, so that a client whose service names it anew can't lock itself out.
#[test]
fn registrations_are_bounded() {
    let (mut world, _, phone) = world_with(Push { registrations: 3, options: 300, ..Push::default() });
    for node in ["a", "b", "x", "c"] {
        world.send(phone, enable(SERVICE, node, ""));
    }
    assert_eq!(registered(&world), ["push.example.org b", "push.example.org c", "push.example.org x"]);
    let options = |secret: &str| {
        format!(
            "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>\
             http://jabber.org/protocol/pubsub#publish-options</value></field><field var='s'><value>{secret}</value></field></x>"
        )
    };
    let effects = world.send(phone, enable(SERVICE, "d", &options(&"s".repeat(300))));
    assert!(wires(&effects, phone)[0].contains("not-acceptable"));
    assert!(wires(&world.send(phone, enable(SERVICE, "d", &options("s"))), phone)[0].contains("result"));
}

// XEP-0357 0.4.1 §7 [PN8] [PN9] [PN10]: the server tells the service as soon as a message comes for a session without a connection, once,
// and the client gets the message once when it is back.
#[test]
fn a_message_for_a_hibernated_session() {
    let (mut world, romeo, phone) = world();
    let options = "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>\
                   http://jabber.org/protocol/pubsub#publish-options</value></field>\
                   <field var='secret'><value>pencil</value></field></x>";
    let effects = world.send(phone, enable(SERVICE, "x", options));
    assert!(!format!("{effects:?}").contains("pencil"));
    acknowledge(&mut world, phone);
    assert!(lines(&detach(&mut world, phone)).is_empty());
    let effects = world.send(romeo, chat("hello"));
    let [push] = &remote(&effects)[..] else { panic!("{effects:?}") };
    let id = push.head.id.as_deref().unwrap();
    assert_eq!(
        wire(push),
        format!(
            "<iq from='example.com' to='push.example.org' type='set' id='{id}'>\
             <pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='x'><item>\
             <notification xmlns='urn:xmpp:push:0'><x xmlns='jabber:x:data' type='submit'>\
             <field var='FORM_TYPE' type='hidden'><value>urn:xmpp:push:summary</value></field>\
             <field var='message-count' type='text-single'><value>1</value></field></x></notification></item></publish>\
             <publish-options>{options}</publish-options></pubsub></iq>"
        )
    );
    assert!(has_line(
        &effects,
        "push for juliet@example.com/phone to push.example.org: 1 message is waiting"
    ));
    assert!(has_line(&accepts(&mut world, push), "has arrived"));
    let effects = resume(&mut world, phone, 0);
    assert_eq!(wires(&effects, phone).iter().filter(|wire| wire.contains("hello")).count(), 1);
    // It has a connection now, so nobody is told.
    assert!(remote(&world.send(romeo, chat("again"))).is_empty());
}

// What comes in a burst is told in one, with all that waits, and not while the service has not answered.
#[test]
fn a_burst_is_one_push() {
    let (mut world, romeo, phone) = world();
    detach(&mut world, phone);
    let pushes: Vec<Stanza> =
        (0..50).flat_map(|number| remote(&world.send(romeo, chat(&number.to_string())))).collect();
    let [first] = &pushes[..] else { panic!("{pushes:?}") };
    assert_eq!(count(first), 1);
    assert!(has_line(&world.send(romeo, chat("x")), "waits for others: one is on its way"));
    accepts(&mut world, first);
    assert!(has_line(&world.send(romeo, chat("y")), "waits for others: the next goes in 10 s"));
    let effects = after(&mut world, 9);
    assert!(remote(&effects).is_empty(), "{effects:?}");
    let effects = after(&mut world, 1);
    let [second] = &remote(&effects)[..] else { panic!("{effects:?}") };
    assert_eq!(count(second), 52);
    accepts(&mut world, second);
    // It comes back before the next is due, and is not woken for what it has.
    world.send(romeo, chat("z"));
    resume(&mut world, phone, 0);
    let effects = after(&mut world, 60);
    assert!(remote(&effects).is_empty() && has_line(&effects, "this client is back"), "{effects:?}");
    // The count begins anew when the client has been there.
    acknowledge(&mut world, phone);
    detach(&mut world, phone);
    assert_eq!(count(&remote(&world.send(romeo, chat("new")))[0]), 1);
}

// What is no news for a person wakes nobody, and the log says so. The same that CSI holds back.
#[test]
fn noise_wakes_nobody() {
    let (mut world, romeo, phone) = world();
    let desk = world.available("juliet@example.com/desk", -1);
    for session in [phone, desk] {
        world.send(session, request(IqType::Set, "<enable xmlns='urn:xmpp:carbons:2'/>"));
    }
    acknowledge(&mut world, phone);
    detach(&mut world, phone);
    let message = |kind: MessageType, xml: &str| {
        let mut stanza = content(xml);
        stanza.head.kind = Kind::Message(kind);
        stanza.with_to(jid("juliet@example.com/phone"))
    };
    use MessageType as M;
    for (from, stanza, why) in [
        (
            romeo,
            message(M::Chat, "<composing xmlns='http://jabber.org/protocol/chatstates'/>"),
            "it says nothing",
        ),
        (romeo, message(M::Chat, "<received xmlns='urn:xmpp:receipts' id='1'/>"), "it says nothing"),
        (romeo, message(M::Error, "<body>x</body>"), "it is an error"),
        (desk, message(M::Chat, "<body>note</body>"), "the user has sent it"),
        (desk, chat("to romeo").with_to(jid("romeo@example.net")), "it is a copy of what the user has sent"),
    ] {
        let effects = world.send(from, stanza);
        assert!(remote(&effects).is_empty(), "{effects:?}");
        assert!(
            has_line(&effects, &format!("no push for juliet@example.com/phone to push.example.org: {why}")),
            "{effects:?}"
        );
    }
    assert!(remote(&world.send(romeo, Stanza::presence(balcony_stanza::PresenceType::Available))).is_empty());
    // A copy of what others have sent is worth what its message is.
    let mut effects = world.send(romeo, chat("for the desk").with_to(jid("juliet@example.com/desk")));
    assert_eq!(remote(&effects).len(), 1, "{effects:?}");
    accepts(&mut world, &remote(&effects)[0]);
    for said in
        ["<encrypted xmlns='urn:xmpp:omemo:2'/>", "<propose xmlns='urn:xmpp:jingle-message:0' id='a'/>"]
    {
        effects = after(&mut world, 20);
        assert!(remote(&effects).is_empty());
        let push = remote(&world.send(romeo, message(M::Chat, said)));
        assert_eq!(push.len(), 1, "{said}");
        accepts(&mut world, &push[0]);
    }
}

// Who is connected gets the message, and no push; a client that has enabled none gets none. The log tells of the latter.
#[test]
fn who_has_it_is_not_told() {
    let (mut world, romeo, phone) = world();
    let tablet = world.available("juliet@example.com/tablet", 0);
    assert!(world.router.manage(tablet, WAIT, &mut Vec::new()));
    let effects = world.send(romeo, chat("one"));
    assert!(remote(&effects).is_empty() && lines(&effects).is_empty());
    detach(&mut world, tablet);
    let effects = world.send(romeo, chat("two"));
    assert!(remote(&effects).is_empty());
    assert!(has_line(&effects, "no push for juliet@example.com/tablet: this client has enabled none"));
    // Another client has got it, but nobody knows whether anybody sits there: the phone is woken as well.
    acknowledge(&mut world, phone);
    resume(&mut world, tablet, 0);
    detach(&mut world, phone);
    let effects = world.send(romeo, chat("three"));
    assert_eq!(wires(&effects, tablet).len(), 1);
    assert_eq!(remote(&effects).len(), 1);
}

// What a session has got and not acknowledged when its connection is lost waits for it; once, until its client has been there.
#[test]
fn what_is_not_acknowledged_waits() {
    let (mut world, romeo, phone) = world();
    assert!(remote(&world.send(romeo, chat("one"))).is_empty());
    let effects = detach(&mut world, phone);
    let [push] = &remote(&effects)[..] else { panic!("{effects:?}") };
    assert_eq!(count(push), 1);
    accepts(&mut world, push);
    after(&mut world, 20);
    // Its session is over, and the message is stored: it was told of that.
    let effects = after(&mut world, 600);
    assert_eq!(world.kept(JULIET).len(), 1);
    assert!(
        remote(&effects).is_empty() && has_line(&effects, "it was told of this message before"),
        "{effects:?}"
    );
    // Of what comes now it was not.
    assert_eq!(remote(&world.send(romeo, chat("two"))).len(), 1);
}

// A client that says nothing is told after a quarter of a minute, though its connection seems to stand; one that acknowledges is not.
#[test]
fn a_client_that_says_nothing() {
    let (mut world, romeo, phone) = world();
    world.send(romeo, chat("one"));
    acknowledge(&mut world, phone);
    let effects = after(&mut world, 15);
    assert!(remote(&effects).is_empty() && lines(&effects).is_empty(), "{effects:?}");
    world.send(romeo, chat("two"));
    assert!(remote(&after(&mut world, 10)).is_empty());
    world.send(romeo, chat("three"));
    let effects = after(&mut world, 5);
    let [push] = &remote(&effects)[..] else { panic!("{effects:?}") };
    assert_eq!(count(push), 1, "the other may still be acknowledged");
    accepts(&mut world, push);
    // Then its connection is lost, and of the first it was told.
    let effects = detach(&mut world, phone);
    assert!(has_line(&effects, "it was told of this message before"));
    assert_eq!(count(&remote(&after(&mut world, 15))[0]), 2);
}

// XEP-0160: what is stored is told to all whose clients are not connected, when it is stored.
#[test]
fn a_message_that_is_stored() {
    let (mut world, romeo, phone) = world();
    let tablet = world.available("juliet@example.com/tablet", -1);
    world.send(tablet, enable("tablets.example.org", "t", ""));
    world.unbind(phone);
    let effects = world.send(romeo, chat("one"));
    let pushes = remote(&effects);
    assert_eq!(pushes.len(), 1);
    assert_eq!(pushes[0].head.to, Some(jid(SERVICE)));
    assert!(has_line(&effects, "tablets.example.org: a message is stored, but this client is connected"));
    accepts(&mut world, &pushes[0]);
    world.unbind(tablet);
    // The account is in memory as long as no other notification may go.
    let effects = world.send(romeo, chat("two"));
    assert!(has_line(&effects, "phone to push.example.org waits for others: the next goes in 10 s"));
    let [push] = &remote(&effects)[..] else { panic!("{effects:?}") };
    assert_eq!((count(push), &push.head.to), (1, &Some(jid("tablets.example.org"))));
    world.received("tablets.example.org", push.result().unwrap().with_to(jid("example.com")));
    let effects = after(&mut world, 10);
    let [second] = &remote(&effects)[..] else { panic!("{effects:?}") };
    assert_eq!(count(second), 2);
    accepts(&mut world, second);
    after(&mut world, 100);
    assert_eq!(world.router.counts().loaded, 1, "Romeo's");
    assert_eq!(remote(&world.send(romeo, chat("three"))).len(), 2);
    // What is not stored is not told.
    let mut small = World::with({
        let mut config = config();
        config.extensions = crate::world::room_for(0);
        config
    });
    let romeo = small.available("romeo@example.net/street", 0);
    let phone = small.available("juliet@example.com/phone", 0);
    small.send(phone, enable(SERVICE, "x", ""));
    small.unbind(phone);
    assert!(remote(&small.send(romeo, chat("one"))).is_empty());
}

// XEP-0357 0.4.1 §6 [PN7], §7.1 [PN11]: a service that says no is told no more, the user learns that, and the log does.
#[test]
fn a_service_that_fails_for_good() {
    for condition in [ErrorCondition::ItemNotFound, ErrorCondition::NotAuthorized, ErrorCondition::Gone] {
        let (mut world, romeo, phone) = world();
        detach(&mut world, phone);
        let push = remote(&world.send(romeo, chat("one"))).remove(0);
        let effects = refuses(&mut world, &push, condition);
        let line = format!("push for juliet@example.com/phone to push.example.org is disabled: {condition}");
        assert!(lines(&effects).contains(&(Level::Warn, line)), "{effects:?}");
        assert!(registered(&world).is_empty());
        assert!(remote(&world.send(romeo, chat("two"))).is_empty());
        assert!(remote(&after(&mut world, 400)).is_empty());
        let told = wires(&resume(&mut world, phone, 0), phone);
        let notice = told.iter().find(|wire| wire.contains("Push notifications")).unwrap();
        assert!(
            notice.starts_with("<message from='example.com'") && notice.contains(&condition.to_string()),
            "{notice}"
        );
        // It can be enabled again.
        world.send(phone, enable(SERVICE, "x", ""));
        assert_eq!(registered(&world), ["push.example.org x"]);
    }
}

// XEP-0357 0.4.1 §7.1 [PN11]: one that fails for now is tried again, later each time, and not for ever.
#[test]
fn a_service_that_fails_for_now() {
    let (mut world, romeo, phone) = world_with(Push { errors: 4, ..Push::default() });
    world.unbind(phone);
    let mut push = remote(&world.send(romeo, chat("one"))).remove(0);
    let effects = refuses(&mut world, &push, ErrorCondition::ResourceConstraint);
    assert!(has_line(&effects, "has failed: resource-constraint; again in 60 s"), "{effects:?}");
    assert!(remote(&after(&mut world, 59)).is_empty());
    push = remote(&after(&mut world, 1)).remove(0);
    // The server of the service is not found: the DNS may be in trouble.
    let mut effects = Vec::new();
    world.router.undeliverable(&push, ErrorCondition::RemoteServerNotFound, true, &mut effects);
    assert!(has_line(&effects, "remote-server-not-found; again in 120 s"));
    assert_eq!(remote(&after(&mut world, 120)).len(), 1);
    let effects = after(&mut world, 90);
    assert!(has_line(&effects, "there was no answer; again in 240 s"), "{effects:?}");
    push = remote(&after(&mut world, 240)).remove(0);
    let error = StanzaError::from(ErrorCondition::UndefinedCondition).with_type(ErrorType::Wait);
    let effects = world.received(SERVICE, push.error(&error).unwrap());
    assert!(has_line(&effects, "is disabled: undefined-condition"), "{effects:?}");
    assert!(registered(&world).is_empty());
    assert_eq!(world.kept(JULIET).len(), 2, "the message, and a notice");
}

// RFC 6120 §8.2.3, §8.1.2.1: only the service itself answers, by the id that it was asked with, and once.
#[test]
fn nobody_else_answers() {
    let (mut world, romeo, phone) = world();
    detach(&mut world, phone);
    let push = remote(&world.send(romeo, chat("one"))).remove(0);
    let error = push.error(&ErrorCondition::ItemNotFound.into()).unwrap();
    world.received("evil.example.org", error.clone());
    world.received("push.example.org/x", error.clone());
    world.received(SERVICE, error.clone().with_id("0-x"));
    world.send(romeo, error.clone());
    assert_eq!(registered(&world).len(), 1);
    assert!(has_line(&accepts(&mut world, &push), "has arrived"));
    assert!(lines(&world.received(SERVICE, error)).is_empty());
    assert_eq!(registered(&world).len(), 1);
}

// A client of this server can be a push service: one that gets the requests of the user, and nobody else's.
#[test]
fn a_service_that_is_a_client() {
    let (mut world, romeo, phone) = world();
    world.send(phone, disable("jid='push.example.org'"));
    let own = world.available("juliet@example.com/service", -1);
    world.send(phone, enable("juliet@example.com/service", "x", ""));
    world.send(phone, enable("romeo@example.net/street", "x", ""));
    acknowledge(&mut world, phone);
    detach(&mut world, phone);
    let effects = world.send(romeo, chat("one"));
    assert_eq!(wires(&effects, romeo).len(), 0, "{effects:?}");
    // It is as if nobody were there, who may come back: after a restart clients do.
    let line =
        "push for juliet@example.com/phone to romeo@example.net/street has failed: recipient-unavailable";
    assert!(has_line(&effects, line), "{effects:?}");
    assert_eq!(registered(&world).len(), 2);
    let push = effects.iter().find_map(|effect| match effect {
        Effect::Deliver { session, stanza } if *session == own => Some(stanza.clone()),
        _ => None,
    });
    let answer = push.unwrap().result().unwrap();
    let effects = world.send(own, answer);
    assert!(has_line(&effects, "to juliet@example.com/service has arrived"), "{effects:?}");
}

// XEP-0357 0.4.1 §9 [PN14]: senders and texts are told only if whoever runs the server wants that.
#[test]
fn what_is_told() {
    let all = Push { sender: true, body: true, ..Push::default() };
    let long = format!("{}\u{e9}\u{e9}", "x".repeat(253));
    for (push, expected) in [
        (Push::default(), Some((Some(1), None, None))),
        (Push { count: false, ..Push::default() }, None),
        (
            all,
            Some((
                Some(1),
                Some("romeo@example.net/street".into()),
                Some(format!("{}\u{e9}", "x".repeat(253))),
            )),
        ),
    ] {
        let (mut world, romeo, phone) = world_with(push);
        detach(&mut world, phone);
        let effects = world.send(romeo, chat(&long));
        assert_eq!(summary(&remote(&effects)[0]), expected);
        assert!(lines(&effects).iter().all(|(_, line)| !line.contains("xxx")));
    }
}

// What is kept outlives the server; what is damaged is not passed over.
#[test]
fn registrations_are_kept() {
    let (world, _, _) = world();
    let mut again = World::with(config());
    again.store = world.store;
    let romeo = again.available("romeo@example.net/street", 0);
    assert_eq!(remote(&again.send(romeo, chat("one"))).len(), 1);
    document(&mut again, JULIET, "push", "push.example.org\nx", b"?");
    let mut damaged = World::with(config());
    damaged.store = again.store;
    let romeo = damaged.available("romeo@example.net/street", 0);
    assert!(remote(&damaged.send(romeo, chat("two"))).is_empty());
    assert_eq!(damaged.kept(JULIET).len(), 1);
}

// A server that starts anew remembers no push that it has sent, or could not send: a phone whose session goes on is told of what waits.
#[test]
fn sessions_that_are_restored() {
    let (mut world, romeo, phone) = world();
    world.send(romeo, chat("one"));
    detach(&mut world, phone);
    let saved = world.router.save(world.now, phone).unwrap();
    let mut again = World::with(config());
    again.store = world.store;
    let mut effects = Vec::new();
    let mut restoring = Restoring::at(START + 1_000);
    assert!(again.router.restore(again.now, phone, &saved, &mut restoring, &mut effects).is_some());
    assert!(remote(&effects).is_empty());
    again.serve(&mut effects);
    let [push] = &remote(&effects)[..] else { panic!("{effects:?}") };
    assert_eq!(count(push), 1);
    accepts(&mut again, push);
    assert_eq!(wires(&resume(&mut again, phone, 0), phone).len(), 1);
}

// What is held for a client that nobody uses was not sent to it, so it is not late (XEP-0352).
#[test]
fn what_is_held_is_not_late() {
    let (mut world, romeo, phone) = world();
    crate::csi::says(&mut world, phone, ClientState::Inactive);
    let receipt = content("<received xmlns='urn:xmpp:receipts' id='1'/>");
    world.send(romeo, receipt.with_to(jid(JULIET)));
    world.send(romeo, chat("one"));
    world.send(romeo, content("<received xmlns='urn:xmpp:receipts' id='2'/>").with_to(jid(JULIET)));
    acknowledge(&mut world, phone);
    let effects = after(&mut world, 15);
    assert!(lines(&effects).is_empty() && remote(&effects).is_empty(), "{effects:?}");
    // Without a connection it waits as everything does, and wakes nobody.
    let effects = detach(&mut world, phone);
    assert!(has_line(&effects, "it says nothing to a person") && remote(&effects).is_empty());
}

// A change that a client wants, and one that an answer brings, don't get into each other's way: what was enabled last holds.
#[test]
fn an_error_while_it_is_enabled_anew() {
    let (mut world, romeo, phone) = world();
    let tablet = world.available("juliet@example.com/tablet", -1);
    detach(&mut world, phone);
    let push = remote(&world.send(romeo, chat("one"))).remove(0);
    world.at_once = false;
    let mut effects = world.send(tablet, enable(SERVICE, "x", ""));
    effects.append(&mut refuses(&mut world, &push, ErrorCondition::ItemNotFound));
    assert!(has_line(&effects, "has failed"), "{effects:?}");
    world.at_once = true;
    world.serve(&mut effects);
    assert_eq!(registered(&world), ["push.example.org x"]);
    // It is the tablet's now, which is connected.
    assert!(remote(&after(&mut world, 60)).is_empty());
}

// The log at its usual level grows with the notifications, not with what strangers send.
#[test]
fn a_flood_does_not_fill_the_log() {
    for answered in [true, false] {
        let (mut world, romeo, phone) = world();
        world.send(phone, enable(SERVICE, "y", ""));
        detach(&mut world, phone);
        let mut effects = world.send(romeo, chat("first"));
        for push in remote(&effects).iter().filter(|_| answered) {
            effects.append(&mut accepts(&mut world, push));
        }
        for number in 0..100 {
            effects.append(&mut world.send(romeo, chat(&number.to_string())));
        }
        let seen = lines(&effects).iter().filter(|(level, _)| *level >= Level::Info).count();
        let all = lines(&effects).len();
        assert!(seen <= 4 && all >= 200, "{seen} of {all}");
    }
}

// What was sent for a registration that has been disabled says nothing of the one that was enabled after it, though it is at the same
// service and node: an app that comes back may have told its service of the device anew.
#[test]
fn a_late_answer_is_not_for_the_next_registration() {
    for how_many in [1, 2] {
        let (mut world, romeo, phone) = world();
        if how_many == 2 {
            world.send(phone, enable(SERVICE, "y", ""));
        }
        detach(&mut world, phone);
        let pushes = remote(&world.send(romeo, chat("one")));
        assert_eq!(pushes.len(), how_many);
        resume(&mut world, phone, 0);
        world.send(phone, disable(&format!("jid='{SERVICE}'")));
        assert!(registered(&world).is_empty());
        world.send(phone, enable(SERVICE, "x", ""));
        for push in &pushes {
            let effects = refuses(&mut world, push, ErrorCondition::ItemNotFound);
            assert!(!has_line(&effects, "is disabled"), "{effects:?}");
        }
        assert_eq!(registered(&world), ["push.example.org x"]);
    }
}

// The same if the account was loaded again in between, because the store has refused a change: what is known then says nothing of
// registrations that are gone.
#[test]
fn a_late_answer_is_not_for_the_next_registration_of_an_account_that_was_loaded_again() {
    let (mut world, romeo, phone) = world();
    detach(&mut world, phone);
    let pushes = remote(&world.send(romeo, chat("one")));
    resume(&mut world, phone, 0);
    world.send(phone, disable(&format!("jid='{SERVICE}'")));
    world.at_once = false;
    let effects = world.send(phone, crate::world::roster_set("<item jid='nurse@example.com'/>"));
    let [ticket] = crate::world::tickets(&effects)[..] else { panic!("{effects:?}") };
    world.at_once = true;
    let effects = world.answer(ticket, Answer::Refused);
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Ask { ask: Ask::Load { .. }, .. })));
    world.now = world.now + Duration::from_secs(1);
    world.send(phone, enable(SERVICE, "x", ""));
    assert_eq!(registered(&world), ["push.example.org x"]);
    let effects = refuses(&mut world, &pushes[0], ErrorCondition::ItemNotFound);
    assert!(!has_line(&effects, "is disabled"), "{effects:?}");
    assert_eq!(registered(&world), ["push.example.org x"]);
}

#[derive(Clone, Debug)]
enum Op {
    Message(bool),
    Detach,
    Resume,
    Reconnect,
    /// It acknowledges what it has got, or not, and so many seconds pass.
    Wait(bool, u64),
    Answer(bool),
    Enable,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => any::<bool>().prop_map(Op::Message),
        2 => Just(Op::Detach),
        2 => Just(Op::Resume),
        1 => Just(Op::Reconnect),
        2 => (prop::bool::weighted(0.8), prop::sample::select(vec![1_u64, 5, 15, 100, 700]))
            .prop_map(|(acknowledges, seconds)| Op::Wait(acknowledges, seconds)),
        2 => any::<bool>().prop_map(Op::Answer),
        1 => Just(Op::Enable),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    // Whatever happens: a message that waits for the phone is told, or a line says why not; a phone that is connected and acknowledges is
    // told of nothing; there is one notification under way at a time, and no more than one in an interval.
    #[test]
    fn every_message_that_waits_is_told_or_explained(ops in prop::collection::vec(op(), 1..40)) {
        let (mut world, romeo, first) = world();
        let mut phone = first;
        let mut is_connected = true;
        let mut open: Vec<Stanza> = Vec::new();
        let mut last: Option<balcony_machine::Instant> = None;
        for (number, op) in ops.into_iter().enumerate() {
            let was_connected = is_connected;
            let mut is_silent = false;
            let effects = match &op {
                Op::Message(matters) => {
                    let mut message = chat(&format!("m{number}"));
                    if !matters {
                        message = Stanza::message(MessageType::Chat).with_to(jid(JULIET))
                            .with_child(Element::new(balcony_xml::Name::from_static("active"), "http://jabber.org/protocol/chatstates"));
                    }
                    let effects = world.send(romeo, message);
                    if !is_connected && *matters && !registered(&world).is_empty() {
                        prop_assert!(has_line(&effects, "push for juliet@example.com/phone"), "{effects:?}");
                    }
                    effects
                }
                Op::Detach if is_connected => {
                    is_connected = false;
                    detach(&mut world, phone)
                }
                Op::Resume if !is_connected && world.router.jid(phone).is_some() => {
                    is_connected = true;
                    resume(&mut world, phone, 0)
                }
                Op::Reconnect if !is_connected && world.router.jid(phone).is_none() => {
                    phone = world.available("juliet@example.com/phone", 0);
                    prop_assert!(world.router.manage(phone, WAIT, &mut Vec::new()));
                    is_connected = true;
                    Vec::new()
                }
                Op::Wait(acknowledges, seconds) => {
                    if is_connected && *acknowledges {
                        acknowledge(&mut world, phone);
                    }
                    is_silent = is_connected && !acknowledges;
                    after(&mut world, *seconds)
                }
                Op::Answer(is_good) if !open.is_empty() => {
                    let push = open.remove(0);
                    if *is_good { accepts(&mut world, &push) } else { refuses(&mut world, &push, ErrorCondition::ResourceConstraint) }
                }
                Op::Enable if is_connected => world.send(phone, enable(SERVICE, "x", "")),
                _ => Vec::new(),
            };
            for push in remote(&effects) {
                prop_assert!(!was_connected || !is_connected || is_silent, "{op:?}: {effects:?}");
                let since = last.map(|last| world.now.saturating_since(last));
                prop_assert!(since.is_none_or(|since| since >= Duration::from_secs(10)), "{op:?} {since:?}");
                prop_assert!(open.is_empty() || since > Some(Duration::from_secs(90)), "one is on its way");
                last = Some(world.now);
                // That before has expired.
                open = vec![push];
            }
            if matches!(op, Op::Enable) {
                (last, open) = (None, Vec::new());
            }
        }
    }
}
