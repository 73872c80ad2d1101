use tokio_util::sync::CancellationToken;

use crate::cli;
use crate::config::context::Context;
use crate::config::database_url::ResolvedDatabase;
use crate::config::local::Launch;
use crate::config::settings::AppEnv;
use crate::drafts;
use crate::process::exit::{CommandError, Exit};
use crate::process::terminal::data;
use crate::upgrade::{Progress, UpgradeOptions, upgrade};

/// Drops the database and creates it again, in development only. It must be the private database, one that a rebuild made,
/// or one whose name `--confirm` repeats, so that no data is lost by mistake.
pub(crate) async fn run(context: &Context, options: &cli::Rebuild) -> Result<Exit, CommandError> {
    if context.settings.env != AppEnv::Development {
        let help = "in production, upgrade the database with `migrate`";
        return Err(CommandError::new(
            Exit::Usage,
            "rebuild drops the database and works in development only",
            help,
        ));
    }
    let database = ResolvedDatabase::resolve(context).await?;
    // A launch whose tables go would reject every message.
    let _launch = database.is_private().then(|| Launch::claim(&context.settings)).transpose()?;
    let target = onward_migrate::inspect(&database.url).await?;
    let name = &target.name;
    let confirmed = options.confirm.as_deref() == Some(name);
    if !(database.is_private() || target.is_marked || confirmed) {
        let message =
            format!("rebuild would drop the database `{name}`, which has no mark of a development database");
        let help = format!("if you need none of its data, run `rebuild --confirm {name}`");
        return Err(CommandError::new(Exit::Usage, message, help));
    }
    drafts::forget(context, &database).await?;
    onward_migrate::remove(&database.url, &target).await?;
    onward_migrate::create(&database.url, &target).await?;
    drafts::prepare(context, &database).await?;
    let never = CancellationToken::new();
    let options = UpgradeOptions::default();
    let migrated = upgrade(context, &database.url, &options, Progress::Lines, &never).await?;
    data(&format!("rebuilt {name}: the schema is at {:04}", migrated.to))?;
    Ok(Exit::Done)
}
