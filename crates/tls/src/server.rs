//! What the TLS of a server shows to clients, browsers and other servers: its certificate, with the key to it.
//!
//! And what can be said of that certificate when a server starts, before its users find it out.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::server::ResolvesServerCert;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;
use x509_parser::time::ASN1Time;

use crate::certificates::{Certificates, Own};
use crate::clock::{self, Clock, Tickets};
use crate::identity::Service;
use crate::verify::{Anyone, Trust};
use crate::vouchers::Shown;
use crate::{
    ALPN_CLIENT, ALPN_SERVER, CertificateDetails, ConfigError, Error, TlsTrust, Vouchers, name, pem,
};

/// What all TLS sessions of a server share: its certificate and key, or one of [each domain](TlsIdentity::with_domain). Cloning is
/// cheap.
///
/// Clients that offer ALPN must offer `xmpp-client` (XEP-0368); clients that offer none, as with STARTTLS, are welcome.
/// Sessions are resumed with stateless tickets under keys that rotate and are never stored.
#[derive(Clone)]
pub struct TlsIdentity {
    pub(crate) tls: Arc<rustls::ServerConfig>,
    pub(crate) certificates: Arc<Certificates>,
    /// Whom to believe about other servers.
    pub(crate) peers: Option<Arc<Trust>>,
}

impl TlsIdentity {
    /// The server with this certificate, followed by the authorities that signed it if there are any, and its private
    /// key (PKCS #8, PKCS #1 or SEC 1), all in PEM. Both may stand in one file, which is then passed twice.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] with a text that says what is missing or does not fit.
    pub fn from_pem(cert_chain_pem: &[u8], key_pem: &[u8]) -> Result<TlsIdentity, Error> {
        let chain = pem::certificates(cert_chain_pem)?;
        let key = pem::private_key(key_pem)?;
        let provider = Arc::new(ring::default_provider());
        let mut tls = rustls::ServerConfig::builder_with_details(provider, Arc::new(Clock))
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::from_rustls(error, None))?
            .with_no_client_auth()
            .with_single_cert(chain.clone(), key)
            .map_err(unusable)?;
        tls.alpn_protocols = [ALPN_CLIENT.into()].into();
        tls.ticketer = Tickets::new()?;
        tls.require_ems = true;
        // Whoever uses it up gets another one; a second would be for two connections at the same time.
        tls.send_tls13_tickets = 1;
        // What comes before the handshake is over can be played again, and a login with it.
        tls.max_early_data_size = 0;
        let certificates = Arc::new(Certificates::one(chain, Arc::clone(&tls.cert_resolver)));
        Ok(TlsIdentity { tls: Arc::new(tls), certificates, peers: None })
    }

    /// The same server with another certificate for those who ask for `domain` (SNI, RFC 6066 section 3): the one of `other`. Who asks for
    /// no name is shown the certificate of this configuration, and so is who asks for a name that stands in none of the certificates.
    ///
    /// # Errors
    ///
    /// [`Error::Domain`] if it can be no name in a certificate.
    pub fn with_domain(&self, domain: &str, other: &TlsIdentity) -> Result<TlsIdentity, Error> {
        let name = name::reference(domain)?.to_str().to_ascii_lowercase();
        let mut certificates = (*self.certificates).clone();
        certificates.named.insert(name, other.certificates.first.clone());
        let certificates = Arc::new(certificates);
        let mut tls = (*self.tls).clone();
        tls.cert_resolver = Arc::clone(&certificates) as Arc<dyn ResolvesServerCert>;
        Ok(TlsIdentity { tls: Arc::new(tls), certificates, peers: self.peers.clone() })
    }

    /// The same server to other servers: it asks them for their certificates. `trust` is what we are to them in turn
    /// ([`federation`](crate::TlsTrustBuilder::federation)); whom that trusts, this trusts.
    ///
    /// A certificate that proves nothing, or none at all, does no harm to the handshake, because there is still dialback:
    /// look at [`Established::peer_domains`](crate::Established::peer_domains).
    ///
    /// # Errors
    ///
    /// [`Error::Protocol`] if the operating system gives no randomness.
    pub fn federation(&self, trust: &TlsTrust) -> Result<TlsIdentity, Error> {
        let provider = Arc::new(ring::default_provider());
        let verifier = Arc::new(Anyone(provider.signature_verification_algorithms));
        let mut tls = rustls::ServerConfig::builder_with_details(provider, Arc::new(Clock))
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::from_rustls(error, None))?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::clone(&self.tls.cert_resolver));
        tls.alpn_protocols = [ALPN_SERVER.into()].into();
        tls.ticketer = Tickets::new()?;
        tls.require_ems = true;
        Ok(TlsIdentity {
            tls: Arc::new(tls),
            certificates: Arc::clone(&self.certificates),
            peers: trust.trust.clone(),
        })
    }

    /// Whether a server that has shown these certificates, in DER and its own first, is certainly `domain` since others say so. With no
    /// vouchers that is so if authorities say it.
    #[must_use]
    pub fn believes(&self, chain: &[Vec<u8>], domain: &str, vouchers: &Vouchers) -> bool {
        let chain: Vec<CertificateDer<'_>> =
            chain.iter().map(|certificate| CertificateDer::from(certificate.as_slice())).collect();
        let (Some(trust), Ok(name), Some((own, others))) =
            (&self.peers, name::reference(domain), chain.split_first())
        else {
            return false;
        };
        let shown = Shown { own, others, name: &name, service: Service::Server, now: clock::now() };
        vouchers.judge(trust, &shown).is_ok()
    }

    /// The same server to browsers, which know no protocol but HTTP, for WebSockets (RFC 7395).
    #[must_use]
    pub fn web(&self) -> TlsIdentity {
        let mut tls = (*self.tls).clone();
        tls.alpn_protocols = [b"http/1.1"[..].into()].into();
        TlsIdentity { tls: Arc::new(tls), ..self.clone() }
    }

    /// The certificate that is shown unless another domain is asked for.
    fn own(&self) -> &Own {
        &self.certificates.first
    }

    /// From when until when the certificate is valid, in seconds since 1970 (UTC); `None` if that cannot be read.
    #[must_use]
    pub fn validity(&self) -> Option<Range<u64>> {
        let (_, certificate) = X509Certificate::from_der(self.own().certificate()).ok()?;
        let seconds = |time: ASN1Time| u64::try_from(time.timestamp()).ok();
        let validity = certificate.validity();
        Some(seconds(validity.not_before)?..seconds(validity.not_after)?)
    }

    /// What stands in the certificate; `None` if it cannot be read.
    #[must_use]
    pub fn details(&self) -> Option<CertificateDetails> {
        CertificateDetails::read(self.own().certificate())
    }

    /// Whether certificates of those who have signed the server's own are sent along with it.
    #[must_use]
    pub fn has_chain(&self) -> bool {
        self.own().chain.len() > 1
    }

    /// Whether the certificate says that it is its own authority.
    #[must_use]
    pub fn is_self_signed(&self) -> bool {
        X509Certificate::from_der(self.own().certificate())
            .is_ok_and(|(_, certificate)| certificate.issuer() == certificate.subject())
    }

    /// Whether the certificate says that the authority in `pem` has signed it. That is no proof, but tells certificates of one's
    /// own authority from others.
    #[must_use]
    pub fn is_issued_by(&self, pem: &[u8]) -> bool {
        let Ok(authority) = pem::certificates(pem) else { return false };
        match (X509Certificate::from_der(&authority[0]), X509Certificate::from_der(self.own().certificate()))
        {
            (Ok((_, authority)), Ok((_, own))) => authority.subject() == own.issuer(),
            _ => false,
        }
    }

    /// Whether clients will find `domain` among the names of the certificate that they are shown. Ask it for each domain when the server
    /// starts: otherwise the first to notice is a user.
    #[must_use]
    pub fn covers(&self, domain: &str) -> bool {
        let Ok(reference) = name::reference(domain) else { return false };
        self.certificates.of(Some(&reference.to_str())).covers(&reference)
    }
}

pub(crate) fn unusable(error: rustls::Error) -> ConfigError {
    match error {
        rustls::Error::InconsistentKeys(_) => ConfigError::KeyMismatch,
        rustls::Error::InvalidCertificate(reason) => ConfigError::BadCertificate(alloc::format!("{reason}")),
        other => ConfigError::BadKey(alloc::format!("{other}")),
    }
}

impl fmt::Debug for TlsIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsIdentity").finish_non_exhaustive()
    }
}

#[cfg(all(test, feature = "rcgen"))]
mod tests {
    use super::*;

    // XEP-0388 §3, XEP-0386 §4, XEP-0484 §3.1 [SL36] [BI20] [FA3], XEP-0509 §4 [IA12]: no login comes before the
    // handshake is over, nor is one sent
    #[test]
    fn early_data_is_not_taken() {
        let (certificate, key) = crate::self_signed(&["localhost"]).unwrap();
        let server = TlsIdentity::from_pem(certificate.as_bytes(), key.expose().as_bytes()).unwrap();
        for config in [&server, &server.web()] {
            assert_eq!(config.tls.max_early_data_size, 0);
        }
        let client = crate::TlsTrust::builder().roots_pem(certificate.as_bytes()).unwrap().build().unwrap();
        assert!(!client.tls.enable_early_data);
    }

    // The clock that rustls has by itself panics before 1970.
    #[test]
    fn all_configurations_have_the_clock_that_may_be_before_1970() {
        let (certificate, key) = crate::self_signed(&["localhost"]).unwrap();
        let server = TlsIdentity::from_pem(certificate.as_bytes(), key.expose().as_bytes()).unwrap();
        let trust = crate::TlsTrust::builder().roots_pem(certificate.as_bytes()).unwrap();
        let client = trust.clone().build().unwrap();
        let vouched = client.clone().vouched(Vouchers { port: 1, ..Vouchers::default() });
        let federation = trust.federation(certificate.as_bytes(), key.expose().as_bytes()).unwrap();
        let federation = federation.build().unwrap();
        let named = server.with_domain("example.org", &server).unwrap();
        for config in [&server, &server.web(), &named, &server.federation(&federation).unwrap()] {
            assert_eq!(alloc::format!("{:?}", config.tls.time_provider), "Clock");
            assert!(alloc::format!("{:?}", config.tls.ticketer).starts_with("Tickets"));
        }
        for config in [&client.tls, &federation.tls, &vouched.of_connection()] {
            assert_eq!(alloc::format!("{:?}", config.time_provider), "Clock");
        }
    }
}
