//! `schema.lock` and `schema.sql`: the schema after each sealed script and `always/`, found by running the scripts on a scratch database.

use std::path::Path;

use onward_migrate::{Applier, Engine as _, Session, SessionOptions};
use onward_script::{Catalog, Dialect, History, Lock, SchemaLock};

use super::dump::{Content, pg_dump};
use crate::process::exit::CommandError;
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
/// If a script fails.
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
    let scratch = match ScratchDatabase::create(history.dialect, root, "seal").await {
        Ok(scratch) => scratch,
        Err(error) => {
            note(&format!(
                "note: schema.lock was not written, so `adopt` cannot compare a database: {}; {}",
                error.message, error.help
            ));
            return Ok(None);
        }
    };
    let described = run(&scratch, history, lock, before, applier).await;
    scratch.remove().await?;
    described.map(Some)
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
        let after = session.catalog(&Catalog::default()).await?;
        schema.push(&script.file_name(), script.digest, &after);
    }
    if let Some(digest) = history.always_digest() {
        scratch.apply(history, None, applier).await?;
        schema.push_always(digest, &session.catalog(&Catalog::default()).await?);
    }
    let sql = pg_dump(scratch, Content::Schema).map(|dumped| objects(&dumped)).inspect_err(|error| {
        note(&format!("note: schema.sql was not written: {}; {}", error.message, error.help));
    });
    Ok(Described { lock: schema, sql: sql.ok() })
}

/// A dump without the settings at its start and the mark at its end.
fn objects(dumped: &str) -> String {
    let start = dumped.find("--\n-- Name: ").unwrap_or(dumped.len());
    let end = dumped.find("--\n-- PostgreSQL database dump complete").unwrap_or(dumped.len());
    format!("{}\n", dumped[start..end.max(start)].trim_end())
}
