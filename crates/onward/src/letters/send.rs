use onward_worker::is_fifo;
use onward_worker::sqs::batches;

use super::client::{QueueClient, sqs_error};
use crate::process::exit::{CommandError, Exit};
use crate::queue::entry::Entry;

/// Sends a message for each body, all with what the entry says besides. `sent` is told the id of each that SQS has taken.
pub(crate) async fn send(
    queue: &QueueClient,
    bodies: &[String],
    like: Entry<'_>,
    sent: &mut (dyn FnMut(&str) -> Result<(), CommandError> + Send),
) -> Result<(), CommandError> {
    for batch in batches(bodies, String::len) {
        let entries = batch.iter().enumerate().map(|(index, body)| {
            // A person who sends the same message twice means two messages.
            let unique = is_fifo(&queue.url).then(unique_id);
            let deduplication_id = like.deduplication_id.or(unique.as_deref());
            Entry { body, deduplication_id, ..like }.at(index)
        });
        let request = queue.client.send_message_batch().queue_url(&queue.url);
        let answer =
            request.set_entries(Some(entries.collect())).send().await.map_err(|error| sqs_error(&error))?;
        for entry in answer.successful() {
            sent(entry.message_id())?;
        }
        if let Some(failed) = answer.failed().first() {
            let reason = failed.message().unwrap_or_default();
            let message = format!("SQS refused a message ({}): {reason}", failed.code());
            return Err(CommandError::new(
                Exit::Queue,
                message,
                "correct what the reason names, then send it again",
            ));
        }
    }
    Ok(())
}

fn unique_id() -> String {
    format!("{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..))
}
