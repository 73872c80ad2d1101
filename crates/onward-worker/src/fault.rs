use std::fmt;
use std::time::Duration;

/// An error of the queue itself: no message is lost by it, and the call is made again later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What it means.
    pub kind: FaultKind,
    /// What the queue or the network said.
    pub message: String,
}

/// What an error of the queue means for whoever has to mend it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FaultKind {
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

impl Fault {
    /// An error of the queue.
    pub fn new(kind: FaultKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// What to do about it.
    #[must_use]
    pub const fn help(&self) -> &'static str {
        match self.kind {
            FaultKind::Credentials => {
                "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE or a role, and allow it the sqs \
                 actions ReceiveMessage, DeleteMessage and ChangeMessageVisibility; the clock must be right to within \
                 some minutes"
            }
            FaultKind::MissingQueue => "create the queue, or correct QUEUE_URL and AWS_REGION",
            FaultKind::Throttled => "nothing is to be done: the worker waits longer between its calls",
            FaultKind::Network => "see whether the endpoint of QUEUE_URL can be reached from here",
            FaultKind::Service => "see the message; the call is made again",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Fault {}

/// The wait after `failures` failed calls in a row: never a hot loop, never a dead one.
pub(crate) fn pause(failures: u32) -> Duration {
    const FIRST: Duration = Duration::from_millis(200);
    const LONGEST: Duration = Duration::from_secs(20);
    let doubled = FIRST.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(LONGEST);
    doubled.mul_f64(0.5 + fastrand::f64() / 2.0)
}
