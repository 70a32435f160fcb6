//! What is said of configurations that cannot work.
#![allow(clippy::unwrap_used, reason = "these are tests")]

mod common;

use balcony_tls::{ConfigError, Error, TlsIdentity, TlsTrust};
use common::{IDENTITY, SERVER};

fn server(certificate: &str, key: &str) -> ConfigError {
    match TlsIdentity::from_pem(certificate.as_bytes(), key.as_bytes()) {
        Err(Error::Config(error)) => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_fault_of_a_servers_identity_has_its_name() {
    let (certificate, key) = (&*IDENTITY.0, &*IDENTITY.1);
    let (other, _) = balcony_tls::self_signed(&["example.net"]).unwrap();
    let locked = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    let emptied = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let torn = &certificate[..certificate.len() / 2];

    assert_eq!(server("", key), ConfigError::NoCertificate);
    assert_eq!(server(key, certificate), ConfigError::NoCertificate);
    assert_eq!(server(certificate, certificate), ConfigError::NoKey);
    assert_eq!(server(certificate, &locked), ConfigError::EncryptedKey);
    assert_eq!(server(&other, key), ConfigError::KeyMismatch);
    // The authority first and the server's own after it: a common mistake.
    assert_eq!(server(&[&other, certificate].concat(), key), ConfigError::KeyMismatch);
    assert!(matches!(server(emptied, key), ConfigError::BadCertificate(_)));
    assert!(matches!(server(torn, key), ConfigError::BadPem(_)));
    let broken_key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    assert!(matches!(server(certificate, broken_key), ConfigError::BadKey(_)));
}

#[test]
fn certificate_and_key_may_share_a_file() {
    let both = [&*IDENTITY.1, &*IDENTITY.0].concat();
    assert!(TlsIdentity::from_pem(both.as_bytes(), both.as_bytes()).is_ok());
}

#[test]
fn a_byte_order_mark_hides_nothing() {
    let (other, _) = balcony_tls::self_signed(&["example.net"]).unwrap();
    let marked = |pem: &str| format!("\u{feff}{pem}");
    // The first of a chain is the server's own.
    let chain = marked(&[&IDENTITY.0, &*other].concat());
    assert!(TlsIdentity::from_pem(chain.as_bytes(), marked(&IDENTITY.1).as_bytes()).is_ok());
    assert!(TlsTrust::builder().roots_pem(marked(&other).as_bytes()).is_ok());
}

// What other programs write, and people put together.
#[test]
fn pem_may_have_more_in_it() {
    let (certificate, key) = (&*IDENTITY.0, &*IDENTITY.1);
    let (other, _) = balcony_tls::self_signed(&["example.net"]).unwrap();
    let parameters = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n";
    let text = "Certificate:\n    Data:\n        Version: 3 (0x2)\n";
    let lines = |pem: &str| pem.replace('\n', "\r\n");
    for (certificate, key, has_chain) in [
        (format!("{text}{certificate}"), format!("{parameters}{key}"), false),
        (lines(certificate), lines(key), false),
        (format!("{certificate}{key}"), format!("{certificate}{key}"), false),
        (format!("{key}{certificate}{other}"), format!("{certificate}\n\n{key}"), true),
    ] {
        let server = TlsIdentity::from_pem(certificate.as_bytes(), key.as_bytes()).unwrap();
        assert_eq!(server.has_chain(), has_chain);
        assert_eq!(server.web().has_chain(), has_chain);
        assert!(server.covers("example.org"));
    }
}

#[test]
fn a_client_that_trusts_nobody_is_not_built() {
    assert!(matches!(TlsTrust::builder().build(), Err(Error::Config(ConfigError::NoRoots))));
    let nothing = TlsTrust::builder().roots_pem(b"nothing");
    assert!(matches!(nothing, Err(Error::Config(ConfigError::NoCertificate))));
}

#[test]
fn a_server_knows_its_names() {
    assert!(SERVER.covers("example.org") && SERVER.covers("localhost"));
    assert!(!SERVER.covers("im.example.org") && !SERVER.covers("no such name"));
}

#[test]
fn errors_are_one_line_and_secrets_stay_in() {
    let (_, key) = balcony_tls::self_signed(&["example.org"]).unwrap();
    assert_eq!(format!("{key:?}"), "Secret(..)");
    assert_eq!(format!("{:?}", *SERVER), "TlsIdentity { .. }");
    for error in [ConfigError::NoKey, ConfigError::KeyMismatch, ConfigError::EncryptedKey] {
        assert!(!Error::from(error).to_string().contains('\n'));
    }
}
