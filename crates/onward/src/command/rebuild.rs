use onward_script::History;
use tokio_util::sync::CancellationToken;

use crate::cli;
use crate::command::migrate::{self, Identity, Progress};
use crate::environment::Database;
use crate::exit::{Exit, Failed};
use crate::settings::{AppEnv, Settings};
use crate::terminal::data;

/// Drops the database and makes it anew, but only where nothing can be lost that anybody wants to keep: in
/// development, and the private database, one that a rebuild made, or one whose name was repeated.
pub(crate) async fn run(
    settings: &Settings,
    history: &History,
    identity: &Identity,
    options: &cli::Rebuild,
) -> Result<Exit, Failed> {
    if settings.env != AppEnv::Development {
        let help = "in production a database is only ever upgraded: `migrate`";
        return Err(Failed::new(
            Exit::Usage,
            "rebuild drops the database and works in development only",
            help,
        ));
    }
    let database = Database::open(settings, history.dialect).await?;
    let doomed = onward_migrate::inspect(&database.url).await?;
    let name = &doomed.name;
    let confirmed = options.confirm.as_deref() == Some(name);
    if !(database.is_private() || doomed.is_marked || confirmed) {
        let message = format!(
            "rebuild would drop the database `{name}`, which does not say that it is for development"
        );
        let help = format!("if nothing in it is needed any more: `rebuild --confirm {name}`");
        return Err(Failed::new(Exit::Usage, message, help));
    }
    onward_migrate::remove(&database.url, &doomed).await?;
    onward_migrate::create(&database.url, &doomed).await?;
    let never = CancellationToken::new();
    let defaults = migrate::defaults();
    let migrated =
        migrate::upgrade(&database.url, history, identity, &defaults, Progress::Lines, &never).await?;
    data(&format!("rebuilt {name}: the schema is at {:04}", migrated.to))?;
    Ok(Exit::Done)
}
