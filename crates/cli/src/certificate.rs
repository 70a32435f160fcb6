//! The server's certificate: the one that was named, or one for development in the data folder.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use balcony_jid::BareJid;
use balcony_machine::Secret;
use balcony_tls::ServerConfig;

use crate::config::Settings;
use crate::failure::{Failure, io};
use crate::new_file;

/// Where the development certificate is, in the data folder.
pub(crate) const CERTIFICATE: &str = "cert.pem";
const KEY: &str = "key.pem";

/// The certificate that a server uses.
pub(crate) struct Certificate {
    pub(crate) config: ServerConfig,
    /// Where it was read.
    pub(crate) path: PathBuf,
    /// Whether it is the one that this program makes: no client trusts it unasked.
    pub(crate) for_development: bool,
    /// Whether it was made just now.
    pub(crate) is_new: bool,
}

impl Certificate {
    /// Reads the certificate, and makes one if none is named and the data folder has none.
    pub(crate) fn of(settings: &Settings, domains: &[BareJid]) -> Result<Certificate, Failure> {
        let (path, key, for_development) = place(settings);
        let is_new = for_development && !path.exists() && !key.exists();
        if is_new {
            make(domains, &path, &key)?;
        }
        Ok(Certificate { is_new, ..Certificate::existing(settings)? })
    }

    /// Reads the certificate of a server that has one already: if it is gone, that is a mistake.
    pub(crate) fn existing(settings: &Settings) -> Result<Certificate, Failure> {
        let (path, key, for_development) = place(settings);
        if for_development {
            is_whole(&path, &key)?;
        }
        let config = read(&path, &key)?;
        Ok(Certificate { config, path, for_development, is_new: false })
    }

    /// The domains that clients will not find in it.
    pub(crate) fn lacks<'a>(&self, domains: &'a [BareJid]) -> Vec<&'a str> {
        domains.iter().map(BareJid::domainpart).filter(|domain| !self.config.covers(domain)).collect()
    }
}

/// Where the certificate and its key are, and whether they are those that this program makes.
fn place(settings: &Settings) -> (PathBuf, PathBuf, bool) {
    let folder = settings.folder();
    match (&settings.cert, &settings.key) {
        (Some(path), Some(key)) => (path.clone(), key.clone(), false),
        _ => (folder.join(CERTIFICATE), folder.join(KEY), true),
    }
}

/// Half of a pair is of no use, but nobody knows whose it is.
fn is_whole(path: &Path, key: &Path) -> Result<(), Failure> {
    let (what, missing, other) = match (path.exists(), key.exists()) {
        (true, false) => ("private key", key, path),
        (false, true) => ("certificate", path, key),
        _ => return Ok(()),
    };
    Err(Failure::new(format!(
        "cannot read the {what} {}: it is missing; put it back, or move {} away, too, and the next start makes a new pair",
        missing.display(),
        other.display(),
    )))
}

fn read(path: &Path, key: &Path) -> Result<ServerConfig, Failure> {
    let bytes = |what: &str, path: &Path| {
        std::fs::read(path).map_err(io(format!("cannot read the {what} {}", path.display())))
    };
    let certificate = bytes("certificate", path)?;
    let key_pem = Secret::new(bytes("private key", key)?);
    ServerConfig::from_pem(&certificate, key_pem.expose()).map_err(|error| {
        Failure::new(format!("cannot use {} with {}: {error}", path.display(), key.display()))
    })
}

fn make(domains: &[BareJid], path: &Path, key: &Path) -> Result<(), Failure> {
    let names: Vec<&str> = domains.iter().map(BareJid::domainpart).collect();
    let (certificate, private) = balcony_tls::self_signed(&names)?;
    write(key, private.expose().as_bytes(), 0o600)?;
    write(path, certificate.as_bytes(), 0o644)
}

fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Failure> {
    new_file::write(path, mode, |file| file.write_all(bytes))
        .map_err(io(format!("cannot write {}", path.display())))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_development_certificate_is_made_once_and_its_key_is_private() {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings { data: Some(folder.path().into()), ..Settings::default() };
        let domains = [BareJid::parse("example.org").unwrap(), BareJid::parse("localhost").unwrap()];
        let first = Certificate::of(&settings, &domains).unwrap();
        assert!(first.is_new && first.for_development && first.lacks(&domains).is_empty());
        let mode = std::fs::metadata(folder.path().join(KEY)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let pem = std::fs::read(&first.path).unwrap();

        let other = [BareJid::parse("example.net").unwrap()];
        let second = Certificate::of(&settings, &other).unwrap();
        assert!(!second.is_new);
        assert_eq!(second.lacks(&other), ["example.net"]);
        assert_eq!(std::fs::read(&second.path).unwrap(), pem);
    }

    #[test]
    fn half_a_pair_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings { data: Some(folder.path().into()), ..Settings::default() };
        std::fs::write(folder.path().join(KEY), "mine").unwrap();
        let failure = Certificate::of(&settings, &[]).err().unwrap();
        assert!(failure.message().starts_with("cannot read the certificate "), "{failure}");
        assert!(
            failure.message().contains("key.pem away, too, and the next start makes a new pair"),
            "{failure}"
        );
        assert_eq!(std::fs::read(folder.path().join(KEY)).unwrap(), b"mine");
    }
}
