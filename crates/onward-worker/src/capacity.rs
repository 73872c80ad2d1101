use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until};

use crate::process::Process;
use crate::queue::BATCH;
use crate::retry::MAX_HANDLER_WAIT;
use crate::slow_start::SlowStart;

/// How many messages may be asked for: one for each free handler and, while handlers are quick, enough to keep
/// batches full. A receive of ten costs as much as a receive of one.
#[derive(Debug)]
pub(crate) struct Capacity {
    concurrency: usize,
    /// Messages that are asked for, waiting or being handled.
    reserved: AtomicUsize,
    freed: Notify,
    handlers: Arc<Semaphore>,
    /// A mean of how long handlers take, in microseconds; nothing is known of it before the first has ended.
    mean_us: AtomicU64,
    began: Instant,
    /// When a handler last began or ended, in milliseconds after `began`.
    moved_ms: AtomicU64,
    start: Arc<SlowStart>,
}

/// Larger than any mean, so that no handler counts as quick before one has ended.
const UNKNOWN: u64 = u64::MAX;

/// The worker receives ahead only for handlers this quick: with slower ones the wait for a handler is hard to foresee, and
/// batches matter less.
const QUICK: Duration = Duration::from_millis(100);

impl Capacity {
    pub(crate) fn new(concurrency: usize, process: Process) -> Arc<Self> {
        Arc::new(Self {
            concurrency,
            reserved: AtomicUsize::new(0),
            freed: Notify::new(),
            handlers: Arc::new(Semaphore::new(concurrency)),
            mean_us: AtomicU64::new(UNKNOWN),
            began: Instant::now(),
            moved_ms: AtomicU64::new(0),
            start: Arc::new(SlowStart::new(2 * concurrency + 2 * BATCH, process)),
        })
    }

    /// Waits until there is room and reserves up to a batch of it: a full batch while handlers are quick, else whatever
    /// is free.
    pub(crate) async fn reserve(self: &Arc<Self>) -> Vec<Reservation> {
        loop {
            let (freed, calm) = (self.freed.notified(), self.start.calm());
            let (room, grows) = self.room();
            if room > 0 {
                return (0..room).map(|_| Reservation::new(self)).collect();
            }
            tokio::select! {
                () = freed => {}
                () = calm => {}
                () = sleep_until(grows.unwrap_or_else(Instant::now)), if grows.is_some() => {}
            }
        }
    }

    /// How many messages a receive may ask for now, and when that grows by itself.
    fn room(&self) -> (usize, Option<Instant>) {
        let ahead = self.ahead();
        let reserved = self.reserved.load(Ordering::Relaxed);
        let (limit, grows) = self.start.limit(reserved > 0);
        let most = (self.concurrency + ahead).min(limit);
        let least = if ahead > 0 { BATCH.min(most) } else { 1 };
        let free = most.saturating_sub(reserved);
        (if free >= least { free.min(BATCH) } else { 0 }, grows)
    }

    /// Room for a message that is here already and is to be tried again, also beyond the limit.
    pub(crate) fn reserve_again(self: &Arc<Self>) -> Reservation {
        Reservation::new(self)
    }

    /// What limits how many messages may be here after the start.
    pub(crate) fn slow_start(&self) -> &Arc<SlowStart> {
        &self.start
    }

    /// How many messages beyond the free handlers would start within half of [`MAX_HANDLER_WAIT`].
    fn ahead(&self) -> usize {
        let mean = self.mean_us.load(Ordering::Relaxed);
        if mean > QUICK.as_micros() as u64 || self.is_stuck() {
            return 0;
        }
        let soon = (MAX_HANDLER_WAIT / 2).as_micros() as u64 * self.concurrency as u64 / mean.max(1);
        usize::try_from(soon).unwrap_or(usize::MAX).min(self.concurrency + 2 * BATCH)
    }

    /// Whether all handlers have been busy for so long that their mean says nothing of them.
    fn is_stuck(&self) -> bool {
        let moved = Duration::from_millis(self.moved_ms.load(Ordering::Relaxed));
        self.handlers.available_permits() == 0
            && self.began.elapsed().saturating_sub(moved) > MAX_HANDLER_WAIT / 2
    }

    /// How many handlers there are, and how many of them are busy.
    pub(crate) fn handlers(&self) -> (usize, usize) {
        (self.concurrency, self.concurrency.saturating_sub(self.handlers.available_permits()))
    }

    fn moved(&self) {
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.moved_ms.store(now, Ordering::Relaxed);
    }

    /// Waits for a free handler; none in time means that another worker should have the message.
    pub(crate) async fn handler(&self, patience: Duration) -> Option<OwnedSemaphorePermit> {
        let permit = match self.handlers.clone().try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => {
                let waiting = tokio::time::timeout(patience, self.handlers.clone().acquire_owned());
                waiting.await.ok()?.expect("the handlers are never closed")
            }
        };
        self.moved();
        Some(permit)
    }

    /// A handler has ended. One slow message ends all receiving ahead until quick ones have outweighed it.
    pub(crate) fn took(&self, duration: Duration) {
        let sample = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX - 1);
        let next = |mean: u64| match mean {
            UNKNOWN => sample,
            mean if duration > MAX_HANDLER_WAIT / 2 => mean.max(sample),
            mean => mean - mean / 8 + sample / 8,
        };
        // The closure always gives a value, so the update cannot fail.
        let _ = self.mean_us.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |mean| Some(next(mean)));
        self.moved();
    }
}

/// Room for one message, from the asking to the end of its handler.
#[derive(Debug)]
pub(crate) struct Reservation(Arc<Capacity>);

impl Reservation {
    fn new(capacity: &Arc<Capacity>) -> Self {
        capacity.reserved.fetch_add(1, Ordering::Relaxed);
        Self(capacity.clone())
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.0.reserved.fetch_sub(1, Ordering::Relaxed);
        // The intake is woken only for what it can use: to wake it for each message costs more than the message.
        if self.0.room().0 > 0 {
            self.0.freed.notify_one();
        }
    }
}
