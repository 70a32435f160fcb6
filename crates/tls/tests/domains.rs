//! A server with a certificate for each of its domains: which one is shown to whom, and what it is worth.
#![allow(clippy::unwrap_used, reason = "these are tests")]

mod common;
mod issuer;

use balcony_tls::{CertificateDetails, Error, Refusal, TlsIdentity, TlsTrust};
use common::{Pair, whole};
use issuer::Name::{Dns, XmppAddr};
use issuer::{Issuer, Name, Pem};

fn config((certificate, key): &Pem) -> TlsIdentity {
    TlsIdentity::from_pem(certificate.as_bytes(), key.as_bytes()).unwrap()
}

fn trusting(issuer: &Issuer) -> TlsTrust {
    TlsTrust::builder().roots_pem(issuer.pem().as_bytes()).unwrap().build().unwrap()
}

/// Of `first.example`, with others for `second.example`, and for `third.example` and all below it.
fn several(issuer: &Issuer) -> TlsIdentity {
    let certify = |names: &[Name<'_>]| config(&issuer.certify(names, |_| {}));
    let server = certify(&[Dns("first.example"), Dns("extra.example")]);
    let server = server.with_domain("second.example", &certify(&[Dns("second.example")])).unwrap();
    let third = certify(&[Dns("third.example"), Dns("*.third.example"), Dns("bücher.example")]);
    server.with_domain("Third.Example", &third).unwrap()
}

/// The names in the certificate that somebody sees who asks for `name`.
fn shown(server: &TlsIdentity, name: &str) -> Vec<String> {
    let client = TlsTrust::builder().dangerous_accept_any().build().unwrap();
    let mut pair = Pair::new(&client, server, name);
    pair.settle(&mut whole).unwrap();
    let [client, server] = [&pair.client, &pair.server].map(|side| side.session.established().unwrap());
    assert_eq!(client.server_end_point, server.server_end_point, "both ends bind to the same certificate");
    CertificateDetails::read(&client.peer_certificates[0]).unwrap().names
}

// RFC 6066 §3: each domain its own certificate; who asks for nothing that is known sees the first
#[test]
fn who_asks_for_a_domain_sees_its_certificate() {
    let issuer = Issuer::new();
    let server = several(&issuer);
    for server in [&server, &server.web(), &server.federation(&trusting(&issuer)).unwrap()] {
        assert_eq!(shown(server, "first.example"), ["first.example", "extra.example"]);
        assert_eq!(shown(server, "second.example"), ["second.example"]);
        assert_eq!(shown(server, "SECOND.example"), ["second.example"]);
        assert_eq!(shown(server, "third.example")[0], "third.example");
        // A service below a domain may share its certificate.
        assert_eq!(shown(server, "rooms.third.example")[0], "third.example");
        for unknown in ["fourth.example", "rooms.second.example", "127.0.0.1"] {
            assert_eq!(shown(server, unknown)[0], "first.example", "{unknown}");
        }
    }
    for (domain, is_covered) in [
        ("first.example", true),
        ("second.example", true),
        ("third.example", true),
        ("fourth.example", false),
    ] {
        assert_eq!(server.covers(domain), is_covered, "{domain}");
        let mut pair = Pair::new(&trusting(&issuer), &server, domain);
        assert_eq!(pair.settle(&mut whole).is_ok(), is_covered, "{domain}");
    }
    assert!(matches!(server.with_domain("a b", &server), Err(Error::Domain(_))));
}

// A stream from each of our domains shows the certificate of that domain.
#[test]
fn streams_from_a_domain_show_its_certificate() {
    let issuer = Issuer::new();
    let certify = |name| issuer.certify(&[XmppAddr(name)], |_| {});
    let [first, second] = [certify("first.example"), certify("second.example")];
    let client = TlsTrust::builder().roots_pem(issuer.pem().as_bytes()).unwrap();
    let client = client.federation(first.0.as_bytes(), first.1.as_bytes()).unwrap();
    let client = client.federation_of("second.example", second.0.as_bytes(), second.1.as_bytes()).unwrap();
    let client = client.build().unwrap();
    let theirs = config(&issuer.certify(&[Dns("theirs.example")], |_| {})).federation(&client).unwrap();
    for (from, proven) in
        [("first.example", "first.example"), ("second.example", "second.example"), ("other", "first.example")]
    {
        let mut pair = Pair::new(&client.clone().of(from), &theirs, "theirs.example");
        pair.settle(&mut whole).unwrap();
        assert_eq!(pair.server.session.established().unwrap().peer_domains, [proven], "{from}");
    }
}

/// Why a certificate proves nothing.
fn refusal(client: &TlsTrust, server: &TlsIdentity, domain: &str) -> Option<Refusal> {
    match client.judge_server(server, domain) {
        Ok(()) => None,
        Err(Error::Certificate { refusal, .. }) => Some(refusal),
        Err(error) => panic!("{error}"),
    }
}

// A certificate is judged as a handshake would judge it, also by who goes on without proof.
#[test]
fn certificates_are_judged_as_in_a_handshake() {
    let (issuer, stranger) = (Issuer::new(), Issuer::new());
    let date = rcgen::date_time_ymd;
    let good = config(&issuer.certify(&[Dns("a.example")], |_| {}));
    let expired = config(&issuer.certify(&[Dns("a.example")], |params| params.not_after = date(2020, 1, 1)));
    let early = config(&issuer.certify(&[Dns("a.example")], |params| params.not_before = date(2090, 1, 1)));
    let of_stranger = config(&stranger.certify(&[Dns("a.example")], |_| {}));
    let strict = trusting(&issuer);
    let lax = TlsTrust::builder().roots_pem(issuer.pem().as_bytes()).unwrap().accept_unproven();
    let lax = lax.to_servers().build().unwrap();
    for (server, domain, expected) in [
        (&good, "a.example", None),
        (&good, "b.example", Some(Refusal::WrongName(vec!["a.example".into()]))),
        (&expired, "a.example", Some(Refusal::Expired)),
        (&early, "a.example", Some(Refusal::NotYetValid)),
        (&of_stranger, "a.example", Some(Refusal::Untrusted)),
    ] {
        let (by_strict, by_lax) = (refusal(&strict, server, domain), refusal(&lax, server, domain));
        assert_eq!(by_strict, by_lax);
        let is_good = expected.is_none();
        assert_eq!(by_strict, expected);
        let mut pair = Pair::new(&strict, server, domain);
        assert_eq!(pair.settle(&mut whole).is_ok(), is_good);
    }
    assert!(matches!(strict.judge(&[], "a.example"), Err(Error::Protocol(_))));
    assert!(strict.judge(&[vec![1, 2, 3]], "a.example").is_err());
}

// What stands in one is read as it is, whoever vouches for it.
#[test]
fn the_details_of_a_certificate() {
    let issuer = Issuer::new();
    let names = [Dns("*.a.example"), XmppAddr("b.example")];
    let pem = issuer.certify(&names, |params| {
        (params.not_before, params.not_after) =
            (rcgen::date_time_ymd(2024, 1, 1), rcgen::date_time_ymd(2025, 1, 1));
    });
    let client = TlsTrust::builder().dangerous_accept_any().build().unwrap();
    let mut pair = Pair::new(&client, &config(&pem), "a.example");
    pair.settle(&mut whole).unwrap();
    let der = &pair.client.session.established().unwrap().peer_certificates[0];
    let details = CertificateDetails::read(der).unwrap();
    assert_eq!(details.names, ["*.a.example", "b.example"]);
    assert_eq!(details.validity, 1_704_067_200..1_735_689_600);
    assert!(details.issuer.starts_with("CN="), "{details:?}");
    assert_eq!(CertificateDetails::read(&der[1..]), None);
}

// RFC 7590 §3.3: it is found out whether a server still has TLS 1.2
#[test]
fn an_old_client_is_one_of_tls_1_2() {
    let issuer = Issuer::new();
    let server = config(&issuer.certify(&[Dns("a.example")], |_| {}));
    let client = TlsTrust::builder().dangerous_accept_any().tls12_only().build().unwrap();
    let mut pair = Pair::new(&client, &server, "a.example");
    pair.settle(&mut whole).unwrap();
    assert_eq!(pair.client.session.established().unwrap().protocol, "TLSv1.2");
}
