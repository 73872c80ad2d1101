//! What a worker needs of a queue, with SQS's words and semantics.

pub(crate) mod memory;
pub(crate) mod sqs;

use std::collections::HashMap;
use std::time::Duration;

use crate::fault::Fault;

/// The most messages of one receive, and the most entries of one batch.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ReceiveMessage.html>
pub(crate) const BATCH: usize = 10;

/// Whether a queue of this name or URL keeps the order of its groups: the name of a FIFO queue ends in `.fifo`, and no other
/// one's does.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/queue-message-identifiers.html>
#[must_use]
pub fn is_fifo(name_or_url: &str) -> bool {
    name_or_url.ends_with(".fifo")
}

/// One delivery of a message.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Message {
    /// The queue's id of the message; the same in each delivery of it.
    pub id: String,
    /// The body, as it was sent.
    pub body: String,
    /// How often it has been received, this time counted.
    pub receive_count: u32,
    /// The message group: of a FIFO queue, whose order is kept, or of a fair one.
    pub group_id: Option<String>,
    /// The text attributes that it was sent with.
    pub attributes: HashMap<String, String>,
    /// The system attribute `AWSTraceHeader`, see [`Message::traceparent`].
    pub trace_header: Option<String>,
    /// What this delivery is acknowledged with.
    pub receipt: Receipt,
}

/// The receipt handle of one delivery.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Receipt(pub String);

/// An entry of a batch that the queue refused; the others were done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The entry's place in the batch.
    pub index: usize,
    /// The queue's reason.
    pub reason: String,
    /// Whether asking again is pointless: the receipt has ended or is none.
    pub final_: bool,
}

/// A queue with SQS's semantics: a received message is hidden for its visibility timeout, and comes back
/// unless it is deleted.
pub trait Queue: Clone + Send + Sync + 'static {
    /// The queue's name, for logs.
    fn name(&self) -> &str;

    /// Whether the messages of a group have to be handled one after the other. A standard queue has groups, too, which
    /// share it fairly and have no order.
    fn is_fifo(&self) -> bool;

    /// Receives up to `max` (at most 10) messages, waiting up to `wait` for the first.
    fn receive(
        &self,
        max: usize,
        wait: Duration,
        visibility: Duration,
    ) -> impl Future<Output = Result<Vec<Message>, Fault>> + Send;

    /// Deletes up to 10 messages for good.
    fn delete(&self, receipts: &[Receipt]) -> impl Future<Output = Result<Vec<Refused>, Fault>> + Send;

    /// Sets for up to 10 messages how long from now they stay hidden; zero gives them back at once.
    fn change_visibility(
        &self,
        entries: &[(Receipt, Duration)],
    ) -> impl Future<Output = Result<Vec<Refused>, Fault>> + Send;

    /// Sends a copy of the message to the dead-letter queue, with the reason; false if there is none.
    fn send_to_dead_letters(
        &self,
        message: &Message,
        reason: &str,
    ) -> impl Future<Output = Result<bool, Fault>> + Send;
}
