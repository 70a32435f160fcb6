//! What the server answers itself.

use balcony_roster::Subscription;
use balcony_router::{Effect, SessionId, Software};
use balcony_stanza::{IqType, Stanza, ns};
use balcony_xml::{Element, Name};

use crate::world::{World, config, iq, jid, request, wire};

fn world() -> (World, SessionId) {
    let mut config = config();
    config.software = Software { name: "Test".into(), version: "1.2.3".into() };
    let mut world = World::with(config);
    let romeo = world.connect("romeo@example.net/street");
    (world, romeo)
}

/// The one stanza that comes back.
fn reply(world: &mut World, session: SessionId, stanza: Stanza) -> String {
    let effects = world.send(session, stanza);
    let said: Vec<_> = effects.iter().filter(|effect| !matches!(effect, Effect::Ask { .. })).collect();
    match said[..] {
        [Effect::Deliver { session: to, stanza }] if *to == session => wire(stanza),
        _ => panic!("{effects:?}"),
    }
}

fn empty(from: &str) -> String {
    format!("<iq{from} to='romeo@example.net/street' type='result' id='q'/>")
}

fn refused(from: &str, condition: &str) -> String {
    format!(
        "<iq{from} to='romeo@example.net/street' type='error' id='q'><error type='cancel'>\
         <{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"
    )
}

// XEP-0199 2.0.1 §4.1, §4.2; RFC 6120 §8.1.2.1 [ST6]: for the account there is no `from`, or the bare JID.
#[test]
fn ping() {
    let (mut world, romeo) = world();
    let ping = || iq(IqType::Get, "ping", ns::PING);
    assert_eq!(reply(&mut world, romeo, ping()), empty(""));
    assert_eq!(reply(&mut world, romeo, ping().with_to(jid("example.com"))), empty(" from='example.com'"));
    assert_eq!(
        reply(&mut world, romeo, ping().with_to(jid("romeo@example.net"))),
        empty(" from='romeo@example.net'")
    );
    // RFC 6120 §10.5.2 [Q5]: the server has no resources.
    assert_eq!(
        reply(&mut world, romeo, ping().with_to(jid("example.com/x"))),
        refused(" from='example.com/x'", "service-unavailable")
    );
}

// XEP-0030 2.5.0 §3.1, §8
#[test]
fn disco_info() {
    let (mut world, romeo) = world();
    let ask = || iq(IqType::Get, "query", ns::DISCO_INFO);
    let feature = |var: &str| format!("<feature var='{var}'/>");
    let common = feature(ns::DISCO_INFO) + &feature(ns::DISCO_ITEMS) + &feature(ns::PING);
    // XEP-0191 1.3 §3.1, XEP-0280 1.0.1 §4 [CR2], XEP-0160 1.0.1 §5 [OF5]
    let people = feature("urn:xmpp:blocking") + &feature("urn:xmpp:carbons:2");
    assert_eq!(
        reply(&mut world, romeo, ask().with_to(jid("example.com"))),
        format!(
            "<iq from='example.com' to='romeo@example.net/street' type='result' id='q'>\
             <query xmlns='{}'><identity category='server' type='im' name='Test'/>{common}{}{people}{}</query></iq>",
            ns::DISCO_INFO,
            feature(ns::VERSION),
            // XEP-0012 2.0 §5, XEP-0049 1.2 §3, XEP-0054 1.2 §2
            ["jabber:iq:register", "msgoffline", "jabber:iq:last", "jabber:iq:private", "vcard-temp"]
                .map(feature)
                .concat()
        )
    );
    let account = |from: &str| {
        format!(
            "<iq{from} to='romeo@example.net/street' type='result' id='q'>\
             <query xmlns='{}'><identity category='account' type='registered'/>{common}{people}{}</query></iq>",
            ns::DISCO_INFO,
            ["jabber:iq:last", "vcard-temp", "urn:xmpp:push:0"].map(feature).concat()
        )
    };
    assert_eq!(reply(&mut world, romeo, ask()), account(""));
    assert_eq!(
        reply(&mut world, romeo, ask().with_to(jid("romeo@example.net"))),
        account(" from='romeo@example.net'")
    );
}

// XEP-0030 2.5.0 §4.1: no items is an empty query.
#[test]
fn disco_items() {
    let (mut world, romeo) = world();
    let ask = iq(IqType::Get, "query", ns::DISCO_ITEMS).with_to(jid("example.com"));
    assert_eq!(
        reply(&mut world, romeo, ask),
        format!(
            "<iq from='example.com' to='romeo@example.net/street' type='result' id='q'><query xmlns='{}'/></iq>",
            ns::DISCO_ITEMS
        )
    );
}

// XEP-0030 2.5.0 §8: what an account offers those hear who see its presence, present or not; for all others, and for those whom it
// has blocked, it is as one that does not exist. That it has no items everybody may hear.
#[test]
fn disco_of_accounts() {
    let (romeo, juliet) = ("romeo@example.net", "juliet@example.com");
    for is_there in [false, true] {
        let mut world = World::new();
        for account in [juliet, "tybalt@example.com", "mercutio@example.com"] {
            world.store.create(crate::world::bare(account));
        }
        for contact in [juliet, "mercutio@example.com"] {
            world.befriend(romeo, contact, Subscription::Both);
            world.befriend(contact, romeo, Subscription::Both);
        }
        world.block("mercutio@example.com", romeo);
        let session = world.connect("romeo@example.net/street");
        if is_there {
            world.available("juliet@example.com/balcony", 0);
            world.available("tybalt@example.com/lane", 0);
            world.available("mercutio@example.com/lane", 0);
        }
        let info = |to: &str| iq(IqType::Get, "query", ns::DISCO_INFO).with_to(jid(to));
        let seen = reply(&mut world, session, info(juliet));
        assert!(seen.contains("<identity category='account' type='registered'/>"), "{seen}");
        for stranger in ["tybalt@example.com", "nobody@example.com", "mercutio@example.com"] {
            let from = format!(" from='{stranger}'");
            assert_eq!(reply(&mut world, session, info(stranger)), refused(&from, "service-unavailable"));
        }
        for node in ["", " node='x'"] {
            for account in [romeo, juliet, "tybalt@example.com", "nobody@example.com"] {
                let ask = request(IqType::Get, &format!("<query xmlns='{}'{node}/>", ns::DISCO_ITEMS));
                let items = format!(
                    "<iq from='{account}' to='romeo@example.net/street' type='result' id='q'><query xmlns='{}'{node}/></iq>",
                    ns::DISCO_ITEMS
                );
                assert_eq!(reply(&mut world, session, ask.with_to(jid(account))), items);
            }
        }
    }
}

// XEP-0030 2.5.0 §7
#[test]
fn disco_nodes() {
    const NODE: Name = Name::from_static("node");
    let (mut world, romeo) = world();
    for namespace in [ns::DISCO_INFO, ns::DISCO_ITEMS] {
        let query = Element::new(Name::from_static("query"), namespace).attr(NODE, "x");
        let ask = Stanza::iq(IqType::Get).with_id("q").with_child(query).with_to(jid("example.com"));
        assert_eq!(reply(&mut world, romeo, ask), refused(" from='example.com'", "item-not-found"));
    }
}

// XEP-0092 1.1 §2
#[test]
fn version() {
    let (mut world, romeo) = world();
    let ask = || iq(IqType::Get, "query", ns::VERSION);
    assert_eq!(
        reply(&mut world, romeo, ask().with_to(jid("example.com"))),
        "<iq from='example.com' to='romeo@example.net/street' type='result' id='q'>\
         <query xmlns='jabber:iq:version'><name>Test</name><version>1.2.3</version></query></iq>"
    );
    assert_eq!(reply(&mut world, romeo, ask()), refused("", "service-unavailable"));
}

// RFC 3921 §3
#[test]
fn session() {
    let (mut world, romeo) = world();
    let ask = || iq(IqType::Set, "session", ns::SESSION);
    assert_eq!(reply(&mut world, romeo, ask()), empty(""));
    assert_eq!(reply(&mut world, romeo, ask().with_to(jid("example.net"))), empty(" from='example.net'"));
}

// RFC 6120 §10.3.3 [Q1], §8.4 [ST13]
#[test]
fn whatever_is_unknown() {
    let (mut world, romeo) = world();
    for (kind, name, namespace) in [
        (IqType::Get, "query", "urn:example:unknown"),
        (IqType::Set, "query", "urn:example:unknown"),
        (IqType::Set, "ping", ns::PING),
        (IqType::Get, "session", ns::SESSION),
        (IqType::Set, "bind", ns::BIND),
    ] {
        let ask = || iq(kind, name, namespace);
        assert_eq!(reply(&mut world, romeo, ask()), refused("", "service-unavailable"));
        let to_server = ask().with_to(jid("example.com"));
        assert_eq!(
            reply(&mut world, romeo, to_server),
            refused(" from='example.com'", "service-unavailable")
        );
    }
}

// RFC 6120 §8.2.3 [ST11]
#[test]
fn answers_are_not_answered() {
    let (mut world, romeo) = world();
    for kind in [IqType::Result, IqType::Error] {
        assert!(world.send(romeo, iq(kind, "ping", ns::PING)).is_empty());
        for to in ["example.com", "example.com/x", "romeo@example.net", "juliet@example.com"] {
            assert!(world.send(romeo, iq(kind, "ping", ns::PING).with_to(jid(to))).is_empty());
        }
    }
}
