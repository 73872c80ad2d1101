//! What a received message says about itself.

use aws_sdk_sqs::types::{Message, MessageSystemAttributeName as System};
use onward_worker::{MESSAGE_ID, REJECTED};
use serde_json::{Value, json};

pub(crate) fn system(message: &Message, name: &System) -> Option<String> {
    message.attributes().and_then(|all| all.get(name)).cloned()
}

fn own<'a>(message: &'a Message, name: &str) -> Option<&'a str> {
    message.message_attributes()?.get(name)?.string_value()
}

/// The identity of the message for life.
pub(crate) fn identity(message: &Message) -> &str {
    own(message, MESSAGE_ID).or(message.message_id()).unwrap_or_default()
}

/// What the worker wrote about its death.
pub(crate) fn rejected(message: &Message) -> Option<Value> {
    own(message, REJECTED).and_then(|text| serde_json::from_str(text).ok())
}

/// Why it died, as the worker wrote it.
pub(crate) fn reason(message: &Message) -> Option<String> {
    rejected(message)?["reason"].as_str().map(str::to_owned)
}

/// The queue that it died in, where that is known.
pub(crate) fn source(message: &Message) -> Option<String> {
    let by_worker = rejected(message).and_then(|rejected| rejected["queue"].as_str().map(str::to_owned));
    let by_sqs = system(message, &System::DeadLetterQueueSourceArn);
    by_worker.or_else(|| by_sqs?.rsplit(':').next().map(str::to_owned))
}

/// Whether it died in this queue. One that does not say so belongs to the only queue of its dead-letter queue, or to nobody: several
/// queues may share one.
pub(crate) fn belongs_to(message: &Message, queue: &str, is_only: bool) -> bool {
    source(message).map_or(is_only, |source| source == queue)
}

/// Two letters of one queue with the same are copies of one message. By mistake a sender may use an identity for two bodies.
pub(crate) type CopyKey = (String, String);

pub(crate) fn copy_key(message: &Message) -> CopyKey {
    let body = message.md5_of_body().or(message.body()).unwrap_or_default();
    (identity(message).to_owned(), body.to_owned())
}

/// A time of SQS, in milliseconds since 1970.
pub(crate) fn ms(message: &Message, name: &System) -> Option<u64> {
    system(message, name)?.parse().ok()
}

/// Whether a text is in its body or its reason.
pub(crate) fn contains(message: &Message, text: &str) -> bool {
    message.body().unwrap_or_default().contains(text)
        || reason(message).is_some_and(|reason| reason.contains(text))
}

/// The bytes that SQS counts.
pub(crate) fn bytes(message: &Message) -> usize {
    let attributes = message.message_attributes().into_iter().flatten().map(|(name, value)| {
        let text = value.string_value().map_or(0, str::len);
        name.len() + value.data_type().len() + text + value.binary_value().map_or(0, |it| it.as_ref().len())
    });
    message.body().map_or(0, str::len) + attributes.sum::<usize>()
}

pub(crate) fn as_value(message: &Message) -> Value {
    json!({
        "id": identity(message),
        "body": message.body(),
        "receive_count": ms(message, &System::ApproximateReceiveCount).unwrap_or(0),
        "sent_ms": ms(message, &System::SentTimestamp),
        "group": system(message, &System::MessageGroupId).filter(|group| !group.is_empty()),
        "rejected": rejected(message),
    })
}

/// A time of SQS for a person. A letter may say anything about its time, also one that no calendar has.
pub(crate) fn shown_time(ms: u64) -> String {
    match ms {
        0..=LAST_MS => httpdate::fmt_http_date(std::time::UNIX_EPOCH + std::time::Duration::from_millis(ms)),
        _ => "?".to_owned(),
    }
}

/// The end of the year 9999.
const LAST_MS: u64 = 253_402_300_799_999;
