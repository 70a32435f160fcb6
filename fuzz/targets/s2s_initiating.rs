//! Any bytes into the initiating end of a stream between servers: whole or in pieces the same, nothing is received on it, and the
//! secret stays here.
#![no_main]

use std::sync::Arc;

use balcony_fuzz::{Cuts, Dice, Driver, Outcome, Seen};
use balcony_machine::{Instant, Secret, Seed};
use balcony_stream::s2s::{S2sInitiatingConfig, Verification};
use balcony_stream::{S2sStream, TlsPolicy};
use libfuzzer_sys::fuzz_target;

const SECRET: &str = "s3cr3tf0rd14lb4ck";

fuzz_target!(|data: &[u8]| {
    let whole = run(data, Cuts::Whole);
    assert_eq!(whole, run(data, Cuts::of(data)), "pieces");
    assert!(!whole.seen.iter().any(|seen| matches!(seen, Seen::Stanza(_))), "stanzas take another stream");
    let has = |bytes: &[u8]| bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes());
    assert!(has(data) || !has(&whole.output), "the secret went out");
    // Each request has one answer.
    let count = |what: &str| {
        whole.seen.iter().filter(|seen| matches!(seen, Seen::Event(event) if event.starts_with(what))).count()
    };
    assert!(count("KeyVerified") <= 1 && count("Authorized") + count("Refused") <= 2, "{:?}", whole.seen);
});

fn run(data: &[u8], cuts: Cuts) -> Outcome {
    let mut dice = Dice::new(data, 2);
    let address = |text: &str| text.parse().expect("an address");
    let mut config = S2sInitiatingConfig::new(address("example.net"), address("example.com"));
    config.tls = [TlsPolicy::Optional, TlsPolicy::Required, TlsPolicy::Direct][dice.roll(8).min(2)];
    config.authorize = dice.roll(4) > 0;
    config.dialback = [None, Some(Secret::new(String::from(SECRET)))][dice.roll(4).min(1)].clone();
    config.limits.before_auth.bytes = 2_000;
    let (authorize, dialback) = (config.authorize, config.dialback.is_some());
    let mut stream = S2sStream::initiating(Arc::new(config), Seed::from_u64(1), Instant::ZERO);
    if authorize && dialback && dice.roll(2) == 0 {
        stream.authorize(address("chat.example.net"), address("example.com")).expect("room for two");
    }
    if dice.roll(2) == 0 {
        let key = Verification {
            from: address("example.com"),
            to: address("example.net"),
            id: "D60000229F".into(),
            key: "good".into(),
        };
        stream.verify(Instant::ZERO, key).expect("room for one");
    }
    let silence = dice.roll(2) == 0;
    let mut driver = Driver::new(stream, None).keeping();
    for piece in cuts.pieces(data) {
        driver.feed(piece);
    }
    driver.finish(silence)
}
