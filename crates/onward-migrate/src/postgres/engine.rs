//! The [`Engine`] for PostgreSQL.

use std::time::{Duration, Instant};

use onward_script::Catalog;
use tokio_postgres::error::SqlState;

use super::catalog;
use super::error::{journal_error, step_error, unexpected};
use super::invalid_index::{self, INVALID};
use super::quote::literal;
use super::script::{BEGIN, BEGIN_STATEMENTS, RESET, reset_after};
use super::session::{Postgres, texts};
use crate::engine::{Canceller, Engine, ServerInfo};
use crate::error::{Error, ErrorKind, StepError, TransactionEnd, causes, foreign_journal};
use crate::journal::{AlwaysRow, JOURNAL, JournalEntry, JournalRow, Observed, RowState};
use crate::step::Step;

impl Engine for Postgres {
    async fn observe(&mut self) -> Result<Observed, Error> {
        if self.is_locked {
            // Before the lock another migrator may have made the journal elsewhere, under another lock.
            let place = self.find_journal().await?;
            if place != self.place {
                let message =
                    format!("meanwhile another migrator made the journal {}.{JOURNAL}", place.schema);
                return Err(Error::new(ErrorKind::Database, message, "run the command again"));
            }
        }
        let query =
            format!("SELECT {} FROM {} ORDER BY version", JournalRow::COLUMNS.join(", "), self.table());
        match self.rows(&query).await {
            Ok(rows) if rows.is_empty() => Ok(Observed {
                journal: Some(Vec::new()),
                has_tables: self.has_objects().await?,
                ..Observed::default()
            }),
            Ok(rows) => {
                let journal =
                    rows.iter().map(|row| JournalRow::read(|column| row.get(column))).collect::<Option<_>>();
                let journal = journal.ok_or_else(foreign_journal)?;
                Ok(Observed { journal: Some(journal), has_tables: true, ..Observed::default() })
            }
            Err(error) if error.code() == Some(&SqlState::UNDEFINED_TABLE) => {
                Ok(Observed { journal: None, has_tables: self.has_objects().await?, ..Observed::default() })
            }
            Err(error) if error.code() == Some(&SqlState::UNDEFINED_COLUMN) => Err(foreign_journal()),
            Err(error) => Err(unexpected(error)),
        }
    }

    async fn texts(&mut self, query: &str) -> Result<Vec<Vec<Option<String>>>, Error> {
        let rows = self.rows(query).await.map_err(unexpected)?;
        Ok(rows.iter().map(texts).collect())
    }

    async fn catalog(&mut self, expected: &Catalog) -> Result<Catalog, Error> {
        let rows = self.rows("SHOW server_version_num").await.map_err(unexpected)?;
        let version = rows.first().and_then(|row| row.get(0)?.parse().ok()).unwrap_or_default();
        // One view of the catalogs, and every name as seen from the journal's schema.
        let query = format!(
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {}SET LOCAL search_path = {}; {}; COMMIT",
            catalog::SETTINGS,
            self.place.schema,
            catalog::query(&self.place, expected, version)
        );
        match self.rows(&query).await {
            Ok(rows) => Ok(catalog::read(&rows, version)),
            Err(error) => {
                self.roll_back(None).await;
                Err(unexpected(error))
            }
        }
    }

    async fn journal(&mut self) -> Result<Vec<JournalEntry>, Error> {
        let columns = [&JournalRow::COLUMNS[..], &JournalEntry::COLUMNS].concat().join(", ");
        let query = format!("SELECT {columns} FROM {} ORDER BY version", self.table());
        match self.rows(&query).await {
            Ok(rows) => {
                let entries = rows.iter().map(|row| JournalEntry::read(|column| row.get(column)));
                entries.collect::<Option<_>>().ok_or_else(foreign_journal)
            }
            Err(error) if error.code() == Some(&SqlState::UNDEFINED_TABLE) => Ok(Vec::new()),
            Err(error) if error.code() == Some(&SqlState::UNDEFINED_COLUMN) => Err(foreign_journal()),
            Err(error) => Err(unexpected(error)),
        }
    }

    async fn try_lock(&mut self) -> Result<Result<(), String>, Error> {
        let query = format!("SELECT pg_try_advisory_lock({})", self.lock_key());
        let rows = self.rows(&query).await.map_err(unexpected)?;
        if rows.first().and_then(|row| row.get(0)) == Some("t") {
            self.is_locked = true;
            return Ok(Ok(()));
        }
        let query = format!(
            "SELECT format('%s (pid %s, user %s, from %s, since %s)', a.application_name, a.pid, a.usename, \
             coalesce(host(a.client_addr), 'this host'), date_trunc('second', a.backend_start)) \
             FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE l.locktype = 'advisory' AND l.granted \
             AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) \
             AND (l.classid::bigint, l.objid::bigint) = ({}, hashtext({})::bigint & 4294967295)",
            i32::from_be_bytes(*b"onwd"),
            literal(&self.table()),
        );
        let rows = self.rows(&query).await.map_err(unexpected)?;
        let holder = rows.first().and_then(|row| row.get(0)).unwrap_or("a session that has just ended");
        Ok(Err(holder.to_owned()))
    }

    async fn unlock(&mut self) -> Result<(), Error> {
        let query = format!("SELECT pg_advisory_unlock({})", self.lock_key());
        self.is_locked = false;
        let rows = self.rows(&query).await.map_err(unexpected)?;
        if rows.first().and_then(|row| row.get(0)) != Some("t") {
            tracing::warn!(
                "a script, or a function that it called, has released the migration lock, so another migrator may have run beside this \
                 one; see pg_advisory_unlock in what it calls"
            );
        }
        Ok(())
    }

    async fn create_journal(&mut self) -> Result<(), Error> {
        let query = format!(
            "CREATE TABLE IF NOT EXISTS {} (
                version int4 PRIMARY KEY,
                name varchar(255) NOT NULL,
                applied_on varchar(255) NOT NULL,
                checksum varchar(255) NOT NULL,
                sha256 varchar(64) NOT NULL,
                state varchar(16) NOT NULL,
                floor int4 NOT NULL,
                duration_ms int8,
                applied_by varchar(255) NOT NULL,
                host varchar(255) NOT NULL,
                app_version varchar(255) NOT NULL
            )",
            self.table()
        );
        self.client.batch_execute(&query).await.map_err(unexpected)
    }

    async fn always_rows(&mut self) -> Result<Vec<AlwaysRow>, Error> {
        match self.rows(&AlwaysRow::query(&self.always_table())).await {
            Ok(rows) => {
                let rows: Vec<_> = rows.iter().map(texts).collect();
                rows.iter().map(|row| AlwaysRow::read(row)).collect::<Option<_>>().ok_or_else(foreign_journal)
            }
            Err(error) if error.code() == Some(&SqlState::UNDEFINED_TABLE) => Ok(Vec::new()),
            Err(error) => Err(unexpected(error)),
        }
    }

    async fn create_always_journal(&mut self) -> Result<(), Error> {
        let query = format!(
            "CREATE TABLE IF NOT EXISTS {} (
                id int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
                name varchar(255) NOT NULL,
                sha256 varchar(64) NOT NULL,
                version int4 NOT NULL,
                applied_on varchar(255) NOT NULL,
                duration_ms int8,
                applied_by varchar(255) NOT NULL,
                host varchar(255) NOT NULL,
                app_version varchar(255) NOT NULL
            )",
            self.always_table()
        );
        self.client.batch_execute(&query).await.map_err(unexpected)
    }

    async fn apply(&mut self, step: &Step<'_>) -> Result<Duration, StepError> {
        let duration = "round(extract(epoch FROM clock_timestamp() - transaction_timestamp()) * 1000)::int8";
        let reset = reset_after(step.script);
        let query = format!(
            "{BEGIN}{}\n;{reset}{}COMMIT",
            step.script.text(),
            self.insert(step, RowState::Applied, duration)
        );
        self.forget().await?;
        self.is_used = !reset.is_empty();
        let (begun, mut transaction) = (Instant::now(), None);
        match self.run_in(&query, &mut transaction).await {
            Ok(()) => Ok(begun.elapsed()),
            Err((done, error)) => {
                let end = self.roll_back(transaction.as_deref()).await;
                Err(step_error(step.script, BEGIN.len(), done.checked_sub(BEGIN_STATEMENTS), &error, end))
            }
        }
    }

    async fn apply_alone(&mut self, step: &Step<'_>) -> Result<Duration, StepError> {
        self.forget().await?;
        self.is_used = true;
        let started = self.insert(step, RowState::Started, "NULL");
        self.run(&started).await.map_err(|(_, error)| journal_error(&error))?;
        let before = self.invalid_indexes().await?;
        let begun = Instant::now();
        let outcome = self.run(step.script.text()).await;
        let took = begun.elapsed();
        if let Err((done, error)) = outcome {
            let error = step_error(step.script, 0, Some(done), &error, TransactionEnd::Unknown);
            return Err(match self.invalid_indexes().await {
                Ok(after) => invalid_index::blame(error, &before, &after),
                // The connection has ended, and the error says it.
                Err(_) => error,
            });
        }
        if let Some(error) = invalid_index::refuse(step.script, &self.invalid_indexes().await?) {
            return Err(error);
        }
        let finished = format!("{RESET} {}", self.journal_sql(&self.table()).finish(step, took));
        self.run(&finished).await.map_err(|(_, error)| journal_error(&error))?;
        Ok(took)
    }

    async fn apply_together(&mut self, steps: &[Step<'_>]) -> Result<Vec<Duration>, (usize, StepError)> {
        self.run_together(steps).await
    }

    async fn record(&mut self, steps: &[Step<'_>]) -> Result<(), Error> {
        let rows: String = steps.iter().map(|step| self.insert(step, RowState::Adopted, "NULL")).collect();
        // A simple query of several statements is one transaction.
        self.client.batch_execute(&rows).await.map_err(unexpected)
    }

    async fn server_info(&mut self) -> Result<ServerInfo, Error> {
        let query = format!(
            "SELECT has_schema_privilege(current_schema(), 'CREATE'), (SELECT ssl FROM pg_stat_ssl WHERE pid = \
             pg_backend_pid()), (extract(epoch FROM clock_timestamp()) * 1000)::bigint, \
             current_setting('max_connections'), {INVALID}"
        );
        let rows = self.rows(&query).await.map_err(unexpected)?;
        let column = |column| rows.first().and_then(|row| row.get(column)).unwrap_or_default();
        Ok(ServerInfo {
            may_create: column(0) == "t",
            is_encrypted: Some(column(1) == "t"),
            clock_ms: column(2).parse().unwrap_or_default(),
            max_connections: column(3).parse().unwrap_or_default(),
            invalid_indexes: invalid_index::of_answer(Some(column(4))),
        })
    }

    /// <https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-CANCELING-REQUESTS>
    fn canceller(&self) -> Option<Canceller> {
        let (token, tls) = (self.client.cancel_token(), self.tls.clone());
        Some(Canceller::new(move || {
            let (token, tls) = (token.clone(), tls.clone());
            async move { token.cancel_query(tls).await.map_err(|error| causes(&error)) }
        }))
    }

    /// Does nothing: the runner waits for the end of a cancelled script, so the connection has already ended here.
    async fn abandon(&mut self) {}

    fn notices(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.notices.try_recv().ok()).collect()
    }
}
