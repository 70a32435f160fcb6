//! The iq table of RFC 6121 section 8.5 (spec section 3.3).

use balcony_router::SessionId;
use balcony_stanza::{IqType, Kind, PresenceType};

use crate::world::{World, config, iq, of_kind};

const TYPES: [IqType; 4] = [IqType::Get, IqType::Set, IqType::Result, IqType::Error];

fn stanza(kind: IqType, to: &str) -> balcony_stanza::Stanza {
    iq(kind, "query", "urn:example:unknown").with_to(crate::world::jid(to))
}

/// Juliet has one available resource and one that is only connected.
fn setting() -> (World, SessionId, SessionId) {
    let mut world = World::new();
    let romeo = world.available("romeo@example.net/street", 0);
    let juliet = world.available("juliet@example.com/balcony", 0);
    world.connect("juliet@example.com/attic");
    (world, romeo, juliet)
}

/// A request is refused with `service-unavailable`, an answer is dropped.
fn is_closed(world: &mut World, romeo: SessionId, to: &str) {
    for kind in TYPES {
        let told = world.says(romeo, stanza(kind, to));
        match kind {
            IqType::Get | IqType::Set => {
                assert_eq!(
                    told,
                    [format!("street: iq error service-unavailable/cancel from {to}")],
                    "{kind:?}"
                );
            }
            IqType::Result | IqType::Error => assert!(told.is_empty(), "{kind:?} to {to}: {told:?}"),
        }
    }
}

fn is_open(world: &mut World, romeo: SessionId, resource: &str, kinds: &[IqType]) {
    for &kind in kinds {
        let told = world.says(romeo, stanza(kind, &format!("juliet@example.com/{resource}")));
        let name = Kind::Iq(kind).type_name().unwrap();
        assert_eq!(told, [format!("{resource}: iq {name} from romeo@example.net/street")]);
    }
}

// RFC 6121 §8.5.1 [I0]
#[test]
fn no_account() {
    let (mut world, romeo, _) = setting();
    is_closed(&mut world, romeo, "nobody@example.com");
    is_closed(&mut world, romeo, "nobody@example.com/balcony");
}

// RFC 6121 §8.5.2.1.3, §8.5.2.2.3 [I1]
#[test]
fn bare() {
    let (mut world, romeo, juliet) = setting();
    is_closed(&mut world, romeo, "juliet@example.com");
    world.unbind(juliet);
    is_closed(&mut world, romeo, "juliet@example.com");
    // Not even what the server would do for Juliet herself.
    let ping = iq(IqType::Get, "ping", "urn:xmpp:ping").with_to(crate::world::jid("juliet@example.com"));
    assert_eq!(
        world.says(romeo, ping),
        ["street: iq error service-unavailable/cancel from juliet@example.com"]
    );
}

// RFC 6121 §8.5.3.1 [I2]
#[test]
fn full_with_shared_presence() {
    for shown in ["romeo@example.net", "romeo@example.net/street"] {
        let (mut world, romeo, juliet) = setting();
        world.send(juliet, of_kind(Kind::Presence(PresenceType::Available), shown));
        is_open(&mut world, romeo, "balcony", &TYPES);
        // The other resource has shown nothing.
        is_open(&mut world, romeo, "attic", &[IqType::Result, IqType::Error]);
        assert_eq!(
            world.says(romeo, stanza(IqType::Get, "juliet@example.com/attic")),
            ["street: iq error service-unavailable/cancel from juliet@example.com/attic"]
        );
        world.send(juliet, of_kind(Kind::Presence(PresenceType::Unavailable), shown));
        assert_eq!(
            world.says(romeo, stanza(IqType::Get, "juliet@example.com/balcony")),
            ["street: iq error service-unavailable/cancel from juliet@example.com/balcony"]
        );
    }
}

// RFC 6121 §8.5.3.1 [I2]: presence shown to one resource is not shown to the next.
#[test]
fn directed_presence_names_one_resource() {
    let (mut world, _, juliet) = setting();
    let orchard = world.connect("romeo@example.net/orchard");
    world.send(juliet, of_kind(Kind::Presence(PresenceType::Available), "romeo@example.net/street"));
    assert_eq!(
        world.says(orchard, stanza(IqType::Get, "juliet@example.com/balcony")),
        ["orchard: iq error service-unavailable/cancel from juliet@example.com/balcony"]
    );
}

// RFC 6121 §8.5.3.1 [I2]: the own resources share presence.
#[test]
fn full_within_the_account() {
    let (mut world, _, juliet) = setting();
    for kind in TYPES {
        let told = world.says(juliet, stanza(kind, "juliet@example.com/attic"));
        let name = Kind::Iq(kind).type_name().unwrap();
        assert_eq!(told, [format!("attic: iq {name} from juliet@example.com/balcony")]);
    }
    let told = world.says(juliet, stanza(IqType::Get, "juliet@example.com/balcony"));
    assert_eq!(told, ["balcony: iq get from juliet@example.com/balcony"]);
}

// RFC 6121 §8.5.3.1 [I3]
#[test]
fn full_without_shared_presence() {
    let (mut world, romeo, _) = setting();
    for resource in ["balcony", "attic"] {
        is_open(&mut world, romeo, resource, &[IqType::Result, IqType::Error]);
        for kind in [IqType::Get, IqType::Set] {
            let told = world.says(romeo, stanza(kind, &format!("juliet@example.com/{resource}")));
            assert_eq!(
                told,
                [format!("street: iq error service-unavailable/cancel from juliet@example.com/{resource}")]
            );
        }
    }
}

// RFC 6121 §8.5.3.1 [I3]: the switch.
#[test]
fn full_without_the_rule() {
    let mut config = config();
    config.iq_needs_presence = false;
    let mut world = World::with(config);
    let romeo = world.connect("romeo@example.net/street");
    world.connect("juliet@example.com/attic");
    is_open(&mut world, romeo, "attic", &TYPES);
    is_closed(&mut world, romeo, "juliet@example.com/nowhere");
}

// RFC 6121 §8.5.3.2.3 [I4]
#[test]
fn full_without_match() {
    let (mut world, romeo, juliet) = setting();
    is_closed(&mut world, romeo, "juliet@example.com/nowhere");
    world.send(juliet, of_kind(Kind::Presence(PresenceType::Available), "romeo@example.net"));
    is_closed(&mut world, romeo, "juliet@example.com/nowhere");
}

// RFC 6121 §8.5.3.2.3 [I4]: also within the account. What the server does for the bare JID it does not do here.
#[test]
fn full_without_match_within_the_account() {
    let (mut world, _, juliet) = setting();
    let ping =
        iq(IqType::Get, "ping", "urn:xmpp:ping").with_to(crate::world::jid("juliet@example.com/nowhere"));
    assert_eq!(
        world.says(juliet, ping),
        ["balcony: iq error service-unavailable/cancel from juliet@example.com/nowhere"]
    );
}

// RFC 6120 §10.4 [Q2]
#[test]
fn remote() {
    let (mut world, romeo, _) = setting();
    for kind in TYPES {
        let told = world.says(romeo, stanza(kind, "friar@example.org/cell"));
        let name = Kind::Iq(kind).type_name().unwrap();
        assert_eq!(told, [format!("remote friar@example.org/cell: iq {name} from romeo@example.net/street")]);
    }
}
