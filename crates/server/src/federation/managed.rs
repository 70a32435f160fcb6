//! Stream management between servers (XEP-0198): what a stream has taken is kept until the other server says that it has it.
//!
//! When a stream ends, what is not acknowledged waits again, before what came later. If both servers know the stream by a name, the next
//! stream to the domain asks first what had arrived on it, so that nothing goes twice; the other server may do the same, and then says by
//! that what it has. The pair of domains waits until it is known: it is *in doubt*. Where nobody can tell, what is not acknowledged is
//! sent once more, and may arrive twice.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::mem;
use core::time::Duration;

use balcony_jid::{BareJid, Jid};
use balcony_machine::{Instant, Ticket};
use balcony_stanza::{ErrorCondition, StreamCondition, StreamError};
use balcony_stream::Counts;
use balcony_stream::s2s::S2sAnswer;

use super::Federation;
use super::event::{FederationEvent, StreamId};
use super::link::{Link, Sending, Stream, Way};
use super::peer::{Pair, State};
use super::queue::Item;
use crate::action::Ended;

/// Streams that are over and can be asked about, to and from one domain, and the stanzas that were not acknowledged when they ended. Past
/// that the oldest of these streams is asked no more.
const MOST_OF_DOMAIN: usize = 16;
const OPEN_OF_DOMAIN: usize = 8_192;
/// What they may cost altogether: a stanza that was not acknowledged costs one, and a stream so much beside them. Past that the oldest of
/// the site goes that costs most.
const MOST: usize = 131_072;
const STREAM: usize = 16;
/// How long they are known after their end. Twice as long as stanzas wait for a stream, and what they can't tell then is not asked.
const KNOWN: Duration = Duration::from_secs(120);
/// How long a stream on which others have us answer is waited for until they have stanzas counted.
const UNCOUNTED: Duration = Duration::from_secs(1);
/// How long until it is asked again what it has, if it has answered that this is no more than before.
const AGAIN: Duration = Duration::from_secs(1);
/// How often a stream may be lost with a stanza until that comes back: if the other server can tell what it has got, and otherwise.
const LOSSES: u8 = 5;
const UNCERTAIN_LOSSES: u8 = 1;

/// The name of a stream, from whoever it was opened to: others may name theirs as this server, or a third one, has named one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct StreamName {
    /// The domain that has named it; `None`: this server.
    by: Option<BareJid>,
    id: Box<str>,
}

/// A stream that is over, with what is known of it.
#[derive(Debug)]
struct Earlier {
    /// The domains of others with which it was.
    domains: Vec<BareJid>,
    /// The domains of ours with which it was, as the other server knows: a stream of another one is not told of it.
    ours: Vec<BareJid>,
    counts: Counts,
    /// What we have sent on it and was not acknowledged, in order.
    open: VecDeque<Sent>,
    /// It was lost and went both ways: the other server may want to know what has come on it, and hears it when it is asked.
    tells: bool,
    /// The stream that is to ask about it.
    asked_on: Option<StreamId>,
    until: Instant,
    /// How many were added before it.
    age: u64,
}

/// A stanza that was sent: from a domain of ours, to one of theirs, under its number.
#[derive(Clone, Debug)]
struct Sent {
    ours: BareJid,
    theirs: BareJid,
    number: u64,
}

/// The streams that are over and can be asked about. What one costs does not depend on the streams of other domains.
#[derive(Debug, Default)]
pub(super) struct EarlierStreams {
    by_id: BTreeMap<StreamName, Earlier>,
    /// By when they were added: altogether, and those with each domain.
    by_age: BTreeMap<u64, StreamName>,
    by_domain: BTreeMap<BareJid, BTreeSet<u64>>,
    by_site: BTreeMap<Box<str>, Site>,
    /// The sites by what they cost, of several that cost as much the one with the oldest stream last.
    by_cost: BTreeSet<(usize, Reverse<Option<u64>>, Box<str>)>,
    added: u64,
    /// What all of them cost.
    cost: usize,
    /// How many stanzas have been numbered.
    numbered: u64,
}

/// The streams to and from the domains below one name that somebody has registered.
#[derive(Debug, Default)]
struct Site {
    ages: BTreeSet<u64>,
    /// What they cost.
    cost: usize,
}

impl Site {
    fn oldest(&self) -> Reverse<Option<u64>> {
        Reverse(self.ages.first().copied())
    }
}

/// What a stream has to do about a pair whose first stanzas another stream may have taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doubt {
    /// Nothing.
    None,
    /// Wait: another stream asks what has arrived.
    Asked,
    /// Make way for a stream that asks: nobody does, and it has begun without asking.
    Unasked,
}

impl EarlierStreams {
    /// A number for a stanza that is sent.
    pub(super) fn number(&mut self) -> u64 {
        self.numbered += 1;
        self.numbered
    }

    fn add(&mut self, now: Instant, id: StreamName, mut earlier: Earlier) {
        self.remove(&id);
        // Nobody may ask about a stream that nobody has proven to be theirs.
        if earlier.cost() > MOST || earlier.domains.is_empty() {
            return;
        }
        for domain in &earlier.domains {
            while let Some(ages) = self.by_domain.get(domain)
                && (ages.len() >= MOST_OF_DOMAIN || self.open_of(ages) + earlier.open.len() > OPEN_OF_DOMAIN)
            {
                let Some(oldest) = ages.first().copied() else { break };
                self.remove_oldest(oldest);
            }
        }
        while let Some((age, oldest)) = self.by_age.first_key_value()
            && self.by_id.get(oldest).is_none_or(|old| old.until <= now)
        {
            self.remove_oldest(*age);
        }
        earlier.age = self.added;
        self.added += 1;
        self.by_age.insert(earlier.age, id.clone());
        for domain in &earlier.domains {
            self.by_domain.entry(domain.clone()).or_default().insert(earlier.age);
        }
        for site in earlier.sites() {
            self.change_site(site, |of| {
                of.ages.insert(earlier.age);
                of.cost += earlier.cost();
            });
        }
        self.cost += earlier.cost();
        self.by_id.insert(id, earlier);
        while self.cost > MOST
            && let Some((_, _, site)) = self.by_cost.last()
            && let Some(oldest) = self.by_site.get(site).and_then(|of| of.ages.first().copied())
        {
            self.remove_oldest(oldest);
        }
    }

    fn open_of(&self, ages: &BTreeSet<u64>) -> usize {
        let names = ages.iter().filter_map(|age| self.by_age.get(age));
        names.filter_map(|name| self.by_id.get(name)).map(|earlier| earlier.open.len()).sum()
    }

    /// What is open in one of them, which is to be settled, with what both ends have counted.
    fn settle(&mut self, id: &StreamName) -> Option<(VecDeque<Sent>, &Counts)> {
        let earlier = self.by_id.get_mut(id)?;
        let open = mem::take(&mut earlier.open);
        let sites = earlier.sites();
        self.cost -= open.len();
        for site in sites {
            self.change_site(site, |of| of.cost = of.cost.saturating_sub(open.len()));
        }
        Some((open, &self.by_id.get(id)?.counts))
    }

    fn remove_oldest(&mut self, age: u64) {
        if let Some(id) = self.by_age.remove(&age) {
            self.remove(&id);
        }
    }

    fn remove(&mut self, id: &StreamName) {
        let Some(earlier) = self.by_id.remove(id) else { return };
        self.cost -= earlier.cost();
        self.by_age.remove(&earlier.age);
        for domain in &earlier.domains {
            if let Some(ages) = self.by_domain.get_mut(domain) {
                ages.remove(&earlier.age);
                if ages.is_empty() {
                    self.by_domain.remove(domain);
                }
            }
        }
        for site in earlier.sites() {
            self.change_site(site, |of| {
                of.ages.remove(&earlier.age);
                of.cost = of.cost.saturating_sub(earlier.cost());
            });
        }
    }

    fn change_site(&mut self, name: Box<str>, change: impl FnOnce(&mut Site)) {
        let mut site = self.by_site.remove(&name).unwrap_or_default();
        self.by_cost.remove(&(site.cost, site.oldest(), name.clone()));
        change(&mut site);
        if !site.ages.is_empty() {
            self.by_cost.insert((site.cost, site.oldest(), name.clone()));
            self.by_site.insert(name, site);
        }
    }

    /// The last stream with a domain of which that may want to know what has come on it.
    fn last_to_tell(&self, domain: &BareJid) -> Option<StreamName> {
        let ages = self.by_domain.get(domain).into_iter().flat_map(|ages| ages.iter().rev());
        let mut names = ages.filter_map(|age| self.by_age.get(age));
        names.find(|name| self.by_id.get(*name).is_some_and(|earlier| earlier.tells)).cloned()
    }

    fn get(&mut self, now: Instant, id: &StreamName) -> Option<&mut Earlier> {
        self.by_id.get_mut(id).filter(|earlier| now < earlier.until)
    }
}

impl Earlier {
    fn cost(&self) -> usize {
        STREAM + self.open.len()
    }

    /// The sites of its domains, each once.
    fn sites(&self) -> BTreeSet<Box<str>> {
        self.domains.iter().map(|domain| site(domain.as_str()).into()).collect()
    }
}

/// What registries of countries have people register names below.
const REGISTERED_BELOW: [&str; 12] =
    ["ac", "co", "com", "edu", "gob", "gov", "ne", "net", "nom", "or", "org", "web"];

/// The part of a domain that somebody has registered: whoever has that has any number of names below it. It is told by its form: two labels,
/// or three as in `example.co.uk`. Where a registry does it otherwise several people share a site.
fn site(domain: &str) -> &str {
    if domain.starts_with('[') || domain.ends_with(|last: char| last.is_ascii_digit()) {
        return domain;
    }
    let mut dots = domain.rmatch_indices('.').map(|(at, _)| at);
    let (Some(last), Some(second)) = (dots.next(), dots.next()) else { return domain };
    let is_below = domain.len() - last == 3 && REGISTERED_BELOW.contains(&&domain[second + 1..last]);
    let before = if is_below { dots.next() } else { Some(second) };
    before.map_or(domain, |at| &domain[at + 1..])
}

/// The domain of ours, and theirs, between which a stanza goes.
fn domains(item: &Item) -> Option<(&str, &str)> {
    let head = &item.stanza.head;
    head.from.as_ref().zip(head.to.as_ref()).map(|(from, to)| (Jid::domainpart(from), Jid::domainpart(to)))
}

impl Federation {
    /// What is under way in this pair of domains, and paid for, has become more, or less.
    pub(super) fn under_way(&mut self, item: &Item, change: fn(usize, usize) -> usize) {
        let Some((ours, theirs)) = domains(item) else { return };
        if let Some(pair) = self.peers.get_mut(theirs).and_then(|peer| peer.pairs.get_mut(ours)) {
            pair.under_way = change(pair.under_way, item.bytes);
        }
    }

    /// Whether a stream may be given stanzas: not while it is being found out if they count on it.
    pub(super) fn may_fill(&self, id: StreamId) -> bool {
        super::link_of(&self.links, id).is_some_and(|link| {
            let is_settling = link.connected().is_some_and(|stream| stream.connection.is_settling());
            !is_settling && link.sending.counts_from.is_none()
        })
    }

    /// What a stream has to do about a pair whose first stanzas another stream may have taken.
    pub(super) fn doubt(&self, ours: &BareJid, theirs: &BareJid, on: StreamId) -> Doubt {
        let pair = self.peers.get(theirs).and_then(|peer| peer.pairs.get(ours));
        let Some(id) = pair.and_then(|pair| pair.doubt.as_ref()) else { return Doubt::None };
        let Some(earlier) = self.earlier.by_id.get(id).filter(|earlier| self.clock < earlier.until) else {
            return Doubt::None;
        };
        match earlier.asked_on {
            Some(other) if other == on => Doubt::None,
            Some(other) if self.is_asking(other, id) => Doubt::Asked,
            _ if !self.may_ask(earlier, ours) => Doubt::None,
            _ => Doubt::Unasked,
        }
    }

    /// A stream that was to ask about an earlier one never will: those who wait for that have to know.
    pub(super) fn does_not_ask(&mut self, theirs: &BareJid, id: &StreamName) {
        let Some(peer) = self.peers.get(theirs) else { return };
        let waits = |pair: &&Pair| pair.doubt.as_ref() == Some(id);
        let on = peer.pairs.values().filter(waits).filter_map(|pair| match pair.state {
            State::Ready(on) => Some(on),
            _ => None,
        });
        for on in on.collect::<Vec<_>>() {
            self.goes_on_writing(on);
        }
    }

    /// Whether another stream may have taken the first of what waits in a pair, and can be asked about.
    pub(super) fn has_known_doubt(&self, now: Instant, ours: &BareJid, theirs: &BareJid) -> bool {
        let pair = self.peers.get(theirs).and_then(|peer| peer.pairs.get(ours));
        let Some(id) = pair.and_then(|pair| pair.doubt.as_ref()) else { return false };
        let earlier = self.earlier.by_id.get(id).filter(|earlier| now < earlier.until);
        earlier.is_some_and(|earlier| self.may_ask(earlier, ours))
    }

    /// Whether a stream that is opened for this domain of ours may ask about an earlier one: the other server has to know that to be with
    /// the domain, and stanzas have to be counted still.
    fn may_ask(&self, earlier: &Earlier, ours: &BareJid) -> bool {
        self.config.management && earlier.ours.contains(ours)
    }

    /// Nobody is going to say what has arrived.
    pub(super) fn forget_doubt(&mut self, theirs: &BareJid, ours: &BareJid) {
        if let Some(pair) = self.peers.get_mut(theirs).and_then(|peer| peer.pairs.get_mut(ours)) {
            pair.doubt = None;
        }
    }

    fn is_asking(&self, stream: StreamId, id: &StreamName) -> bool {
        let link = super::link_of(&self.links, stream).filter(|link| !link.has_ended());
        link.is_some_and(|link| link.sending.asks_about.as_ref() == Some(id))
    }

    /// A stream of ours begins: what it is to ask about, if anything.
    pub(super) fn choose_earlier(
        &mut self,
        now: Instant,
        ours: &BareJid,
        theirs: &BareJid,
        on: StreamId,
    ) -> Option<(Box<str>, Counts)> {
        let peer = self.peers.get(theirs)?;
        let own = peer.pairs.get(ours).into_iter();
        let in_doubt: Vec<StreamName> =
            own.chain(peer.pairs.values()).filter_map(|pair| pair.doubt.clone()).collect();
        for id in in_doubt.into_iter().chain(self.earlier.last_to_tell(theirs)) {
            let asked_on = self.earlier.get(now, &id).and_then(|earlier| earlier.asked_on);
            if asked_on.is_some_and(|other| self.is_asking(other, &id)) {
                continue;
            }
            let earlier = self.earlier.get(now, &id).filter(|earlier| earlier.ours.contains(ours));
            let Some(earlier) = earlier else { continue };
            earlier.asked_on = Some(on);
            let counts = earlier.counts.clone();
            if let Some(link) = self.link(on) {
                link.sending.asks_about = Some(id.clone());
            }
            return Some((id.id, counts));
        }
        None
    }

    /// Another server asks how many of its stanzas had come on an earlier stream, and says how many of ours had.
    pub(super) fn asked_about(&mut self, now: Instant, on: StreamId, ticket: Ticket, id: &str, h: u32) {
        let Some(proven) = self.link(on).and_then(|link| link.incoming()).map(|way| way.domains.clone())
        else {
            return;
        };
        // The other server has lost it, so it is over, whatever is still to come on it.
        let is_it = |other: &StreamId| {
            let stream = super::link_of(&self.links, *other).and_then(Link::connected);
            *other != on && stream.is_some_and(|stream| stream.connection.managed_id() == Some(id))
        };
        let theirs = proven.iter().filter_map(|domain| self.peers.get(domain));
        let lost = theirs.flat_map(|peer| peer.links.iter().chain(&peer.incoming)).copied().find(is_it);
        if let Some(lost) = lost {
            let text = "the other end has opened another stream";
            self.abort(now, lost, StreamError::new(StreamCondition::Conflict, text));
            if self.link(lost).is_some() {
                self.forget(now, lost);
                self.events.push_back(FederationEvent::Close(lost));
            }
        }
        // Either of us has named it, and nobody else.
        let by = [None].into_iter().chain(proven.iter().cloned().map(Some));
        let known = by.map(|by| StreamName { by, id: id.into() }).find_map(|name| {
            let earlier = self.earlier.get(now, &name)?;
            let is_theirs = earlier.domains.iter().any(|domain| proven.contains(domain));
            is_theirs.then(|| (earlier.counts.h(), name))
        });
        let answer = known.map(|(counted, name)| {
            self.has_arrived(now, on, &name, Some(h));
            counted
        });
        if let Some(connection) = self.link(on).and_then(Link::connection) {
            // Misuse here means that the stream has given up waiting.
            let _ = connection.answer(ticket, S2sAnswer::Earlier(answer));
            self.ready.push(on);
        }
    }

    /// It is known from this stream how many of our stanzas had arrived on an earlier one, or nobody can tell: the rest is sent again.
    fn has_arrived(&mut self, now: Instant, on: StreamId, id: &StreamName, h: Option<u32>) {
        let Some((open, counts)) = self.earlier.settle(id) else { return };
        // Of those that count as sent the first may be acknowledged since.
        let before = (counts.unacknowledged() as usize).saturating_sub(open.len());
        let arrived_at_all = h.and_then(|h| counts.acknowledged_by(h));
        let arrived = (arrived_at_all.unwrap_or_default() as usize).saturating_sub(before);
        let (mut ready, mut finding) = (Vec::new(), Vec::new());
        // What has arrived of each pair, and what has not: each queue is gone through once.
        let mut pairs = BTreeMap::<(BareJid, BareJid), [BTreeSet<u64>; 2]>::new();
        for (place, Sent { ours, theirs, number }) in open.into_iter().enumerate() {
            let [there, lost] = pairs.entry((ours, theirs)).or_default();
            if place < arrived {
                there.insert(number)
            } else {
                lost.insert(number)
            };
        }
        for ((ours, theirs), [there, lost]) in pairs {
            let Some(peer) = self.peers.get_mut(&theirs) else { continue };
            let Some(pair) = peer.pairs.get_mut(&ours) else { continue };
            let has = |numbers: &BTreeSet<u64>, item: &Item| {
                item.number.is_some_and(|number| numbers.contains(&number))
            };
            let items = pair.queue.extract(|item| has(&there, item));
            if arrived_at_all.is_some() {
                pair.queue.each(|item| item.number = item.number.filter(|number| !lost.contains(number)));
            }
            if pair.doubt.as_ref() == Some(id) {
                pair.doubt = None;
            }
            match pair.state {
                State::Ready(other) if !ready.contains(&other) => ready.push(other),
                State::Finding => finding.push((ours, theirs.clone())),
                _ => {}
            }
            for item in &items {
                self.bounds.release(&item.payer, item.bytes);
            }
            self.note_arrived(now, on, items);
            self.arm_peer(&theirs);
        }
        for (ours, theirs) in finding {
            let pair = self.peers.get_mut(&theirs).and_then(|peer| peer.pairs.get_mut(&ours));
            let Some(pair) = pair.filter(|pair| pair.state == State::Finding) else { continue };
            match pair.queue.is_empty() {
                true => pair.state = State::Idle,
                // It need not be looked for any more.
                false => drop(self.sends_back(&ours, &theirs)),
            }
        }
        for on in ready {
            self.goes_on_writing(on);
        }
    }

    /// The other server has answered what a stream of ours has asked about an earlier one.
    pub(super) fn told_about(&mut self, now: Instant, id: StreamId, h: Option<u32>) {
        let Some(link) = self.link(id) else { return };
        let Some(asked) = link.sending.asks_about.take() else { return };
        // Once is enough.
        if let Some(earlier) = self.earlier.by_id.get_mut(&asked) {
            earlier.tells = false;
        }
        self.has_arrived(now, id, &asked, h);
    }

    /// It is settled whether stanzas count on a stream.
    pub(super) fn managed(&mut self, now: Instant, id: StreamId) {
        // What it has not answered by now it does not answer.
        self.told_about(now, id, None);
        if let Some(link) = self.link(id) {
            link.sending.counts_from = None;
            let counts = link.connected().map(|stream| stream.connection.counts_sent());
            let domains = link.incoming().map(|incoming| incoming.domains.clone()).unwrap_or_default();
            for domain in domains {
                if let Some(peer) = self.peers.get_mut(&domain) {
                    peer.counts = counts;
                }
            }
        }
        self.goes_on_writing(id);
    }

    /// A stream that this domain has opened is proven, and takes what goes back: it may have stanzas counted in a moment, unless it has not
    /// lately.
    pub(super) fn may_be_managed(&mut self, now: Instant, id: StreamId, domain: &BareJid) {
        let never_counts = self.peers.get(domain).is_some_and(|peer| peer.counts == Some(false));
        let may_count = self.config.management && !never_counts;
        let Some(link) = self.link(id).filter(|link| may_count && link.sending.pairs.is_empty()) else {
            return;
        };
        if link.connected().is_some_and(|stream| !stream.connection.counts_sent()) {
            link.sending.counts_from.get_or_insert(now + UNCOUNTED);
        }
    }

    /// A stanza has come on a stream: whoever is about to have stanzas counted says so before it sends some.
    pub(super) fn is_not_managed(&mut self, now: Instant, id: StreamId) {
        if self.link(id).is_some_and(|link| link.sending.counts_from.is_some()) {
            self.managed(now, id);
        }
    }

    /// So many more of what a stream has taken are in the hands of the other server.
    pub(super) fn acked(&mut self, now: Instant, id: StreamId, count: u32) {
        let Some(link) = self.link(id) else { return };
        let sending = &mut link.sending;
        sending.is_asked = false;
        sending.asks_at = (count == 0).then_some(now + AGAIN);
        let mut acked = Vec::new();
        for _ in 0..count {
            // The answer may be there before the owner has said that all is written.
            let next = sending.unacked.pop_front();
            let next = next.or_else(|| (!sending.batch.is_empty()).then(|| sending.batch.remove(0)));
            acked.extend(next);
        }
        for item in &acked {
            self.bounds.release(&item.payer, item.bytes);
            self.under_way(item, usize::saturating_sub);
        }
        self.is_alive(now, id);
        self.note_arrived(now, id, acked);
        self.ask_what_has_come(now, id);
        self.close_if_done(now, id);
    }

    /// Asks the other server what it has, if something is not acknowledged, or was so long ago that it is there for good if the server
    /// still answers: once at a time, so that much traffic costs few questions.
    pub(super) fn ask_what_has_come(&mut self, now: Instant, id: StreamId) {
        let Some(link) = self.link(id).filter(|link| link.is_open()) else { return };
        let Sending { unacked, arrived, is_asked, asks_at, .. } = &mut link.sending;
        let has_to_wait = asks_at.is_some_and(|at| now < at);
        *asks_at = asks_at.filter(|_| has_to_wait);
        let is_due = arrived.due().is_some_and(|at| at <= now);
        if unacked.is_empty() && !is_due || *is_asked || has_to_wait {
            return;
        }
        if link.connection().is_some_and(|connection| connection.request_ack(now)) {
            link.sending.is_asked = true;
            self.ready.push(id);
        } else {
            // Where it can't be asked it has to do that its stream is there.
            self.is_alive(now, id);
        }
    }

    /// A stream is about to be forgotten: the other server may be asked, or may ask, what has arrived on it.
    pub(super) fn note_earlier(&mut self, now: Instant, on: StreamId, link: &Link) -> Option<StreamName> {
        let connection = &link.connected()?.connection;
        let (id, counts) = (connection.managed_id()?, connection.counts()?.clone());
        let by = match &link.way {
            Way::Out(out) => Some(out.to.clone()),
            Way::In(_) => None,
        };
        let id = StreamName { by, id: id.into() };
        let name = |name: &str| BareJid::from_parts(None, name).ok();
        let sent = |item: &Item| {
            let (ours, theirs) = domains(item)?;
            Some(Sent { ours: name(ours)?, theirs: name(theirs)?, number: item.number? })
        };
        let open = link.sending.unacked.iter().chain(&link.sending.batch).filter_map(sent).collect();
        let domains = partners(&link.way).to_vec();
        // Who has closed it in good order asks if there is something to ask.
        let is_lost = matches!(link.connected().and_then(Stream::why), Some(Ended::Failed(_)));
        let tells = is_lost && connection.is_bidirectional();
        // A pair that was still to be proven on it is none that the other server knows it to be with.
        let is_proven = |(ours, theirs): &&(BareJid, BareJid)| {
            let pair = self.peers.get(theirs).and_then(|peer| peer.pairs.get(ours));
            pair.is_none_or(|pair| pair.state != State::Opening(on))
        };
        let ours = match &link.way {
            Way::Out(_) => {
                link.sending.pairs.iter().filter(is_proven).map(|(ours, _)| ours.clone()).collect()
            }
            Way::In(incoming) => incoming.back.first().map(|(ours, _)| ours.clone()).into_iter().collect(),
        };
        let until = now + KNOWN;
        let earlier = Earlier { domains, ours, counts, open, tells, asked_on: None, until, age: 0 };
        self.earlier.add(now, id.clone(), earlier);
        Some(id)
    }

    /// A stream is forgotten: what was not acknowledged and is to be sent again. What has been lost too often comes back.
    pub(super) fn take_unacked(&mut self, sending: &mut Sending) -> Vec<Item> {
        let most = if sending.name.is_some() { LOSSES } else { UNCERTAIN_LOSSES };
        let mut again = Vec::new();
        for mut item in mem::take(&mut sending.unacked).into_iter().chain(mem::take(&mut sending.batch)) {
            if item.number.is_none() {
                again.push(item);
                continue;
            }
            self.under_way(&item, usize::saturating_sub);
            item.losses = item.losses.saturating_add(1);
            if item.losses > most {
                self.bounds.release(&item.payer, item.bytes);
                self.give_back(item, ErrorCondition::RemoteServerTimeout);
            } else {
                again.push(item);
            }
        }
        again
    }
}

/// The domains of others that a stream is with.
fn partners(way: &Way) -> &[BareJid] {
    match way {
        Way::Out(out) => core::slice::from_ref(&out.to),
        Way::In(incoming) => &incoming.domains,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use alloc::format;
    use alloc::string::ToString;

    use super::*;

    fn domain(number: usize) -> BareJid {
        format!("d{number}.example").parse().unwrap()
    }

    fn earlier(domains: &[usize], until: Instant) -> Earlier {
        let domains = domains.iter().map(|number| domain(*number)).collect();
        let (ours, counts, open) = (Vec::new(), Counts::default(), VecDeque::new());
        Earlier { domains, ours, counts, open, tells: false, asked_on: None, until, age: 0 }
    }

    fn named(id: impl Into<Box<str>>) -> StreamName {
        StreamName { by: None, id: id.into() }
    }

    /// With so many stanzas that were not acknowledged.
    fn open(of: &BareJid, count: usize) -> Earlier {
        let sent = |number| Sent { ours: domain(99), theirs: of.clone(), number };
        let of_nobody = earlier(&[], Instant::ZERO + KNOWN);
        Earlier { domains: Vec::from([of.clone()]), open: (0..count as u64).map(sent).collect(), ..of_nobody }
    }

    fn is_consistent(streams: &EarlierStreams) {
        assert_eq!(streams.by_id.len(), streams.by_age.len());
        for (domain, ages) in &streams.by_domain {
            assert!((1..=MOST_OF_DOMAIN).contains(&ages.len()), "{domain}");
            for age in ages {
                assert!(streams.by_id[&streams.by_age[age]].domains.contains(domain));
            }
        }
        let named: usize = streams.by_id.values().map(|earlier| earlier.domains.len()).sum();
        assert_eq!(named, streams.by_domain.values().map(BTreeSet::len).sum::<usize>());
        let cost: usize = streams.by_id.values().map(Earlier::cost).sum();
        assert!(streams.cost == cost && cost <= MOST, "{} {cost}", streams.cost);
        assert_eq!(streams.by_site.len(), streams.by_cost.len());
        for (name, site) in &streams.by_site {
            let of_site = site.ages.iter().map(|age| &streams.by_id[&streams.by_age[age]]);
            assert_eq!(of_site.map(Earlier::cost).sum::<usize>(), site.cost, "{name}");
            assert!(
                streams.by_cost.contains(&(site.cost, site.oldest(), name.clone())) && !site.ages.is_empty()
            );
        }
        let sites: usize = streams.by_id.values().map(|earlier| earlier.sites().len()).sum();
        assert_eq!(sites, streams.by_site.values().map(|site| site.ages.len()).sum::<usize>());
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (mut streams, now) = (EarlierStreams::default(), Instant::ZERO);
        let until = now + KNOWN;
        // The streams of one domain push out each other, and nobody else's.
        streams.add(now, named("other"), earlier(&[1], until));
        for number in 0..100 {
            streams.add(now, named(number.to_string()), earlier(&[0], until));
            is_consistent(&streams);
        }
        assert_eq!(streams.by_id.len(), MOST_OF_DOMAIN + 1);
        assert!(streams.get(now, &named("other")).is_some() && streams.get(now, &named("99")).is_some());
        assert!(streams.get(now, &named("0")).is_none());
        // One that is with several domains counts for each.
        streams.add(now, named("both"), earlier(&[0, 1], until));
        is_consistent(&streams);
        // The same name again is the same stream.
        streams.add(now, named("both"), earlier(&[2], until));
        is_consistent(&streams);
        // Altogether there is a bound as well.
        for number in 0..MOST / STREAM {
            streams.add(now, named(format!("s{number}")), earlier(&[number + 3], until));
        }
        is_consistent(&streams);
        assert_eq!(streams.by_id.len(), MOST / STREAM);
        // What is too old to be asked about goes with the next.
        streams.add(until, named("new"), earlier(&[0], until + KNOWN));
        is_consistent(&streams);
        assert_eq!(streams.by_id.len(), 1);
    }

    // Whoever takes much and acknowledges nothing has what is remembered of it forgotten, before that of others.
    #[test]
    fn what_was_open_is_bounded() {
        let (mut streams, now) = (EarlierStreams::default(), Instant::ZERO);
        let cost = |open: usize| open + STREAM;
        streams.add(now, named("other"), open(&domain(1), 10));
        for number in 0..10 {
            streams.add(now, named(number.to_string()), open(&domain(0), OPEN_OF_DOMAIN / 4));
            is_consistent(&streams);
            assert!(streams.cost <= cost(10) + OPEN_OF_DOMAIN + 4 * STREAM);
        }
        assert!(streams.get(now, &named("other")).is_some() && streams.get(now, &named("0")).is_none());
        for of in 2..100 {
            streams.add(now, named(format!("of {of}")), open(&domain(of), OPEN_OF_DOMAIN / 4));
        }
        is_consistent(&streams);
        assert!(streams.get(now, &named("other")).is_some());
        // What is settled is open no more.
        let before = streams.cost;
        let (settled, _) = streams.settle(&named("of 99")).unwrap();
        assert_eq!((settled.len(), streams.cost), (OPEN_OF_DOMAIN / 4, before - OPEN_OF_DOMAIN / 4));
        assert!(streams.settle(&named("nobody's")).is_none());
        is_consistent(&streams);
    }

    // RFC 6120 §13.12: the subdomains of one server, however many, push out each other; and one stream with more than there is room for pushes
    // out nobody.
    #[test]
    fn subdomains_push_out_nobody_else() {
        for (count, each) in [(100, OPEN_OF_DOMAIN), (MOST / STREAM, 0), (2_000, 100)] {
            let (mut streams, now) = (EarlierStreams::default(), Instant::ZERO);
            for honest in 0..4 {
                let name = format!("honest {honest}");
                streams.add(now, named(name), open(&domain(honest), OPEN_OF_DOMAIN / 2));
            }
            for number in 0..count {
                let of = format!("n{number}.of.evil.example").parse().unwrap();
                streams.add(now, named(number.to_string()), open(&of, each));
            }
            streams.add(now, named("little"), open(&"much.example".parse().unwrap(), 1));
            streams.add(now, named("too much"), open(&"a.much.example".parse().unwrap(), MOST));
            is_consistent(&streams);
            let mut has = |name: &str| streams.get(now, &named(name)).is_some();
            assert!(has("little") && !has("too much"));
            assert!(streams.get(now, &named((count - 1).to_string())).is_some());
            for honest in 0..4 {
                assert!(streams.get(now, &named(format!("honest {honest}"))).is_some(), "{count} of {each}");
            }
        }
    }

    #[test]
    fn subdomains_are_of_one_site() {
        for (domain, of) in [
            ("example.com", "example.com"),
            ("a.b.example.com", "example.com"),
            ("chat.example.co.uk", "example.co.uk"),
            ("example.co.uk", "example.co.uk"),
            ("chat.abc.de", "abc.de"),
            ("a.chat.example.de", "example.de"),
            ("localhost", "localhost"),
            ("192.0.2.1", "192.0.2.1"),
            ("[2001:db8::1]", "[2001:db8::1]"),
            ("chat.bücher.example", "bücher.example"),
            (".", "."),
        ] {
            assert_eq!(site(domain), of, "{domain}");
        }
    }

    // A stream of another server that is named like one of this server's is another stream.
    #[test]
    fn names_are_those_of_whoever_gave_them() {
        let (mut streams, now) = (EarlierStreams::default(), Instant::ZERO);
        streams.add(now, named("a"), earlier(&[0], now + KNOWN));
        let theirs = |number| StreamName { by: Some(domain(number)), id: "a".into() };
        streams.add(now, theirs(1), earlier(&[1], now + KNOWN));
        streams.add(now, theirs(2), earlier(&[2], now + KNOWN));
        is_consistent(&streams);
        for (name, of) in [(named("a"), 0), (theirs(1), 1), (theirs(2), 2)] {
            assert_eq!(streams.get(now, &name).unwrap().domains, [domain(of)]);
        }
    }
}
