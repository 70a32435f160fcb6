//! The server's certificate: the one that was named, or one for [`development`] in the data folder.

mod development;
mod fault;
mod file;
mod public;

use core::time::Duration;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use balcony_jid::BareJid;
use balcony_tls::{Authority, Error, Refusal, TlsIdentity, TlsTrust};
use balcony_xep::datetime;

use development::Files;
pub(crate) use development::{AUTHORITY, CERTIFICATE, Made, Outdated, is_set, seconds};
use fault::has_ended;
pub(crate) use fault::{Fault, names};
use file::{Pem, is_whole, left, pem, read};
pub(crate) use public::checkable;

use crate::check::date;
use crate::config::Settings;
use crate::counted::counted;
use crate::domains::OfDomain;
use crate::failure::Failure;
use crate::small_file;
use crate::values::Domain;

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

/// A certificate that others refuse.
pub(crate) struct Refused<'a> {
    pub(crate) path: &'a Path,
    pub(crate) refusal: Refusal,
    /// Who has signed it is not known, and not sent along.
    pub(crate) is_cut: bool,
    pub(crate) fault: Fault,
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
        if !Files::of(settings).has_issued(&certificate.config) {
            return Ok(None);
        }
        // Without the key of the authority it stays as it is.
        Ok(Some(Certificate::of(settings, domains, now)?).filter(|new| new.made != Made::Nothing))
    }

    /// Reads the certificate of a server that runs again, and renews it if it is time for that.
    pub(crate) fn again(
        settings: &Settings,
        domains: &[BareJid],
        now: SystemTime,
    ) -> Result<Certificate, Failure> {
        let existing = Certificate::existing(settings)?;
        match Certificate::renewed(settings, domains, now) {
            Ok(renewed) => Ok(renewed.unwrap_or(existing)),
            // The one that is there may be good for weeks.
            Err(failure) => {
                tracing::error!(target: "balcony", "cannot renew the development certificate: {failure}");
                Ok(existing)
            }
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

    /// Whether it has no subjectAltName, or an empty one.
    pub(crate) fn names_nobody(&self) -> bool {
        self.config.details().is_some_and(|details| details.names.is_empty())
    }

    /// Whether it is one for development from before there was an authority, which some clients cannot be made to accept.
    pub(crate) fn is_self_signed(&self) -> bool {
        self.trust.as_ref() == Some(&self.path)
    }

    /// Fails if a domain would be shown a certificate that has ended, or is not valid yet, in the place of a valid one.
    pub(crate) fn may_replace(
        &self,
        before: &Certificate,
        domains: &[BareJid],
        now: SystemTime,
    ) -> Result<(), Failure> {
        let is_valid = |config: &TlsIdentity| config.validity().unwrap_or_default().contains(&seconds(now));
        for domain in domains {
            let ((path, new), (_, old)) = (self.identity_for(domain), before.identity_for(domain));
            if is_valid(new) || !is_valid(old) {
                continue;
            }
            let validity = new.validity().unwrap_or_default();
            let says = match seconds(now) < validity.start {
                true => format!("is not valid before {}", date(validity.start)),
                false => format!("has ended on {}", date(validity.end)),
            };
            let until = date(old.validity().unwrap_or_default().end);
            let path = path.display();
            return Err(Failure::new(format!(
                "{path}: the certificate {says}; the one for {domain} that is used is valid until {until}"
            )));
        }
        Ok(())
    }

    /// What is shown for `domain`, and the name of its file.
    fn identity_for(&self, domain: &BareJid) -> (&Path, &TlsIdentity) {
        let own = self.others.iter().find(|other| other.domain == *domain);
        own.map_or((&*self.path, &self.config), |other| (&*other.path, &other.config))
    }

    /// Those that end soon, in how many days, and on which day; none are left if one has ended.
    pub(crate) fn ending(&self, now: SystemTime) -> Vec<(&Path, u64, String)> {
        let ends = |config| Some((days_left(config, now)?, date(config.validity().unwrap_or_default().end)));
        let all = self.all();
        all.filter_map(|(path, config)| ends(config).map(|(days, day)| (path, days, day))).collect()
    }

    /// Why those who trust `trust` refuse what they are shown for these domains, by file: each once. That one has ended is not among it, see
    /// [`ending`](Certificate::ending), and neither is what a name that is missing comes to, see [`lacks`](Certificate::lacks).
    pub(crate) fn refusals(&self, domains: &[BareJid], trust: &TlsTrust) -> Vec<Refused<'_>> {
        let mut refused: Vec<Refused<'_>> = Vec::new();
        for domain in domains {
            let (path, config) = self.identity_for(domain);
            let refusal = match trust.judge_server(config, domain.domainpart()) {
                Err(Error::Certificate { refusal, .. }) => refusal,
                // What is no name of the DNS is in no certificate.
                Ok(()) | Err(_) => continue,
            };
            let Some(details) = config.details() else { continue };
            let is_said_elsewhere = match refusal {
                // One that is sent with it may be the one that has ended.
                Refusal::Expired => has_ended(&details),
                Refusal::WrongName(_) => true,
                _ => false,
            };
            if is_said_elsewhere || refused.iter().any(|other| other.path == path) {
                continue;
            }
            let is_alone = !config.has_chain();
            let fault = Fault::of(&refusal, &details, is_alone, domain.domainpart());
            let is_cut = refusal == Refusal::Untrusted && is_alone && !details.is_self_signed;
            refused.push(Refused { path, refusal, is_cut, fault });
        }
        refused
    }

    /// Whom others trust, as far as this machine knows: its authorities, that of `[federation]`, and for a development certificate what has
    /// signed that.
    pub(crate) fn trust(&self, settings: &Settings) -> Result<TlsTrust, Error> {
        // Who trusts nobody that there is still finds what everybody refuses.
        let nobody = Authority::new(SystemTime::now())?;
        let mut roots = TlsTrust::builder().roots_pem(nobody.certificate_pem().as_bytes())?;
        for path in [settings.federation.ca(), self.trust.as_ref()].into_iter().flatten() {
            // That it can't be read is said by who needs it.
            let more = small_file::read(path).ok().and_then(|pem| roots.clone().roots_pem(&pem).ok());
            roots = more.unwrap_or(roots);
        }
        roots.clone().native_roots().unwrap_or(roots).build()
    }

    /// What a person is told of those that were named: where each is, for which domain if not for all, and until when it is valid.
    pub(crate) fn lines(&self) -> Vec<String> {
        let until = |config: &TlsIdentity| {
            let end = config.validity().unwrap_or_default().end;
            let until = datetime::format(end.saturating_mul(1_000));
            let day = until.split('T').next().unwrap_or_default().to_owned();
            let days = left(config, SystemTime::now()).as_secs() / 86_400;
            format!("valid until {day} ({})", counted(days, "day", "days"))
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
        if checkable(core::slice::from_ref(domain), self).is_ok() {
            return None;
        }
        let (_, config) = self.identity_for(domain);
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

/// In how many days it ends, if that is soon.
fn days_left(config: &TlsIdentity, now: SystemTime) -> Option<u64> {
    let validity = config.validity().unwrap_or_default();
    let lifetime = Duration::from_secs(validity.end.saturating_sub(validity.start));
    let left = left(config, now);
    // There are certificates for a few days only, which are renewed when half of that is over.
    let soon = WARNING.min(lifetime / 3);
    (left <= soon).then_some(left.as_secs() / 86_400)
}

#[cfg(test)]
mod tests;
