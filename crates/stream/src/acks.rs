//! When to ask the peer what it has got (XEP-0198 section 4).

use core::time::Duration;

use balcony_machine::Instant;

/// When the owner of a stream asks its peer for an acknowledgement: after so many stanzas, or so long after the first of them.
///
/// The more often, the less has to be kept to be sent again, and the more a peer's radio has to say that it would not say
/// otherwise. A burst costs one `<r/>` for every `stanzas`, a stanza alone one after `after`, and silence none.
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
}

impl AckPace {
    /// Nothing has been sent yet.
    #[must_use]
    pub fn new(policy: AckPolicy) -> AckPace {
        AckPace { policy, waiting: None }
    }

    /// A stanza has been sent that counts.
    pub fn sent(&mut self, now: Instant) {
        let (count, at) = self.waiting.unwrap_or((0, now + self.policy.after));
        let count = count.saturating_add(1);
        self.waiting = Some((count, if count >= self.policy.stanzas { at.min(now) } else { at }));
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
