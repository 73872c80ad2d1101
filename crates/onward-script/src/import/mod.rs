//! The scripts of another migration tool as a history of Onward.

mod placeholder;
mod text;
mod tool;

use std::borrow::Cow;
use std::collections::HashMap;

use self::text::{Settings, forward, needs_none, with_header};
use self::tool::GRATE_FOLDERS;
pub use self::tool::{Key, Role, Tool};
use crate::dialect::Dialect;
use crate::finding::Finding;
use crate::name::{baseline_name, script_name};
use crate::rule::Rule;
use crate::text::normalise;

/// What [`import`] made of a folder.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Imported {
    /// The scripts in the order of the tool; the first is the baseline.
    pub scripts: Vec<ImportedScript>,
    /// The files that are left out, with the reason.
    pub left_out: Vec<(String, &'static str)>,
}

/// One script of another tool with its new name.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ImportedScript {
    /// Its path in the old folder.
    pub was: String,
    /// Its new file name.
    pub name: String,
    /// Its new text.
    pub text: String,
}

/// Brings the files of a folder into the order of their tool and gives them Onward's names. `files` are paths relative to the
/// folder, with `/`, and their bytes.
///
/// Each script keeps its old name in a directive, `-- onward: was V7__orders.sql`, by which the history table of the tool is read
/// later. The text stays as it is, but for the part that takes the change back.
///
/// ```
/// use onward_script::Dialect;
/// use onward_script::import::{Tool, import};
///
/// let files = [("V2__b.sql", "SELECT 2;"), ("V1__a.sql", "SELECT 1;"), ("U1__a.sql", "SELECT 0;")];
/// let files = files.map(|(path, text)| (path.to_owned(), text.as_bytes().to_vec()));
/// let imported = import(Tool::Flyway, Dialect::Postgres, &files).unwrap();
/// let names: Vec<_> = imported.scripts.iter().map(|script| (script.name.as_str(), script.was.as_str())).collect();
/// assert_eq!(names, [("Baseline.sql", "V1__a.sql"), ("Script-0001.sql", "V2__b.sql")]);
/// assert_eq!(imported.left_out[0].0, "U1__a.sql");
/// ```
///
/// # Errors
///
/// All that stands against an import: two scripts of one version, a text that is not UTF-8, a placeholder, a change that is not
/// written in SQL.
pub fn import(tool: Tool, dialect: Dialect, files: &[(String, Vec<u8>)]) -> Result<Imported, Vec<Finding>> {
    let mut imported = Imported::default();
    let mut findings = Vec::new();
    let mut old = Vec::new();
    let mut baselines = Vec::new();
    let mut settings = HashMap::new();
    let files = &within(tool, files);
    for (path, bytes) in files {
        if path.contains(char::is_control) || path.contains(char::REPLACEMENT_CHARACTER) {
            let message = "the name holds a character that no line can hold, or is not UTF-8";
            findings.push(Finding::file(
                Rule::UnexpectedFile,
                path.escape_debug().to_string(),
                message,
                "rename the file",
            ));
            continue;
        }
        if tool.ignores_folders() && path.contains('/') {
            imported.left_out.push((path.clone(), "it is in a folder, which the tool does not read"));
            continue;
        }
        match tool.role(path) {
            Role::Once { key, title } => match normalise(path, bytes) {
                Ok(text) => old.push((key, title, path, text)),
                Err(finding) => findings.push(finding),
            },
            Role::Baseline { key, title } => match normalise(path, bytes) {
                Ok(text) => baselines.push((key, title, path, text)),
                Err(finding) => findings.push(finding),
            },
            Role::Code if tool == Tool::DbUp && !has_word(&String::from_utf8_lossy(bytes), "IScript") => {}
            Role::Code => {
                let message = format!("a change that {tool} makes by a program cannot be imported");
                let help = "write what it does as SQL in a script of the same name that ends in `.sql`, and import that";
                findings.push(Finding::file(Rule::UnexpectedFile, path, message, help));
            }
            Role::Settings => {
                settings.insert(path.strip_suffix(".conf").unwrap_or(path), Settings::read(bytes));
            }
            Role::Repeatable => imported
                .left_out
                .push((path.clone(), "it runs again whenever it changes: put it into `always/`")),
            Role::Environment => imported.left_out.push((
                path.clone(),
                "it runs in one environment only: put what it does into a script, or into `seeds/`",
            )),
            Role::Undo => imported.left_out.push((path.clone(), "it takes a change back")),
            Role::Other => {
                imported.left_out.push((path.clone(), "this is not the name of a script of the tool"))
            }
        }
    }
    take_baseline(&mut old, baselines, &mut imported);
    old.sort();
    // <https://github.com/amacneil/dbmate>: its order is that of the names.
    // <https://github.com/erikbra/grate>: that of the folders, and in each of the names.
    if matches!(tool, Tool::Dbmate | Tool::Grate) {
        old.sort_by(|one, other| one.2.cmp(other.2));
    }
    for two in old.windows(2) {
        if two[0].0 == two[1].0 {
            let message = format!("this has the same version as {}", two[0].2);
            findings.push(Finding::file(
                Rule::Sequence,
                two[1].2,
                message,
                "give each script a version of its own",
            ));
        }
    }
    for (number, (_, title, path, text)) in (0..).zip(old) {
        let settings = settings.get(path.as_str()).copied().unwrap_or_default();
        if !settings.no_placeholders {
            findings.extend(placeholder::find(tool, dialect, path, &text));
        }
        let name = if number == 0 { baseline_name(0) } else { script_name(number) };
        let mut forward = forward(tool, &text);
        forward.no_transaction |= settings.no_transaction || needs_none(dialect, forward.text);
        let text = with_header(path, &title, dialect, &forward);
        imported.scripts.push(ImportedScript { was: path.clone(), name, text });
    }
    if findings.is_empty() { Ok(imported) } else { Err(findings) }
}

/// The files with the folder that the tool knows: grate's `up` may itself be the folder that was given.
fn within(tool: Tool, files: &[(String, Vec<u8>)]) -> Vec<(String, &[u8])> {
    let is_known =
        |path: &str| path.split_once('/').is_some_and(|(folder, _)| GRATE_FOLDERS.contains(&folder));
    let is_up = tool == Tool::Grate && !files.iter().any(|(path, _)| is_known(path));
    let path = |path: &str| if is_up { format!("up/{path}") } else { path.to_owned() };
    files.iter().map(|(was, bytes)| (path(was), &bytes[..])).collect()
}

/// A script of a tool: its place, its title, its path and its text.
type Old<'a> = (Key, String, &'a String, Cow<'a, str>);

/// The last baseline begins the history if the scripts that it stands for are gone, and otherwise they do.
fn take_baseline<'a>(old: &mut Vec<Old<'a>>, mut baselines: Vec<Old<'a>>, imported: &mut Imported) {
    baselines.sort();
    let Some(last) = baselines.pop() else { return };
    for (_, _, path, _) in baselines {
        imported.left_out.push((path.clone(), "a later baseline stands for all that it does"));
    }
    if old.iter().any(|script| script.0 <= last.0) {
        imported.left_out.push((last.2.clone(), "the scripts that it stands for are here"));
    } else {
        old.push(last);
    }
}

fn has_word(text: &str, word: &str) -> bool {
    let is_part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    text.match_indices(word).any(|(at, _)| {
        !is_part(text[..at].chars().next_back()) && !is_part(text[at + word.len()..].chars().next())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(files: &[(&str, &str)]) -> Vec<(String, Vec<u8>)> {
        files.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect()
    }

    fn imported(tool: Tool, given: &[(&str, &str)]) -> Vec<(String, String)> {
        let imported = import(tool, Dialect::Postgres, &files(given)).expect("can be imported");
        imported.scripts.into_iter().map(|script| (script.name, script.text)).collect()
    }

    fn refused(tool: Tool, dialect: Dialect, given: &[(&str, &str)]) -> Vec<String> {
        let findings = import(tool, dialect, &files(given)).expect_err("is refused");
        findings.iter().map(|finding| format!("{}: {}", finding.file, finding.message)).collect()
    }

    #[test]
    fn the_order_is_that_of_the_tool() {
        let names = |tool, given: &[&str]| {
            let given: Vec<_> = given.iter().map(|path| (*path, "SELECT 1;")).collect();
            let imported = import(tool, Dialect::Postgres, &files(&given)).expect("can be imported");
            imported.scripts.into_iter().map(|script| script.was).collect::<Vec<_>>()
        };
        assert_eq!(
            names(Tool::Flyway, &["V1.10__c.sql", "a/V1.9__b.sql", "V1__a.sql"]),
            ["V1__a.sql", "a/V1.9__b.sql", "V1.10__c.sql"]
        );
        assert_eq!(names(Tool::Sqlx, &["10_b.sql", "9_a.sql"]), ["9_a.sql", "10_b.sql"]);
        assert_eq!(
            names(Tool::DbUp, &["b.sql", "Z.sql", "10.sql", "9.sql"]),
            ["10.sql", "9.sql", "Z.sql", "b.sql"]
        );
    }

    #[test]
    fn only_the_way_forward_is_taken() {
        let goose =
            "-- +goose NO TRANSACTION\n-- +goose Up\nCREATE TABLE t ();\n\n-- +goose Down\nDROP TABLE t;\n";
        let dbmate = "-- migrate:up\nCREATE TABLE t ();\n-- migrate:down\nDROP TABLE t;\n";
        let backwards = "-- migrate:down\nDROP TABLE t;\n-- migrate:up\nCREATE TABLE t ();\n";
        let expected = |was: &str, flag: &str, text: &str| {
            vec![(
                "Baseline.sql".to_owned(),
                format!("-- onward: was {was}\n-- onward: title x\n{flag}\n{text}\n"),
            )]
        };
        let table = "CREATE TABLE t ();";
        assert_eq!(
            imported(Tool::Goose, &[("1_x.sql", goose)]),
            expected("1_x.sql", "-- onward: no-transaction\n", table)
        );
        assert_eq!(imported(Tool::Dbmate, &[("1_x.sql", dbmate)]), expected("1_x.sql", "", table));
        assert_eq!(imported(Tool::Dbmate, &[("1_x.sql", backwards)]), expected("1_x.sql", "", table));
        assert_eq!(
            imported(Tool::Sqlx, &[("1_x.up.sql", "-- nothing"), ("1_x.down.sql", "DROP TABLE t;")]),
            expected("1_x.up.sql", "", "-- nothing\nSELECT 1;")
        );
    }

    #[test]
    fn what_runs_without_a_transaction_does_so_here() {
        let index = "CREATE INDEX CONCURRENTLY i ON t (a);";
        for (tool, name) in [(Tool::Flyway, "V1__x.sql"), (Tool::GolangMigrate, "1_x.up.sql")] {
            let expected =
                format!("-- onward: was {name}\n-- onward: title x\n-- onward: no-transaction\n\n{index}\n");
            assert_eq!(imported(tool, &[(name, index)])[0].1, expected);
        }
        let call = "CALL fill('${not_mine}');";
        let settings = "# by hand\nexecuteInTransaction = false\nplaceholderReplacement=false\n";
        let told = imported(Tool::Flyway, &[("V1__x.sql", call), ("V1__x.sql.conf", settings)]);
        assert!(told[0].1.contains("no-transaction"), "{told:?}");
        let two = format!("SELECT 1; {index}");
        assert!(!imported(Tool::Flyway, &[("V1__x.sql", &two)])[0].1.contains("no-transaction"));
    }

    #[test]
    fn a_baseline_of_flyway_begins_what_is_left_of_the_history() {
        let import = |given: &[(&str, &str)]| {
            let imported = import(Tool::Flyway, Dialect::Postgres, &files(given)).expect("can be imported");
            let scripts: Vec<_> = imported.scripts.into_iter().map(|script| script.was).collect();
            (scripts, imported.left_out.into_iter().map(|(path, _)| path).collect::<Vec<_>>())
        };
        let [early, late, before, after] =
            ["B1__a.sql", "B2.1__b.sql", "V2__c.sql", "V3__d.sql"].map(|path| (path, "SELECT 1;"));
        assert_eq!(
            import(&[after, late, early]),
            (vec![late.0.to_owned(), after.0.to_owned()], vec![early.0.to_owned()])
        );
        assert_eq!(
            import(&[after, late, before]),
            (vec![before.0.to_owned(), after.0.to_owned()], vec![late.0.to_owned()])
        );
    }

    #[test]
    fn grate_has_an_order_of_folders_and_names_with_a_meaning() {
        let all = ["v2/001_c.sql", "v1/010_b.sql", "v1/001_a.sql", "x.ENV.TEST.sql", "y.EVERYTIME.sql"];
        for folder in ["up/", ""] {
            let given = all.map(|name| format!("{folder}{name}"));
            let given: Vec<_> = given.iter().map(|path| (path.as_str(), "SELECT 1;")).collect();
            let imported = import(Tool::Grate, Dialect::Postgres, &files(&given)).expect("can be imported");
            let scripts: Vec<_> = imported.scripts.iter().map(|script| script.was.as_str()).collect();
            assert_eq!(scripts, ["up/v1/001_a.sql", "up/v1/010_b.sql", "up/v2/001_c.sql"]);
            assert_eq!(imported.left_out.len(), 2);
        }
    }

    #[test]
    fn a_change_that_is_a_program_is_refused() {
        for (tool, path, text) in [
            (Tool::Flyway, "V2__Fill.java", "class V2__Fill extends BaseJavaMigration {}"),
            (Tool::Refinery, "V2__fill.rs", "pub fn migration() -> String {}"),
            (Tool::Goose, "00002_fill.go", "package migrations"),
            (Tool::DbUp, "Fill.cs", "class Fill : IScript {}"),
        ] {
            assert_eq!(
                refused(tool, Dialect::Postgres, &[(path, text)]),
                [format!("{path}: a change that {tool} makes by a program cannot be imported")]
            );
        }
        assert_eq!(
            imported(
                Tool::DbUp,
                &[("Program.cs", "class Program : IScriptFilter {}"), ("1.SQL", "SELECT 1;")]
            )
            .len(),
            1
        );
    }

    #[test]
    fn what_would_change_the_meaning_is_refused() {
        assert_eq!(
            refused(
                Tool::Flyway,
                Dialect::Postgres,
                &[("V1__a.sql", "SELECT 1;"), ("b/V1.0__a.sql", "SELECT 1;")]
            ),
            ["b/V1.0__a.sql: this has the same version as V1__a.sql"]
        );
        assert_eq!(
            refused(Tool::Flyway, Dialect::Postgres, &[("V1__a.sql", "CREATE TABLE ${schema}.t ();")]),
            ["V1__a.sql: the placeholder `${schema}` of flyway has no value here"]
        );
        assert_eq!(
            refused(Tool::Flyway, Dialect::Postgres, &[("V1__a\nDROP TABLE t; --.sql", "SELECT 1;")]),
            [
                "V1__a\\nDROP TABLE t; --.sql: the name holds a character that no line can hold, or is not UTF-8"
            ]
        );
        let utf16 = ("V1__a.sql".to_owned(), vec![0xff, 0xfe, b'S', 0]);
        assert_eq!(import(Tool::Flyway, Dialect::Postgres, &[utf16]).expect_err("is refused").len(), 1);
    }
}
