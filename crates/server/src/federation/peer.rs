//! What is known of another server's domain.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::time::Duration;

use balcony_jid::BareJid;
use balcony_machine::{Instant, Ticket};
use balcony_stanza::ErrorCondition;
use balcony_stream::s2s::Verification;

use super::config::FederationLimits;
use super::event::StreamId;
use super::managed::StreamName;
use super::origin::Origin;
use super::queue::Queue;
use crate::deadlines::Armed;
use crate::pace::{Bucket, Pace};

/// A domain of another server, with what waits for it and what comes from it.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) finding: Finding,
    /// How many attempts to reach it have failed since the last one that has not.
    pub(super) failures: u32,
    /// When the first of them has.
    pub(super) failing_since: Option<Instant>,
    /// Since when and until when it is left alone because of the last of them. It may be tried meanwhile to ask it about keys.
    left_alone: Option<(Instant, Instant)>,
    /// What goes there, by the domain of ours that it comes from.
    pub(super) pairs: BTreeMap<BareJid, Pair>,
    /// The streams that we have opened to it, or are opening.
    pub(super) links: Vec<StreamId>,
    /// Keys that it is to be asked about as soon as there is a stream.
    pub(super) keys: Vec<Key>,
    /// Until when they wait, since the domain could not be asked about others a moment ago.
    pub(super) keys_wait_until: Option<Instant>,
    /// The streams on which it has proven itself, the oldest first.
    pub(super) incoming: VecDeque<StreamId>,
    /// How fast it sends.
    pub(super) pace: Pace,
    /// How often it asks to see somebody's presence.
    pub(super) subscriptions: Bucket,
    /// Whether it has been logged that too many of these are dropped.
    pub(super) drops_logged: bool,
    /// Whether it has had stanzas counted on the last stream that it has opened, and that goes both ways.
    pub(super) counts: Option<bool>,
    /// When something was last sent or received.
    pub(super) used: Instant,
    /// Its entry among the deadlines.
    pub(super) armed: Armed,
}

/// How far the search for a domain has come.
#[derive(Clone, Debug)]
pub(super) enum Finding {
    /// Nobody looks for it. If there are streams they were found.
    Idle,
    /// It waits for its turn, since too many others are looked for.
    Queued,
    /// The DNS is asked, and has to answer until then.
    Resolving(Instant),
    /// It could not be reached, and is left alone for a while.
    Failed {
        /// When that was.
        at: Instant,
        /// Until when it is not tried again for stanzas.
        until: Instant,
        /// What their senders are told meanwhile.
        condition: ErrorCondition,
        /// Whether that may be over in a moment: nobody has answered, or a connection broke.
        is_passing: bool,
    },
}

/// What goes from one domain of ours to this one.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) state: State,
    pub(super) queue: Queue,
    /// Since when nothing of it has been taken by a stream.
    pub(super) since: Instant,
    /// What streams have taken and is not acknowledged, in bytes.
    pub(super) under_way: usize,
    /// The stream that is over and may have taken the first of what waits.
    pub(super) doubt: Option<StreamName>,
    /// The other server has not taken it.
    pub(super) refused: Option<Refused>,
}

/// A pair of domains that another server has not taken. That says nothing of the other pairs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refused {
    /// How often, since it was taken last, and when for the first time.
    times: u32,
    since: Instant,
    /// Since when, and until when, it is not tried again; none while it is.
    left_alone: Option<(Instant, Instant)>,
    /// What the senders of stanzas are told meanwhile, and whether that may be over in a moment.
    condition: ErrorCondition,
    is_passing: bool,
}

/// The stream that takes what goes from one domain to another: one at a time (RFC 6120 section 10.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// None, and nothing waits.
    Idle,
    /// The domain is being looked for, or is to be when it is tried again.
    Finding,
    /// This one is being opened for it, or asked to take it.
    Opening(StreamId),
    /// This one. It may have ended, and not be forgotten yet: what it has begun to write is not decided then.
    Ready(StreamId),
}

/// A dialback key that another server has shown us, and who waits for what becomes of it.
#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) verification: Verification,
    /// The stream on which it came.
    pub(super) stream: StreamId,
    pub(super) ticket: Ticket,
    /// Whom that stream is put down to.
    pub(super) origin: Origin,
    /// It is among the keys of its origin that wait.
    pub(super) is_counted: bool,
}

impl Pair {
    /// Whether something waits for the domain to be found.
    pub(super) fn is_waiting(&self) -> bool {
        self.state == State::Finding && !self.queue.is_empty()
    }

    pub(super) fn new(now: Instant) -> Self {
        Pair {
            state: State::Idle,
            queue: Queue::default(),
            since: now,
            under_way: 0,
            doubt: None,
            refused: None,
        }
    }

    /// The other server has not taken it once more: how long it is left alone, as a domain that could not be reached.
    pub(super) fn refuse(
        &mut self,
        now: Instant,
        condition: ErrorCondition,
        is_passing: bool,
        limits: &FederationLimits,
    ) {
        let (times, since) = self.refused.map_or((0, now), |refused| (refused.times, refused.since));
        let until = now + backoff(times, limits);
        let times = times.saturating_add(1).min(31);
        let left_alone = Some((now, until));
        self.refused = Some(Refused { times, since, left_alone, condition, is_passing });
    }

    /// It is tried again, and may be refused once more.
    pub(super) fn is_tried_again(&mut self) {
        if let Some(refused) = &mut self.refused {
            refused.left_alone = None;
        }
    }

    /// As [`Peer::failure`], where the other server does not take the pair.
    pub(super) fn refusal(&self, now: Instant, limits: &FederationLimits) -> Option<(ErrorCondition, bool)> {
        let Refused { since, left_alone, condition, is_passing, .. } = self.refused?;
        left_alone
            .is_some_and(|(_, until)| now < until)
            .then_some((condition, is_passing && now < since + limits.patience))
    }

    /// Where something waits, when it is tried again, if the domain is left alone until `failed`; otherwise when that it was refused is of no
    /// more interest.
    fn tried_at(&self, failed: Option<Instant>) -> Option<Instant> {
        let refused = self.refused.and_then(|refused| refused.left_alone);
        match self.is_waiting() {
            true => refused.map(|(_, until)| until).max(failed),
            false => refused.map(|(at, until)| until + (until - at)),
        }
    }

    /// Whether a stream takes it, or is about to.
    pub(super) fn has_stream(&self) -> bool {
        matches!(self.state, State::Opening(_) | State::Ready(_))
    }

    /// Whether nothing waits, and nothing is on its way.
    fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.under_way == 0
    }
}

impl Peer {
    pub(super) fn new(now: Instant) -> Self {
        Peer {
            finding: Finding::Idle,
            failures: 0,
            failing_since: None,
            left_alone: None,
            pairs: BTreeMap::new(),
            links: Vec::new(),
            keys: Vec::new(),
            keys_wait_until: None,
            incoming: VecDeque::new(),
            pace: Pace::NEW,
            subscriptions: Bucket::FULL,
            drops_logged: false,
            counts: None,
            used: now,
            armed: Armed::default(),
        }
    }

    /// Whether nothing is lost by forgetting it.
    pub(super) fn is_idle(&self) -> bool {
        matches!(self.finding, Finding::Idle)
            && self.links.is_empty()
            && self.keys.is_empty()
            && self.incoming.is_empty()
            && self.pairs.values().all(Pair::is_empty)
    }

    /// Whether nothing but a failure is known of it.
    pub(super) fn is_failed_only(&self) -> bool {
        matches!(self.finding, Finding::Failed { .. })
            && self.links.is_empty()
            && self.keys.is_empty()
            && self.incoming.is_empty()
            && self.pairs.values().all(Pair::is_empty)
    }

    /// When something has to be done about it even if nothing happens.
    pub(super) fn due(&self, limits: &FederationLimits) -> Option<Instant> {
        let finding = match self.finding {
            Finding::Resolving(until) => Some(until),
            // It is remembered for as long again, so that the next failure counts as another.
            Finding::Failed { at, until, .. } if !self.is_waited_for() => Some(until + (until - at)),
            Finding::Idle | Finding::Queued | Finding::Failed { .. } => None,
        };
        let pairs = self.pairs.values().filter(|pair| !pair.queue.is_empty());
        let tried = self.pairs.values().filter_map(|pair| pair.tried_at(self.failed_until()));
        let pairs = pairs.map(|pair| pair.since + limits.patience).chain(tried);
        pairs.chain(finding).chain(self.keys_wait_until).min()
    }

    /// Whether stanzas wait for it to be found.
    pub(super) fn is_waited_for(&self) -> bool {
        self.pairs.values().any(Pair::is_waiting)
    }

    /// The domains of ours of which something waits for it to be found.
    pub(super) fn waiting(&self) -> Vec<BareJid> {
        self.pairs.iter().filter(|(_, pair)| pair.is_waiting()).map(|(ours, _)| ours.clone()).collect()
    }

    /// It could not be reached once more: how long it is left alone. `is_passing`: that may be over in a moment. Where it is left alone
    /// already it stays so for as long: whoever shows keys in its name decides how often it is tried to ask it about them, and not when what
    /// waits for it is tried again.
    pub(super) fn fail(
        &mut self,
        now: Instant,
        condition: ErrorCondition,
        is_passing: bool,
        limits: &FederationLimits,
    ) {
        let known = self.left_alone.filter(|(_, until)| now < *until);
        let (at, until) = known.unwrap_or_else(|| {
            let until = now + backoff(self.failures, limits);
            self.failures = self.failures.saturating_add(1).min(31);
            (now, until)
        });
        self.left_alone = Some((at, until));
        self.failing_since.get_or_insert(now);
        self.finding = Finding::Failed { at, until, condition, is_passing };
    }

    /// What those are told who send something there now, since it could not be reached a moment ago, and whether what need not be answered
    /// soon may wait until it is tried again. It may as long as the domain has not been away for longer than stanzas wait.
    pub(super) fn failure(&self, now: Instant, limits: &FederationLimits) -> Option<(ErrorCondition, bool)> {
        let Finding::Failed { until, condition, is_passing, .. } = self.finding else { return None };
        let is_away = self.failing_since.is_some_and(|since| now >= since + limits.patience);
        (now < until).then_some((condition, is_passing && !is_away))
    }

    /// The same of what goes there from one of our domains, which it may not take.
    pub(super) fn failure_of(
        &self,
        ours: &BareJid,
        now: Instant,
        limits: &FederationLimits,
    ) -> Option<(ErrorCondition, bool)> {
        let refusal = || self.pairs.get(ours)?.refusal(now, limits);
        self.failure(now, limits).or_else(refusal)
    }

    /// Until when it is left alone, if it could not be reached.
    fn failed_until(&self) -> Option<Instant> {
        if let Finding::Failed { until, .. } = self.finding { Some(until) } else { None }
    }

    /// The domains of ours for which something waits, and which are to be tried again. Those whose refusal is of no more interest are as new.
    pub(super) fn tried_again(&mut self, now: Instant) -> Vec<BareJid> {
        let (mut again, failed) = (Vec::new(), self.failed_until());
        for (ours, pair) in &mut self.pairs {
            match pair.tried_at(failed).is_some_and(|at| at <= now) {
                true if pair.is_waiting() => again.push(ours.clone()),
                true => pair.refused = None,
                false => {}
            }
        }
        again
    }

    /// That it could not be reached is of no more interest, if it was left alone for long enough, and nothing waits for it.
    pub(super) fn forget_failure(&mut self, now: Instant) {
        if let Finding::Failed { at, until, .. } = self.finding
            && now >= until + (until - at)
            && !self.is_waited_for()
        {
            self.revive();
        }
    }

    /// It lives.
    pub(super) fn revive(&mut self) {
        self.has_not_failed();
        if matches!(self.finding, Finding::Failed { .. }) {
            self.finding = Finding::Idle;
        }
    }

    /// The next failure is the first.
    pub(super) fn has_not_failed(&mut self) {
        (self.failures, self.failing_since, self.left_alone) = (0, None, None);
    }
}

/// How long a domain is left alone that has failed so often before.
fn backoff(times: u32, limits: &FederationLimits) -> Duration {
    let factor = 1_u32.checked_shl(times).unwrap_or(u32::MAX);
    limits.backoff.saturating_mul(factor).min(limits.most_backoff)
}
