//! `[components]` in the configuration file: the services of their own that may attach to `serve` (XEP-0114).

use core::fmt;
use core::net::{Ipv4Addr, SocketAddr};
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use balcony_jid::BareJid;
use balcony_machine::Secret;
use balcony_tokio::ComponentsConfig;
use serde::Deserialize;

use crate::one_or_more::one_or_more;
use crate::values::{Address, Domain};

/// The port that components are used to.
const PORT: u16 = 5347;

/// What the file says of components.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct Components {
    #[serde(deserialize_with = "one_or_more")]
    listen: Vec<Address>,
    secrets: BTreeMap<String, String>,
}

impl Components {
    /// What is wrong with it in this file. There are secrets in it, so the file must not be readable by others; and they are not
    /// said in any complaint.
    pub(crate) fn check(&self, path: &Path) -> Result<(), String> {
        for (domain, secret) in &self.secrets {
            domain.parse::<Domain>().map_err(|error| format!("`{domain}`: {error}"))?;
            if secret.is_empty() {
                return Err(format!("the secret of `{domain}` is empty"));
            }
        }
        if let Some(Address(open)) = self.listen.iter().find(|Address(to)| !to.ip().is_loopback()) {
            return Err(format!(
                "`listen` at {open} would let components' secrets and messages cross the network unprotected; use a loopback \
                 address such as 127.0.0.1:{PORT}"
            ));
        }
        if !self.secrets.is_empty() && !is_private(path) {
            return Err("there are secrets in this file, and others can read it: chmod 600 it".into());
        }
        Ok(())
    }

    /// Where they attach.
    pub(crate) fn addresses(&self) -> Vec<Address> {
        match self.listen.is_empty() && !self.secrets.is_empty() {
            true => vec![Address(SocketAddr::from((Ipv4Addr::LOCALHOST, PORT)))],
            false => self.listen.clone(),
        }
    }

    /// Their domains.
    pub(crate) fn domains(&self) -> Vec<BareJid> {
        let domains = self.secrets.keys().filter_map(|domain| domain.parse::<Domain>().ok());
        domains.map(|Domain(domain)| domain).collect()
    }

    /// For a server whose first domain is this; `None` if there are none.
    pub(crate) fn config(&self, server: &BareJid) -> Option<ComponentsConfig> {
        let secrets = self.secrets.values().map(|secret| Secret::new(secret.clone()));
        let components: Vec<_> = self.domains().into_iter().zip(secrets).collect();
        (!components.is_empty()).then(|| ComponentsConfig::new(server.clone(), components))
    }
}

impl fmt::Debug for Components {
    /// Without the secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Components")
            .field("listen", &self.listen)
            .field("secrets", &self.secrets.keys())
            .finish()
    }
}

/// Whether nobody but its owner can read a file. One that can't be looked at can't be read either.
fn is_private(path: &Path) -> bool {
    std::fs::metadata(path).map_or(true, |about| about.permissions().mode() & 0o077 == 0)
}
