//! How a session begins, what a script may change in it, and how the engine resets it.

use onward_script::{Script, Statement, statements};

use crate::engine::SessionOptions;

/// The first statements of the query that a script runs in.
pub(super) const BEGIN: &str = "BEGIN; SELECT txid_current();\n";

/// How many they are.
pub(super) const BEGIN_STATEMENTS: usize = 2;

/// Resets what a script may have changed in its session: settings, role and user.
pub(super) const RESET: &str = "RESET SESSION AUTHORIZATION; RESET ROLE; RESET ALL;";

/// Drops what a script may have left in its session: temporary tables, prepared statements, cursors, notifications, and the
/// values of sequences. All but the advisory locks, among which is the migrator's own.
/// <https://www.postgresql.org/docs/current/sql-discard.html>
pub(super) const FORGET: &str = "CLOSE ALL; UNLISTEN *; DEALLOCATE ALL; DISCARD SEQUENCES; DISCARD TEMP;";

/// The settings that change what a text means, each with the server's own default. A role or a database may have others.
/// <https://www.postgresql.org/docs/current/runtime-config-client.html>,
/// <https://www.postgresql.org/docs/current/runtime-config-compatible.html>
const PINNED: [(&str, &str); 13] = [
    ("standard_conforming_strings", "on"),
    ("backslash_quote", "safe_encoding"),
    ("transform_null_equals", "off"),
    ("array_nulls", "on"),
    ("quote_all_identifiers", "off"),
    ("datestyle", "ISO, MDY"),
    ("intervalstyle", "postgres"),
    ("timezone", "UTC"),
    ("xmloption", "content"),
    ("check_function_bodies", "on"),
    ("default_transaction_isolation", "read committed"),
    ("default_transaction_deferrable", "off"),
    ("plpgsql.variable_conflict", "error"),
];

/// A setting without effect. A connection pool in front of the server drops what it does not know, this one with the others.
pub(super) const WITNESS: &str = "onward.session";

/// The options of a session that migrates, with those of its address. `RESET ALL` goes back to them.
pub(super) fn startup(options: &SessionOptions, own: &str) -> String {
    let mut all = format!("-c {WITNESS}=1 -c client_min_messages=notice");
    for (name, value) in PINNED {
        all.push_str(&format!(" -c {name}={}", value.replace(' ', "\\ ")));
    }
    if let Some(timeout) = options.lock_timeout {
        all.push_str(&format!(" -c lock_timeout={}", timeout.as_millis()));
    }
    format!("{all} {own}").trim_end().to_owned()
}

/// What the engine sends after a script; what else the script may have left, [`FORGET`] drops before the next one. It sends nothing if the script cannot have changed the session, because the three
/// statements cost as much as a small table.
pub(super) fn reset_after(script: &Script) -> &'static str {
    let text = script.text();
    let is_plain_ddl = |statement: &Statement| {
        let begins = |words: &[&str]| words.iter().any(|word| statement.starts_with(text, &[word]));
        let has = |words: &[&str]| words.iter().any(|word| statement.find(text, word).is_some());
        // The server evaluates a default for existing rows, and it may call any function.
        let is_temporary = has(&["temp", "temporary", "pg_temp"]);
        let runs_code =
            is_temporary || has(&["set", "select", "execute"]) || begins(&["alter"]) && has(&["default"]);
        begins(&["create", "alter", "drop", "comment", "grant", "revoke"]) && !runs_code
    };
    if statements(text).iter().all(is_plain_ddl) { "" } else { RESET }
}
