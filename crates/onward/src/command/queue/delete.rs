//! `queue delete`: dead letters that nobody needs any more.

use std::time::Duration;

use aws_sdk_sqs::types::Message;
use onward_worker::is_fifo;
use onward_worker::sqs::delete_entries;

use super::letter;
use super::open::{QueueClient, sqs_error};
use crate::process::exit::{CommandError, Exit};
use crate::process::terminal::{data, note};

/// How long this process keeps a dead letter at the most; at the end it gives back what it has not deleted.
const HIDDEN: Duration = Duration::from_secs(600);

/// Deletes the dead letters that match, permanently. The name of the queue is the confirmation.
pub(super) async fn run(
    queue: &QueueClient,
    filter: Option<&str>,
    confirm: Option<&str>,
) -> Result<Exit, CommandError> {
    let name = queue.name();
    if confirm != Some(name) {
        let which = filter
            .map_or_else(|| "every dead letter".to_owned(), |text| format!("each dead letter with `{text}`"));
        let message = format!("delete removes {which} of {name} permanently");
        return Err(CommandError::new(Exit::Usage, message, format!("to confirm: `--confirm {name}`")));
    }
    let dead = queue.dead_letters().await?;
    let (mut deleted, mut held) = (0, Vec::new());
    let outcome = all(queue, &dead, filter, &mut deleted, &mut held).await;
    let given_back = queue.give_back(&dead, &held).await;
    data(&format!("{deleted} dead letter(s) of {name} deleted; {} stay", held.len()))?;
    if is_fifo(&dead) && !held.is_empty() {
        note(
            "a FIFO queue shows at most ten letters of a group: what lies behind those that stay was not looked at",
        );
    }
    outcome?;
    given_back?;
    Ok(Exit::Done)
}

/// Receives until nothing comes any more. What stays is hidden meanwhile, so that it comes once.
async fn all(
    queue: &QueueClient,
    dead: &str,
    filter: Option<&str>,
    deleted: &mut usize,
    held: &mut Vec<String>,
) -> Result<(), CommandError> {
    loop {
        let letters = queue.receive(dead, 10, HIDDEN).await?;
        if letters.is_empty() {
            return Ok(());
        }
        let is_meant = |letter: &&Message| {
            let is_ours = letter::source(letter).is_none_or(|source| source == queue.name());
            is_ours && filter.is_none_or(|filter| letter::contains(letter, filter))
        };
        let (matching, others): (Vec<_>, Vec<_>) = letters.iter().partition(is_meant);
        held.extend(others.iter().filter_map(|letter| letter.receipt_handle.clone()));
        let receipts: Vec<_> = matching.iter().filter_map(|letter| letter.receipt_handle()).collect();
        if receipts.is_empty() {
            continue;
        }
        let delete = queue.client.delete_message_batch().queue_url(dead);
        let answer = delete.set_entries(Some(delete_entries(receipts.iter().copied()))).send().await;
        let failed = answer.map_err(|error| sqs_error(&error))?.failed().to_vec();
        *deleted += receipts.len() - failed.len();
        if let Some(failed) = failed.first() {
            let reason = failed.message().unwrap_or_default();
            let message = format!("a dead letter could not be deleted ({}): {reason}", failed.code());
            return Err(CommandError::new(Exit::Queue, message, "run it again"));
        }
    }
}
