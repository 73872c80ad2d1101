use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// How long the inbox keeps the row of a message: [`App::inbox`](crate::App::inbox).
///
/// SQS keeps a message for up to 14 days. A letter that the worker writes is a new message, and so is a letter that is redriven: one that was
/// handled and not deleted may come again after the time in the queue, in the dead-letter queue and again in the queue. 43 days are enough for
/// one redrive.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-dead-letter-queues.html>
///
/// ```
/// use onward::Retention;
///
/// const REDRIVEN_ONCE: Retention = Retention::days(43);
/// assert!(REDRIVEN_ONCE > Retention::days(15));
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
