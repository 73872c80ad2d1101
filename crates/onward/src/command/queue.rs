//! The commands for a queue: send, look, purge, and bring dead letters back.

use std::io::Read as _;
use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sqs::types::{
    Message, MessageSystemAttributeName, QueueAttributeName as Attribute, SendMessageBatchRequestEntry,
};
use onward_worker::sqs::{
    attributes, dead_letter_url, delete_entries, queue_name, queue_url, visibility_entries,
};
use onward_worker::{QueueError, REJECTED, is_fifo};
use serde_json::{Value, json};

use crate::cli;
use crate::config::context::Context;
use crate::config::database_url::not_set;
use crate::config::settings::Settings;
use crate::config::sqs::client;
use crate::process::exit::{CommandError, Exit};
use crate::process::terminal::{data, note};

pub(crate) async fn run(context: &Context, command: &cli::Queue) -> Result<Exit, CommandError> {
    let queue = QueueClient::open(&context.settings, command.queue.as_deref()).await?;
    match &command.action {
        cli::QueueAction::Send { body, group } => queue.send(body, group.as_deref()).await,
        cli::QueueAction::Stats { json } => queue.stats(*json).await,
        cli::QueueAction::Peek { max, json } => queue.peek(&queue.url, *max, *json).await,
        cli::QueueAction::Dead { max, json } => queue.peek(&queue.dead_letters().await?, *max, *json).await,
        cli::QueueAction::Purge { confirm } => queue.purge(confirm.as_deref()).await,
        cli::QueueAction::Redrive { filter, max } => queue.redrive(filter.as_deref(), *max).await,
    }
}

/// A queue and a client for it.
struct QueueClient {
    url: String,
    client: Client,
}

/// How long a message that `peek` shows stays hidden from the workers.
const PEEK_SECONDS: i32 = 5;

/// How long this process keeps a dead letter while it sends it again.
const REDRIVE_SECONDS: i32 = 60;

impl QueueClient {
    /// Opens the configured queue, or that of the development launch in another terminal. A name chooses another queue
    /// beside it.
    async fn open(settings: &Settings, name: Option<&str>) -> Result<Self, CommandError> {
        let (url, local) = first_queue(settings)?;
        let client = client(&url, local).await?;
        let mut queue = Self { url, client };
        if let Some(name) = name.filter(|name| *name != queue.name()) {
            queue.url = queue_url(&queue.client, name, None).await?;
        }
        Ok(queue)
    }

    fn name(&self) -> &str {
        queue_name(&self.url)
    }

    async fn send(&self, body: &str, group: Option<&str>) -> Result<Exit, CommandError> {
        let body = if body == "-" { read_stdin()? } else { body.to_owned() };
        let request = self.client.send_message().queue_url(&self.url).message_body(body);
        let request = request.set_message_group_id(group.map(str::to_owned));
        let request = request.set_message_deduplication_id(is_fifo(&self.url).then(unique_id));
        let sent = request.send().await.map_err(|error| sqs_error(&error))?;
        data(sent.message_id().unwrap_or_default())?;
        Ok(Exit::Done)
    }

    async fn counts(&self, url: &str) -> Result<Value, CommandError> {
        let names = [
            Attribute::ApproximateNumberOfMessages,
            Attribute::ApproximateNumberOfMessagesNotVisible,
            Attribute::ApproximateNumberOfMessagesDelayed,
        ];
        let counts = attributes(&self.client, url, &names).await?;
        let number =
            |index: usize| counts.get(&names[index]).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
        let [waiting, in_flight, delayed] = [number(0), number(1), number(2)];
        Ok(json!({"queue": queue_name(url), "waiting": waiting, "in_flight": in_flight, "delayed": delayed}))
    }

    async fn stats(&self, as_json: bool) -> Result<Exit, CommandError> {
        let mut all = vec![self.counts(&self.url).await?];
        if let Some(dead) = dead_letter_url(&self.client, &self.url).await? {
            all.push(self.counts(&dead).await?);
        }
        if as_json {
            data(&json!({ "queues": all }).to_string())?;
            return Ok(Exit::Done);
        }
        for counts in all {
            let name = counts["queue"].as_str().unwrap_or_default();
            let (waiting, in_flight, delayed) =
                (&counts["waiting"], &counts["in_flight"], &counts["delayed"]);
            data(&format!("{name}  {waiting} waiting, {in_flight} in flight, {delayed} delayed"))?;
        }
        Ok(Exit::Done)
    }

    async fn dead_letters(&self) -> Result<String, CommandError> {
        dead_letter_url(&self.client, &self.url).await?.ok_or_else(|| {
            let help = "give the queue a RedrivePolicy with a deadLetterTargetArn";
            CommandError::new(Exit::Configuration, format!("{} has no dead-letter queue", self.name()), help)
        })
    }

    async fn receive(&self, url: &str, max: usize, visibility: i32) -> Result<Vec<Message>, CommandError> {
        let request = self.client.receive_message().queue_url(url).visibility_timeout(visibility);
        let request = request.max_number_of_messages(i32::try_from(max.clamp(1, 10)).unwrap_or(10));
        let request = request.message_system_attribute_names(MessageSystemAttributeName::All);
        let received = request.message_attribute_names("All").wait_time_seconds(1).send().await;
        Ok(received.map_err(|error| sqs_error(&error))?.messages.unwrap_or_default())
    }

    async fn peek(&self, url: &str, max: usize, as_json: bool) -> Result<Exit, CommandError> {
        note(&format!(
            "this receives the messages that it shows: they stay hidden from the workers for {PEEK_SECONDS} \
             s and count one more receive"
        ));
        let mut shown = Vec::new();
        while shown.len() < max {
            let messages = self.receive(url, max - shown.len(), PEEK_SECONDS).await?;
            let new: Vec<_> = messages
                .iter()
                .map(as_value)
                .filter(|new| shown.iter().all(|old: &Value| old["id"] != new["id"]))
                .collect();
            if new.is_empty() {
                break;
            }
            shown.extend(new);
        }
        if as_json {
            data(&json!({ "messages": shown }).to_string())?;
            return Ok(Exit::Done);
        }
        for message in &shown {
            let text = |key: &str| message[key].as_str().unwrap_or_default().to_owned();
            data(&format!(
                "{}  received {} time(s)  {}",
                text("id"),
                message["receive_count"],
                text("body")
            ))?;
            if let Some(reason) = message["rejected"]["reason"].as_str() {
                data(&format!("    rejected: {reason}"))?;
            }
        }
        data(&format!("{} message(s)", shown.len()))?;
        Ok(Exit::Done)
    }

    async fn purge(&self, confirm: Option<&str>) -> Result<Exit, CommandError> {
        let name = self.name();
        if confirm != Some(name) {
            let message = format!("purge deletes every message of {name} permanently");
            let help = format!("to confirm, run `queue purge --confirm {name}`");
            return Err(CommandError::new(Exit::Usage, message, help));
        }
        self.client.purge_queue().queue_url(&self.url).send().await.map_err(|error| sqs_error(&error))?;
        data(&format!("{name} is purged; SQS takes up to a minute for it"))?;
        Ok(Exit::Done)
    }

    /// Moves dead letters back to the queue. It sends each one before it deletes it from the dead-letter queue, so that
    /// none is lost.
    async fn redrive(&self, filter: Option<&str>, max: usize) -> Result<Exit, CommandError> {
        let dead = self.dead_letters().await?;
        let (mut moved, mut left) = (0, Vec::new());
        while moved < max {
            let messages = self.receive(&dead, (max - moved).min(10), REDRIVE_SECONDS).await?;
            if messages.is_empty() {
                break;
            }
            let (chosen, others): (Vec<_>, Vec<_>) =
                messages.iter().partition(|message| matches(message, filter));
            left.extend(others.iter().filter_map(|message| message.receipt_handle.clone()));
            if !chosen.is_empty() {
                moved += self.send_again(&dead, &chosen, moved).await?;
            }
        }
        self.give_back(&dead, &left).await?;
        let (name, left) = (self.name(), left.len());
        data(&format!("{moved} message(s) sent to {name} again, {left} left that do not match"))?;
        Ok(Exit::Done)
    }

    /// Makes messages visible again that do not match. A message that stays hidden comes back by itself.
    async fn give_back(&self, url: &str, receipts: &[String]) -> Result<(), CommandError> {
        for batch in receipts.chunks(10) {
            let entries = batch.iter().map(|receipt| (receipt.as_str(), Duration::ZERO));
            let change = self.client.change_message_visibility_batch().queue_url(url);
            change
                .set_entries(Some(visibility_entries(entries)))
                .send()
                .await
                .map_err(|error| sqs_error(&error))?;
        }
        Ok(())
    }

    async fn send_again(&self, dead: &str, chosen: &[&Message], moved: usize) -> Result<usize, CommandError> {
        let is_fifo = is_fifo(&self.url);
        let entries =
            chosen.iter().enumerate().map(|(index, message)| again(index, message, is_fifo)).collect();
        let send = self.client.send_message_batch().queue_url(&self.url).set_entries(Some(entries));
        let sent = send.send().await.map_err(|error| sqs_error(&error))?;
        let taken: Vec<_> = sent
            .successful()
            .iter()
            .filter_map(|entry| chosen.get(entry.id().parse::<usize>().ok()?))
            .filter_map(|message| message.receipt_handle())
            .collect();
        let count = taken.len();
        if count > 0 {
            let delete =
                self.client.delete_message_batch().queue_url(dead).set_entries(Some(delete_entries(taken)));
            let deleted = delete.send().await.map_err(|error| sqs_error(&error))?;
            if let Some(failed) = deleted.failed().first() {
                let message =
                    format!("a message was sent again and is still a dead letter: {}", failed.code());
                return Err(CommandError::new(
                    Exit::Queue,
                    message,
                    "delete it from the dead-letter queue by hand",
                ));
            }
        }
        match sent.failed().first() {
            None => Ok(count),
            Some(failed) => {
                let reason = failed.message().unwrap_or_default();
                let message = format!("{} message(s) moved, then SQS refused one: {reason}", moved + count);
                Err(CommandError::new(
                    Exit::Queue,
                    message,
                    "correct what the reason names, then run the command again",
                ))
            }
        }
    }
}

fn matches(message: &Message, filter: Option<&str>) -> bool {
    filter.is_none_or(|filter| {
        let reason = as_value(message)["rejected"]["reason"].as_str().unwrap_or_default().to_owned();
        message.body().unwrap_or_default().contains(filter) || reason.contains(filter)
    })
}

fn first_queue(settings: &Settings) -> Result<(String, bool), CommandError> {
    if let Some(url) = &settings.queue_url {
        return Ok((url.clone(), false));
    }
    #[cfg(feature = "local")]
    if settings.env == crate::config::settings::AppEnv::Development {
        let urls = crate::config::local::running_queues(settings)?;
        return Ok((urls.into_iter().next().unwrap_or_default(), true));
    }
    let form = "https://sqs.REGION.amazonaws.com/ACCOUNT/NAME";
    Err(not_set(settings, "QUEUE_URL", form))
}

fn sqs_error<E: ProvideErrorMetadata + std::error::Error + 'static>(error: &SdkError<E>) -> CommandError {
    QueueError::of_sdk(error).into()
}

fn as_value(message: &Message) -> Value {
    let system = |name: MessageSystemAttributeName| {
        message.attributes().and_then(|all| all.get(&name)).cloned().unwrap_or_default()
    };
    let rejected = message
        .message_attributes()
        .and_then(|all| all.get(REJECTED))
        .and_then(|value| value.string_value())
        .and_then(|text| serde_json::from_str::<Value>(text).ok());
    json!({
        "id": message.message_id(),
        "body": message.body(),
        "receive_count": system(MessageSystemAttributeName::ApproximateReceiveCount).parse::<u64>().unwrap_or(0),
        "sent_ms": system(MessageSystemAttributeName::SentTimestamp).parse::<u64>().ok(),
        "group": Some(system(MessageSystemAttributeName::MessageGroupId)).filter(|group| !group.is_empty()),
        "rejected": rejected,
    })
}

/// The same message again, without the reason for its rejection.
fn again(index: usize, message: &Message, is_fifo: bool) -> SendMessageBatchRequestEntry {
    let group =
        message.attributes().and_then(|all| all.get(&MessageSystemAttributeName::MessageGroupId)).cloned();
    let mut attributes = message.message_attributes.clone().unwrap_or_default();
    attributes.remove(REJECTED);
    SendMessageBatchRequestEntry::builder()
        .id(index.to_string())
        .message_body(message.body().unwrap_or_default())
        .set_message_attributes(Some(attributes).filter(|all| !all.is_empty()))
        .set_message_deduplication_id(is_fifo.then(unique_id))
        .set_message_group_id(group)
        .build()
        .expect("id and body are set")
}

/// An ID that is never the same: a person who sends the same message twice wants two messages.
fn unique_id() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    format!("{}-{}", std::process::id(), now.as_nanos())
}

fn read_stdin() -> Result<String, CommandError> {
    let mut body = String::new();
    std::io::stdin().read_to_string(&mut body).map_err(|error| {
        CommandError::new(
            Exit::Usage,
            format!("the body cannot be read from stdin: {error}"),
            "send UTF-8 text",
        )
    })?;
    Ok(body)
}
