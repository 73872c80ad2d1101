//! Which database and which queue: the configured ones or, in development, private ones.

use onward_migrate::DatabaseUrl;
use onward_script::Dialect;

use crate::exit::{Exit, Failed};
use crate::settings::{AppEnv, Settings};

/// The database, and what has to live as long as it is used.
pub(crate) struct Database {
    pub url: DatabaseUrl,
    /// How a person opens it, where it is the private one.
    pub psql: Option<String>,
    #[cfg(feature = "local")]
    _private: Option<onward_local::PrivatePostgres>,
}

impl Database {
    /// The configured database or, in development, the private one, which is started.
    pub(crate) async fn open(settings: &Settings, dialect: Dialect) -> Result<Self, Failed> {
        if let Some(url) = &settings.database_url {
            let url: DatabaseUrl = url.parse()?;
            if url.dialect() != dialect {
                let message =
                    format!("the scripts are written for {}, and DATABASE_URL is {url}", name(dialect));
                return Err(Failed::new(
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
            let help =
                format!("set it to {}; a private database there is only for PostgreSQL", form(dialect));
            return Err(Failed::new(Exit::Configuration, "DATABASE_URL is not set", help));
        }
        Err(not_set(settings, "DATABASE_URL", form(dialect)))
    }

    /// Whether it is the private one.
    #[cfg(feature = "local")]
    pub(crate) fn is_private(&self) -> bool {
        self.psql.is_some()
    }

    #[cfg(feature = "local")]
    async fn private(settings: &Settings) -> Result<Self, Failed> {
        let home = settings.project.join(".onward").join("postgres");
        let start = move || onward_local::PrivatePostgres::start(&home);
        let private = tokio::task::spawn_blocking(start).await.map_err(|error| {
            Failed::new(Exit::Failed, error, "this is a fault of the product; please report it")
        })??;
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
