//! What stands in a certificate, for whoever has to find out why nobody believes it. Whether it is to be believed is another question:
//! [`TlsTrust::judge`].

use alloc::borrow::ToOwned as _;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::ops::Range;

use balcony_machine::Tlsa;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;
use x509_parser::time::ASN1Time;

use crate::identity::{Identity, Service};
use crate::verify::Trusted;
use crate::{ConfigError, Error, TlsIdentity, TlsTrust, clock, name, pem, vouchers};

/// What stands in a certificate (RFC 5280 section 4.1).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CertificateDetails {
    /// The DNS names in it, of which the first label may be `*`; then the domains in SRV names and XMPP addresses, of either service.
    pub names: Vec<String>,
    /// From when until when it is valid, in seconds since 1970 (UTC).
    pub validity: Range<u64>,
    /// Who has signed it, in the form `CN=…, O=…`.
    pub issuer: String,
    /// Whether it says that it is its own authority.
    pub is_self_signed: bool,
    /// A TLSA record that fits it as long as it has this key: `3 1 1` (RFC 7671 section 5.1).
    pub tlsa: Tlsa,
}

impl CertificateDetails {
    /// Reads a certificate in DER, such as one of
    /// [`Established::peer_certificates`](crate::Established::peer_certificates); `None` if it is none.
    #[must_use]
    pub fn read(der: &[u8]) -> Option<CertificateDetails> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let validity = certificate.validity();
        let seconds = |time: ASN1Time| u64::try_from(time.timestamp()).unwrap_or(0);
        let der = CertificateDer::from(der);
        let mut names = Vec::new();
        for service in [Service::Client, Service::Server] {
            let Some(identity) = Identity::read(&der, service) else { continue };
            for name in identity.dns.into_iter().chain(identity.others) {
                if !names.contains(&name) {
                    names.push(name);
                }
            }
        }
        Some(CertificateDetails {
            names,
            validity: seconds(validity.not_before)..seconds(validity.not_after),
            issuer: certificate.issuer().to_string(),
            is_self_signed: certificate.issuer() == certificate.subject(),
            tlsa: vouchers::record(certificate.public_key().raw),
        })
    }

    /// Reads the first of these certificates in PEM, such as that of a server before those who have signed it.
    ///
    /// # Errors
    ///
    /// [`Error::Config`]: there is none, or it can't be read.
    pub fn read_pem(pem: &[u8]) -> Result<CertificateDetails, Error> {
        let first = pem::certificates(pem)?;
        let details = first.first().and_then(|certificate| CertificateDetails::read(certificate));
        details.ok_or_else(|| ConfigError::BadCertificate("it is none".to_owned()).into())
    }
}

impl TlsTrust {
    /// Whether a server that presents these certificates, in DER and its own first, has proven with them that it is `domain`: whether a
    /// [`Session`](crate::Session) of a configuration with these roots would go on. For configurations that themselves
    /// [go on without proof](crate::TlsTrustBuilder::accept_unproven); one that accepts everybody accepts this, too.
    ///
    /// # Errors
    ///
    /// [`Error::Certificate`] with what is wrong; [`Error::Domain`] if no certificate can be for `domain`.
    pub fn judge(&self, chain: &[Vec<u8>], domain: &str) -> Result<(), Error> {
        let chain: Vec<CertificateDer<'_>> =
            chain.iter().map(|certificate| CertificateDer::from(certificate.as_slice())).collect();
        self.judge_der(&chain, domain)
    }

    /// The same of the certificate that `server` shows to who asks for `domain`.
    ///
    /// # Errors
    ///
    /// As for [`judge`](TlsTrust::judge).
    pub fn judge_server(&self, server: &TlsIdentity, domain: &str) -> Result<(), Error> {
        let name = name::ascii(domain)?;
        self.judge_der(&server.certificates.of(Some(&name)).chain, domain)
    }

    fn judge_der(&self, chain: &[CertificateDer<'_>], domain: &str) -> Result<(), Error> {
        let reference = name::reference(domain)?;
        let Some(trust) = self.trust.clone() else { return Ok(()) };
        let Some((own, others)) = chain.split_first() else {
            return Err(Error::Protocol("the peer has shown no certificate".to_owned()));
        };
        let vouchers = self.vouchers.clone().unwrap_or_default();
        Trusted { trust, service: self.service, vouchers, accept_unproven: false }
            .verify_server_cert(own, others, &reference, &[], clock::now())
            .map(drop)
            .map_err(|error| Error::from_rustls(error, Some(domain)))
    }
}
