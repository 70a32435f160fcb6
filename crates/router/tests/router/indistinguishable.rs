//! Nobody can tell who exists and who is there, but those who may (RFC 6120 section 13.10.2, RFC 6121 section 11).

use core::time::Duration;

use balcony_roster::Subscription;
use balcony_router::{Answer, Append, Ask, Change, Content, Effect, LogEdit, Room, SessionId};
use balcony_stanza::{IqType, Kind, MessageType, PresenceType, Stanza, ns};
use proptest::prelude::*;

use crate::world::{
    PRESENCE, World, asks, bare, config, document, iq, jid, room_for, roster_set, tickets, wire,
};

/// Everything that Romeo can see of `stanza` sent to `to`, with the address taken out.
fn seen(to: &str, stanza: &Stanza) -> Vec<String> {
    let mut config = config();
    config.limits.asks = 4;
    let mut world = World::with(config);
    let romeo = world.available("romeo@example.net/street", 0);
    let gone = world.available("juliet@example.com/gone", 0);
    world.available("juliet@example.com/attic", -1);
    world.unbind(gone);
    let past = world.available("tybalt@example.com/past", 0);
    world.unbind(past);
    let mut effects = world.send(romeo, stanza.clone().with_to(jid(to)));
    for ticket in tickets(&effects) {
        world.router.answer(world.now, ticket, Answer::Refused, &mut effects);
    }
    let address = jid(to);
    effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Deliver { session, stanza } if *session == romeo => {
                Some(wire(stanza).replace(to, "TO").replace(address.bare_str(), "BARE"))
            }
            _ => None,
        })
        .collect()
}

fn same(addresses: &[&str], stanza: &Stanza) {
    let first = seen(addresses[0], stanza);
    for other in &addresses[1..] {
        assert_eq!(first, seen(other, stanza), "{} and {other}: {:?}", addresses[0], stanza.head.kind);
    }
}

const NOBODY: &str = "nobody@example.com/attic";
const OFFLINE: &str = "tybalt@example.com/attic";
const HIDDEN: &str = "juliet@example.com/attic";
const NO_MATCH: &str = "juliet@example.com/gone";

// RFC 6120 §13.10.2 [Q12], RFC 6121 §8.5 [I0, I1, I3, I4]: byte for byte, but for the address.
#[test]
fn requests() {
    for kind in [IqType::Get, IqType::Set] {
        for (name, namespace) in [
            ("query", "urn:example:unknown"),
            ("ping", "urn:xmpp:ping"),
            ("query", "http://jabber.org/protocol/disco#info"),
            ("query", "jabber:iq:roster"),
            ("query", "jabber:iq:last"),
            ("query", "jabber:iq:private"),
            ("blocklist", "urn:xmpp:blocking"),
        ] {
            let stanza = iq(kind, name, namespace);
            let [answer] = &seen("nobody@example.com", &stanza)[..] else { panic!("no answer") };
            // RFC 6121 §2.1.5, §2.3.3 [RE1]
            let condition =
                if namespace == "jabber:iq:roster" { "<forbidden " } else { "<service-unavailable " };
            assert!(answer.contains(condition), "{answer}");
            assert!(seen(NOBODY, &stanza)[0].contains("<service-unavailable "));
            same(&[NOBODY, OFFLINE, HIDDEN, NO_MATCH], &stanza);
            same(&["nobody@example.com", "tybalt@example.com", "juliet@example.com"], &stanza);
        }
    }
}

// RFC 6121 §8.5.1 [P0], §11 [SC1, SC2], §4.3.2 [PR9, PR33]
#[test]
fn presence() {
    for kind in PRESENCE {
        let stanza = Stanza::presence(kind).with_id("p");
        same(&[NOBODY, OFFLINE, HIDDEN, NO_MATCH], &stanza);
        same(&["nobody@example.com", "tybalt@example.com", "juliet@example.com"], &stanza);
    }
    assert!(seen(HIDDEN, &Stanza::presence(PresenceType::Probe).with_id("p")).is_empty());
}

// RFC 6121 §8.1, §8.5.1 [D0b, D0f, D1b, D1n]: no account, and one that is offline.
#[test]
fn messages() {
    for kind in [
        MessageType::Normal,
        MessageType::Chat,
        MessageType::Groupchat,
        MessageType::Headline,
        MessageType::Error,
    ] {
        let stanza = Stanza::new(Kind::Message(kind)).with_id("m");
        same(&[NOBODY, OFFLINE], &stanza);
        same(&["nobody@example.com", "tybalt@example.com"], &stanza);
    }
}

/// How it may be with Juliet, as far as strangers are concerned.
#[derive(Clone, Copy, Debug)]
enum Juliet {
    /// There is no such account.
    Nobody,
    Offline,
    /// As many messages wait for her as may.
    Full,
    Connected,
    Available,
    /// Available, with a negative priority.
    Negative,
    /// Available, and has blocked the strangers.
    Blocking,
    /// The same, but offline.
    BlockingOffline,
    /// Available, with a card that everybody may see.
    Shown,
    /// The same, but offline.
    ShownOffline,
}

/// One of the two strangers, or what becomes of everything that the store has been asked.
#[derive(Clone, Debug)]
enum Op {
    Local(Stanza),
    Remote(Stanza),
    /// Some of the same, one after the other.
    Burst(Stanza, usize),
    /// It is answered.
    Round,
    /// The store can't do it.
    Refused,
    /// The store is too slow.
    Late,
}

const JULIET: &str = "juliet@example.com";
const CARD: &str = "<vCard xmlns='vcard-temp'><FN>Juliet</FN></vCard>";
/// Strangers to Romeo, whom he has look what of his comes through, now or later.
const ACCOMPLICE: &str = "accomplice@example.com";
const ABSENT: &str = "absent@example.com";
/// Somebody whose presence he sees, and who is away.
const NURSE: &str = "nurse@example.com";

fn op() -> impl Strategy<Value = Op> {
    let mut all: Vec<Stanza> = PRESENCE.map(Stanza::presence).into();
    let messages = [MessageType::Normal, MessageType::Chat, MessageType::Groupchat];
    all.extend(messages.map(Stanza::message));
    all.extend([MessageType::Headline, MessageType::Error].map(Stanza::message));
    all.extend(
        [IqType::Get, IqType::Set, IqType::Result].map(|kind| iq(kind, "query", "urn:example:unknown")),
    );
    let known =
        [ns::DISCO_INFO, ns::DISCO_ITEMS, "jabber:iq:last", "jabber:iq:private", "jabber:iq:register"];
    all.extend(known.map(|namespace| iq(IqType::Get, "query", namespace)));
    all.extend([IqType::Get, IqType::Get, IqType::Set].map(|kind| iq(kind, "vCard", "vcard-temp")));
    let to = prop::sample::select(vec![
        "juliet@example.com",
        "juliet@example.com/attic",
        "juliet@example.com/none",
    ]);
    let stanza = (prop::sample::select(all), to).prop_map(|(stanza, to)| stanza.with_to(jid(to)));
    // How it is with others must not depend on how it is with Juliet.
    let others = prop::sample::select(vec![ACCOMPLICE, ABSENT, NURSE, "romeo@example.net"]);
    let others = others.prop_map(|to| Stanza::message(MessageType::Chat).with_to(jid(to)));
    prop_oneof![
        2 => stanza.clone().prop_map(Op::Local),
        2 => stanza.clone().prop_map(Op::Remote),
        1 => (stanza, 2..6_usize).prop_map(|(stanza, times)| Op::Burst(stanza, times)),
        2 => others.prop_map(Op::Local),
        // What passes between the two waits for this.
        1 => Just(Op::Local(roster_set("<item jid='juliet@example.com'/>"))),
        1 => Just(Op::Round),
        1 => Just(Op::Refused),
        1 => Just(Op::Late),
    ]
}

/// Juliet sees somebody's presence who is away.
const FRIEND: &str = "friend@example.com";
/// With so many steps left all that happens has happened.
const ROUNDS: usize = 5;

/// How many messages wait for an account at most.
const MOST: usize = 6;

/// As many messages wait for Juliet as may.
fn fill(world: &mut World) {
    let creation = world.store.kept(&bare(JULIET)).unwrap().creation;
    let append = Append {
        log: "offline".into(),
        tag: "friar@example.org".into(),
        content: Content { version: 1, bytes: b"<message xmlns='jabber:client'/>".as_slice().into() },
        room: Room::UNBOUNDED,
    };
    for _ in 0..MOST {
        let changes = vec![Change::Log { creation, edit: LogEdit::Append(append.clone()) }];
        let saved = world.ask(Ask::Save { account: bare(JULIET), changes, by_others: true });
        assert_eq!(saved, Answer::Saved);
    }
}

/// What the strangers see after each step.
fn watch(juliet: Juliet, ops: &[Op], waiting: usize) -> Vec<Vec<String>> {
    let mut config = config();
    config.limits.waiting = waiting;
    config.extensions = room_for(MOST);
    let mut world = World::with(config);
    world.befriend("romeo@example.net", NURSE, Subscription::To);
    world.befriend(NURSE, "romeo@example.net", Subscription::From);
    world.store.create(bare(ABSENT));
    // Romeo's own messages to himself wait for him.
    let romeo = world.connect("romeo@example.net/street");
    let accomplice = world.available(&format!("{ACCOMPLICE}/lane"), 0);
    if !matches!(juliet, Juliet::Nobody) {
        world.befriend(JULIET, FRIEND, Subscription::To);
        world.befriend(FRIEND, JULIET, Subscription::From);
    }
    if let Juliet::Full = juliet {
        fill(&mut world);
    }
    if let Juliet::Blocking | Juliet::BlockingOffline = juliet {
        for blocked in ["romeo@example.net", "example.org"] {
            world.block(JULIET, blocked);
        }
    }
    if let Juliet::Blocking | Juliet::BlockingOffline | Juliet::Shown | Juliet::ShownOffline = juliet {
        document(&mut world, JULIET, "vcard", "", CARD.as_bytes());
    }
    let attic = "juliet@example.com/attic";
    let own = match juliet {
        Juliet::Available | Juliet::Blocking | Juliet::Shown => Some(world.available(attic, 0)),
        Juliet::Negative => Some(world.available(attic, -1)),
        Juliet::Connected => Some(world.connect(attic)),
        _ => None,
    };
    world.at_once = false;
    let (mut open, mut seen, mut handled) = (Vec::new(), Vec::new(), 0);
    for (number, op) in ops.iter().enumerate() {
        let mut effects = Vec::new();
        let mut done = None;
        match op.clone() {
            Op::Local(stanza) => effects = world.brings(romeo, stanza.with_id(number.to_string())),
            Op::Remote(stanza) => {
                let stanza = stanza.with_id(number.to_string()).with_from(jid("friar@example.org/cell"));
                world.router.receive(world.now, stanza, &mut effects);
            }
            Op::Burst(stanza, times) => {
                for _ in 0..times {
                    effects.extend(world.brings(romeo, stanza.clone().with_id(number.to_string())));
                }
            }
            Op::Round | Op::Refused => {
                for (ticket, ask) in core::mem::take(&mut open) {
                    let answer = if let Op::Round = op { world.ask(ask) } else { Answer::Refused };
                    world.router.answer(world.now, ticket, answer, &mut effects);
                }
            }
            Op::Late => {
                open.clear();
                world.now = world.now + Duration::from_secs(31);
                world.router.tick(world.now, &mut effects);
            }
        }
        if matches!(op, Op::Local(_) | Op::Remote(_) | Op::Burst(..)) {
            // All that is done before the answers to what comes with it have left.
            done = Some(effects.iter().map(work).collect::<Vec<_>>());
        }
        world.take_in(&mut effects);
        let is_his =
            |effect: &&Effect| matches!(effect, Effect::Handled { session, .. } if *session == romeo);
        handled += effects.iter().filter(is_his).count();
        open.extend(asks(&effects));
        // Nor do they use up what the store takes of her.
        let is_hers = |ask: &Ask| matches!(ask, Ask::Load { account, .. } if account.as_str() == JULIET);
        let lookups = open.iter().filter(|(_, ask)| is_hers(ask)).count();
        assert!(
            lookups <= 3,
            "{lookups} lookups: her own, one for all probes, and one for all who want her card"
        );
        let mut step: Vec<_> =
            effects.iter().filter_map(|effect| shown(effect, &[romeo, accomplice])).collect();
        step.push(format!("{done:?}"));
        step.push(format!("{} came through", world.kept(ABSENT).len()));
        // How much of what has been sent is not handled tells how fast it is read.
        let waited = world.waited.iter().filter(|(session, _)| *session == romeo).count();
        let at_once = world.handled.iter().filter(|session| **session == romeo).count();
        step.push(format!("{} wait", waited - at_once - handled));
        // Neither sees the other's.
        step.sort_by_key(|line| line.starts_with("remote"));
        seen.push(step);
        // And what strangers do costs her nothing: there is room for what she sends, while it is still under way.
        if let Some(own) = own.filter(|_| number + ROUNDS == ops.len()) {
            let effects = world.send(own, Stanza::message(MessageType::Chat).with_to(jid(FRIEND)));
            let told = world.tell(&effects);
            assert!(told.iter().all(|line| !line.contains("resource-constraint")), "{told:?}");
            open.extend(asks(&effects));
        }
    }
    seen
}

/// The same, when it does not matter whether there is a card: where it is, everybody may see it, and nothing else.
fn without_cards(steps: &[Vec<String>], ops: &[Op]) -> Vec<Vec<String>> {
    let asks_for_card = |number: usize| match &ops[number] {
        Op::Local(stanza) | Op::Remote(stanza) | Op::Burst(stanza, _) => {
            stanza.head.kind == Kind::Iq(IqType::Get)
                && String::from_utf8_lossy(stanza.payload.as_bytes()).contains("vCard")
        }
        _ => false,
    };
    let of_card = |line: &str| {
        let (_, id) = line.split_once(" id='")?;
        let number = id.split_once('\'')?.0.parse().ok().filter(|number| asks_for_card(*number))?;
        (line.contains(CARD) || line.contains("<service-unavailable ")).then(|| format!("card {number}"))
    };
    let steps = steps.iter();
    steps
        .map(|step| step.iter().map(|line| of_card(line).unwrap_or_else(|| line.clone())).collect())
        .collect()
}

/// What an effect has its owner do, whomever it concerns.
fn work(effect: &Effect) -> String {
    match effect {
        Effect::Ask { ask, .. } => match ask {
            Ask::Load { .. } => "load".to_owned(),
            Ask::Save { .. } => "save".to_owned(),
            other => format!("{other:?}"),
        },
        Effect::Deliver { session, .. } => format!("deliver to {session:?}"),
        Effect::Remote { stanza, .. } => wire(stanza),
        Effect::Handled { number, .. } => format!("{number} is handled"),
        other => format!("{other:?}"),
    }
}

fn shown(effect: &Effect, observers: &[SessionId]) -> Option<String> {
    match effect {
        Effect::Deliver { session, stanza } if observers.contains(session) => Some(wire(stanza)),
        Effect::Remote { stanza, .. } => Some(format!("remote: {}", wire(stanza))),
        _ => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    // RFC 6120 §13.10.2 [Q12], RFC 6121 §8.1, §11 [SC1, SC2, PR33], XEP-0054 1.3 §3.3, XEP-0012 2.0 §8 [LA2, LA12]: whatever strangers send, in whatever order, and however
    // slow the store is, they see the same at the same time; and until what came at once is answered as much is done, whoever it is for.
    #[test]
    fn strangers_learn_nothing(ops in prop::collection::vec(op(), 1..12), waiting in prop::sample::select(vec![2, 1_000])) {
        let mut ops = ops;
        ops.extend(core::iter::repeat_n(Op::Round, ROUNDS - 1));
        let nobody = watch(Juliet::Nobody, &ops, waiting);
        for juliet in [
            Juliet::Offline,
            Juliet::Full,
            Juliet::Connected,
            Juliet::Available,
            Juliet::Negative,
            Juliet::Blocking,
            Juliet::BlockingOffline,
        ] {
            prop_assert_eq!(&watch(juliet, &ops, waiting), &nobody, "{:?}", juliet);
        }
        let nobody = without_cards(&nobody, &ops);
        for juliet in [Juliet::Shown, Juliet::ShownOffline] {
            let seen = watch(juliet, &ops, waiting);
            prop_assert_eq!(&without_cards(&seen, &ops), &nobody, "{:?}", juliet);
        }
    }
}

// RFC 6120 §13.10.2 [Q12]: however many messages a stranger sends, and however slow the store is, all are read at once, and a ping
// behind them is answered at once. Nor does an account that can take them cost the stranger's session more than one that is not
// there: each message is one stanza in, and nothing out.
#[test]
fn a_burst_tells_nothing() {
    let chat = |to| Op::Local(Stanza::message(MessageType::Chat).with_to(jid(to)));
    let burst: Vec<_> = core::iter::repeat_n(chat(JULIET), 1_100)
        .chain([Op::Local(iq(IqType::Get, "ping", "urn:xmpp:ping"))])
        .chain(["romeo@example.net", NURSE, ACCOMPLICE, ABSENT].map(chat))
        .chain([Op::Round, Op::Round])
        .collect();
    let nobody = watch(Juliet::Nobody, &burst, 1_024);
    assert!(
        nobody[..1_100].iter().all(|step| *step == ["Some([])", "0 came through", "0 wait"]),
        "nothing is done"
    );
    assert_eq!(nobody[1_100].len(), 4, "the answer to the ping, and nothing waits");
    assert_eq!(nobody[1_103].len(), 4, "the accomplice gets it");
    let end = nobody.last().unwrap();
    assert_eq!(*end, ["None", "1 came through", "0 wait"]);
    for juliet in [
        Juliet::Offline,
        Juliet::Full,
        Juliet::Connected,
        Juliet::Available,
        Juliet::Negative,
        Juliet::Blocking,
    ] {
        assert_eq!(watch(juliet, &burst, 1_024), nobody, "{juliet:?}");
    }
}
