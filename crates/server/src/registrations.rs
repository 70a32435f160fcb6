//! How fast accounts may be registered (XEP-0077 section 14): from one address, and in total.

use alloc::collections::BTreeMap;
use core::net::IpAddr;
use core::time::Duration;

use balcony_machine::Instant;

use crate::pace::{Bucket, Rate};

/// From one address so many at once, and one more in each of these times.
const OF_ONE: Rate = Rate { burst: 20, each: Duration::from_secs(60) };
/// In total.
const OF_ALL: Rate = Rate { burst: 1_000, each: Duration::from_secs(1) };
/// Addresses that are remembered at most; past it all who are not remembered wait for some of them to be forgotten.
const REMEMBERED: usize = 10_000;

/// The log is told of what strangers can bring about at will no more often.
const SILENCE: Duration = Duration::from_secs(60);

/// Who has registered accounts lately.
#[derive(Debug)]
pub(crate) struct Registrations {
    all: Bucket,
    from: BTreeMap<IpAddr, Bucket>,
    /// When the log was told that some are refused.
    told: Option<Instant>,
}

impl Default for Registrations {
    fn default() -> Self {
        Registrations { all: Bucket::FULL, from: BTreeMap::new(), told: None }
    }
}

impl Registrations {
    /// Whether one more account may be registered from there; if so, it counts, until it is [given back](Registrations::give_back).
    /// Those from nowhere in particular, such as this machine, count in total only.
    pub(crate) fn take(&mut self, now: Instant, origin: Option<IpAddr>) -> bool {
        let Some(all) = self.all.without_one(now, OF_ALL) else { return false };
        if let Some(origin) = origin {
            if self.from.len() >= REMEMBERED {
                self.from.retain(|_, bucket| !bucket.is_full(now));
            }
            let known = self.from.get(&origin).copied();
            if known.is_none() && self.from.len() >= REMEMBERED {
                return false;
            }
            let Some(left) = known.unwrap_or(Bucket::FULL).without_one(now, OF_ONE) else { return false };
            self.from.insert(origin, left);
        }
        self.all = all;
        true
    }

    /// Whether the log is to be told that one was refused: it is once in a while only, since others can do that as often as they like.
    pub(crate) fn is_refusal_news(&mut self, now: Instant) -> bool {
        is_news(&mut self.told, now)
    }

    /// One that was taken has made no account: it is there for others again. If that was nobody's fault there it is for the same
    /// address, too; but who tries names that have owners finds out which those are, and does not do so for ever.
    pub(crate) fn give_back(&mut self, origin: Option<IpAddr>, is_fault: bool) {
        self.all = self.all.with_one(OF_ALL);
        if let Some(bucket) = origin.filter(|_| !is_fault).and_then(|origin| self.from.get_mut(&origin)) {
            *bucket = bucket.with_one(OF_ONE);
        }
    }
}

/// Whether it is so long since the log was told of something that it may be told again.
pub(crate) fn is_news(told: &mut Option<Instant>, now: Instant) -> bool {
    let is_news = told.is_none_or(|at| now.saturating_since(at) >= SILENCE);
    if is_news {
        *told = Some(now);
    }
    is_news
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u32) -> Option<IpAddr> {
        Some(IpAddr::V4(core::net::Ipv4Addr::from_bits(0xc000_0200 + last)))
    }

    // XEP-0077 2.4 §14
    #[test]
    fn one_address_gets_only_so_many() {
        let (mut registrations, mut now) = (Registrations::default(), Instant::from_millis(7));
        let mut taken = |now, from, tries: u32| (0..tries).filter(|_| registrations.take(now, from)).count();
        assert_eq!(taken(now, address(1), 100), 20);
        assert_eq!(taken(now, address(2), 5), 5);
        now = now + Duration::from_secs(180);
        assert_eq!(taken(now, address(1), 100), 3);
        now = now + Duration::from_secs(86_400);
        assert_eq!(taken(now, address(1), 100), 20);
    }

    #[test]
    fn all_together_get_only_so_many() {
        let (mut registrations, now) = (Registrations::default(), Instant::ZERO);
        let taken = (0..3_000).filter(|&last| registrations.take(now, address(last))).count();
        assert_eq!(taken, 1_000);
        assert_eq!((0..10).filter(|_| registrations.take(now + Duration::from_secs(2), None)).count(), 2);
    }

    // What is refused because of others costs an address nothing, nor is the address remembered.
    #[test]
    fn what_is_refused_is_not_counted() {
        let (mut registrations, now) = (Registrations::default(), Instant::ZERO);
        assert_eq!((0..1_000).filter(|_| registrations.take(now, None)).count(), 1_000);
        assert!((0..3_000).all(|last| !registrations.take(now, address(last))));
        assert!(registrations.from.is_empty());
        let later = now + Duration::from_secs(20);
        assert_eq!((0..30).filter(|_| registrations.take(later, address(1))).count(), 20);
    }

    // Whoever is refused can't fill the log.
    #[test]
    fn the_log_hears_of_refusals_once_a_minute() {
        let (mut registrations, now) = (Registrations::default(), Instant::from_millis(7));
        let news =
            (0..600).filter(|tenth| registrations.is_refusal_news(now + Duration::from_millis(200) * *tenth));
        assert_eq!(news.count(), 2);
    }

    // Whoever makes no account costs nobody one: neither all together, nor, if it was not for a fault of theirs, others at the same address.
    #[test]
    fn what_has_failed_is_not_counted() {
        let (mut registrations, now) = (Registrations::default(), Instant::from_millis(7));
        for origin in [address(1), None] {
            for _ in 0..5_000 {
                assert!(registrations.take(now, origin));
                registrations.give_back(origin, false);
            }
            assert!(registrations.take(now, origin));
        }
        assert_eq!((0..30).filter(|_| registrations.take(now, address(1))).count(), 19);
        assert_eq!((0..2_000).filter(|_| registrations.take(now, None)).count(), 1_000 - 2 - 19);
    }

    // Who looks for names that are taken is slow.
    #[test]
    fn names_are_not_tried_for_ever() {
        let (mut registrations, now) = (Registrations::default(), Instant::from_millis(7));
        let mut tries = |origin| {
            let took = |registrations: &mut Registrations| registrations.take(now, origin);
            let fails =
                |_: &u32| took(&mut registrations).then(|| registrations.give_back(origin, true)).is_some();
            (0..3_000).take_while(fails).count()
        };
        assert_eq!((tries(address(1)), tries(None)), (20, 3_000));
        assert!(registrations.take(now, address(2)));
    }

    // What is remembered is bounded, and forgotten when it says nothing any more.
    #[test]
    fn addresses_are_forgotten() {
        let mut registrations = Registrations::default();
        for second in 0..30_000_u32 {
            let now = Instant::ZERO + Duration::from_secs(second.into());
            assert!(registrations.take(now, address(second)));
            assert!(registrations.from.len() <= REMEMBERED);
        }
    }
}
