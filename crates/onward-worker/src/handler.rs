use std::fmt;
use std::time::Duration;

use crate::causes::causes;
use crate::message::Message;

/// Handles messages. An async function of a [`Message`] is a handler.
///
/// When it returns `Ok` the worker deletes the message. After a [`Failure`], a panic or a timeout the message comes back
/// later. SQS may deliver a message more than once, so a handler must be idempotent.
///
/// ```
/// use onward_worker::{Failure, Message};
///
/// async fn print(message: Message) -> Result<(), Failure> {
///     let order: u64 = message.body.parse().map_err(Failure::reject)?;
///     if order == 0 {
///         return Err(Failure::retry("order 0 is not there yet"));
///     }
///     Ok(())
/// }
/// # fn is_handler(_: impl onward_worker::MessageHandler) {}
/// # is_handler(print);
/// ```
pub trait MessageHandler: Clone + Send + Sync + 'static {
    /// Handles one delivery.
    fn handle(&self, message: Message) -> impl Future<Output = Result<(), Failure>> + Send;
}

impl<F, Fut> MessageHandler for F
where
    F: Fn(Message) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<(), Failure>> + Send,
{
    fn handle(&self, message: Message) -> impl Future<Output = Result<(), Failure>> + Send {
        self(message)
    }
}

/// Why a handler did not handle a message, and what becomes of the message. With `?` any error becomes a
/// [`Failure::retry`].
///
/// ```
/// use std::time::Duration;
/// use onward_worker::{Failure, FailureKind};
///
/// let busy = Failure::retry_after(Duration::from_secs(30), "the destination is busy");
/// assert_eq!(busy.kind, FailureKind::RetryAfter(Duration::from_secs(30)));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What becomes of the message.
    pub kind: FailureKind,
    /// Why, for the log and the dead-letter queue.
    pub reason: String,
}

/// What becomes of a message that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FailureKind {
    /// It comes back after the worker's own delay, which grows with each attempt.
    Retry,
    /// It comes back after this delay, at most [`Options::max_backoff`](crate::Options::max_backoff).
    RetryAfter(Duration),
    /// It waits for this time, and its handler did not run: no failure, and no attempt of its budget.
    Postpone(Duration),
    /// It goes to the dead-letter queue at once, because another attempt is pointless.
    Reject,
    /// Its body does not decode: it is tried again for [`Options::undecodable`](crate::Options::undecodable), then rejected.
    Undecodable,
}

impl FailureKind {
    /// Whether it tells that what the handler needs is away or busy. The others tell of the message alone, or of nothing.
    #[must_use]
    pub const fn is_of_the_world(self) -> bool {
        matches!(self, Self::Retry | Self::RetryAfter(_))
    }
}

impl Failure {
    /// The message comes back after a delay that grows with each attempt.
    pub fn retry(reason: impl fmt::Display) -> Self {
        Self { kind: FailureKind::Retry, reason: reason.to_string() }
    }

    /// The message comes back after `delay`, at most [`Options::max_backoff`](crate::Options::max_backoff).
    pub fn retry_after(delay: Duration, reason: impl fmt::Display) -> Self {
        Self { kind: FailureKind::RetryAfter(delay), reason: reason.to_string() }
    }

    /// The message waits for `delay` without an attempt, because what it needs is known to be busy or away. This uses up no
    /// budget and does not count as a failure.
    pub fn postpone(delay: Duration, reason: impl fmt::Display) -> Self {
        Self { kind: FailureKind::Postpone(delay), reason: reason.to_string() }
    }

    /// The message goes to the dead-letter queue with the reason.
    pub fn reject(reason: impl fmt::Display) -> Self {
        Self { kind: FailureKind::Reject, reason: reason.to_string() }
    }

    /// The body does not decode. A newer sender may have written it, and a newer worker may handle it: so it is tried again
    /// for [`Options::undecodable`](crate::Options::undecodable), and then rejected. By default it is rejected at once.
    pub fn undecodable(reason: impl fmt::Display) -> Self {
        Self { kind: FailureKind::Undecodable, reason: reason.to_string() }
    }
}

/// The reason keeps the causes of the error.
impl<E: std::error::Error + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::retry(causes(&error))
    }
}
