use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::futures::Notified;
use tokio::time::Instant;

use crate::process::Process;

/// How many messages may be here at once after the start and after a suspicious message: one at first, doubled by each
/// success, and by every five seconds in which a handler runs and the process survives. A message that kills the process
/// drags few neighbours along.
///
/// As long as all messages come for the first time, nothing hints at a process that died, and each receive doubles it, too.
/// While a suspicious message is here, nothing doubles it; while only another worker of the process has one, nothing is received.
#[derive(Debug)]
pub(crate) struct SlowStart {
    /// From this many on there is no limit any more.
    enough: usize,
    limit: AtomicUsize,
    /// Whether a message has come again since the start.
    has_redelivery: AtomicBool,
    process: Process,
    /// How many of the process's suspicious messages are of this worker.
    own: AtomicUsize,
    grows: Mutex<Instant>,
}

const GROWTH_INTERVAL: Duration = Duration::from_secs(5);

impl SlowStart {
    pub(crate) fn new(enough: usize, process: Process) -> Self {
        Self {
            enough,
            limit: AtomicUsize::new(1),
            has_redelivery: AtomicBool::new(false),
            process,
            own: AtomicUsize::new(0),
            grows: Mutex::new(Instant::now() + GROWTH_INTERVAL),
        }
    }

    fn grows(&self) -> MutexGuard<'_, Instant> {
        self.grows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The limit now and, while something runs, when it grows by itself.
    pub(crate) fn limit(&self, is_running: bool) -> (usize, Option<Instant>) {
        if self.is_careful() && self.own.load(Ordering::Relaxed) == 0 {
            return (0, None);
        }
        if self.limit.load(Ordering::Relaxed) >= self.enough {
            return (usize::MAX, None);
        }
        let is_running = is_running && !self.is_careful();
        let (mut grows, now) = (self.grows(), Instant::now());
        if !is_running {
            *grows = now + GROWTH_INTERVAL;
        } else if *grows <= now {
            self.double();
            *grows = now + GROWTH_INTERVAL;
        }
        (self.limit.load(Ordering::Relaxed), is_running.then_some(*grows))
    }

    /// The last suspicious message is gone.
    pub(crate) fn calm(&self) -> Notified<'_> {
        self.process.calm()
    }

    /// Messages have come; a redelivery is one that was received before.
    pub(crate) fn received(&self, has_redelivery: bool) {
        if has_redelivery {
            self.has_redelivery.store(true, Ordering::Relaxed);
        } else if !self.has_redelivery.load(Ordering::Relaxed) {
            self.double();
        }
    }

    /// A message has succeeded, so more may be here at once.
    pub(crate) fn succeeded(&self) {
        self.double();
    }

    /// A message has come that may kill the process: few others may be here at once, until some have succeeded after it.
    pub(crate) fn be_careful(self: &Arc<Self>) -> Caution {
        self.own.fetch_add(1, Ordering::Relaxed);
        self.process.alarm();
        self.has_redelivery.store(true, Ordering::Relaxed);
        self.limit.store(1, Ordering::Relaxed);
        Caution(self.clone())
    }

    /// Whether a suspicious message is here.
    pub(crate) fn is_careful(&self) -> bool {
        self.process.is_careful()
    }

    fn double(&self) {
        let limit = self.limit.load(Ordering::Relaxed);
        if limit < self.enough && !self.is_careful() {
            self.limit.store(limit * 2, Ordering::Relaxed);
        }
    }
}

/// Held as long as a message is suspicious.
#[derive(Debug)]
pub(crate) struct Caution(Arc<SlowStart>);

impl Drop for Caution {
    fn drop(&mut self) {
        self.0.own.fetch_sub(1, Ordering::Relaxed);
        *self.0.grows() = Instant::now() + GROWTH_INTERVAL;
        self.0.process.all_clear();
    }
}
