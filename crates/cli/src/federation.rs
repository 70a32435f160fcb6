//! `[federation]` in the configuration file: whether and how `serve` talks to other servers, and the words for whoever runs it.

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use balcony_jid::BareJid;
use balcony_machine::Secret;
use balcony_stream::TlsPolicy;
use balcony_tls::{Refusal, TlsTrust, TlsTrustBuilder};
use balcony_tokio::{Endpoint, FederationConfig, FederationTls, Reach, Target};
use serde::{Deserialize, Deserializer};

use crate::certificate::Certificate;
use crate::config::{Settings, one_or_more};
use crate::failure::{Failure, io};
use crate::random;
use crate::small_file;
use crate::values::{Address, Domain};

/// The port of servers for other servers (RFC 6120 section 3.2.2).
const PORT: u16 = 5269;

/// Connections of other servers, and as many to them, unless it is said otherwise.
const MOST_CONNECTIONS: u32 = 1_024;

/// What the file says of other servers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct Federation {
    /// Whether there is any. If that is not said, it depends on the certificate and the addresses.
    enabled: Option<bool>,
    #[serde(deserialize_with = "one_or_more")]
    pub(crate) listen: Vec<Address>,
    #[serde(deserialize_with = "one_or_more")]
    pub(crate) listen_tls: Vec<Address>,
    #[serde(deserialize_with = "some_or_more")]
    allow: Option<Vec<Domain>>,
    #[serde(deserialize_with = "one_or_more")]
    deny: Vec<Domain>,
    allow_plaintext: bool,
    require_certificate: bool,
    private_addresses: bool,
    /// Whether what is sent is acknowledged (XEP-0198); `None`: it is.
    stream_management: Option<bool>,
    max_connections: Option<u32>,
    ca: Option<PathBuf>,
    max_bytes_per_second: Option<u32>,
    max_streams_per_domain: Option<u32>,
    max_subscriptions_per_minute: Option<u32>,
    patience: Option<u32>,
    routes: BTreeMap<String, String>,
    routes_tls: BTreeMap<String, String>,
}

fn some_or_more<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<Domain>>, D::Error> {
    one_or_more(deserializer).map(Some)
}

/// Whether a server talks to others.
pub(crate) enum Decision {
    On(On),
    /// It does not, for this reason.
    Off(String),
}

/// How it does.
pub(crate) struct On {
    pub(crate) config: Box<FederationConfig>,
    /// The addresses to listen on: for STARTTLS, and for direct TLS.
    pub(crate) addresses: [Vec<Address>; 2],
    /// Why.
    pub(crate) reason: String,
}

impl Federation {
    /// What the file alone shows to be wrong.
    pub(crate) fn check(&self) -> Result<(), String> {
        self.targets().map(drop)?;
        for (name, value) in [
            ("max-bytes-per-second", self.max_bytes_per_second),
            ("max-connections", self.max_connections),
            ("max-streams-per-domain", self.max_streams_per_domain),
            ("max-subscriptions-per-minute", self.max_subscriptions_per_minute),
            ("patience", self.patience),
        ] {
            if value == Some(0) {
                return Err(format!("`{name}` has to be 1 or more"));
            }
        }
        Ok(())
    }

    /// The paths are relative to this folder.
    pub(crate) fn in_folder(&mut self, folder: &Path) {
        if let Some(ca) = &mut self.ca {
            *ca = folder.join(&*ca);
        }
    }

    /// The same with the addresses of `running`, which cannot change.
    pub(crate) fn with_addresses_of(self, running: &Federation) -> Federation {
        Federation { listen: running.listen.clone(), listen_tls: running.listen_tls.clone(), ..self }
    }

    /// How many connections other servers may have, and as many to them.
    pub(crate) fn connections(&self) -> usize {
        self.max_connections.unwrap_or(MOST_CONNECTIONS) as usize
    }

    /// Whether somebody has said that it is wanted.
    fn is_wanted(&self) -> bool {
        self.enabled.unwrap_or(!self.listen.is_empty() || !self.listen_tls.is_empty())
    }

    /// Whether to talk to others, and how.
    pub(crate) fn decide(
        &self,
        settings: &Settings,
        domains: &[BareJid],
        certificate: &Certificate,
        secret: &Secret<String>,
    ) -> Result<Decision, Failure> {
        let reason = match self.reason(settings, domains, certificate) {
            Ok(reason) => reason,
            Err(reason) => return Ok(Decision::Off(reason)),
        };
        let addresses = self.addresses(settings);
        if let Some(Address(open)) =
            addresses.iter().flatten().find(|Address(to)| self.allow_plaintext && is_open(to.ip()))
        {
            return Err(Failure::usage(format!(
                "`allow-plaintext` in [federation] would let messages cross the network unprotected at {open}; leave it out, or \
                 listen on addresses of a private network with `listen` there"
            )));
        }
        let tls = match self.tls(certificate) {
            Ok(tls) => tls,
            Err(failure) if self.is_wanted() => return Err(failure),
            Err(failure) => return Ok(Decision::Off(failure.to_string())),
        };
        // For components that others can be sure of.
        let components = settings.components.domains();
        let lacking = certificate.lacks(&components);
        let of_components = components.iter().filter(|domain| !lacking.contains(&domain.as_str()));
        let mut config = FederationConfig::new(domains.iter().chain(of_components).cloned().collect());
        config.certificate = Some(tls);
        config.tls = if self.allow_plaintext { TlsPolicy::Optional } else { TlsPolicy::Required };
        config.dialback = (!self.require_certificate).then(|| secret.clone());
        let names =
            |list: &[Domain]| list.iter().map(|Domain(domain)| domain.clone()).collect::<BTreeSet<_>>();
        config.allow = self.allow.as_deref().map(names);
        config.deny = names(&self.deny);
        config.routes = self.targets().map_err(Failure::new)?;
        config.private_addresses = self.private_addresses;
        config.management = self.stream_management.unwrap_or(config.management);
        config.limits.outgoing_streams = self.connections();
        config.limits.bytes_per_second = self.max_bytes_per_second;
        if let Some(most) = self.max_streams_per_domain {
            config.limits.streams_per_domain = most as usize;
        }
        if let Some(most) = self.max_subscriptions_per_minute {
            config.limits.subscriptions_per_minute = most;
        }
        if let Some(seconds) = self.patience {
            config.limits.patience = Duration::from_secs(seconds.into());
        }
        Ok(Decision::On(On { config: Box::new(config), addresses, reason }))
    }

    /// Why there are other servers to be talked to; or why there are none.
    fn reason(
        &self,
        settings: &Settings,
        domains: &[BareJid],
        certificate: &Certificate,
    ) -> Result<String, String> {
        if self.enabled == Some(false) {
            return Err("the configuration says so".into());
        }
        if self.is_wanted() {
            return Ok("the configuration says so".into());
        }
        if let Some(path) = development(domains, certificate) {
            return Err(format!(
                "no other server knows who has signed the certificate {}, which is one for development",
                path.display()
            ));
        }
        if open_addresses(settings).is_empty() {
            return Err("the server listens on loopback addresses only".into());
        }
        checkable(domains, certificate)?;
        Ok("the certificate of each domain is one that other servers can check".into())
    }

    /// Why a server with these settings that serves this domain talks to no others, as far as its files tell.
    pub(crate) fn off(&self, settings: &Settings, domain: &BareJid) -> Option<String> {
        let serves = match &settings.domain[..] {
            [] => domain.as_str() == "localhost",
            served => served.iter().any(|Domain(served)| served == domain),
        };
        let certificate = Certificate::existing(settings);
        match (serves, self.enabled, certificate) {
            (false, ..) => None,
            (_, Some(false), _) => Some("the configuration says so".into()),
            (.., Ok(certificate)) => self.reason(settings, core::slice::from_ref(domain), &certificate).err(),
            _ => None,
        }
    }

    fn addresses(&self, settings: &Settings) -> [Vec<Address>; 2] {
        if !self.listen.is_empty() || !self.listen_tls.is_empty() {
            return [self.listen.clone(), self.listen_tls.clone()];
        }
        let open = open_addresses(settings);
        let ips = if open.is_empty() { BTreeSet::from([IpAddr::from([127, 0, 0, 1])]) } else { open };
        [ips.into_iter().map(|ip| Address(SocketAddr::new(ip, PORT))).collect(), Vec::new()]
    }

    fn tls(&self, certificate: &Certificate) -> Result<FederationTls, Failure> {
        let pem = certificate.pem()?;
        let builder = match &self.ca {
            None => TlsTrust::builder().native_roots()?,
            Some(path) => {
                let roots = small_file::read(path).map_err(io(format!("cannot read {}", path.display())))?;
                let own = TlsTrust::builder().roots_pem(&roots)?;
                // A system without authorities has at least this one.
                own.clone().native_roots().unwrap_or(own)
            }
        };
        let mut builder = builder.federation(&pem.0, pem.1.expose())?;
        for other in certificate.others() {
            let (domain, pem) = other?;
            builder = builder.federation_of(domain.as_str(), &pem.0, pem.1.expose())?;
        }
        let connects = self.connects(builder)?;
        let accepts = certificate.config.federation(&connects)?;
        Ok(FederationTls { accepts, connects })
    }

    fn connects(&self, builder: TlsTrustBuilder) -> Result<TlsTrust, Failure> {
        let builder = if self.require_certificate { builder } else { builder.accept_unproven() };
        Ok(builder.build()?)
    }

    /// The authorities that are trusted besides those of the operating system.
    pub(crate) const fn ca(&self) -> Option<&PathBuf> {
        self.ca.as_ref()
    }

    /// Where this domain is, if the file says so.
    pub(crate) fn route(&self, domain: &BareJid) -> Option<Target> {
        // That they can be read was looked at when the file was.
        self.targets().ok()?.remove(domain)
    }

    /// The routes. The values are as those of `--connect`.
    fn targets(&self) -> Result<BTreeMap<BareJid, Target>, String> {
        let mut targets = BTreeMap::new();
        for (routes, direct_tls) in [(&self.routes, false), (&self.routes_tls, true)] {
            for (domain, place) in routes {
                let Domain(domain) = domain.parse().map_err(|error| format!("`{domain}`: {error}"))?;
                let target = target(place, direct_tls).ok_or_else(|| {
                    format!("`{place}`: a host and a port is wanted, such as 192.0.2.1:5269")
                })?;
                targets.insert(domain, target);
            }
        }
        Ok(targets)
    }
}

/// The certificate of one of these domains that nobody has named.
fn development<'a>(domains: &[BareJid], certificate: &'a Certificate) -> Option<&'a Path> {
    let mut shown = domains.iter().map(|domain| certificate.shown_for(domain));
    shown.find(|(_, was_named)| !was_named).map(|(path, _)| path)
}

/// Whether clients that trust the public authorities, as those of the operating system are, take the certificate of this domain.
pub(crate) fn is_public(domain: &BareJid, certificate: &Certificate) -> bool {
    checkable(core::slice::from_ref(domain), certificate).is_ok()
}

/// Whether others can check the certificate of each domain: whoever trusts the public authorities, as those of the operating system are,
/// finds that it is for the domain, today. If not, why.
fn checkable(domains: &[BareJid], certificate: &Certificate) -> Result<(), String> {
    // Not those of `ca`: it says whom this server trusts, not who trusts it.
    let public = TlsTrust::builder().native_roots().and_then(|roots| roots.to_servers().build());
    let public = public.map_err(|error| error.to_string())?;
    for domain in domains {
        let (path, _) = certificate.shown_for(domain);
        if let Err(error) = public.judge_server(&certificate.config, domain.domainpart()) {
            return Err(format!("other servers would not take {}: {}", path.display(), words(error)));
        }
    }
    Ok(())
}

/// What is wrong with a certificate of our own.
fn words(error: balcony_tls::Error) -> String {
    match error {
        balcony_tls::Error::Certificate { domain, refusal: Refusal::Untrusted } => {
            format!(
                "no public authority vouches for it to be that of {domain}, or those between are missing in the file"
            )
        }
        balcony_tls::Error::Certificate { domain, refusal: Refusal::WrongName(names) } => {
            format!("{domain} is missing in it; it is for {}", names.join(", "))
        }
        error => error.to_string(),
    }
}

fn target(place: &str, direct_tls: bool) -> Option<Target> {
    let (Endpoint::Address { host, port, .. }, Endpoint::Address { port: other, .. }) =
        (Endpoint::parse(place, false)?, Endpoint::parse(place, true)?)
    else {
        return None;
    };
    // Where none is said it is that of clients, and there are two of them.
    Some(Target { host, port: if port == other { port } else { PORT }, direct_tls })
}

/// Whether anybody may connect to that address: it is not one of a private network.
fn is_open(ip: IpAddr) -> bool {
    ip.is_unspecified() || Reach::Public.admits(ip)
}

/// The addresses on which clients come from elsewhere.
fn open_addresses(settings: &Settings) -> BTreeSet<IpAddr> {
    let all = settings.listen.iter().chain(&settings.listen_tls);
    all.map(|Address(to)| to.ip()).filter(|ip| !ip.is_loopback()).collect()
}

/// The secret of dialback keys. They are good for as long as the streams for which they are made, and no server outlives its streams.
pub(crate) fn secret() -> Result<Secret<String>, Failure> {
    Ok(Secret::new(random::random()?.token(52)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Federation {
        toml::from_str(text).unwrap()
    }

    fn decide(settings: &Settings, federation: &Federation, names: &[&str]) -> Decision {
        let domains: Vec<BareJid> = names.iter().map(|name| BareJid::parse(name).unwrap()).collect();
        let certificate = Certificate::of(settings, &domains[..1], std::time::SystemTime::now()).unwrap();
        let secret = Secret::new("a secret".into());
        federation.decide(settings, &domains, &certificate, &secret).unwrap()
    }

    fn reason(decision: Decision) -> String {
        match decision {
            Decision::Off(reason) => reason,
            Decision::On(on) => panic!("{:?}", on.config),
        }
    }

    // It is on where it is asked for; otherwise it says what else there would be to do.
    #[test]
    fn it_is_on_where_it_can_work() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| Some(folder.path().join(name));
        let local = Settings { data: path(""), ..Settings::default() };
        let made = reason(decide(&local, &Federation::default(), &["example.org"]));
        assert!(made.contains("no other server knows who has signed"), "{made}");
        let named = Settings { cert: path("cert.pem"), key: path("key.pem"), ..local };
        let loopback = reason(decide(&named, &Federation::default(), &["example.org"]));
        assert!(loopback.contains("loopback"), "{loopback}");
        // Of an authority that nobody else knows, it makes no difference that it was named.
        let open = Settings { listen: vec!["0.0.0.0:5222".parse().unwrap()], ..named };
        let unknown = reason(decide(&open, &Federation::default(), &["example.org"]));
        assert!(
            unknown.contains("other servers would not take") && unknown.contains("cert.pem"),
            "{unknown}"
        );
        let off = reason(decide(&open, &read("enabled = false\nlisten = '127.0.0.1:1'"), &["example.org"]));
        assert_eq!(off, "the configuration says so");

        // Nothing crosses the network in the clear where anybody may listen.
        let plain =
            |listen: &str| read(&format!("enabled = true\nallow-plaintext = true\nlisten = '{listen}'"));
        let refused = |listen: &str| {
            let domains = [BareJid::parse("example.org").unwrap()];
            let certificate = Certificate::of(&open, &domains, std::time::SystemTime::now()).unwrap();
            plain(listen).decide(&open, &domains, &certificate, &Secret::new("a secret".into())).err()
        };
        for listen in ["0.0.0.0:5269", "[::]:5269", "8.8.8.8:5269"] {
            let failure = refused(listen).unwrap().to_string();
            assert!(failure.contains("allow-plaintext") && failure.contains(listen), "{failure}");
        }
        assert!(refused("10.0.0.5:5269").is_none() && refused("127.0.0.1:5269").is_none());

        // Whom it trusts has nothing to do with who has signed its own.
        let asked = read(&format!("enabled = true\nca = '{}'", folder.path().join("ca.pem").display()));
        let Decision::On(On { config, addresses: [listen, listen_tls], .. }) =
            decide(&open, &asked, &["example.org"])
        else {
            panic!("it was asked for")
        };
        assert!(config.dialback.is_some() && config.tls == TlsPolicy::Required && config.management);
        assert_eq!((listen, listen_tls), (vec!["0.0.0.0:5269".parse().unwrap()], vec![]));

        // XEP-0198 between servers can be left out.
        for (says, wanted) in [("true", true), ("false", false)] {
            let asked = read(&format!(
                "enabled = true\nallow-plaintext = true\nlisten = '127.0.0.1:1'\nstream-management = {says}"
            ));
            let Decision::On(On { config, .. }) = decide(&open, &asked, &["example.org"]) else {
                panic!("it was asked for")
            };
            assert_eq!(config.management, wanted);
        }
    }

    #[test]
    fn routes_are_read_with_and_without_port() {
        let routes = "[routes]\n'a.example' = '192.0.2.1'\n'b.example' = '[::1]:1'\n[routes-tls]\n'c.example' = 'host:7'";
        let targets = read(routes).targets().unwrap();
        let place = |domain: &str| targets.get(domain).map(|to| (to.host.as_str(), to.port, to.direct_tls));
        assert_eq!(place("a.example"), Some(("192.0.2.1", 5269, false)));
        assert_eq!(place("b.example"), Some(("::1", 1, false)));
        assert_eq!(place("c.example"), Some(("host", 7, true)));
        assert!(read("[routes]\n'a@b' = '192.0.2.1'").check().unwrap_err().contains("without an account"));
        assert!(read("[routes]\n'a.example' = 'a b'").check().unwrap_err().contains("a host and a port"));
        assert_eq!(read("patience = 0").check().unwrap_err(), "`patience` has to be 1 or more");
    }
}
