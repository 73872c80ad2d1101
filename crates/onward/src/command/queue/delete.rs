//! `queue delete`: dead letters that nobody needs any more.

use onward_worker::is_fifo;
use tokio_util::sync::CancellationToken;

use crate::letters::client::QueueClient;
use crate::letters::delete::{Deleted, delete};
use crate::letters::selection::Selection;
use crate::process::exit::{CommandError, Exit};
use crate::process::terminal::{data, note};

/// Deletes the dead letters that match, permanently. The name of the queue is the confirmation.
pub(super) async fn run(
    queue: &QueueClient,
    selection: &Selection,
    confirm: Option<&str>,
    stop: &CancellationToken,
) -> Result<Exit, CommandError> {
    let name = queue.name();
    if confirm != Some(name) {
        let message = format!("delete removes {selection} of {name} permanently");
        return Err(CommandError::new(Exit::Usage, message, format!("to confirm: `--confirm {name}`")));
    }
    let dead = queue.dead_letters().await?;
    let (Deleted { deleted, stay }, outcome) = delete(queue, &dead, selection, stop, &mut |_| {}).await;
    data(&format!("{deleted} dead letter(s) of {name} deleted; {stay} stay"))?;
    if deleted + stay == 0 {
        super::note_in_flight(queue, &dead).await;
    }
    if is_fifo(name) && stay > 0 {
        note(
            "a FIFO queue shows at most ten letters of a group: what lies behind those that stay was not looked at",
        );
    }
    outcome.map(|()| Exit::Done)
}
