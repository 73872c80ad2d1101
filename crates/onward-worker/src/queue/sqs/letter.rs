//! Copies of a message: a dead letter, or the message sent anew.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_sdk_sqs::Client;
use aws_sdk_sqs::operation::send_message::builders::SendMessageFluentBuilder;
use aws_sdk_sqs::primitives::Blob;
use aws_sdk_sqs::types::MessageAttributeValue;

use super::batch::{MAX_ATTRIBUTES, seconds, text_attribute, trace_header};
use super::error::answered;
use crate::error::{QueueError, QueueErrorKind};
use crate::message::{ATTEMPTS, Attribute, AttributeValue, MESSAGE_ID, Message};
use crate::queue::{Attempts, Death, is_fifo};

/// The attribute of a dead letter that Onward has written, with its reason: JSON with `reason`, `attempts`, `receives`,
/// `first_ms`, `last_ms`, `queue`, `node` and `version`.
pub const REJECTED: &str = "onward.rejected";

/// Where a message has died.
pub(super) struct Worker<'a> {
    pub queue: &'a str,
    pub node: &'a str,
    pub version: &'a str,
}

/// The lengths of a reason that are tried, in characters. Attributes count towards the size of the message, so where a
/// message is as large as SQS allows, the reason gives way, at last also the identity, and not what the sender wrote.
const REASON_CHARS: [Option<usize>; 4] = [Some(1_000), Some(100), Some(0), None];

/// Sends a dead letter, with all that the sender wrote and with the identity of the message.
pub(super) async fn send_dead(
    client: &Client,
    url: &str,
    worker: &Worker<'_>,
    message: &Message,
    death: &Death,
) -> Result<(), QueueError> {
    let mut refused = None;
    for chars in REASON_CHARS {
        let reason = chars.filter(|chars| *chars > 0);
        let about = reason.map(|chars| (REJECTED, rejected(worker, message, death, chars)));
        let identity = chars.map(|_| (MESSAGE_ID, message.identity().to_owned()));
        let request = copy(client, url, message, identity.into_iter().chain(about))
            .set_message_group_id(message.group_id.clone())
            .set_message_deduplication_id(is_fifo(url).then(|| deduplication_id(message)));
        match answered(request.send()).await {
            Ok(_) => return Ok(()),
            // Only what SQS says of the message itself can be helped by a shorter reason. The identity gives way to nothing but the size.
            Err(error) if chars == Some(0) && !is_too_large(&error) => return Err(error),
            Err(error) if error.kind == QueueErrorKind::Service => refused = Some(error),
            Err(error) => return Err(error),
        }
    }
    Err(refused.expect("at least one length was tried"))
}

/// SQS names the attribute or the body that is too long as a parameter that is not valid.
fn is_too_large(error: &QueueError) -> bool {
    ["InvalidParameterValue", "TooLong"].iter().any(|code| error.message.contains(code))
}

/// The longest delay of a message.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html>
const MAX_DELAY: Duration = Duration::from_secs(900);

/// Sends the message anew to its queue, unless it has no room for the record of its attempts: then it would never be given
/// up.
pub(super) async fn send_anew(
    client: &Client,
    url: &str,
    message: &Message,
    attempts: Attempts,
    delay: Duration,
) -> Result<bool, QueueError> {
    let own = [MESSAGE_ID, ATTEMPTS, REJECTED];
    let theirs = message.attributes.keys().filter(|name| !own.contains(&name.as_str())).count();
    if theirs + 2 > MAX_ATTRIBUTES {
        return Ok(false);
    }
    let own = [(MESSAGE_ID, message.identity().to_owned()), (ATTEMPTS, attempts.record())];
    let request = copy(client, url, message, own)
        .set_message_group_id(message.group_id.clone())
        .delay_seconds(seconds(delay.min(MAX_DELAY)));
    answered(request.send()).await.map(|_| true)
}

/// A request that sends all that the sender wrote and, where there is room, some attributes of our own.
fn copy<'a>(
    client: &Client,
    url: &str,
    message: &Message,
    own: impl IntoIterator<Item = (&'a str, String)>,
) -> SendMessageFluentBuilder {
    let mut request = client.send_message().queue_url(url).message_body(&message.body);
    if let Some(header) = &message.trace_header {
        let (name, value) = trace_header(header);
        request = request.message_system_attributes(name, value);
    }
    for (name, value) in attributes(message, own) {
        request = request.message_attributes(name, value);
    }
    request
}

/// A message that is rejected twice, because its delete did not come through, is one letter within SQS's five minutes. SQS's own id is another one
/// after a redrive and in another queue: there the identity would make the second letter a duplicate, which SQS accepts and drops.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/using-messagededuplicationid-property.html>
fn deduplication_id(message: &Message) -> String {
    format!("dead-{}", message.id)
}

fn attributes<'a>(
    message: &Message,
    own: impl IntoIterator<Item = (&'a str, String)>,
) -> Vec<(String, MessageAttributeValue)> {
    let earlier = [REJECTED, ATTEMPTS];
    let theirs = message.attributes.iter().filter(|(name, _)| !earlier.contains(&name.as_str()));
    let mut all: Vec<_> = theirs.map(|(name, value)| (name.clone(), attribute_value(value))).collect();
    for (name, value) in own {
        if all.len() < MAX_ATTRIBUTES && all.iter().all(|(known, _)| known != name) {
            all.push((name.to_owned(), text_attribute(&value)));
        }
    }
    all
}

fn rejected(worker: &Worker<'_>, message: &Message, death: &Death, chars: usize) -> String {
    let reason: String = death.reason.chars().filter(is_allowed).take(chars).collect();
    let ms = |time: SystemTime| time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
    let about = serde_json::json!({
        "reason": reason,
        "attempts": death.attempts,
        "receives": message.receive_count,
        "first_ms": death.first.map(ms),
        "last_ms": ms(death.last),
        "queue": worker.queue,
        "node": worker.node,
        "version": worker.version,
    });
    about.to_string()
}

/// The characters that SQS takes. JSON escapes the control characters.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html>
fn is_allowed(c: &char) -> bool {
    !matches!(c, '\u{FFFE}' | '\u{FFFF}')
}

/// An attribute as the SDK takes it.
#[must_use]
pub fn attribute_value(Attribute { data_type, value }: &Attribute) -> MessageAttributeValue {
    let attribute = MessageAttributeValue::builder().data_type(data_type);
    let attribute = match value {
        AttributeValue::Text(text) => attribute.string_value(text),
        AttributeValue::Binary(bytes) => attribute.binary_value(Blob::new(bytes.clone())),
    };
    attribute.build().expect("the data type is set")
}
