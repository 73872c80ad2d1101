use super::Source;
use crate::danger::Danger;
use crate::statement::Statement;

/// The names by which `-- onward: allow` knows them.
pub(crate) const RULES: [&str; 2] = ["create-role", "create-database"];

/// Finds what a script of PostgreSQL makes on the server and not in its database. The script fails in the second database there: that of a
/// test, of another stage, or of a restore.
/// <https://www.postgresql.org/docs/current/user-manag.html>
pub(crate) fn dangers(source: &Source<'_>) -> Vec<Danger> {
    source.statements().iter().filter_map(|statement| danger(source.text, statement)).collect()
}

fn danger(text: &str, statement: &Statement) -> Option<Danger> {
    let starts = |words: &[&str]| statement.starts_with(text, words);
    let makes_role = ["role", "user", "group"].iter().any(|kind| starts(&["create", kind]));
    let (rule, what, help) = match () {
        () if starts(&["create", "user", "mapping"]) => return None,
        () if makes_role => (
            RULES[0],
            "a role",
            "make it only if it is missing: `DO $$ BEGIN CREATE ROLE …; EXCEPTION WHEN duplicate_object OR unique_violation THEN \
             NULL; END $$;`",
        ),
        () if starts(&["create", "database"]) => {
            (RULES[1], "a database", "make it outside of the scripts, where the server is set up")
        }
        () => return None,
    };
    let message = format!(
        "{what} belongs to the server: where it is already there, for a second database of this server, the script fails"
    );
    Some(Danger { rule: rule.to_owned(), span: statement.span(), message, help: help.to_owned() })
}
