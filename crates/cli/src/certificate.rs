//! The server's certificate: the one that was named, or one for development in the data folder, which a small authority there
//! has signed.

use core::time::Duration;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use balcony_jid::BareJid;
use balcony_machine::Secret;
use balcony_tls::{Authority, TlsIdentity};
use balcony_xep::datetime;

use crate::config::Settings;
use crate::domains::OfDomain;
use crate::failure::{Failure, io};
use crate::federation::is_public;
use crate::new_file;
use crate::small_file;
use crate::values::Domain;

/// Where the certificate of the development authority is, in the data folder: what clients have to trust.
pub(crate) const AUTHORITY: &str = "ca.pem";
const AUTHORITY_KEY: &str = "ca-key.pem";
/// Where the development certificate is, in the data folder.
pub(crate) const CERTIFICATE: &str = "cert.pem";
const KEY: &str = "key.pem";

/// How long before its end a development certificate is renewed.
const RENEWAL: Duration = Duration::from_secs(86_400 * 30);
/// How long before the end of a certificate somebody is told of it, at most. Who renews certificates has done it by then.
const WARNING: Duration = Duration::from_secs(86_400 * 14);

/// The certificate that a server uses.
pub(crate) struct Certificate {
    pub(crate) config: TlsIdentity,
    /// Where it was read.
    pub(crate) path: PathBuf,
    /// And its private key.
    key: PathBuf,
    /// The file that clients have to trust, if this program has made it: no client does so unasked.
    pub(crate) trust: Option<PathBuf>,
    /// What was made just now.
    pub(crate) made: Made,
    /// Those of certain domains.
    others: Vec<Other>,
}

/// The certificate of one domain.
struct Other {
    domain: BareJid,
    config: TlsIdentity,
    path: PathBuf,
    key: PathBuf,
}

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
struct Files {
    authority: PathBuf,
    authority_key: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
}

impl Certificate {
    /// Reads the certificate. If none is named, makes what is missing in the data folder: an authority, and a certificate of that
    /// for `domains`, which is also renewed before it ends and when a domain has come. What others have signed stays.
    pub(crate) fn of(
        settings: &Settings,
        domains: &[BareJid],
        now: SystemTime,
    ) -> Result<Certificate, Failure> {
        let made = match named(settings).is_some() {
            true => Made::Nothing,
            false => Files::of(settings).make(domains, now)?,
        };
        Ok(Certificate { made, ..Certificate::existing(settings)? })
    }

    /// Reads the certificate of a server that has one already: if it is gone, that is a mistake.
    pub(crate) fn existing(settings: &Settings) -> Result<Certificate, Failure> {
        let mut certificate = Certificate::shown_first(settings)?;
        for (domain, OfDomain { certificate: path, key }) in settings.domains.iter() {
            let config = read(path, key)?;
            if !config.covers(domain.domainpart()) {
                return Err(Failure::new(format!(
                    "the certificate {} of [domains] is not for {domain}: get one that is, or name another",
                    path.display()
                )));
            }
            certificate.config = certificate.config.with_domain(domain.domainpart(), &config)?;
            certificate.others.push(Other { domain, config, path: path.clone(), key: key.clone() });
        }
        Ok(certificate)
    }

    /// The one that is shown to who asks for no domain that has another.
    fn shown_first(settings: &Settings) -> Result<Certificate, Failure> {
        let files = Files::of(settings);
        if let Some((path, key)) = named(settings) {
            let config = read(path, key)?;
            return Ok(Certificate {
                config,
                path: path.clone(),
                key: key.clone(),
                trust: None,
                made: Made::Nothing,
                others: Vec::new(),
            });
        }
        is_whole(("certificate", &files.certificate), ("private key", &files.key))?;
        let config = read(&files.certificate, &files.key)?;
        let trust = match files.has_issued(&config) {
            true => Some(files.authority),
            false => config.is_self_signed().then(|| files.certificate.clone()),
        };
        Ok(Certificate {
            config,
            path: files.certificate,
            key: files.key,
            trust,
            made: Made::Nothing,
            others: Vec::new(),
        })
    }

    /// Renews the development certificate of a server that runs, if it is time for that; `None` if it is not.
    pub(crate) fn renewed(
        settings: &Settings,
        domains: &[BareJid],
        now: SystemTime,
    ) -> Result<Option<Certificate>, Failure> {
        if named(settings).is_some() {
            return Ok(None);
        }
        let certificate = Certificate::existing(settings)?;
        let is_ours = Files::of(settings).has_issued(&certificate.config);
        match is_ours && left(&certificate.config, now) < RENEWAL {
            // Without the key of the authority it stays as it is.
            true => {
                Ok(Some(Certificate::of(settings, domains, now)?).filter(|new| new.made != Made::Nothing))
            }
            false => Ok(None),
        }
    }

    /// Both in PEM.
    pub(crate) fn pem(&self) -> Result<Pem, Failure> {
        pem(&self.path, &self.key)
    }

    /// The same of those that are for certain domains only.
    pub(crate) fn others(&self) -> impl Iterator<Item = Result<(&BareJid, Pem), Failure>> {
        self.others.iter().map(|other| Ok((&other.domain, pem(&other.path, &other.key)?)))
    }

    /// The one that is shown for `domain`, in PEM.
    pub(crate) fn pem_for(&self, domain: &BareJid) -> Result<Pem, Failure> {
        match self.others.iter().find(|other| other.domain == *domain) {
            Some(other) => pem(&other.path, &other.key),
            None => self.pem(),
        }
    }

    /// The certificate that who asks for `domain` is shown, by the name of its file; and whether it is one that was named, not one for
    /// development.
    pub(crate) fn shown_for(&self, domain: &BareJid) -> (&Path, bool) {
        match self.others.iter().find(|other| other.domain == *domain) {
            Some(other) => (&other.path, true),
            None => (&self.path, self.trust.is_none()),
        }
    }

    /// The domains that clients will not find in it.
    pub(crate) fn lacks<'a>(&self, domains: &'a [BareJid]) -> Vec<&'a str> {
        domains.iter().map(BareJid::domainpart).filter(|domain| !self.config.covers(domain)).collect()
    }

    /// Whether it is one for development from before there was an authority, which some clients cannot be made to accept.
    pub(crate) fn is_self_signed(&self) -> bool {
        self.trust.as_ref() == Some(&self.path)
    }

    /// Those that end soon, and in how many days; none are left if one has ended.
    pub(crate) fn ending(&self, now: SystemTime) -> Vec<(&Path, u64)> {
        let days = |config| days_left(config, now);
        self.all().filter_map(|(path, config)| Some((path, days(config)?))).collect()
    }

    /// Those that were named and are sent without those that have signed them, though they have not signed themselves, and none of these
    /// roots (in PEM) has.
    pub(crate) fn alone(&self, roots: &[Vec<u8>]) -> Vec<&Path> {
        let all = self.all().skip(usize::from(self.trust.is_some()));
        let is_whole = |config: &TlsIdentity| {
            config.has_chain()
                || config.is_self_signed()
                || roots.iter().any(|root| config.is_issued_by(root))
        };
        all.filter(|(_, config)| !is_whole(config)).map(|(path, _)| path).collect()
    }

    /// What a person is told of those that were named: where each is, for which domain if not for all, and until when it is valid.
    pub(crate) fn lines(&self) -> Vec<String> {
        let until = |config: &TlsIdentity| {
            let end = config.validity().unwrap_or_default().end;
            let until = datetime::format(end.saturating_mul(1_000));
            let day = until.split('T').next().unwrap_or_default().to_owned();
            format!("valid until {day} ({} days)", left(config, SystemTime::now()).as_secs() / 86_400)
        };
        let first = match self.trust {
            None => Some(format!("certificate {}, {}", self.path.display(), until(&self.config))),
            // It is renewed in time.
            Some(_) => None,
        };
        let others = self.others.iter().map(|Other { domain, config, path, .. }| {
            format!("certificate of {domain}: {}, {}", path.display(), until(config))
        });
        first.into_iter().chain(others).collect()
    }

    /// What clients have to be told to trust (`--ca`) so that they take the certificate of this domain: a file, or, of an authority that is
    /// not known here, `FILE`. `None` where clients trust it anyway.
    pub(crate) fn to_trust(&self, domain: &BareJid, root: Option<&Path>) -> Option<PathBuf> {
        let (path, was_named) = self.shown_for(domain);
        if !was_named {
            return self.trust.clone();
        }
        if is_public(domain, self) {
            return None;
        }
        let own = self.others.iter().find(|other| other.domain == *domain);
        let config = own.map_or(&self.config, |other| &other.config);
        let has_issued = |root: &&Path| small_file::read(root).is_ok_and(|pem| config.is_issued_by(&pem));
        let itself = config.is_self_signed().then_some(path);
        Some(root.filter(has_issued).or(itself).unwrap_or(Path::new("FILE")).to_owned())
    }

    /// Each file once, with what is in it.
    fn all(&self) -> impl Iterator<Item = (&Path, &TlsIdentity)> {
        let others = self.others.iter().filter(|other| other.path != self.path);
        core::iter::once((&*self.path, &self.config)).chain(others.map(|other| (&*other.path, &other.config)))
    }
}

/// The certificate that is named, with its key, so that there is none for development: that of all domains, or that of the first one.
fn named(settings: &Settings) -> Option<(&PathBuf, &PathBuf)> {
    if let (Some(path), Some(key)) = (&settings.cert, &settings.key) {
        return Some((path, key));
    }
    let Domain(first) = settings.domain.first()?;
    settings.domains.of(first).map(|OfDomain { certificate, key }| (certificate, key))
}

/// A certificate and its key, in PEM.
pub(crate) type Pem = (Vec<u8>, Secret<Vec<u8>>);

fn pem(path: &Path, key: &Path) -> Result<Pem, Failure> {
    Ok((bytes("certificate", path)?, Secret::new(bytes("private key", key)?)))
}

/// In how many days it ends, if that is soon.
fn days_left(config: &TlsIdentity, now: SystemTime) -> Option<u64> {
    // There are certificates for a few days only.
    let validity = config.validity().unwrap_or_default();
    let lifetime = Duration::from_secs(validity.end.saturating_sub(validity.start));
    let left = left(config, now);
    (left < WARNING.min(lifetime / 6)).then_some(left.as_secs() / 86_400)
}

/// How long it is still valid.
fn left(config: &TlsIdentity, now: SystemTime) -> Duration {
    let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Duration::from_secs(config.validity().unwrap_or_default().end).saturating_sub(now)
}

impl Files {
    fn of(settings: &Settings) -> Files {
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
    fn make(&self, domains: &[BareJid], now: SystemTime) -> Result<Made, Failure> {
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
    fn has_issued(&self, config: &TlsIdentity) -> bool {
        small_file::read(&self.authority).is_ok_and(|authority| config.is_issued_by(&authority))
    }
}

/// Half of a pair is of no use, but nobody knows whose it is.
fn is_whole(certificate: (&str, &Path), key: (&str, &Path)) -> Result<(), Failure> {
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

fn bytes(what: &str, path: &Path) -> Result<Vec<u8>, Failure> {
    small_file::read(path).map_err(io(format!("cannot read the {what} {}", path.display())))
}

fn read(path: &Path, key: &Path) -> Result<TlsIdentity, Failure> {
    let certificate = bytes("certificate", path)?;
    let key_pem = Secret::new(bytes("private key", key)?);
    TlsIdentity::from_pem(&certificate, key_pem.expose()).map_err(|error| cannot_use(path, key, &error))
}

fn cannot_use(path: &Path, key: &Path, error: &balcony_tls::Error) -> Failure {
    Failure::new(format!("cannot use {} with {}: {error}", path.display(), key.display()))
}

fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Failure> {
    new_file::write(path, mode, |file| file.write_all(bytes))
        .map_err(io(format!("cannot write {}", path.display())))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn folder() -> (tempfile::TempDir, Settings) {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings { data: Some(folder.path().into()), ..Settings::default() };
        (folder, settings)
    }

    fn domains(names: &[&str]) -> Vec<BareJid> {
        names.iter().map(|name| BareJid::parse(name).unwrap()).collect()
    }

    fn content(folder: &tempfile::TempDir) -> Vec<Vec<u8>> {
        let read = |name| std::fs::read(folder.path().join(name)).unwrap_or_default();
        [AUTHORITY, AUTHORITY_KEY, CERTIFICATE, KEY].map(read).into()
    }

    #[test]
    fn the_development_certificate_is_made_once_and_its_keys_are_private() {
        let (folder, settings) = folder();
        let (now, names) = (SystemTime::now(), domains(&["example.org", "localhost"]));
        let first = Certificate::of(&settings, &names, now).unwrap();
        assert_eq!((first.made, first.lacks(&names).len()), (Made::Authority, 0));
        assert_eq!(first.trust, Some(folder.path().join(AUTHORITY)));
        assert!(!first.is_self_signed() && days_left(&first.config, now).is_none());
        for (name, expected) in
            [(AUTHORITY, 0o644), (AUTHORITY_KEY, 0o600), (CERTIFICATE, 0o644), (KEY, 0o600)]
        {
            let mode = std::fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, expected, "{name}");
        }
        let before = content(&folder);
        let second = Certificate::of(&settings, &names[1..], now + 366 * DAY).unwrap();
        assert_eq!((second.made, content(&folder)), (Made::Nothing, before));
    }

    #[test]
    fn it_is_renewed_before_it_ends_and_the_authority_stays() {
        let (folder, settings) = folder();
        let (now, names) = (SystemTime::now(), domains(&["example.org"]));
        Certificate::of(&settings, &names, now).unwrap();
        let before = content(&folder);
        assert!(Certificate::renewed(&settings, &names, now + 366 * DAY).unwrap().is_none());
        assert_eq!(content(&folder), before);

        let later = now + 368 * DAY;
        let renewed = Certificate::renewed(&settings, &names, later).unwrap().unwrap();
        assert_eq!((renewed.made, days_left(&renewed.config, later)), (Made::Certificate, None));
        let after = content(&folder);
        assert_ne!(after[2], before[2]);
        assert_eq!((&after[..2], &after[3]), (&before[..2], &before[3]), "keys and authority stay");

        // For a domain that has come, too.
        let more = domains(&["example.org", "example.net"]);
        let other = Certificate::of(&settings, &more, later).unwrap();
        assert_eq!((other.made, other.lacks(&more).len()), (Made::Certificate, 0));
        assert_eq!(content(&folder)[..2], before[..2]);
        // And where somebody has moved it away.
        std::fs::remove_file(folder.path().join(CERTIFICATE)).unwrap();
        std::fs::remove_file(folder.path().join(KEY)).unwrap();
        assert_eq!(Certificate::of(&settings, &names, now).unwrap().made, Made::Certificate);
        assert_eq!(content(&folder)[..2], before[..2]);
    }

    #[test]
    fn one_that_is_its_own_authority_is_kept_until_it_ends() {
        let (folder, settings) = folder();
        let (now, names) = (SystemTime::now(), domains(&["example.org"]));
        let (certificate, key) = balcony_tls::self_signed(&["example.org"]).unwrap();
        std::fs::write(folder.path().join(CERTIFICATE), &certificate).unwrap();
        std::fs::write(folder.path().join(KEY), key.expose()).unwrap();
        let before = content(&folder);
        let kept = Certificate::of(&settings, &domains(&["example.net"]), now).unwrap();
        assert_eq!((kept.made, kept.lacks(&names).len()), (Made::Nothing, 0));
        assert!(kept.is_self_signed());
        assert_eq!(kept.trust, Some(folder.path().join(CERTIFICATE)));
        assert!(Certificate::renewed(&settings, &names, now + 3_640 * DAY).unwrap().is_none());
        assert_eq!(content(&folder), before);

        let replaced = Certificate::of(&settings, &names, now + 3_653 * DAY).unwrap();
        assert_eq!((replaced.made, replaced.is_self_signed()), (Made::Authority, false));
        assert_eq!(replaced.trust, Some(folder.path().join(AUTHORITY)));
    }

    #[test]
    fn what_others_have_signed_stays() {
        let (folder, settings) = folder();
        let (now, names) = (SystemTime::now(), domains(&["example.org"]));
        Certificate::of(&settings, &names, now).unwrap();
        let (certificate, key) = Authority::new(now).unwrap().issue(&["example.org"], None, now).unwrap();
        std::fs::write(folder.path().join(CERTIFICATE), &certificate).unwrap();
        std::fs::write(folder.path().join(KEY), key.expose()).unwrap();
        let before = content(&folder);
        let later = now + 500 * DAY;
        let kept = Certificate::of(&settings, &domains(&["example.net"]), later).unwrap();
        assert_eq!(
            (kept.made, kept.trust.clone(), days_left(&kept.config, later)),
            (Made::Nothing, None, Some(0))
        );
        assert!(Certificate::renewed(&settings, &names, later).unwrap().is_none());
        assert_eq!(content(&folder), before);
    }

    #[test]
    fn without_the_key_of_the_authority_the_certificate_is_used_and_not_renewed() {
        let (folder, settings) = folder();
        let (now, names) = (SystemTime::now(), domains(&["example.org"]));
        Certificate::of(&settings, &names, now).unwrap();
        std::fs::remove_file(folder.path().join(AUTHORITY_KEY)).unwrap();
        let kept = Certificate::of(&settings, &names, now + 390 * DAY).unwrap();
        assert_eq!((kept.made, days_left(&kept.config, now + 390 * DAY)), (Made::Nothing, Some(6)));
        assert_eq!(days_left(&kept.config, now + 380 * DAY), None);
        std::fs::remove_file(folder.path().join(CERTIFICATE)).unwrap();
        std::fs::remove_file(folder.path().join(KEY)).unwrap();
        let failure = Certificate::of(&settings, &names, now).err().unwrap();
        assert!(failure.message().contains("ca.pem away, too, and the next start makes a new"), "{failure}");
    }

    #[test]
    fn half_a_pair_is_not_overwritten() {
        let (folder, settings) = folder();
        std::fs::write(folder.path().join(KEY), "mine").unwrap();
        let failure = Certificate::of(&settings, &[], SystemTime::now()).err().unwrap();
        assert!(failure.message().starts_with("cannot read the certificate "), "{failure}");
        assert!(
            failure.message().contains("key.pem away, too, and the next start makes a new pair"),
            "{failure}"
        );
        assert_eq!(std::fs::read(folder.path().join(KEY)).unwrap(), b"mine");
    }
}
