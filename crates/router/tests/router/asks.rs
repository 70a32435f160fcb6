//! Asks: each is answered once or expires, there are only so many, and what waits for them waits in order.

use core::time::Duration;

use balcony_machine::{Instant, Reason, Ticket};
use balcony_roster::Subscription;
use balcony_router::{Answer, Ask, Change, Effect, Kept, LogEdit, SessionId, cost};
use balcony_stanza::{IqType, Kind, MessageType, PresenceType, Stanza};

use crate::world::{World, asks, available, bare, brief, config, content, iq, jid, of_kind, tickets};

fn chat(to: &str) -> Stanza {
    of_kind(Kind::Message(MessageType::Chat), to)
}

/// Romeo, to whom Juliet's server, if it is hers, may tell things; from now on the test answers.
fn world(asks: usize) -> (World, SessionId) {
    let mut config = config();
    config.limits.waiting = asks;
    config.limits.answer = Duration::from_secs(30);
    config.tell_strangers = true;
    let mut world = World::with(config);
    let romeo = world.connect("romeo@example.net/street");
    world.store.create(bare("juliet@example.com"));
    world.at_once = false;
    (world, romeo)
}

fn loaded() -> Answer {
    Answer::Loaded(Some(Box::new(Kept::default())))
}

/// Sends a message to Juliet, who is not there: the ticket under which it is stored.
fn put(world: &mut World, from: SessionId) -> Ticket {
    let mut effects = world.send(from, chat("juliet@example.com"));
    if let [(ticket, Ask::Load { .. })] = asks(&effects)[..] {
        effects = world.answer(ticket, loaded());
    }
    match &asks(&effects)[..] {
        [(ticket, Ask::Save { account, changes, .. })] => {
            assert_eq!(account, &bare("juliet@example.com"));
            assert!(matches!(&changes[..], [Change::Log { edit: LogEdit::Append(_), .. }]));
            *ticket
        }
        other => panic!("{other:?}"),
    }
}

const REFUSED: &str = "street: message error service-unavailable/cancel from juliet@example.com";
const LATE: &str = "street: message error resource-constraint/wait from juliet@example.com";

// RFC 6121 §8.5.2.2.1 [D1b]
#[test]
fn stored_is_silent_and_refused_is_an_error() {
    let (mut world, romeo) = world(10);
    let first = put(&mut world, romeo);
    let second = put(&mut world, romeo);
    assert_ne!(first, second);
    assert!(world.answer(first, Answer::Saved).is_empty());
    let told = world.answer(second, Answer::Refused);
    assert_eq!(world.tell(&told), [REFUSED]);
    // Answered once, each of them.
    assert!(world.answer(first, Answer::Refused).is_empty());
    assert!(world.answer(second, Answer::Refused).is_empty());
    assert!(world.answer(Ticket(999), Answer::Refused).is_empty());
    assert_eq!(world.router.counts().asks, 0);
    assert_eq!(world.router.deadline(), None);
    // Nothing of Juliet was kept: she is loaded again.
    put(&mut world, romeo);
}

// The architecture's rule 2: every ask is answered once or expires.
#[test]
fn expiry_tells_the_sender() {
    let (mut world, romeo) = world(10);
    let stored = put(&mut world, romeo);
    world.now = Instant::from_millis(10_000);
    let loading = tickets(&world.send(romeo, chat("nurse@example.com")))[0];
    let deadline = world.router.deadline().unwrap();
    assert_eq!((deadline.at, deadline.reason), (Instant::from_millis(30_000), Reason::Answer));

    world.now = Instant::from_millis(29_999);
    assert!(world.tick().is_empty());
    world.now = Instant::from_millis(30_000);
    assert_eq!(world.tick(), [LATE]);
    assert!(world.answer(stored, Answer::Refused).is_empty());
    assert_eq!(world.router.deadline().unwrap().at, Instant::from_millis(40_000));
    world.now = Instant::from_millis(99_000);
    assert_eq!(world.tick(), ["street: message error resource-constraint/wait from nurse@example.com"]);
    assert!(world.answer(loading, loaded()).is_empty());
    assert_eq!(world.router.deadline(), None);
}

// A clock that runs backwards counts as one that stands still.
#[test]
fn time_never_runs_backwards() {
    let (mut world, romeo) = world(10);
    world.now = Instant::from_millis(50_000);
    let first = put(&mut world, romeo);
    world.now = Instant::ZERO;
    world.send(romeo, chat("nurse@example.com"));
    world.answer(first, Answer::Saved);
    assert_eq!(world.router.deadline().unwrap().at, Instant::from_millis(80_000));
}

/// What comes of a stanza that a session sends, and whether it is handled at once.
fn route(world: &mut World, from: SessionId, stanza: Stanza) -> (bool, Vec<Effect>) {
    let mut effects = Vec::new();
    let stanza = stanza.with_from(world.router.jid(from).unwrap().to_jid());
    let handled = world.router.route(world.now, from, stanza, &mut effects);
    world.take_in(&mut effects);
    world.serve(&mut effects);
    (handled, effects)
}

/// Romeo, who sees Juliet's presence if he is `trusted`, and a bound for what waits of him.
fn bounded(waiting: usize, trusted: bool) -> (World, SessionId) {
    let mut config = config();
    config.limits.waiting = waiting;
    config.tell_strangers = trusted;
    let mut world = World::with(config);
    if trusted {
        world.befriend("romeo@example.net", "juliet@example.com", Subscription::To);
        world.befriend("juliet@example.com", "romeo@example.net", Subscription::From);
    }
    let romeo = world.connect("romeo@example.net/street");
    world.store.create(bare("juliet@example.com"));
    world.at_once = false;
    (world, romeo)
}

const BUSY: &str = "street: message error resource-constraint/wait from juliet@example.com";

// The architecture's rule 4: past the bound the sender is told, and nobody else is hurt.
#[test]
fn what_waits_is_bounded() {
    let (mut world, romeo) = bounded(2, true);
    world.at_once = true;
    let orchard = world.connect("romeo@example.net/orchard");
    let nurse = world.connect("nurse@example.com/kitchen");
    world.at_once = false;
    let ticket = put(&mut world, romeo);
    // One waits for the account to be loaded, or for its message to be stored: it counts the same, in all sessions.
    world.send(orchard, chat("juliet@example.com"));
    let (is_handled, effects) = route(&mut world, romeo, chat("juliet@example.com"));
    assert!(is_handled);
    assert_eq!(world.tell(&effects), [BUSY]);
    // What need not wait still goes, and others have bounds of their own.
    assert_eq!(world.says(romeo, chat("nurse@example.com/kitchen")).len(), 1);
    assert_eq!(tickets(&world.send(nurse, chat("juliet@example.com"))).len(), 1);

    world.answer(ticket, Answer::Saved);
    assert_eq!(tickets(&world.send(romeo, chat("juliet@example.com"))).len(), 1);
}

// RFC 6120 §13.10.2 [Q12]: a stranger's stanza counts as handled at once, and past the bound it is dropped: neither the time nor
// an error tells whether there is such an account.
#[test]
fn strangers_are_handled_at_once() {
    let (mut world, romeo) = bounded(2, false);
    let mut all = Vec::new();
    for _ in 0..3 {
        let (at_once, mut effects) = route(&mut world, romeo, chat("juliet@example.com"));
        assert!(at_once && world.handled.is_empty());
        all.append(&mut effects);
    }
    let [(load, Ask::Load { .. })] = asks(&all)[..] else { panic!("{all:?}") };
    assert_eq!(world.answer(load, loaded()).len(), 2, "two are stored");
}

// The architecture's rule 4: where strangers are told what was not delivered there is nothing to hide from them.
#[test]
fn strangers_who_may_be_told_are() {
    let (mut world, romeo) = world(2);
    for _ in 0..2 {
        assert!(route(&mut world, romeo, chat("juliet@example.com")).0);
    }
    let (is_handled, effects) = route(&mut world, romeo, chat("juliet@example.com"));
    assert!(is_handled);
    assert_eq!(world.tell(&effects), [BUSY]);
    // Headlines expect no answer, and presence has none.
    for kind in [Kind::Message(MessageType::Headline), Kind::Presence(PresenceType::Subscribe)] {
        let (_, effects) = route(&mut world, romeo, of_kind(kind, "juliet@example.com"));
        assert!(effects.iter().all(|effect| !matches!(effect, Effect::Deliver { .. })), "{effects:?}");
    }
}

// Who sees the recipient's presence hears when a message that had to wait is stored, or is not.
#[test]
fn contacts_are_handled_when_it_is_decided() {
    let (mut world, romeo) = bounded(10, true);
    let (at_once, effects) = route(&mut world, romeo, chat("juliet@example.com"));
    let loaded = world.answer(tickets(&effects)[0], loaded());
    assert!(!at_once && world.handled.is_empty());
    world.answer(tickets(&loaded)[0], Answer::Saved);
    assert_eq!(world.handled, [romeo]);
}

// What waits is bounded in bytes, too.
#[test]
fn what_waits_is_bounded_in_bytes() {
    let (mut world, romeo) = bounded(100, true);
    let large = content(&format!("<body>{}</body>", "x".repeat(200_000))).with_to(jid("juliet@example.com"));
    let mut sent = 0;
    while route(&mut world, romeo, large.clone()).1.iter().all(|e| !matches!(e, Effect::Deliver { .. })) {
        sent += 1;
    }
    let limit = config().limits.waiting_bytes;
    assert_eq!(sent, limit.div_ceil(cost(&large.with_from(jid("romeo@example.net/street")))));
}

// The senders of another server share a bound, or each would make more of them.
#[test]
fn servers_are_bounded() {
    let (mut world, _) = bounded(2, false);
    let mut effects = Vec::new();
    for sender in ["friar@example.org", "monk@example.org", "abbot@example.org", "friar@abbey.example.org"] {
        world.router.receive(world.now, chat("juliet@example.com").with_from(jid(sender)), &mut effects);
    }
    assert!(effects.is_empty());
    world.take_in(&mut effects);
    // One ask for all of them. Each server has its turn.
    let effects = world.answer(tickets(&effects)[0], loaded());
    let stored: Vec<_> = world.tell(&effects);
    let from = |sender| format!("store for juliet@example.com: message chat from {sender}");
    assert_eq!(
        stored,
        [from("friar@example.org"), from("monk@example.org"), from("friar@abbey.example.org")]
    );
}

// Whoever reconnects does not get a fresh allowance.
#[test]
fn the_bound_outlives_the_session() {
    let (mut world, romeo) = bounded(1, true);
    let ticket = put(&mut world, romeo);
    world.unbind(romeo);
    world.at_once = true;
    let again = world.connect("romeo@example.net/street");
    world.at_once = false;
    assert_eq!(world.says(again, chat("juliet@example.com")), [BUSY]);
    // The error goes to the address, and so to who has it now.
    let told = world.answer(ticket, Answer::Refused);
    assert_eq!(world.tell(&told), [REFUSED]);
    assert_eq!(tickets(&world.send(again, chat("juliet@example.com"))).len(), 1);
}

// RFC 6120 §8.3.1: an error whose recipient has gone goes nowhere.
#[test]
fn errors_to_the_absent_are_dropped() {
    let (mut world, romeo) = world(1);
    let ticket = put(&mut world, romeo);
    world.unbind(romeo);
    assert!(world.answer(ticket, Answer::Refused).is_empty());
}

/// Binds a resource whose account is being loaded.
fn bind(world: &mut World, session: u64, account: &str) -> Ticket {
    let mut effects = Vec::new();
    world.router.bind(world.now, SessionId(session), &bare(account), Some("r"), &mut effects).unwrap();
    match asks(&effects)[..] {
        [(ticket, Ask::Load { .. })] => ticket,
        _ => panic!("{effects:?}"),
    }
}

// RFC 6120 §10.1 [Q10]: an account takes what concerns it in order, once it is known; nobody else waits.
#[test]
fn what_comes_before_the_account_is_known_waits() {
    let (mut world, romeo) = world(10);
    let ticket = bind(&mut world, 1, "juliet@example.com");
    assert!(world.send(romeo, chat("juliet@example.com/r").with_id("1")).is_empty());
    let mut effects = Vec::new();
    let own = jid("juliet@example.com/r");
    for stanza in
        [available(0).with_from(own.clone()), chat("romeo@example.net/street").with_from(own.clone())]
    {
        world.router.route(world.now, SessionId(1), stanza, &mut effects);
    }
    assert!(world.send(romeo, chat("juliet@example.com").with_id("2")).is_empty() && effects.is_empty());
    assert_eq!(world.says(romeo, chat("romeo@example.net/street")).len(), 1);

    let effects = world.answer(ticket, loaded());
    let from: Vec<_> = effects
        .iter()
        .map(|effect| match effect {
            Effect::Deliver { session, stanza } => (session.0, brief(stanza), stanza.head.id.clone()),
            other => panic!("{other:?}"),
        })
        .map(|(session, stanza, id)| format!("{session} {stanza} {}", id.as_deref().unwrap_or_default()))
        .collect();
    assert_eq!(
        from,
        [
            "1 message chat from romeo@example.net/street 1",
            "1 presence from juliet@example.com/r ",
            "1 message chat from romeo@example.net/street 2",
            "100 message chat from juliet@example.com/r x",
        ]
    );
}

// What a client has sent before its connection broke still goes its way, but its presence is over.
#[test]
fn what_was_sent_outlives_the_session() {
    let (mut world, _) = world(10);
    let ticket = bind(&mut world, 1, "juliet@example.com");
    let mut effects = Vec::new();
    let own = jid("juliet@example.com/r");
    let directed = of_kind(Kind::Presence(PresenceType::Available), "romeo@example.net/street");
    for stanza in [available(0), directed, chat("romeo@example.net/street")] {
        world.router.route(world.now, SessionId(1), stanza.with_from(own.clone()), &mut effects);
    }
    world.router.unbind(world.now, SessionId(1), &mut effects);
    assert!(effects.is_empty());
    let effects = world.answer(ticket, loaded());
    assert_eq!(world.tell(&effects), ["street: message chat from juliet@example.com/r"]);
    assert_eq!(world.router.counts().accounts, 1);
}

// Who can't be known can't be served: a client whose account is gone, or whose account can't be loaded, is told so.
#[test]
fn accounts_that_cannot_be_loaded() {
    for (answer, condition, reply) in [
        (Some(Answer::Loaded(None)), "not-authorized", "service-unavailable/cancel"),
        (Some(Answer::Refused), "internal-server-error", "resource-constraint/wait"),
        (None, "internal-server-error", "resource-constraint/wait"),
    ] {
        let (mut world, romeo) = world(10);
        let ticket = bind(&mut world, 1, "juliet@example.com");
        world.send(romeo, chat("juliet@example.com/r"));
        let mut effects = Vec::new();
        let lost = chat("romeo@example.net/street").with_from(jid("juliet@example.com/r"));
        world.router.route(world.now, SessionId(1), lost, &mut effects);
        match answer {
            Some(answer) => effects.extend(world.answer(ticket, answer)),
            None => world.router.tick(Instant::from_millis(30_000), &mut effects),
        }
        // RFC 6121 §2.2 [R14]: whoever waits for an answer gets one before the end.
        let mut told = vec![format!("street: message error {reply} from juliet@example.com/r")];
        if condition != "not-authorized" {
            told.push(format!("1: message error {condition}/cancel from romeo@example.net/street"));
        }
        told.push(format!("1: closed with {condition}"));
        assert_eq!(world.tell(&effects), told);
        let counts = world.router.counts();
        assert_eq!((counts.accounts, counts.sessions, counts.asks), (1, 1, 0));
    }
}

// The answer to what an account has asked before it was removed, and made again, says nothing about it now: but who may hear it does whose message was
// not stored.
#[test]
fn answers_for_an_account_that_is_gone() {
    let (mut world, romeo) = world(10);
    let ticket = put(&mut world, romeo);
    let loading = bind(&mut world, 1, "nurse@example.com");
    for removed in [ticket, loading] {
        let account = if removed == ticket { "juliet@example.com" } else { "nurse@example.com" };
        let mut effects = world.removed(account);
        if removed == loading {
            effects = world.answer(loading, loaded());
        }
        let [(removal, Ask::Remove { .. })] = asks(&effects)[..] else { panic!("{effects:?}") };
        let ended = world.answer(removal, Answer::Saved);
        assert!(world.tell(&ended).contains(&format!("{account}: Removed")));
    }
    let again = bind(&mut world, 2, "nurse@example.com");
    let late = world.answer(ticket, Answer::Refused);
    assert_eq!(
        world.tell(&late),
        [format!("{}: message error service-unavailable/cancel from juliet@example.com", world.name(romeo))]
    );
    assert!(world.answer(loading, Answer::Loaded(None)).is_empty());
    assert!(world.answer(again, loaded()).is_empty());
    assert_eq!(world.router.counts().sessions, 2);
}

// RFC 6120 §10.1 [Q10]: what a client sends to its own account is in order, too, if the account is not known at first.
#[test]
fn what_is_sent_to_oneself_keeps_its_order() {
    let (mut world, _) = world(10);
    let ticket = bind(&mut world, 1, "juliet@example.com");
    let mut effects = Vec::new();
    let ping = iq(IqType::Get, "ping", "urn:xmpp:ping").with_to(jid("juliet@example.com")).with_id("p");
    for stanza in [chat("juliet@example.com"), ping] {
        let stanza = stanza.with_from(jid("juliet@example.com/r"));
        world.router.route(world.now, SessionId(1), stanza, &mut effects);
    }
    let effects = world.answer(ticket, loaded());
    let [(put, Ask::Save { .. })] = asks(&effects)[..] else { panic!("{effects:?}") };
    assert_eq!(
        world.tell(&effects),
        ["store for juliet@example.com: message chat from juliet@example.com/r"]
    );
    // The answer says that the message before it is stored, or comes behind the error.
    let told = world.answer(put, Answer::Refused);
    assert_eq!(
        world.tell(&told),
        [
            "1: message error service-unavailable/cancel from juliet@example.com",
            "1: iq result from juliet@example.com"
        ]
    );
}
