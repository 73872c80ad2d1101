use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// What became of every message, and what it cost in calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ledger {
    /// Messages that a receive brought.
    pub received: u64,
    /// Messages that were handled and deleted.
    pub done: u64,
    /// Messages that failed and will come back.
    pub retried: u64,
    /// Messages that went to the dead-letter queue.
    pub rejected: u64,
    /// Messages that were given back unhandled: when the worker stopped, behind a failure in their group, or because
    /// no handler became free in time.
    pub released: u64,
    /// Messages whose handler was still running when the grace ended; they come back.
    pub abandoned: u64,
    /// Messages that were handled and could not be deleted before their lease ended; they come back.
    pub undeleted: u64,
    /// `ReceiveMessage` calls.
    pub receive_calls: u64,
    /// `ReceiveMessage` calls that brought nothing.
    pub empty_receives: u64,
    /// `DeleteMessageBatch` calls.
    pub delete_calls: u64,
    /// `ChangeMessageVisibilityBatch` calls.
    pub visibility_calls: u64,
    /// `SendMessage` calls, to the dead-letter queue.
    pub send_calls: u64,
    /// Calls that failed, whatever the reason.
    pub failed_calls: u64,
}

impl Ledger {
    /// All calls that SQS bills.
    #[must_use]
    pub const fn calls(&self) -> u64 {
        self.receive_calls + self.delete_calls + self.visibility_calls + self.send_calls
    }
}

impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} received: {} done, {} retried, {} rejected, {} released, {} abandoned; {} calls",
            self.received,
            self.done,
            self.retried,
            self.rejected,
            self.released,
            self.abandoned,
            self.calls()
        )?;
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
    done,
    retried,
    rejected,
    released,
    abandoned,
    undeleted,
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
