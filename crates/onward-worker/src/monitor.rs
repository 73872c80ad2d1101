use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::ledger::{Counters, Ledger};

/// A look at a worker while it works, for a health check and for metrics.
#[derive(Debug, Clone, Default)]
pub struct Monitor(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    counters: Counters,
    /// When the last poll ended, in milliseconds after `EPOCH`, plus one; 0 before the first.
    polled_ms: AtomicU64,
}

/// A fixed moment to count from; the clock is real, because it is people and machines that watch.
static EPOCH: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);

impl Monitor {
    /// What has become of the messages so far.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        self.0.counters.read()
    }

    /// How long ago a poll last ended well; none before the first.
    #[must_use]
    pub fn since_poll(&self) -> Option<Duration> {
        let polled = self.0.polled_ms.load(Ordering::Relaxed).checked_sub(1)?;
        Some(EPOCH.elapsed().saturating_sub(Duration::from_millis(polled)))
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.0.counters
    }

    pub(crate) fn polled(&self) {
        let now = u64::try_from(EPOCH.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
        self.0.polled_ms.store(now + 1, Ordering::Relaxed);
    }
}
