//! Databases as a whole: made and dropped from a session beside them.

use super::error::{IN_USE, unexpected};
use super::session::{SqlServer, open};
use super::url::SqlServerUrl;
use super::value::{literal, text};
use crate::drop_target::{DropTarget, MARK};
use crate::engine::SessionOptions;
use crate::error::{Error, unnamed};

/// The database from which other databases are created and dropped.
const MASTER: &str = "master";

impl SqlServer {
    pub(crate) async fn inspect(url: &SqlServerUrl) -> Result<DropTarget, Error> {
        let mut session = Self::connect(url, &SessionOptions::default()).await?;
        let batch = format!(
            "SELECT DB_NAME(), CASE WHEN EXISTS (SELECT 1 FROM sys.extended_properties WHERE class = 0 AND name = {}) \
             THEN N'marked' END",
            literal(MARK)
        );
        let rows = session.rows(&batch).await.map_err(unexpected)?;
        let row = rows.first().ok_or_else(unnamed)?;
        let name = text(row, 0).ok_or_else(unnamed)?.to_owned();
        Ok(DropTarget { name, is_marked: text(row, 1).is_some() })
    }

    pub(crate) async fn create(url: &SqlServerUrl, target: &DropTarget) -> Result<(), Error> {
        let name = bracketed(&target.name);
        let create = format!("CREATE DATABASE {name}");
        let mark = format!("EXEC sys.sp_addextendedproperty @name = {}", literal(MARK));
        Self::run_in(url, MASTER, &create).await.map_err(unexpected)?;
        // From inside the database, because Azure SQL Database does not allow access from one database to another.
        Self::run_in(url, &target.name, &mark).await.map_err(unexpected)
    }

    pub(crate) async fn remove(url: &SqlServerUrl, target: &DropTarget) -> Result<(), Error> {
        let name = bracketed(&target.name);
        let drop = format!("DROP DATABASE {name}");
        // Open sessions prevent the drop, so the engine ends them, but only if there are any.
        let alone = format!("ALTER DATABASE {name} SET SINGLE_USER WITH ROLLBACK IMMEDIATE");
        match Self::run_in(url, MASTER, &drop).await {
            Err(tiberius::error::Error::Server(error)) if error.code() == IN_USE => {
                Self::run_in(url, MASTER, &alone).await.map_err(unexpected)?;
                Self::run_in(url, MASTER, &drop).await.map_err(unexpected)
            }
            outcome => outcome.map_err(unexpected),
        }
    }

    async fn run_in(
        url: &SqlServerUrl,
        database: &str,
        statement: &str,
    ) -> Result<(), tiberius::error::Error> {
        let mut config = url.driver_config();
        config.database(database);
        config.command_timeout(None);
        open(config).await?.simple_query(statement).await?.into_results().await.map(|_| ())
    }
}

fn bracketed(name: &str) -> String {
    format!("[{}]", name.replace(']', "]]"))
}
