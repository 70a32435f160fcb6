use core::time::Duration;

use balcony_machine::{Instant, Seed};
use tokio::time;

/// The runtime's clock, counted from a start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(time::Instant);

impl Clock {
    pub(crate) fn start() -> Self {
        Clock(time::Instant::now())
    }

    pub(crate) fn now(self) -> Instant {
        Instant::from_elapsed(self.0.elapsed())
    }

    /// When the runtime's clock shows `at`.
    pub(crate) fn at(self, at: Instant) -> time::Instant {
        let far = Duration::from_secs(365 * 86_400);
        self.0 + Duration::from_nanos(at.as_nanos()).min(far)
    }
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
