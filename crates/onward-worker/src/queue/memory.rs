use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::Notify;
use tokio::time::Instant;

use super::{Attempts, BATCH, Death, Queue, Refused, is_nearly_used_up};
use crate::error::QueueError;
use crate::message::{ATTEMPTS, Attribute, MESSAGE_ID, Message, Receipt};

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
    max_receive_count: Option<u32>,
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
    sent: Instant,
    first_received: Option<Instant>,
}

impl MemoryQueue {
    /// An empty queue.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives it a redrive policy: after so many receives the next one moves a message to the dead letters, without a reason,
    /// as SQS does.
    #[must_use]
    pub fn max_receive_count(self, count: u32) -> Self {
        Self { max_receive_count: Some(count), ..self }
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
        let sent = Instant::now();
        state.messages.push(Stored { message, visible_from: sent, sent, first_received: None });
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
        self.redrive(&mut state, now);
        let mut next = state.next;
        let hidden = state.messages.iter().filter(|stored| stored.visible_from > now);
        let blocked: HashSet<_> = hidden.filter_map(|stored| stored.message.group_id.clone()).collect();
        let is_blocked =
            |stored: &Stored| stored.message.group_id.as_ref().is_some_and(|group| blocked.contains(group));
        let free = |stored: &&mut Stored| stored.visible_from <= now && !is_blocked(stored);
        let mut visible: Vec<_> = state.messages.iter_mut().filter(free).collect();
        if visible.iter().all(|stored| stored.message.group_id.is_none()) {
            // A standard queue has no order; a message that has come back is not the first one again.
            visible.sort_by_key(|stored| stored.visible_from);
        }
        let taken = visible
            .into_iter()
            .take(max.min(BATCH))
            .map(|stored| {
                next += 1;
                stored.visible_from = now + visibility;
                stored.message.receive_count += 1;
                stored.message.receipt = Receipt(format!("receipt-{next}"));
                let first = *stored.first_received.get_or_insert(now);
                stored.message.sent = Some(wall_clock(now, stored.sent));
                stored.message.first_received = Some(wall_clock(now, first));
                stored.message.clone()
            })
            .collect();
        state.next = next;
        taken
    }

    /// Moves away what is visible and has been received as often as the policy allows.
    fn redrive(&self, state: &mut State, now: Instant) {
        let Some(most) = self.max_receive_count else { return };
        let is_over =
            |stored: &mut Stored| stored.visible_from <= now && stored.message.receive_count >= most;
        let dead: Vec<_> = state.messages.extract_if(.., is_over).collect();
        state.dead.extend(dead.into_iter().map(|stored| (stored.message, String::new())));
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

/// The time of an earlier moment, by the clock of the runtime, which a test may advance.
fn wall_clock(now: Instant, earlier: Instant) -> SystemTime {
    SystemTime::now() - (now - earlier)
}

impl Queue for MemoryQueue {
    fn is_fifo(&self) -> bool {
        true
    }

    fn name(&self) -> &str {
        "memory"
    }

    fn receive_limit(&self) -> Option<u32> {
        self.max_receive_count
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

    async fn send_to_dead_letters(&self, message: &Message, death: &Death) -> Result<bool, QueueError> {
        self.state().dead.push((message.clone(), death.reason.clone()));
        Ok(true)
    }

    async fn renew(
        &self,
        message: &Message,
        attempts: Attempts,
        delay: Duration,
    ) -> Result<bool, QueueError> {
        let has_receives_left = self.max_receive_count.is_none_or(|most| !is_nearly_used_up(message, most));
        if has_receives_left || message.group_id.is_some() {
            return Ok(false);
        }
        let now = Instant::now();
        let mut state = self.state();
        state.next += 1;
        let mut copy = Message { id: format!("message-{}", state.next), receive_count: 0, ..message.clone() };
        let record = attempts.record();
        copy.attributes.insert(MESSAGE_ID.to_owned(), Attribute::text(message.identity()));
        copy.attributes.insert(ATTEMPTS.to_owned(), Attribute::text(record));
        let visible_from = now + delay;
        state.messages.push(Stored { message: copy, visible_from, sent: now, first_received: None });
        drop(state);
        self.changed.notify_waiters();
        Ok(true)
    }
}
