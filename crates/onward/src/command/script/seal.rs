//! `script seal`: what must never change again, with the schema that it makes.

use std::fs;

use onward_migrate::Applier;
use onward_script::{
    History, LOCK_FILE, Lock, RULES_VERSION, Rule, SCHEMA_FILE, SCHEMA_LOCK_FILE, SchemaLock, Severity,
};

use super::project::{Project, text};
use super::schema::{self, Described};
use crate::process::exit::{CommandError, Exit};
use crate::process::terminal::{data, note};

impl Project<'_> {
    /// Seals the drafts if they pass the rules of a release build. After that a script must not change any more.
    pub(super) async fn seal(&self, without_schema: bool, applier: &Applier) -> Result<Exit, CommandError> {
        let mut checked = self.checked(true);
        checked.findings.retain(|finding| finding.rule != Rule::Draft);
        let (errors, warnings): (Vec<_>, Vec<_>) =
            checked.findings.iter().partition(|finding| finding.severity == Severity::Error);
        for warning in warnings {
            note(&text(&checked, warning));
        }
        if !errors.is_empty() {
            let findings: Vec<_> = errors.into_iter().map(|finding| text(&checked, finding)).collect();
            let help = "correct the findings, or silence a lint with its reason, then seal again";
            return Err(CommandError::new(
                Exit::Failed,
                format!("nothing was sealed\n{}", findings.join("\n")),
                help,
            ));
        }
        let history = self.history()?;
        let mut lock = self.lock()?;
        let drafts: Vec<_> = history.all().filter(|script| !script.sealed).collect();
        for script in &drafts {
            lock.push(&script.file_name(), script.digest);
        }
        // What the scripts really do is seen before they are sealed.
        let described = match without_schema {
            true => None,
            false => self.describe(&history, &lock, applier).await?,
        };
        let passed_before = lock.rules == Some(RULES_VERSION);
        if drafts.is_empty() && passed_before && described.is_none() {
            data("nothing to do: every script is sealed")?;
            return Ok(Exit::Done);
        }
        lock.rules = Some(RULES_VERSION);
        self.write(LOCK_FILE, &lock.to_text())?;
        if drafts.is_empty() && !passed_before {
            data("every script is sealed; the lock says now that all have passed the rules of this version")?;
        }
        for script in drafts {
            data(&format!("sealed {}/{}", self.folder, script.file_name()))?;
        }
        if let Some(described) = described {
            self.write_schema(&described)?;
        }
        Ok(Exit::Done)
    }

    /// Describes the schema after each sealed script, unless the files do so already.
    async fn describe(
        &self,
        history: &History,
        lock: &Lock,
        applier: &Applier,
    ) -> Result<Option<Described>, CommandError> {
        let before = fs::read_to_string(self.path(SCHEMA_LOCK_FILE)).unwrap_or_default();
        // A file that cannot be read is written anew; the build says what is wrong with it.
        let before = SchemaLock::parse(&before).unwrap_or_default();
        let is_whole = before.len() == lock.lines.len()
            && before.described(lock) == before.len()
            && before.always_digest() == history.always_digest();
        if is_whole && self.path(SCHEMA_FILE).is_file() {
            return Ok(None);
        }
        let described = schema::describe(self.root, history, lock, before, applier.clone()).await;
        described.map_err(|error| {
            let message = format!("nothing was sealed: on a scratch database {}", error.message);
            let help = format!(
                "{}; if this server lacks what the script needs: `app script seal --without-schema`",
                error.help
            );
            CommandError { message, help, ..error }
        })
    }

    fn write_schema(&self, described: &Described) -> Result<(), CommandError> {
        self.write(SCHEMA_LOCK_FILE, &described.lock.to_text())?;
        data(&format!("wrote {}/{SCHEMA_LOCK_FILE}", self.folder))?;
        if let Some(sql) = &described.sql {
            self.write(SCHEMA_FILE, &format!("-- The schema after the last sealed script, for people to read. Nothing runs this file.\n\n{sql}"))?;
            data(&format!("wrote {}/{SCHEMA_FILE}", self.folder))?;
        }
        Ok(())
    }
}
