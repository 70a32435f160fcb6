//! Whether and how `serve` talks to other servers, by its settings and its certificates, and the words for whoever runs it.

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use std::collections::BTreeSet;
use std::path::Path;

use balcony_jid::BareJid;
use balcony_machine::Secret;
use balcony_stream::TlsPolicy;
use balcony_tls::{TlsTrust, TlsTrustBuilder};
use balcony_tokio::{FederationConfig, FederationTls, Reach};

use crate::certificate::{Certificate, checkable};
use crate::config::Settings;
use crate::failure::{Failure, io};
use crate::federation::{Federation, PORT};
use crate::random;
use crate::small_file;
use crate::values::{Address, Domain};

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

/// Whether to talk to others, and how.
pub(crate) fn decide(
    settings: &Settings,
    domains: &[BareJid],
    certificate: &Certificate,
    secret: &Secret<String>,
) -> Result<Decision, Failure> {
    let federation = &settings.federation;
    let reason = match reason(settings, domains, certificate) {
        Ok(reason) => reason,
        Err(reason) => return Ok(Decision::Off(reason)),
    };
    let addresses = addresses(settings);
    if let Some(Address(open)) =
        addresses.iter().flatten().find(|Address(to)| federation.allow_plaintext && is_open(to.ip()))
    {
        return Err(Failure::usage(format!(
            "`allow-plaintext` in [federation] would let messages cross the network unprotected at {open}; leave it out, or \
             listen on addresses of a private network with `listen` there"
        )));
    }
    let tls = match tls(federation, certificate) {
        Ok(tls) => tls,
        Err(failure) if federation.is_wanted() => return Err(failure),
        Err(failure) => return Ok(Decision::Off(failure.to_string())),
    };
    // For components that others can be sure of.
    let components = settings.components.domains();
    let lacking = certificate.lacks(&components);
    let of_components = components.iter().filter(|domain| !lacking.contains(&domain.as_str()));
    let mut config = FederationConfig::new(domains.iter().chain(of_components).cloned().collect());
    config.certificate = Some(tls);
    config.tls = if federation.allow_plaintext { TlsPolicy::Optional } else { TlsPolicy::Required };
    config.dialback = (!federation.require_certificate).then(|| secret.clone());
    let names = |list: &[Domain]| list.iter().map(|Domain(domain)| domain.clone()).collect::<BTreeSet<_>>();
    config.allow = federation.allow.as_deref().map(names);
    config.deny = names(&federation.deny);
    config.routes = federation.targets().map_err(Failure::new)?;
    config.private_addresses = federation.private_addresses;
    config.dane = federation.dane;
    config.management = federation.stream_management.unwrap_or(config.management);
    config.limits.outgoing_streams = federation.connections();
    config.limits.bytes_per_second = federation.max_bytes_per_second;
    if let Some(most) = federation.max_streams_per_domain {
        config.limits.streams_per_domain = most as usize;
    }
    if let Some(most) = federation.max_subscriptions_per_minute {
        config.limits.subscriptions_per_minute = most;
    }
    if let Some(seconds) = federation.patience {
        config.limits.patience = Duration::from_secs(seconds.into());
    }
    Ok(Decision::On(On { config: Box::new(config), addresses, reason }))
}

/// Why there are other servers to be talked to; or why there are none.
fn reason(settings: &Settings, domains: &[BareJid], certificate: &Certificate) -> Result<String, String> {
    let federation = &settings.federation;
    if federation.enabled == Some(false) {
        return Err("the configuration says so".into());
    }
    if federation.is_wanted() {
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
pub(crate) fn off(settings: &Settings, domain: &BareJid) -> Option<String> {
    let serves = match &settings.domain[..] {
        [] => domain.as_str() == "localhost",
        served => served.iter().any(|Domain(served)| served == domain),
    };
    let certificate = Certificate::existing(settings);
    match (serves, settings.federation.enabled, certificate) {
        (false, ..) => None,
        (_, Some(false), _) => Some("the configuration says so".into()),
        (.., Ok(certificate)) => reason(settings, core::slice::from_ref(domain), &certificate).err(),
        _ => None,
    }
}

fn addresses(settings: &Settings) -> [Vec<Address>; 2] {
    let federation = &settings.federation;
    if !federation.listen.is_empty() || !federation.listen_tls.is_empty() {
        return [federation.listen.clone(), federation.listen_tls.clone()];
    }
    let open = open_addresses(settings);
    let ips = if open.is_empty() { BTreeSet::from([IpAddr::from([127, 0, 0, 1])]) } else { open };
    [ips.into_iter().map(|ip| Address(SocketAddr::new(ip, PORT))).collect(), Vec::new()]
}

fn tls(federation: &Federation, certificate: &Certificate) -> Result<FederationTls, Failure> {
    let pem = certificate.pem()?;
    let builder = match &federation.ca {
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
    let connects = connects(federation, builder)?;
    let accepts = certificate.config.federation(&connects)?;
    Ok(FederationTls { accepts, connects })
}

fn connects(federation: &Federation, builder: TlsTrustBuilder) -> Result<TlsTrust, Failure> {
    let builder = if federation.require_certificate { builder } else { builder.accept_unproven() };
    Ok(builder.build()?)
}

/// The certificate of one of these domains that nobody has named.
fn development<'a>(domains: &[BareJid], certificate: &'a Certificate) -> Option<&'a Path> {
    let mut shown = domains.iter().map(|domain| certificate.shown_for(domain));
    shown.find(|(_, was_named)| !was_named).map(|(path, _)| path)
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

    fn decided(settings: &Settings, federation: &Federation, names: &[&str]) -> Decision {
        let domains: Vec<BareJid> = names.iter().map(|name| BareJid::parse(name).unwrap()).collect();
        let certificate = Certificate::of(settings, &domains[..1], std::time::SystemTime::now()).unwrap();
        let secret = Secret::new("a secret".into());
        let settings = Settings { federation: Box::new(federation.clone()), ..settings.clone() };
        decide(&settings, &domains, &certificate, &secret).unwrap()
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
        let made = reason(decided(&local, &Federation::default(), &["example.org"]));
        assert!(made.contains("no other server knows who has signed"), "{made}");
        let named = Settings { cert: path("cert.pem"), key: path("key.pem"), ..local };
        let loopback = reason(decided(&named, &Federation::default(), &["example.org"]));
        assert!(loopback.contains("loopback"), "{loopback}");
        // Of an authority that nobody else knows, it makes no difference that it was named.
        let open = Settings { listen: vec!["0.0.0.0:5222".parse().unwrap()], ..named };
        let unknown = reason(decided(&open, &Federation::default(), &["example.org"]));
        assert!(
            unknown.contains("other servers would not take") && unknown.contains("cert.pem"),
            "{unknown}"
        );
        let off = reason(decided(&open, &read("enabled = false\nlisten = '127.0.0.1:1'"), &["example.org"]));
        assert_eq!(off, "the configuration says so");

        // Nothing crosses the network in the clear where anybody may listen.
        let plain =
            |listen: &str| read(&format!("enabled = true\nallow-plaintext = true\nlisten = '{listen}'"));
        let refused = |listen: &str| {
            let domains = [BareJid::parse("example.org").unwrap()];
            let certificate = Certificate::of(&open, &domains, std::time::SystemTime::now()).unwrap();
            let settings = Settings { federation: Box::new(plain(listen)), ..open.clone() };
            decide(&settings, &domains, &certificate, &Secret::new("a secret".into())).err()
        };
        for listen in ["0.0.0.0:5269", "[::]:5269", "8.8.8.8:5269"] {
            let failure = refused(listen).unwrap().to_string();
            assert!(failure.contains("allow-plaintext") && failure.contains(listen), "{failure}");
        }
        assert!(refused("10.0.0.5:5269").is_none() && refused("127.0.0.1:5269").is_none());

        // Whom it trusts has nothing to do with who has signed its own.
        let asked = read(&format!("enabled = true\nca = '{}'", folder.path().join("ca.pem").display()));
        let Decision::On(On { config, addresses: [listen, listen_tls], .. }) =
            decided(&open, &asked, &["example.org"])
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
            let Decision::On(On { config, .. }) = decided(&open, &asked, &["example.org"]) else {
                panic!("it was asked for")
            };
            assert_eq!(config.management, wanted);
        }
    }
}
