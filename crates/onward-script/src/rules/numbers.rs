use crate::finding::Finding;
use crate::folder::{Content, Folder};
use crate::name::{FileName, baseline_name, script_name};
use crate::rule::Rule;

/// The numbers of the baselines and of the scripts, each in order.
pub(crate) struct Numbers {
    pub baselines: Vec<i32>,
    pub scripts: Vec<i32>,
}

impl Numbers {
    pub(crate) fn of(folder: &Folder) -> Self {
        let mut numbers = Self { baselines: Vec::new(), scripts: Vec::new() };
        for entry in &folder.entries {
            match (FileName::parse(&entry.name), &entry.content) {
                (_, Content::Other(_)) => {}
                (FileName::Baseline { through }, _) => numbers.baselines.push(through),
                (FileName::Script { number }, _) => numbers.scripts.push(number),
                _ => {}
            }
        }
        numbers.baselines.sort_unstable();
        numbers.scripts.sort_unstable();
        numbers
    }
}

/// Checks that there is one baseline, and that the scripts follow it without a gap.
///
/// A number has only one spelling, so a folder on disk cannot use it twice. The check still reports a folder
/// that lists the same name twice.
pub(crate) fn check(folder: &Folder, numbers: &Numbers) -> Vec<Finding> {
    let mut findings = baseline(folder, numbers);
    let start = numbers.baselines.first().copied();
    for pair in numbers.scripts.windows(2) {
        let &[before, after] = pair else { continue };
        if after != before + 1 {
            findings.push(gap(folder, before, after));
        }
    }
    if let (Some(start), Some(&first)) = (start, numbers.scripts.first()) {
        findings.extend(meets(folder, start, first));
    }
    findings
}

fn baseline(folder: &Folder, numbers: &Numbers) -> Vec<Finding> {
    if numbers.baselines.is_empty() {
        let through = numbers.scripts.first().map_or(0, |first| first - 1);
        let name = baseline_name(through);
        let help = format!("create `{name}` with the schema that a new database starts from");
        let message = "the folder has no baseline";
        return vec![Finding::file(Rule::Baseline, &folder.path, message, help)];
    }
    let others = numbers.baselines.iter().skip(1);
    others
        .map(|&through| {
            let first = baseline_name(numbers.baselines[0]);
            let name = baseline_name(through);
            let message = format!("a second baseline beside `{first}`");
            let help =
                format!("keep one of them: `{name}` replaces `{first}` and the scripts up to {through:04}");
            Finding::file(Rule::Baseline, folder.path_of(&name), message, help)
        })
        .collect()
}

fn meets(folder: &Folder, start: i32, first: i32) -> Option<Finding> {
    let baseline = baseline_name(start);
    let expected = script_name(start.checked_add(1)?);
    let script = script_name(first);
    if first <= start {
        let message = format!("`{baseline}` already contains this script");
        let help = format!("delete the scripts up to {}", script_name(start));
        return Some(Finding::file(Rule::Baseline, folder.path_of(&script), message, help));
    }
    let message = format!("`{expected}` is missing: after `{baseline}` comes `{script}`");
    let help = format!("restore `{expected}`, or renumber the scripts so that `{expected}` is the first one");
    (script != expected).then(|| Finding::file(Rule::Sequence, folder.path_of(&script), message, help))
}

fn gap(folder: &Folder, before: i32, after: i32) -> Finding {
    let (last, next) = (script_name(before), script_name(after));
    if before == after {
        let help = "give one of them the next free number";
        return Finding::file(Rule::Sequence, folder.path_of(&next), "this number is used twice", help);
    }
    let expected = script_name(before + 1);
    let missing = if after - before == 2 {
        format!("`{expected}` is missing")
    } else {
        format!("`{expected}` to `{}` are missing", script_name(after - 1))
    };
    let message = format!("{missing}: after `{last}` comes `{next}`");
    let help = format!("restore what is missing, or rename `{next}` to `{expected}`");
    Finding::file(Rule::Sequence, folder.path_of(&next), message, help)
}
