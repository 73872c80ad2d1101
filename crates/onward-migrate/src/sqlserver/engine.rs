//! The [`Engine`] for SQL Server.

use std::time::{Duration, Instant};

use onward_script::Catalog;
use tiberius::Row;

use super::error::{journal_error, unexpected};
use super::script::{ACTS_AS_ANOTHER, DONE};
use super::session::SqlServer;
use super::value::{literal, number, text};
use crate::engine::{Canceller, Engine, ServerInfo};
use crate::error::{Error, ErrorKind, StepError, foreign_journal};
use crate::journal::{AlwaysRow, JOURNAL, JournalEntry, JournalRow, Observed, RowState};
use crate::step::Step;

/// The columns of a row of the journal as texts.
const ROW: &str = "CAST(version AS nvarchar(11)), name, applied_on, CAST(sha256 AS nvarchar(64)), CAST(state AS nvarchar(16)), \
                   CAST(floor AS nvarchar(11))";

/// How long a server may take to end an abandoned batch.
const ABANDON: Duration = Duration::from_secs(10);

impl Engine for SqlServer {
    async fn texts(&mut self, query: &str) -> Result<Vec<Vec<Option<String>>>, Error> {
        let rows = self.rows(query).await.map_err(unexpected)?;
        let texts = |row: &Row| {
            let column = |column| row.try_get::<&str, _>(column).ok().flatten().map(str::to_owned);
            (0..row.len()).map(column).collect()
        };
        Ok(rows.iter().map(texts).collect())
    }

    /// SQL Server's catalog is not described yet.
    async fn catalog(&mut self, _: &Catalog) -> Result<Catalog, Error> {
        let message = "the schema of a SQL Server database cannot be compared with the scripts";
        let help = "compare its objects by hand, for example with the schema comparison of SSDT";
        Err(Error::new(ErrorKind::Usage, message, help))
    }

    async fn observe(&mut self) -> Result<Observed, Error> {
        let journal = self.table();
        let batch = format!(
            "IF OBJECT_ID({name}, N'U') IS NULL SELECT {has_tables} ELSE SELECT {ROW} FROM {journal} ORDER BY version",
            name = literal(&journal),
            has_tables = self.has_tables(),
        );
        let rows = match self.rows(&batch).await {
            Ok(rows) => rows,
            Err(error) if self.has_foreign_journal().await => {
                tracing::debug!(%error, "the journal cannot be read");
                return Err(foreign_journal());
            }
            Err(error) => return Err(unexpected(error)),
        };
        match rows.first() {
            Some(row) if row.columns().len() == 1 => {
                Ok(Observed { journal: None, has_tables: number(&rows) == Some(1), ..Observed::default() })
            }
            Some(_) => {
                let journal = rows
                    .iter()
                    .map(|row| JournalRow::read(|column| text(row, column)))
                    .collect::<Option<_>>();
                let journal = journal.ok_or_else(foreign_journal)?;
                Ok(Observed { journal: Some(journal), has_tables: true, ..Observed::default() })
            }
            None => {
                let batch = format!("SELECT {}", self.has_tables());
                let rows = self.rows(&batch).await.map_err(unexpected)?;
                let has_tables = number(&rows) == Some(1);
                Ok(Observed { journal: Some(Vec::new()), has_tables, ..Observed::default() })
            }
        }
    }

    async fn journal(&mut self) -> Result<Vec<JournalEntry>, Error> {
        let journal = self.table();
        let batch = format!(
            "IF OBJECT_ID({}, N'U') IS NOT NULL SELECT {ROW}, CAST(duration_ms AS nvarchar(20)), CAST(applied_by AS \
             nvarchar(255)), CAST(host AS nvarchar(255)), CAST(app_version AS nvarchar(255)) FROM {journal} ORDER BY version",
            literal(&journal)
        );
        match self.rows(&batch).await {
            Ok(rows) => {
                let entries = rows.iter().map(|row| JournalEntry::read(|column| text(row, column)));
                entries.collect::<Option<_>>().ok_or_else(foreign_journal)
            }
            Err(error) if self.has_foreign_journal().await => {
                tracing::debug!(%error, "the journal cannot be read");
                Err(foreign_journal())
            }
            Err(error) => Err(unexpected(error)),
        }
    }

    /// <https://learn.microsoft.com/sql/relational-databases/system-stored-procedures/sp-getapplock-transact-sql>:
    /// 0 and 1 grant the lock, negative numbers do not.
    async fn try_lock(&mut self) -> Result<Result<(), String>, Error> {
        let batch = format!(
            "DECLARE @granted int; EXEC @granted = sp_getapplock @Resource = {}, @LockMode = 'Exclusive', \
             @LockOwner = 'Session', @LockTimeout = 0; SELECT @granted;",
            self.lock()
        );
        let rows = self.rows(&batch).await.map_err(unexpected)?;
        match number(&rows) {
            Some(granted) if granted >= 0 => Ok(Ok(())),
            _ => Ok(Err(self.lock_holder().await)),
        }
    }

    async fn unlock(&mut self) -> Result<(), Error> {
        let batch = format!("EXEC sp_releaseapplock @Resource = {}, @LockOwner = 'Session';", self.lock());
        self.rows(&batch).await.map(|_| ()).map_err(unexpected)
    }

    async fn create_journal(&mut self) -> Result<(), Error> {
        let columns = "version int NOT NULL PRIMARY KEY,
             name nvarchar(255) NOT NULL,
             applied_on nvarchar(255) NOT NULL,
             checksum nvarchar(255) NOT NULL,
             sha256 varchar(64) NOT NULL,
             state varchar(16) NOT NULL,
             floor int NOT NULL,
             duration_ms bigint NULL,
             applied_by nvarchar(255) NOT NULL,
             host nvarchar(255) NOT NULL,
             app_version nvarchar(255) NOT NULL";
        self.create_table(&self.table(), columns).await
    }

    async fn always_rows(&mut self) -> Result<Vec<AlwaysRow>, Error> {
        let table = self.always_table();
        let batch =
            format!("IF OBJECT_ID({}, N'U') IS NOT NULL {}", literal(&table), AlwaysRow::query(&table));
        let rows = self.texts(&batch).await?;
        rows.iter().map(|row| AlwaysRow::read(row)).collect::<Option<_>>().ok_or_else(foreign_journal)
    }

    async fn create_always_journal(&mut self) -> Result<(), Error> {
        let columns = "id bigint NOT NULL IDENTITY PRIMARY KEY,
             name nvarchar(255) NOT NULL,
             sha256 varchar(64) NOT NULL,
             version int NOT NULL,
             applied_on nvarchar(255) NOT NULL,
             duration_ms bigint NULL,
             applied_by nvarchar(255) NOT NULL,
             host nvarchar(255) NOT NULL,
             app_version nvarchar(255) NOT NULL";
        self.create_table(&self.always_table(), columns).await
    }

    async fn apply(&mut self, step: &Step<'_>) -> Result<Duration, StepError> {
        self.rows(&self.begin()).await.map_err(journal_error)?;
        match self.apply_in_transaction(step, true).await {
            Ok(took) => Ok(took),
            Err(error) => Err(self.failed(error).await),
        }
    }

    async fn apply_alone(&mut self, step: &Step<'_>) -> Result<Duration, StepError> {
        let started = format!("{} {}", self.reset(), self.insert(step, RowState::Started, None));
        self.rows(&started).await.map_err(journal_error)?;
        let begun = Instant::now();
        if let Err(error) = self.run(step.script).await {
            return Err(self.failed(error).await);
        }
        let took = begun.elapsed();
        let finished = format!(
            "{} IF {} SELECT {ACTS_AS_ANOTHER}; ELSE IF @@TRANCOUNT > 0 SELECT @@TRANCOUNT; ELSE BEGIN {} SELECT {DONE}; \
             END",
            self.reset(),
            self.acts_as_another,
            self.journal_sql(&self.table()).finish(step, took)
        );
        if let Err(error) = self.conclude(&finished).await {
            return Err(self.failed(error).await);
        }
        Ok(took)
    }

    async fn apply_together(&mut self, steps: &[Step<'_>]) -> Result<Vec<Duration>, (usize, StepError)> {
        self.rows(&self.begin()).await.map_err(|error| (0, journal_error(error)))?;
        let mut took = Vec::with_capacity(steps.len());
        for (index, step) in steps.iter().enumerate() {
            if index > 0 {
                self.rows(&self.reset()).await.map_err(|error| (index, journal_error(error)))?;
            }
            match self.apply_in_transaction(step, index + 1 == steps.len()).await {
                Ok(duration) => took.push(duration),
                Err(error) => return Err((index, self.failed(error).await)),
            }
        }
        Ok(took)
    }

    async fn record(&mut self, steps: &[Step<'_>]) -> Result<(), Error> {
        let rows: String = steps.iter().map(|step| self.insert(step, RowState::Adopted, None)).collect();
        let batch = format!("{} {rows} COMMIT TRANSACTION;", self.begin());
        if let Err(error) = self.rows(&batch).await {
            self.roll_back().await;
            return Err(unexpected(error));
        }
        Ok(())
    }

    /// Does not say whether the connection is encrypted: the view for that needs more rights than the app has.
    async fn server_info(&mut self) -> Result<ServerInfo, Error> {
        let batch = "SELECT CASE WHEN HAS_PERMS_BY_NAME(DB_NAME(), 'DATABASE', 'CREATE TABLE') = 1 THEN N't' END, \
                     CAST(DATEDIFF(second, '1970-01-01', SYSUTCDATETIME()) AS nvarchar(20)), CAST(@@MAX_CONNECTIONS AS \
                     nvarchar(20))";
        let rows = self.rows(batch).await.map_err(unexpected)?;
        let column = |column| rows.first().and_then(|row| text(row, column)).unwrap_or_default();
        let seconds: i64 = column(1).parse().unwrap_or_default();
        Ok(ServerInfo {
            may_create: column(0) == "t",
            is_encrypted: None,
            clock_ms: seconds * 1000,
            max_connections: column(2).parse().unwrap_or_default(),
            invalid_indexes: Vec::new(),
        })
    }

    fn canceller(&self) -> Option<Canceller> {
        None
    }

    /// An attention signal ends the batch, after which the session rolls back.
    /// <https://learn.microsoft.com/openspecs/windows_protocols/ms-tds/dc28579f-49b1-4a78-9c5f-63fbda002d2e>
    async fn abandon(&mut self) {
        let ending = async {
            match self.client.cancel_query().await {
                Ok(()) => drop(self.roll_back().await),
                Err(error) => tracing::debug!(%error, "the connection has ended; the server rolls back"),
            }
        };
        if tokio::time::timeout(ABANDON, ending).await.is_err() {
            tracing::warn!("the server does not answer; it rolls back when it notices the closed connection");
        }
    }

    fn notices(&mut self) -> Vec<String> {
        self.prints.take()
    }
}

impl SqlServer {
    /// Creates a table of the migrator's own if it is not there.
    async fn create_table(&mut self, table: &str, columns: &str) -> Result<(), Error> {
        let batch = format!(
            "{} IF OBJECT_ID({}, N'U') IS NULL CREATE TABLE {table} ({columns});",
            self.reset(),
            literal(table)
        );
        self.rows(&batch).await.map(|_| ()).map_err(unexpected)
    }

    /// Whether the schema holds anything that a baseline would create.
    fn has_tables(&self) -> String {
        format!(
            "CASE WHEN EXISTS (SELECT 1 FROM sys.objects WHERE schema_id = SCHEMA_ID({}) AND type IN ('U', 'V', 'SO') \
             AND is_ms_shipped = 0 AND name <> '{JOURNAL}') THEN 1 ELSE 0 END",
            literal(self.schema.trim_matches(['[', ']']))
        )
    }

    /// Whether the journal's table lacks one of the journal's columns.
    async fn has_foreign_journal(&mut self) -> bool {
        let journal = literal(&self.table());
        let lacks = |column| format!("COL_LENGTH({journal}, N'{column}') IS NULL");
        let lacks = ["version", "name", "applied_on", "sha256", "state", "floor"].map(lacks).join(" OR ");
        let batch = format!("SELECT CASE WHEN {lacks} THEN 1 ELSE 0 END");
        match self.rows(&batch).await {
            Ok(rows) => number(&rows) == Some(1),
            Err(error) => {
                tracing::debug!(%error, "the journal's columns cannot be seen");
                false
            }
        }
    }

    /// Who has the lock, as far as this user may see it: the view needs VIEW SERVER STATE.
    async fn lock_holder(&mut self) -> String {
        let batch = format!(
            "SELECT TOP 1 CONCAT(s.program_name, N' (session ', s.session_id, N', user ', s.login_name, N', from ', \
             s.host_name, N', since ', CONVERT(nvarchar(19), s.login_time, 120), N')') FROM sys.dm_tran_locks l JOIN \
             sys.dm_exec_sessions s ON s.session_id = l.request_session_id WHERE l.resource_type = 'APPLICATION' AND \
             l.request_status = 'GRANT' AND l.resource_database_id = DB_ID() AND CHARINDEX({}, \
             l.resource_description) > 0",
            self.lock()
        );
        match self.rows(&batch).await {
            Ok(rows) => rows.first().and_then(|row| text(row, 0)).map(str::to_owned),
            Err(error) => {
                tracing::debug!(%error, "the holder of the lock cannot be seen");
                None
            }
        }
        .unwrap_or_else(|| "a session that this user may not see".to_owned())
    }
}
