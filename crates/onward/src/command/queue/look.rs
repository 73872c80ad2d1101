//! `queue peek` and `queue dead`: messages, or the groups of dead letters.

use onward_worker::is_fifo;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::letters::client::QueueClient;
use crate::letters::groups::{Group, groups};
use crate::letters::letter;
use crate::letters::look::{A_LOOK, Limits, Seen, look};
use crate::process::exit::{CommandError, Exit};
use crate::process::terminal::{data, note, printable};

/// How many letters are looked at for their groups.
const MOST: usize = 10_000;

/// Shows messages and gives them back at once.
pub(super) async fn messages(
    queue: &QueueClient,
    url: &str,
    max: usize,
    as_json: bool,
    stop: &CancellationToken,
) -> Result<Exit, CommandError> {
    note(A_LOOK);
    let limits = Limits { messages: max, until: None, stop: stop.clone() };
    let Seen { messages, .. } = look(queue, url, limits).await?;
    if messages.is_empty() {
        super::note_in_flight(queue, url).await;
    }
    let shown: Vec<_> = messages.iter().map(letter::as_value).collect();
    if as_json {
        data(&json!({ "messages": shown }).to_string())?;
        return Ok(Exit::Done);
    }
    for message in &shown {
        let text = |key: &str| message[key].as_str().unwrap_or_default();
        let (id, count, body) = (text("id"), &message["receive_count"], text("body"));
        data(&printable(&format!("{id}  received {count} time(s)  {body}")))?;
        if let Some(reason) = message["rejected"]["reason"].as_str() {
            data(&printable(&format!("    rejected: {reason}")))?;
        }
    }
    data(&format!("{} message(s)", shown.len()))?;
    Ok(Exit::Done)
}

/// Shows the dead letters by reason.
pub(super) async fn reasons(
    queue: &QueueClient,
    as_json: bool,
    stop: &CancellationToken,
) -> Result<Exit, CommandError> {
    note(A_LOOK);
    let dead = queue.dead_letters().await?;
    let limits = Limits { messages: MOST, until: None, stop: stop.clone() };
    let Seen { messages: letters, has_more } = look(queue, &dead, limits).await?;
    if letters.is_empty() {
        super::note_in_flight(queue, &dead).await;
    }
    if has_more {
        note("there may be more letters than those that were looked at");
    }
    if is_fifo(&dead) {
        note("a FIFO queue shows at most ten letters of a group, so that more may be there");
    }
    let groups = groups(&letters);
    if as_json {
        let objects: Vec<_> = groups.iter().map(object).collect();
        data(&json!({ "groups": objects }).to_string())?;
        return Ok(Exit::Done);
    }
    for Group { reason, letters, first_ms, last_ms, .. } in &groups {
        let shown = |ms: &Option<u64>| ms.map_or_else(|| "?".to_owned(), letter::shown_time);
        data(&printable(&format!("{letters:6}  {} to {}  {reason}", shown(first_ms), shown(last_ms))))?;
    }
    data(&format!("{} dead letter(s) in {} group(s)", letters.len(), groups.len()))?;
    Ok(Exit::Done)
}

fn object(Group { reason, letters, first_ms, last_ms, example }: &Group) -> Value {
    json!({
        "reason": reason,
        "letters": letters,
        "first_ms": first_ms,
        "last_ms": last_ms,
        "example": example,
    })
}
