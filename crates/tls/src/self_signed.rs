use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;
use std::time::SystemTime;

use balcony_machine::Secret;
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose};

use crate::{ConfigError, Error, name};

const DAY: Duration = Duration::from_secs(86_400);

/// Makes a certificate for `domains` and `localhost` that is its own authority and valid for ten years, for development: the
/// certificate and its private key, in PEM.
///
/// Clients refuse it unless it is given to them as a [root](crate::ClientConfigBuilder::roots_pem).
///
/// # Errors
///
/// [`Error::Domain`] if one of the domains cannot stand in a certificate.
pub fn self_signed(domains: &[&str]) -> Result<(String, Secret<String>), Error> {
    let mut names = domains.iter().map(|domain| name::ascii(domain)).collect::<Result<Vec<_>, _>>()?;
    if !names.iter().any(|name| name == "localhost") {
        names.push("localhost".into());
    }
    let failed = |error: rcgen::Error| ConfigError::SelfSigned(alloc::format!("{error}"));
    let common_name = names[0].clone();
    let mut params = CertificateParams::new(names).map_err(failed)?;
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.key_usages = [KeyUsagePurpose::DigitalSignature].into();
    params.extended_key_usages = [ExtendedKeyUsagePurpose::ServerAuth].into();
    #[expect(clippy::disallowed_methods, reason = "a certificate is made for a time of the calendar")]
    let now = SystemTime::now();
    // A day of grace for clocks that are behind.
    params.not_before = (now - DAY).into();
    params.not_after = (now + DAY * 3_652).into();
    let key = KeyPair::generate().map_err(failed)?;
    let certificate = params.self_signed(&key).map_err(failed)?;
    Ok((certificate.pem(), Secret::new(key.serialize_pem())))
}
