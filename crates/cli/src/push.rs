//! `[push]` in the configuration file: what push services are told (XEP-0357).

use core::time::Duration;

use balcony_router::extension::Builder;
use balcony_router::extension::push::Push;
use serde::Deserialize;

/// What the file says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct PushNotifications {
    /// Whether clients can enable them.
    enabled: bool,
    /// Seconds between two of them to one client.
    interval: u32,
    message_count: bool,
    last_message_sender: bool,
    last_message_body: bool,
}

impl Default for PushNotifications {
    fn default() -> Self {
        PushNotifications {
            enabled: true,
            interval: 10,
            message_count: true,
            last_message_sender: false,
            last_message_body: false,
        }
    }
}

impl PushNotifications {
    /// These extensions, with it or without.
    pub(crate) fn among(self, extensions: Builder) -> Builder {
        if !self.enabled {
            return extensions.without("push");
        }
        extensions.with(Push {
            interval: Duration::from_secs(self.interval.into()),
            count: self.message_count,
            sender: self.last_message_sender,
            body: self.last_message_body,
            ..Push::default()
        })
    }
}
