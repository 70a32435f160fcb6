//! A certificate for development in the data folder, which a small authority there has signed.

use core::fmt;
use core::time::Duration;
use std::path::PathBuf;
use std::time::SystemTime;

use balcony_jid::BareJid;
use balcony_machine::Secret;
use balcony_tls::{Authority, CertificateDetails, TlsIdentity};

use super::file::{bytes, cannot_use, is_whole, left, read, write};
use crate::check::date;
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
/// The start of 2026 (UTC), in seconds since that of 1970. A clock that is before it is certainly not set: this program made no certificates then.
const FIRST: u64 = 1_767_225_600;

/// What of a development certificate was made just now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Made {
    Nothing,
    /// A certificate of the authority that was there.
    Certificate,
    /// Everything, or a certificate that is its own authority was replaced.
    Authority,
    /// A certificate, and that of the authority, whose name and key stay.
    Renewed(Outdated),
}

/// What is wrong with the dates of an authority, with the time, in seconds since 1970 (UTC).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outdated {
    /// It has ended then.
    Ended(u64),
    /// It ends then, which is before what it signs now.
    EndsSoon(u64),
    /// It begins then. A clock that was ahead has made it.
    NotYetValid(u64),
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
            let is_due = match may_renew {
                true => !fits || self.ends_soon(&config, now),
                // Nobody takes it any more, and nobody else has made it.
                false => config.is_self_signed() && left(&config, now).is_zero(),
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
        // Last: if anything fails before, the next look finds it outdated again, and says so.
        let until = CertificateDetails::read_pem(certificate.as_bytes())?.validity.end;
        match self.outdated(until, now) {
            Some(outdated) => self.renew_authority(&authority, outdated, now),
            None => Ok(made),
        }
    }

    /// Gives the authority in the folder other dates. Its name and key stay: it vouches for what there is, and who has its former
    /// certificate for what comes.
    fn renew_authority(
        &self,
        authority: &Authority,
        outdated: Outdated,
        now: SystemTime,
    ) -> Result<Made, Failure> {
        match authority.renewed(now) {
            Ok(renewed) => {
                write(&self.authority, renewed.certificate_pem().as_bytes(), 0o644)?;
                Ok(Made::Renewed(outdated))
            }
            Err(error) => {
                tracing::warn!(
                    target: "balcony",
                    "cannot renew the authority {}, which {outdated}: {error}",
                    self.authority.display()
                );
                Ok(Made::Certificate)
            }
        }
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

    /// Whether it is time for another one than this, which the authority in the folder has signed.
    fn ends_soon(&self, config: &TlsIdentity, now: SystemTime) -> bool {
        // What cannot be read ends at once: an earlier version has made some that began before 1970.
        let validity = config.validity().unwrap_or_default();
        let is_to_come = is_set(seconds(now)) && seconds(now) < validity.start;
        is_to_come || left(config, now) < RENEWAL || self.may_renew_authority(now)
    }

    /// Whether the authority in the folder ends soon, or is otherwise of no use now, and is one that can be renewed.
    fn may_renew_authority(&self, now: SystemTime) -> bool {
        let is_outdated = self.outdated(seconds(now).saturating_add(RENEWAL.as_secs()), now).is_some();
        is_outdated && self.authority(now).is_ok_and(|(authority, _)| authority.renewed(now).is_ok())
    }

    /// What is wrong with the dates of the authority in the folder, if what it has signed is to be valid until then.
    fn outdated(&self, until: u64, now: SystemTime) -> Option<Outdated> {
        let details = CertificateDetails::read_pem(&small_file::read(&self.authority).ok()?).ok()?;
        let validity = details.validity;
        match seconds(now) {
            now if validity.end <= now => Some(Outdated::Ended(validity.end)),
            now if now < validity.start && is_set(now) => Some(Outdated::NotYetValid(validity.start)),
            _ if validity.end < until => Some(Outdated::EndsSoon(validity.end)),
            _ => None,
        }
    }

    /// Whether the authority in the folder has signed this certificate.
    pub(super) fn has_issued(&self, config: &TlsIdentity) -> bool {
        small_file::read(&self.authority).is_ok_and(|authority| config.is_issued_by(&authority))
    }
}

/// Whether a clock can be right that says so many seconds since 1970. One that is not set makes nothing anew: that would be refused by those
/// whose clocks are right, and what is there is not.
pub(crate) fn is_set(now: u64) -> bool {
    now >= FIRST
}

/// Since the start of 1970 (UTC).
pub(crate) fn seconds(now: SystemTime) -> u64 {
    now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

impl fmt::Display for Outdated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outdated::Ended(time) => write!(f, "has ended on {}", date(*time)),
            Outdated::EndsSoon(time) => write!(f, "ends on {}", date(*time)),
            Outdated::NotYetValid(time) => write!(f, "is not valid before {}", date(*time)),
        }
    }
}
