use std::ops::Deref;

use deadpool_postgres::Manager;
use onward_worker::Failure;
use serde::Serialize;
use tokio_postgres::error::SqlState;

use crate::extract::{Delivery, FromMessage};
use crate::inbox::{ONE_TRANSACTION, Sent, Transaction, identity, missing_table};
use crate::transaction::{Lent, Open};

/// A transaction of a handler's own on PostgreSQL, with the message's mark in it.
///
/// The table `inbox` gets a row for the message in the same transaction as the handler's work. When the handler
/// returns `Ok`, both commit, and then the message is deleted; when it fails, panics or takes too long, both roll back.
/// A message that is delivered again after that is deleted without running the handler, so that its effect in the
/// database happens once.
///
/// It is used like a `tokio_postgres::Client`: `tx.execute(…)`, `tx.query(…)`. The tables are a script in the app's own
/// folder, see `docs/inbox.md`.
#[derive(Debug)]
pub struct PgTx(Lent<Manager>);

impl Deref for PgTx {
    type Target = tokio_postgres::Client;

    fn deref(&self) -> &tokio_postgres::Client {
        &self.0
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
        self.write(Sent::new(&self.0.lender, queue, None, body)?).await
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
        self.write(Sent::new(&self.0.lender, queue, Some(group), body)?).await
    }

    async fn write(&self, Sent { queue, group, body, traceparent }: Sent<'_>) -> Result<(), Failure> {
        let insert = "INSERT INTO outbox (queue, group_id, body, traceparent) VALUES ($1, $2, $3, $4)";
        let inserted = self.execute(insert, &[&queue, &group, &body, &traceparent]).await;
        inserted.map(|_| ()).map_err(|error| failed("outbox", &error))
    }
}

impl<S: Sync> FromMessage<S> for PgTx {
    async fn from_message(delivery: &mut Delivery<'_, S>) -> Result<Self, Failure> {
        if delivery.transaction.is_some() {
            return Err(Failure::retry(ONE_TRANSACTION));
        }
        let open = Open::new(delivery.database.postgres()?.get().await?);
        let (id, queue) = (identity(delivery.message), delivery.queue);
        open.batch_execute("BEGIN").await?;
        let insert = "INSERT INTO inbox (queue, message_id) VALUES ($1, $2) ON CONFLICT DO NOTHING";
        let inserted = open.execute(insert, &[&queue, &id]).await.map_err(|error| failed("inbox", &error))?;
        if inserted == 0 {
            open.batch_execute("ROLLBACK").await?;
            open.ended();
            delivery.was_handled = true;
            return Err(Failure::retry("handled before"));
        }
        let lent = Lent::new(open, delivery.message.traceparent());
        delivery.transaction = Some(Transaction::Postgres(lent.lender.clone()));
        Ok(Self(lent))
    }
}

/// Commits after a success, rolls back after a failure.
pub(crate) async fn end(open: Open<Manager>, outcome: Result<(), Failure>) -> Result<(), Failure> {
    let ended = open.batch_execute(if outcome.is_ok() { "COMMIT" } else { "ROLLBACK" }).await;
    open.settled(ended, outcome)
}

fn failed(table: &str, error: &tokio_postgres::Error) -> Failure {
    match error.code() {
        Some(&SqlState::UNDEFINED_TABLE | &SqlState::UNDEFINED_COLUMN) => missing_table(table),
        _ => Failure::retry(error),
    }
}
