//! How much waits altogether, and of whom.

use alloc::collections::BTreeMap;

use balcony_jid::BareJid;

use super::config::FederationLimits;

/// What waits for streams to other servers, in bytes, by the accounts that have sent it.
#[derive(Debug, Default)]
pub(super) struct Bounds {
    total: usize,
    senders: BTreeMap<BareJid, usize>,
}

impl Bounds {
    /// Counts what is to wait, if there is room for it.
    pub(super) fn admit(&mut self, sender: &BareJid, bytes: usize, limits: &FederationLimits) -> bool {
        let of_sender = self.senders.get(sender).copied().unwrap_or_default();
        if self.total + bytes > limits.waiting_bytes
            || (of_sender > 0 && of_sender + bytes > limits.sender_bytes)
        {
            return false;
        }
        self.add(sender, bytes);
        true
    }

    /// Counts what waits again.
    pub(super) fn add(&mut self, sender: &BareJid, bytes: usize) {
        self.total += bytes;
        *self.senders.entry(sender.clone()).or_default() += bytes;
    }

    /// It waits no more.
    pub(super) fn release(&mut self, sender: &BareJid, bytes: usize) {
        self.total = self.total.saturating_sub(bytes);
        if let Some(of_sender) = self.senders.get_mut(sender) {
            *of_sender = of_sender.saturating_sub(bytes);
            if *of_sender == 0 {
                self.senders.remove(sender);
            }
        }
    }

    pub(super) fn total(&self) -> usize {
        self.total
    }
}
