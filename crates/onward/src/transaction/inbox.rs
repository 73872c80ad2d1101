//! What both databases share: the inbox, and the messages that a handler sends in its transaction.

use std::sync::atomic::Ordering;

use onward_worker::Failure;
use serde::Serialize;

#[cfg(feature = "console")]
use crate::database::{Database, Pools, connection, errors::causes};
use crate::queue::Queue;
use crate::queue::outgoing::encoded;
use crate::transaction::slot::{EndTransaction, Slot};

pub(crate) const ONE_TRANSACTION: &str = "a handler takes only one transaction among its arguments";

/// One row of the outbox, before it is written.
pub(crate) struct Sent<'a> {
    pub queue: &'a str,
    pub group: Option<&'a str>,
    pub body: String,
    pub traceparent: Option<String>,
}

impl<'a> Sent<'a> {
    pub(crate) fn new<M: EndTransaction, T: Serialize>(
        slot: &Slot<M>,
        queue: &Queue<T>,
        group: Option<&'a str>,
        body: &T,
    ) -> Result<Self, Failure> {
        let queue = queue.name();
        // With a corrected build the message can be handled, so it is kept.
        slot.destinations.check(queue).map_err(Failure::retry)?;
        let body = encoded(queue, group, body).map_err(Failure::reject)?;
        // Set before the row exists: a needless wake costs a query, a missing wake costs a poll interval.
        slot.has_sent.store(true, Ordering::Relaxed);
        Ok(Self { queue, group, body, traceparent: slot.traceparent.clone() })
    }
}

pub(crate) fn missing_table(table: &str) -> Failure {
    Failure::retry(format!(
        "the table `{table}` is missing, or has other columns: compare it with docs/inbox.md"
    ))
}

/// How many rows the inbox has, as the server estimates it; none where there is no inbox, or no estimate yet.
#[cfg(feature = "console")]
pub(crate) async fn estimated_rows(database: &Database) -> Result<Option<i64>, String> {
    match database.pools() {
        Pools::Postgres(pool, _) => {
            let count = "SELECT max(reltuples)::bigint FROM pg_class WHERE oid = to_regclass('inbox')";
            let client = connection(pool).await.map_err(|error| causes(&error))?;
            let row = client.query_typed_one(count, &[]).await.map_err(|error| causes(&error))?;
            // A table that was never analysed has -1.
            Ok(row.get::<_, Option<i64>>(0).filter(|rows| *rows >= 0))
        }
        #[cfg(feature = "sqlserver")]
        Pools::SqlServer(pool) => {
            let count = "SELECT SUM(rows) FROM sys.partitions WHERE object_id = OBJECT_ID(N'inbox') AND index_id IN (0, 1)";
            let mut client = connection(pool).await.map_err(|error| causes(&error))?;
            let rows = client.simple_query(count).await.map_err(|error| causes(&error))?;
            let row = rows.into_row().await.map_err(|error| causes(&error))?;
            row.map_or(Ok(None), |row| row.try_get(0)).map_err(|error| causes(&error))
        }
    }
}
