//! What is asked about a queue of SQS rather than of its messages: its name, its URL, its redrive policy.

use std::collections::HashMap;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::QueueAttributeName;

use super::error::answered;
use crate::error::QueueError;

/// The name in the URL of a queue.
///
/// ```
/// let url = "https://sqs.eu-west-1.amazonaws.com/123456789012/orders";
/// assert_eq!(onward_worker::sqs::queue_name(url), "orders");
/// ```
#[must_use]
pub fn queue_name(url: &str) -> &str {
    url.rsplit('/').next().unwrap_or_default()
}

/// The redrive policy of a queue: after how many receives SQS itself moves a message, and where to.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-dead-letter-queues.html>
///
/// ```
/// use onward_worker::sqs::RedrivePolicy;
///
/// let text = r#"{"deadLetterTargetArn": "arn:aws:sqs:eu-west-1:123456789012:orders-dead", "maxReceiveCount": "5"}"#;
/// let policy = RedrivePolicy::parse(text).unwrap();
/// assert_eq!((policy.name(), policy.account()), ("orders-dead", "123456789012"));
/// assert_eq!(policy.max_receive_count, 5);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RedrivePolicy {
    /// The ARN of the dead-letter queue.
    pub target_arn: String,
    /// After how many receives SQS moves a message; 0 where the policy does not say it.
    pub max_receive_count: u32,
}

impl RedrivePolicy {
    /// Reads the attribute `RedrivePolicy`, which is JSON; some tools write its count as a text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let policy: serde_json::Value = serde_json::from_str(text).ok()?;
        let count = &policy["maxReceiveCount"];
        let count = count.as_u64().or_else(|| count.as_str()?.parse().ok()).unwrap_or(0);
        Some(Self {
            target_arn: policy["deadLetterTargetArn"].as_str()?.to_owned(),
            max_receive_count: u32::try_from(count).unwrap_or(u32::MAX),
        })
    }

    /// The name of the dead-letter queue, the last field of `arn:aws:sqs:REGION:ACCOUNT:NAME`.
    #[must_use]
    pub fn name(&self) -> &str {
        self.target_arn.rsplit(':').next().unwrap_or_default()
    }

    /// The account that owns the dead-letter queue.
    #[must_use]
    pub fn account(&self) -> &str {
        self.target_arn.rsplit(':').nth(1).unwrap_or_default()
    }
}

/// The attributes of a queue.
///
/// # Errors
///
/// If the queue cannot be asked, or there is no such queue.
pub async fn attributes(
    client: &Client,
    url: &str,
    names: &[QueueAttributeName],
) -> Result<HashMap<QueueAttributeName, String>, QueueError> {
    let request = client.get_queue_attributes().queue_url(url).set_attribute_names(Some(names.to_vec()));
    let answer = answered(request.send()).await?;
    Ok(answer.attributes.unwrap_or_default())
}

/// The redrive policy of a queue, if it has one.
///
/// # Errors
///
/// As [`attributes`].
pub async fn redrive_policy(client: &Client, url: &str) -> Result<Option<RedrivePolicy>, QueueError> {
    let all = attributes(client, url, &[QueueAttributeName::RedrivePolicy]).await?;
    Ok(all.get(&QueueAttributeName::RedrivePolicy).and_then(|text| RedrivePolicy::parse(text)))
}

/// The URL of a queue by its name; without an account, of the account of the credentials.
///
/// # Errors
///
/// If there is no such queue, or it cannot be asked for.
pub async fn queue_url(client: &Client, name: &str, account: Option<&str>) -> Result<String, QueueError> {
    let request = client.get_queue_url().queue_name(name);
    let request = request.set_queue_owner_aws_account_id(account.map(str::to_owned));
    let found = answered(request.send()).await?;
    Ok(found.queue_url.unwrap_or_default())
}

/// The URL of the dead-letter queue of a queue, if it has one.
///
/// # Errors
///
/// If either queue cannot be asked, or there is no such queue.
pub async fn dead_letter_url(client: &Client, url: &str) -> Result<Option<String>, QueueError> {
    match redrive_policy(client, url).await? {
        Some(policy) => queue_url(client, policy.name(), Some(policy.account())).await.map(Some),
        None => Ok(None),
    }
}
