//! Certificates that the DNS vouches for: TLSA records of every kind (RFC 6698, RFC 7671), and hosts that signed SRV records name (RFC 7673,
//! RFC 7712 section 6).
#![allow(clippy::unwrap_used, reason = "these are tests")]

mod common;

use core::time::Duration;
use std::sync::LazyLock;
use std::time::SystemTime;

use balcony_machine::Tlsa;
use balcony_tls::{Authority, Error, Refusal, TlsIdentity, TlsTrust, Vouchers};
use common::{Pair, whole};
use proptest::collection::vec;
use proptest::prelude::*;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use sha2::{Digest as _, Sha256, Sha512};
use x509_parser::prelude::{FromDer as _, X509Certificate};

const DOMAIN: &str = "example.org";
const HOST: &str = "xmpp.example.net";

/// Whom everybody trusts, and who is nobody to them.
static TRUSTED: LazyLock<Authority> = LazyLock::new(|| Authority::new(today()).unwrap());
static STRANGER: LazyLock<Authority> = LazyLock::new(|| Authority::new(today()).unwrap());

#[expect(clippy::disallowed_methods, reason = "certificates are checked against the clock of this machine")]
fn today() -> SystemTime {
    SystemTime::now()
}

/// A server, and the certificates that it shows.
struct Server {
    identity: TlsIdentity,
    own: Vec<u8>,
    authority: Vec<u8>,
}

impl Server {
    fn new(name: &str, authority: &Authority, made: SystemTime, shows_authority: bool) -> Server {
        let (certificate, key) = authority.issue(&[name], None, made).unwrap();
        let chain = if shows_authority {
            certificate.clone() + authority.certificate_pem()
        } else {
            certificate.clone()
        };
        Server {
            identity: TlsIdentity::from_pem(chain.as_bytes(), key.expose().as_bytes()).unwrap(),
            own: der(&certificate),
            authority: der(authority.certificate_pem()),
        }
    }

    /// A record that fits it.
    fn record(&self, usage: u8, selector: u8, matching: u8) -> Tlsa {
        let certificate = if matches!(usage, 1 | 3) { &self.own } else { &self.authority };
        let selected = match selector {
            0 => certificate.clone(),
            _ => X509Certificate::from_der(certificate).unwrap().1.public_key().raw.to_vec(),
        };
        let data = match matching {
            0 => selected,
            1 => Sha256::digest(&selected).to_vec(),
            _ => Sha512::digest(&selected).to_vec(),
        };
        Tlsa { usage, selector, matching, data }
    }
}

fn der(pem: &str) -> Vec<u8> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap().to_vec()
}

static SERVERS: LazyLock<[Server; 4]> = LazyLock::new(|| {
    [
        Server::new(DOMAIN, &TRUSTED, today(), true),
        Server::new(DOMAIN, &STRANGER, today(), true),
        Server::new("elsewhere.example", &STRANGER, today(), true),
        Server::new(DOMAIN, &STRANGER, today() - Duration::from_secs(86_400 * 500), true),
    ]
});

static TRUSTS: LazyLock<[TlsTrust; 2]> = LazyLock::new(|| {
    let trust = TlsTrust::builder().roots_pem(TRUSTED.certificate_pem().as_bytes()).unwrap().to_servers();
    [trust.clone().build().unwrap(), trust.accept_unproven().build().unwrap()]
});

fn vouchers(tlsa: Vec<Tlsa>) -> Vouchers {
    let mut vouchers = Vouchers::default();
    (vouchers.host, vouchers.port, vouchers.tlsa) = (Some(HOST.into()), 5269, tlsa);
    vouchers
}

/// Whether a connection comes about, and whether the server is certainly `DOMAIN` then.
fn connects(trust: &TlsTrust, server: &Server, vouchers: Vouchers) -> Result<bool, Refusal> {
    let mut pair = Pair::new(&trust.clone().vouched(vouchers), &server.identity, DOMAIN);
    match pair.settle(&mut whole) {
        Ok(_) => {
            let domains = &pair.client.session.established().unwrap().peer_domains;
            Ok(domains.iter().any(|domain| domain == DOMAIN))
        }
        Err(Error::Certificate { refusal, .. }) => Err(refusal),
        Err(other) => panic!("{other}"),
    }
}

const KINDS: [(u8, u8); 6] = [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)];

// RFC 7671 §5: who is believed with a record of each usage that fits, selector and matching being of no account
#[test]
fn records_of_each_usage() {
    let [known, unknown, misnamed, expired] = &*SERVERS;
    let table = [
        // Beside what authorities say (RFC 6698 section 2.1.1).
        (0, known, true),
        (0, unknown, false),
        (1, known, true),
        (1, unknown, false),
        (1, misnamed, false),
        // An authority of its own: the name has to be right, and it has to be valid.
        (2, known, true),
        (2, unknown, true),
        (2, misnamed, false),
        (2, expired, false),
        // The certificate itself, whatever is in it.
        (3, known, true),
        (3, unknown, true),
        (3, misnamed, true),
        (3, expired, true),
    ];
    for (usage, server, is_believed) in table {
        for (selector, matching) in KINDS {
            for trust in &*TRUSTS {
                let record = server.record(usage, selector, matching);
                let what = format!("{record} for {:?}", server.own.len());
                match connects(trust, server, vouchers(vec![record])) {
                    Ok(is_proven) => assert!(is_believed && is_proven, "{what}"),
                    Err(Refusal::Tlsa(would)) => {
                        assert!(!is_believed, "{what}");
                        let fits = server.record(3, 1, 1);
                        assert_eq!(would, format!("_5269._tcp.{HOST}. TLSA {fits}"));
                    }
                    Err(other) => panic!("{what}: {other:?}"),
                }
            }
        }
    }
}

// RFC 7671 §5.2.3: an authority that stands in the record as it is, or its key, does not have to be shown
#[test]
fn authorities_in_the_record_need_not_be_shown() {
    let alone = Server::new(DOMAIN, &STRANGER, today(), false);
    for (selector, matching) in KINDS {
        let result = connects(&TRUSTS[0], &alone, vouchers(vec![alone.record(2, selector, matching)]));
        assert_eq!(result.is_ok(), matching == 0, "{selector} {matching}: {result:?}");
    }
    // Another one's key is not that of whoever has signed it.
    let other = vouchers(vec![SERVERS[0].record(2, 1, 0)]);
    assert!(matches!(connects(&TRUSTS[0], &alone, other), Err(Refusal::Tlsa(_))));
}

// RFC 7673 §4, RFC 7712 §6: a host that a signed record names speaks for the domain; without that it is nobody
#[test]
fn a_signed_host_speaks_for_the_domain() {
    let host = Server::new(HOST, &TRUSTED, today(), true);
    let [strict, lax] = &*TRUSTS;
    assert_eq!(connects(strict, &host, vouchers(Vec::new())), Ok(true));
    assert_eq!(connects(lax, &host, vouchers(Vec::new())), Ok(true));
    assert!(matches!(connects(strict, &host, Vouchers::default()), Err(Refusal::WrongName(_))));
    assert_eq!(connects(lax, &host, Vouchers::default()), Ok(false));
    // Its authority has to be trusted all the same, unless the DNS names that.
    let stranger = Server::new(HOST, &STRANGER, today(), true);
    assert_eq!(connects(strict, &stranger, vouchers(Vec::new())), Err(Refusal::Untrusted));
    assert_eq!(connects(strict, &stranger, vouchers(vec![stranger.record(2, 0, 1)])), Ok(true));
    assert_eq!(connects(lax, &stranger, vouchers(Vec::new())), Ok(false));
}

// RFC 7671 §9: a weaker hash does not count beside a stronger one, so that who breaks it has gained nothing
#[test]
fn a_weaker_hash_does_not_help() {
    let [known, unknown, ..] = &*SERVERS;
    let both = vouchers(vec![unknown.record(3, 1, 1), known.record(3, 1, 2)]);
    assert!(matches!(connects(&TRUSTS[0], unknown, both), Err(Refusal::Tlsa(_))));
}

/// Anything that is no record of use.
fn unusable() -> impl Strategy<Value = Tlsa> {
    let any = (any::<u8>(), any::<u8>(), any::<u8>(), vec(any::<u8>(), 0..80));
    any.prop_map(|(usage, selector, matching, data)| Tlsa { usage, selector, matching, data })
        // What is no certificate and no key, as it is, is of no use either.
        .prop_filter("it is usable", |record| !record.is_usable() || record.matching == 0)
}

/// A record for somebody else.
fn misfit() -> impl Strategy<Value = Tlsa> {
    (0..4_u8, 0..2_u8, 1..3_u8, any::<u8>()).prop_map(|(usage, selector, matching, byte)| Tlsa {
        usage,
        selector,
        matching,
        data: vec![byte; 32 * usize::from(matching)],
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    // RFC 6698 §4.1, RFC 7673 §4: unusable records change nothing
    #[test]
    fn unusable_records_change_nothing(records in vec(unusable(), 1..6)) {
        for server in &*SERVERS {
            for trust in &*TRUSTS {
                let with = connects(trust, server, vouchers(records.clone()));
                prop_assert_eq!(with, connects(trust, server, vouchers(Vec::new())));
            }
        }
    }

    // RFC 7673 §4: where there are usable records and none fits there is no connection, whoever else vouches and whatever else would do
    #[test]
    fn none_that_fits_is_refused(records in vec(misfit(), 1..6), useless in vec(unusable(), 0..3)) {
        let records: Vec<Tlsa> = useless.into_iter().chain(records).collect();
        for server in &*SERVERS {
            for trust in &*TRUSTS {
                let refused = connects(trust, server, vouchers(records.clone()));
                prop_assert!(matches!(refused, Err(Refusal::Tlsa(_))), "{refused:?}");
            }
        }
    }

    // RFC 7671 §8: one that fits is enough, beside any others of the same hash
    #[test]
    fn one_that_fits_is_enough(records in vec(misfit(), 0..6), at in any::<prop::sample::Index>()) {
        let fits = SERVERS[1].record(3, 1, 2);
        let mut records = records;
        records.insert(at.index(records.len() + 1), fits);
        for trust in &*TRUSTS {
            prop_assert_eq!(connects(trust, &SERVERS[1], vouchers(records.clone())), Ok(true));
        }
    }
}
