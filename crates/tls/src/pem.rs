use alloc::vec::Vec;

use rustls::pki_types::pem::{Error as PemError, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::ConfigError;

/// All certificates in `pem`, in their order; at least one.
pub(crate) fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
    let found = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>().map_err(malformed)?;
    if found.is_empty() { Err(ConfigError::NoCertificate) } else { Ok(found) }
}

/// The first private key in `pem`.
pub(crate) fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, ConfigError> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| match error {
        PemError::NoItemsFound if is_encrypted(pem) => ConfigError::EncryptedKey,
        PemError::NoItemsFound => ConfigError::NoKey,
        other => malformed(other),
    })
}

fn is_encrypted(pem: &[u8]) -> bool {
    const MARK: &[u8] = b"BEGIN ENCRYPTED PRIVATE KEY";
    pem.windows(MARK.len()).any(|window| window == MARK)
}

fn malformed(error: PemError) -> ConfigError {
    ConfigError::BadPem(alloc::format!("{error}"))
}
