use std::collections::HashMap;
use std::time::{Duration, SystemTime};

/// One delivery of a message.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Message {
    /// The queue's id of the message; the same in each delivery of it.
    pub id: String,
    /// The body, as it was sent.
    pub body: String,
    /// How often it has been received, this time counted. A receive is a claim of a worker, not a run of the handler.
    pub receive_count: u32,
    /// Which run of the handler this is, as far as this process knows; receives before this one count as one run each.
    pub attempt: u32,
    /// The message group: of a FIFO queue, whose order is kept, or of a fair one.
    pub group_id: Option<String>,
    /// The attributes that it was sent with, see [`Message::attribute`].
    pub attributes: HashMap<String, Attribute>,
    /// The system attribute `AWSTraceHeader`, see [`Message::traceparent`].
    pub trace_header: Option<String>,
    /// When it was sent.
    pub sent: Option<SystemTime>,
    /// When it was first received.
    pub first_received: Option<SystemTime>,
    /// What acknowledges this delivery.
    pub receipt: Receipt,
}

/// The receipt handle of one delivery.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Receipt(pub String);

/// A message attribute, with its data type as the sender wrote it.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-metadata.html>
///
/// ```
/// use onward_worker::Attribute;
///
/// assert_eq!(Attribute::text("eu").as_text(), Some("eu"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute {
    /// `String`, `Number` or `Binary`, each also with a label of the sender's: `Number.float`.
    pub data_type: String,
    /// The value.
    pub value: AttributeValue,
}

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttributeValue {
    /// Of the types String and Number.
    Text(String),
    /// Of the type Binary.
    Binary(Vec<u8>),
}

impl Attribute {
    /// An attribute of the type String.
    pub fn text(value: impl Into<String>) -> Self {
        Self { data_type: "String".to_owned(), value: AttributeValue::Text(value.into()) }
    }

    /// The value of a String or Number.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match &self.value {
            AttributeValue::Text(text) => Some(text),
            AttributeValue::Binary(_) => None,
        }
    }
}

/// The message attribute of a copy that a worker has sent anew: how many attempts had failed, and when the message was first
/// received, in milliseconds since 1970, with a `/` in between.
pub const ATTEMPTS: &str = "onward.attempts";

/// The message attribute with the identity of a message that has been sent more than once: by the relay of an outbox, to a
/// dead-letter queue, or from there. A producer may set one of its own.
pub const MESSAGE_ID: &str = "onward.id";

impl Message {
    /// The value of an attribute of the type String or Number.
    ///
    /// ```
    /// use onward_worker::{Attribute, Message};
    ///
    /// let attributes = [("tenant".to_owned(), Attribute::text("acme"))].into();
    /// let message = Message { attributes, ..Message::default() };
    /// assert_eq!(message.attribute("tenant"), Some("acme"));
    /// ```
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.get(name).and_then(Attribute::as_text)
    }

    /// The identity of the message for life: the attribute [`MESSAGE_ID`], or else SQS's id. It stays the same through
    /// retries, the dead-letter queue, a redrive and the outbox.
    ///
    /// ```
    /// use onward_worker::{Attribute, MESSAGE_ID, Message};
    ///
    /// let plain = Message { id: "5fea7756".to_owned(), ..Message::default() };
    /// assert_eq!(plain.identity(), "5fea7756");
    ///
    /// let attributes = [(MESSAGE_ID.to_owned(), Attribute::text("order-7"))].into();
    /// assert_eq!(Message { attributes, ..plain }.identity(), "order-7");
    /// ```
    #[must_use]
    pub fn identity(&self) -> &str {
        self.attribute(MESSAGE_ID).unwrap_or(&self.id)
    }

    /// What a worker has recorded of attempts before this message was sent anew: how many had failed, and the first receive.
    pub(crate) fn recorded_attempts(&self) -> Option<(u32, SystemTime)> {
        let (failed, first_ms) = self.attribute(ATTEMPTS)?.split_once('/')?;
        // Anybody may have written it, and not every system has a time so far away.
        let first = SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(first_ms.parse().ok()?))?;
        Some((failed.parse().ok()?, first))
    }

    /// The bytes that it holds in memory.
    pub(crate) fn size(&self) -> usize {
        let attributes = self.attributes.iter().map(|(name, attribute)| {
            let value = match &attribute.value {
                AttributeValue::Text(text) => text.len(),
                AttributeValue::Binary(bytes) => bytes.len(),
            };
            name.len() + attribute.data_type.len() + value
        });
        self.body.len() + attributes.sum::<usize>()
    }
}
