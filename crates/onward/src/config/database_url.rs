use onward_migrate::DatabaseUrl;
use onward_script::Dialect;

use crate::config::context::Context;
use crate::config::settings::{AppEnv, Settings};
use crate::process::exit::{CommandError, Exit};

/// The database that the app uses, with the private server that must run as long as the app.
pub(crate) struct ResolvedDatabase {
    pub url: DatabaseUrl,
    /// The psql command that opens it, if it is the private one.
    pub psql: Option<String>,
    #[cfg(feature = "local")]
    _private: Option<onward_local::PrivatePostgres>,
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
                psql: None,
                #[cfg(feature = "local")]
                _private: None,
            });
        }
        #[cfg(feature = "local")]
        if settings.env == AppEnv::Development && dialect == Dialect::Postgres {
            return Self::private(settings).await;
        }
        if dialect == Dialect::SqlServer {
            let help = format!("set it to {}; only PostgreSQL has a private database", form(dialect));
            return Err(CommandError::new(Exit::Configuration, "DATABASE_URL is not set", help));
        }
        Err(not_set(settings, "DATABASE_URL", form(dialect)))
    }

    /// Whether it is the private one.
    #[cfg(feature = "local")]
    pub(crate) fn is_private(&self) -> bool {
        self.psql.is_some()
    }

    #[cfg(feature = "local")]
    async fn private(settings: &Settings) -> Result<Self, CommandError> {
        let home = settings.project.join(".onward").join("postgres");
        let start = move || onward_local::PrivatePostgres::start(&home);
        let private = tokio::task::spawn_blocking(start).await.map_err(CommandError::fault)??;
        let url: DatabaseUrl = private.url("app").parse()?;
        let psql = format!("PGPASSFILE={} psql {url}", private.passfile().display());
        Ok(Self { url, psql: Some(psql), _private: Some(private) })
    }
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
