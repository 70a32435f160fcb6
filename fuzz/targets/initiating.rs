//! Any bytes into the initiating end of a stream: whole or in pieces the same, and the password stays here.
#![no_main]

use std::sync::{Arc, OnceLock};

use balcony_fuzz::{ACCOUNT, Cuts, Dice, Driver, Outcome, PASSWORD};
use balcony_machine::{Instant, Progress, Secret, Seed};
use balcony_stanza::{MessageType, Stanza};
use balcony_stream::client::{ClientStreamConfig, Resumption};
use balcony_stream::{ClientStream, Framing, Security, TlsPolicy};
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
    config.active = dice.roll(2) == 0;
    let mut stream = ClientStream::new(Arc::new(config), Seed::from_u64(1), Instant::ZERO);
    if dice.roll(2) == 0 {
        stream.resume(session().clone()).expect("a session of this account");
    }
    let patience = [None, None, Some(1)][dice.roll(3)];
    let silence = dice.roll(2) == 0;

    let mut driver = Driver::new(stream, patience);
    for piece in cuts.pieces(data) {
        driver.feed(piece);
    }
    driver.finish(silence)
}

/// A session of an earlier stream, in which one message was sent.
fn session() -> &'static Resumption {
    const LOGIN: &[u8] = b"<stream:stream from='example.com' id='s' version='1.0' xmlns='jabber:client' \
        xmlns:stream='http://etherx.jabber.org/streams'><stream:features>\
        <mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism></mechanisms></stream:features>\
        <success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/><stream:stream from='example.com' id='t' version='1.0' \
        xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'><stream:features>\
        <bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/><sm xmlns='urn:xmpp:sm:3'/><csi xmlns='urn:xmpp:csi:0'/></stream:features>\
        <iq type='result' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>juliet@example.com/r</jid></bind></iq>\
        <enabled xmlns='urn:xmpp:sm:3' id='s' resume='true'/>";
    static SESSION: OnceLock<Resumption> = OnceLock::new();
    SESSION.get_or_init(|| {
        let mut config = ClientStreamConfig::new(
            ACCOUNT.parse().expect("an address"),
            Secret::new(String::from(PASSWORD)),
        );
        config.tls = TlsPolicy::Direct;
        let mut stream = ClientStream::new(Arc::new(config), Seed::from_u64(2), Instant::ZERO);
        stream.secured(Security::default()).expect("a handshake that is due");
        let (mut input, mut out) = (LOGIN, Vec::new());
        while let Progress::Event(_) = stream.advance(Instant::ZERO, &mut input, &mut out).expect("a login") {
        }
        stream.send(&Stanza::message(MessageType::Chat), &mut out).expect("an open stream");
        stream.resumption().expect("a session")
    })
}
