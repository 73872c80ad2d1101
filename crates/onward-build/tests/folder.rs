//! Folders of every size, with links, sockets and names from other tools.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use onward_build::check_folder;
use onward_script::{CheckOptions, Checked, Dialect, Known, Lock, Severity, render};

struct Project(tempfile::TempDir);

impl Project {
    fn new(files: &[(&str, &str)]) -> Self {
        let root = tempfile::tempdir().expect("a temporary folder can be made");
        fs::create_dir(root.path().join("sql")).expect("is writable");
        let project = Self(root);
        for (name, text) in files {
            fs::write(project.sql().join(name), text).expect("is writable");
        }
        project
    }

    fn root(&self) -> &Path {
        self.0.path()
    }

    fn sql(&self) -> std::path::PathBuf {
        self.root().join("sql")
    }

    fn check(&self, dialect: Dialect) -> Checked {
        let options = CheckOptions { dialect, release: false, ..CheckOptions::default() };
        check_folder(self.root(), "sql", options, &Known::default())
    }
}

fn errors(checked: &Checked) -> String {
    let mut text = String::new();
    for finding in checked.findings.iter().filter(|finding| finding.severity == Severity::Error) {
        let source = checked.sources.get(&finding.file).map(String::as_str);
        writeln!(text, "{}", render::render(finding, source)).expect("a String takes every write");
    }
    text
}

#[test]
fn the_error_about_a_missing_or_empty_folder_says_what_to_create() {
    let project = Project::new(&[]);
    let empty = errors(&project.check(Dialect::Postgres));
    assert!(empty.contains("error[baseline]"), "{empty}");
    fs::remove_dir(project.sql()).expect("is empty");
    let missing = errors(&project.check(Dialect::Postgres));
    assert!(missing.contains("create `sql` with a `Baseline.sql`"), "{missing}");
}

#[test]
fn a_baseline_alone_is_a_history() {
    let checked = Project::new(&[("Baseline.sql", "SELECT 1;")]).check(Dialect::Postgres);
    assert_eq!(checked.history.map(|history| history.latest()), Some(0), "{:?}", checked.findings);
}

#[test]
fn ten_thousand_scripts_are_all_checked() {
    let project = Project::new(&[("Baseline.sql", "SELECT 1;")]);
    for number in 1..=10_000 {
        let text = format!("INSERT INTO t VALUES ({number});\n");
        fs::write(project.sql().join(format!("Script-{number:04}.sql")), text).expect("is writable");
    }
    let history = project.check(Dialect::Postgres).history.expect("is sound");
    assert_eq!(history.latest(), 10_000);
    assert_eq!(history.scripts[9_999].file_name(), "Script-10000.sql");
    fs::remove_file(project.sql().join("Script-7777.sql")).expect("is there");
    let gap = errors(&project.check(Dialect::Postgres));
    assert!(gap.contains("Script-7776.sql") && gap.contains("Script-7778.sql"), "{gap}");
}

#[test]
fn a_name_from_another_tool_gets_a_suggested_name() {
    let names = [
        ("script-1.sql", "`Script-0001.sql`"),
        ("Script-0002.SQL", "`Script-0002.sql`"),
        ("Script-0003 copy.sql", "Script-0003"),
        ("Script 0004.sql", "`Script-0004.sql`"),
        ("Script-00005.sql", "`Script-0005.sql`"),
        ("Script\u{2013}0006.sql", "Script-0006.sql"),
        ("Script-0007.sql.txt", "Script-0007.sql"),
        ("baseline.sql", "`Baseline.sql`"),
    ];
    for (name, should) in names {
        let project = Project::new(&[("Baseline.sql", "SELECT 1;"), (name, "SELECT 1;")]);
        // A file system that ignores case stores both names as one file.
        if fs::read_dir(project.sql()).expect("is there").count() == 1 {
            continue;
        }
        let found = errors(&project.check(Dialect::Postgres));
        assert!(found.contains("error[unexpected-file]") && found.contains(should), "{name}:\n{found}");
    }
    for name in ["été.sql", "脚本.sql", "a b.sql", "V1__init.sql", "Script-.sql", "Script-99999999999.sql"]
    {
        let project = Project::new(&[("Baseline.sql", "SELECT 1;"), (name, "SELECT 1;")]);
        let found = errors(&project.check(Dialect::Postgres));
        assert!(found.contains("error[unexpected-file]") && found.contains(name), "{name}:\n{found}");
    }
}

#[test]
fn line_ends_and_byte_order_marks_do_not_change_the_digest() {
    let texts = ["SELECT 1;\nSELECT 2;\n", "SELECT 1;\r\nSELECT 2;\r\n", "\u{feff}SELECT 1;\r\nSELECT 2;\n"];
    let digests = texts.map(|text| {
        let history = Project::new(&[("Baseline.sql", text)]).check(Dialect::Postgres).history;
        history.expect("is sound").baseline.digest
    });
    assert_eq!(digests[0], digests[1]);
    assert_eq!(digests[0], digests[2]);
}

#[test]
fn scripts_follow_the_number_of_a_squashed_baseline() {
    let baseline = ("Baseline-0048.sql", "SELECT 1;");
    let history =
        Project::new(&[baseline, ("Script-0049.sql", "SELECT 1;")]).check(Dialect::Postgres).history;
    assert_eq!(history.expect("is sound").latest(), 49);
    let gap = Project::new(&[baseline, ("Script-0050.sql", "SELECT 1;")]).check(Dialect::Postgres);
    assert!(errors(&gap).contains("Script-0049.sql"), "{}", errors(&gap));
}

#[cfg(unix)]
mod unix {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn a_link_has_the_content_of_its_target() {
        let project = Project::new(&[("Baseline.sql", "SELECT 1;")]);
        let elsewhere = project.root().join("elsewhere.sql");
        fs::write(&elsewhere, "SELECT 2;").expect("is writable");
        symlink(&elsewhere, project.sql().join("Script-0001.sql")).expect("is writable");
        let history = project.check(Dialect::Postgres).history.expect("is sound");
        assert_eq!(history.scripts[0].text(), "SELECT 2;");
        fs::remove_file(elsewhere).expect("is there");
        let found = errors(&project.check(Dialect::Postgres));
        assert!(found.contains("Script-0001.sql") && found.contains("a broken link"), "{found}");
    }

    #[test]
    fn an_entry_that_is_not_a_file_is_reported() {
        let project = Project::new(&[("Baseline.sql", "SELECT 1;")]);
        fs::create_dir(project.sql().join("Script-0001.sql")).expect("is writable");
        let _socket = UnixListener::bind(project.sql().join("Script-0002.sql")).expect("is writable");
        let found = errors(&project.check(Dialect::Postgres));
        assert!(found.contains("a directory"), "{found}");
        assert!(found.contains("a device, socket or pipe"), "{found}");
    }

    #[test]
    fn a_name_that_is_not_utf8_is_shown_with_replacement_characters() {
        let project = Project::new(&[("Baseline.sql", "SELECT 1;")]);
        let name = OsStr::from_bytes(b"Script-\xff0001.sql");
        fs::write(project.sql().join(name), "SELECT 1;").expect("is writable");
        let found = errors(&project.check(Dialect::Postgres));
        assert!(
            found.contains("error[unexpected-file]") && found.contains("Script-\u{fffd}0001.sql"),
            "{found}"
        );
    }
}

/// Two branches that add the same number both append to the lock, so git cannot merge them.
#[test]
fn two_branches_that_add_the_same_number_conflict_in_git() {
    let project = Project::new(&[("Baseline.sql", "SELECT 1;")]);
    let git = |arguments: &[&str]| {
        let mut git = std::process::Command::new("git");
        git.current_dir(project.root());
        git.args([
            "-c",
            "user.name=Test",
            "-c",
            "user.email=test@localhost",
            "-c",
            "init.defaultBranch=main",
        ]);
        let output = git.args(arguments).output().expect("git runs");
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let seal = |name: &str, text: &str| {
        fs::write(project.sql().join(name), text).expect("is writable");
        let history = project.check(Dialect::Postgres).history.expect("is sound");
        let mut lock = Lock::default();
        for script in history.all() {
            lock.push(&script.file_name(), script.digest);
        }
        fs::write(project.sql().join("scripts.lock"), lock.to_text()).expect("is writable");
        assert!(git(&["add", "."]).0 && git(&["commit", "-qm", name]).0);
    };
    assert!(git(&["init", "-q"]).0);
    seal("Baseline.sql", "SELECT 1;");
    assert!(git(&["checkout", "-qb", "theirs"]).0);
    seal("Script-0001.sql", "SELECT 'theirs';\n");
    assert!(git(&["checkout", "-q", "main"]).0);
    seal("Script-0001.sql", "SELECT 'ours';\n");
    let (merged, said) = git(&["merge", "theirs"]);
    assert!(!merged && said.contains("CONFLICT") && said.contains("scripts.lock"), "{said}");
    let found = errors(&project.check(Dialect::Postgres));
    assert!(found.contains("scripts.lock"), "a build names the lock, too:\n{found}");

    // The lock of one side does not accept the script of the other side either.
    assert!(git(&["checkout", "--ours", "."]).0);
    fs::write(project.sql().join("Script-0001.sql"), "SELECT 'theirs';\n").expect("is writable");
    let found = errors(&project.check(Dialect::Postgres));
    assert!(found.contains("error[sealed]"), "{found}");
}
