use tokio_util::sync::CancellationToken;

use crate::cli;
use crate::command::plan;
use crate::config::context::Context;
use crate::config::database_url::ResolvedDatabase;
#[cfg(feature = "local")]
use crate::drafts;
use crate::process::exit::{CommandError, Exit};
use crate::process::signal::stoppable;
use crate::process::terminal::data;
use crate::upgrade::{Progress, UpgradeOptions, upgrade};

pub(crate) async fn run(context: &Context, command: &cli::Migrate) -> Result<Exit, CommandError> {
    let cli::Migrate { plan: plan_only, ref sql, ref html, to, wait, lock_timeout, single_transaction } =
        *command;
    if !plan_only && (sql.is_some() || html.is_some()) {
        let message = "`--sql` and `--html` write a plan, and this would run it";
        return Err(CommandError::new(Exit::Usage, message, "add `--plan`"));
    }
    let options = UpgradeOptions { to, wait, lock_timeout, single_transaction };
    let database = ResolvedDatabase::resolve(context).await?;
    if plan_only {
        return plan::show(context, &database.url, &options, sql.as_deref(), html.as_deref()).await;
    }
    #[cfg(feature = "local")]
    drafts::prepare(context, &database).await?;
    let stop = CancellationToken::new();
    let upgrading = upgrade(context, &database.url, &options, Progress::Lines, &stop);
    let Some(migrated) = stoppable(&stop, upgrading).await?.transpose()? else {
        return Ok(Exit::Interrupted);
    };
    let now = migrated.to;
    match migrated.scripts {
        0 => data(&format!("nothing to do: the schema is at {now:04}"))?,
        scripts => data(&format!("applied {scripts} script(s): the schema is at {now:04}"))?,
    }
    Ok(Exit::Done)
}
