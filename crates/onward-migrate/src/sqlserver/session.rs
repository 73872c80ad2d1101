//! A session with a SQL Server: how it is opened, what it runs, and where its journal is.

use std::time::Duration;

use futures_util::TryStreamExt as _;
use tiberius::{Client, Config, Row};
use tokio::net::TcpStream;
use tokio_util::compat::{Compat, TokioAsyncWriteCompatExt as _};

use super::error::{connection_error, unexpected};
use super::prints::{GREETING, Prints};
use super::url::SqlServerUrl;
use super::value::{literal, text};
use crate::engine::SessionOptions;
use crate::error::{Error, ErrorKind};
use crate::journal::{ALWAYS_JOURNAL, JOURNAL, RowState};
use crate::journal_sql::JournalSql;
use crate::step::Step;

/// The driver's connection.
pub type TdsClient = Client<Compat<TcpStream>>;

/// One direct session with a SQL Server, without a connection pool.
pub struct SqlServer {
    pub(super) client: TdsClient,
    pub(super) prints: Prints,
    lock_timeout_ms: i64,
    /// The schema that unqualified names are created in, quoted for SQL.
    pub(super) schema: String,
    database: String,
    /// An SQL expression: whether the session now acts as another user.
    pub(super) acts_as_another: String,
}

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
    pub(super) async fn rows(&mut self, batch: &str) -> Result<Vec<Row>, tiberius::error::Error> {
        let run = async {
            let results = self.client.simple_query(batch).await?.into_results().await?;
            Ok(results.into_iter().rev().find(|rows| !rows.is_empty()).unwrap_or_default())
        };
        self.prints.heard(run).await
    }

    /// Runs one batch of a script, reads all of its results, and drops the rows.
    pub(super) async fn drain(&mut self, batch: &str) -> Result<(), tiberius::error::Error> {
        let run = async {
            let mut results = self.client.simple_query(batch).await?;
            while results.try_next().await?.is_some() {}
            Ok(())
        };
        self.prints.heard(run).await
    }

    pub(super) fn always_table(&self) -> String {
        self.table().replace(JOURNAL, ALWAYS_JOURNAL)
    }

    pub(super) fn table(&self) -> String {
        format!("{}.{JOURNAL}", self.schema)
    }

    /// The resource of `sp_getapplock`; another database or schema has another resource.
    pub(super) fn lock(&self) -> String {
        literal(&format!("onward:{}", self.schema.trim_matches(['[', ']'])))
    }

    /// Resets what a script may have changed in the session.
    /// <https://learn.microsoft.com/sql/t-sql/statements/set-statements-transact-sql>
    pub(super) fn reset(&self) -> String {
        format!(
            "SET NOEXEC OFF; SET PARSEONLY OFF; SET FMTONLY OFF; SET IMPLICIT_TRANSACTIONS OFF; SET ROWCOUNT 0; \
             SET QUOTED_IDENTIFIER ON; SET ANSI_NULLS ON; SET ANSI_PADDING ON; SET ANSI_WARNINGS ON; \
             SET ARITHABORT ON; SET CONCAT_NULL_YIELDS_NULL ON; SET NUMERIC_ROUNDABORT OFF; SET NOCOUNT OFF; \
             SET TRANSACTION ISOLATION LEVEL READ COMMITTED; SET LOCK_TIMEOUT {}; SET XACT_ABORT ON;",
            self.lock_timeout_ms
        )
    }

    pub(super) fn insert(&self, step: &Step<'_>, state: RowState, took: Option<Duration>) -> String {
        let duration_ms = took.map_or("NULL".to_owned(), |took| took.as_millis().to_string());
        self.journal_sql(&self.table()).insert(step, state, &duration_ms)
    }

    pub(super) fn journal_sql<'a>(&self, table: &'a str) -> JournalSql<'a> {
        JournalSql { table, always: self.always_table(), user: "SUSER_SNAME()", literal }
    }
}

pub(super) async fn open(mut config: Config) -> Result<TdsClient, tiberius::error::Error> {
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
