use std::time::Duration;

/// Delays that double with each failure up to a longest one, with jitter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Backoff {
    pub first: Duration,
    pub longest: Duration,
}

impl Backoff {
    /// The wait between calls to a queue that fails: never a busy loop, never long after the queue has recovered.
    pub(crate) const CALLS: Self =
        Self { first: Duration::from_millis(200), longest: Duration::from_secs(20) };

    /// The delay after `failures` failures in a row. A random half is taken off, so that what failed together does not
    /// come back together.
    pub(crate) fn delay(self, failures: u32) -> Duration {
        self.full(failures).mul_f64(0.5 + fastrand::f64() / 2.0)
    }

    fn full(self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(30);
        self.first.saturating_mul(1 << doublings).min(self.longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_longest_and_lose_at_most_half_to_jitter() {
        let backoff = Backoff { first: Duration::from_secs(1), longest: Duration::from_secs(900) };
        for (failures, full) in [(0, 1), (1, 1), (2, 2), (5, 16), (11, 900), (1000, 900), (u32::MAX, 900)] {
            let full = Duration::from_secs(full);
            for _ in 0..100 {
                let delay = backoff.delay(failures);
                assert!(delay >= full / 2 && delay <= full, "{failures}: {delay:?}");
            }
        }
    }
}
