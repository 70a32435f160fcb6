//! The bounds of a server by its settings.

use core::time::Duration;

use balcony_machine::Limits;
use balcony_router::extension::Extensions;
use balcony_router::extension::offline::Offline;
use balcony_tokio::ServerConfig;

use super::Settings;
use crate::failure::Failure;

/// The least that a setting with this name may be.
pub(super) fn least(name: &str) -> u32 {
    match name {
        "negotiation-timeout"
        | "threads"
        | "max-connections"
        | "max-connections-per-ip"
        | "max-attempts-per-ip"
        | "max-resources"
        | "max-offline-messages"
        | "max-contacts"
        | "max-login-attempts" => 1,
        "max-bytes-per-second" => 1000,
        "max-stanza-bytes" | "max-offline-bytes" => 10_000,
        _ => 0,
    }
}

impl Settings {
    /// How long a token lives that a client gets for its next login, if it gets one (XEP-0484).
    pub(crate) fn token_lifetime(&self) -> Option<Duration> {
        let days = self.token_lifetime.unwrap_or(30);
        (days > 0).then(|| Duration::from_secs(u64::from(days) * 86_400))
    }

    /// Sets the bounds in the configuration of a server (RFC 6120 section 13.12).
    pub(crate) fn bound(&self, config: &mut ServerConfig) -> Result<(), Failure> {
        let set = |bound: &mut usize, wanted: Option<u32>| {
            if let Some(wanted) = wanted {
                *bound = wanted as usize;
            }
        };
        config.limits = Limits::default();
        self.queues.bound(&mut config.limits);
        if let Some(seconds) = self.negotiation_timeout {
            config.limits.negotiation = Duration::from_secs(seconds.into());
        }
        if let Some(seconds) = self.resumption_timeout {
            config.limits.resumption = Duration::from_secs(seconds.into());
        }
        config.stream_management = !self.no_stream_management;
        config.connections_per_ip = self.max_connections_per_ip.map(|most| most as usize);
        config.attempts_per_ip = self.max_attempts_per_ip;
        config.bytes_per_second = self.max_bytes_per_second;
        config.server_connections = self.federation.connections();
        set(&mut config.limits.after_auth.bytes, self.max_stanza_bytes);
        if config.limits.after_auth.bytes > config.limits.queue_bytes / 2 {
            return Err(Failure::new(
                "`max-stanza-bytes` may be half of `session-bytes` in [queues] at most: what waits for a session needs room for any stanza",
            ));
        }
        set(&mut config.limits.resources, self.max_resources);
        set(&mut config.roster.items, self.max_contacts);
        if let Some(most) = self.max_login_attempts {
            config.limits.sasl_attempts = most;
        }
        let extensions = Extensions::standard().with(self.offline());
        config.extensions = self.push.among(self.csi.among(extensions)).build()?;
        Ok(())
    }

    /// The bounds of messages that wait for users who are away.
    pub(super) fn offline(&self) -> Offline {
        let Offline { messages, bytes } = Offline::default();
        Offline {
            messages: self.max_offline_messages.map_or(messages, |most| most as usize),
            bytes: self.max_offline_bytes.map_or(bytes, |most| most as usize),
        }
    }
}
