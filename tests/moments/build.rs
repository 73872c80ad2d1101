//! Moment 1: `cargo build` refuses a broken folder, with place and remedy, and rebuilds when the folder changes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Said, project, run};

/// A copy of the fixture project, built in the one target folder that all fixtures share.
struct Fixture {
    folder: tempfile::TempDir,
}

impl Fixture {
    fn new(name: &str) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let template = root.join("tests/fixtures/project");
        let folder = project();
        fs::create_dir_all(folder.path().join("src")).expect("is writable");
        fs::copy(template.join("src/main.rs"), folder.path().join("src/main.rs")).expect("is there");
        let build = fs::read_to_string(template.join("build.rs")).expect("is there");
        let dialect = if name.starts_with("sqlserver") { "SqlServer" } else { "Postgres" };
        fs::write(folder.path().join("build.rs"), build.replace("Postgres", dialect)).expect("is writable");
        let manifest = fs::read_to_string(template.join("Cargo.toml")).expect("is there");
        let manifest = manifest
            .replace("@CRATES@", &root.join("crates").display().to_string())
            .replace("\"fixture\"", &format!("\"fixture-{name}\""));
        fs::write(folder.path().join("Cargo.toml"), manifest).expect("is writable");
        fs::copy(root.join("Cargo.lock"), folder.path().join("Cargo.lock")).expect("is there");
        fs::create_dir(folder.path().join("sql")).expect("is writable");
        Self { folder }
    }

    fn with_rule(rule: &str) -> Self {
        let fixture = Self::new(rule);
        copy(&rule_folder(rule), &fixture.sql());
        fixture
    }

    fn sql(&self) -> PathBuf {
        self.folder.path().join("sql")
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.sql().join(name), text).expect("is writable");
    }

    fn cargo(&self, arguments: &[&str]) -> Said {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fixtures");
        let mut cargo = Command::new(env!("CARGO"));
        cargo.current_dir(&self.folder).args(arguments).arg("--offline").env("CARGO_TARGET_DIR", target);
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CARGO_PROFILE")) {
            cargo.env_remove(name);
        }
        run(&mut cargo)
    }

    /// The output of cargo about the folder, without its progress, paths and prefixes.
    fn findings(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let said = self.cargo(arguments);
        let lines = said.stderr.lines().filter_map(|line| {
            let (level, rest) = line.split_once(": fixture-")?;
            let (_, text) = rest.split_once("@0.1.0: ").or_else(|| rest.split_once("@0.1.0:"))?;
            ["error", "warning"].contains(&level).then(|| format!("{level}: {text}").trim_end().to_owned())
        });
        let text = lines.collect::<Vec<_>>().join("\n");
        assert!(said.code == Some(0) || !text.is_empty(), "cargo failed by itself:\n{}", said.stderr);
        assert!(!said.stderr.contains("cargo::"), "a dump of the build script:\n{}", said.stderr);
        (said.code, text)
    }
}

pub(crate) fn rule_folder(rule: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/rules").join(rule).join("sql")
}

pub(crate) fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("is there") {
        let entry = entry.expect("is readable");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            fs::create_dir(&target).expect("is writable");
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("is readable");
        }
    }
}

pub(crate) fn rules() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/rules");
    let names = fs::read_dir(folder).expect("is there").flatten();
    let mut names: Vec<_> = names.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn each_rule_refuses_the_build_with_place_and_remedy() {
    let builds = ["draft", "lint", "schema", "sqlserver-lint", "sqlserver-sound"];
    for rule in rules() {
        let (code, findings) = Fixture::with_rule(&rule).findings(&["build"]);
        let expected = if builds.contains(&rule.as_str()) { Some(0) } else { Some(101) };
        assert_eq!(code, expected, "{rule}:\n{findings}");
        insta::assert_snapshot!(format!("build-{rule}"), findings);
    }
}

#[test]
fn a_release_refuses_drafts_and_lints() {
    for rule in ["draft", "lint", "sqlserver-lint"] {
        let (code, findings) = Fixture::with_rule(rule).findings(&["build", "--release"]);
        assert_eq!(code, Some(101), "{rule}");
        insta::assert_snapshot!(format!("release-{rule}"), findings);
    }
}

#[test]
fn a_new_an_edited_and_a_deleted_script_rebuild_without_clean() {
    let fixture = Fixture::new("rebuild");
    let embedded = || fixture.cargo(&["run", "-q"]).stdout;
    fixture.write("Baseline.sql", "SELECT 0;\n");
    assert_eq!(embedded(), "SELECT 0;\n");
    fixture.write("Script-0001.sql", "SELECT 1;\n");
    assert_eq!(embedded(), "SELECT 0;\nSELECT 1;\n");
    fixture.write("Script-0001.sql", "SELECT 'one';\r\n");
    assert_eq!(embedded(), "SELECT 0;\nSELECT 'one';\n");
    fixture.write("Script-0002.sql", "-- onward: title Not begun yet\n");
    assert_eq!(embedded(), "SELECT 0;\nSELECT 'one';\n", "what holds no statement yet is left out");
    fixture.write("Script-0002.sql", "SELECT 2;\n");
    assert_eq!(embedded(), "SELECT 0;\nSELECT 'one';\nSELECT 2;\n");
    for script in ["Script-0002.sql", "Script-0001.sql"] {
        fs::remove_file(fixture.sql().join(script)).expect("is there");
    }
    assert_eq!(embedded(), "SELECT 0;\n");
}

#[test]
fn an_unchanged_folder_does_not_run_the_build_script_again() {
    let fixture = Fixture::new("unchanged");
    fixture.write("Baseline.sql", "SELECT 0;\n");
    fixture.cargo(&["build"]);
    let said = fixture.cargo(&["build", "-v"]);
    assert!(said.stderr.contains("Fresh fixture-unchanged"), "{}", said.stderr);
}

#[test]
fn the_error_for_an_edited_sealed_script_names_the_commit_to_restore() {
    // A name of its own: cargo takes folders of one name for one package, and the build of another test for the last one of this.
    let fixture = Fixture::new("edited");
    copy(&rule_folder("draft"), &fixture.sql());
    let git = |arguments: &[&str]| {
        let mut git = Command::new("git");
        git.current_dir(&fixture.folder).args(["-c", "user.name=Test", "-c", "user.email=test@localhost"]);
        let said = run(git.args(arguments));
        assert_eq!(said.code, Some(0), "{}", said.stderr);
        said.stdout.trim().to_owned()
    };
    git(&["init", "-q"]);
    git(&["add", "."]);
    git(&["commit", "-qm", "sealed"]);
    let commit = git(&["log", "--format=%h"]);
    fixture.write("Baseline.sql", "SELECT 'edited';\n");
    let (code, findings) = fixture.findings(&["build"]);
    assert_eq!(code, Some(101));
    let remedy = format!("`git checkout {commit} -- sql/Baseline.sql`");
    assert!(findings.contains(&remedy), "{findings}");
}
