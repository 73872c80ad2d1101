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
    Delete { id: String, lease: Lease },
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
#[derive(Debug, Clone, Default)]
pub(crate) struct Lanes {
    pub deletes: Arc<Lane>,
    pub returns: Arc<Lane>,
}

pub(crate) fn lanes() -> (Outcomes, Lanes) {
    let lanes = Lanes::default();
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
    has_ended: AtomicBool,
    changed: Notify,
}

impl Lane {
    fn waiting(&self) -> MutexGuard<'_, VecDeque<Outcome>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, outcome: Outcome) {
        let length = {
            let mut waiting = self.waiting();
            waiting.push_back(outcome);
            waiting.len()
        };
        if length == 1 || length == BATCH {
            self.changed.notify_one();
        }
    }

    fn end(&self) {
        self.has_ended.store(true, Ordering::Release);
        self.changed.notify_one();
    }

    /// The next batch: full, or what has come within `linger` of the first. None after the end.
    pub(crate) async fn batch(&self, linger: Duration) -> Option<Vec<Outcome>> {
        let has_ended = || self.has_ended.load(Ordering::Acquire);
        while self.waiting().is_empty() {
            if has_ended() {
                // What was pushed just before the end.
                return Some(self.take()).filter(|batch| !batch.is_empty());
            }
            self.changed.notified().await;
        }
        let full_by = Instant::now() + linger;
        while self.waiting().len() < BATCH && !has_ended() {
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

    const LINGER: Duration = Duration::from_millis(20);

    fn outcome(number: usize) -> Outcome {
        let message = Message { receipt: Receipt(number.to_string()), ..Message::default() };
        let lease = Lease::begin(&Arc::<Leases>::default(), &message, LINGER);
        Outcome::Delete { id: number.to_string(), lease }
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_is_full_or_as_old_as_its_first() {
        let (outcomes, lanes) = lanes();
        for number in 0..25 {
            outcomes.push(outcome(number));
        }
        let mut sizes = Vec::new();
        let begun = Instant::now();
        for _ in 0..3 {
            sizes.push(lanes.deletes.batch(LINGER).await.map(|batch| batch.len()));
        }
        assert_eq!(sizes, [Some(10), Some(10), Some(5)]);
        assert!(begun.elapsed() >= LINGER, "the last one waits");
    }

    #[tokio::test(start_paused = true)]
    async fn at_the_end_nothing_waits_and_nothing_is_left() {
        let (outcomes, lanes) = lanes();
        outcomes.push(outcome(1));
        let reading = tokio::spawn(async move {
            let begun = Instant::now();
            let first = lanes.deletes.batch(Duration::from_secs(60)).await.map(|batch| batch.len());
            (first, lanes.deletes.batch(LINGER).await.is_none(), begun.elapsed())
        });
        tokio::task::yield_now().await;
        drop(outcomes);
        assert_eq!(reading.await.expect("does not panic"), (Some(1), true, Duration::ZERO));
    }
}
