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
    pub(crate) async fn of(client: &Client, url: &str) -> Result<Self, QueueError> {
        let names = [
            Attribute::ApproximateNumberOfMessages,
            Attribute::ApproximateNumberOfMessagesNotVisible,
            Attribute::ApproximateNumberOfMessagesDelayed,
        ];
        let counts = attributes(client, url, &names).await?;
        let number = |name| counts.get(name).and_then(|text| text.parse().ok()).unwrap_or(0);
        let [waiting, in_flight, delayed] = names.each_ref().map(number);
        Ok(Self { waiting, in_flight, delayed })
    }

}
