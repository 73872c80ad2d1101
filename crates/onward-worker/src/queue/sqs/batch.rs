//! The entries of SQS's batches. An entry's id is its index in the batch.

use std::time::Duration;

use aws_sdk_sqs::types::{
    BatchResultErrorEntry, ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry,
    MessageAttributeValue, MessageSystemAttributeNameForSends, MessageSystemAttributeValue,
};

use super::error::may_pass;
use crate::queue::{BATCH, Refused};

/// The most bytes of a batch: SQS accepts 1 MiB, other servers the 256 KiB that SQS accepted before.
const BATCH_BYTES: usize = 200 * 1024;

/// Splits messages in their order into batches of ten that are small enough together. One that is larger alone is a batch of
/// its own.
///
/// ```
/// let bodies = ["x".repeat(150_000), "y".repeat(150_000), "z".to_owned()];
/// let lengths: Vec<_> = onward_worker::sqs::batches(&bodies, String::len).map(<[String]>::len).collect();
/// assert_eq!(lengths, [1, 2]);
/// ```
pub fn batches<'a, T>(
    messages: &'a [T],
    bytes: impl Fn(&T) -> usize + 'a,
) -> impl Iterator<Item = &'a [T]> + 'a {
    let mut rest = messages;
    std::iter::from_fn(move || {
        let mut sum = 0;
        let fits = |message: &&T| {
            sum += bytes(message);
            sum <= BATCH_BYTES
        };
        let length = rest.iter().take(BATCH).take_while(fits).count().max(1).min(rest.len());
        let (batch, later) = rest.split_at(length);
        rest = later;
        (!batch.is_empty()).then_some(batch)
    })
}

/// An entry for each receipt handle.
pub fn delete_entries<'a>(
    receipts: impl IntoIterator<Item = &'a str>,
) -> Vec<DeleteMessageBatchRequestEntry> {
    let entry = |(index, receipt): (usize, &str)| {
        DeleteMessageBatchRequestEntry::builder()
            .id(index.to_string())
            .receipt_handle(receipt)
            .build()
            .expect("id and receipt handle are set")
    };
    receipts.into_iter().enumerate().map(entry).collect()
}

/// An entry for each receipt handle, with the time from now for which its message stays hidden.
pub fn visibility_entries<'a>(
    entries: impl IntoIterator<Item = (&'a str, Duration)>,
) -> Vec<ChangeMessageVisibilityBatchRequestEntry> {
    let entry = |(index, (receipt, visibility)): (usize, (&str, Duration))| {
        ChangeMessageVisibilityBatchRequestEntry::builder()
            .id(index.to_string())
            .receipt_handle(receipt)
            .visibility_timeout(seconds(visibility))
            .build()
            .expect("id and receipt handle are set")
    };
    entries.into_iter().enumerate().map(entry).collect()
}

/// A message attribute of the type String.
#[must_use]
pub fn text_attribute(value: &str) -> MessageAttributeValue {
    let attribute = MessageAttributeValue::builder().data_type("String").string_value(value);
    attribute.build().expect("the data type is set")
}

/// SQS takes at most ten attributes.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-metadata.html>
pub const MAX_ATTRIBUTES: usize = 10;

/// The system attribute with the trace header of X-Ray, the only one that a sender may set.
#[must_use]
pub fn trace_header(header: &str) -> (MessageSystemAttributeNameForSends, MessageSystemAttributeValue) {
    let value = MessageSystemAttributeValue::builder().data_type("String").string_value(header);
    (MessageSystemAttributeNameForSends::AwsTraceHeader, value.build().expect("the data type is set"))
}

/// SQS counts in whole seconds. A part of a second counts as one, so that a delay is never cut short.
///
/// ```
/// use std::time::Duration;
///
/// assert_eq!(onward_worker::sqs::seconds(Duration::from_millis(500)), 1);
/// ```
#[must_use]
pub fn seconds(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis().div_ceil(1000)).unwrap_or(i32::MAX)
}

/// The entries that SQS refused.
pub(super) fn refused(entries: &[BatchResultErrorEntry]) -> Vec<Refused> {
    entries
        .iter()
        .map(|entry| Refused {
            index: entry.id().parse().unwrap_or(usize::MAX),
            reason: format!("{}: {}", entry.code(), entry.message().unwrap_or_default()),
            is_permanent: entry.sender_fault() && !may_pass(entry.code()),
        })
        .collect()
}
