//! Time as an argument: instants of a clock that the caller reads, and the deadlines at which a machine wants to be called. Dates
//! are another matter: they come with the answers of a store.

use core::fmt;
use core::ops::{Add, Sub};
use core::time::Duration;

/// A point on a monotonic clock, in nanoseconds since a start that the caller chose.
///
/// Every call into a machine carries one. Within the life of a machine it must not run backwards; a machine that
/// is handed an earlier instant treats it as no time having passed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// The start of the caller's clock.
    pub const ZERO: Instant = Instant(0);

    /// The instant `nanos` nanoseconds after [`Instant::ZERO`].
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Instant(nanos)
    }

    /// The instant `millis` milliseconds after [`Instant::ZERO`]. Saturates after 584 years.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Instant(millis.saturating_mul(1_000_000))
    }

    /// The instant `elapsed` after [`Instant::ZERO`]: what an adapter passes, from its runtime's clock. Saturates.
    #[must_use]
    pub fn from_elapsed(elapsed: Duration) -> Self {
        Instant(u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX))
    }

    /// Nanoseconds since [`Instant::ZERO`].
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// How long after `earlier` this is; zero if it is not after it.
    #[must_use]
    pub const fn saturating_since(self, earlier: Instant) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Instant;

    /// Saturates at the end of the clock.
    fn add(self, length: Duration) -> Instant {
        Instant(self.0.saturating_add(u64::try_from(length.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl Sub for Instant {
    type Output = Duration;

    fn sub(self, earlier: Instant) -> Duration {
        self.saturating_since(earlier)
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "+{:?}", Duration::from_nanos(self.0))
    }
}

/// When a machine wants to be called again even if no input arrives, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline {
    /// The instant at or after which to call.
    pub at: Instant,
    /// What will happen then.
    pub reason: Reason,
}

/// Why a [`Deadline`] stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// The peer must have finished negotiating by then (TLS, SASL, binding).
    Negotiation,
    /// The peer must have answered our closing tag by then (RFC 6120 section 4.4).
    Closing,
    /// The peer has been silent; it is asked or dropped then (RFC 6120 section 4.6).
    Idle,
    /// An ask must have been answered by then.
    Answer,
    /// A request to the peer must have been answered by then.
    Request,
    /// The peer's certificate expires then (RFC 6120 section 13.7.2.3).
    Certificate,
}
