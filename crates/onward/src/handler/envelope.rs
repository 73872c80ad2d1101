//! Bodies that another AWS service has wrapped.

use std::collections::HashMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::handler::decode::decode;
use crate::handler::encoding::{bytes, text};
use crate::handler::extract::{Body, Delivery, FromMessage, Stop};

/// A notification of SNS without raw message delivery: its `Message` is JSON of `T`.
/// <https://docs.aws.amazon.com/sns/latest/dg/sns-message-and-json-formats.html>
///
/// ```
/// use onward::{Failure, Sns};
///
/// #[derive(serde::Deserialize)]
/// struct Order {
///     id: i64,
/// }
///
/// async fn take_order(Sns { message: order, topic_arn, .. }: Sns<Order>) -> Result<(), Failure> {
///     println!("order {} from {topic_arn}", order.id);
///     Ok(())
/// }
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Sns<T> {
    /// The message that the publisher sent.
    pub message: T,
    /// Its subject.
    pub subject: Option<String>,
    /// The topic.
    pub topic_arn: String,
    /// The attributes by their names; binary ones are in Base64.
    pub attributes: HashMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Notification {
    message: String,
    subject: Option<String>,
    topic_arn: String,
    #[serde(default)]
    message_attributes: HashMap<String, NotificationAttribute>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct NotificationAttribute {
    value: String,
}

impl<T> Body<T> for Sns<T> {}

impl<T: DeserializeOwned + Send, S: Sync> FromMessage<S> for Sns<T> {
    async fn from_message(delivery: &mut Delivery<'_, S>) -> Result<Self, Stop> {
        let Notification { message, subject, topic_arn, message_attributes } =
            decode(&text(delivery.message)?)?;
        let attributes =
            message_attributes.into_iter().map(|(name, attribute)| (name, attribute.value)).collect();
        Ok(Self { message: decode(&message)?, subject, topic_arn, attributes })
    }
}

/// An event of EventBridge; its `detail` is JSON of `T`.
/// <https://docs.aws.amazon.com/eventbridge/latest/ref/overiew-event-structure.html>
///
/// ```
/// use onward::{EventBridge, Failure};
///
/// async fn print(event: EventBridge<serde_json::Value>) -> Result<(), Failure> {
///     println!("{} of {}: {}", event.detail_type, event.source, event.detail);
///     Ok(())
/// }
/// ```
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct EventBridge<T> {
    /// The event's id.
    pub id: String,
    /// What kind of event it is.
    pub detail_type: String,
    /// The service or application that has sent it.
    pub source: String,
    /// When, as RFC 3339.
    pub time: String,
    /// The resources that it is about.
    #[serde(default)]
    pub resources: Vec<String>,
    /// The event itself.
    pub detail: T,
}

impl<T> Body<T> for EventBridge<T> {}

impl<T: DeserializeOwned + Send, S: Sync> FromMessage<S> for EventBridge<T> {
    async fn from_message(delivery: &mut Delivery<'_, S>) -> Result<Self, Stop> {
        Ok(decode(&text(delivery.message)?)?)
    }
}

/// A CloudEvent in structured mode, with JSON data of `T`.
/// <https://github.com/cloudevents/spec/blob/main/cloudevents/formats/json-format.md>
///
/// ```
/// use onward::{CloudEvent, Failure};
///
/// async fn print(event: CloudEvent<serde_json::Value>) -> Result<(), Failure> {
///     println!("{} {}: {}", event.source, event.event_type, event.data);
///     Ok(())
/// }
/// ```
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct CloudEvent<T> {
    /// The event's id, unique for its source.
    pub id: String,
    /// Where it comes from.
    pub source: String,
    /// What kind of event it is.
    #[serde(rename = "type")]
    pub event_type: String,
    /// What it is about.
    pub subject: Option<String>,
    /// When it happened, as RFC 3339.
    pub time: Option<String>,
    /// The event itself.
    pub data: T,
}

impl<T> Body<T> for CloudEvent<T> {}

impl<T: DeserializeOwned + Send, S: Sync> FromMessage<S> for CloudEvent<T> {
    async fn from_message(delivery: &mut Delivery<'_, S>) -> Result<Self, Stop> {
        Ok(decode(&text(delivery.message)?)?)
    }
}

/// The body as bytes: the text itself, or the bytes that it stands for in Base64 where the attribute
/// `Content-Transfer-Encoding` is `base64`, decompressed where the attribute `Content-Encoding` is `gzip`.
///
/// ```
/// use onward::{Failure, RawBody};
///
/// async fn store(RawBody(bytes): RawBody) -> Result<(), Failure> {
///     println!("{} bytes", bytes.len());
///     Ok(())
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawBody(pub Vec<u8>);

impl<T> Body<T> for RawBody {}

impl<S: Sync> FromMessage<S> for RawBody {
    async fn from_message(delivery: &mut Delivery<'_, S>) -> Result<Self, Stop> {
        Ok(Self(bytes(delivery.message)?.into_owned()))
    }
}
