//! Publishes what handlers have committed to the table `outbox`: at least once, in order, in batches of ten, one node at a
//! time.

use std::sync::Arc;
use std::time::Duration;

use onward_worker::sqs::batches;
use onward_worker::{QueueError, is_fifo};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::outbox::pauses::Pauses;
use crate::outbox::table::{Outbox, Parked, Row};
use crate::queue::addresses::Addresses;
use crate::queue::entry::{Entry, rounds};

/// How often the relay reads the table without a wake: for rows of other nodes, and for rows that a crash left.
const POLL_INTERVAL: Duration = Duration::from_secs(5);

/// After this time the relay drops a turn and its connection, because the database or a queue does not answer. A later turn
/// publishes the rows again, under the same key.
const MAX_TURN: Duration = Duration::from_secs(60);

/// How long the end of the process waits for the remaining rows.
pub(crate) const LAST_TURN: Duration = Duration::from_secs(10);

pub(crate) struct Relay {
    pub outbox: Outbox,
    pub addresses: Addresses,
    /// Notified after each commit of this process.
    pub wake: Arc<Notify>,
    pub pauses: Pauses,
}

impl Relay {
    /// Publishes until `stop` is cancelled. The next node publishes the rest.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        loop {
            let turn = tokio::time::timeout(MAX_TURN, self.publish()).await;
            match turn.unwrap_or_else(|_| Err("a database or a queue did not answer in time".to_owned())) {
                Ok(0) => {}
                Ok(_) if stop.is_cancelled() => break,
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
        let Some((turn, rows)) = self.outbox.turn(&self.pauses.now()).await? else { return Ok(0) };
        let mut queues: Vec<(String, Vec<Row>)> = Vec::new();
        for row in rows {
            match queues.iter_mut().find(|(queue, _)| *queue == row.queue) {
                Some((_, rows)) => rows.push(row),
                None => queues.push((row.queue.clone(), vec![row])),
            }
        }
        let mut published = Published::default();
        for (queue, rows) in queues {
            match self.send(&queue, rows, &mut published).await {
                Ok(()) => self.pauses.end(&queue, None),
                Err(reason) => {
                    let pause = self.pauses.begin(&queue, None);
                    tracing::warn!(queue, ?pause, %reason, "a queue takes nothing from the outbox; its rows wait");
                }
            }
        }
        turn.end(&published.sent, &published.parked).await?;
        Ok(published.sent.len() + published.parked.len())
    }

    /// Sends the rows of one queue in order. An error concerns the queue as a whole.
    async fn send(&mut self, queue: &str, rows: Vec<Row>, published: &mut Published) -> Result<(), String> {
        let url = self.addresses.url(queue).await.map_err(|error| error.to_string())?;
        for round in rounds(is_fifo(queue), rows, |row| row.group.clone()) {
            for batch in batches(&round, |row| row.body.len()) {
                self.send_batch(queue, &url, batch, published).await?;
            }
        }
        Ok(())
    }

    async fn send_batch(
        &mut self,
        queue: &str,
        url: &str,
        batch: &[Row],
        published: &mut Published,
    ) -> Result<(), String> {
        // Behind a row that has failed nothing of its group is sent, so that none overtakes it.
        let batch: Vec<_> =
            batch.iter().filter(|row| !self.pauses.contains(queue, row.group.as_deref())).collect();
        if batch.is_empty() {
            return Ok(());
        }
        let entry = |(index, row): (usize, &&Row)| {
            let entry = Entry {
                body: &row.body,
                id: Some(&row.key),
                group: row.group.as_deref(),
                deduplication_id: is_fifo(queue).then_some(&row.key),
                traceparent: row.traceparent.as_deref(),
                ..Entry::default()
            };
            entry.at(index)
        };
        let entries = batch.iter().enumerate().map(entry).collect();
        let request = self.addresses.client.send_message_batch().queue_url(url).set_entries(Some(entries));
        let answer = request.send().await.map_err(|error| QueueError::of_sdk(&error).to_string())?;
        let row = |id: &str| batch.get(id.parse::<usize>().ok()?);
        published.sent.extend(answer.successful().iter().filter_map(|entry| Some(row(entry.id())?.id)));
        for failed in answer.failed() {
            let Some(row) = row(failed.id()) else { continue };
            let reason = format!("{}: {}", failed.code(), failed.message().unwrap_or_default());
            if failed.sender_fault() {
                tracing::error!(queue, id = row.id, %reason, "a row of the outbox can never be sent; it is parked");
                published.parked.push(Parked { id: row.id, reason });
            } else {
                let pause = self.pauses.begin(queue, row.group.as_deref());
                tracing::warn!(queue, id = row.id, ?pause, %reason, "a row of the outbox was refused; it is sent again");
            }
        }
        Ok(())
    }
}

/// What became of the rows of a turn.
#[derive(Default)]
struct Published {
    sent: Vec<i64>,
    parked: Vec<Parked>,
}
