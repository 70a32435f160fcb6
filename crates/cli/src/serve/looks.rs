//! When a server that runs looks whether its certificate has to be renewed.

use core::time::Duration;
use std::time::SystemTime;

use tokio::time::{Instant, Interval, MissedTickBehavior};

/// How often it looks.
const LOOK: Duration = Duration::from_secs(43_200);
/// How often it finds out whether the clock of the machine has been set.
const CLOCK: Duration = Duration::from_secs(60);
/// By how much, at least. Less is of no account to certificates, which are made for a day more.
const SET: Duration = Duration::from_secs(3_600);

/// When to look: twice a day, and when the clock has been set, as that of a machine without a battery is some time after it has started.
pub(super) struct Looks {
    ticks: Interval,
    times: Times,
}

impl Looks {
    pub(super) fn new() -> Looks {
        let now = Instant::now();
        let mut ticks = tokio::time::interval_at(now + CLOCK, CLOCK);
        // A machine that has slept looks late, not many times at once.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Looks { ticks, times: Times { looked: now, before: (SystemTime::now(), now) } }
    }

    /// Waits until it is time. It may be dropped and called again.
    pub(super) async fn next(&mut self) {
        loop {
            let now = self.ticks.tick().await;
            if self.times.is_due(SystemTime::now(), now.max(Instant::now())) {
                return;
            }
        }
    }
}

struct Times {
    looked: Instant,
    /// By both clocks.
    before: (SystemTime, Instant),
}

impl Times {
    fn is_due(&mut self, clock: SystemTime, now: Instant) -> bool {
        let expected = now.duration_since(self.before.1);
        let off = match clock.duration_since(self.before.0) {
            Ok(forward) => forward.abs_diff(expected),
            Err(back) => back.duration().saturating_add(expected),
        };
        self.before = (clock, now);
        let is_due = off >= SET || now.duration_since(self.looked) >= LOOK;
        if is_due {
            self.looked = now;
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_time_twice_a_day_and_when_the_clock_is_set() {
        let (mut now, mut clock) = (Instant::now(), SystemTime::UNIX_EPOCH);
        let mut times = Times { looked: now, before: (clock, now) };
        // Passes a minute, in which the clock is set by so many seconds.
        let mut minute = |set: i64| {
            now += CLOCK;
            clock += CLOCK;
            match set < 0 {
                true => clock -= Duration::from_secs(set.unsigned_abs()),
                false => clock += Duration::from_secs(set.unsigned_abs()),
            }
            times.is_due(clock, now)
        };
        let day: Vec<u32> = (1..=24 * 60).filter(|_| minute(0)).collect();
        assert_eq!(day, [720, 1440]);
        assert!(!minute(1_800) && !minute(-1_800));
        // To today, and back to before 1970.
        assert!(minute(1_790_000_000) && !minute(0));
        assert!(minute(-2_000_000_000) && !minute(0));
        // Twelve hours from the last one.
        assert_eq!((1..=720).filter(|_| minute(0)).collect::<Vec<u32>>(), [719]);
    }
}
