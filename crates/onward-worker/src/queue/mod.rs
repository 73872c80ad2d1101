//! What a worker needs from a queue, with SQS's words and semantics.

pub(crate) mod memory;
pub mod sqs;

use std::time::{Duration, SystemTime};

use crate::error::QueueError;
use crate::message::{Message, Receipt};

/// The most messages of one receive, and the most entries of one batch.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ReceiveMessage.html>
pub(crate) const BATCH: usize = 10;

/// Whether a queue of this name or URL keeps the order of its groups: the name of a FIFO queue ends in `.fifo`, that of no
/// other queue does.
///
/// ```
/// assert!(onward_worker::is_fifo("https://sqs.eu-west-1.amazonaws.com/123456789012/orders.fifo"));
/// assert!(!onward_worker::is_fifo("orders"));
/// ```
///
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/queue-message-identifiers.html>
#[must_use]
pub fn is_fifo(name_or_url: &str) -> bool {
    name_or_url.ends_with(".fifo")
}

/// Whether a message has two receives left at the most, so that the third one from now would make it a dead letter without a reason: an
/// outage of the queue and a death of the process may come together, and then come again.
pub(crate) fn is_nearly_used_up(message: &Message, max_receive_count: u32) -> bool {
    message.receive_count.saturating_add(2) >= max_receive_count
}

/// An entry of a batch that the queue refused; it has done the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The entry's place in the batch.
    pub index: usize,
    /// The queue's reason.
    pub reason: String,
    /// Whether another call is pointless: the receipt has ended, or is not valid.
    pub is_permanent: bool,
}

/// A queue with SQS's semantics: a received message is hidden for its visibility timeout, and comes back unless a worker
/// deletes it.
pub trait Queue: Clone + Send + Sync + 'static {
    /// The queue's name, for logs.
    fn name(&self) -> &str;

    /// Whether the messages of a group must be handled one after the other. The groups of a standard queue share it
    /// fairly and have no order.
    fn is_fifo(&self) -> bool;

    /// After how many receives the queue makes a message a dead letter, as far as it is known.
    fn receive_limit(&self) -> Option<u32> {
        None
    }

    /// Receives up to `max` (at most 10) messages, waiting up to `wait` for the first.
    fn receive(
        &self,
        max: usize,
        wait: Duration,
        visibility: Duration,
    ) -> impl Future<Output = Result<Vec<Message>, QueueError>> + Send;

    /// Deletes up to 10 messages for good.
    fn delete(&self, receipts: &[Receipt]) -> impl Future<Output = Result<Vec<Refused>, QueueError>> + Send;

    /// Sets for up to 10 messages how long from now they stay hidden; zero gives them back at once.
    fn change_visibility(
        &self,
        entries: &[(Receipt, Duration)],
    ) -> impl Future<Output = Result<Vec<Refused>, QueueError>> + Send;

    /// Sends a copy of the message to the dead-letter queue: all that its sender wrote, its identity, and why it is there.
    /// Returns false if the queue has no dead-letter queue.
    fn send_to_dead_letters(
        &self,
        message: &Message,
        death: &Death,
    ) -> impl Future<Output = Result<bool, QueueError>> + Send;

    /// Sends a message anew, where its next receive, or the one after that, would make it a dead letter without a reason: the
    /// copy has all that the sender wrote, the identity of the message and what is known of its attempts, and comes after the
    /// delay. Returns false where no copy was sent: the message has receives left, or its queue keeps an order that a copy
    /// would break.
    fn renew(
        &self,
        message: &Message,
        attempts: Attempts,
        delay: Duration,
    ) -> impl Future<Output = Result<bool, QueueError>> + Send;
}

/// What is known of the attempts of a message, for the copy that [`Queue::renew`] sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attempts {
    /// How many have failed.
    pub failed: u32,
    /// When the message was first received.
    pub first: SystemTime,
}

impl Attempts {
    /// The value of the attribute [`ATTEMPTS`](crate::message::ATTEMPTS).
    pub(crate) fn record(&self) -> String {
        let first = self.first.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        format!("{}/{}", self.failed, first.as_millis())
    }
}

/// Why a message becomes a dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Death {
    /// The reason of the last failure.
    pub reason: String,
    /// How many attempts were made.
    pub attempts: u32,
    /// When it was first received.
    pub first: Option<SystemTime>,
    /// When it was given up.
    pub last: SystemTime,
}
