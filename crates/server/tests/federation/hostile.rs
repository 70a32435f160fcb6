//! Anything that another server may say: no panic, nothing held for ever, nobody's domain but the proven one.

use core::time::Duration;

use proptest::prelude::*;

use crate::world::{Trust, World, config};

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
