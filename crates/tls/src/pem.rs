//! Certificates and private keys out of PEM, with errors for whoever has mixed up the files.

use alloc::vec::Vec;

use rustls::pki_types::pem::{Error as PemError, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::ConfigError;

/// All certificates in `pem`, in their order; at least one.
pub(crate) fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
    let found = CertificateDer::pem_slice_iter(without_mark(pem))
        .collect::<Result<Vec<_>, _>>()
        .map_err(malformed)?;
    if found.is_empty() { Err(ConfigError::NoCertificate) } else { Ok(found) }
}

/// The first private key in `pem`.
pub(crate) fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, ConfigError> {
    PrivateKeyDer::from_pem_slice(without_mark(pem)).map_err(|error| match error {
        PemError::NoItemsFound if is_encrypted(pem) => ConfigError::EncryptedKey,
        PemError::NoItemsFound => ConfigError::NoKey,
        other => malformed(other),
    })
}

/// Some editors put a byte order mark at the beginning, and the first line would be none of ours: of a chain, the certificate
/// that counts would be left out.
fn without_mark(pem: &[u8]) -> &[u8] {
    pem.strip_prefix("\u{feff}".as_bytes()).unwrap_or(pem)
}

fn is_encrypted(pem: &[u8]) -> bool {
    const MARK: &[u8] = b"BEGIN ENCRYPTED PRIVATE KEY";
    pem.windows(MARK.len()).any(|window| window == MARK)
}

fn malformed(error: PemError) -> ConfigError {
    ConfigError::BadPem(alloc::format!("{error}"))
}
