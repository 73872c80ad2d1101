use std::collections::HashSet;
use std::time::{Duration, Instant};

use aws_sdk_sqs::types::Message;
use tokio_util::sync::CancellationToken;

use super::client::QueueClient;
use super::letter;
use crate::process::exit::CommandError;

/// How long a message is hidden while the others are received; at the end all are given back.
const HIDDEN: Duration = Duration::from_secs(120);

/// The most bytes of messages that a look takes.
const MAX_BYTES: usize = 64 * 1024 * 1024;

/// What a person should know of a look.
pub(crate) const A_LOOK: &str = "a look is a receive: each message shown counts one more receive";

/// How far a look goes.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    pub messages: usize,
    /// When it ends, whatever it has seen.
    pub until: Option<Instant>,
    /// Ends it, too.
    pub stop: CancellationToken,
}

impl Limits {
    fn is_over(&self) -> bool {
        self.stop.is_cancelled() || self.until.is_some_and(|until| Instant::now() >= until)
    }
}

/// What a look has seen. All of it was given back.
#[derive(Debug)]
pub(crate) struct Seen {
    pub messages: Vec<Message>,
    /// Whether there may be more.
    pub has_more: bool,
}

/// Looks at the messages of a queue, and gives them back at once. Copies of one message are there once.
pub(crate) async fn look(queue: &QueueClient, url: &str, limits: Limits) -> Result<Seen, CommandError> {
    let (mut seen, mut receipts) = (Seen { messages: Vec::new(), has_more: true }, Vec::new());
    let looked = receive(queue, url, limits, &mut seen, &mut receipts).await;
    queue.give_back(url, &receipts).await?;
    looked.map(|()| seen)
}

/// Receives until there is nothing new, or a limit is reached.
async fn receive(
    queue: &QueueClient,
    url: &str,
    limits: Limits,
    seen: &mut Seen,
    receipts: &mut Vec<String>,
) -> Result<(), CommandError> {
    let (mut known, mut bytes) = (HashSet::new(), 0);
    while seen.messages.len() < limits.messages && bytes < MAX_BYTES && !limits.is_over() {
        let messages = queue.receive(url, limits.messages - seen.messages.len(), HIDDEN).await?;
        receipts.extend(messages.iter().filter_map(|message| message.receipt_handle.clone()));
        let before = known.len();
        for message in messages {
            if known.insert((letter::source(&message), letter::copy_key(&message))) {
                bytes += letter::bytes(&message);
                seen.messages.push(message);
            }
        }
        if known.len() == before {
            seen.has_more = false;
            return Ok(());
        }
    }
    Ok(())
}
