//! One transaction for a handler's work, the record that the message is handled, and the messages that the handler sends.

pub(crate) mod guard;
pub(crate) mod inbox;
pub(crate) mod postgres;
mod slot;
#[cfg(feature = "sqlserver")]
pub(crate) mod sqlserver;

#[cfg(feature = "local")]
use crate::database::{Database, Pools};

/// Whether the inbox has a message. An app without the table has no inbox.
#[cfg(feature = "local")]
pub(crate) async fn is_recorded(database: &Database, queue: &str, id: &str) -> Result<bool, String> {
    match database.pools() {
        Pools::Postgres(pool, _) => postgres::is_recorded(pool, queue, id).await,
        #[cfg(feature = "sqlserver")]
        Pools::SqlServer(pool) => sqlserver::is_recorded(pool, queue, id).await,
    }
}
