//! XMPP domains as certificates, SNI and the DNS spell them.

use alloc::string::String;

use rustls::pki_types::ServerName;

use crate::Error;

/// The form of an XMPP domain that certificates and SNI use: A-labels for an internationalised name, IPv6 addresses
/// without brackets. The DNS uses the same.
///
/// # Errors
///
/// [`Error::Domain`]: it can be no DNS name.
pub fn ascii(domain: &str) -> Result<String, Error> {
    let plain = domain.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(domain);
    if plain.is_ascii() {
        return Ok(plain.into());
    }
    idna::domain_to_ascii(plain).map_err(|_| Error::Domain(domain.into()))
}

/// The reference identity for an XMPP domain (RFC 6120 section 13.7.2.1).
pub(crate) fn reference(domain: &str) -> Result<ServerName<'static>, Error> {
    ServerName::try_from(ascii(domain)?).map_err(|_| Error::Domain(domain.into()))
}
