use std::pin::pin;
use std::time::Duration;

use onward_script::{History, Kind, Script};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::bridge::{self, Failure};
use crate::engine::{Canceller, Engine};
use crate::error::{
    Error, ErrorKind, StepError, TransactionEnd, WHO_CANCELLED, connection_lost, script_failed,
};
use crate::event::Event;
use crate::lock::take_lock;
use crate::observation::observe;
use crate::plan::{Plan, Transaction};
use crate::state::Status;
use crate::step::{Applier, Steps};

/// How a migration runs.
#[derive(Debug, Clone)]
pub struct MigrateOptions {
    /// The last script to run; by default the last embedded one.
    pub to: Option<i32>,
    /// How long to wait for another migrator.
    pub wait: Duration,
    /// Whether consecutive scripts commit together.
    pub single_transaction: bool,
    /// Who applies, for the journal.
    pub applier: Applier,
    /// Ends the migration early: the server cancels the statement that runs, and nothing else begins.
    pub stop: CancellationToken,
}

/// What a migration did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migrated {
    /// The last applied script before; `None` for an empty database.
    pub from: Option<i32>,
    /// The last applied script now.
    pub to: i32,
    /// How many scripts ran, including the baseline.
    pub scripts: usize,
}

/// Compares the schema with the embedded scripts; only reads.
///
/// # Errors
///
/// If the database cannot be queried.
pub async fn status<E: Engine>(engine: &mut E, history: &History) -> Result<Status, Error> {
    Ok(Status::assess(history, &observe(engine, history).await?))
}

/// Upgrades the database: takes the lock, reads the journal under it, plans, applies, releases the lock.
///
/// Every script commits together with its journal row. So a run that ends at any moment leaves the database at a script
/// boundary, and the next run goes on from there.
///
/// # Errors
///
/// If the lock is not free within the wait, if a migration cannot start from the schema state, or if a script fails.
/// Scripts that were applied before stay applied, and the error says what was rolled back. A migration that was stopped
/// also ends with an error, unless it was complete.
pub async fn migrate<E: Engine>(
    engine: &mut E,
    history: &History,
    options: &MigrateOptions,
    progress: &mut (dyn FnMut(Event) + Send),
) -> Result<Migrated, Error> {
    let locking = take_lock(engine, options.wait, &options.stop, progress);
    match or_stopped(&options.stop, locking).await {
        Some(locked) => locked?,
        None => {
            engine.abandon().await;
            return Err(stopped_early());
        }
    }
    let outcome = under_lock(engine, history, options, progress).await;
    // A session that was interrupted in the middle of a script is not used again; its end frees the lock.
    if let Err(Error { kind: ErrorKind::Unreachable, .. }) = outcome {
        engine.abandon().await;
        return outcome;
    }
    // The lock belongs to the session: if it cannot be released, the session ends and frees it.
    let released = engine.unlock().await;
    let migrated = outcome?;
    released?;
    Ok(migrated)
}

/// Waits for the server, after a request to stop for some seconds more. `None` if it does not answer by then.
async fn or_stopped<T>(stop: &CancellationToken, running: impl Future<Output = T>) -> Option<T> {
    const MOST: Duration = Duration::from_secs(5);
    let stopped = async {
        stop.cancelled().await;
        tokio::time::sleep(MOST).await;
    };
    tokio::select! {
        biased;
        done = running => Some(done),
        () = stopped => None,
    }
}

/// A request to stop came while the session waited for an answer, so that it cannot be used any more.
fn stopped_early() -> Error {
    let help = "nothing was applied: run `app migrate` again";
    Error::new(ErrorKind::Unreachable, "the migration was stopped before the first script", help)
}

async fn under_lock<E: Engine>(
    engine: &mut E,
    history: &History,
    options: &MigrateOptions,
    progress: &mut (dyn FnMut(Event) + Send),
) -> Result<Migrated, Error> {
    // Another session may hold a lock on the journal.
    let observed = or_stopped(&options.stop, observe(engine, history)).await;
    let observed = observed.unwrap_or_else(|| Err(stopped_early()))?;
    let status = Status::assess(history, &observed);
    let plan = Plan::make(history, &status, options.to, options.single_transaction)?;
    let scripts: Vec<_> = plan.scripts().collect();
    progress(Event::Planned { scripts: scripts.len() });
    if !scripts.is_empty() && observed.journal.is_none() {
        engine.create_journal().await?;
    }
    apply(engine, history, options, &plan, progress).await?;
    let from = status.applied;
    let numbered = scripts.iter().rfind(|script| script.kind != Kind::Always);
    let to = numbered.map(|script| script.number).or(from).unwrap_or(history.baseline.number);
    Ok(Migrated { from, to, scripts: scripts.len() })
}

async fn apply<E: Engine>(
    engine: &mut E,
    history: &History,
    options: &MigrateOptions,
    plan: &Plan<'_>,
    progress: &mut (dyn FnMut(Event) + Send),
) -> Result<(), Error> {
    let steps = Steps::of(history, &options.applier);
    for (index, transaction) in plan.transactions.iter().enumerate() {
        let step = |script, migration: &refinery::Migration| steps.step(script, migration.checksum());
        let next = transaction.scripts()[0];
        if options.stop.is_cancelled() {
            let message = format!("the migration was stopped before {}", next.file_name());
            let help = "the scripts before it stay applied: run `app migrate` to go on from there";
            return Err(Error::new(ErrorKind::Interrupted, message, help));
        }
        let canceller = engine.canceller();
        let outcome = if next.kind == Kind::Always {
            engine.create_always_journal().await?;
            let always = transaction.scripts().iter().map(|script| steps.always(script, history.latest()));
            let always: Vec<_> = always.collect();
            let running = bridge::apply(engine, &always, false, progress);
            stoppable(running, canceller, &options.stop, next).await
        } else {
            let running = bridge::run(engine, transaction, step, progress);
            stoppable(running, canceller, &options.stop, next).await
        };
        outcome.map_err(|failure| of_stop(report(history, plan, index, failure), &options.stop))?;
    }
    Ok(())
}

/// Who asked for the stop need not be told to look who cancelled the statement. All else that the help says stays.
fn of_stop(error: Error, stop: &CancellationToken) -> Error {
    let asks = format!("{WHO_CANCELLED}, then run");
    match stop.is_cancelled() {
        true => Error { help: error.help.replace(&asks, "the migration was stopped; run"), ..error },
        false => error,
    }
}

/// Runs all scripts in `always/` once more, in one transaction, whether they are due or not: to see that they can.
///
/// # Errors
///
/// If one fails; then all were rolled back.
pub async fn rerun_always<E: Engine>(
    engine: &mut E,
    history: &History,
    applier: &Applier,
) -> Result<(), Error> {
    let steps = Steps::of(history, applier);
    let always: Vec<_> = history.always.iter().collect();
    let again: Vec<_> = always.iter().map(|script| steps.always(script, history.latest())).collect();
    let plan = Plan { transactions: vec![Transaction::Together(always)] };
    let outcome = bridge::apply(engine, &again, false, &mut |_| {}).await;
    outcome.map_err(|failure| report(history, &plan, 0, failure))
}

/// Runs `seeds/NAME.sql` of a history, which a folder was read into, in a transaction and without a journal row. Returns false if there
/// is no such script.
///
/// # Errors
///
/// If the script fails; then it was rolled back.
pub async fn seed<E: Engine>(
    engine: &mut E,
    history: &History,
    name: &str,
    applier: &Applier,
) -> Result<bool, Error> {
    let Some(script) = history.seeds.iter().find(|script| script.name == name) else { return Ok(false) };
    let steps = [Steps::of(history, applier).step(script, 0)];
    let plan = Plan { transactions: vec![Transaction::Together(vec![script])] };
    let outcome = bridge::apply(engine, &steps, false, &mut |_| {}).await;
    outcome.map(|()| true).map_err(|failure| report(history, &plan, 0, failure))
}

/// Waits for the end of a script, which comes early after a request to stop.
async fn stoppable<'a>(
    running: impl Future<Output = Result<(), Failure<'a>>>,
    canceller: Option<Canceller>,
    stop: &CancellationToken,
    script: &'a Script,
) -> Result<(), Failure<'a>> {
    /// How often the runner asks the server to cancel: a request that comes between two statements has no effect.
    const AGAIN: Duration = Duration::from_secs(1);
    /// How long it waits for a server that does not answer. A manager kills the process after thirty seconds or more.
    const MOST: Duration = Duration::from_secs(20);
    let mut running = pin!(running);
    tokio::select! {
        biased;
        outcome = &mut running => return outcome,
        () = stop.cancelled() => {}
    }
    let Some(canceller) = canceller else {
        return Err(Failure::Step(script, StepError::Lost("the migration was stopped".to_owned())));
    };
    let mut ticks = tokio::time::interval(AGAIN);
    let until = tokio::time::sleep(MOST);
    let mut until = pin!(until);
    loop {
        tokio::select! {
            biased;
            outcome = &mut running => return outcome,
            () = &mut until => {
                let reason = "the migration was stopped, and the server did not end the statement".to_owned();
                return Err(Failure::Step(script, StepError::Lost(reason)));
            }
            _ = ticks.tick() => match timeout(AGAIN * 3, canceller.cancel()).await {
                Ok(Ok(())) => {}
                Ok(Err(reason)) => tracing::warn!(reason, "the server could not be asked to cancel"),
                Err(_) => tracing::warn!("the server does not answer the request to cancel"),
            },
        }
    }
}

/// Describes the state after a failure, for the person who has to act.
fn report(history: &History, plan: &Plan<'_>, failed: usize, failure: Failure<'_>) -> Error {
    let (script, error) = match failure {
        Failure::Other(error) => return error,
        Failure::Step(script, StepError::Lost(reason)) => return connection_lost(script, &reason),
        Failure::Step(script, StepError::Server(error)) => (script, *error),
    };
    let outcome = match (&plan.transactions[failed], error.end) {
        (Transaction::None(_), _) => format!(
            "{} ran outside a transaction: its changes until then stay, and the journal says that it began",
            script.file_name()
        ),
        (_, TransactionEnd::ByScript) => format!(
            "{} ended the transaction that it ran in: its changes before and after that may stay, and the journal has no row \
             of it",
            script.file_name()
        ),
        (_, TransactionEnd::Unknown) => {
            "the server did not say what became of the transaction: `app status` shows it".to_owned()
        }
        (Transaction::Together(scripts), _) if scripts.len() > 1 => format!(
            "rolled back {} to {}, which were to commit together",
            scripts[0].file_name(),
            scripts[scripts.len() - 1].file_name()
        ),
        (Transaction::Together(_), _) => format!("{} was rolled back as a whole", script.file_name()),
    };
    let remaining = &plan.transactions[failed..];
    let rest = Plan { transactions: remaining.to_vec() };
    let pending = rest.scripts().map(Script::file_name).collect();
    script_failed(history, script, error, outcome, pending)
}
