//! The table of domains that are known, and who may fill it: whoever has a name in the DNS has any number of names below it, so names
//! alone bound nothing. One address has so much of the table, and when it is full those go that have been idle for longest.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::time::Duration;

use balcony_jid::BareJid;
use balcony_machine::Instant;
use balcony_stanza::{StreamCondition, StreamError};

use super::Federation;
use super::event::StreamId;
use super::link::{Link, Way};
use super::origin::Origin;
use super::peer::Finding;

/// How long a domain has to have been idle to make room for another.
const IDLE: Duration = Duration::from_secs(60);
/// Which part of the table makes room at once: so the table is looked through for one in so many new domains.
const PART: usize = 16;
/// How long until the table is looked through again when nobody was idle.
const PAUSE: Duration = Duration::from_secs(1);

/// What is known of how full the table is.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// Domains that have been asked to go, and whose places are not taken.
    room: usize,
    /// When it is worth looking through it again.
    look: Option<Instant>,
    /// How many domains the streams from one address have proven.
    proven: BTreeMap<Origin, usize>,
}

impl Table {
    /// A stream has proven one more domain.
    pub(super) fn proven(&mut self, origin: Origin) {
        *self.proven.entry(origin).or_default() += 1;
    }

    /// A stream that had proven so many domains is gone.
    pub(super) fn gone(&mut self, origin: Origin, domains: usize) {
        if let Some(count) = self.proven.get_mut(&origin) {
            *count = count.saturating_sub(domains);
            if *count == 0 {
                self.proven.remove(&origin);
            }
        }
    }

    /// How many domains the streams from there have proven.
    pub(super) fn of(&self, origin: Origin) -> usize {
        self.proven.get(&origin).copied().unwrap_or_default()
    }
}

/// The streams that we have opened, and those of them that may rest.
#[derive(Debug, Default)]
pub(super) struct Opened {
    /// How many there are.
    count: usize,
    /// Streams that rested when they were listed, by when they were used last before. They may be at work, or have been used since.
    resting: BTreeSet<(Instant, StreamId)>,
}

impl Opened {
    /// One more is opened.
    pub(super) fn one_more(&mut self) {
        self.count += 1;
    }

    /// One is forgotten, which was listed as last used then.
    pub(super) fn gone(&mut self, id: StreamId, listed: Option<Instant>) {
        self.count -= 1;
        if let Some(listed) = listed {
            self.resting.remove(&(listed, id));
        }
    }

    /// The one that was not used for longest, of those of which `used` says when they were; the others go from the list. Each look beyond the
    /// first is for a stream that something has happened to since it was listed, so that what this costs altogether is no more than that.
    fn oldest(&mut self, mut used: impl FnMut(StreamId) -> Option<Instant>) -> Option<StreamId> {
        loop {
            let (listed, id) = self.resting.pop_first()?;
            match used(id) {
                Some(used) if used > listed => drop(self.resting.insert((used, id))),
                Some(_) => {
                    self.resting.insert((listed, id));
                    return Some(id);
                }
                None => {}
            }
        }
    }
}

impl Federation {
    /// Whether a domain is known or can be remembered.
    pub(super) fn has_room_for(&mut self, domain: &BareJid) -> bool {
        if self.peers.contains_key(domain) || self.peers.len() < self.config.limits.domains {
            return true;
        }
        let now = self.clock;
        if self.table.room == 0 && self.table.look.is_none_or(|at| at <= now) {
            self.table.room = self.make_room(now);
            self.table.look = Some(now + PAUSE);
        }
        let has_room = self.table.room > 0;
        self.table.room = self.table.room.saturating_sub(1);
        has_room
    }

    /// Ends what there is with the domains that were idle for longest, and says how many these are. Those of which only a failure is
    /// known are idle, however short.
    fn make_room(&mut self, now: Instant) -> usize {
        let most = (self.config.limits.domains / PART).max(1);
        let mut idle: Vec<(Instant, BareJid)> = Vec::new();
        for (domain, peer) in &self.peers {
            let is_spare = peer.is_failed_only();
            if is_spare || (peer.used + IDLE <= now && self.is_resting(domain)) {
                idle.push((if is_spare { Instant::ZERO } else { peer.used }, domain.clone()));
            }
        }
        idle.sort_unstable();
        idle.truncate(most);
        let count = idle.len();
        for (_, domain) in idle {
            let Some(peer) = self.peers.get_mut(&domain) else { continue };
            peer.finding = Finding::Idle;
            let streams: Vec<StreamId> = peer.incoming.iter().chain(&peer.links).copied().collect();
            for id in streams {
                self.retire(now, id);
            }
            self.arm_peer(&domain);
        }
        count
    }

    /// Whether nothing is under way to a domain, and nobody waits for it.
    fn is_resting(&self, domain: &BareJid) -> bool {
        let Some(peer) = self.peers.get(domain) else { return false };
        matches!(peer.finding, Finding::Idle)
            && peer.keys.is_empty()
            && peer.pairs.values().all(|pair| pair.queue.is_empty())
            && peer.links.iter().all(|id| super::link_of(&self.links, *id).is_some_and(Link::is_resting))
    }

    /// Whether one more stream to another server can be opened; if there are too many the one goes that was not used for longest.
    pub(super) fn has_room_for_stream(&mut self, now: Instant) -> bool {
        if self.opened.count < self.config.limits.outgoing_streams.max(1) {
            return true;
        }
        let links = &mut self.links;
        let oldest = self.opened.oldest(|id| {
            let link = links.get_mut(id)?;
            link.listed = link.is_resting().then_some(link.sending.used);
            link.listed
        });
        let Some(id) = oldest else { return false };
        self.retire(now, id);
        true
    }

    /// A stream may have come to rest. It is listed once, and goes from the list when it is met there at work.
    pub(super) fn list_if_resting(&mut self, id: StreamId) {
        let Some(link) = self.links.get_mut(id) else { return };
        if link.listed.is_none() && matches!(link.way, Way::Out(_)) && link.is_resting() {
            link.listed = Some(link.sending.used);
            self.opened.resting.insert((link.sending.used, id));
        }
    }

    /// Ends a stream on which nothing is under way: others need its place.
    fn retire(&mut self, now: Instant, id: StreamId) {
        match self.link(id).filter(|link| matches!(link.way, Way::Out(_)) && link.is_open()) {
            Some(link) => {
                if let Some(connection) = link.connection() {
                    connection.close(now);
                }
                self.ready.push(id);
            }
            None => {
                let text = "there are too many others, and this stream is idle";
                self.abort(now, id, StreamError::new(StreamCondition::ResourceConstraint, text));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Among a thousand streams the one that was not used for longest is found without looking at the others; and what happens to those is
    // looked at once.
    #[test]
    fn the_oldest_stream_is_found_at_once() {
        let at = |second: u64| Instant::ZERO + Duration::from_secs(second);
        let mut opened = Opened::default();
        let mut used: BTreeMap<StreamId, Option<Instant>> = BTreeMap::new();
        for number in 0..1_000 {
            opened.resting.insert((at(number), StreamId(number)));
            used.insert(StreamId(number), Some(at(number)));
        }
        let look = |opened: &mut Opened, used: &BTreeMap<StreamId, Option<Instant>>| {
            let mut looks = 0;
            let oldest = opened.oldest(|id| {
                looks += 1;
                used.get(&id).copied().flatten()
            });
            (oldest.map(|StreamId(number)| number), looks)
        };
        for _ in 0..3 {
            assert_eq!(look(&mut opened, &used), (Some(0), 1));
        }
        // One is gone, one is at work, and one was used again.
        opened.count = 1_000;
        opened.gone(StreamId(0), Some(at(0)));
        assert_eq!((opened.count, opened.resting.len()), (999, 999));
        used.insert(StreamId(1), None);
        used.insert(StreamId(2), Some(at(5_000)));
        assert_eq!(look(&mut opened, &used), (Some(3), 3));
        assert_eq!(look(&mut opened, &used), (Some(3), 1));
        // All others are at work.
        used.retain(|id, _| *id == StreamId(2));
        assert_eq!(look(&mut opened, &used), (Some(2), 998));
        assert_eq!(look(&mut opened, &used), (Some(2), 1));
        opened.gone(StreamId(2), Some(at(5_000)));
        assert_eq!(look(&mut opened, &used), (None, 0));
    }
}
