//! A temporary database on the private PostgreSQL, or on the SQL Server that `TEST_SQLSERVER_URL` names, or else on the private one.

use std::path::Path;

use onward_local::{PrivatePostgres, PrivateSqlServer};
use onward_migrate::{Applier, DatabaseUrl, DropTarget, MigrateOptions, Migrated, Session, SessionOptions};
use onward_script::{Dialect, History};
use tokio_util::sync::CancellationToken;

use crate::config::database_url::{sql_server_home, start_sql_server};
use crate::process::exit::CommandError;
use crate::upgrade::UpgradeOptions;

/// A database that only this process uses. [`ScratchDatabase::remove`] drops it.
pub(crate) struct ScratchDatabase {
    pub url: DatabaseUrl,
    /// The same with its password.
    pub address: String,
    target: DropTarget,
    /// The server, if it is the private PostgreSQL.
    pub server: Option<PrivatePostgres>,
    _sql_server: Option<PrivateSqlServer>,
}

impl ScratchDatabase {
    /// Creates an empty database whose name begins with `purpose`.
    pub(crate) async fn create(dialect: Dialect, root: &Path, purpose: &str) -> Result<Self, CommandError> {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let name = format!("{purpose}_{}_{}", std::process::id(), now.as_nanos());
        let (address, server, sql_server) = match dialect {
            Dialect::Postgres => {
                let home = root.join(".onward").join("postgres");
                let start = move || PrivatePostgres::start(&home);
                let server = tokio::task::spawn_blocking(start).await.map_err(CommandError::fault)??;
                (server.url(&name), Some(server), None)
            }
            Dialect::SqlServer => match std::env::var("TEST_SQLSERVER_URL") {
                Ok(url) => (url, None, None),
                Err(_) => {
                    let home = sql_server_home(root);
                    let start = move || start_sql_server(&home);
                    let server = tokio::task::spawn_blocking(start).await.map_err(CommandError::fault)?;
                    let server = server.map_err(|error| CommandError {
                        help: format!(
                            "{}; or set TEST_SQLSERVER_URL to the address of a server for tests",
                            error.help
                        ),
                        ..error
                    })?;
                    (server.url(&name), None, Some(server))
                }
            },
        };
        let url = address.parse::<DatabaseUrl>()?.with_database(&name);
        let target = DropTarget { name, is_marked: true };
        onward_migrate::create(&url, &target).await?;
        Ok(Self { url, address, target, server, _sql_server: sql_server })
    }

    /// Its name on the server.
    pub(crate) fn name(&self) -> &str {
        &self.target.name
    }

    /// Applies a history up to script `to`, or all of it.
    pub(crate) async fn apply(
        &self,
        history: &History,
        to: Option<i32>,
        applier: Applier,
    ) -> Result<Migrated, onward_migrate::Error> {
        let options = MigrateOptions {
            to,
            wait: UpgradeOptions::default().wait,
            single_transaction: false,
            applier,
            stop: CancellationToken::new(),
        };
        let mut session = Session::connect(&self.url, &SessionOptions::default()).await?;
        onward_migrate::migrate(&mut session, history, &options, &mut |_| {}).await
    }

    /// Drops the database.
    pub(crate) async fn remove(&self) -> Result<(), onward_migrate::Error> {
        onward_migrate::remove(&self.url, &self.target).await
    }
}
