//! Any bytes into either end of a component's stream: whole or in pieces the same, and nobody is who they are not.
//!
//! A header with an id is a server's, so the end that takes it is a component.
#![no_main]

use std::sync::Arc;

use balcony_fuzz::{Cuts, Dice, Driver, Outcome, Seen};
use balcony_jid::Jid;
use balcony_machine::{Instant, Secret, Seed, XmlLimits};
use balcony_stream::ComponentStream;
use balcony_stream::component::{ComponentInitiatingConfig, ComponentReceivingConfig};
use balcony_xml::Element;
use libfuzzer_sys::fuzz_target;

const SECRET: &str = "s3cr3t0fth3c0mp0n3nt";

fuzz_target!(|data: &[u8]| {
    let initiating =
        data.split(|byte| *byte == b'>').any(|tag| tag.windows(4).any(|window| window == b" id="));
    let whole = run(data, initiating, Cuts::Whole);
    assert_eq!(whole, run(data, initiating, Cuts::of(data)), "pieces");
    let has = |bytes: &[u8]| bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes());
    assert!(has(data) || !has(&whole.output), "the secret went out");

    let mut attached = None;
    for seen in &whole.seen {
        match seen {
            Seen::Event(event) if event.starts_with("Attached") => attached = Some(event),
            Seen::Event(_) => {}
            Seen::Stanza(stanza) => {
                let attached = attached.expect("stanzas come after the handshake");
                let element = Element::parse_payload(stanza.as_bytes(), "jabber:client", XmlLimits::STANZA);
                let element = element.expect("a stanza");
                let stanza = element.root().children().next().expect("one stanza");
                let from = Jid::parse(stanza.attr("from").expect("a from")).expect("an address");
                assert!(initiating || attached.contains(from.domainpart()), "{attached} is not {from}");
            }
        }
    }
});

fn run(data: &[u8], initiating: bool, cuts: Cuts) -> Outcome {
    let mut dice = Dice::new(data, 2);
    let direct = dice.roll(4) == 0;
    let address = |text: &str| text.parse().expect("an address");
    let secret = || Secret::new(String::from(SECRET));
    let stream = if initiating {
        let mut config = ComponentInitiatingConfig::new(address("chat.example.com"), secret());
        (config.direct_tls, config.limits.before_auth.bytes) = (direct, 2_000);
        ComponentStream::initiating(Arc::new(config), Seed::from_u64(1), Instant::ZERO)
    } else {
        let components = ["chat.example.com", "taken.example.com"].map(|name| (address(name), secret()));
        let mut config = ComponentReceivingConfig::new(address("example.com"), components.into());
        (config.direct_tls, config.limits.before_auth.bytes) = (direct, 2_000);
        ComponentStream::receiving(Arc::new(config), Seed::from_u64(1), Instant::ZERO)
    };
    let patience = [None, None, Some(1)][dice.roll(3)];
    let silence = dice.roll(2) == 0;
    let mut driver = Driver::new(stream, patience);
    if initiating {
        // A server that says nothing does no harm.
        driver = driver.keeping();
    }
    for piece in cuts.pieces(data) {
        driver.feed(piece);
    }
    driver.finish(silence)
}
