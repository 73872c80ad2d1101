//! The commands for a queue: send, look, count, purge, and bring dead letters back.

mod delete;
mod look;
mod redrive;
mod send;

use onward_worker::sqs::queue_name;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::cli;
use crate::config::context::Context;
use crate::letters::client::{QueueClient, sqs_error};
use crate::letters::counts::Counts;
use crate::process::exit::{CommandError, Exit};
use crate::process::signal::stoppable;
use crate::process::terminal::{data, note};

pub(crate) async fn run(context: &Context, command: &cli::Queue) -> Result<Exit, CommandError> {
    let queue = QueueClient::open(&context.settings, command.queue.as_deref()).await?;
    let stop = CancellationToken::new();
    let acting = act(&queue, &command.action, &stop);
    if matches!(
        command.action,
        cli::QueueAction::Send(_) | cli::QueueAction::Stats { .. } | cli::QueueAction::Purge { .. }
    ) {
        return acting.await;
    }
    // The others receive messages, and end when they have given back what they hold: it would be hidden for minutes from the next command.
    match stoppable(&stop, acting).await?.transpose()? {
        Some(Exit::Done) if stop.is_cancelled() => {
            note("stopped before the end; what was received and is still there can be received again");
            Ok(Exit::Interrupted)
        }
        exit => Ok(exit.unwrap_or(Exit::Interrupted)),
    }
}

async fn act(
    queue: &QueueClient,
    action: &cli::QueueAction,
    stop: &CancellationToken,
) -> Result<Exit, CommandError> {
    match action {
        cli::QueueAction::Send(send) => send::run(queue, send).await,
        cli::QueueAction::Stats { json } => stats(queue, *json).await,
        cli::QueueAction::Purge { confirm } => purge(queue, confirm.as_deref()).await,
        cli::QueueAction::Peek { max, json } => look::messages(queue, &queue.url, *max, *json, stop).await,
        cli::QueueAction::Dead { group: true, json, .. } => look::reasons(queue, *json, stop).await,
        cli::QueueAction::Dead { max, json, .. } => {
            look::messages(queue, &queue.dead_letters().await?, *max, *json, stop).await
        }
        cli::QueueAction::Delete { which, confirm } => {
            delete::run(queue, &which.into(), confirm.as_deref(), stop).await
        }
        cli::QueueAction::Redrive { which, max } => redrive::run(queue, &which.into(), *max, stop).await,
    }
}

/// Says how many messages are in flight where nothing came: another command may hold them.
async fn note_in_flight(queue: &QueueClient, url: &str) {
    let name = queue_name(url);
    match Counts::of(&queue.client, url).await {
        Ok(Counts { in_flight: 0, .. }) => {}
        Ok(Counts { in_flight, .. }) => note(&format!(
            "{in_flight} message(s) of {name} are in flight: another process holds them, or held them and was killed"
        )),
        Err(error) => note(&format!("how many messages of {name} are in flight is not known: {error}")),
    }
}

async fn stats(queue: &QueueClient, as_json: bool) -> Result<Exit, CommandError> {
    let mut all = vec![(queue.url.clone(), Counts::of(&queue.client, &queue.url).await?)];
    if let Some(dead) = queue.dead_letters_if_any().await? {
        let counts = Counts::of(&queue.client, &dead).await?;
        all.push((dead, counts));
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
