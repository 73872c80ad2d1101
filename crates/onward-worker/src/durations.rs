use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The upper bounds of a worker's histogram: from a millisecond to a quarter of an hour.
pub const BUCKETS: [Duration; 17] = [
    Duration::from_millis(1),
    Duration::from_micros(2_500),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_millis(2_500),
    Duration::from_secs(5),
    Duration::from_secs(10),
    Duration::from_secs(30),
    Duration::from_secs(60),
    Duration::from_secs(300),
    Duration::from_secs(900),
];

/// How long handlers took: how many of their runs fell into each of [`BUCKETS`].
///
/// ```
/// use std::time::Duration;
/// use onward_worker::Durations;
///
/// let mut durations = Durations::default();
/// durations.counts[3] = 90; // up to 10 ms
/// durations.counts[9] = 10; // up to 1 s
/// assert_eq!(durations.count(), 100);
/// assert!(durations.quantile(0.5).unwrap() <= Duration::from_millis(10));
/// assert!(durations.quantile(0.99).unwrap() > Duration::from_millis(500));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Durations {
    /// How many runs were longer than the bucket before and not longer than this one; the last one counts the longest.
    pub counts: [u64; BUCKETS.len() + 1],
    /// The sum of all, in microseconds.
    pub sum_us: u64,
}

impl Durations {
    /// How many runs were measured.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The duration that a share of the runs did not exceed, as far as the buckets tell: within one of them the runs count as spread
    /// evenly. None if nothing was measured.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        let rank = share.clamp(0.0, 1.0) * self.count() as f64;
        let (mut below, mut from) = (0.0, Duration::ZERO);
        for (index, count) in self.counts.iter().enumerate() {
            let to = BUCKETS.get(index).copied().unwrap_or(from);
            if *count > 0 && below + *count as f64 >= rank {
                let within = ((rank - below) / *count as f64).clamp(0.0, 1.0);
                return Some(from + (to - from).mul_f64(within));
            }
            below += *count as f64;
            from = to;
        }
        None
    }

    /// What was measured since an earlier look.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut counts = self.counts;
        for (count, before) in counts.iter_mut().zip(earlier.counts) {
            *count = count.saturating_sub(before);
        }
        Self { counts, sum_us: self.sum_us.saturating_sub(earlier.sum_us) }
    }
}

/// The durations while they are written, by every task at once.
#[derive(Debug, Default)]
pub(crate) struct Measured {
    counts: [AtomicU64; BUCKETS.len() + 1],
    sum_us: AtomicU64,
}

impl Measured {
    pub(crate) fn add(&self, duration: Duration) {
        let bucket = BUCKETS.partition_point(|bound| *bound < duration);
        self.counts[bucket].fetch_add(1, Ordering::Relaxed);
        let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.sum_us.fetch_add(us, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> Durations {
        let mut durations = Durations::default();
        for (count, measured) in durations.counts.iter_mut().zip(&self.counts) {
            *count = measured.load(Ordering::Relaxed);
        }
        durations.sum_us = self.sum_us.load(Ordering::Relaxed);
        durations
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_falls_into_the_first_bucket_that_holds_it() {
        let measured = Measured::default();
        for duration in [Duration::ZERO, BUCKETS[0], BUCKETS[0] + Duration::from_nanos(1), Duration::MAX] {
            measured.add(duration);
        }
        let counts = measured.read().counts;
        assert_eq!((counts[0], counts[1], counts[BUCKETS.len()]), (2, 1, 1));
    }

    #[test]
    fn quantiles_lie_within_their_bucket_and_need_a_measurement() {
        let measured = Measured::default();
        assert_eq!(measured.read().quantile(0.5), None);
        let before = measured.read();
        measured.add(Duration::from_millis(7));
        let since = measured.read().since(&before);
        for share in [0.0, 0.5, 1.0] {
            let quantile = since.quantile(share).expect("one was measured");
            assert!((BUCKETS[2]..=BUCKETS[3]).contains(&quantile), "{quantile:?}");
        }
        measured.add(Duration::from_secs(5_000));
        assert_eq!(measured.read().quantile(1.0), Some(BUCKETS[16]), "the last bound is all that is known");
    }
}
