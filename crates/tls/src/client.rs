use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;

use crate::verify::{Anyone, Trusted};
use crate::{ConfigError, Error, pem};

/// What all TLS sessions of a client share: whom it trusts. Cloning is cheap.
#[derive(Clone)]
pub struct ClientConfig {
    pub(crate) tls: Arc<rustls::ClientConfig>,
    pub(crate) alpn: bool,
}

impl ClientConfig {
    /// Starts a configuration that trusts nobody yet.
    #[must_use]
    pub fn builder() -> ClientConfigBuilder {
        ClientConfigBuilder {
            roots: RootCertStore::empty(),
            given: Vec::new(),
            accept_any: false,
            alpn: false,
        }
    }

    /// The same configuration with ALPN on, for direct TLS (XEP-0368), or off, for STARTTLS.
    #[must_use]
    pub fn with_alpn(mut self, on: bool) -> ClientConfig {
        self.alpn = on;
        self
    }
}

impl fmt::Debug for ClientConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientConfig").field("alpn", &self.alpn).finish_non_exhaustive()
    }
}

/// Collects what a [`ClientConfig`] is made of.
#[derive(Clone, Debug)]
pub struct ClientConfigBuilder {
    roots: RootCertStore,
    given: Vec<CertificateDer<'static>>,
    accept_any: bool,
    alpn: bool,
}

impl ClientConfigBuilder {
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

    /// Whether to offer `xmpp-client` in ALPN, as direct TLS wants (XEP-0368). Off unless asked for.
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
    pub fn build(self) -> Result<ClientConfig, Error> {
        let provider = Arc::new(ring::default_provider());
        let verifier: Arc<dyn ServerCertVerifier> = if self.accept_any {
            Arc::new(Anyone(provider.signature_verification_algorithms))
        } else {
            let chains = WebPkiServerVerifier::builder_with_provider(Arc::new(self.roots), provider.clone())
                .build()
                .map_err(|_| ConfigError::NoRoots)?;
            Arc::new(Trusted { chains, given: self.given })
        };
        let mut tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::from_rustls(error, None))?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        tls.require_ems = true;
        Ok(ClientConfig { tls: Arc::new(tls), alpn: self.alpn })
    }
}
