use std::io::IsTerminal as _;
use std::path::Path;

use onward_migrate::{DatabaseUrl, Plan, Status, Transaction};
use onward_script::{Dialect, Kind, Script};
use tokio_util::sync::CancellationToken;

use crate::cli;
use crate::config::context::Context;
use crate::config::database_url::ResolvedDatabase;
#[cfg(feature = "local")]
use crate::drafts;
use crate::process::exit::{CommandError, Exit};
use crate::process::signal::Stop;
use crate::process::terminal::data;
use crate::upgrade::{Progress, UpgradeOptions, connect, upgrade};

pub(crate) async fn run(context: &Context, command: &cli::Migrate) -> Result<Exit, CommandError> {
    let cli::Migrate { plan, ref sql, to, wait, lock_timeout, single_transaction } = *command;
    let options = UpgradeOptions { to, wait, lock_timeout, single_transaction };
    let database = ResolvedDatabase::resolve(context).await?;
    if plan {
        return show_plan(context, &database.url, &options, sql.as_deref()).await;
    }
    #[cfg(feature = "local")]
    drafts::prepare(context, &database).await?;
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
    sql: Option<&Path>,
) -> Result<Exit, CommandError> {
    let history = &context.history;
    let mut engine = connect(url, context, options.lock_timeout).await?;
    let status: Status = onward_migrate::status(&mut engine, history).await?;
    let plan = Plan::make(history, &status, options.to, options.single_transaction)?;
    if let Some(file) = sql {
        let text = sql_of(context, url, &status, &plan);
        if file == Path::new("-") {
            data(text.trim_end())?;
            return Ok(Exit::Done);
        }
        std::fs::write(file, text).map_err(|error| {
            let message = format!("{} cannot be written: {error}", file.display());
            CommandError::new(Exit::Failed, message, "name a file in a folder that exists")
        })?;
    }
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

/// The scripts of a plan in one text, as they would run.
fn sql_of(context: &Context, url: &DatabaseUrl, status: &Status, plan: &Plan<'_>) -> String {
    let identity = &context.identity;
    let at = status.applied.map_or_else(|| "empty".to_owned(), |applied| format!("at script {applied:04}"));
    let mut text = format!(
        "-- What `{name} migrate` of version {version} would run on {url}, which is {at}.\n-- This is for reading: run it with `{name} \
         migrate`, which also takes the lock and writes the journal.\n",
        name = identity.name,
        version = identity.version,
    );
    let (begin, commit, end) = match context.history.dialect {
        Dialect::Postgres => ("BEGIN;", "COMMIT;", ""),
        Dialect::SqlServer => ("BEGIN TRANSACTION;\nGO", "COMMIT TRANSACTION;\nGO", "GO\n"),
    };
    for transaction in &plan.transactions {
        let is_one = matches!(transaction, Transaction::Together(_));
        text.push_str(&if is_one {
            format!("\n{begin}\n")
        } else {
            "\n-- without a transaction\n".to_owned()
        });
        for script in transaction.scripts() {
            let script_text = script.text().trim_end();
            // The last statement of a script needs no semicolon.
            let close = if context.history.dialect == Dialect::Postgres { "\n;" } else { "" };
            let described = described(script);
            let row = match script.kind {
                Kind::Always => "The table schema_always gets a row.".to_owned(),
                _ => format!("The journal gets the row {:04}.", script.number),
            };
            text.push_str(&format!(
                "\n-- {described}\n-- sha256 {}\n{script_text}{close}\n{end}-- {row}\n",
                script.digest
            ));
        }
        if is_one {
            text.push_str(&format!("{commit}\n"));
        }
    }
    text
}

fn described(script: &Script) -> String {
    let contract = if script.directives.contract { "  (contract)" } else { "" };
    let title = script.directives.title.as_deref().unwrap_or_default();
    format!("{}  {title}{contract}", script.file_name()).trim_end().to_owned()
}
