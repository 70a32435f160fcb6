//! The dialback keys that others have shown, while their domains are asked about them (XEP-0220 section 2.2): whose they are, and what
//! the domains say. Whoever shows many takes nothing away from others.

use alloc::collections::BTreeMap;
use core::time::Duration;

use balcony_jid::BareJid;
use balcony_machine::Instant;
use balcony_stanza::ErrorCondition;
use balcony_stream::s2s::{Proof, S2sAnswer, Verdict};

use super::attempts::Cause;
use super::link::{Link, Outgoing, Way};
use super::origin::Origin;
use super::peer::{Finding, Key, Peer};
use super::{Closing, Federation};

/// How soon a domain that could not be reached is tried again to ask it about a key: whoever shows the key may be it, and have come back.
const KEY_PAUSE: Duration = Duration::from_secs(1);

/// Keys about which one stream to a domain is asked, or that wait for one.
const MOST_KEYS: usize = 64;
/// Those of them from one address. The domain itself may be at another.
const MOST_KEYS_OF_ONE: usize = 16;

/// How many keys wait, by where they come from.
#[derive(Debug, Default)]
pub(super) struct KeysOf(BTreeMap<Origin, usize>);

impl KeysOf {
    fn of(&self, origin: Origin) -> usize {
        self.0.get(&origin).copied().unwrap_or_default()
    }

    fn add(&mut self, origin: Origin) {
        *self.0.entry(origin).or_default() += 1;
    }

    fn remove(&mut self, origin: Origin) {
        if let Some(count) = self.0.get_mut(&origin) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.0.remove(&origin);
            }
        }
    }
}

impl Federation {
    /// Has a domain asked whether a key is its own.
    pub(super) fn verify(&mut self, now: Instant, mut key: Key) {
        let domain = key.verification.from.clone();
        if is_here(domain.as_str()) && !self.config.routes.contains_key(&domain) {
            return self.answer_key(&key, Verdict::Error(ErrorCondition::RemoteServerNotFound));
        }
        let is_too_much = self.keys.of(key.origin) >= self.config.limits.keys_per_address.max(1)
            || self.keys_about(&domain, key.origin) >= MOST_KEYS_OF_ONE;
        if is_too_much || self.closing != Closing::No || !self.has_room_for(&domain) {
            return self.answer_key(&key, Verdict::Error(ErrorCondition::ResourceConstraint));
        }
        let peer = self.peers.entry(domain.clone()).or_insert_with(|| Peer::new(now));
        // A stream that a certificate has opened may be one to a server that knows no dialback; whoever shows a key may not be it.
        for id in peer.links.clone() {
            let Some(link) = self.link(id).filter(|link| !link.has_ended()) else { continue };
            let takes_keys = |out: &Outgoing| !out.authorize || out.proof == Some(Proof::Dialback);
            if !matches!(&link.way, Way::Out(out) if takes_keys(out) && out.keys.len() < MOST_KEYS) {
                continue;
            }
            let is_asked = match link.connection() {
                Some(connection) => connection.verify(now, key.verification.clone()).is_ok(),
                None => true,
            };
            if let Some(out) = link.outgoing().filter(|_| is_asked) {
                key.is_counted = true;
                let origin = key.origin;
                out.keys.push(key);
                self.keys.add(origin);
                return self.ready.push(id);
            }
        }
        let Some(peer) = self.peers.get_mut(&domain) else { return };
        if let Finding::Failed { at, condition, .. } = peer.finding
            && now < at + KEY_PAUSE
        {
            return self.answer_key(&key, Verdict::Error(condition));
        }
        if peer.keys.len() >= MOST_KEYS {
            return self.answer_key(&key, Verdict::Error(ErrorCondition::ResourceConstraint));
        }
        key.is_counted = true;
        let origin = key.origin;
        peer.keys.push(key);
        self.keys.add(origin);
        self.find(now, &domain, Cause::Origin(origin));
        self.arm_peer(&domain);
    }

    /// How many keys of one origin a domain is asked about, or is to be.
    fn keys_about(&self, domain: &BareJid, origin: Origin) -> usize {
        let Some(peer) = self.peers.get(domain) else { return 0 };
        let links = peer.links.iter().filter_map(|id| super::link_of(&self.links, *id));
        let asked = links.filter_map(|link: &Link| match &link.way {
            Way::Out(out) => Some(&out.keys),
            Way::In(_) => None,
        });
        asked.flatten().chain(&peer.keys).filter(|key| key.origin == origin).count()
    }

    /// Tells a stream what has become of a key that it has shown.
    pub(super) fn answer_key(&mut self, key: &Key, verdict: Verdict) {
        if key.is_counted {
            self.keys.remove(key.origin);
        }
        if let Some(connection) = self.link(key.stream).and_then(|link| link.connection()) {
            // Misuse here means that the stream has given up waiting.
            let _ = connection.answer(key.ticket, S2sAnswer::Verdict(verdict));
            self.ready.push(key.stream);
        }
    }
}

/// Whether a name is an address, or this machine: nobody has us connect there by showing a key.
fn is_here(name: &str) -> bool {
    let address = name.trim_start_matches('[').trim_end_matches(']');
    address.parse::<core::net::IpAddr>().is_ok() || name == "localhost" || name.ends_with(".localhost")
}
