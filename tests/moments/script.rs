//! `app script …`: what a developer does between two builds.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::build::{copy, rule_folder, rules};
use crate::support::{Said, arguments, development, project, run};

struct Project(tempfile::TempDir);

impl Project {
    fn new() -> Self {
        let folder = project();
        fs::create_dir(folder.path().join("sql")).expect("is writable");
        Self(folder)
    }

    fn sealed() -> Self {
        let project = Self::new();
        project.write("Baseline.sql", "CREATE TABLE orders (id bigint PRIMARY KEY);\n");
        assert_eq!(project.script(&["seal"]).code, Some(0));
        project
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.0.path().join("sql").join(name), text).expect("is writable");
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.0.path().join("sql").join(name)).expect("is there")
    }

    fn script(&self, given: &[&str]) -> Said {
        run(&mut arguments(arguments(development(self.0.path()), ["script"]), given))
    }

    fn git(&self, given: &[&str]) -> String {
        let mut git = Command::new("git");
        git.current_dir(&self.0)
            .args(["-c", "user.name=Test", "-c", "user.email=test@localhost"])
            .args(given);
        let said = run(&mut git);
        assert_eq!(said.code, Some(0), "{}", said.stderr);
        said.stdout
    }

    fn commit(&self) {
        if !self.0.path().join(".git").exists() {
            self.git(&["init", "-q"]);
        }
        self.git(&["add", "."]);
        self.git(&["commit", "-qm", "scripts"]);
    }
}

#[test]
fn new_writes_the_next_script_and_seal_closes_it() {
    let project = Project::sealed();
    assert_eq!(project.script(&["new", "Orders get a currency"]).stdout, "sql/Script-0001.sql\n");
    assert_eq!(project.read("Script-0001.sql"), "-- onward: title Orders get a currency\n\n");
    let blank = project.script(&["check"]);
    assert_eq!(blank.code, Some(0), "it stops no build: {}", blank.stdout);
    assert!(blank.stdout.contains("no statement yet, so it is left out"), "{}", blank.stdout);
    let unfinished = project.script(&["seal"]);
    assert_eq!(unfinished.code, Some(1));
    assert!(unfinished.stderr.contains("error[content]"), "{}", unfinished.stderr);

    project.write(
        "Script-0001.sql",
        "-- onward: title Orders get a currency\nALTER TABLE orders ADD COLUMN currency text;\n",
    );
    assert_eq!(
        project.script(&["seal"]).stdout,
        "sealed sql/Script-0001.sql\nwrote sql/schema.lock\nwrote sql/schema.sql\n"
    );
    let lock = project.read("scripts.lock");
    assert!(lock.contains("\n# rules 1\n"), "{lock}");
    project.write("scripts.lock", &lock.replace("# rules 1\n", ""));
    let again = project.script(&["seal"]);
    assert!(again.stdout.contains("have passed the rules of this version"), "{}", again.stdout);
    assert_eq!(project.read("scripts.lock"), lock);
    assert_eq!(project.script(&["seal"]).stdout, "nothing to do: every script is sealed\n");
    assert_eq!(project.script(&["check"]).code, Some(0));
    assert_eq!(project.script(&["new", "More"]).stdout, "sql/Script-0002.sql\n");
}

#[test]
fn new_refuses_wrong_numbers_and_titles() {
    let project = Project::sealed();
    project.write("Script-0002.sql", "SELECT 1;\n");
    let gap = project.script(&["new", "After the gap"]);
    assert_eq!(gap.code, Some(1));
    assert!(gap.stderr.contains("correct the folder first"), "{}", gap.stderr);
    assert_eq!(Project::sealed().script(&["new", "  "]).code, Some(2));
    assert_eq!(Project::sealed().script(&["new", "two\nlines"]).code, Some(2));
    assert_eq!(Project::new().script(&["new", "Without a baseline"]).code, Some(1));
}

#[test]
fn seal_describes_the_schema_after_each_script() {
    let project = Project::sealed();
    project.write("Script-0001.sql", "ALTER TABLE orders ADD COLUMN currency text;\n");
    assert_eq!(project.script(&["seal"]).code, Some(0));
    let described = project.read("schema.lock");
    let last = described.rsplit("\nScript-0001.sql ").next().expect("has a section");
    assert!(last.ends_with("\n+ column orders.currency : text\n"), "{described}");
    assert_eq!(last.lines().count(), 2, "{described}");
    let sql = project.read("schema.sql");
    assert!(
        sql.contains("CREATE TABLE public.orders (\n    id bigint NOT NULL,\n    currency text\n);"),
        "{sql}"
    );
    assert!(!sql.contains("schema_journal") && !sql.contains("SET statement_timeout"), "{sql}");

    // Both files are written anew as they were, and a file of other scripts is not believed.
    fs::remove_file(project.0.path().join("sql/schema.lock")).expect("is there");
    assert_eq!(project.script(&["seal"]).stdout, "wrote sql/schema.lock\nwrote sql/schema.sql\n");
    assert_eq!(project.read("schema.lock"), described);
    project.write("schema.lock", &described.replacen("sql ", "sql 0000", 1));
    let checked = project.script(&["check"]);
    assert_eq!(checked.code, Some(0), "{}", checked.stdout);
    assert!(checked.stdout.contains("warning[schema]"), "{}", checked.stdout);
    assert_eq!(project.script(&["seal"]).code, Some(0));
    assert_eq!(project.read("schema.lock"), described);
    assert_eq!(project.script(&["check"]).stdout, "0 error(s), 0 warning(s)\n");
}

#[test]
fn what_runs_always_is_described_behind_the_scripts() {
    let project = Project::sealed();
    let always = project.0.path().join("sql/always");
    fs::create_dir(&always).expect("is writable");
    project.write("always/open_orders.sql", "CREATE OR REPLACE VIEW open_orders AS SELECT id FROM orders;\n");
    project.write(
        "always/report.sql",
        "-- onward: after open_orders\nCREATE OR REPLACE VIEW a AS SELECT id FROM open_orders;\n",
    );
    let outdated = project.script(&["check"]);
    assert!(outdated.stdout.contains("other scripts than those in `always/`"), "{}", outdated.stdout);
    assert_eq!(project.script(&["seal"]).code, Some(0));
    let described = project.read("schema.lock");
    let last = described.rsplit("\nalways ").next().expect("has a section");
    assert!(last.contains("\n+ view a : SELECT id FROM open_orders;\n+ view open_orders :"), "{described}");
    assert_eq!(project.script(&["check"]).stdout, "0 error(s), 0 warning(s)\n");
    assert_eq!(project.script(&["seal"]).stdout, "nothing to do: every script is sealed\n");
}

#[test]
fn seal_refuses_what_cannot_run_always() {
    let project = Project::sealed();
    fs::create_dir(project.0.path().join("sql/always")).expect("is writable");
    let function =
        "CREATE OR REPLACE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN new; END $$;\n";
    project.write(
        "Script-0001.sql",
        "CREATE TABLE parcels (id bigint PRIMARY KEY);\nCREATE VIEW v AS SELECT id FROM orders;\n",
    );
    for (text, expected) in [
        (
            "DROP TRIGGER IF EXISTS t ON orders;\nCREATE TRIGGER t BEFORE INSERT ON parcels FOR EACH ROW EXECUTE FUNCTION f();\n",
            "cannot run a second time",
        ),
        ("DROP VIEW IF EXISTS v;\n", "remove view v, which a numbered script makes"),
    ] {
        project.write("always/a.sql", &format!("{function}{text}"));
        let checked = project.script(&["check"]);
        assert_eq!(checked.code, Some(0), "the text alone does not tell: {}", checked.stdout);
        let refused = project.script(&["seal"]);
        assert_eq!(refused.code, Some(1), "{text}");
        assert!(
            refused.stderr.contains("nothing was sealed") && refused.stderr.contains(expected),
            "{}",
            refused.stderr
        );
    }
    project.write("always/a.sql", function);
    assert_eq!(project.script(&["seal"]).code, Some(0));
}

#[test]
fn seal_refuses_a_script_that_fails_on_a_server() {
    let project = Project::sealed();
    project.write("Script-0001.sql", "ALTER TABLE oders ADD COLUMN currency text;\n");
    let refused = project.script(&["seal"]);
    assert_eq!(refused.code, Some(1));
    for expected in ["nothing was sealed", "sql/Script-0001.sql:1:", "(42P01)", "--without-schema"] {
        assert!(refused.stderr.contains(expected), "{expected}: {}", refused.stderr);
    }
    assert!(!project.read("scripts.lock").contains("Script-0001.sql"));
    let unseen = project.script(&["seal", "--without-schema"]);
    assert_eq!(unseen.stdout, "sealed sql/Script-0001.sql\n");
    let checked = project.script(&["check"]);
    assert!(checked.stdout.contains("ends before Script-0001.sql"), "{}", checked.stdout);
}

#[test]
fn seal_refuses_a_lint_that_a_release_would_refuse() {
    let project = Project::sealed();
    project.write("Script-0001.sql", "ALTER TABLE orders ADD COLUMN state text NOT NULL;\n");
    assert_eq!(project.script(&["check"]).code, Some(0), "a draft's lint is a warning");
    let refused = project.script(&["seal"]);
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("adding-required-field"), "{}", refused.stderr);
    assert!(!project.read("scripts.lock").contains("Script-0001.sql"));
}

#[test]
fn check_finds_for_each_rule_what_the_build_finds() {
    for rule in rules().iter().filter(|rule| !rule.starts_with("sqlserver")) {
        let project = Project::new();
        copy(&rule_folder(rule), &project.0.path().join("sql"));
        let said = project.script(&["check"]);
        let warnings_only = ["draft", "lint", "schema"].contains(&rule.as_str());
        assert_eq!(said.code, Some(i32::from(!warnings_only)), "{rule}:\n{}", said.stdout);
        insta::assert_snapshot!(format!("check-{rule}"), said.stdout);
    }
}

#[test]
fn a_program_reads_findings_as_json_and_sarif() {
    let project = Project::new();
    copy(&rule_folder("syntax"), &project.0.path().join("sql"));
    let json: Value = parse(&project.script(&["check", "--format", "json"]));
    let findings = json["findings"].as_array().expect("is a list");
    let comma = &findings[1];
    assert_eq!(
        (&comma["file"], &comma["line"], &comma["column"]),
        (&"sql/Script-0001.sql".into(), &3.into(), &24.into())
    );
    assert_eq!((&comma["rule"], &comma["severity"]), (&"syntax".into(), &"error".into()));
    for finding in findings {
        assert!(finding["message"].is_string() && finding["help"].is_string(), "{finding}");
    }

    let sarif = parse(&project.script(&["check", "--format", "sarif"]));
    assert_eq!(sarif["version"], "2.1.0");
    let run = &sarif["runs"][0];
    let results = run["results"].as_array().expect("is a list");
    assert_eq!(results.len(), findings.len());
    let place = &results[1]["locations"][0]["physicalLocation"];
    assert_eq!(place["artifactLocation"]["uri"], "sql/Script-0001.sql");
    assert_eq!((&place["region"]["startLine"], &place["region"]["startColumn"]), (&3.into(), &24.into()));
    let known = run["tool"]["driver"]["rules"].as_array().expect("is a list");
    for result in results {
        assert!(known.iter().any(|rule| rule["id"] == result["ruleId"]), "{result}");
    }
}

fn parse(said: &Said) -> Value {
    assert_eq!(said.code, Some(1));
    serde_json::from_str(&said.stdout).unwrap_or_else(|error| panic!("{error}:\n{}", said.stdout))
}

#[test]
fn base_finds_what_was_sealed_again_since_a_revision() {
    let project = Project::sealed();
    project.write("Script-0001.sql", "ALTER TABLE orders ADD COLUMN currency text;\n");
    project.script(&["seal"]);
    project.commit();
    assert_eq!(project.script(&["check", "--base", "HEAD"]).code, Some(0));

    // The whole lock is written again for an edited script, so only a base can show the change.
    project.write("Script-0001.sql", "ALTER TABLE orders ADD COLUMN currency varchar(3);\n");
    fs::remove_file(project.0.path().join("sql/scripts.lock")).expect("is there");
    let refused = project.script(&["seal"]);
    if refused.code != Some(0) {
        project.write("Script-0001.sql", "ALTER TABLE orders ADD COLUMN currency text DEFAULT 'EUR';\n");
        assert_eq!(project.script(&["seal"]).code, Some(0), "{}", refused.stderr);
    }
    assert_eq!(project.script(&["check"]).code, Some(0));
    let said = project.script(&["check", "--base", "HEAD"]);
    assert_eq!(said.code, Some(1), "{}", said.stdout);
    assert!(said.stdout.contains("`Script-0001.sql` was sealed at HEAD"), "{}", said.stdout);
    assert!(
        said.stdout.contains("git checkout HEAD -- sql/Script-0001.sql sql/scripts.lock"),
        "{}",
        said.stdout
    );

    let unknown = project.script(&["check", "--base", "no-such-revision"]);
    assert_ne!(unknown.code, Some(0));
    assert!(
        unknown.stderr.contains("no-such-revision") && unknown.stderr.contains("help: "),
        "{}",
        unknown.stderr
    );
}

#[test]
fn squash_folds_what_is_sealed_and_a_migrated_database_goes_on() {
    let project = Project::sealed();
    let scripts = [
        "-- onward: contract\nALTER TABLE orders ADD COLUMN note text;\nINSERT INTO orders VALUES (1, 'größer');\n",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $$ SELECT 1; $$;\n",
        "CREATE TABLE parcels (id bigint PRIMARY KEY);\n",
    ];
    for (index, script) in scripts.iter().enumerate() {
        project.write(&format!("Script-{:04}.sql", index + 1), script);
    }
    let draft = project.script(&["squash", "--through", "2"]);
    assert_eq!(draft.code, Some(1));
    assert!(draft.stderr.contains("Script-0001.sql is a draft"), "{}", draft.stderr);
    assert_eq!(project.script(&["seal"]).code, Some(0));
    assert_eq!(project.script(&["squash", "--through", "9"]).code, Some(2));

    let squashed = project.script(&["squash", "--through", "2"]);
    assert_eq!(squashed.code, Some(0), "{}", squashed.stderr);
    let mut names: Vec<_> = fs::read_dir(project.0.path().join("sql"))
        .expect("is there")
        .map(|entry| entry.expect("is readable").file_name().into_string().expect("is text"))
        .collect();
    names.sort();
    assert_eq!(names, ["Baseline-0002.sql", "Script-0003.sql", "schema.lock", "schema.sql", "scripts.lock"]);
    let baseline = project.read("Baseline-0002.sql");
    assert!(baseline.contains("größer") && baseline.contains("-- onward: contract"), "{baseline}");
    assert!(!baseline.contains("schema_journal"), "{baseline}");
    let checked = project.script(&["check"]);
    assert_eq!(checked.stdout, "0 error(s), 0 warning(s)\n");
    let described = project.read("schema.lock");
    fs::remove_file(project.0.path().join("sql/schema.lock")).expect("is there");
    assert_eq!(project.script(&["seal"]).code, Some(0));
    assert_eq!(
        project.read("schema.lock"),
        described,
        "the new baseline makes the schema that the old scripts made"
    );
    assert_eq!(project.script(&["new", "Next"]).stdout, "sql/Script-0004.sql\n");
}

#[test]
fn the_scripts_of_another_tool_become_a_history() {
    let project = Project::new();
    let old = project.0.path().join("old");
    let write = |path: &str, text: &str| {
        let path = old.join(path);
        fs::create_dir_all(path.parent().expect("has a folder")).expect("is writable");
        fs::write(path, text).expect("is writable");
    };
    write("V1__orders.sql", "CREATE TABLE orders (id bigint PRIMARY KEY, note text);\r\n");
    write("2024/V1.1__drop_note.sql", "ALTER TABLE orders DROP COLUMN note;\n");
    write("V2__index.sql", "CREATE INDEX by_id ON ${table} (id);\n");
    write("R__views.sql", "CREATE OR REPLACE VIEW v AS SELECT 1;\n");
    let import = || project.script(&["import", "--from", "flyway", "old"]);
    let refused = import();
    assert_eq!(refused.code, Some(1), "{}", refused.stderr);
    for expected in ["nothing was imported", "V2__index.sql:1:23", "`${table}` of flyway"] {
        assert!(refused.stderr.contains(expected), "{expected}: {}", refused.stderr);
    }
    assert_eq!(fs::read_dir(project.0.path().join("sql")).expect("is there").count(), 0);

    write("V2__index.sql", "CREATE INDEX by_id ON orders (id);\n");
    let imported = import();
    assert_eq!(imported.code, Some(0), "{}", imported.stderr);
    assert_eq!(
        imported.stdout,
        "sql/Baseline.sql  V1__orders.sql\nsql/Script-0001.sql  2024/V1.1__drop_note.sql\nsql/Script-0002.sql  V2__index.sql\n"
    );
    assert!(imported.stderr.contains("left out R__views.sql"), "{}", imported.stderr);
    assert_eq!(
        project.read("Script-0001.sql"),
        "-- onward: was 2024/V1.1__drop_note.sql\n-- onward: title drop note\n\nALTER TABLE orders DROP COLUMN note;\n"
    );
    let sealed = project.script(&["seal"]);
    assert_eq!(sealed.code, Some(0), "neither contract nor lint is about what was: {}", sealed.stderr);
    let again = import();
    assert_eq!(again.code, Some(1));
    assert!(again.stderr.contains("already holds"), "{}", again.stderr);
    let unknown = project.script(&["import", "--from", "liquibase", "old"]);
    assert!(unknown.stderr.contains("which cannot be imported"), "{}", unknown.stderr);
}

#[test]
fn the_starter_passes_its_own_rules() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let said = run(&mut arguments(development(root), ["script", "check"]));
    assert_eq!((said.code, said.stdout.as_str()), (Some(0), "0 error(s), 0 warning(s)\n"));
}
