use std::ops::{Deref, DerefMut};

use onward_migrate::TdsClient;
use onward_worker::Failure;
use serde::Serialize;

use crate::database::{MssqlManager, connection, run_batch};
#[cfg(feature = "local")]
use crate::database::{MssqlPool, errors::causes};
use crate::handler::extract::{Delivery, FromMessage, Stop};
use crate::queue::Queue;
use crate::transaction::guard::TransactionGuard;
use crate::transaction::inbox::{ONE_TRANSACTION, Sent, missing_table};
use crate::transaction::slot::{Borrowed, EndTransaction};

/// A row with this key exists: <https://learn.microsoft.com/sql/relational-databases/errors-events/database-engine-events-and-errors>
const DUPLICATE_KEY: &[u32] = &[2601, 2627];
const INVALID_TABLE_OR_COLUMN: &[u32] = &[207, 208];

/// A transaction for a handler on SQL Server, which also records the message as handled, as [`PgTx`](crate::PgTx) does on
/// PostgreSQL.
///
/// Use it like a `tiberius::Client`. Read each result completely, because an error may follow its rows. `XACT_ABORT` is on,
/// so an error that the server reports ends the transaction. A handler that ignores such an error fails at the commit, and what it has
/// written since is rolled back with another transaction: `IMPLICIT_TRANSACTIONS` is on, so that nothing commits by itself.
/// <https://learn.microsoft.com/sql/t-sql/statements/set-implicit-transactions-transact-sql>
///
/// ```
/// use onward::{Failure, Json, MssqlTx, Queue};
///
/// const INVOICES: Queue<i64> = Queue::new("invoices");
///
/// async fn take_order(mut tx: MssqlTx, Json(order): Json<i64>) -> Result<(), Failure> {
///     tx.execute("INSERT INTO orders (id) VALUES (@P1)", &[&order]).await?;
///     tx.send(&INVOICES, &order).await
/// }
/// ```
#[derive(Debug)]
pub struct MssqlTx(Borrowed<MssqlManager>);

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
    /// Sends a message to a queue if, and only if, the transaction commits. This writes the message to the table `outbox`.
    /// The app publishes it from there (`App::outbox`), at least once and in order.
    ///
    /// # Errors
    ///
    /// If the body cannot be encoded as JSON, or the row cannot be written.
    pub async fn send<T: Serialize + Sync>(&mut self, queue: &Queue<T>, body: &T) -> Result<(), Failure> {
        let sent = Sent::new(&self.0.slot, queue, None, body)?;
        self.write(sent).await
    }

    /// Like [`MssqlTx::send`], but to a message group of a FIFO queue.
    ///
    /// # Errors
    ///
    /// As [`MssqlTx::send`].
    pub async fn send_to_group<T: Serialize + Sync>(
        &mut self,
        queue: &Queue<T>,
        group: &str,
        body: &T,
    ) -> Result<(), Failure> {
        let sent = Sent::new(&self.0.slot, queue, Some(group), body)?;
        self.write(sent).await
    }

    async fn write(&mut self, Sent { queue, group, body, traceparent }: Sent<'_>) -> Result<(), Failure> {
        let insert = format!(
            "{} INSERT INTO outbox (queue, group_id, body, traceparent) VALUES (@P1, NULLIF(@P2, N''), @P3, NULLIF(@P4, N''))",
            require_own(self.0.slot.commit)
        );
        let (group, traceparent) = (group.unwrap_or_default(), traceparent.unwrap_or_default());
        let inserted = self.execute(insert, &[&queue, &group, &body, &traceparent]).await;
        inserted.map(|_| ()).map_err(|error| failed("outbox", error))
    }
}

impl<S: Sync> FromMessage<S> for MssqlTx {
    async fn from_message(delivery: &mut Delivery<'_, S>) -> Result<Self, Stop> {
        if delivery.transaction.is_some() {
            return Err(Failure::retry(ONE_TRANSACTION).into());
        }
        let mut guard = TransactionGuard::new(connection(&delivery.database.sql_server()?).await?);
        let (id, queue) = (delivery.message.identity(), delivery.queue);
        let begun = guard.simple_query(BEGIN).await?.into_row().await?;
        let transaction = begun.map(|row| row.try_get(0)).transpose()?.flatten();
        let transaction =
            transaction.ok_or_else(|| Failure::retry("the server did not name its transaction"))?;
        // Of two simultaneous deliveries the second waits for the first, and then finds its row or inserts its own.
        match guard.execute("INSERT INTO inbox (queue, message_id) VALUES (@P1, @P2)", &[&queue, &id]).await {
            Ok(_) => {}
            Err(error) if error.code().is_some_and(|code| DUPLICATE_KEY.contains(&code)) => {
                run_batch(&mut guard, ROLLBACK).await?;
                let is_same = is_in_inbox(&mut guard, queue, id).await?;
                guard.ended();
                return Err(if is_same { Stop::Done } else { Failure::retry(TAKEN_FOR_ANOTHER).into() });
            }
            Err(error) => return Err(failed("inbox", error).into()),
        }
        let borrowed = Borrowed::new(guard, delivery, transaction);
        delivery.transaction = Some(Box::new(borrowed.slot.clone()));
        Ok(Self(borrowed))
    }
}

const TAKEN_FOR_ANOTHER: &str = "the table `inbox` takes the message's id for that of another message, because of its collation; give \
                                 its columns `queue` and `message_id` the collation Latin1_General_100_BIN2, and the id no space at \
                                 its end";

/// Whether exactly this id is in the inbox. A comparison by its own collation may ignore case, and ignores spaces at the end.
async fn is_in_inbox(client: &mut TdsClient, queue: &str, id: &str) -> Result<bool, tiberius::error::Error> {
    // The server looks for the table only when the statement runs.
    let count = "IF OBJECT_ID(N'inbox') IS NULL SELECT 0 ELSE SELECT COUNT(*) FROM inbox WHERE queue = @P1 AND message_id = @P2 \
                 AND CONCAT(queue, N'/', message_id, N'/') COLLATE Latin1_General_100_BIN2 = CONCAT(@P1, N'/', @P2, N'/')";
    let row = client.query(count, &[&queue, &id]).await?.into_row().await?;
    let count = row.map(|row| row.try_get::<i32, _>(0)).transpose()?;
    Ok(count.flatten().unwrap_or_default() > 0)
}

/// <https://learn.microsoft.com/sql/t-sql/functions/current-transaction-id-transact-sql>
const BEGIN: &str =
    "SET XACT_ABORT ON; BEGIN TRANSACTION; SET IMPLICIT_TRANSACTIONS ON; SELECT CURRENT_TRANSACTION_ID();";

const ROLLBACK: &str = "IF @@TRANCOUNT > 0 ROLLBACK TRANSACTION; SET IMPLICIT_TRANSACTIONS OFF;";

/// A statement that fails outside of the transaction that Onward has begun. One that an error has ended, or in which the handler has opened
/// another one, must not commit, and nothing may be sent behind it.
fn require_own(transaction: i64) -> String {
    format!(
        "IF @@TRANCOUNT <> 1 OR CURRENT_TRANSACTION_ID() <> {transaction} THROW 50000, N'the open transaction is not the one that \
         Onward started: an error has ended it, or the handler has started or ended one', 1;"
    )
}

fn commit(transaction: i64) -> String {
    format!("{} COMMIT TRANSACTION; SET IMPLICIT_TRANSACTIONS OFF;", require_own(transaction))
}

impl EndTransaction for MssqlManager {
    /// The id of the transaction.
    type Commit = i64;

    async fn end(
        mut guard: TransactionGuard<Self>,
        transaction: &i64,
        outcome: Result<(), Failure>,
    ) -> Result<(), Failure> {
        let end = if outcome.is_ok() { commit(*transaction) } else { ROLLBACK.to_owned() };
        let ended = run_batch(&mut guard, &end).await;
        guard.settled(ended, outcome)
    }
}

fn failed(table: &str, error: tiberius::error::Error) -> Failure {
    match error.code() {
        Some(code) if INVALID_TABLE_OR_COLUMN.contains(&code) => missing_table(table),
        _ => error.into(),
    }
}

#[cfg(feature = "local")]
pub(super) async fn is_recorded(pool: &MssqlPool, queue: &str, id: &str) -> Result<bool, String> {
    let mut client = connection(pool).await.map_err(|error| causes(&error))?;
    is_in_inbox(&mut client, queue, id).await.map_err(|error| causes(&error))
}
