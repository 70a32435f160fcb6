//! Rosters over iq (RFC 6121 section 2): the router's part of them, above all that what is told is durable.

use std::collections::VecDeque;

use balcony_roster::Subscription;
use balcony_router::{Answer, Ask, Change, Effect, SessionId};
use balcony_stanza::{IqType, PresenceType, Stanza};

use crate::world::{World, asks, bare, jid, request, roster_get, roster_set, subscription, wires};

fn world() -> (World, SessionId) {
    let mut world = World::new();
    let romeo = world.connect("romeo@example.net/street");
    (world, romeo)
}

/// The iq pushes among these, without their ids.
fn pushes(wires: &[String]) -> Vec<String> {
    let push = |wire: &&String| wire.contains("type='set'");
    let without_id = |wire: &String| {
        let (before, rest) = wire.split_once(" id='").unwrap();
        before.to_owned() + rest.split_once('\'').unwrap().1
    };
    wires.iter().filter(push).map(without_id).collect()
}

/// The version in a roster result or push.
fn version(wire: &str) -> u64 {
    wire.split_once("ver='").unwrap().1.split_once('\'').unwrap().0.parse().unwrap()
}

// RFC 6121 §2.1.4 [R12], §2.6 [RV4, RV8, RV10], §12 roster-get
#[test]
fn an_empty_roster() {
    let (mut world, romeo) = world();
    let answer = wires(&world.send(romeo, roster_get()), romeo).remove(0);
    let start =
        "<iq to='romeo@example.net/street' type='result' id='q'><query xmlns='jabber:iq:roster' ver='";
    assert!(answer.starts_with(start) && answer.ends_with("'/></iq>"), "{answer}");
    let own = roster_get().with_to(jid("romeo@example.net"));
    assert!(wires(&world.send(romeo, own), romeo)[0].contains(&format!("ver='{}'/>", version(&answer))));
}

// RFC 6121 §2.2 [R16], §2.3.2 [R17], §2.1.6 [R18], §12 roster-set, roster-push: the result to who has asked, a push to all that are interested.
#[test]
fn a_set() {
    let (mut world, romeo) = world();
    let orchard = world.connect("romeo@example.net/orchard");
    let silent = world.available("romeo@example.net/silent", 1);
    world.send(romeo, roster_get());
    world.send(orchard, roster_get());
    let before = version(&wires(&world.send(romeo, roster_get()), romeo)[0]);
    let set = roster_set("<item jid='juliet@example.com' name='Juliet'><group>Capulets</group></item>");
    let effects = world.send(orchard, set);
    assert_eq!(wires(&effects, orchard)[1], "<iq to='romeo@example.net/orchard' type='result' id='q'/>");
    let push = |resource: &str| {
        format!(
            "<iq to='romeo@example.net/{resource}' type='set'><query xmlns='jabber:iq:roster' ver='{}'>\
             <item jid='juliet@example.com' subscription='none' name='Juliet'><group>Capulets</group></item></query></iq>",
            before.wrapping_add(1)
        )
    };
    assert_eq!(pushes(&wires(&effects, romeo)), [push("street")]);
    assert_eq!(pushes(&wires(&effects, orchard)), [push("orchard")]);
    assert!(wires(&effects, silent).is_empty());
    // RFC 6121 §2.1.6 [R21]: what clients answer is dropped, and they are told of the next change all the same.
    let error =
        "<error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>";
    for answer in [Stanza::iq(IqType::Result).with_id("p"), request(IqType::Error, error)] {
        assert!(world.send(romeo, answer.clone()).is_empty());
        assert!(world.send(romeo, answer.with_to(jid("romeo@example.net"))).is_empty());
    }
    assert_eq!(pushes(&wires(&world.send(romeo, roster_set("<item jid='a@example.com'/>")), romeo)).len(), 1);
}

// What a client is told is on disk: neither result nor push before the answer.
#[test]
fn nothing_is_told_before_it_is_durable() {
    let (mut world, romeo) = world();
    world.send(romeo, roster_get());
    world.at_once = false;
    let effects = world.send(romeo, roster_set("<item jid='juliet@example.com'/>"));
    let [(ticket, Ask::Save { account, changes, .. })] = &asks(&effects)[..] else { panic!("{effects:?}") };
    assert_eq!((account, effects.len()), (&bare("romeo@example.net"), 1));
    let [Change::Roster { contact, item: Some(item), request: None, pushed: true, .. }] = &changes[..] else {
        panic!("{changes:?}")
    };
    assert_eq!((contact, &item.jid), (&bare("juliet@example.com"), contact));
    // What comes meanwhile waits: an answer would show what may not come true.
    assert!(world.send(romeo, roster_get()).is_empty());
    let effects = world.answer(*ticket, Answer::Saved);
    let told = wires(&effects, romeo);
    assert!(told[0].contains("type='set'") && told[1].ends_with("type='result' id='q'/>"), "{told:?}");
    assert!(told[2].contains("<item jid='juliet@example.com'"), "{told:?}");
    assert_eq!(effects.len(), 3);
}

// RFC 6121 §2.3.3 [RE8]: what could not be saved has not happened.
#[test]
fn a_set_that_fails() {
    for expires in [false, true] {
        let (mut world, romeo) = world();
        world.send(romeo, roster_get());
        world.at_once = false;
        let effects = world.send(romeo, roster_set("<item jid='juliet@example.com'/>"));
        let mut effects = match asks(&effects)[0].0 {
            _ if expires => {
                world.now = balcony_machine::Instant::from_millis(60_000);
                let mut effects = Vec::new();
                world.router.tick(world.now, &mut effects);
                effects
            }
            ticket => world.answer(ticket, Answer::Refused),
        };
        assert_eq!(world.tell(&effects), ["street: iq error internal-server-error/cancel"]);
        // The store says what is true.
        let (ticket, ask) = asks(&effects).remove(0);
        assert!(matches!(ask, Ask::Load { .. }));
        assert!(world.send(romeo, roster_get()).is_empty());
        let answer = world.ask(ask);
        effects = world.answer(ticket, answer);
        let told = wires(&effects, romeo);
        assert!(told.len() == 1 && !told[0].contains("<item"), "{told:?}");
    }
}

// RFC 6121 §2.2 [R14]: a roster that can't be had.
#[test]
fn a_get_that_fails() {
    for expires in [false, true] {
        let mut world = World::new();
        world.at_once = false;
        let street = SessionId(1);
        let mut effects = world.bind(street, "romeo@example.net", "street");
        let ticket = asks(&effects)[0].0;
        assert!(world.send(street, roster_get()).is_empty());
        effects.clear();
        if expires {
            world.now = balcony_machine::Instant::from_millis(60_000);
            world.router.tick(world.now, &mut effects);
        } else {
            effects = world.answer(ticket, Answer::Refused);
        }
        let told = ["1: iq error internal-server-error/cancel", "1: closed with internal-server-error"];
        assert_eq!(world.tell(&effects), told);
    }
}

// RFC 6121 §2.3.3, §2.1.5, §2.5.3 [RE2, RE3, RE4, RE5, RE7, RE10, RE11]: the roster's errors reach the client.
#[test]
fn errors() {
    let (mut world, romeo) = world();
    let long = format!("<item jid='juliet@example.com' name='{}'/>", "x".repeat(257));
    for (item, expected) in [
        ("", "bad-request/modify"),
        ("<item jid='a@example.com'/><item jid='b@example.com'/>", "bad-request/modify"),
        ("<item jid='a@example.com'><group>a</group><group>a</group></item>", "bad-request/modify"),
        ("<item jid='a@example.com'><group/></item>", "not-acceptable/modify"),
        (&long, "not-acceptable/modify"),
        ("<item jid='a@example.com' subscription='remove'/>", "item-not-found/modify"),
        ("<item jid='romeo@example.net'/>", "not-allowed/cancel"),
        ("<item jid='@'/>", "jid-malformed/modify"),
    ] {
        let effects = world.send(romeo, roster_set(item));
        assert_eq!(world.tell(&effects), [format!("street: iq error {expected}")], "{item}");
        // Nothing is saved for an error.
        assert_eq!(asks(&effects), []);
    }
}

// RFC 6121 §2 [R1], §2.3.3 [RE1], RFC 6120 §13.10.2 [Q12]: the rosters of others are forbidden, whether they exist or not.
#[test]
fn rosters_of_others() {
    let (mut world, romeo) = world();
    world.connect("juliet@example.com/balcony");
    for account in ["juliet@example.com", "nobody@example.com"] {
        for stanza in [roster_get(), roster_set("<item jid='a@example.com'/>")] {
            let told = world.says(romeo, stanza.with_to(jid(account)));
            assert_eq!(told, [format!("street: iq error forbidden/auth from {account}")]);
        }
    }
}

// RFC 6121 §2.6 [RV4, RV6, RV7], §12 roster-version: what a client has missed, across restarts of the server.
#[test]
fn versions() {
    let (mut world, romeo) = world();
    world.send(romeo, roster_set("<item jid='a@example.com'/>"));
    let start = version(&wires(&world.send(romeo, roster_get()), romeo)[0]);
    world.send(romeo, roster_set("<item jid='b@example.com'/>"));
    world.send(romeo, roster_set("<item jid='a@example.com' subscription='remove'/>"));
    let mut again = World::new();
    again.store = world.store;
    let romeo = again.connect("romeo@example.net/street");
    let get = format!("<query xmlns='jabber:iq:roster' ver='{start}'/>");
    let told = wires(&again.send(romeo, request(IqType::Get, &get)), romeo);
    // Two changes are not fewer than the one item: the roster in whole.
    assert!(told.len() == 1 && version(&told[0]) == start.wrapping_add(2), "{told:?}");
    let get = format!("<query xmlns='jabber:iq:roster' ver='{}'/>", start.wrapping_add(1));
    let told = wires(&again.send(romeo, request(IqType::Get, &get)), romeo);
    assert_eq!(told[0], "<iq to='romeo@example.net/street' type='result' id='q'/>");
    assert_eq!(
        pushes(&told),
        [format!(
            "<iq to='romeo@example.net/street' type='set'><query xmlns='jabber:iq:roster' ver='{}'>\
             <item jid='a@example.com' subscription='remove'/></query></iq>",
            start.wrapping_add(2)
        )]
    );
    // It is interested now.
    assert_eq!(pushes(&wires(&again.send(romeo, roster_set("<item jid='c@example.com'/>")), romeo)).len(), 1);
}

// RFC 6121 §2.5.2 [R22, R25, R27]: the order of what follows a removal.
#[test]
fn a_removal() {
    let mut world = World::new();
    world.befriend("romeo@example.net", "juliet@example.com", Subscription::Both);
    world.befriend("romeo@example.net", "friar@example.org", Subscription::Both);
    world.befriend("juliet@example.com", "romeo@example.net", Subscription::Both);
    let juliet = world.available("juliet@example.com/balcony", 0);
    world.send(juliet, roster_get());
    let romeo = world.available("romeo@example.net/street", 0);
    world.send(romeo, roster_get());
    // Another server is told at once.
    let told = world.says(romeo, roster_set("<item jid='friar@example.org' subscription='remove'/>"));
    assert_eq!(
        told,
        [
            "street: iq set",
            "remote friar@example.org: presence unsubscribe from romeo@example.net",
            "remote friar@example.org: presence unavailable from romeo@example.net/street",
            "remote friar@example.org: presence unsubscribed from romeo@example.net",
            "street: iq result",
        ]
    );
    let remove = "<item jid='juliet@example.com' subscription='remove'/>";
    world.at_once = false;
    let removal = asks(&world.send(romeo, roster_set(remove))).remove(0);
    let answer = world.ask(removal.1);
    let effects = world.answer(removal.0, answer);
    assert_eq!(world.tell(&effects), ["street: iq set"]);
    // The result comes when all of it has come to her, and what her server answers has come back.
    let (mut open, mut told): (VecDeque<_>, _) = (asks(&effects).into(), Vec::new());
    while let Some((ticket, ask)) = open.pop_front() {
        let answer = world.ask(ask);
        let effects = world.answer(ticket, answer);
        told.extend(world.tell(&effects));
        open.extend(asks(&effects));
    }
    assert_eq!(
        told,
        [
            "balcony: presence unsubscribe from romeo@example.net",
            "balcony: iq set",
            // The end of Juliet's presence comes from her server, when she hears that Romeo no longer wants it.
            "street: presence unavailable from juliet@example.com/balcony",
            "balcony: presence unavailable from romeo@example.net/street",
            "balcony: presence unsubscribed from romeo@example.net",
            "balcony: iq set",
            "street: iq result",
        ]
    );
    world.at_once = true;
    let item = &world.store.kept(&bare("juliet@example.com")).unwrap().roster.as_ref().unwrap().items[0];
    assert_eq!(item.subscription, Subscription::None);
    assert!(
        world
            .send(juliet, crate::world::available(3))
            .iter()
            .all(|effect| { matches!(effect, Effect::Deliver { session, .. } if *session == juliet) })
    );
}

// RFC 6121 §2.5.2, §3.1.2: whoever asks again for a subscription when its end is answered meets nothing of the old one, however long the
// contact's store takes.
#[test]
fn a_request_right_behind_a_removal() {
    for subscription_before in [Subscription::Both, Subscription::To] {
        let mut world = World::new();
        let other =
            if subscription_before == Subscription::Both { Subscription::Both } else { Subscription::From };
        world.befriend("romeo@example.net", "juliet@example.com", subscription_before);
        world.befriend("juliet@example.com", "romeo@example.net", other);
        let juliet = world.available("juliet@example.com/balcony", 0);
        let romeo = world.available("romeo@example.net/street", 0);
        world.at_once = false;
        let remove = roster_set("<item jid='juliet@example.com' subscription='remove'/>");
        let mut open: VecDeque<_> = asks(&world.send(romeo, remove)).into();
        let mut told = Vec::new();
        while let Some((ticket, ask)) = open.pop_front() {
            let answer = world.ask(ask);
            let effects = world.answer(ticket, answer);
            open.extend(asks(&effects));
            let lines = world.tell(&effects);
            let is_answered = lines.contains(&"street: iq result".to_owned());
            told.extend(lines);
            if is_answered {
                let again = world.send(romeo, subscription(PresenceType::Subscribe, "juliet@example.com"));
                open.extend(asks(&again));
                told.extend(world.tell(&again));
            }
        }
        let request = "balcony: presence subscribe from romeo@example.net".to_owned();
        assert_eq!(told.last(), Some(&request), "{told:?}");
        world.at_once = true;
        let told = world.says(juliet, subscription(PresenceType::Subscribed, "romeo@example.net"));
        assert!(told.contains(&"street: presence from juliet@example.com/balcony".to_owned()), "{told:?}");
    }
}

// RFC 6120 §13.10.2: what there is of somebody whose presence one does not see the time of the answer does not show.
#[test]
fn the_result_of_a_removal_waits_for_no_stranger() {
    for is_there in [false, true] {
        let mut world = World::new();
        if is_there {
            world.store.create(bare("juliet@example.com"));
        }
        let romeo = world.available("romeo@example.net/street", 0);
        world.send(romeo, subscription(PresenceType::Subscribe, "juliet@example.com"));
        world.at_once = false;
        let remove = roster_set("<item jid='juliet@example.com' subscription='remove'/>");
        let (ticket, ask) = asks(&world.send(romeo, remove)).remove(0);
        let answer = world.ask(ask);
        let effects = world.answer(ticket, answer);
        assert_eq!(world.tell(&effects), ["street: iq result"]);
    }
}
