//! Nobody can tell who exists and who is there, but those who may (RFC 6120 section 13.10.2, RFC 6121 section 11).

use balcony_router::{Answer, Effect};
use balcony_stanza::{IqType, Kind, MessageType, PresenceType, Stanza};

use crate::world::{PRESENCE, World, config, iq, jid, tickets, wire};

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
    let mut effects = world.send(romeo, stanza.clone().to(jid(to)));
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
        ] {
            let stanza = iq(kind, name, namespace);
            assert_eq!(seen(NOBODY, &stanza).len(), 1);
            same(&[NOBODY, OFFLINE, HIDDEN, NO_MATCH], &stanza);
            same(&["nobody@example.com", "tybalt@example.com", "juliet@example.com"], &stanza);
        }
    }
}

// RFC 6121 §8.5.1 [P0], §11 [SC1, SC2], §4.3.2 [PR9, PR33]
#[test]
fn presence() {
    for kind in PRESENCE {
        let stanza = Stanza::presence(kind).id("p");
        same(&[NOBODY, OFFLINE, HIDDEN, NO_MATCH], &stanza);
        same(&["nobody@example.com", "tybalt@example.com", "juliet@example.com"], &stanza);
    }
    assert!(seen(HIDDEN, &Stanza::presence(PresenceType::Probe).id("p")).is_empty());
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
        let stanza = Stanza::new(Kind::Message(kind)).id("m");
        same(&[NOBODY, OFFLINE], &stanza);
        same(&["nobody@example.com", "tybalt@example.com"], &stanza);
    }
}
