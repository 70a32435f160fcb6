//! Presence: the table of RFC 6121 section 8.5 (spec section 3.2) and the rules of section 4 that need no roster.

use balcony_router::{Effect, SessionId};
use balcony_stanza::{ErrorCondition, Kind, PresenceType, Stanza};
use balcony_xml::{Element, Name};

use crate::world::{PRESENCE, World, available, bare, config, jid, of_kind, tickets, unavailable, wire};

const PROBE: Kind = Kind::Presence(PresenceType::Probe);

fn directed(to: &str) -> Stanza {
    of_kind(Kind::Presence(PresenceType::Available), to)
}

fn child(name: &'static str, text: &str) -> Element {
    Element::new(Name::from_static(name), "jabber:client").text(text)
}

fn with(children: &[Element]) -> Stanza {
    Stanza::presence(PresenceType::Available).with_id("p").with_payload(children.iter().collect())
}

/// `juliet` may have available resources `balcony` (5), `attic` (-1), and `cellar`, connected only.
fn setting(juliet: bool) -> (World, SessionId) {
    let mut world = World::new();
    let romeo = world.available("romeo@example.net/street", 0);
    world.store.create(bare("juliet@example.com"));
    if juliet {
        world.available("juliet@example.com/balcony", 5);
        world.available("juliet@example.com/attic", -1);
        world.connect("juliet@example.com/cellar");
    }
    (world, romeo)
}

// RFC 6121 §8.5.1, §8.5.2, §8.5.3 [P0, P1b, P2b, P3f, P3n]
#[test]
fn the_table() {
    /// Name, whether Juliet is there, `to`, who gets plain presence, who gets an error.
    type Row = (&'static str, bool, &'static str, &'static [&'static str], &'static [&'static str]);
    let rows: &[Row] = &[
        ("P0 bare", false, "nobody@example.com", &[], &[]),
        ("P0 full", false, "nobody@example.com/x", &[], &[]),
        ("P1b", true, "juliet@example.com", &["balcony", "attic"], &[]),
        ("P2b", false, "juliet@example.com", &[], &[]),
        ("P3f available", true, "juliet@example.com/attic", &["attic"], &["attic"]),
        ("P3f connected", true, "juliet@example.com/cellar", &["cellar"], &["cellar"]),
        ("P3n", true, "juliet@example.com/nowhere", &[], &[]),
        ("P3n offline", false, "juliet@example.com/nowhere", &[], &[]),
    ];
    for &(row, juliet, to, plain, errors) in rows {
        for kind in PRESENCE {
            let (mut world, romeo) = setting(juliet);
            let told = world.says(romeo, of_kind(Kind::Presence(kind), to));
            let name = Kind::Presence(kind).type_name().map(|name| format!(" {name}")).unwrap_or_default();
            let all = |names: &[&str]| -> Vec<String> {
                names.iter().map(|to| format!("{to}: presence{name} from romeo@example.net/street")).collect()
            };
            let expected = match kind {
                PresenceType::Available | PresenceType::Unavailable => all(plain),
                PresenceType::Error => all(errors),
                // [SB2]: a request is for the account in any case.
                PresenceType::Subscribe if juliet && to.starts_with("juliet") => ["balcony", "attic"]
                    .map(|to| format!("{to}: presence subscribe from romeo@example.net"))
                    .to_vec(),
                // The others change nothing between strangers. The answer to the probe is one of them.
                _ => vec![],
            };
            assert_eq!(told, expected, "{row} {kind:?}");
        }
    }
}

// RFC 6121 §8.5.2.1.2, §4.6.3 [PR22, PR23]: the full XML, `to` included.
#[test]
fn directed_presence_is_passed_on_as_it_is() {
    let (mut world, romeo) = setting(true);
    let stanza = with(&[child("show", "away"), child("status", "x")]).with_to(jid("juliet@example.com"));
    let effects = world.send(romeo, stanza.clone());
    assert_eq!(effects.len(), 2);
    for effect in effects {
        let Effect::Deliver { stanza: delivered, .. } = effect else { panic!() };
        assert_eq!(*delivered, stanza.clone().with_from(jid("romeo@example.net/street")));
    }
}

// RFC 6121 §4.2.2 [PR1, PR3, PR5], §12 presence-notype
#[test]
fn initial_presence() {
    let mut world = World::new();
    let street = world.connect("romeo@example.net/street");
    world.connect("romeo@example.net/silent");
    assert_eq!(world.says(street, available(1)), ["street: presence from romeo@example.net/street"]);
    let orchard = world.connect("romeo@example.net/orchard");
    let effects = world.send(orchard, available(-1));
    assert_eq!(
        world.tell(&effects),
        [
            "street: presence from romeo@example.net/orchard",
            "orchard: presence from romeo@example.net/orchard",
            "orchard: presence from romeo@example.net/street",
        ]
    );
    let Effect::Deliver { stanza, .. } = &effects[2] else { panic!() };
    assert_eq!(
        wire(stanza),
        "<presence from='romeo@example.net/street' to='romeo@example.net'><priority>1</priority></presence>"
    );
}

// RFC 6121 §4.4.2 [PR15]: an update goes to all, the sender too, and brings nobody else's presence along.
#[test]
fn subsequent_presence() {
    let mut world = World::new();
    let street = world.available("romeo@example.net/street", 1);
    world.available("romeo@example.net/orchard", -1);
    let effects = world.send(street, with(&[child("show", "dnd"), child("x", "full XML")]));
    assert_eq!(
        world.tell(&effects),
        ["street: presence from romeo@example.net/street", "orchard: presence from romeo@example.net/street"]
    );
    let Effect::Deliver { stanza, .. } = &effects[1] else { panic!() };
    assert_eq!(
        wire(stanza),
        "<presence from='romeo@example.net/street' to='romeo@example.net' id='p'>\
         <show>dnd</show><x>full XML</x></presence>"
    );
}

// RFC 6121 §4.5.2 [PR18, PR19], §12 presence-unavailable
#[test]
fn unavailable_presence() {
    let mut world = World::new();
    let street = world.available("romeo@example.net/street", 1);
    world.available("romeo@example.net/orchard", -1);
    world.connect("romeo@example.net/silent");
    let effects = world.send(street, unavailable().with_child(child("status", "Good night")));
    assert_eq!(
        world.tell(&effects),
        [
            "orchard: presence unavailable from romeo@example.net/street",
            "street: presence unavailable from romeo@example.net/street"
        ]
    );
    for effect in &effects {
        let Effect::Deliver { stanza, .. } = effect else { panic!() };
        assert_eq!(
            wire(stanza),
            "<presence from='romeo@example.net/street' to='romeo@example.net' type='unavailable'>\
             <status>Good night</status></presence>"
        );
    }
    // Said once; the second time there is nothing to end, and the connection may go in silence.
    assert!(world.says(street, unavailable()).is_empty());
    assert!(world.unbind(street).is_empty());
}

// RFC 6121 §4.5.2 [PR18, PR19]: without a word of the client, the server says it.
#[test]
fn ungraceful_end() {
    let mut world = World::new();
    let street = world.available("romeo@example.net/street", 1);
    world.available("romeo@example.net/orchard", -1);
    let silent = world.connect("romeo@example.net/silent");
    assert!(world.unbind(silent).is_empty());
    assert_eq!(world.unbind(street), ["orchard: presence unavailable from romeo@example.net/street"]);
    assert!(world.unbind(street).is_empty());
}

// RFC 6121 §4.5.2 [PR20]
#[test]
fn presence_after_unavailable_is_initial_again() {
    let mut world = World::new();
    let street = world.available("romeo@example.net/street", 1);
    world.available("romeo@example.net/orchard", -1);
    world.send(street, unavailable());
    assert_eq!(
        world.says(street, available(0)),
        [
            "street: presence from romeo@example.net/street",
            "orchard: presence from romeo@example.net/street",
            "street: presence from romeo@example.net/orchard"
        ]
    );
}

// RFC 6121 §4.7.2.3 [PR30]
#[test]
fn the_priority_is_checked() {
    let mut world = World::new();
    let street = world.connect("romeo@example.net/street");
    let bad = |world: &mut World, children: &[Element]| {
        let told = world.says(street, with(children));
        assert_eq!(told, ["street: presence error bad-request/modify"], "{children:?}");
        // It was as if it had not been sent.
        assert!(world.says(street, unavailable()).is_empty());
    };
    let good = |world: &mut World, children: &[Element]| {
        assert_eq!(
            world.says(street, with(children)),
            ["street: presence from romeo@example.net/street"],
            "{children:?}"
        );
        world.send(street, unavailable());
    };
    for priority in ["-129", "128", "1000", "", "high", "1.0", "1 2"] {
        bad(&mut world, &[child("priority", priority)]);
    }
    for priority in ["-128", "127", "0", "-0", " 5 "] {
        good(&mut world, &[child("priority", priority)]);
    }
    bad(&mut world, &[child("priority", "1"), child("priority", "1")]);
    // The rest is for those to judge who show it.
    for show in ["away", "xa", "", "online"] {
        good(&mut world, &[child("show", show), child("status", "a"), child("status", "b")]);
    }
    // What is of other namespaces is nobody's business here.
    good(&mut world, &[Element::new(Name::from_static("priority"), "urn:example:x").text("high")]);
}

// RFC 6121 §4.7.2.3 [PR30]: no priority is 0.
#[test]
fn priority_defaults_to_zero() {
    let mut world = World::new();
    let romeo = world.connect("romeo@example.net/street");
    world.available("juliet@example.com/attic", -1);
    let balcony = world.connect("juliet@example.com/balcony");
    world.send(balcony, Stanza::presence(PresenceType::Available));
    let chat = of_kind(Kind::Message(balcony_stanza::MessageType::Chat), "juliet@example.com");
    assert_eq!(world.says(romeo, chat.clone()), ["balcony: message chat from romeo@example.net/street"]);
    world.available("juliet@example.com/hall", 0);
    assert_eq!(world.says(romeo, chat).len(), 2);
}

// RFC 6121 §4.6.3 [PR23], §4.6.1 [PR25]: exactly those who have seen it hear of the end.
#[test]
fn the_end_of_directed_presence() {
    for graceful in [true, false] {
        let mut world = World::new();
        let street = world.available("romeo@example.net/street", 0);
        world.available("romeo@example.net/orchard", 0);
        world.available("juliet@example.com/balcony", 0);
        world.available("juliet@example.com/attic", -1);
        world.connect("nurse@example.com/kitchen");
        world.available("tybalt@example.com/lane", 0);
        for to in [
            "juliet@example.com",
            "nurse@example.com/kitchen",
            "tybalt@example.com",
            "friar@example.org/cell",
            // Told by the broadcast: not told twice.
            "romeo@example.net",
            "romeo@example.net/orchard",
            "romeo@example.net/street",
            // Told that it is over, and not told again.
            "tybalt@example.com",
        ] {
            world.send(street, directed(to));
        }
        let over = of_kind(Kind::Presence(PresenceType::Unavailable), "tybalt@example.com");
        assert_eq!(world.says(street, over), ["lane: presence unavailable from romeo@example.net/street"]);

        let effects = if graceful {
            world.send(street, unavailable())
        } else {
            let mut effects = Vec::new();
            world.router.unbind(world.now, street, &mut effects);
            effects
        };
        let mut told: Vec<_> = world.tell(&effects);
        let gone = "presence unavailable from romeo@example.net/street";
        let mut expected = vec![
            format!("orchard: {gone}"),
            format!("balcony: {gone}"),
            format!("attic: {gone}"),
            format!("kitchen: {gone}"),
            format!("remote friar@example.org/cell: {gone}"),
        ];
        if graceful {
            expected.push(format!("street: {gone}"));
        }
        told.sort();
        expected.sort();
        assert_eq!(told, expected);
        if graceful {
            // The list is empty now.
            assert!(world.says(street, unavailable()).is_empty());
        }
    }
}

// RFC 6121 §4.6.3 [PR24]: also from a resource that is not available itself. Nobody else learns of it.
#[test]
fn directed_presence_without_initial_presence() {
    let mut world = World::new();
    let street = world.connect("romeo@example.net/street");
    world.available("romeo@example.net/orchard", 0);
    world.available("romeo@example.net/cell", 0);
    world.available("juliet@example.com/balcony", 0);
    world.send(street, directed("juliet@example.com/balcony"));
    world.send(street, directed("romeo@example.net/orchard"));
    assert_eq!(
        world.says(street, unavailable()),
        [
            "balcony: presence unavailable from romeo@example.net/street",
            "orchard: presence unavailable from romeo@example.net/street"
        ]
    );
}

// RFC 6121 §4.6.1 [PR25]: an entity that has gone itself need not hear of the end.
#[test]
fn who_goes_is_taken_off_the_list() {
    for bare in [true, false] {
        let mut world = World::new();
        let street = world.available("romeo@example.net/street", 0);
        let balcony = world.available("juliet@example.com/balcony", 0);
        world.send(street, directed("juliet@example.com/balcony"));
        world.send(balcony, directed(if bare { "romeo@example.net" } else { "romeo@example.net/street" }));
        assert_eq!(world.unbind(balcony), ["street: presence unavailable from juliet@example.com/balcony"]);
        world.available("juliet@example.com/balcony", 0);
        assert!(world.unbind(street).is_empty());
    }
}

// RFC 6121 §4.6.1 [PR25]: the list has a bound.
#[test]
fn directed_presence_is_bounded() {
    let mut config = config();
    config.limits.directed = 2;
    let mut world = World::with(config);
    let street = world.connect("romeo@example.net/street");
    world.connect("juliet@example.com/a");
    world.connect("juliet@example.com/b");
    world.connect("juliet@example.com/c");
    assert_eq!(world.says(street, directed("juliet@example.com/a")).len(), 1);
    let told = world.says(street, directed("juliet@example.com/b"));
    assert_eq!(told, ["b: presence from romeo@example.net/street"]);
    // An update is not a new entity.
    assert_eq!(world.says(street, directed("juliet@example.com/b")), told);
    assert_eq!(
        world.says(street, directed("juliet@example.com/c")),
        ["street: presence error resource-constraint/wait from juliet@example.com/c"]
    );
    world.send(street, of_kind(Kind::Presence(PresenceType::Unavailable), "juliet@example.com/a"));
    assert_eq!(world.says(street, directed("juliet@example.com/c")).len(), 1);
    assert_eq!(world.unbind(street).len(), 2);
}

// RFC 6121 §4.3.2 [PR12, PR14]: the account itself sees everything, in full, with the ids it had.
#[test]
fn probe_of_the_own_account() {
    let mut world = World::new();
    let street = world.connect("romeo@example.net/street");
    let probe = || of_kind(PROBE, "romeo@example.net");
    // [PR11]
    let effects = world.send(street, probe());
    let [Effect::Deliver { stanza, .. }] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!(
        wire(stanza),
        "<presence from='romeo@example.net' to='romeo@example.net/street' type='unavailable' id='x'/>"
    );
    let orchard = world.connect("romeo@example.net/orchard");
    world.send(orchard, with(&[child("show", "xa")]));
    world.send(orchard, directed("juliet@example.com"));
    world.available("romeo@example.net/cell", -1);
    let effects = world.send(street, probe());
    assert_eq!(
        world.tell(&effects),
        ["street: presence from romeo@example.net/orchard", "street: presence from romeo@example.net/cell"]
    );
    let Effect::Deliver { stanza, .. } = &effects[0] else { panic!() };
    assert!(wire(stanza).ends_with(" id='p'><show>xa</show></presence>"));
}

// RFC 6121 §4.3.2 [PR13]
#[test]
fn probe_of_one_own_resource() {
    let mut world = World::new();
    let street = world.connect("romeo@example.net/street");
    world.available("romeo@example.net/orchard", 3);
    for (resource, kind) in
        [("orchard", ""), ("street", " type='unavailable'"), ("none", " type='unavailable'")]
    {
        let effects = world.send(street, of_kind(PROBE, &format!("romeo@example.net/{resource}")));
        let [Effect::Deliver { stanza, .. }] = &effects[..] else { panic!("{effects:?}") };
        assert_eq!(
            wire(stanza),
            format!(
                "<presence from='romeo@example.net/{resource}' to='romeo@example.net/street'{kind} id='x'/>"
            )
        );
    }
}

// RFC 6121 §4.6.6 [PR27]: who has got directed presence learns of that resource that it is there, and no more.
#[test]
fn probe_by_who_has_got_directed_presence() {
    let mut world = World::new();
    let romeo = world.connect("romeo@example.net/street");
    let balcony = world.connect("juliet@example.com/balcony");
    world.send(balcony, with(&[child("show", "dnd")]));
    world.available("juliet@example.com/attic", 0);
    world.send(balcony, directed("romeo@example.net"));
    for to in ["juliet@example.com", "juliet@example.com/balcony"] {
        let effects = world.send(romeo, of_kind(PROBE, to));
        let [Effect::Deliver { stanza, .. }] = &effects[..] else { panic!("{effects:?}") };
        assert_eq!(
            wire(stanza),
            "<presence from='juliet@example.com/balcony' to='romeo@example.net/street' id='x'/>"
        );
    }
    assert!(world.says(romeo, of_kind(PROBE, "juliet@example.com/attic")).is_empty());
}

// RFC 6121 §4.3 [PR8]: probes of clients are routed.
#[test]
fn remote_presence() {
    let (mut world, romeo) = setting(false);
    for kind in PRESENCE {
        let told = world.says(romeo, of_kind(Kind::Presence(kind), "friar@example.org/cell"));
        if let PresenceType::Subscribe | PresenceType::Unsubscribe = kind {
            let name = Kind::Presence(kind).type_name().unwrap();
            // RFC 6121 §3 [SB1, SB2]: from the bare to the bare JID.
            assert_eq!(told, [format!("remote friar@example.org: presence {name} from romeo@example.net")]);
        } else if kind.is_subscription() {
            assert!(told.is_empty());
        } else {
            assert_eq!(told.len(), 1, "{kind:?}");
            assert!(told[0].starts_with("remote friar@example.org/cell: presence"), "{told:?}");
        }
    }
    let effects = world.send(romeo, directed("friar@example.org"));
    let Effect::Remote { stanza, .. } = &effects[0] else { panic!() };
    let mut effects = Vec::new();
    world.router.undeliverable(stanza, ErrorCondition::RemoteServerTimeout, true, &mut effects);
    assert_eq!(
        world.tell(&effects),
        ["street: presence error remote-server-timeout/wait from friar@example.org"]
    );
}

// RFC 6120 §10.3.2, §10.5.1 [Q1, Q5]: presence that has nobody to go to.
#[test]
fn presence_to_nobody() {
    let (mut world, romeo) = setting(false);
    for kind in PRESENCE {
        for to in ["example.com", "example.com/x"] {
            let effects = world.send(romeo, of_kind(Kind::Presence(kind), to));
            assert!(effects.is_empty() && tickets(&effects).is_empty(), "{kind:?}");
        }
        if !matches!(kind, PresenceType::Available | PresenceType::Unavailable) {
            assert!(world.send(romeo, Stanza::presence(kind)).is_empty(), "{kind:?}");
        }
    }
    assert!(world.unbind(romeo).is_empty());
}
