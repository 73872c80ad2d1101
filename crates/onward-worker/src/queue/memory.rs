use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::{BATCH, Message, Queue, Receipt, Refused};
use crate::error::QueueError;

/// A queue in memory with SQS's semantics, for the tests of a worker and of handlers.
///
/// It uses tokio's clock, so a test may pause and advance time.
///
/// ```
/// use onward_worker::MemoryQueue;
///
/// let queue = MemoryQueue::new();
/// queue.send("one");
/// queue.send_to_group("orders", "two");
/// assert_eq!((queue.len(), queue.in_flight()), (2, 0));
/// assert!(queue.dead_letters().is_empty());
/// ```
#[derive(Debug, Clone, Default)]
pub struct MemoryQueue {
    state: Arc<Mutex<State>>,
    changed: Arc<Notify>,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    messages: Vec<Stored>,
    dead: Vec<(Message, String)>,
}

#[derive(Debug)]
struct Stored {
    message: Message,
    visible_from: Instant,
}

impl MemoryQueue {
    /// An empty queue.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sends a message and returns its id.
    pub fn send(&self, body: impl Into<String>) -> String {
        self.store(body.into(), None)
    }

    /// Sends a message of a group, as to a FIFO queue: while one of a group is hidden, those behind it wait.
    pub fn send_to_group(&self, group: &str, body: impl Into<String>) -> String {
        self.store(body.into(), Some(group.to_owned()))
    }

    fn store(&self, body: String, group_id: Option<String>) -> String {
        let mut state = self.state();
        state.next += 1;
        let id = format!("message-{}", state.next);
        let message = Message { id: id.clone(), body, group_id, ..Message::default() };
        state.messages.push(Stored { message, visible_from: Instant::now() });
        drop(state);
        self.changed.notify_waiters();
        id
    }

    /// How many messages are in the queue, hidden ones counted.
    #[must_use]
    pub fn len(&self) -> usize {
        self.state().messages.len()
    }

    /// Whether every message was deleted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many messages are hidden: received, and neither deleted nor given back.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        let now = Instant::now();
        self.state().messages.iter().filter(|stored| stored.visible_from > now).count()
    }

    /// The bodies in the dead-letter queue, each with its reason.
    #[must_use]
    pub fn dead_letters(&self) -> Vec<(String, String)> {
        let state = self.state();
        state.dead.iter().map(|(message, reason)| (message.body.clone(), reason.clone())).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, max: usize, visibility: Duration) -> Vec<Message> {
        let now = Instant::now();
        let mut state = self.state();
        let mut next = state.next;
        let hidden = state.messages.iter().filter(|stored| stored.visible_from > now);
        let blocked: HashSet<_> = hidden.filter_map(|stored| stored.message.group_id.clone()).collect();
        let is_blocked =
            |stored: &Stored| stored.message.group_id.as_ref().is_some_and(|group| blocked.contains(group));
        let free = |stored: &&mut Stored| stored.visible_from <= now && !is_blocked(stored);
        let visible = state.messages.iter_mut().filter(free);
        let taken = visible
            .take(max.min(BATCH))
            .map(|stored| {
                next += 1;
                stored.visible_from = now + visibility;
                stored.message.receive_count += 1;
                stored.message.receipt = Receipt(format!("receipt-{next}"));
                stored.message.clone()
            })
            .collect();
        state.next = next;
        taken
    }

    /// Applies a change to each message whose receipt is still valid, and refuses the others.
    fn change<'a>(
        &self,
        receipts: impl Iterator<Item = &'a Receipt>,
        mut change: impl FnMut(usize, &mut Vec<Stored>, usize),
    ) -> Vec<Refused> {
        let now = Instant::now();
        let mut state = self.state();
        let mut refused = Vec::new();
        for (index, receipt) in receipts.enumerate() {
            let held = |stored: &Stored| stored.message.receipt == *receipt && stored.visible_from > now;
            match state.messages.iter().position(held) {
                Some(place) => change(index, &mut state.messages, place),
                None => refused.push(Refused {
                    index,
                    reason: "ReceiptHandleIsInvalid: the message is not in flight".to_owned(),
                    is_permanent: true,
                }),
            }
        }
        drop(state);
        self.changed.notify_waiters();
        refused
    }
}

impl Queue for MemoryQueue {
    fn is_fifo(&self) -> bool {
        true
    }

    fn name(&self) -> &str {
        "memory"
    }

    async fn receive(
        &self,
        max: usize,
        wait: Duration,
        visibility: Duration,
    ) -> Result<Vec<Message>, QueueError> {
        let deadline = Instant::now() + wait;
        loop {
            let changed = self.changed.notified();
            let taken = self.take(max, visibility);
            if !taken.is_empty() || Instant::now() >= deadline {
                // Every call to a real queue lets other tasks run.
                tokio::task::yield_now().await;
                return Ok(taken);
            }
            let now = Instant::now();
            let reappears =
                self.state().messages.iter().map(|stored| stored.visible_from).filter(|at| *at > now).min();
            let until = reappears.map_or(deadline, |at| at.min(deadline));
            tokio::select! {
                () = changed => {}
                () = tokio::time::sleep_until(until) => {}
            }
        }
    }

    async fn delete(&self, receipts: &[Receipt]) -> Result<Vec<Refused>, QueueError> {
        Ok(self.change(receipts.iter(), |_, messages, place| {
            messages.remove(place);
        }))
    }

    async fn change_visibility(&self, entries: &[(Receipt, Duration)]) -> Result<Vec<Refused>, QueueError> {
        let now = Instant::now();
        let receipts = entries.iter().map(|(receipt, _)| receipt);
        Ok(self.change(receipts, |index, messages, place| {
            messages[place].visible_from = now + entries[index].1;
        }))
    }

    async fn send_to_dead_letters(&self, message: &Message, reason: &str) -> Result<bool, QueueError> {
        self.state().dead.push((message.clone(), reason.to_owned()));
        Ok(true)
    }
}
