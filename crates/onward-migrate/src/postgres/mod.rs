//! The [`Engine`] for PostgreSQL.

mod conninfo;
mod error;
mod script;
mod tls;
mod url;

use std::pin::pin;
use std::time::{Duration, Instant};

use futures_util::TryStreamExt as _;
use futures_util::future::poll_fn;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_postgres::error::SqlState;
use tokio_postgres::{AsyncMessage, Client, SimpleQueryMessage, SimpleQueryRow};
use tokio_postgres_rustls::MakeRustlsConnect;

use self::error::{connection_error, journal_error, silent, step_error, unexpected};
use self::script::{RESET, reset_after};
pub use self::tls::tls_connector;
pub use self::url::{PostgresUrl, TlsMode};
#[cfg(feature = "rebuild")]
use crate::drop_target::{DropTarget, MARK, unnamed};
use crate::engine::{Canceller, Engine, ServerInfo, SessionOptions};
use crate::error::{Error, ErrorKind, StepError, causes, foreign_journal};
use crate::journal::{JOURNAL, JournalRow, Observed, RowState};
use crate::journal_sql::JournalSql;
use crate::step::Step;

/// One direct session with a PostgreSQL server, without a connection pool.
pub struct Postgres {
    client: Client,
    /// For the second connection, which cancels a statement.
    tls: MakeRustlsConnect,
    connection: JoinHandle<()>,
    notices: mpsc::UnboundedReceiver<String>,
    /// The schema that unqualified names are created in, quoted for SQL.
    schema: String,
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

impl Drop for Postgres {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl Postgres {
    /// Connects.
    ///
    /// # Errors
    ///
    /// If the server cannot be reached, refuses the user, or has no such database.
    pub async fn connect(url: &PostgresUrl, options: &SessionOptions) -> Result<Self, Error> {
        let mut config = url.driver_config();
        config.application_name(&options.application_name);
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        // `RESET ALL` after each script goes back to the options of the session.
        let lock_timeout = options.lock_timeout.map_or(0, |timeout| timeout.as_millis());
        let settings = format!("-c client_min_messages=notice -c lock_timeout={lock_timeout}");
        let own = config.get_options().map_or(settings.clone(), |own| format!("{settings} {own}"));
        config.options(own);

        let tls = tls_connector(url)?;
        // The driver's limit is for the socket alone. A server that accepts it and says nothing more must not hold the start.
        let hosts = u32::try_from(config.get_hosts().len()).unwrap_or(u32::MAX);
        let limit = config.get_connect_timeout().map_or(CONNECT_TIMEOUT, |limit| *limit);
        let limit = limit.saturating_mul(hosts.saturating_add(1));
        let connecting = tokio::time::timeout(limit, config.connect(tls.clone()));
        let (client, mut connection) = connecting
            .await
            .map_err(|_| silent(url, limit))?
            .map_err(|error| connection_error(url, &error))?;
        let (sender, notices) = mpsc::unbounded_channel();
        let connection = tokio::spawn(async move {
            while let Some(message) = poll_fn(|cx| connection.poll_message(cx)).await {
                match message {
                    Ok(AsyncMessage::Notice(notice)) => {
                        // The session goes on, even if nobody listens any more.
                        let _ = sender.send(format!("{}: {}", notice.severity(), notice.message()));
                    }
                    Ok(_) => {}
                    Err(error) => {
                        tracing::debug!(%error, "the database connection ended");
                        break;
                    }
                }
            }
        });
        let mut session = Self { client, tls, connection, notices, schema: String::new() };
        session.schema = session.current_schema().await?;
        Ok(session)
    }

    async fn current_schema(&self) -> Result<String, Error> {
        let rows = self.rows("SELECT quote_ident(current_schema())").await.map_err(unexpected)?;
        let schema = rows.first().and_then(|row| row.get(0));
        schema.map(str::to_owned).ok_or_else(|| {
            let message = "no schema of the search path exists, so there is no place for the tables";
            let help = "create it, or correct `search_path` of the role or of DATABASE_URL";
            Error::new(ErrorKind::Configuration, message, help)
        })
    }

    async fn rows(&self, query: &str) -> Result<Vec<SimpleQueryRow>, tokio_postgres::Error> {
        let messages = self.client.simple_query(query).await?;
        Ok(messages
            .into_iter()
            .filter_map(|message| match message {
                SimpleQueryMessage::Row(row) => Some(row),
                _ => None,
            })
            .collect())
    }

    fn journal(&self) -> String {
        format!("{}.{JOURNAL}", self.schema)
    }

    /// Both halves of the lock's key: the product, and the journal that the lock guards. An advisory lock belongs to its
    /// database.
    fn lock_key(&self) -> String {
        format!("{}, hashtext({})", i32::from_be_bytes(*b"onwd"), literal(&self.journal()))
    }

    /// Runs a whole query. An error comes with the number of statements that were complete before it.
    async fn run(&self, query: &str) -> Result<(), (usize, tokio_postgres::Error)> {
        let mut done = 0;
        let stream = self.client.simple_query_raw(query).await.map_err(|error| (0, error))?;
        let mut stream = pin!(stream);
        while let Some(message) = stream.try_next().await.map_err(|error| (done, error))? {
            done += usize::from(matches!(message, SimpleQueryMessage::CommandComplete(_)));
        }
        Ok(())
    }

    /// Ends the failed transaction, so that the session can go on.
    async fn roll_back(&self) {
        if let Err(error) = self.client.batch_execute("ROLLBACK").await {
            tracing::debug!(%error, "the connection ended before the rollback; the server rolls back");
        }
    }

    fn insert(&self, step: &Step<'_>, state: RowState, duration_ms: &str) -> String {
        self.journal_sql(&self.journal()).insert(step, state, duration_ms)
    }

    fn journal_sql<'a>(&self, table: &'a str) -> JournalSql<'a> {
        JournalSql { table, user: "session_user", literal }
    }
}

/// The first statement of the query that a script runs in.
const BEGIN: &str = "BEGIN;\n";

impl Engine for Postgres {
    async fn observe(&mut self) -> Result<Observed, Error> {
        let query =
            format!("SELECT {} FROM {} ORDER BY version", JournalRow::COLUMNS.join(", "), self.journal());
        match self.rows(&query).await {
            Ok(rows) if rows.is_empty() => {
                Ok(Observed { journal: Some(Vec::new()), has_tables: self.has_tables().await? })
            }
            Ok(rows) => {
                let journal =
                    rows.iter().map(|row| JournalRow::read(|column| row.get(column))).collect::<Option<_>>();
                let journal = journal.ok_or_else(foreign_journal)?;
                Ok(Observed { journal: Some(journal), has_tables: true })
            }
            Err(error) if error.code() == Some(&SqlState::UNDEFINED_TABLE) => {
                Ok(Observed { journal: None, has_tables: self.has_tables().await? })
            }
            Err(error) if error.code() == Some(&SqlState::UNDEFINED_COLUMN) => Err(foreign_journal()),
            Err(error) => Err(unexpected(error)),
        }
    }

    async fn try_lock(&mut self) -> Result<Result<(), String>, Error> {
        let query = format!("SELECT pg_try_advisory_lock({})", self.lock_key());
        let rows = self.rows(&query).await.map_err(unexpected)?;
        if rows.first().and_then(|row| row.get(0)) == Some("t") {
            return Ok(Ok(()));
        }
        let query = format!(
            "SELECT format('%s (pid %s, user %s, from %s, since %s)', a.application_name, a.pid, a.usename, \
             coalesce(host(a.client_addr), 'this host'), date_trunc('second', a.backend_start)) \
             FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE l.locktype = 'advisory' AND l.granted \
             AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) \
             AND (l.classid::bigint, l.objid::bigint) = ({}, hashtext({})::bigint & 4294967295)",
            i32::from_be_bytes(*b"onwd"),
            literal(&self.journal()),
        );
        let rows = self.rows(&query).await.map_err(unexpected)?;
        let holder = rows.first().and_then(|row| row.get(0)).unwrap_or("a session that has just ended");
        Ok(Err(holder.to_owned()))
    }

    async fn unlock(&mut self) -> Result<(), Error> {
        let query = format!("SELECT pg_advisory_unlock({})", self.lock_key());
        self.rows(&query).await.map(|_| ()).map_err(unexpected)
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
            self.journal()
        );
        self.client.batch_execute(&query).await.map_err(unexpected)
    }

    async fn apply(&mut self, step: &Step<'_>) -> Result<Duration, StepError> {
        let duration = "round(extract(epoch FROM clock_timestamp() - transaction_timestamp()) * 1000)::int8";
        let query = format!(
            "{BEGIN}{}\n;{}{}COMMIT",
            step.script.text(),
            reset_after(step.script),
            self.insert(step, RowState::Applied, duration)
        );
        let begun = Instant::now();
        match self.run(&query).await {
            Ok(()) => Ok(begun.elapsed()),
            Err((done, error)) => {
                self.roll_back().await;
                Err(step_error(step.script, BEGIN.len(), done.checked_sub(1), &error))
            }
        }
    }

    async fn apply_alone(&mut self, step: &Step<'_>) -> Result<Duration, StepError> {
        let started = self.insert(step, RowState::Started, "NULL");
        self.run(&started).await.map_err(|(_, error)| journal_error(&error))?;
        let begun = Instant::now();
        let outcome = self.run(step.script.text()).await;
        outcome.map_err(|(done, error)| step_error(step.script, 0, Some(done), &error))?;
        let took = begun.elapsed();
        let finished = format!("{RESET} {}", self.journal_sql(&self.journal()).finish(step, took));
        self.run(&finished).await.map_err(|(_, error)| journal_error(&error))?;
        Ok(took)
    }

    async fn apply_together(&mut self, steps: &[Step<'_>]) -> Result<Vec<Duration>, (usize, StepError)> {
        let mut took = Vec::with_capacity(steps.len());
        for (index, step) in steps.iter().enumerate() {
            let begin = if index == 0 { BEGIN } else { "" };
            let duration = "NULL";
            let query = format!(
                "{begin}{}\n;{}{}",
                step.script.text(),
                reset_after(step.script),
                self.insert(step, RowState::Applied, duration)
            );
            let begun = Instant::now();
            if let Err((done, error)) = self.run(&query).await {
                self.roll_back().await;
                let done = done.checked_sub(usize::from(index == 0));
                return Err((index, step_error(step.script, begin.len(), done, &error)));
            }
            took.push(begun.elapsed());
        }
        let last = steps.len() - 1;
        self.run("COMMIT").await.map_err(|(_, error)| (last, journal_error(&error)))?;
        Ok(took)
    }

    async fn record(&mut self, steps: &[Step<'_>]) -> Result<(), Error> {
        let rows: String = steps.iter().map(|step| self.insert(step, RowState::Adopted, "NULL")).collect();
        // A simple query of several statements is one transaction.
        self.client.batch_execute(&rows).await.map_err(unexpected)
    }

    async fn server_info(&mut self) -> Result<ServerInfo, Error> {
        let query = "SELECT has_schema_privilege(current_schema(), 'CREATE'), (SELECT ssl FROM pg_stat_ssl WHERE pid = \
                     pg_backend_pid()), (extract(epoch FROM clock_timestamp()) * 1000)::bigint, \
                     current_setting('max_connections')";
        let rows = self.rows(query).await.map_err(unexpected)?;
        let column = |column| rows.first().and_then(|row| row.get(column)).unwrap_or_default();
        Ok(ServerInfo {
            may_create: column(0) == "t",
            is_encrypted: Some(column(1) == "t"),
            clock_ms: column(2).parse().unwrap_or_default(),
            max_connections: column(3).parse().unwrap_or_default(),
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

impl Postgres {
    /// Whether the schema holds anything that a baseline would create; objects of extensions do not count.
    async fn has_tables(&self) -> Result<bool, Error> {
        let query = format!(
            "SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE quote_ident(n.nspname) = {} AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') \
             AND c.relname <> '{JOURNAL}' \
             AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e'))",
            literal(&self.schema)
        );
        let rows = self.rows(&query).await.map_err(unexpected)?;
        Ok(rows.first().and_then(|row| row.get(0)) == Some("t"))
    }
}

#[cfg(feature = "rebuild")]
impl Postgres {
    /// A session with another database, because a session cannot drop its own database.
    async fn connect_beside(url: &PostgresUrl) -> Result<(Self, String), Error> {
        let name = url.database().ok_or_else(unnamed)?.to_owned();
        let beside = url.with_database("postgres");
        let options = SessionOptions { application_name: "onward rebuild".to_owned(), lock_timeout: None };
        Ok((Self::connect(&beside, &options).await?, name))
    }

    pub(crate) async fn inspect(url: &PostgresUrl) -> Result<DropTarget, Error> {
        let (session, name) = Self::connect_beside(url).await?;
        let query = format!(
            "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = {}",
            literal(&name)
        );
        let rows = session.rows(&query).await.map_err(unexpected)?;
        let is_marked = rows.first().and_then(|row| row.get(0)) == Some(MARK);
        Ok(DropTarget { name, is_marked })
    }

    pub(crate) async fn create(url: &PostgresUrl, target: &DropTarget) -> Result<(), Error> {
        let (session, _) = Self::connect_beside(url).await?;
        let name = quoted(&target.name);
        for statement in
            [format!("CREATE DATABASE {name}"), format!("COMMENT ON DATABASE {name} IS {}", literal(MARK))]
        {
            session.client.batch_execute(&statement).await.map_err(unexpected)?;
        }
        Ok(())
    }

    pub(crate) async fn remove(url: &PostgresUrl, target: &DropTarget) -> Result<(), Error> {
        let (session, _) = Self::connect_beside(url).await?;
        let statement = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", quoted(&target.name));
        session.client.batch_execute(&statement).await.map_err(unexpected)
    }
}

#[cfg(feature = "rebuild")]
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as an SQL literal; `standard_conforming_strings` is on, and no text here holds a NUL.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
