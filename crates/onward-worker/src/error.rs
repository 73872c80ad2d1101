use std::fmt;

/// An error of the queue itself: it loses no message, and the worker makes the call again later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueError {
    /// What it means.
    pub kind: QueueErrorKind,
    /// What the queue or the network said, with its causes.
    pub message: String,
}

/// What an error of the queue means for whoever has to correct it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum QueueErrorKind {
    /// The credentials are missing, wrong or expired, or do not allow the call.
    Credentials,
    /// There is no such queue.
    MissingQueue,
    /// Too many calls.
    Throttled,
    /// The service cannot be reached, or did not answer in time.
    Network,
    /// Anything else that the service said.
    Service,
}

impl QueueError {
    /// An error of the queue.
    pub fn new(kind: QueueErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// Whether the same call may succeed later without a change of the configuration.
    #[must_use]
    pub const fn may_pass(&self) -> bool {
        matches!(self.kind, QueueErrorKind::Throttled | QueueErrorKind::Network | QueueErrorKind::Service)
    }

    /// What to do about it.
    #[must_use]
    pub const fn help(&self) -> &'static str {
        match self.kind {
            QueueErrorKind::Credentials => {
                "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE or a role, and allow it the sqs \
                 actions ReceiveMessage, DeleteMessage and ChangeMessageVisibility; the clock must be right to within \
                 some minutes"
            }
            QueueErrorKind::MissingQueue => "create the queue, or correct QUEUE_URL and AWS_REGION",
            QueueErrorKind::Throttled => {
                "make the call later; a worker waits longer between its calls by itself"
            }
            QueueErrorKind::Network => {
                "check that the endpoint of QUEUE_URL can be reached from this machine"
            }
            QueueErrorKind::Service => {
                "correct what the message names; a fault of the service passes, and the same call can be made again"
            }
        }
    }
}

impl fmt::Display for QueueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for QueueError {}
