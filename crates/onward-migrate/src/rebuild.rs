use crate::drop_target::DropTarget;
use crate::error::Error;
use crate::postgres::Postgres;
use crate::session::DatabaseUrl;
#[cfg(feature = "sqlserver")]
use crate::sqlserver::SqlServer;

/// Looks at the database before it is dropped.
///
/// # Errors
///
/// If the server cannot be queried.
pub async fn inspect(url: &DatabaseUrl) -> Result<DropTarget, Error> {
    match url {
        DatabaseUrl::Postgres(url) => Postgres::inspect(url).await,
        #[cfg(feature = "sqlserver")]
        DatabaseUrl::SqlServer(url) => SqlServer::inspect(url).await,
    }
}

/// Creates the database, empty, and marks it.
///
/// # Errors
///
/// If the server refuses.
pub async fn create(url: &DatabaseUrl, target: &DropTarget) -> Result<(), Error> {
    match url {
        DatabaseUrl::Postgres(url) => Postgres::create(url, target).await,
        #[cfg(feature = "sqlserver")]
        DatabaseUrl::SqlServer(url) => SqlServer::create(url, target).await,
    }
}

/// Drops the database with everything in it and ends the sessions that use it.
///
/// # Errors
///
/// If the server refuses.
pub async fn remove(url: &DatabaseUrl, target: &DropTarget) -> Result<(), Error> {
    match url {
        DatabaseUrl::Postgres(url) => Postgres::remove(url, target).await,
        #[cfg(feature = "sqlserver")]
        DatabaseUrl::SqlServer(url) => SqlServer::remove(url, target).await,
    }
}
