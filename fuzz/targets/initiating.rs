//! Any bytes into the initiating end of a stream: whole or in pieces the same, and the password stays here.
#![no_main]

use std::sync::Arc;

use balcony_fuzz::{ACCOUNT, Cuts, Dice, Driver, Outcome, PASSWORD};
use balcony_machine::{Instant, Secret, Seed};
use balcony_stream::client::ClientStreamConfig;
use balcony_stream::{ClientStream, Framing, TlsPolicy};
use libfuzzer_sys::fuzz_target;

/// The password as PLAIN carries it.
const PLAIN: &[u8] = b"AGp1bGlldABwZW5jaWw=";

fuzz_target!(|data: &[u8]| {
    let whole = run(data, Cuts::Whole);
    assert_eq!(whole, run(data, Cuts::of(data)), "pieces");

    // On a WebSocket TLS is below, from the first byte.
    let clear = if data.starts_with(b"<open") { 0 } else { whole.clear.unwrap_or(whole.output.len()) };
    let clear = &whole.output[..clear];
    for secret in [PLAIN, PASSWORD.as_bytes()] {
        let has = |bytes: &[u8]| bytes.windows(secret.len()).any(|window| window == secret);
        // A peer that knows it may hear it again, as an id for example.
        assert!(has(data) || !has(clear), "the password in the clear");
    }
});

fn run(data: &[u8], cuts: Cuts) -> Outcome {
    let mut dice = Dice::new(data, 2);
    let mut config =
        ClientStreamConfig::new(ACCOUNT.parse().expect("an address"), Secret::new(String::from(PASSWORD)));
    config.tls = [TlsPolicy::None, TlsPolicy::Required, TlsPolicy::Optional][dice.roll(8).min(2)];
    if data.starts_with(b"<open") {
        (config.tls, config.framing) = (TlsPolicy::Direct, Framing::Messages);
    }
    config.resource = [None, Some("balcony".into())][dice.roll(2)].clone();
    config.limits.before_auth.bytes = 2_000;
    let stream = ClientStream::new(Arc::new(config), Seed::from_u64(1), Instant::ZERO);
    let patience = [None, None, Some(1)][dice.roll(3)];
    let silence = dice.roll(2) == 0;

    let mut driver = Driver::new(stream, patience);
    for piece in cuts.pieces(data) {
        driver.feed(piece);
    }
    driver.finish(silence)
}
