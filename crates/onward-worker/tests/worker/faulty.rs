//! The queue in memory with faults put in front of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use onward_worker::{
    Attempts, Death, MemoryQueue, Message, Queue, QueueError, QueueErrorKind, Receipt, Refused,
};
use tokio::time::Instant;

#[derive(Clone)]
pub(crate) struct Faulty {
    pub queue: MemoryQueue,
    /// Whether it keeps no order.
    pub is_standard: bool,
    /// Whether the process that uses it is dead: then no call of it does anything any more.
    pub is_dead: Arc<AtomicBool>,
    /// How many receives fail before one works.
    pub receive_faults: Arc<AtomicU32>,
    /// How they fail.
    pub kind: QueueErrorKind,
    /// How many receives work before they fail.
    pub receives_first: Arc<AtomicU32>,
    /// How many deletes are refused entry by entry.
    pub refused_deletes: Arc<AtomicU32>,
    /// How many deletes fail as a whole.
    pub failed_deletes: Arc<AtomicU32>,
    /// How many changes of the visibility are refused for good, as where the lease has ended.
    pub refused_changes: Arc<AtomicU32>,
    /// How many changes of the visibility never end.
    pub hung_changes: Arc<AtomicU32>,
    /// Until when nothing can be sent anew.
    pub sends_from: Option<Instant>,
    /// How long it takes to send a message anew.
    pub renewal: Duration,
}

impl Default for Faulty {
    fn default() -> Self {
        Self {
            queue: MemoryQueue::default(),
            is_standard: false,
            is_dead: Arc::default(),
            receive_faults: Arc::default(),
            kind: QueueErrorKind::Network,
            receives_first: Arc::default(),
            refused_deletes: Arc::default(),
            failed_deletes: Arc::default(),
            refused_changes: Arc::default(),
            hung_changes: Arc::default(),
            sends_from: None,
            renewal: Duration::ZERO,
        }
    }
}

impl Faulty {
    /// Completes at once, or never in a process that is dead.
    pub(crate) async fn lives(&self) {
        if self.is_dead.load(Ordering::Relaxed) {
            std::future::pending().await
        }
    }
}

fn take(counter: &AtomicU32) -> bool {
    counter.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
}

fn refused(entries: usize, reason: &str, is_permanent: bool) -> Vec<Refused> {
    (0..entries).map(|index| Refused { index, reason: reason.to_owned(), is_permanent }).collect()
}

impl Queue for Faulty {
    fn is_fifo(&self) -> bool {
        !self.is_standard && self.queue.is_fifo()
    }

    fn name(&self) -> &str {
        "faulty"
    }

    fn receive_limit(&self) -> Option<u32> {
        self.queue.receive_limit()
    }

    async fn receive(
        &self,
        max: usize,
        wait: Duration,
        visibility: Duration,
    ) -> Result<Vec<Message>, QueueError> {
        self.lives().await;
        if !take(&self.receives_first) && take(&self.receive_faults) {
            return Err(QueueError::new(self.kind, "a fault"));
        }
        self.queue.receive(max, wait, visibility).await
    }

    async fn delete(&self, receipts: &[Receipt]) -> Result<Vec<Refused>, QueueError> {
        self.lives().await;
        if take(&self.failed_deletes) {
            return Err(QueueError::new(QueueErrorKind::Throttled, "too fast"));
        }
        if take(&self.refused_deletes) {
            return Ok(refused(receipts.len(), "InternalError", false));
        }
        self.queue.delete(receipts).await
    }

    async fn change_visibility(&self, entries: &[(Receipt, Duration)]) -> Result<Vec<Refused>, QueueError> {
        self.lives().await;
        if take(&self.hung_changes) {
            std::future::pending::<()>().await;
        }
        if take(&self.refused_changes) {
            return Ok(refused(entries.len(), "MessageNotInflight", true));
        }
        self.queue.change_visibility(entries).await
    }

    async fn send_to_dead_letters(&self, message: &Message, death: &Death) -> Result<bool, QueueError> {
        self.lives().await;
        self.queue.send_to_dead_letters(message, death).await
    }

    async fn renew(
        &self,
        message: &Message,
        attempts: Attempts,
        delay: Duration,
    ) -> Result<bool, QueueError> {
        self.lives().await;
        if self.sends_from.is_some_and(|from| Instant::now() < from) {
            return Err(QueueError::new(QueueErrorKind::Throttled, "too fast"));
        }
        tokio::time::sleep(self.renewal).await;
        self.queue.renew(message, attempts, delay).await
    }
}
