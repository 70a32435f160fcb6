//! Settings from a file in TOML.

use std::io::{Error, ErrorKind};
use std::path::Path;

use super::{Settings, bounds, fault};
use crate::failure::{Failure, io};
use crate::password::MARK;
use crate::small_file;

impl Settings {
    /// Reads a file. Paths in it are relative to the folder in which it is.
    pub(crate) fn read(path: &Path) -> Result<Settings, Failure> {
        let cannot_read = || io(format!("cannot read {}", path.display()));
        let bytes = small_file::read(path).map_err(cannot_read())?;
        let text = String::from_utf8(bytes)
            .map_err(|_| cannot_read()(Error::new(ErrorKind::InvalidData, "it is not UTF-8")))?;
        let text = text.strip_prefix(MARK).unwrap_or(&text);
        let mut settings: Settings = toml::from_str(text).map_err(|error| {
            let span = error.span().unwrap_or_default();
            let line = text[..span.start].matches('\n').count() + 1;
            Failure::new(format!(
                "{}:{line}: {}",
                path.display(),
                fault::explain(error.message(), text, span)
            ))
        })?;
        if settings.cert.is_some() != settings.key.is_some() {
            return Err(Failure::new(format!("{}: `cert` and `key` need each other", path.display())));
        }
        // As typed, but without the help of clap.
        for (name, value) in [
            ("negotiation-timeout", settings.negotiation_timeout),
            ("threads", settings.threads.map(u32::from)),
            ("max-connections", settings.max_connections),
            ("max-connections-per-ip", settings.max_connections_per_ip),
            ("max-attempts-per-ip", settings.max_attempts_per_ip),
            ("max-bytes-per-second", settings.max_bytes_per_second),
            ("max-stanza-bytes", settings.max_stanza_bytes),
            ("max-resources", settings.max_resources),
            ("max-offline-messages", settings.max_offline_messages),
            ("max-offline-bytes", settings.max_offline_bytes),
            ("max-contacts", settings.max_contacts),
            ("max-login-attempts", settings.max_login_attempts.map(u32::from)),
        ] {
            let least = bounds::least(name);
            if value.is_some_and(|value| value < least) {
                return Err(Failure::new(format!("{}: `{name}` has to be {least} or more", path.display())));
            }
        }
        if let Some(reason) = settings.twice(|name| format!("`{name}`")) {
            return Err(Failure::new(format!("{}: {reason}", path.display())));
        }
        if let Err(reason) = settings.federation.check() {
            return Err(Failure::new(format!("{}: [federation]: {reason}", path.display())));
        }
        if let Err(reason) = settings.components.check(path) {
            return Err(Failure::new(format!("{}: [components]: {reason}", path.display())));
        }
        if let Err(reason) = settings.domains.check(&settings.domain, &settings.components.domains()) {
            return Err(Failure::new(format!("{}: [domains]: {reason}", path.display())));
        }
        if let Err(reason) = settings.queues.check() {
            return Err(Failure::new(format!("{}: [queues]: {reason}", path.display())));
        }
        let folder = path.parent().unwrap_or(Path::new(""));
        settings.domains.in_folder(folder);
        settings.federation.in_folder(folder);
        for path in [&mut settings.data, &mut settings.cert, &mut settings.key].into_iter().flatten() {
            *path = folder.join(&*path);
        }
        Ok(settings)
    }
}
