//! An authority that puts into certificates what servers have in theirs.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]

use balcony_tls::{TlsIdentity, TlsTrust};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, CustomExtension, IsCa, KeyPair};

/// One name in a certificate.
#[derive(Clone, Copy, Debug)]
pub enum Name<'a> {
    Dns(&'a str),
    /// `id-on-dnsSRV`, an `IA5String`.
    Srv(&'a str),
    /// `id-on-xmppAddr`, a `UTF8String`.
    XmppAddr(&'a str),
    /// The same as another kind of string.
    XmppAddrIa5(&'a str),
    /// A name of an organisation's own kind.
    Other(&'a str),
}

const fn oid(last: u8) -> [u8; 8] {
    [0x2b, 6, 1, 5, 5, 7, 8, last]
}

fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let mut out = vec![tag];
    match u8::try_from(length) {
        Ok(short) if short < 128 => out.push(short),
        _ => {
            out.push(0x82);
            out.extend(u16::try_from(length).unwrap().to_be_bytes());
        }
    }
    out.extend(content);
    out
}

impl Name<'_> {
    fn encode(self) -> Vec<u8> {
        let other = |last, tag, text: &str| {
            der(0xa0, &[der(6, &oid(last)), der(0xa0, &der(tag, text.as_bytes()))].concat())
        };
        match self {
            Name::Dns(text) => der(0x82, text.as_bytes()),
            Name::Srv(text) => other(7, 0x16, text),
            Name::XmppAddr(text) => other(5, 0x0c, text),
            Name::XmppAddrIa5(text) => other(5, 0x16, text),
            Name::Other(text) => other(99, 0x0c, text),
        }
    }
}

pub struct Issuer(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, in PEM.
pub type Pem = (String, String);

impl Issuer {
    pub fn new() -> Issuer {
        Issuer::with(|_| {})
    }

    pub fn with(change: impl FnOnce(&mut CertificateParams)) -> Issuer {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        change(&mut params);
        Issuer(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }

    pub fn certify(&self, names: &[Name<'_>], change: impl FnOnce(&mut CertificateParams)) -> Pem {
        let mut params = CertificateParams::new([]).unwrap();
        let names: Vec<u8> = names.iter().flat_map(|name| name.encode()).collect();
        let content = der(0x30, &names);
        params.custom_extensions.push(CustomExtension::from_oid_content(&[2, 5, 29, 17], content));
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem())
    }
}

/// Both ends of a server with this certificate, as other servers see it, which trusts only this authority.
pub fn server((certificate, key): &Pem, roots: &str) -> (TlsTrust, TlsIdentity) {
    let (certificate, key) = (certificate.as_bytes(), key.as_bytes());
    let client = TlsTrust::builder().roots_pem(roots.as_bytes()).unwrap();
    let client = client.federation(certificate, key).unwrap().build().unwrap();
    let server = TlsIdentity::from_pem(certificate, key).unwrap().federation(&client).unwrap();
    (client, server)
}
