//! The queue in memory with faults put in front of it.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use onward_worker::{
    Attempts, Death, MemoryQueue, Message, Queue, QueueError, QueueErrorKind, Receipt, Refused,
};
use tokio::sync::Notify;
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
    /// Until when all changes of the visibility fail.
    pub changes_from: Option<Instant>,
    /// How many dead letters cannot be sent.
    pub failed_letters: Arc<AtomicU32>,
    /// How many changes of the visibility never end.
    pub hung_changes: Arc<AtomicU32>,
    /// A delete that contains a message with this body fails as a whole.
    pub poisoned: Option<&'static str>,
    /// The receipts of such messages.
    pub poisoned_receipts: Arc<Mutex<HashSet<Receipt>>>,
    /// Cuts the connection of a receive that waits.
    pub cut: Arc<Notify>,
    /// Until when nothing can be sent anew.
    pub sends_from: Option<Instant>,
    /// Whether the queue has no dead-letter queue.
    pub keeps_dead: bool,
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
            changes_from: None,
            failed_letters: Arc::default(),
            hung_changes: Arc::default(),
            poisoned: None,
            poisoned_receipts: Arc::default(),
            cut: Arc::default(),
            sends_from: None,
            keeps_dead: false,
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

    fn poisoned_receipts(&self) -> MutexGuard<'_, HashSet<Receipt>> {
        self.poisoned_receipts.lock().expect("nobody panics")
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
        let received = tokio::select! {
            received = self.queue.receive(max, wait, visibility) => received?,
            () = self.cut.notified() => return Err(QueueError::new(QueueErrorKind::Network, "cut")),
        };
        let poisoned = received.iter().filter(|message| self.poisoned == Some(message.body.as_str()));
        self.poisoned_receipts().extend(poisoned.map(|message| message.receipt.clone()));
        Ok(received)
    }

    async fn delete(&self, receipts: &[Receipt]) -> Result<Vec<Refused>, QueueError> {
        self.lives().await;
        if take(&self.failed_deletes) {
            return Err(QueueError::new(QueueErrorKind::Throttled, "too fast"));
        }
        if take(&self.refused_deletes) {
            return Ok(refused(receipts.len(), "InternalError", false));
        }
        if receipts.iter().any(|receipt| self.poisoned_receipts().contains(receipt)) {
            return Err(QueueError::new(QueueErrorKind::Service, "an entry cannot be read"));
        }
        self.queue.delete(receipts).await
    }

    async fn change_visibility(&self, entries: &[(Receipt, Duration)]) -> Result<Vec<Refused>, QueueError> {
        self.lives().await;
        if take(&self.hung_changes) {
            std::future::pending::<()>().await;
        }
        if self.changes_from.is_some_and(|from| Instant::now() < from) {
            return Err(QueueError::new(QueueErrorKind::Throttled, "too fast"));
        }
        if take(&self.refused_changes) {
            return Ok(refused(entries.len(), "MessageNotInflight", true));
        }
        self.queue.change_visibility(entries).await
    }

    async fn send_to_dead_letters(&self, message: &Message, death: &Death) -> Result<bool, QueueError> {
        self.lives().await;
        if self.keeps_dead {
            return Ok(false);
        }
        if take(&self.failed_letters) {
            return Err(QueueError::new(QueueErrorKind::Network, "cut"));
        }
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
