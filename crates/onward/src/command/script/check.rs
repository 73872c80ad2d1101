//! `script check`: what the rules find, for a person or a program.

use std::process::Command;

use onward_script::{Checked, FileName, Finding, LOCK_FILE, Lock, RULES, Rule, Severity, line_column};
use serde_json::{Value, json};

use super::project::{Project, text};
use crate::cli::Format;
use crate::process::exit::{CommandError, Exit};
use crate::process::terminal::data;

impl Project<'_> {
    pub(super) fn check(&self, format: Format, base: Option<&str>) -> Result<Exit, CommandError> {
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
