//! How much of one sender waits, and how much may.
//!
//! Each of these bounds is full or not by what its sender may know. So what goes to those whose presence the sender does not see has a
//! bound for each of them: whether it is full shows in nothing but what becomes of later stanzas to the same. How large that bound is
//! depends on how many such recipients the sender has had lately, whatever became of what they were sent.

use alloc::collections::{BTreeMap, BTreeSet};
use core::time::Duration;

use balcony_jid::BareJid;
use balcony_machine::{Instant, Limits};

/// What the server says in somebody's name has so many times the room of what that one says: one stanza of a client may come to one
/// to each contact.
const SAID: usize = 4;

/// So many times the room of one has all that a domain's users have sent to contacts.
const CONTACTS: usize = 2;

/// How much of one sender waits.
#[derive(Debug, Default)]
pub(crate) struct Waits {
    own: Tally,
    said_at_home: Tally,
    seen: Tally,
    said_to_seen: Tally,
    probes: Tally,
    contacts: Tally,
    /// No more is read of the sender, which is another server, until less of that waits.
    pub(crate) is_held: bool,
    strangers: Strangers,
    said_to_strangers: Strangers,
    /// The numbers of those of these whose fate the sender's later requests to its own server wait for.
    pub(crate) undecided: BTreeSet<u64>,
}

/// So many stanzas, and what they cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    stanzas: usize,
    /// As [`cost`](crate::cost) says.
    bytes: usize,
}

/// Where a stanza waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In its sender's account.
    Own,
    /// There, too, but the server says it in the account's name, or answers the account in the name of others.
    SaidAtHome,
    /// In the account of somebody whose presence the sender sees, or for that account's store.
    Seen,
    /// There, too, but the server says it in the sender's name.
    SaidToSeen,
    /// For the answer of the store to a probe, or to another question that strangers may ask. They are answered, so whether there is
    /// room for one must not depend on what became of stanzas of other kinds.
    Probe,
    /// In the account of a contact of a user of another server, or for that account's store. The account says that it is one; it may know what
    /// becomes of what it has sent.
    Contact,
    /// In the account of somebody else, or for that account's store.
    Stranger(BareJid),
    /// There, too, but the server says it in the sender's name.
    SaidToStranger(BareJid),
}

/// What waits in the accounts of those whose presence the sender does not see.
#[derive(Debug, Default)]
struct Strangers {
    /// Who was written to, and when last. This depends on what the sender has sent, and on nothing else.
    recent: BTreeMap<BareJid, Instant>,
    /// In whose account something waits.
    waiting: BTreeMap<BareJid, Tally>,
}

impl Place {
    /// Whether the server says it.
    pub(crate) const fn is_said(&self) -> bool {
        matches!(self, Place::SaidAtHome | Place::SaidToSeen | Place::SaidToStranger(_))
    }

    /// Whether it has not left the sender's account.
    pub(crate) const fn is_at_home(&self) -> bool {
        matches!(self, Place::Own | Place::SaidAtHome)
    }
}

impl Waits {
    /// Whether nothing of the sender waits, and nothing is known of it.
    pub(crate) fn is_empty(&self) -> bool {
        let tallies = [self.own, self.said_at_home, self.seen, self.said_to_seen, self.probes, self.contacts];
        tallies.iter().all(|tally| tally.stanzas == 0)
            && [&self.strangers, &self.said_to_strangers].iter().all(|strangers| strangers.is_empty())
    }

    /// Whether the sender has written to strangers, and it is not long ago, or was not when that was last looked at.
    pub(crate) fn remembers(&self) -> bool {
        [&self.strangers, &self.said_to_strangers].iter().any(|strangers| !strangers.recent.is_empty())
    }

    pub(crate) fn add(&mut self, place: &Place, bytes: usize) {
        let tally = match place {
            Place::Stranger(to) => self.strangers.waiting.entry(to.clone()).or_default(),
            Place::SaidToStranger(to) => self.said_to_strangers.waiting.entry(to.clone()).or_default(),
            place => self.simple(place),
        };
        tally.stanzas += 1;
        tally.bytes += bytes;
    }

    pub(crate) fn take(&mut self, place: &Place, bytes: usize) {
        let take = |tally: &mut Tally| {
            tally.stanzas -= 1;
            tally.bytes -= bytes;
        };
        match place {
            Place::Stranger(to) => self.strangers.take(to, take),
            Place::SaidToStranger(to) => self.said_to_strangers.take(to, take),
            place => take(self.simple(place)),
        }
    }

    fn simple(&mut self, place: &Place) -> &mut Tally {
        match place {
            Place::Own => &mut self.own,
            Place::SaidAtHome => &mut self.said_at_home,
            Place::Seen | Place::Stranger(_) => &mut self.seen,
            Place::SaidToSeen | Place::SaidToStranger(_) => &mut self.said_to_seen,
            Place::Probe => &mut self.probes,
            Place::Contact => &mut self.contacts,
        }
    }

    /// Whether it has changed that no more is [to be read](Waits::is_held) of the sender: what contacts are sent is read as fast as they can
    /// take it, so that none of it is lost. What goes to strangers shows nothing by that, nor does it wait for that.
    pub(crate) fn hold(&mut self, limits: &Limits) -> bool {
        let has_less_than = |part: usize| {
            self.contacts.stanzas * part <= limits.waiting
                && self.contacts.bytes * part <= limits.waiting_bytes
        };
        let is_held = if self.is_held { !has_less_than(8) } else { !has_less_than(4) };
        core::mem::replace(&mut self.is_held, is_held) != is_held
    }

    /// Whether one more stanza that costs so much may wait there. What goes to a stranger has to be [noted](Waits::note) before.
    pub(crate) fn has_room(&self, place: &Place, bytes: usize, limits: &Limits) -> bool {
        let times = if place.is_said() { SAID } else { 1 };
        let (stanzas, most) = (limits.waiting * times, limits.waiting_bytes * times);
        let has_room = |tally: &Tally| tally.stanzas < stanzas && tally.bytes < most;
        match place {
            Place::Own => has_room(&self.own),
            Place::SaidAtHome => has_room(&self.said_at_home),
            Place::Seen => has_room(&self.seen),
            Place::SaidToSeen => has_room(&self.said_to_seen),
            Place::Probe => has_room(&self.probes),
            // What has been read when it is held has room as well.
            Place::Contact => {
                self.contacts.stanzas < CONTACTS * stanzas && self.contacts.bytes < CONTACTS * most
            }
            Place::Stranger(to) => self.strangers.has_room(to, bytes, stanzas, most),
            Place::SaidToStranger(to) => self.said_to_strangers.has_room(to, bytes, stanzas, most),
        }
    }

    /// The sender has something for somebody whose presence it does not see. `false` if those are too many.
    pub(crate) fn note(&mut self, to: &BareJid, is_said: bool, now: Instant, limits: &Limits) -> bool {
        let span = memory(limits);
        match is_said {
            true => self.said_to_strangers.note(to, now, span, limits.waiting * SAID),
            false => self.strangers.note(to, now, span, limits.waiting),
        }
    }

    /// Forgets recipients of long ago.
    pub(crate) fn forget(&mut self, now: Instant, limits: &Limits) {
        for strangers in [&mut self.strangers, &mut self.said_to_strangers] {
            strangers.forget(now, memory(limits));
        }
    }
}

/// How long it counts that somebody was written to: longer than a stanza waits for the store twice, once for the account, and once to be
/// kept.
pub(crate) fn memory(limits: &Limits) -> Duration {
    limits.answer.saturating_mul(3)
}

impl Strangers {
    fn is_empty(&self) -> bool {
        self.recent.is_empty() && self.waiting.is_empty()
    }

    fn take(&mut self, to: &BareJid, take: impl FnOnce(&mut Tally)) {
        if let Some(tally) = self.waiting.get_mut(to) {
            take(tally);
            if tally.stanzas == 0 {
                self.waiting.remove(to);
            }
        }
    }

    /// Each has as much room as is left if those who were before have used up all of theirs: all of it for the first, half for the
    /// second, and so on. Together that is at most about eight times the room of one.
    fn has_room(&self, to: &BareJid, bytes: usize, stanzas: usize, most: usize) -> bool {
        let share = self.recent.len().max(1);
        let tally = self.waiting.get(to).copied().unwrap_or_default();
        tally.stanzas < (stanzas / share).max(1) && tally.bytes + bytes <= most / share
    }

    fn note(&mut self, to: &BareJid, now: Instant, span: Duration, most: usize) -> bool {
        if let Some(at) = self.recent.get_mut(to) {
            *at = now;
            return true;
        }
        self.forget(now, span);
        let has_room = self.recent.len() < most;
        if has_room {
            self.recent.insert(to.clone(), now);
        }
        has_room
    }

    fn forget(&mut self, now: Instant, span: Duration) {
        self.recent.retain(|_, at| *at + span > now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn limits() -> Limits {
        let mut limits = Limits::default();
        (limits.waiting, limits.waiting_bytes) = (16, 4_096);
        limits
    }

    fn name(number: usize) -> BareJid {
        BareJid::parse(&std::format!("{number}@example.com")).unwrap()
    }

    proptest! {
        // docs/limits.md: however a sender spreads it, about eight times what may wait for one waits for all strangers together; and
        // whether there may be one more of them depends on what was sent alone.
        #[test]
        fn strangers_are_bounded(sent in prop::collection::vec((0..40_usize, 1..600_usize, any::<bool>()), 1..400)) {
            let (limits, now) = (limits(), Instant::ZERO);
            let (mut waits, mut none) = (Waits::default(), Waits::default());
            let (mut stanzas, mut total) = (0, 0);
            for (to, bytes, waits_on) in sent {
                let to = name(to);
                let is_noted = waits.note(&to, false, now, &limits);
                prop_assert_eq!(is_noted, none.note(&to, false, now, &limits));
                let place = Place::Stranger(to);
                if is_noted && waits.has_room(&place, bytes, &limits) {
                    waits.add(&place, bytes);
                    if waits_on {
                        (stanzas, total) = (stanzas + 1, total + bytes);
                    } else {
                        waits.take(&place, bytes);
                    }
                }
            }
            prop_assert!(stanzas <= 8 * limits.waiting && total <= 8 * limits.waiting_bytes);
        }
    }

    // Recipients of long ago don't count, and nothing stays behind.
    #[test]
    fn strangers_are_forgotten() {
        let limits = limits();
        let mut waits = Waits::default();
        for number in 0..16 {
            assert!(waits.note(&name(number), false, Instant::ZERO, &limits));
        }
        assert!(!waits.note(&name(16), false, Instant::ZERO, &limits));
        assert!(waits.note(&name(3), false, Instant::ZERO, &limits), "one of them");
        assert!(waits.note(&name(16), true, Instant::ZERO, &limits), "what the server says counts apart");
        let later = Instant::ZERO + memory(&limits);
        assert!(waits.note(&name(17), false, later, &limits));
        waits.forget(later + memory(&limits), &limits);
        assert!(waits.is_empty() && !waits.remembers());
    }
}
