use std::collections::HashSet;
use std::time::Duration;

use serde_json::{Value, json};

use super::letter;
use super::open::QueueClient;
use crate::process::exit::{CommandError, Exit};
use crate::process::terminal::{data, note};

/// How long a message is hidden while the others are received; at the end all are given back.
const HIDDEN: Duration = Duration::from_secs(120);

/// Shows messages and gives them back at once.
pub(super) async fn run(
    queue: &QueueClient,
    url: &str,
    max: usize,
    as_json: bool,
) -> Result<Exit, CommandError> {
    note_of_looks();
    let shown = looked(queue, url, max).await?;
    if as_json {
        data(&json!({ "messages": shown }).to_string())?;
        return Ok(Exit::Done);
    }
    for message in &shown {
        let text = |key: &str| message[key].as_str().unwrap_or_default();
        let (id, count, body) = (text("id"), &message["receive_count"], text("body"));
        data(&format!("{id}  received {count} time(s)  {body}"))?;
        if let Some(reason) = message["rejected"]["reason"].as_str() {
            data(&format!("    rejected: {reason}"))?;
        }
    }
    data(&format!("{} message(s)", shown.len()))?;
    Ok(Exit::Done)
}

/// What a person should know of a look.
pub(super) fn note_of_looks() {
    note("a look is a receive: each message shown counts one more receive");
}

/// Up to so many messages as JSON, which are given back at once.
pub(super) async fn looked(queue: &QueueClient, url: &str, max: usize) -> Result<Vec<Value>, CommandError> {
    let (mut shown, mut receipts) = (Vec::new(), Vec::new());
    let looked = look(queue, url, max, &mut shown, &mut receipts).await;
    queue.give_back(url, &receipts).await?;
    looked.map(|()| shown)
}

/// Receives until there is nothing new. Copies of one message are shown once.
async fn look(
    queue: &QueueClient,
    url: &str,
    max: usize,
    shown: &mut Vec<Value>,
    receipts: &mut Vec<String>,
) -> Result<(), CommandError> {
    let mut seen = HashSet::new();
    while shown.len() < max {
        let messages = queue.receive(url, max - shown.len(), HIDDEN).await?;
        if messages.is_empty() {
            return Ok(());
        }
        receipts.extend(messages.iter().filter_map(|message| message.receipt_handle.clone()));
        let before = seen.len();
        for message in &messages {
            if seen.insert(letter::identity(message).to_owned()) {
                shown.push(letter::as_value(message));
            }
        }
        if seen.len() == before {
            return Ok(());
        }
    }
    Ok(())
}
