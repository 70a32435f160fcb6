//! Why TLS cannot go on, sorted by who has to act, and in words for that person.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use balcony_machine::ApiMisuse;
use rustls::{CertificateError, InvalidMessage};

use crate::vouchers::NoneFits;

/// Why TLS cannot go on, sorted by who has to act.
///
/// An error of a [`Session`](crate::Session) is sticky: later calls give the same one. The alert that tells the peer, if
/// there is one for this case, is already in `out`; write it, then close the transport without a closing stream tag (RFC 6120 section 5.4.3.2).
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The caller used the session in a way that its documentation rules out.
    Misuse(ApiMisuse),
    /// A configuration cannot be used: whoever runs this program has to change it.
    Config(ConfigError),
    /// The XMPP domain can be neither a DNS name nor an IP address, so that no certificate can fit it.
    Domain(String),
    /// The server's certificate does not prove that it is `domain` (RFC 6120 section 13.7.2).
    Certificate {
        /// The reference identity: the XMPP domain.
        domain: String,
        /// What is wrong with the certificate.
        refusal: Refusal,
    },
    /// The peer ended TLS with this alert.
    Alert(String),
    /// What the peer sent first is not TLS.
    NotTls,
    /// The peer broke the TLS protocol, or has no version or cipher suite in common with us.
    Protocol(String),
    /// The transport ended without a `close_notify`, so that the end of the data may be missing.
    Truncated,
}

/// What is wrong with a configuration.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// There is no certificate in the PEM data.
    NoCertificate,
    /// There is no private key in the PEM data.
    NoKey,
    /// The private key needs a passphrase.
    EncryptedKey,
    /// The private key belongs to another certificate.
    KeyMismatch,
    /// The private key cannot be read.
    BadKey(String),
    /// The certificate cannot be read.
    BadCertificate(String),
    /// The data are not well-formed PEM.
    BadPem(String),
    /// No certificate authority is trusted, so that every server would be refused.
    NoRoots,
    /// The trust store of the operating system cannot be read.
    TrustStore(String),
    /// A development certificate could not be made.
    SelfSigned(String),
}

/// Why a certificate was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// No trusted certificate authority vouches for it.
    Untrusted,
    /// It was issued to these names, and the domain is not among them.
    WrongName(Vec<String>),
    /// Its time is over.
    Expired,
    /// Its time has not come, or the clock of this machine is wrong.
    NotYetValid,
    /// It is that of an authority (RFC 5280 section 4.2.1.9), with which no server shows who it is. Tools make such ones where somebody signs
    /// their own.
    Authority,
    /// The DNS says, signed, which certificates the server has (DANE, RFC 7671), and this is none of them. The TLSA record that would fit
    /// it.
    Tlsa(String),
    /// Something rarer.
    Other(String),
}

impl Error {
    /// What rustls says about a session with `domain`.
    pub(crate) fn from_rustls(error: rustls::Error, domain: Option<&str>) -> Self {
        use rustls::Error as Tls;
        match error {
            Tls::InvalidCertificate(reason) => Error::Certificate {
                domain: domain.unwrap_or("the peer").into(),
                refusal: Refusal::from_rustls(reason),
            },
            Tls::AlertReceived(alert) => Error::Alert(alloc::format!("{alert:?}")),
            Tls::InvalidMessage(InvalidMessage::InvalidContentType) => Error::NotTls,
            other => Error::Protocol(alloc::format!("{other}")),
        }
    }
}

impl Refusal {
    fn from_rustls(reason: CertificateError) -> Self {
        use CertificateError as Reason;
        match reason {
            // A trusted authority that has the name of the issuer, but not its key, has not signed this.
            Reason::UnknownIssuer
            | Reason::BadSignature
            | Reason::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => Refusal::Untrusted,
            Reason::NotValidForName => Refusal::WrongName(Vec::new()),
            Reason::NotValidForNameContext { presented, .. } => {
                Refusal::WrongName(presented.into_iter().map(plain).collect())
            }
            Reason::Expired | Reason::ExpiredContext { .. } => Refusal::Expired,
            Reason::NotValidYet | Reason::NotValidYetContext { .. } => Refusal::NotYetValid,
            // It has no reason of its own for that.
            Reason::Other(other) if alloc::format!("{other:?}").contains("CaUsedAsEndEntity") => {
                Refusal::Authority
            }
            Reason::Other(other) if other.0.is::<NoneFits>() => Refusal::Tlsa(
                other.0.downcast_ref().map(|none: &NoneFits| none.would.clone()).unwrap_or_default(),
            ),
            other => Refusal::Other(alloc::format!("{other}")),
        }
    }
}

/// A name in a certificate as a person writes it. rustls says of which kind each is: `DnsName("example.org")`.
fn plain(name: String) -> String {
    let inside = name.strip_prefix("DnsName(\"").and_then(|name| name.strip_suffix("\")"));
    inside.map(String::from).unwrap_or(name)
}

/// The same words as `Display`: a `main` that returns it shows what is wrong.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Misuse(misuse) => misuse.fmt(f),
            Error::Config(error) => error.fmt(f),
            Error::Domain(domain) => write!(f, "`{domain}` is neither a DNS name nor an IP address"),
            Error::Certificate { domain, refusal } => match refusal {
                Refusal::Untrusted => write!(
                    f,
                    "the certificate of {domain} is not signed by a trusted authority; if it is the right one, add it \
                     (or the authority that signed it) to the trusted roots"
                ),
                Refusal::WrongName(names) if names.is_empty() => {
                    write!(
                        f,
                        "the certificate that {domain} presented has no names (subjectAltName; what stands as CN in its subject does \
                         not count); it needs one for {domain}"
                    )
                }
                Refusal::WrongName(names) => {
                    write!(f, "the certificate is not for {domain} but only for {}", names.join(", "))
                }
                Refusal::Expired => {
                    write!(f, "the certificate of {domain} has expired; its owner must renew it")
                }
                Refusal::NotYetValid => {
                    write!(
                        f,
                        "the certificate of {domain} is not valid yet; is the clock of this machine right?"
                    )
                }
                Refusal::Authority => write!(
                    f,
                    "the certificate of {domain} is made for an authority, not for a server; if it is the right \
                     one, add it to the trusted roots, or have it made again without that (`basicConstraints=CA:FALSE`)"
                ),
                Refusal::Tlsa(would) => write!(
                    f,
                    "the certificate of {domain} is none of those that its signed TLSA records (DANE) name; if nobody is in \
                     between, its owner has changed it and has to publish a record that fits, such as `{would}`"
                ),
                Refusal::Other(reason) => {
                    write!(f, "the certificate of {domain} cannot be accepted: {reason}")
                }
            },
            Error::Alert(alert) => write!(f, "the peer ended TLS with the alert {alert}"),
            Error::NotTls => f.write_str("what the peer sent is not TLS"),
            Error::Protocol(reason) => write!(f, "TLS failed: {reason}"),
            Error::Truncated => f.write_str("the connection ended without the TLS goodbye (close_notify)"),
        }
    }
}

/// The same words as `Display`: a `main` that returns it shows what is wrong.
impl fmt::Debug for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfigError::NoCertificate => {
                f.write_str("no certificate found: PEM with a `-----BEGIN CERTIFICATE-----` section is needed")
            }
            ConfigError::NoKey => {
                f.write_str("no private key found: PEM with a `-----BEGIN PRIVATE KEY-----` section is needed")
            }
            ConfigError::EncryptedKey => {
                f.write_str("the private key is encrypted: store it without a passphrase, readable by the server only")
            }
            ConfigError::KeyMismatch => f.write_str(
                "the private key does not belong to the first certificate: the server's own certificate comes first, \
                 the authorities that signed it follow",
            ),
            ConfigError::BadKey(reason) => write!(f, "the private key cannot be used: {reason}"),
            ConfigError::BadCertificate(reason) => write!(f, "the certificate cannot be used: {reason}"),
            ConfigError::BadPem(reason) => write!(f, "this is not well-formed PEM: {reason}"),
            ConfigError::NoRoots => f.write_str("no certificate authority is trusted: add roots to the client's configuration"),
            ConfigError::TrustStore(reason) => {
                write!(f, "the trust store of the operating system cannot be read: {reason}")
            }
            ConfigError::SelfSigned(reason) => write!(f, "no development certificate could be made: {reason}"),
        }
    }
}

impl core::error::Error for Error {}
impl core::error::Error for ConfigError {}

impl From<ConfigError> for Error {
    fn from(error: ConfigError) -> Self {
        Error::Config(error)
    }
}

impl From<ApiMisuse> for Error {
    fn from(misuse: ApiMisuse) -> Self {
        Error::Misuse(misuse)
    }
}
