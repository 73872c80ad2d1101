use std::fmt;

use onward_script::Script;
use refinery::traits::r#async::{AsyncQuery, AsyncTransaction};
use refinery::{AsyncMigrate, Migration, Runner};

use crate::engine::Engine;
use crate::error::{Error, ErrorKind, StepError};
use crate::event::Event;
use crate::journal::{JOURNAL, to_refinery};
use crate::plan::Transaction;
use crate::step::Step;

/// refinery's connection over one of Onward's engines.
///
/// refinery's runner passes each script with its own journal row. The engine runs a [`Step`] instead: the same script
/// with a journal row of more columns, which it commits together with the script. The plan was made under the lock, so the
/// bridge reads nothing again.
pub(crate) struct Bridge<'b, 'a, E> {
    engine: &'b mut E,
    steps: Vec<Step<'a>>,
    alone: bool,
    failure: Option<Failure<'a>>,
    progress: &'b mut (dyn FnMut(Event) + Send),
}

/// Why a transaction of the plan ended early.
pub(crate) enum Failure<'a> {
    /// The script's own step failed.
    Step(&'a Script, StepError),
    /// Something else failed.
    Other(Error),
}

/// Runs one transaction of the plan through refinery.
pub(crate) async fn run<'a, E: Engine>(
    engine: &mut E,
    transaction: &Transaction<'a>,
    step: impl Fn(&'a Script, &Migration) -> Step<'a>,
    progress: &mut (dyn FnMut(Event) + Send),
) -> Result<(), Failure<'a>> {
    let (scripts, alone) = (transaction.scripts(), matches!(transaction, Transaction::None(_)));
    let migrations: Vec<_> =
        scripts.iter().map(|script| to_refinery(script)).collect::<Result<_, _>>().map_err(plan_refused)?;
    let steps = scripts.iter().zip(&migrations).map(|(script, migration)| step(script, migration)).collect();
    let mut runner = Runner::new(&migrations).set_grouped(scripts.len() > 1).set_abort_missing(false);
    runner.set_migration_table_name(JOURNAL);
    let mut bridge = Bridge { engine, steps, alone, failure: None, progress };
    let outcome = runner.run_async(&mut bridge).await;
    match (bridge.failure, outcome) {
        (Some(failure), _) => Err(failure),
        (None, Err(error)) => Err(plan_refused(error)),
        (None, Ok(_)) => Ok(()),
    }
}

fn plan_refused<'a>(error: refinery::Error) -> Failure<'a> {
    let help = "this is a bug in Onward; please report it";
    Failure::Other(Error::new(ErrorKind::Database, format!("refinery refused the plan: {error}"), help))
}

/// Stops refinery's runner; the reason is in the bridge.
#[derive(Debug)]
pub(crate) struct Stopped;

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("stopped")
    }
}

impl std::error::Error for Stopped {}

/// Runs the steps of one transaction, or with `alone` one step without a transaction.
pub(crate) async fn apply<'a, E: Engine>(
    engine: &mut E,
    steps: &[Step<'a>],
    alone: bool,
    progress: &mut (dyn FnMut(Event) + Send),
) -> Result<(), Failure<'a>> {
    for Step { script, .. } in steps {
        let title = script.directives.title.clone();
        progress(Event::Started { file: script.file_name(), title });
    }
    let outcome = match steps {
        [step] if alone => engine.apply_alone(step).await.map(|took| vec![took]).map_err(|e| (0, e)),
        [step] => engine.apply(step).await.map(|took| vec![took]).map_err(|e| (0, e)),
        steps => engine.apply_together(steps).await,
    };
    for text in engine.notices() {
        progress(Event::Notice { text });
    }
    let took = outcome.map_err(|(index, error)| Failure::Step(steps[index].script, error))?;
    for (step, duration) in steps.iter().zip(took) {
        progress(Event::Applied { file: step.script.file_name(), duration });
    }
    Ok(())
}

impl<E: Engine> AsyncTransaction for Bridge<'_, '_, E> {
    type Error = Stopped;

    /// Called once for the journal's table and once for the scripts, each followed by refinery's row for it.
    async fn execute<'q, T: Iterator<Item = &'q str> + Send + 'q>(
        &'q mut self,
        queries: T,
    ) -> Result<usize, Stopped> {
        let count = queries.count();
        if count < 2 {
            return Ok(0);
        }
        debug_assert_eq!(count, self.steps.len() * 2, "refinery runs what it was given");
        let applied = apply(self.engine, &self.steps, self.alone, self.progress).await;
        applied.map(|()| count).map_err(|failure| {
            self.failure = Some(failure);
            Stopped
        })
    }
}

impl<E: Engine> AsyncQuery<Vec<Migration>> for Bridge<'_, '_, E> {
    async fn query(&mut self, _: &str) -> Result<Vec<Migration>, Stopped> {
        Ok(Vec::new())
    }
}

impl<E: Engine> AsyncMigrate for Bridge<'_, '_, E> {}
