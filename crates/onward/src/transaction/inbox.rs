//! What both databases share: the inbox, and the messages that a handler sends in its transaction.

use std::sync::atomic::Ordering;

use deadpool::managed::Manager;
use onward_worker::{Failure, is_fifo};
use serde::Serialize;

use crate::transaction::slot::Slot;

/// The most bytes of a message.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html>
const MAX_BYTES: usize = 1_048_576;

pub(crate) const ONE_TRANSACTION: &str = "a handler takes only one transaction among its arguments";

/// One row of the outbox, before it is written.
pub(crate) struct Sent<'a> {
    pub queue: &'a str,
    pub group: Option<&'a str>,
    pub body: String,
    pub traceparent: Option<String>,
}

impl<'a> Sent<'a> {
    pub(crate) fn new<M: Manager>(
        slot: &Slot<M>,
        queue: &'a str,
        group: Option<&'a str>,
        body: &impl Serialize,
    ) -> Result<Self, Failure> {
        let body = serde_json::to_string(body)
            .map_err(|error| Failure::reject(format!("a message to {queue} cannot be encoded: {error}")))?;
        let reject =
            |reason: &str| Err(Failure::reject(format!("a message to {queue} cannot be sent: {reason}")));
        if body.len() > MAX_BYTES {
            return reject("its body is larger than 1 MiB");
        }
        if body.contains(['\u{FFFE}', '\u{FFFF}']) {
            return reject("its body has a character that SQS does not take");
        }
        if is_fifo(queue) && group.is_none() {
            return reject("the queue is FIFO and needs a group: use `send_to_group`");
        }
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
