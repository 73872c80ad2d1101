use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// What became of every message, and how many calls it cost.
///
/// ```
/// use onward_worker::Ledger;
///
/// let mut ledger = Ledger::default();
/// (ledger.received, ledger.receive_calls, ledger.delete_calls) = (10, 1, 1);
/// assert_eq!(ledger.calls(), 2);
/// assert!(ledger.dollars() < 0.000_001);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Ledger {
    /// Messages that a receive brought.
    pub received: u64,
    /// Those of them that this or another worker had received before.
    pub redelivered: u64,
    /// Messages that were handled and deleted.
    pub done: u64,
    /// Attempts that failed and are repeated, here or after another receive.
    pub retried: u64,
    /// Messages that went to the dead-letter queue because their handler rejected them.
    pub rejected: u64,
    /// Messages that went to the dead-letter queue because their budget was used up.
    pub given_up: u64,
    /// Messages that were sent anew, because few more receives would have made them dead letters.
    pub renewed: u64,
    /// Messages that were given back without an attempt: when the worker stopped, behind a failure in their group, or
    /// because no handler became free in time.
    pub released: u64,
    /// Messages whose handler was still running when the grace ended; they were given back.
    pub abandoned: u64,
    /// Messages that were handled and could not be deleted before their lease ended; they come back.
    pub undeleted: u64,
    /// How often the worker stopped receiving for a while, because every message failed and no more could wait here.
    pub pauses: u64,
    /// `ReceiveMessage` calls.
    pub receive_calls: u64,
    /// `ReceiveMessage` calls that brought nothing.
    pub empty_receives: u64,
    /// `DeleteMessageBatch` calls.
    pub delete_calls: u64,
    /// `ChangeMessageVisibilityBatch` calls.
    pub visibility_calls: u64,
    /// `SendMessage` calls to the dead-letter queue.
    pub send_calls: u64,
    /// Calls that failed, whatever the reason.
    pub failed_calls: u64,
}

impl Ledger {
    /// All calls that SQS bills.
    #[must_use]
    pub const fn calls(&self) -> u64 {
        self.receive_calls + self.delete_calls + self.visibility_calls + self.send_calls + self.renewed
    }

    /// What the calls cost at list price, in US dollars: 0.40 for a million, payloads up to 64 KiB, without the free
    /// million of a month. <https://aws.amazon.com/sqs/pricing/>
    #[must_use]
    pub fn dollars(&self) -> f64 {
        self.calls() as f64 * 0.40 / 1_000_000.0
    }
}

impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} received ({} again): {} done, {} retried, {} rejected, {} released, {} abandoned; {} calls, ${:.4}",
            self.received,
            self.redelivered,
            self.done,
            self.retried,
            self.rejected,
            self.released,
            self.abandoned,
            self.calls(),
            self.dollars()
        )?;
        if self.given_up > 0 {
            write!(f, "; {} given up", self.given_up)?;
        }
        if self.undeleted > 0 {
            write!(f, "; {} done but not deleted", self.undeleted)?;
        }
        Ok(())
    }
}

macro_rules! counters {
    ($($name:ident),* $(,)?) => {
        /// The ledger while it is written, by every task at once.
        #[derive(Debug, Default)]
        pub(crate) struct Counters {
            $(pub $name: AtomicU64),*
        }

        impl Counters {
            pub(crate) fn read(&self) -> Ledger {
                Ledger { $($name: self.$name.load(Ordering::Relaxed)),* }
            }
        }
    };
}

counters!(
    received,
    redelivered,
    done,
    retried,
    rejected,
    given_up,
    renewed,
    released,
    abandoned,
    undeleted,
    pauses,
    receive_calls,
    empty_receives,
    delete_calls,
    visibility_calls,
    send_calls,
    failed_calls,
);

/// Adds to a counter.
pub(crate) fn count(counter: &AtomicU64, by: usize) {
    counter.fetch_add(by as u64, Ordering::Relaxed);
}
