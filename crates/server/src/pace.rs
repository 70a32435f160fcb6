//! How fast something may come (RFC 6120 section 13.12): bytes of a peer, and attempts of an address. What happens to that which
//! comes too fast is decided by those who count.

use core::time::Duration;

use balcony_machine::Instant;

/// How much may come at once after a rest, in time.
const BURST: Duration = Duration::from_secs(1);
const SECOND: u128 = 1_000_000_000;

/// A token bucket: how fast a peer may send (RFC 6120 section 13.12).
///
/// Bytes that have come are paid for with time. Who is in debt by more than [`BURST`] is not read from until it is less.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// When all bytes are paid for.
    paid: Instant,
}

impl Pace {
    pub(crate) const NEW: Pace = Pace { paid: Instant::ZERO };

    /// These bytes have come.
    pub(crate) fn pay(&mut self, now: Instant, bytes: usize, per_second: u32) {
        let nanos = bytes as u128 * SECOND / u128::from(per_second.max(1));
        self.paid = self.paid.max(now) + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
    }

    /// When more may come, if not now.
    pub(crate) fn wait(&self, now: Instant) -> Option<Instant> {
        let burst = u64::try_from(BURST.as_nanos()).unwrap_or(u64::MAX);
        let at = Instant::from_nanos(self.paid.as_nanos().saturating_sub(burst));
        (at > now).then_some(at)
    }
}

/// How many at once, and then one in each of these times.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    pub(crate) burst: u32,
    pub(crate) each: Duration,
}

/// A bucket of tokens, told by when it will be full again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket(Instant);

impl Bucket {
    pub(crate) const FULL: Bucket = Bucket(Instant::ZERO);

    /// What is left when one is taken, if there is one.
    pub(crate) fn without_one(self, now: Instant, rate: Rate) -> Option<Bucket> {
        let full = self.0.max(now) + rate.each;
        (full <= now + rate.each.saturating_mul(rate.burst)).then_some(Bucket(full))
    }

    /// What there is when one that was taken is put back.
    pub(crate) fn with_one(self, rate: Rate) -> Bucket {
        let each = u64::try_from(rate.each.as_nanos()).unwrap_or(u64::MAX);
        Bucket(Instant::from_nanos(self.0.as_nanos().saturating_sub(each)))
    }

    pub(crate) fn is_full(&self, now: Instant) -> bool {
        self.0 <= now
    }
}
