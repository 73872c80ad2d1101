//! The table `outbox` on both databases, and the turns in which one node after the other reads it.

use std::time::Duration;

use deadpool_postgres::Manager;
use tokio_postgres::types::{ToSql, Type};

use crate::database::begin::Begin;
use crate::database::errors::causes;
use crate::database::{Database, PgPool, Pools, connection};
#[cfg(feature = "sqlserver")]
use crate::database::{MssqlManager, MssqlPool, run_batch};
use crate::transaction::guard::TransactionGuard;

/// How long the server counts the rows.
const MOST_FOR_COUNT: Duration = Duration::from_secs(10);

/// How many rows one transaction publishes.
const ROWS: i64 = 200;

/// A message to publish.
pub(crate) struct Row {
    pub id: i64,
    /// The same key each time that the row is published.
    pub key: String,
    pub queue: String,
    pub group: Option<String>,
    pub body: String,
    pub traceparent: Option<String>,
}

/// What is in the table at a time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rows {
    pub waiting: i64,
    /// They can never be sent as they are.
    pub parked: i64,
    /// How long ago the oldest of those that wait was written.
    pub oldest_seconds: f64,
}

/// A message that a handler has sent.
#[cfg(feature = "local")]
pub(crate) struct Written {
    pub queue: String,
    pub group: Option<String>,
    pub body: String,
}

/// Rows that wait: those of a queue, or those of one group of it.
pub(crate) struct Paused {
    pub queue: String,
    pub group: Option<String>,
}

/// A row that can never be sent as it is.
pub(crate) struct Parked {
    pub id: i64,
    pub reason: String,
}

/// The table, through the pool of its database.
pub(crate) enum Outbox {
    Postgres(PgPool, Begin),
    #[cfg(feature = "sqlserver")]
    SqlServer(MssqlPool),
}

/// An open transaction that excludes all other nodes. If it is dropped, all rows stay.
pub(crate) enum Turn {
    Postgres(Box<TransactionGuard<Manager>>),
    #[cfg(feature = "sqlserver")]
    SqlServer(Box<TransactionGuard<MssqlManager>>),
}

impl Outbox {
    /// The table in the app's database.
    pub(crate) fn of(database: &Database) -> Self {
        match database.pools() {
            Pools::Postgres(pool, begin) => Self::Postgres(pool.clone(), begin.clone()),
            #[cfg(feature = "sqlserver")]
            Pools::SqlServer(pool) => Self::SqlServer(pool.clone()),
        }
    }

    /// Whether the role may set rows aside that can never be sent.
    pub(crate) async fn may_park(&self) -> Result<bool, String> {
        match self {
            Self::Postgres(pool, _) => {
                let client = connection(pool).await.map_err(text)?;
                let select = "SELECT has_column_privilege('outbox', 'parked', 'UPDATE')";
                Ok(client.query_typed_one(select, &[]).await.map_err(text)?.get(0))
            }
            #[cfg(feature = "sqlserver")]
            Self::SqlServer(pool) => {
                let mut client = connection(pool).await.map_err(text)?;
                let select =
                    "SELECT HAS_PERMS_BY_NAME(N'outbox', N'OBJECT', N'UPDATE', N'parked', N'COLUMN')";
                let row = client.simple_query(select).await.map_err(text)?.into_row().await.map_err(text)?;
                let may = row.map(|row| row.try_get::<i32, _>(0)).transpose().map_err(text)?.flatten();
                // Null where there is no such column.
                Ok(may != Some(0))
            }
        }
    }

    /// What is in the table.
    pub(crate) async fn rows(&self) -> Result<Rows, String> {
        match self {
            Self::Postgres(pool, _) => {
                let count = "SELECT count(*) FILTER (WHERE parked IS NULL), count(parked), coalesce(extract(epoch FROM now() - \
                             min(written_at) FILTER (WHERE parked IS NULL)), 0)::float8 FROM outbox";
                // The metrics wait for it for a while only.
                let guard = TransactionGuard::limited(pool, MOST_FOR_COUNT).await?;
                let row = guard.query_typed_one(count, &[]).await.map_err(text)?;
                guard.commit().await?;
                Ok(Rows { waiting: row.get(0), parked: row.get(1), oldest_seconds: row.get(2) })
            }
            #[cfg(feature = "sqlserver")]
            Self::SqlServer(pool) => {
                let count = "SELECT COUNT_BIG(*) - COUNT_BIG(parked), COUNT_BIG(parked), CAST(COALESCE(DATEDIFF_BIG(second, \
                             MIN(CASE WHEN parked IS NULL THEN written_at END), SYSDATETIMEOFFSET()), 0) AS float) FROM outbox";
                let mut client = connection(pool).await.map_err(text)?;
                let rows = client.simple_query(count).await.map_err(text)?;
                let row = rows.into_row().await.map_err(text)?;
                let row = row.ok_or("the server did not answer with a count")?;
                let number = |column| row.try_get::<i64, _>(column).map(Option::unwrap_or_default);
                Ok(Rows {
                    waiting: number(0).map_err(text)?,
                    parked: number(1).map_err(text)?,
                    oldest_seconds: row.try_get(2).map_err(text)?.unwrap_or_default(),
                })
            }
        }
    }

    /// The messages in the table after the row `id`, in their order: queue, group and body. With them the id of the last one.
    #[cfg(feature = "local")]
    pub(crate) async fn after(&self, id: i64) -> Result<(i64, Vec<Written>), String> {
        match self {
            Self::Postgres(pool, _) => {
                let select = "SELECT id, queue, group_id, body FROM outbox WHERE id > $1 ORDER BY id";
                let client = connection(pool).await.map_err(text)?;
                let rows = client.query_typed(select, &[(&id, Type::INT8)]).await.map_err(text)?;
                let last = rows.last().map_or(id, |row| row.get(0));
                let written = |row: &tokio_postgres::Row| Written {
                    queue: row.get(1),
                    group: row.get(2),
                    body: row.get(3),
                };
                Ok((last, rows.iter().map(written).collect()))
            }
            #[cfg(feature = "sqlserver")]
            Self::SqlServer(pool) => {
                let select = "SELECT id, queue, group_id, body FROM outbox WHERE id > @P1 ORDER BY id";
                let mut client = connection(pool).await.map_err(text)?;
                let rows = client.query(select, &[&id]).await.map_err(text)?;
                let (mut last, mut all) = (id, Vec::new());
                for row in rows.into_first_result().await.map_err(text)? {
                    let column =
                        |at| row.try_get::<&str, _>(at).map(|it| it.map(str::to_owned)).map_err(text);
                    last = row.try_get(0).map_err(text)?.unwrap_or(last);
                    all.push(Written {
                        queue: column(1)?.unwrap_or_default(),
                        group: column(2)?,
                        body: column(3)?.unwrap_or_default(),
                    });
                }
                Ok((last, all))
            }
        }
    }

    /// The next rows in their order, without those that are parked or paused, unless another node has the turn.
    pub(crate) async fn turn(&self, paused: &[Paused]) -> Result<Option<(Turn, Vec<Row>)>, String> {
        match self {
            Self::Postgres(pool, begin) => {
                let guard = TransactionGuard::new(connection(pool).await.map_err(text)?);
                let statement = begin.statement(&guard).await?;
                guard.batch_execute(statement).await.map_err(text)?;
                let Some(rows) = postgres_rows(&guard, paused).await.map_err(text)? else {
                    guard.ended();
                    return Ok(None);
                };
                Ok(Some((Turn::Postgres(Box::new(guard)), rows)))
            }
            #[cfg(feature = "sqlserver")]
            Self::SqlServer(pool) => {
                let mut guard = TransactionGuard::new(connection(pool).await.map_err(text)?);
                let Some(rows) = sql_server_rows(&mut guard, paused).await.map_err(text)? else {
                    guard.ended();
                    return Ok(None);
                };
                Ok(Some((Turn::SqlServer(Box::new(guard)), rows)))
            }
        }
    }
}

impl Turn {
    /// Deletes the sent rows, ends the turn, and parks those that can never be sent. They are parked behind the commit, so that a role
    /// without the right to it does not bring back what is sent.
    pub(crate) async fn end(self, sent: &[i64], parked: &[Parked]) -> Result<(), String> {
        let ids = match sent {
            [] => "NULL".to_owned(),
            sent => sent.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        };
        match self {
            Self::Postgres(guard) => {
                let end = format!("DELETE FROM outbox WHERE id IN ({ids}); COMMIT");
                guard.batch_execute(&end).await.map_err(text)?;
                for Parked { id, reason } in parked {
                    let park = "UPDATE outbox SET parked = $2 WHERE id = $1";
                    let values: [(&(dyn ToSql + Sync), Type); 2] = [(id, Type::INT8), (reason, Type::TEXT)];
                    guard.execute_typed(park, &values).await.map_err(not_parked)?;
                }
                guard.ended();
            }
            #[cfg(feature = "sqlserver")]
            Self::SqlServer(mut guard) => {
                let end = format!("DELETE FROM outbox WHERE id IN ({ids}); COMMIT TRANSACTION;");
                run_batch(&mut guard, &end).await.map_err(text)?;
                for Parked { id, reason } in parked {
                    let park = "UPDATE outbox SET parked = LEFT(@P2, 1000) WHERE id = @P1";
                    guard.execute(park, &[id, &reason.as_str()]).await.map_err(not_parked)?;
                }
                guard.ended();
            }
        }
        Ok(())
    }
}

fn text(error: impl std::error::Error + 'static) -> String {
    causes(&error)
}

fn not_parked(error: impl std::error::Error + 'static) -> String {
    format!(
        "a row that can never be sent cannot be parked, which needs UPDATE on its column `parked`: {}",
        causes(&error)
    )
}

/// How long the server lets the transaction of a turn wait for its node. One whose host has vanished would keep the turn from all others until the
/// server notices, by default after more than two hours. A turn makes no call for longer.
const MAX_IDLE: &str = "SET LOCAL idle_in_transaction_session_timeout = '90s'";

async fn postgres_rows(
    client: &tokio_postgres::Client,
    paused: &[Paused],
) -> Result<Option<Vec<Row>>, tokio_postgres::Error> {
    let turn =
        "SELECT pg_try_advisory_xact_lock(hashtext('onward'), hashtext(current_schema() || '.outbox'))";
    if !client.query_typed_one(turn, &[]).await?.get::<_, bool>(0) {
        client.batch_execute("ROLLBACK").await?;
        return Ok(None);
    }
    client.batch_execute(MAX_IDLE).await?;
    let select = "SELECT id, key::text, queue, group_id, body, traceparent FROM outbox o WHERE parked IS NULL AND NOT EXISTS \
                  (SELECT FROM unnest($2::text[], $3::text[]) p (queue, group_id) WHERE p.queue = o.queue AND (p.group_id \
                  IS NULL OR p.group_id = o.group_id)) ORDER BY id LIMIT $1";
    let queues: Vec<_> = paused.iter().map(|paused| paused.queue.as_str()).collect();
    let groups: Vec<_> = paused.iter().map(|paused| paused.group.as_deref()).collect();
    let values: [(&(dyn ToSql + Sync), Type); 3] =
        [(&ROWS, Type::INT8), (&queues, Type::TEXT_ARRAY), (&groups, Type::TEXT_ARRAY)];
    let rows = client.query_typed(select, &values).await?;
    let row = |row: &tokio_postgres::Row| Row {
        id: row.get(0),
        key: row.get(1),
        queue: row.get(2),
        group: row.get(3),
        body: row.get(4),
        traceparent: row.get(5),
    };
    Ok(Some(rows.iter().map(row).collect()))
}

/// `READPAST` skips rows that a handler has not committed yet. PostgreSQL does not show such rows either. Where `READ_COMMITTED_SNAPSHOT` is on, as on
/// Azure SQL, it needs `READCOMMITTEDLOCK`: <https://learn.microsoft.com/sql/t-sql/queries/hints-transact-sql-table>
///
/// A row that was skipped may be committed while the query goes on, and then a later one of its group. That one is larger than all
/// identities which the table had given out before the query.
#[cfg(feature = "sqlserver")]
async fn sql_server_rows(
    client: &mut onward_migrate::TdsClient,
    paused: &[Paused],
) -> Result<Option<Vec<Row>>, tiberius::error::Error> {
    let literal = |text: &str| format!("N'{}'", text.replace('\'', "''"));
    let paused: String = paused
        .iter()
        .map(|Paused { queue, group }| match group {
            None => format!(" AND queue <> {}", literal(queue)),
            Some(group) => {
                let (queue, group) = (literal(queue), literal(group));
                format!(" AND NOT (queue = {queue} AND ISNULL(group_id, N'') = {group})")
            }
        })
        .collect();
    let batch = format!(
        "SET XACT_ABORT ON; BEGIN TRANSACTION; \
         DECLARE @granted int, @resource nvarchar(255) = CONCAT(N'onward:', SCHEMA_NAME(), N'.outbox'); \
         EXEC @granted = sp_getapplock @Resource = @resource, @LockMode = 'Exclusive', @LockOwner = 'Transaction', \
         @LockTimeout = 0; \
         DECLARE @last bigint = COALESCE(IDENT_CURRENT(N'outbox'), 9223372036854775807); \
         IF @granted < 0 BEGIN ROLLBACK TRANSACTION; SELECT @granted; END \
         ELSE SELECT TOP ({ROWS}) id, CAST([key] AS nvarchar(36)), queue, group_id, body, traceparent FROM outbox \
         WITH (READCOMMITTEDLOCK, READPAST) WHERE parked IS NULL AND id <= @last{paused} ORDER BY id;"
    );
    let results = client.simple_query(batch).await?.into_results().await?;
    let rows = results.into_iter().find(|rows| !rows.is_empty()).unwrap_or_default();
    if rows.first().is_some_and(|row| row.columns().len() == 1) {
        return Ok(None);
    }
    let mut all = Vec::with_capacity(rows.len());
    for row in &rows {
        let text = |column| row.try_get::<&str, _>(column).map(|text| text.map(str::to_owned));
        all.push(Row {
            id: row.try_get(0)?.unwrap_or_default(),
            key: text(1)?.unwrap_or_default(),
            queue: text(2)?.unwrap_or_default(),
            group: text(3)?,
            body: text(4)?.unwrap_or_default(),
            traceparent: text(5)?,
        });
    }
    Ok(Some(all))
}
