//! Servers among themselves: both show certificates, and what these prove.
#![allow(clippy::unwrap_used, reason = "these are tests")]

mod common;
mod issuer;

use core::time::Duration;

use balcony_tls::{Error, Refusal, TlsIdentity, TlsTrust};
use common::{Pair, trusting, whole};
use issuer::Name::{Dns, Other, Srv, XmppAddr, XmppAddrIa5};
use issuer::{Issuer, Name, Pem, server};
use rcgen::{ExtendedKeyUsagePurpose, GeneralSubtree, NameConstraints};

const NAMES: &[Name<'static>] = &[
    Dns("example.org"),
    Dns("*.example.net"),
    Dns("ch*.example.org"),
    Srv("_xmpp-server.srv.example"),
    Srv("_XMPP-Server.upper.example"),
    Srv("_xmpp-client.clients.example"),
    Srv("_xmpp-server.*.example"),
    Srv("_imap.mail.example"),
    Srv("_xmpp-server."),
    XmppAddr("xmpp.example"),
    XmppAddr("čapulet.example"),
    XmppAddr("juliet@people.example"),
    XmppAddr("thing.example/balcony"),
    XmppAddr("*.wild.example"),
    XmppAddrIa5("ascii.example"),
    Other("other.example"),
];

/// A handshake between servers: what the one that accepts has learnt of the other.
fn proven(initiating: &TlsTrust, receiving: &TlsIdentity, to: &str) -> (Vec<String>, Option<Duration>) {
    let mut pair = Pair::new(initiating, receiving, to);
    pair.settle(&mut whole).unwrap();
    let established = pair.server.session.established().unwrap();
    (established.peer_domains.clone(), established.peer_valid_for)
}

// RFC 6120 §13.7.1.2 §13.7.1.4 [T1] [T6], XEP-0178 1.2 §3 [EX12, EX21], XEP-0368 1.1 §3 [DT6]: the kinds of names, of which each proves its own and nothing else
#[test]
fn what_the_certificate_of_a_server_proves() {
    let issuer = Issuer::new();
    let theirs = server(&issuer.certify(NAMES, |_| {}), &issuer.pem());
    let ours = server(&issuer.certify(&[Dns("ours.example")], |_| {}), &issuer.pem());
    let (domains, valid_for) = proven(&theirs.0, &ours.1, "ours.example");
    assert_eq!(
        domains,
        ["example.org", "*.example.net", "srv.example", "upper.example", "xmpp.example", "čapulet.example"]
    );
    assert!(valid_for.unwrap() > Duration::from_secs(86_400 * 365));

    // The other way round the names decide about the handshake.
    let fits = |domain: &str| {
        let mut pair = Pair::new(&ours.0, &theirs.1, domain);
        pair.settle(&mut whole).is_ok()
    };
    for domain in
        ["example.org", "a.example.net", "srv.example", "upper.example", "xmpp.example", "čapulet.example"]
    {
        assert!(fits(domain), "{domain}");
    }
    for domain in [
        "example.net",
        "chat.example.org",
        "clients.example",
        "a.example",
        "mail.example",
        "people.example",
        "thing.example",
        "a.wild.example",
        "ascii.example",
        "other.example",
    ] {
        assert!(!fits(domain), "{domain}");
    }
}

// RFC 6120 §13.7.1.2.1 [T1]: a client looks for the SRV name of its own service
#[test]
fn what_the_certificate_proves_to_a_client() {
    let issuer = Issuer::new();
    let identity = issuer.certify(NAMES, |_| {});
    let plain = TlsIdentity::from_pem(identity.0.as_bytes(), identity.1.as_bytes()).unwrap();
    let fits = |domain: &str| Pair::new(&trusting(&issuer.pem()), &plain, domain).settle(&mut whole);
    for domain in ["example.org", "clients.example", "xmpp.example"] {
        assert!(fits(domain).is_ok(), "{domain}");
    }
    for domain in ["srv.example", "people.example"] {
        assert!(
            matches!(fits(domain), Err(Error::Certificate { refusal: Refusal::WrongName(_), .. })),
            "{domain}"
        );
    }
}

/// What a server with this certificate proves to one that trusts `roots`.
fn proves(identity: &Pem, roots: &str) -> Vec<String> {
    let own = Issuer::new();
    // Itself it has to be believed, or there would be no handshake.
    let trusted = [roots, &own.pem()].concat();
    let ours = server(&own.certify(&[Dns("ours.example")], |_| {}), &trusted);
    let theirs = server(identity, &own.pem());
    let (domains, valid_for) = proven(&theirs.0, &ours.1, "ours.example");
    assert_eq!(domains.is_empty(), valid_for.is_none());
    domains
}

// RFC 6120 §13.7.2 [T4] [T5]: nothing is believed of a certificate whose path does not hold; the handshake goes on
#[test]
fn a_certificate_that_cannot_be_checked_proves_nothing() {
    let issuer = Issuer::new();
    let names = &[Dns("theirs.example"), XmppAddr("theirs.example")];
    let good = issuer.certify(names, |_| {});
    assert_eq!(proves(&good, &issuer.pem()), ["theirs.example", "theirs.example"]);
    assert!(proves(&good, "").is_empty(), "nobody known vouches for it");
    let expired = issuer.certify(names, |params| params.not_after = rcgen::date_time_ymd(2001, 1, 1));
    assert!(proves(&expired, &issuer.pem()).is_empty());

    // XEP-0178: authorities certify servers, clients, or both, and a server is either here.
    for usage in [ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth] {
        let identity = issuer.certify(names, |params| params.extended_key_usages = vec![usage.clone()]);
        assert_eq!(proves(&identity, &issuer.pem()).len(), 2, "{usage:?}");
    }
    let mail = issuer
        .certify(names, |params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::EmailProtection]);
    assert!(proves(&mail, &issuer.pem()).is_empty());
}

// Whoever may certify one DNS name must not certify others by way of an SRV name or an XMPP address.
#[test]
fn a_constrained_authority_vouches_for_dns_names_only() {
    let issuer = Issuer::with(|params| {
        params.name_constraints = Some(NameConstraints {
            permitted_subtrees: vec![GeneralSubtree::DnsName("theirs.example".into())],
            excluded_subtrees: Vec::new(),
        });
    });
    let names = &[
        Dns("theirs.example"),
        XmppAddr("bank.example"),
        Srv("_xmpp-server.bank.example"),
        Srv("_xmpp-client.bank.example"),
    ];
    let identity = issuer.certify(names, |_| {});
    assert_eq!(proves(&identity, &issuer.pem()), ["theirs.example"]);
    let plain = TlsIdentity::from_pem(identity.0.as_bytes(), identity.1.as_bytes()).unwrap();
    assert!(Pair::new(&trusting(&issuer.pem()), &plain, "bank.example").settle(&mut whole).is_err());
}

// RFC 7590 §3.4: only who asks for it goes on with a server that may be anybody
#[test]
fn an_unproven_server_is_refused_unless_it_is_asked_for() {
    let (one, other) = (Issuer::new(), Issuer::new());
    let (_, theirs) = server(&other.certify(&[Dns("theirs.example")], |_| {}), &other.pem());
    let (certificate, key) = one.certify(&[Dns("ours.example")], |_| {});
    let builder = || {
        let builder = TlsTrust::builder().roots_pem(one.pem().as_bytes()).unwrap();
        builder.federation(certificate.as_bytes(), key.as_bytes()).unwrap()
    };
    let mut strict = Pair::new(&builder().build().unwrap(), &theirs, "theirs.example");
    assert!(matches!(strict.settle(&mut whole), Err(Error::Certificate { refusal: Refusal::Untrusted, .. })));
    let mut lenient = Pair::new(&builder().accept_unproven().build().unwrap(), &theirs, "theirs.example");
    lenient.settle(&mut whole).unwrap();
    assert!(lenient.client.session.established().unwrap().peer_domains.is_empty());
}

// XEP-0368 1.1 §3 [DT5]: among servers ALPN has another name
#[test]
fn a_server_is_not_taken_for_a_client() {
    let issuer = Issuer::new();
    let identity = issuer.certify(&[Dns("ours.example")], |_| {});
    let (client, server) = server(&identity, &issuer.pem());
    let plain = TlsIdentity::from_pem(identity.0.as_bytes(), identity.1.as_bytes()).unwrap();
    let client = client.with_alpn(true);
    assert!(Pair::new(&client, &plain, "ours.example").settle(&mut whole).is_err());
    let mut pair = Pair::new(&client, &server, "ours.example");
    pair.settle(&mut whole).unwrap();
    assert_eq!(pair.server.session.established().unwrap().alpn.as_deref(), Some(&b"xmpp-server"[..]));
}

// RFC 5929 §4.1, rfc6120.md [SC15]
#[test]
fn the_server_end_point_goes_by_the_hash_of_the_signature() {
    for (algorithm, length) in [
        (&rcgen::PKCS_ECDSA_P256_SHA256, Some(32)),
        (&rcgen::PKCS_ECDSA_P384_SHA384, Some(48)),
        (&rcgen::PKCS_ED25519, None),
    ] {
        let params = rcgen::CertificateParams::new(["example.org".to_owned()]).unwrap();
        let key = rcgen::KeyPair::generate_for(algorithm).unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        let server = TlsIdentity::from_pem(pem.as_bytes(), key.serialize_pem().as_bytes()).unwrap();
        let mut pair = Pair::new(&trusting(&pem), &server, "example.org");
        pair.settle(&mut whole).unwrap();
        let [ours, theirs] = [&pair.client, &pair.server]
            .map(|side| side.session.established().unwrap().server_end_point.clone());
        assert_eq!(ours.as_ref().map(Vec::len), length);
        assert_eq!(ours, theirs);
        if length == Some(32) {
            use rustls::pki_types::pem::PemObject as _;
            use sha2::Digest as _;
            let der = rustls::pki_types::CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
            assert_eq!(ours.unwrap(), sha2::Sha256::digest(&der).to_vec());
        }
    }
}
