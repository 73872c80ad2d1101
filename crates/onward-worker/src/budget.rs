use std::time::Duration;

/// How much a message may fail before the worker gives it up and writes it to the dead-letter queue.
///
/// The worker gives up when **both** are used up, so that an outage that is long, and a message that fails often in a short
/// time, cost no message. A handler that knows better rejects the message itself.
///
/// A receive counts as an attempt, because the process may have died in it. As it may also have gone back without one, three attempts must be
/// certain, as far as the budget has so many.
///
/// ```
/// use std::time::Duration;
/// use onward_worker::{Budget, Options};
///
/// let budget = Budget { attempts: 5, time: Duration::from_secs(3600) };
/// assert!(!budget.is_used_up(100, Duration::from_secs(60)), "a hundred attempts within a minute are an outage");
/// assert!(!budget.is_used_up(2, Duration::from_secs(7200)));
/// assert!(budget.is_used_up(5, Duration::from_secs(3600)));
/// let options = Options { budget, ..Options::default() };
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// The attempts that a message has in any case.
    pub attempts: u32,
    /// The time after its first receive that a message has in any case.
    pub time: Duration,
}

impl Default for Budget {
    fn default() -> Self {
        Self { attempts: 10, time: Duration::from_secs(6 * 3600) }
    }
}

impl Budget {
    /// Whether a message is given up after so many failed attempts, so long after its first receive.
    #[must_use]
    pub const fn is_used_up(&self, attempts: u32, age: Duration) -> bool {
        attempts >= self.attempts && age.as_millis() >= self.time.as_millis()
    }
}
