//! `[federation]` in the configuration file: what it says of other servers. What comes of it is decided in `federate.rs`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use balcony_jid::BareJid;
use balcony_tokio::{Endpoint, Target};
use serde::{Deserialize, Deserializer};

use crate::one_or_more::one_or_more;
use crate::values::{Address, Domain};

/// The port of servers for other servers (RFC 6120 section 3.2.2).
pub(crate) const PORT: u16 = 5269;

/// Connections of other servers, and as many to them, unless it is said otherwise.
const MOST_CONNECTIONS: u32 = 1_024;

/// What the file says of other servers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct Federation {
    /// Whether there is any. If that is not said, it depends on the certificate and the addresses.
    pub(crate) enabled: Option<bool>,
    #[serde(deserialize_with = "one_or_more")]
    pub(crate) listen: Vec<Address>,
    #[serde(deserialize_with = "one_or_more")]
    pub(crate) listen_tls: Vec<Address>,
    #[serde(deserialize_with = "some_or_more")]
    pub(crate) allow: Option<Vec<Domain>>,
    #[serde(deserialize_with = "one_or_more")]
    pub(crate) deny: Vec<Domain>,
    pub(crate) allow_plaintext: bool,
    pub(crate) require_certificate: bool,
    pub(crate) private_addresses: bool,
    /// Whether signed DNS says which certificates others have.
    pub(crate) dane: bool,
    /// Whether what is sent is acknowledged (XEP-0198); `None`: it is.
    pub(crate) stream_management: Option<bool>,
    pub(crate) max_connections: Option<u32>,
    pub(crate) ca: Option<PathBuf>,
    pub(crate) max_bytes_per_second: Option<u32>,
    pub(crate) max_streams_per_domain: Option<u32>,
    pub(crate) max_subscriptions_per_minute: Option<u32>,
    pub(crate) patience: Option<u32>,
    pub(crate) routes: BTreeMap<String, String>,
    pub(crate) routes_tls: BTreeMap<String, String>,
}

fn some_or_more<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<Domain>>, D::Error> {
    one_or_more(deserializer).map(Some)
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
    pub(crate) fn is_wanted(&self) -> bool {
        self.enabled.unwrap_or(!self.listen.is_empty() || !self.listen_tls.is_empty())
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
    pub(crate) fn targets(&self) -> Result<BTreeMap<BareJid, Target>, String> {
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

fn target(place: &str, direct_tls: bool) -> Option<Target> {
    let (Endpoint::Address { host, port, .. }, Endpoint::Address { port: other, .. }) =
        (Endpoint::parse(place, false)?, Endpoint::parse(place, true)?)
    else {
        return None;
    };
    // Where none is said it is that of clients, and there are two of them.
    Some(Target::new(host, if port == other { port } else { PORT }, direct_tls))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Federation {
        toml::from_str(text).unwrap()
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
