use crate::error::{Error, ErrorKind};
use crate::postgres::Postgres;
use crate::session::DatabaseUrl;
#[cfg(feature = "sqlserver")]
use crate::sqlserver::SqlServer;

/// What a database that was made by a rebuild says of itself, so that it may be rebuilt again without being asked.
pub(crate) const MARK: &str = "onward: development database";

/// A database that somebody wants to drop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doomed {
    /// Its name.
    pub name: String,
    /// Whether it says of itself that it is for development.
    pub is_marked: bool,
}

/// Looks at the database before it is dropped.
///
/// # Errors
///
/// If the server cannot be asked.
pub async fn inspect(url: &DatabaseUrl) -> Result<Doomed, Error> {
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
pub async fn create(url: &DatabaseUrl, doomed: &Doomed) -> Result<(), Error> {
    match url {
        DatabaseUrl::Postgres(url) => Postgres::create(url, doomed).await,
        #[cfg(feature = "sqlserver")]
        DatabaseUrl::SqlServer(url) => SqlServer::create(url, doomed).await,
    }
}

/// Drops the database with everything in it and ends the sessions that use it.
///
/// # Errors
///
/// If the server refuses.
pub async fn remove(url: &DatabaseUrl, doomed: &Doomed) -> Result<(), Error> {
    match url {
        DatabaseUrl::Postgres(url) => Postgres::remove(url, doomed).await,
        #[cfg(feature = "sqlserver")]
        DatabaseUrl::SqlServer(url) => SqlServer::remove(url, doomed).await,
    }
}

pub(crate) fn unnamed() -> Error {
    let help = "name the database in DATABASE_URL";
    Error::new(ErrorKind::Configuration, "DATABASE_URL names no database", help)
}
