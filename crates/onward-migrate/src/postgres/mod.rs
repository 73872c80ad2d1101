//! The [`Engine`] for PostgreSQL.

mod catalog;
mod conninfo;
mod error;
mod invalid_index;
mod objects;
mod place;
mod quote;
#[cfg(feature = "rebuild")]
mod rebuild;
mod script;
mod tls;
mod url;
mod view;
mod wording;

use std::pin::pin;
use std::time::{Duration, Instant};

use futures_util::TryStreamExt as _;
use futures_util::future::poll_fn;
use onward_script::Catalog;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_postgres::config::SslMode;
use tokio_postgres::error::SqlState;
use tokio_postgres::{AsyncMessage, Client, SimpleQueryMessage, SimpleQueryRow};
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_util::task::AbortOnDropHandle;

use self::error::{
    AT_COMMIT, connection_error, journal_error, pooled, silent, step_error, takes_no_options, unexpected,
};
use self::invalid_index::INVALID;
use self::place::{Found, Place};
use self::quote::literal;
use self::script::{FORGET, RESET, WITNESS, reset_after, startup};
pub use self::tls::tls_connector;
pub use self::url::{PostgresUrl, TlsMode};
use crate::engine::{Canceller, Engine, ServerInfo, SessionOptions};
use crate::error::{Error, ErrorKind, StepError, TransactionEnd, causes, foreign_journal, unnamed};
use crate::journal::{ALWAYS_JOURNAL, AlwaysRow, JOURNAL, JournalEntry, JournalRow, Observed, RowState};
use crate::journal_sql::JournalSql;
use crate::step::Step;

/// One direct session with a PostgreSQL server, without a connection pool.
pub struct Postgres {
    client: Client,
    /// For the second connection, which cancels a statement.
    tls: MakeRustlsConnect,
    connection: JoinHandle<()>,
    notices: mpsc::UnboundedReceiver<String>,
    /// The schema that the options name for the journal.
    named: Option<String>,
    /// Whether the address sets `search_path`.
    is_path_set: bool,
    /// Where the journal is, or will be.
    place: Place,
    /// Whether this session has the migration lock, which belongs to the place.
    is_locked: bool,
    /// Whether a script may have left something in the session.
    is_used: bool,
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
        require_own_database(url)?;
        let mut config = url.driver_config();
        config.application_name(&options.application_name);
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        let own = config.get_options().unwrap_or_default().to_owned();
        // A connection pool in front of the server takes no options. One that only reads needs none.
        if !options.reads_only {
            config.options(startup(options, &own));
        }

        let tls = match &options.tls {
            Some(given) => {
                require_tls(&mut config)?;
                MakeRustlsConnect::new(given.as_ref().clone())
            }
            None => tls_connector(url)?,
        };
        // The driver's limit is for the socket alone. A server that accepts it and says nothing more must not hold the start.
        let hosts = u32::try_from(config.get_hosts().len()).unwrap_or(u32::MAX);
        let limit = config.get_connect_timeout().map_or(CONNECT_TIMEOUT, |limit| *limit);
        let limit = limit.saturating_mul(hosts.saturating_add(1));
        let connecting = tokio::time::timeout(limit, config.connect(tls.clone()));
        let refused = |error| match !options.reads_only && takes_no_options(&error) {
            true => pooled(url),
            false => connection_error(url, &error),
        };
        let (client, mut connection) = connecting.await.map_err(|_| silent(url, limit))?.map_err(refused)?;
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
        let place = Place { schema: String::new(), is_named: false };
        let named = options.journal_schema.clone();
        let is_path_set = own.contains("search_path");
        let mut session = Self {
            client,
            tls,
            connection,
            notices,
            named,
            is_path_set,
            place,
            is_locked: false,
            is_used: false,
        };
        if !options.reads_only && !has_witness(&session.client).await.map_err(unexpected)? {
            return Err(pooled(url));
        }
        session.place = session.find_journal().await?;
        Ok(session)
    }

    /// Whether an address leads to a connection pool, such as PgBouncer, rather than to a session of the server.
    ///
    /// # Errors
    ///
    /// If the server cannot be reached or refuses the user.
    pub async fn is_pooled(url: &PostgresUrl) -> Result<bool, Error> {
        let mut config = url.driver_config();
        let own = config.get_options().unwrap_or_default().to_owned();
        config.options(format!("-c {WITNESS}=1 {own}").trim_end());
        let connecting = config.connect(tls_connector(url)?);
        let connected = tokio::time::timeout(CONNECT_TIMEOUT, connecting);
        let (client, connection) = match connected.await.map_err(|_| silent(url, CONNECT_TIMEOUT))? {
            Ok(connected) => connected,
            Err(error) if takes_no_options(&error) => return Ok(true),
            Err(error) => return Err(connection_error(url, &error)),
        };
        let connection = AbortOnDropHandle::new(tokio::spawn(connection));
        let has_witness = has_witness(&client).await;
        drop(connection);
        has_witness.map(|has_witness| !has_witness).map_err(unexpected)
    }

    async fn find_journal(&self) -> Result<Place, Error> {
        let rows =
            self.rows(&quoting_as_usual(&place::find(self.named.as_deref()))).await.map_err(unexpected)?;
        let here = rows.first().and_then(|row| row.get(0));
        let named = here.filter(|_| self.named.is_some());
        let found: Vec<_> = rows
            .iter()
            .filter_map(|row| {
                Some(Found { schema: row.get(1)?.to_owned(), may_read: row.get(2) == Some("t") })
            })
            .collect();
        place::decide(named, here, self.is_path_set, &found)
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

    fn always_table(&self) -> String {
        self.table().replace(JOURNAL, ALWAYS_JOURNAL)
    }

    fn table(&self) -> String {
        format!("{}.{JOURNAL}", self.place.schema)
    }

    /// Both halves of the lock's key: the product, and the journal that the lock guards. An advisory lock belongs to its
    /// database.
    fn lock_key(&self) -> String {
        format!("{}, hashtext({})", i32::from_be_bytes(*b"onwd"), literal(&self.table()))
    }

    /// Runs a whole query. An error comes with the number of statements that were complete before it.
    async fn run(&self, query: &str) -> Result<(), (usize, tokio_postgres::Error)> {
        self.run_in(query, &mut None).await
    }

    /// As [`Postgres::run`], and keeps the first value of the first row: with [`BEGIN`] the id of the transaction.
    async fn run_in(
        &self,
        query: &str,
        transaction: &mut Option<String>,
    ) -> Result<(), (usize, tokio_postgres::Error)> {
        let mut done = 0;
        let stream = self.client.simple_query_raw(query).await.map_err(|error| (0, error))?;
        let mut stream = pin!(stream);
        while let Some(message) = stream.try_next().await.map_err(|error| (done, error))? {
            match message {
                SimpleQueryMessage::CommandComplete(_) => done += 1,
                SimpleQueryMessage::Row(row) if transaction.is_none() => {
                    *transaction = row.try_get(0).ok().flatten().map(str::to_owned);
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Ends the failed transaction, so that the session can go on, and asks the server what became of it.
    /// <https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-PG-SNAPSHOT>
    async fn roll_back(&self, transaction: Option<&str>) -> TransactionEnd {
        if let Err(error) = self.client.batch_execute("ROLLBACK").await {
            tracing::debug!(%error, "the connection ended before the rollback; the server rolls back");
            return TransactionEnd::Unknown;
        }
        let Some(transaction) = transaction else { return TransactionEnd::Unknown };
        match self.rows(&format!("SELECT txid_status({transaction})")).await {
            Ok(rows) => match rows.first().and_then(|row| row.get(0)) {
                Some("aborted") => TransactionEnd::RolledBack,
                Some("committed") => TransactionEnd::ByScript,
                _ => TransactionEnd::Unknown,
            },
            Err(error) => {
                tracing::debug!(%error, "the server did not say what became of the transaction");
                TransactionEnd::Unknown
            }
        }
    }

    /// Drops what an earlier script has left in the session, so that the next one finds the same as in a run of its own.
    async fn forget(&mut self) -> Result<(), StepError> {
        if std::mem::take(&mut self.is_used) {
            self.run(FORGET).await.map_err(|(_, error)| journal_error(&error))?;
        }
        Ok(())
    }

    async fn invalid_indexes(&self) -> Result<Vec<String>, StepError> {
        let rows = self.rows(&format!("SELECT {INVALID}")).await.map_err(|error| journal_error(&error))?;
        Ok(invalid_index::of_answer(rows.first().and_then(|row| row.get(0))))
    }

    fn insert(&self, step: &Step<'_>, state: RowState, duration_ms: &str) -> String {
        self.journal_sql(&self.table()).insert(step, state, duration_ms)
    }

    fn journal_sql<'a>(&self, table: &'a str) -> JournalSql<'a> {
        JournalSql { table, always: self.always_table(), user: "session_user", literal }
    }
}

/// A query whose names are quoted only where they must be, whatever a role or the database has set: they are compared.
fn quoting_as_usual(query: &str) -> String {
    format!("BEGIN; SET LOCAL quote_all_identifiers = off; {query}; COMMIT")
}

/// The columns of a row.
fn texts(row: &SimpleQueryRow) -> Vec<Option<String>> {
    (0..row.len()).map(|column| row.get(column).map(str::to_owned)).collect()
}

/// Whether the settings of the session's start have reached the server.
async fn has_witness(client: &Client) -> Result<bool, tokio_postgres::Error> {
    let messages = client.simple_query(&format!("SELECT current_setting('{WITNESS}', true)")).await?;
    Ok(messages
        .iter()
        .any(|message| matches!(message, SimpleQueryMessage::Row(row) if row.get(0) == Some("1"))))
}

/// Who brings a TLS configuration does not expect a connection without TLS, which `sslmode=prefer`, the default, allows.
fn require_tls(config: &mut tokio_postgres::Config) -> Result<(), Error> {
    if config.get_ssl_mode() == SslMode::Disable {
        let message = "the address says `sslmode=disable`, but a TLS configuration is given";
        return Err(Error::new(ErrorKind::Configuration, message, "take one of them away"));
    }
    config.ssl_mode(SslMode::Require);
    Ok(())
}

/// libpq would take the user's name as that of the database; and each new database is a copy of `template1`.
/// <https://www.postgresql.org/docs/current/manage-ag-templatedbs.html>
fn require_own_database(url: &PostgresUrl) -> Result<(), Error> {
    let name = url.database().ok_or_else(unnamed)?;
    if !["template0", "template1"].contains(&name) {
        return Ok(());
    }
    let message = format!("the connection leads to `{name}`, of which each new database is a copy");
    Err(Error::new(ErrorKind::Configuration, message, "name the app's database in DATABASE_URL"))
}

/// The first statements of the query that a script runs in.
const BEGIN: &str = "BEGIN; SELECT txid_current();\n";

/// How many they are.
const BEGIN_STATEMENTS: usize = 2;

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
        let (mut took, mut transaction) = (Vec::with_capacity(steps.len()), None);
        let last = steps.len() - 1;
        // The journal rows are written last: between statements that change the catalogs, each would cost several times as much.
        let mut rows = String::new();
        self.forget().await.map_err(|error| (0, error))?;
        for (index, step) in steps.iter().enumerate() {
            let (begin, statements) = if index == 0 { (BEGIN, BEGIN_STATEMENTS) } else { ("", 0) };
            let forget = if std::mem::take(&mut self.is_used) { FORGET } else { "" };
            let reset = reset_after(step.script);
            self.is_used = !reset.is_empty();
            let query = format!("{begin}{forget}{}\n;{reset}", step.script.text());
            rows.push_str(&self.insert(step, RowState::Applied, "NULL"));
            let before = statements + forget.matches(';').count();
            let begun = Instant::now();
            if let Err((done, error)) = self.run_in(&query, &mut transaction).await {
                let end = self.roll_back(transaction.as_deref()).await;
                let prefix = begin.len() + forget.len();
                return Err((index, step_error(step.script, prefix, done.checked_sub(before), &error, end)));
            }
            took.push(begun.elapsed());
        }
        match self.run(&format!("{rows}COMMIT")).await {
            Ok(()) => Ok(took),
            Err((done, error)) => {
                let end = self.roll_back(transaction.as_deref()).await;
                let failed = done.min(last);
                let mut error = step_error(steps[failed].script, rows.len(), None, &error, end);
                if let StepError::Server(server) = &mut error {
                    server.in_journal = done < steps.len();
                    if !server.in_journal {
                        server.context = Some(AT_COMMIT.to_owned());
                    }
                }
                Err((failed, error))
            }
        }
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

impl Postgres {
    /// Whether the database holds anything that a user made and a baseline could meet.
    async fn has_objects(&self) -> Result<bool, Error> {
        let rows =
            self.rows(&quoting_as_usual(&objects::one_of_user(&self.place))).await.map_err(unexpected)?;
        if let Some(row) = rows.first() {
            tracing::debug!(kind = row.get(0), name = row.get(1), "the database is not empty");
        }
        Ok(!rows.is_empty())
    }
}
