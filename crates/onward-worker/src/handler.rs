use std::error::Error;
use std::sync::Arc;
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

/// Any error, text included: what `?` and the constructors of [`Failure`] take.
type BoxError = Box<dyn Error + Send + Sync>;

/// Why a handler did not handle a message, and what becomes of the message. With `?` any error becomes a failure, those of
/// `anyhow` and a `Box<dyn Error + Send + Sync>` included: the message is tried again, unless the app knows better from the error.
///
/// ```
/// use std::time::Duration;
/// use onward_worker::{Failure, FailureKind};
///
/// let busy = Failure::retry_after(Duration::from_secs(30), "the destination is busy");
/// assert_eq!(busy.kind, FailureKind::RetryAfter(Duration::from_secs(30)));
///
/// fn number(text: &str) -> Result<u32, Failure> {
///     let number = text.parse()?;
///     if number == 0 {
///         return Err(Failure::reject("there is no number 0"));
///     }
///     Ok(number)
/// }
/// let failure = number("x").unwrap_err();
/// assert_eq!((failure.kind, failure.reason.as_str()), (FailureKind::Retry, "invalid digit found in string"));
/// assert!(failure.error().is::<std::num::ParseIntError>());
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Failure {
    /// What becomes of the message.
    pub kind: FailureKind,
    /// Why, for the log and the dead-letter queue: the error with its causes.
    pub reason: String,
    error: Arc<dyn Error + Send + Sync>,
    is_decided: bool,
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
    fn new(kind: FailureKind, error: BoxError, is_decided: bool) -> Self {
        let error: Arc<dyn Error + Send + Sync> = error.into();
        Self { kind, reason: causes(&*error), error, is_decided }
    }

    /// The message comes back after a delay that grows with each attempt.
    pub fn retry(reason: impl Into<BoxError>) -> Self {
        Self::new(FailureKind::Retry, reason.into(), true)
    }

    /// The message comes back after `delay`, at most [`Options::max_backoff`](crate::Options::max_backoff).
    pub fn retry_after(delay: Duration, reason: impl Into<BoxError>) -> Self {
        Self::new(FailureKind::RetryAfter(delay), reason.into(), true)
    }

    /// The message waits for `delay` without an attempt, because what it needs is known to be busy or away. This uses up no
    /// budget and does not count as a failure.
    pub fn postpone(delay: Duration, reason: impl Into<BoxError>) -> Self {
        Self::new(FailureKind::Postpone(delay), reason.into(), true)
    }

    /// The message goes to the dead-letter queue with the reason.
    pub fn reject(reason: impl Into<BoxError>) -> Self {
        Self::new(FailureKind::Reject, reason.into(), true)
    }

    /// The body does not decode. A newer sender may have written it, and a newer worker may handle it: so it is tried again
    /// for [`Options::undecodable`](crate::Options::undecodable), and then rejected. By default it is rejected at once.
    pub fn undecodable(reason: impl Into<BoxError>) -> Self {
        Self::new(FailureKind::Undecodable, reason.into(), true)
    }

    /// The error that the failure was made of, with its causes. A text is an error, too.
    ///
    /// ```
    /// use onward_worker::Failure;
    ///
    /// assert_eq!(Failure::retry("busy").error().to_string(), "busy");
    /// ```
    #[must_use]
    pub fn error(&self) -> &(dyn Error + 'static) {
        &*self.error
    }

    /// Whether the handler has said what becomes of the message. With `?` it has not.
    #[must_use]
    pub const fn is_decided(&self) -> bool {
        self.is_decided
    }
}

impl<E: Into<BoxError>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::new(FailureKind::Retry, error.into(), false)
    }
}

/// Failures with the same consequence and the same reason are equal.
impl PartialEq for Failure {
    fn eq(&self, other: &Self) -> bool {
        (self.kind, &self.reason) == (other.kind, &other.reason)
    }
}

impl Eq for Failure {}
