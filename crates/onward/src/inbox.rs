//! A handler's work, the mark that it was done, and what it sends, in one transaction.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use deadpool_postgres::Object;
use onward_worker::{Failure, Message};
use serde::Serialize;
use tokio::sync::Notify;
use tokio_postgres::error::SqlState;

use crate::extract::{Delivery, FromMessage};
use crate::outbox::ID;

/// A transaction of a handler's own, with the message's mark in it.
///
/// The table `inbox` gets a row for the message in the same transaction as the handler's work. When the handler
/// returns `Ok`, both commit, and then the message is deleted; when it fails, panics or takes too long, both roll back.
/// A message that is delivered again after that is deleted without running the handler, so that its effect in the
/// database happens once.
///
/// It is used like a `tokio_postgres::Client`: `tx.execute(…)`, `tx.query(…)`. The tables are a script in the app's own
/// folder, see `docs/inbox.md`.
#[derive(Debug)]
pub struct PgTx(Arc<Transaction>);

impl Deref for PgTx {
    type Target = tokio_postgres::Client;

    fn deref(&self) -> &tokio_postgres::Client {
        self.0.client()
    }
}

impl PgTx {
    /// Sends a message to a queue when, and only when, the transaction commits: it is written to the table `outbox`,
    /// from which the app publishes it (`App::outbox`), at least once and in order.
    ///
    /// # Errors
    ///
    /// If the body cannot be encoded as JSON, or the row cannot be written.
    pub async fn send(&self, queue: &str, body: &(impl Serialize + Sync)) -> Result<(), Failure> {
        self.write(queue, None, body).await
    }

    /// As [`PgTx::send`], to a message group of a FIFO queue.
    ///
    /// # Errors
    ///
    /// As [`PgTx::send`].
    pub async fn send_to_group(
        &self,
        queue: &str,
        group: &str,
        body: &(impl Serialize + Sync),
    ) -> Result<(), Failure> {
        self.write(queue, Some(group), body).await
    }

    async fn write(
        &self,
        queue: &str,
        group: Option<&str>,
        body: &(impl Serialize + Sync),
    ) -> Result<(), Failure> {
        let body = serde_json::to_string(body)
            .map_err(|error| Failure::reject(format!("a message to {queue} cannot be encoded: {error}")))?;
        let insert = "INSERT INTO outbox (queue, group_id, body) VALUES ($1, $2, $3)";
        self.execute(insert, &[&queue, &group, &body]).await.map_err(|error| failed("outbox", &error))?;
        self.0.has_sent.store(true, Ordering::Relaxed);
        Ok(())
    }
}

impl<S: Sync> FromMessage<S> for PgTx {
    async fn from_message(delivery: &mut Delivery<'_, S>) -> Result<Self, Failure> {
        if delivery.transaction.is_some() {
            return Err(Failure::retry("a handler takes one PgTx"));
        }
        let client = delivery.database.postgres()?.get().await?;
        let transaction = Transaction {
            client: Some(client),
            is_over: AtomicBool::new(false),
            has_sent: AtomicBool::new(false),
            wake: delivery.database.wake.clone(),
        };
        let Delivery { message, queue, .. } = delivery;
        let (id, queue): (&str, &str) = (identity(message), queue);
        let work = transaction.client();
        work.batch_execute("BEGIN").await?;
        let insert = "INSERT INTO inbox (queue, message_id) VALUES ($1, $2) ON CONFLICT DO NOTHING";
        let inserted = work.execute(insert, &[&queue, &id]).await.map_err(|error| failed("inbox", &error))?;
        if inserted == 0 {
            transaction.end("ROLLBACK").await?;
            delivery.was_handled = true;
            return Err(Failure::retry("handled before"));
        }
        let transaction = Arc::new(transaction);
        delivery.transaction = Some(transaction.clone());
        Ok(Self(transaction))
    }
}

/// What the message is known by: a relay that crashed may have sent it twice, under two ids of the queue and one of its
/// own.
fn identity(message: &Message) -> &str {
    message.attributes.get(ID).unwrap_or(&message.id)
}

fn failed(table: &str, error: &tokio_postgres::Error) -> Failure {
    if error.code() == Some(&SqlState::UNDEFINED_TABLE) {
        return Failure::retry(format!("the table `{table}` is missing: add the script of docs/inbox.md"));
    }
    Failure::retry(error)
}

/// A connection with an open transaction. One that is not ended in order is closed, and the server rolls back.
#[derive(Debug)]
pub(crate) struct Transaction {
    client: Option<Object>,
    is_over: AtomicBool,
    has_sent: AtomicBool,
    wake: Arc<Notify>,
}

impl Transaction {
    fn client(&self) -> &tokio_postgres::Client {
        self.client.as_ref().expect("is there until the drop")
    }

    /// Commits after a success, rolls back after a failure.
    pub(crate) async fn settle(&self, outcome: Result<(), Failure>) -> Result<(), Failure> {
        match outcome {
            Ok(()) => self.end("COMMIT").await,
            Err(failure) => {
                if let Err(error) = self.end("ROLLBACK").await {
                    tracing::debug!(reason = %error.reason, "the rollback is the server's to make");
                }
                Err(failure)
            }
        }
    }

    async fn end(&self, how: &str) -> Result<(), Failure> {
        self.client().batch_execute(how).await?;
        self.is_over.store(true, Ordering::Relaxed);
        if how == "COMMIT" && self.has_sent.load(Ordering::Relaxed) {
            self.wake.notify_one();
        }
        Ok(())
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if let Some(client) = self.client.take()
            && !self.is_over.load(Ordering::Relaxed)
        {
            drop(Object::take(client));
        }
    }
}
