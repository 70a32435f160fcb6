//! `[csi]` in the configuration file: what waits for clients that nobody uses (XEP-0352).

use balcony_router::extension::Builder;
use balcony_router::extension::csi::Csi;
use serde::Deserialize;

/// What the file says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct ClientStates {
    /// Whether clients can say that nobody uses them.
    enabled: bool,
    presence: bool,
    chat_states: bool,
    other: bool,
}

impl Default for ClientStates {
    fn default() -> Self {
        let Csi { presence, chat_states, other } = Csi::default();
        ClientStates { enabled: true, presence, chat_states, other }
    }
}

impl ClientStates {
    /// These extensions, with it or without.
    pub(crate) fn among(self, extensions: Builder) -> Builder {
        let ClientStates { enabled, presence, chat_states, other } = self;
        match enabled {
            true => extensions.with(Csi { presence, chat_states, other }),
            false => extensions.without("csi"),
        }
    }
}
