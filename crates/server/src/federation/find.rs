//! From a stanza to a stream: which domain is looked for when, and what happens when it is not found (RFC 6120 sections 3.2 and 10.4).

use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;

use balcony_connection::S2sConnection;
use balcony_jid::{BareJid, Jid};
use balcony_machine::Instant;
use balcony_stanza::ErrorCondition;
use balcony_stream::s2s::{Proof, Verdict};

use super::attempts::Cause;
use super::bounds::Payer;
use super::event::{FederationEvent, StreamId, Unreachable};
use super::link::{Link, Outgoing, Places, Stage, Stream, Way};
use super::peer::{Finding, Key, Pair, Peer, State};
use super::queue::Item;
use super::reach::Reach;
#[cfg(feature = "tls")]
use super::vouching;
use super::{Closing, Federation};
use crate::journal::{Level, one_line};

impl Federation {
    /// Puts a stanza in line, and sees to it that there is a stream; or says why not.
    pub(super) fn accept_item(&mut self, now: Instant, item: Item) -> Result<(), (Item, ErrorCondition)> {
        let addresses = item.stanza.head.from.as_ref().zip(item.stanza.head.to.as_ref());
        let Some((from, to)) = addresses else { return Ok(()) };
        let (sender, cause) = (from.to_bare(), self.cause(&item));
        if !self.config.admits(to.domainpart()) {
            return Err((item, ErrorCondition::NotAllowed));
        }
        if self.closing != Closing::No && !self.is_served(from.domainpart(), to.domainpart()) {
            return Err((item, ErrorCondition::RemoteServerTimeout));
        }
        let (Some(ours), Some(theirs)) = (self.own_domain(from.domainpart()), domain(to)) else {
            return Err((item, ErrorCondition::RemoteServerNotFound));
        };
        let known = self.peers.get_mut(&theirs);
        let known = known.map(|peer| {
            peer.used = now;
            &*peer
        });
        if let Some((condition, may_wait)) =
            known.and_then(|peer| peer.failure_of(&ours, now, &self.config.limits))
            && (!may_wait || item.is_fresh_request())
            && !known.and_then(|peer| peer.pairs.get(&ours)).is_some_and(Pair::has_stream)
        {
            return Err((item, condition));
        }
        let full = ErrorCondition::ResourceConstraint;
        if !self.has_room_for(&theirs) {
            return Err((item, full));
        }
        let peer = self.peers.entry(theirs.clone()).or_insert_with(|| Peer::new(now));
        let pair = peer.pairs.entry(ours.clone()).or_insert_with(|| Pair::new(now));
        let is_new = pair.state == State::Idle;
        let is_asking_much = is_new
            && !self.attempts.has(&theirs)
            && self.attempts.of(&cause) >= self.config.limits.attempts_per_sender.max(1);
        let waiting = pair.queue.bytes() + pair.under_way;
        let is_full = waiting > 0 && waiting + item.bytes > self.config.limits.domain_bytes;
        if is_asking_much || is_full || !self.bounds.admit(&item.payer, item.bytes, self.config.limits.room())
        {
            self.arm_peer(&theirs);
            return Err((item, full));
        }
        let is_first = pair.queue.is_empty();
        if is_first {
            pair.since = now;
        }
        pair.queue.push(sender, item);
        match pair.state {
            State::Idle => self.pursue(now, &ours, &theirs),
            State::Finding if is_first => self.pursue(now, &ours, &theirs),
            State::Ready(id) => self.wants_to_write(id),
            State::Finding | State::Opening(_) => {}
        }
        self.arm_peer(&theirs);
        Ok(())
    }

    /// Whether there is an open stream for this pair of domains.
    fn is_served(&self, ours: &str, theirs: &str) -> bool {
        let pair = self.peers.get(theirs).and_then(|peer| peer.pairs.get(ours));
        match pair.map(|pair| pair.state) {
            Some(State::Ready(id)) => super::link_of(&self.links, id).is_some_and(Link::is_open),
            _ => false,
        }
    }

    fn own_domain(&self, name: &str) -> Option<BareJid> {
        self.config.domains.iter().find(|domain| domain.as_str() == name).cloned()
    }

    /// Sees to it that a pair for which something waits gets a stream.
    pub(super) fn pursue(&mut self, now: Instant, ours: &BareJid, theirs: &BareJid) {
        let Some(peer) = self.peers.get_mut(theirs) else { return };
        let links = peer.links.clone();
        let Some(pair) = peer.pairs.get_mut(ours).filter(|pair| !pair.queue.is_empty()) else { return };
        if self.closing != Closing::No {
            pair.state = State::Idle;
            return self.give_pair_back(theirs, ours, ErrorCondition::RemoteServerTimeout);
        }
        pair.state = State::Finding;
        if peer.failure_of(ours, now, &self.config.limits).is_some() {
            return self.waits_for_another_try(now, ours, theirs);
        }
        if let Some(pair) = peer.pairs.get_mut(ours) {
            pair.is_tried_again();
        }
        if !self.config.admits(theirs.as_str()) {
            self.set_state(theirs, ours, State::Idle);
            return self.give_pair_back(theirs, ours, ErrorCondition::NotAllowed);
        }
        if self.sends_back(ours, theirs) {
            return;
        }
        // What has arrived of it a new stream asks, before anything else goes over that.
        let links = if self.has_known_doubt(now, ours, theirs) { Vec::new() } else { links };
        // Who was proven by dialback can be asked to take more pairs (XEP-0220 section 2.6). A stream that a certificate has opened may
        // be one to a server that knows no dialback.
        for id in links {
            let Some(link) = self.link(id).filter(|link| link.is_open()) else { continue };
            if link.outgoing().is_none_or(|out| out.proof != Some(Proof::Dialback)) {
                continue;
            }
            let Some(connection) = link.connection() else { continue };
            if connection.authorize(ours.clone(), theirs.clone()).is_err() {
                continue;
            }
            link.sending.pairs.push((ours.clone(), theirs.clone()));
            self.set_state(theirs, ours, State::Opening(id));
            return self.ready.push(id);
        }
        let cause = self.cause_of(ours, theirs);
        self.find(now, theirs, cause);
    }

    /// The domain could not be reached, and is left alone for now. What goes there waits until it is tried again, or comes back.
    fn waits_for_another_try(&mut self, now: Instant, ours: &BareJid, theirs: &BareJid) {
        let failure = self.peers.get(theirs).and_then(|peer| peer.failure_of(ours, now, &self.config.limits));
        match failure {
            Some((condition, false)) => self.is_given_up(now, ours, theirs, condition),
            _ if self.sends_back(ours, theirs) => {}
            None => {}
            Some((condition, true)) => {
                // Whoever waits for an answer hears at once that there will be none. What may have arrived is not among it.
                self.give_back_those(ours, theirs, condition, Item::is_fresh_request);
                let cause = self.cause_of(ours, theirs);
                self.attempts.rest(theirs, cause);
            }
        }
    }

    /// Returns of what waits for a pair what is of some kind.
    fn give_back_those(
        &mut self,
        ours: &BareJid,
        theirs: &BareJid,
        condition: ErrorCondition,
        is_wanted: fn(&Item) -> bool,
    ) {
        let pair = self.peers.get_mut(theirs).and_then(|peer| peer.pairs.get_mut(ours));
        for item in pair.map(|pair| pair.queue.extract(is_wanted)).unwrap_or_default() {
            self.bounds.release(&item.payer, item.bytes);
            self.give_back(item, condition);
        }
    }

    /// A domain that could not be reached is not tried again for what waits. It can't be asked what has arrived, so what may have comes back. It
    /// may still be heard on a stream of its own, which takes the rest; else that comes back, too.
    fn is_given_up(&mut self, now: Instant, ours: &BareJid, theirs: &BareJid, condition: ErrorCondition) {
        if self.has_known_doubt(now, ours, theirs) {
            self.give_back_those(ours, theirs, ErrorCondition::RemoteServerTimeout, |item| {
                item.number.is_some()
            });
        }
        self.forget_doubt(theirs, ours);
        let pair = self.peers.get(theirs).and_then(|peer| peer.pairs.get(ours));
        if pair.is_some_and(|pair| !pair.queue.is_empty()) && self.sends_back(ours, theirs) {
            if let Some(pair) = self.peers.get_mut(theirs).and_then(|peer| peer.pairs.get_mut(ours)) {
                pair.since = now;
            }
            return;
        }
        self.set_state(theirs, ours, State::Idle);
        self.give_pair_back(theirs, ours, condition);
    }

    /// Has a pair for which something waits use a stream of theirs that goes both ways (XEP-0288), if there is one.
    pub(super) fn sends_back(&mut self, ours: &BareJid, theirs: &BareJid) -> bool {
        if self.has_known_doubt(self.clock, ours, theirs) {
            return false;
        }
        let Some(peer) = self.peers.get(theirs) else { return false };
        let goes_back = |id: &StreamId| {
            super::link_of(&self.links, *id).filter(|link| link.is_open()).is_some_and(|link| {
                match &link.way {
                    Way::In(incoming) => incoming.back.iter().any(|(to, from)| to == ours && from == theirs),
                    Way::Out(_) => false,
                }
            })
        };
        // The newest: the other side may not know any more that it has the others.
        let Some(id) = peer.incoming.iter().rev().copied().find(goes_back) else { return false };
        let Some(link) = self.link(id) else { return false };
        let pair = (ours.clone(), theirs.clone());
        if !link.sending.pairs.contains(&pair) {
            link.sending.pairs.push(pair);
        }
        self.set_state(theirs, ours, State::Ready(id));
        self.wants_to_write(id);
        true
    }

    /// Who has the domain looked for to which this goes.
    fn cause(&self, item: &Item) -> Cause {
        match &item.payer {
            Payer::Sender(sender) => Cause::Sender(sender.clone()),
            Payer::Domain(domain) => {
                let last = self.peers.get(domain).and_then(|peer| peer.incoming.back());
                match last.and_then(|id| super::link_of(&self.links, *id)).map(|link| &link.way) {
                    Some(Way::In(incoming)) => Cause::Origin(incoming.origin),
                    _ => Cause::Itself,
                }
            }
        }
    }

    /// Who has a domain looked for to which something waits from one of ours.
    fn cause_of(&self, ours: &BareJid, theirs: &BareJid) -> Cause {
        let pair = self.peers.get(theirs).and_then(|peer| peer.pairs.get(ours));
        pair.and_then(|pair| pair.queue.first()).map_or(Cause::Itself, |item| self.cause(item))
    }

    /// Looks for a domain, unless that is being done.
    pub(super) fn find(&mut self, now: Instant, domain: &BareJid, cause: Cause) {
        let Some(peer) = self.peers.get_mut(domain) else { return };
        if matches!(peer.finding, Finding::Resolving(_)) {
            return;
        }
        if !self.attempts.begin(domain, &cause, &self.config.limits) {
            peer.finding = Finding::Queued;
            return self.attempts.wait(domain, cause);
        }
        if let Some(target) = self.config.routes.get(domain) {
            let target = target.clone();
            let places = Places { targets: Vec::from([target]), reach: Reach::Route };
            return self.found(now, domain, &places);
        }
        peer.finding = Finding::Resolving(now + self.config.stream.answer);
        self.events.push_back(FederationEvent::Resolve(domain.clone(), self.config.dane));
        self.arm_peer(domain);
    }

    /// An attempt is over: the next domain has its turn.
    pub(super) fn attempt_over(&mut self, now: Instant, domain: &BareJid) {
        let Some(peer) = self.peers.get(domain) else {
            self.attempts.over(domain);
            return self.next_in_line(now);
        };
        let is_going_on = matches!(peer.finding, Finding::Resolving(_))
            || peer.links.iter().any(|id| {
                super::link_of(&self.links, *id).is_some_and(|link| !link.has_ended() && !link.is_open())
            });
        let rests = matches!(peer.finding, Finding::Failed { .. }) && peer.is_waited_for();
        if !is_going_on {
            let cause = self.attempts.over(domain);
            if rests {
                self.attempts.rest(domain, cause.unwrap_or(Cause::Itself));
            }
            self.next_in_line(now);
        }
    }

    fn next_in_line(&mut self, now: Instant) {
        while let Some((domain, cause)) = self.attempts.next(&self.config.limits) {
            let Some(peer) = self.peers.get_mut(&domain) else { continue };
            if !matches!(peer.finding, Finding::Queued) {
                continue;
            }
            peer.finding = Finding::Idle;
            let wanted =
                !peer.keys.is_empty() || peer.pairs.values().any(|pair| pair.state == State::Finding);
            if wanted {
                self.find(now, &domain, cause);
            }
            self.arm_peer(&domain);
        }
    }

    /// It is known where a domain is: streams are opened for all who wait.
    pub(super) fn found(&mut self, now: Instant, domain: &BareJid, places: &Places) {
        let Some(peer) = self.peers.get_mut(domain) else { return };
        peer.finding = Finding::Idle;
        let mut waiting = peer.waiting();
        waiting.retain(|ours| peer.failure_of(ours, now, &self.config.limits).is_none());
        let keys = core::mem::take(&mut peer.keys);
        for ours in waiting {
            if self.has_room_for_stream(now) {
                let id = self.open(now, &ours, domain, true, places.clone(), Vec::new());
                self.set_state(domain, &ours, State::Opening(id));
            } else {
                self.set_state(domain, &ours, State::Idle);
                self.give_pair_back(domain, &ours, ErrorCondition::ResourceConstraint);
            }
        }
        if let Some(first) = keys.first() {
            let ours = first.verification.to.clone();
            if self.has_room_for_stream(now) {
                self.open(now, &ours, domain, false, places.clone(), keys);
            } else {
                for key in keys {
                    self.answer_key(&key, Verdict::Error(ErrorCondition::ResourceConstraint));
                }
            }
        }
        self.attempt_over(now, domain);
        self.arm_peer(domain);
    }

    /// Opens a stream: the owner is to connect.
    pub(super) fn open(
        &mut self,
        now: Instant,
        ours: &BareJid,
        theirs: &BareJid,
        authorize: bool,
        places: Places,
        keys: Vec<Key>,
    ) -> StreamId {
        let Places { targets, reach } = places.clone();
        let out = Outgoing { from: ours.clone(), to: theirs.clone(), authorize, places, keys, proof: None };
        let until = now + self.config.stream.negotiation;
        let id = self.links.insert(|_| Link::new(Way::Out(out), Stage::Connecting(until), now));
        self.opened.one_more();
        self.peers.entry(theirs.clone()).or_insert_with(|| Peer::new(now)).links.push(id);
        if let Some(link) = self.link(id) {
            link.sending.pairs.extend(authorize.then(|| (ours.clone(), theirs.clone())));
        }
        self.arm_link(id, Some(until));
        self.events.push_back(FederationEvent::Connect(id, targets, reach));
        id
    }

    /// The owner has connected: the stream begins.
    pub(super) fn begin(&mut self, now: Instant, id: StreamId, target: usize) {
        let seed = self.random.seed();
        let Some(link) = super::link_of(&self.links, id) else { return };
        let Way::Out(out) = &link.way else { return };
        if !link.is_connecting() {
            return;
        }
        let Some(place) = out.places.targets.get(target) else { return };
        let config =
            self.config.initiating(&out.from, &out.to, out.authorize, place.direct_tls, out.places.reach);
        let connection = S2sConnection::initiating(config, seed, now);
        #[cfg(feature = "tls")]
        let connection = match &self.config.certificate {
            Some(tls) => {
                let tls = tls.connects.clone().with_alpn(place.direct_tls).vouched(vouching::vouchers(
                    &place.host,
                    place.port,
                    &place.signed,
                ));
                connection.with_client_tls(tls, out.to.domainpart())
            }
            None => connection,
        };
        let mut stream = Box::new(Stream::new(connection));
        let (ours, theirs, is_asking) =
            (out.from.clone(), out.to.clone(), out.authorize && self.config.management);
        if is_asking && let Some((earlier, counts)) = self.choose_earlier(now, &ours, &theirs, id) {
            // It has just begun.
            let _ = stream.connection.ask_about(earlier.into(), counts);
        }
        let Some(link) = self.link(id) else { return };
        if let Way::Out(out) = &mut link.way {
            out.places.targets.drain(..=target);
            for key in &out.keys {
                // It has just begun, and there are few enough: a stream that shows keys shows a bounded number.
                let _ = stream.connection.verify(now, key.verification.clone());
            }
        }
        link.stage = Stage::Connected(stream);
        self.ready.push(id);
    }

    /// There is nobody at any of the places.
    pub(super) fn not_reached(&mut self, now: Instant, id: StreamId, unreachable: &Unreachable) {
        let Some(link) = self.link(id).filter(|link| link.is_connecting()) else { return };
        let Some(out) = link.outgoing() else { return };
        let domain = out.to.clone();
        let condition = match unreachable.is_unknown {
            true => ErrorCondition::RemoteServerNotFound,
            false => ErrorCondition::RemoteServerTimeout,
        };
        self.drop_unconnected(id);
        self.fail(now, &domain, condition, !unreachable.is_unknown, &unreachable.reason);
    }

    /// The owner has not said in time whether it has connected.
    pub(super) fn not_connected_in_time(&mut self, now: Instant, id: StreamId) {
        self.events.push_back(FederationEvent::Close(id));
        let reason = "no connection came about in time".into();
        self.not_reached(now, id, &Unreachable { is_unknown: false, reason });
    }

    /// Forgets a stream that was never connected. Who waited for it waits for the domain.
    fn drop_unconnected(&mut self, id: StreamId) {
        self.arm_link(id, None);
        let Some(link) = self.links.remove(id) else { return };
        let Way::Out(out) = link.way else { return };
        self.opened.gone(id, link.listed);
        if let Some(peer) = self.peers.get_mut(&out.to) {
            peer.links.retain(|known| *known != id);
            peer.keys.extend(out.keys);
            for pair in peer.pairs.values_mut().filter(|pair| pair.state == State::Opening(id)) {
                pair.state = State::Finding;
            }
        }
    }

    /// A domain could not be found, reached, or talked to. If that is passing it is tried again for what waits, as long as that waits;
    /// otherwise whoever waits for it hears so.
    pub(super) fn fail(
        &mut self,
        now: Instant,
        domain: &BareJid,
        condition: ErrorCondition,
        is_passing: bool,
        reason: &str,
    ) {
        let limits = &self.config.limits;
        // It may have been forgotten with its last stream: that it has failed is remembered all the same, and its attempt is over.
        let peer = self.peers.entry(domain.clone()).or_insert_with(|| Peer::new(now));
        peer.fail(now, condition, is_passing, limits);
        let waiting = peer.waiting();
        for key in core::mem::take(&mut peer.keys) {
            self.answer_key(&key, Verdict::Error(condition));
        }
        for ours in waiting {
            self.waits_for_another_try(now, &ours, domain);
        }
        self.was_not_asked(now, domain);
        let line = format!("{domain} cannot be reached ({condition}): {reason}");
        self.events.push_back(FederationEvent::Log(Level::Info, one_line(line)));
        self.attempt_over(now, domain);
        self.arm_peer(domain);
    }

    pub(super) fn set_state(&mut self, theirs: &BareJid, ours: &BareJid, state: State) {
        if let Some(pair) = self.peers.get_mut(theirs).and_then(|peer| peer.pairs.get_mut(ours)) {
            pair.state = state;
        }
    }

    /// What waits for a pair goes back to its senders.
    pub(super) fn give_pair_back(&mut self, theirs: &BareJid, ours: &BareJid, condition: ErrorCondition) {
        let pair = self.peers.get_mut(theirs).and_then(|peer| peer.pairs.get_mut(ours));
        let drain = |pair: &mut Pair| {
            pair.doubt = None;
            pair.queue.drain()
        };
        let items = pair.map(drain).unwrap_or_default();
        for item in items {
            self.bounds.release(&item.payer, item.bytes);
            // Of what may have arrived only this is certain.
            let is_in_doubt = item.number.is_some();
            self.give_back(item, if is_in_doubt { ErrorCondition::RemoteServerTimeout } else { condition });
        }
    }

    /// What waits for a domain without an open stream goes back to its senders.
    pub(super) fn give_unready_back(&mut self, theirs: &BareJid, condition: ErrorCondition) {
        let Some(peer) = self.peers.get(theirs) else { return };
        let is_unready = |pair: &Pair| match pair.state {
            State::Ready(id) => !super::link_of(&self.links, id).is_some_and(Link::is_open),
            State::Idle | State::Finding | State::Opening(_) => true,
        };
        let unready = peer.pairs.iter().filter(|(_, pair)| is_unready(pair)).map(|(ours, _)| ours.clone());
        let unready: Vec<BareJid> = unready.collect();
        for ours in unready {
            self.give_pair_back(theirs, &ours, condition);
        }
        self.arm_peer(theirs);
    }

    /// Something is due for a domain.
    pub(super) fn peer_due(&mut self, now: Instant, domain: &BareJid) {
        let patience = self.config.limits.patience;
        let Some(peer) = self.peers.get_mut(domain) else { return };
        peer.forget_failure(now);
        if matches!(peer.finding, Finding::Resolving(until) if now >= until) {
            let reason = "the DNS has not answered in time";
            self.fail(now, domain, ErrorCondition::RemoteServerTimeout, true, reason);
        }
        self.ask_about_keys(now, domain);
        let Some(peer) = self.peers.get(domain) else { return };
        let is_late = |pair: &Pair| !pair.queue.is_empty() && now >= pair.since + patience;
        let late = peer.pairs.iter().filter(|(_, pair)| is_late(pair));
        let late: Vec<(BareJid, bool)> = late.map(|(ours, pair)| (ours.clone(), pair.is_waiting())).collect();
        for (ours, is_waiting) in late {
            match is_waiting {
                true => self.is_given_up(now, &ours, domain, ErrorCondition::RemoteServerTimeout),
                false => self.give_pair_back(domain, &ours, ErrorCondition::RemoteServerTimeout),
            }
        }
        self.try_again(now, domain);
        // What was late has perhaps kept it.
        if let Some(peer) = self.peers.get_mut(domain) {
            peer.forget_failure(now);
        }
        self.arm_peer(domain);
    }

    /// What shows who we are may have changed: pairs of domains that others have not taken are as new.
    pub(super) fn ask_again_who_has_refused(&mut self, now: Instant) {
        let mut refused = Vec::new();
        for (theirs, peer) in &mut self.peers {
            let of_peer =
                peer.pairs.iter_mut().filter_map(|(ours, pair)| pair.refused.take().map(|_| ours.clone()));
            refused.extend(of_peer.map(|ours| (ours, theirs.clone())));
        }
        refused.sort_unstable();
        for (ours, theirs) in refused {
            let pair = self.peers.get(&theirs).and_then(|peer| peer.pairs.get(&ours));
            if pair.is_some_and(Pair::is_waiting) {
                self.pursue(now, &ours, &theirs);
            }
            self.arm_peer(&theirs);
        }
    }

    /// A domain that could not be reached is tried again for what waits, if it has been left alone for long enough.
    fn try_again(&mut self, now: Instant, domain: &BareJid) {
        let Some(peer) = self.peers.get_mut(domain) else { return };
        for ours in peer.tried_again(now) {
            self.pursue(now, &ours, domain);
        }
    }
}

/// The domain of an address.
pub(super) fn domain(address: &Jid) -> Option<BareJid> {
    BareJid::from_parts(None, address.domainpart()).ok()
}
