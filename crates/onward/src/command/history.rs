use onward_migrate::{Engine as _, JournalEntry, RowState, Session};
use serde_json::json;

use crate::config::context::Context;
use crate::config::database_url::ResolvedDatabase;
use crate::database::read::in_time;
use crate::process::exit::{CommandError, Exit};
use crate::process::terminal::data;

/// Shows the journal: each script that the database has, with when, by whom and how long.
pub(crate) async fn show(context: &Context, as_json: bool) -> Result<Exit, CommandError> {
    let database = ResolvedDatabase::resolve(context).await?;
    let mut engine = Session::connect(&database.url, &context.reading("history")).await?;
    let entries = in_time(engine.journal()).await?;
    if as_json {
        let objects: Vec<_> = entries.iter().map(|entry| object(context, entry)).collect();
        data(&serde_json::Value::from(objects).to_string())?;
        return Ok(Exit::Done);
    }
    if entries.is_empty() {
        data("nothing was applied")?;
    }
    for entry in &entries {
        data(line(context, entry).trim_end())?;
    }
    Ok(Exit::Done)
}

/// The title of a script that this binary embeds.
fn title<'a>(context: &'a Context, entry: &JournalEntry) -> Option<&'a str> {
    let script = context.history.all().find(|script| script.file_name() == entry.row.file_name())?;
    script.directives.title.as_deref()
}

fn line(context: &Context, entry: &JournalEntry) -> String {
    let JournalEntry { row, duration, applied_by, host, app_version, .. } = entry;
    let how = match (row.state, duration) {
        (RowState::Applied, Some(duration)) => format!("in {} ms", duration.as_millis()),
        (RowState::Applied, None) => "applied".to_owned(),
        (RowState::Adopted, _) => "adopted, not run".to_owned(),
        (RowState::Started, _) => "began and never ended".to_owned(),
    };
    let title = title(context, entry).unwrap_or_default();
    let file = row.file_name();
    format!("{}  {file}  {how}  by {applied_by} from {host}, version {app_version}  {title}", row.applied_on)
}

fn object(context: &Context, entry: &JournalEntry) -> serde_json::Value {
    let JournalEntry { row, duration, applied_by, host, app_version, .. } = entry;
    json!({
        "version": row.version,
        "file": row.file_name(),
        "title": title(context, entry),
        "state": row.state.as_str(),
        "applied_on": row.applied_on,
        "duration_ms": duration.map(|duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)),
        "applied_by": applied_by,
        "host": host,
        "app_version": app_version,
        "sha256": row.digest.map(|digest| digest.to_string()),
        "floor": row.floor,
    })
}
