use crate::drop_target::DropTarget;
use crate::error::Error;
#[cfg(feature = "sqlserver")]
use crate::error::ErrorKind;
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

/// The databases of the server whose names begin with `prefix`.
///
/// # Errors
///
/// If the server cannot be asked.
pub async fn names(url: &DatabaseUrl, prefix: &str) -> Result<Vec<String>, Error> {
    match url {
        DatabaseUrl::Postgres(url) => Postgres::names(url, prefix).await,
        #[cfg(feature = "sqlserver")]
        DatabaseUrl::SqlServer(_) => Err(no_copy()),
    }
}

/// Ends the sessions of others that use the database.
///
/// # Errors
///
/// If the server refuses.
pub async fn end_sessions(url: &DatabaseUrl) -> Result<(), Error> {
    match url {
        DatabaseUrl::Postgres(url) => Postgres::end_sessions(url).await,
        #[cfg(feature = "sqlserver")]
        DatabaseUrl::SqlServer(_) => Err(no_copy()),
    }
}

/// Makes `copy` a copy of the database, and drops what was there under its name. Nobody else may use the database meanwhile.
///
/// # Errors
///
/// If the server refuses, or if it is SQL Server, which has no such copy.
pub async fn copy(url: &DatabaseUrl, copy: &DatabaseUrl) -> Result<(), Error> {
    match (url, copy) {
        (DatabaseUrl::Postgres(url), DatabaseUrl::Postgres(copy)) => Postgres::copy(url, copy).await,
        #[cfg(feature = "sqlserver")]
        _ => Err(no_copy()),
    }
}

/// Puts a copy of `copy` in the place of the database, ends the sessions that use it, and drops it. If this ends half-way, the
/// name leads to the old database or to the new one.
///
/// # Errors
///
/// If the server refuses, or if it is SQL Server, which has no such copy.
pub async fn replace(url: &DatabaseUrl, copy: &DatabaseUrl) -> Result<(), Error> {
    match (url, copy) {
        (DatabaseUrl::Postgres(url), DatabaseUrl::Postgres(copy)) => Postgres::replace(url, copy).await,
        #[cfg(feature = "sqlserver")]
        _ => Err(no_copy()),
    }
}

#[cfg(feature = "sqlserver")]
fn no_copy() -> Error {
    let message = "a SQL Server database cannot be copied by one statement";
    Error::new(ErrorKind::Usage, message, "make it anew with `rebuild`")
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
