use std::collections::HashMap;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::QueueAttributeName as Attribute;
use onward_worker::QueueError;
use onward_worker::sqs::attributes;

/// How many messages a queue has, as SQS counts them: approximately.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Counts {
    pub waiting: u64,
    pub in_flight: u64,
    pub delayed: u64,
}

impl Counts {
    /// The attributes that hold the counts.
    pub(crate) const ATTRIBUTES: [Attribute; 3] = [
        Attribute::ApproximateNumberOfMessages,
        Attribute::ApproximateNumberOfMessagesNotVisible,
        Attribute::ApproximateNumberOfMessagesDelayed,
    ];

    pub(crate) async fn of(client: &Client, url: &str) -> Result<Self, QueueError> {
        attributes(client, url, &Self::ATTRIBUTES).await.map(|all| Self::read(&all))
    }

    pub(crate) fn read(attributes: &HashMap<Attribute, String>) -> Self {
        let number = |name| attributes.get(name).and_then(|text| text.parse().ok()).unwrap_or(0);
        let [waiting, in_flight, delayed] = Self::ATTRIBUTES.each_ref().map(number);
        Self { waiting, in_flight, delayed }
    }

    /// All messages.
    pub(crate) const fn all(&self) -> u64 {
        self.waiting + self.in_flight + self.delayed
    }
}
