use std::time::Duration;

use onward_script::History;
use tokio_util::sync::CancellationToken;

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
}

/// What an adoption recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Adopted {
    /// The last script that is recorded.
    pub through: i32,
    /// How many were recorded, including the baseline.
    pub scripts: usize,
}

/// Takes over a database that has tables and no journal: records the baseline, and the scripts up to `through`,
/// without running them. It records everything or nothing.
///
/// # Errors
///
/// If the lock is not free within the wait, if the database is empty or already has a journal, or if no script
/// `through` exists.
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
    Ok(Adopted { through, scripts: steps.len() })
}
