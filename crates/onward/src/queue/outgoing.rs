use std::fmt;
use std::time::Duration;

use onward_worker::{Attribute, AttributeValue, is_fifo};
use serde::Serialize;
use uuid::Uuid;

use crate::queue::entry::Entry;

/// The most bytes of a message, its attributes counted.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html>
const MAX_BYTES: usize = 1_048_576;

/// The bytes of the attributes that Onward adds: the identity of the message and its trace.
const OWN_ATTRIBUTES: usize = 256;

/// How many attributes a sender may set: SQS takes ten, and Onward adds its two.
const MAX_ATTRIBUTES: usize = 8;

/// The longest delay of a message.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html>
const MAX_DELAY: Duration = Duration::from_secs(900);

/// A body with what goes along with it, for [`Producer::send`](crate::Producer::send). A plain `&body` becomes one with nothing
/// else.
///
/// ```
/// use std::time::Duration;
/// use onward::{Outgoing, Producer, Queue, SendError};
///
/// const LEDGER: Queue<i64> = Queue::new("ledger.fifo");
///
/// async fn book(producer: &Producer, customer: &str, amount: i64) -> Result<String, SendError> {
///     let entry = Outgoing::new(&amount).group(customer);
///     producer.send(&LEDGER, entry).await
/// }
/// ```
#[derive(Debug, Clone)]
pub struct Outgoing<'a, T> {
    body: &'a T,
    id: Option<String>,
    group: Option<String>,
    deduplication_id: Option<String>,
    delay: Option<Duration>,
    traceparent: Option<String>,
    attributes: Vec<(String, Attribute)>,
}

impl<'a, T> Outgoing<'a, T> {
    /// A body with nothing else.
    #[must_use]
    pub const fn new(body: &'a T) -> Self {
        Self {
            body,
            id: None,
            group: None,
            deduplication_id: None,
            delay: None,
            traceparent: None,
            attributes: Vec::new(),
        }
    }

    /// Its identity for life, the attribute `onward.id`, by which an inbox recognises it. Give one where the same message may be sent
    /// twice, for example the number of the order; else each message gets an id of its own.
    #[must_use]
    pub fn id(self, id: impl Into<String>) -> Self {
        Self { id: Some(id.into()), ..self }
    }

    /// Its message group: a FIFO queue needs one, a standard queue shares itself out fairly by it.
    #[must_use]
    pub fn group(self, group: impl Into<String>) -> Self {
        Self { group: Some(group.into()), ..self }
    }

    /// What a FIFO queue recognises a second copy by for five minutes; by default the identity.
    #[must_use]
    pub fn deduplication_id(self, id: impl Into<String>) -> Self {
        Self { deduplication_id: Some(id.into()), ..self }
    }

    /// How long it stays hidden, up to 15 minutes, in whole seconds. A FIFO queue has no delay for a message.
    #[must_use]
    pub fn delay(self, delay: Duration) -> Self {
        Self { delay: Some(delay), ..self }
    }

    /// The trace that it belongs to, in the form of the W3C: [`Message::traceparent`](crate::Message::traceparent).
    #[must_use]
    pub fn traceparent(self, traceparent: impl Into<String>) -> Self {
        Self { traceparent: Some(traceparent.into()), ..self }
    }

    /// An attribute of the sender's own, of eight at most.
    #[must_use]
    pub fn attribute(mut self, name: impl Into<String>, value: Attribute) -> Self {
        self.attributes.push((name.into(), value));
        self
    }
}

impl<'a, T> From<&'a T> for Outgoing<'a, T> {
    fn from(body: &'a T) -> Self {
        Self::new(body)
    }
}

/// SQS can never take a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unsendable {
    queue: String,
    pub reason: String,
}

impl fmt::Display for Unsendable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a message to {} cannot be sent: {}", self.queue, self.reason)
    }
}

impl std::error::Error for Unsendable {}

/// A body as SQS takes it, to a queue and a group.
pub(crate) fn encoded(queue: &str, group: Option<&str>, body: &impl Serialize) -> Result<String, Unsendable> {
    let refuse = |reason: &str| Err(Unsendable { queue: queue.to_owned(), reason: reason.to_owned() });
    let body = match serde_json::to_string(body) {
        Ok(body) => body,
        Err(error) => return refuse(&format!("its body cannot be encoded: {error}")),
    };
    if body.len() > MAX_BYTES - OWN_ATTRIBUTES {
        return refuse("its body is larger than 1 MiB, less 256 bytes for attributes");
    }
    if group.is_some_and(|group| !is_group(group)) {
        return refuse("its group is not 1 to 128 letters, digits and ASCII punctuation");
    }
    if body.contains(['\u{FFFE}', '\u{FFFF}']) {
        return refuse("its body has a character that SQS does not take");
    }
    if is_fifo(queue) && group.is_none() {
        return refuse("the queue is FIFO and needs a group");
    }
    Ok(body)
}

/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html>
fn is_group(group: &str) -> bool {
    (1..=128).contains(&group.len()) && group.chars().all(|c| c.is_ascii_graphic())
}

/// A message that is ready to be sent.
#[derive(Debug)]
pub(crate) struct Ready {
    /// Its place among those that are sent together.
    pub index: usize,
    pub id: String,
    pub group: Option<String>,
    body: String,
    deduplication_id: Option<String>,
    delay: Option<Duration>,
    traceparent: Option<String>,
    attributes: Vec<(String, Attribute)>,
}

impl Ready {
    pub(crate) fn new<T: Serialize>(
        queue: &str,
        index: usize,
        outgoing: Outgoing<'_, T>,
    ) -> Result<Self, Unsendable> {
        let Outgoing { body, id, group, deduplication_id, delay, traceparent, attributes } = outgoing;
        let refuse = |reason: &str| Err(Unsendable { queue: queue.to_owned(), reason: reason.to_owned() });
        let body = encoded(queue, group.as_deref(), body)?;
        if delay.is_some_and(|delay| delay > MAX_DELAY) {
            return refuse("its delay is longer than 15 minutes");
        }
        if delay.is_some() && is_fifo(queue) {
            return refuse("a FIFO queue has no delay for a single message");
        }
        if attributes.len() > MAX_ATTRIBUTES {
            return refuse("it has more than eight attributes");
        }
        let id = id.unwrap_or_else(|| Uuid::now_v7().to_string());
        let deduplication_id = deduplication_id.or_else(|| is_fifo(queue).then(|| id.clone()));
        Ok(Self { index, id, group, body, deduplication_id, delay, traceparent, attributes })
    }

    pub(crate) fn entry(&self) -> Entry<'_> {
        Entry {
            body: &self.body,
            id: Some(&self.id),
            group: self.group.as_deref(),
            deduplication_id: self.deduplication_id.as_deref(),
            delay: self.delay,
            traceparent: self.traceparent.as_deref(),
            attributes: &self.attributes,
        }
    }

    /// The bytes that SQS counts.
    pub(crate) fn bytes(&self) -> usize {
        let of_attribute = |(name, attribute): &(String, Attribute)| {
            let value = match &attribute.value {
                AttributeValue::Text(text) => text.len(),
                AttributeValue::Binary(bytes) => bytes.len(),
            };
            name.len() + attribute.data_type.len() + value
        };
        self.body.len() + OWN_ATTRIBUTES + self.attributes.iter().map(of_attribute).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused<T: Serialize>(queue: &str, outgoing: Outgoing<'_, T>) -> String {
        Ready::new(queue, 0, outgoing).expect_err("cannot be sent").reason
    }

    #[test]
    fn what_sqs_would_refuse_for_ever_is_known_before_it_is_sent() {
        assert!(is_group("customer:7/eu") && is_group(&"g".repeat(128)));
        for group in ["", "two words", "ü", &"g".repeat(129)] {
            assert!(!is_group(group), "{group}");
        }
        let body = "x".repeat(MAX_BYTES);
        assert!(refused("orders", Outgoing::new(&body)).contains("larger than 1 MiB"));
        assert!(refused("orders.fifo", Outgoing::new(&1)).contains("needs a group"));
        assert!(refused("orders", Outgoing::new(&"\u{FFFF}")).contains("a character"));
        let late = Outgoing::new(&1).delay(Duration::from_secs(901));
        assert!(refused("orders", late).contains("15 minutes"));
        let delayed = Outgoing::new(&1).group("a").delay(Duration::from_secs(1));
        assert!(refused("orders.fifo", delayed).contains("no delay"));
        let many = (0..9).fold(Outgoing::new(&1), |it, n| it.attribute(n.to_string(), Attribute::text("x")));
        assert!(refused("orders", many).contains("eight attributes"));
    }

    #[test]
    fn a_message_has_one_identity() {
        let own = Ready::new("orders.fifo", 0, Outgoing::new(&1).group("a").id("order-7")).expect("is sent");
        let entry = own.entry();
        assert_eq!((entry.id, entry.deduplication_id), (Some("order-7"), Some("order-7")));
        let [one, other] =
            [0, 1].map(|index| Ready::new("orders", index, Outgoing::new(&1)).expect("is sent"));
        assert_ne!(one.id, other.id);
        assert_eq!(one.entry().deduplication_id, None, "a standard queue has none");
    }
}
