//! Two sessions in memory.
#![allow(clippy::unwrap_used, reason = "these are tests")]

mod common;

use balcony_tls::{ALPN_CLIENT, Error, Refusal, Session, Status, TlsTrust};
use common::{CLIENT, DOMAIN, IDENTITY, Pair, SERVER, Side, trusting, whole};
use proptest::prelude::*;

/// The alert of a record that is not encrypted, level and description: `[2, 40]` is a fatal handshake_failure.
fn alert(wire: &[u8]) -> &[u8] {
    // The last record: type 21, version, length 2.
    assert!(wire.len() >= 7 && wire[wire.len() - 7] == 21, "no alert: {wire:?}");
    &wire[wire.len() - 2..]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    // habits.md, invariant 1: byte by byte, in random chunks, or whole
    #[test]
    fn chunks_make_no_difference(
        sizes in prop::collection::vec(prop_oneof![Just(1_usize), 1..40_usize, 1..5_000_usize], 1..32),
        up in prop::collection::vec(any::<u8>(), 0..20_000),
        down in prop::collection::vec(any::<u8>(), 0..20_000),
    ) {
        let mut sizes = sizes.into_iter().cycle();
        let mut chunks = || sizes.next().unwrap_or(1);
        let mut pair = Pair::new(&CLIENT, &SERVER, DOMAIN);
        prop_assert_eq!(pair.settle(&mut chunks), Ok((Status::Established, Status::Established)));
        pair.client.write(&up);
        pair.server.write(&down);
        pair.client.session.close(&mut pair.client.out);
        pair.server.session.close(&mut pair.server.out);
        prop_assert_eq!(pair.settle(&mut chunks), Ok((Status::PeerClosed, Status::PeerClosed)));
        prop_assert!(pair.server.plain == up);
        prop_assert!(pair.client.plain == down);
    }

    // habits.md, invariant 3: any bytes at all; memory below its bound
    #[test]
    fn any_bytes_are_survived(
        bytes in prop::collection::vec(any::<u8>(), 1..2_000),
        after_handshake in any::<bool>(),
    ) {
        let mut pair = Pair::new(&CLIENT, &SERVER, DOMAIN);
        if after_handshake {
            pair.settle(&mut whole).unwrap();
        }
        let first = pair.server.read(&bytes, &mut whole);
        prop_assert!(pair.server.plain.is_empty());
        if let Err(error) = first {
            prop_assert!(!pair.server.out.is_empty());
            prop_assert_eq!(pair.server.read(b"more", &mut whole), Err(error));
        }
    }

    // RFC 6120 §13.9: the stream is protected against change
    #[test]
    fn a_flipped_bit_is_noticed(position in any::<prop::sample::Index>(), bit in 0..8_u8) {
        const SENT: &[u8] = b"<message to='romeo@example.net'><body>Art thou not Romeo?</body></message>";
        let mut pair = Pair::established();
        pair.client.write(SENT);
        let mut wire = pair.client.take();
        let position = position.index(wire.len());
        wire[position] ^= 1 << bit;
        let result = pair.server.read(&wire, &mut whole);
        // What is delivered is what was sent: TLS 1.3 can do without the header of a record (RFC 8446 §5.2).
        prop_assert!(pair.server.plain.is_empty() || pair.server.plain == SENT);
        if position >= 5 {
            prop_assert!(result.is_err() && pair.server.plain.is_empty());
        }
    }
}

// rfc6120.md [SC14] RFC 9266 §4
#[test]
fn both_sides_export_the_same_binding_and_each_session_its_own() {
    let (one, other) = (Pair::established(), Pair::established());
    let binding = |side: &Side| side.session.established().unwrap().exporter.unwrap();
    assert_eq!(binding(&one.client), binding(&one.server));
    assert_ne!(binding(&one.client), binding(&other.client));
}

// rfc6120.md [U6] RFC 7590 §3.6
#[test]
fn established_says_what_was_agreed_on() {
    let pair = Pair::established();
    let client = pair.client.session.established().unwrap();
    assert_eq!(client.protocol, "TLSv1.3");
    assert!(client.cipher_suite.starts_with("TLS_"), "{}", client.cipher_suite);
    assert_eq!(client.peer_certificates.len(), 1);
    assert_eq!(client.server_name, None);

    let server = pair.server.session.established().unwrap();
    assert_eq!((server.protocol, &server.cipher_suite), (client.protocol, &client.cipher_suite));
    assert!(server.peer_certificates.is_empty());
    // XEP-0368 1.1 §3 [DT4]: SNI is the domain
    assert_eq!(server.server_name.as_deref(), Some(DOMAIN));
    assert!(!format!("{server:?}").contains("exporter"));
}

// XEP-0368 1.1 §3 [DT5]
#[test]
fn alpn_is_agreed_on_if_the_client_offers_it() {
    for (config, agreed) in [(CLIENT.clone(), None), (CLIENT.clone().with_alpn(true), Some(ALPN_CLIENT))] {
        let mut pair = Pair::new(&config, &SERVER, DOMAIN);
        pair.settle(&mut whole).unwrap();
        for side in [&pair.client, &pair.server] {
            assert_eq!(side.session.established().unwrap().alpn.as_deref(), agreed);
        }
    }
}

#[test]
fn a_megabyte_goes_both_ways() {
    let data: Vec<u8> = (0..1_u32 << 20).map(|i| (i % 251) as u8).collect();
    let mut pair = Pair::established();
    pair.client.write(&data);
    pair.server.write(&data);
    pair.settle(&mut whole).unwrap();
    assert!(pair.client.plain == data && pair.server.plain == data);
}

#[test]
fn writing_is_refused_before_the_handshake_is_over_and_after_close() {
    let mut out = Vec::new();
    let mut session = Session::client(&CLIENT, DOMAIN).unwrap();
    assert!(matches!(session.write(b"early", &mut out), Err(Error::Misuse(_))));
    assert!(out.is_empty(), "nothing has left");

    let mut pair = Pair::established();
    pair.client.session.close(&mut out);
    assert!(matches!(pair.client.session.write(b"late", &mut out), Err(Error::Misuse(_))));
    // The misuse has not hurt the session.
    pair.server.write(b"</stream:stream>");
    pair.settle(&mut whole).unwrap();
    assert_eq!(pair.client.plain, b"</stream:stream>");
}

// rfc6120.md [W6] RFC 6120 §4.4
#[test]
fn close_is_announced_once_and_the_other_way_stays_open() {
    let mut pair = Pair::established();
    pair.client.session.close(&mut pair.client.out);
    let goodbye = pair.client.out.len();
    assert!(goodbye > 0);
    pair.client.session.close(&mut pair.client.out);
    assert_eq!(pair.client.out.len(), goodbye);

    assert_eq!(pair.settle(&mut whole).unwrap().1, Status::PeerClosed);
    pair.server.write(b"last words");
    pair.settle(&mut whole).unwrap();
    assert_eq!(pair.client.plain, b"last words");
    assert_eq!(pair.server.session.eof(), Ok(Status::PeerClosed));
    // What comes after the goodbye is not looked at.
    assert_eq!(pair.server.read(b"garbage", &mut whole), Ok(Status::PeerClosed));
}

// rfc6120.md [W6]: an end without close_notify may be somebody else's doing
#[test]
fn truncation_is_reported() {
    let mut pair = Pair::established();
    pair.client.write(b"<message>");
    let wire = pair.client.take();
    pair.server.read(&wire, &mut whole).unwrap();
    assert_eq!(pair.server.session.eof(), Err(Error::Truncated));
    assert_eq!(pair.server.read(b"", &mut whole), Err(Error::Truncated), "sticky");

    let mut session = Session::server(&SERVER).unwrap();
    assert_eq!(session.eof(), Err(Error::Truncated), "before the handshake, too");
}

// rfc6120.md [N11] RFC 6120 §5.4.3.2
#[test]
fn plaintext_where_tls_should_begin_is_an_error_with_an_alert() {
    let mut server = Side::new(Session::server(&SERVER).unwrap());
    let result = server.read(b"<?xml version='1.0'?><stream:stream to='example.org'>", &mut whole);
    assert_eq!(result, Err(Error::NotTls));
    assert_eq!(alert(&server.out)[0], 2, "fatal");
    assert_eq!(server.session.write(b"x", &mut Vec::new()), Err(Error::NotTls), "sticky");
    let before = server.out.len();
    server.session.close(&mut server.out);
    assert_eq!(server.out.len(), before, "nothing follows a fatal alert");
}

// habits.md, invariant 3: memory below its bound
#[test]
fn an_endless_handshake_message_is_cut_off() {
    // A record full of a ClientHello that says it has 16 MB.
    let mut record = [0; 5 + 16_384];
    record[..9].copy_from_slice(&[22, 3, 1, 0x40, 0, 1, 0xff, 0xff, 0xff]);
    let mut server = Side::new(Session::server(&SERVER).unwrap());
    assert!(matches!(server.read(&record, &mut whole), Err(Error::Protocol(_))), "refused by its length");
}

// rfc6120.md [C8] RFC 6120 §13.7.2.1
#[test]
fn a_certificate_for_another_name_is_refused() {
    let mut pair = Pair::new(&CLIENT, &SERVER, "example.net");
    let error = pair.settle(&mut whole).unwrap_err();
    let Error::Certificate { domain, refusal: Refusal::WrongName(found) } = &error else { panic!("{error}") };
    assert_eq!((domain.as_str(), found.len()), ("example.net", 2));
    assert!(error.to_string().contains("not for example.net but only for"), "{error}");
    // The server hears of it.
    let goodbye = pair.client.take();
    assert!(matches!(pair.server.read(&goodbye, &mut whole), Err(Error::Alert(_))));
}

// rfc6120.md [T4] RFC 6120 §13.7.2
#[test]
fn an_unknown_authority_is_refused_with_advice() {
    let (stranger, _) = balcony_tls::self_signed(&[DOMAIN]).unwrap();
    let mut pair = Pair::new(&trusting(&stranger), &SERVER, DOMAIN);
    let error = pair.settle(&mut whole).unwrap_err();
    assert_eq!(error, Error::Certificate { domain: DOMAIN.into(), refusal: Refusal::Untrusted });
    assert!(error.to_string().contains("add it"), "{error}");
    let goodbye = pair.client.take();
    let Err(Error::Alert(reason)) = pair.server.read(&goodbye, &mut whole) else { panic!() };
    assert!(reason.contains("UnknownCA") || reason.contains("DecryptError"), "{reason}");
}

#[test]
fn accepting_any_certificate_accepts_any() {
    let config = TlsTrust::builder().dangerous_accept_any().build().unwrap();
    let mut pair = Pair::new(&config, &SERVER, "example.net");
    assert_eq!(pair.settle(&mut whole), Ok((Status::Established, Status::Established)));
}

// rfc6120.md [C8]: the domain, whatever it looks like
#[test]
fn internationalised_names_and_addresses_are_reference_identities() {
    let domains = ["bücher.example", "127.0.0.1", "[::1]"];
    let (certificate, key) = balcony_tls::self_signed(&["bücher.example", "127.0.0.1", "::1"]).unwrap();
    let server = balcony_tls::TlsIdentity::from_pem(certificate.as_bytes(), key.expose().as_bytes()).unwrap();
    for domain in domains {
        assert!(server.covers(domain), "{domain}");
        let mut pair = Pair::new(&trusting(&certificate), &server, domain);
        pair.settle(&mut whole).unwrap();
    }
    assert!(!server.covers(DOMAIN));
    assert!(matches!(Session::client(&CLIENT, "no such name").unwrap_err(), Error::Domain(_)));
}

#[test]
fn the_identity_is_for_localhost_too() {
    let mut pair = Pair::new(&trusting(&IDENTITY.0), &SERVER, "localhost");
    pair.settle(&mut whole).unwrap();
}
