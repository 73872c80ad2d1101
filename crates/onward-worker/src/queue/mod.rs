//! What a worker needs from a queue, with SQS's words and semantics.

pub(crate) mod memory;
pub mod sqs;

use std::collections::HashMap;
use std::time::Duration;

use crate::error::QueueError;

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
    /// What acknowledges this delivery.
    pub receipt: Receipt,
}

/// The message attribute by which a message is known when it is the same for the app and another one for SQS: a relay that
/// crashed may have sent it twice.
pub const MESSAGE_ID: &str = "onward.id";

impl Message {
    /// What the message is known by: the attribute [`MESSAGE_ID`], or else SQS's id.
    ///
    /// ```
    /// use onward_worker::{MESSAGE_ID, Message};
    ///
    /// let plain = Message { id: "5fea7756".to_owned(), ..Message::default() };
    /// assert_eq!(plain.identity(), "5fea7756");
    ///
    /// let attributes = [(MESSAGE_ID.to_owned(), "order-7".to_owned())].into();
    /// assert_eq!(Message { attributes, ..plain }.identity(), "order-7");
    /// ```
    #[must_use]
    pub fn identity(&self) -> &str {
        self.attributes.get(MESSAGE_ID).unwrap_or(&self.id)
    }
}

/// The receipt handle of one delivery.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Receipt(pub String);

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

    /// Sends a copy of the message to the dead-letter queue, with the reason; false if there is none.
    fn send_to_dead_letters(
        &self,
        message: &Message,
        reason: &str,
    ) -> impl Future<Output = Result<bool, QueueError>> + Send;
}
