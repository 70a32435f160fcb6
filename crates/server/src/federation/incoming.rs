//! The streams that other servers open: who has proven what, and what they send.

use alloc::boxed::Box;
use alloc::format;
use core::time::Duration;

use balcony_jid::{BareJid, Jid};
use balcony_machine::{Instant, Ticket};
use balcony_stanza::{ErrorCondition, Kind, PresenceType, Stanza, StreamCondition, StreamError};
use balcony_stream::s2s::{Proof, Verdict, Verification};

use super::event::{FederationEvent, StreamId};
use super::link::Way;
use super::peer::{Finding, Key, Peer, State};
use super::{Federation, policy, words};
use crate::journal::{Level, one_line};
use crate::link::SOON;
use crate::pace::Rate;

impl Federation {
    /// A stream asks whether a key of dialback is right.
    pub(super) fn asked(&mut self, now: Instant, id: StreamId, ticket: Ticket, verification: Verification) {
        let from = verification.from.clone();
        let Some(incoming) = self.link(id).and_then(|link| link.incoming()) else { return };
        let origin = incoming.origin;
        let key = Key { verification, stream: id, ticket, origin, is_counted: false };
        if self.config.is_local(from.as_str()) {
            // Nobody else makes keys in our name.
            return self.answer_key(&key, Verdict::Invalid);
        }
        if !self.config.admits(from.as_str()) {
            self.log(id, Level::Info, &format!("{from} is not allowed to send to this server"));
            return self.answer_key(&key, Verdict::Error(ErrorCondition::PolicyViolation));
        }
        if self.table.of(origin) >= self.config.limits.domains_per_address.max(1) {
            self.log(id, Level::Info, &format!("{from} is one domain too many of those at that address"));
            return self.answer_key(&key, Verdict::Error(ErrorCondition::ResourceConstraint));
        }
        if self.link(id).is_some_and(|link| link.proves(&from)) {
            // XEP-0344 section 2.4: the certificate says as much as its owner would.
            return self.answer_key(&key, Verdict::Valid);
        }
        self.verify(now, key);
    }

    /// A stream is proven to come from this domain.
    pub(super) fn proven(&mut self, now: Instant, id: StreamId, from: BareJid, to: &BareJid, proof: Proof) {
        if self.config.is_local(from.as_str()) {
            // A certificate that proves our own domain is ours, and this is not us.
            self.log(
                id,
                Level::Warn,
                &format!("somebody else has a certificate for {from}, a domain of this server"),
            );
            let text = "that domain is one of this server";
            return self.abort(now, id, StreamError::new(StreamCondition::InvalidFrom, text));
        }
        if !self.config.admits(from.as_str()) {
            self.log(id, Level::Info, &format!("{from} is not allowed to send to this server"));
            return self.abort(now, id, policy());
        }
        let how = match proof {
            Proof::Certificate => "by certificate",
            Proof::Dialback => "by dialback",
        };
        let names = self.link(id).map(|link| words::names(link)).unwrap_or_default();
        let Some(incoming) = self.link(id).and_then(|link| link.incoming()) else { return };
        let (is_new, origin) = (!incoming.domains.contains(&from), incoming.origin);
        if is_new {
            let is_too_much = self.table.of(origin) >= self.config.limits.domains_per_address.max(1);
            if is_too_much || !self.has_room_for(&from) {
                let text = "this server can't talk to so many domains";
                return self.abort(now, id, StreamError::new(StreamCondition::ResourceConstraint, text));
            }
        }
        let Some(link) = self.link(id) else { return };
        let goes_back = link.is_bidirectional();
        let Some(incoming) = link.incoming() else { return };
        if is_new {
            incoming.domains.push(from.clone());
        }
        if goes_back {
            incoming.back.push((to.clone(), from.clone()));
        }
        let address = incoming.address.clone();
        if goes_back {
            self.may_be_managed(now, id, &from);
        }
        let line = format!("{from} sends to {to} from {}, proven {how}; {names}", address);
        self.events.push_back(FederationEvent::Log(Level::Info, one_line(line)));
        let most = self.config.limits.streams_per_domain;
        if is_new {
            self.table.proven(origin);
        }
        let peer = self.peers.entry(from.clone()).or_insert_with(|| Peer::new(now));
        peer.used = now;
        // It lives, so it is worth another try.
        let was_refused = peer.pairs.get_mut(to).is_some_and(|pair| pair.refused.take().is_some());
        let has_failed = was_refused || matches!(peer.finding, Finding::Failed { .. });
        peer.revive();
        self.events.push_back(FederationEvent::Reached(from.clone()));
        let Some(peer) = self.peers.get_mut(&from) else { return };
        let mut oldest = None;
        if is_new {
            peer.incoming.push_back(id);
            oldest = peer.incoming.front().copied().filter(|_| peer.incoming.len() > most.max(1));
        }
        // What waits for the domain to be found need not.
        let pair = self.peers.get(&from).and_then(|peer| peer.pairs.get(to));
        if goes_back && pair.is_some_and(|pair| pair.state == State::Finding) {
            self.sends_back(to, &from);
        }
        if has_failed {
            for ours in self.peers.get(&from).map(Peer::waiting).unwrap_or_default() {
                self.pursue(now, &ours, &from);
            }
        }
        self.arm_peer(&from);
        if let Some(oldest) = oldest {
            let text = "your domain has opened too many streams after this one";
            self.abort(now, oldest, StreamError::new(StreamCondition::ResourceConstraint, text));
        }
    }

    /// Another server has sent a stanza.
    pub(super) fn deliver(&mut self, now: Instant, stanza: Box<Stanza>) {
        let Some(from) = stanza.head.from.as_ref().map(Jid::domainpart) else { return };
        let limits = &self.config.limits;
        let Some(peer) = self.peers.get_mut(from) else { return };
        peer.used = now;
        if let Some(rate) = limits.bytes_per_second {
            peer.pace.pay(now, balcony_router::cost(&stanza), rate);
        }
        if stanza.head.kind == Kind::Presence(PresenceType::Subscribe) {
            let most = limits.subscriptions_per_minute.max(1);
            let rate = Rate { burst: most, each: Duration::from_secs(60) / most };
            match peer.subscriptions.without_one(now, rate) {
                Some(rest) => (peer.subscriptions, peer.drops_logged) = (rest, false),
                None => {
                    if !core::mem::replace(&mut peer.drops_logged, true) {
                        let line = format!("{from} asks for too many subscriptions; some are dropped");
                        self.events.push_back(FederationEvent::Log(Level::Warn, one_line(line)));
                    }
                    return;
                }
            }
        }
        self.events.push_back(FederationEvent::Deliver(stanza));
    }

    /// How often a stream that is not read from shows the other server that we are there: twice in the time that we would wait for its
    /// answer.
    pub(super) fn staying(&self) -> Duration {
        (self.config.stream.answer / 2).max(SOON)
    }

    /// Until when a stream is not read from, because its domain sends too fast (RFC 6120 section 13.12), or what it has sent has no room. In the
    /// latter case it is looked at again then, or when there is.
    pub(super) fn pause(&self, now: Instant, id: StreamId) -> Option<Instant> {
        let link = super::link_of(&self.links, id)?;
        // It is heard whether stanzas are to be counted: the other server would go on without that, and this one would have them counted later.
        let may_be_held = link.has_begun || matches!(link.way, Way::Out(_));
        let wait = |domain: &BareJid| {
            let is_held = may_be_held && self.held.contains(domain);
            is_held.then(|| now + self.staying()).or_else(|| self.peers.get(domain)?.pace.wait(now))
        };
        match &link.way {
            Way::In(incoming) => incoming.domains.iter().filter_map(wait).max(),
            // One that does not go both ways brings answers only, to what this server has asked and sent. On the others it is waited for the answer
            // whether stanzas count: before that this server sends none. Who sends some instead of an answer is read no further.
            Way::Out(out) => wait(&out.to).filter(|_| out.proof.is_some() && link.carries_stanzas()),
        }
    }
}
