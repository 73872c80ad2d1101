pub(crate) mod begin;
pub(crate) mod errors;
pub(crate) mod read;

use std::fmt::{self, Display, Formatter};
use std::sync::Arc;
use std::time::Duration;

use deadpool::Runtime;
use deadpool::managed::{self, Object, PoolBuilder, PoolError, TimeoutType};
use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod};
use onward_migrate::{DatabaseUrl, PostgresUrl, tls_connector};
use tokio::sync::Notify;

use self::begin::Begin;
use crate::config::destinations::Destinations;
use crate::options::AppOptions;
use crate::process::exit::{CommandError, Exit};

/// How long a handler waits for a connection before its attempt fails.
const PATIENCE: Duration = Duration::from_secs(10);

/// How many connections the pool of so many handlers may open, where the app does not say it: one for the transaction of each, and some
/// more for the handlers that ask the pool for another one meanwhile. Without these, handlers that each hold one connection would wait
/// for each other.
pub(crate) fn pool_size(options: &AppOptions, handlers: usize) -> usize {
    match options.connections {
        0 => handlers + handlers.min(16),
        most => most,
    }
}

/// A pool of PostgreSQL connections for handlers.
pub type PgPool = Pool;

/// A pool of SQL Server connections for handlers.
#[cfg(feature = "sqlserver")]
pub type MssqlPool = deadpool::managed::Pool<MssqlManager>;

/// The database of an app, as its set-up gets it. The pool opens a connection only when a handler needs one.
///
/// ```
/// use onward::{PgPool, Setup};
///
/// async fn setup(setup: Setup) -> Result<PgPool, Box<dyn std::error::Error + Send + Sync>> {
///     Ok(setup.database.postgres()?)
/// }
/// ```
#[derive(Debug, Clone)]
pub struct Database {
    pools: Pools,
    /// Notified when a handler has committed messages to the outbox.
    pub(crate) wake: Arc<Notify>,
    /// Where handlers may send in their transactions.
    pub(crate) destinations: Destinations,
}

/// The pool of one of the two databases.
#[derive(Debug, Clone)]
pub(crate) enum Pools {
    Postgres(PgPool, Begin),
    #[cfg(feature = "sqlserver")]
    SqlServer(MssqlPool),
}

/// The app asks for the pool of another kind of database than it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OtherDatabase {
    requested: &'static str,
}

impl Display for OtherDatabase {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "DATABASE_URL is not {}, but this app needs one", self.requested)
    }
}

impl std::error::Error for OtherDatabase {}

impl Database {
    /// The pool, if the database is SQL Server.
    ///
    /// # Errors
    ///
    /// If it is another kind of database.
    #[cfg(feature = "sqlserver")]
    pub fn sql_server(&self) -> Result<MssqlPool, OtherDatabase> {
        match &self.pools {
            Pools::SqlServer(pool) => Ok(pool.clone()),
            Pools::Postgres(..) => Err(OtherDatabase { requested: "a SQL Server address" }),
        }
    }

    /// The pool of PostgreSQL, and how a transaction begins on its connections.
    pub(crate) fn for_transactions(&self) -> Result<(&PgPool, &Begin), OtherDatabase> {
        match &self.pools {
            Pools::Postgres(pool, begin) => Ok((pool, begin)),
            #[cfg(feature = "sqlserver")]
            Pools::SqlServer(_) => Err(OtherDatabase { requested: "a PostgreSQL address" }),
        }
    }

    /// The pool, if the database is PostgreSQL.
    ///
    /// # Errors
    ///
    /// If it is another kind of database.
    pub fn postgres(&self) -> Result<PgPool, OtherDatabase> {
        self.for_transactions().map(|(pool, _)| pool.clone())
    }

    pub(crate) const fn pools(&self) -> &Pools {
        &self.pools
    }

    /// The pool for as many handlers, not yet connected.
    pub(crate) fn open(
        url: &DatabaseUrl,
        app: &str,
        options: &AppOptions,
        handlers: usize,
    ) -> Result<Self, CommandError> {
        let size = pool_size(options, handlers);
        let pools = match url {
            DatabaseUrl::Postgres(url) => {
                Pools::Postgres(postgres(url, app, options, size)?, Begin::new(url.clone()))
            }
            #[cfg(feature = "sqlserver")]
            DatabaseUrl::SqlServer(_) if !options.statement_timeout.is_zero() => {
                let help = "unset STATEMENT_TIMEOUT, and limit the time of a handler with HANDLER_TIMEOUT";
                return Err(CommandError::new(
                    Exit::Configuration,
                    "SQL Server has no limit for the time of a statement",
                    help,
                ));
            }
            #[cfg(feature = "sqlserver")]
            DatabaseUrl::SqlServer(url) => {
                let manager = MssqlManager { url: url.clone(), app: app.to_owned() };
                Pools::SqlServer(build(MssqlPool::builder(manager), size)?)
            }
            other => {
                let message =
                    format!("{other} cannot be used: `onward` was built without this kind of database");
                let help = "build it with the feature `sqlserver` of `onward`";
                return Err(CommandError::new(Exit::Configuration, message, help));
            }
        };
        Ok(Self { pools, wake: Arc::default(), destinations: Destinations::default() })
    }

    /// The same, for handlers that may send to these queues.
    pub(crate) fn sending_to(self, destinations: Destinations) -> Self {
        Self { destinations, ..self }
    }
}

fn postgres(url: &PostgresUrl, app: &str, options: &AppOptions, size: usize) -> Result<PgPool, CommandError> {
    let mut config = url.driver_config();
    config.application_name(app);
    if !options.statement_timeout.is_zero() {
        let of_url = config.get_options().unwrap_or_default();
        let all = format!("{of_url} -c statement_timeout={}", options.statement_timeout.as_millis());
        config.options(all.trim_start());
    }
    let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    let manager = Manager::from_config(config, tls_connector(url)?, recycling);
    build(Pool::builder(manager), size)
}

fn build<M: managed::Manager>(
    pool: PoolBuilder<M, Object<M>>,
    size: usize,
) -> Result<managed::Pool<M>, CommandError> {
    let pool = pool.max_size(size).runtime(Runtime::Tokio1);
    let pool =
        pool.wait_timeout(Some(PATIENCE)).create_timeout(Some(PATIENCE)).recycle_timeout(Some(PATIENCE));
    pool.build().map_err(CommandError::fault)
}

/// Takes a connection from the pool.
pub(crate) async fn connection<M: managed::Manager>(
    pool: &managed::Pool<M>,
) -> Result<Object<M>, NoConnection<M::Error>> {
    // In a box, because each call of a caller would hold the opening of a connection, which is large.
    Box::pin(pool.get()).await.map_err(|error| NoConnection { most: pool.status().max_size, error })
}

/// The pool gives no connection.
#[derive(Debug)]
pub(crate) struct NoConnection<E> {
    most: usize,
    error: PoolError<E>,
}

impl<E> Display for NoConnection<E> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.error {
            PoolError::Timeout(TimeoutType::Wait) => write!(
                f,
                "all {} connections of the pool are in use, and none became free within {PATIENCE:?}: run the \
                 statements of a handler in one connection, or lower `concurrency`",
                self.most
            ),
            PoolError::Timeout(_) => write!(f, "the database did not answer within {PATIENCE:?}"),
            _ => f.write_str("the database gives no connection"),
        }
    }
}

impl<E: std::error::Error + 'static> std::error::Error for NoConnection<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.error {
            PoolError::Timeout(_) => None,
            PoolError::Backend(error) => Some(error),
            error => Some(error),
        }
    }
}

/// Opens SQL Server connections for a pool.
#[cfg(feature = "sqlserver")]
#[derive(Debug)]
pub struct MssqlManager {
    url: onward_migrate::SqlServerUrl,
    app: String,
}

#[cfg(feature = "sqlserver")]
impl deadpool::managed::Manager for MssqlManager {
    type Type = onward_migrate::TdsClient;
    type Error = onward_migrate::Error;

    async fn create(&self) -> Result<Self::Type, Self::Error> {
        onward_migrate::SqlServer::open(&self.url, &self.app).await
    }

    /// Tests a connection before the pool hands it out again, because one whose last answer was not read completely cannot
    /// be used.
    async fn recycle(
        &self,
        client: &mut Self::Type,
        _: &deadpool::managed::Metrics,
    ) -> deadpool::managed::RecycleResult<Self::Error> {
        onward_migrate::SqlServer::is_alive(client).await.map_err(deadpool::managed::RecycleError::Backend)
    }
}

/// Runs a batch and reads all of its results, because an error may follow the rows.
#[cfg(feature = "sqlserver")]
pub(crate) async fn run_batch(
    client: &mut onward_migrate::TdsClient,
    batch: &str,
) -> Result<(), tiberius::error::Error> {
    client.simple_query(batch).await?.into_results().await.map(|_| ())
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use deadpool::managed::{Metrics, RecycleResult};

    use super::*;

    #[derive(Debug)]
    struct Units;

    impl managed::Manager for Units {
        type Type = ();
        type Error = Infallible;

        async fn create(&self) -> Result<(), Infallible> {
            Ok(())
        }

        async fn recycle(&self, (): &mut (), _: &Metrics) -> RecycleResult<Infallible> {
            Ok(())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_handler_does_not_wait_for_a_connection_for_ever() {
        let pool = build(managed::Pool::builder(Units), 2).expect("has a runtime");
        let _held = (connection(&pool).await.expect("is free"), connection(&pool).await.expect("is free"));
        let began = tokio::time::Instant::now();
        let error = connection(&pool).await.expect_err("all are in use");
        assert_eq!(began.elapsed(), PATIENCE);
        assert!(error.to_string().contains("all 2 connections of the pool are in use"), "{error}");
    }

    #[test]
    fn handlers_that_hold_a_transaction_leave_connections_to_the_pool() {
        let options = AppOptions::default();
        assert_eq!([1, 4, 16, 200].map(|handlers| pool_size(&options, handlers)), [2, 8, 32, 216]);
        assert_eq!(pool_size(&AppOptions { connections: 3, ..options }, 200), 3);
    }
}
