//! How long things took: percentiles of many times, in memory that does not grow with them.

use core::time::Duration;

use serde::Serialize;

/// Steps between a power of two and the next one: a time is known within 1.6 percent.
const STEPS: u64 = 64;

/// Times, counted by how long they are.
#[derive(Clone, Debug, Default)]
pub(crate) struct Histogram {
    counts: Vec<u64>,
    total: u64,
    longest: Duration,
}

/// What is told of them, in milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Percentiles {
    pub(crate) count: u64,
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    pub(crate) max: f64,
}

impl Histogram {
    pub(crate) fn add(&mut self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let place = place(nanos);
        if self.counts.len() <= place {
            self.counts.resize(place + 1, 0);
        }
        self.counts[place] += 1;
        self.total += 1;
        self.longest = self.longest.max(time);
    }

    /// `None` if there are no times.
    pub(crate) fn percentiles(&self) -> Option<Percentiles> {
        let millis = |share: f64| {
            let rank = ((self.total as f64 * share).ceil() as u64).max(1);
            let mut seen = 0;
            let place = self.counts.iter().position(|count| {
                seen += count;
                seen >= rank
            });
            let most = self.longest.as_secs_f64() * 1e3;
            place.map_or(most, |place| (end(place) as f64 / 1e6).min(most))
        };
        (self.total > 0).then(|| Percentiles {
            count: self.total,
            p50: millis(0.5),
            p90: millis(0.9),
            p99: millis(0.99),
            p999: millis(0.999),
            max: self.longest.as_secs_f64() * 1e3,
        })
    }
}

/// Where a time is counted.
fn place(nanos: u64) -> usize {
    let shift = (u64::BITS - (nanos / STEPS).leading_zeros()).saturating_sub(1);
    let place = if nanos < STEPS { nanos } else { u64::from(shift) * STEPS + (nanos >> shift) };
    usize::try_from(place).unwrap_or(usize::MAX)
}

/// The longest time that is counted there.
fn end(place: usize) -> u64 {
    let place = place as u64;
    if place < STEPS {
        return place;
    }
    let shift = place / STEPS - 1;
    (((place % STEPS + STEPS + 1) as u128) << shift).saturating_sub(1).min(u128::from(u64::MAX)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_counted_where_it_belongs() {
        for nanos in (0..10_000).chain([1 << 20, (1 << 40) - 1, u64::MAX / 3, u64::MAX]) {
            let (place, most) = (place(nanos), end(place(nanos)));
            assert!(most >= nanos && most - nanos <= nanos / STEPS, "{nanos}: {place}, {most}");
            assert!(place == 0 || end(place - 1) < nanos, "{nanos}");
        }
    }

    #[test]
    fn percentiles_are_those_of_the_times() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.percentiles(), None);
        (1..=1000).for_each(|millis| histogram.add(Duration::from_millis(millis)));
        let percentiles = histogram.percentiles().unwrap();
        let near = |is: f64, wanted: f64| assert!((is / wanted - 1.0).abs() < 0.02, "{is} {wanted}");
        near(percentiles.p50, 500.0);
        near(percentiles.p90, 900.0);
        near(percentiles.p99, 990.0);
        near(percentiles.p999, 999.0);
        assert_eq!((percentiles.max, percentiles.count), (1000.0, 1000));
    }
}
