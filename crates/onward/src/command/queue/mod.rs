//! The commands for a queue: send, look, count, purge, and bring dead letters back.

mod delete;
mod groups;
mod letter;
mod look;
mod open;
mod redrive;
mod send;

use onward_worker::sqs::{attributes, dead_letter_url, queue_name, redrive_policy};
use serde_json::{Value, json};

use self::open::{QueueClient, sqs_error};
use crate::cli;
use crate::config::context::Context;
use crate::process::exit::{CommandError, Exit};
use crate::process::terminal::data;

pub(crate) async fn run(context: &Context, command: &cli::Queue) -> Result<Exit, CommandError> {
    let queue = QueueClient::open(&context.settings, command.queue.as_deref()).await?;
    match &command.action {
        cli::QueueAction::Send(send) => send::run(&queue, send).await,
        cli::QueueAction::Stats { json } => stats(&queue, *json).await,
        cli::QueueAction::Peek { max, json } => look::run(&queue, &queue.url, *max, *json).await,
        cli::QueueAction::Dead { group: true, json, .. } => groups::run(&queue, *json).await,
        cli::QueueAction::Delete { filter, confirm } => {
            delete::run(&queue, filter.as_deref(), confirm.as_deref()).await
        }
        cli::QueueAction::Dead { max, json, .. } => {
            look::run(&queue, &queue.dead_letters().await?, *max, *json).await
        }
        cli::QueueAction::Purge { confirm } => purge(&queue, confirm.as_deref()).await,
        cli::QueueAction::Redrive { filter, max } => redrive::run(&queue, filter.as_deref(), *max).await,
    }
}

async fn counts(queue: &QueueClient, url: &str) -> Result<Value, CommandError> {
    use aws_sdk_sqs::types::QueueAttributeName as Attribute;
    let names = [
        Attribute::ApproximateNumberOfMessages,
        Attribute::ApproximateNumberOfMessagesNotVisible,
        Attribute::ApproximateNumberOfMessagesDelayed,
    ];
    let counts = attributes(&queue.client, url, &names).await?;
    let number =
        |index: usize| counts.get(&names[index]).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    let [waiting, in_flight, delayed] = [number(0), number(1), number(2)];
    Ok(json!({"queue": queue_name(url), "waiting": waiting, "in_flight": in_flight, "delayed": delayed}))
}

async fn stats(queue: &QueueClient, as_json: bool) -> Result<Exit, CommandError> {
    let mut all = vec![counts(queue, &queue.url).await?];
    match dead_letter_url(&queue.client, &queue.url).await {
        Ok(Some(dead)) => all.push(counts(queue, &dead).await?),
        Ok(None) => {}
        // The queue itself is there: its policy names another one that is not.
        Err(error) => {
            let policy = redrive_policy(&queue.client, &queue.url).await?;
            let name = policy.as_ref().map_or("of the redrive policy", |policy| policy.name()).to_owned();
            let message = format!("the dead-letter queue {name} cannot be counted: {error}");
            let help = format!("create it, or correct the RedrivePolicy of {}", queue.name());
            return Err(CommandError::new(Exit::Queue, message, help));
        }
    }
    if as_json {
        data(&json!({ "queues": all }).to_string())?;
        return Ok(Exit::Done);
    }
    for counts in all {
        let name = counts["queue"].as_str().unwrap_or_default();
        let (waiting, in_flight, delayed) = (&counts["waiting"], &counts["in_flight"], &counts["delayed"]);
        data(&format!("{name}  {waiting} waiting, {in_flight} in flight, {delayed} delayed"))?;
    }
    Ok(Exit::Done)
}

async fn purge(queue: &QueueClient, confirm: Option<&str>) -> Result<Exit, CommandError> {
    let name = queue.name();
    if confirm != Some(name) {
        let message = format!("purge deletes every message of {name} permanently");
        let help = format!("to confirm: `queue purge --confirm {name}`");
        return Err(CommandError::new(Exit::Usage, message, help));
    }
    queue.client.purge_queue().queue_url(&queue.url).send().await.map_err(|error| sqs_error(&error))?;
    data(&format!("{name} is purged; SQS takes up to a minute for it"))?;
    Ok(Exit::Done)
}
