//! `[queues]` in the configuration file: how much may be on its way to sessions.

use balcony_machine::Limits;
use serde::Deserialize;

/// What may be on its way at least, so that any stanza can be.
const LEAST: usize = 1 << 20;

/// What the file says of it, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct Queues {
    session_bytes: usize,
    account_bytes: usize,
    total_bytes: usize,
}

impl Default for Queues {
    fn default() -> Self {
        let limits = Limits::default();
        Queues {
            session_bytes: limits.queue_bytes,
            account_bytes: limits.account_queue_bytes,
            total_bytes: limits.total_queue_bytes,
        }
    }
}

impl Queues {
    /// Why they can't be so, if they can't.
    pub(crate) fn check(self) -> Result<(), String> {
        if self.session_bytes < LEAST {
            return Err(format!("`session-bytes` has to be {LEAST} or more"));
        }
        if self.account_bytes < self.session_bytes || self.total_bytes < self.account_bytes {
            return Err("no session may have more than its account, and no account more than all".into());
        }
        Ok(())
    }

    /// Sets them in the bounds of a server.
    pub(crate) fn bound(self, limits: &mut Limits) {
        limits.queue_bytes = self.session_bytes;
        limits.account_queue_bytes = self.account_bytes;
        limits.total_queue_bytes = self.total_bytes;
    }
}
