//! Publishes what handlers have committed to the table `outbox`: at least once, in order, by tens, one node at a time.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{MessageAttributeValue, SendMessageBatchRequestEntry};
use onward_worker::{Fault, TRACEPARENT, is_fifo};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::outbox_rows::{Outbox, Row};

/// The attribute that tells a message from its copy: the same for each time that one row is published.
pub(crate) const ID: &str = "onward.id";

/// How often the table is looked at without being told: for rows of other nodes, and those that a crash left.
const PATROL: Duration = Duration::from_secs(5);

/// After so long whoever does not answer is given up, with the connection: what was sent goes out once more, under the same
/// key.
const LONGEST_TURN: Duration = Duration::from_secs(60);

/// How long the end of the process waits for what is left.
const LAST_TURN: Duration = Duration::from_secs(10);

/// The most bytes of a batch: SQS takes 1 MiB, and other servers the 256 KiB that it took before.
const BATCH_BYTES: usize = 200 * 1024;

pub(crate) struct Relay {
    pub outbox: Outbox,
    pub client: Client,
    /// Where the queues are that this app works itself; all others are found by name.
    pub known: HashMap<String, String>,
    /// Whether a queue that is missing is created, as in development.
    pub creates: bool,
    /// Told after each commit of this process.
    pub wake: Arc<Notify>,
}

impl Relay {
    /// Publishes until it is stopped; what is left is published by the next one.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        loop {
            let turn = tokio::time::timeout(LONGEST_TURN, self.publish()).await;
            match turn.unwrap_or_else(|_| Err("a database or a queue did not answer in time".to_owned())) {
                Ok(0) => {}
                Ok(_) => continue,
                Err(reason) => {
                    tracing::warn!(%reason, "the outbox could not be published and is tried again")
                }
            }
            tokio::select! {
                () = self.wake.notified() => {}
                () = tokio::time::sleep(PATROL) => {}
                () = stop.cancelled() => break,
            }
        }
        // What the last handlers have committed goes out before the process ends.
        let rest = async { while matches!(self.publish().await, Ok(published) if published > 0) {} };
        if tokio::time::timeout(LAST_TURN, rest).await.is_err() {
            tracing::warn!("a part of the outbox is left for the next node");
        }
    }

    /// One transaction: takes the turn, publishes some rows, and deletes those that the queue has. A crash in between
    /// publishes them once more, under the same key.
    async fn publish(&mut self) -> Result<usize, String> {
        let Some((turn, rows)) = self.outbox.turn().await? else { return Ok(0) };
        let mut queues: Vec<(String, Vec<Row>)> = Vec::new();
        for row in rows {
            match queues.iter_mut().find(|(queue, _)| *queue == row.queue) {
                Some((_, rows)) => rows.push(row),
                None => queues.push((row.queue.clone(), vec![row])),
            }
        }
        let mut sent = Vec::new();
        let mut refused = None;
        for (queue, rows) in queues {
            if let Err(reason) = self.send(&queue, &rows, &mut sent).await {
                refused = Some(format!("{queue}: {reason}"));
            }
        }
        turn.end(&sent).await?;
        match refused {
            Some(reason) if sent.is_empty() => Err(reason),
            Some(reason) => {
                tracing::warn!(%reason, "a part of the outbox could not be published and is tried again");
                Ok(sent.len())
            }
            None => Ok(sent.len()),
        }
    }

    /// Sends the rows of one queue in order; behind one that is refused nothing is sent, so that the order holds.
    async fn send(&mut self, queue: &str, rows: &[Row], sent: &mut Vec<i64>) -> Result<(), String> {
        let url = self.url(queue).await?;
        let mut rest = rows;
        while !rest.is_empty() {
            let mut bytes = 0;
            let fits = |row: &&Row| {
                bytes += row.body.len();
                bytes <= BATCH_BYTES
            };
            let length = rest.iter().take(10).take_while(fits).count().max(1);
            let (batch, later) = rest.split_at(length);
            rest = later;
            let entries = batch.iter().enumerate().map(|(index, row)| entry(index, row)).collect();
            let request = self.client.send_message_batch().queue_url(&url).set_entries(Some(entries));
            let answer = request.send().await.map_err(|error| Fault::of_sdk(&error).to_string())?;
            let taken =
                answer.successful().iter().filter_map(|entry| batch.get(entry.id().parse::<usize>().ok()?));
            sent.extend(taken.map(|row| row.id));
            if let Some(failed) = answer.failed().first() {
                return Err(format!("{}: {}", failed.code(), failed.message().unwrap_or_default()));
            }
        }
        Ok(())
    }

    async fn url(&mut self, queue: &str) -> Result<String, String> {
        if let Some(url) = self.known.get(queue) {
            return Ok(url.clone());
        }
        let found = self.client.get_queue_url().queue_name(queue).send().await;
        let url = match found {
            Ok(found) => found.queue_url,
            Err(_) if self.creates => {
                let create = self.client.create_queue().queue_name(queue);
                let create = if is_fifo(queue) {
                    create.attributes(aws_sdk_sqs::types::QueueAttributeName::FifoQueue, "true")
                } else {
                    create
                };
                create.send().await.map_err(|error| Fault::of_sdk(&error).to_string())?.queue_url
            }
            Err(error) => return Err(Fault::of_sdk(&error).to_string()),
        };
        let url = url.ok_or("the queue has no URL")?;
        self.known.insert(queue.to_owned(), url.clone());
        Ok(url)
    }
}

fn entry(index: usize, row: &Row) -> SendMessageBatchRequestEntry {
    let mut entry = SendMessageBatchRequestEntry::builder()
        .id(index.to_string())
        .message_body(&row.body)
        .message_attributes(ID, text_attribute(&row.key))
        .set_message_group_id(row.group.clone())
        .set_message_deduplication_id(is_fifo(&row.queue).then(|| row.key.clone()));
    if let Some(traceparent) = &row.traceparent {
        entry = entry.message_attributes(TRACEPARENT, text_attribute(traceparent));
    }
    entry.build().expect("id and body are set")
}

fn text_attribute(value: &str) -> MessageAttributeValue {
    let attribute = MessageAttributeValue::builder().data_type("String").string_value(value);
    attribute.build().expect("the data type is set")
}
