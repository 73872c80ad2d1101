//! Publishes what handlers have committed to the table `outbox`: at least once, in order, in batches of ten, one node at a
//! time.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{QueueAttributeName, SendMessageBatchRequestEntry};
use onward_worker::sqs::{queue_url, text_attribute};
use onward_worker::{MESSAGE_ID, QueueError, TRACEPARENT, is_fifo};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::outbox::table::{Outbox, Row};

/// How often the relay reads the table without a wake: for rows of other nodes, and for rows that a crash left.
const POLL_INTERVAL: Duration = Duration::from_secs(5);

/// After this time the relay drops a turn and its connection, because the database or a queue does not answer. A later turn
/// publishes the rows again, under the same key.
const MAX_TURN: Duration = Duration::from_secs(60);

/// How long the end of the process waits for the remaining rows.
const LAST_TURN: Duration = Duration::from_secs(10);

/// The maximum bytes of a batch: SQS accepts 1 MiB, other servers the 256 KiB that SQS accepted before.
const BATCH_BYTES: usize = 200 * 1024;

pub(crate) struct Relay {
    pub outbox: Outbox,
    pub client: Client,
    /// The URLs of the queues that this app works itself. The relay looks up the others by name.
    pub known: HashMap<String, String>,
    /// Whether the relay creates a queue that is missing, as in development.
    pub creates: bool,
    /// Notified after each commit of this process.
    pub wake: Arc<Notify>,
}

impl Relay {
    /// Publishes until `stop` is cancelled. The next node publishes the rest.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        loop {
            let turn = tokio::time::timeout(MAX_TURN, self.publish()).await;
            match turn.unwrap_or_else(|_| Err("a database or a queue did not answer in time".to_owned())) {
                Ok(0) => {}
                Ok(_) => continue,
                Err(reason) => {
                    tracing::warn!(%reason, "the outbox could not be published; the relay tries again")
                }
            }
            tokio::select! {
                () = self.wake.notified() => {}
                () = tokio::time::sleep(POLL_INTERVAL) => {}
                () = stop.cancelled() => break,
            }
        }
        // Publishes what the last handlers have committed, before the process ends.
        let rest = async { while matches!(self.publish().await, Ok(published) if published > 0) {} };
        if tokio::time::timeout(LAST_TURN, rest).await.is_err() {
            tracing::warn!(
                "the process ends before the whole outbox is published; the next node publishes the rest"
            );
        }
    }

    /// One transaction: takes the turn, publishes some rows, and deletes those that the queue accepted. After a crash in
    /// between, the next turn publishes them again, under the same key.
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
                tracing::warn!(%reason, "a part of the outbox could not be published; the relay tries again");
                Ok(sent.len())
            }
            None => Ok(sent.len()),
        }
    }

    /// Sends the rows of one queue in order. After a refused row it sends no further batch, so that the order holds.
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
            let answer = request.send().await.map_err(|error| QueueError::of_sdk(&error).to_string())?;
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
        let url = match queue_url(&self.client, queue, None).await {
            Ok(url) => url,
            Err(_) if self.creates => self.create(queue).await?,
            Err(error) => return Err(error.to_string()),
        };
        self.known.insert(queue.to_owned(), url.clone());
        Ok(url)
    }

    async fn create(&self, queue: &str) -> Result<String, String> {
        let create = self.client.create_queue().queue_name(queue);
        let create = match is_fifo(queue) {
            true => create.attributes(QueueAttributeName::FifoQueue, "true"),
            false => create,
        };
        let created = create.send().await.map_err(|error| QueueError::of_sdk(&error).to_string())?;
        created.queue_url.ok_or_else(|| "the queue has no URL".to_owned())
    }
}

fn entry(index: usize, row: &Row) -> SendMessageBatchRequestEntry {
    let mut entry = SendMessageBatchRequestEntry::builder()
        .id(index.to_string())
        .message_body(&row.body)
        .message_attributes(MESSAGE_ID, text_attribute(&row.key))
        .set_message_group_id(row.group.clone())
        .set_message_deduplication_id(is_fifo(&row.queue).then(|| row.key.clone()));
    if let Some(traceparent) = &row.traceparent {
        entry = entry.message_attributes(TRACEPARENT, text_attribute(traceparent));
    }
    entry.build().expect("id and body are set")
}
