//! When to ask the peer what it has got (XEP-0198 section 4).

use core::time::Duration;

use balcony_machine::Instant;

/// When the owner of a stream asks its peer for an acknowledgement: after so many stanzas, or so long after the first of them.
///
/// The more often, the less has to be kept to be sent again, and the more a peer's radio has to say that it would not say
/// otherwise. A burst costs one `<r/>` for every `stanzas`, a stanza alone one after `after`, and silence none. What is sent
/// so soon after a burst is asked for after a twentieth of it: these may be its last, and what comes next may wait for them, as stored messages do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AckPolicy {
    /// Stanzas, at least one.
    pub stanzas: u32,
    /// How long a stanza waits for others that go along in the count. With zero each is asked for at once.
    pub after: Duration,
}

impl Default for AckPolicy {
    /// After ten stanzas, or a second.
    fn default() -> Self {
        AckPolicy { stanzas: 10, after: Duration::from_secs(1) }
    }
}

/// An [`AckPolicy`] at work on one stream. It is its owner's: tell it what is [sent](AckPace::sent), and when it is
/// [due](AckPace::is_due), ask and [say so](AckPace::asked).
///
/// ```
/// use core::time::Duration;
/// use balcony_machine::Instant;
/// use balcony_stream::{AckPace, AckPolicy};
///
/// let mut pace = AckPace::new(AckPolicy { stanzas: 2, after: Duration::from_secs(1) });
/// let now = Instant::ZERO;
/// pace.sent(now);
/// assert!(!pace.is_due(now) && pace.deadline() == Some(now + Duration::from_secs(1)));
/// pace.sent(now);
/// assert!(pace.is_due(now));
/// pace.asked();
/// assert_eq!(pace.deadline(), None);
/// ```
#[derive(Clone, Debug)]
pub struct AckPace {
    policy: AckPolicy,
    /// Stanzas since the peer was asked last, and when it is to be asked again.
    waiting: Option<(u32, Instant)>,
    /// Until when what is sent is behind a burst.
    burst: Instant,
}

/// The last few of a burst wait for this part of the time.
const TAIL: u32 = 20;

impl AckPace {
    /// Nothing has been sent yet.
    #[must_use]
    pub fn new(policy: AckPolicy) -> AckPace {
        AckPace { policy, waiting: None, burst: Instant::ZERO }
    }

    /// A stanza has been sent that counts.
    pub fn sent(&mut self, now: Instant) {
        let after = if now < self.burst { self.policy.after / TAIL } else { self.policy.after };
        let (count, at) = self.waiting.unwrap_or((0, now + after));
        let count = count.saturating_add(1);
        let is_burst = count >= self.policy.stanzas;
        if is_burst {
            self.burst = now + self.policy.after;
        }
        self.waiting = Some((count, if is_burst { at.min(now) } else { at }));
    }

    /// The peer is asked now.
    pub fn asked(&mut self) {
        self.waiting = None;
    }

    /// Whether to ask now.
    #[must_use]
    pub fn is_due(&self, now: Instant) -> bool {
        self.deadline().is_some_and(|at| at <= now)
    }

    /// When to ask.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.waiting.map(|(_, at)| at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // A part of stored mail is a burst, of which the last few are fewer than are asked for at once. The next part waits for them.
    #[test]
    fn the_last_of_a_burst_are_asked_for_soon() {
        let mut pace = AckPace::new(AckPolicy::default());
        let (mut now, second) = (Instant::ZERO, Duration::from_secs(1));
        for _ in 0..10 {
            pace.sent(now);
        }
        assert!(pace.is_due(now));
        pace.asked();
        now = now + Duration::from_millis(10);
        for _ in 0..3 {
            pace.sent(now);
        }
        assert!(!pace.is_due(now));
        assert_eq!(pace.deadline(), Some(now + second / 20));
        pace.asked();
        // Later a stanza alone waits for others again.
        now = now + second;
        pace.sent(now);
        assert_eq!(pace.deadline(), Some(now + second));
    }
}
