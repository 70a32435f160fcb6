//! What users of other servers send to contacts here, faster than these can take it.

use core::time::Duration;

use balcony_jid::BareJid;
use balcony_roster::Subscription;
use balcony_router::{Answer, Effect, SessionId};
use balcony_stanza::{Kind, MessageType, Stanza};

use crate::hibernated::detach;
use crate::world::{World, asks, bare, config, content, jid, tickets, wires};

const JULIET: &str = "juliet@example.com";
const FRIAR: &str = "friar@example.org/cell";
/// Not in her roster, and at the same server.
const TYBALT: &str = "tybalt@example.org/lane";
/// What may wait of one sender.
const WAITING: usize = 16;

/// A phone of Juliet's that has lost its connection, so that all that comes for it is written. The friar is a contact.
fn world() -> (World, SessionId) {
    let mut small = config();
    small.limits.waiting = WAITING;
    let mut world = World::with(small);
    world.befriend(JULIET, "friar@example.org", Subscription::Both);
    let phone = world.available("juliet@example.com/phone", 0);
    assert!(world.router.manage(phone, Duration::from_secs(600), &mut Vec::new()));
    detach(&mut world, phone);
    (world, phone)
}

fn chat(number: usize) -> Stanza {
    let mut stanza = content(&format!("<body>{number}</body>"));
    stanza.head.kind = Kind::Message(MessageType::Chat);
    stanza.with_to(jid(JULIET)).with_id(number.to_string())
}

fn holds(effects: &[Effect]) -> Vec<(BareJid, bool)> {
    let hold = |effect: &Effect| match effect {
        Effect::HoldDomain { domain, is_held } => Some((domain.clone(), *is_held)),
        _ => None,
    };
    effects.iter().filter_map(hold).collect()
}

/// The ids of what came back.
fn errors(effects: &[Effect]) -> Vec<String> {
    let error = |effect: &Effect| match effect {
        Effect::Remote { stanza, .. } if stanza.head.kind == Kind::Message(MessageType::Error) => {
            Some(stanza.head.id.as_deref()?.to_owned())
        }
        _ => None,
    };
    effects.iter().filter_map(error).collect()
}

/// The store does all that it is asked, and what comes of it.
fn go_on(world: &mut World, mut effects: Vec<Effect>) -> Vec<Effect> {
    let mut next = 0;
    while next < effects.len() {
        if let Effect::Ask { ticket, ask } = effects[next].clone() {
            let answer = world.ask(ask);
            let now = world.now;
            world.router.answer(now, ticket, answer, &mut effects);
        }
        next += 1;
    }
    effects
}

// docs/guarantees.md: no message of a contact is lost without a word, however fast it comes and however slow the store is: no more is read of its
// server in time, and what has been read all the same and has no room comes back. Strangers neither see that nor cause it.
#[test]
fn what_contacts_of_other_servers_send_is_not_lost() {
    let (mut world, phone) = world();
    world.at_once = false;
    let (mut effects, mut held_after) = (Vec::new(), None);
    let count = 3 * WAITING;
    for number in 0..count {
        // A stranger who sends much more, and whose messages have no room for long, takes none of that.
        for _ in 0..3 {
            let stranger = world.received(TYBALT, chat(1_000 + number));
            assert!(errors(&stranger).is_empty() && holds(&stranger).is_empty());
            effects.extend(stranger);
        }
        let got = world.received(FRIAR, chat(number));
        if held_after.is_none() && !holds(&got).is_empty() {
            held_after = Some(number + 1);
        }
        effects.extend(got);
    }
    assert_eq!(held_after, Some(WAITING / 4 + 1));
    assert_eq!(holds(&effects), [(bare("example.org"), true)]);
    let back = errors(&effects);
    assert_eq!(back, (2 * WAITING..count).map(|number| number.to_string()).collect::<Vec<_>>());
    let written = go_on(&mut world, effects);
    assert_eq!(holds(&written).last(), Some(&(bare("example.org"), false)));
    // The client is back, and has all the others.
    world.at_once = true;
    let mut got = Vec::new();
    assert!(world.router.resume(world.now, phone, &bare(JULIET), 0, &mut got));
    world.serve(&mut got);
    let got = wires(&got, phone);
    let of_friar = got.iter().filter(|wire| wire.contains(FRIAR)).count();
    assert_eq!(of_friar, 2 * WAITING, "{got:?}");
    assert!(got.iter().any(|wire| wire.contains(TYBALT)));
}

// The same if the store refuses all of it, or says nothing: more is read of the other server in the end.
#[test]
fn other_servers_are_read_again_whatever_the_store_does() {
    for refuses in [false, true] {
        let (mut world, _) = world();
        world.at_once = false;
        let mut effects = Vec::new();
        for number in 0..WAITING {
            effects.extend(world.received(FRIAR, chat(number)));
        }
        assert_eq!(holds(&effects), [(bare("example.org"), true)]);
        let mut after = Vec::new();
        match refuses {
            true => {
                for ticket in tickets(&effects) {
                    after.extend(world.answer(ticket, Answer::Refused));
                }
            }
            false => {
                assert!(!asks(&effects).is_empty());
                world.now = world.now + config().limits.answer + Duration::from_secs(1);
                world.router.tick(world.now, &mut after);
            }
        }
        assert_eq!(holds(&after), [(bare("example.org"), false)], "{refuses}");
    }
}

// RFC 6120 §13.10.2: who is in the user's roster and is not shown the user's presence learns nothing: a message waits for a store that says nothing, or
// goes to somebody who is there, and the sender sees no difference.
#[test]
fn who_sees_nothing_is_not_shown_who_is_there() {
    let told = [true, false].map(|is_there| {
        let mut small = config();
        small.limits.waiting = WAITING;
        let mut world = World::with(small);
        world.befriend(JULIET, "friar@example.org", Subscription::To);
        // The account is in memory in any case.
        world.available("juliet@example.com/attic", -1);
        if is_there {
            world.available("juliet@example.com/phone", 0);
        }
        world.at_once = false;
        let effects: Vec<Effect> =
            (0..3 * WAITING).flat_map(|number| world.received(FRIAR, chat(number))).collect();
        (holds(&effects), errors(&effects))
    });
    assert_eq!(told, [(vec![], vec![]), (vec![], vec![])]);
}

// What waits for a session of the recipient's that ends, which may take as long as the recipient likes, keeps nobody else of the sender's server
// waiting; what has no room comes back.
#[test]
fn a_session_that_ends_slowly_holds_no_domain() {
    let mut small = config();
    small.limits.waiting = WAITING;
    let mut world = World::with(small);
    world.befriend(JULIET, "friar@example.org", Subscription::Both);
    let phone = world.available("juliet@example.com/phone", 0);
    world.available("juliet@example.com/desk", 1);
    // The phone does not read this.
    world.at_once = false;
    world.received(FRIAR, chat(0).with_to(jid("juliet@example.com/phone")));
    let mut effects = Vec::new();
    world.router.unbind(world.now, phone, &mut effects);
    world.serve(&mut effects);
    world.at_once = true;
    for number in 1..3 * WAITING {
        effects.extend(world.received(FRIAR, chat(number)));
    }
    assert_eq!(holds(&effects), []);
    assert!(!errors(&effects).is_empty());
}
