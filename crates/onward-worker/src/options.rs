use std::fmt;
use std::time::Duration;

use crate::backoff::Backoff;
use crate::budget::Budget;

/// How a worker works a queue.
///
/// ```
/// use std::time::Duration;
/// use onward_worker::Options;
///
/// let options = Options { concurrency: 64, handler_timeout: Duration::from_secs(30), ..Options::default() };
/// assert!(options.validate().is_ok());
///
/// let wrong = Options { wait: Duration::from_secs(21), ..Options::default() };
/// assert_eq!(wrong.validate().unwrap_err().to_string(), "wait must be 0 to 20 s");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// How many messages are handled at once.
    pub concurrency: usize,
    /// How long a poll waits for a message, up to SQS's 20 s. An idle worker makes one call in this time.
    pub wait: Duration,
    /// For how long messages are collected for one call, up to 20 s and half of `visibility`. After a receive that brought fewer messages
    /// than there was room for, the worker waits for this time before the next one, and what is done waits as long to be deleted together.
    /// This makes fewer calls. A message may be handled this much later, and what a process has done in this time is handled
    /// again if it dies. Zero waits for nothing.
    pub batching_window: Duration,
    /// How long a receive hides a message from other workers, before its lease is extended; 2 s to 12 h.
    pub visibility: Duration,
    /// How long this worker may keep a message altogether; SQS ends the lease itself 12 h after the receive.
    pub max_lease: Duration,
    /// How long a handler may take for one message.
    pub handler_timeout: Duration,
    /// How long running handlers have to end after the stop.
    pub grace: Duration,
    /// The delay before the second attempt; each later one doubles it, up to `max_backoff`, with jitter.
    pub backoff: Duration,
    /// The longest delay between two attempts, up to SQS's 12 h; a delay that a handler asks for is cut to it.
    pub max_backoff: Duration,
    /// For how long after its first receive a message whose body does not decode is tried again before it is rejected. Set it
    /// to the length of a rolling deployment, if senders may be newer than this worker; zero rejects it at once.
    pub undecodable: Duration,
    /// When the worker gives a message up and writes it to the dead-letter queue.
    pub budget: Budget,
    /// How many messages may wait in this process for their next attempt. A retry here costs no receive. What has no room
    /// goes back to the queue, with a delay that grows with each receive.
    pub max_parked: usize,
    /// After how many failures without a success in between the worker receives nothing for a while, once no more messages
    /// can wait here; 0 means never. A rejected message does not count, because the message is at fault.
    pub breaker_after: u32,
    /// How long the worker then receives nothing before it tries one message at a time; each one that fails doubles it.
    pub breaker_pause: Duration,
    /// The longest such pause.
    pub breaker_longest: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            concurrency: 16,
            wait: Duration::from_secs(20),
            batching_window: Duration::ZERO,
            visibility: Duration::from_secs(30),
            max_lease: Duration::from_secs(12 * 3600),
            handler_timeout: Duration::from_secs(300),
            grace: Duration::from_secs(25),
            backoff: Duration::from_secs(1),
            max_backoff: Duration::from_secs(900),
            undecodable: Duration::ZERO,
            budget: Budget::default(),
            max_parked: 2_000,
            breaker_after: 20,
            breaker_pause: Duration::from_secs(5),
            breaker_longest: Duration::from_secs(60),
        }
    }
}

/// An option outside what SQS or the worker can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OptionsError {
    /// The option's name.
    pub option: &'static str,
    /// The range that it must lie in.
    pub range: &'static str,
}

impl fmt::Display for OptionsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} must be {}", self.option, self.range)
    }
}

impl std::error::Error for OptionsError {}

impl Options {
    /// Checks every option against its range.
    ///
    /// The limits of SQS: <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html>
    ///
    /// # Errors
    ///
    /// The first option that is out of range.
    pub fn validate(&self) -> Result<(), OptionsError> {
        const TWELVE_HOURS: Duration = Duration::from_secs(12 * 3600);
        let seconds = Duration::from_secs;
        let longest_window = seconds(20).min(self.visibility / 2);
        let checks = [
            ("concurrency", (1..=10_000).contains(&self.concurrency), "1 to 10,000"),
            ("wait", self.wait <= seconds(20), "0 to 20 s"),
            (
                "batching_window",
                self.batching_window <= longest_window,
                "0 to 20 s, and no more than half of visibility",
            ),
            ("visibility", (seconds(2)..=TWELVE_HOURS).contains(&self.visibility), "2 s to 12 h"),
            ("max_lease", (self.visibility..=TWELVE_HOURS).contains(&self.max_lease), "visibility to 12 h"),
            ("handler_timeout", !self.handler_timeout.is_zero(), "more than 0"),
            ("backoff", self.backoff <= self.max_backoff, "no longer than max_backoff"),
            ("max_backoff", self.max_backoff <= TWELVE_HOURS, "at most 12 h"),
            ("budget.attempts", self.budget.attempts > 0, "1 or more"),
            ("max_parked", self.max_parked <= 10_000, "0 to 10,000"),
        ];
        match checks.into_iter().find(|(_, holds, _)| !holds) {
            Some((option, _, range)) => Err(OptionsError { option, range }),
            None => Ok(()),
        }
    }

    /// The delays between attempts.
    pub(crate) const fn backoff(&self) -> Backoff {
        Backoff { first: self.backoff, longest: self.max_backoff }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid_and_a_wrong_option_is_named() {
        assert_eq!(Options::default().validate(), Ok(()));
        let wrong = Options { wait: Duration::from_secs(21), ..Options::default() };
        assert_eq!(wrong.validate().expect_err("too long").to_string(), "wait must be 0 to 20 s");
    }
}
