//! The gate: decides whether this binary may run on the schema, at the start and again while it runs.

use std::time::Duration;

use onward_migrate::{
    DatabaseUrl, Divergence, Engine as _, Error, SchemaState, Session, SessionOptions, Status,
};
use onward_script::History;
use tokio_util::sync::CancellationToken;

use crate::config::context::{Context, PATIENCE};
use crate::config::settings::AppEnv;
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
/// that is only behind. In production it refuses such a schema, with the list of scripts and the command. `None` if `stop` was cancelled before the
/// cancelled before the database had answered.
pub(crate) async fn pass(
    context: &Context,
    url: &DatabaseUrl,
    stop: &CancellationToken,
) -> Result<Option<Passed>, CommandError> {
    let Context { history, settings, .. } = context;
    let Some(status) = stop.run_until_cancelled(look(context, url)).await.transpose()? else {
        return Ok(None);
    };
    let upgradable = matches!(status.state, SchemaState::Empty | SchemaState::Behind);
    if upgradable && settings.env == AppEnv::Development {
        let migrated = upgrade(context, url, &UpgradeOptions::default(), Progress::Quiet, stop).await?;
        return Ok(Some(Passed { before: migrated.from, now: migrated.to }));
    }
    if !status.may_serve() {
        let mut error = refusal(&status, history);
        if settings.env == AppEnv::Development && status.state == SchemaState::Diverged {
            drifted(&mut error, &status, history);
        }
        return Err(error.into());
    }
    let now = status.applied.unwrap_or(status.latest);
    Ok(Some(Passed { before: Some(now), now }))
}

/// Adds the drafts that changed: a development database gets drafts early, so it may have an older text of one.
fn drifted(error: &mut Error, status: &Status, history: &History) {
    let drafts: Vec<_> = history
        .all()
        .filter(|script| !script.sealed)
        .map(onward_script::Script::file_name)
        .filter(|draft| {
            status
                .divergences
                .iter()
                .any(|found| matches!(found, Divergence::Edited { file } if file == draft))
        })
        .collect();
    if !drafts.is_empty() {
        error.message = format!(
            "{}\n  drafts that changed after this database applied them: {}",
            error.message,
            drafts.join(", ")
        );
    }
    error.help =
        "if nothing in this development database is needed, rebuild it: `cargo run -- rebuild`".to_owned();
}

fn refusal(status: &Status, history: &History) -> Error {
    let mut error = Error::state(status);
    let pending: Vec<_> = status
        .pending
        .iter()
        .filter_map(|number| history.get(*number))
        .map(|script| match &script.directives.title {
            Some(title) => format!("\n  - {} {title}", script.file_name()),
            None => format!("\n  - {}", script.file_name()),
        })
        .collect();
    if !pending.is_empty() {
        error.message = format!("{}; pending:{}", error.message, pending.concat());
    }
    error
}

async fn look(context: &Context, url: &DatabaseUrl) -> Result<Status, Error> {
    let options = SessionOptions { patience: PATIENCE, ..context.reading("gate") };
    let mut engine = Session::connect(url, &options).await?;
    Ok(Status::assess(&context.history, &engine.observe().await?))
}

/// Completes when the floor has risen above this binary: a newer binary has removed something that this one uses. If the
/// database does not answer, the worker goes on.
pub(crate) async fn until_outdated(context: &Context, url: &DatabaseUrl) -> CommandError {
    let mut ticks = tokio::time::interval(RECHECK_INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        match look(context, url).await {
            Ok(status) if status.floor > status.latest => return Error::state(&status).into(),
            Ok(_) => {}
            Err(error) => tracing::warn!(error = %error.message, "the schema could not be checked again"),
        }
    }
}
