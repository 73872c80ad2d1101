use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::Notify;

use crate::activity::{Activity, InFlight, Parts};
use crate::durations::{Durations, Measured};
use crate::ledger::{Counters, Ledger};
use crate::message::Message;
use crate::oldest::Oldest;

/// What a worker shows while it works, for a health check and for metrics.
///
/// ```
/// use onward_worker::Monitor;
///
/// let monitor = Monitor::default();
/// assert!(!monitor.has_polled());
/// assert_eq!(monitor.ledger().received, 0);
/// ```
#[derive(Debug, Clone, Default)]
pub struct Monitor(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    counters: Counters,
    durations: Measured,
    oldest: Oldest,
    /// The parts of the worker, once it works.
    parts: Mutex<Option<Parts>>,
    /// How many polls are open.
    open: AtomicUsize,
    /// How many have ended, well or not.
    ended: AtomicU64,
    /// When a poll last began or ended, in milliseconds after `EPOCH`.
    moved_ms: AtomicU64,
    /// When the first failed poll ended after the last one that did not fail, as `moved_ms`; zero if there is none.
    failing_since_ms: AtomicU64,
    /// Whether a poll has succeeded.
    is_proven: AtomicBool,
    /// Notified when a poll begins.
    began: Notify,
}

/// A fixed moment to count from. The clock is the real one, because people and machines watch in real time.
static EPOCH: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);

fn now_ms() -> u64 {
    u64::try_from(EPOCH.elapsed().as_millis()).unwrap_or(u64::MAX)
}

impl Monitor {
    /// What has become of the messages so far.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        self.0.counters.read()
    }

    /// How long the handlers took.
    #[must_use]
    pub fn handler_durations(&self) -> Durations {
        self.0.durations.read()
    }

    /// What the worker does at this moment; none before it begins.
    #[must_use]
    pub fn activity(&self) -> Option<Activity> {
        self.parts().map(|parts| parts.activity())
    }

    /// The messages that the worker has, the one that was received first at first.
    #[must_use]
    pub fn in_flight(&self) -> Vec<InFlight> {
        self.parts().map(|parts| parts.in_flight()).unwrap_or_default()
    }

    /// The age of the oldest message that the worker has, or had waited in the queue until it was received within the last minute or
    /// two. Zero if there is none. SQS itself tells the age of its oldest message to CloudWatch only.
    /// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html>
    #[must_use]
    pub fn oldest_age(&self) -> Duration {
        let sent = self.parts().and_then(|parts| parts.oldest_sent());
        let held = sent.and_then(|sent| SystemTime::now().duration_since(sent).ok());
        held.unwrap_or_default().max(self.0.oldest.read(EPOCH.elapsed()))
    }

    /// Whether no poll has been open for longer than `limit`. A worker whose handlers are all busy has no poll open and is
    /// alive.
    #[must_use]
    pub fn is_alive(&self, limit: Duration) -> bool {
        let moved = Duration::from_millis(self.0.moved_ms.load(Ordering::Relaxed));
        self.0.open.load(Ordering::Relaxed) == 0 || EPOCH.elapsed().saturating_sub(moved) < limit
    }

    /// Whether the worker polls: a poll is open or has ended.
    #[must_use]
    pub fn has_polled(&self) -> bool {
        self.0.open.load(Ordering::Relaxed) > 0 || self.0.ended.load(Ordering::Relaxed) > 0
    }

    /// Whether the worker cannot read its queue: every poll has failed for longer than `most`, or every one since the start.
    /// A short outage must not mark all nodes at once, but a node that has never read its queue is not ready.
    #[must_use]
    pub fn is_cut_off(&self, most: Duration) -> bool {
        match self.0.failing_since_ms.load(Ordering::Relaxed) {
            0 => false,
            _ if !self.0.is_proven.load(Ordering::Relaxed) => true,
            since => EPOCH.elapsed().saturating_sub(Duration::from_millis(since)) > most,
        }
    }

    /// Notes how a poll ended.
    pub(crate) fn polled(&self, is_well: bool) {
        let failing = &self.0.failing_since_ms;
        if is_well {
            failing.store(0, Ordering::Relaxed);
            self.0.is_proven.store(true, Ordering::Relaxed);
        } else {
            // Only the first failure counts.
            let _ = failing.compare_exchange(0, now_ms().max(1), Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// Completes when the worker polls.
    pub async fn first_poll(&self) {
        loop {
            let began = self.0.began.notified();
            if self.has_polled() {
                return;
            }
            began.await;
        }
    }

    /// The worker begins.
    pub(crate) fn watch(&self, parts: Parts) {
        *self.0.parts.lock().unwrap_or_else(PoisonError::into_inner) = Some(parts);
    }

    fn parts(&self) -> Option<Parts> {
        self.0.parts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes how long messages waited in the queue.
    pub(crate) fn received(&self, messages: &[Message]) {
        let now = SystemTime::now();
        let ages = messages.iter().filter_map(|message| now.duration_since(message.sent?).ok());
        if let Some(oldest) = ages.max() {
            self.0.oldest.note(EPOCH.elapsed(), oldest);
        }
    }

    pub(crate) fn durations(&self) -> &Measured {
        &self.0.durations
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.0.counters
    }

    /// Counts a poll as open until the guard is dropped.
    pub(crate) fn polling(&self) -> Polling<'_> {
        self.0.open.fetch_add(1, Ordering::Relaxed);
        self.moved();
        self.0.began.notify_waiters();
        Polling(self)
    }

    fn moved(&self) {
        self.0.moved_ms.store(now_ms(), Ordering::Relaxed);
    }
}

/// A poll that is open.
pub(crate) struct Polling<'a>(&'a Monitor);

impl Drop for Polling<'_> {
    fn drop(&mut self) {
        self.0.0.open.fetch_sub(1, Ordering::Relaxed);
        self.0.0.ended.fetch_add(1, Ordering::Relaxed);
        self.0.moved();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_is_cut_off_by_its_first_failure_or_by_a_long_outage() {
        let monitor = Monitor::default();
        assert!(!monitor.is_cut_off(Duration::ZERO), "nothing is known yet");
        monitor.polled(false);
        assert!(monitor.is_cut_off(Duration::MAX), "it has never read its queue");
        monitor.polled(true);
        assert!(!monitor.is_cut_off(Duration::ZERO));
        monitor.polled(false);
        assert!(!monitor.is_cut_off(Duration::from_secs(3600)), "the outage is short");
        while !monitor.is_cut_off(Duration::ZERO) {
            std::hint::spin_loop();
        }
    }
}
