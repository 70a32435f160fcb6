//! What the TLS of a client trusts, and of a server that connects to others. Whether a certificate is to be believed is decided
//! in `verify.rs`.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use rustls::RootCertStore;
use rustls::client::Resumption;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::TLS12;

use crate::clock::Clock;
use crate::identity::Service;
use crate::server::unusable;
use crate::verify::{Anyone, Trust, Trusted};
use crate::{ConfigError, Error, Vouchers, pem};

/// Servers whose sessions a client goes on with: those of the domains that it was at last. Most have one, and rustls makes the places at once, 32
/// unless it is told otherwise. A server, which talks to many others, has these.
const SERVERS: usize = 8;
/// Tickets that rustls keeps of each.
const TICKETS: usize = 8;

/// What all TLS sessions of a client share: whom it trusts. Cloning is cheap.
///
/// It has tickets for the last eight domains, by which a client that comes again goes on with its TLS session; as a server to others
/// it has more.
///
/// A server is a client of other servers: see [`TlsTrustBuilder::federation`].
#[derive(Clone)]
pub struct TlsTrust {
    pub(crate) tls: Arc<rustls::ClientConfig>,
    /// The same with the certificates of certain domains of ours.
    domains: Arc<BTreeMap<String, Arc<rustls::ClientConfig>>>,
    pub(crate) alpn: bool,
    pub(crate) service: Service,
    /// `None` if everybody is accepted, and so nothing is proven.
    pub(crate) trust: Option<Arc<Trust>>,
    accept_unproven: bool,
    /// Who else is believed.
    pub(crate) vouchers: Option<Arc<Vouchers>>,
}

impl TlsTrust {
    /// Starts a configuration that trusts nobody yet.
    #[must_use]
    pub fn builder() -> TlsTrustBuilder {
        TlsTrustBuilder {
            roots: RootCertStore::empty(),
            given: Vec::new(),
            own: None,
            domains: BTreeMap::new(),
            to_servers: false,
            tls12_only: false,
            accept_any: false,
            accept_unproven: false,
            alpn: false,
        }
    }

    /// The same configuration with ALPN on, for direct TLS (XEP-0368), or off, for STARTTLS.
    #[must_use]
    pub fn with_alpn(mut self, on: bool) -> TlsTrust {
        self.alpn = on;
        self
    }

    /// The same configuration for a stream from `domain`, one of ours: with its certificate, if it has one of its own
    /// ([`federation_of`](TlsTrustBuilder::federation_of)).
    #[must_use]
    pub fn of(mut self, domain: &str) -> TlsTrust {
        if let Some(tls) = self.domains.get(domain) {
            self.tls = Arc::clone(tls);
        }
        self
    }

    /// The same configuration for one connection, about which others have something to say as well. It makes no difference to a
    /// configuration that [accepts everybody](TlsTrustBuilder::dangerous_accept_any); one that
    /// [goes on without proof](TlsTrustBuilder::accept_unproven) refuses what does not fit the TLSA records.
    #[must_use]
    pub fn vouched(mut self, vouchers: Vouchers) -> TlsTrust {
        self.vouchers = Some(vouchers).filter(|vouchers| *vouchers != Vouchers::default()).map(Arc::new);
        self
    }

    /// The configuration of a connection.
    pub(crate) fn of_connection(&self) -> Arc<rustls::ClientConfig> {
        let (Some(vouchers), Some(trust)) = (&self.vouchers, &self.trust) else {
            return Arc::clone(&self.tls);
        };
        let (trust, vouchers) = (Arc::clone(trust), Arc::clone(vouchers));
        let (service, accept_unproven) = (self.service, self.accept_unproven);
        let mut tls = rustls::ClientConfig::clone(&self.tls);
        // Somebody else's session says nothing about this server.
        tls.resumption = Resumption::disabled();
        let verifier = Trusted { trust, service, vouchers, accept_unproven };
        tls.dangerous().set_certificate_verifier(Arc::new(verifier));
        Arc::new(tls)
    }
}

impl fmt::Debug for TlsTrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsTrust").field("alpn", &self.alpn).finish_non_exhaustive()
    }
}

/// A certificate, followed by those who have signed it, and its key.
type Own = (Vec<CertificateDer<'static>>, Arc<PrivateKeyDer<'static>>);

/// Collects what a [`TlsTrust`] is made of.
#[derive(Clone)]
pub struct TlsTrustBuilder {
    roots: RootCertStore,
    given: Vec<CertificateDer<'static>>,
    /// The certificates and the key of a server.
    own: Option<Own>,
    /// Those of certain domains.
    domains: BTreeMap<String, Own>,
    to_servers: bool,
    tls12_only: bool,
    accept_any: bool,
    accept_unproven: bool,
    alpn: bool,
}

impl TlsTrustBuilder {
    /// Trusts these certificate authorities as well. A server's own, self-signed certificate can stand among them; it is
    /// then accepted for the names in it.
    ///
    /// # Errors
    ///
    /// [`Error::Config`]: no certificate in `pem`, or one that cannot be read.
    pub fn roots_pem(mut self, pem: &[u8]) -> Result<Self, Error> {
        for certificate in pem::certificates(pem)? {
            self.roots
                .add(certificate.clone())
                .map_err(|error| ConfigError::BadCertificate(alloc::format!("{error}")))?;
            self.given.push(certificate);
        }
        Ok(self)
    }

    /// Trusts the certificate authorities of the operating system as well. Reads files, and takes many milliseconds: do
    /// it once for a program.
    ///
    /// # Errors
    ///
    /// [`Error::Config`]: not one authority was found.
    #[cfg(feature = "native-roots")]
    pub fn native_roots(mut self) -> Result<Self, Error> {
        let found = rustls_native_certs::load_native_certs();
        let (added, _) = self.roots.add_parsable_certificates(found.certs);
        if added == 0 {
            let reason = match found.errors.first() {
                Some(error) => alloc::format!("{error}"),
                None => {
                    "it has no certificates; install those of your distribution (`ca-certificates`)".into()
                }
            };
            return Err(ConfigError::TrustStore(reason).into());
        }
        Ok(self)
    }

    /// Accepts every certificate for every name: whoever sits between can then read and change everything. Only for tests
    /// and for looking at a broken server.
    #[must_use]
    pub fn dangerous_accept_any(mut self) -> Self {
        self.accept_any = true;
        self
    }

    /// For streams to other servers: shows them this certificate, followed by the authorities that signed it, with its
    /// private key, all in PEM, so that SASL EXTERNAL can prove our domain (XEP-0178). Names in certificates, and ALPN, are
    /// then those of `xmpp-server`.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] with a text that says what is missing.
    pub fn federation(mut self, cert_chain_pem: &[u8], key_pem: &[u8]) -> Result<Self, Error> {
        self.own = Some((pem::certificates(cert_chain_pem)?, Arc::new(pem::private_key(key_pem)?)));
        Ok(self)
    }

    /// The same for streams from `domain` only, one of ours in the form of its address, if it has a certificate of its own: see
    /// [`TlsTrust::of`].
    ///
    /// # Errors
    ///
    /// As for [`federation`](TlsTrustBuilder::federation).
    pub fn federation_of(
        mut self,
        domain: &str,
        cert_chain_pem: &[u8],
        key_pem: &[u8],
    ) -> Result<Self, Error> {
        let own = (pem::certificates(cert_chain_pem)?, Arc::new(pem::private_key(key_pem)?));
        self.domains.insert(domain.into(), own);
        Ok(self)
    }

    /// For streams to other servers, without a certificate of ours: names in certificates, and ALPN, are those of `xmpp-server`.
    #[must_use]
    pub fn to_servers(mut self) -> Self {
        self.to_servers = true;
        self
    }

    /// Offers TLS 1.2 and nothing newer: to find out whether a server still talks to those who have no more.
    #[must_use]
    pub fn tls12_only(mut self) -> Self {
        self.tls12_only = true;
        self
    }

    /// Goes on with a server whose certificate does not prove that it is who is wanted. TLS then keeps out listeners, and
    /// nobody else; [`Established::peer_domains`](crate::Established::peer_domains) is empty. That is better than nothing
    /// between servers that go on with dialback (RFC 7590 section 3.4), and nowhere else.
    #[must_use]
    pub fn accept_unproven(mut self) -> Self {
        self.accept_unproven = true;
        self
    }

    /// Whether to offer our protocol in ALPN, as direct TLS wants (XEP-0368). Off unless asked for.
    #[must_use]
    pub fn alpn(mut self, on: bool) -> Self {
        self.alpn = on;
        self
    }

    /// The finished configuration.
    ///
    /// # Errors
    ///
    /// [`Error::Config`]: nobody is trusted.
    pub fn build(self) -> Result<TlsTrust, Error> {
        let provider = Arc::new(ring::default_provider());
        let service = if self.own.is_some() || self.to_servers { Service::Server } else { Service::Client };
        let trust = match self.accept_any {
            true => None,
            false => {
                Some(Arc::new(Trust::new(self.roots, self.given, &provider).ok_or(ConfigError::NoRoots)?))
            }
        };
        let verifier: Arc<dyn ServerCertVerifier> = match &trust {
            Some(trust) if !self.accept_unproven => {
                let (trust, vouchers) = (Arc::clone(trust), Arc::default());
                Arc::new(Trusted { trust, service, vouchers, accept_unproven: false })
            }
            _ => Arc::new(Anyone(provider.signature_verification_algorithms)),
        };
        let versions = if self.tls12_only { &[&TLS12][..] } else { rustls::DEFAULT_VERSIONS };
        let builder = rustls::ClientConfig::builder_with_details(provider, Arc::new(Clock))
            .with_protocol_versions(versions)
            .map_err(|error| Error::from_rustls(error, None))?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let showing = |own: Option<Own>| -> Result<Arc<rustls::ClientConfig>, Error> {
            let builder = builder.clone();
            let mut tls = match own {
                Some((chain, key)) => {
                    builder.with_client_auth_cert(chain, key.clone_key()).map_err(unusable)?
                }
                None => builder.with_no_client_auth(),
            };
            tls.require_ems = true;
            if service == Service::Client {
                tls.resumption = Resumption::in_memory_sessions(SERVERS * TICKETS);
            }
            Ok(Arc::new(tls))
        };
        let domains = self.domains.into_iter().map(|(domain, own)| Ok((domain, showing(Some(own))?)));
        let domains = Arc::new(domains.collect::<Result<_, Error>>()?);
        let (tls, accept_unproven) = (showing(self.own)?, self.accept_unproven);
        Ok(TlsTrust { tls, domains, alpn: self.alpn, service, trust, accept_unproven, vouchers: None })
    }
}

impl fmt::Debug for TlsTrustBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsTrustBuilder")
            .field("roots", &self.roots.len())
            .field("federation", &self.own.is_some())
            .field("accept_any", &self.accept_any)
            .field("accept_unproven", &self.accept_unproven)
            .field("alpn", &self.alpn)
            .finish_non_exhaustive()
    }
}
