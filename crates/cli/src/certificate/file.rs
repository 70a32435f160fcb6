//! Certificates and their keys as files.

use core::time::Duration;
use std::io::Write as _;
use std::path::Path;
use std::time::SystemTime;

use balcony_machine::Secret;
use balcony_tls::TlsIdentity;

use crate::failure::{Failure, io};
use crate::new_file;
use crate::small_file;

/// A certificate and its key, in PEM.
pub(crate) type Pem = (Vec<u8>, Secret<Vec<u8>>);

pub(super) fn pem(path: &Path, key: &Path) -> Result<Pem, Failure> {
    Ok((bytes("certificate", path)?, Secret::new(bytes("private key", key)?)))
}

/// Half of a pair is of no use, but nobody knows whose it is.
pub(super) fn is_whole(certificate: (&str, &Path), key: (&str, &Path)) -> Result<(), Failure> {
    let ((what, missing), other) = match (certificate.1.exists(), key.1.exists()) {
        (true, false) => (key, certificate.1),
        (false, true) => (certificate, key.1),
        _ => return Ok(()),
    };
    Err(Failure::new(format!(
        "cannot read the {what} {}: it is missing; put it back, or move {} away, too, and the next start makes a new pair",
        missing.display(),
        other.display(),
    )))
}

pub(super) fn bytes(what: &str, path: &Path) -> Result<Vec<u8>, Failure> {
    small_file::read(path).map_err(io(format!("cannot read the {what} {}", path.display())))
}

pub(super) fn read(path: &Path, key: &Path) -> Result<TlsIdentity, Failure> {
    let certificate = bytes("certificate", path)?;
    let key_pem = Secret::new(bytes("private key", key)?);
    TlsIdentity::from_pem(&certificate, key_pem.expose()).map_err(|error| cannot_use(path, key, &error))
}

pub(super) fn cannot_use(path: &Path, key: &Path, error: &balcony_tls::Error) -> Failure {
    Failure::new(format!("cannot use {} with {}: {error}", path.display(), key.display()))
}

pub(super) fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Failure> {
    new_file::write(path, mode, |file| file.write_all(bytes))
        .map_err(io(format!("cannot write {}", path.display())))
}

/// How long it is still valid.
pub(super) fn left(config: &TlsIdentity, now: SystemTime) -> Duration {
    let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Duration::from_secs(config.validity().unwrap_or_default().end).saturating_sub(now)
}
