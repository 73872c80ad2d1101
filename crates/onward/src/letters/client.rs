use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sqs::types::{Message, MessageSystemAttributeName};
use onward_worker::sqs::{answered, queue_name, queue_url, redrive_policy, visibility_entries};
use onward_worker::{QueueError, QueueErrorKind};

use crate::config::database_url::not_set;
use crate::config::queues::{queue_url_of, queue_variable, without_dead_letters};
use crate::config::settings::Settings;
use crate::config::sqs::client;
use crate::process::exit::{CommandError, Exit};

/// A queue and a client for it.
#[derive(Debug, Clone)]
pub(crate) struct QueueClient {
    pub url: String,
    pub client: Client,
}

impl QueueClient {
    /// Opens the configured queue, or that of the development launch in another terminal. A name chooses another one: by its
    /// own variable, or beside the first queue.
    pub(crate) async fn open(settings: &Settings, name: Option<&str>) -> Result<Self, CommandError> {
        let (url, is_local) = configured(settings, name)?;
        let mut queue = Self { client: client(&url, is_local).await?, url };
        if let Some(name) = name.filter(|name| *name != queue.name()) {
            queue.url = queue_url(&queue.client, name, None).await.map_err(|error| match error.kind {
                QueueErrorKind::MissingQueue => {
                    let help = format!("create it, or set {} to its URL", queue_variable(name));
                    CommandError::new(Exit::Queue, format!("there is no queue `{name}`: {error}"), help)
                }
                _ => error.into(),
            })?;
        }
        Ok(queue)
    }

    pub(crate) fn name(&self) -> &str {
        queue_name(&self.url)
    }

    /// The URL of its dead-letter queue.
    pub(crate) async fn dead_letters(&self) -> Result<String, CommandError> {
        self.dead_letters_if_any().await?.ok_or_else(|| {
            let help = "give it a RedrivePolicy with a deadLetterTargetArn";
            let message = format!("{} has no dead-letter queue", self.name());
            CommandError::new(Exit::Configuration, message, help)
        })
    }

    /// The URL of its dead-letter queue, if its redrive policy names one.
    pub(crate) async fn dead_letters_if_any(&self) -> Result<Option<String>, CommandError> {
        let Some(policy) = redrive_policy(&self.client, &self.url).await? else { return Ok(None) };
        match queue_url(&self.client, policy.name(), Some(policy.account())).await {
            Ok(url) => Ok(Some(url)),
            Err(error) => Err(without_dead_letters(self.name(), &policy, &error)),
        }
    }

    /// Whether no other queue has the same dead-letter queue. Where that cannot be seen, another one may.
    pub(crate) async fn is_only_source_of(&self, dead: &str) -> bool {
        let sources = answered(self.client.list_dead_letter_source_queues().queue_url(dead).send()).await;
        match sources {
            Ok(sources) => sources.queue_urls().len() <= 1,
            Err(reason) => {
                let help = match reason.kind {
                    QueueErrorKind::Credentials => "allow the role `sqs:ListDeadLetterSourceQueues`",
                    _ => reason.help(),
                };
                tracing::warn!(%reason, help, "a dead letter that does not say of which queue it is stays");
                false
            }
        }
    }

    /// Receives up to ten messages, with all that there is to know of them.
    pub(crate) async fn receive(
        &self,
        url: &str,
        max: usize,
        visibility: Duration,
    ) -> Result<Vec<Message>, CommandError> {
        let visibility = i32::try_from(visibility.as_secs()).unwrap_or(i32::MAX);
        let request = self.client.receive_message().queue_url(url).visibility_timeout(visibility);
        let request = request.max_number_of_messages(i32::try_from(max.clamp(1, 10)).unwrap_or(10));
        let request = request.message_system_attribute_names(MessageSystemAttributeName::All);
        let received = request.message_attribute_names("All").wait_time_seconds(1).send().await;
        Ok(received.map_err(|error| sqs_error(&error))?.messages.unwrap_or_default())
    }

    /// Makes messages visible again at once, so that looking hides nothing from the next command. One that stays hidden
    /// comes back by itself.
    pub(crate) async fn give_back(&self, url: &str, receipts: &[String]) -> Result<(), CommandError> {
        self.hide(url, receipts, Duration::ZERO).await
    }

    /// Hides messages that this process has received for so long from now on.
    pub(crate) async fn hide(
        &self,
        url: &str,
        receipts: &[String],
        hidden: Duration,
    ) -> Result<(), CommandError> {
        let mut outcome = Ok(());
        for batch in receipts.chunks(10) {
            let entries = batch.iter().map(|receipt| (receipt.as_str(), hidden));
            let change = self.client.change_message_visibility_batch().queue_url(url);
            let change = change.set_entries(Some(visibility_entries(entries)));
            let changed = change.send().await.map(|_| ()).map_err(|error| sqs_error(&error));
            // The others are changed all the same.
            outcome = outcome.and(changed);
        }
        outcome
    }
}

fn configured(settings: &Settings, name: Option<&str>) -> Result<(String, bool), CommandError> {
    if let Some(url) = name.and_then(queue_url_of).or_else(|| settings.queue_url.clone()) {
        return Ok((url, false));
    }
    #[cfg(feature = "local")]
    if settings.env == crate::config::settings::AppEnv::Development {
        let urls = crate::config::local::running_queues(&settings.project)?;
        let named = urls.iter().find(|url| Some(queue_name(url)) == name);
        return Ok((named.or(urls.first()).cloned().unwrap_or_default(), true));
    }
    let form = "https://sqs.REGION.amazonaws.com/ACCOUNT/NAME";
    Err(not_set(settings, "QUEUE_URL", form))
}

pub(crate) fn sqs_error<E: ProvideErrorMetadata + std::error::Error + 'static>(
    error: &SdkError<E>,
) -> CommandError {
    QueueError::of_sdk(error).into()
}
