use std::ops::Range;

use super::tool::Tool;
use crate::dialect::Dialect;
use crate::finding::Finding;
use crate::lexer::{TokenKind, Unclosed, lex};
use crate::rule::Rule;

/// The placeholders that the tool replaces before it sends a text: the server would get them as they are.
pub(super) fn find(tool: Tool, dialect: Dialect, path: &str, text: &str) -> Vec<Finding> {
    let places = match tool {
        // <https://documentation.red-gate.com/flyway/flyway-concepts/migrations/migration-placeholders>
        Tool::Flyway => between(text, "${", "}"),
        Tool::Goose if text.contains("+goose ENVSUB ON") => between(text, "${", "}"),
        // <https://dbup.readthedocs.io/en/latest/usage/#variable-substitution>
        Tool::DbUp if dialect == Dialect::SqlServer => between(text, "$", "$"),
        Tool::DbUp => dollars(text),
        // <https://erikbra.github.io/grate/token-replacement/>
        Tool::Grate => between(text, "{{", "}}"),
        _ => Vec::new(),
    };
    let finding = |place: Range<usize>| {
        let message = format!("the placeholder `{}` of {tool} has no value here", &text[place.clone()]);
        Finding::file(Rule::Content, path, message, "write the value in its place, then import again")
            .at(place)
    };
    places.into_iter().map(finding).collect()
}

/// The places of a name between two marks.
fn between(text: &str, open: &str, close: &str) -> Vec<Range<usize>> {
    let mut places = Vec::new();
    let mut from = 0;
    while let Some(found) = text[from..].find(open) {
        let start = from + found;
        let inner = start + open.len();
        let is_name = |c: char| c.is_alphanumeric() || "_-.:".contains(c);
        let length = text[inner..].find(|c| !is_name(c)).unwrap_or(text.len() - inner);
        from = inner;
        if length > 0 && text[inner + length..].starts_with(close) {
            from = inner + length + close.len();
            places.push(start..from);
        }
    }
    places
}

/// On PostgreSQL `$name$` begins a text, which its second occurrence ends. It is a placeholder within another text, where no text can stand,
/// and without a second one.
fn dollars(text: &str) -> Vec<Range<usize>> {
    let tokens: Vec<_> =
        lex(text, Dialect::Postgres).into_iter().filter(|token| !token.is_comment()).collect();
    let mut places = Vec::new();
    for (index, token) in tokens.iter().enumerate() {
        let (start, shown) = (token.span.start, token.text(text));
        let previous = index.checked_sub(1).map(|previous| &tokens[previous]);
        let names = ["to", "on", "schema", "table", "database", "role", "user", "owner"];
        let wants_name = previous.is_some_and(|previous| {
            previous.kind == TokenKind::Symbol('.') || names.iter().any(|name| previous.is_word(text, name))
        });
        if !shown.starts_with('$') {
            places.extend(
                between(shown, "$", "$").into_iter().map(|place| start + place.start..start + place.end),
            );
        } else if token.kind == TokenKind::String && (token.fault == Some(Unclosed::String) || wants_name) {
            let tag = shown[1..].find('$').map_or(0, |end| end + 2);
            places.push(start..start + tag);
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(tool: Tool, dialect: Dialect, text: &str) -> Vec<&str> {
        find(tool, dialect, "x", text)
            .into_iter()
            .map(|finding| &text[finding.span.expect("has a place")])
            .collect()
    }

    #[test]
    fn each_tool_has_its_own_marks() {
        let (postgres, sql_server) = (Dialect::Postgres, Dialect::SqlServer);
        assert_eq!(
            found(Tool::Flyway, postgres, "SELECT '${a}', ${flyway:user}, $1"),
            ["${a}", "${flyway:user}"]
        );
        assert_eq!(found(Tool::DbUp, sql_server, "USE [$db$]; SELECT $1.00, '$x $y'"), ["$db$"]);
        assert_eq!(
            found(Tool::DbUp, postgres, "CREATE FUNCTION f() AS $a$ SELECT 1 $a$; SELECT $x$"),
            ["$x$"]
        );
        assert_eq!(
            found(
                Tool::DbUp,
                postgres,
                "DO $x$ SELECT '$y$' $x$; SELECT '$a$ b', 'costs $5'; GRANT ALL ON t TO $u$; GRANT ALL ON v TO $u$;"
            ),
            ["$a$", "$u$"]
        );
        assert_eq!(found(Tool::Grate, sql_server, "USE {{DatabaseName}}"), ["{{DatabaseName}}"]);
        assert_eq!(found(Tool::Sqlx, postgres, "SELECT '${a}'"), [""; 0]);
    }
}
