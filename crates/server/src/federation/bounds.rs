//! How much waits altogether, and who pays for it (RFC 6120 section 13.12).

use alloc::collections::BTreeMap;

use balcony_jid::BareJid;

/// Who pays for a stanza that waits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Payer {
    /// Who has sent it: an account, or the whole of a domain, of ours.
    Sender(BareJid),
    /// Another server's domain: it has sent this, or has caused what it is answered with. It pays from another purse than our
    /// accounts, so that it can't use up what is theirs.
    Domain(BareJid),
}

/// How much may wait, in bytes as [`cost`](balcony_router::cost) counts them. Of each payer one stanza has room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Room {
    /// Of all senders together.
    pub(crate) of_senders: usize,
    /// Of one of them.
    pub(crate) of_sender: usize,
    /// Of all domains of other servers together.
    pub(crate) of_domains: usize,
    /// Of one of them.
    pub(crate) of_domain: usize,
}

/// What waits, in bytes, by those who pay for it.
#[derive(Debug, Default)]
pub(crate) struct Bounds {
    of_senders: usize,
    of_domains: usize,
    payers: BTreeMap<Payer, usize>,
}

impl Bounds {
    /// Counts what is to wait, if there is room for it.
    pub(crate) fn admit(&mut self, payer: &Payer, bytes: usize, room: Room) -> bool {
        let has_room = self.has_room(payer, bytes, room);
        if has_room {
            self.add(payer, bytes);
        }
        has_room
    }

    /// Whether there is room for it.
    pub(crate) fn has_room(&self, payer: &Payer, bytes: usize, room: Room) -> bool {
        let (total, most, most_of_one) = match payer {
            Payer::Sender(_) => (self.of_senders, room.of_senders, room.of_sender),
            Payer::Domain(_) => (self.of_domains, room.of_domains, room.of_domain),
        };
        let of_payer = self.payers.get(payer).copied().unwrap_or_default();
        total + bytes <= most && (of_payer == 0 || of_payer + bytes <= most_of_one)
    }

    /// Counts what waits again.
    pub(crate) fn add(&mut self, payer: &Payer, bytes: usize) {
        *self.total_of(payer) += bytes;
        *self.payers.entry(payer.clone()).or_default() += bytes;
    }

    /// It waits no more.
    pub(crate) fn release(&mut self, payer: &Payer, bytes: usize) {
        let total = self.total_of(payer);
        *total = total.saturating_sub(bytes);
        if let Some(of_payer) = self.payers.get_mut(payer) {
            *of_payer = of_payer.saturating_sub(bytes);
            if *of_payer == 0 {
                self.payers.remove(payer);
            }
        }
    }

    pub(crate) fn total(&self) -> usize {
        self.of_senders + self.of_domains
    }

    fn total_of(&mut self, payer: &Payer) -> &mut usize {
        match payer {
            Payer::Sender(_) => &mut self.of_senders,
            Payer::Domain(_) => &mut self.of_domains,
        }
    }
}
