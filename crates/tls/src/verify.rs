//! Whether certificates prove who their holder is (RFC 6120 section 13.7.2, RFC 9525): whose word counts, and what a peer has
//! proven by the end of a handshake, be it one that goes on without proof.
//!
//! Which names stand in a certificate is read in `identity.rs`.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme,
};

use crate::identity::{Identity, Service, is_constrained};
use crate::name;
use crate::vouchers::{Shown, Vouchers};

/// Whose word counts about who is who.
#[derive(Debug)]
pub(crate) struct Trust {
    pub(crate) roots: RootCertStore,
    /// Certificates that were given by hand.
    pub(crate) given: Vec<CertificateDer<'static>>,
    /// The same roots, for certificates that are for clients only.
    pub(crate) clients: Arc<dyn ClientCertVerifier>,
    pub(crate) algorithms: WebPkiSupportedAlgorithms,
}

/// What the peer has proven with its certificate.
#[derive(Default)]
pub(crate) struct Proven {
    pub(crate) domains: Vec<String>,
    pub(crate) valid_for: Option<Duration>,
}

impl Trust {
    pub(crate) fn new(
        roots: RootCertStore,
        given: Vec<CertificateDer<'static>>,
        provider: &Arc<rustls::crypto::CryptoProvider>,
    ) -> Option<Trust> {
        let shared = Arc::new(roots.clone());
        let clients =
            WebPkiClientVerifier::builder_with_provider(shared, Arc::clone(provider)).build().ok()?;
        Some(Trust { roots, given, clients, algorithms: provider.signature_verification_algorithms })
    }

    /// Checks the chain of a server up to the trusted roots, and also takes a server's own certificate if it was given as
    /// a root.
    ///
    /// The second needs help for what `openssl req -x509` makes by default: it is marked as an authority, and webpki
    /// refuses an authority as a server.
    fn check(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        let parsed = ParsedCertificate::try_from(end_entity)?;
        let algorithms = self.algorithms.all;
        match verify_server_cert_signed_by_trust_anchor(&parsed, &self.roots, intermediates, now, algorithms)
        {
            // webpki checks the time first, so a certificate that gets here is valid today.
            Err(Error::InvalidCertificate(CertificateError::Other(_))) if self.given.contains(end_entity) => {
                Ok(())
            }
            result => result,
        }
    }

    /// The domains in SRV names and XMPP addresses. webpki holds DNS names to the constraints of those who signed, but not
    /// these; who is constrained can't vouch for them.
    fn others(
        &self,
        identity: &Identity,
        intermediates: &[CertificateDer<'_>],
    ) -> impl Iterator<Item = String> {
        let constrained = self.roots.roots.iter().any(|root| root.name_constraints.is_some())
            || intermediates.iter().any(is_constrained);
        let others = if constrained { Vec::new() } else { identity.others.clone() };
        others.into_iter()
    }

    /// Whether a certificate is that of who is wanted, and valid.
    pub(crate) fn judge(&self, shown: &Shown<'_>, host: Option<&str>) -> Result<(), Error> {
        self.check(shown.own, shown.others, shown.now)?;
        self.is_named(shown, host)
    }

    /// Whether a certificate has the name of who is wanted, or that of a host that speaks for them.
    pub(crate) fn is_named(&self, shown: &Shown<'_>, host: Option<&str>) -> Result<(), Error> {
        let certificate = ParsedCertificate::try_from(shown.own)?;
        let named = verify_server_name(&certificate, shown.name);
        // DNS names are the rule (RFC 9525); SRV names and XMPP addresses serve as well (RFC 6120 section 13.7.1.2.1).
        let is_wanted = |domain: String| match (name::ascii(&domain), shown.name) {
            (Ok(domain), ServerName::DnsName(wanted)) => domain.eq_ignore_ascii_case(wanted.as_ref()),
            _ => false,
        };
        let otherwise = || {
            Identity::read(shown.own, shown.service)
                .is_some_and(|identity| self.others(&identity, shown.others).any(is_wanted))
        };
        let is_host =
            |host| name::reference(host).is_ok_and(|host| verify_server_name(&certificate, &host).is_ok());
        match named {
            Err(error) if !otherwise() && !host.is_some_and(is_host) => Err(error),
            _ => Ok(()),
        }
    }

    /// What a peer that has shown these certificates, and holds the key of the first, has proven. Nothing is proven by
    /// halves.
    pub(crate) fn proven(&self, chain: &[CertificateDer<'_>], service: Service, now: UnixTime) -> Proven {
        let Some((end_entity, intermediates)) = chain.split_first() else { return Proven::default() };
        let trusted = self.check(end_entity, intermediates, now).is_ok()
            // At the other end of a stream between servers the peer is a client to TLS, with a certificate for either use.
            || (service == Service::Server
                && self.clients.verify_client_cert(end_entity, intermediates, now).is_ok());
        match Identity::read(end_entity, service).filter(|_| trusted) {
            Some(identity) => Proven {
                domains: identity.dns.iter().cloned().chain(self.others(&identity, intermediates)).collect(),
                valid_for: Some(identity.valid_for(now)),
            },
            None => Proven::default(),
        }
    }
}

/// Accepts servers that prove to be who is wanted.
#[derive(Debug)]
pub(crate) struct Trusted {
    pub(crate) trust: Arc<Trust>,
    pub(crate) service: Service,
    /// Who else is believed.
    pub(crate) vouchers: Arc<Vouchers>,
    /// Servers that prove nothing are accepted as well, unless they have to fit what somebody has said.
    pub(crate) accept_unproven: bool,
}

impl ServerCertVerifier for Trusted {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.accept_unproven && !self.vouchers.are_strict() {
            return Ok(ServerCertVerified::assertion());
        }
        let service = self.service;
        let shown = Shown { own: end_entity, others: intermediates, name: server_name, service, now };
        self.vouchers.judge(&self.trust, &shown).map(|_| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.trust.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.trust.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.trust.algorithms.supported_schemes()
    }
}

/// Takes every certificate, and none. The peer must still hold the key of the one it shows.
#[derive(Debug)]
pub(crate) struct Anyone(pub(crate) WebPkiSupportedAlgorithms);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

/// What a server asks of other servers: a certificate that proves nothing does not end the handshake, since there is still
/// dialback (XEP-0220). What it proves is found out after the handshake.
impl ClientCertVerifier for Anyone {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    /// Without hints, so that the peer does not hold back a certificate that it thinks unknown here.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
