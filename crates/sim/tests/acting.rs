//! A client that acts on an answer as soon as it has it.
#![allow(clippy::unwrap_used)]

use balcony_client::RequestKind;
use balcony_roster::Subscription;
use balcony_sim::{Accounts, Chunks, Peer, World};
use balcony_stanza::{Kind, PresenceType, Stanza};

const JULIET: &str = "juliet@example.com";
const ROMEO: &str = "romeo@example.com";

fn says(world: &mut World, peer: Peer, kind: PresenceType, to: &str) {
    world.send(peer, &Stanza::presence(kind).with_to(to.parse().unwrap()));
    world.run();
}

/// The subscriptions that a client has heard of.
fn heard(world: &mut World, peer: Peer) -> Vec<PresenceType> {
    let kind = |stanza: Stanza| match stanza.head.kind {
        Kind::Presence(kind) if kind.is_subscription() => Some(kind),
        _ => None,
    };
    world.take_stanzas(peer).into_iter().filter_map(kind).collect()
}

// RFC 6121 §2.5.2, §3.1.2: a contact is removed and, with the result, asked again. The new request does not meet the end of the old
// subscription, or what the contact's server says to that, on its way.
#[test]
fn a_removal_and_a_request_on_its_result() {
    for seed in 0..40_u64 {
        let accounts = Accounts::new().with(JULIET, "pencil").with(ROMEO, "pencil");
        let mut world = World::new(accounts, Chunks::Whole, seed, |_| {}).in_parts((seed % 4) as u16);
        let juliet = world.online("juliet@example.com/balcony", "pencil", 0);
        let romeo = world.online("romeo@example.com/garden", "pencil", 0);
        for (from, kind, to) in [
            (romeo, PresenceType::Subscribe, JULIET),
            (juliet, PresenceType::Subscribed, ROMEO),
            (juliet, PresenceType::Subscribe, ROMEO),
            (romeo, PresenceType::Subscribed, JULIET),
        ] {
            says(&mut world, from, kind, to);
        }
        for peer in [juliet, romeo] {
            world.request(peer, RequestKind::Get, None, "<query xmlns='jabber:iq:roster'/>");
            world.run();
            world.take_outcomes(peer);
            heard(&mut world, peer);
        }
        world.slow_store = true;
        let item =
            format!("<query xmlns='jabber:iq:roster'><item jid='{JULIET}' subscription='remove'/></query>");
        world.request(romeo, RequestKind::Set, None, &item);
        let mut answers = Vec::new();
        for _ in 0..10_000 {
            world.run_some(1);
            answers = world.take_outcomes(romeo);
            if !answers.is_empty() {
                break;
            }
        }
        assert_eq!(answers.len(), 1);
        // The answer waits for her: her roster in the store says so by then.
        let kept = world.accounts.kept.kept(&JULIET.parse().unwrap()).unwrap();
        let mut items = kept.roster.iter().flat_map(|roster| &roster.items);
        let item = items.find(|item| item.jid.as_str() == ROMEO).unwrap();
        assert_eq!(item.subscription, Subscription::None, "{seed}");
        says(&mut world, romeo, PresenceType::Subscribe, JULIET);
        use PresenceType::{Subscribe, Subscribed, Unsubscribe, Unsubscribed};
        assert_eq!(heard(&mut world, juliet), [Unsubscribe, Unsubscribed, Subscribe], "{seed}");
        assert_eq!(heard(&mut world, romeo), [], "{seed}");
        says(&mut world, juliet, Subscribed, ROMEO);
        assert_eq!(heard(&mut world, romeo), [Subscribed], "{seed}");
    }
}
