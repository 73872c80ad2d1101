//! Amazon SQS behind the seam of [`Queue`], and what else is asked of it.

mod admin;
mod batch;
#[cfg(feature = "env")]
mod credentials;
#[cfg(feature = "env")]
mod env;
mod error;
mod letter;
mod policy;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::MessageSystemAttributeName;

pub use self::admin::{RedrivePolicy, attributes, dead_letter_url, queue_name, queue_url, redrive_policy};
use self::batch::refused;
pub use self::batch::{
    MAX_ATTRIBUTES, batches, delete_entries, seconds, text_attribute, trace_header, visibility_entries,
};
#[cfg(feature = "env")]
pub use self::env::{FromEnvError, WrongUrl, client_of, client_of_private};
use self::error::queue_error;
pub use self::error::{answered, may_pass};
pub use self::letter::{REJECTED, attribute_value};
use self::policy::KnownPolicy;
use super::{Attempts, Death, Queue, Refused, is_fifo, is_nearly_used_up};
use crate::error::QueueError;
use crate::message::{Attribute, AttributeValue, Message, Receipt};

/// A queue of Amazon SQS, or of anything that speaks its protocol.
#[derive(Debug, Clone)]
pub struct Sqs {
    client: Client,
    url: Arc<str>,
    policy: KnownPolicy,
    node: Arc<str>,
    version: Arc<str>,
}

impl Sqs {
    /// The queue at `url`, reached with the client's region, credentials and endpoint.
    #[must_use]
    pub fn new(client: Client, url: &str) -> Self {
        Self { client, url: url.into(), policy: KnownPolicy::default(), node: "".into(), version: "".into() }
    }

    /// The queue that the variable `QUEUE_URL` names, as [`client_of`] reaches it.
    ///
    /// ```no_run
    /// use onward_worker::{Failure, Message, Options, Sqs, run};
    ///
    /// async fn print(message: Message) -> Result<(), Failure> {
    ///     println!("{}", message.body);
    ///     Ok(())
    /// }
    ///
    /// # async fn work() -> Result<(), Box<dyn std::error::Error>> {
    /// let stop = async { if tokio::signal::ctrl_c().await.is_err() { std::future::pending().await } };
    /// let ledger = run(Sqs::from_env().await?, print, Options::default(), stop).await?;
    /// println!("{ledger}");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The variable is not set, or is not the URL of a queue. Whether the queue is there shows at the first poll.
    #[cfg(feature = "env")]
    pub async fn from_env() -> Result<Self, FromEnvError> {
        let (client, url) = env::from_env().await?;
        Ok(Self::new(client, &url))
    }

    /// A queue that no test reaches.
    #[cfg(test)]
    pub(crate) fn nowhere() -> Self {
        let config = aws_sdk_sqs::Config::builder();
        let config = config.behavior_version(aws_sdk_sqs::config::BehaviorVersion::latest()).build();
        Self::new(Client::from_conf(config), "http://127.0.0.1:1/1/nowhere")
    }

    /// Names the worker in its dead letters: the host's name and the app's version.
    #[must_use]
    pub fn signed(self, node: &str, version: &str) -> Self {
        Self { node: node.into(), version: version.into(), ..self }
    }
}

impl Queue for Sqs {
    fn is_fifo(&self) -> bool {
        is_fifo(&self.url)
    }

    fn name(&self) -> &str {
        queue_name(&self.url)
    }

    fn receive_limit(&self) -> Option<u32> {
        self.policy.receive_limit()
    }

    async fn receive(
        &self,
        max: usize,
        wait: Duration,
        visibility: Duration,
    ) -> Result<Vec<Message>, QueueError> {
        self.policy.learn(&self.client, &self.url).await?;
        let receive = self
            .client
            .receive_message()
            .queue_url(&*self.url)
            .max_number_of_messages(i32::try_from(max).unwrap_or(10))
            .wait_time_seconds(seconds(wait))
            .visibility_timeout(seconds(visibility))
            .message_system_attribute_names(MessageSystemAttributeName::ApproximateReceiveCount)
            .message_system_attribute_names(MessageSystemAttributeName::MessageGroupId)
            .message_system_attribute_names(MessageSystemAttributeName::AwsTraceHeader)
            .message_system_attribute_names(MessageSystemAttributeName::SentTimestamp)
            .message_system_attribute_names(MessageSystemAttributeName::ApproximateFirstReceiveTimestamp)
            .message_attribute_names("All");
        let received = Box::pin(receive.send()).await.map_err(|error| queue_error(&error))?;
        Ok(received.messages.unwrap_or_default().into_iter().map(message).collect())
    }

    async fn delete(&self, receipts: &[Receipt]) -> Result<Vec<Refused>, QueueError> {
        let entries = delete_entries(receipts.iter().map(|receipt| receipt.0.as_str()));
        let request = self.client.delete_message_batch().queue_url(&*self.url);
        let request = request.set_entries(Some(entries));
        let answer = answered(request.send()).await?;
        Ok(refused(answer.failed()))
    }

    async fn change_visibility(&self, entries: &[(Receipt, Duration)]) -> Result<Vec<Refused>, QueueError> {
        let entries = visibility_entries(entries.iter().map(|(receipt, delay)| (receipt.0.as_str(), *delay)));
        let request = self.client.change_message_visibility_batch().queue_url(&*self.url);
        let request = request.set_entries(Some(entries));
        let answer = answered(request.send()).await?;
        Ok(refused(answer.failed()))
    }

    async fn send_to_dead_letters(&self, message: &Message, death: &Death) -> Result<bool, QueueError> {
        let Some(letters) = self.policy.dead_letters(&self.client, &self.url).await? else {
            return Ok(false);
        };
        let worker = letter::Worker { queue: self.name(), node: &self.node, version: &self.version };
        let sent = letter::send_dead(&self.client, &letters, &worker, message, death).await;
        if sent.is_err() {
            self.policy.doubt();
        }
        sent.map(|()| true)
    }

    async fn renew(
        &self,
        message: &Message,
        attempts: Attempts,
        delay: Duration,
    ) -> Result<bool, QueueError> {
        if self.is_fifo() {
            return Ok(false);
        }
        match self.policy.get(&self.client, &self.url).await? {
            Some(policy) if is_nearly_used_up(message, policy.max_receive_count) => {
                letter::send_anew(&self.client, &self.url, message, attempts, delay).await
            }
            _ => Ok(false),
        }
    }
}

fn message(received: aws_sdk_sqs::types::Message) -> Message {
    let time = |ms: &str| Some(UNIX_EPOCH + Duration::from_millis(ms.parse().ok()?));
    let mut message = Message {
        id: received.message_id.unwrap_or_default(),
        body: received.body.unwrap_or_default(),
        receive_count: 1,
        attributes: attributes_of(received.message_attributes),
        receipt: Receipt(received.receipt_handle.unwrap_or_default()),
        ..Message::default()
    };
    for (name, value) in received.attributes.into_iter().flatten() {
        match name {
            MessageSystemAttributeName::ApproximateReceiveCount => {
                message.receive_count = value.parse().unwrap_or(1);
            }
            MessageSystemAttributeName::MessageGroupId => message.group_id = Some(value),
            MessageSystemAttributeName::AwsTraceHeader => message.trace_header = Some(value),
            MessageSystemAttributeName::SentTimestamp => message.sent = time(&value),
            MessageSystemAttributeName::ApproximateFirstReceiveTimestamp => {
                message.first_received = time(&value);
            }
            _ => {}
        }
    }
    message.attempt = message.receive_count;
    message
}

fn attributes_of(
    all: Option<HashMap<String, aws_sdk_sqs::types::MessageAttributeValue>>,
) -> HashMap<String, Attribute> {
    let attribute = |value: aws_sdk_sqs::types::MessageAttributeValue| Attribute {
        data_type: value.data_type,
        value: match (value.string_value, value.binary_value) {
            (Some(text), _) => AttributeValue::Text(text),
            (None, bytes) => AttributeValue::Binary(
                bytes.map(aws_sdk_sqs::primitives::Blob::into_inner).unwrap_or_default(),
            ),
        },
    };
    all.unwrap_or_default().into_iter().map(|(name, value)| (name, attribute(value))).collect()
}
