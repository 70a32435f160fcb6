//! Sessions that acknowledge what they get and outlive their connection (XEP-0198): what a client that comes back gets, and what becomes of
//! the rest when it does not.

use core::time::Duration;

use balcony_roster::Subscription;
use balcony_router::{Effect, Removal, SessionId};
use balcony_stanza::{IqType, Kind, MessageType, PresenceType, Stanza, StreamCondition};
use proptest::prelude::*;

use crate::world::{World, available, bare, config, content, jid, request, wires};

const JULIET: &str = "juliet@example.com";
const PHONE: &str = "juliet@example.com/phone";
const WAIT: Duration = Duration::from_secs(600);

fn chat(number: usize) -> Stanza {
    let mut stanza = content(&format!("<body>{number}</body>"));
    stanza.head.kind = Kind::Message(MessageType::Chat);
    stanza.with_to(jid(JULIET))
}

fn number(wire: &str) -> Option<usize> {
    wire.split_once("<body>")?.1.split_once("</body>")?.0.parse().ok()
}

fn kept(world: &World) -> Vec<usize> {
    let body = |stanza: Stanza| number(&String::from_utf8_lossy(stanza.payload.as_bytes()));
    world.kept(JULIET).into_iter().filter_map(body).collect()
}

/// The store answers; no network takes anything.
fn stored(world: &mut World, effects: &mut Vec<Effect>) {
    let mut next = 0;
    while next < effects.len() {
        if let Effect::Ask { ticket, ask } = effects[next].clone() {
            let answer = world.ask(ask);
            world.router.answer(world.now, ticket, answer, effects);
        }
        next += 1;
    }
}

/// Juliet's phone, available, which acknowledges and can be resumed; and Romeo, who sees her.
fn world() -> (World, SessionId, SessionId) {
    world_with(config())
}

fn world_with(config: balcony_router::Config) -> (World, SessionId, SessionId) {
    let mut world = World::with(config);
    befriend(&mut world, "romeo@example.net", JULIET);
    befriend(&mut world, JULIET, "nurse@example.com");
    let romeo = world.available("romeo@example.net/street", 0);
    let phone = world.available(PHONE, 0);
    assert!(world.router.manage(phone, WAIT, &mut Vec::new()));
    (world, romeo, phone)
}

/// Both see each other.
fn befriend(world: &mut World, one: &str, other: &str) {
    world.befriend(one, other, Subscription::Both);
    world.befriend(other, one, Subscription::Both);
}

/// Its connection is lost. What is to be stored because of that is.
fn detach(world: &mut World, session: SessionId) -> bool {
    let mut effects = Vec::new();
    let waits = world.router.detach(world.now, session, &mut effects);
    stored(world, &mut effects);
    waits
}

fn tick(world: &mut World) -> Vec<Effect> {
    let mut effects = Vec::new();
    world.router.tick(world.now, &mut effects);
    stored(world, &mut effects);
    effects
}

fn resumed(world: &mut World, phone: SessionId, count: u32) -> Option<Vec<Effect>> {
    let mut effects = Vec::new();
    let is_resumed = world.router.resume(world.now, phone, &bare(JULIET), count, &mut effects);
    is_resumed.then_some(effects)
}

// XEP-0198 §5 [SM14] [SM19] [SM21]: while it is away it is as available as before; what comes meanwhile it gets, in order, with the time at
// which it came.
#[test]
fn a_client_comes_back() {
    let (mut world, romeo, phone) = world();
    world.send(romeo, chat(0));
    assert!(detach(&mut world, phone));
    let sent = world.send(romeo, chat(1));
    assert!(sent.iter().all(|effect| !matches!(effect, Effect::Deliver { .. })), "{sent:?}");
    world.now = world.now + Duration::from_secs(60);
    let sent = world.send(romeo, chat(2));
    assert!(sent.iter().all(|effect| matches!(effect, Effect::Ask { .. })), "{sent:?}");
    let effects = resumed(&mut world, phone, 1).unwrap();
    assert!(
        matches!(&effects[0], Effect::Resumed { session, jid, received: 1 } if *session == phone && jid.as_str() == PHONE)
    );
    let got = wires(&effects[1..], phone);
    assert_eq!(got.iter().map(|wire| number(wire)).collect::<Vec<_>>(), [Some(1), Some(2)]);
    assert!(
        got[0]
            .contains("<delay xmlns='urn:xmpp:delay' from='example.com' stamp='2002-09-10T23:08:25.000Z'/>"),
        "{got:?}"
    );
    assert!(got[1].contains("stamp='2002-09-10T23:09:25.000Z'/>"), "{got:?}");
    // From now on it is as any other.
    let effects = world.send(romeo, chat(3));
    assert_eq!(wires(&effects, phone).len(), 1);
    assert!(kept(&world).is_empty());
}

// [SM20]: it does not come back: its contacts see that it is gone, and messages are stored, with the time at which they came.
#[test]
fn a_client_does_not_come_back() {
    let (mut world, romeo, phone) = world();
    world.send(romeo, chat(0));
    assert!(detach(&mut world, phone));
    world.send(romeo, chat(1));
    world.now = world.now + Duration::from_secs(599);
    assert!(tick(&mut world).is_empty() && world.router.jid(phone).is_some());
    world.now = world.now + Duration::from_secs(1);
    assert_eq!(world.router.deadline().unwrap().at, world.now);
    let effects = tick(&mut world);
    let closed = Effect::Close { session: phone, error: StreamCondition::ConnectionTimeout };
    assert!(effects.contains(&closed), "{effects:?}");
    let told = world.tell(&effects);
    assert!(told.contains(&format!("{}: presence unavailable from {PHONE}", world.name(romeo))), "{told:?}");
    assert_eq!(kept(&world), [0, 1]);
    let kept = wires_of(&world);
    assert!(kept.iter().all(|wire| wire.contains("stamp='2002-09-10T23:08:25.000Z'")), "{kept:?}");
    world.router.drained(world.now, romeo, u64::MAX, &mut Vec::new());
    assert_eq!((world.router.queued(), resumed(&mut world, phone, 0)), (0, None));
}

// [SM20] [SM21], XEP-0203 2.0 §2, §5 [DL2] [DL3]: who comes later gets it from the store with the time at which it came, which nobody else can say.
#[test]
fn the_store_knows_when_it_came() {
    let (mut world, romeo, phone) = world();
    let forged = |number| {
        let delay = "<delay xmlns='urn:xmpp:delay' from='example.com' stamp='1999-01-01T00:00:00Z'/>";
        let mut stanza = content(&format!("<body>{number}</body>{delay}"));
        stanza.head.kind = Kind::Message(MessageType::Chat);
        stanza.with_to(jid(JULIET))
    };
    assert!(detach(&mut world, phone));
    world.send(romeo, chat(0));
    world.send(romeo, forged(1));
    world.now = world.now + WAIT;
    tick(&mut world);
    // Nobody is there any more.
    world.send(romeo, forged(2));
    assert_eq!(kept(&world), [0, 1, 2]);
    world.now = world.now + WAIT;
    let desk = world.connect("juliet@example.com/desk");
    let effects = world.send(desk, available(0));
    let mut got = wires(&effects, desk);
    got.retain(|wire| number(wire).is_some());
    let stamps: Vec<_> =
        got.iter().map(|wire| wire.split("stamp='").nth(1).unwrap().get(..19).unwrap()).collect();
    assert_eq!(stamps, ["2002-09-10T23:08:25", "2002-09-10T23:08:25", "2002-09-10T23:18:25"]);
    assert!(got.iter().all(|wire| wire.matches("<delay").count() == 1), "{got:?}");
}

fn wires_of(world: &World) -> Vec<String> {
    let kept = world.kept(JULIET);
    kept.iter().map(|stanza| String::from_utf8_lossy(stanza.payload.as_bytes()).into_owned()).collect()
}

// [SM20]: what another session of the account has got is not stored again, and a request that nobody gets is answered.
#[test]
fn what_times_out_goes_nowhere_twice() {
    let (mut world, romeo, phone) = world();
    let desk = world.available("juliet@example.com/desk", 0);
    assert!(detach(&mut world, phone));
    assert_eq!(wires(&world.send(romeo, chat(0)), desk).len(), 1);
    let ping = crate::world::request(balcony_stanza::IqType::Get, "<ping xmlns='urn:xmpp:ping'/>")
        .with_to(jid(PHONE));
    assert!(world.says(romeo, ping).is_empty());
    world.now = world.now + Duration::from_secs(600);
    let effects = tick(&mut world);
    assert!(kept(&world).is_empty());
    let answers = wires(&effects, romeo);
    assert_eq!(answers.iter().filter(|wire| wire.contains("service-unavailable")).count(), 1, "{answers:?}");
    assert!(wires(&effects, desk).iter().all(|wire| number(wire).is_none()));
}

// [SM13] [SM16]: nobody else can resume it, nor can it say that it has got more than it was sent, nor before its connection is lost.
#[test]
fn who_may_resume() {
    let (mut world, romeo, phone) = world();
    world.send(romeo, chat(0));
    assert_eq!(resumed(&mut world, phone, 0), None, "it has a connection");
    assert!(detach(&mut world, phone));
    let mut effects = Vec::new();
    assert!(!world.router.resume(world.now, phone, &bare("romeo@example.net"), 0, &mut effects));
    assert_eq!((resumed(&mut world, phone, 2), resumed(&mut world, SessionId(99), 0)), (None, None));
    assert!(effects.is_empty() && resumed(&mut world, phone, 1).is_some());
    // A session that does not wait ends with its connection.
    assert!(world.router.manage(romeo, Duration::ZERO, &mut Vec::new()));
    assert!(!detach(&mut world, romeo));
}

// [SM11]: it hears that it is resumed when all that it had sent before is decided, not sooner.
#[test]
fn resumed_waits_for_what_was_sent() {
    let (mut world, _, phone) = world();
    world.at_once = false;
    let stanza = chat(7).with_to(jid("nurse@example.com"));
    let effects = world.send(phone, stanza);
    assert_eq!(world.waited.len(), 1, "the nurse's account is being loaded");
    assert!(detach(&mut world, phone));
    assert_eq!(resumed(&mut world, phone, 0), Some(Vec::new()));
    let mut effects = effects;
    stored(&mut world, &mut effects);
    let handled = effects
        .iter()
        .position(|effect| matches!(effect, Effect::Handled { session, .. } if *session == phone));
    let resumed = effects.iter().position(|effect| matches!(effect, Effect::Resumed { received: 2, .. }));
    assert!(handled.is_some() && handled < resumed, "{effects:?}");
}

// A session that waits ends as any other: replaced by one that wants its resource, with its account, or when too much waits for it.
#[test]
fn sessions_that_wait_end_as_others() {
    let (mut world, romeo, phone) = world();
    assert!(detach(&mut world, phone));
    world.send(romeo, chat(0));
    let effects = world.bind(SessionId(1_000), JULIET, "phone");
    assert!(
        effects.iter().any(|effect| matches!(effect, Effect::Close { session, .. } if *session == phone))
    );
    assert_eq!((kept(&world), world.router.queued()), (vec![0], 0));

    let (mut world, romeo, phone) = self::world();
    assert!(detach(&mut world, phone));
    world.send(romeo, chat(0));
    let effects = world.removed(JULIET);
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Removed { removal: Removal::Removed, .. })));
    assert_eq!((world.router.queued(), world.router.counts().loaded), (0, 1));

    let mut small = config();
    small.limits.queue_bytes = 2_000;
    let (mut world, romeo, phone) = world_with(small);
    assert!(detach(&mut world, phone));
    let sent: Vec<_> = (0..30).flat_map(|number| world.send(romeo, chat(number))).collect();
    assert!(sent.iter().any(|effect| matches!(effect, Effect::Close { session, .. } if *session == phone)));
    assert_eq!((kept(&world), world.router.queued()), ((0..30).collect(), 0));
}

// A message that is too much for two sessions at once, which wait both, is nobody's any more, and waits for the next.
#[test]
fn what_is_too_much_for_two_sessions_at_once_is_kept() {
    let mut small = config();
    small.limits.queue_bytes = 2_000;
    let (mut world, romeo, phone) = world_with(small);
    let desk = world.available("juliet@example.com/desk", 0);
    assert!(world.router.manage(desk, WAIT, &mut Vec::new()));
    for session in [phone, desk] {
        // All that it was sent, so that as much waits for the one as for the other. What it was not sent it can't acknowledge.
        let mut effects = Vec::new();
        (0..20).for_each(|_| world.router.acknowledged(world.now, session, 1, &mut effects));
        assert!(detach(&mut world, session));
    }
    assert_eq!(world.router.queued(), 0);
    let sent: Vec<_> = (0..30).flat_map(|number| world.send(romeo, chat(number))).collect();
    let ended = |session| {
        sent.iter()
            .any(|effect| matches!(effect, Effect::Close { session: closed, .. } if *closed == session))
    };
    assert!(ended(phone) && ended(desk));
    assert_eq!((kept(&world), world.router.queued()), ((0..30).collect(), 0));
}

// Limits::unacknowledged: who acknowledges nothing gets no more than that, and goes on when it does.
#[test]
fn what_is_not_acknowledged_is_bounded() {
    let mut small = config();
    small.limits.unacknowledged = 1_500;
    let (mut world, romeo, phone) = world_with(small);
    let got = |effects: &[Effect]| wires(effects, phone).len();
    let first: usize = (0..30).map(|number| got(&world.send(romeo, chat(number)))).sum();
    assert!((1..6).contains(&first), "{first}");
    let mut effects = Vec::new();
    world.router.acknowledged(world.now, phone, 1, &mut effects);
    assert_eq!(got(&effects), 1);
    // Nobody can say that it has got what it was not sent.
    let queued = world.router.queued();
    world.router.acknowledged(world.now, phone, 1_000, &mut effects);
    assert_eq!((got(&effects), world.router.queued()), (1, queued));
}

/// What happens in a history of a phone.
#[derive(Clone, Debug)]
enum Step {
    /// Romeo sends so many messages.
    Send(usize),
    /// So many more stanzas get through to the client.
    Arrive(usize),
    /// The network has so many of what it was given, at least what got through.
    Written(usize),
    /// The client says what it has got.
    Acknowledge,
    /// The connection is lost, and what is on it.
    Lose,
    /// The client comes back.
    Resume,
    /// The phone sends this, which has to wait for the store, or not.
    Says(bool),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (1..6_usize).prop_map(Step::Send),
        4 => (1..8_usize).prop_map(Step::Arrive),
        3 => (0..8_usize).prop_map(Step::Written),
        2 => Just(Step::Acknowledge),
        2 => Just(Step::Lose),
        3 => Just(Step::Resume),
        1 => any::<bool>().prop_map(Step::Says),
    ];
    prop::collection::vec(step, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    // XEP-0198 §4, §5: a client that comes back each time gets everything once and in order, wherever its connections break; and whatever it
    // has acknowledged is kept no longer.
    #[test]
    fn exactly_once(steps in steps(), credit in 1..4_000_usize, unacknowledged in 400..20_000_usize) {
        let mut config = config();
        (config.limits.credit, config.limits.unacknowledged) = (credit, unacknowledged);
        let (mut world, romeo, phone) = world_with(config);
        world.at_once = false;
        let (mut sent, mut got, mut acknowledged) = (0, Vec::new(), 0);
        // What the connection was given, how much of that has arrived, and how much of it the router knows to be written.
        let (mut wire, mut arrived, mut written): (Vec<usize>, usize, usize) = (Vec::new(), 0, 0);
        let mut is_there = true;
        // What it had got before is on another connection.
        let begin = [Step::Lose, Step::Resume];
        let end = [Step::Lose, Step::Resume].into_iter().chain((0..400).map(|_| Step::Arrive(64)).flat_map(|step| [step, Step::Written(64), Step::Acknowledge]));
        for step in begin.into_iter().chain(steps).chain(end) {
            let mut effects = Vec::new();
            match step {
                Step::Send(count) => for _ in 0..count {
                    effects.append(&mut world.send(romeo, chat(sent)));
                    sent += 1;
                },
                Step::Arrive(count) if is_there => {
                    let end = wire.len().min(arrived + count);
                    got.extend(&wire[arrived..end]);
                    arrived = end;
                }
                Step::Written(more) if is_there => {
                    written = wire.len().min(written.max(arrived) + more);
                    world.router.drained(world.now, phone, written as u64, &mut effects);
                }
                Step::Acknowledge if is_there => {
                    let count = u32::try_from(got.len() - acknowledged).unwrap();
                    acknowledged = got.len();
                    world.router.acknowledged(world.now, phone, count, &mut effects);
                }
                Step::Lose if is_there => {
                    prop_assert!(detach(&mut world, phone));
                    (is_there, arrived, written) = (false, 0, 0);
                    wire.clear();
                }
                Step::Resume if !is_there => {
                    let count = u32::try_from(got.len() - acknowledged).unwrap();
                    acknowledged = got.len();
                    prop_assert!(world.router.resume(world.now, phone, &bare(JULIET), count, &mut effects));
                }
                Step::Says(true) if is_there => effects = world.send(phone, chat(0).with_to(jid("nobody@example.com"))),
                Step::Says(false) if is_there => effects = world.send(phone, Stanza::presence(PresenceType::Probe).with_to(jid(JULIET))),
                _ => {}
            }
            stored(&mut world, &mut effects);
            for effect in effects {
                match effect {
                    Effect::Resumed { .. } => is_there = true,
                    Effect::Deliver { session, stanza } if session == phone => {
                        prop_assert!(is_there, "it is given something without a connection");
                        let number = number(&String::from_utf8_lossy(stanza.payload.as_bytes()));
                        wire.extend(number.or(Some(usize::MAX)));
                    }
                    Effect::Close { session, .. } => prop_assert_ne!(session, phone),
                    _ => {}
                }
            }
        }
        got.retain(|number: &usize| *number != usize::MAX);
        prop_assert_eq!(got, (0..sent).collect::<Vec<_>>());
        prop_assert_eq!(world.router.queued(), 0);
        // Nothing is left of what was written because it had no connection.
        prop_assert_eq!(world.store.documents(&bare(JULIET), "undelivered").count(), 0);
    }
}

// XEP-0203 §4: who claims that this server has held a message back is not believed, and its claim is shorter afterwards.
#[test]
fn a_forged_stamp_goes() {
    let (mut world, romeo, phone) = world();
    assert!(detach(&mut world, phone));
    let stamp = "2".repeat(900);
    let mut stanza =
        content(&format!("<body>0</body><delay xmlns='urn:xmpp:delay' from='example.com' stamp='{stamp}'/>"));
    stanza.head.kind = Kind::Message(MessageType::Chat);
    world.send(romeo, stanza.with_to(jid(JULIET)));
    let got = wires(&resumed(&mut world, phone, 0).unwrap(), phone);
    assert!(got.len() == 1 && !got[0].contains(&stamp), "{got:?}");
    world.router.drained(world.now, phone, u64::MAX, &mut Vec::new());
    world.router.acknowledged(world.now, phone, 1, &mut Vec::new());
    assert_eq!(world.router.queued(), 0);
}

// XEP-0198 §5, RFC 6120 §7.7: what another session has left is not lost on a stream on which nothing is counted: it waits until the client that has bound
// the resource anew says something, and what comes for it meanwhile waits behind that. If the client goes before it does, that goes elsewhere; if it says
// nothing for long, it gets all the same.
#[test]
fn what_is_left_waits_for_a_first_word() {
    for end in ["word", "time", "lost"] {
        let (mut world, romeo, phone) = world();
        assert!(detach(&mut world, phone));
        world.send(romeo, chat(0).with_to(jid(PHONE)));
        let other = SessionId(7);
        let effects = world.bind(other, JULIET, "phone");
        assert_eq!(wires(&effects, other), [""; 0], "{end}");
        let effects = world.send(romeo, chat(1).with_to(jid(PHONE)));
        assert_eq!(wires(&effects, other), [""; 0], "{end}");
        // A request is none: some clients have stanzas counted behind one.
        let request = request(IqType::Get, "<query xmlns='jabber:iq:roster'/>");
        assert_eq!(wires(&world.send(other, request), other).len(), 1, "{end}: its answer alone");
        let effects = match end {
            "word" => world.send(other, Stanza::presence(PresenceType::Unavailable)),
            "time" => {
                world.now = world.now + Duration::from_secs(30);
                let mut effects = Vec::new();
                world.router.tick(world.now, &mut effects);
                effects
            }
            _ => {
                world.unbound(other);
                let next = SessionId(8);
                world.bind(next, JULIET, "phone");
                let mut effects = world.send(next, Stanza::presence(PresenceType::Available));
                world.serve(&mut effects);
                let got = wires(&effects, next);
                let place = |body: &str| got.iter().position(|wire| wire.contains(body));
                assert!(place("<body>0<") < place("<body>1<") && place("<body>0<").is_some(), "{got:?}");
                continue;
            }
        };
        let got = wires(&effects, other);
        assert!(
            got.len() == 2 && got[0].contains("<body>0<") && got[1].contains("<body>1<"),
            "{end}: {got:?}"
        );
    }
}

// RFC 6120 §10.1: what was sent to the full address and waits for the client's first word comes before what was sent to the account later and is stored
// until the client is available, also if that is its first word.
#[test]
fn what_is_left_comes_before_what_is_stored_later() {
    for first in [vec![], vec![Stanza::presence(PresenceType::Unavailable)]] {
        let (mut world, romeo, phone) = world();
        assert!(detach(&mut world, phone));
        world.send(romeo, chat(0).with_to(jid(PHONE)));
        let other = SessionId(7);
        let mut effects = world.bind(other, JULIET, "phone");
        world.send(romeo, chat(1));
        world.send(romeo, chat(2).with_to(jid(PHONE)));
        for word in first.into_iter().chain([available(0)]) {
            effects.append(&mut world.send(other, word));
        }
        let got: Vec<_> = wires(&effects, other).iter().filter_map(|wire| number(wire)).collect();
        assert_eq!(got, [0, 2, 1]);
        assert!(kept(&world).is_empty());
    }
}

// [SM9] [SM14]: a session that acknowledges from its first stanza on, and gets what another one of the same resource has left.
#[test]
fn what_is_left_counts_from_the_first_on() {
    let (mut world, romeo, phone) = world();
    assert!(detach(&mut world, phone));
    world.send(romeo, chat(0).with_to(jid(PHONE)));
    world.at_once = false;
    let other = SessionId(7);
    let mut effects = world.bind(other, JULIET, "phone");
    let left = |effects: &[Effect]| wires(effects, other).len();
    assert_eq!(left(&effects), 0, "{effects:?}");
    assert!(world.router.manage(other, WAIT, &mut effects));
    assert_eq!(left(&effects), 1, "{effects:?}");
    world.router.drained(world.now, romeo, u64::MAX, &mut Vec::new());
    assert!(world.router.queued() > 0);
    world.router.acknowledged(world.now, other, 1, &mut Vec::new());
    assert_eq!(world.router.queued(), 0);
}
