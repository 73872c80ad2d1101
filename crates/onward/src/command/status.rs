use onward_migrate::{JournalRow, SchemaState, Session, Status};
use onward_script::{Script, always_name};
use serde_json::json;

use crate::config::context::Context;
use crate::config::database_url::ResolvedDatabase;
use crate::database::read::in_time;
use crate::process::exit::{CommandError, Exit};
use crate::process::program::named;
use crate::process::terminal::data;

/// What the database says of itself.
struct Look {
    engine: Session,
    /// Its address, without a password.
    database: String,
    status: Status,
    /// The row of the script that was applied last.
    last: Option<JournalRow>,
}

async fn look(context: &Context) -> Result<Look, CommandError> {
    let database = ResolvedDatabase::resolve(context).await?;
    let mut engine = Session::connect(&database.url, &context.reading("status")).await?;
    let observed = in_time(onward_migrate::observe(&mut engine, &context.history)).await?;
    let status = Status::assess(&context.history, &observed);
    Ok(Look {
        engine,
        database: database.url.to_string(),
        status,
        last: observed.journal.and_then(|mut rows| rows.pop()),
    })
}

/// What to show.
pub(crate) struct Options {
    pub as_json: bool,
    /// Whether the exit code is that of the state.
    pub by_state: bool,
    /// Whether to compare the objects; grants, too, if that says true.
    pub drift: Option<bool>,
}

/// Shows the schema state, and what to do. Exits with 0 in every state, or by the state if that is asked for.
pub(crate) async fn show(context: &Context, options: &Options) -> Result<Exit, CommandError> {
    let Look { mut engine, database, status, last } = look(context).await?;
    let drift = match (options.drift, status.applied) {
        (Some(with_grants), Some(applied)) => {
            Some(in_time(onward_migrate::drift(&mut engine, &context.history, applied, with_grants)).await?)
        }
        _ => None,
    };
    let differs = drift.as_ref().is_some_and(|drift| !drift.differences.is_empty());
    let is_well = status.state == SchemaState::Current && !differs;
    let exit = if options.by_state && !is_well { Exit::Schema } else { Exit::Done };
    let pending = || status.pending.iter().filter_map(|number| context.history.get(*number));
    let help = named(&context.state_error(&status).help);
    let applied_on = last.map(|row| row.applied_on);
    if options.as_json {
        let always = status.always.iter().map(|name| always_name(name));
        let files: Vec<_> = pending().map(Script::file_name).chain(always).collect();
        let divergences: Vec<_> = status.divergences.iter().map(ToString::to_string).collect();
        let differences = drift.map(|drift| {
            drift.differences.iter().map(|difference| {
                json!({"object": difference.object, "expected": difference.expected, "found": difference.found})
            }).collect::<Vec<_>>()
        });
        let mut object = json!({
            "database": database,
            "state": status.state.as_str(),
            "applied": status.applied,
            "applied_on": applied_on,
            "latest": status.latest,
            "pending": files,
            "floor": status.floor,
            "divergences": divergences,
            "help": help,
        });
        if let Some(differences) = differences {
            object["drift"] = differences.into();
        }
        data(&object.to_string())?;
        return Ok(exit);
    }
    let applied = status.applied.map_or_else(|| "nothing".to_owned(), |applied| format!("{applied:04}"));
    let on = applied_on.map(|on| format!("  {on}")).unwrap_or_default();
    data(&format!("database {database}"))?;
    data(&format!("state    {}", status.state))?;
    data(&format!("applied  {applied}{on}"))?;
    data(&format!("latest   {:04}", status.latest))?;
    for script in pending() {
        let title = script.directives.title.as_deref().unwrap_or_default();
        data(format!("pending  {}  {title}", script.file_name()).trim_end())?;
    }
    for name in &status.always {
        data(&format!("pending  {}", always_name(name)))?;
    }
    for divergence in &status.divergences {
        data(&format!("problem  {divergence}"))?;
    }
    match &drift {
        Some(drift) if differs => {
            for difference in &drift.differences {
                data(&format!("drift    {difference}"))?;
            }
        }
        Some(drift) => {
            data(&format!("drift    none: {} object(s) are as the scripts make them", drift.objects))?
        }
        None => {}
    }
    if status.state != SchemaState::Current {
        data(&format!("help     {help}"))?;
    }
    Ok(exit)
}

/// Exits with 0 if the schema is current; otherwise the error says why it is not.
pub(crate) async fn check(context: &Context) -> Result<Exit, CommandError> {
    let Look { status, .. } = look(context).await?;
    if status.state == SchemaState::Current {
        return Ok(Exit::Done);
    }
    Err(context.state_error(&status).into())
}
