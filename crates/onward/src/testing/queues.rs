use std::collections::HashMap;

use aws_sdk_sqs::types::{Message, QueueAttributeName};
use onward_local::{Echo, LocalQueue};
use onward_worker::sqs::{attributes, dead_letter_url};
use onward_worker::{QueueError, REJECTED};
use serde::de::DeserializeOwned;

use crate::config::destinations::Destinations;
use crate::config::queues::{Names, ResolvedQueues};
use crate::config::sqs::client;
use crate::process::exit::CommandError;
use crate::queue::Queue;
use crate::queue::addresses::Addresses;
use crate::queue::producer::Producer;

/// The queues of a test, and the stub of an HTTP service.
pub(super) struct TestQueues {
    pub addresses: Addresses,
    names: Names,
    urls: Vec<(&'static str, String)>,
    echo: Echo,
    _server: LocalQueue,
}

/// A message in the dead-letter queue.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeadLetter {
    /// Its body.
    pub body: String,
    /// Why it died. A letter that SQS has moved itself has no reason.
    pub reason: Option<String>,
}

/// The body of a message to a queue.
///
/// # Panics
///
/// If it does not decode.
pub(super) fn decoded<T: DeserializeOwned>(queue: &Queue<T>, body: &str) -> T {
    let name = queue.name();
    serde_json::from_str(body)
        .unwrap_or_else(|error| panic!("a message to {name} does not decode: {error}: {body}"))
}

impl TestQueues {
    pub(super) async fn start(names: Names) -> Result<Self, CommandError> {
        let (server, echo) = (LocalQueue::start(0).await?, Echo::start().await?);
        let mut urls = Vec::new();
        for name in names.all() {
            urls.push((name, server.create(name).await?));
        }
        let client = client(&urls[0].1, true).await?;
        let addresses =
            Addresses::new(client, urls.iter().map(|(name, url)| ((*name).to_owned(), url.clone())));
        Ok(Self { addresses, names, urls, echo, _server: server })
    }

    pub(super) fn echo_url(&self) -> String {
        self.echo.url().to_owned()
    }

    /// As the app gets them.
    pub(super) fn resolved(&self) -> ResolvedQueues {
        let urls = self.urls.iter().map(|(_, url)| url.clone()).collect();
        ResolvedQueues::of_test(&self.names, urls, self.echo_url())
    }

    /// What sends to them outside a transaction.
    pub(super) fn producer(&self) -> Producer {
        Producer::new(self.addresses.clone(), self.destinations())
    }

    pub(super) fn destinations(&self) -> Destinations {
        Destinations::new(self.names.all())
    }

    /// The URL of a queue.
    ///
    /// # Panics
    ///
    /// If the app neither works it nor sends to it.
    pub(super) fn url(&self, name: &str) -> &str {
        let known = self.urls.iter().find(|(known, _)| *known == name);
        known.map_or_else(
            || panic!("the app has no queue {name}: `App::queue`, or `App::sends_to`"),
            |(_, url)| url,
        )
    }

    /// The bodies in a queue that the app only sends to, taken out of it.
    ///
    /// # Panics
    ///
    /// If the app works the queue, whose messages are then its own, or does not send to it.
    pub(super) async fn sent_to<T: DeserializeOwned>(&self, queue: &Queue<T>) -> Vec<T> {
        let name = queue.name();
        assert!(!self.names.worked.contains(&name), "the app works the queue {name} itself");
        self.take_bodies(queue).await
    }

    /// How many messages each queue that the app works has, hidden and delayed ones counted; those without any are left out.
    pub(super) async fn waiting(&self) -> Result<HashMap<&'static str, u64>, QueueError> {
        const COUNTS: [QueueAttributeName; 3] = [
            QueueAttributeName::ApproximateNumberOfMessages,
            QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
            QueueAttributeName::ApproximateNumberOfMessagesDelayed,
        ];
        let mut waiting = HashMap::new();
        for (name, url) in self.urls.iter().take(self.names.worked.len()) {
            let all = attributes(&self.addresses.client, url, &COUNTS).await?;
            let messages = all.values().filter_map(|count| count.parse::<u64>().ok()).sum();
            if messages > 0 {
                waiting.insert(*name, messages);
            }
        }
        Ok(waiting)
    }

    /// The bodies in a queue, taken out of it.
    ///
    /// # Panics
    ///
    /// If the queue cannot be read, or a body does not decode.
    pub(super) async fn take_bodies<T: DeserializeOwned>(&self, queue: &Queue<T>) -> Vec<T> {
        let name = queue.name();
        let messages = self.take(self.url(name)).await;
        let messages = messages.unwrap_or_else(|error| panic!("the queue {name}: {error}"));
        messages.iter().filter_map(Message::body).map(|body| decoded(queue, body)).collect()
    }

    /// The dead letters of a queue, taken out of their queue.
    pub(super) async fn take_dead_letters(&self, name: &str) -> Result<Vec<DeadLetter>, QueueError> {
        let Some(url) = dead_letter_url(&self.addresses.client, self.url(name)).await? else {
            return Ok(Vec::new());
        };
        let letters = self.take(&url).await?;
        Ok(letters
            .into_iter()
            .map(|letter| {
                let about = letter.message_attributes().and_then(|all| all.get(REJECTED)?.string_value());
                let about: Option<serde_json::Value> = about.and_then(|text| serde_json::from_str(text).ok());
                let reason = about.and_then(|about| Some(about["reason"].as_str()?.to_owned()));
                DeadLetter { body: letter.body.unwrap_or_default(), reason }
            })
            .collect())
    }

    async fn take(&self, url: &str) -> Result<Vec<Message>, QueueError> {
        let client = &self.addresses.client;
        let mut all = Vec::new();
        loop {
            let receive = client.receive_message().queue_url(url).max_number_of_messages(10);
            let receive = receive.message_attribute_names("All").send().await;
            let messages = receive.map_err(|error| QueueError::of_sdk(&error))?.messages.unwrap_or_default();
            if messages.is_empty() {
                return Ok(all);
            }
            for message in messages {
                let receipt = message.receipt_handle().unwrap_or_default();
                let delete = client.delete_message().queue_url(url).receipt_handle(receipt).send().await;
                delete.map_err(|error| QueueError::of_sdk(&error))?;
                all.push(message);
            }
        }
    }
}
