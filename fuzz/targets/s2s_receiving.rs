//! Any bytes into the receiving end of a stream between servers: whole or in pieces the same, and stanzas only between domains
//! that were authorised.
#![no_main]

use std::sync::{Arc, OnceLock};

use balcony_fuzz::{Cuts, Dice, Driver, Outcome, PROVEN, Seen};
use balcony_jid::{BareJid, Jid};
use balcony_machine::{Instant, Secret, Seed, XmlLimits};
use balcony_stream::s2s::{Proof, S2sEvent, S2sReceivingConfig};
use balcony_stream::{S2sStream, TlsPolicy};
use balcony_xml::Element;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let whole = run(data, Cuts::Whole);
    check(&whole);
    assert_eq!(whole, run(data, Cuts::of(data)), "pieces");
});

fn run(data: &[u8], cuts: Cuts) -> Outcome {
    let mut dice = Dice::new(data, 2);
    let config = &configs()[dice.roll(8).min(2)];
    let stream = S2sStream::receiving(Arc::clone(config), Seed::from_u64(1), Instant::ZERO);
    let patience = [None, None, Some(1)][dice.roll(3)];
    let silence = dice.roll(2) == 0;
    let mut driver = Driver::new(stream, patience);
    for piece in cuts.pieces(data) {
        driver.feed(piece);
    }
    driver.finish(silence)
}

/// Whatever was said before TLS is forgotten; a certificate speaks for its domain, and a key for the one that knows it.
fn check(outcome: &Outcome) {
    let mut start = 0;
    for (index, seen) in outcome.seen.iter().enumerate() {
        let before = &outcome.seen[start..index];
        match seen {
            Seen::Event(event) if event == "StartTls" => start = index,
            Seen::Event(event) if event.starts_with("Authorized") => {
                let proven = event.contains("Dialback") && has(before, "key: \"good");
                let certified = event.contains("Certificate") && event.contains(PROVEN);
                assert!(proven || certified, "{event}");
            }
            Seen::Stanza(stanza) => {
                let element = Element::parse_payload(stanza.as_bytes(), "jabber:client", XmlLimits::STANZA);
                let element = element.expect("a stanza");
                let stanza = element.root().children().next().expect("one stanza");
                let domain = |name| -> Option<BareJid> {
                    BareJid::parse(Jid::parse(stanza.attr(name)?).ok()?.domainpart()).ok()
                };
                let (from, to) = (domain("from").expect("a from"), domain("to").expect("a to"));
                let is_authorised = [Proof::Certificate, Proof::Dialback].into_iter().any(|proof| {
                    let event = S2sEvent::Authorized { from: from.clone(), to: to.clone(), proof };
                    has(before, &format!("{event:?}"))
                });
                assert!(is_authorised, "from {from} to {to}");
            }
            Seen::Event(_) => {}
        }
    }
}

fn has(seen: &[Seen], text: &str) -> bool {
    seen.iter().any(|seen| matches!(seen, Seen::Event(event) if event.contains(text)))
}

fn configs() -> &'static [Arc<S2sReceivingConfig>; 3] {
    static CONFIGS: OnceLock<[Arc<S2sReceivingConfig>; 3]> = OnceLock::new();
    CONFIGS.get_or_init(|| {
        [TlsPolicy::Optional, TlsPolicy::Required, TlsPolicy::Direct].map(|tls| {
            let domains = ["example.com", "chat.example.com"];
            let mut config =
                S2sReceivingConfig::new(domains.map(|domain| domain.parse().expect("an address")).into());
            config.tls = tls;
            config.dialback = Some(Secret::new("s3cr3tf0rd14lb4ck".into()));
            config.limits.before_auth.bytes = 2_000;
            config.limits.domain_pairs = 4;
            Arc::new(config)
        })
    })
}
