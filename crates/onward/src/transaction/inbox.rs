//! What both databases share: the inbox, and the messages that a handler sends in its transaction.

use std::sync::atomic::Ordering;

use deadpool::managed::Manager;
use onward_worker::{Failure, is_fifo};
use serde::Serialize;

use crate::transaction::slot::Slot;

/// The most bytes of a message, its attributes counted.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html>
const MAX_BYTES: usize = 1_048_576;

/// The bytes of the attributes that the relay adds: the identity of the message and its trace.
const ATTRIBUTES: usize = 256;

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
        if body.len() > MAX_BYTES - ATTRIBUTES {
            return reject("its body is larger than 1 MiB, less 256 bytes for attributes");
        }
        if !is_queue_name(queue) {
            return reject(
                "SQS allows no queue of this name: up to 80 letters, digits, `-` and `_`, and `.fifo`",
            );
        }
        if group.is_some_and(|group| !is_group(group)) {
            return reject("its group is not 1 to 128 letters, digits and ASCII punctuation");
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

/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_CreateQueue.html>
fn is_queue_name(name: &str) -> bool {
    let stem = name.strip_suffix(".fifo").unwrap_or(name);
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    (1..=80).contains(&name.len()) && !stem.is_empty() && stem.chars().all(is_allowed)
}

/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html>
fn is_group(group: &str) -> bool {
    (1..=128).contains(&group.len()) && group.chars().all(|c| c.is_ascii_graphic())
}

pub(crate) fn missing_table(table: &str) -> Failure {
    Failure::retry(format!(
        "the table `{table}` is missing, or has other columns: compare it with docs/inbox.md"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_sqs_would_refuse_for_ever_is_known_before_the_row_is_written() {
        for name in ["orders", "orders-2_a.fifo", &"q".repeat(80)] {
            assert!(is_queue_name(name), "{name}");
        }
        for name in ["", ".fifo", "orders.eu", "a b", "https://sqs.local/1/orders", &"q".repeat(81)] {
            assert!(!is_queue_name(name), "{name}");
        }
        assert!(is_group("customer:7/eu") && is_group(&"g".repeat(128)));
        for group in ["", "two words", "ü", &"g".repeat(129)] {
            assert!(!is_group(group), "{group}");
        }
    }
}
