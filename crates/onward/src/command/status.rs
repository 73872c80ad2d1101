use onward_migrate::{Error, SchemaState, Session, SessionOptions, Status};
use onward_script::{History, Script};
use serde_json::json;

use crate::command::migrate::Identity;
use crate::environment::Database;
use crate::exit::{Exit, Failed};
use crate::settings::Settings;
use crate::terminal::data;

async fn look(settings: &Settings, history: &History, identity: &Identity) -> Result<Status, Failed> {
    let database = Database::open(settings, history.dialect).await?;
    let application_name = format!("{} status", identity.name);
    let options = SessionOptions { application_name, lock_timeout: None };
    let mut engine = Session::connect(&database.url, &options).await?;
    Ok(onward_migrate::status(&mut engine, history).await?)
}

/// Shows the schema state; 0 whatever it is.
pub(crate) async fn show(
    settings: &Settings,
    history: &History,
    identity: &Identity,
    as_json: bool,
) -> Result<Exit, Failed> {
    let status = look(settings, history, identity).await?;
    let pending = || status.pending.iter().filter_map(|number| history.get(*number));
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

/// Exits with 0 if the schema is current, and says why where it is not.
pub(crate) async fn check(
    settings: &Settings,
    history: &History,
    identity: &Identity,
) -> Result<Exit, Failed> {
    let status = look(settings, history, identity).await?;
    if status.state == SchemaState::Current {
        return Ok(Exit::Done);
    }
    Err(Error::state(&status).into())
}
