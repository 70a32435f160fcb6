//! A small certificate authority for development, and the certificates that it signs (RFC 5280).

use alloc::string::String;
use alloc::vec::Vec;
use alloc::{format, vec};
use core::fmt;
use core::time::Duration;
use std::time::SystemTime;

use balcony_machine::Secret;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData as _, SerialNumber,
};
use rustls::crypto::ring;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use crate::{ConfigError, Error, name, pem};

const DAY: Duration = Duration::from_secs(86_400);
/// The last second that stands in a certificate, that of the year 9999, from the start of 1970 (RFC 5280 section 4.1.2.5).
const LAST: Duration = Duration::from_secs(253_402_300_799);
/// How long an authority is valid.
const AUTHORITY: Duration = Duration::from_secs(86_400 * 3_652);
/// How long a certificate of it is: some clients take none that is valid for much more than a year.
const LEAF: Duration = Duration::from_secs(86_400 * 397);

/// A certificate authority of one's own, for servers that no public authority knows. Whoever trusts
/// [`certificate_pem`](Authority::certificate_pem) trusts the servers that it [signs](Authority::issue) certificates for.
///
/// Its private key can make a certificate for any name: it is worth as much as the trust that is put into it.
///
/// ```
/// use std::time::SystemTime;
/// use balcony_tls::{Authority, TlsTrust, TlsIdentity};
///
/// # fn main() -> Result<(), balcony_tls::Error> {
/// let now = SystemTime::now();
/// let authority = Authority::new(now)?;
/// let (certificate, key) = authority.issue(&["example.org"], None, now)?;
/// let server = TlsIdentity::from_pem(certificate.as_bytes(), key.expose().as_bytes())?;
/// let client = TlsTrust::builder().roots_pem(authority.certificate_pem().as_bytes())?.build()?;
/// assert!(server.covers("example.org") && server.is_issued_by(authority.certificate_pem().as_bytes()));
/// # let _ = client;
/// # Ok(())
/// # }
/// ```
pub struct Authority {
    certificate: String,
    key: Secret<String>,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Makes one that is valid for ten years. No two have the same name.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if there is no randomness.
    pub fn new(now: SystemTime) -> Result<Authority, Error> {
        // Clients look authorities up by their names.
        let tag: String = random::<4>()?.iter().map(|byte| format!("{byte:02x}")).collect();
        let key = KeyPair::generate().map_err(failed)?;
        Authority::of(&format!("Balcony development authority {tag}"), key, now)
    }

    /// The same authority, with the same name and key, valid for ten years from now: what either has signed is believed by who trusts the
    /// other, as long as that is valid.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if it is not one that [`new`](Authority::new) has made, or if there is no randomness.
    pub fn renewed(&self, now: SystemTime) -> Result<Authority, Error> {
        let bad = |reason: &str| ConfigError::BadCertificate(reason.into());
        let before = pem::certificates(self.certificate.as_bytes())?;
        let (_, before) = X509Certificate::from_der(&before[0]).map_err(|error| bad(&format!("{error}")))?;
        let name = before.subject().iter_common_name().next().and_then(|name| name.as_str().ok());
        let key =
            KeyPair::from_pem(self.key.expose()).map_err(|error| ConfigError::BadKey(format!("{error}")))?;
        let renewed = Authority::of(name.unwrap_or_default(), key, now)?;
        let after = pem::certificates(renewed.certificate.as_bytes())?;
        let (_, after) = X509Certificate::from_der(&after[0]).map_err(|error| bad(&format!("{error}")))?;
        // The name has to be the same byte by byte, and somebody else's authority may not sign itself or may say more.
        let is_same = before.issuer().as_raw() == after.issuer().as_raw()
            && before.subject().as_raw() == after.subject().as_raw()
            && before.extensions() == after.extensions();
        if !is_same {
            return Err(bad(
                "it is an authority that was not made here, and only who has made it can renew it",
            )
            .into());
        }
        Ok(renewed)
    }

    fn of(name: &str, key: KeyPair, now: SystemTime) -> Result<Authority, Error> {
        let mut params = CertificateParams::new([]).map_err(failed)?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.serial_number = Some(serial()?);
        let [start, end] = valid(now, AUTHORITY);
        (params.not_before, params.not_after) = (start.into(), end.into());
        let certificate = params.self_signed(&key).map_err(failed)?.pem();
        let secret = Secret::new(key.serialize_pem());
        Ok(Authority { certificate, key: secret, issuer: Issuer::new(params, key) })
    }

    /// The authority that was made before.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if one of them cannot be read, if they do not fit, or if the certificate is not that of an authority.
    pub fn from_pem(certificate: &str, key: &str) -> Result<Authority, Error> {
        let found = pem::certificates(certificate.as_bytes())?;
        let key_pair = KeyPair::from_pem(key).map_err(|error| ConfigError::BadKey(format!("{error}")))?;
        let bad = |reason: &str| ConfigError::BadCertificate(reason.into());
        let (_, parsed) = X509Certificate::from_der(&found[0]).map_err(|error| bad(&format!("{error}")))?;
        if !parsed.is_ca() {
            return Err(bad("it is not that of an authority").into());
        }
        if *parsed.public_key().subject_public_key.data != *key_pair.der_bytes() {
            return Err(ConfigError::KeyMismatch.into());
        }
        let issuer = Issuer::from_ca_cert_der(&found[0], key_pair).map_err(failed)?;
        Ok(Authority { certificate: certificate.into(), key: Secret::new(key.into()), issuer })
    }

    /// Makes a certificate for `domains` and `localhost`: it and its private key, in PEM. With `key` the certificate is for that
    /// key, as a renewed one should be. It is valid for 397 days.
    ///
    /// # Errors
    ///
    /// [`Error::Domain`] if one of the domains cannot stand in a certificate; [`Error::Config`] if the key cannot be read, or if
    /// there is no randomness.
    pub fn issue(
        &self,
        domains: &[&str],
        key: Option<&Secret<String>>,
        now: SystemTime,
    ) -> Result<(String, Secret<String>), Error> {
        let key = match key {
            Some(key) => {
                KeyPair::from_pem(key.expose()).map_err(|error| ConfigError::BadKey(format!("{error}")))?
            }
            None => KeyPair::generate().map_err(failed)?,
        };
        let mut params = leaf(domains)?;
        params.is_ca = IsCa::ExplicitNoCa;
        params.use_authority_key_identifier_extension = true;
        // That of another certificate of this authority would be an error to clients that know both.
        params.serial_number = Some(serial()?);
        let [start, end] = valid(now, LEAF);
        (params.not_before, params.not_after) = (start.into(), end.into());
        let certificate = params.signed_by(&key, &self.issuer).map_err(failed)?;
        Ok((certificate.pem(), Secret::new(key.serialize_pem())))
    }

    /// The certificate of the authority itself, in PEM: what clients have to trust.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.certificate
    }

    /// Its private key, in PEM.
    #[must_use]
    pub fn key_pem(&self) -> &Secret<String> {
        &self.key
    }
}

/// From when until when a certificate is valid that is made now, with a day of grace for clocks that are behind. It does not begin before
/// 1970: who reads years of two digits takes 69 for 1969 or 2069, or refuses it. And it does not end after the year 9999.
pub(crate) fn valid(now: SystemTime, length: Duration) -> [SystemTime; 2] {
    let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().min(LAST);
    let end = now.saturating_add(length).min(LAST);
    [now.saturating_sub(DAY), end].map(|since| SystemTime::UNIX_EPOCH + since)
}

/// A certificate for a server with these names and `localhost`, without dates.
pub(crate) fn leaf(domains: &[&str]) -> Result<CertificateParams, Error> {
    let ascii = |domain: &&str| name::reference(domain).map(|name| String::from(name.to_str()));
    let mut names = domains.iter().map(ascii).collect::<Result<Vec<_>, _>>()?;
    if !names.iter().any(|name| name == "localhost") {
        names.push("localhost".into());
    }
    let common_name = names[0].clone();
    let mut params = CertificateParams::new(names).map_err(failed)?;
    // RFC 5280 appendix A.1: it may have 64 characters. Nobody looks at it.
    if common_name.len() <= 64 {
        params.distinguished_name.push(DnType::CommonName, common_name);
    }
    params.key_usages = [KeyUsagePurpose::DigitalSignature].into();
    params.extended_key_usages = [ExtendedKeyUsagePurpose::ServerAuth].into();
    Ok(params)
}

/// A serial number that no other certificate has (RFC 5280 section 4.1.2.2).
fn serial() -> Result<SerialNumber, Error> {
    let mut bytes = random::<16>()?;
    // It is positive, and has no leading zero.
    bytes[0] = bytes[0] & 0x7f | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}

fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    let source = ring::default_provider().secure_random;
    source.fill(&mut bytes).map_err(|_| ConfigError::SelfSigned("there is no randomness".into()))?;
    Ok(bytes)
}

pub(crate) fn failed(error: rcgen::Error) -> ConfigError {
    ConfigError::SelfSigned(format!("{error}"))
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}
