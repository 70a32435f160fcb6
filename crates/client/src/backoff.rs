//! How long to wait before connecting again (RFC 6120 section 3.3). Whether that is of any use is for
//! [`ConnectError`](crate::ConnectError) to say, and the waiting itself is the owner's.

use core::time::Duration;

use balcony_machine::Random;

/// How long the first attempt to go on with a session waits at most. The range doubles with each, four times.
const HURRY: Duration = Duration::from_secs(2);
/// How long the first attempt waits at most after the server has said that it shuts down.
const SHUTDOWN: Duration = Duration::from_secs(20);
/// So many attempts are made like that: with a range of half a minute for most of them they take some ten minutes, and servers seldom keep a
/// session for longer.
const HURRIED: u32 = 32;
/// How long a session must have lasted at most so that the failure after it is a first one.
const LASTING: Duration = Duration::from_secs(30);

/// How long to wait before connecting again (RFC 6120 section 3.3): at random within the first minute, then, while it
/// keeps failing, within a range that doubles up to a bound. A server that ends every session soon after it has begun keeps
/// failing, too.
///
/// Where a session waits to [go on](Backoff::broken), the first attempt is made almost at once, and the others within half a minute.
#[derive(Clone, Debug)]
pub struct Backoff {
    failures: u32,
    /// Attempts to go on with a session since one has lasted.
    hurried: u32,
    first: Duration,
    most: Duration,
}

impl Default for Backoff {
    /// From one minute, as the RFC has it, to one hour.
    fn default() -> Self {
        Backoff::new(Duration::from_secs(60), Duration::from_secs(3600))
    }
}

impl Backoff {
    /// A backoff whose first wait is below `first` and whose longest is below `most`.
    #[must_use]
    pub const fn new(first: Duration, most: Duration) -> Self {
        Backoff { failures: 0, hurried: 0, first, most }
    }

    /// The connection has broken, or could not be made again, and the server keeps the session for a while (XEP-0198 section 5): how long to
    /// wait. The first time at most two seconds, at random, so that the clients of a network that was away for a moment do not all come in
    /// one; then within a range that doubles up to half a minute, and, when the session is likely to be over, as after any
    /// [failure](Backoff::failed). The minute of RFC 6120 section 3.3, which grows to an hour, is there to spare a server that has lost all of
    /// its clients at once, and has to log them in again; whoever goes on with a session costs little, and comes too late after that.
    pub fn broken(&mut self, random: &mut Random) -> Duration {
        if self.hurried >= HURRIED || self.failures > 0 {
            return self.failed(random);
        }
        let range = HURRY.min(self.first).saturating_mul(1 << self.hurried.min(4)).min(self.most);
        self.hurried += 1;
        within(range, random)
    }

    /// The server has said that it shuts down (RFC 6120 section 4.9.3.20), to all of its clients in the same moment, and keeps the session for
    /// a while: how long to wait. The first time at most twenty seconds, at random, so that they do not come back in one moment either; a
    /// session waits for longer. Then as for a connection that has [broken](Backoff::broken).
    pub fn shut_down(&mut self, random: &mut Random) -> Duration {
        if self.hurried >= HURRIED || self.failures > 0 {
            return self.failed(random);
        }
        self.hurried += 1;
        within(SHUTDOWN.min(self.first), random)
    }

    /// The connection has ended or could not be made: how long to wait.
    pub fn failed(&mut self, random: &mut Random) -> Duration {
        let range =
            self.first.saturating_mul(1_u32.checked_shl(self.failures).unwrap_or(u32::MAX)).min(self.most);
        self.failures = self.failures.saturating_add(1).min(31);
        within(range, random)
    }

    /// A session has ended that had lasted so long, from the bound resource on. If that was half a minute, or as long as the first wait
    /// may be where that is less, the next failure is a first one again: who wants to be back at once is not made to wait for what was
    /// long ago, and a server that lets everybody in and throws them out is left alone ever longer. Call [`failed`](Backoff::failed) after it
    /// in any case.
    pub fn lasted(&mut self, length: Duration) {
        if length >= LASTING.min(self.first) {
            (self.failures, self.hurried) = (0, 0);
        }
    }
}

/// At random, below this.
fn within(range: Duration, random: &mut Random) -> Duration {
    let nanos = u64::try_from(range.as_nanos()).unwrap_or(u64::MAX);
    Duration::from_nanos(if nanos == 0 { 0 } else { random.next_u64() % nanos })
}

#[cfg(test)]
mod tests {
    use balcony_machine::Seed;

    use super::*;

    // RFC 6120 §3.3 [C7]
    #[test]
    fn waits_grow_to_the_bound_and_start_over() {
        let mut random = Seed::from_u64(7).random();
        let mut longest = |backoff: &mut Backoff, skip: usize| {
            (0..200)
                .map(|_| {
                    let mut copy = backoff.clone();
                    (0..=skip).map(|_| copy.failed(&mut random)).last().unwrap()
                })
                .max()
                .unwrap()
        };
        let mut backoff = Backoff::default();
        let minute = Duration::from_secs(60);
        assert!(longest(&mut backoff, 0) < minute && longest(&mut backoff, 0) > minute / 2);
        assert!(longest(&mut backoff, 3) < 8 * minute && longest(&mut backoff, 3) > 4 * minute);
        assert!(longest(&mut backoff, 40) < 60 * minute && longest(&mut backoff, 40) > 30 * minute);
        for _ in 0..10 {
            backoff.failed(&mut Seed::from_u64(1).random());
        }
        // A server that lets everybody in and then throws them out is left alone ever longer.
        backoff.lasted(Duration::ZERO);
        backoff.lasted(Duration::from_secs(29));
        assert!(longest(&mut backoff, 0) > 30 * minute);
        backoff.lasted(Duration::from_secs(30));
        assert!(longest(&mut backoff, 0) < minute);

        let mut quick = Backoff::new(Duration::from_secs(2), minute);
        for (lasted, bound) in [(1, 2), (1, 4), (2, 2), (1, 4), (1, 8), (3, 2)] {
            quick.lasted(Duration::from_secs(lasted));
            let bound = Duration::from_secs(bound);
            let most = longest(&mut quick, 0);
            assert!(most < bound && most > bound / 2, "{most:?} after {lasted} s");
            quick.failed(&mut Seed::from_u64(3).random());
        }
    }

    #[test]
    fn a_session_that_can_go_on_is_tried_often() {
        let mut random = Seed::from_u64(7).random();
        let mut waits = vec![Duration::ZERO; HURRIED as usize + 1];
        for _ in 0..200 {
            let mut backoff = Backoff::default();
            for longest in &mut waits {
                *longest = backoff.broken(&mut random).max(*longest);
            }
            assert_eq!(backoff.failures, 1);
        }
        let seconds = |secs| Duration::from_secs(secs);
        assert!(waits[0] < seconds(2) && waits[0] > seconds(1));
        assert!(waits[1] < seconds(4) && waits[1] > seconds(2));
        let last = HURRIED as usize;
        assert!(waits[4..last].iter().all(|wait| (seconds(16)..seconds(32)).contains(wait)));
        assert!(waits[last] > seconds(32), "then it is a failure like any other");

        let mut short = Backoff::new(Duration::from_millis(100), seconds(1));
        assert!((0..HURRIED).all(|_| short.broken(&mut random) < seconds(1)));
        assert!(Backoff::new(Duration::ZERO, Duration::ZERO).broken(&mut random).is_zero());
    }
}
