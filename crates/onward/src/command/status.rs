use onward_migrate::{Engine as _, JournalRow, SchemaState, Session, Status};
use onward_script::Script;
use serde_json::json;

use crate::config::context::Context;
use crate::config::database_url::ResolvedDatabase;
use crate::process::exit::{CommandError, Exit};
use crate::process::terminal::data;

/// What the database says of itself.
struct Look {
    /// Its address, without a password.
    database: String,
    status: Status,
    /// The row of the script that was applied last.
    last: Option<JournalRow>,
}

async fn look(context: &Context) -> Result<Look, CommandError> {
    let database = ResolvedDatabase::resolve(context).await?;
    let mut engine = Session::connect(&database.url, &context.reading("status")).await?;
    let observed = engine.observe().await?;
    Ok(Look {
        database: database.url.to_string(),
        status: Status::assess(&context.history, &observed),
        last: observed.journal.and_then(|mut rows| rows.pop()),
    })
}

/// Shows the schema state, and what to do. Exits with 0 in every state, or by the state if that is asked for.
pub(crate) async fn show(context: &Context, as_json: bool, by_state: bool) -> Result<Exit, CommandError> {
    let Look { database, status, last } = look(context).await?;
    let exit = if by_state && status.state != SchemaState::Current { Exit::Schema } else { Exit::Done };
    let pending = || status.pending.iter().filter_map(|number| context.history.get(*number));
    let help = context.state_error(&status).help;
    let applied_on = last.map(|row| row.applied_on);
    if as_json {
        let files: Vec<_> = pending().map(Script::file_name).collect();
        let divergences: Vec<_> = status.divergences.iter().map(ToString::to_string).collect();
        let object = json!({
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
    for divergence in &status.divergences {
        data(&format!("problem  {divergence}"))?;
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
