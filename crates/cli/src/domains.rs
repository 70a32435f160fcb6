//! `[domains]` in the configuration file: domains with a certificate of their own, which is shown to who asks for that domain (SNI).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use balcony_jid::BareJid;
use serde::Deserialize;

use crate::values::Domain;

/// What the file says of each domain.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub(crate) struct Domains(BTreeMap<String, OfDomain>);

/// What it says of one.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct OfDomain {
    /// The certificate in PEM, followed by those that signed it.
    pub(crate) certificate: PathBuf,
    /// Its private key.
    pub(crate) key: PathBuf,
}

impl Domains {
    /// What is wrong with it for a server of these domains.
    pub(crate) fn check(&self, served: &[Domain], components: &[BareJid]) -> Result<(), String> {
        for name in self.0.keys() {
            let Domain(domain) = name.parse().map_err(|error| format!("`{name}`: {error}"))?;
            let is_served = served.iter().any(|Domain(served)| *served == domain);
            if !is_served && !components.contains(&domain) {
                return Err(format!(
                    "`{name}` is not a domain of this server: name it with `domain`, or leave its certificate out"
                ));
            }
        }
        Ok(())
    }

    /// The paths are relative to this folder.
    pub(crate) fn in_folder(&mut self, folder: &Path) {
        for OfDomain { certificate, key } in self.0.values_mut() {
            (*certificate, *key) = (folder.join(&*certificate), folder.join(&*key));
        }
    }

    /// What it says of this one.
    pub(crate) fn of(&self, domain: &BareJid) -> Option<&OfDomain> {
        self.iter().find(|(name, _)| name == domain).map(|(_, of_domain)| of_domain)
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (BareJid, &OfDomain)> {
        self.0.iter().filter_map(|(name, of_domain)| {
            // Those that are none have been refused when the file was read.
            Some((name.parse::<Domain>().ok()?.0, of_domain))
        })
    }
}
