//! The order of the scripts in `always/`.

use std::collections::BTreeMap;

use crate::finding::Finding;
use crate::folder::Folder;
use crate::history::Script;
use crate::rule::Rule;

/// Orders the scripts: each behind those that it names with `-- onward: after NAME`, and else by name.
pub(crate) fn order(folder: &Folder, scripts: Vec<Script>) -> (Vec<Script>, Vec<Finding>) {
    let mut waiting: BTreeMap<String, Script> =
        scripts.into_iter().map(|script| (script.name.clone(), script)).collect();
    let mut findings = Vec::new();
    for script in waiting.values() {
        let unknown = script.directives.after.iter().find(|after| !waiting.contains_key(*after));
        if let Some(after) = unknown {
            let message = format!("`after {after}` names no script in `always/`");
            let help = "write the name of a file in `always/` without `.sql`";
            findings.push(Finding::file(Rule::Directive, folder.path_of(&script.file_name()), message, help));
        }
    }
    if !findings.is_empty() {
        return (waiting.into_values().collect(), findings);
    }
    let mut ordered = Vec::with_capacity(waiting.len());
    loop {
        let is_ready =
            |script: &Script| !script.directives.after.iter().any(|after| waiting.contains_key(after));
        let Some(next) = waiting.values().find(|script| is_ready(script)).map(|script| script.name.clone())
        else {
            break;
        };
        ordered.extend(waiting.remove(&next));
    }
    if let Some(first) = waiting.values().next() {
        let names: Vec<_> = waiting.keys().map(String::as_str).collect();
        let message = format!("these scripts wait for each other: {}", names.join(", "));
        let help = "remove one of their `-- onward: after NAME`";
        findings.push(Finding::file(Rule::Directive, folder.path_of(&first.file_name()), message, help));
    }
    ordered.extend(waiting.into_values());
    (ordered, findings)
}
