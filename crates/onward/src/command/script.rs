use std::fs;
use std::path::Path;
use std::process::Command;

use onward_build::{check_folder, read_folder};
use onward_script::import::Tool;
use onward_script::{
    CheckOptions, Checked, Digest, FileName, Finding, History, Known, LOCK_FILE, Lock, RULES, RULES_VERSION,
    Rule, SCHEMA_FILE, SCHEMA_LOCK_FILE, SchemaLock, Severity, baseline_name, line_column, render,
    rules_markdown, script_name,
};
use serde_json::{Value, json};

use crate::cli::{Format, Script};
use crate::command::import;
use crate::command::schema::{self, Described};
use crate::command::squash;
use crate::config::context::Context;
use crate::process::exit::{CommandError, Exit};
use crate::process::terminal::{data, note};
use crate::scripts::{self, REBUILD};

/// The folder that the build embedded, in its present state.
struct Project<'a> {
    root: &'a Path,
    folder: &'a str,
    options: CheckOptions,
}

pub(crate) async fn run(context: &Context, command: &Script) -> Result<Exit, CommandError> {
    let project = Project {
        root: &context.settings.project,
        folder: &context.history.folder,
        options: CheckOptions { dialect: context.history.dialect, release: false, ..CheckOptions::default() },
    };
    if matches!(command, Script::Seal { .. } | Script::Check { .. })
        && let Some(message) = scripts::stale(&context.history, project.root)
    {
        note(&format!("note: {message}; {REBUILD}"));
    }
    match command {
        Script::New { title } => project.write_next(title),
        Script::Seal { without_schema } => project.seal(*without_schema, context).await,
        Script::Import { from, folder } => project.import(*from, folder),
        Script::Squash { through } => project.squash(*through, context).await,
        Script::Check { format, base } => project.check(*format, base.as_deref()),
        Script::Rules => data(rules_markdown().trim_end()).map(|()| Exit::Done),
    }
}

impl Project<'_> {
    fn path(&self, name: &str) -> std::path::PathBuf {
        self.root.join(self.folder).join(name)
    }

    fn checked(&self, release: bool) -> Checked {
        check_folder(self.root, self.folder, CheckOptions { release, ..self.options }, &Known::default())
    }

    fn write(&self, name: &str, text: &str) -> Result<(), CommandError> {
        let path = self.path(name);
        fs::write(&path, text).map_err(|error| {
            let message = format!("{} cannot be written: {error}", path.display());
            CommandError::new(Exit::Failed, message, "correct the owner and permissions of the folder")
        })
    }

    fn write_next(&self, title: &str) -> Result<Exit, CommandError> {
        let title = title.trim();
        if title.is_empty() || title.contains(['\n', '\r']) {
            let help = "give it as one argument: `app script new \"Orders get a currency\"`";
            return Err(CommandError::new(Exit::Usage, "the title must be one line of text", help));
        }
        let unsound = |finding: &&Finding| {
            matches!(finding.rule, Rule::Baseline | Rule::Sequence | Rule::UnexpectedFile)
        };
        if let Some(finding) = self.checked(false).findings.iter().find(unsound) {
            return Err(CommandError::new(
                Exit::Failed,
                render::render(finding, None),
                "correct the numbers first",
            ));
        }
        let read = read_folder(self.root, self.folder).map_err(|finding| unreadable(&finding))?;
        let last = read.entries.iter().filter_map(|entry| match FileName::parse(&entry.name) {
            FileName::Baseline { through } => Some(through),
            FileName::Script { number } => Some(number),
            _ => None,
        });
        let name = script_name(last.max().unwrap_or(0) + 1);
        self.write(&name, &format!("-- onward: title {title}\n\n"))?;
        data(&format!("{}/{name}", self.folder))?;
        Ok(Exit::Done)
    }

    /// Seals the drafts if they pass the rules of a release build. After that a script must not change any more.
    async fn seal(&self, without_schema: bool, context: &Context) -> Result<Exit, CommandError> {
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
            false => self.describe(&history, &lock, context).await?,
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
        context: &Context,
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
        let described = schema::describe(self.root, history, lock, before, context.identity.applier()).await;
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

    /// Writes the scripts of another tool into the folder, as drafts, and says what the rules find in them.
    fn import(&self, tool: Tool, from: &Path) -> Result<Exit, CommandError> {
        let target = self.root.join(self.folder);
        let imported = import::read(tool, self.options.dialect, from)?;
        import::require_empty(&target)?;
        fs::create_dir_all(&target).map_err(|error| {
            let message = format!("{} cannot be created: {error}", target.display());
            CommandError::new(Exit::Failed, message, "correct the owner and permissions of the folder")
        })?;
        for script in &imported.scripts {
            self.write(&script.name, &script.text)?;
            data(&format!("{}/{}  {}", self.folder, script.name, script.was))?;
        }
        for (file, reason) in &imported.left_out {
            note(&format!("left out {file}: {reason}"));
        }
        let checked = self.checked(false);
        let findings = checked.findings.iter().filter(|finding| finding.severity == Severity::Error);
        let findings: Vec<_> = findings.map(|finding| text(&checked, finding)).collect();
        if findings.is_empty() {
            note(
                "build the app, seal the scripts with `script seal`, then take the databases over: `adopt --from auto`",
            );
            return Ok(Exit::Done);
        }
        let message = format!("the scripts are written, and not all pass the rules\n{}", findings.join("\n"));
        let help =
            "correct them in the folder: the databases that ran them are not touched; then `script check`";
        Err(CommandError::new(Exit::Failed, message, help))
    }

    /// The scripts in the folder now, which may be newer than the embedded ones.
    fn history(&self) -> Result<History, CommandError> {
        self.checked(false).history.ok_or_else(|| {
            CommandError::new(Exit::Failed, "the scripts do not pass the rules", "run `app script check`")
        })
    }

    /// Folds the oldest scripts into a new baseline. A database that has them needs nothing, because its journal lists
    /// them. An empty database starts from the new baseline.
    async fn squash(&self, through: i32, context: &Context) -> Result<Exit, CommandError> {
        let history = self.history()?;
        let text = squash::baseline(self.root, &history, through, context.identity.applier()).await?;
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

    fn lock(&self) -> Result<Lock, CommandError> {
        match fs::read_to_string(self.path(LOCK_FILE)) {
            Ok(text) => Lock::parse(&text).map_err(|(line, message)| {
                let place = format!("{}/{LOCK_FILE}:{line}: {message}", self.folder);
                CommandError::new(Exit::Failed, place, "restore it with git")
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Lock::default()),
            Err(error) => {
                let message = format!("{}/{LOCK_FILE} cannot be read: {error}", self.folder);
                Err(CommandError::new(Exit::Failed, message, "correct its permissions"))
            }
        }
    }

    fn check(&self, format: Format, base: Option<&str>) -> Result<Exit, CommandError> {
        let mut checked = self.checked(false);
        if let Some(base) = base {
            let changed = self.changed_since(base)?;
            checked.findings.extend(changed);
        }
        let errors = checked.findings.iter().filter(|finding| finding.severity == Severity::Error).count();
        match format {
            Format::Text => {
                for finding in &checked.findings {
                    data(&text(&checked, finding))?;
                }
                let warnings = checked.findings.len() - errors;
                data(&format!("{errors} error(s), {warnings} warning(s)"))?;
            }
            Format::Json => data(&as_json(&checked).to_string())?,
            Format::Sarif => data(&as_sarif(&checked).to_string())?,
        }
        Ok(if errors == 0 { Exit::Done } else { Exit::Failed })
    }

    /// A script that the lock of a git revision sealed must be sealed with the same text now.
    fn changed_since(&self, base: &str) -> Result<Vec<Finding>, CommandError> {
        let Some(text) = self.lock_at(base)? else { return Ok(Vec::new()) };
        let before = Lock::parse(&text).map_err(|(line, message)| {
            let place = format!("{base}:{}/{LOCK_FILE}:{line}: {message}", self.folder);
            CommandError::new(Exit::Failed, place, "compare with a revision whose lock is valid")
        })?;
        let now = self.lock()?;
        // A squashed baseline contains the scripts up to its number, so their lines may be missing.
        let squashed = now.lines.first().map_or(0, |line| match FileName::parse(&line.name) {
            FileName::Baseline { through } => through,
            _ => 0,
        });
        let covered = |name: &str| match FileName::parse(name) {
            FileName::Script { number } => number <= squashed,
            FileName::Baseline { through } => through < squashed,
            _ => false,
        };
        let mut findings = Vec::new();
        for line in before.lines.iter().filter(|line| !covered(&line.name)) {
            let same = now.lines.iter().any(|new| new.name == line.name && new.digest == line.digest);
            if !same {
                let message = format!(
                    "`{}` was sealed at {base}, but its line in the lock has changed since",
                    line.name
                );
                let restore =
                    format!("git checkout {base} -- {0}/{1} {0}/{LOCK_FILE}", self.folder, line.name);
                let file = format!("{}/{}", self.folder, line.name);
                findings.push(Finding::file(
                    Rule::Sealed,
                    file,
                    message,
                    format!("restore both: `{restore}`"),
                ));
            }
        }
        Ok(findings)
    }

    fn lock_at(&self, base: &str) -> Result<Option<String>, CommandError> {
        let no_revision = |reason: String| {
            let help = "name a commit, branch or tag of this repository";
            CommandError::new(Exit::Usage, format!("`--base {base}` cannot be read: {reason}"), help)
        };
        let git = |arguments: &[&str]| {
            let output = Command::new("git").current_dir(self.root).args(arguments).output();
            output.map_err(|error| no_revision(error.to_string()))
        };
        let revision =
            git(&["rev-parse", "--verify", "--quiet", "--end-of-options", &format!("{base}^{{commit}}")])?;
        if !revision.status.success() {
            return Err(no_revision("git does not know this revision".to_owned()));
        }
        let commit = String::from_utf8_lossy(&revision.stdout).trim().to_owned();
        let listed = git(&["show", &format!("{commit}:./{}/{LOCK_FILE}", self.folder)])?;
        // Git knows the revision, so the file is missing there: nothing was sealed then.
        Ok(listed.status.success().then(|| String::from_utf8_lossy(&listed.stdout).into_owned()))
    }
}

fn unreadable(finding: &Finding) -> CommandError {
    CommandError::new(Exit::Failed, &finding.message, &finding.help)
}

fn text(checked: &Checked, finding: &Finding) -> String {
    render::render(finding, checked.sources.get(&finding.file).map(String::as_str))
}

const fn severity(finding: &Finding) -> &'static str {
    match finding.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

/// Line and column of a finding, where it has a place.
fn place(checked: &Checked, finding: &Finding) -> Option<onward_script::LineColumn> {
    let source = checked.sources.get(&finding.file)?;
    finding.span.as_ref().map(|span| line_column(source, span.start))
}

fn as_json(checked: &Checked) -> Value {
    let findings = checked.findings.iter().map(|finding| {
        let place = place(checked, finding);
        json!({
            "rule": finding.rule.id(),
            "severity": severity(finding),
            "file": finding.file,
            "line": place.map(|place| place.line),
            "column": place.map(|place| place.column),
            "message": finding.message,
            "help": finding.help,
        })
    });
    json!({ "findings": findings.collect::<Vec<_>>() })
}

/// <https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html>
fn as_sarif(checked: &Checked) -> Value {
    let rules = RULES
        .iter()
        .map(|doc| json!({"id": doc.id, "shortDescription": {"text": doc.what}, "help": {"text": doc.why}}));
    let results = checked.findings.iter().map(|finding| {
        let region = place(checked, finding)
            .map(|place| json!({"startLine": place.line, "startColumn": place.column}));
        let mut location = json!({"artifactLocation": {"uri": finding.file}});
        if let Some(region) = region {
            location["region"] = region;
        }
        json!({
            "ruleId": finding.rule.id(),
            "level": severity(finding),
            "message": {"text": format!("{}; {}", finding.message, finding.help)},
            "locations": [{"physicalLocation": location}],
        })
    });
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "onward",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": rules.collect::<Vec<_>>(),
            }},
            "results": results.collect::<Vec<_>>(),
        }],
    })
}
