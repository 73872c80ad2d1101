use std::time::Duration;

use onward_script::{Dialect, History, Script};
use tokio_util::sync::CancellationToken;

use crate::comparison::drift;
use crate::engine::Engine;
use crate::error::{Error, ErrorKind};
use crate::event::Event;
use crate::journal::to_refinery;
use crate::lock::take_lock;
use crate::state::{SchemaState, Status};
use crate::step::{Applier, Steps};

/// How to take over an existing database.
#[derive(Debug, Clone)]
pub struct AdoptOptions {
    /// The last script whose changes the database already contains; by default only the baseline.
    pub through: Option<i32>,
    /// How long to wait for another migrator.
    pub wait: Duration,
    /// Who adopts, for the journal.
    pub applier: Applier,
    /// What is compared before anything is recorded.
    pub verification: Verification,
}

/// What [`adopt`] compares before it records anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verification {
    /// The schema of the database with the one that `schema.lock` describes. On SQL Server nothing is compared.
    Schema {
        /// Whether grants count, too.
        with_grants: bool,
    },
    /// Nothing.
    None,
}

/// What an adoption recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Adopted {
    /// The last script that is recorded.
    pub through: i32,
    /// How many were recorded, including the baseline.
    pub scripts: usize,
    /// How many objects of the database were found as the scripts make them; `None` if nothing was compared.
    pub compared: Option<usize>,
}

/// Takes over a database that has tables and no journal: records the baseline, and the scripts up to `through`,
/// without running them. It records everything or nothing.
///
/// # Errors
///
/// If the lock is not free within the wait, if the database is empty or already has a journal, if no script `through` exists,
/// or if the schema is not the one that the scripts make.
pub async fn adopt<E: Engine>(
    engine: &mut E,
    history: &History,
    options: &AdoptOptions,
    progress: &mut (dyn FnMut(Event) + Send),
) -> Result<Adopted, Error> {
    take_lock(engine, options.wait, &CancellationToken::new(), progress).await?;
    let outcome = record(engine, history, options).await;
    let released = engine.unlock().await;
    let adopted = outcome?;
    released?;
    Ok(adopted)
}

async fn record<E: Engine>(
    engine: &mut E,
    history: &History,
    options: &AdoptOptions,
) -> Result<Adopted, Error> {
    let status = Status::assess(history, &engine.observe().await?);
    match status.state {
        SchemaState::Unversioned => {}
        SchemaState::Empty => {
            let message = "there is nothing to adopt: the database is empty";
            return Err(Error::new(ErrorKind::State(Box::new(status)), message, "run `app migrate`"));
        }
        _ => {
            let message = "there is nothing to adopt: the database has a journal";
            let help = "run `app status` to see its state";
            return Err(Error::new(ErrorKind::State(Box::new(status)), message, help));
        }
    }
    let first = history.baseline.number;
    let through = options.through.unwrap_or(first);
    if through < first || through > history.latest() {
        let message = format!("there is no script {through:04} to adopt through");
        let help = format!("give `--through` a number from {first} to {}", history.latest());
        return Err(Error::new(ErrorKind::Usage, message, help));
    }
    let compared = compare(engine, history, through, options.verification).await?;
    let steps = Steps::of(history, &options.applier);
    let steps: Vec<_> = history
        .all()
        .take_while(|script| script.number <= through)
        .map(|script| match to_refinery(script) {
            Ok(migration) => Ok(steps.step(script, migration.checksum())),
            Err(error) => {
                let help = "this is a bug in Onward; please report it";
                Err(Error::new(ErrorKind::Database, format!("refinery refused a script: {error}"), help))
            }
        })
        .collect::<Result<_, Error>>()?;
    engine.create_journal().await?;
    engine.record(&steps).await?;
    Ok(Adopted { through, scripts: steps.len(), compared })
}

const UNVERIFIED: &str = "record without a comparison: `app adopt --unverified`";

async fn compare<E: Engine>(
    engine: &mut E,
    history: &History,
    through: i32,
    verification: Verification,
) -> Result<Option<usize>, Error> {
    let Verification::Schema { with_grants } = verification else { return Ok(None) };
    if history.dialect == Dialect::SqlServer {
        return Ok(None);
    }
    let drift = drift(engine, history, through, with_grants).await.map_err(|error| match error.kind {
        ErrorKind::Usage => Error { help: format!("{}; or {UNVERIFIED}", error.help), ..error },
        _ => error,
    })?;
    if drift.differences.is_empty() {
        return Ok(Some(drift.objects));
    }
    let script = history.get(through).map_or_else(String::new, Script::file_name);
    let message =
        format!("nothing was recorded: the database does not have the schema after {script}\n{drift}");
    let help = match history.schema_like(&drift.found, with_grants) {
        Some(number) => format!("it has the schema after script {number:04}: `app adopt --through {number}`"),
        None => format!("correct the database or the scripts; or {UNVERIFIED}"),
    };
    Err(Error::new(ErrorKind::Drift(Box::new(drift)), message, help))
}
