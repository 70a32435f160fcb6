//! What must hold in corners that a review of the router has looked into: bounds, what strangers learn, answers that come late.
#![allow(
    clippy::unwrap_used,
    clippy::std_instead_of_alloc,
    reason = "a test has std, and fails by panicking"
)]

#[path = "router/world.rs"]
#[expect(dead_code, reason = "the other tests need the rest")]
mod world;

use core::time::Duration;

use balcony_machine::Ticket;
use balcony_roster::Subscription;
use balcony_router::{Answer, Ask, Effect, SessionId, cost};
use balcony_stanza::{IqType, Kind, MessageType, PresenceType, Stanza};

use crate::world::{
    World, asks, available, bare, config, content, iq, jid, of_kind, request, roster_get, roster_set,
    subscription, tickets, unavailable, wires,
};

const JULIET: &str = "juliet@example.com";
const ROMEO: &str = "romeo@example.net";

fn chat(to: &str) -> Stanza {
    of_kind(Kind::Message(MessageType::Chat), to)
}

fn ping() -> Stanza {
    iq(IqType::Get, "ping", "urn:xmpp:ping")
}

/// Answers everything that is asked, as the store would, and all that comes of it; the effects.
fn settle(world: &mut World, effects: Vec<Effect>) -> Vec<Effect> {
    let mut open = asks(&effects);
    let mut all = effects;
    while !open.is_empty() {
        for (ticket, ask) in core::mem::take(&mut open) {
            let answer = world.ask(ask);
            let effects = world.answer(ticket, answer);
            open.extend(asks(&effects));
            all.extend(effects);
        }
    }
    all
}

/// Romeo and Juliet, who see each other and are there.
fn couple(config: balcony_router::Config) -> (World, SessionId, SessionId) {
    let mut world = World::with(config);
    world.befriend(ROMEO, JULIET, Subscription::Both);
    world.befriend(JULIET, ROMEO, Subscription::Both);
    let romeo = world.available("romeo@example.net/street", 0);
    let juliet = world.available("juliet@example.com/balcony", 0);
    (world, romeo, juliet)
}

// docs/limits.md: what the server says in an account's name waits, too, and is bounded: four times what the account itself may have
// waiting. A client that changes a contact and broadcasts presence while that is being saved can't fill the memory.
#[test]
fn what_the_server_says_for_an_account_is_bounded() {
    let mut config = config();
    config.limits.waiting = 4;
    let (mut world, romeo, juliet) = couple(config);
    world.at_once = false;
    let change = world.send(romeo, roster_set("<item jid='juliet@example.com' name='J'/>"));
    for _ in 0..100 {
        world.send(romeo, available(1));
    }
    let told = settle(&mut world, change);
    let shown = wires(&told, juliet).iter().filter(|wire| wire.starts_with("<presence")).count();
    assert!((1..=16).contains(&shown), "{shown} waited");
}

/// How it may be with Juliet, whom Romeo does not know.
#[derive(Clone, Copy, Debug)]
enum Juliet {
    Nobody,
    Offline,
    Available,
}

const ALL: [Juliet; 3] = [Juliet::Nobody, Juliet::Offline, Juliet::Available];

/// Romeo, who sees his nurse, and whose accomplice is no contact of his. From now on the test answers.
fn strangers(juliet: Juliet, waiting: usize) -> (World, SessionId) {
    let mut config = config();
    config.limits.waiting = waiting;
    let mut world = World::with(config);
    world.befriend(ROMEO, "nurse@example.com", Subscription::Both);
    world.befriend("nurse@example.com", ROMEO, Subscription::Both);
    world.store.create(bare("accomplice@example.com"));
    let romeo = world.connect("romeo@example.net/street");
    match juliet {
        Juliet::Nobody => {}
        Juliet::Offline => world.store.create(bare(JULIET)),
        Juliet::Available => drop(world.available("juliet@example.com/balcony", 0)),
    }
    world.at_once = false;
    (world, romeo)
}

/// What Romeo gets.
fn seen(effects: &[Effect], romeo: SessionId) -> Vec<String> {
    wires(effects, romeo)
}

// RFC 6120 §13.10.2 [Q12]: how much of what was sent to a stranger still waits must not show in what becomes of messages to those whom
// one may see: oneself, and a contact who is away. Otherwise a burst to a stranger and a message to oneself tell who is there.
#[test]
fn a_burst_to_a_stranger_does_not_show_in_other_messages() {
    for other in [ROMEO, "nurse@example.com"] {
        let told = ALL.map(|juliet| {
            let (mut world, romeo) = strangers(juliet, 8);
            for _ in 0..8 {
                world.send(romeo, chat(JULIET));
            }
            let effects = world.send(romeo, chat(other));
            seen(&effects, romeo)
        });
        assert_eq!(told[0], told[2], "nobody, and somebody who is there: {other}");
        assert_eq!(told[1], told[2], "somebody who is away, and somebody who is there: {other}");
    }
}

// The same where the sender has somebody look who is a stranger, too: whether a message comes through to an accomplice must not depend
// on what waits for somebody else.
#[test]
fn a_burst_to_a_stranger_does_not_show_at_an_accomplice() {
    let stored = ALL.map(|juliet| {
        let (mut world, romeo) = strangers(juliet, 8);
        for _ in 0..8 {
            world.send(romeo, chat(JULIET));
        }
        let effects = world.send(romeo, chat("accomplice@example.com"));
        settle(&mut world, effects);
        world.kept("accomplice@example.com").len()
    });
    assert_eq!(stored, [stored[2]; 3], "nobody, away, there");
}

// RFC 6121 §8.1, RFC 6120 §13.10.2 [Q12]: a store that is in trouble, or too busy with an account that somebody floods, does not make
// errors of what would be silence elsewhere.
#[test]
fn a_store_in_trouble_tells_strangers_nothing() {
    let stanzas = [
        chat(JULIET),
        of_kind(Kind::Message(MessageType::Normal), JULIET),
        of_kind(Kind::Presence(PresenceType::Subscribe), JULIET),
        of_kind(Kind::Presence(PresenceType::Probe), JULIET),
    ];
    for stanza in stanzas {
        for late in [false, true] {
            let told = ALL.map(|juliet| {
                let (mut world, romeo) = strangers(juliet, 100);
                let mut effects = world.send(romeo, stanza.clone());
                let mut open = asks(&effects);
                while let Some((ticket, _)) = open.pop() {
                    let more = if late {
                        world.now = world.now + Duration::from_secs(31);
                        let mut more = Vec::new();
                        world.router.tick(world.now, &mut more);
                        more
                    } else {
                        world.answer(ticket, Answer::Refused)
                    };
                    open.extend(asks(&more));
                    effects.extend(more);
                }
                seen(&effects, romeo)
            });
            assert_eq!(
                told,
                [told[2].clone(), told[2].clone(), told[2].clone()],
                "{:?} {late}",
                stanza.head.kind
            );
        }
    }
}

// `Router::route`: `Effect::Handled` says which stanza it was, whatever came to be handled before.
#[test]
fn what_is_handled_is_said_by_its_number() {
    let mut world = World::new();
    let romeo = world.connect("romeo@example.net/street");
    world.send(romeo, Stanza::message(MessageType::Chat).with_to(jid("nobody@example.org")));
    world.at_once = false;
    let effects = world.send(romeo, Stanza::message(MessageType::Chat));
    assert_eq!(world.waited, [(romeo, 1)]);
    settle(&mut world, effects);
    assert_eq!(world.numbers, [(romeo, 1)]);
}

// The store bounds what is asked about one account (512 lookups), so nobody may use that up for somebody else: a stranger's probes must
// leave room for the account's own load, or its user can't log in.
#[test]
fn probes_of_strangers_share_what_they_look_up() {
    let mut world = World::new();
    world.store.create(bare(JULIET));
    let strangers: Vec<_> =
        (0..4).map(|number| world.connect(&format!("stranger{number}@example.net/street"))).collect();
    world.at_once = false;
    let mut open = 0;
    for number in 0..1_000 {
        let effects = world.send(strangers[number % 4], of_kind(Kind::Presence(PresenceType::Probe), JULIET));
        open += asks(&effects).iter().filter(|(_, ask)| matches!(ask, Ask::Load { .. })).count();
    }
    assert!(open <= 64, "{open} lookups for one account");
}

/// The store can't delete what was delivered; later there is one more message, and the user is back for it.
fn undeleted() -> (World, SessionId, Ticket, Ask) {
    let mut world = World::new();
    world.befriend(ROMEO, JULIET, Subscription::Both);
    world.befriend(JULIET, ROMEO, Subscription::Both);
    let romeo = world.connect("romeo@example.net/street");
    world.connect("juliet@example.com/desk");
    let juliet = world.connect("juliet@example.com/balcony");
    world.send(romeo, chat(JULIET).with_id("1"));
    world.at_once = false;
    let fetching = world.send(juliet, available(0));
    let [(ticket, fetch)] = &asks(&fetching)[..] else { panic!("{fetching:?}") };
    let answer = world.ask(fetch.clone());
    world.answer(*ticket, answer);
    let mut effects = Vec::new();
    world.router.drained(world.now, juliet, u64::MAX, &mut effects);
    let [(dropping, Ask::Save { .. })] = asks(&effects)[..] else { panic!("{effects:?}") };
    world.answer(dropping, Answer::Refused);
    let gone = world.send(juliet, unavailable());
    settle(&mut world, gone);
    world.now = world.now + Duration::from_secs(20);
    let putting = world.send(romeo, chat(JULIET).with_id("2"));
    let [(put, storing @ Ask::Save { .. })] = &asks(&putting)[..] else { panic!("{putting:?}") };
    (world, juliet, *put, storing.clone())
}

// XEP-0160: what was delivered is deleted once, whichever answer of the store is here first: that to the deletion of what had been
// delivered before, or that to the question what else there is.
#[test]
fn answers_that_cross_do_not_deliver_twice() {
    let (mut world, juliet, put, storing) = undeleted();
    assert!(asks(&world.send(juliet, available(0))).is_empty(), "one is still being stored");
    // It is time to delete the first again.
    world.now = world.now + Duration::from_secs(10);
    let mut effects = Vec::new();
    world.router.tick(world.now, &mut effects);
    let [(dropping, ref drop)] = asks(&effects)[..] else { panic!("{effects:?}") };
    let drop = world.ask(drop.clone());
    let saved = world.ask(storing);
    let fetching = world.answer(put, saved);
    let Some((ticket, fetch)) = asks(&fetching).into_iter().next() else {
        // It waits for the deletion: then nothing can cross.
        return;
    };
    let found = world.ask(fetch);
    let delivered = world.answer(ticket, found);
    assert_eq!(wires(&delivered, juliet).len(), 1);
    // Only now the answer about the first.
    let more = world.answer(dropping, drop);
    let more = settle(&mut world, more);
    assert_eq!(wires(&more, juliet), [""; 0], "the same once more");
    let mut effects = Vec::new();
    world.router.drained(world.now, juliet, u64::MAX, &mut effects);
    settle(&mut world, effects);
    assert!(world.kept(JULIET).is_empty(), "it will be delivered again");
}

/// A change of Juliet's that the router has given up, and that the store makes after that; what comes of it when she is loaded again.
fn made_too_late(world: &mut World, from: SessionId, stanza: Stanza) -> Vec<Effect> {
    world.at_once = false;
    let effects = world.send(from, stanza);
    let [(_, ref save)] = asks(&effects)[..] else { panic!("{effects:?}") };
    world.now = world.now + Duration::from_secs(31);
    let mut effects = Vec::new();
    world.router.tick(world.now, &mut effects);
    assert_eq!(world.ask(save.clone()), Answer::Saved);
    settle(world, effects)
}

// RFC 6121 §2.1.6: a change that the router has given up may be made all the same. Interested resources hear of it when it is known:
// what they show must be what the store has.
#[test]
fn a_roster_change_that_is_made_too_late_is_pushed() {
    let (mut world, _, juliet) = couple(config());
    world.send(juliet, roster_get());
    let told = made_too_late(&mut world, juliet, roster_set("<item jid='tybalt@example.com'/>"));
    let pushed = wires(&told, juliet)
        .iter()
        .any(|wire| wire.contains("tybalt@example.com") && wire.contains("type='set'"));
    let closed =
        told.iter().any(|effect| matches!(effect, Effect::Close { session, .. } if *session == juliet));
    assert!(pushed || closed, "{:?}", wires(&told, juliet));
}

// XEP-0191 §3.2: the same for a block. The contact must not see on that the user is there.
#[test]
fn a_block_that_is_made_too_late_ends_the_presence() {
    let (mut world, romeo, juliet) = couple(config());
    let block =
        request(IqType::Set, &format!("<block xmlns='urn:xmpp:blocking'><item jid='{ROMEO}'/></block>"));
    let told = made_too_late(&mut world, juliet, block);
    assert!(wires(&told, romeo).iter().any(|wire| wire.contains("unavailable")), "{:?}", wires(&told, romeo));
}

// RFC 6121 §4.5.2: a contact who has seen that a resource is there hears that it is not, also if the account ends while that waits.
#[test]
fn the_end_of_an_account_takes_back_all_presence() {
    let (mut world, romeo, juliet) = couple(config());
    world.available("romeo@example.net/orchard", 0);
    world.at_once = false;
    let change = world.send(romeo, roster_set("<item jid='juliet@example.com' name='J'/>"));
    let mut all = world.unbound(romeo);
    all.extend(world.removed(ROMEO));
    all.extend(settle(&mut world, change));
    let rest = all.clone();
    all.extend(settle(&mut world, rest));
    for resource in ["street", "orchard"] {
        let end = format!("from='romeo@example.net/{resource}'");
        let ended =
            wires(&all, juliet).iter().any(|wire| wire.contains("unavailable") && wire.contains(&end));
        assert!(ended, "{resource}: {:?}", wires(&all, juliet));
    }
}

// RFC 6121 §4.3.2 [PR11]: how the last resource has gone is told whether or not another one is still connected.
#[test]
fn the_last_presence_is_known_while_somebody_is_connected() {
    let told = [false, true].map(|connected| {
        let (mut world, romeo, juliet) = couple(config());
        if connected {
            world.connect("romeo@example.net/idle");
        }
        let mut end = content("<status>good night</status>");
        end.head.kind = Kind::Presence(PresenceType::Unavailable);
        world.send(romeo, end);
        world.unbound(romeo);
        let answer = world.send(juliet, of_kind(Kind::Presence(PresenceType::Probe), ROMEO));
        wires(&answer, juliet)
    });
    assert!(told[0][0].contains("good night"), "{:?}", told[0]);
    assert_eq!(told[0], told[1]);
}

// And not an older one, after the account was loaded again.
#[test]
fn an_older_last_presence_does_not_come_back() {
    let (mut world, romeo, juliet) = couple(config());
    let end = |text: &str| {
        let mut end = content(&format!("<status>{text}</status>"));
        end.head.kind = Kind::Presence(PresenceType::Unavailable);
        end
    };
    world.connect("romeo@example.net/idle");
    world.send(romeo, end("older"));
    world.send(romeo, available(0));
    world.at_once = false;
    let failing = world.send(romeo, roster_set("<item jid='tybalt@example.com'/>"));
    let reload = world.answer(tickets(&failing)[0], Answer::Refused);
    settle(&mut world, reload);
    world.at_once = true;
    world.send(romeo, end("newer"));
    let answer = world.send(juliet, of_kind(Kind::Presence(PresenceType::Probe), ROMEO));
    assert!(!wires(&answer, juliet)[0].contains("older"), "{:?}", wires(&answer, juliet));
}

// RFC 6121 §3.1.2: all who have not answered are asked again, however many they are.
#[test]
fn all_pending_requests_are_asked_again() {
    let mut config = config();
    config.limits.asks = 4;
    let mut world = World::with(config);
    let romeo = world.available("romeo@example.net/street", 0);
    for number in 0..10 {
        world.send(romeo, subscription(PresenceType::Subscribe, &format!("friar{number}@example.org")));
    }
    let mut asked = std::collections::BTreeSet::new();
    for _ in 0..10 {
        world.send(romeo, unavailable());
        for effect in world.send(romeo, available(0)) {
            if let Effect::Remote { stanza, .. } = effect
                && stanza.head.kind == Kind::Presence(PresenceType::Subscribe)
            {
                asked.insert(stanza.head.to.unwrap().to_string());
            }
        }
    }
    assert_eq!(asked.len(), 10, "{asked:?}");
}

// Habits, invariant 4: a message to a contact that is being stored while the contact's account ends is not lost without an error.
#[test]
fn a_message_to_an_account_that_ends_comes_back() {
    let mut world = World::new();
    world.befriend(ROMEO, JULIET, Subscription::Both);
    world.befriend(JULIET, ROMEO, Subscription::Both);
    let romeo = world.connect("romeo@example.net/street");
    world.connect("juliet@example.com/balcony");
    world.at_once = false;
    let removing = world.removed(JULIET);
    let putting = world.send(romeo, chat(JULIET).with_id("1"));
    let mut all = settle(&mut world, removing);
    all.extend(settle(&mut world, putting));
    let pinged = world.send(romeo, ping());
    all.extend(settle(&mut world, pinged));
    let error = wires(&all, romeo).iter().any(|wire| wire.starts_with("<message") && wire.contains("error"));
    assert!(error, "{:?}", wires(&all, romeo));
}

// ADR 5: who sends what waits pays for it, and nobody else. What the server answers a stranger in an account's name is not charged to
// that account, or strangers could keep its user from writing to anybody.
#[test]
fn denials_to_a_stranger_cost_the_account_nothing() {
    let mut config = config();
    config.limits.waiting = 4;
    let mut world = World::with(config);
    world.befriend(JULIET, "nurse@example.com", Subscription::Both);
    world.befriend("nurse@example.com", JULIET, Subscription::Both);
    let juliet = world.available("juliet@example.com/balcony", 0);
    let romeo = world.connect("romeo@example.net/street");
    world.at_once = false;
    let mut probing = Vec::new();
    for _ in 0..4 {
        probing.extend(world.send(romeo, of_kind(Kind::Presence(PresenceType::Probe), JULIET)));
    }
    // Until this is saved nothing passes between the two.
    world.send(romeo, roster_set("<item jid='juliet@example.com'/>"));
    settle(&mut world, probing);
    let told = world.says(juliet, chat("nurse@example.com"));
    assert!(told.iter().all(|line| !line.contains("resource-constraint")), "{told:?}");
}

// XEP-0280 §6: there is no copy of a message that was not sent: the sender has been told so.
#[test]
fn what_is_refused_is_not_copied() {
    let mut config = config();
    config.limits.waiting = 1;
    let mut world = World::with(config);
    world.befriend(ROMEO, JULIET, Subscription::Both);
    world.befriend(JULIET, ROMEO, Subscription::Both);
    let romeo = world.connect("romeo@example.net/street");
    let orchard = world.connect("romeo@example.net/orchard");
    world.send(orchard, request(IqType::Set, "<enable xmlns='urn:xmpp:carbons:2'/>"));
    world.at_once = false;
    world.send(romeo, chat(JULIET));
    let refused = world.send(romeo, chat(JULIET));
    assert!(wires(&refused, romeo)[0].contains("resource-constraint"));
    assert_eq!(wires(&refused, orchard), [""; 0]);
}

// RFC 6120 §8.2.3: an answer is for whoever has asked. A client that comes back while its account is being loaded does not get the
// answers to what its old connection has asked, whose ids it may use again.
#[test]
fn answers_to_a_session_that_was_replaced_are_not_its_successors() {
    let mut world = World::new();
    world.store.create(bare(ROMEO));
    world.at_once = false;
    let loading = world.bind(SessionId(1), ROMEO, "street");
    world.send(SessionId(1), roster_get());
    world.bind(SessionId(2), ROMEO, "street");
    let told = settle(&mut world, loading);
    assert_eq!(wires(&told, SessionId(2)), [""; 0]);
}

// ADR 5: a request to the own server waits for the fate of what was sent before it, and not for what the account goes on to send: a
// client that writes all the time, or another one of the account, would never get an answer.
#[test]
fn a_request_does_not_wait_for_what_is_sent_later() {
    let mut world = World::new();
    world.befriend(ROMEO, JULIET, Subscription::Both);
    world.befriend(JULIET, ROMEO, Subscription::Both);
    let romeo = world.connect("romeo@example.net/street");
    let orchard = world.connect("romeo@example.net/orchard");
    world.connect("juliet@example.com/balcony");
    world.at_once = false;
    let mut storing = asks(&world.send(orchard, chat(JULIET)));
    assert!(world.send(romeo, ping()).is_empty());
    // Each is stored when the next one has been sent.
    for _ in 0..50 {
        let (ticket, save) = storing.remove(0);
        storing.extend(asks(&world.send(orchard, chat(JULIET))));
        let answer = world.ask(save);
        let effects = world.answer(ticket, answer);
        if !wires(&effects, romeo).is_empty() {
            return;
        }
        storing.extend(asks(&effects));
    }
    panic!("there is no answer");
}

// The same for changes that others cause: strangers who ask and take it back all the time don't keep the user from asking the own
// server, or from blocking them.
#[test]
fn strangers_do_not_hold_up_requests() {
    for what in [
        ping(),
        roster_get(),
        request(IqType::Set, "<block xmlns='urn:xmpp:blocking'><item jid='one@example.org'/></block>"),
    ] {
        let mut world = World::new();
        let juliet = world.available("juliet@example.com/balcony", 0);
        world.at_once = false;
        let strangers = ["one@example.org", "two@example.org"];
        let (mut open, mut is_answered) = (Vec::new(), false);
        for round in 0..50 {
            let kind = if round / 2 % 2 == 0 { PresenceType::Subscribe } else { PresenceType::Unsubscribe };
            let stranger = strangers[round % 2];
            open.extend(asks(&world.received(stranger, of_kind(Kind::Presence(kind), JULIET))));
            if round == 3 {
                open.extend(asks(&world.send(juliet, what.clone())));
            }
            // The store does one thing in the time in which a stranger sends one.
            if round > 0 && !open.is_empty() {
                let (ticket, ask) = open.remove(0);
                let answer = world.ask(ask);
                let effects = world.answer(ticket, answer);
                is_answered |= wires(&effects, juliet)
                    .iter()
                    .any(|wire| wire.contains("id='q'") && wire.contains("type='result'"));
                open.extend(asks(&effects));
            }
        }
        assert!(is_answered, "{what:?}");
    }
}

// docs/limits.md: what is kept of a stanza beside the bytes as they came in is at most 256 bytes. An id and a language come in, too.
#[test]
fn a_stanza_costs_all_that_it_holds() {
    let plain = cost(&chat(JULIET));
    let mut long = chat(JULIET).with_id("x".repeat(100_000));
    assert!(cost(&long) >= 100_000, "{}", cost(&long));
    long.head.id = None;
    long.head.lang = Some("x".repeat(100_000).into());
    assert!(cost(&long) >= 100_000, "{} and {plain}", cost(&long));
}

// The bound of presence counts its id and its language.
#[test]
fn presence_counts_all_that_it_holds() {
    let mut config = config();
    config.limits.presence_bytes = 1_000;
    let mut world = World::with(config);
    let romeo = world.connect("romeo@example.net/street");
    let told = world.says(romeo, available(0).with_id("x".repeat(100_000)));
    assert_eq!(told, ["street: presence error resource-constraint/wait"]);
}
