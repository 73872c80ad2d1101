use aws_sdk_sqs::types::Message;
use onward_worker::sqs::delete_entries;
use tokio_util::sync::CancellationToken;

use super::client::{QueueClient, sqs_error};
use super::held::{HIDDEN, Held};
use super::letter;
use super::selection::Selection;
use crate::process::exit::{CommandError, Exit};

/// What a deletion has done so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Deleted {
    pub deleted: usize,
    /// How many do not match, or belong to another queue.
    pub stay: usize,
}

/// Deletes the letters of the dead-letter queue that match, permanently, and gives back the others. `report` is told after each batch.
pub(crate) async fn delete(
    queue: &QueueClient,
    dead: &str,
    selection: &Selection,
    stop: &CancellationToken,
    report: &mut (dyn FnMut(Deleted) + Send),
) -> (Deleted, Result<(), CommandError>) {
    let (mut so_far, mut held) = (Deleted::default(), Held::default());
    let mut outcome = Ok(());
    let is_only = queue.is_only_source_of(dead).await;
    while !stop.is_cancelled() {
        match batch(queue, dead, (selection, is_only), &mut so_far, &mut held).await {
            Ok(true) => report(so_far),
            Ok(false) => break,
            Err(error) => {
                outcome = Err(error);
                break;
            }
        }
    }
    let given_back = held.give_back(queue, dead).await;
    (so_far, outcome.and(given_back))
}

/// One receive. What stays is hidden meanwhile, so that it comes once. Says whether anything came.
async fn batch(
    queue: &QueueClient,
    dead: &str,
    (selection, is_only): (&Selection, bool),
    so_far: &mut Deleted,
    held: &mut Held,
) -> Result<bool, CommandError> {
    held.keep(queue, dead).await?;
    let letters = queue.receive(dead, 10, HIDDEN).await?;
    if letters.is_empty() {
        return Ok(false);
    }
    // Until it is deleted each letter counts as one that stays, and is given back at the end.
    held.add(letters.iter().filter_map(|letter| letter.receipt_handle.clone()));
    let is_meant =
        |letter: &&Message| letter::belongs_to(letter, queue.name(), is_only) && selection.matches(letter);
    let matching: Vec<_> = letters.iter().filter(is_meant).collect();
    so_far.stay += letters.len() - matching.len();
    let receipts: Vec<_> = matching.iter().filter_map(|letter| letter.receipt_handle()).collect();
    if receipts.is_empty() {
        return Ok(true);
    }
    let delete = queue.client.delete_message_batch().queue_url(dead);
    let answer = delete.set_entries(Some(delete_entries(receipts.iter().copied()))).send().await;
    let failed = answer.map_err(|error| sqs_error(&error))?.failed().to_vec();
    so_far.deleted += receipts.len() - failed.len();
    for (index, receipt) in receipts.iter().enumerate() {
        if !failed.iter().any(|failed| failed.id() == index.to_string()) {
            held.remove(receipt);
        }
    }
    match failed.first() {
        None => Ok(true),
        Some(failed) => {
            let reason = failed.message().unwrap_or_default();
            let message = format!("a dead letter could not be deleted ({}): {reason}", failed.code());
            Err(CommandError::new(Exit::Queue, message, "run it again"))
        }
    }
}
