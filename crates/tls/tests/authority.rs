//! The authority for development, and what clients make of it.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "these are tests, and certificates have dates"
)]

mod common;

use core::time::Duration;
use std::time::SystemTime;

use balcony_machine::Secret;
use balcony_tls::{Authority, ConfigError, Error, Refusal, Session, TlsIdentity, TlsTrust};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

const DAY: Duration = Duration::from_secs(86_400);

fn server((certificate, key): &(String, Secret<String>)) -> TlsIdentity {
    TlsIdentity::from_pem(certificate.as_bytes(), key.expose().as_bytes()).unwrap()
}

/// Whether a client that trusts the PEM accepts the server for that domain.
fn is_accepted(server: &TlsIdentity, trusted: &str, domain: &str) -> bool {
    let client = TlsTrust::builder().roots_pem(trusted.as_bytes()).unwrap().build().unwrap();
    let mut client = Session::client(&client, domain).unwrap();
    let mut server = Session::server(server).unwrap();
    let (mut up, mut down, mut plain) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..4 {
        if client.read(&mut &core::mem::take(&mut down)[..], &mut plain, &mut up).is_err() {
            return false;
        }
        let _ = server.read(&mut &core::mem::take(&mut up)[..], &mut plain, &mut down);
    }
    client.established().is_some()
}

// RFC 6120 §13.7.1, §13.7.2, RFC 5280 §6.1
#[test]
fn who_trusts_the_authority_trusts_what_it_signs() {
    let now = SystemTime::now();
    let (authority, other) = (Authority::new(now).unwrap(), Authority::new(now).unwrap());
    let first = authority.issue(&["example.org", "b\u{fc}cher.example"], None, now).unwrap();
    let served = server(&first);
    for domain in ["example.org", "b\u{fc}cher.example", "localhost"] {
        assert!(is_accepted(&served, authority.certificate_pem(), domain), "{domain}");
    }
    assert!(!is_accepted(&served, authority.certificate_pem(), "example.net"));
    assert!(!is_accepted(&served, other.certificate_pem(), "example.org"));
    // The certificate of the server is no authority, not even for itself.
    assert!(!is_accepted(&served, &first.0, "example.org"));
    assert!(served.is_issued_by(authority.certificate_pem().as_bytes()) && !served.is_self_signed());
    assert!(!served.is_issued_by(other.certificate_pem().as_bytes()));

    // Read again it is the same authority, and the key may stay.
    let again = Authority::from_pem(authority.certificate_pem(), authority.key_pem().expose()).unwrap();
    let renewed = again.issue(&["example.net"], Some(&first.1), now).unwrap();
    assert_eq!(renewed.1.expose(), first.1.expose());
    assert!(is_accepted(&server(&renewed), authority.certificate_pem(), "example.net"));

    // One that has ended is refused.
    let ended = authority.issue(&["example.org"], None, now - 398 * DAY).unwrap();
    assert!(!is_accepted(&server(&ended), authority.certificate_pem(), "example.org"));
    let left = Duration::from_secs(served.validity().unwrap().end)
        - now.duration_since(SystemTime::UNIX_EPOCH).unwrap();
    assert!(left <= 397 * DAY && left > 396 * DAY);
}

// RFC 5280 §4.1.2.2, §4.2.1.1, §4.2.1.2, §4.2.1.3, §4.2.1.9: what clients look at that are stricter than others.
#[test]
fn certificates_say_what_they_are_for() {
    let now = SystemTime::now();
    let authority = Authority::new(now).unwrap();
    let long = format!("{}.example", ["a"; 30].join("."));
    let leaves = [&["example.org"][..], &["example.org"], &[&*long]]
        .map(|domains| authority.issue(domains, None, now).unwrap().0);
    let der = |pem: &str| x509_parser::pem::parse_x509_pem(pem.as_bytes()).unwrap().1.contents;
    let root = der(authority.certificate_pem());
    let (_, root) = X509Certificate::from_der(&root).unwrap();
    assert!(root.is_ca() && root.subject() == root.issuer());
    assert_eq!(root.basic_constraints().unwrap().unwrap().value.path_len_constraint, Some(0));
    let usage = root.key_usage().unwrap().unwrap().value;
    assert!(usage.key_cert_sign() && usage.crl_sign() && !usage.digital_signature());

    let mut serials = vec![root.raw_serial().to_vec()];
    for pem in &leaves {
        let leaf = der(pem);
        let (_, leaf) = X509Certificate::from_der(&leaf).unwrap();
        assert!(!leaf.is_ca() && leaf.issuer() == root.subject() && leaf.subject() != leaf.issuer());
        let usage = leaf.key_usage().unwrap().unwrap().value;
        assert!(usage.digital_signature() && !usage.key_cert_sign());
        let purposes = leaf.extended_key_usage().unwrap().unwrap().value;
        assert!(purposes.server_auth && !purposes.client_auth && !purposes.any);
        // It names the key that has signed it.
        let id = |certificate: &X509Certificate<'_>, oid: &str| {
            let extension = certificate.extensions().iter().find(|found| found.oid.to_id_string() == oid);
            extension.map(|found| found.value.to_vec()).unwrap()
        };
        let (authority_id, subject_id) = (id(&leaf, "2.5.29.35"), id(&root, "2.5.29.14"));
        assert_eq!(authority_id[4..], subject_id[2..]);
        for name in leaf.subject().iter_common_name() {
            assert!(name.as_str().unwrap().len() <= 64);
        }
        serials.push(leaf.raw_serial().to_vec());
    }
    assert!(serials.iter().all(|serial| serial.len() == 16 && serial[0] & 0x80 == 0));
    serials.sort();
    serials.dedup();
    assert_eq!(serials.len(), 4, "no two have the same");
    let other = der(Authority::new(now).unwrap().certificate_pem());
    assert_ne!(X509Certificate::from_der(&other).unwrap().1.subject(), root.subject());
}

#[test]
fn what_is_no_authority_is_not_taken_for_one() {
    let now = SystemTime::now();
    let (authority, other) = (Authority::new(now).unwrap(), Authority::new(now).unwrap());
    let leaf = authority.issue(&["example.org"], None, now).unwrap();
    let refused = |certificate: &str, key: &str| match Authority::from_pem(certificate, key) {
        Err(Error::Config(error)) => error,
        other => panic!("{other:?}"),
    };
    assert!(matches!(refused(&leaf.0, leaf.1.expose()), ConfigError::BadCertificate(_)));
    assert_eq!(refused(authority.certificate_pem(), other.key_pem().expose()), ConfigError::KeyMismatch);
    assert!(matches!(refused(authority.certificate_pem(), "nothing"), ConfigError::BadKey(_)));
    assert_eq!(refused("nothing", authority.key_pem().expose()), ConfigError::NoCertificate);
    assert_eq!(format!("{authority:?}"), "Authority { .. }");
    assert!(matches!(authority.issue(&["no such name"], None, now), Err(Error::Domain(_))));
}

// RFC 5280 §4.1.2.5: what is made by a clock that is not set, or is far off, can be read.
#[test]
fn certificates_of_any_clock_can_be_read() {
    let (epoch, last) = (SystemTime::UNIX_EPOCH, 253_402_300_799);
    let second = Duration::from_secs(1);
    for (now, start, end) in [
        (epoch - 400 * DAY, 0, 397 * 86_400),
        (epoch, 0, 397 * 86_400),
        (epoch + 20 * second, 0, 397 * 86_400 + 20),
        (epoch + 10 * DAY, 9 * 86_400, 407 * 86_400),
        // 2050, where the form of the year changes.
        (epoch + 29_219 * DAY, 29_218 * 86_400, 29_616 * 86_400),
        (epoch + Duration::from_secs(last), last - 86_400, last),
        (epoch + Duration::from_secs(last + 1), last - 86_400, last),
    ] {
        let authority = Authority::new(now).unwrap();
        let issued = authority.issue(&["example.org"], None, now).unwrap();
        assert_eq!(server(&issued).validity(), Some(start..end));
        // It is read, and that it is not valid today is what is wrong.
        let trust = TlsTrust::builder().roots_pem(authority.certificate_pem().as_bytes()).unwrap().build();
        match trust.unwrap().judge_server(&server(&issued), "example.org") {
            Err(Error::Certificate { refusal: Refusal::Expired | Refusal::NotYetValid, .. }) => {}
            other => panic!("{other:?}"),
        }
    }
}

// RFC 5280 §6.1.1: a trust anchor is a name and a key.
#[test]
fn a_renewed_authority_and_the_one_before_vouch_for_the_same() {
    let now = SystemTime::now();
    let before = Authority::new(now - 3_700 * DAY).unwrap();
    // As the program does, from its files.
    let read = Authority::from_pem(before.certificate_pem(), before.key_pem().expose()).unwrap();
    let after = read.renewed(now).unwrap();
    assert_eq!(after.key_pem().expose(), before.key_pem().expose());
    let dates = |authority: &Authority| {
        balcony_tls::CertificateDetails::read_pem(authority.certificate_pem().as_bytes()).unwrap().validity
    };
    assert_eq!(dates(&after).end - dates(&before).end, 3_700 * 86_400);
    for signer in [&before, &after] {
        let served = server(&signer.issue(&["example.org"], None, now).unwrap());
        for trusted in [&before, &after] {
            assert!(is_accepted(&served, trusted.certificate_pem(), "example.org"));
            assert!(served.is_issued_by(trusted.certificate_pem().as_bytes()));
        }
    }
    let again = after.renewed(now + DAY).unwrap();
    assert_eq!(dates(&again).end - dates(&after).end, 86_400);

    // Somebody else's may say what this one cannot.
    let mut params = rcgen::CertificateParams::new(["example.org".to_owned()]).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = rcgen::KeyPair::generate().unwrap();
    let other = params.self_signed(&key).unwrap().pem();
    let other = Authority::from_pem(&other, &key.serialize_pem()).unwrap();
    assert!(matches!(other.renewed(now), Err(Error::Config(ConfigError::BadCertificate(_)))));
}
