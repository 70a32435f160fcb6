//! Who may talk to whom, and how much.

use core::time::Duration;
use std::collections::BTreeSet;

use balcony_stanza::ErrorCondition::{NotAllowed, RemoteServerTimeout};
use balcony_stanza::{PresenceType, Stanza};

use crate::world::{Trust, World, config, jid};

// Domains that are denied, or not among the allowed ones: neither way
#[test]
fn some_domains_are_not_talked_to() {
    for trust in [Trust::Certificates, Trust::Dialback] {
        for is_denied in [true, false] {
            let mut ours = config(&["a.example"], trust);
            if is_denied {
                ours.deny = BTreeSet::from([jid("b.example")]);
            } else {
                ours.allow = Some(BTreeSet::from([jid("c.example")]));
            }
            let mut world =
                World::new(1, vec![ours, config(&["b.example"], trust), config(&["c.example"], trust)]);
            world.send(0, "romeo@a.example/x", "juliet@b.example", "1");
            world.send(1, "juliet@b.example/y", "romeo@a.example", "2");
            world.send(2, "nurse@c.example/y", "romeo@a.example", "3");
            world.send(0, "romeo@a.example/x", "nurse@c.example", "4");
            world.pass(Duration::from_secs(70));
            assert_eq!(world.returned(0), [("1", NotAllowed)]);
            assert_eq!(
                (world.ids(0), world.ids(1), world.ids(2)),
                (vec!["3"], vec![], vec!["4"]),
                "{trust:?}"
            );
            assert!(world.has_logged(0, "b.example is not allowed to send to this server"));
        }
    }
}

// A domain that is denied while it is connected is cut off.
#[test]
fn a_domain_can_be_denied_later() {
    let ours = config(&["a.example"], Trust::Certificates);
    let mut world = World::new(1, vec![ours.clone(), config(&["b.example"], Trust::Certificates)]);
    world.send(0, "romeo@a.example/x", "juliet@b.example", "1");
    world.send(1, "juliet@b.example/y", "romeo@a.example", "2");
    world.settle();
    let mut changed = ours;
    changed.deny.insert(jid("b.example"));
    world.servers[0].federation.configure(changed);
    world.settle();
    assert_eq!(world.connections(), 0);
    world.send(0, "romeo@a.example/x", "juliet@b.example", "3");
    world.settle();
    assert_eq!((world.ids(0), world.ids(1)), (vec!["2"], vec!["1"]));
    assert_eq!(world.returned(0), [("3", NotAllowed)]);
}

// So many subscription requests of a domain in a minute
#[test]
fn subscription_requests_of_a_domain_are_bounded() {
    let mut ours = config(&["a.example"], Trust::Certificates);
    ours.limits.subscriptions_per_minute = 5;
    let mut world = World::new(1, vec![ours, config(&["b.example"], Trust::Certificates)]);
    let ask = |n: usize| {
        let ask = Stanza::presence(PresenceType::Subscribe).with_id(n.to_string());
        ask.with_from(format!("u{n}@b.example").parse().unwrap()).with_to("romeo@a.example".parse().unwrap())
    };
    for n in 0..20 {
        world.send_stanza(1, ask(n));
    }
    world.settle();
    assert_eq!(world.servers[0].delivered.len(), 5);
    assert!(world.has_logged(0, "b.example asks for too many subscriptions"));
    world.pass(Duration::from_secs(61));
    world.send_stanza(1, ask(21));
    world.settle();
    assert_eq!(world.servers[0].delivered.len(), 6);
}

// So many bytes of a domain in a second, and no stanza is lost
#[test]
fn a_domain_that_sends_too_fast_waits() {
    let mut ours = config(&["a.example"], Trust::Certificates);
    ours.limits.bytes_per_second = Some(10_000);
    let mut world = World::new(1, vec![ours, config(&["b.example"], Trust::Certificates)]);
    world.piece = 4_000;
    for n in 0..300 {
        world.send(1, "juliet@b.example/y", "romeo@a.example", &n.to_string());
    }
    world.settle();
    let first = world.ids(0).len();
    assert!((30..150).contains(&first), "{first}");
    world.pass(Duration::from_secs(3));
    let second = world.ids(0).len();
    assert!(second > first && second < 300, "{first} {second}");
    world.pass(Duration::from_secs(30));
    let expected: Vec<String> = (0..300).map(|n| n.to_string()).collect();
    assert_eq!(world.ids(0), expected);
    assert_eq!(world.servers[1].returned, []);
}

// A domain has so many streams to us.
#[test]
fn streams_of_a_domain_are_bounded() {
    let mut ours = config(&["a.example"], Trust::Plain);
    ours.limits.streams_per_domain = 2;
    let mut world = World::new(1, vec![ours, config(&["b.example"], Trust::Plain)]);
    for n in 0..4 {
        world.send(1, "juliet@b.example/y", "romeo@a.example", &n.to_string());
        world.settle();
        // The other server forgets its stream, and ours does not notice.
        let fresh = World::new(n + 10, vec![config(&["b.example"], Trust::Plain)]).servers.remove(0);
        let old = core::mem::replace(&mut world.servers[1].federation, fresh.federation);
        drop(old);
    }
    assert!(world.ids(0).len() >= 2, "{:?}", world.ids(0));
    assert!(world.servers[0].federation.streams() <= 4, "{}", world.servers[0].federation.streams());
}

// When the server shuts down, what can still be sent is, and the rest comes back.
#[test]
fn shutting_down_returns_what_waits() {
    let mut world = World::new(
        1,
        vec![config(&["a.example"], Trust::Certificates), config(&["b.example"], Trust::Certificates)],
    );
    world.send(0, "romeo@a.example/x", "juliet@b.example", "1");
    world.settle();
    world.send(0, "romeo@a.example/x", "juliet@c.example", "2");
    for n in 10..300 {
        world.send(0, "romeo@a.example/x", "juliet@b.example", &n.to_string());
    }
    world.servers[0].federation.shutdown(world.now);
    // What comes of it later, since the store had to be asked.
    world.pass(Duration::from_secs(1));
    world.send(0, "romeo@a.example/x", "juliet@b.example", "3");
    world.servers[0].federation.close(world.now);
    world.pass(Duration::from_secs(30));
    world.send(0, "romeo@a.example/x", "juliet@b.example", "4");
    world.settle();
    assert_eq!(world.returned(0), [("2", RemoteServerTimeout), ("4", RemoteServerTimeout)]);
    // Those who can still be told are.
    assert_eq!(world.ids(1).len(), 292);
    assert_eq!(world.servers[0].federation.streams(), 0);
    assert_eq!(world.servers[0].federation.deadline(), None);
    assert!(world.has_logged(1, "system-shutdown"), "{:?}", world.servers[1].log);
}
