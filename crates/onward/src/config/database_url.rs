#[cfg(feature = "local")]
use std::path::{Path, PathBuf};

#[cfg(feature = "local")]
use onward_local::PrivateSqlServer;
use onward_migrate::DatabaseUrl;
use onward_script::Dialect;

use crate::config::context::Context;
use crate::config::settings::{AppEnv, Settings};
use crate::process::exit::{CommandError, Exit};
#[cfg(feature = "local")]
use crate::process::terminal::{ask, note};

/// The database that the app uses, with the private server that must run as long as the app.
pub(crate) struct ResolvedDatabase {
    pub url: DatabaseUrl,
    /// The command with which a person looks into it, if it is the private one.
    pub client: Option<String>,
    #[cfg(feature = "local")]
    _private: Option<PrivateServer>,
}

/// A server that must run as long as the app.
#[cfg(feature = "local")]
#[derive(Debug)]
#[expect(dead_code, reason = "to drop it stops the server")]
enum PrivateServer {
    Postgres(onward_local::PrivatePostgres),
    SqlServer(onward_local::PrivateSqlServer),
}

impl ResolvedDatabase {
    /// Returns the configured database. In development without one, it starts the private database.
    pub(crate) async fn resolve(context: &Context) -> Result<Self, CommandError> {
        let (settings, dialect) = (&context.settings, context.history.dialect);
        if let Some(url) = &settings.database_url {
            let url: DatabaseUrl = url.parse()?;
            if url.dialect() != dialect {
                let message =
                    format!("the scripts are written for {}, but DATABASE_URL is {url}", name(dialect));
                return Err(CommandError::new(
                    Exit::Configuration,
                    message,
                    format!("set it to {}", form(dialect)),
                ));
            }
            return Ok(Self {
                url,
                client: None,
                #[cfg(feature = "local")]
                _private: None,
            });
        }
        #[cfg(feature = "local")]
        if settings.env == AppEnv::Development {
            return match dialect {
                Dialect::Postgres => Self::private(settings).await,
                Dialect::SqlServer => Self::private_sql_server(settings).await,
            };
        }
        Err(not_set(settings, "DATABASE_URL", form(dialect)))
    }

    /// Whether it is the private one.
    #[cfg(feature = "local")]
    pub(crate) fn is_private(&self) -> bool {
        self.client.is_some()
    }

    #[cfg(feature = "local")]
    async fn private(settings: &Settings) -> Result<Self, CommandError> {
        let home = settings.project.join(".onward").join("postgres");
        let start = move || onward_local::PrivatePostgres::start(&home);
        let private = tokio::task::spawn_blocking(start).await.map_err(CommandError::fault)??;
        let url: DatabaseUrl = private.url("app").parse()?;
        let client = format!("PGPASSFILE={} psql {url}", private.passfile().display());
        Ok(Self { url, client: Some(client), _private: Some(PrivateServer::Postgres(private)) })
    }

    #[cfg(feature = "local")]
    async fn private_sql_server(settings: &Settings) -> Result<Self, CommandError> {
        let home = sql_server_home(&settings.project);
        let start = move || start_sql_server(&home);
        let private = tokio::task::spawn_blocking(start).await.map_err(CommandError::fault)??;
        let url: DatabaseUrl = private.url("app").parse()?;
        Ok(Self { url, client: Some(private.client()), _private: Some(PrivateServer::SqlServer(private)) })
    }
}

/// The folder of the private SQL Server of a project.
#[cfg(feature = "local")]
pub(crate) fn sql_server_home(project: &Path) -> PathBuf {
    project.join(".onward").join("sqlserver")
}

/// Starts the private SQL Server, and asks once for its licence.
#[cfg(feature = "local")]
pub(crate) fn start_sql_server(home: &Path) -> Result<PrivateSqlServer, CommandError> {
    PrivateSqlServer::is_possible()?;
    if !PrivateSqlServer::has_licence(home) {
        let question = format!(
            "the private SQL Server is the Developer edition, for development and tests only; do you accept its licence, {}? [y/N] ",
            PrivateSqlServer::LICENCE
        );
        let accepts = std::env::var("ACCEPT_EULA").is_ok_and(|said| said.eq_ignore_ascii_case("y"));
        if !accepts && ask(&question)? != Some(true) {
            let message = format!("the licence of SQL Server is not accepted: {}", PrivateSqlServer::LICENCE);
            let help = "read it and set ACCEPT_EULA=Y once, or set DATABASE_URL to a SQL Server of your own";
            return Err(CommandError::new(Exit::Configuration, message, help));
        }
        PrivateSqlServer::accept_licence(home)?;
    }
    note("starting a private SQL Server; the first time its image is downloaded, about 1.5 GB");
    Ok(PrivateSqlServer::start(home)?)
}

const fn name(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Postgres => "PostgreSQL",
        Dialect::SqlServer => "SQL Server",
    }
}

const fn form(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Postgres => "postgres://USER:PASSWORD@HOST:5432/NAME",
        Dialect::SqlServer => "server=tcp:HOST,1433;database=NAME;user=USER;password=PASSWORD",
    }
}

/// The error for a required variable that is not set.
pub(crate) fn not_set(settings: &Settings, name: &str, form: &str) -> CommandError {
    let help = match settings.env {
        AppEnv::Production => format!("set it to {form}"),
        AppEnv::Development => {
            format!("set it to {form}; only a build with the feature `local` starts a private one")
        }
    };
    CommandError::new(Exit::Configuration, format!("{name} is not set"), help)
}
