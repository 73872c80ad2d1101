//! The gate: decides whether this binary may run on the schema, at the start and again while it runs.

use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use onward_migrate::{DatabaseUrl, Error, SchemaState, Session, SessionOptions, Status};
use onward_script::always_name;
use tokio_util::sync::CancellationToken;

use crate::config::context::{Context, PATIENCE};
use crate::config::settings::AppEnv;
use crate::database::read::in_time;
use crate::process::exit::CommandError;
use crate::upgrade::{Progress, UpgradeOptions, upgrade};

/// How often the gate checks the schema again.
const RECHECK_INTERVAL: Duration = Duration::from_secs(30);

/// The script number of the schema that passed the gate: before and now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Passed {
    pub before: Option<i32>,
    pub now: i32,
}

/// Accepts a current schema, and a schema ahead whose floor this binary reaches. In development the gate upgrades a schema
/// that is only behind. In production it refuses such a schema, with the list of scripts and the command. `None` if `stop` was
/// cancelled before the database had answered.
pub(crate) async fn pass(
    context: &Context,
    url: &DatabaseUrl,
    stop: &CancellationToken,
) -> Result<Option<Passed>, CommandError> {
    let Some(status) = stop.run_until_cancelled(look(context, url)).await.transpose()? else {
        return Ok(None);
    };
    let upgradable = matches!(status.state, SchemaState::Empty | SchemaState::Behind);
    if upgradable && context.settings.env == AppEnv::Development {
        let migrated = upgrade(context, url, &UpgradeOptions::default(), Progress::Quiet, stop).await?;
        return Ok(Some(Passed { before: migrated.from, now: migrated.to }));
    }
    if !status.may_serve() {
        return Err(refusal(context, &status).into());
    }
    let now = status.applied.unwrap_or(status.latest);
    Ok(Some(Passed { before: Some(now), now }))
}

fn refusal(context: &Context, status: &Status) -> Error {
    let mut error = context.state_error(status);
    let pending: Vec<_> = status
        .pending
        .iter()
        .filter_map(|number| context.history.get(*number))
        .map(|script| match &script.directives.title {
            Some(title) => format!("\n  - {} {title}", script.file_name()),
            None => format!("\n  - {}", script.file_name()),
        })
        .chain(status.always.iter().map(|name| format!("\n  - {}", always_name(name))))
        .collect();
    if !pending.is_empty() {
        error.message = format!("{}; pending:{}", error.message, pending.concat());
    }
    error
}

async fn look(context: &Context, url: &DatabaseUrl) -> Result<Status, CommandError> {
    let options = SessionOptions { patience: PATIENCE, ..context.reading("gate") };
    let mut engine = Session::connect(url, &options).await?;
    in_time(onward_migrate::status(&mut engine, &context.history)).await
}

/// Completes when the floor has risen above this binary: a newer binary has removed something that this one uses. If the
/// database does not answer, the worker goes on. `seen` gets the number of the schema.
pub(crate) async fn until_outdated(context: &Context, url: &DatabaseUrl, seen: &AtomicI32) -> CommandError {
    let mut ticks = tokio::time::interval(RECHECK_INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        match look(context, url).await {
            Ok(status) if status.floor > status.latest => return context.state_error(&status).into(),
            Ok(status) => {
                if let Some(applied) = status.applied {
                    seen.store(applied, Ordering::Relaxed);
                }
            }
            Err(error) => tracing::warn!(error = %error.message, "the schema could not be checked again"),
        }
    }
}
