//! Blocking (XEP-0191).

use balcony_roster::Subscription;
use balcony_router::extension::Extensions;
use balcony_router::extension::blocking::Blocking;
use balcony_router::{Answer, SessionId};
use balcony_stanza::{IqType, Kind, MessageType, PresenceType, Stanza};

use crate::world::{
    PRESENCE, World, asks, available, config, iq, jid, of_kind, request, subscription, tickets, wires,
};

const ROMEO: &str = "romeo@example.net";

fn items(jids: &[&str]) -> String {
    jids.iter().map(|jid| format!("<item jid='{jid}'/>")).collect()
}

fn block(jids: &[&str]) -> Stanza {
    request(IqType::Set, &format!("<block xmlns='urn:xmpp:blocking'>{}</block>", items(jids)))
}

fn unblock(jids: &[&str]) -> Stanza {
    request(IqType::Set, &format!("<unblock xmlns='urn:xmpp:blocking'>{}</unblock>", items(jids)))
}

fn list() -> Stanza {
    request(IqType::Get, "<blocklist xmlns='urn:xmpp:blocking'/>")
}

fn world() -> (World, SessionId, SessionId) {
    let mut world = World::new();
    world.befriend("juliet@example.com", ROMEO, Subscription::Both);
    world.befriend(ROMEO, "juliet@example.com", Subscription::Both);
    let juliet = world.available("juliet@example.com/balcony", 0);
    let romeo = world.available("romeo@example.net/street", 0);
    (world, juliet, romeo)
}

/// Without what ids differ by.
fn pushes(wires: &[String]) -> Vec<String> {
    let push = |wire: &String| Some(wire.split_once("type='set'")?.1.split_once('>')?.1.replace("</iq>", ""));
    wires.iter().filter_map(push).collect()
}

// XEP-0191 1.3 §3.2, §3.3, §3.4
#[test]
fn the_list() {
    let (mut world, juliet, _) = world();
    let attic = world.connect("juliet@example.com/attic");
    let silent = world.connect("juliet@example.com/silent");
    let empty = "<iq to='juliet@example.com/balcony' type='result' id='q'><blocklist xmlns='urn:xmpp:blocking'/></iq>";
    assert_eq!(wires(&world.send(juliet, list()), juliet), [empty]);
    world.send(attic, list());
    let effects = world.send(juliet, block(&["tybalt@example.com", "example.org"]));
    assert_eq!(wires(&effects, juliet)[1], "<iq to='juliet@example.com/balcony' type='result' id='q'/>");
    let push =
        format!("<block xmlns='urn:xmpp:blocking'>{}</block>", items(&["tybalt@example.com", "example.org"]));
    for session in [juliet, attic] {
        assert_eq!(pushes(&wires(&effects, session)), core::slice::from_ref(&push));
    }
    assert!(wires(&effects, silent).is_empty());
    assert!(
        wires(&world.send(juliet, list()), juliet)[0]
            .contains(&items(&["example.org", "tybalt@example.com"]))
    );

    let effects = world.send(attic, unblock(&["example.org"]));
    let push = format!("<unblock xmlns='urn:xmpp:blocking'>{}</unblock>", items(&["example.org"]));
    assert_eq!(pushes(&wires(&effects, juliet)), [push]);
    assert_eq!(
        pushes(&wires(&world.send(attic, unblock(&[])), juliet)),
        ["<unblock xmlns='urn:xmpp:blocking'/>"]
    );
    assert_eq!(wires(&world.send(juliet, list()), juliet), [empty]);
    assert_eq!(world.blocked("juliet@example.com"), [""; 0]);
}

// XEP-0191 1.3 §3.3, §3.4, §5; the bound is ours.
#[test]
fn errors() {
    let mut config = config();
    let blocking = Blocking { addresses: 2, ..Blocking::default() };
    config.extensions = Extensions::standard().with(blocking).build().unwrap();
    let mut world = World::with(config);
    let juliet = world.connect("juliet@example.com/balcony");
    let mut fails = |stanza: Stanza, condition: &str| {
        let effects = world.send(juliet, stanza);
        assert_eq!(world.tell(&effects), [format!("balcony: iq error {condition}")]);
        assert_eq!(asks(&effects), []);
    };
    fails(block(&[]), "bad-request/modify");
    fails(block(&["@"]), "jid-malformed/modify");
    fails(unblock(&["@"]), "jid-malformed/modify");
    fails(request(IqType::Set, "<block xmlns='urn:xmpp:blocking'><item/></block>"), "bad-request/modify");
    fails(request(IqType::Set, "<blocklist xmlns='urn:xmpp:blocking'/>"), "bad-request/modify");
    fails(request(IqType::Get, "<block xmlns='urn:xmpp:blocking'/>"), "bad-request/modify");
    fails(block(&["a@b", "c@b", "d@b"]), "resource-constraint/wait");
    assert_eq!(world.says(juliet, block(&["a@b", "c@b"])), ["balcony: iq result"]);
    assert_eq!(world.says(juliet, block(&["a@b", "d@b"])), ["balcony: iq error resource-constraint/wait"]);
    assert_eq!(world.says(juliet, block(&["a@b"])), ["balcony: iq result"]);
}

// The architecture's rule 4: the list is bounded in bytes, too; what is refused changes nothing.
#[test]
fn the_list_is_bounded_in_bytes() {
    let mut config = config();
    config.extensions =
        Extensions::standard().with(Blocking { bytes: 200, ..Blocking::default() }).build().unwrap();
    let mut world = World::with(config);
    let juliet = world.connect("juliet@example.com/balcony");
    let long = |first: char| format!("{}@example.org", first.to_string().repeat(80));
    let [one, two, three] = ['a', 'b', 'c'].map(long);
    assert_eq!(world.says(juliet, block(&[&one])), ["balcony: iq result"]);
    assert_eq!(world.says(juliet, block(&[&two, &three])), ["balcony: iq error resource-constraint/wait"]);
    assert_eq!(world.says(juliet, block(&[&two])), ["balcony: iq result"]);
    assert_eq!(world.says(juliet, block(&[&three])), ["balcony: iq error resource-constraint/wait"]);
    assert_eq!(world.blocked("juliet@example.com"), [one, two]);
}

// XEP-0191 1.3 §3.1: whom an address includes.
#[test]
fn matches() {
    for (blocked, entity, holds) in [
        (ROMEO, "romeo@example.net", true),
        (ROMEO, "romeo@example.net/street", true),
        (ROMEO, "mercutio@example.net/street", false),
        ("romeo@example.net/street", "romeo@example.net/street", true),
        ("romeo@example.net/street", "romeo@example.net/orchard", false),
        ("romeo@example.net/street", "romeo@example.net", false),
        ("example.net", "romeo@example.net/street", true),
        ("example.net", "example.net", true),
        ("example.net", "example.net/x", true),
        ("example.net", "romeo@sub.example.net", false),
        ("example.net/x", "example.net/x", true),
        ("example.net/x", "romeo@example.net/x", false),
    ] {
        let mut world = World::new();
        let juliet = world.connect("juliet@example.com/balcony");
        world.send(juliet, block(&[blocked]));
        let told = world.says(juliet, of_kind(Kind::Message(MessageType::Chat), entity));
        let is_refused = told == [format!("balcony: message error not-acceptable/cancel from {entity}")];
        assert_eq!(is_refused, holds, "{blocked} {entity}: {told:?}");
    }
}

// XEP-0191 1.3 §3.1, RFC 6121 §8.1 [DN11]: what comes from the blocked does not arrive; requests and messages are answered as
// if nobody were there.
#[test]
fn from_the_blocked() {
    let (mut world, juliet, romeo) = world();
    world.send(juliet, block(&[ROMEO]));
    for to in ["juliet@example.com", "juliet@example.com/balcony", "juliet@example.com/nowhere"] {
        for kind in [MessageType::Normal, MessageType::Chat, MessageType::Groupchat] {
            let told = world.says(romeo, of_kind(Kind::Message(kind), to));
            assert_eq!(told, [format!("street: message error service-unavailable/cancel from {to}")]);
        }
        for kind in [MessageType::Error, MessageType::Headline] {
            assert!(world.says(romeo, of_kind(Kind::Message(kind), to)).is_empty());
        }
        for kind in [IqType::Get, IqType::Set] {
            let told = world.says(romeo, iq(kind, "ping", "urn:xmpp:ping").with_to(jid(to)));
            assert_eq!(told, [format!("street: iq error service-unavailable/cancel from {to}")]);
        }
        for kind in [IqType::Result, IqType::Error] {
            assert!(world.says(romeo, iq(kind, "ping", "urn:xmpp:ping").with_to(jid(to))).is_empty());
        }
        for kind in PRESENCE {
            let told = world.says(romeo, of_kind(Kind::Presence(kind), to));
            assert!(told.iter().all(|line| !line.starts_with("balcony")), "{kind:?} {told:?}");
        }
    }
    assert!(world.says(romeo, available(3)).iter().all(|line| !line.starts_with("balcony")));
    // Also while she is away; then nothing is stored.
    world.unbind(juliet);
    let told = world.says(romeo, of_kind(Kind::Message(MessageType::Chat), "juliet@example.com"));
    assert_eq!(told, ["street: message error service-unavailable/cancel from juliet@example.com"]);
    assert!(world.kept("juliet@example.com").is_empty());
    // Strangers hear no more of it than of an account that does not exist.
    let juliet = world.available("juliet@example.com/balcony", 0);
    world.send(juliet, block(&["example.org"]));
    for to in ["juliet@example.com", "juliet@example.com/balcony", "juliet@example.com/nowhere"] {
        for kind in [MessageType::Normal, MessageType::Chat] {
            assert!(world.receives("friar@example.org/cell", of_kind(Kind::Message(kind), to)).is_empty());
        }
    }
}

// XEP-0191 1.3 §3.5: what goes to the blocked is refused, and says why.
#[test]
fn to_the_blocked() {
    let (mut world, juliet, romeo) = world();
    world.send(juliet, block(&[ROMEO]));
    let message = of_kind(Kind::Message(MessageType::Chat), "romeo@example.net/street");
    let effects = world.send(juliet, message);
    assert!(wires(&effects, romeo).is_empty());
    let told = wires(&effects, juliet);
    assert!(
        told.len() == 1
            && told[0].contains("<not-acceptable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>")
            && told[0].contains("<blocked xmlns='urn:xmpp:blocking:errors'/>"),
        "{told:?}"
    );
    for stanza in [
        iq(IqType::Get, "ping", "urn:xmpp:ping").with_to(jid("romeo@example.net/street")),
        of_kind(Kind::Presence(PresenceType::Available), ROMEO),
        of_kind(Kind::Presence(PresenceType::Probe), ROMEO),
        subscription(PresenceType::Subscribe, ROMEO),
    ] {
        let told = world.says(juliet, stanza.clone());
        assert!(told.len() == 1 && told[0].contains("error not-acceptable/cancel"), "{told:?}");
    }
    for kind in [IqType::Result, IqType::Error] {
        assert!(
            world
                .send(juliet, iq(kind, "ping", "urn:xmpp:ping").with_to(jid("romeo@example.net/street")))
                .is_empty()
        );
    }
    assert!(world.says(juliet, available(3)).iter().all(|line| !line.starts_with("street")));
    assert!(world.unbind(juliet).is_empty());
}

// XEP-0191 1.3 §3.3, §3.4: presence ends and comes back, for those who may see it.
#[test]
fn presence_ends_and_comes_back() {
    let (mut world, juliet, _) = world();
    let nurse = world.connect("nurse@example.com/kitchen");
    world.available("tybalt@example.com/lane", 0);
    world.send(juliet, of_kind(Kind::Presence(PresenceType::Available), "nurse@example.com/kitchen"));
    let told = world.says(juliet, block(&[ROMEO, "nurse@example.com", "tybalt@example.com"]));
    assert_eq!(
        told,
        [
            "street: presence unavailable from juliet@example.com/balcony",
            "kitchen: presence unavailable from juliet@example.com/balcony",
            "balcony: iq result",
        ]
    );
    let told = world.says(juliet, unblock(&[ROMEO, "nurse@example.com"]));
    let shown = [
        "street: presence from juliet@example.com/balcony",
        "balcony: presence from romeo@example.net/street",
        "balcony: iq result",
    ];
    assert_eq!(told, shown);
    // The end of directed presence has been told.
    let _ = nurse;
    assert_eq!(world.unbind(juliet), ["street: presence unavailable from juliet@example.com/balcony"]);
}

// RFC 6121 §4.3: what those have said meanwhile whose presence the user is subscribed to is asked for, since it was not delivered.
#[test]
fn what_was_missed_is_asked_for() {
    let lane = "romeo@example.net/lane";
    for blocked in [ROMEO, "example.net"] {
        let (mut world, juliet, romeo) = world();
        let attic = world.available("juliet@example.com/attic", 0);
        let lane = world.available(lane, 0);
        world.send(juliet, block(&[blocked]));
        // One changes, one goes.
        let told = world.says(romeo, available(3));
        assert!(told.iter().all(|line| line.starts_with("lane") || line.starts_with("street")), "{told:?}");
        world.unbind(lane);
        let told = world.says(attic, unblock(&[blocked]));
        let shown = |to: &str| format!("{to}: presence from romeo@example.net/street");
        for client in ["balcony", "attic"] {
            assert_eq!(told.iter().filter(|line| **line == shown(client)).count(), 1, "{told:?}");
        }
        assert_eq!(told.last().unwrap(), "attic: iq result");

        // All have gone.
        world.send(juliet, block(&[blocked]));
        world.unbind(romeo);
        let told = world.says(juliet, unblock(&[]));
        for client in ["balcony", "attic"] {
            let gone = format!("{client}: presence unavailable from romeo@example.net");
            assert_eq!(told.iter().filter(|line| **line == gone).count(), 1, "{told:?}");
        }
        // Nobody is asked of whom nothing was missed.
        let told = world.says(juliet, unblock(&[]));
        assert_eq!(told, ["balcony: iq result"]);
    }
}

// RFC 6121 §4.3.1: a contact of another server is asked in the user's name, once; nobody is asked who is no contact, nor for clients that
// are not there.
#[test]
fn contacts_of_other_servers_are_asked() {
    const FRIAR: &str = "friar@example.org";
    for (subscription, asked) in
        [(Subscription::To, 1), (Subscription::Both, 1), (Subscription::From, 0), (Subscription::None, 0)]
    {
        let mut world = World::new();
        world.befriend("juliet@example.com", FRIAR, subscription);
        let silent = world.connect("juliet@example.com/silent");
        let probes = |told: Vec<String>| told.iter().filter(|line| line.contains("presence probe")).count();
        world.send(silent, block(&[FRIAR]));
        assert_eq!(probes(world.says(silent, unblock(&[FRIAR]))), 0);
        world.available("juliet@example.com/balcony", 0);
        world.available("juliet@example.com/attic", 0);
        world.send(silent, block(&[FRIAR]));
        let told = world.says(silent, unblock(&[FRIAR]));
        let probe = "remote friar@example.org: presence probe from juliet@example.com".to_owned();
        assert_eq!(told.contains(&probe), asked == 1, "{told:?}");
        assert_eq!(probes(told), asked);
    }
}

// XEP-0191 1.3 §3.1: the own resources can't be blocked.
#[test]
fn the_own_resources() {
    let (mut world, juliet, _) = world();
    world.send(juliet, block(&["example.com", "juliet@example.com", "juliet@example.com/attic"]));
    let attic = world.available("juliet@example.com/attic", 0);
    for to in ["juliet@example.com/attic", "juliet@example.com"] {
        let told = world.says(juliet, of_kind(Kind::Message(MessageType::Chat), to));
        assert!(told.contains(&"attic: message chat from juliet@example.com/balcony".to_owned()), "{told:?}");
    }
    let told = world.says(attic, available(1));
    assert!(told.contains(&"balcony: presence from juliet@example.com/attic".to_owned()));
    // Nor the server, which answers as ever.
    assert_eq!(world.says(juliet, iq(IqType::Get, "ping", "urn:xmpp:ping")), ["balcony: iq result"]);
}

// rfc6120.md [Q11]: what a client is told is on disk: the block holds from its result on, and a failure changes nothing. Until
// then nobody waits for it who writes to the user.
#[test]
fn durable_first() {
    let (mut world, juliet, romeo) = world();
    world.at_once = false;
    let effects = world.send(juliet, block(&[ROMEO]));
    assert_eq!((tickets(&effects).len(), effects.len()), (1, 1));
    let chat = || of_kind(Kind::Message(MessageType::Chat), "juliet@example.com");
    let arrived = ["balcony: message chat from romeo@example.net/street"];
    assert_eq!(world.says(romeo, chat()), arrived);
    let effects = world.answer(tickets(&effects)[0], Answer::Refused);
    assert_eq!(world.tell(&effects), ["balcony: iq error internal-server-error/cancel"]);
    let effects = world.send(juliet, block(&[ROMEO]));
    assert_eq!(world.says(romeo, chat()), arrived);
    let effects = world.answer(tickets(&effects)[0], Answer::Saved);
    assert_eq!(
        world.tell(&effects),
        ["street: presence unavailable from juliet@example.com/balcony", "balcony: iq result"]
    );
    let refused = ["street: message error service-unavailable/cancel from juliet@example.com"];
    assert_eq!(world.says(romeo, chat()), refused);
}

// rfc6120.md [Q11]: what a client sends behind a request is judged by what the request has changed, not by what was before
#[test]
fn what_follows_a_request_waits_for_it() {
    for (answer, told) in [
        (
            Answer::Saved,
            vec!["balcony: iq result", "balcony: message error not-acceptable/cancel from romeo@example.net"],
        ),
        (
            Answer::Refused,
            vec![
                "balcony: iq error internal-server-error/cancel",
                "street: message chat from juliet@example.com/balcony",
            ],
        ),
    ] {
        let (mut world, juliet, _) = world();
        world.at_once = false;
        let effects = world.send(juliet, block(&[ROMEO]));
        assert_eq!(effects.len(), 1, "the question to the store");
        assert!(world.send(juliet, of_kind(Kind::Message(MessageType::Chat), ROMEO)).is_empty());
        let effects = world.answer(tickets(&effects)[0], answer);
        let mut heard = world.tell(&effects);
        heard.retain(|line| !line.contains("presence"));
        assert_eq!(heard, told);
    }
}
