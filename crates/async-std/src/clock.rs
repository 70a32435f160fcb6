use core::time::Duration;
use std::time;

use async_io::Timer;
use balcony_machine::{Instant, Seed};
use futures_lite::future::{or, pending};

/// The clock of the timers, counted from a start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(time::Instant);

impl Clock {
    pub(crate) fn start() -> Self {
        Clock(time::Instant::now())
    }

    pub(crate) fn now(self) -> Instant {
        Instant::from_elapsed(self.0.elapsed())
    }

    /// Waits until the clock shows `at`, or for ever.
    pub(crate) async fn wait(self, at: Option<Instant>) {
        // Further away than a timer can be, it does not matter.
        match at.and_then(|at| self.0.checked_add(Duration::from_nanos(at.as_nanos()))) {
            Some(at) => drop(Timer::at(at).await),
            None => pending().await,
        }
    }
}

/// What comes of `future` if that takes no longer than this.
pub(crate) async fn timeout<T>(most: Duration, future: impl Future<Output = T>) -> Option<T> {
    or(async { Some(future.await) }, async {
        Timer::after(most).await;
        None
    })
    .await
}

/// Randomness of the operating system.
///
/// # Panics
///
/// If it has none: nothing secret can be made then.
pub(crate) fn seed() -> Seed {
    let mut bytes = [0; 32];
    if let Err(error) = getrandom::fill(&mut bytes) {
        panic!("the operating system has no randomness: {error}");
    }
    Seed::new(bytes)
}
