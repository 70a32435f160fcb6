//! The table of domains that are known, and who may fill it: whoever has a name in the DNS has any number of names below it, so names
//! alone bound nothing. One address has so much of the table, and when it is full those go that have been idle for longest.

use alloc::collections::BTreeMap;
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
        let outgoing = self.links.iter().filter(|(_, link)| matches!(link.way, Way::Out(_)));
        let (mut count, mut oldest) = (0, None::<(Instant, StreamId)>);
        for (id, link) in outgoing {
            let used = link.sending.used;
            count += 1;
            if link.is_resting() && oldest.is_none_or(|(at, _)| used < at) {
                oldest = Some((used, id));
            }
        }
        if count < self.config.limits.outgoing_streams.max(1) {
            return true;
        }
        let Some((_, id)) = oldest else { return false };
        self.retire(now, id);
        true
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
