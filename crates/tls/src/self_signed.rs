//! Certificates that are their own authority, for tests and examples.

use alloc::string::String;
use core::time::Duration;
use std::time::SystemTime;

use balcony_machine::Secret;
use rcgen::KeyPair;

use crate::Error;
use crate::authority::{failed, leaf, valid};

const DAY: Duration = Duration::from_secs(86_400);

/// Makes a certificate for `domains` and `localhost` that is its own authority and valid for ten years, for tests: the
/// certificate and its private key, in PEM.
///
/// Clients refuse it unless it is given to them as a [root](crate::TlsTrustBuilder::roots_pem), and some do even then: for
/// a server that people use there is [`Authority`](crate::Authority).
///
/// # Errors
///
/// [`Error::Domain`] if one of the domains cannot stand in a certificate.
pub fn self_signed(domains: &[&str]) -> Result<(String, Secret<String>), Error> {
    let mut params = leaf(domains)?;
    #[expect(clippy::disallowed_methods, reason = "a certificate is made for a time of the calendar")]
    let now = SystemTime::now();
    let [start, end] = valid(now, DAY * 3_652);
    (params.not_before, params.not_after) = (start.into(), end.into());
    let key = KeyPair::generate().map_err(failed)?;
    let certificate = params.self_signed(&key).map_err(failed)?;
    Ok((certificate.pem(), Secret::new(key.serialize_pem())))
}
