//! The [`Engine`] for SQL Server.

mod error;
mod pairs;
mod prints;
#[cfg(feature = "rebuild")]
mod rebuild;
mod url;

use std::time::{Duration, Instant};

use futures_util::TryStreamExt as _;
use onward_script::{Catalog, Script, batches};
use tiberius::{Client, Config, Row};
use tokio::net::TcpStream;
use tokio_util::compat::{Compat, TokioAsyncWriteCompatExt as _};

use self::error::{acts_as_another, batch_error, connection_error, journal_error, left_behind, unexpected};
use self::prints::{GREETING, Prints};
pub use self::url::SqlServerUrl;
use crate::engine::{Canceller, Engine, ServerInfo, SessionOptions};
use crate::error::{Error, ErrorKind, StepError, TransactionEnd, foreign_journal};
use crate::journal::{ALWAYS_JOURNAL, AlwaysRow, JOURNAL, JournalEntry, JournalRow, Observed, RowState};
use crate::journal_sql::JournalSql;
use crate::step::Step;

/// The driver's connection.
pub type TdsClient = Client<Compat<TcpStream>>;

/// One direct session with a SQL Server, without a connection pool.
pub struct SqlServer {
    client: TdsClient,
    prints: Prints,
    lock_timeout_ms: i64,
    /// The schema that unqualified names are created in, quoted for SQL.
    schema: String,
    database: String,
    /// An SQL expression: whether the session now acts as another user.
    acts_as_another: String,
}

/// The temporary table whose row goes when the transaction of a script is rolled back.
const OPEN: &str = "#onward_transaction";

/// The answers of a batch that ends a script, apart from a count of transactions.
const DONE: i32 = -1;
const ACTS_AS_ANOTHER: i32 = -2;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A server that redirects a client, as Azure SQL does, redirects it once; more often is a loop.
const MAX_ROUTINGS: usize = 3;

impl SqlServer {
    /// Connects.
    ///
    /// # Errors
    ///
    /// If the server cannot be reached, its certificate is not trusted, it refuses the user, or has no such
    /// database; or if the options have a TLS configuration, which the driver does not take.
    pub async fn connect(url: &SqlServerUrl, options: &SessionOptions) -> Result<Self, Error> {
        if options.tls.is_some() {
            let help = "name the authority in the address: `TrustServerCertificateCA=/path`";
            let message = "SQL Server's driver takes no TLS configuration of the program's own";
            return Err(Error::new(ErrorKind::Configuration, message, help));
        }
        let client = Self::open(url, &options.application_name).await?;
        let lock_timeout_ms =
            options.lock_timeout.map_or(-1, |timeout| i64::try_from(timeout.as_millis()).unwrap_or(i64::MAX));
        let mut session = Self {
            client,
            prints: Prints::default(),
            lock_timeout_ms,
            schema: String::new(),
            database: String::new(),
            acts_as_another: String::new(),
        };
        session.read_identity().await?;
        session.refuse_system_database()?;
        if let Some(named) = &options.journal_schema {
            session.schema = format!("[{}]", named.replace(']', "]]"));
        }
        Ok(session)
    }

    /// A user without a database lands in `master`, whose tables would be everybody's. New databases are copies of `model`,
    /// and `tempdb` is emptied at each start.
    /// <https://learn.microsoft.com/sql/relational-databases/databases/system-databases>
    fn refuse_system_database(&self) -> Result<(), Error> {
        if !["master", "model", "msdb", "tempdb"].contains(&self.database.to_lowercase().as_str()) {
            return Ok(());
        }
        let message = format!("the connection leads to `{}`, a database of the server's own", self.database);
        let help = "name the app's database in DATABASE_URL: `database=NAME`";
        Err(Error::new(ErrorKind::Configuration, message, help))
    }

    /// Opens a connection for other uses than migrations.
    ///
    /// # Errors
    ///
    /// As [`SqlServer::connect`].
    pub async fn open(url: &SqlServerUrl, application_name: &str) -> Result<TdsClient, Error> {
        url.check_authority()?;
        let mut config = url.driver_config();
        config.application_name(application_name);
        // A script may take an hour.
        config.command_timeout(None);
        open(config).await.map_err(|error| connection_error(url, &error))
    }

    /// Checks that a connection still answers, and rolls back a transaction that is still open. None begins by itself afterwards.
    ///
    /// # Errors
    ///
    /// If it does not.
    pub async fn is_alive(client: &mut TdsClient) -> Result<(), Error> {
        let ask = client
            .simple_query("IF @@TRANCOUNT > 0 ROLLBACK TRANSACTION; SET IMPLICIT_TRANSACTIONS OFF;")
            .await;
        ask.map_err(unexpected)?.into_results().await.map(|_| ()).map_err(unexpected)
    }

    /// Reads the schema in which unqualified names are created, and the user of the session.
    async fn read_identity(&mut self) -> Result<(), Error> {
        let batch = format!(
            "PRINT {}; SELECT QUOTENAME(SCHEMA_NAME()), USER_NAME(), SUSER_SNAME(), DB_NAME()",
            literal(GREETING)
        );
        let rows = self.rows(&batch).await.map_err(unexpected)?;
        let schema = rows.first().and_then(|row| text(row, 0)).ok_or_else(|| {
            let message = "the user has no default schema, so there is no place for the tables";
            Error::new(ErrorKind::Configuration, message, "run `ALTER USER … WITH DEFAULT_SCHEMA = dbo`")
        })?;
        let name = |column| literal(rows.first().and_then(|row| text(row, column)).unwrap_or_default());
        self.acts_as_another = format!("(USER_NAME() <> {} OR SUSER_SNAME() <> {})", name(1), name(2));
        self.schema = schema.to_owned();
        self.database = rows.first().and_then(|row| text(row, 3)).unwrap_or_default().to_owned();
        Ok(())
    }

    /// Runs one batch and reads all of its results, so that no error after a result set stays unread. Returns the rows of
    /// the last result set that has any.
    async fn rows(&mut self, batch: &str) -> Result<Vec<Row>, tiberius::error::Error> {
        let run = async {
            let results = self.client.simple_query(batch).await?.into_results().await?;
            Ok(results.into_iter().rev().find(|rows| !rows.is_empty()).unwrap_or_default())
        };
        self.prints.heard(run).await
    }

    /// Runs one batch of a script, reads all of its results, and drops the rows.
    async fn drain(&mut self, batch: &str) -> Result<(), tiberius::error::Error> {
        let run = async {
            let mut results = self.client.simple_query(batch).await?;
            while results.try_next().await?.is_some() {}
            Ok(())
        };
        self.prints.heard(run).await
    }

    fn always_table(&self) -> String {
        self.table().replace(JOURNAL, ALWAYS_JOURNAL)
    }

    fn table(&self) -> String {
        format!("{}.{JOURNAL}", self.schema)
    }

    /// The resource of `sp_getapplock`; another database or schema has another resource.
    fn lock(&self) -> String {
        literal(&format!("onward:{}", self.schema.trim_matches(['[', ']'])))
    }

    /// Resets what a script may have changed in the session, and begins the transaction of the next script, with a mark in it.
    /// A temporary table obeys the transaction, needs no right, and keeps nobody waiting.
    /// <https://learn.microsoft.com/sql/t-sql/statements/set-statements-transact-sql>
    fn begin(&self) -> String {
        format!(
            "{}\nIF OBJECT_ID(N'tempdb..{OPEN}') IS NULL CREATE TABLE {OPEN} (is_open bit NOT NULL); DELETE FROM {OPEN}; \
             BEGIN TRANSACTION; INSERT INTO {OPEN} VALUES (1);",
            self.reset()
        )
    }

    fn reset(&self) -> String {
        format!(
            "SET NOEXEC OFF; SET PARSEONLY OFF; SET FMTONLY OFF; SET IMPLICIT_TRANSACTIONS OFF; SET ROWCOUNT 0; \
             SET QUOTED_IDENTIFIER ON; SET ANSI_NULLS ON; SET ANSI_PADDING ON; SET ANSI_WARNINGS ON; \
             SET ARITHABORT ON; SET CONCAT_NULL_YIELDS_NULL ON; SET NUMERIC_ROUNDABORT OFF; SET NOCOUNT OFF; \
             SET TRANSACTION ISOLATION LEVEL READ COMMITTED; SET LOCK_TIMEOUT {}; SET XACT_ABORT ON;",
            self.lock_timeout_ms
        )
    }

    fn insert(&self, step: &Step<'_>, state: RowState, took: Option<Duration>) -> String {
        let duration_ms = took.map_or("NULL".to_owned(), |took| took.as_millis().to_string());
        self.journal_sql(&self.table()).insert(step, state, &duration_ms)
    }

    fn journal_sql<'a>(&self, table: &'a str) -> JournalSql<'a> {
        JournalSql { table, always: self.always_table(), user: "SUSER_SNAME()", literal }
    }

    /// Runs a script's batches in order.
    async fn run(&mut self, script: &Script) -> Result<(), StepError> {
        let source = script.text();
        let all = batches(source);
        for (index, batch) in all.iter().enumerate() {
            for _ in 0..batch.count {
                if let Err(error) = self.drain(&source[batch.span.clone()]).await {
                    let numbered = (all.len() > 1).then_some((index + 1, all.len()));
                    return Err(batch_error(source, batch, numbered, error));
                }
            }
        }
        Ok(())
    }

    /// Writes a script's row if the script left the transaction open, and commits if `commit` is true.
    async fn finish(&mut self, step: &Step<'_>, took: Duration, commit: bool) -> Result<(), StepError> {
        let commit = if commit { "COMMIT TRANSACTION; " } else { "" };
        let batch = format!(
            "SET XACT_ABORT ON; IF {} SELECT {ACTS_AS_ANOTHER}; ELSE IF @@TRANCOUNT = 1 AND XACT_STATE() = 1 BEGIN {} \
             {commit}SELECT {DONE}; END ELSE SELECT @@TRANCOUNT;",
            self.acts_as_another,
            self.insert(step, RowState::Applied, Some(took))
        );
        self.conclude(&batch).await
    }

    /// Runs the batch that ends a script, as the session's own user. An `EXECUTE AS` of the script lasts until its `REVERT`,
    /// and that user may not write the journal.
    /// <https://learn.microsoft.com/sql/t-sql/statements/revert-transact-sql>
    async fn conclude(&mut self, batch: &str) -> Result<(), StepError> {
        let mut answer = self.answer(batch).await?;
        if answer == Some(ACTS_AS_ANOTHER) {
            // Reverts nested `EXECUTE AS` one by one; one `WITH NO REVERT` cannot be reverted.
            let revert = format!(
                "DECLARE @left int = 32; WHILE @left > 0 AND {} BEGIN REVERT; SET @left = @left - 1; END",
                self.acts_as_another
            );
            self.rows(&revert).await.map_err(journal_error)?;
            answer = self.answer(batch).await?;
        }
        match answer {
            Some(DONE) => Ok(()),
            Some(ACTS_AS_ANOTHER) => Err(StepError::Server(Box::new(acts_as_another()))),
            open => Err(StepError::Server(Box::new(left_behind(open)))),
        }
    }

    async fn answer(&mut self, batch: &str) -> Result<Option<i32>, StepError> {
        let rows = self.rows(batch).await.map_err(journal_error)?;
        Ok(number(&rows))
    }

    /// Ends a failed transaction, so that the session can go on, and asks the server what became of it: where the mark is still
    /// there, the script has committed.
    async fn roll_back(&mut self) -> TransactionEnd {
        let batch =
            format!("{} IF @@TRANCOUNT > 0 ROLLBACK TRANSACTION; SELECT COUNT(*) FROM {OPEN};", self.reset());
        match self.rows(&batch).await.map(|rows| number(&rows)) {
            Ok(Some(0)) => TransactionEnd::RolledBack,
            Ok(Some(_)) => TransactionEnd::ByScript,
            Ok(None) => TransactionEnd::Unknown,
            Err(error) => {
                tracing::debug!(%error, "the server did not say what became of the transaction");
                TransactionEnd::Unknown
            }
        }
    }

    /// As [`SqlServer::roll_back`], for an error that is to say it. Where the error itself says that the script has ended its
    /// transaction, by a `ROLLBACK` even, that counts: what ran after it stays.
    async fn failed(&mut self, error: StepError) -> StepError {
        let end = self.roll_back().await;
        match error {
            StepError::Server(mut error) => {
                if error.end != TransactionEnd::ByScript {
                    error.end = end;
                }
                StepError::Server(error)
            }
            lost @ StepError::Lost(_) => lost,
        }
    }

    async fn apply_in_transaction(&mut self, step: &Step<'_>, commit: bool) -> Result<Duration, StepError> {
        let begun = Instant::now();
        self.run(step.script).await?;
        let took = begun.elapsed();
        self.finish(step, took, commit).await?;
        Ok(took)
    }
}

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
        let journal = self.table();
        let batch = format!(
            "{} IF OBJECT_ID({}, N'U') IS NULL CREATE TABLE {journal} (
                version int NOT NULL PRIMARY KEY,
                name nvarchar(255) NOT NULL,
                applied_on nvarchar(255) NOT NULL,
                checksum nvarchar(255) NOT NULL,
                sha256 varchar(64) NOT NULL,
                state varchar(16) NOT NULL,
                floor int NOT NULL,
                duration_ms bigint NULL,
                applied_by nvarchar(255) NOT NULL,
                host nvarchar(255) NOT NULL,
                app_version nvarchar(255) NOT NULL
            );",
            self.reset(),
            literal(&journal)
        );
        self.rows(&batch).await.map(|_| ()).map_err(unexpected)
    }

    async fn always_rows(&mut self) -> Result<Vec<AlwaysRow>, Error> {
        let table = self.always_table();
        let batch =
            format!("IF OBJECT_ID({}, N'U') IS NOT NULL {}", literal(&table), AlwaysRow::query(&table));
        let rows = self.texts(&batch).await?;
        rows.iter().map(|row| AlwaysRow::read(row)).collect::<Option<_>>().ok_or_else(foreign_journal)
    }

    async fn create_always_journal(&mut self) -> Result<(), Error> {
        let table = self.always_table();
        let batch = format!(
            "{} IF OBJECT_ID({}, N'U') IS NULL CREATE TABLE {table} (
                id bigint NOT NULL IDENTITY PRIMARY KEY,
                name nvarchar(255) NOT NULL,
                sha256 varchar(64) NOT NULL,
                version int NOT NULL,
                applied_on nvarchar(255) NOT NULL,
                duration_ms bigint NULL,
                applied_by nvarchar(255) NOT NULL,
                host nvarchar(255) NOT NULL,
                app_version nvarchar(255) NOT NULL
            );",
            self.reset(),
            literal(&table)
        );
        self.rows(&batch).await.map(|_| ()).map_err(unexpected)
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

async fn open(mut config: Config) -> Result<TdsClient, tiberius::error::Error> {
    let mut routings = 0;
    loop {
        let timed_out = || tiberius::error::Error::Io {
            kind: std::io::ErrorKind::TimedOut,
            message: format!("no answer within {CONNECT_TIMEOUT:?}"),
        };
        let connecting = TcpStream::connect(config.get_addr());
        let stream = tokio::time::timeout(CONNECT_TIMEOUT, connecting).await.map_err(|_| timed_out())??;
        stream.set_nodelay(true)?;
        let login = Client::connect(config.clone(), stream.compat_write());
        match tokio::time::timeout(CONNECT_TIMEOUT, login).await.map_err(|_| timed_out())? {
            Err(tiberius::error::Error::Routing { host, port }) if routings < MAX_ROUTINGS => {
                routings += 1;
                config.host(host);
                config.port(port);
            }
            outcome => return outcome,
        }
    }
}

fn text(row: &Row, index: usize) -> Option<&str> {
    row.try_get::<&str, _>(index).ok().flatten()
}

/// The single number that a batch returns.
fn number(rows: &[Row]) -> Option<i32> {
    rows.first().and_then(|row| row.try_get::<i32, _>(0).ok().flatten())
}

fn literal(text: &str) -> String {
    format!("N'{}'", text.replace('\'', "''"))
}
