//! `script squash`: the baseline and the scripts up to N become one baseline, a dump of the database that they make.

use std::fs;
use std::path::Path;

use onward_migrate::Applier;
use onward_script::{Dialect, Digest, History, LOCK_FILE, Lock, SCHEMA_LOCK_FILE, SchemaLock, baseline_name};

use super::dump::{Content, pg_dump};
use super::project::Project;
use crate::process::exit::{CommandError, Exit};
use crate::process::terminal::data;
use crate::scratch::ScratchDatabase;

impl Project<'_> {
    /// Folds the oldest scripts into a new baseline. A database that has them needs nothing, because its journal lists
    /// them. An empty database starts from the new baseline.
    pub(super) async fn squash(&self, through: i32, applier: &Applier) -> Result<Exit, CommandError> {
        let history = self.history()?;
        let text = baseline(self.root, &history, through, applier.clone()).await?;
        let name = baseline_name(through);
        let mut lock = Lock::default();
        lock.push(&name, Digest::of(text.as_bytes()));
        for script in history.scripts.iter().filter(|script| script.number > through && script.sealed) {
            lock.push(&script.file_name(), script.digest);
        }
        let before = fs::read_to_string(self.path(SCHEMA_LOCK_FILE)).ok();
        let schema = before.and_then(|before| SchemaLock::parse(&before).ok());
        let through_name = history.get(through).map_or_else(String::new, onward_script::Script::file_name);
        let schema =
            schema.and_then(|schema| schema.squashed(&through_name, &name, Digest::of(text.as_bytes())));
        self.write(&name, &text)?;
        self.write(LOCK_FILE, &lock.to_text())?;
        if let Some(schema) = schema {
            self.write(SCHEMA_LOCK_FILE, &schema.to_text())?;
        }
        let folded: Vec<_> = history.all().filter(|script| script.number <= through).collect();
        for script in &folded {
            let path = self.path(&script.file_name());
            fs::remove_file(&path).map_err(|error| {
                let message = format!("{} cannot be removed: {error}", path.display());
                CommandError::new(Exit::Failed, message, "remove it by hand: the new baseline contains it")
            })?;
        }
        data(&format!("{}/{name} contains {} script(s), which are removed", self.folder, folded.len()))?;
        Ok(Exit::Done)
    }
}

/// The text of the new baseline.
async fn baseline(
    root: &Path,
    history: &History,
    through: i32,
    applier: Applier,
) -> Result<String, CommandError> {
    check(history, through)?;
    let dumped = dump(root, history, through, applier.clone()).await?;
    let contract =
        history.floor_at(through) > history.baseline.number || history.baseline.directives.contract;
    let directive = if contract { "-- onward: contract\n" } else { "" };
    let text = format!("-- onward: title Everything up to {through:04}\n{directive}\n{dumped}");

    // The new baseline must make the same database again.
    let again = dump(root, &alone(history, through, &text)?, through, applier).await?;
    if again != dumped {
        let message = "the dump of the scripts does not make the same database again";
        let help = "write the baseline by hand from `pg_dump`, and compare";
        return Err(CommandError::new(Exit::Failed, message, help));
    }
    Ok(text)
}

fn check(history: &History, through: i32) -> Result<(), CommandError> {
    if history.dialect == Dialect::SqlServer {
        let name = baseline_name(through);
        let help = format!(
            "run `migrate --to {through}` on an empty database, script its objects and data (SSMS: Tasks, Generate \
             Scripts, schema and data, without schema_journal) into {name}, remove the old baseline and the scripts up \
             to {through}, their lines in scripts.lock too, and run `script seal`"
        );
        return Err(CommandError::new(
            Exit::Usage,
            "SQL Server has no dump, so a squash is manual work",
            help,
        ));
    }
    if through <= history.baseline.number || through > history.latest() {
        let message = format!("there is no script {through:04} to squash through");
        let help = format!("give a number from {} to {}", history.baseline.number + 1, history.latest());
        return Err(CommandError::new(Exit::Usage, message, help));
    }
    match history.all().find(|script| script.number <= through && !script.sealed) {
        None => Ok(()),
        Some(draft) => {
            let message = format!("{} is a draft, and a squash folds sealed scripts only", draft.file_name());
            Err(CommandError::new(Exit::Failed, message, "run `script seal` first"))
        }
    }
}

/// A history of the new baseline only.
fn alone(history: &History, through: i32, text: &str) -> Result<History, CommandError> {
    let entry = onward_script::Entry {
        name: baseline_name(through),
        content: onward_script::Content::File(text.as_bytes().to_vec()),
    };
    let folder = onward_script::Folder { path: history.folder.clone(), entries: vec![entry] };
    let options = onward_script::CheckOptions {
        dialect: history.dialect,
        release: false,
        ..onward_script::CheckOptions::default()
    };
    let checked = onward_script::check(&folder, options, &onward_script::Known::default());
    let reasons: Vec<_> = checked.findings.iter().map(|finding| finding.message.as_str()).collect();
    checked.history.ok_or_else(|| {
        let message = format!("the dump does not pass the rules: {}", reasons.join("; "));
        CommandError::new(Exit::Failed, message, "write the baseline by hand from `pg_dump`")
    })
}

/// The database that a history makes, as SQL.
async fn dump(
    root: &Path,
    history: &History,
    through: i32,
    applier: Applier,
) -> Result<String, CommandError> {
    let scratch = ScratchDatabase::create(history.dialect, root, "squash").await?;
    // What runs always is no part of a baseline.
    let history = &history.without_always();
    let dumped = match scratch.apply(history, Some(through), applier).await {
        Ok(_) => pg_dump(&scratch, Content::SchemaAndData),
        Err(error) => Err(error.into()),
    };
    scratch.remove().await?;
    dumped
}
