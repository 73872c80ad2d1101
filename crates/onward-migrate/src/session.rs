use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use onward_script::{Catalog, Dialect};
use tokio::time::Instant;

use crate::engine::{Canceller, Engine, ServerInfo, SessionOptions};
use crate::error::{Error, ErrorKind, StepError};
use crate::journal::{AlwaysRow, JournalEntry, Observed};
use crate::postgres::{Postgres, PostgresUrl};
#[cfg(feature = "sqlserver")]
use crate::sqlserver::{SqlServer, SqlServerUrl};
use crate::step::Step;

/// The longest time between two tries to connect.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// The address of a database, which never shows its password.
///
/// ```
/// use onward_migrate::DatabaseUrl;
///
/// let url: DatabaseUrl = "postgres://app:secret@db.example:5432/shop".parse().unwrap();
/// assert_eq!(url.to_string(), "postgres://app@db.example:5432/shop");
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum DatabaseUrl {
    /// `postgres://…`, or libpq's `key=value` form.
    Postgres(PostgresUrl),
    /// An ADO, JDBC or `sqlserver://` string.
    #[cfg(feature = "sqlserver")]
    SqlServer(SqlServerUrl),
}

impl FromStr for DatabaseUrl {
    type Err = Error;

    fn from_str(url: &str) -> Result<Self, Error> {
        if !is_sql_server(url) {
            return url.parse().map(Self::Postgres);
        }
        #[cfg(feature = "sqlserver")]
        return url.parse().map(Self::SqlServer);
        #[cfg(not(feature = "sqlserver"))]
        Err(Error::new(
            ErrorKind::Configuration,
            "DATABASE_URL is a SQL Server address, and this binary was built without SQL Server",
            "build it with the feature `sqlserver` of `onward`, or use a postgres:// address",
        ))
    }
}

impl DatabaseUrl {
    /// Another database on the same server.
    #[must_use]
    pub fn with_database(&self, name: &str) -> Self {
        match self {
            Self::Postgres(url) => Self::Postgres(url.with_database(name)),
            #[cfg(feature = "sqlserver")]
            Self::SqlServer(url) => Self::SqlServer(url.with_database(name)),
        }
    }

    /// The SQL dialect of the database.
    #[must_use]
    pub const fn dialect(&self) -> Dialect {
        match self {
            Self::Postgres(_) => Dialect::Postgres,
            #[cfg(feature = "sqlserver")]
            Self::SqlServer(_) => Dialect::SqlServer,
        }
    }
}

fn is_sql_server(url: &str) -> bool {
    let url = url.trim_start().to_ascii_lowercase();
    let scheme = ["jdbc:sqlserver:", "sqlserver://", "mssql://"].iter().any(|scheme| url.starts_with(scheme));
    let key = |pair: &str| {
        pair.split_once('=').is_some_and(|(key, _)| ["server", "data source"].contains(&key.trim()))
    };
    scheme || (!url.contains("://") && url.split(';').any(key))
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Postgres(url) => url.fmt(f),
            #[cfg(feature = "sqlserver")]
            Self::SqlServer(url) => url.fmt(f),
        }
    }
}

/// One direct session with a database of either kind.
#[non_exhaustive]
pub enum Session {
    /// PostgreSQL.
    Postgres(Box<Postgres>),
    /// SQL Server.
    #[cfg(feature = "sqlserver")]
    SqlServer(Box<SqlServer>),
}

impl Session {
    /// Connects, and tries again for as long as [`SessionOptions::patience`] says while the server answers that it will accept
    /// connections later.
    ///
    /// # Errors
    ///
    /// If the server cannot be reached, refuses the user, or has no such database.
    pub async fn connect(url: &DatabaseUrl, options: &SessionOptions) -> Result<Self, Error> {
        let deadline = Instant::now() + options.patience;
        let mut pause = match url {
            DatabaseUrl::Postgres(_) => Duration::from_secs(1),
            // Less than five seconds could overwhelm Azure SQL.
            // <https://learn.microsoft.com/azure/azure-sql/database/troubleshoot-common-connectivity-issues#retry-logic-for-transient-errors>
            #[cfg(feature = "sqlserver")]
            DatabaseUrl::SqlServer(_) => Duration::from_secs(5),
        };
        loop {
            match Self::connect_once(url, options).await {
                Err(Error { kind: ErrorKind::Unavailable, message, .. })
                    if Instant::now() + pause < deadline =>
                {
                    tracing::warn!(reason = message, ?pause, "the database accepts no connections yet");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                outcome => return outcome,
            }
        }
    }

    async fn connect_once(url: &DatabaseUrl, options: &SessionOptions) -> Result<Self, Error> {
        match url {
            DatabaseUrl::Postgres(url) => {
                Ok(Self::Postgres(Box::new(Postgres::connect(url, options).await?)))
            }
            #[cfg(feature = "sqlserver")]
            DatabaseUrl::SqlServer(url) => {
                Ok(Self::SqlServer(Box::new(SqlServer::connect(url, options).await?)))
            }
        }
    }
}

macro_rules! either {
    ($session:expr, $engine:ident => $call:expr) => {
        match $session {
            Session::Postgres($engine) => $call,
            #[cfg(feature = "sqlserver")]
            Session::SqlServer($engine) => $call,
        }
    };
}

impl Engine for Session {
    async fn observe(&mut self) -> Result<Observed, Error> {
        either!(self, engine => engine.observe().await)
    }

    async fn journal(&mut self) -> Result<Vec<JournalEntry>, Error> {
        either!(self, engine => engine.journal().await)
    }

    async fn texts(&mut self, query: &str) -> Result<Vec<Vec<Option<String>>>, Error> {
        either!(self, engine => engine.texts(query).await)
    }

    async fn catalog(&mut self, expected: &Catalog) -> Result<Catalog, Error> {
        either!(self, engine => engine.catalog(expected).await)
    }

    async fn try_lock(&mut self) -> Result<Result<(), String>, Error> {
        either!(self, engine => engine.try_lock().await)
    }

    async fn unlock(&mut self) -> Result<(), Error> {
        either!(self, engine => engine.unlock().await)
    }

    async fn create_journal(&mut self) -> Result<(), Error> {
        either!(self, engine => engine.create_journal().await)
    }

    async fn always_rows(&mut self) -> Result<Vec<AlwaysRow>, Error> {
        either!(self, engine => engine.always_rows().await)
    }

    async fn create_always_journal(&mut self) -> Result<(), Error> {
        either!(self, engine => engine.create_always_journal().await)
    }

    async fn apply(&mut self, step: &Step<'_>) -> Result<Duration, StepError> {
        either!(self, engine => engine.apply(step).await)
    }

    async fn apply_alone(&mut self, step: &Step<'_>) -> Result<Duration, StepError> {
        either!(self, engine => engine.apply_alone(step).await)
    }

    async fn apply_together(&mut self, steps: &[Step<'_>]) -> Result<Vec<Duration>, (usize, StepError)> {
        either!(self, engine => engine.apply_together(steps).await)
    }

    async fn record(&mut self, steps: &[Step<'_>]) -> Result<(), Error> {
        either!(self, engine => engine.record(steps).await)
    }

    async fn server_info(&mut self) -> Result<ServerInfo, Error> {
        either!(self, engine => engine.server_info().await)
    }

    fn notices(&mut self) -> Vec<String> {
        either!(self, engine => engine.notices())
    }

    fn canceller(&self) -> Option<Canceller> {
        either!(self, engine => engine.canceller())
    }

    async fn abandon(&mut self) {
        either!(self, engine => engine.abandon().await)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_of_database_is_read_from_the_address() {
        let sql_server = [
            "server=tcp:db.example,1433;database=orders;user=app;password=x",
            "Data Source=db.example;Initial Catalog=orders",
            "jdbc:sqlserver://db.example:1433;database=orders",
            "sqlserver://app:x@db.example/orders",
            "mssql://app:x@db.example/orders",
        ];
        let postgres = [
            "postgres://app:x@db.example/orders",
            "postgresql://app:server=1@db.example/orders",
            "host=db.example user=app",
        ];
        assert!(sql_server.iter().all(|url| is_sql_server(url)));
        assert!(!postgres.iter().any(|url| is_sql_server(url)));
    }
}
