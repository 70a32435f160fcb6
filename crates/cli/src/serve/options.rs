//! What a server is told: typed, or in a file that can be read again.

use core::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use balcony_jid::BareJid;

use crate::certificate::Certificate;
use crate::config::Settings;
use crate::failure::Failure;
use crate::values::{Address, Domain, LogLevel};

/// Where the settings come from, to read them again.
#[derive(Clone)]
pub(super) struct Options {
    pub(super) typed: Settings,
    pub(super) config: Option<PathBuf>,
    pub(super) log: Option<LogLevel>,
    /// Whether it is a demo, which has a page for browsers.
    pub(super) demo: bool,
}

impl Options {
    /// What is typed wins over the file. Also whether neither says where to listen, so that it is the default.
    pub(super) fn read(&self) -> Result<(Settings, bool), Failure> {
        let file = self.config.as_deref().map(Settings::read).transpose()?.unwrap_or_default();
        let mut settings = self.typed.clone().or(file);
        settings.log = self.log.or(settings.log);
        let is_default = !settings.listens();
        if is_default {
            let local = |port| Address(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
            settings.listen = vec![local(5222)];
            settings.listen_tls = vec![local(5223)];
            settings.listen_http = if self.demo { vec![local(5280)] } else { Vec::new() };
        }
        Ok((settings, is_default))
    }

    /// Reads the settings and the certificate again, as that is renewed every few months; one for development is renewed here if it is time. What cannot change while the
    /// server runs stays, and is named.
    pub(super) fn read_again(
        &self,
        before: &Settings,
        domains: &[BareJid],
    ) -> Result<(Settings, Certificate), Failure> {
        let (settings, fixed) = self.read()?.0.with_fixed_of(before);
        let certificate = Certificate::again(&settings, domains, SystemTime::now())?;
        if !fixed.is_empty() {
            let fixed = fixed.join(", ");
            tracing::warn!(target: "balcony", "a change of {fixed} needs a restart: that stays as it was");
        }
        Ok((settings, certificate))
    }

    /// What is wrong with a setting, and where that is said. `says` is given the word for any setting there.
    pub(super) fn fault(
        &self,
        is_typed: bool,
        says: impl FnOnce(&dyn Fn(&str) -> String) -> String,
    ) -> Failure {
        match self.config.as_ref().filter(|_| !is_typed) {
            Some(path) => Failure::new(format!("{}: {}", path.display(), says(&|name| format!("`{name}`")))),
            None => Failure::usage(says(&|name| format!("--{name}"))),
        }
    }

    /// A setting that says where to listen, by the name that it has where that is said.
    pub(super) fn listening(&self, name: &str, is_default: bool) -> String {
        match self.config.as_ref().filter(|_| !is_default && !self.typed.listens()) {
            Some(path) => format!("`{name}` in {}", path.display()),
            None => format!("--{name}"),
        }
    }

    /// The file, in words.
    pub(super) fn source(&self) -> String {
        self.config.as_ref().map(|path| format!("{} and ", path.display())).unwrap_or_default()
    }
}

/// The domains, each of them once.
pub(super) fn domains(settings: &Settings) -> Result<Arc<[BareJid]>, Failure> {
    let mut domains: Vec<BareJid> = Vec::new();
    for Domain(domain) in &settings.domain {
        if !domains.contains(domain) {
            domains.push(domain.clone());
        }
    }
    if domains.is_empty() {
        let localhost = BareJid::parse("localhost").map_err(|error| Failure::new(error.to_string()))?;
        domains.push(localhost);
    }
    Ok(domains.into())
}
