use std::time::Duration;

use onward_script::{History, Script};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::time::{Instant, MissedTickBehavior};

use crate::bridge::{self, Failure};
use crate::engine::{Engine, Identity, Step, StepError};
use crate::error::{Error, ErrorKind, connection_lost, script_failed};
use crate::journal::journal_name;
use crate::plan::{Plan, Transaction};
use crate::progress::Event;
use crate::state::Status;

/// How a migration runs.
#[derive(Debug, Clone)]
pub struct MigrateOptions {
    /// The last script to run; by default the last one there is.
    pub to: Option<i32>,
    /// How long to wait for another migrator.
    pub wait: Duration,
    /// Whether neighbours commit together.
    pub single_transaction: bool,
    /// Who applies, for the journal.
    pub identity: Identity,
}

/// What a migration did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migrated {
    /// The last applied script before; none for an empty database.
    pub from: Option<i32>,
    /// The last applied script now.
    pub to: i32,
    /// How many scripts ran, the baseline counted.
    pub scripts: usize,
}

/// Says how the schema stands to the embedded scripts; only reads.
///
/// # Errors
///
/// If the database cannot be asked.
pub async fn status<E: Engine>(engine: &mut E, history: &History) -> Result<Status, Error> {
    Ok(Status::assess(history, &engine.observe().await?))
}

/// Upgrades the database: takes the lock, reads the journal under it, plans, applies, gives the lock back.
///
/// Every script commits together with its journal row, so that a run that ends at any moment leaves the
/// database at a script boundary, and the next run goes on from there.
///
/// # Errors
///
/// If the lock is not free within the wait, if the schema state cannot be migrated from, or if a script fails;
/// what was applied before stays applied, and the error says what was rolled back.
pub async fn migrate<E: Engine>(
    engine: &mut E,
    history: &History,
    options: &MigrateOptions,
    progress: &mut (dyn FnMut(Event) + Send),
) -> Result<Migrated, Error> {
    take_lock(engine, options.wait, progress).await?;
    let outcome = under_lock(engine, history, options, progress).await;
    // The lock belongs to the session: if it cannot be given back, the session ends and frees it.
    let released = engine.unlock().await;
    let migrated = outcome?;
    released?;
    Ok(migrated)
}

async fn under_lock<E: Engine>(
    engine: &mut E,
    history: &History,
    options: &MigrateOptions,
    progress: &mut (dyn FnMut(Event) + Send),
) -> Result<Migrated, Error> {
    let observed = engine.observe().await?;
    let status = Status::assess(history, &observed);
    let plan = Plan::make(history, &status, options.to, options.single_transaction)?;
    let scripts: Vec<_> = plan.scripts().collect();
    progress(Event::Planned { scripts: scripts.len() });
    if !scripts.is_empty() && observed.journal.is_none() {
        engine.create_journal().await?;
    }
    apply(engine, history, options, &plan, progress).await?;
    let from = status.applied;
    let to = scripts.last().map(|script| script.number).or(from).unwrap_or(history.baseline.number);
    Ok(Migrated { from, to, scripts: scripts.len() })
}

async fn take_lock<E: Engine>(
    engine: &mut E,
    wait: Duration,
    progress: &mut (dyn FnMut(Event) + Send),
) -> Result<(), Error> {
    /// How often a busy lock is asked for again; no database tells a session that polls.
    const POLL: Duration = Duration::from_millis(100);
    let deadline = Instant::now() + wait;
    let mut ticks = tokio::time::interval(POLL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told = None;
    loop {
        ticks.tick().await;
        let Err(holder) = engine.try_lock().await? else { return Ok(()) };
        if Instant::now() >= deadline {
            let message = format!("another migrator has had the lock for {wait:?}: {holder}");
            let help = "wait for it to end, or give `--wait` a longer time";
            return Err(Error::new(ErrorKind::Locked, message, help));
        }
        if told.as_ref() != Some(&holder) {
            progress(Event::Waiting { holder: holder.clone() });
            told = Some(holder);
        }
    }
}

async fn apply<E: Engine>(
    engine: &mut E,
    history: &History,
    options: &MigrateOptions,
    plan: &Plan<'_>,
    progress: &mut (dyn FnMut(Event) + Send),
) -> Result<(), Error> {
    let mut floor = 0;
    let floors: Vec<i32> = history
        .all()
        .map(|script| {
            if script.directives.contract {
                floor = script.number;
            }
            floor
        })
        .collect();
    let first = history.baseline.number;
    for (index, transaction) in plan.transactions.iter().enumerate() {
        let step = |script, migration: &refinery::Migration| {
            step(script, migration.checksum(), &floors, first, &options.identity)
        };
        let outcome = bridge::run(engine, transaction, step, progress).await;
        outcome.map_err(|failure| report(history, plan, index, failure))?;
    }
    Ok(())
}

fn step<'a>(
    script: &'a Script,
    checksum: u64,
    floors: &[i32],
    first: i32,
    identity: &'a Identity,
) -> Step<'a> {
    let index = usize::try_from(script.number - first).unwrap_or(0);
    Step {
        script,
        journal_name: journal_name(script),
        checksum,
        applied_on: OffsetDateTime::now_utc().format(&Rfc3339).expect("the present has a date"),
        floor: floors.get(index).copied().unwrap_or(0),
        identity,
    }
}

/// What is left after a failure, in the words of the person who has to act.
fn report(history: &History, plan: &Plan<'_>, failed: usize, failure: Failure<'_>) -> Error {
    let (script, error) = match failure {
        Failure::Other(error) => return error,
        Failure::Step(script, StepError::Lost(reason)) => return connection_lost(script, &reason),
        Failure::Step(script, StepError::Server(error)) => (script, *error),
    };
    let outcome = match &plan.transactions[failed] {
        Transaction::Together(scripts) if scripts.len() > 1 => format!(
            "rolled back {} to {}, which were to commit together",
            scripts[0].file_name(),
            scripts[scripts.len() - 1].file_name()
        ),
        Transaction::Together(_) => format!("{} was rolled back as a whole", script.file_name()),
        Transaction::None(_) => format!(
            "{} ran outside a transaction: what it had done stays done, and the journal says that it began",
            script.file_name()
        ),
    };
    let remaining = &plan.transactions[failed..];
    let rest = Plan { transactions: remaining.to_vec() };
    let pending = rest.scripts().map(Script::file_name).collect();
    script_failed(history, script, error, outcome, pending)
}
