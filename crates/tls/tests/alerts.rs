//! Whatever a peer does wrong, it hears an alert before the connection ends (RFC 8446 section 6.2, RFC 5246 section 7.2.2). What is encrypted
//! comes from plain rustls, of which the keys are taken, so that records can be made that it would not make.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "these are tests, and the peer is a plain rustls"
)]

mod common;

use std::sync::Arc;

use balcony_tls::{Error, Session};
use common::{DOMAIN, IDENTITY, SERVER, Side, trusting, whole};
use proptest::prelude::*;
use rustls::crypto::cipher::{
    AeadKey, InboundOpaqueMessage, Iv, MessageDecrypter, MessageEncrypter, OutboundChunks,
    OutboundPlainMessage,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::{TLS12, TLS13};
use rustls::{
    Connection, ConnectionTrafficSecrets, ContentType, ProtocolVersion, RootCertStore, SupportedCipherSuite,
    SupportedProtocolVersion,
};

const UNEXPECTED_MESSAGE: u8 = 10;
const BAD_RECORD_MAC: u8 = 20;
const RECORD_OVERFLOW: u8 = 22;
const DECODE_ERROR: u8 = 50;

/// A record as it stands on the wire.
fn record(kind: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
    [&[kind, 3, 3], &length[..], payload].concat()
}

/// A peer that has shaken hands with ours, and can say whatever it wants.
struct Foe {
    /// The handshake message with which the other side is asked for another handshake (TLS 1.2).
    hello: u8,
    writes: Box<dyn MessageEncrypter>,
    written: u64,
    reads: Box<dyn MessageDecrypter>,
    read: u64,
}

impl Foe {
    fn of(their: Connection) -> Foe {
        let hello = if matches!(their, Connection::Client(_)) { 1 } else { 0 };
        let suite = their.negotiated_cipher_suite().unwrap();
        let secrets = their.dangerous_extract_secrets().unwrap();
        let ((written, writes), (read, reads)) = (secrets.tx, secrets.rx);
        let [writes, reads] = [writes, reads].map(parts);
        let (writes, reads) = match suite {
            SupportedCipherSuite::Tls13(suite) => {
                let aead = suite.aead_alg;
                (aead.encrypter(writes.0, writes.1), aead.decrypter(reads.0, reads.1))
            }
            // The first four bytes are the implicit part of the nonce (RFC 5288 section 3).
            SupportedCipherSuite::Tls12(suite) => {
                let (aead, fixed) = (suite.aead_alg, reads.1);
                let (iv, extra) = writes.1.as_ref().split_at(4);
                (aead.encrypter(writes.0, iv, extra), aead.decrypter(reads.0, &fixed.as_ref()[..4]))
            }
        };
        Foe { hello, writes, written, reads, read }
    }

    fn says(&mut self, kind: u8, payload: &[u8]) -> Vec<u8> {
        let payload = OutboundChunks::Single(payload);
        // It is the same on the wire of both.
        let version = ProtocolVersion::TLSv1_2;
        let plain = OutboundPlainMessage { typ: ContentType::from(kind), version, payload };
        let record = self.writes.encrypt(plain, self.written).unwrap().encode();
        self.written += 1;
        record
    }

    /// What the last record says, which is an alert.
    fn hears(&mut self, mut wire: &[u8]) -> Option<(u8, u8)> {
        let mut last = None;
        while let [kind, _, _, high, low, rest @ ..] = wire {
            let (payload, more) = rest.split_at(usize::from(u16::from_be_bytes([*high, *low])));
            let mut payload = payload.to_vec();
            let sealed =
                InboundOpaqueMessage::new(ContentType::from(*kind), ProtocolVersion::TLSv1_2, &mut payload);
            let plain = self.reads.decrypt(sealed, self.read).unwrap();
            self.read += 1;
            last = match (plain.typ, plain.payload) {
                (ContentType::Alert, [level, what]) => Some((*level, *what)),
                _ => None,
            };
            wire = more;
        }
        last
    }
}

fn parts(secrets: ConnectionTrafficSecrets) -> (AeadKey, Iv) {
    match secrets {
        ConnectionTrafficSecrets::Aes256Gcm { key, iv } | ConnectionTrafficSecrets::Aes128Gcm { key, iv } => {
            (key, iv)
        }
        _ => panic!("another suite than both prefer"),
    }
}

fn certificate() -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(IDENTITY.0.as_bytes()).unwrap()
}

fn client(version: &'static SupportedProtocolVersion) -> Connection {
    let mut roots = RootCertStore::empty();
    roots.add(certificate()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.enable_secret_extraction = true;
    rustls::ClientConnection::new(Arc::new(config), DOMAIN.try_into().unwrap()).unwrap().into()
}

fn server(version: &'static SupportedProtocolVersion) -> Connection {
    let key = PrivateKeyDer::from_pem_slice(IDENTITY.1.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate()], key)
        .unwrap();
    config.enable_secret_extraction = true;
    rustls::ServerConnection::new(Arc::new(config)).unwrap().into()
}

/// Ours and the other end, after the handshake.
fn pair(version: &'static SupportedProtocolVersion, is_ours_the_server: bool) -> (Side, Foe) {
    let (ours, mut their) = match is_ours_the_server {
        true => (Session::server(&SERVER).unwrap(), client(version)),
        false => (Session::client(&trusting(&IDENTITY.0), DOMAIN).unwrap(), server(version)),
    };
    let mut ours = Side::new(ours);
    ours.read(&[], &mut whole).unwrap();
    loop {
        let wire = ours.take();
        let mut rest = &wire[..];
        while !rest.is_empty() {
            their.read_tls(&mut rest).unwrap();
            their.process_new_packets().unwrap();
        }
        let mut back = Vec::new();
        while their.wants_write() {
            their.write_tls(&mut back).unwrap();
        }
        if back.is_empty() {
            assert!(ours.session.established().is_some() && !their.is_handshaking());
            return (ours, Foe::of(their));
        }
        ours.read(&back, &mut whole).unwrap();
    }
}

const CHANGE: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const DATA: u8 = 23;
const HEARTBEAT: u8 = 24;

/// What breaks the rules on records and messages where all is readable: what is said, and the alert that comes of it.
fn readable() -> Vec<(&'static str, Vec<u8>, u8)> {
    let tiny = |length: u32, sent: usize| {
        let [_, high, mid, low] = length.to_be_bytes();
        let message = [&[1, high, mid, low][..], &vec![0; sent]].concat();
        message.iter().flat_map(|byte| record(HANDSHAKE, &[*byte])).collect::<Vec<_>>()
    };
    vec![
        ("no TLS", b"<stream:stream>".to_vec(), UNEXPECTED_MESSAGE),
        (
            "no TLS among a message",
            [&record(HANDSHAKE, &[1, 0])[..], b"<stream:stream>"].concat(),
            UNEXPECTED_MESSAGE,
        ),
        ("a heartbeat", record(HEARTBEAT, &[1]), UNEXPECTED_MESSAGE),
        ("an empty record of data", record(DATA, &[]), UNEXPECTED_MESSAGE),
        ("empty records of a handshake", record(HANDSHAKE, &[]).repeat(33), DECODE_ERROR),
        ("a message that is too long, in a long record", record(HANDSHAKE, &[1; 16_384]), DECODE_ERROR),
        ("a record that is too long", record(HANDSHAKE, &[1; 16_385]), RECORD_OVERFLOW),
        ("a record that is too long for rustls", record(HANDSHAKE, &[1; 16_384 + 2_049]), RECORD_OVERFLOW),
        ("data that are too long for rustls", record(DATA, &[1; 16_384 + 2_049]), RECORD_OVERFLOW),
        ("a change of keys that were not agreed on", record(CHANGE, &[1]), UNEXPECTED_MESSAGE),
        ("data among a message", [record(HANDSHAKE, &[1, 0]), record(DATA, b"x")].concat(), DECODE_ERROR),
        (
            "an alert among a message",
            [record(HANDSHAKE, &[1, 0]), record(ALERT, &[2, 40])].concat(),
            DECODE_ERROR,
        ),
        (
            "a message of 16 MB",
            [record(HANDSHAKE, &[1, 0xff, 0xff]), record(HANDSHAKE, &[0xff, 0])].concat(),
            DECODE_ERROR,
        ),
        ("a message in tiny records", tiny(0xf000, 0xefff), DECODE_ERROR),
        ("warnings", record(ALERT, &[1, 90]).repeat(5), DECODE_ERROR),
    ]
}

/// What is said after the handshake, in what versions, and the alert that comes of it.
type Case = (&'static str, &'static [ProtocolVersion], fn(&mut Foe) -> Vec<u8>, u8);

const OLD: &[ProtocolVersion] = &[ProtocolVersion::TLSv1_2];
const NEW: &[ProtocolVersion] = &[ProtocolVersion::TLSv1_3];
const BOTH: &[ProtocolVersion] = &[ProtocolVersion::TLSv1_2, ProtocolVersion::TLSv1_3];

const ENCRYPTED: &[Case] = &[
    ("no TLS", BOTH, |_| b"<stream:stream>".to_vec(), UNEXPECTED_MESSAGE),
    ("a heartbeat", BOTH, |_| record(HEARTBEAT, &[1]), UNEXPECTED_MESSAGE),
    (
        "no TLS among a message",
        BOTH,
        |foe| [&foe.says(HANDSHAKE, &[24, 0])[..], b"<stream:stream>"].concat(),
        DECODE_ERROR,
    ),
    // It should be another one, which rustls does not say of what it can't decrypt.
    ("a record that is too long for rustls", BOTH, |_| record(DATA, &[1; 16_384 + 2_049]), DECODE_ERROR),
    ("empty records", BOTH, |foe| (0..33).flat_map(|_| foe.says(DATA, &[])).collect(), UNEXPECTED_MESSAGE),
    (
        "a record that was changed",
        BOTH,
        |foe| {
            let mut record = foe.says(DATA, b"abc");
            *record.last_mut().unwrap() ^= 1;
            record
        },
        BAD_RECORD_MAC,
    ),
    ("a change of keys", BOTH, |_| record(CHANGE, &[1]), UNEXPECTED_MESSAGE),
    (
        "data among a message",
        BOTH,
        |foe| [foe.says(HANDSHAKE, &[24, 0]), foe.says(DATA, b"x")].concat(),
        DECODE_ERROR,
    ),
    (
        "a message of 16 MB",
        BOTH,
        |foe| [foe.says(HANDSHAKE, &[24, 0xff, 0xff]), foe.says(HANDSHAKE, &[0xff, 0])].concat(),
        DECODE_ERROR,
    ),
    (
        "a message in tiny records",
        BOTH,
        |foe| {
            let message = [&[24, 0, 0xf0, 0][..], &[0; 4_000]].concat();
            message.iter().flat_map(|byte| foe.says(HANDSHAKE, &[*byte])).collect()
        },
        DECODE_ERROR,
    ),
    ("a hello of the wrong side", BOTH, |foe| foe.says(HANDSHAKE, &[2, 0, 0, 0]), DECODE_ERROR),
    ("a long record", BOTH, |foe| foe.says(DATA, &vec![1; 16_385]), RECORD_OVERFLOW),
    ("a record of padding only", NEW, |foe| foe.says(0, &[0; 64]), UNEXPECTED_MESSAGE),
    ("a change of keys in the dark", NEW, |foe| foe.says(CHANGE, &[1]), UNEXPECTED_MESSAGE),
    (
        "padding only among a message",
        NEW,
        |foe| [foe.says(HANDSHAKE, &[24, 0]), foe.says(0, &[0; 64])].concat(),
        DECODE_ERROR,
    ),
    (
        "a key update with more behind it",
        NEW,
        |foe| foe.says(HANDSHAKE, &[24, 0, 0, 1, 0, 24, 0]),
        UNEXPECTED_MESSAGE,
    ),
    (
        "a key update in two records, with more behind it",
        NEW,
        |foe| [foe.says(HANDSHAKE, &[24, 0]), foe.says(HANDSHAKE, &[0, 1, 0, 24])].concat(),
        UNEXPECTED_MESSAGE,
    ),
    ("warnings", OLD, |foe| (0..6).flat_map(|_| foe.says(ALERT, &[1, 90])).collect(), DECODE_ERROR),
    ("hellos", OLD, |foe| foe.says(HANDSHAKE, &[foe.hello, 0, 0, 0].repeat(2_000)), DECODE_ERROR),
];

/// How bytes may come.
const CHUNKS: [usize; 3] = [usize::MAX, 700, 1];

#[test]
fn who_breaks_the_rules_before_a_handshake_hears_an_alert() {
    for (name, wire, expected) in readable() {
        // As the first words to a server, and as the answer to a client.
        for is_server in [true, false] {
            for chunk in CHUNKS {
                let session = match is_server {
                    true => Session::server(&SERVER),
                    false => Session::client(&trusting(&IDENTITY.0), DOMAIN),
                };
                let mut ours = Side::new(session.unwrap());
                ours.read(&[], &mut whole).unwrap();
                drop(ours.take());
                let error = ours.read(&wire, &mut || chunk);
                assert!(error.is_err(), "{name}");
                let heard = ours.take();
                assert_eq!(heard, record(ALERT, &[2, expected]), "{name}, server: {is_server}, {error:?}");
            }
        }
    }
}

#[test]
fn who_breaks_the_rules_after_a_handshake_hears_an_alert() {
    for (name, versions, says, expected) in ENCRYPTED {
        for version in *versions {
            for (is_server, chunk) in
                [true, false].into_iter().flat_map(|side| CHUNKS.map(|chunk| (side, chunk)))
            {
                let version = if *version == ProtocolVersion::TLSv1_3 { &TLS13 } else { &TLS12 };
                let (mut ours, mut foe) = pair(version, is_server);
                let wire = says(&mut foe);
                let error = ours.read(&wire, &mut || chunk);
                let about = format!("{name}, {version:?}, server: {is_server}, by {chunk}: {error:?}");
                assert!(error.is_err(), "{about}");
                assert_eq!(foe.hears(&ours.take()), Some((2, *expected)), "{about}");
            }
        }
    }
}

// What is told of one's own fault is the end, and who has told it wants no alert back.
#[test]
fn who_has_ended_a_session_hears_nothing() {
    for version in [&TLS12, &TLS13] {
        let (mut ours, mut foe) = pair(version, true);
        let wire = foe.says(ALERT, &[2, 40]);
        assert!(ours.read(&wire, &mut whole).is_err() && ours.out.is_empty());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    // However records and messages are mixed: whatever ends a session brings an alert, unless the peer has ended it.
    #[test]
    fn an_error_is_heard(
        says in prop::collection::vec(
            (prop_oneof![Just(0), 20..25_u8], prop::collection::vec(prop_oneof![0..3_u8, Just(24), any::<u8>()], 0..8), 1..40_usize),
            1..8,
        ),
        is_new in any::<bool>(),
        is_server in any::<bool>(),
        chunk in 1..400_usize,
    ) {
        let (mut ours, mut foe) = pair(if is_new { &TLS13 } else { &TLS12 }, is_server);
        let repeated = says.iter().flat_map(|(kind, payload, times)| core::iter::repeat_n((*kind, payload), *times));
        let wire: Vec<u8> = repeated.flat_map(|(kind, payload)| foe.says(kind, payload)).collect();
        match ours.read(&wire, &mut || chunk) {
            Ok(_) | Err(Error::Alert(_)) => {}
            Err(error) => {
                // Two bytes, the type, and the tag; or the nonce, two bytes, and the tag.
                let (kind, length) = if is_new { (DATA, 2 + 1 + 16) } else { (ALERT, 8 + 2 + 16) };
                let start = ours.out.len().checked_sub(5 + length);
                let last = start.map(|start| (ours.out[start], ours.out[start + 4]));
                prop_assert_eq!(last, Some((kind, length as u8)), "{}", error);
            }
        }
    }
}
