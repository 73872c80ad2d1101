//! Publishes what handlers have committed to the table `outbox`: at least once, in order, in batches of ten, one node at a
//! time.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_sdk_sqs::types::BatchResultErrorEntry;
use futures_util::future::join_all;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use onward_worker::is_fifo;
use onward_worker::sqs::{answered, batches, may_pass};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::outbox::pauses::Pauses;
use crate::outbox::table::{Outbox, Parked, Row};
use crate::queue::addresses::Addresses;
use crate::queue::entry::{Entry, rounds};

/// How often the relay reads the table without a wake: for rows of other nodes, and for rows that a crash left.
const POLL_INTERVAL: Duration = Duration::from_secs(5);

/// How soon a node tries again that has found another one at its turn: that one may have read the table before this one's commit.
const OTHERS_TURN: Duration = Duration::from_millis(250);

/// How often it does so after a commit of its own, before it waits as one without any.
const TRIES: u32 = 4;

/// After this time a turn begins no further call. Its other rows wait for the next turn.
const TURN: Duration = Duration::from_secs(20);

/// After this time the relay drops a turn and its connection, because the database does not answer. A later turn publishes the rows
/// again, under the same key.
const MAX_TURN: Duration = Duration::from_secs(60);

/// How long the end of the process waits for the remaining rows.
pub(crate) const LAST_TURN: Duration = Duration::from_secs(10);

/// How many batches of a queue may be on their way at once.
const CONCURRENT_BATCHES: usize = 20;

pub(crate) struct Relay {
    outbox: Outbox,
    addresses: Addresses,
    /// Notified after each commit of this process.
    wake: Arc<Notify>,
    pauses: Mutex<Pauses>,
}

/// What a try to publish came to.
#[derive(PartialEq, Eq)]
enum Turned {
    /// Rows were sent or parked, and there may be more.
    Published,
    Nothing,
    /// Another node publishes.
    Other,
}

impl Relay {
    pub(crate) fn new(outbox: Outbox, addresses: Addresses, wake: Arc<Notify>) -> Self {
        Self { outbox, addresses, wake, pauses: Mutex::default() }
    }

    fn pauses(&self) -> MutexGuard<'_, Pauses> {
        self.pauses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Publishes until `stop` is cancelled. The next node publishes the rest.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let mut tries = 0;
        loop {
            // At the stop what runs may end, and no longer than a last turn.
            let late = async {
                stop.cancelled().await;
                tokio::time::sleep(LAST_TURN).await;
            };
            let turn = tokio::select! {
                turn = timeout(MAX_TURN, self.publish(&stop)) => turn.map_err(|_| ()),
                () = late => Err(()),
            };
            match turn.unwrap_or_else(|_| Err("the database did not answer in time".to_owned())) {
                Ok(Turned::Published) if stop.is_cancelled() => break,
                Ok(Turned::Published) => continue,
                Ok(Turned::Nothing) => {}
                Ok(Turned::Other) => {
                    // Without a pause each commit of a busy fleet would ask for the turn.
                    tokio::select! {
                        () = tokio::time::sleep(OTHERS_TURN) => {}
                        () = stop.cancelled() => break,
                    }
                    tries += 1;
                    if tries < TRIES {
                        continue;
                    }
                }
                Err(reason) => {
                    tracing::warn!(%reason, "the outbox could not be published; the relay tries again");
                }
            }
            tokio::select! {
                () = self.wake.notified() => tries = 0,
                () = tokio::time::sleep(POLL_INTERVAL) => {}
                () = stop.cancelled() => break,
            }
        }
        // Publishes what the last handlers have committed, before the process ends.
        let rest =
            async { while matches!(self.publish(&CancellationToken::new()).await, Ok(Turned::Published)) {} };
        if timeout(LAST_TURN, rest).await.is_err() {
            tracing::warn!(
                "the process ends before the whole outbox is published; the next node publishes the rest"
            );
        }
    }

    /// One transaction: takes the turn, publishes some rows, and deletes those that the queues accepted. After a crash in
    /// between, the next turn publishes them again, under the same key. After the stop it begins no other call.
    async fn publish(&self, stop: &CancellationToken) -> Result<Turned, String> {
        let paused = self.pauses().now();
        let Some((turn, rows)) = self.outbox.turn(&paused).await? else { return Ok(Turned::Other) };
        let mut queues: Vec<(String, Vec<Row>)> = Vec::new();
        for row in rows {
            match queues.iter_mut().find(|(queue, _)| *queue == row.queue) {
                Some((_, rows)) => rows.push(row),
                None => queues.push((row.queue.clone(), vec![row])),
            }
        }
        let published = Mutex::new(Published::default());
        let until = Until { then: Instant::now() + TURN, stop };
        join_all(queues.into_iter().map(|(queue, rows)| self.send(queue, rows, until, &published))).await;
        let published = published.into_inner().unwrap_or_else(PoisonError::into_inner);
        turn.end(&published.sent, &published.parked).await?;
        match published.sent.len() + published.parked.len() {
            0 => Ok(Turned::Nothing),
            _ => Ok(Turned::Published),
        }
    }

    /// Sends the rows of one queue. Its failure as a whole makes its rows wait.
    async fn send(&self, queue: String, rows: Vec<Row>, until: Until<'_>, published: &Mutex<Published>) {
        match self.send_rounds(&queue, rows, until, published).await {
            Ok(()) => self.pauses().end(&queue, None),
            Err(reason) => {
                let pause = self.pauses().begin(&queue, None);
                tracing::warn!(queue, ?pause, %reason, "a queue takes nothing from the outbox; its rows wait");
            }
        }
    }

    /// Sends round by round, the batches of a round at the same time: in a FIFO queue they are of different groups, and another queue
    /// has no order. After a call that failed, and after `until`, no other one begins.
    async fn send_rounds(
        &self,
        queue: &str,
        rows: Vec<Row>,
        until: Until<'_>,
        published: &Mutex<Published>,
    ) -> Result<(), String> {
        let url = self.addresses.url(queue).await.map_err(|error| error.to_string())?;
        // The groups of which a row was refused. A pause of theirs may be over before the turn is.
        let refused = Mutex::new(HashSet::new());
        for round in rounds(is_fifo(queue), rows, |row| row.group.clone()) {
            let mut batches = batches(&round, |row: &Row| row.body.len());
            let (mut sending, mut outcome) = (FuturesUnordered::new(), Ok(()));
            loop {
                while outcome.is_ok() && !until.is_over() && sending.len() < CONCURRENT_BATCHES {
                    let Some(batch) = batches.next() else { break };
                    sending.push(self.send_batch(queue, &url, batch, published, &refused));
                }
                // All calls are awaited: one that is dropped may have been sent.
                let Some(sent) = sending.next().await else { break };
                outcome = outcome.and(sent);
            }
            outcome?;
        }
        Ok(())
    }

    async fn send_batch(
        &self,
        queue: &str,
        url: &str,
        batch: &[Row],
        published: &Mutex<Published>,
        refused: &Mutex<HashSet<String>>,
    ) -> Result<(), String> {
        let refused = || refused.lock().unwrap_or_else(PoisonError::into_inner);
        // Behind a row that has failed nothing of its group is sent in this turn, so that none overtakes it.
        let is_next = |row: &&Row| row.group.as_ref().is_none_or(|group| !refused().contains(group));
        let batch: Vec<_> = batch.iter().filter(is_next).collect();
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
        let answer = match (answered(request.send()).await, &batch[..]) {
            (Ok(answer), _) => answer,
            // A row that was written by hand; the others are too large together at the most.
            (Err(error), [row]) if error.message.contains("TooLong") => {
                published.lock().unwrap_or_else(PoisonError::into_inner).park(queue, row, error.message);
                return Ok(());
            }
            (Err(error), _) => return Err(error.to_string()),
        };
        let row = |id: &str| batch.get(id.parse::<usize>().ok()?);
        let mut published = published.lock().unwrap_or_else(PoisonError::into_inner);
        let passes = |failed: &&BatchResultErrorEntry| !failed.sender_fault() || may_pass(failed.code());
        let has_sent = !answer.successful().is_empty();
        published.sent.extend(answer.successful().iter().filter_map(|entry| Some(row(entry.id())?.id)));
        for failed in answer.failed() {
            let Some(row) = row(failed.id()) else { continue };
            let reason = format!("{}: {}", failed.code(), failed.message().unwrap_or_default());
            if !passes(&failed) {
                published.park(queue, row, reason);
            } else {
                // A row without a group holds up no other one.
                let pause = row.group.as_ref().map(|group| {
                    refused().insert(group.clone());
                    self.pauses().begin(queue, Some(group))
                });
                tracing::warn!(queue, id = row.id, ?pause, %reason, "a row of the outbox was refused; it is sent again");
            }
        }
        let has_group = batch.iter().any(|row| row.group.is_some());
        match answer.failed().iter().find(passes).filter(|_| !has_sent && !has_group) {
            // Rows without a group that are refused one by one would stand before those of all other queues.
            Some(failed) => Err(format!("all rows of a call were refused: {}", failed.code())),
            None => Ok(()),
        }
    }
}

/// When a turn begins no other call.
#[derive(Clone, Copy)]
struct Until<'a> {
    then: Instant,
    stop: &'a CancellationToken,
}

impl Until<'_> {
    fn is_over(&self) -> bool {
        Instant::now() >= self.then || self.stop.is_cancelled()
    }
}

/// What became of the rows of a turn.
#[derive(Default)]
struct Published {
    sent: Vec<i64>,
    parked: Vec<Parked>,
}

impl Published {
    fn park(&mut self, queue: &str, row: &Row, reason: String) {
        tracing::error!(queue, id = row.id, %reason, "a row of the outbox can never be sent; it is parked");
        self.parked.push(Parked { id: row.id, reason });
    }
}
