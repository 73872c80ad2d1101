//! `schema.lock` and `schema.sql`: the schema after each sealed script and `always/`, found by running the scripts on a scratch database.

use std::path::Path;

use onward_local::PrivatePostgres;
use onward_migrate::{Applier, Engine as _, Error, SchemaState, Session, SessionOptions};
use onward_script::{ALWAYS, Catalog, Dialect, History, Lock, SchemaLock, Script};

use super::dump::{Content, pg_dump};
use crate::process::exit::{CommandError, Exit};
use crate::process::terminal::note;
use crate::scratch::ScratchDatabase;

/// What the files hold.
pub(crate) struct Described {
    pub lock: SchemaLock,
    /// The schema after the last script as SQL; `None` without `pg_dump`.
    pub sql: Option<String>,
}

/// Describes the schema after each script of a lock. What `before` describes rightly is taken over. `None` if this machine
/// cannot run the scripts: then a note says why.
///
/// # Errors
///
/// If a script fails, or the private server.
pub(crate) async fn describe(
    root: &Path,
    history: &History,
    lock: &Lock,
    before: SchemaLock,
    applier: Applier,
) -> Result<Option<Described>, CommandError> {
    if history.dialect == Dialect::SqlServer {
        return Ok(None);
    }
    if let Err(error) = PrivatePostgres::is_possible() {
        note(&format!(
            "note: schema.lock was not written, so `adopt` cannot compare a database: {}; {}",
            error.message, error.help
        ));
        return Ok(None);
    }
    let scratch = ScratchDatabase::create(history.dialect, root, "seal").await?;
    let described = run(&scratch, history, lock, before, applier).await;
    scratch.remove().await?;
    described.map(Some).map_err(|error| CommandError { help: sealing(&error.help), ..error })
}

/// The remedy of the migrator, for whom no database is at stake yet.
fn sealing(help: &str) -> String {
    help.replace("rebuild, and run `app migrate` again", "seal again")
        .replace("run `app migrate` again", "seal again")
}

async fn run(
    scratch: &ScratchDatabase,
    history: &History,
    lock: &Lock,
    mut schema: SchemaLock,
    applier: Applier,
) -> Result<Described, CommandError> {
    schema.truncate(schema.described(lock));
    schema.forget_always();
    let numbered = &history.without_always();
    let described = schema.len();
    let scripts: Vec<_> = history.all().take(lock.lines.len()).collect();
    if let Some(last) = described.checked_sub(1).and_then(|last| scripts.get(last)) {
        scratch.apply(numbered, Some(last.number), applier.clone()).await?;
    }
    let mut session = Session::connect(&scratch.url, &SessionOptions::default()).await?;
    for script in scripts.iter().skip(described) {
        scratch.apply(numbered, Some(script.number), applier.clone()).await?;
        require_journal(&mut session, numbered, script).await?;
        let after = session.catalog(&Catalog::default()).await?;
        schema.push(&script.file_name(), script.digest, &after);
    }
    if let Some(digest) = history.always_digest() {
        let before = session.catalog(&Catalog::default()).await?;
        scratch.apply(history, None, applier.clone()).await?;
        let once = session.catalog(&Catalog::default()).await?;
        onward_migrate::rerun_always(&mut session, history, &applier).await.map_err(|error| Error {
            message: format!("a script in {ALWAYS}/ cannot run a second time: {}", error.message),
            ..error
        })?;
        let twice = session.catalog(&Catalog::default()).await?;
        unchanged(&before, &once, &twice)?;
        schema.push_always(digest, &once);
    }
    let sql = pg_dump(scratch, Content::Schema).map(|dumped| objects(&dumped)).inspect_err(|error| {
        note(&format!("note: schema.sql was not written: {}; {}", error.message, error.help));
    });
    Ok(Described { lock: schema, sql: sql.ok() })
}

/// A script that writes to the journal would leave a database that no binary understands any more.
async fn require_journal(
    session: &mut Session,
    history: &History,
    script: &Script,
) -> Result<(), CommandError> {
    let status = onward_migrate::status(session, history).await?;
    let is_sound = matches!(status.state, SchemaState::Current | SchemaState::Behind);
    if is_sound && status.applied == Some(script.number) {
        return Ok(());
    }
    let message = format!(
        "{} changes the journal, so that the schema is {} after it",
        script.file_name(),
        status.state.as_str()
    );
    let help = "take what writes to `schema_journal` and `schema_always` out of the script: they belong to the migrator";
    Err(CommandError::new(Exit::Failed, message, help))
}

/// What runs always must find the same at each run, and take away nothing that a numbered script has made.
fn unchanged(before: &Catalog, once: &Catalog, twice: &Catalog) -> Result<(), CommandError> {
    let removed = before.iter().find(|(object, _)| once.get(object).is_none());
    if let Some((object, _)) = removed {
        let message = format!("the scripts in {ALWAYS}/ remove {object}, which a numbered script makes");
        let help = "remove it in a numbered script with `-- onward: contract`";
        return Err(CommandError::new(Exit::Failed, message, help));
    }
    match once.differences(twice).first() {
        None => Ok(()),
        Some(first) => {
            let message = format!("the second run of {ALWAYS}/ makes another schema than the first: {first}");
            Err(CommandError::new(
                Exit::Failed,
                message,
                "write each script so that a second run changes nothing",
            ))
        }
    }
}

/// A dump without the settings at its start and the mark at its end.
fn objects(dumped: &str) -> String {
    let start = dumped.find("--\n-- Name: ").unwrap_or(dumped.len());
    let end = dumped.find("--\n-- PostgreSQL database dump complete").unwrap_or(dumped.len());
    format!("{}\n", dumped[start..end.max(start)].trim_end())
}
