//! Time and randomness as machines are given them: the clock of the runtime, and a seed of the operating system.

use core::future::poll_fn;
use core::pin::pin;
use core::task::Poll;
use core::time::Duration;
use std::time;

use balcony_machine::{Instant, Seed};

use crate::{Runtime, Timer as _};

/// The runtime's clock, counted from a start.
#[derive(Clone, Copy, Debug)]
pub struct Clock(time::Instant);

impl Clock {
    /// It starts now.
    pub fn start<R: Runtime>(runtime: &R) -> Self {
        Clock(runtime.now())
    }

    /// The time.
    #[must_use]
    pub fn now<R: Runtime>(self, runtime: &R) -> Instant {
        Instant::from_elapsed(runtime.now().saturating_duration_since(self.0))
    }

    /// When the runtime's clock shows `at`; if it can't show that, as far from the start as it can.
    #[must_use]
    pub fn at(self, at: Instant) -> time::Instant {
        let mut since = Duration::from_nanos(at.as_nanos());
        loop {
            match self.0.checked_add(since) {
                Some(at) => return at,
                None => since /= 2,
            }
        }
    }
}

/// What comes of `future` if that takes no longer than this.
pub async fn timeout<T>(
    runtime: &impl Runtime,
    most: Duration,
    future: impl Future<Output = T>,
) -> Option<T> {
    let (mut timer, until) = (runtime.timer(), runtime.now() + most);
    let mut future = pin!(future);
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(result) => Poll::Ready(Some(result)),
        Poll::Pending => timer.poll_until(cx, until).map(|()| None),
    })
    .await
}

/// Randomness of the operating system.
///
/// # Panics
///
/// If it has none: nothing secret can be made then.
#[must_use]
pub fn seed() -> Seed {
    let mut bytes = [0; 32];
    if let Err(error) = getrandom::fill(&mut bytes) {
        panic!("the operating system has no randomness: {error}");
    }
    Seed::new(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    // A clock that has run for years still shows what is to come, and what never comes is no panic.
    #[test]
    #[expect(clippy::disallowed_methods, reason = "the clock of this machine is as good as any")]
    fn times_far_away() {
        let clock = Clock(time::Instant::now());
        let years = |years: u64| Instant::from_nanos(years * 365 * 86_400 * 1_000_000_000);
        assert!(clock.at(years(3)) > clock.at(years(2)) && clock.at(years(2)) > clock.at(years(1)));
        assert!(clock.at(Instant::from_nanos(u64::MAX)) > clock.at(years(3)));
    }
}
