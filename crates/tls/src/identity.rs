//! Who a certificate says its holder is (RFC 6120 section 13.7.1.2), and until when.

use alloc::borrow::ToOwned as _;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use rustls::pki_types::{CertificateDer, UnixTime};
use x509_parser::asn1_rs::{Any, FromDer as _, OptTaggedExplicit, Tag};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;

/// `id-on-dnsSRV` (RFC 4985).
const SRV_NAME: &str = "1.3.6.1.5.5.7.8.7";
/// `id-on-xmppAddr` (RFC 6120 section 13.7.1.4).
const XMPP_ADDR: &str = "1.3.6.1.5.5.7.8.5";

/// Which service a certificate is to be good for: it shows in SRV names and in ALPN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    /// A server, to its clients.
    Client,
    /// A server, to other servers.
    Server,
}

impl Service {
    /// The protocol in ALPN (XEP-0368).
    pub(crate) const fn alpn(self) -> &'static [u8] {
        match self {
            Service::Client => crate::ALPN_CLIENT,
            Service::Server => crate::ALPN_SERVER,
        }
    }

    const fn label(self) -> &'static str {
        match self {
            Service::Client => "_xmpp-client.",
            Service::Server => "_xmpp-server.",
        }
    }
}

/// What a certificate says of its holder. Whether to believe it is another question.
pub(crate) struct Identity {
    /// DNS names, of which the first label may be `*`.
    pub(crate) dns: Vec<String>,
    /// Domains in SRV names of the service, and in XMPP addresses. No label is `*`.
    pub(crate) others: Vec<String>,
    /// Seconds since 1970.
    pub(crate) expires: u64,
}

impl Identity {
    /// How much longer it is valid.
    pub(crate) fn valid_for(&self, now: UnixTime) -> Duration {
        Duration::from_secs(self.expires.saturating_sub(now.as_secs()))
    }

    /// `None` if it cannot be read.
    pub(crate) fn read(certificate: &CertificateDer<'_>, service: Service) -> Option<Identity> {
        let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
        let expires = u64::try_from(certificate.validity().not_after.timestamp()).ok()?;
        let mut identity = Identity { dns: Vec::new(), others: Vec::new(), expires };
        let names = certificate.subject_alternative_name().ok()?;
        for name in names.iter().flat_map(|names| &names.value.general_names) {
            match name {
                GeneralName::DNSName(name) if !name.strip_prefix("*.").unwrap_or(name).contains('*') => {
                    identity.dns.push((*name).to_owned());
                }
                GeneralName::OtherName(oid, value) => {
                    identity.others.extend(other_name(&oid.to_id_string(), value, service));
                }
                _ => {}
            }
        }
        Some(identity)
    }
}

/// The domain in an `otherName`, if it is one of the two kinds that concern XMPP.
fn other_name(oid: &str, value: &[u8], service: Service) -> Option<String> {
    let (_, value) = OptTaggedExplicit::<Any<'_>, x509_parser::asn1_rs::Error, 0>::from_der(value).ok()?;
    let value = value?.into_inner();
    let text = core::str::from_utf8(value.data).ok()?;
    let domain = match (oid, value.tag()) {
        (SRV_NAME, Tag::Ia5String) => {
            let (label, domain) = text.split_at_checked(service.label().len())?;
            label.eq_ignore_ascii_case(service.label()).then_some(domain)?
        }
        // An address with more than a domain is a person.
        (XMPP_ADDR, Tag::Utf8String) => text,
        _ => return None,
    };
    (!domain.is_empty() && !domain.contains(['*', '@', '/'])).then(|| domain.to_owned())
}

/// Whether a certificate says what its holder may sign (RFC 5280 section 4.2.1.10); also if it can't be read.
pub(crate) fn is_constrained(certificate: &CertificateDer<'_>) -> bool {
    X509Certificate::from_der(certificate)
        .map_or(true, |(_, certificate)| !matches!(certificate.name_constraints(), Ok(None)))
}
