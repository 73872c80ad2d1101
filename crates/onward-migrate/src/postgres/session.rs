//! A session with a PostgreSQL server: how it is opened, what it runs, and where its journal is.

use std::pin::Pin;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use futures_util::future::poll_fn;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_postgres::config::SslMode;
use tokio_postgres::{AsyncMessage, Client, SimpleQueryMessage, SimpleQueryRow, SimpleQueryStream};
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_util::task::AbortOnDropHandle;

use super::error::{connection_error, journal_error, pooled, silent, takes_no_options, unexpected};
use super::invalid_index::{self, INVALID};
use super::objects;
use super::place::{self, Found, Place};
use super::quote::literal;
use super::script::{FORGET, WITNESS, startup};
use super::tls::tls_connector;
use super::url::PostgresUrl;
use crate::engine::SessionOptions;
use crate::error::{Error, ErrorKind, StepError, TransactionEnd, unnamed};
use crate::journal::{ALWAYS_JOURNAL, JOURNAL, RowState};
use crate::journal_sql::JournalSql;
use crate::step::Step;

/// One direct session with a PostgreSQL server, without a connection pool.
pub struct Postgres {
    pub(super) client: Client,
    /// For the second connection, which cancels a statement.
    pub(super) tls: MakeRustlsConnect,
    connection: JoinHandle<()>,
    pub(super) notices: mpsc::UnboundedReceiver<String>,
    /// The schema that the options name for the journal.
    named: Option<String>,
    /// Whether the address sets `search_path`.
    is_path_set: bool,
    /// Where the journal is, or will be.
    pub(super) place: Place,
    /// Whether this session has the migration lock, which belongs to the place.
    pub(super) is_locked: bool,
    /// Whether a script may have left something in the session.
    pub(super) is_used: bool,
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

    pub(super) async fn find_journal(&self) -> Result<Place, Error> {
        let rows =
            self.rows(&quoting_as_usual(&place::find(self.named.as_deref()))).await.map_err(unexpected)?;
        let here = rows.first().and_then(|row| row.get(0));
        if let (Some(named), None) = (&self.named, here) {
            return Err(place::missing(named));
        }
        let named = here.filter(|_| self.named.is_some());
        let found: Vec<_> = rows
            .iter()
            .filter_map(|row| {
                Some(Found { schema: row.get(1)?.to_owned(), may_read: row.get(2) == Some("t") })
            })
            .collect();
        place::decide(named, here, self.is_path_set, &found)
    }

    pub(super) async fn rows(&self, query: &str) -> Result<Vec<SimpleQueryRow>, tokio_postgres::Error> {
        let messages = self.client.simple_query(query).await?;
        Ok(messages
            .into_iter()
            .filter_map(|message| match message {
                SimpleQueryMessage::Row(row) => Some(row),
                _ => None,
            })
            .collect())
    }

    /// Whether the database holds anything that a user made and a baseline could meet.
    pub(super) async fn has_objects(&self) -> Result<bool, Error> {
        let rows =
            self.rows(&quoting_as_usual(&objects::one_of_user(&self.place))).await.map_err(unexpected)?;
        if let Some(row) = rows.first() {
            tracing::debug!(kind = row.get(0), name = row.get(1), "the database is not empty");
        }
        Ok(!rows.is_empty())
    }

    pub(super) fn always_table(&self) -> String {
        self.table().replace(JOURNAL, ALWAYS_JOURNAL)
    }

    pub(super) fn table(&self) -> String {
        format!("{}.{JOURNAL}", self.place.schema)
    }

    /// Both halves of the lock's key: the product, and the journal that the lock guards. An advisory lock belongs to its
    /// database.
    pub(super) fn lock_key(&self) -> String {
        format!("{}, hashtext({})", i32::from_be_bytes(*b"onwd"), literal(&self.table()))
    }

    /// Runs a whole query. An error comes with the number of statements that were complete before it.
    pub(super) async fn run(&self, query: &str) -> Result<(), (usize, tokio_postgres::Error)> {
        self.run_in(query, &mut None).await
    }

    /// As [`Postgres::run`], and keeps the first value of the first row: with [`BEGIN`] the id of the transaction.
    pub(super) async fn run_in(
        &self,
        query: &str,
        transaction: &mut Option<String>,
    ) -> Result<(), (usize, tokio_postgres::Error)> {
        self.send(query).await.end(transaction).await
    }

    /// Sends a whole query, which the server runs after those that were sent before it.
    pub(super) async fn send(&self, query: &str) -> Answers {
        Answers(self.client.simple_query_raw(query).await.map(Box::pin))
    }

    /// Ends the failed transaction, so that the session can go on, and asks the server what became of it. `transaction` is the id that
    /// [`BEGIN`] has answered.
    /// <https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-PG-SNAPSHOT>
    pub(super) async fn roll_back(&self, transaction: Option<&str>) -> TransactionEnd {
        if let Err(error) = self.client.batch_execute("ROLLBACK").await {
            tracing::debug!(%error, "the connection ended before the rollback; the server rolls back");
            return TransactionEnd::Unknown;
        }
        // The server stops at the first error of a query. Without an id it did not come to the script: it could not read the query, or it
        // refused to begin.
        let Some(transaction) = transaction else { return TransactionEnd::RolledBack };
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
    pub(super) async fn forget(&mut self) -> Result<(), StepError> {
        if std::mem::take(&mut self.is_used) {
            self.run(FORGET).await.map_err(|(_, error)| journal_error(&error))?;
        }
        Ok(())
    }

    pub(super) async fn invalid_indexes(&self) -> Result<Vec<String>, StepError> {
        let rows = self.rows(&format!("SELECT {INVALID}")).await.map_err(|error| journal_error(&error))?;
        Ok(invalid_index::of_answer(rows.first().and_then(|row| row.get(0))))
    }

    pub(super) fn insert(&self, step: &Step<'_>, state: RowState, duration_ms: &str) -> String {
        self.journal_sql(&self.table()).insert(step, state, duration_ms)
    }

    pub(super) fn journal_sql<'a>(&self, table: &'a str) -> JournalSql<'a> {
        JournalSql { table, always: self.always_table(), user: "session_user", literal }
    }
}

/// What the server has answered, and will answer, to a query that was sent.
pub(super) struct Answers(Result<Pin<Box<SimpleQueryStream>>, tokio_postgres::Error>);

impl Answers {
    /// Waits for the end of the query. An error comes with the number of statements that were complete before it. `transaction` becomes
    /// the first value of the first row, unless it has one.
    pub(super) async fn end(
        self,
        transaction: &mut Option<String>,
    ) -> Result<(), (usize, tokio_postgres::Error)> {
        let (mut done, mut answers) = (0, self.0.map_err(|error| (0, error))?);
        while let Some(message) = answers.try_next().await.map_err(|error| (done, error))? {
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
}

/// A query whose names are quoted only where they must be, whatever a role or the database has set: they are compared.
fn quoting_as_usual(query: &str) -> String {
    format!("BEGIN; SET LOCAL quote_all_identifiers = off; {query}; COMMIT")
}

/// The columns of a row.
pub(super) fn texts(row: &SimpleQueryRow) -> Vec<Option<String>> {
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
