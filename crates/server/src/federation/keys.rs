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
use super::peer::{Key, Peer};
use super::{Closing, Federation};

/// How soon a domain that could not be asked about a key is tried again to ask it about another: whoever shows the key may be it, and have come back.
/// Keys that come sooner wait for that.
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
        let Some(peer) = self.peers.get(&domain) else { return };
        if peer.keys.len() >= MOST_KEYS && !self.gives_way(&domain, key.origin) {
            return self.answer_key(&key, Verdict::Error(ErrorCondition::ResourceConstraint));
        }
        let Some(peer) = self.peers.get_mut(&domain) else { return };
        key.is_counted = true;
        let origin = key.origin;
        peer.keys.push(key);
        self.keys.add(origin);
        if self.peers.get(&domain).is_some_and(|peer| peer.keys_wait_until.is_none_or(|until| until <= now)) {
            self.find(now, &domain, Cause::Origin(origin));
        }
        self.arm_peer(&domain);
    }

    /// A domain could not be asked about keys: others wait a moment.
    pub(super) fn was_not_asked(&mut self, now: Instant, domain: &BareJid) {
        if let Some(peer) = self.peers.get_mut(domain) {
            peer.keys_wait_until = Some(now + KEY_PAUSE);
        }
    }

    /// The pause after a failure is over: the domain is asked about the keys that have waited for that.
    pub(super) fn ask_about_keys(&mut self, now: Instant, domain: &BareJid) {
        let Some(peer) = self.peers.get_mut(domain) else { return };
        if peer.keys_wait_until.is_none_or(|until| now < until) {
            return;
        }
        peer.keys_wait_until = None;
        if let Some(key) = peer.keys.first() {
            let cause = Cause::Origin(key.origin);
            self.find(now, domain, cause);
        }
    }

    /// Of the keys that wait for a domain the youngest of the origin that has most gives way, if that has more than this one would have:
    /// a few addresses together don't keep the domain itself out. Whether one did.
    fn gives_way(&mut self, domain: &BareJid, to: Origin) -> bool {
        let Some(peer) = self.peers.get_mut(domain) else { return false };
        let mut counts = BTreeMap::<Origin, usize>::new();
        for key in &peer.keys {
            *counts.entry(key.origin).or_default() += 1;
        }
        let own = counts.get(&to).copied().unwrap_or_default();
        let most = counts.into_iter().max_by_key(|(_, count)| *count).filter(|(_, count)| *count > own + 1);
        let at = most.and_then(|(most, _)| peer.keys.iter().rposition(|key| key.origin == most));
        let Some(key) = at.map(|at| peer.keys.remove(at)) else { return false };
        self.answer_key(&key, Verdict::Error(ErrorCondition::ResourceConstraint));
        true
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

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::String;
    use alloc::vec::Vec;

    use balcony_machine::{Seed, Ticket};
    use balcony_stream::s2s::Verification;

    use super::super::{FederationConfig, StreamId};
    use super::*;

    fn name(text: &str) -> BareJid {
        BareJid::parse(text).unwrap()
    }

    fn key(origin: u64, number: u64) -> Key {
        let (id, key) = (format!("{origin}-{number}"), String::from("key"));
        let verification = Verification { from: name("b.example"), to: name("a.example"), id, key };
        let stream = StreamId(origin);
        Key {
            verification,
            stream,
            ticket: Ticket(number),
            origin: Origin::Stream(stream),
            is_counted: false,
        }
    }

    // XEP-0220 §2.2, RFC 6120 §13.12: while a domain is being looked for, a few addresses that show many keys in its name don't keep the
    // domain's own out.
    #[test]
    fn a_few_addresses_keep_nobody_out() {
        let config = FederationConfig::new(Vec::from([name("a.example")]));
        let mut federation = Federation::new(config, &Seed::from_u64(1));
        for origin in 0..8 {
            for number in 0..20 {
                federation.verify(Instant::ZERO, key(origin, number));
            }
        }
        let of = |federation: &Federation, origin: u64| {
            let keys = &federation.peers[&name("b.example")].keys;
            assert!(keys.len() <= MOST_KEYS);
            keys.iter().filter(|key| key.origin == Origin::Stream(StreamId(origin))).count()
        };
        // Of those, too, each has its part.
        assert_eq!((0..8).map(|origin| of(&federation, origin)).collect::<Vec<_>>(), [8; 8]);
        federation.verify(Instant::ZERO, key(99, 0));
        assert_eq!(of(&federation, 99), 1);
        // What has given way is not counted any more.
        let counted: usize = federation.keys.0.values().sum();
        assert_eq!(counted, MOST_KEYS);
    }
}
