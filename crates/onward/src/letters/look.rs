use std::collections::HashSet;
use std::time::Duration;

use aws_sdk_sqs::types::Message;

use super::client::QueueClient;
use super::letter;
use crate::process::exit::CommandError;

/// How long a message is hidden while the others are received; at the end all are given back.
const HIDDEN: Duration = Duration::from_secs(120);

/// What a person should know of a look.
pub(crate) const A_LOOK: &str = "a look is a receive: each message shown counts one more receive";

/// Up to so many messages, which are given back at once. Copies of one message are there once.
pub(crate) async fn look(queue: &QueueClient, url: &str, max: usize) -> Result<Vec<Message>, CommandError> {
    let (mut shown, mut receipts) = (Vec::new(), Vec::new());
    let looked = receive(queue, url, max, &mut shown, &mut receipts).await;
    queue.give_back(url, &receipts).await?;
    looked.map(|()| shown)
}

/// Receives until there is nothing new.
async fn receive(
    queue: &QueueClient,
    url: &str,
    max: usize,
    shown: &mut Vec<Message>,
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
        for message in messages {
            if seen.insert(letter::identity(&message).to_owned()) {
                shown.push(message);
            }
        }
        if seen.len() == before {
            return Ok(());
        }
    }
    Ok(())
}
