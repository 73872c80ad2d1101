use onward_migrate::{Error, SchemaState, Session, Status};
use onward_script::Script;
use serde_json::json;

use crate::config::context::Context;
use crate::config::database_url::ResolvedDatabase;
use crate::process::exit::{CommandError, Exit};
use crate::process::terminal::data;

async fn look(context: &Context) -> Result<Status, CommandError> {
    let database = ResolvedDatabase::resolve(context).await?;
    let mut engine = Session::connect(&database.url, &context.reading("status")).await?;
    Ok(onward_migrate::status(&mut engine, &context.history).await?)
}

/// Shows the schema state; exits with 0 in every state.
pub(crate) async fn show(context: &Context, as_json: bool) -> Result<Exit, CommandError> {
    let status = look(context).await?;
    let pending = || status.pending.iter().filter_map(|number| context.history.get(*number));
    if as_json {
        let files: Vec<_> = pending().map(Script::file_name).collect();
        let divergences: Vec<_> = status.divergences.iter().map(ToString::to_string).collect();
        let object = json!({
            "state": status.state.as_str(),
            "applied": status.applied,
            "latest": status.latest,
            "pending": files,
            "floor": status.floor,
            "divergences": divergences,
        });
        data(&object.to_string())?;
        return Ok(Exit::Done);
    }
    let applied = status.applied.map_or_else(|| "nothing".to_owned(), |applied| format!("{applied:04}"));
    data(&format!("state    {}", status.state))?;
    data(&format!("applied  {applied}"))?;
    data(&format!("latest   {:04}", status.latest))?;
    for script in pending() {
        let title = script.directives.title.as_deref().unwrap_or_default();
        data(format!("pending  {}  {title}", script.file_name()).trim_end())?;
    }
    for divergence in &status.divergences {
        data(&format!("problem  {divergence}"))?;
    }
    Ok(Exit::Done)
}

/// Exits with 0 if the schema is current; otherwise the error says why it is not.
pub(crate) async fn check(context: &Context) -> Result<Exit, CommandError> {
    let status = look(context).await?;
    if status.state == SchemaState::Current {
        return Ok(Exit::Done);
    }
    Err(Error::state(&status).into())
}
