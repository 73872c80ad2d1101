//! Whether a worker of this binary may run on this schema, at the start and as long as it runs.

use std::time::Duration;

use onward_migrate::{
    DatabaseUrl, Divergence, Engine as _, Error, SchemaState, Session, SessionOptions, Status,
};
use onward_script::History;
use tokio_util::sync::CancellationToken;

use crate::command::migrate::{self, Progress};
use crate::exit::Failed;
use crate::settings::AppEnv;

/// How often the schema is looked at again.
const RECHECK: Duration = Duration::from_secs(30);

/// What the gate let through: the schema before and now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Passed {
    pub before: Option<i32>,
    pub now: i32,
}

/// Lets through a current schema, and one ahead whose floor this binary reaches. In development, what is only
/// behind is upgraded first; in production it is refused with the list and the command.
pub(crate) async fn pass(
    url: &DatabaseUrl,
    history: &History,
    env: AppEnv,
    app: &migrate::Identity,
    stop: &CancellationToken,
) -> Result<Passed, Failed> {
    let status = look(url, history, &app.name).await?;
    let upgradable = matches!(status.state, SchemaState::Empty | SchemaState::Behind);
    if upgradable && env == AppEnv::Development {
        let migrated =
            migrate::upgrade(url, history, app, &migrate::defaults(), Progress::Quiet, stop).await?;
        return Ok(Passed { before: migrated.from, now: migrated.to });
    }
    if !status.may_serve() {
        let mut error = refusal(&status, history);
        if env == AppEnv::Development && status.state == SchemaState::Diverged {
            drifted(&mut error, &status, history);
        }
        return Err(error.into());
    }
    let now = status.applied.unwrap_or(status.latest);
    Ok(Passed { before: Some(now), now })
}

/// A development database gets drafts while they are still written; what it has of them is then of an older day.
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
            "{}\n  {} changed as a draft after this database got it",
            error.message,
            drafts.join(", ")
        );
    }
    error.help =
        "if nothing in this development database is needed, make it anew: `cargo run -- rebuild`".to_owned();
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

async fn look(url: &DatabaseUrl, history: &History, app: &str) -> Result<Status, Error> {
    let options = SessionOptions { application_name: format!("{app} gate"), lock_timeout: None };
    let mut engine = Session::connect(url, &options).await?;
    Ok(Status::assess(history, &engine.observe().await?))
}

/// Completes when the floor has risen above this binary: a newer one has taken something away that it uses.
/// A database that cannot be asked is no reason to stop.
pub(crate) async fn fallen(url: &DatabaseUrl, history: &History, app: &str) -> Failed {
    let mut ticks = tokio::time::interval(RECHECK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        match look(url, history, app).await {
            Ok(status) if status.floor > status.latest => return Error::state(&status).into(),
            Ok(_) => {}
            Err(error) => tracing::warn!(error = %error.message, "the schema could not be looked at again"),
        }
    }
}
