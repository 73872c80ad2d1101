use std::collections::{HashMap, HashSet};

use crate::digest::Digest;
use crate::finding::{Finding, Severity};
use crate::folder::{Content, Folder};
use crate::lock::Lock;
use crate::name::{FileName, LOCK_FILE};
use crate::rule::Rule;
use crate::text::normalise;

/// Reads the lock. A broken lock comes back empty, with a finding.
pub(crate) fn read_lock(folder: &Folder) -> (Lock, Vec<Finding>) {
    let Some(entry) = folder.entries.iter().find(|entry| entry.name == LOCK_FILE) else {
        return (Lock::default(), Vec::new());
    };
    let path = folder.path_of(LOCK_FILE);
    let Content::File(bytes) = &entry.content else { return (Lock::default(), Vec::new()) };
    let text = match normalise(&path, bytes) {
        Ok(text) => text,
        Err(finding) => return (Lock::default(), vec![finding]),
    };
    match Lock::parse(&text) {
        Ok(lock) => (lock, Vec::new()),
        Err((line, message)) => {
            let start = text.split_inclusive('\n').take(line - 1).map(str::len).sum();
            let help = "restore the file with `git checkout --ours -- scripts.lock` in the folder; \
                        `app script seal` adds new scripts to it";
            let finding = Finding::file(Rule::Sealed, path, message, help);
            (Lock::default(), vec![finding.at(crate::text::line_span(&text, start))])
        }
    }
}

/// Finds sealed scripts that are missing or whose text has changed.
pub(crate) fn check(folder: &Folder, lock: &Lock, digests: &HashMap<&str, Digest>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, line) in lock.lines.iter().enumerate() {
        let path = folder.path_of(&line.name);
        match digests.get(line.name.as_str()) {
            Some(found) if *found == line.digest => {}
            Some(_) => {
                let help = "restore it with git and put the change into a new script: \
                            `app script new \"What changes\"`";
                let message = "this script is sealed, but its text has changed";
                findings.push(Finding::file(Rule::Sealed, path, message, help));
            }
            None if folder.entries.iter().any(|entry| entry.name == line.name) => {}
            None => findings.push(missing(folder, lock, index, digests)),
        }
    }
    findings
}

fn missing(folder: &Folder, lock: &Lock, index: usize, digests: &HashMap<&str, Digest>) -> Finding {
    let line = &lock.lines[index];
    let renamed = digests
        .iter()
        .filter(|(name, digest)| **digest == line.digest && !lock.lines.iter().any(|l| l.name == **name))
        .map(|(name, _)| *name)
        .min();
    let (message, help) = match renamed {
        Some(name) => (
            format!("`{}` is sealed, but the file is now called `{name}`", line.name),
            format!("rename `{name}` back to `{}`", line.name),
        ),
        None => (
            format!("`{}` is sealed, but the file is missing", line.name),
            format!("restore it: `git checkout -- {}`", folder.path_of(&line.name)),
        ),
    };
    Finding::file(Rule::Sealed, folder.path_of(&line.name), message, help)
}

/// Finds scripts that the lock does not list: one finding for all drafts, at the first one, and one finding for
/// each script that comes before a sealed one.
pub(crate) fn drafts(folder: &Folder, lock: &Lock, release: bool) -> Vec<Finding> {
    let sealed: HashSet<_> = lock.lines.iter().map(|line| line.name.as_str()).collect();
    let last = lock.lines.iter().filter_map(|line| order(&line.name)).max();
    let unsealed = folder.entries.iter().filter(|entry| !sealed.contains(entry.name.as_str()));
    let mut unsealed: Vec<_> = unsealed
        .filter(|entry| !matches!(entry.content, Content::Other(_)))
        .filter_map(|entry| Some((order(&entry.name)?, entry.name.as_str())))
        .collect();
    unsealed.sort_unstable();
    let (late, drafts): (Vec<_>, Vec<_>) =
        unsealed.into_iter().partition(|(number, _)| last.is_some_and(|last| *number < last));
    let mut findings: Vec<_> = late
        .into_iter()
        .map(|(_, name)| {
            let message = "this script is not sealed, but a later one is";
            let help = "restore `scripts.lock`, or give the script the next free number";
            Finding::file(Rule::Sealed, folder.path_of(name), message, help)
        })
        .collect();
    if let Some((_, first)) = drafts.first() {
        let message = match (drafts.len(), release) {
            (1, true) => "a release holds only sealed scripts, but this one is a draft".to_owned(),
            (1, false) => "this script is a draft, which a release build refuses".to_owned(),
            (count, true) => {
                format!("a release holds only sealed scripts, but {count} from here on are drafts")
            }
            (count, false) => {
                format!("{count} scripts from here on are drafts, which a release build refuses")
            }
        };
        let severity = if release { Severity::Error } else { Severity::Warning };
        let help = "once final, run `app script seal` and commit `scripts.lock`";
        findings.push(Finding::file(Rule::Draft, folder.path_of(first), message, help).severity(severity));
    }
    findings
}

fn order(name: &str) -> Option<i32> {
    match FileName::parse(name) {
        FileName::Baseline { through } => Some(through),
        FileName::Script { number } => Some(number),
        _ => None,
    }
}
