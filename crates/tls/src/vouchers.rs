//! Who says that a certificate is that of a domain, beside the authorities that are trusted: signed TLSA records (DANE: RFC 7671, RFC 7673),
//! and signed SRV records, which name the host that speaks for the domain (RFC 7712 section 6). Whether to believe the DNS is for others to
//! decide; what is here counts.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use balcony_machine::Tlsa;
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, Error, OtherError, RootCertStore};
use sha2::{Digest as _, Sha256, Sha512};
use x509_parser::asn1_rs::FromDer as _;
use x509_parser::certificate::X509Certificate;
use x509_parser::x509::SubjectPublicKeyInfo;

use crate::identity::Service;
use crate::verify::Trust;

/// Who says that a certificate is that of a domain, beside the authorities that are trusted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Vouchers {
    /// A host that speaks for the domain, since a signed SRV record says so: a certificate for it is as good as one for the domain
    /// (RFC 7712 section 6, RFC 7673 section 4).
    pub host: Option<String>,
    /// Its port, so that somebody can be told which TLSA record is missing.
    pub port: u16,
    /// The signed TLSA records of the place. If any of them [counts](Tlsa::that_count), the certificate has to fit one of them, whatever
    /// else there is (RFC 7671, RFC 7673 section 4).
    pub tlsa: Vec<Tlsa>,
}

/// By what it is certain that a certificate is that of a domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Basis {
    /// Authorities, trusted ones or those that the DNS names. It is as long as the certificate is valid.
    Authority,
    /// The DNS names the certificate, or its key. When it expires is of no account (RFC 7671 section 5.1).
    Itself,
}

/// No TLSA record fits.
#[derive(Debug)]
pub(crate) struct NoneFits {
    /// One that would, as in a zone file.
    pub(crate) would: String,
}

impl fmt::Display for NoneFits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no TLSA record fits; `{}` would", self.would)
    }
}

impl core::error::Error for NoneFits {}

/// Certificates that a server has shown, and who it has to be.
pub(crate) struct Shown<'a> {
    pub(crate) own: &'a CertificateDer<'a>,
    pub(crate) others: &'a [CertificateDer<'a>],
    pub(crate) name: &'a ServerName<'a>,
    pub(crate) service: Service,
    pub(crate) now: UnixTime,
}

impl Vouchers {
    /// The TLSA records that count, and that can be read.
    fn records(&self) -> impl Iterator<Item = &Tlsa> {
        Tlsa::that_count(&self.tlsa).filter(|record| match (record.matching, record.selector) {
            (0, 0) => X509Certificate::from_der(&record.data).is_ok(),
            (0, _) => SubjectPublicKeyInfo::from_der(&record.data).is_ok(),
            _ => true,
        })
    }

    /// Whether the certificate has to be one that the DNS names.
    pub(crate) fn are_strict(&self) -> bool {
        self.records().next().is_some()
    }

    /// Whether these certificates prove that a server is who it has to be, and by what.
    pub(crate) fn judge(&self, trust: &Trust, shown: &Shown<'_>) -> Result<Basis, Error> {
        if !self.are_strict() {
            return trust.judge(shown, self.host.as_deref()).map(|()| Basis::Authority);
        }
        let by_authority = trust.judge(shown, self.host.as_deref());
        let mut basis = None;
        for record in self.records() {
            match record.usage {
                3 if fits(record, shown.own) => return Ok(Basis::Itself),
                1 if by_authority.is_ok() && fits(record, shown.own) => basis = Some(Basis::Authority),
                0 if by_authority.is_ok() && self.is_signed_by(record, trust, shown) => {
                    basis = Some(Basis::Authority)
                }
                2 if self.is_signed_by(record, trust, shown) => basis = Some(Basis::Authority),
                _ => {}
            }
        }
        basis.ok_or_else(|| {
            let record = record(&key(shown.own).unwrap_or_default());
            let host = self.host.as_deref().unwrap_or_default();
            let would = format!("_{}._tcp.{host}. TLSA {record}", self.port);
            Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(NoneFits { would }))))
        })
    }

    /// Whether an authority that a record names has signed the certificate, and the certificate has the right name (RFC 7671 sections 5.2
    /// and 5.4).
    fn is_signed_by(&self, record: &Tlsa, trust: &Trust, shown: &Shown<'_>) -> bool {
        let Ok(parsed) = ParsedCertificate::try_from(shown.own) else { return false };
        let mut anchors = RootCertStore::empty();
        for certificate in shown.others.iter().filter(|certificate| fits(record, certificate)) {
            // One that can't be read is no authority.
            let _ = anchors.add(certificate.clone().into_owned());
        }
        // The record may have all that there is to know of an authority, which the server then does not have to show.
        if (record.usage, record.matching, record.selector) == (2, 0, 0) {
            let _ = anchors.add(CertificateDer::from(record.data.clone()));
        }
        if (record.usage, record.matching, record.selector) == (2, 0, 1) {
            let all = core::iter::once(shown.own).chain(shown.others);
            anchors.roots.extend(all.filter_map(|certificate| signer(certificate, &record.data)));
        }
        let algorithms = trust.algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&parsed, &anchors, shown.others, shown.now, algorithms)
            .is_ok()
            && trust.is_named(shown, self.host.as_deref()).is_ok()
    }
}

/// Whether a certificate is the one, or has the key, that a record names (RFC 6698 section 2.1).
fn fits(record: &Tlsa, certificate: &CertificateDer<'_>) -> bool {
    let selected = if record.selector == 0 { Some(certificate.to_vec()) } else { key(certificate) };
    let Some(selected) = selected else { return false };
    match record.matching {
        0 => selected == record.data,
        1 => *Sha256::digest(&selected) == *record.data,
        2 => *Sha512::digest(&selected) == *record.data,
        _ => false,
    }
}

/// The record for a server that has this key, `3 1 1`.
pub(crate) fn record(key: &[u8]) -> Tlsa {
    Tlsa { usage: 3, selector: 1, matching: 1, data: Sha256::digest(key).to_vec() }
}

/// The public key in a certificate, as it stands there.
fn key(certificate: &CertificateDer<'_>) -> Option<Vec<u8>> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    Some(certificate.public_key().raw.to_vec())
}

/// Whoever has signed this certificate, if this is their key.
fn signer(certificate: &CertificateDer<'_>, key: &[u8]) -> Option<TrustAnchor<'static>> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let subject = content(certificate.issuer().as_raw())?.to_vec();
    let key = content(key)?.to_vec();
    Some(TrustAnchor { subject: subject.into(), subject_public_key_info: key.into(), name_constraints: None })
}

/// What is in a sequence (X.690 section 8.1).
fn content(sequence: &[u8]) -> Option<&[u8]> {
    let [0x30, length, rest @ ..] = sequence else { return None };
    match length & 0x7f {
        _ if length & 0x80 == 0 => Some(rest),
        more => rest.get(usize::from(more)..),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // X.690 §8.1.3: lengths of one byte and of more
    #[test]
    fn sequences_are_opened() {
        assert_eq!(content(&[0x30, 2, 7, 8]), Some(&[7, 8][..]));
        assert_eq!(content(&[0x30, 0x81, 1, 7]), Some(&[7][..]));
        assert_eq!(content(&[0x30, 0x82, 0, 1, 7]), Some(&[7][..]));
        for wrong in [&[][..], &[0x30], &[0x31, 0], &[0x30, 0x84, 1]] {
            assert_eq!(content(wrong), None, "{wrong:?}");
        }
    }
}
