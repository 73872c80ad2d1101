//! A scratch database as SQL, by `pg_dump`.

use std::path::PathBuf;
use std::process::Command;

use onward_script::{Dialect, TokenKind, lex};

use crate::process::exit::{CommandError, Exit};
use crate::scratch::ScratchDatabase;

/// What a dump holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    Schema,
    SchemaAndData,
}

/// Dumps the database without its journal, owners and grants.
pub(crate) fn pg_dump(scratch: &ScratchDatabase, content: Content) -> Result<String, CommandError> {
    let failed = |reason: &str| {
        let help =
            "install the PostgreSQL client programs of the server's version (Debian: `postgresql-client`)";
        CommandError::new(
            Exit::Failed,
            format!("pg_dump of {} failed: {}", scratch.name(), reason.trim()),
            help,
        )
    };
    let mut command = Command::new(program());
    command.args([
        "--inserts",
        "--no-owner",
        "--no-privileges",
        "--exclude-table=schema_journal",
        "--exclude-table=schema_always",
    ]);
    if content == Content::Schema {
        command.arg("--schema-only");
    }
    // A file passes the password, because every user of the machine can see a command line.
    command.envs(scratch.server.iter().map(|server| ("PGPASSFILE", server.passfile())));
    command.arg("--dbname").arg(scratch.url.to_string());
    let output = command.output().map_err(|error| failed(&error.to_string()))?;
    if !output.status.success() {
        return Err(failed(&String::from_utf8_lossy(&output.stderr)));
    }
    let text = String::from_utf8(output.stdout).map_err(|error| failed(&error.to_string()))?;
    Ok(format!("{}\n", statements_of(&text).trim()))
}

/// The dump without psql's own commands, because Onward sends the text directly to the server, and without the versions of the programs. A
/// line of a text or of a function's body stays as it is, whatever it begins with.
fn statements_of(dump: &str) -> String {
    let tokens = lex(dump, Dialect::Postgres);
    let is_within = |at: usize| {
        let behind = tokens.partition_point(|token| token.span.start < at);
        tokens[..behind].last().is_some_and(|token| token.span.end > at)
    };
    let mut at = 0;
    let is_kept = |line: &&str| {
        let begins = at;
        at += line.len();
        !(line.starts_with('\\') || line.starts_with("-- Dumped ")) || is_within(begins)
    };
    with_visible_returns(&dump.split_inclusive('\n').filter(is_kept).collect::<String>())
}

/// The same, with each carriage return of a literal as `\r`: a script has the line ends of the system on which it is checked out, so
/// Onward takes `\r\n` in it for `\n`.
fn with_visible_returns(text: &str) -> String {
    let (mut shown, mut at) = (String::with_capacity(text.len()), 0);
    for token in lex(text, Dialect::Postgres) {
        let literal = token.text(text);
        if token.kind == TokenKind::String && literal.starts_with('\'') && literal.contains('\r') {
            shown.push_str(&text[at..token.span.start]);
            shown.push('E');
            shown.push_str(&literal.replace('\\', r"\\").replace('\r', r"\r"));
            at = token.span.end;
        }
    }
    shown.push_str(&text[at..]);
    shown
}

/// The pg_dump beside the server's binaries, or else the one of the PATH.
fn program() -> PathBuf {
    let name = format!("pg_dump{}", std::env::consts::EXE_SUFFIX);
    let server =
        onward_local::find_binaries().ok().and_then(|folder| folder.join("postgres").canonicalize().ok());
    let beside = server.and_then(|server| Some(server.parent()?.join(&name)));
    beside.filter(|path| path.is_file()).unwrap_or_else(|| PathBuf::from(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn psql_s_own_commands_are_left_out_and_lines_of_a_text_are_not() {
        let dump = "-- Dumped from database version 15.18\n\\restrict aBc\n\nCREATE FUNCTION f() AS $_$\n\\begin{x}\n\
                    -- Dumped \n$_$;\nINSERT INTO t VALUES ('a\r\n\\b\r\n-- Dumped c');\n\\unrestrict aBc\n";
        let expected = "\nCREATE FUNCTION f() AS $_$\n\\begin{x}\n-- Dumped \n$_$;\n\
                        INSERT INTO t VALUES (E'a\\r\n\\\\b\\r\n-- Dumped c');\n";
        assert_eq!(statements_of(dump), expected);
    }
}
