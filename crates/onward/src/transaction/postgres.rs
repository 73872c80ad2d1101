use std::ops::Deref;

use deadpool_postgres::Manager;
use onward_worker::Failure;
use serde::Serialize;
use tokio_postgres::Statement;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};

use crate::database::begin::{CHECK, COMMIT};
use crate::database::connection;
#[cfg(feature = "local")]
use crate::database::{PgPool, errors::causes};
use crate::handler::extract::{Delivery, FromMessage, Stop};
use crate::queue::Queue;
use crate::transaction::guard::TransactionGuard;
use crate::transaction::inbox::{ONE_TRANSACTION, Sent, missing_table};
use crate::transaction::slot::{Borrowed, EndTransaction};

/// A transaction for a handler on PostgreSQL, which also records the message as handled.
///
/// The transaction writes a row for the message into the table `inbox`. When the handler returns `Ok`, the row commits with
/// the handler's work, and then the worker deletes the message. When the handler fails, panics or times out, both roll back.
/// If SQS delivers the message again after the commit, the worker deletes it without running the handler. So its effect in
/// the database happens once.
///
/// A handler must not end the transaction, and a statement that fails ends it for all that follow, as PostgreSQL has it. In both cases
/// the message fails, also if the handler returns `Ok`. A part that may fail belongs into a savepoint.
///
/// Use it like a `tokio_postgres::Client`. A script in the app's own folder creates the tables, see `docs/inbox.md`.
///
/// ```
/// use onward::{Failure, Json, PgTx, Queue};
///
/// const INVOICES: Queue<i64> = Queue::new("invoices");
///
/// async fn take_order(tx: PgTx, Json(order): Json<i64>) -> Result<(), Failure> {
///     tx.execute("INSERT INTO orders (id) VALUES ($1)", &[&order]).await?;
///     tx.send(&INVOICES, &order).await
/// }
/// ```
#[derive(Debug)]
pub struct PgTx(Borrowed<Manager>);

impl Deref for PgTx {
    type Target = tokio_postgres::Client;

    fn deref(&self) -> &tokio_postgres::Client {
        &self.0
    }
}

/// Fails (by a division by zero) outside of the transaction: it is sent with the BEGIN, and were that refused (`pg_cancel_backend`), the row
/// would be committed by itself, and the next attempt would take the message for done. It fails, too, in a transaction that has written
/// something already: a handler has left it open on a connection of the pool, and it must not commit with this one.
/// <https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-PG-SNAPSHOT>
const INBOX: &str = "INSERT INTO inbox (queue, message_id) SELECT $1, $2 WHERE 1 = 1 / (txid_current_if_assigned() IS NULL AND \
                     coalesce(current_setting('onward.transaction', true), '') = 'open')::int ON CONFLICT DO NOTHING";

impl PgTx {
    /// Prepares a statement for as long as the connection lives, so that the server parses it once and not for each message. Behind a pool
    /// that keeps no prepared statements it prepares it anew.
    ///
    /// ```
    /// use onward::{Failure, Json, PgTx};
    ///
    /// async fn take_order(tx: PgTx, Json(order): Json<i64>) -> Result<(), Failure> {
    ///     let insert = tx.prepare_cached("INSERT INTO orders (id) VALUES ($1)").await?;
    ///     tx.execute(&insert, &[&order]).await?;
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// If the server refuses the statement.
    pub async fn prepare_cached(&self, query: &str) -> Result<Statement, tokio_postgres::Error> {
        match self.0.slot.commit {
            Some(_) => self.0.prepare_cached(query).await,
            None => self.prepare(query).await,
        }
    }

    /// Sends a message to a queue if, and only if, the transaction commits. This writes the message to the table `outbox`.
    /// The app publishes it from there (`App::outbox`), at least once and in order.
    ///
    /// # Errors
    ///
    /// If the body cannot be encoded as JSON, or the row cannot be written.
    pub async fn send<T: Serialize + Sync>(&self, queue: &Queue<T>, body: &T) -> Result<(), Failure> {
        self.write(Sent::new(&self.0.slot, queue, None, body)?).await
    }

    /// Like [`PgTx::send`], but to a message group of a FIFO queue.
    ///
    /// # Errors
    ///
    /// As [`PgTx::send`].
    pub async fn send_to_group<T: Serialize + Sync>(
        &self,
        queue: &Queue<T>,
        group: &str,
        body: &T,
    ) -> Result<(), Failure> {
        self.write(Sent::new(&self.0.slot, queue, Some(group), body)?).await
    }

    async fn write(&self, Sent { queue, group, body, traceparent }: Sent<'_>) -> Result<(), Failure> {
        let insert = "INSERT INTO outbox (queue, group_id, body, traceparent) VALUES ($1, $2, $3, $4)";
        let values: [&(dyn ToSql + Sync); 4] = [&queue, &group, &body, &traceparent];
        let inserted = async {
            match self.0.slot.commit {
                Some(_) => {
                    let insert = self.0.prepare_typed_cached(insert, &[const { Type::TEXT }; 4]).await?;
                    self.execute(&insert, &values).await
                }
                None => self.execute_typed(insert, &values.map(|value| (value, Type::TEXT))).await,
            }
        };
        inserted.await.map(|_| ()).map_err(|error| failed("outbox", error))
    }
}

impl<S: Sync> FromMessage<S> for PgTx {
    async fn from_message(delivery: &mut Delivery<'_, S>) -> Result<Self, Stop> {
        if delivery.transaction.is_some() {
            return Err(Failure::retry(ONE_TRANSACTION).into());
        }
        let (pool, begin) = delivery.database.for_transactions()?;
        let guard = TransactionGuard::new(connection(pool).await?);
        let statements = begin.statement(&guard).await.map_err(Failure::retry)?;
        let values: [&(dyn ToSql + Sync); 2] = [&delivery.queue, &delivery.message.identity()];
        // The server has parsed and planned them since the connection's first transaction.
        let prepared = match begin.keeps_statements() {
            true => {
                let insert = guard.prepare_typed_cached(INBOX, &[Type::TEXT, Type::TEXT]).await;
                let insert = insert.map_err(|error| failed("inbox", error))?;
                Some((insert, guard.prepare_cached(CHECK).await?))
            }
            false => None,
        };
        // The driver sends both at once.
        let begun = guard.batch_execute(statements);
        let (begun, inserted) = match &prepared {
            Some((insert, _)) => tokio::join!(begun, guard.execute(insert, &values)),
            None => {
                let values = values.map(|value| (value, Type::TEXT));
                tokio::join!(begun, guard.execute_typed(INBOX, &values))
            }
        };
        begun?;
        let inserted = inserted.map_err(|error| failed("inbox", error))?;
        if inserted == 0 {
            guard.batch_execute("ROLLBACK").await?;
            guard.ended();
            return Err(Stop::Done);
        }
        let commit = prepared.map(|(_, check)| check);
        let borrowed = Borrowed::new(guard, delivery, commit);
        delivery.transaction = Some(Box::new(borrowed.slot.clone()));
        Ok(Self(borrowed))
    }
}

impl EndTransaction for Manager {
    /// The prepared [`CHECK`].
    type Commit = Option<Statement>;

    async fn end(
        guard: TransactionGuard<Self>,
        check: &Option<Statement>,
        outcome: Result<(), Failure>,
    ) -> Result<(), Failure> {
        let ended = match check {
            _ if outcome.is_err() => guard.batch_execute("ROLLBACK").await,
            Some(check) => {
                // Both are sent at once. After a check that fails the COMMIT commits nothing: the transaction has failed with it, or
                // there is none.
                let (checked, committed) =
                    tokio::join!(guard.execute(check, &[]), guard.batch_execute("COMMIT"));
                checked.and(committed)
            }
            None => guard.batch_execute(COMMIT).await,
        };
        let not_ours = match ended.as_ref().err().and_then(tokio_postgres::Error::code) {
            Some(&SqlState::IN_FAILED_SQL_TRANSACTION) => {
                "a statement of the handler has failed, and the handler has returned Ok: nothing is committed; pass the error on, or \
                 put the statement into a savepoint"
            }
            Some(&SqlState::DIVISION_BY_ZERO) => {
                "the handler has ended the transaction that Onward began for it: use a savepoint, or a connection of the pool"
            }
            _ => return guard.settled(ended, outcome),
        };
        // The connection closes with the guard, and the server rolls back.
        Err(Failure::retry(not_ours))
    }
}

fn failed(table: &str, error: tokio_postgres::Error) -> Failure {
    match error.code() {
        Some(&SqlState::UNDEFINED_TABLE | &SqlState::UNDEFINED_COLUMN) => missing_table(table),
        // Of INBOX.
        Some(&SqlState::DIVISION_BY_ZERO) => Failure::retry(
            "a handler has left a transaction open on this connection of the pool, or the server has refused to begin one; the connection \
             is closed",
        ),
        _ => error.into(),
    }
}

#[cfg(feature = "local")]
pub(super) async fn is_recorded(pool: &PgPool, queue: &str, id: &str) -> Result<bool, String> {
    let client = connection(pool).await.map_err(|error| causes(&error))?;
    let table = client.query_typed_one("SELECT to_regclass('inbox') IS NOT NULL", &[]);
    if !table.await.map_err(|error| causes(&error))?.get::<_, bool>(0) {
        return Ok(false);
    }
    let row = "SELECT EXISTS (SELECT FROM inbox WHERE queue = $1 AND message_id = $2)";
    let values: [(&(dyn ToSql + Sync), Type); 2] = [(&queue, Type::TEXT), (&id, Type::TEXT)];
    let row = client.query_typed_one(row, &values);
    Ok(row.await.map_err(|error| causes(&error))?.get(0))
}
