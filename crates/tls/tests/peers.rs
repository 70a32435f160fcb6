//! Sessions beside plain rustls with other settings: TLS 1.2, foreign ALPN, no extended master secret.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "these are tests, and the peers are plain rustls"
)]

extern crate alloc;

mod common;

use alloc::sync::Arc;
use std::io::{Read as _, Write as _};

use balcony_tls::{Error, Refusal, Session, TlsIdentity};
use common::{CLIENT, DOMAIN, IDENTITY, SERVER, Side, trusting, whole};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{Connection, HandshakeKind, RootCertStore, SupportedProtocolVersion, version};

fn certificate() -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(IDENTITY.0.as_bytes()).unwrap()
}

fn foreign_client(versions: &[&'static SupportedProtocolVersion], alpn: &[&[u8]]) -> Connection {
    let mut roots = RootCertStore::empty();
    roots.add(certificate()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    rustls::ClientConnection::new(Arc::new(config), DOMAIN.try_into().unwrap()).unwrap().into()
}

fn foreign_server(versions: &[&'static SupportedProtocolVersion]) -> Connection {
    let key = PrivateKeyDer::from_pem_slice(IDENTITY.1.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate()], key)
        .unwrap();
    rustls::ServerConnection::new(Arc::new(config)).unwrap().into()
}

/// Carries bytes until nobody has anything to say, or ours fails.
fn settle(ours: &mut Side, theirs: &mut Connection) -> Result<(), Error> {
    ours.read(&[], &mut whole)?;
    loop {
        let wire = ours.take();
        let mut rest = &wire[..];
        while !rest.is_empty() {
            theirs.read_tls(&mut rest).unwrap();
            // Its opinion of us is not asked for.
            let _ = theirs.process_new_packets();
        }
        let mut back = Vec::new();
        while theirs.wants_write() {
            theirs.write_tls(&mut back).unwrap();
        }
        if wire.is_empty() && back.is_empty() {
            return Ok(());
        }
        ours.read(&back, &mut whole)?;
    }
}

/// Both sides have the same binding, and data go both ways.
fn assert_works(ours: &mut Side, theirs: &mut Connection, protocol: &str) {
    let established = ours.session.established().unwrap();
    assert_eq!(established.protocol, protocol);
    let exported = theirs.export_keying_material([0; 32], b"EXPORTER-Channel-Binding", Some(b"")).unwrap();
    assert_eq!(established.exporter, Some(exported));

    ours.write(b"ping");
    theirs.writer().write_all(b"pong").unwrap();
    settle(ours, theirs).unwrap();
    let mut heard = [0; 4];
    theirs.reader().read_exact(&mut heard).unwrap();
    assert_eq!((&heard, &ours.plain[..]), (b"ping", &b"pong"[..]));
}

// rfc6120.md [SC14] RFC 9266 §4.2; rfc6120.md [U1]
#[test]
fn both_versions_work_on_both_sides_with_the_same_binding() {
    for (version, protocol) in [(&version::TLS12, "TLSv1.2"), (&version::TLS13, "TLSv1.3")] {
        let mut ours = Side::new(Session::server(&SERVER).unwrap());
        let mut theirs = foreign_client(&[version], &[]);
        settle(&mut ours, &mut theirs).unwrap();
        assert_works(&mut ours, &mut theirs, protocol);

        let mut ours = Side::new(Session::client(&CLIENT, DOMAIN).unwrap());
        let mut theirs = foreign_server(&[version]);
        settle(&mut ours, &mut theirs).unwrap();
        assert_works(&mut ours, &mut theirs, protocol);
    }
}

// RFC 9266: what is exported is what another program exports, by whichever suite, and also when a session goes on by a ticket
#[test]
fn the_binding_is_the_same_by_every_suite_and_by_a_ticket() {
    for suite in rustls::crypto::ring::default_provider().cipher_suites {
        let mut provider = rustls::crypto::ring::default_provider();
        provider.cipher_suites = vec![suite];
        let versions = [suite.version()];
        let mut roots = RootCertStore::empty();
        roots.add(certificate()).unwrap();
        let Ok(client) = rustls::ClientConfig::builder_with_provider(Arc::new(provider.clone()))
            .with_protocol_versions(&versions)
            .map(|config| Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
        else {
            continue;
        };
        let kinds = [HandshakeKind::Full, HandshakeKind::Resumed].map(|kind| {
            let mut ours = Side::new(Session::server(&SERVER).unwrap());
            let name = DOMAIN.try_into().unwrap();
            let mut theirs: Connection =
                rustls::ClientConnection::new(Arc::clone(&client), name).unwrap().into();
            if settle(&mut ours, &mut theirs).is_err() {
                // One for keys of another kind than the certificate has.
                return None;
            }
            let protocol = format!("{:?}", theirs.protocol_version().unwrap()).replace("v1_", "v1.");
            assert_works(&mut ours, &mut theirs, &protocol);
            assert_eq!(ours.session.established().unwrap().server_name.as_deref(), Some(DOMAIN));
            assert_eq!(theirs.handshake_kind(), Some(kind), "{suite:?}");
            Some(kind)
        });
        assert_eq!(kinds[0].is_some(), kinds[1].is_some());
        assert!(kinds[0].is_some() || format!("{suite:?}").contains("RSA"), "{suite:?}");
    }
}

// Neither a record nor a message of the handshake that has come in part is in the way of what we say meanwhile.
#[test]
fn a_side_can_write_while_something_is_incomplete() {
    let mut tickets = None;
    for cut in 1..usize::MAX {
        let mut pair = common::Pair::new(&common::CLIENT, &SERVER, DOMAIN);
        pair.client.read(&[], &mut whole).unwrap();
        pair.server.read(&pair.client.take(), &mut whole).unwrap();
        pair.client.read(&pair.server.take(), &mut whole).unwrap();
        // The last words of the handshake, with those of the client after them; the server has tickets to give then.
        pair.client.write(b"one");
        pair.server.read(&pair.client.take(), &mut whole).unwrap();
        assert!(pair.server.session.established().is_some());
        pair.server.write(b"two");
        let down = pair.server.take();
        tickets = tickets.or(Some(down.len()));
        let Some((first, second)) = down.split_at_checked(cut) else { break };
        pair.client.read(first, &mut whole).unwrap();
        pair.client.write(b"three");
        let up = pair.client.take();
        let (begin, end) = up.split_at(cut.min(up.len() - 1));
        pair.server.read(begin, &mut whole).unwrap();
        pair.server.write(b"four");
        pair.server.read(end, &mut whole).unwrap();
        pair.client.read(&[second, &pair.server.take()].concat(), &mut whole).unwrap();
        assert_eq!((&pair.server.plain[..], &pair.client.plain[..]), (&b"onethree"[..], &b"twofour"[..]));
    }
    assert!(tickets.unwrap() > 100, "there is a ticket among it");
}

// XEP-0368 §3: ALPN says which protocol is wanted, and this server has one
#[test]
fn a_client_of_another_protocol_is_refused() {
    for (alpn, welcome) in
        [(&[&b"h2"[..]][..], false), (&[&b"h2"[..], b"xmpp-client"][..], true), (&[][..], true)]
    {
        let mut ours = Side::new(Session::server(&SERVER).unwrap());
        let mut theirs = foreign_client(&[&version::TLS13], alpn);
        assert_eq!(settle(&mut ours, &mut theirs).is_ok(), welcome, "{alpn:?}");
        assert_eq!(ours.session.established().is_some(), welcome);
    }
}

/// The first message of a client of TLS 1.2 whose extension `extended_master_secret` (23) has got another number.
fn hello_without_extended_master_secret() -> Vec<u8> {
    let mut hello = Vec::new();
    foreign_client(&[&version::TLS12], &[]).write_tls(&mut hello).unwrap();
    let extension = hello.windows(4).position(|window| window == [0, 23, 0, 0]).unwrap();
    hello[extension..extension + 2].copy_from_slice(&[0xfa, 0xfa]);
    hello
}

// RFC 9266 §4.2: no binding without the extended master secret; it is required, so that no session lacks one
#[test]
fn tls_1_2_without_the_extended_master_secret_is_refused() {
    let mut ours = Side::new(Session::server(&SERVER).unwrap());
    assert!(matches!(
        ours.read(&hello_without_extended_master_secret(), &mut whole),
        Err(Error::Protocol(reason)) if reason.contains("ExtendedMasterSecret")
    ));
    assert!(!ours.out.is_empty(), "the alert");
}

// rfc6120.md [U8]
#[test]
fn tls_1_1_is_refused() {
    let mut hello = Vec::new();
    foreign_client(&[&version::TLS12], &[]).write_tls(&mut hello).unwrap();
    // The extension `supported_versions` (43): its length, the length of the list, and the one version in it.
    let list = hello.windows(7).position(|window| window == [0, 43, 0, 3, 2, 3, 3]).unwrap();
    hello[list + 6] = 2;
    let mut ours = Side::new(Session::server(&SERVER).unwrap());
    assert!(matches!(ours.read(&hello, &mut whole), Err(Error::Protocol(_))));
    assert!(!ours.out.is_empty(), "the alert");
}

/// A certificate that is its own authority, as `change` makes it, with its key, in PEM.
fn made(change: impl FnOnce(&mut rcgen::CertificateParams)) -> (String, String) {
    let mut params = rcgen::CertificateParams::new([DOMAIN.to_owned()]).unwrap();
    change(&mut params);
    let key = rcgen::KeyPair::generate().unwrap();
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

/// What a client that trusts just this certificate says of a server that has it.
fn judged((certificate, key): &(String, String), domain: &str) -> Result<(), Error> {
    let server = TlsIdentity::from_pem(certificate.as_bytes(), key.as_bytes()).unwrap();
    let mut pair = common::Pair::new(&trusting(certificate), &server, domain);
    pair.settle(&mut whole).map(drop)
}

// RFC 6120 §13.7.2: trust in one certificate goes no further than its names and its time
#[test]
fn a_servers_own_certificate_may_be_given_as_the_root() {
    let authority = |params: &mut rcgen::CertificateParams| {
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    };
    let plain = made(|_| {});
    // As `openssl req -x509` marks it.
    let marked = made(authority);
    let expired = |params: &mut rcgen::CertificateParams| params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    let refusals = |identity: &_, domain| match judged(identity, domain) {
        Err(Error::Certificate { refusal, .. }) => Some(refusal),
        Ok(()) => None,
        Err(error) => panic!("{error}"),
    };
    for identity in [&plain, &marked] {
        assert_eq!(refusals(identity, DOMAIN), None);
        assert!(matches!(refusals(identity, "example.net"), Some(Refusal::WrongName(_))));
    }
    assert_eq!(refusals(&made(expired), DOMAIN), Some(Refusal::Expired));
    let both = made(|params| {
        authority(params);
        expired(params);
    });
    assert_eq!(refusals(&both, DOMAIN), Some(Refusal::Expired));
    let early = made(|params| params.not_before = rcgen::date_time_ymd(2900, 1, 1));
    assert_eq!(refusals(&early, DOMAIN), Some(Refusal::NotYetValid));

    // Another certificate that is marked so gains nothing by it.
    let stranger = TlsIdentity::from_pem(marked.0.as_bytes(), marked.1.as_bytes()).unwrap();
    let mut pair = common::Pair::new(&trusting(&plain.0), &stranger, DOMAIN);
    assert!(matches!(pair.settle(&mut whole), Err(Error::Certificate { .. })));
}

// rfc6120.md [T4]: a chain of an authority, an intermediate one and the server
#[test]
fn a_chain_is_followed_to_the_root() {
    let authority = |name: &str| {
        let mut params = rcgen::CertificateParams::new([]).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params
    };
    let key = || rcgen::KeyPair::generate().unwrap();
    let root = rcgen::CertifiedIssuer::self_signed(authority("root"), key()).unwrap();
    let middle = rcgen::CertifiedIssuer::signed_by(authority("middle"), key(), &root).unwrap();
    let own_key = key();
    let own =
        rcgen::CertificateParams::new([DOMAIN.to_owned()]).unwrap().signed_by(&own_key, &middle).unwrap();

    let works = |chain: &str| {
        let server = TlsIdentity::from_pem(chain.as_bytes(), own_key.serialize_pem().as_bytes()).unwrap();
        let mut pair = common::Pair::new(&trusting(&root.pem()), &server, DOMAIN);
        pair.settle(&mut whole).map(drop)
    };
    assert_eq!(works(&[own.pem(), middle.pem()].concat()), Ok(()));
    let alone = Error::Certificate { domain: DOMAIN.into(), refusal: Refusal::Untrusted };
    assert_eq!(works(&own.pem()), Err(alone));
}

#[cfg(feature = "native-roots")]
#[test]
fn the_operating_system_does_not_trust_a_stranger() {
    let Ok(builder) = balcony_tls::TlsTrust::builder().native_roots() else { return };
    let mut pair = common::Pair::new(&builder.build().unwrap(), &SERVER, DOMAIN);
    assert!(matches!(pair.settle(&mut whole), Err(Error::Certificate { refusal: Refusal::Untrusted, .. })));
}

// RFC 6120 §13.7.1.2.1 [T1] [T2] [T3] [T8] tls-certs; RFC 7590 §3.4 [U3]: DNS names of the certificate are compared, and
// nothing else: not the common name (RFC 9525 §2), and a wildcard for one whole label only.
#[test]
fn names_in_certificates() {
    let names = |names: &[&str]| {
        let mut params = rcgen::CertificateParams::new([]).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, "example.com");
        let dns = |name: &&str| rcgen::SanType::DnsName((*name).try_into().unwrap());
        params.subject_alt_names = names.iter().map(dns).collect();
        let key = rcgen::KeyPair::generate().unwrap();
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    };
    let fits = |identity: &(String, String), domain| judged(identity, domain).is_ok();

    let two = names(&["example.net", "xmpp.example.org"]);
    assert!(fits(&two, "example.net") && fits(&two, "xmpp.example.org"));
    assert!(!fits(&two, "example.com"), "the common name is no name");
    assert!(!fits(&two, "example.org"));

    let wild = names(&["*.example.net"]);
    assert!(fits(&wild, "chat.example.net"));
    assert!(!fits(&wild, "example.net") && !fits(&wild, "a.b.example.net"));
    let part = names(&["ch*.example.net"]);
    assert!(!fits(&part, "chat.example.net"));
}

// An authority of the same name with a key of another kind is just another stranger.
#[test]
fn a_namesake_of_the_authority_vouches_for_nothing() {
    let own = made(|_| {});
    let params = rcgen::CertificateParams::new([DOMAIN.to_owned()]).unwrap();
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let namesake = params.self_signed(&key).unwrap().pem();

    let server = TlsIdentity::from_pem(own.0.as_bytes(), own.1.as_bytes()).unwrap();
    let mut pair = common::Pair::new(&trusting(&namesake), &server, DOMAIN);
    let refused = pair.settle(&mut whole).map(drop);
    assert_eq!(refused, Err(Error::Certificate { domain: DOMAIN.into(), refusal: Refusal::Untrusted }));
}
