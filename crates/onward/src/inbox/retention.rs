use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// How long the inbox keeps the row of a message: [`App::inbox`](crate::App::inbox).
///
/// SQS keeps a message for up to 14 days. In a standard queue a dead letter keeps the time at which it was first sent, so 15 days are
/// longer than any message lives. In a FIFO queue this time begins anew in the dead-letter queue, so that a redriven message may be
/// 28 days old.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-dead-letter-queues.html>
///
/// ```
/// use onward::Retention;
///
/// const STANDARD: Retention = Retention::days(15);
/// const FIFO: Retention = Retention::days(29);
/// assert!(STANDARD < FIFO);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Retention {
    days: u32,
}

impl Retention {
    /// So many days after the message was handled; 0 keeps every row.
    #[must_use]
    pub const fn days(days: u32) -> Self {
        Self { days }
    }

    pub(crate) fn duration(self) -> Duration {
        DAY * self.days
    }
}
