//! A whole server and its clients: who gets what, and what one bad peer can do to the others (nothing).

#![allow(clippy::unwrap_used)]

use core::time::Duration;

use balcony_client::{RequestKind, RequestOutcome};
use balcony_machine::Seed;
use balcony_server::Ended;
use balcony_sim::{Accounts, Chunks, Peer, World};
use balcony_stanza::{Kind, MessageType, Payload, Stanza};
use balcony_xml::{Element, Name};
use proptest::prelude::*;

fn accounts() -> Accounts {
    Accounts::new().with("juliet@example.com", "pencil").with("romeo@example.com", "crayon")
}

fn world(seed: u64) -> World {
    let chunks = Chunks::Random(Box::new(Seed::from_u64(seed).random()));
    World::new(accounts(), chunks, seed, |_| {})
}

fn message(kind: MessageType, to: &str, text: &str) -> Stanza {
    const BODY: Name = Name::from_static("body");
    Stanza::message(kind)
        .with_to(to.parse().unwrap())
        .with_payload(Payload::from(Element::new(BODY, "jabber:client").text(text)))
}

/// The bodies of the messages that a client has received since it was last asked.
fn bodies(world: &mut World, peer: Peer) -> Vec<String> {
    world
        .take_stanzas(peer)
        .iter()
        .filter(|stanza| matches!(stanza.head.kind, Kind::Message(kind) if kind != MessageType::Error))
        .map(|stanza| {
            stanza.payload.parse().unwrap().root().child("body", "jabber:client").unwrap().text().into()
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    // RFC 6121 §8.5.2.1.1 [D4b] §8.5.3.1 [D4f]: priorities 5, 10 and -1.
    #[test]
    fn messages_reach_the_right_resource(seed: u64) {
        let mut world = world(seed);
        let phone = world.online("juliet@example.com/phone", "pencil", 5);
        let desk = world.online("juliet@example.com/desk", "pencil", 10);
        let logger = world.online("juliet@example.com/logger", "pencil", -1);
        let romeo = world.online("romeo@example.com/garden", "crayon", 0);
        let all = [phone, desk, logger];

        for (kind, to, reached) in [
            (MessageType::Chat, "juliet@example.com", [false, true, false]),
            (MessageType::Normal, "juliet@example.com", [false, true, false]),
            (MessageType::Headline, "juliet@example.com", [true, true, false]),
            (MessageType::Chat, "juliet@example.com/phone", [true, false, false]),
            (MessageType::Chat, "juliet@example.com/logger", [false, false, true]),
            (MessageType::Headline, "juliet@example.com/logger", [false, false, true]),
        ] {
            world.send(romeo, &message(kind, to, "But soft!"));
            world.run();
            let got = all.map(|peer| !bodies(&mut world, peer).is_empty());
            prop_assert_eq!(got, reached, "{:?} to {}", kind, to);
        }

        // RFC 6121 §12 message-type-support: a client gets each type as what it is.
        let types = [
            MessageType::Normal,
            MessageType::Chat,
            MessageType::Groupchat,
            MessageType::Headline,
            MessageType::Error,
        ];
        for kind in types {
            world.send(romeo, &message(kind, "juliet@example.com/desk", "Ay me"));
        }
        world.run();
        let got: Vec<_> = world.take_stanzas(desk).iter().map(|stanza| stanza.head.kind).collect();
        prop_assert_eq!(got, types.map(Kind::Message));

        // RFC 6121 §4.4.2 [PR15]: a change of priority changes who is reached.
        world.available(phone, 11);
        world.send(romeo, &message(MessageType::Chat, "juliet@example.com", "What light?"));
        world.run();
        prop_assert_eq!(all.map(|peer| bodies(&mut world, peer).len()), [1, 0, 0]);

        // RFC 6121 §4.5.2 [PR18]: so does a lost connection.
        world.cut(phone);
        world.run();
        world.send(romeo, &message(MessageType::Chat, "juliet@example.com", "It is the east"));
        world.run();
        prop_assert_eq!([desk, logger].map(|peer| bodies(&mut world, peer).len()), [1, 0]);
    }

    // habits.md invariant 4: order is kept, nothing is delivered twice, nothing is lost; whatever the network does.
    #[test]
    fn conversations_arrive_whole_and_in_order(seed: u64, lines in 1..60_usize) {
        let mut world = world(seed);
        let juliet = world.online("juliet@example.com/balcony", "pencil", 1);
        let romeo = world.online("romeo@example.com/garden", "crayon", 1);
        for line in 0..lines {
            world.send(romeo, &message(MessageType::Chat, ["juliet@example.com", "juliet@example.com/balcony"][line % 2], &format!("{line} <&> ☾")));
            world.send(juliet, &message(MessageType::Chat, "romeo@example.com", &line.to_string()));
        }
        world.run();
        let expected: Vec<_> = (0..lines).map(|line| line.to_string()).collect();
        prop_assert_eq!(bodies(&mut world, romeo), expected.clone());
        let expected: Vec<_> = expected.iter().map(|line| format!("{line} <&> ☾")).collect();
        prop_assert_eq!(bodies(&mut world, juliet), expected);
    }

    // habits.md invariant 6: the same seed and trace give the same bytes.
    #[test]
    fn a_seed_repeats_its_run(seed: u64) {
        let run = || {
            let mut world = world(seed);
            let juliet = world.online("juliet@example.com/balcony", "pencil", 1);
            let romeo = world.online("romeo@example.com/garden", "crayon", 1);
            world.send(romeo, &message(MessageType::Chat, "juliet@example.com", "He jests at scars"));
            world.request(juliet, RequestKind::Get, None, "<query xmlns='http://jabber.org/protocol/disco#info'/>");
            world.run();
            (world.received(juliet).to_vec(), world.received(romeo).to_vec())
        };
        prop_assert_eq!(run(), run());
    }
}

const HEADER: &str = "<stream:stream to='example.com' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";

// RFC 6120 §4.9.3, §13.12: every bad peer gets its error and is closed, and a conversation beside it goes on.
#[test]
fn bad_peers_hurt_nobody() {
    let mut world = world(1);
    let juliet = world.online("juliet@example.com/balcony", "pencil", 1);
    let romeo = world.online("romeo@example.com/garden", "crayon", 1);
    let long = "x".repeat(1 << 20);
    let attributes: String = (0..200_000).map(|n| format!(" a{n}=''")).collect();
    let levels = "<a>".repeat(100_000);
    let cases = [
        ("not-well-formed", "GET / HTTP/1.1\r\n\r\n".to_owned()),
        ("restricted-xml", "<!DOCTYPE a [<!ENTITY b 'c'>]>".to_owned()),
        ("restricted-xml", format!("{HEADER}<!-- hello -->")),
        ("invalid-namespace", HEADER.replace("jabber:client", "jabber:server")),
        ("host-unknown", HEADER.replace("example.com'", "example.org'")),
        ("policy-violation", format!("{HEADER}<auth>{long}")),
        ("policy-violation", format!("{HEADER}<auth{attributes}/>")),
        ("policy-violation", format!("{HEADER}{levels}")),
        ("not-authorized", format!("{HEADER}<message to='juliet@example.com'><body>boo</body></message>")),
        ("policy-violation", {
            let wrong = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='LOGIN'>AGEAYg==</auth>";
            format!("{HEADER}{}", wrong.repeat(5))
        }),
    ];
    for (line, (condition, bytes)) in cases.into_iter().enumerate() {
        let bad = world.raw();
        world.write(bad, bytes.as_bytes());
        world.send(romeo, &message(MessageType::Chat, "juliet@example.com", &line.to_string()));
        world.run();
        let received = String::from_utf8(world.received(bad).to_vec()).unwrap();
        assert!(
            received.contains(&format!("<{condition} xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>")),
            "{condition}: {received}"
        );
        assert!(received.ends_with("</stream:error></stream:stream>") && world.is_closed(bad), "{received}");
        assert_eq!(bodies(&mut world, juliet), [line.to_string()]);
    }
    assert_eq!(world.server.connections(), 2);
}

// RFC 6120 §4.6, §4.9.3.4: silence ends what is not negotiated, and not what is.
#[test]
fn silence() {
    let mut world = world(2);
    let silent = world.raw();
    let stuck = world.raw();
    world.write(stuck, HEADER.as_bytes());
    let juliet = world.online("juliet@example.com/balcony", "pencil", 1);
    world.wait(Duration::from_secs(3600));
    assert!(String::from_utf8_lossy(world.received(silent)).contains("<policy-violation"));
    assert!(String::from_utf8_lossy(world.received(stuck)).contains("<connection-timeout"));
    // A client answers the server's pings, so it stays.
    assert!(world.is_closed(silent) && world.is_closed(stuck) && !world.is_closed(juliet));
    assert!(String::from_utf8_lossy(world.received(juliet)).matches("urn:xmpp:ping").count() >= 3);
    assert_eq!(world.server.connections(), 1);
}

// RFC 6120 §4.9.3.17: a peer that does not read costs bounded memory, and only itself.
#[test]
fn a_peer_that_does_not_read_is_dropped() {
    let mut world = World::new(accounts(), Chunks::Whole, 3, |config| {
        (config.limits.credit, config.limits.queue_bytes) = (20_000, 20_000);
    });
    let stalled = world.online("juliet@example.com/phone", "pencil", 5);
    let reader = world.online("juliet@example.com/desk", "pencil", 5);
    let romeo = world.online("romeo@example.com/garden", "crayon", 0);
    bodies(&mut world, reader);
    world.stall(stalled, true);
    for line in 0..100 {
        world.send(
            romeo,
            &message(MessageType::Chat, "juliet@example.com", &format!("{line}{}", "x".repeat(1000))),
        );
        world.run();
    }
    assert_eq!(bodies(&mut world, reader).len(), 100);
    assert!(
        matches!(world.ended(stalled), Some(Ended::Failed(error)) if error.to_string().contains("resource-constraint"))
    );
    // It lingers no longer than a closing stream may.
    assert!(!world.is_closed(stalled));
    world.wait(Duration::from_secs(10));
    assert!(world.is_closed(stalled));
    assert_eq!(world.server.connections(), 2);
}

// RFC 6120 §7.7.2.2 option 3, §4.9.3.3
#[test]
fn a_new_login_replaces_the_old_one() {
    let mut world = world(4);
    let old = world.online("juliet@example.com/balcony", "pencil", 1);
    let new = world.online("juliet@example.com/balcony", "pencil", 1);
    let romeo = world.online("romeo@example.com/garden", "crayon", 0);
    assert!(world.failed(old).unwrap().to_string().contains("conflict"));
    world.send(romeo, &message(MessageType::Chat, "juliet@example.com", "once"));
    world.run();
    assert_eq!(bodies(&mut world, new), ["once"]);
    assert_eq!(world.server.connections(), 2);
}

// RFC 6120 §4.9.3.20
#[test]
fn a_shutdown_ends_every_stream() {
    let mut world = world(5);
    let peers = [
        world.online("juliet@example.com/balcony", "pencil", 1),
        world.online("romeo@example.com/garden", "crayon", 1),
    ];
    world.shutdown();
    world.run();
    for peer in peers {
        assert!(world.received(peer).ends_with(b"</stream:error></stream:stream>"));
        assert!(world.failed(peer).unwrap().to_string().contains("system-shutdown"));
        assert!(world.is_closed(peer));
    }
    assert_eq!(world.server.connections(), 0);
}

// RFC 6120 §8.2.3 stanza-iq-reply, XEP-0199, XEP-0092, XEP-0030, RFC 6120 §8.4 stanza-extension
#[test]
fn requests_are_answered() {
    let mut world = world(6);
    let juliet = world.online("juliet@example.com/balcony", "pencil", 1);
    let mut ask = |to, xml| {
        world.request(juliet, RequestKind::Get, to, xml);
        world.run();
        world.take_outcomes(juliet).remove(0)
    };
    for to in [None, Some("example.com"), Some("juliet@example.com")] {
        assert!(matches!(ask(to, "<ping xmlns='urn:xmpp:ping'/>"), RequestOutcome::Result(_)), "{to:?}");
    }
    let RequestOutcome::Result(version) = ask(Some("example.com"), "<query xmlns='jabber:iq:version'/>")
    else {
        panic!()
    };
    assert!(String::from_utf8_lossy(version.payload.as_bytes()).contains("<name>Balcony</name>"));
    let unknown = ask(Some("example.com"), "<query xmlns='urn:example:unknown'/>");
    let RequestOutcome::Error(error) = unknown else { panic!("{unknown:?}") };
    assert_eq!(error.condition, balcony_stanza::ErrorCondition::ServiceUnavailable);
}

// RFC 6120 §10.5.4, §8.1.1.1 [Q6] [Q7] [Q8] [Q9] [ST2]; §13.10.1 [Q13]: who gets it, with `to` as it was written, and nothing
// about where anybody is.
#[test]
fn addresses_stay_as_they_were_written() {
    let mut world = world(8);
    let juliet = world.online("juliet@example.com/balcony", "pencil", 1);
    let romeo = world.online("romeo@example.com/garden", "crayon", 1);
    let errors = |world: &mut World| {
        let errors = world.take_stanzas(romeo);
        errors.iter().filter(|stanza| stanza.head.kind == Kind::Message(MessageType::Error)).count()
    };
    for to in ["juliet@example.com", "juliet@example.com/balcony", "juliet@example.com/gone"] {
        world.send(romeo, &message(MessageType::Chat, to, "hi"));
        world.run();
        let got = world.take_stanzas(juliet);
        let got = got.iter().filter(|stanza| matches!(stanza.head.kind, Kind::Message(_)));
        let to_of: Vec<_> = got.map(|stanza| stanza.head.to.as_ref().unwrap().as_str().to_owned()).collect();
        assert_eq!(to_of, [to]);
    }
    world.take_stanzas(romeo);
    world.send(romeo, &message(MessageType::Chat, "nobody@example.com", "hi"));
    world.run();
    // Nothing tells a stranger whether there is such an account.
    assert_eq!(errors(&mut world), 0);
}

// RFC 7622 §4 [JE5]: what is in a payload is for the end points to judge. RFC 6120 §8.4 stanza-extension [ST14]
#[test]
fn payloads_are_passed_on_as_they_are() {
    let mut world = world(7);
    let juliet = world.online("juliet@example.com/balcony", "pencil", 1);
    let romeo = world.client("romeo@example.com/garden", "crayon");
    let payload = "<q:x xmlns:q='urn:example:unknown' jid='@no jid@' q:a='&lt;'> &amp; <q:y/></q:x>";
    world
        .write(romeo, format!("<message to='juliet@example.com' type='chat'>{payload}</message>").as_bytes());
    world.run();
    let received = world.take_stanzas(juliet).pop().unwrap();
    assert_eq!(String::from_utf8_lossy(received.payload.as_bytes()), payload);
}
