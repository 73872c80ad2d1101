use std::ops::Range;

use super::Source;
use crate::batch;
use crate::dialect::Dialect;
use crate::finding::{Finding, Severity};
use crate::lexer::{Token, TokenKind};
use crate::object::ObjectName;
use crate::rule::Rule;
use crate::statement::{Statement, is_off};

/// Checks that the script leaves the transaction to the migrator.
pub(crate) fn check(source: &Source<'_>, dialect: Dialect) -> Vec<Finding> {
    match dialect {
        Dialect::Postgres => postgres(source),
        Dialect::SqlServer => sql_server(source),
    }
}

fn finding(source: &Source<'_>, span: Range<usize>, message: String, help: &str) -> Finding {
    Finding::file(Rule::Transaction, source.path, message, help).at(span)
}

fn postgres(source: &Source<'_>) -> Vec<Finding> {
    let statements = source.statements();
    let mut findings = Vec::new();
    for statement in statements {
        let mode = sets_mode(source.text, statement).filter(|_| source.is_draft);
        if let Some(words) = controls_transaction(source.text, statement).or(mode) {
            let message = format!("`{words}` in a script: the transaction belongs to the migrator");
            let help = "remove it; each script runs in a transaction of its own, with its journal row";
            findings.push(finding(source, statement.span(), message, help));
        } else if let Some(words) = gives_up_locks(source.text, statement).filter(|_| source.is_draft) {
            let message = format!("`{words}` gives up the lock that keeps other migrators away");
            let help = "remove it, or name what it should reset or unlock; the migrator resets the session after each script";
            findings.push(finding(source, statement.span(), message, help));
        } else if statement.starts_with(source.text, &["alter", "system"]) && source.is_draft {
            let message =
                "`ALTER SYSTEM` changes the configuration of the whole server, for all of its databases"
                    .to_owned();
            let help = "set it for this database, `ALTER DATABASE … SET`, or where the server is set up";
            findings.push(finding(source, statement.span(), message, help));
        } else if let Some(words) = refuses_transaction(source.text, statement)
            && !source.directives.no_transaction
        {
            let message = format!("`{words}` cannot run inside a transaction");
            let help = "put it into a script of its own that begins with `-- onward: no-transaction`";
            findings.push(finding(source, statement.span(), message, help));
        }
    }
    if source.directives.no_transaction && statements.len() > 1 {
        let message = format!("a no-transaction script with {} statements", statements.len());
        let help = "keep one statement in it: without a transaction, the failure of a later statement would \
                    not undo the first one";
        findings.push(finding(source, statements[1].span(), message, help));
    }
    findings.extend(uses_added_enum_value(source, statements));
    findings
}

/// `BEGIN`, `COMMIT` and their other spellings; savepoints are fine inside a script.
/// <https://www.postgresql.org/docs/current/sql-commands.html>
fn controls_transaction(text: &str, statement: &Statement) -> Option<&'static str> {
    let starts = |words: &[&str]| statement.starts_with(text, words);
    let to_savepoint = || statement.find(text, "to").is_some();
    match () {
        () if starts(&["begin"]) => Some("BEGIN"),
        () if starts(&["start", "transaction"]) => Some("START TRANSACTION"),
        () if starts(&["commit"]) => Some("COMMIT"),
        () if starts(&["end"]) => Some("END"),
        () if starts(&["abort"]) => Some("ABORT"),
        () if starts(&["rollback"]) && !to_savepoint() => Some("ROLLBACK"),
        () if starts(&["prepare", "transaction"]) => Some("PREPARE TRANSACTION"),
        () => None,
    }
}

/// `SET TRANSACTION` fails behind the first query of a transaction, which is the migrator's; read-only, it would refuse the journal row.
/// <https://www.postgresql.org/docs/current/sql-set-transaction.html>
fn sets_mode(text: &str, statement: &Statement) -> Option<&'static str> {
    let starts = |words: &[&str]| statement.starts_with(text, words);
    (starts(&["set", "transaction"]) || starts(&["set", "local", "transaction"])).then_some("SET TRANSACTION")
}

/// What releases every advisory lock of the session, that of the migrator too.
/// <https://www.postgresql.org/docs/current/sql-discard.html>,
/// <https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-ADVISORY-LOCKS>
fn gives_up_locks(text: &str, statement: &Statement) -> Option<&'static str> {
    match () {
        () if statement.starts_with(text, &["discard", "all"]) => Some("DISCARD ALL"),
        () if statement.find(text, "pg_advisory_unlock_all").is_some() => Some("pg_advisory_unlock_all"),
        () => None,
    }
}

/// The statements that PostgreSQL refuses inside a transaction block. Each has its own page under
/// <https://www.postgresql.org/docs/current/sql-commands.html>.
pub(crate) fn refuses_transaction(text: &str, statement: &Statement) -> Option<&'static str> {
    let starts = |words: &[&str]| statement.starts_with(text, words);
    let has = |word: &str| statement.find(text, word).is_some();
    let index = |verb: &str| starts(&[verb, "index"]) || starts(&[verb, "unique", "index"]);
    match () {
        () if index("create") && has("concurrently") => Some("CREATE INDEX CONCURRENTLY"),
        () if index("drop") && has("concurrently") => Some("DROP INDEX CONCURRENTLY"),
        () if starts(&["reindex"]) && has("concurrently") => Some("REINDEX CONCURRENTLY"),
        () if starts(&["reindex"]) && (has("database") || has("system") || has("schema")) => {
            Some("REINDEX of a whole database or schema")
        }
        () if starts(&["alter", "table"]) && has("detach") && has("concurrently") => {
            Some("DETACH PARTITION CONCURRENTLY")
        }
        () if starts(&["vacuum"]) => Some("VACUUM"),
        () if starts(&["cluster"]) && statement.tokens.len() == 1 => Some("CLUSTER of all tables"),
        () if starts(&["alter", "system"]) => Some("ALTER SYSTEM"),
        () if starts(&["create", "database"]) => Some("CREATE DATABASE"),
        () if starts(&["drop", "database"]) => Some("DROP DATABASE"),
        () if starts(&["alter", "database"]) && has("tablespace") => Some("ALTER DATABASE … SET TABLESPACE"),
        () if starts(&["create", "tablespace"]) => Some("CREATE TABLESPACE"),
        () if starts(&["drop", "tablespace"]) => Some("DROP TABLESPACE"),
        () if starts(&["alter", "subscription"]) && has("refresh") => Some("ALTER SUBSCRIPTION … REFRESH"),
        () if starts(&["create", "subscription"]) && !makes_no_slot(text, statement) => {
            Some("CREATE SUBSCRIPTION with a slot")
        }
        () if starts(&["drop", "subscription"]) => Some("DROP SUBSCRIPTION"),
        () => None,
    }
}

/// A subscription that makes no slot on the other server may be made in a transaction.
/// <https://www.postgresql.org/docs/current/sql-createsubscription.html>
fn makes_no_slot(text: &str, statement: &Statement) -> bool {
    statement.tokens.windows(3).any(|three| {
        let named = three[0].is_word(text, "connect") || three[0].is_word(text, "create_slot");
        named && three[1].kind == TokenKind::Symbol('=') && is_off(text, &three[2])
    })
}

/// A value that `ALTER TYPE … ADD VALUE` adds cannot be used before the transaction that added it commits. The same text may
/// also be a value of another type, so that it is an error only where the type stands beside it. The body of a function is
/// not looked at before it runs.
/// <https://www.postgresql.org/docs/current/sql-altertype.html>
fn uses_added_enum_value(source: &Source<'_>, statements: &[Statement]) -> Vec<Finding> {
    let text = source.text;
    let mut findings = Vec::new();
    for (index, statement) in statements.iter().enumerate() {
        let added = statement.adds_enum_value(text).and_then(|value| {
            let after = |token: &&Token| token.span.start > value.span.start;
            statement.tokens.iter().filter(after).find(|token| token.kind == TokenKind::String)
        });
        let name = ObjectName::parse(text, statement.tokens.get(2..).unwrap_or_default(), Dialect::Postgres);
        let (Some(added), Some((name, _))) = (added, name) else { continue };
        let is_same =
            |token: &&Token| token.kind == TokenKind::String && token.text(text) == added.text(text);
        let later = || statements[index + 1..].iter();
        let typed = later().find_map(|statement| {
            let is_typed = |token: &&Token| is_same(token) && has_type(text, statement, token, &name);
            statement.tokens.iter().find(is_typed)
        });
        let used = typed.or_else(|| later().flat_map(|statement| &statement.tokens).find(is_same));
        let Some(used) = used else { continue };
        let message = match typed {
            Some(_) => format!("this script adds {} and cannot use it before it commits", added.text(text)),
            None => format!(
                "this script adds {} to `{name}`, whose new values cannot be used before it commits",
                added.text(text)
            ),
        };
        let help = "move the statements that use the new value into the next script";
        let severity = if typed.is_some() { Severity::Error } else { Severity::Warning };
        findings.push(finding(source, used.span.clone(), message, help).severity(severity));
    }
    findings
}

/// Whether a literal has a type beside it: `'a'::type`, `type 'a'` or `CAST('a' AS type)`.
fn has_type(text: &str, statement: &Statement, literal: &Token, name: &ObjectName) -> bool {
    let tokens = &statement.tokens;
    let Some(at) = tokens.iter().position(|token| token.span == literal.span) else { return false };
    let is_type = |from: usize| {
        let parsed = ObjectName::parse(text, tokens.get(from..).unwrap_or_default(), Dialect::Postgres);
        parsed.is_some_and(|(other, _)| other.name() == name.name())
    };
    let is_colon = |index: usize| tokens.get(index).is_some_and(|token| token.kind == TokenKind::Symbol(':'));
    let is_cast = is_colon(at + 1) && is_colon(at + 2) && is_type(at + 3);
    let is_as = tokens.get(at + 1).is_some_and(|token| token.is_word(text, "as")) && is_type(at + 2);
    is_cast || is_as || at.checked_sub(1).is_some_and(is_type)
}

/// Finds statements that would end the migrator's transaction, and a `BEGIN TRAN` without its `COMMIT`.
///
/// A balanced `BEGIN TRAN … COMMIT` nests inside the migrator's transaction and is allowed. A `COMMIT` below the
/// level at which the script began ends the migrator's own. Bodies of procedures and triggers run later.
///
/// A `ROLLBACK` after a `BEGIN TRAN` is another way to end that one, for example in a `CATCH`. A `ROLLBACK` to a
/// savepoint ends no transaction. The migrator checks the effect of both after the script has run.
fn sql_server(source: &Source<'_>) -> Vec<Finding> {
    let text = source.text;
    let refused = refuses_transaction_on_sql_server(source);
    if !refused.is_empty() {
        return refused;
    }
    let mut depth = 0_i32;
    let mut open = None;
    let mut has_savepoint = false;
    for batch in batch::split(text, source.tokens) {
        let tokens = batch.code(source.tokens);
        if batch::creates_module(text, &tokens) {
            continue;
        }
        for (index, token) in tokens.iter().enumerate() {
            let next = tokens.get(index + 1);
            let transaction =
                next.is_some_and(|next| next.is_word(text, "tran") || next.is_word(text, "transaction"));
            let span =
                || token.span.start..next.filter(|_| transaction).map_or(token.span.end, |n| n.span.end);
            if token.is_word(text, "begin") && transaction {
                depth += 1;
                open = Some(span());
            } else if token.is_word(text, "commit") {
                depth -= 1;
            } else if token.is_word(text, "save") && transaction {
                has_savepoint = true;
            } else if token.is_word(text, "rollback") && open.is_none() && !has_savepoint {
                depth = -1;
            }
            if depth < 0 {
                let what = token.text(text).to_uppercase();
                let message =
                    format!("`{what}` without a `BEGIN TRAN`: it would end the migrator's transaction");
                let help = "remove it; each script runs in a transaction of its own, with its journal row";
                return vec![finding(source, span(), message, help)];
            }
        }
    }
    let unbalanced = open.filter(|_| depth > 0 && !source.directives.no_transaction);
    let finding = unbalanced.map(|span| {
        let message = "`BEGIN TRAN` without its `COMMIT`".to_owned();
        finding(source, span, message, "commit it in the same script, or remove it")
    });
    finding.into_iter().collect()
}

/// The statements that SQL Server refuses inside a transaction. A procedure may contain them, because it runs later.
/// <https://learn.microsoft.com/sql/t-sql/language-elements/transactions-transact-sql>
fn refuses_transaction_on_sql_server(source: &Source<'_>) -> Vec<Finding> {
    let text = source.text;
    let mut findings = Vec::new();
    if source.directives.no_transaction {
        return findings;
    }
    for batch in batch::split(text, source.tokens) {
        let tokens = batch.code(source.tokens);
        if batch::creates_module(text, &tokens) {
            continue;
        }
        let word = |index: usize, words: &[&str]| {
            tokens.get(index).is_some_and(|token| words.iter().any(|word| token.is_word(text, word)))
        };
        for (index, token) in tokens.iter().enumerate() {
            let defines = word(index, &["create", "alter", "drop"]);
            // A right, as in `GRANT ALTER DATABASE …`, is no statement.
            let is_right = index > 0 && word(index - 1, &["grant", "deny", "revoke"]);
            let parts = ["scoped", "audit", "encryption"];
            let length = match () {
                () if is_right => 0,
                () if defines && word(index + 1, &["database"]) && !word(index + 2, &parts) => 2,
                () if defines && word(index + 1, &["fulltext"]) && word(index + 2, &["catalog", "index"]) => {
                    3
                }
                () if word(index, &["backup", "restore"]) && word(index + 1, &["database", "log"]) => 2,
                () if word(index, &["reconfigure"]) => 1,
                () => 0,
            };
            if length > 0 {
                let span = token.span.start..tokens[index + length - 1].span.end;
                let message =
                    format!("`{}` cannot run inside a transaction", text[span.clone()].to_uppercase());
                let help = "put it into a script of its own that begins with `-- onward: no-transaction`";
                findings.push(finding(source, span, message, help));
            }
        }
    }
    findings
}
