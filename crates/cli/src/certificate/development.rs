//! A certificate for development in the data folder, which a small authority there has signed.

use core::time::Duration;
use std::path::PathBuf;
use std::time::SystemTime;

use balcony_jid::BareJid;
use balcony_machine::Secret;
use balcony_tls::{Authority, TlsIdentity};

use super::file::{bytes, cannot_use, is_whole, left, read, write};
use crate::config::Settings;
use crate::failure::Failure;
use crate::small_file;

/// Where the certificate of the development authority is, in the data folder: what clients have to trust.
pub(crate) const AUTHORITY: &str = "ca.pem";
pub(super) const AUTHORITY_KEY: &str = "ca-key.pem";
/// Where the development certificate is, in the data folder.
pub(crate) const CERTIFICATE: &str = "cert.pem";
pub(super) const KEY: &str = "key.pem";

/// How long before its end a development certificate is renewed.
pub(super) const RENEWAL: Duration = Duration::from_secs(86_400 * 30);
/// What of a development certificate was made just now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Made {
    Nothing,
    /// A certificate of the authority that was there.
    Certificate,
    /// Everything, or a certificate that is its own authority was replaced.
    Authority,
}

/// Where they are in the data folder.
pub(super) struct Files {
    pub(super) authority: PathBuf,
    pub(super) authority_key: PathBuf,
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
}

impl Files {
    pub(super) fn of(settings: &Settings) -> Files {
        let folder = settings.folder();
        let file = |name| folder.join(name);
        Files {
            authority: file(AUTHORITY),
            authority_key: file(AUTHORITY_KEY),
            certificate: file(CERTIFICATE),
            key: file(KEY),
        }
    }

    /// Makes what has to be made.
    pub(super) fn make(&self, domains: &[BareJid], now: SystemTime) -> Result<Made, Failure> {
        let is_new = !self.certificate.exists() && !self.key.exists();
        if !is_new {
            is_whole(("certificate", &self.certificate), ("private key", &self.key))?;
            let config = read(&self.certificate, &self.key)?;
            let fits = domains.iter().all(|domain| config.covers(domain.domainpart()));
            let may_renew = self.has_issued(&config) && self.authority_key.exists();
            let has_ended = left(&config, now).is_zero();
            let is_due = match may_renew {
                true => !fits || left(&config, now) < RENEWAL,
                // Nobody takes it any more, and nobody else has made it.
                false => config.is_self_signed() && has_ended,
            };
            if !is_due {
                return Ok(Made::Nothing);
            }
        }
        let (authority, made) = self.authority(now)?;
        let names: Vec<&str> = domains.iter().map(BareJid::domainpart).collect();
        // The same key again: then no crash leaves a certificate and a key that do not fit.
        let key = match is_new {
            true => None,
            false => Some(Secret::new(String::from_utf8_lossy(&bytes("private key", &self.key)?).into())),
        };
        let (certificate, new_key) = authority.issue(&names, key.as_ref(), now)?;
        if key.is_none() {
            write(&self.key, new_key.expose().as_bytes(), 0o600)?;
        }
        write(&self.certificate, certificate.as_bytes(), 0o644)?;
        Ok(made)
    }

    /// The authority in the folder, made if there is none.
    fn authority(&self, now: SystemTime) -> Result<(Authority, Made), Failure> {
        if !self.authority.exists() && !self.authority_key.exists() {
            let authority = Authority::new(now)?;
            write(&self.authority_key, authority.key_pem().expose().as_bytes(), 0o600)?;
            write(&self.authority, authority.certificate_pem().as_bytes(), 0o644)?;
            return Ok((authority, Made::Authority));
        }
        is_whole(
            ("certificate of the authority", &self.authority),
            ("private key of the authority", &self.authority_key),
        )?;
        let certificate = bytes("certificate of the authority", &self.authority)?;
        let key =
            Secret::new(String::from_utf8_lossy(&bytes("private key", &self.authority_key)?).into_owned());
        let authority = Authority::from_pem(&String::from_utf8_lossy(&certificate), key.expose())
            .map_err(|error| cannot_use(&self.authority, &self.authority_key, &error))?;
        Ok((authority, Made::Certificate))
    }

    /// Whether the authority in the folder has signed this certificate.
    pub(super) fn has_issued(&self, config: &TlsIdentity) -> bool {
        small_file::read(&self.authority).is_ok_and(|authority| config.is_issued_by(&authority))
    }
}
