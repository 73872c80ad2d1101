//! The table `inbox` on both databases, as far as its old rows are concerned.

use std::time::Duration;

use tokio_postgres::types::{ToSql, Type};

use crate::database::errors::causes;
use crate::database::{Database, PgPool, Pools, connection};
#[cfg(feature = "sqlserver")]
use crate::database::{MssqlPool, run_batch};
use crate::transaction::guard::TransactionGuard;

/// How many rows one transaction deletes: few enough for SQL Server not to lock the whole table, which it may from 5,000 locks on.
/// <https://learn.microsoft.com/en-us/sql/relational-databases/sql-server-transaction-locking-and-row-versioning-guide#lock-escalation>
pub(crate) const ROWS: i64 = 1_000;

/// The longest transaction: one that waits for a lock must not hold its connection for ever.
pub(crate) const MAX_TRANSACTION: Duration = Duration::from_secs(30);

/// The table, through the pool of its database.
pub(crate) enum Inbox {
    Postgres(PgPool),
    #[cfg(feature = "sqlserver")]
    SqlServer(MssqlPool),
}

/// What a transaction has deleted.
pub(crate) struct Pruned {
    pub rows: i64,
    /// When the youngest of them was handled, as the server writes it: the next transaction begins there.
    pub last: Option<String>,
}

impl Inbox {
    pub(crate) fn of(database: &Database) -> Self {
        match database.pools() {
            Pools::Postgres(pool, _) => Self::Postgres(pool.clone()),
            #[cfg(feature = "sqlserver")]
            Pools::SqlServer(pool) => Self::SqlServer(pool.clone()),
        }
    }

    /// Whether the table has an index that begins with `handled_at`.
    pub(crate) async fn is_indexed(&self) -> Result<bool, String> {
        match self {
            Self::Postgres(pool) => {
                let select = "SELECT EXISTS (SELECT FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = \
                              i.indkey[0] WHERE i.indrelid = to_regclass('inbox') AND i.indisvalid AND a.attname = 'handled_at')";
                let client = connection(pool).await.map_err(text)?;
                let row = client.query_typed_one(select, &[]).await.map_err(text)?;
                Ok(row.get(0))
            }
            #[cfg(feature = "sqlserver")]
            Self::SqlServer(pool) => {
                let select = "SELECT COUNT(*) FROM sys.index_columns k JOIN sys.columns c ON c.object_id = k.object_id AND \
                              c.column_id = k.column_id WHERE k.object_id = OBJECT_ID(N'inbox') AND k.key_ordinal = 1 AND \
                              c.name = N'handled_at'";
                let mut client = connection(pool).await.map_err(text)?;
                let rows = client.simple_query(select).await.map_err(text)?;
                let row = rows.into_row().await.map_err(text)?.ok_or("the server did not answer")?;
                Ok(row.try_get::<i32, _>(0).map_err(text)?.is_some_and(|indexes| indexes > 0))
            }
        }
    }

    /// Deletes the oldest rows that were handled longer ago than `age`, [`ROWS`] at the most, in a transaction of its own. `last` is
    /// where the one before has ended: what it has deleted stays in the index for a while, and need not be read again. `None` if
    /// another node does the same at present.
    pub(crate) async fn prune(&self, age: Duration, last: Option<&str>) -> Result<Option<Pruned>, String> {
        match self {
            Self::Postgres(pool) => {
                let delete = "WITH turn AS MATERIALIZED (SELECT pg_try_advisory_xact_lock(hashtext('onward'), \
                              hashtext(current_schema() || '.inbox')) AS granted), \
                              old AS MATERIALIZED (SELECT ctid, handled_at FROM inbox WHERE (SELECT granted FROM turn) AND \
                              handled_at < now() - make_interval(secs => $1) AND handled_at >= coalesce($2::timestamptz, '-infinity') \
                              ORDER BY handled_at LIMIT $3), \
                              deleted AS (DELETE FROM inbox WHERE ctid = ANY (ARRAY(SELECT ctid FROM old)) RETURNING handled_at) \
                              SELECT (SELECT granted FROM turn), count(*), max(handled_at)::text FROM deleted";
                let guard = TransactionGuard::limited(pool, MAX_TRANSACTION).await?;
                let values: [(&(dyn ToSql + Sync), Type); 3] =
                    [(&age.as_secs_f64(), Type::FLOAT8), (&last, Type::TEXT), (&ROWS, Type::INT8)];
                let row = guard.query_typed_one(delete, &values).await.map_err(text)?;
                guard.commit().await?;
                let is_granted: bool = row.get(0);
                Ok(is_granted.then(|| Pruned { rows: row.get(1), last: row.get(2) }))
            }
            #[cfg(feature = "sqlserver")]
            Self::SqlServer(pool) => {
                let begin = "SET XACT_ABORT ON; BEGIN TRANSACTION; DECLARE @granted int, \
                             @resource nvarchar(255) = CONCAT(N'onward:', SCHEMA_NAME(), N'.inbox'); \
                             EXEC @granted = sp_getapplock @Resource = @resource, @LockMode = 'Exclusive', \
                             @LockOwner = 'Transaction', @LockTimeout = 0; SELECT @granted;";
                let mut guard = TransactionGuard::new(connection(pool).await.map_err(text)?);
                let granted = guard.simple_query(begin).await.map_err(text)?;
                let granted = granted.into_row().await.map_err(text)?.ok_or("the server did not answer")?;
                if granted.try_get::<i32, _>(0).map_err(text)?.is_none_or(|granted| granted < 0) {
                    run_batch(&mut guard, "ROLLBACK TRANSACTION").await.map_err(text)?;
                    guard.ended();
                    return Ok(None);
                }
                let delete = format!(
                    "DECLARE @deleted TABLE (handled_at datetimeoffset); \
                     WITH old AS (SELECT TOP ({ROWS}) handled_at FROM inbox WHERE handled_at < DATEADD(second, -@P1, \
                     SYSDATETIMEOFFSET()) AND (@P2 IS NULL OR handled_at >= CAST(@P2 AS datetimeoffset)) ORDER BY handled_at) \
                     DELETE FROM old OUTPUT deleted.handled_at INTO @deleted; \
                     SELECT COUNT_BIG(*), CONVERT(nvarchar(40), MAX(handled_at), 127) FROM @deleted;"
                );
                let age = i32::try_from(age.as_secs()).unwrap_or(i32::MAX);
                let rows = guard.query(delete, &[&age, &last]).await.map_err(text)?;
                let row = rows.into_row().await.map_err(text)?.ok_or("the server did not answer")?;
                let rows = row.try_get(0).map_err(text)?.unwrap_or_default();
                let last = row.try_get::<&str, _>(1).map_err(text)?.map(str::to_owned);
                run_batch(&mut guard, "COMMIT TRANSACTION").await.map_err(text)?;
                guard.ended();
                Ok(Some(Pruned { rows, last }))
            }
        }
    }
}

fn text(error: impl std::error::Error + 'static) -> String {
    causes(&error)
}
