//! Client state indication (XEP-0352): what waits for a client that nobody uses, what does not, and what becomes of it.

use core::time::Duration;

use balcony_roster::Subscription;
use balcony_router::{Effect, SessionId};
use balcony_stanza::{IqType, Kind, MessageType, PresenceType, Stanza};
use balcony_xep::csi::ClientState;
use proptest::prelude::*;

use crate::world::{World, available, bare, config, content, jid, request, unavailable, wires};

const JULIET: &str = "juliet@example.com";
const PHONE: &str = "juliet@example.com/phone";
const ROMEO: &str = "romeo@example.net/street";
const COMPOSING: &str = "<composing xmlns='http://jabber.org/protocol/chatstates'/>";
const PAUSED: &str = "<paused xmlns='http://jabber.org/protocol/chatstates'/>";
const RECEIPT: &str = "<received xmlns='urn:xmpp:receipts' id='1'/>";
const BODY: &str = "<body>hist</body>";

pub(crate) fn says(world: &mut World, session: SessionId, state: ClientState) -> Vec<Effect> {
    let mut effects = Vec::new();
    world.router.element(world.now, session, state.to_element().root(), &mut effects);
    world.serve(&mut effects);
    effects
}

fn message(kind: MessageType, xml: &str) -> Stanza {
    let mut stanza = content(xml);
    stanza.head.kind = Kind::Message(kind);
    stanza.with_to(jid(PHONE))
}

fn chat(xml: &str) -> Stanza {
    message(MessageType::Chat, xml)
}

/// Juliet's phone, which nobody uses, and Romeo, whom she sees.
fn world() -> (World, SessionId, SessionId) {
    world_with(config())
}

fn world_with(config: balcony_router::Config) -> (World, SessionId, SessionId) {
    let mut world = World::with(config);
    for (one, other) in [("romeo@example.net", JULIET), (JULIET, "romeo@example.net")] {
        world.befriend(one, other, Subscription::Both);
    }
    let romeo = world.available(ROMEO, 0);
    let phone = world.available(PHONE, 0);
    assert!(says(&mut world, phone, ClientState::Inactive).is_empty());
    (world, romeo, phone)
}

/// What of these is in each of the stanzas that the phone gets.
fn got(effects: &[Effect], phone: SessionId) -> Vec<&'static str> {
    let marks =
        ["<priority>1<", "<priority>2<", "unavailable", "composing", "paused", "receipts", "<body>", "<iq"];
    let mark =
        |wire: &String| *marks.iter().find(|mark| wire.contains(*mark)).unwrap_or_else(|| panic!("{wire}"));
    wires(effects, phone).iter().map(mark).collect()
}

// XEP-0352 1.0.0 §3.2, §5.1 [CI3] [CI7]: nothing comes until something urgent does; then all of it, in order, of presence and chat states only the latest.
#[test]
fn what_is_held_goes_with_what_is_urgent() {
    let (mut world, romeo, phone) = world();
    for stanza in [
        available(1),
        chat(COMPOSING),
        chat(RECEIPT),
        available(2),
        chat(PAUSED),
        message(MessageType::Headline, "<event xmlns='http://jabber.org/protocol/pubsub#event'/>"),
    ] {
        assert!(wires(&world.send(romeo, stanza), phone).is_empty());
    }
    let effects = world.send(romeo, chat(BODY));
    let wires = wires(&effects, phone);
    assert_eq!(got(&effects[..1], phone), ["receipts"], "{wires:?}");
    assert_eq!(wires.len(), 5, "{wires:?}");
    assert!(wires[1].contains("<priority>2<") && wires[2].contains("paused"), "{wires:?}");
    assert!(wires[3].contains("pubsub#event") && wires[4].contains(BODY), "{wires:?}");
    assert_eq!(world.router.queued(), 0);
    // And so on.
    assert!(
        world
            .send(romeo, unavailable())
            .iter()
            .all(|effect| got(core::slice::from_ref(effect), phone).is_empty())
    );
    assert_eq!(got(&says(&mut world, phone, ClientState::Active), phone), ["unavailable"]);
    assert_eq!(got(&world.send(romeo, available(1)), phone), ["<priority>1<"]);
}

// XEP-0352 §3.2 [CI7]: what a person would want to see does not wait, nor does what a program waits for.
#[test]
fn what_is_urgent() {
    use MessageType::{Chat, Error, Groupchat, Headline, Normal};
    let forwarded = |xml: &str| {
        format!(
            "<forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client' from='{ROMEO}' to='{JULIET}/desk' type='chat'>{xml}</message></forwarded>"
        )
    };
    let received = |xml: &str| format!("<received xmlns='urn:xmpp:carbons:2'>{}</received>", forwarded(xml));
    let sent = |xml: &str| format!("<sent xmlns='urn:xmpp:carbons:2'>{}</sent>", forwarded(xml));
    let own = |xml: &str| chat(xml).with_from(jid(JULIET));
    let romeos = |kind, xml: &str| message(kind, xml).with_from(jid(ROMEO));
    let presence = |kind| Stanza::presence(kind).with_from(jid(ROMEO)).with_to(jid(PHONE));
    let room = |status: &str| {
        let mut stanza =
            content(&format!("<x xmlns='http://jabber.org/protocol/muc#user'><status code='{status}'/></x>"));
        stanza.head.kind = Kind::Presence(PresenceType::Available);
        stanza.with_from(jid("room@muc.example.org/juliet")).with_to(jid(PHONE))
    };
    let displayed = "<displayed xmlns='urn:xmpp:chat-markers:0' id='1'/>";
    for (stanza, is_urgent) in [
        (romeos(Chat, BODY), true),
        (romeos(Headline, BODY), true),
        (romeos(Groupchat, BODY), true),
        (romeos(Normal, &format!("{COMPOSING}{BODY}")), true),
        (romeos(Groupchat, "<subject/>"), true),
        (romeos(Error, COMPOSING), true),
        (romeos(Chat, "<propose xmlns='urn:xmpp:jingle-message:0' id='a'/>"), true),
        (romeos(Chat, "<propose xmlns='urn:xmpp:jingle-message:1' id='a'/>"), true),
        (romeos(Normal, "<x xmlns='jabber:x:conference' jid='room@muc.example.org'/>"), true),
        (romeos(Normal, "<x xmlns='http://jabber.org/protocol/muc#user'><invite/></x>"), true),
        (romeos(Chat, "<encryption xmlns='urn:xmpp:eme:0' namespace='urn:xmpp:omemo:2'/>"), true),
        (romeos(Chat, "<encrypted xmlns='eu.siacs.conversations.axolotl'/>"), true),
        (romeos(Headline, "<attention xmlns='urn:xmpp:attention:0'/>"), true),
        (own(&received(BODY)), true),
        (own(&sent(BODY)), true),
        (own(&sent(displayed)), true),
        (
            request(IqType::Get, "<ping xmlns='urn:xmpp:ping'/>").with_to(jid(PHONE)).with_from(jid(ROMEO)),
            true,
        ),
        (presence(PresenceType::Subscribe).with_to(jid(JULIET)), true),
        (presence(PresenceType::Error), true),
        (room("110"), true),
        (room("101"), false),
        (presence(PresenceType::Available), false),
        (presence(PresenceType::Unavailable), false),
        (romeos(Chat, COMPOSING), false),
        (romeos(Chat, &format!("{PAUSED}<no-store xmlns='urn:xmpp:hints'/>")), false),
        (romeos(Normal, RECEIPT), false),
        (romeos(Chat, displayed), false),
        (romeos(Normal, "<x xmlns='http://jabber.org/protocol/muc#user'><status code='104'/></x>"), false),
        (own(&received(COMPOSING)), false),
        (own(&sent(COMPOSING)), false),
        (own(&received(displayed)), false),
        (romeos(Normal, "<body xmlns='urn:example'/>"), false),
    ] {
        let (mut world, romeo, phone) = world();
        // The carbons come from the account itself.
        let is_own = stanza.head.from.as_ref().is_some_and(|from| from.as_str() == JULIET);
        let is_room = stanza.head.from.as_ref().is_some_and(|from| from.as_str().contains("muc"));
        let effects = if is_own {
            let desk = world.available("juliet@example.com/desk", 5);
            for session in [desk, phone] {
                let enable = "<enable xmlns='urn:xmpp:carbons:2'/>";
                world.send(session, request(IqType::Set, enable));
            }
            // What came of that.
            says(&mut world, phone, ClientState::Active);
            says(&mut world, phone, ClientState::Inactive);
            let xml = crate::world::wire(&stanza);
            let inner = xml.split_once("type='chat'>").unwrap().1.split_once("type='chat'>").unwrap().1;
            let inner = inner.split_once("</message>").unwrap().0;
            if xml.contains("<sent ") {
                world.send(desk, chat(inner).with_to(jid(ROMEO)))
            } else {
                world.send(romeo, chat(inner).with_to(jid("juliet@example.com/desk")))
            }
        } else if is_room {
            world.received("room@muc.example.org/juliet", stanza.clone())
        } else if stanza.head.kind == Kind::Presence(PresenceType::Subscribe) {
            world.received("nurse@example.org", stanza.clone())
        } else {
            world.send(romeo, stanza.clone())
        };
        let now = wires(&effects, phone).len();
        assert_eq!(now, usize::from(is_urgent), "{} {effects:?}", crate::world::wire(&stanza));
        let later = wires(&says(&mut world, phone, ClientState::Active), phone).len();
        assert_eq!(now + later, 1, "{}", crate::world::wire(&stanza));
    }
}

// XEP-0352 §5.1 [CI5]: what is held comes before the answer to what the client asks then.
#[test]
fn before_answers() {
    let (mut world, romeo, phone) = world();
    world.send(romeo, chat(RECEIPT));
    world.send(romeo, available(1));
    let effects =
        world.send(phone, request(IqType::Get, "<ping xmlns='urn:xmpp:ping'/>").with_to(jid(JULIET)));
    assert_eq!(got(&effects, phone), ["receipts", "<priority>1<", "<iq"]);
}

// XEP-0198 1.6.2 §4 [SM11], XEP-0352 §6 [CI6], RFC 6121 §8.1: who sends what is held hears nothing of that.
#[test]
fn held_is_handled() {
    let (mut world, romeo, _) = world();
    for stanza in [chat(COMPOSING), chat(RECEIPT), available(1)] {
        assert!(world.says(romeo, stanza).iter().all(|line| line.starts_with("street: presence")));
    }
    assert!(world.waited.is_empty());
    assert_eq!(world.router.counts().asks, 0);
}

// XEP-0203 2.0 §2 [DL5]: a message that has waited says since when; what has not waited does not, nor does presence, which says how things are.
#[test]
fn it_says_since_when() {
    let (mut world, romeo, phone) = world();
    world.send(romeo, chat(RECEIPT));
    world.send(romeo, available(1));
    world.now = world.now + Duration::from_secs(60);
    world.send(romeo, chat(COMPOSING));
    let wires = wires(&world.send(romeo, chat(BODY)), phone);
    let stamp = "<delay xmlns='urn:xmpp:delay' from='example.com' stamp='2002-09-10T23:08:25.000Z'/>";
    assert_eq!(
        wires.iter().map(|wire| wire.contains(stamp)).collect::<Vec<_>>(),
        [true, false, false, false]
    );
    assert!(wires.iter().skip(1).all(|wire| !wire.contains("<delay")), "{wires:?}");
    assert_eq!(world.router.queued(), 0);
}

// XEP-0352 [CI8], Limits::held, Limits::held_bytes: what would be too much goes; nothing is closed or dropped.
#[test]
fn it_is_bounded() {
    for (held, bytes) in [(3, usize::MAX), (usize::MAX, 1_200)] {
        let mut small = config();
        (small.limits.held, small.limits.held_bytes) = (held, bytes);
        let (mut world, romeo, phone) = world_with(small);
        // The latest is no more than one.
        for _ in 0..50 {
            assert!(got(&world.send(romeo, chat(COMPOSING)), phone).is_empty());
        }
        let counts: Vec<_> = (0..4).map(|_| got(&world.send(romeo, chat(RECEIPT)), phone).len()).collect();
        let all: usize = counts.iter().sum();
        let rest = got(&says(&mut world, phone, ClientState::Active), phone).len();
        assert!(counts.contains(&4) && counts.iter().filter(|count| **count > 0).count() == 1, "{counts:?}");
        assert_eq!((all + rest, world.router.queued()), (5, 0));
    }
}

// RFC 6121 §8.5.3.2, XEP-0160 1.0.1 §3: it is over before all of it has gone: what matters goes elsewhere, the rest is dropped silently.
#[test]
fn a_session_that_ends() {
    let (mut world, romeo, phone) = world();
    world.now = world.now + Duration::from_secs(60);
    for xml in [
        COMPOSING,
        RECEIPT,
        "<composing xmlns='http://jabber.org/protocol/chatstates'/><no-store xmlns='urn:xmpp:hints'/>",
    ] {
        world.send(romeo, chat(xml));
    }
    world.send(romeo, available(1));
    world.now = world.now + Duration::from_secs(60);
    let told = world.unbind(phone);
    assert_eq!(
        told,
        [
            format!("street: presence unavailable from {PHONE}"),
            format!("store for {JULIET}: message chat from {ROMEO}"),
        ]
    );
    let kept: Vec<_> = world.kept(JULIET).iter().map(crate::world::wire).collect();
    // Since it came, not since the session is over.
    assert!(kept.len() == 1 && kept[0].contains("receipts") && kept[0].contains("23:09:25"), "{kept:?}");
    assert_eq!(world.router.queued(), 0);

    // Another session of the account gets it at once.
    let (mut world, romeo, phone) = self::world();
    world.send(romeo, chat(COMPOSING));
    world.send(romeo, chat(RECEIPT));
    let desk = world.available("juliet@example.com/desk", 0);
    let effects = world.unbound(phone);
    let wires = wires(&effects, desk);
    assert!(wires.iter().any(|wire| wire.contains("receipts")), "{wires:?}");
    assert!(!wires.iter().any(|wire| wire.contains("composing")), "{wires:?}");
}

fn resume(world: &mut World, phone: SessionId, count: u32) -> Vec<Effect> {
    let mut effects = Vec::new();
    assert!(world.router.resume(world.now, phone, &bare(JULIET), count, &mut effects));
    world.serve(&mut effects);
    effects
}

// XEP-0352 §5.2 [CI4] [CI8], XEP-0198 1.6.3 §5 [SM18]: without a connection it is held as before; when the session goes on all of it comes, behind what the
// client had not got, and the client is active.
#[test]
fn a_session_that_goes_on() {
    let (mut world, romeo, phone) = world();
    assert!(world.router.manage(phone, Duration::from_secs(600), &mut Vec::new()));
    world.send(romeo, available(1));
    world.at_once = false;
    assert_eq!(got(&world.send(romeo, chat(BODY)), phone), ["<priority>1<", "<body>"]);
    world.send(romeo, chat(COMPOSING));
    assert!(world.router.detach(world.now, phone, &mut Vec::new()));
    world.send(romeo, available(1));
    world.send(romeo, chat(RECEIPT));
    world.send(romeo, available(2));
    world.now = world.now + Duration::from_secs(60);
    world.at_once = true;
    let effects = resume(&mut world, phone, 1);
    assert!(matches!(effects[0], Effect::Resumed { .. }));
    assert_eq!(got(&effects, phone), ["<body>", "composing", "receipts", "<priority>2<"]);
    assert!(wires(&effects, phone).iter().all(|wire| wire.matches("<delay").count() == 1), "{effects:?}");
    assert_eq!(got(&world.send(romeo, available(1)), phone), ["<priority>1<"]);
    world.router.acknowledged(world.now, phone, 5, &mut Vec::new());
    assert_eq!(world.router.queued(), 0);
}

// XEP-0198 §4 [SM6]: what is dropped because a later one has come has no number.
#[test]
fn what_is_replaced_is_not_counted() {
    let (mut world, romeo, phone) = world();
    assert!(world.router.manage(phone, Duration::from_secs(600), &mut Vec::new()));
    for _ in 0..3 {
        world.send(romeo, available(1));
    }
    assert_eq!(got(&world.send(romeo, chat(BODY)), phone), ["<priority>1<", "<body>"]);
    assert!(world.router.detach(world.now, phone, &mut Vec::new()));
    let mut effects = Vec::new();
    assert!(!world.router.resume(world.now, phone, &bare(JULIET), 3, &mut effects));
    assert!(wires(&resume(&mut world, phone, 2), phone).is_empty());
    assert_eq!(world.router.queued(), 0);
}

// XEP-0386 1.1.0 §3.2.1 [BI16]: a session may begin so. What was stored for the account comes at once all the same.
#[test]
fn from_the_beginning() {
    let (mut world, romeo, phone) = world();
    world.unbind(phone);
    for xml in [RECEIPT, BODY] {
        world.send(romeo, chat(xml).with_to(jid(JULIET)));
    }
    let tablet = world.connect("juliet@example.com/tablet");
    let wanted = content("<inactive xmlns='urn:xmpp:csi:0'/>");
    world.router.bind_inline(tablet, wanted.payload.parse().unwrap().root(), &mut Vec::new());
    let effects = world.send(tablet, available(0));
    let wires = wires(&effects, tablet);
    let is_stored = |wire: &&String| wire.contains("receipts") || wire.contains("<body>");
    assert_eq!(wires.iter().filter(is_stored).count(), 2, "{wires:?}");
    assert!(self::wires(&world.send(romeo, available(2)), tablet).is_empty());
}

// What waits is a matter of configuration.
#[test]
fn what_is_configured() {
    use balcony_router::extension::Extensions;
    use balcony_router::extension::csi::Csi;
    let none = Csi { presence: false, chat_states: false, other: false };
    let stanzas = || [available(1), chat(COMPOSING), chat(RECEIPT)];
    for (place, csi) in
        [Csi { presence: true, ..none }, Csi { chat_states: true, ..none }, Csi { other: true, ..none }]
            .into_iter()
            .enumerate()
    {
        let mut config = config();
        config.extensions = Extensions::standard().with(csi).build().unwrap();
        let (mut world, romeo, phone) = world_with(config);
        for (at, stanza) in stanzas().into_iter().enumerate() {
            says(&mut world, phone, ClientState::Active);
            says(&mut world, phone, ClientState::Inactive);
            assert_eq!(got(&world.send(romeo, stanza), phone).len(), usize::from(at != place));
        }
    }
}

/// What happens in a history of a phone.
#[derive(Clone, Debug)]
enum Step {
    /// Romeo sends something: urgent, or not.
    Send(bool),
    /// He is seen once more.
    Seen,
    /// The phone says whether somebody uses it.
    Use(bool),
    /// So many more stanzas get through to the client.
    Arrive(usize),
    Acknowledge,
    Lose,
    Resume,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => any::<bool>().prop_map(Step::Send),
        3 => Just(Step::Seen),
        2 => any::<bool>().prop_map(Step::Use),
        4 => (1..8_usize).prop_map(Step::Arrive),
        2 => Just(Step::Acknowledge),
        2 => Just(Step::Lose),
        3 => Just(Step::Resume),
    ];
    prop::collection::vec(step, 1..80)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    // XEP-0352 §5, XEP-0198 §4, §5: whatever the phone says of its use, and wherever its connections break, it gets all messages once and in
    // order, and in the end the latest presence.
    #[test]
    fn exactly_once(steps in steps(), credit in 1..4_000_usize, held in 0..8_usize) {
        let mut config = config();
        (config.limits.credit, config.limits.held) = (credit, held);
        let (mut world, romeo, phone) = world_with(config);
        prop_assert!(world.router.manage(phone, Duration::from_secs(600), &mut Vec::new()));
        world.at_once = false;
        let (mut sent, mut seen, mut got, mut acknowledged) = (0, 0, Vec::new(), 0);
        // What the connection was given, and how much of that has arrived.
        let (mut wire, mut arrived): (Vec<String>, usize) = (Vec::new(), 0);
        let mut is_there = true;
        let end = [Step::Seen, Step::Lose, Step::Resume].into_iter().chain((0..100).flat_map(|_| [Step::Arrive(64), Step::Acknowledge]));
        let begin = [Step::Lose, Step::Resume, Step::Use(false)];
        for step in begin.into_iter().chain(steps).chain(end) {
            let mut effects = Vec::new();
            match step {
                Step::Send(is_urgent) => {
                    let xml = if is_urgent { BODY } else { RECEIPT };
                    effects = world.send(romeo, chat(xml).with_id(format!("m{sent}")));
                    sent += 1;
                }
                Step::Seen => {
                    seen += 1;
                    effects = world.send(romeo, available(0).with_id(format!("p{seen}")));
                }
                Step::Use(is_used) if is_there => {
                    let state = if is_used { ClientState::Active } else { ClientState::Inactive };
                    world.router.element(world.now, phone, state.to_element().root(), &mut effects);
                }
                Step::Arrive(count) if is_there => {
                    let end = wire.len().min(arrived + count);
                    got.extend_from_slice(&wire[arrived..end]);
                    arrived = end;
                    world.router.drained(world.now, phone, arrived as u64, &mut effects);
                }
                Step::Acknowledge if is_there => {
                    let count = u32::try_from(got.len() - acknowledged).unwrap();
                    acknowledged = got.len();
                    world.router.acknowledged(world.now, phone, count, &mut effects);
                }
                Step::Lose if is_there => {
                    prop_assert!(world.router.detach(world.now, phone, &mut Vec::new()));
                    (is_there, arrived) = (false, 0);
                    wire.clear();
                }
                Step::Resume if !is_there => {
                    let count = u32::try_from(got.len() - acknowledged).unwrap();
                    acknowledged = got.len();
                    prop_assert!(world.router.resume(world.now, phone, &bare(JULIET), count, &mut effects));
                }
                _ => {}
            }
            for effect in effects {
                match effect {
                    Effect::Resumed { .. } => is_there = true,
                    Effect::Deliver { session, stanza } if session == phone => {
                        prop_assert!(is_there, "it is given something without a connection");
                        wire.push(stanza.head.id.as_deref().unwrap_or_default().to_owned());
                    }
                    Effect::Close { session, .. } => prop_assert_ne!(session, phone),
                    _ => {}
                }
            }
        }
        let numbers = |mark: char| -> Vec<usize> {
            got.iter().filter_map(|id| id.strip_prefix(mark)?.parse().ok()).collect()
        };
        prop_assert_eq!(numbers('m'), (0..sent).collect::<Vec<_>>());
        let presence = numbers('p');
        prop_assert!(presence.is_sorted_by(|one, other| one < other));
        prop_assert_eq!(presence.last(), Some(&seen));
        // Romeo takes what he has been shown of himself.
        for _ in 0..=seen {
            world.router.drained(world.now, romeo, u64::MAX, &mut Vec::new());
        }
        prop_assert_eq!(world.router.queued(), 0);
    }
}
