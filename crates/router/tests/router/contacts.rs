//! Presence and contacts (RFC 6121 section 4): who sees it, who is asked for it, who hears of its end.

use balcony_roster::Subscription;
use balcony_router::{Answer, Ask, Change, Effect, SessionId};
use balcony_stanza::{IqType, Kind, MessageType, PresenceType, Stanza};

use crate::world::{World, asks, available, bare, config, content, iq, jid, of_kind, unavailable, wires};

const PROBE: Kind = Kind::Presence(PresenceType::Probe);
const HERE: Kind = Kind::Presence(PresenceType::Available);
const GONE: Kind = Kind::Presence(PresenceType::Unavailable);

/// Romeo and Juliet are friends, one way or the other; Juliet is not online.
fn friends(romeo_has: Subscription) -> World {
    use Subscription as S;
    let mut world = World::new();
    world.befriend("romeo@example.net", "juliet@example.com", romeo_has);
    let juliet_has = match romeo_has {
        S::None | S::Both => romeo_has,
        S::To => S::From,
        S::From => S::To,
    };
    world.befriend("juliet@example.com", "romeo@example.net", juliet_has);
    world
}

fn presence(xml: &str) -> Stanza {
    let mut stanza = content(xml);
    stanza.head.kind = HERE;
    stanza.with_id("p")
}

// RFC 6121 §4.2.2, §4.2.3, §4.4.2, §4.4.3 [PR2, PR15, PR16]: the full XML, to all subscribers and their available resources.
#[test]
fn broadcasts() {
    let mut world = friends(Subscription::From);
    world.befriend("romeo@example.net", "friar@example.org", Subscription::Both);
    world.befriend("romeo@example.net", "nurse@example.com", Subscription::To);
    world.befriend("romeo@example.net", "tybalt@example.com", Subscription::None);
    let balcony = world.available("juliet@example.com/balcony", 0);
    let attic = world.available("juliet@example.com/attic", -5);
    let silent = world.connect("juliet@example.com/silent");
    world.available("nurse@example.com/kitchen", 0);
    world.available("tybalt@example.com/lane", 0);
    let street = world.connect("romeo@example.net/street");
    let seen = |effects: &[Effect], to: SessionId| wires(effects, to);
    for presence in [presence("<show>away</show><x xmlns='urn:x'/>"), presence("<priority>7</priority>")] {
        let effects = world.send(street, presence.clone());
        let mut expected = Vec::new();
        presence
            .with_from(jid("romeo@example.net/street"))
            .with_to(jid("juliet@example.com"))
            .write(&mut expected);
        let expected = String::from_utf8(expected).unwrap();
        for session in [balcony, attic] {
            assert_eq!(seen(&effects, session), core::slice::from_ref(&expected));
        }
        assert!(seen(&effects, silent).is_empty());
        let told: Vec<_> = world
            .tell(&effects)
            .into_iter()
            .filter(|line| {
                !line.starts_with("balcony") && !line.starts_with("attic") && !line.contains("probe")
            })
            .collect();
        assert_eq!(
            told,
            [
                "street: presence from romeo@example.net/street",
                "remote friar@example.org: presence from romeo@example.net/street",
            ]
        );
    }
}

// RFC 6121 §4.5.2 [PR18, PR19]: the end goes to the same, whether the client says so or is lost.
#[test]
fn the_end() {
    for graceful in [true, false] {
        let mut world = friends(Subscription::Both);
        world.befriend("romeo@example.net", "friar@example.org", Subscription::From);
        world.available("juliet@example.com/balcony", 0);
        world.available("juliet@example.com/attic", -5);
        let street = world.available("romeo@example.net/street", 0);
        let mut told = if graceful { world.says(street, unavailable()) } else { world.unbind(street) };
        told.retain(|line| !line.starts_with("street"));
        assert_eq!(
            told,
            [
                "remote friar@example.org: presence unavailable from romeo@example.net/street",
                "balcony: presence unavailable from romeo@example.net/street",
                "attic: presence unavailable from romeo@example.net/street",
            ]
        );
        // Who has never been available has nothing to end.
        let silent = world.connect("romeo@example.net/silent");
        assert!(world.unbind(silent).is_empty());
    }
}

// RFC 6121 §4.2.2, §4.3 [PR4, PR7, PR12, PR14], §12 presence-probe: a new resource sees its contacts.
#[test]
fn probes() {
    let mut world = friends(Subscription::To);
    world.befriend("romeo@example.net", "friar@example.org", Subscription::Both);
    world.befriend("romeo@example.net", "monk@example.org", Subscription::From);
    let juliet = world.connect("juliet@example.com/balcony");
    world.send(juliet, presence("<show>dnd</show>"));
    world.available("juliet@example.com/attic", -1);
    world.connect("juliet@example.com/silent");
    let orchard = world.available("romeo@example.net/orchard", 0);
    let street = world.connect("romeo@example.net/street");
    let effects = world.send(street, available(0));
    // Only the resource that is new: the other has it.
    assert!(wires(&effects, orchard).iter().all(|wire| !wire.contains("juliet")));
    let seen: Vec<_> = wires(&effects, street).into_iter().filter(|wire| wire.contains("juliet")).collect();
    assert_eq!(
        seen,
        [
            "<presence from='juliet@example.com/balcony' to='romeo@example.net/street' id='p'><show>dnd</show></presence>",
            "<presence from='juliet@example.com/attic' to='romeo@example.net/street'><priority>-1</priority></presence>",
        ]
    );
    let told: Vec<_> = world.tell(&effects).into_iter().filter(|line| line.contains("probe")).collect();
    assert_eq!(told, ["remote friar@example.org: presence probe from romeo@example.net"]);
    // An update asks nobody again.
    assert!(
        world
            .says(street, available(1))
            .iter()
            .all(|line| !line.contains("probe") && !line.contains("juliet"))
    );
}

// RFC 6121 §4.3 [PR4]: a login of somebody with many contacts who are away asks the store nothing about them.
#[test]
fn absent_contacts_are_not_loaded() {
    let mut world = friends(Subscription::Both);
    let street = world.connect("romeo@example.net/street");
    assert_eq!(asks(&world.send(street, available(0))), []);
}

// RFC 6121 §4.3.2 [PR9, PR11, PR12, PR13, PR14], §11 [SC1, PR33]
#[test]
fn answers_to_probes_of_servers() {
    let mut world = World::new();
    world.befriend("juliet@example.com", "friar@example.org", Subscription::From);
    world.befriend("juliet@example.com", "monk@example.org", Subscription::To);
    let probe = |to: &str| of_kind(PROBE, to);
    let answer = |world: &mut World, from: &str, to: &str| -> Vec<String> {
        let mut effects = Vec::new();
        world.router.receive(world.now, probe(to).with_from(jid(from)), &mut effects);
        let mut next = 0;
        while next < effects.len() {
            if let Effect::Ask { ticket, ask } = effects[next].clone() {
                let answer = world.ask(ask);
                effects.extend(world.answer(ticket, answer));
            }
            next += 1;
        }
        let remote = |effect: &Effect| match effect {
            Effect::Remote { stanza, .. } => Some(crate::world::wire(stanza)),
            Effect::Deliver { .. } => panic!("{effect:?}"),
            _ => None,
        };
        effects.iter().filter_map(remote).collect()
    };
    let unsubscribed = |from: &str, to: &str| {
        vec![format!("<presence from='{from}' to='{to}' type='unsubscribed' id='x'/>")]
    };
    // [PR9]: the answer to those who may not know says nothing of who exists, or is there.
    for online in [false, true] {
        if online {
            world.available("juliet@example.com/balcony", 3);
        }
        for prober in ["stranger@example.org", "monk@example.org"] {
            for to in ["juliet@example.com", "juliet@example.com/balcony"] {
                assert_eq!(answer(&mut world, prober, to), unsubscribed("juliet@example.com", prober));
            }
            let nobody = answer(&mut world, prober, "nobody@example.com/balcony");
            assert_eq!(nobody, unsubscribed("nobody@example.com", prober));
        }
    }
    // [PR12, PR13]
    assert_eq!(
        answer(&mut world, "friar@example.org", "juliet@example.com"),
        [
            "<presence from='juliet@example.com/balcony' to='friar@example.org'><priority>3</priority></presence>"
        ]
    );
    for (resource, kind) in [("balcony", ""), ("attic", " type='unavailable'")] {
        assert_eq!(
            answer(&mut world, "friar@example.org", &format!("juliet@example.com/{resource}")),
            [format!("<presence from='juliet@example.com/{resource}' to='friar@example.org'{kind} id='x'/>")]
        );
    }
}

// RFC 6121 §4.3 [PR8], §11 [SC2]: a store in trouble says as little of who is online.
#[test]
fn probes_while_the_store_is_in_trouble() {
    for is_online in [false, true] {
        let mut world = World::new();
        if is_online {
            world.available("juliet@example.com/balcony", 0);
        }
        world.at_once = false;
        let mut effects = Vec::new();
        let probe = Stanza::presence(PresenceType::Probe).with_to(jid("juliet@example.com"));
        world.router.receive(world.now, probe.with_from(jid("friar@example.org")), &mut effects);
        let [(ticket, Ask::Load { .. })] = asks(&effects)[..] else { panic!("{effects:?}") };
        assert!(world.answer(ticket, Answer::Refused).is_empty());
    }
}

// RFC 6121 §4.3 [PR8]: a probe that is admitted waits for the account as what it is, and is paid for once.
#[test]
fn a_probe_is_paid_for_once() {
    let mut config = config();
    config.limits.waiting = 1;
    let mut world = World::with(config);
    let friars: Vec<String> = (0..6).map(|number| format!("friar{number}@example.org")).collect();
    for friar in &friars {
        world.befriend("juliet@example.com", friar, Subscription::From);
    }
    world.at_once = false;
    let mut loads = Vec::new();
    for friar in &friars {
        let mut effects = Vec::new();
        let probe = of_kind(PROBE, "juliet@example.com").with_from(jid(friar));
        world.router.receive(world.now, probe, &mut effects);
        let [(ticket, ask)] = &asks(&effects)[..] else { panic!("{effects:?}") };
        // The prober is a subscriber, and the account has to be loaded for all that is to be said.
        let answer = world.ask(ask.clone());
        loads.extend(asks(&world.answer(*ticket, answer)));
    }
    let [(ticket, ask)] = &loads[..] else { panic!("{loads:?}") };
    let answer = world.ask(ask.clone());
    let effects = world.answer(*ticket, answer);
    let answered = effects.iter().filter(|effect| matches!(effect, Effect::Remote { .. })).count();
    assert_eq!(answered, friars.len(), "{effects:?}");
}

// RFC 6121 §4.3 [PR8]: who may know what becomes of a probe is not told that it is handled before it is.
#[test]
fn a_probe_is_handled_when_it_is_answered() {
    let mut world = World::new();
    world.befriend("romeo@example.net", "juliet@example.com", Subscription::To);
    world.befriend("juliet@example.com", "romeo@example.net", Subscription::From);
    let street = world.connect("romeo@example.net/street");
    world.at_once = false;
    let mut effects = world.brings(street, of_kind(PROBE, "juliet@example.com"));
    for _ in 0..2 {
        assert_eq!(world.handled, []);
        let (ticket, ask) = asks(&effects).remove(0);
        let answer = world.ask(ask);
        effects = world.answer(ticket, answer);
    }
    assert_eq!(world.handled, [street]);
    assert_eq!(wires(&effects, street).len(), 1, "{effects:?}");
}

// RFC 6121 §4.3.2 [PR11], XEP-0203 2.0 §4: who is away was there until then.
#[test]
fn last_presence() {
    let mut world = World::new();
    world.befriend("juliet@example.com", "friar@example.org", Subscription::From);
    let balcony = world.available("juliet@example.com/balcony", 0);
    let attic = world.available("juliet@example.com/attic", 0);
    world.now = balcony_machine::Instant::from_millis(1_000);
    let saved = |effects: &[Effect]| asks(effects).len();
    let mut end = unavailable();
    end.payload = content("<status>Parting is such sweet sorrow</status>").payload;
    assert_eq!(saved(&world.send(balcony, end.clone())), 0);
    let effects = world.send(attic, end);
    let [(_, balcony_router::Ask::Save { changes, .. })] = &asks(&effects)[..] else { panic!("{effects:?}") };
    assert!(matches!(&changes[..], [Change::LastSeen(_)]));
    world.unbind(balcony);
    // Nothing is noted of who was not there.
    let mut effects = Vec::new();
    world.router.unbind(world.now, attic, &mut effects);
    assert!(effects.is_empty());
    assert_eq!(world.router.counts().accounts, 0);
    world.now = balcony_machine::Instant::from_millis(9_000);
    let told = world.receives("friar@example.org", of_kind(PROBE, "juliet@example.com"));
    assert_eq!(told, ["remote friar@example.org: presence unavailable from juliet@example.com"]);
    let probe = of_kind(PROBE, "juliet@example.com").with_from(jid("friar@example.org"));
    world.at_once = false;
    let mut effects = Vec::new();
    world.router.receive(world.now, probe, &mut effects);
    // Once for whether the prober may know, and then the account is loaded.
    for _ in 0..2 {
        let (ticket, ask) = asks(&effects).remove(0);
        let answer = world.ask(ask);
        effects = world.answer(ticket, answer);
    }
    let [Effect::Remote { stanza, .. }] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!(
        crate::world::wire(stanza),
        "<presence from='juliet@example.com' to='friar@example.org' type='unavailable' id='x'>\
         <status>Parting is such sweet sorrow</status>\
         <delay xmlns='urn:xmpp:delay' from='example.com' stamp='2002-09-10T23:08:26.000Z'/></presence>"
    );
}

// RFC 6121 §4.3.2 [PR9, PR27]: two rosters that do not agree any more do after a probe.
#[test]
fn a_probe_heals_a_lost_cancellation() {
    let mut world = World::new();
    world.befriend("romeo@example.net", "juliet@example.com", Subscription::To);
    world.available("juliet@example.com/balcony", 0);
    let street = world.connect("romeo@example.net/street");
    world.send(street, crate::world::roster_get());
    let told = world.says(street, available(0));
    assert_eq!(
        told,
        [
            "street: presence from romeo@example.net/street",
            "street: presence unsubscribed from juliet@example.com",
            "street: iq set"
        ]
    );
}

// RFC 6121 §4.6.3 [PR22]: directed presence to a subscriber changes nothing for the broadcasts, and its end is told once.
#[test]
fn directed_presence_to_a_subscriber() {
    let mut world = friends(Subscription::From);
    world.available("juliet@example.com/balcony", 0);
    let silent = world.connect("juliet@example.com/silent");
    let street = world.available("romeo@example.net/street", 0);
    for to in ["juliet@example.com", "juliet@example.com/balcony", "juliet@example.com/silent"] {
        assert_eq!(world.send(street, of_kind(HERE, to)).len(), 1);
    }
    assert!(
        world
            .says(street, available(3))
            .contains(&"balcony: presence from romeo@example.net/street".to_owned())
    );
    // The connected resource has seen it only so, and hears of the end.
    let mut told = world.unbind(street);
    told.sort();
    assert_eq!(
        told,
        [
            "balcony: presence unavailable from romeo@example.net/street",
            "silent: presence unavailable from romeo@example.net/street",
        ]
    );
    let _ = silent;
}

// RFC 6121 §8.5.3.1 [I2, I3]: a subscriber may ask each resource.
#[test]
fn subscribers_may_ask() {
    for (subscription, may) in [
        (Subscription::None, false),
        (Subscription::To, false),
        (Subscription::From, true),
        (Subscription::Both, true),
    ] {
        let mut world = World::new();
        world.befriend("juliet@example.com", "romeo@example.net", subscription);
        world.available("juliet@example.com/balcony", 0);
        let street = world.connect("romeo@example.net/street");
        let ask = iq(IqType::Get, "query", "urn:example:unknown");
        let told = world.says(street, ask.clone().with_to(jid("juliet@example.com/balcony")));
        assert_eq!(told[0].starts_with("balcony: iq get"), may, "{told:?}");
        // And nothing else.
        for to in ["juliet@example.com", "juliet@example.com/attic"] {
            let told = world.says(street, ask.clone().with_to(jid(to)));
            assert_eq!(told, [format!("street: iq error service-unavailable/cancel from {to}")]);
        }
    }
}

// RFC 6121 §8.1 [DN7]: who is a contact, or has seen presence, is told of a message that went nowhere.
#[test]
fn contacts_are_told() {
    let lost = || of_kind(Kind::Message(MessageType::Normal), "juliet@example.com/nowhere");
    let error = ["street: message error service-unavailable/cancel from juliet@example.com/nowhere"];
    let mut world = World::new();
    let street = world.available("romeo@example.net/street", 0);
    let balcony = world.available("juliet@example.com/balcony", 0);
    assert!(world.says(street, lost()).is_empty());
    world.send(balcony, of_kind(HERE, "romeo@example.net"));
    assert_eq!(world.says(street, lost()), error);
    world.send(balcony, of_kind(GONE, "romeo@example.net"));
    assert!(world.says(street, lost()).is_empty());
    world.send(balcony, crate::world::roster_set("<item jid='romeo@example.net'/>"));
    assert_eq!(world.says(street, lost()), error);
    let own = of_kind(Kind::Message(MessageType::Normal), "romeo@example.net/nowhere");
    assert_eq!(world.says(street, own).len(), 1);
    // Also if nobody is there.
    world.unbind(balcony);
    assert_eq!(world.says(street, lost()), error);
    let mut config = config();
    config.tell_strangers = true;
    let mut world = World::with(config);
    let street = world.available("romeo@example.net/street", 0);
    assert_eq!(world.says(street, lost()), error);
    assert_eq!(world.store.kept(&bare("juliet@example.com")), None);
}
