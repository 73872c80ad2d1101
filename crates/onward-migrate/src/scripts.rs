use std::sync::Arc;
use std::time::Duration;

use onward_script::{Bundle, History};
use tokio_util::sync::CancellationToken;

use crate::error::{Error, ErrorKind};
use crate::runner::{MigrateOptions, Migrated, migrate, status};
use crate::session::{DatabaseUrl, Session};
use crate::state::Status;
use crate::{Applier, SessionOptions};

/// How long [`Scripts::migrate`] waits for another migrator.
const WAIT: Duration = Duration::from_secs(60);

/// The scripts that `onward_build::embed` has checked and embedded, for a service that upgrades its database itself:
/// [`scripts!`](crate::scripts) returns them.
///
/// ```ignore
/// let scripts = onward_migrate::scripts!();
/// let migrated = scripts.migrate("postgres://app:…@db/app").await?;
/// println!("{} script(s) applied, the schema is at {}", migrated.scripts, migrated.to);
/// ```
#[derive(Debug, Clone)]
pub struct Scripts {
    manifest: &'static str,
    scripts: &'static [u8],
    schema: &'static str,
    name: &'static str,
    version: &'static str,
    tls: Option<Arc<rustls::ClientConfig>>,
}

/// The scripts that `onward_build::embed` has checked in this package's `build.rs`, as [`Scripts`].
#[macro_export]
macro_rules! scripts {
    () => {
        $crate::Scripts::embedded(
            include_str!(concat!(env!("OUT_DIR"), "/onward/manifest")),
            include_bytes!(concat!(env!("OUT_DIR"), "/onward/scripts.sql")),
            include_str!(concat!(env!("OUT_DIR"), "/onward/schema.lock")),
            env!("CARGO_PKG_NAME"),
            env!("CARGO_PKG_VERSION"),
        )
    };
}

impl Scripts {
    #[doc(hidden)]
    #[must_use]
    pub const fn embedded(
        manifest: &'static str,
        scripts: &'static [u8],
        schema: &'static str,
        name: &'static str,
        version: &'static str,
    ) -> Self {
        Self { manifest, scripts, schema, name, version, tls: None }
    }

    /// Has it connect with a TLS configuration that the service has already, as [`SessionOptions::tls`] does. PostgreSQL only.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use onward_migrate::{Error, Migrated, Scripts, rustls::ClientConfig};
    ///
    /// async fn upgrade(scripts: Scripts, url: &str, tls: &Arc<ClientConfig>) -> Result<Migrated, Error> {
    ///     scripts.with_tls(tls.clone()).migrate(url).await
    /// }
    /// ```
    #[must_use]
    pub fn with_tls(self, config: Arc<rustls::ClientConfig>) -> Self {
        Self { tls: Some(config), ..self }
    }

    /// The history, for the functions of this crate.
    ///
    /// # Errors
    ///
    /// If another version of Onward has embedded it.
    pub fn history(&self) -> Result<History, Error> {
        Bundle::read(self.manifest, self.scripts, self.schema).map_err(|error| {
            Error::new(
                ErrorKind::Usage,
                error.to_string(),
                "build the service again, with one version of Onward",
            )
        })
    }

    /// Upgrades a database. Several processes may call it at the same time: one works, the others wait for up to a minute and
    /// then find nothing to do. A database that is already newer is left as it is, and is an error if this build cannot work on it.
    ///
    /// The journal records the name of this host and the version of the package; [`Scripts::migrate_as`] records others.
    ///
    /// # Errors
    ///
    /// If the database cannot be reached, its state allows no upgrade, or a script fails. What was applied before stays.
    pub async fn migrate(&self, url: &str) -> Result<Migrated, Error> {
        self.migrate_as(
            url,
            Applier {
                host: host_name().unwrap_or_else(|| "unknown".to_owned()),
                app_version: self.version.to_owned(),
            },
        )
        .await
    }

    /// As [`Scripts::migrate`], with what the journal records of the applier.
    ///
    /// # Errors
    ///
    /// As [`Scripts::migrate`].
    pub async fn migrate_as(&self, url: &str, applier: Applier) -> Result<Migrated, Error> {
        let history = self.history()?;
        let options = MigrateOptions {
            to: None,
            wait: WAIT,
            single_transaction: false,
            applier,
            stop: CancellationToken::new(),
        };
        let mut session = self.session(url, false).await?;
        let mut log = |event| {
            tracing::info!(?event, "migration");
        };
        migrate(&mut session, &history, &options, &mut log).await.map_err(for_a_service)
    }

    /// Whether this build may work on the database. It changes nothing.
    ///
    /// # Errors
    ///
    /// If the schema is not the one that these scripts make, or one ahead of it that this build may use; or if the database cannot be
    /// reached.
    pub async fn gate(&self, url: &str) -> Result<Status, Error> {
        let history = self.history()?;
        let mut session = self.session(url, true).await?;
        let status = status(&mut session, &history).await?;
        if status.may_serve() { Ok(status) } else { Err(for_a_service(Error::state(&status))) }
    }

    async fn session(&self, url: &str, reads_only: bool) -> Result<Session, Error> {
        let url: DatabaseUrl = url.parse()?;
        let application_name = format!("{} migrate", self.name);
        let tls = self.tls.clone();
        let options = SessionOptions { application_name, reads_only, tls, ..SessionOptions::default() };
        Session::connect(&url, &options).await
    }
}

/// A service has no commands.
fn for_a_service(mut error: Error) -> Error {
    error.help = error.help.replace("run `app migrate`", "upgrade the database with `Scripts::migrate`");
    error
}

/// The name of this host, as the system says it; none on Windows, where only the environment has it.
#[must_use]
pub fn host_name() -> Option<String> {
    #[cfg(unix)]
    let name = Some(rustix::system::uname().nodename().to_string_lossy().into_owned());
    #[cfg(not(unix))]
    let name = None;
    name.filter(|name: &String| !name.is_empty())
}
