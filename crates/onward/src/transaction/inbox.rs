//! What both databases share: the inbox, and the messages that a handler sends in its transaction.

use std::sync::atomic::Ordering;

use deadpool::managed::Manager;
use onward_worker::Failure;
use serde::Serialize;

use crate::queue::Queue;
use crate::queue::outgoing::encoded;
use crate::transaction::slot::Slot;

pub(crate) const ONE_TRANSACTION: &str = "a handler takes only one transaction among its arguments";

/// One row of the outbox, before it is written.
pub(crate) struct Sent<'a> {
    pub queue: &'a str,
    pub group: Option<&'a str>,
    pub body: String,
    pub traceparent: Option<String>,
}

impl<'a> Sent<'a> {
    pub(crate) fn new<M: Manager, T: Serialize>(
        slot: &Slot<M>,
        queue: &Queue<T>,
        group: Option<&'a str>,
        body: &T,
    ) -> Result<Self, Failure> {
        let queue = queue.name();
        let body = encoded(queue, group, body).map_err(Failure::reject)?;
        // Set before the row exists: a needless wake costs a query, a missing wake costs a poll interval.
        slot.has_sent.store(true, Ordering::Relaxed);
        Ok(Self { queue, group, body, traceparent: slot.traceparent.clone() })
    }
}

pub(crate) fn missing_table(table: &str) -> Failure {
    Failure::retry(format!(
        "the table `{table}` is missing, or has other columns: compare it with docs/inbox.md"
    ))
}
