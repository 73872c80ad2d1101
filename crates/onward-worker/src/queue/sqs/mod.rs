//! Amazon SQS behind the seam of [`Queue`], and what else is asked of it.

mod admin;
mod batch;
mod error;

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::MessageSystemAttributeName;
use tokio::sync::OnceCell;

pub use self::admin::{RedrivePolicy, attributes, dead_letter_url, queue_name, queue_url, redrive_policy};
pub use self::batch::{delete_entries, text_attribute, visibility_entries};
use self::batch::{refused, seconds};
use self::error::queue_error;
use super::{Message, Queue, Receipt, Refused, is_fifo};
use crate::error::QueueError;

/// The attribute of a dead letter with its reason: JSON with `reason`, `attempts`, `node` and `version`.
pub const REJECTED: &str = "onward.rejected";

/// The most characters of a reason; the attribute counts towards the size of the message.
const REASON_CHARS: usize = 1_000;

/// A queue of Amazon SQS, or of anything that speaks its protocol.
#[derive(Debug, Clone)]
pub struct Sqs {
    client: Client,
    url: Arc<str>,
    dead_letters: Arc<OnceCell<Option<String>>>,
    node: Arc<str>,
    version: Arc<str>,
}

impl Sqs {
    /// The queue at `url`, reached with the client's region, credentials and endpoint.
    #[must_use]
    pub fn new(client: Client, url: &str) -> Self {
        Self { client, url: url.into(), dead_letters: Arc::default(), node: "".into(), version: "".into() }
    }

    /// Names the worker in its dead letters: the host's name and the app's version.
    #[must_use]
    pub fn signed(self, node: &str, version: &str) -> Self {
        Self { node: node.into(), version: version.into(), ..self }
    }

    /// The URL of the dead-letter queue, asked for once.
    async fn dead_letter_url(&self) -> Result<Option<&str>, QueueError> {
        let url = self.dead_letters.get_or_try_init(|| dead_letter_url(&self.client, &self.url)).await?;
        Ok(url.as_deref())
    }
}

impl Queue for Sqs {
    fn is_fifo(&self) -> bool {
        is_fifo(&self.url)
    }

    fn name(&self) -> &str {
        queue_name(&self.url)
    }

    async fn receive(
        &self,
        max: usize,
        wait: Duration,
        visibility: Duration,
    ) -> Result<Vec<Message>, QueueError> {
        let received = self
            .client
            .receive_message()
            .queue_url(&*self.url)
            .max_number_of_messages(i32::try_from(max).unwrap_or(10))
            .wait_time_seconds(seconds(wait))
            .visibility_timeout(seconds(visibility))
            .message_system_attribute_names(MessageSystemAttributeName::ApproximateReceiveCount)
            .message_system_attribute_names(MessageSystemAttributeName::MessageGroupId)
            .message_system_attribute_names(MessageSystemAttributeName::AwsTraceHeader)
            .message_attribute_names("All")
            .send()
            .await
            .map_err(|error| queue_error(&error))?;
        Ok(received.messages.unwrap_or_default().into_iter().map(message).collect())
    }

    async fn delete(&self, receipts: &[Receipt]) -> Result<Vec<Refused>, QueueError> {
        let entries = delete_entries(receipts.iter().map(|receipt| receipt.0.as_str()));
        let request = self.client.delete_message_batch().queue_url(&*self.url);
        let request = request.set_entries(Some(entries));
        let answer = request.send().await.map_err(|error| queue_error(&error))?;
        Ok(refused(answer.failed()))
    }

    async fn change_visibility(&self, entries: &[(Receipt, Duration)]) -> Result<Vec<Refused>, QueueError> {
        let entries = visibility_entries(entries.iter().map(|(receipt, delay)| (receipt.0.as_str(), *delay)));
        let request = self.client.change_message_visibility_batch().queue_url(&*self.url);
        let request = request.set_entries(Some(entries));
        let answer = request.send().await.map_err(|error| queue_error(&error))?;
        Ok(refused(answer.failed()))
    }

    async fn send_to_dead_letters(&self, message: &Message, reason: &str) -> Result<bool, QueueError> {
        let Some(url) = self.dead_letter_url().await? else { return Ok(false) };
        let reason: String = reason.chars().take(REASON_CHARS).collect();
        let rejected = serde_json::json!({
            "reason": reason,
            "attempts": message.receive_count,
            "node": &*self.node,
            "version": &*self.version,
        });
        let mut request = self
            .client
            .send_message()
            .queue_url(url)
            .message_body(&message.body)
            .message_attributes(REJECTED, text_attribute(&rejected.to_string()))
            .set_message_group_id(message.group_id.clone())
            .set_message_deduplication_id(self.is_fifo().then(|| message.id.clone()));
        // SQS takes at most ten attributes.
        for (name, value) in message.attributes.iter().filter(|(name, _)| *name != REJECTED).take(9) {
            request = request.message_attributes(name, text_attribute(value));
        }
        request.send().await.map_err(|error| queue_error(&error))?;
        Ok(true)
    }
}

fn message(received: aws_sdk_sqs::types::Message) -> Message {
    let system = received.attributes.unwrap_or_default();
    let receive_count = system
        .get(&MessageSystemAttributeName::ApproximateReceiveCount)
        .and_then(|count| count.parse().ok())
        .unwrap_or(1);
    let attributes = received.message_attributes.unwrap_or_default().into_iter();
    Message {
        id: received.message_id.unwrap_or_default(),
        body: received.body.unwrap_or_default(),
        receive_count,
        group_id: system.get(&MessageSystemAttributeName::MessageGroupId).cloned(),
        trace_header: system.get(&MessageSystemAttributeName::AwsTraceHeader).cloned(),
        attributes: attributes.filter_map(|(name, value)| Some((name, value.string_value?))).collect(),
        receipt: Receipt(received.receipt_handle.unwrap_or_default()),
    }
}
