//! The commands for a queue: send, look, count, purge, and bring dead letters back.

mod delete;
mod look;
mod redrive;
mod send;

use onward_worker::sqs::{dead_letter_url, queue_name, redrive_policy};
use serde_json::json;

use crate::cli;
use crate::config::context::Context;
use crate::letters::client::{QueueClient, sqs_error};
use crate::letters::counts::Counts;
use crate::process::exit::{CommandError, Exit};
use crate::process::terminal::data;

pub(crate) async fn run(context: &Context, command: &cli::Queue) -> Result<Exit, CommandError> {
    let queue = QueueClient::open(&context.settings, command.queue.as_deref()).await?;
    match &command.action {
        cli::QueueAction::Send(send) => send::run(&queue, send).await,
        cli::QueueAction::Stats { json } => stats(&queue, *json).await,
        cli::QueueAction::Peek { max, json } => look::messages(&queue, &queue.url, *max, *json).await,
        cli::QueueAction::Dead { group: true, json, .. } => look::reasons(&queue, *json).await,
        cli::QueueAction::Delete { which, confirm } => {
            delete::run(&queue, &which.into(), confirm.as_deref()).await
        }
        cli::QueueAction::Dead { max, json, .. } => {
            look::messages(&queue, &queue.dead_letters().await?, *max, *json).await
        }
        cli::QueueAction::Purge { confirm } => purge(&queue, confirm.as_deref()).await,
        cli::QueueAction::Redrive { which, max } => redrive::run(&queue, &which.into(), *max).await,
    }
}

async fn stats(queue: &QueueClient, as_json: bool) -> Result<Exit, CommandError> {
    let mut all = vec![(queue.url.clone(), Counts::of(&queue.client, &queue.url).await?)];
    match dead_letter_url(&queue.client, &queue.url).await {
        Ok(Some(dead)) => {
            let counts = Counts::of(&queue.client, &dead).await?;
            all.push((dead, counts));
        }
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
        let objects: Vec<_> = all
            .iter()
            .map(|(url, Counts { waiting, in_flight, delayed })| {
                json!({"queue": queue_name(url), "waiting": waiting, "in_flight": in_flight, "delayed": delayed})
            })
            .collect();
        data(&json!({ "queues": objects }).to_string())?;
        return Ok(Exit::Done);
    }
    for (url, Counts { waiting, in_flight, delayed }) in all {
        let name = queue_name(&url);
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
