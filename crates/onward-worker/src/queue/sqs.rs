use std::sync::Arc;
use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sqs::types::{
    BatchResultErrorEntry, ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry,
    MessageAttributeValue, MessageSystemAttributeName, QueueAttributeName,
};
use tokio::sync::OnceCell;

use super::{Message, Queue, Receipt, Refused, is_fifo};
use crate::fault::{Fault, FaultKind};

/// The attribute of a dead letter that says why it is one: JSON with `reason`, `attempts`, `node` and `version`.
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

    /// Who works the queue, for the dead letters: the host's name and the app's version.
    #[must_use]
    pub fn signed(self, node: &str, version: &str) -> Self {
        Self { node: node.into(), version: version.into(), ..self }
    }

    /// The URL of the queue that this queue's redrive policy names, asked for once.
    async fn dead_letter_url(&self) -> Result<Option<&str>, Fault> {
        let url = self.dead_letters.get_or_try_init(|| self.find_dead_letter_url()).await?;
        Ok(url.as_deref())
    }

    async fn find_dead_letter_url(&self) -> Result<Option<String>, Fault> {
        let attributes = self
            .client
            .get_queue_attributes()
            .queue_url(&*self.url)
            .attribute_names(QueueAttributeName::RedrivePolicy)
            .send()
            .await
            .map_err(|error| fault(&error))?;
        let policy = attributes
            .attributes()
            .and_then(|all| all.get(&QueueAttributeName::RedrivePolicy))
            .and_then(|policy| serde_json::from_str::<serde_json::Value>(policy).ok());
        let Some(arn) = policy.as_ref().and_then(|policy| policy["deadLetterTargetArn"].as_str()) else {
            return Ok(None);
        };
        // arn:aws:sqs:REGION:ACCOUNT:NAME
        let mut parts = arn.rsplit(':');
        let (Some(name), Some(account)) = (parts.next(), parts.next()) else { return Ok(None) };
        let request = self.client.get_queue_url().queue_name(name).queue_owner_aws_account_id(account);
        let found = request.send().await.map_err(|error| fault(&error))?;
        Ok(found.queue_url)
    }
}

impl Queue for Sqs {
    fn is_fifo(&self) -> bool {
        is_fifo(&self.url)
    }

    fn name(&self) -> &str {
        self.url.rsplit('/').next().unwrap_or_default()
    }

    async fn receive(&self, max: usize, wait: Duration, visibility: Duration) -> Result<Vec<Message>, Fault> {
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
            .map_err(|error| fault(&error))?;
        Ok(received.messages.unwrap_or_default().into_iter().map(message).collect())
    }

    async fn delete(&self, receipts: &[Receipt]) -> Result<Vec<Refused>, Fault> {
        let entries = receipts.iter().enumerate().map(|(index, receipt)| {
            DeleteMessageBatchRequestEntry::builder()
                .id(index.to_string())
                .receipt_handle(&receipt.0)
                .build()
                .expect("id and receipt handle are set")
        });
        let request = self.client.delete_message_batch().queue_url(&*self.url);
        let request = request.set_entries(Some(entries.collect()));
        let answer = request.send().await.map_err(|error| fault(&error))?;
        Ok(refused(answer.failed()))
    }

    async fn change_visibility(&self, entries: &[(Receipt, Duration)]) -> Result<Vec<Refused>, Fault> {
        let entries = entries.iter().enumerate().map(|(index, (receipt, visibility))| {
            ChangeMessageVisibilityBatchRequestEntry::builder()
                .id(index.to_string())
                .receipt_handle(&receipt.0)
                .visibility_timeout(seconds(*visibility))
                .build()
                .expect("id and receipt handle are set")
        });
        let request = self.client.change_message_visibility_batch().queue_url(&*self.url);
        let request = request.set_entries(Some(entries.collect()));
        let answer = request.send().await.map_err(|error| fault(&error))?;
        Ok(refused(answer.failed()))
    }

    async fn send_to_dead_letters(&self, message: &Message, reason: &str) -> Result<bool, Fault> {
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
        request.send().await.map_err(|error| fault(&error))?;
        Ok(true)
    }
}

fn text_attribute(value: &str) -> MessageAttributeValue {
    MessageAttributeValue::builder()
        .data_type("String")
        .string_value(value)
        .build()
        .expect("the data type is set")
}

/// SQS counts in whole seconds; a part of one counts as one, so that a delay is never cut short.
fn seconds(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis().div_ceil(1000)).unwrap_or(i32::MAX)
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

fn refused(entries: &[BatchResultErrorEntry]) -> Vec<Refused> {
    entries
        .iter()
        .map(|entry| Refused {
            index: entry.id().parse().unwrap_or(usize::MAX),
            reason: format!("{}: {}", entry.code(), entry.message().unwrap_or_default()),
            final_: entry.sender_fault(),
        })
        .collect()
}

/// Sorts an error of the SDK by what can be done about it; the codes are SQS's own.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/CommonErrors.html>
fn fault<E>(error: &SdkError<E>) -> Fault
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let code = error.code().unwrap_or_default();
    let missing = ["QueueDoesNotExist", "NonExistentQueue", "InvalidAddress"];
    let credentials = [
        "AccessDenied",
        "ExpiredToken",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidSecurity",
        "InvalidSignature",
        "MissingAuthenticationToken",
        "NotAuthorized",
        "RequestExpired",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
        "UnrecognizedClient",
    ];
    let throttled = ["Throttl", "TooManyRequests", "OverLimit", "RequestLimitExceeded", "SlowDown"];
    let is = |codes: &[&str]| codes.iter().any(|known| code.contains(known));
    let kind = match error {
        SdkError::TimeoutError(_) | SdkError::DispatchFailure(_) if !no_credentials(error) => {
            FaultKind::Network
        }
        _ if is(&missing) => FaultKind::MissingQueue,
        _ if is(&credentials) || no_credentials(error) => FaultKind::Credentials,
        _ if is(&throttled) => FaultKind::Throttled,
        _ => FaultKind::Service,
    };
    Fault::new(kind, causes(error))
}

impl Fault {
    /// Sorts an error of the AWS SDK by what can be done about it.
    pub fn of_sdk<E>(error: &SdkError<E>) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        fault(error)
    }
}

/// The SDK reports missing credentials as a failure to build or send the request.
fn no_credentials<E: std::error::Error + 'static>(error: &SdkError<E>) -> bool {
    let text = causes(error).to_lowercase();
    text.contains("credential") || text.contains("no providers in chain")
}

fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
