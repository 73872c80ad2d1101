use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use crate::leases::Lease;
use crate::progress::Place;
use crate::queue::BATCH;

/// What the worker has to tell the queue about a message. The lease goes with it and ends when the queue has answered.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The message is done: delete it.
    Delete { id: Arc<str>, lease: Lease },
    /// The message failed or was not started: it comes back after the delay.
    Return { lease: Lease, delay: Duration },
}

impl Outcome {
    pub(crate) fn lease(&self) -> &Lease {
        match self {
            Self::Delete { lease, .. } | Self::Return { lease, .. } => lease,
        }
    }
}

/// Where deliveries leave their outcomes. Each kind has a lane of its own, so that a batch is always one call. The lanes end
/// when it is dropped.
#[derive(Debug)]
pub(crate) struct Outcomes(Lanes);

/// The other end of [`Outcomes`].
#[derive(Debug, Clone)]
pub(crate) struct Lanes {
    pub deletes: Arc<Lane>,
    pub returns: Arc<Lane>,
}

/// How long a batch waits to be filled: long enough for ten entries under load, too short to be noticed.
pub(crate) const LINGER: Duration = Duration::from_millis(20);

/// The part of a lease that is left for a delete and its repetitions.
const LAST_OF_LEASE: Duration = Duration::from_secs(5);

/// The lanes of a worker whose deletes are collected for `window`, or for [`LINGER`] if that is longer.
pub(crate) fn lanes(window: Duration) -> (Outcomes, Lanes) {
    let lane = |linger| Arc::new(Lane { linger, ..Lane::default() });
    let lanes = Lanes { deletes: lane(window.max(LINGER)), returns: lane(LINGER) };
    (Outcomes(lanes.clone()), lanes)
}

impl Outcomes {
    pub(crate) fn push(&self, outcome: Outcome) {
        let (place, lane) = match outcome {
            Outcome::Delete { .. } => (Place::Deleting, &self.0.deletes),
            Outcome::Return { .. } => (Place::Returning, &self.0.returns),
        };
        outcome.lease().progress().moves_to(place);
        lane.push(outcome);
    }

    /// The worker stops: what comes from now on is collected no longer than it must be.
    pub(crate) fn end_window(&self) {
        self.0.deletes.is_stopping.store(true, Ordering::Relaxed);
        self.0.deletes.hurry();
    }
}

impl Drop for Outcomes {
    fn drop(&mut self) {
        self.0.deletes.end();
        self.0.returns.end();
    }
}

/// Outcomes on their way to the queue. Its reader is woken by the first one and by a full batch, not by each: a wake costs more
/// than an outcome.
#[derive(Debug, Default)]
pub(crate) struct Lane {
    waiting: Mutex<VecDeque<Outcome>>,
    /// How long a batch waits to be filled.
    linger: Duration,
    /// Whether the present batch waits no longer.
    hurries: AtomicBool,
    is_stopping: AtomicBool,
    has_ended: AtomicBool,
    changed: Notify,
}

impl Lane {
    fn waiting(&self) -> MutexGuard<'_, VecDeque<Outcome>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, outcome: Outcome) {
        let must_be_soon = self.linger > LINGER
            && !outcome.lease().is_held_until(Instant::now() + self.linger + LAST_OF_LEASE);
        let length = {
            let mut waiting = self.waiting();
            waiting.push_back(outcome);
            waiting.len()
        };
        if length == 1 || length == BATCH {
            self.changed.notify_one();
        }
        if must_be_soon {
            self.hurry();
        }
    }

    /// Has what waits sent at once.
    pub(crate) fn hurry(&self) {
        self.hurries.store(true, Ordering::Release);
        self.changed.notify_one();
    }

    fn end(&self) {
        self.has_ended.store(true, Ordering::Release);
        self.changed.notify_one();
    }

    /// The next batch: full, or what has come until the first has waited long enough. None after the end.
    pub(crate) async fn batch(&self) -> Option<Vec<Outcome>> {
        let has_ended = || self.has_ended.load(Ordering::Acquire);
        while self.waiting().is_empty() {
            if has_ended() {
                // What was pushed just before the end.
                return Some(self.take()).filter(|batch| !batch.is_empty());
            }
            self.changed.notified().await;
        }
        let linger = if self.is_stopping.load(Ordering::Relaxed) { LINGER } else { self.linger };
        let full_by = Instant::now() + linger;
        while self.waiting().len() < BATCH && !has_ended() && !self.hurries.swap(false, Ordering::AcqRel) {
            if timeout_at(full_by, self.changed.notified()).await.is_err() {
                break;
            }
        }
        Some(self.take())
    }

    fn take(&self) -> Vec<Outcome> {
        let mut waiting = self.waiting();
        let length = BATCH.min(waiting.len());
        waiting.drain(..length).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::leases::Leases;
    use crate::message::{Message, Receipt};

    fn outcome(number: usize) -> Outcome {
        let message = Message { receipt: Receipt(number.to_string()), ..Message::default() };
        let lease = Lease::begin(&Arc::<Leases>::default(), &message, LINGER);
        Outcome::Delete { id: number.to_string().into(), lease }
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_is_full_or_as_old_as_its_first() {
        let (outcomes, lanes) = lanes(Duration::ZERO);
        for number in 0..25 {
            outcomes.push(outcome(number));
        }
        let mut sizes = Vec::new();
        let begun = Instant::now();
        for _ in 0..3 {
            sizes.push(lanes.deletes.batch().await.map(|batch| batch.len()));
        }
        assert_eq!(sizes, [Some(10), Some(10), Some(5)]);
        assert!(begun.elapsed() >= LINGER, "the last one waits");
    }

    #[tokio::test(start_paused = true)]
    async fn at_the_end_nothing_waits_and_nothing_is_left() {
        let (outcomes, lanes) = lanes(Duration::ZERO);
        outcomes.push(outcome(1));
        let reading = tokio::spawn(async move {
            let begun = Instant::now();
            let first = lanes.deletes.batch().await.map(|batch| batch.len());
            (first, lanes.deletes.batch().await.is_none(), begun.elapsed())
        });
        tokio::task::yield_now().await;
        drop(outcomes);
        assert_eq!(reading.await.expect("does not panic"), (Some(1), true, Duration::ZERO));
    }
}
