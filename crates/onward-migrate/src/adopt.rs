use std::time::Duration;

use onward_script::import::Tool;
use onward_script::{Dialect, History, Script};
use tokio_util::sync::CancellationToken;

use crate::comparison::drift;
use crate::engine::Engine;
use crate::error::{Error, ErrorKind};
use crate::event::Event;
use crate::foreign_journal::ForeignJournal;
use crate::journal::to_refinery;
use crate::lock::take_lock;
use crate::observation::observe;
use crate::state::{SchemaState, Status};
use crate::step::{Applier, Steps};

/// How to take over an existing database.
#[derive(Debug, Clone)]
pub struct AdoptOptions {
    /// The last script whose changes the database already contains; by default only the baseline.
    pub through: Option<i32>,
    /// The tool whose history table names the last script; then `through` must be the script that it names.
    pub from: Option<Tool>,
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
    let status = Status::assess(history, &observe(engine, history).await?);
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
    if let Some(tool) = options.from {
        let now = takeover_of(&status, history, Some(tool))?;
        if now.through != through {
            let message = format!("meanwhile {tool} has run: its table is at {}", now.journal);
            return Err(Error::new(
                ErrorKind::Database,
                message,
                "stop its jobs, then run the command again",
            ));
        }
    }
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

/// The command that records the same without a comparison. Without the number it would record the baseline alone.
fn unverified(through: i32) -> String {
    format!("record without a comparison: `app adopt --through {through} --unverified`")
}

/// What [`takeover`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Takeover {
    /// The history table of the other tool.
    pub journal: ForeignJournal,
    /// The script to adopt through.
    pub through: i32,
    /// Whether the old names of the scripts say so. Otherwise it is the baseline, and only a comparison of the schema can confirm it.
    pub by_name: bool,
}

/// Finds out how far another tool has brought the database: its history table has the old names of the scripts, which their
/// directive `was` keeps. `tool` may be left open if only one was there. It only reads.
///
/// # Errors
///
/// If there is no such table, if there are several, if the tool has failed half-way, or if the table and the scripts do not agree.
pub async fn takeover<E: Engine>(
    engine: &mut E,
    history: &History,
    tool: Option<Tool>,
) -> Result<Takeover, Error> {
    takeover_of(&Status::assess(history, &observe(engine, history).await?), history, tool)
}

fn takeover_of(status: &Status, history: &History, tool: Option<Tool>) -> Result<Takeover, Error> {
    let wanted = |journal: &&ForeignJournal| tool.is_none_or(|tool| journal.tool == tool);
    let all: Vec<_> = status.foreign.iter().filter(wanted).collect();
    let journal = match &all[..] {
        [journal] => (*journal).clone(),
        [] => {
            let what = tool.map_or_else(|| "a migration tool".to_owned(), |tool| tool.to_string());
            let message = format!("the database has no history table of {what} that this role can see");
            let help = "give another `--from`, or the number of the last script: `--through N`";
            return Err(Error::new(ErrorKind::Usage, message, help));
        }
        several => {
            let names: Vec<_> =
                several.iter().map(|journal| format!("{} ({})", journal.table, journal.tool)).collect();
            let message = format!("the database has several history tables: {}", names.join(", "));
            let help = match several.iter().any(|journal| journal.tool != several[0].tool) {
                true => "name the tool in use: `--from TOOL`",
                false => {
                    "drop the table that is not in use, or give the number of the last script: `--through N`"
                }
            };
            return Err(Error::new(ErrorKind::Usage, message, help));
        }
    };
    let disagree = |message: String| {
        let help = "correct it with the old tool, or the directives `-- onward: was NAME` of the scripts";
        Error::new(ErrorKind::State(Box::new(status.clone())), message, help)
    };
    let by_name = journal.last_applied(history).map_err(disagree)?;
    let through = by_name.unwrap_or(history.baseline.number);
    Ok(Takeover { journal, through, by_name: by_name.is_some() })
}

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
        ErrorKind::Usage => Error { help: format!("{}; or {}", error.help, unverified(through)), ..error },
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
        None => format!("correct the database or the scripts; or {}", unverified(through)),
    };
    Err(Error::new(ErrorKind::Drift(Box::new(drift)), message, help))
}
