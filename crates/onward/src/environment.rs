//! Which database and which queue: the configured ones or, in development, private ones.

use onward_migrate::PostgresUrl;

use crate::exit::{Exit, Failed};
use crate::settings::{AppEnv, Settings};

/// The database, and what has to live as long as it is used.
pub(crate) struct Database {
    pub url: PostgresUrl,
    /// How a person opens it, where it is the private one.
    pub psql: Option<String>,
    #[cfg(feature = "local")]
    _private: Option<onward_local::PrivatePostgres>,
}

impl Database {
    /// The configured database or, in development, the private one, which is started.
    pub(crate) async fn open(settings: &Settings) -> Result<Self, Failed> {
        if let Some(url) = &settings.database_url {
            return Ok(Self {
                url: parse(url)?,
                psql: None,
                #[cfg(feature = "local")]
                _private: None,
            });
        }
        #[cfg(feature = "local")]
        if settings.env == AppEnv::Development {
            return Self::private(settings).await;
        }
        Err(not_set(settings, "DATABASE_URL", "postgres://USER:PASSWORD@HOST:5432/NAME"))
    }

    #[cfg(feature = "local")]
    async fn private(settings: &Settings) -> Result<Self, Failed> {
        let home = settings.project.join(".onward").join("postgres");
        let start = move || onward_local::PrivatePostgres::start(&home);
        let private = tokio::task::spawn_blocking(start).await.map_err(|error| {
            Failed::new(Exit::Failed, error, "this is a fault of the product; please report it")
        })??;
        let url: PostgresUrl = private.url("app").parse()?;
        let psql = format!("PGPASSFILE={} psql {url}", private.passfile().display());
        Ok(Self { url, psql: Some(psql), _private: Some(private) })
    }
}

fn parse(url: &str) -> Result<PostgresUrl, Failed> {
    let scheme = url.split("://").next().unwrap_or_default();
    if ["jdbc:sqlserver", "sqlserver", "mssql"].contains(&scheme) || url.to_lowercase().contains("server=") {
        let message = "DATABASE_URL is a SQL Server address, and this version works on PostgreSQL only";
        return Err(Failed::new(Exit::Configuration, message, "use a postgres:// address"));
    }
    Ok(url.parse()?)
}

/// The error for a variable that has no default here.
pub(crate) fn not_set(settings: &Settings, name: &str, form: &str) -> Failed {
    let help = match settings.env {
        AppEnv::Production => format!("set it to {form}"),
        AppEnv::Development => {
            format!("set it to {form}; a private one is started only by a build with the feature `local`")
        }
    };
    Failed::new(Exit::Configuration, format!("{name} is not set"), help)
}
