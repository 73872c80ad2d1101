//! Databases as a whole: made, copied and dropped from a session beside them.

use tokio_postgres::error::SqlState;

use super::error::unexpected;
use super::quote::{literal, quoted};
use super::{Postgres, PostgresUrl};
use crate::drop_target::{DropTarget, MARK};
use crate::engine::SessionOptions;
use crate::error::{Error, unnamed};

impl Postgres {
    /// A session with another database, because a session cannot drop its own database.
    async fn connect_beside(url: &PostgresUrl) -> Result<(Self, String), Error> {
        let name = url.database().ok_or_else(unnamed)?.to_owned();
        let beside = url.with_database("postgres");
        let options =
            SessionOptions { application_name: "onward rebuild".to_owned(), ..SessionOptions::default() };
        Ok((Self::connect(&beside, &options).await?, name))
    }

    pub(crate) async fn inspect(url: &PostgresUrl) -> Result<DropTarget, Error> {
        let (session, name) = Self::connect_beside(url).await?;
        let query = format!(
            "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = {}",
            literal(&name)
        );
        let rows = session.rows(&query).await.map_err(unexpected)?;
        let is_marked = rows.first().and_then(|row| row.get(0)) == Some(MARK);
        Ok(DropTarget { name, is_marked })
    }

    pub(crate) async fn create(url: &PostgresUrl, target: &DropTarget) -> Result<(), Error> {
        let (session, _) = Self::connect_beside(url).await?;
        let name = quoted(&target.name);
        let comment = format!("COMMENT ON DATABASE {name} IS {}", literal(MARK));
        session.each(&[format!("CREATE DATABASE {name}"), comment]).await
    }

    pub(crate) async fn names(url: &PostgresUrl, prefix: &str) -> Result<Vec<String>, Error> {
        let (session, _) = Self::connect_beside(url).await?;
        let query =
            format!("SELECT datname FROM pg_database WHERE starts_with(datname, {})", literal(prefix));
        let rows = session.rows(&query).await.map_err(unexpected)?;
        Ok(rows.iter().filter_map(|row| row.get(0).map(str::to_owned)).collect())
    }

    pub(crate) async fn end_sessions(url: &PostgresUrl) -> Result<(), Error> {
        let (session, name) = Self::connect_beside(url).await?;
        session.each(&[ending_sessions(&name)]).await
    }

    pub(crate) async fn copy(url: &PostgresUrl, copy: &PostgresUrl) -> Result<(), Error> {
        let (session, name) = Self::connect_beside(url).await?;
        let copy = quoted(copy.database().ok_or_else(unnamed)?);
        session
            .each(&[
                format!("DROP DATABASE IF EXISTS {copy} WITH (FORCE)"),
                format!("CREATE DATABASE {copy} TEMPLATE {}", quoted(&name)),
            ])
            .await
    }

    pub(crate) async fn replace(url: &PostgresUrl, copy: &PostgresUrl) -> Result<(), Error> {
        let (session, name) = Self::connect_beside(url).await?;
        // Only a database that nobody uses can be renamed.
        let end_sessions = ending_sessions(&name);
        let (new, old) = (quoted(&format!("{name}_new")), quoted(&format!("{name}_old")));
        let (name, copy) = (quoted(&name), quoted(copy.database().ok_or_else(unnamed)?));
        session
            .each(&[
                format!("DROP DATABASE IF EXISTS {new} WITH (FORCE)"),
                format!("DROP DATABASE IF EXISTS {old} WITH (FORCE)"),
                format!("CREATE DATABASE {new} TEMPLATE {copy}"),
                end_sessions,
                format!("ALTER DATABASE {name} RENAME TO {old}; ALTER DATABASE {new} RENAME TO {name}"),
                format!("DROP DATABASE {old} WITH (FORCE)"),
            ])
            .await
    }

    /// Runs each text in a transaction of its own: statements that create or drop a database need it.
    async fn each(&self, statements: &[String]) -> Result<(), Error> {
        for statement in statements {
            self.client.batch_execute(statement).await.map_err(unexpected)?;
        }
        Ok(())
    }

    pub(crate) async fn remove(url: &PostgresUrl, target: &DropTarget) -> Result<(), Error> {
        let (session, _) = Self::connect_beside(url).await?;
        let statement = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", quoted(&target.name));
        match session.client.batch_execute(&statement).await {
            // <https://www.postgresql.org/docs/current/sql-dropdatabase.html>: not while it has a subscription.
            Err(error) if error.code() == Some(&SqlState::OBJECT_IN_USE) && target.is_marked => {
                Self::drop_subscriptions(url).await?;
                session.client.batch_execute(&statement).await.map_err(unexpected)
            }
            dropped => dropped.map_err(unexpected),
        }
    }

    /// Drops the subscriptions of a database that only this process uses. The other server is not asked to drop its slots.
    async fn drop_subscriptions(url: &PostgresUrl) -> Result<(), Error> {
        let session = Self::connect(url, &SessionOptions::default()).await?;
        let select = "SELECT quote_ident(subname) FROM pg_subscription WHERE subdbid = \
                      (SELECT oid FROM pg_database WHERE datname = current_database())";
        for row in session.rows(select).await.map_err(unexpected)? {
            let name = row.get(0).unwrap_or_default();
            for statement in [
                format!("ALTER SUBSCRIPTION {name} DISABLE"),
                format!("ALTER SUBSCRIPTION {name} SET (slot_name = NONE)"),
                format!("DROP SUBSCRIPTION {name}"),
            ] {
                session.client.batch_execute(&statement).await.map_err(unexpected)?;
            }
        }
        Ok(())
    }
}

fn ending_sessions(database: &str) -> String {
    format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = {}", literal(database))
}
