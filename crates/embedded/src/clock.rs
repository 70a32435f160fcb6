//! Time on a device.

use core::future::Future;
#[cfg(any(feature = "embassy", test))]
use core::time::Duration;

use balcony_machine::Instant;

/// A clock that never runs backwards, nor around, and that nobody sets.
pub trait Clock {
    /// The time since a start of its choice.
    fn now(&self) -> Instant;

    /// Waits until then; not at all if that is over. It may be dropped before.
    fn wait_until(&self, at: Instant) -> impl Future<Output = ()>;
}

impl<C: Clock> Clock for &C {
    fn now(&self) -> Instant {
        C::now(self)
    }

    fn wait_until(&self, at: Instant) -> impl Future<Output = ()> {
        C::wait_until(self, at)
    }
}

/// The clock and timers of embassy, whose driver the program brings.
#[cfg(feature = "embassy")]
#[derive(Clone, Copy, Debug, Default)]
pub struct EmbassyClock;

#[cfg(feature = "embassy")]
impl Clock for EmbassyClock {
    fn now(&self) -> Instant {
        instant(embassy_time::Instant::now().as_ticks(), embassy_time::TICK_HZ)
    }

    async fn wait_until(&self, at: Instant) {
        embassy_time::Timer::at(embassy_time::Instant::from_ticks(ticks(at, embassy_time::TICK_HZ))).await;
    }
}

#[cfg(any(feature = "embassy", test))]
const NANOS: u64 = 1_000_000_000;

/// The time after so many ticks, of which a second has `hertz`, at most a billion; rounded up.
#[cfg(any(feature = "embassy", test))]
fn instant(ticks: u64, hertz: u64) -> Instant {
    let nanos = (ticks % hertz * NANOS).div_ceil(hertz);
    Instant::from_elapsed(Duration::from_secs(ticks / hertz) + Duration::from_nanos(nanos))
}

/// The first tick that is not before this time.
#[cfg(any(feature = "embassy", test))]
fn ticks(at: Instant, hertz: u64) -> u64 {
    let nanos = at.as_nanos();
    nanos / NANOS * hertz + (nanos % NANOS * hertz).div_ceil(NANOS)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        // Whoever waits until a time does not wake up before it, or they would go round and round until it has come; and no tick later than that.
        #[test]
        fn a_wait_ends_in_the_tick_of_its_time(
            nanos in 0..u64::MAX / 2,
            hertz in prop_oneof![Just(1), Just(1_000), Just(32_768), Just(1_000_000), Just(NANOS)],
        ) {
            let at = Instant::from_nanos(nanos);
            let tick = ticks(at, hertz);
            prop_assert!(instant(tick, hertz) >= at);
            prop_assert!(tick == 0 || instant(tick - 1, hertz) <= at);
        }
    }
}
