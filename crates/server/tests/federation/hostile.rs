//! Anything that another server may say: no panic, nothing held for ever, nobody's domain but the proven one.

use core::time::Duration;

use balcony_connection::srv::{Record, Signed};
use balcony_machine::{Instant, Seed};
use balcony_server::federation::{Federation, FederationEvent};
use proptest::prelude::*;

use crate::world::{Trust, World, config, jid, message};

/// What a stranger may write, in pieces that make some sense.
fn words() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(
            "<stream:stream from='b.example' to='a.example' version='1.0' xmlns='jabber:server' \
             xmlns:db='jabber:server:dialback' xmlns:stream='http://etherx.jabber.org/streams'>"
                .to_owned()
        ),
        Just("<stream:stream to='a.example' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>".to_owned()),
        "[abc]\\.example".prop_map(|from| format!("<db:result from='{from}' to='a.example'>00ff</db:result>")),
        "[abc]\\.example".prop_map(|from| format!("<db:verify from='{from}' to='a.example' id='x'>00ff</db:verify>")),
        "(valid|invalid|error)"
            .prop_map(|kind| format!("<db:result from='b.example' to='a.example' type='{kind}'/>")),
        "(valid|invalid|error)"
            .prop_map(|kind| format!("<db:verify from='b.example' to='a.example' id='x' type='{kind}'/>")),
        "[abc]\\.example".prop_map(|from| format!("<message from='x@{from}' to='romeo@a.example'/>")),
        Just("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>".to_owned()),
        Just("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>".to_owned()),
        Just("</stream:stream>".to_owned()),
        "[ -~]{0,40}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    // Whatever strangers say on streams of their own, between servers that talk to each other: those go on, nobody is believed, and in
    // time nothing is left of it.
    #[test]
    fn strangers_achieve_nothing(
        seed in 0..1_000_u64,
        said in proptest::collection::vec((0..3_usize, words(), 0..70_u64), 0..40),
    ) {
        let mut world =
            World::new(seed, vec![config(&["a.example"], Trust::Plain), config(&["b.example"], Trust::Plain)]);
        let streams: Vec<_> = (0..3).map(|_| world.accept(0)).collect();
        for (stream, words, seconds) in said {
            // What they send while the stream is not read from would wait at their end.
            if world.servers[0].federation.knows(streams[stream]) {
                world.exchange(0, streams[stream], &words);
            }
            world.pass(Duration::from_secs(seconds));
        }
        prop_assert_eq!(world.ids(0), Vec::<&str>::new());
        world.send(1, "juliet@b.example/y", "romeo@a.example", "true");
        world.pass(Duration::from_secs(1_400));
        world.send(0, "romeo@a.example/x", "juliet@b.example", "back");
        world.settle();
        prop_assert_eq!((world.ids(0), world.ids(1)), (vec!["true"], vec!["back"]));
        prop_assert!(world.servers[0].federation.streams() <= 4, "{}", world.servers[0].federation.streams());
    }
}

// XEP-0185 §3: a key has 64 characters; one that is far longer is no key, and is not kept.
#[test]
fn keys_are_not_of_any_length() {
    for (length, is_taken) in [(1_024, true), (1_025, false)] {
        let mut world =
            World::new(1, vec![config(&["a.example"], Trust::Plain), config(&["b.example"], Trust::Plain)]);
        let stream = world.accept(0);
        let key = "0".repeat(length);
        let said = world.exchange(
            0,
            stream,
            &format!(
                "<stream:stream from='b.example' to='a.example' version='1.0' xmlns='jabber:server' \
                 xmlns:db='jabber:server:dialback' xmlns:stream='http://etherx.jabber.org/streams'>\
                 <db:result from='b.example' to='a.example'>{key}</db:result>"
            ),
        );
        assert_eq!(said.contains("policy-violation"), !is_taken, "{length} {said}");
        assert_eq!(said.contains("type='invalid'"), is_taken, "{length} {said}");
    }
}

// A domain's DNS may name any number of places, and other people's machines among them: a few of them are tried.
#[test]
fn a_domain_has_only_so_many_places() {
    let mut federation = Federation::new(config(&["a.example"], Trust::Plain), &Seed::from_u64(1));
    federation.send(Instant::ZERO, message("romeo@a.example", "juliet@b.example", "1"), true);
    let record = |port| Record {
        priority: 0,
        weight: 0,
        port,
        target: "c.example".into(),
        direct_tls: false,
        signed: Signed::No,
    };
    federation.resolved(Instant::ZERO, &jid("b.example"), Ok((1..2_000).map(record).collect()));
    let events = core::iter::from_fn(|| federation.next());
    let places = events.filter_map(|event| match event {
        FederationEvent::Connect(_, targets, _) => Some(targets.len()),
        _ => None,
    });
    assert_eq!(places.collect::<Vec<_>>(), [8]);
}

// Nobody has us connect to our own network by showing a key: addresses, and this machine, are no domains of other servers.
#[test]
fn keys_lead_to_no_addresses() {
    for domain in ["127.0.0.1", "[::1]", "10.0.0.5", "localhost", "x.localhost"] {
        let mut world = World::new(1, vec![config(&["a.example"], Trust::Plain)]);
        let stream = world.accept(0);
        let said = world.exchange(
            0,
            stream,
            &format!(
                "<stream:stream from='{domain}' to='a.example' version='1.0' xmlns='jabber:server' \
                 xmlns:db='jabber:server:dialback' xmlns:stream='http://etherx.jabber.org/streams'>\
                 <db:result from='{domain}' to='a.example'>00ff</db:result>"
            ),
        );
        assert!(said.contains("remote-server-not-found"), "{domain} {said}");
        assert_eq!((world.servers[0].resolved, world.servers[0].connects), (0, 0), "{domain}");
    }
}
