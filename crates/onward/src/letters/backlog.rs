use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_sdk_sqs::types::QueueAttributeName as Attribute;
use onward_worker::QueueError;
use onward_worker::sqs::{RedrivePolicy, attributes, queue_url};

use super::client::QueueClient;
use super::counts::Counts;
use crate::telemetry::known::{Known, OnDemand};

/// How often SQS is asked at the most, however many look.
const INTERVAL: Duration = Duration::from_secs(30);

/// How many messages a queue of the app and its dead-letter queue have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Backlog {
    pub counts: Counts,
    /// None where it could not be read; none inside without a dead-letter queue.
    pub dead: Option<Option<Counts>>,
}

/// A queue whose messages are counted when somebody looks, and never otherwise.
#[derive(Debug)]
pub(crate) struct Counted {
    pub name: &'static str,
    pub queue: QueueClient,
    backlog: OnDemand<Backlog>,
    /// The policy that was read last, with the URL of the queue that it names.
    dead: Mutex<Option<(RedrivePolicy, String)>>,
}

impl Counted {
    pub(crate) fn new(name: &'static str, queue: QueueClient) -> Self {
        Self { name, queue, backlog: OnDemand::new("SQS", INTERVAL), dead: Mutex::default() }
    }

    /// The backlog, not older than [`INTERVAL`] where SQS answers.
    pub(crate) async fn look(&self) -> Known<Backlog> {
        self.backlog.look(Box::pin(async { self.read().await.map_err(|error| error.to_string()) })).await
    }

    /// Has the next look ask again: the messages were changed.
    #[cfg(feature = "console")]
    pub(crate) async fn forget(&self) {
        self.backlog.forget().await;
    }

    /// With the reason why the dead letters could not be counted: a role may be allowed the queue alone.
    async fn read(&self) -> Result<(Backlog, Option<String>), QueueError> {
        let mut names = Counts::ATTRIBUTES.to_vec();
        names.push(Attribute::RedrivePolicy);
        let all = attributes(&self.queue.client, &self.queue.url, &names).await?;
        let policy = all.get(&Attribute::RedrivePolicy).and_then(|text| RedrivePolicy::parse(text));
        let letters = match policy {
            Some(policy) => self.dead_letters(policy).await.map(Some),
            None => Ok(None),
        };
        let error = letters.as_ref().err().map(|error| format!("the dead letters: {error}"));
        Ok((Backlog { counts: Counts::read(&all), dead: letters.ok() }, error))
    }

    async fn dead_letters(&self, policy: RedrivePolicy) -> Result<Counts, QueueError> {
        let known = self.dead.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let url = match known.filter(|(known, _)| *known == policy) {
            Some((_, url)) => url,
            None => queue_url(&self.queue.client, policy.name(), Some(policy.account())).await?,
        };
        *self.dead.lock().unwrap_or_else(PoisonError::into_inner) = Some((policy, url.clone()));
        Counts::of(&self.queue.client, &url).await
    }
}
