use std::io::IsTerminal as _;

use onward_migrate::{DatabaseUrl, Plan, Status, Transaction};
use onward_script::Script;
use tokio_util::sync::CancellationToken;

use crate::cli;
use crate::config::context::Context;
use crate::config::database_url::ResolvedDatabase;
use crate::process::exit::{CommandError, Exit};
use crate::process::signal::Stop;
use crate::process::terminal::data;
use crate::upgrade::{Progress, UpgradeOptions, connect, upgrade};

pub(crate) async fn run(context: &Context, command: &cli::Migrate) -> Result<Exit, CommandError> {
    let cli::Migrate { plan, to, wait, lock_timeout, single_transaction } = *command;
    let options = UpgradeOptions { to, wait, lock_timeout, single_transaction };
    let database = ResolvedDatabase::resolve(context).await?;
    if plan {
        return show_plan(context, &database.url, &options).await;
    }
    let stop = CancellationToken::new();
    let signals = Stop::listen(std::io::stderr().is_terminal())?;
    let migrated = tokio::select! {
        migrated = upgrade(context, &database.url, &options, Progress::Lines, &stop) => migrated?,
        () = signals.requested_twice(&stop) => return Ok(Exit::Interrupted),
    };
    let now = migrated.to;
    match migrated.scripts {
        0 => data(&format!("nothing to do: the schema is at {now:04}"))?,
        scripts => data(&format!("applied {scripts} script(s): the schema is at {now:04}"))?,
    }
    Ok(Exit::Done)
}

async fn show_plan(
    context: &Context,
    url: &DatabaseUrl,
    options: &UpgradeOptions,
) -> Result<Exit, CommandError> {
    let history = &context.history;
    let mut engine = connect(url, context, options.lock_timeout).await?;
    let status: Status = onward_migrate::status(&mut engine, history).await?;
    let plan = Plan::make(history, &status, options.to, options.single_transaction)?;
    if plan.transactions.is_empty() {
        data("nothing to do")?;
    }
    for (index, transaction) in plan.transactions.iter().enumerate() {
        let what = match transaction {
            Transaction::Together(_) => "one transaction",
            Transaction::None(_) => "no transaction",
        };
        data(&format!("{}. {what}", index + 1))?;
        for script in transaction.scripts() {
            data(&format!("   {}", described(script)))?;
        }
    }
    Ok(Exit::Done)
}

fn described(script: &Script) -> String {
    let contract = if script.directives.contract { "  (contract)" } else { "" };
    let title = script.directives.title.as_deref().unwrap_or_default();
    format!("{}  {title}{contract}", script.file_name()).trim_end().to_owned()
}
