use std::ops::{Deref, DerefMut};

use onward_migrate::TdsClient;
use onward_worker::Failure;
use serde::Serialize;

use crate::database::MssqlManager;
use crate::extract::{Delivery, FromMessage};
use crate::inbox::{ONE_TRANSACTION, Sent, Transaction, identity, missing_table};
use crate::transaction::{Lent, Open};

/// A row with this key is there: <https://learn.microsoft.com/sql/relational-databases/errors-events/database-engine-events-and-errors>
const DUPLICATE_KEY: &[u32] = &[2601, 2627];
const INVALID_TABLE_OR_COLUMN: &[u32] = &[207, 208];

/// A transaction of a handler's own on SQL Server, with the message's mark in it; what [`PgTx`](crate::PgTx) is on
/// PostgreSQL.
///
/// It is used like a `tiberius::Client`: `tx.execute(…)`, `tx.query(…)`. A result has to be read to its end, because an
/// error may come behind its rows. `XACT_ABORT` is on, so an error that the server reports ends the transaction, and a
/// handler that goes on as if nothing had happened fails at the commit.
#[derive(Debug)]
pub struct MssqlTx(Lent<MssqlManager>);

impl Deref for MssqlTx {
    type Target = TdsClient;

    fn deref(&self) -> &TdsClient {
        &self.0
    }
}

impl DerefMut for MssqlTx {
    fn deref_mut(&mut self) -> &mut TdsClient {
        &mut self.0
    }
}

impl MssqlTx {
    /// Sends a message to a queue when, and only when, the transaction commits: it is written to the table `outbox`,
    /// from which the app publishes it (`App::outbox`), at least once and in order.
    ///
    /// # Errors
    ///
    /// If the body cannot be encoded as JSON, or the row cannot be written.
    pub async fn send(&mut self, queue: &str, body: &(impl Serialize + Sync)) -> Result<(), Failure> {
        let sent = Sent::new(&self.0.lender, queue, None, body)?;
        self.write(sent).await
    }

    /// As [`MssqlTx::send`], to a message group of a FIFO queue.
    ///
    /// # Errors
    ///
    /// As [`MssqlTx::send`].
    pub async fn send_to_group(
        &mut self,
        queue: &str,
        group: &str,
        body: &(impl Serialize + Sync),
    ) -> Result<(), Failure> {
        let sent = Sent::new(&self.0.lender, queue, Some(group), body)?;
        self.write(sent).await
    }

    async fn write(&mut self, Sent { queue, group, body, traceparent }: Sent<'_>) -> Result<(), Failure> {
        let insert = "INSERT INTO outbox (queue, group_id, body, traceparent) VALUES (@P1, NULLIF(@P2, N''), @P3, \
                      NULLIF(@P4, N''))";
        let (group, traceparent) = (group.unwrap_or_default(), traceparent.unwrap_or_default());
        let inserted = self.execute(insert, &[&queue, &group, &body, &traceparent]).await;
        inserted.map(|_| ()).map_err(|error| failed("outbox", error))
    }
}

impl<S: Sync> FromMessage<S> for MssqlTx {
    async fn from_message(delivery: &mut Delivery<'_, S>) -> Result<Self, Failure> {
        if delivery.transaction.is_some() {
            return Err(Failure::retry(ONE_TRANSACTION));
        }
        let mut open = Open::new(delivery.database.sql_server()?.get().await?);
        let (id, queue) = (identity(delivery.message), delivery.queue);
        run(&mut open, "SET XACT_ABORT ON; BEGIN TRANSACTION;").await?;
        // Of two deliveries at once the second waits for the first, and then finds its row or inserts its own.
        match open.execute("INSERT INTO inbox (queue, message_id) VALUES (@P1, @P2)", &[&queue, &id]).await {
            Ok(_) => {}
            Err(error) if error.code().is_some_and(|code| DUPLICATE_KEY.contains(&code)) => {
                run(&mut open, ROLLBACK).await?;
                open.ended();
                delivery.was_handled = true;
                return Err(Failure::retry("handled before"));
            }
            Err(error) => return Err(failed("inbox", error)),
        }
        let lent = Lent::new(open, delivery.message.traceparent());
        delivery.transaction = Some(Transaction::SqlServer(lent.lender.clone()));
        Ok(Self(lent))
    }
}

const ROLLBACK: &str = "IF @@TRANCOUNT > 0 ROLLBACK TRANSACTION;";

/// One that an error has ended, or that the handler has opened another in, is not what the handler believes.
const COMMIT: &str = "IF @@TRANCOUNT <> 1 THROW 50000, N'the transaction is not the one that was begun: an error has ended it, \
                      or the handler has begun or ended one', 1; COMMIT TRANSACTION;";

/// Commits after a success, rolls back after a failure.
pub(crate) async fn end(mut open: Open<MssqlManager>, outcome: Result<(), Failure>) -> Result<(), Failure> {
    let ended = run(&mut open, if outcome.is_ok() { COMMIT } else { ROLLBACK }).await;
    open.settled(ended, outcome)
}

/// Runs a batch to the end of its last result.
pub(crate) async fn run(client: &mut TdsClient, batch: &str) -> Result<(), tiberius::error::Error> {
    client.simple_query(batch).await?.into_results().await.map(|_| ())
}

fn failed(table: &str, error: tiberius::error::Error) -> Failure {
    match error.code() {
        Some(code) if INVALID_TABLE_OR_COLUMN.contains(&code) => missing_table(table),
        _ => Failure::retry(error),
    }
}
