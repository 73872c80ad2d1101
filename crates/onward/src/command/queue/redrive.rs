//! `queue redrive`: what was dead when it began goes back to its queue.

use tokio_util::sync::CancellationToken;

use crate::letters::client::QueueClient;
use crate::letters::redrive::{Redriven, redrive};
use crate::letters::selection::Selection;
use crate::process::exit::{CommandError, Exit};
use crate::process::terminal::{data, note};

/// After how many letters the progress is shown.
const PROGRESS: usize = 500;

pub(super) async fn run(
    queue: &QueueClient,
    selection: &Selection,
    max: usize,
    stop: &CancellationToken,
) -> Result<Exit, CommandError> {
    let dead = queue.dead_letters().await?;
    let mut shown = 0;
    let mut report = |Redriven { sent, .. }: Redriven| {
        if sent >= shown + PROGRESS {
            shown = sent;
            note(&format!("{sent} sent so far"));
        }
    };
    let (Redriven { sent, again, left }, outcome) =
        redrive(queue, &dead, selection, max, stop, &mut report).await;
    let mut line = format!("{sent} message(s) sent to {}", queue.name());
    if again > 0 {
        line.push_str(&format!("; {again} died again"));
    }
    if left > 0 {
        line.push_str(&format!("; {left} left, which do not match or are not known to be of this queue"));
    }
    data(&line)?;
    if sent + again + left == 0 {
        super::note_in_flight(queue, &dead).await;
    }
    outcome.map(|()| Exit::Done)
}
