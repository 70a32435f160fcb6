//! Any bytes into the receiving end of a stream: whole or in pieces the same, and nobody is who they are
//! not.
#![no_main]

use std::sync::{Arc, OnceLock};

use balcony_fuzz::{Cuts, Dice, Driver, Outcome, Seen};
use balcony_machine::{Instant, Secret, Seed};
use balcony_stream::server::ServerStreamConfig;
use balcony_stream::{Framing, ServerStream, TlsPolicy};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let whole = run(data, Cuts::Whole);
    assert_eq!(whole, run(data, Cuts::of(data)), "pieces");
});

fn run(data: &[u8], cuts: Cuts) -> Outcome {
    let mut dice = Dice::new(data, 2);
    // Mostly the one in which everything can happen.
    let policy = dice.roll(8).min(2);
    let config = &configs()[if data.starts_with(b"<open") { 3 } else { policy }];
    let stream = ServerStream::new(Arc::clone(config), Seed::from_u64(1), Instant::ZERO);
    let patience = [None, None, Some(1)][dice.roll(3)];
    let silence = dice.roll(2) == 0;

    let mut driver = Driver::new(stream, patience);
    for piece in cuts.pieces(data) {
        let before = driver.outcome().seen.len();
        driver.feed(piece);
        for seen in &driver.outcome().seen[before..] {
            let Seen::Stanza(stanza) = seen else { continue };
            let jid = driver.stream().jid().expect("stanzas come after binding");
            let stamped = [jid.as_str(), jid.bare_str()].map(|from| format!(" from='{}'", escaped(from)));
            assert!(stamped.iter().any(|from| stanza.contains(from)), "{stanza} of {jid}");
        }
    }
    driver.finish(silence)
}

fn escaped(text: &str) -> String {
    let mut out = Vec::new();
    balcony_xml::escape_attr(text, &mut out);
    String::from_utf8(out).expect("UTF-8")
}

fn configs() -> &'static [Arc<ServerStreamConfig>; 4] {
    static CONFIGS: OnceLock<[Arc<ServerStreamConfig>; 4]> = OnceLock::new();
    CONFIGS.get_or_init(|| {
        [
            (TlsPolicy::None, Framing::Document),
            (TlsPolicy::Required, Framing::Document),
            (TlsPolicy::Optional, Framing::Document),
            (TlsPolicy::Direct, Framing::Messages),
        ]
        .map(|(tls, framing)| {
            let domains = vec!["example.com".parse().expect("an address")];
            let mut config = ServerStreamConfig::new(domains, Secret::new([9; 32]));
            (config.tls, config.framing) = (tls, framing);
            config.registration = true;
            config.management = true;
            config.upgrades = balcony_sasl::Hash::all().to_vec();
            config.tokens = balcony_sasl::Mechanism::for_tokens().to_vec();
            // What a router makes of it is not the stream's business.
            config.features = vec![("csi".into(), "urn:xmpp:csi:0".into())];
            config.elements =
                ["active", "inactive"].map(|name| (name.into(), "urn:xmpp:csi:0".into())).into();
            config.bind_inline = vec!["urn:xmpp:csi:0".into()];
            // Low enough to be reached.
            config.limits.before_auth.bytes = 2_000;
            Arc::new(config)
        })
    })
}
