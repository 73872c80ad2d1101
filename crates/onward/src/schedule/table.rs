//! The table `schedule` on both databases: for each job the due time that runs or ran last.

use std::time::Duration;

use tokio_postgres::types::{ToSql, Type};

use crate::database::errors::causes;
use crate::database::{Database, PgPool, Pools};
#[cfg(feature = "sqlserver")]
use crate::database::{MssqlPool, connection};
use crate::transaction::guard::TransactionGuard;

/// How long the start, a claim and the end of a run wait for the database. A start or a stop behind a lock must not wait for as long as it is held.
pub(crate) const CALL: Duration = Duration::from_secs(10);

/// The outcome of a run that has succeeded.
pub(crate) const DONE: &str = "done";

/// The table, through the pool of its database.
#[derive(Debug, Clone)]
pub(crate) enum Schedule {
    Postgres(PgPool),
    #[cfg(feature = "sqlserver")]
    SqlServer(MssqlPool),
}

/// The last run of a job. Times are in seconds since 1970, by the clock of the database.
#[cfg(feature = "console")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LastRun {
    pub job: String,
    /// The due time that it is for.
    pub due: i64,
    /// How many nodes, or attempts, have begun it.
    pub attempts: i64,
    pub node: String,
    pub began: i64,
    pub ended: Option<i64>,
    /// [`DONE`], or why it failed; it may have failed and be tried again.
    pub outcome: Option<String>,
}

/// A run that a node claims.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Claim<'a> {
    pub job: &'a str,
    pub due: i64,
    pub node: &'a str,
}

impl Schedule {
    pub(crate) fn of(database: &Database) -> Self {
        match database.pools() {
            Pools::Postgres(pool, _) => Self::Postgres(pool.clone()),
            #[cfg(feature = "sqlserver")]
            Pools::SqlServer(pool) => Self::SqlServer(pool.clone()),
        }
    }

    /// The clock of the database, in seconds since 1970.
    pub(crate) async fn now(&self) -> Result<i64, String> {
        match self {
            Self::Postgres(pool) => {
                let guard = TransactionGuard::limited(pool, CALL).await?;
                let select = "SELECT extract(epoch FROM clock_timestamp())::bigint";
                let now = guard.query_typed_one(select, &[]).await.map_err(text)?.get(0);
                guard.commit().await?;
                Ok(now)
            }
            #[cfg(feature = "sqlserver")]
            Self::SqlServer(pool) => {
                let mut client = connection(pool).await.map_err(text)?;
                let select = "SELECT DATEDIFF_BIG(second, '1970-01-01T00:00:00Z', SYSDATETIMEOFFSET())";
                let row = client.simple_query(select).await.map_err(text)?.into_row().await.map_err(text)?;
                row.ok_or("the server did not answer")?
                    .try_get(0)
                    .map_err(text)?
                    .ok_or_else(|| "the server did not answer".to_owned())
            }
        }
    }

    /// Writes the row of a job that has none: its first run is for the next due time, not for this one, which is over.
    pub(crate) async fn introduce(&self, Claim { job, due, node }: Claim<'_>) -> Result<(), String> {
        let row = "job, due, attempts, node, began_at, lease_until, ended_at, outcome";
        match self {
            Self::Postgres(pool) => {
                let insert = format!(
                    "INSERT INTO schedule ({row}) VALUES ($1, least(to_timestamp($2), now()), 0, $3, now(), now(), now(), 'not run: the job is new') \
                     ON CONFLICT DO NOTHING"
                );
                self.execute(
                    pool,
                    &insert,
                    &[(&job, Type::TEXT), (&(due as f64), Type::FLOAT8), (&node, Type::TEXT)],
                )
                .await?;
            }
            #[cfg(feature = "sqlserver")]
            Self::SqlServer(_) => {
                let insert = format!(
                    "DECLARE @due datetimeoffset = DATEADD(second, @P2, '1970-01-01T00:00:00Z'), @now datetimeoffset = SYSDATETIMEOFFSET(); \
                     INSERT INTO schedule ({row}) SELECT @P1, CASE WHEN @due < @now THEN @due ELSE @now END, 0, @P3, SYSDATETIMEOFFSET(), \
                     SYSDATETIMEOFFSET(), SYSDATETIMEOFFSET(), N'not run: the job is new' \
                     WHERE NOT EXISTS (SELECT 1 FROM schedule WITH (UPDLOCK, HOLDLOCK) WHERE job = @P1)"
                );
                self.sql_server(&insert, &[&job, &seconds(due)?, &node]).await?;
            }
        }
        Ok(())
    }

    /// Claims the run of a due time: one that no node has begun, or whose node has not extended its lease. Returns which attempt it
    /// is.
    ///
    /// Due times are of the database's clock, as a node knows it. What is still to come there is not claimed, and if a node has claimed it, the
    /// others do not wait for it.
    pub(crate) async fn claim(
        &self,
        Claim { job, due, node }: Claim<'_>,
        lease: Duration,
    ) -> Result<Option<i64>, String> {
        match self {
            Self::Postgres(pool) => {
                let update = "UPDATE schedule SET attempts = CASE WHEN due = to_timestamp($2) THEN attempts + 1 ELSE 1 END, \
                              due = to_timestamp($2), node = $3, began_at = now(), lease_until = now() + make_interval(secs => $4), \
                              ended_at = NULL, outcome = NULL \
                              WHERE job = $1 AND to_timestamp($2) <= now() + interval '1 minute' \
                              AND (due < to_timestamp($2) OR due = to_timestamp($2) AND ended_at IS NULL OR due > now() + interval '1 minute') \
                              AND (ended_at IS NOT NULL OR lease_until < now()) RETURNING attempts";
                let guard = TransactionGuard::limited(pool, CALL).await?;
                let values: [(&(dyn ToSql + Sync), Type); 4] = [
                    (&job, Type::TEXT),
                    (&(due as f64), Type::FLOAT8),
                    (&node, Type::TEXT),
                    (&lease.as_secs_f64(), Type::FLOAT8),
                ];
                let row = guard.query_typed_opt(update, &values).await.map_err(text)?;
                guard.commit().await?;
                Ok(row.map(|row| row.get(0)))
            }
            #[cfg(feature = "sqlserver")]
            Self::SqlServer(pool) => {
                let update = "DECLARE @due datetimeoffset = DATEADD(second, @P2, '1970-01-01T00:00:00Z'); \
                              UPDATE schedule SET attempts = CASE WHEN due = @due THEN attempts + 1 ELSE 1 END, due = @due, node = @P3, \
                              began_at = SYSDATETIMEOFFSET(), lease_until = DATEADD(second, @P4, SYSDATETIMEOFFSET()), ended_at = NULL, \
                              outcome = NULL OUTPUT inserted.attempts \
                              WHERE job = @P1 AND @due <= DATEADD(minute, 1, SYSDATETIMEOFFSET()) AND (due < @due OR due = @due AND \
                              ended_at IS NULL OR due > DATEADD(minute, 1, SYSDATETIMEOFFSET())) \
                              AND (ended_at IS NOT NULL OR lease_until < SYSDATETIMEOFFSET())";
                let mut client = connection(pool).await.map_err(text)?;
                let lease = i32::try_from(lease.as_secs()).unwrap_or(i32::MAX);
                let found =
                    client.query(update, &[&job, &seconds(due)?, &node, &lease]).await.map_err(text)?;
                let row = found.into_row().await.map_err(text)?;
                row.map_or(Ok(None), |row| row.try_get(0)).map_err(text)
            }
        }
    }

    /// Keeps the run for this node. False if another one has it.
    pub(crate) async fn extend(&self, claim: Claim<'_>, lease: Duration) -> Result<bool, String> {
        self.update(claim, false, lease, None).await
    }

    /// Leaves the run to any node, after a pause, with the reason.
    pub(crate) async fn leave(
        &self,
        claim: Claim<'_>,
        pause: Duration,
        reason: &str,
    ) -> Result<bool, String> {
        self.update(claim, false, pause, Some(reason)).await
    }

    /// Ends the run with its outcome.
    pub(crate) async fn end(&self, claim: Claim<'_>, outcome: &str) -> Result<bool, String> {
        self.update(claim, true, Duration::ZERO, Some(outcome)).await
    }

    /// Writes to the row of a run that this node has.
    async fn update(
        &self,
        Claim { job, due, node }: Claim<'_>,
        is_end: bool,
        lease: Duration,
        outcome: Option<&str>,
    ) -> Result<bool, String> {
        let updated = match self {
            Self::Postgres(pool) => {
                let end = if is_end { "ended_at = now(), " } else { "" };
                let update = format!(
                    "UPDATE schedule SET {end}lease_until = now() + make_interval(secs => $4), outcome = left($5, 1000) \
                     WHERE job = $1 AND due = to_timestamp($2) AND node = $3 AND ended_at IS NULL"
                );
                let values: [(&(dyn ToSql + Sync), Type); 5] = [
                    (&job, Type::TEXT),
                    (&(due as f64), Type::FLOAT8),
                    (&node, Type::TEXT),
                    (&lease.as_secs_f64(), Type::FLOAT8),
                    (&outcome, Type::TEXT),
                ];
                self.execute(pool, &update, &values).await?
            }
            #[cfg(feature = "sqlserver")]
            Self::SqlServer(_) => {
                let end = if is_end { "ended_at = SYSDATETIMEOFFSET(), " } else { "" };
                let update = format!(
                    "UPDATE schedule SET {end}lease_until = DATEADD(second, @P4, SYSDATETIMEOFFSET()), outcome = LEFT(@P5, 1000) \
                     WHERE job = @P1 AND due = DATEADD(second, @P2, '1970-01-01T00:00:00Z') AND node = @P3 AND ended_at IS NULL"
                );
                let lease = i32::try_from(lease.as_secs()).unwrap_or(i32::MAX);
                self.sql_server(&update, &[&job, &seconds(due)?, &node, &lease, &outcome]).await?
            }
        };
        Ok(updated == 1)
    }

    /// The last runs of all jobs.
    #[cfg(feature = "console")]
    pub(crate) async fn runs(&self) -> Result<Vec<LastRun>, String> {
        match self {
            Self::Postgres(pool) => {
                let select = "SELECT job, extract(epoch FROM due)::bigint, attempts, node, extract(epoch FROM began_at)::bigint, \
                              extract(epoch FROM ended_at)::bigint, outcome FROM schedule ORDER BY job";
                let guard = TransactionGuard::limited(pool, CALL).await?;
                let rows = guard.query_typed(select, &[]).await.map_err(text)?;
                guard.commit().await?;
                let run = |row: &tokio_postgres::Row| LastRun {
                    job: row.get(0),
                    due: row.get(1),
                    attempts: row.get(2),
                    node: row.get(3),
                    began: row.get(4),
                    ended: row.get(5),
                    outcome: row.get(6),
                };
                Ok(rows.iter().map(run).collect())
            }
            #[cfg(feature = "sqlserver")]
            Self::SqlServer(pool) => {
                let epoch = |column: &str| format!("DATEDIFF_BIG(second, '1970-01-01T00:00:00Z', {column})");
                let select = format!(
                    "SELECT job, {}, attempts, node, {}, {}, outcome FROM schedule ORDER BY job",
                    epoch("due"),
                    epoch("began_at"),
                    epoch("ended_at")
                );
                let mut client = connection(pool).await.map_err(text)?;
                let rows = client
                    .simple_query(select)
                    .await
                    .map_err(text)?
                    .into_first_result()
                    .await
                    .map_err(text)?;
                let run = |row: &tiberius::Row| {
                    let word = |at| row.try_get::<&str, _>(at).map(|it| it.map(str::to_owned));
                    Ok(LastRun {
                        job: word(0)?.unwrap_or_default(),
                        due: row.try_get(1)?.unwrap_or_default(),
                        attempts: row.try_get(2)?.unwrap_or_default(),
                        node: word(3)?.unwrap_or_default(),
                        began: row.try_get(4)?.unwrap_or_default(),
                        ended: row.try_get(5)?,
                        outcome: word(6)?,
                    })
                };
                rows.iter().map(run).collect::<Result<_, tiberius::error::Error>>().map_err(text)
            }
        }
    }

    async fn execute(
        &self,
        pool: &PgPool,
        statement: &str,
        values: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<u64, String> {
        let guard = TransactionGuard::limited(pool, CALL).await?;
        let rows = guard.execute_typed(statement, values).await.map_err(text)?;
        guard.commit().await?;
        Ok(rows)
    }

    #[cfg(feature = "sqlserver")]
    async fn sql_server(&self, statement: &str, values: &[&dyn tiberius::ToSql]) -> Result<u64, String> {
        let Self::SqlServer(pool) = self else { return Err("the database is another one".to_owned()) };
        let mut client = connection(pool).await.map_err(text)?;
        let done = client.execute(statement, values).await.map_err(text)?;
        Ok(done.total())
    }
}

/// `DATEADD` takes an int.
#[cfg(feature = "sqlserver")]
fn seconds(time: i64) -> Result<i32, String> {
    i32::try_from(time).map_err(|_| "the due time is beyond the year 2038".to_owned())
}

fn text(error: impl std::error::Error + 'static) -> String {
    causes(&error)
}
