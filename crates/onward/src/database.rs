use std::sync::Arc;

use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod};
use onward_migrate::{DatabaseUrl, PostgresUrl, tls_connector};
use tokio::sync::Notify;

use crate::process::exit::{CommandError, Exit};

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
}

/// The pool of one of the two databases.
#[derive(Debug, Clone)]
pub(crate) enum Pools {
    Postgres(PgPool),
    #[cfg(feature = "sqlserver")]
    SqlServer(MssqlPool),
}

/// The app asks for the pool of another kind of database than it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OtherDatabase {
    requested: &'static str,
}

impl std::fmt::Display for OtherDatabase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DATABASE_URL is not {}, but this app needs one", self.requested)
    }
}

impl std::error::Error for OtherDatabase {}

impl Database {
    /// The pool, if the database is PostgreSQL.
    ///
    /// # Errors
    ///
    /// If it is another kind of database.
    pub fn postgres(&self) -> Result<PgPool, OtherDatabase> {
        match &self.pools {
            Pools::Postgres(pool) => Ok(pool.clone()),
            #[cfg(feature = "sqlserver")]
            Pools::SqlServer(_) => Err(OtherDatabase { requested: "a PostgreSQL address" }),
        }
    }

    /// The pool, if the database is SQL Server.
    ///
    /// # Errors
    ///
    /// If it is another kind of database.
    #[cfg(feature = "sqlserver")]
    pub fn sql_server(&self) -> Result<MssqlPool, OtherDatabase> {
        match &self.pools {
            Pools::SqlServer(pool) => Ok(pool.clone()),
            Pools::Postgres(_) => Err(OtherDatabase { requested: "a SQL Server address" }),
        }
    }

    pub(crate) const fn pools(&self) -> &Pools {
        &self.pools
    }

    pub(crate) fn open(url: &DatabaseUrl, app: &str, size: usize) -> Result<Self, CommandError> {
        let pools = match url {
            DatabaseUrl::Postgres(url) => Pools::Postgres(postgres(url, app, size)?),
            #[cfg(feature = "sqlserver")]
            DatabaseUrl::SqlServer(url) => {
                let manager = MssqlManager { url: url.clone(), app: app.to_owned() };
                let pool = MssqlPool::builder(manager).max_size(size).build().map_err(CommandError::fault)?;
                Pools::SqlServer(pool)
            }
            other => {
                let message =
                    format!("{other} cannot be used: `onward` was built without this kind of database");
                let help = "build it with the feature `sqlserver` of `onward`";
                return Err(CommandError::new(Exit::Configuration, message, help));
            }
        };
        Ok(Self { pools, wake: Arc::default() })
    }
}

fn postgres(url: &PostgresUrl, app: &str, size: usize) -> Result<PgPool, CommandError> {
    let mut config = url.driver_config();
    config.application_name(app);
    let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    let manager = Manager::from_config(config, tls_connector(url)?, recycling);
    Pool::builder(manager).max_size(size).build().map_err(CommandError::fault)
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
