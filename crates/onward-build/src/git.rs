use std::path::Path;
use std::process::Command;

use onward_script::{Content, Finding, Folder, LOCK_FILE, Lock, Rule};

/// Adds the commit that sealed a script to the help of its finding, if the folder is in a git repository.
pub(crate) fn name_commits(root: &Path, folder: &Folder, findings: &mut [Finding]) {
    let mut broken = findings.iter_mut().filter(|finding| finding.rule == Rule::Sealed).peekable();
    if broken.peek().is_none() {
        return;
    }
    let Some(lock) = read_lock(folder) else { return };
    for finding in broken {
        let sealed = lock.lines.iter().find(|line| folder.path_of(&line.name) == finding.file);
        let Some(line) = sealed else { continue };
        let lock_path = folder.path_of(LOCK_FILE);
        if let Some(commit) = sealing_commit(root, &lock_path, &line.digest.to_string()) {
            let restore = format!("git checkout {commit} -- {}", finding.file);
            finding.help = format!("{}; commit {commit} sealed it: `{restore}`", finding.help);
        }
    }
}

fn read_lock(folder: &Folder) -> Option<Lock> {
    let entry = folder.entries.iter().find(|entry| entry.name == LOCK_FILE)?;
    let Content::File(bytes) = &entry.content else { return None };
    Lock::parse(std::str::from_utf8(bytes).ok()?).ok()
}

/// The commit that added this digest to the lock. Without git or a repository there is no commit, and the
/// finding stays as it is.
fn sealing_commit(root: &Path, lock: &str, digest: &str) -> Option<String> {
    let search = format!("-S{digest}");
    let output = Command::new("git")
        .current_dir(root)
        .args(["log", "--format=%h", "--reverse", &search, "--", lock])
        .output()
        .ok()?;
    let commits = String::from_utf8(output.stdout).ok()?;
    commits.lines().next().map(str::to_owned)
}
