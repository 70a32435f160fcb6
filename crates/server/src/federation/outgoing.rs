//! The streams that we open: what they take, and what becomes of it.

use alloc::format;
use alloc::vec::Vec;
use core::mem;

use balcony_jid::BareJid;
use balcony_machine::Instant;
use balcony_stanza::ErrorCondition;
use balcony_stream::s2s::{Proof, Verdict, Verification};

use super::event::{FederationEvent, StreamId};
use super::link::{Link, Outgoing, Sending};
use super::managed::Doubt;
use super::peer::{Finding, Pair, Peer, State};
use super::queue::Item;
use super::{Closing, Federation, link_of, words};
use crate::action::Ended;
use crate::journal::{Level, one_line};

/// What is given to a stream at once, in bytes: less than a record of TLS, so that it arrives whole or not at all.
const BATCH: usize = 14 << 10;

impl Federation {
    /// Has a stream take what waits for it, as soon as the owner has written what there is.
    pub(super) fn wants_to_write(&mut self, id: StreamId) {
        if self.link(id).is_some_and(Link::begin_writing) {
            self.events.push_back(FederationEvent::Write(id));
        }
    }

    /// Gives a stream of what waits for it, when the owner is about to write.
    pub(super) fn fill(&mut self, now: Instant, id: StreamId) {
        let patience = self.config.limits.patience;
        let Some(link) = self.link(id).filter(|link| link.is_open()) else { return };
        let most = if link.is_encrypted() { BATCH } else { 1 };
        if !link.sending.batch.is_empty() || !self.may_fill(id) {
            return;
        }
        let Some(link) = self.link(id) else { return };
        let pairs = link.sending.pairs.clone();
        let counts = link.connected().is_some_and(|stream| stream.connection.counts_sent());
        let (mut items, mut last, mut has_to_end) = (Vec::new(), None, false);
        for (ours, theirs) in &pairs {
            match self.doubt(ours, theirs, id) {
                Doubt::None => {}
                Doubt::Asked => continue,
                Doubt::Unasked => {
                    has_to_end |= self.waits((ours, theirs), id);
                    continue;
                }
            }
            let pair = self.peers.get_mut(theirs).and_then(|peer| peer.pairs.get_mut(ours));
            let pair = pair.filter(|pair| pair.state == State::Ready(id) && !pair.queue.is_empty());
            let Some(pair) = pair else { continue };
            // Whoever could have told what has arrived has not.
            pair.doubt = None;
            let before = items.len();
            pair.queue.take(most, &mut items);
            if items.len() > before {
                last = Some((ours, theirs));
            }
        }
        if has_to_end && items.is_empty() {
            if let Some(link) = self.link(id) {
                link.sending.makes_way = true;
                if let Some(connection) = link.connection() {
                    connection.close(now);
                }
            }
            return self.ready.push(id);
        }
        if items.is_empty() {
            return;
        }
        for item in &mut items {
            item.number = counts.then(|| self.earlier.number());
            match counts {
                true => self.under_way(item, usize::saturating_add),
                false => self.bounds.release(&item.payer, item.bytes),
            }
        }
        let Some(link) = self.link(id) else { return };
        let mut refused = Vec::new();
        if let Some(connection) = link.connection() {
            let mut sent = Vec::new();
            for item in items {
                // It is open, and the pair is authorised on it: the rest would be a fault of ours, and lose nothing.
                match refused.is_empty() && connection.send(&item.stanza).is_ok() {
                    true => sent.push(item),
                    false => refused.push(item),
                }
            }
            let sending = &mut link.sending;
            (sending.batch, sending.used, sending.stalled) = (sent, now, Some(now + patience));
            // The next pair of domains has its turn.
            let is_last = |(ours, theirs): &(BareJid, BareJid)| last == Some((ours, theirs));
            if let Some(at) = sending.pairs.iter().position(is_last) {
                let taken = sending.pairs.remove(at);
                sending.pairs.push(taken);
            }
        }
        for item in refused {
            if item.number.is_some() {
                self.under_way(&item, usize::saturating_sub);
                self.bounds.release(&item.payer, item.bytes);
            }
            self.give_back(item, ErrorCondition::InternalServerError);
        }
        for (_, theirs) in &pairs {
            self.arm_peer(theirs);
        }
        self.ready.push(id);
    }

    /// What a stream was given last is written.
    pub(super) fn batch_written(&mut self, now: Instant, id: StreamId) {
        let Some(link) = self.link(id) else { return };
        link.sending.stalled = None;
        let batch = mem::take(&mut link.sending.batch);
        if batch.is_empty() {
            return self.goes_on_writing(id);
        }
        link.sending.has_written = true;
        let (counted, others) = batch.into_iter().partition(|item: &Item| item.number.is_some());
        link.sending.unacked.extend::<Vec<Item>>(counted);
        self.note_unheard(now, id, others);
        self.ask_what_has_come(now, id);
        let Some(link) = self.link(id) else { return };
        let pairs = link.sending.pairs.clone();
        for (ours, theirs) in &pairs {
            // What waits until another stream has asked is not in its turn here.
            let has_turns = self.doubt(ours, theirs, id) == Doubt::None;
            let Some(peer) = self.peers.get_mut(theirs) else { continue };
            peer.has_not_failed();
            let is_taken = |pair: &&mut Pair| has_turns && pair.state == State::Ready(id);
            if let Some(pair) = peer.pairs.get_mut(ours).filter(is_taken) {
                pair.since = now;
            }
            self.arm_peer(theirs);
        }
        self.goes_on_writing(id);
    }

    pub(super) fn goes_on_writing(&mut self, id: StreamId) {
        if self.has_waiting(id) {
            self.wants_to_write(id);
        }
    }

    /// Whether something waits for a stream of ours.
    fn has_waiting(&self, id: StreamId) -> bool {
        let Some(link) = link_of(&self.links, id) else { return false };
        let is_free = |(ours, theirs): &&(BareJid, BareJid)| self.doubt(ours, theirs, id) != Doubt::Asked;
        let mut pairs = link.sending.pairs.iter().filter(is_free);
        self.may_fill(id) && pairs.any(|(ours, theirs)| self.waits((ours, theirs), id))
    }

    /// Whether something waits between these domains for this stream.
    fn waits(&self, (ours, theirs): (&BareJid, &BareJid), id: StreamId) -> bool {
        let pair = self.peers.get(theirs).and_then(|peer| peer.pairs.get(ours));
        pair.is_some_and(|pair| pair.state == State::Ready(id) && !pair.queue.is_empty())
    }

    /// Whether something is still to be sent on a stream, or being sent, or not acknowledged.
    pub(super) fn has_to_send(&self, id: StreamId) -> bool {
        let Some(link) = link_of(&self.links, id).filter(|link| link.is_open()) else { return false };
        let Sending { batch, unacked, pairs, .. } = &link.sending;
        !batch.is_empty()
            || !unacked.is_empty()
            || pairs.iter().any(|(ours, theirs)| self.waits((ours, theirs), id))
    }

    /// The other server takes stanzas of this pair.
    pub(super) fn authorized(
        &mut self,
        now: Instant,
        id: StreamId,
        from: &BareJid,
        to: &BareJid,
        proof: Proof,
    ) {
        let Some(link) = self.link(id) else { return };
        let names = words::names(link);
        link.sending.used = now;
        let Some(out) = link.outgoing() else { return };
        out.proof.get_or_insert(proof);
        let mut waiting = Vec::new();
        if let Some(peer) = self.peers.get_mut(to) {
            if matches!(peer.finding, Finding::Failed { .. }) {
                waiting = peer.waiting();
            }
            peer.revive();
            if let Some(pair) = peer.pairs.get_mut(from).filter(|pair| pair.state == State::Opening(id)) {
                (pair.state, pair.refused) = (State::Ready(id), None);
            }
        }
        let how = match proof {
            Proof::Certificate => "by our certificate",
            Proof::Dialback => "by dialback",
        };
        // What it was to ask about it does not, where stanzas are not counted.
        let is_settling = link_of(&self.links, id)
            .and_then(Link::connected)
            .is_some_and(|stream| stream.connection.is_settling());
        if !is_settling {
            self.told_about(now, id, None);
        }
        let line = format!("{from} sends to {to}, proven {how}; {names}");
        self.events.push_back(FederationEvent::Log(Level::Info, one_line(line)));
        self.events.push_back(FederationEvent::Reached(to.clone()));
        for ours in waiting {
            self.pursue(now, &ours, to);
        }
        self.attempt_over(now, to);
        self.arm_peer(to);
        self.goes_on_writing(id);
    }

    /// The other server does not take stanzas of this pair.
    pub(super) fn refused(
        &mut self,
        now: Instant,
        id: StreamId,
        from: &BareJid,
        to: &BareJid,
        verdict: Verdict,
    ) {
        let Some(link) = self.link(id) else { return };
        link.sending.pairs.retain(|(ours, _)| ours != from);
        let is_last = link.sending.pairs.is_empty();
        let asked = link.sending.asks_about.take_if(|_| is_last);
        let has_keys = link.outgoing().is_some_and(|out| !out.keys.is_empty());
        let condition = verdict.bounce();
        if let Some(asked) = asked {
            self.does_not_ask(to, &asked);
        }
        let limits = &self.config.limits;
        let pair = self.peers.get_mut(to).and_then(|peer| peer.pairs.get_mut(from));
        if let Some(pair) = pair.filter(|pair| pair.state == State::Opening(id)) {
            pair.refuse(now, condition, words::is_passing(verdict), limits);
            pair.state = State::Finding;
            self.pursue(now, from, to);
        }
        let line = format!(
            "{to} does not take stanzas of {from} ({condition}): it answered our key with {}",
            word(verdict)
        );
        self.events.push_back(FederationEvent::Log(Level::Info, one_line(line)));
        // XEP-0220 section 2.1.1: who has called a key invalid is asked about no others.
        if is_last
            && !has_keys
            && let Some(connection) = self.link(id).and_then(|link| link.connection())
        {
            connection.close(now);
        }
        self.attempt_over(now, to);
        self.arm_peer(to);
    }

    /// The other server is there, and does not take this domain of ours. That says nothing of the others: what waits of them goes on.
    fn not_taken(
        &mut self,
        now: Instant,
        from: &BareJid,
        to: &BareJid,
        condition: ErrorCondition,
        reason: &str,
    ) {
        let Some(peer) = self.peers.get_mut(to) else { return };
        peer.has_not_failed();
        if let Some(pair) = peer.pairs.get_mut(from) {
            pair.refuse(now, condition, false, &self.config.limits);
        }
        let waiting = peer.waiting();
        let line = format!("{to} does not take stanzas of {from} ({condition}): {reason}");
        self.events.push_back(FederationEvent::Log(Level::Info, one_line(line)));
        for ours in waiting {
            self.pursue(now, &ours, to);
        }
        self.attempt_over(now, to);
    }

    /// The other server has said what it thinks of a key.
    pub(super) fn verified(
        &mut self,
        now: Instant,
        id: StreamId,
        verification: &Verification,
        verdict: Verdict,
    ) {
        let Some(out) = self.link(id).and_then(|link| link.outgoing()) else { return };
        let answered: Vec<_> = out.keys.extract_if(.., |key| key.verification == *verification).collect();
        let (is_over, domain) = (!out.authorize && out.keys.is_empty(), out.to.clone());
        // XEP-0220 section 2.5: it can't say, and so the domain is not there; or it has not answered in time.
        let verdict = match verdict {
            Verdict::Error(condition) if condition != ErrorCondition::RemoteServerTimeout => {
                Verdict::Error(ErrorCondition::RemoteServerNotFound)
            }
            verdict => verdict,
        };
        for key in answered {
            self.answer_key(&key, verdict);
        }
        // XEP-0220 section 2.1.2: a stream that was opened for this is of no more use.
        if is_over && let Some(connection) = self.link(id).and_then(|link| link.connection()) {
            connection.close(now);
        }
        self.attempt_over(now, &domain);
    }

    /// A stream is forgotten: what it has not written waits again, in its pairs. Of those nobody else has the rest comes back.
    fn take_back(&mut self, now: Instant, id: StreamId, mut sending: Sending, ended: &Ended) -> Vec<Item> {
        let mut unwritten = self.take_unheard(&mut sending, ended);
        unwritten.append(&mut self.take_unacked(&mut sending));
        for (ours, theirs) in &sending.pairs {
            let Some(pair) = self.peers.get_mut(theirs).and_then(|peer| peer.pairs.get_mut(ours)) else {
                continue;
            };
            if matches!(pair.state, State::Opening(of) | State::Ready(of) if of == id) {
                let is_of = |item: &mut Item| {
                    let domains = item.stanza.head.from.as_ref().zip(item.stanza.head.to.as_ref());
                    domains.is_some_and(|(from, to)| {
                        from.domainpart() == ours.as_str() && to.domainpart() == theirs.as_str()
                    })
                };
                let items: Vec<Item> = unwritten.extract_if(.., is_of).collect();
                for item in items.iter().filter(|item| item.number.is_none()) {
                    self.bounds.add(&item.payer, item.bytes);
                }
                if items.iter().any(|item| item.number.is_some()) {
                    (pair.since, pair.doubt) = (now, sending.name.clone());
                }
                pair.queue.put_back(items);
                pair.state = if pair.queue.is_empty() { State::Idle } else { State::Finding };
            }
        }
        for item in unwritten.iter().filter(|item| item.number.is_some()) {
            self.bounds.release(&item.payer, item.bytes);
        }
        unwritten
    }

    /// A stream of others is forgotten. What was to be sent on it takes another one.
    pub(super) fn incoming_over(&mut self, now: Instant, id: StreamId, sending: Sending, ended: &Ended) {
        let pairs = sending.pairs.clone();
        for item in self.take_back(now, id, sending, ended) {
            self.give_back(item, words::condition(ended));
        }
        for (ours, theirs) in pairs {
            self.peer_due(now, &theirs);
            let pair = self.peers.get(&theirs).and_then(|peer| peer.pairs.get(&ours));
            if pair.is_some_and(|pair| pair.state == State::Finding) {
                self.pursue(now, &ours, &theirs);
            }
            self.arm_peer(&theirs);
        }
    }

    /// A stream that we had opened is forgotten. What it has not written, and what waits for it, goes elsewhere or back.
    pub(super) fn outgoing_over(
        &mut self,
        now: Instant,
        id: StreamId,
        out: Outgoing,
        sending: Sending,
        ended: &Ended,
        was_connected: bool,
    ) {
        let Outgoing { from, to, authorize, places, keys, proof } = out;
        let is_refused = authorize && sending.pairs.is_empty();
        let was_of_use = sending.has_written || sending.makes_way;
        let Some(peer) = self.peers.get_mut(&to) else { return };
        peer.links.retain(|known| *known != id);
        let unwritten = self.take_back(now, id, sending, ended);
        // What comes back to the queue may have waited for long enough.
        self.peer_due(now, &to);
        let pair = self.peers.get(&to).and_then(|peer| peer.pairs.get(&from));
        let is_wanted =
            if authorize { pair.is_some_and(|pair| pair.state == State::Finding) } else { !keys.is_empty() };
        // It came to nothing here, but there are other places.
        if proof.is_none()
            && was_connected
            && is_wanted
            && !places.targets.is_empty()
            && self.closing == Closing::No
        {
            let other = self.open(now, &from, &to, authorize, places, keys);
            if authorize {
                self.set_state(&to, &from, State::Opening(other));
            }
            return self.arm_peer(&to);
        }
        let (condition, has_keys) = (words::condition(ended), !keys.is_empty());
        for item in unwritten {
            self.give_back(item, condition);
        }
        let of_keys = match condition {
            ErrorCondition::RemoteServerNotFound => condition,
            _ => ErrorCondition::RemoteServerTimeout,
        };
        for key in keys {
            self.answer_key(&key, Verdict::Error(of_keys));
        }
        let waiting: Vec<BareJid> = self.peers.get(&to).map(Peer::waiting).unwrap_or_default();
        // A stream that has taken nothing was of no use, however far it came; unless another one is to ask first. Whoever is there and can't
        // be asked about keys may take stanzas all the same, by certificate: nobody keeps these from it by showing keys in its name.
        let has_failed = match authorize {
            true => !was_of_use && !is_refused && (proof.is_none() || !waiting.is_empty()),
            false => has_keys && !was_connected,
        };
        if has_keys {
            self.was_not_asked(now, &to);
        }
        if has_keys && !has_failed {
            let line = format!("{to} could not be asked about a key: {}", words::reason(ended));
            self.events.push_back(FederationEvent::Log(Level::Info, one_line(line)));
        }
        if has_failed && proof.is_none() && words::is_about_us(ended) {
            self.not_taken(now, &from, &to, condition, &words::reason(ended));
        } else if has_failed {
            let is_passing = condition == ErrorCondition::RemoteServerTimeout;
            self.fail(now, &to, condition, is_passing, &words::reason(ended));
        } else {
            for ours in waiting {
                self.pursue(now, &ours, &to);
            }
            self.attempt_over(now, &to);
        }
        self.arm_peer(&to);
    }
}

/// A verdict in words.
fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Valid => "valid",
        Verdict::Invalid => "invalid",
        Verdict::Error(condition) => condition.name(),
    }
}
